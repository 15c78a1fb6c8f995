//! Making tasks: clone(2), fork(2), vfork(2).

use super::{CurrentTask, Node, Resources, Task, ThreadGroup, WaitStatus, work};
use crate::{
    cgroup::Cgroup,
    hooks::Fork,
    ns::{NsProxy, pid::PidNs},
    signal::TaskSignals,
};
use parking_lot::Mutex;
use std::sync::{Arc, atomic::Ordering};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    ptrace::PTRACE_EVENT_VFORK_DONE,
    resource::RLIMIT_NPROC,
    sched::{
        CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_CLEAR_SIGHAND, CLONE_FILES, CLONE_FS,
        CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_PARENT, CLONE_PARENT_SETTID,
        CLONE_PIDFD, CLONE_SETTLS, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_VFORK,
        CLONE_VM,
    },
    signal::{Signal, StackT},
};
use tuxlet_vfs::{Cred, FsContext, cx::cap};

/// What clone(2) and clone3(2) ask for.
#[derive(Clone, Debug, Default)]
pub struct CloneRequest {
    /// `CLONE_*`, without the exit signal.
    pub flags: u64,
    /// Signal for the parent at exit, 0 for none.
    pub exit_signal: u32,
    /// Stack pointer of the child; 0 keeps the parent's.
    pub stack: u64,
    /// Thread pointer for `CLONE_SETTLS`.
    pub tls: u64,
    /// Where `CLONE_PARENT_SETTID` stores the id.
    pub parent_tid: u64,
    /// Where `CLONE_CHILD_SETTID` and `CLONE_CHILD_CLEARTID` work.
    pub child_tid: u64,
    /// Where `CLONE_PIDFD` stores the descriptor.
    pub pidfd: u64,
    /// The ids that clone3(2)'s `set_tid` asks for, the innermost namespace's first.
    pub set_tid: Vec<u32>,
    /// The control group that the child begins in: `CLONE_INTO_CGROUP`.
    pub cgroup: Option<Arc<Cgroup>>,
}

/// What of a child may be in other namespaces.
struct Setting {
    cred: Arc<Cred>,
    fs: Arc<FsContext>,
    ns: Arc<NsProxy>,
}

/// The child, its registers, and whether it is a new process.
type Made = (Arc<Task>, Box<tuxlet_cpu::CpuState>, bool);

/// Lets the parent of a vfork(2) go on: when the child has another memory or is gone.
#[derive(Clone, Debug)]
pub(crate) struct VforkDone(Arc<(Mutex<bool>, WaitQueue)>);

impl VforkDone {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(false), WaitQueue::new())))
    }

    pub(crate) fn complete(&self) {
        *self.0.0.lock() = true;
        self.0.1.wake_all(!0);
    }

    fn is_done(&self) -> bool {
        *self.0.0.lock()
    }
}

fn check_flags(flags: u64) -> Result<()> {
    let has = |f: u64| flags & f != 0;
    let wrong = (has(CLONE_SIGHAND) && !has(CLONE_VM))
        || (has(CLONE_THREAD) && !has(CLONE_SIGHAND))
        || (has(CLONE_SIGHAND) && has(CLONE_CLEAR_SIGHAND))
        || (has(CLONE_FS) && (has(CLONE_NEWNS) || has(CLONE_NEWUSER)))
        || (has(CLONE_THREAD) && (has(CLONE_NEWPID) || has(CLONE_NEWUSER)))
        || (has(CLONE_NEWIPC) && has(CLONE_SYSVSEM));
    if wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

impl CurrentTask {
    /// Makes a child task and starts it; returns its id in the parent.
    pub fn clone_task(&mut self, request: &CloneRequest) -> Result<u32> {
        check_flags(request.flags)?;
        let flags = request.flags;
        let has = |f: u64| flags & f != 0;
        // Signals sent before are dealt with before; for those that come while the child is made see `insert_child`.
        let broadcasts = self.kernel.broadcasts.load(Ordering::SeqCst);
        if self.signal_pending() {
            return Err(Errno::ERESTARTNOINTR);
        }
        self.check_process_limit()?;
        if !has(CLONE_THREAD) {
            self.ask_fork_guard()?;
        }

        let kernel = Arc::clone(&self.kernel);
        let setting = self.child_setting(request)?;
        let tid = self.child_id(request, &setting.ns.pid_for_children)?;
        let made = self.build_child(request, tid, setting);
        let (child, mut regs, group_is_new) = match made {
            Ok(made) => made,
            Err((errno, pid_ns)) => {
                pid_ns.leave(tid);
                kernel.tree.lock().release_pid(tid);
                return Err(errno);
            }
        };
        let pid_ns = Arc::clone(&child.group().pid_ns);
        regs.x[0] = 0;
        if request.stack != 0 {
            regs.sp = request.stack;
        }
        if has(CLONE_SETTLS) {
            regs.tpidr = request.tls;
        }
        let mut current = CurrentTask::new(
            Arc::clone(&kernel),
            Arc::clone(&child),
            child.resources().ok_or(Errno::ENOMEM)?,
            regs,
        );
        if has(CLONE_CHILD_CLEARTID) {
            current.clear_child_tid = request.child_tid;
        }
        let vfork = has(CLONE_VFORK).then(VforkDone::new);
        current.vfork_done.clone_from(&vfork);

        if let Err(errno) = self.insert_child(request, &child, group_is_new, broadcasts) {
            pid_ns.leave(tid);
            kernel.tree.lock().release_pid(tid);
            return Err(errno);
        }
        let shown = self.shown_pid(tid);
        if has(CLONE_PIDFD)
            && let Err(errno) = self.give_pidfd(&child, request.pidfd)
        {
            kernel.forget_unstarted(&child);
            return Err(errno);
        }
        if has(CLONE_PARENT_SETTID) {
            // Linux ignores a bad pointer here.
            let _ = self.mm.space.write::<u32>(request.parent_tid, &shown);
        }
        if has(CLONE_CHILD_SETTID) {
            let _ = current
                .mm
                .space
                .write::<u32>(request.child_tid, &child.own_tid());
        }
        let event = self.clone_event(flags, request.exit_signal);
        self.trace_child(&child, flags, event);
        if let Err(errno) = kernel.start_thread(current) {
            kernel.forget_unstarted(&child);
            return Err(errno);
        }
        if let Some(event) = event {
            self.ptrace_event(event, shown.into());
        }
        if let Some(done) = vfork {
            self.wait_vfork(&done);
            self.ptrace_event(PTRACE_EVENT_VFORK_DONE, shown.into());
        }
        Ok(shown)
    }

    /// The credentials, directories and namespaces of a child.
    fn child_setting(&self, request: &CloneRequest) -> Result<Setting> {
        let has = |f: u64| request.flags & f != 0;
        let mut cred = self.task.cred();
        if has(CLONE_NEWUSER) {
            cred = Arc::new(self.cred_in_new_user_ns()?);
        }
        let fs = if has(CLONE_FS) {
            Arc::clone(&self.fs)
        } else {
            Arc::new(self.fs.copy())
        };
        let mut ns = self.new_namespaces(request.flags, &cred, &fs)?;
        // Who shares the memory shares what is mapped of the clocks, until it has another program.
        if !has(CLONE_VM) {
            ns = ns.with_childrens_time();
        }
        Ok(Setting { cred, fs, ns })
    }

    /// Ids for the child in all namespaces that see it; the one of the initial namespace.
    fn child_id(&self, request: &CloneRequest, own: &Arc<PidNs>) -> Result<u32> {
        let pid_ns = if request.flags & CLONE_THREAD != 0 {
            &self.task.group().pid_ns
        } else {
            own
        };
        let wanted = &request.set_tid;
        let levels = pid_ns.level() as usize;
        if wanted.len() > levels + 1 {
            return Err(Errno::EINVAL);
        }
        let mut ns = Some(pid_ns);
        for _ in wanted {
            if let Some(at) = ns {
                crate::ns::must_be_admin_of(&self.task.cred(), &at.id.owner)?;
                ns = at.parent();
            }
        }
        let tree = &self.kernel.tree;
        let tid = match wanted.get(levels) {
            Some(tid) => tree.lock().claim_pid(*tid)?,
            None => tree.lock().alloc_pid()?,
        };
        pid_ns
            .enter(tid, &wanted[..wanted.len().min(levels)])
            .inspect_err(|_| tree.lock().release_pid(tid))?;
        Ok(tid)
    }

    /// A descriptor for the child, stored at `to`: `CLONE_PIDFD`.
    fn give_pidfd(&self, child: &Arc<Task>, to: u64) -> Result<()> {
        let fd = crate::pidfd::install(self, child)?;
        self.mm.space.write::<i32>(to, &fd).inspect_err(|_| {
            // It was just installed.
            let _ = self.fds.close(&self.cx(), fd);
        })
    }

    fn check_process_limit(&self) -> Result<()> {
        let cred = self.task.cred();
        if cred.uid == 0 || cred.has_cap(cap::SYS_RESOURCE) || cred.has_cap(cap::SYS_ADMIN) {
            return Ok(());
        }
        let limit = self.task.group().rlimit(RLIMIT_NPROC);
        let used = self.kernel.tree.lock().tasks_of_user(cred.uid);
        if used as u64 >= limit {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }

    /// Lets the embedder refuse a new process.
    fn ask_fork_guard(&self) -> Result<()> {
        let Some(guard) = self.kernel.hooks.fork_guard.get() else {
            return Ok(());
        };
        let group = self.task.group();
        guard(&Fork {
            parent: group.tgid(),
            comm: self.task.comm(),
            uid: group.owner_uid.load(Ordering::Relaxed),
            context: group.context.load(Ordering::Relaxed),
            tasks: self.kernel.tree.lock().task_count(),
        })
    }

    /// The child, its registers, and whether it is a new process.
    fn build_child(
        &mut self,
        request: &CloneRequest,
        tid: u32,
        setting: Setting,
    ) -> std::result::Result<Made, (Errno, Arc<PidNs>)> {
        let has = |f: u64| request.flags & f != 0;
        let Setting { cred, fs, ns } = setting;
        let new_group = !has(CLONE_THREAD);
        let pid_ns = if new_group {
            Arc::clone(&ns.pid_for_children)
        } else {
            Arc::clone(&self.task.group().pid_ns)
        };
        let resources = Resources {
            mm: if has(CLONE_VM) {
                Arc::clone(&self.mm)
            } else {
                self.mm
                    .fork()
                    .and_then(|mm| {
                        if !Arc::ptr_eq(&ns.time, &self.ns.time) {
                            self.kernel.remap_clocks(&mm, &ns)?;
                        }
                        Ok(mm)
                    })
                    .map_err(|errno| (errno, Arc::clone(&pid_ns)))?
            },
            fds: if has(CLONE_FILES) {
                Arc::clone(&self.fds)
            } else {
                Arc::new(self.fds.copy())
            },
            fs,
            ns,
        };
        let parent_group = self.task.group();
        let group = if new_group {
            let old = parent_group.sighand.read();
            let sighand = if has(CLONE_SIGHAND) {
                Arc::clone(&old)
            } else {
                Arc::new(old.copy())
            };
            if has(CLONE_CLEAR_SIGHAND) {
                sighand.reset_handlers();
            }
            let limits = *parent_group.rlimits.lock();
            ThreadGroup::child_of(tid, pid_ns, parent_group, sighand, limits)
        } else {
            Arc::clone(parent_group)
        };
        let signals = {
            let own = self.task.signals.lock();
            // A thread with its own stack does not inherit the alternate one: sigaltstack(2).
            let keeps_stack = !has(CLONE_VM) || has(CLONE_VFORK);
            TaskSignals {
                blocked: own.blocked,
                alt_stack: if keeps_stack {
                    own.alt_stack
                } else {
                    disabled_stack()
                },
                ..TaskSignals::default()
            }
        };
        let comm = super::comm_bytes(&self.task.comm());
        let task = Task::new(&self.kernel, tid, group, cred, comm, resources, signals);
        task.inherit(&self.task);
        if let Some(cgroup) = &request.cgroup {
            task.cgroup.lock().group = Arc::clone(cgroup);
        }
        let parent_tid = if has(CLONE_PARENT) || !new_group {
            self.task.parent_tid.load(Ordering::SeqCst)
        } else {
            self.task.tid()
        };
        task.parent_tid.store(parent_tid, Ordering::SeqCst);
        Ok((task, self.cpu.clone(), new_group))
    }

    /// Lets the child into the tree. A signal to the process group must not miss it: once one has reached the parent
    /// since the call began (`broadcasts`), the call starts anew when the parent has dealt with it.
    fn insert_child(
        &self,
        request: &CloneRequest,
        child: &Arc<Task>,
        new_group: bool,
        broadcasts: u64,
    ) -> Result<()> {
        let _no_broadcast = self.kernel.broadcast_lock.read();
        if self.kernel.broadcasts.load(Ordering::SeqCst) != broadcasts && self.signal_pending() {
            return Err(Errno::ERESTARTNOINTR);
        }
        self.kernel.join_cgroup(child)?;
        let mut tree = self.kernel.tree.lock();
        if !new_group {
            tree.insert_thread(Arc::clone(child));
            drop(tree);
            // Whoever ends or stops the process from now on finds the thread; what came before, it is told here.
            let shared = child.group().signals.lock();
            if shared.group_exit.is_some() || shared.exec_by.is_some() {
                child.notify(work::EXIT);
            }
            if shared.stop.is_some() {
                child.notify(work::STOP);
            }
            return Ok(());
        }
        let own = tree.node(self.task.tgid());
        let (own_parent, pgid, sid, own_exit) = own.map_or((0, 0, 0, None), |n| {
            (n.parent, n.pgid, n.sid, n.exit_signal)
        });
        let (parent, exit_signal) = if request.flags & CLONE_PARENT != 0 {
            (own_parent, own_exit)
        } else {
            (
                self.task.tgid(),
                Signal::new(request.exit_signal as i32).ok(),
            )
        };
        let mut node = Node::new(Arc::clone(child.group()), parent, pgid, sid);
        node.exit_signal = exit_signal;
        tree.insert_group(node, Arc::clone(child));
        drop(tree);
        let group = child.group();
        if self.task.group().signals.lock().group_exit.is_some() {
            // Who is killed in the middle of fork(2) leaves no child behind.
            self.kernel
                .begin_group_exit(group, WaitStatus::Signaled(Signal::SIGKILL, false));
        }
        group.timers.watch_cpu_limit(&self.kernel, group);
        Ok(())
    }

    /// The parent of a vfork(2) sleeps until its memory is its own again; only being killed ends that early.
    fn wait_vfork(&mut self, done: &VforkDone) {
        let waiter = Arc::clone(self.task.waiter());
        let mut table = tuxlet_vfs::PollTable::new(waiter.clone());
        table.add(&done.0.1);
        self.task.resting.store(true, Ordering::SeqCst);
        self.kernel.rest_has_changed(&self.task);
        while !done.is_done() && self.task.group().signals.lock().group_exit.is_none() {
            waiter.wait(None);
        }
        self.task.resting.store(false, Ordering::SeqCst);
    }
}

/// No alternate signal stack.
pub(crate) fn disabled_stack() -> StackT {
    StackT {
        ss_flags: tuxlet_uapi::signal::SS_DISABLE,
        ..StackT::default()
    }
}
