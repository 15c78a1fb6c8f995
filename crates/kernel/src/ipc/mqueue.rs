//! POSIX message queues: mq_overview(7).

use crate::kernel::Kernel;
use parking_lot::Mutex;
use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tuxlet_mem::IoWrite;
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, Signal},
};
use tuxlet_vfs::{
    Attr, Cx, Events, FileOps, Inode, PollTable, SetAttr, SetTime, node_inode,
    pseudo::{Node, read_slice},
};

/// Highest priority of a message, plus one.
pub const PRIORITIES: u32 = 32_768;
/// What stat(2) says of every queue's size: the longest text that a read gives.
const TEXT_MAX: u64 = 80;

/// How somebody is told of a message in an empty queue.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Not at all: `SIGEV_NONE`.
    Nothing,
    /// By a signal with a value.
    Signal(Signal, u64),
    /// By the C library's helper thread (`SIGEV_THREAD`): a netlink socket gets the cookie.
    Thread(Arc<dyn FileOps>, [u8; COOKIE_LEN]),
}

impl Notice {
    /// Sends the cookie, if there is one, with what has happened in its last byte.
    pub fn send_cookie(&self, what: u8) {
        if let Self::Thread(socket, cookie) = self {
            let mut message = *cookie;
            message[COOKIE_LEN - 1] = what;
            // It was checked to be a netlink socket.
            let _ = tuxlet_net::netlink::deliver(&**socket, &message);
        }
    }
}

/// Length of the cookie of `SIGEV_THREAD`.
pub const COOKIE_LEN: usize = 32;
/// In the last byte of a cookie: there is a message.
pub const NOTIFY_WOKENUP: u8 = 1;
/// In the last byte of a cookie: the registration has ended.
const NOTIFY_REMOVED: u8 = 2;

/// Who is told of a message in an empty queue: mq_notify(3).
#[derive(Clone, Debug)]
pub struct Registration {
    /// Process.
    pub tgid: u32,
    /// How.
    pub notice: Notice,
    /// Knows by which id others see the process.
    pub kernel: Weak<Kernel>,
}

impl Registration {
    /// The process's id for a caller; 0 if it has none there.
    fn shown_pid(&self, cx: &Cx) -> u32 {
        let kernel = self.kernel.upgrade();
        kernel.map_or(0, |k| k.pid_ns_of(cx).shown(self.tgid))
    }
}

#[derive(Debug, Default)]
struct State {
    /// Messages by priority, the oldest of each first.
    messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    count: usize,
    bytes: usize,
    /// Threads that sleep in a receive; they take a message before anyone is notified.
    receivers: usize,
    registration: Option<Registration>,
}

/// A queue: an inode of the mqueue file system.
#[derive(Debug)]
pub struct Queue {
    node: Node,
    unlinked: AtomicBool,
    state: Mutex<State>,
    changed: WaitQueue,
    /// Most messages.
    pub max_messages: usize,
    /// Longest message.
    pub message_size: usize,
    myself: Weak<Self>,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(node: Node, max_messages: usize, message_size: usize) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            node,
            unlinked: AtomicBool::new(false),
            state: Mutex::default(),
            changed: WaitQueue::new(),
            max_messages,
            message_size,
            myself: Weak::clone(myself),
        })
    }

    /// The queue has lost its name.
    pub(super) fn unlinked(&self) {
        self.unlinked.store(true, Ordering::Relaxed);
    }

    /// A message came or went now.
    pub fn touch(&self, cx: &Cx) {
        let now = SetAttr {
            atime: Some(SetTime::Now),
            mtime: Some(SetTime::Now),
            ..SetAttr::default()
        };
        // Nothing can be wrong with a node in memory.
        let _ = self.node.set_attr(cx, &now);
    }

    /// Woken when a message comes or goes.
    #[must_use]
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Messages in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().count
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a message; returns who is to be told that the queue is no longer empty. `EAGAIN` if it is full.
    pub fn send(&self, text: &[u8], priority: u32) -> Result<Option<Registration>> {
        let mut state = self.state.lock();
        if state.count >= self.max_messages {
            return Err(Errno::EAGAIN);
        }
        state
            .messages
            .entry(priority)
            .or_default()
            .push_back(text.to_vec());
        state.count += 1;
        state.bytes += text.len();
        let tell = state.count == 1 && state.receivers == 0;
        let told = if tell {
            state.registration.take()
        } else {
            None
        };
        drop(state);
        self.changed.wake_all(Events::READABLE.bits());
        Ok(told)
    }

    /// Takes the oldest message of the highest priority. `EAGAIN` if there is none.
    pub fn receive(&self) -> Result<(Vec<u8>, u32)> {
        let mut state = self.state.lock();
        let mut highest = state.messages.last_entry().ok_or(Errno::EAGAIN)?;
        let priority = *highest.key();
        let text = highest.get_mut().pop_front().ok_or(Errno::EAGAIN)?;
        if highest.get().is_empty() {
            highest.remove();
        }
        state.count -= 1;
        state.bytes -= text.len();
        drop(state);
        self.changed.wake_all(Events::WRITABLE.bits());
        Ok((text, priority))
    }

    /// Counts a thread as sleeping in a receive (1) or not any more (-1).
    pub fn sleeping(&self, change: isize) {
        let mut state = self.state.lock();
        state.receivers = state.receivers.saturating_add_signed(change);
    }

    /// Registers for a notification, or with `None` takes the caller's registration back. `EBUSY` if somebody is
    /// registered.
    pub fn register(&self, tgid: u32, registration: Option<Registration>) -> Result<()> {
        let mut state = self.state.lock();
        match registration {
            Some(_) if state.registration.is_some() => return Err(Errno::EBUSY),
            Some(new) => state.registration = Some(new),
            None => {
                let mine = |r: &mut Registration| r.tgid == tgid;
                if let Some(ended) = state.registration.take_if(mine) {
                    ended.notice.send_cookie(NOTIFY_REMOVED);
                }
            }
        }
        Ok(())
    }
}

impl Inode for Queue {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(Attr {
            size: TEXT_MAX,
            nlink: u32::from(!self.unlinked.load(Ordering::Relaxed)),
            ..self.node.attr()
        })
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        self.node.set_attr(cx, set)
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        let queue = self.myself.upgrade().ok_or(Errno::ESTALE)?;
        Ok(Arc::new(MqFile(queue)))
    }
}

/// An open queue.
#[derive(Debug)]
pub struct MqFile(pub Arc<Queue>);

impl FileOps for MqFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Inode::attr(&*self.0, cx)
    }

    fn pollable(&self) -> bool {
        true
    }

    /// The state as text: mq_overview(7), "Mounting the message queue filesystem".
    fn read_at(&self, cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let (bytes, registration) = {
            let state = self.0.state.lock();
            (state.bytes, state.registration.clone())
        };
        let pid = registration.as_ref().map_or(0, |r| r.shown_pid(cx));
        let (kind, signal) = match registration.map(|r| r.notice) {
            None => (0, 0),
            Some(Notice::Signal(signal, _)) => (SIGEV_SIGNAL, signal.number()),
            Some(Notice::Nothing) => (SIGEV_NONE, 0),
            Some(Notice::Thread(..)) => (SIGEV_THREAD, 0),
        };
        let text =
            format!("QSIZE:{bytes:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n");
        read_slice(text.as_bytes(), offset, to)
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.0.changed);
        }
        let count = self.0.len();
        let mut events = Events::empty();
        events.set(Events::READABLE, count > 0);
        events.set(Events::WRITABLE, count < self.0.max_messages);
        events
    }

    fn flush(&self, cx: &Cx) -> Result<()> {
        // Closing a descriptor ends the process's registration: mq_close(3).
        self.0.register(cx.tgid, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tuxlet_vfs::{FileType, Time, pseudo::PseudoFs};

    fn queue() -> Arc<Queue> {
        let fs = PseudoFs::new("mqueue", 0, Time::default(), true, |fs| {
            fs.dir(0o755, Vec::new())
        });
        Queue::new(fs.node(FileType::Regular, 0o600), 3, 10)
    }

    fn nothing_for(tgid: u32) -> Registration {
        Registration {
            tgid,
            notice: Notice::Nothing,
            kernel: Weak::new(),
        }
    }

    #[test]
    fn the_highest_priority_comes_first_and_equals_in_order() {
        let q = queue();
        for (text, priority) in [(b"a", 1), (b"b", 5), (b"c", 5)] {
            q.send(text, priority).unwrap();
        }
        assert_eq!(q.send(b"d", 9).unwrap_err(), Errno::EAGAIN);
        let order: Vec<_> = (0..3).map(|_| q.receive().unwrap()).collect();
        assert_eq!(
            order,
            [(b"b".to_vec(), 5), (b"c".to_vec(), 5), (b"a".to_vec(), 1)]
        );
        assert_eq!(q.receive(), Err(Errno::EAGAIN));
    }

    #[test]
    fn only_the_first_message_notifies_and_only_once() {
        let q = queue();
        q.register(7, Some(nothing_for(7))).unwrap();
        let second = q.register(8, Some(nothing_for(8)));
        assert_eq!(second, Err(Errno::EBUSY));
        assert!(q.send(b"a", 0).unwrap().is_some());
        assert!(q.send(b"b", 0).unwrap().is_none());
    }
}
