//! CPU state, instruction semantics and the threaded-code interpreter.

mod cx;
mod sem;
pub(crate) mod softfloat;
mod state;

pub use state::CpuState;
