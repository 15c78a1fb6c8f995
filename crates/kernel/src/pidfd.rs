//! Process descriptors: pidfd_open(2).

use crate::{
    kernel::Kernel,
    task::{CurrentTask, RunState, Task, ThreadGroup},
};
use std::{any::Any, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, PollTable};

/// Refers to a process or thread and, unlike its number, never to another one.
#[derive(Debug)]
pub struct PidFd {
    kernel: std::sync::Weak<Kernel>,
    group: Arc<ThreadGroup>,
    /// Only this thread: `PIDFD_THREAD`.
    thread: Option<Arc<Task>>,
    attr: Attr,
}

impl PidFd {
    /// For a process, or for one thread of it.
    pub(crate) fn new(
        task: &CurrentTask,
        group: &Arc<ThreadGroup>,
        thread: Option<Arc<Task>>,
    ) -> Self {
        Self {
            kernel: Arc::downgrade(&task.kernel),
            group: Arc::clone(group),
            thread,
            attr: crate::anon::attr(&task.cx()),
        }
    }

    /// The process.
    #[must_use]
    pub fn group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }

    /// The thread, if the descriptor is for one only.
    #[must_use]
    pub fn thread(&self) -> Option<&Arc<Task>> {
        self.thread.as_ref()
    }

    /// Whether the process or thread is a zombie or gone.
    fn is_dead(&self) -> bool {
        let Some(kernel) = self.kernel.upgrade() else {
            return true;
        };
        let tree = kernel.tree.lock();
        if let Some(thread) = &self.thread {
            return thread.run_state() == RunState::Zombie
                || tree
                    .task(thread.tid())
                    .is_none_or(|t| !Arc::ptr_eq(t, thread));
        }
        tree.node(self.group.tgid())
            .is_none_or(|n| !Arc::ptr_eq(&n.group, &self.group) || n.zombie.is_some())
    }

    /// The process or thread id, while it has not been waited for. `ESRCH`.
    pub fn pid(&self) -> Result<u32> {
        let kernel = self.kernel.upgrade().ok_or(Errno::ESRCH)?;
        let tree = kernel.tree.lock();
        if let Some(thread) = &self.thread {
            let found = tree.task(thread.tid()).filter(|t| Arc::ptr_eq(t, thread));
            return found.map(|t| t.tid()).ok_or(Errno::ESRCH);
        }
        let node = tree
            .node(self.group.tgid())
            .filter(|n| Arc::ptr_eq(&n.group, &self.group));
        node.map(|_| self.group.tgid()).ok_or(Errno::ESRCH)
    }
}

impl FileOps for PidFd {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn pollable(&self) -> bool {
        true
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.group.thread_exit);
        }
        if self.is_dead() {
            Events::READABLE
        } else {
            Events::empty()
        }
    }
}

/// A file for a process, or for one thread of it.
pub(crate) fn open(
    task: &CurrentTask,
    group: &Arc<ThreadGroup>,
    thread: Option<Arc<Task>>,
    flags: OpenFlags,
) -> Arc<File> {
    let cx = task.cx();
    let ops = Arc::new(PidFd::new(task, group, thread));
    File::anonymous(&cx, ops, b"anon_inode:[pidfd]", flags | OpenFlags::RDWR)
}

/// Opens a descriptor for a new child: `CLONE_PIDFD`.
pub(crate) fn install(task: &CurrentTask, child: &Arc<Task>) -> Result<i32> {
    // Of a thread only a descriptor for the thread can be had.
    let is_leader = child.tid() == child.tgid();
    let thread = (!is_leader).then(|| Arc::clone(child));
    task.install_fd(open(task, child.group(), thread, OpenFlags::empty()), true)
}

/// The process behind a descriptor. `EBADF` if it is no process descriptor.
pub(crate) fn process_of(file: &File) -> Result<u32> {
    file.ops_as::<PidFd>().ok_or(Errno::EBADF)?.pid()
}
