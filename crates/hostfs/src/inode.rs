//! The VFS' view of a host file: names and attributes.

use crate::{
    dir::OpenDir,
    file::OpenFile,
    node::{Key, Node, Place},
};
use std::{any::Any, sync::Arc};
use tuxlet_host::fs::{Dir, File, OpenFile as How, SetTimes, Stat};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{
    Anchor, Attr, Cx, FileOps, FileSystem, FileType, Inode, InodeId, InodeRef, Link, NewInode,
    NewKind, RenameFlags, SetAttr, SetTime, notify,
};

const O_ACCMODE: u32 = 3;
const O_RDONLY: u32 = 0;
const O_WRONLY: u32 = 1;

/// What was just made: under its name or open.
enum Made<'a> {
    Name(&'a Dir, &'a [u8]),
    File(&'a File),
}

impl Made<'_> {
    fn stat(&self) -> Result<Stat> {
        match self {
            Self::Name(dir, name) => dir.stat(name),
            Self::File(file) => file.stat(),
        }
    }
    fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        match self {
            Self::Name(dir, name) => dir.set_owner(name, Some(uid), Some(gid)),
            Self::File(file) => file.set_owner(Some(uid), Some(gid)),
        }
    }
    fn set_mode(&self, mode: u32) -> Result<()> {
        match self {
            Self::Name(dir, name) => dir.set_mode(name, mode),
            Self::File(file) => file.set_mode(mode),
        }
    }
}

impl Node {
    fn child(&self, name: &[u8]) -> Place {
        Place {
            parent: Some(self.strong()),
            name: name.to_vec(),
        }
    }

    /// The inode with a name, with what the host tells of it noted.
    fn found(&self, cx: &Cx, name: &[u8], stat: &Stat) -> Result<Arc<Self>> {
        let node = self.shared.met(stat, self.child(name))?;
        node.told(cx, *stat);
        Ok(node)
    }

    /// Gives what was just made the owner and mode asked for. The host may refuse another owner than the one
    /// that the process runs as.
    fn settle(&self, made: &Made<'_>, stat: Stat, new: &NewInode<'_>) -> Result<Stat> {
        let owners = self.shared.owners;
        let (uid, gid) = (owners.host_uid(new.uid), owners.host_gid(new.gid));
        let mut chowned = false;
        if (stat.uid, stat.gid) != (uid, gid) {
            match made.set_owner(uid, gid) {
                Ok(()) => chowned = true,
                Err(Errno::EPERM) => {}
                Err(e) => return Err(e),
            }
        }
        // The host's umask took bits away, or chown(2) does.
        let link = matches!(new.kind, NewKind::Symlink(_));
        if !link && (chowned || stat.mode & 0o7777 != new.mode) {
            made.set_mode(new.mode)?;
        } else if !chowned {
            return Ok(stat);
        }
        made.stat()
    }

    /// Makes a regular file and leaves it open.
    fn make_file(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<(Arc<Self>, File)> {
        let how = How {
            read: true,
            write: true,
            create: Some(new.mode),
            exclusive: true,
            truncate: false,
        };
        let (file, stat) = self.dir()?.open_file_stat(name, how)?;
        self.changed();
        let stat = self.settle(&Made::File(&file), stat, new)?;
        Ok((self.found(cx, name, &stat)?, file))
    }

    /// The node that a name of this directory has, if it is in memory, and how many names it has.
    fn known(&self, dir: &Dir, name: &[u8]) -> Option<(Arc<Self>, u64)> {
        let stat = dir.stat(name).ok()?;
        Some((self.shared.known(Key::of(&stat))?, stat.nlink))
    }

    fn own<'a>(&self, inode: &'a InodeRef) -> Result<&'a Self> {
        let node = (**inode)
            .as_any()
            .downcast_ref::<Self>()
            .ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&node.shared, &self.shared) {
            Ok(node)
        } else {
            Err(Errno::EXDEV)
        }
    }

    /// One of the `names` of this inode is gone.
    fn unnamed(self: &Arc<Self>, names: u64) {
        self.changed();
        let named = self.kind != FileType::Directory
            && if names > 1 {
                self.stat().is_ok_and(|s| s.nlink > 0)
            } else {
                self.handle()
                    .is_some_and(|file| file.stat().is_ok_and(|s| s.nlink > 0))
            };
        // Without any name the host may use the number again.
        if !named {
            self.shared.release(self);
        }
    }
}

impl Inode for Node {
    fn fs(&self) -> Arc<dyn FileSystem> {
        self.shared.mounted()
    }
    fn id(&self) -> InodeId {
        InodeId {
            dev: self.shared.options.dev,
            ino: self.ino,
        }
    }
    fn kind(&self) -> FileType {
        self.kind
    }
    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Ok(self.guest_attr(&self.stat_once(cx)?))
    }
    fn anchor(&self) -> &Anchor {
        &self.anchor
    }
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lookup(&self, cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let stat = self.dir()?.stat(name)?;
        Ok(self.found(cx, name, &stat)?)
    }

    fn create(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
        let dir = self.dir()?;
        match new.kind {
            NewKind::Regular => return Ok(self.make_file(cx, name, new)?.0),
            NewKind::Directory => dir.make_dir(name, new.mode)?,
            NewKind::Symlink(target) => dir.make_symlink(target, name)?,
            NewKind::Fifo => dir.make_fifo(name, new.mode)?,
            NewKind::Socket => dir.make_socket(name, new.mode)?,
            // A guest must not get at the host's devices.
            NewKind::CharDevice(_) | NewKind::BlockDevice(_) => return Err(Errno::EPERM),
        }
        self.changed();
        let stat = self.settle(&Made::Name(&dir, name), dir.stat(name)?, new)?;
        Ok(self.found(cx, name, &stat)?)
    }

    fn create_open(
        &self,
        cx: &Cx,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<(InodeRef, Option<Arc<dyn FileOps>>)> {
        let (node, file) = self.make_file(cx, name, new)?;
        let open = OpenFile {
            file: node.opened(file, true),
            node: Arc::clone(&node),
            write: true,
        };
        Ok((node, Some(Arc::new(open))))
    }

    fn link(&self, _: &Cx, name: &[u8], target: &InodeRef) -> Result<()> {
        let target = self.own(target)?;
        if target.kind == FileType::Directory {
            return Err(Errno::EPERM);
        }
        let (from, old_name) = target.host_name()?;
        from.link(&old_name, &*self.dir()?, name)?;
        self.changed();
        target.changed();
        Ok(())
    }

    fn unlink(&self, _: &Cx, name: &[u8]) -> Result<()> {
        let dir = self.dir()?;
        let node = self.known(&dir, name);
        dir.unlink(name)?;
        self.changed();
        if let Some((node, names)) = node {
            node.unnamed(names);
        }
        Ok(())
    }

    fn rmdir(&self, _: &Cx, name: &[u8]) -> Result<()> {
        let dir = self.dir()?;
        let node = self.known(&dir, name);
        dir.remove_dir(name)?;
        self.changed();
        if let Some((node, names)) = node {
            node.unnamed(names);
        }
        Ok(())
    }

    fn rename(
        &self,
        _: &Cx,
        name: &[u8],
        new_dir: &InodeRef,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        let to = self.own(new_dir)?;
        let (from_dir, to_dir) = (self.dir()?, to.dir()?);
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let node = self.known(&from_dir, name);
        let old = to.known(&to_dir, new_name);
        from_dir.rename(
            name,
            &to_dir,
            new_name,
            flags.contains(RenameFlags::NOREPLACE),
            exchange,
        )?;
        self.changed();
        to.changed();
        if let (Some((a, _)), Some((b, _))) = (&node, &old)
            && Arc::ptr_eq(a, b)
        {
            // Two names of one file: rename(2) leaves both.
            return Ok(());
        }
        if let Some((node, _)) = node {
            node.moved(to.child(new_name));
            node.changed();
        }
        match old {
            Some((old, _)) if exchange => {
                old.moved(self.child(name));
                old.changed();
            }
            Some((old, names)) => old.unnamed(names),
            None => {}
        }
        Ok(())
    }

    fn readlink(&self, _: &Cx) -> Result<Link> {
        if self.kind != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        let (dir, name) = self.host_name()?;
        dir.read_link(&name).map(Link::Path)
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        self.changed();
        let mut resized = false;
        if let Some(size) = set.size {
            if self.kind != FileType::Regular {
                return Err(Errno::EINVAL);
            }
            resized = self.resize(cx, size)?;
        }
        if set.mode.is_none()
            && set.uid.is_none()
            && set.gid.is_none()
            && set.atime.is_none()
            && set.mtime.is_none()
        {
            return Ok(());
        }
        let owners = self.shared.owners;
        let uid = set.uid.map(|u| owners.host_uid(u));
        let gid = set.gid.map(|g| owners.host_gid(g));
        let time = |t| match t {
            SetTime::Now => (cx.now.sec, cx.now.nsec),
            SetTime::At(t) => (t.sec, t.nsec),
        };
        let times = SetTimes {
            atime: set.atime.map(time),
            mtime: set
                .mtime
                .filter(|t| !resized || *t != SetTime::Now)
                .map(time),
        };
        let (owner, clock) = (
            uid.is_some() || gid.is_some(),
            times.atime.is_some() || times.mtime.is_some(),
        );
        // The mode after the owner, whose change takes the set-user-id bit away.
        match self.host_name() {
            Ok((dir, name)) => {
                owner.then(|| dir.set_owner(&name, uid, gid)).transpose()?;
                set.mode.map(|mode| dir.set_mode(&name, mode)).transpose()?;
                clock.then(|| dir.set_times(&name, times)).transpose()?;
            }
            Err(Errno::ESTALE) => {
                let file = self.handle().ok_or(Errno::ESTALE)?;
                owner.then(|| file.set_owner(uid, gid)).transpose()?;
                set.mode.map(|mode| file.set_mode(mode)).transpose()?;
                clock.then(|| file.set_times(times)).transpose()?;
            }
            Err(e) => return Err(e),
        }
        self.changed();
        Ok(())
    }

    fn open(&self, cx: &Cx, flags: u32) -> Result<Arc<dyn FileOps>> {
        match self.kind {
            FileType::Regular => {
                let access = flags & O_ACCMODE;
                let (read, write) = (access != O_WRONLY, access != O_RDONLY);
                let file = self.open_file(cx, read, write)?;
                Ok(Arc::new(OpenFile {
                    node: self.strong(),
                    file,
                    write,
                }))
            }
            FileType::Directory => {
                self.dir()?;
                Ok(Arc::new(OpenDir::new(self.strong())))
            }
            FileType::Symlink => Err(Errno::ELOOP),
            _ => Err(Errno::ENXIO),
        }
    }

    fn watch_outside(&self) -> Option<Arc<dyn notify::Outside>> {
        self.watch()
    }

    fn get_xattr(&self, _: &Cx, name: &[u8]) -> Result<Vec<u8>> {
        check_xattr(name)?;
        let (dir, host) = self.host_name()?;
        dir.get_xattr(&host, name)
    }
    fn set_xattr(&self, _: &Cx, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        check_xattr(name)?;
        let (dir, host) = self.host_name()?;
        self.changed();
        dir.set_xattr(&host, name, value, flags)
    }
    fn list_xattr(&self, _: &Cx) -> Result<Vec<Vec<u8>>> {
        if !matches!(self.kind, FileType::Regular | FileType::Directory) {
            return Ok(Vec::new());
        }
        let (dir, host) = self.host_name()?;
        match dir.list_xattr(&host) {
            Ok(names) => Ok(names.into_iter().filter(|n| n.starts_with(USER)).collect()),
            Err(Errno::EOPNOTSUPP) => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }
    fn remove_xattr(&self, _: &Cx, name: &[u8]) -> Result<()> {
        check_xattr(name)?;
        let (dir, host) = self.host_name()?;
        self.changed();
        dir.remove_xattr(&host, name)
    }
}

const USER: &[u8] = b"user.";

/// Only `user.*` is the guest's; the other namespaces mean something to the host.
fn check_xattr(name: &[u8]) -> Result<()> {
    if name.starts_with(USER) {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}
