//! Loads and stores.
//!
//! x86-64 leaves three scratch registers beside the pinned ones, and finding a host address takes them all. So a form
//! looks its operands up again after the address is known ([`Fast::settle`]) instead of holding them meanwhile.

use super::{finish_at, pair};
use crate::cx::{Cx, Scalar, Step, Trap};
use crate::interp::control::{slow_entry, slow_settled};
use crate::interp::cpu::Cpu;
use crate::interp::op::{Handler, Op, next};
use crate::interp::pinned::{Fast, Pinned, hide, slot};
use crate::sem::dpreg::extend;

/// Addressing mode: base plus offset.
pub(crate) const OFFSET: u8 = 0;
/// Addressing mode: base; then base plus offset is written back.
pub(crate) const POST: u8 = 1;
/// Addressing mode: base plus offset, which is written back.
pub(crate) const PRE: u8 = 2;

/// Placement of an operand that may be in any slot, where no register is pinned.
const ANY: u8 = 6;

/// An instruction form that accesses memory. Its handlers are instantiated for the placements of the op's operands
/// `r[0]` to `r[2]`.
pub(crate) trait Access: Sized {
    /// Data positions after the op.
    const DATA: usize = 0;
    /// Number as a part of pairs.
    const PART: u8 = pair::NONE;
    /// Executes; must not have an effect when it traps. Returns `op`.
    ///
    /// # Safety
    /// `op` must have been emitted for this form and these placements.
    unsafe fn run<const PINS: bool, const A: u8, const B: u8, const D: u8>(
        c: &mut Fast<PINS>,
        op: *const Op,
    ) -> Step<*const Op>;
}

unsafe extern "C-unwind" fn access<T: Access, const A: u8, const B: u8, const D: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op, emitted for this form and placement.
    unsafe { finish_at!(T::run::<true, A, B, D>(&mut c, ip), ip, T::DATA, c) }
}

/// A form that is not worth a handler per placement: pinned registers go through memory.
pub(crate) unsafe extern "C-unwind" fn spilled_access<T: Access>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).spill();
    let mut c = Fast::<false>::new(ip, cpu, 0, 0, 0, 0);
    // SAFETY: `ip` is the running op, emitted for this form; `cpu` is this thread's.
    unsafe {
        match T::run::<false, ANY, ANY, ANY>(&mut c, ip) {
            Ok(op) => {
                let c = Pinned::reload(c.cpu);
                next!(op.add(1 + T::DATA), c)
            }
            Err(Trap) => slow_settled(ip, cpu, 0, 0, 0, 0),
        }
    }
}

macro_rules! places {
    ($t:ty) => {
        [
            access::<$t, 0, 4, 4>,
            access::<$t, 1, 4, 4>,
            access::<$t, 2, 4, 4>,
            access::<$t, 3, 4, 4>,
            access::<$t, 4, 4, 4>,
            access::<$t, 5, 4, 4>,
        ]
    };
    (@@ $t:ty; $a:literal;) => {
        [
            access::<$t, $a, 0, 4>,
            access::<$t, $a, 1, 4>,
            access::<$t, $a, 2, 4>,
            access::<$t, $a, 3, 4>,
            access::<$t, $a, 4, 4>,
            access::<$t, $a, 5, 4>,
        ]
    };
    (@@ $t:ty; $a:literal, $b:literal;) => {
        [
            access::<$t, $a, $b, 0>,
            access::<$t, $a, $b, 1>,
            access::<$t, $a, $b, 2>,
            access::<$t, $a, $b, 3>,
            access::<$t, $a, $b, 4>,
            access::<$t, $a, $b, 5>,
        ]
    };
    (@@@ $t:ty; $a:literal;) => {
        [
            places!(@@ $t; $a, 0;),
            places!(@@ $t; $a, 1;),
            places!(@@ $t; $a, 2;),
            places!(@@ $t; $a, 3;),
            places!(@@ $t; $a, 4;),
        ]
    };
}

/// Handlers of a form by placement of its operands; the last one is a base register, which is often SP.
pub(crate) trait Placed: Access {
    /// One operand.
    const ONE: &'static [Handler; 6] = &places!(Self);
    /// Two operands.
    const TWO: &'static [[Handler; 6]; 5] = &[
        places!(@@ Self; 0;),
        places!(@@ Self; 1;),
        places!(@@ Self; 2;),
        places!(@@ Self; 3;),
        places!(@@ Self; 4;),
    ];
    /// Three operands.
    const THREE: &'static [[[Handler; 6]; 5]; 5] = &[
        places!(@@@ Self; 0;),
        places!(@@@ Self; 1;),
        places!(@@@ Self; 2;),
        places!(@@@ Self; 3;),
        places!(@@@ Self; 4;),
    ];
}
impl<T: Access> Placed for T {}

/// Slot of operand `i`, whose placement is `PLACE`.
///
/// # Safety
/// `op` must have been emitted for this placement.
#[inline(always)]
unsafe fn at<const PLACE: u8>(op: *const Op, i: usize) -> u8 {
    // SAFETY: the caller's promise.
    unsafe {
        if PLACE == ANY {
            (*op).r[i]
        } else {
            slot::<PLACE>((*op).r[i])
        }
    }
}

/// Immediate of an op as an offset.
#[inline(always)]
unsafe fn offset(op: *const Op) -> u64 {
    // SAFETY: the caller passes the running op.
    unsafe { (*op).imm as i64 as u64 }
}

/// The address of an access with an immediate offset from the base in slot `n`.
#[inline(always)]
unsafe fn address<const PINS: bool, const MODE: u8>(c: &Fast<PINS>, op: *const Op, n: u8) -> u64 {
    let base = c.get(n);
    if MODE == POST {
        base
    } else {
        // SAFETY: the caller passes the running op.
        base.wrapping_add(unsafe { offset(op) })
    }
}

/// Writes the base in slot `n` back where the mode says so.
#[inline(always)]
unsafe fn write_back<const PINS: bool, const MODE: u8>(c: &mut Fast<PINS>, op: *const Op, n: u8) {
    if MODE != OFFSET {
        // SAFETY: the caller passes the running op.
        let base = c.get(n).wrapping_add(unsafe { offset(op) });
        c.set(n, base);
    }
}

/// What a load does with the bits it read: their number, log2 of bytes, and how they are extended.
#[inline(always)]
unsafe fn read<const SIZE: u8>(p: *const u8) -> u64 {
    // SAFETY: the caller vouches for `1 << SIZE` bytes at `p`.
    unsafe {
        match SIZE {
            0 => u8::read(p).into(),
            1 => u16::read(p).into(),
            2 => u32::read(p).into(),
            _ => u64::read(p),
        }
    }
}

/// As [`read`], sign-extended to 64 or 32 bits.
#[inline(always)]
unsafe fn read_signed<const SIZE: u8, const TO32: bool>(p: *const u8) -> u64 {
    // SAFETY: the caller's promise.
    let v = unsafe { read::<SIZE>(p) };
    let v = match SIZE {
        0 => v as i8 as u64,
        1 => v as i16 as u64,
        _ => v as i32 as u64,
    };
    if TO32 { v & 0xffff_ffff } else { v }
}

#[inline(always)]
unsafe fn write<const SIZE: u8>(p: *mut u8, v: u64) {
    // SAFETY: the caller vouches for `1 << SIZE` bytes at `p`.
    unsafe {
        match SIZE {
            0 => (v as u8).write(p),
            1 => (v as u16).write(p),
            2 => (v as u32).write(p),
            _ => v.write(p),
        }
    }
}

/// Reads a pair of 8 or 4 bytes each, which is one access where the architecture wants one.
#[inline(always)]
unsafe fn read_pair<const SF: bool>(p: *const u8) -> (u64, u64) {
    // SAFETY: the caller vouches for the bytes at `p`.
    unsafe {
        if SF {
            u64::read_pair(p)
        } else {
            let (a, b) = u32::read_pair(p);
            (a.into(), b.into())
        }
    }
}

/// Writes a pair as [`read_pair`] reads it.
#[inline(always)]
unsafe fn write_pair<const SF: bool>(p: *mut u8, a: u64, b: u64) {
    // SAFETY: the caller vouches for the bytes at `p`.
    unsafe {
        if SF {
            u64::write_pair(a, b, p);
        } else {
            u32::write_pair(a as u32, b as u32, p);
        }
    }
}

/// Loads `1 << SIZE` bytes to V register `t`.
#[inline(always)]
unsafe fn read_vector<const PINS: bool, const SIZE: u8>(c: &mut Fast<PINS>, p: *const u8, t: u8) {
    // SAFETY: the caller vouches for the bytes at `p`.
    unsafe {
        if SIZE == 4 {
            c.set_v(t, u128::read(p));
        } else {
            c.set_d(t, read::<SIZE>(p));
        }
    }
}

/// Stores the low `1 << SIZE` bytes of V register `t`.
#[inline(always)]
unsafe fn write_vector<const PINS: bool, const SIZE: u8>(c: &Fast<PINS>, p: *mut u8, t: u8) {
    // SAFETY: the caller vouches for the bytes at `p`.
    unsafe {
        if SIZE == 4 {
            c.v(t).write(p);
        } else {
            write::<SIZE>(p, c.d(t));
        }
    }
}

/// Keeps a host address in one register, where the operands of a pair or a write-back need the others.
#[inline(always)]
fn narrow<const MODE: u8>(p: *mut u8) -> *mut u8 {
    if MODE == OFFSET { p } else { hide(p) }
}

macro_rules! accesses {
    ($($(#[$meta:meta])* $name:ident $(<$(const $p:ident: $pt:ty),*>)? $(part($part:expr))? $(data $data:literal)? = |$c:ident, $op:ident, $a:ident, $b:ident, $d:ident| $body:block)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name $(<$(const $p: $pt),*>)?;
        impl $(<$(const $p: $pt),*>)? Access for $name $(<$($p),*>)? {
            $(const DATA: usize = $data;)?
            $(const PART: u8 = $part;)?
            #[inline(always)]
            #[allow(unused_unsafe, reason = "the bodies are all unsafe")]
            unsafe fn run<const PINS: bool, const $a: u8, const $b: u8, const $d: u8>(
                $c: &mut Fast<PINS>,
                $op: *const Op,
            ) -> Step<*const Op> {
                // SAFETY: the trait's contract; the TLB vouches for the bytes that a form asked it for.
                unsafe { $body }
            }
        }
    )*};
}

accesses! {
    /// LDR, zero-extending: operands t, n.
    Ldr<const SIZE: u8, const MODE: u8> part(match (SIZE, MODE) {
        (3, OFFSET) => pair::LDR_X,
        (2, OFFSET) => pair::LDR_W,
        (0, OFFSET) => pair::LDR_B,
        _ => pair::NONE,
    }) = |c, op, A, B, D| {
        let p = c.host::<false>(address::<PINS, MODE>(c, op, at::<B>(op, 1)), 1 << SIZE)?;
        let (op, p) = (c.settle(op), narrow::<MODE>(p));
        write_back::<PINS, MODE>(c, op, at::<B>(op, 1));
        c.set(at::<A>(op, 0), read::<SIZE>(p));
        Ok(op)
    }
    /// LDRS: operands t, n.
    Ldrs<const SIZE: u8, const TO32: bool, const MODE: u8> = |c, op, A, B, D| {
        let p = c.host::<false>(address::<PINS, MODE>(c, op, at::<B>(op, 1)), 1 << SIZE)?;
        let (op, p) = (c.settle(op), narrow::<MODE>(p));
        write_back::<PINS, MODE>(c, op, at::<B>(op, 1));
        c.set(at::<A>(op, 0), read_signed::<SIZE, TO32>(p));
        Ok(op)
    }
    /// STR: operands t, n.
    Str<const SIZE: u8, const MODE: u8> part(match (SIZE, MODE) {
        (3, OFFSET) => pair::STR_X,
        (2, OFFSET) => pair::STR_W,
        (0, OFFSET) => pair::STR_B,
        _ => pair::NONE,
    }) = |c, op, A, B, D| {
        let p = c.host::<true>(address::<PINS, MODE>(c, op, at::<B>(op, 1)), 1 << SIZE)?;
        let (op, p) = (c.settle(op), hide(p));
        write::<SIZE>(p, c.get(at::<A>(op, 0)));
        write_back::<PINS, MODE>(c, op, at::<B>(op, 1));
        Ok(op)
    }
    /// LDR (literal) of operand t: the address is in the data position.
    LdrLit<const SIZE: u8> data 1 = |c, op, A, B, D| {
        let p = c.host::<false>(Op::data(op), 1 << SIZE)?;
        let op = c.settle(op);
        c.set(at::<A>(op, 0), read::<SIZE>(p));
        Ok(op)
    }
    /// ADRP, whose result is in the data position, and then LDR of 8 bytes, both to operand t. The op's instruction is
    /// the LDR.
    LdrPage data 1 = |c, op, A, B, D| {
        let page = Op::data(op);
        match c.host::<false>(page.wrapping_add(offset(op)), 8) {
            Ok(p) => {
                let op = c.settle(op);
                c.set(at::<A>(op, 0), read::<3>(p));
                Ok(op)
            }
            Err(Trap) => {
                // The LDR did nothing, but the ADRP did.
                let op = c.settle(op);
                c.set(at::<A>(op, 0), Op::data(op));
                Err(Trap)
            }
        }
    }
    /// LDRSW (literal) of operand t: the address is in the data position.
    LdrswLit data 1 = |c, op, A, B, D| {
        let p = c.host::<false>(Op::data(op), 4)?;
        let op = c.settle(op);
        c.set(at::<A>(op, 0), read_signed::<2, false>(p));
        Ok(op)
    }
    /// LDR (register): operands t, m, n; `OPTION` as in the instruction, shifted by `SHIFT`.
    LdrReg<const SIZE: u8, const OPTION: u8, const SHIFT: u8> part(match (SIZE, OPTION, SHIFT) {
        (3, 3, 3) => pair::LDR_REG_X,
        (2, 3, 2) => pair::LDR_REG_W,
        (0, 3, 0) => pair::LDR_REG_B,
        _ => pair::NONE,
    }) = |c, op, A, B, D| {
        let index = extend(c.get(at::<B>(op, 1)), OPTION, SHIFT);
        let p = c.host::<false>(c.get(at::<D>(op, 2)).wrapping_add(index), 1 << SIZE)?;
        let op = c.settle(op);
        c.set(at::<A>(op, 0), read::<SIZE>(p));
        Ok(op)
    }
    /// LDRS (register): operands t, m, n.
    LdrsReg<const SIZE: u8, const TO32: bool, const OPTION: u8, const SHIFT: u8> = |c, op, A, B, D| {
        let index = extend(c.get(at::<B>(op, 1)), OPTION, SHIFT);
        let p = c.host::<false>(c.get(at::<D>(op, 2)).wrapping_add(index), 1 << SIZE)?;
        let op = c.settle(op);
        c.set(at::<A>(op, 0), read_signed::<SIZE, TO32>(p));
        Ok(op)
    }
    /// STR (register): operands t, m, n.
    StrReg<const SIZE: u8, const OPTION: u8, const SHIFT: u8> part(match (SIZE, OPTION, SHIFT) {
        (2, 3, 2) => pair::STR_REG_W,
        (0, 3, 0) => pair::STR_REG_B,
        _ => pair::NONE,
    }) = |c, op, A, B, D| {
        let index = extend(c.get(at::<B>(op, 1)), OPTION, SHIFT);
        let p = c.host::<true>(c.get(at::<D>(op, 2)).wrapping_add(index), 1 << SIZE)?;
        let (op, p) = (c.settle(op), hide(p));
        write::<SIZE>(p, c.get(at::<A>(op, 0)));
        Ok(op)
    }
    /// LDP: operands t, t2, n.
    Ldp<const SF: bool, const MODE: u8> part(match (SF, MODE) {
        (true, OFFSET) => pair::LDP_X,
        (true, POST) => pair::LDP_POST,
        _ => pair::NONE,
    }) = |c, op, A, B, D| {
        let size = if SF { 8 } else { 4 };
        let p = c.host::<false>(address::<PINS, MODE>(c, op, at::<D>(op, 2)), 2 * size)?;
        let (op, p) = (c.settle(op), hide(p));
        write_back::<PINS, MODE>(c, op, at::<D>(op, 2));
        let (a, b) = read_pair::<SF>(p);
        c.set(at::<A>(op, 0), a);
        c.set(at::<B>(op, 1), b);
        Ok(op)
    }
    /// STP: operands t, t2, n.
    Stp<const SF: bool, const MODE: u8> part(match (SF, MODE) {
        (true, OFFSET) => pair::STP_X,
        _ => pair::NONE,
    }) = |c, op, A, B, D| {
        let size = if SF { 8 } else { 4 };
        let p = c.host::<true>(address::<PINS, MODE>(c, op, at::<D>(op, 2)), 2 * size)?;
        let (op, p) = (c.settle(op), hide(p));
        write_pair::<SF>(p, c.get(at::<A>(op, 0)), c.get(at::<B>(op, 1)));
        write_back::<PINS, MODE>(c, op, at::<D>(op, 2));
        Ok(op)
    }
    /// LDR of V register `r[3]`: operand n.
    LdrVec<const SIZE: u8, const MODE: u8> = |c, op, A, B, D| {
        let p = c.host::<false>(address::<PINS, MODE>(c, op, at::<A>(op, 0)), 1 << SIZE)?;
        let (op, p) = (c.settle(op), hide(p));
        read_vector::<PINS, SIZE>(c, p, (*op).r[3]);
        write_back::<PINS, MODE>(c, op, at::<A>(op, 0));
        Ok(op)
    }
    /// STR of V register `r[3]`: operand n.
    StrVec<const SIZE: u8, const MODE: u8> = |c, op, A, B, D| {
        let p = c.host::<true>(address::<PINS, MODE>(c, op, at::<A>(op, 0)), 1 << SIZE)?;
        let (op, p) = (c.settle(op), hide(p));
        write_vector::<PINS, SIZE>(c, p, (*op).r[3]);
        write_back::<PINS, MODE>(c, op, at::<A>(op, 0));
        Ok(op)
    }
    /// LDP of V registers `r[3]` and `r[2]`, `1 << SIZE` bytes each: operand n.
    LdpVec<const SIZE: u8, const MODE: u8> = |c, op, A, B, D| {
        let p = c.host::<false>(address::<PINS, MODE>(c, op, at::<A>(op, 0)), 2 << SIZE)?;
        let (op, p) = (c.settle(op), hide(p));
        read_vector::<PINS, SIZE>(c, p, (*op).r[3]);
        read_vector::<PINS, SIZE>(c, p.add(1 << SIZE), (*op).r[2]);
        write_back::<PINS, MODE>(c, op, at::<A>(op, 0));
        Ok(op)
    }
    /// STP of V registers `r[3]` and `r[2]`, `1 << SIZE` bytes each: operand n.
    StpVec<const SIZE: u8, const MODE: u8> = |c, op, A, B, D| {
        let p = c.host::<true>(address::<PINS, MODE>(c, op, at::<A>(op, 0)), 2 << SIZE)?;
        let (op, p) = (c.settle(op), hide(p));
        write_vector::<PINS, SIZE>(c, p, (*op).r[3]);
        write_vector::<PINS, SIZE>(c, p.add(1 << SIZE), (*op).r[2]);
        write_back::<PINS, MODE>(c, op, at::<A>(op, 0));
        Ok(op)
    }
    /// LDR (register) of V register `r[3]`: operands m, n.
    LdrVecReg<const SIZE: u8, const OPTION: u8, const SHIFT: u8> = |c, op, A, B, D| {
        let index = extend(c.get(at::<A>(op, 0)), OPTION, SHIFT);
        let p = c.host::<false>(c.get(at::<B>(op, 1)).wrapping_add(index), 1 << SIZE)?;
        let (op, p) = (c.settle(op), hide(p));
        read_vector::<PINS, SIZE>(c, p, (*op).r[3]);
        Ok(op)
    }
    /// STR (register) of V register `r[3]`: operands m, n.
    StrVecReg<const SIZE: u8, const OPTION: u8, const SHIFT: u8> = |c, op, A, B, D| {
        let index = extend(c.get(at::<A>(op, 0)), OPTION, SHIFT);
        let p = c.host::<true>(c.get(at::<B>(op, 1)).wrapping_add(index), 1 << SIZE)?;
        let (op, p) = (c.settle(op), hide(p));
        write_vector::<PINS, SIZE>(c, p, (*op).r[3]);
        Ok(op)
    }
}
