//! inotify_init1(2), inotify_add_watch(2), inotify_rm_watch(2).

use super::{Flags, UserPath};
use crate::{
    inotify::{self, Inotify},
    task::CurrentTask,
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    inotify::{
        IN_ALL_EVENTS, IN_CLOEXEC, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_MASK_ADD, IN_MASK_CREATE,
        IN_NONBLOCK, IN_ONESHOT, IN_ONLYDIR,
    },
};
use tuxlet_vfs::{LookupFlags, access, resolver};

/// Bits of a mask that mean something to inotify_add_watch(2); others are ignored, but one must be there.
const MEANINGFUL: u32 =
    IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_ONESHOT | IN_MASK_ADD;

pub(super) fn sys_inotify_init1(task: &mut CurrentTask, flags: Flags) -> Result<i32> {
    flags.only(IN_CLOEXEC | IN_NONBLOCK)?;
    let status = OpenFlags::from_bits_truncate(flags.0) & OpenFlags::NONBLOCK;
    let file = inotify::open(&task.cx(), status);
    task.install_fd(file, flags.has(IN_CLOEXEC))
}

pub(super) fn sys_inotify_add_watch(
    task: &mut CurrentTask,
    fd: i32,
    path: UserPath,
    mask: Flags,
) -> Result<i32> {
    if !mask.has(MEANINGFUL | IN_MASK_CREATE) {
        return Err(Errno::EINVAL);
    }
    let file = task.fds.get(fd)?;
    if mask.has(IN_MASK_ADD) && mask.has(IN_MASK_CREATE) {
        return Err(Errno::EINVAL);
    }
    let inotify = file.ops_as::<Inotify>().ok_or(Errno::EINVAL)?;
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, !mask.has(IN_DONT_FOLLOW));
    lookup.set(LookupFlags::DIRECTORY, mask.has(IN_ONLYDIR));
    let cx = task.cx();
    let path = resolver::lookup(&cx, &task.fs.at_cwd(), &path.read(task)?, lookup)?;
    access::permission(&cx, path.inode(), access::READ)?;
    inotify.add(&path, mask.0)
}

pub(super) fn sys_inotify_rm_watch(task: &mut CurrentTask, fd: i32, wd: i32) -> Result<()> {
    let file = task.fds.get(fd)?;
    file.ops_as::<Inotify>().ok_or(Errno::EINVAL)?.remove(wd)
}
