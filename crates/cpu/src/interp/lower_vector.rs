//! Which ops a floating-point or vector instruction, load or store becomes.

use tuxlet_a64::imm::{fp_imm16, fp_imm32, fp_imm64, ld1_count, simd_imm};
use tuxlet_a64::{self as a64, OpId};

use super::hot::memory::*;
use super::hot::select::KIND_UNKNOWN;
use super::hot::vector::{constant, handler, sets_flags};
use super::lower::{m1, m2, ms, sp, src};
use super::op::Handler;
use super::rows::row;
use super::translate::Block;
use crate::flags::Kind;

/// Ops of the current instruction, of any row.
pub(super) fn lower(b: &mut Block, id: OpId) {
    let word = b.word;
    match id {
        OpId::LdrVecImm | OpId::StrVecImm => {
            let i = a64::LdrVecImm::from_word(word);
            let offset = i32::from(i.imm12) << i.size;
            vector::<OFFSET>(b, id == OpId::LdrVecImm, i.size, i.rt, i.rn, offset);
        }
        OpId::LdurVec | OpId::SturVec => {
            let i = a64::LdurVec::from_word(word);
            vector::<OFFSET>(b, id == OpId::LdurVec, i.size, i.rt, i.rn, i.imm9);
        }
        OpId::LdrVecPost | OpId::StrVecPost => {
            let i = a64::LdrVecPost::from_word(word);
            vector::<POST>(b, id == OpId::LdrVecPost, i.size, i.rt, i.rn, i.imm9);
        }
        OpId::LdrVecPre | OpId::StrVecPre => {
            let i = a64::LdrVecPre::from_word(word);
            vector::<PRE>(b, id == OpId::LdrVecPre, i.size, i.rt, i.rn, i.imm9);
        }
        OpId::LdpVecImm | OpId::StpVecImm | OpId::LdnpVec | OpId::StnpVec => {
            vector_pair::<OFFSET>(b, matches!(id, OpId::LdpVecImm | OpId::LdnpVec));
        }
        OpId::LdpVecPost | OpId::StpVecPost => vector_pair::<POST>(b, id == OpId::LdpVecPost),
        OpId::LdpVecPre | OpId::StpVecPre => vector_pair::<PRE>(b, id == OpId::LdpVecPre),
        OpId::LdrVecReg | OpId::StrVecReg => vector_register(b, id == OpId::LdrVecReg),
        OpId::Ld1Multiple | OpId::St1Multiple if ld1_count(opcode(word)) == 1 => {
            let i = a64::Ld1Multiple::from_word(word);
            vector::<OFFSET>(b, id == OpId::Ld1Multiple, 3 + u8::from(i.q), i.rt, i.rn, 0);
        }
        OpId::Ld1MultiplePost | OpId::St1MultiplePost
            if ld1_count(opcode(word)) == 1 && word >> 16 & 31 == 31 =>
        {
            let i = a64::Ld1Multiple::from_word(word);
            let (load, size) = (id == OpId::Ld1MultiplePost, 3 + u8::from(i.q));
            vector::<POST>(b, load, size, i.rt, i.rn, 1 << size);
        }
        OpId::Movi | OpId::Mvni | OpId::FmovVecImm | OpId::FmovImm => vector_constant(b, id),
        _ => match handler(id, word, b.pins) {
            Some(handler) => {
                b.op(handler, [0; 4], word as i32);
                if sets_flags(id) {
                    b.flags = Kind::Nzcv as u8;
                }
            }
            None => {
                b.generic(id);
                if sets_flags(id) || !row(id).is_some_and(|row| row.vector) {
                    b.flags = KIND_UNKNOWN;
                }
            }
        },
    }
}

/// How many registers an LD1 or ST1 names, encoded.
fn opcode(word: u32) -> u8 {
    (word >> 12 & 15) as u8
}

/// Ops that set a vector register to a constant.
fn vector_constant(b: &mut Block, id: OpId) {
    let word = b.word;
    let (q, rd, value) = match id {
        OpId::Movi => {
            let i = a64::Movi::from_word(word);
            (i.q, i.rd, simd_imm(i.op, i.cmode, i.imm8))
        }
        OpId::Mvni => {
            let i = a64::Mvni::from_word(word);
            (i.q, i.rd, !simd_imm(true, i.cmode, i.imm8))
        }
        OpId::FmovVecImm => {
            let i = a64::FmovVecImm::from_word(word);
            (i.q, i.rd, simd_imm(i.sz, 15, i.imm8))
        }
        _ => {
            let i = a64::FmovImm::from_word(word);
            let value = match i.ftype {
                0 => fp_imm32(i.imm8).into(),
                1 => fp_imm64(i.imm8),
                _ => fp_imm16(i.imm8).into(),
            };
            (false, i.rd, value)
        }
    };
    let handler: Handler = if q {
        constant::<true>
    } else {
        constant::<false>
    };
    b.op(handler, [rd, 0, 0, 0], 0);
    b.data(value);
}

/// A load or store of one SIMD&FP register.
fn vector<const MODE: u8>(b: &mut Block, load: bool, size: u8, rt: u8, rn: u8, offset: i32) {
    let r = [sp(rn), 0, 0, rt];
    match (load, size) {
        (true, 0) => m1::<LdrVec<0, MODE>>(b, r, offset),
        (true, 1) => m1::<LdrVec<1, MODE>>(b, r, offset),
        (true, 2) => m1::<LdrVec<2, MODE>>(b, r, offset),
        (true, 3) => m1::<LdrVec<3, MODE>>(b, r, offset),
        (true, _) => m1::<LdrVec<4, MODE>>(b, r, offset),
        (false, 0) => m1::<StrVec<0, MODE>>(b, r, offset),
        (false, 1) => m1::<StrVec<1, MODE>>(b, r, offset),
        (false, 2) => m1::<StrVec<2, MODE>>(b, r, offset),
        (false, 3) => m1::<StrVec<3, MODE>>(b, r, offset),
        (false, _) => m1::<StrVec<4, MODE>>(b, r, offset),
    }
}

fn vector_pair<const MODE: u8>(b: &mut Block, load: bool) {
    let i = a64::LdpVecImm::from_word(b.word);
    let r = [sp(i.rn), 0, i.rt2, i.rt];
    let offset = i.imm7 << (i.opc + 2);
    match (load, i.opc) {
        (true, 0) => m1::<LdpVec<2, MODE>>(b, r, offset),
        (true, 1) => m1::<LdpVec<3, MODE>>(b, r, offset),
        (true, _) => m1::<LdpVec<4, MODE>>(b, r, offset),
        (false, 0) => m1::<StpVec<2, MODE>>(b, r, offset),
        (false, 1) => m1::<StpVec<3, MODE>>(b, r, offset),
        (false, _) => m1::<StpVec<4, MODE>>(b, r, offset),
    }
}

fn vector_register(b: &mut Block, load: bool) {
    let i = a64::LdrVecReg::from_word(b.word);
    let r = [src(i.rm), sp(i.rn), 0, i.rt];
    match (load, i.option, i.size, i.scaled) {
        (true, 3 | 7, 2, true) => m2::<LdrVecReg<2, 3, 2>>(b, r, 0),
        (true, 3 | 7, 3, false) => m2::<LdrVecReg<3, 3, 0>>(b, r, 0),
        (true, 3 | 7, 3, true) => m2::<LdrVecReg<3, 3, 3>>(b, r, 0),
        (true, 3 | 7, 4, false) => m2::<LdrVecReg<4, 3, 0>>(b, r, 0),
        (true, 3 | 7, 4, true) => ms::<LdrVecReg<4, 3, 4>>(b, r, 0),
        (false, 3 | 7, 2, true) => m2::<StrVecReg<2, 3, 2>>(b, r, 0),
        (false, 3 | 7, 3, false) => m2::<StrVecReg<3, 3, 0>>(b, r, 0),
        (false, 3 | 7, 3, true) => m2::<StrVecReg<3, 3, 3>>(b, r, 0),
        (false, 3 | 7, 4, false) => m2::<StrVecReg<4, 3, 0>>(b, r, 0),
        (false, 3 | 7, 4, true) => ms::<StrVecReg<4, 3, 4>>(b, r, 0),
        (true, 2, 3, true) => ms::<LdrVecReg<3, 2, 3>>(b, r, 0),
        (true, 6, 3, true) => ms::<LdrVecReg<3, 6, 3>>(b, r, 0),
        (true, 2, 2, true) => ms::<LdrVecReg<2, 2, 2>>(b, r, 0),
        (true, 6, 2, true) => ms::<LdrVecReg<2, 6, 2>>(b, r, 0),
        (false, 2, 3, true) => ms::<StrVecReg<3, 2, 3>>(b, r, 0),
        (false, 6, 3, true) => ms::<StrVecReg<3, 6, 3>>(b, r, 0),
        (false, 2, 2, true) => ms::<StrVecReg<2, 2, 2>>(b, r, 0),
        (false, 6, 2, true) => ms::<StrVecReg<2, 6, 2>>(b, r, 0),
        _ => b.generic(if load {
            OpId::LdrVecReg
        } else {
            OpId::StrVecReg
        }),
    }
}
