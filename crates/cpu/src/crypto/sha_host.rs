//! The host's SHA-1 and SHA-256 instructions. [`super::sha`] says what the functions compute.

#[cfg(target_arch = "x86_64")]
mod arch {
    use core::arch::x86_64::*;
    use core::mem::transmute;

    fn vector(a: u128) -> __m128i {
        // SAFETY: any 128 bits are a value of either type.
        unsafe { transmute::<u128, __m128i>(a) }
    }

    fn bits(a: __m128i) -> u128 {
        // SAFETY: any 128 bits are a value of either type.
        unsafe { transmute::<__m128i, u128>(a) }
    }

    #[inline(always)]
    pub(in crate::crypto) fn has_sha1() -> bool {
        has_sha256()
    }

    #[inline(always)]
    pub(in crate::crypto) fn has_sha256() -> bool {
        std::arch::is_x86_feature_detected!("sha") && std::arch::is_x86_feature_detected!("ssse3")
    }

    /// SHA1RNDS4 has the first variable in the highest lane, and adds the round constant itself.
    #[target_feature(enable = "sha,ssse3")]
    fn sha1<const F: i32>(d: u128, n: u32, m: u128, constant: u32) -> u128 {
        let e = _mm_cvtsi32_si128(n as i32);
        let w = _mm_sub_epi32(vector(m), _mm_set1_epi32(constant as i32));
        let w = _mm_shuffle_epi32::<0x1b>(_mm_add_epi32(w, e));
        let abcd = _mm_shuffle_epi32::<0x1b>(vector(d));
        bits(_mm_shuffle_epi32::<0x1b>(_mm_sha1rnds4_epu32::<F>(abcd, w)))
    }

    #[target_feature(enable = "sha,ssse3")]
    pub(in crate::crypto) fn sha1_choose(d: u128, n: u32, m: u128) -> u128 {
        sha1::<0>(d, n, m, 0x5a82_7999)
    }

    #[target_feature(enable = "sha,ssse3")]
    pub(in crate::crypto) fn sha1_parity(d: u128, n: u32, m: u128) -> u128 {
        sha1::<1>(d, n, m, 0x6ed9_eba1)
    }

    #[target_feature(enable = "sha,ssse3")]
    pub(in crate::crypto) fn sha1_majority(d: u128, n: u32, m: u128) -> u128 {
        sha1::<2>(d, n, m, 0x8f1b_bcdc)
    }

    /// Four rounds: the variables ABEF and CDGH, first in the highest lane.
    #[target_feature(enable = "sha,ssse3")]
    fn rounds(abcd: u128, efgh: u128, w: u128) -> (__m128i, __m128i) {
        let (x, y, w) = (
            _mm_shuffle_epi32::<0xb1>(vector(abcd)),
            _mm_shuffle_epi32::<0xb1>(vector(efgh)),
            vector(w),
        );
        let (abef, cdgh) = (_mm_unpacklo_epi64(y, x), _mm_unpackhi_epi64(y, x));
        let two = _mm_sha256rnds2_epu32(cdgh, abef, w);
        let four = _mm_sha256rnds2_epu32(abef, two, _mm_shuffle_epi32::<0x0e>(w));
        (four, two)
    }

    #[target_feature(enable = "sha,ssse3")]
    pub(in crate::crypto) fn sha256_hash(d: u128, n: u128, m: u128) -> u128 {
        let (abef, cdgh) = rounds(d, n, m);
        bits(_mm_shuffle_epi32::<0xb1>(_mm_unpackhi_epi64(abef, cdgh)))
    }

    #[target_feature(enable = "sha,ssse3")]
    pub(in crate::crypto) fn sha256_hash2(d: u128, n: u128, m: u128) -> u128 {
        let (abef, cdgh) = rounds(n, d, m);
        bits(_mm_shuffle_epi32::<0xb1>(_mm_unpacklo_epi64(abef, cdgh)))
    }

    #[target_feature(enable = "sha,ssse3")]
    pub(in crate::crypto) fn sha256_schedule0(d: u128, n: u128) -> u128 {
        bits(_mm_sha256msg1_epu32(vector(d), vector(n)))
    }

    #[target_feature(enable = "sha,ssse3")]
    pub(in crate::crypto) fn sha256_schedule1(d: u128, n: u128, m: u128) -> u128 {
        let middle = _mm_alignr_epi8::<4>(vector(m), vector(n));
        let sum = _mm_add_epi32(vector(d), middle);
        bits(_mm_sha256msg2_epu32(sum, vector(m)))
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use core::arch::aarch64::*;
    use core::mem::transmute;

    fn vector(a: u128) -> uint32x4_t {
        // SAFETY: any 128 bits are a value of either type.
        unsafe { transmute::<u128, uint32x4_t>(a) }
    }

    fn bits(a: uint32x4_t) -> u128 {
        // SAFETY: any 128 bits are a value of either type.
        unsafe { transmute::<uint32x4_t, u128>(a) }
    }

    #[inline(always)]
    pub(in crate::crypto) fn has_sha1() -> bool {
        has_sha256()
    }

    #[inline(always)]
    pub(in crate::crypto) fn has_sha256() -> bool {
        std::arch::is_aarch64_feature_detected!("sha2")
    }

    #[target_feature(enable = "sha2")]
    pub(in crate::crypto) fn sha1_choose(d: u128, n: u32, m: u128) -> u128 {
        bits(vsha1cq_u32(vector(d), n, vector(m)))
    }

    #[target_feature(enable = "sha2")]
    pub(in crate::crypto) fn sha1_parity(d: u128, n: u32, m: u128) -> u128 {
        bits(vsha1pq_u32(vector(d), n, vector(m)))
    }

    #[target_feature(enable = "sha2")]
    pub(in crate::crypto) fn sha1_majority(d: u128, n: u32, m: u128) -> u128 {
        bits(vsha1mq_u32(vector(d), n, vector(m)))
    }

    #[target_feature(enable = "sha2")]
    pub(in crate::crypto) fn sha256_hash(d: u128, n: u128, m: u128) -> u128 {
        bits(vsha256hq_u32(vector(d), vector(n), vector(m)))
    }

    #[target_feature(enable = "sha2")]
    pub(in crate::crypto) fn sha256_hash2(d: u128, n: u128, m: u128) -> u128 {
        bits(vsha256h2q_u32(vector(d), vector(n), vector(m)))
    }

    #[target_feature(enable = "sha2")]
    pub(in crate::crypto) fn sha256_schedule0(d: u128, n: u128) -> u128 {
        bits(vsha256su0q_u32(vector(d), vector(n)))
    }

    #[target_feature(enable = "sha2")]
    pub(in crate::crypto) fn sha256_schedule1(d: u128, n: u128, m: u128) -> u128 {
        bits(vsha256su1q_u32(vector(d), vector(n), vector(m)))
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod arch {
    pub(in crate::crypto) use crate::crypto::sha::portable::*;

    pub(in crate::crypto) fn has_sha1() -> bool {
        false
    }

    pub(in crate::crypto) fn has_sha256() -> bool {
        false
    }
}

pub(super) use arch::*;
