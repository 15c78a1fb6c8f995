//! Open files and directories.

use crate::{listing::Entry, node::Node};
use parking_lot::Mutex;
use std::{any::Any, sync::Arc};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite, MemoryObject};
use tuxlet_uapi::errno::Result;
use tuxlet_vfs::{Attr, Cx, DirEntry, DirSink, Events, FileOps, FileType, PollTable};

/// An open regular file. Opened for reading in a lower layer it moves to the copy when there is one, so that it
/// sees what others write.
#[derive(Debug)]
pub(crate) struct OpenFile {
    node: Arc<Node>,
    flags: u32,
    /// The real file, and whether it is that of the upper layer.
    real: Mutex<(Arc<dyn FileOps>, bool)>,
}

impl OpenFile {
    pub(crate) fn new(cx: &Cx, node: Arc<Node>, flags: u32) -> Result<Self> {
        let (inode, upper) = node.real_inode()?;
        let real = inode.open(cx, flags)?;
        Ok(Self {
            node,
            flags,
            real: Mutex::new((real, upper)),
        })
    }

    fn real(&self, cx: &Cx) -> Result<Arc<dyn FileOps>> {
        let mut real = self.real.lock();
        if !real.1 {
            let (inode, upper) = self.node.real_inode()?;
            if upper {
                *real = (inode.open(cx, self.flags)?, true);
            }
        }
        Ok(Arc::clone(&real.0))
    }

    fn current(&self) -> Arc<dyn FileOps> {
        Arc::clone(&self.real.lock().0)
    }
}

impl FileOps for OpenFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn attr(&self, cx: &Cx) -> Result<Attr> {
        self.node.attributes(cx)
    }
    fn read_at(&self, cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        self.real(cx)?.read_at(cx, offset, to)
    }
    fn write_at(&self, cx: &Cx, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        self.real(cx)?.write_at(cx, offset, from)
    }
    fn append(&self, cx: &Cx, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        self.real(cx)?.append(cx, from)
    }
    fn seek_extent(&self, cx: &Cx, offset: u64, whence: u32) -> Result<u64> {
        self.real(cx)?.seek_extent(cx, offset, whence)
    }
    fn truncate(&self, cx: &Cx, size: u64) -> Result<()> {
        self.real(cx)?.truncate(cx, size)
    }
    fn fallocate(&self, cx: &Cx, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.real(cx)?.fallocate(cx, mode, offset, len)
    }
    fn fsync(&self, cx: &Cx, data_only: bool) -> Result<()> {
        if self.node.fs.options.volatile {
            return Ok(());
        }
        self.real(cx)?.fsync(cx, data_only)
    }
    fn poll(&self, cx: &Cx, table: Option<&mut PollTable>) -> Events {
        self.current().poll(cx, table)
    }
    fn mmap_object(&self, cx: &Cx) -> Result<Arc<dyn MemoryObject>> {
        self.real(cx)?.mmap_object(cx)
    }
    fn ioctl(&self, cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        self.real(cx)?.ioctl(cx, request, arg, mm)
    }
    fn flush(&self, cx: &Cx) -> Result<()> {
        self.current().flush(cx)
    }
    fn set_flags(&self, flags: u32) -> Result<()> {
        self.current().set_flags(flags)
    }
}

/// An open directory: the merged entries of the moment when a reading began.
#[derive(Debug)]
pub(crate) struct OpenDir {
    node: Arc<Node>,
    entries: Mutex<Option<Arc<Vec<Entry>>>>,
}

impl OpenDir {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            entries: Mutex::default(),
        }
    }

    fn entries(&self, cx: &Cx, pos: u64) -> Result<Arc<Vec<Entry>>> {
        let mut entries = self.entries.lock();
        match &*entries {
            Some(known) if pos != 0 => Ok(Arc::clone(known)),
            _ => {
                let fresh = self.node.fs.listing(cx, &self.node)?;
                *entries = Some(Arc::clone(&fresh));
                Ok(fresh)
            }
        }
    }
}

impl FileOps for OpenDir {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn attr(&self, cx: &Cx) -> Result<Attr> {
        self.node.attributes(cx)
    }
    fn read_dir(&self, cx: &Cx, pos: u64, sink: &mut dyn DirSink) -> Result<u64> {
        let entries = self.entries(cx, pos)?;
        let dots = [
            (b".".as_slice(), self.node.ino),
            (b"..", self.node.parent_ino()),
        ]
        .map(|(name, ino)| (name, ino, FileType::Directory));
        let rest = entries.iter().map(|e| (&*e.name, e.ino, e.kind));
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
    fn fsync(&self, cx: &Cx, data_only: bool) -> Result<()> {
        match self.node.real().upper {
            Some(upper) => upper
                .open(cx, tuxlet_uapi::fcntl::O_DIRECTORY)?
                .fsync(cx, data_only),
            None => Ok(()),
        }
    }
}
