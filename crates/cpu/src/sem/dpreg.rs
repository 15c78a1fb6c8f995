//! Data processing on registers (Arm ARM C4.1.95).

use tuxlet_a64 as a64;

use super::dpimm::mask;
use crate::crypto::crc;
use crate::cx::{Cx, Step};

/// `ShiftReg`: 0 LSL, 1 LSR, 2 ASR, 3 ROR by an amount below the register size.
#[inline(always)]
pub(crate) fn shift(sf: bool, v: u64, kind: u8, by: u8) -> u64 {
    if sf {
        match kind {
            0 => v.wrapping_shl(by.into()),
            1 => v.wrapping_shr(by.into()),
            2 => (v as i64).wrapping_shr(by.into()) as u64,
            _ => v.rotate_right(by.into()),
        }
    } else {
        let v = v as u32;
        u64::from(match kind {
            0 => v.wrapping_shl(by.into()),
            1 => v.wrapping_shr(by.into()),
            2 => (v as i32).wrapping_shr(by.into()) as u32,
            _ => v.rotate_right(by.into()),
        })
    }
}

/// `ExtendReg`: UXTB, UXTH, UXTW, UXTX, SXTB, SXTH, SXTW, SXTX, then a left shift.
#[inline(always)]
pub(crate) fn extend(v: u64, option: u8, by: u8) -> u64 {
    let v = match option {
        0 => u64::from(v as u8),
        1 => u64::from(v as u16),
        2 => u64::from(v as u32),
        4 => v as i8 as u64,
        5 => v as i16 as u64,
        6 => v as i32 as u64,
        _ => v,
    };
    v.wrapping_shl(by.into())
}

macro_rules! shifted {
    ($($(#[$doc:meta])* $name:ident $row:ident |$a:ident, $b:ident| $r:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let $a = c.x(i.rn);
            let $b = shift(i.sf, c.x(i.rm), i.shift, i.imm6);
            c.set_xw(i.sf, i.rd, $r);
            Ok(())
        }
    )*};
}
shifted! {
    /// AND (shifted register).
    and_shifted AndShifted |a, b| a & b;
    /// BIC (shifted register).
    bic_shifted BicShifted |a, b| a & !b;
    /// ORR (shifted register).
    orr_shifted OrrShifted |a, b| a | b;
    /// ORN (shifted register).
    orn_shifted OrnShifted |a, b| a | !b;
    /// EOR (shifted register).
    eor_shifted EorShifted |a, b| a ^ b;
    /// EON (shifted register).
    eon_shifted EonShifted |a, b| a ^ !b;
    /// ADD (shifted register).
    add_shifted AddShifted |a, b| a.wrapping_add(b);
    /// SUB (shifted register).
    sub_shifted SubShifted |a, b| a.wrapping_sub(b);
}

/// ANDS (shifted register).
#[inline(always)]
pub(crate) fn ands_shifted<C: Cx>(c: &mut C, i: a64::AndsShifted) -> Step {
    let r = c.x(i.rn) & shift(i.sf, c.x(i.rm), i.shift, i.imm6) & mask(i.sf);
    c.flags_logic(i.sf, r);
    c.set_x(i.rd, r);
    Ok(())
}

/// BICS (shifted register).
#[inline(always)]
pub(crate) fn bics_shifted<C: Cx>(c: &mut C, i: a64::BicsShifted) -> Step {
    let r = c.x(i.rn) & !shift(i.sf, c.x(i.rm), i.shift, i.imm6) & mask(i.sf);
    c.flags_logic(i.sf, r);
    c.set_x(i.rd, r);
    Ok(())
}

/// ADDS (shifted register).
#[inline(always)]
pub(crate) fn adds_shifted<C: Cx>(c: &mut C, i: a64::AddsShifted) -> Step {
    let a = c.xw(i.sf, i.rn);
    let b = shift(i.sf, c.x(i.rm), i.shift, i.imm6);
    c.flags_add(i.sf, a, b);
    c.set_xw(i.sf, i.rd, a.wrapping_add(b));
    Ok(())
}

/// SUBS (shifted register).
#[inline(always)]
pub(crate) fn subs_shifted<C: Cx>(c: &mut C, i: a64::SubsShifted) -> Step {
    let a = c.xw(i.sf, i.rn);
    let b = shift(i.sf, c.x(i.rm), i.shift, i.imm6);
    c.flags_sub(i.sf, a, b);
    c.set_xw(i.sf, i.rd, a.wrapping_sub(b));
    Ok(())
}

/// ADD (extended register).
#[inline(always)]
pub(crate) fn add_extended<C: Cx>(c: &mut C, i: a64::AddExtended) -> Step {
    let r = c
        .xsp(i.rn)
        .wrapping_add(extend(c.x(i.rm), i.option, i.imm3));
    c.set_xsp(i.rd, r & mask(i.sf));
    Ok(())
}

/// SUB (extended register).
#[inline(always)]
pub(crate) fn sub_extended<C: Cx>(c: &mut C, i: a64::SubExtended) -> Step {
    let r = c
        .xsp(i.rn)
        .wrapping_sub(extend(c.x(i.rm), i.option, i.imm3));
    c.set_xsp(i.rd, r & mask(i.sf));
    Ok(())
}

/// ADDS (extended register).
#[inline(always)]
pub(crate) fn adds_extended<C: Cx>(c: &mut C, i: a64::AddsExtended) -> Step {
    let a = c.xsp(i.rn) & mask(i.sf);
    let b = extend(c.x(i.rm), i.option, i.imm3) & mask(i.sf);
    c.flags_add(i.sf, a, b);
    c.set_xw(i.sf, i.rd, a.wrapping_add(b));
    Ok(())
}

/// SUBS (extended register).
#[inline(always)]
pub(crate) fn subs_extended<C: Cx>(c: &mut C, i: a64::SubsExtended) -> Step {
    let a = c.xsp(i.rn) & mask(i.sf);
    let b = extend(c.x(i.rm), i.option, i.imm3) & mask(i.sf);
    c.flags_sub(i.sf, a, b);
    c.set_xw(i.sf, i.rd, a.wrapping_sub(b));
    Ok(())
}

/// `AddWithCarry`: the sum and NZCV in bits 31 to 28. Operands are already truncated.
#[inline(always)]
fn add_with_carry(sf: bool, a: u64, b: u64, carry: bool) -> (u64, u32) {
    let (n, z, c, v, r);
    if sf {
        let (s, c1) = a.overflowing_add(b);
        let (s, c2) = s.overflowing_add(u64::from(carry));
        (n, z, c) = ((s as i64) < 0, s == 0, c1 || c2);
        v = ((a ^ s) & (b ^ s)) >> 63 != 0;
        r = s;
    } else {
        let wide = a + b + u64::from(carry);
        let s = wide & 0xffff_ffff;
        (n, z, c) = ((s as i32) < 0, s == 0, wide >> 32 != 0);
        v = ((a ^ s) & (b ^ s)) >> 31 & 1 != 0;
        r = s;
    }
    (
        r,
        u32::from(n) << 31 | u32::from(z) << 30 | u32::from(c) << 29 | u32::from(v) << 28,
    )
}

macro_rules! with_carry {
    ($($(#[$doc:meta])* $name:ident $row:ident $invert:literal $flags:literal;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = c.xw(i.sf, i.rn);
            let b = if $invert { !c.x(i.rm) & mask(i.sf) } else { c.xw(i.sf, i.rm) };
            let (r, nzcv) = add_with_carry(i.sf, a, b, c.cond(2));
            if $flags {
                c.set_nzcv(nzcv);
            }
            c.set_x(i.rd, r);
            Ok(())
        }
    )*};
}
with_carry! {
    /// ADC.
    adc Adc false false;
    /// ADCS.
    adcs Adcs false true;
    /// SBC.
    sbc Sbc true false;
    /// SBCS.
    sbcs Sbcs true true;
}

/// RMIF.
#[inline(always)]
pub(crate) fn rmif<C: Cx>(c: &mut C, i: a64::Rmif) -> Step {
    let flags = c.x(i.rn).rotate_right(i.imm6.into()) as u32 & 15;
    let mask = u32::from(i.mask);
    let old = c.nzcv() >> 28;
    c.set_nzcv((old & !mask | flags & mask) << 28);
    Ok(())
}

/// The flags SETF8 and SETF16 set: N, Z and V from the low `bits`; C stays.
#[inline(always)]
fn setf<C: Cx>(c: &mut C, v: u32, bits: u32) {
    let top = v << (32 - bits);
    let n = top & 1 << 31;
    let z = u32::from(top == 0) << 30;
    let overflow = (v >> bits ^ v >> (bits - 1)) & 1;
    let carry = c.nzcv() & 1 << 29;
    c.set_nzcv(n | z | carry | overflow << 28);
}

/// SETF8.
#[inline(always)]
pub(crate) fn setf8<C: Cx>(c: &mut C, i: a64::Setf8) -> Step {
    let v = c.w(i.rn);
    setf(c, v, 8);
    Ok(())
}

/// SETF16.
#[inline(always)]
pub(crate) fn setf16<C: Cx>(c: &mut C, i: a64::Setf16) -> Step {
    let v = c.w(i.rn);
    setf(c, v, 16);
    Ok(())
}

macro_rules! conditional_compare {
    ($($(#[$doc:meta])* $name:ident $row:ident $flags:ident |$c:ident, $i:ident| $b:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>($c: &mut C, $i: a64::$row) -> Step {
            if $c.cond($i.cond) {
                let a = $c.xw($i.sf, $i.rn);
                let b = $b;
                $c.$flags($i.sf, a, b);
            } else {
                $c.set_nzcv(u32::from($i.nzcv) << 28);
            }
            Ok(())
        }
    )*};
}
conditional_compare! {
    /// CCMN (register).
    ccmn_reg CcmnReg flags_add |c, i| c.xw(i.sf, i.rm);
    /// CCMN (immediate).
    ccmn_imm CcmnImm flags_add |c, i| u64::from(i.imm5);
    /// CCMP (register).
    ccmp_reg CcmpReg flags_sub |c, i| c.xw(i.sf, i.rm);
    /// CCMP (immediate).
    ccmp_imm CcmpImm flags_sub |c, i| u64::from(i.imm5);
}

macro_rules! conditional_select {
    ($($(#[$doc:meta])* $name:ident $row:ident |$b:ident| $r:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = c.x(i.rn);
            let $b = c.x(i.rm);
            let b = $r;
            let r = if c.cond(i.cond) { a } else { b };
            c.set_xw(i.sf, i.rd, r);
            Ok(())
        }
    )*};
}
conditional_select! {
    /// CSEL.
    csel Csel |b| b;
    /// CSINC.
    csinc Csinc |b| b.wrapping_add(1);
    /// CSINV.
    csinv Csinv |b| !b;
    /// CSNEG.
    csneg Csneg |b| b.wrapping_neg();
}

macro_rules! one_source {
    ($($(#[$doc:meta])* $name:ident $row:ident |$x:ident| $long:expr, |$w:ident| $short:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            if i.sf {
                let $x = c.x(i.rn);
                c.set_x(i.rd, $long);
            } else {
                let $w = c.w(i.rn);
                c.set_w(i.rd, $short);
            }
            Ok(())
        }
    )*};
}
one_source! {
    /// RBIT.
    rbit Rbit |x| x.reverse_bits(), |w| w.reverse_bits();
    /// REV16.
    rev16 Rev16 |x| rev16_bytes(x), |w| rev16_bytes(w.into()) as u32;
    /// REV.
    rev Rev |x| x.swap_bytes(), |w| w.swap_bytes();
    /// CLZ.
    clz Clz |x| x.leading_zeros().into(), |w| w.leading_zeros();
    /// CLS.
    cls Cls |x| ((x ^ x << 1) | 1).leading_zeros().into(), |w| ((w ^ w << 1) | 1).leading_zeros();
    /// CTZ.
    ctz Ctz |x| x.trailing_zeros().into(), |w| w.trailing_zeros();
    /// CNT (general register).
    cnt Cnt |x| x.count_ones().into(), |w| w.count_ones();
    /// ABS (general register).
    abs Abs |x| (x as i64).wrapping_abs() as u64, |w| (w as i32).wrapping_abs() as u32;
}

/// Swaps the bytes of each halfword.
#[inline(always)]
fn rev16_bytes(x: u64) -> u64 {
    (x & 0x00ff_00ff_00ff_00ff) << 8 | x >> 8 & 0x00ff_00ff_00ff_00ff
}

/// REV32.
#[inline(always)]
pub(crate) fn rev32<C: Cx>(c: &mut C, i: a64::Rev32) -> Step {
    let r = c.x(i.rn).swap_bytes().rotate_left(32);
    c.set_x(i.rd, r);
    Ok(())
}

macro_rules! two_sources {
    ($($(#[$doc:meta])* $name:ident $row:ident |$a:ident, $b:ident| $long:expr, $short:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            if i.sf {
                let ($a, $b) = (c.x(i.rn), c.x(i.rm));
                c.set_x(i.rd, $long);
            } else {
                let ($a, $b) = (c.w(i.rn), c.w(i.rm));
                c.set_w(i.rd, $short);
            }
            Ok(())
        }
    )*};
}
two_sources! {
    /// UDIV; division by zero gives zero.
    udiv Udiv |a, b| a.checked_div(b).unwrap_or(0), a.checked_div(b).unwrap_or(0);
    /// SDIV; division by zero gives zero, overflow wraps.
    sdiv Sdiv |a, b| if b == 0 { 0 } else { (a as i64).wrapping_div(b as i64) as u64 },
        if b == 0 { 0 } else { (a as i32).wrapping_div(b as i32) as u32 };
    /// LSLV.
    lslv Lslv |a, b| a.wrapping_shl(b as u32), a.wrapping_shl(b);
    /// LSRV.
    lsrv Lsrv |a, b| a.wrapping_shr(b as u32), a.wrapping_shr(b);
    /// ASRV.
    asrv Asrv |a, b| (a as i64).wrapping_shr(b as u32) as u64, (a as i32).wrapping_shr(b) as u32;
    /// RORV.
    rorv Rorv |a, b| a.rotate_right(b as u32 & 63), a.rotate_right(b & 31);
}

/// Minima and maxima of either size.
pub(crate) mod minmax {
    /// Of the signed values.
    #[inline(always)]
    pub(crate) fn signed(
        sf: bool,
        a: u64,
        b: u64,
        long: fn(i64, i64) -> i64,
        short: fn(i32, i32) -> i32,
    ) -> u64 {
        if sf {
            long(a as i64, b as i64) as u64
        } else {
            short(a as i32, b as i32) as u32 as u64
        }
    }

    /// Of the unsigned values.
    #[inline(always)]
    pub(crate) fn unsigned(
        sf: bool,
        a: u64,
        b: u64,
        long: fn(u64, u64) -> u64,
        short: fn(u32, u32) -> u32,
    ) -> u64 {
        if sf {
            long(a, b)
        } else {
            short(a as u32, b as u32).into()
        }
    }
}

macro_rules! minmax_reg {
    ($($(#[$doc:meta])* $name:ident $row:ident $signed:ident $pick:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let r = minmax::$signed(i.sf, c.x(i.rn), c.x(i.rm), Ord::$pick, Ord::$pick);
            c.set_x(i.rd, r);
            Ok(())
        }
    )*};
}
minmax_reg! {
    /// SMAX (register).
    smax_reg SmaxReg signed max;
    /// UMAX (register).
    umax_reg UmaxReg unsigned max;
    /// SMIN (register).
    smin_reg SminReg signed min;
    /// UMIN (register).
    umin_reg UminReg unsigned min;
}

/// CRC32B, CRC32H, CRC32W, CRC32X.
#[inline(always)]
pub(crate) fn crc32<C: Cx>(c: &mut C, i: a64::Crc32) -> Step {
    let r = crc::crc32(c.w(i.rn), c.x(i.rm), i.size);
    c.set_w(i.rd, r);
    Ok(())
}

/// CRC32CB, CRC32CH, CRC32CW, CRC32CX.
#[inline(always)]
pub(crate) fn crc32c<C: Cx>(c: &mut C, i: a64::Crc32c) -> Step {
    let r = crc::crc32c(c.w(i.rn), c.x(i.rm), i.size);
    c.set_w(i.rd, r);
    Ok(())
}

macro_rules! three_sources {
    ($($(#[$doc:meta])* $name:ident $row:ident |$a:ident, $n:ident, $m:ident| $r:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let ($a, $n, $m) = (c.x(i.ra), c.x(i.rn), c.x(i.rm));
            c.set_x(i.rd, $r);
            Ok(())
        }
    )*};
}
three_sources! {
    /// SMADDL.
    smaddl Smaddl |a, n, m| a.wrapping_add((n as i32 as i64).wrapping_mul(m as i32 as i64) as u64);
    /// SMSUBL.
    smsubl Smsubl |a, n, m| a.wrapping_sub((n as i32 as i64).wrapping_mul(m as i32 as i64) as u64);
    /// UMADDL.
    umaddl Umaddl |a, n, m| a.wrapping_add((n & 0xffff_ffff) * (m & 0xffff_ffff));
    /// UMSUBL.
    umsubl Umsubl |a, n, m| a.wrapping_sub((n & 0xffff_ffff) * (m & 0xffff_ffff));
}

/// MADD, MUL.
#[inline(always)]
pub(crate) fn madd<C: Cx>(c: &mut C, i: a64::Madd) -> Step {
    let r = c.x(i.ra).wrapping_add(c.x(i.rn).wrapping_mul(c.x(i.rm)));
    c.set_xw(i.sf, i.rd, r);
    Ok(())
}

/// MSUB, MNEG.
#[inline(always)]
pub(crate) fn msub<C: Cx>(c: &mut C, i: a64::Msub) -> Step {
    let r = c.x(i.ra).wrapping_sub(c.x(i.rn).wrapping_mul(c.x(i.rm)));
    c.set_xw(i.sf, i.rd, r);
    Ok(())
}

/// SMULH.
#[inline(always)]
pub(crate) fn smulh<C: Cx>(c: &mut C, i: a64::Smulh) -> Step {
    let r = i128::from(c.x(i.rn) as i64) * i128::from(c.x(i.rm) as i64);
    c.set_x(i.rd, (r >> 64) as u64);
    Ok(())
}

/// UMULH.
#[inline(always)]
pub(crate) fn umulh<C: Cx>(c: &mut C, i: a64::Umulh) -> Step {
    let r = u128::from(c.x(i.rn)) * u128::from(c.x(i.rm));
    c.set_x(i.rd, (r >> 64) as u64);
    Ok(())
}
