//! Receiving: bytes of a stream, datagrams, records.

use super::{
    close::discard,
    state::{Phase, Sock, State, wake_starved},
};
use std::sync::Weak;
use tuxlet_mem::IoWrite;
use tuxlet_uapi::{
    errno::{EAGAIN, EINVAL, ENOTCONN, EOPNOTSUPP, Result},
    socket::{MSG_OOB, MSG_PEEK, MSG_TRUNC, SO_PASSCRED, SOCK_SEQPACKET},
};
use tuxlet_vfs::{
    Events,
    socket::{Control, RecvMsg},
};

/// What to answer with nothing in the queue: the error, the end, or `EAGAIN`.
fn nothing(state: &mut State) -> Result<RecvMsg> {
    match state.error.take() {
        Some(error) => Err(error),
        None if state.shut_read => Ok(RecvMsg::default()),
        None => Err(EAGAIN),
    }
}

impl Sock {
    pub(super) fn recv(&self, to: &mut dyn IoWrite, flags: u32) -> Result<RecvMsg> {
        let connected = matches!(self.state.lock().phase, Phase::Connected);
        if self.is_stream() {
            if !connected {
                return Err(EINVAL);
            }
            if flags & MSG_OOB != 0 {
                return Err(EINVAL);
            }
            return self.recv_stream(to, flags & MSG_PEEK != 0);
        }
        if flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        if self.kind == SOCK_SEQPACKET && !connected {
            return Err(ENOTCONN);
        }
        self.recv_datagram(to, flags)
    }

    /// Lets senders know of room; `state` is given back first.
    fn room_made(&self, mut state: tuxlet_sync::MutexGuard<'_, State>) {
        let starved = std::mem::take(&mut state.starved);
        let peer = state.peer.as_ref().and_then(Weak::upgrade);
        drop(state);
        if let Some(peer) = peer {
            peer.wake(Events::WRITABLE);
        }
        wake_starved(starved);
    }

    fn recv_stream(&self, to: &mut dyn IoWrite, peek: bool) -> Result<RecvMsg> {
        let pass_cred = self.options.is_set(SO_PASSCRED);
        let mut state = self.state.lock();
        if to.remaining() == 0 {
            return Ok(RecvMsg::default());
        }
        if state.messages.is_empty() {
            return nothing(&mut state);
        }
        let mut got = RecvMsg::default();
        let mut finished = Vec::new();
        let mut at = 0;
        let mut failed = None;
        while let Some(message) = state.messages.get_mut(at) {
            if got.len > 0 && pass_cred && got.control.cred != Some(message.cred) {
                // Bytes of different senders are not put together.
                break;
            }
            if got.len == 0 {
                got.control.cred = pass_cred.then_some(message.cred);
                got.name = message
                    .from
                    .as_ref()
                    .map(|b| b.bytes.clone())
                    .unwrap_or_default();
            }
            let data = &message.data[message.start..];
            let wanted = data.len().min(to.remaining());
            let n = match to.write_from(&data[..wanted]) {
                Ok(n) => n,
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            };
            let files = if peek {
                message.files.clone()
            } else {
                std::mem::take(&mut message.files)
            };
            let ends = !files.is_empty();
            got.control.files.extend(files);
            got.len += n;
            let whole = n == data.len();
            if peek {
                at += 1;
            } else {
                message.start += n;
                state.queued -= n;
                if whole {
                    finished.extend(state.messages.pop_front());
                }
            }
            if !whole || ends || to.remaining() == 0 {
                break;
            }
        }
        if peek || got.len == 0 {
            drop(state);
        } else {
            self.room_made(state);
        }
        discard(finished);
        match failed {
            Some(error) if got.len == 0 => Err(error),
            _ => Ok(got),
        }
    }

    fn recv_datagram(&self, to: &mut dyn IoWrite, flags: u32) -> Result<RecvMsg> {
        let peek = flags & MSG_PEEK != 0;
        let mut state = self.state.lock();
        let Some(message) = state.messages.front() else {
            return nothing(&mut state);
        };
        let room = to.remaining();
        let len = message.data.len();
        let copied = if room == 0 || len == 0 {
            Ok(0)
        } else {
            to.write_from(&message.data[..len.min(room)])
        };
        let mut got = RecvMsg {
            len: if flags & MSG_TRUNC != 0 {
                len
            } else {
                len.min(room)
            },
            name: message
                .from
                .as_ref()
                .map(|b| b.bytes.clone())
                .unwrap_or_default(),
            control: Control {
                cred: self.options.is_set(SO_PASSCRED).then_some(message.cred),
                ..Control::default()
            },
            flags: if len > room { MSG_TRUNC } else { 0 },
        };
        if peek {
            got.control.files = message.files.clone();
            drop(state);
        } else if let Some(message) = state.messages.pop_front() {
            state.queued -= len;
            got.control.files = message.files;
            self.room_made(state);
        }
        // As in Linux, a datagram that cannot be stored is lost.
        let complete = copied? == len.min(room);
        if complete {
            Ok(got)
        } else {
            Err(tuxlet_uapi::errno::EFAULT)
        }
    }

    /// Bytes that a read gets at once (`FIONREAD`): of a stream all, else of the next message.
    pub(super) fn readable_len(&self) -> Result<usize> {
        let state = self.state.lock();
        match &state.phase {
            Phase::Listening { .. } => Err(EINVAL),
            _ if self.is_stream() => Ok(state.queued),
            _ => Ok(state.messages.front().map_or(0, |m| m.data.len())),
        }
    }
}
