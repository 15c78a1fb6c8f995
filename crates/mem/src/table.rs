//! The page table: a radix tree of four levels of 512 entries, its nodes being frames of the budget.
//!
//! Entries are atomics. Nodes and entries are added, and flags of entries changed, by compare-and-swap under
//! the read lock of the address space; they are removed only under its write lock (M2), which is why the
//! functions that remove take `&mut self` or say so.

use crate::{Access, FrameKind, MemoryBudget, PAGE_MASK, PAGE_SIZE, PageRef, Prot};
use std::{
    mem::ManuallyDrop,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tuxlet_uapi::errno::Result;

/// A page table entry: the host address of a frame and flags; 0 is "not present".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pte(pub(crate) u64);

impl Pte {
    pub(crate) const ABSENT: Self = Self(0);
    /// The low three bits are the accesses allowed now, as `Prot`; a writable private mapping's page may lack
    /// `WRITE` until it is copied.
    const PROT: u64 = 7;
    /// The frame belongs to this mapping (perhaps shared with other address spaces after a fork).
    pub(crate) const ANON: u64 = 8;
    /// The frame belongs to the mapped object.
    pub(crate) const OBJECT: u64 = 16;
    /// The zero frame; no count of it is held.
    pub(crate) const ZERO: u64 = 32;
    /// Code was fetched from the page: writes go through the notifier.
    pub(crate) const CODE: u64 = 64;
    /// With `OBJECT`: counts as shared memory.
    pub(crate) const SHMEM: u64 = 128;

    pub(crate) const fn new(frame: u64, prot: Prot, flags: u64) -> Self {
        Self(frame | prot.bits() as u64 | flags)
    }
    pub(crate) const fn is_present(self) -> bool {
        self.0 != 0
    }
    /// The host address of the frame.
    pub(crate) const fn frame(self) -> u64 {
        self.0 & !PAGE_MASK
    }
    pub(crate) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }
    pub(crate) const fn prot(self) -> Prot {
        Prot::from_bits_truncate((self.0 & Self::PROT) as u32)
    }
    pub(crate) const fn allows(self, access: Access) -> bool {
        self.prot().allows(access)
    }
    pub(crate) const fn with_prot(self, prot: Prot) -> Self {
        Self(self.0 & !Self::PROT | prot.bits() as u64)
    }
    pub(crate) const fn with(self, flag: u64) -> Self {
        Self(self.0 | flag)
    }
    pub(crate) const fn without(self, flag: u64) -> Self {
        Self(self.0 & !flag)
    }
    pub(crate) fn load(slot: &AtomicU64) -> Self {
        // Acquire: the frame's contents, written before the entry was set, are visible.
        Self(slot.load(Ordering::Acquire))
    }
    pub(crate) fn store(self, slot: &AtomicU64) {
        slot.store(self.0, Ordering::Release);
    }
    /// Replaces `self` in the slot; false if somebody else changed it.
    pub(crate) fn replace(self, slot: &AtomicU64, new: Self) -> bool {
        slot.compare_exchange(self.0, new.0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
    /// Takes over the count that the entry held. `None` for the zero frame.
    ///
    /// # Safety
    /// The entry has been taken out of the table under the write lock (M2).
    pub(crate) unsafe fn take_frame(self) -> Option<PageRef> {
        // SAFETY: a present entry other than ZERO holds one count, made by `PageRef::into_raw`.
        (self.is_present() && !self.has(Self::ZERO))
            .then(|| unsafe { PageRef::from_raw(self.frame()) })
    }
    /// How many tables have the frame of an entry, this one included. What is looked at or copied just now counts, too.
    ///
    /// # Safety
    /// The entry is present and not `ZERO`, and the caller has held a lock of the address space since it was read (M2).
    pub(crate) unsafe fn mappings(self) -> u32 {
        // SAFETY: the table's count stays while the lock is held; ManuallyDrop leaves it.
        let frame = ManuallyDrop::new(unsafe { PageRef::from_raw(self.frame()) });
        // The object that the frame belongs to holds a reference, too.
        let object = u32::from(self.has(Self::OBJECT));
        frame.references().saturating_sub(object).max(1)
    }
    /// A further reference to the frame of an entry.
    ///
    /// # Safety
    /// The entry is present, and the caller has held a lock of the address space since it was read (M2).
    pub(crate) unsafe fn pin(self) -> PageRef {
        // SAFETY: the table's count (for ZERO: the static one) stays while the lock is held.
        unsafe { PageRef::clone_raw(self.frame()) }
    }
}

const FANOUT: usize = 512;
type Node = [AtomicU64; FANOUT];
/// Address bits below an entry of each level.
const SHIFT: [u32; 4] = [39, 30, 21, 12];
const LEAF: usize = 3;

#[derive(Debug)]
pub(crate) struct PageTable {
    root: PageRef,
    budget: Arc<MemoryBudget>,
}

const fn index(addr: u64, level: usize) -> usize {
    (addr >> SHIFT[level]) as usize & (FANOUT - 1)
}

/// The node at a host address.
///
/// # Safety
/// `raw` is a node of a table that stays as long as the result is used (M2).
unsafe fn node<'a>(raw: u64) -> &'a Node {
    // SAFETY: a node is a frame: 4096 aligned bytes, zeroed at first and accessed only as atomics.
    unsafe { &*(raw as *const Node) }
}

/// A node of the last level.
#[derive(Clone, Copy)]
pub(crate) struct Leaf<'a> {
    /// The address bits above those that the node resolves.
    number: u64,
    node: &'a Node,
}

impl<'a> Leaf<'a> {
    /// Whether the slot of a page is in this node.
    pub(crate) fn holds(&self, addr: u64) -> bool {
        addr >> SHIFT[LEAF - 1] == self.number
    }

    /// The slot of a page that the node holds.
    pub(crate) fn slot(&self, addr: u64) -> &'a AtomicU64 {
        debug_assert!(self.holds(addr));
        &self.node[index(addr, LEAF)]
    }
}

impl PageTable {
    pub(crate) fn new(budget: &Arc<MemoryBudget>) -> Result<Self> {
        Ok(Self {
            root: budget.alloc_for(FrameKind::Tables)?,
            budget: Arc::clone(budget),
        })
    }

    fn root(&self) -> u64 {
        self.root.ptr() as u64
    }

    /// The slot of a page, if its node exists.
    pub(crate) fn slot(&self, addr: u64) -> Option<&AtomicU64> {
        let mut raw = self.root();
        for level in 0..LEAF {
            // SAFETY: the root, or a pointer in a node: nodes stay while `self` is borrowed.
            raw = unsafe { node(raw) }[index(addr, level)].load(Ordering::Acquire);
            if raw == 0 {
                return None;
            }
        }
        // SAFETY: as above.
        Some(&unsafe { node(raw) }[index(addr, LEAF)])
    }

    /// The entry of a page.
    pub(crate) fn get(&self, addr: u64) -> Pte {
        self.slot(addr).map_or(Pte::ABSENT, Pte::load)
    }

    /// The slot of a page; nodes are made as needed.
    pub(crate) fn slot_or_create(&self, addr: u64) -> Result<&AtomicU64> {
        Ok(self.leaf_or_create(addr)?.slot(addr))
    }

    /// The node with the slot of a page; nodes are made as needed.
    pub(crate) fn leaf_or_create(&self, addr: u64) -> Result<Leaf<'_>> {
        let mut raw = self.root();
        for level in 0..LEAF {
            // SAFETY: as in `slot`.
            let entry = &unsafe { node(raw) }[index(addr, level)];
            raw = entry.load(Ordering::Acquire);
            if raw == 0 {
                let new = self.budget.alloc_for(FrameKind::Tables)?;
                let address = new.ptr() as u64;
                match entry.compare_exchange(0, address, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => raw = new.into_raw(),
                    // Another thread was first; ours goes back.
                    Err(theirs) => raw = theirs,
                }
            }
        }
        Ok(Leaf {
            number: addr >> SHIFT[LEAF - 1],
            // SAFETY: as in `slot`.
            node: unsafe { node(raw) },
        })
    }

    /// Calls `f` for every present entry in `[start, end)`, in order. Absent subtrees cost nothing.
    pub(crate) fn for_each(&self, start: u64, end: u64, mut f: impl FnMut(u64, &AtomicU64)) {
        if start < end {
            // SAFETY: the root is a node of level 0.
            unsafe { visit(self.root(), 0, 0, start, end - 1, &mut f) };
        }
    }

    /// Frees the nodes that a removal of `[start, end)` left empty: those whose span lies in `[floor, ceiling)`,
    /// a range without VMAs (and so without present entries).
    pub(crate) fn free_nodes(&mut self, start: u64, end: u64, floor: u64, ceiling: u64) {
        if start < end {
            // SAFETY: exclusive access; the root is a node of level 0.
            unsafe { prune(self.root(), 0, 0, start, end - 1, floor, ceiling) };
        }
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        self.for_each(0, 1 << 48, |_, slot| {
            // SAFETY: exclusive access: every count that an entry holds is taken over once.
            drop(unsafe { Pte::load(slot).take_frame() })
        });
        self.free_nodes(0, 1 << 48, 0, 1 << 48);
    }
}

/// # Safety
/// `raw` is a node of `level` at `base`, and stays during the call. `last` is inclusive.
unsafe fn visit(
    raw: u64,
    level: usize,
    base: u64,
    start: u64,
    last: u64,
    f: &mut impl FnMut(u64, &AtomicU64),
) {
    // SAFETY: the caller's promise.
    let entries = unsafe { node(raw) };
    let span = 1u64 << SHIFT[level];
    let from = index(start.max(base), level);
    let to = index(last.min(base + (span * FANOUT as u64 - 1)), level);
    for (i, slot) in entries.iter().enumerate().take(to + 1).skip(from) {
        let value = slot.load(Ordering::Acquire);
        if value == 0 {
            continue;
        }
        let at = base + span * i as u64;
        if level == LEAF {
            f(at, slot);
        } else {
            // SAFETY: an entry of an inner level is a node of the next.
            unsafe { visit(value, level + 1, at, start, last, f) };
        }
    }
}

/// # Safety
/// As [`visit`], with exclusive access to the table.
unsafe fn prune(
    raw: u64,
    level: usize,
    base: u64,
    start: u64,
    last: u64,
    floor: u64,
    ceiling: u64,
) {
    if level == LEAF {
        return;
    }
    // SAFETY: the caller's promise.
    let entries = unsafe { node(raw) };
    let span = 1u64 << SHIFT[level];
    let from = index(start.max(base), level);
    let to = index(last.min(base + (span * FANOUT as u64 - 1)), level);
    for (i, slot) in entries.iter().enumerate().take(to + 1).skip(from) {
        let value = slot.load(Ordering::Acquire);
        if value == 0 {
            continue;
        }
        let at = base + span * i as u64;
        let whole = at >= floor && at + span <= ceiling;
        let (start, last) = if whole {
            (at, at + (span - 1))
        } else {
            (start, last)
        };
        // SAFETY: an entry of an inner level is a node of the next.
        unsafe { prune(value, level + 1, at, start, last, floor, ceiling) };
        if whole {
            slot.store(0, Ordering::Release);
            // SAFETY: the node's count, given by `slot_or_create`, is taken over; nothing refers to it now.
            drop(unsafe { PageRef::from_raw(value) });
        }
    }
}

/// The pages of `[start, end)`.
pub(crate) fn pages(start: u64, end: u64) -> impl Iterator<Item = u64> {
    (start..end).step_by(PAGE_SIZE as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(t: &PageTable, budget: &Arc<MemoryBudget>, addr: u64) {
        let frame = budget.alloc().unwrap().into_raw();
        let slot = t.slot_or_create(addr).unwrap();
        assert!(Pte::ABSENT.replace(slot, Pte::new(frame, Prot::RW, Pte::ANON)));
    }

    #[test]
    fn visits_present_entries_in_order_and_frees_everything() {
        let budget = MemoryBudget::unlimited();
        let mut t = PageTable::new(&budget).unwrap();
        let addrs = [
            0x1000,
            0x1f_f000,
            0x20_0000,
            0x4000_0000,
            0x80_0000_0000,
            0xffff_ffff_f000,
        ];
        for a in addrs {
            install(&t, &budget, a);
        }
        let seen = |t: &PageTable, s, e| {
            let mut v = Vec::new();
            t.for_each(s, e, |a, _| v.push(a));
            v
        };
        assert_eq!(seen(&t, 0, 1 << 48), addrs);
        assert_eq!(seen(&t, 0x1000, 0x2000), [0x1000]);
        assert_eq!(seen(&t, 0x1f_f000, 0x4000_0000), [0x1f_f000, 0x20_0000]);
        assert_eq!(seen(&t, 0x4000_1000, 0xffff_ffff_f000), [0x80_0000_0000]);
        let before = budget.used_pages();
        // Remove the page at 512 GiB; nothing else is mapped between 1 GiB + 4 KiB and the top page.
        // SAFETY: the test has the only handle of the table.
        drop(unsafe {
            let slot = t.slot(0x80_0000_0000).unwrap();
            let pte = Pte::load(slot);
            Pte::ABSENT.store(slot);
            pte.take_frame()
        });
        t.free_nodes(
            0x80_0000_0000,
            0x80_0000_1000,
            0x4000_1000,
            0xffff_ffff_f000,
        );
        // The frame and its three nodes.
        assert_eq!(budget.used_pages(), before - 4);
        assert_eq!(t.get(0x4000_0000).prot(), Prot::RW);
        drop(t);
        assert_eq!(budget.used_pages(), 0);
    }
}
