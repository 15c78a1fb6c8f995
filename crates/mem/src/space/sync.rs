//! msync(2) and mincore(2).

use super::{AddressSpace, VmaFlags, user_range};
use crate::PAGE_SIZE;
use tuxlet_uapi::{
    errno::{Errno, Result},
    mman::{MS_ASYNC, MS_INVALIDATE, MS_SYNC},
};

impl AddressSpace {
    /// Writes dirty pages of shared mappings back. `flags` are `MS_*`. Holes give `ENOMEM` after the rest was
    /// done, locked pages with `MS_INVALIDATE` give `EBUSY`.
    pub fn msync(&self, addr: u64, len: u64, flags: u32) -> Result<()> {
        if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0
            || !addr.is_multiple_of(PAGE_SIZE)
            || flags & MS_ASYNC != 0 && flags & MS_SYNC != 0
        {
            return Err(Errno::EINVAL);
        }
        let range = user_range(addr, len, Errno::ENOMEM)?;
        let (parts, result) = {
            let inner = self.inner.read();
            let mut parts = Vec::new();
            for vma in inner.vmas.overlapping(&range) {
                if flags & MS_INVALIDATE != 0 && vma.flags.contains(VmaFlags::LOCKED) {
                    return Err(Errno::EBUSY);
                }
                if let Some(object) = vma.object.as_ref().filter(|_| vma.is_shared()) {
                    let part = vma.start.max(range.start)..vma.end.min(range.end);
                    parts.push((object.clone(), vma.page_range(&part)));
                }
            }
            let covered = inner.vmas.covers(&range);
            (parts, if covered { Ok(()) } else { Err(Errno::ENOMEM) })
        };
        // Writing back write-protects the mappings, so our lock must be free.
        for (object, object_pages) in parts {
            if flags & MS_SYNC != 0 {
                object.sync(object_pages)?;
            } else if flags & MS_ASYNC != 0 {
                object.write_back(object_pages)?;
            }
        }
        result
    }

    /// One byte per page of a range: 1 if an access needs no I/O. `ENOMEM` for holes.
    pub fn mincore(&self, addr: u64, len: u64) -> Result<Vec<u8>> {
        let range = user_range(addr, len, Errno::ENOMEM)?;
        let inner = self.inner.read();
        if !inner.vmas.covers(&range) {
            return Err(Errno::ENOMEM);
        }
        let mut out = Vec::new();
        for vma in inner.vmas.overlapping(&range) {
            let part = vma.start.max(range.start)..vma.end.min(range.end);
            for page in crate::table::pages(part.start, part.end) {
                let cached = || {
                    vma.object
                        .as_ref()
                        .is_some_and(|o| o.is_resident(vma.page_index(page)))
                };
                out.push(u8::from(inner.table.get(page).is_present() || cached()));
            }
        }
        Ok(out)
    }
}
