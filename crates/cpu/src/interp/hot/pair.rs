//! Two instructions as one op, where all their registers are in memory slots.
//!
//! Only the first op of a pair gets another handler, which runs both; the second keeps its own. So an entry between the
//! two, a fault of the second and a kick need no special case.

use super::alu::*;
use super::branch::branch;
use super::memory::{Access, Ldp, Ldr, LdrReg, OFFSET, POST, Stp, Str, StrReg};
use super::{Hot1, Hot2, Hot3};
use crate::cx::{Step, Trap};
use crate::flags::{Kind, holds};
use crate::interp::control::{go_to, is_kicked, kick_entry, slow_entry};
use crate::interp::cpu::Cpu;
use crate::interp::op::{Handler, Op, PINNED as MEMORY, next};
use crate::interp::pinned::{Late, Pinned, slot};

/// An instruction form with all operands in memory slots.
trait Part {
    /// Executes; must not have an effect when it traps. Returns the next op.
    ///
    /// # Safety
    /// `op` must have been emitted for this form, its slots not below 4.
    unsafe fn run(c: &mut Pinned, op: *const Op) -> Step<*const Op>;
}

struct One<T>(T);
struct Two<T>(T);
struct Three<T>(T);
struct Memory<T>(T);

impl<T: Hot1> Part for One<T> {
    #[inline(always)]
    unsafe fn run(c: &mut Pinned, op: *const Op) -> Step<*const Op> {
        // SAFETY: the trait's contract.
        unsafe {
            let mut late = Late::new(op, c.cpu, c.p0, c.p1, c.p2, c.p3);
            T::run(&mut late, op, slot::<MEMORY>((*op).r[0]))?;
            c.cpu = late.cpu;
            Ok(late.op.add(1 + T::DATA))
        }
    }
}

impl<T: Hot2> Part for Two<T> {
    #[inline(always)]
    unsafe fn run(c: &mut Pinned, op: *const Op) -> Step<*const Op> {
        // SAFETY: the trait's contract.
        unsafe {
            let (a, b) = (slot::<MEMORY>((*op).r[0]), slot::<MEMORY>((*op).r[1]));
            let mut late = Late::new(op, c.cpu, c.p0, c.p1, c.p2, c.p3);
            T::run(&mut late, op, a, b)?;
            c.cpu = late.cpu;
            Ok(late.op.add(1 + T::DATA))
        }
    }
}

impl<T: Hot3> Part for Three<T> {
    #[inline(always)]
    unsafe fn run(c: &mut Pinned, op: *const Op) -> Step<*const Op> {
        // SAFETY: the trait's contract.
        unsafe {
            let (a, b, d) = (
                slot::<MEMORY>((*op).r[0]),
                slot::<MEMORY>((*op).r[1]),
                slot::<MEMORY>((*op).r[2]),
            );
            let mut late = Late::new(op, c.cpu, c.p0, c.p1, c.p2, c.p3);
            T::run(&mut late, op, a, b, d)?;
            c.cpu = late.cpu;
            Ok(late.op.add(1 + T::DATA))
        }
    }
}

impl<T: Access> Part for Memory<T> {
    #[inline(always)]
    unsafe fn run(c: &mut Pinned, op: *const Op) -> Step<*const Op> {
        // SAFETY: the trait's contract.
        unsafe { Ok(T::run::<true, MEMORY, MEMORY, MEMORY>(c, op)?.add(1 + T::DATA)) }
    }
}

/// An op that transfers control, as the second of a pair.
trait Ending {
    /// Executes, and continues there.
    ///
    /// # Safety
    /// `ip` must have been emitted for this form, `c` must be its registers.
    unsafe fn run(c: Pinned, ip: *const Op) -> *const Op;
}

/// `B.cond` after a comparison.
struct Branch<const COND: u8>;

impl<const COND: u8> Ending for Branch<COND> {
    #[inline(always)]
    unsafe fn run(c: Pinned, ip: *const Op) -> *const Op {
        let f = c.flags();
        // SAFETY: the trait's contract.
        unsafe { branch!(holds(Kind::Sub, COND, f.a, f.b), ip, c) }
    }
}

/// `B`.
struct Jump;

impl Ending for Jump {
    #[inline(always)]
    unsafe fn run(c: Pinned, ip: *const Op) -> *const Op {
        // SAFETY: the trait's contract.
        unsafe {
            if is_kicked(c.cpu) {
                return kick_entry(ip, c.cpu, c.p0, c.p1, c.p2, c.p3);
            }
            next!(Op::target(ip), c)
        }
    }
}

/// `BL`.
struct Call;

impl Ending for Call {
    #[inline(always)]
    unsafe fn run(c: Pinned, ip: *const Op) -> *const Op {
        // SAFETY: the trait's contract.
        unsafe {
            if is_kicked(c.cpu) {
                return kick_entry(ip, c.cpu, c.p0, c.p1, c.p2, c.p3);
            }
            (*c.cpu).regs[30] = Op::data(ip);
            next!(Op::target(ip), c)
        }
    }
}

/// `RET`.
struct Return;

impl Ending for Return {
    #[inline(always)]
    unsafe fn run(c: Pinned, ip: *const Op) -> *const Op {
        // SAFETY: the trait's contract.
        unsafe {
            if is_kicked(c.cpu) {
                return kick_entry(ip, c.cpu, c.p0, c.p1, c.p2, c.p3);
            }
            let target = c.get(slot::<MEMORY>((*ip).r[1]));
            go_to(ip, c, target)
        }
    }
}

unsafe extern "C-unwind" fn pair<A: Part, B: Part>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for the first form, and before one of the second.
    unsafe {
        let Ok(second) = A::run(&mut c, ip) else {
            return slow_entry(ip, cpu, p0, p1, p2, p3);
        };
        let second = c.settle(second);
        match B::run(&mut c, second) {
            Ok(ip) => next!(ip, c),
            Err(Trap) => slow_entry(second, c.cpu, p0, p1, p2, p3),
        }
    }
}

unsafe extern "C-unwind" fn pair_end<A: Part, B: Ending>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for the first form, and before one of the second.
    unsafe {
        let Ok(second) = A::run(&mut c, ip) else {
            return slow_entry(ip, cpu, p0, p1, p2, p3);
        };
        let second = c.settle(second);
        B::run(c, second)
    }
}

macro_rules! row {
    ($first:ty) => {
        [
            pair::<$first, Three<Add<true, 4>>>,
            pair::<$first, Three<Add<false, 4>>>,
            pair::<$first, Three<Add<true, 0>>>,
            pair::<$first, Three<Sub<true, 4>>>,
            pair::<$first, Three<And<true, 4>>>,
            pair::<$first, Three<And<false, 4>>>,
            pair::<$first, Three<Orr<true, 4>>>,
            pair::<$first, Three<Eor<true, 4>>>,
            pair::<$first, Three<Eor<false, 4>>>,
            pair::<$first, Three<Eor<true, 0>>>,
            pair::<$first, Three<Eor<true, 1>>>,
            pair::<$first, Three<Eor<false, 3>>>,
            pair::<$first, Two<Mov<true>>>,
            pair::<$first, Two<Mov<false>>>,
            pair::<$first, Two<AddImm<true>>>,
            pair::<$first, Two<AddImm<false>>>,
            pair::<$first, Two<AndImm<true>>>,
            pair::<$first, Two<AndImm<false>>>,
            pair::<$first, Two<ShiftImm<true, 0>>>,
            pair::<$first, Two<ShiftImm<true, 1>>>,
            pair::<$first, Two<ShiftImm<false, 1>>>,
            pair::<$first, Two<ShiftImm<false, 3>>>,
            pair::<$first, One<Const>>,
            pair::<$first, Two<Cmp<true>>>,
            pair::<$first, Two<Cmp<false>>>,
            pair::<$first, One<CmpImm<true>>>,
            pair::<$first, One<CmpImm<false>>>,
            pair::<$first, Two<SubsImm<true>>>,
            pair::<$first, Memory<Ldr<3, OFFSET>>>,
            pair::<$first, Memory<Ldr<2, OFFSET>>>,
            pair::<$first, Memory<Ldr<0, OFFSET>>>,
            pair::<$first, Memory<Str<3, OFFSET>>>,
            pair::<$first, Memory<Str<2, OFFSET>>>,
            pair::<$first, Memory<Str<0, OFFSET>>>,
            pair::<$first, Memory<LdrReg<3, 3, 3>>>,
            pair::<$first, Memory<LdrReg<2, 3, 2>>>,
            pair::<$first, Memory<LdrReg<0, 3, 0>>>,
            pair::<$first, Memory<StrReg<2, 3, 2>>>,
            pair::<$first, Memory<StrReg<0, 3, 0>>>,
            pair::<$first, Memory<Ldp<true, OFFSET>>>,
            pair::<$first, Memory<Stp<true, OFFSET>>>,
            pair::<$first, Memory<Ldp<true, POST>>>,
        ]
    };
}

macro_rules! parts {
    ($($name:ident: $part:ty,)*) => {
        #[repr(u8)]
        #[allow(
            non_camel_case_types,
            clippy::upper_case_acronyms,
            reason = "the names are those of the constants"
        )]
        enum Number {
            /// Not a part.
            None,
            $($name,)*
            /// The first of the endings.
            End,
        }

        $(
            #[doc = concat!("Number of `", stringify!($part), "` as a part of pairs.")]
            pub(crate) const $name: u8 = Number::$name as u8;
        )*

        /// Not a part of pairs.
        pub(crate) const NONE: u8 = Number::None as u8;
        const END: u8 = Number::End as u8;

        static PAIRS: [[Handler; END as usize - 1]; END as usize - 1] = [$(parts!(@row $part),)*];
        static ENDS: [[Handler; (LAST - END) as usize + 1]; END as usize - 1] = [$(parts!(@ends $part),)*];
    };
    (@ends $first:ty) => {
        [
            pair_end::<$first, Branch<0>>,
            pair_end::<$first, Branch<1>>,
            pair_end::<$first, Branch<2>>,
            pair_end::<$first, Branch<3>>,
            pair_end::<$first, Branch<8>>,
            pair_end::<$first, Branch<9>>,
            pair_end::<$first, Branch<10>>,
            pair_end::<$first, Branch<11>>,
            pair_end::<$first, Branch<12>>,
            pair_end::<$first, Branch<13>>,
            pair_end::<$first, Jump>,
            pair_end::<$first, Call>,
            pair_end::<$first, Return>,
        ]
    };
    (@row $first:ty) => { row!($first) };
}

/// Number of a `B.cond` that follows a comparison as the second of a pair.
pub(crate) const fn ending(cond: u8) -> u8 {
    match cond {
        0..4 => END + cond,
        8..14 => END + cond - 4,
        _ => NONE,
    }
}
/// Number of `B` as the second of a pair.
pub(crate) const JUMP: u8 = END + 10;
/// Number of `BL` as the second of a pair.
pub(crate) const CALL: u8 = END + 11;
/// Number of `RET` as the second of a pair.
pub(crate) const RETURN: u8 = END + 12;
const LAST: u8 = RETURN;

/// The handler that runs both of two ops, given their numbers.
pub(crate) fn fused(first: u8, second: u8) -> Option<Handler> {
    if first == NONE || first >= END || second == NONE {
        return None;
    }
    let first = usize::from(first) - 1;
    Some(if second < END {
        PAIRS[first][usize::from(second) - 1]
    } else {
        ENDS[first][usize::from(second - END)]
    })
}

parts! {
    ADD_X: Three<Add<true, 4>>,
    ADD_W: Three<Add<false, 4>>,
    ADD_LSL: Three<Add<true, 0>>,
    SUB_X: Three<Sub<true, 4>>,
    AND_X: Three<And<true, 4>>,
    AND_W: Three<And<false, 4>>,
    ORR_X: Three<Orr<true, 4>>,
    EOR_X: Three<Eor<true, 4>>,
    EOR_W: Three<Eor<false, 4>>,
    EOR_LSL: Three<Eor<true, 0>>,
    EOR_LSR: Three<Eor<true, 1>>,
    EOR_ROR: Three<Eor<false, 3>>,
    MOV_X: Two<Mov<true>>,
    MOV_W: Two<Mov<false>>,
    ADD_IMM_X: Two<AddImm<true>>,
    ADD_IMM_W: Two<AddImm<false>>,
    AND_IMM_X: Two<AndImm<true>>,
    AND_IMM_W: Two<AndImm<false>>,
    LSL_X: Two<ShiftImm<true, 0>>,
    LSR_X: Two<ShiftImm<true, 1>>,
    LSR_W: Two<ShiftImm<false, 1>>,
    ROR_W: Two<ShiftImm<false, 3>>,
    CONST: One<Const>,
    CMP_X: Two<Cmp<true>>,
    CMP_W: Two<Cmp<false>>,
    CMP_IMM_X: One<CmpImm<true>>,
    CMP_IMM_W: One<CmpImm<false>>,
    SUBS_IMM_X: Two<SubsImm<true>>,
    LDR_X: Memory<Ldr<3, OFFSET>>,
    LDR_W: Memory<Ldr<2, OFFSET>>,
    LDR_B: Memory<Ldr<0, OFFSET>>,
    STR_X: Memory<Str<3, OFFSET>>,
    STR_W: Memory<Str<2, OFFSET>>,
    STR_B: Memory<Str<0, OFFSET>>,
    LDR_REG_X: Memory<LdrReg<3, 3, 3>>,
    LDR_REG_W: Memory<LdrReg<2, 3, 2>>,
    LDR_REG_B: Memory<LdrReg<0, 3, 0>>,
    STR_REG_W: Memory<StrReg<2, 3, 2>>,
    STR_REG_B: Memory<StrReg<0, 3, 0>>,
    LDP_X: Memory<Ldp<true, OFFSET>>,
    STP_X: Memory<Stp<true, OFFSET>>,
    LDP_POST: Memory<Ldp<true, POST>>,
}
