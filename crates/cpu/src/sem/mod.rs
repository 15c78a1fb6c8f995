//! What instructions do: one function per row of the instruction table, named as the row in
//! snake case, in a file per group of the Arm manual.
//!
//! `pub(crate) fn add_shifted<C: Cx>(c: &mut C, i: a64::AddShifted) -> Step`; every function is
//! re-exported here, because the engine finds it as `sem::<row>`.

mod atomic;
mod branch;
pub(crate) mod dpimm;
pub(crate) mod dpreg;
pub(crate) mod ldst;
mod simd_ldst;
mod system;

pub(crate) use atomic::*;
pub(crate) use branch::*;
pub(crate) use dpimm::*;
pub(crate) use dpreg::*;
pub(crate) use ldst::*;
pub(crate) use simd_ldst::*;
pub(crate) use system::*;
