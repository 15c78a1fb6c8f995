//! IEEE 754 binary16, binary32 and binary64 arithmetic as the Arm architecture defines it
//! (Arm ARM, shared/functions/float): rounding modes, flush-to-zero, NaN selection and the
//! cumulative exception flags. Integer code only, so results never depend on the host.
//!
//! A lane's unsigned integer type names its format: `u16`, `u32` and `u64` hold the bits of a
//! half, single and double precision number.

mod arith;
mod bf16;
mod compare;
mod convert;
mod estimate;

pub(crate) use arith::{
    abs, add, div, mul, mul_add, mul_add_widening, mulx, neg, recip_step, round_int,
    round_int_sized, rsqrt_step, sqrt, sub,
};
pub(crate) use bf16::{bf16_dot, bf16_from_single, bf16_mul_add};
pub(crate) use compare::{Ordering, compare, max, max_num, min, min_num};
pub(crate) use convert::{convert, convert_to_odd, fixed_to_fp, fp_to_fixed, fp_to_fixed_js};
pub(crate) use estimate::{
    recip_estimate, recip_exponent, rsqrt_estimate, unsigned_recip_estimate,
    unsigned_rsqrt_estimate,
};

/// FPCR.FZ16: flush half precision denormals to zero.
pub(crate) const FPCR_FZ16: u32 = 1 << 19;
/// FPCR.RMode, two bits.
pub(crate) const FPCR_RMODE: u32 = 3 << 22;
/// FPCR.FZ: flush single and double precision denormals to zero.
pub(crate) const FPCR_FZ: u32 = 1 << 24;
/// FPCR.DN: every NaN result is the default NaN.
pub(crate) const FPCR_DN: u32 = 1 << 25;
/// FPCR.AHP: conversions use the alternative half precision format.
pub(crate) const FPCR_AHP: u32 = 1 << 26;

/// FPSR.IOC: invalid operation.
pub(crate) const IOC: u32 = 1 << 0;
/// FPSR.DZC: division by zero.
pub(crate) const DZC: u32 = 1 << 1;
/// FPSR.OFC: overflow.
pub(crate) const OFC: u32 = 1 << 2;
/// FPSR.UFC: underflow.
pub(crate) const UFC: u32 = 1 << 3;
/// FPSR.IXC: inexact.
pub(crate) const IXC: u32 = 1 << 4;
/// FPSR.IDC: an input denormal was flushed to zero.
pub(crate) const IDC: u32 = 1 << 7;
/// FPSR.QC: an integer operation saturated.
pub(crate) const QC: u32 = 1 << 27;

/// The control bits an operation runs under and the exception flags it has raised.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Env {
    /// FPCR as the guest wrote it.
    pub(crate) fpcr: u32,
    /// FPSR bits raised so far; operations only ever set bits here.
    pub(crate) flags: u32,
}

impl Env {
    /// An environment with no flag raised.
    pub(crate) fn new(fpcr: u32) -> Env {
        Env { fpcr, flags: 0 }
    }

    /// The rounding mode that FPCR.RMode selects.
    pub(crate) fn rounding(&self) -> Rounding {
        match self.fpcr >> 22 & 3 {
            0 => Rounding::TieEven,
            1 => Rounding::Up,
            2 => Rounding::Down,
            _ => Rounding::Zero,
        }
    }

    fn default_nan(&self) -> bool {
        self.fpcr & FPCR_DN != 0
    }

    fn flushes<F: Format>(&self) -> bool {
        self.fpcr & if F::BITS == 16 { FPCR_FZ16 } else { FPCR_FZ } != 0
    }
}

/// A rounding direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To nearest, ties to even.
    TieEven,
    /// Towards plus infinity.
    Up,
    /// Towards minus infinity.
    Down,
    /// Towards zero.
    Zero,
    /// To nearest, ties away from zero.
    TieAway,
    /// To odd: an inexact result gets its lowest bit set.
    Odd,
}

/// A floating-point format, named by the unsigned integer that holds its bits.
pub(crate) trait Format: Copy + Eq + core::fmt::Debug + 'static {
    /// Width of the encoding.
    const BITS: u32;
    /// Width of the exponent field.
    const EXP: u32;
    /// Width of the fraction field.
    const FRAC: u32 = Self::BITS - 1 - Self::EXP;
    /// The exponent bias.
    const BIAS: i32 = (1 << (Self::EXP - 1)) - 1;
    /// The exponent of the smallest normal number.
    const EMIN: i32 = 1 - Self::BIAS;
    /// The all-ones exponent field.
    const EXP_MAX: u32 = (1 << Self::EXP) - 1;
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);
    /// The fraction field.
    const FRAC_MASK: u64 = (1 << Self::FRAC) - 1;
    /// Plus infinity.
    const INF: u64 = (Self::EXP_MAX as u64) << Self::FRAC;
    /// The default NaN.
    const NAN: u64 = Self::INF | 1 << (Self::FRAC - 1);

    /// The encoding, zero extended.
    fn bits(self) -> u64;
    /// The low bits of `bits`.
    fn from_bits(bits: u64) -> Self;
}

macro_rules! formats {
    ($($ty:ty: $exp:literal),*) => {$(
        impl Format for $ty {
            const BITS: u32 = <$ty>::BITS;
            const EXP: u32 = $exp;
            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn from_bits(bits: u64) -> Self {
                bits as $ty
            }
        }
    )*};
}
formats!(u16: 5, u32: 8, u64: 11);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Zero,
    Finite,
    Inf,
    QNan,
    SNan,
}

/// A decoded operand; a finite one is `sig * 2^exp`, any other has `sig == 0`.
#[derive(Clone, Copy, Debug)]
struct Unpacked {
    class: Class,
    sign: bool,
    exp: i32,
    sig: u64,
}

impl Unpacked {
    fn is_nan(self) -> bool {
        matches!(self.class, Class::QNan | Class::SNan)
    }
    fn is_inf(self) -> bool {
        self.class == Class::Inf
    }
    fn is_zero(self) -> bool {
        self.class == Class::Zero
    }
}

/// FPUnpack: decodes, flushing a denormal to zero when FPCR says so.
fn unpack<F: Format>(a: F, env: &mut Env) -> Unpacked {
    let u = unpack_raw(a);
    if u.class == Class::Finite && u.sig >> F::FRAC == 0 && env.flushes::<F>() {
        if F::BITS != 16 {
            env.flags |= IDC;
        }
        return Unpacked {
            class: Class::Zero,
            sig: 0,
            ..u
        };
    }
    u
}

/// Decodes without flushing.
fn unpack_raw<F: Format>(a: F) -> Unpacked {
    let bits = a.bits();
    let sign = bits & F::SIGN != 0;
    let field = (bits >> F::FRAC) as u32 & F::EXP_MAX;
    let frac = bits & F::FRAC_MASK;
    let low = F::EMIN - F::FRAC as i32;
    let (class, exp, sig) = if field == 0 {
        (
            if frac == 0 {
                Class::Zero
            } else {
                Class::Finite
            },
            low,
            frac,
        )
    } else if field == F::EXP_MAX {
        let class = if frac == 0 {
            Class::Inf
        } else if frac >> (F::FRAC - 1) != 0 {
            Class::QNan
        } else {
            Class::SNan
        };
        (class, 0, 0)
    } else {
        (Class::Finite, low + field as i32 - 1, frac | 1 << F::FRAC)
    };
    Unpacked {
        class,
        sign,
        exp,
        sig,
    }
}

fn zero<F: Format>(sign: bool) -> F {
    F::from_bits(if sign { F::SIGN } else { 0 })
}

fn infinity<F: Format>(sign: bool) -> F {
    F::from_bits(F::INF | if sign { F::SIGN } else { 0 })
}

fn max_normal<F: Format>(sign: bool) -> F {
    F::from_bits((F::INF - 1) | if sign { F::SIGN } else { 0 })
}

/// The default NaN, with the invalid operation flag raised.
fn invalid<F: Format>(env: &mut Env) -> F {
    env.flags |= IOC;
    F::from_bits(F::NAN)
}

/// FPProcessNaN: the result for the NaN operand `a`.
fn process_nan<F: Format>(a: F, class: Class, env: &mut Env) -> F {
    if class == Class::SNan {
        env.flags |= IOC;
    }
    if env.default_nan() {
        F::from_bits(F::NAN)
    } else {
        F::from_bits(a.bits() | 1 << (F::FRAC - 1))
    }
}

/// FPProcessNaNs and FPProcessNaNs3: a signalling NaN wins over a quiet one, an earlier
/// operand over a later one.
fn process_nans<F: Format, const N: usize>(ops: [(F, Unpacked); N], env: &mut Env) -> Option<F> {
    for class in [Class::SNan, Class::QNan] {
        for (a, u) in ops {
            if u.class == class {
                return Some(process_nan(a, class, env));
            }
        }
    }
    None
}

/// How much of a value lies below the last kept bit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tail {
    None,
    BelowHalf,
    Half,
    AboveHalf,
}

/// Splits `sig` at bit `shift` into the kept integer and the tail.
fn split(sig: u128, shift: u32) -> (u128, Tail) {
    if shift == 0 || sig == 0 {
        return (sig, Tail::None);
    }
    if shift > 128 {
        return (0, Tail::BelowHalf);
    }
    let kept = if shift == 128 { 0 } else { sig >> shift };
    let rest = if shift == 128 {
        sig
    } else {
        sig & ((1 << shift) - 1)
    };
    let half = 1 << (shift - 1);
    let tail = match rest.cmp(&half) {
        _ if rest == 0 => Tail::None,
        core::cmp::Ordering::Less => Tail::BelowHalf,
        core::cmp::Ordering::Equal => Tail::Half,
        core::cmp::Ordering::Greater => Tail::AboveHalf,
    };
    (kept, tail)
}

/// Whether a magnitude is incremented; `odd` is the last kept bit.
fn rounds_up(mode: Rounding, sign: bool, odd: bool, tail: Tail) -> bool {
    match mode {
        Rounding::TieEven => tail > Tail::Half || tail == Tail::Half && odd,
        Rounding::TieAway => tail >= Tail::Half,
        Rounding::Up => tail != Tail::None && !sign,
        Rounding::Down => tail != Tail::None && sign,
        Rounding::Zero | Rounding::Odd => false,
    }
}

/// Whether an overflow gives infinity rather than the largest normal number.
fn overflows_to_inf(mode: Rounding, sign: bool) -> bool {
    match mode {
        Rounding::TieEven | Rounding::TieAway => true,
        Rounding::Up => !sign,
        Rounding::Down => sign,
        Rounding::Zero | Rounding::Odd => false,
    }
}

/// FPRound: packs `sig * 2^exp`. Bit 0 of `sig` may be a sticky bit when the value has more
/// than two bits beyond the format's precision.
fn round<F: Format>(sign: bool, exp: i32, sig: u128, mode: Rounding, env: &mut Env) -> F {
    let flush = env.flushes::<F>();
    round_with(sign, exp, sig, mode, flush, false, env)
}

/// [`round`] with the flush decision given, and optionally to the alternative half format.
fn round_with<F: Format>(
    sign: bool,
    exp: i32,
    sig: u128,
    mode: Rounding,
    flush: bool,
    alt: bool,
    env: &mut Env,
) -> F {
    if sig == 0 {
        return zero(sign);
    }
    let top = exp + 127 - sig.leading_zeros() as i32;
    if flush && top < F::EMIN {
        env.flags |= UFC;
        return zero(sign);
    }
    let shift = top.max(F::EMIN) - F::FRAC as i32 - exp;
    let (kept, tail) = if shift <= 0 {
        (sig << -shift, Tail::None)
    } else {
        split(sig, shift as u32)
    };
    let mut mant = kept as u64;
    let mut field = if top < F::EMIN { 0 } else { top - F::EMIN + 1 } as u32;
    // Tininess is detected before rounding.
    if field == 0 && tail != Tail::None {
        env.flags |= UFC;
    }
    if rounds_up(mode, sign, mant & 1 != 0, tail) {
        mant += 1;
        if mant == 1 << F::FRAC && field == 0 {
            field = 1;
        } else if mant == 1 << (F::FRAC + 1) {
            field += 1;
            mant >>= 1;
        }
    }
    if mode == Rounding::Odd && tail != Tail::None {
        mant |= 1;
    }
    if alt {
        if field > F::EXP_MAX {
            env.flags |= IOC;
            return F::from_bits((F::SIGN - 1) | if sign { F::SIGN } else { 0 });
        }
    } else if field >= F::EXP_MAX {
        env.flags |= OFC | IXC;
        return if overflows_to_inf(mode, sign) {
            infinity(sign)
        } else {
            max_normal(sign)
        };
    }
    if tail != Tail::None {
        env.flags |= IXC;
    }
    let sign = if sign { F::SIGN } else { 0 };
    F::from_bits(sign | u64::from(field) << F::FRAC | mant & F::FRAC_MASK)
}

#[cfg(test)]
mod tests;
