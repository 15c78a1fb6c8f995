# Python's own servers and clients: http.server with many threads, asyncio with TLS, datagrams, Unix sockets with descriptors.
cat >http_test.py <<'EOF'
import hashlib, http.client, http.server, os, threading
data = os.urandom(300_000)
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", str(len(data))); self.end_headers(); self.wfile.write(data)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])); reply = hashlib.sha256(body).hexdigest().encode()
        self.send_response(200); self.send_header("Content-Length", str(len(reply))); self.end_headers(); self.wfile.write(reply)
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
threading.Thread(target=server.serve_forever, daemon=True).start()
good = []
def client():
    c = http.client.HTTPConnection(*server.server_address)
    for _ in range(10):
        c.request("GET", "/"); good.append(c.getresponse().read() == data)
        c.request("POST", "/", data); good.append(c.getresponse().read().decode() == hashlib.sha256(data).hexdigest())
threads = [threading.Thread(target=client) for _ in range(20)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(good), all(good)); server.shutdown()
EOF
check "twenty clients of http.server, 400 requests" "400 True" "$(python3 http_test.py)"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout k.pem -out c.pem 2>/dev/null
cat >aio.py <<'EOF'
import asyncio, os, ssl
async def echo(r, w):
    while d := await r.read(65536): w.write(d); await w.drain()
    w.close()
async def main():
    s = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH); s.load_cert_chain("c.pem", "k.pem")
    c = ssl.create_default_context(cafile="c.pem")
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=s)
    port = server.sockets[0].getsockname()[1]
    async def one():
        r, w = await asyncio.open_connection("127.0.0.1", port, ssl=c, server_hostname="localhost")
        data = os.urandom(200_000)
        async def send():
            for i in range(0, len(data), 9999): w.write(data[i:i+9999]); await w.drain()
        t = asyncio.create_task(send()); got = await r.readexactly(len(data)); await t; w.close(); return got == data
    print((await asyncio.gather(*[one() for _ in range(30)])).count(True))
asyncio.run(main())
EOF
check "thirty TLS connections of asyncio" "30" "$(python3 aio.py)"
cat >unix.py <<'EOF'
import array, os, socket
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
pid = os.fork()
if pid == 0:
    for i in range(100):
        r, w = os.pipe(); os.write(w, b"%d" % i); os.close(w)
        socket.send_fds(b, [b"fd"], [r]); os.close(r)
    os._exit(0)
total = 0
for _ in range(100):
    msg, fds, flags, _ = socket.recv_fds(a, 10, 1); total += int(os.read(fds[0], 10)); os.close(fds[0])
os.waitpid(pid, 0); print(msg, total, len(os.listdir("/proc/self/fd")))
EOF
check "a hundred descriptors by a Unix socket" "b'fd' 4950 6" "$(python3 unix.py </dev/null)"
cat >udp.py <<'EOF'
import socket, threading
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::1", 0))
def serve():
    for _ in range(1000): d, a = s.recvfrom(65535); s.sendto(d[::-1], a)
t = threading.Thread(target=serve); t.start()
c = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); c.connect(s.getsockname()); n = 0
for i in range(1000):
    m = b"%d:" % i + bytes(i * 50); c.send(m); n += c.recv(65535) == m[::-1]
t.join(); print(n)
EOF
check "a thousand datagrams there and back" "1000" "$(python3 udp.py)"
cat >multicast.py <<'EOF'
import socket, struct
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(("", 0)); group = "239.1.2.3"
r.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton("127.0.0.1"))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
s.sendto(b"to all", (group, r.getsockname()[1])); r.settimeout(20); print(r.recv(100))
EOF
check "multicast" "b'to all'" "$(python3 multicast.py)"
