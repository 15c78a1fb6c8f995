//! Every implemented instruction as a handler that decodes the word itself.

use tuxlet_a64::{self as a64, Insn, OpId};

use super::control::{go, leave, slow_entry, slow_jump};
use super::cpu::{Cpu, NO_ADDR};
use super::op::{Handler, Op, next};
use super::pinned::Pinned;
use crate::cx::{Cx, Step};
use crate::sem;

/// A row with semantics.
pub(crate) trait Sem: Insn {
    /// Executes the instruction.
    fn run<C: Cx>(self, c: &mut C) -> Step;
}

/// Executes an instruction word of a known row with all registers in memory. False when it
/// trapped; `exit` says why.
pub(crate) type Body = unsafe extern "C-unwind" fn(*mut Cpu, u32) -> bool;

/// How to execute a row.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Op handler; the op's immediate is the instruction word.
    pub(crate) handler: Handler,
    pub(crate) body: Body,
    /// Touches neither general registers nor memory.
    pub(crate) vector: bool,
}

/// Executes an instruction word of row `R`; see [`Body`].
///
/// Out of line: what a large body keeps on the stack would stop the handler from ending in a jump.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn body<R: Sem>(cpu: *mut Cpu, word: u32) -> bool {
    // SAFETY: called with this thread's `Cpu`, to which no other reference exists.
    let cpu = unsafe { &mut *cpu };
    R::from_word(word).run(cpu).is_ok()
}

unsafe extern "C-unwind" fn handler<R: Sem>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).store_home();
    // SAFETY: `ip` is the running op and `cpu` this thread's.
    unsafe {
        (*cpu).ip = ip;
        let next = if !body::<R>(cpu, (*ip).imm as u32) {
            leave(cpu, ip)
        } else if (*cpu).jump_to != NO_ADDR {
            slow_jump(cpu)
        } else {
            ip.add(1)
        };
        go(cpu, next)
    }
}

/// As [`handler`] for rows that leave general registers and memory alone: nothing is spilled.
unsafe extern "C-unwind" fn vector_handler<R: Sem>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `ip` is the running op and `cpu` this thread's, to which no other reference exists.
    unsafe {
        if body::<R>(cpu, (*ip).imm as u32) {
            let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
            next!(ip.add(1), c)
        } else {
            slow_entry(ip, cpu, p0, p1, p2, p3)
        }
    }
}

/// A row whose word is `FIXED` outside the bits of `FIELDS`, that only touches V registers and flags and cannot trap.
#[inline(never)]
unsafe extern "C-unwind" fn fixed_body<R: Sem, const FIXED: u32, const FIELDS: u32>(
    cpu: *mut Cpu,
    word: u32,
) {
    // SAFETY: called with this thread's `Cpu`, to which no other reference exists.
    let cpu = unsafe { &mut *cpu };
    let done = R::from_word(word & FIELDS | FIXED).run(cpu);
    debug_assert!(done.is_ok());
}

/// Handler of a row that needs more registers than a hot handler has, for a word that is `FIXED` outside the bits of
/// `FIELDS`, so that no size is looked at.
pub(crate) unsafe extern "C-unwind" fn fixed_handler<
    R: Sem,
    const FIXED: u32,
    const FIELDS: u32,
>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).spill();
    // SAFETY: `ip` is the running op and `cpu` this thread's, to which no other reference exists.
    unsafe {
        fixed_body::<R, FIXED, FIELDS>(cpu, (*ip).imm as u32);
        let c = Pinned::reload(cpu);
        next!(ip.add(1), c)
    }
}

const fn row_of<R: Sem>() -> Row {
    Row {
        handler: if R::VECTOR_ONLY {
            vector_handler::<R>
        } else {
            handler::<R>
        },
        body: body::<R>,
        vector: R::VECTOR_ONLY,
    }
}

macro_rules! rows {
    ($(($row:ident, $name:ident))*) => {
        $(
            impl Sem for a64::$row {
                #[inline(always)]
                fn run<C: Cx>(self, c: &mut C) -> Step {
                    sem::$name(c, self)
                }
            }
        )*

        /// Indexed by [`OpId`].
        static ROWS: [Option<Row>; OpId::COUNT] = {
            let mut rows = [None; OpId::COUNT];
            $(
                rows[OpId::$row as usize] =
                    Some(row_of::<a64::$row>());
            )*
            rows
        };
    };
}
a64::for_each_done_insn!(rows);

/// How to execute a row; `None` when it is not implemented.
#[inline]
pub(crate) fn row(id: OpId) -> Option<Row> {
    ROWS[id as usize]
}
