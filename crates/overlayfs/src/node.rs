//! Inodes: one in memory per object, whichever layers hold it.

use crate::{
    OverlayFs,
    file::{OpenDir, OpenFile},
    listing::Entry,
    lookup::{Key, Lower},
};
use parking_lot::{Mutex, RwLock};
use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{
    Anchor, Attr, Cx, FileOps, FileSystem, FileType, Inode, InodeId, InodeRef, Link, NewInode,
    RenameFlags, SetAttr, SetTime,
};

/// The real inodes of an object.
#[derive(Clone, Debug)]
pub(crate) struct Real {
    pub(crate) upper: Option<InodeRef>,
    /// Topmost first: one of a file that is only in a lower layer; any number of a merged directory.
    pub(crate) lowers: Vec<Lower>,
}

impl Real {
    /// The inode that shows.
    pub(crate) fn top(&self) -> Result<&InodeRef> {
        let lower = || self.lowers.first().map(|l| &l.inode);
        self.upper.as_ref().or_else(lower).ok_or(Errno::ESTALE)
    }
}

/// An inode of the overlay.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) fs: Arc<OverlayFs>,
    pub(crate) ino: u64,
    /// Under which it was entered first.
    pub(crate) key: Key,
    kind: FileType,
    real: RwLock<Real>,
    /// One of the names, where a copy is to appear; `None` for the root and for a nameless file.
    place: Mutex<Option<(Arc<Node>, Vec<u8>)>>,
    anchor: Anchor,
    /// What [`Node::names`] found in the upper layer.
    names: Mutex<Option<Option<u32>>>,
    /// Of a directory: counts changes of its entries.
    version: AtomicU64,
    listing: Mutex<Option<(u64, Arc<Vec<Entry>>)>>,
    myself: std::sync::Weak<Node>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let upper = self.real.get_mut().upper.take();
        self.fs
            .forget(upper.map(|u| Key::Upper(u.id().ino)), &self.key);
        // Parents one by one instead of recursively: a path may be long.
        let mut next = self.place.get_mut().take();
        while let Some((parent, _)) = next {
            next = Arc::into_inner(parent).and_then(|mut last| last.place.get_mut().take());
        }
    }
}

impl Node {
    pub(crate) fn new(
        fs: Arc<OverlayFs>,
        ino: u64,
        key: Key,
        real: Real,
        place: Option<(Arc<Node>, Vec<u8>)>,
    ) -> Result<Arc<Self>> {
        let kind = real.top()?.kind();
        Ok(Arc::new_cyclic(|myself| Self {
            fs,
            ino,
            key,
            kind,
            real: RwLock::new(real),
            place: Mutex::new(place),
            anchor: Anchor::default(),
            names: Mutex::default(),
            version: AtomicU64::new(0),
            listing: Mutex::default(),
            myself: std::sync::Weak::clone(myself),
        }))
    }

    pub(crate) fn me(&self) -> Result<Arc<Self>> {
        self.myself.upgrade().ok_or(Errno::ESTALE)
    }

    pub(crate) fn real(&self) -> Real {
        self.real.read().clone()
    }

    /// The inode that shows, and whether it is in the upper layer.
    pub(crate) fn real_inode(&self) -> Result<(InodeRef, bool)> {
        let real = self.real.read();
        Ok((Arc::clone(real.top()?), real.upper.is_some()))
    }

    pub(crate) fn upper(&self) -> Option<InodeRef> {
        self.real.read().upper.clone()
    }

    /// The upper inode, which the caller has made sure of.
    pub(crate) fn expect_upper(&self) -> Result<InodeRef> {
        self.upper().ok_or(Errno::EROFS)
    }

    pub(crate) fn set_upper(&self, upper: InodeRef) {
        self.real.write().upper = Some(upper);
    }

    /// The directory has nothing of the lower layers any more.
    pub(crate) fn set_opaque(&self) {
        let old = std::mem::take(&mut self.real.write().lowers);
        drop(old);
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }

    pub(crate) fn place(&self) -> Option<(Arc<Node>, Vec<u8>)> {
        self.place.lock().clone()
    }

    pub(crate) fn set_place(&self, place: Option<(Arc<Node>, Vec<u8>)>) {
        let old = std::mem::replace(&mut *self.place.lock(), place);
        drop(old);
    }

    /// The name `name` in `dir` is gone.
    pub(crate) fn lost_place(&self, dir: &Node, name: &[u8]) {
        let mut place = self.place.lock();
        let old = match &*place {
            Some((d, n)) if std::ptr::eq(&**d, dir) && n == name => place.take(),
            _ => None,
        };
        drop(place);
        drop(old);
    }

    /// The object has been found again, perhaps under another name.
    pub(crate) fn found(&self, real: Real, place: Option<(Arc<Node>, Vec<u8>)>) {
        let learn = self.real.read().upper.is_none() && real.upper.is_some();
        if learn && let Some(upper) = real.upper {
            self.set_upper(upper);
        }
        let mut known = self.place.lock();
        if known.is_none() {
            *known = place;
        }
    }

    pub(crate) fn parent_ino(&self) -> u64 {
        self.place
            .lock()
            .as_ref()
            .map_or(self.ino, |(parent, _)| parent.ino)
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The entries of this directory have changed.
    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        *self.listing.lock() = None;
    }

    pub(crate) fn cached_listing(&self, version: u64) -> Option<Arc<Vec<Entry>>> {
        let listing = self.listing.lock();
        listing
            .as_ref()
            .filter(|(v, _)| *v == version)
            .map(|(_, e)| Arc::clone(e))
    }

    pub(crate) fn cache_listing(&self, version: u64, entries: &Arc<Vec<Entry>>) {
        *self.listing.lock() = Some((version, Arc::clone(entries)));
    }

    pub(crate) fn attributes(&self, cx: &Cx) -> Result<Attr> {
        let real = self.real.read();
        let mut attr = real.top()?.attr(cx)?;
        attr.dev = self.fs.dev;
        attr.ino = self.ino;
        if self.is_dir() {
            // As in Linux: the count of a merged directory would need all layers, and 1 means "unknown".
            if !real.lowers.is_empty() {
                attr.nlink = 1;
            }
        } else {
            drop(real);
            if let Some(names) = self.names(cx)? {
                attr.nlink = names;
            }
        }
        Ok(attr)
    }

    /// The number of names of a file that has some in lower layers; `None` if its upper inode counts them all.
    pub(crate) fn names(&self, cx: &Cx) -> Result<Option<u32>> {
        if self.is_dir() {
            return Ok(None);
        }
        let mut known = self.names.lock();
        if let Some(known) = *known {
            return Ok(known);
        }
        let real = self.real();
        match (&real.upper, real.lowers.first()) {
            (Some(upper), _) => {
                let names = self.fs.options.attributes.names(cx, upper)?;
                *known = Some(names);
                Ok(names)
            }
            (None, Some(lower)) => Ok(Some(lower.inode.attr(cx)?.nlink).filter(|&n| n > 1)),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn set_names(&self, names: u32) {
        *self.names.lock() = Some(Some(names));
    }

    /// A node of this overlay among arguments.
    pub(crate) fn of(fs: &OverlayFs, inode: &InodeRef) -> Result<Arc<Self>> {
        let node = inode.as_any().downcast_ref::<Self>().ok_or(Errno::EXDEV)?;
        if !std::ptr::eq(&*node.fs, fs) {
            return Err(Errno::EXDEV);
        }
        node.me()
    }
}

impl Inode for Node {
    fn fs(&self) -> Arc<dyn FileSystem> {
        Arc::<OverlayFs>::clone(&self.fs)
    }
    fn id(&self) -> InodeId {
        InodeId {
            dev: self.fs.dev,
            ino: self.ino,
        }
    }
    fn kind(&self) -> FileType {
        self.kind
    }
    fn attr(&self, cx: &Cx) -> Result<Attr> {
        self.attributes(cx)
    }
    fn anchor(&self) -> &Anchor {
        &self.anchor
    }
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lookup(&self, cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        if !self.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.fs.lookup(cx, &self.me()?, name)?)
    }
    fn create(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
        Ok(self.fs.create(cx, &self.me()?, name, new)?)
    }
    fn tmpfile(&self, cx: &Cx, new: &NewInode<'_>) -> Result<InodeRef> {
        let _tree = self.fs.tree.lock();
        let upper = self.fs.work(cx)?.tmp.tmpfile(cx, new)?;
        let real = Real {
            upper: Some(upper),
            lowers: Vec::new(),
        };
        Ok(self.fs.node(cx, real, None, None)?)
    }
    fn link(&self, cx: &Cx, name: &[u8], target: &InodeRef) -> Result<()> {
        let target = Self::of(&self.fs, target)?;
        self.fs.link(cx, &self.me()?, name, &target)
    }
    fn unlink(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        self.fs.unlink(cx, &self.me()?, name)
    }
    fn rmdir(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        self.fs.rmdir(cx, &self.me()?, name)
    }
    fn rename(
        &self,
        cx: &Cx,
        name: &[u8],
        new_dir: &InodeRef,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let new_dir = Self::of(&self.fs, new_dir)?;
        self.fs
            .rename(cx, &self.me()?, name, &new_dir, new_name, flags)
    }
    fn readlink(&self, cx: &Cx) -> Result<Link> {
        self.real_inode()?.0.readlink(cx)
    }
    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        let mut set = *set;
        if let Some(size) = set.size
            && self.upper().is_none()
            && self.attributes(cx)?.size != size
        {
            // The copy will have the new size from the start: the upper layer sees no change to date.
            set.mtime.get_or_insert(SetTime::Now);
        }
        let upper = self.fs.copy_up_for_change(cx, &self.me()?, set.size)?;
        upper.set_attr(cx, &set)
    }
    fn accessed(&self, cx: &Cx, always: bool) {
        if let Some(upper) = self.upper() {
            upper.accessed(cx, always);
        }
    }
    fn open(&self, cx: &Cx, flags: u32) -> Result<Arc<dyn FileOps>> {
        let me = self.me()?;
        match self.kind {
            FileType::Directory => Ok(Arc::new(OpenDir::new(me))),
            FileType::Regular => {
                if OpenFlags::from_bits_retain(flags).access_mode() != 0 {
                    self.fs.copy_up(cx, &me)?;
                }
                Ok(Arc::new(OpenFile::new(cx, me, flags)?))
            }
            FileType::Symlink => Err(Errno::ELOOP),
            _ => Err(Errno::ENXIO),
        }
    }

    fn get_xattr(&self, cx: &Cx, name: &[u8]) -> Result<Vec<u8>> {
        self.real_inode()?
            .0
            .get_xattr(cx, &self.fs.options.attributes.escape(name))
    }
    fn set_xattr(&self, cx: &Cx, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        let upper = self.fs.copy_up(cx, &self.me()?)?;
        upper.set_xattr(cx, &self.fs.options.attributes.escape(name), value, flags)
    }
    fn list_xattr(&self, cx: &Cx) -> Result<Vec<Vec<u8>>> {
        let own = self.fs.options.attributes;
        let names = self.real_inode()?.0.list_xattr(cx)?;
        Ok(names
            .into_iter()
            .filter_map(|name| own.unescape(name))
            .collect())
    }
    fn remove_xattr(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        // A missing one must not cost a copy.
        self.get_xattr(cx, name)?;
        let upper = self.fs.copy_up(cx, &self.me()?)?;
        upper.remove_xattr(cx, &self.fs.options.attributes.escape(name))
    }
}
