//! Netlink sockets: netlink(7). Requests are answered at once; the answers wait in a queue. Programs can send messages
//! to each other, too.

use crate::{
    Network, Node, generic, interface,
    option::{Options, cut, int_of, int_value},
    route, sock_diag,
};
use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite};
use tuxlet_sync::{Mutex, WaitQueue};
use tuxlet_uapi::{
    errno::{
        EADDRINUSE, EAGAIN, ECONNREFUSED, EFAULT, EINVAL, EMSGSIZE, ENOBUFS, ENOPROTOOPT, ENOTTY,
        EOPNOTSUPP, EPERM, Result,
    },
    ioctl::FIONREAD,
    netlink::*,
    socket::*,
};
use tuxlet_vfs::{
    Attr, Cx, Events, FileOps, PollTable, SocketOps,
    cx::cap,
    socket::{Control, ControlMessage, Name, RecvMsg, SendMsg, Shutdown},
};
use zerocopy::{FromBytes, IntoBytes};

/// The protocols that there are. What they do not answer is told to nobody either: neither devices nor the network of
/// the host change for the guest.
pub(crate) const PROTOCOLS: &[u32] = &[
    NETLINK_ROUTE,
    NETLINK_USERSOCK,
    NETLINK_SOCK_DIAG,
    NETLINK_KOBJECT_UEVENT,
    NETLINK_GENERIC,
];
/// Groups that a socket can be in.
const GROUPS: i32 = 64;
/// A dump may be longer than the receive buffer, but a program that never reads gets no more than these bytes.
const QUEUE_MAX: usize = 16 << 20;

/// A message in a queue.
#[derive(Debug)]
struct Datagram {
    data: Vec<u8>,
    /// The port that it came from, 0 for the kernel.
    port: u32,
    /// The group that it was sent to, 0 for none.
    group: u32,
    cred: Ucred,
}

#[derive(Debug, Default)]
struct State {
    port: u32,
    /// Group `n` is bit `n - 1`.
    groups: u64,
    bound: bool,
    /// Where connect(2) says that messages go: port and group.
    peer: (u32, u32),
    datagrams: VecDeque<Datagram>,
    /// Bytes in `datagrams`.
    queued: usize,
    /// A message was lost because the queue was full.
    overrun: bool,
    flags: BTreeMap<u32, i32>,
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    net: Arc<Network>,
    node: Node,
    kind: u32,
    protocol: u32,
    options: Options,
    queue: WaitQueue,
    state: Mutex<State>,
}

/// What `/proc/net/netlink` tells of a socket.
#[derive(Clone, Copy, Debug)]
pub struct NetlinkInfo {
    /// `NETLINK_*`.
    pub protocol: u32,
    /// Port.
    pub port: u32,
    /// Groups 1 to 32, group `n` as bit `n - 1`.
    pub groups: u32,
    /// Bytes that wait to be received.
    pub recv_queue: usize,
    /// Inode number.
    pub ino: u64,
}

impl Drop for NetlinkSocket {
    fn drop(&mut self) {
        self.net.registry.remove_netlink(self.node.ino);
    }
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

fn parse(bytes: &[u8]) -> Result<SockaddrNl> {
    let (nl, _) = SockaddrNl::read_from_prefix(bytes).map_err(|_| EINVAL)?;
    if nl.nl_family == AF_NETLINK {
        Ok(nl)
    } else {
        Err(EINVAL)
    }
}

/// A group as an address has it.
fn mask_of(group: u32) -> u32 {
    if (1..=32).contains(&group) {
        1 << (group - 1)
    } else {
        0
    }
}

/// The first group of an address, 0 for none.
fn group_of(nl: &SockaddrNl) -> u32 {
    match nl.nl_groups {
        0 => 0,
        groups => groups.trailing_zeros() + 1,
    }
}

impl NetlinkSocket {
    pub(crate) fn new(net: &Arc<Network>, cx: &Cx, kind: u32, protocol: u32) -> Arc<NetlinkSocket> {
        let socket = Arc::new(NetlinkSocket {
            net: Arc::clone(net),
            node: net.node(cx),
            kind,
            protocol,
            options: Options::default(),
            queue: WaitQueue::new(),
            state: Mutex::default(),
        });
        net.registry.add_netlink(&socket);
        socket
    }

    pub(crate) fn ino(&self) -> u64 {
        self.node.ino
    }

    pub(crate) fn netlink_protocol(&self) -> u32 {
        self.protocol
    }

    pub(crate) fn info(&self) -> NetlinkInfo {
        let state = self.state.lock();
        NetlinkInfo {
            protocol: self.protocol,
            port: state.port,
            groups: state.groups as u32,
            recv_queue: state.queued,
            ino: self.node.ino,
        }
    }

    /// The port, chosen now if there is none: the process's number, or if another socket has that one, one that is
    /// no process's.
    fn port(&self, cx: &Cx) -> u32 {
        let mut state = self.state.lock();
        if !state.bound {
            let mut port = cx.tgid;
            let mut next = self.node.ino as u32;
            while port == 0
                || !self
                    .net
                    .registry
                    .take_port(self.protocol, port, self.node.ino)
            {
                port = 0xf000_0000 | (next & 0x0fff_ffff);
                next = next.wrapping_add(1);
            }
            state.bound = true;
            state.port = port;
        }
        state.port
    }

    /// Whether the caller may do what a protocol leaves to everybody or not.
    fn allowed(cx: &Cx, to_everybody: bool) -> Result<()> {
        if to_everybody || cx.cred.has_cap(cap::NET_ADMIN) {
            Ok(())
        } else {
            Err(EPERM)
        }
    }

    /// Whether the caller may send to other programs.
    fn may_send(&self, cx: &Cx) -> Result<()> {
        Self::allowed(cx, self.protocol == NETLINK_USERSOCK)
    }

    /// Whether the caller may be in groups.
    fn may_join(&self, cx: &Cx) -> Result<()> {
        Self::allowed(cx, self.protocol != NETLINK_USERSOCK)
    }

    /// Takes a message, or remembers that it was lost and says `ENOBUFS`.
    fn enqueue(&self, datagram: Datagram, limit: usize) -> Result<()> {
        let mut state = self.state.lock();
        let len = datagram.data.len();
        let fits = state.queued + len <= limit;
        if fits {
            state.queued += len;
            state.datagrams.push_back(datagram);
        } else if state.flags.get(&NETLINK_NO_ENOBUFS).is_none_or(|&v| v == 0) {
            state.overrun = true;
        }
        drop(state);
        self.queue.wake_all((Events::READABLE | Events::ERR).bits());
        if fits { Ok(()) } else { Err(ENOBUFS) }
    }

    fn rcvbuf(&self) -> usize {
        let value = self.options.get(SO_RCVBUF, 4);
        let value = value.and_then(|v| v.try_into().ok());
        value.map_or(0, u32::from_le_bytes) as usize
    }

    /// The kernel's answers to what was sent to it.
    fn ask_kernel(&self, cx: &Cx, request: &[u8]) -> Result<()> {
        let port = self.port(cx);
        let answers = match self.protocol {
            NETLINK_ROUTE => route::answer(&self.net, cx, request, port),
            NETLINK_SOCK_DIAG => sock_diag::answer(&self.net, cx, request, port),
            NETLINK_GENERIC => generic::answer(request, port),
            // The kernel listens, to pass events on to other machines; none are told of.
            NETLINK_KOBJECT_UEVENT => Vec::new(),
            _ => return Err(ECONNREFUSED),
        };
        for data in answers {
            let datagram = Datagram {
                data,
                port: 0,
                group: 0,
                cred: Ucred::default(),
            };
            // Lost answers are told by the next receive, as in Linux.
            let _ = self.enqueue(datagram, QUEUE_MAX);
        }
        Ok(())
    }

    /// Sends a copy to everyone else in a group.
    fn broadcast(&self, cx: &Cx, data: &[u8], group: u32) {
        let port = self.port(cx);
        for other in self.net.registry.netlink_sockets(self.protocol) {
            let member = other.state.lock().groups & (1 << (group - 1)) != 0;
            if member && other.node.ino != self.node.ino {
                let datagram = datagram_of(cx, data.to_vec(), port, group);
                // Whoever is too slow finds out by ENOBUFS; the sender goes on.
                let _ = other.enqueue(datagram, other.rcvbuf());
            }
        }
    }
}

fn datagram_of(cx: &Cx, data: Vec<u8>, port: u32, group: u32) -> Datagram {
    let cred = Ucred {
        pid: cx.tgid.cast_signed(),
        uid: cx.cred.uid,
        gid: cx.cred.gid,
    };
    Datagram {
        data,
        port,
        group,
        cred,
    }
}

/// Puts a message of the kernel into a netlink socket's queue. `EINVAL` for another file, `ENOBUFS` if it is full.
pub fn deliver(file: &dyn FileOps, message: &[u8]) -> Result<()> {
    let socket = file
        .as_any()
        .downcast_ref::<NetlinkSocket>()
        .ok_or(EINVAL)?;
    let datagram = Datagram {
        data: message.to_vec(),
        port: 0,
        group: 0,
        cred: Ucred::default(),
    };
    socket.enqueue(datagram, QUEUE_MAX)
}

/// Whether a file is a netlink socket.
pub fn is_netlink(file: &dyn FileOps) -> bool {
    file.as_any().is::<NetlinkSocket>()
}

impl SocketOps for NetlinkSocket {
    fn domain(&self) -> u16 {
        AF_NETLINK
    }

    fn kind(&self) -> u32 {
        self.kind
    }

    fn protocol(&self) -> u32 {
        self.protocol
    }

    fn bind(&self, cx: &Cx, name: Name<'_>) -> Result<()> {
        let nl = parse(name.bytes)?;
        if nl.nl_groups != 0 {
            self.may_join(cx)?;
        }
        let mut state = self.state.lock();
        if state.bound && nl.nl_pid != state.port {
            return Err(EINVAL);
        }
        if !state.bound && nl.nl_pid != 0 {
            if !self
                .net
                .registry
                .take_port(self.protocol, nl.nl_pid, self.node.ino)
            {
                return Err(EADDRINUSE);
            }
            state.port = nl.nl_pid;
            state.bound = true;
        }
        // The groups beyond an address's are those of NETLINK_ADD_MEMBERSHIP.
        state.groups = state.groups & !u64::from(u32::MAX) | u64::from(nl.nl_groups);
        drop(state);
        self.port(cx);
        Ok(())
    }

    fn listen(&self, _cx: &Cx, _backlog: i32) -> Result<()> {
        Err(EOPNOTSUPP)
    }

    fn accept(&self, _cx: &Cx) -> Result<(Arc<dyn FileOps>, Vec<u8>)> {
        Err(EOPNOTSUPP)
    }

    fn connect(&self, cx: &Cx, name: Name<'_>) -> Result<()> {
        if name.bytes.get(..2) == Some(&AF_UNSPEC.to_le_bytes()) {
            self.state.lock().peer = (0, 0);
            return Ok(());
        }
        let nl = parse(name.bytes)?;
        if nl.nl_pid != 0 || nl.nl_groups != 0 {
            self.may_send(cx)?;
        }
        self.port(cx);
        self.state.lock().peer = (nl.nl_pid, group_of(&nl));
        Ok(())
    }

    fn connect_result(&self) -> Result<()> {
        Ok(())
    }

    fn sockname(&self) -> Result<Vec<u8>> {
        let state = self.state.lock();
        Ok(address(state.port, state.groups as u32))
    }

    fn peername(&self) -> Result<Vec<u8>> {
        let (port, group) = self.state.lock().peer;
        Ok(address(port, mask_of(group)))
    }

    fn sendmsg(&self, cx: &Cx, from: &mut dyn IoRead, msg: &mut SendMsg<'_>) -> Result<usize> {
        if msg.flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let (port, group) = match msg.name {
            Some(name) => {
                let nl = parse(name.bytes)?;
                if nl.nl_pid != 0 || nl.nl_groups != 0 {
                    self.may_send(cx)?;
                }
                (nl.nl_pid, group_of(&nl))
            }
            None => self.state.lock().peer,
        };
        let own_port = self.port(cx);
        let len = from.remaining();
        if len > self.options.sndbuf() - 32 {
            return Err(EMSGSIZE);
        }
        let mut data = vec![0; len];
        if len > 0 && from.read_into(&mut data)? < len {
            return Err(EFAULT);
        }
        msg.control = Control::default();
        if group != 0 {
            self.broadcast(cx, &data, group);
        }
        if port == 0 {
            // With a group, the kernel is only one of those who may listen.
            match self.ask_kernel(cx, &data) {
                Err(ECONNREFUSED) if group != 0 => {}
                other => other?,
            }
        } else {
            let other = self.net.registry.by_port(self.protocol, port);
            let other = other.ok_or(ECONNREFUSED)?;
            other.enqueue(datagram_of(cx, data, own_port, 0), other.rcvbuf())?;
        }
        Ok(len)
    }

    fn recvmsg(&self, _cx: &Cx, to: &mut dyn IoWrite, flags: u32) -> Result<RecvMsg> {
        if flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if std::mem::take(&mut state.overrun) {
            return Err(ENOBUFS);
        }
        let front = state.datagrams.front().ok_or(EAGAIN)?;
        let (port, group, cred, len) = (front.port, front.group, front.cred, front.data.len());
        let data = if flags & MSG_PEEK != 0 {
            front.data.clone()
        } else {
            state.queued -= len;
            state.datagrams.pop_front().ok_or(EAGAIN)?.data
        };
        let with_group = state.flags.get(&NETLINK_PKTINFO).is_some_and(|&v| v != 0);
        drop(state);
        let stored = len.min(to.remaining());
        if stored > 0 && to.write_from(&data[..stored])? < stored {
            return Err(EFAULT);
        }
        let mut control = Control {
            cred: self.options.is_set(SO_PASSCRED).then_some(cred),
            ..Control::default()
        };
        if with_group {
            control.other.push(ControlMessage {
                level: SOL_NETLINK.cast_signed(),
                kind: NETLINK_PKTINFO.cast_signed(),
                data: group.to_le_bytes().to_vec(),
            });
        }
        Ok(RecvMsg {
            len: if flags & MSG_TRUNC != 0 { len } else { stored },
            name: address(port, mask_of(group)),
            control,
            flags: if stored < len { MSG_TRUNC } else { 0 },
        })
    }

    fn setsockopt(&self, cx: &Cx, level: u32, name: u32, value: &[u8]) -> Result<()> {
        match (level, name) {
            (SOL_SOCKET, _) => self.options.set(cx, name, value),
            (
                SOL_NETLINK,
                NETLINK_PKTINFO
                | NETLINK_BROADCAST_ERROR
                | NETLINK_NO_ENOBUFS
                | NETLINK_CAP_ACK
                | NETLINK_EXT_ACK
                | NETLINK_GET_STRICT_CHK,
            ) => {
                self.state
                    .lock()
                    .flags
                    .insert(name, i32::from(int_of(value)? != 0));
                Ok(())
            }
            (SOL_NETLINK, NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP) => {
                self.may_join(cx)?;
                let group = int_of(value)?;
                if !(1..=GROUPS).contains(&group) {
                    return Err(EINVAL);
                }
                let bit = 1u64 << (group - 1);
                let mut state = self.state.lock();
                if name == NETLINK_ADD_MEMBERSHIP {
                    state.groups |= bit;
                } else {
                    state.groups &= !bit;
                }
                Ok(())
            }
            _ => Err(ENOPROTOOPT),
        }
    }

    fn getsockopt(&self, _cx: &Cx, level: u32, name: u32, len: usize) -> Result<Vec<u8>> {
        if (level, name) == (SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS) {
            return Ok(cut(&self.state.lock().groups.to_le_bytes(), len));
        }
        if level == SOL_NETLINK {
            let value = self
                .state
                .lock()
                .flags
                .get(&name)
                .copied()
                .ok_or(ENOPROTOOPT)?;
            return Ok(int_value(value, len));
        }
        if level != SOL_SOCKET {
            return Err(ENOPROTOOPT);
        }
        if let Some(value) = self.options.get(name, len) {
            return Ok(value);
        }
        match name {
            SO_TYPE => Ok(int_value(self.kind.cast_signed(), len)),
            SO_DOMAIN => Ok(int_value(i32::from(AF_NETLINK), len)),
            SO_PROTOCOL => Ok(int_value(self.protocol.cast_signed(), len)),
            SO_ERROR | SO_ACCEPTCONN => Ok(int_value(0, len)),
            SO_COOKIE => Ok(cut(&self.node.ino.to_le_bytes(), len)),
            _ => Err(ENOPROTOOPT),
        }
    }

    fn shutdown(&self, _how: Shutdown) -> Result<()> {
        Err(EOPNOTSUPP)
    }

    fn recv_timeout(&self) -> Option<Duration> {
        self.options.recv_timeout()
    }

    fn send_timeout(&self) -> Option<Duration> {
        self.options.send_timeout()
    }
}

impl FileOps for NetlinkSocket {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_socket(&self) -> Option<&dyn SocketOps> {
        Some(self)
    }

    fn read_at(&self, cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        Ok(self.recvmsg(cx, to, 0)?.len)
    }

    fn write_at(&self, cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        self.sendmsg(cx, from, &mut SendMsg::default())
    }

    fn seekable(&self) -> bool {
        false
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Ok(self.node.attr(cx))
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.queue);
        }
        let state = self.state.lock();
        let mut events = Events::WRITABLE;
        if !state.datagrams.is_empty() {
            events |= Events::READABLE;
        }
        if state.overrun {
            events |= Events::READABLE | Events::ERR;
        }
        events
    }

    fn pollable(&self) -> bool {
        true
    }

    fn ioctl(&self, cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        if request != FIONREAD {
            return interface::ioctl(&self.net, cx, request, arg, mm).unwrap_or(Err(ENOTTY));
        }
        let len = self
            .state
            .lock()
            .datagrams
            .front()
            .map_or(0, |d| d.data.len());
        mm.write(arg, &i32::try_from(len).unwrap_or(i32::MAX))?;
        Ok(0)
    }
}
