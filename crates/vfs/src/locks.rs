//! File locks: flock(2), and the record locks of fcntl(2), POSIX and open file description (OFD) ones.
//!
//! Nothing here sleeps. A caller that wants to wait registers on [`FileLocks::released`], tries again, and sleeps
//! when the try gave `EAGAIN`; [`LockGraph`] remembers meanwhile who waits for whom, for `EDEADLK`.

use crate::inode::Anchor;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::errno::{Errno, Result};

/// Shared or exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Many may hold it: `LOCK_SH`, `F_RDLCK`.
    Shared,
    /// One holds it: `LOCK_EX`, `F_WRLCK`.
    Exclusive,
}

/// Who holds a record lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockOwner {
    /// A process (its file descriptor table's thread group id).
    Process(u32),
    /// An open file description, by [`crate::File::id`].
    Description(u64),
}

/// A record lock: bytes `start..=end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLock {
    /// Holder.
    pub owner: LockOwner,
    /// Process id that `F_GETLK` reports; -1 for OFD locks.
    pub pid: i32,
    /// Kind.
    pub kind: LockKind,
    /// First byte.
    pub start: u64,
    /// Last byte, inclusive; `u64::MAX` reaches to infinity.
    pub end: u64,
}

impl RecordLock {
    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner
            && self.overlaps(other)
            && (self.kind == LockKind::Exclusive || other.kind == LockKind::Exclusive)
    }
}

#[derive(Debug, Default)]
struct State {
    /// Per owner disjoint, and neighbours of one kind merged.
    records: Vec<RecordLock>,
    /// By open file description.
    flocks: Vec<(u64, LockKind)>,
}

/// All locks of one inode.
#[derive(Debug, Default)]
pub struct FileLocks {
    state: Mutex<State>,
    released: WaitQueue,
}

/// Who waits for whom: one per kernel, so that a cycle of waiting processes is refused with `EDEADLK`.
#[derive(Debug, Default)]
pub struct LockGraph(Mutex<FxHashMap<LockOwner, Vec<LockOwner>>>);

impl LockGraph {
    /// Forgets one wait of `owner`; call it when the wait of a lock ends, however it ends.
    pub fn done(&self, owner: LockOwner, blocker: LockOwner) {
        let mut edges = self.0.lock();
        if let Some(list) = edges.get_mut(&owner) {
            if let Some(i) = list.iter().position(|b| *b == blocker) {
                list.swap_remove(i);
            }
            if list.is_empty() {
                edges.remove(&owner);
            }
        }
    }

    /// Notes that `owner` is about to wait for `blocker`; `EDEADLK` if that one (indirectly) waits for `owner`.
    /// As in Linux only waits of processes are checked: threads of one may well release each other's OFD locks.
    pub fn wait(&self, owner: LockOwner, blocker: LockOwner) -> Result<()> {
        let mut edges = self.0.lock();
        if matches!(owner, LockOwner::Process(_)) {
            let mut seen = Vec::new();
            let mut todo = vec![blocker];
            while let Some(at) = todo.pop() {
                if at == owner {
                    return Err(Errno::EDEADLK);
                }
                if !seen.contains(&at) {
                    seen.push(at);
                    todo.extend(edges.get(&at).into_iter().flatten());
                }
            }
        }
        edges.entry(owner).or_default().push(blocker);
        Ok(())
    }
}

impl FileLocks {
    /// The locks of an inode.
    #[must_use]
    pub fn of(anchor: &Anchor) -> Arc<Self> {
        anchor.get_or_insert(Self::default)
    }

    /// The locks of an inode, if it ever had any.
    #[must_use]
    pub fn existing(anchor: &Anchor) -> Option<Arc<Self>> {
        anchor.get::<Self>()
    }

    /// Woken whenever a lock is released or weakened.
    #[must_use]
    pub fn released(&self) -> &WaitQueue {
        &self.released
    }

    /// Takes or converts the flock(2) lock of an open file description. A conversion gives the old lock up
    /// first, so that a failed one leaves none: flock(2).
    pub fn flock(&self, file: u64, kind: LockKind) -> Result<()> {
        let mut state = self.state.lock();
        if state.flocks.contains(&(file, kind)) {
            return Ok(());
        }
        let before = state.flocks.len();
        state.flocks.retain(|(f, _)| *f != file);
        let gave_up = state.flocks.len() != before;
        let free = !state
            .flocks
            .iter()
            .any(|(_, k)| *k == LockKind::Exclusive || kind == LockKind::Exclusive);
        if free {
            state.flocks.push((file, kind));
        }
        drop(state);
        if gave_up {
            self.released.wake_all(tuxlet_sync::ANY);
        }
        if free { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// Releases the flock(2) lock of an open file description.
    pub fn funlock(&self, file: u64) {
        let mut state = self.state.lock();
        let before = state.flocks.len();
        state.flocks.retain(|(f, _)| *f != file);
        let changed = state.flocks.len() != before;
        drop(state);
        if changed {
            self.released.wake_all(tuxlet_sync::ANY);
        }
    }

    /// The first lock that `wanted` would conflict with: `F_GETLK`.
    #[must_use]
    pub fn conflict(&self, wanted: &RecordLock) -> Option<RecordLock> {
        self.state
            .lock()
            .records
            .iter()
            .find(|l| l.conflicts(wanted))
            .copied()
    }

    /// Sets a record lock: `F_SETLK`. On conflict the error is `EAGAIN` together with the lock in the way.
    pub fn set(&self, wanted: RecordLock) -> core::result::Result<(), RecordLock> {
        let mut state = self.state.lock();
        if let Some(blocker) = state.records.iter().find(|l| l.conflicts(&wanted)) {
            return Err(*blocker);
        }
        let weakened = state.records.iter().any(|l| {
            l.owner == wanted.owner
                && l.overlaps(&wanted)
                && l.kind == LockKind::Exclusive
                && wanted.kind == LockKind::Shared
        });
        carve(&mut state.records, wanted.owner, wanted.start, wanted.end);
        let mut merged = wanted;
        state.records.retain(|l| {
            let touches = l.owner == merged.owner
                && l.kind == merged.kind
                && l.start <= merged.end.saturating_add(1)
                && merged.start <= l.end.saturating_add(1);
            if touches {
                merged.start = merged.start.min(l.start);
                merged.end = merged.end.max(l.end);
            }
            !touches
        });
        let at = state
            .records
            .iter()
            .position(|l| l.start > merged.start)
            .unwrap_or(state.records.len());
        state.records.insert(at, merged);
        drop(state);
        if weakened {
            self.released.wake_all(tuxlet_sync::ANY);
        }
        Ok(())
    }

    /// Releases the bytes `start..=end` of an owner: `F_UNLCK`; all of them when a process closes any
    /// descriptor of the file.
    pub fn unset(&self, owner: LockOwner, start: u64, end: u64) {
        let mut state = self.state.lock();
        let changed = carve(&mut state.records, owner, start, end);
        drop(state);
        if changed {
            self.released.wake_all(tuxlet_sync::ANY);
        }
    }

    /// All record locks and all flock(2) locks (as description id and kind), for `/proc/locks`.
    #[must_use]
    pub fn list(&self) -> (Vec<RecordLock>, Vec<(u64, LockKind)>) {
        let state = self.state.lock();
        (state.records.clone(), state.flocks.clone())
    }
}

/// Cuts `start..=end` out of an owner's locks; says whether anything was there.
fn carve(records: &mut Vec<RecordLock>, owner: LockOwner, start: u64, end: u64) -> bool {
    let mut changed = false;
    let mut kept = Vec::with_capacity(records.len() + 1);
    for lock in records.drain(..) {
        if lock.owner != owner || lock.start > end || lock.end < start {
            kept.push(lock);
            continue;
        }
        changed = true;
        if lock.start < start {
            kept.push(RecordLock {
                end: start - 1,
                ..lock
            });
        }
        if lock.end > end {
            kept.push(RecordLock {
                start: end + 1,
                ..lock
            });
        }
    }
    *records = kept;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(owner: u32, kind: LockKind, start: u64, end: u64) -> RecordLock {
        RecordLock {
            owner: LockOwner::Process(owner),
            pid: owner as i32,
            kind,
            start,
            end,
        }
    }

    #[test]
    fn record_locks_split_and_merge() {
        let l = FileLocks::default();
        l.set(lock(1, LockKind::Exclusive, 0, 99)).unwrap();
        l.unset(LockOwner::Process(1), 40, 59);
        assert_eq!(
            l.list().0,
            [
                lock(1, LockKind::Exclusive, 0, 39),
                lock(1, LockKind::Exclusive, 60, 99)
            ]
        );
        l.set(lock(1, LockKind::Shared, 30, 70)).unwrap();
        l.set(lock(1, LockKind::Exclusive, 40, 59)).unwrap();
        l.set(lock(1, LockKind::Exclusive, 0, 99)).unwrap();
        assert_eq!(l.list().0, [lock(1, LockKind::Exclusive, 0, 99)]);
    }

    #[test]
    fn readers_share_and_writers_do_not() {
        let l = FileLocks::default();
        l.set(lock(1, LockKind::Shared, 0, u64::MAX)).unwrap();
        l.set(lock(2, LockKind::Shared, 5, 9)).unwrap();
        assert_eq!(
            l.set(lock(2, LockKind::Exclusive, 0, 0)),
            Err(lock(1, LockKind::Shared, 0, u64::MAX))
        );
        l.unset(LockOwner::Process(1), 0, u64::MAX);
        l.set(lock(2, LockKind::Exclusive, 0, 0)).unwrap();
        assert_eq!(l.conflict(&lock(3, LockKind::Shared, 1, 4)), None);
    }

    #[test]
    fn a_cycle_of_waiters_is_refused() {
        let g = LockGraph::default();
        let p = LockOwner::Process;
        g.wait(p(1), p(2)).unwrap();
        g.wait(p(2), p(3)).unwrap();
        assert_eq!(g.wait(p(3), p(1)), Err(Errno::EDEADLK));
        g.done(p(1), p(2));
        g.wait(p(3), p(1)).unwrap();
    }

    #[test]
    fn a_failed_flock_conversion_loses_the_lock() {
        let l = FileLocks::default();
        l.flock(1, LockKind::Shared).unwrap();
        l.flock(2, LockKind::Shared).unwrap();
        assert_eq!(l.flock(1, LockKind::Exclusive), Err(Errno::EAGAIN));
        l.flock(2, LockKind::Exclusive).unwrap();
    }
}
