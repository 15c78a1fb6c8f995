//! Advanced SIMD floating point. `sz`: double precision, else single; rows named `Half` are
//! half precision.

use tuxlet_a64 as a64;
use tuxlet_a64::imm::{elem_index, elem_reg, right_amount, shift_size};

use super::fp::{finish, real};
use super::fp_ops::{
    Flagged, Real, compare, control, from_int, lanes, lanes1, lanes2, raise, round_int,
    round_int_sized, shorten, soft_convert, soft1, soft2, to_int, widen,
};
use super::simd::{set_narrow, set_vec};
use crate::cx::{Cx, Step};
use crate::lanes::{Lane, half, lane, low, make, map1, splat};
use crate::softfloat::{self as soft, Env, Format, Ordering, Rounding};

/// Runs an expression with `F` naming single or double precision.
macro_rules! with_sz {
    ($sz:expr, $f:ident => $e:expr) => {
        if $sz {
            type $f = u64;
            $e
        } else {
            type $f = u32;
            $e
        }
    };
}

/// Writes a vector and raises its flags.
#[inline(always)]
fn finish_vec<C: Cx>(c: &mut C, rd: u8, (r, flags): Flagged<u128>) -> Step {
    raise(c, flags)?;
    c.set_v(rd, r);
    Ok(())
}

/// A comparison's outcome as an element.
fn truth<F: Format>((yes, flags): Flagged<bool>) -> Flagged<F> {
    (F::from_bits(if yes { !0 } else { 0 }), flags)
}

#[inline(always)]
fn equal<F: Format>(a: F, b: F, fpcr: u32) -> Flagged<F> {
    let (order, flags) = compare(a, b, false, fpcr);
    truth((order == Ordering::Equal, flags))
}

#[inline(always)]
fn greater<F: Format>(a: F, b: F, fpcr: u32) -> Flagged<F> {
    let (order, flags) = compare(a, b, true, fpcr);
    truth((order == Ordering::Greater, flags))
}

#[inline(always)]
fn greater_equal<F: Format>(a: F, b: F, fpcr: u32) -> Flagged<F> {
    let (order, flags) = compare(a, b, true, fpcr);
    truth((matches!(order, Ordering::Greater | Ordering::Equal), flags))
}

#[inline(always)]
fn difference<F: Real>(a: F, b: F, fpcr: u32) -> Flagged<F> {
    let (r, flags) = Real::sub(a, b, fpcr);
    (soft::abs(r), flags)
}

/// One operand's sign flipped in every element.
#[inline(always)]
fn negated<F: Real>(a: u128) -> u128 {
    map1(a, |x: F| soft::neg(x))
}

// Vector, half vector, then optionally scalar and half scalar: an expression on elements.
macro_rules! three_same {
    ($($name:ident $row:ident $half:ident $half_row:ident
        $(, $scalar:ident $scalar_row:ident $scalar_half:ident $scalar_half_row:ident)?:
        |$a:ident, $b:ident, $fpcr:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b, $fpcr) = (c.v(i.rn), c.v(i.rm), control(c));
            let r = with_sz!(i.sz, F => lanes2(i.q, a, b, |$a: F, $b: F| -> Flagged<F> { $e }));
            finish_vec(c, i.rd, r)?;
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $half<C: Cx>(c: &mut C, i: a64::$half_row) -> Step {
            let (a, b, $fpcr) = (c.v(i.rn), c.v(i.rm), control(c));
            let r = lanes2(i.q, a, b, |$a: u16, $b: u16| -> Flagged<u16> { $e });
            finish_vec(c, i.rd, r)?;
            Ok(())
        }
        $(
        #[inline(always)]
        pub(crate) fn $scalar<C: Cx>(c: &mut C, i: a64::$scalar_row) -> Step {
            let $fpcr = control(c);
            with_sz!(i.sz, F => {
                let ($a, $b): (F, F) = (real(c, i.rn), real(c, i.rm));
                let r: Flagged<F> = $e;
                finish(c, i.rd, r)?;
            });
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $scalar_half<C: Cx>(c: &mut C, i: a64::$scalar_half_row) -> Step {
            let $fpcr = control(c);
            let ($a, $b): (u16, u16) = (real(c, i.rn), real(c, i.rm));
            let r: Flagged<u16> = $e;
            finish(c, i.rd, r)?;
            Ok(())
        }
        )?
    )*};
}
three_same! {
    fmaxnm_vec FmaxnmVec fmaxnm_vec_half FmaxnmVecHalf: |a, b, fpcr| soft2(soft::max_num, a, b, fpcr);
    fminnm_vec FminnmVec fminnm_vec_half FminnmVecHalf: |a, b, fpcr| soft2(soft::min_num, a, b, fpcr);
    fmax_vec FmaxVec fmax_vec_half FmaxVecHalf: |a, b, fpcr| soft2(soft::max, a, b, fpcr);
    fmin_vec FminVec fmin_vec_half FminVecHalf: |a, b, fpcr| soft2(soft::min, a, b, fpcr);
    fabd_vec FabdVec fabd_vec_half FabdVecHalf,
        fabd_scalar FabdScalar fabd_scalar_half FabdScalarHalf: |a, b, fpcr| difference(a, b, fpcr);
    fmulx_vec FmulxVec fmulx_vec_half FmulxVecHalf,
        fmulx_scalar FmulxScalar fmulx_scalar_half FmulxScalarHalf:
        |a, b, fpcr| soft2(soft::mulx, a, b, fpcr);
    fcmeq_vec FcmeqVec fcmeq_vec_half FcmeqVecHalf,
        fcmeq_scalar FcmeqScalar fcmeq_scalar_half FcmeqScalarHalf: |a, b, fpcr| equal(a, b, fpcr);
    fcmge_vec FcmgeVec fcmge_vec_half FcmgeVecHalf,
        fcmge_scalar FcmgeScalar fcmge_scalar_half FcmgeScalarHalf:
        |a, b, fpcr| greater_equal(a, b, fpcr);
    fcmgt_vec FcmgtVec fcmgt_vec_half FcmgtVecHalf,
        fcmgt_scalar FcmgtScalar fcmgt_scalar_half FcmgtScalarHalf: |a, b, fpcr| greater(a, b, fpcr);
    facge_vec FacgeVec facge_vec_half FacgeVecHalf,
        facge_scalar FacgeScalar facge_scalar_half FacgeScalarHalf:
        |a, b, fpcr| greater_equal(soft::abs(a), soft::abs(b), fpcr);
    facgt_vec FacgtVec facgt_vec_half FacgtVecHalf,
        facgt_scalar FacgtScalar facgt_scalar_half FacgtScalarHalf:
        |a, b, fpcr| greater(soft::abs(a), soft::abs(b), fpcr);
    frecps_vec FrecpsVec frecps_vec_half FrecpsVecHalf,
        frecps_scalar FrecpsScalar frecps_scalar_half FrecpsScalarHalf:
        |a, b, fpcr| soft2(soft::recip_step, a, b, fpcr);
    frsqrts_vec FrsqrtsVec frsqrts_vec_half FrsqrtsVecHalf,
        frsqrts_scalar FrsqrtsScalar frsqrts_scalar_half FrsqrtsScalarHalf:
        |a, b, fpcr| soft2(soft::rsqrt_step, a, b, fpcr);
}

// Whole vectors at once, so that the host's vector unit can do them.
macro_rules! three_same_whole {
    ($($name:ident $row:ident $half:ident $half_row:ident:
        |$d:ident, $a:ident, $b:ident, $q:ident, $fpcr:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let ($d, $a, $b, $q, $fpcr) = (c.v(i.rd), c.v(i.rn), c.v(i.rm), i.q, control(c));
            let r = with_sz!(i.sz, F => $e);
            finish_vec(c, i.rd, r)?;
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $half<C: Cx>(c: &mut C, i: a64::$half_row) -> Step {
            type F = u16;
            let ($d, $a, $b, $q, $fpcr) = (c.v(i.rd), c.v(i.rn), c.v(i.rm), i.q, control(c));
            finish_vec(c, i.rd, $e)?;
            Ok(())
        }
    )*};
}
three_same_whole! {
    fadd_vec FaddVec fadd_vec_half FaddVecHalf: |_d, a, b, q, fpcr| F::add_lanes(q, a, b, fpcr);
    fsub_vec FsubVec fsub_vec_half FsubVecHalf: |_d, a, b, q, fpcr| F::sub_lanes(q, a, b, fpcr);
    fmul_vec FmulVec fmul_vec_half FmulVecHalf: |_d, a, b, q, fpcr| F::mul_lanes(q, a, b, fpcr);
    fdiv_vec FdivVec fdiv_vec_half FdivVecHalf: |_d, a, b, q, fpcr| F::div_lanes(q, a, b, fpcr);
    fmla_vec FmlaVec fmla_vec_half FmlaVecHalf:
        |d, a, b, q, fpcr| F::mul_add_lanes(q, d, a, b, fpcr);
    fmls_vec FmlsVec fmls_vec_half FmlsVecHalf:
        |d, a, b, q, fpcr| F::mul_add_lanes(q, d, negated::<F>(a), b, fpcr);
    faddp_vec FaddpVec faddp_vec_half FaddpVecHalf: |_d, a, b, q, fpcr| {
        let (even, odd) = neighbours::<F>(q, a, b);
        F::add_lanes(q, even, odd, fpcr)
    };
    fmaxp_vec FmaxpVec fmaxp_vec_half FmaxpVecHalf:
        |_d, a, b, q, fpcr| pairs::<F>(q, a, b, soft::max, fpcr);
    fminp_vec FminpVec fminp_vec_half FminpVecHalf:
        |_d, a, b, q, fpcr| pairs::<F>(q, a, b, soft::min, fpcr);
    fmaxnmp_vec FmaxnmpVec fmaxnmp_vec_half FmaxnmpVecHalf:
        |_d, a, b, q, fpcr| pairs::<F>(q, a, b, soft::max_num, fpcr);
    fminnmp_vec FminnmpVec fminnmp_vec_half FminnmpVecHalf:
        |_d, a, b, q, fpcr| pairs::<F>(q, a, b, soft::min_num, fpcr);
}

/// The even and the odd elements of `a` followed by `b`.
#[inline(always)]
fn neighbours<F: Real>(q: bool, a: u128, b: u128) -> (u128, u128) {
    let (lo, hi) = if q { (a, b) } else { (low(a) | b << 64, 0) };
    let (lo, hi) = (F::split(lo), F::split(hi));
    let half = F::COUNT / 2;
    let pick = |odd: usize| {
        make(|i| {
            if i < half {
                lo[2 * i + odd]
            } else {
                hi[2 * (i - half) + odd]
            }
        })
    };
    (pick(0), pick(1))
}

fn pairs<F: Real>(
    q: bool,
    a: u128,
    b: u128,
    f: fn(F, F, &mut Env) -> F,
    fpcr: u32,
) -> Flagged<u128> {
    let (even, odd) = neighbours::<F>(q, a, b);
    lanes2(q, even, odd, |a, b| soft2(f, a, b, fpcr))
}

macro_rules! scalar_pairs {
    ($($name:ident $row:ident $half:ident $half_row:ident: |$a:ident, $b:ident, $fpcr:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let $fpcr = control(c);
            with_sz!(i.sz, F => {
                let ($a, $b): (F, F) = (lane(c.v(i.rn), 0), lane(c.v(i.rn), 1));
                finish(c, i.rd, $e)?;
            });
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $half<C: Cx>(c: &mut C, i: a64::$half_row) -> Step {
            let $fpcr = control(c);
            let ($a, $b): (u16, u16) = (lane(c.v(i.rn), 0), lane(c.v(i.rn), 1));
            finish(c, i.rd, $e)?;
            Ok(())
        }
    )*};
}
scalar_pairs! {
    faddp_scalar FaddpScalar faddp_scalar_half FaddpScalarHalf: |a, b, fpcr| Real::add(a, b, fpcr);
    fmaxp_scalar FmaxpScalar fmaxp_scalar_half FmaxpScalarHalf: |a, b, fpcr| soft2(soft::max, a, b, fpcr);
    fminp_scalar FminpScalar fminp_scalar_half FminpScalarHalf: |a, b, fpcr| soft2(soft::min, a, b, fpcr);
    fmaxnmp_scalar FmaxnmpScalar fmaxnmp_scalar_half FmaxnmpScalarHalf:
        |a, b, fpcr| soft2(soft::max_num, a, b, fpcr);
    fminnmp_scalar FminnmpScalar fminnmp_scalar_half FminnmpScalarHalf:
        |a, b, fpcr| soft2(soft::min_num, a, b, fpcr);
}

/// Reduces `count` elements as the architecture does: the lower half against the upper one.
fn reduce<F: Real>(a: u128, count: usize, f: fn(F, F, &mut Env) -> F, env: &mut Env) -> F {
    if count == 1 {
        return lane(a, 0);
    }
    let half = count / 2;
    let hi = reduce(a >> (half as u32 * <F as Lane>::BITS), half, f, env);
    let lo = reduce(a, half, f, env);
    f(lo, hi, env)
}

macro_rules! across {
    ($($name:ident $row:ident $half:ident $half_row:ident: $f:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let mut env = Env::new(c.fpcr());
            let r: u32 = reduce(c.v(i.rn), 4, soft::$f, &mut env);
            finish(c, i.rd, (r, env.flags))?;
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $half<C: Cx>(c: &mut C, i: a64::$half_row) -> Step {
            let mut env = Env::new(c.fpcr());
            let r: u16 = reduce(c.v(i.rn), if i.q { 8 } else { 4 }, soft::$f, &mut env);
            finish(c, i.rd, (r, env.flags))?;
            Ok(())
        }
    )*};
}
across! {
    fmaxv_vec FmaxvVec fmaxv_vec_half FmaxvVecHalf: max;
    fminv_vec FminvVec fminv_vec_half FminvVecHalf: min;
    fmaxnmv_vec FmaxnmvVec fmaxnmv_vec_half FmaxnmvVecHalf: max_num;
    fminnmv_vec FminnmvVec fminnmv_vec_half FminnmvVecHalf: min_num;
}

// One operand; as `three_same`.
macro_rules! two_misc {
    ($($(vec $name:ident $row:ident $half:ident $half_row:ident)?
        $(, scalar $scalar:ident $scalar_row:ident $scalar_half:ident $scalar_half_row:ident)?:
        |$a:ident, $fpcr:ident| $e:expr;)*) => {$(
        $(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, $fpcr) = (c.v(i.rn), control(c));
            let r = with_sz!(i.sz, F => lanes1(i.q, a, |$a: F| -> Flagged<F> { $e }));
            finish_vec(c, i.rd, r)?;
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $half<C: Cx>(c: &mut C, i: a64::$half_row) -> Step {
            type F = u16;
            let (a, $fpcr) = (c.v(i.rn), control(c));
            let r = lanes1(i.q, a, |$a: F| -> Flagged<F> { $e });
            finish_vec(c, i.rd, r)?;
            Ok(())
        }
        )?
        $(
        #[inline(always)]
        pub(crate) fn $scalar<C: Cx>(c: &mut C, i: a64::$scalar_row) -> Step {
            let $fpcr = control(c);
            with_sz!(i.sz, F => {
                let $a: F = real(c, i.rn);
                let r: Flagged<F> = $e;
                finish(c, i.rd, r)?;
            });
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $scalar_half<C: Cx>(c: &mut C, i: a64::$scalar_half_row) -> Step {
            type F = u16;
            let $fpcr = control(c);
            let $a: F = real(c, i.rn);
            let r: Flagged<F> = $e;
            finish(c, i.rd, r)?;
            Ok(())
        }
        )?
    )*};
}

/// To an integer as wide as the format.
#[inline(always)]
fn to_lane<F: Real>(a: F, fbits: u32, unsigned: bool, mode: Rounding, fpcr: u32) -> Flagged<F> {
    let (r, flags) = to_int(a, <F as Lane>::BITS, fbits, unsigned, mode, fpcr);
    (F::from_bits(r), flags)
}

/// From an integer as wide as the format.
#[inline(always)]
fn from_lane<F: Real>(a: F, fbits: u32, unsigned: bool, fpcr: u32) -> Flagged<F> {
    from_int(a.bits(), <F as Lane>::BITS, fbits, unsigned, fpcr)
}

two_misc! {
    vec fabs_vec FabsVec fabs_vec_half FabsVecHalf: |a, _fpcr| (soft::abs(a), 0);
    vec fneg_vec FnegVec fneg_vec_half FnegVecHalf: |a, _fpcr| (soft::neg(a), 0);
    vec frintn_vec FrintnVec frintn_vec_half FrintnVecHalf:
        |a, fpcr| round_int(a, Some(Rounding::TieEven), false, fpcr);
    vec frinta_vec FrintaVec frinta_vec_half FrintaVecHalf:
        |a, fpcr| round_int(a, Some(Rounding::TieAway), false, fpcr);
    vec frintp_vec FrintpVec frintp_vec_half FrintpVecHalf:
        |a, fpcr| round_int(a, Some(Rounding::Up), false, fpcr);
    vec frintm_vec FrintmVec frintm_vec_half FrintmVecHalf:
        |a, fpcr| round_int(a, Some(Rounding::Down), false, fpcr);
    vec frintz_vec FrintzVec frintz_vec_half FrintzVecHalf:
        |a, fpcr| round_int(a, Some(Rounding::Zero), false, fpcr);
    vec frintx_vec FrintxVec frintx_vec_half FrintxVecHalf: |a, fpcr| round_int(a, None, true, fpcr);
    vec frinti_vec FrintiVec frinti_vec_half FrintiVecHalf: |a, fpcr| round_int(a, None, false, fpcr);
    vec fcvtns_vec FcvtnsVec fcvtns_vec_half FcvtnsVecHalf,
        scalar fcvtns_scalar FcvtnsScalar fcvtns_scalar_half FcvtnsScalarHalf:
        |a, fpcr| to_lane(a, 0, false, Rounding::TieEven, fpcr);
    vec fcvtnu_vec FcvtnuVec fcvtnu_vec_half FcvtnuVecHalf,
        scalar fcvtnu_scalar FcvtnuScalar fcvtnu_scalar_half FcvtnuScalarHalf:
        |a, fpcr| to_lane(a, 0, true, Rounding::TieEven, fpcr);
    vec fcvtps_vec FcvtpsVec fcvtps_vec_half FcvtpsVecHalf,
        scalar fcvtps_scalar FcvtpsScalar fcvtps_scalar_half FcvtpsScalarHalf:
        |a, fpcr| to_lane(a, 0, false, Rounding::Up, fpcr);
    vec fcvtpu_vec FcvtpuVec fcvtpu_vec_half FcvtpuVecHalf,
        scalar fcvtpu_scalar FcvtpuScalar fcvtpu_scalar_half FcvtpuScalarHalf:
        |a, fpcr| to_lane(a, 0, true, Rounding::Up, fpcr);
    vec fcvtms_vec FcvtmsVec fcvtms_vec_half FcvtmsVecHalf,
        scalar fcvtms_scalar FcvtmsScalar fcvtms_scalar_half FcvtmsScalarHalf:
        |a, fpcr| to_lane(a, 0, false, Rounding::Down, fpcr);
    vec fcvtmu_vec FcvtmuVec fcvtmu_vec_half FcvtmuVecHalf,
        scalar fcvtmu_scalar FcvtmuScalar fcvtmu_scalar_half FcvtmuScalarHalf:
        |a, fpcr| to_lane(a, 0, true, Rounding::Down, fpcr);
    vec fcvtzs_vec FcvtzsVec fcvtzs_vec_half FcvtzsVecHalf,
        scalar fcvtzs_scalar FcvtzsScalar fcvtzs_scalar_half FcvtzsScalarHalf:
        |a, fpcr| to_lane(a, 0, false, Rounding::Zero, fpcr);
    vec fcvtzu_vec FcvtzuVec fcvtzu_vec_half FcvtzuVecHalf,
        scalar fcvtzu_scalar FcvtzuScalar fcvtzu_scalar_half FcvtzuScalarHalf:
        |a, fpcr| to_lane(a, 0, true, Rounding::Zero, fpcr);
    vec fcvtas_vec FcvtasVec fcvtas_vec_half FcvtasVecHalf,
        scalar fcvtas_scalar FcvtasScalar fcvtas_scalar_half FcvtasScalarHalf:
        |a, fpcr| to_lane(a, 0, false, Rounding::TieAway, fpcr);
    vec fcvtau_vec FcvtauVec fcvtau_vec_half FcvtauVecHalf,
        scalar fcvtau_scalar FcvtauScalar fcvtau_scalar_half FcvtauScalarHalf:
        |a, fpcr| to_lane(a, 0, true, Rounding::TieAway, fpcr);
    vec scvtf_vec ScvtfVec scvtf_vec_half ScvtfVecHalf,
        scalar scvtf_scalar ScvtfScalar scvtf_scalar_half ScvtfScalarHalf:
        |a, fpcr| from_lane(a, 0, false, fpcr);
    vec ucvtf_vec UcvtfVec ucvtf_vec_half UcvtfVecHalf,
        scalar ucvtf_scalar UcvtfScalar ucvtf_scalar_half UcvtfScalarHalf:
        |a, fpcr| from_lane(a, 0, true, fpcr);
    vec frecpe_vec FrecpeVec frecpe_vec_half FrecpeVecHalf,
        scalar frecpe_scalar FrecpeScalar frecpe_scalar_half FrecpeScalarHalf:
        |a, fpcr| soft1(soft::recip_estimate, a, fpcr);
    vec frsqrte_vec FrsqrteVec frsqrte_vec_half FrsqrteVecHalf,
        scalar frsqrte_scalar FrsqrteScalar frsqrte_scalar_half FrsqrteScalarHalf:
        |a, fpcr| soft1(soft::rsqrt_estimate, a, fpcr);
    vec fcmgt_zero_vec FcmgtZeroVec fcmgt_zero_vec_half FcmgtZeroVecHalf,
        scalar fcmgt_zero_scalar FcmgtZeroScalar fcmgt_zero_scalar_half FcmgtZeroScalarHalf:
        |a, fpcr| greater(a, 0, fpcr);
    vec fcmge_zero_vec FcmgeZeroVec fcmge_zero_vec_half FcmgeZeroVecHalf,
        scalar fcmge_zero_scalar FcmgeZeroScalar fcmge_zero_scalar_half FcmgeZeroScalarHalf:
        |a, fpcr| greater_equal(a, 0, fpcr);
    vec fcmeq_zero_vec FcmeqZeroVec fcmeq_zero_vec_half FcmeqZeroVecHalf,
        scalar fcmeq_zero_scalar FcmeqZeroScalar fcmeq_zero_scalar_half FcmeqZeroScalarHalf:
        |a, fpcr| equal(a, 0, fpcr);
    vec fcmle_zero_vec FcmleZeroVec fcmle_zero_vec_half FcmleZeroVecHalf,
        scalar fcmle_zero_scalar FcmleZeroScalar fcmle_zero_scalar_half FcmleZeroScalarHalf:
        |a, fpcr| greater_equal(0, a, fpcr);
    vec fcmlt_zero_vec FcmltZeroVec fcmlt_zero_vec_half FcmltZeroVecHalf,
        scalar fcmlt_zero_scalar FcmltZeroScalar fcmlt_zero_scalar_half FcmltZeroScalarHalf:
        |a, fpcr| greater(0, a, fpcr);
    , scalar frecpx_scalar FrecpxScalar frecpx_scalar_half FrecpxScalarHalf:
        |a, fpcr| soft1(soft::recip_exponent, a, fpcr);
}

#[inline(always)]
pub(crate) fn fsqrt_vec<C: Cx>(c: &mut C, i: a64::FsqrtVec) -> Step {
    let (a, fpcr) = (c.v(i.rn), control(c));
    let r = with_sz!(i.sz, F => F::sqrt_lanes(i.q, a, fpcr));
    finish_vec(c, i.rd, r)?;
    Ok(())
}

#[inline(always)]
pub(crate) fn fsqrt_vec_half<C: Cx>(c: &mut C, i: a64::FsqrtVecHalf) -> Step {
    let r = u16::sqrt_lanes(i.q, c.v(i.rn), control(c));
    finish_vec(c, i.rd, r)?;
    Ok(())
}

macro_rules! round_to_size {
    ($($name:ident $row:ident: $mode:expr, $size:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, fpcr) = (c.v(i.rn), control(c));
            let r = with_sz!(i.sz, F => {
                lanes1(i.q, a, |a: F| round_int_sized(a, $mode, $size, fpcr))
            });
            finish_vec(c, i.rd, r)?;
            Ok(())
        }
    )*};
}
round_to_size! {
    frint32z_vec Frint32zVec: Some(Rounding::Zero), 32;
    frint32x_vec Frint32xVec: None, 32;
    frint64z_vec Frint64zVec: Some(Rounding::Zero), 64;
    frint64x_vec Frint64xVec: None, 64;
}

/// Runs an expression with `F` naming the format of a fixed-point conversion.
macro_rules! with_fixed {
    ($immhb:expr, $f:ident => $e:expr) => {
        match shift_size($immhb) {
            1 => {
                type $f = u16;
                $e
            }
            2 => {
                type $f = u32;
                $e
            }
            _ => {
                type $f = u64;
                $e
            }
        }
    };
}

macro_rules! fixed {
    ($($name:ident $row:ident $scalar:ident $scalar_row:ident: |$a:ident, $n:ident, $fpcr:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, $fpcr, $n) = (c.v(i.rn), control(c), u32::from(right_amount(i.immhb)));
            let r = with_fixed!(i.immhb, F => lanes1(i.q, a, |$a: F| -> Flagged<F> { $e }));
            finish_vec(c, i.rd, r)?;
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $scalar<C: Cx>(c: &mut C, i: a64::$scalar_row) -> Step {
            let ($fpcr, $n) = (control(c), u32::from(right_amount(i.immhb)));
            with_fixed!(i.immhb, F => {
                let $a: F = real(c, i.rn);
                let r: Flagged<F> = $e;
                finish(c, i.rd, r)?;
            });
            Ok(())
        }
    )*};
}
fixed! {
    scvtf_fixed_vec ScvtfFixedVec scvtf_fixed_scalar ScvtfFixedScalar:
        |a, n, fpcr| from_lane(a, n, false, fpcr);
    ucvtf_fixed_vec UcvtfFixedVec ucvtf_fixed_scalar UcvtfFixedScalar:
        |a, n, fpcr| from_lane(a, n, true, fpcr);
    fcvtzs_fixed_vec FcvtzsFixedVec fcvtzs_fixed_scalar FcvtzsFixedScalar:
        |a, n, fpcr| to_lane(a, n, false, Rounding::Zero, fpcr);
    fcvtzu_fixed_vec FcvtzuFixedVec fcvtzu_fixed_scalar FcvtzuFixedScalar:
        |a, n, fpcr| to_lane(a, n, true, Rounding::Zero, fpcr);
}

/// Converts each element of `a` to one half as wide.
#[inline(always)]
fn shorten_lanes<F: Lane, R: Lane>(a: u128, f: impl Fn(F) -> Flagged<R>) -> Flagged<u64> {
    let a = F::split(a);
    let (r, flags) = lanes(true, F::COUNT, |i| f(a[i]));
    (r as u64, flags)
}

fn finish_narrow<C: Cx>(c: &mut C, q: bool, rd: u8, (r, flags): Flagged<u64>) -> Step {
    raise(c, flags)?;
    set_narrow(c, q, rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn fcvtn_vec<C: Cx>(c: &mut C, i: a64::FcvtnVec) -> Step {
    let (a, fpcr) = (c.v(i.rn), control(c));
    let r = if i.sz {
        shorten_lanes(a, |x: u64| shorten(x, fpcr))
    } else {
        shorten_lanes(a, |x: u32| soft_convert::<u32, u16>(x, fpcr))
    };
    finish_narrow(c, i.q, i.rd, r)?;
    Ok(())
}

#[inline(always)]
pub(crate) fn fcvtl_vec<C: Cx>(c: &mut C, i: a64::FcvtlVec) -> Step {
    let (a, fpcr) = (half(i.q, c.v(i.rn)), control(c));
    let r = if i.sz {
        let a = u32::split(a);
        lanes(true, 2, |k| widen(a[k], fpcr))
    } else {
        let a = u16::split(a);
        lanes(true, 4, |k| soft_convert::<u16, u32>(a[k], fpcr))
    };
    finish_vec(c, i.rd, r)?;
    Ok(())
}

fn shorten_to_odd(a: u64, fpcr: u32) -> Flagged<u32> {
    let mut env = Env::new(fpcr);
    let r = soft::convert_to_odd(a, &mut env);
    (r, env.flags)
}

#[inline(always)]
pub(crate) fn fcvtxn_vec<C: Cx>(c: &mut C, i: a64::FcvtxnVec) -> Step {
    let (a, fpcr) = (c.v(i.rn), control(c));
    let r = shorten_lanes(a, |x: u64| shorten_to_odd(x, fpcr));
    finish_narrow(c, i.q, i.rd, r)?;
    Ok(())
}

#[inline(always)]
pub(crate) fn fcvtxn_scalar<C: Cx>(c: &mut C, i: a64::FcvtxnScalar) -> Step {
    let r = shorten_to_odd(c.d(i.rn), control(c));
    finish(c, i.rd, r)?;
    Ok(())
}

#[inline(always)]
pub(crate) fn bfcvtn_vec<C: Cx>(c: &mut C, i: a64::BfcvtnVec) -> Step {
    let (a, fpcr) = (c.v(i.rn), control(c));
    let r = shorten_lanes(a, |x: u32| {
        let mut env = Env::new(fpcr);
        let r = soft::bf16_from_single(x, &mut env);
        (r, env.flags)
    });
    finish_narrow(c, i.q, i.rd, r)?;
    Ok(())
}

/// The element of a by-element operand, everywhere.
macro_rules! second {
    ($c:ident, $i:ident, single) => {{
        let v = $c.v(elem_reg(2 + u8::from($i.sz), $i.hlm, $i.rm));
        let index = usize::from(elem_index(2 + u8::from($i.sz), $i.hlm));
        if $i.sz {
            splat(lane::<u64>(v, index))
        } else {
            splat(lane::<u32>(v, index))
        }
    }};
    ($c:ident, $i:ident, half) => {
        splat(lane::<u16>(
            $c.v(elem_reg(1, $i.hlm, $i.rm)),
            usize::from($i.hlm),
        ))
    };
}

macro_rules! by_element {
    ($($name:ident $row:ident $scalar:ident $scalar_row:ident
        $half:ident $half_row:ident $scalar_half:ident $scalar_half_row:ident:
        |$d:ident, $a:ident, $b:ident, $q:ident, $fpcr:ident| $e:expr,
        |$sd:ident, $sa:ident, $sb:ident| $se:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let ($d, $a, $b) = (c.v(i.rd), c.v(i.rn), second!(c, i, single));
            let ($q, $fpcr) = (i.q, control(c));
            let r = with_sz!(i.sz, F => $e);
            finish_vec(c, i.rd, r)?;
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $half<C: Cx>(c: &mut C, i: a64::$half_row) -> Step {
            type F = u16;
            let ($d, $a, $b) = (c.v(i.rd), c.v(i.rn), second!(c, i, half));
            let ($q, $fpcr) = (i.q, control(c));
            finish_vec(c, i.rd, $e)?;
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $scalar<C: Cx>(c: &mut C, i: a64::$scalar_row) -> Step {
            let (b, $fpcr) = (second!(c, i, single), control(c));
            with_sz!(i.sz, F => {
                let ($sd, $sa, $sb): (F, F, F) = (real(c, i.rd), real(c, i.rn), b as F);
                finish(c, i.rd, $se)?;
            });
            Ok(())
        }
        #[inline(always)]
        pub(crate) fn $scalar_half<C: Cx>(c: &mut C, i: a64::$scalar_half_row) -> Step {
            let (b, $fpcr) = (second!(c, i, half), control(c));
            let ($sd, $sa, $sb): (u16, u16, u16) = (real(c, i.rd), real(c, i.rn), b as u16);
            finish(c, i.rd, $se)?;
            Ok(())
        }
    )*};
}
by_element! {
    fmla_elem FmlaElem fmla_elem_scalar FmlaElemScalar
        fmla_elem_half FmlaElemHalf fmla_elem_scalar_half FmlaElemScalarHalf:
        |d, a, b, q, fpcr| F::mul_add_lanes(q, d, a, b, fpcr),
        |d, a, b| Real::mul_add(d, a, b, fpcr);
    fmls_elem FmlsElem fmls_elem_scalar FmlsElemScalar
        fmls_elem_half FmlsElemHalf fmls_elem_scalar_half FmlsElemScalarHalf:
        |d, a, b, q, fpcr| F::mul_add_lanes(q, d, negated::<F>(a), b, fpcr),
        |d, a, b| Real::mul_add(d, soft::neg(a), b, fpcr);
    fmul_elem FmulElem fmul_elem_scalar FmulElemScalar
        fmul_elem_half FmulElemHalf fmul_elem_scalar_half FmulElemScalarHalf:
        |_d, a, b, q, fpcr| F::mul_lanes(q, a, b, fpcr),
        |_d, a, b| Real::mul(a, b, fpcr);
    fmulx_elem FmulxElem fmulx_elem_scalar FmulxElemScalar
        fmulx_elem_half FmulxElemHalf fmulx_elem_scalar_half FmulxElemScalarHalf:
        |_d, a, b, q, fpcr| lanes2(q, a, b, |a: F, b| soft2(soft::mulx, a, b, fpcr)),
        |_d, a, b| soft2(soft::mulx, a, b, fpcr);
}

/// FMLAL and its relatives: half precision products added to single precision elements.
/// `upper` picks the upper half of the sources, `negate` flips the first factor.
#[inline(always)]
fn long_products<C: Cx>(
    c: &mut C,
    q: bool,
    rd: u8,
    rn: u8,
    b: u128,
    upper: bool,
    negate: bool,
) -> Step {
    let from = if upper { 2 << u32::from(q) } else { 0 };
    let (d, a, b) = (u32::split(c.v(rd)), u16::split(c.v(rn)), u16::split(b));
    let fpcr = control(c);
    let r = lanes(q, 4, |k| {
        let mut env = Env::new(fpcr);
        let x = if negate {
            soft::neg(a[from + k])
        } else {
            a[from + k]
        };
        let r = soft::mul_add_widening(d[k], x, b[from + k], &mut env);
        (r, env.flags)
    });
    finish_vec(c, rd, r)
}

macro_rules! long {
    ($($name:ident $row:ident $elem:ident $elem_row:ident: $upper:literal $negate:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let b = c.v(i.rm);
            long_products(c, i.q, i.rd, i.rn, b, $upper, $negate)
        }
        #[inline(always)]
        pub(crate) fn $elem<C: Cx>(c: &mut C, i: a64::$elem_row) -> Step {
            let b = second!(c, i, half);
            long_products(c, i.q, i.rd, i.rn, b, $upper, $negate)
        }
    )*};
}
long! {
    fmlal_vec FmlalVec fmlal_elem FmlalElem: false false;
    fmlsl_vec FmlslVec fmlsl_elem FmlslElem: false true;
    fmlal2_vec Fmlal2Vec fmlal2_elem Fmlal2Elem: true false;
    fmlsl2_vec Fmlsl2Vec fmlsl2_elem Fmlsl2Elem: true true;
}

/// Runs an expression with `F` naming the format of a complex operation.
macro_rules! with_complex {
    ($size:expr, $f:ident => $e:expr) => {
        match $size {
            1 => {
                type $f = u16;
                $e
            }
            2 => {
                type $f = u32;
                $e
            }
            _ => {
                type $f = u64;
                $e
            }
        }
    };
}

#[inline(always)]
pub(crate) fn fcadd_vec<C: Cx>(c: &mut C, i: a64::FcaddVec) -> Step {
    let (a, b, fpcr) = (c.v(i.rn), c.v(i.rm), control(c));
    let r = with_complex!(i.size, F => {
        let (a, b) = (F::split(a), F::split(b));
        lanes(i.q, F::COUNT, |k| {
            let other = b[k ^ 1];
            // By 90 degrees the imaginary part is subtracted, by 270 the real part.
            let negate = (k & 1 != 0) == i.rot;
            Real::add(a[k], if negate { soft::neg(other) } else { other }, fpcr)
        })
    });
    finish_vec(c, i.rd, r)?;
    Ok(())
}

/// FCMLA on the elements of `b`, which `pick` finds by element pair and part.
#[inline(always)]
fn complex_products<F: Real>(
    q: bool,
    d: u128,
    a: u128,
    rot: u8,
    fpcr: u32,
    pick: impl Fn(usize, usize) -> F,
) -> Flagged<u128> {
    let (d, a) = (F::split(d), F::split(a));
    lanes(q, F::COUNT, |k| {
        let (pair, part) = (k & !1, k & 1);
        // Rotations by 90 and 270 degrees multiply by the imaginary part of `a`.
        let quarter = usize::from(rot & 1);
        let other = pick(pair, part ^ quarter);
        let negate = match rot {
            0 => false,
            1 => part == 0,
            2 => true,
            _ => part == 1,
        };
        let other = if negate { soft::neg(other) } else { other };
        Real::mul_add(d[k], a[pair + quarter], other, fpcr)
    })
}

#[inline(always)]
pub(crate) fn fcmla_vec<C: Cx>(c: &mut C, i: a64::FcmlaVec) -> Step {
    let (d, a, b, fpcr) = (c.v(i.rd), c.v(i.rn), c.v(i.rm), control(c));
    let r = with_complex!(i.size, F => {
        let b = F::split(b);
        complex_products::<F>(i.q, d, a, i.rot, fpcr, |pair, part| b[pair + part])
    });
    finish_vec(c, i.rd, r)?;
    Ok(())
}

#[inline(always)]
pub(crate) fn fcmla_elem<C: Cx>(c: &mut C, i: a64::FcmlaElem) -> Step {
    let (d, a, b, fpcr) = (c.v(i.rd), c.v(i.rn), c.v(i.rm), control(c));
    // For single precision the low bit of the index is fixed.
    let index = usize::from(i.index) >> u32::from(i.size == 2);
    let r = with_complex!(i.size, F => {
        complex_products::<F>(i.q, d, a, i.rot, fpcr, |_, part| lane(b, 2 * index + part))
    });
    finish_vec(c, i.rd, r)?;
    Ok(())
}

/// BFDOT on pairs of BFloat16 numbers.
fn bf16_dots(q: bool, d: u128, a: u128, b: u128) -> u128 {
    let (a, b, d) = (u16::split(a), u16::split(b), u32::split(d));
    let (r, _) = lanes(q, 4, |k| {
        let (x, y) = ([a[2 * k], a[2 * k + 1]], [b[2 * k], b[2 * k + 1]]);
        (soft::bf16_dot(d[k], x, y), 0)
    });
    r
}

#[inline(always)]
pub(crate) fn bfdot_vec<C: Cx>(c: &mut C, i: a64::BfdotVec) -> Step {
    let r = bf16_dots(i.q, c.v(i.rd), c.v(i.rn), c.v(i.rm));
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn bfdot_elem<C: Cx>(c: &mut C, i: a64::BfdotElem) -> Step {
    let b = splat(lane::<u32>(c.v(i.rm), usize::from(i.index)));
    let r = bf16_dots(i.q, c.v(i.rd), c.v(i.rn), b);
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn bfmmla<C: Cx>(c: &mut C, i: a64::Bfmmla) -> Step {
    let (a, b) = (u16::split(c.v(i.rn)), u16::split(c.v(i.rm)));
    let d = u32::split(c.v(i.rd));
    let r = make(|k| {
        let (row, column) = (k / 2 * 4, k % 2 * 4);
        (0..2).fold(d[k], |sum, n| {
            let (x, y) = (row + 2 * n, column + 2 * n);
            soft::bf16_dot(sum, [a[x], a[x + 1]], [b[y], b[y + 1]])
        })
    });
    c.set_v(i.rd, r);
    Ok(())
}

/// BFMLALB and BFMLALT: the even or the odd BFloat16 elements.
fn bf16_products<C: Cx>(c: &mut C, rd: u8, rn: u8, b: u128, top: bool) -> Step {
    let (d, a, b) = (u32::split(c.v(rd)), u16::split(c.v(rn)), u16::split(b));
    let fpcr = control(c);
    let r = lanes(true, 4, |k| {
        let mut env = Env::new(fpcr);
        let k2 = 2 * k + usize::from(top);
        let r = soft::bf16_mul_add(d[k], a[k2], b[k2], &mut env);
        (r, env.flags)
    });
    finish_vec(c, rd, r)
}

#[inline(always)]
pub(crate) fn bfmlal_vec<C: Cx>(c: &mut C, i: a64::BfmlalVec) -> Step {
    let b = c.v(i.rm);
    bf16_products(c, i.rd, i.rn, b, i.top)
}

#[inline(always)]
pub(crate) fn bfmlal_elem<C: Cx>(c: &mut C, i: a64::BfmlalElem) -> Step {
    let b = second!(c, i, half);
    bf16_products(c, i.rd, i.rn, b, i.top)
}
