//! Which ops an instruction becomes. Everything without a case here runs through its generic handler.

use tuxlet_a64::imm::logical_imm;
use tuxlet_a64::{self as a64, OpId};

use super::control;
use super::hot::alu::*;
use super::hot::branch::{
    B_COND, CMP_IMM, CMP_REG, COMPARE_ZERO, SUBS_IMM, TEST_BIT, TST_IMM, TST_REG,
};
use super::hot::frame;
use super::hot::memory::*;
use super::hot::pair;
use super::hot::select::{
    CompareImm, CompareReg, EVALUATE, INCREMENT_SUB, KIND_UNKNOWN, SELECT_SUB, SET_SUB, Select, Set,
};
use super::hot::{
    Hot2, Hot3, Placed1, Placed2, Placed3, Stored3, place, place_base, spilled2, spilled3,
};
use super::lower_memory::{
    pair_offset, register_load, register_signed, register_store, signed, single,
};
use super::lower_vector;
use super::op::{Handler, SLOT_PINNED, SLOT_SP, SLOT_TRASH};
use super::translate::{Block, Source, Then, in_range};
use crate::flags::Kind;

/// `RET`.
const RET: u32 = 0xd65f_03c0;
/// `MOV X29, SP`.
const MOV_FP_SP: u32 = 0x9100_03fd;

/// Slot of a source register; 31 is zero, which is its slot.
#[inline(always)]
pub(super) fn src(r: u8) -> u8 {
    r
}

/// Slot of a destination register; 31 discards.
#[inline(always)]
pub(super) fn dst(r: u8) -> u8 {
    if r == 31 { SLOT_TRASH } else { r }
}

/// Slot of a register of which 31 is the stack pointer.
#[inline(always)]
pub(super) fn sp(r: u8) -> u8 {
    if r == 31 { SLOT_SP } else { r }
}

/// Picks a form by its size flag.
macro_rules! sized {
    ($sf:expr, $h:ident::<$name:ident $(, $arg:tt)*>($b:expr, $r:expr, $imm:expr)) => {
        if $sf {
            $h::<$name<true $(, $arg)*>>($b, $r, $imm)
        } else {
            $h::<$name<false $(, $arg)*>>($b, $r, $imm)
        }
    };
}

#[inline(always)]
fn h1<T: Placed1>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<1>(r);
    b.op(T::HANDLERS[place(r[0])], r, imm);
    if r[0] < SLOT_PINNED {
        b.part(T::PART);
    }
}

#[inline(always)]
pub(super) fn h2<T: Placed2>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<2>(r);
    b.op(T::HANDLERS[place(r[0])][place(r[1])], r, imm);
    if r[0].max(r[1]) < SLOT_PINNED {
        b.part(T::PART);
    }
}

#[inline(always)]
fn h3<T: Placed3>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<3>(r);
    b.op(T::HANDLERS[place(r[0])][place(r[1])][place(r[2])], r, imm);
    if r[0].max(r[1]).max(r[2]) < SLOT_PINNED {
        b.part(T::PART);
    }
}

/// A form of three operands of which only the destination is worth a handler per placement.
#[inline(always)]
fn d3<T: Stored3>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<3>(r);
    b.op(T::STORED[place(r[0])], r, imm);
}

/// A memory access with one operand.
#[inline(always)]
pub(super) fn m1<T: Placed>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<1>(r);
    b.op(T::ONE[place_base(r[0])], r, imm);
}

/// A memory access with two operands.
#[inline(always)]
pub(super) fn m2<T: Placed>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<2>(r);
    b.op(T::TWO[place(r[0])][place_base(r[1])], r, imm);
    if r[0].max(r[1]) < SLOT_PINNED {
        b.part(T::PART);
    }
}

/// A memory access with three operands.
#[inline(always)]
pub(super) fn m3<T: Placed>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<3>(r);
    b.op(T::THREE[place(r[0])][place(r[1])][place_base(r[2])], r, imm);
    if r[0].max(r[1]).max(r[2]) < SLOT_PINNED {
        b.part(T::PART);
    }
}

/// A memory access that is not worth a handler per placement.
#[inline(always)]
pub(super) fn ms<T: Access>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<3>(r);
    b.op(spilled_access::<T>, r, imm);
}

#[inline(always)]
pub(super) fn s2<T: Hot2>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<2>(r);
    b.op(spilled2::<T>, r, imm);
}

#[inline(always)]
pub(super) fn s3<T: Hot3>(b: &mut Block, r: [u8; 4], imm: i32) {
    let r = b.place::<3>(r);
    b.op(spilled3::<T>, r, imm);
}

/// Ops that set a register to a constant.
fn constant(b: &mut Block, rd: u8, v: u64) {
    match i32::try_from(v as i64) {
        Ok(imm) => h1::<Const>(b, [dst(rd), 0, 0, 0], imm),
        Err(_) => {
            h1::<ConstWide>(b, [dst(rd), 0, 0, 0], 0);
            b.data(v);
        }
    }
}

/// Ops of the instruction at `b.pc`. May take following instructions along, and then moves `b.pc`
/// to the last of them.
pub(crate) fn lower(b: &mut Block, source: &Source<'_>, id: OpId) -> Then {
    let (pc, word) = (b.pc, b.word);
    match id {
        // Branches and exceptions.
        OpId::Svc => b.op(control::svc, [0; 4], 0),
        OpId::B => {
            let target = pc.wrapping_add(i64::from(a64::B::from_word(word).imm) as u64);
            if !in_range(target) {
                b.generic(id);
                return Then::End;
            }
            if source.follows(b, target) {
                // Go on with the code there.
                b.pc = target.wrapping_sub(4);
                return Then::Continue;
            }
            b.branch(control::jump, [0; 4], target);
            b.part(pair::JUMP);
            return Then::End;
        }
        OpId::Bl => {
            let target = pc.wrapping_add(i64::from(a64::Bl::from_word(word).imm) as u64);
            if !in_range(target) {
                b.generic(id);
                return Then::End;
            }
            b.branch(control::call, [0; 4], target);
            b.part(pair::CALL);
            b.data(pc.wrapping_add(4));
            return Then::End;
        }
        OpId::Br | OpId::Ret => {
            let rn = b.slot(a64::Br::from_word(word).rn);
            if !b.default_pins {
                b.generic(id);
                return Then::End;
            }
            b.op(INDIRECT[place(rn)], [0, rn, 0, 0], 0);
            if rn < SLOT_PINNED {
                b.part(pair::RETURN);
            }
            return Then::End;
        }
        OpId::Blr => {
            let rn = b.slot(a64::Blr::from_word(word).rn);
            if !b.default_pins {
                b.generic(id);
                return Then::End;
            }
            b.op(INDIRECT_LINK[place(rn)], [0, rn, 0, 0], 0);
            b.data(pc.wrapping_add(4));
            return Then::End;
        }
        OpId::BCond | OpId::BcCond => {
            let i = a64::BCond::from_word(word & !0x10);
            let target = pc.wrapping_add(i64::from(i.imm) as u64);
            if !in_range(target) || i.cond >= 14 {
                b.generic(id);
                return Then::End;
            }
            let handler = B_COND[usize::from(i.cond)][usize::from(b.flags)];
            b.branch(handler, [0; 4], target);
            if b.flags == Kind::Sub as u8 {
                b.part(pair::ending(i.cond));
            }
        }
        OpId::Cbz | OpId::Cbnz => {
            let i = a64::Cbz::from_word(word);
            let target = pc.wrapping_add(i64::from(i.imm) as u64);
            if !in_range(target) {
                b.generic(id);
                return Then::End;
            }
            let not = usize::from(id == OpId::Cbnz);
            let rt = b.slot(src(i.rt));
            let handler = COMPARE_ZERO[usize::from(i.sf)][not][place(rt)];
            b.branch(handler, [rt, 0, 0, 0], target);
        }
        OpId::Tbz | OpId::Tbnz => {
            let i = a64::Tbz::from_word(word);
            let target = pc.wrapping_add(i64::from(i.imm) as u64);
            if !in_range(target) {
                b.generic(id);
                return Then::End;
            }
            let not = usize::from(id == OpId::Tbnz);
            let rt = b.slot(src(i.rt));
            b.branch(TEST_BIT[not][place(rt)], [rt, i.bit, 0, 0], target);
        }

        // Hints, barriers that a single thread does not need ops for.
        OpId::Nop
        | OpId::Hint
        | OpId::Bti
        | OpId::Csdb
        | OpId::Sev
        | OpId::Sevl
        | OpId::PrfmLit
        | OpId::PrfmImm
        | OpId::Prfum
        | OpId::PrfmReg => {}
        OpId::Mrs if word & !0x1f == 0xd53b_d040 => {
            h1::<ReadTpidr>(b, [dst(a64::Mrs::from_word(word).rt), 0, 0, 0], 0);
        }

        // Constants.
        OpId::Adr => {
            let i = a64::Adr::from_word(word);
            constant(b, i.rd, pc.wrapping_add(i64::from(i.imm) as u64));
        }
        OpId::Adrp => {
            let i = a64::Adrp::from_word(word);
            let page = (pc & !0xfff).wrapping_add(i.imm as u64);
            if let Some((OpId::AddImm, next)) = source.next(b) {
                let add = a64::AddImm::from_word(next);
                if add.sf && !add.sh && add.rn == i.rd && add.rd == i.rd && i.rd != 31 {
                    constant(b, i.rd, page.wrapping_add(add.imm12.into()));
                    b.take();
                    return Then::Continue;
                }
            }
            if let Some((OpId::LdrImm, next)) = source.next(b) {
                let ldr = a64::LdrImm::from_word(next);
                if ldr.size == 3 && ldr.rn == i.rd && ldr.rt == i.rd && i.rd != 31 {
                    b.take();
                    b.word = next;
                    m1::<LdrPage>(b, [i.rd, 0, 0, 0], i32::from(ldr.imm12) << 3);
                    b.data(page);
                    return Then::Continue;
                }
            }
            constant(b, i.rd, page);
        }
        OpId::Movz | OpId::Movn => {
            let i = a64::Movz::from_word(word);
            let mut v = u64::from(i.imm16) << (16 * i.hw);
            if id == OpId::Movn {
                v = !v;
            }
            while let Some((OpId::Movk, next)) = source.next(b) {
                let k = a64::Movk::from_word(next);
                if k.rd != i.rd || k.sf != i.sf {
                    break;
                }
                let shift = 16 * (k.hw & 3);
                v = v & !(0xffff << shift) | u64::from(k.imm16) << shift;
                b.take();
            }
            constant(b, i.rd, if i.sf { v } else { v & 0xffff_ffff });
        }
        OpId::Movk => {
            let i = a64::Movk::from_word(word);
            let (r, v) = ([dst(i.rd), 0, 0, 0], i.imm16.into());
            match i.hw & 3 {
                0 => sized!(i.sf, h1::<Movk, 0>(b, r, v)),
                1 => sized!(i.sf, h1::<Movk, 1>(b, r, v)),
                2 => h1::<Movk<true, 2>>(b, r, v),
                _ => h1::<Movk<true, 3>>(b, r, v),
            }
        }

        // Add and subtract.
        OpId::AddImm | OpId::SubImm => {
            let i = a64::AddImm::from_word(word);
            let v = i32::from(i.imm12) << if i.sh { 12 } else { 0 };
            let r = [sp(i.rd), sp(i.rn), 0, 0];
            if v == 0 && i.sf {
                h2::<Mov<true>>(b, r, 0);
            } else {
                let v = if id == OpId::SubImm { -v } else { v };
                sized!(i.sf, h2::<AddImm>(b, r, v));
            }
        }
        OpId::AddsImm => {
            let i = a64::AddsImm::from_word(word);
            let v = i32::from(i.imm12) << if i.sh { 12 } else { 0 };
            if i.rd == 31 {
                sized!(i.sf, h1::<CmnImm>(b, [sp(i.rn), 0, 0, 0], v));
            } else {
                sized!(i.sf, s2::<AddsImm>(b, [i.rd, sp(i.rn), 0, 0], v));
            }
            b.flags = Kind::Add as u8;
        }
        OpId::SubsImm => return subs_imm(b, source),
        OpId::AddShifted
        | OpId::SubShifted
        | OpId::AndShifted
        | OpId::OrrShifted
        | OpId::EorShifted
        | OpId::BicShifted
        | OpId::OrnShifted
        | OpId::EonShifted => {
            shifted(b, id);
        }
        OpId::SubsShifted => return subs_shifted(b, source),
        OpId::AddsShifted => {
            let i = a64::AddsShifted::from_word(word);
            let r = [dst(i.rd), src(i.rn), src(i.rm), i.imm6];
            match i.shift {
                _ if i.imm6 == 0 && i.rd == 31 => {
                    sized!(i.sf, h2::<Cmn>(b, [r[1], r[2], 0, 0], 0));
                }
                _ if i.imm6 == 0 => sized!(i.sf, d3::<Adds, 4>(b, r, 0)),
                0 => sized!(i.sf, s3::<Adds, 0>(b, r, 0)),
                1 => sized!(i.sf, s3::<Adds, 1>(b, r, 0)),
                _ => sized!(i.sf, s3::<Adds, 2>(b, r, 0)),
            }
            b.flags = Kind::Add as u8;
        }
        OpId::AndsShifted => return ands_shifted(b, source),
        OpId::BicsShifted => {
            let i = a64::BicsShifted::from_word(word);
            let r = [dst(i.rd), src(i.rn), src(i.rm), i.imm6];
            match i.shift {
                0 => sized!(i.sf, s3::<Bics, 0>(b, r, 0)),
                1 => sized!(i.sf, s3::<Bics, 1>(b, r, 0)),
                2 => sized!(i.sf, s3::<Bics, 2>(b, r, 0)),
                _ => sized!(i.sf, s3::<Bics, 3>(b, r, 0)),
            }
            b.flags = Kind::Logic as u8;
        }
        OpId::AddExtended | OpId::SubExtended => {
            let i = a64::AddExtended::from_word(word);
            let r = [sp(i.rd), sp(i.rn), src(i.rm), i.imm3];
            match (id, i.option) {
                (OpId::AddExtended, 2) => sized!(i.sf, h3::<AddExtended, 2>(b, r, 0)),
                (OpId::AddExtended, 6) => sized!(i.sf, h3::<AddExtended, 6>(b, r, 0)),
                (OpId::AddExtended, 3 | 7) => sized!(i.sf, h3::<Add, 0>(b, r, 0)),
                (OpId::AddExtended, 0) => sized!(i.sf, d3::<AddExtended, 0>(b, r, 0)),
                (OpId::AddExtended, 1) => sized!(i.sf, d3::<AddExtended, 1>(b, r, 0)),
                (OpId::SubExtended, 2) => sized!(i.sf, d3::<SubExtended, 2>(b, r, 0)),
                (OpId::SubExtended, 6) => sized!(i.sf, d3::<SubExtended, 6>(b, r, 0)),
                (OpId::SubExtended, 3 | 7) => sized!(i.sf, h3::<Sub, 0>(b, r, 0)),
                _ => b.generic(id),
            }
        }
        OpId::SubsExtended => {
            let i = a64::SubsExtended::from_word(word);
            let r = [dst(i.rd), sp(i.rn), src(i.rm), i.option | i.imm3 << 3];
            sized!(i.sf, s3::<SubsExtended>(b, r, 0));
            b.flags = Kind::Sub as u8;
        }
        OpId::Adc => plain(b, s3::<Adc<true>>, s3::<Adc<false>>),
        OpId::Sbc => plain(b, s3::<Sbc<true>>, s3::<Sbc<false>>),

        // Logical with an immediate.
        OpId::AndImm | OpId::OrrImm | OpId::EorImm => {
            let i = a64::AndImm::from_word(word);
            let v = logical_imm(i.sf, i.n, i.imms, i.immr).unwrap_or(0);
            let r = [sp(i.rd), src(i.rn), 0, 0];
            if id == OpId::OrrImm && i.rn == 31 {
                // MOV (bitmask immediate); the destination may be SP.
                match i32::try_from(v as i64) {
                    Ok(imm) => h1::<Const>(b, r, imm),
                    Err(_) => {
                        h1::<ConstWide>(b, r, 0);
                        b.data(v);
                    }
                }
            } else if !i.sf {
                let v = v as i32;
                match id {
                    OpId::AndImm => h2::<AndImm<false>>(b, r, v),
                    OpId::OrrImm => h2::<OrrImm<false>>(b, r, v),
                    _ => h2::<EorImm<false>>(b, r, v),
                }
            } else if let Ok(v) = i32::try_from(v as i64) {
                match id {
                    OpId::AndImm => h2::<AndImm<true>>(b, r, v),
                    OpId::OrrImm => h2::<OrrImm<true>>(b, r, v),
                    _ => h2::<EorImm<true>>(b, r, v),
                }
            } else {
                match id {
                    OpId::AndImm => h2::<AndWide>(b, r, 0),
                    OpId::OrrImm => h2::<OrrWide>(b, r, 0),
                    _ => h2::<EorWide>(b, r, 0),
                }
                b.data(v);
            }
        }
        OpId::AndsImm => return ands_imm(b, source),

        // Bitfields.
        OpId::Ubfm => ubfm(b),
        OpId::Sbfm => sbfm(b),
        OpId::Bfm => bfm(b),
        OpId::Extr => {
            let i = a64::Extr::from_word(word);
            if i.rn == i.rm {
                sized!(
                    i.sf,
                    h2::<ShiftImm, 3>(b, [dst(i.rd), src(i.rn), 0, i.imms], 0)
                );
            } else {
                sized!(
                    i.sf,
                    s3::<Extr>(b, [dst(i.rd), src(i.rn), src(i.rm), i.imms], 0)
                );
            }
        }

        // Conditional select and compare.
        OpId::Csel | OpId::Csinc | OpId::Csinv | OpId::Csneg => select(b, id),
        OpId::CcmpReg | OpId::CcmnReg => {
            let i = a64::CcmpReg::from_word(word);
            evaluate(b, i.cond);
            let (r, nzcv) = ([src(i.rn), src(i.rm), 0, 0], i32::from(i.nzcv) << 28);
            if id == OpId::CcmpReg {
                sized!(i.sf, h2::<CompareReg, false>(b, r, nzcv));
            } else {
                sized!(i.sf, s2::<CompareReg, true>(b, r, nzcv));
            }
            b.flags = KIND_UNKNOWN;
        }
        OpId::CcmpImm | OpId::CcmnImm => {
            let i = a64::CcmpImm::from_word(word);
            evaluate(b, i.cond);
            let (r, nzcv) = ([src(i.rn), 0, 0, i.imm5], i32::from(i.nzcv) << 28);
            if id == OpId::CcmpImm {
                sized!(i.sf, h1::<CompareImm, false>(b, r, nzcv));
            } else {
                sized!(i.sf, h1::<CompareImm, true>(b, r, nzcv));
            }
            b.flags = KIND_UNKNOWN;
        }

        // One, two and three sources.
        OpId::Rbit => {
            let i = a64::Rbit::from_word(word);
            let r = [dst(i.rd), src(i.rn), 0, 0];
            if let Some((OpId::Clz, next)) = source.next(b) {
                let clz = a64::Clz::from_word(next);
                if clz.sf == i.sf && clz.rd == i.rd && clz.rn == i.rd && i.rd != 31 {
                    sized!(i.sf, h2::<TrailingZeros>(b, r, 0));
                    b.take();
                    return Then::Continue;
                }
            }
            sized!(i.sf, s2::<Rbit>(b, r, 0));
        }
        OpId::Rev => {
            let i = a64::Rev::from_word(word);
            sized!(i.sf, h2::<Rev>(b, [dst(i.rd), src(i.rn), 0, 0], 0));
        }
        OpId::Clz => {
            let i = a64::Clz::from_word(word);
            sized!(i.sf, h2::<Clz>(b, [dst(i.rd), src(i.rn), 0, 0], 0));
        }
        OpId::Udiv => plain(b, s3::<Udiv<true>>, s3::<Udiv<false>>),
        OpId::Sdiv => plain(b, s3::<Sdiv<true>>, s3::<Sdiv<false>>),
        OpId::Lslv => plain(b, h3::<Lslv<true>>, d3::<Lslv<false>>),
        OpId::Lsrv => plain(b, h3::<Lsrv<true>>, d3::<Lsrv<false>>),
        OpId::Asrv => plain(b, s3::<Asrv<true>>, s3::<Asrv<false>>),
        OpId::Rorv => plain(b, s3::<Rorv<true>>, s3::<Rorv<false>>),
        OpId::Madd => {
            let i = a64::Madd::from_word(word);
            let r = [dst(i.rd), src(i.rn), src(i.rm), b.slot(src(i.ra))];
            match i.ra {
                31 => sized!(i.sf, h3::<Mul>(b, r, 0)),
                ra if ra == i.rd => sized!(i.sf, h3::<Madd, ADDEND_SAME>(b, r, 0)),
                _ if r[3] >= SLOT_PINNED => sized!(i.sf, s3::<Madd, ADDEND_ANY>(b, r, 0)),
                _ => sized!(i.sf, d3::<Madd, ADDEND_MEMORY>(b, r, 0)),
            }
        }
        OpId::Msub => {
            let i = a64::Msub::from_word(word);
            let r = [dst(i.rd), src(i.rn), src(i.rm), b.slot(src(i.ra))];
            match i.ra {
                ra if ra == i.rd && ra != 31 => sized!(i.sf, d3::<Msub, ADDEND_SAME>(b, r, 0)),
                _ if r[3] >= SLOT_PINNED => sized!(i.sf, s3::<Msub, ADDEND_ANY>(b, r, 0)),
                _ => sized!(i.sf, d3::<Msub, ADDEND_MEMORY>(b, r, 0)),
            }
        }
        OpId::Umaddl => {
            let i = a64::Umaddl::from_word(word);
            let r = [dst(i.rd), src(i.rn), src(i.rm), b.slot(src(i.ra))];
            match i.ra {
                _ if r[3] >= SLOT_PINNED => s3::<Umaddl<ADDEND_ANY>>(b, r, 0),
                _ => d3::<Umaddl<ADDEND_MEMORY>>(b, r, 0),
            }
        }
        OpId::Smaddl => {
            let i = a64::Smaddl::from_word(word);
            let r = [dst(i.rd), src(i.rn), src(i.rm), b.slot(src(i.ra))];
            match i.ra {
                _ if r[3] >= SLOT_PINNED => s3::<Smaddl<ADDEND_ANY>>(b, r, 0),
                _ => d3::<Smaddl<ADDEND_MEMORY>>(b, r, 0),
            }
        }
        OpId::Umulh => {
            let i = a64::Umulh::from_word(word);
            d3::<Umulh>(b, [dst(i.rd), src(i.rn), src(i.rm), 0], 0);
        }
        OpId::Smulh => {
            let i = a64::Smulh::from_word(word);
            s3::<Smulh>(b, [dst(i.rd), src(i.rn), src(i.rm), 0], 0);
        }

        // Loads and stores.
        OpId::LdrImm | OpId::StrImm => {
            let i = a64::LdrImm::from_word(word);
            single::<OFFSET>(
                b,
                id == OpId::LdrImm,
                i.size,
                i.rt,
                i.rn,
                i32::from(i.imm12) << i.size,
            );
        }
        OpId::Ldur | OpId::Stur | OpId::Ldtr | OpId::Sttr => {
            let i = a64::Ldur::from_word(word);
            let load = matches!(id, OpId::Ldur | OpId::Ldtr);
            single::<OFFSET>(b, load, i.size, i.rt, i.rn, i.imm9);
        }
        OpId::LdrPost | OpId::StrPost => {
            let i = a64::LdrPost::from_word(word);
            single::<POST>(b, id == OpId::LdrPost, i.size, i.rt, i.rn, i.imm9);
        }
        OpId::LdrPre | OpId::StrPre => {
            let i = a64::LdrPre::from_word(word);
            single::<PRE>(b, id == OpId::LdrPre, i.size, i.rt, i.rn, i.imm9);
        }
        OpId::LdrsImm => {
            let i = a64::LdrsImm::from_word(word);
            signed(b, i.size, i.to32, i.rt, i.rn, i32::from(i.imm12) << i.size);
        }
        OpId::Ldurs => {
            let i = a64::Ldurs::from_word(word);
            signed(b, i.size, i.to32, i.rt, i.rn, i.imm9);
        }
        OpId::LdrLit => {
            let i = a64::LdrLit::from_word(word);
            let r = [dst(i.rt), 0, 0, 0];
            if i.sf {
                m1::<LdrLit<3>>(b, r, 0);
            } else {
                m1::<LdrLit<2>>(b, r, 0);
            }
            b.data(pc.wrapping_add(i64::from(i.imm) as u64));
        }
        OpId::LdrswLit => {
            let i = a64::LdrswLit::from_word(word);
            m1::<LdrswLit>(b, [dst(i.rt), 0, 0, 0], 0);
            b.data(pc.wrapping_add(i64::from(i.imm) as u64));
        }
        OpId::LdrReg => register_load(b),
        OpId::LdrsReg => register_signed(b),
        OpId::StrReg => register_store(b),
        OpId::LdpImm | OpId::Ldnp => {
            let i = a64::LdpImm::from_word(word);
            let r = [dst(i.rt), dst(i.rt2), sp(i.rn), 0];
            sized!(i.sf, m3::<Ldp, OFFSET>(b, r, pair_offset(i.imm7, i.sf)));
        }
        OpId::StpImm | OpId::Stnp => {
            let i = a64::StpImm::from_word(word);
            let r = [src(i.rt), src(i.rt2), sp(i.rn), 0];
            sized!(i.sf, m3::<Stp, OFFSET>(b, r, pair_offset(i.imm7, i.sf)));
        }
        OpId::LdpPost => {
            let i = a64::LdpPost::from_word(word);
            let r = [dst(i.rt), dst(i.rt2), sp(i.rn), 0];
            if (i.sf, i.rt, i.rt2, i.rn) == (true, 29, 30, 31)
                && b.default_pins
                && matches!(source.next(b), Some((_, RET)))
            {
                // The pair only; the RET keeps its own op.
                b.op(frame::epilogue, r, pair_offset(i.imm7, true));
                return Then::Continue;
            }
            if i.sf {
                m3::<Ldp<true, POST>>(b, r, pair_offset(i.imm7, true));
            } else {
                ms::<Ldp<false, POST>>(b, r, pair_offset(i.imm7, false));
            }
        }
        OpId::StpPre => {
            let i = a64::StpPre::from_word(word);
            let r = [src(i.rt), src(i.rt2), sp(i.rn), 0];
            if (i.sf, i.rt, i.rt2, i.rn) == (true, 29, 30, 31)
                && matches!(source.next(b), Some((_, MOV_FP_SP)))
            {
                // The store only; the move keeps its own op.
                b.op(frame::prologue, r, pair_offset(i.imm7, true));
                return Then::Continue;
            }
            if i.sf {
                m3::<Stp<true, PRE>>(b, r, pair_offset(i.imm7, true));
            } else {
                ms::<Stp<false, PRE>>(b, r, pair_offset(i.imm7, false));
            }
        }
        OpId::LdpPre => {
            let i = a64::LdpPre::from_word(word);
            let r = [dst(i.rt), dst(i.rt2), sp(i.rn), 0];
            sized!(i.sf, ms::<Ldp, PRE>(b, r, pair_offset(i.imm7, i.sf)));
        }
        OpId::StpPost => {
            let i = a64::StpPost::from_word(word);
            let r = [src(i.rt), src(i.rt2), sp(i.rn), 0];
            sized!(i.sf, ms::<Stp, POST>(b, r, pair_offset(i.imm7, i.sf)));
        }
        _ => lower_vector::lower(b, id),
    }
    Then::Continue
}

/// A form with operands rd, rn, rm and nothing else.
fn plain(b: &mut Block, long: fn(&mut Block, [u8; 4], i32), short: fn(&mut Block, [u8; 4], i32)) {
    let i = a64::Udiv::from_word(b.word);
    let r = [dst(i.rd), src(i.rn), src(i.rm), 0];
    if i.sf { long(b, r, 0) } else { short(b, r, 0) }
}

/// The rows of add, subtract and logic on shifted registers that set no flags.
fn shifted(b: &mut Block, id: OpId) {
    let i = a64::AndShifted::from_word(b.word);
    let r = [dst(i.rd), src(i.rn), src(i.rm), i.imm6];
    let kind = if i.imm6 == 0 { 4 } else { i.shift };
    match (id, kind) {
        (OpId::OrrShifted, 4) if i.rn == 31 => sized!(i.sf, h2::<Mov>(b, [r[0], r[2], 0, 0], 0)),
        (OpId::OrnShifted, 4) if i.rn == 31 => sized!(i.sf, h2::<Mvn>(b, [r[0], r[2], 0, 0], 0)),
        (OpId::SubShifted, 4) if i.rn == 31 => sized!(i.sf, h2::<Neg>(b, [r[0], r[2], 0, 0], 0)),
        (OpId::AddShifted, 4) => sized!(i.sf, h3::<Add, 4>(b, r, 0)),
        (OpId::AddShifted, 0) => sized!(i.sf, h3::<Add, 0>(b, r, 0)),
        (OpId::AddShifted, 1) => sized!(i.sf, d3::<Add, 1>(b, r, 0)),
        (OpId::AddShifted, _) => sized!(i.sf, d3::<Add, 2>(b, r, 0)),
        (OpId::SubShifted, 4) => sized!(i.sf, h3::<Sub, 4>(b, r, 0)),
        (OpId::SubShifted, 0) => sized!(i.sf, h3::<Sub, 0>(b, r, 0)),
        (OpId::SubShifted, 1) => sized!(i.sf, d3::<Sub, 1>(b, r, 0)),
        (OpId::SubShifted, _) => sized!(i.sf, d3::<Sub, 2>(b, r, 0)),
        (OpId::AndShifted, 4) => sized!(i.sf, h3::<And, 4>(b, r, 0)),
        (OpId::AndShifted, 0) => sized!(i.sf, d3::<And, 0>(b, r, 0)),
        (OpId::AndShifted, 1) => sized!(i.sf, d3::<And, 1>(b, r, 0)),
        (OpId::AndShifted, 2) => sized!(i.sf, d3::<And, 2>(b, r, 0)),
        (OpId::AndShifted, _) => sized!(i.sf, s3::<And, 3>(b, r, 0)),
        (OpId::OrrShifted, 4) => sized!(i.sf, h3::<Orr, 4>(b, r, 0)),
        (OpId::OrrShifted, 0) => sized!(i.sf, h3::<Orr, 0>(b, r, 0)),
        (OpId::OrrShifted, 1) => sized!(i.sf, d3::<Orr, 1>(b, r, 0)),
        (OpId::OrrShifted, 2) => sized!(i.sf, d3::<Orr, 2>(b, r, 0)),
        (OpId::OrrShifted, _) => sized!(i.sf, s3::<Orr, 3>(b, r, 0)),
        (OpId::EorShifted, 4) => sized!(i.sf, h3::<Eor, 4>(b, r, 0)),
        (OpId::EorShifted, 0) => sized!(i.sf, h3::<Eor, 0>(b, r, 0)),
        (OpId::EorShifted, 1) => sized!(i.sf, h3::<Eor, 1>(b, r, 0)),
        (OpId::EorShifted, 2) => sized!(i.sf, s3::<Eor, 2>(b, r, 0)),
        (OpId::EorShifted, _) => sized!(i.sf, h3::<Eor, 3>(b, r, 0)),
        (OpId::BicShifted, 4) => sized!(i.sf, d3::<Bic, 4>(b, r, 0)),
        (OpId::BicShifted, 0) => sized!(i.sf, s3::<Bic, 0>(b, r, 0)),
        (OpId::BicShifted, 1) => sized!(i.sf, s3::<Bic, 1>(b, r, 0)),
        (OpId::BicShifted, 2) => sized!(i.sf, s3::<Bic, 2>(b, r, 0)),
        (OpId::BicShifted, _) => sized!(i.sf, s3::<Bic, 3>(b, r, 0)),
        (OpId::OrnShifted, 4) => sized!(i.sf, s3::<Orn, 4>(b, r, 0)),
        (OpId::OrnShifted, 0) => sized!(i.sf, s3::<Orn, 0>(b, r, 0)),
        (OpId::OrnShifted, 1) => sized!(i.sf, s3::<Orn, 1>(b, r, 0)),
        (OpId::OrnShifted, 2) => sized!(i.sf, s3::<Orn, 2>(b, r, 0)),
        (OpId::OrnShifted, _) => sized!(i.sf, s3::<Orn, 3>(b, r, 0)),
        (_, 4) => sized!(i.sf, s3::<Eon, 4>(b, r, 0)),
        (_, 0) => sized!(i.sf, s3::<Eon, 0>(b, r, 0)),
        (_, 1) => sized!(i.sf, s3::<Eon, 1>(b, r, 0)),
        (_, 2) => sized!(i.sf, s3::<Eon, 2>(b, r, 0)),
        (_, _) => sized!(i.sf, s3::<Eon, 3>(b, r, 0)),
    }
}

/// The conditional branch behind the current instruction, if that can be fused with it: its
/// condition, where it leads, and whether the flags are used after it.
fn fusible(b: &Block, source: &Source<'_>) -> Option<(usize, u64, usize)> {
    let (OpId::BCond, word) = source.next(b)? else {
        return None;
    };
    let i = a64::BCond::from_word(word);
    let at = b.pc.wrapping_add(4);
    let target = at.wrapping_add(i64::from(i.imm) as u64);
    if i.cond >= 14 || !in_range(target) {
        return None;
    }
    let live = !(source.flags_dead(at.wrapping_add(4)) && source.flags_dead(target));
    Some((usize::from(i.cond), target, usize::from(live)))
}

/// Emits a fused branch op; the current instruction is the comparison.
fn fuse(b: &mut Block, handler: Handler, r: [u8; 4], target: u64, kind: Kind, live: usize) {
    b.branch(handler, r, target);
    b.take();
    b.flags = if live == 1 { kind as u8 } else { KIND_UNKNOWN };
}

fn subs_imm(b: &mut Block, source: &Source<'_>) -> Then {
    let i = a64::SubsImm::from_word(b.word);
    let n = b.slot(sp(i.rn));
    if !i.sh
        && (i.rd == 31 || i.rd == i.rn)
        && let Some((cond, target, live)) = fusible(b, source)
    {
        let [lo, hi] = i.imm12.to_le_bytes();
        let table = if i.rd == 31 { &CMP_IMM } else { &SUBS_IMM };
        let handler = table[cond][usize::from(i.sf)][live][place(n)];
        fuse(b, handler, [n, 0, lo, hi], target, Kind::Sub, live);
        return Then::Continue;
    }
    let v = i32::from(i.imm12) << if i.sh { 12 } else { 0 };
    if i.rd == 31 {
        sized!(i.sf, h1::<CmpImm>(b, [n, 0, 0, 0], v));
    } else {
        sized!(i.sf, h2::<SubsImm>(b, [i.rd, n, 0, 0], v));
    }
    b.flags = Kind::Sub as u8;
    Then::Continue
}

fn subs_shifted(b: &mut Block, source: &Source<'_>) -> Then {
    let i = a64::SubsShifted::from_word(b.word);
    let r = b.place::<3>([dst(i.rd), src(i.rn), src(i.rm), i.imm6]);
    if i.imm6 == 0 && i.rd == 31 {
        if let Some((cond, target, live)) = fusible(b, source)
            && let Some(handlers) = &CMP_REG[cond]
        {
            let handler = handlers[usize::from(i.sf)][live][place(r[1])][place(r[2])];
            fuse(b, handler, [r[1], r[2], 0, 0], target, Kind::Sub, live);
            return Then::Continue;
        }
        sized!(i.sf, h2::<Cmp>(b, [r[1], r[2], 0, 0], 0));
    } else {
        match i.shift {
            _ if i.imm6 == 0 => sized!(i.sf, d3::<Subs, 4>(b, r, 0)),
            0 => sized!(i.sf, s3::<Subs, 0>(b, r, 0)),
            1 => sized!(i.sf, s3::<Subs, 1>(b, r, 0)),
            _ => sized!(i.sf, s3::<Subs, 2>(b, r, 0)),
        }
    }
    b.flags = Kind::Sub as u8;
    Then::Continue
}

fn ands_shifted(b: &mut Block, source: &Source<'_>) -> Then {
    let i = a64::AndsShifted::from_word(b.word);
    let r = b.place::<3>([dst(i.rd), src(i.rn), src(i.rm), i.imm6]);
    if i.imm6 == 0 && i.rd == 31 {
        if let Some((cond @ 0..=1, target, live)) = fusible(b, source) {
            let handler = TST_REG[cond][usize::from(i.sf)][live][place(r[1])][place(r[2])];
            fuse(b, handler, [r[1], r[2], 0, 0], target, Kind::Logic, live);
            return Then::Continue;
        }
        sized!(i.sf, h2::<Tst>(b, [r[1], r[2], 0, 0], 0));
    } else {
        match i.shift {
            _ if i.imm6 == 0 => sized!(i.sf, d3::<Ands, 4>(b, r, 0)),
            0 => sized!(i.sf, s3::<Ands, 0>(b, r, 0)),
            1 => sized!(i.sf, s3::<Ands, 1>(b, r, 0)),
            2 => sized!(i.sf, s3::<Ands, 2>(b, r, 0)),
            _ => sized!(i.sf, s3::<Ands, 3>(b, r, 0)),
        }
    }
    b.flags = Kind::Logic as u8;
    Then::Continue
}

fn ands_imm(b: &mut Block, source: &Source<'_>) -> Then {
    let i = a64::AndsImm::from_word(b.word);
    let v = logical_imm(i.sf, i.n, i.imms, i.immr).unwrap_or(0);
    let n = b.slot(src(i.rn));
    if let (31, Ok(small)) = (i.rd, u16::try_from(v))
        && let Some((cond @ 0..=1, target, live)) = fusible(b, source)
    {
        let [lo, hi] = small.to_le_bytes();
        let handler = TST_IMM[cond][usize::from(i.sf)][live][place(n)];
        fuse(b, handler, [n, 0, lo, hi], target, Kind::Logic, live);
        return Then::Continue;
    }
    let v = if i.sf {
        i32::try_from(v as i64).ok()
    } else {
        Some(v as i32)
    };
    match v {
        Some(v) if i.rd == 31 => sized!(i.sf, h1::<TstImm>(b, [n, 0, 0, 0], v)),
        Some(v) => sized!(i.sf, h2::<AndsImm>(b, [i.rd, n, 0, 0], v)),
        None => b.generic(OpId::AndsImm),
    }
    b.flags = Kind::Logic as u8;
    Then::Continue
}

fn ubfm(b: &mut Block) {
    let i = a64::Ubfm::from_word(b.word);
    let r = [dst(i.rd), src(i.rn), 0, 0];
    let top = if i.sf { 63 } else { 31 };
    if i.imms == top {
        sized!(i.sf, h2::<ShiftImm, 1>(b, [r[0], r[1], 0, i.immr], 0));
    } else if i.imms + 1 == i.immr {
        sized!(i.sf, h2::<ShiftImm, 0>(b, [r[0], r[1], 0, top - i.imms], 0));
    } else if i.immr == 0 && i.imms < 31 {
        h2::<AndImm<true>>(b, r, ((1u32 << (i.imms + 1)) - 1) as i32);
    } else if i.immr == 0 && i.imms == 31 {
        h2::<Mov<false>>(b, r, 0);
    } else {
        let (left, right) = field(i.immr, i.imms, top);
        h2::<ExtractUnsigned>(b, [r[0], r[1], left, right], 0);
    }
}

fn sbfm(b: &mut Block) {
    let i = a64::Sbfm::from_word(b.word);
    let r = [dst(i.rd), src(i.rn), 0, 0];
    let top = if i.sf { 63 } else { 31 };
    match (i.immr, i.imms) {
        (immr, imms) if imms == top => {
            sized!(i.sf, h2::<ShiftImm, 2>(b, [r[0], r[1], 0, immr], 0));
        }
        (0, 7) => sized!(i.sf, h2::<SignExtend, 0>(b, r, 0)),
        (0, 15) => sized!(i.sf, h2::<SignExtend, 1>(b, r, 0)),
        (0, 31) => sized!(i.sf, h2::<SignExtend, 2>(b, r, 0)),
        (immr, imms) => {
            let (left, right) = field(immr, imms, top);
            sized!(i.sf, h2::<ExtractSigned>(b, [r[0], r[1], left, right], 0));
        }
    }
}

/// The shifts, left and then right in 64 bits, that extract a field and put it in its place.
fn field(immr: u8, imms: u8, top: u8) -> (u8, u8) {
    let left = 63 - imms;
    if imms >= immr {
        (left, left + immr)
    } else {
        (left, left - (top + 1 - immr))
    }
}

fn bfm(b: &mut Block) {
    let i = a64::Bfm::from_word(b.word);
    let top = if i.sf { 63 } else { 31 };
    let (width, lsb, by) = if i.imms >= i.immr {
        (i.imms - i.immr + 1, 0, i.immr)
    } else {
        let lsb = top + 1 - i.immr;
        (i.imms + 1, lsb, (64 - lsb) & 63)
    };
    let mask = (u64::MAX >> (64 - width)) << lsb;
    sized!(i.sf, h2::<Insert>(b, [dst(i.rd), src(i.rn), 0, by], 0));
    b.data(mask);
}

/// Emits the op that evaluates a condition for the next.
fn evaluate(b: &mut Block, cond: u8) {
    b.op(
        EVALUATE[usize::from(cond & 15)][usize::from(b.flags)],
        [0; 4],
        0,
    );
}

fn select(b: &mut Block, id: OpId) {
    let i = a64::Csel::from_word(b.word);
    let r = b.place::<3>([dst(i.rd), src(i.rn), src(i.rm), 0]);
    if i.rn == 31 && i.rm == 31 && i.cond < 14 && matches!(id, OpId::Csinc | OpId::Csinv) {
        if id == OpId::Csinc && b.flags == Kind::Sub as u8 {
            b.op(SET_SUB[usize::from(i.cond ^ 1)][place(r[0])], r, 0);
            return;
        }
        evaluate(b, i.cond ^ 1);
        if id == OpId::Csinc {
            h1::<Set<true, false>>(b, r, 0);
        } else {
            sized!(i.sf, h1::<Set, true>(b, r, 0));
        }
        return;
    }
    if b.flags == Kind::Sub as u8
        && i.cond < 14
        && matches!(id, OpId::Csel | OpId::Csinc)
        && r[0].max(r[1]).max(r[2]) < SLOT_PINNED
    {
        let form = usize::from(id == OpId::Csinc);
        b.op(
            SELECT_SUB[usize::from(i.cond)][usize::from(i.sf)][form],
            r,
            0,
        );
        return;
    }
    if b.flags == Kind::Sub as u8 && i.cond < 14 && id == OpId::Csinc && r[1] == r[2] {
        let handlers = &INCREMENT_SUB[usize::from(i.cond)][usize::from(i.sf)];
        b.op(handlers[place(r[0])][place(r[1])], r, 0);
        return;
    }
    evaluate(b, i.cond);
    match id {
        OpId::Csel => sized!(i.sf, h3::<Select, 0>(b, r, 0)),
        OpId::Csinc => sized!(i.sf, h3::<Select, 1>(b, r, 0)),
        OpId::Csinv => sized!(i.sf, d3::<Select, 2>(b, r, 0)),
        _ => sized!(i.sf, d3::<Select, 3>(b, r, 0)),
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
