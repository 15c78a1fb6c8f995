//! Open directories.

use crate::node::{Key, Node};
use parking_lot::Mutex;
use std::{any::Any, sync::Arc};
use tuxlet_host::fs::Entry;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Attr, Cx, DirEntry, DirSink, FileOps, FileType};

/// An open directory. It is read as a whole at the start of a listing; later reads continue in that.
#[derive(Debug)]
pub(crate) struct OpenDir {
    node: Arc<Node>,
    listing: Mutex<Option<Arc<Vec<Entry>>>>,
}

impl OpenDir {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            listing: Mutex::new(None),
        }
    }

    fn listing(&self, again: bool) -> Result<Arc<Vec<Entry>>> {
        let mut listing = self.listing.lock();
        if let Some(known) = &*listing
            && !again
        {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(self.node.dir()?.entries()?);
        *listing = Some(Arc::clone(&read));
        Ok(read)
    }

    /// The type of an entry; hosts need not tell it in the listing.
    fn kind(&self, entry: &Entry) -> Result<FileType> {
        if let Some(kind) = FileType::from_mode(entry.type_bits) {
            return Ok(kind);
        }
        let stat = self.node.dir()?.stat(&entry.name)?;
        FileType::from_mode(stat.mode).ok_or(Errno::EIO)
    }
}

impl FileOps for OpenDir {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read_at(&self, _: &Cx, _: u64, _: &mut dyn tuxlet_mem::IoWrite) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn read_dir(&self, _: &Cx, pos: u64, sink: &mut dyn DirSink) -> Result<u64> {
        let listing = self.listing(pos == 0)?;
        let mut at = pos;
        let dots = [(&b"."[..], self.node.ino), (b"..", self.node.parent_ino())];
        for (i, (name, ino)) in dots.into_iter().enumerate().skip(at.min(2) as usize) {
            let next = i as u64 + 1;
            if !sink.entry(DirEntry {
                name,
                ino,
                kind: FileType::Directory,
                next,
            }) {
                return Ok(at);
            }
            at = next;
        }
        let start = usize::try_from(at - 2).unwrap_or(usize::MAX);
        for entry in listing.iter().skip(start) {
            // One that went meanwhile is passed over.
            if let Ok(kind) = self.kind(entry) {
                let ino = self.node.shared.guest_ino(Key {
                    dev: self.node.key.dev,
                    ino: entry.ino,
                });
                if !sink.entry(DirEntry {
                    name: &entry.name,
                    ino,
                    kind,
                    next: at + 1,
                }) {
                    return Ok(at);
                }
            }
            at += 1;
        }
        Ok(at)
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Ok(self.node.guest_attr(&self.node.stat_once(cx)?))
    }

    fn fsync(&self, _: &Cx, _: bool) -> Result<()> {
        self.node.dir()?.sync()
    }
}
