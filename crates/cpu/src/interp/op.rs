//! The op stream: what a guest block is translated to.

use super::cpu::Cpu;

/// Code of one op. The guest registers that the block pins, X0 to X3 outside of hot loops, travel in the last four
/// arguments; everything else is in the [`Cpu`]. Handlers hand over to the next op's handler (see [`next!`]) and return the op
/// at which a driving loop must go on, or null to leave guest mode.
pub(crate) type Handler =
    unsafe extern "C-unwind" fn(*const Op, *mut Cpu, u64, u64, u64, u64) -> *const Op;

/// Number of guest registers in handler arguments; as a placement: none of them, but in memory.
pub(crate) const PINNED: u8 = 4;
/// Placement of the stack pointer where it has handlers of its own; 4 is "in memory".
pub(crate) const PLACE_SP: u8 = 5;
/// Register slot that always reads zero: XZR as a source.
pub(crate) const SLOT_ZERO: u8 = 31;
/// Register slot of the stack pointer.
pub(crate) const SLOT_SP: u8 = 32;
/// Register slot that nothing reads: XZR as a destination.
pub(crate) const SLOT_TRASH: u8 = 33;
/// First of the slots that stand for the handler arguments, whatever registers those are; what is in memory there is
/// only up to date while a handler that spilled them runs.
pub(crate) const SLOT_PINNED: u8 = 34;
/// Number of register slots.
pub(crate) const SLOTS: usize = 38;

/// The registers in handler arguments, by number, none above 28: the link register and the frame pointer have handlers
/// that know where they are.
pub(crate) type Pins = [u8; 4];
/// The registers in handler arguments outside of hot loops.
pub(crate) const DEFAULT_PINS: Pins = [0, 1, 2, 3];

/// One step of translated code.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Op {
    /// What to run.
    pub(crate) handler: Handler,
    /// Register slots or small immediates, by handler.
    pub(crate) r: [u8; 4],
    /// Immediate, branch displacement in bytes from this op, or the instruction word.
    pub(crate) imm: i32,
}

/// An op position that carries a 64-bit constant for the op before it.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Data {
    /// The constant.
    pub(crate) value: u64,
    pad: u64,
}

impl Data {
    pub(crate) const fn new(value: u64) -> Self {
        Data { value, pad: 0 }
    }
}

impl Op {
    /// The constant in the data position after this op.
    ///
    /// # Safety
    /// `ip` must be an op whose handler is emitted with a data position.
    #[inline(always)]
    pub(crate) unsafe fn data(ip: *const Op) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { (*ip.add(1).cast::<Data>()).value }
    }

    /// Target of a linkable branch op.
    ///
    /// # Safety
    /// `ip` must be a branch op in a code cache.
    #[inline(always)]
    pub(crate) unsafe fn target(ip: *const Op) -> *const Op {
        // SAFETY: the displacement always leads to an op of the same code cache. Another thread
        // may relink it at any time, hence the atomic.
        unsafe {
            let imm = core::sync::atomic::AtomicI32::from_ptr(&raw const (*ip).imm as *mut i32);
            ip.byte_offset(imm.load(core::sync::atomic::Ordering::Relaxed) as isize)
        }
    }
}

/// Goes on with the op at `$ip`, registers as in `$c` (a `Pinned`).
#[cfg(tail_calls)]
macro_rules! next {
    ($ip:expr, $c:expr) => {{
        let ip: *const $crate::interp::op::Op = $ip;
        ((*ip).handler)(ip, $c.cpu, $c.p0, $c.p1, $c.p2, $c.p3)
    }};
}
/// Goes on with the op at `$ip`, registers as in `$c` (a `Pinned`): by way of the driving loop.
#[cfg(not(tail_calls))]
macro_rules! next {
    ($ip:expr, $c:expr) => {{
        let ip: *const $crate::interp::op::Op = $ip;
        $c.spill();
        ip
    }};
}
pub(crate) use next;
