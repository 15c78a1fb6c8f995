//! What `/proc/PID` shows of an address space.

use super::{AddressSpace, Vma, VmaFlags};
use crate::{PAGE_SHIFT, PAGE_SIZE, Prot, table::Pte};
use std::{ops::Range, sync::atomic::Ordering};

/// One mapping, for `/proc/PID/maps` and `smaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmaInfo {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// Protection.
    pub prot: Prot,
    /// The most that the protection may become.
    pub max_prot: Prot,
    /// Properties.
    pub flags: VmaFlags,
    /// Offset in the file, in bytes; 0 without one.
    pub offset: u64,
    /// Device and inode number of the file; 0 without one.
    pub id: (u64, u64),
    /// File name, `[heap]`, `[stack]`, another special name, or nothing.
    pub path: Vec<u8>,
    /// Present pages, all kinds.
    pub rss_pages: u64,
    /// Present pages that belong to the process (copied or anonymous).
    pub anon_pages: u64,
    /// What of the present pages only this mapping has, and what others have, too.
    pub shares: Shares,
}

/// The present pages of mappings by who else has them. Pages of a process's own and those that may be written without a
/// fault count as dirty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Pages that other mappings have, too.
    pub shared_clean: u64,
    /// Pages that other mappings have, too.
    pub shared_dirty: u64,
    /// Pages that no other mapping has.
    pub private_clean: u64,
    /// Pages that no other mapping has.
    pub private_dirty: u64,
    /// Bytes, those of a page that several mappings have divided by their number: the proportional set size.
    pub pss: u64,
    /// The dirty part of `pss`.
    pub pss_dirty: u64,
}

impl Shares {
    /// Counts a page that so many mappings have.
    fn add_page(&mut self, mappings: u32, dirty: bool) {
        let part = PAGE_SIZE / u64::from(mappings);
        self.pss += part;
        self.pss_dirty += if dirty { part } else { 0 };
        *match (mappings > 1, dirty) {
            (true, true) => &mut self.shared_dirty,
            (true, false) => &mut self.shared_clean,
            (false, true) => &mut self.private_dirty,
            (false, false) => &mut self.private_clean,
        } += 1;
    }
}

impl std::ops::AddAssign for Shares {
    fn add_assign(&mut self, other: Self) {
        self.shared_clean += other.shared_clean;
        self.shared_dirty += other.shared_dirty;
        self.private_clean += other.private_clean;
        self.private_dirty += other.private_dirty;
        self.pss += other.pss;
        self.pss_dirty += other.pss_dirty;
    }
}

/// Sizes of an address space, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All mappings: `VmSize`.
    pub mapped: u64,
    /// Present pages of anonymous memory: `RssAnon`.
    pub rss_anon: u64,
    /// Present pages of files: `RssFile`.
    pub rss_file: u64,
    /// Present pages of shared memory: `RssShmem`.
    pub rss_shmem: u64,
    /// The most pages that were present: `VmHWM`.
    pub rss_peak: u64,
    /// Locked mappings: `VmLck`.
    pub locked: u64,
    /// Private writable mappings without the stack: `VmData`.
    pub data: u64,
    /// Mappings that grow down: `VmStk`.
    pub stack: u64,
    /// Executable mappings: `VmExe` and `VmLib` together.
    pub exec: u64,
}

impl Usage {
    /// All present pages: `VmRSS`.
    #[must_use]
    pub const fn rss(&self) -> u64 {
        self.rss_anon + self.rss_file + self.rss_shmem
    }
}

impl AddressSpace {
    /// All mappings, in order.
    pub fn vmas(&self) -> Vec<VmaInfo> {
        let inner = self.inner.read();
        inner
            .vmas
            .iter()
            .map(|vma| {
                let mut info = describe(vma);
                inner.table.for_each(vma.start, vma.end, |_, slot| {
                    let pte = Pte::load(slot);
                    if pte.has(Pte::ZERO) {
                        return;
                    }
                    info.rss_pages += 1;
                    info.anon_pages += u64::from(pte.has(Pte::ANON));
                    let dirty = pte.has(Pte::ANON) || pte.prot().contains(Prot::WRITE);
                    // SAFETY: M2: the entry is present, not ZERO, and was read under the lock that is still held.
                    info.shares.add_page(unsafe { pte.mappings() }, dirty);
                });
                info
            })
            .collect()
    }

    /// The mapping at an address.
    pub fn vma_at(&self, addr: u64) -> Option<VmaInfo> {
        self.inner.read().vmas.find(addr).map(describe)
    }

    /// How many mappings there are.
    pub fn vma_count(&self) -> usize {
        self.inner.read().vmas.len()
    }

    /// Whether a range is mapped without holes.
    pub fn is_mapped(&self, range: &Range<u64>) -> bool {
        self.inner.read().vmas.covers(range)
    }

    /// Names private anonymous memory: prctl(2) `PR_SET_VMA_ANON_NAME`. Returns false if part of the range is
    /// something else or not mapped.
    pub fn set_anon_name(&self, range: &Range<u64>, name: Option<&[u8]>) -> bool {
        let name = name.map(|n| [b"[anon:", n, b"]"].concat().into());
        let mut inner = self.inner.write();
        let all_anonymous = inner.vmas.overlapping(range).all(|v| v.object.is_none());
        if !all_anonymous || !inner.vmas.covers(range) {
            return false;
        }
        inner.vmas.update(range, |v| v.name.clone_from(&name));
        true
    }

    /// Sizes.
    pub fn usage(&self) -> Usage {
        let inner = self.inner.read();
        let count = |c: &std::sync::atomic::AtomicUsize| c.load(Ordering::Relaxed) as u64;
        let mut usage = Usage {
            mapped: inner.vmas.total_pages(),
            rss_anon: count(&self.resident.anon),
            rss_file: count(&self.resident.file),
            rss_shmem: count(&self.resident.shmem),
            rss_peak: count(&self.resident.peak),
            locked: inner.vmas.locked_pages(),
            ..Usage::default()
        };
        for vma in inner.vmas.iter() {
            let pages = vma.len() >> PAGE_SHIFT;
            if vma.flags.contains(VmaFlags::GROWSDOWN) {
                usage.stack += pages;
            } else if vma.prot.contains(Prot::WRITE) && !vma.is_shared() {
                usage.data += pages;
            } else if vma.prot.contains(Prot::EXEC) {
                usage.exec += pages;
            }
        }
        usage
    }
}

fn describe(vma: &Vma) -> VmaInfo {
    let (offset, id, path) = match &vma.object {
        Some(object) => {
            let path = vma
                .name
                .as_deref()
                .map_or_else(|| object.path(), <[u8]>::to_vec);
            (vma.offset, vma.file_id.unwrap_or_else(|| object.id()), path)
        }
        None if vma.flags.contains(VmaFlags::STACK) => (0, (0, 0), b"[stack]".to_vec()),
        None => (0, (0, 0), vma.name.as_deref().unwrap_or_default().to_vec()),
    };
    VmaInfo {
        start: vma.start,
        end: vma.end,
        prot: vma.prot,
        max_prot: vma.max_prot,
        flags: vma.flags,
        offset,
        id,
        path,
        rss_pages: 0,
        anon_pages: 0,
        shares: Shares::default(),
    }
}
