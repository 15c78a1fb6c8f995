//! Host directories as a guest file system.

#![forbid(unsafe_code)]
