//! Linux/AArch64 ABI vocabulary: numbers, structs, flags, Errno, Signal.

#![forbid(unsafe_code)]
