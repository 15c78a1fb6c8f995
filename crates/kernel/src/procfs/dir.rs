//! Directories that compute their entries.

use std::{any::Any, fmt::Debug, sync::Arc};
use tuxlet_sync::Mutex;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{
    Attr, Cx, DirSink, FileOps, FileType, Inode, InodeRef, node_inode,
    pseudo::{Node, SnapshotDir},
};

/// Names, inode numbers and types.
pub(crate) type Entries = Vec<(Vec<u8>, u64, FileType)>;

/// What a computed directory holds.
pub(crate) trait Listing: Send + Sync + Debug + 'static {
    /// One entry. `ENOENT`.
    fn lookup(&self, cx: &Cx, name: &[u8]) -> Result<InodeRef>;
    /// All entries.
    fn list(&self, cx: &Cx) -> Result<Entries>;
    /// Whether the caller may use the directory whatever its mode says.
    fn allows(&self, cx: &Cx) -> bool {
        let _ = cx;
        false
    }
}

/// A directory with computed entries.
#[derive(Debug)]
pub(crate) struct DynDir<L> {
    node: Node,
    listing: Arc<L>,
}

/// An open directory. Its entries are those at the time of the first read and of each one from the beginning: the
/// descriptor that reads `/proc/self/fd` is itself among them.
#[derive(Debug)]
struct OpenDir<L> {
    attr: Attr,
    listing: Arc<L>,
    now: Mutex<Option<SnapshotDir>>,
}

impl<L: Listing> FileOps for OpenDir<L> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn read_dir(&self, cx: &Cx, pos: u64, sink: &mut dyn DirSink) -> Result<u64> {
        let mut now = self.now.lock();
        let dir = match now.take().filter(|_| pos > 0) {
            Some(dir) => dir,
            None => SnapshotDir::new(self.attr, self.listing.list(cx)?),
        };
        now.insert(dir).read_dir(cx, pos, sink)
    }

    fn fsync(&self, _cx: &Cx, _data_only: bool) -> Result<()> {
        Ok(())
    }
}

impl<L: Listing> DynDir<L> {
    /// What computes the entries.
    pub(crate) fn listing(&self) -> &L {
        &self.listing
    }

    pub(crate) fn inode(node: Node, listing: L) -> InodeRef {
        Arc::new(Self {
            node,
            listing: Arc::new(listing),
        })
    }
}

impl<L: Listing> Inode for DynDir<L> {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.node.attr())
    }

    fn lookup(&self, cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        self.listing.lookup(cx, name)
    }

    fn permission(&self, cx: &Cx, mask: u32) -> Option<Result<()>> {
        const WRITE: u32 = 2;
        if mask & WRITE != 0 && !cx.cred.has_cap(tuxlet_vfs::cx::cap::DAC_OVERRIDE) {
            return Some(Err(Errno::EACCES));
        }
        self.listing.allows(cx).then_some(Ok(()))
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(OpenDir {
            attr: self.node.attr(),
            listing: Arc::clone(&self.listing),
            now: Mutex::new(None),
        }))
    }
}
