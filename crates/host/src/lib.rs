//! The only door to the host operating system.
//!
//! Concrete modules, no generics: [`mem`] (anonymous memory), [`time`] (clocks), [`entropy`] (random bytes), [`net`] (sockets),
//! [`fs`] (files), [`channel`] (descriptors for other processes), [`thread`] (threads and their processor time), [`cache`] (the processors' caches), [`poll`] (the reactor), `process` (programs of the host), [`signal`] and [`terminal`] (of this
//! process). Hosts are Linux and Darwin; where
//! they differ, the difference is inside these modules. Nothing here knows about guests.

pub mod cache;
pub mod channel;
pub mod entropy;
pub mod errno;
pub mod fs;
pub mod mem;
pub mod net;
pub mod poll;
#[cfg(not(target_os = "ios"))]
pub mod process;
pub mod signal;
pub mod stream;
pub mod terminal;
pub mod thread;
pub mod time;
