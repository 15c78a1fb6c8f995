//! Tasks (threads), thread groups (processes) and what they own.
//!
//! [`Task`] and [`ThreadGroup`] are the shared parts, reached by other tasks; [`CurrentTask`] is the exclusive
//! handle that the task's own host thread holds.

mod clone;
mod current;
mod exit;
mod group;
mod mm;
mod run;
mod settings;
pub mod tree;
pub mod usage;
mod waiting;

pub use clone::CloneRequest;
pub(crate) use clone::disabled_stack;
pub use current::{CurrentTask, SyscallRestart};
pub use exit::ExitKind;
pub use group::ThreadGroup;
pub use mm::{Mm, MmLayout};
pub use settings::TaskSettings;
pub use tree::{Node, Tree, WaitStatus};
pub(crate) use usage::IoCounters;
pub use usage::{CpuTimes, of_times};
pub use waiting::{WaitFor, WaitOptions, WaitResult};

use crate::{
    cgroup::Membership, fd::FdTable, kernel::Kernel, ns::NsProxy, ptrace::Ptrace, seccomp::Seccomp,
    signal::TaskSignals,
};
use parking_lot::{Mutex, RwLock};
use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
};
use tuxlet_cpu::Kicker;
use tuxlet_host::thread::{CpuClock, HostThread};
use tuxlet_sync::Waiter;
use tuxlet_vfs::{Cred, FsContext};

/// Bits of `Task::work`: reasons for the task to leave the engine and look around.
pub mod work {
    /// A signal may be deliverable.
    pub const SIGNAL: u32 = 1;
    /// The thread group is exiting, or an execve(2) in another thread wants this one gone.
    pub const EXIT: u32 = 2;
    /// The thread group is to stop (job control).
    pub const STOP: u32 = 4;
    /// The tracer wants the thread to stop.
    pub const TRAP: u32 = 16;
    /// Something else to run at the next safe point (membarrier, rseq, tracing).
    pub const NOTIFY: u32 = 8;
    /// The embedder or the control group wants the thread to hold still.
    pub const FREEZE: u32 = 32;
    /// The thread is in another control group, or new in one.
    pub const CGROUP: u32 = 64;
    /// The CPU time of the control group is spent, or there is some again. No reason to end a sleep.
    pub const THROTTLE: u32 = 128;
    /// A request of a ring is ready to go on. No reason to end a sleep.
    pub const IO_URING: u32 = 256;
}

/// Bits of `Task::hooks`: what is to be done around system calls and instructions.
pub mod hook {
    /// Has a tracer.
    pub const TRACED: u32 = 1;
    /// Stops before and after each system call: `PTRACE_SYSCALL`.
    pub const SYSCALL: u32 = 2;
    /// Stops before each system call, which is not performed: `PTRACE_SYSEMU`.
    pub const EMULATE: u32 = 4;
    /// Stops after each instruction: `PTRACE_SINGLESTEP`.
    pub const STEP: u32 = 8;
    /// Debug registers are in use: `NT_ARM_HW_BREAK`, `NT_ARM_HW_WATCH`.
    pub const DEBUG: u32 = 32;
    /// System calls are filtered.
    pub const SECCOMP: u32 = 16;
    /// Everything that goes with the tracer.
    pub const TRACER: u32 = TRACED | SYSCALL | EMULATE | STEP | DEBUG;
}

/// What a task is doing, as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RunState {
    /// Running or runnable.
    Running = b'R',
    /// Waiting, interruptible by signals.
    Sleeping = b'S',
    /// Stopped by job control.
    Stopped = b'T',
    /// Stopped for a tracer.
    Traced = b't',
    /// Dead, not yet waited for.
    Zombie = b'Z',
}

/// The resources that `CLONE_*` flags share or copy. Replaced as a whole only by the task itself.
#[derive(Clone, Debug)]
pub struct Resources {
    /// Memory: shared by `CLONE_VM`.
    pub mm: Arc<Mm>,
    /// Descriptors: shared by `CLONE_FILES`.
    pub fds: Arc<FdTable>,
    /// Root, working directory, umask: shared by `CLONE_FS`.
    pub fs: Arc<FsContext>,
    /// Namespaces.
    pub ns: Arc<NsProxy>,
}

/// A thread, as other threads see it.
#[derive(Debug)]
pub struct Task {
    tid: AtomicU32,
    /// The thread id in the process's own namespace.
    own_tid: AtomicU32,
    group: Arc<ThreadGroup>,
    kernel: Weak<Kernel>,
    /// Pending signals and the blocked mask of this thread.
    pub signals: Mutex<TaskSignals>,
    /// Reasons to leave the engine: bits of [`work`].
    work: AtomicU32,
    /// What the thread sleeps on inside the kernel.
    waiter: Arc<Waiter>,
    /// Makes the engine return soon; replaced with the vCPU by execve(2).
    kicker: RwLock<Option<Kicker>>,
    cred: RwLock<Arc<Cred>>,
    comm: Mutex<[u8; 16]>,
    /// `None` once the task has died.
    resources: Mutex<Option<Resources>>,
    state: AtomicU8,
    /// Start time: nanoseconds of the machine's boot clock.
    pub start_ns: u64,
    /// CPU time of this thread.
    pub times: CpuTimes,
    /// Signal to send when the parent *thread* dies: `PR_SET_PDEATHSIG`; 0 for none.
    pub pdeath_signal: AtomicU8,
    /// The thread that made this process, or another of its process once that is gone.
    pub parent_tid: AtomicU32,
    /// Dying: takes no more signals.
    pub exiting: AtomicBool,
    /// The CPU clock of the host thread; set once it runs.
    cpu_clock: OnceLock<CpuClock>,
    /// The host thread; set once it runs.
    host_thread: OnceLock<HostThread>,
    /// Rests where only other threads can get it out of, or in the freezer.
    pub(crate) resting: AtomicBool,
    /// CPU affinity mask, first 64 CPUs.
    pub affinity: AtomicU64,
    /// The system call the thread is in, for `/proc/PID/syscall`; `u32::MAX` outside.
    pub in_syscall: AtomicU32,
    /// Where it sleeps in a system call: its six arguments, `sp` and `pc`.
    pub(crate) asleep: Mutex<[u64; 8]>,
    /// Its requests in rings.
    pub(crate) rings: Mutex<crate::io_uring::TaskRings>,
    /// What it has read and written.
    pub(crate) io: IoCounters,
    /// Nice value.
    pub nice: std::sync::atomic::AtomicI32,
    /// What is to be done around system calls and instructions: bits of [`hook`].
    hooks: AtomicU32,
    /// The thread as its tracer sees it.
    pub ptrace: Mutex<Ptrace>,
    /// Which system calls the thread may make.
    pub seccomp: Mutex<Seccomp>,
    /// The thread that made this one.
    maker: Mutex<Weak<Task>>,
    /// The head of the list of robust futexes: set_robust_list(2).
    pub robust_list: AtomicU64,
    /// Scheduling policy and what prctl(2) and personality(2) set.
    pub settings: Mutex<TaskSettings>,
    /// Which control group it is in.
    pub(crate) cgroup: Mutex<Membership>,
    /// The CPU time of the group, or of one above it, may be limited.
    pub(crate) cpu_limited: AtomicBool,
}

impl Task {
    /// A new task of a group.
    pub(crate) fn new(
        kernel: &Arc<Kernel>,
        tid: u32,
        group: Arc<ThreadGroup>,
        cred: Arc<Cred>,
        comm: [u8; 16],
        resources: Resources,
        signals: TaskSignals,
    ) -> Arc<Self> {
        Arc::new(Self {
            tid: AtomicU32::new(tid),
            own_tid: AtomicU32::new(group.pid_ns.shown(tid)),
            group,
            kernel: Arc::downgrade(kernel),
            signals: Mutex::new(signals),
            work: AtomicU32::new(0),
            waiter: Waiter::new(),
            kicker: RwLock::new(None),
            cred: RwLock::new(cred),
            comm: Mutex::new(comm),
            resources: Mutex::new(Some(resources)),
            state: AtomicU8::new(RunState::Running as u8),
            start_ns: kernel.clock.boottime_ns(),
            times: CpuTimes::default(),
            pdeath_signal: AtomicU8::new(0),
            parent_tid: AtomicU32::new(0),
            exiting: AtomicBool::new(false),
            cpu_clock: OnceLock::new(),
            host_thread: OnceLock::new(),
            resting: AtomicBool::new(false),
            affinity: AtomicU64::new(u64::MAX),
            in_syscall: AtomicU32::new(u32::MAX),
            asleep: Mutex::default(),
            rings: Mutex::default(),
            io: IoCounters::default(),
            nice: std::sync::atomic::AtomicI32::new(0),
            hooks: AtomicU32::new(0),
            ptrace: Mutex::default(),
            seccomp: Mutex::default(),
            maker: Mutex::default(),
            robust_list: AtomicU64::new(0),
            settings: Mutex::default(),
            cgroup: Mutex::new(Membership::new(Arc::clone(kernel.cgroups.root()))),
            cpu_limited: AtomicBool::new(false),
        })
    }

    /// Called once by the task's host thread.
    pub(crate) fn note_host_thread(&self) {
        if let Some(clock) = CpuClock::current() {
            let _ = self.cpu_clock.set(clock);
        }
        let _ = self.host_thread.set(HostThread::current());
        let affinity = self.affinity.load(Ordering::Relaxed);
        if affinity != u64::MAX {
            self.apply_affinity(affinity);
        }
    }

    /// Sets the processors that the thread may use: sched_setaffinity(2).
    pub(crate) fn set_affinity(&self, mask: u64) {
        self.affinity.store(mask, Ordering::Relaxed);
        self.apply_affinity(mask);
    }

    fn apply_affinity(&self, mask: u64) {
        // A thread that has ended has nowhere to run; a host that took processors away decides for itself.
        if let Some(Err(error)) = self.host_thread.get().map(|t| t.set_affinity(mask)) {
            tracing::debug!(tid = self.tid(), "affinity {mask:#x}: {error}");
        }
    }

    fn cpu_clock(&self) -> Option<u64> {
        self.cpu_clock.get()?.read()
    }

    /// Takes over what fork(2) inherits beside the resources.
    pub(crate) fn inherit(&self, parent: &Arc<Self>) {
        *self.maker.lock() = Arc::downgrade(parent);
        self.adopt_seccomp(&parent.seccomp.lock());
        self.nice
            .store(parent.nice.load(Ordering::Relaxed), Ordering::Relaxed);
        self.affinity
            .store(parent.affinity.load(Ordering::Relaxed), Ordering::Relaxed);
        self.cgroup.lock().group = parent.cgroup();
        let settings = parent.settings.lock().for_child();
        *self.settings.lock() = settings;
    }

    /// Thread id in the initial namespace.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    pub(crate) fn set_tid(&self, tid: u32) {
        self.tid.store(tid, Ordering::Relaxed);
        let own = self.group.pid_ns.shown(tid);
        self.own_tid.store(own, Ordering::Relaxed);
    }

    /// Thread id in the process's own namespace: gettid(2).
    #[must_use]
    pub fn own_tid(&self) -> u32 {
        self.own_tid.load(Ordering::Relaxed)
    }

    /// Thread group id in the initial namespace.
    #[must_use]
    pub fn tgid(&self) -> u32 {
        self.group.tgid()
    }

    /// The thread group.
    #[must_use]
    pub fn group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }

    /// The kernel; `None` while the machine is being dropped.
    #[must_use]
    pub fn kernel(&self) -> Option<Arc<Kernel>> {
        self.kernel.upgrade()
    }

    /// Current credentials (a snapshot).
    #[must_use]
    pub fn cred(&self) -> Arc<Cred> {
        Arc::clone(&self.cred.read())
    }

    /// Replaces the credentials; only the task itself may.
    pub(crate) fn set_cred(&self, cred: Cred) {
        self.group.owner_uid.store(cred.uid, Ordering::Relaxed);
        *self.cred.write() = Arc::new(cred);
    }

    /// The name of the thread, without the trailing zeros: `PR_GET_NAME`.
    #[must_use]
    pub fn comm(&self) -> Vec<u8> {
        let comm = self.comm.lock();
        let len = comm.iter().position(|b| *b == 0).unwrap_or(15);
        comm[..len].to_vec()
    }

    /// Sets the name; cut to 15 bytes.
    pub fn set_comm(&self, name: &[u8]) {
        *self.comm.lock() = comm_bytes(name);
    }

    /// What the task shares or owns; `None` after its death.
    #[must_use]
    pub fn resources(&self) -> Option<Resources> {
        self.resources.lock().clone()
    }

    pub(crate) fn set_resources(&self, resources: Option<Resources>) {
        let old = std::mem::replace(&mut *self.resources.lock(), resources);
        // Dropped outside the lock: closing files and unmapping memory take their time.
        drop(old);
    }

    /// What the task is doing.
    #[must_use]
    pub fn run_state(&self) -> RunState {
        match self.state.load(Ordering::Relaxed) {
            b'S' => RunState::Sleeping,
            b'T' => RunState::Stopped,
            b't' => RunState::Traced,
            b'Z' => RunState::Zombie,
            _ => RunState::Running,
        }
    }

    pub(crate) fn set_run_state(&self, state: RunState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// The task's parker.
    #[must_use]
    pub fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    pub(crate) fn set_kicker(&self, kicker: Kicker) {
        *self.kicker.write() = Some(kicker);
    }

    /// Sets work bits, then makes the task notice: out of the engine by a kick, out of a sleep by a wake-up.
    pub fn notify(&self, bits: u32) {
        self.work.fetch_or(bits, Ordering::SeqCst);
        if let Some(kicker) = &*self.kicker.read() {
            kicker.kick();
        }
        self.waiter.notify();
    }

    /// Bits of [`hook`] that are set.
    #[must_use]
    pub(crate) fn hooks(&self) -> u32 {
        self.hooks.load(Ordering::Relaxed)
    }

    pub(crate) fn set_hooks(&self, bits: u32) {
        self.hooks.fetch_or(bits, Ordering::SeqCst);
    }

    pub(crate) fn clear_hooks(&self, bits: u32) {
        self.hooks.fetch_and(!bits, Ordering::SeqCst);
    }

    /// The thread that made this one, while it exists.
    pub(crate) fn maker(&self) -> Option<Arc<Self>> {
        self.maker.lock().upgrade()
    }

    /// Work bits that are set.
    #[must_use]
    pub fn pending_work(&self) -> u32 {
        self.work.load(Ordering::SeqCst)
    }

    pub(crate) fn clear_work(&self, bits: u32) {
        self.work.fetch_and(!bits, Ordering::SeqCst);
    }
}

/// A thread name as the kernel keeps it: at most 15 bytes and a zero.
#[must_use]
pub fn comm_bytes(name: &[u8]) -> [u8; 16] {
    let mut comm = [0; 16];
    let len = name
        .iter()
        .position(|b| *b == 0)
        .unwrap_or(name.len())
        .min(15);
    comm[..len].copy_from_slice(&name[..len]);
    comm
}
