//! Terminals as pure state machines: the `N_TTY` line discipline and pseudo-terminal pairs.
//!
//! [`Ldisc`] is what stands between a terminal's wire and the programs that read and write
//! it: echo, line editing, signals from keys, flow control, output processing. [`Pty`] puts
//! a line discipline between two queues, which makes a pseudo-terminal. Neither blocks,
//! knows tasks or does I/O: bytes in, bytes and events out. The kernel's `devpts` and console
//! own them, deliver the signals and wake the waiters.
//!
//! The behaviour is that of Linux 6.12's `drivers/tty/n_tty.c` as observed from outside;
//! `tests/host_pty.rs` replays scripts on a host pseudo-terminal and compares.
//! See `termios`(3), `ioctl_tty`(2), `pty`(7).

#![forbid(unsafe_code)]

mod echo;
mod input;
mod ldisc;
mod output;
mod pty;

pub use ldisc::{FlowAction, INPUT_LIMIT, Ldisc, Output, Queue, ReadOutcome, ReadPolicy};
pub use pty::{MasterRead, Pty};
