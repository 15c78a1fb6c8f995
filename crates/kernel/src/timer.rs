//! Timers of a process: timer_create(2), setitimer(2).

use tuxlet_uapi::signal::SigInfo;

/// The POSIX timers and interval timers of a process.
#[derive(Debug, Default)]
pub struct ProcessTimers {}

impl ProcessTimers {
    /// A timer's signal is being delivered: fills in the overrun count.
    #[must_use]
    pub fn delivered(&self, info: SigInfo) -> SigInfo {
        info
    }

    /// Deletes the POSIX timers: execve(2).
    pub fn clear_posix(&self) {}
}
