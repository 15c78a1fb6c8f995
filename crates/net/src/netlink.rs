//! Netlink sockets: netlink(7). Requests are answered at once; the answers wait in a queue.

use crate::{
    Node, interface,
    option::{Options, cut, int_of, int_value},
    route,
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
        EAGAIN, ECONNREFUSED, EFAULT, EINVAL, EMSGSIZE, ENOPROTOOPT, ENOTTY, EOPNOTSUPP, Result,
    },
    ioctl::FIONREAD,
    netlink::*,
    socket::*,
};
use tuxlet_vfs::{
    Attr, Cx, Events, FileOps, PollTable, SocketOps,
    socket::{Control, Name, RecvMsg, SendMsg, Shutdown},
};
use zerocopy::{FromBytes, IntoBytes};

#[derive(Debug, Default)]
struct State {
    port: u32,
    groups: u32,
    bound: bool,
    datagrams: VecDeque<Vec<u8>>,
    flags: BTreeMap<u32, i32>,
}

/// A `NETLINK_ROUTE` socket.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    node: Node,
    kind: u32,
    options: Options,
    queue: WaitQueue,
    state: Mutex<State>,
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

impl NetlinkSocket {
    pub(crate) fn new(node: Node, kind: u32) -> NetlinkSocket {
        NetlinkSocket {
            node,
            kind,
            options: Options::default(),
            queue: WaitQueue::new(),
            state: Mutex::default(),
        }
    }

    /// The port, chosen now if there is none: like Linux a number that is no process's.
    fn port(&self) -> u32 {
        let mut state = self.state.lock();
        if !state.bound {
            state.bound = true;
            state.port = 0xf000_0000 | (self.node.ino as u32 & 0x0fff_ffff);
        }
        state.port
    }
}

/// Puts a message of the kernel into a netlink socket's queue. `EINVAL` for another file.
pub fn deliver(file: &dyn FileOps, message: &[u8]) -> Result<()> {
    let socket = file
        .as_any()
        .downcast_ref::<NetlinkSocket>()
        .ok_or(EINVAL)?;
    socket.state.lock().datagrams.push_back(message.to_vec());
    socket.queue.wake_all(Events::READABLE.bits());
    Ok(())
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
        NETLINK_ROUTE
    }

    fn bind(&self, _cx: &Cx, name: Name<'_>) -> Result<()> {
        let nl = parse(name.bytes)?;
        let mut state = self.state.lock();
        if state.bound && nl.nl_pid != 0 && nl.nl_pid != state.port {
            return Err(EINVAL);
        }
        // Nothing is ever sent to groups: the guest's view of the host's network does not change.
        state.groups = nl.nl_groups;
        if !state.bound && nl.nl_pid != 0 {
            state.port = nl.nl_pid;
            state.bound = true;
        }
        drop(state);
        self.port();
        Ok(())
    }

    fn listen(&self, _cx: &Cx, _backlog: i32) -> Result<()> {
        Err(EOPNOTSUPP)
    }

    fn accept(&self, _cx: &Cx) -> Result<(Arc<dyn FileOps>, Vec<u8>)> {
        Err(EOPNOTSUPP)
    }

    fn connect(&self, _cx: &Cx, name: Name<'_>) -> Result<()> {
        if name.bytes.get(..2) == Some(&AF_UNSPEC.to_le_bytes()) {
            return Ok(());
        }
        if parse(name.bytes)?.nl_pid != 0 {
            return Err(ECONNREFUSED);
        }
        self.port();
        Ok(())
    }

    fn connect_result(&self) -> Result<()> {
        Ok(())
    }

    fn sockname(&self) -> Result<Vec<u8>> {
        let state = self.state.lock();
        Ok(address(state.port, state.groups))
    }

    fn peername(&self) -> Result<Vec<u8>> {
        Ok(address(0, 0))
    }

    fn sendmsg(&self, _cx: &Cx, from: &mut dyn IoRead, msg: &mut SendMsg<'_>) -> Result<usize> {
        if msg.flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        if let Some(name) = msg.name
            && parse(name.bytes)?.nl_pid != 0
        {
            return Err(ECONNREFUSED);
        }
        let len = from.remaining();
        if len > self.options.sndbuf() - 32 {
            return Err(EMSGSIZE);
        }
        let mut request = vec![0; len];
        if len > 0 && from.read_into(&mut request)? < len {
            return Err(EFAULT);
        }
        msg.control = Control::default();
        let answers = route::answer(&request, self.port());
        self.state.lock().datagrams.extend(answers);
        self.queue.wake_all(Events::READABLE.bits());
        Ok(len)
    }

    fn recvmsg(&self, _cx: &Cx, to: &mut dyn IoWrite, flags: u32) -> Result<RecvMsg> {
        if flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        let datagram = state.datagrams.front().ok_or(EAGAIN)?.clone();
        if flags & MSG_PEEK == 0 {
            state.datagrams.pop_front();
        }
        drop(state);
        let stored = datagram.len().min(to.remaining());
        if stored > 0 && to.write_from(&datagram[..stored])? < stored {
            return Err(EFAULT);
        }
        Ok(RecvMsg {
            len: if flags & MSG_TRUNC != 0 {
                datagram.len()
            } else {
                stored
            },
            name: address(0, 0),
            flags: if stored < datagram.len() {
                MSG_TRUNC
            } else {
                0
            },
            ..RecvMsg::default()
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
                let group = int_of(value)?;
                if (1..=64).contains(&group) {
                    Ok(())
                } else {
                    Err(EINVAL)
                }
            }
            _ => Err(ENOPROTOOPT),
        }
    }

    fn getsockopt(&self, _cx: &Cx, level: u32, name: u32, len: usize) -> Result<Vec<u8>> {
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
            SO_PROTOCOL => Ok(int_value(NETLINK_ROUTE.cast_signed(), len)),
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
        if self.state.lock().datagrams.is_empty() {
            Events::WRITABLE
        } else {
            Events::READABLE | Events::WRITABLE
        }
    }

    fn pollable(&self) -> bool {
        true
    }

    fn ioctl(&self, _cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        if request != FIONREAD {
            return interface::ioctl(request, arg, mm).unwrap_or(Err(ENOTTY));
        }
        let len = self.state.lock().datagrams.front().map_or(0, Vec::len);
        mm.write(arg, &i32::try_from(len).unwrap_or(i32::MAX))?;
        Ok(0)
    }
}
