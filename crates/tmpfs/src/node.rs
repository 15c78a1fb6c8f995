//! Inodes.

use crate::{Shared, Tmpfs, data::Data, dir::Dir, new_data};
use parking_lot::Mutex;
use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering},
};
use tuxlet_mem::{IoRead, IoWrite, MemoryObject};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{XATTR_CREATE, XATTR_REPLACE},
};
use tuxlet_vfs::{
    Anchor, Attr, Cx, DeviceId, DirEntry, DirSink, FileOps, FileSystem, FileType, Inode, InodeId,
    InodeRef, Link, NewInode, NewKind, RenameFlags, Seals, SetAttr, SetTime, Time, acl,
};

/// What an entry counts for in the size of its directory, as in Linux.
const ENTRY_SIZE: u64 = 20;

#[derive(Debug)]
struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    atime: Time,
    mtime: Time,
    ctime: Time,
    btime: Time,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Made without a name, which link(2) may give it.
    linkable: bool,
}

/// What depends on the type.
#[derive(Debug)]
pub(crate) enum Body {
    File(Arc<Data>),
    Dir(Mutex<Dir>),
    Link(Box<[u8]>),
    /// A FIFO or socket.
    Plain,
    Device(DeviceId),
}

/// An inode. Its open file operations are the inode itself: tmpfs keeps nothing per open file.
#[derive(Debug)]
pub(crate) struct Node {
    shared: Arc<Shared>,
    myself: Weak<Node>,
    ino: u64,
    kind: FileType,
    body: Body,
    meta: Mutex<Meta>,
    anchor: Anchor,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.uncharge_inode();
        // Children one by one instead of recursively: a tree may be deep.
        let Body::Dir(dir) = &mut self.body else {
            return;
        };
        let mut todo: Vec<Arc<Node>> = take_children(dir.get_mut());
        while let Some(node) = todo.pop() {
            if let Some(mut last) = Arc::into_inner(node)
                && let Body::Dir(dir) = &mut last.body
            {
                todo.append(&mut take_children(dir.get_mut()));
            }
        }
    }
}

fn take_children(dir: &mut Dir) -> Vec<Arc<Node>> {
    let dir = std::mem::take(dir);
    dir.from(0).map(|(_, _, node)| Arc::clone(node)).collect()
}

impl Node {
    /// A new inode that has been charged for.
    pub(crate) fn new(
        cx: &Cx,
        shared: &Arc<Shared>,
        kind: FileType,
        body: Body,
        mode: u32,
        uid: u32,
        gid: u32,
    ) -> Arc<Self> {
        let ino = shared.next_ino.fetch_add(1, Ordering::Relaxed);
        Self::with_ino(cx, shared, ino, kind, body, &NewAttr { mode, uid, gid })
    }

    fn with_ino(
        cx: &Cx,
        shared: &Arc<Shared>,
        ino: u64,
        kind: FileType,
        body: Body,
        new: &NewAttr,
    ) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            shared: Arc::clone(shared),
            myself: Weak::clone(myself),
            ino,
            kind,
            body,
            meta: Mutex::new(Meta {
                mode: new.mode,
                uid: new.uid,
                gid: new.gid,
                nlink: if kind == FileType::Directory { 2 } else { 1 },
                atime: cx.now,
                mtime: cx.now,
                ctime: cx.now,
                btime: cx.now,
                xattrs: BTreeMap::new(),
                linkable: false,
            }),
            anchor: Anchor::default(),
        })
    }

    fn make(self: &Arc<Self>, cx: &Cx, new: &NewInode<'_>) -> Result<Arc<Self>> {
        self.shared.charge_inode()?;
        let ino = self.shared.next_ino.fetch_add(1, Ordering::Relaxed);
        let (kind, body) = match new.kind {
            NewKind::Regular => (FileType::Regular, Body::File(new_data(&self.shared, ino))),
            NewKind::Directory => (FileType::Directory, Body::Dir(Mutex::new(Dir::below(self)))),
            NewKind::Symlink(target) => (FileType::Symlink, Body::Link(target.into())),
            NewKind::Fifo => (FileType::Fifo, Body::Plain),
            NewKind::Socket => (FileType::Socket, Body::Plain),
            NewKind::CharDevice(dev) => (FileType::CharDevice, Body::Device(dev)),
            NewKind::BlockDevice(dev) => (FileType::BlockDevice, Body::Device(dev)),
        };
        let attr = NewAttr {
            mode: new.mode & 0o7777,
            uid: new.uid,
            gid: new.gid,
        };
        Ok(Self::with_ino(cx, &self.shared, ino, kind, body, &attr))
    }

    fn me(&self) -> Result<Arc<Self>> {
        self.myself.upgrade().ok_or(Errno::ESTALE)
    }

    fn dir(&self) -> Result<&Mutex<Dir>> {
        match &self.body {
            Body::Dir(dir) => Ok(dir),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn data(&self) -> Result<&Arc<Data>> {
        match &self.body {
            Body::File(data) => Ok(data),
            Body::Dir(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// An inode of this very file system among arguments.
    fn same_fs(&self, other: &InodeRef) -> Result<Arc<Self>> {
        let node = other.as_any().downcast_ref::<Self>().ok_or(Errno::EXDEV)?;
        if !Arc::ptr_eq(&node.shared, &self.shared) {
            return Err(Errno::EXDEV);
        }
        node.me()
    }

    /// The directory's entries changed.
    fn touch(&self, cx: &Cx) {
        let mut meta = self.meta.lock();
        (meta.mtime, meta.ctime) = (cx.now, cx.now);
    }

    /// The link count changes by `by`.
    fn count(&self, cx: &Cx, by: i32) {
        let mut meta = self.meta.lock();
        meta.nlink = meta.nlink.saturating_add_signed(by);
        meta.ctime = cx.now;
    }

    fn add_links(&self, by: i32) {
        let mut meta = self.meta.lock();
        meta.nlink = meta.nlink.saturating_add_signed(by);
    }

    /// An entry for this inode has been removed from `dir`; the tree lock is held.
    fn lost_name(&self, cx: &Cx, dir: &Self) {
        if self.is_dir() {
            dir.add_links(-1);
            self.count(cx, -2);
        } else {
            self.count(cx, -1);
        }
    }

    /// Marks a directory dead if it is empty.
    fn bury(&self) -> Result<()> {
        let mut inner = self.dir()?.lock();
        if inner.len() != 0 {
            return Err(Errno::ENOTEMPTY);
        }
        inner.dead = true;
        Ok(())
    }

    fn attributes(&self) -> Attr {
        let (size, blocks) = match &self.body {
            Body::File(data) => {
                let (size, pages) = data.usage();
                (size, pages * 8)
            }
            Body::Dir(dir) => ((dir.lock().len() as u64 + 2) * ENTRY_SIZE, 0),
            Body::Link(target) => (target.len() as u64, 0),
            Body::Plain | Body::Device(_) => (0, 0),
        };
        let meta = self.meta.lock();
        Attr {
            dev: self.shared.dev,
            ino: self.ino,
            kind: self.kind,
            mode: meta.mode,
            nlink: meta.nlink,
            uid: meta.uid,
            gid: meta.gid,
            rdev: if let Body::Device(dev) = self.body {
                dev
            } else {
                DeviceId::default()
            },
            size,
            blksize: 4096,
            blocks,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: Some(meta.btime),
        }
    }

    fn written(&self, cx: &Cx, n: usize) {
        if n > 0 {
            self.touch(cx);
        }
    }
}

/// Of `system.*` there are only the POSIX ACLs, which the VFS checks and applies.
fn check_namespace(name: &[u8]) -> Result<()> {
    if name.starts_with(b"system.") && name != acl::ACCESS && name != acl::DEFAULT {
        Err(Errno::EOPNOTSUPP)
    } else {
        Ok(())
    }
}

/// Mode and owner of a new inode.
struct NewAttr {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Inode for Node {
    fn fs(&self) -> Arc<dyn FileSystem> {
        if let Some(fs) = self.shared.fs.lock().upgrade() {
            return fs;
        }
        // The file system object has gone while this inode is still used: one more for the remaining.
        let mut top = self.myself.upgrade();
        while let Some(node) = &top {
            let Some(up) = node.dir().ok().and_then(|d| d.lock().parent.upgrade()) else {
                break;
            };
            top = Some(up);
        }
        let root = top.unwrap_or_else(|| {
            let body = Body::Dir(Mutex::default());
            self.shared.used_inodes.fetch_add(1, Ordering::Relaxed);
            let attr = NewAttr {
                mode: 0,
                uid: 0,
                gid: 0,
            };
            let cx = Cx::host(Time::default());
            Self::with_ino(&cx, &self.shared, 0, FileType::Directory, body, &attr)
        });
        Tmpfs::around(Arc::clone(&self.shared), root)
    }
    fn id(&self) -> InodeId {
        InodeId {
            dev: self.shared.dev,
            ino: self.ino,
        }
    }
    fn kind(&self) -> FileType {
        self.kind
    }
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.attributes())
    }
    fn anchor(&self) -> &Anchor {
        &self.anchor
    }
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lookup(&self, _: &Cx, name: &[u8]) -> Result<InodeRef> {
        let dir = self.dir()?.lock();
        dir.get(name)
            .map(|node| Arc::clone(node) as InodeRef)
            .ok_or(Errno::ENOENT)
    }

    fn create(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
        let me = self.me()?;
        let mut dir = self.dir()?.lock();
        if dir.dead {
            return Err(Errno::ENOENT);
        }
        if dir.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let node = me.make(cx, new)?;
        dir.insert(name, Arc::clone(&node));
        drop(dir);
        if node.is_dir() {
            self.add_links(1);
        }
        self.touch(cx);
        Ok(node)
    }

    fn tmpfile(&self, cx: &Cx, new: &NewInode<'_>) -> Result<InodeRef> {
        self.dir()?;
        let node = self.me()?.make(cx, new)?;
        {
            let mut meta = node.meta.lock();
            meta.nlink = 0;
            meta.linkable = true;
        }
        Ok(node)
    }

    fn link(&self, cx: &Cx, name: &[u8], target: &InodeRef) -> Result<()> {
        let target = self.same_fs(target)?;
        if target.is_dir() {
            return Err(Errno::EPERM);
        }
        let _tree = self.shared.tree.lock();
        let mut dir = self.dir()?.lock();
        if dir.dead {
            return Err(Errno::ENOENT);
        }
        if dir.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        {
            let mut meta = target.meta.lock();
            if meta.nlink == 0 && !meta.linkable {
                return Err(Errno::ENOENT);
            }
            meta.linkable = false;
            meta.nlink += 1;
            meta.ctime = cx.now;
        }
        dir.insert(name, target);
        drop(dir);
        self.touch(cx);
        Ok(())
    }

    fn unlink(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        let _tree = self.shared.tree.lock();
        let mut dir = self.dir()?.lock();
        if dir.get(name).ok_or(Errno::ENOENT)?.is_dir() {
            return Err(Errno::EISDIR);
        }
        let node = dir.remove(name);
        drop(dir);
        if let Some(node) = node {
            node.lost_name(cx, self);
        }
        self.touch(cx);
        Ok(())
    }

    fn rmdir(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        let _tree = self.shared.tree.lock();
        let victim = Arc::clone(self.dir()?.lock().get(name).ok_or(Errno::ENOENT)?);
        victim.bury()?;
        self.dir()?.lock().remove(name);
        victim.lost_name(cx, self);
        self.touch(cx);
        Ok(())
    }

    fn rename(
        &self,
        cx: &Cx,
        name: &[u8],
        new_dir: &InodeRef,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let to = self.same_fs(new_dir)?;
        let _tree = self.shared.tree.lock();
        let source = Arc::clone(self.dir()?.lock().get(name).ok_or(Errno::ENOENT)?);
        let target = {
            let dir = to.dir()?.lock();
            if dir.dead {
                return Err(Errno::ENOENT);
            }
            dir.get(new_name).map(Arc::clone)
        };
        if flags.contains(RenameFlags::EXCHANGE) {
            let target = target.ok_or(Errno::ENOENT)?;
            self.exchange(cx, name, &source, &to, new_name, &target)?;
            return Ok(());
        }
        if let Some(target) = &target {
            if flags.contains(RenameFlags::NOREPLACE) {
                return Err(Errno::EEXIST);
            }
            if Arc::ptr_eq(target, &source) {
                return Ok(());
            }
            match (source.is_dir(), target.is_dir()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) => target.bury()?,
                (false, false) => {}
            }
        }
        let whiteout = if flags.contains(RenameFlags::WHITEOUT) {
            let kind = NewKind::CharDevice(DeviceId::default());
            let uid = cx.cred.fsuid;
            let gid = cx.cred.fsgid;
            Some(self.me()?.make(
                cx,
                &NewInode {
                    kind,
                    mode: 0,
                    uid,
                    gid,
                },
            )?)
        } else {
            None
        };
        if let Some(target) = target {
            to.dir()?.lock().remove(new_name);
            target.lost_name(cx, &to);
        }
        {
            let mut dir = self.dir()?.lock();
            dir.remove(name);
            if let Some(whiteout) = whiteout {
                dir.insert(name, whiteout);
            }
        }
        to.dir()?.lock().insert(new_name, Arc::clone(&source));
        source.moved(cx, self, &to)?;
        self.touch(cx);
        to.touch(cx);
        Ok(())
    }

    fn readlink(&self, _: &Cx) -> Result<Link> {
        match &self.body {
            Body::Link(target) => Ok(Link::Path(target.to_vec())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        let resized = match set.size {
            Some(size) => self.data()?.truncate(size)?,
            None => false,
        };
        let time = |t: SetTime| match t {
            SetTime::Now => cx.now,
            SetTime::At(t) => t,
        };
        let mut meta = self.meta.lock();
        if resized {
            meta.mtime = cx.now;
        }
        meta.mode = set.mode.unwrap_or(meta.mode);
        meta.uid = set.uid.unwrap_or(meta.uid);
        meta.gid = set.gid.unwrap_or(meta.gid);
        meta.atime = set.atime.map_or(meta.atime, time);
        meta.mtime = set.mtime.map_or(meta.mtime, time);
        meta.ctime = cx.now;
        Ok(())
    }

    fn accessed(&self, cx: &Cx, always: bool) {
        let mut meta = self.meta.lock();
        let day_old = meta.atime.sec.saturating_add(86_400) < cx.now.sec;
        if always || meta.atime <= meta.mtime || meta.atime <= meta.ctime || day_old {
            meta.atime = cx.now;
        }
    }

    fn open(&self, _: &Cx, _: u32) -> Result<Arc<dyn FileOps>> {
        match self.kind {
            FileType::Regular | FileType::Directory => Ok(self.me()?),
            FileType::Symlink => Err(Errno::ELOOP),
            _ => Err(Errno::ENXIO),
        }
    }

    fn get_xattr(&self, _: &Cx, name: &[u8]) -> Result<Vec<u8>> {
        check_namespace(name)?;
        self.meta
            .lock()
            .xattrs
            .get(name)
            .cloned()
            .ok_or(Errno::ENODATA)
    }

    fn set_xattr(&self, cx: &Cx, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        check_namespace(name)?;
        let mut meta = self.meta.lock();
        let exists = meta.xattrs.contains_key(name);
        if exists && flags & XATTR_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        if !exists && flags & XATTR_REPLACE != 0 {
            return Err(Errno::ENODATA);
        }
        meta.xattrs.insert(name.to_vec(), value.to_vec());
        meta.ctime = cx.now;
        Ok(())
    }

    fn list_xattr(&self, _: &Cx) -> Result<Vec<Vec<u8>>> {
        Ok(self.meta.lock().xattrs.keys().cloned().collect())
    }

    fn remove_xattr(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        check_namespace(name)?;
        let mut meta = self.meta.lock();
        meta.xattrs.remove(name).ok_or(Errno::ENODATA)?;
        meta.ctime = cx.now;
        Ok(())
    }
}

impl Node {
    /// Exchanges two entries; the tree lock is held.
    fn exchange(
        &self,
        cx: &Cx,
        name: &[u8],
        source: &Arc<Self>,
        to: &Arc<Self>,
        new_name: &[u8],
        target: &Arc<Self>,
    ) -> Result<()> {
        self.dir()?.lock().replace(name, Arc::clone(target));
        to.dir()?.lock().replace(new_name, Arc::clone(source));
        source.moved(cx, self, to)?;
        target.moved(cx, to, self)?;
        self.touch(cx);
        to.touch(cx);
        Ok(())
    }

    /// This inode has changed its directory; the tree lock is held.
    fn moved(self: &Arc<Self>, cx: &Cx, from: &Self, to: &Self) -> Result<()> {
        self.meta.lock().ctime = cx.now;
        if self.is_dir() && !std::ptr::eq(from, to) {
            from.add_links(-1);
            to.add_links(1);
            self.dir()?.lock().parent = Weak::clone(&to.myself);
        }
        Ok(())
    }
}

impl FileOps for Node {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.attributes())
    }
    fn read_at(&self, _: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        self.data()?.read_at(offset, to)
    }
    fn write_at(&self, cx: &Cx, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let n = self.data()?.write_at(offset, from)?;
        self.written(cx, n);
        Ok(n)
    }
    fn append(&self, cx: &Cx, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        let (end, n) = self.data()?.append(from)?;
        self.written(cx, n);
        Ok((end, n))
    }
    fn seek_extent(&self, _: &Cx, offset: u64, whence: u32) -> Result<u64> {
        match &self.body {
            Body::File(data) => data.seek_extent(offset, whence),
            _ => Err(Errno::EINVAL),
        }
    }
    fn read_dir(&self, _: &Cx, pos: u64, sink: &mut dyn DirSink) -> Result<u64> {
        let dir = self.dir()?.lock();
        let parent = dir.parent.upgrade().map_or(self.ino, |p| p.ino);
        let mut at = pos;
        for (i, name, ino) in [(0, b".".as_slice(), self.ino), (1, b"..", parent)] {
            if at == i {
                let entry = DirEntry {
                    name,
                    ino,
                    kind: FileType::Directory,
                    next: i + 1,
                };
                if !sink.entry(entry) {
                    return Ok(at);
                }
                at += 1;
            }
        }
        for (i, name, node) in dir.from(at) {
            if !sink.entry(DirEntry {
                name,
                ino: node.ino,
                kind: node.kind,
                next: i + 1,
            }) {
                return Ok(i);
            }
            at = i + 1;
        }
        Ok(at)
    }
    fn truncate(&self, cx: &Cx, size: u64) -> Result<()> {
        self.data()?.truncate(size)?;
        self.touch(cx);
        Ok(())
    }
    fn fallocate(&self, cx: &Cx, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.data()?.fallocate(mode, offset, len)?;
        self.touch(cx);
        Ok(())
    }
    fn fsync(&self, _: &Cx, _: bool) -> Result<()> {
        Ok(())
    }
    fn mmap_object(&self, _: &Cx) -> Result<Arc<dyn MemoryObject>> {
        match &self.body {
            Body::File(data) => Ok(Arc::<Data>::clone(data)),
            _ => Err(Errno::ENODEV),
        }
    }
    fn seals(&self) -> Option<&Seals> {
        match &self.body {
            Body::File(data) => Some(data.seals()),
            _ => None,
        }
    }
}
