//! futex(2), futex_waitv(2), futex_wake(2), futex_wait(2), futex_requeue(2), set_robust_list(2).

use super::{Flags, UserPtr};
use crate::{
    clock::timespec_ns,
    task::{CurrentTask, SyscallRestart},
    wait::Deadline,
};
use std::time::Instant;
use tuxlet_uapi::{
    errno::{Errno, Result},
    futex::{
        FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_CMP_REQUEUE_PI,
        FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_TRYLOCK_PI,
        FUTEX_UNLOCK_PI, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_WAKE,
        FUTEX_WAKE_BITSET, FUTEX_WAKE_OP, FutexWaitv,
    },
    time::Timespec,
};

/// Size of `struct robust_list_head`.
const ROBUST_HEAD_LEN: usize = 24;
/// Most words of one futex_waitv(2).
const WAITV_MAX: u32 = 128;
/// `FUTEX2_SIZE_U32` and `FUTEX2_PRIVATE`.
const FUTEX2_U32: u32 = 2;
const FUTEX2_PRIVATE: u32 = FUTEX_PRIVATE_FLAG;
const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;

/// A count of waiters: what is not positive counts as one, as it always has.
fn at_least_one(count: u32) -> u32 {
    if count.cast_signed() < 1 { 1 } else { count }
}

/// Counts of a requeue, where a negative one is `EINVAL`.
fn not_negative(count: u32) -> Result<u32> {
    if count.cast_signed() < 0 {
        Err(Errno::EINVAL)
    } else {
        Ok(count)
    }
}

pub(super) fn sys_futex(
    task: &mut CurrentTask,
    addr: u64,
    op: Flags,
    value: u32,
    timeout: u64,
    addr2: u64,
    value3: u32,
) -> Result<u32> {
    let shared = !op.has(FUTEX_PRIVATE_FLAG);
    let command = op.0 & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    let realtime = op.has(FUTEX_CLOCK_REALTIME);
    if realtime
        && !matches!(
            command,
            FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2
        )
    {
        return Err(Errno::ENOSYS);
    }
    // For commands that do not sleep the fourth argument is a second count.
    let value2 = timeout as u32;
    let done = |()| 0;
    match command {
        FUTEX_WAIT => {
            let deadline = relative_deadline(task, UserPtr::new(timeout))?;
            wait(task, addr, shared, value, FUTEX_BITSET_MATCH_ANY, deadline).map(done)
        }
        FUTEX_WAIT_BITSET => {
            let deadline = absolute_deadline(task, UserPtr::new(timeout), realtime)?;
            task.futex_wait(addr, shared, value, value3, deadline)
                .map(done)
        }
        FUTEX_WAKE => task.futex_wake(addr, shared, at_least_one(value), FUTEX_BITSET_MATCH_ANY),
        FUTEX_WAKE_BITSET => task.futex_wake(addr, shared, at_least_one(value), value3),
        FUTEX_REQUEUE | FUTEX_CMP_REQUEUE => {
            let expected = (command == FUTEX_CMP_REQUEUE).then_some(value3);
            let (wake, requeue) = (not_negative(value)?, not_negative(value2)?);
            let (woken, moved) =
                task.futex_requeue(addr, addr2, shared, wake, requeue, expected)?;
            Ok(woken + moved)
        }
        FUTEX_WAKE_OP => {
            let (first, second) = (at_least_one(value), at_least_one(value2));
            task.futex_wake_op(addr, addr2, shared, first, second, value3)
        }
        FUTEX_LOCK_PI | FUTEX_LOCK_PI2 => {
            // The older command always meant the real-time clock.
            let realtime = realtime || command == FUTEX_LOCK_PI;
            let deadline = absolute_deadline(task, UserPtr::new(timeout), realtime)?;
            task.futex_lock_pi(addr, shared, deadline, false).map(done)
        }
        FUTEX_TRYLOCK_PI => task
            .futex_lock_pi(addr, shared, Deadline::Never, true)
            .map(done),
        FUTEX_UNLOCK_PI => task.futex_unlock_pi(addr, shared).map(done),
        FUTEX_WAIT_REQUEUE_PI => {
            let deadline = absolute_deadline(task, UserPtr::new(timeout), realtime)?;
            task.futex_wait_requeue_pi(addr, addr2, shared, value, deadline)
                .map(done)
        }
        FUTEX_CMP_REQUEUE_PI => {
            // More than one woken waiter could not own the lock.
            if value != 1 {
                return Err(Errno::EINVAL);
            }
            task.futex_cmp_requeue_pi(addr, addr2, shared, not_negative(value2)?, value3)
        }
        _ => Err(Errno::ENOSYS),
    }
}

fn relative_deadline(task: &CurrentTask, timeout: UserPtr<Timespec>) -> Result<Option<Instant>> {
    let Some(ts) = timeout.read_opt(task)? else {
        return Ok(None);
    };
    Ok(Some(crate::clock::instant_after(timespec_ns(&ts)?)))
}

fn absolute_deadline(
    task: &CurrentTask,
    timeout: UserPtr<Timespec>,
    realtime: bool,
) -> Result<Deadline> {
    let Some(ts) = timeout.read_opt(task)? else {
        return Ok(Deadline::Never);
    };
    let ns = timespec_ns(&ts)?;
    Ok(if realtime {
        Deadline::Realtime(i64::try_from(ns).unwrap_or(i64::MAX))
    } else {
        let ns = task.ns.time.to_host(tuxlet_uapi::time::CLOCK_MONOTONIC, ns);
        Deadline::At(task.kernel.clock.monotonic_instant(ns))
    })
}

/// A wait with a relative timeout: after a signal it must go on with what is left, so it restarts by
/// restart_syscall(2) with its absolute end.
fn wait(
    task: &mut CurrentTask,
    addr: u64,
    shared: bool,
    value: u32,
    bitset: u32,
    deadline: Option<Instant>,
) -> Result<()> {
    match (
        task.futex_wait(addr, shared, value, bitset, deadline.into()),
        deadline,
    ) {
        (Err(Errno::ERESTARTSYS), Some(deadline)) => {
            task.restart = Some(SyscallRestart::Futex {
                addr,
                shared,
                value,
                bitset,
                deadline,
            });
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
        (result, _) => result,
    }
}

pub(super) fn sys_restart_syscall(task: &mut CurrentTask) -> Result<u64> {
    match task.restart.take() {
        None => Err(Errno::EINTR),
        Some(SyscallRestart::Futex {
            addr,
            shared,
            value,
            bitset,
            deadline,
        }) => wait(task, addr, shared, value, bitset, Some(deadline)).map(|()| 0),
        Some(SyscallRestart::Sleep {
            deadline,
            remainder,
        }) => super::time::sleep_until(task, deadline, remainder).map(|()| 0),
        Some(SyscallRestart::CpuSleep {
            clock,
            until,
            remainder,
        }) => super::time::sleep_for_cpu_time(task, &clock, until, Some(remainder)).map(|()| 0),
        Some(SyscallRestart::Poll {
            fds,
            count,
            deadline,
        }) => super::poll::poll_until(task, UserPtr::new(fds), count, deadline).map(u64::from),
    }
}

pub(super) fn sys_futex_waitv(
    task: &mut CurrentTask,
    waiters: UserPtr<FutexWaitv>,
    count: u32,
    flags: Flags,
    timeout: UserPtr<Timespec>,
    clock: i32,
) -> Result<usize> {
    if flags.0 != 0 || count == 0 || count > WAITV_MAX {
        return Err(Errno::EINVAL);
    }
    let deadline = clock_deadline(task, timeout, clock)?;
    let words = read_words(task, waiters, count)?;
    task.futex_wait_many(&words, deadline)
}

/// An absolute timeout of one of the calls that name its clock.
fn clock_deadline(task: &CurrentTask, timeout: UserPtr<Timespec>, clock: i32) -> Result<Deadline> {
    if !timeout.is_null() && !matches!(clock, CLOCK_REALTIME | CLOCK_MONOTONIC) {
        return Err(Errno::EINVAL);
    }
    absolute_deadline(task, timeout, clock == CLOCK_REALTIME)
}

/// Whether flags of futex_waitv(2) and its kin say "shared"; `EINVAL` for others than 32-bit words.
fn futex2_shared(flags: u32) -> Result<bool> {
    if flags & !(FUTEX2_PRIVATE | 3) != 0 || flags & 3 != FUTEX2_U32 {
        return Err(Errno::EINVAL);
    }
    Ok(flags & FUTEX2_PRIVATE == 0)
}

fn read_words(
    task: &CurrentTask,
    waiters: UserPtr<FutexWaitv>,
    count: u32,
) -> Result<Vec<(u64, bool, u32)>> {
    let mut words = Vec::with_capacity(count as usize);
    for waiter in waiters.read_vec(task, count as usize)? {
        let shared = futex2_shared(waiter.flags)?;
        let value = u32::try_from(waiter.val).map_err(|_| Errno::EINVAL)?;
        if waiter._reserved != 0 {
            return Err(Errno::EINVAL);
        }
        words.push((waiter.uaddr, shared, value));
    }
    Ok(words)
}

pub(super) fn sys_futex_wake(
    task: &mut CurrentTask,
    addr: u64,
    mask: u64,
    count: i32,
    flags: u32,
) -> Result<u32> {
    let shared = futex2_shared(flags)?;
    let mask = u32::try_from(mask).map_err(|_| Errno::EINVAL)?;
    match u32::try_from(count) {
        // Unlike the older call, none means none.
        Ok(0) if mask != 0 => task.futex_key(addr, shared).map(|_| 0),
        Ok(count) => task.futex_wake(addr, shared, count, mask),
        Err(_) => task.futex_wake(addr, shared, 1, mask),
    }
}

pub(super) fn sys_futex_wait(
    task: &mut CurrentTask,
    addr: u64,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: UserPtr<Timespec>,
    clock: i32,
) -> Result<()> {
    let shared = futex2_shared(flags)?;
    let value = u32::try_from(value).map_err(|_| Errno::EINVAL)?;
    let mask = u32::try_from(mask).map_err(|_| Errno::EINVAL)?;
    let deadline = clock_deadline(task, timeout, clock)?;
    task.futex_wait(addr, shared, value, mask, deadline)
}

pub(super) fn sys_futex_requeue(
    task: &mut CurrentTask,
    waiters: UserPtr<FutexWaitv>,
    flags: Flags,
    wake: u32,
    requeue: u32,
) -> Result<u32> {
    if flags.0 != 0 || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let words = read_words(task, waiters, 2)?;
    let (wake, requeue) = (not_negative(wake)?, not_negative(requeue)?);
    let [(from, from_shared, expected), (to, to_shared, _)] = words[..] else {
        return Err(Errno::EINVAL);
    };
    // DEVIATION: both words must be of one kind.
    if from_shared != to_shared {
        return Err(Errno::EINVAL);
    }
    let (woken, moved) =
        task.futex_requeue(from, to, from_shared, wake, requeue, Some(expected))?;
    Ok(woken + moved)
}

pub(super) fn sys_set_robust_list(task: &mut CurrentTask, head: u64, len: usize) -> Result<()> {
    if len != ROBUST_HEAD_LEN {
        return Err(Errno::EINVAL);
    }
    task.task
        .robust_list
        .store(head, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}
