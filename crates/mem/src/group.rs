//! Parts of a budget's users that are counted and limited together: the memory controller of cgroups(7).
//!
//! A frame belongs to the group of the thread that took it ([`MemGroup::enter`]) for as long as it lives, whoever uses
//! it later, as in Linux. Threads without a group cost nothing.

use crate::frame::PageRef;
use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum FrameKind {
    /// Memory of a program.
    Anon = 0,
    /// A page of a file, kept in memory.
    File = 1,
    /// Shared memory and files in memory.
    Shmem = 2,
    /// Page tables.
    Tables = 3,
}

impl FrameKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Anon, Self::File, Self::Shmem, Self::Tables];
}

/// A group. Groups form trees: what counts in one counts in all above it.
#[derive(Debug)]
pub struct MemGroup {
    parent: Option<Arc<MemGroup>>,
    used: AtomicUsize,
    kinds: [AtomicUsize; 4],
    limit: AtomicUsize,
    high: AtomicUsize,
    peak: AtomicUsize,
    /// How often it was about to exceed `limit`, and how often it exceeded `high`; the group's own, then with all below.
    hits: [[AtomicU64; 2]; 2],
    told: AtomicBool,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<MemGroup>>> = const { RefCell::new(None) };
    static REFUSED: RefCell<Option<Arc<MemGroup>>> = const { RefCell::new(None) };
    /// The group whose frames alone are to be reclaimed; null for all.
    static RECLAIM_FOR: Cell<*const MemGroup> = const { Cell::new(std::ptr::null()) };
}

impl MemGroup {
    /// A group without limits below `parent`.
    #[must_use]
    pub fn new(parent: Option<&Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            parent: parent.cloned(),
            used: AtomicUsize::new(0),
            kinds: Default::default(),
            limit: AtomicUsize::new(usize::MAX),
            high: AtomicUsize::new(usize::MAX),
            peak: AtomicUsize::new(0),
            hits: Default::default(),
            told: AtomicBool::new(true),
        })
    }

    /// What the calling thread takes from now on belongs to `group`; `None`: to nobody.
    pub fn enter(group: Option<Arc<Self>>) {
        CURRENT.set(group);
        REFUSED.set(None);
    }

    /// The group whose limit refused the calling thread a frame since this was asked last.
    #[must_use]
    pub fn take_refusal() -> Option<Arc<Self>> {
        REFUSED.take()
    }

    pub(crate) fn current() -> Option<Arc<Self>> {
        // A thread that ends has no group any more.
        CURRENT.try_with(|c| c.borrow().clone()).ok().flatten()
    }

    pub(crate) fn note_refusal(self: &Arc<Self>) {
        let _ = REFUSED.try_with(|r| *r.borrow_mut() = Some(Arc::clone(self)));
    }

    /// Pages in use.
    pub fn used_pages(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Pages of a kind in use.
    pub fn used_for(&self, kind: FrameKind) -> usize {
        self.kinds[kind as usize].load(Ordering::Relaxed)
    }

    /// The most pages that were in use.
    pub fn peak_pages(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// So many pages are never exceeded.
    pub fn limit_pages(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets the limit; what is in use stays.
    pub fn set_limit_pages(&self, pages: usize) {
        self.limit.store(pages, Ordering::Relaxed);
    }

    /// From so many pages on, what is only a cache is dropped at every allocation.
    pub fn high_pages(&self) -> usize {
        self.high.load(Ordering::Relaxed)
    }

    /// Sets that number.
    pub fn set_high_pages(&self, pages: usize) {
        self.high.store(pages, Ordering::Relaxed);
    }

    /// How often the group was about to exceed its limit, and how often it exceeded `high`; or, with `below`, it and the
    /// groups below it.
    pub fn hits(&self, below: bool) -> (u64, u64) {
        let [limit, high] = &self.hits[usize::from(below)];
        (limit.load(Ordering::Relaxed), high.load(Ordering::Relaxed))
    }

    /// Whether [`hits`](Self::hits) has changed since this was asked last.
    #[must_use]
    pub fn take_news(&self) -> bool {
        !self.told.load(Ordering::Relaxed) && !self.told.swap(true, Ordering::Relaxed)
    }

    /// The group above.
    #[must_use]
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    fn up(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |g| g.parent.as_ref())
    }

    /// Whether it is `other` or below it.
    #[must_use]
    pub fn is_within(self: &Arc<Self>, other: &Self) -> bool {
        self.up().any(|g| std::ptr::eq(&raw const **g, other))
    }

    /// Counts a frame, or gives the group whose limit is reached.
    pub(crate) fn charge(self: &Arc<Self>, kind: FrameKind) -> Result<(), Arc<Self>> {
        for group in self.up() {
            let used = group.used.fetch_add(1, Ordering::Relaxed) + 1;
            if used > group.limit.load(Ordering::Relaxed) {
                for counted in self.up() {
                    counted.used.fetch_sub(1, Ordering::Relaxed);
                    if Arc::ptr_eq(counted, group) {
                        break;
                    }
                }
                return Err(Arc::clone(group));
            }
            group.peak.fetch_max(used, Ordering::Relaxed);
        }
        for group in self.up() {
            group.kinds[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn uncharge(self: &Arc<Self>, kind: FrameKind) {
        for group in self.up() {
            group.used.fetch_sub(1, Ordering::Relaxed);
            group.kinds[kind as usize].fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn note_hit(self: &Arc<Self>, which: usize) {
        self.hits[0][which].fetch_add(1, Ordering::Relaxed);
        for group in self.up() {
            group.hits[1][which].fetch_add(1, Ordering::Relaxed);
            group.told.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_limit_hit(self: &Arc<Self>) {
        self.note_hit(0);
    }

    /// A group that uses more than its `high`, from this one up.
    pub(crate) fn above_high(self: &Arc<Self>) -> Option<&Arc<Self>> {
        self.up().find(|g| g.used_pages() > g.high_pages())
    }

    pub(crate) fn note_high_hit(self: &Arc<Self>) {
        self.note_hit(1);
    }

    /// Calls the reclaimers with only this group's frames to be given up.
    pub(crate) fn reclaiming<T>(&self, reclaim: impl FnOnce() -> T) -> T {
        let before = RECLAIM_FOR.replace(std::ptr::from_ref(self));
        let result = reclaim();
        RECLAIM_FOR.set(before);
        result
    }
}

/// Whether a frame is one of those that are to be reclaimed.
pub(crate) fn is_wanted(frame: &PageRef) -> bool {
    let only = RECLAIM_FOR.get();
    only.is_null()
        || frame
            .group()
            .is_some_and(|g| g.up().any(|g| std::ptr::eq(Arc::as_ptr(g), only)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBudget;

    /// Each test has a thread of its own, so what it enters does not touch the others.
    fn two_levels() -> (Arc<MemGroup>, Arc<MemGroup>) {
        let outer = MemGroup::new(None);
        let inner = MemGroup::new(Some(&outer));
        MemGroup::enter(Some(Arc::clone(&inner)));
        (outer, inner)
    }

    #[test]
    fn frames_count_where_they_were_taken_until_they_are_freed() {
        let budget = MemoryBudget::unlimited();
        let (outer, inner) = two_levels();
        let frames: Vec<_> = (0..5).map(|_| budget.alloc().unwrap()).collect();
        let table = budget.alloc_for(FrameKind::Tables).unwrap();
        assert_eq!((outer.used_pages(), inner.used_pages()), (6, 6));
        assert_eq!(inner.used_for(FrameKind::Tables), 1);
        MemGroup::enter(None);
        let copy = frames[0].clone();
        drop(frames);
        assert_eq!((outer.used_pages(), inner.used_pages()), (2, 2));
        drop((copy, table));
        assert_eq!((outer.used_pages(), inner.peak_pages()), (0, 6));
        assert_eq!(budget.used_pages(), 0);
    }

    #[test]
    fn the_limit_of_any_group_above_refuses() {
        let budget = MemoryBudget::unlimited();
        let (outer, inner) = two_levels();
        outer.set_limit_pages(2);
        let kept = [budget.alloc().unwrap(), budget.alloc().unwrap()];
        assert!(budget.alloc().is_err());
        let refused = MemGroup::take_refusal().unwrap();
        assert!(Arc::ptr_eq(&refused, &outer) && MemGroup::take_refusal().is_none());
        assert_eq!((inner.used_pages(), budget.used_pages()), (2, 2));
        assert!(outer.take_news() && !outer.take_news());
        assert_eq!((outer.hits(false).0, inner.hits(true).0), (1, 0));
        drop(kept);
        assert!(budget.alloc().is_ok());
    }
}
