//! mlock(2) and relatives. Guest memory is never swapped by us, so this is bookkeeping and populating.

use super::{AddressSpace, Inner, VmaFlags, user_range};
use crate::{FaultKind, PAGE_MASK, PAGE_SHIFT, TASK_SIZE, page_down, page_up};
use std::ops::Range;
use tuxlet_uapi::errno::{Errno, Result};

const LOCKED: VmaFlags = VmaFlags::LOCKED.union(VmaFlags::LOCKONFAULT);

fn flags_for(on_fault: bool) -> VmaFlags {
    if on_fault { LOCKED } else { VmaFlags::LOCKED }
}

impl AddressSpace {
    /// Locks a range: mlock(2), with `on_fault` mlock2(2). `EPERM` if the limit is 0, `ENOMEM` if it would be
    /// exceeded, for holes, and for pages that cannot be had.
    pub fn lock(&self, addr: u64, len: u64, on_fault: bool) -> Result<()> {
        let range = unaligned_range(addr, len, Errno::EINVAL)?;
        if self.limits().locked == 0 {
            return Err(Errno::EPERM);
        }
        {
            let mut inner = self.inner.write();
            let already: u64 = inner
                .vmas
                .overlapping(&range)
                .filter(|v| v.flags.contains(VmaFlags::LOCKED))
                .map(|v| (v.end.min(range.end) - v.start.max(range.start)) >> PAGE_SHIFT)
                .sum();
            self.check_locked(&inner, super::page_count(&range) - already, Errno::ENOMEM)?;
            set_flags(&mut inner, &range, flags_for(on_fault))?;
        }
        if on_fault {
            return Ok(());
        }
        self.populate(&range).map_err(|fault| match fault.kind {
            FaultKind::Oom => Errno::EAGAIN,
            _ => Errno::ENOMEM,
        })
    }

    /// Unlocks a range: munlock(2).
    pub fn unlock(&self, addr: u64, len: u64) -> Result<()> {
        let range = unaligned_range(addr, len, Errno::EINVAL)?;
        set_flags(&mut self.inner.write(), &range, VmaFlags::empty())
    }

    /// Locks everything mapped now (`current`) or later (`future`): mlockall(2).
    pub fn lock_all(&self, current: bool, future: bool, on_fault: bool) -> Result<()> {
        let limit = self.limits().locked;
        if limit == 0 {
            return Err(Errno::EPERM);
        }
        {
            let mut inner = self.inner.write();
            if current && inner.vmas.total_pages() > limit >> PAGE_SHIFT {
                return Err(Errno::ENOMEM);
            }
            inner.default_flags = if future {
                flags_for(on_fault)
            } else {
                VmaFlags::empty()
            };
            if current {
                let flags = flags_for(on_fault);
                inner
                    .vmas
                    .update(&(0..TASK_SIZE), |v| v.flags = (v.flags - LOCKED) | flags);
            }
        }
        if current && !on_fault {
            // Failures are ignored, as on Linux.
            let _ = self.populate(&(0..TASK_SIZE));
        }
        Ok(())
    }

    /// Unlocks everything: munlockall(2).
    pub fn unlock_all(&self) {
        let mut inner = self.inner.write();
        inner.default_flags = VmaFlags::empty();
        inner.vmas.update(&(0..TASK_SIZE), |v| v.flags -= LOCKED);
    }

    /// `error` if so many locked pages more exceed the limit.
    pub(super) fn check_locked(&self, inner: &Inner, more: u64, error: Errno) -> Result<()> {
        let limit = self.limits().locked >> PAGE_SHIFT;
        if inner.vmas.locked_pages() + more > limit {
            Err(error)
        } else {
            Ok(())
        }
    }
}

/// Sets the lock flags of a range; `ENOMEM` at the first hole, after what lies before it was done.
fn set_flags(inner: &mut Inner, range: &Range<u64>, flags: VmaFlags) -> Result<()> {
    let mut end = range.start;
    for vma in inner.vmas.overlapping(range) {
        if vma.start > end {
            break;
        }
        end = vma.end.min(range.end);
    }
    inner.vmas.update(&(range.start..end), |v| {
        v.flags = (v.flags - LOCKED) | flags
    });
    if end < range.end {
        Err(Errno::ENOMEM)
    } else {
        Ok(())
    }
}

/// The pages that `[addr, addr + len)` touches.
fn unaligned_range(addr: u64, len: u64, error: Errno) -> Result<Range<u64>> {
    let len = page_up(len.checked_add(addr & PAGE_MASK).ok_or(error)?).ok_or(error)?;
    user_range(page_down(addr), len, Errno::ENOMEM)
}
