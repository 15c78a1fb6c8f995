//! The memory side of fork(2).

use super::{AddressSpace, Inner, VmaFlags, VmaMap, layout::LimitCells};
use crate::{
    PageRef, Prot, TASK_SIZE,
    table::{Leaf, PageTable, Pte},
};
use std::sync::Arc;
use tuxlet_uapi::errno::Result;

impl AddressSpace {
    /// A copy of this address space: private pages are shared read-only until one side writes, shared mappings
    /// stay shared, `MADV_DONTFORK` and `MADV_WIPEONFORK` are obeyed, locks are not inherited. The cost is that
    /// of the present pages. `ENOMEM` if the budget has no room for the page table.
    ///
    /// The copy has no vCPUs and no notifier.
    pub fn fork(&self) -> Result<Arc<Self>> {
        let mut vmas = VmaMap::default();
        let table = PageTable::new(&self.budget)?;
        let inner = self.inner.write();
        for vma in inner.vmas.iter() {
            if vma.flags.contains(VmaFlags::DONTFORK) {
                continue;
            }
            let mut copy = vma.clone();
            copy.flags -= VmaFlags::LOCKED | VmaFlags::LOCKONFAULT;
            vmas.insert(copy);
        }
        let child_inner = Inner {
            vmas,
            table,
            layout: inner.layout,
            brk: inner.brk,
            default_flags: VmaFlags::empty(),
        };
        let child = Self::with(&self.budget, child_inner, LimitCells::new(self.limits()));
        // Before pages are copied: whoever unmaps an object's pages everywhere now finds the child, or is waiting
        // for our lock and will look again.
        for vma in inner.vmas.iter() {
            if !vma.flags.contains(VmaFlags::DONTFORK)
                && let Some(mappers) = vma.object.as_ref().and_then(|o| o.mappers())
            {
                mappers.add(&child.me);
            }
        }
        let mut took_write = false;
        let copied = {
            let child_inner = child.inner.write();
            self.copy_pages(&inner, &child, &child_inner, &mut took_write)
        };
        if took_write {
            // Also when the copy failed half way.
            self.shoot_down(&(0..TASK_SIZE), None);
        }
        copied?;
        Ok(child)
    }

    /// Copies the present entries, taking write permission from private pages on both sides.
    fn copy_pages(
        &self,
        inner: &Inner,
        child: &Self,
        child_inner: &Inner,
        took_write: &mut bool,
    ) -> Result<()> {
        for vma in inner.vmas.iter() {
            if vma
                .flags
                .intersects(VmaFlags::DONTFORK | VmaFlags::WIPEONFORK)
            {
                continue;
            }
            let shared = vma.is_shared();
            let mut result = Ok(());
            // The child's node that was used last.
            let mut leaf: Option<Leaf<'_>> = None;
            inner.table.for_each(vma.start, vma.end, |addr, slot| {
                if result.is_err() {
                    return;
                }
                let mut pte = Pte::load(slot);
                if !shared && pte.prot().contains(Prot::WRITE) {
                    pte = pte.with_prot(pte.prot() - Prot::WRITE);
                    pte.store(slot);
                    *took_write = true;
                }
                let child_leaf = match leaf {
                    Some(leaf) if leaf.holds(addr) => Ok(leaf),
                    _ => child_inner.table.leaf_or_create(addr),
                };
                match child_leaf {
                    Ok(child_leaf) => {
                        if !pte.has(Pte::ZERO) {
                            // SAFETY: M2: present, and we hold the write lock. The child's entry takes the
                            // count.
                            std::mem::forget::<PageRef>(unsafe { pte.pin() });
                        }
                        let pte = pte.without(Pte::CODE);
                        pte.store(child_leaf.slot(addr));
                        child.resident.add(pte);
                        leaf = Some(child_leaf);
                    }
                    Err(e) => result = Err(e),
                }
            });
            result?;
        }
        Ok(())
    }
}
