//! Memory that is a file: tmpfs, memfd, System V shared memory, shared anonymous mappings.

use crate::{
    Access, FaultKind, FrameKind, IoRead, IoWrite, Mappers, MemoryBudget, MemoryObject, PAGE_MASK,
    PAGE_SHIFT, PAGE_SIZE, PageRef, page_down,
};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tuxlet_sync::Mutex;
use tuxlet_uapi::errno::{Errno, Result};

/// A sparse sequence of pages of the budget, with a size. Holes read as zero.
#[derive(Debug)]
pub struct ShmObject {
    budget: Arc<MemoryBudget>,
    state: Mutex<State>,
    mappers: Mappers,
    id: (u64, u64),
    name: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    size: u64,
    pages: BTreeMap<u64, PageRef>,
}

impl ShmObject {
    /// An empty object. `id` (device, inode) and `name` are what `/proc/PID/maps` shows.
    #[must_use]
    pub fn new(budget: &Arc<MemoryBudget>, id: (u64, u64), name: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            budget: Arc::clone(budget),
            state: Mutex::default(),
            mappers: Mappers::default(),
            id,
            name: name.to_vec(),
        })
    }

    /// The object behind a shared anonymous mapping of `len` bytes.
    #[must_use]
    pub fn anonymous(budget: &Arc<MemoryBudget>, len: u64) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Device 0:1 is where Linux has its internal shared memory.
        let object = Self::new(
            budget,
            (1, NEXT.fetch_add(1, Ordering::Relaxed)),
            b"/dev/zero (deleted)",
        );
        object.state.lock().size = len;
        object
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.state.lock().size
    }

    /// How many pages are in memory.
    pub fn page_count(&self) -> u64 {
        self.state.lock().pages.len() as u64
    }

    /// Changes the size. Pages behind the new end are freed and unmapped everywhere.
    pub fn set_size(&self, size: u64) {
        let first_gone = size.div_ceil(PAGE_SIZE);
        let shrunk = {
            let mut state = self.state.lock();
            let shrunk = size < state.size;
            state.size = size;
            if shrunk {
                drop(state.pages.split_off(&first_gone));
                if let Some(page) = state.pages.get(&(size >> PAGE_SHIFT)) {
                    let from = (size & PAGE_MASK) as usize;
                    page.zero(from, PAGE_SIZE as usize - from);
                }
            }
            shrunk
        };
        if shrunk {
            self.mappers
                .unmap(self, first_gone..u64::MAX >> PAGE_SHIFT, true);
        }
    }

    /// Reads from `offset` on; returns how much (0 at the end).
    pub fn read_at(&self, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let mut done = 0;
        let mut buf = [0; PAGE_SIZE as usize];
        loop {
            let at = offset.saturating_add(done as u64);
            let (page, left) = {
                let state = self.state.lock();
                let left = state.size.saturating_sub(at);
                (state.pages.get(&(at >> PAGE_SHIFT)).cloned(), left)
            };
            let from = (at & PAGE_MASK) as usize;
            let n = (buf.len() - from)
                .min(usize::try_from(left).unwrap_or(usize::MAX))
                .min(to.remaining());
            if n == 0 {
                return Ok(done);
            }
            let result = match page {
                Some(page) => {
                    page.read(from, &mut buf[..n]);
                    to.write_from(&buf[..n])
                }
                None => to.write_zeros(n),
            };
            match result {
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

    /// Writes from `offset` on, growing the object; returns how much. `ENOSPC` if the budget is spent.
    pub fn write_at(&self, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let mut done = 0;
        let mut buf = [0; PAGE_SIZE as usize];
        let end = |done: usize| {
            offset
                .checked_add(done as u64)
                .filter(|&e| e <= i64::MAX as u64)
        };
        loop {
            let at = end(done).ok_or(Errno::EFBIG)?;
            let start = (at & PAGE_MASK) as usize;
            let room = usize::try_from(i64::MAX as u64 - at).unwrap_or(usize::MAX);
            let n = (buf.len() - start).min(from.remaining()).min(room);
            if n == 0 {
                let too_big = done == 0 && from.remaining() != 0;
                return if too_big { Err(Errno::EFBIG) } else { Ok(done) };
            }
            // Room first, then data: what was read from the source cannot be put back.
            if self
                .state
                .lock()
                .page(&self.budget, at >> PAGE_SHIFT)
                .is_err()
            {
                return if done == 0 {
                    Err(Errno::ENOSPC)
                } else {
                    Ok(done)
                };
            }
            // The lock is not held while user memory is read: that may fault on this very object.
            let n = match from.read_into(&mut buf[..n]) {
                Ok(0) => return Ok(done),
                Ok(n) => n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => return Ok(done),
            };
            let new_end = at + n as u64;
            let mut state = self.state.lock();
            // Unless somebody cut it off meanwhile, the page is there.
            match state.page(&self.budget, at >> PAGE_SHIFT) {
                Ok(page) => page.write(start, &buf[..n]),
                Err(_) if done == 0 => return Err(Errno::ENOSPC),
                Err(_) => return Ok(done),
            }
            state.size = state.size.max(new_end);
            done += n;
        }
    }

    /// Makes sure that the pages of a byte range exist; `ENOSPC` if the budget is spent.
    pub fn allocate(&self, range: Range<u64>) -> Result<()> {
        for index in range.start >> PAGE_SHIFT..range.end.div_ceil(PAGE_SIZE) {
            self.state
                .lock()
                .page(&self.budget, index)
                .map_err(|_| Errno::ENOSPC)?;
        }
        Ok(())
    }

    /// Makes a byte range read as zero, freeing the pages wholly inside.
    pub fn punch_hole(&self, range: Range<u64>) {
        let inner = range.start.div_ceil(PAGE_SIZE)..page_down(range.end) >> PAGE_SHIFT;
        {
            let mut state = self.state.lock();
            let clear = |state: &State, start: u64, end: u64| {
                if let Some(page) = state.pages.get(&(start >> PAGE_SHIFT))
                    && start < end
                {
                    page.zero((start & PAGE_MASK) as usize, (end - start) as usize);
                }
            };
            let first_end = range
                .end
                .min(page_down(range.start).saturating_add(PAGE_SIZE));
            clear(&state, range.start, first_end);
            clear(&state, page_down(range.end).max(range.start), range.end);
            if inner.start < inner.end {
                let mut tail = state.pages.split_off(&inner.start);
                let mut tail = tail.split_off(&inner.end);
                state.pages.append(&mut tail);
            }
        }
        if inner.start < inner.end {
            self.mappers.unmap(self, inner, false);
        }
    }

    /// The first offset at or after `offset` that is data (`data`) or a hole; holes are whole pages. `None`
    /// if there is no such data before the end.
    pub fn seek(&self, offset: u64, data: bool) -> Option<u64> {
        let state = self.state.lock();
        if offset >= state.size {
            return None;
        }
        let first = offset >> PAGE_SHIFT;
        if data {
            let (&index, _) = state.pages.range(first..).next()?;
            Some((index << PAGE_SHIFT).max(offset)).filter(|&o| o < state.size)
        } else {
            let mut index = first;
            for (&present, _) in state.pages.range(first..) {
                if present != index {
                    break;
                }
                index += 1;
            }
            Some((index << PAGE_SHIFT).clamp(offset, state.size))
        }
    }
}

impl State {
    /// The page at an index, made if need be.
    fn page(&mut self, budget: &Arc<MemoryBudget>, index: u64) -> Result<&PageRef> {
        use std::collections::btree_map::Entry;
        Ok(match self.pages.entry(index) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(budget.alloc_for(FrameKind::Shmem)?),
        })
    }
}

impl MemoryObject for ShmObject {
    fn page(&self, index: u64, _want: Access) -> std::result::Result<PageRef, FaultKind> {
        let mut state = self.state.lock();
        if index >= state.size.div_ceil(PAGE_SIZE) {
            return Err(FaultKind::BusAdrErr);
        }
        state
            .page(&self.budget, index)
            .cloned()
            .map_err(|_| FaultKind::Oom)
    }

    fn remove(&self, range: Range<u64>) -> Result<()> {
        self.punch_hole(range.start << PAGE_SHIFT..range.end << PAGE_SHIFT);
        Ok(())
    }

    fn is_resident(&self, index: u64) -> bool {
        self.state.lock().pages.contains_key(&index)
    }

    fn mappers(&self) -> Option<&Mappers> {
        Some(&self.mappers)
    }

    fn is_shmem(&self) -> bool {
        true
    }

    fn id(&self) -> (u64, u64) {
        self.id
    }

    fn path(&self) -> Vec<u8> {
        self.name.clone()
    }
}
