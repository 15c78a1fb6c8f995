//! Conversions between formats and to and from fixed-point numbers.

use super::{
    Class, Env, FPCR_AHP, Format, IOC, IXC, Rounding, Tail, Unpacked, infinity, round, round_with,
    rounds_up, split, unpack, unpack_raw, zero,
};

/// The NaN `a` in a wider or narrower format, the quiet bit as it was.
pub(super) fn widen_nan<F: Format, T: Format>(a: F) -> T {
    let sign = if a.bits() & F::SIGN != 0 { T::SIGN } else { 0 };
    let frac = (a.bits() & F::FRAC_MASK) << (63 - F::FRAC) >> (63 - T::FRAC);
    T::from_bits(sign | T::INF | frac)
}

fn convert_with<F: Format, T: Format>(a: F, mode: Rounding, env: &mut Env) -> T {
    let ahp = env.fpcr & FPCR_AHP != 0;
    let alt = T::BITS == 16 && ahp;
    // Conversions ignore FZ16, on the input and on the result.
    let u = match F::BITS {
        16 if ahp && a.bits() & F::INF == F::INF => Unpacked {
            class: Class::Finite,
            sign: a.bits() & F::SIGN != 0,
            exp: F::EMIN - F::FRAC as i32 + F::EXP_MAX as i32 - 1,
            sig: a.bits() & F::FRAC_MASK | 1 << F::FRAC,
        },
        16 => unpack_raw(a),
        _ => unpack(a, env),
    };
    match u.class {
        Class::QNan | Class::SNan => {
            if u.class == Class::SNan || alt {
                env.flags |= IOC;
            }
            if alt {
                zero(u.sign)
            } else if env.default_nan() {
                T::from_bits(T::NAN)
            } else {
                T::from_bits(widen_nan::<F, T>(a).bits() | 1 << (T::FRAC - 1))
            }
        }
        Class::Inf if alt => {
            env.flags |= IOC;
            T::from_bits((T::SIGN - 1) | if u.sign { T::SIGN } else { 0 })
        }
        Class::Inf => infinity(u.sign),
        Class::Zero => zero(u.sign),
        Class::Finite => {
            let flush = T::BITS != 16 && env.flushes::<T>();
            round_with(u.sign, u.exp, u.sig.into(), mode, flush, alt, env)
        }
    }
}

/// FPConvert: from one format to another.
pub(crate) fn convert<F: Format, T: Format>(a: F, env: &mut Env) -> T {
    convert_with(a, env.rounding(), env)
}

/// FPConvert rounding to odd (FCVTXN).
pub(crate) fn convert_to_odd<F: Format, T: Format>(a: F, env: &mut Env) -> T {
    convert_with(a, Rounding::Odd, env)
}

/// FPToFixed: to a saturated integer of `size` bits with `fbits` fraction bits. The result is
/// truncated to `size` bits, not sign extended.
pub(crate) fn fp_to_fixed<F: Format>(
    a: F,
    size: u32,
    fbits: u32,
    unsigned: bool,
    mode: Rounding,
    env: &mut Env,
) -> u64 {
    let u = unpack(a, env);
    let max = if unsigned {
        u128::MAX >> (128 - size)
    } else {
        (1 << (size - 1)) - 1
    };
    let limit = match (u.sign, unsigned) {
        (false, _) => max,
        (true, true) => 0,
        (true, false) => max + 1,
    };
    let (magnitude, tail) = match u.class {
        Class::Zero => return 0,
        Class::QNan | Class::SNan => {
            env.flags |= IOC;
            return 0;
        }
        Class::Inf => (u128::MAX, Tail::None),
        Class::Finite => {
            let exp = u.exp + fbits as i32;
            if exp >= 65 {
                (u128::MAX, Tail::None)
            } else if exp >= 0 {
                (u128::from(u.sig) << exp, Tail::None)
            } else {
                let (kept, tail) = split(u128::from(u.sig), exp.unsigned_abs());
                (
                    kept + u128::from(rounds_up(mode, u.sign, kept & 1 != 0, tail)),
                    tail,
                )
            }
        }
    };
    let magnitude = if magnitude > limit {
        env.flags |= IOC;
        limit
    } else {
        if tail != Tail::None {
            env.flags |= IXC;
        }
        magnitude
    } as u64;
    let value = if u.sign {
        magnitude.wrapping_neg()
    } else {
        magnitude
    };
    value & u64::MAX >> (64 - size)
}

/// FixedToFP: from an integer of `size` bits with `fbits` fraction bits; bits of `value` above
/// `size` are ignored.
pub(crate) fn fixed_to_fp<F: Format>(
    value: u64,
    size: u32,
    fbits: u32,
    unsigned: bool,
    env: &mut Env,
) -> F {
    let up = 64 - size;
    let (sign, magnitude) = if unsigned {
        (false, value << up >> up)
    } else {
        let value = (value << up) as i64 >> up;
        (value < 0, value.unsigned_abs())
    };
    round(sign, -(fbits as i32), magnitude.into(), env.rounding(), env)
}

/// FPToFixedJS: a double to a 32-bit integer modulo `2^32`, and whether that was exact.
pub(crate) fn fp_to_fixed_js(a: u64, env: &mut Env) -> (u32, bool) {
    let u = unpack(a, env);
    match u.class {
        // Neither minus zero nor a flushed denormal is exact.
        Class::Zero => (0, a == 0),
        Class::QNan | Class::SNan | Class::Inf => {
            env.flags |= IOC;
            (0, false)
        }
        Class::Finite => {
            let (kept, tail) = if u.exp >= 0 {
                let low = if u.exp < 32 {
                    u128::from(u.sig) << u.exp
                } else {
                    0
                };
                // Any magnitude with a positive exponent is out of range.
                (low | 1 << 100, Tail::None)
            } else {
                split(u128::from(u.sig), u.exp.unsigned_abs())
            };
            let low = kept as u32;
            let value = if u.sign { low.wrapping_neg() } else { low };
            let out = kept > 0x7fff_ffff + u128::from(u.sign);
            if out {
                env.flags |= IOC;
            } else if tail != Tail::None {
                env.flags |= IXC;
            }
            (value, !out && tail == Tail::None)
        }
    }
}
