//! What is particular to AArch64: signal frames, the vDSO, hardware capabilities.

pub mod esr;
pub mod hwcap;
pub mod sigframe;
pub mod vdso;
