//! VMAs and the map of them.

use super::gaps::Gaps;
use crate::{MemoryObject, PAGE_SHIFT, PAGE_SIZE, Prot, TASK_SIZE, object::identity};
use bitflags::bitflags;
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// Free space kept below a mapping that grows down (`stack_guard_gap`), in bytes.
pub(super) const STACK_GUARD_GAP: u64 = 256 << PAGE_SHIFT;

bitflags! {
    /// Properties of a mapping beside its protection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct VmaFlags: u32 {
        /// Writes go to the object: `MAP_SHARED`.
        const SHARED = 1;
        /// Grows towards lower addresses on access: `MAP_GROWSDOWN`, and the stack.
        const GROWSDOWN = 2;
        /// Exempt from the overcommit check: `MAP_NORESERVE`.
        const NORESERVE = 4;
        /// Not inherited by fork: `MADV_DONTFORK`.
        const DONTFORK = 8;
        /// Zero in the child of a fork: `MADV_WIPEONFORK`.
        const WIPEONFORK = 0x10;
        /// Locked: mlock(2).
        const LOCKED = 0x20;
        /// With `LOCKED`: pages are locked as they come.
        const LOCKONFAULT = 0x40;
        /// Left out of core dumps: `MADV_DONTDUMP`.
        const DONTDUMP = 0x80;
        /// Expect sequential access: `MADV_SEQUENTIAL`.
        const SEQUENTIAL = 0x100;
        /// Expect random access: `MADV_RANDOM`.
        const RANDOM = 0x200;
        /// `MADV_HUGEPAGE`; recorded only.
        const HUGEPAGE = 0x400;
        /// `MADV_NOHUGEPAGE`; recorded only.
        const NOHUGEPAGE = 0x800;
        /// `MADV_MERGEABLE`; recorded only.
        const MERGEABLE = 0x1000;
        /// The initial stack, `[stack]`.
        const STACK = 0x2000;
        /// Made by the kernel (vDSO): cannot be remapped by size.
        const SPECIAL = 0x4000;
    }
}

/// One mapping: a range of pages with common properties.
#[derive(Clone, Debug)]
pub(super) struct Vma {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) prot: Prot,
    /// What mprotect(2) may grant.
    pub(super) max_prot: Prot,
    pub(super) flags: VmaFlags,
    /// `None` for private anonymous memory.
    pub(super) object: Option<Arc<dyn MemoryObject>>,
    /// Where in the object the mapping starts, in bytes. For anonymous memory the original address.
    pub(super) offset: u64,
    /// The name shown for a mapping without an object.
    pub(super) name: Option<Arc<[u8]>>,
    /// See `MapRequest::file_id`.
    pub(super) file_id: Option<(u64, u64)>,
}

impl Vma {
    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    pub(super) fn len(&self) -> u64 {
        self.end - self.start
    }

    pub(super) fn is_shared(&self) -> bool {
        self.flags.contains(VmaFlags::SHARED)
    }

    /// The object's page behind an address.
    pub(super) fn page_index(&self, addr: u64) -> u64 {
        (addr - self.start + self.offset) >> PAGE_SHIFT
    }

    /// The object's pages behind a part of the mapping.
    pub(super) fn page_range(&self, part: &Range<u64>) -> Range<u64> {
        let start = self.page_index(part.start);
        start..start + ((part.end - part.start) >> PAGE_SHIFT)
    }

    /// The addresses at which pages of the object are mapped here.
    pub(super) fn addresses_of(&self, pages: &Range<u64>) -> Range<u64> {
        let first = self.offset >> PAGE_SHIFT;
        let count = self.len() >> PAGE_SHIFT;
        let from = pages.start.clamp(first, first + count) - first;
        let to = pages.end.clamp(first, first + count) - first;
        self.start + (from << PAGE_SHIFT)..self.start + (to << PAGE_SHIFT)
    }

    pub(super) fn maps(&self, object: usize) -> bool {
        self.object.as_ref().is_some_and(|o| identity(o) == object)
    }

    /// Whether the overcommit check applies: private, writable, not exempt.
    pub(super) fn is_accountable(&self) -> bool {
        self.prot.contains(Prot::WRITE)
            && !self
                .flags
                .intersects(VmaFlags::SHARED | VmaFlags::NORESERVE)
    }

    /// Cuts off and returns the part from `at` on.
    fn split_off(&mut self, at: u64) -> Vma {
        let mut tail = self.clone();
        tail.offset += at - self.start;
        tail.start = at;
        self.end = at;
        tail
    }

    /// Whether `next`, which follows directly, can be one VMA with this.
    fn continues_in(&self, next: &Vma) -> bool {
        self.end == next.start
            && self.prot == next.prot
            && self.max_prot == next.max_prot
            && self.flags == next.flags
            && self.name == next.name
            && self.file_id == next.file_id
            && match (&self.object, &next.object) {
                (None, None) => true,
                (Some(a), Some(b)) => {
                    identity(a) == identity(b) && self.offset + self.len() == next.offset
                }
                _ => false,
            }
    }
}

/// Disjoint VMAs by start address.
#[derive(Clone, Debug)]
pub(super) struct VmaMap {
    map: BTreeMap<u64, Vma>,
    /// What is free between them, without the guard gaps of stacks.
    gaps: Gaps,
    /// Pages in all of them.
    pages: u64,
    locked_pages: u64,
}

impl Default for VmaMap {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
            gaps: Gaps::new(0, TASK_SIZE),
            pages: 0,
            locked_pages: 0,
        }
    }
}

impl VmaMap {
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Pages mapped, present or not.
    pub(super) fn total_pages(&self) -> u64 {
        self.pages
    }

    pub(super) fn locked_pages(&self) -> u64 {
        self.locked_pages
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.map.values()
    }

    /// The VMA that holds `addr`.
    pub(super) fn find(&self, addr: u64) -> Option<&Vma> {
        self.map
            .range(..=addr)
            .next_back()
            .map(|(_, v)| v)
            .filter(|v| addr < v.end)
    }

    /// The first VMA that starts at or above `addr`.
    pub(super) fn next(&self, addr: u64) -> Option<&Vma> {
        self.map.range(addr..).next().map(|(_, v)| v)
    }

    /// The last VMA that starts below `addr`.
    pub(super) fn previous(&self, addr: u64) -> Option<&Vma> {
        self.map.range(..addr).next_back().map(|(_, v)| v)
    }

    /// The VMAs that intersect a range, in order.
    pub(super) fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = &Vma> {
        let from = self.find(range.start).map_or(range.start, |v| v.start);
        self.map.range(from..range.end.max(from)).map(|(_, v)| v)
    }

    pub(super) fn is_free(&self, range: &Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// Whether VMAs cover the whole range.
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        for vma in self.overlapping(range) {
            if vma.start > at {
                return false;
            }
            at = vma.end;
        }
        at >= range.end
    }

    /// Pages of the range that are mapped.
    pub(super) fn mapped_pages(&self, range: &Range<u64>) -> u64 {
        self.overlapping(range)
            .map(|v| (v.end.min(range.end) - v.start.max(range.start)) >> PAGE_SHIFT)
            .sum()
    }

    fn insert_raw(&mut self, vma: Vma) {
        let pages = vma.len() >> PAGE_SHIFT;
        self.pages += pages;
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.locked_pages += pages;
        }
        let (below, above) = self.neighbours(vma.start);
        self.gaps.set(below, vma.guarded_start());
        self.gaps.set(vma.end, above);
        self.map.insert(vma.start, vma);
    }

    fn remove_raw(&mut self, start: u64) -> Option<Vma> {
        let vma = self.map.remove(&start)?;
        let pages = vma.len() >> PAGE_SHIFT;
        self.pages -= pages;
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.locked_pages -= pages;
        }
        let (below, above) = self.neighbours(start);
        self.gaps.clear(vma.end);
        self.gaps.set(below, above);
        Some(vma)
    }

    /// Where the free space around an address that nothing is mapped at starts and ends, without a stack's guard gap.
    fn neighbours(&self, at: u64) -> (u64, u64) {
        (
            self.previous(at).map_or(0, |v| v.end),
            self.next(at).map_or(TASK_SIZE, Vma::guarded_start),
        )
    }

    fn split(&mut self, at: u64) {
        if let Some(start) = self.find(at).map(|v| v.start)
            && start != at
            && let Some(mut head) = self.remove_raw(start)
        {
            let tail = head.split_off(at);
            self.insert_raw(head);
            self.insert_raw(tail);
        }
    }

    /// Takes everything in a range out, splitting VMAs at its ends.
    pub(super) fn take_range(&mut self, range: &Range<u64>) -> Vec<Vma> {
        if range.is_empty() {
            return Vec::new();
        }
        self.split(range.start);
        self.split(range.end);
        let starts: Vec<u64> = self.map.range(range.clone()).map(|(&s, _)| s).collect();
        starts
            .into_iter()
            .filter_map(|s| self.remove_raw(s))
            .collect()
    }

    /// Adds a VMA in free space, merging it with its neighbours.
    pub(super) fn insert(&mut self, mut vma: Vma) {
        debug_assert!(vma.start < vma.end && self.is_free(&vma.range()));
        if let Some(previous) = self.previous(vma.start)
            && previous.continues_in(&vma)
        {
            let start = previous.start;
            if let Some(mut previous) = self.remove_raw(start) {
                previous.end = vma.end;
                vma = previous;
            }
        }
        if let Some(next) = self.next(vma.end)
            && vma.continues_in(next)
        {
            let start = next.start;
            if let Some(next) = self.remove_raw(start) {
                vma.end = next.end;
            }
        }
        self.insert_raw(vma);
    }

    /// Changes every VMA part in a range, then merges what became equal.
    pub(super) fn update(&mut self, range: &Range<u64>, mut change: impl FnMut(&mut Vma)) {
        for mut vma in self.take_range(range) {
            change(&mut vma);
            self.insert(vma);
        }
        // The part behind the range may now continue the last one.
        if let Some(next) = self.map.get(&range.end).map(|v| v.start)
            && let Some(vma) = self.remove_raw(next)
        {
            self.insert(vma);
        }
    }

    /// The bounds of the free space that holds `range` (which is free).
    pub(super) fn hole_around(&self, range: &Range<u64>) -> (u64, u64) {
        (
            self.previous(range.start).map_or(0, |v| v.end),
            self.next(range.end).map_or(TASK_SIZE, |v| v.start),
        )
    }

    /// The highest free range of `len` bytes in `[bottom, top)`, leaving the guard gap below stacks.
    pub(super) fn find_free(&self, len: u64, bottom: u64, top: u64) -> Option<u64> {
        self.gaps.highest(len, bottom, top)
    }

    /// Whether a range is free, with the guard gap below a following stack.
    pub(super) fn is_free_guarded(&self, range: &Range<u64>) -> bool {
        self.is_free(range)
            && self
                .next(range.start)
                .is_none_or(|v| range.end <= v.guarded_start())
    }

    /// Moves the start of the VMA that begins at `start` down to `to` (free space).
    pub(super) fn grow_down(&mut self, start: u64, to: u64) {
        if let Some(mut vma) = self.remove_raw(start) {
            vma.offset = vma.offset.wrapping_sub(start - to);
            vma.start = to;
            self.insert_raw(vma);
        }
    }
}

impl Vma {
    /// Where the space that belongs to the mapping starts.
    fn guarded_start(&self) -> u64 {
        if self.flags.contains(VmaFlags::GROWSDOWN) {
            self.start.saturating_sub(STACK_GUARD_GAP)
        } else {
            self.start
        }
    }
}

const _: () = assert!(STACK_GUARD_GAP.is_multiple_of(PAGE_SIZE));
