//! SP alignment checking (Arm ARM D1.8.2), which Linux enables for EL0: a load or store with SP as its base faults
//! while SP is not a multiple of 16.
//!
//! Handlers do not check. SP is aligned whenever they run: where an instruction may leave it misaligned, the translator
//! puts an op behind it that looks, and leaves guest mode if so. While SP is misaligned, instructions run alone.

use core::sync::atomic::Ordering;

use tuxlet_a64::OpId;

use super::control::{catch_up, leave, take_kick};
use super::cpu::Cpu;
use super::op::{Op, SLOT_SP, next};
use super::pinned::Pinned;
use super::vcpu::step;

/// What SP must be a multiple of.
const ALIGNMENT: u64 = 16;

/// Whether SP is misaligned.
#[inline]
pub(crate) fn is_misaligned(cpu: &Cpu) -> bool {
    !cpu.regs[usize::from(SLOT_SP)].is_multiple_of(ALIGNMENT)
}

/// Whether an instruction uses SP as the base of an access that checks its alignment. Prefetches do not.
pub(crate) fn is_checked(id: OpId, word: u32) -> bool {
    let load_or_store = word >> 25 & 0b0101 == 0b0100;
    let literal = word & 0x3b00_0000 == 0x1800_0000;
    // Memory copies and sets: register 31 is not SP, nor allocated.
    let copy_or_set = word & 0x3b20_0c00 == 0x1900_0400;
    let prefetch = matches!(
        id,
        OpId::PrfmImm | OpId::PrfmLit | OpId::PrfmReg | OpId::Prfum
    );
    load_or_store && word >> 5 & 31 == 31 && !literal && !copy_or_set && !prefetch
}

/// Whether an instruction may leave SP misaligned that was aligned before.
pub(crate) fn may_misalign(word: u32) -> bool {
    let (rd, rn) = (word & 31, word >> 5 & 31);
    let imm = |low: u32, bits: u32| u64::from(word >> low & ((1 << bits) - 1));
    // ADD, SUB (immediate).
    if word & 0x3f80_0000 == 0x1100_0000 {
        let amount = imm(10, 12) << (12 * imm(22, 1));
        return rd == 31 && (rn != 31 || !amount.is_multiple_of(ALIGNMENT));
    }
    // AND, ORR, EOR (immediate); ANDS writes XZR.
    if word & 0x1f80_0000 == 0x1200_0000 {
        return rd == 31 && word >> 29 & 3 != 3;
    }
    // ADD, SUB (extended register).
    if word & 0x3fe0_0000 == 0x0b20_0000 {
        return rd == 31;
    }
    if rn != 31 {
        return false;
    }
    // One register, post- or pre-indexed.
    if word & 0x3b20_0400 == 0x3800_0400 {
        return !imm(12, 9).is_multiple_of(ALIGNMENT);
    }
    // A pair, post- or pre-indexed.
    if word & 0x3a80_0000 == 0x2880_0000 {
        let vector = word >> 26 & 1 != 0;
        let scale = match (vector, word >> 30) {
            (true, opc) => 2 + opc,
            (false, 2) => 3,
            (false, _) => 2,
        };
        return !(imm(15, 7) << scale).is_multiple_of(ALIGNMENT);
    }
    // Structures, post-indexed.
    word & 0xbe80_0000 == 0x0c80_0000
}

/// Behind an instruction that may have misaligned SP: ends guest mode if it has.
pub(crate) unsafe extern "C-unwind" fn check(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    if c.get(SLOT_SP).is_multiple_of(ALIGNMENT) {
        // SAFETY: `ip` is the running op, which is not the last one of its block.
        return unsafe { next!(ip.add(1), c) };
    }
    c.store_home();
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe { leave(cpu, ip) }
}

/// Runs instructions alone while SP is misaligned; whether guest mode goes on after that.
#[cold]
pub(crate) fn run_misaligned(cpu: &mut Cpu) -> bool {
    while is_misaligned(cpu) {
        // SAFETY: the kick word lives as long as the `Cpu`.
        if unsafe { &*cpu.kick }.load(Ordering::Relaxed) != 0 && take_kick(cpu) {
            return false;
        }
        catch_up(cpu);
        step(cpu);
        if cpu.exit.is_some() {
            return false;
        }
    }
    true
}
