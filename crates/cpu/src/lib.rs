//! CPU state, instruction semantics and the threaded-code interpreter.

#![allow(
    clippy::precedence,
    reason = "shifts and masks read best as in the manual"
)]

mod atomics;
mod crypto;
mod cx;
mod engine;
mod flags;
mod hostfp;
mod idregs;
mod interp;
mod lanes;
mod quadword;
mod random;
mod sem;
mod softfloat;
mod state;

pub use engine::{Engine, Exit, Kicker, Vcpu, Watch};
pub use idregs::{counter, read as id_register};
pub use interp::{Interpreter, Options};
pub use state::CpuState;
