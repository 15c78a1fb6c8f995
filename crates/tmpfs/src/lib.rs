//! The memory file system: tmpfs(5), also behind memfd_create(2) and shared memory.
//!
//! [`Tmpfs`] is the file system, `node` its inodes, `dir` directories, `data` the pages of regular files. Everything
//! lives in the machine's memory budget and vanishes with the last reference.

#![forbid(unsafe_code)]

mod data;
mod dir;
mod node;
mod options;

pub use options::Options;

use data::Data;
use node::{Body, Node};
use parking_lot::Mutex;
use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};
use tuxlet_mem::MemoryBudget;
use tuxlet_uapi::{errno::Result, stat::TMPFS_MAGIC};
use tuxlet_vfs::{Cx, DeviceId, Errno, FileSystem, FileType, InodeRef, StatFs};

/// What all inodes of a file system share.
#[derive(Debug)]
pub(crate) struct Shared {
    dev: DeviceId,
    budget: Arc<MemoryBudget>,
    options: Options,
    /// Limits in force.
    max_pages: u64,
    max_inodes: u64,
    used_pages: AtomicU64,
    used_inodes: AtomicU64,
    next_ino: AtomicU64,
    /// Serialises changes that involve several directories or inodes. Taken before any inode's own lock.
    tree: Mutex<()>,
    fs: Mutex<Weak<Tmpfs>>,
}

impl Shared {
    /// Takes `n` pages of the size limit.
    fn charge(&self, n: u64) -> Result<()> {
        self.used_pages
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(n).filter(|&sum| sum <= self.max_pages)
            })
            .map(|_| ())
            .map_err(|_| Errno::ENOSPC)
    }

    fn uncharge(&self, n: u64) {
        self.used_pages.fetch_sub(n, Ordering::Relaxed);
    }

    fn charge_inode(&self) -> Result<()> {
        self.used_inodes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used + 1).filter(|&sum| sum <= self.max_inodes)
            })
            .map(|_| ())
            .map_err(|_| Errno::ENOSPC)
    }

    fn uncharge_inode(&self) {
        self.used_inodes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A memory file system.
#[derive(Debug)]
pub struct Tmpfs {
    shared: Arc<Shared>,
    root: Arc<Node>,
}

impl Tmpfs {
    /// An empty file system, whose pages come out of `budget`.
    #[must_use]
    pub fn new(cx: &Cx, budget: &Arc<MemoryBudget>, options: Options) -> Arc<Self> {
        let half = (budget.limit_pages() as u64 / 2).max(1);
        let shared = Arc::new(Shared {
            dev: DeviceId::anonymous(),
            budget: Arc::clone(budget),
            max_pages: options.pages.unwrap_or(half),
            max_inodes: options.inodes.unwrap_or(half),
            options,
            used_pages: AtomicU64::new(0),
            used_inodes: AtomicU64::new(1),
            next_ino: AtomicU64::new(1),
            tree: Mutex::new(()),
            fs: Mutex::default(),
        });
        let o = &shared.options;
        let (mode, uid, gid) = (o.mode, o.uid, o.gid);
        let body = Body::Dir(Mutex::default());
        let root = Node::new(cx, &shared, FileType::Directory, body, mode, uid, gid);
        Self::around(shared, root)
    }

    fn around(shared: Arc<Shared>, root: Arc<Node>) -> Arc<Self> {
        let fs = Arc::new(Self { shared, root });
        *fs.shared.fs.lock() = Arc::downgrade(&fs);
        fs
    }
}

impl FileSystem for Tmpfs {
    fn name(&self) -> &'static str {
        "tmpfs"
    }
    fn root(&self) -> InodeRef {
        Arc::<Node>::clone(&self.root)
    }
    fn dev(&self) -> DeviceId {
        self.shared.dev
    }
    fn statfs(&self) -> Result<StatFs> {
        let o = &*self.shared;
        let used = self.shared.used_pages.load(Ordering::Relaxed);
        let inodes = self.shared.used_inodes.load(Ordering::Relaxed);
        let free = o.max_pages.saturating_sub(used);
        Ok(StatFs {
            magic: TMPFS_MAGIC,
            bsize: 4096,
            blocks: o.max_pages,
            bfree: free,
            bavail: free,
            files: o.max_inodes,
            ffree: o.max_inodes.saturating_sub(inodes),
            namelen: 255,
            fsid: self.shared.dev.encode(),
        })
    }
    fn show_options(&self) -> String {
        self.shared.options.show()
    }
}

/// The pages of a new regular file.
fn new_data(shared: &Arc<Shared>, ino: u64) -> Arc<Data> {
    Arc::new(Data::new(shared, ino))
}
