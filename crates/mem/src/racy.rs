//! Copies of memory that other threads may be writing (invariant M3).
//!
//! Rust's ordinary copies would be data races; these are volatile accesses or assembly, whose result under a
//! race is whatever mixture of old and new bytes the hardware delivers, as on a real machine. Up to eight
//! bytes that do not cross a word are copied by one access.

/// Copies `len` bytes.
///
/// # Safety
/// Both ranges are mapped memory, `dst` writable; they do not overlap unless they are equal.
#[inline]
pub(crate) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if len >= 96 {
        // SAFETY: as the caller promises; `rep movsb` touches exactly the two ranges.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rcx") len => _, inout("rdi") dst => _, inout("rsi") src => _,
                options(nostack, preserves_flags)
            );
        }
        return;
    }
    let mut at = 0;
    while len - at >= 8 {
        // SAFETY: at + 8 <= len, so both accesses lie in the caller's ranges; the types have no alignment.
        unsafe {
            let word = src.add(at).cast::<Unaligned<u64>>().read_volatile();
            dst.add(at).cast::<Unaligned<u64>>().write_volatile(word);
        }
        at += 8;
    }
    if len - at >= 4 {
        // SAFETY: as above with four bytes.
        unsafe {
            let word = src.add(at).cast::<Unaligned<u32>>().read_volatile();
            dst.add(at).cast::<Unaligned<u32>>().write_volatile(word);
        }
        at += 4;
    }
    if len - at >= 2 {
        // SAFETY: as above with two bytes.
        unsafe {
            let word = src.add(at).cast::<Unaligned<u16>>().read_volatile();
            dst.add(at).cast::<Unaligned<u16>>().write_volatile(word);
        }
        at += 2;
    }
    if at < len {
        // SAFETY: as above with one byte.
        unsafe { dst.add(at).write_volatile(src.add(at).read_volatile()) };
    }
}

/// Clears `len` bytes.
///
/// # Safety
/// The range is mapped, writable memory.
#[inline]
pub(crate) unsafe fn zero(dst: *mut u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if len >= 96 {
        // SAFETY: as the caller promises; `rep stosb` touches exactly the range.
        unsafe {
            std::arch::asm!(
                "rep stosb",
                inout("rcx") len => _, inout("rdi") dst => _, in("al") 0u8,
                options(nostack, preserves_flags)
            );
        }
        return;
    }
    let mut at = 0;
    while len - at >= 8 {
        // SAFETY: at + 8 <= len; the type has no alignment.
        unsafe {
            dst.add(at)
                .cast::<Unaligned<u64>>()
                .write_volatile(Unaligned(0))
        };
        at += 8;
    }
    while at < len {
        // SAFETY: at < len.
        unsafe { dst.add(at).write_volatile(0) };
        at += 1;
    }
}

/// A value at any address.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Unaligned<T: Copy>(T);

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_and_offset_is_exact() {
        let src: Vec<u8> = (0..400u32).map(|i| (i * 7 + 1) as u8).collect();
        for len in (0..130).chain([255, 256, 300]) {
            for offset in [0usize, 1, 3, 8] {
                let mut dst = vec![0xaa; 400];
                // SAFETY: offset + len <= 400, the ranges are different allocations.
                unsafe {
                    super::copy(dst.as_mut_ptr().add(offset), src.as_ptr().add(offset), len);
                }
                assert_eq!(dst[offset..offset + len], src[offset..offset + len]);
                assert!(
                    dst[..offset]
                        .iter()
                        .chain(&dst[offset + len..])
                        .all(|&b| b == 0xaa)
                );
                // SAFETY: as above.
                unsafe { super::zero(dst.as_mut_ptr().add(offset), len) };
                assert!(dst[offset..offset + len].iter().all(|&b| b == 0));
                assert!(
                    dst[..offset]
                        .iter()
                        .chain(&dst[offset + len..])
                        .all(|&b| b == 0xaa)
                );
            }
        }
    }
}
