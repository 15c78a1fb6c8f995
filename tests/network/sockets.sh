# ss, netstat, lsof and /proc/net: the machine's own sockets, with their states, queues, owners and processes.
cat >server.py <<'EOF'
import os, socket, sys, time
l = socket.socket(); l.bind(("127.0.0.1", 21861)); l.listen(7)
l6 = socket.socket(socket.AF_INET6); l6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1); l6.bind(("::1", 21862)); l6.listen(3)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 21863))
x = socket.socket(socket.AF_UNIX); x.bind("sock"); x.listen(5)
y = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); y.bind("\0abstract")
c = socket.create_connection(("127.0.0.1", 21861)); a, _ = l.accept()
c.send(b"x" * 1234)
w = socket.create_connection(("127.0.0.1", 21861))
open("ready", "w").write(str(os.getpid()))
time.sleep(1000)
EOF
python3 server.py & until_true test -s ready; pid=$(cat ready)
check "ss: listening TCP" "LISTEN 1 7 127.0.0.1:21861 0.0.0.0:*|LISTEN 0 3 [::1]:21862 [::]:*" \
    "$(ss -tlnH | awk '/:2186/{print $1,$2,$3,$4,$5}' | sort -k4 | paste -sd'|')"
check "ss: who" "python3 $pid" "$(ss -tlnpH 'sport = :21861' | sed -n 's/.*(("\([^"]*\)",pid=\([0-9]*\),.*/\1 \2/p')"
check "ss: a filter by state and port" "1" "$(ss -tnH state listening '( sport = :21861 )' | wc -l)"
check "ss: established, with what waits" "1234" "$(ss -tnH state established '( sport = :21861 )' | sort -rn | head -1 | awk '{print $1}')"
check "ss: TCP_INFO" "1" "$(ss -tniH state established 'dport = :21861' | grep -c 'cubic\|reno\|bbr' | sed 's/[2-9]/1/')"
check "ss: UDP" "UNCONN 0 0 127.0.0.1:21863 0.0.0.0:*" "$(ss -unaH 'sport = :21863' | awk '{print $1,$2,$3,$4,$5}')"
check "ss: Unix" "u_str LISTEN 0 5|u_dgr UNCONN 0 0" \
    "$(ss -xaH | awk '$5 ~ /(^sock|@abstract)$/{print $1,$2,$3,$4}' | sort -r | paste -sd'|')"
check "ss: nothing of others" "5" "$(ss -tanH | wc -l | xargs -I{} test {} -le 8 && ss -tanH | grep -c ':2186')"
check "ss -s" "UDP 1 1 0" "$(ss -s | grep '^UDP' | xargs)"
check "netstat" "tcp 1 0 127.0.0.1:21861 0.0.0.0:* LISTEN $pid/python3" \
    "$(netstat -tlnp 2>/dev/null | awk '/:21861/{print $1,$2,$3,$4,$5,$6,$7}')"
check "netstat: Unix" "STREAM LISTENING" "$(netstat -xan 2>/dev/null | awk '/ sock$/{print $(NF-3),$(NF-2)}' | head -1)"
check "lsof: by port" "python3 $pid IPv4 TCP 127.0.0.1:21861 (LISTEN)" \
    "$(lsof -nP -iTCP:21861 -sTCP:LISTEN 2>/dev/null | awk 'NR>1{print $1,$2,$5,$8,$9,$10}')"
check "lsof: all of the process" "5 TCP 1 UDP" \
    "$(lsof -nP -a -p "$pid" -i 2>/dev/null | awk 'NR>1{n[$8]++} END{print n["TCP"],"TCP",n["UDP"],"UDP"}')"
ino=$(readlink /proc/"$pid"/fd/3 | tr -dc 0-9)
check "/proc/net/tcp has the inode" "0100007F:5565 0A $ino" "$(awk -v i="$ino" '$10==i{print $2,$4,$10}' /proc/net/tcp)"
check "/proc/net/unix" "1" "$(grep -c ' @abstract$' /proc/net/unix)"
check "sockstat" "UDP: inuse 1|TCP6: inuse 1" "$(grep -oh '^\(UDP\|TCP6\): inuse [0-9]*' /proc/net/sockstat* | paste -sd'|')"
kill "$pid"
