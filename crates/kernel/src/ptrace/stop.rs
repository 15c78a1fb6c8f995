//! The tracee's side: stopping for the tracer.

use super::Stop;
use crate::{
    kernel::Kernel,
    signal::send_to_group,
    task::{CurrentTask, ExitKind, RunState, Task, WaitStatus, hook, work},
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::Errno,
    ptrace::{
        PTRACE_EVENT_EXEC, PTRACE_EVENT_EXIT, PTRACE_EVENT_STOP, PTRACE_EVENTMSG_SYSCALL_ENTRY,
        PTRACE_EVENTMSG_SYSCALL_EXIT, PTRACE_O_TRACESYSGOOD,
    },
    signal::{CLD_STOPPED, CLD_TRAPPED, SA_NOCLDSTOP, SI_USER, SigInfo, Signal},
};

/// `SIGTRAP`.
const TRAP: i32 = Signal::SIGTRAP.number();
/// What `PTRACE_O_TRACESYSGOOD` adds to the signal of system call stops.
const SYSGOOD: i32 = 0x80;
/// What `x7` shows in the stop at a system call's entry; at the exit it is [`LEAVE`].
const ENTER: u64 = 0;
/// See [`ENTER`].
const LEAVE: u64 = 1;

/// How a stop ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resumed {
    /// The signal that the tracer gave, 0 for none.
    pub(crate) signal: i32,
    /// The signal's information, which the tracer may have changed.
    pub(crate) info: Option<SigInfo>,
    /// The thread is to die.
    pub(crate) killed: bool,
}

impl CurrentTask {
    /// Stops until the tracer lets the thread go on. `code` is for wait(2), `why` (`CLD_*`) for `SIGCHLD`.
    pub(crate) fn ptrace_stop(
        &mut self,
        code: i32,
        why: i32,
        message: u64,
        info: Option<SigInfo>,
    ) -> Resumed {
        let tracer = {
            let mut state = self.task.ptrace.lock();
            let Some(tracer) = state.tracer.clone() else {
                let signal = if code < SYSGOOD { code } else { 0 };
                return Resumed {
                    signal,
                    info,
                    killed: state.killed,
                };
            };
            // Any stop is one that was asked for; only a stop of that kind tells of changes.
            state.trap_stop = false;
            if code >> 8 == PTRACE_EVENT_STOP.cast_signed() {
                state.trap_notify = false;
            }
            state.message = message;
            state.stop = Some(Stop {
                code,
                reported: false,
                info,
                regs: self.cpu.clone(),
                syscall: self.syscall_nr,
                orig_x0: self.orig_x0,
                resume: None,
            });
            self.task.set_run_state(RunState::Traced);
            tracer
        };
        self.kernel
            .tell_tracer(&tracer, &self.task, why, code & 0x7f);
        drop(tracer);
        let resumed = loop {
            {
                let mut state = self.task.ptrace.lock();
                let killed = state.killed;
                if let Some(stop) = state.stop.take_if(|stop| killed || stop.resume.is_some()) {
                    state.listening = false;
                    self.cpu = stop.regs;
                    self.syscall_nr = stop.syscall;
                    break Resumed {
                        signal: stop.resume.unwrap_or(0),
                        info: stop.info,
                        killed,
                    };
                }
            }
            self.task.waiter().wait(None);
        };
        self.task.set_run_state(RunState::Running);
        resumed
    }

    /// A stop that is no signal's: `SIGTRAP` with `code` as information.
    pub(crate) fn ptrace_notify(&mut self, code: i32, message: u64) -> Resumed {
        let uid = self.task.cred().uid;
        let tid = self.task.tid().cast_signed();
        let info = SigInfo::kill(Signal::SIGTRAP, code, tid, uid);
        self.ptrace_stop(code, CLD_TRAPPED, message, Some(info))
    }

    /// Tells of an event, if the tracer asked for it.
    pub(crate) fn ptrace_event(&mut self, event: u32, message: u64) -> Resumed {
        if self.wants_event(event) {
            self.ptrace_notify(event.cast_signed() << 8 | TRAP, message)
        } else {
            Resumed::default()
        }
    }

    /// Whether the tracer asked for an event.
    pub(crate) fn wants_event(&self, event: u32) -> bool {
        self.task.is_traced() && {
            let state = self.task.ptrace.lock();
            state.tracer.is_some() && state.options & 1 << event != 0
        }
    }

    /// After execve(2): the event, or for tracers that did not ask for it a `SIGTRAP`.
    pub(crate) fn ptrace_exec(&mut self, old_tid: u32) {
        if !self.task.is_traced() {
            return;
        }
        // Break- and watchpoints were for the old program.
        self.task.ptrace.lock().debug = super::debug::DebugRegisters::default();
        self.task.clear_hooks(hook::DEBUG);
        if self.wants_event(PTRACE_EVENT_EXEC) {
            self.ptrace_event(PTRACE_EVENT_EXEC, old_tid.into());
        } else if !self.task.ptrace.lock().seized {
            let tid = self.task.tid().cast_signed();
            let uid = self.task.cred().uid;
            let info = SigInfo::kill(Signal::SIGTRAP, SI_USER, tid, uid);
            let _ = crate::signal::send_to_task(&self.kernel, &self.task, info);
        }
    }

    /// Before the end of the thread.
    pub(crate) fn ptrace_exit(&mut self, status: WaitStatus) {
        if self.task.is_traced() {
            // What killed the thread has reached its aim; only a new SIGKILL ends this stop.
            self.task.ptrace.lock().killed = false;
            self.ptrace_event(PTRACE_EVENT_EXIT, status.raw().cast_unsigned().into());
        }
    }

    fn syscall_stop(&mut self, direction: u64, message: u64) -> Resumed {
        let good = self.task.ptrace.lock().options & PTRACE_O_TRACESYSGOOD != 0;
        let code = TRAP | if good { SYSGOOD } else { 0 };
        // As Linux on arm64: x7 tells entry from exit, and its value is the program's again afterwards.
        let x7 = std::mem::replace(&mut self.cpu.x[7], direction);
        let resumed = self.ptrace_notify(code, message);
        self.cpu.x[7] = x7;
        if let Ok(signal) = Signal::new(resumed.signal) {
            self.send_self(signal);
        }
        resumed
    }

    /// Before a system call. `false`: it is not to be performed, and `x0` is its result already.
    pub(crate) fn syscall_entry_stop(&mut self) -> bool {
        let hooks = self.task.hooks();
        if hooks & (hook::SYSCALL | hook::EMULATE) == 0 {
            return true;
        }
        let resumed = self.syscall_stop(ENTER, PTRACE_EVENTMSG_SYSCALL_ENTRY);
        !resumed.killed && hooks & hook::EMULATE == 0
    }

    /// After a system call, whose result is in `x0`.
    pub(crate) fn syscall_exit_stop(&mut self) {
        let hooks = self.task.hooks();
        if hooks & hook::SYSCALL != 0 {
            self.syscall_stop(LEAVE, PTRACE_EVENTMSG_SYSCALL_EXIT);
        } else if hooks & hook::STEP != 0 {
            self.force_signal(SigInfo::kill(Signal::SIGTRAP, SI_USER, 0, 0));
        }
    }

    /// Shows a signal to the tracer before it is delivered: what is to be delivered instead, if anything.
    pub(crate) fn ptrace_signal(&mut self, info: SigInfo) -> Option<SigInfo> {
        if !self.task.is_traced() {
            return Some(info);
        }
        let resumed = self.ptrace_stop(info.si_signo, CLD_TRAPPED, 0, Some(info));
        let signal = Signal::new(resumed.signal).ok()?;
        let info = match resumed.info {
            Some(info) if info.si_signo == signal.number() => info,
            _ => {
                let state = self.task.ptrace.lock();
                let (pid, uid) = state
                    .tracer
                    .as_ref()
                    .map_or((0, 0), |t| (t.tgid().cast_signed(), t.cred().uid));
                SigInfo::kill(signal, SI_USER, pid, uid)
            }
        };
        let mut signals = self.task.signals.lock();
        if signals.blocked.contains(signal) {
            signals.queue.push(signal, info);
            return None;
        }
        Some(info)
    }

    /// Stops for job control or because the tracer wants it, as long as there is reason to.
    pub(crate) fn stop_if_asked(&mut self) -> Option<ExitKind> {
        while self.task.pending_work() & (work::STOP | work::TRAP) != 0 {
            if let Some(kind) = self.dying() {
                return Some(kind);
            }
            if self.task.is_traced() {
                self.job_control_trap();
            } else {
                self.task.clear_work(work::TRAP);
                self.stop_until_continued();
            }
        }
        None
    }

    /// The stops of a tracee that are no signal's.
    fn job_control_trap(&mut self) {
        self.task.clear_work(work::TRAP);
        let group = Arc::clone(self.task.group());
        let (stop, joins) = {
            let mut shared = group.signals.lock();
            let joins = self.task.pending_work() & work::STOP != 0 && shared.stop.is_some();
            self.task.clear_work(work::STOP);
            if joins {
                shared.stopped_threads += 1;
            }
            (shared.stop, joins.then_some(shared.stopped_threads))
        };
        let (seized, asked, tracer) = {
            let state = self.task.ptrace.lock();
            let asked = state.trap_stop || state.seized && state.trap_notify;
            (state.seized, asked, state.tracer.clone())
        };
        if let (Some(count), Some(signal)) = (joins, stop) {
            self.kernel
                .report_stopped(&group, signal, count, tracer.as_ref());
        }
        if joins.is_none() && !asked {
            return;
        }
        if seized {
            let signal = stop.unwrap_or(Signal::SIGTRAP);
            let code = signal.number() | PTRACE_EVENT_STOP.cast_signed() << 8;
            let uid = self.task.cred().uid;
            let info = SigInfo::kill(signal, code, self.task.tid().cast_signed(), uid);
            self.ptrace_stop(code, CLD_STOPPED, 0, Some(info));
        } else if let Some(signal) = stop {
            self.ptrace_stop(signal.number(), CLD_STOPPED, 0, None);
        } else {
            // What was to be shown has ended meanwhile.
            self.task.ptrace.lock().trap_stop = false;
        }
    }
}

impl Kernel {
    /// `SIGCHLD` and a wake-up for the tracer.
    fn tell_tracer(&self, tracer: &Arc<Task>, child: &Arc<Task>, why: i32, status: i32) {
        let group = tracer.group();
        let action = group.sighand.read().get(Signal::SIGCHLD);
        if !action.is_ignore() && action.sa_flags & SA_NOCLDSTOP == 0 {
            let tid = child.tid().cast_signed();
            let info = SigInfo::chld(why, tid, child.cred().uid, status, 0, 0);
            let _ = send_to_group(self, group, info);
        }
        group.child_wait.wake_all(!0);
    }
}

/// The restart code in `x0`, as Linux shows it at the exit of an interrupted call.
pub(crate) fn restart_code(x0: u64) -> Option<Errno> {
    let raw = i32::try_from(x0.cast_signed().checked_neg()?).ok()?;
    (512..Errno::MAX)
        .contains(&raw)
        .then(|| Errno::from_raw(raw))
        .filter(|e| e.is_restart())
}
