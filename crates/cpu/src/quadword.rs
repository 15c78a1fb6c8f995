//! Sixteen bytes of guest memory in one access of the host, as FEAT_LSE2 wants them where they are aligned (Arm ARM
//! B2.2.1).
//!
//! The compiler is free to make two accesses of one, so these are instructions. x86-64 processors with AVX guarantee
//! that aligned accesses of 16 bytes are atomic (Intel for MOVAPS and MOVDQA, AMD for all); MOVDQU of an aligned
//! address is the same access. AArch64 processors guarantee it if they have FEAT_LSE2 themselves.

/// Whether the host's loads and stores within 16 aligned bytes are single-copy atomic, so that the guest's are.
pub(crate) fn single_copy_atomic() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("lse2");
    #[allow(unreachable_code, reason = "other hosts")]
    false
}

#[cfg(target_arch = "x86_64")]
mod host {
    use core::arch::{asm, x86_64::*};

    #[inline(always)]
    unsafe fn load(p: *const u8) -> __m128i {
        let v;
        // SAFETY: the caller vouches for 16 bytes at `p`.
        unsafe {
            asm!(
                "movdqu {v}, [{p}]",
                v = lateout(xmm_reg) v,
                p = in(reg) p,
                options(nostack, preserves_flags, readonly),
            );
        }
        v
    }

    #[inline(always)]
    unsafe fn store(v: __m128i, p: *mut u8) {
        // SAFETY: the caller vouches for 16 bytes at `p`.
        unsafe {
            asm!(
                "movdqu [{p}], {v}",
                v = in(xmm_reg) v,
                p = in(reg) p,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    pub(crate) unsafe fn read(p: *const u8) -> u128 {
        // SAFETY: the caller's promise; both types are 16 bytes without padding.
        unsafe { core::mem::transmute::<__m128i, u128>(load(p)) }
    }

    #[inline(always)]
    pub(crate) unsafe fn write(v: u128, p: *mut u8) {
        // SAFETY: the caller's promise; both types are 16 bytes without padding.
        unsafe { store(core::mem::transmute::<u128, __m128i>(v), p) }
    }

    #[inline(always)]
    pub(crate) unsafe fn read_halves(p: *const u8) -> (u64, u64) {
        // SAFETY: the caller's promise; every x86-64 has SSE2.
        unsafe {
            let v = load(p);
            let high = _mm_unpackhi_epi64(v, v);
            (_mm_cvtsi128_si64(v) as u64, _mm_cvtsi128_si64(high) as u64)
        }
    }

    #[inline(always)]
    pub(crate) unsafe fn write_halves(low: u64, high: u64, p: *mut u8) {
        // SAFETY: the caller's promise; every x86-64 has SSE2.
        unsafe { store(_mm_set_epi64x(high as i64, low as i64), p) }
    }
}

#[cfg(target_arch = "aarch64")]
mod host {
    use core::arch::asm;

    #[inline(always)]
    pub(crate) unsafe fn read(p: *const u8) -> u128 {
        // SAFETY: the caller's promise.
        let (low, high) = unsafe { read_halves(p) };
        u128::from(low) | u128::from(high) << 64
    }

    #[inline(always)]
    pub(crate) unsafe fn write(v: u128, p: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { write_halves(v as u64, (v >> 64) as u64, p) }
    }

    #[inline(always)]
    pub(crate) unsafe fn read_halves(p: *const u8) -> (u64, u64) {
        let (low, high);
        // SAFETY: the caller vouches for 16 bytes at `p`.
        unsafe {
            asm!(
                "ldp {low}, {high}, [{p}]",
                low = out(reg) low,
                high = out(reg) high,
                p = in(reg) p,
                options(nostack, preserves_flags, readonly),
            );
        }
        (low, high)
    }

    #[inline(always)]
    pub(crate) unsafe fn write_halves(low: u64, high: u64, p: *mut u8) {
        // SAFETY: the caller vouches for 16 bytes at `p`.
        unsafe {
            asm!(
                "stp {low}, {high}, [{p}]",
                low = in(reg) low,
                high = in(reg) high,
                p = in(reg) p,
                options(nostack, preserves_flags),
            );
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod host {
    #[inline(always)]
    pub(crate) unsafe fn read(p: *const u8) -> u128 {
        // SAFETY: the caller vouches for 16 bytes at `p`.
        u128::from_le(unsafe { p.cast::<u128>().read_unaligned() })
    }

    #[inline(always)]
    pub(crate) unsafe fn write(v: u128, p: *mut u8) {
        // SAFETY: the caller vouches for 16 bytes at `p`.
        unsafe { p.cast::<u128>().write_unaligned(v.to_le()) }
    }

    #[inline(always)]
    pub(crate) unsafe fn read_halves(p: *const u8) -> (u64, u64) {
        // SAFETY: the caller's promise.
        let v = unsafe { read(p) };
        (v as u64, (v >> 64) as u64)
    }

    #[inline(always)]
    pub(crate) unsafe fn write_halves(low: u64, high: u64, p: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { write(u128::from(low) | u128::from(high) << 64, p) }
    }
}

pub(crate) use host::{read, read_halves, write, write_halves};
