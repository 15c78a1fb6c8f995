//! Fast handlers: predecoded operands, four registers in handler arguments.
//!
//! A type that implements one of the `Hot` traits is an instruction form; its handlers are
//! instantiated for every *placement* of its operands: pinned in argument 0 to 3, or in memory.
//! With the placement known, reading an operand is one move or none.

pub(crate) mod alu;
pub(crate) mod branch;
pub(crate) mod frame;
pub(crate) mod memory;
pub(crate) mod pair;
pub(crate) mod select;
pub(crate) mod vector;

use super::control::{slow_entry, slow_settled};
use super::cpu::Cpu;
use super::op::{Handler, Op, PINNED, PLACE_SP, SLOT_PINNED, SLOT_SP, next};
use super::pinned::{Fast, Late, Pinned, slot};
use crate::cx::{Cx, Step, Trap};

/// An instruction form with one placed operand, slot `r[0]` of the op.
pub(crate) trait Hot1 {
    /// Data positions after the op.
    const DATA: usize = 0;
    /// Number as a part of pairs.
    const PART: u8 = pair::NONE;
    /// Executes; must not have an effect when it traps.
    ///
    /// # Safety
    /// `op` must have been emitted for this form.
    unsafe fn run<C: Cx>(c: &mut C, op: *const Op, a: u8) -> Step;
}

/// An instruction form with two placed operands, slots `r[0]` and `r[1]` of the op.
pub(crate) trait Hot2 {
    /// Data positions after the op.
    const DATA: usize = 0;
    /// Number as a part of pairs.
    const PART: u8 = pair::NONE;
    /// Executes; must not have an effect when it traps.
    ///
    /// # Safety
    /// `op` must have been emitted for this form.
    unsafe fn run<C: Cx>(c: &mut C, op: *const Op, a: u8, b: u8) -> Step;
}

/// An instruction form with three placed operands, slots `r[0]` to `r[2]` of the op.
pub(crate) trait Hot3 {
    /// Data positions after the op.
    const DATA: usize = 0;
    /// Number as a part of pairs.
    const PART: u8 = pair::NONE;
    /// Executes; must not have an effect when it traps.
    ///
    /// # Safety
    /// `op` must have been emitted for this form.
    unsafe fn run<C: Cx>(c: &mut C, op: *const Op, a: u8, b: u8, d: u8) -> Step;
}

/// Ends a handler: the next op, or the slow path.
macro_rules! finish {
    ($step:expr, $data:expr, $c:ident) => {
        match $step {
            Ok(()) => next!($c.op.add(1 + $data), $c),
            Err(Trap) => slow_entry($c.op, $c.cpu, $c.p0, $c.p1, $c.p2, $c.p3),
        }
    };
}

use finish;

/// As [`finish!`] for forms that return the op.
macro_rules! finish_at {
    ($step:expr, $ip:ident, $data:expr, $c:ident) => {
        match $step {
            Ok(op) => next!(op.add(1 + $data), $c),
            Err(Trap) => slow_entry($ip, $c.cpu, $c.p0, $c.p1, $c.p2, $c.p3),
        }
    };
}
use finish_at;

/// Evaluates an expression with the context for a first operand of placement `$place`, which is the result if the form
/// has one.
macro_rules! with_result_in {
    ($place:expr, |$c:ident| $body:block, $($argument:ident),*) => {
        if $place == PINNED {
            let mut $c = Late::new($($argument),*);
            $body
        } else {
            let mut $c = Pinned::new($($argument),*);
            $body
        }
    };
}

unsafe extern "C-unwind" fn hot1<T: Hot1, const A: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `ip` is the running op, emitted for this form and placement.
    unsafe {
        let a = slot::<A>((*ip).r[0]);
        with_result_in!(
            A,
            |c| {
                let step = T::run(&mut c, ip, a);
                finish!(step, T::DATA, c)
            },
            ip,
            cpu,
            p0,
            p1,
            p2,
            p3
        )
    }
}

unsafe extern "C-unwind" fn hot2<T: Hot2, const A: u8, const B: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `ip` is the running op, emitted for this form and placement.
    unsafe {
        let (a, b) = (slot::<A>((*ip).r[0]), slot::<B>((*ip).r[1]));
        with_result_in!(
            A,
            |c| {
                let step = T::run(&mut c, ip, a, b);
                finish!(step, T::DATA, c)
            },
            ip,
            cpu,
            p0,
            p1,
            p2,
            p3
        )
    }
}

unsafe extern "C-unwind" fn hot3<T: Hot3, const A: u8, const B: u8, const D: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `ip` is the running op, emitted for this form and placement.
    unsafe {
        let (a, b, d) = (
            slot::<A>((*ip).r[0]),
            slot::<B>((*ip).r[1]),
            slot::<D>((*ip).r[2]),
        );
        with_result_in!(
            A,
            |c| {
                let step = T::run(&mut c, ip, a, b, d);
                finish!(step, T::DATA, c)
            },
            ip,
            cpu,
            p0,
            p1,
            p2,
            p3
        )
    }
}

/// A form of three operands that is not worth a handler per placement: pinned registers go
/// through memory.
pub(crate) unsafe extern "C-unwind" fn spilled3<T: Hot3>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    c.spill();
    // SAFETY: `ip` is the running op, emitted for this form; `cpu` is this thread's.
    unsafe {
        let r = (*ip).r;
        match T::run(
            &mut Fast::<false>::new(ip, cpu, 0, 0, 0, 0),
            ip,
            r[0],
            r[1],
            r[2],
        ) {
            Ok(()) => {
                let c = Pinned::reload(cpu);
                next!(ip.add(1 + T::DATA), c)
            }
            Err(Trap) => slow_settled(ip, cpu, 0, 0, 0, 0),
        }
    }
}

/// A form of three operands whose sources are not worth a handler per placement: they are read from memory, where pinned
/// registers are stored first.
unsafe extern "C-unwind" fn stored3<T: Hot3, const A: u8>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    c.spill();
    // SAFETY: `ip` is the running op, emitted for this form and placement; `cpu` is this thread's.
    unsafe {
        let [_, b, d, _] = (*ip).r;
        let a = slot::<A>((*ip).r[0]);
        if A == PINNED {
            let mut memory = Fast::<false, true>::new(ip, cpu, 0, 0, 0, 0);
            match T::run(&mut memory, ip, a, b, d) {
                Ok(()) => next!(memory.op.add(1 + T::DATA), c),
                Err(Trap) => slow_entry(ip, cpu, p0, p1, p2, p3),
            }
        } else {
            let mut memory = Fast::<false>::new(ip, cpu, 0, 0, 0, 0);
            match T::run(&mut memory, ip, a, b, d) {
                Ok(()) => {
                    c.set(a, memory.get(a));
                    next!(ip.add(1 + T::DATA), c)
                }
                Err(Trap) => slow_entry(ip, cpu, p0, p1, p2, p3),
            }
        }
    }
}

/// Handlers of a form by placement of the destination alone.
pub(crate) trait Stored3: Hot3 + Sized {
    const STORED: &'static [Handler; 5] = &[
        stored3::<Self, 0>,
        stored3::<Self, 1>,
        stored3::<Self, 2>,
        stored3::<Self, 3>,
        stored3::<Self, 4>,
    ];
}
impl<T: Hot3> Stored3 for T {}

/// As [`spilled3`] for two operands.
pub(crate) unsafe extern "C-unwind" fn spilled2<T: Hot2>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    c.spill();
    // SAFETY: `ip` is the running op, emitted for this form; `cpu` is this thread's.
    unsafe {
        let r = (*ip).r;
        match T::run(&mut Fast::<false>::new(ip, cpu, 0, 0, 0, 0), ip, r[0], r[1]) {
            Ok(()) => {
                let c = Pinned::reload(cpu);
                next!(ip.add(1 + T::DATA), c)
            }
            Err(Trap) => slow_settled(ip, cpu, 0, 0, 0, 0),
        }
    }
}

macro_rules! table1 {
    ($t:ty) => {
        [
            hot1::<$t, 0>,
            hot1::<$t, 1>,
            hot1::<$t, 2>,
            hot1::<$t, 3>,
            hot1::<$t, 4>,
        ]
    };
}
macro_rules! table2 {
    ($t:ty) => {
        [
            table2!($t, 0),
            table2!($t, 1),
            table2!($t, 2),
            table2!($t, 3),
            table2!($t, 4),
        ]
    };
    ($t:ty, $a:tt) => {
        [
            hot2::<$t, $a, 0>,
            hot2::<$t, $a, 1>,
            hot2::<$t, $a, 2>,
            hot2::<$t, $a, 3>,
            hot2::<$t, $a, 4>,
        ]
    };
}
macro_rules! table3 {
    ($t:ty) => {
        [
            table3!($t, 0),
            table3!($t, 1),
            table3!($t, 2),
            table3!($t, 3),
            table3!($t, 4),
        ]
    };
    ($t:ty, $a:tt) => {
        [
            table3!($t, $a, 0),
            table3!($t, $a, 1),
            table3!($t, $a, 2),
            table3!($t, $a, 3),
            table3!($t, $a, 4),
        ]
    };
    ($t:ty, $a:tt, $b:tt) => {
        [
            hot3::<$t, $a, $b, 0>,
            hot3::<$t, $a, $b, 1>,
            hot3::<$t, $a, $b, 2>,
            hot3::<$t, $a, $b, 3>,
            hot3::<$t, $a, $b, 4>,
        ]
    };
}

/// Handlers of a form by placement.
pub(crate) trait Placed1: Hot1 + Sized {
    const HANDLERS: &'static [Handler; 5] = &table1!(Self);
}
impl<T: Hot1> Placed1 for T {}

/// Handlers of a form by placement.
pub(crate) trait Placed2: Hot2 + Sized {
    const HANDLERS: &'static [[Handler; 5]; 5] = &table2!(Self);
}
impl<T: Hot2> Placed2 for T {}

/// Handlers of a form by placement.
pub(crate) trait Placed3: Hot3 + Sized {
    const HANDLERS: &'static [[[Handler; 5]; 5]; 5] = &table3!(Self);
}
impl<T: Hot3> Placed3 for T {}

/// Placement of a base register's slot.
#[inline(always)]
pub(crate) fn place_base(slot: u8) -> usize {
    if slot == SLOT_SP {
        usize::from(PLACE_SP)
    } else {
        place(slot)
    }
}

/// Placement of a slot.
#[inline(always)]
pub(crate) fn place(slot: u8) -> usize {
    usize::from(slot.wrapping_sub(SLOT_PINNED).min(PINNED))
}

/// Defines forms: `Name<const params> = |c, op, slots...| body`.
macro_rules! forms {
    ($trait:ident ($($slot:ident),*) $($(#[$meta:meta])* $name:ident $(<$(const $p:ident: $pt:ty),*>)? $(part($part:expr))? $(data $data:literal)? = |$c:ident, $op:ident $(, $arg:ident)*| $body:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name $(<$(const $p: $pt),*>)?;
        impl $(<$(const $p: $pt),*>)? $crate::interp::hot::$trait for $name $(<$($p),*>)? {
            $(const DATA: usize = $data;)?
            $(const PART: u8 = $part;)?
            #[inline(always)]
            unsafe fn run<C: $crate::cx::Cx>(
                $c: &mut C,
                $op: *const $crate::interp::op::Op
                $(, $arg: u8)*
            ) -> $crate::cx::Step {
                $body
            }
        }
    )*};
}
pub(crate) use forms;
