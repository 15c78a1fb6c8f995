//! sched_yield(2), sched_setscheduler(2) and its kin, sched_setaffinity(2), personality(2).
//!
//! Policies and priorities are kept and shown; the host decides what runs when. Affinities go to the host.

use super::{
    Flags, UserPtr,
    limits::{find_task, may_nice, may_schedule},
};
use crate::task::{CurrentTask, Task};
use std::sync::atomic::Ordering;
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::RLIMIT_RTPRIO,
    sched::{
        SCHED_BATCH, SCHED_FIFO, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_KEEP_POLICY,
        SCHED_FLAG_RESET_ON_FORK, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK, SCHED_RR,
        SchedAttr, SchedParam,
    },
    time::Timespec,
};
use tuxlet_vfs::cx::cap;

/// Real-time priorities.
const RT_PRIORITIES: std::ops::RangeInclusive<u32> = 1..=99;
/// Size of the first version of `struct sched_attr`.
const SCHED_ATTR_SIZE_VER0: u32 = 48;
/// What personality(2) is asked with to change nothing.
const PERSONALITY_QUERY: u32 = 0xffff_ffff;

pub(super) fn sys_sched_yield(_task: &mut CurrentTask) -> Result<()> {
    tuxlet_host::thread::yield_now();
    Ok(())
}

fn is_realtime(policy: u32) -> bool {
    matches!(policy, SCHED_FIFO | SCHED_RR)
}

fn check_policy(policy: u32, priority: u32) -> Result<()> {
    let fits = match policy {
        SCHED_FIFO | SCHED_RR => RT_PRIORITIES.contains(&priority),
        // DEVIATION: no deadline scheduling.
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE => priority == 0,
        _ => false,
    };
    if fits { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Sets policy and priority of a thread: sched(7), "Privileges and resource limits".
fn set_policy(
    task: &CurrentTask,
    target: &Task,
    policy: u32,
    priority: u32,
    reset: bool,
) -> Result<()> {
    check_policy(policy, priority)?;
    let cred = task.task.cred();
    let mut settings = target.settings.lock();
    if !cred.has_cap(cap::SYS_NICE) {
        let limit = target.group().rlimit(RLIMIT_RTPRIO);
        let raises = is_realtime(policy)
            && (limit == 0 && settings.policy != policy
                || priority > settings.priority && u64::from(priority) > limit);
        if raises || (settings.reset_on_fork && !reset) {
            return Err(Errno::EPERM);
        }
        drop(settings);
        may_schedule(task, target)?;
        settings = target.settings.lock();
    }
    settings.policy = policy;
    settings.priority = priority;
    settings.reset_on_fork = reset;
    Ok(())
}

fn checked_target(task: &CurrentTask, pid: i32) -> Result<std::sync::Arc<Task>> {
    if pid < 0 {
        Err(Errno::EINVAL)
    } else {
        find_task(task, pid)
    }
}

pub(super) fn sys_sched_setscheduler(
    task: &mut CurrentTask,
    pid: i32,
    policy: i32,
    param: UserPtr<SchedParam>,
) -> Result<()> {
    let policy = u32::try_from(policy).map_err(|_| Errno::EINVAL)?;
    if param.is_null() || pid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = u32::try_from(param.read(task)?.sched_priority).map_err(|_| Errno::EINVAL)?;
    let target = checked_target(task, pid)?;
    set_policy(
        task,
        &target,
        policy & !SCHED_RESET_ON_FORK,
        priority,
        policy & SCHED_RESET_ON_FORK != 0,
    )
}

pub(super) fn sys_sched_getscheduler(task: &mut CurrentTask, pid: i32) -> Result<u32> {
    let settings = *checked_target(task, pid)?.settings.lock();
    Ok(settings.policy
        | if settings.reset_on_fork {
            SCHED_RESET_ON_FORK
        } else {
            0
        })
}

pub(super) fn sys_sched_setparam(
    task: &mut CurrentTask,
    pid: i32,
    param: UserPtr<SchedParam>,
) -> Result<()> {
    if param.is_null() || pid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = u32::try_from(param.read(task)?.sched_priority).map_err(|_| Errno::EINVAL)?;
    let target = checked_target(task, pid)?;
    let settings = *target.settings.lock();
    set_policy(
        task,
        &target,
        settings.policy,
        priority,
        settings.reset_on_fork,
    )
}

pub(super) fn sys_sched_getparam(
    task: &mut CurrentTask,
    pid: i32,
    param: UserPtr<SchedParam>,
) -> Result<()> {
    if param.is_null() {
        return Err(Errno::EINVAL);
    }
    let sched_priority = checked_target(task, pid)?
        .settings
        .lock()
        .priority
        .cast_signed();
    param.write(task, &SchedParam { sched_priority })
}

pub(super) fn sys_sched_get_priority_max(_task: &mut CurrentTask, policy: u32) -> Result<u32> {
    priority_limit(policy, *RT_PRIORITIES.end())
}

pub(super) fn sys_sched_get_priority_min(_task: &mut CurrentTask, policy: u32) -> Result<u32> {
    priority_limit(policy, *RT_PRIORITIES.start())
}

fn priority_limit(policy: u32, realtime: u32) -> Result<u32> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(realtime),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE | tuxlet_uapi::sched::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_sched_rr_get_interval(
    task: &mut CurrentTask,
    pid: i32,
    to: UserPtr<Timespec>,
) -> Result<()> {
    let policy = checked_target(task, pid)?.settings.lock().policy;
    // The defaults of Linux: 100 ms for round robin, a slice of the fair scheduler for the others.
    let tv_nsec = match policy {
        SCHED_RR => 100_000_000,
        SCHED_FIFO => 0,
        _ => 3_000_000,
    };
    to.write(task, &Timespec { tv_sec: 0, tv_nsec })
}

pub(super) fn sys_sched_setattr(
    task: &mut CurrentTask,
    pid: i32,
    attr: u64,
    flags: Flags,
) -> Result<()> {
    if attr == 0 || pid < 0 {
        return Err(Errno::EINVAL);
    }
    flags.only(0)?;
    let size = match UserPtr::<u32>::new(attr).read(task)? {
        0 => SCHED_ATTR_SIZE_VER0,
        size => size,
    };
    if !(SCHED_ATTR_SIZE_VER0..=4096).contains(&size) {
        // Tells the caller how much we know.
        UserPtr::<u32>::new(attr).write(task, &(size_of::<SchedAttr>() as u32))?;
        return Err(Errno::E2BIG);
    }
    let new: SchedAttr = task.read_extensible(attr, size as usize)?;
    let known = SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_POLICY | SCHED_FLAG_KEEP_PARAMS;
    if new.sched_flags & !known != 0 || new.sched_policy.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let target = checked_target(task, pid)?;
    let old = *target.settings.lock();
    let keeps = |flag| new.sched_flags & flag != 0;
    let policy = if keeps(SCHED_FLAG_KEEP_POLICY) {
        old.policy
    } else {
        new.sched_policy
    };
    let priority = if keeps(SCHED_FLAG_KEEP_PARAMS) {
        old.priority
    } else {
        new.sched_priority
    };
    let sets_nice = !keeps(SCHED_FLAG_KEEP_PARAMS) && !is_realtime(policy);
    let nice = new.sched_nice.clamp(-20, 19);
    if sets_nice && !may_nice(task, &target, nice) {
        return Err(Errno::EPERM);
    }
    set_policy(
        task,
        &target,
        policy,
        priority,
        keeps(SCHED_FLAG_RESET_ON_FORK),
    )?;
    if sets_nice {
        target.nice.store(nice, Ordering::Relaxed);
    }
    Ok(())
}

pub(super) fn sys_sched_getattr(
    task: &mut CurrentTask,
    pid: i32,
    to: u64,
    size: u32,
    flags: Flags,
) -> Result<()> {
    if to == 0 || pid < 0 || !(SCHED_ATTR_SIZE_VER0..=4096).contains(&size) {
        return Err(Errno::EINVAL);
    }
    flags.only(0)?;
    let target = checked_target(task, pid)?;
    let settings = *target.settings.lock();
    let len = (size as usize).min(size_of::<SchedAttr>());
    let attr = SchedAttr {
        size: len as u32,
        sched_policy: settings.policy,
        sched_flags: if settings.reset_on_fork {
            SCHED_FLAG_RESET_ON_FORK
        } else {
            0
        },
        sched_nice: if settings.is_realtime() {
            0
        } else {
            target.nice.load(Ordering::Relaxed)
        },
        sched_priority: settings.priority,
        sched_util_max: 1024,
        ..SchedAttr::default()
    };
    task.mm
        .space
        .write_bytes(to, &zerocopy::IntoBytes::as_bytes(&attr)[..len])
}

impl CurrentTask {
    /// The processors there are, as a mask.
    fn processor_mask(&self) -> u64 {
        let count = self.kernel.config.processors.clamp(1, 64);
        u64::MAX >> (64 - count)
    }
}

pub(super) fn sys_sched_setaffinity(
    task: &mut CurrentTask,
    pid: i32,
    len: u32,
    mask: u64,
) -> Result<()> {
    let mut bytes = [0; 8];
    let len = bytes.len().min(len as usize);
    task.mm.space.read_bytes(mask, &mut bytes[..len])?;
    let wanted = u64::from_le_bytes(bytes) & task.processor_mask();
    let target = find_task(task, pid)?;
    may_schedule(task, &target)?;
    if wanted == 0 {
        return Err(Errno::EINVAL);
    }
    target.set_affinity(wanted);
    Ok(())
}

pub(super) fn sys_sched_getaffinity(
    task: &mut CurrentTask,
    pid: i32,
    len: u32,
    mask: u64,
) -> Result<usize> {
    // The kernel's mask is one word; the caller's must hold it and consist of words.
    if len < 8 || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let target = find_task(task, pid)?;
    let set = target.affinity.load(Ordering::Relaxed) & task.processor_mask();
    task.mm.space.write_bytes(mask, &set.to_le_bytes())?;
    Ok(8)
}

pub(super) fn sys_personality(task: &mut CurrentTask, persona: u32) -> Result<u32> {
    let mut settings = task.task.settings.lock();
    let old = settings.personality;
    if persona != PERSONALITY_QUERY {
        settings.personality = persona;
    }
    Ok(old)
}
