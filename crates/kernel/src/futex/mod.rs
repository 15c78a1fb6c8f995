//! Futexes: futex(2), get_robust_list(2).
//!
//! Waiters are kept by key in shards. A waiter is enqueued under its shard's lock after the word was compared
//! under the same lock, so that a wake-up between the comparison and the sleep cannot be lost.

mod pi;

use crate::{
    task::CurrentTask,
    wait::{Deadline, WaitError},
};
use parking_lot::{Mutex, MutexGuard};
use pi::{PiGraph, PiLock, PiWaiter};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::{
    collections::VecDeque,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tuxlet_mem::FutexKey;
use tuxlet_sync::Waiter;
use tuxlet_uapi::{
    errno::{Errno, Result},
    futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS},
};

const SHARDS: usize = 64;
/// Linux gives up on longer robust lists: they are loops or nonsense.
const ROBUST_LIST_LIMIT: usize = 2048;

#[derive(Debug)]
struct Sleeper {
    waiter: Arc<Waiter>,
    bitset: u32,
    /// Of a real-time policy, else 0: the highest is woken first.
    priority: u32,
    woken: AtomicBool,
    /// Where it is queued now; changes by requeueing.
    key: Mutex<FutexKey>,
    /// The lock that it goes to: `FUTEX_WAIT_REQUEUE_PI`.
    pi: Option<Arc<PiWaiter>>,
}

type Queue = VecDeque<Arc<Sleeper>>;

#[derive(Debug, Default)]
struct Shard {
    plain: FxHashMap<FutexKey, Queue>,
    pi: FxHashMap<FutexKey, PiLock>,
}

/// All futexes of a machine.
#[derive(Debug)]
pub struct FutexTable {
    shards: Vec<Mutex<Shard>>,
    graph: PiGraph,
}

impl Default for FutexTable {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect(),
            graph: PiGraph::default(),
        }
    }
}

/// By priority, then by arrival.
fn enqueue(queue: &mut Queue, sleeper: Arc<Sleeper>) {
    let behind = queue
        .iter()
        .rposition(|other| other.priority >= sleeper.priority);
    queue.insert(behind.map_or(0, |at| at + 1), sleeper);
}

fn wake_queue(
    shard: &mut Shard,
    key: &FutexKey,
    count: u32,
    bitset: u32,
    woken: &mut Vec<Arc<Sleeper>>,
) {
    let Some(queue) = shard.plain.get_mut(key) else {
        return;
    };
    let mut left = count;
    queue.retain(|sleeper| {
        if left == 0 || sleeper.bitset & bitset == 0 {
            return true;
        }
        left -= 1;
        sleeper.woken.store(true, Ordering::SeqCst);
        woken.push(Arc::clone(sleeper));
        false
    });
    if queue.is_empty() {
        shard.plain.remove(key);
    }
}

/// `EINVAL` if somebody waits on the word for a lock, which a plain wake-up would not give to it.
fn check_plain(shard: &Shard, key: &FutexKey) -> Result<()> {
    let for_lock = |queue: &Queue| queue.iter().any(|s| s.pi.is_some());
    if shard.pi.contains_key(key) || shard.plain.get(key).is_some_and(for_lock) {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

fn notify(woken: &[Arc<Sleeper>]) -> u32 {
    for sleeper in woken {
        sleeper.waiter.notify();
    }
    woken.len() as u32
}

impl FutexTable {
    fn index(key: &FutexKey) -> usize {
        FxBuildHasher.hash_one(key) as usize % SHARDS
    }

    /// Locks the shards of two keys in a fixed order; the second is `None` if they are the same.
    fn lock_two(
        &self,
        a: usize,
        b: usize,
    ) -> (MutexGuard<'_, Shard>, Option<MutexGuard<'_, Shard>>) {
        match a.cmp(&b) {
            std::cmp::Ordering::Equal => (self.shards[a].lock(), None),
            std::cmp::Ordering::Less => {
                let first = self.shards[a].lock();
                (first, Some(self.shards[b].lock()))
            }
            std::cmp::Ordering::Greater => {
                let second = self.shards[b].lock();
                (self.shards[a].lock(), Some(second))
            }
        }
    }

    /// Wakes at most `count` waiters whose bit set meets `bitset`; the number woken.
    pub fn wake(&self, key: &FutexKey, count: u32, bitset: u32) -> u32 {
        let mut woken = Vec::new();
        wake_queue(
            &mut self.shards[Self::index(key)].lock(),
            key,
            count,
            bitset,
            &mut woken,
        );
        notify(&woken)
    }

    /// Takes a sleeper out again; false if it was not queued any more.
    fn remove(&self, sleeper: &Arc<Sleeper>) -> bool {
        loop {
            let key = *sleeper.key.lock();
            let mut shard = self.shards[Self::index(&key)].lock();
            // A requeue between the two locks has moved it.
            if *sleeper.key.lock() != key {
                continue;
            }
            let Some(queue) = shard.plain.get_mut(&key) else {
                return false;
            };
            let before = queue.len();
            queue.retain(|s| !Arc::ptr_eq(s, sleeper));
            let found = queue.len() < before;
            if queue.is_empty() {
                shard.plain.remove(&key);
            }
            return found;
        }
    }
}

/// A condition and a change for [`CurrentTask::futex_wake_op`], unpacked from `val3`: futex(2), "FUTEX_WAKE_OP".
fn wake_op_values(op: u32, old: u32) -> Result<(u32, bool)> {
    let mut arg = (op >> 12 & 0xfff).cast_signed() << 20 >> 20;
    let cmp_arg = (op & 0xfff).cast_signed() << 20 >> 20;
    let operation = op >> 28 & 0xf;
    if operation & 8 != 0 {
        arg = 1i32.wrapping_shl(arg.cast_unsigned());
    }
    let arg = arg.cast_unsigned();
    let new = match operation & 7 {
        0 => arg,
        1 => old.wrapping_add(arg),
        2 => old | arg,
        3 => old & !arg,
        4 => old ^ arg,
        _ => return Err(Errno::ENOSYS),
    };
    let was = old.cast_signed();
    let holds = match op >> 24 & 0xf {
        0 => was == cmp_arg,
        1 => was != cmp_arg,
        2 => was < cmp_arg,
        3 => was <= cmp_arg,
        4 => was > cmp_arg,
        5 => was >= cmp_arg,
        _ => return Err(Errno::ENOSYS),
    };
    Ok((new, holds))
}

impl CurrentTask {
    /// The key of a word; `shared` unless `FUTEX_PRIVATE_FLAG` is given.
    pub fn futex_key(&self, addr: u64, shared: bool) -> Result<FutexKey> {
        if addr & 3 != 0 {
            return Err(Errno::EINVAL);
        }
        self.mm.space.futex_key(addr, shared)
    }

    /// Queues the caller on a word that holds `value`; `EAGAIN` if it does not.
    fn enqueue_sleeper(
        &self,
        addr: u64,
        shared: bool,
        value: u32,
        bitset: u32,
        pi: Option<Arc<PiWaiter>>,
    ) -> Result<Arc<Sleeper>> {
        let key = self.futex_key(addr, shared)?;
        // A first look outside the lock brings the page in, so that the second one does not fault under it.
        self.mm.space.load_u32(addr)?;
        let sleeper = Arc::new(Sleeper {
            waiter: Arc::clone(self.task.waiter()),
            bitset,
            priority: self.task.settings.lock().priority,
            woken: AtomicBool::new(false),
            key: Mutex::new(key),
            pi,
        });
        let mut shard = self.kernel.futexes.shards[FutexTable::index(&key)].lock();
        if self.mm.space.load_u32(addr)? != value {
            return Err(Errno::EAGAIN);
        }
        enqueue(shard.plain.entry(key).or_default(), Arc::clone(&sleeper));
        Ok(sleeper)
    }

    /// Sleeps while the word holds `value`. `EAGAIN` if it does not, `ETIMEDOUT`, `ERESTARTSYS` for a signal.
    pub fn futex_wait(
        &mut self,
        addr: u64,
        shared: bool,
        value: u32,
        bitset: u32,
        deadline: Deadline,
    ) -> Result<()> {
        if bitset == 0 {
            return Err(Errno::EINVAL);
        }
        let kernel = Arc::clone(&self.kernel);
        let sleeper = self.enqueue_sleeper(addr, shared, value, bitset, None)?;
        let result = self.wait_until(deadline, |_, _| {
            sleeper.woken.load(Ordering::SeqCst).then_some(())
        });
        match result {
            Ok(()) => Ok(()),
            Err(reason) => {
                kernel.futexes.remove(&sleeper);
                // A wake-up that came first counts: its sender believes that it woke somebody.
                if sleeper.woken.load(Ordering::SeqCst) {
                    return Ok(());
                }
                Err(if reason == WaitError::TimedOut {
                    Errno::ETIMEDOUT
                } else {
                    Errno::ERESTARTSYS
                })
            }
        }
    }

    /// Sleeps on several words until one is woken; its index: futex_waitv(2).
    pub fn futex_wait_many(
        &mut self,
        words: &[(u64, bool, u32)],
        deadline: Deadline,
    ) -> Result<usize> {
        let kernel = Arc::clone(&self.kernel);
        let mut sleepers: Vec<Arc<Sleeper>> = Vec::with_capacity(words.len());
        let mut outcome = Ok(None);
        for (addr, shared, value) in words {
            match self.enqueue_sleeper(*addr, *shared, *value, !0, None) {
                Ok(sleeper) => sleepers.push(sleeper),
                Err(errno) => outcome = Err(errno),
            }
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_ok() {
            let woken = |s: &Arc<Sleeper>| s.woken.load(Ordering::SeqCst);
            let waited = self.wait_until(deadline, |_, _| sleepers.iter().position(woken));
            outcome = match waited {
                Ok(index) => Ok(Some(index)),
                Err(WaitError::TimedOut) => Err(Errno::ETIMEDOUT),
                Err(WaitError::Interrupted) => Err(Errno::ERESTARTSYS),
            };
        }
        for sleeper in &sleepers {
            kernel.futexes.remove(sleeper);
        }
        let late = sleepers.iter().position(|s| s.woken.load(Ordering::SeqCst));
        match (outcome, late) {
            (Ok(Some(index)), _) | (_, Some(index)) => Ok(index),
            (Err(errno), None) => Err(errno),
            (Ok(None), None) => Err(Errno::EAGAIN),
        }
    }

    /// Wakes waiters of a word; the number woken.
    pub fn futex_wake(&self, addr: u64, shared: bool, count: u32, bitset: u32) -> Result<u32> {
        if bitset == 0 {
            return Err(Errno::EINVAL);
        }
        let key = self.futex_key(addr, shared)?;
        let table = &self.kernel.futexes;
        check_plain(&table.shards[FutexTable::index(&key)].lock(), &key)?;
        Ok(table.wake(&key, count, bitset))
    }

    /// Wakes `wake` waiters of one word and moves up to `requeue` others to a second; `expected` is compared
    /// first (`FUTEX_CMP_REQUEUE`). Returns how many were woken and how many moved.
    pub fn futex_requeue(
        &self,
        from: u64,
        to: u64,
        shared: bool,
        wake: u32,
        requeue: u32,
        expected: Option<u32>,
    ) -> Result<(u32, u32)> {
        let from_key = self.futex_key(from, shared)?;
        let to_key = self.futex_key(to, shared)?;
        self.mm.space.load_u32(from)?;
        let table = &self.kernel.futexes;
        let mut woken = Vec::new();
        let mut moved = Queue::new();
        {
            let (mut first, mut second) =
                table.lock_two(FutexTable::index(&from_key), FutexTable::index(&to_key));
            if expected.is_some_and(|e| self.mm.space.load_u32(from) != Ok(e)) {
                return Err(Errno::EAGAIN);
            }
            check_plain(&first, &from_key)?;
            wake_queue(&mut first, &from_key, wake, !0, &mut woken);
            if let Some(queue) = first.plain.get_mut(&from_key) {
                let count = queue.len().min(requeue as usize);
                moved.extend(queue.drain(..count));
                if queue.is_empty() {
                    first.plain.remove(&from_key);
                }
            }
            for sleeper in &moved {
                *sleeper.key.lock() = to_key;
            }
            if !moved.is_empty() {
                let target = second.as_deref_mut().unwrap_or(&mut *first);
                let queue = target.plain.entry(to_key).or_default();
                for sleeper in &moved {
                    enqueue(queue, Arc::clone(sleeper));
                }
            }
        }
        Ok((notify(&woken), moved.len() as u32))
    }

    /// Changes the second word, wakes waiters of the first, and of the second if its old value meets a
    /// condition: `FUTEX_WAKE_OP`.
    pub fn futex_wake_op(
        &self,
        first: u64,
        second: u64,
        shared: bool,
        wake_first: u32,
        wake_second: u32,
        op: u32,
    ) -> Result<u32> {
        let first_key = self.futex_key(first, shared)?;
        let second_key = self.futex_key(second, shared)?;
        let mut old = self.mm.space.load_u32(second)?;
        let holds = loop {
            let (new, holds) = wake_op_values(op, old)?;
            let seen = self.mm.space.cmpxchg_u32(second, old, new)?;
            if seen == old {
                break holds;
            }
            old = seen;
        };
        let table = &self.kernel.futexes;
        let mut count = table.wake(&first_key, wake_first, !0);
        if holds {
            count += table.wake(&second_key, wake_second, !0);
        }
        Ok(count)
    }
}

/// Wakes waiters of a word in the exiting task's memory, shared or private: `CLONE_CHILD_CLEARTID`.
pub(crate) fn wake_addr(task: &CurrentTask, addr: u64, count: u32) {
    for shared in [false, true] {
        if let Ok(key) = task.futex_key(addr, shared) {
            task.kernel.futexes.wake(&key, count, !0);
        }
    }
}

/// Marks the robust futexes that a dying thread holds and wakes a waiter of each: get_robust_list(2).
pub(crate) fn exit_robust_list(task: &CurrentTask) {
    let head = task.task.robust_list.swap(0, Ordering::Relaxed);
    if head == 0 {
        return;
    }
    let space = Arc::clone(&task.mm.space);
    let read = |addr: u64| space.read::<u64>(addr).ok();
    let (Some(first), Some(offset), Some(pending)) = (
        read(head),
        read(head.wrapping_add(8)),
        read(head.wrapping_add(16)),
    ) else {
        return;
    };
    let word = |entry: u64| (entry & !1).wrapping_add(offset);
    let mut entry = first;
    for _ in 0..ROBUST_LIST_LIMIT {
        if entry & !1 == head {
            break;
        }
        let Some(next) = read(entry & !1) else { break };
        if entry & !1 != pending & !1 {
            owner_died(task, word(entry), entry & 1 != 0, false);
        }
        entry = next;
    }
    if pending & !1 != 0 {
        owner_died(task, word(pending), pending & 1 != 0, true);
    }
}

/// Marks one word. A lock with priority inheritance (`pi`) is passed on by [`FutexTable::release_pi_locks`] instead.
fn owner_died(task: &CurrentTask, addr: u64, pi: bool, pending: bool) {
    let Ok(mut old) = task.mm.space.load_u32(addr) else {
        return;
    };
    loop {
        let owner = old & FUTEX_TID_MASK;
        if pending && !pi && owner == 0 {
            // Died between releasing the lock and waking: the waiter would sleep for ever.
            wake_addr(task, addr, 1);
            return;
        }
        if owner != task.task.own_tid() {
            return;
        }
        let new = (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        match task.mm.space.cmpxchg_u32(addr, old, new) {
            Ok(seen) if seen == old => break,
            Ok(seen) => old = seen,
            Err(_) => return,
        }
    }
    if !pi && old & FUTEX_WAITERS != 0 {
        wake_addr(task, addr, 1);
    }
}
