//! The task loop: run, look why the engine stopped, deal with it, go on.

use super::{CurrentTask, ExitKind, RunState, WaitStatus, work};
use crate::{signal::deliver::Interrupted, syscall};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tuxlet_cpu::Exit;
use tuxlet_mem::FaultKind;
use tuxlet_uapi::signal::{
    BUS_ADRALN, BUS_ADRERR, ILL_ILLOPC, SEGV_ACCERR, SEGV_MAPERR, SigInfo, Signal, TRAP_BRKPT,
};

impl CurrentTask {
    /// Runs the task to its end. The body of its host thread.
    pub fn run(mut self) {
        self.task.note_host_thread();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_loop()));
        let kind = outcome.unwrap_or_else(|panic| {
            // Our bug kills the guest process, never the embedder.
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("panic");
            tracing::error!(
                tid = self.task.tid(),
                pc = format_args!("{:#x}", self.cpu.pc),
                "kernel bug: {text}"
            );
            ExitKind::Group(WaitStatus::Signaled(Signal::SIGKILL, false))
        });
        self.exit(kind);
    }

    fn run_loop(&mut self) -> ExitKind {
        // A new thread may already have been told to stop or die.
        let mut interrupted = None;
        loop {
            if (self.task.pending_work() != 0 || interrupted.is_some())
                && let Some(kind) = self.do_work(interrupted.take())
            {
                return kind;
            }
            match self.vcpu.run(&mut self.cpu) {
                Exit::Syscall => match self.system_call() {
                    Ok(code) => interrupted = code,
                    Err(kind) => return kind,
                },
                Exit::Kicked => {}
                Exit::Fault(fault) => self.memory_fault(&fault),
                Exit::Unaligned { addr } => {
                    self.fault_address = addr;
                    self.fault_esr = crate::arch::esr::ALIGNMENT_FAULT;
                    self.force_signal(SigInfo::fault(Signal::SIGBUS, BUS_ADRALN, addr));
                }
                Exit::Undefined { word } => {
                    tracing::warn!(
                        tid = self.task.tid(),
                        "undefined instruction {word:#010x} at {:#x}: {}",
                        self.cpu.pc,
                        tuxlet_a64::disassemble(word, self.cpu.pc)
                    );
                    self.force_signal(SigInfo::fault(Signal::SIGILL, ILL_ILLOPC, self.cpu.pc));
                }
                Exit::Breakpoint(_) => {
                    self.force_signal(SigInfo::fault(Signal::SIGTRAP, TRAP_BRKPT, self.cpu.pc));
                }
            }
        }
    }

    /// Performs the system call in `x8`; an `Ok(Some)` is a restart code to be resolved by signal delivery.
    fn system_call(&mut self) -> Result<Option<Interrupted>, ExitKind> {
        self.orig_x0 = self.cpu.x[0];
        match syscall::dispatch(self)? {
            Ok(value) => {
                self.cpu.x[0] = value;
                Ok(None)
            }
            Err(code) if code.is_restart() => Ok(Some(Interrupted {
                code,
                orig_x0: self.orig_x0,
            })),
            Err(errno) => {
                self.cpu.x[0] = errno.to_ret();
                Ok(None)
            }
        }
    }

    /// Everything that is to happen before the task returns to user mode.
    fn do_work(&mut self, interrupted: Option<Interrupted>) -> Option<ExitKind> {
        self.task.clear_work(work::NOTIFY);
        if self.task.pending_work() & work::EXIT != 0 {
            let shared = self.task.group().signals.lock();
            if let Some(status) = shared.group_exit {
                return Some(ExitKind::Group(status));
            }
            if shared.exec_by.is_some_and(|t| t != self.task.tid()) {
                return Some(ExitKind::Thread(0));
            }
            drop(shared);
            self.task.clear_work(work::EXIT);
        }
        if self.task.pending_work() & work::STOP != 0
            && let Some(kind) = self.stop_until_continued()
        {
            return Some(kind);
        }
        self.deliver_signals(interrupted)
    }

    /// Starts a job control stop of the whole process because of a stop signal.
    pub(crate) fn stop_by(&mut self, signal: Signal) -> Option<ExitKind> {
        let tgid = self.task.tgid();
        let threads = {
            let tree = self.kernel.tree.lock();
            let node = tree.node(tgid)?;
            // Terminal stops do nothing to an orphaned process group: setpgid(2).
            if signal != Signal::SIGSTOP && tree.is_orphaned(node.pgid, None) {
                return None;
            }
            node.threads.clone()
        };
        {
            let mut shared = self.task.group().signals.lock();
            shared.stop = Some(signal);
            shared.stopped_threads = 0;
            // Under the lock, as is the clearing: else a thread that still leaves an earlier stop could clear this one.
            for task in threads.iter().filter(|t| t.tid() != self.task.tid()) {
                task.notify(work::STOP);
            }
        }
        self.stop_until_continued()
    }

    fn stop_until_continued(&mut self) -> Option<ExitKind> {
        let group = std::sync::Arc::clone(self.task.group());
        {
            let mut shared = group.signals.lock();
            let Some(signal) = shared.stop else {
                self.task.clear_work(work::STOP);
                return None;
            };
            shared.stopped_threads += 1;
            let stopped = shared.stopped_threads;
            drop(shared);
            self.kernel.report_stopped(&group, signal, stopped);
        }
        self.task.set_run_state(RunState::Stopped);
        let kind = loop {
            {
                let shared = group.signals.lock();
                if let Some(status) = shared.group_exit {
                    break Some(ExitKind::Group(status));
                }
                if shared.exec_by.is_some_and(|t| t != self.task.tid()) {
                    break Some(ExitKind::Thread(0));
                }
                if shared.stop.is_none() {
                    self.task.clear_work(work::STOP);
                    break None;
                }
            }
            self.task.waiter().wait(None);
        };
        self.task.set_run_state(RunState::Running);
        kind
    }

    fn memory_fault(&mut self, fault: &tuxlet_mem::Fault) {
        let (signal, code) = match fault.kind {
            FaultKind::MapErr => (Signal::SIGSEGV, SEGV_MAPERR),
            FaultKind::AccErr => (Signal::SIGSEGV, SEGV_ACCERR),
            FaultKind::BusAdrErr => (Signal::SIGBUS, BUS_ADRERR),
            FaultKind::Oom => {
                self.out_of_memory();
                return;
            }
        };
        self.fault_address = fault.addr;
        self.fault_esr = crate::arch::esr::of_fault(fault);
        self.force_signal(SigInfo::fault(signal, code, fault.addr));
    }

    /// The machine's memory budget is spent: the guest's OOM killer picks a process, as Linux does.
    fn out_of_memory(&mut self) {
        let victim = self
            .kernel
            .oom_victim()
            .unwrap_or_else(|| std::sync::Arc::clone(self.task.group()));
        tracing::warn!(tgid = victim.tgid(), "out of memory: killed");
        let info = SigInfo::kernel(Signal::SIGKILL);
        let _ = crate::signal::send_to_group(&self.kernel, &victim, info);
        if victim.tgid() != self.task.tgid() {
            // Let the victim die and give its memory back before the access is tried again.
            let gone = std::sync::Arc::clone(&victim);
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
            let _ = self.wait_until(Some(deadline), |task, table| {
                if let Some(table) = table {
                    table.add(&gone.thread_exit);
                }
                task.kernel.is_zombie(gone.tgid()).then_some(())
            });
        }
    }
}
