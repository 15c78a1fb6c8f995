//! Linux as a library: the public Rust API.

#![forbid(unsafe_code)]
