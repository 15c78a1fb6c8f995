//! A mounted store: opening, the inode table, the file system trait.
//!
//! # Locks, in the order they are taken
//! `namespace` → a directory's entries → the inode table → `reader`; and, below any of these, a file's `slot`
//! → a node's `meta` → `pending`. `writer` is taken before `namespace`. No `Arc<Node>` is dropped under the
//! table's lock, because a node's end takes it.

use crate::{
    batch::{Pending, Writer},
    data::{Files, Lock},
    error::{Result, database_errno},
    flusher::Flusher,
    node::Node,
    recover,
    schema::{self, InodeRow, ROOT, to_ns},
    suspend::Left,
};
use parking_lot::Mutex;
use rusqlite::Connection;
use rustc_hash::{FxHashMap, FxHashSet};
use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tuxlet_mem::{FilePages, MemoryBudget};
use tuxlet_uapi::errno::{Errno, Result as ErrnoResult};
use tuxlet_vfs::{DeviceId, FileSystem, InodeRef, StatFs, attr::Time};

/// How far fsync(2) and the periodic commits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// To the medium: survives the host's power failure.
    #[default]
    Host,
    /// To the host's kernel: survives the end of this process, however sudden, but not of the host.
    Process,
    /// Nowhere: the store may be forgotten when it is shut down.
    Nothing,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Change nothing, and share the store with other readers.
    pub read_only: bool,
    /// How far fsync(2) goes.
    pub durability: Durability,
    /// The device number that stat(2) shows.
    pub dev: DeviceId,
    /// Pays for the pages of mapped files.
    pub budget: Arc<MemoryBudget>,
    /// How long what is written through a mapping may stay in memory only.
    pub write_back: Duration,
}

/// For writing, durable, with a device number of its own and unlimited memory.
impl Default for Options {
    fn default() -> Self {
        Self {
            read_only: false,
            durability: Durability::Host,
            dev: DeviceId::anonymous(),
            budget: MemoryBudget::unlimited(),
            write_back: WRITE_BACK,
        }
    }
}

/// What Linux starts with: `/proc/sys/vm/dirty_expire_centisecs`.
const WRITE_BACK: Duration = Duration::from_secs(30);
/// `f_type` of statfs(2): "Tuxl".
const MAGIC: u64 = 0x5475_786c;
/// Host descriptors of data files kept open for later use.
const OPEN_DATA: usize = 128;

/// Up to so many files are synced one by one; more by flushing the whole host file system, others' files too.
const SYNC_SINGLY: usize = 64;
/// Page caches kept although nobody maps the files: the programs that will be started again.
const KEPT_PAGES: usize = 256;

/// The root directory of a new store.
fn new_root() -> InodeRow {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = to_ns(Time {
        sec: since.as_secs() as i64,
        nsec: since.subsec_nanos(),
    });
    InodeRow {
        ino: ROOT,
        mode: 0o040_755,
        nlink: 2,
        atime: now,
        mtime: now,
        ctime: now,
        btime: now,
        ..InodeRow::default()
    }
}

/// A mounted fakefs.
#[derive(Debug)]
pub struct FakeFs {
    pub(crate) store: Arc<Store>,
    root: Arc<Node>,
    /// Page caches of files mapped lately, oldest first. The memory budget takes their pages when it must.
    kept_pages: Mutex<VecDeque<Arc<FilePages>>>,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) files: Files,
    pub(crate) lock: Mutex<Option<Lock>>,
    pub(crate) read_only: bool,
    pub(crate) durability: Durability,
    /// Whether the store was found as a crash left it.
    pub(crate) recovered: bool,
    pub(crate) dev: DeviceId,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) this: Weak<Self>,
    outer: Mutex<Weak<FakeFs>>,
    /// For lazy loading; sees what has been committed.
    pub(crate) reader: Mutex<Option<Connection>>,
    pub(crate) writer: Mutex<Writer>,
    table: Mutex<FxHashMap<u64, Weak<Node>>>,
    next_ino: AtomicU64,
    /// Held by everything that changes names, so that a batch is a consistent state.
    pub(crate) namespace: Mutex<()>,
    pub(crate) pending: Mutex<Pending>,
    /// See [`Options::write_back`].
    pub(crate) write_back: Duration,
    pub(crate) flusher: Arc<Flusher>,
    /// Nothing is written any more: the store was shut down.
    shut: AtomicBool,
    /// Whether the store has been let go of, and as what.
    pub(crate) suspended: AtomicBool,
    pub(crate) left: Mutex<Option<Left>>,
    /// Whether the mark of an unclean store is absent.
    clean: AtomicBool,
    /// Nodes with an open data file, oldest first.
    open_data: Mutex<VecDeque<Weak<Node>>>,
    /// Bytes of files that are only in memory.
    pub(crate) buffered: AtomicU64,
    /// Inodes whose host files were written since they were synced.
    pub(crate) written: Mutex<FxHashSet<u64>>,
}

impl FakeFs {
    /// Makes a new store with an empty root directory (0755, root). Nothing is synced yet.
    pub fn create(path: &Path) -> Result<()> {
        let files = Files::create(path)?;
        let _lock = files.lock(true)?;
        let root = new_root();
        schema::create(&files.database(), |db| schema::put_inode(db, &root))
    }

    /// A new store with an empty root directory (0755, root), which is made on disk, in one step, when something has to be kept
    /// there: at the first commit, or when files are larger than memory should hold. There must be nothing at `path`, nor another
    /// who is about to make it.
    pub fn new(path: &Path, options: &Options) -> Result<Arc<Self>> {
        let row = new_root();
        let files = Files::later(path, row.clone(), options.durability == Durability::Host);
        let store = Store::new(files, None, None, ROOT + 1, false, options);
        let root = Node::new_root(&store, row)?;
        store.enter(&root);
        Ok(Self::mount(store, root))
    }

    /// Opens a store; one that was not closed cleanly is put in order first.
    pub fn open(path: &Path, options: &Options) -> Result<Arc<Self>> {
        Self::open_store(path, options).map_err(|e| e.on_full_disk(path))
    }

    fn open_store(path: &Path, options: &Options) -> Result<Arc<Self>> {
        let mut recovered = false;
        let (files, lock, reader) = if options.read_only {
            recover::open_shared(path)?
        } else {
            let files = Files::open(path)?;
            let lock = files.lock(true)?;
            let db = schema::open(&files.database())?;
            if files.is_unclean() {
                recover::reconcile(&files, &db)?;
                recovered = true;
            }
            (files, lock, db)
        };
        let next_ino = schema::max_ino(&reader)? + 1;
        let store = Store::new(files, lock, Some(reader), next_ino, recovered, options);
        let root = store.get(ROOT, ROOT)?;
        Ok(Self::mount(store, root))
    }

    fn mount(store: Arc<Store>, root: Arc<Node>) -> Arc<Self> {
        let fs = Arc::new(Self {
            store,
            root,
            kept_pages: Mutex::default(),
        });
        *fs.store.outer.lock() = Arc::downgrade(&fs);
        fs
    }

    /// Commits everything and marks the store as closed cleanly. For the end of a machine: the data of files
    /// that are unlinked but still open is removed, too. Nothing can be changed afterwards, and nothing in the host's
    /// directory is touched any more. A store that may be forgotten is left as it is.
    pub fn shutdown(&self) -> ErrnoResult<()> {
        let store = &self.store;
        let forget = store.durability == Durability::Nothing || store.is_suspended();
        if !forget {
            store.write_back_pages()?;
            store.commit_all(store.durable())?;
            store.sync_written()?;
        }
        store.shut.store(true, Ordering::SeqCst);
        store.flusher.halt();
        if forget {
            store.forget_pending();
            return Ok(());
        }
        store.close()
    }
}

impl Drop for FakeFs {
    fn drop(&mut self) {
        // Both hold nodes, and so the store.
        self.kept_pages.get_mut().clear();
        if self.store.is_shut() {
            self.store.forget_pending();
            return;
        }
        // If it fails (which has been reported) the flusher goes on trying.
        if self.store.commit_all(self.store.durable()).is_ok() {
            self.store.flusher.halt();
            // Files that are still open may have been changed meanwhile.
            if self.store.pending.lock().any() {
                self.store.flusher.wake(&self.store.this, false);
            }
        }
    }
}

impl FileSystem for FakeFs {
    fn name(&self) -> &'static str {
        "fakefs"
    }
    fn root(&self) -> InodeRef {
        self.root.clone()
    }
    fn dev(&self) -> DeviceId {
        self.store.dev
    }
    fn statfs(&self) -> ErrnoResult<StatFs> {
        let host = self.store.files.fs_stat()?;
        Ok(StatFs {
            magic: MAGIC,
            bsize: host.frsize,
            blocks: host.blocks,
            bfree: host.bfree,
            bavail: host.bavail,
            files: host.files,
            ffree: host.ffree,
            namelen: 255,
            fsid: self.store.dev.encode(),
        })
    }
    fn sync(&self) -> ErrnoResult<()> {
        if self.store.read_only || self.store.is_shut() || self.store.is_suspended() {
            return Ok(());
        }
        self.store.write_back_pages()?;
        if self.store.durability != Durability::Nothing {
            self.store.commit_all(self.store.durable())?;
        }
        self.store.flusher.remove_now(&self.store.files, || ());
        self.store.sync_written()
    }
}

impl Store {
    fn new(
        files: Files,
        lock: Option<Lock>,
        reader: Option<Connection>,
        next_ino: u64,
        recovered: bool,
        options: &Options,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            files,
            lock: Mutex::new(lock),
            read_only: options.read_only,
            durability: options.durability,
            recovered,
            dev: options.dev,
            budget: Arc::clone(&options.budget),
            outer: Mutex::new(Weak::new()),
            reader: Mutex::new(reader),
            writer: Mutex::new(Writer::default()),
            table: Mutex::new(FxHashMap::default()),
            next_ino: AtomicU64::new(next_ino.max(ROOT + 1)),
            namespace: Mutex::new(()),
            pending: Mutex::new(Pending::default()),
            write_back: options.write_back,
            flusher: Arc::new(Flusher::default()),
            shut: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            left: Mutex::default(),
            clean: AtomicBool::new(true),
            open_data: Mutex::new(VecDeque::new()),
            buffered: AtomicU64::new(0),
            written: Mutex::default(),
        })
    }

    /// Whether commits reach the medium.
    pub(crate) fn durable(&self) -> bool {
        self.durability == Durability::Host
    }

    /// The in-memory inode, loaded if need be. `parent` is the directory it was found in.
    pub(crate) fn get(self: &Arc<Self>, ino: u64, parent: u64) -> ErrnoResult<Arc<Node>> {
        let mut table = self.table.lock();
        if let Some(node) = table.get(&ino).and_then(Weak::upgrade) {
            return Ok(node);
        }
        let row = self
            .query(|db| schema::load_inode(db, ino))?
            .ok_or_else(|| {
                tracing::error!(ino, parent, "a directory entry without an inode");
                Errno::EIO
            })?;
        let node = Node::load(self, row, parent)?;
        table.insert(ino, Arc::downgrade(&node));
        Ok(node)
    }

    /// Enters a new inode.
    pub(crate) fn enter(&self, node: &Arc<Node>) {
        self.table.lock().insert(node.ino, Arc::downgrade(node));
    }

    /// Takes a node that ends out of the table, unless another took its place.
    pub(crate) fn forget(&self, node: &Node) {
        let mut table = self.table.lock();
        if table
            .get(&node.ino)
            .is_some_and(|w| std::ptr::eq(w.as_ptr(), node))
        {
            table.remove(&node.ino);
        }
    }

    /// All inodes in memory.
    fn live(&self) -> Vec<Arc<Node>> {
        self.table
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    pub(crate) fn new_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the database; an error is reported and becomes an errno.
    pub(crate) fn query<T>(
        &self,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> ErrnoResult<T> {
        let mut reader = self.reader.lock();
        self.must_be_awake()?;
        let opened = match &mut *reader {
            Some(db) => db,
            none => {
                let db = schema::open(&self.files.made_database()?).map_err(|error| {
                    tracing::error!(%error, "opening the metadata of a store");
                    Errno::from(error)
                })?;
                none.insert(db)
            }
        };
        f(opened).map_err(|e| {
            tracing::error!(error = %e, "reading the metadata of a store");
            database_errno(&e)
        })
    }

    /// Whether the store was shut down.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::SeqCst)
    }

    /// Must come before the first change of anything, so that the next opening knows.
    pub(crate) fn will_change(&self) -> ErrnoResult<()> {
        if self.read_only || self.is_shut() {
            return Err(Errno::EROFS);
        }
        self.must_be_awake()?;
        if self.clean.load(Ordering::Acquire) {
            self.files.mark_unclean()?;
            self.clean.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// The mounted file system; one is made if the last mount went while files were still open.
    pub(crate) fn file_system(self: &Arc<Self>) -> Arc<FakeFs> {
        let mut outer = self.outer.lock();
        if let Some(fs) = outer.upgrade() {
            return fs;
        }
        let root = self
            .get(ROOT, ROOT)
            .unwrap_or_else(|_| Node::unreadable_root(self));
        let fs = Arc::new(FakeFs {
            store: Arc::clone(self),
            root,
            kept_pages: Mutex::default(),
        });
        *outer = Arc::downgrade(&fs);
        fs
    }

    /// Notes that a node has opened its data; returns the oldest others beyond the limit.
    pub(crate) fn data_opened(&self, node: Weak<Node>) -> Vec<Arc<Node>> {
        let mut open = self.open_data.lock();
        open.push_back(node);
        let surplus = open.len().saturating_sub(OPEN_DATA);
        open.drain(..surplus).filter_map(|n| n.upgrade()).collect()
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

    /// Keeps a page cache no longer.
    pub(crate) fn release_pages(&self, pages: &Arc<FilePages>) {
        let outer = self.outer.lock().upgrade();
        if let Some(fs) = outer {
            fs.kept_pages.lock().retain(|p| !Arc::ptr_eq(p, pages));
        }
    }

    /// Brings what guests wrote through mappings to the files.
    pub(crate) fn write_back_pages(&self) -> ErrnoResult<()> {
        for pages in self.live().iter().filter_map(|n| n.pages()) {
            pages.write_back(0..u64::MAX)?;
        }
        Ok(())
    }

    /// Makes the data of all files durable.
    pub(crate) fn sync_written(&self) -> ErrnoResult<()> {
        let written = std::mem::take(&mut *self.written.lock());
        if !self.durable() || written.is_empty() {
            return Ok(());
        }
        let synced = if written.len() > SYNC_SINGLY {
            self.files.sync_fs()
        } else {
            let mut all = written
                .iter()
                .map(|&ino| match self.files.open_data(ino, false)? {
                    Some(file) => file.sync(true),
                    None => Ok(()),
                });
            all.try_for_each(std::convert::identity)
        };
        synced.inspect_err(|_| self.written.lock().extend(written))
    }

    /// Marks the store clean, after a commit.
    fn close(&self) -> ErrnoResult<()> {
        if self.clean.load(Ordering::Acquire) || self.is_suspended() {
            return Ok(());
        }
        for node in self.live() {
            if node.is_unlinked() {
                self.files.remove_data(node.ino)?;
            }
        }
        self.flusher
            .remove_now(&self.files, || self.files.mark_clean())?;
        self.clean.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.flusher.stop();
        // Nothing is pending: what waits to be written holds the store.
        if let Err(errno) = self.close() {
            tracing::warn!(%errno, "marking a store as closed cleanly");
        }
    }
}
