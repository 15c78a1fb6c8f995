//! The mqueue file system: an IPC namespace's POSIX message queues as files, mq_overview(7).
//!
//! As in Linux, the calls work on it too, through a mount of its own that nobody can walk to.

use super::mqueue::Queue;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    stat::MQUEUE_MAGIC,
};
use tuxlet_vfs::{
    At, Attr, Cx, FileOps, FileSystem, FileType, Inode, InodeRef, Mount, MountFlags, NewInode,
    NewKind, Path, SetAttr, SetTime, Time,
    cx::cap,
    node_inode,
    pseudo::{Node, PseudoFs, SnapshotDir},
};

/// Most queues: `/proc/sys/fs/mqueue/queues_max`.
const MAX_QUEUES: usize = 256;
/// What an entry adds to the size of the directory.
const ENTRY_SIZE: u64 = 20;
/// Entries that every directory has.
const DOTS: u64 = 2;
/// Anybody may make a queue, and only its owner may unlink it.
const ROOT_MODE: u32 = 0o1777;

/// Most messages, and the longest, of a queue for which nothing else is asked: `/proc/sys/fs/mqueue/*_default`.
pub const DEFAULT_SIZES: (usize, usize) = (10, 8192);

/// The file system of an IPC namespace.
pub struct MqueueFs {
    fs: Arc<PseudoFs>,
    root: Arc<Root>,
    mount: Arc<Mount>,
}

impl fmt::Debug for MqueueFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MqueueFs").field(&self.root).finish()
    }
}

impl MqueueFs {
    /// A file system without queues.
    #[must_use]
    pub fn new(now: Time) -> Self {
        let mut made = None;
        let fs = PseudoFs::new("mqueue", MQUEUE_MAGIC, now, true, |fs| {
            let root = Arc::new(Root {
                node: fs.node(FileType::Directory, ROOT_MODE),
                fs: Arc::downgrade(fs),
                queues: Mutex::default(),
            });
            made.insert(root).clone()
        });
        let as_dyn: Arc<dyn FileSystem> = fs.clone();
        Self {
            mount: Mount::new(&as_dyn, MountFlags::empty(), b"mqueue"),
            root: made.expect("made just now"),
            fs,
        }
    }

    /// For mount(2).
    #[must_use]
    pub fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::clone(&self.fs) as Arc<dyn FileSystem>
    }

    /// Where the calls look for names.
    #[must_use]
    pub fn at(&self) -> At {
        let dentry = self.mount.super_block().root_dentry();
        At::root(Path::new(Arc::clone(&self.mount), dentry))
    }

    /// Adds a queue of given sizes to the directory. `EEXIST`, `ENOSPC`.
    pub fn add(
        &self,
        cx: &Cx,
        name: &[u8],
        new: &NewInode<'_>,
        sizes: impl FnOnce() -> Result<(usize, usize)>,
    ) -> Result<InodeRef> {
        self.root.add(cx, name, new, sizes)
    }
}

/// The directory.
#[derive(Debug)]
struct Root {
    node: Node,
    fs: Weak<PseudoFs>,
    queues: Mutex<BTreeMap<Vec<u8>, Arc<Queue>>>,
}

impl Root {
    fn add(
        &self,
        cx: &Cx,
        name: &[u8],
        new: &NewInode<'_>,
        sizes: impl FnOnce() -> Result<(usize, usize)>,
    ) -> Result<InodeRef> {
        let fs = self.fs.upgrade().ok_or(Errno::ESTALE)?;
        let mut queues = self.queues.lock();
        if queues.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if queues.len() >= MAX_QUEUES && !cx.cred.has_cap(cap::SYS_RESOURCE) {
            return Err(Errno::ENOSPC);
        }
        let (messages, size) = sizes()?;
        let node = fs.node(FileType::Regular, new.mode).owned(new.uid, new.gid);
        let queue = Queue::new(node, messages, size);
        queue.touch(cx);
        queues.insert(name.to_vec(), Arc::clone(&queue));
        drop(queues);
        self.changed(cx);
        Ok(queue)
    }

    fn changed(&self, cx: &Cx) {
        let now = SetAttr {
            atime: Some(SetTime::Now),
            mtime: Some(SetTime::Now),
            ..SetAttr::default()
        };
        // Nothing can be wrong with a node in memory.
        let _ = self.node.set_attr(cx, &now);
    }
}

impl Inode for Root {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        let count = self.queues.lock().len() as u64;
        Ok(Attr {
            size: (count + DOTS) * ENTRY_SIZE,
            ..self.node.attr()
        })
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        self.node.set_attr(cx, set)
    }

    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let found = self.queues.lock().get(name).cloned();
        found.map(|q| q as InodeRef).ok_or(Errno::ENOENT)
    }

    fn create(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
        match new.kind {
            NewKind::Regular => self.add(cx, name, new, || Ok(DEFAULT_SIZES)),
            _ => Err(Errno::EPERM),
        }
    }

    fn unlink(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        let gone = self.queues.lock().remove(name).ok_or(Errno::ENOENT)?;
        gone.unlinked();
        self.changed(cx);
        Ok(())
    }

    fn open(&self, cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        let queues = self.queues.lock();
        let entries = queues
            .iter()
            .map(|(name, q)| (name.clone(), q.id().ino, FileType::Regular))
            .collect();
        drop(queues);
        Ok(Arc::new(SnapshotDir::new(self.attr(cx)?, entries)))
    }
}
