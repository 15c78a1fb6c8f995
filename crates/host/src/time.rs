//! The host's clocks. All values are nanoseconds.

use rustix::time::{ClockId, Timespec, clock_gettime};

fn ns(t: Timespec) -> i64 {
    t.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(t.tv_nsec)
}

fn unsigned(clock: ClockId) -> u64 {
    u64::try_from(ns(clock_gettime(clock))).unwrap_or(0)
}

/// Time since some fixed point, never going back; stands still while the host is suspended. This is the clock
/// of [`std::time::Instant`].
#[inline]
pub fn monotonic() -> u64 {
    #[cfg(target_os = "macos")]
    return unsigned(ClockId::Monotonic);
    #[cfg(not(target_os = "macos"))]
    unsigned(ClockId::Monotonic)
}

/// Time since some fixed point, going on while the host is suspended.
pub fn boottime() -> u64 {
    #[cfg(target_os = "linux")]
    return unsigned(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    unsigned(ClockId::Monotonic)
}

/// Time since 1970-01-01 00:00 UTC; negative before.
#[inline]
pub fn realtime() -> i64 {
    ns(clock_gettime(ClockId::Realtime))
}

/// Processor time used by the whole host process.
pub fn process_cpu() -> u64 {
    unsigned(ClockId::ProcessCPUTime)
}

/// Processor time used by the calling thread.
pub fn thread_cpu() -> u64 {
    unsigned(ClockId::ThreadCPUTime)
}
