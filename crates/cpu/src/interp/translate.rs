//! From guest instructions to ops.

use tuxlet_a64::{self as a64, OpId};
use tuxlet_mem::{PAGE_MASK, PageRef};

use super::cache::{Side, Stub};
use super::control;
use super::op::{Data, Handler, Op};
use super::rows::row;

/// What the interpreter may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Use specialised handlers, fusion and linked blocks. Without, every instruction runs alone
    /// through the full context: the reference that tests compare with.
    pub optimise: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { optimise: true }
    }
}

/// Instructions per block.
const BLOCK_LIMIT: usize = 200;

/// A block under construction.
#[derive(Default)]
pub(crate) struct Block {
    pub(crate) ops: Vec<Op>,
    pub(crate) side: Vec<Side>,
    /// Guest range that the ops were made from.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Branch ops and where they lead.
    exits: Vec<(usize, u64)>,
    /// The instruction being translated.
    pub(crate) pc: u64,
    pub(crate) word: u32,
}

// SAFETY: an op only holds a function pointer and numbers.
unsafe impl Send for Block {}

impl Block {
    /// Appends an op of the current instruction.
    #[inline]
    pub(crate) fn op(&mut self, handler: Handler, r: [u8; 4], imm: i32) {
        self.ops.push(Op { handler, r, imm });
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
    }

    /// Appends a branch op that leads to `target` when taken.
    pub(crate) fn branch(&mut self, handler: Handler, r: [u8; 4], target: u64) {
        self.exits.push((self.ops.len(), target));
        self.op(handler, r, 0);
    }

    /// Appends the op that runs the current instruction with the full context.
    fn generic(&mut self, id: OpId) {
        match row(id) {
            Some(row) => self.op(row.handler, [0; 4], self.word as i32),
            None => self.op(control::undefined, [0; 4], 0),
        }
    }

    fn begin(&mut self, pc: u64) {
        self.ops.clear();
        self.side.clear();
        self.exits.clear();
        self.start = pc;
        self.end = pc;
        self.pc = pc;
    }

    /// Appends the stubs of all branches.
    fn finish(&mut self) {
        self.word = 0;
        for i in 0..self.exits.len() {
            let (branch, target) = self.exits[i];
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
fn in_range(target: u64) -> bool {
    target >> 48 == 0
}

/// Reads an instruction of a page that other threads may be writing.
fn instruction(page: &PageRef, pc: u64) -> u32 {
    let mut bytes = [0; 4];
    page.read((pc & PAGE_MASK) as usize, &mut bytes);
    u32::from_le_bytes(bytes)
}

/// What follows an instruction in its block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next instruction.
    Continue,
    /// Nothing: control never falls through.
    End,
}

/// Translates the code at `pc`, which is in `page`, to `block`. A block is entered at its start
/// only, may have several exits, and does not leave its page.
pub(crate) fn translate(block: &mut Block, page: &PageRef, pc: u64, options: &Options) {
    block.begin(pc);
    let last = if options.optimise { BLOCK_LIMIT } else { 1 };
    for _ in 0..last {
        block.word = instruction(page, block.pc);
        let then = match a64::decode(block.word) {
            Some(id) if options.optimise => instruction_ops(block, id),
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
        if then == Then::End {
            return block.finish();
        }
        if block.pc & PAGE_MASK == 0 {
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

/// Ops of one instruction.
fn instruction_ops(block: &mut Block, id: OpId) -> Then {
    let (pc, word) = (block.pc, block.word);
    match id {
        OpId::Svc => {
            block.op(control::svc, [0; 4], 0);
            Then::Continue
        }
        OpId::B => {
            let target = pc.wrapping_add(i64::from(a64::B::from_word(word).imm) as u64);
            if in_range(target) {
                block.branch(control::jump, [0; 4], target);
            } else {
                block.generic(id);
            }
            Then::End
        }
        OpId::Bl => {
            let target = pc.wrapping_add(i64::from(a64::Bl::from_word(word).imm) as u64);
            if in_range(target) {
                block.branch(control::call, [0; 4], target);
                block.data(pc.wrapping_add(4));
            } else {
                block.generic(id);
            }
            Then::End
        }
        OpId::Br | OpId::Ret => {
            let rn = a64::Br::from_word(word).rn;
            block.op(INDIRECT[usize::from(rn.min(4))], [0, rn, 0, 0], 0);
            Then::End
        }
        OpId::Blr => {
            let rn = a64::Blr::from_word(word).rn;
            block.op(INDIRECT_LINK[usize::from(rn.min(4))], [0, rn, 0, 0], 0);
            block.data(pc.wrapping_add(4));
            Then::End
        }
        _ => {
            block.generic(id);
            Then::Continue
        }
    }
}

static INDIRECT: [Handler; 5] = [
    control::indirect::<0, false>,
    control::indirect::<1, false>,
    control::indirect::<2, false>,
    control::indirect::<3, false>,
    control::indirect::<4, false>,
];

static INDIRECT_LINK: [Handler; 5] = [
    control::indirect::<0, true>,
    control::indirect::<1, true>,
    control::indirect::<2, true>,
    control::indirect::<3, true>,
    control::indirect::<4, true>,
];
