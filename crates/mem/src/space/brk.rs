//! brk(2).

use super::{AddressSpace, Batch, Vma, VmaFlags, page_count};
use crate::{Prot, TASK_SIZE, page_up};
use std::sync::Arc;
use tuxlet_uapi::errno::Errno;

/// The heap's bounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brk {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Size of the executable's data, which `RLIMIT_DATA` limits together with the heap.
    data_len: u64,
}

impl AddressSpace {
    /// Sets where the heap starts (behind the executable's data, plus a random offset) and how many bytes of
    /// data the executable has.
    pub fn set_brk_start(&self, start: u64, data_len: u64) {
        let mut inner = self.inner.write();
        inner.brk = Brk {
            start,
            end: start,
            data_len,
        };
    }

    /// The heap's start and end.
    pub fn brk_range(&self) -> (u64, u64) {
        let inner = self.inner.read();
        (inner.brk.start, inner.brk.end)
    }

    /// Moves the end of the heap and returns where it is then: as the system call does, the old end if the
    /// new one is impossible.
    pub fn brk(&self, end: u64) -> u64 {
        let mut batch = Batch::default();
        let mut inner = self.inner.write();
        let brk = inner.brk;
        if end < brk.start || end > TASK_SIZE {
            return brk.end;
        }
        if (end - brk.start).saturating_add(brk.data_len) > self.limits().data {
            return brk.end;
        }
        let (Some(old_top), Some(new_top)) = (page_up(brk.end), page_up(end)) else {
            return brk.end;
        };
        if new_top < old_top {
            self.unmap_in(&mut inner, &(new_top..old_top), &mut batch);
            self.commit(&mut batch);
        } else if new_top > old_top {
            let range = old_top..new_top;
            let locked = inner.default_flags.contains(VmaFlags::LOCKED);
            if !inner.vmas.is_free_guarded(&range)
                || self.check_growth(&inner, page_count(&range)).is_err()
                || self.check_commit(page_count(&range)).is_err()
                || locked
                    && self
                        .check_locked(&inner, page_count(&range), Errno::EAGAIN)
                        .is_err()
            {
                return brk.end;
            }
            let flags = inner.default_flags;
            inner.vmas.insert(Vma {
                start: range.start,
                end: range.end,
                prot: Prot::RW,
                max_prot: Prot::RWX,
                flags,
                object: None,
                offset: range.start,
                name: Some(Arc::from(&b"[heap]"[..])),
                file_id: None,
            });
        }
        inner.brk.end = end;
        end
    }
}
