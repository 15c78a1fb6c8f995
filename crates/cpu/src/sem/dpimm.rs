//! Data processing with an immediate (Arm ARM C4.1.93).

use tuxlet_a64::{self as a64, imm::bit_masks, imm::logical_imm};

use crate::cx::{Cx, Step};

/// All ones in a register of the size.
#[inline(always)]
pub(crate) fn mask(sf: bool) -> u64 {
    if sf { u64::MAX } else { 0xffff_ffff }
}

/// ADR.
#[inline(always)]
pub(crate) fn adr<C: Cx>(c: &mut C, i: a64::Adr) -> Step {
    let target = c.pc().wrapping_add(i64::from(i.imm) as u64);
    c.set_x(i.rd, target);
    Ok(())
}

/// ADRP.
#[inline(always)]
pub(crate) fn adrp<C: Cx>(c: &mut C, i: a64::Adrp) -> Step {
    let target = (c.pc() & !0xfff).wrapping_add(i.imm as u64);
    c.set_x(i.rd, target);
    Ok(())
}

/// The immediate of the add/subtract group.
#[inline(always)]
pub(crate) fn imm12(sh: bool, imm12: u16) -> u64 {
    u64::from(imm12) << if sh { 12 } else { 0 }
}

/// `rd = rn + imm`; 31 is SP.
#[inline(always)]
pub(crate) fn add_value<C: Cx>(c: &mut C, sf: bool, rd: u8, rn: u8, imm: u64) -> Step {
    let r = c.xsp(rn).wrapping_add(imm) & mask(sf);
    c.set_xsp(rd, r);
    Ok(())
}

/// ADD (immediate).
#[inline(always)]
pub(crate) fn add_imm<C: Cx>(c: &mut C, i: a64::AddImm) -> Step {
    add_value(c, i.sf, i.rd, i.rn, imm12(i.sh, i.imm12))
}

/// SUB (immediate).
#[inline(always)]
pub(crate) fn sub_imm<C: Cx>(c: &mut C, i: a64::SubImm) -> Step {
    add_value(c, i.sf, i.rd, i.rn, imm12(i.sh, i.imm12).wrapping_neg())
}

/// `rd = rn + imm` with flags; 31 is SP as `rn`, zero as `rd`.
#[inline(always)]
pub(crate) fn adds_value<C: Cx>(c: &mut C, sf: bool, rd: u8, rn: u8, imm: u64) -> Step {
    let a = c.xsp(rn) & mask(sf);
    c.flags_add(sf, a, imm);
    c.set_x(rd, a.wrapping_add(imm) & mask(sf));
    Ok(())
}

/// ADDS (immediate).
#[inline(always)]
pub(crate) fn adds_imm<C: Cx>(c: &mut C, i: a64::AddsImm) -> Step {
    adds_value(c, i.sf, i.rd, i.rn, imm12(i.sh, i.imm12))
}

/// `rd = rn - imm` with flags; 31 is SP as `rn`, zero as `rd`.
#[inline(always)]
pub(crate) fn subs_value<C: Cx>(c: &mut C, sf: bool, rd: u8, rn: u8, imm: u64) -> Step {
    let a = c.xsp(rn) & mask(sf);
    c.flags_sub(sf, a, imm);
    c.set_x(rd, a.wrapping_sub(imm) & mask(sf));
    Ok(())
}

/// SUBS (immediate).
#[inline(always)]
pub(crate) fn subs_imm<C: Cx>(c: &mut C, i: a64::SubsImm) -> Step {
    subs_value(c, i.sf, i.rd, i.rn, imm12(i.sh, i.imm12))
}

macro_rules! minmax_imm {
    ($($(#[$doc:meta])* $name:ident $row:ident $signed:ident $pick:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = c.xw(i.sf, i.rn);
            let b = i64::from(i.imm8) as u64;
            c.set_xw(i.sf, i.rd, super::dpreg::minmax::$signed(i.sf, a, b, Ord::$pick, Ord::$pick));
            Ok(())
        }
    )*};
}
minmax_imm! {
    /// SMAX (immediate).
    smax_imm SmaxImm signed max;
    /// UMAX (immediate).
    umax_imm UmaxImm unsigned max;
    /// SMIN (immediate).
    smin_imm SminImm signed min;
    /// UMIN (immediate).
    umin_imm UminImm unsigned min;
}

/// `rd = rn & imm`; `rd` 31 is SP.
#[inline(always)]
pub(crate) fn and_value<C: Cx>(c: &mut C, sf: bool, rd: u8, rn: u8, imm: u64) -> Step {
    let r = c.x(rn) & imm & mask(sf);
    c.set_xsp(rd, r);
    Ok(())
}

/// `rd = rn | imm`; `rd` 31 is SP.
#[inline(always)]
pub(crate) fn orr_value<C: Cx>(c: &mut C, sf: bool, rd: u8, rn: u8, imm: u64) -> Step {
    let r = (c.x(rn) | imm) & mask(sf);
    c.set_xsp(rd, r);
    Ok(())
}

/// `rd = rn ^ imm`; `rd` 31 is SP.
#[inline(always)]
pub(crate) fn eor_value<C: Cx>(c: &mut C, sf: bool, rd: u8, rn: u8, imm: u64) -> Step {
    let r = (c.x(rn) ^ imm) & mask(sf);
    c.set_xsp(rd, r);
    Ok(())
}

/// `rd = rn & imm` with flags.
#[inline(always)]
pub(crate) fn ands_value<C: Cx>(c: &mut C, sf: bool, rd: u8, rn: u8, imm: u64) -> Step {
    let r = c.x(rn) & imm & mask(sf);
    c.flags_logic(sf, r);
    c.set_x(rd, r);
    Ok(())
}

macro_rules! logical_imm {
    ($($(#[$doc:meta])* $name:ident $row:ident $value:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            // Reserved immediates do not decode to this row.
            let imm = logical_imm(i.sf, i.n, i.imms, i.immr).unwrap_or(0);
            $value(c, i.sf, i.rd, i.rn, imm)
        }
    )*};
}
logical_imm! {
    /// AND (immediate).
    and_imm AndImm and_value;
    /// ORR (immediate).
    orr_imm OrrImm orr_value;
    /// EOR (immediate).
    eor_imm EorImm eor_value;
    /// ANDS (immediate).
    ands_imm AndsImm ands_value;
}

/// MOVN.
#[inline(always)]
pub(crate) fn movn<C: Cx>(c: &mut C, i: a64::Movn) -> Step {
    c.set_xw(i.sf, i.rd, !(u64::from(i.imm16) << (16 * i.hw)));
    Ok(())
}

/// MOVZ.
#[inline(always)]
pub(crate) fn movz<C: Cx>(c: &mut C, i: a64::Movz) -> Step {
    c.set_x(i.rd, u64::from(i.imm16) << (16 * i.hw));
    Ok(())
}

/// MOVK.
#[inline(always)]
pub(crate) fn movk<C: Cx>(c: &mut C, i: a64::Movk) -> Step {
    let shift = 16 * (i.hw & 3);
    let r = c.x(i.rd) & !(0xffff << shift) | u64::from(i.imm16) << shift;
    c.set_xw(i.sf, i.rd, r);
    Ok(())
}

/// The masks of a bitfield move; reserved forms do not decode.
#[inline(always)]
fn field_masks(n: bool, imms: u8, immr: u8) -> (u64, u64) {
    bit_masks(n, imms, immr, false).unwrap_or((0, 0))
}

/// Rotates right within the register size.
#[inline(always)]
pub(crate) fn ror(sf: bool, v: u64, by: u32) -> u64 {
    if sf {
        v.rotate_right(by)
    } else {
        u64::from((v as u32).rotate_right(by))
    }
}

/// SBFM: ASR, SBFIZ, SBFX, SXTB, SXTH, SXTW.
#[inline(always)]
pub(crate) fn sbfm<C: Cx>(c: &mut C, i: a64::Sbfm) -> Step {
    let (wmask, tmask) = field_masks(i.n, i.imms, i.immr);
    let src = c.xw(i.sf, i.rn);
    let bot = ror(i.sf, src, u32::from(i.immr)) & wmask;
    let top = if src >> i.imms & 1 != 0 { u64::MAX } else { 0 };
    c.set_xw(i.sf, i.rd, top & !tmask | bot & tmask);
    Ok(())
}

/// BFM: BFC, BFI, BFXIL.
#[inline(always)]
pub(crate) fn bfm<C: Cx>(c: &mut C, i: a64::Bfm) -> Step {
    let (wmask, tmask) = field_masks(i.n, i.imms, i.immr);
    let dst = c.xw(i.sf, i.rd);
    let src = c.xw(i.sf, i.rn);
    let bot = dst & !wmask | ror(i.sf, src, u32::from(i.immr)) & wmask;
    c.set_xw(i.sf, i.rd, dst & !tmask | bot & tmask);
    Ok(())
}

/// UBFM: LSL, LSR, UBFIZ, UBFX, UXTB, UXTH.
#[inline(always)]
pub(crate) fn ubfm<C: Cx>(c: &mut C, i: a64::Ubfm) -> Step {
    let (wmask, tmask) = field_masks(i.n, i.imms, i.immr);
    let src = c.xw(i.sf, i.rn);
    c.set_xw(
        i.sf,
        i.rd,
        ror(i.sf, src, u32::from(i.immr)) & wmask & tmask,
    );
    Ok(())
}

/// EXTR, ROR (immediate).
#[inline(always)]
pub(crate) fn extr<C: Cx>(c: &mut C, i: a64::Extr) -> Step {
    let (hi, lo) = (c.xw(i.sf, i.rn), c.xw(i.sf, i.rm));
    let r = if i.sf {
        (u128::from(hi) << 64 | u128::from(lo)) >> (i.imms & 63)
    } else {
        u128::from((hi << 32 | lo) >> (i.imms & 31))
    };
    c.set_xw(i.sf, i.rd, r as u64);
    Ok(())
}
