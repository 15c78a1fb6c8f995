//! The userspace Linux kernel: tasks, signals, memory of processes, system calls.
//!
//! One host thread runs one guest thread ([`task::CurrentTask::run`]): it enters the engine, handles the exit
//! (system call, fault, kick), delivers signals and goes round again. Everything shared lives behind `Arc`s so
//! that the `CLONE_*` flags are "clone the `Arc` or copy the thing".
//!
//! The kernel never names a concrete file system or engine; `machine` puts them together.

#![forbid(unsafe_code)]

pub mod aio;
pub mod anon;
pub mod arch;
pub mod async_io;
pub mod cgroup;
pub mod clock;
pub mod config;
pub mod dev;
pub mod epoll;
pub mod eventfd;
pub mod exec;
pub mod fd;
pub mod freezer;
mod fs_context;
pub mod futex;
pub mod hooks;
pub mod host_pipe;
pub mod host_stream;
pub mod inotify;
pub mod io_uring;
pub mod ipc;
pub mod kernel;
pub mod log;
pub mod memfd;
pub mod native;
pub mod ns;
pub mod pidfd;
pub mod pipe;
pub mod procfs;
pub mod ptrace;
pub mod seccomp;
pub mod signal;
pub mod signalfd;
pub mod special;
pub mod syscall;
pub mod sysfs;
pub mod task;
pub mod timer;
pub mod timerfd;
pub mod tty;
pub mod wait;

pub use config::{Config, EventSink};
pub use kernel::{Kernel, Spawn, Stdio};
pub use task::{CurrentTask, Task, ThreadGroup};
