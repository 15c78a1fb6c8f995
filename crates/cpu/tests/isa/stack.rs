//! SP alignment checking (Arm ARM D1.8.2), which qemu-user leaves out.

use tuxlet_a64::{self as a64, OpId};
use tuxlet_cpu::Exit;

use crate::guest::{BRK, CODE, DATA, Guest, Rng, both};

/// `LDR X9, [SP]`.
const LDR_SP: u32 = 0xf940_03e9;

/// All rows that access memory through a base register.
fn accesses() -> impl Iterator<Item = OpId> {
    OpId::all().filter(|op| {
        let (mask, value) = op.fixed_bits();
        let group = value >> 25 & 0b0101 == 0b0100 && mask >> 25 & 0b0101 == 0b0101;
        let literal = value & 0x3b00_0000 == 0x1800_0000;
        op.is_done() && group && !literal && op.feature() != a64::Feature::Mops
    })
}

/// A word of the row with SP as its base, if it can have one.
fn through_sp(op: OpId, rng: &mut Rng) -> Option<u32> {
    (0..100).find_map(|_| {
        let word = a64::arbitrary(op, &mut || rng.next() as u32) | 31 << 5;
        (a64::decode(word) == Some(op)).then_some(word)
    })
}

#[test]
fn every_access_checks_and_prefetches_do_not() {
    let mut rng = Rng(71);
    let mut rows = 0;
    for op in accesses() {
        let Some(word) = through_sp(op, &mut rng) else {
            panic!("{} never has SP as its base", op.name());
        };
        rows += 1;
        let text = a64::disassemble(word, 0);
        both(&[word, BRK], |guest| {
            for misalignment in [1, 8, 15] {
                let mut thread = guest.thread();
                thread.state.x.fill(64);
                thread.state.sp = DATA + 0x1000 + misalignment;
                let start = thread.state.clone();
                for step in [false, true] {
                    thread.state = start.clone();
                    let exit = if step {
                        thread.step()
                    } else {
                        Some(thread.run())
                    };
                    if op.name().starts_with("Prf") {
                        assert_ne!(exit, Some(Exit::MisalignedStack), "{text}");
                    } else {
                        assert_eq!(exit, Some(Exit::MisalignedStack), "{text}");
                        assert_eq!(thread.state, start, "{text}");
                    }
                }
            }
            // The same access is no error when SP is aligned.
            let mut thread = guest.thread();
            thread.state.x.fill(64);
            assert_ne!(thread.run(), Exit::MisalignedStack, "{text}");
        });
    }
    assert!(rows > 100, "{rows}");
}

/// Whatever an instruction does to SP, the next access through it knows.
#[test]
fn every_way_to_misalign_is_seen() {
    let mut rng = Rng(72);
    let mut misaligned = 0;
    let guest = Guest::new(false, &[BRK]);
    for op in OpId::all().filter(|op| op.is_done()) {
        for _ in 0..12 {
            // The destination, or the base that is written back, is often SP.
            let mut word = a64::arbitrary(op, &mut || rng.next() as u32);
            for (bits, low) in [(31 << 5, 4), (31, 2)] {
                if rng.below(low) != 0 && a64::decode(word | bits) == Some(op) {
                    word |= bits;
                }
            }
            let mut values = [0; 31];
            values.fill_with(|| DATA + 0x4000 + rng.below(256));
            let sp = DATA + 0x8000 + 16 * rng.below(16);
            guest.write(CODE, &word.to_le_bytes());
            let mut alone = guest.thread();
            alone.state.x = values;
            alone.state.sp = sp;
            // Where SP went elsewhere, the access may fault.
            if alone.step().is_some()
                || alone.state.pc != CODE + 4
                || alone.state.sp == sp
                || alone.state.sp.abs_diff(sp) > 0x7000
            {
                continue;
            }
            let want = if alone.state.sp.is_multiple_of(16) {
                Exit::Breakpoint(0)
            } else {
                misaligned += 1;
                Exit::MisalignedStack
            };
            for optimise in [true, false] {
                let guest = Guest::new(optimise, &[word, LDR_SP, BRK]);
                let mut thread = guest.thread();
                thread.state.x = values;
                thread.state.sp = sp;
                assert_eq!(thread.run(), want, "{}", a64::disassemble(word, 0));
            }
        }
    }
    assert!(misaligned > 100, "{misaligned}");
}

/// A misaligned SP is no error while nothing is accessed through it.
#[test]
fn execution_goes_on_and_is_aligned_again() {
    let code = [
        0xd100_23ff,                                            // sub sp, sp, #8
        0x9100_0400,                                            // add x0, x0, #1
        0xf100_0421,                                            // subs x1, x1, #1
        0x5400_0000 | ((-8i32 / 4) as u32 & 0x7_ffff) << 5 | 1, // b.ne -8
        0xf900_0040,                                            // str x0, [x2]
        0x9100_23ff,                                            // add sp, sp, #8
        0xa9bf_7fe0,                                            // stp x0, xzr, [sp, #-16]!
        0xa8c1_27e8,                                            // ldp x8, x9, [sp], #16
        BRK,
    ];
    both(&code, |guest| {
        let mut thread = guest.thread();
        thread.state.x[1] = 1000;
        thread.state.x[2] = DATA;
        let sp = thread.state.sp;
        // A kick in between loses nothing.
        thread.kick();
        thread.finish();
        assert_eq!(thread.state.x[0], 1000);
        assert_eq!(thread.state.x[8..10], [1000, 0]);
        assert_eq!(thread.state.sp, sp);
    });
}
