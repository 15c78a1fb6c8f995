//! Addition, multiplication, division, square root, fused multiply-add and rounding to an
//! integral value.

use super::{
    Class, Env, Format, IOC, IXC, Rounding, Tail, Unpacked, infinity, invalid, process_nan,
    process_nans, round, rounds_up, split, unpack, zero,
};

/// FPAbs: clears the sign, NaNs included.
#[inline]
pub(crate) fn abs<F: Format>(a: F) -> F {
    F::from_bits(a.bits() & !F::SIGN)
}

/// FPNeg: flips the sign, NaNs included.
#[inline]
pub(crate) fn neg<F: Format>(a: F) -> F {
    F::from_bits(a.bits() ^ F::SIGN)
}

/// A magnitude with its top bit at bit 125 and its exponent.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    exp: i32,
    sig: u128,
}

impl Wide {
    fn new(exp: i32, sig: u128) -> Wide {
        let up = sig.leading_zeros() as i32 - 2;
        Wide {
            exp: exp - up,
            sig: sig << up,
        }
    }
}

/// Shifts right, keeping whether a one was lost in bit 0.
fn shift_right_jam(sig: u128, by: u32) -> u128 {
    match by {
        0 => sig,
        1..128 => sig >> by | u128::from(sig << (128 - by) != 0),
        _ => u128::from(sig != 0),
    }
}

/// The sum of two finite nonzero values as sign, exponent and significand whose bit 0 is
/// sticky; `None` when they cancel.
pub(super) fn exact_sum(a: (bool, Wide), b: (bool, Wide)) -> Option<(bool, i32, u128)> {
    let (big, small) = if a.1.exp >= b.1.exp { (a, b) } else { (b, a) };
    let low = shift_right_jam(small.1.sig, (big.1.exp - small.1.exp) as u32);
    let (sign, sig) = if big.0 == small.0 {
        (big.0, big.1.sig + low)
    } else if big.1.sig >= low {
        (big.0, big.1.sig - low)
    } else {
        (small.0, low - big.1.sig)
    };
    (sig != 0).then_some((sign, big.1.exp, sig))
}

/// The rounded sum; an exact zero is negative only when rounding down.
fn sum<F: Format>(a: (bool, Wide), b: (bool, Wide), env: &mut Env) -> F {
    let mode = env.rounding();
    match exact_sum(a, b) {
        None => zero(mode == Rounding::Down),
        Some((sign, exp, sig)) => round(sign, exp, sig, mode, env),
    }
}

pub(super) fn finite(u: Unpacked) -> (bool, Wide) {
    (u.sign, Wide::new(u.exp, u128::from(u.sig)))
}

fn add_signed<F: Format>(a: F, b: F, negate: bool, env: &mut Env) -> F {
    let (ua, mut ub) = (unpack(a, env), unpack(b, env));
    if let Some(nan) = process_nans([(a, ua), (b, ub)], env) {
        return nan;
    }
    ub.sign ^= negate;
    match (ua.class, ub.class) {
        (Class::Inf, Class::Inf) if ua.sign != ub.sign => invalid(env),
        (Class::Inf, _) => infinity(ua.sign),
        (_, Class::Inf) => infinity(ub.sign),
        (Class::Zero, Class::Zero) => zero(if ua.sign == ub.sign {
            ua.sign
        } else {
            env.rounding() == Rounding::Down
        }),
        (Class::Zero, _) => round(ub.sign, ub.exp, ub.sig.into(), env.rounding(), env),
        (_, Class::Zero) => round(ua.sign, ua.exp, ua.sig.into(), env.rounding(), env),
        _ => sum(finite(ua), finite(ub), env),
    }
}

/// FPAdd.
pub(crate) fn add<F: Format>(a: F, b: F, env: &mut Env) -> F {
    add_signed(a, b, false, env)
}

/// FPSub.
pub(crate) fn sub<F: Format>(a: F, b: F, env: &mut Env) -> F {
    add_signed(a, b, true, env)
}

fn mul_with<F: Format>(a: F, b: F, extended: bool, env: &mut Env) -> F {
    let (ua, ub) = (unpack(a, env), unpack(b, env));
    if let Some(nan) = process_nans([(a, ua), (b, ub)], env) {
        return nan;
    }
    let sign = ua.sign ^ ub.sign;
    if ua.is_inf() && ub.is_zero() || ua.is_zero() && ub.is_inf() {
        return if extended { two(sign) } else { invalid(env) };
    }
    if ua.is_inf() || ub.is_inf() {
        return infinity(sign);
    }
    let sig = u128::from(ua.sig) * u128::from(ub.sig);
    round(sign, ua.exp + ub.exp, sig, env.rounding(), env)
}

fn two<F: Format>(sign: bool) -> F {
    let bits = (F::BIAS as u64 + 1) << F::FRAC;
    F::from_bits(bits | if sign { F::SIGN } else { 0 })
}

/// FPMul.
pub(crate) fn mul<F: Format>(a: F, b: F, env: &mut Env) -> F {
    mul_with(a, b, false, env)
}

/// FPMulX: infinity times zero is two.
pub(crate) fn mulx<F: Format>(a: F, b: F, env: &mut Env) -> F {
    mul_with(a, b, true, env)
}

/// FPDiv.
pub(crate) fn div<F: Format>(a: F, b: F, env: &mut Env) -> F {
    let (ua, ub) = (unpack(a, env), unpack(b, env));
    if let Some(nan) = process_nans([(a, ua), (b, ub)], env) {
        return nan;
    }
    let sign = ua.sign ^ ub.sign;
    match (ua.class, ub.class) {
        (Class::Inf, Class::Inf) | (Class::Zero, Class::Zero) => invalid(env),
        (Class::Inf, _) => infinity(sign),
        (_, Class::Zero) => {
            env.flags |= super::DZC;
            infinity(sign)
        }
        (Class::Zero, _) | (_, Class::Inf) => zero(sign),
        _ => {
            let up = ua.sig.leading_zeros() + 63;
            let num = u128::from(ua.sig) << up;
            let den = u128::from(ub.sig);
            let quotient = num / den;
            let sticky = u128::from(num != quotient * den);
            // The quotient has at least 74 bits: jamming below them keeps it exact enough.
            let exp = ua.exp - up as i32 - ub.exp - 1;
            round(sign, exp, quotient << 1 | sticky, env.rounding(), env)
        }
    }
}

/// FPSqrt.
pub(crate) fn sqrt<F: Format>(a: F, env: &mut Env) -> F {
    let u = unpack(a, env);
    match u.class {
        Class::QNan | Class::SNan => process_nan(a, u.class, env),
        Class::Zero => zero(u.sign),
        _ if u.sign => invalid(env),
        Class::Inf => infinity(false),
        Class::Finite => {
            let mut up = u.sig.leading_zeros() as i32 + 62;
            if (u.exp - up) & 1 != 0 {
                up -= 1;
            }
            let n = u128::from(u.sig) << up;
            let root = n.isqrt();
            let sticky = u128::from(root * root != n);
            round(
                false,
                (u.exp - up) / 2 - 1,
                root << 1 | sticky,
                env.rounding(),
                env,
            )
        }
    }
}

/// The shared core of the fused operations: `addend + a * b` for operands that are not NaNs,
/// or `None` for an invalid operation. The sum is scaled by `2^scale` before rounding.
fn fused<F: Format>(
    addend: Unpacked,
    a: Unpacked,
    b: Unpacked,
    scale: i32,
    env: &mut Env,
) -> Option<F> {
    let sign = a.sign ^ b.sign;
    let inf = a.is_inf() || b.is_inf();
    let is_zero = a.is_zero() || b.is_zero();
    if inf && is_zero || addend.is_inf() && inf && addend.sign != sign {
        return None;
    }
    if addend.is_inf() {
        return Some(infinity(addend.sign));
    }
    if inf {
        return Some(infinity(sign));
    }
    let mode = env.rounding();
    let product = (a.exp + b.exp + scale, u128::from(a.sig) * u128::from(b.sig));
    let exp = addend.exp + scale;
    Some(match (addend.is_zero(), is_zero) {
        (true, true) if addend.sign == sign => zero(sign),
        (true, true) => zero(mode == Rounding::Down),
        (true, false) => round(sign, product.0, product.1, mode, env),
        (false, true) => round(addend.sign, exp, addend.sig.into(), mode, env),
        (false, false) => sum(
            (addend.sign, Wide::new(exp, addend.sig.into())),
            (sign, Wide::new(product.0, product.1)),
            env,
        ),
    })
}

fn invalid_product(a: Unpacked, b: Unpacked) -> bool {
    a.is_inf() && b.is_zero() || a.is_zero() && b.is_inf()
}

/// FPMulAdd: `addend + a * b` with one rounding.
pub(crate) fn mul_add<F: Format>(addend: F, a: F, b: F, env: &mut Env) -> F {
    let (uc, ua, ub) = (unpack(addend, env), unpack(a, env), unpack(b, env));
    if let Some(nan) = process_nans([(addend, uc), (a, ua), (b, ub)], env) {
        // A quiet NaN addend does not hide the invalid product.
        return if uc.class == Class::QNan && invalid_product(ua, ub) {
            invalid(env)
        } else {
            nan
        };
    }
    fused(uc, ua, ub, 0, env).unwrap_or_else(|| invalid(env))
}

/// FPMulAddH: a single precision addend plus the product of two half precision numbers.
pub(crate) fn mul_add_widening(addend: u32, a: u16, b: u16, env: &mut Env) -> u32 {
    let (uc, ua, ub) = (unpack(addend, env), unpack(a, env), unpack(b, env));
    let nan = |a: u16| super::convert::widen_nan::<u16, u32>(a);
    if let Some(nan) = process_nans([(addend, uc), (nan(a), ua), (nan(b), ub)], env) {
        return if uc.class == Class::QNan && invalid_product(ua, ub) {
            invalid(env)
        } else {
            nan
        };
    }
    fused(uc, ua, ub, 0, env).unwrap_or_else(|| invalid(env))
}

/// FPRecipStepFused: `2 - a * b`.
pub(crate) fn recip_step<F: Format>(a: F, b: F, env: &mut Env) -> F {
    step(a, b, two(false), 0, env)
}

/// FPRSqrtStepFused: `(3 - a * b) / 2`.
pub(crate) fn rsqrt_step<F: Format>(a: F, b: F, env: &mut Env) -> F {
    let three = F::from_bits(two::<F>(false).bits() | 1 << (F::FRAC - 1));
    step(a, b, three, -1, env)
}

fn step<F: Format>(a: F, b: F, constant: F, scale: i32, env: &mut Env) -> F {
    let a = neg(a);
    let (ua, ub) = (unpack(a, env), unpack(b, env));
    if let Some(nan) = process_nans([(a, ua), (b, ub)], env) {
        return nan;
    }
    let uc = super::unpack_raw(constant);
    let limit = F::from_bits(if scale == 0 {
        constant.bits()
    } else {
        three_halves::<F>()
    });
    // The only invalid case left, infinity times zero, gives the step's limit instead.
    fused(uc, ua, ub, scale, env).unwrap_or(limit)
}

fn three_halves<F: Format>() -> u64 {
    (F::BIAS as u64) << F::FRAC | 1 << (F::FRAC - 1)
}

/// FPRoundInt: to an integral value in the same format; `exact` raises IXC when that changes
/// the value.
pub(crate) fn round_int<F: Format>(a: F, mode: Rounding, exact: bool, env: &mut Env) -> F {
    let u = unpack(a, env);
    match u.class {
        Class::QNan | Class::SNan => process_nan(a, u.class, env),
        Class::Inf => infinity(u.sign),
        Class::Zero => zero(u.sign),
        Class::Finite => {
            let (int, tail) = integral(u, mode);
            if exact && tail != Tail::None {
                env.flags |= IXC;
            }
            // An integral value of this magnitude is representable: no flags are raised.
            pack_integral(u, int)
        }
    }
}

/// The magnitude rounded to an integer (as is when it has no fraction bits) and the tail.
fn integral(u: Unpacked, mode: Rounding) -> (u128, Tail) {
    if u.exp >= 0 {
        return (u128::from(u.sig), Tail::None);
    }
    let (kept, tail) = split(u128::from(u.sig), u.exp.unsigned_abs());
    (
        kept + u128::from(rounds_up(mode, u.sign, kept & 1 != 0, tail)),
        tail,
    )
}

fn pack_integral<F: Format>(u: Unpacked, int: u128) -> F {
    round(
        u.sign,
        u.exp.max(0),
        int,
        Rounding::Zero,
        &mut Env::default(),
    )
}

/// FPRoundIntN: to an integral value that fits a signed integer of `size` bits (32 or 64),
/// else to minus `2^(size - 1)` with IOC.
pub(crate) fn round_int_sized<F: Format>(a: F, mode: Rounding, size: u32, env: &mut Env) -> F {
    let u = unpack(a, env);
    let overflow = |env: &mut Env| {
        env.flags |= IOC;
        F::from_bits(F::SIGN | ((F::BIAS as u64 + u64::from(size) - 1) << F::FRAC))
    };
    match u.class {
        Class::QNan | Class::SNan | Class::Inf => overflow(env),
        Class::Zero => zero(u.sign),
        Class::Finite => {
            let (int, tail) = integral(u, mode);
            let exp = u.exp.max(0);
            let limit = 1u128 << (size - 1);
            let fits = exp < 65 && {
                let int = int << exp;
                if u.sign { int <= limit } else { int < limit }
            };
            if !fits {
                return overflow(env);
            }
            if tail != Tail::None {
                env.flags |= IXC;
            }
            pack_integral(u, int)
        }
    }
}
