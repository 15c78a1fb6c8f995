//! The state a virtual CPU works on while it runs guest code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use tuxlet_mem::{AddressSpace, Tlb, VcpuLink};

use super::cache::CodeCache;
use super::op::{Op, Pins, SLOT_SP, SLOTS};
use crate::cx::Monitor;
use crate::flags::Flags;
use crate::{CpuState, Exit, Watch};

/// Entries of the jump cache.
pub(crate) const JUMPS: usize = 4096;

/// An entry of the jump cache: where the translation of `pc` starts.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Jump {
    pub(crate) pc: u64,
    pub(crate) op: *const Op,
}

/// Index of `pc` in the jump cache.
#[inline(always)]
pub(crate) fn jump_index(pc: u64) -> usize {
    (pc >> 2) as usize & (JUMPS - 1)
}

/// No address: no resume point.
pub(crate) const NO_ADDR: u64 = !0;

/// Engine state of one guest thread. Hot fields first, so that handlers reach them with short
/// displacements.
#[repr(C, align(64))]
pub(crate) struct Cpu {
    /// Register slots, see `op::SLOT_*`; those of pinned registers are stale while handlers run.
    pub(crate) regs: [u64; SLOTS],
    /// Condition flags.
    pub(crate) flags: Flags,
    /// The registers in handler arguments while handlers run.
    pub(crate) pins: Pins,
    /// All ones or 0 ahead of an op that consumes a condition.
    pub(crate) mask: u64,
    /// Non-zero asks taken branches to come to the slow path.
    pub(crate) kick: *const AtomicU32,
    pub(crate) fpcr: u32,
    pub(crate) fpsr: u32,
    /// PSTATE.DIT.
    pub(crate) dit: bool,
    pub(crate) tpidr: u64,
    /// SIMD and floating-point registers.
    pub(crate) v: [u128; 32],
    /// Address translations.
    pub(crate) tlb: Tlb,
    /// Targets of indirect branches.
    pub(crate) jumps: [Jump; JUMPS],

    /// Where the instruction that just ran branches to, or [`NO_ADDR`].
    pub(crate) jump_to: u64,
    /// The op that is running outside the fast path; null when there is none and `pc` is valid.
    pub(crate) ip: *const Op,
    pub(crate) monitor: Monitor,
    /// Ranges whose accesses are of interest; their pages are not in the TLB then.
    pub(crate) watches: Vec<Watch>,
    /// Why guest mode ends.
    pub(crate) exit: Option<Exit>,
    /// Program counter, valid outside handlers.
    pub(crate) pc: u64,
    /// Where translated code continues if guest mode is entered again at `resume_pc`.
    pub(crate) resume: *const Op,
    pub(crate) resume_pc: u64,
    /// The pinned registers there.
    pub(crate) resume_pins: Pins,
    /// The flags there: code behind its block's start may count on their kind.
    pub(crate) resume_flags: Flags,
    /// Generation of the code cache that `jumps` and `resume` belong to.
    pub(crate) generation: u64,
    pub(crate) gate: Arc<Gate>,
    pub(crate) mm: Arc<AddressSpace>,
    pub(crate) code: Arc<CodeCache>,
}

// SAFETY: the raw pointers lead to the link and the code cache, which the Arcs keep alive and
// which are shared between threads by design.
unsafe impl Send for Cpu {}

/// What other threads see of a virtual CPU with respect to translated code.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Where to announce changes of the code cache.
    pub(crate) link: Arc<VcpuLink>,
    /// Running translated code.
    pub(crate) running: AtomicBool,
    /// Generation of the code cache at the last safe point.
    pub(crate) seen: AtomicU64,
}

impl Cpu {
    /// Forgets all pointers into translated code.
    pub(crate) fn forget_code(&mut self) {
        // SAFETY: all-zero bytes are valid for `Jump`.
        unsafe { core::ptr::write_bytes(self.jumps.as_mut_ptr(), 0, JUMPS) };
        // Address 0 must not match at its index; 4 belongs to another index.
        self.jumps[0].pc = 4;
        self.resume_pc = NO_ADDR;
    }

    /// Takes over the architectural state.
    pub(crate) fn load_state(&mut self, s: &CpuState) {
        self.regs[..31].copy_from_slice(&s.x);
        self.regs[usize::from(SLOT_SP)] = s.sp;
        self.flags = Flags::from_nzcv(s.nzcv);
        self.fpcr = s.fpcr;
        self.fpsr = s.fpsr;
        self.dit = s.dit;
        self.tpidr = s.tpidr;
        self.v = s.v;
        self.pc = s.pc;
    }

    /// Hands back the architectural state.
    pub(crate) fn store_state(&self, s: &mut CpuState) {
        s.x.copy_from_slice(&self.regs[..31]);
        s.sp = self.regs[usize::from(SLOT_SP)];
        s.nzcv = self.flags.nzcv();
        s.fpcr = self.fpcr;
        s.fpsr = self.fpsr;
        s.dit = self.dit;
        s.tpidr = self.tpidr;
        s.v = self.v;
        s.pc = self.pc;
    }
}
