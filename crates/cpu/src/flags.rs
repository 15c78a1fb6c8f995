//! Lazy condition flags: the operands of the last flag-setting operation and what it was.
//!
//! 32-bit operations store their operands shifted left by 32, so that each kind needs only one
//! 64-bit rule per condition: carry, sign and overflow then come out of bit 63 in both sizes.

/// How the two flag words are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Kind {
    /// `a` holds NZCV in bits 31 to 28.
    Nzcv = 0,
    /// Flags of `a - b`.
    Sub = 1,
    /// Flags of `a + b`.
    Add = 2,
    /// N and Z of `a`; C and V clear.
    Logic = 3,
}

/// The lazy flags.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Flags {
    /// First word.
    pub(crate) a: u64,
    /// Second word.
    pub(crate) b: u64,
    /// Meaning of the words.
    pub(crate) kind: Kind,
}

/// Places an operand of a 32-bit operation at the top of the word.
#[inline(always)]
pub(crate) fn place(sf: bool, v: u64) -> u64 {
    if sf { v } else { v << 32 }
}

impl Flags {
    /// Flags given as NZCV in bits 31 to 28.
    pub(crate) const fn from_nzcv(nzcv: u32) -> Self {
        Flags {
            a: nzcv as u64,
            b: 0,
            kind: Kind::Nzcv,
        }
    }

    /// NZCV in bits 31 to 28.
    #[inline]
    pub(crate) fn nzcv(self) -> u32 {
        let bit = |c: u8| u32::from(holds(self.kind, c, self.a, self.b));
        match self.kind {
            Kind::Nzcv => self.a as u32 & 0xf000_0000,
            _ => bit(4) << 31 | bit(0) << 30 | bit(2) << 29 | bit(6) << 28,
        }
    }

    /// Whether condition `cond` (0 to 15) holds.
    #[inline(always)]
    pub(crate) fn holds(self, cond: u8) -> bool {
        match self.kind {
            Kind::Nzcv => holds(Kind::Nzcv, cond, self.a, self.b),
            Kind::Sub => holds(Kind::Sub, cond, self.a, self.b),
            Kind::Add => holds(Kind::Add, cond, self.a, self.b),
            Kind::Logic => holds(Kind::Logic, cond, self.a, self.b),
        }
    }
}

/// Whether condition `cond` holds for flag words `a`, `b` of a known kind. Folds to a compare when
/// `kind` and `cond` are constants.
#[inline(always)]
pub(crate) fn holds(kind: Kind, cond: u8, a: u64, b: u64) -> bool {
    let base = match kind {
        Kind::Sub => match cond >> 1 {
            0 => a == b,
            1 => a >= b,
            2 => (a.wrapping_sub(b) as i64) < 0,
            3 => (a as i64).overflowing_sub(b as i64).1,
            4 => a > b,
            5 => a as i64 >= b as i64,
            6 => a as i64 > b as i64,
            _ => return true,
        },
        Kind::Add => {
            let r = a.wrapping_add(b);
            let v = (((a ^ r) & (b ^ r)) as i64) < 0;
            let n = (r as i64) < 0;
            match cond >> 1 {
                0 => r == 0,
                1 => r < a,
                2 => n,
                3 => v,
                4 => r < a && r != 0,
                5 => n == v,
                6 => n == v && r != 0,
                _ => return true,
            }
        }
        Kind::Logic => match cond >> 1 {
            0 => a == 0,
            1 | 3 | 4 => false,
            2 => (a as i64) < 0,
            5 => a as i64 >= 0,
            6 => a as i64 > 0,
            _ => return true,
        },
        Kind::Nzcv => {
            let (n, z, c, v) = (
                a & 1 << 31 != 0,
                a & 1 << 30 != 0,
                a & 1 << 29 != 0,
                a & 1 << 28 != 0,
            );
            match cond >> 1 {
                0 => z,
                1 => c,
                2 => n,
                3 => v,
                4 => c && !z,
                5 => n == v,
                6 => n == v && !z,
                _ => return true,
            }
        }
    };
    base ^ (cond & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NZCV of `a + b + carry` in 64 or 32 bits, the manual's AddWithCarry.
    fn add_with_carry(sf: bool, a: u64, b: u64, carry: bool) -> u32 {
        let (n, z, c, v);
        if sf {
            let wide = u128::from(a) + u128::from(b) + u128::from(carry);
            let r = wide as u64;
            (n, z, c) = ((r as i64) < 0, r == 0, wide >> 64 != 0);
            v = i128::from(a as i64) + i128::from(b as i64) + i128::from(carry)
                != i128::from(r as i64);
        } else {
            let wide = u64::from(a as u32) + u64::from(b as u32) + u64::from(carry);
            let r = wide as u32;
            (n, z, c) = ((r as i32) < 0, r == 0, wide >> 32 != 0);
            v = i64::from(a as i32) + i64::from(b as i32) + i64::from(carry) != i64::from(r as i32);
        }
        u32::from(n) << 31 | u32::from(z) << 30 | u32::from(c) << 29 | u32::from(v) << 28
    }

    #[test]
    fn kinds_agree_with_the_manual() {
        let values = [
            0,
            1,
            2,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            i64::MAX as u64,
            i64::MIN as u64,
            u64::MAX,
            0x1234_5678_9abc_def0,
        ];
        for sf in [false, true] {
            for a in values {
                for b in values {
                    let (a, b) = if sf {
                        (a, b)
                    } else {
                        (a & 0xffff_ffff, b & 0xffff_ffff)
                    };
                    let flags = |kind| Flags {
                        a: place(sf, a),
                        b: place(sf, b),
                        kind,
                    };
                    let inverted = if sf { !b } else { !b & 0xffff_ffff };
                    let cases = [
                        (flags(Kind::Sub), add_with_carry(sf, a, inverted, true)),
                        (flags(Kind::Add), add_with_carry(sf, a, b, false)),
                        (flags(Kind::Logic), add_with_carry(sf, a, 0, false)),
                    ];
                    for (lazy, want) in cases {
                        assert_eq!(lazy.nzcv(), want, "{lazy:x?} sf={sf} a={a:x} b={b:x}");
                        for cond in 0..16 {
                            assert_eq!(
                                lazy.holds(cond),
                                Flags::from_nzcv(want).holds(cond),
                                "{lazy:x?} {cond}"
                            );
                        }
                    }
                }
            }
        }
    }
}
