//! Scalar floating point. `ftype`: 0 single, 1 double, 3 half precision.

use tuxlet_a64 as a64;
use tuxlet_a64::imm::{fp_imm16, fp_imm32, fp_imm64};

use super::fp_ops::{
    Flagged, Real, compare, control, from_int, raise, round_int, round_int_sized, shorten,
    soft_convert, soft2, to_int, widen,
};
use crate::cx::{Cx, Step};
use crate::softfloat::{self as soft, Env, Format, Rounding};

/// Runs an expression with `F` naming the format.
macro_rules! with_format {
    ($ftype:expr, $f:ident => $e:expr) => {
        match $ftype {
            0 => {
                type $f = u32;
                $e
            }
            1 => {
                type $f = u64;
                $e
            }
            _ => {
                type $f = u16;
                $e
            }
        }
    };
}

/// The low bits of V`r` as a number.
#[inline(always)]
pub(super) fn real<C: Cx, F: Format>(c: &C, r: u8) -> F {
    F::from_bits(c.d(r))
}

/// Writes a number to V`rd`, clearing the rest, and raises its flags.
#[inline(always)]
pub(super) fn finish<C: Cx, F: Format>(c: &mut C, rd: u8, (r, flags): Flagged<F>) -> Step {
    raise(c, flags)?;
    c.set_v(rd, u128::from(r.bits()));
    Ok(())
}

// One source: expressions of the operand and FPCR.
macro_rules! one_source {
    ($($name:ident $row:ident: |$a:ident, $fpcr:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let $fpcr = control(c);
            with_format!(i.ftype, F => {
                let $a: F = real(c, i.rn);
                finish(c, i.rd, $e)?;
            });
            Ok(())
        }
    )*};
}
one_source! {
    fmov_reg FmovReg: |a, _fpcr| (a, 0);
    fabs_scalar FabsScalar: |a, _fpcr| (soft::abs(a), 0);
    fneg_scalar FnegScalar: |a, _fpcr| (soft::neg(a), 0);
    fsqrt_scalar FsqrtScalar: |a, fpcr| Real::sqrt(a, fpcr);
    frintn_scalar FrintnScalar: |a, fpcr| round_int(a, Some(Rounding::TieEven), false, fpcr);
    frintp_scalar FrintpScalar: |a, fpcr| round_int(a, Some(Rounding::Up), false, fpcr);
    frintm_scalar FrintmScalar: |a, fpcr| round_int(a, Some(Rounding::Down), false, fpcr);
    frintz_scalar FrintzScalar: |a, fpcr| round_int(a, Some(Rounding::Zero), false, fpcr);
    frinta_scalar FrintaScalar: |a, fpcr| round_int(a, Some(Rounding::TieAway), false, fpcr);
    frintx_scalar FrintxScalar: |a, fpcr| round_int(a, None, true, fpcr);
    frinti_scalar FrintiScalar: |a, fpcr| round_int(a, None, false, fpcr);
}

macro_rules! round_to_size {
    ($($name:ident $row:ident: $mode:expr, $size:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let fpcr = control(c);
            if i.sz {
                let r = round_int_sized(c.d(i.rn), $mode, $size, fpcr);
                finish(c, i.rd, r)?;
            } else {
                let r = round_int_sized(c.s(i.rn), $mode, $size, fpcr);
                finish(c, i.rd, r)?;
            }
            Ok(())
        }
    )*};
}
round_to_size! {
    frint32z_scalar Frint32zScalar: Some(Rounding::Zero), 32;
    frint32x_scalar Frint32xScalar: None, 32;
    frint64z_scalar Frint64zScalar: Some(Rounding::Zero), 64;
    frint64x_scalar Frint64xScalar: None, 64;
}

#[inline(always)]
pub(crate) fn fcvt<C: Cx>(c: &mut C, i: a64::Fcvt) -> Step {
    let fpcr = control(c);
    let a = c.d(i.rn);
    let r = match (i.ftype, i.to) {
        (0, 1) => widen(a as u32, fpcr),
        (1, 0) => extend(shorten(a, fpcr)),
        (0, _) => extend(soft_convert::<u32, u16>(a as u32, fpcr)),
        (1, _) => extend(soft_convert::<u64, u16>(a, fpcr)),
        (_, 0) => extend(soft_convert::<u16, u32>(a as u16, fpcr)),
        (_, _) => soft_convert::<u16, u64>(a as u16, fpcr),
    };
    finish(c, i.rd, r)?;
    Ok(())
}

fn extend<F: Format>((r, flags): Flagged<F>) -> Flagged<u64> {
    (r.bits(), flags)
}

#[inline(always)]
pub(crate) fn bfcvt<C: Cx>(c: &mut C, i: a64::Bfcvt) -> Step {
    let mut env = Env::new(c.fpcr());
    let r = soft::bf16_from_single(c.s(i.rn), &mut env);
    finish(c, i.rd, (r, env.flags))?;
    Ok(())
}

// Two sources.
macro_rules! two_sources {
    ($($name:ident $row:ident: |$a:ident, $b:ident, $fpcr:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let $fpcr = control(c);
            with_format!(i.ftype, F => {
                let ($a, $b): (F, F) = (real(c, i.rn), real(c, i.rm));
                finish(c, i.rd, $e)?;
            });
            Ok(())
        }
    )*};
}
two_sources! {
    fadd_scalar FaddScalar: |a, b, fpcr| Real::add(a, b, fpcr);
    fsub_scalar FsubScalar: |a, b, fpcr| Real::sub(a, b, fpcr);
    fmul_scalar FmulScalar: |a, b, fpcr| Real::mul(a, b, fpcr);
    fdiv_scalar FdivScalar: |a, b, fpcr| Real::div(a, b, fpcr);
    fmax_scalar FmaxScalar: |a, b, fpcr| soft2(soft::max, a, b, fpcr);
    fmin_scalar FminScalar: |a, b, fpcr| soft2(soft::min, a, b, fpcr);
    fmaxnm_scalar FmaxnmScalar: |a, b, fpcr| soft2(soft::max_num, a, b, fpcr);
    fminnm_scalar FminnmScalar: |a, b, fpcr| soft2(soft::min_num, a, b, fpcr);
    fnmul_scalar FnmulScalar: |a, b, fpcr| {
        let (r, flags) = Real::mul(a, b, fpcr);
        (soft::neg(r), flags)
    };
}

// Three sources.
macro_rules! three_sources {
    ($($name:ident $row:ident: |$a:ident, $n:ident, $m:ident, $fpcr:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let $fpcr = control(c);
            with_format!(i.ftype, F => {
                let ($a, $n, $m): (F, F, F) = (real(c, i.ra), real(c, i.rn), real(c, i.rm));
                finish(c, i.rd, $e)?;
            });
            Ok(())
        }
    )*};
}
three_sources! {
    fmadd Fmadd: |a, n, m, fpcr| Real::mul_add(a, n, m, fpcr);
    fmsub Fmsub: |a, n, m, fpcr| Real::mul_add(a, soft::neg(n), m, fpcr);
    fnmadd Fnmadd: |a, n, m, fpcr| Real::mul_add(soft::neg(a), soft::neg(n), m, fpcr);
    fnmsub Fnmsub: |a, n, m, fpcr| Real::mul_add(soft::neg(a), n, m, fpcr);
}

/// Sets the flags from a comparison.
#[inline(always)]
fn compare_to_flags<C: Cx, F: Format>(c: &mut C, a: F, b: F, signalling: bool) -> Step {
    let (order, flags) = compare(a, b, signalling, control(c));
    raise(c, flags)?;
    c.set_nzcv(order.nzcv() << 28);
    Ok(())
}

macro_rules! compares {
    ($($name:ident $row:ident $zero_name:ident $zero_row:ident: $signalling:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            with_format!(i.ftype, F => {
                let (a, b): (F, F) = (real(c, i.rn), real(c, i.rm));
                compare_to_flags(c, a, b, $signalling)?;
            });
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $zero_name<C: Cx>(c: &mut C, i: a64::$zero_row) -> Step {
            with_format!(i.ftype, F => {
                let a: F = real(c, i.rn);
                compare_to_flags(c, a, 0, $signalling)?;
            });
            Ok(())
        }
    )*};
}
compares! {
    fcmp Fcmp fcmp_zero FcmpZero: false;
    fcmpe Fcmpe fcmpe_zero FcmpeZero: true;
}

macro_rules! conditional_compares {
    ($($name:ident $row:ident: $signalling:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            if !c.cond(i.cond) {
                c.set_nzcv(u32::from(i.nzcv) << 28);
                return Ok(());
            }
            with_format!(i.ftype, F => {
                let (a, b): (F, F) = (real(c, i.rn), real(c, i.rm));
                compare_to_flags(c, a, b, $signalling)?;
            });
            Ok(())
        }
    )*};
}
conditional_compares! {
    fccmp Fccmp: false;
    fccmpe Fccmpe: true;
}

#[inline(always)]
pub(crate) fn fcsel<C: Cx>(c: &mut C, i: a64::Fcsel) -> Step {
    let from = if c.cond(i.cond) { i.rn } else { i.rm };
    with_format!(i.ftype, F => {
        let r: F = real(c, from);
        finish(c, i.rd, (r, 0))?;
    });
    Ok(())
}

#[inline(always)]
pub(crate) fn fmov_imm<C: Cx>(c: &mut C, i: a64::FmovImm) -> Step {
    let r = match i.ftype {
        0 => u64::from(fp_imm32(i.imm8)),
        1 => fp_imm64(i.imm8),
        _ => u64::from(fp_imm16(i.imm8)),
    };
    c.set_d(i.rd, r);
    Ok(())
}

/// The width of a general register.
fn width(sf: bool) -> u32 {
    if sf { 64 } else { 32 }
}

macro_rules! from_general {
    ($($name:ident $row:ident $fixed_name:ident $fixed_row:ident: $unsigned:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (value, fpcr) = (c.x(i.rn), control(c));
            with_format!(i.ftype, F => {
                let r = from_int::<F>(value, width(i.sf), 0, $unsigned, fpcr);
                finish(c, i.rd, r)?;
            });
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $fixed_name<C: Cx>(c: &mut C, i: a64::$fixed_row) -> Step {
            let (value, fpcr) = (c.x(i.rn), control(c));
            let fbits = 64 - u32::from(i.scale);
            with_format!(i.ftype, F => {
                let r = from_int::<F>(value, width(i.sf), fbits, $unsigned, fpcr);
                finish(c, i.rd, r)?;
            });
            Ok(())
        }
    )*};
}
from_general! {
    scvtf_gpr ScvtfGpr scvtf_gpr_fixed ScvtfGprFixed: false;
    ucvtf_gpr UcvtfGpr ucvtf_gpr_fixed UcvtfGprFixed: true;
}

macro_rules! to_general {
    ($($name:ident $row:ident: $unsigned:literal $mode:ident |$i:ident| $fbits:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, $i: a64::$row) -> Step {
            let fpcr = control(c);
            let (r, flags) = with_format!($i.ftype, F => {
                let a: F = real(c, $i.rn);
                to_int(a, width($i.sf), $fbits, $unsigned, Rounding::$mode, fpcr)
            });
            raise(c, flags)?;
            c.set_x($i.rd, r);
            Ok(())
        }
    )*};
}
to_general! {
    fcvtns_gpr FcvtnsGpr: false TieEven |i| 0;
    fcvtnu_gpr FcvtnuGpr: true TieEven |i| 0;
    fcvtas_gpr FcvtasGpr: false TieAway |i| 0;
    fcvtau_gpr FcvtauGpr: true TieAway |i| 0;
    fcvtps_gpr FcvtpsGpr: false Up |i| 0;
    fcvtpu_gpr FcvtpuGpr: true Up |i| 0;
    fcvtms_gpr FcvtmsGpr: false Down |i| 0;
    fcvtmu_gpr FcvtmuGpr: true Down |i| 0;
    fcvtzs_gpr FcvtzsGpr: false Zero |i| 0;
    fcvtzu_gpr FcvtzuGpr: true Zero |i| 0;
    fcvtzs_gpr_fixed FcvtzsGprFixed: false Zero |i| 64 - u32::from(i.scale);
    fcvtzu_gpr_fixed FcvtzuGprFixed: true Zero |i| 64 - u32::from(i.scale);
}

#[inline(always)]
pub(crate) fn fjcvtzs<C: Cx>(c: &mut C, i: a64::Fjcvtzs) -> Step {
    let mut env = Env::new(c.fpcr());
    let (r, exact) = soft::fp_to_fixed_js(c.d(i.rn), &mut env);
    c.raise(env.flags);
    c.set_nzcv(u32::from(exact) << 30);
    c.set_w(i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn fmov_to_gpr<C: Cx>(c: &mut C, i: a64::FmovToGpr) -> Step {
    let r = match i.ftype {
        0 => u64::from(c.s(i.rn)),
        1 => c.d(i.rn),
        _ => u64::from(c.h(i.rn)),
    };
    c.set_x(i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn fmov_from_gpr<C: Cx>(c: &mut C, i: a64::FmovFromGpr) -> Step {
    let x = c.x(i.rn);
    match i.ftype {
        0 => c.set_s(i.rd, x as u32),
        1 => c.set_d(i.rd, x),
        _ => c.set_h(i.rd, x as u16),
    }
    Ok(())
}

#[inline(always)]
pub(crate) fn fmov_top_to_gpr<C: Cx>(c: &mut C, i: a64::FmovTopToGpr) -> Step {
    let r = (c.v(i.rn) >> 64) as u64;
    c.set_x(i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn fmov_top_from_gpr<C: Cx>(c: &mut C, i: a64::FmovTopFromGpr) -> Step {
    let r = u128::from(c.d(i.rd)) | u128::from(c.x(i.rn)) << 64;
    c.set_v(i.rd, r);
    Ok(())
}
