//! The software TLB of a vCPU, and the shootdown protocol (invariant M1).
//!
//! A vCPU thread is *in guest mode* while it may use TLB entries. Whoever takes access away (unmap, mprotect,
//! fork, copy on write) edits the page table under the write lock of the address space, then for each linked
//! vCPU *posts* the range (`pending`, then `kick`), and *waits* until the vCPU has taken the post or is not in
//! guest mode; only then are frames released. Generated code polls `kick` at bounded intervals.
//!
//! Why it is right: all accesses to `in_guest` and `pending` that matter are SeqCst, so they have one order.
//! - *Entering* stores `in_guest = true` and then loads `pending`; *posting* stores `pending` and then loads
//!   `in_guest`. In the one order either the vCPU's load comes after the post, and it flushes before its first
//!   access, or the poster's load comes after the entry, and it waits.
//! - *Acknowledging* swaps `pending` to 0 and flushes before the next guest access. The poster that sees 0
//!   (or sees `in_guest == false`) synchronises with the swap (or the store), so all accesses through old
//!   entries happen before it releases the frame.
//! - Entries are filled only outside guest mode, from a page table entry read under the lock. If that entry
//!   is taken away before the vCPU enters, the post is pending at the entry, and flushes the new entry too.
//! - `kick`: taking clears the flush bit first and then swaps `pending`; posting sets `pending` first and then
//!   the bit. A post that the swap missed sets the bit after it was cleared, so it is seen at the next poll.
//! - Nobody waits for itself or in a circle: whoever posts is a thread outside guest mode, so nobody waits for
//!   it, and a vCPU in guest mode takes posts without any lock.

use crate::{AddressSpace, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};
use std::{
    fmt::{self, Debug},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

/// Entries of each of the two arrays; the index is `(addr >> 12) & (TLB_ENTRIES - 1)`.
pub const TLB_ENTRIES: usize = 1024;

/// Bit in [`VcpuLink::kick`]: a flush is pending; call [`Tlb::acknowledge`].
pub const KICK_FLUSH: u32 = 1;
/// Bit in [`VcpuLink::kick`]: somebody asked the vCPU to leave the guest ([`VcpuLink::request`]).
pub const KICK_REQUEST: u32 = 2;

/// A cached translation of one page.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TlbEntry {
    /// The guest address of the page. An invalid entry has an address of another index, so that no address
    /// looked up here can lie in that page.
    pub page: u64,
    /// The host address of the page.
    pub host: u64,
}

impl TlbEntry {
    const fn invalid(index: usize) -> Self {
        Self {
            page: ((index as u64) ^ 1) << PAGE_SHIFT,
            host: 0,
        }
    }
}

/// A direct-mapped translation cache, owned by one vCPU. `read` and `write` come first, in this order.
///
/// The check for an access of `SIZE` bytes is `o = addr.wrapping_sub(e.page); o <= 4096 - SIZE`, and the host
/// address is `e.host + o`. The whole 64-bit address is compared, so tagged pointers (top-byte-ignore) always
/// miss: the slow path strips bits 63:56 and calls [`AddressSpace::fault`].
#[repr(C)]
pub struct Tlb {
    /// Pages that may be read.
    pub read: [TlbEntry; TLB_ENTRIES],
    /// Pages that may be written; never pages with translated code, nor any whose first write matters.
    pub write: [TlbEntry; TLB_ENTRIES],
    /// The part that other threads see.
    pub link: Arc<VcpuLink>,
    /// The address space that entries belong to: keeps its frames alive while entries may exist.
    pub(crate) space: Option<Arc<AddressSpace>>,
}

impl Tlb {
    /// An empty TLB with a new link.
    #[must_use]
    pub fn new() -> Box<Self> {
        let empty = std::array::from_fn(TlbEntry::invalid);
        Box::new(Self {
            read: empty,
            write: empty,
            link: Arc::default(),
            space: None,
        })
    }

    /// The index of an address in the arrays.
    #[inline]
    #[must_use]
    pub const fn index(addr: u64) -> usize {
        (addr >> PAGE_SHIFT) as usize & (TLB_ENTRIES - 1)
    }

    /// Starts guest mode: from here until [`leave_guest`](Self::leave_guest) entries may be used, and
    /// `link.kick` must be polled at bounded intervals.
    #[inline]
    pub fn enter_guest(&mut self) {
        self.link.in_guest.store(true, Ordering::SeqCst);
        if self.link.pending.load(Ordering::SeqCst) != NOTHING {
            self.acknowledge();
        }
    }

    /// Ends guest mode. Required before anything that may block.
    #[inline]
    pub fn leave_guest(&mut self) {
        self.link.in_guest.store(false, Ordering::SeqCst);
    }

    /// Whether the vCPU is in guest mode.
    #[inline]
    #[must_use]
    pub fn in_guest(&self) -> bool {
        // Only the owner writes it.
        self.link.in_guest.load(Ordering::Relaxed)
    }

    /// Takes a pending flush; to be called in guest mode when [`KICK_FLUSH`] is set.
    #[cold]
    pub fn acknowledge(&mut self) {
        self.link.kick.fetch_and(!KICK_FLUSH, Ordering::SeqCst);
        match self.link.pending.swap(NOTHING, Ordering::SeqCst) {
            NOTHING => {}
            ALL => self.flush_all(),
            range => {
                let (page, count) = unpack(range);
                for i in 0..count {
                    self.flush_page((page + i) << PAGE_SHIFT);
                }
            }
        }
    }

    /// Drops all entries.
    pub fn flush_all(&mut self) {
        for (i, (r, w)) in self.read.iter_mut().zip(&mut self.write).enumerate() {
            *r = TlbEntry::invalid(i);
            *w = TlbEntry::invalid(i);
        }
    }

    /// Drops the entries of the page that holds `addr`.
    pub fn flush_page(&mut self, addr: u64) {
        let i = Self::index(addr);
        let page = addr & !PAGE_MASK;
        if self.read[i].page == page {
            self.read[i] = TlbEntry::invalid(i);
        }
        self.flush_write(page);
    }

    /// Drops the write entry of a page.
    pub(crate) fn flush_write(&mut self, page: u64) {
        let i = Self::index(page);
        if self.write[i].page == page {
            self.write[i] = TlbEntry::invalid(i);
        }
    }

    pub(crate) fn fill_read(&mut self, page: u64, host: u64) {
        self.read[Self::index(page)] = TlbEntry { page, host };
    }

    pub(crate) fn fill_write(&mut self, page: u64, host: u64) {
        self.write[Self::index(page)] = TlbEntry { page, host };
    }

    /// The host address for an access of `size` bytes at `addr`, if an entry allows it.
    ///
    /// The result may be used only in guest mode, and only until the next poll of `link.kick`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, addr: u64, size: u64, write: bool) -> Option<*mut u8> {
        let entries = if write { &self.write } else { &self.read };
        let e = &entries[Self::index(addr)];
        let offset = addr.wrapping_sub(e.page);
        (offset <= PAGE_SIZE - size).then(|| (e.host + offset) as *mut u8)
    }

    /// The address space the vCPU runs in.
    #[must_use]
    pub fn space(&self) -> Option<&Arc<AddressSpace>> {
        self.space.as_ref()
    }
}

impl Debug for Tlb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let valid = |a: &[TlbEntry]| a.iter().filter(|e| e.host != 0).count();
        write!(
            f,
            "Tlb({} read, {} write)",
            valid(&self.read),
            valid(&self.write)
        )
    }
}

impl Drop for Tlb {
    fn drop(&mut self) {
        // A poster holds the list of links while it waits.
        self.leave_guest();
        if let Some(space) = self.space.take() {
            space.unlink(&self.link);
        }
    }
}

const NOTHING: u64 = 0;
const ALL: u64 = 1;
/// Longer ranges flush everything.
const RANGE_MAX: u64 = 64;

/// A range of pages in one word, never 0 or 1: bit 1 set, the count above it, the page number from bit 16 on.
const fn pack(page: u64, count: u64) -> u64 {
    page << 16 | count << 2 | 2
}

const fn unpack(range: u64) -> (u64, u64) {
    (range >> 16, (range >> 2) & 0x3fff)
}

/// What other threads see of a vCPU.
#[derive(Debug, Default)]
#[repr(C)]
pub struct VcpuLink {
    /// Not 0: leave the fast path ([`KICK_FLUSH`], [`KICK_REQUEST`]). Polled by generated code.
    pub kick: AtomicU32,
    in_guest: AtomicBool,
    /// [`NOTHING`], [`ALL`] or a packed range.
    pending: AtomicU64,
}

impl VcpuLink {
    /// Asks the vCPU to leave the guest soon (signals, stops).
    pub fn request(&self) {
        self.kick.fetch_or(KICK_REQUEST, Ordering::SeqCst);
    }

    /// Takes a request; whether there was one.
    pub fn take_request(&self) -> bool {
        self.kick.load(Ordering::Relaxed) & KICK_REQUEST != 0
            && self.kick.fetch_and(!KICK_REQUEST, Ordering::SeqCst) & KICK_REQUEST != 0
    }

    /// Posts a flush of `[start, end)`.
    pub(crate) fn post(&self, start: u64, end: u64) {
        let count = (end - start) >> PAGE_SHIFT;
        let range = if count <= RANGE_MAX {
            pack(start >> PAGE_SHIFT, count)
        } else {
            ALL
        };
        // A second post before the first was taken flushes everything.
        if self
            .pending
            .compare_exchange(NOTHING, range, Ordering::SeqCst, Ordering::SeqCst)
            .is_err_and(|old| old != range)
        {
            // If the owner takes the first post just now, this is one flush too many, not too few.
            self.pending.store(ALL, Ordering::SeqCst);
        }
        self.kick.fetch_or(KICK_FLUSH, Ordering::SeqCst);
    }

    /// Waits until the vCPU has taken what was posted or is outside guest mode.
    pub(crate) fn wait_quiet(&self) {
        let mut spins = 0u32;
        while self.in_guest.load(Ordering::SeqCst) && self.pending.load(Ordering::SeqCst) != NOTHING
        {
            spins += 1;
            if spins < 100 {
                std::hint::spin_loop();
            } else {
                // It is in guest mode without a processor; give it ours.
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_entry_never_hits() {
        let tlb = Tlb::new();
        let edges = [
            0,
            1,
            7,
            4088,
            4095,
            4096,
            8191,
            u64::MAX,
            u64::MAX - 7,
            1 << 48,
        ];
        for addr in edges.into_iter().chain((0..2048).map(|i| i << 12)) {
            for size in [1, 2, 4, 8, 16] {
                assert_eq!(tlb.lookup(addr, size, false), None, "{addr:#x}");
                assert_eq!(tlb.lookup(addr, size, true), None, "{addr:#x}");
            }
        }
    }

    #[test]
    fn an_access_that_leaves_the_page_misses() {
        let mut tlb = Tlb::new();
        tlb.fill_read(0x5000, 0x10_0000);
        assert_eq!(tlb.lookup(0x5ff8, 8, false), Some(0x10_0ff8 as *mut u8));
        assert_eq!(tlb.lookup(0x5ff9, 8, false), None);
        assert_eq!(tlb.lookup(0x4fff, 1, false), None);
        assert_eq!(tlb.lookup(0x0100_0000_0000_5000, 1, false), None);
        assert_eq!(tlb.lookup(0x5000, 1, true), None);
    }

    #[test]
    fn posts_are_taken_at_the_entry() {
        let mut tlb = Tlb::new();
        let fill = |tlb: &mut Tlb| {
            for page in 4..8 {
                tlb.fill_read(page << 12, page << 20);
                tlb.fill_write(page << 12, page << 20);
            }
        };
        let valid = |tlb: &Tlb| -> Vec<u64> {
            (4..8)
                .filter(|p| tlb.lookup(p << 12, 1, false).is_some())
                .collect()
        };
        fill(&mut tlb);
        tlb.link.post(5 << 12, 7 << 12);
        assert_eq!(valid(&tlb), [4, 5, 6, 7]);
        tlb.enter_guest();
        assert_eq!(valid(&tlb), [4, 7]);
        assert_eq!(tlb.link.kick.load(Ordering::Relaxed), 0);
        tlb.link.post(4 << 12, 5 << 12);
        tlb.link.post(7 << 12, 8 << 12);
        tlb.link.request();
        assert_eq!(
            tlb.link.kick.load(Ordering::Relaxed),
            KICK_FLUSH | KICK_REQUEST
        );
        tlb.acknowledge();
        assert!(valid(&tlb).is_empty());
        assert!(tlb.link.take_request());
        assert!(!tlb.link.take_request());
        fill(&mut tlb);
        tlb.leave_guest();
        tlb.link.post(0, 1 << 47);
        tlb.link.wait_quiet();
        tlb.enter_guest();
        assert!(valid(&tlb).is_empty());
    }
}
