//! io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2), io_pgetevents(2). As Linux does for files in
//! the page cache, a request is carried out while it is submitted.

use super::{
    UserPtr,
    poll::temporary_mask,
    rw::{RWF_APPEND, RWF_NOWAIT, RWF_SYNC_FLAGS, one_buffer},
};
use crate::{
    aio::AioContext,
    clock::{instant_after, timespec_ns},
    eventfd::EventFd,
    task::CurrentTask,
    wait::WaitError,
};
use std::{sync::Arc, time::Instant};
use tuxlet_mem::IoVec;
use tuxlet_uapi::{
    aio::{
        IOCB_CMD_FDSYNC, IOCB_CMD_FSYNC, IOCB_CMD_PREAD, IOCB_CMD_PREADV, IOCB_CMD_PWRITE,
        IOCB_CMD_PWRITEV, IOCB_FLAG_IOPRIO, IOCB_FLAG_RESFD, IoEvent, Iocb,
    },
    errno::{Errno, Result},
    signal::SigSet,
    time::Timespec,
};
use tuxlet_vfs::File;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// More requests than this would overflow the ring's size.
const MAX_EVENTS: u32 = 0x1000_0000 / size_of::<IoEvent>() as u32;

/// `struct __aio_sigset` of io_pgetevents(2).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct AioSigset {
    mask: u64,
    size: u64,
}

pub(super) fn sys_io_setup(
    task: &mut CurrentTask,
    requests: u32,
    context: UserPtr<u64>,
) -> Result<()> {
    if context.read(task)? != 0 || requests == 0 || requests > MAX_EVENTS {
        return Err(Errno::EINVAL);
    }
    let made = task.aio_setup(requests)?;
    context.write(task, &made.id()).inspect_err(|_| {
        // It was just made.
        let _ = task.mm.aio_destroy(made.id());
    })
}

pub(super) fn sys_io_destroy(task: &mut CurrentTask, context: u64) -> Result<()> {
    task.mm.aio_destroy(context)
}

pub(super) fn sys_io_submit(
    task: &mut CurrentTask,
    context: u64,
    count: i64,
    requests: UserPtr<u64>,
) -> Result<u64> {
    let count = u64::try_from(count).map_err(|_| Errno::EINVAL)?;
    let context = task.mm.aio_context(context)?;
    let count = count.min(context.capacity().into());
    for done in 0..count {
        let submitted = requests
            .offset(done)
            .read(task)
            .and_then(|at| submit(task, &context, at));
        match submitted {
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done),
            Ok(()) => {}
        }
    }
    Ok(count)
}

/// Carries out a request. An error is one of the request itself; what the operation gave is its result.
fn submit(task: &mut CurrentTask, context: &AioContext, at: u64) -> Result<()> {
    let pointer = UserPtr::<Iocb>::new(at);
    let mut request = pointer.read(task)?;
    if request.aio_reserved2 != 0 || i64::try_from(request.aio_nbytes).is_err() {
        return Err(Errno::EINVAL);
    }
    let space = Arc::clone(&task.mm.space);
    if context.is_full(&space)? {
        return Err(Errno::EAGAIN);
    }
    let file = task.fds.get(request.aio_fildes.cast_signed())?;
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    let tell = if request.aio_flags & IOCB_FLAG_RESFD != 0 {
        let counter = task.fds.get(request.aio_resfd.cast_signed())?;
        counter.ops_as::<EventFd>().ok_or(Errno::EINVAL)?;
        Some(counter)
    } else {
        None
    };
    request.aio_key = 0;
    pointer.write(task, &request)?;
    let outcome = perform(task, &file, &request)?;
    let event = IoEvent {
        data: request.aio_data,
        obj: at,
        res: outcome.unwrap_or_else(|errno| -i64::from(interrupted(errno).raw())),
        res2: 0,
    };
    context.finish(&space, &event)?;
    if let Some(counter) = tell.as_ref().and_then(|c| c.ops_as::<EventFd>()) {
        counter.add(1);
    }
    Ok(())
}

/// A request is not started again after a signal.
fn interrupted(errno: Errno) -> Errno {
    if errno.is_restart() {
        Errno::EINTR
    } else {
        errno
    }
}

fn perform(task: &mut CurrentTask, file: &Arc<File>, request: &Iocb) -> Result<Result<i64>> {
    let opcode = request.aio_lio_opcode;
    let sync = matches!(opcode, IOCB_CMD_FSYNC | IOCB_CMD_FDSYNC);
    if sync {
        let unused = request.aio_buf | request.aio_nbytes | request.aio_offset.cast_unsigned();
        if unused != 0 || request.aio_rw_flags != 0 {
            return Err(Errno::EINVAL);
        }
        let done = file.ops().fsync(&task.cx(), opcode == IOCB_CMD_FDSYNC);
        return match done {
            // There is nothing to be written back.
            Err(Errno::EINVAL) => Err(Errno::EINVAL),
            other => Ok(other.map(|()| 0)),
        };
    }
    let reads = matches!(opcode, IOCB_CMD_PREAD | IOCB_CMD_PREADV);
    let writes = matches!(opcode, IOCB_CMD_PWRITE | IOCB_CMD_PWRITEV);
    if !reads && !writes {
        return Err(Errno::EINVAL);
    }
    let flags = request.aio_rw_flags.cast_unsigned();
    let append = if writes { RWF_APPEND } else { 0 };
    if flags & !(RWF_SYNC_FLAGS | RWF_NOWAIT | append) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let nowait = flags & RWF_NOWAIT != 0;
    if request.aio_flags & IOCB_FLAG_IOPRIO != 0 && request.aio_reqprio != 0 {
        // Kept by nobody: the host schedules. Classes 1 to 3 exist.
        let class = request.aio_reqprio.cast_unsigned() >> 13;
        if class > 3 {
            return Err(Errno::EINVAL);
        }
    }
    if (reads && !file.readable()) || (writes && !file.writable()) {
        return Err(Errno::EBADF);
    }
    let buffers: Vec<IoVec> = if matches!(opcode, IOCB_CMD_PREADV | IOCB_CMD_PWRITEV) {
        let count = usize::try_from(request.aio_nbytes).map_err(|_| Errno::EINVAL)?;
        task.mm.space.read_iovec(request.aio_buf, count)?
    } else {
        one_buffer(request.aio_buf, request.aio_nbytes)?.to_vec()
    };
    let offset = if file.ops().seekable() {
        Some(u64::try_from(request.aio_offset).map_err(|_| Errno::EINVAL)?)
    } else {
        None
    };
    let result = if reads {
        task.do_read(file, offset, &buffers, nowait)
    } else {
        task.do_write(file, offset, &buffers, nowait, flags & append != 0)
    };
    Ok(result.map(|n| n as i64))
}

pub(super) fn sys_io_cancel(
    task: &mut CurrentTask,
    context: u64,
    request: UserPtr<Iocb>,
    _result: UserPtr<IoEvent>,
) -> Result<()> {
    if request.read(task)?.aio_key != 0 {
        return Err(Errno::EINVAL);
    }
    task.mm.aio_context(context)?;
    // Every request has been carried out.
    Err(Errno::EINVAL)
}

/// Waits for results; how many there are, and whether a signal ended it.
fn get_events(
    task: &mut CurrentTask,
    context: u64,
    min: i64,
    max: i64,
    events: UserPtr<IoEvent>,
    timeout: Option<Timespec>,
) -> Result<u64> {
    let deadline: Option<Instant> = timeout
        .map(|ts| timespec_ns(&ts).map(instant_after))
        .transpose()?;
    let context = task.mm.aio_context(context)?;
    if min < 0 || min > max {
        return Err(Errno::EINVAL);
    }
    let (min, max) = (min.cast_unsigned(), max.cast_unsigned());
    let mut count = 0u64;
    let space = Arc::clone(&task.mm.space);
    let waited = task.wait_until(deadline, |task, table| {
        if let Some(table) = table {
            table.add(&context.finished);
        }
        let taken = context.take(&space, (max - count) as usize);
        let stored = taken.and_then(|taken| {
            for event in taken {
                events.offset(count).write(task, &event)?;
                count += 1;
            }
            Ok(())
        });
        let gone = || task.mm.aio_context(context.id()).is_err();
        match stored {
            Err(errno) => Some(Err(errno)),
            Ok(()) if count >= min || gone() => Some(Ok(())),
            Ok(()) => None,
        }
    });
    match waited {
        Ok(Err(errno)) if count == 0 => Err(errno),
        Err(WaitError::Interrupted) if count == 0 => Err(Errno::EINTR),
        _ => Ok(count),
    }
}

pub(super) fn sys_io_getevents(
    task: &mut CurrentTask,
    context: u64,
    min: i64,
    max: i64,
    events: UserPtr<IoEvent>,
    timeout: UserPtr<Timespec>,
) -> Result<u64> {
    let timeout = timeout.read_opt(task)?;
    get_events(task, context, min, max, events, timeout)
}

pub(super) fn sys_io_pgetevents(
    task: &mut CurrentTask,
    context: u64,
    min: i64,
    max: i64,
    events: UserPtr<IoEvent>,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<AioSigset>,
) -> Result<u64> {
    let timeout = timeout.read_opt(task)?;
    if let Some(set) = mask.read_opt(task)? {
        temporary_mask(task, UserPtr::<SigSet>::new(set.mask), set.size as usize)?;
    }
    match get_events(task, context, min, max, events, timeout) {
        Err(Errno::EINTR) => Err(Errno::ERESTARTNOHAND),
        other => {
            task.end_temporary_mask();
            other
        }
    }
}
