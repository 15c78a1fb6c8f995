//! The running task: the handle that only its own host thread has.

use super::{Mm, Resources, Task};
use crate::{fd::FdTable, kernel::Kernel, ns::NsProxy, timer::TimerClock};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};
use tuxlet_cpu::{CpuState, Vcpu};
use tuxlet_mem::Limits;
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::{RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK},
    signal::{SigInfo, Signal},
};
use tuxlet_vfs::{Cx, FsContext, cx::cap};

/// What restart_syscall(2) is to continue.
#[derive(Clone, Debug)]
pub enum SyscallRestart {
    /// A sleep until an absolute time; the remaining time goes to the pointer, if not zero.
    Sleep {
        /// When it ends.
        deadline: Instant,
        /// Where the remainder goes (`struct timespec`).
        remainder: u64,
    },
    /// A sleep until a CPU-time clock reads a time; the remaining time goes to the pointer, if not zero.
    CpuSleep {
        /// The clock.
        clock: TimerClock,
        /// What it is to read.
        until: u64,
        /// Where the remainder goes (`struct timespec`).
        remainder: u64,
    },
    /// A poll(2) with an absolute end.
    Poll {
        /// The array.
        fds: u64,
        /// Its length.
        count: u32,
        /// When it ends.
        deadline: Option<Instant>,
    },
    /// A futex wait with an absolute end.
    Futex {
        /// The word.
        addr: u64,
        /// The expected value.
        value: u32,
        /// The bit set.
        bitset: u32,
        /// Without `FUTEX_PRIVATE_FLAG`.
        shared: bool,
        /// When it ends.
        deadline: Instant,
    },
}

/// The task that the current host thread runs: first parameter of every system call.
pub struct CurrentTask {
    /// The shared part.
    pub task: Arc<Task>,
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// Registers.
    pub cpu: Box<CpuState>,
    pub(crate) vcpu: Box<dyn Vcpu>,
    /// Memory.
    pub mm: Arc<Mm>,
    /// Descriptors.
    pub fds: Arc<FdTable>,
    /// Root, working directory, umask.
    pub fs: Arc<FsContext>,
    /// Namespaces.
    pub ns: Arc<NsProxy>,
    /// What an interrupted system call left for restart_syscall(2).
    pub restart: Option<SyscallRestart>,
    /// Written with zero and woken at exit: set_tid_address(2).
    pub clear_child_tid: u64,
    /// The registered rseq(2) area and its signature.
    pub rseq: Option<(u64, u32)>,
    /// Tells the parent of a vfork(2) that its memory is free again.
    pub(crate) vfork_done: Option<super::clone::VforkDone>,
    /// Set by exit(2) and exit_group(2): the task ends after the call.
    pub(crate) exit_request: Option<super::ExitKind>,
    /// Address and syndrome of the last memory fault, for signal frames.
    pub(crate) fault_address: u64,
    /// ESR_EL1 of the last fault, 0 for none.
    pub(crate) fault_esr: u64,
    /// `x0` at entry of the current system call, for restarts.
    pub(crate) orig_x0: u64,
    /// The native program that runs instead of guest code.
    pub(crate) native: Option<crate::native::NativeStart>,
    /// Number of the current system call, -1 outside: a tracer may change it at entry.
    pub(crate) syscall_nr: i32,
    /// Its memory counts in a control group.
    pub(crate) counted: bool,
}

impl std::fmt::Debug for CurrentTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CurrentTask")
            .field("tid", &self.task.tid())
            .finish_non_exhaustive()
    }
}

impl CurrentTask {
    /// A handle for a new task with its registers.
    pub(crate) fn new(
        kernel: Arc<Kernel>,
        task: Arc<Task>,
        resources: Resources,
        cpu: Box<CpuState>,
    ) -> Self {
        let vcpu = kernel.engine.vcpu(Arc::clone(&resources.mm.space));
        task.set_kicker(vcpu.kicker());
        Self {
            task,
            kernel,
            cpu,
            vcpu,
            mm: resources.mm,
            fds: resources.fds,
            fs: resources.fs,
            ns: resources.ns,
            restart: None,
            clear_child_tid: 0,
            rseq: None,
            vfork_done: None,
            exit_request: None,
            fault_address: 0,
            fault_esr: 0,
            orig_x0: 0,
            native: None,
            syscall_nr: -1,
            counted: false,
        }
    }

    /// The context for file operations.
    #[must_use]
    pub fn cx(&self) -> Cx {
        Cx {
            cred: self.task.cred(),
            umask: self.fs.umask(),
            now: self.kernel.clock.realtime_vfs(),
            fsize_limit: self
                .task
                .group()
                .rlimit(tuxlet_uapi::resource::RLIMIT_FSIZE),
            tgid: self.task.tgid(),
            tid: self.task.tid(),
            context: self.task.group().context.load(Ordering::Relaxed),
        }
    }

    /// How a process or thread id of the initial namespace is shown to the task; 0 if it has no meaning in its own.
    #[must_use]
    pub(crate) fn shown_pid(&self, global: u32) -> u32 {
        self.task.group().pid_ns.shown(global)
    }

    /// The initial namespace's id for one that the task gives. `ESRCH`.
    pub(crate) fn given_pid(&self, id: u32) -> Result<u32> {
        self.task.group().pid_ns.global(id).ok_or(Errno::ESRCH)
    }

    /// Publishes changed resources for other tasks to see (`/proc`, ptrace).
    pub(crate) fn publish_resources(&self) {
        self.task.set_resources(Some(Resources {
            mm: Arc::clone(&self.mm),
            fds: Arc::clone(&self.fds),
            fs: Arc::clone(&self.fs),
            ns: Arc::clone(&self.ns),
        }));
    }

    /// Moves the task to another memory: execve(2).
    pub(crate) fn switch_mm(&mut self, mm: Arc<Mm>) {
        self.vcpu = self.kernel.engine.vcpu(Arc::clone(&mm.space));
        self.task.set_kicker(self.vcpu.kicker());
        self.mm = mm;
        self.publish_resources();
    }

    /// Tells the address space the current resource limits, before calls that they restrain.
    pub(crate) fn sync_memory_limits(&self) {
        let group = self.task.group();
        self.mm.space.set_limits(Limits {
            address_space: group.rlimit(RLIMIT_AS),
            data: group.rlimit(RLIMIT_DATA),
            stack: group.rlimit(RLIMIT_STACK),
            locked: if self.task.cred().has_cap(cap::IPC_LOCK) {
                u64::MAX
            } else {
                group.rlimit(RLIMIT_MEMLOCK)
            },
        });
    }

    /// Raises the signal that a resource limit or a broken pipe sends to the thread itself.
    pub fn send_self(&mut self, signal: Signal) {
        let info = SigInfo::kernel(signal);
        // A full queue cannot happen: standard signals are never refused.
        let _ = crate::signal::send_to_task(&self.kernel, &self.task, info);
    }
}
