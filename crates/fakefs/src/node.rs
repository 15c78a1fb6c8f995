//! An inode in memory.

use crate::{
    batch::{InodeChange, NameChange},
    body::Body,
    names::Names,
    schema::{InodeRow, ROOT, Xattrs, from_ns, to_ns},
    store::Store,
};
use parking_lot::Mutex;
use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Anchor, Attr, Cx, DeviceId, FileType, NewInode, NewKind, attr::Time};

/// An inode in memory; one per number.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) ino: u64,
    pub(crate) kind: FileType,
    rdev: DeviceId,
    btime: i64,
    pub(crate) store: Arc<Store>,
    this: Weak<Self>,
    pub(crate) meta: Mutex<Meta>,
    pub(crate) content: Content,
    pub(crate) anchor: Anchor,
}

/// What belongs to the type.
#[derive(Debug)]
pub(crate) enum Content {
    Regular(Body),
    Directory(Directory),
    Symlink(Box<[u8]>),
    Special,
}

#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) names: Mutex<Names>,
    /// Inode number of `..`.
    pub(crate) parent: AtomicU64,
}

/// What changes about an inode.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    pub(crate) size: u64,
    /// The data may occupy another amount than the size suggests.
    pub(crate) sparse: bool,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
    /// `None`: not loaded yet.
    pub(crate) xattrs: Option<Xattrs>,
    pub(crate) xattrs_changed: bool,
    /// Made without a name (`O_TMPFILE`), so link(2) may give it one.
    pub(crate) unnamed: bool,
    /// Whether it waits for the next batch.
    queued: Queued,
    /// Whether the database has it (or a batch on its way brings it).
    in_db: bool,
    /// The count ([`Store::pending_seq`]) at which it was first queued.
    born: u64,
}

/// How an inode waits for the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queued {
    No,
    /// Only its access time changed: the next batch that somebody needs takes it along, as lazytime does.
    Lazily,
    Yes,
}

/// Linux' relatime: the access time is kept at least this fresh.
const ATIME_AGE: i64 = 24 * 60 * 60;

impl Node {
    fn build(store: &Arc<Store>, row: InodeRow, parent: u64, new: bool) -> Result<Arc<Self>> {
        let kind = FileType::from_mode(row.mode).ok_or_else(|| {
            tracing::error!(ino = row.ino, mode = row.mode, "an inode without a type");
            Errno::EIO
        })?;
        Ok(Arc::new_cyclic(|this| Self {
            ino: row.ino,
            kind,
            rdev: DeviceId::decode(row.rdev),
            btime: row.btime,
            store: Arc::clone(store),
            this: this.clone(),
            content: match kind {
                FileType::Regular => Content::Regular(Body::new(new)),
                FileType::Directory => Content::Directory(Directory {
                    names: Mutex::new(if new {
                        Names::empty()
                    } else {
                        Names::unloaded()
                    }),
                    parent: AtomicU64::new(parent),
                }),
                FileType::Symlink => Content::Symlink(row.target.unwrap_or_default()),
                _ => Content::Special,
            },
            meta: Mutex::new(Meta {
                mode: row.mode & 0o7777,
                uid: row.uid,
                gid: row.gid,
                nlink: row.nlink,
                size: row.size,
                sparse: row.sparse,
                atime: from_ns(row.atime),
                mtime: from_ns(row.mtime),
                ctime: from_ns(row.ctime),
                xattrs: new.then(Vec::new),
                xattrs_changed: false,
                unnamed: false,
                queued: Queued::No,
                in_db: !new,
                born: 0,
            }),
            anchor: Anchor::default(),
        }))
    }

    /// An inode that the database has.
    pub(crate) fn load(store: &Arc<Store>, row: InodeRow, parent: u64) -> Result<Arc<Self>> {
        Self::build(store, row, parent, false)
    }

    /// A new inode without names yet.
    pub(crate) fn create(
        store: &Arc<Store>,
        cx: &Cx,
        parent: u64,
        new: &NewInode<'_>,
    ) -> Result<Arc<Self>> {
        let (kind, rdev, target) = match new.kind {
            NewKind::Regular => (FileType::Regular, DeviceId::default(), None),
            NewKind::Directory => (FileType::Directory, DeviceId::default(), None),
            NewKind::Symlink(target) => (FileType::Symlink, DeviceId::default(), Some(target)),
            NewKind::Fifo => (FileType::Fifo, DeviceId::default(), None),
            NewKind::Socket => (FileType::Socket, DeviceId::default(), None),
            NewKind::CharDevice(dev) => (FileType::CharDevice, dev, None),
            NewKind::BlockDevice(dev) => (FileType::BlockDevice, dev, None),
        };
        let now = to_ns(cx.now);
        let row = InodeRow {
            ino: store.new_ino(),
            mode: kind.mode_bits() | (new.mode & 0o7777),
            uid: new.uid,
            gid: new.gid,
            nlink: 0,
            rdev: rdev.encode(),
            size: target.map_or(0, |t| t.len() as u64),
            sparse: false,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            target: target.map(Into::into),
        };
        let node = Self::build(store, row, parent, true)?;
        store.enter(&node);
        Ok(node)
    }

    /// The root of a new store, which gets it when it is made.
    pub(crate) fn new_root(store: &Arc<Store>, row: InodeRow) -> Result<Arc<Self>> {
        let node = Self::build(store, row, ROOT, true)?;
        node.meta.lock().in_db = true;
        Ok(node)
    }

    /// A root for a store whose own cannot be read any more.
    pub(crate) fn unreadable_root(store: &Arc<Store>) -> Arc<Self> {
        let row = InodeRow {
            ino: ROOT,
            mode: 0o040_000,
            ..InodeRow::default()
        };
        match Self::build(store, row, ROOT, true) {
            Ok(node) => node,
            Err(_) => unreachable!("the mode has a type"),
        }
    }

    pub(crate) fn strong(&self) -> Arc<Self> {
        // A node is only ever reached through an Arc, and not from its own end.
        self.this
            .upgrade()
            .unwrap_or_else(|| unreachable!("used while it ends"))
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    pub(crate) fn directory(&self) -> Result<&Directory> {
        match &self.content {
            Content::Directory(d) => Ok(d),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Must follow every change of `meta`, while it is still locked.
    pub(crate) fn changed(&self, meta: &mut Meta) {
        let seq = match meta.queued {
            Queued::Yes => return,
            // What has no name and never had one does not reach the database.
            Queued::No if meta.nlink == 0 && !meta.in_db => return,
            Queued::No => self.store.enqueue_inode(self.strong(), true),
            Queued::Lazily => self.store.hasten_inode(),
        };
        meta.queued = Queued::Yes;
        if !meta.in_db && meta.born == 0 {
            meta.born = seq;
        }
    }

    /// The count that must be durable before data written to the file is of use after a crash.
    pub(crate) fn born(&self) -> u64 {
        self.meta.lock().born
    }

    /// Whether no name is left.
    pub(crate) fn is_unlinked(&self) -> bool {
        self.meta.lock().nlink == 0
    }

    /// Notes a change of the directory's entries at `now`.
    pub(crate) fn touch(&self, meta: &mut Meta, now: Time) {
        (meta.mtime, meta.ctime) = (now, now);
        self.changed(meta);
    }

    /// Notes an access; unless `always` as relatime does: only if the noted one is older than the last change, or a
    /// day.
    pub(crate) fn note_access(&self, now: Time, always: bool) {
        if self.store.read_only {
            return;
        }
        let mut meta = self.meta.lock();
        let stale = always
            || meta.atime <= meta.mtime
            || meta.atime <= meta.ctime
            || now.sec.saturating_sub(meta.atime.sec) >= ATIME_AGE;
        if !stale || meta.atime == now {
            return;
        }
        meta.atime = now;
        if meta.queued == Queued::No && meta.in_db {
            meta.queued = Queued::Lazily;
            self.store.enqueue_inode(self.strong(), false);
        }
    }

    pub(crate) fn stat(&self) -> Result<Attr> {
        let (mut attr, sparse) = {
            let m = self.meta.lock();
            let size = match self.kind {
                FileType::Directory => 4096,
                _ => m.size,
            };
            let attr = Attr {
                dev: self.store.dev,
                ino: self.ino,
                kind: self.kind,
                mode: m.mode,
                nlink: m.nlink,
                uid: m.uid,
                gid: m.gid,
                rdev: self.rdev,
                size,
                blksize: 4096,
                blocks: match self.kind {
                    FileType::Regular | FileType::Directory => size.div_ceil(4096) * 8,
                    _ => 0,
                },
                atime: m.atime,
                mtime: m.mtime,
                ctime: m.ctime,
                btime: Some(from_ns(self.btime)),
            };
            (attr, m.sparse)
        };
        if sparse {
            attr.blocks = self.store.files.data_blocks(self.ino)?;
        }
        Ok(attr)
    }

    /// Takes the present state for a batch.
    pub(crate) fn take_change(self: Arc<Self>) -> InodeChange {
        let mut m = self.meta.lock();
        m.queued = Queued::No;
        let named = m.nlink > 0;
        let was_in_db = std::mem::replace(&mut m.in_db, named);
        let row = m.in_db.then(|| InodeRow {
            ino: self.ino,
            mode: self.kind.mode_bits() | m.mode,
            uid: m.uid,
            gid: m.gid,
            nlink: m.nlink,
            rdev: self.rdev.encode(),
            size: m.size,
            sparse: m.sparse,
            atime: to_ns(m.atime),
            mtime: to_ns(m.mtime),
            ctime: to_ns(m.ctime),
            btime: self.btime,
            target: match &self.content {
                Content::Symlink(target) => Some(target.clone()),
                _ => None,
            },
        });
        let xattrs = (std::mem::take(&mut m.xattrs_changed) && row.is_some())
            .then(|| m.xattrs.clone().unwrap_or_default());
        drop(m);
        InodeChange {
            node: self,
            row,
            xattrs,
            was_in_db,
        }
    }

    /// Undoes [`Node::take_change`] after a failed commit.
    pub(crate) fn put_back_change(change: InodeChange) {
        let mut m = change.node.meta.lock();
        m.in_db = change.was_in_db;
        m.xattrs_changed |= change.xattrs.is_some();
        change.node.changed(&mut m);
    }

    pub(crate) fn take_name_changes(&self) -> Vec<NameChange> {
        match &self.content {
            Content::Directory(d) => d.names.lock().take_changes(),
            _ => Vec::new(),
        }
    }

    /// Undoes [`Node::take_name_changes`] after a failed commit.
    pub(crate) fn put_back_name_changes(&self, changes: Vec<NameChange>) {
        if let Content::Directory(d) = &self.content
            && d.names.lock().put_back_changes(changes)
        {
            self.store.enqueue_dir(self.strong());
        }
    }

    pub(crate) fn set_parent(&self, parent: u64) {
        if let Content::Directory(d) = &self.content {
            d.parent.store(parent, Ordering::Relaxed);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.store.forget(self);
        if !self.release_data()
            || self.meta.get_mut().nlink > 0
            || self.store.is_shut()
            || self.store.is_suspended()
        {
            return;
        }
        self.store.written.lock().remove(&self.ino);
        self.store.flusher.remove_data(&self.store.this, self.ino);
    }
}
