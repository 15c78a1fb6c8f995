//! What is checked and read when a request is submitted.

use super::super::{
    Flags, UserPath, UserPtr,
    dir::LINK_FLAGS,
    open::{open_how, read_how},
    rw::one_buffer,
    socket::read_address,
    sockmsg::{read_buffers, read_message},
    stat::{check_statx, statx_path},
};
use crate::{
    clock::timespec_ns,
    io_uring::{Moment, Prepared, Ring},
    task::CurrentTask,
};
use tuxlet_mem::IoVec;
use tuxlet_uapi::{
    epoll::{EPOLL_CTL_DEL, EpollEvent},
    errno::{Errno, Result},
    fcntl::{
        AT_REMOVEDIR, O_CLOEXEC, SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK,
    },
    io_uring::*,
    socket::{Msghdr, SOCK_CLOEXEC, SOCK_NONBLOCK},
    time::Timespec,
};

/// Flags of a submission that are known.
const SQE_FLAGS: u8 = IOSQE_FIXED_FILE
    | IOSQE_IO_DRAIN
    | IOSQE_IO_LINK
    | IOSQE_IO_HARDLINK
    | IOSQE_ASYNC
    | IOSQE_BUFFER_SELECT
    | IOSQE_CQE_SKIP_SUCCESS;
const TIMEOUT_CLOCKS: u32 = IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME;
const SPLICE_FLAGS: u32 = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
const SOCKET_FLAGS: u32 = SOCK_CLOEXEC | SOCK_NONBLOCK;
/// Most buffers of a group.
const MAX_BUFFERS: i32 = 1 << 16;
/// Highest operation that exists.
pub(super) const LAST_OP: u8 = IORING_OP_FTRUNCATE;

/// Whether an operation is there.
pub(super) fn is_known(op: u8) -> bool {
    op <= IORING_OP_LINKAT || op == IORING_OP_SOCKET || op == IORING_OP_FTRUNCATE
}

fn takes_priority(op: u8) -> bool {
    moves_data(op)
        || matches!(
            op,
            IORING_OP_ACCEPT
                | IORING_OP_SEND
                | IORING_OP_RECV
                | IORING_OP_SENDMSG
                | IORING_OP_RECVMSG
        )
}

/// Whether it is one of the reads and writes.
pub(super) fn moves_data(op: u8) -> bool {
    matches!(
        op,
        IORING_OP_READV
            | IORING_OP_WRITEV
            | IORING_OP_READ_FIXED
            | IORING_OP_WRITE_FIXED
            | IORING_OP_READ
            | IORING_OP_WRITE
    )
}

/// `EINVAL` unless all of the fields are zero.
fn unused<const N: usize>(fields: [u64; N]) -> Result<()> {
    if fields == [0; N] {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Checks a submission and reads what it refers to.
pub(super) fn prepare(task: &CurrentTask, ring: &Ring, sqe: &IoUringSqe) -> Result<Prepared> {
    let op = sqe.opcode;
    if !is_known(op) || sqe.flags & !SQE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if sqe.flags & IOSQE_BUFFER_SELECT != 0 && !matches!(op, IORING_OP_READ | IORING_OP_RECV) {
        return Err(Errno::EOPNOTSUPP);
    }
    if sqe.ioprio != 0 && !takes_priority(op) {
        return Err(Errno::EINVAL);
    }
    let at = Fields::of(sqe);
    match op {
        IORING_OP_NOP => Ok(Prepared::None),
        op if moves_data(op) => data(task, ring, sqe),
        IORING_OP_SENDMSG | IORING_OP_RECVMSG | IORING_OP_SEND | IORING_OP_RECV
        | IORING_OP_ACCEPT | IORING_OP_CONNECT | IORING_OP_SHUTDOWN | IORING_OP_SOCKET => {
            socket(task, sqe, &at)
        }
        IORING_OP_OPENAT | IORING_OP_OPENAT2 | IORING_OP_STATX | IORING_OP_RENAMEAT
        | IORING_OP_UNLINKAT | IORING_OP_MKDIRAT | IORING_OP_SYMLINKAT | IORING_OP_LINKAT => {
            if sqe.flags & IOSQE_FIXED_FILE != 0 {
                return Err(Errno::EBADF);
            }
            name(task, sqe, &at)
        }
        IORING_OP_TIMEOUT | IORING_OP_LINK_TIMEOUT => {
            unused([at.buf_index, at.file_index, u64::from(sqe.len != 1)])?;
            if op == IORING_OP_LINK_TIMEOUT && sqe.off != 0 {
                return Err(Errno::EINVAL);
            }
            let known = IORING_TIMEOUT_ABS | IORING_TIMEOUT_ETIME_SUCCESS | TIMEOUT_CLOCKS;
            moment(task, sqe.addr, sqe.rw_flags, known).map(Prepared::Time)
        }
        IORING_OP_TIMEOUT_REMOVE => {
            unused([at.buf_index, at.len, at.file_index])?;
            let update = IORING_TIMEOUT_UPDATE | IORING_LINK_TIMEOUT_UPDATE;
            if sqe.rw_flags & update == 0 {
                return unused([at.flags]).map(|()| Prepared::None);
            }
            if sqe.rw_flags & update == update {
                return Err(Errno::EINVAL);
            }
            let known = update | IORING_TIMEOUT_ABS | TIMEOUT_CLOCKS;
            moment(task, sqe.off, sqe.rw_flags, known).map(Prepared::Time)
        }
        _ => other(task, sqe, &at),
    }
}

/// The fields that most operations do not use.
struct Fields {
    off: u64,
    addr: u64,
    len: u64,
    flags: u64,
    buf_index: u64,
    file_index: u64,
}

impl Fields {
    fn of(sqe: &IoUringSqe) -> Self {
        Self {
            off: sqe.off,
            addr: sqe.addr,
            len: sqe.len.into(),
            flags: sqe.rw_flags.into(),
            buf_index: sqe.buf_index.into(),
            file_index: sqe.file_index.into(),
        }
    }
}

/// The time that a timeout waits for.
fn moment(task: &CurrentTask, addr: u64, flags: u32, known: u32) -> Result<Moment> {
    if flags & !known != 0 || flags & TIMEOUT_CLOCKS == TIMEOUT_CLOCKS {
        return Err(Errno::EINVAL);
    }
    let ns = timespec_ns(&UserPtr::<Timespec>::new(addr).read(task)?)?;
    let clock = &task.kernel.clock;
    Ok(match flags & TIMEOUT_CLOCKS {
        _ if flags & IORING_TIMEOUT_ABS == 0 => Moment::After(ns),
        IORING_TIMEOUT_REALTIME => Moment::Realtime(i64::try_from(ns).unwrap_or(i64::MAX)),
        IORING_TIMEOUT_BOOTTIME => {
            let ahead = task.ns.time.to_host(tuxlet_uapi::time::CLOCK_BOOTTIME, ns);
            Moment::At(crate::clock::instant_after(
                ahead.saturating_sub(clock.boottime_ns()),
            ))
        }
        _ => {
            let shown = task.ns.time.to_host(tuxlet_uapi::time::CLOCK_MONOTONIC, ns);
            Moment::At(clock.monotonic_instant(shown))
        }
    })
}

fn data(task: &CurrentTask, ring: &Ring, sqe: &IoUringSqe) -> Result<Prepared> {
    // Kept by nobody: the host schedules. Classes 1 to 3 exist.
    if sqe.ioprio >> 13 > 3 {
        return Err(Errno::EINVAL);
    }
    let buffers = match sqe.opcode {
        IORING_OP_READV | IORING_OP_WRITEV => {
            task.mm.space.read_iovec(sqe.addr, sqe.len as usize)?
        }
        IORING_OP_READ_FIXED | IORING_OP_WRITE_FIXED => {
            vec![fixed_buffer(ring, sqe)?]
        }
        _ if sqe.flags & IOSQE_BUFFER_SELECT != 0 => Vec::new(),
        _ => one_buffer(sqe.addr, sqe.len.into())?.to_vec(),
    };
    Ok(Prepared::Buffers(buffers))
}

/// A part of a registered buffer. `EFAULT` outside.
fn fixed_buffer(ring: &Ring, sqe: &IoUringSqe) -> Result<IoVec> {
    let whole = ring.with(|state| {
        let all = state.buffers.as_ref()?;
        all.get(usize::from(sqe.buf_index)).copied()
    });
    let whole = whole.ok_or(Errno::EFAULT)?;
    let end = sqe.addr.checked_add(sqe.len.into()).ok_or(Errno::EFAULT)?;
    if sqe.addr < whole.base || end > whole.base.saturating_add(whole.len) {
        return Err(Errno::EFAULT);
    }
    Ok(IoVec {
        base: sqe.addr,
        len: sqe.len.into(),
    })
}

fn socket(task: &CurrentTask, sqe: &IoUringSqe, at: &Fields) -> Result<Prepared> {
    let allowed = match sqe.opcode {
        IORING_OP_ACCEPT => IORING_ACCEPT_MULTISHOT,
        IORING_OP_RECV => IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT,
        IORING_OP_SEND | IORING_OP_SENDMSG | IORING_OP_RECVMSG => IORING_RECVSEND_POLL_FIRST,
        _ => 0,
    };
    if sqe.ioprio & !allowed != 0 {
        return Err(Errno::EINVAL);
    }
    match sqe.opcode {
        IORING_OP_SENDMSG => {
            unused([at.off, at.file_index])?;
            let header = UserPtr::<Msghdr>::new(sqe.addr).read(task)?;
            let (name, iov, control) = read_message(task, &header)?;
            Ok(Prepared::Send(name, iov, control))
        }
        IORING_OP_RECVMSG => {
            unused([at.off, at.file_index])?;
            let header = UserPtr::<Msghdr>::new(sqe.addr).read(task)?;
            let iov = read_buffers(task, &header)?;
            Ok(Prepared::Receive(header, iov))
        }
        IORING_OP_SEND => {
            let len = sqe.file_index & 0xffff;
            if sqe.off == 0 {
                return unused([at.file_index]).map(|()| Prepared::None);
            }
            read_address(task, sqe.off, len.cast_signed()).map(Prepared::Address)
        }
        IORING_OP_RECV => {
            unused([at.off, at.file_index])?;
            let multi = sqe.ioprio & IORING_RECV_MULTISHOT != 0;
            let selects = sqe.flags & IOSQE_BUFFER_SELECT != 0;
            let waits = sqe.rw_flags & tuxlet_uapi::socket::MSG_WAITALL != 0;
            if multi && (!selects || waits) {
                return Err(Errno::EINVAL);
            }
            Ok(Prepared::None)
        }
        IORING_OP_ACCEPT => {
            unused([at.len, at.buf_index])?;
            let multi = sqe.ioprio & IORING_ACCEPT_MULTISHOT != 0;
            let slot = sqe.file_index;
            let wrong = sqe.rw_flags & !SOCKET_FLAGS != 0
                || (slot != 0 && sqe.rw_flags & SOCK_CLOEXEC != 0)
                || (multi && slot != 0 && slot != IORING_FILE_INDEX_ALLOC);
            if wrong {
                return Err(Errno::EINVAL);
            }
            Ok(Prepared::None)
        }
        IORING_OP_CONNECT => {
            unused([at.len, at.buf_index, at.flags, at.file_index])?;
            let len = i32::try_from(sqe.off).map_err(|_| Errno::EINVAL)?;
            read_address(task, sqe.addr, len).map(Prepared::Address)
        }
        IORING_OP_SHUTDOWN => {
            unused([at.off, at.addr, at.flags, at.buf_index, at.file_index])?;
            Ok(Prepared::None)
        }
        _ => {
            unused([at.addr, at.flags, at.buf_index])?;
            let flags = sqe.off as u32 & !tuxlet_uapi::socket::SOCK_TYPE_MASK;
            if flags & !SOCKET_FLAGS != 0 || (sqe.file_index != 0 && flags & SOCK_CLOEXEC != 0) {
                return Err(Errno::EINVAL);
            }
            Ok(Prepared::None)
        }
    }
}

fn name(task: &CurrentTask, sqe: &IoUringSqe, at: &Fields) -> Result<Prepared> {
    let path = |addr: u64| UserPath::new(addr).read(task);
    match sqe.opcode {
        IORING_OP_OPENAT | IORING_OP_OPENAT2 => {
            unused([at.buf_index])?;
            let how = if sqe.opcode == IORING_OP_OPENAT {
                open_how(sqe.rw_flags, sqe.len)
            } else {
                read_how(task, UserPtr::new(sqe.off), sqe.len as usize)?
            };
            let name = path(sqe.addr)?;
            if sqe.file_index != 0 && how.flags.bits() & O_CLOEXEC != 0 {
                return Err(Errno::EINVAL);
            }
            Ok(Prepared::Open(name, how))
        }
        IORING_OP_STATX => {
            unused([at.buf_index, at.file_index])?;
            let flags = Flags(sqe.rw_flags);
            let name = statx_path(task, UserPath::new(sqe.addr), flags)?;
            Ok(Prepared::Paths(name, Vec::new()))
        }
        IORING_OP_RENAMEAT | IORING_OP_LINKAT => {
            unused([at.buf_index, at.file_index])?;
            if sqe.opcode == IORING_OP_LINKAT {
                Flags(sqe.rw_flags).only(LINK_FLAGS)?;
            }
            Ok(Prepared::Paths(path(sqe.addr)?, path(sqe.off)?))
        }
        IORING_OP_UNLINKAT => {
            unused([at.off, at.len, at.buf_index, at.file_index])?;
            Flags(sqe.rw_flags).only(AT_REMOVEDIR)?;
            Ok(Prepared::Paths(path(sqe.addr)?, Vec::new()))
        }
        IORING_OP_MKDIRAT => {
            unused([at.off, at.flags, at.buf_index, at.file_index])?;
            Ok(Prepared::Paths(path(sqe.addr)?, Vec::new()))
        }
        _ => {
            unused([at.len, at.flags, at.buf_index, at.file_index])?;
            Ok(Prepared::Paths(path(sqe.addr)?, path(sqe.off)?))
        }
    }
}

fn other(task: &CurrentTask, sqe: &IoUringSqe, at: &Fields) -> Result<Prepared> {
    match sqe.opcode {
        IORING_OP_FSYNC => {
            unused([at.addr, at.buf_index, at.file_index])?;
            Flags(sqe.rw_flags).only(IORING_FSYNC_DATASYNC)?;
        }
        IORING_OP_SYNC_FILE_RANGE => unused([at.addr, at.buf_index, at.file_index])?,
        IORING_OP_POLL_ADD => {
            unused([at.off, at.addr, at.buf_index])?;
            Flags(sqe.len).only(IORING_POLL_ADD_MULTI)?;
            let multi = sqe.len & IORING_POLL_ADD_MULTI != 0;
            if multi && sqe.flags & IOSQE_CQE_SKIP_SUCCESS != 0 {
                return Err(Errno::EINVAL);
            }
        }
        IORING_OP_POLL_REMOVE => {
            unused([at.buf_index, at.file_index])?;
            let update = IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA;
            Flags(sqe.len).only(update | IORING_POLL_ADD_MULTI)?;
            let without = |bit, field: u64| sqe.len & bit == 0 && field != 0;
            if sqe.len == IORING_POLL_ADD_MULTI
                || without(IORING_POLL_UPDATE_USER_DATA, at.off)
                || without(IORING_POLL_UPDATE_EVENTS, at.flags)
            {
                return Err(Errno::EINVAL);
            }
        }
        IORING_OP_ASYNC_CANCEL => {
            unused([at.off, at.file_index])?;
            let flags = Flags(sqe.rw_flags);
            let files = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_FD_FIXED;
            flags.only(IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY | files)?;
            if flags.has(files) && flags.has(IORING_ASYNC_CANCEL_ANY) {
                return Err(Errno::EINVAL);
            }
        }
        IORING_OP_FALLOCATE => unused([at.buf_index, at.flags, at.file_index])?,
        IORING_OP_CLOSE => {
            unused([at.off, at.addr, at.len, at.flags, at.buf_index])?;
            if sqe.flags & IOSQE_FIXED_FILE != 0 {
                return Err(Errno::EBADF);
            }
            if sqe.file_index != 0 && sqe.fd != 0 {
                return Err(Errno::EINVAL);
            }
        }
        IORING_OP_FILES_UPDATE => {
            unused([at.flags, at.file_index])?;
            if sqe.flags & IOSQE_FIXED_FILE != 0 || sqe.len == 0 {
                return Err(Errno::EINVAL);
            }
            let fds = UserPtr::<i32>::new(sqe.addr).read_vec(task, sqe.len as usize)?;
            return Ok(Prepared::Files(fds));
        }
        IORING_OP_FADVISE => unused([at.buf_index, at.file_index])?,
        IORING_OP_MADVISE => unused([at.buf_index, at.off, at.file_index])?,
        IORING_OP_EPOLL_CTL => {
            unused([at.buf_index, at.file_index])?;
            let event = if sqe.len == EPOLL_CTL_DEL {
                EpollEvent::default()
            } else {
                UserPtr::<EpollEvent>::new(sqe.addr).read(task)?
            };
            return Ok(Prepared::Event(event));
        }
        IORING_OP_SPLICE => {
            Flags(sqe.rw_flags).only(SPLICE_FLAGS | SPLICE_F_FD_IN_FIXED)?;
        }
        IORING_OP_TEE => {
            unused([at.addr, at.off])?;
            Flags(sqe.rw_flags).only(SPLICE_FLAGS | SPLICE_F_FD_IN_FIXED)?;
        }
        IORING_OP_PROVIDE_BUFFERS => {
            unused([at.flags, at.file_index])?;
            if !(1..=MAX_BUFFERS).contains(&sqe.fd) {
                return Err(Errno::E2BIG);
            }
            let count = u64::from(sqe.fd.cast_unsigned());
            if sqe.len == 0 || sqe.off > 0xffff || sqe.off + count > 1 << 16 {
                return Err(Errno::EINVAL);
            }
            one_buffer(sqe.addr, count * u64::from(sqe.len))?;
        }
        IORING_OP_REMOVE_BUFFERS => {
            unused([at.flags, at.addr, at.len, at.off, at.file_index])?;
            if !(1..=MAX_BUFFERS).contains(&sqe.fd) {
                return Err(Errno::EINVAL);
            }
        }
        IORING_OP_FTRUNCATE => {
            let fields = [
                at.addr,
                at.len,
                at.flags,
                at.buf_index,
                at.file_index,
                sqe.addr3,
            ];
            unused(fields)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(Prepared::None)
}

/// The checks of statx(2), which Linux makes when the request runs.
pub(super) fn late_statx(sqe: &IoUringSqe) -> Result<()> {
    check_statx(Flags(sqe.rw_flags), sqe.len)
}
