//! Open regular files, and their page cache.

use crate::node::Node;
use parking_lot::Mutex;
use std::{
    any::Any,
    sync::{Arc, atomic::Ordering},
};
use tuxlet_host::fs::{File, SpaceMode, Stat};
use tuxlet_mem::{Backing, FilePages, IoRead, IoWrite, MemoryObject};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Attr, Cx, FileOps, bulk};

/// `SEEK_DATA` of lseek(2).
const SEEK_DATA: u32 = 3;
/// Every page of a file.
const ALL: std::ops::Range<u64> = 0..u64::MAX;

/// The file behind a page cache.
#[derive(Debug)]
pub(crate) struct Backed {
    /// Keeps the inode in memory, so that the cache stays the only one.
    node: Arc<Node>,
    file: Mutex<BackedFile>,
}

#[derive(Debug)]
struct BackedFile {
    file: Arc<File>,
    write: bool,
    /// State of the file after our last change of it, to notice changes by others.
    stamp: Option<Stamp>,
}

/// Changes when the data change: size, and times of the last data and status change.
type Stamp = (u64, (i64, u32), (i64, u32));

fn stamp(s: &Stat) -> Stamp {
    (s.size, s.mtime, s.ctime)
}

impl Backed {
    fn file(&self) -> Arc<File> {
        Arc::clone(&self.file.lock().file)
    }

    /// After a change of ours.
    fn restamp(&self) {
        let mut f = self.file.lock();
        f.stamp = f.file.stat().ok().map(|s| stamp(&s));
    }

    /// Drops what is cached if others have changed the file.
    fn refresh(&self, pages: &FilePages) -> Result<()> {
        let changed = {
            let mut f = self.file.lock();
            let now = Some(stamp(&f.file.stat()?));
            std::mem::replace(&mut f.stamp, now) != now
        };
        if changed && !pages.is_empty() && !pages.is_dirty() {
            pages.invalidate(0..u64::MAX);
        }
        Ok(())
    }
}

impl Backing for Backed {
    fn size(&self) -> u64 {
        self.file().stat().map_or(0, |s| s.size)
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.file().read_at(buf, offset)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let file = self.file();
        if self.node.growing.load(Ordering::Acquire) {
            return file.write_at(data, offset);
        }
        // Pages written back after a truncation must not bring the rest of the file back.
        let room = file.stat()?.size.saturating_sub(offset);
        let len = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if len > 0 && file.write_at(&data[..len], offset)? < len {
            return Err(Errno::ENOSPC);
        }
        self.restamp();
        Ok(data.len())
    }
    fn sync(&self) -> Result<()> {
        self.file().sync(true)
    }
    fn path(&self) -> Vec<u8> {
        format!("hostfs:[{}]", self.node.ino).into_bytes()
    }
}

impl Node {
    fn cached(&self) -> Option<(Arc<FilePages>, Arc<Backed>)> {
        let cache = self.cache.lock();
        let (pages, backed) = cache.as_ref()?;
        pages.upgrade().zip(backed.upgrade())
    }

    /// The page cache, if the file is or was mapped.
    pub(crate) fn pages(&self) -> Option<Arc<FilePages>> {
        self.cached().map(|(pages, _)| pages)
    }

    /// The page cache, made for an open file if there is none.
    fn pages_for(&self, open: &OpenFile) -> Result<Arc<FilePages>> {
        // A write that has not seen the cache must be over before there is one.
        let _change = self.change.lock();
        if let Some((pages, backed)) = self.cached() {
            {
                let mut f = backed.file.lock();
                if open.write && !f.write {
                    (f.file, f.write) = (Arc::clone(&open.file), true);
                }
            }
            backed.refresh(&pages)?;
            return Ok(pages);
        }
        let file = BackedFile {
            file: Arc::clone(&open.file),
            write: open.write,
            stamp: None,
        };
        let backed = Arc::new(Backed {
            node: self.strong(),
            file: Mutex::new(file),
        });
        backed.restamp();
        let id = (self.shared.options.dev.encode(), self.ino);
        let weak = Arc::downgrade(&backed);
        let pages = FilePages::new(&self.shared.options.budget, backed, id);
        *self.cache.lock() = Some((Arc::downgrade(&pages), weak));
        self.shared.keep_pages(&pages);
        Ok(pages)
    }

    pub(crate) fn truncate(&self, file: &File, size: u64) -> Result<()> {
        if i64::try_from(size).is_err() {
            return Err(Errno::EFBIG);
        }
        let _change = self.change.lock();
        match self.cached() {
            None => file.set_len(size)?,
            Some((pages, backed)) => {
                let old = file.stat()?.size;
                file.set_len(size)?;
                pages.truncated(old);
                backed.restamp();
            }
        }
        self.changed();
        Ok(())
    }
}

/// An open regular file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) node: Arc<Node>,
    pub(crate) file: Arc<File>,
    pub(crate) write: bool,
}

impl OpenFile {
    /// Writes at an offset, or (`None`) at the end; returns where and how much.
    fn write(&self, at: Option<u64>, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        let node = &self.node;
        let _change = node.change.lock();
        let start = match at {
            Some(at) => at,
            None => self.file.stat()?.size,
        };
        node.changed();
        let written = match node.cached() {
            None => bulk::write(from, |done, data| {
                self.file.write_at(data, start + done as u64)
            }),
            Some((pages, backed)) => {
                {
                    let mut f = backed.file.lock();
                    if !f.write {
                        (f.file, f.write) = (Arc::clone(&self.file), true);
                    }
                }
                backed.refresh(&pages)?;
                node.growing.store(true, Ordering::Release);
                let result = pages.write_at(start, from);
                node.growing.store(false, Ordering::Release);
                backed.restamp();
                result
            }
        }?;
        Ok((start, written))
    }
}

impl FileOps for OpenFile {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn read_at(&self, _: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        if let Some((pages, backed)) = self.node.cached()
            && !pages.is_empty()
        {
            backed.refresh(&pages)?;
            return pages.read_at(offset, to);
        }
        bulk::read(to, |done, buf| self.file.read_at(buf, offset + done as u64))
    }
    fn write_at(&self, _: &Cx, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        self.write(Some(offset), from).map(|(_, n)| n)
    }
    fn append(&self, _: &Cx, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        self.write(None, from)
            .map(|(start, n)| (start + n as u64, n))
    }
    fn seek_extent(&self, _: &Cx, offset: u64, whence: u32) -> Result<u64> {
        if let Some(pages) = self.node.pages() {
            pages.write_back(ALL)?;
        }
        self.file.seek_extent(offset, whence == SEEK_DATA)
    }
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.node.guest_attr(&self.file.stat()?))
    }
    fn truncate(&self, _: &Cx, size: u64) -> Result<()> {
        self.node.truncate(&self.file, size)
    }
    fn fallocate(&self, _: &Cx, mode: u32, offset: u64, len: u64) -> Result<()> {
        let how = SpaceMode::from_fallocate(mode).ok_or(Errno::EOPNOTSUPP)?;
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        let _change = self.node.change.lock();
        let cached = self.node.cached();
        if let Some((pages, _)) = &cached {
            pages.write_back(ALL)?;
        }
        self.file.space(how, offset, len)?;
        self.node.changed();
        if let Some((pages, backed)) = cached {
            if let Some(range) = how.changes(offset, end) {
                pages.invalidate(range);
            }
            backed.restamp();
        }
        Ok(())
    }
    fn fsync(&self, _: &Cx, data_only: bool) -> Result<()> {
        if let Some(pages) = self.node.pages() {
            pages.write_back(ALL)?;
        }
        self.file.sync(data_only)
    }
    fn mmap_object(&self, _: &Cx) -> Result<Arc<dyn MemoryObject>> {
        Ok(self.node.pages_for(self)?)
    }
}
