//! Conditional branches, alone and fused with the comparison before them.

use crate::flags::{Kind, holds, place};
use crate::interp::control::{evaluate_flags, is_kicked, kick_entry};
use crate::interp::cpu::Cpu;
use crate::interp::op::{Handler, Op, next};
use crate::interp::pinned::{Pinned, slot};

use super::select::test;

/// Continues at the branch target or behind the op. What is to be done in either case looks its operands up again,
/// so that they are not held while the kick word is looked at.
macro_rules! branch {
    ($taken:expr, $ip:ident, $c:ident $(, $commit:expr)?) => {{
        if $taken {
            if is_kicked($c.cpu) {
                return kick_entry($ip, $c.cpu, $c.p0, $c.p1, $c.p2, $c.p3);
            }
            $(let $ip = $c.settle($ip); $commit;)?
            next!(Op::target($ip), $c)
        } else {
            $(let $ip = $c.settle($ip); $commit;)?
            next!($ip.add(1), $c)
        }
    }};
}
pub(crate) use branch;

/// `B.cond`.
pub(crate) unsafe extern "C-unwind" fn b_cond<const COND: u8, const KIND: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op and `cpu` this thread's.
    unsafe {
        match test::<COND, KIND>(&c) {
            Some(taken) => branch!(taken, ip, c),
            None => evaluate_flags(ip, cpu, p0, p1, p2, p3),
        }
    }
}

/// `CBZ`, `CBNZ`.
pub(crate) unsafe extern "C-unwind" fn compare_zero<
    const SF: bool,
    const NOT: bool,
    const N: u8,
>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let v = c.get(slot::<N>((*ip).r[0]));
        let zero = if SF { v == 0 } else { v as u32 == 0 };
        branch!(zero != NOT, ip, c)
    }
}

/// `TBZ`, `TBNZ` of bit `r[1]`.
pub(crate) unsafe extern "C-unwind" fn test_bit<const NOT: bool, const N: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let bit = c.get(slot::<N>((*ip).r[0])) >> ((*ip).r[1] & 63) & 1;
        branch!((bit != 0) == NOT, ip, c)
    }
}

/// The immediate of a fused comparison.
#[inline(always)]
unsafe fn imm16(ip: *const Op) -> u64 {
    // SAFETY: the caller passes the running op.
    unsafe { u16::from_le_bytes([(*ip).r[2], (*ip).r[3]]).into() }
}

/// `CMP` with an immediate, then `B.cond`.
pub(crate) unsafe extern "C-unwind" fn cmp_imm<
    const COND: u8,
    const SF: bool,
    const LIVE: bool,
    const N: u8,
>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let taken = compare::<COND, SF>(c.get(slot::<N>((*ip).r[0])), imm16(ip));
        branch!(
            taken,
            ip,
            c,
            if LIVE {
                let v = c.get(slot::<N>((*ip).r[0]));
                commit::<SF>(&mut c, v, imm16(ip));
            }
        )
    }
}

/// `CMP` with a register, then `B.cond`.
pub(crate) unsafe extern "C-unwind" fn cmp_reg<
    const COND: u8,
    const SF: bool,
    const LIVE: bool,
    const N: u8,
    const M: u8,
>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let v = c.get(slot::<N>((*ip).r[0]));
        let taken = compare::<COND, SF>(v, c.get(slot::<M>((*ip).r[1])));
        branch!(
            taken,
            ip,
            c,
            if LIVE {
                let v = c.get(slot::<N>((*ip).r[0]));
                let w = c.get(slot::<M>((*ip).r[1]));
                commit::<SF>(&mut c, v, w);
            }
        )
    }
}

/// `SUBS` of an immediate into its own source, then `B.cond`: loop counters.
pub(crate) unsafe extern "C-unwind" fn subs_imm<
    const COND: u8,
    const SF: bool,
    const LIVE: bool,
    const N: u8,
>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let taken = compare::<COND, SF>(c.get(slot::<N>((*ip).r[0])), imm16(ip));
        branch!(taken, ip, c, {
            let n = slot::<N>((*ip).r[0]);
            if LIVE {
                let v = c.get(n);
                commit::<SF>(&mut c, v, imm16(ip));
            }
            let ip = if LIVE { c.settle(ip) } else { ip };
            let n = slot::<N>((*ip).r[0]);
            let r = c.get(n).wrapping_sub(imm16(ip));
            c.set(n, if SF { r } else { u64::from(r as u32) });
        })
    }
}

/// `TST` with an immediate (sign-extended 16 bits) or register, then `B.EQ` or `B.NE`.
pub(crate) unsafe extern "C-unwind" fn tst_reg<
    const NOT: bool,
    const SF: bool,
    const LIVE: bool,
    const N: u8,
    const M: u8,
>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let r = c.get(slot::<N>((*ip).r[0])) & c.get(slot::<M>((*ip).r[1]));
        let r = if SF { r } else { u64::from(r as u32) };
        branch!(
            (r == 0) != NOT,
            ip,
            c,
            if LIVE {
                let r = c.get(slot::<N>((*ip).r[0])) & c.get(slot::<M>((*ip).r[1]));
                let r = if SF { r } else { u64::from(r as u32) };
                crate::cx::Cx::flags_logic(&mut c, SF, r);
            }
        )
    }
}

/// `TST` with a positive immediate of 16 bits, then `B.EQ` or `B.NE`.
pub(crate) unsafe extern "C-unwind" fn tst_imm<
    const NOT: bool,
    const SF: bool,
    const LIVE: bool,
    const N: u8,
>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this placement.
    unsafe {
        let r = c.get(slot::<N>((*ip).r[0])) & imm16(ip);
        branch!(
            (r == 0) != NOT,
            ip,
            c,
            if LIVE {
                let r = c.get(slot::<N>((*ip).r[0])) & imm16(ip);
                crate::cx::Cx::flags_logic(&mut c, SF, r);
            }
        )
    }
}

/// Whether `COND` holds after comparing in the size.
#[inline(always)]
fn compare<const COND: u8, const SF: bool>(a: u64, b: u64) -> bool {
    if SF {
        holds(Kind::Sub, COND, a, b)
    } else if COND >> 1 == 3 {
        // Overflow: leave it to the placed operands.
        holds(Kind::Sub, COND, place(false, a), place(false, b))
    } else {
        // The same comparison in 32 bits, which the compiler makes of this.
        let (a, b) = (a as u32, b as u32);
        match COND >> 1 {
            0 => (a == b) ^ (COND & 1 != 0),
            1 => (a >= b) ^ (COND & 1 != 0),
            2 => ((a.wrapping_sub(b) as i32) < 0) ^ (COND & 1 != 0),
            4 => (a > b) ^ (COND & 1 != 0),
            5 => (a as i32 >= b as i32) ^ (COND & 1 != 0),
            6 => (a as i32 > b as i32) ^ (COND & 1 != 0),
            _ => true,
        }
    }
}

#[inline(always)]
fn commit<const SF: bool>(c: &mut Pinned, a: u64, b: u64) {
    crate::cx::Cx::flags_sub(c, SF, a, b);
}

macro_rules! by_cond {
    (|$c:ident| $e:expr) => {{
        macro_rules! at {
            ($cc:literal) => {{
                const $c: u8 = $cc;
                $e
            }};
        }
        [
            at!(0),
            at!(1),
            at!(2),
            at!(3),
            at!(4),
            at!(5),
            at!(6),
            at!(7),
            at!(8),
            at!(9),
            at!(10),
            at!(11),
            at!(12),
            at!(13),
        ]
    }};
}

macro_rules! by_place {
    ($f:ident $($arg:expr),* ;) => {
        [
            $f::<$({ $arg },)* 0>,
            $f::<$({ $arg },)* 1>,
            $f::<$({ $arg },)* 2>,
            $f::<$({ $arg },)* 3>,
            $f::<$({ $arg },)* 4>,
        ]
    };
}

macro_rules! by_places {
    ($f:ident $($arg:expr),* ;) => {
        [
            by_place!($f $($arg,)* 0;),
            by_place!($f $($arg,)* 1;),
            by_place!($f $($arg,)* 2;),
            by_place!($f $($arg,)* 3;),
            by_place!($f $($arg,)* 4;),
        ]
    };
}

/// [`b_cond`] by condition and known kind of flags.
pub(crate) static B_COND: [[Handler; 5]; 14] = by_cond!(|C| by_place!(b_cond C;));

/// [`compare_zero`] by size, sense and placement.
pub(crate) static COMPARE_ZERO: [[[Handler; 5]; 2]; 2] = [
    [
        by_place!(compare_zero false, false;),
        by_place!(compare_zero false, true;),
    ],
    [
        by_place!(compare_zero true, false;),
        by_place!(compare_zero true, true;),
    ],
];

/// [`test_bit`] by sense and placement.
pub(crate) static TEST_BIT: [[Handler; 5]; 2] =
    [by_place!(test_bit false;), by_place!(test_bit true;)];

/// [`cmp_imm`] by condition, size, liveness of the flags and placement.
pub(crate) static CMP_IMM: [[[[Handler; 5]; 2]; 2]; 14] = by_cond!(|C| [
    [
        by_place!(cmp_imm C, false, false;),
        by_place!(cmp_imm C, false, true;)
    ],
    [
        by_place!(cmp_imm C, true, false;),
        by_place!(cmp_imm C, true, true;)
    ],
]);

/// [`subs_imm`] by condition, size, liveness of the flags and placement.
pub(crate) static SUBS_IMM: [[[[Handler; 5]; 2]; 2]; 14] = by_cond!(|C| [
    [
        by_place!(subs_imm C, false, false;),
        by_place!(subs_imm C, false, true;)
    ],
    [
        by_place!(subs_imm C, true, false;),
        by_place!(subs_imm C, true, true;)
    ],
]);

/// Handlers by the placements of two operands.
type ByPlaces = [[Handler; 5]; 5];

/// [`cmp_reg`] by condition, size, liveness of the flags and placements; conditions that compilers do not use after a
/// comparison have none.
pub(crate) static CMP_REG: [Option<[[ByPlaces; 2]; 2]>; 14] = {
    let mut handlers = [None; 14];
    macro_rules! set {
        ($($cond:literal)*) => {$(
            handlers[$cond] = Some([
                [
                    by_places!(cmp_reg $cond, false, false;),
                    by_places!(cmp_reg $cond, false, true;),
                ],
                [
                    by_places!(cmp_reg $cond, true, false;),
                    by_places!(cmp_reg $cond, true, true;),
                ],
            ]);
        )*};
    }
    set!(0 1 2 3 8 9 10 11 12 13);
    handlers
};

/// [`tst_imm`] by sense, size, liveness of the flags and placement.
pub(crate) static TST_IMM: [[[[Handler; 5]; 2]; 2]; 2] = [
    [
        [
            by_place!(tst_imm false, false, false;),
            by_place!(tst_imm false, false, true;),
        ],
        [
            by_place!(tst_imm false, true, false;),
            by_place!(tst_imm false, true, true;),
        ],
    ],
    [
        [
            by_place!(tst_imm true, false, false;),
            by_place!(tst_imm true, false, true;),
        ],
        [
            by_place!(tst_imm true, true, false;),
            by_place!(tst_imm true, true, true;),
        ],
    ],
];

/// [`tst_reg`] by sense, size, liveness of the flags and placements.
pub(crate) static TST_REG: [[[[[Handler; 5]; 5]; 2]; 2]; 2] = [
    [
        [
            by_places!(tst_reg false, false, false;),
            by_places!(tst_reg false, false, true;),
        ],
        [
            by_places!(tst_reg false, true, false;),
            by_places!(tst_reg false, true, true;),
        ],
    ],
    [
        [
            by_places!(tst_reg true, false, false;),
            by_places!(tst_reg true, false, true;),
        ],
        [
            by_places!(tst_reg true, true, false;),
            by_places!(tst_reg true, true, true;),
        ],
    ],
];
