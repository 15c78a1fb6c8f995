//! Beginning and ending to trace: `PTRACE_TRACEME`, `PTRACE_ATTACH`, `PTRACE_SEIZE`, `PTRACE_DETACH`, children of
//! tracees, the death of the tracer.

use super::{OPTIONS, Tracee};
use crate::{
    kernel::Kernel,
    signal::send_to_task,
    task::{CurrentTask, Task, WaitStatus, hook, work},
};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::{
    errno::{Errno, Result},
    ptrace::{
        PTRACE_EVENT_CLONE, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_O_EXITKILL,
        PTRACE_O_SUSPEND_SECCOMP,
    },
    sched::{CLONE_PTRACE, CLONE_UNTRACED, CLONE_VFORK},
    signal::{SI_USER, SigInfo, Signal},
};
use tuxlet_vfs::cx::cap;

impl CurrentTask {
    /// `PTRACE_TRACEME`: the parent becomes the tracer. `EPERM`.
    pub(crate) fn ptrace_traceme(&mut self) -> Result<()> {
        if self.task.is_traced() {
            return Err(Errno::EPERM);
        }
        let mut tree = self.kernel.tree.lock();
        let parent = tree.node(self.task.tgid()).map_or(0, |n| n.parent);
        let threads = tree.node(parent).map(|n| n.threads.as_slice());
        // The thread that made this one, or else another one of the parent process.
        let maker = self.task.maker().filter(|t| t.tgid() == parent);
        let tracer = maker
            .filter(|t| !t.exiting.load(Ordering::SeqCst))
            .or_else(|| threads?.first().cloned())
            .ok_or(Errno::EPERM)?;
        let (own, other) = (self.task.cred(), tracer.cred());
        if own.cap_permitted & !other.cap_permitted != 0 && !other.has_cap(cap::SYS_PTRACE) {
            return Err(Errno::EPERM);
        }
        tree.tracees.insert(&self.task, &tracer);
        self.task.ptrace.lock().tracer = Some(tracer);
        self.task.set_hooks(hook::TRACED);
        Ok(())
    }

    /// `PTRACE_ATTACH`, or `PTRACE_SEIZE` with its options. `EPERM`.
    pub(crate) fn ptrace_attach(&mut self, target: &Arc<Task>, seize: Option<u32>) -> Result<()> {
        if target.tgid() == self.task.tgid() {
            return Err(Errno::EPERM);
        }
        self.may_access(target)?;
        {
            let mut tree = self.kernel.tree.lock();
            if target.exiting.load(Ordering::SeqCst) || tree.tracees.contains(target.tid()) {
                return Err(Errno::EPERM);
            }
            tree.tracees.insert(target, &self.task);
            let mut state = target.ptrace.lock();
            state.tracer = Some(Arc::clone(&self.task));
            state.seized = seize.is_some();
            state.options = seize.unwrap_or(0);
            target.set_hooks(hook::TRACED);
        }
        if seize.is_none() {
            let info = SigInfo::kernel(Signal::SIGSTOP);
            let _ = send_to_task(&self.kernel, target, info);
        }
        // A stopped thread shows its stop to the tracer from now on.
        if target.group().signals.lock().stop.is_some() {
            target.ptrace.lock().trap_stop = true;
            target.notify(work::TRAP);
        }
        Ok(())
    }

    /// `PTRACE_SETOPTIONS`' and `PTRACE_SEIZE`'s check.
    pub(crate) fn check_ptrace_options(&self, options: u64) -> Result<u32> {
        let known = u32::try_from(options)
            .ok()
            .filter(|o| o & !OPTIONS == 0)
            .ok_or(Errno::EINVAL)?;
        if known & PTRACE_O_SUSPEND_SECCOMP != 0
            && (!self.task.cred().has_cap(cap::SYS_ADMIN) || self.task.hooks() & hook::SECCOMP != 0)
        {
            return Err(Errno::EPERM);
        }
        Ok(known)
    }

    /// Which event a clone(2) is to the tracer, if it wants to know.
    pub(crate) fn clone_event(&self, flags: u64, exit_signal: u32) -> Option<u32> {
        if !self.task.is_traced() || flags & CLONE_UNTRACED != 0 {
            return None;
        }
        let event = if flags & CLONE_VFORK != 0 {
            PTRACE_EVENT_VFORK
        } else if exit_signal == Signal::SIGCHLD.number().cast_unsigned() {
            PTRACE_EVENT_FORK
        } else {
            PTRACE_EVENT_CLONE
        };
        (self.task.ptrace.lock().options & 1 << event != 0).then_some(event)
    }

    /// Makes a new child a tracee of this task's tracer, if `event` or `CLONE_PTRACE` say so. The child does not run
    /// yet.
    pub(crate) fn trace_child(&self, child: &Arc<Task>, flags: u64, event: Option<u32>) {
        if event.is_none() && flags & CLONE_PTRACE == 0 {
            return;
        }
        let mut tree = self.kernel.tree.lock();
        let own = self.task.ptrace.lock();
        let Some(tracer) = own.tracer.clone() else {
            return;
        };
        tree.tracees.insert(child, &tracer);
        let mut state = child.ptrace.lock();
        state.tracer = Some(tracer);
        state.seized = own.seized;
        state.options = own.options;
        state.trap_stop = own.seized;
        drop((state, tree));
        child.set_hooks(hook::TRACED);
        if own.seized {
            child.notify(work::TRAP);
        } else {
            let info = SigInfo::kill(Signal::SIGSTOP, SI_USER, 0, 0);
            child.signals.lock().queue.push(Signal::SIGSTOP, info);
            child.notify(work::SIGNAL);
        }
    }
}

impl Kernel {
    /// Ends the tracing of a thread, which goes on with a signal, 0 for none, or as its stop would have it.
    pub(crate) fn ptrace_detach(&self, task: &Arc<Task>, signal: Option<i32>) {
        let link = self.tree.lock().tracees.remove(task.tid());
        {
            let mut state = task.ptrace.lock();
            state.tracer = None;
            (state.seized, state.options) = (false, 0);
            (state.trap_stop, state.trap_notify) = (false, false);
            state.debug = super::debug::DebugRegisters::default();
            task.clear_hooks(hook::TRACER);
            let code = state.resting().map_or(0, |stop| match signal {
                Some(signal) => signal,
                // What was not waited for has not happened.
                None if !stop.reported && stop.code >> 8 == 0 => stop.code,
                None => 0,
            });
            task.resume(state, code);
        }
        // A group stop in effect holds it again.
        if task.group().signals.lock().stop.is_some() {
            task.notify(work::STOP);
        }
        if let Some(link) = link {
            self.tell_of_hidden_death(&link);
        }
    }

    /// The real parent learns of a death that only the tracer could see.
    fn tell_of_hidden_death(&self, link: &Tracee) {
        let task = &link.task;
        let hidden = {
            let tree = self.tree.lock();
            tree.node(task.tgid())
                .filter(|n| task.tid() == task.tgid() && n.parent != link.tracer.tgid())
                .and_then(|n| n.zombie)
        };
        if let Some(status) = hidden {
            self.tell_real_parent_of_death(task.group(), status);
        }
    }

    /// A tracer has waited for a tracee that is another process's child: the parent may now do so.
    pub(crate) fn hand_over_zombie(&self, tgid: u32) {
        let link = {
            let mut tree = self.tree.lock();
            if let Some(node) = tree.node_mut(tgid) {
                node.claimed = false;
            }
            tree.tracees.remove(tgid)
        };
        if let Some(link) = link {
            self.tell_of_hidden_death(&link);
        }
    }

    /// A dying thread lets go of its tracees, or kills them: `PTRACE_O_EXITKILL`.
    pub(crate) fn release_tracees(&self, tracer: &Arc<Task>) {
        loop {
            let next = {
                let tree = self.tree.lock();
                let all = tree.tracees.of(tracer.tgid(), Some(tracer));
                all.first().and_then(|tid| tree.tracees.task(*tid)).cloned()
            };
            let Some(task) = next else { break };
            if task.ptrace.lock().options & PTRACE_O_EXITKILL != 0 {
                let status = WaitStatus::Signaled(Signal::SIGKILL, false);
                self.kill_group(task.group(), status);
            }
            self.ptrace_detach(&task, None);
        }
    }
}
