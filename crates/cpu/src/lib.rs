//! CPU state, instruction semantics and the threaded-code interpreter.
