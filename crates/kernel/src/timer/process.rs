//! The timers of one process.

use super::{Notify, Setting, SignalTimer, TimerClock};
use crate::{clock::NSEC_PER_SEC, kernel::Kernel, task::ThreadGroup};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::RLIMIT_CPU,
    signal::{SigInfo, Signal},
};

/// Most POSIX timers of a process.
const MAX_TIMERS: usize = 4096;

#[derive(Debug, Default)]
struct State {
    posix: BTreeMap<i32, Arc<SignalTimer>>,
    next_id: i32,
    /// `ITIMER_REAL`, `ITIMER_VIRTUAL`, `ITIMER_PROF`; made on first use.
    interval: [Option<Arc<SignalTimer>>; 3],
    cpu_limit: Option<Arc<SignalTimer>>,
}

/// The POSIX timers and interval timers of a process.
#[derive(Debug, Default)]
pub struct ProcessTimers {
    state: Mutex<State>,
}

impl ProcessTimers {
    /// Adds a POSIX timer that `make` creates for a new id. `EAGAIN` when there are too many.
    pub fn create(&self, make: impl FnOnce(i32) -> Arc<SignalTimer>) -> Result<i32> {
        let mut state = self.state.lock();
        if state.posix.len() >= MAX_TIMERS {
            return Err(Errno::EAGAIN);
        }
        let mut id = state.next_id;
        while state.posix.contains_key(&id) {
            id = id.checked_add(1).unwrap_or(0);
        }
        state.next_id = id.checked_add(1).unwrap_or(0);
        state.posix.insert(id, make(id));
        Ok(id)
    }

    /// A POSIX timer. `EINVAL` for an unknown id.
    pub fn get(&self, id: i32) -> Result<Arc<SignalTimer>> {
        self.state
            .lock()
            .posix
            .get(&id)
            .cloned()
            .ok_or(Errno::EINVAL)
    }

    /// Deletes a POSIX timer. `EINVAL` for an unknown id.
    pub fn delete(&self, id: i32) -> Result<()> {
        let timer = self.state.lock().posix.remove(&id).ok_or(Errno::EINVAL)?;
        timer.delete();
        Ok(())
    }

    /// An interval timer by its `ITIMER_*` number, made if need be. `EINVAL`.
    pub fn interval(
        &self,
        kernel: &Arc<Kernel>,
        group: &Arc<ThreadGroup>,
        which: u32,
    ) -> Result<Arc<SignalTimer>> {
        let weak = Arc::downgrade(group);
        let (clock, signal) = match which {
            0 => (TimerClock::Monotonic, Signal::SIGALRM),
            1 => (TimerClock::ProcessUser(weak), Signal::SIGVTALRM),
            2 => (TimerClock::Process(weak), Signal::SIGPROF),
            _ => return Err(Errno::EINVAL),
        };
        let mut state = self.state.lock();
        let timer = state.interval[which as usize].get_or_insert_with(|| {
            SignalTimer::new(kernel, group, clock, Notify::Interval(signal))
        });
        Ok(Arc::clone(timer))
    }

    /// Follows a change of `RLIMIT_CPU`, or its inheritance by a new process.
    pub fn watch_cpu_limit(&self, kernel: &Arc<Kernel>, group: &Arc<ThreadGroup>) {
        let soft = group.rlimit(RLIMIT_CPU);
        // A limit of 0 seconds is one of the shortest time: 0 would mean that there is none.
        let limit = soft.checked_mul(NSEC_PER_SEC).map(|ns| ns.max(1));
        let setting = Setting {
            value: limit.unwrap_or(0),
            interval: NSEC_PER_SEC,
            absolute: true,
        };
        let mut state = self.state.lock();
        if state.cpu_limit.is_none() && limit.is_none() {
            return;
        }
        let clock = TimerClock::Process(Arc::downgrade(group));
        let timer = state
            .cpu_limit
            .get_or_insert_with(|| SignalTimer::new(kernel, group, clock, Notify::CpuLimit))
            .clone();
        drop(state);
        timer.set(kernel, setting);
    }

    fn signalling(&self) -> Vec<Arc<SignalTimer>> {
        let state = self.state.lock();
        state
            .posix
            .values()
            .chain(state.interval.iter().flatten())
            .cloned()
            .collect()
    }

    /// A signal leaves the queue; if it is a timer's, the timer goes on and fills in the overrun count.
    #[must_use]
    pub fn delivered(&self, mut info: SigInfo) -> SigInfo {
        for timer in self.signalling() {
            timer.delivered(&mut info);
        }
        info
    }

    /// Pending instances of a signal were dropped.
    pub fn discarded(&self, signal: Signal) {
        for timer in self.signalling() {
            timer.discarded(signal);
        }
    }

    /// Deletes the POSIX timers: execve(2).
    pub fn clear_posix(&self) {
        let timers = std::mem::take(&mut self.state.lock().posix);
        for timer in timers.values() {
            timer.delete();
        }
    }

    /// Deletes all timers: the process has died.
    pub fn clear(&self) {
        let state = std::mem::take(&mut *self.state.lock());
        for timer in state
            .posix
            .values()
            .chain(state.interval.iter().flatten())
            .chain(&state.cpu_limit)
        {
            timer.delete();
        }
    }
}
