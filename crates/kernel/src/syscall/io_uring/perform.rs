//! What requests do: each operation is the system call of its name, done without waiting.

use super::{
    super::{
        Flags, UserPtr,
        dir::{linkat, mkdirat, renameat, symlinkat, unlinkat},
        eventpoll::epoll_ctl,
        open::{fadvise, fallocate, sync_file_range},
        rw::{RWF_APPEND, RWF_NOWAIT, RWF_SYNC_FLAGS, one_buffer},
        socket::{accept, begin_connect, file_of, new_socket, ops, shutdown, write_address},
        sockmsg::{recv_message, send_message},
        splice::{check_splice, splice, tee},
        stat::statx,
    },
    prep::late_statx,
    register,
    run::{Outcome, cancel_requests, change_poll, change_timeout},
};
use crate::{
    io_uring::{Group, Held, Prepared, Request, Ring},
    task::CurrentTask,
};
use std::{collections::VecDeque, sync::Arc};
use tuxlet_mem::{IoVec, UserReader, UserWriter};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    io_uring::*,
    socket::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL, SOCK_CLOEXEC, SOCK_STREAM},
};
use tuxlet_vfs::{Events, File, RenameFlags, setattr, socket::Control};

/// Does what a request asks for, if it can be done now.
pub(super) fn perform(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    request: &mut Request,
) -> Result<Outcome> {
    match request.sqe.opcode {
        IORING_OP_NOP => Ok(Outcome::done(0)),
        IORING_OP_READV | IORING_OP_READ_FIXED | IORING_OP_READ => read(task, ring, request),
        IORING_OP_WRITEV | IORING_OP_WRITE_FIXED | IORING_OP_WRITE => write(task, ring, request),
        IORING_OP_POLL_ADD => poll(task, ring, request),
        IORING_OP_SEND => send(task, ring, request),
        IORING_OP_RECV => receive(task, ring, request),
        IORING_OP_SENDMSG | IORING_OP_RECVMSG => message(task, ring, request),
        IORING_OP_ACCEPT => accept_one(task, ring, request),
        IORING_OP_CONNECT => connect(task, ring, request),
        IORING_OP_TIMEOUT => match request.prepared {
            Prepared::Time(moment) => {
                let count = request.sqe.off;
                Ok(Outcome::Time(moment, (count > 0).then_some(count)))
            }
            _ => Err(Errno::EINVAL),
        },
        // Linked to nothing.
        IORING_OP_LINK_TIMEOUT => Err(Errno::EINVAL),
        IORING_OP_TIMEOUT_REMOVE => change_timeout(task, ring, request).map(Outcome::done),
        IORING_OP_POLL_REMOVE => change_poll(task, ring, &request.sqe).map(Outcome::done),
        IORING_OP_ASYNC_CANCEL => cancel_requests(task, ring, &request.sqe).map(Outcome::done),
        IORING_OP_SPLICE | IORING_OP_TEE => pipes(task, ring, request),
        _ => plain(task, ring, request).map(Outcome::done),
    }
}

/// The file of a request: registered, or of a descriptor. `EBADF`.
fn file_of_request(task: &CurrentTask, ring: &Ring, request: &mut Request) -> Result<Arc<File>> {
    if let Some(file) = request.file.get() {
        return Ok(file);
    }
    let file = file_named(task, ring, &request.sqe, request.sqe.fd)?;
    request.file = Held::new(&file);
    Ok(file)
}

fn file_named(task: &CurrentTask, ring: &Ring, sqe: &IoUringSqe, fd: i32) -> Result<Arc<File>> {
    let fixed = sqe.flags & IOSQE_FIXED_FILE != 0;
    if fixed {
        return register::fixed_file(ring, fd);
    }
    let file = task.fds.get(fd)?;
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    Ok(file)
}

/// A result of which less is a failure for what is linked to it.
fn counted(n: usize, wanted: u64, flags: u32) -> Outcome {
    Outcome::Done {
        res: i32::try_from(n).unwrap_or(i32::MAX),
        flags,
        failed: n as u64 != wanted,
    }
}

/// The position that a read or write asks for; -1 is the file's own.
fn position(file: &File, sqe: &IoUringSqe) -> Result<Option<u64>> {
    if !file.ops().seekable() || sqe.off == u64::MAX {
        return Ok(None);
    }
    if sqe.off > i64::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    Ok(Some(sqe.off))
}

/// A buffer out of a group that the program has provided.
struct Selected {
    buffer: IoVec,
    id: u16,
}

/// The next buffer of the request's group, at most as long as it asks for. `ENOBUFS`.
fn select(task: &CurrentTask, ring: &Ring, sqe: &IoUringSqe) -> Result<Selected> {
    let group = sqe.buf_index;
    let found = ring.with(|state| match state.groups.get(&group)? {
        Group::Listed(list) => list.front().map(|b| (Some(*b), (0, 0, 0))),
        Group::Ring(at, entries, head) => Some((None, (*at, *entries, *head))),
    });
    let (addr, len, id) = match found.ok_or(Errno::ENOBUFS)? {
        (Some(listed), _) => listed,
        (None, (at, entries, head)) => {
            let tail = UserPtr::<u16>::new(at + 14).read(task)?;
            if tail == head {
                return Err(Errno::ENOBUFS);
            }
            let slot = u64::from(u32::from(head) & (entries - 1));
            let buffer = UserPtr::<IoUringBuf>::new(at).offset(slot).read(task)?;
            (buffer.addr, buffer.len, buffer.bid)
        }
    };
    let asked = if sqe.len == 0 { len } else { sqe.len.min(len) };
    let buffer = one_buffer(addr, asked.into())?[0];
    Ok(Selected { buffer, id })
}

/// The buffer that was selected has been used; the flags that tell which.
fn consume(ring: &Ring, sqe: &IoUringSqe, selected: &Selected) -> u32 {
    ring.with(|state| match state.groups.get_mut(&sqe.buf_index) {
        Some(Group::Listed(list)) => drop(list.pop_front()),
        Some(Group::Ring(_, _, head)) => *head = head.wrapping_add(1),
        None => {}
    });
    IORING_CQE_F_BUFFER | u32::from(selected.id) << IORING_CQE_BUFFER_SHIFT
}

fn read(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let file = file_of_request(task, ring, request)?;
    let sqe = request.sqe;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    if sqe.rw_flags & !(RWF_SYNC_FLAGS | RWF_NOWAIT) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let at = position(&file, &sqe)?;
    let Prepared::Buffers(own) = &request.prepared else {
        return Err(Errno::EINVAL);
    };
    let selected = if sqe.flags & IOSQE_BUFFER_SELECT == 0 {
        None
    } else {
        Some(select(task, ring, &sqe)?)
    };
    let chosen = selected.as_ref().map(|s| [s.buffer]);
    let buffers = chosen.as_ref().map_or(&own[..], |b| &b[..]);
    let wanted = buffers.iter().map(|b| b.len).sum();
    match task.do_read(&file, at, buffers, true) {
        Err(Errno::EAGAIN) if waits(&file, sqe.rw_flags & RWF_NOWAIT != 0) => {
            Ok(Outcome::Wait(file, Events::READABLE))
        }
        result => {
            let n = result?;
            let flags = selected.map_or(0, |s| consume(ring, &sqe, &s));
            Ok(counted(n, wanted, flags))
        }
    }
}

fn write(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let file = file_of_request(task, ring, request)?;
    let sqe = request.sqe;
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    if sqe.rw_flags & !(RWF_SYNC_FLAGS | RWF_NOWAIT | RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let at = position(&file, &sqe)?;
    let Prepared::Buffers(buffers) = &request.prepared else {
        return Err(Errno::EINVAL);
    };
    let wanted = buffers.iter().map(|b| b.len).sum();
    let append = sqe.rw_flags & RWF_APPEND != 0;
    match task.do_write(&file, at, buffers, true, append) {
        Err(Errno::EAGAIN) if waits(&file, sqe.rw_flags & RWF_NOWAIT != 0) => {
            Ok(Outcome::Wait(file, Events::WRITABLE))
        }
        result => Ok(counted(result?, wanted, 0)),
    }
}

/// Whether a request waits for a file that is not ready, unless it asks not to.
fn waits(file: &File, nowait: bool) -> bool {
    !nowait && file.ops().pollable()
}

fn poll(task: &CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let file = file_of_request(task, ring, request)?;
    let sqe = &request.sqe;
    let want = Events::from_bits_truncate(sqe.rw_flags) | Events::ERR | Events::HUP;
    let now = file.poll(&task.cx(), None) & want;
    let multi = sqe.len & IORING_POLL_ADD_MULTI != 0;
    if now.is_empty() || multi {
        return Ok(Outcome::Wait(file, want));
    }
    Ok(Outcome::done(now.bits()))
}

fn send(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let file = file_of_request(task, ring, request)?;
    let sqe = request.sqe;
    let stream = ops(&file)?.kind() == SOCK_STREAM;
    let done = request.done;
    let space = Arc::clone(&task.mm.space);
    let (addr, len) = (sqe.addr + done, u64::from(sqe.len) - done);
    let mut from = UserReader::new(&space, addr, len)?;
    let name = match &request.prepared {
        Prepared::Address(name) => Some(&name[..]),
        _ => None,
    };
    let flags = sqe.rw_flags | MSG_NOSIGNAL | MSG_DONTWAIT;
    let sent = task.send(&file, &mut from, name, Control::default(), flags);
    let all = stream && sqe.rw_flags & MSG_WAITALL != 0;
    transferred(request, file, Events::WRITABLE, sent, all, 0)
}

/// Counts what was moved; waits for more if everything has to be.
fn transferred(
    request: &mut Request,
    file: Arc<File>,
    events: Events,
    moved: Result<usize>,
    all: bool,
    flags: u32,
) -> Result<Outcome> {
    let wanted = u64::from(request.sqe.len);
    let nowait = request.sqe.rw_flags & MSG_DONTWAIT != 0;
    match moved {
        Err(Errno::EAGAIN) if !nowait => return Ok(Outcome::Wait(file, events)),
        Err(errno) if request.done == 0 => return Err(errno),
        Err(_) => {}
        Ok(n) => {
            request.done += n as u64;
            if all && n > 0 && request.done < wanted && !nowait {
                return Ok(Outcome::Wait(file, events));
            }
        }
    }
    let short = request.sqe.rw_flags & MSG_WAITALL != 0 && request.done < wanted;
    Ok(Outcome::Done {
        res: i32::try_from(request.done).unwrap_or(i32::MAX),
        flags,
        failed: short,
    })
}

fn receive(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let file = file_of_request(task, ring, request)?;
    let sqe = request.sqe;
    let stream = ops(&file)?.kind() == SOCK_STREAM;
    let selected = if sqe.flags & IOSQE_BUFFER_SELECT == 0 {
        None
    } else {
        Some(select(task, ring, &sqe)?)
    };
    let space = Arc::clone(&task.mm.space);
    let (addr, len) = match &selected {
        Some(s) => (s.buffer.base, s.buffer.len),
        None => (sqe.addr + request.done, u64::from(sqe.len) - request.done),
    };
    let mut to = UserWriter::new(&space, addr, len)?;
    let got = task.recv(&file, &mut to, sqe.rw_flags | MSG_DONTWAIT);
    let got = got.map(|m| m.len);
    let Some(selected) = selected else {
        let all = stream && sqe.rw_flags & MSG_WAITALL != 0;
        return transferred(request, file, Events::READABLE, got, all, 0);
    };
    let multi = sqe.ioprio & IORING_RECV_MULTISHOT != 0;
    match got {
        Ok(0) if stream => Ok(Outcome::done(0)),
        Ok(n) => {
            let flags = consume(ring, &sqe, &selected);
            let res = i32::try_from(n).unwrap_or(i32::MAX);
            Ok(if multi {
                Outcome::More { res, flags }
            } else {
                counted(n, n as u64, flags)
            })
        }
        Err(Errno::EAGAIN) if sqe.rw_flags & MSG_DONTWAIT == 0 => {
            Ok(Outcome::Wait(file, Events::READABLE))
        }
        Err(errno) => Err(errno),
    }
}

fn message(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let file = file_of_request(task, ring, request)?;
    ops(&file)?;
    let sqe = request.sqe;
    let (moved, events) = match &request.prepared {
        Prepared::Send(name, iov, control) => {
            let flags = sqe.rw_flags | MSG_NOSIGNAL | MSG_DONTWAIT;
            let sent = send_message(task, &file, name.as_deref(), iov, control, flags);
            (sent, Events::WRITABLE)
        }
        Prepared::Receive(header, iov) => {
            let flags = sqe.rw_flags | MSG_DONTWAIT;
            let at = UserPtr::new(sqe.addr);
            let got = recv_message(task, &file, at, *header, iov, flags);
            (got, Events::READABLE)
        }
        _ => return Err(Errno::EINVAL),
    };
    match moved {
        Err(Errno::EAGAIN) if sqe.rw_flags & MSG_DONTWAIT == 0 => Ok(Outcome::Wait(file, events)),
        other => other.map(Outcome::done),
    }
}

fn accept_one(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let file = file_of_request(task, ring, request)?;
    ops(&file)?;
    let sqe = request.sqe;
    let multi = sqe.ioprio & IORING_ACCEPT_MULTISHOT != 0;
    let (socket, peer) = match accept(task, &file, true) {
        Err(Errno::EAGAIN) => return Ok(Outcome::Wait(file, Events::READABLE)),
        other => other?,
    };
    if sqe.addr != 0 {
        write_address(task, &peer, sqe.addr, UserPtr::new(sqe.off))?;
    }
    let made = file_of(task, socket, sqe.rw_flags)?;
    let close_on_exec = sqe.rw_flags & SOCK_CLOEXEC != 0;
    let res = register::install(task, ring, made, sqe.file_index, close_on_exec)?;
    Ok(if multi {
        Outcome::More { res, flags: 0 }
    } else {
        Outcome::done(res)
    })
}

fn connect(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let file = file_of_request(task, ring, request)?;
    let Prepared::Address(address) = &request.prepared else {
        return Err(Errno::EINVAL);
    };
    let ended = if request.begun {
        ops(&file)?.connect_result()
    } else {
        begin_connect(task, &file, address, true)
    };
    match ended {
        Err(Errno::EINPROGRESS | Errno::EALREADY) => {
            request.begun = true;
            Ok(Outcome::Wait(file, Events::WRITABLE))
        }
        Err(Errno::EAGAIN) => Ok(Outcome::Wait(file, Events::WRITABLE)),
        other => other.map(|()| Outcome::done(0)),
    }
}

/// splice(2), tee(2).
///
/// DEVIATION: what a pipe gives and a socket has no room for is waited for by the submitter.
fn pipes(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<Outcome> {
    let to = file_of_request(task, ring, request)?;
    let sqe = request.sqe;
    let fd = sqe.file_index.cast_signed();
    let from = if sqe.rw_flags & SPLICE_F_FD_IN_FIXED == 0 {
        task.fds.get(fd)?
    } else {
        register::fixed_file(ring, fd)?
    };
    let len = u64::from(sqe.len);
    if len == 0 {
        return Ok(Outcome::done(0));
    }
    let place = |off: u64| (off != u64::MAX).then_some(off);
    let (from_at, to_at) = (place(sqe.addr), place(sqe.off));
    let moved = if sqe.opcode == IORING_OP_SPLICE {
        check_splice(&from, from_at.is_some(), &to, to_at.is_some())?;
        splice(task, (&from, from_at), (&to, to_at), len, true)
    } else {
        if !from.readable() || !to.writable() {
            return Err(Errno::EBADF);
        }
        tee(task, &from, &to, len, true)
    };
    let may_wait = sqe.rw_flags & tuxlet_uapi::fcntl::SPLICE_F_NONBLOCK == 0;
    match moved {
        Err(Errno::EAGAIN) if may_wait => {
            let full = !to.poll(&task.cx(), None).intersects(Events::WRITABLE);
            let outcome = if full {
                Outcome::Wait(to, Events::WRITABLE)
            } else {
                Outcome::Wait(from, Events::READABLE)
            };
            Ok(outcome)
        }
        result => Ok(counted(result?, len, 0)),
    }
}

/// Operations that are done at once.
fn plain(task: &mut CurrentTask, ring: &Ring, request: &mut Request) -> Result<i32> {
    let sqe = request.sqe;
    let nothing = |()| 0;
    match sqe.opcode {
        IORING_OP_FSYNC => {
            let file = file_of_request(task, ring, request)?;
            let data_only = sqe.rw_flags & IORING_FSYNC_DATASYNC != 0;
            file.ops().fsync(&task.cx(), data_only).map(nothing)
        }
        IORING_OP_SYNC_FILE_RANGE => {
            let file = file_of_request(task, ring, request)?;
            sync_file_range(task, &file, Flags(sqe.rw_flags)).map(nothing)
        }
        IORING_OP_FALLOCATE => {
            let file = file_of_request(task, ring, request)?;
            let (offset, len) = (sqe.off.cast_signed(), sqe.addr.cast_signed());
            fallocate(task, &file, sqe.len, offset, len).map(nothing)
        }
        IORING_OP_FTRUNCATE => {
            let file = file_of_request(task, ring, request)?;
            let len = i64::try_from(sqe.off).map_err(|_| Errno::EINVAL)?;
            let cut = setattr::ftruncate(&task.cx(), &file, len.cast_unsigned());
            task.size_limited(cut).map(nothing)
        }
        IORING_OP_FADVISE => {
            let file = file_of_request(task, ring, request)?;
            fadvise(&file, sqe.len.into(), sqe.rw_flags).map(nothing)
        }
        IORING_OP_MADVISE => {
            let space = &task.mm.space;
            space
                .advise(sqe.addr, sqe.len.into(), sqe.rw_flags)
                .map(nothing)
        }
        IORING_OP_SHUTDOWN => {
            let file = file_of_request(task, ring, request)?;
            shutdown(&file, sqe.len).map(nothing)
        }
        IORING_OP_SOCKET => {
            let domain = sqe.fd.cast_unsigned();
            let kind = sqe.off as u32;
            let file = new_socket(task, domain, kind, sqe.len)?;
            register::install(task, ring, file, sqe.file_index, kind & SOCK_CLOEXEC != 0)
        }
        IORING_OP_CLOSE => close(task, ring, &sqe).map(nothing),
        IORING_OP_EPOLL_CTL => {
            let Prepared::Event(event) = &request.prepared else {
                return Err(Errno::EINVAL);
            };
            epoll_ctl(task, sqe.fd, sqe.len, sqe.off as i32, event).map(nothing)
        }
        IORING_OP_FILES_UPDATE => {
            let Prepared::Files(fds) = &request.prepared else {
                return Err(Errno::EINVAL);
            };
            register::update_files(task, ring, sqe.off, fds)
        }
        IORING_OP_PROVIDE_BUFFERS => provide(ring, &sqe).map(nothing),
        IORING_OP_REMOVE_BUFFERS => remove(ring, &sqe),
        _ => named(task, ring, request),
    }
}

/// Operations on names.
fn named(task: &mut CurrentTask, ring: &Ring, request: &Request) -> Result<i32> {
    let sqe = request.sqe;
    let nothing = |()| 0;
    if let Prepared::Open(path, how) = &request.prepared {
        let file = if sqe.opcode == IORING_OP_OPENAT {
            task.open_at(sqe.fd, path, how)?
        } else {
            task.open_resolved(sqe.fd, path, how)?
        };
        let close_on_exec = how.flags.contains(OpenFlags::CLOEXEC);
        return register::install(task, ring, file, sqe.file_index, close_on_exec);
    }
    let Prepared::Paths(first, second) = &request.prepared else {
        return Err(Errno::EINVAL);
    };
    let second_dir = sqe.len.cast_signed();
    match sqe.opcode {
        IORING_OP_STATX => {
            late_statx(&sqe)?;
            let to = UserPtr::new(sqe.off);
            statx(task, sqe.fd, first, Flags(sqe.rw_flags), sqe.len, to).map(nothing)
        }
        IORING_OP_RENAMEAT => {
            let flags = RenameFlags::from_bits(sqe.rw_flags).ok_or(Errno::EINVAL)?;
            renameat(task, (sqe.fd, first), (second_dir, second), flags).map(nothing)
        }
        IORING_OP_UNLINKAT => unlinkat(task, sqe.fd, first, Flags(sqe.rw_flags)).map(nothing),
        IORING_OP_MKDIRAT => mkdirat(task, sqe.fd, first, sqe.len).map(nothing),
        IORING_OP_SYMLINKAT => symlinkat(task, first, sqe.fd, second).map(nothing),
        IORING_OP_LINKAT => {
            let flags = Flags(sqe.rw_flags);
            linkat(task, (sqe.fd, first), (second_dir, second), flags).map(nothing)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn close(task: &CurrentTask, ring: &Ring, sqe: &IoUringSqe) -> Result<()> {
    if sqe.file_index != 0 {
        return register::remove_file(ring, sqe.file_index - 1);
    }
    let file = task.fds.get(sqe.fd)?;
    if file.ops_as::<Ring>().is_some() {
        return Err(Errno::EBADF);
    }
    task.fds.close(&task.cx(), sqe.fd)
}

fn provide(ring: &Ring, sqe: &IoUringSqe) -> Result<()> {
    ring.with(|state| {
        let group = state
            .groups
            .entry(sqe.buf_index)
            .or_insert_with(|| Group::Listed(VecDeque::new()));
        let Group::Listed(list) = group else {
            return Err(Errno::EINVAL);
        };
        for n in 0..u64::from(sqe.fd.cast_unsigned()) {
            let id = (sqe.off + n) as u16;
            list.push_back((sqe.addr + n * u64::from(sqe.len), sqe.len, id));
        }
        Ok(())
    })
}

fn remove(ring: &Ring, sqe: &IoUringSqe) -> Result<i32> {
    ring.with(|state| match state.groups.get_mut(&sqe.buf_index) {
        None => Err(Errno::ENOENT),
        Some(Group::Ring(..)) => Err(Errno::EINVAL),
        Some(Group::Listed(list)) => {
            let count = list.len().min(sqe.fd as usize);
            list.drain(..count);
            Ok(count as i32)
        }
    })
}
