//! CPU state, instruction semantics and the threaded-code interpreter.

mod crypto;
mod cx;
mod hostfp;
mod lanes;
mod sem;
pub(crate) mod softfloat;
mod state;

pub use state::CpuState;
