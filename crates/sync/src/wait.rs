//! Wait queues.
//!
//! The protocol of a sleeper: make a [`Waiter`] (one per task, reused), [`register`](WaitQueue::register) it
//! on every queue of interest, then loop { check the condition; `waiter.wait(deadline)` }. The protocol of a
//! waker: change the condition, then call one of the `wake_*` methods. No wake-up is lost, because
//! registration comes before the check and both sides put a sequentially consistent fence between their
//! store and their load (see [`WaitQueue`]).

use crate::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    fmt::{self, Debug},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering, fence},
    },
    time::Instant,
};

/// The event mask for "any event".
pub const ANY: u32 = !0;

/// Receives wake-ups from a [`WaitQueue`] or from the host's reactor.
///
/// Called on any thread, without the queue's lock held; it must be quick and must not block. A call may still
/// arrive shortly after the [`Registration`] was dropped.
pub trait Wake: Send + Sync + Debug {
    /// Something happened; `events` are `POLL*` bits ([`ANY`] if not applicable).
    fn wake(&self, events: u32);

    /// The waiter behind this, if it is one that consumes the wake-ups of [`WaitQueue::wake_n`]; `None` for
    /// observers such as epoll, which hear every wake-up.
    fn as_waiter(&self) -> Option<&Waiter> {
        None
    }
}

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

/// The parker of one task. A wake-up leaves a permit, so one that comes before [`wait`](Self::wait) counts.
///
/// Only one thread at a time may wait on a waiter.
#[derive(Debug)]
pub struct Waiter {
    state: AtomicU32,
    lock: Mutex<()>,
    cond: Condvar,
}

/// Why [`Waiter::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitResult {
    /// There was a wake-up (its permit is consumed).
    Woken,
    /// The deadline passed first.
    TimedOut,
}

impl Waiter {
    /// A waiter without a permit.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU32::new(EMPTY),
            lock: Mutex::new(()),
            cond: Condvar::new(),
        })
    }

    /// Leaves a permit and unparks the thread; returns whether there was no permit before.
    pub fn notify(&self) -> bool {
        // Release: what the waker did before is visible to the woken thread.
        match self.state.swap(NOTIFIED, Ordering::SeqCst) {
            NOTIFIED => false,
            PARKED => {
                // The sleeper set PARKED under the lock; passing through the lock means that it has reached
                // the condition variable.
                drop(self.lock.lock());
                self.cond.notify_one();
                true
            }
            _ => true,
        }
    }

    /// Blocks until there is a permit, and takes it, or until `deadline`.
    pub fn wait(&self, deadline: Option<Instant>) -> WaitResult {
        if self.take() {
            return WaitResult::Woken;
        }
        let mut guard = self.lock.lock();
        if self
            .state
            .compare_exchange(EMPTY, PARKED, Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            // Notified in between.
            self.state.store(EMPTY, Ordering::SeqCst);
            return WaitResult::Woken;
        }
        loop {
            let timed_out = match deadline {
                Some(d) => self.cond.wait_until(&mut guard, d).timed_out(),
                None => {
                    self.cond.wait(&mut guard);
                    false
                }
            };
            if self.take() {
                return WaitResult::Woken;
            }
            if timed_out {
                // A wake-up that comes between `take` and here wins.
                return match self.state.swap(EMPTY, Ordering::SeqCst) {
                    NOTIFIED => WaitResult::Woken,
                    _ => WaitResult::TimedOut,
                };
            }
        }
    }

    /// Drops a permit left over from earlier.
    pub fn reset(&self) {
        self.take();
    }

    fn take(&self) -> bool {
        self.state
            .compare_exchange(NOTIFIED, EMPTY, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Wake for Waiter {
    fn wake(&self, _events: u32) {
        self.notify();
    }

    fn as_waiter(&self) -> Option<&Waiter> {
        Some(self)
    }
}

struct Entry {
    id: u64,
    wake: Arc<dyn Wake>,
}

#[derive(Default)]
struct Entries {
    list: VecDeque<Entry>,
    next_id: u64,
}

struct Inner {
    /// Length of the list, readable without the lock, so that waking an empty queue is one load.
    len: AtomicUsize,
    entries: Mutex<Entries>,
}

/// Those who wait for one condition. A clone is another handle of the same queue.
///
/// `wake_*` looks at the number of entries without the lock. A sleeper stores the number, then loads the
/// condition; a waker stores the condition, then loads the number. The SeqCst fences between the two steps on
/// both sides make it impossible that both load the old values.
#[derive(Clone)]
pub struct WaitQueue(Arc<Inner>);

impl WaitQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            len: AtomicUsize::new(0),
            entries: Mutex::default(),
        }))
    }

    /// Puts `wake` (an `Arc<Waiter>`, or an observer) at the queue's end until the registration is dropped.
    #[must_use = "dropping the registration takes the waiter off the queue"]
    pub fn register(&self, wake: Arc<dyn Wake>) -> Registration {
        let mut entries = self.0.entries.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.list.push_back(Entry { id, wake });
        self.0.len.store(entries.list.len(), Ordering::SeqCst);
        drop(entries);
        fence(Ordering::SeqCst);
        Registration {
            queue: Arc::clone(&self.0),
            id,
        }
    }

    /// Wakes everyone. `events` are `POLL*` bits, [`ANY`] if not applicable.
    pub fn wake_all(&self, events: u32) {
        for wake in self.targets() {
            wake.wake(events);
        }
    }

    /// Wakes all observers and the first waiter that is not already woken.
    ///
    /// Only for queues whose waiters consume what they were woken for, or pass the wake-up on when they give
    /// up (signal, timeout).
    pub fn wake_one(&self, events: u32) -> usize {
        self.wake_n(1, events)
    }

    /// Wakes all observers and the first `n` waiters that are not already woken; returns how many those were.
    pub fn wake_n(&self, n: usize, events: u32) -> usize {
        let mut woken = 0;
        for wake in self.targets() {
            match wake.as_waiter() {
                Some(waiter) => {
                    if woken < n && waiter.notify() {
                        woken += 1;
                    }
                }
                None => wake.wake(events),
            }
        }
        woken
    }

    /// Everyone on the queue; they are woken outside the lock, since an observer may touch this queue.
    fn targets(&self) -> Vec<Arc<dyn Wake>> {
        if self.is_empty() {
            return Vec::new();
        }
        self.0
            .entries
            .lock()
            .list
            .iter()
            .map(|e| Arc::clone(&e.wake))
            .collect()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.len.load(Ordering::SeqCst) == 0
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "WaitQueue({} waiting)",
            self.0.len.load(Ordering::Relaxed)
        )
    }
}

/// A place on a [`WaitQueue`], left on drop.
pub struct Registration {
    queue: Arc<Inner>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.queue.entries.lock();
        // Ids grow along the list.
        let entry = match entries.list.binary_search_by_key(&self.id, |e| e.id) {
            Ok(i) => entries.list.remove(i),
            Err(_) => None,
        };
        self.queue.len.store(entries.list.len(), Ordering::SeqCst);
        drop(entries);
        // The last handle of an observer may run code of its own when it goes.
        drop(entry);
    }
}

impl Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicBool, thread, time::Duration};

    #[test]
    fn a_wake_up_before_the_wait_counts_once() {
        let w = Waiter::new();
        assert!(w.notify());
        assert!(!w.notify());
        assert_eq!(w.wait(None), WaitResult::Woken);
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(w.wait(Some(soon)), WaitResult::TimedOut);
        assert!(Instant::now() >= soon);
        w.notify();
        w.reset();
        assert_eq!(w.wait(Some(Instant::now())), WaitResult::TimedOut);
    }

    #[test]
    fn wake_n_skips_those_already_woken() {
        let q = WaitQueue::new();
        let ws: Vec<_> = (0..3).map(|_| Waiter::new()).collect();
        let _regs: Vec<_> = ws.iter().map(|w| q.register(w.clone())).collect();
        assert_eq!(q.wake_one(ANY), 1);
        assert_eq!(q.wake_n(5, ANY), 2);
        assert_eq!(q.wake_one(ANY), 0);
        assert_eq!(ws[0].wait(None), WaitResult::Woken);
        assert_eq!(q.wake_one(ANY), 1);
    }

    #[derive(Debug, Default)]
    struct Observer(AtomicU32);
    impl Wake for Observer {
        fn wake(&self, events: u32) {
            self.0.fetch_or(events, Ordering::SeqCst);
        }
    }

    #[test]
    fn observers_do_not_consume_and_leave_on_drop() {
        let q = WaitQueue::new();
        let o = Arc::new(Observer::default());
        let w = Waiter::new();
        let r1 = q.register(o.clone());
        let r2 = q.register(w.clone());
        assert_eq!(q.wake_one(4), 1);
        assert_eq!(o.0.load(Ordering::SeqCst), 4);
        drop(r1);
        drop(r2);
        assert!(q.is_empty());
        assert_eq!(q.wake_one(1), 0);
        assert_eq!(o.0.load(Ordering::SeqCst), 4);
    }

    /// Two threads hand a flag to and fro; a lost wake-up would hang (and hit the deadline).
    #[test]
    fn no_wake_up_is_lost() {
        let qs = Arc::new([WaitQueue::new(), WaitQueue::new()]);
        let turn = Arc::new(AtomicBool::new(false));
        let run = |me: bool| {
            let (qs, turn) = (qs.clone(), turn.clone());
            thread::spawn(move || {
                let w = Waiter::new();
                for _ in 0..20_000 {
                    if turn.load(Ordering::Relaxed) != me {
                        let _r = qs[usize::from(me)].register(w.clone());
                        while turn.load(Ordering::Relaxed) != me {
                            let limit = Instant::now() + Duration::from_secs(20);
                            assert_eq!(w.wait(Some(limit)), WaitResult::Woken);
                        }
                    }
                    turn.store(!me, Ordering::Relaxed);
                    qs[usize::from(!me)].wake_all(ANY);
                }
            })
        };
        let (a, b) = (run(false), run(true));
        a.join().unwrap();
        b.join().unwrap();
    }
}
