//! madvise(2).

use super::{AddressSpace, Batch, Vma, VmaFlags, user_range};
use crate::{Access, FaultKind, Prot, table::pages};
use std::ops::Range;
use tuxlet_uapi::{
    errno::{Errno, Result},
    mman::*,
};

impl AddressSpace {
    /// Applies advice (`MADV_*`) to a range. Holes give `ENOMEM` after the rest was done.
    ///
    /// `MADV_FREE` frees at once, which it may do at any time; `MADV_COLD`, `MADV_PAGEOUT` and
    /// `MADV_WILLNEED` have nothing to do here.
    pub fn advise(&self, addr: u64, len: u64, advice: u32) -> Result<()> {
        let known = matches!(
            advice,
            MADV_NORMAL
                | MADV_RANDOM
                | MADV_SEQUENTIAL
                | MADV_WILLNEED
                | MADV_DONTNEED
                | MADV_FREE
                | MADV_REMOVE
                | MADV_DONTFORK
                | MADV_DOFORK
                | MADV_MERGEABLE
                | MADV_UNMERGEABLE
                | MADV_HUGEPAGE
                | MADV_NOHUGEPAGE
                | MADV_DONTDUMP
                | MADV_DODUMP
                | MADV_WIPEONFORK
                | MADV_KEEPONFORK
                | MADV_COLD
                | MADV_PAGEOUT
                | MADV_POPULATE_READ
                | MADV_POPULATE_WRITE
                | MADV_DONTNEED_LOCKED
        );
        if !known {
            return Err(Errno::EINVAL);
        }
        let range = user_range(addr, len, Errno::EINVAL)?;
        if range.is_empty() {
            return Ok(());
        }
        match advice {
            MADV_POPULATE_READ => self.populate_for(&range, Access::Read),
            MADV_POPULATE_WRITE => self.populate_for(&range, Access::Write),
            MADV_WILLNEED => {
                if self.inner.read().vmas.covers(&range) {
                    Ok(())
                } else {
                    Err(Errno::ENOMEM)
                }
            }
            MADV_REMOVE => self.advise_remove(&range),
            MADV_DONTNEED | MADV_DONTNEED_LOCKED | MADV_FREE | MADV_COLD | MADV_PAGEOUT => {
                self.advise_drop(&range, advice)
            }
            _ => self.advise_flags(&range, advice),
        }
    }

    fn advise_drop(&self, range: &Range<u64>, advice: u32) -> Result<()> {
        let mut batch = Batch::default();
        let mut inner = self.inner.write();
        let mut result = if inner.vmas.covers(range) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        };
        let mut parts = Vec::new();
        for vma in inner.vmas.overlapping(range) {
            let locked = vma.flags.contains(VmaFlags::LOCKED) && advice != MADV_DONTNEED_LOCKED;
            if locked || advice == MADV_FREE && vma.object.is_some() {
                result = Err(Errno::EINVAL);
                break;
            }
            parts.push(vma.start.max(range.start)..vma.end.min(range.end));
        }
        if !matches!(advice, MADV_COLD | MADV_PAGEOUT) {
            for part in parts {
                self.zap(&mut inner, &part, &mut batch, |_| true);
            }
        }
        self.commit(&mut batch);
        result
    }

    fn advise_flags(&self, range: &Range<u64>, advice: u32) -> Result<()> {
        let mut inner = self.inner.write();
        inner.check_split(range)?;
        let mut result = if inner.vmas.covers(range) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        };
        let mut end = range.end;
        for vma in inner.vmas.overlapping(range) {
            let private_anonymous = vma.object.is_none();
            let refused = match advice {
                MADV_WIPEONFORK => !private_anonymous,
                MADV_DOFORK | MADV_DODUMP => vma.flags.contains(VmaFlags::SPECIAL),
                _ => false,
            };
            if refused {
                result = Err(Errno::EINVAL);
                end = vma.start.max(range.start);
                break;
            }
        }
        let (set, clear) = match advice {
            MADV_RANDOM => (VmaFlags::RANDOM, VmaFlags::SEQUENTIAL),
            MADV_SEQUENTIAL => (VmaFlags::SEQUENTIAL, VmaFlags::RANDOM),
            MADV_DONTFORK => (VmaFlags::DONTFORK, VmaFlags::empty()),
            MADV_DOFORK => (VmaFlags::empty(), VmaFlags::DONTFORK),
            MADV_MERGEABLE => (VmaFlags::MERGEABLE, VmaFlags::empty()),
            MADV_UNMERGEABLE => (VmaFlags::empty(), VmaFlags::MERGEABLE),
            MADV_HUGEPAGE => (VmaFlags::HUGEPAGE, VmaFlags::NOHUGEPAGE),
            MADV_NOHUGEPAGE => (VmaFlags::NOHUGEPAGE, VmaFlags::HUGEPAGE),
            MADV_DONTDUMP => (VmaFlags::DONTDUMP, VmaFlags::empty()),
            MADV_DODUMP => (VmaFlags::empty(), VmaFlags::DONTDUMP),
            MADV_WIPEONFORK => (VmaFlags::WIPEONFORK, VmaFlags::empty()),
            MADV_KEEPONFORK => (VmaFlags::empty(), VmaFlags::WIPEONFORK),
            // MADV_NORMAL
            _ => (VmaFlags::empty(), VmaFlags::RANDOM | VmaFlags::SEQUENTIAL),
        };
        inner.vmas.update(&(range.start..end), |vma| {
            vma.flags = (vma.flags - clear) | set
        });
        result
    }

    fn advise_remove(&self, range: &Range<u64>) -> Result<()> {
        let (parts, mut result) = {
            let inner = self.inner.read();
            let mut parts = Vec::new();
            let mut result = if inner.vmas.covers(range) {
                Ok(())
            } else {
                Err(Errno::ENOMEM)
            };
            for vma in inner.vmas.overlapping(range) {
                let part = vma.start.max(range.start)..vma.end.min(range.end);
                match removable(vma) {
                    Ok(object) => parts.push((object, vma.page_range(&part))),
                    Err(e) => {
                        result = Err(e);
                        break;
                    }
                }
            }
            (parts, result)
        };
        // The object unmaps the pages, so our lock must be free.
        for (object, object_pages) in parts {
            if let Err(e) = object.remove(object_pages) {
                result = Err(e);
                break;
            }
        }
        result
    }

    fn populate_for(&self, range: &Range<u64>, access: Access) -> Result<()> {
        for page in pages(range.start, range.end) {
            self.touch(page, access).map_err(|fault| match fault.kind {
                FaultKind::MapErr | FaultKind::Oom => Errno::ENOMEM,
                FaultKind::AccErr => Errno::EINVAL,
                FaultKind::BusAdrErr => Errno::EFAULT,
            })?;
        }
        Ok(())
    }
}

/// The object of a mapping that `MADV_REMOVE` accepts.
fn removable(vma: &Vma) -> Result<std::sync::Arc<dyn crate::MemoryObject>> {
    let object = vma.object.as_ref().ok_or(Errno::EINVAL)?;
    if vma.flags.contains(VmaFlags::LOCKED) {
        return Err(Errno::EINVAL);
    }
    if !vma.is_shared() || !vma.prot.contains(Prot::WRITE) {
        return Err(Errno::EACCES);
    }
    Ok(object.clone())
}
