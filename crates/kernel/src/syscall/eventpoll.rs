//! epoll_create1(2), epoll_ctl(2), epoll_pwait(2), epoll_pwait2(2).

use super::{Flags, UserPtr};
use crate::{
    clock::{instant_after, timespec_ns},
    epoll::{self, Epoll},
    task::CurrentTask,
    wait::WaitError,
};
use std::{sync::Arc, time::Instant};
use tuxlet_uapi::{
    epoll::{EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EpollEvent},
    errno::{Errno, Result},
    fcntl::OpenFlags,
    signal::SigSet,
    time::Timespec,
};

/// Most events of one call: more would not fit into an `int` number of bytes.
const MAX_EVENTS: i32 = i32::MAX / size_of::<EpollEvent>() as i32;

pub(super) fn sys_epoll_create1(task: &mut CurrentTask, flags: Flags) -> Result<i32> {
    flags.only(EPOLL_CLOEXEC)?;
    let file = epoll::open(&task.cx(), OpenFlags::empty());
    task.install_fd(file, flags.has(EPOLL_CLOEXEC))
}

pub(super) fn sys_epoll_ctl(
    task: &mut CurrentTask,
    epfd: i32,
    op: u32,
    fd: i32,
    event: UserPtr<EpollEvent>,
) -> Result<()> {
    let event = if op == EPOLL_CTL_DEL {
        EpollEvent::default()
    } else {
        event.read(task)?
    };
    epoll_ctl(task, epfd, op, fd, &event)
}

pub(super) fn epoll_ctl(
    task: &CurrentTask,
    epfd: i32,
    op: u32,
    fd: i32,
    event: &EpollEvent,
) -> Result<()> {
    let set = task.fds.get(epfd)?;
    let file = task.fds.get(fd)?;
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    if !file.ops().pollable() {
        return Err(Errno::EPERM);
    }
    if Arc::ptr_eq(&set, &file) {
        return Err(Errno::EINVAL);
    }
    let set = set.ops_as::<Epoll>().ok_or(Errno::EINVAL)?;
    let cx = task.cx();
    match op {
        EPOLL_CTL_ADD => set.add(&cx, fd, &file, event),
        EPOLL_CTL_MOD => set.modify(&cx, fd, &file, event),
        EPOLL_CTL_DEL => set.remove(fd, &file),
        _ => Err(Errno::EINVAL),
    }
}

fn wait(
    task: &mut CurrentTask,
    epfd: i32,
    events: UserPtr<EpollEvent>,
    max: i32,
    deadline: Option<Instant>,
) -> Result<usize> {
    if max <= 0 || max > MAX_EVENTS {
        return Err(Errno::EINVAL);
    }
    let file = task.fds.get(epfd)?;
    let set = file.ops_as::<Epoll>().ok_or(Errno::EINVAL)?;
    let cx = task.cx();
    let waited = task.wait_until(deadline, |_, table| {
        if let Some(table) = table {
            table.add(set.changed());
        }
        let found = set.collect(&cx, max as usize);
        (!found.is_empty()).then_some(found)
    });
    match waited {
        Ok(found) => {
            for (i, event) in found.iter().enumerate() {
                events.offset(i as u64).write(task, event)?;
            }
            Ok(found.len())
        }
        Err(WaitError::TimedOut) => Ok(0),
        // Never restarted: signal(7).
        Err(WaitError::Interrupted) => Err(Errno::EINTR),
    }
}

fn masked_wait(
    task: &mut CurrentTask,
    epfd: i32,
    events: UserPtr<EpollEvent>,
    max: i32,
    deadline: Option<Instant>,
    mask: UserPtr<SigSet>,
    size: usize,
) -> Result<usize> {
    super::poll::temporary_mask(task, mask, size)?;
    let result = wait(task, epfd, events, max, deadline);
    if result != Err(Errno::EINTR) {
        task.end_temporary_mask();
    }
    result
}

pub(super) fn sys_epoll_pwait(
    task: &mut CurrentTask,
    epfd: i32,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
    mask: UserPtr<SigSet>,
    size: usize,
) -> Result<usize> {
    let deadline = u64::try_from(timeout)
        .ok()
        .map(|ms| instant_after(ms * 1_000_000));
    masked_wait(task, epfd, events, max, deadline, mask, size)
}

pub(super) fn sys_epoll_pwait2(
    task: &mut CurrentTask,
    epfd: i32,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<SigSet>,
    size: usize,
) -> Result<usize> {
    let timeout = timeout.read_opt(task)?;
    let deadline = timeout
        .map(|ts| timespec_ns(&ts).map(instant_after))
        .transpose()?;
    masked_wait(task, epfd, events, max, deadline, mask, size)
}
