//! Dying: _exit(2), exit_group(2), fatal signals; telling the parent.

use super::{CurrentTask, RunState, Task, ThreadGroup, Tree, WaitStatus};
use crate::{
    kernel::Kernel,
    ns::IpcNs,
    signal::{send_to_group, send_to_process_group, send_to_task},
};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::signal::{
    CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SA_NOCLDSTOP, SA_NOCLDWAIT,
    SigInfo, Signal,
};

/// How a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// Only this thread.
    Thread(WaitStatus),
    /// The whole process.
    Group(WaitStatus),
}

impl CurrentTask {
    /// Ends the task. Nothing of the guest runs after this; the host thread returns.
    pub(crate) fn exit(mut self, kind: ExitKind) {
        let group = Arc::clone(self.task.group());
        let last_words = match kind {
            ExitKind::Thread(status) => status,
            ExitKind::Group(status) => {
                self.kernel.begin_group_exit(&group, status);
                status
            }
        };
        self.ptrace_exit(last_words);
        self.leave_rings();
        self.task.exiting.store(true, Ordering::SeqCst);
        crate::futex::exit_robust_list(&self);
        self.kernel.futexes.release_pi_locks(self.task.tid());
        if self.clear_child_tid != 0 {
            let addr = self.clear_child_tid;
            if self.mm.space.write::<u32>(addr, &0).is_ok() {
                crate::futex::wake_addr(&self, addr, 1);
            }
        }
        self.account_cpu();
        group.dead_times.add_from(&self.task.times);
        group.dead_io.add(self.task.io.get());

        let CurrentTask {
            task,
            kernel,
            vcpu,
            mm,
            fds,
            fs,
            ns,
            vfork_done,
            ..
        } = self;
        // The memory first: a vfork(2) parent waits for it; then the files, whose other ends may be waited on.
        drop(vcpu);
        task.set_resources(None);
        drop(mm);
        if let Some(done) = vfork_done {
            done.complete();
        }
        let cx = kernel.cx_for(&task, &fs);
        if let Some(table) = Arc::into_inner(fds) {
            table.close_all(&cx);
        }
        drop(fs);
        kernel.release_tracees(&task);
        // Whoever listens for the filters' notifications learns that nobody has them any more.
        let filter = task.seccomp.lock().filter.take();
        drop(filter);
        kernel.send_pdeath_signals(&task);
        task.set_run_state(RunState::Zombie);
        kernel.end_namespace(&task);
        kernel.leave_cgroup(&task);
        // Whoever waits finds the namespaces gone, and what was mounted in them.
        let ipc = Arc::clone(&ns.ipc);
        drop(ns);
        kernel.task_is_dead(&task, last_words, &ipc);
    }
}

impl Kernel {
    /// Marks a process as dying and wakes all its threads; the first status given counts.
    pub fn begin_group_exit(&self, group: &Arc<ThreadGroup>, status: WaitStatus) {
        if group.signals.lock().group_exit.is_none() {
            self.kill_group(group, status);
        }
    }

    /// As [`begin_group_exit`](Self::begin_group_exit); ends the stops of a process that is dying already as well.
    pub(crate) fn kill_group(&self, group: &Arc<ThreadGroup>, status: WaitStatus) {
        group.signals.lock().group_exit.get_or_insert(status);
        let threads = self
            .tree
            .lock()
            .node(group.tgid())
            .map(|n| n.threads.clone())
            .unwrap_or_default();
        for task in threads {
            task.kill();
        }
    }

    /// A parent thread's death reaches the children that it made and that asked for it: `PR_SET_PDEATHSIG`. They go to
    /// another thread of the process, if there is one.
    fn send_pdeath_signals(&self, dead: &Arc<Task>) {
        let (children, heir): (Vec<Arc<Task>>, u32) = {
            let tree = self.tree.lock();
            let Some(node) = tree.node(dead.tgid()) else {
                return;
            };
            let heir = node
                .threads
                .iter()
                .find(|t| t.tid() != dead.tid() && !t.exiting.load(Ordering::SeqCst));
            let children = node.children.iter().filter_map(|c| tree.node(*c));
            (
                children.flat_map(|n| n.threads.clone()).collect(),
                heir.map_or(0, |t| t.tid()),
            )
        };
        for child in children {
            let parent = &child.parent_tid;
            let mine = parent
                .compare_exchange(dead.tid(), heir, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok();
            let signal = i32::from(child.pdeath_signal.load(Ordering::Relaxed));
            if mine
                && signal != 0
                && let Ok(signal) = Signal::new(signal)
            {
                let _ = send_to_task(self, &child, SigInfo::kernel(signal));
            }
        }
    }

    fn task_is_dead(self: &Arc<Self>, task: &Arc<Task>, last_words: WaitStatus, ipc: &IpcNs) {
        let group = task.group();
        let mut tree = self.tree.lock();
        let tracer = self.thread_died(&mut tree, task, last_words);
        if tree.remove_thread(task) > 0 {
            drop(tree);
            group.thread_exit.wake_all(!0);
            if let Some(tracer) = tracer {
                self.tell_tracer_of_death(task, &tracer, last_words);
            }
            return;
        }
        let status = group.signals.lock().group_exit.unwrap_or(last_words);
        let tgid = group.tgid();
        let (reaper, zombies) = tree.reparent_children(tgid);
        let (parent, exit_signal, pgid, sid) = match tree.node_mut(tgid) {
            Some(node) => {
                node.zombie = Some(status);
                node.report = None;
                node.usage = super::usage::node_rusage(node);
                (node.parent, node.exit_signal, node.pgid, node.sid)
            }
            None => return,
        };
        let newly_orphaned = tree.is_orphaned(pgid, None) && tree.has_stopped(pgid);
        let parent_group = tree.node(parent).map(|n| Arc::clone(&n.group));
        let reaper_group = tree.node(reaper).map(|n| Arc::clone(&n.group));
        // The leader's tracer, if it is not the parent, comes first.
        let foreign = tree.tracees.tracer(tgid).cloned();
        let foreign = foreign.filter(|t| t.tgid() != parent);
        drop(tree);
        if let Some(tracer) = tracer {
            self.tell_tracer_of_death(task, &tracer, last_words);
        }

        if sid == tgid {
            self.session_leader_died(sid);
        }
        if newly_orphaned {
            send_to_process_group(self, pgid, SigInfo::kernel(Signal::SIGHUP));
            send_to_process_group(self, pgid, SigInfo::kernel(Signal::SIGCONT));
        }
        if let Some(reaper) = reaper_group.filter(|_| !zombies.is_empty()) {
            reaper.child_wait.wake_all(!0);
            let _ = send_to_group(self, &reaper, SigInfo::kernel(Signal::SIGCHLD));
        }
        // Before anyone can know of the death.
        group.timers.clear();
        ipc.objects.process_died(tgid);
        match foreign {
            Some(tracer) => {
                let signal = Some(Signal::SIGCHLD);
                self.signal_death(group, tracer.group(), signal, status);
            }
            None => self.tell_parent_of_death(group, parent_group.as_ref(), exit_signal, status),
        }
        group.thread_exit.wake_all(!0);
        let disowned = self
            .tree
            .lock()
            .node(tgid)
            .is_some_and(|n| n.disowned && Arc::ptr_eq(&n.group, group));
        if disowned {
            self.reap(group);
        }
        self.events.process_exited(tgid, status);
        self.exit_notify.wake_all(!0);
    }

    /// Notes the end of a traced thread that is not the leader: its tracer, which is to be told.
    fn thread_died(
        &self,
        tree: &mut Tree,
        task: &Arc<Task>,
        last_words: WaitStatus,
    ) -> Option<Arc<Task>> {
        let tid = task.tid();
        if tid == task.tgid() {
            return None;
        }
        let tracee = tree.tracees.get_mut(tid)?;
        tracee.dead = Some(last_words);
        let tracer = Arc::clone(&tracee.tracer);
        let action = tracer.group().sighand.read().get(Signal::SIGCHLD);
        if action.is_ignore() || action.sa_flags & SA_NOCLDWAIT != 0 {
            tree.tracees.remove(tid);
        }
        Some(tracer)
    }

    fn tell_tracer_of_death(&self, task: &Arc<Task>, tracer: &Arc<Task>, status: WaitStatus) {
        let (code, value) = death_code(status);
        let tid = tracer.group().pid_ns.shown(task.tid()).cast_signed();
        let uid = tracer.cred().user_ns.shown_uid(task.cred().uid);
        let info = SigInfo::chld(code, tid, uid, value, 0, 0);
        let _ = send_to_group(self, tracer.group(), info);
        tracer.group().child_wait.wake_all(!0);
    }

    /// Tells the parent of a death that only the tracer knew of until now.
    pub(crate) fn tell_real_parent_of_death(&self, group: &Arc<ThreadGroup>, status: WaitStatus) {
        let (parent, exit_signal) = {
            let tree = self.tree.lock();
            let Some(node) = tree.node(group.tgid()) else {
                return;
            };
            let parent = tree.node(node.parent).map(|n| Arc::clone(&n.group));
            (parent, node.exit_signal)
        };
        self.tell_parent_of_death(group, parent.as_ref(), exit_signal, status);
    }

    fn tell_parent_of_death(
        &self,
        group: &Arc<ThreadGroup>,
        parent: Option<&Arc<ThreadGroup>>,
        exit_signal: Option<Signal>,
        status: WaitStatus,
    ) {
        let Some(parent) = parent else { return };
        let tgid = group.tgid();
        let action = parent.sighand.read().get(Signal::SIGCHLD);
        let ignores = exit_signal == Some(Signal::SIGCHLD)
            && (action.is_ignore() || action.sa_flags & SA_NOCLDWAIT != 0);
        if ignores {
            let node = self.tree.lock().reap(tgid);
            drop(node);
        }
        self.signal_death(group, parent, exit_signal, status);
    }

    /// The signal and the wake-up that a death is to a process.
    fn signal_death(
        &self,
        group: &Arc<ThreadGroup>,
        parent: &Arc<ThreadGroup>,
        exit_signal: Option<Signal>,
        status: WaitStatus,
    ) {
        let action = parent.sighand.read().get(Signal::SIGCHLD);
        if let Some(signal) =
            exit_signal.filter(|_| !action.is_ignore() || exit_signal != Some(Signal::SIGCHLD))
        {
            let (code, value) = death_code(status);
            let mut info = child_info(self, group, parent, code, value);
            info.si_signo = signal.number();
            let _ = send_to_group(self, parent, info);
        }
        parent.child_wait.wake_all(!0);
    }

    /// Called by each thread that comes to rest in a stop; the last one tells the parent.
    /// A parent that traces the thread sees its stop as a tracer.
    pub(crate) fn report_stopped(
        &self,
        group: &Arc<ThreadGroup>,
        signal: Signal,
        stopped: usize,
        tracer: Option<&Arc<Task>>,
    ) {
        let parent = {
            let mut tree = self.tree.lock();
            let Some(node) = tree.node_mut(group.tgid()) else {
                return;
            };
            if stopped < node.threads.len() || node.stopped {
                return;
            }
            node.stopped = true;
            node.report = Some(WaitStatus::Stopped(signal));
            let parent = node.parent;
            tree.node(parent).map(|n| Arc::clone(&n.group))
        };
        let traces = |p: &Arc<ThreadGroup>| tracer.is_some_and(|t| Arc::ptr_eq(t.group(), p));
        let parent = parent.filter(|p| !traces(p));
        self.tell_parent(group, parent, CLD_STOPPED, signal);
    }

    /// The process goes on after a stop.
    pub(crate) fn report_continued(&self, group: &Arc<ThreadGroup>) {
        let parent = {
            let mut tree = self.tree.lock();
            let Some(node) = tree.node_mut(group.tgid()) else {
                return;
            };
            if !std::mem::take(&mut node.stopped) {
                return;
            }
            node.report = Some(WaitStatus::Continued);
            let parent = node.parent;
            tree.node(parent).map(|n| Arc::clone(&n.group))
        };
        self.tell_parent(group, parent, CLD_CONTINUED, Signal::SIGCONT);
    }

    fn tell_parent(
        &self,
        group: &Arc<ThreadGroup>,
        parent: Option<Arc<ThreadGroup>>,
        code: i32,
        signal: Signal,
    ) {
        let Some(parent) = parent else { return };
        let action = parent.sighand.read().get(Signal::SIGCHLD);
        if action.sa_flags & SA_NOCLDSTOP == 0 {
            let _ = send_to_group(
                self,
                &parent,
                child_info(self, group, &parent, code, signal.number()),
            );
        }
        parent.child_wait.wake_all(!0);
    }

    /// The first process of a process id namespace takes all others of it along: pid_namespaces(7). Returns when they are
    /// dead.
    fn end_namespace(&self, task: &Arc<Task>) {
        let group = task.group();
        let ns = &group.pid_ns;
        if group.own_tgid() != 1 || ns.level() == 0 || self.threads_of(group.tgid()).len() > 1 {
            return;
        }
        ns.close();
        let waiter = tuxlet_sync::Waiter::new();
        let _registration = self.exit_notify.register(waiter.clone());
        loop {
            let (others, dead): (Vec<Arc<ThreadGroup>>, Vec<u32>) = {
                let tree = self.tree.lock();
                let members = || {
                    tree.groups()
                        .map(|(_, n)| n)
                        .filter(|n| n.group.pid_ns.is_within(ns) && !Arc::ptr_eq(&n.group, group))
                };
                let live = members().filter(|n| n.zombie.is_none());
                let mine = members().filter(|n| n.zombie.is_some() && n.parent == group.tgid());
                (
                    live.map(|n| Arc::clone(&n.group)).collect(),
                    mine.map(|n| n.group.tgid()).collect(),
                )
            };
            for tgid in dead {
                let node = self.tree.lock().reap(tgid);
                drop(node);
            }
            if others.is_empty() {
                return;
            }
            for other in &others {
                self.begin_group_exit(other, WaitStatus::Signaled(Signal::SIGKILL, false));
            }
            waiter.wait(None);
        }
    }
}

/// What `SIGCHLD` tells a parent of a process.
fn child_info(
    kernel: &Kernel,
    group: &Arc<ThreadGroup>,
    parent: &ThreadGroup,
    code: i32,
    status: i32,
) -> SigInfo {
    let (user, system) = kernel.process_times(group.tgid());
    let ticks = |ns: u64| (ns / 10_000_000).cast_signed();
    let pid = parent.pid_ns.shown(group.tgid());
    let uid = group.owner_uid.load(Ordering::Relaxed);
    let user_ns = kernel.user_ns_of(parent);
    SigInfo::chld(
        code,
        pid.cast_signed(),
        user_ns.shown_uid(uid),
        status,
        ticks(user),
        ticks(system),
    )
}

/// `si_code` and `si_status` of a death.
fn death_code(status: WaitStatus) -> (i32, i32) {
    match status {
        WaitStatus::Signaled(sig, true) => (CLD_DUMPED, sig.number()),
        WaitStatus::Signaled(sig, false) => (CLD_KILLED, sig.number()),
        other => (CLD_EXITED, other.raw() >> 8),
    }
}
