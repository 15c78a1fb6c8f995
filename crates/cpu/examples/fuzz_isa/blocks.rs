//! Random pieces of code: blocks with branches, loops, calls, memory accesses, the pairs that the
//! interpreter fuses, and code that rewrites itself. Every path through them is short.

use tuxlet_a64::{self as a64, OpId};

use crate::{
    generate::{self, Kind, Rng},
    image::{SCRATCH, SCRATCH_LEN},
};

/// Registers that random instructions leave alone: two for self-modifying code, two loop counters
/// and the base of memory accesses. One below the first may still be half of a pair.
const RESERVED: core::ops::RangeInclusive<u32> = 24..=28;
const NEW_WORD: u32 = 24;
const TARGET: u32 = 25;
const COUNTERS: [u32; 2] = [27, 26];
const BASE: u32 = 28;
const LINK: u32 = 30;

const NOP: u32 = 0xd503_201f;
const DC_CVAU: u32 = 0xd50b_7b20;
const IC_IVAU: u32 = 0xd50b_7520;
const DSB_ISH: u32 = 0xd503_3b9f;
const ISB: u32 = 0xd503_3fdf;

/// A piece of code that starts at its first word and ends behind its last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    pub(crate) words: Vec<u32>,
    /// Words that shrinking must not drop, because then the code might not end.
    keep: Vec<bool>,
}

impl Unit {
    fn push(&mut self, word: u32) {
        self.words.push(word);
        self.keep.push(false);
    }

    /// Appends a word that the unit's termination depends on.
    fn fixed(&mut self, word: u32) {
        self.words.push(word);
        self.keep.push(true);
    }

    /// Replaces the word at `at` by NOP; false when that is not possible or has been done.
    pub(crate) fn drop_word(&mut self, at: usize) -> bool {
        let possible = !self.keep[at] && self.words[at] != NOP;
        if possible {
            self.words[at] = NOP;
        }
        possible
    }

    /// Removes words at the end that do nothing.
    pub(crate) fn trim(&mut self) {
        while self.words.last() == Some(&NOP) && self.keep.last() == Some(&false) {
            self.words.pop();
            self.keep.pop();
        }
    }
}

/// What random units are made of.
pub(crate) struct Rows {
    integer: Vec<OpId>,
    any: Vec<OpId>,
    memory: Vec<OpId>,
    branches: Vec<OpId>,
    /// First instructions of fused pairs.
    flags: Vec<OpId>,
    uses: Vec<OpId>,
}

impl Rows {
    pub(crate) fn new() -> Rows {
        // The references lack CSSC; exceptions and hints that end a time slice prove nothing.
        let done: Vec<OpId> = OpId::all()
            .filter(|op| op.is_done() && op.feature() != a64::Feature::Cssc)
            .collect();
        let named = |names: &[&str]| -> Vec<OpId> {
            let find = |name: &&str| done.iter().copied().find(|op| op.name() == *name);
            let found = |name| find(name).unwrap_or_else(|| panic!("no row {name} is done"));
            names.iter().map(found).collect()
        };
        let of = |kind| -> Vec<OpId> {
            let found = done.iter().filter(|&&op| generate::kind(op) == kind);
            found.copied().collect()
        };
        let any = of(Kind::Registers);
        let group = |op: &OpId| op.fixed_bits().1 >> 25 & 15;
        Rows {
            integer: any
                .iter()
                .copied()
                .filter(|op| matches!(group(op), 5 | 8 | 9 | 13))
                .collect(),
            any,
            memory: of(Kind::Memory),
            branches: named(&["BCond", "Cbz", "Cbnz", "Tbz", "Tbnz"]),
            flags: named(&[
                "AddsImm",
                "SubsImm",
                "AddsShifted",
                "SubsShifted",
                "AddsExtended",
                "SubsExtended",
                "AndsImm",
                "AndsShifted",
                "BicsShifted",
                "Adcs",
                "Sbcs",
                "CcmpImm",
                "CcmpReg",
                "CcmnImm",
                "CcmnReg",
                "Fcmp",
                "Fcmpe",
                "Fccmp",
                "Fccmpe",
                "Rmif",
                "Setf8",
                "Setf16",
                "Cfinv",
            ]),
            uses: named(&[
                "Csel", "Csinc", "Csinv", "Csneg", "Adc", "Adcs", "Sbc", "Sbcs", "CcmpImm",
                "CcmpReg", "CcmnReg", "Fcsel", "Fccmp", "Axflag", "Xaflag",
            ]),
        }
    }
}

/// Makes a random unit.
pub(crate) fn unit(rows: &Rows, rng: &mut Rng) -> Unit {
    let mut maker = Maker {
        rows,
        rng,
        unit: Unit::default(),
        loops: 0,
        in_leaf: false,
    };
    let len = 4 + maker.rng.below(24) as usize;
    maker.block(len, 0);
    maker.unit
}

struct Maker<'a> {
    rows: &'a Rows,
    rng: &'a mut Rng,
    unit: Unit,
    /// Loops around the current place.
    loops: usize,
    /// Whether the link register holds the way back.
    in_leaf: bool,
}

impl Maker<'_> {
    fn here(&self) -> usize {
        self.unit.words.len()
    }

    /// Appends about `len` pieces.
    fn block(&mut self, len: usize, depth: usize) {
        for _ in 0..len {
            match self.rng.below(100) {
                0..=39 => self.register(&self.rows.integer),
                40..=49 => self.register(&self.rows.any),
                50..=69 => self.memory(),
                70..=81 => self.flag_pair(depth),
                82..=87 if depth < 3 => self.branch_over(depth),
                88..=91 if self.loops < COUNTERS.len() => self.counted_loop(depth),
                92..=93 if !self.in_leaf && depth < 3 => self.call(depth),
                94..=95 => self.indirect(),
                96..=97 => self.modify(),
                98 => self.exclusive(),
                _ => self.constant_pair(),
            }
        }
    }

    fn small_block(&mut self, depth: usize) {
        let len = 1 + self.rng.below(5) as usize;
        self.block(len, depth + 1);
    }

    /// Whether random code may have this word here.
    fn harmless(&self, word: u32) -> bool {
        let field = |low: u32| word >> low & 31;
        let simd = word >> 25 & 7 == 7;
        // qemu 7.2 extends a negative half precision result of FCVTZS (scalar, fixed point) beyond
        // 16 bits; the Arm ARM clears them, and so does qemu 10.
        if word & 0xfff0_fc00 == 0x5f10_fc00 {
            return false;
        }
        // Comparisons have an opcode where others have their destination.
        let compares = word & 0xff20_fc07 == 0x1e20_2000;
        let fields: &[u32] = match simd {
            true if compares => &[],
            true => &[0],
            false => &[0, 5, 10, 16],
        };
        let reserved = |r: u32| RESERVED.contains(&r) || self.in_leaf && r == LINK;
        fields.iter().all(|&low| !reserved(field(low)))
    }

    /// A random instance, often with few different registers so that instructions depend on
    /// one another.
    fn instance(&mut self, op: OpId) -> u32 {
        for _ in 0..1000 {
            let mut word = generate::word(op, Kind::Registers, self.rng);
            if self.rng.below(2) == 0 {
                // Rd, Rn and Rm out of four.
                let fields = 0x1f | 0x1f << 5 | 0x1f << 16;
                let few = self.rng.next() as u32 & (3 | 3 << 5 | 3 << 16);
                let near = word & !fields | few;
                if a64::decode(near) == Some(op) {
                    word = near;
                }
            }
            // While SP is misaligned instructions run alone, which is not what is tested.
            let stack = word & 31 == 31
                && matches!(
                    op.name(),
                    "AddImm"
                        | "SubImm"
                        | "AndImm"
                        | "OrrImm"
                        | "EorImm"
                        | "AddExtended"
                        | "SubExtended"
                );
            if self.harmless(word) && (!stack || self.rng.below(16) == 0) {
                return word;
            }
        }
        NOP
    }

    fn register(&mut self, rows: &[OpId]) {
        let op = self.rng.pick(rows);
        let word = self.instance(op);
        self.unit.push(word);
    }

    fn move_wide(&mut self, d: u32, value: u64, last_fixed: bool) {
        let high = 0xd2a0_0000 | (value as u32 >> 16) << 5 | d;
        let low = 0xf280_0000 | (value as u32 & 0xffff) << 5 | d;
        if last_fixed {
            self.unit.fixed(high);
            self.unit.fixed(low);
        } else {
            // An access must find scratch memory even when shrinking drops words around it.
            self.unit.fixed(high);
            if low & 0x1f_ffe0 != 0 {
                self.unit.push(low);
            }
        }
    }

    /// Loads and stores in scratch memory, one to three in a row.
    fn memory(&mut self) {
        for _ in 0..=self.rng.below(3) {
            let op = self.rng.pick(&self.rows.memory);
            let word = generate::word(op, Kind::Memory, self.rng) & !(31 << 5) | BASE << 5;
            let by_register = word & 0x3b20_0c00 == 0x3820_0800;
            let structure = word & 0xbe80_0000 == 0x0c80_0000;
            let exclusive = word & 0x3f80_0000 == 0x0800_0000;
            let ordered_offset = word & 0x3f20_0c00 == 0x1900_0000;
            let word = if ordered_offset { word & !0xf000 } else { word };
            let index = (by_register || structure).then_some(word >> 16 & 31);
            let index = index.filter(|&m| m != 31);
            let (t, t2) = (word & 31, word >> 10 & 31);
            let vector = word >> 26 & 1 != 0;
            let reserved = |r: u32| RESERVED.contains(&r) || self.in_leaf && r == LINK;
            let pair = word & 0x3a00_0000 == 0x2800_0000;
            let casp = word & 0xbfa0_7c00 == 0x0820_7c00;
            let atomic = word & 0x3f20_0c00 == 0x3820_0000 || word & 0x3fa0_7c00 == 0x08a0_7c00;
            let bad = !vector
                && (reserved(t)
                    || pair && reserved(t2)
                    || (atomic || casp) && reserved(word >> 16 & 31)
                    || casp && (t == 22 || word >> 16 & 31 == 22))
                || index.is_some_and(reserved);
            if exclusive || bad || a64::decode(word) != Some(op) {
                continue;
            }
            if !generate::predictable(op.name(), word) {
                continue;
            }
            let middle = SCRATCH + SCRATCH_LEN / 2;
            let offset = match self.rng.below(4) {
                _ if generate::wants_alignment(word) => self.rng.below(8) * 16,
                0 => 0,
                1 => self.rng.below(64),
                2 => self.rng.below(64) * 16,
                _ => 0x1000 - 32 + self.rng.below(64),
            };
            self.move_wide(BASE, middle + offset, false);
            if let Some(m) = index {
                let value = self.rng.next() as u32 & 0xff;
                self.unit.fixed(0xd280_0000 | value << 5 | m);
            }
            self.unit.push(word);
        }
    }

    /// Something that sets flags, and something that uses them.
    fn flag_pair(&mut self, depth: usize) {
        let op = self.rng.pick(&self.rows.flags);
        let word = self.instance(op);
        self.unit.push(word);
        if self.rng.below(4) == 0 {
            self.register(&self.rows.integer);
        }
        if self.rng.below(2) == 0 && depth < 3 {
            self.branch_over(depth);
        } else {
            self.register(&self.rows.uses);
        }
    }

    /// A conditional branch over a block, sometimes with another block on the other path.
    fn branch_over(&mut self, depth: usize) {
        let op = self.rng.pick(&self.rows.branches);
        let word = a64::arbitrary(op, &mut || self.rng.next() as u32);
        let at = self.here();
        self.unit.push(word);
        self.small_block(depth);
        if self.rng.below(3) == 0 {
            let skip = self.here();
            self.unit.push(NOP);
            self.patch_conditional(at, op);
            self.small_block(depth);
            self.unit.words[skip] = 0x1400_0000 | (self.here() - skip) as u32;
        } else {
            self.patch_conditional(at, op);
        }
    }

    /// Lets the branch at `at` lead here.
    fn patch_conditional(&mut self, at: usize, op: OpId) {
        let distance = (self.here() - at) as u32;
        let bits = if op.name().starts_with('T') { 14 } else { 19 };
        let mask = ((1 << bits) - 1) << 5;
        self.unit.words[at] = self.unit.words[at] & !mask | distance << 5;
    }

    /// A block that runs two to five times.
    fn counted_loop(&mut self, depth: usize) {
        let counter = COUNTERS[self.loops];
        let times = 2 + self.rng.below(4) as u32;
        self.unit.fixed(0xd280_0000 | times << 5 | counter);
        let top = self.here();
        self.loops += 1;
        self.small_block(depth);
        self.loops -= 1;
        let one = 1 << 10 | counter << 5 | counter;
        let (subtract, branch) = match self.rng.below(3) {
            0 => (0xf100_0000 | one, 0x5400_0001),           // subs, b.ne
            1 => (0x7100_0000 | one, 0x5400_000c),           // subs, b.gt
            _ => (0xd100_0000 | one, 0xb500_0000 | counter), // sub, cbnz
        };
        self.unit.fixed(subtract);
        let back = top as i64 - self.here() as i64;
        self.unit.fixed(branch | (back as u32 & 0x7_ffff) << 5);
    }

    /// A call of a function that stands behind it.
    fn call(&mut self, depth: usize) {
        let direct = self.rng.below(2) == 0;
        if direct {
            self.unit.fixed(0x9400_0002); // bl over the branch
        } else {
            self.unit.fixed(0x1000_0000 | 3 << 5 | TARGET); // adr
            self.unit.fixed(0xd63f_0000 | TARGET << 5); // blr
        }
        let skip = self.here();
        self.unit.fixed(NOP);
        self.in_leaf = true;
        self.small_block(depth);
        self.in_leaf = false;
        self.unit.fixed(0xd65f_03c0); // ret
        self.unit.words[skip] = 0x1400_0000 | (self.here() - skip) as u32;
    }

    /// A branch to a register, over a word.
    fn indirect(&mut self) {
        self.unit.fixed(0x1000_0000 | 3 << 5 | TARGET); // adr
        self.unit.fixed(0xd61f_0000 | TARGET << 5); // br
        self.register(&self.rows.any);
    }

    /// Writes one of two instructions over a word that runs soon (or ran in the last turn of a
    /// loop) and makes it visible as the architecture asks.
    fn modify(&mut self) {
        let words: [u32; 2] = core::array::from_fn(|_| {
            let op = self.rng.pick(&self.rows.integer);
            self.instance(op)
        });
        let behind = self.rng.below(2) == 0;
        let slot = self.here();
        if !behind {
            self.unit.push(words[0]);
        }
        // By parity of a counter, so that a loop changes the word every time.
        let parity = COUNTERS[1 - self.rng.below(2) as usize];
        self.move_wide(NEW_WORD, words[1].into(), true);
        if self.rng.below(2) == 0 {
            self.unit.fixed(0x3600_0000 | 3 << 5 | parity); // tbz parity, #0, over
            self.move_wide(NEW_WORD, words[0].into(), true);
        }
        let adr = self.here();
        self.unit.fixed(NOP);
        for word in [
            0xb900_0000 | TARGET << 5 | NEW_WORD, // str w, [x]
            DC_CVAU | TARGET,
            DSB_ISH,
            IC_IVAU | TARGET,
            DSB_ISH,
            ISB,
        ] {
            self.unit.fixed(word);
        }
        let slot = if behind {
            for _ in 0..self.rng.below(3) {
                self.register(&self.rows.integer);
            }
            self.unit.fixed(NOP);
            self.here() - 1
        } else {
            slot
        };
        let distance = ((slot as i64 - adr as i64) * 4) as u32;
        self.unit.words[adr] =
            0x1000_0000 | (distance & 3) << 29 | (distance >> 2 & 0x7_ffff) << 5 | TARGET;
    }

    /// A load and store exclusive that succeed.
    fn exclusive(&mut self) {
        let (pair, size) = (self.rng.below(3) == 0, self.rng.below(4) as u32);
        let size = if pair { 2 | size } else { size };
        let acquire = (self.rng.below(2) as u32) << 15;
        let regs: [u32; 3] = core::array::from_fn(|i| 8 * i as u32 + self.rng.below(7) as u32);
        let [t, t2, s] = regs;
        let second = if pair { 1 << 21 | t2 << 10 } else { 31 << 10 };
        let common = 0x0800_0000 | size << 30 | acquire | second | BASE << 5 | t;
        let offset = self.rng.below(8) * 16;
        self.move_wide(BASE, SCRATCH + SCRATCH_LEN / 2 + offset, false);
        self.unit.push(common | 0x0040_0000 | 31 << 16);
        self.unit.push(0x9100_0400 | t << 5 | t); // add t, t, #1
        self.unit.push(common | s << 16);
    }

    /// The moves and additions with which compilers make constants and addresses.
    fn constant_pair(&mut self) {
        let d = self.rng.below(24) as u32;
        let random = self.rng.next() as u32;
        if self.rng.below(2) == 0 {
            self.unit.push(0x9000_0000 | random & 0x60_0000 | d); // adrp
            self.unit
                .push(0x9100_0000 | random & 0x3f_fc00 | d << 5 | d); // add
        } else {
            let sf = random & 1 << 31;
            self.unit.push(0x5280_0000 | sf | random & 0x1f_ffe0 | d); // movz
            self.unit
                .push(0x72a0_0000 | sf | random >> 3 & 0x1f_ffe0 | d); // movk
        }
    }
}
