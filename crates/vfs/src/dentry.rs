//! The dentry cache: names of a file system as the VFS knows them, and which lookups need not be asked again.
//!
//! A child keeps its parent alive. A parent keeps a child alive only while the child is *pinned*: pinned
//! children of a file system stand in a bounded second-chance queue, so that the cache stays warm but small.
//! File systems that change behind our back ([`FileSystem::caches_dentries`] is false) have neither pinned nor
//! negative entries; a known child is merely reused while it is still the same inode.

use crate::{
    attr::FileType,
    cx::Cx,
    inode::{FileSystem, Inode, InodeRef},
    notify,
    track::Trackers,
};
use parking_lot::{Mutex, MutexGuard, RwLock};
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::NAME_MAX,
    inotify::{IN_ISDIR, IN_UNMOUNT},
};

/// Pinned dentries per file system.
const CACHE_LIMIT: usize = 16_384;
/// Negative entries per directory.
const NEGATIVE_LIMIT: usize = 1024;

/// A file system in use: what all its mounts share.
pub struct SuperBlock {
    fs: Arc<dyn FileSystem>,
    caches: bool,
    read_only: AtomicBool,
    /// Held by every rename, so that the tree's shape stands still: rename(2).
    pub(crate) rename_lock: Mutex<()>,
    queue: Mutex<VecDeque<Weak<Dentry>>>,
    root: Mutex<Weak<Dentry>>,
    mounts: AtomicUsize,
    /// Watched inodes, which hear of the last mount's end.
    watched: Mutex<Vec<Weak<dyn Inode>>>,
    /// Who hears of changes in the machine that the file system is mounted in.
    trackers: OnceLock<Arc<Trackers>>,
}

impl fmt::Debug for SuperBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SuperBlock")
            .field("fs", &self.fs.name())
            .finish_non_exhaustive()
    }
}

/// The super block of a file system, found again by its root inode when it is mounted a second time.
#[derive(Default)]
struct SuperBlockSlot(Mutex<Weak<SuperBlock>>);

impl SuperBlock {
    /// The super block of `fs`; the same one for every mount of the same instance.
    #[must_use]
    pub fn of(fs: &Arc<dyn FileSystem>) -> Arc<Self> {
        let root = fs.root();
        let slot = root.anchor().get_or_insert(SuperBlockSlot::default);
        let mut known = slot.0.lock();
        if let Some(sb) = known.upgrade() {
            return sb;
        }
        let made = Arc::new(Self {
            fs: Arc::clone(fs),
            caches: fs.caches_dentries(),
            read_only: AtomicBool::new(fs.read_only()),
            rename_lock: Mutex::new(()),
            queue: Mutex::default(),
            root: Mutex::default(),
            mounts: AtomicUsize::new(0),
            watched: Mutex::default(),
            trackers: OnceLock::new(),
        });
        *known = Arc::downgrade(&made);
        made
    }

    /// The file system.
    #[must_use]
    pub fn fs(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    /// Who hears of changes in the machine that the file system is mounted in; `None` while it is mounted in none.
    #[must_use]
    pub fn trackers(&self) -> Option<&Arc<Trackers>> {
        self.trackers.get()
    }

    /// The file system is mounted in a machine; the first one counts.
    pub(crate) fn set_trackers(&self, trackers: &Arc<Trackers>) {
        self.trackers.get_or_init(|| Arc::clone(trackers));
    }

    /// Whether the whole file system is read-only, through whichever mount.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// Makes the whole file system read-only or writable.
    pub fn set_read_only(&self, on: bool) {
        self.read_only.store(on, Ordering::Relaxed);
    }

    /// The root dentry.
    #[must_use]
    pub fn root_dentry(self: &Arc<Self>) -> Arc<Dentry> {
        let mut root = self.root.lock();
        if let Some(dentry) = root.upgrade() {
            return dentry;
        }
        let made = Dentry::new(self, self.fs.root(), b"", None);
        *root = Arc::downgrade(&made);
        made
    }

    pub(crate) fn mounted(&self) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
    }

    /// An inode of the file system is watched: it is to be told when the last mount goes.
    pub fn watch(&self, inode: &InodeRef) {
        let mut watched = self.watched.lock();
        // Those that are gone are looked for only where the list would have to grow.
        if watched.len() == watched.capacity() {
            watched.retain(|inode| inode.strong_count() > 0);
        }
        watched.push(Arc::downgrade(inode));
    }

    /// Forgets the cache with the last mount: it would keep itself alive otherwise.
    pub(crate) fn unmounted(&self) {
        if self.mounts.fetch_sub(1, Ordering::AcqRel) == 1 {
            let watched = std::mem::take(&mut *self.watched.lock());
            for inode in watched.iter().filter_map(Weak::upgrade) {
                let dir = if inode.kind() == FileType::Directory {
                    IN_ISDIR
                } else {
                    0
                };
                notify::on_inode(&inode, IN_UNMOUNT | dir);
            }
            let queue = std::mem::take(&mut *self.queue.lock());
            for dentry in queue.iter().filter_map(Weak::upgrade) {
                dentry.unpin();
            }
        }
    }

    /// Queues a freshly pinned dentry and lets an old one go.
    fn pin(&self, dentry: &Arc<Dentry>) {
        if self.mounts.load(Ordering::Relaxed) == 0 {
            dentry.unpin();
            return;
        }
        let mut evicted = None;
        {
            let mut queue = self.queue.lock();
            queue.push_back(Arc::downgrade(dentry));
            // A second chance for each, but only a few at a time: a burst may exceed the limit for a while.
            for _ in 0..8 {
                if queue.len() <= CACHE_LIMIT {
                    break;
                }
                let Some(old) = queue.pop_front() else { break };
                match old.upgrade() {
                    Some(d) if d.used.swap(false, Ordering::Relaxed) => queue.push_back(old),
                    Some(d) => {
                        evicted = Some(d);
                        break;
                    }
                    None => {}
                }
            }
        }
        if let Some(old) = evicted {
            old.unpin();
        }
    }
}

/// What a directory's cache says about a name.
enum Child {
    /// There is no such entry.
    Negative,
    /// Kept by the cache.
    Pinned(Arc<Dentry>),
    /// Kept only by its users.
    Known(Weak<Dentry>),
}

struct Place {
    name: Arc<[u8]>,
    parent: Option<Arc<Dentry>>,
}

/// A name in a directory together with the inode that it leads to. Negative entries have no dentry of their own.
pub struct Dentry {
    sb: Arc<SuperBlock>,
    inode: InodeRef,
    place: RwLock<Place>,
    children: Mutex<FxHashMap<Box<[u8]>, Child>>,
    negatives: AtomicUsize,
    /// Serialises changes of this directory and first lookups in it. Order: ancestors before descendants,
    /// otherwise under the rename lock.
    dir_lock: Mutex<()>,
    unlinked: AtomicBool,
    /// Whether the watchers of the inode know that it has lost its last name.
    end_told: AtomicBool,
    used: AtomicBool,
    /// How many mounts sit on this dentry.
    mounts: AtomicU32,
}

impl fmt::Debug for Dentry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dentry")
            .field("name", &String::from_utf8_lossy(&self.name()))
            .field("inode", &self.inode.id())
            .finish_non_exhaustive()
    }
}

impl Dentry {
    fn new(
        sb: &Arc<SuperBlock>,
        inode: InodeRef,
        name: &[u8],
        parent: Option<Arc<Self>>,
    ) -> Arc<Self> {
        Self::build(sb, inode, name, parent, false)
    }

    /// A dentry for an inode without a name (memfd, `O_TMPFILE`); `label` and `parent` are only for
    /// `/proc/PID/fd` to show.
    #[must_use]
    pub fn nameless(
        sb: &Arc<SuperBlock>,
        inode: InodeRef,
        label: &[u8],
        parent: Option<Arc<Self>>,
    ) -> Arc<Self> {
        Self::build(sb, inode, label, parent, true)
    }

    fn build(
        sb: &Arc<SuperBlock>,
        inode: InodeRef,
        name: &[u8],
        parent: Option<Arc<Self>>,
        nameless: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            sb: Arc::clone(sb),
            inode,
            place: RwLock::new(Place {
                name: name.into(),
                parent,
            }),
            children: Mutex::default(),
            negatives: AtomicUsize::new(0),
            dir_lock: Mutex::new(()),
            unlinked: AtomicBool::new(nameless),
            end_told: AtomicBool::new(false),
            used: AtomicBool::new(false),
            mounts: AtomicU32::new(0),
        })
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &InodeRef {
        &self.inode
    }

    /// The type of the inode.
    #[must_use]
    pub fn kind(&self) -> FileType {
        self.inode.kind()
    }

    /// Whether this is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// The super block.
    #[must_use]
    pub fn super_block(&self) -> &Arc<SuperBlock> {
        &self.sb
    }

    /// The name in the parent; empty for a root.
    #[must_use]
    pub fn name(&self) -> Arc<[u8]> {
        Arc::clone(&self.place.read().name)
    }

    /// The directory that holds the name; `None` for a root and for a file without a name.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.place.read().parent.clone()
    }

    /// Name and parent at one moment.
    pub(crate) fn place(&self) -> (Arc<[u8]>, Option<Arc<Self>>) {
        let place = self.place.read();
        (Arc::clone(&place.name), place.parent.clone())
    }

    /// Whether the name has been removed since.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::Acquire)
    }

    /// Whether something is mounted here, in whichever namespace.
    #[must_use]
    pub fn is_mountpoint(&self) -> bool {
        self.mounts.load(Ordering::Acquire) != 0
    }

    pub(crate) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether `self` is `other` or lies above it.
    #[must_use]
    pub fn is_ancestor_of(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut at = Some(Arc::clone(other));
        while let Some(d) = at {
            if Arc::ptr_eq(self, &d) {
                return true;
            }
            at = d.parent();
        }
        false
    }

    /// Takes the lock under which entries of this directory change.
    pub(crate) fn lock_dir(&self) -> MutexGuard<'_, ()> {
        self.dir_lock.lock()
    }

    /// The child called `name`, a proper name; asks the file system when the cache does not know.
    pub(crate) fn lookup(self: &Arc<Self>, cx: &Cx, name: &[u8]) -> Result<Arc<Self>> {
        self.check_name(name)?;
        if self.sb.caches
            && let Some(known) = self.cached(name)
        {
            return known;
        }
        let _dir = self.dir_lock.lock();
        self.lookup_locked(cx, name)
    }

    /// A removed directory has no entries, not even impossible ones.
    fn check_name(&self, name: &[u8]) -> Result<()> {
        if self.sb.caches && self.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        if name.len() > NAME_MAX {
            Err(Errno::ENAMETOOLONG)
        } else {
            Ok(())
        }
    }

    /// As [`Dentry::lookup`], only from the cache: `None` if that does not know.
    pub(crate) fn cached(&self, name: &[u8]) -> Option<Result<Arc<Self>>> {
        match self.children.lock().get(name)? {
            Child::Negative => Some(Err(Errno::ENOENT)),
            Child::Pinned(d) => {
                if !d.used.load(Ordering::Relaxed) {
                    d.used.store(true, Ordering::Relaxed);
                }
                Some(Ok(Arc::clone(d)))
            }
            Child::Known(d) => d.upgrade().map(Ok),
        }
    }

    /// As [`Dentry::lookup`], with the directory's lock held by the caller.
    pub(crate) fn lookup_locked(self: &Arc<Self>, cx: &Cx, name: &[u8]) -> Result<Arc<Self>> {
        self.check_name(name)?;
        let known = self.cached(name);
        if self.sb.caches
            && let Some(known) = known
        {
            return known;
        }
        let known = known.and_then(Result::ok);
        match self.inode.lookup(cx, name) {
            Ok(inode) => {
                if let Some(d) = known {
                    let same = Arc::ptr_eq(&d.inode, &inode);
                    if same || d.is_mountpoint() {
                        return Ok(d);
                    }
                    if d.inode.id() != inode.id() {
                        d.unlinked.store(true, Ordering::Release);
                    }
                }
                Ok(self.adopt(name, inode))
            }
            Err(Errno::ENOENT) => {
                if let Some(d) = known {
                    if d.is_mountpoint() {
                        return Ok(d);
                    }
                    d.unlinked.store(true, Ordering::Release);
                }
                self.forget(name);
                Err(Errno::ENOENT)
            }
            Err(e) => Err(e),
        }
    }

    /// Enters a child that the file system has just shown or made. The directory's lock is held.
    pub(crate) fn adopt(self: &Arc<Self>, name: &[u8], inode: InodeRef) -> Arc<Self> {
        let child = Self::new(&self.sb, inode, name, Some(Arc::clone(self)));
        self.enter(name, &child);
        child
    }

    fn enter(&self, name: &[u8], child: &Arc<Self>) {
        let entry = if self.sb.caches {
            Child::Pinned(Arc::clone(child))
        } else {
            Child::Known(Arc::downgrade(child))
        };
        let old = self.children.lock().insert(name.into(), entry);
        if matches!(old, Some(Child::Negative)) {
            self.negatives.fetch_sub(1, Ordering::Relaxed);
        }
        drop(old);
        if self.sb.caches {
            self.sb.pin(child);
        }
    }

    /// Remembers that `name` is gone (or was never there). The directory's lock is held.
    fn forget(&self, name: &[u8]) {
        let mut children = self.children.lock();
        let old = if self.sb.caches {
            if self.negatives.load(Ordering::Relaxed) >= NEGATIVE_LIMIT {
                children.retain(|_, c| !matches!(c, Child::Negative));
                self.negatives.store(0, Ordering::Relaxed);
            }
            let old = children.insert(name.into(), Child::Negative);
            if !matches!(old, Some(Child::Negative)) {
                self.negatives.fetch_add(1, Ordering::Relaxed);
            }
            old
        } else {
            children.remove(name)
        };
        drop(children);
        drop(old);
    }

    /// Takes a removed child out of the cache. The directory's lock is held.
    pub(crate) fn removed(&self, child: &Arc<Self>) {
        child.unlinked.store(true, Ordering::Release);
        self.forget(&child.name());
    }

    /// Drops what is cached under `name`: the file system has put something there by itself.
    pub(crate) fn forget_unknown(&self, name: &[u8]) {
        let old = self.children.lock().remove(name);
        if matches!(old, Some(Child::Negative)) {
            self.negatives.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Moves `child` from this directory to `new_parent`; both locks and the rename lock are held.
    pub(crate) fn moved(&self, child: &Arc<Self>, new_parent: &Arc<Self>, new_name: &[u8]) {
        self.forget(&child.name());
        let old_parent = {
            let mut place = child.place.write();
            place.name = new_name.into();
            place.parent.replace(Arc::clone(new_parent))
        };
        new_parent.enter(new_name, child);
        drop(old_parent);
    }

    /// Exchanges the places of two children; both directories' locks and the rename lock are held.
    pub(crate) fn exchanged(a_dir: &Arc<Self>, a: &Arc<Self>, b_dir: &Arc<Self>, b: &Arc<Self>) {
        let (a_name, b_name) = (a.name(), b.name());
        let old_a = {
            let mut place = a.place.write();
            place.name = Arc::clone(&b_name);
            place.parent.replace(Arc::clone(b_dir))
        };
        let old_b = {
            let mut place = b.place.write();
            place.name = Arc::clone(&a_name);
            place.parent.replace(Arc::clone(a_dir))
        };
        a_dir.enter(&a_name, b);
        b_dir.enter(&b_name, a);
        drop((old_a, old_b));
    }

    /// Lets the cache go of this dentry; it stays known while it is in use.
    fn unpin(self: &Arc<Self>) {
        let (name, parent) = self.place();
        let Some(parent) = parent else { return };
        let mut children = parent.children.lock();
        let mut dropped = None;
        if let Some(slot) = children.get_mut(&*name)
            && matches!(slot, Child::Pinned(d) if Arc::ptr_eq(d, self))
        {
            dropped = Some(std::mem::replace(slot, Child::Known(Arc::downgrade(self))));
        }
        drop(children);
        drop(dropped);
    }
}

/// Removes the entry of a dentry that has just died. A living successor under the same name stays.
fn bury(parent: &Dentry, name: &[u8]) {
    let mut children = parent.children.lock();
    if matches!(children.get(name), Some(Child::Known(w)) if w.strong_count() == 0) {
        children.remove(name);
    }
}

impl Dentry {
    /// Tells the watchers of the inode that it has lost its last name, if so. That is when nobody uses this name any more:
    /// an open file that was removed ends with its last descriptor.
    pub(crate) fn tell_end(&self) {
        if self.is_unlinked() && !self.end_told.swap(true, Ordering::AcqRel) {
            notify::ended(&self.inode);
        }
    }
}

impl Drop for Dentry {
    fn drop(&mut self) {
        self.tell_end();
        let place = self.place.get_mut();
        let mut next = place.parent.take();
        let mut name = Arc::clone(&place.name);
        // A loop instead of recursion: a chain of directories may be long.
        while let Some(parent) = next {
            bury(&parent, &name);
            // The last user of the parent drops it here, with its own parent already taken: no recursion.
            let Some(mut last) = Arc::into_inner(parent) else {
                break;
            };
            let place = last.place.get_mut();
            next = place.parent.take();
            name = Arc::clone(&place.name);
        }
    }
}
