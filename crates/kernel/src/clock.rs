//! The machine's clocks: clock_gettime(2).

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};
use tuxlet_host::time as host_time;
use tuxlet_uapi::{errno::Errno, errno::Result, time::Timespec};

pub use crate::timer::ProcessTimers;

/// Nanoseconds of a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

/// How long a machine is up when its first program runs, in nanoseconds: what a Linux machine needs until somebody can work on
/// it. Programs rely on such a time. To libevent, for one, zero seconds is a time that was not taken yet, and it compares the
/// clocks for the first time when the monotonic one is past five.
const BOOT_TIME: u64 = 10 * NSEC_PER_SEC;

/// The clocks of one machine.
#[derive(Debug)]
pub struct Clock {
    boot_monotonic: u64,
    boot_boottime: u64,
    /// Added to the host's realtime clock: clock_settime(2) inside the guest.
    realtime_offset: AtomicI64,
}

impl Clock {
    /// The clocks of a machine that is up since [`BOOT_TIME`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            boot_monotonic: host_time::monotonic().saturating_sub(BOOT_TIME),
            boot_boottime: host_time::boottime().saturating_sub(BOOT_TIME),
            realtime_offset: AtomicI64::new(0),
        }
    }

    /// `CLOCK_MONOTONIC`, in nanoseconds since the machine's start.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        host_time::monotonic().saturating_sub(self.boot_monotonic)
    }

    /// The host's monotonic clock at the machine's start, in nanoseconds: what the counter register is based on.
    #[must_use]
    pub fn boot_monotonic(&self) -> u64 {
        self.boot_monotonic
    }

    /// `CLOCK_BOOTTIME`, in nanoseconds since the machine's start.
    #[must_use]
    pub fn boottime_ns(&self) -> u64 {
        host_time::boottime().saturating_sub(self.boot_boottime)
    }

    /// `CLOCK_REALTIME`, in nanoseconds since the epoch.
    #[must_use]
    pub fn realtime_ns(&self) -> i64 {
        host_time::realtime().saturating_add(self.realtime_offset.load(Ordering::Relaxed))
    }

    /// Sets `CLOCK_REALTIME` for this machine.
    pub fn set_realtime(&self, ns: i64) {
        self.realtime_offset
            .store(ns.saturating_sub(host_time::realtime()), Ordering::Relaxed);
    }

    /// `CLOCK_REALTIME` as file systems take it.
    #[must_use]
    pub fn realtime_vfs(&self) -> tuxlet_vfs::attr::Time {
        let ns = self.realtime_ns();
        let per_sec = NSEC_PER_SEC.cast_signed();
        tuxlet_vfs::attr::Time {
            sec: ns.div_euclid(per_sec),
            nsec: ns.rem_euclid(per_sec) as u32,
        }
    }

    /// The host instant at which `CLOCK_MONOTONIC` reads `ns`.
    #[must_use]
    pub fn monotonic_instant(&self, ns: u64) -> Instant {
        instant_after(ns.saturating_sub(self.monotonic_ns()))
    }

    /// The host instant at which `CLOCK_REALTIME` will read `ns` if nobody sets it.
    /// Waits use [`crate::wait::Deadline::Realtime`], which follows a setting.
    #[must_use]
    pub fn realtime_instant(&self, ns: i64) -> Instant {
        instant_after(u64::try_from(ns.saturating_sub(self.realtime_ns())).unwrap_or(0))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The instant `ns` nanoseconds from now, at most some centuries.
#[must_use]
pub fn instant_after(ns: u64) -> Instant {
    let now = Instant::now();
    now.checked_add(Duration::from_nanos(ns))
        .unwrap_or_else(|| now + Duration::from_secs(1 << 30))
}

/// A non-negative time in nanoseconds; `EINVAL` for a negative one or one with a bad fraction.
pub fn timespec_ns(ts: &Timespec) -> Result<u64> {
    if ts.tv_sec < 0 || !(0..NSEC_PER_SEC.cast_signed()).contains(&ts.tv_nsec) {
        return Err(Errno::EINVAL);
    }
    Ok(ts
        .tv_sec
        .cast_unsigned()
        .saturating_mul(NSEC_PER_SEC)
        .saturating_add(ts.tv_nsec.cast_unsigned()))
}

/// A timespec of nanoseconds.
#[must_use]
pub fn ns_timespec(ns: u64) -> Timespec {
    Timespec {
        tv_sec: (ns / NSEC_PER_SEC).cast_signed(),
        tv_nsec: (ns % NSEC_PER_SEC).cast_signed(),
    }
}
