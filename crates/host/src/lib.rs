//! The only door to the host operating system.
