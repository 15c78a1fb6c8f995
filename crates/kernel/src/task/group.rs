//! Thread groups: what POSIX calls processes.

use super::{CpuTimes, usage::IoCounters};
use crate::{
    ns::pid::PidNs,
    signal::{GroupSignals, SigHand},
};
use parking_lot::{Mutex, RwLock};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering},
};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::resource::{
    RLIM_INFINITY, RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_NOFILE,
    RLIMIT_NPROC, RLIMIT_RTPRIO, RLIMIT_SIGPENDING, RLIMIT_STACK, Rlimit,
};

/// The limits of the first process, as a distribution's init would have them.
fn default_rlimits() -> [Rlimit; 16] {
    let mut limits = [Rlimit {
        rlim_cur: RLIM_INFINITY,
        rlim_max: RLIM_INFINITY,
    }; 16];
    for (which, soft, hard) in [
        (RLIMIT_STACK, 8 << 20, RLIM_INFINITY),
        (RLIMIT_CORE, 0, RLIM_INFINITY),
        (RLIMIT_NPROC, 4096, 4096),
        (RLIMIT_NOFILE, 1024, 1 << 20),
        (RLIMIT_MEMLOCK, 8 << 20, 8 << 20),
        (RLIMIT_SIGPENDING, 15_000, 15_000),
        (RLIMIT_MSGQUEUE, 819_200, 819_200),
        (RLIMIT_NICE, 0, 0),
        (RLIMIT_RTPRIO, 0, 0),
    ] {
        limits[which as usize] = Rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
    }
    limits
}

/// A thread group. Its place in the tree is kept by [`super::Tree`].
#[derive(Debug)]
pub struct ThreadGroup {
    tgid: u32,
    /// The namespace of its process id.
    pub pid_ns: Arc<PidNs>,
    /// Its process id there.
    own_tgid: u32,
    /// Signal dispositions, shared by `CLONE_SIGHAND`.
    pub sighand: RwLock<Arc<SigHand>>,
    /// Process-wide pending signals, group exit and group stop.
    pub signals: Mutex<GroupSignals>,
    /// Woken when a child changes state: wait(2).
    pub child_wait: WaitQueue,
    /// Woken when a thread of this group dies, for execve(2); and when the group becomes a zombie, for pidfds.
    pub thread_exit: WaitQueue,
    /// Resource limits by `RLIMIT_*` number.
    pub rlimits: Mutex<[Rlimit; 16]>,
    /// CPU time of threads that have died.
    pub dead_times: CpuTimes,
    /// What threads that have ended have read and written.
    pub(crate) dead_io: IoCounters,
    /// CPU time of children that were waited for.
    pub child_times: CpuTimes,
    /// Has given up the session's controlling terminal: `TIOCNOTTY`.
    pub gave_up_tty: AtomicBool,
    /// Core dumps and ptrace allowed: `PR_SET_DUMPABLE`.
    pub dumpable: AtomicBool,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score_adj: AtomicI32,
    /// Real user id of the process, for `SIGCHLD` and wait(2) after its death.
    pub owner_uid: AtomicU32,
    /// [`crate::Spawn::context`] of the process that the embedder started and this one descends from.
    pub context: AtomicU64,
    /// POSIX timers and interval timers.
    pub timers: crate::clock::ProcessTimers,
}

impl ThreadGroup {
    /// A group with given dispositions and limits.
    #[must_use]
    pub fn new(
        tgid: u32,
        pid_ns: Arc<PidNs>,
        sighand: Arc<SigHand>,
        rlimits: [Rlimit; 16],
    ) -> Arc<Self> {
        Arc::new(Self {
            tgid,
            own_tgid: pid_ns.shown(tgid),
            pid_ns,
            sighand: RwLock::new(sighand),
            signals: Mutex::new(GroupSignals::default()),
            child_wait: WaitQueue::new(),
            thread_exit: WaitQueue::new(),
            rlimits: Mutex::new(rlimits),
            dead_times: CpuTimes::default(),
            dead_io: IoCounters::default(),
            child_times: CpuTimes::default(),
            gave_up_tty: AtomicBool::new(false),
            dumpable: AtomicBool::new(true),
            oom_score_adj: AtomicI32::new(0),
            owner_uid: AtomicU32::new(0),
            context: AtomicU64::new(0),
            timers: crate::clock::ProcessTimers::default(),
        })
    }

    /// A child process's group: some settings are inherited.
    #[must_use]
    pub fn child_of(
        tgid: u32,
        pid_ns: Arc<PidNs>,
        parent: &Self,
        sighand: Arc<SigHand>,
        rlimits: [Rlimit; 16],
    ) -> Arc<Self> {
        let group = Self::new(tgid, pid_ns, sighand, rlimits);
        group
            .dumpable
            .store(parent.dumpable.load(Ordering::Relaxed), Ordering::Relaxed);
        group.gave_up_tty.store(
            parent.gave_up_tty.load(Ordering::Relaxed),
            Ordering::Relaxed,
        );
        group
            .owner_uid
            .store(parent.owner_uid.load(Ordering::Relaxed), Ordering::Relaxed);
        group
            .context
            .store(parent.context.load(Ordering::Relaxed), Ordering::Relaxed);
        group.oom_score_adj.store(
            parent.oom_score_adj.load(Ordering::Relaxed),
            Ordering::Relaxed,
        );
        group
    }

    /// The first group of a machine.
    #[must_use]
    pub fn first(tgid: u32, pid_ns: Arc<PidNs>) -> Arc<Self> {
        Self::new(
            tgid,
            pid_ns,
            Arc::new(SigHand::default()),
            default_rlimits(),
        )
    }

    /// Process id.
    #[must_use]
    pub fn tgid(&self) -> u32 {
        self.tgid
    }

    /// Process id in the process's own namespace: getpid(2).
    #[must_use]
    pub fn own_tgid(&self) -> u32 {
        self.own_tgid
    }

    /// A resource limit's soft value by `RLIMIT_*` number.
    #[must_use]
    pub fn rlimit(&self, which: u32) -> u64 {
        self.rlimits
            .lock()
            .get(which as usize)
            .map_or(u64::MAX, |r| r.rlim_cur)
    }
}
