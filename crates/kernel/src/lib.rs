//! The userspace Linux kernel: tasks, signals, system calls.

#![forbid(unsafe_code)]
