//! splice(2), tee(2), vmsplice(2). Data are copied; there are no pages to move.

use super::{Flags, UserPtr};
use crate::{pipe::PipeEnd, task::CurrentTask};
use std::sync::Arc;
use tuxlet_mem::{IoRead, IoWrite, UserReader, UserWriter};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{OpenFlags, SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK},
    signal::Signal,
};
use tuxlet_vfs::{Events, File};

const KNOWN: u32 = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
/// Bytes moved in one call at most.
const CHUNK: usize = 64 << 10;

fn is_pipe(file: &File) -> bool {
    file.ops_as::<PipeEnd>().is_some()
}

/// A position given by pointer; pipes have none.
fn position(task: &CurrentTask, file: &File, at: UserPtr<i64>) -> Result<Option<u64>> {
    let Some(pos) = at.read_opt(task)? else {
        return Ok(None);
    };
    if !file.ops().seekable() {
        return Err(Errno::EINVAL);
    }
    u64::try_from(pos).map(Some).map_err(|_| Errno::EINVAL)
}

impl CurrentTask {
    /// Waits until a pipe has room for at least something, so that what is read from elsewhere can be stored.
    fn wait_for_room(&mut self, to: &Arc<File>, nonblock: bool) -> Result<usize> {
        let waiting = Arc::clone(to);
        self.block_on_file(to, Events::WRITABLE, nonblock, None, |_| {
            let pipe = waiting.ops_as::<PipeEnd>().ok_or(Errno::EINVAL)?;
            match pipe.room()? {
                0 => Err(Errno::EAGAIN),
                room => Ok(room),
            }
        })
    }

    /// Writes all of `data`, blocking if need be; how much was written.
    fn write_kernel(&mut self, to: &Arc<File>, mut pos: Option<u64>, data: &[u8]) -> Result<usize> {
        let cx = self.cx();
        let mut rest = data;
        while !rest.is_empty() {
            let left = rest;
            let written = self.block_on_file(to, Events::WRITABLE, false, None, |_| {
                let mut from = left;
                match pos {
                    Some(pos) => to.pwrite(&cx, pos, &mut from as &mut dyn IoRead, false),
                    None => to.write(&cx, &mut from as &mut dyn IoRead),
                }
            });
            match written {
                Ok(n) => {
                    rest = &rest[n..];
                    pos = pos.map(|p| p + n as u64);
                }
                Err(_) if rest.len() < data.len() => break,
                Err(errno) => {
                    if errno == Errno::EPIPE {
                        self.send_self(Signal::SIGPIPE);
                    }
                    return Err(errno);
                }
            }
        }
        Ok(data.len() - rest.len())
    }
}

pub(super) fn sys_splice(
    task: &mut CurrentTask,
    fd_in: i32,
    off_in: UserPtr<i64>,
    fd_out: i32,
    off_out: UserPtr<i64>,
    len: u64,
    flags: Flags,
) -> Result<usize> {
    if len == 0 {
        return Ok(0);
    }
    flags.only(KNOWN)?;
    let from = task.fds.get(fd_in)?;
    let to = task.fds.get(fd_out)?;
    check_splice(&from, !off_in.is_null(), &to, !off_out.is_null())?;
    let in_pos = position(task, &from, off_in)?;
    let out_pos = position(task, &to, off_out)?;
    let nonblock = flags.has(SPLICE_F_NONBLOCK);
    let written = splice(task, (&from, in_pos), (&to, out_pos), len, nonblock)?;
    if let Some(pos) = in_pos {
        off_in.write(task, &(pos + written as u64).cast_signed())?;
    }
    if let Some(pos) = out_pos {
        off_out.write(task, &(pos + written as u64).cast_signed())?;
    }
    Ok(written)
}

/// Whether data can go from one file to another, at given positions or their own. `EBADF`, `ESPIPE`, `EINVAL`.
pub(super) fn check_splice(from: &File, from_at: bool, to: &File, to_at: bool) -> Result<()> {
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    if (is_pipe(from) && from_at) || (is_pipe(to) && to_at) {
        return Err(Errno::ESPIPE);
    }
    let wrong = (!is_pipe(from) && !is_pipe(to))
        || same_pipe(from, to)
        || to.flags().contains(OpenFlags::APPEND);
    if wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Moves data between files that [`check_splice`] has looked at.
pub(super) fn splice(
    task: &mut CurrentTask,
    (from, in_pos): (&Arc<File>, Option<u64>),
    (to, out_pos): (&Arc<File>, Option<u64>),
    len: u64,
    nonblock: bool,
) -> Result<usize> {
    let mut want = usize::try_from(len).unwrap_or(CHUNK).min(CHUNK);
    if is_pipe(to) {
        // Nothing may be taken that cannot be stored.
        want = want.min(task.wait_for_room(to, nonblock || to.nonblocking())?);
    }
    let mut buffer = vec![0; want];
    let cx = task.cx();
    let dont_wait = from.nonblocking() || (nonblock && is_pipe(from));
    let n = task.block_on_file(from, Events::READABLE, dont_wait, None, |_| {
        let mut space = &mut buffer[..];
        match in_pos {
            Some(pos) => from.pread(&cx, pos, &mut space as &mut dyn IoWrite),
            None => from.read(&cx, &mut space as &mut dyn IoWrite),
        }
    })?;
    task.write_kernel(to, out_pos, &buffer[..n])
}

fn same_pipe(a: &File, b: &File) -> bool {
    match (a.ops_as::<PipeEnd>(), b.ops_as::<PipeEnd>()) {
        (Some(a), Some(b)) => a.same_pipe(b),
        _ => false,
    }
}

pub(super) fn sys_tee(
    task: &mut CurrentTask,
    fd_in: i32,
    fd_out: i32,
    len: u64,
    flags: Flags,
) -> Result<usize> {
    flags.only(KNOWN)?;
    if len == 0 {
        return Ok(0);
    }
    let from = task.fds.get(fd_in)?;
    let to = task.fds.get(fd_out)?;
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    tee(task, &from, &to, len, flags.has(SPLICE_F_NONBLOCK))
}

/// Copies from one pipe to another, which are both open in the right way.
pub(super) fn tee(
    task: &mut CurrentTask,
    from: &Arc<File>,
    to: &Arc<File>,
    len: u64,
    nonblock: bool,
) -> Result<usize> {
    if !is_pipe(from) || !is_pipe(to) || same_pipe(from, to) {
        return Err(Errno::EINVAL);
    }
    let room = task.wait_for_room(to, nonblock || to.nonblocking())?;
    let want = usize::try_from(len).unwrap_or(CHUNK).min(CHUNK).min(room);
    let source = Arc::clone(from);
    let data = task.block_on_file(
        from,
        Events::READABLE,
        nonblock || from.nonblocking(),
        None,
        |_| source.ops_as::<PipeEnd>().ok_or(Errno::EINVAL)?.peek(want),
    )?;
    task.write_kernel(to, None, &data)
}

pub(super) fn sys_vmsplice(
    task: &mut CurrentTask,
    fd: i32,
    array: u64,
    count: usize,
    flags: Flags,
) -> Result<usize> {
    flags.only(KNOWN)?;
    let file = task.fds.get(fd)?;
    if !is_pipe(&file) {
        return Err(Errno::EBADF);
    }
    let buffers = task.mm.space.read_iovec(array, count)?;
    let space = Arc::clone(&task.mm.space);
    let nonblock = flags.has(SPLICE_F_NONBLOCK) || file.nonblocking();
    if file.writable() {
        let mut from = UserReader::vectored(&space, &buffers);
        let mut done = 0;
        while from.remaining() > 0 {
            let room = match task.wait_for_room(&file, nonblock) {
                Ok(room) => room,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            };
            let mut chunk = vec![0; room.min(CHUNK).min(from.remaining())];
            let n = match from.read_into(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            };
            done += task.write_kernel(&file, None, &chunk[..n])?;
        }
        return Ok(done);
    }
    let cx = task.cx();
    task.block_on_file(&file, Events::READABLE, nonblock, None, |_| {
        let mut to = UserWriter::vectored(&space, &buffers);
        file.read(&cx, &mut to)
    })
}
