//! Rings of requests and results: io_uring(7).
//!
//! Every request runs in the thread that submitted it: at once if it can, else when its file is ready or its time has come,
//! for which the thread leaves the engine or its sleep for a moment ([`work::IO_URING`]). So there are no kernel threads
//! behind a ring, and what does not wait for readiness (files on disk, names) is done while it is submitted, as Linux may do,
//! too. A submission thread (`IORING_SETUP_SQPOLL`) is one that is always asleep: programs see `IORING_SQ_NEED_WAKEUP`.
//!
//! Locks: the ring's state first, then nothing; files and user memory are never touched under it.

mod memory;
mod request;

pub use memory::RingMemory;
pub use request::{Held, Moment, Prepared, Request, Timer, Waiting, Waker};

use crate::{
    eventfd::EventFd,
    task::{CurrentTask, Task, work},
};
use memory::at;
use parking_lot::Mutex;
use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};
use tuxlet_mem::{IoVec, MemoryObject};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    io_uring::{
        IORING_CQ_EVENTFD_DISABLED, IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_R_DISABLED,
        IORING_SETUP_SQPOLL, IORING_SETUP_TASKRUN_FLAG, IORING_SQ_CQ_OVERFLOW,
        IORING_SQ_NEED_WAKEUP, IORING_SQ_TASKRUN, IOSQE_IO_DRAIN, IoCqringOffsets, IoSqringOffsets,
        IoUringCqe, IoUringSqe,
    },
};
use tuxlet_vfs::{Attr, Cred, Cx, Events, File, FileOps, PollTable};

/// Requests that depend on each other, the next one first.
pub type Chain = VecDeque<Request>;

/// Provided buffers of a group.
#[derive(Debug)]
pub enum Group {
    /// Given one by one: address, length, id.
    Listed(VecDeque<(u64, u32, u16)>),
    /// In a ring in the program's memory: address, entries, next position.
    Ring(u64, u32, u16),
}

/// What a thread has to do with rings.
#[derive(Debug, Default)]
pub struct TaskRings {
    /// Woken requests.
    ready: VecDeque<(Weak<Ring>, u64)>,
    /// Rings that the thread has requests in.
    used: Vec<Weak<Ring>>,
    /// Rings registered in place of descriptors.
    pub(crate) registered: Vec<Option<Arc<File>>>,
}

/// The mutable part of a ring.
#[derive(Debug, Default)]
pub struct State {
    sq_head: u32,
    cq_tail: u32,
    /// Completions but those of timeouts.
    completions: u64,
    overflow: VecDeque<IoUringCqe>,
    waiting: BTreeMap<u64, Waiting>,
    next_id: u64,
    /// Requests that have begun and not ended.
    running: usize,
    /// Chains that wait for the end of all that was submitted before.
    drained: VecDeque<Chain>,
    /// Registered files.
    pub(crate) files: Option<Vec<Option<Arc<File>>>>,
    /// Registered buffers.
    ///
    /// DEVIATION: Linux keeps their pages; here a buffer that is unmapped is gone.
    pub(crate) buffers: Option<Vec<IoVec>>,
    /// The event counter that hears of completions, and whether only of those that were waited for.
    pub(crate) eventfd: Option<(Arc<File>, bool)>,
    /// Registered credentials.
    pub(crate) personalities: BTreeMap<u16, Arc<Cred>>,
    /// Provided buffers.
    pub(crate) groups: BTreeMap<u16, Group>,
}

/// A ring.
#[derive(Debug)]
pub struct Ring {
    me: Weak<Self>,
    /// `IORING_SETUP_*`.
    pub(crate) flags: u32,
    memory: Arc<RingMemory>,
    state: Mutex<State>,
    /// Woken by completions.
    changed: WaitQueue,
    /// Woken requests that run when their thread asks for results.
    deferred: Mutex<VecDeque<u64>>,
    enabled: AtomicBool,
    /// The only thread that may submit, 0 for not yet known.
    pub(crate) issuer: AtomicU32,
    attr: Attr,
}

/// Which waiting requests are meant by a cancellation.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Those with a value.
    UserData(u64),
    /// Those of a file.
    File(&'a Arc<File>),
    /// All.
    Any,
    /// Timeouts with a value.
    Timeout(u64),
    /// Linked timeouts with a value.
    LinkTimeout(u64),
    /// Polls with a value.
    Poll(u64),
}

impl Waiting {
    fn is(&self, which: Which<'_>) -> bool {
        use tuxlet_uapi::io_uring::{
            IORING_OP_LINK_TIMEOUT, IORING_OP_POLL_ADD, IORING_OP_TIMEOUT,
        };
        let sqe = &self.request.sqe;
        let named = |op, value| sqe.opcode == op && sqe.user_data == value;
        match which {
            Which::UserData(value) => sqe.user_data == value,
            Which::File(file) => self
                .request
                .file
                .get()
                .is_some_and(|f| Arc::ptr_eq(&f, file)),
            Which::Any => true,
            Which::Timeout(value) => named(IORING_OP_TIMEOUT, value),
            Which::LinkTimeout(value) => named(IORING_OP_LINK_TIMEOUT, value),
            Which::Poll(value) => named(IORING_OP_POLL_ADD, value),
        }
    }
}

impl Ring {
    /// A file for a new ring of so many entries, powers of two. `ENOMEM`.
    pub(crate) fn open(task: &CurrentTask, sq: u32, cq: u32, flags: u32) -> Result<Arc<File>> {
        let cx = task.cx();
        let attr = crate::anon::attr(&cx);
        let memory = Arc::new(RingMemory::new(
            &task.kernel.budget,
            sq,
            cq,
            flags,
            attr.ino,
        )?);
        if flags & IORING_SETUP_SQPOLL != 0 {
            memory.store(at::SQ_FLAGS, IORING_SQ_NEED_WAKEUP);
        }
        let ops = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            flags,
            memory,
            state: Mutex::default(),
            changed: WaitQueue::new(),
            deferred: Mutex::default(),
            enabled: AtomicBool::new(flags & IORING_SETUP_R_DISABLED == 0),
            issuer: AtomicU32::new(0),
            attr,
        });
        Ok(File::anonymous(
            &cx,
            ops,
            b"anon_inode:[io_uring]",
            OpenFlags::RDWR,
        ))
    }

    /// Where the words of the rings are.
    pub(crate) fn offsets(&self) -> (IoSqringOffsets, IoCqringOffsets) {
        (self.memory.sq_offsets(), RingMemory::cq_offsets())
    }

    /// Entries of the completion ring.
    pub(crate) fn cq_entries(&self) -> u32 {
        self.memory.cq_entries
    }

    /// Whether so much can be mapped from an offset. `EINVAL`.
    pub(crate) fn may_map(&self, offset: u64, len: u64) -> Result<()> {
        self.memory.may_map(offset, len)
    }

    /// Whether requests may be submitted.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::SeqCst)
    }

    /// Lets requests be submitted.
    pub(crate) fn enable(&self) {
        self.enabled.store(true, Ordering::SeqCst);
    }

    /// The ring's own reference.
    pub(crate) fn strong(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or(Errno::EBADF)
    }

    /// Looks at the state, or changes it. Files that it lets go are to be dropped by the caller, outside.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock())
    }

    /// Woken by completions.
    pub(crate) fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Submissions that the program has made and the kernel has not taken.
    pub(crate) fn submitted(&self) -> u32 {
        let tail = self.memory.load(at::SQ_TAIL);
        let head = self.state.lock().sq_head;
        tail.wrapping_sub(head).min(self.memory.sq_entries)
    }

    /// Takes the next submission; `None` if its index is wrong.
    pub(crate) fn take_submission(&self) -> Option<IoUringSqe> {
        let mut state = self.state.lock();
        let found = self.memory.submission(state.sq_head);
        state.sq_head = state.sq_head.wrapping_add(1);
        self.memory.store(at::SQ_HEAD, state.sq_head);
        if found.is_none() {
            let dropped = self.memory.load(at::SQ_DROPPED).wrapping_add(1);
            self.memory.store(at::SQ_DROPPED, dropped);
        }
        found
    }

    /// Completions that the program has not taken, those that had no room included.
    pub(crate) fn unseen(&self) -> u32 {
        let state = self.state.lock();
        self.used(&state) + u32::try_from(state.overflow.len()).unwrap_or(u32::MAX / 2)
    }

    fn used(&self, state: &State) -> u32 {
        let head = self.memory.load(at::CQ_HEAD);
        // A program that writes nonsense there finds the ring full.
        state.cq_tail.wrapping_sub(head).min(self.memory.cq_entries)
    }

    fn push(&self, state: &mut State, cqe: &IoUringCqe) {
        self.memory.complete(state.cq_tail, cqe);
        state.cq_tail = state.cq_tail.wrapping_add(1);
        self.memory.store(at::CQ_TAIL, state.cq_tail);
    }

    fn change_sq_flags(&self, set: u32, clear: u32) {
        // Only ever changed under a lock of the ring's, and by no program.
        let flags = self.memory.load(at::SQ_FLAGS);
        self.memory.store(at::SQ_FLAGS, flags & !clear | set);
    }

    /// Tells the program a result. `counts` is false for timeouts, `waited` says that it was not there at once.
    pub(crate) fn post(&self, cqe: IoUringCqe, counts: bool, waited: bool) {
        let mut state = self.state.lock();
        state.completions += u64::from(counts);
        if state.overflow.is_empty() && self.used(&state) < self.memory.cq_entries {
            self.push(&mut state, &cqe);
        } else {
            state.overflow.push_back(cqe);
            self.change_sq_flags(IORING_SQ_CQ_OVERFLOW, 0);
        }
        let tell = state.eventfd.clone().filter(|(_, only)| waited || !only);
        drop(state);
        self.changed.wake_all(Events::READABLE.bits());
        if let Some((file, _)) = tell
            && self.memory.load(at::CQ_FLAGS) & IORING_CQ_EVENTFD_DISABLED == 0
            && let Some(counter) = file.ops_as::<EventFd>()
        {
            counter.add(1);
        }
    }

    /// Moves results that had no room into the ring.
    pub(crate) fn flush_overflow(&self) {
        let mut state = self.state.lock();
        while self.used(&state) < self.memory.cq_entries {
            let Some(cqe) = state.overflow.pop_front() else {
                break;
            };
            self.push(&mut state, &cqe);
        }
        if state.overflow.is_empty() {
            self.change_sq_flags(0, IORING_SQ_CQ_OVERFLOW);
        }
    }

    /// So many requests have begun, and so many ended.
    pub(crate) fn count(&self, begun: usize, ended: usize) {
        let mut state = self.state.lock();
        state.running = (state.running + begun).saturating_sub(ended);
    }

    /// Takes a new chain, unless it has to wait for those before.
    pub(crate) fn admit(&self, chain: Chain) -> Option<Chain> {
        let mut state = self.state.lock();
        let drains = |r: &Request| r.sqe.flags & IOSQE_IO_DRAIN != 0;
        let waits = !state.drained.is_empty() || (chain.iter().any(drains) && state.running > 0);
        if waits {
            state.drained.push_back(chain);
            return None;
        }
        state.running += chain.len();
        Some(chain)
    }

    /// The next chain that waited for those before, if they have ended.
    pub(crate) fn next_drained(&self) -> Option<Chain> {
        let mut state = self.state.lock();
        let drains = |r: &Request| r.sqe.flags & IOSQE_IO_DRAIN != 0;
        let next = state.drained.front()?;
        if next.iter().any(drains) && state.running > 0 {
            return None;
        }
        let chain = state.drained.pop_front()?;
        state.running += chain.len();
        Some(chain)
    }

    /// A request is ready to go on.
    fn ready(&self, owner: &Weak<Task>, id: u64) {
        if self.flags & IORING_SETUP_DEFER_TASKRUN != 0 {
            let mut deferred = self.deferred.lock();
            deferred.push_back(id);
            if self.flags & IORING_SETUP_TASKRUN_FLAG != 0 {
                self.change_sq_flags(IORING_SQ_TASKRUN, 0);
            }
            drop(deferred);
            self.changed.wake_all(Events::READABLE.bits());
        } else if let Some(task) = owner.upgrade() {
            task.rings
                .lock()
                .ready
                .push_back((Weak::clone(&self.me), id));
            task.notify(work::IO_URING);
        }
    }

    /// The next request that was left until its thread asks for results.
    pub(crate) fn take_deferred(&self) -> Option<u64> {
        let mut deferred = self.deferred.lock();
        let id = deferred.pop_front();
        if deferred.is_empty() && self.flags & IORING_SETUP_TASKRUN_FLAG != 0 {
            self.change_sq_flags(0, IORING_SQ_TASKRUN);
        }
        id
    }

    /// Lets a request wait, under a new id or its old one.
    fn enter(&self, task: &CurrentTask, id: Option<u64>, make: impl FnOnce(u64) -> Waiting) -> u64 {
        let mut state = self.state.lock();
        let id = id.unwrap_or(state.next_id);
        state.next_id = state.next_id.max(id + 1);
        state.waiting.insert(id, make(id));
        drop(state);
        let mut rings = task.task.rings.lock();
        if !rings.used.iter().any(|r| r.ptr_eq(&self.me)) {
            rings.used.retain(|r| r.strong_count() > 0);
            rings.used.push(Weak::clone(&self.me));
        }
        id
    }

    /// Lets a request wait for events of a file.
    pub(crate) fn wait_for_file(
        &self,
        task: &CurrentTask,
        id: Option<u64>,
        request: Request,
        file: &Arc<File>,
        events: Events,
    ) -> u64 {
        let want = events | Events::ERR | Events::HUP;
        let mut waker = None;
        let id = self.enter(task, id, |id| {
            let made = Arc::new(Waker {
                ring: Weak::clone(&self.me),
                id,
                owner: Arc::downgrade(&task.task),
                events: want.bits(),
                fired: AtomicBool::new(false),
            });
            waker = Some(Arc::clone(&made));
            Waiting {
                request,
                owner: task.task.tid(),
                table: None,
                waker: Some(made),
                timer: None,
                after: None,
                limits: None,
            }
        });
        let Some(waker) = waker else { return id };
        let mut table = PollTable::new(waker.clone());
        let now = file.poll(&task.cx(), Some(&mut table));
        let left = self.with(|state| match state.waiting.get_mut(&id) {
            Some(waiting) => {
                waiting.table = Some(table);
                None
            }
            // It was cancelled in between.
            None => Some(table),
        });
        drop(left);
        if now.intersects(want) {
            tuxlet_sync::Wake::wake(&*waker, now.bits());
        }
        id
    }

    /// Lets a request wait for a time, for a number of completions, or both.
    pub(crate) fn wait_for_time(
        &self,
        task: &CurrentTask,
        id: Option<u64>,
        request: Request,
        moment: Moment,
        after: Option<u64>,
        limits: Option<u64>,
    ) -> u64 {
        let completions = self.state.lock().completions;
        let after = after.map(|n| completions + n);
        self.wait_again(task, id, request, moment, after, limits)
    }

    /// As [`Ring::wait_for_time`], for a sum of completions.
    pub(crate) fn wait_again(
        &self,
        task: &CurrentTask,
        id: Option<u64>,
        request: Request,
        moment: Moment,
        after: Option<u64>,
        limits: Option<u64>,
    ) -> u64 {
        let at = moment.instant(&task.kernel.clock);
        self.enter(task, id, |id| {
            let timer = Arc::new(Timer {
                ring: Weak::clone(&self.me),
                id,
                owner: Arc::downgrade(&task.task),
            });
            let target: Weak<Timer> = Arc::downgrade(&timer);
            let key = task.kernel.timers.arm(at, target as _);
            Waiting {
                request,
                owner: task.task.tid(),
                table: None,
                waker: None,
                timer: Some((timer, key, moment)),
                after,
                limits,
            }
        })
    }

    /// A waiting request has got a timeout.
    pub(crate) fn limited_by(&self, id: u64, timeout: u64) {
        if let Some(waiting) = self.state.lock().waiting.get_mut(&id) {
            waiting.request.timeout = Some(timeout);
        }
    }

    /// Takes a waiting request out.
    pub(crate) fn take_waiting(&self, id: u64) -> Option<Waiting> {
        self.state.lock().waiting.remove(&id)
    }

    /// Puts a waiting request back under its id.
    pub(crate) fn put_back(&self, id: u64, waiting: Waiting) {
        self.state.lock().waiting.insert(id, waiting);
    }

    /// Ids of the waiting requests that are meant, oldest first.
    pub(crate) fn find(&self, which: Which<'_>) -> Vec<u64> {
        let state = self.state.lock();
        let found = state.waiting.iter().filter(|(_, w)| w.is(which));
        found.map(|(id, _)| *id).collect()
    }

    /// A timeout that is over since enough has been completed.
    pub(crate) fn counted_timeout(&self) -> Option<u64> {
        let state = self.state.lock();
        let over = |w: &Waiting| w.after.is_some_and(|n| n <= state.completions);
        state
            .waiting
            .iter()
            .find(|(_, w)| over(w))
            .map(|(id, _)| *id)
    }

    /// Ends the waiting requests of a thread that does not go on.
    fn abandon(&self, owner: u32) {
        loop {
            let mut state = self.state.lock();
            let found = state.waiting.iter().find(|(_, w)| w.owner == owner);
            let Some(id) = found.map(|(id, _)| *id) else {
                return;
            };
            let waiting = state.waiting.remove(&id);
            drop(state);
            let Some(waiting) = waiting else { return };
            let mut ended = 1;
            let cancelled = |sqe: &IoUringSqe| IoUringCqe {
                user_data: sqe.user_data,
                res: -Errno::ECANCELED.raw(),
                flags: 0,
            };
            self.post(cancelled(&waiting.request.sqe), true, true);
            for request in &waiting.request.rest {
                self.post(cancelled(&request.sqe), true, true);
                ended += 1;
            }
            self.count(0, ended);
        }
    }
}

impl CurrentTask {
    /// The next request of the thread that is ready to go on.
    pub(crate) fn next_ring_work(&self) -> Option<(Weak<Ring>, u64)> {
        self.task.rings.lock().ready.pop_front()
    }

    /// The thread ends, or its program does: so do its requests.
    pub(crate) fn leave_rings(&self) {
        let rings = std::mem::take(&mut *self.task.rings.lock());
        for ring in rings.used.iter().filter_map(Weak::upgrade) {
            ring.abandon(self.task.tid());
        }
    }
}

impl FileOps for Ring {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn own_seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64>> {
        Some(Ok(0))
    }

    fn pollable(&self) -> bool {
        true
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.changed);
        }
        let mut events = Events::empty();
        if self.submitted() < self.memory.sq_entries {
            events |= Events::WRITABLE;
        }
        if self.unseen() > 0 || !self.deferred.lock().is_empty() {
            events |= Events::READABLE;
        }
        events
    }

    fn mmap_object(&self, _cx: &Cx) -> Result<Arc<dyn MemoryObject>> {
        Ok(Arc::clone(&self.memory) as Arc<dyn MemoryObject>)
    }
}
