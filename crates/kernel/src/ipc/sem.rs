//! Semaphore sets: semget(2), semop(2).

use super::Object;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    ipc::{IPC_NOWAIT, IpcPerm, SEM_UNDO, SEMVMX, Sembuf},
};

/// One semaphore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sem {
    /// Its value, at most `SEMVMX`.
    pub value: u16,
    /// The process that changed it last.
    pub pid: u32,
}

#[derive(Debug)]
struct State {
    sems: Vec<Sem>,
    otime: i64,
    ctime: i64,
    removed: bool,
    /// What to add when a process dies.
    undo: FxHashMap<u32, Vec<i16>>,
    /// Sleepers: the semaphore that keeps each from going on, and whether it waits for zero.
    waiting: Vec<(u64, u16, bool)>,
    next_waiter: u64,
}

/// A set of semaphores.
#[derive(Debug)]
pub struct SemSet {
    perm: Mutex<IpcPerm>,
    state: Mutex<State>,
    changed: WaitQueue,
}

impl Object for SemSet {
    fn perm(&self) -> &Mutex<IpcPerm> {
        &self.perm
    }
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// All operations were done.
    Done,
    /// This operation, by its index, keeps the caller from going on.
    Blocked(usize),
}

impl SemSet {
    /// A set of `count` semaphores with value 0.
    #[must_use]
    pub fn new(perm: IpcPerm, count: usize, now: i64) -> Self {
        let state = State {
            sems: vec![Sem::default(); count],
            otime: 0,
            ctime: now,
            removed: false,
            undo: FxHashMap::default(),
            waiting: Vec::new(),
            next_waiter: 0,
        };
        Self {
            perm: Mutex::new(perm),
            state: Mutex::new(state),
            changed: WaitQueue::new(),
        }
    }

    /// Woken when a value changes or the set is removed.
    #[must_use]
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Number of semaphores.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().sems.len()
    }

    /// Whether there is none; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Last semop(2) and last change, in seconds.
    #[must_use]
    pub fn times(&self) -> (i64, i64) {
        let state = self.state.lock();
        (state.otime, state.ctime)
    }

    /// Notes a change of the set itself.
    pub fn touch(&self, now: i64) {
        self.state.lock().ctime = now;
    }

    /// A copy of all semaphores.
    #[must_use]
    pub fn values(&self) -> Vec<Sem> {
        self.state.lock().sems.clone()
    }

    /// How many sleep until a semaphore grows, or is zero: `GETNCNT`, `GETZCNT`.
    #[must_use]
    pub fn waiters(&self, index: u16, for_zero: bool) -> usize {
        let state = self.state.lock();
        state
            .waiting
            .iter()
            .filter(|(_, i, zero)| *i == index && *zero == for_zero)
            .count()
    }

    /// Sets values from `first` on: `SETVAL`, `SETALL`. Undo values of these semaphores are forgotten.
    pub fn set(&self, first: usize, values: &[u16], pid: u32, now: i64) -> Result<()> {
        if values.iter().any(|v| u32::from(*v) > SEMVMX) {
            return Err(Errno::ERANGE);
        }
        let mut state = self.state.lock();
        for (i, value) in values.iter().enumerate() {
            let Some(sem) = state.sems.get_mut(first + i) else {
                return Err(Errno::EINVAL);
            };
            *sem = Sem { value: *value, pid };
            for adjust in state.undo.values_mut() {
                adjust[first + i] = 0;
            }
        }
        state.ctime = now;
        drop(state);
        self.changed.wake_all(!0);
        Ok(())
    }

    /// Does all operations or none: semop(2). `EIDRM` after the set's removal, `EFBIG`, `ERANGE`, and `EAGAIN` if
    /// an operation that cannot be done has `IPC_NOWAIT`.
    pub fn attempt(&self, ops: &[Sembuf], pid: u32, now: i64) -> Result<Attempt> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let mut sems = state.sems.clone();
        let zeros = vec![0; sems.len()];
        let mut undo = state.undo.get(&pid).cloned().unwrap_or(zeros);
        for (i, op) in ops.iter().enumerate() {
            let sem = sems.get_mut(usize::from(op.sem_num)).ok_or(Errno::EFBIG)?;
            let result = i32::from(sem.value) + i32::from(op.sem_op);
            let blocked = if op.sem_op == 0 {
                sem.value != 0
            } else {
                result < 0
            };
            if blocked {
                let nowait = u32::from(op.sem_flg.cast_unsigned()) & IPC_NOWAIT != 0;
                return if nowait {
                    Err(Errno::EAGAIN)
                } else {
                    Ok(Attempt::Blocked(i))
                };
            }
            sem.value = u16::try_from(result)
                .ok()
                .filter(|v| u32::from(*v) <= SEMVMX)
                .ok_or(Errno::ERANGE)?;
            sem.pid = pid;
            if u32::from(op.sem_flg.cast_unsigned()) & SEM_UNDO != 0 {
                let slot = &mut undo[usize::from(op.sem_num)];
                *slot = slot.checked_sub(op.sem_op).ok_or(Errno::ERANGE)?;
            }
        }
        let changes = ops.iter().any(|o| o.sem_op != 0);
        state.sems = sems;
        state.otime = now;
        if undo.iter().any(|u| *u != 0) {
            state.undo.insert(pid, undo);
        } else {
            state.undo.remove(&pid);
        }
        drop(state);
        if changes {
            self.changed.wake_all(!0);
        }
        Ok(Attempt::Done)
    }

    /// Notes that somebody sleeps because of an operation; the number is for [`SemSet::end_wait`].
    pub fn begin_wait(&self, op: &Sembuf) -> u64 {
        let mut state = self.state.lock();
        let number = state.next_waiter;
        state.next_waiter += 1;
        state.waiting.push((number, op.sem_num, op.sem_op == 0));
        number
    }

    /// Ends what [`SemSet::begin_wait`] noted.
    pub fn end_wait(&self, number: u64) {
        self.state.lock().waiting.retain(|(n, ..)| *n != number);
    }

    /// Applies and forgets the undo values of a dead process; a value that would leave its range stops at the
    /// border, as on Linux.
    pub fn undo(&self, pid: u32) {
        let mut state = self.state.lock();
        let Some(undo) = state.undo.remove(&pid) else {
            return;
        };
        for (sem, adjust) in state.sems.iter_mut().zip(undo) {
            if adjust != 0 {
                let value =
                    (i32::from(sem.value) + i32::from(adjust)).clamp(0, SEMVMX.cast_signed());
                *sem = Sem {
                    value: value as u16,
                    pid,
                };
            }
        }
        drop(state);
        self.changed.wake_all(!0);
    }

    /// Marks the set as removed; sleepers get `EIDRM`.
    pub fn remove(&self) {
        self.state.lock().removed = true;
        self.changed.wake_all(!0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(sem_num: u16, sem_op: i16, flags: u32) -> Sembuf {
        Sembuf {
            sem_num,
            sem_op,
            sem_flg: flags as i16,
        }
    }

    fn values(set: &SemSet) -> Vec<u16> {
        set.values().iter().map(|s| s.value).collect()
    }

    #[test]
    fn operations_are_all_or_nothing() {
        let set = SemSet::new(IpcPerm::default(), 2, 0);
        assert_eq!(
            set.attempt(&[op(0, 2, 0), op(1, -1, 0)], 7, 1),
            Ok(Attempt::Blocked(1))
        );
        assert_eq!(values(&set), [0, 0]);
        assert_eq!(
            set.attempt(&[op(0, 2, 0), op(1, 1, 0), op(1, -1, 0), op(1, 0, 0)], 7, 1),
            Ok(Attempt::Done)
        );
        assert_eq!(values(&set), [2, 0]);
        assert_eq!(
            set.attempt(&[op(0, 0, IPC_NOWAIT)], 7, 1),
            Err(Errno::EAGAIN)
        );
        assert_eq!(set.attempt(&[op(2, 1, 0)], 7, 1), Err(Errno::EFBIG));
        assert_eq!(set.attempt(&[op(0, i16::MAX, 0)], 7, 1), Err(Errno::ERANGE));
    }

    #[test]
    fn a_death_undoes_what_was_to_be_undone() {
        let set = SemSet::new(IpcPerm::default(), 1, 0);
        set.set(0, &[3], 1, 0).unwrap();
        set.attempt(&[op(0, -2, SEM_UNDO)], 7, 1).unwrap();
        set.attempt(&[op(0, 5, 0)], 7, 1).unwrap();
        set.undo(7);
        assert_eq!(values(&set), [8]);
        set.undo(7);
        assert_eq!(values(&set), [8]);
    }
}
