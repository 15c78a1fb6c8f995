//! The instruction set seen through the engine seam: what vectors against a reference cannot show,
//! because the reference lacks it, chooses otherwise, or runs one thread.

#![allow(
    clippy::precedence,
    reason = "shifts and masks read best as in the manual"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at its first surprise"
)]

mod atomicity;
mod cssc;
mod found;
mod guest;
mod litmus;
mod mops;
mod stack;
mod system;
mod traps;
