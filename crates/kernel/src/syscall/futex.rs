//! futex(2), futex_waitv(2), set_robust_list(2), get_robust_list(2).

use super::{Flags, UserPtr};
use crate::{
    clock::timespec_ns,
    task::{CurrentTask, SyscallRestart},
};
use std::time::Instant;
use tuxlet_uapi::{
    errno::{Errno, Result},
    futex::{
        FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_CMP_REQUEUE, FUTEX_PRIVATE_FLAG,
        FUTEX_REQUEUE, FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE, FUTEX_WAKE_BITSET, FUTEX_WAKE_OP,
        FutexWaitv,
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
    if op.has(FUTEX_CLOCK_REALTIME) && !matches!(command, FUTEX_WAIT | FUTEX_WAIT_BITSET) {
        return Err(Errno::ENOSYS);
    }
    // For commands that do not sleep the fourth argument is a second count.
    let value2 = timeout as u32;
    match command {
        FUTEX_WAIT => {
            let deadline = relative_deadline(task, UserPtr::new(timeout))?;
            wait(task, addr, shared, value, FUTEX_BITSET_MATCH_ANY, deadline).map(|()| 0)
        }
        FUTEX_WAIT_BITSET => {
            let deadline =
                absolute_deadline(task, UserPtr::new(timeout), op.has(FUTEX_CLOCK_REALTIME))?;
            task.futex_wait(addr, shared, value, value3, deadline)
                .map(|()| 0)
        }
        FUTEX_WAKE => task.futex_wake(addr, shared, value, FUTEX_BITSET_MATCH_ANY),
        FUTEX_WAKE_BITSET => task.futex_wake(addr, shared, value, value3),
        FUTEX_REQUEUE => {
            let (woken, moved) = task.futex_requeue(addr, addr2, shared, value, value2, None)?;
            Ok(woken + moved)
        }
        FUTEX_CMP_REQUEUE => {
            let (woken, moved) =
                task.futex_requeue(addr, addr2, shared, value, value2, Some(value3))?;
            Ok(woken + moved)
        }
        FUTEX_WAKE_OP => task.futex_wake_op(addr, addr2, shared, value, value2, value3),
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
) -> Result<Option<Instant>> {
    let Some(ts) = timeout.read_opt(task)? else {
        return Ok(None);
    };
    let ns = timespec_ns(&ts)?;
    Ok(Some(if realtime {
        task.kernel
            .clock
            .realtime_instant(i64::try_from(ns).unwrap_or(i64::MAX))
    } else {
        task.kernel.clock.monotonic_instant(ns)
    }))
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
        task.futex_wait(addr, shared, value, bitset, deadline),
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
    let deadline = absolute_deadline(task, timeout, clock == CLOCK_REALTIME)?;
    let mut words = Vec::with_capacity(count as usize);
    for waiter in waiters.read_vec(task, count as usize)? {
        if waiter.flags & !(FUTEX2_PRIVATE | 3) != 0
            || waiter.flags & 3 != FUTEX2_U32
            || waiter._reserved != 0
        {
            return Err(Errno::EINVAL);
        }
        words.push((
            waiter.uaddr,
            waiter.flags & FUTEX2_PRIVATE == 0,
            waiter.val as u32,
        ));
    }
    task.futex_wait_many(&words, deadline)
}

pub(super) fn sys_set_robust_list(task: &mut CurrentTask, head: u64, len: usize) -> Result<()> {
    if len != ROBUST_HEAD_LEN {
        return Err(Errno::EINVAL);
    }
    task.robust_list = head;
    Ok(())
}
