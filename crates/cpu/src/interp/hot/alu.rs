//! Data processing.

use tuxlet_a64 as a64;

use super::{forms, pair};
use crate::interp::op::{Op, PINNED};
use crate::interp::pinned::slot;
use crate::sem;
use crate::sem::dpimm;

/// Immediate of an op.
#[inline(always)]
unsafe fn imm(op: *const Op) -> i32 {
    // SAFETY: the caller passes the running op.
    unsafe { (*op).imm }
}

/// Fourth operand byte of an op: a shift amount or an unplaced slot.
#[inline(always)]
unsafe fn r3(op: *const Op) -> u8 {
    // SAFETY: the caller passes the running op.
    unsafe { (*op).r[3] }
}

/// The addend is in a slot in memory.
pub(crate) const ADDEND_MEMORY: u8 = 0;
/// The addend is the destination.
pub(crate) const ADDEND_SAME: u8 = 1;
/// The addend is in any slot, where no register is pinned.
pub(crate) const ADDEND_ANY: u8 = 2;

/// Slot of the addend of a multiplication to slot `d`.
///
/// # Safety
/// `op` must have been emitted for this kind.
#[inline(always)]
unsafe fn addend<const KIND: u8>(op: *const Op, d: u8) -> u8 {
    // SAFETY: the caller's promise.
    unsafe {
        match KIND {
            ADDEND_MEMORY => slot::<PINNED>(r3(op)),
            ADDEND_SAME => d,
            _ => r3(op),
        }
    }
}

macro_rules! shifted {
    ($($name:ident $row:ident $sem:ident [$($sf:literal $kind:literal $part:ident),*];)*) => {
        forms! { Hot3(d, n, m)
            $(
                /// The register form with a shift of kind `KIND`; 4 means no shift.
                $name<const SF: bool, const KIND: u8> part(match (SF, KIND) {
                    $(($sf, $kind) => pair::$part,)*
                    _ => pair::NONE,
                }) = |c, op, d, n, m| {
                    let (shift, imm6) = if KIND == 4 {
                        (0, 0)
                    } else {
                        // SAFETY: the trait's contract; the translator emits amounts below the
                        // register size.
                        (KIND, unsafe { r3(op) } & if SF { 63 } else { 31 })
                    };
                    sem::$sem(c, a64::$row { sf: SF, rd: d, rn: n, rm: m, shift, imm6 })
                };
            )*
        }
    };
}
shifted! {
    Add AddShifted add_shifted [true 4 ADD_X, false 4 ADD_W, true 0 ADD_LSL];
    Sub SubShifted sub_shifted [true 4 SUB_X];
    And AndShifted and_shifted [true 4 AND_X, false 4 AND_W];
    Orr OrrShifted orr_shifted [true 4 ORR_X];
    Eor EorShifted eor_shifted [true 4 EOR_X, false 4 EOR_W, true 0 EOR_LSL, true 1 EOR_LSR, false 3 EOR_ROR];
    Bic BicShifted bic_shifted [];
    Orn OrnShifted orn_shifted [];
    Eon EonShifted eon_shifted [];
    Adds AddsShifted adds_shifted [];
    Subs SubsShifted subs_shifted [];
    Ands AndsShifted ands_shifted [];
    Bics BicsShifted bics_shifted [];
}

macro_rules! plain3 {
    ($($name:ident $row:ident $sem:ident;)*) => {
        forms! { Hot3(d, n, m)
            $(
                /// The two-source form.
                $name<const SF: bool> = |c, _op, d, n, m| {
                    sem::$sem(c, a64::$row { sf: SF, rd: d, rn: n, rm: m })
                };
            )*
        }
    };
}
plain3! {
    Lslv Lslv lslv;
    Lsrv Lsrv lsrv;
    Asrv Asrv asrv;
    Rorv Rorv rorv;
    Udiv Udiv udiv;
    Sdiv Sdiv sdiv;
    Adc Adc adc;
    Sbc Sbc sbc;
}

forms! { Hot3(d, n, m)
    /// ADD (extended register) by option, shift in `r[3]`.
    AddExtended<const SF: bool, const OPTION: u8> = |c, op, d, n, m| {
        // SAFETY: the trait's contract.
        let imm3 = unsafe { r3(op) } & 7;
        sem::add_extended(c, a64::AddExtended { sf: SF, rd: d, rn: n, rm: m, option: OPTION, imm3 })
    };
    /// SUB (extended register) by option, shift in `r[3]`.
    SubExtended<const SF: bool, const OPTION: u8> = |c, op, d, n, m| {
        // SAFETY: the trait's contract.
        let imm3 = unsafe { r3(op) } & 7;
        sem::sub_extended(c, a64::SubExtended { sf: SF, rd: d, rn: n, rm: m, option: OPTION, imm3 })
    };
    /// SUBS (extended register): option in bits 2 to 0 of `r[3]`, shift above.
    SubsExtended<const SF: bool> = |c, op, d, n, m| {
        // SAFETY: the trait's contract.
        let r3 = unsafe { r3(op) };
        let (option, imm3) = (r3 & 7, r3 >> 3);
        sem::subs_extended(c, a64::SubsExtended { sf: SF, rd: d, rn: n, rm: m, option, imm3 })
    };
    /// MUL.
    Mul<const SF: bool> = |c, _op, d, n, m| {
        let r = c.x(n).wrapping_mul(c.x(m));
        c.set_xw(SF, d, r);
        Ok(())
    };
    /// MADD; the addend is in `r[3]`.
    Madd<const SF: bool, const ADDEND: u8> = |c, op, d, n, m| {
        // SAFETY: the trait's contract.
        let a = unsafe { addend::<ADDEND>(op, d) };
        sem::madd(c, a64::Madd { sf: SF, rd: d, rn: n, rm: m, ra: a })
    };
    /// MSUB; the minuend is in `r[3]`.
    Msub<const SF: bool, const ADDEND: u8> = |c, op, d, n, m| {
        // SAFETY: the trait's contract.
        let a = unsafe { addend::<ADDEND>(op, d) };
        sem::msub(c, a64::Msub { sf: SF, rd: d, rn: n, rm: m, ra: a })
    };
    /// UMADDL; the addend is in `r[3]`.
    Umaddl<const ADDEND: u8> = |c, op, d, n, m| {
        // SAFETY: the trait's contract.
        let a = unsafe { addend::<ADDEND>(op, d) };
        sem::umaddl(c, a64::Umaddl { rd: d, rn: n, rm: m, ra: a })
    };
    /// SMADDL; the addend is in `r[3]`.
    Smaddl<const ADDEND: u8> = |c, op, d, n, m| {
        // SAFETY: the trait's contract.
        let a = unsafe { addend::<ADDEND>(op, d) };
        sem::smaddl(c, a64::Smaddl { rd: d, rn: n, rm: m, ra: a })
    };
    /// UMULH.
    Umulh = |c, _op, d, n, m| sem::umulh(c, a64::Umulh { rd: d, rn: n, rm: m });
    /// SMULH.
    Smulh = |c, _op, d, n, m| sem::smulh(c, a64::Smulh { rd: d, rn: n, rm: m });
    /// EXTR; the amount is `r[3]`.
    Extr<const SF: bool> = |c, op, d, n, m| {
        // SAFETY: the trait's contract.
        let imms = unsafe { r3(op) };
        sem::extr(c, a64::Extr { sf: SF, n: SF, rd: d, rn: n, rm: m, imms })
    };
}

forms! { Hot2(n, m)
    /// CMP (register).
    Cmp<const SF: bool> part(if SF { pair::CMP_X } else { pair::CMP_W }) = |c, _op, n, m| {
        let (a, b) = (c.xw(SF, n), c.xw(SF, m));
        c.flags_sub(SF, a, b);
        Ok(())
    };
    /// CMN (register).
    Cmn<const SF: bool> = |c, _op, n, m| {
        let (a, b) = (c.xw(SF, n), c.xw(SF, m));
        c.flags_add(SF, a, b);
        Ok(())
    };
    /// TST (register).
    Tst<const SF: bool> = |c, _op, n, m| {
        let r = c.xw(SF, n) & c.x(m);
        c.flags_logic(SF, r);
        Ok(())
    };
}

forms! { Hot1(n)
    /// CMP (immediate).
    CmpImm<const SF: bool> part(if SF { pair::CMP_IMM_X } else { pair::CMP_IMM_W }) = |c, op, n| {
        // SAFETY: the trait's contract.
        let (a, b) = (c.xw(SF, n), unsafe { imm(op) } as u32);
        c.flags_sub(SF, a, b.into());
        Ok(())
    };
    /// CMN (immediate).
    CmnImm<const SF: bool> = |c, op, n| {
        // SAFETY: the trait's contract.
        let (a, b) = (c.xw(SF, n), unsafe { imm(op) } as u32);
        c.flags_add(SF, a, b.into());
        Ok(())
    };
    /// TST with a sign-extended immediate.
    TstImm<const SF: bool> = |c, op, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as i64 as u64;
        let r = c.xw(SF, n) & v;
        c.flags_logic(SF, r);
        Ok(())
    };
}

forms! { Hot2(d, n)
    /// ADD, SUB (immediate), the immediate signed.
    AddImm<const SF: bool> part(if SF { pair::ADD_IMM_X } else { pair::ADD_IMM_W }) = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as i64 as u64;
        dpimm::add_value(c, SF, d, n, v)
    };
    /// ADDS (immediate).
    AddsImm<const SF: bool> = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as u32;
        dpimm::adds_value(c, SF, d, n, v.into())
    };
    /// SUBS (immediate).
    SubsImm<const SF: bool> part(if SF { pair::SUBS_IMM_X } else { pair::NONE }) = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as u32;
        dpimm::subs_value(c, SF, d, n, v.into())
    };
    /// AND with a sign-extended immediate.
    AndImm<const SF: bool> part(if SF { pair::AND_IMM_X } else { pair::AND_IMM_W }) = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as i64 as u64;
        dpimm::and_value(c, SF, d, n, v)
    };
    /// ORR with a sign-extended immediate.
    OrrImm<const SF: bool> = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as i64 as u64;
        dpimm::orr_value(c, SF, d, n, v)
    };
    /// EOR with a sign-extended immediate.
    EorImm<const SF: bool> = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as i64 as u64;
        dpimm::eor_value(c, SF, d, n, v)
    };
    /// ANDS with a sign-extended immediate.
    AndsImm<const SF: bool> = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as i64 as u64;
        dpimm::ands_value(c, SF, d, n, v)
    };
    /// AND with any immediate.
    AndWide data 1 = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { Op::data(op) };
        dpimm::and_value(c, true, d, n, v)
    };
    /// ORR with any immediate.
    OrrWide data 1 = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { Op::data(op) };
        dpimm::orr_value(c, true, d, n, v)
    };
    /// EOR with any immediate.
    EorWide data 1 = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let v = unsafe { Op::data(op) };
        dpimm::eor_value(c, true, d, n, v)
    };
    /// MOV (register).
    Mov<const SF: bool> part(if SF { pair::MOV_X } else { pair::MOV_W }) = |c, _op, d, n| {
        let v = c.x(n);
        c.set_xw(SF, d, v);
        Ok(())
    };
    /// MVN (register).
    Mvn<const SF: bool> = |c, _op, d, n| {
        let v = !c.x(n);
        c.set_xw(SF, d, v);
        Ok(())
    };
    /// NEG (register).
    Neg<const SF: bool> = |c, _op, d, n| {
        let v = c.x(n).wrapping_neg();
        c.set_xw(SF, d, v);
        Ok(())
    };
    /// LSL, LSR, ASR, ROR (immediate) by kind.
    ShiftImm<const SF: bool, const KIND: u8> part(match (SF, KIND) {
        (true, 0) => pair::LSL_X,
        (true, 1) => pair::LSR_X,
        (false, 1) => pair::LSR_W,
        (false, 3) => pair::ROR_W,
        _ => pair::NONE,
    }) = |c, op, d, n| {
        // SAFETY: the trait's contract; amounts are below the register size.
        let by = unsafe { r3(op) } & if SF { 63 } else { 31 };
        let v = sem::dpreg::shift(SF, c.x(n), KIND, by);
        c.set_x(d, v);
        Ok(())
    };
    /// UBFX, UBFIZ: left by `r[2]`, then right by `r[3]`, in 64 bits.
    ExtractUnsigned = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let [_, _, left, right] = unsafe { (*op).r };
        let v = c.x(n) << (left & 63) >> (right & 63);
        c.set_x(d, v);
        Ok(())
    };
    /// SBFX, SBFIZ: left by `r[2]`, then right by `r[3]`, in 64 bits.
    ExtractSigned<const SF: bool> = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let [_, _, left, right] = unsafe { (*op).r };
        let v = (c.x(n) << (left & 63)) as i64 >> (right & 63);
        c.set_xw(SF, d, v as u64);
        Ok(())
    };
    /// SXTB, SXTH, SXTW by log2 of the size.
    SignExtend<const SF: bool, const SIZE: u8> = |c, _op, d, n| {
        let v = c.x(n);
        let v = match SIZE {
            0 => v as i8 as u64,
            1 => v as i16 as u64,
            _ => v as i32 as u64,
        };
        c.set_xw(SF, d, v);
        Ok(())
    };
    /// BFI, BFXIL: the field, rotated right by `r[3]`, replaces the bits of the mask.
    Insert<const SF: bool> data 1 = |c, op, d, n| {
        // SAFETY: the trait's contract.
        let (mask, by) = unsafe { (Op::data(op), r3(op)) };
        let field = c.x(n).rotate_right((by & 63).into());
        let old = c.x(d);
        let v = old ^ (old ^ field) & mask;
        c.set_xw(SF, d, v);
        Ok(())
    };
    /// RBIT.
    Rbit<const SF: bool> = |c, _op, d, n| sem::rbit(c, a64::Rbit { sf: SF, rd: d, rn: n });
    /// REV.
    Rev<const SF: bool> = |c, _op, d, n| sem::rev(c, a64::Rev { sf: SF, rd: d, rn: n, opc0: SF });
    /// RBIT and then CLZ: the number of trailing zeros.
    TrailingZeros<const SF: bool> = |c, _op, d, n| {
        let v = c.xw(SF, n);
        let v = if SF { v.trailing_zeros() } else { (v as u32).trailing_zeros() };
        c.set_x(d, v.into());
        Ok(())
    };
    /// CLZ.
    Clz<const SF: bool> = |c, _op, d, n| sem::clz(c, a64::Clz { sf: SF, rd: d, rn: n });
}

forms! { Hot1(d)
    /// A constant that is a sign-extended word.
    Const part(pair::CONST) = |c, op, d| {
        // SAFETY: the trait's contract.
        let v = unsafe { imm(op) } as i64 as u64;
        c.set_x(d, v);
        Ok(())
    };
    /// Any constant.
    ConstWide data 1 = |c, op, d| {
        // SAFETY: the trait's contract.
        let v = unsafe { Op::data(op) };
        c.set_x(d, v);
        Ok(())
    };
    /// MOVK: half-word `HW`.
    Movk<const SF: bool, const HW: u8> = |c, op, d| {
        // A whole word, although the upper half is 0: of an insertion of 16 bits LLVM makes a move to the lower part of
        // the host register, and then takes bits 63 to 32 for cleared.
        // SAFETY: the trait's contract.
        let v = u64::from(unsafe { imm(op) } as u32) << (16 * HW);
        let r = c.x(d) & !(0xffff << (16 * HW)) | v;
        c.set_xw(SF, d, r);
        Ok(())
    };
    /// MRS of TPIDR_EL0.
    ReadTpidr = |c, _op, d| {
        let v = c.tpidr();
        c.set_x(d, v);
        Ok(())
    };
}
