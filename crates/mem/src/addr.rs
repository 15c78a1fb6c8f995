//! Page arithmetic. Addresses are plain `u64`, since that is what registers hold.

/// log2 of the guest's page size.
pub const PAGE_SHIFT: u32 = 12;
/// The guest's page size in bytes.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// The offset in a page.
pub const PAGE_MASK: u64 = PAGE_SIZE - 1;
/// The end of user addresses.
pub const TASK_SIZE: u64 = 1 << 48;
/// The lowest address that can be mapped (`vm.mmap_min_addr`).
pub const MMAP_MIN_ADDR: u64 = 0x1_0000;

/// The start of the page that holds `addr`.
#[inline]
#[must_use]
pub const fn page_down(addr: u64) -> u64 {
    addr & !PAGE_MASK
}

/// `addr` rounded up to a page boundary; `None` on overflow.
#[inline]
#[must_use]
pub const fn page_up(addr: u64) -> Option<u64> {
    match addr.checked_add(PAGE_MASK) {
        Some(a) => Some(page_down(a)),
        None => None,
    }
}
