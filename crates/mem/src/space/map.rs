//! mmap(2) and munmap(2).

use super::{AddressSpace, Batch, Inner, MAX_MAP_COUNT, Vma, VmaFlags, page_count, user_range};
use crate::{
    Access, MMAP_MIN_ADDR, MemoryObject, PAGE_SHIFT, PAGE_SIZE, Prot, ShmObject, TASK_SIZE,
    page_up, table::pages,
};
use std::{ops::Range, sync::Arc};
use tuxlet_uapi::errno::{Errno, Result};

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Placement {
    /// Anywhere.
    #[default]
    Any,
    /// At this address if that is free, else anywhere.
    Hint(u64),
    /// Exactly there, replacing what is there: `MAP_FIXED`.
    Fixed(u64),
    /// Exactly there, or `EEXIST`: `MAP_FIXED_NOREPLACE`.
    FixedNoReplace(u64),
}

/// The arguments of [`AddressSpace::map`].
#[derive(Clone, Debug)]
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Length in bytes; rounded up to pages.
    pub len: u64,
    /// Protection.
    pub prot: Prot,
    /// The most that mprotect(2) may grant: without `WRITE` for shared mappings of files open for reading
    /// only.
    pub max_prot: Prot,
    /// Properties. `SHARED` without an object makes new shared memory.
    pub flags: VmaFlags,
    /// Fault all pages in: `MAP_POPULATE`.
    pub populate: bool,
    /// What is mapped; `None` for anonymous memory.
    pub object: Option<Arc<dyn MemoryObject>>,
    /// Where in the object, in bytes; a multiple of the page size.
    pub offset: u64,
    /// The name in `/proc/PID/maps`: the path of the file, or such as `[vdso]`. Without it the object is asked.
    pub name: Option<Arc<[u8]>>,
    /// Device and inode number in `/proc/PID/maps`, where the file that was opened has others than the object: in an
    /// overlay. Without it the object is asked.
    pub file_id: Option<(u64, u64)>,
}

impl MapRequest {
    /// Private anonymous memory anywhere.
    #[must_use]
    pub fn anonymous(len: u64, prot: Prot) -> Self {
        Self {
            placement: Placement::Any,
            len,
            prot,
            max_prot: Prot::RWX,
            flags: VmaFlags::empty(),
            populate: false,
            object: None,
            offset: 0,
            name: None,
            file_id: None,
        }
    }

    /// A private mapping of an object.
    #[must_use]
    pub fn private(object: Arc<dyn MemoryObject>, offset: u64, len: u64, prot: Prot) -> Self {
        Self {
            object: Some(object),
            offset,
            ..Self::anonymous(len, prot)
        }
    }

    /// A shared mapping of an object.
    #[must_use]
    pub fn shared(object: Arc<dyn MemoryObject>, offset: u64, len: u64, prot: Prot) -> Self {
        Self {
            flags: VmaFlags::SHARED,
            ..Self::private(object, offset, len, prot)
        }
    }

    /// The same, placed.
    #[must_use]
    pub fn at(self, placement: Placement) -> Self {
        Self { placement, ..self }
    }
}

impl AddressSpace {
    /// Makes a mapping and returns its address: mmap(2).
    ///
    /// `EINVAL` for a zero length or what is not aligned, `ENOMEM` when there is no room or a limit is reached,
    /// `EPERM` below [`MMAP_MIN_ADDR`], `EEXIST` for an occupied [`Placement::FixedNoReplace`], `EOVERFLOW` if
    /// the offset's end overflows.
    pub fn map(&self, request: MapRequest) -> Result<u64> {
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = page_up(request.len)
            .filter(|&l| l <= TASK_SIZE)
            .ok_or(Errno::ENOMEM)?;
        if !request.offset.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if request
            .offset
            .checked_add(len)
            .is_none_or(|end| end > i64::MAX as u64)
        {
            return Err(Errno::EOVERFLOW);
        }
        let mut batch = Batch::default();
        let (range, flags) = {
            let mut inner = self.inner.write();
            let range = inner.place(request.placement, len)?;
            self.check_room(&inner, &range)?;
            let flags = request.flags | inner.default_flags;
            let mut vma = Vma {
                start: range.start,
                end: range.end,
                prot: request.prot,
                max_prot: request.max_prot,
                flags,
                object: request.object,
                offset: request.offset,
                name: request.name,
                file_id: request.file_id,
            };
            if vma.is_accountable() {
                self.check_commit(page_count(&range))?;
            }
            if flags.contains(VmaFlags::LOCKED) {
                self.check_locked(&inner, page_count(&range), Errno::EAGAIN)?;
            }
            match &vma.object {
                Some(object) => {
                    if let Some(mappers) = object.mappers() {
                        mappers.add(&self.me);
                    }
                }
                None if vma.is_shared() => {
                    let shm = ShmObject::anonymous(&self.budget, len);
                    vma.object = Some(shm);
                    vma.offset = 0;
                }
                // Anonymous memory merges whatever its offset.
                None => vma.offset = range.start,
            }
            self.unmap_in(&mut inner, &range, &mut batch);
            inner.vmas.insert(vma);
            // Before the lock goes: nobody may find the new mapping while old entries are in use.
            self.commit(&mut batch);
            (range, flags)
        };
        let locked = flags.contains(VmaFlags::LOCKED) && !flags.contains(VmaFlags::LOCKONFAULT);
        if request.populate || locked {
            // Failures show at the access, as on Linux.
            let _ = self.populate(&range);
        }
        Ok(range.start)
    }

    /// Removes all mappings in a range: munmap(2).
    pub fn unmap(&self, addr: u64, len: u64) -> Result<()> {
        let range = user_range(addr, len, Errno::EINVAL)?;
        if range.is_empty() {
            return Err(Errno::EINVAL);
        }
        let mut batch = Batch::default();
        let mut inner = self.inner.write();
        inner.check_split(&range)?;
        self.unmap_in(&mut inner, &range, &mut batch);
        self.commit(&mut batch);
        Ok(())
    }

    /// Removes everything, as the last step of a process.
    pub fn unmap_all(&self) {
        let mut batch = Batch::default();
        let mut inner = self.inner.write();
        self.unmap_in(&mut inner, &(0..TASK_SIZE), &mut batch);
        self.commit(&mut batch);
    }

    /// Faults in the pages of a range, writable where the mapping is writable and private or shared.
    pub(super) fn populate(&self, range: &Range<u64>) -> core::result::Result<(), crate::Fault> {
        let parts: Vec<(Range<u64>, Prot)> = {
            let inner = self.inner.read();
            inner
                .vmas
                .overlapping(range)
                .map(|v| (v.start.max(range.start)..v.end.min(range.end), v.prot))
                .collect()
        };
        for (part, prot) in parts {
            let access = if prot.contains(Prot::WRITE) {
                Access::Write
            } else if prot.contains(Prot::READ) {
                Access::Read
            } else if prot.contains(Prot::EXEC) {
                Access::Exec
            } else {
                continue;
            };
            for page in pages(part.start, part.end) {
                self.touch(page, access)?;
            }
        }
        Ok(())
    }

    /// `ENOMEM` if so many pages more exceed `RLIMIT_AS` or the number of VMAs.
    pub(super) fn check_room(&self, inner: &Inner, range: &Range<u64>) -> Result<()> {
        let more = page_count(range) - inner.vmas.mapped_pages(range);
        self.check_growth(inner, more)
    }

    /// As [`check_room`](Self::check_room) for a number of pages.
    pub(super) fn check_growth(&self, inner: &Inner, more: u64) -> Result<()> {
        let limit = self.limits().address_space >> PAGE_SHIFT;
        if inner.vmas.len() > MAX_MAP_COUNT || inner.vmas.total_pages() + more > limit {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Linux' heuristic overcommit: only what can never be had at once is refused.
    pub(super) fn check_commit(&self, pages: u64) -> Result<()> {
        if usize::try_from(pages).is_ok_and(|p| p <= self.budget.limit_pages()) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }
}

impl Inner {
    /// Chooses the addresses of a mapping of `len` bytes (whole pages).
    pub(super) fn place(&self, placement: Placement, len: u64) -> Result<Range<u64>> {
        match placement {
            Placement::Fixed(addr) | Placement::FixedNoReplace(addr) => {
                let range = user_range(addr, len, Errno::ENOMEM)?;
                if addr < MMAP_MIN_ADDR {
                    return Err(Errno::EPERM);
                }
                if matches!(placement, Placement::FixedNoReplace(_)) && !self.vmas.is_free(&range) {
                    return Err(Errno::EEXIST);
                }
                Ok(range)
            }
            Placement::Hint(addr) if addr != 0 => {
                let addr = page_up(addr).unwrap_or(0).max(MMAP_MIN_ADDR);
                match addr.checked_add(len).filter(|&end| end <= TASK_SIZE) {
                    Some(end) if self.vmas.is_free_guarded(&(addr..end)) => Ok(addr..end),
                    _ => self.place_anywhere(len),
                }
            }
            _ => self.place_anywhere(len),
        }
    }

    fn place_anywhere(&self, len: u64) -> Result<Range<u64>> {
        let top = self.layout.mmap_top;
        let start = self
            .vmas
            .find_free(len, MMAP_MIN_ADDR, top)
            // As Linux' fallback: above the base, if nothing is free below.
            .or_else(|| self.vmas.find_free(len, top, TASK_SIZE))
            .ok_or(Errno::ENOMEM)?;
        Ok(start..start + len)
    }

    /// `ENOMEM` if cutting a hole would make too many VMAs.
    pub(super) fn check_split(&self, range: &Range<u64>) -> Result<()> {
        let inside = self
            .vmas
            .find(range.start)
            .is_some_and(|v| v.start < range.start && v.end > range.end);
        if inside && self.vmas.len() >= MAX_MAP_COUNT {
            Err(Errno::ENOMEM)
        } else {
            Ok(())
        }
    }
}
