//! open(2), openat2(2).

use crate::{
    access::{self, EXEC, READ, WRITE},
    attr::{DeviceId, FileType},
    context::At,
    create::{may_create, new_inode},
    cx::Cx,
    dentry::Dentry,
    file::{File, PathOnly},
    file_ops::FileOps,
    inode::NewKind,
    mount::MountFlags,
    notify,
    path::Path,
    resolver::{self, Followed, Last, LookupFlags, Parent, Walk},
    setattr,
    text_busy::WriteAccess,
    track::{self, ChangeKind},
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};

/// How to open: open_how of openat2(2).
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// `O_*` flags. `O_CLOEXEC` is the kernel's business and ignored here.
    pub flags: OpenFlags,
    /// Mode of a new file, before the umask.
    pub mode: u32,
    /// `RESOLVE_*` flags; others are ignored.
    pub resolve: LookupFlags,
}

impl How {
    /// Flags alone.
    #[must_use]
    pub fn new(flags: OpenFlags) -> Self {
        Self {
            flags,
            mode: 0,
            resolve: LookupFlags::empty(),
        }
    }
}

/// What open(2) found.
#[derive(Debug)]
pub enum Opened {
    /// An open file.
    File(Arc<File>),
    /// A FIFO, socket or device that the file system does not open by itself: the kernel has to.
    Special(Special),
}

/// A FIFO, socket or device whose permissions have been checked.
#[derive(Debug)]
pub struct Special {
    path: Path,
    flags: OpenFlags,
    rdev: DeviceId,
}

impl Special {
    /// Where it is; its type tells what to do.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `O_*` flags.
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        self.flags
    }

    /// The device number, of a device.
    #[must_use]
    pub fn rdev(&self) -> DeviceId {
        self.rdev
    }

    /// The open file, once the kernel has made its operations.
    #[must_use]
    pub fn finish(self, cx: &Cx, ops: Arc<dyn FileOps>) -> Arc<File> {
        File::new(cx, ops, self.path, self.flags)
    }
}

/// Opens `path`.
pub fn open(cx: &Cx, at: &At, path: &[u8], how: &How) -> Result<Opened> {
    let mut flags = how.flags;
    if flags.contains(OpenFlags::PATH) {
        flags &= OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
    }
    let mut walk = how.resolve;
    walk.set(LookupFlags::FOLLOW, !flags.contains(OpenFlags::NOFOLLOW));
    walk.remove(LookupFlags::EMPTY_PATH | LookupFlags::DIRECTORY);
    if flags.contains(OpenFlags::TMPFILE) {
        if !flags.writable() || flags.contains(OpenFlags::CREAT) {
            return Err(Errno::EINVAL);
        }
        let dir = resolver::lookup(cx, at, path, walk | LookupFlags::DIRECTORY)?;
        return open_tmpfile(cx, &dir, how.mode, flags);
    }
    if flags.contains(OpenFlags::CREAT) {
        if flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        return open_create(cx, at, path, how.mode, flags, walk);
    }
    walk.set(LookupFlags::DIRECTORY, flags.contains(OpenFlags::DIRECTORY));
    let found = resolver::lookup(cx, at, path, walk)?;
    open_path(cx, found, flags)
}

/// Opens a file that has been looked up, with all checks of open(2).
pub fn open_path(cx: &Cx, path: Path, flags: OpenFlags) -> Result<Opened> {
    if flags.contains(OpenFlags::PATH) {
        let ops = Arc::new(PathOnly(Arc::clone(path.inode())));
        return Ok(Opened::File(File::new(cx, ops, path, flags)));
    }
    may_open(cx, &path, flags)?;
    // Not while the program runs, and no program runs meanwhile.
    let cut = flags.contains(OpenFlags::TRUNC) && path.dentry.kind() == FileType::Regular;
    let _access = cut.then(|| WriteAccess::of(path.inode())).transpose()?;
    let opened = finish(cx, path.clone(), flags, None)?;
    if cut {
        // Not if it cannot be opened.
        setattr::truncate_at_open(cx, &path)?;
    }
    Ok(opened)
}

/// Opens a program for execve(2): `EACCES` unless it is an executable regular file.
pub fn open_exec(cx: &Cx, path: Path) -> Result<Arc<File>> {
    if path.dentry.kind() == FileType::Symlink {
        return Err(Errno::ELOOP);
    }
    access::may_exec(cx, &path)?;
    let ops = path.inode().open(cx, 0)?;
    Ok(File::new(cx, ops, path, OpenFlags::empty()))
}

fn may_open(cx: &Cx, path: &Path, flags: OpenFlags) -> Result<()> {
    let mut mask = match flags.access_mode() {
        0 => READ,
        1 => WRITE,
        _ => READ | WRITE,
    };
    if flags.contains(OpenFlags::TRUNC) {
        mask |= WRITE;
    }
    let kind = path.dentry.kind();
    match kind {
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Directory if mask & WRITE != 0 => return Err(Errno::EISDIR),
        FileType::CharDevice | FileType::BlockDevice
            if path.mount.flags().contains(MountFlags::NODEV) =>
        {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    let plain = matches!(kind, FileType::Regular | FileType::Directory);
    if plain && mask & WRITE != 0 && path.mount.super_block().read_only() {
        return Err(Errno::EROFS);
    }
    access::permission(cx, path.inode(), mask)?;
    if flags.contains(OpenFlags::NOATIME) && !cx.cred.owner_or_capable(&path.attr(cx)?) {
        return Err(Errno::EPERM);
    }
    if plain && mask & WRITE != 0 {
        path.mount.want_write()?;
    }
    Ok(())
}

/// Lets the file system open the inode, unless it has done so (`opened`), or says that the kernel has to.
fn finish(
    cx: &Cx,
    path: Path,
    flags: OpenFlags,
    opened: Option<Arc<dyn FileOps>>,
) -> Result<Opened> {
    let passed = flags
        - (OpenFlags::CREAT
            | OpenFlags::EXCL
            | OpenFlags::TRUNC
            | OpenFlags::NOFOLLOW
            | OpenFlags::CLOEXEC);
    let access = flags
        .writable()
        .then(|| WriteAccess::of(path.inode()))
        .transpose()?;
    let opened = opened.map_or_else(|| path.inode().open(cx, passed.bits()), Ok);
    match opened {
        Ok(ops) => {
            let file = File::new(cx, ops, path, flags);
            if let Some(access) = access {
                file.keep_write_access(access);
            }
            Ok(Opened::File(file))
        }
        Err(Errno::ENXIO)
            if !matches!(path.dentry.kind(), FileType::Regular | FileType::Directory) =>
        {
            let rdev = path.attr(cx)?.rdev;
            Ok(Opened::Special(Special { path, flags, rdev }))
        }
        Err(e) => Err(e),
    }
}

fn open_tmpfile(cx: &Cx, dir: &Path, mode: u32, flags: OpenFlags) -> Result<Opened> {
    dir.mount.want_write()?;
    access::permission(cx, dir.inode(), WRITE | EXEC)?;
    let (new, inherited) = new_inode(cx, dir.inode(), NewKind::Regular, mode & 0o7777)?;
    let inode = dir.inode().tmpfile(cx, &new)?;
    inherited.apply(cx, &inode)?;
    let label = format!("#{}", inode.id().ino);
    let parent = Some(Arc::clone(&dir.dentry));
    let dentry = Dentry::nameless(dir.mount.super_block(), inode, label.as_bytes(), parent);
    let path = Path {
        mount: Arc::clone(&dir.mount),
        dentry,
    };
    finish(cx, path, flags, None)
}

fn open_create(
    cx: &Cx,
    at: &At,
    path: &[u8],
    mode: u32,
    flags: OpenFlags,
    walk: LookupFlags,
) -> Result<Opened> {
    let exclusive = flags.contains(OpenFlags::EXCL);
    let mut walk = Walk::new(cx, at, walk);
    let mut parent = walk.parent(path)?;
    loop {
        let Last::Name(name) = &parent.last else {
            if parent.last == Last::DotDot {
                walk.up()?;
            }
            return Err(if exclusive {
                Errno::EEXIST
            } else {
                Errno::EISDIR
            });
        };
        if parent.trailing {
            return Err(Errno::EISDIR);
        }
        let found = match walk.child(&parent, name) {
            Ok(found) => found,
            Err(Errno::ENOENT) => match create(cx, &parent, name, mode)? {
                Some((made, ops)) => return finish(cx, made, flags, ops),
                // Someone else was quicker.
                None => continue,
            },
            Err(e) => return Err(e),
        };
        if exclusive {
            return Err(Errno::EEXIST);
        }
        if found.dentry.kind() != FileType::Symlink || flags.contains(OpenFlags::NOFOLLOW) {
            return open_found(cx, &parent.dir, found, flags);
        }
        parent = match walk.follow_to_parent(&parent, &found)? {
            Followed::Parent(next) => next,
            Followed::Jumped(path) => return open_found(cx, &parent.dir, path, flags),
        };
    }
}

/// Opens a file that `O_CREAT` would have made in `dir`.
fn open_found(cx: &Cx, dir: &Path, found: Path, flags: OpenFlags) -> Result<Opened> {
    let kind = found.dentry.kind();
    if kind == FileType::Directory {
        return Err(Errno::EISDIR);
    }
    // What Linux calls may_create_in_sticky, with protected_regular and protected_fifos off as it starts.
    if !matches!(kind, FileType::Regular | FileType::Fifo) {
        let dir = dir.attr(cx)?;
        let owner = found.attr(cx)?.uid;
        if dir.mode & 0o1002 == 0o1002 && owner != dir.uid && owner != cx.cred.fsuid {
            return Err(Errno::EACCES);
        }
    }
    open_path(cx, found, flags)
}

/// A new file and, if the file system has opened it at once, its operations.
type Made = (Path, Option<Arc<dyn FileOps>>);

/// Creates the file; `None` if the name has appeared meanwhile.
fn create(cx: &Cx, parent: &Parent, name: &[u8], mode: u32) -> Result<Option<Made>> {
    let dir = &parent.dir.dentry;
    let lock = dir.lock_dir();
    // The lookup before was without the lock. A file system that has to be asked each time tells when it creates.
    if dir.super_block().fs().caches_dentries() {
        match dir.lookup_locked(cx, name) {
            Ok(_) => return Ok(None),
            Err(Errno::ENOENT) => {}
            Err(e) => return Err(e),
        }
    }
    parent.dir.mount.want_write()?;
    may_create(cx, dir)?;
    let (new, inherited) = new_inode(cx, dir.inode(), NewKind::Regular, mode & 0o7777)?;
    let (inode, ops) = match dir.inode().create_open(cx, name, &new) {
        Err(Errno::EEXIST) => {
            dir.forget_unknown(name);
            return Ok(None);
        }
        other => other?,
    };
    inherited.apply(cx, &inode)?;
    let dentry = dir.adopt(name, inode);
    drop(lock);
    notify::on_entry(dir, name, false, tuxlet_uapi::inotify::IN_CREATE);
    track::entry(cx, &parent.dir, name, false, ChangeKind::Created);
    let path = Path {
        mount: Arc::clone(&parent.dir.mount),
        dentry,
    };
    Ok(Some((path, ops)))
}
