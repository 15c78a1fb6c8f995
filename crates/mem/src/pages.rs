//! The page cache of a regular file.
//!
//! A file's pages are cached once they are mapped; mappings use the cached frames. read(2) and write(2) go
//! through [`FilePages::read_at`] and [`FilePages::write_at`], which keep both views equal: a write goes to the
//! backing and into a cached page, a read prefers the cached page (which may be newer). Uncached pages are
//! read and written directly; the host has a cache of its own.
//!
//! Cached frames count against the budget. Those that are clean and not mapped are dropped when the budget
//! runs out; dirty ones are written by [`FilePages::write_back`], which the file system calls for fsync(2),
//! sync(2) and now and then.
//!
//! Locks: `fill` (one transfer between backing and cache at a time) before `state`. Neither is held while user
//! memory is touched or mappings are changed.

use crate::{
    Access, FaultKind, FrameKind, IoRead, IoWrite, Mappers, MemGroup, MemoryBudget, MemoryObject,
    PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, PageRef, Reclaim, group,
};
use std::{
    collections::BTreeMap,
    fmt::Debug,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};
use tuxlet_sync::Mutex;
use tuxlet_uapi::errno::{Errno, Result};

/// The stored bytes of a file. Implemented by the file system; called with `FilePages`' locks held, so it must
/// not call back into it, nor touch user memory.
pub trait Backing: Send + Sync + Debug {
    /// The file's size in bytes.
    fn size(&self) -> u64;
    /// Reads at a position; fewer bytes only at the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize>;
    /// Writes at a position, growing the file; fewer bytes only if the medium ends.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize>;
    /// Makes what was written durable.
    fn sync(&self) -> Result<()>;
    /// A cached page has become newer than the backing, which somebody should ask for some time. Called without locks
    /// of the cache.
    fn dirtied(&self) {}
    /// The name for `/proc/PID/maps` when the mapping has none.
    fn path(&self) -> Vec<u8>;
}

/// Pages read at once when one is missing.
const CLUSTER: u64 = 16;
/// The largest piece moved between user memory and the backing, in bytes.
const TRANSFER: usize = 64 << 10;

/// The cached pages of one file; one per inode, kept by the inode.
#[derive(Debug)]
pub struct FilePages {
    budget: Arc<MemoryBudget>,
    backing: Arc<dyn Backing>,
    id: (u64, u64),
    fill: Mutex<()>,
    state: Mutex<BTreeMap<u64, Page>>,
    /// Length of `state`, readable without the lock.
    cached: AtomicUsize,
    mappers: Mappers,
}

#[derive(Debug)]
struct Page {
    frame: PageRef,
    dirty: bool,
}

impl FilePages {
    /// An empty cache over `backing`; `id` is device and inode number.
    #[must_use]
    pub fn new(budget: &Arc<MemoryBudget>, backing: Arc<dyn Backing>, id: (u64, u64)) -> Arc<Self> {
        let pages = Arc::new(Self {
            budget: Arc::clone(budget),
            backing,
            id,
            fill: Mutex::default(),
            state: Mutex::default(),
            cached: AtomicUsize::new(0),
            mappers: Mappers::default(),
        });
        budget.add_reclaimer(Arc::downgrade(&pages) as Weak<dyn Reclaim>);
        pages
    }

    /// Whether no page is cached.
    pub fn is_empty(&self) -> bool {
        self.cached.load(Ordering::Acquire) == 0
    }

    /// Whether a cached page is newer than the backing.
    pub fn is_dirty(&self) -> bool {
        !self.is_empty() && self.state.lock().values().any(|p| p.dirty)
    }

    fn cached_frame(&self, index: u64) -> Option<PageRef> {
        if self.is_empty() {
            return None;
        }
        self.state.lock().get(&index).map(|p| p.frame.clone())
    }

    /// Reads from `offset` on; returns how much (0 at the end of the file).
    pub fn read_at(&self, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let mut done = 0;
        let mut buf = Vec::new();
        loop {
            let at = offset.saturating_add(done as u64);
            let left = self.backing.size().saturating_sub(at);
            let want = to
                .remaining()
                .min(usize::try_from(left).unwrap_or(usize::MAX))
                .min(TRANSFER);
            if want == 0 {
                return Ok(done);
            }
            buf.resize(want, 0);
            let n = match self.read_some(at, &mut buf) {
                Ok(0) => return Ok(done),
                Ok(n) => n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => return Ok(done),
            };
            match to.write_from(&buf[..n]) {
                Ok(stored) => {
                    done += stored;
                    if stored < n {
                        return Ok(done);
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => return Ok(done),
            }
        }
    }

    /// Reads from cached pages and, between them, from the backing.
    fn read_some(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if self.is_empty() {
            return self.backing.read_at(offset, buf);
        }
        // Against a write between the look at the cache and the read.
        let _fill = self.fill.lock();
        let n = self.backing.read_at(offset, buf)?;
        let state = self.state.lock();
        for (index, page) in state.range(offset >> PAGE_SHIFT..) {
            let start = (index << PAGE_SHIFT).max(offset);
            let end = ((index + 1) << PAGE_SHIFT).min(offset + n as u64);
            if start >= end {
                break;
            }
            let part = &mut buf[(start - offset) as usize..(end - offset) as usize];
            page.frame.read((start & PAGE_MASK) as usize, part);
        }
        Ok(n)
    }

    /// Writes from `offset` on; returns how much. An error is reported only if nothing was written.
    pub fn write_at(&self, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let mut done = 0;
        let mut buf = Vec::new();
        while from.remaining() != 0 {
            buf.resize(from.remaining().min(TRANSFER), 0);
            let result = from.read_into(&mut buf).and_then(|n| {
                let at = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
                Ok((n, self.write_some(at, &buf[..n])?))
            });
            match result {
                Ok((wanted, n)) => {
                    done += n;
                    if n == 0 || n < wanted {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Writes to the backing and to cached pages.
    fn write_some(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let _fill = self.fill.lock();
        let old_size = self.backing.size();
        let n = self.backing.write_at(offset, data)?;
        if self.is_empty() {
            return Ok(n);
        }
        let end = offset + n as u64;
        let state = self.state.lock();
        // What a mapping wrote behind the old end must not become part of the file.
        if old_size < offset
            && let Some(page) = state.get(&(old_size >> PAGE_SHIFT))
        {
            let from = old_size & PAGE_MASK;
            let to = (offset - (old_size - from)).min(PAGE_SIZE);
            page.frame.zero(from as usize, (to - from) as usize);
        }
        for (index, page) in state.range(offset >> PAGE_SHIFT..) {
            let start = (index << PAGE_SHIFT).max(offset);
            let stop = ((index + 1) << PAGE_SHIFT).min(end);
            if start >= stop {
                break;
            }
            let part = &data[(start - offset) as usize..(stop - offset) as usize];
            page.frame.write((start & PAGE_MASK) as usize, part);
        }
        Ok(n)
    }

    /// To be called after the backing's size changed from `old_size` other than by a write: drops and unmaps
    /// pages behind the end (private copies too), and clears what a mapping wrote behind the old or new end.
    pub fn truncated(&self, old_size: u64) {
        let size = self.backing.size();
        let first_gone = size.div_ceil(PAGE_SIZE);
        {
            let _fill = self.fill.lock();
            let mut state = self.state.lock();
            let gone = state.split_off(&first_gone);
            let kept = size.min(old_size);
            if let Some(page) = state.get(&(kept >> PAGE_SHIFT)) {
                let from = (kept & PAGE_MASK) as usize;
                page.frame.zero(from, PAGE_SIZE as usize - from);
            }
            self.cached.store(state.len(), Ordering::Release);
            drop(state);
            drop(gone);
        }
        if size < old_size {
            self.mappers
                .unmap(self, first_gone..u64::MAX >> PAGE_SHIFT, true);
        }
    }

    /// To be called after a byte range of the backing became zero (a punched hole) or was changed from
    /// outside: cached pages of the range are read again at the next access. Dirty data there is lost.
    pub fn invalidate(&self, range: Range<u64>) {
        let indices = range.start >> PAGE_SHIFT..range.end.div_ceil(PAGE_SIZE);
        {
            let _fill = self.fill.lock();
            let mut state = self.state.lock();
            state.retain(|index, _| !indices.contains(index));
            self.cached.store(state.len(), Ordering::Release);
        }
        self.mappers.unmap(self, indices, false);
    }

    /// Writes dirty pages of a range of indices to the backing. After an error the page stays dirty.
    pub fn write_back(&self, range: Range<u64>) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let dirty: Vec<(u64, PageRef)> = self
            .state
            .lock()
            .range_mut(range.start..range.end.max(range.start))
            .filter_map(|(&index, page)| {
                std::mem::take(&mut page.dirty).then(|| (index, page.frame.clone()))
            })
            .collect();
        let (Some(first), Some(last)) = (dirty.first(), dirty.last()) else {
            return Ok(());
        };
        // Clean first, then read-only, then write: a store after this makes the page dirty again.
        self.mappers.write_protect(self, first.0..last.0 + 1);
        let mut result = Ok(());
        let mut buf = [0; PAGE_SIZE as usize];
        for (index, frame) in dirty {
            if result.is_ok() {
                result = self.write_page(index, &frame, &mut buf);
                if result.is_ok() {
                    continue;
                }
            }
            self.dirty(index);
        }
        result
    }

    fn write_page(&self, index: u64, frame: &PageRef, buf: &mut [u8]) -> Result<()> {
        let _fill = self.fill.lock();
        let offset = index << PAGE_SHIFT;
        let len = self.backing.size().saturating_sub(offset).min(PAGE_SIZE) as usize;
        // Truncated meanwhile?
        if len == 0 {
            return Ok(());
        }
        frame.read(0, &mut buf[..len]);
        let mut done = 0;
        while done < len {
            match self
                .backing
                .write_at(offset + done as u64, &buf[done..len])?
            {
                0 => return Err(Errno::ENOSPC),
                n => done += n,
            }
        }
        Ok(())
    }

    /// Reads a page (and its neighbours) into the cache.
    fn fill(&self, index: u64) -> std::result::Result<PageRef, FaultKind> {
        let _fill = self.fill.lock();
        if let Some(frame) = self.cached_frame(index) {
            return Ok(frame);
        }
        let size = self.backing.size();
        if index >= size.div_ceil(PAGE_SIZE) {
            return Err(FaultKind::BusAdrErr);
        }
        let cluster = index / CLUSTER * CLUSTER;
        let mut end = (cluster + CLUSTER).min(size.div_ceil(PAGE_SIZE));
        let mut first = cluster;
        {
            // Only the gap around the page.
            let state = self.state.lock();
            if let Some((&before, _)) = state.range(cluster..index).next_back() {
                first = before + 1;
            }
            if let Some((&after, _)) = state.range(index..end).next() {
                end = after;
            }
        }
        let mut buf = vec![0; ((end - first) << PAGE_SHIFT) as usize];
        let n = self
            .backing
            .read_at(first << PAGE_SHIFT, &mut buf)
            .map_err(|_| FaultKind::BusAdrErr)?;
        // A short read leaves zeroes.
        buf[n..].fill(0);
        let mut wanted = None;
        for (i, data) in (first..end).zip(buf.chunks_exact(PAGE_SIZE as usize)) {
            let frame = match self.budget.alloc_dirty(FrameKind::File) {
                Ok(frame) => frame,
                Err(_) if i < index => continue,
                Err(_) => break,
            };
            frame.write(0, data);
            if i == index {
                wanted = Some(frame.clone());
            }
            let mut state = self.state.lock();
            state.insert(
                i,
                Page {
                    frame,
                    dirty: false,
                },
            );
            self.cached.store(state.len(), Ordering::Release);
        }
        if wanted.is_some() {
            // What was only read ahead is nobody's need.
            let _ = MemGroup::take_refusal();
        }
        wanted.ok_or(FaultKind::Oom)
    }
}

impl MemoryObject for FilePages {
    fn page(&self, index: u64, _want: Access) -> std::result::Result<PageRef, FaultKind> {
        if index >= self.backing.size().div_ceil(PAGE_SIZE) {
            return Err(FaultKind::BusAdrErr);
        }
        match self.cached_frame(index) {
            Some(frame) => Ok(frame),
            None => self.fill(index),
        }
    }

    fn dirty(&self, index: u64) {
        let first = match self.state.lock().get_mut(&index) {
            Some(page) => !std::mem::replace(&mut page.dirty, true),
            None => false,
        };
        if first {
            self.backing.dirtied();
        }
    }

    fn sync(&self, range: Range<u64>) -> Result<()> {
        FilePages::write_back(self, range)?;
        self.backing.sync()
    }

    fn write_back(&self, range: Range<u64>) -> Result<()> {
        FilePages::write_back(self, range)
    }

    fn is_resident(&self, index: u64) -> bool {
        self.cached_frame(index).is_some()
    }

    fn mappers(&self) -> Option<&Mappers> {
        Some(&self.mappers)
    }

    fn id(&self) -> (u64, u64) {
        self.id
    }

    fn path(&self) -> Vec<u8> {
        self.backing.path()
    }
}

impl Reclaim for FilePages {
    fn reclaim(&self, pages: usize) -> usize {
        let Some(mut state) = self.state.try_lock() else {
            return 0;
        };
        let mut freed = 0;
        // References are only made under the lock, so a unique one stays so.
        state.retain(|_, page| {
            let drop = freed < pages
                && !page.dirty
                && page.frame.is_unique()
                && group::is_wanted(&page.frame);
            freed += usize::from(drop);
            !drop
        });
        self.cached.store(state.len(), Ordering::Release);
        freed
    }
}

impl Drop for FilePages {
    fn drop(&mut self) {
        // The last chance for data that nobody synced; there is nobody to tell about a failure.
        let _ = FilePages::write_back(self, 0..u64::MAX);
    }
}
