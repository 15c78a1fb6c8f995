//! What does not complete changes nothing.

use std::collections::BTreeSet;

use tuxlet_a64::{self as a64, OpId};
use tuxlet_cpu::{CpuState, Exit};
use tuxlet_mem::FaultKind;

use crate::guest::{CODE, DATA, DATA_LEN, Guest, Rng};

/// A state in which every register differs from every other.
fn state(rng: &mut Rng) -> CpuState {
    let mut state = CpuState::new();
    for x in &mut state.x {
        *x = rng.next();
    }
    for v in &mut state.v {
        *v = u128::from(rng.next()) << 64 | u128::from(rng.next());
    }
    state.sp = rng.next() & !15;
    state.nzcv = (rng.next() as u32) & 0xf000_0000;
    state
}

/// Words next to allocated ones: every row's instances with one bit changed, and the values that
/// its row refuses.
fn neighbours() -> BTreeSet<u32> {
    let mut rng = Rng(11);
    let mut words = BTreeSet::new();
    for op in OpId::all() {
        for _ in 0..8 {
            let word = a64::arbitrary(op, &mut || rng.next() as u32);
            words.extend((0..32).map(|bit| word ^ 1 << bit));
        }
        let (mask, value) = op.fixed_bits();
        words.extend((0..64).map(|_| rng.next() as u32 & !mask | value));
    }
    words.retain(|&w| !a64::decode(w).is_some_and(OpId::is_done));
    words
}

#[test]
fn words_without_a_row_are_undefined() {
    let words: Vec<u32> = neighbours().into_iter().collect();
    assert!(words.len() > 20_000, "{}", words.len());
    let mut rng = Rng(12);
    let start = CpuState {
        pc: CODE,
        ..state(&mut rng)
    };
    for optimise in [true, false] {
        let guest = Guest::new(optimise, &words);
        let mut thread = guest.thread();
        thread.state = start.clone();
        for (i, &word) in words.iter().enumerate() {
            let pc = CODE + 4 * i as u64;
            thread.state.pc = pc;
            let exit = if i % 16 == 0 {
                thread.run()
            } else {
                thread.step().unwrap_or(Exit::Kicked)
            };
            assert_eq!(exit, Exit::Undefined { word }, "{word:08x}");
            assert_eq!(thread.state.pc, pc);
        }
        thread.state.pc = CODE;
        assert_eq!(thread.state, start);
    }
}

/// EL0 may not execute these although they have rows or are next to some.
#[test]
fn el1_instructions_are_undefined() {
    let words = [
        0x0000_0000, // UDF
        0xd400_0002, // HVC
        0xd400_0003, // SMC
        0xd440_0000, // HLT
        0xd4a0_0001, // DCPS1
        0xd69f_03e0, // ERET
        0xd50b_7620, // DC IVAC needs op1 = 0
        0xd508_7620, // DC IVAC
        0xd508_751f, // IC IALLU
        0xd508_871f, // TLBI VMALLE1
        0xd538_4240, // MRS CurrentEL
        0xd53b_4220, // MRS DAIF
        0xd503_41df, // MSR DAIFSet
        0xd53b_e020, // MRS CNTPCT_EL0
        0xd538_1000, // MRS SCTLR_EL1
    ];
    for word in words {
        let guest = Guest::new(true, &[word]);
        let mut thread = guest.thread();
        assert_eq!(thread.run(), Exit::Undefined { word }, "{word:08x}");
        assert_eq!(thread.state.pc, CODE);
    }
}

/// Loads and stores of one base register whose outcome is defined, with that register.
fn accesses() -> Vec<OpId> {
    OpId::all()
        .filter(|op| {
            let (mask, value) = op.fixed_bits();
            let loads_and_stores =
                mask & 0x0a00_0000 == 0x0a00_0000 && value & 0x0a00_0000 == 0x0800_0000;
            let name = op.name();
            let other = name.ends_with("Lit")
                || name.starts_with("Prf")
                || name.starts_with("Cpy")
                || matches!(name, "Setp" | "Setm" | "Sete");
            loads_and_stores && op.is_done() && !other
        })
        .collect()
}

/// An access that begins in a page and ends in the next, which is not there, changes nothing, in
/// registers (base, both halves of a pair, status) or in memory, and tells the page's start.
#[test]
fn an_access_that_crosses_into_nothing_changes_nothing() {
    let end = DATA + DATA_LEN;
    let mut rng = Rng(13);
    for op in accesses() {
        let mut faults = 0;
        let words: Vec<u32> = (0..60)
            .map(|_| a64::arbitrary(op, &mut || rng.next() as u32))
            .filter(|word| word >> 5 & 31 != 31)
            .collect();
        for optimise in [true, false] {
            let guest = Guest::new(optimise, &words);
            let before = vec![0x5a; 0x100];
            guest.write(end - 0x100, &before);
            let mut thread = guest.thread();
            for (i, &word) in words.iter().enumerate() {
                let (n, m) = ((word >> 5 & 31) as usize, (word >> 16 & 31) as usize);
                let mut start = state(&mut rng);
                if m < 31 {
                    start.x[m] = 0;
                }
                // What must be aligned does not cross, but may be wholly behind the end.
                start.x[n] = match rng.below(3) {
                    0 => end,
                    _ => end - 1 - rng.below(15),
                };
                start.pc = CODE + 4 * i as u64;
                thread.state = start.clone();
                let exit = if optimise {
                    thread.run_once()
                } else {
                    thread.step().unwrap_or(Exit::Kicked)
                };
                let Exit::Fault(fault) = exit else {
                    // It did not cross, or it had to be aligned.
                    guest.write(end - 0x100, &before);
                    continue;
                };
                faults += 1;
                assert_eq!(fault.kind, FaultKind::MapErr);
                assert!(fault.addr >= end || fault.addr < DATA);
                if optimise {
                    // The block may have run on; only instructions that fault first count.
                    if thread.state.pc != start.pc {
                        guest.write(end - 0x100, &before);
                        continue;
                    }
                }
                assert_eq!(thread.state, start, "{}", a64::disassemble(word, 0));
                assert_eq!(
                    guest.read(end - 0x100, 0x100),
                    before,
                    "{}",
                    a64::disassemble(word, 0)
                );
            }
        }
        // A store-exclusive without a monitor does not access memory.
        let never = matches!(op.name(), "Stxr" | "Stlxr" | "Stxp" | "Stlxp");
        assert_eq!(faults == 0, never, "{}", op.name());
    }
}
