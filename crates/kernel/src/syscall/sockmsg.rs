//! Sending and receiving: sendto(2), sendmsg(2), sendmmsg(2), recvfrom(2), recvmsg(2), recvmmsg(2).

use super::{
    Flags, UserPtr,
    socket::{deadline, inode_of, ops, read_address, socket_file, write_address},
};
use crate::{
    clock::{instant_after, ns_timespec, timespec_ns},
    task::CurrentTask,
};
use std::{sync::Arc, time::Instant};
use tuxlet_mem::{IoRead, IoVec, IoWrite, UserReader, UserWriter};
use tuxlet_net::cmsg;
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::Signal,
    socket::{
        MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_WAITALL, MSG_WAITFORONE,
        Mmsghdr, Msghdr, SOCK_STREAM, Ucred,
    },
    time::Timespec,
};
use tuxlet_vfs::{
    Events, File,
    socket::{Control, Name, RecvMsg, SendMsg},
};

/// `UIO_MAXIOV`, also the most messages of one sendmmsg(2).
const IOV_MAX: u64 = 1024;
/// `net.core.optmem_max`.
const CONTROL_MAX: u64 = 131_072;
/// Longest address.
const ADDRESS_MAX: u32 = 128;

impl CurrentTask {
    /// Sends everything that a blocking call has to; a stream's `SIGPIPE` is raised here.
    pub(super) fn send(
        &mut self,
        file: &Arc<File>,
        from: &mut dyn IoRead,
        name: Option<&[u8]>,
        control: Control,
        flags: u32,
    ) -> Result<usize> {
        let socket = ops(file)?;
        let inode = match name {
            Some(bytes) => inode_of(self, socket, bytes)?,
            None => None,
        };
        let nonblock = flags & MSG_DONTWAIT != 0 || file.nonblocking();
        let stream = socket.kind() == SOCK_STREAM;
        let cx = self.cx();
        let mut msg = SendMsg {
            name: name.map(|bytes| Name {
                bytes,
                inode: inode.as_ref(),
            }),
            control,
            flags,
        };
        let mut sent = 0;
        let limit = deadline(socket.send_timeout());
        let result = self.block_on_file(file, Events::WRITABLE, nonblock, limit, |_| {
            // A stream may take less than there is room for: only EAGAIN says that it is full.
            loop {
                let n = ops(file)?.sendmsg(&cx, from, &mut msg)?;
                sent += n;
                if !stream || n == 0 || from.remaining() == 0 {
                    return Ok(());
                }
            }
        });
        match result {
            Err(_) if sent > 0 => Ok(sent),
            Err(errno) => {
                if errno == Errno::EPIPE && stream && flags & MSG_NOSIGNAL == 0 {
                    self.send_self(Signal::SIGPIPE);
                }
                Err(errno)
            }
            Ok(()) => Ok(sent),
        }
    }

    /// Receives once, or with `MSG_WAITALL` from a stream until `to` is full.
    pub(super) fn recv(
        &mut self,
        file: &Arc<File>,
        to: &mut dyn IoWrite,
        flags: u32,
    ) -> Result<RecvMsg> {
        let socket = ops(file)?;
        let nonblock = flags & MSG_DONTWAIT != 0 || file.nonblocking();
        let limit = deadline(socket.recv_timeout());
        let all = socket.kind() == SOCK_STREAM && flags & (MSG_WAITALL | MSG_PEEK) == MSG_WAITALL;
        let cx = self.cx();
        let mut got: Option<RecvMsg> = None;
        loop {
            let next = self.block_on_file(file, Events::READABLE, nonblock, limit, |_| {
                ops(file)?.recvmsg(&cx, to, flags)
            });
            let next = match (next, got.take()) {
                (Err(_), Some(got)) => return Ok(got),
                (Err(errno), None) => return Err(errno),
                (Ok(next), before) => {
                    let ended = next.len == 0 || !next.control.files.is_empty();
                    let mut sum = before.unwrap_or_default();
                    sum.len += next.len;
                    sum.name = next.name;
                    sum.flags |= next.flags;
                    sum.control.files.extend(next.control.files);
                    sum.control.other.extend(next.control.other);
                    sum.control.cred = next.control.cred.or(sum.control.cred);
                    if ended || !all || to.remaining() == 0 {
                        return Ok(sum);
                    }
                    sum
                }
            };
            got = Some(next);
        }
    }
}

pub(super) fn sys_sendto(
    task: &mut CurrentTask,
    fd: i32,
    buf: u64,
    len: u64,
    flags: Flags,
    addr: u64,
    addr_len: i32,
) -> Result<usize> {
    let space = Arc::clone(&task.mm.space);
    let mut from = UserReader::new(&space, buf, len)?;
    let file = socket_file(task, fd)?;
    let name = if addr == 0 {
        None
    } else {
        Some(read_address(task, addr, addr_len)?)
    };
    task.send(
        &file,
        &mut from,
        name.as_deref(),
        Control::default(),
        flags.0,
    )
}

pub(super) fn sys_recvfrom(
    task: &mut CurrentTask,
    fd: i32,
    buf: u64,
    len: u64,
    flags: Flags,
    addr: u64,
    addr_len: UserPtr<i32>,
) -> Result<usize> {
    let space = Arc::clone(&task.mm.space);
    let mut to = UserWriter::new(&space, buf, len)?;
    let file = socket_file(task, fd)?;
    let got = task.recv(&file, &mut to, flags.0)?;
    if addr != 0 {
        write_address(task, &got.name, addr, addr_len)?;
    }
    Ok(got.len)
}

/// The buffers that a header names. `EMSGSIZE` for too many.
fn buffers(task: &CurrentTask, header: &Msghdr) -> Result<Vec<IoVec>> {
    if header.msg_iovlen > IOV_MAX {
        return Err(Errno::EMSGSIZE);
    }
    task.mm
        .space
        .read_iovec(header.msg_iov, header.msg_iovlen as usize)
}

/// The length of the address that a header names, 0 for none.
fn name_len(header: &Msghdr) -> Result<u32> {
    if header.msg_name == 0 {
        return Ok(0);
    }
    if header.msg_namelen.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(header.msg_namelen.min(ADDRESS_MAX))
}

fn send_one(
    task: &mut CurrentTask,
    file: &Arc<File>,
    header: &Msghdr,
    flags: u32,
) -> Result<usize> {
    let (name, iov, control) = read_message(task, header)?;
    send_message(task, file, name.as_deref(), &iov, &control, flags)
}

/// The name, the buffers and the control data of a message to send.
pub(super) type Message = (Option<Vec<u8>>, Vec<IoVec>, Vec<u8>);

/// Reads what a header describes.
pub(super) fn read_message(task: &CurrentTask, header: &Msghdr) -> Result<Message> {
    let name = match name_len(header)? {
        0 => None,
        len => Some(read_address(task, header.msg_name, len.cast_signed())?),
    };
    let iov = buffers(task, header)?;
    if header.msg_controllen > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let mut control = vec![0; header.msg_controllen as usize];
    if !control.is_empty() {
        task.mm.space.read_bytes(header.msg_control, &mut control)?;
    }
    Ok((name, iov, control))
}

/// Credentials that the caller gives, with the ids of the initial namespaces. `EINVAL`, `ESRCH`.
fn given_cred(task: &CurrentTask, cred: Ucred) -> Result<Ucred> {
    let ns = &task.task.cred().user_ns;
    let (uid, gid) = (ns.global_uid(cred.uid), ns.global_gid(cred.gid));
    let (Some(uid), Some(gid)) = (uid, gid) else {
        return Err(Errno::EINVAL);
    };
    let pid = u32::try_from(cred.pid).map_err(|_| Errno::ESRCH)?;
    Ok(Ucred {
        pid: task.given_pid(pid)?.cast_signed(),
        uid,
        gid,
    })
}

/// Credentials with the ids of the caller's namespaces; those of nobody stay.
pub(super) fn shown_cred(task: &CurrentTask, cred: Ucred) -> Ucred {
    let ns = &task.task.cred().user_ns;
    let nobody = cred.uid == u32::MAX;
    Ucred {
        pid: task.shown_pid(cred.pid.cast_unsigned()).cast_signed(),
        uid: if nobody {
            cred.uid
        } else {
            ns.shown_uid(cred.uid)
        },
        gid: if nobody {
            cred.gid
        } else {
            ns.shown_gid(cred.gid)
        },
    }
}

/// Sends a message whose parts have been read.
pub(super) fn send_message(
    task: &mut CurrentTask,
    file: &Arc<File>,
    name: Option<&[u8]>,
    iov: &[IoVec],
    control: &[u8],
    flags: u32,
) -> Result<usize> {
    let control = if control.is_empty() {
        Control::default()
    } else {
        cmsg::parse(
            &task.cx(),
            control,
            |fd| task.fds.get(fd),
            |cred| given_cred(task, cred),
        )?
    };
    let space = Arc::clone(&task.mm.space);
    let mut from = UserReader::vectored(&space, iov);
    task.send(file, &mut from, name, control, flags)
}

/// Receives into what a header describes and writes its results back to `at`.
fn recv_one(
    task: &mut CurrentTask,
    file: &Arc<File>,
    at: UserPtr<Msghdr>,
    flags: u32,
) -> Result<usize> {
    let header = at.read(task)?;
    let iov = read_buffers(task, &header)?;
    recv_message(task, file, at, header, &iov, flags)
}

/// The buffers of a header to receive with, which is checked.
pub(super) fn read_buffers(task: &CurrentTask, header: &Msghdr) -> Result<Vec<IoVec>> {
    name_len(header)?;
    buffers(task, header)
}

/// Receives by a header and buffers that have been read, and writes the header's results back to `at`.
pub(super) fn recv_message(
    task: &mut CurrentTask,
    file: &Arc<File>,
    at: UserPtr<Msghdr>,
    mut header: Msghdr,
    iov: &[IoVec],
    flags: u32,
) -> Result<usize> {
    let name_room = name_len(&header)?;
    let space = Arc::clone(&task.mm.space);
    let mut to = UserWriter::vectored(&space, iov);
    let got = task.recv(file, &mut to, flags)?;
    if header.msg_name != 0 {
        let cut = got.name.len().min(name_room as usize);
        space.write_bytes(header.msg_name, &got.name[..cut])?;
        header.msg_namelen = got.name.len() as u32;
    }
    let room = if header.msg_control == 0 {
        0
    } else {
        header.msg_controllen.min(CONTROL_MAX)
    };
    let close_on_exec = flags & MSG_CMSG_CLOEXEC != 0;
    let (control, control_flags) = cmsg::encode(
        got.control,
        room as usize,
        |file| task.install_fd(file, close_on_exec),
        |cred| shown_cred(task, cred),
    );
    if !control.is_empty() {
        space.write_bytes(header.msg_control, &control)?;
    }
    header.msg_controllen = control.len() as u64;
    header.msg_flags = got.flags | control_flags | flags & MSG_CMSG_CLOEXEC;
    at.write(task, &header)?;
    Ok(got.len)
}

pub(super) fn sys_sendmsg(
    task: &mut CurrentTask,
    fd: i32,
    msg: UserPtr<Msghdr>,
    flags: Flags,
) -> Result<usize> {
    let file = socket_file(task, fd)?;
    let header = msg.read(task)?;
    send_one(task, &file, &header, flags.0)
}

pub(super) fn sys_recvmsg(
    task: &mut CurrentTask,
    fd: i32,
    msg: UserPtr<Msghdr>,
    flags: Flags,
) -> Result<usize> {
    let file = socket_file(task, fd)?;
    recv_one(task, &file, msg, flags.0)
}

/// Where the length of one message is written.
fn len_field(messages: UserPtr<Mmsghdr>, i: u64) -> UserPtr<u32> {
    UserPtr::new(messages.offset(i).addr() + std::mem::offset_of!(Mmsghdr, msg_len) as u64)
}

pub(super) fn sys_sendmmsg(
    task: &mut CurrentTask,
    fd: i32,
    messages: UserPtr<Mmsghdr>,
    count: u32,
    flags: Flags,
) -> Result<u64> {
    let file = socket_file(task, fd)?;
    let mut done = 0;
    while done < u64::from(count).min(IOV_MAX) {
        let sent = messages
            .offset(done)
            .read(task)
            .and_then(|m| send_one(task, &file, &m.msg_hdr, flags.0))
            .and_then(|n| len_field(messages, done).write(task, &(n as u32)));
        match sent {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

pub(super) fn sys_recvmmsg(
    task: &mut CurrentTask,
    fd: i32,
    messages: UserPtr<Mmsghdr>,
    count: u32,
    flags: Flags,
    timeout: UserPtr<Timespec>,
) -> Result<u64> {
    let until = match timeout.read_opt(task)? {
        Some(ts) => Some(instant_after(timespec_ns(&ts)?)),
        None => None,
    };
    let file = socket_file(task, fd)?;
    let mut flags = flags.0;
    let mut done = 0;
    while done < u64::from(count).min(IOV_MAX) {
        let at = UserPtr::new(messages.offset(done).addr());
        let received = recv_one(task, &file, at, flags & !MSG_WAITFORONE)
            .and_then(|n| len_field(messages, done).write(task, &(n as u32)));
        match received {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
        if flags & MSG_WAITFORONE != 0 {
            flags |= MSG_DONTWAIT;
        }
        // As the man page warns, the time is looked at only after a message has come.
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
    }
    if let Some(until) = until {
        let rest = until.saturating_duration_since(Instant::now());
        let rest = ns_timespec(u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX));
        timeout.write(task, &rest)?;
    }
    Ok(done)
}
