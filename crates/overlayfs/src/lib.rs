//! A writable layer over read-only layers.

#![forbid(unsafe_code)]
