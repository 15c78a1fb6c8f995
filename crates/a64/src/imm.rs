//! Immediates that are encoded in a condensed form (Arm ARM, "shared pseudocode"), and the
//! predicates that the tables use.

/// `DecodeBitMasks` for an immediate of a logical instruction: the value for a register of
/// 64 (`sf`) or 32 bits, `None` when reserved.
#[must_use]
pub const fn logical_imm(sf: bool, n: bool, imms: u8, immr: u8) -> Option<u64> {
    let Some((wmask, _)) = bit_masks(n, imms, immr, true) else {
        return None;
    };
    if sf {
        Some(wmask)
    } else if n {
        None
    } else {
        Some(wmask & 0xffff_ffff)
    }
}

/// `DecodeBitMasks`: (wmask, tmask) for 64 bits; `imm` = all-ones elements are reserved.
#[must_use]
pub const fn bit_masks(n: bool, imms: u8, immr: u8, imm: bool) -> Option<(u64, u64)> {
    let combined = ((n as u32) << 6) | (!imms as u32 & 0x3f);
    if combined < 2 {
        return None;
    }
    let len = 31 - combined.leading_zeros();
    let levels = (1_u32 << len) - 1;
    if imm && imms as u32 & levels == levels {
        return None;
    }
    let s = imms as u32 & levels;
    let r = immr as u32 & levels;
    let diff = s.wrapping_sub(r) & levels;
    let esize = 1_u32 << len;
    let welem = ones(s + 1);
    let telem = ones(diff + 1);
    let rotated = if r == 0 {
        welem
    } else {
        ((welem >> r) | (welem << (esize - r))) & ones(esize)
    };
    Some((replicate(rotated, esize), replicate(telem, esize)))
}

const fn ones(n: u32) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

const fn replicate(element: u64, esize: u32) -> u64 {
    let mut out = element;
    let mut size = esize;
    while size < 64 {
        out |= out << size;
        size *= 2;
    }
    out
}

/// Whether a logical immediate is allocated.
#[must_use]
pub const fn logical_ok(sf: bool, n: bool, imms: u8, immr: u8) -> bool {
    logical_imm(sf, n, imms, immr).is_some()
}

/// `MoveWidePreferred`: whether an ORR immediate of this form is better written as MOVZ/MOVN,
/// so that it is not printed as `mov`.
#[must_use]
pub const fn move_wide_preferred(sf: bool, n: bool, imms: u8, immr: u8) -> bool {
    let Some(value) = logical_imm(sf, n, imms, immr) else {
        return false;
    };
    let width = if sf { 4 } else { 2 };
    let inverted = if sf { !value } else { !value & 0xffff_ffff };
    wide(value, width) || wide(inverted, width)
}

/// Whether all set bits are in one of the `n` 16-bit parts.
const fn wide(value: u64, n: u32) -> bool {
    let mut part = 0;
    while part < n {
        if value & !(0xffff << (16 * part)) == 0 {
            return true;
        }
        part += 1;
    }
    false
}

/// `VFPExpandImm` for 64 bits: the bits of the double.
#[must_use]
pub const fn fp_imm64(imm8: u8) -> u64 {
    let sign = (imm8 as u64 >> 7) << 63;
    let exp = if imm8 & 0x40 != 0 { 0x3fc0 } else { 0x4000 } | ((imm8 as u64 >> 4 & 3) << 4);
    sign | (exp << 48) | ((imm8 as u64 & 0xf) << 48)
}

/// `VFPExpandImm` for 32 bits: the bits of the single.
#[must_use]
pub const fn fp_imm32(imm8: u8) -> u32 {
    let sign = (imm8 as u32 >> 7) << 31;
    let exp = if imm8 & 0x40 != 0 {
        0x3e00_0000
    } else {
        0x4000_0000
    };
    sign | exp | ((imm8 as u32 & 0x3f) << 19)
}

/// `VFPExpandImm` for 16 bits: the bits of the half.
#[must_use]
pub const fn fp_imm16(imm8: u8) -> u16 {
    let sign = (imm8 as u16 >> 7) << 15;
    let exp = if imm8 & 0x40 != 0 { 0x3000 } else { 0x4000 };
    sign | exp | ((imm8 as u16 & 0x3f) << 6)
}

/// `AdvSIMDExpandImm`: the 64-bit value, repeated over the register.
#[must_use]
pub const fn simd_imm(op: bool, cmode: u8, imm8: u8) -> u64 {
    let v = imm8 as u64;
    match cmode >> 1 {
        0..=3 => replicate(v << (8 * (cmode >> 1)), 32),
        4 => replicate(v, 16),
        5 => replicate(v << 8, 16),
        6 if cmode & 1 == 0 => replicate((v << 8) | 0xff, 32),
        6 => replicate((v << 16) | 0xffff, 32),
        _ if cmode & 1 == 0 && !op => replicate(v, 8),
        _ if cmode & 1 == 0 => {
            let mut out = 0;
            let mut i = 0;
            while i < 8 {
                if imm8 >> i & 1 != 0 {
                    out |= 0xff << (8 * i);
                }
                i += 1;
            }
            out
        }
        _ if !op => replicate(fp_imm32(imm8) as u64, 32),
        _ => fp_imm64(imm8),
    }
}

/// Whether a BFM of this form is printed as `bfxil` rather than `bfi`.
#[must_use]
pub const fn bfxil_preferred(imms: u8, immr: u8) -> bool {
    imms >= immr
}

/// `BFXPreferred`: whether SBFM/UBFM of this form is printed as `sbfx`/`ubfx`.
#[must_use]
pub const fn bfx_preferred(sf: bool, unsigned: bool, imms: u8, immr: u8) -> bool {
    let top = if sf { 63 } else { 31 };
    if imms < immr || imms == top {
        return false;
    }
    if immr == 0 {
        if !sf && (imms == 7 || imms == 15) {
            return false;
        }
        if sf && !unsigned && (imms == 7 || imms == 15 || imms == 31) {
            return false;
        }
    }
    true
}

/// The position of the lowest set bit of `imm5` (0 = 8-bit elements ...), 4 and more = reserved.
#[must_use]
pub const fn imm5_size(imm5: u8) -> u8 {
    if imm5 == 0 {
        5
    } else {
        imm5.trailing_zeros() as u8
    }
}

/// The number of registers of LD1/ST1 (multiple structures), 0 = not one of these.
#[must_use]
pub const fn ld1_count(opcode: u8) -> u8 {
    match opcode {
        7 => 1,
        10 => 2,
        6 => 3,
        2 => 4,
        _ => 0,
    }
}

/// log2 of the element size in bytes of a single-structure load or store.
#[must_use]
pub const fn single_size(scale: u8, size: u8) -> u8 {
    if scale == 2 && size & 1 != 0 {
        3
    } else {
        scale
    }
}

/// The element index of a single-structure load or store.
#[must_use]
pub const fn single_index(scale: u8, q: bool, s: bool, size: u8) -> u8 {
    let index = (q as u8) << 3 | (s as u8) << 2 | size;
    index >> single_size(scale, size)
}

/// Whether a single-structure load or store of one element is allocated.
#[must_use]
pub const fn single_ok(scale: u8, s: bool, size: u8) -> bool {
    match scale {
        0 => true,
        1 => size & 1 == 0,
        2 => size == 0 || (size == 1 && !s),
        _ => false,
    }
}

/// The element index in `imm5`.
#[must_use]
pub const fn imm5_index(imm5: u8) -> u8 {
    imm5 >> (imm5_size(imm5) + 1)
}

/// The element size (log2 of bytes) of a SIMD shift, from `immh:immb` (8 and more).
#[must_use]
pub const fn shift_size(immhb: u8) -> u8 {
    match immhb {
        0..=15 => 0,
        16..=31 => 1,
        32..=63 => 2,
        _ => 3,
    }
}

/// The amount of a SIMD right shift (1 ..= element bits), also the number of fraction bits.
#[must_use]
pub const fn right_amount(immhb: u8) -> u8 {
    (16 << shift_size(immhb)) - immhb
}

/// The amount of a SIMD left shift (0 .. element bits).
#[must_use]
pub const fn left_amount(immhb: u8) -> u8 {
    immhb - (8 << shift_size(immhb))
}

/// The register of a by-element operand: `rm` is bits 19:16, `hlm` the bits H, L and M.
#[must_use]
pub const fn elem_reg(size: u8, hlm: u8, rm: u8) -> u8 {
    if size >= 2 { (hlm & 1) << 4 | rm } else { rm }
}

/// The index of a by-element operand of `size` 1 (16 bits) to 3.
#[must_use]
pub const fn elem_index(size: u8, hlm: u8) -> u8 {
    match size {
        0 | 1 => hlm,
        2 => hlm >> 1,
        _ => hlm >> 2,
    }
}

/// Whether `cmode` is one of the shifted forms that MOVI and MVNI share.
#[must_use]
pub const fn movi_cmode(cmode: u8) -> bool {
    cmode >> 1 == 6 || (cmode < 12 && cmode & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logical_immediates() {
        assert_eq!(logical_imm(true, true, 0, 0), Some(1));
        assert_eq!(
            logical_imm(true, false, 0b111100, 0),
            Some(0x5555_5555_5555_5555)
        );
        assert_eq!(logical_imm(false, false, 0b000111, 0), Some(0xff));
        assert_eq!(logical_imm(false, true, 0b000111, 0), None);
        assert_eq!(logical_imm(true, true, 63, 0), None);
        assert_eq!(logical_imm(true, false, 0b111111, 0), None);
        assert_eq!(
            logical_imm(true, true, 0b000011, 4),
            Some(0xf000_0000_0000_0000)
        );
        let count = (0..=0x1fff_u32)
            .filter_map(|v| logical_imm(true, v >> 12 != 0, v as u8 & 63, (v >> 6) as u8 & 63))
            .collect::<alloc::collections::BTreeSet<_>>();
        assert_eq!(count.len(), 5334);
    }

    #[test]
    fn float_immediates() {
        assert_eq!(f64::from_bits(fp_imm64(0x70)), 1.0);
        assert_eq!(f64::from_bits(fp_imm64(0x00)), 2.0);
        assert_eq!(f64::from_bits(fp_imm64(0x80)), -2.0);
        assert_eq!(f64::from_bits(fp_imm64(0x3f)), 31.0);
        assert_eq!(f64::from_bits(fp_imm64(0x40)), 0.125);
        for imm8 in 0..=255 {
            let wide = f64::from_bits(fp_imm64(imm8));
            assert_eq!(f64::from(f32::from_bits(fp_imm32(imm8))), wide);
        }
        assert_eq!(fp_imm16(0x70), 0x3c00);
        assert_eq!(fp_imm16(0x00), 0x4000);
    }

    #[test]
    fn simd_immediates() {
        assert_eq!(simd_imm(false, 0b1110, 0xab), 0xabab_abab_abab_abab);
        assert_eq!(simd_imm(true, 0b1110, 0x81), 0xff00_0000_0000_00ff);
        assert_eq!(simd_imm(false, 0b0010, 1), 0x0000_0100_0000_0100);
        assert_eq!(simd_imm(false, 0b1101, 1), 0x0001_ffff_0001_ffff);
        assert_eq!(simd_imm(true, 0b1111, 0x70), 1.0_f64.to_bits());
    }
}
