//! The architectural state of one AArch64 thread at EL0.

/// Everything a guest thread's registers hold. This is what the kernel saves in signal frames,
/// shows to ptrace and copies at clone; the engine works on a private copy while it runs.
#[repr(C, align(16))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuState {
    /// SIMD and floating-point registers V0 to V31.
    pub v: [u128; 32],
    /// General registers X0 to X30.
    pub x: [u64; 31],
    /// Stack pointer.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
    /// Thread pointer, TPIDR_EL0.
    pub tpidr: u64,
    /// Condition flags in PSTATE position: N bit 31, Z 30, C 29, V 28; other bits zero.
    pub nzcv: u32,
    /// PSTATE.DIT: timing is to be independent of data, which costs nothing here because no handler's
    /// timing is specified; the bit is only kept.
    pub dit: bool,
    /// Floating-point control register.
    pub fpcr: u32,
    /// Floating-point status register.
    pub fpsr: u32,
}

impl CpuState {
    /// State with every register zero, as at the start of a program.
    pub const fn new() -> Self {
        CpuState {
            v: [0; 32],
            x: [0; 31],
            sp: 0,
            pc: 0,
            tpidr: 0,
            nzcv: 0,
            dit: false,
            fpcr: 0,
            fpsr: 0,
        }
    }

    /// The condition flags' bits of PSTATE.
    pub const NZCV: u64 = 0xf000_0000;
    /// The bit of PSTATE.DIT.
    pub const DIT: u64 = 1 << 24;

    /// PSTATE in the layout of SPSR_EL1, as signal frames and ptrace show it.
    #[must_use]
    pub const fn pstate(&self) -> u64 {
        self.nzcv as u64 | if self.dit { Self::DIT } else { 0 }
    }

    /// Takes over the bits of PSTATE that a program may set.
    pub const fn set_pstate(&mut self, pstate: u64) {
        self.nzcv = (pstate & Self::NZCV) as u32;
        self.dit = pstate & Self::DIT != 0;
    }
}

impl Default for CpuState {
    fn default() -> Self {
        Self::new()
    }
}
