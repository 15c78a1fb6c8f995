//! The `tuxlet` command.

#![forbid(unsafe_code)]

fn main() {}
