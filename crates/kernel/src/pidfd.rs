//! Process descriptors: pidfd_open(2).

use crate::{
    kernel::Kernel,
    task::{CurrentTask, Task, ThreadGroup},
};
use std::{any::Any, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, PollTable};

/// Refers to a process and, unlike its number, never to another one.
#[derive(Debug)]
pub struct PidFd {
    kernel: std::sync::Weak<Kernel>,
    group: Arc<ThreadGroup>,
    attr: Attr,
}

impl PidFd {
    /// The process.
    #[must_use]
    pub fn group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }

    /// Whether the process is a zombie or gone.
    fn is_dead(&self) -> bool {
        let Some(kernel) = self.kernel.upgrade() else {
            return true;
        };
        let tree = kernel.tree.lock();
        tree.node(self.group.tgid())
            .is_none_or(|n| !Arc::ptr_eq(&n.group, &self.group) || n.zombie.is_some())
    }

    /// The process id, while it has not been waited for. `ESRCH`.
    pub fn pid(&self) -> Result<u32> {
        let kernel = self.kernel.upgrade().ok_or(Errno::ESRCH)?;
        let tree = kernel.tree.lock();
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

/// A file for a process.
pub(crate) fn open(task: &CurrentTask, group: &Arc<ThreadGroup>, flags: OpenFlags) -> Arc<File> {
    let cx = task.cx();
    let ops = Arc::new(PidFd {
        kernel: Arc::downgrade(&task.kernel),
        group: Arc::clone(group),
        attr: crate::anon::attr(&cx),
    });
    File::anonymous(&cx, ops, b"anon_inode:[pidfd]", flags | OpenFlags::RDWR)
}

/// Opens a descriptor for a new child: `CLONE_PIDFD`.
pub(crate) fn install(task: &CurrentTask, child: &Arc<Task>) -> Result<i32> {
    task.install_fd(open(task, child.group(), OpenFlags::empty()), true)
}

/// The process behind a descriptor. `EBADF` if it is no process descriptor.
pub(crate) fn process_of(file: &File) -> Result<u32> {
    file.ops_as::<PidFd>().ok_or(Errno::EBADF)?.pid()
}
