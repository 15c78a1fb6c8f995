//! Where fast handlers go when they cannot go on, and the ops that transfer control.

use core::sync::atomic::Ordering;

use tuxlet_a64 as a64;
use tuxlet_mem::KICK_REQUEST;

use super::cache::{KICK_CODE, next_of, pc_of, word_of};
use super::cpu::{Cpu, Jump, NO_ADDR, jump_index};
use super::op::{Op, next};
use super::pinned::{Pinned, slot};
use super::rows::row;
use crate::Exit;
use crate::flags::Flags;

/// Continues at `next` with registers from memory, or leaves guest mode when it is null.
///
/// # Safety
/// `cpu` must be this thread's, `next` null or an op to run now.
#[inline(always)]
pub(crate) unsafe fn go(cpu: *mut Cpu, next: *const Op) -> *const Op {
    if next.is_null() {
        return next;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let c = Pinned::load_home(cpu);
        next!(next, c)
    }
}

/// Goes on with other registers in handler arguments: those in `r`.
pub(crate) unsafe extern "C-unwind" fn remap(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    let mut c = Pinned::new(ip, cpu, p0, p1, p2, p3);
    c.store_home();
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        let ip = c.settle(ip);
        (*c.cpu).pins = (*ip).r;
        let c = Pinned::load_home(c.cpu);
        next!(Op::target(ip), c)
    }
}

/// Leaves guest mode at the op `ip`, whose exit reason is already known.
///
/// # Safety
/// `cpu` must be this thread's, `ip` its running op.
#[cold]
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn leave(cpu: *mut Cpu, ip: *const Op) -> *const Op {
    // SAFETY: the caller's promise.
    let (cpu, pc) = unsafe { (&mut *cpu, pc_of(ip)) };
    cpu.ip = core::ptr::null();
    cpu.jump_to = NO_ADDR;
    match &mut cpu.exit {
        Some(Exit::Syscall) => {
            cpu.pc = pc.wrapping_add(4);
            // SAFETY: as above; there is always an op after a system call.
            cpu.resume = unsafe { next_of(ip) };
        }
        reason => {
            if let Some(Exit::Undefined { word }) = reason {
                // SAFETY: as above.
                *word = unsafe { word_of(ip) };
            }
            cpu.pc = pc;
            cpu.resume = ip;
        }
    }
    cpu.resume_pc = cpu.pc;
    cpu.resume_pins = cpu.pins;
    cpu.resume_flags = cpu.flags;
    core::ptr::null()
}

/// Takes note of invalidated code; the generation that is current now.
pub(crate) fn catch_up(cpu: &mut Cpu) -> u64 {
    let generation = cpu.code.generation();
    if generation != cpu.generation {
        cpu.forget_code();
        cpu.generation = generation;
        cpu.gate.seen.store(generation, Ordering::SeqCst);
    }
    generation
}

/// The op at `pc`, to be entered with the default registers in handler arguments; null when guest mode ends instead. A
/// safe point. All registers must be in their own slots.
pub(crate) fn enter(cpu: &mut Cpu, pc: u64) -> *const Op {
    cpu.ip = core::ptr::null();
    cpu.jump_to = NO_ADDR;
    cpu.pins = cpu.code.pins();
    // The top byte of a branch target is ignored.
    let pc = ((pc << 8) as i64 >> 8) as u64;
    if pc & 3 != 0 {
        cpu.pc = pc;
        cpu.exit = Some(Exit::Unaligned { addr: pc });
        return core::ptr::null();
    }
    loop {
        let generation = catch_up(cpu);
        let index = jump_index(pc);
        if cpu.jumps[index].pc == pc && !cpu.jumps[index].op.is_null() {
            return cpu.jumps[index].op;
        }
        match cpu.code.find(&cpu.mm, &mut cpu.tlb, pc) {
            Ok(op) => {
                if cpu.code.generation() != generation {
                    continue;
                }
                cpu.jumps[index] = Jump { pc, op };
                return op;
            }
            Err(fault) => {
                cpu.pc = pc;
                cpu.exit = Some(Exit::Fault(fault));
                return core::ptr::null();
            }
        }
    }
}

/// Continues where the instruction that just ran branches to.
///
/// # Safety
/// `cpu` must be this thread's.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn slow_jump(cpu: *mut Cpu) -> *const Op {
    // SAFETY: the caller's promise.
    let cpu = unsafe { &mut *cpu };
    let target = cpu.jump_to;
    // SAFETY: the kick word lives as long as the `Cpu`.
    if unsafe { &*cpu.kick }.load(Ordering::Relaxed) != 0 && take_kick(cpu) {
        cpu.jump_to = NO_ADDR;
        cpu.ip = core::ptr::null();
        cpu.pc = target;
        return core::ptr::null();
    }
    enter(cpu, target)
}

/// Runs the instruction at `ip` with the full context.
#[inline(never)]
unsafe extern "C-unwind" fn slow_step(cpu: *mut Cpu, ip: *const Op) -> *const Op {
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        (*cpu).ip = ip;
        let word = word_of(ip);
        let done = match a64::decode(word).and_then(row) {
            Some(row) => (row.body)(cpu, word),
            None => {
                (*cpu).exit = Some(Exit::Undefined { word });
                false
            }
        };
        if !done {
            leave(cpu, ip)
        } else if (*cpu).jump_to != NO_ADDR {
            slow_jump(cpu)
        } else {
            next_of(ip)
        }
    }
}

/// Where fast handlers go that did not complete their instruction: it runs as a whole with the
/// full context.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn slow_entry(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).store_home();
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe { go(cpu, slow_step(cpu, ip)) }
}

/// As [`slow_entry`] for handlers that have spilled their arguments.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn slow_settled(
    ip: *const Op,
    cpu: *mut Cpu,
    _p0: u64,
    _p1: u64,
    _p2: u64,
    _p3: u64,
) -> *const Op {
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        Pinned::reload(cpu).store_home();
        go(cpu, slow_step(cpu, ip))
    }
}

/// Replaces flags of a kind that a handler does not look at by NZCV, and runs the handler again.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn evaluate_flags(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        (*cpu).flags = Flags::from_nzcv((*cpu).flags.nzcv());
        let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
        next!(ip, c)
    }
}

/// Takes note of what other threads asked for; whether guest mode must end.
#[cold]
pub(crate) fn take_kick(cpu: &mut Cpu) -> bool {
    let kick = cpu.tlb.link.kick.load(Ordering::Relaxed);
    if kick & KICK_CODE != 0 {
        cpu.tlb.link.kick.fetch_and(!KICK_CODE, Ordering::SeqCst);
    }
    cpu.tlb.acknowledge();
    if kick & KICK_REQUEST != 0 && cpu.tlb.link.take_request() {
        cpu.exit = Some(Exit::Kicked);
        return true;
    }
    false
}

#[inline(never)]
unsafe extern "C-unwind" fn kicked(cpu: *mut Cpu, ip: *const Op) -> *const Op {
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        if take_kick(&mut *cpu) {
            return leave(cpu, ip);
        }
        if (*cpu).code.generation() == (*cpu).generation {
            return ip;
        }
        enter(&mut *cpu, pc_of(ip))
    }
}

/// Where branches go that see a kick, before they have done anything.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn kick_entry(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).store_home();
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe { go(cpu, kicked(cpu, ip)) }
}

#[inline(never)]
unsafe extern "C-unwind" fn link(cpu: *mut Cpu, stub: *const Op) -> *const Op {
    // SAFETY: `cpu` is this thread's and `stub` its running op.
    unsafe {
        let cpu = &mut *cpu;
        match cpu
            .code
            .link(&cpu.mm, &mut cpu.tlb, stub, cpu.pins, cpu.generation)
        {
            Ok(Some(op)) if cpu.code.generation() == cpu.generation => op,
            // Faults are reported from there, too.
            _ => {
                let target = super::cache::Stub::unpack((*stub).r, (*stub).imm).target;
                enter(cpu, target)
            }
        }
    }
}

/// The op at the end of a branch that is not linked yet.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn stub(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).store_home();
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe { go(cpu, link(cpu, ip)) }
}

/// `SVC`.
pub(crate) unsafe extern "C-unwind" fn svc(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).store_home();
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        (*cpu).exit = Some(Exit::Syscall);
        leave(cpu, ip)
    }
}

/// An instruction that is not allocated or not implemented.
pub(crate) unsafe extern "C-unwind" fn undefined(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).store_home();
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        (*cpu).exit = Some(Exit::Undefined { word: word_of(ip) });
        leave(cpu, ip)
    }
}

/// Whether a taken branch must look at the kick word first.
///
/// # Safety
/// `cpu` must be this thread's.
#[inline(always)]
pub(crate) unsafe fn is_kicked(cpu: *mut Cpu) -> bool {
    // SAFETY: the caller's promise; the kick word lives as long as the `Cpu`. Other threads write
    // it atomically; a volatile read is what a relaxed load is in hardware, and LLVM merges it
    // into the comparison.
    unsafe { (*cpu).kick.cast::<u32>().read_volatile() != 0 }
}

/// `B`, and the transition from one block to the next.
pub(crate) unsafe extern "C-unwind" fn jump(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        if is_kicked(cpu) {
            return kick_entry(ip, cpu, p0, p1, p2, p3);
        }
        let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
        next!(Op::target(ip), c)
    }
}

/// `BL`; the return address is in the data position.
pub(crate) unsafe extern "C-unwind" fn call(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `cpu` is this thread's and `ip` its running op.
    unsafe {
        if is_kicked(cpu) {
            return kick_entry(ip, cpu, p0, p1, p2, p3);
        }
        (*cpu).regs[30] = Op::data(ip);
        let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
        next!(Op::target(ip), c)
    }
}

/// Looks up the target that an indirect branch left in `jump_to`.
#[inline(never)]
unsafe extern "C-unwind" fn jump_miss(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    Pinned::new(ip, cpu, p0, p1, p2, p3).store_home();
    // SAFETY: `cpu` is this thread's.
    unsafe { go(cpu, slow_jump(cpu)) }
}

/// `BR`, `RET`, and with `LINK` `BLR`, whose return address is in the data position.
pub(crate) unsafe extern "C-unwind" fn indirect<const N: u8, const LINK: bool>(
    ip: *const Op,
    cpu: *mut Cpu,
    p0: u64,
    p1: u64,
    p2: u64,
    p3: u64,
) -> *const Op {
    // SAFETY: `cpu` is this thread's and `ip` its running op, emitted for this placement.
    unsafe {
        if is_kicked(cpu) {
            return kick_entry(ip, cpu, p0, p1, p2, p3);
        }
        let c = Pinned::new(ip, cpu, p0, p1, p2, p3);
        let target = c.get(slot::<N>((*ip).r[1]));
        if LINK {
            (*cpu).regs[30] = Op::data(ip);
        }
        go_to(ip, c, target)
    }
}

/// Continues at the translation of `target`.
///
/// # Safety
/// `ip` must be the running op, `c` its registers.
#[inline(always)]
pub(crate) unsafe fn go_to(ip: *const Op, c: Pinned, target: u64) -> *const Op {
    // SAFETY: the caller's promise; the index is masked to the table. The read is volatile for the
    // same reason as in `Fast::host`.
    unsafe {
        let entry = (&raw const (*c.cpu).jumps)
            .cast::<Jump>()
            .add(jump_index(target));
        let (pc, op) = ((*entry).pc, (&raw const (*entry).op).read_volatile());
        if pc == target {
            next!(op, c)
        } else {
            (*c.cpu).jump_to = target;
            jump_miss(ip, c.cpu, c.p0, c.p1, c.p2, c.p3)
        }
    }
}
