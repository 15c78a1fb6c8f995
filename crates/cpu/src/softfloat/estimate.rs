//! Reciprocal and reciprocal square root estimates: the architecture's tables, computed.

use super::{
    Class, DZC, Env, Format, IXC, OFC, UFC, infinity, invalid, max_normal, overflows_to_inf,
    process_nan, unpack, zero,
};

/// RecipEstimate: `a` is 256..=511, so is the result.
fn recip_table(a: u32) -> u32 {
    let a = a * 2 + 1;
    ((1 << 19) / a).div_ceil(2)
}

/// RecipSqrtEstimate: `a` is 128..=511, the result 256..=511.
fn rsqrt_table(a: u32) -> u32 {
    let a = if a < 256 {
        a * 2 + 1
    } else {
        ((a >> 1 << 1) + 1) * 2
    };
    // The largest b with a * b^2 < 2^28.
    let below = ((1u32 << 28) - 1) / a;
    below.isqrt().max(512).div_ceil(2)
}

/// FPRecipEstimate.
pub(crate) fn recip_estimate<F: Format>(a: F, env: &mut Env) -> F {
    let u = unpack(a, env);
    let top = u.exp + 63 - u.sig.leading_zeros() as i32;
    match u.class {
        Class::QNan | Class::SNan => process_nan(a, u.class, env),
        Class::Inf => zero(u.sign),
        Class::Zero => {
            env.flags |= DZC;
            infinity(u.sign)
        }
        Class::Finite if top < -(F::BIAS + 1) => {
            env.flags |= OFC | IXC;
            if overflows_to_inf(env.rounding(), u.sign) {
                infinity(u.sign)
            } else {
                max_normal(u.sign)
            }
        }
        Class::Finite if env.flushes::<F>() && top >= F::BIAS - 1 => {
            env.flags |= UFC;
            zero(u.sign)
        }
        Class::Finite => {
            let scaled = (u.sig << u.sig.leading_zeros() >> 55) as u32;
            let estimate = u64::from(recip_table(scaled));
            // The estimate's leading one is bit 8; place it in a fraction, denormal if need be.
            let field = F::BIAS - 1 - top;
            let frac = (estimate & 0xff) << (F::FRAC - 8);
            let (field, frac) = match field {
                0 => (0, 1 << (F::FRAC - 1) | frac >> 1),
                -1 => (0, 1 << (F::FRAC - 2) | frac >> 2),
                _ => (field as u64, frac),
            };
            let sign = if u.sign { F::SIGN } else { 0 };
            F::from_bits(sign | field << F::FRAC | frac)
        }
    }
}

/// FPRSqrtEstimate.
pub(crate) fn rsqrt_estimate<F: Format>(a: F, env: &mut Env) -> F {
    let u = unpack(a, env);
    match u.class {
        Class::QNan | Class::SNan => process_nan(a, u.class, env),
        Class::Zero => {
            env.flags |= DZC;
            infinity(u.sign)
        }
        _ if u.sign => invalid(env),
        Class::Inf => zero(false),
        Class::Finite => {
            let top = u.exp + 63 - u.sig.leading_zeros() as i32;
            let scaled = (u.sig << u.sig.leading_zeros() >> 55) as u32;
            // An odd exponent field is an even exponent.
            let scaled = if (top + F::BIAS) & 1 == 0 {
                scaled
            } else {
                scaled >> 1
            };
            let estimate = u64::from(rsqrt_table(scaled));
            let field = (3 * F::BIAS - 1 - (top + F::BIAS)).div_euclid(2) as u64;
            F::from_bits(field << F::FRAC | (estimate & 0xff) << (F::FRAC - 8))
        }
    }
}

/// FPRecpX: the exponent step of a reciprocal.
pub(crate) fn recip_exponent<F: Format>(a: F, env: &mut Env) -> F {
    let u = unpack(a, env);
    if u.is_nan() {
        return process_nan(a, u.class, env);
    }
    let field = a.bits() & F::INF;
    let field = if field == 0 {
        F::INF - (1 << F::FRAC)
    } else {
        !field & F::INF
    };
    F::from_bits(a.bits() & F::SIGN | field)
}

/// UnsignedRecipEstimate (URECPE).
pub(crate) fn unsigned_recip_estimate(a: u32) -> u32 {
    if a >> 31 == 0 {
        u32::MAX
    } else {
        recip_table(a >> 23) << 23
    }
}

/// UnsignedRSqrtEstimate (URSQRTE).
pub(crate) fn unsigned_rsqrt_estimate(a: u32) -> u32 {
    if a >> 30 == 0 {
        u32::MAX
    } else {
        rsqrt_table(a >> 23) << 23
    }
}
