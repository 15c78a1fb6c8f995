//! The task loop: run, look why the engine stopped, deal with it, go on.

use super::{CurrentTask, ExitKind, RunState, WaitStatus, hook, work};
use crate::{ptrace::stop::restart_code, seccomp::Verdict, syscall};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tuxlet_cpu::Exit;
use tuxlet_mem::FaultKind;
use tuxlet_uapi::{
    errno::Errno,
    signal::{
        BUS_ADRALN, BUS_ADRERR, ILL_ILLOPC, SEGV_ACCERR, SEGV_MAPERR, SigInfo, Signal, TRAP_BRKPT,
        TRAP_HWBKPT, TRAP_TRACE,
    },
};

impl CurrentTask {
    /// Runs the task to its end. The body of its host thread.
    pub fn run(mut self) {
        self.task.note_host_thread();
        self.enter_cgroup();
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
            if let Some(start) = self.native.take() {
                return self.run_native(start);
            }
            match self.run_guest() {
                Exit::Syscall => match self.system_call() {
                    Ok(code) => interrupted = code,
                    Err(kind) => return kind,
                },
                // Watched ranges are dealt with where they are given.
                Exit::Kicked | Exit::Watchpoint { .. } => {}
                Exit::Fault(fault) => self.memory_fault(&fault),
                Exit::Unaligned { addr } => {
                    self.fault_address = addr;
                    self.fault_esr = if self.cpu.pc & 3 == 0 {
                        crate::arch::esr::ALIGNMENT_FAULT
                    } else {
                        crate::arch::esr::PC_ALIGNMENT_FAULT
                    };
                    self.force_signal(SigInfo::fault(Signal::SIGBUS, BUS_ADRALN, addr));
                }
                Exit::MisalignedStack => {
                    self.fault_address = 0;
                    self.fault_esr = crate::arch::esr::SP_ALIGNMENT_FAULT;
                    let info = SigInfo::fault(Signal::SIGBUS, BUS_ADRALN, self.cpu.sp);
                    self.force_signal(info);
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

    /// Runs guest code until something needs the kernel.
    fn run_guest(&mut self) -> Exit {
        self.use_cpu();
        let hooks = self.task.hooks();
        if hooks & (hook::STEP | hook::DEBUG) == 0 {
            return self.vcpu.run(&mut self.cpu);
        }
        let debug = self.task.ptrace.lock().debug.clone();
        let watches = debug.watches();
        loop {
            if debug.breaks_at(self.cpu.pc) {
                return self.debug_trap(TRAP_HWBKPT, self.cpu.pc);
            }
            match self.vcpu.step_watched(&mut self.cpu, &watches) {
                Some(Exit::Watchpoint { addr }) => return self.debug_trap(TRAP_HWBKPT, addr),
                Some(exit) => return exit,
                None if hooks & hook::STEP != 0 => {
                    return self.debug_trap(TRAP_TRACE, self.cpu.pc);
                }
                None if self.task.pending_work() != 0 => return Exit::Kicked,
                None => {}
            }
        }
    }

    fn debug_trap(&mut self, code: i32, addr: u64) -> Exit {
        self.force_signal(SigInfo::fault(Signal::SIGTRAP, code, addr));
        Exit::Kicked
    }

    /// Performs the system call in `x8`; an `Ok(Some)` is a restart code to be resolved by signal delivery.
    fn system_call(&mut self) -> Result<Option<Errno>, ExitKind> {
        self.orig_x0 = self.cpu.x[0];
        // The number is an int: Linux ignores what is above it.
        self.syscall_nr = self.cpu.x[8] as i32;
        let mut restart = None;
        let verdict = if self.task.hooks() == 0 {
            Verdict::Perform
        } else {
            self.enter_system_call()
        };
        if let Verdict::End(kind) = verdict {
            return Err(kind);
        }
        if verdict == Verdict::Perform {
            match syscall::dispatch(self)? {
                Ok(value) => self.cpu.x[0] = value,
                Err(errno) => {
                    restart = errno.is_restart().then_some(errno);
                    self.cpu.x[0] = errno.to_ret();
                }
            }
        }
        if self.counted {
            self.settle_memory();
        }
        if verdict == Verdict::Skip {
            restart = restart_code(self.cpu.x[0]);
        }
        if self.task.hooks() & (hook::SYSCALL | hook::STEP) != 0 {
            self.syscall_exit_stop();
            // The tracer has seen the code and may have changed it.
            restart = restart.and(restart_code(self.cpu.x[0]));
        }
        self.syscall_nr = -1;
        Ok(restart)
    }

    /// What a tracer and filters have to say before a system call.
    #[cold]
    fn enter_system_call(&mut self) -> Verdict {
        if self.syscall_nr == -1 {
            self.cpu.x[0] = Errno::ENOSYS.to_ret();
        }
        if !self.syscall_entry_stop() {
            return Verdict::Skip;
        }
        match self.seccomp_check() {
            // A tracer has taken the call away.
            Verdict::Perform if self.syscall_nr == -1 => Verdict::Skip,
            verdict => verdict,
        }
    }

    /// Whether the thread is to end.
    pub(crate) fn dying(&self) -> Option<ExitKind> {
        let shared = self.task.group().signals.lock();
        if let Some(status) = shared.group_exit {
            Some(ExitKind::Group(status))
        } else if shared.exec_by.is_some_and(|t| t != self.task.tid()) {
            Some(ExitKind::Thread(WaitStatus::Exited(0)))
        } else {
            None
        }
    }

    /// Everything that is to happen before the task returns to user mode.
    pub(crate) fn do_work(&mut self, restart: Option<Errno>) -> Option<ExitKind> {
        self.task.clear_work(work::NOTIFY);
        if self.task.pending_work() & work::EXIT != 0 {
            if let Some(kind) = self.dying() {
                return Some(kind);
            }
            self.task.clear_work(work::EXIT);
        }
        if self.task.pending_work() & work::IO_URING != 0 {
            self.run_io_uring();
        }
        if self.task.pending_work() & work::CGROUP != 0 {
            self.enter_cgroup();
        }
        if self.task.pending_work() & (work::FREEZE | work::THROTTLE) != 0 {
            self.rest_while_frozen();
        }
        let interrupted = restart.map(|code| self.rewind(code));
        self.deliver_signals(interrupted)
    }

    /// Starts a job control stop of the whole process because of a stop signal.
    pub(crate) fn stop_by(&mut self, signal: Signal) {
        let tgid = self.task.tgid();
        let threads = {
            let tree = self.kernel.tree.lock();
            let Some(node) = tree.node(tgid) else { return };
            // Terminal stops do nothing to an orphaned process group: setpgid(2).
            if signal != Signal::SIGSTOP && tree.is_orphaned(node.pgid, None) {
                return;
            }
            node.threads.clone()
        };
        let mut shared = self.task.group().signals.lock();
        shared.stop = Some(signal);
        shared.stopped_threads = 0;
        // Under the lock, as is the clearing: else a thread that still leaves an earlier stop could clear this one.
        for task in threads {
            task.notify(work::STOP);
        }
    }

    /// Rests in a stop of the process, unless it is over already, until it or the thread ends or a tracer comes.
    pub(crate) fn stop_until_continued(&mut self) {
        let group = std::sync::Arc::clone(self.task.group());
        {
            let mut shared = group.signals.lock();
            let Some(signal) = shared.stop else {
                self.task.clear_work(work::STOP);
                return;
            };
            shared.stopped_threads += 1;
            let stopped = shared.stopped_threads;
            drop(shared);
            self.kernel.report_stopped(&group, signal, stopped, None);
        }
        self.task.set_run_state(RunState::Stopped);
        self.kernel.rest_has_changed(&self.task);
        while self.dying().is_none() {
            {
                let shared = group.signals.lock();
                if shared.stop.is_none() || self.task.pending_work() & work::TRAP != 0 {
                    self.task.clear_work(work::STOP);
                    break;
                }
            }
            self.task.waiter().wait(None);
        }
        self.task.set_run_state(RunState::Running);
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

    /// The memory of the machine, or of a control group, is spent: the guest's OOM killer picks a process, as Linux does.
    fn out_of_memory(&mut self) {
        let victim = self.group_out_of_memory();
        let victim = victim.unwrap_or_else(|| self.machine_out_of_memory());
        tracing::warn!(tgid = victim.tgid(), "out of memory: killed");
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

    fn machine_out_of_memory(&self) -> std::sync::Arc<super::ThreadGroup> {
        let total = self.kernel.config.memory / 4096;
        let victim = self
            .kernel
            .oom_victim(total, |_| true)
            .unwrap_or_else(|| std::sync::Arc::clone(self.task.group()));
        self.kernel.log.info(
            self.kernel.clock.boottime_ns(),
            &format!("Out of memory: Killed process {}", victim.tgid()),
        );
        let info = SigInfo::kernel(Signal::SIGKILL);
        let _ = crate::signal::send_to_group(&self.kernel, &victim, info);
        victim
    }
}
