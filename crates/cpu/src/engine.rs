//! The seam between the kernel and an execution engine.

use std::sync::Arc;

use tuxlet_mem::{AddressSpace, Fault, VcpuLink};

use crate::CpuState;

/// Why a virtual CPU stopped running guest code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `SVC`: a system call; pc is after the instruction.
    Syscall,
    /// A memory access failed; pc is at the instruction, which has had no effect.
    Fault(Fault),
    /// Misaligned pc, or a misaligned access that must be aligned; pc is at the instruction.
    Unaligned {
        /// Guest address of the access.
        addr: u64,
    },
    /// An access with SP as its base while SP is not a multiple of 16; pc is at the instruction.
    MisalignedStack,
    /// The instruction is not allocated or not implemented; pc is at it.
    Undefined {
        /// The instruction word.
        word: u32,
    },
    /// `BRK` with its comment; pc is at the instruction.
    Breakpoint(u16),
    /// An access that a [`Watch`] is for; pc is at the instruction, which has had no effect.
    Watchpoint {
        /// The first watched guest address that it concerns.
        addr: u64,
    },
    /// Somebody called [`Kicker::kick`]; pc is at the next instruction to run.
    Kicked,
}

/// A range of guest memory whose accesses are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// Loads count.
    pub load: bool,
    /// Stores count.
    pub store: bool,
}

/// Makes virtual CPUs for address spaces.
pub trait Engine: Send + Sync {
    /// A virtual CPU that runs code of `mm`. Its registers are those given to [`Vcpu::run`].
    fn vcpu(&self, mm: Arc<AddressSpace>) -> Box<dyn Vcpu>;
}

/// Runs the code of one guest thread.
pub trait Vcpu: Send {
    /// Runs from `state.pc` until something needs the kernel.
    fn run(&mut self, state: &mut CpuState) -> Exit;
    /// A handle with which other threads can make [`Vcpu::run`] return.
    fn kicker(&self) -> Kicker;
    /// Executes exactly one instruction, for ptrace. `None` when it completed without an exit.
    fn step(&mut self, state: &mut CpuState) -> Option<Exit>;
    /// As [`Vcpu::step`]; an instruction that would access a watched range is not executed.
    fn step_watched(&mut self, state: &mut CpuState, watches: &[Watch]) -> Option<Exit>;
}

/// Makes a running virtual CPU return [`Exit::Kicked`]; if it is not running, the next time it runs.
#[derive(Clone, Debug)]
pub struct Kicker(Arc<VcpuLink>);

impl Kicker {
    pub(crate) fn new(link: Arc<VcpuLink>) -> Self {
        Kicker(link)
    }

    /// Asks the virtual CPU to return soon.
    pub fn kick(&self) {
        self.0.request();
    }
}
