use super::*;
use rustc_apfloat::ieee::{Double, Half, Single};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};

/// xorshift64*: repeatable random words.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Random bits, or near a boundary, or of a moderate exponent.
    fn operand<F: Format>(&mut self) -> F {
        let r = self.next();
        let sign = if r & 1 != 0 { F::SIGN } else { 0 };
        let near = |x: u64| x.wrapping_add(r >> 8 & 3).wrapping_sub(1) & (F::SIGN - 1);
        let bits = match r >> 1 & 15 {
            0 => near(0),
            1 => near(F::INF),
            2 => near(1 << F::FRAC),
            3 => near(F::NAN),
            4 => near((F::BIAS as u64) << F::FRAC),
            5 => self.next() & F::FRAC_MASK,
            6 => (self.next() & 0xff) << F::FRAC >> 1 & (F::SIGN - 1),
            7..=11 => {
                let exp = (F::BIAS as u64 + (r >> 16 & 15)).wrapping_sub(8);
                exp << F::FRAC | self.next() & F::FRAC_MASK
            }
            _ => self.next() & (F::SIGN - 1),
        };
        F::from_bits(bits | sign)
    }
}

const MODES: [(u32, Round); 4] = [
    (0, Round::NearestTiesToEven),
    (1 << 22, Round::TowardPositive),
    (2 << 22, Round::TowardNegative),
    (3 << 22, Round::TowardZero),
];

/// Compares value (NaNs by kind only: selection is tested apart) and flags.
fn check<F: Format, A: Float>(
    what: &str,
    ops: &[u64],
    fpcr: u32,
    got: F,
    env: Env,
    want: StatusAnd<A>,
) {
    let expect = want.value.to_bits() as u64;
    let nan = |b: u64| b & F::INF == F::INF && b & F::FRAC_MASK != 0;
    let input_nan = ops.iter().any(|&b| nan(b));
    if nan(expect) || nan(got.bits()) {
        assert!(
            nan(expect) && nan(got.bits()),
            "{what} {ops:x?} {fpcr:x}: {got:x?} {expect:x}"
        );
        if input_nan {
            return;
        }
    } else {
        assert_eq!(got.bits(), expect, "{what} {ops:x?} {fpcr:x}");
    }
    let flag = |s: Status, f: u32| if want.status.contains(s) { f } else { 0 };
    let flags = flag(Status::INVALID_OP, IOC)
        | flag(Status::DIV_BY_ZERO, DZC)
        | flag(Status::OVERFLOW, OFC)
        | flag(Status::INEXACT, IXC);
    // The model forgets the overflow flag when the result is the largest number.
    let saturated = got.bits() & !F::SIGN == F::INF - 1 && env.flags & OFC != 0;
    let ignored = UFC | if saturated { OFC } else { 0 };
    assert_eq!(
        env.flags & !ignored,
        flags & !ignored,
        "{what} {ops:x?} {fpcr:x} flags"
    );
    // The model tells tininess after rounding; we tell it before.
    let tiny = got.bits() & !F::SIGN < 1 << F::FRAC;
    if env.flags & UFC != 0 {
        assert!(
            got.bits() & !F::SIGN <= 1 << F::FRAC && flags & IXC != 0,
            "{what} {ops:x?}"
        );
    } else {
        assert!(!(tiny && flags & IXC != 0), "{what} {ops:x?}: no underflow");
    }
}

fn arithmetic<F: Format, A: Float>(seed: u64) {
    let mut rng = Rng(seed);
    for i in 0..40_000 {
        let (fpcr, mode) = MODES[i & 3];
        let (a, b, c): (F, F, F) = (rng.operand(), rng.operand(), rng.operand());
        let ap = |x: F| A::from_bits(x.bits().into());
        let ops = [a.bits(), b.bits(), c.bits()];
        let mut env = Env::new(fpcr);
        let r = add(a, b, &mut env);
        check("add", &ops[..2], fpcr, r, env, ap(a).add_r(ap(b), mode));
        env.flags = 0;
        let r = sub(a, b, &mut env);
        check("sub", &ops[..2], fpcr, r, env, ap(a).sub_r(ap(b), mode));
        env.flags = 0;
        let r = mul(a, b, &mut env);
        check("mul", &ops[..2], fpcr, r, env, ap(a).mul_r(ap(b), mode));
        env.flags = 0;
        let r = div(a, b, &mut env);
        check("div", &ops[..2], fpcr, r, env, ap(a).div_r(ap(b), mode));
        env.flags = 0;
        let r = mul_add(c, a, b, &mut env);
        check(
            "fma",
            &ops,
            fpcr,
            r,
            env,
            ap(a).mul_add_r(ap(b), ap(c), mode),
        );
    }
}

#[test]
fn arithmetic_agrees_with_the_independent_model() {
    arithmetic::<u16, Half>(1);
    arithmetic::<u32, Single>(2);
    arithmetic::<u64, Double>(3);
}

fn converts<F: Format, A: Float + FloatConvert<B>, T: Format, B: Float>(seed: u64) {
    let mut rng = Rng(seed);
    for i in 0..20_000 {
        let (fpcr, mode) = MODES[i & 3];
        let a: F = rng.operand();
        let mut env = Env::new(fpcr);
        let r: T = convert(a, &mut env);
        if unpack_raw(a).is_nan() {
            assert!(unpack_raw(r).class == Class::QNan);
            continue;
        }
        let mut loses = false;
        let want = A::from_bits(a.bits().into()).convert_r(mode, &mut loses);
        check::<T, B>("convert", &[], fpcr, r, env, want);
    }
}

#[test]
fn conversions_agree_with_the_independent_model() {
    converts::<u16, Half, u32, Single>(4);
    converts::<u16, Half, u64, Double>(5);
    converts::<u32, Single, u64, Double>(6);
    converts::<u32, Single, u16, Half>(7);
    converts::<u64, Double, u16, Half>(8);
    converts::<u64, Double, u32, Single>(9);
}

#[test]
fn square_roots_agree_with_the_host() {
    let mut rng = Rng(10);
    for _ in 0..40_000 {
        let a: u64 = rng.operand();
        let got = sqrt(a, &mut Env::default());
        let want = f64::from_bits(a).sqrt();
        assert!(
            got == want.to_bits() || f64::from_bits(got).is_nan() && want.is_nan(),
            "{a:x}"
        );
        let a: u32 = rng.operand();
        let got = sqrt(a, &mut Env::default());
        let want = f32::from_bits(a).sqrt();
        assert!(
            got == want.to_bits() || f32::from_bits(got).is_nan() && want.is_nan(),
            "{a:x}"
        );
    }
    // A directed mode brackets the root.
    for i in 0..1000u64 {
        let a = (1.0 + i as f64).to_bits();
        let down = f64::from_bits(sqrt(a, &mut Env::new(2 << 22)));
        let up = f64::from_bits(sqrt(a, &mut Env::new(1 << 22)));
        assert!(down <= up && down * down <= 1.0 + i as f64 && (up.to_bits() - down.to_bits()) < 2);
    }
}

#[test]
fn integer_conversions_agree_with_the_host() {
    let mut rng = Rng(11);
    for _ in 0..40_000 {
        let a: u64 = rng.operand();
        let f = f64::from_bits(a);
        let to =
            |size, unsigned| fp_to_fixed(a, size, 0, unsigned, Rounding::Zero, &mut Env::default());
        assert_eq!(to(64, false) as i64, f as i64, "{a:x}");
        assert_eq!(to(64, true), f as u64, "{a:x}");
        assert_eq!(to(32, false) as u32 as i32, f as i32, "{a:x}");
        assert_eq!(to(32, true) as u32, f as u32, "{a:x}");
        let n = rng.next() >> (a & 63);
        let from = |unsigned| fixed_to_fp::<u64>(n, 64, 0, unsigned, &mut Env::default());
        assert_eq!(from(false), (n as i64 as f64).to_bits());
        assert_eq!(from(true), (n as f64).to_bits());
        let single: u32 = fixed_to_fp(n, 64, 0, true, &mut Env::default());
        assert_eq!(single, (n as f32).to_bits());
        let js = fp_to_fixed_js(a, &mut Env::default());
        if f.abs() < 2147483648.0 {
            assert_eq!(js.0, f as i32 as u32);
        }
    }
}

#[test]
fn integral_rounding_agrees_with_the_host() {
    let mut rng = Rng(12);
    for _ in 0..40_000 {
        let a: u64 = rng.operand();
        let f = f64::from_bits(a);
        if f.is_nan() {
            continue;
        }
        let to = |mode| f64::from_bits(round_int(a, mode, false, &mut Env::default()));
        assert_eq!(to(Rounding::Zero).to_bits(), f.trunc().to_bits(), "{f}");
        assert_eq!(to(Rounding::Up).to_bits(), f.ceil().to_bits(), "{f}");
        assert_eq!(to(Rounding::Down).to_bits(), f.floor().to_bits(), "{f}");
        assert_eq!(to(Rounding::TieAway).to_bits(), f.round().to_bits(), "{f}");
        assert_eq!(
            to(Rounding::TieEven).to_bits(),
            f.round_ties_even().to_bits(),
            "{f}"
        );
    }
}

#[test]
fn nans_are_selected_as_the_architecture_says() {
    let (q, s, one) = (0x7fc0_1234u32, 0xff80_5678u32, 0x3f80_0000u32);
    let mut env = Env::default();
    assert_eq!(add(q, one, &mut env), q);
    assert_eq!(env.flags, 0);
    // A signalling NaN wins over an earlier quiet one and is made quiet.
    assert_eq!(add(q, s, &mut env), 0xffc0_5678);
    assert_eq!(env.flags, IOC);
    assert_eq!(add(q, s, &mut Env::new(FPCR_DN)), 0x7fc0_0000);
    // A quiet NaN addend does not hide infinity times zero.
    let mut env = Env::default();
    assert_eq!(mul_add(q, 0x7f80_0000, 0, &mut env), 0x7fc0_0000);
    assert_eq!(env.flags, IOC);
    // The number wins against a quiet NaN only.
    assert_eq!(max_num(q, one, &mut Env::default()), one);
    assert_eq!(max_num(s, one, &mut Env::default()), 0xffc0_5678);
    assert_eq!(max(0x8000_0000u32, 0, &mut Env::default()), 0);
    assert_eq!(min(0u32, 0x8000_0000, &mut Env::default()), 0x8000_0000);
}

#[test]
fn denormals_are_flushed_when_asked() {
    let mut env = Env::new(FPCR_FZ);
    assert_eq!(add(1u32, 1, &mut env), 0);
    assert_eq!(env.flags, IDC);
    let mut env = Env::new(FPCR_FZ);
    assert_eq!(mul(0x0080_0000u32, 0x3f00_0000, &mut env), 0);
    assert_eq!(env.flags, UFC);
    let mut env = Env::new(FPCR_FZ16);
    assert_eq!(add(1u16, 1, &mut env), 0);
    assert_eq!(env.flags, 0);
    assert_eq!(add(1u32, 1, &mut env), 2);
}

#[test]
fn alternative_half_precision_has_no_infinity() {
    let mut env = Env::new(FPCR_AHP);
    assert_eq!(convert::<u16, u32>(0x7c00, &mut env), 65536f32.to_bits());
    assert_eq!(convert::<u32, u16>(65536f32.to_bits(), &mut env), 0x7c00);
    assert_eq!(env.flags, 0);
    assert_eq!(
        convert::<u32, u16>(f32::INFINITY.to_bits(), &mut env),
        0x7fff
    );
    assert_eq!(env.flags, IOC);
}

#[test]
fn steps_and_estimates() {
    let env = &mut Env::default();
    let f = |x: f32| x.to_bits();
    assert_eq!(recip_step(f(3.0), f(0.25), env), f(1.25));
    assert_eq!(rsqrt_step(f(3.0), f(0.5), env), f(0.75));
    assert_eq!(recip_step(f(0.0), f(f32::INFINITY), env), f(2.0));
    assert_eq!(rsqrt_step(f(0.0), f(f32::INFINITY), env), f(1.5));
    assert_eq!(recip_estimate(f(1.0), env), 0x3f7f_8000);
    assert_eq!(rsqrt_estimate(f(1.0), env), 0x3f7f_8000);
    assert_eq!(env.flags, 0);
    for exp in -120..120 {
        let x = 1.37f32 * 2f32.powi(exp);
        let r = f32::from_bits(recip_estimate(f(x), env));
        assert!((r * x - 1.0).abs() < 1.0 / 256.0, "{x} {r}");
        let r = f32::from_bits(rsqrt_estimate(f(x), env));
        assert!((r * r * x - 1.0).abs() < 1.0 / 100.0, "{x} {r}");
    }
    assert_eq!(unsigned_recip_estimate(0x8000_0000), 0xff80_0000);
    assert_eq!(unsigned_rsqrt_estimate(0x4000_0000), 0xff80_0000);
}

#[test]
fn bfloat16() {
    let env = &mut Env::default();
    assert_eq!(bf16_from_single(1.0f32.to_bits(), env), 0x3f80);
    assert_eq!(bf16_from_single(0x3f80_8000, env), 0x3f80);
    assert_eq!(bf16_from_single(0x3f81_8000, env), 0x3f82);
    assert_eq!(bf16_from_single(0x7f80_0001, env), 0x7fc0);
    let two = 0x4000;
    assert_eq!(
        bf16_dot(1.0f32.to_bits(), [two, two], [two, 0x3f80]),
        7.0f32.to_bits()
    );
}
