//! What instructions do: one function per row of the instruction table, named as the row in
//! snake case, in a file per group of the Arm manual.
//!
//! `pub(crate) fn add_shifted<C: Cx>(c: &mut C, i: a64::AddShifted) -> Step`; every function is
//! re-exported here, because the engine finds it as `sem::<row>`.

mod atomic;
mod branch;
mod crypto;
pub(crate) mod dpimm;
pub(crate) mod dpreg;
mod fp;
mod fp_ops;
pub(crate) mod ldst;
mod mops;
mod simd;
mod simd_fp;
mod simd_int;
mod simd_ldst;
mod simd_mul;
mod simd_perm;
mod simd_shift;
mod system;

pub(crate) use atomic::*;
pub(crate) use branch::*;
pub(crate) use crypto::*;
pub(crate) use dpimm::*;
pub(crate) use dpreg::*;
pub(crate) use fp::*;
pub(crate) use ldst::*;
pub(crate) use mops::*;
pub(crate) use simd_fp::*;
pub(crate) use simd_int::*;
pub(crate) use simd_ldst::*;
pub(crate) use simd_mul::*;
pub(crate) use simd_perm::*;
pub(crate) use simd_shift::*;
pub(crate) use system::*;
