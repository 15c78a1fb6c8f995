//! Advanced SIMD shifts: by a register and by an immediate.

use tuxlet_a64 as a64;
use tuxlet_a64::imm::{left_amount, right_amount, shift_size};

use super::simd::{element, keep, saturated, set_narrow, size};
use crate::cx::{Cx, Step};
use crate::lanes::{Lane, active, half, low, map1, map2, narrow, shift, with_lane};

// By the signed low byte of each element of the second register, without saturation.
macro_rules! by_register {
    ($($kind:ident $name:ident $row:ident: $sign:ident |$x:ident, $s:ident| $e:expr;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (c.v(i.rn), c.v(i.rm));
            let r = with_lane!(size!($kind, i), $sign T => map2(a, b, |$x: T, y: T| -> T {
                let $s = i32::from(y as i8);
                $e
            }));
            c.set_v(i.rd, keep!($kind, i, r));
            Ok(())
        }
    )*};
}
by_register! {
    vec ushl_vec UshlVec: unsigned |x, s| if s >= 0 {
        x.checked_shl(s as u32).unwrap_or(0)
    } else {
        x.checked_shr(-s as u32).unwrap_or(0)
    };
    vec sshl_vec SshlVec: signed |x, s| if s >= 0 {
        x.checked_shl(s as u32).unwrap_or(0)
    } else {
        x >> (-s as u32).min(T::BITS - 1)
    };
    vec urshl_vec UrshlVec: unsigned |x, s| T::truncate(shift(x.wide(), s, T::BITS, true));
    vec srshl_vec SrshlVec: signed |x, s| T::truncate(shift(x.wide(), s, T::BITS, true));
    d ushl_scalar UshlScalar: unsigned |x, s| T::truncate(shift(x.wide(), s, T::BITS, false));
    d sshl_scalar SshlScalar: signed |x, s| T::truncate(shift(x.wide(), s, T::BITS, false));
    d urshl_scalar UrshlScalar: unsigned |x, s| T::truncate(shift(x.wide(), s, T::BITS, true));
    d srshl_scalar SrshlScalar: signed |x, s| T::truncate(shift(x.wide(), s, T::BITS, true));
}

macro_rules! saturating_by_register {
    ($($kind:ident $name:ident $row:ident: $sign:ident $round:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (keep!($kind, i, c.v(i.rn)), c.v(i.rm));
            let mut sat = false;
            let r = with_lane!(i.size, $sign T => map2(a, b, |x: T, y: T| {
                let (r, s) = T::saturate(shift(x.wide(), i32::from(y as i8), T::BITS, $round));
                sat |= s;
                r
            }));
            saturated(c, sat);
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
saturating_by_register! {
    vec sqshl_vec SqshlVec: signed false;
    vec uqshl_vec UqshlVec: unsigned false;
    vec sqrshl_vec SqrshlVec: signed true;
    vec uqrshl_vec UqrshlVec: unsigned true;
    scalar sqshl_scalar SqshlScalar: signed false;
    scalar uqshl_scalar UqshlScalar: unsigned false;
    scalar sqrshl_scalar SqrshlScalar: signed true;
    scalar uqrshl_scalar UqrshlScalar: unsigned true;
}

/// Keeps what an instruction with `immh:immb` writes.
macro_rules! keep_imm {
    (vec, $i:ident, $v:expr) => {
        active($i.q, $v)
    };
    (d, $i:ident, $v:expr) => {
        low($v)
    };
    (scalar, $i:ident, $v:expr) => {
        element(shift_size($i.immhb), $v)
    };
}

// Right by an immediate of 1 to the element width.
macro_rules! right {
    ($($kind:ident $name:ident $row:ident: $sign:ident $round:literal $accumulate:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, d) = (c.v(i.rn), if $accumulate { c.v(i.rd) } else { 0 });
            let n = u32::from(right_amount(i.immhb));
            let r = with_lane!(shift_size(i.immhb), $sign T => map2(a, d, |x: T, d: T| -> T {
                // In two steps, because the whole width is a legal distance.
                let most = x >> (n - 1);
                let r = if $round { (most >> 1).wrapping_add(most & 1) } else { most >> 1 };
                d.wrapping_add(r)
            }));
            c.set_v(i.rd, keep_imm!($kind, i, r));
            Ok(())
        }
    )*};
}
right! {
    vec sshr_vec SshrVec: signed false false;
    vec ushr_vec UshrVec: unsigned false false;
    vec ssra_vec SsraVec: signed false true;
    vec usra_vec UsraVec: unsigned false true;
    vec srshr_vec SrshrVec: signed true false;
    vec urshr_vec UrshrVec: unsigned true false;
    vec srsra_vec SrsraVec: signed true true;
    vec ursra_vec UrsraVec: unsigned true true;
    d sshr_scalar SshrScalar: signed false false;
    d ushr_scalar UshrScalar: unsigned false false;
    d ssra_scalar SsraScalar: signed false true;
    d usra_scalar UsraScalar: unsigned false true;
    d srshr_scalar SrshrScalar: signed true false;
    d urshr_scalar UrshrScalar: unsigned true false;
    d srsra_scalar SrsraScalar: signed true true;
    d ursra_scalar UrsraScalar: unsigned true true;
}

macro_rules! insert_right {
    ($($kind:ident $name:ident $row:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, d) = (c.v(i.rn), c.v(i.rd));
            let n = u32::from(right_amount(i.immhb)) - 1;
            let r = with_lane!(shift_size(i.immhb), unsigned T => map2(a, d, |x: T, d: T| -> T {
                let mask = T::MAX >> n >> 1;
                d & !mask | x >> n >> 1
            }));
            c.set_v(i.rd, keep_imm!($kind, i, r));
            Ok(())
        }
    )*};
}
insert_right! {
    vec sri_vec SriVec;
    d sri_scalar SriScalar;
}

macro_rules! left {
    ($($kind:ident $name:ident $row:ident: $insert:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, d) = (c.v(i.rn), if $insert { c.v(i.rd) } else { 0 });
            let n = u32::from(left_amount(i.immhb));
            let r = with_lane!(shift_size(i.immhb), unsigned T => map2(a, d, |x: T, d: T| -> T {
                if $insert { d & !(T::MAX << n) | x << n } else { x << n }
            }));
            c.set_v(i.rd, keep_imm!($kind, i, r));
            Ok(())
        }
    )*};
}
left! {
    vec shl_vec ShlVec: false;
    vec sli_vec SliVec: true;
    d shl_scalar ShlScalar: false;
    d sli_scalar SliScalar: true;
}

macro_rules! saturating_left {
    ($($kind:ident $name:ident $row:ident: $from:ident $to:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = keep_imm!($kind, i, c.v(i.rn));
            let n = u32::from(left_amount(i.immhb));
            let mut sat = false;
            let size = shift_size(i.immhb);
            let r = with_lane!(size, $from S => with_lane!(size, $to T => map1(a, |x: S| -> T {
                let (r, s) = T::saturate(x.wide() << n);
                sat |= s;
                r
            })));
            saturated(c, sat);
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
saturating_left! {
    vec sqshl_imm_vec SqshlImmVec: signed signed;
    vec uqshl_imm_vec UqshlImmVec: unsigned unsigned;
    vec sqshlu_vec SqshluVec: signed unsigned;
    scalar sqshl_imm_scalar SqshlImmScalar: signed signed;
    scalar uqshl_imm_scalar UqshlImmScalar: unsigned unsigned;
    scalar sqshlu_scalar SqshluScalar: signed unsigned;
}

type Wide<T> = <T as Lane>::Wide;

// Right by an immediate into elements half as wide, truncated.
macro_rules! right_narrow {
    ($($name:ident $row:ident: $round:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = c.v(i.rn);
            let n = u32::from(right_amount(i.immhb));
            let r = with_lane!(shift_size(i.immhb), unsigned T => narrow(a, |x: Wide<T>| -> T {
                let round = if $round { 1 << (n - 1) } else { 0 };
                T::narrow(x.wrapping_add(round) >> n)
            }));
            set_narrow(c, i.q, i.rd, r);
            Ok(())
        }
    )*};
}
right_narrow! {
    shrn_vec ShrnVec: false;
    rshrn_vec RshrnVec: true;
}

// Right by an immediate into elements half as wide, saturated.
macro_rules! saturating_right_narrow {
    ($($kind:ident $name:ident $row:ident: $from:ident $to:ident $round:literal;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = saturating_right_narrow!(@source $kind, i, c.v(i.rn));
            let n = u32::from(right_amount(i.immhb));
            let round = if $round { 1 << (n - 1) } else { 0 };
            let size = shift_size(i.immhb);
            let mut sat = false;
            let r = with_lane!(size, $from S => with_lane!(size, $to T => {
                narrow(a, |x: Wide<S>| -> T {
                    let (r, s) = T::saturate((x.wide() + round) >> n);
                    sat |= s;
                    r
                })
            }));
            saturated(c, sat);
            saturating_right_narrow!(@set $kind, c, i, r);
            Ok(())
        }
    )*};
    (@source vec, $i:ident, $v:expr) => { $v };
    (@source scalar, $i:ident, $v:expr) => { element(shift_size($i.immhb) + 1, $v) };
    (@set vec, $c:ident, $i:ident, $r:ident) => { set_narrow($c, $i.q, $i.rd, $r) };
    (@set scalar, $c:ident, $i:ident, $r:ident) => { $c.set_d($i.rd, $r) };
}
saturating_right_narrow! {
    vec sqshrn_vec SqshrnVec: signed signed false;
    vec uqshrn_vec UqshrnVec: unsigned unsigned false;
    vec sqshrun_vec SqshrunVec: signed unsigned false;
    vec sqrshrn_vec SqrshrnVec: signed signed true;
    vec uqrshrn_vec UqrshrnVec: unsigned unsigned true;
    vec sqrshrun_vec SqrshrunVec: signed unsigned true;
    scalar sqshrn_scalar SqshrnScalar: signed signed false;
    scalar uqshrn_scalar UqshrnScalar: unsigned unsigned false;
    scalar sqshrun_scalar SqshrunScalar: signed unsigned false;
    scalar sqrshrn_scalar SqrshrnScalar: signed signed true;
    scalar uqrshrn_scalar UqrshrnScalar: unsigned unsigned true;
    scalar sqrshrun_scalar SqrshrunScalar: signed unsigned true;
}

macro_rules! left_long {
    ($($name:ident $row:ident: $sign:ident;)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let a = half(i.q, c.v(i.rn));
            let n = u32::from(left_amount(i.immhb));
            let r = with_lane!(shift_size(i.immhb), $sign T => map1(a, |x: T| x.extend() << n));
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
left_long! {
    sshll_vec SshllVec: signed;
    ushll_vec UshllVec: unsigned;
}
