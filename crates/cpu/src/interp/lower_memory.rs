//! Which ops loads and stores of general registers become.

use tuxlet_a64::{self as a64, OpId};

use super::hot::memory::*;
use super::lower::{dst, m2, m3, ms, sp, src};
use super::translate::Block;

/// Offset in bytes of an access to a pair.
pub(super) fn pair_offset(imm7: i32, sf: bool) -> i32 {
    imm7 << if sf { 3 } else { 2 }
}

/// A load or store of one general register.
pub(super) fn single<const MODE: u8>(
    b: &mut Block,
    load: bool,
    size: u8,
    rt: u8,
    rn: u8,
    offset: i32,
) {
    if load {
        let r = [dst(rt), sp(rn), 0, 0];
        match size {
            0 => m2::<Ldr<0, MODE>>(b, r, offset),
            1 => m2::<Ldr<1, MODE>>(b, r, offset),
            2 => m2::<Ldr<2, MODE>>(b, r, offset),
            _ => m2::<Ldr<3, MODE>>(b, r, offset),
        }
    } else {
        let r = [src(rt), sp(rn), 0, 0];
        match size {
            0 => m2::<Str<0, MODE>>(b, r, offset),
            1 => m2::<Str<1, MODE>>(b, r, offset),
            2 => m2::<Str<2, MODE>>(b, r, offset),
            _ => m2::<Str<3, MODE>>(b, r, offset),
        }
    }
}

/// A sign-extending load.
pub(super) fn signed(b: &mut Block, size: u8, to32: bool, rt: u8, rn: u8, offset: i32) {
    let r = [dst(rt), sp(rn), 0, 0];
    match (size, to32) {
        (0, false) => m2::<Ldrs<0, false, OFFSET>>(b, r, offset),
        (0, true) => m2::<Ldrs<0, true, OFFSET>>(b, r, offset),
        (1, false) => m2::<Ldrs<1, false, OFFSET>>(b, r, offset),
        (1, true) => m2::<Ldrs<1, true, OFFSET>>(b, r, offset),
        _ => m2::<Ldrs<2, false, OFFSET>>(b, r, offset),
    }
}

/// LDR (register).
pub(super) fn register_load(b: &mut Block) {
    let i = a64::LdrReg::from_word(b.word);
    let r = [dst(i.rt), src(i.rm), sp(i.rn), 0];
    match (i.option, i.size, i.scaled) {
        (3 | 7, 0, _) => m3::<LdrReg<0, 3, 0>>(b, r, 0),
        (3 | 7, 1, false) => ms::<LdrReg<1, 3, 0>>(b, r, 0),
        (3 | 7, 1, true) => m3::<LdrReg<1, 3, 1>>(b, r, 0),
        (3 | 7, 2, false) => m3::<LdrReg<2, 3, 0>>(b, r, 0),
        (3 | 7, 2, true) => m3::<LdrReg<2, 3, 2>>(b, r, 0),
        (3 | 7, 3, false) => m3::<LdrReg<3, 3, 0>>(b, r, 0),
        (3 | 7, 3, true) => m3::<LdrReg<3, 3, 3>>(b, r, 0),
        (2, 0, _) => m3::<LdrReg<0, 2, 0>>(b, r, 0),
        (2, 1, true) => ms::<LdrReg<1, 2, 1>>(b, r, 0),
        (2, 2, true) => m3::<LdrReg<2, 2, 2>>(b, r, 0),
        (2, 3, true) => m3::<LdrReg<3, 2, 3>>(b, r, 0),
        (6, 0, _) => m3::<LdrReg<0, 6, 0>>(b, r, 0),
        (6, 1, true) => ms::<LdrReg<1, 6, 1>>(b, r, 0),
        (6, 2, true) => m3::<LdrReg<2, 6, 2>>(b, r, 0),
        (6, 3, true) => m3::<LdrReg<3, 6, 3>>(b, r, 0),
        _ => b.generic(OpId::LdrReg),
    }
}

/// LDRS (register).
pub(super) fn register_signed(b: &mut Block) {
    let i = a64::LdrsReg::from_word(b.word);
    let r = [dst(i.rt), src(i.rm), sp(i.rn), 0];
    match (i.option, i.size, i.to32, i.scaled) {
        (3 | 7, 2, _, true) => m3::<LdrsReg<2, false, 3, 2>>(b, r, 0),
        (3 | 7, 1, true, true) => m3::<LdrsReg<1, true, 3, 1>>(b, r, 0),
        (3 | 7, 1, false, true) => ms::<LdrsReg<1, false, 3, 1>>(b, r, 0),
        (3 | 7, 0, true, _) => ms::<LdrsReg<0, true, 3, 0>>(b, r, 0),
        (3 | 7, 0, false, _) => ms::<LdrsReg<0, false, 3, 0>>(b, r, 0),
        (2, 2, _, true) => ms::<LdrsReg<2, false, 2, 2>>(b, r, 0),
        (6, 2, _, true) => ms::<LdrsReg<2, false, 6, 2>>(b, r, 0),
        (2, 1, true, true) => ms::<LdrsReg<1, true, 2, 1>>(b, r, 0),
        (6, 1, true, true) => ms::<LdrsReg<1, true, 6, 1>>(b, r, 0),
        _ => b.generic(OpId::LdrsReg),
    }
}

/// STR (register).
pub(super) fn register_store(b: &mut Block) {
    let i = a64::StrReg::from_word(b.word);
    let r = [src(i.rt), src(i.rm), sp(i.rn), 0];
    match (i.option, i.size, i.scaled) {
        (3 | 7, 0, _) => m3::<StrReg<0, 3, 0>>(b, r, 0),
        (3 | 7, 1, false) => ms::<StrReg<1, 3, 0>>(b, r, 0),
        (3 | 7, 1, true) => m3::<StrReg<1, 3, 1>>(b, r, 0),
        (3 | 7, 2, false) => ms::<StrReg<2, 3, 0>>(b, r, 0),
        (3 | 7, 2, true) => m3::<StrReg<2, 3, 2>>(b, r, 0),
        (3 | 7, 3, false) => m3::<StrReg<3, 3, 0>>(b, r, 0),
        (3 | 7, 3, true) => m3::<StrReg<3, 3, 3>>(b, r, 0),
        (2, 0, _) => ms::<StrReg<0, 2, 0>>(b, r, 0),
        (2, 1, true) => ms::<StrReg<1, 2, 1>>(b, r, 0),
        (2, 2, true) => ms::<StrReg<2, 2, 2>>(b, r, 0),
        (2, 3, true) => ms::<StrReg<3, 2, 3>>(b, r, 0),
        (6, 0, _) => ms::<StrReg<0, 6, 0>>(b, r, 0),
        (6, 1, true) => ms::<StrReg<1, 6, 1>>(b, r, 0),
        (6, 2, true) => ms::<StrReg<2, 6, 2>>(b, r, 0),
        (6, 3, true) => ms::<StrReg<3, 6, 3>>(b, r, 0),
        _ => b.generic(OpId::StrReg),
    }
}
