//! Comparisons, minima and maxima.

use super::{Class, Env, Format, IOC, infinity, process_nans, round, unpack, unpack_raw, zero};

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordering {
    /// The first operand is less.
    Less,
    /// The operands are equal; zeros of either sign are.
    Equal,
    /// The first operand is greater.
    Greater,
    /// One operand is a NaN.
    Unordered,
}

impl Ordering {
    /// The NZCV bits, in bits 3 to 0, that FCMP sets.
    pub(crate) fn nzcv(self) -> u32 {
        match self {
            Ordering::Less => 0b1000,
            Ordering::Equal => 0b0110,
            Ordering::Greater => 0b0010,
            Ordering::Unordered => 0b0011,
        }
    }
}

fn order<F: Format>(a: F, b: F) -> core::cmp::Ordering {
    // Sign and magnitude to two's complement; both zeros map to zero.
    let key = |x: F| {
        let magnitude = (x.bits() & !F::SIGN) as i64;
        if x.bits() & F::SIGN != 0 {
            -magnitude
        } else {
            magnitude
        }
    };
    key(a).cmp(&key(b))
}

/// FPCompare: `signalling` makes a quiet NaN invalid as well.
pub(crate) fn compare<F: Format>(a: F, b: F, signalling: bool, env: &mut Env) -> Ordering {
    let (ua, ub) = (unpack(a, env), unpack(b, env));
    if ua.is_nan() || ub.is_nan() {
        if signalling || ua.class == Class::SNan || ub.class == Class::SNan {
            env.flags |= IOC;
        }
        return Ordering::Unordered;
    }
    let flushed = |x: F, zeroed: bool| if zeroed { zero(false) } else { x };
    match order(flushed(a, ua.is_zero()), flushed(b, ub.is_zero())) {
        core::cmp::Ordering::Less => Ordering::Less,
        core::cmp::Ordering::Equal => Ordering::Equal,
        core::cmp::Ordering::Greater => Ordering::Greater,
    }
}

fn extreme<F: Format>(a: F, b: F, want_max: bool, env: &mut Env) -> F {
    let (ua, ub) = (unpack(a, env), unpack(b, env));
    if let Some(nan) = process_nans([(a, ua), (b, ub)], env) {
        return nan;
    }
    if ua.is_zero() && ub.is_zero() {
        return zero(if want_max {
            ua.sign && ub.sign
        } else {
            ua.sign || ub.sign
        });
    }
    let flushed = |x: F, zeroed: bool| if zeroed { zero(false) } else { x };
    let greater = order(flushed(a, ua.is_zero()), flushed(b, ub.is_zero())).is_gt();
    let u = if greater == want_max { ua } else { ub };
    match u.class {
        Class::Inf => infinity(u.sign),
        _ => round(u.sign, u.exp, u.sig.into(), env.rounding(), env),
    }
}

/// FPMax.
pub(crate) fn max<F: Format>(a: F, b: F, env: &mut Env) -> F {
    extreme(a, b, true, env)
}

/// FPMin.
pub(crate) fn min<F: Format>(a: F, b: F, env: &mut Env) -> F {
    extreme(a, b, false, env)
}

/// Replaces a quiet NaN that stands against a number by the infinity that loses.
fn numbers<F: Format>(a: F, b: F, negative: bool) -> (F, F) {
    match (unpack_raw(a).class, unpack_raw(b).class) {
        (Class::QNan, Class::QNan) => (a, b),
        (Class::QNan, _) => (infinity(negative), b),
        (_, Class::QNan) => (a, infinity(negative)),
        _ => (a, b),
    }
}

/// FPMaxNum.
pub(crate) fn max_num<F: Format>(a: F, b: F, env: &mut Env) -> F {
    let (a, b) = numbers(a, b, true);
    max(a, b, env)
}

/// FPMinNum.
pub(crate) fn min_num<F: Format>(a: F, b: F, env: &mut Env) -> F {
    let (a, b) = numbers(a, b, false);
    min(a, b, env)
}
