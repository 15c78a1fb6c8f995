//! openat(2), openat2(2), close(2), close_range(2), dup(2), truncation, syncing.

use super::{Flags, UserPath, UserPtr};
use crate::task::CurrentTask;
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{AT_FDCWD, CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE, O_CLOEXEC, OpenFlags, OpenHow},
    resource::RLIMIT_NOFILE,
};
use tuxlet_vfs::{
    At, File, LookupFlags,
    open::{self, How, Opened},
    resolver,
};

const MODE_BITS: u32 = 0o7777;
/// Size of the first version of `struct open_how`.
const OPEN_HOW_SIZE_VER0: usize = 24;

impl CurrentTask {
    /// Where a path relative to a descriptor starts. `EBADF`, `ENOTDIR`.
    pub fn at(&self, dirfd: i32) -> Result<At> {
        if dirfd == AT_FDCWD {
            return Ok(self.fs.at_cwd());
        }
        let file = self.fds.get(dirfd)?;
        let path = file.path().ok_or(Errno::ENOTDIR)?.clone();
        Ok(self.fs.at(path))
    }

    /// Where a path starts; a descriptor that an absolute path makes unnecessary is not looked at.
    pub fn at_for(&self, dirfd: i32, path: &[u8]) -> Result<At> {
        if path.starts_with(b"/") {
            Ok(self.fs.at_cwd())
        } else {
            self.at(dirfd)
        }
    }

    /// Soft limit of open descriptors.
    pub fn max_fds(&self) -> u64 {
        self.task.group().rlimit(RLIMIT_NOFILE)
    }

    /// Puts a new file at the lowest free descriptor. `EMFILE`.
    pub fn install_fd(&self, file: Arc<File>, close_on_exec: bool) -> Result<i32> {
        self.fds.install(file, close_on_exec, 0, self.max_fds())
    }

    /// Makes a directory the working directory: chdir(2).
    pub fn change_directory(&self, path: &[u8]) -> Result<()> {
        let cx = self.cx();
        let dir = resolver::lookup(
            &cx,
            &self.fs.at_cwd(),
            path,
            LookupFlags::FOLLOW | LookupFlags::DIRECTORY,
        )?;
        tuxlet_vfs::access::may_chdir(&cx, &dir)?;
        self.fs.set_cwd(dir);
        Ok(())
    }

    /// Opens a path with everything that open(2) does, FIFOs and devices included.
    pub fn open_at(&mut self, dirfd: i32, path: &[u8], how: &How) -> Result<Arc<File>> {
        let cx = self.cx();
        let at = self.at_for(dirfd, path)?;
        match open::open(&cx, &at, path, how)? {
            Opened::File(file) => {
                crate::tty::opened(self, &file, how.flags);
                Ok(file)
            }
            Opened::Special(special) => crate::special::open(self, special),
        }
    }
}

pub(super) fn sys_openat(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    flags: Flags,
    mode: u32,
) -> Result<i32> {
    let path = path.read(task)?;
    let how = open_how(flags.0, mode);
    let file = task.open_at(dirfd, &path, &how)?;
    task.install_fd(file, flags.has(O_CLOEXEC))
}

/// How open(2) opens. It ignores flags that it does not know; openat2(2) does not.
pub(super) fn open_how(flags: u32, mode: u32) -> How {
    How {
        flags: OpenFlags::from_bits_truncate(flags),
        mode: mode & MODE_BITS,
        resolve: LookupFlags::empty(),
    }
}

pub(super) fn sys_openat2(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    how: UserPtr<OpenHow>,
    size: usize,
) -> Result<i32> {
    let how = read_how(task, how, size)?;
    let path = path.read(task)?;
    let file = task.open_resolved(dirfd, &path, &how)?;
    let close_on_exec = how.flags.contains(OpenFlags::CLOEXEC);
    task.install_fd(file, close_on_exec)
}

/// Reads what openat2(2) is to do. `EINVAL`, `E2BIG`.
pub(super) fn read_how(task: &CurrentTask, how: UserPtr<OpenHow>, size: usize) -> Result<How> {
    if size < OPEN_HOW_SIZE_VER0 {
        return Err(Errno::EINVAL);
    }
    let how: OpenHow = task.read_extensible(how.addr(), size.min(4096))?;
    let flags = u32::try_from(how.flags)
        .ok()
        .and_then(OpenFlags::from_bits)
        .ok_or(Errno::EINVAL)?;
    let creates = flags.contains(OpenFlags::CREAT) || flags.contains(OpenFlags::TMPFILE);
    if (!creates && how.mode != 0) || how.mode & !u64::from(MODE_BITS) != 0 {
        return Err(Errno::EINVAL);
    }
    let resolve = LookupFlags::from_bits(how.resolve)
        .filter(|r| r.bits() < 1 << 32)
        .ok_or(Errno::EINVAL)?;
    if resolve.contains(LookupFlags::BENEATH | LookupFlags::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    Ok(How {
        flags,
        mode: how.mode as u32,
        resolve,
    })
}

impl CurrentTask {
    /// Opens as openat2(2) does.
    pub(super) fn open_resolved(
        &mut self,
        dirfd: i32,
        path: &[u8],
        how: &How,
    ) -> Result<Arc<File>> {
        let scoped = LookupFlags::BENEATH | LookupFlags::IN_ROOT;
        if path.starts_with(b"/") && !how.resolve.intersects(scoped) {
            self.open_at(AT_FDCWD, path, how)
        } else {
            self.open_scoped(dirfd, path, how)
        }
    }

    /// As [`CurrentTask::open_at`], but the descriptor counts for absolute paths too (`RESOLVE_IN_ROOT`).
    fn open_scoped(&mut self, dirfd: i32, path: &[u8], how: &How) -> Result<Arc<File>> {
        let at = self.at(dirfd)?;
        match open::open(&self.cx(), &at, path, how)? {
            Opened::File(file) => Ok(file),
            Opened::Special(special) => crate::special::open(self, special),
        }
    }
}

pub(super) fn sys_close(task: &mut CurrentTask, fd: i32) -> Result<()> {
    task.fds.close(&task.cx(), fd)
}

pub(super) fn sys_close_range(
    task: &mut CurrentTask,
    first: u32,
    last: u32,
    flags: Flags,
) -> Result<()> {
    flags.only(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)?;
    if first > last {
        return Err(Errno::EINVAL);
    }
    if flags.has(CLOSE_RANGE_UNSHARE) {
        task.unshare_fds();
    }
    if flags.has(CLOSE_RANGE_CLOEXEC) {
        task.fds.mark_range(first, last);
    } else {
        task.fds.close_range(&task.cx(), first, last);
    }
    Ok(())
}

pub(super) fn sys_dup(task: &mut CurrentTask, fd: i32) -> Result<i32> {
    let file = task.fds.get(fd)?;
    task.install_fd(file, false)
}

pub(super) fn sys_dup3(task: &mut CurrentTask, old: i32, new: i32, flags: Flags) -> Result<i32> {
    flags.only(O_CLOEXEC)?;
    if old == new {
        return Err(Errno::EINVAL);
    }
    let file = task.fds.get(old)?;
    if let Some(replaced) = task
        .fds
        .replace(new, file, flags.has(O_CLOEXEC), task.max_fds())?
    {
        // Like Linux, an error of the implicit close is lost.
        let _ = replaced.flush(&task.cx());
    }
    Ok(new)
}

pub(super) fn sys_truncate(task: &mut CurrentTask, path: UserPath, len: i64) -> Result<()> {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let cx = task.cx();
    let target = resolver::lookup(
        &cx,
        &task.fs.at_cwd(),
        &path.read(task)?,
        LookupFlags::FOLLOW,
    )?;
    task.size_limited(tuxlet_vfs::setattr::truncate(&cx, &target, len))
}

pub(super) fn sys_ftruncate(task: &mut CurrentTask, fd: i32, len: i64) -> Result<()> {
    let len = u64::try_from(len).map_err(|_| Errno::EINVAL)?;
    let file = task.fds.get(fd)?;
    task.size_limited(tuxlet_vfs::setattr::ftruncate(&task.cx(), &file, len))
}

pub(super) fn sys_fallocate(
    task: &mut CurrentTask,
    fd: i32,
    mode: u32,
    offset: i64,
    len: i64,
) -> Result<()> {
    let file = task.fds.get(fd)?;
    fallocate(task, &file, mode, offset, len)
}

pub(super) fn fallocate(
    task: &mut CurrentTask,
    file: &File,
    mode: u32,
    offset: i64,
    len: i64,
) -> Result<()> {
    let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
        return Err(if file.is_path_only() {
            Errno::EBADF
        } else {
            Errno::EINVAL
        });
    };
    let result = file.fallocate(&task.cx(), mode, offset, len);
    task.size_limited(result)
}

/// The file of a descriptor that is more than a handle of a path. `EBADF`.
fn opened(task: &CurrentTask, fd: i32) -> Result<Arc<File>> {
    let file = task.fds.get(fd)?;
    if file.is_path_only() {
        Err(Errno::EBADF)
    } else {
        Ok(file)
    }
}

pub(super) fn sys_fsync(task: &mut CurrentTask, fd: i32) -> Result<()> {
    opened(task, fd)?.ops().fsync(&task.cx(), false)
}

pub(super) fn sys_fdatasync(task: &mut CurrentTask, fd: i32) -> Result<()> {
    opened(task, fd)?.ops().fsync(&task.cx(), true)
}

pub(super) fn sys_sync(task: &mut CurrentTask) -> Result<()> {
    for info in task.kernel.mounts.list(&task.kernel.mounts.root()) {
        // sync(2) always succeeds; errors show at the next fsync(2).
        let _ = info.mount.fs().sync();
    }
    Ok(())
}

pub(super) fn sys_syncfs(task: &mut CurrentTask, fd: i32) -> Result<()> {
    let file = opened(task, fd)?;
    file.path().map_or(Ok(()), |p| p.mount.fs().sync())
}

/// sync_file_range(2) promises little: an fsync does at least as much.
pub(super) fn sys_sync_file_range(
    task: &mut CurrentTask,
    fd: i32,
    _offset: i64,
    _len: i64,
    flags: Flags,
) -> Result<()> {
    let file = opened(task, fd)?;
    sync_file_range(task, &file, flags)
}

pub(super) fn sync_file_range(task: &CurrentTask, file: &File, flags: Flags) -> Result<()> {
    flags.only(7)?;
    file.ops().fsync(&task.cx(), true)
}

/// Advice changes nothing but must be well-formed: posix_fadvise(2).
pub(super) fn sys_fadvise64(
    task: &mut CurrentTask,
    fd: i32,
    _offset: i64,
    len: i64,
    advice: u32,
) -> Result<()> {
    let file = opened(task, fd)?;
    fadvise(&file, len, advice)
}

pub(super) fn fadvise(file: &File, len: i64, advice: u32) -> Result<()> {
    if !file.ops().seekable() {
        return Err(Errno::ESPIPE);
    }
    if len < 0 || advice > 5 {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

pub(super) fn sys_readahead(
    task: &mut CurrentTask,
    fd: i32,
    _offset: i64,
    _count: u64,
) -> Result<()> {
    let file = task.fds.get(fd)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    if file.ops().seekable() {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}
