//! The open file of an endpoint: naming, connecting, options.

use super::{
    address::{Parsed, parse, unnamed},
    state::{PeerCred, Phase, Sock},
};
use crate::{
    Network,
    option::{cut, int_of, int_value},
};
use std::{
    any::Any,
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite};
use tuxlet_uapi::{
    errno::{
        EAGAIN, ECONNREFUSED, EINVAL, EISCONN, ENOPROTOOPT, ENOTCONN, ENOTTY, EOPNOTSUPP, EPERM,
        EPROTONOSUPPORT, EPROTOTYPE, ERANGE, ESOCKTNOSUPPORT, Result,
    },
    ioctl::{FIONREAD, TIOCOUTQ},
    socket::*,
};
use tuxlet_vfs::{
    Attr, Cx, Events, FileOps, PollTable, SocketOps,
    socket::{Name, RecvMsg, SendMsg, Shutdown},
};
use zerocopy::IntoBytes;

/// A Unix socket.
#[derive(Debug)]
pub struct UnixSocket {
    pub(super) sock: Arc<Sock>,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.sock.close(false);
    }
}

/// Checks type and protocol; Linux makes a raw Unix socket a datagram socket.
fn checked_kind(kind: u32, protocol: u32) -> Result<u32> {
    if protocol != 0 && protocol != u32::from(AF_UNIX) {
        return Err(EPROTONOSUPPORT);
    }
    match kind {
        SOCK_STREAM | SOCK_DGRAM | SOCK_SEQPACKET => Ok(kind),
        SOCK_RAW => Ok(SOCK_DGRAM),
        _ => Err(ESOCKTNOSUPPORT),
    }
}

impl UnixSocket {
    pub(crate) fn new(net: &Arc<Network>, cx: &Cx, kind: u32, protocol: u32) -> Result<UnixSocket> {
        let kind = checked_kind(kind, protocol)?;
        Ok(UnixSocket {
            sock: Sock::new(net, cx, kind),
        })
    }

    pub(crate) fn pair(
        net: &Arc<Network>,
        cx: &Cx,
        kind: u32,
        protocol: u32,
    ) -> Result<(UnixSocket, UnixSocket)> {
        let a = UnixSocket::new(net, cx, kind, protocol)?;
        let b = UnixSocket::new(net, cx, kind, protocol)?;
        a.sock
            .connect_to(&b.sock, unnamed(), Some(PeerCred::of(cx)));
        b.sock
            .connect_to(&a.sock, unnamed(), Some(PeerCred::of(cx)));
        Ok((a, b))
    }

    fn connect_stream(&self, cx: &Cx, name: Name<'_>) -> Result<()> {
        if let Parsed::Unnamed = parse(name.bytes)? {
            return Err(EINVAL);
        }
        let listener = self.sock.net.names.find(name)?;
        if listener.kind != self.sock.kind {
            return Err(EPROTOTYPE);
        }
        {
            let mut state = self.sock.state.lock();
            match state.phase {
                Phase::Idle => state.phase = Phase::Connecting,
                Phase::Connected => return Err(EISCONN),
                _ => return Err(EINVAL),
            }
        }
        let result = self.enqueue_at(cx, &listener);
        if result.is_err() {
            let mut state = self.sock.state.lock();
            if let Phase::Connecting = state.phase {
                state.phase = Phase::Idle;
            }
        }
        result
    }

    /// Puts a new endpoint for this one's connection into the listener's backlog.
    fn enqueue_at(&self, cx: &Cx, listener: &Arc<Sock>) -> Result<()> {
        let server = Sock::new(&listener.net, cx, listener.kind);
        let my_name = self.sock.state.lock().name();
        let mut state = listener.state.lock();
        let name = state.name();
        let bound = state.bound.clone();
        let cred = state.peer_cred.clone();
        let shut = state.shut_read;
        let full = match &state.phase {
            Phase::Listening { backlog, pending } if !shut => pending.len() > *backlog,
            _ => return Err(ECONNREFUSED),
        };
        if full {
            state.add_starved(&self.sock);
            return Err(EAGAIN);
        }
        server.state.lock().bound = bound;
        server.connect_to(&self.sock, my_name, Some(PeerCred::of(cx)));
        // Before anyone can accept and send, this side must be connected; its own lock is free.
        if let Phase::Listening { pending, .. } = &mut state.phase {
            pending.push_back(Arc::clone(&server));
        }
        drop(state);
        self.sock.connect_to(&server, name, cred);
        listener.wake(Events::READABLE);
        self.sock.wake(Events::WRITABLE);
        Ok(())
    }

    fn connect_datagram(&self, name: Name<'_>) -> Result<()> {
        let unspecified = name.bytes.get(..2) == Some(&AF_UNSPEC.to_le_bytes());
        let (peer, peer_name) = if unspecified {
            (None, unnamed())
        } else {
            if let Parsed::Unnamed = parse(name.bytes)? {
                return Err(EINVAL);
            }
            let other = self.sock.net.names.find(name)?;
            if other.kind != self.sock.kind {
                return Err(EPROTOTYPE);
            }
            let me = Arc::downgrade(&self.sock);
            let theirs = other.state.lock();
            if theirs.peer.as_ref().is_some_and(|p| !p.ptr_eq(&me)) {
                return Err(EPERM);
            }
            let peer_name = theirs.name();
            drop(theirs);
            (Some(Arc::downgrade(&other)), peer_name)
        };
        let mut state = self.sock.state.lock();
        state.phase = if peer.is_some() {
            Phase::Connected
        } else {
            Phase::Idle
        };
        state.peer = peer;
        state.peer_name = peer_name;
        drop(state);
        self.sock.wake(Events::WRITABLE);
        Ok(())
    }

    fn socket_option(&self, name: u32, len: usize) -> Result<Vec<u8>> {
        if let Some(value) = self.sock.options.get(name, len) {
            return Ok(value);
        }
        let mut state = self.sock.state.lock();
        let int = match name {
            SO_TYPE => self.sock.kind.cast_signed(),
            SO_DOMAIN => i32::from(AF_UNIX),
            SO_PROTOCOL => 0,
            SO_ERROR => state.error.take().map_or(0, tuxlet_uapi::Errno::raw),
            SO_ACCEPTCONN => i32::from(matches!(state.phase, Phase::Listening { .. })),
            SO_PEERCRED => {
                let nobody = Ucred {
                    pid: 0,
                    uid: u32::MAX,
                    gid: u32::MAX,
                };
                let cred = state.peer_cred.as_ref().map_or(nobody, |c| c.ucred);
                return Ok(cut(cred.as_bytes(), len));
            }
            SO_PEERGROUPS => {
                let groups = state
                    .peer_cred
                    .as_ref()
                    .map(|c| c.groups.clone())
                    .ok_or(ENODATA)?;
                return if len < groups.len() * 4 {
                    Err(ERANGE)
                } else {
                    Ok(groups.as_bytes().to_vec())
                };
            }
            SO_COOKIE => return Ok(cut(&self.sock.node.ino.to_le_bytes(), len)),
            _ => return Err(ENOPROTOOPT),
        };
        Ok(int_value(int, len))
    }
}

use tuxlet_uapi::errno::ENODATA;

impl SocketOps for UnixSocket {
    fn domain(&self) -> u16 {
        AF_UNIX
    }

    fn kind(&self) -> u32 {
        self.sock.kind
    }

    fn protocol(&self) -> u32 {
        0
    }

    fn bind(&self, _cx: &Cx, name: Name<'_>) -> Result<()> {
        if let Parsed::Unnamed = parse(name.bytes)?
            && self.sock.state.lock().bound.is_some()
        {
            // bind(2) without a name asks for one only if there is none yet.
            return Ok(());
        }
        if self.sock.state.lock().bound.is_some() {
            return Err(EINVAL);
        }
        let bound = self.sock.net.names.bind(&self.sock, name)?;
        let mut state = self.sock.state.lock();
        if state.bound.is_some() {
            drop(state);
            self.sock.net.names.unbind(&bound);
            return Err(EINVAL);
        }
        state.bound = Some(Arc::new(bound));
        state.owns_name = true;
        Ok(())
    }

    fn listen(&self, cx: &Cx, backlog: i32) -> Result<()> {
        if self.sock.is_datagram() {
            return Err(EOPNOTSUPP);
        }
        let mut state = self.sock.state.lock();
        if state.bound.is_none() {
            return Err(EINVAL);
        }
        // Negative means as much as possible.
        let limit = (backlog.cast_unsigned() as usize).min(SOMAXCONN);
        match &mut state.phase {
            Phase::Idle => {
                state.phase = Phase::Listening {
                    backlog: limit,
                    pending: VecDeque::new(),
                };
            }
            Phase::Listening { backlog, .. } => *backlog = limit,
            _ => return Err(EINVAL),
        }
        // Who connects sees who listened.
        state.peer_cred = Some(PeerCred::of(cx));
        let starved = std::mem::take(&mut state.starved);
        drop(state);
        super::state::wake_starved(starved);
        Ok(())
    }

    fn accept(&self, _cx: &Cx) -> Result<(Arc<dyn FileOps>, Vec<u8>)> {
        if self.sock.is_datagram() {
            return Err(EOPNOTSUPP);
        }
        let mut state = self.sock.state.lock();
        let shut = state.shut_read;
        let Phase::Listening { pending, .. } = &mut state.phase else {
            return Err(EINVAL);
        };
        let sock = match pending.pop_front() {
            Some(sock) => sock,
            None => return Err(if shut { EINVAL } else { EAGAIN }),
        };
        let starved = std::mem::take(&mut state.starved);
        drop(state);
        super::state::wake_starved(starved);
        let peer_name = sock.state.lock().peer_name.clone();
        Ok((Arc::new(UnixSocket { sock }), peer_name))
    }

    fn connect(&self, cx: &Cx, name: Name<'_>) -> Result<()> {
        if self.sock.is_datagram() {
            self.connect_datagram(name)
        } else {
            self.connect_stream(cx, name)
        }
    }

    fn connect_result(&self) -> Result<()> {
        Ok(())
    }

    fn sockname(&self) -> Result<Vec<u8>> {
        Ok(self.sock.state.lock().name())
    }

    fn peername(&self) -> Result<Vec<u8>> {
        let state = self.sock.state.lock();
        if state.peer.is_none() {
            return Err(ENOTCONN);
        }
        Ok(state.peer_name.clone())
    }

    fn sendmsg(&self, cx: &Cx, from: &mut dyn IoRead, msg: &mut SendMsg<'_>) -> Result<usize> {
        self.sock.send(cx, from, msg)
    }

    fn recvmsg(&self, _cx: &Cx, to: &mut dyn IoWrite, flags: u32) -> Result<RecvMsg> {
        self.sock.recv(to, flags)
    }

    fn setsockopt(&self, cx: &Cx, level: u32, name: u32, value: &[u8]) -> Result<()> {
        if level != SOL_SOCKET {
            return Err(EOPNOTSUPP);
        }
        int_of(value)?;
        self.sock.options.set(cx, name, value)
    }

    fn getsockopt(&self, _cx: &Cx, level: u32, name: u32, len: usize) -> Result<Vec<u8>> {
        if level != SOL_SOCKET {
            return Err(EOPNOTSUPP);
        }
        self.socket_option(name, len)
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        let mut state = self.sock.state.lock();
        state.shut_read |= how.read;
        state.shut_write |= how.write;
        let peer = state.peer.as_ref().and_then(Weak::upgrade);
        drop(state);
        let events = Events::READABLE | Events::WRITABLE | Events::HUP | Events::RDHUP;
        if let Some(peer) = peer
            && !self.sock.is_datagram()
        {
            let mut theirs = peer.state.lock();
            theirs.shut_write |= how.read;
            theirs.shut_read |= how.write;
            drop(theirs);
            peer.wake(events);
        }
        self.sock.wake(events);
        Ok(())
    }

    fn recv_timeout(&self) -> Option<Duration> {
        self.sock.options.recv_timeout()
    }

    fn send_timeout(&self) -> Option<Duration> {
        self.sock.options.send_timeout()
    }
}

impl FileOps for UnixSocket {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_socket(&self) -> Option<&dyn SocketOps> {
        Some(self)
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let got = self.sock.recv(to, 0)?;
        // Files that read(2) cannot deliver are closed, as in Linux.
        Ok(got.len)
    }

    fn write_at(&self, cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        self.sock.send(cx, from, &mut SendMsg::default())
    }

    fn seekable(&self) -> bool {
        false
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Ok(self.sock.node.attr(cx))
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.sock.queue);
        }
        let writable = self.sock.writable();
        let state = self.sock.state.lock();
        let mut events = Events::empty();
        if state.error.is_some() {
            events |= Events::ERR;
        }
        if state.shut_read && state.shut_write {
            events |= Events::HUP;
        }
        if state.shut_read {
            events |= Events::RDHUP | Events::READABLE;
        }
        if !state.messages.is_empty() {
            events |= Events::READABLE;
        }
        match &state.phase {
            Phase::Listening { pending, .. } if !pending.is_empty() => events |= Events::READABLE,
            Phase::Idle if !self.sock.is_datagram() => events |= Events::HUP,
            _ => {}
        }
        if writable {
            events |= Events::WRITABLE | Events::WRBAND;
        }
        events
    }

    fn pollable(&self) -> bool {
        true
    }

    fn ioctl(&self, cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        let value = match request {
            FIONREAD => self.sock.readable_len()?,
            TIOCOUTQ => self.sock.peer().map_or(0, |peer| peer.state.lock().queued),
            // A socket of any family answers these.
            _ => {
                return crate::interface::ioctl(&self.sock.net, cx, request, arg, mm)
                    .unwrap_or(Err(ENOTTY));
            }
        };
        mm.write(arg, &i32::try_from(value).unwrap_or(i32::MAX))?;
        Ok(0)
    }
}
