//! Linux/AArch64 ABI vocabulary: numbers, structs, flags, [`Errno`], [`Signal`].
//!
//! Modules are named by the word of the Linux header or manual page they come from.
//! Nothing here does anything: the crate holds the names, values and memory layouts
//! of Linux 6.12 on arm64, so that every other crate says `EINVAL` and means the same.
//! Constants come in groups; each group is also a table of `(name, value)` pairs
//! (used to print system calls and to check the values against the C headers).
//!
//! See also: `tests/uapi.c`, which prints the same facts from the C headers.

#![forbid(unsafe_code)]

#[macro_use]
mod macros;

pub mod aio;
pub mod auxv;
pub mod capability;
pub mod dirent;
pub mod elf;
pub mod epoll;
pub mod errno;
pub mod eventfd;
pub mod fcntl;
pub mod futex;
pub mod genetlink;
pub mod inotify;
pub mod io_uring;
pub mod ioctl;
pub mod ipc;
pub mod mman;
pub mod mount;
pub mod netlink;
pub mod nr;
pub mod poll;
pub mod prctl;
pub mod ptrace;
pub mod random;
pub mod reboot;
pub mod resource;
pub mod rseq;
pub mod sched;
pub mod signal;
pub mod signalfd;
pub mod sock_diag;
pub mod socket;
pub mod stat;
pub mod sysinfo;
pub mod termios;
pub mod time;
pub mod timerfd;
pub mod utsname;
pub mod wait;

pub use errno::{Errno, Result};
pub use macros::Layout;
pub use signal::{SigSet, Signal};
