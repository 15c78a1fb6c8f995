//! What can be mapped, and who is told when mappings change.

use crate::{Access, AddressSpace, FaultKind, PageRef};
use std::{
    fmt::Debug,
    ops::Range,
    sync::{Arc, Weak},
};
use tuxlet_sync::Mutex;
use tuxlet_uapi::errno::Errno;

/// A file, or shared memory, seen as pages of 4 KiB. Indices count pages from the object's start.
pub trait MemoryObject: Send + Sync + Debug {
    /// The frame of a page. Shared mappings map it as it is, private ones read-only until they copy it.
    /// `BusAdrErr` for a page wholly behind the end, and for one that cannot be read. `want` is `Write` only
    /// for shared mappings.
    fn page(&self, index: u64, want: Access) -> Result<PageRef, FaultKind>;

    /// A shared mapping is about to write to a page for the first time since it was last clean.
    fn dirty(&self, index: u64) {
        let _ = index;
    }

    /// Writes dirty pages of a range of indices back: msync(2) with `MS_SYNC`.
    fn sync(&self, range: Range<u64>) -> Result<(), Errno> {
        let _ = range;
        Ok(())
    }

    /// Starts writing back without waiting for the medium: `MS_ASYNC`, also called at the last unmapping.
    fn write_back(&self, range: Range<u64>) -> Result<(), Errno> {
        let _ = range;
        Ok(())
    }

    /// Makes a hole, in pages: madvise(2) `MADV_REMOVE`.
    fn remove(&self, range: Range<u64>) -> Result<(), Errno> {
        let _ = range;
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether a page is in memory: mincore(2).
    fn is_resident(&self, index: u64) -> bool {
        let _ = index;
        false
    }

    /// Who maps the object; `None` for objects whose pages never go away under a mapping.
    fn mappers(&self) -> Option<&Mappers> {
        None
    }

    /// Whether the pages count as shared memory (not as file pages) in `/proc/PID/status`.
    fn is_shmem(&self) -> bool {
        false
    }

    /// Device and inode number, for `/proc/PID/maps`.
    fn id(&self) -> (u64, u64);

    /// The name in `/proc/PID/maps`.
    fn path(&self) -> Vec<u8>;
}

/// The identity of an object: the address of its allocation.
pub(crate) fn identity(object: &Arc<dyn MemoryObject>) -> usize {
    Arc::as_ptr(object).cast::<()>() as usize
}

/// The address spaces that map an object. A part of every object that can shrink or be cleaned.
#[derive(Debug, Default)]
pub struct Mappers(Mutex<Vec<Weak<AddressSpace>>>);

impl Mappers {
    pub(crate) fn add(&self, space: &Weak<AddressSpace>) {
        let mut list = self.0.lock();
        if !list.iter().any(|s| s.ptr_eq(space)) {
            if list.len() == list.capacity() {
                list.retain(|s| s.strong_count() != 0);
            }
            list.push(space.clone());
        }
    }

    /// Calls `f` for each address space; also for those that fork from one of them meanwhile (fork adds the
    /// child before it copies pages under the parent's lock, which `f` takes).
    fn each(&self, f: impl Fn(&AddressSpace)) {
        let mut done: Vec<Weak<AddressSpace>> = Vec::new();
        loop {
            let new: Vec<_> = {
                let list = self.0.lock();
                list.iter()
                    .filter(|s| !done.iter().any(|d| d.ptr_eq(s)))
                    .cloned()
                    .collect()
            };
            if new.is_empty() {
                return;
            }
            for space in new.iter().filter_map(Weak::upgrade) {
                f(&space);
            }
            done.extend(new);
        }
    }

    /// Whether nobody maps the object any more (address spaces that once did may still count).
    pub fn is_empty(&self) -> bool {
        self.0.lock().iter().all(|s| s.strong_count() == 0)
    }

    /// Unmaps pages of `object` everywhere (the VMAs stay: the next access asks the object again). Private
    /// copies go too if `private`, as truncate(2) wants and a hole does not.
    ///
    /// To be called without a lock that the object's `page` takes.
    pub fn unmap<O: MemoryObject>(&self, object: &O, range: Range<u64>, private: bool) {
        let identity = std::ptr::from_ref(object).cast::<()>() as usize;
        self.each(|space| space.unmap_object(identity, range.clone(), private));
    }

    /// Makes the shared mappings of pages read-only, so that the next write calls `dirty` again.
    ///
    /// To be called without a lock that the object's `dirty` takes.
    pub fn write_protect<O: MemoryObject>(&self, object: &O, range: Range<u64>) {
        let identity = std::ptr::from_ref(object).cast::<()>() as usize;
        self.each(|space| space.write_protect_object(identity, range.clone()));
    }
}

/// Why a range is invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A store to a page from which code was fetched is about to be allowed.
    Written,
    /// The page is not mapped there any more, or holds another frame.
    Unmapped,
    /// The page is not executable any more.
    Protected,
}

/// Hears about changes of pages from which code was fetched.
///
/// Called under the address space's lock: the callee must not call back into it, and whoever holds a lock that
/// the callee takes must not call into the address space.
pub trait MmNotifier: Send + Sync {
    /// Translations of code in `[start, end)` are not valid any more.
    fn invalidate(&self, start: u64, end: u64, why: Why);
}
