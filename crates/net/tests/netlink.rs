//! Netlink: questions about the machine's sockets, generic families, messages between programs.

use std::sync::Arc;
use tuxlet_net::Network;
use tuxlet_uapi::{errno::*, genetlink::*, netlink::*, sock_diag::*, socket::*};
use tuxlet_vfs::{
    Cred, Cx, FileOps, SocketOps,
    attr::Time,
    socket::{Name, SendMsg},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

fn cx_of(uid: u32, tgid: u32) -> Cx {
    Cx {
        cred: Arc::new(if uid == 0 {
            Cred::root()
        } else {
            Cred::user(uid, uid)
        }),
        umask: 0o22,
        now: Time::default(),
        fsize_limit: u64::MAX,
        tgid,
        tid: tgid,
        context: 0,
    }
}

fn cx() -> Cx {
    cx_of(0, 42)
}

fn sock(ops: &Arc<dyn FileOps>) -> &dyn SocketOps {
    ops.as_socket().expect("a socket")
}

fn name(bytes: &[u8]) -> Name<'_> {
    Name { bytes, inode: None }
}

fn open(net: &Arc<Network>, protocol: u32) -> Arc<dyn FileOps> {
    net.socket(&cx(), u32::from(AF_NETLINK), SOCK_RAW, protocol)
        .unwrap()
}

fn address(port: u32, groups: u32) -> Vec<u8> {
    let nl = SockaddrNl {
        nl_family: AF_NETLINK,
        _pad0: 0,
        nl_pid: port,
        nl_groups: groups,
    };
    nl.as_bytes().to_vec()
}

fn request<T: IntoBytes + Immutable>(kind: u16, flags: u16, body: &T, more: &[u8]) -> Vec<u8> {
    let header = Nlmsghdr {
        nlmsg_len: (size_of::<Nlmsghdr>() + size_of::<T>() + more.len()) as u32,
        nlmsg_type: kind,
        nlmsg_flags: flags | NLM_F_REQUEST,
        nlmsg_seq: 9,
        nlmsg_pid: 0,
    };
    [header.as_bytes(), body.as_bytes(), more].concat()
}

fn attribute(kind: u16, data: &[u8]) -> Vec<u8> {
    let header = Rtattr {
        rta_len: (4 + data.len()) as u16,
        rta_type: kind,
    };
    let mut bytes = [header.as_bytes(), data].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn recv(ops: &Arc<dyn FileOps>) -> Result<(Vec<u8>, SockaddrNl)> {
    let mut buf = vec![0; 1 << 16];
    let got = sock(ops).recvmsg(&cx(), &mut &mut buf[..], 0)?;
    buf.truncate(got.len);
    let (from, _) = SockaddrNl::read_from_prefix(&got.name).unwrap();
    Ok((buf, from))
}

/// Sends a request and gives type and body of all that is answered.
fn ask(ops: &Arc<dyn FileOps>, request: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut data = request;
    let sent = sock(ops).sendmsg(&cx(), &mut data, &mut SendMsg::default());
    assert_eq!(sent, Ok(request.len()));
    let mut all = Vec::new();
    while let Ok((bytes, from)) = recv(ops) {
        assert_eq!(from.nl_pid, 0);
        let mut rest = &bytes[..];
        while let Ok((header, _)) = Nlmsghdr::read_from_prefix(rest) {
            let len = header.nlmsg_len as usize;
            assert_eq!((header.nlmsg_seq, header.nlmsg_pid), (9, 42));
            all.push((header.nlmsg_type, rest[16..len].to_vec()));
            rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        }
    }
    all
}

fn error_of(answer: &[(u16, Vec<u8>)]) -> i32 {
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].0, NLMSG_ERROR);
    -i32::read_from_prefix(&answer[0].1).unwrap().0
}

fn find(mut bytes: &[u8], kind: u16) -> Option<Vec<u8>> {
    while let Ok((attr, _)) = Rtattr::read_from_prefix(bytes) {
        let len = usize::from(attr.rta_len);
        if attr.rta_type == kind {
            return Some(bytes[4..len].to_vec());
        }
        bytes = &bytes[len.next_multiple_of(4).min(bytes.len())..];
    }
    None
}

fn inet_request(protocol: u32, states: u32) -> InetDiagReqV2 {
    InetDiagReqV2 {
        sdiag_family: AF_INET as u8,
        sdiag_protocol: protocol as u8,
        idiag_ext: 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_SKMEMINFO - 1),
        idiag_states: states,
        ..InetDiagReqV2::default()
    }
}

fn loopback(port: [u8; 2]) -> Vec<u8> {
    let name = SockaddrIn {
        sin_family: AF_INET,
        sin_port: port,
        sin_addr: [127, 0, 0, 1],
        _zero: [0; 8],
    };
    name.as_bytes().to_vec()
}

fn inet(net: &Arc<Network>, kind: u32, uid: u32) -> Arc<dyn FileOps> {
    let cx = cx_of(uid, 42);
    let s = net.socket(&cx, u32::from(AF_INET), kind, 0).unwrap();
    sock(&s).bind(&cx, name(&loopback([0, 0]))).unwrap();
    s
}

fn ino(ops: &Arc<dyn FileOps>) -> u32 {
    ops.attr(&cx()).unwrap().ino as u32
}

fn port(ops: &Arc<dyn FileOps>) -> [u8; 2] {
    sock(ops).sockname().unwrap()[2..4].try_into().unwrap()
}

fn inet_messages(answer: &[(u16, Vec<u8>)]) -> Vec<InetDiagMsg> {
    let (last, rest) = answer.split_last().unwrap();
    assert_eq!(last.0, NLMSG_DONE);
    rest.iter()
        .map(|(_, b)| InetDiagMsg::read_from_prefix(b).unwrap().0)
        .collect()
}

#[test]
fn dumps_show_the_sockets_of_the_machine_only() {
    let net = Network::new();
    let stranger = inet(&Network::new(), SOCK_STREAM, 0);
    sock(&stranger).listen(&cx(), 5).unwrap();
    let listener = inet(&net, SOCK_STREAM, 1000);
    // Bound only: in no table, as in Linux.
    let _bound = inet(&net, SOCK_STREAM, 0);
    sock(&listener).listen(&cx(), 5).unwrap();
    let client = net
        .socket(&cx(), u32::from(AF_INET), SOCK_STREAM, 0)
        .unwrap();
    let _ = sock(&client).connect(&cx(), name(&sock(&listener).sockname().unwrap()));
    let (server, _) = loop {
        match sock(&listener).accept(&cx_of(33, 7)) {
            Err(EAGAIN) => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    let udp = inet(&net, SOCK_DGRAM, 5);
    let diag = open(&net, NETLINK_SOCK_DIAG);
    let dump = |protocol, states| {
        let body = inet_request(protocol, states);
        ask(&diag, &request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body, &[]))
    };

    let got = inet_messages(&dump(IPPROTO_TCP, u32::MAX));
    let shown: Vec<_> = got
        .iter()
        .map(|m| (m.idiag_inode, m.idiag_uid, m.idiag_state))
        .collect();
    assert_eq!(
        shown,
        [
            (ino(&listener), 1000, TCP_LISTEN),
            (ino(&client), 0, TCP_ESTABLISHED),
            (ino(&server), 33, TCP_ESTABLISHED),
        ]
    );
    assert_eq!(got[1].id.idiag_dport, port(&listener));
    assert_eq!(got[1].id.idiag_sport, got[2].id.idiag_dport);
    assert_eq!(got[2].id.idiag_dst[..4], [127, 0, 0, 1]);
    assert_eq!((got[0].idiag_rqueue, got[0].idiag_wqueue), (0, 5));

    let listening = dump(IPPROTO_TCP, 1 << TCP_LISTEN);
    assert_eq!(inet_messages(&listening).len(), 1);
    let attributes = &listening[0].1[size_of::<InetDiagMsg>()..];
    assert!(find(attributes, INET_DIAG_INFO).is_some_and(|i| i[0] == TCP_LISTEN));
    assert_eq!(
        find(attributes, INET_DIAG_SKMEMINFO).map(|m| m.len()),
        Some(36)
    );

    let got = inet_messages(&dump(IPPROTO_UDP, u32::MAX));
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].idiag_inode, got[0].idiag_uid), (ino(&udp), 5));
    assert_eq!(got[0].idiag_state, TCP_CLOSE);

    // Data that wait are counted.
    let mut data = &b"0123456789"[..];
    sock(&client)
        .sendmsg(&cx(), &mut data, &mut SendMsg::default())
        .unwrap();
    drop(listener);
    // The host may take its time.
    loop {
        let got = inet_messages(&dump(IPPROTO_TCP, 1 << TCP_ESTABLISHED));
        assert_eq!(got.len(), 2);
        if got[1].idiag_rqueue == 10 {
            break;
        }
        std::thread::yield_now();
    }

    assert_eq!(error_of(&dump(132, u32::MAX)), ENOENT.raw());
}

#[test]
fn one_socket_is_found_by_its_names() {
    let net = Network::new();
    let listener = inet(&net, SOCK_STREAM, 0);
    sock(&listener).listen(&cx(), 5).unwrap();
    let diag = open(&net, NETLINK_SOCK_DIAG);
    let mut body = inet_request(IPPROTO_TCP, 0);
    body.id.idiag_sport = port(&listener);
    body.id.idiag_src[..4].copy_from_slice(&[127, 0, 0, 1]);
    body.id.idiag_cookie = [INET_DIAG_NOCOOKIE; 2];
    let exact = |body: &InetDiagReqV2| ask(&diag, &request(SOCK_DIAG_BY_FAMILY, 0, body, &[]));
    let got = exact(&body);
    let (message, _) = InetDiagMsg::read_from_prefix(&got[0].1).unwrap();
    assert_eq!((got.len(), message.idiag_inode), (1, ino(&listener)));
    body.id.idiag_cookie = message.id.idiag_cookie;
    assert_eq!(exact(&body).len(), 1);
    let cookie = sock(&listener)
        .getsockopt(&cx(), SOL_SOCKET, SO_COOKIE, 8)
        .unwrap();
    assert_eq!(cookie, message.id.idiag_cookie.as_bytes());
    body.id.idiag_cookie = [1, 1];
    assert_eq!(error_of(&exact(&body)), ENOENT.raw());
    body.id.idiag_cookie = [INET_DIAG_NOCOOKIE; 2];
    body.id.idiag_src = [9; 16];
    assert_eq!(error_of(&exact(&body)), ENOENT.raw());
    let short = request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &[AF_INET as u8, 6], &[]);
    assert_eq!(error_of(&ask(&diag, &short)), EINVAL.raw());
    let destroy = request(SOCK_DESTROY, 0, &body, &[]);
    assert_eq!(error_of(&ask(&diag, &destroy)), EOPNOTSUPP.raw());
}

#[test]
fn filters_choose_by_port_and_address() {
    let net = Network::new();
    let a = inet(&net, SOCK_DGRAM, 0);
    let b = inet(&net, SOCK_DGRAM, 0);
    let diag = open(&net, NETLINK_SOCK_DIAG);
    let body = inet_request(IPPROTO_UDP, u32::MAX);
    let dump = |code: &[u8]| {
        let filter = attribute(INET_DIAG_REQ_BYTECODE, code);
        let answer = ask(
            &diag,
            &request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body, &filter),
        );
        if answer[0].0 == NLMSG_ERROR {
            return Err(error_of(&answer));
        }
        let got = inet_messages(&answer);
        Ok(got.iter().map(|m| m.idiag_inode).collect::<Vec<_>>())
    };
    let number = u16::from_be_bytes(port(&a)).to_le_bytes();
    let port_is = [INET_DIAG_BC_S_EQ, 8, 12, 0, 0, 0, number[0], number[1]];
    assert_eq!(dump(&port_is), Ok(vec![ino(&a)]));
    // "not": on yes go on to a jump that leads outside.
    let not = [
        &[INET_DIAG_BC_S_EQ, 8, 12, 0, 0, 0, number[0], number[1]][..],
        &[INET_DIAG_BC_JMP, 4, 8, 0],
    ]
    .concat();
    assert_eq!(dump(&not), Ok(vec![ino(&b)]));
    let cond = |address: [u8; 4], bits: u8| {
        let minus_one = [0xff; 4];
        [
            &[INET_DIAG_BC_S_COND, 16, 20, 0, AF_INET as u8, bits, 0, 0][..],
            &minus_one,
            &address,
        ]
        .concat()
    };
    assert_eq!(dump(&cond([127, 9, 9, 9], 8)), Ok(vec![ino(&a), ino(&b)]));
    assert_eq!(dump(&cond([127, 0, 0, 2], 32)), Ok(vec![]));
    assert_eq!(dump(&[INET_DIAG_BC_S_EQ, 8, 12, 0]), Err(EINVAL.raw()));
}

#[test]
fn unix_sockets_are_shown_with_names_peers_and_queues() {
    let net = Network::new();
    let unix = |kind| net.socket(&cx(), u32::from(AF_UNIX), kind, 0).unwrap();
    let listener = unix(SOCK_STREAM);
    let abstract_name = b"\x01\x00\x00listener";
    sock(&listener).bind(&cx(), name(abstract_name)).unwrap();
    sock(&listener).listen(&cx(), 7).unwrap();
    let client = unix(SOCK_STREAM);
    sock(&client).connect(&cx(), name(abstract_name)).unwrap();
    let (a, b) = net
        .socketpair(&cx_of(5, 7), u32::from(AF_UNIX), SOCK_DGRAM, 0)
        .unwrap();
    let mut data = &b"twelve bytes"[..];
    sock(&a)
        .sendmsg(&cx(), &mut data, &mut SendMsg::default())
        .unwrap();
    let diag = open(&net, NETLINK_SOCK_DIAG);
    let mut body = UnixDiagReq {
        sdiag_family: AF_UNIX as u8,
        udiag_states: u32::MAX,
        udiag_show: 0x7f,
        udiag_cookie: [INET_DIAG_NOCOOKIE; 2],
        ..UnixDiagReq::default()
    };
    let got = ask(&diag, &request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body, &[]));
    // The listener, the client, the end that waits to be accepted, and the pair.
    assert_eq!(got.len(), 6);
    let by_ino = |ino: u32| {
        got.iter().find_map(|(_, bytes)| {
            let (message, rest) = UnixDiagMsg::read_from_prefix(bytes).ok()?;
            (message.udiag_ino == ino).then(|| (message, rest.to_vec()))
        })
    };
    let (message, attributes) = by_ino(ino(&listener)).unwrap();
    assert_eq!(
        (message.udiag_type, message.udiag_state),
        (SOCK_STREAM as u8, TCP_LISTEN)
    );
    assert_eq!(find(&attributes, UNIX_DIAG_NAME).unwrap(), b"\0listener");
    assert_eq!(
        find(&attributes, UNIX_DIAG_ICONS).unwrap(),
        ino(&client).as_bytes()
    );
    assert_eq!(
        find(&attributes, UNIX_DIAG_RQLEN).unwrap(),
        [1u32, 7].as_bytes()
    );
    let (message, attributes) = by_ino(ino(&b)).unwrap();
    assert_eq!(message.udiag_state, TCP_ESTABLISHED);
    assert_eq!(
        find(&attributes, UNIX_DIAG_PEER).unwrap(),
        ino(&a).as_bytes()
    );
    assert_eq!(
        find(&attributes, UNIX_DIAG_RQLEN).unwrap(),
        [12u32, 0].as_bytes()
    );
    assert_eq!(find(&attributes, UNIX_DIAG_UID).unwrap(), 5u32.as_bytes());
    let (_, attributes) = by_ino(ino(&a)).unwrap();
    assert_eq!(
        find(&attributes, UNIX_DIAG_RQLEN).unwrap(),
        [0u32, 12].as_bytes()
    );

    let exact = |body: &UnixDiagReq| ask(&diag, &request(SOCK_DIAG_BY_FAMILY, 0, body, &[]));
    assert_eq!(error_of(&exact(&body)), EINVAL.raw());
    body.udiag_ino = ino(&a);
    assert_eq!(exact(&body)[0].0, SOCK_DIAG_BY_FAMILY);
    body.udiag_cookie = [77, 77];
    assert_eq!(error_of(&exact(&body)), ESTALE.raw());
    drop(a);
    assert_eq!(error_of(&exact(&body)), ENOENT.raw());
}

#[test]
fn the_generic_controller_knows_itself_only() {
    let generic = open(&Network::new(), NETLINK_GENERIC);
    let get = Genlmsghdr {
        cmd: CTRL_CMD_GETFAMILY,
        version: 1,
        reserved: 0,
    };
    let by_name = |name: &[u8]| {
        let more = attribute(CTRL_ATTR_FAMILY_NAME, name);
        ask(&generic, &request(GENL_ID_CTRL, 0, &get, &more))
    };
    let got = by_name(b"nlctrl\0");
    let found = find(&got[0].1[4..], CTRL_ATTR_FAMILY_ID).unwrap();
    assert_eq!(found, GENL_ID_CTRL.as_bytes());
    assert_eq!(error_of(&by_name(b"nl80211\0")), ENOENT.raw());
    let dump = ask(&generic, &request(GENL_ID_CTRL, NLM_F_DUMP, &get, &[]));
    assert_eq!((dump.len(), dump[1].0), (2, NLMSG_DONE));
    let neither = ask(&generic, &request(GENL_ID_CTRL, 0, &get, &[]));
    assert_eq!(error_of(&neither), EINVAL.raw());
    assert_eq!(
        error_of(&ask(&generic, &request(30, 0, &get, &[]))),
        ENOENT.raw()
    );
}

#[test]
fn programs_send_to_groups_and_to_each_other() {
    let net = Network::new();
    let udev = open(&net, NETLINK_KOBJECT_UEVENT);
    let monitor = open(&net, NETLINK_KOBJECT_UEVENT);
    sock(&udev).bind(&cx(), name(&address(0, 0))).unwrap();
    let own = sock(&udev).sockname().unwrap();
    let (own, _) = SockaddrNl::read_from_prefix(&own).unwrap();
    assert_eq!(own.nl_pid, 42);
    // The process's number is taken.
    sock(&monitor).bind(&cx(), name(&address(0, 2))).unwrap();
    let theirs = sock(&monitor).sockname().unwrap();
    let (theirs, _) = SockaddrNl::read_from_prefix(&theirs).unwrap();
    assert!(theirs.nl_pid != 42 && theirs.nl_groups == 2);
    let third = open(&net, NETLINK_KOBJECT_UEVENT);
    let taken = sock(&third).bind(&cx(), name(&address(42, 0)));
    assert_eq!(taken, Err(EADDRINUSE));

    let send = |to: &[u8], cx: &Cx| {
        let mut data = &b"libudev\0change"[..];
        let mut msg = SendMsg {
            name: Some(name(to)),
            ..SendMsg::default()
        };
        sock(&udev).sendmsg(cx, &mut data, &mut msg)
    };
    assert_eq!(send(&address(0, 2), &cx()), Ok(14));
    let (data, from) = recv(&monitor).unwrap();
    assert_eq!(data, b"libudev\0change");
    assert_eq!((from.nl_pid, from.nl_groups), (42, 2));
    assert_eq!(recv(&udev).err(), Some(EAGAIN));
    assert_eq!(send(&address(0, 2), &cx_of(1000, 42)), Err(EPERM));
    assert_eq!(send(&address(4711, 0), &cx()), Err(ECONNREFUSED));
    assert_eq!(send(&address(theirs.nl_pid, 0), &cx()), Ok(14));
    assert_eq!(recv(&monitor).unwrap().0.len(), 14);

    // Nobody has to read: what does not fit is lost, and the reader is told.
    while recv(&monitor).is_ok() {}
    for _ in 0..100_000 {
        send(&address(0, 2), &cx()).unwrap();
    }
    assert_eq!(recv(&monitor).err(), Some(ENOBUFS));
    assert!(recv(&monitor).is_ok());
}

#[test]
fn families_that_are_not_there_are_refused() {
    let net = Network::new();
    let user = cx_of(1000, 7);
    for family in [17, 40, 29] {
        for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW] {
            assert_eq!(net.socket(&cx(), family, kind, 0).err(), Some(EAFNOSUPPORT));
            assert_eq!(net.socket(&user, family, kind, 0).err(), Some(EAFNOSUPPORT));
        }
    }
    for protocol in [NETLINK_AUDIT, NETLINK_NETFILTER, 77] {
        assert_eq!(
            net.socket(&cx(), u32::from(AF_NETLINK), SOCK_RAW, protocol)
                .err(),
            Some(EPROTONOSUPPORT)
        );
    }
}
