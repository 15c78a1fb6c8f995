//! The first and last two instructions of almost every function, as one op each.
//!
//! Only the first op of a pair is replaced; the second keeps its own, so that the slow path and
//! kicks need no special case.

use super::memory::{Access, Ldp, POST, PRE, Stp};
use crate::cx::Trap;
use crate::interp::control::{go_to, is_kicked, slow_entry};
use crate::interp::cpu::Cpu;
use crate::interp::op::{Op, PINNED as MEMORY, PLACE_SP, SLOT_SP, next};
use crate::interp::pinned::Pinned;

/// `STP X29, X30, [SP, #imm]!` and then `MOV X29, SP`.
pub(crate) unsafe extern "C-unwind" fn prologue(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op and `cpu` this thread's.
    unsafe {
        match Stp::<true, PRE>::run::<true, MEMORY, MEMORY, PLACE_SP>(&mut c, ip) {
            Ok(ip) => {
                c.set(29, c.get(SLOT_SP));
                next!(ip.add(2), c)
            }
            Err(Trap) => slow_entry(ip, cpu, p0, p1, p2, p3),
        }
    }
}

/// `LDP X29, X30, [SP], #imm` and then `RET`.
pub(crate) unsafe extern "C-unwind" fn epilogue(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    // SAFETY: `ip` is the running op and `cpu` this thread's.
    unsafe {
        match Ldp::<true, POST>::run::<true, MEMORY, MEMORY, PLACE_SP>(&mut c, ip) {
            Ok(ip) if is_kicked(c.cpu) => next!(ip.add(1), c),
            Ok(ip) => {
                let target = c.get(30);
                go_to(ip, c, target)
            }
            Err(Trap) => slow_entry(ip, cpu, p0, p1, p2, p3),
        }
    }
}
