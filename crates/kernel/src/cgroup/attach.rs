//! Moving processes and threads between groups: `cgroup.procs`, `cgroup.threads`, `CLONE_INTO_CGROUP`.

use super::{Cgroup, control::Controllers};
use crate::{
    kernel::Kernel,
    task::{Task, WaitStatus},
};
use std::{collections::BTreeSet, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::Signal,
};
use tuxlet_vfs::{
    Cx, InodeRef,
    access::{WRITE, permission},
};

impl Cgroup {
    /// Live tasks in the group and, if `below`, in those below.
    pub(super) fn tasks_of(self: &Arc<Self>, kernel: &Kernel, below: bool) -> Vec<Arc<Task>> {
        let tree = kernel.tree.lock();
        let all = tree.groups().flat_map(|(_, n)| n.threads.iter());
        all.filter(|task| {
            let own = task.cgroup.lock();
            let here = Arc::ptr_eq(&own.group, self) || (below && own.group.is_within(self));
            own.live && here
        })
        .cloned()
        .collect()
    }

    /// Process or thread ids, one on a line, as the reader's namespace has them.
    pub(super) fn list_tasks(self: &Arc<Self>, cx: &Cx, whole: bool) -> Result<String> {
        let kernel = self.kernel()?;
        if whole && self.is_threaded() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut tasks = self.tasks_of(&kernel, whole);
        if whole {
            tasks.retain(|t| Arc::ptr_eq(&t.cgroup().domain(), self));
        }
        let ns = kernel.pid_ns_of(cx);
        let ids: BTreeSet<u32> = tasks
            .iter()
            .map(|t| ns.shown(if whole { t.tgid() } else { t.tid() }))
            .collect();
        Ok(ids.iter().map(|id| format!("{id}\n")).collect())
    }

    /// Moves a process, or one thread, into this group.
    pub(super) fn attach(self: &Arc<Self>, cx: &Cx, text: &str, whole: bool) -> Result<()> {
        let kernel = self.kernel()?;
        let _nobody_is_born = kernel.broadcast_lock.write();
        let _lock = self.lock_live()?;
        let id: i32 = text.parse().map_err(|_| Errno::EINVAL)?;
        let id = u32::try_from(id).map_err(|_| Errno::EINVAL)?;
        let global = match id {
            0 if cx.tid == 0 => return Err(Errno::ESRCH),
            0 => cx.tid,
            id => kernel.pid_ns_of(cx).global(id).ok_or(Errno::ESRCH)?,
        };
        let task = kernel.tree.lock().task(global).cloned();
        let task = task.ok_or(Errno::ESRCH)?;
        let from = task.cgroup();
        self.may_attach(cx, &from, whole)?;
        let tasks = if whole {
            kernel.threads_of(task.tgid())
        } else {
            vec![task]
        };
        for task in tasks {
            kernel.move_task(&task, self);
        }
        Ok(())
    }

    /// Whether the caller may move something from `from` to here, and whether it may be here at all.
    fn may_attach(self: &Arc<Self>, cx: &Cx, from: &Arc<Self>, whole: bool) -> Result<()> {
        self.common(from).may_write(cx)?;
        self.may_host()?;
        if !whole && !Arc::ptr_eq(&from.domain(), &self.domain()) {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(())
    }

    fn may_write(&self, cx: &Cx) -> Result<()> {
        let procs = self.file(b"cgroup.procs").ok_or(Errno::ENODEV)?;
        let inode: InodeRef = procs;
        permission(cx, &inode, WRITE)
    }

    /// Whether processes may be here: not in groups that divide among their children.
    fn may_host(self: &Arc<Self>) -> Result<()> {
        if !self.domain().is_valid_domain() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.can_be_thread_root() || self.is_threaded() {
            return Ok(());
        }
        if self.subtree_control() == Controllers::empty() {
            Ok(())
        } else {
            Err(Errno::EBUSY)
        }
    }

    /// Whether a child of a task in `from` may be born here: `CLONE_INTO_CGROUP`.
    pub(crate) fn may_be_born(
        self: &Arc<Self>,
        cx: &Cx,
        from: &Arc<Self>,
        whole: bool,
    ) -> Result<()> {
        let _lock = self.lock_live()?;
        self.may_write(cx)?;
        self.may_attach(cx, from, whole)
    }

    /// Kills all processes in the group and below: `cgroup.kill`.
    pub(super) fn kill(self: &Arc<Self>) -> Result<()> {
        let kernel = self.kernel()?;
        let tasks = {
            let _nobody_is_born = kernel.broadcast_lock.write();
            let _lock = self.lock_live()?;
            if self.is_threaded() {
                return Err(Errno::EOPNOTSUPP);
            }
            self.tasks_of(&kernel, true)
        };
        for task in tasks {
            kernel.kill_group(task.group(), WaitStatus::Signaled(Signal::SIGKILL, false));
        }
        Ok(())
    }
}
