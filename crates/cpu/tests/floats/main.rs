//! Floating-point instructions in the interpreter against an independent model of IEEE 754 and of
//! Arm's additions to it, in every rounding mode, with results and cumulative flags.
//!
//! `TUXLET_FLOATS` is the number of random cases for each instruction, format and FPCR value; with
//! it, all combinations of the corner cases run too (`cargo xtask floats`). `TUXLET_FLOATS_SEED`
//! is the seed.

mod lanes;
mod model;
mod ops;

use std::sync::Arc;

use model::{AHP, DN, Env, FZ, FZ16, Fmt};
use ops::{Model, Op, Out};
use tuxlet_cpu::{CpuState, Engine, Exit, Interpreter, Options};
use tuxlet_mem::{AddressSpace, MapRequest, MemoryBudget, Placement, Prot};

const CODE: u64 = 0x1_0000;
const INPUT: u64 = 0x100_0000;
const OUTPUT: u64 = 0x1000_0000;
/// Bytes of a case: three vectors; of a result: a vector, a register, FPSR and NZCV.
const CASE: usize = 48;
const RESULT: usize = 32;
/// Cases per run.
const BATCH: usize = 4096;

type Case = [u128; 3];

/// xorshift64*.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }
}

/// Numbers around the boundaries of the format, of the others and of the integers.
fn corners(fmt: Option<Fmt>) -> Vec<u64> {
    let Some(fmt) = fmt else {
        let mut integers = vec![0, 1, 2, 3, !0, !1, 0x7f, 0x80];
        for bit in [
            7, 10, 11, 12, 15, 16, 23, 24, 25, 31, 32, 52, 53, 54, 62, 63,
        ] {
            let power = 1u64 << bit;
            integers.extend([power - 1, power, power + 1, power | power >> 1, !power]);
        }
        return integers;
    };
    let (frac, one) = (fmt.frac(), (fmt.inf() >> 1 & fmt.inf()) >> fmt.frac());
    let unit = 1u64 << frac;
    let mut list = vec![
        0,
        1,
        2,
        unit / 2,
        unit - 1,
        unit,
        unit + 1,
        2 * unit - 1,
        2 * unit,
        fmt.inf() - unit,
        fmt.inf() - 1,
        fmt.inf(),
        fmt.inf() + 1,
        fmt.inf() | (0x155 % unit),
        fmt.default_nan(),
        fmt.default_nan() | 0x2a,
    ];
    let size = |exp: i64| ((one as i64 + exp) as u64).min(fmt.inf() >> frac) << frac;
    for exp in [-25, -14, -2, -1, 0, 1, 4, 15] {
        list.extend([size(exp), size(exp) + 1, size(exp).wrapping_sub(1)]);
    }
    list.extend([
        size(0) | (unit / 2),
        size(1) | (unit / 4),
        size(0) | (unit / 2) | 1,
    ]);
    if fmt != Fmt::H {
        for exp in [-126, -127, -24, 31, 32, 63, 64, 127] {
            list.extend([size(exp), size(exp).wrapping_sub(1), size(exp) | (unit - 1)]);
        }
    }
    let inside = (1u64 << (fmt.bits() - 1)) - 1;
    list.iter_mut().for_each(|v| *v &= inside);
    let negative: Vec<u64> = list.iter().map(|v| v | fmt.sign_bit()).collect();
    list.extend(negative);
    list.sort_unstable();
    list.dedup();
    list
}

/// A random number: a corner, any bits, or of moderate size with few or all significant bits.
fn operand(fmt: Option<Fmt>, corners: &[u64], rng: &mut Rng) -> u64 {
    let random = rng.next();
    let Some(fmt) = fmt else {
        return match random & 3 {
            0 => corners[rng.below(corners.len())],
            1 => rng.next(),
            _ => (rng.next() as i64 >> rng.below(64)) as u64,
        };
    };
    let all = u64::MAX >> (64 - fmt.bits());
    match random & 7 {
        0..=2 => corners[rng.below(corners.len())],
        3 => rng.next() & all,
        kind => {
            let one = (fmt.inf() >> 1 & fmt.inf()) >> fmt.frac();
            let exp = one + (random >> 8) % 17 - 8;
            let bits = rng.next() & ((1 << fmt.frac()) - 1);
            let keep = if kind == 4 { fmt.frac() - 4 } else { 0 };
            let sign = if random >> 63 != 0 { fmt.sign_bit() } else { 0 };
            sign | exp << fmt.frac() | bits >> keep << keep
        }
    }
}

/// A vector of operands, of which a scalar instruction uses the first.
fn vector(fmt: Option<Fmt>, corners: &[u64], rng: &mut Rng) -> u128 {
    let bits = fmt.map_or(64, Fmt::bits);
    (0..128 / bits).fold(0, |v, lane| {
        v | u128::from(operand(fmt, corners, rng)) << (lane * bits)
    })
}

/// The cases of an instruction.
fn cases(op: &Op, random: usize, every_corner: bool, rng: &mut Rng) -> Vec<Case> {
    let (corners, third) = (corners(op.from), corners(op.third));
    let mut cases = Vec::new();
    if every_corner {
        let other: &[u64] = if op.sources > 1 { &corners } else { &[0] };
        for &a in &corners {
            for &b in other {
                cases.push(match op.model {
                    Model::Lane(_) => {
                        let c = operand(op.from, &corners, rng);
                        [a, b, c].map(u128::from)
                    }
                    // Both orders, in one lane of each operand and in neighbours.
                    Model::Whole(_) => {
                        let c = vector(op.third, &third, rng);
                        [alternating(a, b, op.width), alternating(b, a, op.width), c]
                    }
                });
            }
        }
    }
    for _ in 0..random {
        let [a, b] = core::array::from_fn(|_| vector(op.from, &corners, rng));
        cases.push([a, b, vector(op.third, &third, rng)]);
    }
    cases
}

/// A vector of two numbers in turn.
fn alternating(even: u64, odd: u64, width: u32) -> u128 {
    (0..128 / width).fold(0, |v, lane| {
        let number = if lane % 2 == 0 { even } else { odd };
        v | u128::from(number) << (lane * width)
    })
}

/// A loop that runs `word` on each case.
fn program(word: u32) -> Vec<u32> {
    vec![
        0xad40_0400, // ldp q0, q1, [x0]
        0x3dc0_0802, // ldr q2, [x0, #32]
        0x9100_c000, // add x0, x0, #48
        0x9e66_0003, // fmov x3, d0
        0x4ea2_1c44, // mov v4.16b, v2.16b
        0xd280_0004, // mov x4, #0
        0xd51b_443f, // msr fpsr, xzr
        0xd51b_421f, // msr nzcv, xzr
        word,
        0xd53b_4425, // mrs x5, fpsr
        0xd53b_4206, // mrs x6, nzcv
        0x3d80_0024, // str q4, [x1]
        0xf900_0824, // str x4, [x1, #16]
        0x2903_1825, // stp w5, w6, [x1, #24]
        0x9100_8021, // add x1, x1, #32
        0xd100_0442, // sub x2, x2, #1
        0xb5ff_fe02, // cbnz x2, top
        0xd400_0001, // svc #0
    ]
}

struct Guest {
    mm: Arc<AddressSpace>,
}

impl Guest {
    fn new() -> Guest {
        let mm = AddressSpace::new(&MemoryBudget::unlimited()).expect("memory");
        for (addr, len, prot) in [
            (CODE, 0x1000, Prot::RX),
            (INPUT, BATCH * CASE, Prot::RW),
            (OUTPUT, BATCH * RESULT, Prot::RW),
        ] {
            let request = MapRequest::anonymous(len as u64, prot);
            mm.map(request.at(Placement::Fixed(addr))).expect("mapped");
        }
        Guest { mm }
    }

    fn run(&self, word: u32, fpcr: u32, cases: &[Case], optimise: bool) -> Vec<u8> {
        let code: Vec<u8> = program(word).iter().flat_map(|w| w.to_le_bytes()).collect();
        self.mm.poke(CODE, &code).expect("code");
        let input: Vec<u8> = cases
            .iter()
            .flatten()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        self.mm.poke(INPUT, &input).expect("cases");
        let mut state = CpuState {
            pc: CODE,
            fpcr,
            ..CpuState::new()
        };
        state.x[..3].copy_from_slice(&[INPUT, OUTPUT, cases.len() as u64]);
        let mut vcpu = Interpreter::new(Options {
            optimise,
            ..Options::default()
        })
        .vcpu(self.mm.clone());
        loop {
            match vcpu.run(&mut state) {
                Exit::Kicked => {}
                Exit::Syscall => break,
                exit => panic!("{exit:?} for {word:08x}"),
            }
        }
        let mut out = vec![0; cases.len() * RESULT];
        self.mm.copy_in(OUTPUT, &mut out).expect("results");
        out
    }
}

/// What the model says: V4, X4, FPSR and NZCV.
fn expect(op: &Op, case: &Case, fpcr: u32) -> (u128, u64, u32, u32) {
    let mut env = Env { fpcr, flags: 0 };
    let result = match &op.model {
        Model::Whole(model) => model(*case, &mut env),
        Model::Lane(model) => {
            let bits = op.from.map_or(64, Fmt::bits);
            let lanes = match op.out {
                Out::Vector if op.word & 1 << 30 == 0 => 64 / bits,
                Out::Vector => 128 / bits,
                _ => 1,
            };
            let mask = u64::MAX >> (64 - bits);
            (0..lanes).fold(0, |result, lane| {
                let operands = case.map(|v| (v >> (lane * bits)) as u64 & mask);
                result | u128::from(model(operands, &mut env)) << (lane * op.width)
            })
        }
    };
    match op.out {
        Out::Scalar | Out::Vector => (result, 0, env.flags, 0),
        Out::General => (case[2], result as u64, env.flags, 0),
        Out::Flags => (
            case[2],
            result as u64 & 0xffff_ffff,
            env.flags,
            (result >> 32) as u32 & 0xf000_0000,
        ),
    }
}

/// Compares an instruction under one FPCR; the number of differences.
fn check(guest: &Guest, op: &Op, fpcr: u32, cases: &[Case]) -> usize {
    let mut wrong = 0;
    for cases in cases.chunks(BATCH) {
        let fast = guest.run(op.word, fpcr, cases, true);
        let plain = guest.run(op.word, fpcr, cases, false);
        for (i, case) in cases.iter().enumerate() {
            let want = expect(op, case, fpcr);
            for (engine, out) in [("optimised", &fast), ("plain", &plain)] {
                let out = &out[i * RESULT..(i + 1) * RESULT];
                let word = |at: usize| u32::from_le_bytes(out[at..at + 4].try_into().expect("4"));
                let got = (
                    u128::from_le_bytes(out[..16].try_into().expect("16 bytes")),
                    u64::from(word(16)) | u64::from(word(20)) << 32,
                    word(24),
                    word(28),
                );
                if got != want {
                    wrong += 1;
                    if wrong <= 3 {
                        println!(
                            "{} ({}) fpcr {fpcr:08x} {case:032x?}: {engine} {got:x?}, model {want:x?}",
                            op.name,
                            tuxlet_a64::disassemble(op.word, 0),
                        );
                    }
                }
            }
        }
    }
    wrong
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn instructions_agree_with_the_independent_model() {
    let long = variable("TUXLET_FLOATS");
    let random = long.unwrap_or(12) as usize;
    let mut rng = Rng(variable("TUXLET_FLOATS_SEED").unwrap_or(1) | 1);
    let guest = Guest::new();
    let (mut compared, mut failed) = (0, Vec::new());
    for op in ops::ops() {
        let mut wrong = 0;
        for mode in 0..4 {
            for control in [0, FZ, FZ16, DN, FZ | FZ16, FZ | FZ16 | DN] {
                for alternative in [0, AHP] {
                    if alternative != 0 && !op.alternative {
                        continue;
                    }
                    let cases = cases(&op, random, long.is_some(), &mut rng);
                    compared += cases.len();
                    wrong += check(&guest, &op, mode << 22 | control | alternative, &cases);
                }
            }
        }
        if wrong > 0 {
            println!("{}: {wrong} differ", op.name);
            failed.push(op.name);
        }
    }
    println!("{compared} cases of {} instructions", ops::ops().len());
    assert!(failed.is_empty(), "{failed:?}");
}
