//! Translated code of one address space: where it is, how blocks are linked, how it goes away.
//!
//! Ops are written once and then only read, but for the displacements of branch ops, which are
//! atomic. Blocks that are invalidated are unlinked at once: nothing leads to them any more except
//! virtual CPUs that are inside and jump caches, which are dropped when the generation changes.
//! Their memory is reclaimed when the whole cache is, after all virtual CPUs passed a safe point.

use core::alloc::Layout;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tuxlet_mem::{AddressSpace, Fault, MmNotifier, PAGE_MASK, PAGE_SIZE, PageRef, Tlb, Why};

use super::cpu::Gate;
use super::op::{Op, Pins};
use super::region;
use super::translate::{Block, Options, Region, translate};

/// Bit in the link's kick word: translated code was invalidated.
pub(crate) const KICK_CODE: u32 = 1 << 8;

/// Bytes of a chunk, also its alignment.
const CHUNK: usize = 256 << 10;
/// Ops per chunk; the side table follows them.
const CHUNK_OPS: usize = (CHUNK - size_of::<Header>()) / (size_of::<Op>() + size_of::<Side>());
/// Translated code beyond this is dropped altogether.
const LIMIT_CHUNKS: usize = 384;

/// Start of a chunk.
#[repr(C, align(64))]
struct Header {
    /// Bits 63 to 32 of the guest addresses in this chunk.
    guest_high: u64,
}

/// What the slow path needs to know of an op.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Side {
    /// The instruction.
    pub(crate) word: u32,
    /// Bits 31 to 0 of its address; odd in data positions.
    pub(crate) pc: u32,
}

impl Side {
    /// Marks the data position after an op.
    pub(crate) const DATA: Side = Side { word: 0, pc: 1 };
}

/// A piece of the arena.
struct Chunk(*mut u8);

// SAFETY: a chunk is plain memory owned by whoever holds the `Chunk`.
unsafe impl Send for Chunk {}

impl Chunk {
    const LAYOUT: Layout = match Layout::from_size_align(CHUNK, CHUNK) {
        Ok(l) => l,
        Err(_) => panic!("chunk layout"),
    };

    fn new(guest_high: u64) -> Chunk {
        // SAFETY: the layout is not empty.
        let p = unsafe { std::alloc::alloc(Self::LAYOUT) };
        if p.is_null() {
            std::alloc::handle_alloc_error(Self::LAYOUT);
        }
        // SAFETY: freshly allocated, aligned.
        unsafe { p.cast::<Header>().write(Header { guest_high }) };
        Chunk(p)
    }

    fn ops(&self) -> *mut Op {
        // SAFETY: within the chunk.
        unsafe { self.0.add(size_of::<Header>()).cast() }
    }

    fn side(&self) -> *mut Side {
        // SAFETY: within the chunk.
        unsafe { self.ops().add(CHUNK_OPS).cast() }
    }

    fn guest_high(&self) -> u64 {
        // SAFETY: written by `new`.
        unsafe { (*self.0.cast::<Header>()).guest_high }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout.
        unsafe { std::alloc::dealloc(self.0, Self::LAYOUT) };
    }
}

/// The side table entry of an op and the chunk's high guest address bits.
///
/// # Safety
/// `ip` must be an op of a live code cache.
unsafe fn side_of(ip: *const Op) -> (Side, u64) {
    // SAFETY: chunks are aligned to their size, so the chunk's start is known from any op in it.
    unsafe {
        let base = ip.cast::<u8>().map_addr(|a| a & !(CHUNK - 1));
        let ops = base.add(size_of::<Header>()).cast::<Op>();
        let side = ops.add(CHUNK_OPS).cast::<Side>();
        (
            *side.add(ip.offset_from_unsigned(ops)),
            (*base.cast::<Header>()).guest_high,
        )
    }
}

/// Guest address of an op's instruction.
///
/// # Safety
/// `ip` must be an op of a live code cache.
pub(crate) unsafe fn pc_of(ip: *const Op) -> u64 {
    // SAFETY: the caller's promise.
    let (side, high) = unsafe { side_of(ip) };
    high << 32 | u64::from(side.pc)
}

/// Instruction word of an op.
///
/// # Safety
/// `ip` must be an op of a live code cache.
pub(crate) unsafe fn word_of(ip: *const Op) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { side_of(ip).0.word }
}

/// The op of the next instruction.
///
/// # Safety
/// `ip` must be an op of a live code cache, not the last of its block.
pub(crate) unsafe fn next_of(ip: *const Op) -> *const Op {
    // SAFETY: the caller's promise.
    unsafe {
        let next = ip.add(1);
        if side_of(next).0.pc & 1 != 0 {
            next.add(1)
        } else {
            next
        }
    }
}

/// Contents of a stub, which stands behind a block for each branch that leaves it: where the branch
/// goes, and how many ops before the stub it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    pub(crate) target: u64,
    pub(crate) distance: u16,
}

impl Stub {
    /// As operand fields of an op.
    pub(crate) fn pack(self) -> ([u8; 4], i32) {
        let bits = self.target | u64::from(self.distance) << 48;
        ((bits as u32).to_le_bytes(), (bits >> 32) as i32)
    }

    /// From operand fields.
    pub(crate) fn unpack(r: [u8; 4], imm: i32) -> Stub {
        let bits = u64::from(u32::from_le_bytes(r)) | u64::from(imm as u32) << 32;
        Stub {
            target: bits & 0xffff_ffff_ffff,
            distance: (bits >> 48) as u16,
        }
    }
}

/// A branch op that leads to a block.
struct Link {
    op: *const Op,
    /// Displacement back to its stub.
    stub: i32,
}

/// A translated block.
struct Translated {
    /// Guest range that the block was made from; where it is entered.
    start: u64,
    end: u64,
    pc: u64,
    /// The registers in handler arguments, and where the block is entered with these there.
    pins: Pins,
    op: *const Op,
    /// Where it is entered with the default registers in handler arguments.
    entry: *const Op,
    incoming: Vec<Link>,
}

/// Numbers of blocks.
type BlockId = u32;

#[derive(Default)]
struct Inner {
    chunks: Vec<Chunk>,
    /// Ops used in the last chunk.
    used: usize,
    blocks: Vec<Option<Translated>>,
    entries: FxHashMap<u64, BlockId>,
    pages: FxHashMap<u64, Vec<BlockId>>,
    /// Hot loops by page, none overlapping another.
    regions: FxHashMap<u64, Vec<Region>>,
    /// How often branches back were taken that may become hot loops, by the address of their ops.
    heat: FxHashMap<usize, u8>,
    /// Chunks that virtual CPUs may still be in: until all have seen the generation.
    retired: Vec<(u64, Vec<Chunk>)>,
    gates: Vec<Weak<Gate>>,
    scratch: Block,
}

// SAFETY: the pointers lead into the chunks that this structure owns.
unsafe impl Send for Inner {}

/// Translated code of one address space.
pub(crate) struct CodeCache {
    inner: Mutex<Inner>,
    /// Changes whenever translated code goes away.
    generation: AtomicU64,
    /// Changes whenever any guest range is invalidated, translated or not.
    sequence: AtomicU64,
    options: Options,
}

impl MmNotifier for CodeCache {
    fn invalidate(&self, start: u64, end: u64, _why: Why) {
        self.invalidate_range(start, end);
    }
}

impl CodeCache {
    pub(crate) fn new(options: Options) -> CodeCache {
        CodeCache {
            inner: Mutex::default(),
            generation: AtomicU64::new(1),
            sequence: AtomicU64::new(0),
            options,
        }
    }

    /// The registers in handler arguments outside of hot loops.
    pub(crate) fn pins(&self) -> Pins {
        self.options.pins
    }

    /// Changes whenever translated code goes away.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes a virtual CPU known.
    pub(crate) fn register(&self, gate: &Arc<Gate>) {
        let mut inner = self.inner.lock();
        inner.gates.retain(|g| g.strong_count() != 0);
        inner.gates.push(Arc::downgrade(gate));
    }

    /// Drops translations that overlap `[start, end)`.
    pub(crate) fn invalidate_range(&self, start: u64, end: u64) {
        let mut inner = self.inner.lock();
        self.sequence.fetch_add(1, Ordering::SeqCst);
        if inner.invalidate(start, end) {
            self.changed(&inner);
        }
    }

    /// Announces that translated code went away.
    fn changed(&self, inner: &Inner) -> u64 {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        for gate in inner.gates.iter().filter_map(Weak::upgrade) {
            gate.link.kick.fetch_or(KICK_CODE, Ordering::SeqCst);
        }
        generation
    }

    /// The translation of the code at `pc`, made if necessary.
    pub(crate) fn find(
        &self,
        mm: &AddressSpace,
        tlb: &mut Tlb,
        pc: u64,
    ) -> Result<*const Op, Fault> {
        if let Some(op) = self.inner.lock().entry(pc) {
            return Ok(op);
        }
        self.with_page(mm, tlb, pc, |inner, page| {
            let id = self.translated(inner, page, pc);
            inner.block(id).entry
        })
    }

    /// Makes the branch op before a stub lead to the translation of the stub's target. Returns where that is entered
    /// with `pins` in handler arguments; `None` if that cannot be. `seen` is the generation at the caller's last safe
    /// point.
    ///
    /// # Safety
    /// `stub` must be a stub op of this cache that the caller reached since its last safe point.
    pub(crate) unsafe fn link(
        &self,
        mm: &AddressSpace,
        tlb: &mut Tlb,
        stub: *const Op,
        pins: Pins,
        seen: u64,
    ) -> Result<Option<*const Op>, Fault> {
        // SAFETY: the caller's promise; the branch is that many ops before its stub.
        let (Stub { target, distance }, branch, from) = unsafe {
            let content = Stub::unpack((*stub).r, (*stub).imm);
            let branch = stub.sub(usize::from(content.distance));
            (content, branch, pc_of(branch))
        };
        let back = target <= from && from - target < region::LIMIT && self.options.optimise;
        let connect = |inner: &mut Inner, id: BlockId| {
            let op = inner.block(id).entered_with(pins)?;
            // A stub that may be in a retired chunk must not be linked: the chunk may be freed.
            if self.generation() == seen {
                // SAFETY: the branch is that many ops before its stub.
                unsafe { inner.connect(branch, distance, id, op) };
            }
            Some(op)
        };
        let heat = {
            let mut inner = self.inner.lock();
            let closed = |inner: &Inner| inner.region(target).is_some_and(|r| r.contains(from));
            let heat = if back && pins == self.options.pins && !closed(&inner) {
                inner.warm(branch)
            } else {
                u8::MAX
            };
            if heat != 1
                && heat != region::HOT
                && let Some(&id) = inner.entries.get(&target)
            {
                return Ok(if heat < region::HOT {
                    inner.block(id).entered_with(pins)
                } else {
                    connect(&mut inner, id)
                });
            }
            heat
        };
        self.with_page(mm, tlb, target, |inner, page| {
            // What cannot become a hot loop need not be watched.
            let plan = if heat == 1 || heat == region::HOT {
                inner.plan_region(page, target, from, pins)
            } else {
                None
            };
            let cold = heat < region::HOT && (heat != 1 || plan.is_some());
            if !cold && heat <= region::HOT {
                inner.heat.remove(&branch.addr());
            }
            if heat == region::HOT
                && let Some(region) = plan
            {
                inner.form_region(region);
            }
            let id = self.translated(inner, page, target);
            if cold {
                inner.block(id).entered_with(pins)
            } else {
                connect(inner, id)
            }
        })
    }

    /// Calls `f` with the page of code at `pc`, which does not change meanwhile unnoticed.
    fn with_page<R>(
        &self,
        mm: &AddressSpace,
        tlb: &mut Tlb,
        pc: u64,
        f: impl FnOnce(&mut Inner, &PageRef) -> R,
    ) -> Result<R, Fault> {
        loop {
            let sequence = self.sequence.load(Ordering::SeqCst);
            let page = mm.fetch_page(tlb, pc)?;
            let mut inner = self.inner.lock();
            // The page may have changed between fetching and locking.
            if self.sequence.load(Ordering::SeqCst) == sequence {
                return Ok(f(&mut inner, &page));
            }
        }
    }

    /// The translation of the code at `pc`, which is in `page`, made if necessary.
    fn translated(&self, inner: &mut Inner, page: &PageRef, pc: u64) -> BlockId {
        if let Some(&id) = inner.entries.get(&pc) {
            return id;
        }
        if inner.chunks.len() >= LIMIT_CHUNKS {
            inner.unlink_all();
            let generation = self.changed(inner);
            inner.retire(generation);
        }
        inner.reclaim();
        let mut block = core::mem::take(&mut inner.scratch);
        let region = inner.region(pc);
        translate(&mut block, page, pc, region, &self.options);
        let id = inner.insert(&block, pc);
        inner.scratch = block;
        id
    }
}

impl Inner {
    fn block(&self, id: BlockId) -> &Translated {
        self.blocks[id as usize]
            .as_ref()
            .expect("entries lead to live blocks")
    }

    fn entry(&self, pc: u64) -> Option<*const Op> {
        self.entries.get(&pc).map(|&id| self.block(id).entry)
    }

    /// The hot loop that the code at `pc` is in.
    fn region(&self, pc: u64) -> Option<Region> {
        let regions = self.regions.get(&(pc & !PAGE_MASK))?;
        regions.iter().find(|region| region.contains(pc)).copied()
    }

    /// How often a branch back was taken, this time included.
    fn warm(&mut self, branch: *const Op) -> u8 {
        let heat = self.heat.entry(branch.addr()).or_default();
        *heat += 1;
        *heat
    }

    /// The hot loop that the code from `start` to the branch back at `from`, which is in `page`, can become, where that is
    /// worth it.
    fn plan_region(&self, page: &PageRef, start: u64, from: u64, pins: Pins) -> Option<Region> {
        let base = start & !PAGE_MASK;
        // The comparison before a branch may be one op with it, and is where that op is.
        let mut ahead = words(page, from, base + PAGE_SIZE).take(2);
        let length = ahead.position(region::branches)?;
        let end = from + 4 * (length as u64 + 1);
        let regions = self.regions.get(&base).map_or(&[][..], |r| r);
        // One more branch back to a known loop, or a loop around others, whose choice is kept, so that entering them costs
        // nothing.
        let known = regions.iter().find(|region| region.contains(start));
        let start = known.map_or(start, |region| region.start);
        let inside = |region: &Region| region.start < end && start < region.end;
        let end = (regions.iter().filter(|r| inside(r)).map(|r| r.end)).fold(end, u64::max);
        if end - start > region::LIMIT || words(page, start, end).any(region::leaves) {
            return None;
        }
        let inner = regions.iter().find(|r| inside(r) && r.start > start);
        let pins = match (inner, known) {
            (Some(inner), _) => inner.pins,
            (None, known) => region::choose(words(page, start, end), pins)
                .or_else(|| known.map(|region| region.pins))?,
        };
        Some(Region { start, end, pins })
    }

    /// Makes a hot loop: the next translations of its code are made with registers of its own in handler arguments.
    fn form_region(&mut self, region: Region) {
        let Region { start, end, .. } = region;
        let base = start & !PAGE_MASK;
        let regions = self.regions.entry(base).or_default();
        regions.retain(|region| region.start >= end || region.end <= start);
        regions.push(region);
        // What was translated before is still right, and whoever is in it may stay, but nothing leads there any more. It
        // stays known, for when the code changes.
        for &id in self.pages.get(&base).into_iter().flatten() {
            if let Some(block) = self.blocks[id as usize].as_mut()
                && (start..end).contains(&block.pc)
            {
                block.unlink();
                block.incoming.clear();
                if self.entries.get(&block.pc) == Some(&id) {
                    self.entries.remove(&block.pc);
                }
            }
        }
    }

    /// Copies a block into the arena.
    fn insert(&mut self, block: &Block, pc: u64) -> BlockId {
        let n = block.ops.len();
        assert!(n <= CHUNK_OPS && n == block.side.len(), "block of {n} ops");
        let high = pc >> 32;
        let fits = self.chunks.last().is_some_and(|c| c.guest_high() == high);
        if !fits || self.used + n > CHUNK_OPS {
            self.chunks.push(Chunk::new(high));
            self.used = 0;
        }
        let chunk = &self.chunks[self.chunks.len() - 1];
        // SAFETY: there is room for `n` ops and side entries from `used` on.
        let op = unsafe {
            let op = chunk.ops().add(self.used);
            op.copy_from_nonoverlapping(block.ops.as_ptr(), n);
            chunk
                .side()
                .add(self.used)
                .copy_from_nonoverlapping(block.side.as_ptr(), n);
            op.cast_const()
        };
        self.used += n;
        let id = self.blocks.len() as BlockId;
        self.blocks.push(Some(Translated {
            start: block.start,
            end: block.end,
            pc,
            pins: block.pins,
            // SAFETY: a block with an op before its entry has more ops.
            op: unsafe { op.add(block.entry()) },
            entry: op,
            incoming: Vec::new(),
        }));
        self.entries.insert(pc, id);
        self.pages.entry(pc & !PAGE_MASK).or_default().push(id);
        id
    }

    /// Links the branch `op`, `distance` ops before its stub, to an entry of a block.
    ///
    /// # Safety
    /// `op` must be such a branch op of this cache.
    unsafe fn connect(&mut self, op: *const Op, distance: u16, id: BlockId, entry: *const Op) {
        let Some(block) = self.blocks[id as usize].as_mut() else {
            return;
        };
        let displacement = entry.addr() as i64 - op.addr() as i64;
        // Chunks that are too far apart for a displacement stay connected through the stub.
        if let Ok(displacement) = i32::try_from(displacement) {
            block.incoming.push(Link {
                op,
                stub: i32::from(distance) * size_of::<Op>() as i32,
            });
            // SAFETY: the op is alive.
            unsafe { set_displacement(op, displacement) };
        }
    }

    /// Drops translations that overlap the range; whether there were any.
    fn invalidate(&mut self, start: u64, end: u64) -> bool {
        let (first, last) = (start & !PAGE_MASK, end.saturating_sub(1) & !PAGE_MASK);
        let mut any = false;
        if (last - first) >> 12 > self.pages.len() as u64 {
            let pages: Vec<u64> = self
                .pages
                .keys()
                .copied()
                .filter(|p| (first..=last).contains(p))
                .collect();
            for page in pages {
                any |= self.invalidate_in_page(page, start, end);
            }
        } else {
            let mut page = first;
            while page <= last {
                any |= self.invalidate_in_page(page, start, end);
                page += PAGE_MASK + 1;
            }
        }
        any
    }

    fn invalidate_in_page(&mut self, page: u64, start: u64, end: u64) -> bool {
        let Some(ids) = self.pages.get_mut(&page) else {
            return false;
        };
        let before = ids.len();
        let mut dead = Vec::new();
        let blocks = &self.blocks;
        // The blocks of a loop go together, so that all are always made for the same registers.
        let mut loops = Vec::new();
        if let Some(regions) = self.regions.get_mut(&page) {
            loops.extend(regions.extract_if(.., |r| r.start < end && start < r.end));
        }
        ids.retain(|&id| {
            let live = blocks[id as usize].as_ref().is_some_and(|b| {
                (b.end <= start || b.start >= end) && !loops.iter().any(|r| r.contains(b.pc))
            });
            if !live {
                dead.push(id);
            }
            live
        });
        let any = ids.len() != before;
        if ids.is_empty() {
            self.pages.remove(&page);
        }
        for id in dead {
            if let Some(block) = self.blocks[id as usize].take() {
                block.unlink();
                if self.entries.get(&block.pc) == Some(&id) {
                    self.entries.remove(&block.pc);
                }
            }
        }
        any
    }

    fn unlink_all(&mut self) {
        for block in self.blocks.iter().flatten() {
            block.unlink();
        }
    }

    /// Starts over; the chunks are freed when every virtual CPU has seen `generation`.
    fn retire(&mut self, generation: u64) {
        let chunks = core::mem::take(&mut self.chunks);
        self.used = 0;
        self.blocks.clear();
        self.entries.clear();
        self.pages.clear();
        self.regions.clear();
        self.heat.clear();
        self.retired.push((generation, chunks));
    }

    /// Frees retired chunks that nobody can be in.
    fn reclaim(&mut self) {
        if self.retired.is_empty() {
            return;
        }
        let gates: Vec<_> = self.gates.iter().filter_map(Weak::upgrade).collect();
        self.retired.retain(|(generation, _)| {
            gates.iter().any(|gate| {
                gate.running.load(Ordering::SeqCst)
                    && gate.seen.load(Ordering::SeqCst) < *generation
            })
        });
    }
}

/// The instructions in `[start, end)` of a page.
fn words(page: &PageRef, start: u64, end: u64) -> impl Iterator<Item = u32> {
    (start..end).step_by(4).map(|pc| {
        let mut bytes = [0; 4];
        page.read((pc & PAGE_MASK) as usize, &mut bytes);
        u32::from_le_bytes(bytes)
    })
}

impl Translated {
    /// Where the block can be entered with these registers in handler arguments.
    fn entered_with(&self, pins: Pins) -> Option<*const Op> {
        if self.pins == pins {
            Some(self.op)
        } else if self.entry != self.op {
            Some(self.entry)
        } else {
            None
        }
    }

    /// Makes all branches that lead here go to their stubs again.
    fn unlink(&self) {
        for link in &self.incoming {
            // SAFETY: chunks are freed only after the blocks that live in them are gone.
            unsafe { set_displacement(link.op, link.stub) };
        }
    }
}

/// Sets where a branch op leads.
///
/// # Safety
/// `op` must be a branch op of a live cache.
unsafe fn set_displacement(op: *const Op, displacement: i32) {
    // SAFETY: the caller's promise; readers use atomics too.
    unsafe {
        AtomicI32::from_ptr((&raw const (*op).imm).cast_mut())
            .store(displacement, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_round_trip() {
        for target in [0, 4, 0xffff_ffff_fffc, 0x1234_5678_9abc] {
            for distance in [0, 1, 700, u16::MAX] {
                let stub = Stub { target, distance };
                let (r, imm) = stub.pack();
                assert_eq!(Stub::unpack(r, imm), stub);
            }
        }
    }
}
