//! The clocks that timers run on.

use crate::{
    clock::instant_after,
    kernel::Kernel,
    ns::time::TimeNs,
    task::{CurrentTask, Task, ThreadGroup},
};
use std::{
    sync::{Arc, Weak},
    time::Instant,
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    time::{
        CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
        CLOCK_REALTIME, CLOCK_REALTIME_ALARM, CLOCK_TAI, CLOCK_THREAD_CPUTIME_ID,
    },
};

/// Shortest distance between two looks at a CPU-time clock.
const CPU_RESOLUTION_NS: u64 = 1_000_000;

/// A clock that a timer can wait for.
#[derive(Clone, Debug)]
pub enum TimerClock {
    /// `CLOCK_REALTIME`.
    Realtime,
    /// `CLOCK_MONOTONIC`.
    Monotonic,
    /// `CLOCK_BOOTTIME`.
    Boottime,
    /// CPU time of a process.
    Process(Weak<ThreadGroup>),
    /// User CPU time of a process: `ITIMER_VIRTUAL`.
    ProcessUser(Weak<ThreadGroup>),
    /// CPU time of a thread.
    Thread(Weak<Task>),
}

impl TimerClock {
    /// The clock of an id, as timerfd_create(2) accepts it. `EINVAL`.
    pub fn wall(id: u32) -> Result<Self> {
        match id {
            CLOCK_REALTIME | CLOCK_REALTIME_ALARM | CLOCK_TAI => Ok(Self::Realtime),
            CLOCK_MONOTONIC => Ok(Self::Monotonic),
            CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => Ok(Self::Boottime),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The clock of an id, as timer_create(2) accepts it: CPU-time clocks too. `EINVAL`.
    pub fn of(task: &CurrentTask, id: u32) -> Result<Self> {
        match id {
            CLOCK_PROCESS_CPUTIME_ID => Ok(Self::Process(Arc::downgrade(task.task.group()))),
            CLOCK_THREAD_CPUTIME_ID => Ok(Self::Thread(Arc::downgrade(&task.task))),
            _ if id.cast_signed() < 0 => Self::dynamic(task, id.cast_signed()),
            _ => Self::wall(id),
        }
    }

    /// The CPU clock of a process or thread: clock_getcpuclockid(3). The id is `~pid << 3 | kind`.
    fn dynamic(task: &CurrentTask, id: i32) -> Result<Self> {
        const PER_THREAD: i32 = 4;
        if id & 3 == 3 {
            return Err(Errno::EINVAL);
        }
        let pid = (!(id >> 3)).cast_unsigned();
        let global = task.given_pid(pid).map_err(|_| Errno::EINVAL);
        let tree = task.kernel.tree.lock();
        if id & PER_THREAD != 0 {
            let thread = if pid == 0 {
                Some(&task.task)
            } else {
                tree.task(global?)
            };
            let thread = thread
                .filter(|t| t.tgid() == task.task.tgid())
                .ok_or(Errno::EINVAL)?;
            return Ok(Self::Thread(Arc::downgrade(thread)));
        }
        if pid == 0 {
            return Ok(Self::Process(Arc::downgrade(task.task.group())));
        }
        let node = tree.node(global?).ok_or(Errno::EINVAL)?;
        Ok(Self::Process(Arc::downgrade(&node.group)))
    }

    /// The time, in nanoseconds.
    #[must_use]
    pub fn now(&self, kernel: &Kernel) -> u64 {
        match self {
            Self::Realtime => u64::try_from(kernel.clock.realtime_ns()).unwrap_or(0),
            Self::Monotonic => kernel.clock.monotonic_ns(),
            Self::Boottime => kernel.clock.boottime_ns(),
            Self::Process(group) => group
                .upgrade()
                .map_or(0, |g| kernel.process_cpu_ns(g.tgid())),
            Self::ProcessUser(group) => group
                .upgrade()
                .map_or(0, |g| kernel.process_times(g.tgid()).0),
            Self::Thread(task) => task.upgrade().map_or(0, |t| t.cpu_ns()),
        }
    }

    /// The host instant at which the clock can have reached `at` at the earliest: CPU time passes as fast as
    /// there are threads, or not at all.
    #[must_use]
    pub fn instant(&self, kernel: &Kernel, at: u64) -> Instant {
        let left = at.saturating_sub(self.now(kernel));
        match self {
            Self::Realtime | Self::Monotonic | Self::Boottime => instant_after(left),
            Self::Thread(_) => instant_after(left.max(CPU_RESOLUTION_NS)),
            Self::Process(group) | Self::ProcessUser(group) => {
                let threads = group
                    .upgrade()
                    .map_or(1, |g| kernel.threads_of(g.tgid()).len());
                let parallel = threads.clamp(1, kernel.config.processors.max(1)) as u64;
                instant_after((left / parallel).max(CPU_RESOLUTION_NS))
            }
        }
    }

    /// The clock for a relative setting: what is to pass is time, and setting the clock does not make it pass.
    #[must_use]
    pub fn for_relative(&self) -> Self {
        match self {
            Self::Realtime => Self::Monotonic,
            other => other.clone(),
        }
    }

    /// The time of this clock in the first time namespace, for one that a task in another gives.
    #[must_use]
    pub fn to_host(&self, ns: &TimeNs, time: u64) -> u64 {
        match self {
            Self::Monotonic => ns.to_host(CLOCK_MONOTONIC, time),
            Self::Boottime => ns.to_host(CLOCK_BOOTTIME, time),
            _ => time,
        }
    }

    /// Whether clock_settime(2) moves this clock.
    #[must_use]
    pub fn is_settable(&self) -> bool {
        matches!(self, Self::Realtime)
    }
}
