//! The traits a file system implements.

use crate::{
    attr::{Attr, DeviceId, FileType, SetAttr, StatFs},
    cx::Cx,
    file_ops::FileOps,
    notify,
    path::Path,
};
use bitflags::bitflags;
use parking_lot::Mutex;
use std::{any::Any, fmt::Debug, sync::Arc};
use tuxlet_uapi::errno::{Errno, Result};

/// A shared inode.
pub type InodeRef = Arc<dyn Inode>;

/// Identity of an inode within a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId {
    /// Device number of its file system.
    pub dev: DeviceId,
    /// Inode number.
    pub ino: u64,
}

/// Per-inode state that belongs to the VFS and the kernel, not to the file system: file locks, the pipe behind
/// a FIFO, the socket bound to a path. Each file system keeps exactly one in-memory inode per inode number while
/// anything refers to it, and embeds one of these in it.
#[derive(Debug, Default)]
pub struct Anchor {
    slots: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

impl Anchor {
    /// The value of type `T` kept here, made by `make` if there is none yet.
    pub fn get_or_insert<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut slots = self.slots.lock();
        if let Some(found) = slots
            .iter()
            .find_map(|s| Arc::clone(s).downcast::<T>().ok())
        {
            return found;
        }
        let made = Arc::new(make());
        slots.push(made.clone());
        made
    }

    /// The value of type `T` kept here, if any.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.slots
            .lock()
            .iter()
            .find_map(|s| Arc::clone(s).downcast::<T>().ok())
    }

    /// Removes the value of type `T`.
    pub fn remove<T: Any + Send + Sync>(&self) {
        self.slots.lock().retain(|s| !(**s).is::<T>());
    }
}

/// Where a symbolic link leads.
#[derive(Clone, Debug)]
pub enum Link {
    /// To a path, walked from the link's directory.
    Path(Vec<u8>),
    /// Straight to a file, as `/proc/PID/fd/N` and `/proc/PID/exe` do; the bytes are what readlink(2) shows.
    Jump(Path, Vec<u8>),
}

/// What to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKind<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(&'a [u8]),
    /// A FIFO.
    Fifo,
    /// A Unix socket's name.
    Socket,
    /// A character device.
    CharDevice(DeviceId),
    /// A block device.
    BlockDevice(DeviceId),
}

/// A new inode; the umask, the set-group-id rule and permissions have been dealt with.
#[derive(Clone, Copy, Debug)]
pub struct NewInode<'a> {
    /// Type and its data.
    pub kind: NewKind<'a>,
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

bitflags! {
    /// Flags of renameat2(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail with `EEXIST` if the new name exists.
        const NOREPLACE = 1;
        /// Exchange the two names.
        const EXCHANGE = 2;
        /// Leave a whiteout at the old name.
        const WHITEOUT = 4;
    }
}

/// A file system instance.
pub trait FileSystem: Send + Sync + Debug {
    /// The type's name as `/proc/filesystems` has it.
    fn name(&self) -> &'static str;
    /// The root directory.
    fn root(&self) -> InodeRef;
    /// The device number in `st_dev`.
    fn dev(&self) -> DeviceId;
    /// Sizes and limits.
    fn statfs(&self) -> Result<StatFs>;
    /// Makes everything durable: syncfs(2).
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    /// Whether dentries may be cached without asking [`Inode::lookup`] again: true when only the guest changes it.
    fn caches_dentries(&self) -> bool {
        true
    }
    /// File system specific mount options, for `/proc/mounts`; empty or starting with a comma.
    fn show_options(&self) -> String {
        String::new()
    }
    /// Whether nothing in it can ever be changed, however it is mounted.
    fn read_only(&self) -> bool {
        false
    }
    /// How many file systems are stacked here, each on the one below; 0 for one that stands on its own.
    fn stack_depth(&self) -> u32 {
        0
    }
    /// Whether files hold what was written to them; false where writing is a message to the kernel: `/proc`, `/sys`.
    fn keeps_changes(&self) -> bool {
        true
    }
}

/// An inode. Defaults return the errno that the man page names for a type without the operation.
/// Permission and name checks are done by the VFS before; races (a name that has appeared or gone) are the file
/// system's to detect under its own locks.
pub trait Inode: Send + Sync + Debug + Any {
    /// The file system.
    fn fs(&self) -> Arc<dyn FileSystem>;
    /// Identity.
    fn id(&self) -> InodeId;
    /// Type; never changes.
    fn kind(&self) -> FileType;
    /// Attributes: stat(2).
    fn attr(&self, cx: &Cx) -> Result<Attr>;
    /// State kept here for the VFS and the kernel.
    fn anchor(&self) -> &Anchor;
    /// As `Any`, for a file system to find its own inodes among arguments.
    fn as_any(&self) -> &dyn Any;

    /// The entry `name` (never `.` or `..`); `ENOENT` if there is none.
    fn lookup(&self, cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let _ = (cx, name);
        Err(Errno::ENOTDIR)
    }
    /// Creates an entry; `EEXIST` if there is one.
    fn create(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
        let _ = (cx, name, new);
        Err(Errno::EPERM)
    }
    /// Creates a regular file as [`Inode::create`] does and opens it for reading and writing, where that is one step;
    /// without open file the VFS opens it. The VFS holds the user to the access mode asked for.
    fn create_open(
        &self,
        cx: &Cx,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<(InodeRef, Option<Arc<dyn FileOps>>)> {
        Ok((self.create(cx, name, new)?, None))
    }
    /// An unnamed regular file in this file system: `O_TMPFILE`. It may be linked in later.
    fn tmpfile(&self, cx: &Cx, new: &NewInode<'_>) -> Result<InodeRef> {
        let _ = (cx, new);
        Err(Errno::EOPNOTSUPP)
    }
    /// Adds a name for `target`, an inode of this file system: link(2).
    fn link(&self, cx: &Cx, name: &[u8], target: &InodeRef) -> Result<()> {
        let _ = (cx, name, target);
        Err(Errno::EPERM)
    }
    /// Removes an entry that is not a directory: unlink(2).
    fn unlink(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        let _ = (cx, name);
        Err(Errno::EPERM)
    }
    /// Removes an empty directory: rmdir(2).
    fn rmdir(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        let _ = (cx, name);
        Err(Errno::EPERM)
    }
    /// Renames an entry of this directory into `new_dir` of the same file system: renameat2(2). The VFS has
    /// excluded moving a directory below itself and holds the file system's rename lock.
    fn rename(
        &self,
        cx: &Cx,
        name: &[u8],
        new_dir: &InodeRef,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let _ = (cx, name, new_dir, new_name, flags);
        Err(Errno::EPERM)
    }
    /// A symbolic link's target.
    fn readlink(&self, cx: &Cx) -> Result<Link> {
        let _ = cx;
        Err(Errno::EINVAL)
    }
    /// Changes attributes.
    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        let _ = (cx, set);
        Err(Errno::EPERM)
    }
    /// The data were read, the directory listed or the link followed: updates the access time, without `always` as
    /// relatime does (only if it is not newer than the other times, or a day old). The VFS has looked at the mount's
    /// flags. Default: no access times.
    fn accessed(&self, cx: &Cx, always: bool) {
        let _ = (cx, always);
    }
    /// Overrides the ordinary owner/group/other check; `None` means: use it. `mask` is a combination of 4, 2, 1.
    fn permission(&self, cx: &Cx, mask: u32) -> Option<Result<()>> {
        let _ = (cx, mask);
        None
    }
    /// Opens the inode itself; `flags` are the `O_*` flags of open(2) less those that the VFS has dealt with
    /// (`O_CREAT`, `O_EXCL`, `O_TRUNC`, `O_NOFOLLOW`, `O_CLOEXEC`). FIFOs, sockets and devices need not be opened here:
    /// the kernel opens them by [`Inode::kind`] and `rdev`, unless this returns something for them. A file system
    /// that leaves them to the kernel returns `ENXIO`.
    fn open(&self, cx: &Cx, flags: u32) -> Result<Arc<dyn FileOps>>;

    /// Has changes told from outside from now on by [`notify::from_outside`], those of the guest included: for files that others than the
    /// guest change. `None` leaves it to the VFS.
    fn watch_outside(&self) -> Option<Arc<dyn notify::Outside>> {
        None
    }

    /// An extended attribute's value: getxattr(2).
    fn get_xattr(&self, cx: &Cx, name: &[u8]) -> Result<Vec<u8>> {
        let _ = (cx, name);
        Err(Errno::EOPNOTSUPP)
    }
    /// Sets an extended attribute; `flags` are `XATTR_CREATE` (1) and `XATTR_REPLACE` (2).
    fn set_xattr(&self, cx: &Cx, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        let _ = (cx, name, value, flags);
        Err(Errno::EOPNOTSUPP)
    }
    /// The names of the extended attributes.
    fn list_xattr(&self, cx: &Cx) -> Result<Vec<Vec<u8>>> {
        let _ = cx;
        Ok(Vec::new())
    }
    /// Removes an extended attribute; `ENODATA` if there is none.
    fn remove_xattr(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        let _ = (cx, name);
        Err(Errno::EOPNOTSUPP)
    }
}
