# An X server that is shown by VNC at port $1 with the password $2, a window manager, and a terminal.
set -e
echo "$2" | tigervncpasswd -f > /root/password
Xvnc :7 -geometry 640x480 -depth 24 -localhost -rfbport "$1" -PasswordFile /root/password -SecurityTypes VncAuth &
export DISPLAY=:7
until xsetroot -solid '#203040'; do sleep 1; done
twm &
echo ready
exec xterm -geometry 40x10+60+60 -bg '#c02040' -e sh
