//! What objects ask of the address spaces that map them.

use super::{AddressSpace, Batch};
use crate::{Prot, table::Pte};
use std::ops::Range;

impl AddressSpace {
    /// Takes the pages of an object out of the table; copies in private mappings too if `private`.
    pub(crate) fn unmap_object(&self, object: usize, object_pages: Range<u64>, private: bool) {
        let mut batch = Batch::default();
        let mut inner = self.inner.write();
        for range in mapped_at(&inner.vmas, object, &object_pages, |_| true) {
            self.zap(&mut inner, &range, &mut batch, |pte| {
                private || pte.has(Pte::OBJECT)
            });
        }
        self.commit(&mut batch);
    }

    /// Takes the write permission from the pages of an object in shared mappings.
    pub(crate) fn write_protect_object(&self, object: usize, object_pages: Range<u64>) {
        let mut batch = Batch::default();
        let inner = self.inner.write();
        for range in mapped_at(&inner.vmas, object, &object_pages, super::Vma::is_shared) {
            inner.table.for_each(range.start, range.end, |addr, slot| {
                let pte = Pte::load(slot);
                if pte.prot().contains(Prot::WRITE) {
                    pte.with_prot(pte.prot() - Prot::WRITE).store(slot);
                    batch.note(addr);
                }
            });
        }
        self.commit(&mut batch);
    }
}

/// Where pages of an object are mapped, among the VMAs that `which` selects.
fn mapped_at(
    vmas: &super::VmaMap,
    object: usize,
    object_pages: &Range<u64>,
    which: impl Fn(&super::Vma) -> bool,
) -> Vec<Range<u64>> {
    vmas.iter()
        .filter(|v| v.maps(object) && which(v))
        .map(|v| v.addresses_of(object_pages))
        .filter(|r| !r.is_empty())
        .collect()
}
