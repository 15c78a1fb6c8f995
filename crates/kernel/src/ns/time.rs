//! Time namespaces: time_namespaces(7). The clocks of the kernel are those of the first namespace; offsets are added where
//! a system call or `/proc` shows a time, and taken off where one is given.

use super::Identity;
use crate::clock::NSEC_PER_SEC;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    time::{
        CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE,
        CLOCK_MONOTONIC_RAW,
    },
};
use tuxlet_vfs::UserNs;

/// The largest number of seconds that Linux' clocks can count in nanoseconds.
const SECONDS_MAX: i64 = i64::MAX / NSEC_PER_SEC as i64;

/// Offsets of the monotonic and the boot clock.
#[derive(Debug)]
pub struct TimeNs {
    /// Who it is.
    pub id: Identity,
    monotonic: AtomicI64,
    boottime: AtomicI64,
    /// Whether the offsets are for good, since somebody is in the namespace.
    frozen: Mutex<bool>,
}

impl TimeNs {
    /// The namespace of a machine's first process, without offsets.
    pub(super) fn initial() -> Arc<Self> {
        Arc::new(Self {
            id: Identity::initial(4_026_531_834),
            monotonic: AtomicI64::new(0),
            boottime: AtomicI64::new(0),
            frozen: Mutex::new(true),
        })
    }

    /// A new namespace that begins with the offsets of this one.
    pub(super) fn child(&self, owner: &Arc<UserNs>) -> Arc<Self> {
        Arc::new(Self {
            id: Identity::new(owner),
            monotonic: AtomicI64::new(self.monotonic.load(Ordering::Relaxed)),
            boottime: AtomicI64::new(self.boottime.load(Ordering::Relaxed)),
            frozen: Mutex::new(false),
        })
    }

    /// Somebody enters: the offsets stay from now on.
    pub(crate) fn freeze(&self) {
        *self.frozen.lock() = true;
    }

    fn offset_of(&self, clock: u32) -> Option<&AtomicI64> {
        match clock {
            CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE => Some(&self.monotonic),
            CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => Some(&self.boottime),
            _ => None,
        }
    }

    /// What is added to a clock, in nanoseconds.
    #[must_use]
    pub(crate) fn offset(&self, clock: u32) -> i64 {
        self.offset_of(clock)
            .map_or(0, |o| o.load(Ordering::Relaxed))
    }

    /// The kernel's time for one of a clock as it is shown here, in nanoseconds; a time before the clock's start is its start.
    #[must_use]
    pub(crate) fn to_host(&self, clock: u32, ns: u64) -> u64 {
        let ns = i64::try_from(ns).unwrap_or(i64::MAX);
        let host = ns.saturating_sub(self.offset(clock));
        u64::try_from(host).unwrap_or(0)
    }

    /// The boot clock as it is shown here.
    #[must_use]
    pub(crate) fn shown_boottime(&self, ns: u64) -> u64 {
        ns.saturating_add_signed(self.boottime.load(Ordering::Relaxed))
    }

    /// `/proc/PID/timens_offsets`.
    pub(crate) fn show(&self) -> String {
        let line = |name: &str, ns: &AtomicI64| {
            let ns = ns.load(Ordering::Relaxed);
            let per_sec = NSEC_PER_SEC.cast_signed();
            let (sec, nsec) = (ns.div_euclid(per_sec), ns.rem_euclid(per_sec));
            format!("{name:<10} {sec:>10} {nsec:>9}\n")
        };
        line("monotonic", &self.monotonic) + &line("boottime", &self.boottime)
    }

    /// Sets offsets from lines of a clock, seconds and nanoseconds, all or none. `now` reads the kernel's clocks. `EINVAL`,
    /// `ERANGE` for a clock that would not be at a time from 0 on, `EACCES` once somebody has entered.
    pub(crate) fn store(&self, text: &str, now: impl Fn(u32) -> u64) -> Result<()> {
        let mut offsets = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            // What follows is ignored.
            let [name, sec, nsec, ..] = words[..] else {
                return Err(Errno::EINVAL);
            };
            let clock = match name {
                "monotonic" | "1" => CLOCK_MONOTONIC,
                "boottime" | "7" => CLOCK_BOOTTIME,
                _ => return Err(Errno::EINVAL),
            };
            let sec: i64 = sec.parse().map_err(|_| Errno::EINVAL)?;
            let nsec: i64 = nsec.parse().map_err(|_| Errno::EINVAL)?;
            if !(0..NSEC_PER_SEC.cast_signed()).contains(&nsec) {
                return Err(Errno::EINVAL);
            }
            offsets.push((clock, sec, nsec));
        }
        if offsets.is_empty() {
            return Err(Errno::EINVAL);
        }
        let per_sec = NSEC_PER_SEC.cast_signed();
        for (clock, sec, _) in &offsets {
            let now = (now(*clock) / NSEC_PER_SEC).cast_signed();
            if sec.checked_abs().is_none_or(|s| s > SECONDS_MAX)
                || !(0..=SECONDS_MAX / 2).contains(&(now + sec))
            {
                return Err(Errno::ERANGE);
            }
        }
        let frozen = self.frozen.lock();
        if *frozen {
            return Err(Errno::EACCES);
        }
        for (clock, sec, nsec) in offsets {
            if let Some(offset) = self.offset_of(clock) {
                offset.store(
                    sec.saturating_mul(per_sec).saturating_add(nsec),
                    Ordering::Relaxed,
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns() -> Arc<TimeNs> {
        TimeNs::initial().child(UserNs::initial())
    }

    #[test]
    fn offsets_are_added_and_taken_off() {
        let ns = ns();
        ns.store("monotonic 100 5\nboottime -3 500000000\n", |_| {
            10 * NSEC_PER_SEC
        })
        .unwrap();
        assert_eq!(ns.offset(CLOCK_MONOTONIC_RAW), 100_000_000_005);
        assert_eq!(ns.offset(CLOCK_BOOTTIME), -2_500_000_000);
        assert_eq!(ns.to_host(CLOCK_MONOTONIC, 100_000_000_006), 1);
        assert_eq!(ns.to_host(CLOCK_MONOTONIC, 1), 0);
        assert_eq!(ns.to_host(0, 7), 7);
        assert_eq!(
            ns.show(),
            "monotonic         100         5\nboottime           -3 500000000\n"
        );
    }

    #[test]
    fn bad_offsets_change_nothing() {
        let ns = ns();
        let now = |_| 10 * NSEC_PER_SEC;
        for text in [
            "",
            "monotonic 1",
            "realtime 1 0",
            "1 x 0",
            "7 1 1000000000",
            "7 1 -1",
        ] {
            assert_eq!(ns.store(text, now), Err(Errno::EINVAL), "{text}");
        }
        for text in ["1 -11 0", "1 1 0\n7 9223372037 0", "1 4611686019 0"] {
            assert_eq!(ns.store(text, now), Err(Errno::ERANGE), "{text}");
        }
        assert_eq!(ns.offset(CLOCK_MONOTONIC), 0);
        ns.freeze();
        assert_eq!(ns.store("1 1 0", now), Err(Errno::EACCES));
    }
}
