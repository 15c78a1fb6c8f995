//! eventfd2(2), timerfd_create(2), timerfd_settime(2), timerfd_gettime(2), signalfd4(2), memfd_create(2).

use super::{
    Flags, UserPath, UserPtr,
    timer::{itimerspec, setting_of},
};
use crate::{
    memfd,
    signalfd::{self, SignalFd},
    task::CurrentTask,
    timer::TimerClock,
    timerfd::{self, TimerFd},
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE},
    fcntl::OpenFlags,
    mman::{MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC, MFD_HUGETLB, MFD_NOEXEC_SEAL},
    signal::SigSet,
    signalfd::{SFD_CLOEXEC, SFD_NONBLOCK},
    time::Itimerspec,
    timerfd::{TFD_CLOEXEC, TFD_NONBLOCK, TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET},
};
use tuxlet_vfs::File;

/// Longest name of a memory file.
const MEMFD_NAME_MAX: usize = 249;

/// All these calls take `O_NONBLOCK` under a name of their own.
fn status(flags: Flags) -> OpenFlags {
    OpenFlags::from_bits_truncate(flags.0) & OpenFlags::NONBLOCK
}

pub(super) fn sys_eventfd2(task: &mut CurrentTask, count: u32, flags: Flags) -> Result<i32> {
    flags.only(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK)?;
    let file = crate::eventfd::open(&task.cx(), count, flags.has(EFD_SEMAPHORE), status(flags));
    task.install_fd(file, flags.has(EFD_CLOEXEC))
}

pub(super) fn sys_timerfd_create(task: &mut CurrentTask, clock: u32, flags: Flags) -> Result<i32> {
    flags.only(TFD_CLOEXEC | TFD_NONBLOCK)?;
    if clock == tuxlet_uapi::time::CLOCK_TAI {
        return Err(Errno::EINVAL);
    }
    let is_alarm = clock >= tuxlet_uapi::time::CLOCK_REALTIME_ALARM;
    let clock = TimerClock::wall(clock)?;
    if is_alarm
        && !task
            .task
            .cred()
            .has_cap(tuxlet_uapi::capability::CAP_WAKE_ALARM)
    {
        return Err(Errno::EPERM);
    }
    let file = timerfd::open(task, clock, status(flags));
    task.install_fd(file, flags.has(TFD_CLOEXEC))
}

fn timer_of(file: &Arc<File>) -> Result<&TimerFd> {
    file.ops_as::<TimerFd>().ok_or(Errno::EINVAL)
}

pub(super) fn sys_timerfd_settime(
    task: &mut CurrentTask,
    fd: i32,
    flags: Flags,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> Result<()> {
    let new = new.read(task)?;
    flags.only(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)?;
    let absolute = flags.has(TFD_TIMER_ABSTIME);
    let setting = setting_of(&new, absolute)?;
    let file = task.fds.get(fd)?;
    let timer = timer_of(&file)?;
    let cancel = absolute && flags.has(TFD_TIMER_CANCEL_ON_SET) && timer.clock().is_settable();
    let setting = setting.in_namespace(timer.clock(), &task.ns.time);
    let before = timer.set(&task.kernel, setting, cancel)?;
    old.write_opt(task, &itimerspec(before))
}

pub(super) fn sys_timerfd_gettime(
    task: &mut CurrentTask,
    fd: i32,
    to: UserPtr<Itimerspec>,
) -> Result<()> {
    let file = task.fds.get(fd)?;
    let left = timer_of(&file)?.remaining(&task.kernel);
    to.write(task, &itimerspec(left))
}

pub(super) fn sys_signalfd4(
    task: &mut CurrentTask,
    fd: i32,
    mask: UserPtr<SigSet>,
    size: usize,
    flags: Flags,
) -> Result<i32> {
    if size != size_of::<SigSet>() {
        return Err(Errno::EINVAL);
    }
    let mask = mask.read(task)?;
    flags.only(SFD_CLOEXEC | SFD_NONBLOCK)?;
    if fd == -1 {
        let file = signalfd::open(task, mask, status(flags));
        return task.install_fd(file, flags.has(SFD_CLOEXEC));
    }
    let file = task.fds.get(fd)?;
    file.ops_as::<SignalFd>()
        .ok_or(Errno::EINVAL)?
        .set_mask(mask);
    Ok(fd)
}

pub(super) fn sys_memfd_create(
    task: &mut CurrentTask,
    name: UserPath,
    flags: Flags,
) -> Result<i32> {
    if flags.has(MFD_HUGETLB) {
        // No huge pages are set aside.
        return Err(Errno::ENOSYS);
    }
    flags.only(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)?;
    if flags.has(MFD_EXEC) && flags.has(MFD_NOEXEC_SEAL) {
        return Err(Errno::EINVAL);
    }
    let name = name.read(task).map_err(|e| {
        if e == Errno::ENAMETOOLONG {
            Errno::EINVAL
        } else {
            e
        }
    })?;
    if name.len() > MEMFD_NAME_MAX {
        return Err(Errno::EINVAL);
    }
    let sealing = flags.has(MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    let file = memfd::open(task, &name, sealing, flags.has(MFD_NOEXEC_SEAL));
    task.install_fd(file, flags.has(MFD_CLOEXEC))
}
