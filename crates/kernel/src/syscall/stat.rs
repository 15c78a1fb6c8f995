//! fstat(2), statx(2), statfs(2), access(2), chmod(2), chown(2), utimensat(2).

use super::{Flags, UserPath, UserPtr, statmount};
use crate::task::CurrentTask;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{AT_EACCESS, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW},
    stat::{
        ST_NOATIME, ST_NODEV, ST_NODIRATIME, ST_NOEXEC, ST_NOSUID, ST_NOSYMFOLLOW, ST_RDONLY,
        ST_RELATIME, ST_VALID, STATX__RESERVED, STATX_ATTR_MOUNT_ROOT, STATX_BASIC_STATS,
        STATX_BTIME, STATX_MNT_ID, STATX_MNT_ID_UNIQUE, Stat, Statfs, Statx, StatxTimestamp,
    },
    time::{Timespec, UTIME_NOW, UTIME_OMIT},
};
use tuxlet_vfs::{
    Attr, DeviceId, LookupFlags, MountFlags, Path, SetTime, StatFs, Time, UserNs, access, resolver,
    setattr,
};

fn stat_of(attr: &Attr, ns: &UserNs) -> Stat {
    Stat {
        st_dev: attr.dev.encode(),
        st_ino: attr.ino,
        st_mode: attr.st_mode(),
        st_nlink: attr.nlink,
        st_uid: ns.shown_uid(attr.uid),
        st_gid: ns.shown_gid(attr.gid),
        st_rdev: attr.rdev.encode(),
        st_size: attr.size.cast_signed(),
        st_blksize: attr.blksize.cast_signed(),
        st_blocks: attr.blocks.cast_signed(),
        st_atime: attr.atime.sec,
        st_atime_nsec: u64::from(attr.atime.nsec),
        st_mtime: attr.mtime.sec,
        st_mtime_nsec: u64::from(attr.mtime.nsec),
        st_ctime: attr.ctime.sec,
        st_ctime_nsec: u64::from(attr.ctime.nsec),
        ..Stat::default()
    }
}

/// The lookup flags that `AT_*` flags stand for.
pub(super) fn lookup_flags(flags: Flags) -> LookupFlags {
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, !flags.has(AT_SYMLINK_NOFOLLOW));
    lookup.set(LookupFlags::EMPTY_PATH, flags.has(AT_EMPTY_PATH));
    lookup
}

impl CurrentTask {
    /// Attributes of what a descriptor and a path name; an empty path may name the descriptor's own file,
    /// which need not have a path (a pipe, a socket).
    fn attr_at(&self, dirfd: i32, path: &[u8], flags: Flags) -> Result<(Attr, Option<Path>)> {
        let cx = self.cx();
        if path.is_empty() && flags.has(AT_EMPTY_PATH) && dirfd >= 0 {
            let file = self.fds.get(dirfd)?;
            return Ok((file.attr(&cx)?, file.path().cloned()));
        }
        let found = resolver::lookup(&cx, &self.at_for(dirfd, path)?, path, lookup_flags(flags))?;
        Ok((found.attr(&cx)?, Some(found)))
    }

    /// Looks up what a descriptor and a path name, for calls that change it.
    pub(super) fn path_at(&self, dirfd: i32, path: &[u8], flags: Flags) -> Result<Path> {
        if path.is_empty() && flags.has(AT_EMPTY_PATH) && dirfd >= 0 {
            return self.fds.get(dirfd)?.path().cloned().ok_or(Errno::EPERM);
        }
        resolver::lookup(
            &self.cx(),
            &self.at_for(dirfd, path)?,
            path,
            lookup_flags(flags),
        )
    }
}

pub(super) fn sys_fstat(task: &mut CurrentTask, fd: i32, to: UserPtr<Stat>) -> Result<()> {
    let attr = task.fds.get(fd)?.attr(&task.cx())?;
    to.write(task, &stat_of(&attr, &task.task.cred().user_ns))
}

pub(super) fn sys_newfstatat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    to: UserPtr<Stat>,
    flags: Flags,
) -> Result<()> {
    flags.only(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)?;
    let (attr, _) = task.attr_at(dirfd, &path.read(task)?, flags)?;
    to.write(task, &stat_of(&attr, &task.task.cred().user_ns))
}

fn statx_time(time: Time) -> StatxTimestamp {
    StatxTimestamp {
        tv_sec: time.sec,
        tv_nsec: time.nsec,
        ..StatxTimestamp::default()
    }
}

pub(super) fn sys_statx(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    flags: Flags,
    mask: u32,
    to: UserPtr<Statx>,
) -> Result<()> {
    check_statx(flags, mask)?;
    let name = statx_path(task, path, flags)?;
    statx(task, dirfd, &name, flags, mask, to)
}

/// Whether statx(2) knows the flags and the mask. `EINVAL`.
pub(super) fn check_statx(flags: Flags, mask: u32) -> Result<()> {
    if mask & STATX__RESERVED != 0 {
        return Err(Errno::EINVAL);
    }
    flags.only(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)?;
    if flags.0 & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// The path of statx(2). A null path means an empty one since Linux 6.11.
pub(super) fn statx_path(task: &CurrentTask, path: UserPath, flags: Flags) -> Result<Vec<u8>> {
    if path.addr() == 0 && flags.has(AT_EMPTY_PATH) {
        Ok(Vec::new())
    } else {
        path.read(task)
    }
}

pub(super) fn statx(
    task: &CurrentTask,
    dirfd: i32,
    name: &[u8],
    flags: Flags,
    mask: u32,
    to: UserPtr<Statx>,
) -> Result<()> {
    let (attr, found) = task.attr_at(dirfd, name, flags)?;
    let cred = task.task.cred();
    let device = |d: DeviceId| (d.major, d.minor);
    let ((dev_major, dev_minor), (rdev_major, rdev_minor)) = (device(attr.dev), device(attr.rdev));
    let mut stx = Statx {
        stx_mask: STATX_BASIC_STATS,
        stx_blksize: attr.blksize,
        stx_nlink: attr.nlink,
        stx_uid: cred.user_ns.shown_uid(attr.uid),
        stx_gid: cred.user_ns.shown_gid(attr.gid),
        stx_mode: attr.st_mode() as u16,
        stx_ino: attr.ino,
        stx_size: attr.size,
        stx_blocks: attr.blocks,
        stx_attributes_mask: STATX_ATTR_MOUNT_ROOT,
        stx_atime: statx_time(attr.atime),
        stx_mtime: statx_time(attr.mtime),
        stx_ctime: statx_time(attr.ctime),
        stx_rdev_major: rdev_major,
        stx_rdev_minor: rdev_minor,
        stx_dev_major: dev_major,
        stx_dev_minor: dev_minor,
        ..Statx::default()
    };
    if let Some(btime) = attr.btime {
        stx.stx_mask |= STATX_BTIME;
        stx.stx_btime = statx_time(btime);
    }
    if let Some(path) = found {
        // The old kind of id is used again, so asking for both gives the new one.
        if mask & STATX_MNT_ID_UNIQUE != 0 {
            stx.stx_mask |= STATX_MNT_ID_UNIQUE;
            stx.stx_mnt_id = path.mount.id() + statmount::UNIQUE_OFFSET;
        } else {
            stx.stx_mask |= STATX_MNT_ID;
            stx.stx_mnt_id = path.mount.id();
        }
        if path.is_mount_root() {
            stx.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
        }
    }
    to.write(task, &stx)
}

/// Mount flags as `f_flags` shows them.
fn statfs_flags(mount: MountFlags) -> u64 {
    let pairs = [
        (MountFlags::RDONLY, ST_RDONLY),
        (MountFlags::NOSUID, ST_NOSUID),
        (MountFlags::NODEV, ST_NODEV),
        (MountFlags::NOEXEC, ST_NOEXEC),
        (MountFlags::NOATIME, ST_NOATIME),
        (MountFlags::NODIRATIME, ST_NODIRATIME),
        (MountFlags::RELATIME, ST_RELATIME),
        (MountFlags::NOSYMFOLLOW, ST_NOSYMFOLLOW),
    ];
    pairs
        .iter()
        .filter(|(flag, _)| mount.contains(*flag))
        .fold(ST_VALID, |bits, (_, st)| bits | st)
}

fn statfs_of(path: &Path) -> Result<Statfs> {
    let st: StatFs = path.mount.statfs()?;
    Ok(Statfs {
        f_type: st.magic,
        f_bsize: st.bsize,
        f_blocks: st.blocks,
        f_bfree: st.bfree,
        f_bavail: st.bavail,
        f_files: st.files,
        f_ffree: st.ffree,
        f_fsid: [st.fsid as i32, (st.fsid >> 32) as i32],
        f_namelen: st.namelen,
        f_frsize: st.bsize,
        f_flags: statfs_flags(path.mount.flags()),
        ..Statfs::default()
    })
}

pub(super) fn sys_statfs(
    task: &mut CurrentTask,
    path: UserPath,
    to: UserPtr<Statfs>,
) -> Result<()> {
    let found = resolver::lookup(
        &task.cx(),
        &task.fs.at_cwd(),
        &path.read(task)?,
        LookupFlags::FOLLOW,
    )?;
    to.write(task, &statfs_of(&found)?)
}

pub(super) fn sys_fstatfs(task: &mut CurrentTask, fd: i32, to: UserPtr<Statfs>) -> Result<()> {
    let file = task.fds.get(fd)?;
    let st = match file.path() {
        Some(path) => statfs_of(path)?,
        None => Statfs {
            f_type: tuxlet_uapi::stat::ANON_INODE_FS_MAGIC,
            f_bsize: 4096,
            f_frsize: 4096,
            f_namelen: 255,
            ..Statfs::default()
        },
    };
    to.write(task, &st)
}

pub(super) fn sys_faccessat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    mode: u32,
) -> Result<()> {
    sys_faccessat2(task, dirfd, path, mode, Flags(0))
}

pub(super) fn sys_faccessat2(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    mode: u32,
    flags: Flags,
) -> Result<()> {
    flags.only(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let path = path.read(task)?;
    let at = task.at_for(dirfd, &path)?;
    access::access(
        &task.cx(),
        &at,
        &path,
        mode,
        lookup_flags(flags),
        flags.has(AT_EACCESS),
    )
}

pub(super) fn sys_fchmod(task: &mut CurrentTask, fd: i32, mode: u32) -> Result<()> {
    let file = task.fds.get(fd)?;
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    setattr::chmod(&task.cx(), file.path().ok_or(Errno::EPERM)?, mode & 0o7777)
}

pub(super) fn sys_fchmodat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    mode: u32,
) -> Result<()> {
    sys_fchmodat2(task, dirfd, path, mode, Flags(0))
}

pub(super) fn sys_fchmodat2(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    mode: u32,
    flags: Flags,
) -> Result<()> {
    flags.only(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let target = task.path_at(dirfd, &path.read(task)?, flags)?;
    setattr::chmod(&task.cx(), &target, mode & 0o7777)
}

/// New owner and group as the kernel has them; `None` leaves one alone. `EINVAL` for what the caller's namespace does not map.
fn owners(task: &CurrentTask, uid: u32, gid: u32) -> Result<(Option<u32>, Option<u32>)> {
    let ns = &task.task.cred().user_ns;
    let given = |raw: u32, global: Option<u32>| match raw {
        u32::MAX => Ok(None),
        _ => global.map(Some).ok_or(Errno::EINVAL),
    };
    Ok((
        given(uid, ns.global_uid(uid))?,
        given(gid, ns.global_gid(gid))?,
    ))
}

pub(super) fn sys_fchown(task: &mut CurrentTask, fd: i32, uid: u32, gid: u32) -> Result<()> {
    let file = task.fds.get(fd)?;
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    let (uid, gid) = owners(task, uid, gid)?;
    setattr::chown(&task.cx(), file.path().ok_or(Errno::EPERM)?, uid, gid)
}

pub(super) fn sys_fchownat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    uid: u32,
    gid: u32,
    flags: Flags,
) -> Result<()> {
    flags.only(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    let target = task.path_at(dirfd, &path.read(task)?, flags)?;
    let (uid, gid) = owners(task, uid, gid)?;
    setattr::chown(&task.cx(), &target, uid, gid)
}

fn set_time(ts: &Timespec) -> Result<Option<SetTime>> {
    match ts.tv_nsec {
        UTIME_NOW => Ok(Some(SetTime::Now)),
        UTIME_OMIT => Ok(None),
        0..1_000_000_000 => Ok(Some(SetTime::At(Time {
            sec: ts.tv_sec,
            nsec: ts.tv_nsec as u32,
        }))),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_utimensat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    times: UserPtr<[Timespec; 2]>,
    flags: Flags,
) -> Result<()> {
    let (atime, mtime) = match times.read_opt(task)? {
        None => (Some(SetTime::Now), Some(SetTime::Now)),
        Some([atime, mtime]) => (set_time(&atime)?, set_time(&mtime)?),
    };
    if atime.is_none() && mtime.is_none() {
        return Ok(());
    }
    flags.only(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
    // A null path means the descriptor itself: futimens(3).
    let target = if path.addr() == 0 {
        if flags.0 != 0 {
            return Err(Errno::EINVAL);
        }
        task.fds.get(dirfd)?.path().cloned().ok_or(Errno::EPERM)?
    } else {
        task.path_at(dirfd, &path.read(task)?, flags)?
    };
    setattr::utimens(&task.cx(), &target, atime, mtime)
}
