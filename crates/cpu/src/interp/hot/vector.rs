//! Floating-point and vector instructions that touch V registers, and X registers at most as
//! sources or through a slot: they cannot trap, so they run without leaving the fast path.
//!
//! The op's immediate is the instruction word. The frequent forms have handlers in which all of
//! the word but the register fields is a constant, so that no size is looked at.

use tuxlet_a64::{self as a64, OpId};

use super::finish;
use crate::cx::{Cx, Trap};
use crate::interp::control::slow_entry;
use crate::interp::cpu::Cpu;
use crate::interp::op::{DEFAULT_PINS, Handler, Op, Pins, next};
use crate::interp::pinned::{Fast, Late, Pinned};
use crate::interp::rows::{Sem, fixed_handler};

/// Fields rd and rn.
const TWO_REGISTERS: u32 = 0x0000_03ff;
/// Fields rd, rn and rm.
const REGISTERS: u32 = 0x001f_03ff;
/// Fields rd, rn, rm and ra.
const FOUR_REGISTERS: u32 = 0x001f_7fff;

/// Runs a row whose word is `FIXED` outside the bits of `FIELDS`.
unsafe extern "C-unwind" fn run<R: Sem, const FIXED: u32, const FIELDS: u32>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Late::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op and `cpu` this thread's.
    unsafe {
        let word = (*ip).imm as u32 & FIELDS | FIXED;
        let step = R::from_word(word).run(&mut c);
        finish!(step, 0, c)
    }
}

/// Whether a row sets the condition flags.
pub(crate) fn sets_flags(id: OpId) -> bool {
    matches!(
        id,
        OpId::Fcmp
            | OpId::FcmpZero
            | OpId::Fcmpe
            | OpId::FcmpeZero
            | OpId::Fccmp
            | OpId::Fccmpe
            | OpId::Fjcvtzs
    )
}

/// [`run`] for a row with an X register, where X0 to X3 are pinned: they go by way of their slots, which is cheaper than
/// to look at which of them it is.
unsafe extern "C-unwind" fn run_general<R: Sem, const FIXED: u32, const FIELDS: u32>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `ip` is the running op and `cpu` this thread's.
    unsafe {
        let word = (*ip).imm as u32 & FIELDS | FIXED;
        let regs = &mut (*cpu).regs;
        (regs[0], regs[1], regs[2], regs[3]) = (p0, p1, p2, p3);
        match R::from_word(word).run(&mut Fast::<false>::new(ip, cpu, 0, 0, 0, 0)) {
            Ok(()) => {
                let [p0, p1, p2, p3, ..] = (*cpu).regs;
                let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
                next!(ip.add(1), c)
            }
            Err(Trap) => slow_entry(ip, cpu, p0, p1, p2, p3),
        }
    }
}

/// Sets V`r[0]` to the constant after the op, in the low half or in both.
pub(crate) unsafe extern "C-unwind" fn constant<const BOTH: bool>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted with a data position; `cpu` is this thread's.
    unsafe {
        let v = u128::from(Op::data(ip));
        c.set_v((*ip).r[0], if BOTH { v << 64 | v } else { v });
        next!(ip.add(2), c)
    }
}

macro_rules! handlers {
    (
        vector { $($row:ident $fields:ident [$({ $($field:ident: $value:expr),* })*];)* }
        general { $($grow:ident $gfields:ident [$({ $($gfield:ident: $gvalue:expr),* })*];)* }
        called { $($crow:ident $cfields:ident [$({ $($cfield:ident: $cvalue:expr),* })*];)* }
        shift { $($srow:ident)* }
        narrow { $($nrow:ident)* }
    ) => {
        /// The handler of an instruction, if it has one where these registers are pinned.
        pub(crate) fn handler(id: OpId, word: u32, pins: Pins) -> Option<Handler> {
            match id {
                // The slot of register 31 as a destination is another one.
                $(OpId::$grow)|* if word & 31 == 31 || pins != DEFAULT_PINS => None,
                $(OpId::$row => {
                    $(handlers!(@try run, word, $row, $fields, { $($field: $value,)* });)*
                    None
                })*
                $(OpId::$grow => {
                    $(handlers!(@try run_general, word, $grow, $gfields, { $($gfield: $gvalue,)* });)*
                    None
                })*
                $(OpId::$crow => {
                    $(handlers!(@try fixed_handler, word, $crow, $cfields, { $($cfield: $cvalue,)* });)*
                    None
                })*
                $(OpId::$nrow => {
                    handlers!(@try run, word, $nrow, SHIFT_BYTES, { q: true, immhb: 8, });
                    handlers!(@try run, word, $nrow, SHIFT_BYTES, { q: false, immhb: 8, });
                    handlers!(@try run, word, $nrow, SHIFT_HALVES, { q: true, immhb: 16, });
                    handlers!(@try run, word, $nrow, SHIFT_HALVES, { q: false, immhb: 16, });
                    handlers!(@try run, word, $nrow, SHIFT_WORDS, { q: true, immhb: 32, });
                    handlers!(@try run, word, $nrow, SHIFT_WORDS, { q: false, immhb: 32, });
                    None
                })*
                $(OpId::$srow => {
                    handlers!(@try run, word, $srow, SHIFT_BYTES, { q: true, immhb: 8, });
                    handlers!(@try run, word, $srow, SHIFT_BYTES, { q: false, immhb: 8, });
                    handlers!(@try run, word, $srow, SHIFT_HALVES, { q: true, immhb: 16, });
                    handlers!(@try run, word, $srow, SHIFT_HALVES, { q: false, immhb: 16, });
                    handlers!(@try run, word, $srow, SHIFT_WORDS, { q: true, immhb: 32, });
                    handlers!(@try run, word, $srow, SHIFT_WORDS, { q: false, immhb: 32, });
                    handlers!(@try run, word, $srow, SHIFT_DOUBLES, { q: true, immhb: 64, });
                    None
                })*
                _ => None,
            }
        }
    };
    (@try $run:ident, $word:ident, $row:ident, $fields:ident, { $($field:ident: $value:expr,)* }) => {{
        #[allow(clippy::needless_update, reason = "some variants give every field")]
        const FIXED: u32 =
            a64::$row { $($field: $value,)* ..a64::$row::from_word(0) }.to_word() & !$fields;
        if $word & !$fields == FIXED {
            return Some($run::<a64::$row, FIXED, $fields>);
        }
    }};
}

/// Fields rd, rn and the amount of a shift of bytes.
const SHIFT_BYTES: u32 = 0x0007_03ff;
/// Fields rd, rn and the amount of a shift of half words.
const SHIFT_HALVES: u32 = 0x000f_03ff;
/// Fields rd, rn and the amount of a shift of words.
const SHIFT_WORDS: u32 = 0x001f_03ff;
/// Fields rd, rn and the amount of a shift of double words.
const SHIFT_DOUBLES: u32 = 0x003f_03ff;

handlers! {
    vector {
        FmovReg REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FabsScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FnegScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FsqrtScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FmulScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FdivScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FaddScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FsubScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FcmpZero REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FcmpeZero REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fcvt REGISTERS [{ ftype: 0, to: 1 } { ftype: 1, to: 0 }];
        AddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SubVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmeqVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmgtVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmhiVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmhsVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmgeVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        AddpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Zip1 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Zip2 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Uzp1 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Uzp2 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Trn1 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        Trn2 REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        MulVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        MlaVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        MlsVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SmaxVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmaxVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SminVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UminVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmaxpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UminpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UabdVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SabdVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmullVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SmullVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmlalVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SmlalVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UaddlVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SaddlVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UaddwVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SaddwVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        XtnVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UaddlpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UadalpVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UaddlvVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UrhaddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UhaddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        AndVec REGISTERS [{ q: true } { q: false }];
        BicVec REGISTERS [{ q: true } { q: false }];
        OrrVec REGISTERS [{ q: true } { q: false }];
        OrnVec REGISTERS [{ q: true } { q: false }];
        EorVec REGISTERS [{ q: true } { q: false }];
        NotVec REGISTERS [{ q: true } { q: false }];
        CntVec REGISTERS [{ q: true } { q: false }];
        RbitVec REGISTERS [{ q: true } { q: false }];
        Rev16Vec REGISTERS [{ q: true } { q: false }];
        NegVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        AbsVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        CmeqZeroVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        FaddVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FsubVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FmulVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FdivVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FmlaVec REGISTERS [{ q: true, sz: false } { q: true, sz: true }];
        FmlsVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FnegVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FabsVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FsqrtVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        ScvtfVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        UcvtfVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
    }
    general {
        ScvtfGpr REGISTERS [{ sf: false, ftype: 0 } { sf: false, ftype: 1 } { sf: true, ftype: 0 } { sf: true, ftype: 1 }];
        UcvtfGpr REGISTERS [{ sf: false, ftype: 0 } { sf: false, ftype: 1 } { sf: true, ftype: 0 } { sf: true, ftype: 1 }];
        FmovFromGpr REGISTERS [{ sf: false, ftype: 0 } { sf: true, ftype: 1 }];
        FcvtzsGpr REGISTERS [{ sf: false, ftype: 0 } { sf: false, ftype: 1 } { sf: true, ftype: 0 } { sf: true, ftype: 1 }];
        FcvtzuGpr REGISTERS [{ sf: false, ftype: 0 } { sf: false, ftype: 1 } { sf: true, ftype: 0 } { sf: true, ftype: 1 }];
        FmovToGpr REGISTERS [{ sf: false, ftype: 0 } { sf: true, ftype: 1 }];
        Umov REGISTERS [{ q: true } { q: false }];
        DupGpr TWO_REGISTERS [{ q: true, imm5: 1 } { q: true, imm5: 2 } { q: true, imm5: 4 } { q: true, imm5: 8 } { q: false, imm5: 1 } { q: false, imm5: 2 } { q: false, imm5: 4 }];
    }
    called {
        Fcmpe REGISTERS [{ ftype: 0 } { ftype: 1 }];
        FnmulScalar REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fcmp REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fmadd FOUR_REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fmsub FOUR_REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fnmadd FOUR_REGISTERS [{ ftype: 0 } { ftype: 1 }];
        Fnmsub FOUR_REGISTERS [{ ftype: 0 } { ftype: 1 }];
        BslVec REGISTERS [{ q: true } { q: false }];
        BitVec REGISTERS [{ q: true } { q: false }];
        BifVec REGISTERS [{ q: true } { q: false }];
        UshlVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SshlVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        AddvVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UmaxvVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UminvVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SqaddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UqaddVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        SqsubVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        UqsubVec REGISTERS [{ q: true, size: 0 } { q: true, size: 1 } { q: true, size: 2 } { q: true, size: 3 } { q: false, size: 0 } { q: false, size: 1 } { q: false, size: 2 }];
        FcmgtVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FcmgeVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FcmeqVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        FcvtzsVec REGISTERS [{ q: true, sz: false } { q: true, sz: true } { q: false, sz: false }];
        Ext FOUR_REGISTERS [{ q: true } { q: false }];
        Tbl REGISTERS [{ q: true, len: 0 } { q: false, len: 0 } { q: true, len: 1 } { q: true, len: 3 }];
        DupElemVec REGISTERS [{ q: true } { q: false }];
    }
    shift {
        UshrVec
        SshrVec
        ShlVec
        UsraVec
        SsraVec
        SriVec
    }
    narrow {
        ShrnVec
        SshllVec
        UshllVec
    }
}
