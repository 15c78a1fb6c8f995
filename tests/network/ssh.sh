# OpenSSH server and client: keys, commands, streams, terminals, scp, sftp, forwarded ports.
mkdir -p /run/sshd ~/.ssh && chmod 700 ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys
printf 'HostKey %s/host\nPidFile %s/pid\nListenAddress 127.0.0.1:21022\nSubsystem sftp internal-sftp\nStrictModes no\n' \
    "$PWD" "$PWD" >config
echo "[127.0.0.1]:21022 $(cut -d' ' -f1,2 host.pub)" >~/.ssh/known_hosts
/usr/sbin/sshd -f "$PWD/config" -E "$PWD/log" && until_port 21022
A="-o BatchMode=yes -o StrictHostKeyChecking=yes"
H="-p 21022 $A 127.0.0.1"
check "a command" "42" "$(ssh $H 'echo $((6 * 7))' </dev/null)"
check "its exit status" "23" "$(ssh $H 'exit 23' </dev/null; echo $?)"
check "its standard error" "to stderr" "$(ssh $H 'echo to stderr >&2' 2>&1 >/dev/null </dev/null)"
check "the environment of the connection" "127.0.0.1 21022" \
    "$(ssh $H 'echo $SSH_CONNECTION' </dev/null | cut -d' ' -f3,4)"
head -c 8000000 /dev/urandom >data
check "8 MB in" "$(sum data)" "$(ssh $H sha256sum <data | cut -d' ' -f1)"
check "8 MB out" "$(sum data)" "$(ssh $H cat "$PWD/data" </dev/null | sha256sum | cut -d' ' -f1)"
check "compressed, both ways" "$(sum data)" "$(ssh -C $H cat <data | sha256sum | cut -d' ' -f1)"
check "a terminal" "/dev/pts/" "$(ssh -tt $H tty </dev/null 2>/dev/null | grep -o '^/dev/pts/')"
check "a signal ends it" "255" "$(ssh $H 'kill -9 $$' </dev/null 2>/dev/null; echo $?)"
scp -q -P 21022 $A data 127.0.0.1:"$PWD/copied" </dev/null
scp -q -P 21022 $A 127.0.0.1:"$PWD/copied" back </dev/null
check "scp there and back" "$(sum data) $(sum data)" "$(sum copied) $(sum back)"
mkdir tree tree/sub && echo one >tree/a && echo two >tree/sub/b && chmod 640 tree/a
scp -q -r -p -P 21022 $A tree 127.0.0.1:"$PWD/tree2" </dev/null
check "scp of a directory" "640" "$(diff -r tree tree2 && stat -c %a tree2/a)"
printf 'put data %s/sftp-up\nget %s/sftp-up sftp-down\nmkdir %s/d\nrename %s/sftp-up %s/d/moved\nchmod 600 %s/d/moved\n' \
    "$PWD" "$PWD" "$PWD" "$PWD" "$PWD" "$PWD" >batch
sftp -q -b batch -P 21022 $A 127.0.0.1 >/dev/null </dev/null
check "sftp: put, get, rename, chmod" "$(sum data) $(sum data) 600" "$(sum sftp-down) $(sum d/moved) $(stat -c %a d/moved)"
python3 -m http.server --bind 127.0.0.1 21023 >/dev/null 2>&1 &
until_port 21023
ssh -N -L 21024:127.0.0.1:21023 $H </dev/null & forward=$!
until_port 21024
check "a forwarded port" "$(sum data)" "$(curl -s http://127.0.0.1:21024/data | sha256sum | cut -d' ' -f1)"
ssh -M -N -S "$PWD/control" $H </dev/null & master=$!
until_true test -S control
for i in $(seq 10); do ssh -S "$PWD/control" $H "echo $i" </dev/null & done >shared
wait $(jobs -p | grep -v -e "^$forward$" -e "^$master$" -e "^$(jobs -p | head -1)$")
check "ten sessions by one connection" "55" "$(paste -sd+ shared | bc 2>/dev/null || python3 -c 'print(sum(map(int,open("shared"))))')"
check "another key is refused" "255" \
    "$(ssh-keygen -q -t ed25519 -N '' -f other; ssh -i other -o IdentitiesOnly=yes $H true </dev/null 2>/dev/null; echo $?)"
kill $forward $master %1 "$(cat pid)"
