//! The A64 instruction set: one table row per encoding, and the decoder, encoder,
//! disassembler and random generator made from the rows. Nothing is executed here.
//!
//! The tables are `isa/*.isa` (format: `isa/README.md`); `cargo xtask isa` turns them into
//! the checked-in [`generated`](crate) code: one struct per row, [`OpId`], [`Feature`],
//! and the macros [`for_each_insn!`] and [`for_each_done_insn!`].
//!
//! Scope: A64 at EL0 up to Armv8.6 plus a few later extensions (CSSC, MOPS, WFxT); no SVE,
//! SME, MTE. Rows marked `absent` or `unadvertised` decode, so that they have a name, but nobody executes them.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod arbitrary;
mod decode;
mod generated;
pub mod imm;
mod text;

pub use arbitrary::arbitrary;
pub use decode::{Insn, decode};
pub use generated::*;
pub use text::disassemble;
