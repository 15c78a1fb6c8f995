//! The only door to the host operating system.
//!
//! Concrete modules, no generics: [`mem`] (anonymous memory), [`time`] (clocks), [`entropy`] (random bytes), [`fs`] (files),
//! [`thread`] (threads and their processor time), [`poll`] (the reactor). Hosts are Linux and Darwin; where
//! they differ, the difference is inside these modules. Nothing here knows about guests.

pub mod entropy;
pub mod errno;
pub mod fs;
pub mod mem;
pub mod poll;
pub mod thread;
pub mod time;
