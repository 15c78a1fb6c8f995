//! Atomic operations on user memory, and the identity of futexes.

use super::AddressSpace;
use crate::{Access, object::identity};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tuxlet_uapi::errno::{Errno, Result};

/// What makes two futexes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FutexKey {
    /// In memory that only one address space maps.
    Private {
        /// [`AddressSpace::id`].
        space: u64,
        /// The address.
        addr: u64,
    },
    /// In an object.
    Shared {
        /// Which object (a number that is unique while the object lives).
        object: usize,
        /// The offset in bytes.
        offset: u64,
    },
}

impl AddressSpace {
    /// The key of the futex at `addr`. `shared` is true without `FUTEX_PRIVATE_FLAG`; memory that is not a
    /// shared mapping has a private key all the same. `EFAULT` if a shared lookup finds nothing mapped.
    pub fn futex_key(&self, addr: u64, shared: bool) -> Result<FutexKey> {
        let private = FutexKey::Private {
            space: self.id,
            addr,
        };
        if !shared {
            return Ok(private);
        }
        let inner = self.inner.read();
        let vma = inner.vmas.find(addr).ok_or(Errno::EFAULT)?;
        Ok(match &vma.object {
            Some(object) if vma.is_shared() => FutexKey::Shared {
                object: identity(object),
                offset: addr - vma.start + vma.offset,
            },
            _ => private,
        })
    }

    /// Loads a word. `EINVAL` if it is not aligned, `EFAULT` if it cannot be read.
    pub fn load_u32(&self, addr: u64) -> Result<u32> {
        self.with_u32(addr, Access::Read, |word| word.load(Ordering::SeqCst))
    }

    /// Stores a word atomically.
    pub fn store_u32(&self, addr: u64, value: u32) -> Result<()> {
        self.with_u32(addr, Access::Write, |word| {
            word.store(value, Ordering::SeqCst)
        })
    }

    /// Stores `new` if the word is `expected`; returns what it was.
    pub fn cmpxchg_u32(&self, addr: u64, expected: u32, new: u32) -> Result<u32> {
        self.with_u32(addr, Access::Write, |word| {
            match word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(old) | Err(old) => old,
            }
        })
    }

    /// Replaces the word by `f` of it, atomically; returns what it was (`FUTEX_WAKE_OP`).
    pub fn fetch_update_u32(&self, addr: u64, f: impl Fn(u32) -> u32) -> Result<u32> {
        self.with_u32(addr, Access::Write, |word| {
            let mut old = word.load(Ordering::SeqCst);
            while let Err(now) =
                word.compare_exchange_weak(old, f(old), Ordering::SeqCst, Ordering::SeqCst)
            {
                old = now;
            }
            old
        })
    }

    fn with_u32<R>(&self, addr: u64, access: Access, f: impl Fn(&AtomicU32) -> R) -> Result<R> {
        if !addr.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let offset = addr & crate::PAGE_MASK;
        Ok(self.with_page(addr, access, None, |_, pte, _| {
            let host = (pte.frame() + offset) as *mut u32;
            // SAFETY: M2, M3: an aligned word in a page of ours, under the lock, accessed as an atomic.
            Some(f(unsafe { AtomicU32::from_ptr(host) }))
        })?)
    }

    /// Whether two handles are the same address space.
    #[must_use]
    pub fn same(a: &Arc<Self>, b: &Arc<Self>) -> bool {
        Arc::ptr_eq(a, b)
    }
}
