//! "Ptrace access mode checking", ptrace(2).

use crate::task::{CurrentTask, Task};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cred, cx::cap};

/// Whose ids count for the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessMode {
    /// `PTRACE_MODE_FSCREDS`: files of `/proc`.
    FsCreds,
    /// `PTRACE_MODE_REALCREDS`: system calls.
    RealCreds,
}

/// Whether a caller of process `tgid` may look into a task. `EPERM`.
pub(crate) fn may_access(own: &Cred, tgid: u32, mode: AccessMode, target: &Task) -> Result<()> {
    if target.tgid() == tgid {
        return Ok(());
    }
    let other = target.cred();
    let (uid, gid, caps) = match mode {
        AccessMode::FsCreds => (own.fsuid, own.fsgid, own.cap_effective),
        AccessMode::RealCreds => (own.uid, own.gid, own.cap_permitted),
    };
    let same = [other.uid, other.euid, other.suid]
        .iter()
        .all(|id| *id == uid)
        && [other.gid, other.egid, other.sgid]
            .iter()
            .all(|id| *id == gid);
    let dumpable = target.group().dumpable.load(Ordering::Relaxed);
    let contained = other.cap_permitted & !caps == 0;
    if own.has_cap(cap::SYS_PTRACE) || (same && dumpable && contained) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

impl CurrentTask {
    /// Whether the caller may look into another task. `EPERM`.
    pub(crate) fn may_access(&self, target: &Arc<Task>) -> Result<()> {
        may_access(
            &self.task.cred(),
            self.task.tgid(),
            AccessMode::RealCreds,
            target,
        )
    }
}

impl CurrentTask {
    /// Whether execve(2) may give rights: not under a tracer that lacks `CAP_SYS_PTRACE`, as it could abuse them.
    pub(crate) fn tracer_allows_privileges(&self) -> bool {
        let state = self.task.ptrace.lock();
        state
            .tracer
            .as_ref()
            .is_none_or(|t| t.cred().has_cap(cap::SYS_PTRACE))
    }
}
