//! Requests of a ring.

use crate::{
    clock::{Clock, instant_after},
    io_uring::Ring,
    task::Task,
    timer::{Expire, Key},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tuxlet_mem::IoVec;
use tuxlet_sync::Wake;
use tuxlet_uapi::{epoll::EpollEvent, io_uring::IoUringSqe};
use tuxlet_vfs::{Cred, File, PollTable, open::How};

/// What was read from the program's memory when it submitted the request, so that it may change it at once
/// (`IORING_FEAT_SUBMIT_STABLE`).
#[derive(Debug)]
pub enum Prepared {
    /// Nothing.
    None,
    /// Buffers.
    Buffers(Vec<IoVec>),
    /// One or two paths.
    Paths(Vec<u8>, Vec<u8>),
    /// A path and how to open it.
    Open(Vec<u8>, How),
    /// An address of a socket.
    Address(Vec<u8>),
    /// A message to send: its name, buffers and control data.
    Send(Option<Vec<u8>>, Vec<IoVec>, Vec<u8>),
    /// Where to put a message: the header, and its buffers.
    Receive(tuxlet_uapi::socket::Msghdr, Vec<IoVec>),
    /// A time to wait.
    Time(Moment),
    /// An event of epoll_ctl(2).
    Event(EpollEvent),
    /// Descriptors.
    Files(Vec<i32>),
}

/// When a timeout is over.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// So many nanoseconds after the request starts.
    After(u64),
    /// At a moment of the host's clock.
    At(Instant),
    /// At a time of `CLOCK_REALTIME` in nanoseconds.
    Realtime(i64),
}

impl Moment {
    /// The moment of the host's clock.
    #[must_use]
    pub fn instant(self, clock: &Clock) -> Instant {
        match self {
            Self::After(ns) => instant_after(ns),
            Self::At(at) => at,
            Self::Realtime(ns) => clock.realtime_instant(ns),
        }
    }
}

/// A file that a request works on.
#[derive(Debug)]
pub enum Held {
    /// None, or not looked up yet.
    None,
    /// An open file.
    Strong(Arc<File>),
    /// A ring: kept by its users alone, since it may be the ring that holds the request.
    Weak(Weak<File>),
}

impl Held {
    /// Holds a file.
    #[must_use]
    pub fn new(file: &Arc<File>) -> Self {
        if file.ops_as::<Ring>().is_some() {
            Self::Weak(Arc::downgrade(file))
        } else {
            Self::Strong(Arc::clone(file))
        }
    }

    /// The file.
    #[must_use]
    pub fn get(&self) -> Option<Arc<File>> {
        match self {
            Self::None => None,
            Self::Strong(file) => Some(Arc::clone(file)),
            Self::Weak(file) => file.upgrade(),
        }
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// As it was submitted.
    pub sqe: IoUringSqe,
    /// What was read of the program's memory.
    pub prepared: Prepared,
    /// The file, once it has been looked up.
    pub file: Held,
    /// Who it acts for, instead of its submitter.
    pub cred: Option<Arc<Cred>>,
    /// The result of a request that was refused when it was submitted.
    pub refused: Option<i32>,
    /// Connecting has begun.
    pub begun: bool,
    /// Bytes moved already, of one that wants all of them.
    pub done: u64,
    /// Has waited: what it gives is told by the event descriptor for such requests too.
    pub waited: bool,
    /// Requests that follow by links.
    pub rest: VecDeque<Request>,
    /// The armed timeout that is linked to it.
    pub timeout: Option<u64>,
}

/// A request that waits.
#[derive(Debug)]
pub struct Waiting {
    /// The request.
    pub request: Request,
    /// Thread that submitted it.
    pub owner: u32,
    /// Keeps the waker on the file's queues.
    pub table: Option<PollTable>,
    /// Of one that waits for a file.
    pub waker: Option<Arc<Waker>>,
    /// Of one that waits for a time.
    pub timer: Option<(Arc<Timer>, Key, Moment)>,
    /// Of a timeout: so many completions end it, too.
    pub after: Option<u64>,
    /// Of a linked timeout: what it limits.
    pub limits: Option<u64>,
}

/// Wakes a request when its file is ready.
#[derive(Debug)]
pub struct Waker {
    pub(super) ring: Weak<Ring>,
    pub(super) id: u64,
    pub(super) owner: Weak<Task>,
    /// What is waited for: `POLL*` bits.
    pub(super) events: u32,
    pub(super) fired: AtomicBool,
}

impl Waker {
    /// The next event counts again.
    pub fn rearm(&self) {
        self.fired.store(false, Ordering::SeqCst);
    }
}

impl Wake for Waker {
    fn wake(&self, events: u32) {
        if events & self.events != 0
            && !self.fired.swap(true, Ordering::SeqCst)
            && let Some(ring) = self.ring.upgrade()
        {
            ring.ready(&self.owner, self.id);
        }
    }
}

/// Wakes a request when its time has come.
#[derive(Debug)]
pub struct Timer {
    pub(super) ring: Weak<Ring>,
    pub(super) id: u64,
    pub(super) owner: Weak<Task>,
}

impl Expire for Timer {
    fn expire(self: Arc<Self>) {
        if let Some(ring) = self.ring.upgrade() {
            ring.ready(&self.owner, self.id);
        }
    }

    /// The request reckons anew.
    fn clock_was_set(self: Arc<Self>) {
        self.expire();
    }
}
