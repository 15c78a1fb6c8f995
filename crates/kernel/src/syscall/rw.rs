//! read(2), write(2), their vector and positional forms, lseek(2), sendfile(2), copy_file_range(2).

use super::{Flags, UserPtr, socket::deadline};
use crate::{task::CurrentTask, tty::SlaveFile};
use std::sync::Arc;
use tuxlet_mem::{IoRead, IoVec, IoWrite, TASK_SIZE, UserReader, UserWriter};
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::Signal,
};
use tuxlet_vfs::{Events, File, SocketOps};

/// Longest transfer of one call: `MAX_RW_COUNT`.
const MAX_RW_COUNT: u64 = 0x7fff_f000;
/// `RWF_HIPRI`, `RWF_DSYNC`, `RWF_SYNC`: accepted; the data is written through anyway or by the next fsync.
pub(super) const RWF_SYNC_FLAGS: u32 = 1 | 2 | 4;
/// `RWF_NOWAIT`.
pub(super) const RWF_NOWAIT: u32 = 8;
/// `RWF_APPEND`.
pub(super) const RWF_APPEND: u32 = 16;
/// Bytes that sendfile(2) moves in one step.
const COPY_CHUNK: usize = 64 << 10;

impl CurrentTask {
    pub(super) fn do_read(
        &mut self,
        file: &Arc<File>,
        offset: Option<u64>,
        buffers: &[IoVec],
        nowait: bool,
    ) -> Result<usize> {
        let cx = self.cx();
        let space = Arc::clone(&self.mm.space);
        let nonblock = nowait || file.nonblocking();
        let limit = deadline(file.ops().as_socket().and_then(SocketOps::recv_timeout));
        let read = |_: &mut Self| {
            let mut to = UserWriter::vectored(&space, buffers);
            match offset {
                Some(offset) => file.pread(&cx, offset, &mut to),
                None => file.read(&cx, &mut to),
            }
        };
        let result = if file.ops_as::<SlaveFile>().is_some() {
            self.block_on_terminal(file, nonblock, read)
        } else {
            self.block_on_file(file, Events::READABLE, nonblock, limit, read)
        };
        self.task.io.read(result.unwrap_or(0));
        result
    }

    pub(super) fn do_write(
        &mut self,
        file: &Arc<File>,
        offset: Option<u64>,
        buffers: &[IoVec],
        nowait: bool,
        append: bool,
    ) -> Result<usize> {
        let cx = self.cx();
        let space = Arc::clone(&self.mm.space);
        let nonblock = nowait || file.nonblocking();
        let mut from = UserReader::vectored(&space, buffers);
        let mut written = 0;
        let limit = deadline(file.ops().as_socket().and_then(SocketOps::send_timeout));
        let result = self.block_on_file(file, Events::WRITABLE, nonblock, limit, |_| {
            // A pipe, terminal or stream takes everything before write(2) returns, and may do so in pieces:
            // only EAGAIN says that it is full.
            loop {
                let n = match offset {
                    Some(offset) => file.pwrite(&cx, offset, &mut from, append)?,
                    None => file.write(&cx, &mut from)?,
                };
                written += n;
                if n == 0 || from.remaining() == 0 || file.ops().seekable() {
                    return Ok(());
                }
            }
        });
        self.task.io.written(written);
        match result {
            Ok(()) => Ok(written),
            Err(_) if written > 0 => Ok(written),
            Err(errno) => {
                if errno == Errno::EPIPE {
                    self.send_self(Signal::SIGPIPE);
                }
                self.size_limited(Err(errno))
            }
        }
    }

    /// Sends SIGXFSZ where RLIMIT_FSIZE has stopped a change: setrlimit(2).
    pub(super) fn size_limited<T>(&mut self, result: Result<T>) -> Result<T> {
        if matches!(result, Err(Errno::EFBIG)) && self.cx().fsize_limit != u64::MAX {
            self.send_self(Signal::SIGXFSZ);
        }
        result
    }
}

/// A single buffer; one that does not lie in user space is refused at once.
pub(super) fn one_buffer(base: u64, len: u64) -> Result<[IoVec; 1]> {
    let end = base.checked_add(len);
    if end.is_none_or(|e| e > TASK_SIZE) {
        return Err(Errno::EFAULT);
    }
    Ok([IoVec {
        base,
        len: len.min(MAX_RW_COUNT),
    }])
}

pub(super) fn sys_read(task: &mut CurrentTask, fd: i32, buf: u64, len: u64) -> Result<usize> {
    let file = task.fds.get(fd)?;
    task.do_read(&file, None, &one_buffer(buf, len)?, false)
}

pub(super) fn sys_write(task: &mut CurrentTask, fd: i32, buf: u64, len: u64) -> Result<usize> {
    let file = task.fds.get(fd)?;
    task.do_write(&file, None, &one_buffer(buf, len)?, false, false)
}

pub(super) fn sys_readv(
    task: &mut CurrentTask,
    fd: i32,
    array: u64,
    count: usize,
) -> Result<usize> {
    let file = task.fds.get(fd)?;
    let buffers = task.mm.space.read_iovec(array, count)?;
    task.do_read(&file, None, &buffers, false)
}

pub(super) fn sys_writev(
    task: &mut CurrentTask,
    fd: i32,
    array: u64,
    count: usize,
) -> Result<usize> {
    let file = task.fds.get(fd)?;
    let buffers = task.mm.space.read_iovec(array, count)?;
    task.do_write(&file, None, &buffers, false, false)
}

fn offset(raw: i64) -> Result<Option<u64>> {
    u64::try_from(raw).map(Some).map_err(|_| Errno::EINVAL)
}

pub(super) fn sys_pread64(
    task: &mut CurrentTask,
    fd: i32,
    buf: u64,
    len: u64,
    pos: i64,
) -> Result<usize> {
    let pos = offset(pos)?;
    let file = task.fds.get(fd)?;
    task.do_read(&file, pos, &one_buffer(buf, len)?, false)
}

pub(super) fn sys_pwrite64(
    task: &mut CurrentTask,
    fd: i32,
    buf: u64,
    len: u64,
    pos: i64,
) -> Result<usize> {
    let pos = offset(pos)?;
    let file = task.fds.get(fd)?;
    task.do_write(&file, pos, &one_buffer(buf, len)?, false, false)
}

pub(super) fn sys_preadv(
    task: &mut CurrentTask,
    fd: i32,
    array: u64,
    count: usize,
    pos: i64,
) -> Result<usize> {
    let pos = offset(pos)?;
    let file = task.fds.get(fd)?;
    let buffers = task.mm.space.read_iovec(array, count)?;
    task.do_read(&file, pos, &buffers, false)
}

pub(super) fn sys_pwritev(
    task: &mut CurrentTask,
    fd: i32,
    array: u64,
    count: usize,
    pos: i64,
) -> Result<usize> {
    let pos = offset(pos)?;
    let file = task.fds.get(fd)?;
    let buffers = task.mm.space.read_iovec(array, count)?;
    task.do_write(&file, pos, &buffers, false, false)
}

pub(super) fn sys_preadv2(
    task: &mut CurrentTask,
    fd: i32,
    array: u64,
    count: usize,
    pos: i64,
    _high: u64,
    flags: Flags,
) -> Result<usize> {
    let flags = flags.0;
    let file = task.fds.get(fd)?;
    let buffers = task.mm.space.read_iovec(array, count)?;
    if flags & !(RWF_SYNC_FLAGS | RWF_NOWAIT) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let pos = if pos == -1 { None } else { offset(pos)? };
    task.do_read(&file, pos, &buffers, flags & RWF_NOWAIT != 0)
}

pub(super) fn sys_pwritev2(
    task: &mut CurrentTask,
    fd: i32,
    array: u64,
    count: usize,
    pos: i64,
    _high: u64,
    flags: Flags,
) -> Result<usize> {
    let flags = flags.0;
    let file = task.fds.get(fd)?;
    let buffers = task.mm.space.read_iovec(array, count)?;
    if flags & !(RWF_SYNC_FLAGS | RWF_NOWAIT | RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let pos = if pos == -1 { None } else { offset(pos)? };
    task.do_write(
        &file,
        pos,
        &buffers,
        flags & RWF_NOWAIT != 0,
        flags & RWF_APPEND != 0,
    )
}

pub(super) fn sys_lseek(task: &mut CurrentTask, fd: i32, offset: i64, whence: u32) -> Result<u64> {
    task.fds.get(fd)?.seek(&task.cx(), offset, whence)
}

/// Moves bytes between two files inside the kernel. A position that is given is used instead of the file's.
fn copy(
    task: &mut CurrentTask,
    from: &Arc<File>,
    mut from_pos: Option<u64>,
    to: &Arc<File>,
    mut to_pos: Option<u64>,
    len: u64,
) -> Result<(u64, Option<u64>, Option<u64>)> {
    let mut left = len.min(MAX_RW_COUNT);
    let mut copied = 0;
    let mut buffer = vec![0u8; COPY_CHUNK.min(left as usize)];
    while left > 0 {
        let want = buffer.len().min(left as usize);
        let cx = task.cx();
        let read = task.block_on_file(from, Events::READABLE, from.nonblocking(), None, |_| {
            let mut space = &mut buffer[..want];
            match from_pos {
                Some(pos) => from.pread(&cx, pos, &mut space as &mut dyn IoWrite),
                None => from.read(&cx, &mut space as &mut dyn IoWrite),
            }
        });
        let n = match read {
            Ok(0) => break,
            Ok(n) => n,
            Err(_) if copied > 0 => break,
            Err(errno) => return Err(errno),
        };
        let mut data = &buffer[..n];
        while !data.is_empty() {
            let cx = task.cx();
            let written = task.block_on_file(to, Events::WRITABLE, to.nonblocking(), None, |_| {
                let mut rest = data;
                match to_pos {
                    Some(pos) => to.pwrite(&cx, pos, &mut rest as &mut dyn IoRead, false),
                    None => to.write(&cx, &mut rest as &mut dyn IoRead),
                }
            });
            match written {
                Ok(w) => {
                    data = &data[w..];
                    copied += w as u64;
                    to_pos = to_pos.map(|p| p + w as u64);
                    from_pos = from_pos.map(|p| p + w as u64);
                }
                Err(errno) => {
                    // What was read but not written goes back, where the input has a position.
                    if from_pos.is_none() && from.ops().seekable() {
                        from.seek(
                            &task.cx(),
                            -(data.len() as i64),
                            tuxlet_uapi::fcntl::SEEK_CUR,
                        )?;
                    }
                    if errno == Errno::EPIPE {
                        task.send_self(Signal::SIGPIPE);
                    }
                    return if copied > 0 {
                        Ok((copied, from_pos, to_pos))
                    } else {
                        Err(errno)
                    };
                }
            }
        }
        left -= n as u64;
    }
    let moved = [copied, copied, u64::from(copied > 0), u64::from(copied > 0)];
    task.task.io.add(moved);
    Ok((copied, from_pos, to_pos))
}

pub(super) fn sys_sendfile(
    task: &mut CurrentTask,
    out_fd: i32,
    in_fd: i32,
    offset: UserPtr<i64>,
    count: u64,
) -> Result<u64> {
    let from = task.fds.get(in_fd)?;
    let to = task.fds.get(out_fd)?;
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    let pos = match offset.read_opt(task)? {
        Some(pos) if pos < 0 => return Err(Errno::EINVAL),
        Some(_) if !from.ops().seekable() => return Err(Errno::ESPIPE),
        pos => pos.map(i64::cast_unsigned),
    };
    // Copying goes on to the end of the input, which a stream's reader decides on read by read.
    // DEVIATION: Linux takes streams into pipes.
    if !from.ops().seekable() {
        return Err(Errno::EINVAL);
    }
    let (copied, pos, _) = copy(task, &from, pos, &to, None, count)?;
    if let Some(pos) = pos {
        offset.write(task, &pos.cast_signed())?;
    }
    Ok(copied)
}

pub(super) fn sys_copy_file_range(
    task: &mut CurrentTask,
    in_fd: i32,
    in_offset: UserPtr<i64>,
    out_fd: i32,
    out_offset: UserPtr<i64>,
    len: u64,
    flags: Flags,
) -> Result<u64> {
    flags.only(0)?;
    let from = task.fds.get(in_fd)?;
    let to = task.fds.get(out_fd)?;
    let regular = |f: &File| {
        f.inode()
            .is_some_and(|i| i.kind() == tuxlet_vfs::FileType::Regular)
    };
    if [&from, &to].iter().any(|f| {
        f.inode()
            .is_some_and(|i| i.kind() == tuxlet_vfs::FileType::Directory)
    }) {
        return Err(Errno::EISDIR);
    }
    if !regular(&from) || !regular(&to) {
        return Err(Errno::EINVAL);
    }
    if !from.readable()
        || !to.writable()
        || to.flags().contains(tuxlet_uapi::fcntl::OpenFlags::APPEND)
    {
        return Err(Errno::EBADF);
    }
    let position = |p: Option<i64>| match p {
        Some(pos) if pos < 0 => Err(Errno::EINVAL),
        pos => Ok(pos.map(i64::cast_unsigned)),
    };
    let from_pos = position(in_offset.read_opt(task)?)?;
    let to_pos = position(out_offset.read_opt(task)?)?;
    let same = from.inode().map(|i| i.id()) == to.inode().map(|i| i.id());
    if same {
        let (a, b) = (
            from_pos.unwrap_or_else(|| from.pos()),
            to_pos.unwrap_or_else(|| to.pos()),
        );
        if a < b.saturating_add(len) && b < a.saturating_add(len) {
            return Err(Errno::EINVAL);
        }
    }
    let (copied, from_pos, to_pos) = copy(task, &from, from_pos, &to, to_pos, len)?;
    if let Some(pos) = from_pos {
        in_offset.write(task, &pos.cast_signed())?;
    }
    if let Some(pos) = to_pos {
        out_offset.write(task, &pos.cast_signed())?;
    }
    Ok(copied)
}
