//! The timer thread of a machine.

use parking_lot::{Condvar, Mutex};
use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Weak},
    time::Instant,
};
use tuxlet_host::thread;

/// Host stack of the timer thread in bytes.
const STACK_SIZE: usize = 256 << 10;

/// Something that happens at a time.
pub trait Expire: Send + Sync + Debug {
    /// The time has come. Called on the timer thread without locks; must not block.
    fn expire(self: Arc<Self>);

    /// `CLOCK_REALTIME` was set: clock_settime(2). Those that wait for a time of that clock reckon anew.
    fn clock_was_set(self: Arc<Self>) {}
}

/// Names an armed entry of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    at: Instant,
    id: u64,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Weak<dyn Expire>>,
    next_id: u64,
    running: bool,
    stopping: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Deadlines and the thread that waits for them. The thread starts with the first deadline.
#[derive(Debug, Default)]
pub struct TimerQueue {
    shared: Arc<Shared>,
}

impl TimerQueue {
    /// Calls `target` at `at`, unless cancelled or dropped before.
    pub fn arm(&self, at: Instant, target: Weak<dyn Expire>) -> Key {
        let mut state = self.shared.state.lock();
        let key = Key {
            at,
            id: state.next_id,
        };
        state.next_id += 1;
        let first = state.entries.keys().next().is_none_or(|k| key < *k);
        state.entries.insert(key, target);
        if !state.running {
            let shared = Arc::clone(&self.shared);
            match thread::spawn("timers", STACK_SIZE, move || run(&shared)) {
                Ok(_) => state.running = true,
                // Tried again with the next timer.
                Err(error) => tracing::error!("no timer thread: {error}"),
            }
        }
        drop(state);
        if first {
            self.shared.changed.notify_one();
        }
        key
    }

    /// Forgets an entry; one that is expiring just now may still be called.
    pub fn cancel(&self, key: Key) {
        self.shared.state.lock().entries.remove(&key);
    }

    /// Tells everyone who waits that `CLOCK_REALTIME` has jumped.
    pub fn clock_was_set(&self) {
        let waiting: Vec<_> = self
            .shared
            .state
            .lock()
            .entries
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for target in waiting {
            target.clock_was_set();
        }
    }
}

impl Drop for TimerQueue {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_one();
    }
}

fn run(shared: &Shared) {
    let mut state = shared.state.lock();
    while !state.stopping {
        let Some(key) = state.entries.keys().next().copied() else {
            shared.changed.wait(&mut state);
            continue;
        };
        if key.at > Instant::now() {
            shared.changed.wait_until(&mut state, key.at);
            continue;
        }
        if let Some(target) = state.entries.remove(&key) {
            drop(state);
            if let Some(target) = target.upgrade() {
                target.expire();
            }
            state = shared.state.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    #[derive(Debug)]
    struct Note(u32, Mutex<mpsc::Sender<u32>>);

    impl Expire for Note {
        fn expire(self: Arc<Self>) {
            self.1.lock().send(self.0).unwrap();
        }
    }

    #[test]
    fn deadlines_come_in_order_and_cancelled_ones_not_at_all() {
        let queue = TimerQueue::default();
        let (send, receive) = mpsc::channel();
        let now = Instant::now();
        let notes: Vec<Arc<dyn Expire>> = (0..4)
            .map(|i| Arc::new(Note(i, Mutex::new(send.clone()))) as Arc<dyn Expire>)
            .collect();
        let at = |ms| now + Duration::from_millis(ms);
        queue.arm(at(30), Arc::downgrade(&notes[0]));
        let cancelled = queue.arm(at(20), Arc::downgrade(&notes[1]));
        queue.arm(at(10), Arc::downgrade(&notes[2]));
        queue.arm(at(10), Arc::downgrade(&notes[3]));
        queue.cancel(cancelled);
        let got: Vec<u32> = (0..3)
            .map(|_| receive.recv_timeout(Duration::from_secs(5)).unwrap())
            .collect();
        assert_eq!(got, [2, 3, 0]);
        assert!(Instant::now() >= at(30));
    }
}
