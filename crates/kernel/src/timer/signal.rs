//! Timers that send signals: POSIX timers, interval timers, `RLIMIT_CPU`.

use super::{Expire, Key, Schedule, Setting, TimerClock};
use crate::{
    kernel::Kernel,
    signal::{send_to_group, send_to_task},
    task::{Task, ThreadGroup},
};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tuxlet_uapi::{
    resource::RLIMIT_CPU,
    signal::{SI_TIMER, SigInfo, Signal},
};

/// What an expiry does.
#[derive(Clone, Debug)]
pub enum Notify {
    /// Nothing: `SIGEV_NONE`.
    Nothing,
    /// Sends the signal of a POSIX timer.
    Posix {
        /// The timer's id.
        id: i32,
        /// The signal.
        signal: Signal,
        /// `sigev_value`.
        value: u64,
        /// The thread of `SIGEV_THREAD_ID`; otherwise the process.
        thread: Option<Weak<Task>>,
    },
    /// Sends the signal of an interval timer to the process.
    Interval(Signal),
    /// Enforces `RLIMIT_CPU`.
    CpuLimit,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    /// The clock that the schedule is of: a relative setting does not follow a clock that is set.
    clock: TimerClock,
    key: Option<Key>,
    /// The signal is queued; the timer rests until it is delivered, as on Linux, so that a fast timer whose
    /// signal is blocked costs nothing.
    pending: bool,
    /// Expiries beyond the first since the last delivered signal.
    overrun: u64,
    /// What timer_getoverrun(2) gives.
    last_overrun: i32,
    deleted: bool,
}

impl State {
    fn remaining(&self, kernel: &Kernel) -> (u64, u64) {
        (
            self.schedule.remaining(self.clock.now(kernel)),
            self.schedule.interval(),
        )
    }
}

/// A timer of a process.
#[derive(Debug)]
pub struct SignalTimer {
    kernel: Weak<Kernel>,
    group: Weak<ThreadGroup>,
    clock: TimerClock,
    notify: Notify,
    state: Mutex<State>,
}

impl SignalTimer {
    /// A disarmed timer.
    #[must_use]
    pub fn new(
        kernel: &Arc<Kernel>,
        group: &Arc<ThreadGroup>,
        clock: TimerClock,
        notify: Notify,
    ) -> Arc<Self> {
        Arc::new(Self {
            kernel: Arc::downgrade(kernel),
            group: Arc::downgrade(group),
            notify,
            state: Mutex::new(State {
                schedule: Schedule::default(),
                clock: clock.clone(),
                key: None,
                pending: false,
                overrun: 0,
                last_overrun: 0,
                deleted: false,
            }),
            clock,
        })
    }

    /// The timer's clock.
    #[must_use]
    pub fn clock(&self) -> &TimerClock {
        &self.clock
    }

    /// The time to the next expiry and the interval, in nanoseconds; 0 if disarmed.
    #[must_use]
    pub fn remaining(&self, kernel: &Kernel) -> (u64, u64) {
        self.state.lock().remaining(kernel)
    }

    /// Sets or disarms the timer; returns what [`SignalTimer::remaining`] was.
    pub fn set(self: &Arc<Self>, kernel: &Kernel, setting: Setting) -> (u64, u64) {
        let mut state = self.state.lock();
        let before = state.remaining(kernel);
        (state.clock, state.schedule) = setting.on(&self.clock, kernel);
        state.pending = false;
        state.overrun = 0;
        state.last_overrun = 0;
        self.arm(kernel, &mut state);
        before
    }

    /// Disarms the timer for good.
    pub fn delete(&self) {
        let mut state = self.state.lock();
        state.deleted = true;
        state.schedule = Schedule::default();
        if let Some(kernel) = self.kernel.upgrade()
            && let Some(key) = state.key.take()
        {
            kernel.timers.cancel(key);
        }
    }

    /// timer_getoverrun(2): of the last delivered signal.
    #[must_use]
    pub fn overrun(&self) -> i32 {
        self.state.lock().last_overrun
    }

    fn arm(self: &Arc<Self>, kernel: &Kernel, state: &mut State) {
        if let Some(key) = state.key.take() {
            kernel.timers.cancel(key);
        }
        if let Some(at) = state.schedule.next().filter(|_| !state.deleted) {
            let target: Weak<dyn Expire> = Arc::downgrade(self) as _;
            state.key = Some(kernel.timers.arm(state.clock.instant(kernel, at), target));
        }
    }

    /// Sends the signal; false if it goes nowhere because it is ignored.
    fn send(&self, kernel: &Kernel) -> bool {
        let Some(group) = self.group.upgrade() else {
            return false;
        };
        let ignored = |signal| group.sighand.read().ignores(signal);
        match &self.notify {
            Notify::Nothing => false,
            Notify::Posix {
                id,
                signal,
                value,
                thread,
            } => {
                let info = SigInfo::timer(*signal, *id, 0, *value);
                let sent = match thread {
                    None => send_to_group(kernel, &group, info),
                    Some(thread) => match thread.upgrade() {
                        Some(thread) => send_to_task(kernel, &thread, info),
                        None => return false,
                    },
                };
                sent.is_ok() && !ignored(*signal)
            }
            Notify::Interval(signal) => {
                send_to_group(kernel, &group, SigInfo::kernel(*signal)).is_ok() && !ignored(*signal)
            }
            Notify::CpuLimit => {
                self.enforce_cpu_limit(kernel, &group);
                false
            }
        }
    }

    /// Past the soft limit `SIGXCPU` comes every second, past the hard one `SIGKILL`: getrlimit(2).
    fn enforce_cpu_limit(&self, kernel: &Kernel, group: &Arc<ThreadGroup>) {
        let hard = group.rlimits.lock()[RLIMIT_CPU as usize].rlim_max;
        let used = self.clock.now(kernel) / crate::clock::NSEC_PER_SEC;
        let signal = if used >= hard {
            Signal::SIGKILL
        } else {
            Signal::SIGXCPU
        };
        // Standard signals are never refused.
        let _ = send_to_group(kernel, group, SigInfo::kernel(signal));
    }

    /// Whether a signal that is being delivered or discarded is this timer's.
    fn owns(&self, info: &SigInfo) -> bool {
        match &self.notify {
            Notify::Posix { id, .. } => info.si_code == SI_TIMER && info.si_timer().0 == *id,
            Notify::Interval(signal) => info.si_signo == signal.number(),
            Notify::Nothing | Notify::CpuLimit => false,
        }
    }

    /// The timer's signal leaves the queue: the timer goes on, and the signal learns of the overrun.
    pub(super) fn delivered(self: &Arc<Self>, info: &mut SigInfo) {
        if !self.owns(info) {
            return;
        }
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.pending) {
            return;
        }
        let now = state.clock.now(&kernel);
        let missed = state.schedule.advance(now);
        state.last_overrun = i32::try_from(state.overrun + missed).unwrap_or(i32::MAX);
        state.overrun = 0;
        if matches!(self.notify, Notify::Posix { .. }) {
            info.set_overrun(state.last_overrun);
        }
        self.arm(&kernel, &mut state);
    }

    /// A pending signal was dropped because it is now ignored: the timer goes on without it.
    pub(super) fn discarded(self: &Arc<Self>, signal: Signal) {
        let own = match &self.notify {
            Notify::Posix { signal, .. } | Notify::Interval(signal) => *signal,
            Notify::Nothing | Notify::CpuLimit => return,
        };
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let mut state = self.state.lock();
        if own == signal && std::mem::take(&mut state.pending) {
            self.arm(&kernel, &mut state);
        }
    }
}

impl Expire for SignalTimer {
    fn expire(self: Arc<Self>) {
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let mut state = self.state.lock();
        state.key = None;
        let now = state.clock.now(&kernel);
        let count = state.schedule.advance(now);
        if count == 0 || state.pending {
            // Early, as a CPU-time clock makes likely.
            state.overrun += count;
            if !state.pending {
                self.arm(&kernel, &mut state);
            }
            return;
        }
        state.overrun = count - 1;
        // Set before sending: the delivery may happen at once.
        state.pending = true;
        drop(state);
        let queued = self.send(&kernel);
        let mut state = self.state.lock();
        if !queued && std::mem::take(&mut state.pending) {
            self.arm(&kernel, &mut state);
        }
    }

    fn clock_was_set(self: Arc<Self>) {
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        let mut state = self.state.lock();
        if state.clock.is_settable() && state.key.is_some() {
            self.arm(&kernel, &mut state);
        }
    }
}
