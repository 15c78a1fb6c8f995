//! Delivering signals to the running task: the last step before it goes back to user mode.

use crate::{
    arch::sigframe,
    task::{CurrentTask, ExitKind, WaitStatus, hook, work},
};
use tuxlet_uapi::{
    errno::Errno,
    signal::{
        DefaultAction, SA_NODEFER, SA_RESETHAND, SA_RESTART, SIG_DFL, SS_AUTODISARM, SS_DISABLE,
        SigAction, SigInfo, SigSet, Signal, StackT,
    },
};

/// The system call that is being left, for the decision to restart it. The registers are such that it is.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    /// Its restart code, `ERESTARTSYS` and so on.
    code: Errno,
    /// The address of its instruction. A tracer that sends the thread elsewhere ends the matter.
    pc: u64,
}

/// Bytes of the `svc` instruction.
const SVC_LEN: u64 = 4;

impl CurrentTask {
    /// Delivers what is pending. Returns the way out if the process dies of it.
    pub(crate) fn deliver_signals(
        &mut self,
        mut interrupted: Option<Interrupted>,
    ) -> Option<ExitKind> {
        loop {
            if let Some(kind) = self.stop_if_asked() {
                return Some(kind);
            }
            self.task.clear_work(work::SIGNAL);
            if let Some(status) = self.task.group().signals.lock().group_exit {
                return Some(ExitKind::Group(status));
            }
            let Some(info) = self.take_signal() else {
                break;
            };
            let Some(info) = self.ptrace_signal(info) else {
                continue;
            };
            let Ok(signal) = Signal::new(info.si_signo) else {
                continue;
            };
            let action = self.task.group().sighand.read().get(signal);
            self.trace_signal(signal, &info, action);
            if action.is_ignore() {
                continue;
            }
            if !action.is_default() {
                if let Some(syscall) = interrupted.take() {
                    self.restart_after(syscall, action);
                }
                if let Some(exit) = self.run_handler(signal, info, action) {
                    return Some(exit);
                }
                continue;
            }
            match signal.default_action() {
                DefaultAction::Ignore | DefaultAction::Continue => {}
                DefaultAction::Stop => {
                    // A SIGCONT that came while a tracer looked at the signal is not lost.
                    if self.task.signals.lock().may_stop {
                        self.stop_by(signal);
                    }
                }
                DefaultAction::Terminate => {
                    return Some(ExitKind::Group(WaitStatus::Signaled(signal, false)));
                }
                DefaultAction::Core => {
                    let dumps = self.task.group().rlimit(tuxlet_uapi::resource::RLIMIT_CORE) > 0;
                    return Some(ExitKind::Group(WaitStatus::Signaled(signal, dumps)));
                }
            }
        }
        if let Some(syscall) = interrupted
            && syscall.code == Errno::ERESTART_RESTARTBLOCK
            && self.cpu.pc == syscall.pc
        {
            self.cpu.x[8] = tuxlet_uapi::nr::RESTART_SYSCALL.into();
        }
        // No handler took over the mask of sigsuspend(2) and the like, so it ends here.
        let mut signals = self.task.signals.lock();
        if let Some(mask) = signals.saved_mask.take() {
            signals.blocked = mask;
            drop(signals);
            if self.signal_pending() {
                self.task.notify(work::SIGNAL);
            }
        }
        None
    }

    /// Takes the next unblocked signal: the thread's own first, as Linux does.
    fn take_signal(&mut self) -> Option<SigInfo> {
        let mut shared = self.task.group().signals.lock();
        let mut own = self.task.signals.lock();
        let wanted = SigSet::ALL.difference(own.blocked);
        let info = own.queue.take(wanted).or_else(|| shared.queue.take(wanted));
        // Whatever it is: a tracer may make a stop signal of it.
        own.may_stop = info.is_some();
        drop(own);
        drop(shared);
        info.map(|i| self.task.group().timers.delivered(i))
    }

    /// Whether an unblocked signal, a group exit or a stop is pending.
    #[must_use]
    pub fn signal_pending(&self) -> bool {
        let shared = self.task.group().signals.lock();
        if shared.group_exit.is_some() || shared.exec_by.is_some_and(|t| t != self.task.tid()) {
            return true;
        }
        // A tracer may let single threads of a stopped process run.
        if self.task.pending_work() & (work::STOP | work::TRAP | work::FREEZE) != 0 {
            return true;
        }
        let own = self.task.signals.lock();
        let wanted = SigSet::ALL.difference(own.blocked);
        !own.queue
            .pending()
            .union(shared.queue.pending())
            .intersection(wanted)
            .is_empty()
    }

    /// Sets the registers back to before a system call that gave a restart code: signal(7), "Interruption of system
    /// calls".
    pub(crate) fn rewind(&mut self, code: Errno) -> Interrupted {
        self.cpu.pc = self.cpu.pc.wrapping_sub(SVC_LEN);
        self.cpu.x[0] = self.orig_x0;
        Interrupted {
            code,
            pc: self.cpu.pc,
        }
    }

    /// A handler runs: the call may end with `EINTR` instead of starting again.
    fn restart_after(&mut self, syscall: Interrupted, action: SigAction) {
        let restart = match syscall.code {
            Errno::ERESTARTNOINTR => true,
            Errno::ERESTARTSYS => action.sa_flags & SA_RESTART != 0,
            _ => false,
        };
        if !restart && self.cpu.pc == syscall.pc {
            self.cpu.x[0] = Errno::EINTR.to_ret();
            self.cpu.pc = self.cpu.pc.wrapping_add(SVC_LEN);
        }
    }

    fn run_handler(
        &mut self,
        signal: Signal,
        info: SigInfo,
        action: SigAction,
    ) -> Option<ExitKind> {
        let (mask, alt_stack) = {
            let mut signals = self.task.signals.lock();
            // After sigsuspend(2) the handler's return restores the mask from before the call.
            let mask = signals.saved_mask.take().unwrap_or(signals.blocked);
            (mask, signals.alt_stack)
        };
        if sigframe::push(self, signal, &info, &action, mask, &alt_stack).is_err() {
            // No room for the frame: SIGSEGV, and if that is the signal in question it now kills.
            return self.force_fault_signal(signal);
        }
        if action.sa_flags & SA_RESETHAND != 0 {
            let handler = SigAction {
                sa_handler: SIG_DFL,
                ..action
            };
            self.task.group().sighand.read().set(signal, handler);
        }
        let mut signals = self.task.signals.lock();
        if alt_stack.ss_flags & SS_AUTODISARM != 0 && sigframe::uses_alt_stack(&action, &alt_stack)
        {
            signals.alt_stack = StackT {
                ss_flags: SS_DISABLE,
                ..StackT::default()
            };
        }
        let mut blocked = signals.blocked.union(SigSet(action.sa_mask));
        if action.sa_flags & SA_NODEFER == 0 {
            blocked.insert(signal);
        }
        signals.blocked = blocked.difference(SigSet::UNBLOCKABLE);
        drop(signals);
        if self.task.hooks() & hook::STEP != 0 {
            // A step into a handler ends before its first instruction.
            self.ptrace_notify(Signal::SIGTRAP.number(), 0);
        }
        None
    }

    fn force_fault_signal(&mut self, failed: Signal) -> Option<ExitKind> {
        if failed == Signal::SIGSEGV {
            return Some(ExitKind::Group(WaitStatus::Signaled(
                Signal::SIGSEGV,
                false,
            )));
        }
        self.force_signal(SigInfo::kernel(Signal::SIGSEGV));
        None
    }

    /// Raises a signal for the running instruction. If it is blocked or ignored it gets the default action
    /// instead, so that the process dies: the instruction cannot go on.
    pub fn force_signal(&mut self, info: SigInfo) {
        let Ok(signal) = Signal::new(info.si_signo) else {
            return;
        };
        let sighand = self.task.group().sighand.read();
        let action = sighand.get(signal);
        let mut signals = self.task.signals.lock();
        if signals.blocked.contains(signal) || action.is_ignore() {
            sighand.set(signal, SigAction::default());
            signals.blocked.remove(signal);
        }
        signals.queue.push(signal, info);
        drop(signals);
        drop(sighand);
        self.task.notify(work::SIGNAL);
    }

    /// Sets the blocked mask (`SIGKILL` and `SIGSTOP` stay unblocked) and looks for signals that it lets in.
    pub fn set_blocked(&mut self, mask: SigSet) {
        self.task.signals.lock().blocked = mask.difference(SigSet::UNBLOCKABLE);
        if self.signal_pending() {
            self.task.notify(work::SIGNAL);
        }
    }

    /// Installs a temporary mask for one system call: sigsuspend(2), ppoll(2), pselect(2), epoll_pwait(2).
    pub fn set_temporary_mask(&mut self, mask: SigSet) {
        let mut signals = self.task.signals.lock();
        let old = signals.blocked;
        signals.saved_mask = Some(old);
        drop(signals);
        self.set_blocked(mask);
    }

    /// Ends a temporary mask when the call was not interrupted; after an interruption delivery does it.
    pub fn end_temporary_mask(&mut self) {
        let saved = self.task.signals.lock().saved_mask.take();
        if let Some(mask) = saved {
            self.set_blocked(mask);
        }
    }
}
