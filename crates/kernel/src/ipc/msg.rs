//! Message queues: msgget(2), msgsnd(2), msgrcv(2).

use super::Object;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    ipc::{IpcPerm, MSG_COPY, MSG_EXCEPT, MSG_NOERROR, MSGMNB},
};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type, greater than 0.
    pub kind: i64,
    /// Its text.
    pub text: Vec<u8>,
}

/// Counters and times of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Last msgsnd(2), seconds.
    pub stime: i64,
    /// Last msgrcv(2).
    pub rtime: i64,
    /// Creation or last change.
    pub ctime: i64,
    /// Bytes in the queue.
    pub bytes: u64,
    /// Messages in the queue.
    pub count: u64,
    /// Most bytes.
    pub max_bytes: u64,
    /// Last sender.
    pub sender: u32,
    /// Last receiver.
    pub receiver: u32,
}

#[derive(Debug)]
struct State {
    messages: VecDeque<Message>,
    stats: Stats,
    removed: bool,
}

/// A message queue.
#[derive(Debug)]
pub struct MsgQueue {
    perm: Mutex<IpcPerm>,
    state: Mutex<State>,
    changed: WaitQueue,
}

impl Object for MsgQueue {
    fn perm(&self) -> &Mutex<IpcPerm> {
        &self.perm
    }
}

impl MsgQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(perm: IpcPerm, now: i64) -> Self {
        let stats = Stats {
            ctime: now,
            max_bytes: MSGMNB.into(),
            ..Stats::default()
        };
        let state = State {
            messages: VecDeque::new(),
            stats,
            removed: false,
        };
        Self {
            perm: Mutex::new(perm),
            state: Mutex::new(state),
            changed: WaitQueue::new(),
        }
    }

    /// Woken when a message comes or goes, or the queue is removed.
    #[must_use]
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Counters and times.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.state.lock();
        Stats {
            count: state.messages.len() as u64,
            ..state.stats
        }
    }

    /// Notes a change; also of the most bytes: `IPC_SET`.
    pub fn set_max_bytes(&self, max_bytes: u64, now: i64) {
        let mut state = self.state.lock();
        state.stats.max_bytes = max_bytes;
        state.stats.ctime = now;
        drop(state);
        self.changed.wake_all(!0);
    }

    /// Puts a message at the end. `EAGAIN` if the queue is full, `EIDRM` if it was removed.
    pub fn send(&self, message: &Message, pid: u32, now: i64) -> Result<()> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let len = message.text.len() as u64;
        // Empty messages count too, or there could be endlessly many.
        let full = state.stats.bytes + len > state.stats.max_bytes
            || state.messages.len() as u64 + 1 > state.stats.max_bytes;
        if full {
            return Err(Errno::EAGAIN);
        }
        state.messages.push_back(message.clone());
        state.stats.bytes += len;
        state.stats.stime = now;
        state.stats.sender = pid;
        drop(state);
        self.changed.wake_all(!0);
        Ok(())
    }

    /// Takes a message that `kind` and `flags` choose: msgrcv(2). `ENOMSG` if there is none, `E2BIG` if it is longer
    /// than `room` and may not be cut.
    pub fn receive(
        &self,
        kind: i64,
        flags: u32,
        room: usize,
        pid: u32,
        now: i64,
    ) -> Result<Message> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let at = choose(&state.messages, kind, flags).ok_or(Errno::ENOMSG)?;
        let copy = flags & MSG_COPY != 0;
        let mut message = state.messages.get(at).cloned().ok_or(Errno::ENOMSG)?;
        if message.text.len() > room && flags & MSG_NOERROR == 0 {
            return Err(Errno::E2BIG);
        }
        if !copy {
            state.messages.remove(at);
            state.stats.bytes -= message.text.len() as u64;
            state.stats.rtime = now;
            state.stats.receiver = pid;
        }
        drop(state);
        message.text.truncate(room);
        if !copy {
            self.changed.wake_all(!0);
        }
        Ok(message)
    }

    /// Marks the queue as removed; sleepers get `EIDRM`.
    pub fn remove(&self) {
        let mut state = self.state.lock();
        state.removed = true;
        state.messages.clear();
        drop(state);
        self.changed.wake_all(!0);
    }
}

/// The message that a type asks for: 0 the first, positive the first of that type (or not of it), negative the first
/// of the lowest type up to its absolute value.
fn choose(messages: &VecDeque<Message>, kind: i64, flags: u32) -> Option<usize> {
    if flags & MSG_COPY != 0 {
        return usize::try_from(kind).ok().filter(|i| *i < messages.len());
    }
    match kind {
        0 if messages.is_empty() => None,
        0 => Some(0),
        1.. => messages
            .iter()
            .position(|m| (m.kind == kind) != (flags & MSG_EXCEPT != 0)),
        _ => {
            let limit = kind.checked_neg().unwrap_or(i64::MAX);
            let eligible = messages.iter().enumerate().filter(|(_, m)| m.kind <= limit);
            eligible.min_by_key(|(i, m)| (m.kind, *i)).map(|(i, _)| i)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_choose_messages() {
        let all: VecDeque<_> = [3, 1, 2, 1]
            .map(|kind| Message {
                kind,
                text: Vec::new(),
            })
            .into();
        assert_eq!(choose(&all, 0, 0), Some(0));
        assert_eq!(choose(&all, 1, 0), Some(1));
        assert_eq!(choose(&all, 3, MSG_EXCEPT), Some(1));
        assert_eq!(choose(&all, -2, 0), Some(1));
        assert_eq!(choose(&all, 9, 0), None);
        assert_eq!(choose(&all, 2, MSG_COPY), Some(2));
    }

    #[test]
    fn a_full_queue_refuses_and_a_long_message_is_cut_only_if_allowed() {
        let queue = MsgQueue::new(IpcPerm::default(), 0);
        queue.set_max_bytes(10, 0);
        let message = Message {
            kind: 1,
            text: b"12345678".to_vec(),
        };
        queue.send(&message, 1, 1).unwrap();
        assert_eq!(queue.send(&message, 1, 1), Err(Errno::EAGAIN));
        assert_eq!(queue.receive(0, 0, 3, 1, 1), Err(Errno::E2BIG));
        assert_eq!(queue.receive(0, MSG_NOERROR, 3, 1, 1).unwrap().text, b"123");
        assert_eq!((queue.stats().bytes, queue.stats().count), (0, 0));
    }
}
