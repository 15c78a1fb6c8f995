//! CPU accounting.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// A process's user and system time in nanoseconds, its live and its dead threads together.
#[must_use]
pub fn group_times(group: &ThreadGroup) -> (u64, u64) {
    let mut times = (group.dead_times.user_ns(), group.dead_times.system_ns());
    for task in group.live_threads() {
        times.0 += task.times.user_ns();
        times.1 += task.times.system_ns();
    }
    times
}

/// A process's resource usage: getrusage(2) `RUSAGE_SELF`.
#[must_use]
pub fn rusage(group: &ThreadGroup) -> Rusage {
    let (user, system) = group_times(group);
    of_times(user, system)
}

/// A usage record of two times in nanoseconds.
#[must_use]
pub fn of_times(user_ns: u64, system_ns: u64) -> Rusage {
    Rusage { ru_utime: timeval(user_ns), ru_stime: timeval(system_ns), ..Rusage::default() }
}

fn timeval(ns: u64) -> Timeval {
    Timeval { tv_sec: (ns / 1_000_000_000).cast_signed(), tv_usec: (ns % 1_000_000_000 / 1000).cast_signed() }
}
