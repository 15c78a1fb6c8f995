//! The A64 instruction set: table, decoder, encoder, disassembler.

#![forbid(unsafe_code)]
