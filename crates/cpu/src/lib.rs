//! CPU state, instruction semantics and the threaded-code interpreter.

mod cx;
mod sem;
mod state;

pub use state::CpuState;
