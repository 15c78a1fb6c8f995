//! ioctl(2): what concerns the descriptor or any file is done here, the rest by the file.

use super::{Flags, UserPtr, namespaces};
use crate::{
    async_io,
    ns::file::NsFile,
    seccomp::notify::{self, ListenerFile},
    task::CurrentTask,
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    ioctl::{
        FICLONE, FICLONERANGE, FIGETBSZ, FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE,
    },
};
use tuxlet_vfs::FileType;

pub(super) fn sys_ioctl(task: &mut CurrentTask, fd: i32, request: Flags, arg: u64) -> Result<i64> {
    let file = task.fds.get(fd)?;
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    let cx = task.cx();
    let kind = file.inode().map(|i| i.kind());
    match request.0 {
        FIOCLEX => task.fds.set_close_on_exec(fd, true).map(|()| 0),
        FIONCLEX => task.fds.set_close_on_exec(fd, false).map(|()| 0),
        FIONBIO | FIOASYNC => {
            let on = UserPtr::<i32>::new(arg).read(task)? != 0;
            let mut flags = file.flags();
            let flag = if request.0 == FIONBIO {
                OpenFlags::NONBLOCK
            } else {
                OpenFlags::ASYNC
            };
            flags.set(flag, on);
            async_io::set_flags(&task.kernel, &cx, fd, &file, flags).map(|()| 0)
        }
        FIOQSIZE => match kind {
            Some(FileType::Regular | FileType::Directory | FileType::Symlink) => {
                let size = file.attr(&cx)?.size.cast_signed();
                UserPtr::<i64>::new(arg).write(task, &size).map(|()| 0)
            }
            _ => Err(Errno::ENOTTY),
        },
        FIGETBSZ if kind.is_some() => {
            let size = file.attr(&cx)?.blksize as i32;
            UserPtr::<i32>::new(arg).write(task, &size).map(|()| 0)
        }
        FIONREAD if kind == Some(FileType::Regular) => {
            let left = file.attr(&cx)?.size.saturating_sub(file.pos());
            UserPtr::<i32>::new(arg)
                .write(task, &(left as i32))
                .map(|()| 0)
        }
        FICLONE | FICLONERANGE => Err(Errno::EOPNOTSUPP),
        request if let Some(listener) = file.ops_as::<ListenerFile>() => {
            notify::ioctl(task, listener, request, arg)
        }
        request if let Some(ns) = file.ops_as::<NsFile>() => {
            namespaces::ioctl(task, ns, request, arg)
        }
        request => file.ops().ioctl(&cx, request, arg, &task.mm.space),
    }
}
