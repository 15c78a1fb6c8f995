//! The thread that commits at least every second while there is something to commit.

use crate::store::Store;
use parking_lot::{Condvar, Mutex};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// The longest that a change stays uncommitted.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct State {
    running: bool,
    work: bool,
    hurry: bool,
    stop: bool,
}

/// Wakes and ends the flusher thread of a store.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    state: Mutex<State>,
    cond: Condvar,
}

impl Flusher {
    /// Something waits to be committed: within the period, or at once.
    pub(crate) fn wake(self: &Arc<Self>, store: &Weak<Store>, hurry: bool) {
        let mut s = self.state.lock();
        s.work = true;
        s.hurry |= hurry;
        if s.running {
            self.cond.notify_one();
            return;
        }
        let (flusher, store) = (Arc::clone(self), store.clone());
        let spawned = std::thread::Builder::new()
            .name("fakefs-flush".into())
            .stack_size(512 << 10)
            .spawn(move || flusher.run(&store));
        match spawned {
            Ok(_) => s.running = true,
            // fsync and unmount still commit; the next change tries again.
            Err(error) => tracing::error!(%error, "starting the flusher of a store"),
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.cond.notify_one();
    }

    fn run(&self, store: &Weak<Store>) {
        loop {
            {
                let mut s = self.state.lock();
                while !s.work && !s.stop {
                    self.cond.wait(&mut s);
                }
                s.work = false;
                let until = Instant::now() + PERIOD;
                while !s.hurry && !s.stop {
                    if self.cond.wait_until(&mut s, until).timed_out() {
                        break;
                    }
                }
                s.hurry = false;
                if s.stop {
                    return;
                }
            }
            let Some(store) = store.upgrade() else { return };
            if store.commit_all(store.durable).is_err() {
                // Reported; what could not be written waits for the next turn.
                self.state.lock().work = true;
            }
        }
    }
}
