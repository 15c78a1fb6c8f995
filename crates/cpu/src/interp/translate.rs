//! From guest instructions to ops.

use tuxlet_a64::{self as a64, OpId};
use tuxlet_mem::{PAGE_MASK, PAGE_SIZE, PageRef};

use super::cache::{Side, Stub};
use super::control;
use super::hot::pair;
use super::hot::select::KIND_UNKNOWN;
use super::lower::lower;
use super::op::{DEFAULT_PINS, Data, Handler, Op, Pins, SLOT_PINNED};
use super::rows::row;
use super::stack;

/// What the interpreter may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Use specialised handlers, fusion and linked blocks. Without, every instruction runs alone
    /// through the full context: the reference that tests compare with.
    pub optimise: bool,
    /// The registers, of X0 to X28, that travel in host registers outside of hot loops: X0 to X3, unless a test wants
    /// others.
    pub pins: [u8; 4],
}

impl Default for Options {
    fn default() -> Self {
        Options {
            optimise: true,
            pins: DEFAULT_PINS,
        }
    }
}

/// In [`Block::parts`]: not an op.
const DATA: u8 = u8::MAX;

/// Instructions per block.
const BLOCK_LIMIT: usize = 200;

/// A block under construction.
#[derive(Default)]
pub(crate) struct Block {
    pub(crate) ops: Vec<Op>,
    pub(crate) side: Vec<Side>,
    /// What each op is as a part of pairs, [`DATA`] for data positions.
    parts: Vec<u8>,
    /// Guest range that the ops were made from.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Branch ops and where they lead.
    exits: Vec<(usize, u64)>,
    /// Kind of the flags where it is known, else `KIND_UNKNOWN`.
    pub(crate) flags: u8,
    /// The instruction being translated.
    pub(crate) pc: u64,
    pub(crate) word: u32,
    /// The registers in handler arguments.
    pub(crate) pins: Pins,
    /// Whether those are the ones that indirect branches and entries from outside find there.
    pub(crate) default_pins: bool,
    /// The registers in handler arguments outside of hot loops.
    outside: Pins,
    /// The same by slot: where a register is.
    slots: Slots,
    /// The hot loop that the block is in.
    region: Option<Region>,
}

/// The slot of a handler argument for each pinned register's slot, others as they are.
struct Slots([u8; SLOT_PINNED as usize]);

impl Default for Slots {
    fn default() -> Self {
        Slots(core::array::from_fn(|slot| slot as u8))
    }
}

/// A hot loop: guest code that keeps registers of its own choice in handler arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) pins: Pins,
}

impl Region {
    pub(crate) fn contains(&self, pc: u64) -> bool {
        (self.start..self.end).contains(&pc)
    }
}

// SAFETY: an op only holds a function pointer and numbers.
unsafe impl Send for Block {}

impl Block {
    /// Appends an op of the current instruction.
    #[inline]
    pub(crate) fn op(&mut self, handler: Handler, r: [u8; 4], imm: i32) {
        self.ops.push(Op { handler, r, imm });
        self.parts.push(pair::NONE);
        self.side.push(Side {
            word: self.word,
            pc: self.pc as u32,
        });
    }

    /// Appends the data position of the last op.
    pub(crate) fn data(&mut self, value: u64) {
        // SAFETY: both are 16 bytes; the position is never run, only read as `Data`.
        self.ops
            .push(unsafe { core::mem::transmute::<Data, Op>(Data::new(value)) });
        self.side.push(Side::DATA);
        self.parts.push(DATA);
    }

    /// Says what the last op is as a part of pairs.
    #[inline]
    pub(crate) fn part(&mut self, part: u8) {
        if let Some(last) = self.parts.last_mut() {
            *last = part;
        }
    }

    /// Gives the first of two ops that can be run by one handler that handler.
    fn pair(&mut self) {
        let mut first = 0;
        while first < self.parts.len() {
            let mut second = first + 1;
            if self.parts.get(second) == Some(&DATA) {
                second += 1;
            }
            match self
                .parts
                .get(second)
                .and_then(|&s| pair::fused(self.parts[first], s))
            {
                Some(handler) => {
                    self.ops[first].handler = handler;
                    first = second + 1;
                }
                None => first = second,
            }
        }
    }

    /// Appends a branch op that leads to `target` when taken.
    pub(crate) fn branch(&mut self, handler: Handler, r: [u8; 4], target: u64) {
        self.exits.push((self.ops.len(), target));
        self.op(handler, r, 0);
    }

    /// Takes the next instruction along with the current one.
    pub(crate) fn take(&mut self) {
        self.pc = self.pc.wrapping_add(4);
    }

    /// Appends the op that runs the current instruction with the full context.
    pub(crate) fn generic(&mut self, id: OpId) {
        match row(id) {
            Some(row) => self.op(row.handler, [0; 4], self.word as i32),
            None => self.op(control::undefined, [0; 4], 0),
        }
    }

    /// Where the register of a slot is.
    #[inline(always)]
    pub(crate) fn slot(&self, slot: u8) -> u8 {
        self.slots.0.get(usize::from(slot)).copied().unwrap_or(slot)
    }

    /// As [`Block::slot`] for the first `N` operands of an op. What has been placed stays as it is.
    #[inline(always)]
    pub(crate) fn place<const N: usize>(&self, r: [u8; 4]) -> [u8; 4] {
        core::array::from_fn(|i| if i < N { self.slot(r[i]) } else { r[i] })
    }

    fn pin(&mut self, pins: Pins) {
        if self.pins == pins && self.slots.0[usize::from(pins[0])] == SLOT_PINNED {
            return;
        }
        self.pins = pins;
        self.slots = Slots::default();
        for (i, r) in pins.into_iter().enumerate() {
            self.slots.0[usize::from(r)] = SLOT_PINNED + i as u8;
        }
    }

    /// Number of ops before the one where the block is entered with its registers in handler arguments.
    pub(crate) fn entry(&self) -> usize {
        usize::from(self.region.is_some())
    }

    fn begin(&mut self, pc: u64) {
        self.ops.clear();
        self.side.clear();
        self.parts.clear();
        self.exits.clear();
        self.flags = KIND_UNKNOWN;
        self.start = pc;
        self.end = pc;
        self.pc = pc;
    }

    /// Appends the stubs of all branches.
    fn finish(&mut self) {
        self.pair();
        self.word = 0;
        for i in 0..self.exits.len() {
            let (mut branch, target) = self.exits[i];
            if self.region.is_some_and(|region| !region.contains(target)) {
                // Out of the loop: the default registers go back to handler arguments first.
                let distance = self.ops.len() - branch;
                self.ops[branch].imm = (distance * size_of::<Op>()) as i32;
                branch = self.ops.len();
                self.pc = target;
                self.op(control::remap, self.outside, 0);
            }
            let distance = self.ops.len() - branch;
            self.ops[branch].imm = (distance * size_of::<Op>()) as i32;
            self.pc = target;
            let (r, imm) = Stub {
                target,
                distance: distance as u16,
            }
            .pack();
            self.op(control::stub, r, imm);
        }
    }
}

/// Whether a direct branch may lead to `target`.
pub(crate) fn in_range(target: u64) -> bool {
    target >> 48 == 0
}

/// What follows an instruction in its block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next instruction.
    Continue,
    /// Nothing: control never falls through.
    End,
}

/// A page of guest code.
pub(crate) struct Source<'a> {
    page: &'a PageRef,
    base: u64,
    /// Where the block must end.
    end: u64,
}

impl Source<'_> {
    /// The instruction at `pc`, which is in the page. Other threads may be writing it.
    fn word(&self, pc: u64) -> u32 {
        let mut bytes = [0; 4];
        self.page.read((pc & PAGE_MASK) as usize, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Row and word of the instruction behind the block's current one, if it is in the page.
    pub(crate) fn next(&self, block: &Block) -> Option<(OpId, u32)> {
        let pc = block.pc.wrapping_add(4);
        if pc == self.end {
            return None;
        }
        let word = self.word(pc);
        Some((a64::decode(word)?, word))
    }

    /// Whether a block should go on with the code at `target` where it branches there: forward in
    /// the page, while the block is short. Needs no kick check, because it goes forward.
    pub(crate) fn follows(&self, block: &Block, target: u64) -> bool {
        target > block.pc && target < self.end && block.ops.len() < FOLLOW_OPS
    }

    /// Whether the code at `pc` surely sets all flags before it looks at any.
    pub(crate) fn flags_dead(&self, pc: u64) -> bool {
        let mut pc = pc;
        for _ in 0..LOOK_AHEAD {
            if pc & !PAGE_MASK != self.base {
                return false;
            }
            match flags_use(self.word(pc)) {
                FlagsUse::Writes => return true,
                FlagsUse::Unknown => return false,
                FlagsUse::None => pc += 4,
            }
        }
        false
    }
}

/// Blocks longer than this end at an unconditional branch.
const FOLLOW_OPS: usize = 48;

/// How far [`Source::flags_dead`] looks.
const LOOK_AHEAD: usize = 8;

/// What an instruction does with the condition flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FlagsUse {
    /// Sets all of them and reads none.
    Writes,
    /// Neither reads nor writes them, and the next instruction follows.
    None,
    /// Anything else.
    Unknown,
}

/// Classifies an instruction by its top-level group.
fn flags_use(word: u32) -> FlagsUse {
    let sets = word >> 29 & 1 != 0;
    match word >> 25 & 15 {
        // Data processing, immediate.
        0b1000 | 0b1001 => {
            let add_sub = word & 0x1f00_0000 == 0x1100_0000 && word >> 22 & 3 < 2;
            let ands = word & 0x7f80_0000 == 0x7200_0000;
            if add_sub && sets || ands {
                FlagsUse::Writes
            } else {
                FlagsUse::None
            }
        }
        // Loads and stores.
        0b0100 | 0b0110 | 0b1100 | 0b1110 => FlagsUse::None,
        // Data processing, register.
        0b0101 | 0b1101 => {
            if word & 0x1f00_0000 == 0x0b00_0000 {
                if sets {
                    FlagsUse::Writes
                } else {
                    FlagsUse::None
                }
            } else if word & 0x1f00_0000 == 0x0a00_0000 {
                if word >> 29 & 3 == 3 {
                    FlagsUse::Writes
                } else {
                    FlagsUse::None
                }
            } else {
                match word >> 21 & 15 {
                    // With carry, conditional compare and select.
                    _ if word >> 28 & 1 != 0 && word >> 24 & 15 == 0b1010 && word >> 21 & 7 < 6 => {
                        FlagsUse::Unknown
                    }
                    _ => FlagsUse::None,
                }
            }
        }
        // Scalar floating point, SIMD.
        0b0111 | 0b1111 => {
            if word & 0xff20_fc07 == 0x1e20_2000 {
                FlagsUse::Writes
            } else if word & 0xff20_0400 == 0x1e20_0400 {
                FlagsUse::Unknown
            } else {
                FlagsUse::None
            }
        }
        _ => {
            if word & 0xffff_f01f == 0xd503_201f {
                FlagsUse::None
            } else {
                FlagsUse::Unknown
            }
        }
    }
}

/// Translates the code at `pc`, which is in `page`, to `block`. A block is entered at its start
/// only, may have several exits, and does not leave its page, nor the hot loop it is in if there is one. A block of a
/// hot loop begins with an op that puts the loop's registers into handler arguments.
pub(crate) fn translate(
    block: &mut Block,
    page: &PageRef,
    pc: u64,
    region: Option<Region>,
    options: &Options,
) {
    block.begin(pc);
    let base = pc & !PAGE_MASK;
    let source = Source {
        page,
        base,
        end: region.map_or(base.wrapping_add(PAGE_SIZE), |region| region.end),
    };
    block.region = region;
    block.outside = options.pins;
    block.default_pins = region.is_none();
    match region {
        Some(region) => {
            block.pin(region.pins);
            block.word = 0;
            block.op(control::remap, region.pins, size_of::<Op>() as i32);
        }
        None => block.pin(options.pins),
    }
    let last = if options.optimise { BLOCK_LIMIT } else { 1 };
    for _ in 0..last {
        block.word = source.word(block.pc);
        // A load or store that may misalign SP is one op, which nothing is fused with.
        let checked = stack::may_misalign(block.word);
        let alone = checked && block.word >> 27 & 1 != 0;
        let then = match a64::decode(block.word) {
            Some(id) if options.optimise && !alone => lower(block, &source, id),
            Some(id) => {
                block.generic(id);
                Then::Continue
            }
            None => {
                block.op(control::undefined, [0; 4], 0);
                Then::End
            }
        };
        block.pc = block.pc.wrapping_add(4);
        block.end = block.pc;
        if checked && then == Then::Continue {
            block.word = 0;
            block.op(stack::check, [0; 4], 0);
        }
        if then == Then::End {
            return block.finish();
        }
        if block.pc == source.end {
            break;
        }
    }
    let next = block.pc;
    if in_range(next) {
        block.word = 0;
        block.branch(control::jump, [0; 4], next);
    }
    block.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_use_of_instructions() {
        for (word, want) in [
            (0x7100_041f, FlagsUse::Writes),  // cmp w0, #1
            (0xeb01_001f, FlagsUse::Writes),  // cmp x0, x1
            (0xeb21_c01f, FlagsUse::Writes),  // cmp x0, w1, sxtw
            (0x6a01_001f, FlagsUse::Writes),  // tst w0, w1
            (0x7200_001f, FlagsUse::Writes),  // tst w0, #1
            (0x1e21_2000, FlagsUse::Writes),  // fcmp s0, s1
            (0x9100_0400, FlagsUse::None),    // add x0, x0, #1
            (0xaa01_03e0, FlagsUse::None),    // mov x0, x1
            (0xf940_0000, FlagsUse::None),    // ldr x0, [x0]
            (0x9b01_7c00, FlagsUse::None),    // mul x0, x0, x1
            (0x9ac1_0800, FlagsUse::None),    // udiv x0, x0, x1
            (0xdac0_1000, FlagsUse::None),    // clz x0, x0
            (0x4e21_8400, FlagsUse::None),    // add v0.16b, v0.16b, v1.16b
            (0x1e21_2800, FlagsUse::None),    // fadd s0, s0, s1
            (0xd503_201f, FlagsUse::None),    // nop
            (0x9a81_0000, FlagsUse::Unknown), // csel x0, x0, x1, eq
            (0x9a01_0000, FlagsUse::Unknown), // adc x0, x0, x1
            (0xba01_0000, FlagsUse::Unknown), // adcs x0, x0, x1
            (0xfa41_0000, FlagsUse::Unknown), // ccmp x0, x1, #0, eq
            (0x1e21_0c00, FlagsUse::Unknown), // fcsel s0, s0, s1, eq
            (0x1e21_0400, FlagsUse::Unknown), // fccmp s0, s1, #0, eq
            (0x5400_0000, FlagsUse::Unknown), // b.eq
            (0xd53b_4200, FlagsUse::Unknown), // mrs x0, nzcv
            (0xd65f_03c0, FlagsUse::Unknown), // ret
        ] {
            assert_eq!(flags_use(word), want, "{word:#010x}");
        }
    }
}
