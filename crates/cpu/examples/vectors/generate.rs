//! Random instructions and states.

use tuxlet_a64::{self as a64, OpId};

use crate::image::{FPCR, FPSR, NZCV, RECORD, SCRATCH, SCRATCH_LEN, SP, V, X};

/// xorshift64*.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a row needs from its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Registers only.
    Registers,
    /// An address in a base register.
    Memory,
    /// Not testable in this frame (control flow, counters, identification registers).
    Excluded,
}

/// Classifies a row by its fixed bits.
pub(crate) fn kind(op: OpId) -> Kind {
    let name = op.name();
    let (mask, value) = op.fixed_bits();
    if mask & 0x1c00_0000 == 0x1c00_0000 && value & 0x1c00_0000 == 0x1400_0000 {
        let fine = [
            "Nop", "Yield", "Sev", "Sevl", "Csdb", "Bti", "Cfinv", "Xaflag", "Axflag", "Clrex",
            "Dsb", "Dmb", "Isb", "Sb", "Hint",
        ];
        return if fine.contains(&name) {
            Kind::Registers
        } else {
            Kind::Excluded
        };
    }
    if mask & 0x0a00_0000 == 0x0a00_0000 && value & 0x0a00_0000 == 0x0800_0000 {
        return if name.ends_with("Lit") || name.starts_with("Cpy") || name.starts_with("Set") {
            Kind::Excluded
        } else {
            Kind::Memory
        };
    }
    if ["Adr", "Adrp", "Udf"].contains(&name) {
        Kind::Excluded
    } else {
        Kind::Registers
    }
}

fn field(word: u32, low: u32) -> usize {
    (word >> low & 31) as usize
}

/// Exclusives, atomics and ordered accesses want aligned addresses.
pub(crate) fn wants_alignment(word: u32) -> bool {
    word & 0x3f00_0000 == 0x0800_0000
        || word & 0x3b20_0c00 == 0x3820_0000
        || word & 0x3f20_0c00 == 0x1900_0000
}

/// Whether the outcome of a load or store is architecturally defined.
pub(crate) fn predictable(name: &str, word: u32) -> bool {
    let (t, n, t2, s) = (
        field(word, 0),
        field(word, 5),
        field(word, 10),
        field(word, 16),
    );
    let vector = word >> 26 & 1 != 0;
    if vector && word & 0x3c00_0000 != 0x0c00_0000 {
        let loads_twice = word & 0x3a40_0000 == 0x2840_0000 && t == t2;
        let base_as_index = word & 0x3b20_0c00 == 0x3820_0800 && s == n;
        return !loads_twice && !base_as_index;
    }
    if vector {
        return true;
    }
    if n != 31 && (t == n || t2 == n || s == n) {
        return false;
    }
    if word & 0x3a00_0000 == 0x2800_0000 && t == t2 {
        return false;
    }
    if word & 0x3f80_0000 == 0x0800_0000 {
        let (load, pair) = (word >> 22 & 1 != 0, word >> 21 & 1 != 0);
        return if load {
            !pair || t != t2
        } else {
            s != t && (!pair || s != t2)
        };
    }
    // The transferred register is the next one as well.
    !(name.starts_with("Casp") && (t + 1 == n || s + 1 == n))
}

/// A random instance of `op`.
pub(crate) fn word(op: OpId, kind: Kind, rng: &mut Rng) -> u32 {
    loop {
        let word = a64::arbitrary(op, &mut || rng.next() as u32);
        // An ordered access with SP as its base and an offset could not be aligned.
        let off_stack = word & 0x3f20_0fe0 == 0x1900_03e0 && word & 0xf000 != 0;
        if kind != Kind::Memory || predictable(op.name(), word) && !off_stack {
            return word;
        }
    }
}

const HALVES: [u16; 24] = [
    0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x8400, 0x3c00, 0xbc00, 0x3bff, 0x3c01, 0x7bff, 0xfbff,
    0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7d00, 0xfc01, 0x3800, 0x3e00, 0x7800, 0x5bff, 0x6400,
];
const SINGLES: [u32; 32] = [
    0,
    0x8000_0000,
    1,
    0x8000_0001,
    0x007f_ffff,
    0x0080_0000,
    0x8080_0000,
    0x0080_0001,
    0x3f80_0000,
    0xbf80_0000,
    0x3f7f_ffff,
    0x3f80_0001,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc1_2345,
    0x7fa0_0001,
    0xff80_0001,
    0x3f00_0000,
    0xbf00_0000,
    0x3fc0_0000,
    0x4f00_0000,
    0xcf00_0000,
    0x4f80_0000,
    0x5f00_0000,
    0x3300_0000,
    0x4b7f_ffff,
    0x477f_e000,
    0x3880_0000,
    0x3380_0001,
];
const DOUBLES: [u64; 32] = [
    0,
    1 << 63,
    1,
    0x8000_0000_0000_0001,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x8010_0000_0000_0000,
    0x0010_0000_0000_0001,
    0x3ff0_0000_0000_0000,
    0xbff0_0000_0000_0000,
    0x3fef_ffff_ffff_ffff,
    0x3ff0_0000_0000_0001,
    0x7fef_ffff_ffff_ffff,
    0xffef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0xfff8_1234_5678_9abc,
    0x7ff4_0000_0000_0001,
    0xfff0_0000_0000_0001,
    0x3fe0_0000_0000_0000,
    0xbfe0_0000_0000_0000,
    0x41df_ffff_ffe0_0000,
    0xc1e0_0000_0000_0000,
    0x43e0_0000_0000_0000,
    0xc3e0_0000_0000_0000,
    0x43f0_0000_0000_0000,
    0x47ef_ffff_e000_0000,
    0x3810_0000_0000_0000,
    0x380f_ffff_f000_0000,
    0x36a0_0000_0000_0000,
    0x433f_ffff_ffff_ffff,
];
const BYTES: [u8; 8] = [0, 1, 0xff, 0x7f, 0x80, 0x81, 0x40, 0xfe];

/// A number of moderate size in a format with `exp` exponent bits.
fn moderate(rng: &mut Rng, bits: u32, exp: u32) -> u64 {
    let frac = bits - 1 - exp;
    let bias = (1u64 << (exp - 1)) - 1;
    let field = bias + rng.below(24) - 12;
    let random = rng.next();
    // Often with few significant bits, so that results are exact or halfway.
    let mantissa = random & ((1 << frac) - 1);
    let mantissa = match rng.below(3) {
        0 => mantissa >> (frac - 3) << (frac - 3),
        1 => mantissa >> (frac / 2) << (frac / 2),
        _ => mantissa,
    };
    (random >> 63) << (bits - 1) | field << frac | mantissa
}

fn vector(rng: &mut Rng) -> u128 {
    let style = rng.below(12);
    let mut v = 0;
    match style {
        0 => v = u128::from(rng.next()) << 64 | u128::from(rng.next()),
        1 => (0..16).for_each(|_| v = v << 8 | u128::from(rng.pick(&BYTES))),
        2 | 3 => (0..8).for_each(|_| v = v << 16 | u128::from(rng.pick(&HALVES))),
        4 => (0..8).for_each(|_| v = v << 16 | u128::from(moderate(rng, 16, 5))),
        5 | 6 => (0..4).for_each(|_| v = v << 32 | u128::from(rng.pick(&SINGLES))),
        7 | 8 => (0..4).for_each(|_| v = v << 32 | u128::from(moderate(rng, 32, 8))),
        9 => (0..2).for_each(|_| v = v << 64 | u128::from(rng.pick(&DOUBLES))),
        10 => (0..2).for_each(|_| v = v << 64 | u128::from(moderate(rng, 64, 11))),
        // Small signed bytes, for shift distances and table indices.
        _ => (0..16).for_each(|_| {
            let byte = (rng.below(80) as i64 - 40) as u8;
            v = v << 8 | u128::from(byte);
        }),
    }
    v
}

fn integer(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => rng.pick(&[
            0,
            1,
            2,
            !0,
            !1,
            1 << 31,
            1 << 63,
            i64::MAX as u64,
            i32::MAX as u64,
            u32::MAX.into(),
            0xffff_ffff_8000_0000,
        ]),
        1 => rng.below(64),
        2 => rng.next() >> rng.below(64),
        3 => !(rng.next() >> rng.below(64)),
        4 => 1 << rng.below(64),
        5 => rng.next() as i32 as u64,
        _ => rng.next(),
    }
}

fn fpcr(rng: &mut Rng) -> u64 {
    const MODES: u64 = 0x07c8_0000;
    match rng.below(4) {
        0 | 1 => 0,
        2 => rng.below(4) << 22,
        _ => rng.next() & MODES,
    }
}

/// A random state for `word`.
pub(crate) fn state(kind: Kind, word: u32, rng: &mut Rng) -> Vec<u8> {
    let mut record = vec![0; RECORD];
    let mut x: [u64; 32] = core::array::from_fn(|_| integer(rng));
    if kind == Kind::Memory {
        let (n, m) = (field(word, 5), field(word, 16));
        let mut base = SCRATCH + SCRATCH_LEN / 2;
        if wants_alignment(word) {
            if word & 0x3f20_0c00 == 0x1900_0000 {
                // LDAPUR and STLUR have an offset to undo.
                let offset = (word as i32) << 11 >> 23;
                base = base.wrapping_sub(offset as u64);
            }
        } else {
            base += rng.below(64);
        }
        if n != m {
            // By option: UXTW takes no negative index; it and SXTW ignore the upper half.
            let (by_register, option) = (word & 0x3b20_0c00 == 0x3820_0800, word >> 13 & 7);
            let index = match rng.below(2) {
                0 if !(by_register && option == 2) => rng.below(256).wrapping_neg(),
                _ => rng.below(256),
            };
            let upper = by_register && option & 3 == 2;
            x[m] = if upper {
                rng.next() << 32 | u64::from(index as u32)
            } else {
                index
            };
        }
        // The references do not check the alignment of SP (tests/isa/stack.rs does).
        x[n] = if n == 31 { base & !15 } else { base };
    } else {
        x[31] &= !15;
    }
    let mut put = |at: usize, value: u64| record[at..at + 8].copy_from_slice(&value.to_le_bytes());
    for (r, value) in x.iter().take(31).enumerate() {
        put(X + 8 * r, *value);
    }
    put(SP, x[31]);
    put(NZCV, rng.below(16) << 28);
    put(FPCR, fpcr(rng));
    put(FPSR, if rng.below(4) == 0 { 0x0800_009f } else { 0 });
    for r in 0..32 {
        record[V + 16 * r..V + 16 * r + 16].copy_from_slice(&vector(rng).to_le_bytes());
    }
    record
}

/// The base register of loads and stores in sequences.
const BASE: u32 = 28;

/// A branch over the next instruction: the word, if `op` is a direct conditional branch.
fn branch(op: OpId, rng: &mut Rng) -> Option<u32> {
    let random = a64::arbitrary(op, &mut || rng.next() as u32);
    match op.name() {
        "BCond" | "Cbz" | "Cbnz" => Some(random & !(0x7_ffff << 5) | 2 << 5),
        "Tbz" | "Tbnz" => Some(random & !(0x3fff << 5) | 2 << 5),
        _ => None,
    }
}

/// A load or store that may stand in a sequence: its address is in [`BASE`] alone, and its
/// outcome does not depend on an exclusive monitor.
fn sequence_memory(op: OpId, rng: &mut Rng) -> Option<u32> {
    let word = word(op, Kind::Memory, rng) & !(31 << 5) | BASE << 5;
    let by_register = word & 0x3b20_0c00 == 0x3820_0800;
    let structure = word & 0xbf00_0000 & 0xfe80_0000 == 0x0c80_0000;
    let exclusive = word & 0x3f80_0000 == 0x0800_0000;
    let ordered_offset = word & 0x3f20_0c00 == 0x1900_0000;
    let by_register = by_register || structure && field(word, 16) != 31;
    let fine = !(by_register || exclusive || ordered_offset)
        && a64::decode(word) == Some(op)
        && predictable(op.name(), word);
    fine.then_some(word)
}

/// A random sequence of about `len` instructions out of `ops`, with forward branches, and loads
/// and stores whose base is set just before.
pub(crate) fn sequence(ops: &[OpId], len: usize, rng: &mut Rng) -> Vec<u32> {
    let mut unit = Vec::new();
    while unit.len() < len {
        let op = rng.pick(ops);
        match kind(op) {
            Kind::Registers => unit.push(word(op, Kind::Registers, rng)),
            Kind::Memory => {
                let Some(word) = sequence_memory(op, rng) else {
                    continue;
                };
                let base = SCRATCH + SCRATCH_LEN / 2;
                unit.push(0xd2a0_0000 | (base as u32 >> 16) << 5 | BASE);
                unit.push(word);
            }
            Kind::Excluded => {
                let Some(word) = branch(op, rng) else {
                    continue;
                };
                // What is skipped must not be half of a load.
                unit.push(word);
                unit.push(0x9b03_7c41 | (rng.next() as u32 & 0x1f_0000));
            }
        }
    }
    unit
}
