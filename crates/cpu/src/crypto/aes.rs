//! AES rounds and the carry-less product, on the host's instructions where it has them.

/// Doubling in GF(2^8) modulo the AES polynomial.
const fn xtime(a: u8) -> u8 {
    (a << 1) ^ ((a >> 7) * 0x1b)
}

const SBOX: [u8; 256] = {
    let mut table = [0; 256];
    // 3 generates the field; its inverse walks alongside.
    let (mut p, mut q) = (1u8, 1u8);
    loop {
        p ^= xtime(p);
        q ^= q << 1;
        q ^= q << 2;
        q ^= q << 4;
        q ^= (q >> 7) * 0x09;
        let affine = q ^ q.rotate_left(1) ^ q.rotate_left(2) ^ q.rotate_left(3) ^ q.rotate_left(4);
        table[p as usize] = affine ^ 0x63;
        if p == 1 {
            break;
        }
    }
    table[0] = 0x63;
    table
};

const INV_SBOX: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[SBOX[i] as usize] = i as u8;
        i += 1;
    }
    table
};

/// ShiftRows then SubBytes: AESE without the key.
pub(super) fn encrypt_portable(state: u128) -> u128 {
    let s = state.to_le_bytes();
    u128::from_le_bytes(core::array::from_fn(|i| {
        SBOX[s[(i + 4 * (i & 3)) & 15] as usize]
    }))
}

/// The inverse steps: AESD without the key.
pub(super) fn decrypt_portable(state: u128) -> u128 {
    let s = state.to_le_bytes();
    u128::from_le_bytes(core::array::from_fn(|i| {
        INV_SBOX[s[i.wrapping_sub(4 * (i & 3)) & 15] as usize]
    }))
}

fn columns(state: u128, f: impl Fn([u8; 4]) -> [u8; 4]) -> u128 {
    let mut s = state.to_le_bytes();
    for column in s.chunks_exact_mut(4) {
        column.copy_from_slice(&f([column[0], column[1], column[2], column[3]]));
    }
    u128::from_le_bytes(s)
}

pub(super) fn mix_columns_portable(state: u128) -> u128 {
    columns(state, |c| {
        core::array::from_fn(|i| {
            let (a, b) = (c[i], c[(i + 1) & 3]);
            xtime(a) ^ xtime(b) ^ b ^ c[(i + 2) & 3] ^ c[(i + 3) & 3]
        })
    })
}

pub(super) fn inv_mix_columns_portable(state: u128) -> u128 {
    columns(state, |c| {
        let double = |x: u8| xtime(x);
        core::array::from_fn(|i| {
            let [a, b, c, d] = core::array::from_fn(|k| c[(i + k) & 3]);
            let (a4, b4) = (double(double(a ^ c)), double(double(b ^ d)));
            // 14a + 11b + 13c + 9d
            double(a4 ^ b4) ^ a4 ^ double(a ^ b) ^ b ^ c ^ d
        })
    })
}

pub(super) fn multiply_portable(a: u64, b: u64) -> u128 {
    let a = u128::from(a);
    (0..64)
        .filter(|i| b >> i & 1 != 0)
        .fold(0, |r, i| r ^ a << i)
}

#[cfg(target_arch = "x86_64")]
mod host {
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
    pub(super) fn has_aes() -> bool {
        std::arch::is_x86_feature_detected!("aes")
    }

    #[inline(always)]
    pub(super) fn has_multiply() -> bool {
        std::arch::is_x86_feature_detected!("pclmulqdq")
    }

    #[target_feature(enable = "aes")]
    pub(super) fn encrypt(a: u128) -> u128 {
        bits(_mm_aesenclast_si128(vector(a), _mm_setzero_si128()))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn decrypt(a: u128) -> u128 {
        bits(_mm_aesdeclast_si128(vector(a), _mm_setzero_si128()))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn mix_columns(a: u128) -> u128 {
        let zero = _mm_setzero_si128();
        // The inverse last round undoes the steps before the column mix.
        bits(_mm_aesenc_si128(
            _mm_aesdeclast_si128(vector(a), zero),
            zero,
        ))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn inv_mix_columns(a: u128) -> u128 {
        bits(_mm_aesimc_si128(vector(a)))
    }

    #[target_feature(enable = "pclmulqdq")]
    pub(super) fn multiply(a: u64, b: u64) -> u128 {
        let wide = |x: u64| _mm_cvtsi64_si128(x as i64);
        bits(_mm_clmulepi64_si128::<0>(wide(a), wide(b)))
    }
}

#[cfg(target_arch = "aarch64")]
mod host {
    use core::arch::aarch64::*;
    use core::mem::transmute;

    fn vector(a: u128) -> uint8x16_t {
        // SAFETY: any 128 bits are a value of either type.
        unsafe { transmute::<u128, uint8x16_t>(a) }
    }

    fn bits(a: uint8x16_t) -> u128 {
        // SAFETY: any 128 bits are a value of either type.
        unsafe { transmute::<uint8x16_t, u128>(a) }
    }

    #[inline(always)]
    pub(super) fn has_aes() -> bool {
        std::arch::is_aarch64_feature_detected!("aes")
    }

    #[inline(always)]
    pub(super) fn has_multiply() -> bool {
        has_aes()
    }

    #[target_feature(enable = "aes")]
    pub(super) fn encrypt(a: u128) -> u128 {
        bits(vaeseq_u8(vector(a), vdupq_n_u8(0)))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn decrypt(a: u128) -> u128 {
        bits(vaesdq_u8(vector(a), vdupq_n_u8(0)))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn mix_columns(a: u128) -> u128 {
        bits(vaesmcq_u8(vector(a)))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn inv_mix_columns(a: u128) -> u128 {
        bits(vaesimcq_u8(vector(a)))
    }

    #[target_feature(enable = "aes")]
    pub(super) fn multiply(a: u64, b: u64) -> u128 {
        vmull_p64(a, b)
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod host {
    pub(super) use super::{
        decrypt_portable as decrypt, encrypt_portable as encrypt,
        inv_mix_columns_portable as inv_mix_columns, mix_columns_portable as mix_columns,
        multiply_portable as multiply,
    };

    pub(super) fn has_aes() -> bool {
        false
    }

    pub(super) fn has_multiply() -> bool {
        false
    }
}

super::detected! {
    /// AESE without the key.
    encrypt(state: u128) -> u128, host has_aes, else encrypt_portable;
    /// AESD without the key.
    decrypt(state: u128) -> u128, host has_aes, else decrypt_portable;
    /// AESMC.
    mix_columns(state: u128) -> u128, host has_aes, else mix_columns_portable;
    /// AESIMC.
    inv_mix_columns(state: u128) -> u128, host has_aes, else inv_mix_columns_portable;
    /// PMULL of 64-bit polynomials.
    multiply(a: u64, b: u64) -> u128, host has_multiply, else multiply_portable;
}
