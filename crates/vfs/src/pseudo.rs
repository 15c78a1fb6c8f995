//! Building blocks for synthetic file systems (procfs, sysfs, devfs): generated files, links and directories.
//!
//! A file system of this kind implements [`Inode`] itself where it has something to compute, and uses these for
//! the rest. Contents are made when a read begins at offset 0 (as Linux' seq_file does), so that a reader of
//! several pieces sees one state, and one who rewinds sees a new one.

use crate::{
    attr::{Attr, DeviceId, FileType, SetAttr, SetTime, StatFs, Time},
    cx::Cx,
    dir::{DirEntry, DirSink},
    file_ops::FileOps,
    inode::{Anchor, FileSystem, Inode, InodeId, InodeRef, Link},
};
use parking_lot::Mutex;
use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_uapi::errno::{Errno, Result};

/// A synthetic file system: name, device number, inode numbers and a root set once.
#[derive(Debug)]
pub struct PseudoFs {
    name: &'static str,
    magic: u64,
    dev: DeviceId,
    caches: bool,
    now: Time,
    next_ino: AtomicU64,
    root: OnceLock<InodeRef>,
    options: OnceLock<String>,
    myself: Weak<Self>,
}

impl PseudoFs {
    /// A file system whose root directory `root` makes. `now` is the time stamp of all inodes; `caches` says that
    /// entries appear and vanish only through the VFS.
    #[must_use]
    pub fn new(
        name: &'static str,
        magic: u64,
        now: Time,
        caches: bool,
        root: impl FnOnce(&Arc<Self>) -> InodeRef,
    ) -> Arc<Self> {
        let fs = Arc::new_cyclic(|myself| Self {
            name,
            magic,
            dev: DeviceId::anonymous(),
            caches,
            now,
            next_ino: AtomicU64::new(1),
            root: OnceLock::new(),
            options: OnceLock::new(),
            myself: Weak::clone(myself),
        });
        let root = root(&fs);
        fs.root.get_or_init(|| root);
        fs
    }

    /// What `/proc/mounts` shows as options; may be set once, starting with a comma.
    pub fn set_options(&self, options: String) {
        let _ = self.options.set(options);
    }

    /// A fresh inode number.
    #[must_use]
    pub fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// The common part of a new inode with a fresh number.
    #[must_use]
    pub fn node(&self, kind: FileType, mode: u32) -> Node {
        self.node_with_ino(self.next_ino(), kind, mode)
    }

    /// The common part of an inode whose number the caller computes.
    #[must_use]
    pub fn node_with_ino(&self, ino: u64, kind: FileType, mode: u32) -> Node {
        Node {
            fs: Weak::clone(&self.myself),
            id: InodeId { dev: self.dev, ino },
            kind,
            rdev: DeviceId::default(),
            nlink: if kind == FileType::Directory { 2 } else { 1 },
            settable: Mutex::new(Settable {
                mode,
                uid: 0,
                gid: 0,
                atime: self.now,
                mtime: self.now,
                ctime: self.now,
            }),
            anchor: Anchor::default(),
        }
    }

    /// A file whose content `make` generates.
    pub fn file(
        &self,
        mode: u32,
        make: impl Fn(&Cx) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> InodeRef {
        GeneratedFile::read_only(self.node(FileType::Regular, mode), make)
    }

    /// A symbolic link that leads where `target` says.
    pub fn symlink(
        &self,
        target: impl Fn(&Cx) -> Result<Link> + Send + Sync + 'static,
    ) -> InodeRef {
        Arc::new(PseudoLink {
            node: self.node(FileType::Symlink, 0o777),
            target: Box::new(target),
        })
    }

    /// A directory with fixed entries.
    #[must_use]
    pub fn dir(&self, mode: u32, entries: Vec<(&str, InodeRef)>) -> InodeRef {
        let entries = entries
            .into_iter()
            .map(|(n, i)| (n.as_bytes().into(), i))
            .collect();
        Arc::new(StaticDir {
            node: self.node(FileType::Directory, mode),
            entries,
        })
    }
}

impl FileSystem for PseudoFs {
    fn keeps_changes(&self) -> bool {
        false
    }
    fn name(&self) -> &'static str {
        self.name
    }
    fn root(&self) -> InodeRef {
        // Set before the constructor returns; a root that asks for itself while it is made gets an empty one.
        Arc::clone(self.root.get_or_init(|| self.dir(0o555, Vec::new())))
    }
    fn dev(&self) -> DeviceId {
        self.dev
    }
    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            magic: self.magic,
            bsize: 4096,
            namelen: 255,
            fsid: self.dev.encode(),
            ..StatFs::default()
        })
    }
    fn caches_dentries(&self) -> bool {
        self.caches
    }
    fn show_options(&self) -> String {
        self.options.get().cloned().unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Settable {
    mode: u32,
    uid: u32,
    gid: u32,
    atime: Time,
    mtime: Time,
    ctime: Time,
}

/// What every synthetic inode has: identity, type and attributes.
#[derive(Debug)]
pub struct Node {
    fs: Weak<PseudoFs>,
    id: InodeId,
    kind: FileType,
    rdev: DeviceId,
    nlink: u32,
    settable: Mutex<Settable>,
    anchor: Anchor,
}

impl Node {
    /// With another owner.
    #[must_use]
    pub fn owned(mut self, uid: u32, gid: u32) -> Self {
        let s = self.settable.get_mut();
        (s.uid, s.gid) = (uid, gid);
        self
    }

    /// With a device number.
    #[must_use]
    pub fn device(mut self, rdev: DeviceId) -> Self {
        self.rdev = rdev;
        self
    }

    /// The file system; a detached stand-in of the same device if that is gone.
    #[must_use]
    pub fn fs(&self) -> Arc<dyn FileSystem> {
        match self.fs.upgrade() {
            Some(fs) => fs,
            None => Arc::new(GoneFs {
                dev: self.id.dev,
                root: OnceLock::new(),
            }),
        }
    }

    /// Identity.
    #[must_use]
    pub fn id(&self) -> InodeId {
        self.id
    }

    /// Type.
    #[must_use]
    pub fn kind(&self) -> FileType {
        self.kind
    }

    /// State for the VFS and the kernel.
    #[must_use]
    pub fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// Attributes, with size 0.
    #[must_use]
    pub fn attr(&self) -> Attr {
        let s = *self.settable.lock();
        Attr {
            dev: self.id.dev,
            ino: self.id.ino,
            kind: self.kind,
            mode: s.mode,
            nlink: self.nlink,
            uid: s.uid,
            gid: s.gid,
            rdev: self.rdev,
            size: 0,
            blksize: 4096,
            blocks: 0,
            atime: s.atime,
            mtime: s.mtime,
            ctime: s.ctime,
            btime: None,
        }
    }

    /// Changes mode, owner and times, for file systems that allow it (devfs, devpts). Sizes are not changed:
    /// truncating a device or a generated file is accepted and does nothing, as `echo > /proc/...` expects.
    pub fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        let time = |t: SetTime| match t {
            SetTime::Now => cx.now,
            SetTime::At(t) => t,
        };
        let mut s = self.settable.lock();
        s.mode = set.mode.unwrap_or(s.mode);
        s.uid = set.uid.unwrap_or(s.uid);
        s.gid = set.gid.unwrap_or(s.gid);
        s.atime = set.atime.map_or(s.atime, time);
        s.mtime = set.mtime.map_or(s.mtime, time);
        s.ctime = cx.now;
        Ok(())
    }
}

/// The parts of [`Inode`] that a [`Node`] in the field `node` answers.
#[macro_export]
macro_rules! node_inode {
    () => {
        fn fs(&self) -> std::sync::Arc<dyn $crate::FileSystem> {
            self.node.fs()
        }
        fn id(&self) -> $crate::InodeId {
            self.node.id()
        }
        fn kind(&self) -> $crate::FileType {
            self.node.kind()
        }
        fn anchor(&self) -> &$crate::Anchor {
            self.node.anchor()
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    };
}

/// Stands in for a file system that has gone while one of its inodes is still used.
#[derive(Debug)]
struct GoneFs {
    dev: DeviceId,
    root: OnceLock<InodeRef>,
}

impl FileSystem for GoneFs {
    fn name(&self) -> &'static str {
        "none"
    }
    fn root(&self) -> InodeRef {
        Arc::clone(self.root.get_or_init(|| {
            let node = Node {
                fs: Weak::new(),
                id: InodeId {
                    dev: self.dev,
                    ino: 0,
                },
                kind: FileType::Directory,
                rdev: DeviceId::default(),
                nlink: 0,
                settable: Mutex::new(Settable {
                    mode: 0,
                    uid: 0,
                    gid: 0,
                    atime: Time::default(),
                    mtime: Time::default(),
                    ctime: Time::default(),
                }),
                anchor: Anchor::default(),
            };
            Arc::new(StaticDir {
                node,
                entries: BTreeMap::new(),
            })
        }))
    }
    fn dev(&self) -> DeviceId {
        self.dev
    }
    fn statfs(&self) -> Result<StatFs> {
        Err(Errno::ESTALE)
    }
}

type Make = Box<dyn Fn(&Cx) -> Result<Vec<u8>> + Send + Sync>;
type Target = Box<dyn Fn(&Cx) -> Result<Link> + Send + Sync>;
type Store = Box<dyn Fn(&Cx, &[u8]) -> Result<()> + Send + Sync>;

/// A regular file whose content is generated, and which may take writes.
pub struct GeneratedFile {
    node: Node,
    make: Make,
    store: Option<Store>,
    /// For `open` to hand out; set at once.
    myself: Weak<Self>,
}

impl fmt::Debug for GeneratedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedFile")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl GeneratedFile {
    /// A read-only file.
    pub fn read_only(
        node: Node,
        make: impl Fn(&Cx) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> InodeRef {
        Self::build(node, Box::new(make), None)
    }

    /// A file that also takes writes: each write(2) is handed to `store` in one piece.
    pub fn writable(
        node: Node,
        make: impl Fn(&Cx) -> Result<Vec<u8>> + Send + Sync + 'static,
        store: impl Fn(&Cx, &[u8]) -> Result<()> + Send + Sync + 'static,
    ) -> InodeRef {
        Self::build(node, Box::new(make), Some(Box::new(store)))
    }

    fn build(node: Node, make: Make, store: Option<Store>) -> InodeRef {
        Arc::new_cyclic(|myself| Self {
            node,
            make,
            store,
            myself: Weak::clone(myself),
        })
    }
}

impl Inode for GeneratedFile {
    node_inode!();
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }
    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        if set.mode.is_some() || set.uid.is_some() || set.gid.is_some() {
            return Err(Errno::EPERM);
        }
        self.node.set_attr(cx, set)
    }
    fn open(&self, _: &Cx, _: u32) -> Result<Arc<dyn FileOps>> {
        let inode = self.myself.upgrade().ok_or(Errno::ESTALE)?;
        Ok(Arc::new(OpenGenerated {
            inode,
            content: Mutex::default(),
        }))
    }
}

#[derive(Debug)]
struct OpenGenerated {
    inode: Arc<GeneratedFile>,
    content: Mutex<Option<Vec<u8>>>,
}

impl FileOps for OpenGenerated {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.inode.node.attr())
    }
    fn read_at(&self, cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let mut content = self.content.lock();
        if offset == 0 || content.is_none() {
            *content = Some((self.inode.make)(cx)?);
        }
        read_slice(content.as_deref().unwrap_or_default(), offset, to)
    }
    fn write_at(&self, cx: &Cx, _: u64, from: &mut dyn IoRead) -> Result<usize> {
        let Some(store) = &self.inode.store else {
            return Err(Errno::EINVAL);
        };
        // What these files take is short; Linux' own limit for most is a page.
        let mut data = vec![0; from.remaining().min(4096)];
        let n = from.read_into(&mut data)?;
        store(cx, &data[..n])?;
        Ok(n)
    }
    fn truncate(&self, _: &Cx, _: u64) -> Result<()> {
        Ok(())
    }
}

/// Reads from a buffer as from a file.
pub fn read_slice(data: &[u8], offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
    let from = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(data.len());
    let len = (data.len() - from).min(to.remaining());
    if len == 0 {
        Ok(0)
    } else {
        to.write_from(&data[from..from + len])
    }
}

/// A symbolic link with a computed target.
struct PseudoLink {
    node: Node,
    target: Target,
}

impl fmt::Debug for PseudoLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PseudoLink")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Inode for PseudoLink {
    node_inode!();
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }
    fn readlink(&self, cx: &Cx) -> Result<Link> {
        (self.target)(cx)
    }
    fn open(&self, _: &Cx, _: u32) -> Result<Arc<dyn FileOps>> {
        Err(Errno::ELOOP)
    }
}

/// A directory whose entries never change.
#[derive(Debug)]
struct StaticDir {
    node: Node,
    entries: BTreeMap<Box<[u8]>, InodeRef>,
}

impl Inode for StaticDir {
    node_inode!();
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }
    fn lookup(&self, _: &Cx, name: &[u8]) -> Result<InodeRef> {
        self.entries.get(name).cloned().ok_or(Errno::ENOENT)
    }
    fn open(&self, _: &Cx, _: u32) -> Result<Arc<dyn FileOps>> {
        let entries = self
            .entries
            .iter()
            .map(|(name, inode)| (name.to_vec(), inode.id().ino, inode.kind()))
            .collect();
        Ok(Arc::new(SnapshotDir::new(self.node.attr(), entries)))
    }
}

/// An open directory whose entries are those of the moment of its opening: for directories of any synthetic
/// file system. `.` and `..` come by themselves.
#[derive(Debug)]
pub struct SnapshotDir {
    attr: Attr,
    entries: Vec<(Vec<u8>, u64, FileType)>,
}

impl SnapshotDir {
    /// Entries as (name, inode number, type), in the order to show.
    #[must_use]
    pub fn new(attr: Attr, entries: Vec<(Vec<u8>, u64, FileType)>) -> Self {
        Self { attr, entries }
    }
}

impl FileOps for SnapshotDir {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }
    fn read_dir(&self, _: &Cx, pos: u64, sink: &mut dyn DirSink) -> Result<u64> {
        let dots = [(b".".as_slice(), self.attr.ino), (b"..", self.attr.ino)]
            .map(|(name, ino)| (name, ino, FileType::Directory));
        let rest = self
            .entries
            .iter()
            .map(|(name, ino, kind)| (name.as_slice(), *ino, *kind));
        let start = usize::try_from(pos).unwrap_or(usize::MAX);
        let mut at = pos;
        for (name, ino, kind) in dots.into_iter().chain(rest).skip(start) {
            if !sink.entry(DirEntry {
                name,
                ino,
                kind,
                next: at + 1,
            }) {
                break;
            }
            at += 1;
        }
        Ok(at)
    }
    fn fsync(&self, _: &Cx, _: bool) -> Result<()> {
        Ok(())
    }
}
