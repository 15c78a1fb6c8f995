//! fcntl(2), flock(2).

use super::{Flags, UserPtr};
use crate::{async_io, memfd, pipe::PipeEnd, task::CurrentTask, wait::WaitError};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{
        F_ADD_SEALS, F_CREATED_QUERY, F_DUPFD, F_DUPFD_CLOEXEC, F_DUPFD_QUERY, F_GET_FILE_RW_HINT,
        F_GET_RW_HINT, F_GET_SEALS, F_GETFD, F_GETFL, F_GETLEASE, F_GETLK, F_GETOWN, F_GETOWN_EX,
        F_GETOWNER_UIDS, F_GETPIPE_SZ, F_GETSIG, F_NOTIFY, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW,
        F_OWNER_PGRP, F_OWNER_PID, F_OWNER_TID, F_RDLCK, F_SET_FILE_RW_HINT, F_SET_RW_HINT,
        F_SETFD, F_SETFL, F_SETLEASE, F_SETLK, F_SETLKW, F_SETOWN, F_SETOWN_EX, F_SETPIPE_SZ,
        F_SETSIG, F_UNLCK, F_WRLCK, FD_CLOEXEC, FOwnerEx, Flock, LOCK_EX, LOCK_NB, LOCK_SH,
        LOCK_UN, OpenFlags, RWH_WRITE_LIFE_EXTREME, SEEK_CUR, SEEK_END, SEEK_SET,
    },
    signal::Signal,
};
use tuxlet_vfs::{
    File, FileType,
    cx::cap,
    file::FileOwner,
    locks::{FileLocks, LockKind, LockOwner, RecordLock},
};

/// What works on an `O_PATH` descriptor.
const ON_PATH: &[u32] = &[
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_DUPFD_QUERY,
    F_CREATED_QUERY,
    F_GETFD,
    F_SETFD,
    F_GETFL,
];

pub(super) fn sys_fcntl(task: &mut CurrentTask, fd: i32, command: u32, arg: u64) -> Result<u64> {
    let file = task.fds.get(fd)?;
    if file.is_path_only() && !ON_PATH.contains(&command) {
        return Err(Errno::EBADF);
    }
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => duplicate(task, &file, arg as i32, command == F_DUPFD_CLOEXEC),
        F_DUPFD_QUERY => {
            let other = task.fds.get(arg as i32)?;
            Ok(u64::from(Arc::ptr_eq(&file, &other)))
        }
        F_GETFD => Ok(u64::from(task.fds.close_on_exec(fd)?)),
        F_SETFD => {
            task.fds
                .set_close_on_exec(fd, arg as u32 & FD_CLOEXEC != 0)?;
            Ok(0)
        }
        F_GETFL => Ok(u64::from((file.flags() | OpenFlags::LARGEFILE).bits())),
        F_SETFL => {
            let flags = OpenFlags::from_bits_truncate(arg as u32);
            async_io::set_flags(&task.kernel, &task.cx(), fd, &file, flags)?;
            Ok(0)
        }
        F_GETLK | F_OFD_GETLK => get_lock(task, &file, command, UserPtr::new(arg)),
        F_SETLK | F_SETLKW | F_OFD_SETLK | F_OFD_SETLKW => {
            set_lock(task, &file, command, UserPtr::new(arg))
        }
        F_SETOWN | F_GETOWN | F_SETOWN_EX | F_GETOWN_EX | F_GETOWNER_UIDS | F_SETSIG | F_GETSIG => {
            owner(task, &file, command, arg)
        }
        F_GETPIPE_SZ => Ok(file.ops_as::<PipeEnd>().ok_or(Errno::EBADF)?.capacity() as u64),
        F_SETPIPE_SZ => {
            let pipe = file.ops_as::<PipeEnd>().ok_or(Errno::EBADF)?;
            let privileged = task.task.cred().has_cap(cap::SYS_RESOURCE);
            pipe.set_capacity(arg as u32 as usize, privileged)
                .map(|size| size as u64)
        }
        F_ADD_SEALS => {
            let memory = memfd::of(&file).ok_or(Errno::EINVAL)?;
            if !file.writable() {
                return Err(Errno::EPERM);
            }
            memory.add_seals(task, arg as u32)?;
            Ok(0)
        }
        F_GET_SEALS => Ok(memfd::of(&file).ok_or(Errno::EINVAL)?.seals().into()),
        // Nobody else's opens can be delayed, so no lease is granted; there is none to be asked for either.
        F_GETLEASE => Ok(F_UNLCK as u64),
        F_SETLEASE => set_lease(task, &file, arg as i16),
        F_GET_RW_HINT | F_GET_FILE_RW_HINT => {
            UserPtr::<u64>::new(arg).write(task, &0)?;
            Ok(0)
        }
        F_SET_RW_HINT | F_SET_FILE_RW_HINT => {
            // A hint about the medium: checked, then without effect.
            let hint = UserPtr::<u64>::new(arg).read(task)?;
            if hint > RWH_WRITE_LIFE_EXTREME {
                Err(Errno::EINVAL)
            } else {
                Ok(0)
            }
        }
        // DEVIATION: F_NOTIFY (dnotify) is refused, as by a kernel built without it.
        F_NOTIFY => Err(Errno::EINVAL),
        _ => Err(Errno::EINVAL),
    }
}

fn duplicate(task: &CurrentTask, file: &Arc<File>, min: i32, close_on_exec: bool) -> Result<u64> {
    let limit = task.max_fds();
    if min < 0 || min as u64 >= limit {
        return Err(Errno::EINVAL);
    }
    task.fds
        .install(Arc::clone(file), close_on_exec, min, limit)
        .map(|fd| fd as u64)
}

fn set_lease(task: &CurrentTask, file: &File, kind: i16) -> Result<u64> {
    let attr = file.attr(&task.cx())?;
    let cred = task.task.cred();
    if cred.fsuid != attr.uid && !cred.has_cap(cap::LEASE) {
        return Err(Errno::EACCES);
    }
    if attr.kind != FileType::Regular || file.path().is_none() {
        return Err(Errno::EINVAL);
    }
    match kind {
        // There is no lease to give back.
        F_UNLCK => Err(Errno::EAGAIN),
        // DEVIATION: leases are not supported; EAGAIN is what a caller gets when the file is open elsewhere.
        F_RDLCK | F_WRLCK => Err(Errno::EAGAIN),
        _ => Err(Errno::EINVAL),
    }
}

fn owner(task: &CurrentTask, file: &File, command: u32, arg: u64) -> Result<u64> {
    let old = file.owner();
    let cred = task.task.cred();
    let set = |kind: i32, id: i32| {
        if id != 0 && !owner_exists(task, kind, id) {
            return Err(Errno::ESRCH);
        }
        file.set_owner(FileOwner {
            kind,
            id,
            uid: cred.uid,
            euid: cred.euid,
            ..old
        });
        Ok(0)
    };
    match command {
        F_SETOWN => match arg as i32 {
            i32::MIN => Err(Errno::EINVAL),
            id if id < 0 => set(F_OWNER_PGRP, -id),
            id => set(F_OWNER_PID, id),
        },
        F_GETOWN => {
            let id = if old.kind == F_OWNER_PGRP {
                -old.id
            } else {
                old.id
            };
            Ok(i64::from(id).cast_unsigned())
        }
        F_SETOWN_EX => {
            let new = UserPtr::<FOwnerEx>::new(arg).read(task)?;
            if !matches!(new.r#type, F_OWNER_TID | F_OWNER_PID | F_OWNER_PGRP) {
                return Err(Errno::EINVAL);
            }
            set(new.r#type, new.pid)
        }
        F_GETOWN_EX => {
            let shown = FOwnerEx {
                r#type: old.kind,
                pid: old.id,
            };
            UserPtr::<FOwnerEx>::new(arg).write(task, &shown)?;
            Ok(0)
        }
        F_GETOWNER_UIDS => {
            UserPtr::<[u32; 2]>::new(arg).write(task, &[old.uid, old.euid])?;
            Ok(0)
        }
        F_SETSIG => {
            let signal = arg as i32;
            if signal != 0 {
                Signal::new(signal)?;
            }
            file.set_owner(FileOwner { signal, ..old });
            Ok(0)
        }
        F_GETSIG => Ok(old.signal as u64),
        _ => Err(Errno::EINVAL),
    }
}

fn owner_exists(task: &CurrentTask, kind: i32, id: i32) -> bool {
    let tree = task.kernel.tree.lock();
    let id = id.cast_unsigned();
    match kind {
        F_OWNER_TID => tree.task(id).is_some(),
        F_OWNER_PID => tree.node(id).is_some(),
        _ => tree.process_group(id).next().is_some(),
    }
}

/// The bytes of a `struct flock`, first and last; without a length to the end of all offsets.
fn range_of(lock: &Flock, base: u64) -> Result<(u64, u64)> {
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let start = base.checked_add(lock.l_start).ok_or(Errno::EOVERFLOW)?;
    if start < 0 {
        return Err(Errno::EINVAL);
    }
    let (first, last) = match lock.l_len {
        0 => (start, i64::MAX),
        len if len > 0 => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        len => (
            start
                .checked_add(len)
                .filter(|s| *s >= 0)
                .ok_or(Errno::EINVAL)?,
            start - 1,
        ),
    };
    let last = if last == i64::MAX {
        u64::MAX
    } else {
        last.cast_unsigned()
    };
    Ok((first.cast_unsigned(), last))
}

/// The lock that a call means; `None` is an unlocking of its range.
fn request(
    task: &CurrentTask,
    file: &File,
    command: u32,
    lock: &Flock,
) -> Result<(Option<LockKind>, RecordLock)> {
    let base = match lock.l_whence as u32 {
        SEEK_SET => 0,
        SEEK_CUR => file.pos(),
        SEEK_END => file.attr(&task.cx())?.size,
        _ => return Err(Errno::EINVAL),
    };
    let (start, end) = range_of(lock, base)?;
    let kind = match lock.l_type {
        F_RDLCK => Some(LockKind::Shared),
        F_WRLCK => Some(LockKind::Exclusive),
        F_UNLCK => None,
        _ => return Err(Errno::EINVAL),
    };
    let (owner, pid) = if matches!(command, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW) {
        // The owner is the description, whoever uses it.
        if lock.l_pid != 0 {
            return Err(Errno::EINVAL);
        }
        (LockOwner::Description(file.id()), -1)
    } else {
        let tgid = task.task.tgid();
        (LockOwner::Process(tgid), tgid.cast_signed())
    };
    Ok((
        kind,
        RecordLock {
            owner,
            pid,
            kind: kind.unwrap_or(LockKind::Shared),
            start,
            end,
        },
    ))
}

fn get_lock(task: &CurrentTask, file: &File, command: u32, at: UserPtr<Flock>) -> Result<u64> {
    let asked = at.read(task)?;
    let (kind, wanted) = request(task, file, command, &asked)?;
    let Some(_) = kind else {
        return Err(Errno::EINVAL);
    };
    let answer = match file.locks()?.conflict(&wanted) {
        None => Flock {
            l_type: F_UNLCK,
            ..asked
        },
        Some(found) => Flock {
            l_type: if found.kind == LockKind::Shared {
                F_RDLCK
            } else {
                F_WRLCK
            },
            l_whence: SEEK_SET as i16,
            l_start: found.start.cast_signed(),
            l_len: if found.end == u64::MAX {
                0
            } else {
                (found.end - found.start + 1).cast_signed()
            },
            // The owner of an open file description's lock is none.
            l_pid: match found.pid {
                -1 => -1,
                pid => task.shown_pid(pid.cast_unsigned()).cast_signed(),
            },
            ..asked
        },
    };
    at.write(task, &answer)?;
    Ok(0)
}

fn set_lock(
    task: &mut CurrentTask,
    file: &Arc<File>,
    command: u32,
    at: UserPtr<Flock>,
) -> Result<u64> {
    let asked = at.read(task)?;
    let (kind, wanted) = request(task, file, command, &asked)?;
    match kind {
        Some(LockKind::Shared) if !file.readable() => return Err(Errno::EBADF),
        Some(LockKind::Exclusive) if !file.writable() => return Err(Errno::EBADF),
        _ => {}
    }
    let locks = file.locks()?;
    if kind.is_none() {
        locks.unset(wanted.owner, wanted.start, wanted.end);
        return Ok(0);
    }
    if matches!(command, F_SETLK | F_OFD_SETLK) {
        return locks.set(wanted).map(|()| 0).map_err(|_| Errno::EAGAIN);
    }
    wait_for_lock(task, &locks, wanted)
}

fn wait_for_lock(
    task: &mut CurrentTask,
    locks: &Arc<FileLocks>,
    wanted: RecordLock,
) -> Result<u64> {
    let kernel = Arc::clone(&task.kernel);
    let graph = &kernel.lock_graph;
    let mut blocker = None;
    let waited = task.wait_until(None, |_, table| {
        if let Some(table) = table {
            table.add(locks.released());
        }
        let in_the_way = locks.set(wanted).err().map(|l| l.owner);
        if in_the_way == blocker && in_the_way.is_some() {
            return None;
        }
        if let Some(old) = blocker.take() {
            graph.done(wanted.owner, old);
        }
        let Some(owner) = in_the_way else {
            return Some(Ok(()));
        };
        if let Err(errno) = graph.wait(wanted.owner, owner) {
            return Some(Err(errno));
        }
        blocker = Some(owner);
        None
    });
    if let Some(owner) = blocker {
        graph.done(wanted.owner, owner);
    }
    match waited {
        Ok(result) => result.map(|()| 0),
        Err(WaitError::Interrupted | WaitError::TimedOut) => Err(Errno::ERESTARTSYS),
    }
}

pub(super) fn sys_flock(task: &mut CurrentTask, fd: i32, operation: Flags) -> Result<()> {
    let kind = match operation.0 & !LOCK_NB {
        LOCK_SH => Some(LockKind::Shared),
        LOCK_EX => Some(LockKind::Exclusive),
        LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    let file = task.fds.get(fd)?;
    let locks = file.locks()?;
    let Some(kind) = kind else {
        locks.funlock(file.id());
        return Ok(());
    };
    match locks.flock(file.id(), kind) {
        Err(Errno::EAGAIN) if !operation.has(LOCK_NB) => {}
        other => return other,
    }
    let waited = task.wait_until(None, |_, table| {
        if let Some(table) = table {
            table.add(locks.released());
        }
        locks.flock(file.id(), kind).ok()
    });
    waited.map_err(|_| Errno::ERESTARTSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(l_start: i64, l_len: i64) -> Flock {
        Flock {
            l_start,
            l_len,
            ..Flock::default()
        }
    }

    #[test]
    fn ranges_may_reach_backwards_and_to_infinity() {
        assert_eq!(range_of(&lock(10, 5), 0), Ok((10, 14)));
        assert_eq!(range_of(&lock(10, 0), 5), Ok((15, u64::MAX)));
        assert_eq!(range_of(&lock(10, -4), 0), Ok((6, 9)));
        assert_eq!(range_of(&lock(-3, 1), 10), Ok((7, 7)));
        assert_eq!(
            range_of(&lock(i64::MAX, 1), 0),
            Ok((i64::MAX as u64, u64::MAX))
        );
    }

    #[test]
    fn ranges_outside_the_file_are_refused() {
        assert_eq!(range_of(&lock(-1, 1), 0), Err(Errno::EINVAL));
        assert_eq!(range_of(&lock(2, -3), 0), Err(Errno::EINVAL));
        assert_eq!(range_of(&lock(i64::MAX, 2), 0), Err(Errno::EOVERFLOW));
        assert_eq!(range_of(&lock(i64::MAX, 0), 1), Err(Errno::EOVERFLOW));
    }
}
