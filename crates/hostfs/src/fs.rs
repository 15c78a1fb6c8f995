//! A mounted host directory: the table of inodes, and what is kept open.

use crate::{
    node::{Key, Node, Place},
    owner::{OwnerMap, Owners},
};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Weak},
};
use tuxlet_host::fs::{Dir, Stat};
use tuxlet_mem::{FilePages, MemoryBudget};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{DeviceId, FileSystem, FileType, InodeRef, StatFs};

/// How to show a host directory.
#[derive(Clone, Debug)]
pub struct Options {
    /// The device number that stat(2) shows.
    pub dev: DeviceId,
    /// How owners appear.
    pub owners: Owners,
    /// Whether only the guest changes the directory, so that the VFS may remember names. Files that others
    /// make or remove are then noticed late or never.
    pub exclusive: bool,
    /// Pays for the pages of mapped files.
    pub budget: Arc<MemoryBudget>,
}

/// With a device number of its own, not exclusive, unlimited memory.
impl Default for Options {
    fn default() -> Self {
        Self {
            dev: DeviceId::anonymous(),
            owners: Owners::default(),
            exclusive: false,
            budget: MemoryBudget::unlimited(),
        }
    }
}

/// `f_type` of User Mode Linux' hostfs, the same idea.
const MAGIC: u64 = 0x00c0_ffee;
/// Inodes kept in memory although nobody uses them, so that walks find their directories open.
const KEPT_NODES: usize = 512;
/// Host directories open at a time, but for the top.
const OPEN_DIRS: usize = 128;
/// Page caches kept although nobody maps the files.
const KEPT_PAGES: usize = 128;

/// A mounted host directory or file.
#[derive(Debug)]
pub struct HostFs {
    shared: Arc<Shared>,
    root: Arc<Node>,
    /// Inodes met lately, oldest first.
    kept_nodes: Mutex<VecDeque<Arc<Node>>>,
    /// Page caches of files mapped lately, oldest first.
    kept_pages: Mutex<VecDeque<Arc<FilePages>>>,
}

/// What all inodes of a mount share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The host directory that everything is below.
    pub(crate) top: Arc<Dir>,
    root: (Key, FileType, Place),
    pub(crate) options: Options,
    pub(crate) owners: OwnerMap,
    outer: Mutex<Weak<HostFs>>,
    table: Mutex<FxHashMap<Key, Weak<Node>>>,
    /// Nodes with an open directory, oldest first.
    open_dirs: Mutex<VecDeque<Weak<Node>>>,
    /// Host devices met, the top's first.
    devices: Mutex<Vec<u64>>,
}

impl HostFs {
    /// Opens a host directory, or a single regular file, following links in the path given.
    pub fn open(path: &Path, options: &Options) -> Result<Arc<Self>> {
        let io = |e: std::io::Error| tuxlet_host::errno::from_io(&e);
        let path = std::fs::canonicalize(path).map_err(io)?;
        let (top, place) = if path.is_dir() {
            (
                Dir::open(&path)?,
                Place {
                    parent: None,
                    name: b".".to_vec(),
                },
            )
        } else {
            let (parent, name) = path.parent().zip(path.file_name()).ok_or(Errno::ENOENT)?;
            let name = std::os::unix::ffi::OsStrExt::as_bytes(name).to_vec();
            (Dir::open(parent)?, Place { parent: None, name })
        };
        let stat = top.stat(&place.name)?;
        let kind = FileType::from_mode(stat.mode).ok_or(Errno::EIO)?;
        let shared = Arc::new(Shared {
            top: Arc::new(top),
            root: (Key::of(&stat), kind, place),
            options: options.clone(),
            owners: OwnerMap::new(options.owners),
            outer: Mutex::default(),
            table: Mutex::default(),
            open_dirs: Mutex::default(),
            devices: Mutex::new(vec![stat.dev]),
        });
        Ok(shared.mounted())
    }
}

impl Drop for HostFs {
    fn drop(&mut self) {
        // The page caches write what is dirty; both hold nodes, and so what they share.
        self.kept_pages.get_mut().clear();
        self.kept_nodes.get_mut().clear();
    }
}

impl FileSystem for HostFs {
    fn name(&self) -> &'static str {
        "hostfs"
    }
    fn root(&self) -> InodeRef {
        self.root.clone()
    }
    fn dev(&self) -> DeviceId {
        self.shared.options.dev
    }
    fn statfs(&self) -> Result<StatFs> {
        let host = self.shared.top.fs_stat()?;
        Ok(StatFs {
            magic: MAGIC,
            bsize: host.frsize,
            blocks: host.blocks,
            bfree: host.bfree,
            bavail: host.bavail,
            files: host.files,
            ffree: host.ffree,
            namelen: host.namelen,
            fsid: self.shared.options.dev.encode(),
        })
    }
    fn sync(&self) -> Result<()> {
        let live: Vec<_> = self
            .shared
            .table
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        for pages in live.iter().filter_map(|n| n.pages()) {
            pages.write_back(0..u64::MAX)?;
        }
        self.shared.top.sync_fs()
    }
    fn caches_dentries(&self) -> bool {
        self.shared.options.exclusive
    }
}

impl Shared {
    /// The mounted file system; one is made if the last mount went while files were still open.
    pub(crate) fn mounted(self: &Arc<Self>) -> Arc<HostFs> {
        let mut outer = self.outer.lock();
        if let Some(fs) = outer.upgrade() {
            return fs;
        }
        let (key, kind, place) = &self.root;
        let root = self.node(*key, *kind, place.clone());
        let fs = Arc::new(HostFs {
            shared: Arc::clone(self),
            root,
            kept_nodes: Mutex::default(),
            kept_pages: Mutex::default(),
        });
        *outer = Arc::downgrade(&fs);
        fs
    }

    fn node(self: &Arc<Self>, key: Key, kind: FileType, place: Place) -> Arc<Node> {
        let ino = self.guest_ino(key);
        let mut table = self.table.lock();
        let old = table.get(&key).and_then(Weak::upgrade);
        if let Some(node) = &old
            && node.kind == kind
        {
            drop(table);
            node.moved(place);
            return Arc::clone(node);
        }
        let node = Node::new(self, key, ino, kind, place);
        table.insert(key, Arc::downgrade(&node));
        // An old node may end now, which takes the lock.
        drop(table);
        drop(old);
        node
    }

    /// The inode that was found at a place.
    pub(crate) fn met(self: &Arc<Self>, stat: &Stat, place: Place) -> Result<Arc<Node>> {
        let kind = FileType::from_mode(stat.mode).ok_or(Errno::EIO)?;
        let node = self.node(Key::of(stat), kind, place);
        let outer = self.outer.lock().upgrade();
        if let Some(fs) = outer
            && node.keep()
        {
            let mut kept = fs.kept_nodes.lock();
            kept.push_back(Arc::clone(&node));
            let oldest = if kept.len() > KEPT_NODES {
                kept.pop_front()
            } else {
                None
            };
            drop(kept);
            if let Some(oldest) = oldest {
                oldest.keep_no_longer();
            }
        }
        Ok(node)
    }

    /// The inode of a host file, if it is in memory.
    pub(crate) fn known(&self, key: Key) -> Option<Arc<Node>> {
        self.table.lock().get(&key).and_then(Weak::upgrade)
    }

    /// Takes a node out of the table, unless another took its place: it ends, or its host inode may.
    pub(crate) fn forget(&self, node: &Node) {
        let mut table = self.table.lock();
        if table
            .get(&node.key)
            .is_some_and(|w| std::ptr::eq(w.as_ptr(), node))
        {
            table.remove(&node.key);
        }
    }

    /// The number that the guest sees: the host's, made different for inodes of other host file systems.
    pub(crate) fn guest_ino(&self, key: Key) -> u64 {
        let mut devices = self.devices.lock();
        let index = match devices.iter().position(|&d| d == key.dev) {
            Some(index) => index,
            None => {
                devices.push(key.dev);
                devices.len() - 1
            }
        };
        key.ino ^ ((index as u64) << 48)
    }

    /// Notes that a node has opened its directory, and closes the oldest others beyond the limit.
    pub(crate) fn dir_opened(&self, node: Weak<Node>) {
        let surplus: Vec<_> = {
            let mut open = self.open_dirs.lock();
            open.push_back(node);
            let n = open.len().saturating_sub(OPEN_DIRS);
            open.drain(..n).filter_map(|n| n.upgrade()).collect()
        };
        for node in surplus {
            node.close_dir();
        }
    }

    /// Keeps a page cache for the next who maps the file.
    pub(crate) fn keep_pages(&self, pages: &Arc<FilePages>) {
        let outer = self.outer.lock().upgrade();
        if let Some(fs) = outer {
            let mut kept = fs.kept_pages.lock();
            kept.push_back(Arc::clone(pages));
            let oldest = if kept.len() > KEPT_PAGES {
                kept.pop_front()
            } else {
                None
            };
            // Its end may write, so not under the lock.
            drop(kept);
            drop(oldest);
        }
    }

    /// Keeps neither inode nor page cache of a file without names any longer.
    pub(crate) fn release(&self, node: &Arc<Node>) {
        self.forget(node);
        let outer = self.outer.lock().upgrade();
        let Some(fs) = outer else { return };
        let mut gone = Vec::new();
        if let Some(pages) = node.pages() {
            fs.kept_pages.lock().retain(|p| {
                let same = Arc::ptr_eq(p, &pages);
                gone.extend(same.then(|| Arc::clone(p)));
                !same
            });
        }
        fs.kept_nodes.lock().retain(|n| !Arc::ptr_eq(n, node));
    }
}
