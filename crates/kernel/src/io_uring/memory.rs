//! The memory that a ring shares with programs: io_uring_setup(2), "mmap".

use std::sync::Arc;
use tuxlet_mem::{Access, FaultKind, MemoryBudget, MemoryObject, PAGE_SIZE, PageRef};
use tuxlet_uapi::{
    errno::{Errno, Result},
    io_uring::{
        IORING_OFF_CQ_RING, IORING_OFF_SQES, IORING_SETUP_CQE32, IORING_SETUP_NO_SQARRAY,
        IORING_SETUP_SQE128, IoCqringOffsets, IoSqringOffsets, IoUringCqe, IoUringSqe,
    },
};
use zerocopy::{FromBytes, IntoBytes};

/// Where the words of the rings are. Each end is on a cache line of its own.
pub(super) mod at {
    pub(crate) const SQ_HEAD: usize = 0;
    pub(crate) const SQ_TAIL: usize = 64;
    pub(crate) const CQ_HEAD: usize = 128;
    pub(crate) const CQ_TAIL: usize = 192;
    pub(crate) const SQ_MASK: usize = 256;
    pub(crate) const CQ_MASK: usize = 260;
    pub(crate) const SQ_ENTRIES: usize = 264;
    pub(crate) const CQ_ENTRIES: usize = 268;
    pub(crate) const SQ_DROPPED: usize = 272;
    pub(crate) const SQ_FLAGS: usize = 276;
    pub(crate) const CQ_FLAGS: usize = 280;
    pub(crate) const CQ_OVERFLOW: usize = 284;
    pub(crate) const CQES: usize = 320;
}

/// The pages of both rings and of the submissions.
#[derive(Debug)]
pub struct RingMemory {
    rings: Vec<PageRef>,
    submissions: Vec<PageRef>,
    pub(super) sq_entries: u32,
    pub(super) cq_entries: u32,
    /// Where the indices of submissions are; `None` without them.
    array: Option<usize>,
    cqe_size: usize,
    sqe_size: usize,
    id: u64,
}

impl RingMemory {
    /// Memory for rings of so many entries, powers of two. `ENOMEM`.
    pub(super) fn new(
        budget: &Arc<MemoryBudget>,
        sq_entries: u32,
        cq_entries: u32,
        flags: u32,
        id: u64,
    ) -> Result<Self> {
        let cqe_size = size_of::<IoUringCqe>() << u32::from(flags & IORING_SETUP_CQE32 != 0);
        let sqe_size = size_of::<IoUringSqe>() << u32::from(flags & IORING_SETUP_SQE128 != 0);
        let array = at::CQES + cqe_size * cq_entries as usize;
        let has_array = flags & IORING_SETUP_NO_SQARRAY == 0;
        let len = array
            + if has_array {
                4 * sq_entries as usize
            } else {
                0
            };
        let pages = |len: usize| -> Result<Vec<PageRef>> {
            (0..len.div_ceil(PAGE_SIZE as usize))
                .map(|_| budget.alloc().map_err(|_| Errno::ENOMEM))
                .collect()
        };
        let memory = Self {
            rings: pages(len)?,
            submissions: pages(sqe_size * sq_entries as usize)?,
            sq_entries,
            cq_entries,
            array: has_array.then_some(array),
            cqe_size,
            sqe_size,
            id,
        };
        memory.store(at::SQ_MASK, sq_entries - 1);
        memory.store(at::CQ_MASK, cq_entries - 1);
        memory.store(at::SQ_ENTRIES, sq_entries);
        memory.store(at::CQ_ENTRIES, cq_entries);
        Ok(memory)
    }

    pub(super) fn sq_offsets(&self) -> IoSqringOffsets {
        IoSqringOffsets {
            head: at::SQ_HEAD as u32,
            tail: at::SQ_TAIL as u32,
            ring_mask: at::SQ_MASK as u32,
            ring_entries: at::SQ_ENTRIES as u32,
            flags: at::SQ_FLAGS as u32,
            dropped: at::SQ_DROPPED as u32,
            array: self.array.unwrap_or(0) as u32,
            ..IoSqringOffsets::default()
        }
    }

    pub(super) fn cq_offsets() -> IoCqringOffsets {
        IoCqringOffsets {
            head: at::CQ_HEAD as u32,
            tail: at::CQ_TAIL as u32,
            ring_mask: at::CQ_MASK as u32,
            ring_entries: at::CQ_ENTRIES as u32,
            overflow: at::CQ_OVERFLOW as u32,
            cqes: at::CQES as u32,
            flags: at::CQ_FLAGS as u32,
            ..IoCqringOffsets::default()
        }
    }

    /// A word of the rings, with all that was written before the program stored it.
    pub(super) fn load(&self, offset: usize) -> u32 {
        let page = PAGE_SIZE as usize;
        self.rings[offset / page].load_u32(offset % page)
    }

    /// Stores a word, after all that was written before.
    pub(super) fn store(&self, offset: usize, value: u32) {
        let page = PAGE_SIZE as usize;
        self.rings[offset / page].store_u32(offset % page, value);
    }

    /// The submission that a position of the ring means; `None` for an index that is out of range.
    pub(super) fn submission(&self, position: u32) -> Option<IoUringSqe> {
        let slot = position & (self.sq_entries - 1);
        let index = match self.array {
            Some(array) => self.load(array + 4 * slot as usize),
            None => slot,
        };
        if index >= self.sq_entries {
            return None;
        }
        let offset = index as usize * self.sqe_size;
        let mut bytes = [0; size_of::<IoUringSqe>()];
        let page = PAGE_SIZE as usize;
        self.submissions[offset / page].read(offset % page, &mut bytes);
        IoUringSqe::read_from_bytes(&bytes).ok()
    }

    /// Writes a completion to a position of its ring.
    pub(super) fn complete(&self, position: u32, cqe: &IoUringCqe) {
        let slot = position & (self.cq_entries - 1);
        let offset = at::CQES + slot as usize * self.cqe_size;
        let page = PAGE_SIZE as usize;
        // Sizes are powers of two and the first is aligned: none crosses a page.
        self.rings[offset / page].write(offset % page, cqe.as_bytes());
        if self.cqe_size > size_of::<IoUringCqe>() {
            let more = offset + size_of::<IoUringCqe>();
            self.rings[more / page].zero(more % page, size_of::<IoUringCqe>());
        }
    }

    /// The pages behind an offset of mmap(2).
    fn part(&self, offset: u64) -> (&[PageRef], u64) {
        if offset >= IORING_OFF_SQES {
            (&self.submissions, IORING_OFF_SQES)
        } else if offset >= IORING_OFF_CQ_RING {
            (&self.rings, IORING_OFF_CQ_RING)
        } else {
            (&self.rings, 0)
        }
    }

    /// Whether so much can be mapped from an offset. `EINVAL`.
    pub(super) fn may_map(&self, offset: u64, len: u64) -> Result<()> {
        let (pages, start) = self.part(offset);
        if offset != start || len > pages.len() as u64 * PAGE_SIZE {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

impl MemoryObject for RingMemory {
    fn page(&self, index: u64, _want: Access) -> std::result::Result<PageRef, FaultKind> {
        let offset = index.saturating_mul(PAGE_SIZE);
        let (pages, start) = self.part(offset);
        let index = usize::try_from((offset - start) / PAGE_SIZE).unwrap_or(usize::MAX);
        pages.get(index).cloned().ok_or(FaultKind::BusAdrErr)
    }

    fn is_resident(&self, _index: u64) -> bool {
        true
    }

    fn is_shmem(&self) -> bool {
        true
    }

    fn id(&self) -> (u64, u64) {
        (15, self.id)
    }

    fn path(&self) -> Vec<u8> {
        b"anon_inode:[io_uring]".to_vec()
    }
}
