//! mprotect(2).

use super::{AddressSpace, Batch, Inner, Vma, VmaFlags, user_range};
use crate::{Access, PAGE_SIZE, PageRef, Prot, Why, table::Pte};
use std::{mem::ManuallyDrop, ops::Range};
use tuxlet_uapi::errno::{Errno, Result};

impl AddressSpace {
    /// Changes the protection of a range. With `grows_down` (`PROT_GROWSDOWN`) the range starts at the start of
    /// its mapping, which must be one that grows.
    ///
    /// `EINVAL` for an unaligned address, `ENOMEM` for holes and `EACCES` for what a mapping may not become;
    /// what lies before the offending place is changed all the same, as on Linux.
    pub fn protect(&self, addr: u64, len: u64, prot: Prot, grows_down: bool) -> Result<()> {
        let mut range = user_range(addr, len, Errno::ENOMEM)?;
        if range.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut inner = self.inner.write();
        if grows_down {
            let vma = inner.vmas.overlapping(&range).next().ok_or(Errno::ENOMEM)?;
            if !vma.flags.contains(VmaFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            range.start = vma.start;
        }
        let result = self.protect_in(&mut inner, &range, prot, &mut batch);
        self.commit(&mut batch);
        result
    }

    fn protect_in(
        &self,
        inner: &mut Inner,
        range: &Range<u64>,
        prot: Prot,
        batch: &mut Batch,
    ) -> Result<()> {
        inner.check_split(range)?;
        // How far the change may go, and why no further.
        let mut end = range.start;
        let mut result = Ok(());
        for vma in inner.vmas.overlapping(range) {
            if vma.start > end {
                result = Err(Errno::ENOMEM);
                break;
            }
            if !vma.max_prot.contains(prot) {
                result = Err(Errno::EACCES);
                break;
            }
            let changed = Vma {
                prot,
                ..vma.clone()
            };
            if changed.is_accountable() && !vma.is_accountable() {
                let pages = (vma.end.min(range.end) - end) / PAGE_SIZE;
                if let Err(e) = self.check_commit(pages) {
                    result = Err(e);
                    break;
                }
            }
            end = vma.end.min(range.end);
        }
        if result.is_ok() && end < range.end {
            result = Err(Errno::ENOMEM);
        }
        let range = range.start..end;
        inner.vmas.update(&range, |vma| vma.prot = prot);
        for vma in inner.vmas.overlapping(&range) {
            let part = vma.start.max(range.start)..vma.end.min(range.end);
            self.protect_entries(inner, vma, &part, batch);
        }
        result
    }

    /// Makes present entries follow their VMA.
    fn protect_entries(&self, inner: &Inner, vma: &Vma, range: &Range<u64>, batch: &mut Batch) {
        let read_only = vma.prot.granted_read_only();
        let writable = vma.prot.contains(Prot::WRITE);
        inner.table.for_each(range.start, range.end, |addr, slot| {
            let old = Pte::load(slot);
            // A page may become writable at once if nobody shares it and no first write is to be noticed.
            let keeps_write = writable
                && (old.allows(Access::Write)
                    || !vma.is_shared() && old.has(Pte::ANON) && is_unshared(old));
            let mut new = old.with_prot(if keeps_write {
                vma.prot.granted()
            } else {
                read_only
            });
            if old.has(Pte::CODE) && !vma.prot.contains(Prot::EXEC) {
                self.notify(addr, addr + PAGE_SIZE, Why::Protected);
                new = new.without(Pte::CODE);
            }
            if new != old {
                new.store(slot);
            }
            // Entries that only gained rights need no flush.
            if !new.prot().contains(old.prot()) {
                batch.note(addr);
            }
        });
    }
}

/// Whether only this entry refers to its frame. For the write lock's holder.
fn is_unshared(pte: Pte) -> bool {
    // SAFETY: M2: the count that the entry holds stays while the write lock is held; ManuallyDrop leaves it.
    let frame = ManuallyDrop::new(unsafe { PageRef::from_raw(pte.frame()) });
    frame.is_unique()
}
