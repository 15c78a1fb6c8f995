//! BFloat16: the upper half of a single precision number.

use super::arith::{exact_sum, finite};
use super::{
    Class, Env, FPCR_FZ, Format, OFC, Rounding, infinity, mul_add, process_nan, round_with, unpack,
    zero,
};

/// FPConvertBF: rounds a single precision number to BFloat16.
pub(crate) fn bf16_from_single(a: u32, env: &mut Env) -> u16 {
    let u = unpack(a, env);
    match u.class {
        Class::QNan | Class::SNan => (process_nan(a, u.class, env) >> 16) as u16,
        Class::Inf => (infinity::<u32>(u.sign) >> 16) as u16,
        Class::Zero => u16::from(u.sign) << 15,
        Class::Finite => {
            let flush = env.flushes::<u32>();
            let mode = env.rounding();
            let r: Bf16 = round_with(u.sign, u.exp, u.sig.into(), mode, flush, false, env);
            r.0
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bf16(u16);

impl Format for Bf16 {
    const BITS: u32 = 16;
    const EXP: u32 = 8;
    fn bits(self) -> u64 {
        self.0.into()
    }
    fn from_bits(bits: u64) -> Self {
        Bf16(bits as u16)
    }
}

/// BFMLALB and BFMLALT: a fused multiply-add of widened operands.
pub(crate) fn bf16_mul_add(addend: u32, a: u16, b: u16, env: &mut Env) -> u32 {
    mul_add(addend, u32::from(a) << 16, u32::from(b) << 16, env)
}

/// BFDotAdd: `addend + (a0 * b0 + a1 * b1)`, each step rounded to odd with denormals flushed
/// and no exception flags, as BFDOT and BFMMLA define it without FEAT_EBF16.
pub(crate) fn bf16_dot(addend: u32, a: [u16; 2], b: [u16; 2]) -> u32 {
    let product = |i: usize| bf_mul(u32::from(a[i]) << 16, u32::from(b[i]) << 16);
    bf_add(addend, bf_add(product(0), product(1)))
}

const FLUSH: u32 = FPCR_FZ;

/// BFMulH: the product, any NaN being the default NaN.
fn bf_mul(a: u32, b: u32) -> u32 {
    let env = &mut Env::new(FLUSH);
    let (ua, ub) = (unpack(a, env), unpack(b, env));
    let sign = ua.sign ^ ub.sign;
    if ua.is_nan() || ub.is_nan() || ua.is_inf() && ub.is_zero() || ua.is_zero() && ub.is_inf() {
        return <u32 as Format>::NAN as u32;
    }
    if ua.is_inf() || ub.is_inf() {
        return infinity(sign);
    }
    bf_round(
        sign,
        ua.exp + ub.exp,
        u128::from(ua.sig) * u128::from(ub.sig),
    )
}

/// BFAddH: the sum, an exact zero of opposite signs being positive.
fn bf_add(a: u32, b: u32) -> u32 {
    let env = &mut Env::new(FLUSH);
    let (ua, ub) = (unpack(a, env), unpack(b, env));
    if ua.is_nan() || ub.is_nan() || ua.is_inf() && ub.is_inf() && ua.sign != ub.sign {
        return <u32 as Format>::NAN as u32;
    }
    if ua.is_inf() || ub.is_inf() {
        return infinity(if ua.is_inf() { ua.sign } else { ub.sign });
    }
    match (ua.is_zero(), ub.is_zero()) {
        (true, true) => zero(ua.sign && ub.sign),
        (true, false) => b,
        (false, true) => a,
        (false, false) => match exact_sum(finite(ua), finite(ub)) {
            None => zero(false),
            Some((sign, exp, sig)) => bf_round(sign, exp, sig),
        },
    }
}

/// BFRound: to odd, denormals flushed, overflow to infinity.
fn bf_round(sign: bool, exp: i32, sig: u128) -> u32 {
    let env = &mut Env::new(FLUSH);
    let r = round_with(sign, exp, sig, Rounding::Odd, true, false, env);
    if env.flags & OFC != 0 {
        infinity(sign)
    } else {
        r
    }
}
