//! Memory copy and memory set.

use tuxlet_a64 as a64;
use tuxlet_cpu::Exit;
use tuxlet_mem::{Access, FaultKind, MapRequest, Placement, Prot};

use crate::guest::{BRK, CODE, DATA, DATA_LEN, Guest, Rng, both};

const NZCV: u32 = 0xf000_0000;

/// CPYP, CPYM, CPYE of X0 (to), X1 (from), X2 (size).
fn copy() -> [u32; 4] {
    let (rd, rs, rn, options) = (0, 1, 2, 0);
    [
        a64::Cpyp {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        a64::Cpym {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        a64::Cpye {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        BRK,
    ]
}

/// The forward-only copy.
fn copy_forward() -> [u32; 4] {
    let (rd, rs, rn, options) = (0, 1, 2, 15);
    [
        a64::Cpyfp {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        a64::Cpyfm {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        a64::Cpyfe {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        BRK,
    ]
}

/// SETP, SETM, SETE of X0 (to), X2 (size), X1 (byte).
fn set() -> [u32; 4] {
    let (rd, rs, rn, options) = (0, 1, 2, 0);
    [
        a64::Setp {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        a64::Setm {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        a64::Sete {
            rd,
            rs,
            rn,
            options,
        }
        .to_word(),
        BRK,
    ]
}

fn fill(guest: &Guest, rng: &mut Rng, len: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
    guest.write(DATA, &bytes);
    bytes
}

#[test]
fn copies_are_memmove() {
    both(&copy(), |guest| {
        let mut rng = Rng(1);
        let mut model = fill(guest, &mut rng, 0x1_0000);
        for _ in 0..300 {
            let size = match rng.below(3) {
                0 => rng.below(40),
                1 => rng.below(0x1100),
                _ => rng.below(0x4000),
            };
            let from = 0x4000 + rng.below(0x4000);
            let to = match rng.below(3) {
                0 => from.wrapping_add(rng.below(64)).wrapping_sub(32),
                1 => from.wrapping_add(rng.below(0x2000)).wrapping_sub(0x1000),
                _ => rng.below(0xc000),
            };
            let mut thread = guest.thread();
            thread.state.nzcv = NZCV;
            // The top byte is ignored, in the comparison of the addresses as well.
            thread.state.x[0] = DATA + to | rng.next() << 56;
            thread.state.x[1] = DATA + from | rng.next() << 56;
            thread.state.x[2] = size;
            let tags = [thread.state.x[0] >> 56, thread.state.x[1] >> 56];
            thread.finish();
            model.copy_within(from as usize..(from + size) as usize, to as usize);
            assert!(
                guest.read(DATA, model.len()) == model,
                "{to:x} {from:x} {size:x}"
            );
            let backward = from < to && to - from < size;
            let end = if backward { 0 } else { size };
            assert_eq!(thread.state.x[0], DATA + to + end | tags[0] << 56);
            assert_eq!(thread.state.x[1], DATA + from + end | tags[1] << 56);
            assert_eq!((thread.state.x[2], thread.state.nzcv), (0, 0));
        }
    });
}

#[test]
fn forward_copies_and_sets() {
    both(&copy_forward(), |guest| {
        let mut rng = Rng(2);
        let mut model = fill(guest, &mut rng, 0x8000);
        let mut thread = guest.thread();
        thread.state.x[..3].copy_from_slice(&[DATA + 0x1fff, DATA + 0x4001, 0x3000]);
        thread.finish();
        model.copy_within(0x4001..0x7001, 0x1fff);
        assert!(guest.read(DATA, model.len()) == model);
        assert_eq!(thread.state.x[..3], [DATA + 0x4fff, DATA + 0x7001, 0]);
    });
    both(&set(), |guest| {
        let mut rng = Rng(3);
        let mut model = fill(guest, &mut rng, 0x8000);
        for _ in 0..100 {
            let (to, size) = (rng.below(0x4000), rng.below(0x4000));
            let mut thread = guest.thread();
            thread.state.nzcv = NZCV;
            thread.state.x[..3].copy_from_slice(&[DATA + to, rng.next(), size]);
            let byte = thread.state.x[1] as u8;
            thread.finish();
            model[to as usize..(to + size) as usize].fill(byte);
            assert!(guest.read(DATA, model.len()) == model, "{to:x} {size:x}");
            assert_eq!(
                (thread.state.x[0], thread.state.x[2]),
                (DATA + to + size, 0)
            );
            assert_eq!(thread.state.nzcv, 0);
        }
    });
}

#[test]
fn the_prologue_saturates_sizes() {
    for (code, limit) in [
        (copy(), (1 << 55) - 1),
        (copy_forward(), i64::MAX as u64),
        (set(), i64::MAX as u64),
    ] {
        both(&code, |guest| {
            for size in [limit, limit + 1, !0] {
                let mut thread = guest.thread();
                thread.state.x[..3].copy_from_slice(&[DATA, DATA, size]);
                assert_eq!(thread.step(), None);
                assert_eq!(thread.state.x[2], limit.wrapping_neg());
                assert_eq!(thread.state.x[0], DATA + limit);
            }
        });
    }
}

#[test]
fn no_bytes_need_no_memory() {
    for code in [copy(), copy_forward(), set()] {
        both(&code, |guest| {
            let mut thread = guest.thread();
            thread.state.x[..3].copy_from_slice(&[0, 16, 0]);
            thread.finish();
            assert_eq!(thread.state.x[..3], [0, 16, 0]);
        });
    }
}

/// The fault of an access to a page that is not mapped.
fn fault(exit: &Exit) -> (u64, Access) {
    match exit {
        Exit::Fault(f) if f.kind == FaultKind::MapErr => (f.addr, f.access),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fault_leaves_what_is_to_do_in_the_registers() {
    let end = DATA + DATA_LEN;
    let more = || MapRequest::anonymous(0x1000, Prot::RW).at(Placement::Fixed(end));
    both(&copy(), |guest| {
        let mut rng = Rng(4);
        let model = fill(guest, &mut rng, 0x3000);
        let mut thread = guest.thread();
        thread.state.x[..3].copy_from_slice(&[end - 0x1234, DATA, 0x1500]);
        assert_eq!(fault(&thread.run()), (end, Access::Write));
        assert_eq!(thread.state.pc, CODE + 4);
        let left = 0x1500 - 0x1234;
        assert_eq!(thread.state.x[2], (left as u64).wrapping_neg());
        assert_eq!(thread.state.x[0], end - 0x1234 + 0x1500);
        assert_eq!(guest.read(end - 0x1234, 0x1234), model[..0x1234]);
        // The handler maps the page, and the instruction goes on.
        guest.mm.map(more()).expect("map");
        thread.finish();
        assert_eq!(guest.read(end - 0x1234, 0x1500), model[..0x1500]);
    });
    both(&copy(), |guest| {
        // Backward: the source's end is missing, so nothing is copied at first.
        let mut thread = guest.thread();
        thread.state.x[..3].copy_from_slice(&[end - 0x80, end - 0x100, 0x100 + 0x20]);
        // The destination's end is 0xa0 behind the end, the source's 0x20.
        assert_eq!(fault(&thread.run()), (end + 0x1f, Access::Read));
        assert_eq!(thread.state.x[..3], [end - 0x80, end - 0x100, 0x120]);
        guest.mm.map(more()).expect("map");
        let model: Vec<u8> = (0..0x120u32).map(|i| i as u8 ^ 0x5a).collect();
        guest.write(end - 0x100, &model);
        thread.finish();
        assert_eq!(guest.read(end - 0x80, 0x120), model);
    });
    both(&set(), |guest| {
        let mut thread = guest.thread();
        thread.state.x[..3].copy_from_slice(&[end - 7, 0xab, 100]);
        assert_eq!(fault(&thread.run()), (end, Access::Write));
        assert_eq!(thread.state.pc, CODE + 4);
        assert_eq!(thread.state.x[2], 93u64.wrapping_neg());
        assert_eq!(
            guest.read(end - 8, 8),
            [0, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab]
        );
    });
    both(&copy_forward(), |guest| {
        let mut thread = guest.thread();
        thread.state.x[..3].copy_from_slice(&[DATA, DATA - 16, 64]);
        assert_eq!(fault(&thread.run()), (DATA - 16, Access::Read));
        assert_eq!(thread.state.x[2], 64u64.wrapping_neg());
    });
}

#[test]
fn a_long_copy_can_be_interrupted() {
    both(&copy(), |guest| {
        let mut rng = Rng(5);
        let half = DATA_LEN as usize / 2;
        let model = fill(guest, &mut rng, half);
        let mut thread = guest.thread();
        thread.state.x[..3].copy_from_slice(&[DATA + half as u64, DATA, half as u64]);
        thread.kick();
        let mut kicks = 0;
        loop {
            match thread.run_once() {
                Exit::Kicked => {
                    kicks += 1;
                    if kicks < 4 {
                        thread.kick();
                    }
                }
                exit => {
                    assert_eq!(exit, Exit::Breakpoint(0));
                    break;
                }
            }
        }
        assert_eq!(kicks, 4);
        assert!(guest.read(DATA + half as u64, half) == model);
        assert_eq!(thread.state.x[2], 0);
    });
}

/// A main part or an epilogue that finds the registers of option B starts again, as Linux makes of
/// the exception (Arm ARM D1.3.5.7, "Memory Copy and Memory Set exceptions").
#[test]
fn the_other_option_starts_again() {
    const C: u32 = 1 << 29;
    const N: u32 = 1 << 31;
    for at in [1, 2] {
        both(&copy(), |guest| {
            guest.write(DATA + 0x100, b"forward");
            let mut thread = guest.thread();
            thread.state.pc = CODE + 4 * at;
            thread.state.nzcv = C;
            thread.state.x[..3].copy_from_slice(&[DATA, DATA + 0x100, 7]);
            thread.finish();
            assert_eq!(guest.read(DATA, 7), b"forward");
            // Backward: the addresses are those behind what is left.
            guest.write(DATA + 0x200, b"backward");
            let mut thread = guest.thread();
            thread.state.pc = CODE + 4 * at;
            thread.state.nzcv = C | N;
            thread.state.x[..3].copy_from_slice(&[DATA + 0x204 + 8, DATA + 0x208, 8]);
            thread.finish();
            assert_eq!(guest.read(DATA + 0x204, 8), b"backward");
        });
        both(&set(), |guest| {
            let mut thread = guest.thread();
            thread.state.pc = CODE + 4 * at;
            thread.state.nzcv = C;
            thread.state.x[..3].copy_from_slice(&[DATA + 1, 0x77, 3]);
            thread.finish();
            assert_eq!(guest.read(DATA, 5), [0, 0x77, 0x77, 0x77, 0]);
        });
    }
}
