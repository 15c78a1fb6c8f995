//! Frames: the 4 KiB blocks of host memory behind guest pages, and the budget they count against.
//!
//! Frames come from aligned 1 MiB chunks. The first block of a chunk holds its header: the owner and the
//! reference counts of the others, so that a frame's address is all that an entry of the page table needs.

use crate::{
    PAGE_SIZE,
    group::{FrameKind, MemGroup},
    racy,
};
use std::{
    fmt::{self, Debug},
    mem::ManuallyDrop,
    ptr::NonNull,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
};
use tuxlet_sync::Mutex;
use tuxlet_uapi::errno::{Errno, Result};

const FRAME: usize = PAGE_SIZE as usize;
const CHUNK: usize = 1 << 20;
/// Blocks in a chunk; block 0 is the header.
const BLOCKS: usize = CHUNK / FRAME;
/// Wholly free chunks that are kept for later; more go back to the host.
const SPARE_CHUNKS: usize = 16;
/// How many pages one call of the reclaimers asks for.
const RECLAIM_BATCH: usize = 256;

/// The header at the start of a chunk.
#[repr(C)]
struct Header {
    /// The owner. Every live frame holds one strong count of it, so it outlives them.
    budget: *const MemoryBudget,
    /// The chunk's place in the owner's list.
    slot: usize,
    /// Reference counts; 0 = free.
    refs: [AtomicU32; BLOCKS],
    /// Whose the frames are: the address of a [`MemGroup`] with a strong count of it, 0 for nobody's; the [`FrameKind`] in
    /// the lowest bits.
    groups: [AtomicU64; BLOCKS],
}
/// The bits of a `groups` entry that are the kind.
const KIND_BITS: u64 = 3;
const _: () = assert!(align_of::<MemGroup>() > KIND_BITS as usize);
const _: () = assert!(size_of::<Header>() <= FRAME);

/// Something that can give up frames which are only a cache.
pub trait Reclaim: Send + Sync {
    /// Drops up to `pages` frames that nothing maps; returns how many. Called with no lock of this crate held
    /// except possibly the caller's own object: take locks only by `try_lock`.
    fn reclaim(&self, pages: usize) -> usize;
}

/// The memory that one machine may use: a limit on its frames (anonymous pages, cached file pages, shared
/// memory, page tables).
///
/// When the limit is reached, clean cached file pages that nothing maps are dropped ([`Reclaim`]); if that is
/// not enough the allocation fails with `ENOMEM` or an [`Oom`](crate::FaultKind::Oom) fault.
pub struct MemoryBudget {
    limit: AtomicUsize,
    used: AtomicUsize,
    pool: Mutex<Pool>,
    reclaimers: Mutex<Vec<Weak<dyn Reclaim>>>,
    /// [`Pressure::high`], or `usize::MAX` after the listener was told, until `low` is reached.
    pressure_at: AtomicUsize,
    pressure: OnceLock<Pressure>,
}

/// Who hears when memory runs short.
struct Pressure {
    /// Told when so many pages are in use.
    high: usize,
    /// Told again after no more than so many were.
    low: usize,
    listener: Box<dyn Fn(usize) + Send + Sync>,
}

#[derive(Default)]
struct Pool {
    /// By slot.
    chunks: Vec<Option<Chunk>>,
    /// Slots without a chunk.
    empty_slots: Vec<usize>,
    /// Slots of chunks with free frames.
    partial: Vec<usize>,
    /// How many chunks are wholly free.
    spare: usize,
}

struct Chunk {
    base: NonNull<u8>,
    /// Blocks that were used and freed.
    free: Vec<u8>,
    /// The first block that was never used (its memory is still zero).
    fresh: usize,
    /// Index in `Pool::partial`.
    place: usize,
}

// SAFETY: `base` is a plain address of memory that the pool owns; access to the chunk is under the pool's lock.
unsafe impl Send for Chunk {}

impl Chunk {
    fn free_count(&self) -> usize {
        self.free.len() + BLOCKS - self.fresh
    }
}

impl MemoryBudget {
    /// A budget of `limit_pages` pages of 4 KiB.
    #[must_use]
    pub fn new(limit_pages: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit_pages),
            used: AtomicUsize::new(0),
            pool: Mutex::default(),
            reclaimers: Mutex::default(),
            pressure_at: AtomicUsize::new(usize::MAX),
            pressure: OnceLock::new(),
        })
    }

    /// A budget without limit.
    #[must_use]
    pub fn unlimited() -> Arc<Self> {
        Self::new(usize::MAX)
    }

    /// The limit in pages.
    pub fn limit_pages(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit; what is in use stays.
    pub fn set_limit_pages(&self, pages: usize) {
        self.limit.store(pages, Ordering::Relaxed);
    }

    /// Pages in use.
    pub fn used_pages(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Adds a cache to ask when memory runs out.
    pub fn add_reclaimer(&self, reclaimer: Weak<dyn Reclaim>) {
        let mut list = self.reclaimers.lock();
        if list.len() == list.capacity() {
            list.retain(|r| r.strong_count() != 0);
        }
        list.push(reclaimer);
    }

    /// Lets `listener` hear the number of pages in use when it rises above `high`, and again after it has been at most `low`. It is
    /// called by whoever allocates, perhaps under locks: it must return at once. Only the first call counts.
    pub fn watch_pressure(
        &self,
        high: usize,
        low: usize,
        listener: Box<dyn Fn(usize) + Send + Sync>,
    ) {
        let pressure = Pressure {
            high,
            low,
            listener,
        };
        if self.pressure.set(pressure).is_ok() {
            self.pressure_at.store(high, Ordering::Release);
        }
    }

    #[cold]
    fn tell_pressure(&self) {
        let Some(pressure) = self.pressure.get() else {
            return;
        };
        if self.pressure_at.swap(usize::MAX, Ordering::AcqRel) != usize::MAX {
            (pressure.listener)(self.used_pages());
        }
    }

    /// Drops up to `pages` frames that are only a cache; returns how many.
    pub fn reclaim(&self, pages: usize) -> usize {
        let list: Vec<_> = {
            let all = self.reclaimers.lock();
            all.iter().filter_map(Weak::upgrade).collect()
        };
        let mut freed = 0;
        for reclaimer in list {
            if freed < pages {
                freed += reclaimer.reclaim(pages - freed);
            }
        }
        freed
    }

    /// A zeroed frame, or `ENOMEM`.
    pub fn alloc(self: &Arc<Self>) -> Result<PageRef> {
        self.alloc_for(FrameKind::Anon)
    }

    /// A zeroed frame of a kind, or `ENOMEM`.
    pub fn alloc_for(self: &Arc<Self>, kind: FrameKind) -> Result<PageRef> {
        let (frame, dirty) = self.take(kind)?;
        if dirty {
            // SAFETY: M4: this is the only reference to the frame.
            unsafe { frame.ptr().write_bytes(0, FRAME) };
        }
        Ok(frame)
    }

    /// A frame with undefined contents (but never another machine's), or `ENOMEM`.
    pub(crate) fn alloc_dirty(self: &Arc<Self>, kind: FrameKind) -> Result<PageRef> {
        self.take(kind).map(|(frame, _)| frame)
    }

    /// A frame, and whether it was used before.
    fn take(self: &Arc<Self>, kind: FrameKind) -> Result<(PageRef, bool)> {
        let Some(group) = MemGroup::current() else {
            return self.take_uncounted();
        };
        self.charge(&group, kind)?;
        let taken = self.take_uncounted();
        match &taken {
            Ok((frame, _)) => frame.set_group(group, kind),
            Err(_) => group.uncharge(kind),
        }
        taken
    }

    /// Counts a frame in a group, after making room there if need be.
    fn charge(&self, group: &Arc<MemGroup>, kind: FrameKind) -> Result<()> {
        let mut hit = false;
        while let Err(full) = group.charge(kind) {
            if !std::mem::replace(&mut hit, true) {
                full.note_limit_hit();
            }
            if self.reclaim_from(&full, RECLAIM_BATCH) == 0 {
                full.note_refusal();
                return Err(Errno::ENOMEM);
            }
        }
        if let Some(high) = group.above_high() {
            high.note_high_hit();
            self.reclaim_from(high, RECLAIM_BATCH);
        }
        Ok(())
    }

    /// Drops up to `pages` frames of a group that are only a cache; returns how many.
    pub fn reclaim_from(&self, group: &MemGroup, pages: usize) -> usize {
        if group.used_for(FrameKind::File) == 0 {
            return 0;
        }
        group.reclaiming(|| self.reclaim(pages))
    }

    fn take_uncounted(self: &Arc<Self>) -> Result<(PageRef, bool)> {
        loop {
            if let Some(taken) = self.try_take() {
                if self.used_pages() > self.pressure_at.load(Ordering::Relaxed) {
                    self.tell_pressure();
                }
                return Ok(taken);
            }
            if self.reclaim(RECLAIM_BATCH) == 0 {
                return Err(Errno::ENOMEM);
            }
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<(PageRef, bool)> {
        let mut pool = self.pool.lock();
        let used = self.used.load(Ordering::Relaxed);
        if used >= self.limit_pages() {
            return None;
        }
        if pool.partial.is_empty() {
            pool.grow(Arc::as_ptr(self))?;
        }
        let pool = &mut *pool;
        let slot = *pool.partial.last()?;
        let chunk = pool.chunks.get_mut(slot)?.as_mut()?;
        if chunk.free_count() == BLOCKS - 1 {
            pool.spare -= 1;
        }
        let (block, dirty) = match chunk.free.pop() {
            Some(block) => (usize::from(block), true),
            None => {
                chunk.fresh += 1;
                (chunk.fresh - 1, false)
            }
        };
        if chunk.free_count() == 0 {
            pool.partial.pop();
        }
        self.used.store(used + 1, Ordering::Relaxed);
        // SAFETY: a chunk starts with a valid header, and `block` < BLOCKS; nobody else has the frame.
        let ptr = unsafe {
            let header = chunk.base.cast::<Header>().as_ref();
            header.refs[block].store(1, Ordering::Relaxed);
            chunk.base.add(block * FRAME)
        };
        // The strong count that the live frame holds; `release` takes it back.
        std::mem::forget(Arc::clone(self));
        Some((PageRef(ptr), dirty))
    }

    /// Takes back a frame whose count has become 0.
    ///
    /// # Safety
    /// `ptr` is a frame of this budget without references. The budget may be gone afterwards.
    unsafe fn release(this: *const Self, ptr: NonNull<u8>) {
        // SAFETY: the frame's own strong count keeps the budget alive until the end of this function.
        let budget = unsafe { &*this };
        {
            let (header, block) = locate(ptr);
            // SAFETY: the header of a chunk with a frame in use is valid.
            let word = unsafe { header.as_ref().groups[block].swap(0, Ordering::Relaxed) };
            if word > KIND_BITS {
                // SAFETY: `set_group` left a strong count here, which this takes over.
                let group = unsafe { Arc::from_raw((word & !KIND_BITS) as *const MemGroup) };
                group.uncharge(FrameKind::ALL[(word & KIND_BITS) as usize]);
            }
        }
        let mut freed = None;
        {
            let mut pool = budget.pool.lock();
            let pool = &mut *pool;
            let (header, block) = locate(ptr);
            // SAFETY: the header of a chunk with a frame in use is valid.
            let slot = unsafe { header.as_ref().slot };
            if let Some(chunk) = pool.chunks.get_mut(slot).and_then(Option::as_mut) {
                if chunk.free_count() == 0 {
                    chunk.place = pool.partial.len();
                    pool.partial.push(slot);
                }
                #[expect(clippy::cast_possible_truncation, reason = "block < BLOCKS = 256")]
                chunk.free.push(block as u8);
                if chunk.free_count() == BLOCKS - 1 {
                    pool.spare += 1;
                    if pool.spare > SPARE_CHUNKS {
                        freed = pool.remove(slot);
                    }
                }
            }
            let used = budget.used.fetch_sub(1, Ordering::Relaxed) - 1;
            if let Some(pressure) = budget.pressure.get()
                && used <= pressure.low
            {
                budget.pressure_at.store(pressure.high, Ordering::Relaxed);
            }
        }
        if let Some(base) = freed {
            // SAFETY: the chunk is out of the pool and has no live frames.
            unsafe { tuxlet_host::mem::unmap(base, CHUNK) };
        }
        // SAFETY: this count was taken when the frame was handed out.
        unsafe { Arc::decrement_strong_count(this) };
    }
}

impl Pool {
    /// Adds a chunk; `None` if the host refuses.
    fn grow(&mut self, budget: *const MemoryBudget) -> Option<()> {
        let align = CHUNK.max(tuxlet_host::mem::page_size());
        let base = tuxlet_host::mem::map_aligned(CHUNK, align)?;
        let slot = self.empty_slots.pop().unwrap_or_else(|| {
            self.chunks.push(None);
            self.chunks.len() - 1
        });
        // SAFETY: fresh, exclusive, aligned memory of CHUNK bytes; zero is a valid array of counts.
        unsafe {
            let header = base.cast::<Header>().as_ptr();
            (&raw mut (*header).budget).write(budget);
            (&raw mut (*header).slot).write(slot);
        }
        let place = self.partial.len();
        self.chunks[slot] = Some(Chunk {
            base,
            free: Vec::new(),
            fresh: 1,
            place,
        });
        self.partial.push(slot);
        self.spare += 1;
        Some(())
    }

    /// Takes a wholly free chunk out.
    fn remove(&mut self, slot: usize) -> Option<NonNull<u8>> {
        let chunk = self.chunks[slot].take()?;
        self.partial.swap_remove(chunk.place);
        if let Some(&moved) = self.partial.get(chunk.place)
            && let Some(moved) = self.chunks[moved].as_mut()
        {
            moved.place = chunk.place;
        }
        self.empty_slots.push(slot);
        self.spare -= 1;
        Some(chunk.base)
    }
}

impl Drop for MemoryBudget {
    fn drop(&mut self) {
        for chunk in self.pool.get_mut().chunks.drain(..).flatten() {
            // SAFETY: every live frame holds a count of the budget, so there are none.
            unsafe { tuxlet_host::mem::unmap(chunk.base, CHUNK) };
        }
    }
}

impl Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "MemoryBudget({} of {} pages)",
            self.used_pages(),
            self.limit_pages()
        )
    }
}

/// The header and block number of a frame.
fn locate(ptr: NonNull<u8>) -> (NonNull<Header>, usize) {
    let offset = ptr.as_ptr() as usize & (CHUNK - 1);
    // SAFETY: frames lie in chunks, which are aligned to their size: the result is the chunk's start.
    (unsafe { ptr.sub(offset) }.cast(), offset / FRAME)
}

/// A counted reference to a frame: 4 KiB of host memory that may be mapped into guests.
///
/// The contents may change at any time, so there is no access by reference; see M3.
pub struct PageRef(NonNull<u8>);

// SAFETY: the counts are atomic and the contents are only accessed as M3 says.
unsafe impl Send for PageRef {}
// SAFETY: as above.
unsafe impl Sync for PageRef {}

impl PageRef {
    /// The frame of zeroes that everybody shares (M5: never write to it).
    pub(crate) fn zero_frame() -> Option<&'static PageRef> {
        static ZERO: OnceLock<Option<PageRef>> = OnceLock::new();
        ZERO.get_or_init(|| MemoryBudget::new(1).alloc().ok())
            .as_ref()
    }

    /// The host address, a multiple of 4096.
    #[inline]
    #[must_use]
    pub fn ptr(&self) -> *mut u8 {
        self.0.as_ptr()
    }

    fn count(&self) -> &AtomicU32 {
        let (header, block) = locate(self.0);
        // SAFETY: M4: the chunk is mapped while the reference exists; the counts are atomics.
        unsafe { &(*header.as_ptr()).refs[block] }
    }

    fn group_word(&self) -> &AtomicU64 {
        let (header, block) = locate(self.0);
        // SAFETY: M4: the chunk is mapped while the reference exists; the words are atomics.
        unsafe { &(*header.as_ptr()).groups[block] }
    }

    /// Says, once, whose the new frame is.
    fn set_group(&self, group: Arc<MemGroup>, kind: FrameKind) {
        let word = Arc::into_raw(group) as u64 | kind as u64;
        self.group_word().store(word, Ordering::Release);
    }

    /// Whose the frame is.
    pub(crate) fn group(&self) -> Option<Arc<MemGroup>> {
        let word = self.group_word().load(Ordering::Acquire) & !KIND_BITS;
        if word == 0 {
            return None;
        }
        let group = word as *const MemGroup;
        // SAFETY: the frame holds a strong count of its group while it lives.
        Some(unsafe {
            Arc::increment_strong_count(group);
            Arc::from_raw(group)
        })
    }

    /// Whether this is the only reference.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.count().load(Ordering::Acquire) == 1
    }

    /// How many references there are.
    pub(crate) fn references(&self) -> u32 {
        self.count().load(Ordering::Acquire)
    }

    /// Gives the reference to whoever keeps the address.
    pub(crate) fn into_raw(self) -> u64 {
        ManuallyDrop::new(self).0.as_ptr() as u64
    }

    /// Takes a reference back.
    ///
    /// # Safety
    /// `raw` came from [`into_raw`](Self::into_raw), whose count this takes over.
    pub(crate) unsafe fn from_raw(raw: u64) -> Self {
        // SAFETY: addresses of frames are not null.
        Self(unsafe { NonNull::new_unchecked(raw as *mut u8) })
    }

    /// A further reference to the frame at `raw`.
    ///
    /// # Safety
    /// Somebody holds a reference to that frame, and does not let it go during the call.
    pub(crate) unsafe fn clone_raw(raw: u64) -> Self {
        // SAFETY: the caller's promise; ManuallyDrop keeps the borrowed count.
        let borrowed = ManuallyDrop::new(unsafe { Self::from_raw(raw) });
        PageRef::clone(&borrowed)
    }

    /// Copies bytes from `offset` out of the frame.
    ///
    /// # Panics
    /// If `offset + buf.len()` exceeds the page size.
    pub fn read(&self, offset: usize, buf: &mut [u8]) {
        assert!(offset <= FRAME && buf.len() <= FRAME - offset);
        // SAFETY: M3, M4; the range was checked, and `buf` is not in a frame.
        unsafe { racy::copy(buf.as_mut_ptr(), self.ptr().add(offset), buf.len()) };
    }

    /// Copies bytes into the frame at `offset`.
    ///
    /// # Panics
    /// If `offset + buf.len()` exceeds the page size.
    pub fn write(&self, offset: usize, buf: &[u8]) {
        assert!(offset <= FRAME && buf.len() <= FRAME - offset);
        // SAFETY: M3, M4; the range was checked, and `buf` is not in a frame.
        unsafe { racy::copy(self.ptr().add(offset), buf.as_ptr(), buf.len()) };
    }

    /// The word at an aligned `offset`; what its writer stored before is visible then.
    ///
    /// # Panics
    /// If `offset` is not a multiple of 4 within the page.
    #[must_use]
    pub fn load_u32(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Stores the word at an aligned `offset`, after everything stored before.
    ///
    /// # Panics
    /// If `offset` is not a multiple of 4 within the page.
    pub fn store_u32(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Release);
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset < FRAME && offset.is_multiple_of(4));
        // SAFETY: M3, M4; the word is inside the frame and aligned, and lives as long as the reference.
        unsafe { AtomicU32::from_ptr(self.ptr().add(offset).cast()) }
    }

    /// Clears `len` bytes at `offset`.
    ///
    /// # Panics
    /// If `offset + len` exceeds the page size.
    pub fn zero(&self, offset: usize, len: usize) {
        assert!(offset <= FRAME && len <= FRAME - offset);
        // SAFETY: M3, M4; the range was checked.
        unsafe { racy::zero(self.ptr().add(offset), len) };
    }

    /// Copies the whole of another frame.
    pub(crate) fn copy_from(&self, other: &PageRef) {
        // SAFETY: M3, M4; frames are disjoint.
        unsafe { racy::copy(self.ptr(), other.ptr(), FRAME) };
    }
}

impl Clone for PageRef {
    fn clone(&self) -> Self {
        // Relaxed: whoever gives us a reference has synchronised with us already.
        let old = self.count().fetch_add(1, Ordering::Relaxed);
        if old > u32::MAX / 2 {
            // Only leaked references can get here; wrapping would free a frame in use.
            std::process::abort();
        }
        Self(self.0)
    }
}

impl Drop for PageRef {
    fn drop(&mut self) {
        // Release, and Acquire before reuse: all accesses through other references happen before.
        if self.count().fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            let (header, _) = locate(self.0);
            // SAFETY: the count is 0, so nobody else has the frame; the header is valid until then.
            unsafe { MemoryBudget::release((*header.as_ptr()).budget, self.0) };
        }
    }
}

impl PartialEq for PageRef {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for PageRef {}

impl Debug for PageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageRef({:p})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_limits_and_recovers() {
        let b = MemoryBudget::new(3);
        let a: Vec<_> = (0..3).map(|_| b.alloc().unwrap()).collect();
        assert_eq!(b.alloc(), Err(Errno::ENOMEM));
        let again = a[0].clone();
        drop(a);
        assert_eq!(b.used_pages(), 1);
        assert!(again.is_unique());
        drop(again);
        assert_eq!(b.used_pages(), 0);
        assert!(b.alloc().is_ok());
    }

    #[test]
    fn reused_frames_are_zeroed_and_frames_outlive_the_handle() {
        let b = MemoryBudget::unlimited();
        let f = b.alloc().unwrap();
        f.write(4090, b"secret");
        drop(f);
        let f = b.alloc().unwrap();
        let mut buf = [1; 6];
        f.read(4090, &mut buf);
        assert_eq!(buf, [0; 6]);
        drop(b);
        f.write(0, b"alive");
        let g = f.clone();
        drop(f);
        let mut buf = [0; 5];
        g.read(0, &mut buf);
        assert_eq!(&buf, b"alive");
    }

    #[test]
    fn many_chunks_come_and_go() {
        let b = MemoryBudget::unlimited();
        let mut frames: Vec<_> = (0..BLOCKS * 40)
            .map(|_| b.alloc_dirty(FrameKind::Anon).unwrap())
            .collect();
        let mut seen: Vec<_> = frames.iter().map(|f| f.ptr() as usize).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), frames.len());
        // Free in an order that empties chunks from the middle.
        for step in [3, 2, 1] {
            let mut i = 0;
            frames.retain(|_| {
                i += 1;
                i % step != 0
            });
        }
        assert_eq!(b.used_pages(), 0);
        assert!(b.pool.lock().spare <= SPARE_CHUNKS);
        let again: Vec<_> = (0..BLOCKS * 20).map(|_| b.alloc().unwrap()).collect();
        assert_eq!(b.used_pages(), again.len());
    }

    struct Cache(Mutex<Vec<PageRef>>);
    impl Reclaim for Cache {
        fn reclaim(&self, pages: usize) -> usize {
            let Some(mut frames) = self.0.try_lock() else {
                return 0;
            };
            let n = pages.min(frames.len());
            let rest = frames.len() - n;
            frames.truncate(rest);
            n
        }
    }

    #[test]
    fn caches_are_reclaimed_before_failing() {
        let b = MemoryBudget::new(10);
        let cache = Arc::new(Cache(Mutex::new(
            (0..8).map(|_| b.alloc().unwrap()).collect(),
        )));
        b.add_reclaimer(Arc::downgrade(&cache) as Weak<dyn Reclaim>);
        let mine: Vec<_> = (0..10).map(|_| b.alloc().unwrap()).collect();
        assert_eq!(cache.0.lock().len(), 0);
        assert_eq!(b.alloc(), Err(Errno::ENOMEM));
        drop(mine);
    }

    #[test]
    fn threads_share_a_pool() {
        let b = MemoryBudget::unlimited();
        std::thread::scope(|s| {
            for t in 0..4u8 {
                let b = &b;
                s.spawn(move || {
                    let mut kept = Vec::new();
                    for i in 0..2000 {
                        let f = b.alloc().unwrap();
                        f.write(0, &[t; 16]);
                        kept.push(f);
                        if i % 3 == 0 {
                            kept.swap_remove(i % kept.len());
                        }
                    }
                    for f in kept {
                        let mut buf = [0; 16];
                        f.read(0, &mut buf);
                        assert_eq!(buf, [t; 16]);
                    }
                });
            }
        });
        assert_eq!(b.used_pages(), 0);
    }
}
