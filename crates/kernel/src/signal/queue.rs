//! Pending signals: standard signals once, real-time signals queued with their values.

use crate::task::WaitStatus;
use std::collections::VecDeque;
use tuxlet_uapi::signal::{SI_TIMER, SigInfo, SigSet, Signal, StackT};

/// A queue of pending signals.
#[derive(Debug, Default)]
pub struct SigQueue {
    queue: VecDeque<SigInfo>,
    pending: SigSet,
}

impl SigQueue {
    /// The set of pending signals.
    #[must_use]
    pub fn pending(&self) -> SigSet {
        self.pending
    }

    /// Number of queued signals.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// The queued signals in their order.
    pub fn iter(&self) -> impl Iterator<Item = &SigInfo> {
        self.queue.iter()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Queues a signal; a standard signal that is pending already is dropped: signal(7). Not so that of a POSIX
    /// timer, which has at most one queued and waits for its delivery.
    pub fn push(&mut self, signal: Signal, info: SigInfo) {
        let once = !signal.is_realtime() && info.si_code != SI_TIMER;
        if once && self.pending.contains(signal) {
            return;
        }
        self.pending.insert(signal);
        self.queue.push_back(info);
    }

    /// Takes the next signal of `wanted`: synchronous ones first, then the lowest number, oldest first.
    pub fn take(&mut self, wanted: SigSet) -> Option<SigInfo> {
        let ready = self.pending.intersection(wanted);
        if ready.is_empty() {
            return None;
        }
        let signal = ready
            .intersection(SigSet::SYNCHRONOUS)
            .first()
            .or_else(|| ready.first())?;
        let at = self
            .queue
            .iter()
            .position(|i| i.si_signo == signal.number())?;
        let info = self.queue.remove(at)?;
        if !self.queue.iter().any(|i| i.si_signo == signal.number()) {
            self.pending.remove(signal);
        }
        Some(info)
    }

    /// Drops pending signals of a set.
    pub fn discard(&mut self, set: SigSet) {
        self.queue
            .retain(|i| !Signal::new(i.si_signo).is_ok_and(|s| set.contains(s)));
        self.pending = self.pending.difference(set);
    }

    /// Drops the queued signal of a POSIX timer, when the timer is deleted or set anew.
    pub fn discard_timer(&mut self, timer_id: i32) {
        self.queue
            .retain(|i| i.si_code != SI_TIMER || i.si_timer().0 != timer_id);
        self.pending = self
            .queue
            .iter()
            .filter_map(|i| Signal::new(i.si_signo).ok())
            .collect();
    }
}

/// A thread's signal state.
#[derive(Debug, Default)]
pub struct TaskSignals {
    /// Directed at this thread.
    pub queue: SigQueue,
    /// Blocked: changed only by the thread itself.
    pub blocked: SigSet,
    /// The mask to restore after sigsuspend(2), ppoll(2) and the like, if a handler does not do it.
    pub saved_mask: Option<SigSet>,
    /// The set sigtimedwait(2) is waiting for: such signals wake the thread although blocked.
    pub waiting_for: SigSet,
    /// A signal that may stop the process has been taken and no `SIGCONT` has come since.
    pub may_stop: bool,
    /// The alternate stack.
    pub alt_stack: StackT,
}

/// A process's signal state.
#[derive(Debug, Default)]
pub struct GroupSignals {
    /// Directed at the process.
    pub queue: SigQueue,
    /// Set once the process is dying, with its final status.
    pub group_exit: Option<WaitStatus>,
    /// Set while an execve(2) of this thread id waits for the others to die.
    pub exec_by: Option<u32>,
    /// The signal that is stopping or has stopped the process.
    pub stop: Option<Signal>,
    /// Threads that have come to rest for the stop.
    pub stopped_threads: usize,
}
