//! Where things go, and resource limits.

use super::AddressSpace;
use crate::{MMAP_MIN_ADDR, TASK_SIZE, page_down};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bases of the parts of an address space, chosen at exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The end of the stack.
    pub stack_top: u64,
    /// mmap(2) without an address searches downwards from here.
    pub mmap_top: u64,
    /// Where position-independent executables with an interpreter go.
    pub pie_base: u64,
    /// How far behind the data the heap starts, in bytes.
    pub brk_offset: u64,
}

/// Room for the stack's randomisation and its guard, in bytes.
const STACK_RANDOM_MAX: u64 = 0x3ffff << 12;
const MIN_GAP: u64 = 128 << 20;
/// `vm.mmap_rnd_bits` of arm64.
const MMAP_RANDOM_PAGES: u64 = 1 << 18;

impl Layout {
    /// The layout that Linux computes for the given stack limit (bytes), with the given random bits; 0 turns
    /// randomisation off.
    #[must_use]
    pub fn new(random: u64, stack_limit: u64) -> Self {
        let field = |shift: u32, pages: u64| ((random >> shift) % pages) << 12;
        let guard = super::vma::STACK_GUARD_GAP + STACK_RANDOM_MAX;
        let gap = stack_limit
            .clamp(MIN_GAP, TASK_SIZE / 6 * 5)
            .saturating_add(guard);
        let gap = gap.min(TASK_SIZE / 6 * 5);
        Self {
            stack_top: TASK_SIZE - field(0, 0x3ffff),
            mmap_top: page_down(TASK_SIZE - gap - field(16, MMAP_RANDOM_PAGES)),
            pie_base: page_down(TASK_SIZE / 3 * 2) + field(32, MMAP_RANDOM_PAGES),
            brk_offset: field(46, MMAP_RANDOM_PAGES),
        }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::new(0, 8 << 20)
    }
}

/// The resource limits that concern memory, in bytes; `u64::MAX` is "unlimited".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `RLIMIT_AS`.
    pub address_space: u64,
    /// `RLIMIT_DATA`.
    pub data: u64,
    /// `RLIMIT_STACK`.
    pub stack: u64,
    /// `RLIMIT_MEMLOCK`.
    pub locked: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            address_space: u64::MAX,
            data: u64::MAX,
            stack: 8 << 20,
            locked: 8 << 20,
        }
    }
}

/// Limits that change while others read.
pub(super) struct LimitCells {
    address_space: AtomicU64,
    data: AtomicU64,
    stack: AtomicU64,
    locked: AtomicU64,
}

impl Default for LimitCells {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl LimitCells {
    pub(super) fn new(l: Limits) -> Self {
        Self {
            address_space: AtomicU64::new(l.address_space),
            data: AtomicU64::new(l.data),
            stack: AtomicU64::new(l.stack),
            locked: AtomicU64::new(l.locked),
        }
    }
}

impl AddressSpace {
    /// The layout that placement follows.
    pub fn layout(&self) -> Layout {
        self.inner.read().layout
    }

    /// Sets the layout; for a new, empty address space.
    pub fn set_layout(&self, layout: Layout) {
        debug_assert!(layout.mmap_top > MMAP_MIN_ADDR && layout.mmap_top <= TASK_SIZE);
        self.inner.write().layout = layout;
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        Limits {
            address_space: self.limits.address_space.load(Ordering::Relaxed),
            data: self.limits.data.load(Ordering::Relaxed),
            stack: self.limits.stack.load(Ordering::Relaxed),
            locked: self.limits.locked.load(Ordering::Relaxed),
        }
    }

    /// Sets the limits: at exec, after fork, and by prlimit(2). A process with `CAP_IPC_LOCK` has
    /// `locked = u64::MAX`.
    pub fn set_limits(&self, limits: Limits) {
        self.limits
            .address_space
            .store(limits.address_space, Ordering::Relaxed);
        self.limits.data.store(limits.data, Ordering::Relaxed);
        self.limits.stack.store(limits.stack, Ordering::Relaxed);
        self.limits.locked.store(limits.locked, Ordering::Relaxed);
    }
}
