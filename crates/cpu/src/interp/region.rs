//! Hot loops: which registers they should have in handler arguments.
//!
//! Only the order of the loop's instructions in memory is looked at, not which of them are executed how often; inner
//! loops become hot first, and outer ones keep their choice, so that what is executed most decides.

use super::op::Pins;

/// How often a branch back is taken before the code between is looked at as a loop.
pub(crate) const HOT: u8 = 8;

/// Loops longer than this, in bytes of code, are left alone.
pub(crate) const LIMIT: u64 = 1024;

/// What a result in a handler argument gains, and what an operand does.
const RESULT: u16 = 3;
const OPERAND: u16 = 2;

/// What a choice must gain in all: entering and leaving the loop costs something.
const WORTH: u16 = 6;

/// The highest register that may travel in a handler argument.
const LAST: usize = 28;

/// The registers for a loop of these instructions, if others than `pins` are worth it. Loops that call anything or that
/// branch where a register says have none: that needs the usual registers in place.
pub(crate) fn choose(words: impl Iterator<Item = u32>, pins: Pins) -> Option<Pins> {
    let mut gains = [0; 32];
    for word in words {
        count(word, &mut gains)?;
    }
    let usual: u16 = pins.iter().map(|&r| gains[usize::from(r & 31)]).sum();
    let mut order: [u8; LAST + 1] = core::array::from_fn(|r| r as u8);
    // Stable: the lowest of equals.
    order.sort_by_key(|&r| core::cmp::Reverse(gains[usize::from(r)]));
    let chosen = [order[0], order[1], order[2], order[3]];
    let gain: u16 = chosen.iter().map(|&r| gains[usize::from(r)]).sum();
    (gain >= usual + WORTH).then_some(chosen)
}

/// Whether an instruction is a branch.
pub(crate) fn branches(word: u32) -> bool {
    word >> 26 & 7 == 0b101
}

/// Whether an instruction leaves a loop for somewhere unknown.
pub(crate) fn leaves(word: u32) -> bool {
    count(word, &mut [0; 32]).is_none()
}

/// Adds what the registers of an instruction gain; `None` if it leaves the loop for somewhere unknown.
fn count(word: u32, gains: &mut [u16; 32]) -> Option<()> {
    let field = |at: u32| (word >> at & 31) as usize;
    let mut add = |at: u32, gain: u16| gains[field(at)] = gains[field(at)].saturating_add(gain);
    match word >> 25 & 15 {
        // Data processing, immediate.
        0b1000 | 0b1001 => {
            add(0, RESULT);
            match word >> 23 & 7 {
                // ADR and ADRP, moves of constants.
                0 | 1 | 5 => {}
                // EXTR.
                7 => {
                    add(5, OPERAND);
                    add(16, OPERAND);
                }
                _ => add(5, OPERAND),
            }
        }
        // Branches and system instructions: direct branches, compare-and-branch and hints only.
        0b1010 | 0b1011 => match word >> 24 {
            0x54 | 0x14..=0x17 => {}
            0x34..=0x37 | 0xb4..=0xb7 => add(0, OPERAND),
            0xd5 if word & 0xffff_f01f == 0xd503_201f => {}
            _ => return None,
        },
        // Loads and stores.
        0b0100 | 0b0110 | 0b1100 | 0b1110 => {
            let general = word >> 26 & 1 == 0;
            if general {
                add(0, RESULT);
            }
            match word >> 27 & 7 {
                // Literal.
                3 => {}
                // Pairs.
                5 => {
                    add(5, OPERAND);
                    if general {
                        add(10, RESULT);
                    }
                }
                // Register offset.
                7 if word >> 24 & 1 == 0 && word >> 21 & 1 != 0 && word >> 10 & 3 == 2 => {
                    add(5, OPERAND);
                    add(16, OPERAND);
                }
                _ => add(5, OPERAND),
            }
        }
        // Data processing, register.
        0b0101 | 0b1101 => {
            let compare = word & 0x1fe0_0000 == 0x1a40_0000;
            let immediate = compare && word >> 11 & 1 != 0;
            let one_source = word & 0x5fe0_0000 == 0x5ac0_0000;
            if !compare {
                add(0, RESULT);
            }
            add(5, OPERAND);
            if !immediate && !one_source {
                add(16, OPERAND);
            }
            if word >> 24 & 31 == 0b11011 {
                add(10, OPERAND);
            }
        }
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice() {
        let usual = [0, 1, 2, 3];
        // strb w22, [x12]; subs x16, x16, #2; strb w22, [x12, x11]; add x12, x12, x10; b.ne
        let sieve = [
            0x3900_0196,
            0xf100_0a10,
            0x382b_6996,
            0x8b0a_018c,
            0x54ff_ff81,
        ];
        let mut pins = choose(sieve.into_iter(), usual).expect("worth it");
        pins.sort_unstable();
        assert_eq!(pins, [10, 12, 16, 22]);
        // The same with a call.
        assert_eq!(choose(sieve.into_iter().chain([0x9400_0000]), usual), None);
        // add x0, x0, x1; b.ne
        assert_eq!(choose([0x8b01_0000, 0x54ff_ffe1].into_iter(), usual), None);
        // Fewer registers than there is room for: add x8, x8, x9 many times
        assert_eq!(
            choose([0x8b09_0108; 4].into_iter(), usual),
            Some([8, 9, 0, 1])
        );
    }
}
