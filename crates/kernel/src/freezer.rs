//! Holding all tasks of a machine still: what an embedder does before its process is suspended.
//!
//! As in Linux' freezer, a frozen thread rests just before it would go back to user mode. A sleep in a system call is interrupted for it
//! as by a stop signal without a handler, and goes on afterwards: signal(7), "Interruption of system calls and library functions by stop
//! signals", which also names the few calls that fail with `EINTR`.

use crate::{
    kernel::Kernel,
    task::{CurrentTask, RunState, Task, work},
};
use parking_lot::{Condvar, Mutex};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// How often to look for threads that were made since.
const LOOK: Duration = Duration::from_millis(5);

/// Whether the machine is frozen.
#[derive(Debug, Default)]
pub struct Freezer {
    frozen: Mutex<bool>,
    rested: Condvar,
}

pub(crate) fn rests(task: &Task) -> bool {
    let state = task.run_state();
    task.resting.load(Ordering::SeqCst)
        || matches!(
            state,
            RunState::Stopped | RunState::Traced | RunState::Zombie
        )
}

impl Kernel {
    fn tasks(&self) -> Vec<Arc<Task>> {
        let tree = self.tree.lock();
        tree.groups().flat_map(|(_, n)| n.threads.clone()).collect()
    }

    /// Holds all threads still; `false`, with all running again, if one of them has not come to rest by then.
    pub fn freeze(&self, deadline: Instant) -> bool {
        *self.freezer.frozen.lock() = true;
        loop {
            let moving: Vec<_> = self.tasks().into_iter().filter(|t| !rests(t)).collect();
            if moving.is_empty() {
                return true;
            }
            for task in &moving {
                task.notify(work::FREEZE);
            }
            let mut frozen = self.freezer.frozen.lock();
            if moving.iter().all(|t| rests(t)) {
                continue;
            }
            if Instant::now() >= deadline {
                drop(frozen);
                self.thaw();
                return false;
            }
            // New threads do not announce themselves, nor do those that stop otherwise.
            self.freezer.rested.wait_for(&mut frozen, LOOK);
        }
    }

    /// Lets all threads go on, and tells them that the clock may have jumped.
    pub fn thaw(&self) {
        *self.freezer.frozen.lock() = false;
        self.realtime_has_jumped();
    }
}

impl CurrentTask {
    /// Rests while the machine or the task's control group is frozen, or the group's CPU time is spent, or until the
    /// process is to end.
    pub(crate) fn rest_while_frozen(&mut self) {
        let kernel = Arc::clone(&self.kernel);
        let before = self.task.run_state();
        let mut told = false;
        loop {
            // Before looking: who wants the task to rest from now on sets them again.
            self.task.clear_work(work::FREEZE | work::THROTTLE);
            let group = self.task.cgroup();
            {
                let frozen = kernel.freezer.frozen.lock();
                if !(*frozen || group.holds()) || self.dying().is_some() {
                    self.task.resting.store(false, Ordering::SeqCst);
                    break;
                }
                self.task.resting.store(true, Ordering::SeqCst);
                kernel.freezer.rested.notify_all();
            }
            self.task.set_run_state(RunState::Sleeping);
            if !std::mem::replace(&mut told, true) || group.freezes() {
                kernel.rest_has_changed(&self.task);
            }
            // Whoever thaws or kills wakes it.
            self.task.waiter().wait(None);
        }
        self.task.set_run_state(before);
        if told {
            kernel.rest_has_changed(&self.task);
        }
    }
}
