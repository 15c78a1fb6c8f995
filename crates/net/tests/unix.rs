//! Unix sockets as programs use them.

use std::sync::Arc;
use tuxlet_net::{Network, unix};
use tuxlet_sync::{WaitResult, Waiter};
use tuxlet_uapi::{errno::*, fcntl::OpenFlags, socket::*};
use tuxlet_vfs::{
    Cred, Cx, Events, File, FileOps, PollTable, SocketOps,
    attr::Time,
    pseudo::PseudoFs,
    socket::{Control, Name, SendMsg, Shutdown},
};
use zerocopy::FromBytes;

fn cx() -> Cx {
    Cx {
        cred: Arc::new(Cred::user(1000, 100)),
        umask: 0o22,
        now: Time::default(),
        fsize_limit: u64::MAX,
        tgid: 42,
        tid: 42,
        context: 0,
    }
}

fn unix_addr(path: &[u8]) -> Vec<u8> {
    [&AF_UNIX.to_le_bytes(), path].concat()
}

fn name(bytes: &[u8]) -> Name<'_> {
    Name { bytes, inode: None }
}

fn sock(ops: &Arc<dyn FileOps>) -> &dyn SocketOps {
    ops.as_socket().expect("a socket")
}

fn send(ops: &Arc<dyn FileOps>, data: &[u8]) -> Result<usize> {
    sock(ops).sendmsg(&cx(), &mut &*data, &mut SendMsg::default())
}

fn send_to(ops: &Arc<dyn FileOps>, data: &[u8], to: &[u8]) -> Result<usize> {
    let mut msg = SendMsg {
        name: Some(name(to)),
        ..SendMsg::default()
    };
    sock(ops).sendmsg(&cx(), &mut &*data, &mut msg)
}

fn recv(ops: &Arc<dyn FileOps>, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let got = sock(ops).recvmsg(&cx(), &mut &mut buf[..], 0)?;
    buf.truncate(got.len);
    Ok(buf)
}

fn poll(ops: &Arc<dyn FileOps>) -> Events {
    ops.poll(&cx(), None)
}

fn listener(net: &Arc<Network>, kind: u32, at: &[u8], backlog: i32) -> Arc<dyn FileOps> {
    let l = net.socket(&cx(), 1, kind, 0).unwrap();
    sock(&l).bind(&cx(), name(at)).unwrap();
    sock(&l).listen(&cx(), backlog).unwrap();
    l
}

#[test]
fn streams_connect_by_an_abstract_name() {
    let net = Network::new();
    let at = unix_addr(b"\0service");
    let l = listener(&net, SOCK_STREAM, &at, 5);
    assert_eq!(sock(&l).sockname(), Ok(at.clone()));
    assert_eq!(sock(&l).accept(&cx()).map(|_| ()), Err(EAGAIN));
    let c = net.socket(&cx(), 1, SOCK_STREAM, 0).unwrap();
    assert_eq!(
        poll(&c) & (Events::OUT | Events::HUP),
        Events::OUT | Events::HUP
    );
    assert_eq!(send(&c, b"x"), Err(ENOTCONN));
    assert_eq!(recv(&c, 1), Err(EINVAL));
    sock(&c).connect(&cx(), name(&at)).unwrap();
    assert_eq!(sock(&c).connect(&cx(), name(&at)), Err(EISCONN));
    assert_eq!(sock(&c).peername(), Ok(at.clone()));
    assert_eq!(send(&c, b"before accept"), Ok(13));
    assert!(poll(&l).contains(Events::IN));
    let (s, peer) = sock(&l).accept(&cx()).unwrap();
    assert_eq!(peer, unix_addr(b""));
    assert_eq!(recv(&s, 6), Ok(b"before".to_vec()));
    assert_eq!(recv(&s, 100), Ok(b" accept".to_vec()));
    assert_eq!(recv(&s, 100), Err(EAGAIN));
    assert_eq!(send_to(&s, b"x", &at), Err(EISCONN));
    let cred = sock(&s)
        .getsockopt(&cx(), SOL_SOCKET, SO_PEERCRED, 12)
        .unwrap();
    assert_eq!(
        Ucred::read_from_bytes(&cred).unwrap(),
        Ucred {
            pid: 42,
            uid: 1000,
            gid: 100
        }
    );
    // The name is free again once the listener is closed, though the accepted socket lives.
    drop(l);
    let c2 = net.socket(&cx(), 1, SOCK_STREAM, 0).unwrap();
    assert_eq!(sock(&c2).connect(&cx(), name(&at)), Err(ECONNREFUSED));
    let _l = listener(&net, SOCK_STREAM, &at, 5);
    let d = net.socket(&cx(), 1, SOCK_DGRAM, 0).unwrap();
    assert_eq!(sock(&d).connect(&cx(), name(&at)), Err(EPROTOTYPE));
    let b = net.socket(&cx(), 1, SOCK_STREAM, 0).unwrap();
    assert_eq!(sock(&b).bind(&cx(), name(&at)), Err(EADDRINUSE));
    assert_eq!(sock(&b).listen(&cx(), 1), Err(EINVAL));
}

#[test]
fn ends_are_seen() {
    let net = Network::new();
    let (a, b) = net.socketpair(&cx(), 1, SOCK_STREAM, 0).unwrap();
    send(&a, b"last").unwrap();
    sock(&a)
        .shutdown(Shutdown {
            read: false,
            write: true,
        })
        .unwrap();
    assert_eq!(send(&a, b"x"), Err(EPIPE));
    assert!(poll(&b).contains(Events::RDHUP | Events::IN));
    assert_eq!(recv(&b, 10), Ok(b"last".to_vec()));
    assert_eq!(recv(&b, 10), Ok(vec![]));
    assert_eq!(send(&b, b"back"), Ok(4));
    drop(a);
    // Data that the peer never read reset the connection.
    assert!(poll(&b).contains(Events::HUP | Events::ERR));
    assert_eq!(recv(&b, 10), Err(ECONNRESET));
    assert_eq!(recv(&b, 10), Ok(vec![]));
    assert_eq!(send(&b, b"x"), Err(EPIPE));
}

#[test]
fn full_buffers_stop_the_sender_until_read() {
    let net = Network::new();
    let (a, b) = net.socketpair(&cx(), 1, SOCK_STREAM, 0).unwrap();
    let big = vec![7; 1 << 20];
    let n = send(&a, &big).unwrap();
    assert!(n > 100_000 && n < big.len());
    assert_eq!(send(&a, &big), Err(EAGAIN));
    assert!(!poll(&a).contains(Events::OUT));
    let waiter = Waiter::new();
    let mut table = PollTable::new(waiter.clone());
    assert!(!a.poll(&cx(), Some(&mut table)).contains(Events::OUT));
    assert_eq!(recv(&b, n).unwrap().len(), n);
    assert_eq!(
        waiter.wait(Some(std::time::Instant::now())),
        WaitResult::Woken
    );
    assert!(poll(&a).contains(Events::OUT));
}

#[test]
fn backlogs_fill() {
    let net = Network::new();
    let at = unix_addr(b"\0busy");
    let l = listener(&net, SOCK_STREAM, &at, 1);
    let clients: Vec<_> = (0..3)
        .map(|_| net.socket(&cx(), 1, SOCK_STREAM, 0).unwrap())
        .collect();
    assert_eq!(sock(&clients[0]).connect(&cx(), name(&at)), Ok(()));
    assert_eq!(sock(&clients[1]).connect(&cx(), name(&at)), Ok(()));
    assert_eq!(sock(&clients[2]).connect(&cx(), name(&at)), Err(EAGAIN));
    sock(&l).accept(&cx()).unwrap();
    assert_eq!(sock(&clients[2]).connect(&cx(), name(&at)), Ok(()));
    drop(l);
    assert_eq!(recv(&clients[1], 1), Err(ECONNRESET));
}

#[test]
fn datagrams_keep_their_bounds_and_names() {
    let net = Network::new();
    let (at_a, at_b) = (unix_addr(b"\0a"), unix_addr(b"\0b"));
    let a = net.socket(&cx(), 1, SOCK_DGRAM, 0).unwrap();
    let b = net.socket(&cx(), 1, SOCK_DGRAM, 0).unwrap();
    sock(&a).bind(&cx(), name(&at_a)).unwrap();
    sock(&b).bind(&cx(), name(&at_b)).unwrap();
    assert_eq!(send(&a, b"x"), Err(ENOTCONN));
    assert_eq!(send_to(&a, b"one", &at_b), Ok(3));
    assert_eq!(send_to(&a, b"", &at_b), Ok(0));
    assert_eq!(send_to(&a, b"three", &at_b), Ok(5));
    let mut buf = [0; 2];
    let got = sock(&b)
        .recvmsg(&cx(), &mut &mut buf[..], MSG_PEEK | MSG_TRUNC)
        .unwrap();
    assert_eq!((got.len, got.flags, got.name), (3, MSG_TRUNC, at_a.clone()));
    assert_eq!(recv(&b, 2), Ok(b"on".to_vec()));
    assert_eq!(recv(&b, 9), Ok(vec![]));
    assert_eq!(recv(&b, 9), Ok(b"three".to_vec()));
    assert_eq!(send_to(&a, &vec![0; 300_000], &at_b), Err(EMSGSIZE));
    // A queue takes eleven; a connected sender then is not writable.
    sock(&a).connect(&cx(), name(&at_b)).unwrap();
    for _ in 0..11 {
        assert_eq!(send(&a, b"m"), Ok(1));
    }
    assert_eq!(send(&a, b"m"), Err(EAGAIN));
    let waiter = Waiter::new();
    let mut table = PollTable::new(waiter.clone());
    assert!(!a.poll(&cx(), Some(&mut table)).contains(Events::OUT));
    recv(&b, 1).unwrap();
    assert_eq!(
        waiter.wait(Some(std::time::Instant::now())),
        WaitResult::Woken
    );
    // Once b has another peer, a may not send to it.
    sock(&b).connect(&cx(), name(&at_b)).unwrap();
    assert_eq!(send(&a, b"m"), Err(EPERM));
    drop(b);
    assert_eq!(send(&a, b"m"), Err(ECONNREFUSED));
    assert_eq!(send(&a, b"m"), Err(ENOTCONN));
}

#[test]
fn records_are_connected_datagrams() {
    let net = Network::new();
    let (a, b) = net.socketpair(&cx(), 1, SOCK_SEQPACKET, 0).unwrap();
    assert_eq!(send(&a, b"one"), Ok(3));
    assert_eq!(send(&a, b"two"), Ok(3));
    assert_eq!(recv(&b, 10), Ok(b"one".to_vec()));
    drop(a);
    assert_eq!(recv(&b, 10), Ok(b"two".to_vec()));
    assert_eq!(recv(&b, 10), Ok(vec![]));
    assert_eq!(send(&b, b"x"), Err(EPIPE));
}

#[test]
fn open_files_and_credentials_travel() {
    let net = Network::new();
    let (a, b) = net.socketpair(&cx(), 1, SOCK_STREAM, 0).unwrap();
    let (c, d) = net.socketpair(&cx(), 1, SOCK_STREAM, 0).unwrap();
    let file = File::anonymous(&cx(), c, b"socket:[1]", OpenFlags::RDWR);
    sock(&b)
        .setsockopt(&cx(), SOL_SOCKET, SO_PASSCRED, &1i32.to_le_bytes())
        .unwrap();
    send(&a, b"plain").unwrap();
    let mut msg = SendMsg {
        control: Control {
            files: vec![file],
            ..Control::default()
        },
        ..SendMsg::default()
    };
    assert_eq!(sock(&a).sendmsg(&cx(), &mut &b"file"[..], &mut msg), Ok(4));
    assert!(msg.control.files.is_empty());
    send(&a, b"behind").unwrap();
    // A read stops behind the bytes that came with the file.
    let mut buf = [0; 100];
    let got = sock(&b).recvmsg(&cx(), &mut &mut buf[..], 0).unwrap();
    assert_eq!(
        (&buf[..got.len], got.control.files.len()),
        (&b"plainfile"[..], 1)
    );
    assert_eq!(
        got.control.cred,
        Some(Ucred {
            pid: 42,
            uid: 1000,
            gid: 100
        })
    );
    assert_eq!(recv(&b, 100), Ok(b"behind".to_vec()));
    // The file works, and is closed when it is dropped.
    assert_eq!(send(got.control.files[0].ops(), b"hello"), Ok(5));
    assert_eq!(recv(&d, 5), Ok(b"hello".to_vec()));
    drop(got);
    assert_eq!(recv(&d, 5), Ok(vec![]));
}

#[test]
fn nested_sockets_are_bounded_and_dropped_without_recursion() {
    let net = Network::new();
    let mut msgs = Vec::new();
    let wrap = |ops: Arc<dyn FileOps>| File::anonymous(&cx(), ops, b"socket:[1]", OpenFlags::RDWR);
    let (mut inner, keep) = net.socketpair(&cx(), 1, SOCK_STREAM, 0).unwrap();
    msgs.push(keep);
    for level in 1..100 {
        let (a, b) = net.socketpair(&cx(), 1, SOCK_STREAM, 0).unwrap();
        let file = wrap(inner);
        assert_eq!(unix::nesting(&file), level - 1);
        let mut msg = SendMsg {
            control: Control {
                files: vec![file],
                ..Control::default()
            },
            ..SendMsg::default()
        };
        sock(&a).sendmsg(&cx(), &mut &b"x"[..], &mut msg).unwrap();
        inner = b;
        msgs.push(a);
    }
    drop(inner);
    // Everything inside was closed.
    assert_eq!(send(&msgs[0], b"x"), Err(EPIPE));
}

#[test]
fn paths_are_bound_at_their_inode() {
    let net = Network::new();
    let fs = PseudoFs::new("test", 1, Time::default(), true, |fs| fs.dir(0o755, vec![]));
    let inode = fs.file(0o600, |_| Ok(vec![]));
    let at = unix_addr(b"/run/x\0");
    let l = net.socket(&cx(), 1, SOCK_STREAM, 0).unwrap();
    assert_eq!(
        sock(&l).bind(
            &cx(),
            Name {
                bytes: &at,
                inode: Some(&inode)
            }
        ),
        Ok(())
    );
    assert_eq!(sock(&l).sockname(), Ok(at.clone()));
    assert_eq!(unix::socket_path(&at), Ok(Some(&b"/run/x"[..])));
    sock(&l).listen(&cx(), 1).unwrap();
    let c = net.socket(&cx(), 1, SOCK_STREAM, 0).unwrap();
    assert_eq!(sock(&c).connect(&cx(), name(&at)), Err(ECONNREFUSED));
    assert_eq!(
        sock(&c).connect(
            &cx(),
            Name {
                bytes: &at,
                inode: Some(&inode)
            }
        ),
        Ok(())
    );
    drop(l);
    let c = net.socket(&cx(), 1, SOCK_STREAM, 0).unwrap();
    assert_eq!(
        sock(&c).connect(
            &cx(),
            Name {
                bytes: &at,
                inode: Some(&inode)
            }
        ),
        Err(ECONNREFUSED)
    );
}

#[test]
fn creation_is_checked() {
    let net = Network::new();
    let new = |d: u32, k, p| net.socket(&cx(), d, k, p).map(|_| ());
    assert_eq!(new(99, SOCK_STREAM, 0), Err(EAFNOSUPPORT));
    assert_eq!(new(1, 0, 0), Err(ESOCKTNOSUPPORT));
    assert_eq!(new(1, 11, 0), Err(EINVAL));
    assert_eq!(new(1, SOCK_STREAM, 7), Err(EPROTONOSUPPORT));
    assert_eq!(new(1, SOCK_RDM, 0), Err(ESOCKTNOSUPPORT));
    assert_eq!(new(2, SOCK_STREAM, IPPROTO_UDP), Err(EPROTONOSUPPORT));
    assert_eq!(new(2, SOCK_RAW, IPPROTO_ICMP), Err(EPERM));
    assert_eq!(new(16, SOCK_RAW, 9), Err(EPROTONOSUPPORT));
    assert_eq!(
        net.socketpair(&cx(), 2, SOCK_STREAM, 0).map(|_| ()),
        Err(EOPNOTSUPP)
    );
}

#[test]
fn two_threads_stream_a_megabyte() {
    let net = Network::new();
    let (a, b) = net.socketpair(&cx(), 1, SOCK_STREAM, 0).unwrap();
    let total = 4 << 20;
    let writer = std::thread::spawn(move || {
        let data: Vec<u8> = (0..total).map(|i| (i % 251) as u8).collect();
        let waiter = Waiter::new();
        let mut table = PollTable::new(waiter.clone());
        a.poll(&cx(), Some(&mut table));
        let mut at = 0;
        while at < total {
            match send(&a, &data[at..]) {
                Ok(n) => at += n,
                Err(EAGAIN) => {
                    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
                    assert_eq!(waiter.wait(Some(limit)), WaitResult::Woken);
                }
                Err(e) => panic!("{e}"),
            }
        }
    });
    let waiter = Waiter::new();
    let mut table = PollTable::new(waiter.clone());
    b.poll(&cx(), Some(&mut table));
    let mut seen = 0;
    loop {
        match recv(&b, 10_000) {
            Ok(data) if data.is_empty() => break,
            Ok(data) => {
                assert!(
                    data.iter()
                        .enumerate()
                        .all(|(i, &x)| x == ((seen + i) % 251) as u8)
                );
                seen += data.len();
            }
            Err(EAGAIN) => {
                let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
                assert_eq!(waiter.wait(Some(limit)), WaitResult::Woken);
            }
            Err(e) => panic!("{e}"),
        }
    }
    writer.join().unwrap();
    assert_eq!(seen, total);
}
