//! seccomp(2): what system calls a thread may make.

pub(crate) mod bpf;
pub(crate) mod filter;
pub(crate) mod notify;

use crate::{
    ptrace::request::AUDIT_ARCH_AARCH64,
    task::{CurrentTask, ExitKind, Task, WaitStatus, hook},
};
use filter::Filter;
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    nr,
    prctl::{
        SECCOMP_MODE_DISABLED, SECCOMP_MODE_FILTER, SECCOMP_MODE_STRICT, SECCOMP_RET_ACTION_FULL,
        SECCOMP_RET_ALLOW, SECCOMP_RET_DATA, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_THREAD,
        SECCOMP_RET_LOG, SECCOMP_RET_TRACE, SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF, SeccompData,
    },
    ptrace::{PTRACE_EVENT_SECCOMP, PTRACE_O_SUSPEND_SECCOMP},
    signal::{SigAction, SigInfo, Signal},
};

/// A thread's seccomp state, which its children inherit.
#[derive(Clone, Debug, Default)]
pub struct Seccomp {
    /// `SECCOMP_MODE_*`.
    pub(crate) mode: u32,
    /// The newest filter, which knows the older ones.
    pub(crate) filter: Option<Arc<Filter>>,
}

/// What is to become of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is performed.
    Perform,
    /// It is not; `x0` has the result.
    Skip,
    /// The thread ends.
    End(ExitKind),
}

impl Task {
    /// `SECCOMP_MODE_*` and the number of filters, for `/proc/PID/status`.
    #[must_use]
    pub fn seccomp_status(&self) -> (u32, usize) {
        let state = self.seccomp.lock();
        (state.mode, filter::chain(state.filter.as_ref()).count())
    }

    /// Takes over another thread's mode and filters.
    pub(crate) fn adopt_seccomp(&self, from: &Seccomp) {
        *self.seccomp.lock() = from.clone();
        if from.mode != SECCOMP_MODE_DISABLED {
            self.set_hooks(hook::SECCOMP);
        }
    }
}

impl CurrentTask {
    /// Enters strict mode. `EINVAL` if another mode is in force.
    pub(crate) fn seccomp_strict(&mut self) -> Result<()> {
        let mut state = self.task.seccomp.lock();
        if !matches!(state.mode, SECCOMP_MODE_DISABLED | SECCOMP_MODE_STRICT) {
            return Err(Errno::EINVAL);
        }
        state.mode = SECCOMP_MODE_STRICT;
        drop(state);
        self.task.set_hooks(hook::SECCOMP);
        Ok(())
    }

    /// Asks the thread's filters about the system call that it is about to make.
    pub(crate) fn seccomp_check(&mut self) -> Verdict {
        if self.task.hooks() & hook::SECCOMP == 0 {
            return Verdict::Perform;
        }
        if self.task.ptrace.lock().options & PTRACE_O_SUSPEND_SECCOMP != 0 {
            return Verdict::Perform;
        }
        let (mode, filter) = {
            let state = self.task.seccomp.lock();
            (state.mode, state.filter.clone())
        };
        match (mode, filter) {
            (SECCOMP_MODE_STRICT, _) => {
                let allowed = [nr::READ, nr::WRITE, nr::EXIT, nr::RT_SIGRETURN];
                if allowed.contains(&self.syscall_nr.cast_unsigned()) {
                    Verdict::Perform
                } else {
                    let killed = WaitStatus::Signaled(Signal::SIGKILL, false);
                    Verdict::End(ExitKind::Thread(killed))
                }
            }
            (SECCOMP_MODE_FILTER, Some(filter)) => self.seccomp_filter(&filter, false),
            _ => Verdict::Perform,
        }
    }

    /// `traced`: a tracer has seen the call already, so it is not asked again.
    fn seccomp_filter(&mut self, newest: &Arc<Filter>, traced: bool) -> Verdict {
        let data = SeccompData {
            nr: self.syscall_nr,
            arch: AUDIT_ARCH_AARCH64,
            instruction_pointer: self.cpu.pc,
            args: [
                self.cpu.x[0],
                self.cpu.x[1],
                self.cpu.x[2],
                self.cpu.x[3],
                self.cpu.x[4],
                self.cpu.x[5],
            ],
        };
        let (verdict, filter) = filter::run(newest, &data);
        let value = verdict & SECCOMP_RET_DATA;
        match verdict & SECCOMP_RET_ACTION_FULL {
            SECCOMP_RET_ALLOW => Verdict::Perform,
            SECCOMP_RET_LOG => {
                let (tid, nr) = (self.task.tid(), self.syscall_nr);
                tracing::info!(tid, nr, "seccomp logs a system call");
                Verdict::Perform
            }
            SECCOMP_RET_ERRNO => {
                let errno = value.min(Errno::MAX.cast_unsigned());
                self.cpu.x[0] = i64::from(errno).wrapping_neg().cast_unsigned();
                Verdict::Skip
            }
            SECCOMP_RET_TRAP => {
                self.cpu.x[0] = self.orig_x0;
                let info = self.seccomp_signal(value);
                self.force_signal(info);
                Verdict::Skip
            }
            SECCOMP_RET_TRACE if traced => Verdict::Perform,
            SECCOMP_RET_TRACE => self.seccomp_trace(newest, value),
            SECCOMP_RET_USER_NOTIF => match self.seccomp_notify(&filter, &data) {
                Some(result) => {
                    self.cpu.x[0] = result;
                    Verdict::Skip
                }
                None => Verdict::Perform,
            },
            action => self.seccomp_kill(action, value),
        }
    }

    fn seccomp_signal(&self, value: u32) -> SigInfo {
        SigInfo::sys(
            self.cpu.pc,
            self.syscall_nr,
            AUDIT_ARCH_AARCH64,
            value.cast_signed(),
        )
    }

    fn seccomp_trace(&mut self, newest: &Arc<Filter>, value: u32) -> Verdict {
        if !self.wants_event(PTRACE_EVENT_SECCOMP) {
            self.cpu.x[0] = Errno::ENOSYS.to_ret();
            return Verdict::Skip;
        }
        let resumed = self.ptrace_event(PTRACE_EVENT_SECCOMP, value.into());
        if resumed.killed || self.syscall_nr < 0 {
            return Verdict::Skip;
        }
        // The tracer may have made another call of it, which is not for it to allow.
        self.seccomp_filter(newest, true)
    }

    fn seccomp_kill(&mut self, action: u32, value: u32) -> Verdict {
        let alone = self.kernel.threads_of(self.task.tgid()).len() <= 1;
        if action == SECCOMP_RET_KILL_THREAD && !alone {
            let status = WaitStatus::Signaled(Signal::SIGSYS, false);
            return Verdict::End(ExitKind::Thread(status));
        }
        self.cpu.x[0] = self.orig_x0;
        let info = self.seccomp_signal(value);
        let (tid, nr) = (self.task.tid(), info.si_errno);
        tracing::info!(tid, nr, "seccomp kills");
        // Whatever the process wanted: it dies of the signal.
        self.task
            .group()
            .sighand
            .read()
            .set(Signal::SIGSYS, SigAction::default());
        let dumps = self.task.group().rlimit(tuxlet_uapi::resource::RLIMIT_CORE) > 0;
        let status = WaitStatus::Signaled(Signal::SIGSYS, dumps);
        Verdict::End(ExitKind::Group(status))
    }
}
