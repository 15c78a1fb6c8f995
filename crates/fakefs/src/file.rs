//! Open regular files, and their page cache.

use crate::{Durability, node::Node};
use parking_lot::Mutex;
use std::{
    any::Any,
    sync::{Arc, Weak, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};
use tuxlet_host::fs::SpaceMode;
use tuxlet_mem::{Backing, FilePages, IoRead, IoWrite, MemoryObject};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Attr, Cx, FileOps, Time, bulk};

/// `SEEK_DATA` of lseek(2).
const SEEK_DATA: u32 = 3;
/// Every page of a file.
const ALL: std::ops::Range<u64> = 0..u64::MAX;

/// The file behind a page cache. It keeps the inode in memory, so that the cache stays the only one.
#[derive(Debug)]
struct Mapped(Arc<Node>);

impl Backing for Mapped {
    fn size(&self) -> u64 {
        self.0.meta.lock().size
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.0.read_data(offset, buf)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let node = &self.0;
        let body = node.body()?;
        if body.growing.load(Ordering::Acquire) {
            let n = node.write_data(offset, data)?;
            // At once: the cache clears what lies between the size and the next piece.
            let mut meta = node.meta.lock();
            meta.size = meta.size.max(offset + n as u64);
            return Ok(n);
        }
        // Pages written back after a truncation must not bring the rest of the file back.
        let _resize = body.resize.lock();
        let room = self.size().saturating_sub(offset);
        let len = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if len > 0 && node.write_data(offset, &data[..len])? < len {
            return Err(Errno::ENOSPC);
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = Time {
            sec: since.as_secs() as i64,
            nsec: since.subsec_nanos(),
        };
        let mut meta = node.meta.lock();
        node.touch(&mut meta, now);
        Ok(data.len())
    }
    fn sync(&self) -> Result<()> {
        self.0.sync_all(true)
    }
    fn dirtied(&self) {
        let store = &self.0.store;
        store.flusher.pages_dirtied(&store.this, store.write_back);
    }
    fn path(&self) -> Vec<u8> {
        format!("fakefs:[{}]", self.0.ino).into_bytes()
    }
}

impl Node {
    /// The page cache, if the file is or was mapped.
    pub(crate) fn pages(&self) -> Option<Arc<FilePages>> {
        self.body().ok()?.pages.get()?.lock().upgrade()
    }

    fn pages_made(&self) -> Result<Arc<FilePages>> {
        let body = self.body()?;
        // A write that has not seen the cache must be over before there is one.
        let _change = body.change.lock();
        let mut weak = body.pages.get_or_init(|| Mutex::new(Weak::new())).lock();
        if let Some(pages) = weak.upgrade() {
            return Ok(pages);
        }
        let backing = Arc::new(Mapped(self.strong()));
        let id = (self.store.dev.encode(), self.ino);
        let pages = FilePages::new(&self.store.budget, backing, id);
        *weak = Arc::downgrade(&pages);
        drop(weak);
        self.store.keep_pages(&pages);
        Ok(pages)
    }

    /// Lets go of the cache of a file that has lost its last name.
    pub(crate) fn release_pages(&self) {
        if let Some(pages) = self.pages() {
            self.store.release_pages(&pages);
        }
    }

    fn read(&self, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        match self.pages() {
            Some(pages) => pages.read_at(offset, to),
            None => bulk::read(to, |done, buf| self.read_data(offset + done as u64, buf)),
        }
    }

    /// Writes at an offset, or (`None`) at the end; returns where and how much.
    fn write(&self, cx: &Cx, at: Option<u64>, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        if from.remaining() == 0 {
            return Ok((at.unwrap_or_else(|| self.meta.lock().size), 0));
        }
        self.store.will_change()?;
        let body = self.body()?;
        let _change = body.change.lock();
        let before = self.meta.lock().size;
        let start = at.unwrap_or(before);
        let written = match self.pages() {
            Some(pages) => {
                body.growing.store(true, Ordering::Release);
                let result = pages.write_at(start, from);
                body.growing.store(false, Ordering::Release);
                result
            }
            None => bulk::write(from, |done, data| {
                self.write_data(start + done as u64, data)
            }),
        }?;
        if written > 0 {
            let end = start + written as u64;
            let mut meta = self.meta.lock();
            meta.sparse |= start > before;
            meta.size = meta.size.max(end);
            self.touch(&mut meta, cx.now);
        }
        Ok((start, written))
    }

    pub(crate) fn truncate(&self, cx: &Cx, size: u64) -> Result<()> {
        self.store.will_change()?;
        if i64::try_from(size).is_err() {
            return Err(Errno::EFBIG);
        }
        let body = self.body()?;
        let _change = body.change.lock();
        let old = {
            let _resize = body.resize.lock();
            self.resize_data(size)?;
            let mut meta = self.meta.lock();
            meta.sparse = size > 0 && (meta.sparse || size > meta.size);
            self.touch(&mut meta, cx.now);
            std::mem::replace(&mut meta.size, size)
        };
        if let Some(pages) = self.pages() {
            pages.truncated(old);
        }
        Ok(())
    }

    fn allocate(&self, cx: &Cx, mode: u32, offset: u64, len: u64) -> Result<()> {
        let how = SpaceMode::from_fallocate(mode).ok_or(Errno::EOPNOTSUPP)?;
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        self.store.will_change()?;
        let body = self.body()?;
        let _change = body.change.lock();
        let pages = self.pages();
        if let Some(pages) = &pages {
            pages.write_back(ALL)?;
        }
        {
            let _resize = body.resize.lock();
            let file = self.require_file()?;
            file.space(how, offset, len)?;
            let size = file.stat()?.size;
            let mut meta = self.meta.lock();
            (meta.sparse, meta.size) = (true, size);
            self.touch(&mut meta, cx.now);
        }
        if let (Some(pages), Some(range)) = (pages, how.changes(offset, end)) {
            pages.invalidate(range);
        }
        Ok(())
    }

    /// fsync(2), fdatasync(2): data first, then the metadata that makes them reachable.
    fn sync_all(&self, data_only: bool) -> Result<()> {
        if self.store.read_only || self.store.durability == Durability::Nothing {
            return Ok(());
        }
        let durable = self.store.durable();
        self.sync_data(durable)?;
        if data_only && self.store.is_committed(self.born(), durable) {
            // The inode is there; data and size are in the host file.
            return Ok(());
        }
        self.store.commit(durable)
    }
}

/// An open regular file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) node: Arc<Node>,
}

impl FileOps for OpenFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read_at(&self, _: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        self.node.read(offset, to)
    }
    fn write_at(&self, cx: &Cx, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        self.node.write(cx, Some(offset), from).map(|(_, n)| n)
    }
    fn append(&self, cx: &Cx, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        self.node
            .write(cx, None, from)
            .map(|(start, n)| (start + n as u64, n))
    }
    fn seek_extent(&self, _: &Cx, offset: u64, whence: u32) -> Result<u64> {
        let (size, sparse) = {
            let meta = self.node.meta.lock();
            (meta.size, meta.sparse)
        };
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        if !sparse || self.node.store.read_only {
            return Ok(if whence == SEEK_DATA { offset } else { size });
        }
        if let Some(pages) = self.node.pages() {
            pages.write_back(ALL)?;
        }
        self.node
            .require_file()?
            .seek_extent(offset, whence == SEEK_DATA)
    }
    fn attr(&self, _: &Cx) -> Result<Attr> {
        self.node.stat()
    }
    fn truncate(&self, cx: &Cx, size: u64) -> Result<()> {
        self.node.truncate(cx, size)
    }
    fn fallocate(&self, cx: &Cx, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.node.allocate(cx, mode, offset, len)
    }
    fn fsync(&self, _: &Cx, data_only: bool) -> Result<()> {
        if let Some(pages) = self.node.pages() {
            pages.write_back(ALL)?;
        }
        self.node.sync_all(data_only)
    }
    fn mmap_object(&self, _: &Cx) -> Result<Arc<dyn MemoryObject>> {
        Ok(self.node.pages_made()?)
    }
}
