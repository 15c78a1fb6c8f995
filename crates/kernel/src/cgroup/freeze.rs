//! The freezer: tasks of a group rest while `cgroup.freeze` says so, and while its CPU time is spent.

use super::Cgroup;
use crate::{
    freezer::rests,
    kernel::Kernel,
    task::{CurrentTask, Task, work},
};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::errno::Result;

impl Cgroup {
    /// Whether the group or one above it is frozen.
    pub(crate) fn freezes(self: &Arc<Self>) -> bool {
        self.up().any(|g| g.freeze.load(Ordering::SeqCst))
    }

    /// Whether tasks of the group must rest.
    pub(crate) fn holds(self: &Arc<Self>) -> bool {
        self.up()
            .any(|g| g.freeze.load(Ordering::SeqCst) || g.cpu.is_throttled())
    }

    pub(super) fn set_freeze(self: &Arc<Self>, on: bool) -> Result<()> {
        let kernel = self.kernel()?;
        let _lock = self.lock_live()?;
        if self.freeze.swap(on, Ordering::SeqCst) == on {
            return Ok(());
        }
        for task in self.tasks_of(&kernel, true) {
            task.notify(if on { work::FREEZE } else { work::THROTTLE });
        }
        for group in self.subtree() {
            update_one(&kernel, &group);
        }
        update(&kernel, self);
        Ok(())
    }
}

/// Sees whether all of a group rest, and tells those who wait for it. The hierarchy's lock is held.
fn update_one(kernel: &Kernel, group: &Arc<Cgroup>) {
    if group.is_root() {
        return;
    }
    let frozen = group.freezes() && group.tasks_of(kernel, true).iter().all(|t| rests(t));
    if group.frozen.swap(frozen, Ordering::SeqCst) != frozen {
        group.changed("cgroup.events");
    }
}

/// As [`update_one`], for the group and those above it, where anybody freezes.
pub(super) fn update(kernel: &Kernel, group: &Arc<Cgroup>) {
    for above in group.up() {
        if above.freezes() || above.frozen.load(Ordering::SeqCst) {
            update_one(kernel, above);
        }
    }
}

impl Kernel {
    /// A task has come to rest, or goes on.
    pub(crate) fn rest_has_changed(&self, task: &Task) {
        let group = task.cgroup();
        if group.is_root() || !group.freezes() {
            return;
        }
        let _lock = group.hierarchy.lock.lock();
        update(self, &group);
    }
}

impl CurrentTask {
    /// Arms the timers of groups whose CPU time is limited, since the task is about to use some.
    pub(crate) fn use_cpu(&self) {
        if self.task.cpu_limited.load(Ordering::Relaxed) {
            for group in self.task.cgroup().up() {
                group.cpu.start(&self.kernel);
            }
        }
    }
}
