//! mremap(2).

use super::{AddressSpace, Batch, Inner, Placement, Vma, VmaFlags};
use crate::{PAGE_MASK, PAGE_SIZE, TASK_SIZE, Why, page_up, table::Pte};
use std::ops::Range;
use tuxlet_uapi::{
    errno::{Errno, Result},
    mman::{MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE},
};

impl AddressSpace {
    /// Resizes or moves a mapping and returns its address. `flags` are `MREMAP_*`; `new_addr` counts with
    /// `MREMAP_FIXED` (and is a hint with `MREMAP_DONTUNMAP`).
    pub fn remap(
        &self,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: u32,
        new_addr: u64,
    ) -> Result<u64> {
        let has = |flag| flags & flag != 0;
        if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) != 0
            || has(MREMAP_FIXED) && !has(MREMAP_MAYMOVE)
            || has(MREMAP_DONTUNMAP) && (!has(MREMAP_MAYMOVE) || old_len != new_len)
            || addr & PAGE_MASK != 0
        {
            return Err(Errno::EINVAL);
        }
        let mut old_len = page_up(old_len).ok_or(Errno::EINVAL)?;
        let new_len = page_up(new_len).ok_or(Errno::EINVAL)?;
        if new_len == 0 || new_len > TASK_SIZE {
            return Err(Errno::EINVAL);
        }
        let mut batch = Batch::default();
        let mut inner = self.inner.write();
        if inner.vmas.find(addr).is_none() {
            return Err(Errno::EFAULT);
        }
        let end = addr
            .checked_add(old_len)
            .filter(|&e| e <= TASK_SIZE)
            .ok_or(Errno::EINVAL)?;
        if has(MREMAP_FIXED) || has(MREMAP_DONTUNMAP) {
            let mut placement = Placement::Hint(new_addr);
            if has(MREMAP_FIXED) {
                let target_end = new_addr.checked_add(new_len).filter(|&e| e <= TASK_SIZE);
                let target = new_addr..target_end.ok_or(Errno::EINVAL)?;
                if new_addr & PAGE_MASK != 0 || addr < target.end && target.start < end {
                    return Err(Errno::EINVAL);
                }
                placement = Placement::Fixed(new_addr);
                inner.place(placement, new_len)?;
                self.unmap_in(&mut inner, &target, &mut batch);
                if old_len > new_len {
                    self.unmap_in(&mut inner, &(addr + new_len..end), &mut batch);
                    old_len = new_len;
                }
            }
            let result = self
                .check_resize(&inner, addr, old_len, new_len, has(MREMAP_DONTUNMAP))
                .and_then(|vma| {
                    let to = inner.place(placement, new_len)?;
                    let keep = has(MREMAP_DONTUNMAP);
                    self.move_mapping(&mut inner, &vma, addr, old_len, &to, keep, &mut batch)
                });
            self.commit(&mut batch);
            let to = result?;
            drop(inner);
            return Ok(self.populate_if_locked(to));
        }
        if old_len >= new_len {
            if old_len > new_len {
                self.unmap_in(&mut inner, &(addr + new_len..end), &mut batch);
                self.commit(&mut batch);
            }
            return Ok(addr);
        }
        let vma = self.check_resize(&inner, addr, old_len, new_len, false)?;
        if end == vma.end && old_len != 0 {
            let more = end..addr + new_len;
            if more.end <= TASK_SIZE && inner.vmas.is_free_guarded(&more) {
                let mut tail = vma.clone();
                tail.offset += end - vma.start;
                tail.start = more.start;
                tail.end = more.end;
                inner.vmas.insert(tail);
                drop(inner);
                self.populate_if_locked(more);
                return Ok(addr);
            }
        }
        if !has(MREMAP_MAYMOVE) {
            return Err(Errno::ENOMEM);
        }
        let to = inner.place(Placement::Any, new_len)?;
        let result = self.move_mapping(&mut inner, &vma, addr, old_len, &to, false, &mut batch);
        self.commit(&mut batch);
        let to = result?;
        drop(inner);
        Ok(self.populate_if_locked(to))
    }

    /// The checks for resizing the mapping at `addr`; gives a copy of its VMA.
    fn check_resize(
        &self,
        inner: &Inner,
        addr: u64,
        old_len: u64,
        new_len: u64,
        keep: bool,
    ) -> Result<Vma> {
        let vma = inner.vmas.find(addr).ok_or(Errno::EFAULT)?;
        // Length 0 asks for a second mapping of the same shared pages.
        if old_len == 0 && !vma.is_shared() {
            return Err(Errno::EINVAL);
        }
        if old_len > vma.end - addr {
            return Err(Errno::EFAULT);
        }
        let more = if keep {
            new_len
        } else {
            new_len.saturating_sub(old_len)
        };
        if more == 0 {
            return Ok(vma.clone());
        }
        if vma.flags.contains(VmaFlags::SPECIAL) {
            return Err(Errno::EFAULT);
        }
        let offset = addr - vma.start + vma.offset;
        if offset
            .checked_add(new_len)
            .is_none_or(|end| end > i64::MAX as u64)
        {
            return Err(Errno::EINVAL);
        }
        let pages = more / PAGE_SIZE;
        if vma.flags.contains(VmaFlags::LOCKED) {
            self.check_locked(inner, pages, Errno::EAGAIN)?;
        }
        self.check_growth(inner, pages)?;
        if vma.is_accountable() {
            self.check_commit(pages)?;
        }
        Ok(vma.clone())
    }

    /// Moves `[addr, addr + old_len)`, a part of `vma`, to the free range `to`. With `keep` the old mapping
    /// stays, without its pages.
    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments of mremap, checked"
    )]
    fn move_mapping(
        &self,
        inner: &mut Inner,
        vma: &Vma,
        addr: u64,
        old_len: u64,
        to: &Range<u64>,
        keep: bool,
        batch: &mut Batch,
    ) -> Result<Range<u64>> {
        let from = addr..addr + old_len;
        // Everything that can fail comes first.
        let mut nodes = Ok(());
        inner.table.for_each(from.start, from.end, |at, _| {
            if nodes.is_ok() {
                nodes = inner.table.slot_or_create(at - addr + to.start).map(drop);
            }
        });
        nodes?;
        let mut moved = vma.clone();
        moved.offset += addr - vma.start;
        moved.start = to.start;
        moved.end = to.end;
        let table = &inner.table;
        table.for_each(from.start, from.end, |at, slot| {
            let pte = Pte::load(slot);
            if let Some(new_slot) = table.slot(at - addr + to.start) {
                Pte::ABSENT.store(slot);
                if pte.has(Pte::CODE) {
                    self.notify(at, at + PAGE_SIZE, Why::Unmapped);
                }
                pte.without(Pte::CODE).store(new_slot);
                batch.note(at);
            }
        });
        // Before the old range goes, so that its page table nodes are not taken for empty.
        inner.vmas.insert(moved);
        if keep {
            // The old mapping is not locked any more: there is nothing in it.
            let locked = VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
            inner.vmas.update(&from, |v| v.flags -= locked);
        } else if !from.is_empty() {
            self.unmap_in(inner, &from, batch);
        }
        Ok(to.clone())
    }

    /// Faults in a range if it is locked, and returns its start.
    fn populate_if_locked(&self, range: Range<u64>) -> u64 {
        let locked = self.inner.read().vmas.find(range.start).is_some_and(|v| {
            v.flags.contains(VmaFlags::LOCKED) && !v.flags.contains(VmaFlags::LOCKONFAULT)
        });
        if locked {
            // As Linux, which ignores failures here.
            let _ = self.populate(&range);
        }
        range.start
    }
}
