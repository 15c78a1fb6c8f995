//! Anonymous memory of the host.
//!
//! Nothing is ever mapped executable or at a fixed address, and no file is mapped: see hosts with 16 KiB pages
//! and without terabytes of address space.

use std::{ptr::NonNull, sync::OnceLock};

/// The host's page size in bytes (4 KiB to 64 KiB).
pub fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(rustix::param::page_size)
}

/// The host's physical memory in bytes, if it tells.
pub fn physical() -> Option<u64> {
    // SAFETY: sysconf only reads its argument.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    u64::try_from(pages).ok().map(|p| p * page_size() as u64)
}

/// Maps `size` bytes of zeroed, private, writable memory at a multiple of `align` (a power of two, at least a
/// host page). `None` if the host refuses.
pub fn map_aligned(size: usize, align: usize) -> Option<NonNull<u8>> {
    assert!(align.is_power_of_two() && align >= page_size() && size.is_multiple_of(page_size()));
    let padded = size.checked_add(align)?;
    // SAFETY: a new anonymous mapping at an address of the host's choice touches no memory of ours.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            padded,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON | NORESERVE,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    let start = base as usize;
    let aligned = start.next_multiple_of(align);
    let before = aligned - start;
    let after = padded - before - size;
    for (at, len) in [(start, before), (aligned + size, after)] {
        if len != 0 {
            // SAFETY: the range lies in the mapping made above, outside of what is handed out.
            unsafe { libc::munmap(at as *mut libc::c_void, len) };
        }
    }
    NonNull::new(base.cast::<u8>().wrapping_add(before))
}

#[cfg(target_os = "linux")]
const NORESERVE: libc::c_int = libc::MAP_NORESERVE;
#[cfg(not(target_os = "linux"))]
const NORESERVE: libc::c_int = 0;

/// Gives memory of [`map_aligned`] back.
///
/// # Safety
/// `[start, start + size)` came from one call of [`map_aligned`] and nothing uses it any more.
pub unsafe fn unmap(start: NonNull<u8>, size: usize) {
    // SAFETY: the caller owns the range.
    unsafe { libc::munmap(start.as_ptr().cast(), size) };
}
