//! Floating-point operations as instructions use them: on the host in the default mode, in
//! software otherwise.
//!
//! Operations take FPCR and give their result with the FPSR flags to raise; flags that the
//! host raised stay in the host's status register until they are collected.

use crate::cx::{Cx, Step, Trap};
use crate::hostfp::{self, Host};
use crate::lanes::{Lane, active, low, make, map1};
use crate::softfloat::{self as soft, Env, FPCR_FZ, FPCR_FZ16, Format, Rounding};

/// A result and the flags to raise, or [`RARE`] and no result.
pub(super) type Flagged<T> = (T, u32);

/// Among the flags: the operation was not done, because a fast context leaves it to software.
pub(super) const RARE: u32 = 1 << 31;

/// In the FPCR value that operations get: the context is a fast one. FPCR has no such bit.
const FAST: u32 = 1;

/// FPCR as operations want it.
#[inline(always)]
pub(super) fn control<C: Cx>(c: &C) -> u32 {
    if C::FAST {
        c.fpcr() | FAST
    } else {
        c.fpcr() & !FAST
    }
}

/// Raises the flags of an operation.
#[inline(always)]
pub(super) fn raise<C: Cx>(c: &mut C, flags: u32) -> Step {
    if flags != 0 {
        if C::FAST && flags & RARE != 0 {
            return Err(Trap);
        }
        c.raise(flags);
    }
    Ok(())
}

pub(super) type Soft1<F> = fn(F, &mut Env) -> F;
pub(super) type Soft2<F> = fn(F, F, &mut Env) -> F;

/// One operation in software.
#[inline(always)]
pub(super) fn soft1<F: Format>(f: Soft1<F>, a: F, fpcr: u32) -> Flagged<F> {
    if fpcr & FAST != 0 {
        return (F::from_bits(0), RARE);
    }
    soft1_cold(f, a, fpcr)
}

#[cold]
#[inline(never)]
fn soft1_cold<F: Format>(f: Soft1<F>, a: F, fpcr: u32) -> Flagged<F> {
    let mut env = Env::new(fpcr);
    let r = f(a, &mut env);
    (r, env.flags)
}

/// One operation in software.
#[inline(always)]
pub(super) fn soft2<F: Format>(f: Soft2<F>, a: F, b: F, fpcr: u32) -> Flagged<F> {
    if fpcr & FAST != 0 {
        return (F::from_bits(0), RARE);
    }
    soft2_cold(f, a, b, fpcr)
}

#[cold]
#[inline(never)]
fn soft2_cold<F: Format>(f: Soft2<F>, a: F, b: F, fpcr: u32) -> Flagged<F> {
    let mut env = Env::new(fpcr);
    let r = f(a, b, &mut env);
    (r, env.flags)
}

#[inline(always)]
fn soft_mul_add<F: Format>(addend: F, a: F, b: F, fpcr: u32) -> Flagged<F> {
    if fpcr & FAST != 0 {
        return (F::from_bits(0), RARE);
    }
    soft_mul_add_cold(addend, a, b, fpcr)
}

#[cold]
#[inline(never)]
fn soft_mul_add_cold<F: Format>(addend: F, a: F, b: F, fpcr: u32) -> Flagged<F> {
    let mut env = Env::new(fpcr);
    let r = soft::mul_add(addend, a, b, &mut env);
    (r, env.flags)
}

#[inline(always)]
fn soft_to_int<F: Format>(
    a: F,
    size: u32,
    fbits: u32,
    unsigned: bool,
    mode: Rounding,
    fpcr: u32,
) -> Flagged<u64> {
    if fpcr & FAST != 0 {
        return (0, RARE);
    }
    soft_to_int_cold(a, size, fbits, unsigned, mode, fpcr)
}

#[cold]
#[inline(never)]
fn soft_to_int_cold<F: Format>(
    a: F,
    size: u32,
    fbits: u32,
    unsigned: bool,
    mode: Rounding,
    fpcr: u32,
) -> Flagged<u64> {
    let mut env = Env::new(fpcr);
    let r = soft::fp_to_fixed(a, size, fbits, unsigned, mode, &mut env);
    (r, env.flags)
}

#[inline(always)]
fn soft_from_int<F: Format>(
    value: u64,
    size: u32,
    fbits: u32,
    unsigned: bool,
    fpcr: u32,
) -> Flagged<F> {
    if fpcr & FAST != 0 {
        return (F::from_bits(0), RARE);
    }
    soft_from_int_cold(value, size, fbits, unsigned, fpcr)
}

#[cold]
#[inline(never)]
fn soft_from_int_cold<F: Format>(
    value: u64,
    size: u32,
    fbits: u32,
    unsigned: bool,
    fpcr: u32,
) -> Flagged<F> {
    let mut env = Env::new(fpcr);
    let r = soft::fixed_to_fp(value, size, fbits, unsigned, &mut env);
    (r, env.flags)
}

#[inline(always)]
fn soft_compare<F: Format>(a: F, b: F, signalling: bool, fpcr: u32) -> Flagged<soft::Ordering> {
    if fpcr & FAST != 0 {
        return (soft::Ordering::Unordered, RARE);
    }
    soft_compare_cold(a, b, signalling, fpcr)
}

#[cold]
#[inline(never)]
fn soft_compare_cold<F: Format>(
    a: F,
    b: F,
    signalling: bool,
    fpcr: u32,
) -> Flagged<soft::Ordering> {
    let mut env = Env::new(fpcr);
    let r = soft::compare(a, b, signalling, &mut env);
    (r, env.flags)
}

/// FPRoundInt; `mode` none means FPCR's.
#[inline(always)]
pub(super) fn round_int<F: Format>(
    a: F,
    mode: Option<Rounding>,
    exact: bool,
    fpcr: u32,
) -> Flagged<F> {
    if fpcr & FAST != 0 {
        return (F::from_bits(0), RARE);
    }
    round_int_cold(a, mode, exact, fpcr)
}

#[cold]
#[inline(never)]
fn round_int_cold<F: Format>(a: F, mode: Option<Rounding>, exact: bool, fpcr: u32) -> Flagged<F> {
    let mut env = Env::new(fpcr);
    let r = soft::round_int(a, mode.unwrap_or(env.rounding()), exact, &mut env);
    (r, env.flags)
}

/// FPRoundIntN; `mode` none means FPCR's.
#[inline(always)]
pub(super) fn round_int_sized<F: Format>(
    a: F,
    mode: Option<Rounding>,
    size: u32,
    fpcr: u32,
) -> Flagged<F> {
    if fpcr & FAST != 0 {
        return (F::from_bits(0), RARE);
    }
    round_int_sized_cold(a, mode, size, fpcr)
}

#[cold]
#[inline(never)]
fn round_int_sized_cold<F: Format>(
    a: F,
    mode: Option<Rounding>,
    size: u32,
    fpcr: u32,
) -> Flagged<F> {
    let mut env = Env::new(fpcr);
    let r = soft::round_int_sized(a, mode.unwrap_or(env.rounding()), size, &mut env);
    (r, env.flags)
}

/// A format conversion in software.
#[inline(always)]
pub(super) fn soft_convert<F: Format, T: Format>(a: F, fpcr: u32) -> Flagged<T> {
    if fpcr & FAST != 0 {
        return (T::from_bits(0), RARE);
    }
    soft_convert_cold::<F, T>(a, fpcr)
}

#[cold]
#[inline(never)]
fn soft_convert_cold<F: Format, T: Format>(a: F, fpcr: u32) -> Flagged<T> {
    let mut env = Env::new(fpcr);
    let r = soft::convert(a, &mut env);
    (r, env.flags)
}

/// Single to double precision.
#[inline(always)]
pub(super) fn widen(a: u32, fpcr: u32) -> Flagged<u64> {
    if hostfp::usable(fpcr) {
        let r = hostfp::convert_32_to_64(a);
        if !r.differs() {
            return (r, 0);
        }
    }
    soft_convert(a, fpcr)
}

/// Double to single precision.
#[inline(always)]
pub(super) fn shorten(a: u64, fpcr: u32) -> Flagged<u32> {
    if hostfp::usable(fpcr) {
        let r = hostfp::convert_64_to_32(a);
        if !r.differs() {
            return (r, 0);
        }
    }
    soft_convert(a, fpcr)
}

/// Orders two operands.
#[inline(always)]
pub(super) fn compare<F: Format>(
    a: F,
    b: F,
    signalling: bool,
    fpcr: u32,
) -> Flagged<soft::Ordering> {
    let magnitude = |x: F| x.bits() & !F::SIGN;
    let nan = magnitude(a) > F::INF || magnitude(b) > F::INF;
    if nan || fpcr & (FPCR_FZ | FPCR_FZ16) != 0 {
        return soft_compare(a, b, signalling, fpcr);
    }
    let key = |x: F| {
        let m = magnitude(x) as i64;
        if x.bits() & F::SIGN != 0 { -m } else { m }
    };
    let (a, b) = (key(a), key(b));
    let r = if a < b {
        soft::Ordering::Less
    } else if a == b {
        soft::Ordering::Equal
    } else {
        soft::Ordering::Greater
    };
    (r, 0)
}

/// A format with the operations that may run on the host.
pub(super) trait Real: Format + Lane {
    fn add(a: Self, b: Self, fpcr: u32) -> Flagged<Self>;
    fn sub(a: Self, b: Self, fpcr: u32) -> Flagged<Self>;
    fn mul(a: Self, b: Self, fpcr: u32) -> Flagged<Self>;
    fn div(a: Self, b: Self, fpcr: u32) -> Flagged<Self>;
    fn sqrt(a: Self, fpcr: u32) -> Flagged<Self>;
    /// `addend + a * b`.
    fn mul_add(addend: Self, a: Self, b: Self, fpcr: u32) -> Flagged<Self>;
    /// Towards zero, to a saturated integer of 32 or 64 bits.
    fn truncate_to_int(a: Self, size: u32, unsigned: bool, fpcr: u32) -> Flagged<u64>;
    /// From an integer, given extended to 64 bits.
    fn from_int(value: u64, unsigned: bool, fpcr: u32) -> Flagged<Self>;

    // The same on all elements of a register, or on the low half of it.
    fn add_lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128>;
    fn sub_lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128>;
    fn mul_lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128>;
    fn div_lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128>;
    fn sqrt_lanes(q: bool, a: u128, fpcr: u32) -> Flagged<u128>;
    fn mul_add_lanes(q: bool, addend: u128, a: u128, b: u128, fpcr: u32) -> Flagged<u128>;
}

/// To a saturated integer of `size` bits with `fbits` fraction bits.
#[inline(always)]
pub(super) fn to_int<F: Real>(
    a: F,
    size: u32,
    fbits: u32,
    unsigned: bool,
    mode: Rounding,
    fpcr: u32,
) -> Flagged<u64> {
    if fbits == 0 && mode == Rounding::Zero && size >= 32 {
        F::truncate_to_int(a, size, unsigned, fpcr)
    } else {
        soft_to_int(a, size, fbits, unsigned, mode, fpcr)
    }
}

/// From an integer of `size` bits with `fbits` fraction bits.
#[inline(always)]
pub(super) fn from_int<F: Real>(
    value: u64,
    size: u32,
    fbits: u32,
    unsigned: bool,
    fpcr: u32,
) -> Flagged<F> {
    if fbits != 0 {
        return soft_from_int(value, size, fbits, unsigned, fpcr);
    }
    let up = 64 - size;
    let value = if unsigned {
        value << up >> up
    } else {
        ((value << up) as i64 >> up) as u64
    };
    F::from_int(value, unsigned, fpcr)
}

/// `f` of each active element; the flags of all.
#[inline(always)]
pub(super) fn lanes1<F: Lane, R: Lane>(
    q: bool,
    a: u128,
    mut f: impl FnMut(F) -> Flagged<R>,
) -> Flagged<u128> {
    let a = F::split(a);
    lanes(q, F::COUNT, |i| f(a[i]))
}

/// `f` of each pair of active elements; the flags of all.
#[inline(always)]
pub(super) fn lanes2<F: Lane, R: Lane>(
    q: bool,
    a: u128,
    b: u128,
    mut f: impl FnMut(F, F) -> Flagged<R>,
) -> Flagged<u128> {
    let (a, b) = (F::split(a), F::split(b));
    lanes(q, F::COUNT, |i| f(a[i], b[i]))
}

/// `f` of each triple of active elements; the flags of all.
#[inline(always)]
pub(super) fn lanes3<F: Lane, R: Lane>(
    q: bool,
    a: u128,
    b: u128,
    d: u128,
    mut f: impl FnMut(F, F, F) -> Flagged<R>,
) -> Flagged<u128> {
    let (a, b, d) = (F::split(a), F::split(b), F::split(d));
    lanes(q, F::COUNT, |i| f(a[i], b[i], d[i]))
}

/// Elements made by `f`, `count` of them or half as many.
#[inline(always)]
pub(super) fn lanes<R: Lane>(
    q: bool,
    count: usize,
    mut f: impl FnMut(usize) -> Flagged<R>,
) -> Flagged<u128> {
    let count = count >> u32::from(!q);
    let mut flags = 0;
    let r = make(|i| {
        if i >= count {
            return R::default();
        }
        let (r, raised) = f(i);
        flags |= raised;
        r
    });
    (r, flags)
}

#[inline(always)]
fn soft_lanes1<F: Format + Lane>(f: Soft1<F>, q: bool, a: u128, fpcr: u32) -> Flagged<u128> {
    if fpcr & FAST != 0 {
        return (0, RARE);
    }
    soft_lanes1_cold::<F>(f, q, a, fpcr)
}

#[cold]
#[inline(never)]
fn soft_lanes1_cold<F: Format + Lane>(f: Soft1<F>, q: bool, a: u128, fpcr: u32) -> Flagged<u128> {
    let mut env = Env::new(fpcr);
    let r = map1(active(q, a), |a: F| f(a, &mut env));
    (r, env.flags)
}

#[inline(always)]
fn soft_lanes2<F: Format + Lane>(
    f: Soft2<F>,
    q: bool,
    a: u128,
    b: u128,
    fpcr: u32,
) -> Flagged<u128> {
    if fpcr & FAST != 0 {
        return (0, RARE);
    }
    soft_lanes2_cold::<F>(f, q, a, b, fpcr)
}

#[cold]
#[inline(never)]
fn soft_lanes2_cold<F: Format + Lane>(
    f: Soft2<F>,
    q: bool,
    a: u128,
    b: u128,
    fpcr: u32,
) -> Flagged<u128> {
    lanes2(q, a, b, |a: F, b| {
        let mut env = Env::new(fpcr);
        let r = f(a, b, &mut env);
        (r, env.flags)
    })
}

#[inline(always)]
fn soft_mul_add_lanes<F: Format + Lane>(
    q: bool,
    addend: u128,
    a: u128,
    b: u128,
    fpcr: u32,
) -> Flagged<u128> {
    if fpcr & FAST != 0 {
        return (0, RARE);
    }
    soft_mul_add_lanes_cold::<F>(q, addend, a, b, fpcr)
}

#[cold]
#[inline(never)]
fn soft_mul_add_lanes_cold<F: Format + Lane>(
    q: bool,
    addend: u128,
    a: u128,
    b: u128,
    fpcr: u32,
) -> Flagged<u128> {
    lanes3(q, addend, a, b, |addend: F, a, b| {
        soft_mul_add(addend, a, b, fpcr)
    })
}

/// Whether an element of a host result needs computing in software.
#[inline(always)]
fn any_differs<F: Host + Lane>(r: u128) -> bool {
    map1(r, |x: F| F::truncate(if x.differs() { -1 } else { 0 })) != 0
}

/// The active elements, and ones elsewhere, which raise no flag in any operation.
#[inline(always)]
fn padded<F: Host>(q: bool, a: u128) -> u128 {
    if q { a } else { low(a) | F::ONES << 64 }
}

macro_rules! on_host {
    ($($ty:ident)*) => {$(
        impl Real for $ty {
            on_host!(@two add, host_add, add_lanes, host_add_lanes);
            on_host!(@two sub, host_sub, sub_lanes, host_sub_lanes);
            on_host!(@two mul, host_mul, mul_lanes, host_mul_lanes);
            on_host!(@two div, host_div, div_lanes, host_div_lanes);
            #[inline(always)]
            fn sqrt(a: Self, fpcr: u32) -> Flagged<Self> {
                if hostfp::usable(fpcr) {
                    let r = Self::host_sqrt(a);
                    if !r.differs() {
                        return (r, 0);
                    }
                }
                soft1(soft::sqrt, a, fpcr)
            }
            #[inline(always)]
            fn sqrt_lanes(q: bool, a: u128, fpcr: u32) -> Flagged<u128> {
                if hostfp::usable(fpcr) {
                    let r = Self::host_sqrt_lanes(padded::<Self>(q, a));
                    if !any_differs::<Self>(r) {
                        return (active(q, r), 0);
                    }
                }
                soft_lanes1::<Self>(soft::sqrt, q, a, fpcr)
            }
            #[inline(always)]
            fn mul_add(addend: Self, a: Self, b: Self, fpcr: u32) -> Flagged<Self> {
                if hostfp::usable(fpcr) && hostfp::has_fma() {
                    let r = Self::host_mul_add(addend, a, b);
                    if !r.differs() {
                        return (r, 0);
                    }
                }
                soft_mul_add(addend, a, b, fpcr)
            }
            #[inline(always)]
            fn mul_add_lanes(q: bool, addend: u128, a: u128, b: u128, fpcr: u32) -> Flagged<u128> {
                if hostfp::usable(fpcr) && hostfp::has_fma() {
                    let (pc, pa, pb) = (
                        padded::<Self>(q, addend),
                        padded::<Self>(q, a),
                        padded::<Self>(q, b),
                    );
                    let r = Self::host_mul_add_lanes(pc, pa, pb);
                    if !any_differs::<Self>(r) {
                        return (active(q, r), 0);
                    }
                }
                soft_mul_add_lanes::<Self>(q, addend, a, b, fpcr)
            }
            #[inline(always)]
            fn truncate_to_int(a: Self, size: u32, unsigned: bool, fpcr: u32) -> Flagged<u64> {
                if hostfp::usable(fpcr) {
                    // Positive numbers below two to the size or, for 64 bits, half of that.
                    let limit = (Self::BIAS as u64 + u64::from(size.min(63))) << Self::FRAC;
                    let r = if unsigned {
                        let fits = Format::bits(a) < limit;
                        if fits { Self::host_to_i64(a).map(|r| r as u64) } else { None }
                    } else if size == 64 {
                        Self::host_to_i64(a).map(|r| r as u64)
                    } else {
                        Self::host_to_i32(a).map(|r| u64::from(r as u32))
                    };
                    if let Some(r) = r {
                        return (r, 0);
                    }
                }
                soft_to_int(a, size, 0, unsigned, Rounding::Zero, fpcr)
            }
            #[inline(always)]
            fn from_int(value: u64, unsigned: bool, fpcr: u32) -> Flagged<Self> {
                if hostfp::usable(fpcr) && (!unsigned || value >> 63 == 0) {
                    return (Self::host_from_i64(value as i64), 0);
                }
                soft_from_int(value, 64, 0, unsigned, fpcr)
            }
        }
    )*};
    (@two $name:ident, $host:ident, $lanes:ident, $host_lanes:ident) => {
        #[inline(always)]
        fn $name(a: Self, b: Self, fpcr: u32) -> Flagged<Self> {
            if hostfp::usable(fpcr) {
                let r = Self::$host(a, b);
                if !r.differs() {
                    return (r, 0);
                }
            }
            soft2(soft::$name, a, b, fpcr)
        }
        #[inline(always)]
        fn $lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128> {
            if hostfp::usable(fpcr) {
                let r = Self::$host_lanes(padded::<Self>(q, a), padded::<Self>(q, b));
                if !any_differs::<Self>(r) {
                    return (active(q, r), 0);
                }
            }
            soft_lanes2::<Self>(soft::$name, q, a, b, fpcr)
        }
    };
}
on_host!(u32 u64);

impl Real for u16 {
    fn add(a: u16, b: u16, fpcr: u32) -> Flagged<u16> {
        soft2(soft::add, a, b, fpcr)
    }
    fn sub(a: u16, b: u16, fpcr: u32) -> Flagged<u16> {
        soft2(soft::sub, a, b, fpcr)
    }
    fn mul(a: u16, b: u16, fpcr: u32) -> Flagged<u16> {
        soft2(soft::mul, a, b, fpcr)
    }
    fn div(a: u16, b: u16, fpcr: u32) -> Flagged<u16> {
        soft2(soft::div, a, b, fpcr)
    }
    fn sqrt(a: u16, fpcr: u32) -> Flagged<u16> {
        soft1(soft::sqrt, a, fpcr)
    }
    fn mul_add(addend: u16, a: u16, b: u16, fpcr: u32) -> Flagged<u16> {
        soft_mul_add(addend, a, b, fpcr)
    }
    fn truncate_to_int(a: u16, size: u32, unsigned: bool, fpcr: u32) -> Flagged<u64> {
        soft_to_int(a, size, 0, unsigned, Rounding::Zero, fpcr)
    }
    fn from_int(value: u64, unsigned: bool, fpcr: u32) -> Flagged<u16> {
        soft_from_int(value, 64, 0, unsigned, fpcr)
    }
    fn add_lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128> {
        soft_lanes2::<u16>(soft::add, q, a, b, fpcr)
    }
    fn sub_lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128> {
        soft_lanes2::<u16>(soft::sub, q, a, b, fpcr)
    }
    fn mul_lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128> {
        soft_lanes2::<u16>(soft::mul, q, a, b, fpcr)
    }
    fn div_lanes(q: bool, a: u128, b: u128, fpcr: u32) -> Flagged<u128> {
        soft_lanes2::<u16>(soft::div, q, a, b, fpcr)
    }
    fn sqrt_lanes(q: bool, a: u128, fpcr: u32) -> Flagged<u128> {
        soft_lanes1::<u16>(soft::sqrt, q, a, fpcr)
    }
    fn mul_add_lanes(q: bool, addend: u128, a: u128, b: u128, fpcr: u32) -> Flagged<u128> {
        soft_mul_add_lanes::<u16>(q, addend, a, b, fpcr)
    }
}
