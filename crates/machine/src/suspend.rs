//! Suspending a machine: for apps that go to the background, where they must hold no locks and may be ended without notice.

use crate::{Error, Machine, Result};
use std::time::{Duration, Instant};

impl Machine {
    /// Holds all threads of the machine still, makes everything that was written durable, closes the stores' databases and releases
    /// their locks. [`Error::Restless`] if a thread did not come to rest in time; the machine goes on then, as after every error.
    ///
    /// To guests it is like a stop signal that nobody sees: sleeps in system calls go on when the machine does, except for the few calls
    /// that signal(7) says fail with `EINTR` after a stop. Until [`Machine::resume`], commands cannot be started, and files of stores
    /// that are not in memory cannot be used (`EAGAIN`). Sockets stay as they are: whether the host keeps them is its business.
    pub fn suspend(&self, timeout: Duration) -> Result<()> {
        let mut suspended = self.inner.suspended.lock();
        if *suspended {
            return Ok(());
        }
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now);
        if !self.inner.kernel.freeze(deadline) {
            return Err(Error::Restless);
        }
        if let Err(error) = self.inner.root.suspend() {
            self.inner.kernel.thaw();
            return Err(error);
        }
        *suspended = true;
        Ok(())
    }

    /// Whether it is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        *self.inner.suspended.lock()
    }

    /// Takes hold of the stores again and lets all threads go on. Listening sockets that the host has ended meanwhile, as iOS does, listen
    /// again at the same addresses; connections of such a host are lost, and guests see that. The realtime clock is announced as set, so that timers that asked for it
    /// hear of the gap (`TFD_TIMER_CANCEL_ON_SET`); `CLOCK_MONOTONIC` has gone on meanwhile. An error leaves the machine suspended: if
    /// somebody else has a store open, trying again later helps; if it was changed, nothing does.
    pub fn resume(&self) -> Result<()> {
        let mut suspended = self.inner.suspended.lock();
        if !*suspended {
            return Ok(());
        }
        self.inner.root.resume()?;
        for errno in self.inner.kernel.net.renew_listeners() {
            tracing::warn!("a guest's listening socket cannot be made again: {errno}");
        }
        self.inner.kernel.thaw();
        *suspended = false;
        Ok(())
    }
}
