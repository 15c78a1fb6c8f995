//! Advanced SIMD integer arithmetic, comparison and logic on elements of one size.

use tuxlet_a64 as a64;

use super::simd::{element, keep, mask, saturated, set_vec, size};
use crate::cx::{Cx, Step};
use crate::lanes::{Lane, fold, make, map1, map2, map3, pairwise, with_lane};

// Two operands, no flag.
macro_rules! three_same {
    ($($kind:ident $name:ident $row:ident: $sign:ident |$x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (c.v(i.rn), c.v(i.rm));
            let r = with_lane!(size!($kind, i), $sign T => map2(a, b, |$x: T, $y: T| -> T { $e }));
            c.set_v(i.rd, keep!($kind, i, r));
            Ok(())
        }
    )*};
}
three_same! {
    vec add_vec AddVec: unsigned |x, y| x.wrapping_add(y);
    vec sub_vec SubVec: unsigned |x, y| x.wrapping_sub(y);
    vec mul_vec MulVec: unsigned |x, y| x.wrapping_mul(y);
    vec smax_vec SmaxVec: signed |x, y| x.max(y);
    vec umax_vec UmaxVec: unsigned |x, y| x.max(y);
    vec smin_vec SminVec: signed |x, y| x.min(y);
    vec umin_vec UminVec: unsigned |x, y| x.min(y);
    vec sabd_vec SabdVec: signed |x, y| x.max(y).wrapping_sub(x.min(y));
    vec uabd_vec UabdVec: unsigned |x, y| x.max(y).wrapping_sub(x.min(y));
    vec shadd_vec ShaddVec: signed |x, y| T::narrow(x.extend().wrapping_add(y.extend()) >> 1);
    vec uhadd_vec UhaddVec: unsigned |x, y| T::narrow(x.extend().wrapping_add(y.extend()) >> 1);
    vec srhadd_vec SrhaddVec: signed
        |x, y| T::narrow(x.extend().wrapping_add(y.extend()).wrapping_add(1) >> 1);
    vec urhadd_vec UrhaddVec: unsigned
        |x, y| T::narrow(x.extend().wrapping_add(y.extend()).wrapping_add(1) >> 1);
    vec shsub_vec ShsubVec: signed |x, y| T::narrow(x.extend().wrapping_sub(y.extend()) >> 1);
    vec uhsub_vec UhsubVec: unsigned |x, y| T::narrow(x.extend().wrapping_sub(y.extend()) >> 1);
    vec cmgt_vec CmgtVec: signed |x, y| mask!(x > y);
    vec cmge_vec CmgeVec: signed |x, y| mask!(x >= y);
    vec cmhi_vec CmhiVec: unsigned |x, y| mask!(x > y);
    vec cmhs_vec CmhsVec: unsigned |x, y| mask!(x >= y);
    vec cmeq_vec CmeqVec: unsigned |x, y| mask!(x == y);
    vec cmtst_vec CmtstVec: unsigned |x, y| mask!(x & y != 0);
    d add_scalar AddScalar: unsigned |x, y| x.wrapping_add(y);
    d sub_scalar SubScalar: unsigned |x, y| x.wrapping_sub(y);
    d cmgt_scalar CmgtScalar: signed |x, y| mask!(x > y);
    d cmge_scalar CmgeScalar: signed |x, y| mask!(x >= y);
    d cmhi_scalar CmhiScalar: unsigned |x, y| mask!(x > y);
    d cmhs_scalar CmhsScalar: unsigned |x, y| mask!(x >= y);
    d cmeq_scalar CmeqScalar: unsigned |x, y| mask!(x == y);
    d cmtst_scalar CmtstScalar: unsigned |x, y| mask!(x & y != 0);
}

// Two operands and the destination.
macro_rules! three_same_accumulate {
    ($($name:ident $row:ident: $sign:ident |$d:ident, $x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (d, a, b) = (c.v(i.rd), c.v(i.rn), c.v(i.rm));
            let r = with_lane!(i.size, $sign T => {
                map3(d, a, b, |$d: T, $x: T, $y: T| -> T { $e })
            });
            set_vec(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
}
three_same_accumulate! {
    mla_vec MlaVec: unsigned |d, x, y| d.wrapping_add(x.wrapping_mul(y));
    mls_vec MlsVec: unsigned |d, x, y| d.wrapping_sub(x.wrapping_mul(y));
    saba_vec SabaVec: signed |d, x, y| d.wrapping_add(x.max(y).wrapping_sub(x.min(y)));
    uaba_vec UabaVec: unsigned |d, x, y| d.wrapping_add(x.max(y).wrapping_sub(x.min(y)));
}

// Saturation shows as a difference from the wrapped result.
macro_rules! saturating {
    ($($kind:ident $name:ident $row:ident: $sign:ident $sat:ident $wrap:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (keep!($kind, i, c.v(i.rn)), keep!($kind, i, c.v(i.rm)));
            let (r, wrapped) = with_lane!(i.size, $sign T => (
                map2(a, b, |x: T, y: T| x.$sat(y)),
                map2(a, b, |x: T, y: T| x.$wrap(y)),
            ));
            saturated(c, r != wrapped);
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
saturating! {
    vec sqadd_vec SqaddVec: signed saturating_add wrapping_add;
    vec uqadd_vec UqaddVec: unsigned saturating_add wrapping_add;
    vec sqsub_vec SqsubVec: signed saturating_sub wrapping_sub;
    vec uqsub_vec UqsubVec: unsigned saturating_sub wrapping_sub;
    scalar sqadd_scalar SqaddScalar: signed saturating_add wrapping_add;
    scalar uqadd_scalar UqaddScalar: unsigned saturating_add wrapping_add;
    scalar sqsub_scalar SqsubScalar: signed saturating_sub wrapping_sub;
    scalar uqsub_scalar UqsubScalar: unsigned saturating_sub wrapping_sub;
}

// The destination plus a source of the other signedness.
macro_rules! saturating_mixed {
    ($($kind:ident $name:ident $row:ident: $to:ident $from:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (d, a) = (keep!($kind, i, c.v(i.rd)), keep!($kind, i, c.v(i.rn)));
            let mut sat = false;
            let r = with_lane!(i.size, $to T => with_lane!(i.size, $from U => {
                map2(d, a, |d: T, x: U| {
                    let (r, s) = T::saturate(d.wide() + x.wide());
                    sat |= s;
                    r
                })
            }));
            saturated(c, sat);
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
saturating_mixed! {
    vec suqadd_vec SuqaddVec: signed unsigned;
    vec usqadd_vec UsqaddVec: unsigned signed;
    scalar suqadd_scalar SuqaddScalar: signed unsigned;
    scalar usqadd_scalar UsqaddScalar: unsigned signed;
}

macro_rules! pairs {
    ($($name:ident $row:ident: $sign:ident |$x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (c.v(i.rn), c.v(i.rm));
            let r = with_lane!(i.size, $sign T => pairwise(i.q, a, b, |$x: T, $y: T| -> T { $e }));
            set_vec(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
}
pairs! {
    addp_vec AddpVec: unsigned |x, y| x.wrapping_add(y);
    smaxp_vec SmaxpVec: signed |x, y| x.max(y);
    umaxp_vec UmaxpVec: unsigned |x, y| x.max(y);
    sminp_vec SminpVec: signed |x, y| x.min(y);
    uminp_vec UminpVec: unsigned |x, y| x.min(y);
}

#[inline(always)]
pub(crate) fn addp_scalar<C: Cx>(c: &mut C, i: a64::AddpScalar) -> Step {
    let a = c.v(i.rn);
    c.set_d(i.rd, (a as u64).wrapping_add((a >> 64) as u64));
    Ok(())
}

// One operand.
macro_rules! two_misc {
    ($($kind:ident $name:ident $row:ident: $sign:ident |$x:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = c.v(i.rn);
            let r = with_lane!(size!($kind, i), $sign T => map1(a, |$x: T| -> T { $e }));
            c.set_v(i.rd, keep!($kind, i, r));
            Ok(())
        }
    )*};
}
two_misc! {
    vec abs_vec AbsVec: signed |x| x.wrapping_abs();
    vec neg_vec NegVec: signed |x| x.wrapping_neg();
    vec cls_vec ClsVec: signed |x| (if x < 0 { !x } else { x }.leading_zeros() - 1) as T;
    vec clz_vec ClzVec: unsigned |x| x.leading_zeros() as T;
    vec cmgt_zero_vec CmgtZeroVec: signed |x| mask!(x > 0);
    vec cmge_zero_vec CmgeZeroVec: signed |x| mask!(x >= 0);
    vec cmeq_zero_vec CmeqZeroVec: signed |x| mask!(x == 0);
    vec cmle_zero_vec CmleZeroVec: signed |x| mask!(x <= 0);
    vec cmlt_zero_vec CmltZeroVec: signed |x| mask!(x < 0);
    d abs_scalar AbsScalar: signed |x| x.wrapping_abs();
    d neg_scalar NegScalar: signed |x| x.wrapping_neg();
    d cmgt_zero_scalar CmgtZeroScalar: signed |x| mask!(x > 0);
    d cmge_zero_scalar CmgeZeroScalar: signed |x| mask!(x >= 0);
    d cmeq_zero_scalar CmeqZeroScalar: signed |x| mask!(x == 0);
    d cmle_zero_scalar CmleZeroScalar: signed |x| mask!(x <= 0);
    d cmlt_zero_scalar CmltZeroScalar: signed |x| mask!(x < 0);
}

macro_rules! saturating_misc {
    ($($kind:ident $name:ident $row:ident: $sat:ident $wrap:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = keep!($kind, i, c.v(i.rn));
            let (r, wrapped) = with_lane!(i.size, signed T => (
                map1(a, |x: T| x.$sat()),
                map1(a, |x: T| x.$wrap()),
            ));
            saturated(c, r != wrapped);
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
saturating_misc! {
    vec sqabs_vec SqabsVec: saturating_abs wrapping_abs;
    vec sqneg_vec SqnegVec: saturating_neg wrapping_neg;
    scalar sqabs_scalar SqabsScalar: saturating_abs wrapping_abs;
    scalar sqneg_scalar SqnegScalar: saturating_neg wrapping_neg;
}

macro_rules! bytes {
    ($($name:ident $row:ident: |$x:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let r = map1(c.v(i.rn), |$x: u8| -> u8 { $e });
            set_vec(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
}
bytes! {
    cnt_vec CntVec: |x| x.count_ones() as u8;
    rbit_vec RbitVec: |x| x.reverse_bits();
}

#[inline(always)]
pub(crate) fn pmul_vec<C: Cx>(c: &mut C, i: a64::PmulVec) -> Step {
    let product =
        |x: u8, y: u8| (0..8).fold(0, |r, k| r ^ if y >> k & 1 != 0 { x << k } else { 0 });
    let r = map2(c.v(i.rn), c.v(i.rm), product);
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

macro_rules! logical {
    ($($name:ident $row:ident: |$d:ident, $x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let ($d, $x, $y) = (c.v(i.rd), c.v(i.rn), c.v(i.rm));
            set_vec(c, i.q, i.rd, $e);
            Ok(())
        }
    )*};
}
logical! {
    and_vec AndVec: |_d, x, y| x & y;
    bic_vec BicVec: |_d, x, y| x & !y;
    orr_vec OrrVec: |_d, x, y| x | y;
    orn_vec OrnVec: |_d, x, y| x | !y;
    eor_vec EorVec: |_d, x, y| x ^ y;
    bsl_vec BslVec: |d, x, y| x & d | y & !d;
    bit_vec BitVec: |d, x, y| x & y | d & !y;
    bif_vec BifVec: |d, x, y| x & !y | d & y;
}

#[inline(always)]
pub(crate) fn not_vec<C: Cx>(c: &mut C, i: a64::NotVec) -> Step {
    let r = !c.v(i.rn);
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

// Reductions to one element.
macro_rules! across {
    ($($name:ident $row:ident: $sign:ident |$x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = c.v(i.rn);
            let r = with_lane!(i.size, $sign T => {
                let first = a as T;
                let r = fold(i.q, a, None, |r: Option<T>, $y: T| {
                    Some(match r {
                        None => first,
                        Some($x) => $e,
                    })
                });
                r.unwrap_or(first).wide()
            });
            c.set_v(i.rd, element(i.size, r as u128));
            Ok(())
        }
    )*};
}
across! {
    addv_vec AddvVec: unsigned |x, y| x.wrapping_add(y);
    smaxv_vec SmaxvVec: signed |x, y| x.max(y);
    umaxv_vec UmaxvVec: unsigned |x, y| x.max(y);
    sminv_vec SminvVec: signed |x, y| x.min(y);
    uminv_vec UminvVec: unsigned |x, y| x.min(y);
}

macro_rules! across_long {
    ($($name:ident $row:ident: $sign:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = c.v(i.rn);
            let r = with_lane!(i.size, $sign T => fold(i.q, a, 0, |r: i64, x: T| r + x as i64));
            c.set_v(i.rd, element(i.size + 1, r as u128));
            Ok(())
        }
    )*};
}
across_long! {
    saddlv_vec SaddlvVec: signed;
    uaddlv_vec UaddlvVec: unsigned;
}

// Sums of neighbouring elements, twice as wide.
macro_rules! add_long_pairs {
    ($($name:ident $row:ident: $sign:ident $accumulate:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, d) = (c.v(i.rn), if $accumulate { c.v(i.rd) } else { 0 });
            let r = with_lane!(i.size, $sign T => {
                let (a, d) = (T::split(a), <T as Lane>::Wide::split(d));
                make(|k| {
                    let sum = a[2 * k].extend().wrapping_add(a[2 * k + 1].extend());
                    if $accumulate { sum.wrapping_add(d[k]) } else { sum }
                })
            });
            set_vec(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
}
add_long_pairs! {
    saddlp_vec SaddlpVec: signed false;
    uaddlp_vec UaddlpVec: unsigned false;
    sadalp_vec SadalpVec: signed true;
    uadalp_vec UadalpVec: unsigned true;
}

// Estimates on integers.
macro_rules! estimates {
    ($($name:ident $row:ident: $f:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let r = map1(c.v(i.rn), crate::softfloat::$f);
            set_vec(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
}
estimates! {
    urecpe_vec UrecpeVec: unsigned_recip_estimate;
    ursqrte_vec UrsqrteVec: unsigned_rsqrt_estimate;
}
