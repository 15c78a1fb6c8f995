//! `wait4`(2) and `waitid`(2): options and the status word.

consts! {
    /// Options of `wait4`(2) and `waitid`(2).
    pub WAIT: u32 {
        WNOHANG = 0x1,
        WUNTRACED = 0x2,
        WEXITED = 0x4,
        WCONTINUED = 0x8,
        WNOWAIT = 0x1000000,
        __WNOTHREAD = 0x20000000,
        __WALL = 0x40000000,
        __WCLONE = 0x80000000,
    }
}

consts! {
    /// Another name of `WUNTRACED`.
    pub WAIT_ALIASES: u32 {
        WSTOPPED = 0x2,
    }
}

consts! {
    /// `idtype` of `waitid`(2).
    pub P: u32 {
        P_ALL = 0,
        P_PID = 1,
        P_PGID = 2,
        P_PIDFD = 3,
    }
}

use crate::signal::Signal;

/// Status word of a child that exited with `code` (its low 8 bits count).
#[must_use]
pub const fn exited(code: i32) -> i32 {
    (code & 0xff) << 8
}

/// Status word of a child that a signal killed.
#[must_use]
pub const fn signaled(sig: Signal, core_dumped: bool) -> i32 {
    sig.number() | if core_dumped { 0x80 } else { 0 }
}

/// Status word of a child that a signal stopped; `event` is a `PTRACE_EVENT_*` or 0.
#[must_use]
pub const fn stopped(sig: Signal, event: i32) -> i32 {
    event << 16 | sig.number() << 8 | 0x7f
}

/// Status word of a child that was continued.
pub const CONTINUED: i32 = 0xffff;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{SIGSEGV, SIGTSTP};

    #[test]
    fn status_words_are_those_of_linux() {
        assert_eq!(exited(3), 0x300);
        assert_eq!(exited(-1), 0xff00);
        assert_eq!(signaled(SIGSEGV, true), 0x8b);
        assert_eq!(stopped(SIGTSTP, 0), 0x147f);
    }
}
