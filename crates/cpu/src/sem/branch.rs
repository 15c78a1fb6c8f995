//! Branches and exception-generating instructions (Arm ARM C4.1.94).

use tuxlet_a64 as a64;

use crate::cx::{Cx, Exception, Step};

/// Branches to `offset` bytes from this instruction.
#[inline(always)]
fn jump_by<C: Cx>(c: &mut C, offset: i32) {
    let target = c.pc().wrapping_add(i64::from(offset) as u64);
    c.jump(target);
}

/// Sets the link register to the next instruction.
#[inline(always)]
fn link<C: Cx>(c: &mut C) {
    let next = c.pc().wrapping_add(4);
    c.set_x(30, next);
}

/// B.cond.
#[inline(always)]
pub(crate) fn b_cond<C: Cx>(c: &mut C, i: a64::BCond) -> Step {
    if c.cond(i.cond) {
        jump_by(c, i.imm);
    }
    Ok(())
}

/// BC.cond: a B.cond that is expected to behave consistently.
#[inline(always)]
pub(crate) fn bc_cond<C: Cx>(c: &mut C, i: a64::BcCond) -> Step {
    if c.cond(i.cond) {
        jump_by(c, i.imm);
    }
    Ok(())
}

/// B.
#[inline(always)]
pub(crate) fn b<C: Cx>(c: &mut C, i: a64::B) -> Step {
    jump_by(c, i.imm);
    Ok(())
}

/// BL.
#[inline(always)]
pub(crate) fn bl<C: Cx>(c: &mut C, i: a64::Bl) -> Step {
    link(c);
    jump_by(c, i.imm);
    Ok(())
}

/// CBZ.
#[inline(always)]
pub(crate) fn cbz<C: Cx>(c: &mut C, i: a64::Cbz) -> Step {
    if c.xw(i.sf, i.rt) == 0 {
        jump_by(c, i.imm);
    }
    Ok(())
}

/// CBNZ.
#[inline(always)]
pub(crate) fn cbnz<C: Cx>(c: &mut C, i: a64::Cbnz) -> Step {
    if c.xw(i.sf, i.rt) != 0 {
        jump_by(c, i.imm);
    }
    Ok(())
}

/// TBZ.
#[inline(always)]
pub(crate) fn tbz<C: Cx>(c: &mut C, i: a64::Tbz) -> Step {
    if c.x(i.rt) >> i.bit & 1 == 0 {
        jump_by(c, i.imm);
    }
    Ok(())
}

/// TBNZ.
#[inline(always)]
pub(crate) fn tbnz<C: Cx>(c: &mut C, i: a64::Tbnz) -> Step {
    if c.x(i.rt) >> i.bit & 1 != 0 {
        jump_by(c, i.imm);
    }
    Ok(())
}

/// BR.
#[inline(always)]
pub(crate) fn br<C: Cx>(c: &mut C, i: a64::Br) -> Step {
    let target = c.x(i.rn);
    c.jump(target);
    Ok(())
}

/// BLR.
#[inline(always)]
pub(crate) fn blr<C: Cx>(c: &mut C, i: a64::Blr) -> Step {
    let target = c.x(i.rn);
    link(c);
    c.jump(target);
    Ok(())
}

/// RET.
#[inline(always)]
pub(crate) fn ret<C: Cx>(c: &mut C, i: a64::Ret) -> Step {
    let target = c.x(i.rn);
    c.jump(target);
    Ok(())
}

/// SVC.
#[inline(always)]
pub(crate) fn svc<C: Cx>(c: &mut C, _i: a64::Svc) -> Step {
    Err(c.exception(Exception::Syscall))
}

/// BRK.
#[inline(always)]
pub(crate) fn brk<C: Cx>(c: &mut C, i: a64::Brk) -> Step {
    Err(c.exception(Exception::Breakpoint(i.imm16)))
}
