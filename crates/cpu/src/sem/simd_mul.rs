//! Advanced SIMD instructions whose results are wider or narrower than their operands, and
//! multiplications, with vector and by-element operands.

use tuxlet_a64 as a64;
use tuxlet_a64::imm::{elem_index, elem_reg};

use super::simd::{element, saturated, set_narrow, set_vec};
use crate::cx::{Cx, Step};
use crate::lanes::{Lane, half, lane, make, map1, map2, map3, narrow, splat, with_lane};

type Wide<T> = <T as Lane>::Wide;

// Both operands are extended.
macro_rules! long {
    ($($name:ident $row:ident: $sign:ident |$x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (half(i.q, c.v(i.rn)), half(i.q, c.v(i.rm)));
            let r = with_lane!(i.size, $sign T => map2(a, b, |x: T, y: T| -> Wide<T> {
                let ($x, $y) = (x.extend(), y.extend());
                $e
            }));
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
long! {
    saddl_vec SaddlVec: signed |x, y| x.wrapping_add(y);
    uaddl_vec UaddlVec: unsigned |x, y| x.wrapping_add(y);
    ssubl_vec SsublVec: signed |x, y| x.wrapping_sub(y);
    usubl_vec UsublVec: unsigned |x, y| x.wrapping_sub(y);
    sabdl_vec SabdlVec: signed |x, y| x.max(y).wrapping_sub(x.min(y));
    uabdl_vec UabdlVec: unsigned |x, y| x.max(y).wrapping_sub(x.min(y));
    smull_vec SmullVec: signed |x, y| x.wrapping_mul(y);
    umull_vec UmullVec: unsigned |x, y| x.wrapping_mul(y);
}

// Both operands are extended and combined with the destination.
macro_rules! long_accumulate {
    ($($name:ident $row:ident: $sign:ident |$d:ident, $x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (d, a, b) = (c.v(i.rd), half(i.q, c.v(i.rn)), half(i.q, c.v(i.rm)));
            let r = with_lane!(i.size, $sign T => {
                map3(d, a, b, |$d: Wide<T>, x: T, y: T| -> Wide<T> {
                    let ($x, $y) = (x.extend(), y.extend());
                    $e
                })
            });
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
long_accumulate! {
    sabal_vec SabalVec: signed |d, x, y| d.wrapping_add(x.max(y).wrapping_sub(x.min(y)));
    uabal_vec UabalVec: unsigned |d, x, y| d.wrapping_add(x.max(y).wrapping_sub(x.min(y)));
    smlal_vec SmlalVec: signed |d, x, y| d.wrapping_add(x.wrapping_mul(y));
    umlal_vec UmlalVec: unsigned |d, x, y| d.wrapping_add(x.wrapping_mul(y));
    smlsl_vec SmlslVec: signed |d, x, y| d.wrapping_sub(x.wrapping_mul(y));
    umlsl_vec UmlslVec: unsigned |d, x, y| d.wrapping_sub(x.wrapping_mul(y));
}

// The second operand is extended.
macro_rules! wide {
    ($($name:ident $row:ident: $sign:ident $op:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (c.v(i.rn), half(i.q, c.v(i.rm)));
            let r = with_lane!(i.size, $sign T => {
                map2(a, b, |x: Wide<T>, y: T| -> Wide<T> { x.$op(y.extend()) })
            });
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
wide! {
    saddw_vec SaddwVec: signed wrapping_add;
    uaddw_vec UaddwVec: unsigned wrapping_add;
    ssubw_vec SsubwVec: signed wrapping_sub;
    usubw_vec UsubwVec: unsigned wrapping_sub;
}

// The upper half of a sum or difference.
macro_rules! high_narrow {
    ($($name:ident $row:ident: $op:ident $round:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (c.v(i.rn), c.v(i.rm));
            let r = with_lane!(i.size, unsigned T => {
                let r = map2(a, b, |x: Wide<T>, y: Wide<T>| x.$op(y));
                narrow(r, |x: Wide<T>| {
                    let round = if $round { 1 << (T::BITS - 1) } else { 0 };
                    T::narrow(x.wrapping_add(round) >> T::BITS)
                })
            });
            set_narrow(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
}
high_narrow! {
    addhn_vec AddhnVec: wrapping_add false;
    raddhn_vec RaddhnVec: wrapping_add true;
    subhn_vec SubhnVec: wrapping_sub false;
    rsubhn_vec RsubhnVec: wrapping_sub true;
}

#[inline(always)]
pub(crate) fn pmull_vec<C: Cx>(c: &mut C, i: a64::PmullVec) -> Step {
    let (a, b) = (half(i.q, c.v(i.rn)), half(i.q, c.v(i.rm)));
    let r = map2(a, b, |x: u8, y: u8| {
        (0..8).fold(0, |r, k| {
            r ^ if y >> k & 1 != 0 {
                u16::from(x) << k
            } else {
                0
            }
        })
    });
    c.set_v(i.rd, r);
    Ok(())
}

// Sums of four products of bytes.
macro_rules! dot {
    ($($name:ident $row:ident: $elem:ident $a:ident $b:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (d, a) = (c.v(i.rd), <$a>::split(c.v(i.rn)));
            let b = <$b>::split(dot!(@second $elem, c, i));
            let d = u32::split(d);
            let r = make(|k| {
                (4 * k..4 * k + 4).fold(d[k], |r, n| {
                    r.wrapping_add((i32::from(a[n]) * i32::from(b[n])) as u32)
                })
            });
            set_vec(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
    (@second vec, $c:ident, $i:ident) => { $c.v($i.rm) };
    (@second elem, $c:ident, $i:ident) => {
        splat(lane::<u32>($c.v($i.rm), usize::from($i.index)))
    };
}
dot! {
    sdot_vec SdotVec: vec i8 i8;
    udot_vec UdotVec: vec u8 u8;
    usdot_vec UsdotVec: vec u8 i8;
    sdot_elem SdotElem: elem i8 i8;
    udot_elem UdotElem: elem u8 u8;
    usdot_elem UsdotElem: elem u8 i8;
    sudot_elem SudotElem: elem i8 u8;
}

// The product of a 2x8 and an 8x2 matrix of bytes, added to a 2x2 matrix.
macro_rules! matrix {
    ($($name:ident $row:ident: $a:ident $b:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (<$a>::split(c.v(i.rn)), <$b>::split(c.v(i.rm)));
            let d = u32::split(c.v(i.rd));
            let r = make(|k| {
                let (row, column) = (k / 2 * 8, k % 2 * 8);
                (0..8).fold(d[k], |r, n| {
                    r.wrapping_add((i32::from(a[row + n]) * i32::from(b[column + n])) as u32)
                })
            });
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
matrix! {
    smmla Smmla: i8 i8;
    ummla Ummla: u8 u8;
    usmmla Usmmla: u8 i8;
}

// Narrowing moves.
macro_rules! extract_narrow {
    ($($kind:ident $name:ident $row:ident: $from:ident $to:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = extract_narrow!(@source $kind, c, i);
            let mut sat = false;
            let r = with_lane!(i.size, $from S => with_lane!(i.size, $to T => {
                narrow(a, |x: Wide<S>| {
                    let (r, s) = T::saturate(x.wide());
                    sat |= s;
                    r
                })
            }));
            saturated(c, sat);
            extract_narrow!(@set $kind, c, i, r);
            Ok(())
        }
    )*};
    (@source vec, $c:ident, $i:ident) => { $c.v($i.rn) };
    (@source scalar, $c:ident, $i:ident) => { element($i.size + 1, $c.v($i.rn)) };
    (@set vec, $c:ident, $i:ident, $r:ident) => { set_narrow($c, $i.q, $i.rd, $r) };
    (@set scalar, $c:ident, $i:ident, $r:ident) => { $c.set_d($i.rd, $r) };
}
extract_narrow! {
    vec sqxtn_vec SqxtnVec: signed signed;
    vec uqxtn_vec UqxtnVec: unsigned unsigned;
    vec sqxtun_vec SqxtunVec: signed unsigned;
    scalar sqxtn_scalar SqxtnScalar: signed signed;
    scalar uqxtn_scalar UqxtnScalar: unsigned unsigned;
    scalar sqxtun_scalar SqxtunScalar: signed unsigned;
}

#[inline(always)]
pub(crate) fn xtn_vec<C: Cx>(c: &mut C, i: a64::XtnVec) -> Step {
    let a = c.v(i.rn);
    let r = with_lane!(i.size, unsigned T => narrow(a, |x: Wide<T>| T::narrow(x)));
    set_narrow(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn shll_vec<C: Cx>(c: &mut C, i: a64::ShllVec) -> Step {
    let a = half(i.q, c.v(i.rn));
    let r = with_lane!(i.size, unsigned T => map1(a, |x: T| x.extend() << T::BITS));
    c.set_v(i.rd, r);
    Ok(())
}

/// Twice the product, saturated.
#[inline(always)]
fn doubled<T: Lane>(x: T, y: T, sat: &mut bool) -> Wide<T> {
    let (r, s) = Wide::<T>::saturate(2 * x.wide() * y.wide());
    *sat |= s;
    r
}

/// The destination plus or minus twice the product, saturated at each step.
#[inline(always)]
fn doubled_accumulate<T: Lane>(d: Wide<T>, x: T, y: T, minus: bool, sat: &mut bool) -> Wide<T> {
    let p = doubled(x, y, sat).wide();
    let (r, s) = Wide::<T>::saturate(if minus { d.wide() - p } else { d.wide() + p });
    *sat |= s;
    r
}

/// The upper half of twice the product, saturated; `round`ed or not.
#[inline(always)]
fn doubled_high<T: Lane>(x: T, y: T, round: bool, sat: &mut bool) -> T {
    let round = if round { 1 << (T::BITS - 1) } else { 0 };
    let (r, s) = T::saturate((2 * x.wide() * y.wide() + round) >> T::BITS);
    *sat |= s;
    r
}

/// The destination plus or minus the upper half of twice the product, rounded and saturated.
#[inline(always)]
fn doubled_high_accumulate<T: Lane>(d: T, x: T, y: T, minus: bool, sat: &mut bool) -> T {
    let p = 2 * x.wide() * y.wide();
    let d = d.wide() << T::BITS;
    let sum = if minus { d - p } else { d + p } + (1 << (T::BITS - 1));
    let (r, s) = T::saturate(sum >> T::BITS);
    *sat |= s;
    r
}

/// The element types that the saturating multiplications have.
macro_rules! halves_or_words {
    ($size:expr, $t:ident => $e:expr) => {
        if $size == 1 {
            type $t = i16;
            $e
        } else {
            type $t = i32;
            $e
        }
    };
}

/// The second operand: a register, or one element of it everywhere.
macro_rules! second {
    (vec, $c:ident, $i:ident) => {
        $c.v($i.rm)
    };
    (elem, $c:ident, $i:ident) => {{
        let v = $c.v(elem_reg($i.size, $i.hlm, $i.rm));
        let index = usize::from(elem_index($i.size, $i.hlm));
        if $i.size == 1 {
            splat(lane::<u16>(v, index))
        } else {
            splat(lane::<u32>(v, index))
        }
    }};
    (scalar, $c:ident, $i:ident) => {
        element($i.size, $c.v($i.rm))
    };
    (elem_scalar, $c:ident, $i:ident) => {
        second!(elem, $c, $i)
    };
}

/// The operand `$r` as the kind reads it in a widening instruction.
macro_rules! wide_source {
    (vec, $i:ident, $v:expr) => {
        half($i.q, $v)
    };
    (elem, $i:ident, $v:expr) => {
        half($i.q, $v)
    };
    (scalar, $i:ident, $v:expr) => {
        element($i.size, $v)
    };
    (elem_scalar, $i:ident, $v:expr) => {
        element($i.size, $v)
    };
}

macro_rules! doubling_long {
    ($($kind:ident $name:ident $row:ident: |$d:ident, $x:ident, $y:ident, $sat:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = wide_source!($kind, i, c.v(i.rn));
            let b = doubling_long!(@second $kind, c, i);
            let d = doubling_long!(@keep $kind, i, c.v(i.rd));
            let mut sat = false;
            let r = halves_or_words!(i.size, T => {
                let $sat = &mut sat;
                map3(d, a, b, |$d: Wide<T>, $x: T, $y: T| -> Wide<T> { $e })
            });
            saturated(c, sat);
            c.set_v(i.rd, doubling_long!(@keep $kind, i, r));
            Ok(())
        }
    )*};
    (@second vec, $c:ident, $i:ident) => { half($i.q, $c.v($i.rm)) };
    (@second scalar, $c:ident, $i:ident) => { element($i.size, $c.v($i.rm)) };
    (@second $kind:ident, $c:ident, $i:ident) => { second!(elem, $c, $i) };
    (@keep vec, $i:ident, $v:expr) => { $v };
    (@keep elem, $i:ident, $v:expr) => { $v };
    (@keep $kind:ident, $i:ident, $v:expr) => { element($i.size + 1, $v) };
}
doubling_long! {
    vec sqdmull_vec SqdmullVec: |_d, x, y, sat| doubled(x, y, sat);
    vec sqdmlal_vec SqdmlalVec: |d, x, y, sat| doubled_accumulate(d, x, y, false, sat);
    vec sqdmlsl_vec SqdmlslVec: |d, x, y, sat| doubled_accumulate(d, x, y, true, sat);
    elem sqdmull_elem SqdmullElem: |_d, x, y, sat| doubled(x, y, sat);
    elem sqdmlal_elem SqdmlalElem: |d, x, y, sat| doubled_accumulate(d, x, y, false, sat);
    elem sqdmlsl_elem SqdmlslElem: |d, x, y, sat| doubled_accumulate(d, x, y, true, sat);
    scalar sqdmull_scalar SqdmullScalar: |_d, x, y, sat| doubled(x, y, sat);
    scalar sqdmlal_scalar SqdmlalScalar: |d, x, y, sat| doubled_accumulate(d, x, y, false, sat);
    scalar sqdmlsl_scalar SqdmlslScalar: |d, x, y, sat| doubled_accumulate(d, x, y, true, sat);
    elem_scalar sqdmull_elem_scalar SqdmullElemScalar: |_d, x, y, sat| doubled(x, y, sat);
    elem_scalar sqdmlal_elem_scalar SqdmlalElemScalar: |d, x, y, sat| doubled_accumulate(d, x, y, false, sat);
    elem_scalar sqdmlsl_elem_scalar SqdmlslElemScalar: |d, x, y, sat| doubled_accumulate(d, x, y, true, sat);
}

macro_rules! doubling_high {
    ($($kind:ident $name:ident $row:ident: |$d:ident, $x:ident, $y:ident, $sat:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = doubling_high!(@keep $kind, i, c.v(i.rn));
            let b = second!($kind, c, i);
            let b = doubling_high!(@keep $kind, i, b);
            let d = doubling_high!(@keep $kind, i, c.v(i.rd));
            let mut sat = false;
            let r = halves_or_words!(i.size, T => {
                let $sat = &mut sat;
                map3(d, a, b, |$d: T, $x: T, $y: T| -> T { $e })
            });
            saturated(c, sat);
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
    (@keep vec, $i:ident, $v:expr) => { $crate::lanes::active($i.q, $v) };
    (@keep elem, $i:ident, $v:expr) => { $crate::lanes::active($i.q, $v) };
    (@keep $kind:ident, $i:ident, $v:expr) => { element($i.size, $v) };
}
doubling_high! {
    vec sqdmulh_vec SqdmulhVec: |_d, x, y, sat| doubled_high(x, y, false, sat);
    vec sqrdmulh_vec SqrdmulhVec: |_d, x, y, sat| doubled_high(x, y, true, sat);
    vec sqrdmlah_vec SqrdmlahVec: |d, x, y, sat| doubled_high_accumulate(d, x, y, false, sat);
    vec sqrdmlsh_vec SqrdmlshVec: |d, x, y, sat| doubled_high_accumulate(d, x, y, true, sat);
    elem sqdmulh_elem SqdmulhElem: |_d, x, y, sat| doubled_high(x, y, false, sat);
    elem sqrdmulh_elem SqrdmulhElem: |_d, x, y, sat| doubled_high(x, y, true, sat);
    elem sqrdmlah_elem SqrdmlahElem: |d, x, y, sat| doubled_high_accumulate(d, x, y, false, sat);
    elem sqrdmlsh_elem SqrdmlshElem: |d, x, y, sat| doubled_high_accumulate(d, x, y, true, sat);
    scalar sqdmulh_scalar SqdmulhScalar: |_d, x, y, sat| doubled_high(x, y, false, sat);
    scalar sqrdmulh_scalar SqrdmulhScalar: |_d, x, y, sat| doubled_high(x, y, true, sat);
    scalar sqrdmlah_scalar SqrdmlahScalar: |d, x, y, sat| doubled_high_accumulate(d, x, y, false, sat);
    scalar sqrdmlsh_scalar SqrdmlshScalar: |d, x, y, sat| doubled_high_accumulate(d, x, y, true, sat);
    elem_scalar sqdmulh_elem_scalar SqdmulhElemScalar: |_d, x, y, sat| doubled_high(x, y, false, sat);
    elem_scalar sqrdmulh_elem_scalar SqrdmulhElemScalar: |_d, x, y, sat| doubled_high(x, y, true, sat);
    elem_scalar sqrdmlah_elem_scalar SqrdmlahElemScalar: |d, x, y, sat| doubled_high_accumulate(d, x, y, false, sat);
    elem_scalar sqrdmlsh_elem_scalar SqrdmlshElemScalar: |d, x, y, sat| doubled_high_accumulate(d, x, y, true, sat);
}

// By element, same width.
macro_rules! by_element {
    ($($name:ident $row:ident: |$d:ident, $x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (d, a, b) = (c.v(i.rd), c.v(i.rn), second!(elem, c, i));
            let r = with_lane!(i.size, unsigned T => {
                map3(d, a, b, |$d: T, $x: T, $y: T| -> T { $e })
            });
            set_vec(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
}
by_element! {
    mul_elem MulElem: |_d, x, y| x.wrapping_mul(y);
    mla_elem MlaElem: |d, x, y| d.wrapping_add(x.wrapping_mul(y));
    mls_elem MlsElem: |d, x, y| d.wrapping_sub(x.wrapping_mul(y));
}

// By element, widening.
macro_rules! by_element_long {
    ($($name:ident $row:ident: $sign:ident |$d:ident, $x:ident, $y:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (d, a, b) = (c.v(i.rd), half(i.q, c.v(i.rn)), second!(elem, c, i));
            let r = with_lane!(i.size, $sign T => {
                map3(d, a, b, |$d: Wide<T>, x: T, y: T| -> Wide<T> {
                    let ($x, $y) = (x.extend(), y.extend());
                    $e
                })
            });
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
by_element_long! {
    smull_elem SmullElem: signed |_d, x, y| x.wrapping_mul(y);
    umull_elem UmullElem: unsigned |_d, x, y| x.wrapping_mul(y);
    smlal_elem SmlalElem: signed |d, x, y| d.wrapping_add(x.wrapping_mul(y));
    umlal_elem UmlalElem: unsigned |d, x, y| d.wrapping_add(x.wrapping_mul(y));
    smlsl_elem SmlslElem: signed |d, x, y| d.wrapping_sub(x.wrapping_mul(y));
    umlsl_elem UmlslElem: unsigned |d, x, y| d.wrapping_sub(x.wrapping_mul(y));
}
