//! Signal dispositions: sigaction(2).

use parking_lot::Mutex;
use tuxlet_uapi::signal::{DefaultAction, SIG_DFL, SIG_IGN, SigAction, SigSet, Signal};

/// The dispositions of a process.
#[derive(Debug)]
pub struct SigHand {
    actions: Mutex<[SigAction; 64]>,
}

impl Default for SigHand {
    fn default() -> Self {
        Self {
            actions: Mutex::new([SigAction::default(); 64]),
        }
    }
}

impl SigHand {
    /// A private copy: fork(2).
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            actions: Mutex::new(*self.actions.lock()),
        }
    }

    /// A signal's disposition.
    #[must_use]
    pub fn get(&self, signal: Signal) -> SigAction {
        self.actions.lock()[signal.index()]
    }

    /// Sets a disposition and returns the old one.
    pub fn set(&self, signal: Signal, action: SigAction) -> SigAction {
        std::mem::replace(&mut self.actions.lock()[signal.index()], action)
    }

    /// Handlers become the default action, ignored signals stay ignored: execve(2), `CLONE_CLEAR_SIGHAND`.
    pub fn reset_handlers(&self) {
        for action in self.actions.lock().iter_mut() {
            let sa_handler = if action.is_ignore() { SIG_IGN } else { SIG_DFL };
            *action = SigAction {
                sa_handler,
                ..SigAction::default()
            };
        }
    }

    /// Whether the signal would have no effect if delivered now.
    #[must_use]
    pub fn ignores(&self, signal: Signal) -> bool {
        let action = self.get(signal);
        action.is_ignore()
            || (action.is_default() && signal.default_action() == DefaultAction::Ignore)
    }

    /// The sets of ignored and of caught signals, for `/proc/PID/status`.
    #[must_use]
    pub fn summary(&self) -> (SigSet, SigSet) {
        let actions = self.actions.lock();
        let set =
            |f: fn(&SigAction) -> bool| Signal::all().filter(|s| f(&actions[s.index()])).collect();
        (
            set(SigAction::is_ignore),
            set(|a| !a.is_ignore() && !a.is_default()),
        )
    }
}
