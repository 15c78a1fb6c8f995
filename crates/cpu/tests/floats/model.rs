//! The Arm architecture's floating point (Arm ARM, shared/functions/float) on `rustc_apfloat`.
//!
//! Every operation is done in quadruple precision, rounded to odd, and then rounded to its format.
//! That is exact, because quadruple precision has more than two bits beyond double. Flags,
//! flushing, NaNs and the alternative half format are Arm's own rules and written out here; no
//! code is shared with the crate.

use core::cmp::Ordering;

use rustc_apfloat::ieee::{BFloat, Double, Half, Quad, Single};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};

pub(crate) const IOC: u32 = 1;
pub(crate) const DZC: u32 = 2;
pub(crate) const OFC: u32 = 4;
pub(crate) const UFC: u32 = 8;
pub(crate) const IXC: u32 = 16;
pub(crate) const IDC: u32 = 128;

pub(crate) const FZ16: u32 = 1 << 19;
pub(crate) const FZ: u32 = 1 << 24;
pub(crate) const DN: u32 = 1 << 25;
pub(crate) const AHP: u32 = 1 << 26;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fmt {
    H,
    S,
    D,
    /// Brain floating point: factors, and the result of a conversion.
    B,
}

impl Fmt {
    pub(crate) fn bits(self) -> u32 {
        match self {
            Fmt::H | Fmt::B => 16,
            Fmt::S => 32,
            Fmt::D => 64,
        }
    }
    pub(crate) fn frac(self) -> u32 {
        match self {
            Fmt::B => 7,
            Fmt::H => 10,
            Fmt::S => 23,
            Fmt::D => 52,
        }
    }
    fn exp_bits(self) -> u32 {
        self.bits() - 1 - self.frac()
    }
    fn bias(self) -> i32 {
        (1 << (self.exp_bits() - 1)) - 1
    }
    pub(crate) fn sign_bit(self) -> u64 {
        1 << (self.bits() - 1)
    }
    pub(crate) fn inf(self) -> u64 {
        ((1 << self.exp_bits()) - 1) << self.frac()
    }
    pub(crate) fn default_nan(self) -> u64 {
        self.inf() | 1 << (self.frac() - 1)
    }
    fn signed(self, negative: bool, rest: u64) -> u64 {
        rest | if negative { self.sign_bit() } else { 0 }
    }
}

/// Control bits and the flags raised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env {
    pub(crate) fpcr: u32,
    pub(crate) flags: u32,
}

impl Env {
    pub(crate) fn mode(&self) -> Round {
        [
            Round::NearestTiesToEven,
            Round::TowardPositive,
            Round::TowardNegative,
            Round::TowardZero,
        ][(self.fpcr >> 22 & 3) as usize]
    }
    fn flushes(&self, fmt: Fmt) -> bool {
        self.fpcr & if fmt == Fmt::H { FZ16 } else { FZ } != 0
    }
    fn invalid(&mut self, fmt: Fmt) -> u64 {
        self.flags |= IOC;
        fmt.default_nan()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Zero,
    Finite,
    Inf,
    QNan,
    SNan,
}

/// An operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) class: Class,
    pub(crate) negative: bool,
    pub(crate) quad: Quad,
    bits: u64,
}

impl Value {
    pub(crate) fn is_nan(&self) -> bool {
        matches!(self.class, Class::QNan | Class::SNan)
    }
}

fn exact<A: Float + FloatConvert<Quad>>(bits: u64) -> Quad {
    let mut lost = false;
    A::from_bits(bits.into()).convert(&mut lost).value
}

fn to_quad(fmt: Fmt, bits: u64) -> Quad {
    match fmt {
        Fmt::H => exact::<Half>(bits),
        Fmt::S => exact::<Single>(bits),
        Fmt::D => exact::<Double>(bits),
        Fmt::B => exact::<BFloat>(bits),
    }
}

pub(crate) fn pow2(exp: i32) -> Quad {
    Quad::from_u128(1).value.scalbn(exp)
}

fn less(a: Quad, b: Quad) -> bool {
    a.partial_cmp(&b) == Some(Ordering::Less)
}

/// FPUnpack.
pub(crate) fn unpack(fmt: Fmt, bits: u64, env: &mut Env) -> Value {
    let mut value = unpack_raw(fmt, bits);
    let exp = bits & fmt.inf();
    if value.class == Class::Finite && exp == 0 && env.flushes(fmt) {
        if fmt != Fmt::H {
            env.flags |= IDC;
        }
        value.class = Class::Zero;
        value.quad = to_quad(fmt, bits & fmt.sign_bit());
    }
    value
}

fn unpack_raw(fmt: Fmt, bits: u64) -> Value {
    let frac = bits & ((1 << fmt.frac()) - 1);
    let exp = bits & fmt.inf();
    let class = if exp == fmt.inf() {
        match (frac, frac >> (fmt.frac() - 1)) {
            (0, _) => Class::Inf,
            (_, 0) => Class::SNan,
            _ => Class::QNan,
        }
    } else if exp | frac == 0 {
        Class::Zero
    } else {
        Class::Finite
    };
    Value {
        class,
        negative: bits & fmt.sign_bit() != 0,
        quad: to_quad(fmt, bits),
        bits,
    }
}

/// FPProcessNaNs: a signalling NaN first, then by position.
pub(crate) fn nans(fmt: Fmt, values: &[Value], env: &mut Env) -> Option<u64> {
    let find = |class| values.iter().find(|v| v.class == class);
    let value = find(Class::SNan).or_else(|| find(Class::QNan))?;
    if value.class == Class::SNan {
        env.flags |= IOC;
    }
    Some(if env.fpcr & DN != 0 {
        fmt.default_nan()
    } else {
        value.bits | 1 << (fmt.frac() - 1)
    })
}

/// The operation in quadruple precision, rounded to odd; the sign of a zero is that of `mode`.
fn odd(mode: Round, op: impl Fn(Round) -> StatusAnd<Quad>) -> StatusAnd<Quad> {
    let mut result = op(Round::TowardZero);
    if result.status.contains(Status::INEXACT) {
        result.value = Quad::from_bits(result.value.to_bits() | 1);
    } else if result.value.is_zero() {
        result.value = op(mode).value;
    }
    result
}

fn narrow<A: Float>(quad: Quad, mode: Round) -> (u64, bool)
where
    Quad: FloatConvert<A>,
{
    let mut lost = false;
    let result = quad.convert_r(mode, &mut lost);
    (result.value.to_bits() as u64, lost)
}

fn narrow_to(fmt: Fmt, quad: Quad, mode: Round) -> (u64, bool) {
    match fmt {
        Fmt::H => narrow::<Half>(quad, mode),
        Fmt::S => narrow::<Single>(quad, mode),
        Fmt::D => narrow::<Double>(quad, mode),
        Fmt::B => narrow::<BFloat>(quad, mode),
    }
}

/// FPRound of a finite number.
fn round(fmt: Fmt, quad: Quad, mode: Round, env: &mut Env) -> u64 {
    let flush = env.flushes(fmt);
    round_with(fmt, quad, mode, flush, env)
}

fn round_with(fmt: Fmt, quad: Quad, mode: Round, flush: bool, env: &mut Env) -> u64 {
    let negative = quad.is_negative();
    if quad.is_zero() {
        return fmt.signed(negative, 0);
    }
    let size = quad.abs();
    let tiny = less(size, pow2(1 - fmt.bias()));
    if tiny && flush {
        env.flags |= UFC;
        return fmt.signed(negative, 0);
    }
    let (bits, inexact) = narrow_to(fmt, quad, mode);
    let magnitude = bits & !fmt.sign_bit();
    let overflows = magnitude == fmt.inf() || !less(size, pow2(fmt.bias() + 1));
    if overflows {
        env.flags |= OFC;
    }
    if inexact {
        env.flags |= IXC | if tiny { UFC } else { 0 };
    }
    bits
}

/// Rounds what [`odd`] gave, with the flags of invalid operations and divisions by zero.
fn finish(fmt: Fmt, result: StatusAnd<Quad>, env: &mut Env) -> u64 {
    if result.status.contains(Status::INVALID_OP) {
        return env.invalid(fmt);
    }
    if result.status.contains(Status::DIV_BY_ZERO) {
        env.flags |= DZC;
    }
    let value = result.value;
    if value.is_infinite() {
        return fmt.signed(value.is_negative(), fmt.inf());
    }
    round(fmt, value, env.mode(), env)
}

/// The operations that IEEE 754 has with two operands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

pub(crate) fn binary(op: Binary, fmt: Fmt, a: u64, b: u64, env: &mut Env) -> u64 {
    let (a, b) = (unpack(fmt, a, env), unpack(fmt, b, env));
    if let Some(nan) = nans(fmt, &[a, b], env) {
        return nan;
    }
    let (a, b) = (a.quad, b.quad);
    let result = odd(env.mode(), |mode| match op {
        Binary::Add => a.add_r(b, mode),
        Binary::Sub => a.sub_r(b, mode),
        Binary::Mul => a.mul_r(b, mode),
        Binary::Div => a.div_r(b, mode),
    });
    finish(fmt, result, env)
}

fn inf_times_zero(a: Value, b: Value) -> bool {
    let pair = (a.class, b.class);
    matches!(pair, (Class::Inf, Class::Zero) | (Class::Zero, Class::Inf))
}

/// FPMulX.
pub(crate) fn mulx(fmt: Fmt, a: u64, b: u64, env: &mut Env) -> u64 {
    let mut quiet = *env;
    let (x, y) = (unpack(fmt, a, &mut quiet), unpack(fmt, b, &mut quiet));
    if inf_times_zero(x, y) {
        env.flags |= quiet.flags;
        let two = ((fmt.bias() + 1) as u64) << fmt.frac();
        return fmt.signed(x.negative != y.negative, two);
    }
    binary(Binary::Mul, fmt, a, b, env)
}

/// FPMulAdd: `addend + a * b`.
pub(crate) fn mul_add(fmt: Fmt, addend: u64, a: u64, b: u64, env: &mut Env) -> u64 {
    let [c, a, b] = [addend, a, b].map(|v| unpack(fmt, v, env));
    let nan = nans(fmt, &[c, a, b], env);
    if c.class == Class::QNan && inf_times_zero(a, b) {
        return env.invalid(fmt);
    }
    if let Some(nan) = nan {
        return nan;
    }
    let result = odd(env.mode(), |m| a.quad.mul_add_r(b.quad, c.quad, m));
    finish(fmt, result, env)
}

/// FPMulAddH: `addend + a * b` in single precision of half precision factors.
pub(crate) fn mul_add_half(addend: u64, a: u64, b: u64, env: &mut Env) -> u64 {
    let c = unpack(Fmt::S, addend, env);
    let [a, b] = [a, b].map(|v| unpack(Fmt::H, v, env));
    if c.class == Class::QNan && inf_times_zero(a, b) {
        return env.invalid(Fmt::S);
    }
    // FPProcessNaNs3H.
    let nan = |class| {
        let factor = |v: Value| (v.class == class).then(|| convert_nan(Fmt::H, Fmt::S, v));
        (c.class == class)
            .then_some(c.bits | 1 << 22)
            .or_else(|| factor(a))
            .or_else(|| factor(b))
    };
    let signalling = nan(Class::SNan);
    if signalling.is_some() {
        env.flags |= IOC;
    }
    if let Some(nan) = signalling.or_else(|| nan(Class::QNan)) {
        return if env.fpcr & DN != 0 {
            Fmt::S.default_nan()
        } else {
            nan
        };
    }
    let result = odd(env.mode(), |m| a.quad.mul_add_r(b.quad, c.quad, m));
    finish(Fmt::S, result, env)
}

/// FPRecipStepFused and FPRSqrtStepFused.
pub(crate) fn step(fmt: Fmt, a: u64, b: u64, root: bool, env: &mut Env) -> u64 {
    let a = unpack(fmt, a ^ fmt.sign_bit(), env);
    let b = unpack(fmt, b, env);
    if let Some(nan) = nans(fmt, &[a, b], env) {
        return nan;
    }
    let half_exp = |quad: Quad| if root { quad.scalbn(-1) } else { quad };
    let start = Quad::from_u128(if root { 3 } else { 2 }).value;
    if inf_times_zero(a, b) {
        return round(fmt, half_exp(start), env.mode(), env);
    }
    let mut result = odd(env.mode(), |mode| a.quad.mul_add_r(b.quad, start, mode));
    result.value = half_exp(result.value);
    finish(fmt, result, env)
}

/// FPSqrt.
pub(crate) fn sqrt(fmt: Fmt, a: u64, env: &mut Env) -> u64 {
    let a = unpack(fmt, a, env);
    if let Some(nan) = nans(fmt, &[a], env) {
        return nan;
    }
    match a.class {
        Class::Zero => return fmt.signed(a.negative, 0),
        _ if a.negative => return env.invalid(fmt),
        Class::Inf => return fmt.inf(),
        _ => {}
    }
    // As an integer of 120 bits or so times an even power of two.
    let exp = a.quad.ilogb();
    let scale = (118 - exp) & !1;
    let mut exactly = false;
    let integer = a
        .quad
        .scalbn(scale)
        .to_u128_r(128, Round::TowardZero, &mut exactly);
    let root = integer.value.isqrt();
    let rest = u128::from(root * root != integer.value);
    let quad = Quad::from_u128(root << 1 | rest)
        .value
        .scalbn(-scale / 2 - 1);
    round(fmt, quad, env.mode(), env)
}

/// FPMax and FPMin, and the forms that prefer numbers.
pub(crate) fn extreme(fmt: Fmt, a: u64, b: u64, max: bool, number: bool, env: &mut Env) -> u64 {
    let (mut a, mut b) = (unpack(fmt, a, env), unpack(fmt, b, env));
    if number && a.class == Class::QNan && !b.is_nan() {
        a = unpack_raw(fmt, fmt.signed(max, fmt.inf()));
    } else if number && !a.is_nan() && b.class == Class::QNan {
        b = unpack_raw(fmt, fmt.signed(max, fmt.inf()));
    }
    if let Some(nan) = nans(fmt, &[a, b], env) {
        return nan;
    }
    let chosen = match a.quad.partial_cmp(&b.quad) {
        Some(Ordering::Equal) if a.negative == max => b,
        Some(Ordering::Equal) => a,
        Some(order) if (order == Ordering::Greater) == max => a,
        _ => b,
    };
    if chosen.class == Class::Inf {
        return fmt.signed(chosen.negative, fmt.inf());
    }
    round(fmt, chosen.quad, env.mode(), env)
}

/// FPCompare: the condition flags.
pub(crate) fn compare(fmt: Fmt, a: u64, b: u64, signalling: bool, env: &mut Env) -> u32 {
    let (a, b) = (unpack(fmt, a, env), unpack(fmt, b, env));
    if a.is_nan() || b.is_nan() {
        if signalling || a.class == Class::SNan || b.class == Class::SNan {
            env.flags |= IOC;
        }
        return 0x3000_0000;
    }
    match a.quad.partial_cmp(&b.quad) {
        Some(Ordering::Less) => 0x8000_0000,
        Some(Ordering::Equal) => 0x6000_0000,
        _ => 0x2000_0000,
    }
}

/// FPRoundInt.
pub(crate) fn round_int(fmt: Fmt, a: u64, mode: Round, exact: bool, env: &mut Env) -> u64 {
    let a = unpack(fmt, a, env);
    if let Some(nan) = nans(fmt, &[a], env) {
        return nan;
    }
    match a.class {
        Class::Inf => return fmt.signed(a.negative, fmt.inf()),
        Class::Zero => return fmt.signed(a.negative, 0),
        _ => {}
    }
    let rounded = a.quad.round_to_integral(mode).value;
    if exact && rounded.partial_cmp(&a.quad) != Some(Ordering::Equal) {
        env.flags |= IXC;
    }
    if rounded.is_zero() {
        return fmt.signed(a.negative, 0);
    }
    narrow_to(fmt, rounded, mode).0
}

/// FPRoundIntN.
pub(crate) fn round_int_sized(fmt: Fmt, a: u64, mode: Round, size: i32, env: &mut Env) -> u64 {
    let value = unpack(fmt, a, env);
    let limit = pow2(size - 1);
    let lowest = narrow_to(fmt, -limit, Round::TowardZero).0;
    if value.is_nan() || value.class == Class::Inf {
        env.flags |= IOC;
        return lowest;
    }
    let rounded = value.quad.round_to_integral(mode).value;
    if !less(rounded, limit) || less(rounded, -limit) {
        env.flags |= IOC;
        return lowest;
    }
    if rounded.partial_cmp(&value.quad) != Some(Ordering::Equal) {
        env.flags |= IXC;
    }
    if rounded.is_zero() {
        return fmt.signed(value.negative, 0);
    }
    narrow_to(fmt, rounded, mode).0
}

/// FPToFixed: an integer of `size` bits.
pub(crate) fn to_fixed(
    (fmt, a): (Fmt, u64),
    size: u32,
    fraction: u32,
    signed: bool,
    mode: Round,
    env: &mut Env,
) -> u64 {
    let value = unpack(fmt, a, env);
    if value.is_nan() {
        env.flags |= IOC;
        return 0;
    }
    let (low, high) = if signed {
        (-(1i128 << (size - 1)), (1i128 << (size - 1)) - 1)
    } else {
        (0, (1i128 << size) - 1)
    };
    let scaled = value.quad.scalbn(fraction as i32);
    let rounded = scaled.round_to_integral(mode).value;
    let quad = |v: i128| Quad::from_i128(v).value;
    let mask = u64::MAX >> (64 - size);
    if less(rounded, quad(low)) {
        env.flags |= IOC;
        return low as u64 & mask;
    }
    if less(quad(high), rounded) {
        env.flags |= IOC;
        return high as u64 & mask;
    }
    if rounded.partial_cmp(&scaled) != Some(Ordering::Equal) {
        env.flags |= IXC;
    }
    let mut exactly = false;
    let integer = rounded.to_i128_r(128, Round::TowardZero, &mut exactly);
    integer.value as u64 & mask
}

/// FixedToFP.
pub(crate) fn from_fixed(
    fmt: Fmt,
    a: u64,
    size: u32,
    fraction: u32,
    signed: bool,
    env: &mut Env,
) -> u64 {
    let a = a & (u64::MAX >> (64 - size));
    let shift = 64 - size;
    let integer = if signed {
        i128::from((a << shift) as i64 >> shift)
    } else {
        a.into()
    };
    let quad = Quad::from_i128(integer).value.scalbn(-(fraction as i32));
    round(fmt, quad, env.mode(), env)
}

/// FPToFixedJS: the integer and the Z flag.
pub(crate) fn to_fixed_js(a: u64, env: &mut Env) -> (u64, bool) {
    let value = unpack(Fmt::D, a, env);
    if value.is_nan() || value.class == Class::Inf {
        env.flags |= IOC;
        return (0, false);
    }
    let rounded = value.quad.round_to_integral(Round::TowardZero).value;
    // A double above 2^84 is a multiple of 2^32.
    let low = if less(rounded.abs(), pow2(100)) {
        let mut exactly = false;
        rounded
            .to_i128_r(128, Round::TowardZero, &mut exactly)
            .value as u32
    } else {
        0
    };
    let out_of_range = less(rounded, -pow2(31)) || !less(rounded, pow2(31));
    let inexact = rounded.partial_cmp(&value.quad) != Some(Ordering::Equal);
    if out_of_range {
        env.flags |= IOC;
    } else if inexact {
        env.flags |= IXC;
    }
    let zero = value.class == Class::Zero;
    let z = !out_of_range && !inexact && !(zero && (value.negative || a << 1 != 0));
    (low.into(), z)
}

/// FPConvert between half, single and double.
pub(crate) fn convert(from: Fmt, to: Fmt, a: u64, env: &mut Env) -> u64 {
    // Conversions do not look at FZ16.
    let mut local = Env {
        fpcr: env.fpcr & !FZ16,
        flags: env.flags,
    };
    let result = convert_without_fz16(from, to, a, &mut local);
    env.flags = local.flags;
    result
}

fn convert_without_fz16(from: Fmt, to: Fmt, a: u64, env: &mut Env) -> u64 {
    let alternative = env.fpcr & AHP != 0;
    let mut value = unpack(from, a, env);
    if from == Fmt::H && alternative && a & 0x7c00 == 0x7c00 {
        // The largest exponent is of numbers.
        value.class = Class::Finite;
        let size = Quad::from_u128(u128::from(a & 0x3ff | 0x400))
            .value
            .scalbn(6);
        value.quad = if value.negative { -size } else { size };
    }
    let to_alternative = to == Fmt::H && alternative;
    if value.is_nan() {
        if value.class == Class::SNan || to_alternative {
            env.flags |= IOC;
        }
        return if to_alternative {
            to.signed(value.negative, 0)
        } else if env.fpcr & DN != 0 {
            to.default_nan()
        } else {
            convert_nan(from, to, value)
        };
    }
    if value.class == Class::Inf {
        if to_alternative {
            env.flags |= IOC;
            return to.signed(value.negative, 0x7fff);
        }
        return to.signed(value.negative, to.inf());
    }
    if to_alternative {
        return round_alternative(value.quad, env);
    }
    round(to, value.quad, env.mode(), env)
}

fn convert_nan(from: Fmt, to: Fmt, value: Value) -> u64 {
    let payload = value.bits & ((1 << (from.frac() - 1)) - 1);
    let top = payload << (52 - from.frac()) >> (52 - to.frac());
    to.signed(value.negative, to.default_nan() | top)
}

/// FPRound to the alternative half format: one more exponent, no infinity.
fn round_alternative(quad: Quad, env: &mut Env) -> u64 {
    let top = pow2(16);
    if less(quad.abs(), top) {
        let mut quiet = *env;
        let bits = round(Fmt::H, quad, env.mode(), &mut quiet);
        if bits & 0x7fff < 0x7c00 && less(quad.abs(), pow2(15)) {
            env.flags = quiet.flags;
            return bits;
        }
    }
    // Same precision with the exponent one lower.
    let mut quiet = Env {
        fpcr: env.fpcr,
        flags: 0,
    };
    let half = round(Fmt::H, quad.scalbn(-2), env.mode(), &mut quiet);
    let magnitude = (half & 0x7fff) + 0x800;
    if magnitude > 0x7fff || quiet.flags & OFC != 0 {
        env.flags |= IOC;
        return Fmt::H.signed(quad.is_negative(), 0x7fff);
    }
    env.flags |= quiet.flags;
    Fmt::H.signed(quad.is_negative(), magnitude)
}

/// FPConvertBF.
pub(crate) fn to_bf16(a: u64, env: &mut Env) -> u64 {
    let value = unpack(Fmt::S, a, env);
    if value.is_nan() {
        if value.class == Class::SNan {
            env.flags |= IOC;
        }
        return if env.fpcr & DN != 0 {
            Fmt::B.default_nan()
        } else {
            convert_nan(Fmt::S, Fmt::B, value)
        };
    }
    if value.class == Class::Inf {
        return Fmt::B.signed(value.negative, Fmt::B.inf());
    }
    round(Fmt::B, value.quad, env.mode(), env)
}

/// BFUnpack of a single, without denormals and signalling NaNs.
fn bf_unpack(bits: u64) -> Value {
    let mut flushing = Env { fpcr: FZ, flags: 0 };
    unpack(Fmt::S, bits, &mut flushing)
}

/// BFRound: to odd, without denormals, flags or overflow to the largest number.
fn bf_round(result: StatusAnd<Quad>) -> u64 {
    let quad = result.value;
    if result.status.contains(Status::INVALID_OP) || quad.is_nan() {
        return Fmt::S.default_nan();
    }
    let negative = quad.is_negative();
    if quad.is_zero() || less(quad.abs(), pow2(-126)) {
        return Fmt::S.signed(negative, 0);
    }
    if quad.is_infinite() || !less(quad.abs(), pow2(128)) {
        return Fmt::S.signed(negative, Fmt::S.inf());
    }
    let (bits, inexact) = narrow_to(Fmt::S, quad, Round::TowardZero);
    bits | u64::from(inexact)
}

/// BFMulH: the product of two BFloat16 numbers as a single.
pub(crate) fn bf_mul(a: u64, b: u64) -> u64 {
    let [a, b] = [a, b].map(|v| bf_unpack(v << 16));
    bf_round(odd(Round::NearestTiesToEven, |m| a.quad.mul_r(b.quad, m)))
}

/// BFAdd.
pub(crate) fn bf_add(a: u64, b: u64) -> u64 {
    let [a, b] = [a, b].map(bf_unpack);
    bf_round(odd(Round::NearestTiesToEven, |m| a.quad.add_r(b.quad, m)))
}

/// FPConvert from double to single with rounding to odd.
pub(crate) fn to_odd(a: u64, env: &mut Env) -> u64 {
    let value = unpack(Fmt::D, a, env);
    if value.class != Class::Finite {
        return convert(Fmt::D, Fmt::S, a, env);
    }
    let before = env.flags;
    env.flags = 0;
    let bits = round(Fmt::S, value.quad, Round::TowardZero, env);
    let inexact = env.flags & IXC != 0;
    env.flags |= before;
    bits | u64::from(inexact)
}

/// FPRecpX.
pub(crate) fn recip_exponent(fmt: Fmt, a: u64, env: &mut Env) -> u64 {
    let value = unpack(fmt, a, env);
    if let Some(nan) = nans(fmt, &[value], env) {
        return nan;
    }
    let exp = a & fmt.inf();
    let result = if exp == 0 {
        fmt.inf() - (1 << fmt.frac())
    } else {
        !exp & fmt.inf()
    };
    fmt.signed(value.negative, result)
}

/// Fraction with its leading one at bit 52, and exponent field, of a finite number.
fn normalised(fmt: Fmt, a: u64) -> (u64, i32) {
    let frac = (a & ((1 << fmt.frac()) - 1)) << (52 - fmt.frac());
    let exp = ((a & fmt.inf()) >> fmt.frac()) as i32;
    if exp != 0 {
        return (frac | 1 << 52, exp);
    }
    let shift = frac.leading_zeros() - 11;
    (frac << shift, 1 - shift as i32)
}

/// FPRecipEstimate.
pub(crate) fn recip_estimate(fmt: Fmt, a: u64, env: &mut Env) -> u64 {
    let value = unpack(fmt, a, env);
    if let Some(nan) = nans(fmt, &[value], env) {
        return nan;
    }
    match value.class {
        Class::Inf => return fmt.signed(value.negative, 0),
        Class::Zero => {
            env.flags |= DZC;
            return fmt.signed(value.negative, fmt.inf());
        }
        _ => {}
    }
    if less(value.quad.abs(), pow2(-fmt.bias() - 1)) {
        env.flags |= OFC | IXC;
        let infinite = match env.mode() {
            Round::TowardPositive => !value.negative,
            Round::TowardNegative => value.negative,
            mode => mode == Round::NearestTiesToEven,
        };
        let magnitude = fmt.inf() - u64::from(!infinite);
        return fmt.signed(value.negative, magnitude);
    }
    if env.flushes(fmt) && !less(value.quad.abs(), pow2(fmt.bias() - 1)) {
        env.flags |= UFC;
        return fmt.signed(value.negative, 0);
    }
    let (frac, exp) = normalised(fmt, a);
    // A number in [0.5, 1), in 256 steps.
    let x = ((frac >> 44) as f64 + 0.5) / 512.0;
    let estimate = (256.0 / x + 0.5) as u64;
    let field = 2 * fmt.bias() - 1 - exp;
    let unit = fmt.frac() - 8;
    let magnitude = match field {
        0 => estimate << unit >> 1,
        -1 => estimate << unit >> 2,
        _ => (field as u64) << fmt.frac() | (estimate & 0xff) << unit,
    };
    fmt.signed(value.negative, magnitude)
}

/// FPRSqrtEstimate.
pub(crate) fn rsqrt_estimate(fmt: Fmt, a: u64, env: &mut Env) -> u64 {
    let value = unpack(fmt, a, env);
    if let Some(nan) = nans(fmt, &[value], env) {
        return nan;
    }
    match value.class {
        Class::Zero => {
            env.flags |= DZC;
            return fmt.signed(value.negative, fmt.inf());
        }
        _ if value.negative => return env.invalid(fmt),
        Class::Inf => return 0,
        _ => {}
    }
    let (frac, exp) = normalised(fmt, a);
    // In [0.25, 0.5) or [0.5, 1), 128 steps each.
    let steps = if exp & 1 == 0 { 256.0 } else { 512.0 };
    let x = ((frac >> 45) as f64 + 0.5) / steps;
    let estimate = (256.0 / x.sqrt() + 0.5) as u64;
    let field = (3 * fmt.bias() - 1 - exp) >> 1;
    (field as u64) << fmt.frac() | (estimate & 0xff) << (fmt.frac() - 8)
}
