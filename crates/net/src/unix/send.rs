//! Sending: pieces of a stream, datagrams, records.

use super::state::{Message, Phase, Sock};
use std::sync::{Arc, Weak};
use tuxlet_mem::IoRead;
use tuxlet_uapi::{
    errno::{
        EAGAIN, ECONNREFUSED, EISCONN, EMSGSIZE, ENOTCONN, EOPNOTSUPP, EPERM, EPIPE, EPROTOTYPE,
        Result,
    },
    socket::{MSG_OOB, SOCK_SEQPACKET, Ucred},
};
use tuxlet_vfs::{
    Cx, Events,
    socket::{Name, SendMsg},
};

/// What the kernel's bookkeeping of a datagram takes from the send buffer, in bytes.
const DATAGRAM_OVERHEAD: usize = 32;
/// Small pieces of a stream are put together up to this many bytes.
const PIECE: usize = 32 << 10;

/// Takes up to `len` bytes from `from`. `EFAULT` if not all are readable (none, with `partial`).
fn take(from: &mut dyn IoRead, len: usize, partial: bool) -> Result<Vec<u8>> {
    let mut data = vec![0; len];
    let n = if len == 0 {
        0
    } else {
        from.read_into(&mut data)?
    };
    if n < len && !partial {
        return Err(tuxlet_uapi::errno::EFAULT);
    }
    data.truncate(n);
    Ok(data)
}

impl Sock {
    /// A message of this endpoint's, with the control data taken out of `msg`.
    fn message(&self, cx: &Cx, data: Vec<u8>, msg: &mut SendMsg<'_>) -> Message {
        let control = std::mem::take(&mut msg.control);
        Message {
            data,
            start: 0,
            files: control.files,
            cred: control.cred.unwrap_or(Ucred {
                pid: cx.tgid.cast_signed(),
                uid: cx.cred.uid,
                gid: cx.cred.gid,
            }),
            from: self.state.lock().bound.clone(),
        }
    }

    pub(super) fn send(
        self: &Arc<Self>,
        cx: &Cx,
        from: &mut dyn IoRead,
        msg: &mut SendMsg<'_>,
    ) -> Result<usize> {
        if msg.flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let connected = matches!(self.state.lock().phase, Phase::Connected);
        if self.is_stream() {
            if msg.name.is_some() {
                return Err(if connected { EISCONN } else { EOPNOTSUPP });
            }
            return self.send_stream(cx, from, msg);
        }
        if self.kind == SOCK_SEQPACKET {
            if !connected {
                return Err(ENOTCONN);
            }
            // Linux ignores an address here.
            msg.name = None;
        }
        self.send_datagram(cx, from, msg)
    }

    fn send_stream(&self, cx: &Cx, from: &mut dyn IoRead, msg: &mut SendMsg<'_>) -> Result<usize> {
        let state = self.state.lock();
        let Some(peer) = &state.peer else {
            return Err(ENOTCONN);
        };
        let peer = peer.upgrade().filter(|_| !state.shut_write).ok_or(EPIPE)?;
        drop(state);
        let room = {
            let theirs = peer.state.lock();
            if theirs.is_closed() || theirs.shut_read {
                return Err(EPIPE);
            }
            self.options.sndbuf().saturating_sub(theirs.queued)
        };
        let len = from.remaining();
        if len == 0 {
            return Ok(0);
        }
        if room == 0 {
            return Err(EAGAIN);
        }
        let data = take(from, len.min(room), true)?;
        let n = data.len();
        let message = self.message(cx, data, msg);
        peer.nest(&message);
        let mut theirs = peer.state.lock();
        if theirs.is_closed() || theirs.shut_read {
            drop(theirs);
            super::close::discard([message]);
            return Err(EPIPE);
        }
        theirs.queued += n;
        match theirs.messages.back_mut() {
            Some(last)
                if last.files.is_empty()
                    && message.files.is_empty()
                    && last.cred == message.cred
                    && last.data.len() + n <= PIECE =>
            {
                last.data.extend_from_slice(&message.data);
            }
            _ => theirs.messages.push_back(message),
        }
        drop(theirs);
        peer.wake(Events::READABLE);
        Ok(n)
    }

    /// Whom a datagram goes to.
    fn destination(&self, name: Option<Name<'_>>) -> Result<Arc<Sock>> {
        if let Some(name) = name {
            let other = self.net.names.find(name)?;
            return if other.kind == self.kind {
                Ok(other)
            } else {
                Err(EPROTOTYPE)
            };
        }
        let mut state = self.state.lock();
        let peer = state.peer.as_ref().ok_or(ENOTCONN)?;
        match peer.upgrade() {
            Some(peer) => Ok(peer),
            None => {
                if self.is_datagram() {
                    state.peer = None;
                    Err(ECONNREFUSED)
                } else {
                    Err(EPIPE)
                }
            }
        }
    }

    fn send_datagram(
        self: &Arc<Self>,
        cx: &Cx,
        from: &mut dyn IoRead,
        msg: &mut SendMsg<'_>,
    ) -> Result<usize> {
        let len = from.remaining();
        let sndbuf = self.options.sndbuf();
        if len > sndbuf - DATAGRAM_OVERHEAD {
            return Err(EMSGSIZE);
        }
        let other = self.destination(msg.name)?;
        if self.state.lock().shut_write {
            return Err(EPIPE);
        }
        self.check_datagram(&other, len, sndbuf)?;
        let message = self.message(cx, take(from, len, false)?, msg);
        other.nest(&message);
        let mut theirs = other.state.lock();
        if theirs.is_closed() || theirs.shut_read {
            drop(theirs);
            super::close::discard([message]);
            return Err(EPIPE);
        }
        theirs.queued += len;
        theirs.messages.push_back(message);
        drop(theirs);
        other.wake(Events::READABLE);
        Ok(len)
    }

    /// Whether `other` takes a datagram of `len` bytes now.
    fn check_datagram(
        self: &Arc<Self>,
        other: &Arc<Sock>,
        len: usize,
        sndbuf: usize,
    ) -> Result<()> {
        let me = Arc::downgrade(self);
        let mut theirs = other.state.lock();
        if theirs.is_closed() {
            drop(theirs);
            if !self.is_datagram() {
                return Err(EPIPE);
            }
            let mut state = self.state.lock();
            if state
                .peer
                .as_ref()
                .is_some_and(|p| p.ptr_eq(&Arc::downgrade(other)))
            {
                state.peer = None;
            }
            return Err(ECONNREFUSED);
        }
        let mutual = match &theirs.peer {
            Some(peer) if peer.ptr_eq(&me) => true,
            Some(_) => return Err(EPERM),
            None => false,
        };
        if theirs.shut_read {
            return Err(EPIPE);
        }
        let full = !theirs.messages.is_empty() && theirs.queued + len > sndbuf;
        if full || (!mutual && !Arc::ptr_eq(self, other) && theirs.datagrams_full()) {
            theirs.add_starved(self);
            return Err(EAGAIN);
        }
        Ok(())
    }

    /// Accounts for sockets in a message that is to be queued here.
    fn nest(&self, message: &Message) {
        for file in &message.files {
            if file.ops_as::<super::UnixSocket>().is_some() {
                self.raise_nesting(super::nesting(file) + 1);
            }
        }
    }

    /// Whether there is room to send, as poll(2) sees it.
    pub(super) fn writable(self: &Arc<Self>) -> bool {
        let (phase_writable, peer) = {
            let state = self.state.lock();
            let writable = !matches!(state.phase, Phase::Listening { .. });
            (writable, state.peer.as_ref().and_then(Weak::upgrade))
        };
        let Some(peer) = peer.filter(|_| phase_writable) else {
            return phase_writable;
        };
        let mut theirs = peer.state.lock();
        // Linux calls a socket writable while at most a quarter of its buffer is used.
        let room = theirs.queued * 4 <= self.options.sndbuf();
        let mutual = theirs
            .peer
            .as_ref()
            .is_some_and(|p| p.ptr_eq(&Arc::downgrade(self)));
        let full = self.is_datagram() && !mutual && theirs.datagrams_full();
        if !room || full {
            theirs.add_starved(self);
        }
        room && !full
    }
}
