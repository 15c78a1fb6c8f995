//! Conditions: an op evaluates one to a mask, the next consumes it.

use core::hint::select_unpredictable;

use super::forms;
use crate::cx::Cx;
use crate::flags::{Kind, holds};
use crate::interp::control::evaluate_flags;
use crate::interp::cpu::Cpu;
use crate::interp::op::{Handler, Op, PINNED, SLOT_TRASH, next};
use crate::interp::pinned::{Late, Pinned, slot};

/// What is known at translation time of the flags' kind.
pub(crate) const KIND_UNKNOWN: u8 = 4;

/// Whether `COND` holds, given what is known of the flags' kind. `None` if that is a kind that is rare where it is
/// not known.
#[inline(always)]
pub(crate) fn test<const COND: u8, const KIND: u8>(c: &Pinned) -> Option<bool> {
    let f = c.flags();
    Some(match KIND {
        0 => holds(Kind::Nzcv, COND, f.a, f.b),
        1 => holds(Kind::Sub, COND, f.a, f.b),
        2 => holds(Kind::Add, COND, f.a, f.b),
        3 => holds(Kind::Logic, COND, f.a, f.b),
        _ => match f.kind {
            Kind::Sub => holds(Kind::Sub, COND, f.a, f.b),
            Kind::Nzcv => holds(Kind::Nzcv, COND, f.a, f.b),
            Kind::Add | Kind::Logic => return None,
        },
    })
}

/// Evaluates a condition for the next op.
pub(crate) unsafe extern "C-unwind" fn evaluate<const COND: u8, const KIND: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op and `cpu` this thread's.
    unsafe {
        match test::<COND, KIND>(&c) {
            Some(holds) => {
                (*cpu).mask = u64::from(holds).wrapping_neg();
                next!(ip.add(1), c)
            }
            None => evaluate_flags(ip, cpu, p0, p1, p2, p3),
        }
    }
}

/// The forms that combine the second operand as CSEL, CSINC, CSINV or CSNEG.
#[inline(always)]
fn otherwise<const FORM: u8>(m: u64) -> u64 {
    match FORM {
        0 => m,
        1 => m.wrapping_add(1),
        2 => !m,
        _ => m.wrapping_neg(),
    }
}

forms! { Hot3(d, n, m)
    /// CSEL, CSINC, CSINV, CSNEG by form, after an evaluated condition.
    Select<const SF: bool, const FORM: u8> = |c, _op, d, n, m| {
        // Without a branch, which would often be mispredicted.
        let (a, b) = (c.x(n), otherwise::<FORM>(c.x(m)));
        let r = b ^ ((a ^ b) & c.condition());
        c.set_xw(SF, d, r);
        Ok(())
    };
}

forms! { Hot2(n, m)
    /// CCMP, CCMN (register) after an evaluated condition; the flags otherwise are `imm`.
    CompareReg<const SF: bool, const ADD: bool> = |c, op, n, m| {
        if c.condition() != 0 {
            let (a, b) = (c.xw(SF, n), c.xw(SF, m));
            if ADD { c.flags_add(SF, a, b) } else { c.flags_sub(SF, a, b) }
        } else {
            // SAFETY: the trait's contract.
            c.set_nzcv(unsafe { (*op).imm } as u32);
        }
        Ok(())
    };
}

forms! { Hot1(n)
    /// CCMP, CCMN (immediate in `r[3]`) after an evaluated condition; the flags otherwise are `imm`.
    CompareImm<const SF: bool, const ADD: bool> = |c, op, n| {
        if c.condition() != 0 {
            // SAFETY: the trait's contract.
            let (a, b) = (c.xw(SF, n), u64::from(unsafe { (*op).r[3] }));
            if ADD { c.flags_add(SF, a, b) } else { c.flags_sub(SF, a, b) }
        } else {
            // SAFETY: the trait's contract.
            c.set_nzcv(unsafe { (*op).imm } as u32);
        }
        Ok(())
    };
    /// CSET, CSETM by an evaluated condition.
    Set<const SF: bool, const ALL: bool> = |c, _op, n| {
        let v = c.condition();
        c.set_xw(SF, n, if ALL { v } else { v & 1 });
        Ok(())
    };
}

/// CSEL, CSINC after a comparison, all registers in memory slots.
unsafe extern "C-unwind" fn select_sub<const COND: u8, const SF: bool, const FORM: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Late::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for memory slots.
    unsafe {
        let [_, n, m, _] = (*ip).r;
        let f = c.flags();
        let (a, b) = (
            c.get(slot::<PINNED>(n)),
            otherwise::<FORM>(c.get(slot::<PINNED>(m))),
        );
        let v = select_unpredictable(holds(Kind::Sub, COND, f.a, f.b), a, b);
        c.set_xw(SF, SLOT_TRASH, v);
        next!(c.op.add(1), c)
    }
}

macro_rules! selects {
    ($($cond:literal)*) => {
        [$([
            [select_sub::<$cond, false, 0>, select_sub::<$cond, false, 1>],
            [select_sub::<$cond, true, 0>, select_sub::<$cond, true, 1>],
        ]),*]
    };
}

/// Handlers of CSEL and CSINC where the flags are those of a subtraction and all registers are in memory slots, by
/// condition, size and form.
pub(crate) static SELECT_SUB: [[[Handler; 2]; 2]; 14] = selects!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);

/// CINC after a comparison: CSINC of the same register, which is the result where `COND` holds.
unsafe extern "C-unwind" fn increment_sub<
    const COND: u8,
    const SF: bool,
    const D: u8,
    const N: u8,
>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let f = c.flags();
        let more = u64::from(!holds(Kind::Sub, COND, f.a, f.b));
        let v = c.get(slot::<N>((*ip).r[1])).wrapping_add(more);
        c.set_xw(SF, slot::<D>((*ip).r[0]), v);
        next!(ip.add(1), c)
    }
}

macro_rules! increments {
    ($($cond:literal)*) => {
        [$([increments!(@ $cond, false), increments!(@ $cond, true)]),*]
    };
    (@ $cond:literal, $sf:literal) => {
        [
            increments!(@ $cond, $sf, 0),
            increments!(@ $cond, $sf, 1),
            increments!(@ $cond, $sf, 2),
            increments!(@ $cond, $sf, 3),
            increments!(@ $cond, $sf, 4),
        ]
    };
    (@ $cond:literal, $sf:literal, $d:literal) => {
        [
            increment_sub::<$cond, $sf, $d, 0>,
            increment_sub::<$cond, $sf, $d, 1>,
            increment_sub::<$cond, $sf, $d, 2>,
            increment_sub::<$cond, $sf, $d, 3>,
            increment_sub::<$cond, $sf, $d, 4>,
        ]
    };
}

/// Handlers of CINC where the flags are those of a subtraction, by condition, size and placements.
pub(crate) static INCREMENT_SUB: [[[[Handler; 5]; 5]; 2]; 14] =
    increments!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);

/// CSET after a comparison.
unsafe extern "C-unwind" fn set_sub<const COND: u8, const D: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let f = c.flags();
        let v = holds(Kind::Sub, COND, f.a, f.b);
        c.set(slot::<D>((*ip).r[0]), u64::from(v));
        next!(ip.add(1), c)
    }
}

macro_rules! sets {
    ($($cond:literal)*) => {
        [$([
            set_sub::<$cond, 0>,
            set_sub::<$cond, 1>,
            set_sub::<$cond, 2>,
            set_sub::<$cond, 3>,
            set_sub::<$cond, 4>,
        ]),*]
    };
}

/// Handlers of CSET where the flags are those of a subtraction, by condition and placement.
pub(crate) static SET_SUB: [[Handler; 5]; 14] = sets!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);

macro_rules! conditions {
    ($($cond:literal)*) => {
        [$([
            evaluate::<$cond, 0>,
            evaluate::<$cond, 1>,
            evaluate::<$cond, 2>,
            evaluate::<$cond, 3>,
            evaluate::<$cond, 4>,
        ]),*]
    };
}

/// Handlers of [`evaluate`] by condition and known kind.
pub(crate) static EVALUATE: [[Handler; 5]; 16] = conditions!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
