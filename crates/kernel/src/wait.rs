//! The one interruptible sleep of the kernel.

use crate::{
    clock::Clock,
    task::{CurrentTask, RunState, work},
};
use std::{sync::Arc, time::Instant};
use tuxlet_sync::WaitResult;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Events, File, PollTable};

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// A signal, a stop or the end of the process is pending.
    Interrupted,
    /// The deadline has passed.
    TimedOut,
}

/// Until when to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// For ever.
    Never,
    /// A moment of the host's monotonic clock.
    At(Instant),
    /// A time of `CLOCK_REALTIME` in nanoseconds: another moment when the clock is set.
    Realtime(i64),
}

impl Deadline {
    fn instant(self, clock: &Clock) -> Option<Instant> {
        match self {
            Self::Never => None,
            Self::At(at) => Some(at),
            Self::Realtime(ns) => Some(clock.realtime_instant(ns)),
        }
    }
}

impl From<Option<Instant>> for Deadline {
    fn from(at: Option<Instant>) -> Self {
        at.map_or(Self::Never, Self::At)
    }
}

impl From<Instant> for Deadline {
    fn from(at: Instant) -> Self {
        Self::At(at)
    }
}

impl CurrentTask {
    /// Sleeps until `ready` gives a value. It is called first without a table; then once with one, into which it
    /// puts the wait queues it depends on *before* it looks; then again after each wake-up. A signal or the
    /// deadline end the wait; a value that is there wins over both.
    pub fn wait_until<T>(
        &mut self,
        deadline: impl Into<Deadline>,
        mut ready: impl FnMut(&mut Self, Option<&mut PollTable>) -> Option<T>,
    ) -> std::result::Result<T, WaitError> {
        if let Some(value) = ready(self, None) {
            return Ok(value);
        }
        let deadline = deadline.into();
        let waiter = Arc::clone(self.task.waiter());
        let mut table = PollTable::new(waiter.clone());
        if let Some(value) = ready(self, Some(&mut table)) {
            return Ok(value);
        }
        self.note_sleep();
        loop {
            if self.task.pending_work() != 0 && self.signal_pending() {
                break Err(WaitError::Interrupted);
            }
            if self.task.pending_work() & work::IO_URING != 0 {
                // What it changes leaves a wake-up behind.
                self.run_io_uring();
            }
            self.task.set_run_state(RunState::Sleeping);
            let woken = waiter.wait(deadline.instant(&self.kernel.clock));
            self.task.set_run_state(RunState::Running);
            if let Some(value) = ready(self, None) {
                break Ok(value);
            }
            // Setting the clock wakes everybody, and each reckons anew.
            let passed = || deadline.instant(&self.kernel.clock) <= Some(Instant::now());
            if woken == WaitResult::TimedOut && passed() {
                break Err(WaitError::TimedOut);
            }
        }
    }

    /// Notes for `/proc/PID/syscall` where the task is about to sleep.
    fn note_sleep(&self) {
        let x = &self.cpu.x;
        *self.task.asleep.lock() = [
            self.orig_x0,
            x[1],
            x[2],
            x[3],
            x[4],
            x[5],
            self.cpu.sp,
            self.cpu.pc,
        ];
    }

    /// Repeats an operation on a file until it does something else than `EAGAIN`, sleeping for readiness in
    /// between, unless the file is non-blocking. Interrupted: `ERESTARTSYS`, but `EINTR` with a deadline, since
    /// starting again would start its time again: signal(7).
    pub fn block_on_file<T>(
        &mut self,
        file: &Arc<File>,
        want: Events,
        nonblock: bool,
        deadline: Option<Instant>,
        mut op: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        match op(self) {
            Err(Errno::EAGAIN) if !nonblock => {}
            other => return other,
        }
        let want = want | Events::ERR | Events::HUP;
        let cx = self.cx();
        let waited = self.wait_until(deadline, |task, table| {
            if !file.ops().poll(&cx, table).intersects(want) {
                return None;
            }
            match op(task) {
                // Another reader was quicker.
                Err(Errno::EAGAIN) => None,
                other => Some(other),
            }
        });
        match waited {
            Ok(result) => result,
            Err(WaitError::Interrupted) if deadline.is_some() => Err(Errno::EINTR),
            Err(WaitError::Interrupted) => Err(Errno::ERESTARTSYS),
            Err(WaitError::TimedOut) => Err(Errno::EAGAIN),
        }
    }
}
