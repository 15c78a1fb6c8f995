//! CPU state, instruction semantics and the threaded-code interpreter.

mod atomics;
mod crypto;
mod cx;
mod engine;
mod flags;
mod hostfp;
mod idregs;
mod interp;
mod lanes;
mod sem;
mod softfloat;
mod state;

pub use idregs::counter;
pub use engine::{Engine, Exit, Kicker, Vcpu};
pub use interp::{Interpreter, Options};
pub use state::CpuState;
