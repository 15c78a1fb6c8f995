//! clock_gettime(2), clock_nanosleep(2), nanosleep(2), gettimeofday(2), times(2).

use super::UserPtr;
use crate::{
    clock::{NSEC_PER_SEC, ns_timespec, timespec_ns},
    task::{CurrentTask, SyscallRestart, Task},
    timer::TimerClock,
    wait::{Deadline, WaitError},
};
use std::{sync::Arc, time::Instant};
use tuxlet_uapi::{
    errno::{Errno, Result},
    time::{
        CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE,
        CLOCK_MONOTONIC_RAW, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_REALTIME_ALARM,
        CLOCK_REALTIME_COARSE, CLOCK_TAI, CLOCK_THREAD_CPUTIME_ID, TIMER_ABSTIME, Timespec,
        Timeval, Timezone, Tms,
    },
};
use tuxlet_vfs::cx::cap;

/// Clock ticks of times(2) a second.
const USER_HZ: u64 = 100;

/// Reads a clock in nanoseconds. `EINVAL` for one that does not exist.
pub(crate) fn read_clock(task: &CurrentTask, clock: u32) -> Result<i64> {
    let clocks = &task.kernel.clock;
    let offset = task.ns.time.offset(clock);
    Ok(offset.saturating_add(match clock {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_REALTIME_ALARM | CLOCK_TAI => {
            clocks.realtime_ns()
        }
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE => {
            clocks.monotonic_ns().cast_signed()
        }
        CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => clocks.boottime_ns().cast_signed(),
        CLOCK_PROCESS_CPUTIME_ID => task.kernel.process_cpu_ns(task.task.tgid()).cast_signed(),
        CLOCK_THREAD_CPUTIME_ID => task.task.cpu_ns().cast_signed(),
        dynamic if dynamic.cast_signed() < 0 => {
            cpu_clock(task, dynamic.cast_signed())?.cast_signed()
        }
        _ => return Err(Errno::EINVAL),
    }))
}

/// The CPU clock of another process or thread: clock_getcpuclockid(3). The id is `~pid << 3 | kind`.
fn cpu_clock(task: &CurrentTask, clock: i32) -> Result<u64> {
    const PER_THREAD: i32 = 4;
    if clock & 3 == 3 {
        // A clock device behind a descriptor; there are none.
        return Err(Errno::EINVAL);
    }
    let id = !(clock >> 3);
    if clock & PER_THREAD != 0 {
        let target: Option<Arc<Task>> = if id == 0 {
            Some(Arc::clone(&task.task))
        } else {
            task.given_pid(id as u32)
                .ok()
                .and_then(|id| task.kernel.tree.lock().task(id).cloned())
        };
        let target = target
            .filter(|t| t.tgid() == task.task.tgid())
            .ok_or(Errno::EINVAL)?;
        return Ok(target.cpu_ns());
    }
    let tgid = match id {
        0 => task.task.tgid(),
        _ => task.given_pid(id as u32).map_err(|_| Errno::EINVAL)?,
    };
    if task.kernel.tree.lock().node(tgid).is_none() {
        return Err(Errno::EINVAL);
    }
    Ok(task.kernel.process_cpu_ns(tgid))
}

pub(super) fn sys_clock_gettime(
    task: &mut CurrentTask,
    clock: u32,
    time: UserPtr<Timespec>,
) -> Result<()> {
    let ns = read_clock(task, clock)?;
    let per_sec = NSEC_PER_SEC.cast_signed();
    time.write(
        task,
        &Timespec {
            tv_sec: ns.div_euclid(per_sec),
            tv_nsec: ns.rem_euclid(per_sec),
        },
    )
}

pub(super) fn sys_clock_getres(
    task: &mut CurrentTask,
    clock: u32,
    res: UserPtr<Timespec>,
) -> Result<()> {
    read_clock(task, clock)?;
    let coarse = matches!(clock, CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE);
    res.write_opt(
        task,
        &Timespec {
            tv_sec: 0,
            tv_nsec: if coarse { 4_000_000 } else { 1 },
        },
    )
}

pub(super) fn sys_clock_settime(
    task: &mut CurrentTask,
    clock: u32,
    time: UserPtr<Timespec>,
) -> Result<()> {
    let dynamic = clock.cast_signed() < 0;
    if clock != CLOCK_REALTIME && !dynamic {
        return Err(Errno::EINVAL);
    }
    let time = time.read(task)?;
    if dynamic {
        // A CPU-time clock that exists cannot be set by anybody.
        read_clock(task, clock)?;
        return Err(Errno::EPERM);
    }
    let ns = timespec_ns(&time)?;
    if !task.task.cred().has_cap(cap::SYS_TIME) {
        return Err(Errno::EPERM);
    }
    task.kernel
        .set_realtime(i64::try_from(ns).unwrap_or(i64::MAX));
    Ok(())
}

pub(super) fn sys_gettimeofday(
    task: &mut CurrentTask,
    tv: UserPtr<Timeval>,
    tz: UserPtr<Timezone>,
) -> Result<()> {
    let us = task.kernel.clock.realtime_ns().div_euclid(1000);
    tv.write_opt(
        task,
        &Timeval {
            tv_sec: us.div_euclid(1_000_000),
            tv_usec: us.rem_euclid(1_000_000),
        },
    )?;
    tz.write_opt(task, &Timezone::default())
}

pub(super) fn sys_nanosleep(
    task: &mut CurrentTask,
    request: UserPtr<Timespec>,
    remainder: UserPtr<Timespec>,
) -> Result<()> {
    let ns = timespec_ns(&request.read(task)?)?;
    sleep_until(task, crate::clock::instant_after(ns), remainder.addr())
}

pub(super) fn sys_clock_nanosleep(
    task: &mut CurrentTask,
    clock: u32,
    flags: u32,
    request: UserPtr<Timespec>,
    remainder: UserPtr<Timespec>,
) -> Result<()> {
    match clock {
        // Clocks that can be read but not waited for.
        CLOCK_THREAD_CPUTIME_ID
        | CLOCK_MONOTONIC_COARSE
        | CLOCK_REALTIME_COARSE
        | CLOCK_MONOTONIC_RAW => return Err(Errno::EOPNOTSUPP),
        _ => {}
    }
    let now = read_clock(task, clock)?;
    let ns = timespec_ns(&request.read(task)?)?;
    let absolute = flags & TIMER_ABSTIME != 0;
    if clock == CLOCK_PROCESS_CPUTIME_ID || clock.cast_signed() < 0 {
        if is_own_thread_clock(task, clock.cast_signed()) {
            return Err(Errno::EINVAL);
        }
        let clock = TimerClock::of(task, clock)?;
        let until = if absolute {
            ns
        } else {
            now.cast_unsigned().saturating_add(ns)
        };
        return sleep_for_cpu_time(task, &clock, until, (!absolute).then_some(remainder.addr()));
    }
    if !absolute {
        return sleep_until(task, crate::clock::instant_after(ns), remainder.addr());
    }
    let ns = i64::try_from(ns).unwrap_or(i64::MAX);
    let deadline = if clock == CLOCK_REALTIME {
        Deadline::Realtime(ns)
    } else {
        let left = u64::try_from(ns.saturating_sub(now)).unwrap_or(0);
        Deadline::At(crate::clock::instant_after(left))
    };
    match task.wait_until(deadline, |_, _| None::<()>) {
        // An absolute sleep can simply be done again.
        Err(WaitError::Interrupted) => Err(Errno::ERESTARTNOHAND),
        _ => Ok(()),
    }
}

/// Whether a clock is the CPU-time clock of the calling thread, which a sleep on it would stop.
fn is_own_thread_clock(task: &CurrentTask, clock: i32) -> bool {
    const PER_THREAD: i32 = 4;
    let id = !(clock >> 3);
    clock < 0 && clock & PER_THREAD != 0 && (id == 0 || id as u32 == task.task.tid())
}

/// Sleeps until a CPU-time clock reads `until`; the rest goes to the address, if it was a relative sleep.
pub(super) fn sleep_for_cpu_time(
    task: &mut CurrentTask,
    clock: &TimerClock,
    until: u64,
    remainder: Option<u64>,
) -> Result<()> {
    loop {
        let now = clock.now(&task.kernel);
        if now >= until {
            return Ok(());
        }
        let deadline = clock.instant(&task.kernel, until);
        if task.wait_until(deadline, |_, _| None::<()>) != Err(WaitError::Interrupted) {
            continue;
        }
        let Some(remainder) = remainder else {
            return Err(Errno::ERESTARTNOHAND);
        };
        let left = ns_timespec(until.saturating_sub(clock.now(&task.kernel)));
        UserPtr::<Timespec>::new(remainder).write_opt(task, &left)?;
        task.restart = Some(SyscallRestart::CpuSleep {
            clock: clock.clone(),
            until,
            remainder,
        });
        return Err(Errno::ERESTART_RESTARTBLOCK);
    }
}

/// Sleeps; interrupted, it notes the end for restart_syscall(2) and writes what is left.
pub(super) fn sleep_until(task: &mut CurrentTask, deadline: Instant, remainder: u64) -> Result<()> {
    match task.wait_until(Some(deadline), |_, _| None::<()>) {
        Err(WaitError::Interrupted) => {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = ns_timespec(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
            UserPtr::<Timespec>::new(remainder).write_opt(task, &left)?;
            task.restart = Some(SyscallRestart::Sleep {
                deadline,
                remainder,
            });
            Err(Errno::ERESTART_RESTARTBLOCK)
        }
        _ => Ok(()),
    }
}

pub(super) fn sys_times(task: &mut CurrentTask, buf: UserPtr<Tms>) -> Result<u64> {
    let ticks = |ns: u64| (ns / (NSEC_PER_SEC / USER_HZ)).cast_signed();
    let (user, system) = task.kernel.process_times(task.task.tgid());
    let children = &task.task.group().child_times;
    let tms = Tms {
        tms_utime: ticks(user),
        tms_stime: ticks(system),
        tms_cutime: ticks(children.user_ns()),
        tms_cstime: ticks(children.system_ns()),
    };
    buf.write_opt(task, &tms)?;
    Ok(task.kernel.clock.boottime_ns() / (NSEC_PER_SEC / USER_HZ))
}
