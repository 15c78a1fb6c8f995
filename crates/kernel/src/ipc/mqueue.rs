//! POSIX message queues: mq_overview(7).

use parking_lot::Mutex;
use std::{any::Any, collections::BTreeMap, collections::VecDeque, sync::Arc};
use tuxlet_mem::IoWrite;
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::{SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, Signal},
};
use tuxlet_vfs::{Attr, Cx, Events, FileOps, PollTable};

/// Highest priority of a message, plus one.
pub const PRIORITIES: u32 = 32_768;
/// Most queues: `/proc/sys/fs/mqueue/queues_max`.
const MAX_QUEUES: usize = 256;

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

/// A queue.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: WaitQueue,
    /// Most messages.
    pub max_messages: usize,
    /// Longest message.
    pub message_size: usize,
    /// Owner, mode and inode number.
    pub attr: Attr,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(attr: Attr, max_messages: usize, message_size: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: WaitQueue::new(),
            max_messages,
            message_size,
            attr,
        })
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

/// An open queue.
#[derive(Debug)]
pub struct MqFile(pub Arc<Queue>);

impl FileOps for MqFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(Attr {
            size: 80,
            ..self.0.attr
        })
    }

    fn pollable(&self) -> bool {
        true
    }

    /// The state as text, as in Linux' mqueue file system.
    fn read_at(&self, _cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let (bytes, registration) = {
            let state = self.0.state.lock();
            (state.bytes, state.registration.clone())
        };
        let tgid = registration.as_ref().map_or(0, |r| r.tgid);
        let (kind, signal) = match registration.map(|r| r.notice) {
            None => (0, 0),
            Some(Notice::Signal(signal, _)) => (SIGEV_SIGNAL, signal.number()),
            Some(Notice::Nothing) => (SIGEV_NONE, 0),
            Some(Notice::Thread(..)) => (SIGEV_THREAD, 0),
        };
        let text =
            format!("QSIZE:{bytes:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{tgid:<6}\n");
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|o| text.as_bytes().get(o..))
            .unwrap_or_default();
        to.write_from(rest)
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

/// The queues of a machine by name.
#[derive(Debug, Default)]
pub struct Names(Mutex<BTreeMap<Vec<u8>, Arc<Queue>>>);

impl Names {
    /// A queue by name. `ENOENT`.
    pub fn find(&self, name: &[u8]) -> Result<Arc<Queue>> {
        self.0.lock().get(name).cloned().ok_or(Errno::ENOENT)
    }

    /// Names a new queue. `EEXIST`, `ENOSPC`.
    pub fn add(&self, name: &[u8], queue: &Arc<Queue>) -> Result<()> {
        let mut names = self.0.lock();
        if names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if names.len() >= MAX_QUEUES {
            return Err(Errno::ENOSPC);
        }
        names.insert(name.to_vec(), Arc::clone(queue));
        Ok(())
    }

    /// Takes a name away; the queue lives as long as it is open.
    pub fn remove(&self, name: &[u8]) {
        self.0.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tuxlet_vfs::{Cred, Time};

    fn queue() -> Arc<Queue> {
        let cred = Arc::new(Cred::root());
        let now = Time { sec: 0, nsec: 0 };
        let cx = Cx {
            cred,
            umask: 0,
            now,
            fsize_limit: u64::MAX,
            tgid: 1,
            tid: 1,
            context: 0,
        };
        Queue::new(crate::anon::attr(&cx), 3, 10)
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
        q.register(
            7,
            Some(Registration {
                tgid: 7,
                notice: Notice::Nothing,
            }),
        )
        .unwrap();
        assert_eq!(
            q.register(
                8,
                Some(Registration {
                    tgid: 8,
                    notice: Notice::Nothing
                })
            ),
            Err(Errno::EBUSY)
        );
        assert!(q.send(b"a", 0).unwrap().is_some());
        assert!(q.send(b"b", 0).unwrap().is_none());
    }
}
