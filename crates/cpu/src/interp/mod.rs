//! The threaded-code interpreter.
//!
//! Guest code is translated block by block (`translate`) to ops (`op`) in a code cache (`cache`), each of
//! which names its handler. Handlers call the instruction's one semantic function (`crate::sem`) with
//! a context: [`pinned::Pinned`] in fast handlers, the whole [`cpu::Cpu`] (`full`) in others.

mod cache;
mod control;
mod cpu;
mod full;
mod hot;
mod lower;
mod lower_memory;
mod lower_vector;
mod op;
mod pinned;
mod region;
mod rows;
mod stack;
#[cfg(test)]
mod tests;
mod translate;
mod vcpu;

pub use translate::Options;
pub use vcpu::Interpreter;
