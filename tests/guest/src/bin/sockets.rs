//! Sockets: Unix streams and datagrams, descriptors in messages, TCP and UDP on the loopback.

use guest::{c, close, errno, error_name, fork, ok, read, say, scratch, show, wait, write};
use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM};
use std::{
    io::{Read, Write},
    mem::{size_of, zeroed},
    net::{TcpListener, TcpStream, UdpSocket},
    ptr::null_mut,
    thread,
};

fn socket(domain: i32, kind: i32) -> i32 {
    // SAFETY: no pointers.
    unsafe { libc::socket(domain, kind, 0) }
}

fn pair(kind: i32) -> (i32, i32) {
    let mut fds = [-1; 2];
    // SAFETY: room for two.
    unsafe { libc::socketpair(AF_UNIX, kind, 0, fds.as_mut_ptr()) };
    (fds[0], fds[1])
}

fn un(name: &[u8]) -> (libc::sockaddr_un, u32) {
    // SAFETY: zero is valid.
    let mut a: libc::sockaddr_un = unsafe { zeroed() };
    a.sun_family = AF_UNIX as u16;
    for (to, from) in a.sun_path.iter_mut().zip(name) {
        *to = *from as _;
    }
    let end = usize::from(name.first() != Some(&0));
    (a, (2 + name.len() + end) as u32)
}

fn bind(fd: i32, name: &[u8]) -> String {
    let (a, len) = un(name);
    // SAFETY: a valid address.
    show(unsafe { libc::bind(fd, (&raw const a).cast(), len) })
}

fn connect(fd: i32, name: &[u8]) -> String {
    let (a, len) = un(name);
    // SAFETY: a valid address.
    show(unsafe { libc::connect(fd, (&raw const a).cast(), len) })
}

fn inet(port: u16) -> libc::sockaddr_in {
    // SAFETY: zero is valid.
    let mut a: libc::sockaddr_in = unsafe { zeroed() };
    a.sin_family = AF_INET as u16;
    a.sin_port = port.to_be();
    a.sin_addr.s_addr = u32::from_be_bytes([127, 0, 0, 1]).to_be();
    a
}

fn option(fd: i32, level: i32, name: i32) -> String {
    let (mut v, mut len) = (0i32, 4u32);
    // SAFETY: an int.
    match unsafe { libc::getsockopt(fd, level, name, (&raw mut v).cast(), &mut len) } {
        0 => v.to_string(),
        _ => error_name(errno()),
    }
}

fn set_option(fd: i32, level: i32, name: i32, v: i32) -> String {
    // SAFETY: an int.
    show(unsafe { libc::setsockopt(fd, level, name, (&raw const v).cast(), 4) })
}

fn send(fd: i32, data: &[u8], flags: i32) -> String {
    // SAFETY: a readable slice.
    show(unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), flags) })
}

fn recv(fd: i32, max: usize, flags: i32) -> String {
    let mut b = vec![0u8; max];
    // SAFETY: a buffer of that size.
    match unsafe { libc::recv(fd, b.as_mut_ptr().cast(), max, flags) } {
        -1 => error_name(errno()),
        n => format!("{n} {:?}", String::from_utf8_lossy(&b[..(n as usize).min(max)])),
    }
}

/// Sends descriptors along with a text.
fn send_fds(to: i32, fds: &[i32], text: &[u8]) -> String {
    // SAFETY: the control buffer is large and aligned enough for what is built in it.
    unsafe {
        let mut iov = libc::iovec { iov_base: text.as_ptr() as *mut _, iov_len: text.len() };
        let mut control = [0u64; 16];
        let mut m: libc::msghdr = zeroed();
        m.msg_iov = &mut iov;
        m.msg_iovlen = 1;
        m.msg_control = control.as_mut_ptr().cast();
        m.msg_controllen = libc::CMSG_SPACE((4 * fds.len()) as u32) as _;
        let h = libc::CMSG_FIRSTHDR(&m);
        (*h).cmsg_level = libc::SOL_SOCKET;
        (*h).cmsg_type = libc::SCM_RIGHTS;
        (*h).cmsg_len = libc::CMSG_LEN((4 * fds.len()) as u32) as _;
        libc::CMSG_DATA(h).cast::<i32>().copy_from(fds.as_ptr(), fds.len());
        show(libc::sendmsg(to, &m, 0))
    }
}

/// Receives a text and descriptors: the text, the descriptors, message flags.
fn recv_fds(from: i32, space: usize, flags: i32) -> (String, Vec<i32>, i32) {
    // SAFETY: as above.
    unsafe {
        let mut data = [0u8; 32];
        let mut iov = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
        let mut control = [0u64; 16];
        let mut m: libc::msghdr = zeroed();
        m.msg_iov = &mut iov;
        m.msg_iovlen = 1;
        m.msg_control = control.as_mut_ptr().cast();
        m.msg_controllen = space as _;
        let n = libc::recvmsg(from, &mut m, flags);
        if n < 0 {
            return (error_name(errno()), Vec::new(), 0);
        }
        let mut fds = Vec::new();
        let mut h = libc::CMSG_FIRSTHDR(&m);
        while !h.is_null() {
            if (*h).cmsg_type == libc::SCM_RIGHTS {
                let count = ((*h).cmsg_len as usize - libc::CMSG_LEN(0) as usize) / 4;
                for i in 0..count {
                    fds.push(libc::CMSG_DATA(h).cast::<i32>().add(i).read());
                }
            }
            h = libc::CMSG_NXTHDR(&m, h);
        }
        (String::from_utf8_lossy(&data[..n as usize]).into_owned(), fds, m.msg_flags)
    }
}

fn main() {
    let dir = scratch("sockets");
    guest::disposition(libc::SIGPIPE, libc::SIG_IGN);
    // SAFETY: valid pointers everywhere.
    unsafe {
        say!("errors: {} {} {}", ok(socket(99, SOCK_STREAM)), ok(socket(AF_UNIX, 77)), ok(libc::socket(AF_INET, SOCK_STREAM, 17)));

        // Stream pair.
        let (a, b) = pair(SOCK_STREAM);
        say!("stream: {} {} {}", write(a, b"hello"), recv(b, 3, 0), recv(b, 10, 0));
        say!("peek: {} {} {}", send(a, b"xyz", 0), recv(b, 2, libc::MSG_PEEK), recv(b, 10, 0));
        say!("nothing: {}", recv(b, 1, libc::MSG_DONTWAIT));
        write(a, b"12");
        let pid = fork(|| {
            libc::usleep(5000);
            write(a, b"34");
            0
        });
        say!("waitall: {} {}", recv(b, 4, libc::MSG_WAITALL), wait(pid));
        say!("shutdown: {} {} {}", show(libc::shutdown(a, libc::SHUT_WR)), recv(b, 5, 0), show(write(a, b"x")));
        say!("other way: {} {}", write(b, b"back"), read(a, 10));
        close(b);
        say!("peer gone: {} {}", read(a, 1), send(a, b"x", libc::MSG_NOSIGNAL));
        say!("shutdown odd: {} of a file: {}", show(libc::shutdown(a, 9)), show(libc::shutdown(0, 1)));
        close(a);

        // Datagrams keep their borders.
        let (a, b) = pair(SOCK_DGRAM);
        send(a, b"first", 0);
        send(a, b"", 0);
        send(a, b"second", 0);
        say!("dgram: {} {} {}", recv(b, 3, 0), recv(b, 10, 0), recv(b, 10, libc::MSG_TRUNC));
        close(a);
        close(b);
        let (a, b) = pair(SOCK_SEQPACKET);
        send(a, b"one", 0);
        send(a, b"two", 0);
        say!("seqpacket: {} {}", recv(b, 10, 0), recv(b, 2, libc::MSG_TRUNC));
        close(a);
        say!("end: {}", recv(b, 10, 0));
        close(b);

        // Names.
        let s = socket(AF_UNIX, SOCK_STREAM);
        say!("connect nowhere: {} {}", connect(s, b"none"), connect(s, b"\0nowhere-at-all"));
        let l = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK);
        say!("bind: {} again: {}", bind(l, b"name"), bind(l, b"other"));
        say!("in use: {}", bind(s, b"name"));
        say!("not listening: {}", connect(s, b"name"));
        say!("accept early: {} listen: {}", ok(libc::accept(l, null_mut(), null_mut())), show(libc::listen(l, 5)));
        say!("nobody: {}", ok(libc::accept(l, null_mut(), null_mut())));
        say!("connect: {} again: {}", connect(s, b"name"), connect(s, b"name"));
        let c2 = libc::accept4(l, null_mut(), null_mut(), libc::SOCK_CLOEXEC);
        say!("accepted: {} cloexec {}", ok(c2), libc::fcntl(c2, libc::F_GETFD));
        let mut addr: libc::sockaddr_un = zeroed();
        let mut len = size_of::<libc::sockaddr_un>() as u32;
        libc::getpeername(s, (&raw mut addr).cast(), &mut len);
        say!("peer name: {len} {}", std::ffi::CStr::from_ptr(addr.sun_path.as_ptr()).to_string_lossy());
        len = size_of::<libc::sockaddr_un>() as u32;
        libc::getsockname(s, (&raw mut addr).cast(), &mut len);
        say!("own name: {len}");
        let mut cred: libc::ucred = zeroed();
        let mut clen = size_of::<libc::ucred>() as u32;
        libc::getsockopt(s, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut cred).cast(), &mut clen);
        say!("peer: {} uid {}", cred.pid == libc::getpid(), cred.uid);
        say!("options: type {} accepting {} {} error {}", option(s, libc::SOL_SOCKET, libc::SO_TYPE), option(l, libc::SOL_SOCKET, libc::SO_ACCEPTCONN), option(s, libc::SOL_SOCKET, libc::SO_ACCEPTCONN), option(s, libc::SOL_SOCKET, libc::SO_ERROR));
        say!("domain {} protocol {} unknown {}", option(s, libc::SOL_SOCKET, libc::SO_DOMAIN), option(s, libc::SOL_SOCKET, libc::SO_PROTOCOL), option(s, libc::SOL_SOCKET, 9999));
        close(c2);
        say!("accepted end gone: {}", recv(s, 1, 0));
        close(l);
        say!("listener gone: {}", { let t = socket(AF_UNIX, SOCK_STREAM); let r = connect(t, b"name"); close(t); r });
        say!("it is a file: {}", show(libc::open(c("name").as_ptr(), libc::O_RDWR)));
        let l = socket(AF_UNIX, SOCK_STREAM);
        say!("abstract: {} {}", bind(l, b"\0tuxlet-guest-test"), { let t = socket(AF_UNIX, SOCK_STREAM); let r = bind(t, b"\0tuxlet-guest-test"); close(t); r });
        close(l);
        close(s);

        // Descriptors.
        let (a, b) = pair(SOCK_STREAM);
        let (r, w) = guest::pipe();
        say!("send fds: {}", send_fds(a, &[r, w], b"two"));
        close(r);
        close(w);
        let (text, fds, flags) = recv_fds(b, 64, libc::MSG_CMSG_CLOEXEC);
        say!("received: {text} {} flags {:x} cloexec {}", fds.len(), flags & !libc::MSG_CMSG_CLOEXEC, libc::fcntl(fds[0], libc::F_GETFD));
        write(fds[1], b"alive");
        say!("they work: {}", read(fds[0], 10));
        say!("send closed: {}", send_fds(a, &[999], b"x"));
        send_fds(a, &[fds[0], fds[1]], b"again");
        let (text, got, flags) = recv_fds(b, libc::CMSG_SPACE(4) as usize - 4, 0);
        say!("no room: {text} {} truncated {}", got.len(), flags & libc::MSG_CTRUNC != 0);
        send_fds(a, &[fds[0]], b"plain");
        say!("dropped by recv: {}", recv(b, 10, 0));
        close(a);
        close(b);

        // TCP.
        let l = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = l.local_addr().expect("an address").port();
        say!("port: {}", port > 1023);
        let server = thread::spawn(move || {
            let (mut s, _) = l.accept().expect("a client");
            let mut all = Vec::new();
            s.read_to_end(&mut all).expect("data");
            s.write_all(&(all.len() as u64).to_le_bytes()).expect("an answer");
        });
        let mut s = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let data: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
        s.write_all(&data).expect("sent");
        s.shutdown(std::net::Shutdown::Write).expect("shut down");
        let mut answer = [0; 8];
        s.read_exact(&mut answer).expect("an answer");
        server.join().expect("the server");
        say!("tcp: {} end {:?}", u64::from_le_bytes(answer), s.read(&mut answer).map_err(|e| e.kind()));
        s.set_nodelay(true).expect("nodelay");
        say!("nodelay: {:?}", s.nodelay().expect("nodelay"));
        drop(s);
        let t = socket(AF_INET, SOCK_STREAM);
        let a = inet(port);
        say!("refused: {}", show(libc::connect(t, (&raw const a).cast(), 16)));
        say!("unconnected: {} {}", send(t, b"x", 0), recv(t, 1, 0));
        say!("bad address length: {}", show(libc::connect(t, (&raw const a).cast(), 3)));
        say!("reuse: {} {} keepalive {}", set_option(t, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1), option(t, libc::SOL_SOCKET, libc::SO_REUSEADDR), option(t, libc::SOL_SOCKET, libc::SO_KEEPALIVE));
        close(t);
        // Non-blocking connect.
        let l = TcpListener::bind("127.0.0.1:0").expect("a port");
        let t = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
        let a = inet(l.local_addr().expect("an address").port());
        let r = libc::connect(t, (&raw const a).cast(), 16);
        let progress = r == 0 || errno() == libc::EINPROGRESS;
        let mut p = libc::pollfd { fd: t, events: libc::POLLOUT, revents: 0 };
        libc::poll(&mut p, 1, -1);
        say!("in progress: {progress} then {:x} error {}", p.revents, option(t, libc::SOL_SOCKET, libc::SO_ERROR));
        let (mut c, _) = l.accept().expect("the client");
        c.write_all(b"urgent").expect("sent");
        p.events = libc::POLLIN;
        libc::poll(&mut p, 1, -1);
        say!("readable: {:x} {}", p.revents, recv(t, 10, 0));
        drop(c);
        p.events = libc::POLLIN | libc::POLLRDHUP;
        libc::poll(&mut p, 1, -1);
        say!("closed: {:x} {}", p.revents, recv(t, 10, 0));
        close(t);

        // UDP.
        let a = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let b = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = b.local_addr().expect("an address");
        a.send_to(b"datagram", to).expect("sent");
        a.send_to(b"", to).expect("sent");
        let mut buf = [0; 4];
        let (n, from) = b.recv_from(&mut buf).expect("received");
        say!("udp: {n} {} from a {}", String::from_utf8_lossy(&buf[..n]), from == a.local_addr().expect("an address"));
        say!("empty: {:?}", b.recv_from(&mut buf).map(|r| r.0).map_err(|e| e.kind()));
        b.set_nonblocking(true).expect("nonblocking");
        say!("none: {:?}", b.recv_from(&mut buf).map_err(|e| e.kind()));
        a.connect(to).expect("connected");
        a.send(b"again").expect("sent");
        b.set_nonblocking(false).expect("blocking");
        say!("connected: {}", b.recv(&mut buf).expect("received"));
        drop(b);
        let first = a.send(b"to nobody").is_ok();
        say!("to nobody: {first} {:?}", a.recv(&mut buf).map_err(|e| e.kind()));
        let u = socket(AF_INET, SOCK_DGRAM);
        say!("no destination: {} listen: {}", send(u, b"x", 0), show(libc::listen(u, 1)));
        let big = vec![0u8; 65508];
        let a = inet(9);
        say!("too long: {}", show(libc::sendto(u, big.as_ptr().cast(), big.len(), 0, (&raw const a).cast(), 16)));
        close(u);
        // A receive timeout.
        let (a, _b) = pair(SOCK_STREAM);
        let t = libc::timeval { tv_sec: 0, tv_usec: 5000 };
        libc::setsockopt(a, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const t).cast(), size_of::<libc::timeval>() as u32);
        say!("timeout: {}", recv(a, 1, 0));
        say!("not a socket: {} {}", show(libc::listen(0, 1)), send(999, b"x", 0));
    }
    guest::clean(&dir);
}
