//! Terminals as the kernel sees them: sessions, controlling terminals, foreground groups.

use crate::{kernel::Kernel, task::CurrentTask};
use std::sync::Arc;
use tuxlet_uapi::fcntl::OpenFlags;
use tuxlet_vfs::File;

/// Called after each open: a session leader's first terminal becomes its controlling one.
pub(crate) fn opened(task: &CurrentTask, file: &Arc<File>, flags: OpenFlags) {
    let _ = (task, file, flags);
}

/// Makes a terminal the controlling one of a new session.
pub(crate) fn acquire_controlling(kernel: &Kernel, file: &Arc<File>, sid: u32) {
    let _ = (kernel, file, sid);
}

impl Kernel {
    /// The session's leader has died: its terminal hangs up.
    pub(crate) fn session_leader_died(&self, sid: u32) {
        let _ = sid;
    }
}
