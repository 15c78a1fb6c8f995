//! Instances of rows: the units of code that run them, and states that suit them.

use tuxlet_a64::{self as a64, OpId};

use crate::generate::{self, Kind, Rng};
use crate::image::{INPUT, SCRATCH, SCRATCH_LEN, SP, X};

/// What a row needs from its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Registers only.
    Registers,
    /// A load or store by a base register.
    Memory,
    /// An address in the register of bits 4:0.
    CacheLine,
    /// A load from near the program counter.
    Literal,
    /// A branch with a displacement.
    Branch,
    /// A branch to a register.
    Indirect,
    /// A system register.
    System,
    /// A memory copy or set, three instructions.
    Bulk,
    /// Not comparable: the text says why.
    Excluded(&'static str),
}

/// How a row is tested.
pub(crate) fn form(op: OpId) -> Form {
    match op.name() {
        "Svc" => Form::Excluded("a system call; the kernel's tests are about those"),
        "MrsRndr" => Form::Excluded("random; `cargo test -p tuxlet-cpu --test isa system`"),
        "MrsCntvctss" => Form::Excluded("a clock; `cargo test -p tuxlet-cpu --test isa system`"),
        "Mrs" | "MsrReg" => Form::System,
        "DcZva" => {
            Form::Excluded("qemu's block is larger; `cargo test -p tuxlet-cpu --test isa system`")
        }
        "DcCva" | "DcCvap" | "DcCvadp" | "IcIvau" => Form::CacheLine,
        "B" | "Bl" | "BCond" | "BcCond" | "Cbz" | "Cbnz" | "Tbz" | "Tbnz" => Form::Branch,
        "Br" | "Blr" | "Ret" => Form::Indirect,
        "Setp" | "Setm" | "Sete" => Form::Bulk,
        name if name.starts_with("Cpy") => Form::Bulk,
        name if name.ends_with("Lit") => Form::Literal,
        _ => match generate::kind(op) {
            Kind::Memory => Form::Memory,
            Kind::Registers | Kind::Excluded => Form::Registers,
        },
    }
}

/// The longest enumeration of all words of a row.
const ENUMERATED: u32 = 10;

/// All words of a row whose fields have few bits.
fn every_word(op: OpId) -> Option<Vec<u32>> {
    let (mask, value) = op.fixed_bits();
    let (ignored, ones) = op.ignored_bits();
    let free = !(mask | ignored);
    let bits = free.count_ones();
    if bits > ENUMERATED {
        return None;
    }
    let base = value | ones;
    let deposit = |n: u32| {
        let mut rest = free;
        let mut word = base;
        for i in 0..bits {
            let low = rest & rest.wrapping_neg();
            rest ^= low;
            if n >> i & 1 != 0 {
                word |= low;
            }
        }
        word
    };
    Some(
        (0..1 << bits)
            .map(deposit)
            .filter(|&w| a64::decode(w) == Some(op))
            .collect(),
    )
}

/// The instruction words to test, and whether these are all there are; otherwise `count`.
pub(crate) fn words(op: OpId, form: Form, count: u64, rng: &mut Rng) -> (Vec<u32>, bool) {
    let kind = if form == Form::Memory {
        Kind::Memory
    } else {
        Kind::Registers
    };
    if let Some(all) = every_word(op)
        && matches!(form, Form::Registers | Form::CacheLine)
        && all.len() as u64 <= count.max(1024)
    {
        return (all, true);
    }
    let mut words = Vec::new();
    while (words.len() as u64) < count {
        let word = generate::word(op, kind, rng);
        words.extend(adapt(op, form, word, rng));
    }
    (words, false)
}

/// Makes a random word one that suits its form; `None`: take another.
fn adapt(op: OpId, form: Form, word: u32, rng: &mut Rng) -> Option<u32> {
    let word = match form {
        // Over the next instruction.
        Form::Branch => match op.name() {
            "B" | "Bl" => word & !0x03ff_ffff | 2,
            "Tbz" | "Tbnz" => word & !(0x3fff << 5) | 2 << 5,
            _ => word & !(0x7_ffff << 5) | 2 << 5,
        },
        // Some words before or behind.
        Form::Literal => {
            let imm = (rng.below(0x200) as u32).wrapping_sub(0x100) & 0x7_ffff;
            word & !(0x7_ffff << 5) | imm << 5
        }
        Form::Indirect if word >> 5 & 31 == 31 => return None,
        Form::System => {
            let register = word >> 5 & 0x7fff;
            let (op1, crn) = (register >> 11 & 7, register >> 7 & 15);
            if rng.below(4) != 0 {
                let register = system_register(rng);
                word & !(0xffff << 5) | register << 5
            } else if crn == 14 || crn == 0 || crn == 13 || op1 == 3 && crn == 4 {
                // Clocks, identification, thread pointers and PSTATE: not by chance.
                return None;
            } else {
                word
            }
        }
        _ => word,
    };
    (a64::decode(word) == Some(op)).then_some(word)
}

/// op0 to op2 of a register whose value does not depend on the implementation.
fn system_register(rng: &mut Rng) -> u32 {
    let encode = |op1: u32, n: u32, m: u32, op2: u32| 3 << 14 | op1 << 11 | n << 7 | m << 3 | op2;
    let all = [
        encode(3, 4, 2, 0),
        encode(3, 4, 4, 0),
        encode(3, 4, 4, 1),
        encode(3, 13, 0, 3),
    ];
    all[rng.below(all.len() as u64) as usize]
}

/// `UMULH X1, X2, X<m>`: shows whether it was jumped over.
fn marker(rng: &mut Rng) -> u32 {
    0x9bc0_7c41 | (rng.next() as u32 & 0x1f) << 16
}

/// The code that tests a word.
pub(crate) fn unit(form: Form, word: u32, rng: &mut Rng) -> Vec<u32> {
    match form {
        Form::Branch => vec![word, marker(rng)],
        // adr x<n>, behind the marker
        Form::Indirect => vec![0x1000_0060 | word >> 5 & 31, word, marker(rng)],
        Form::Bulk => {
            // The stage is in bits 23:22 of a copy, 15:14 of a set.
            let (low, stage) = if word >> 22 & 3 == 3 {
                (14, word & !(3 << 14))
            } else {
                (22, word & !(3 << 22))
            };
            (0..3).map(|n| stage | n << low).collect()
        }
        _ => vec![word],
    }
}

/// A random state for `word`; without `lse2` ordered accesses and atomics are aligned.
pub(crate) fn state(form: Form, word: u32, lse2: bool, rng: &mut Rng) -> Vec<u8> {
    let kind = if form == Form::Memory {
        Kind::Memory
    } else {
        Kind::Registers
    };
    let mut record = generate::state(kind, word, rng);
    let field = |low: u32| (word >> low & 31) as usize;
    let mut set = |r: usize, value: u64| {
        let at = if r == 31 { SP } else { X + 8 * r };
        record[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    match form {
        Form::Memory => {
            // What a faulting store of a structure has stored is UNKNOWN, and would stay different.
            let structure_store = word & 0x3e40_0000 == 0x0c00_0000;
            let ordered = generate::wants_alignment(word);
            if !structure_store
                && (lse2 || !ordered)
                && let Some(base) = unusual(rng, ordered)
            {
                // The references do not check the alignment of SP.
                let base = if field(5) == 31 { base & !15 } else { base };
                set(field(5), base);
            }
        }
        Form::CacheLine => {
            let inside = SCRATCH + rng.below(SCRATCH_LEN);
            let base = unusual(rng, false).unwrap_or(inside);
            if field(0) != 31 {
                set(field(0), base);
            }
        }
        Form::Bulk => {
            let size = match rng.below(8) {
                0 => 0,
                1..4 => rng.below(64),
                4..7 => rng.below(0x1200),
                _ => rng.below(0x4000),
            };
            let near = SCRATCH + 0x8000 + rng.below(0x8000);
            let other = match rng.below(3) {
                0 => near.wrapping_add(rng.below(128)).wrapping_sub(64),
                1 => near.wrapping_add(rng.below(0x2000)).wrapping_sub(0x1000),
                _ => SCRATCH + rng.below(SCRATCH_LEN - 0x4000),
            };
            let other = if rng.below(16) == 0 {
                SCRATCH + SCRATCH_LEN - rng.below(0x1000)
            } else {
                other
            };
            let tag = |rng: &mut Rng| {
                if rng.below(4) == 0 {
                    rng.next() << 56
                } else {
                    0
                }
            };
            let a = near | tag(rng);
            let b = other | tag(rng);
            // A set takes its byte from the register of bits 20:16.
            if word >> 22 & 3 != 3 {
                set(field(16), b);
            }
            set(field(0), a);
            set(field(5), size);
        }
        _ => {}
    }
    record
}

/// A base address other than the middle of the scratch memory: at its ends, tagged, not mapped, not
/// writable, not an address.
fn unusual(rng: &mut Rng, aligned: bool) -> Option<u64> {
    let middle = SCRATCH + SCRATCH_LEN / 2;
    Some(match rng.below(32) {
        0 | 1 => SCRATCH + SCRATCH_LEN - rng.below(48),
        2 => SCRATCH + rng.below(16),
        3 | 4 if aligned => middle + rng.below(16),
        5 | 6 => middle | rng.next() << 56,
        7 => INPUT + rng.below(8) * 16,
        8 => rng.below(0x4000) & !15,
        9 => [
            0x0001_0000_0000_0000,
            0xffff_8000_0000_0000,
            0x0000_f000_0000_0000,
        ][rng.below(3) as usize],
        _ => return None,
    })
}
