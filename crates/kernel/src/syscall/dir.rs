//! Directories, links and names: getdents64(2), mkdirat(2), unlinkat(2), renameat2(2), linkat(2), chdir(2), …

use super::{Flags, UserPath};
use crate::task::CurrentTask;
use tuxlet_uapi::{
    dirent::{dirent64_len, push_dirent64},
    errno::{Errno, Result},
    fcntl::{AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW},
};
use tuxlet_vfs::{
    DeviceId, DirEntry, FileType, LookupFlags, NewKind, RenameFlags, access, create, cx::cap, link,
    rename, resolver, unlink,
};

/// Flags of linkat(2).
pub(super) const LINK_FLAGS: u32 = AT_SYMLINK_FOLLOW | AT_EMPTY_PATH;

pub(super) fn sys_getdents64(task: &mut CurrentTask, fd: i32, buf: u64, len: u32) -> Result<usize> {
    let file = task.fds.get(fd)?;
    let room = (len as usize).min(1 << 20);
    let mut out = Vec::with_capacity(room.min(32 << 10));
    let mut too_small = false;
    let mut sink = |entry: DirEntry<'_>| {
        if out.len() + dirent64_len(entry.name.len()) > room {
            too_small = out.is_empty();
            return false;
        }
        push_dirent64(
            &mut out,
            entry.ino,
            entry.next.cast_signed(),
            entry.kind.dirent_type(),
            entry.name,
        );
        true
    };
    file.read_dir(&task.cx(), &mut sink)?;
    if too_small {
        return Err(Errno::EINVAL);
    }
    task.mm.space.write_bytes(buf, &out)?;
    Ok(out.len())
}

pub(super) fn sys_getcwd(task: &mut CurrentTask, buf: u64, size: u64) -> Result<usize> {
    let mut path = task.fs.cwd().getcwd(&task.fs.root())?;
    path.push(0);
    if path.len() as u64 > size {
        return Err(Errno::ERANGE);
    }
    task.mm.space.write_bytes(buf, &path)?;
    Ok(path.len())
}

pub(super) fn sys_chdir(task: &mut CurrentTask, path: UserPath) -> Result<()> {
    let path = path.read(task)?;
    task.change_directory(&path)
}

pub(super) fn sys_fchdir(task: &mut CurrentTask, fd: i32) -> Result<()> {
    let file = task.fds.get(fd)?;
    let path = file.path().ok_or(Errno::ENOTDIR)?;
    access::may_chdir(&task.cx(), path)?;
    task.fs.set_cwd(path.clone());
    Ok(())
}

pub(super) fn sys_chroot(task: &mut CurrentTask, path: UserPath) -> Result<()> {
    let cx = task.cx();
    let flags = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
    let dir = resolver::lookup(&cx, &task.fs.at_cwd(), &path.read(task)?, flags)?;
    access::may_chroot(&cx, &dir)?;
    task.fs.set_root(dir);
    Ok(())
}

pub(super) fn sys_umask(task: &mut CurrentTask, mask: u32) -> Result<u32> {
    Ok(task.fs.set_umask(mask & 0o777))
}

pub(super) fn sys_mkdirat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    mode: u32,
) -> Result<()> {
    let path = path.read(task)?;
    mkdirat(task, dirfd, &path, mode)
}

pub(super) fn mkdirat(task: &CurrentTask, dirfd: i32, path: &[u8], mode: u32) -> Result<()> {
    let at = task.at_for(dirfd, path)?;
    create::mkdir(&task.cx(), &at, path, mode & 0o1777).map(drop)
}

pub(super) fn sys_mknodat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    mode: u32,
    dev: u32,
) -> Result<()> {
    let path = path.read(task)?;
    let device = DeviceId::decode(u64::from(dev));
    let kind = match FileType::from_mode(mode) {
        None if mode & 0o170_000 == 0 => NewKind::Regular,
        Some(FileType::Regular) => NewKind::Regular,
        Some(FileType::Fifo) => NewKind::Fifo,
        Some(FileType::Socket) => NewKind::Socket,
        Some(FileType::CharDevice) => NewKind::CharDevice(device),
        Some(FileType::BlockDevice) => NewKind::BlockDevice(device),
        Some(FileType::Directory) => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let needs_cap = matches!(kind, NewKind::CharDevice(_) | NewKind::BlockDevice(_));
    if needs_cap && !task.task.cred().has_cap(cap::MKNOD) {
        return Err(Errno::EPERM);
    }
    create::mknod(
        &task.cx(),
        &task.at_for(dirfd, &path)?,
        &path,
        kind,
        mode & 0o7777,
    )
    .map(drop)
}

pub(super) fn sys_symlinkat(
    task: &mut CurrentTask,
    target: UserPath,
    dirfd: i32,
    path: UserPath,
) -> Result<()> {
    let target = target.read(task)?;
    let path = path.read(task)?;
    symlinkat(task, &target, dirfd, &path)
}

pub(super) fn symlinkat(task: &CurrentTask, target: &[u8], dirfd: i32, path: &[u8]) -> Result<()> {
    create::symlink(&task.cx(), &task.at_for(dirfd, path)?, target, path).map(drop)
}

pub(super) fn sys_linkat(
    task: &mut CurrentTask,
    old_dirfd: i32,
    old: UserPath,
    new_dirfd: i32,
    new: UserPath,
    flags: Flags,
) -> Result<()> {
    flags.only(LINK_FLAGS)?;
    let old = old.read(task)?;
    let new = new.read(task)?;
    linkat(task, (old_dirfd, &old), (new_dirfd, &new), flags)
}

/// Links one place, of a directory's descriptor and a path, to another; the flags are known to be right.
pub(super) fn linkat(
    task: &CurrentTask,
    (old_dirfd, old): (i32, &[u8]),
    (new_dirfd, new): (i32, &[u8]),
    flags: Flags,
) -> Result<()> {
    let follow = if flags.has(AT_SYMLINK_FOLLOW) {
        0
    } else {
        AT_SYMLINK_NOFOLLOW
    };
    if old.is_empty() && flags.has(AT_EMPTY_PATH) && !task.task.cred().has_cap(cap::DAC_READ_SEARCH)
    {
        return Err(Errno::ENOENT);
    }
    let target = task.path_at(old_dirfd, old, Flags(follow | flags.0 & AT_EMPTY_PATH))?;
    link::link(&task.cx(), &target, &task.at_for(new_dirfd, new)?, new)
}

pub(super) fn sys_readlinkat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    buf: u64,
    size: i32,
) -> Result<usize> {
    let size = usize::try_from(size)
        .ok()
        .filter(|s| *s > 0)
        .ok_or(Errno::EINVAL)?;
    let name = path.read(task)?;
    let cx = task.cx();
    let target = if name.is_empty() {
        if dirfd == AT_FDCWD {
            return Err(Errno::ENOENT);
        }
        task.fds.get(dirfd)?.path().cloned().ok_or(Errno::ENOENT)?
    } else {
        resolver::lookup(
            &cx,
            &task.at_for(dirfd, &name)?,
            &name,
            LookupFlags::empty(),
        )?
    };
    let mut link = link::readlink(&cx, &target).map_err(|e| match e {
        // A descriptor that is no link is not found rather than invalid.
        Errno::EINVAL if name.is_empty() => Errno::ENOENT,
        other => other,
    })?;
    link.truncate(size);
    task.mm.space.write_bytes(buf, &link)?;
    Ok(link.len())
}

pub(super) fn sys_unlinkat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    flags: Flags,
) -> Result<()> {
    flags.only(AT_REMOVEDIR)?;
    let path = path.read(task)?;
    unlinkat(task, dirfd, &path, flags)
}

pub(super) fn unlinkat(task: &CurrentTask, dirfd: i32, path: &[u8], flags: Flags) -> Result<()> {
    let at = task.at_for(dirfd, path)?;
    if flags.has(AT_REMOVEDIR) {
        unlink::rmdir(&task.cx(), &at, path)
    } else {
        unlink::unlink(&task.cx(), &at, path)
    }
}

pub(super) fn sys_renameat(
    task: &mut CurrentTask,
    old_dirfd: i32,
    old: UserPath,
    new_dirfd: i32,
    new: UserPath,
) -> Result<()> {
    sys_renameat2(task, old_dirfd, old, new_dirfd, new, 0)
}

pub(super) fn sys_renameat2(
    task: &mut CurrentTask,
    old_dirfd: i32,
    old: UserPath,
    new_dirfd: i32,
    new: UserPath,
    flags: u32,
) -> Result<()> {
    let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let old = old.read(task)?;
    let new = new.read(task)?;
    renameat(task, (old_dirfd, &old), (new_dirfd, &new), flags)
}

/// Renames one place, of a directory's descriptor and a path, to another.
pub(super) fn renameat(
    task: &CurrentTask,
    (old_dirfd, old): (i32, &[u8]),
    (new_dirfd, new): (i32, &[u8]),
    flags: RenameFlags,
) -> Result<()> {
    let old_at = task.at_for(old_dirfd, old)?;
    let new_at = task.at_for(new_dirfd, new)?;
    rename::rename(&task.cx(), &old_at, old, &new_at, new, flags)
}
