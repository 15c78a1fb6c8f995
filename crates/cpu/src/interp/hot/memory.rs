//! Loads and stores.

use super::forms;
use crate::cx::Cx;
use crate::interp::op::Op;
use crate::sem::dpreg::extend;
use crate::sem::ldst::{self, Mode};

/// Immediate of an op as an offset.
#[inline(always)]
unsafe fn offset(op: *const Op) -> i64 {
    // SAFETY: the caller passes the running op.
    unsafe { (*op).imm.into() }
}

/// Addressing mode by number.
pub(crate) const OFFSET: u8 = 0;
/// Addressing mode by number.
pub(crate) const POST: u8 = 1;
/// Addressing mode by number.
pub(crate) const PRE: u8 = 2;

#[inline(always)]
const fn mode(m: u8) -> Mode {
    match m {
        OFFSET => Mode::Offset,
        POST => Mode::Post,
        _ => Mode::Pre,
    }
}

forms! { Hot2(t, n)
    /// LDR, zero-extending.
    Ldr<const SIZE: u8, const MODE: u8> = |c, op, t, n| {
        // SAFETY: the trait's contract.
        let offset = unsafe { offset(op) };
        ldst::ldr(c, t, n, offset, SIZE, mode(MODE))
    };
    /// LDRS.
    Ldrs<const SIZE: u8, const TO32: bool, const MODE: u8> = |c, op, t, n| {
        // SAFETY: the trait's contract.
        let offset = unsafe { offset(op) };
        ldst::ldrs(c, t, n, offset, (SIZE, TO32), mode(MODE))
    };
    /// STR.
    Str<const SIZE: u8, const MODE: u8> = |c, op, t, n| {
        // SAFETY: the trait's contract.
        let offset = unsafe { offset(op) };
        ldst::str(c, t, n, offset, SIZE, mode(MODE))
    };
}

forms! { Hot1(t)
    /// LDR (literal): the address is in the data position.
    LdrLit<const SIZE: u8> data 1 = |c, op, t| {
        // SAFETY: the trait's contract.
        let addr = unsafe { Op::data(op) };
        let v = ldst::load_x(c, addr, SIZE)?;
        c.set_x(t, v);
        Ok(())
    };
    /// LDRSW (literal): the address is in the data position.
    LdrswLit data 1 = |c, op, t| {
        // SAFETY: the trait's contract.
        let addr = unsafe { Op::data(op) };
        let v = ldst::load_signed(c, addr, 2, false)?;
        c.set_x(t, v);
        Ok(())
    };
}

/// Address of a register-offset access: `OPTION` as in the instruction, shifted by `SHIFT`.
#[inline(always)]
fn address<C: Cx, const OPTION: u8, const SHIFT: u8>(c: &C, n: u8, m: u8) -> u64 {
    c.xsp(n).wrapping_add(extend(c.x(m), OPTION, SHIFT))
}

forms! { Hot3(t, n, m)
    /// LDR (register).
    LdrReg<const SIZE: u8, const OPTION: u8, const SHIFT: u8> = |c, _op, t, n, m| {
        let v = ldst::load_x(c, address::<C, OPTION, SHIFT>(c, n, m), SIZE)?;
        c.set_x(t, v);
        Ok(())
    };
    /// LDRS (register).
    LdrsReg<const SIZE: u8, const TO32: bool, const OPTION: u8, const SHIFT: u8> = |c, _op, t, n, m| {
        let v = ldst::load_signed(c, address::<C, OPTION, SHIFT>(c, n, m), SIZE, TO32)?;
        c.set_x(t, v);
        Ok(())
    };
    /// STR (register).
    StrReg<const SIZE: u8, const OPTION: u8, const SHIFT: u8> = |c, _op, t, n, m| {
        let v = c.x(t);
        ldst::store_x(c, address::<C, OPTION, SHIFT>(c, n, m), SIZE, v)
    };
    /// LDP.
    Ldp<const SF: bool, const MODE: u8> = |c, op, t, t2, n| {
        // SAFETY: the trait's contract.
        let offset = unsafe { offset(op) };
        ldst::ldp_pair(c, SF, (t, t2), n, offset, mode(MODE))
    };
    /// STP.
    Stp<const SF: bool, const MODE: u8> = |c, op, t, t2, n| {
        // SAFETY: the trait's contract.
        let offset = unsafe { offset(op) };
        ldst::stp_pair(c, SF, (t, t2), n, offset, mode(MODE))
    };
}

/// Second operand byte of an op: a V register.
#[inline(always)]
unsafe fn vt(op: *const Op) -> u8 {
    // SAFETY: the caller passes the running op.
    unsafe { (*op).r[3] }
}

forms! { Hot1(n)
    /// LDR of V register `r[3]`.
    LdrVec<const SIZE: u8, const MODE: u8> = |c, op, n| {
        // SAFETY: the trait's contract.
        let (offset, t) = unsafe { (offset(op), vt(op)) };
        ldst::ldr_vec(c, t, n, offset, SIZE, mode(MODE))
    };
    /// STR of V register `r[3]`.
    StrVec<const SIZE: u8, const MODE: u8> = |c, op, n| {
        // SAFETY: the trait's contract.
        let (offset, t) = unsafe { (offset(op), vt(op)) };
        ldst::str_vec(c, t, n, offset, SIZE, mode(MODE))
    };
    /// LDP of V registers `r[3]` and `r[2]`, `4 << OPC` bytes each.
    LdpVec<const OPC: u8, const MODE: u8> = |c, op, n| {
        // SAFETY: the trait's contract.
        let (offset, t, t2) = unsafe { (offset(op), vt(op), (*op).r[2]) };
        ldst::ldp_vec(c, OPC, (t, t2), n, offset, mode(MODE))
    };
    /// STP of V registers `r[3]` and `r[2]`, `4 << OPC` bytes each.
    StpVec<const OPC: u8, const MODE: u8> = |c, op, n| {
        // SAFETY: the trait's contract.
        let (offset, t, t2) = unsafe { (offset(op), vt(op), (*op).r[2]) };
        ldst::stp_vec(c, OPC, (t, t2), n, offset, mode(MODE))
    };
}

forms! { Hot2(n, m)
    /// LDR (register) of V register `r[3]`.
    LdrVecReg<const SIZE: u8, const OPTION: u8, const SHIFT: u8> = |c, op, n, m| {
        // SAFETY: the trait's contract.
        let t = unsafe { vt(op) };
        let v = ldst::load_v(c, address::<C, OPTION, SHIFT>(c, n, m), SIZE)?;
        c.set_v(t, v);
        Ok(())
    };
    /// STR (register) of V register `r[3]`.
    StrVecReg<const SIZE: u8, const OPTION: u8, const SHIFT: u8> = |c, op, n, m| {
        // SAFETY: the trait's contract.
        let t = unsafe { vt(op) };
        let v = c.v(t);
        ldst::store_v(c, address::<C, OPTION, SHIFT>(c, n, m), SIZE, v)
    };
}
