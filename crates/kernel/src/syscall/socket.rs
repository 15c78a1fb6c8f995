//! Sockets: socket(2), socketpair(2), bind(2), listen(2), accept(2), connect(2), their names, shutdown(2) and
//! options.

use super::{Flags, UserPtr, sockmsg::shown_cred};
use crate::task::CurrentTask;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tuxlet_net::unix::socket_path;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    socket::{
        AF_UNIX, SO_PEERCRED, SO_PEERGROUPS, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_TYPE_MASK,
        SOL_SOCKET, Ucred,
    },
};
use tuxlet_vfs::{
    Events, File, FileOps, FileType, LookupFlags, NewKind, SocketOps, access, create,
    inode::InodeRef,
    resolver,
    socket::{Name, Shutdown},
    unlink,
};
use zerocopy::{FromBytes, IntoBytes};

/// `sizeof(struct sockaddr_storage)`: no address is longer.
const ADDRESS_MAX: usize = 128;
/// No option's value is longer.
const OPTION_MAX: usize = 1 << 16;

/// The socket operations of a file. `ENOTSOCK`.
pub(super) fn ops(file: &File) -> Result<&dyn SocketOps> {
    file.ops().as_socket().ok_or(Errno::ENOTSOCK)
}

/// When a wait that may take `timeout` is over.
pub(super) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|t| Instant::now().checked_add(t))
}

/// The file of a socket's descriptor. `EBADF`, `ENOTSOCK`.
pub(super) fn socket_file(task: &CurrentTask, fd: i32) -> Result<Arc<File>> {
    let file = task.fds.get(fd)?;
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    ops(&file)?;
    Ok(file)
}

/// Reads an address of `len` bytes. `EINVAL` for an impossible length.
pub(super) fn read_address(task: &CurrentTask, addr: u64, len: i32) -> Result<Vec<u8>> {
    let len = usize::try_from(len)
        .ok()
        .filter(|&l| l <= ADDRESS_MAX)
        .ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; len];
    task.mm.space.read_bytes(addr, &mut bytes)?;
    Ok(bytes)
}

/// Writes an address, cut to the room that `len` points to, which then tells the full length.
pub(super) fn write_address(
    task: &CurrentTask,
    name: &[u8],
    addr: u64,
    len: UserPtr<i32>,
) -> Result<()> {
    let room = usize::try_from(len.read(task)?).map_err(|_| Errno::EINVAL)?;
    task.mm
        .space
        .write_bytes(addr, &name[..name.len().min(room)])?;
    len.write(task, &(name.len() as i32))
}

/// The socket inode that a Unix address's path leads to, if it has a path, as connect(2) and sendto(2) look it
/// up.
pub(super) fn inode_of(
    task: &CurrentTask,
    socket: &dyn SocketOps,
    bytes: &[u8],
) -> Result<Option<InodeRef>> {
    if socket.domain() != AF_UNIX || bytes.get(..2) != Some(&AF_UNIX.to_le_bytes()) {
        return Ok(None);
    }
    let Some(path) = socket_path(bytes)? else {
        return Ok(None);
    };
    let cx = task.cx();
    let found = resolver::lookup(&cx, &task.fs.at_cwd(), path, LookupFlags::FOLLOW)?;
    access::permission(&cx, found.inode(), access::WRITE)?;
    if found.inode().kind() != FileType::Socket {
        return Err(Errno::ECONNREFUSED);
    }
    Ok(Some(Arc::clone(found.inode())))
}

/// An open file of new socket operations, and its descriptor. `flags` are `SOCK_*`.
fn install(task: &CurrentTask, ops: Arc<dyn FileOps>, flags: u32) -> Result<i32> {
    let file = file_of(task, ops, flags)?;
    task.install_fd(file, flags & SOCK_CLOEXEC != 0)
}

/// An open file of new socket operations. `flags` are `SOCK_*`.
pub(super) fn file_of(task: &CurrentTask, ops: Arc<dyn FileOps>, flags: u32) -> Result<Arc<File>> {
    let cx = task.cx();
    let name = format!("socket:[{}]", ops.attr(&cx)?.ino);
    let mut status = OpenFlags::RDWR;
    if flags & SOCK_NONBLOCK != 0 {
        status |= OpenFlags::NONBLOCK;
    }
    Ok(File::anonymous(&cx, ops, name.as_bytes(), status))
}

/// Splits the type argument into type and flags. `EINVAL` for unknown flags.
fn split_kind(kind: u32) -> Result<(u32, u32)> {
    let flags = kind & !SOCK_TYPE_MASK;
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok((kind & SOCK_TYPE_MASK, flags))
}

pub(super) fn sys_socket(
    task: &mut CurrentTask,
    domain: u32,
    kind: Flags,
    protocol: u32,
) -> Result<i32> {
    let file = new_socket(task, domain, kind.0, protocol)?;
    task.install_fd(file, kind.has(SOCK_CLOEXEC))
}

/// A file for a new socket.
pub(super) fn new_socket(
    task: &CurrentTask,
    domain: u32,
    kind: u32,
    protocol: u32,
) -> Result<Arc<File>> {
    let (kind, flags) = split_kind(kind)?;
    let socket = task
        .ns
        .net
        .network
        .socket(&task.cx(), domain, kind, protocol)?;
    file_of(task, socket, flags)
}

pub(super) fn sys_socketpair(
    task: &mut CurrentTask,
    domain: u32,
    kind: Flags,
    protocol: u32,
    fds: UserPtr<[i32; 2]>,
) -> Result<()> {
    let (kind, flags) = split_kind(kind.0)?;
    let (a, b) = task
        .ns
        .net
        .network
        .socketpair(&task.cx(), domain, kind, protocol)?;
    let first = install(task, a, flags)?;
    let cx = task.cx();
    let second = install(task, b, flags).inspect_err(|_| {
        let _ = task.fds.close(&cx, first);
    })?;
    fds.write(task, &[first, second]).inspect_err(|_| {
        for fd in [first, second] {
            let _ = task.fds.close(&cx, fd);
        }
    })
}

pub(super) fn sys_bind(task: &mut CurrentTask, fd: i32, addr: u64, len: i32) -> Result<()> {
    let file = socket_file(task, fd)?;
    let bytes = read_address(task, addr, len)?;
    let socket = ops(&file)?;
    let cx = task.cx();
    let path = if socket.domain() == AF_UNIX {
        socket_path(&bytes)?
    } else {
        None
    };
    let Some(path) = path else {
        return socket.bind(
            &cx,
            Name {
                bytes: &bytes,
                inode: None,
            },
        );
    };
    let at = task.fs.at_cwd();
    let made = create::mknod(&cx, &at, path, NewKind::Socket, 0o777).map_err(|e| match e {
        Errno::EEXIST => Errno::EADDRINUSE,
        other => other,
    })?;
    socket
        .bind(
            &cx,
            Name {
                bytes: &bytes,
                inode: Some(made.inode()),
            },
        )
        .inspect_err(|_| {
            let _ = unlink::unlink(&cx, &at, path);
        })
}

pub(super) fn sys_listen(task: &mut CurrentTask, fd: i32, backlog: i32) -> Result<()> {
    let file = socket_file(task, fd)?;
    ops(&file)?.listen(&task.cx(), backlog)
}

pub(super) fn sys_accept(
    task: &mut CurrentTask,
    fd: i32,
    addr: u64,
    len: UserPtr<i32>,
) -> Result<i32> {
    sys_accept4(task, fd, addr, len, Flags(0))
}

pub(super) fn sys_accept4(
    task: &mut CurrentTask,
    fd: i32,
    addr: u64,
    len: UserPtr<i32>,
    flags: Flags,
) -> Result<i32> {
    let flags = flags.only(SOCK_CLOEXEC | SOCK_NONBLOCK)?;
    let file = socket_file(task, fd)?;
    let (socket, peer) = accept(task, &file, file.nonblocking())?;
    if addr != 0 {
        write_address(task, &peer, addr, len)?;
    }
    install(task, socket, flags)
}

/// Takes the next connection of a listening socket, and its peer's address.
pub(super) fn accept(
    task: &mut CurrentTask,
    file: &Arc<File>,
    nonblock: bool,
) -> Result<(Arc<dyn FileOps>, Vec<u8>)> {
    let limit = deadline(ops(file)?.recv_timeout());
    task.block_on_file(file, Events::READABLE, nonblock, limit, |task| {
        ops(file)?.accept(&task.cx())
    })
}

/// Begins to connect a socket to an address. `EINPROGRESS`, `EALREADY` if that takes time, `EAGAIN` if the peer has no room.
pub(super) fn begin_connect(
    task: &mut CurrentTask,
    file: &Arc<File>,
    bytes: &[u8],
    nonblock: bool,
) -> Result<()> {
    let inode = inode_of(task, ops(file)?, bytes)?;
    let limit = deadline(ops(file)?.send_timeout());
    task.block_on_file(file, Events::WRITABLE, nonblock, limit, |task| {
        ops(file)?.connect(
            &task.cx(),
            Name {
                bytes,
                inode: inode.as_ref(),
            },
        )
    })
}

pub(super) fn sys_connect(task: &mut CurrentTask, fd: i32, addr: u64, len: i32) -> Result<()> {
    let file = socket_file(task, fd)?;
    let bytes = read_address(task, addr, len)?;
    let limit = deadline(ops(&file)?.send_timeout());
    let nonblock = file.nonblocking();
    match begin_connect(task, &file, &bytes, nonblock) {
        // EALREADY: the call was interrupted and is done again.
        Err(Errno::EINPROGRESS | Errno::EALREADY) if !nonblock => {}
        other => return other,
    }
    let ended = task.block_on_file(&file, Events::WRITABLE, false, limit, |_| {
        ops(&file)?.connect_result()
    });
    match ended {
        Err(Errno::EAGAIN) => Err(Errno::EINPROGRESS),
        other => other,
    }
}

pub(super) fn sys_getsockname(
    task: &mut CurrentTask,
    fd: i32,
    addr: u64,
    len: UserPtr<i32>,
) -> Result<()> {
    let file = socket_file(task, fd)?;
    write_address(task, &ops(&file)?.sockname()?, addr, len)
}

pub(super) fn sys_getpeername(
    task: &mut CurrentTask,
    fd: i32,
    addr: u64,
    len: UserPtr<i32>,
) -> Result<()> {
    let file = socket_file(task, fd)?;
    write_address(task, &ops(&file)?.peername()?, addr, len)
}

pub(super) fn sys_shutdown(task: &mut CurrentTask, fd: i32, how: u32) -> Result<()> {
    let file = socket_file(task, fd)?;
    shutdown(&file, how)
}

pub(super) fn shutdown(file: &File, how: u32) -> Result<()> {
    if how > 2 {
        return Err(Errno::EINVAL);
    }
    ops(file)?.shutdown(Shutdown {
        read: how != 1,
        write: how != 0,
    })
}

pub(super) fn sys_setsockopt(
    task: &mut CurrentTask,
    fd: i32,
    level: u32,
    name: u32,
    value: u64,
    len: i32,
) -> Result<()> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    let file = socket_file(task, fd)?;
    let mut bytes = vec![0; len.min(OPTION_MAX)];
    task.mm.space.read_bytes(value, &mut bytes)?;
    ops(&file)?.setsockopt(&task.cx(), level, name, &bytes)
}

/// Gives the ids in what `SO_PEERCRED` and `SO_PEERGROUPS` tell the meaning of the caller's namespaces.
fn show_ids(task: &CurrentTask, name: u32, bytes: &mut [u8]) {
    match name {
        SO_PEERCRED => {
            let mut whole = Ucred::default();
            let len = bytes.len();
            // What was cut off is not shown anyway.
            whole.as_mut_bytes()[..len].copy_from_slice(bytes);
            let shown = shown_cred(task, whole);
            bytes.copy_from_slice(&shown.as_bytes()[..len]);
        }
        SO_PEERGROUPS => {
            for id in bytes.chunks_exact_mut(4) {
                if let Ok(gid) = u32::read_from_bytes(id) {
                    let shown = task.task.cred().user_ns.shown_gid(gid);
                    id.copy_from_slice(shown.as_bytes());
                }
            }
        }
        _ => {}
    }
}

pub(super) fn sys_getsockopt(
    task: &mut CurrentTask,
    fd: i32,
    level: u32,
    name: u32,
    value: u64,
    len: UserPtr<i32>,
) -> Result<()> {
    let file = socket_file(task, fd)?;
    let room = usize::try_from(len.read(task)?).map_err(|_| Errno::EINVAL)?;
    let socket = ops(&file)?;
    let mut bytes = socket.getsockopt(&task.cx(), level, name, room.min(OPTION_MAX))?;
    if level == SOL_SOCKET && socket.domain() == AF_UNIX {
        show_ids(task, name, &mut bytes);
    }
    task.mm.space.write_bytes(value, &bytes)?;
    len.write(task, &(bytes.len() as i32))
}
