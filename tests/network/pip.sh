# pip and npm against indexes of our own on loopback.
mkdir -p index/simple/hello wheel
cat >build.py <<'EOF'
import base64, hashlib, zipfile
files = {"hello/__init__.py": b"def greet(): return 'hello from a wheel'\n",
  "hello-1.2.3.dist-info/METADATA": b"Metadata-Version: 2.1\nName: hello\nVersion: 1.2.3\n",
  "hello-1.2.3.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
  "hello-1.2.3.dist-info/entry_points.txt": b"[console_scripts]\nhello = hello:main\n"}
files["hello/__init__.py"] += b"def main(): print(greet())\n"
record = ""
for name, data in files.items():
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    record += f"{name},sha256={digest},{len(data)}\n"
files["hello-1.2.3.dist-info/RECORD"] = (record + "hello-1.2.3.dist-info/RECORD,,\n").encode()
path = "index/simple/hello/hello-1.2.3-py3-none-any.whl"
with zipfile.ZipFile(path, "w") as z:
    for name, data in files.items(): z.writestr(name, data)
digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
open("index/simple/hello/index.html", "w").write(f'<a href="hello-1.2.3-py3-none-any.whl#sha256={digest}">hello</a>')
EOF
python3 build.py
python3 -m http.server -d index --bind 127.0.0.1 21780 >/dev/null 2>pip.log & server=$!
until_port 21780
p() { python3 -m pip --disable-pip-version-check -q --no-input "$@" --break-system-packages --root-user-action=ignore; }
p install --index-url http://127.0.0.1:21780/simple/ --trusted-host 127.0.0.1 --no-cache-dir --target site hello
check "pip installs a wheel" "hello from a wheel" "$(PYTHONPATH=site python3 -c 'import hello; print(hello.greet())')"
check "its files are as recorded" "" "$(cd site && python3 - <<'EOF'
import base64, csv, hashlib
for name, digest, size in csv.reader(open("hello-1.2.3.dist-info/RECORD")):
    if digest and "hello/__init__" in name:
        data = open(name, "rb").read()
        if digest != "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(): print(name)
EOF
)"
p install --index-url http://127.0.0.1:21780/simple/ --trusted-host 127.0.0.1 --no-cache-dir hello
check "its command" "hello from a wheel" "$(hello)"
p uninstall -y hello 2>/dev/null || python3 -m pip -q uninstall -y --break-system-packages --root-user-action=ignore hello
check "pip removes it" "1" "$(python3 -c 'import hello' 2>/dev/null; echo $?)"
check "a wrong digest is refused" "1" "$(sed -i 's/sha256=..../sha256=0000/' index/simple/hello/index.html
    p install --index-url http://127.0.0.1:21780/simple/ --trusted-host 127.0.0.1 --no-cache-dir --target bad hello >/dev/null 2>&1; echo $?)"
kill $server
mkdir -p pkg/package && cd pkg
echo '{"name":"leaf","version":"2.0.1","main":"index.js","bin":{"leaf":"cli.js"}}' >package/package.json
echo 'module.exports = n => n * 2;' >package/index.js
printf '#!/usr/bin/env node\nconsole.log(require("./")(21));\n' >package/cli.js; chmod +x package/cli.js
tar czf leaf-2.0.1.tgz package
cat >registry.js <<'EOF'
const http = require("http"), fs = require("fs"), crypto = require("crypto");
const tgz = fs.readFileSync("leaf-2.0.1.tgz"), base = "http://127.0.0.1:21781";
const integrity = "sha512-" + crypto.createHash("sha512").update(tgz).digest("base64");
const version = { ...JSON.parse(fs.readFileSync("package/package.json")), dist: { tarball: base + "/leaf/-/leaf-2.0.1.tgz", integrity } };
const doc = { name: "leaf", "dist-tags": { latest: "2.0.1" }, versions: { "2.0.1": version } };
http.createServer((q, s) => {
  if (q.url == "/leaf") { s.setHeader("content-type", "application/json"); s.end(JSON.stringify(doc)); }
  else if (q.url.endsWith(".tgz")) s.end(tgz);
  else { s.statusCode = 404; s.end("{}"); }
}).listen(21781, "127.0.0.1");
EOF
node registry.js & server=$!
until_port 21781; mkdir app; cd app; echo '{"name":"app","version":"1.0.0"}' >package.json
npm install --registry http://127.0.0.1:21781 --no-audit --no-fund --no-update-notifier --loglevel=error leaf
check "npm installs a package" "84" "$(node -p 'require("leaf")(42)')"
check "its command" "42" "$(npx --no-install leaf)"
check "the lock file has its digest" "sha512-$(openssl dgst -sha512 -binary ../leaf-2.0.1.tgz | base64 -w0)" \
    "$(node -p 'require("./package-lock.json").packages["node_modules/leaf"].integrity')"
rm -rf node_modules; npm ci --registry http://127.0.0.1:21781 --no-audit --no-fund --loglevel=error >/dev/null
check "npm ci" "84" "$(node -p 'require("leaf")(42)')"
check "a missing package" "1" "$(npm install --registry http://127.0.0.1:21781 --no-audit --loglevel=silent nothere >/dev/null 2>&1; echo $?)"
kill $server
