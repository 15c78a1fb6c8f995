//! CPU accounting.

use super::{CurrentTask, Node, Task};
use crate::kernel::Kernel;
use std::sync::atomic::{AtomicU64, Ordering};
use tuxlet_uapi::{resource::Rusage, time::Timeval};

/// User and system time in nanoseconds.
#[derive(Debug, Default)]
pub struct CpuTimes {
    user_ns: AtomicU64,
    system_ns: AtomicU64,
}

impl CpuTimes {
    /// User time.
    #[must_use]
    pub fn user_ns(&self) -> u64 {
        self.user_ns.load(Ordering::Relaxed)
    }

    /// System time.
    #[must_use]
    pub fn system_ns(&self) -> u64 {
        self.system_ns.load(Ordering::Relaxed)
    }

    /// Adds to both.
    pub fn add(&self, user_ns: u64, system_ns: u64) {
        self.user_ns.fetch_add(user_ns, Ordering::Relaxed);
        self.system_ns.fetch_add(system_ns, Ordering::Relaxed);
    }

    /// Sets both.
    pub fn set(&self, user_ns: u64, system_ns: u64) {
        self.user_ns.store(user_ns, Ordering::Relaxed);
        self.system_ns.store(system_ns, Ordering::Relaxed);
    }

    /// Adds another's times.
    pub fn add_from(&self, other: &Self) {
        self.add(other.user_ns(), other.system_ns());
    }
}

/// What read(2), write(2) and their like have moved: proc_pid_io(5).
#[derive(Debug, Default)]
pub(crate) struct IoCounters([AtomicU64; 4]);

impl IoCounters {
    /// Bytes read, bytes written, read calls, write calls.
    pub(crate) fn get(&self) -> [u64; 4] {
        self.0.each_ref().map(|c| c.load(Ordering::Relaxed))
    }

    pub(crate) fn add(&self, more: [u64; 4]) {
        for (counter, more) in self.0.iter().zip(more) {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Counts a read of so many bytes.
    pub(crate) fn read(&self, n: usize) {
        self.0[0].fetch_add(n as u64, Ordering::Relaxed);
        self.0[2].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a write of so many bytes.
    pub(crate) fn written(&self, n: usize) {
        self.0[1].fetch_add(n as u64, Ordering::Relaxed);
        self.0[3].fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    /// CPU time of this thread in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        // The clock of a thread that has died cannot be read any more; its last value was noted.
        let noted = self.times.user_ns() + self.times.system_ns();
        if self.exiting.load(Ordering::Relaxed) {
            noted
        } else {
            self.cpu_clock().map_or(noted, |now| now.max(noted))
        }
    }
}

/// A process's user and system time in nanoseconds, its live and its dead threads together.
///
/// DEVIATION: time inside our kernel counts as user time, as the host counts it.
#[must_use]
pub fn node_times(node: &Node) -> (u64, u64) {
    let live: u64 = node.threads.iter().map(|t| t.cpu_ns()).sum();
    (
        node.group.dead_times.user_ns() + live,
        node.group.dead_times.system_ns(),
    )
}

/// A process's resource usage: getrusage(2) `RUSAGE_SELF`.
#[must_use]
pub fn node_rusage(node: &Node) -> Rusage {
    let (user, system) = node_times(node);
    of_times(user, system)
}

/// A usage record of two times in nanoseconds.
#[must_use]
pub fn of_times(user_ns: u64, system_ns: u64) -> Rusage {
    Rusage {
        ru_utime: Timeval::from_nanos(user_ns),
        ru_stime: Timeval::from_nanos(system_ns),
        ..Rusage::default()
    }
}

impl Kernel {
    /// A process's user and system time in nanoseconds; zero if there is no such process.
    #[must_use]
    pub fn process_times(&self, tgid: u32) -> (u64, u64) {
        self.tree.lock().node(tgid).map_or((0, 0), node_times)
    }

    /// A process's CPU time in nanoseconds.
    #[must_use]
    pub fn process_cpu_ns(&self, tgid: u32) -> u64 {
        let (user, system) = self.process_times(tgid);
        user + system
    }
}

impl CurrentTask {
    /// Notes the CPU time of the thread, before its clock goes.
    pub(crate) fn account_cpu(&self) {
        self.task.times.set(tuxlet_host::time::thread_cpu(), 0);
    }
}
