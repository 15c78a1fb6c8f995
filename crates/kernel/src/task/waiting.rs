//! Waiting for children: wait4(2), waitid(2).

use super::{CurrentTask, Task, Tree, WaitStatus};
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
    /// Only the calling thread's own tracees (`__WNOTHREAD`).
    // DEVIATION: children belong to the process; those of another thread count as well.
    pub own_thread: bool,
}

/// A child's news.
#[derive(Clone, Copy, Debug)]
pub struct WaitResult {
    /// Process id.
    pub pid: u32,
    /// As the waiting process sees it.
    pub shown: u32,
    /// Its real user id.
    pub uid: u32,
    /// What happened.
    pub status: WaitStatus,
    /// Its resource usage.
    pub usage: Rusage,
    /// A tracee's news; after a death the real parent is still to wait for it.
    traced: bool,
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
        let thread = Arc::clone(&self.task);
        let caller = options.own_thread.then_some(&thread);
        let look_around = |tree: &mut Tree| {
            let children = look(tree, tgid, whom, options);
            match children {
                Ok(None) | Err(Errno::ECHILD) => {
                    let tracees = look_at_tracees(tree, tgid, caller, whom, options);
                    tracees.or(children)
                }
                other => other,
            }
        };
        let attempt = || match look_around(&mut kernel.tree.lock()) {
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
        let mut found = match outcome {
            Ok(result) => result?,
            Err(WaitError::Interrupted | WaitError::TimedOut) => return Err(Errno::ERESTARTSYS),
        };
        if let Some(result) = &mut found {
            result.shown = self.shown_pid(result.pid);
        }
        if let Some(result) = found
            && !options.nowait
            && matches!(
                result.status,
                WaitStatus::Exited(_) | WaitStatus::Signaled(..)
            )
        {
            if result.traced {
                self.kernel.hand_over_zombie(result.pid);
            } else {
                self.reap(result.pid);
            }
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
        let tracer = tree.tracees.tracer(pid).map(|t| t.tgid());
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
                shown: 0,
                uid,
                status,
                usage,
                traced: false,
            }))
        };
        if let Some(status) = node.zombie {
            // What another process traces is that one's to wait for first.
            if !options.exited || node.claimed || tracer.is_some_and(|t| t != parent) {
                continue;
            }
            // Another thread of this process may look before the caller gets to reap it.
            node.claimed = !options.nowait;
            return result(status, node.usage);
        }
        let wanted = match node.report {
            // A tracer sees its child's stop as such; it is not told twice.
            Some(WaitStatus::Stopped(_)) => options.stopped && tracer != Some(parent),
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

/// Looks at the tracees that are not children, and at the ptrace stops of all.
fn look_at_tracees(
    tree: &mut Tree,
    tgid: u32,
    thread: Option<&Arc<Task>>,
    whom: WaitFor,
    options: WaitOptions,
) -> Result<Option<WaitResult>> {
    let mut eligible = false;
    for tid in tree.tracees.of(tgid, thread) {
        let Some(tracee) = tree.tracees.get_mut(tid) else {
            continue;
        };
        let task = Arc::clone(&tracee.task);
        let dead = tracee.dead;
        let id_matches = match whom {
            WaitFor::Any => true,
            WaitFor::Pid(wanted) => wanted == tid,
            WaitFor::Group(pgid) => tree.node(task.tgid()).is_some_and(|n| n.pgid == pgid),
        };
        if !id_matches {
            continue;
        }
        eligible = true;
        let result = |status, traced| WaitResult {
            pid: tid,
            shown: 0,
            uid: task.cred().uid,
            status,
            usage: super::usage::of_times(task.cpu_ns(), 0),
            traced,
        };
        if let Some(status) = dead {
            if !options.exited {
                continue;
            }
            if !options.nowait {
                tree.tracees.remove(tid);
            }
            // Nothing is left to be reaped: the process lives on, or has its own end.
            return Ok(Some(result(status, true)));
        }
        if let Some(node) = tree.node_mut(tid)
            && let Some(status) = node.zombie
        {
            if options.exited && !node.claimed && node.parent != tgid {
                node.claimed = !options.nowait;
                return Ok(Some(WaitResult {
                    usage: node.usage,
                    ..result(status, true)
                }));
            }
            continue;
        }
        let mut state = task.ptrace.lock();
        if !state.listening
            && let Some(stop) = state.resting()
            && !stop.reported
        {
            stop.reported = !options.nowait;
            let code = stop.code;
            drop(state);
            return Ok(Some(result(WaitStatus::Traced(code), false)));
        }
    }
    if eligible {
        Ok(None)
    } else {
        Err(Errno::ECHILD)
    }
}
