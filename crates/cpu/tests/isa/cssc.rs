//! FEAT_CSSC: qemu 10.0, the reference of vectors, lacks it.

use tuxlet_a64::{self as a64, OpId};

use crate::guest::{BRK, CODE, Guest, Rng};

/// What an instruction computes from its first operand and the second or immediate.
type Model = fn(sf: bool, a: u64, b: u64) -> u64;

fn signed(sf: bool, v: u64) -> i64 {
    if sf { v as i64 } else { i64::from(v as i32) }
}

fn low(sf: bool, v: u64) -> u64 {
    if sf { v } else { u64::from(v as u32) }
}

const MODELS: [(OpId, Model); 11] = [
    (OpId::SmaxImm, |sf, a, b| {
        signed(sf, a).max(i64::from(b as i8)) as u64
    }),
    (OpId::SminImm, |sf, a, b| {
        signed(sf, a).min(i64::from(b as i8)) as u64
    }),
    (OpId::UmaxImm, |sf, a, b| low(sf, a).max(b)),
    (OpId::UminImm, |sf, a, b| low(sf, a).min(b)),
    (OpId::SmaxReg, |sf, a, b| {
        signed(sf, a).max(signed(sf, b)) as u64
    }),
    (OpId::SminReg, |sf, a, b| {
        signed(sf, a).min(signed(sf, b)) as u64
    }),
    (OpId::UmaxReg, |sf, a, b| low(sf, a).max(low(sf, b))),
    (OpId::UminReg, |sf, a, b| low(sf, a).min(low(sf, b))),
    (OpId::Abs, |sf, a, _| signed(sf, a).wrapping_abs() as u64),
    (OpId::Cnt, |sf, a, _| low(sf, a).count_ones().into()),
    (OpId::Ctz, |sf, a, _| {
        low(sf, a)
            .trailing_zeros()
            .min(if sf { 64 } else { 32 })
            .into()
    }),
];

#[test]
fn every_row_and_every_immediate() {
    let corners = [
        0,
        1,
        2,
        0x7f,
        0x80,
        0xff,
        !0,
        !0x7f,
        1 << 31,
        (1 << 31) - 1,
        1 << 63,
        i64::MAX as u64,
        0xffff_ffff,
    ];
    let mut rng = Rng(7);
    for (op, model) in MODELS {
        let name = op.name();
        let immediate = name.ends_with("Imm");
        let mut words = Vec::new();
        for sf in [false, true] {
            for n in 0..if immediate { 256 } else { 64 } {
                // Registers 5 and 6 to 7; register 31 is zero in all these.
                let word = a64::arbitrary(op, &mut || rng.next() as u32);
                let word = word & !(1 << 31 | 31 << 5 | 31) | u32::from(sf) << 31 | 5 << 5 | 7;
                let word = if immediate {
                    word & !(0xff << 10) | n << 10
                } else if name.ends_with("Reg") {
                    word & !(31 << 16) | 6 << 16
                } else {
                    word
                };
                assert_eq!(a64::decode(word), Some(op));
                words.push((sf, n, word));
            }
        }
        let mut code: Vec<u32> = words.iter().map(|w| w.2).collect();
        code.push(BRK);
        let guest = Guest::new(true, &code);
        let mut thread = guest.thread();
        for (i, &(sf, n, word)) in words.iter().enumerate() {
            for corner in corners {
                let (a, b) = (corner ^ rng.next() >> rng.below(65).min(63), rng.next());
                for (a, b) in [(corner, b), (a, corner), (b, a)] {
                    thread.state.pc = CODE + 4 * i as u64;
                    thread.state.x[5] = a;
                    thread.state.x[6] = b;
                    thread.state.nzcv = 0xa000_0000;
                    assert_eq!(thread.step(), None);
                    let b = if immediate { n.into() } else { b };
                    let want = low(sf, model(sf, a, b));
                    assert_eq!(
                        thread.state.x[7],
                        want,
                        "{} {a:x} {b:x}",
                        a64::disassemble(word, 0)
                    );
                    assert_eq!(thread.state.nzcv, 0xa000_0000);
                }
            }
        }
        // The same words as one block of the optimised engine end in the same register.
        let want = thread.state.x[7];
        thread.state.pc = CODE;
        thread.finish();
        assert_eq!(thread.state.x[7], want, "{name}");
    }
}
