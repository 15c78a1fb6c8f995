//! Priority-inheritance futexes: futex(2), "Priority-inheritance futexes".
//!
//! The kernel knows a lock only while somebody waits for it ([`PiLock`]); a free or uncontended one is a word in
//! user memory. The host schedules, so nothing is inherited, but waiters are served by their priority, ownership is
//! handed over in the word, an owner's death passes the lock on, and a cycle of owners is `EDEADLK`.

use super::{FutexTable, Shard, Sleeper};
use crate::{
    task::{CurrentTask, Task},
    wait::{Deadline, WaitError},
};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tuxlet_mem::{AddressSpace, FutexKey};
use tuxlet_uapi::{
    errno::{Errno, Result},
    futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS},
};

/// A thread that wants a lock.
#[derive(Debug)]
pub(super) struct PiWaiter {
    task: Arc<Task>,
    /// The word in the waiter's own memory: whoever hands the lock over may have it elsewhere or not at all.
    space: Arc<AddressSpace>,
    addr: u64,
    pub(super) key: FutexKey,
    priority: u32,
    granted: AtomicBool,
}

impl PiWaiter {
    fn tid(&self) -> u32 {
        self.task.tid()
    }

    /// The id that stands in the word: that of the process's own namespace, which all who share a lock are in.
    fn word_tid(&self) -> u32 {
        self.task.own_tid()
    }

    fn is_granted(&self) -> bool {
        self.granted.load(Ordering::SeqCst)
    }

    fn grant(&self) {
        self.granted.store(true, Ordering::SeqCst);
        self.task.waiter().notify();
    }
}

/// A lock that somebody waits for.
#[derive(Debug)]
pub(super) struct PiLock {
    owner: u32,
    /// By priority, then by arrival.
    waiters: Vec<Arc<PiWaiter>>,
}

/// Who waits for whom, for the detection of deadlocks, and how many do.
#[derive(Debug, Default)]
pub(super) struct PiGraph {
    owner_of: Mutex<FxHashMap<u32, u32>>,
    waiting: AtomicUsize,
}

impl PiGraph {
    /// Notes that `waiter` waits for `owner`. `EDEADLK` if `owner` waits, through others, for `waiter`.
    fn add(&self, waiter: u32, owner: u32) -> Result<()> {
        let mut edges = self.owner_of.lock();
        let mut next = Some(owner);
        while let Some(tid) = next {
            if tid == waiter {
                return Err(Errno::EDEADLK);
            }
            next = edges.get(&tid).copied();
        }
        edges.insert(waiter, owner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn remove(&self, waiter: u32) {
        self.owner_of.lock().remove(&waiter);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn change_owner(&self, waiters: &[Arc<PiWaiter>], owner: u32) {
        let mut edges = self.owner_of.lock();
        for waiter in waiters {
            edges.insert(waiter.tid(), owner);
        }
    }
}

/// What a try for a lock gave.
enum Attempt {
    Acquired,
    /// Somebody else has it.
    Held(u32),
    /// The owner is dying: its locks are about to be passed on.
    Dying,
}

impl FutexTable {
    /// Tries to take the lock for `waiter`; marks it as waited for if that fails and `will_wait`.
    fn attempt(
        shard: &Shard,
        task: &CurrentTask,
        waiter: &PiWaiter,
        will_wait: bool,
    ) -> Result<Attempt> {
        let tid = waiter.word_tid();
        let lock = shard.pi.get(&waiter.key);
        loop {
            let word = waiter.space.load_u32(waiter.addr)?;
            let owner = word & FUTEX_TID_MASK;
            if owner == tid {
                return Err(Errno::EDEADLK);
            }
            if owner == 0 && lock.is_none() {
                let new = word & FUTEX_OWNER_DIED | tid;
                if waiter.space.cmpxchg_u32(waiter.addr, word, new)? == word {
                    return Ok(Attempt::Acquired);
                }
                continue;
            }
            let owner = task.given_pid(owner).unwrap_or(0);
            match lock {
                // User space wrote into a word that the kernel manages.
                Some(lock) if lock.owner != owner => return Err(Errno::EINVAL),
                Some(_) => {}
                None => match task.kernel.tree.lock().task(owner) {
                    None => return Err(Errno::ESRCH),
                    Some(t) if t.resources().is_none() => return Err(Errno::ESRCH),
                    Some(t) if t.exiting.load(Ordering::SeqCst) => return Ok(Attempt::Dying),
                    Some(_) => {}
                },
            }
            let marked = word | FUTEX_WAITERS;
            if !will_wait || waiter.space.cmpxchg_u32(waiter.addr, word, marked)? == word {
                return Ok(Attempt::Held(owner));
            }
        }
    }

    fn enqueue_pi(&self, shard: &mut Shard, waiter: &Arc<PiWaiter>, owner: u32) -> Result<()> {
        self.graph.add(waiter.tid(), owner)?;
        let lock = shard.pi.entry(waiter.key).or_insert_with(|| PiLock {
            owner,
            waiters: Vec::new(),
        });
        let at = lock
            .waiters
            .iter()
            .position(|w| w.priority < waiter.priority)
            .unwrap_or(lock.waiters.len());
        lock.waiters.insert(at, Arc::clone(waiter));
        Ok(())
    }

    /// Passes a lock to its first waiter, in the word too.
    fn hand_over(&self, shard: &mut Shard, key: &FutexKey, owner_died: bool) -> Result<()> {
        let Some(lock) = shard.pi.get_mut(key) else {
            return Ok(());
        };
        let next = lock.waiters.remove(0);
        let died = if owner_died { FUTEX_OWNER_DIED } else { 0 };
        let stored = next
            .space
            .store_u32(next.addr, next.word_tid() | FUTEX_WAITERS | died);
        lock.owner = next.tid();
        self.graph.remove(next.tid());
        self.graph.change_owner(&lock.waiters, lock.owner);
        if lock.waiters.is_empty() {
            shard.pi.remove(key);
        }
        next.grant();
        stored
    }

    /// Takes a waiter out again; false if it has been given the lock or was not queued.
    fn give_up(&self, shard: &mut Shard, waiter: &Arc<PiWaiter>) -> bool {
        let Some(lock) = shard.pi.get_mut(&waiter.key) else {
            return false;
        };
        let Some(at) = lock.waiters.iter().position(|w| Arc::ptr_eq(w, waiter)) else {
            return false;
        };
        lock.waiters.remove(at);
        self.graph.remove(waiter.tid());
        if lock.waiters.is_empty() {
            shard.pi.remove(&waiter.key);
        }
        true
    }

    /// Passes on what a dying thread owns.
    pub(crate) fn release_pi_locks(&self, tid: u32) {
        if self.graph.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        for shard in &self.shards {
            let mut shard = shard.lock();
            let owned: Vec<_> = shard
                .pi
                .iter()
                .filter(|(_, lock)| lock.owner == tid)
                .map(|(key, _)| *key)
                .collect();
            for key in owned {
                // The waiter has the lock even if its word cannot be written: it notices that itself.
                let _ = self.hand_over(&mut shard, &key, true);
            }
        }
    }
}

impl CurrentTask {
    fn pi_waiter(&self, addr: u64, shared: bool) -> Result<Arc<PiWaiter>> {
        let key = self.futex_key(addr, shared)?;
        let settings = *self.task.settings.lock();
        Ok(Arc::new(PiWaiter {
            task: Arc::clone(&self.task),
            space: Arc::clone(&self.mm.space),
            addr,
            key,
            priority: settings.priority,
            granted: AtomicBool::new(false),
        }))
    }

    /// Takes a lock: `FUTEX_LOCK_PI`, and `FUTEX_TRYLOCK_PI` if `only_try` (`EAGAIN`). `EDEADLK`, `ESRCH` for an
    /// owner that is gone, `ETIMEDOUT`, `ERESTARTNOINTR`.
    pub fn futex_lock_pi(
        &mut self,
        addr: u64,
        shared: bool,
        deadline: Deadline,
        only_try: bool,
    ) -> Result<()> {
        let me = self.pi_waiter(addr, shared)?;
        let kernel = Arc::clone(&self.kernel);
        let table = &kernel.futexes;
        let index = FutexTable::index(&me.key);
        loop {
            // Brings the page in, writable, so that nothing faults under the lock.
            self.mm.space.fetch_update_u32(addr, |word| word)?;
            let mut shard = table.shards[index].lock();
            match FutexTable::attempt(&shard, self, &me, !only_try)? {
                Attempt::Acquired => return Ok(()),
                Attempt::Held(_) if only_try => return Err(Errno::EAGAIN),
                Attempt::Held(owner) => {
                    table.enqueue_pi(&mut shard, &me, owner)?;
                    break;
                }
                Attempt::Dying => {}
            }
            drop(shard);
            tuxlet_host::thread::yield_now();
        }
        let Err(reason) = self.wait_until(deadline, |_, _| me.is_granted().then_some(())) else {
            return Ok(());
        };
        if !table.give_up(&mut table.shards[index].lock(), &me) {
            return Ok(());
        }
        Err(match reason {
            WaitError::TimedOut => Errno::ETIMEDOUT,
            WaitError::Interrupted => Errno::ERESTARTNOINTR,
        })
    }

    /// Releases a lock or passes it on: `FUTEX_UNLOCK_PI`. `EPERM` for one that is not the caller's.
    pub fn futex_unlock_pi(&self, addr: u64, shared: bool) -> Result<()> {
        let tid = self.task.own_tid();
        if self.mm.space.load_u32(addr)? & FUTEX_TID_MASK != tid {
            return Err(Errno::EPERM);
        }
        let key = self.futex_key(addr, shared)?;
        let table = &self.kernel.futexes;
        let mut shard = table.shards[FutexTable::index(&key)].lock();
        loop {
            let word = self.mm.space.load_u32(addr)?;
            if word & FUTEX_TID_MASK != tid {
                return Err(Errno::EPERM);
            }
            match shard.pi.get(&key) {
                Some(lock) if lock.owner != self.task.tid() => return Err(Errno::EINVAL),
                Some(_) => return table.hand_over(&mut shard, &key, false),
                None if self.mm.space.cmpxchg_u32(addr, word, 0)? == word => return Ok(()),
                None => {}
            }
        }
    }

    /// Sleeps on a plain word until a requeue has moved the caller to a lock and the lock is its own:
    /// `FUTEX_WAIT_REQUEUE_PI`.
    pub fn futex_wait_requeue_pi(
        &mut self,
        addr: u64,
        lock: u64,
        shared: bool,
        value: u32,
        deadline: Deadline,
    ) -> Result<()> {
        if addr == lock {
            return Err(Errno::EINVAL);
        }
        let me = self.pi_waiter(lock, shared)?;
        let kernel = Arc::clone(&self.kernel);
        let table = &kernel.futexes;
        let sleeper = self.enqueue_sleeper(addr, shared, value, !0, Some(Arc::clone(&me)))?;
        let Err(reason) = self.wait_until(deadline, |_, _| me.is_granted().then_some(())) else {
            return Ok(());
        };
        let was_sleeping = table.remove(&sleeper);
        let was_waiting = table.give_up(&mut table.shards[FutexTable::index(&me.key)].lock(), &me);
        if !was_sleeping && !was_waiting {
            return Ok(());
        }
        Err(match reason {
            WaitError::TimedOut => Errno::ETIMEDOUT,
            // Moved already: the wait on the first word cannot be done again.
            WaitError::Interrupted if was_waiting => Errno::EAGAIN,
            WaitError::Interrupted => Errno::ERESTARTNOINTR,
        })
    }

    /// Moves up to `requeue` and one waiters of [`CurrentTask::futex_wait_requeue_pi`] to their lock, the first as
    /// its owner if it is free: `FUTEX_CMP_REQUEUE_PI`. How many were moved.
    pub fn futex_cmp_requeue_pi(
        &self,
        from: u64,
        lock: u64,
        shared: bool,
        requeue: u32,
        expected: u32,
    ) -> Result<u32> {
        if from == lock {
            return Err(Errno::EINVAL);
        }
        let from_key = self.futex_key(from, shared)?;
        let lock_key = self.futex_key(lock, shared)?;
        self.mm.space.load_u32(from)?;
        self.mm.space.fetch_update_u32(lock, |word| word)?;
        let table = &self.kernel.futexes;
        let mut moved = 0;
        loop {
            let (mut first, mut second) =
                table.lock_two(FutexTable::index(&from_key), FutexTable::index(&lock_key));
            if moved == 0 && self.mm.space.load_u32(from)? != expected {
                return Err(Errno::EAGAIN);
            }
            while moved <= requeue {
                let Some(sleeper) = first.plain.get(&from_key).and_then(|q| q.front()).cloned()
                else {
                    return Ok(moved);
                };
                let waiter = match &sleeper.pi {
                    Some(waiter) if waiter.key == lock_key => waiter,
                    _ => return Err(Errno::EINVAL),
                };
                let target = second.as_deref_mut().unwrap_or(&mut *first);
                match FutexTable::attempt(target, self, waiter, true)? {
                    Attempt::Acquired => waiter.grant(),
                    Attempt::Held(owner) => table.enqueue_pi(target, waiter, owner)?,
                    Attempt::Dying => break,
                }
                dequeue(&mut first, &from_key, &sleeper);
                moved += 1;
            }
            if moved > requeue {
                return Ok(moved);
            }
            drop(second);
            drop(first);
            tuxlet_host::thread::yield_now();
        }
    }
}

fn dequeue(shard: &mut Shard, key: &FutexKey, sleeper: &Arc<Sleeper>) {
    if let Some(queue) = shard.plain.get_mut(key) {
        queue.retain(|s| !Arc::ptr_eq(s, sleeper));
        if queue.is_empty() {
            shard.plain.remove(key);
        }
    }
}
