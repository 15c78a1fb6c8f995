//! Waiting for children: wait4(2), waitid(2).

use super::{CurrentTask, Tree, WaitStatus};
use crate::wait::WaitError;
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::Rusage,
    signal::Signal,
};

/// Whom to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Any child.
    Any,
    /// The child with this process id.
    Pid(u32),
    /// Any child in this process group.
    Group(u32),
}

/// What to wait for: the `W*` flags.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitOptions {
    /// Deaths (`WEXITED`).
    pub exited: bool,
    /// Stops (`WSTOPPED`).
    pub stopped: bool,
    /// Continuations (`WCONTINUED`).
    pub continued: bool,
    /// Do not block (`WNOHANG`).
    pub nohang: bool,
    /// Leave the state to be waited for again (`WNOWAIT`).
    pub nowait: bool,
    /// Only children that do not tell by `SIGCHLD` (`__WCLONE`).
    pub clone_only: bool,
    /// All children, however they tell (`__WALL`).
    pub all: bool,
}

/// A child's news.
#[derive(Clone, Copy, Debug)]
pub struct WaitResult {
    /// Process id.
    pub pid: u32,
    /// Its real user id.
    pub uid: u32,
    /// What happened.
    pub status: WaitStatus,
    /// Its resource usage.
    pub usage: Rusage,
}

impl CurrentTask {
    /// Waits; `Ok(None)` for `nohang` without news. `ECHILD` if there is nobody to wait for.
    pub fn wait_for_child(
        &mut self,
        whom: WaitFor,
        options: WaitOptions,
    ) -> Result<Option<WaitResult>> {
        let tgid = self.task.tgid();
        let group = Arc::clone(self.task.group());
        let kernel = Arc::clone(&self.kernel);
        let attempt = || match look(&mut kernel.tree.lock(), tgid, whom, options) {
            Ok(Some(found)) => Some(Ok(Some(found))),
            Ok(None) if options.nohang => Some(Ok(None)),
            Ok(None) => None,
            Err(errno) => Some(Err(errno)),
        };
        let outcome = self.wait_until(None, |_, table| {
            if let Some(table) = table {
                table.add(&group.child_wait);
            }
            attempt()
        });
        let found = match outcome {
            Ok(result) => result?,
            Err(WaitError::Interrupted | WaitError::TimedOut) => return Err(Errno::ERESTARTSYS),
        };
        if let Some(result) = found
            && !options.nowait
            && matches!(
                result.status,
                WaitStatus::Exited(_) | WaitStatus::Signaled(..)
            )
        {
            self.reap(result.pid);
        }
        Ok(found)
    }

    fn reap(&self, pid: u32) {
        let node = self.kernel.tree.lock().reap(pid);
        if let Some(node) = node {
            let own = &self.task.group().child_times;
            own.add_from(&node.group.dead_times);
            own.add_from(&node.group.child_times);
        }
    }
}

fn look(
    tree: &mut Tree,
    parent: u32,
    whom: WaitFor,
    options: WaitOptions,
) -> Result<Option<WaitResult>> {
    let children = tree
        .node(parent)
        .map(|n| n.children.clone())
        .unwrap_or_default();
    let mut eligible = false;
    for pid in children {
        let Some(node) = tree.node_mut(pid) else {
            continue;
        };
        let tells = node.exit_signal == Some(Signal::SIGCHLD);
        let kind_matches = options.all || tells != options.clone_only;
        let id_matches = match whom {
            WaitFor::Any => true,
            WaitFor::Pid(wanted) => wanted == pid,
            WaitFor::Group(pgid) => node.pgid == pgid,
        };
        if !kind_matches || !id_matches {
            continue;
        }
        eligible = true;
        let uid = node
            .group
            .owner_uid
            .load(std::sync::atomic::Ordering::Relaxed);
        let result = |status, usage| {
            Ok(Some(WaitResult {
                pid,
                uid,
                status,
                usage,
            }))
        };
        if let Some(status) = node.zombie {
            if !options.exited || node.claimed {
                continue;
            }
            // Another thread of this process may look before the caller gets to reap it.
            node.claimed = !options.nowait;
            return result(status, node.usage);
        }
        let wanted = match node.report {
            Some(WaitStatus::Stopped(_) | WaitStatus::Traced(..)) => options.stopped,
            Some(WaitStatus::Continued) => options.continued,
            _ => false,
        };
        if wanted {
            let status = if options.nowait {
                node.report
            } else {
                node.report.take()
            };
            let usage = super::usage::node_rusage(node);
            if let Some(status) = status {
                return result(status, usage);
            }
        }
    }
    if eligible {
        Ok(None)
    } else {
        Err(Errno::ECHILD)
    }
}
