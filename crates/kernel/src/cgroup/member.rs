//! Which group a task is in: joining at birth, leaving at death, moving.

use super::{Cgroup, PidCharge, freeze};
use crate::{
    kernel::Kernel,
    task::{CurrentTask, Task, work},
};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_mem::MemGroup;
use tuxlet_uapi::errno::Result;

/// A task's place in the hierarchy.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) group: Arc<Cgroup>,
    /// The task's part in the counters, until it is waited for.
    pub(super) pids: Option<PidCharge>,
    /// The task's CPU time in nanoseconds when it joined.
    pub(super) cpu_base: u64,
    /// Whether the task counts as one of the group: from its entry in the process tree until it dies.
    pub(super) live: bool,
}

impl Membership {
    pub(crate) fn new(group: Arc<Cgroup>) -> Self {
        Self {
            group,
            pids: None,
            cpu_base: 0,
            live: false,
        }
    }
}

impl Cgroup {
    /// Counts a live task in the group and those above. The hierarchy's lock is held.
    fn add_task(self: &Arc<Self>) {
        self.own_tasks.fetch_add(1, Ordering::SeqCst);
        for group in self.up() {
            if group.tasks.fetch_add(1, Ordering::SeqCst) == 0 {
                group.changed("cgroup.events");
            }
        }
    }

    fn remove_task(self: &Arc<Self>) {
        self.own_tasks.fetch_sub(1, Ordering::SeqCst);
        for group in self.up() {
            if group.tasks.fetch_sub(1, Ordering::SeqCst) == 1 {
                group.changed("cgroup.events");
            }
        }
    }
}

impl Task {
    /// The control group that the task is in, or was in when it died.
    #[must_use]
    pub fn cgroup(&self) -> Arc<Cgroup> {
        Arc::clone(&self.cgroup.lock().group)
    }

    /// What is to be done for the group that the task is in now.
    fn adopt_limits(self: &Arc<Self>, group: &Arc<Cgroup>) {
        let limited = group.up().any(|g| g.cpu.is_limited());
        self.cpu_limited.store(limited, Ordering::SeqCst);
        // Only the freezer interrupts sleeps.
        let freeze = if group.freezes() { work::FREEZE } else { 0 };
        self.notify(work::CGROUP | work::THROTTLE | freeze);
    }

    /// The counters do not know the task any more: it was waited for.
    pub(crate) fn uncount(&self) {
        let charge = self.cgroup.lock().pids.take();
        drop(charge);
    }
}

impl Kernel {
    /// A new task joins the group that it was given, before it is in the tree. `EAGAIN` at a limit of tasks.
    pub(crate) fn join_cgroup(&self, task: &Arc<Task>) -> Result<()> {
        let group = task.cgroup();
        let charge = PidCharge::try_new(&group)?;
        let _lock = group.lock_live()?;
        {
            let mut own = task.cgroup.lock();
            own.pids = Some(charge);
            own.live = true;
        }
        group.add_task();
        if !Arc::ptr_eq(&group, self.cgroups.root()) {
            task.adopt_limits(&group);
            freeze::update(self, &group);
        }
        Ok(())
    }

    /// A task dies. Whoever learns of its death can remove the group.
    pub(crate) fn leave_cgroup(&self, task: &Arc<Task>) {
        let group = task.cgroup();
        let _lock = group.hierarchy.lock.lock();
        {
            let _tree = self.tree.lock();
            let mut own = task.cgroup.lock();
            if !std::mem::take(&mut own.live) {
                return;
            }
            group
                .cpu
                .add_past(task.cpu_ns().saturating_sub(own.cpu_base));
        }
        group.remove_task();
        if !Arc::ptr_eq(&group, self.cgroups.root()) {
            freeze::update(self, &group);
        }
    }

    /// Moves a live task. The hierarchy's lock is held, and no task is born meanwhile.
    pub(super) fn move_task(&self, task: &Arc<Task>, to: &Arc<Cgroup>) {
        let from = task.cgroup();
        if Arc::ptr_eq(&from, to) {
            return;
        }
        let released;
        {
            let _tree = self.tree.lock();
            let mut own = task.cgroup.lock();
            if !own.live {
                return;
            }
            let now = task.cpu_ns();
            from.cpu.add_past(now.saturating_sub(own.cpu_base));
            own.cpu_base = now;
            own.group = Arc::clone(to);
            released = own.pids.replace(PidCharge::force(to));
        }
        drop(released);
        from.remove_task();
        to.add_task();
        task.adopt_limits(to);
        freeze::update(self, &from);
        freeze::update(self, to);
    }
}

impl CurrentTask {
    /// What the thread allocates from now on is its group's.
    pub(crate) fn enter_cgroup(&mut self) {
        self.task.clear_work(work::CGROUP);
        let group = self.task.cgroup();
        let memory = group.memory.group().cloned();
        self.counted = memory.is_some();
        MemGroup::enter(memory);
    }
}
