//! Line discipline and termios as a pure state machine.

#![forbid(unsafe_code)]
