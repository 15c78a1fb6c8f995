# rsync against its daemon and over ssh: whole trees, differences, deletions.
mkdir -p /run/sshd ~/.ssh && chmod 700 ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys
printf 'HostKey %s/host\nPidFile %s/pid\nListenAddress 127.0.0.1:21222\nStrictModes no\n' "$PWD" "$PWD" >config
echo "[127.0.0.1]:21222 $(cut -d' ' -f1,2 host.pub)" >~/.ssh/known_hosts
/usr/sbin/sshd -f "$PWD/config" -E "$PWD/log" && until_port 21222
mkdir src there
for i in $(seq 300); do mkdir -p src/d$((i % 20)); head -c $((i * 100)) /dev/urandom >src/d$((i % 20))/f$i; done
head -c 5000000 /dev/urandom >src/big
ln -s big src/link; ln src/big src/hard; chmod 600 src/d1/f1; touch -d '2001-02-03 04:05:06.123456789 UTC' src/d2/f2
cat >rsyncd.conf <<EOF
pid file = $PWD/rsyncd.pid
use chroot = no
munge symlinks = no
uid = 0
gid = 0
[there]
path = $PWD/there
read only = no
EOF
rsync --daemon --no-detach --config="$PWD/rsyncd.conf" --address=127.0.0.1 --port=21273 & until_port 21273
listing() { (cd "$1" && find . -printf '%P %y %m %s %T@ %n %l\n' | sort); }
run() { rsync -aH --delete --stats "$@" src/ "$to" | tr -d ,; }
for to in rsync://127.0.0.1:21273/there/ "127.0.0.1:$PWD/there2/"; do
    how=$([[ $to == rsync:* ]] && echo daemon || echo ssh)
    dir=$([ $how == daemon ] && echo there || echo there2)
    export RSYNC_RSH="ssh -p 21222 -o BatchMode=yes"
    check "$how: files sent" "Number of regular files transferred: 301" "$(run | grep 'files transferred')"
    check "$how: same bytes" "" "$(diff -r src $dir)"
    check "$how: same modes, times, links" "" "$(diff <(listing src | grep -v '^ ') <(listing $dir | grep -v '^ '))"
    check "$how: nothing to do again" "Number of regular files transferred: 0" "$(run | grep 'files transferred')"
    printf changed | dd of=src/big bs=1 seek=2500000 conv=notrunc status=none
    rm -r src/d3; echo new >src/new
    literal=$(run --no-whole-file | grep 'Literal data' | grep -o '[0-9]*')
    check "$how: only differences are sent" "yes" "$([ "$literal" -lt 20000 ] && echo yes || echo "$literal bytes")"
    check "$how: same after changes" "" "$(diff -r src $dir)"
    mkdir src/d3; for i in $(seq 3 20 300); do head -c $((i * 100)) /dev/urandom >src/d3/f$i; done; rm src/new
done
mkdir back
rsync -a rsync://127.0.0.1:21273/there/d5 back
check "from the daemon" "" "$(diff -r src/d5 back/d5)"
check "a missing module" "5" "$(rsync -a rsync://127.0.0.1:21273/none/ back >/dev/null 2>&1; echo $?)"
kill %1 "$(cat pid)"
