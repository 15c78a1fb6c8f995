//! Page faults.
//!
//! Most faults only add: they run under the read lock, in parallel, and install entries by compare-and-swap.
//! Those that replace a frame (copy on write) or change VMAs (stack growth) take the write lock.

use super::{AddressSpace, Batch, Inner, Vma, VmaFlags, vma::STACK_GUARD_GAP};
use crate::{
    Access, Fault, FaultKind, FrameKind, PAGE_SIZE, PageRef, Prot, TASK_SIZE, Tlb, Why, page_down,
    table::Pte,
};
use std::sync::atomic::AtomicU64;
use tuxlet_uapi::errno::Errno;

/// What could be done under the read lock.
enum Outcome<'a> {
    /// The entry, which is in this slot, allows the access.
    Ready(&'a AtomicU64, Pte),
    /// The write lock is needed.
    Exclusive,
}

fn oom(_: Errno) -> FaultKind {
    FaultKind::Oom
}

impl AddressSpace {
    /// Makes the page at `addr` accessible and enters it into the TLB of the calling vCPU.
    ///
    /// `addr` has no tag (bits 63:56 stripped by the caller). Runs outside guest mode: leaves it for the time
    /// of the call if necessary, so other entries may be gone afterwards, and even the new one if somebody took
    /// the page away meanwhile; the caller looks it up again. For `Exec` nothing is entered.
    pub fn fault(&self, tlb: &mut Tlb, addr: u64, access: Access) -> Result<(), Fault> {
        let in_guest = tlb.in_guest();
        if in_guest {
            tlb.leave_guest();
        }
        let page = page_down(addr);
        let result = self.with_page(addr, access, Some(tlb), |_, pte, tlb| {
            if let Some(tlb) = tlb {
                if pte.allows(Access::Read) {
                    tlb.fill_read(page, pte.frame());
                }
                // M5: no entry of the zero frame allows writing.
                if access == Access::Write {
                    tlb.fill_write(page, pte.frame());
                }
            }
            Some(())
        });
        if in_guest {
            tlb.enter_guest();
        }
        result
    }

    /// The page at `addr`, for translating its code. From now on the notifier hears of writes to the page
    /// before they happen. A translator notes its cache's version before this call, and drops what it made if
    /// the version has changed when it enters the result. Guest mode as for [`fault`](Self::fault).
    pub fn fetch_page(&self, tlb: &mut Tlb, addr: u64) -> Result<PageRef, Fault> {
        let in_guest = tlb.in_guest();
        if in_guest {
            tlb.leave_guest();
        }
        let result = self.with_page(addr, Access::Exec, None, |slot, pte, _| {
            let newly = !pte.has(Pte::CODE);
            if newly && !pte.replace(slot, pte.with(Pte::CODE)) {
                return None;
            }
            // SAFETY: M2: we are called under the read lock.
            Some((unsafe { pte.pin() }, newly && pte.allows(Access::Write)))
        });
        let result = result.map(|(frame, was_writable)| {
            if was_writable {
                let page = page_down(addr);
                self.shoot_down(&(page..page + PAGE_SIZE), None);
            }
            frame
        });
        if in_guest {
            tlb.enter_guest();
        }
        result
    }

    /// Faults a page in, without a TLB.
    pub(super) fn touch(&self, addr: u64, access: Access) -> Result<(), Fault> {
        self.with_page(addr, access, None, |_, _, _| Some(()))
    }

    /// Makes the page at `addr` accessible and calls `f` with its slot and entry under the read lock, until
    /// that gives a result. `own` is the TLB of the calling vCPU, if it is to be filled.
    pub(super) fn with_page<R>(
        &self,
        addr: u64,
        access: Access,
        mut own: Option<&mut Tlb>,
        mut f: impl FnMut(&AtomicU64, Pte, Option<&mut Tlb>) -> Option<R>,
    ) -> Result<R, Fault> {
        let fault = |kind| Fault { addr, access, kind };
        if addr >= TASK_SIZE {
            return Err(fault(FaultKind::MapErr));
        }
        let page = page_down(addr);
        loop {
            {
                let inner = self.inner.read();
                match self.resolve(&inner, page, access).map_err(fault)? {
                    Outcome::Ready(slot, pte) => match f(slot, pte, own.as_deref_mut()) {
                        Some(result) => return Ok(result),
                        None => continue,
                    },
                    Outcome::Exclusive => {}
                }
            }
            self.resolve_exclusive(page, access, own.as_deref_mut())
                .map_err(fault)?;
        }
    }

    /// Finds or makes an entry that allows the access, as far as the read lock permits.
    fn resolve<'a>(
        &self,
        inner: &'a Inner,
        page: u64,
        access: Access,
    ) -> Result<Outcome<'a>, FaultKind> {
        if let Some(slot) = inner.table.slot(page)
            && let Some(pte) = self.allowed(slot, page, access)
        {
            return Ok(Outcome::Ready(slot, pte));
        }
        let Some(vma) = inner.vmas.find(page) else {
            return match inner.vmas.next(page) {
                Some(above) if above.flags.contains(VmaFlags::GROWSDOWN) => Ok(Outcome::Exclusive),
                _ => Err(FaultKind::MapErr),
            };
        };
        if !vma.prot.allows(access) {
            return Err(FaultKind::AccErr);
        }
        let slot = inner.table.slot_or_create(page).map_err(oom)?;
        loop {
            if let Some(pte) = self.allowed(slot, page, access) {
                return Ok(Outcome::Ready(slot, pte));
            }
            let old = Pte::load(slot);
            let new = if !old.is_present() {
                self.first_entry(vma, page, access)?
            } else if access == Access::Write && !vma.is_shared() {
                return Ok(Outcome::Exclusive);
            } else if access == Access::Write {
                if let Some(object) = &vma.object {
                    object.dirty(vma.page_index(page));
                }
                old.with_prot(vma.prot.granted())
            } else {
                // Entries follow their VMA in everything but WRITE, so this is not reached; it would be right.
                old.with_prot(vma.prot.granted_read_only())
            };
            if old.replace(slot, new) {
                if !old.is_present() {
                    self.resident.add(new);
                }
            } else if !old.is_present() {
                // SAFETY: `new` never got into the table, so its count is still ours.
                drop(unsafe { new.take_frame() });
            }
        }
    }

    /// The entry if it allows the access. A page with code becomes writable by this, after the notification.
    fn allowed(&self, slot: &AtomicU64, page: u64, access: Access) -> Option<Pte> {
        loop {
            let pte = Pte::load(slot);
            if !pte.is_present() || !pte.allows(access) {
                return None;
            }
            if access != Access::Write || !pte.has(Pte::CODE) {
                return Some(pte);
            }
            if pte.replace(slot, pte.without(Pte::CODE)) {
                self.notify(page, page + PAGE_SIZE, Why::Written);
            }
        }
    }

    /// An entry for a page that is not present.
    fn first_entry(&self, vma: &Vma, page: u64, access: Access) -> Result<Pte, FaultKind> {
        let read_only = vma.prot.granted_read_only();
        let Some(object) = &vma.object else {
            if access == Access::Write {
                let frame = self.budget.alloc().map_err(oom)?;
                return Ok(Pte::new(frame.into_raw(), vma.prot.granted(), Pte::ANON));
            }
            let zero = PageRef::zero_frame().ok_or(FaultKind::Oom)?;
            return Ok(Pte::new(zero.ptr() as u64, read_only, Pte::ZERO));
        };
        let kind = if object.is_shmem() {
            Pte::OBJECT | Pte::SHMEM
        } else {
            Pte::OBJECT
        };
        let index = vma.page_index(page);
        if vma.is_shared() && access == Access::Write {
            let frame = object.page(index, Access::Write)?;
            object.dirty(index);
            return Ok(Pte::new(frame.into_raw(), vma.prot.granted(), kind));
        }
        let frame = object.page(index, Access::Read)?;
        if access == Access::Write {
            let copy = self.budget.alloc_dirty(FrameKind::Anon).map_err(oom)?;
            copy.copy_from(&frame);
            return Ok(Pte::new(copy.into_raw(), vma.prot.granted(), Pte::ANON));
        }
        Ok(Pte::new(frame.into_raw(), read_only, kind))
    }

    /// Does what needs the write lock; the caller then tries again.
    fn resolve_exclusive(
        &self,
        page: u64,
        access: Access,
        own: Option<&mut Tlb>,
    ) -> Result<(), FaultKind> {
        let mut batch = Batch::default();
        let mut inner = self.inner.write();
        let Some(vma) = inner.vmas.find(page) else {
            return self.grow_stack(&mut inner, page);
        };
        if access == Access::Write && vma.prot.contains(Prot::WRITE) && !vma.is_shared() {
            self.make_own(&inner, page, vma.prot, &mut batch, own)?;
        }
        // Otherwise things changed while the lock was free.
        Ok(())
    }

    /// The frame at `addr` in a private mapping, made the process's own whatever the protection. The frame
    /// stays the one that is mapped until the next fork.
    pub(super) fn own_page(&self, addr: u64) -> Result<PageRef, Fault> {
        let fault = |kind| Fault {
            addr,
            access: Access::Write,
            kind,
        };
        let page = page_down(addr);
        let mut batch = Batch::default();
        let inner = self.inner.write();
        let vma = inner.vmas.find(page).ok_or(fault(FaultKind::MapErr))?;
        if vma.is_shared() {
            return Err(fault(FaultKind::AccErr));
        }
        let slot = inner
            .table
            .slot_or_create(page)
            .map_err(oom)
            .map_err(fault)?;
        if !Pte::load(slot).is_present() {
            let first = self.first_entry(vma, page, Access::Write).map_err(fault)?;
            first.store(slot);
            self.resident.add(first);
        }
        self.make_own(&inner, page, vma.prot, &mut batch, None)
            .map_err(fault)?;
        // SAFETY: M2: present, and we hold the write lock.
        Ok(unsafe { Pte::load(slot).pin() })
    }

    /// Gives the page of a private mapping a frame of its own and the protection `prot`; nothing to do if it is
    /// not present or writable already. The caller holds the write lock.
    fn make_own(
        &self,
        inner: &Inner,
        page: u64,
        prot: Prot,
        batch: &mut Batch,
        own: Option<&mut Tlb>,
    ) -> Result<(), FaultKind> {
        let Some(slot) = inner.table.slot(page) else {
            return Ok(());
        };
        let old = Pte::load(slot);
        if !old.is_present() || old.allows(Access::Write) {
            return Ok(());
        }
        if old.has(Pte::CODE) {
            self.notify(page, page + PAGE_SIZE, Why::Written);
        }
        if old.has(Pte::ANON) {
            // SAFETY: M2: the table's count stays while we hold the lock; ManuallyDrop leaves it there.
            let frame = std::mem::ManuallyDrop::new(unsafe { PageRef::from_raw(old.frame()) });
            if frame.is_unique() {
                // Only this entry refers to the frame, and nobody can copy the reference without the lock.
                old.with_prot(prot.granted()).without(Pte::CODE).store(slot);
                return Ok(());
            }
        }
        let copy = if old.has(Pte::ZERO) {
            self.budget.alloc().map_err(oom)?
        } else {
            let copy = self.budget.alloc_dirty(FrameKind::Anon).map_err(oom)?;
            // SAFETY: M2: the entry is present and we hold the lock.
            copy.copy_from(&unsafe { old.pin() });
            copy
        };
        let new = Pte::new(copy.into_raw(), prot.granted(), Pte::ANON);
        new.store(slot);
        self.resident.sub(old);
        self.resident.add(new);
        // SAFETY: M2: taken out under the write lock; released after the shootdown.
        batch.frames.extend(unsafe { old.take_frame() });
        // Others may still read the old frame; they must not go on doing so after this write.
        let range = page..page + PAGE_SIZE;
        match own {
            Some(tlb) => {
                tlb.flush_page(page);
                self.shoot_down(&range, Some(&tlb.link));
            }
            None => self.shoot_down(&range, None),
        }
        Ok(())
    }

    /// Extends the stack above `page` down to it.
    fn grow_stack(&self, inner: &mut Inner, page: u64) -> Result<(), FaultKind> {
        let Some(stack) = inner.vmas.next(page) else {
            return Err(FaultKind::MapErr);
        };
        if !stack.flags.contains(VmaFlags::GROWSDOWN) {
            return Err(FaultKind::MapErr);
        }
        let (start, end, locked) = (
            stack.start,
            stack.end,
            stack.flags.contains(VmaFlags::LOCKED),
        );
        let gap_ok = inner.vmas.previous(page).is_none_or(|below| {
            // An inaccessible mapping is a guard itself.
            below.prot.is_empty()
                || below.flags.contains(VmaFlags::GROWSDOWN)
                || page - below.end >= STACK_GUARD_GAP
        });
        let more = (start - page) / PAGE_SIZE;
        if !gap_ok
            || page < crate::MMAP_MIN_ADDR
            || end - page > self.limits().stack
            || self.check_growth(inner, more).is_err()
            || locked && self.check_locked(inner, more, Errno::ENOMEM).is_err()
        {
            return Err(FaultKind::MapErr);
        }
        inner.vmas.grow_down(start, page);
        Ok(())
    }
}
