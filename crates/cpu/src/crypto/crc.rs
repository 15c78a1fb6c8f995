//! CRC-32 and CRC-32C of up to eight bytes, on the host's instructions where it has them.

/// `TABLES[k][b]` is what the byte `b` contributes when `k` more bytes follow, for a reflected
/// polynomial.
type Tables = [[u32; 256]; 8];

const fn tables(poly: u32) -> Tables {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut v = i as u32;
        let mut bit = 0;
        while bit < 8 {
            v = if v & 1 != 0 { v >> 1 ^ poly } else { v >> 1 };
            bit += 1;
        }
        tables[0][i] = v;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let v = tables[k - 1][i];
            tables[k][i] = v >> 8 ^ tables[0][(v & 0xff) as usize];
            i += 1;
        }
        k += 1;
    }
    tables
}

static CRC32: Tables = tables(0xedb8_8320);
static CRC32C: Tables = tables(0x82f6_3b78);

/// CRC of the low `1 << size` bytes of `v`, continuing `acc`; the bytes are looked up all at once.
#[inline]
fn portable(tables: &Tables, acc: u32, v: u64, size: u8) -> u32 {
    let len = 1 << (size & 3);
    let bytes = (v ^ u64::from(acc)).to_le_bytes();
    // What is left of the accumulator after fewer than four bytes.
    let rest = if len < 4 { acc >> (8 * len) } else { 0 };
    (0..len).fold(rest, |r, i| r ^ tables[len - 1 - i][usize::from(bytes[i])])
}

pub(super) fn crc32_portable(acc: u32, v: u64, size: u8) -> u32 {
    portable(&CRC32, acc, v, size)
}

pub(super) fn crc32c_portable(acc: u32, v: u64, size: u8) -> u32 {
    portable(&CRC32C, acc, v, size)
}

#[cfg(target_arch = "x86_64")]
mod host {
    use core::arch::x86_64::*;

    pub(super) use super::crc32_portable as crc32;

    /// There is an instruction for CRC-32C only.
    pub(super) fn has_crc32() -> bool {
        false
    }

    #[inline(always)]
    pub(super) fn has_crc32c() -> bool {
        std::arch::is_x86_feature_detected!("sse4.2")
    }

    #[target_feature(enable = "sse4.2")]
    pub(super) fn crc32c(acc: u32, v: u64, size: u8) -> u32 {
        match size {
            0 => _mm_crc32_u8(acc, v as u8),
            1 => _mm_crc32_u16(acc, v as u16),
            2 => _mm_crc32_u32(acc, v as u32),
            _ => _mm_crc32_u64(acc.into(), v) as u32,
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod host {
    use core::arch::aarch64::*;

    #[inline(always)]
    pub(super) fn has_crc32() -> bool {
        std::arch::is_aarch64_feature_detected!("crc")
    }

    #[inline(always)]
    pub(super) fn has_crc32c() -> bool {
        has_crc32()
    }

    #[target_feature(enable = "crc")]
    pub(super) fn crc32(acc: u32, v: u64, size: u8) -> u32 {
        match size {
            0 => __crc32b(acc, v as u8),
            1 => __crc32h(acc, v as u16),
            2 => __crc32w(acc, v as u32),
            _ => __crc32d(acc, v),
        }
    }

    #[target_feature(enable = "crc")]
    pub(super) fn crc32c(acc: u32, v: u64, size: u8) -> u32 {
        match size {
            0 => __crc32cb(acc, v as u8),
            1 => __crc32ch(acc, v as u16),
            2 => __crc32cw(acc, v as u32),
            _ => __crc32cd(acc, v),
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod host {
    pub(super) use super::{crc32_portable as crc32, crc32c_portable as crc32c};

    pub(super) fn has_crc32() -> bool {
        false
    }

    pub(super) fn has_crc32c() -> bool {
        false
    }
}

super::detected! {
    /// CRC32 of the low `1 << size` bytes of `v`, continuing `acc`.
    crc32(acc: u32, v: u64, size: u8) -> u32, host has_crc32, else crc32_portable;
    /// CRC32C, as [`crc32`].
    crc32c(acc: u32, v: u64, size: u8) -> u32, host has_crc32c, else crc32c_portable;
}
