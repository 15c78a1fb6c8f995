//! Internet and netlink sockets against the host's loopback interface.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tuxlet_net::Network;
use tuxlet_sync::{WaitResult, Waiter};
use tuxlet_uapi::{errno::*, netlink::*, socket::*};
use tuxlet_vfs::{
    Cred, Cx, Events, FileOps, PollTable, SocketOps,
    attr::Time,
    socket::{Name, SendMsg},
};
use zerocopy::{FromBytes, IntoBytes};

fn cx() -> Cx {
    Cx {
        cred: Arc::new(Cred::root()),
        umask: 0o22,
        now: Time::default(),
        fsize_limit: u64::MAX,
        tgid: 42,
        tid: 42,
        context: 0,
    }
}

fn sock(ops: &Arc<dyn FileOps>) -> &dyn SocketOps {
    ops.as_socket().expect("a socket")
}

fn name(bytes: &[u8]) -> Name<'_> {
    Name { bytes, inode: None }
}

fn loopback(port: [u8; 2]) -> Vec<u8> {
    SockaddrIn {
        sin_family: AF_INET,
        sin_port: port,
        sin_addr: [127, 0, 0, 1],
        _zero: [0; 8],
    }
    .as_bytes()
    .to_vec()
}

fn any(kind: u32) -> (Arc<Network>, Arc<dyn FileOps>) {
    let net = Network::new();
    let s = net.socket(&cx(), u32::from(AF_INET), kind, 0).unwrap();
    sock(&s).bind(&cx(), name(&loopback([0, 0]))).unwrap();
    (net, s)
}

/// As the kernel does it: register, look, sleep, look.
fn wait_for(ops: &Arc<dyn FileOps>, want: Events) -> Events {
    let waiter = Waiter::new();
    let mut table = PollTable::new(waiter.clone());
    let mut events = ops.poll(&cx(), Some(&mut table));
    let limit = Instant::now() + Duration::from_secs(20);
    while !events.intersects(want) {
        assert_eq!(
            waiter.wait(Some(limit)),
            WaitResult::Woken,
            "no wake-up for {want:?}"
        );
        events = ops.poll(&cx(), None);
    }
    events
}

fn recv(ops: &Arc<dyn FileOps>, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let got = sock(ops).recvmsg(&cx(), &mut &mut buf[..], 0)?;
    buf.truncate(got.len);
    Ok(buf)
}

fn send(ops: &Arc<dyn FileOps>, mut data: &[u8]) -> Result<usize> {
    sock(ops).sendmsg(&cx(), &mut data, &mut SendMsg::default())
}

#[test]
fn tcp_moves_data_both_ways_with_wake_ups() {
    let (net, l) = any(SOCK_STREAM);
    sock(&l).listen(&cx(), 4).unwrap();
    let at = sock(&l).sockname().unwrap();
    let server = {
        let l = Arc::clone(&l);
        std::thread::spawn(move || {
            wait_for(&l, Events::IN);
            let (s, _) = sock(&l).accept(&cx()).unwrap();
            let mut total = 0;
            loop {
                match recv(&s, 70_000) {
                    Ok(data) if data.is_empty() => break,
                    Ok(data) => total += data.len(),
                    Err(EAGAIN) => {
                        wait_for(&s, Events::IN);
                    }
                    Err(e) => panic!("{e}"),
                }
            }
            assert_eq!(send(&s, &total.to_le_bytes()), Ok(8));
        })
    };
    let c = net.socket(&cx(), 2, SOCK_STREAM, 0).unwrap();
    match sock(&c).connect(&cx(), name(&at)) {
        Ok(()) => {}
        Err(EINPROGRESS) => {
            wait_for(&c, Events::OUT);
            sock(&c).connect_result().unwrap();
        }
        Err(e) => panic!("{e}"),
    }
    let total = 8usize << 20;
    let data = vec![3u8; total];
    let mut rest = &data[..];
    while !rest.is_empty() {
        match sock(&c).sendmsg(&cx(), &mut rest, &mut SendMsg::default()) {
            Ok(_) => {}
            Err(EAGAIN) => {
                wait_for(&c, Events::OUT);
            }
            Err(e) => panic!("{e}"),
        }
    }
    sock(&c)
        .shutdown(tuxlet_vfs::socket::Shutdown {
            read: false,
            write: true,
        })
        .unwrap();
    wait_for(&c, Events::IN);
    assert_eq!(recv(&c, 100), Ok(total.to_le_bytes().to_vec()));
    server.join().unwrap();
}

#[test]
fn a_refused_connection_says_so() {
    let (net, l) = any(SOCK_STREAM);
    let at = sock(&l).sockname().unwrap();
    drop(l);
    let c = net.socket(&cx(), 2, SOCK_STREAM, 0).unwrap();
    match sock(&c).connect(&cx(), name(&at)) {
        Err(EINPROGRESS) => {
            wait_for(&c, Events::OUT | Events::ERR);
            assert_eq!(sock(&c).connect_result(), Err(ECONNREFUSED));
        }
        other => assert_eq!(other, Err(ECONNREFUSED)),
    }
}

#[test]
fn udp_datagrams_have_senders() {
    let (_net, a) = any(SOCK_DGRAM);
    let (_net2, b) = any(SOCK_DGRAM);
    let to = sock(&a).sockname().unwrap();
    let mut msg = SendMsg {
        name: Some(name(&to)),
        ..SendMsg::default()
    };
    assert_eq!(sock(&b).sendmsg(&cx(), &mut &b"query"[..], &mut msg), Ok(5));
    wait_for(&a, Events::IN);
    let mut buf = [0; 100];
    let got = sock(&a).recvmsg(&cx(), &mut &mut buf[..], 0).unwrap();
    assert_eq!(
        (&buf[..got.len], got.name),
        (&b"query"[..], sock(&b).sockname().unwrap())
    );
    assert_eq!(recv(&a, 1), Err(EAGAIN));
    for (level, option) in [
        (SOL_SOCKET, SO_ATTACH_FILTER),
        (IPPROTO_IP, 64),
        (SOL_SOCKET, SO_ZEROCOPY),
    ] {
        let value = [0u8; 16];
        assert_eq!(
            sock(&a).setsockopt(&cx(), level, option, &value),
            Err(ENOPROTOOPT)
        );
    }
    let on = 1i32.to_le_bytes();
    assert_eq!(
        sock(&a).setsockopt(&cx(), IPPROTO_IP, IP_RECVERR, &on),
        Ok(())
    );
    assert_eq!(
        sock(&a).getsockopt(&cx(), SOL_SOCKET, SO_TYPE, 4),
        Ok(2i32.to_le_bytes().to_vec())
    );
}

#[test]
fn ping_works_or_is_refused() {
    let net = Network::new();
    let s = match net.socket(&cx(), 2, SOCK_RAW, IPPROTO_ICMP) {
        Ok(s) => s,
        Err(e) => {
            assert_eq!(e, EPERM);
            eprintln!("SKIPPED: the host allows no ICMP sockets");
            return;
        }
    };
    let to = loopback([0, 0]);
    let mut request = [8, 0, 0, 0, 0x12, 0x34, 0, 1, 1, 2, 3, 4];
    let sum = !request
        .chunks(2)
        .fold(0u32, |s, p| s + u32::from(u16::from_be_bytes([p[0], p[1]])));
    request[2..4].copy_from_slice(&(sum as u16).to_be_bytes());
    let mut msg = SendMsg {
        name: Some(name(&to)),
        ..SendMsg::default()
    };
    assert_eq!(sock(&s).sendmsg(&cx(), &mut &request[..], &mut msg), Ok(12));
    // A real raw socket on the loopback interface sees the request as well.
    for _ in 0..2 {
        wait_for(&s, Events::IN);
        let reply = recv(&s, 1500).unwrap();
        assert_eq!((reply[0], reply[9]), (0x45, 1));
        assert_eq!(reply[24..], [0x12, 0x34, 0, 1, 1, 2, 3, 4]);
        if reply[20] == 0 {
            return;
        }
    }
    panic!("no reply");
}

#[test]
fn netlink_lists_addresses_as_glibc_asks() {
    let net = Network::new();
    let s = net
        .socket(&cx(), u32::from(AF_NETLINK), SOCK_RAW, 0)
        .unwrap();
    let addr = SockaddrNl {
        nl_family: AF_NETLINK,
        ..SockaddrNl::default()
    };
    sock(&s).bind(&cx(), name(addr.as_bytes())).unwrap();
    let me = SockaddrNl::read_from_bytes(&sock(&s).sockname().unwrap()[..]).unwrap();
    assert_ne!(me.nl_pid, 0);
    let header = Nlmsghdr {
        nlmsg_len: 20,
        nlmsg_type: RTM_GETADDR,
        nlmsg_flags: NLM_F_REQUEST | NLM_F_DUMP,
        nlmsg_seq: 9,
        nlmsg_pid: 0,
    };
    let request = [header.as_bytes(), &[0; 4]].concat();
    let mut msg = SendMsg {
        name: Some(name(addr.as_bytes())),
        ..SendMsg::default()
    };
    assert_eq!(sock(&s).sendmsg(&cx(), &mut &request[..], &mut msg), Ok(20));
    let mut done = false;
    while !done {
        let data = recv(&s, 65536).unwrap();
        let mut bytes = &data[..];
        while let Ok((header, _)) = Nlmsghdr::read_from_prefix(bytes) {
            assert_eq!((header.nlmsg_seq, header.nlmsg_pid), (9, me.nl_pid));
            done |= header.nlmsg_type == NLMSG_DONE;
            bytes = &bytes[(header.nlmsg_len as usize).next_multiple_of(4)..];
        }
    }
    assert_eq!(recv(&s, 1), Err(EAGAIN));
}

#[test]
fn traffic_classes_are_asked_for_and_sent() {
    let net = Network::new();
    let Ok(a) = net.socket(&cx(), u32::from(AF_INET6), SOCK_DGRAM, 0) else {
        eprintln!("SKIPPED: no IPv6 on this host");
        return;
    };
    let (on, class) = (1i32.to_le_bytes(), 32i32.to_le_bytes());
    for (option, value) in [(IPV6_RECVTCLASS, on), (IPV6_TCLASS, class)] {
        let set = sock(&a).setsockopt(&cx(), IPPROTO_IPV6, option, &value);
        assert_eq!(set, Ok(()), "{option}");
        let got = sock(&a).getsockopt(&cx(), IPPROTO_IPV6, option, 4);
        assert_eq!(got, Ok(value.to_vec()), "{option}");
    }
    // What comes next to them are the packet filter's, which hold addresses.
    for option in [64, 65, 68, 69] {
        let set = sock(&a).setsockopt(&cx(), IPPROTO_IPV6, option, &on);
        assert_eq!(set, Err(ENOPROTOOPT), "{option}");
    }
}

#[test]
fn lightweight_datagrams_arrive_where_the_host_has_them() {
    let net = Network::new();
    let new = || net.socket(&cx(), u32::from(AF_INET), SOCK_DGRAM, IPPROTO_UDPLITE);
    let (a, b) = match (new(), new()) {
        (Ok(a), Ok(b)) => (a, b),
        (a, _) => {
            assert_eq!(a.err(), Some(EPROTONOSUPPORT));
            eprintln!("SKIPPED: no UDP-Lite on this host");
            return;
        }
    };
    sock(&a).bind(&cx(), name(&loopback([0, 0]))).unwrap();
    let covered = 12i32.to_le_bytes();
    sock(&b)
        .setsockopt(&cx(), IPPROTO_UDPLITE, UDPLITE_SEND_CSCOV, &covered)
        .unwrap();
    sock(&b)
        .connect(&cx(), name(&sock(&a).sockname().unwrap()))
        .unwrap();
    assert_eq!(send(&b, b"light"), Ok(5));
    wait_for(&a, Events::IN);
    assert_eq!(recv(&a, 100), Ok(b"light".to_vec()));
}
