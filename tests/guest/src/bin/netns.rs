//! Network namespaces: a new one has a loopback interface that is down; TCP and UDP on it stay inside. Needs to be the
//! superuser.

use guest::{c, close, error_name, errno, fork, ok, read, say, show, wait, write};
use libc::{
    AF_INET, AF_INET6, AF_UNIX, CLONE_NEWNET, CLONE_NEWUSER, IFF_UP, IPPROTO_TCP, O_RDONLY, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, SO_ERROR,
    TCP_NODELAY, sockaddr, sockaddr_in, sockaddr_in6, socklen_t,
};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
};

fn code<T>(r: std::io::Result<T>) -> String {
    r.map_or_else(|e| error_name(e.raw_os_error().unwrap_or(0)), |_| "ok".into())
}

fn interfaces() -> String {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = text.lines().skip(2).filter_map(|l| l.split(':').next());
    names.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The flags of `lo`, and how setting `IFF_UP` to `up` went.
fn link(up: Option<bool>) -> String {
    // SAFETY: a request of the right size on a socket of ours.
    unsafe {
        let fd = libc::socket(AF_INET, SOCK_DGRAM, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
            *to = *from as _;
        }
        let mut set = String::new();
        if let Some(up) = up {
            request.ifr_ifru.ifru_flags = if up { IFF_UP as i16 } else { 0 };
            set = show(libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &request)) + " ";
        }
        libc::ioctl(fd, libc::SIOCGIFFLAGS as _, &mut request);
        let flags = request.ifr_ifru.ifru_flags;
        close(fd);
        format!("{set}{flags:#x}")
    }
}

fn v4(address: [u8; 4], port: u16) -> sockaddr_in {
    // SAFETY: zero is a valid address.
    let mut a: sockaddr_in = unsafe { std::mem::zeroed() };
    a.sin_family = AF_INET as u16;
    a.sin_port = port.to_be();
    a.sin_addr.s_addr = u32::from_ne_bytes(address);
    a
}

fn bind(kind: i32, address: [u8; 4], port: u16) -> String {
    let at = v4(address, port);
    // SAFETY: an address of that size.
    unsafe {
        let fd = libc::socket(AF_INET, kind, 0);
        let r = libc::bind(fd, (&raw const at).cast::<sockaddr>(), size_of::<sockaddr_in>() as socklen_t);
        let r = show(r);
        close(fd);
        r
    }
}

fn down() {
    say!("{}; {}", interfaces(), link(None));
    say!("connect {}", code(TcpStream::connect("127.0.0.1:80")));
    say!("connect {}", code(TcpStream::connect("10.1.2.3:80")));
    say!("bind {} {}", bind(SOCK_STREAM, [127, 0, 0, 1], 80), bind(SOCK_STREAM, [0, 0, 0, 0], 80));
    let udp = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    say!("send {}", code(udp.send_to(b"x", "127.0.0.1:9")));
    // SAFETY: no memory is touched.
    let abstract_name = unsafe { libc::socket(AF_UNIX, SOCK_STREAM, 0) };
    close(abstract_name);
}

fn tcp() {
    say!("= tcp");
    say!("refused {}", code(TcpStream::connect("127.0.0.1:8080")));
    say!("outside {}", code(TcpStream::connect("10.1.2.3:8080")));
    say!("not here {}", bind(SOCK_STREAM, [10, 1, 2, 3], 8080));
    let listener = TcpListener::bind("0.0.0.0:8080").expect("a listener");
    say!("taken {} {}", bind(SOCK_STREAM, [127, 0, 0, 1], 8080), bind(SOCK_DGRAM, [127, 0, 0, 1], 8080));
    say!("{}", listener.local_addr().expect("a name"));
    let pid = fork(|| {
        let mut stream = TcpStream::connect("127.0.0.1:8080").expect("a connection");
        stream.write_all(b"hello").expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("shut down");
        let mut text = String::new();
        let peer = stream.peer_addr().expect("a peer");
        stream.read_to_string(&mut text).expect("received");
        say!("answer {text:?} from {peer}");
        let own = stream.local_addr().expect("a name");
        say!("own {} {}", own.ip(), own.port() >= 32768);
        0
    });
    let (mut stream, peer) = listener.accept().expect("a connection");
    say!("from {} {}", peer.ip(), peer == stream.peer_addr().expect("a peer"));
    say!("at {}", stream.local_addr().expect("a name"));
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("received");
    say!("got {text:?}");
    stream.set_nodelay(true).expect("an option");
    say!("nodelay {}", stream.nodelay().expect("an option"));
    stream.write_all(b"bye").expect("sent");
    drop(stream);
    say!("{}", wait(pid));
    drop(listener);
    say!("refused {}", code(TcpStream::connect("127.0.0.1:8080")));

    let listener = TcpListener::bind("[::1]:8081").expect("a listener");
    let mut client = TcpStream::connect("[::1]:8081").expect("a connection");
    let (mut server, peer) = listener.accept().expect("a connection");
    client.write_all(b"six").expect("sent");
    let mut got = [0; 3];
    server.read_exact(&mut got).expect("received");
    say!("{got:?} from {}", peer.ip());
    drop(client);
    say!("end {}", server.read(&mut got).expect("the end"));
}

fn udp() {
    say!("= udp");
    let a = UdpSocket::bind("127.0.0.1:9000").expect("a socket");
    let b = UdpSocket::bind("127.0.0.1:9001").expect("a socket");
    say!("nobody {}", code(b.send_to(b"x", "127.0.0.1:9")));
    say!("sent {}", b.send_to(b"datagram", "127.0.0.1:9000").expect("sent"));
    let mut buf = [0; 4];
    let (n, from) = a.recv_from(&mut buf).expect("received");
    say!("cut {n} from {from}");
    say!("empty {}", a.send_to(b"", from).expect("sent"));
    say!("{:?}", b.recv_from(&mut buf).expect("received"));
    b.connect("127.0.0.1:9000").expect("connected");
    say!("{} {}", b.send(b"to you").expect("sent"), b.peer_addr().expect("a peer"));
    let mut buf = [0; 64];
    let (n, _) = a.recv_from(&mut buf).expect("received");
    say!("{n}");
    drop(a);
    say!("then {} {}", code(b.send(b"x")), code(b.send(b"y")));
    // SAFETY: no memory is touched.
    let lone = unsafe { libc::socket(AF_INET, SOCK_DGRAM, 0) };
    say!("where to {}", show(write(lone, b"x")));
    close(lone);
}

/// An abstract name is bound; what another namespace says of it.
fn abstract_names() {
    say!("= abstract names");
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    let name = SocketAddr::from_abstract_name("tuxlet-netns").expect("a name");
    let listener = UnixListener::bind_addr(&name);
    say!("here {}", code(UnixStream::connect_addr(&name)));
    let pid = fork(|| {
        // SAFETY: one thread.
        say!("{}", show(unsafe { libc::unshare(CLONE_NEWNET) }));
        say!("there {}", code(UnixStream::connect_addr(&name)));
        0
    });
    say!("{}", wait(pid));
    drop(listener);
}

fn main() {
    // SAFETY: a terminated string.
    let first = unsafe { libc::open(c("/proc/self/ns/net").as_ptr(), O_RDONLY) };
    let before = fs::read_link("/proc/self/ns/net").expect("the link");
    let pid = fork(|| {
        // SAFETY: one thread.
        say!("{}", show(unsafe { libc::unshare(CLONE_NEWNET) }));
        say!("{}", before == fs::read_link("/proc/self/ns/net").expect("the link"));
        down();
        say!("up {}", link(Some(true)));
        tcp();
        udp();
        // SAFETY: an option of that size; structures of the right sizes.
        unsafe {
            let fd = libc::socket(AF_INET6, SOCK_STREAM, 0);
            let mut at: sockaddr_in6 = std::mem::zeroed();
            at.sin6_family = AF_INET as u16;
            let len = size_of::<sockaddr_in6>() as socklen_t;
            say!("family {}", show(libc::connect(fd, (&raw const at).cast::<sockaddr>(), len)));
            let on = 1i32;
            say!("option {}", ok(libc::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, (&raw const on).cast(), 4)));
            let (mut error, mut size) = (7i32, 4 as socklen_t);
            libc::getsockopt(fd, SOL_SOCKET, SO_ERROR, (&raw mut error).cast(), &mut size);
            say!("error {error} {}", errno() != 0);
            close(fd);
        }
        let pid = fork(|| {
            // SAFETY: no memory is touched.
            say!("back {}", show(unsafe { libc::setns(first, CLONE_NEWNET) }));
            say!("{}", before == fs::read_link("/proc/self/ns/net").expect("the link"));
            0
        });
        say!("{}", wait(pid));
        0
    });
    say!("{}", wait(pid));
    abstract_names();

    say!("= user");
    let pid = fork(|| {
        // SAFETY: no memory is touched, one thread.
        unsafe {
            libc::syscall(libc::SYS_setresuid, 1000, 1000, 1000);
            say!("{}", show(libc::unshare(CLONE_NEWNET)));
            say!("{}", show(libc::unshare(CLONE_NEWNET | CLONE_NEWUSER)));
            say!("up {}", link(Some(true)));
            say!("low port {}", bind(SOCK_STREAM, [127, 0, 0, 1], 80));
            say!("back {}", show(libc::setns(first, CLONE_NEWNET)));
        }
        0
    });
    say!("{}", wait(pid));
    read(-1, 1);
}
