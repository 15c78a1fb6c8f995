//! The memory file system.

#![forbid(unsafe_code)]
