//! Address spaces: VMAs over a page table, one file per verb.

mod advise;
mod brk;
mod copy;
mod fault;
mod fork;
mod futex;
mod gaps;
mod info;
mod layout;
mod lock;
mod map;
mod object;
mod protect;
mod remap;
mod sync;
mod vma;

use crate::{
    MemoryBudget, MmNotifier, PAGE_SHIFT, PAGE_SIZE, PageRef, TASK_SIZE, Tlb, VcpuLink, Why,
    table::{PageTable, Pte},
};
use brk::Brk;
use smallvec::SmallVec;
use std::{
    fmt::{self, Debug},
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tuxlet_sync::{Mutex, RwLock};
use tuxlet_uapi::errno::{Errno, Result};
use vma::{Vma, VmaMap};

pub use futex::FutexKey;
pub use info::{Shares, Usage, VmaInfo};
pub use layout::{Layout, Limits};
pub use map::{MapRequest, Placement};
pub use vma::VmaFlags;

/// The most VMAs that an address space may have (`vm.max_map_count`).
const MAX_MAP_COUNT: usize = 65_530;

/// The memory of a process: what Linux calls an mm. Shared by its threads, each with a [`Tlb`].
///
/// All methods take `&self` and lock inside; a caller is outside guest mode (only
/// [`fault`](Self::fault) and [`fetch_page`](Self::fetch_page) see to that themselves).
pub struct AddressSpace {
    me: Weak<Self>,
    id: u64,
    budget: Arc<MemoryBudget>,
    inner: RwLock<Inner>,
    /// The vCPUs that run here.
    links: Mutex<Vec<Arc<VcpuLink>>>,
    notifier: RwLock<Option<Arc<dyn MmNotifier>>>,
    resident: Resident,
    limits: layout::LimitCells,
}

/// What the lock protects.
struct Inner {
    vmas: VmaMap,
    table: PageTable,
    layout: Layout,
    brk: Brk,
    /// Flags that new mappings get: mlockall(2) with `MCL_FUTURE`.
    default_flags: VmaFlags,
}

/// Counts of present pages.
#[derive(Default)]
struct Resident {
    anon: AtomicUsize,
    file: AtomicUsize,
    shmem: AtomicUsize,
    peak: AtomicUsize,
}

impl Resident {
    fn counter(&self, pte: Pte) -> Option<&AtomicUsize> {
        if !pte.is_present() || pte.has(Pte::ZERO) {
            None
        } else if pte.has(Pte::ANON) {
            Some(&self.anon)
        } else if pte.has(Pte::SHMEM) {
            Some(&self.shmem)
        } else {
            Some(&self.file)
        }
    }

    fn add(&self, pte: Pte) {
        if let Some(c) = self.counter(pte) {
            c.fetch_add(1, Ordering::Relaxed);
            self.peak.fetch_max(self.total(), Ordering::Relaxed);
        }
    }

    fn sub(&self, pte: Pte) {
        if let Some(c) = self.counter(pte) {
            c.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn total(&self) -> usize {
        [&self.anon, &self.file, &self.shmem]
            .iter()
            .map(|c| c.load(Ordering::Relaxed))
            .sum()
    }
}

/// What was changed and removed under the write lock. vCPUs must be flushed ([`AddressSpace::commit`]) before
/// it is dropped; it is declared before the lock's guard and so dropped after it, since dropping an object may
/// run a file system's code.
#[derive(Default)]
struct Batch {
    frames: SmallVec<[PageRef; 32]>,
    vmas: Vec<Vma>,
    /// The changed pages lie in here.
    range: Range<u64>,
}

impl Batch {
    fn note(&mut self, addr: u64) {
        if self.range.is_empty() {
            self.range = addr..addr + PAGE_SIZE;
        } else {
            self.range.start = self.range.start.min(addr);
            self.range.end = self.range.end.max(addr + PAGE_SIZE);
        }
    }
}

impl AddressSpace {
    /// An empty address space whose frames count against `budget`; `ENOMEM` if that is spent.
    pub fn new(budget: &Arc<MemoryBudget>) -> Result<Arc<Self>> {
        let inner = Inner {
            vmas: VmaMap::default(),
            table: PageTable::new(budget)?,
            layout: Layout::default(),
            brk: Brk::default(),
            default_flags: VmaFlags::empty(),
        };
        Ok(Self::with(budget, inner, layout::LimitCells::default()))
    }

    fn with(budget: &Arc<MemoryBudget>, inner: Inner, limits: layout::LimitCells) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            budget: Arc::clone(budget),
            inner: RwLock::new(inner),
            links: Mutex::default(),
            notifier: RwLock::default(),
            resident: Resident::default(),
            limits,
        })
    }

    /// A number that no other address space of this host process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The budget that frames count against.
    pub fn budget(&self) -> &Arc<MemoryBudget> {
        &self.budget
    }

    /// Sets who hears about changes of pages with translated code.
    pub fn set_notifier(&self, notifier: Arc<dyn MmNotifier>) {
        *self.notifier.write() = Some(notifier);
    }

    /// Moves a vCPU into this address space (out of the one it was in); its TLB is emptied. The vCPU is
    /// outside guest mode.
    pub fn attach(&self, tlb: &mut Tlb) {
        self.detach_any(tlb);
        if let Some(me) = self.me.upgrade() {
            self.links.lock().push(Arc::clone(&tlb.link));
            tlb.space = Some(me);
        }
    }

    /// Takes a vCPU out of its address space; it must not run before it is attached again.
    pub fn detach(tlb: &mut Tlb) {
        if let Some(space) = tlb.space.clone() {
            space.detach_any(tlb);
        }
    }

    fn detach_any(&self, tlb: &mut Tlb) {
        tlb.leave_guest();
        tlb.flush_all();
        if let Some(old) = tlb.space.take() {
            old.unlink(&tlb.link);
        }
    }

    pub(crate) fn unlink(&self, link: &Arc<VcpuLink>) {
        self.links.lock().retain(|l| !Arc::ptr_eq(l, link));
    }

    /// How many vCPUs are attached.
    pub fn vcpus(&self) -> usize {
        self.links.lock().len()
    }

    /// Waits until every vCPU of this address space is outside guest code or has passed a point where it looks
    /// for requests: membarrier(2).
    pub fn synchronize(&self) {
        self.shoot_down(&(0..0), None);
    }

    /// Makes every linked vCPU but `own` drop its entries of a range, and waits until that is so.
    fn shoot_down(&self, range: &Range<u64>, own: Option<&VcpuLink>) {
        let links = self.links.lock();
        let others = || {
            links
                .iter()
                .filter(|l| own.is_none_or(|own| !std::ptr::eq(Arc::as_ptr(l), own)))
        };
        for link in others() {
            link.post(range.start, range.end);
        }
        for link in others() {
            link.wait_quiet();
        }
    }

    /// Ends a batch, under the lock: after this no vCPU uses what was changed.
    fn commit(&self, batch: &mut Batch) {
        if !batch.range.is_empty() {
            self.shoot_down(&std::mem::take(&mut batch.range), None);
        }
    }

    fn notify(&self, start: u64, end: u64, why: Why) {
        if let Some(notifier) = &*self.notifier.read() {
            notifier.invalidate(start, end, why);
        }
    }

    /// Takes an entry out of the table (the caller holds the write lock).
    fn drop_entry(&self, addr: u64, slot: &AtomicU64, batch: &mut Batch) {
        let pte = Pte::load(slot);
        Pte::ABSENT.store(slot);
        self.resident.sub(pte);
        if pte.has(Pte::CODE) {
            self.notify(addr, addr + PAGE_SIZE, Why::Unmapped);
        }
        batch.note(addr);
        // SAFETY: M2: our callers hold the write lock; the frame is released when the batch is committed.
        batch.frames.extend(unsafe { pte.take_frame() });
    }

    /// Takes the present pages of `[start, end)` that `which` selects out of the table; VMAs stay.
    fn zap(
        &self,
        inner: &mut Inner,
        range: &Range<u64>,
        batch: &mut Batch,
        which: impl Fn(Pte) -> bool,
    ) {
        inner.table.for_each(range.start, range.end, |addr, slot| {
            if which(Pte::load(slot)) {
                self.drop_entry(addr, slot, batch);
            }
        });
    }

    /// Unmaps `[start, end)`: VMAs and pages.
    fn unmap_in(&self, inner: &mut Inner, range: &Range<u64>, batch: &mut Batch) {
        let mut vmas = inner.vmas.take_range(range);
        if vmas.is_empty() {
            return;
        }
        batch.vmas.append(&mut vmas);
        self.zap(inner, range, batch, |_| true);
        let (floor, ceiling) = inner.vmas.hole_around(range);
        inner
            .table
            .free_nodes(range.start, range.end, floor, ceiling);
    }
}

impl Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressSpace({})", self.id)
    }
}

/// A page-aligned range of user addresses from a system call's arguments: the address must be a multiple of the
/// page size (`EINVAL`), the length is rounded up; a range that wraps or leaves user space gives `error`.
fn user_range(addr: u64, len: u64, error: Errno) -> Result<Range<u64>> {
    if !addr.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let len = crate::page_up(len).ok_or(error)?;
    let end = addr
        .checked_add(len)
        .filter(|&e| e <= TASK_SIZE)
        .ok_or(error)?;
    Ok(addr..end)
}

/// The number of pages in a range.
fn page_count(range: &Range<u64>) -> u64 {
    (range.end - range.start) >> PAGE_SHIFT
}

#[cfg(test)]
mod tests;
