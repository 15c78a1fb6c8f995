//! setxattr(2), getxattr(2), listxattr(2), removexattr(2), each also for links and for descriptors.

use super::{Flags, UserPath, UserPtr};
use crate::task::CurrentTask;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{XATTR_NAME_MAX, XATTR_SIZE_MAX},
};
use tuxlet_vfs::{LookupFlags, Path, resolver, xattr};

impl CurrentTask {
    fn xattr_path(&self, path: UserPath, follow: bool) -> Result<Path> {
        let mut lookup = LookupFlags::empty();
        lookup.set(LookupFlags::FOLLOW, follow);
        resolver::lookup(&self.cx(), &self.fs.at_cwd(), &path.read(self)?, lookup)
    }

    /// The inode behind a descriptor; one outside all file systems has no attributes.
    fn xattr_fd(&self, fd: i32) -> Result<Path> {
        let file = self.fds.get(fd)?;
        if file.is_path_only() {
            return Err(Errno::EBADF);
        }
        file.path().cloned().ok_or(Errno::EOPNOTSUPP)
    }

    fn xattr_name(&self, name: u64) -> Result<Vec<u8>> {
        let name = self
            .mm
            .space
            .copy_in_cstr(name, XATTR_NAME_MAX + 1)?
            .ok_or(Errno::ERANGE)?;
        if name.is_empty() {
            Err(Errno::ERANGE)
        } else {
            Ok(name)
        }
    }

    fn set_xattr(
        &self,
        path: &Path,
        name: u64,
        value: u64,
        size: usize,
        flags: Flags,
    ) -> Result<()> {
        flags.only(3)?;
        let name = self.xattr_name(name)?;
        if size > XATTR_SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        let mut bytes = vec![0; size];
        self.mm.space.read_bytes(value, &mut bytes)?;
        xattr::set(&self.cx(), path, &name, &bytes, flags.0)
    }

    fn get_xattr(&self, path: &Path, name: u64, value: UserPtr<u8>, size: usize) -> Result<usize> {
        let name = self.xattr_name(name)?;
        let found = xattr::get(&self.cx(), path, &name)?;
        self.return_bytes(&found, value, size)
    }

    /// With room for nothing only the size is asked for. `ERANGE` if it does not fit.
    fn return_bytes(&self, bytes: &[u8], to: UserPtr<u8>, room: usize) -> Result<usize> {
        if room == 0 {
            return Ok(bytes.len());
        }
        if bytes.len() > room {
            return Err(Errno::ERANGE);
        }
        self.mm.space.write_bytes(to.addr(), bytes)?;
        Ok(bytes.len())
    }

    fn list_xattr(&self, path: &Path, list: UserPtr<u8>, size: usize) -> Result<usize> {
        let names = xattr::list(&self.cx(), path)?;
        self.return_bytes(&names, list, size)
    }

    fn remove_xattr(&self, path: &Path, name: u64) -> Result<()> {
        let name = self.xattr_name(name)?;
        xattr::remove(&self.cx(), path, &name)
    }
}

macro_rules! by_path {
    ($set:ident, $get:ident, $list:ident, $remove:ident, $what:ty, $find:expr) => {
        pub(super) fn $set(
            task: &mut CurrentTask,
            what: $what,
            name: u64,
            value: u64,
            size: usize,
            flags: Flags,
        ) -> Result<()> {
            let path = $find(task, what)?;
            task.set_xattr(&path, name, value, size, flags)
        }

        pub(super) fn $get(
            task: &mut CurrentTask,
            what: $what,
            name: u64,
            value: UserPtr<u8>,
            size: usize,
        ) -> Result<usize> {
            let path = $find(task, what)?;
            task.get_xattr(&path, name, value, size)
        }

        pub(super) fn $list(
            task: &mut CurrentTask,
            what: $what,
            list: UserPtr<u8>,
            size: usize,
        ) -> Result<usize> {
            let path = $find(task, what)?;
            task.list_xattr(&path, list, size)
        }

        pub(super) fn $remove(task: &mut CurrentTask, what: $what, name: u64) -> Result<()> {
            let path = $find(task, what)?;
            task.remove_xattr(&path, name)
        }
    };
}

by_path!(
    sys_setxattr,
    sys_getxattr,
    sys_listxattr,
    sys_removexattr,
    UserPath,
    |t: &CurrentTask, p| t.xattr_path(p, true)
);
by_path!(
    sys_lsetxattr,
    sys_lgetxattr,
    sys_llistxattr,
    sys_lremovexattr,
    UserPath,
    |t: &CurrentTask, p| t.xattr_path(p, false)
);
by_path!(
    sys_fsetxattr,
    sys_fgetxattr,
    sys_flistxattr,
    sys_fremovexattr,
    i32,
    |t: &CurrentTask, fd| t.xattr_fd(fd)
);
