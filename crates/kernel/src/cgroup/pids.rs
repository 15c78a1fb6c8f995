//! The pids controller: how many tasks there may be.

use super::Cgroup;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tuxlet_uapi::errno::{Errno, Result};

/// More than there can be: no limit.
const UNLIMITED: u64 = u64::MAX;

/// Counters and the limit of a group. Zombies count until they are waited for.
#[derive(Debug)]
pub(super) struct Pids {
    current: AtomicU64,
    peak: AtomicU64,
    max: AtomicU64,
    /// Refused forks because of this group's limit.
    refused: AtomicU64,
    /// As `refused`, of the groups below too.
    refused_below: AtomicU64,
}

impl Default for Pids {
    fn default() -> Self {
        Self {
            current: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            max: AtomicU64::new(UNLIMITED),
            refused: AtomicU64::new(0),
            refused_below: AtomicU64::new(0),
        }
    }
}

impl Pids {
    pub(super) fn current(&self) -> u64 {
        self.current.load(Ordering::Relaxed)
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    pub(super) fn max(&self) -> Option<u64> {
        Some(self.max.load(Ordering::Relaxed)).filter(|max| *max != UNLIMITED)
    }

    pub(super) fn set_max(&self, max: Option<u64>) {
        self.max.store(max.unwrap_or(UNLIMITED), Ordering::Relaxed);
    }

    /// Refused forks: of the group and all below, and of the group alone.
    pub(super) fn refused(&self) -> (u64, u64) {
        (
            self.refused_below.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        )
    }

    /// Counts one more.
    fn add(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    /// The ones counted stay.
    fn settle(&self) {
        self.peak.fetch_max(self.current(), Ordering::Relaxed);
    }

    fn sub(&self) {
        self.current.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One task's part in the counters, given back when dropped.
#[derive(Debug)]
pub(crate) struct PidCharge(Arc<Cgroup>);

impl PidCharge {
    /// Counts a task, without asking the limits: it exists already.
    pub(super) fn force(group: &Arc<Cgroup>) -> Self {
        let charge = Self::count(group);
        group.up().for_each(|above| above.pids.settle());
        charge
    }

    fn count(group: &Arc<Cgroup>) -> Self {
        group.up().for_each(|above| above.pids.add());
        Self(Arc::clone(group))
    }

    /// Counts a new task. `EAGAIN` at the limit of the group or of one above it.
    pub(super) fn try_new(group: &Arc<Cgroup>) -> Result<Self> {
        let charge = Self::count(group);
        let full = group
            .up()
            .find(|g| g.pids.current() > g.pids.max.load(Ordering::Relaxed));
        let Some(full) = full else {
            group.up().for_each(|above| above.pids.settle());
            return Ok(charge);
        };
        full.pids.refused.fetch_add(1, Ordering::Relaxed);
        full.changed("pids.events.local");
        for above in full.up() {
            above.pids.refused_below.fetch_add(1, Ordering::Relaxed);
            above.changed("pids.events");
        }
        Err(Errno::EAGAIN)
    }
}

impl Drop for PidCharge {
    fn drop(&mut self) {
        for above in self.0.up() {
            above.pids.sub();
        }
    }
}
