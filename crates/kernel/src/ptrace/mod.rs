//! ptrace(2).
//!
//! A tracee stops itself ([`stop`]): it leaves a copy of its registers in its [`Ptrace`] state and sleeps until the
//! tracer sets what it resumes with. In between the tracer's requests (`request`, `regset`) work on that copy.
//! Who traces whom is kept in the process tree (`links`), where wait(2) finds it.

mod access;
mod attach;
mod debug;
mod links;
pub(crate) mod regset;
pub(crate) mod request;
pub(crate) mod stop;

pub(crate) use access::{AccessMode, may_access};
pub(crate) use links::{Tracee, Tracees};

use crate::task::{Task, hook, work};
use parking_lot::MutexGuard;
use std::{fmt, sync::Arc};
use tuxlet_cpu::CpuState;
use tuxlet_uapi::{
    ptrace::{
        PTRACE_EVENT_STOP, PTRACE_O_EXITKILL, PTRACE_O_SUSPEND_SECCOMP, PTRACE_O_TRACECLONE,
        PTRACE_O_TRACEEXEC, PTRACE_O_TRACEEXIT, PTRACE_O_TRACEFORK, PTRACE_O_TRACESECCOMP,
        PTRACE_O_TRACESYSGOOD, PTRACE_O_TRACEVFORK, PTRACE_O_TRACEVFORKDONE,
    },
    signal::SigInfo,
};

/// All options that there are.
pub(crate) const OPTIONS: u32 = PTRACE_O_TRACESYSGOOD
    | PTRACE_O_TRACEFORK
    | PTRACE_O_TRACEVFORK
    | PTRACE_O_TRACECLONE
    | PTRACE_O_TRACEEXEC
    | PTRACE_O_TRACEVFORKDONE
    | PTRACE_O_TRACEEXIT
    | PTRACE_O_TRACESECCOMP
    | PTRACE_O_EXITKILL
    | PTRACE_O_SUSPEND_SECCOMP;

/// A thread as its tracer sees it.
#[derive(Default)]
pub struct Ptrace {
    /// The thread that traces this one.
    pub(crate) tracer: Option<Arc<Task>>,
    /// Attached with `PTRACE_SEIZE`, not with `PTRACE_ATTACH` or `PTRACE_TRACEME`.
    pub(crate) seized: bool,
    /// `PTRACE_O_*`.
    pub(crate) options: u32,
    /// Is to stop without a signal: `PTRACE_INTERRUPT`, the start of a seized child, a group stop met at attaching.
    pub(crate) trap_stop: bool,
    /// A seized tracee is to tell of a change of its group stop.
    pub(crate) trap_notify: bool,
    /// `PTRACE_LISTEN`: rests in the stop, but new stops end it.
    pub(crate) listening: bool,
    /// Was told to die: no stop lasts.
    pub(crate) killed: bool,
    /// `PTRACE_GETEVENTMSG`.
    pub(crate) message: u64,
    /// Break- and watchpoints.
    pub(crate) debug: debug::DebugRegisters,
    /// The stop that the thread is in.
    pub(crate) stop: Option<Stop>,
}

/// A ptrace stop.
#[derive(Debug)]
pub(crate) struct Stop {
    /// What wait(2) reports: the signal, with an event above it.
    pub(crate) code: i32,
    /// wait(2) has reported it.
    pub(crate) reported: bool,
    /// `PTRACE_GETSIGINFO`; `None` in the group stop of an attached thread.
    pub(crate) info: Option<SigInfo>,
    /// The thread's registers, which it takes back when it goes on.
    pub(crate) regs: Box<CpuState>,
    /// Number of the system call that the thread is in, -1 outside.
    pub(crate) syscall: i32,
    /// `x0` at the entry of that call.
    pub(crate) orig_x0: u64,
    /// Set to let the thread go on, with the signal to deliver or 0.
    pub(crate) resume: Option<i32>,
}

impl fmt::Debug for Ptrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ptrace")
            .field("tracer", &self.tracer.as_ref().map(|t| t.tid()))
            .field("stop", &self.stop.as_ref().map(|s| s.code))
            .finish_non_exhaustive()
    }
}

impl Ptrace {
    /// The stop, if the thread rests in it.
    pub(crate) fn resting(&mut self) -> Option<&mut Stop> {
        self.stop.as_mut().filter(|s| s.resume.is_none())
    }
}

impl Stop {
    /// The `PTRACE_EVENT_*` of the stop, 0 for none.
    fn event(&self) -> u32 {
        (self.code >> 8).cast_unsigned()
    }

    fn is_event_stop(&self) -> bool {
        self.info.is_some() && self.event() == PTRACE_EVENT_STOP
    }
}

impl Task {
    /// Whether a thread traces this one.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.hooks() & hook::TRACED != 0
    }

    /// The id of the tracing thread, 0 for none: `TracerPid`.
    #[must_use]
    pub fn tracer_id(&self) -> u32 {
        self.ptrace.lock().tracer.as_ref().map_or(0, |t| t.tid())
    }

    /// Lets the thread go on.
    fn resume(&self, mut state: MutexGuard<'_, Ptrace>, signal: i32) {
        if let Some(stop) = state.resting() {
            stop.resume = Some(signal);
            self.set_run_state(crate::task::RunState::Running);
        }
        drop(state);
        self.waiter().notify();
    }

    /// Makes a seized thread tell its tracer of a beginning or ending group stop.
    pub(crate) fn trap_notify(&self) {
        let mut state = self.ptrace.lock();
        if state.tracer.is_none() || !state.seized {
            return;
        }
        state.trap_notify = true;
        self.wake_listener(state);
    }

    /// Makes the thread look at its traps; ends the rest of one that listens.
    fn wake_listener(&self, state: MutexGuard<'_, Ptrace>) {
        if state.listening {
            self.resume(state, 0);
        } else {
            drop(state);
        }
        self.notify(work::TRAP);
    }

    /// Ends the ptrace stop of a thread that is to die, and makes it notice.
    pub(crate) fn kill(&self) {
        self.ptrace.lock().killed = true;
        self.notify(work::EXIT);
    }
}
