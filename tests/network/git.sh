# git over ssh, HTTP (git-http-backend) and its own protocol: clone, push, fetch, shallow clone.
mkdir -p /run/sshd ~/.ssh && chmod 700 ~/.ssh
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys
printf 'HostKey %s/host\nPidFile %s/pid\nListenAddress 127.0.0.1:21122\nStrictModes no\n' "$PWD" "$PWD" >config
echo "[127.0.0.1]:21122 $(cut -d' ' -f1,2 host.pub)" >~/.ssh/known_hosts
/usr/sbin/sshd -f "$PWD/config" -E "$PWD/log" && until_port 21122
cat >server.py <<'EOF'
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data
    def do(self):
        path, _, query = self.path.partition("?")
        env = dict(os.environ, GIT_PROJECT_ROOT=os.getcwd(), GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
            REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type", ""), REMOTE_USER="me",
            HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
            GIT_PROTOCOL=self.headers.get("Git-Protocol", ""), REMOTE_ADDR="127.0.0.1")
        out = subprocess.run(["git", "http-backend"], input=self.body(), stdout=subprocess.PIPE, env=env).stdout
        head, _, body = out.partition(b"\r\n\r\n")
        lines = [l.split(": ", 1) for l in head.decode().split("\r\n")]
        status = [v for k, v in lines if k == "Status"]
        self.send_response(int(status[0].split()[0]) if status else 200)
        for k, v in lines:
            if k != "Status": self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 21180), Handler).serve_forever()
EOF
export GIT_SSH_COMMAND="ssh -o BatchMode=yes"
git config --global user.email me@example.org
git config --global user.name Me
git config --global init.defaultBranch main
git config --global protocol.file.allow always
git init -q --bare repo.git && git -C repo.git config http.receivepack true
git init -q work
for i in $(seq 40); do
    head -c 50000 /dev/urandom >"work/file$((i % 15))"
    git -C work add -A && git -C work commit -q -m "commit $i"
done
git -C work push -q "$PWD/repo.git" main 2>/dev/null
python3 server.py & server=$!
git daemon --reuseaddr --listen=127.0.0.1 --port=21184 --base-path="$PWD" --export-all "$PWD" 2>/dev/null & daemon=$!
until_port 21180; until_port 21184
for url in "ssh://127.0.0.1:21122$PWD/repo.git" http://127.0.0.1:21180/repo.git git://127.0.0.1:21184/repo.git; do
    how=${url%%:*}
    git clone -q "$url" "c-$how"
    check "$how: clone has all commits" "$(git -C repo.git rev-list --count main) $(git -C repo.git rev-parse main)" \
        "$(git -C "c-$how" rev-list --count HEAD) $(git -C "c-$how" rev-parse HEAD)"
    check "$how: nothing is broken" "0" "$(git -C "c-$how" fsck --full --strict >/dev/null 2>&1; echo $?)"
    git clone -q --depth 3 "$url" "s-$how"
    check "$how: shallow clone" "3" "$(git -C "s-$how" rev-list --count HEAD)"
    [ "$how" == git ] && continue
    head -c 3000000 /dev/urandom >"c-$how/big-$how"
    git -C "c-$how" add -A && git -C "c-$how" commit -q -m "from $how"
    git -C "c-$how" pull -q --rebase && git -C "c-$how" push -q
    check "$how: push" "$(git -C "c-$how" rev-parse HEAD)" "$(git -C repo.git rev-parse main)"
done
git -C c-git fetch -q
check "git: fetch sees both pushes" "42" "$(git -C c-git rev-list --count origin/main)"
git -C c-ssh pull -q
check "the pushed file" "$(sum c-http/big-http)" "$(sum c-ssh/big-http)"
check "the repository is whole" "0" "$(git -C repo.git fsck --full --strict >/dev/null 2>&1; echo $?)"
kill $server $daemon "$(cat pid)"
