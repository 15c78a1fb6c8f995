//! getrlimit(2), setrlimit(2), prlimit(2), getrusage(2), getpriority(2), setpriority(2), ioprio_get(2),
//! ioprio_set(2).

use super::UserPtr;
use crate::task::{CurrentTask, Task, of_times};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::{
        PRIO_PGRP, PRIO_PROCESS, PRIO_USER, RLIM_NLIMITS, RLIMIT_CPU, RLIMIT_NICE, RLIMIT_NOFILE,
        RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD, Rlimit, Rusage,
    },
};
use tuxlet_vfs::cx::cap;

/// Lowest and highest nice value.
const NICE: std::ops::RangeInclusive<i32> = -20..=19;

pub(super) fn sys_getrlimit(task: &mut CurrentTask, which: u32, to: UserPtr<Rlimit>) -> Result<()> {
    sys_prlimit64(task, 0, which, UserPtr::new(0), to)
}

pub(super) fn sys_setrlimit(
    task: &mut CurrentTask,
    which: u32,
    new: UserPtr<Rlimit>,
) -> Result<()> {
    let limit = new.read(task)?;
    let own = Arc::clone(&task.task);
    change_limit(task, &own, which, Some(limit)).map(drop)
}

pub(super) fn sys_prlimit64(
    task: &mut CurrentTask,
    pid: i32,
    which: u32,
    new: UserPtr<Rlimit>,
    old: UserPtr<Rlimit>,
) -> Result<()> {
    let new = new.read_opt(task)?;
    let target = find_task(task, pid)?;
    if !Arc::ptr_eq(target.group(), task.task.group()) {
        let (own, other) = (task.task.cred(), target.cred());
        let same = |id, set: [u32; 3]| set.iter().all(|o| *o == id);
        let allowed = same(own.uid, [other.uid, other.euid, other.suid])
            && same(own.gid, [other.gid, other.egid, other.sgid]);
        if !allowed && !own.has_cap(cap::SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
    }
    let before = change_limit(task, &target, which, new)?;
    old.write_opt(task, &before)
}

/// Looks at a limit and perhaps sets it; returns the old one.
fn change_limit(
    task: &CurrentTask,
    target: &Task,
    which: u32,
    new: Option<Rlimit>,
) -> Result<Rlimit> {
    if u64::from(which) >= RLIM_NLIMITS {
        return Err(Errno::EINVAL);
    }
    let group = target.group();
    let mut limits = group.rlimits.lock();
    let slot = &mut limits[which as usize];
    let before = *slot;
    let Some(new) = new else { return Ok(before) };
    if new.rlim_cur > new.rlim_max {
        return Err(Errno::EINVAL);
    }
    if which == RLIMIT_NOFILE && new.rlim_max > crate::fd::NR_OPEN {
        return Err(Errno::EPERM);
    }
    if new.rlim_max > before.rlim_max && !task.task.cred().has_cap(cap::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    *slot = new;
    drop(limits);
    if which == RLIMIT_CPU {
        group.timers.watch_cpu_limit(&task.kernel, group);
    }
    Ok(before)
}

/// The thread of an id, the caller for 0. `ESRCH`.
pub(super) fn find_task(task: &CurrentTask, tid: i32) -> Result<Arc<Task>> {
    if tid == 0 {
        return Ok(Arc::clone(&task.task));
    }
    let id = u32::try_from(tid).map_err(|_| Errno::ESRCH)?;
    let id = task.given_pid(id)?;
    task.kernel
        .tree
        .lock()
        .task(id)
        .cloned()
        .ok_or(Errno::ESRCH)
}

pub(super) fn sys_getrusage(task: &mut CurrentTask, who: i32, to: UserPtr<Rusage>) -> Result<()> {
    let peak = (task.mm.space.usage().rss_peak * 4).cast_signed();
    let usage = match who {
        RUSAGE_SELF => {
            let (user, system) = task.kernel.process_times(task.task.tgid());
            Rusage {
                ru_maxrss: peak,
                ..of_times(user, system)
            }
        }
        RUSAGE_THREAD => Rusage {
            ru_maxrss: peak,
            ..of_times(task.task.cpu_ns(), 0)
        },
        RUSAGE_CHILDREN => {
            let times = &task.task.group().child_times;
            of_times(times.user_ns(), times.system_ns())
        }
        _ => return Err(Errno::EINVAL),
    };
    to.write(task, &usage)
}

/// The threads that a `PRIO_*` (or `IOPRIO_WHO_*`) pair names. `ESRCH` for none.
fn selected(task: &CurrentTask, which: i32, who: u32) -> Result<Vec<Arc<Task>>> {
    let threads: Vec<Arc<Task>> = match which {
        PRIO_PROCESS => vec![find_task(task, who.cast_signed())?],
        PRIO_PGRP => {
            let pgid = if who == 0 {
                task.pgid()
            } else {
                task.given_pid(who)?
            };
            task.kernel
                .tree
                .lock()
                .process_group(pgid)
                .flat_map(|n| n.threads.clone())
                .collect()
        }
        PRIO_USER => {
            let cred = task.task.cred();
            let uid = if who == 0 {
                cred.uid
            } else {
                cred.user_ns.global_uid(who).ok_or(Errno::ESRCH)?
            };
            let tree = task.kernel.tree.lock();
            let all = tree.groups().flat_map(|(_, n)| n.threads.iter());
            all.filter(|t| t.cred().uid == uid).cloned().collect()
        }
        _ => return Err(Errno::EINVAL),
    };
    if threads.is_empty() {
        Err(Errno::ESRCH)
    } else {
        Ok(threads)
    }
}

pub(super) fn sys_getpriority(task: &mut CurrentTask, which: i32, who: u32) -> Result<i32> {
    let threads = selected(task, which, who)?;
    // As the system call gives it: 40..1 for -20..19, so that no result looks like an error.
    let highest = threads
        .iter()
        .map(|t| 20 - t.nice.load(Ordering::Relaxed))
        .max();
    highest.ok_or(Errno::ESRCH)
}

/// Whether the caller may change a thread's scheduling: its effective user is the other's real or effective one.
pub(super) fn may_schedule(task: &CurrentTask, target: &Task) -> Result<()> {
    let (own, other) = (task.task.cred(), target.cred());
    if own.euid == other.uid || own.euid == other.euid || own.has_cap(cap::SYS_NICE) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Whether the caller may give a thread this nice value: `RLIMIT_NICE`.
pub(super) fn may_nice(task: &CurrentTask, target: &Task, nice: i32) -> bool {
    let floor = 20
        - i64::try_from(target.group().rlimit(RLIMIT_NICE))
            .unwrap_or(i64::MAX)
            .min(40);
    nice >= target.nice.load(Ordering::Relaxed)
        || i64::from(nice) >= floor
        || task.task.cred().has_cap(cap::SYS_NICE)
}

pub(super) fn sys_setpriority(
    task: &mut CurrentTask,
    which: i32,
    who: u32,
    nice: i32,
) -> Result<()> {
    let nice = nice.clamp(*NICE.start(), *NICE.end());
    let mut outcome = Ok(());
    for target in selected(task, which, who)? {
        if let Err(errno) = may_schedule(task, &target) {
            outcome = Err(errno);
        } else if may_nice(task, &target, nice) {
            target.nice.store(nice, Ordering::Relaxed);
        } else {
            outcome = Err(Errno::EACCES);
        }
    }
    outcome
}

/// `IOPRIO_WHO_*` less `PRIO_*`.
const IOPRIO_OFFSET: i32 = 1;
/// Highest class of an I/O priority (its upper three bits) and highest level.
const IOPRIO_CLASS_IDLE: u32 = 3;
const IOPRIO_CLASS_RT: u32 = 1;
const IOPRIO_LEVELS: u32 = 8;

pub(super) fn sys_ioprio_get(task: &mut CurrentTask, which: i32, who: u32) -> Result<u32> {
    let threads = selected(task, which.wrapping_sub(IOPRIO_OFFSET), who)?;
    Ok(threads
        .iter()
        .map(|t| t.settings.lock().io_priority)
        .min()
        .unwrap_or(0))
}

pub(super) fn sys_ioprio_set(
    task: &mut CurrentTask,
    which: i32,
    who: u32,
    priority: u32,
) -> Result<()> {
    let (class, level) = (priority >> 13, priority & 0x1fff);
    if class > IOPRIO_CLASS_IDLE || level >= IOPRIO_LEVELS || (class == 0 && level != 0) {
        return Err(Errno::EINVAL);
    }
    if class == IOPRIO_CLASS_RT
        && !task.task.cred().has_cap(cap::SYS_ADMIN)
        && !task.task.cred().has_cap(cap::SYS_NICE)
    {
        return Err(Errno::EPERM);
    }
    for target in selected(task, which.wrapping_sub(IOPRIO_OFFSET), who)? {
        may_schedule(task, &target)?;
        target.settings.lock().io_priority = priority;
    }
    Ok(())
}
