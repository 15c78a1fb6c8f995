//! Operations on 128-bit vectors lane by lane.
//!
//! Values pass between [`u128`] and arrays through a register that the optimiser cannot see
//! through: it would otherwise take a vector apart with integer shifts, where it now finds
//! vector instructions.

use core::ops::{Index, IndexMut};

/// An integer that a vector holds as elements.
pub(crate) trait Lane: Copy + Default + PartialEq + 'static {
    /// Width in bits.
    const BITS: u32;
    /// Elements in 128 bits.
    const COUNT: usize;
    /// Smallest value.
    const LOW: i128;
    /// Largest value.
    const HIGH: i128;
    /// The elements, the lowest first.
    type Array: Copy + Index<usize, Output = Self> + IndexMut<usize>;
    /// The integer of the same signedness and twice the width.
    type Wide: Lane;

    fn split(v: u128) -> Self::Array;
    fn join(a: Self::Array) -> u128;
    /// The value.
    fn wide(self) -> i128;
    /// The low bits of `v`.
    fn truncate(v: i128) -> Self;
    /// Sign or zero extends.
    fn extend(self) -> Self::Wide;
    /// The low half of `v`.
    fn narrow(v: Self::Wide) -> Self;

    /// The nearest value to `v`, and whether that differs from `v`.
    #[inline(always)]
    fn saturate(v: i128) -> (Self, bool) {
        let clamped = v.clamp(Self::LOW, Self::HIGH);
        (Self::truncate(clamped), clamped != v)
    }
}

macro_rules! lanes {
    ($($ty:ident, $count:literal, $wide:ident;)*) => {$(
        impl Lane for $ty {
            const BITS: u32 = <$ty>::BITS;
            const COUNT: usize = $count;
            const LOW: i128 = <$ty>::MIN as i128;
            const HIGH: i128 = <$ty>::MAX as i128;
            type Array = [$ty; $count];
            type Wide = $wide;
            #[inline(always)]
            fn split(v: u128) -> [$ty; $count] {
                // SAFETY: both types are 128 plain bits; the first element is the lowest on
                // the little-endian hosts that this crate supports.
                unsafe { core::mem::transmute(opaque(v)) }
            }
            #[inline(always)]
            fn join(a: [$ty; $count]) -> u128 {
                // SAFETY: as in `split`.
                opaque_out(unsafe { core::mem::transmute::<[$ty; $count], Register>(a) })
            }
            #[inline(always)]
            fn wide(self) -> i128 {
                self as i128
            }
            #[inline(always)]
            fn truncate(v: i128) -> Self {
                v as $ty
            }
            #[inline(always)]
            fn extend(self) -> $wide {
                self as $wide
            }
            #[inline(always)]
            fn narrow(v: $wide) -> Self {
                v as $ty
            }
        }
    )*};
}
lanes! {
    u8, 16, u16;
    u16, 8, u32;
    u32, 4, u64;
    u64, 2, u128;
    u128, 1, u128;
    i8, 16, i16;
    i16, 8, i32;
    i32, 4, i64;
    i64, 2, i128;
    i128, 1, i128;
}

#[cfg(target_endian = "big")]
compile_error!("vector elements are laid out for little-endian hosts");

#[cfg(target_arch = "x86_64")]
type Register = core::arch::x86_64::__m128i;
#[cfg(target_arch = "aarch64")]
type Register = core::arch::aarch64::uint64x2_t;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Register = u128;

#[inline(always)]
fn barrier(#[allow(unused_mut, reason = "other hosts")] mut v: Register) -> Register {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: an assembler comment changes nothing.
    unsafe {
        core::arch::asm!("/* {0} */", inout(xmm_reg) v,
            options(pure, nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: an assembler comment changes nothing.
    unsafe {
        core::arch::asm!("/* {0:v} */", inout(vreg) v,
            options(pure, nomem, nostack, preserves_flags));
    }
    v
}

#[inline(always)]
fn opaque(v: u128) -> Register {
    // SAFETY: any 128 bits are a value of either type.
    barrier(unsafe { core::mem::transmute::<u128, Register>(v) })
}

#[inline(always)]
fn opaque_out(v: Register) -> u128 {
    // SAFETY: any 128 bits are a value of either type.
    unsafe { core::mem::transmute(barrier(v)) }
}

/// The elements that `f` makes of their index.
#[inline(always)]
pub(crate) fn make<R: Lane>(mut f: impl FnMut(usize) -> R) -> u128 {
    let mut r = R::split(0);
    for i in 0..R::COUNT {
        r[i] = f(i);
    }
    R::join(r)
}

/// `f` of each element; when the result is wider, of the low elements.
#[inline(always)]
pub(crate) fn map1<A: Lane, R: Lane>(a: u128, mut f: impl FnMut(A) -> R) -> u128 {
    let a = A::split(a);
    make(|i| f(a[i]))
}

/// `f` of corresponding elements; when the result is wider, of the low elements.
#[inline(always)]
pub(crate) fn map2<A: Lane, B: Lane, R: Lane>(
    a: u128,
    b: u128,
    mut f: impl FnMut(A, B) -> R,
) -> u128 {
    let (a, b) = (A::split(a), B::split(b));
    make(|i| f(a[i], b[i]))
}

/// `f` of corresponding elements; when the result is wider, of the low elements.
#[inline(always)]
pub(crate) fn map3<A: Lane, B: Lane, D: Lane, R: Lane>(
    a: u128,
    b: u128,
    d: u128,
    mut f: impl FnMut(A, B, D) -> R,
) -> u128 {
    let (a, b, d) = (A::split(a), B::split(b), D::split(d));
    make(|i| f(a[i], b[i], d[i]))
}

/// `f` of each element, each half as wide, in the low 64 bits.
#[inline(always)]
pub(crate) fn narrow<A: Lane, R: Lane>(a: u128, mut f: impl FnMut(A) -> R) -> u64 {
    let a = A::split(a);
    make(|i| if i < A::COUNT { f(a[i]) } else { R::default() }) as u64
}

/// `f` of neighbouring elements of `a`, then of `b`; with `q` false each holds 64 bits.
#[inline(always)]
pub(crate) fn pairwise<A: Lane>(q: bool, a: u128, b: u128, f: impl Fn(A, A) -> A) -> u128 {
    let (lo, hi) = if q { (a, b) } else { (low(a) | b << 64, 0) };
    let (lo, hi) = (A::split(lo), A::split(hi));
    let half = A::COUNT / 2;
    make(|i| {
        let (from, i) = if i < half { (&lo, i) } else { (&hi, i - half) };
        f(from[2 * i], from[2 * i + 1])
    })
}

/// Folds the elements of the low 64 or all 128 bits, the lowest first.
#[inline(always)]
pub(crate) fn fold<A: Lane, R>(q: bool, a: u128, start: R, mut f: impl FnMut(R, A) -> R) -> R {
    let a = A::split(a);
    let mut r = start;
    for i in 0..A::COUNT >> u32::from(!q) {
        r = f(r, a[i]);
    }
    r
}

/// One element.
#[inline(always)]
pub(crate) fn lane<A: Lane>(a: u128, i: usize) -> A {
    A::truncate((a >> ((i as u32 * A::BITS) & 127)) as i128)
}

/// The low element in every place.
#[inline(always)]
pub(crate) fn splat<A: Lane>(a: A) -> u128 {
    make(|_| a)
}

/// The low 64 bits.
#[inline(always)]
pub(crate) fn low(a: u128) -> u128 {
    a & u128::from(u64::MAX)
}

/// The low 64 bits, or all of them with `q`.
#[inline(always)]
pub(crate) fn active(q: bool, a: u128) -> u128 {
    const MASKS: [u128; 2] = [u64::MAX as u128, u128::MAX];
    a & MASKS[usize::from(q)]
}

/// The half of `a` that a widening instruction reads: the upper one in its second form.
#[inline(always)]
pub(crate) fn half(second: bool, a: u128) -> u128 {
    if second { a >> 64 } else { a }
}

/// Runs an expression with `T` naming the element type of size `$size` (0 for bytes).
macro_rules! with_lane {
    ($size:expr, unsigned $t:ident => $e:expr) => {
        $crate::lanes::with_lane!(@ $size, $t, u8, u16, u32, u64 => $e)
    };
    ($size:expr, signed $t:ident => $e:expr) => {
        $crate::lanes::with_lane!(@ $size, $t, i8, i16, i32, i64 => $e)
    };
    (@ $size:expr, $t:ident, $b:ident, $h:ident, $s:ident, $d:ident => $e:expr) => {
        match $size & 3 {
            0 => {
                type $t = $b;
                $e
            }
            1 => {
                type $t = $h;
                $e
            }
            2 => {
                type $t = $s;
                $e
            }
            _ => {
                type $t = $d;
                $e
            }
        }
    };
}
pub(crate) use with_lane;

/// Shifts left by `s`, or right by `-s`, without overflow for elements of `bits` bits; a shift
/// right is rounded when `round`.
#[inline(always)]
pub(crate) fn shift(x: i128, s: i32, bits: u32, round: bool) -> i128 {
    if s >= bits as i32 {
        // Nothing of a nonzero value is left within the element.
        x.signum() << 126
    } else if s >= 0 {
        x << s
    } else {
        let n = (-s).min(100) as u32;
        (x + if round { 1 << (n - 1) } else { 0 }) >> n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_in_order() {
        let v = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;
        assert_eq!(map1(v, |x: u8| x), v);
        assert_eq!(lane::<u16>(v, 1), 0x0302);
        assert_eq!(
            map1(v, |x: i32| i64::from(x)),
            0x0000_0000_0706_0504_0000_0000_0302_0100
        );
        assert_eq!(narrow(v, |x: u16| x as u8), 0x0e0c_0a08_0604_0200);
        assert_eq!(
            pairwise(false, 0x0201, 0x0403, |x: u8, y| x + y),
            7 << 32 | 3
        );
        assert_eq!(
            pairwise(true, 0x0201, 0x0403, |x: u8, y| x + y),
            7 << 64 | 3
        );
        assert_eq!(fold(false, v, 0, |r, x: u8| r + u32::from(x)), 28);
    }

    #[test]
    fn shifts_have_no_undefined_distance() {
        assert_eq!(shift(-1, 64, 64, false), -1 << 126);
        assert_eq!(shift(0, 127, 8, false), 0);
        assert_eq!(shift(i128::from(u64::MAX), -64, 64, true), 1);
        assert_eq!(shift(-5, -128, 8, false), -1);
        assert_eq!(shift(-5, -128, 8, true), 0);
        assert_eq!(i8::saturate(shift(1, 127, 8, false)), (127, true));
    }
}
