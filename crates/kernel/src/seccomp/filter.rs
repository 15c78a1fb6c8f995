//! Filters: chains of programs.

use super::{bpf::Program, notify::Listener};
use crate::task::{CurrentTask, Task, hook};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    prctl::{
        SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_TSYNC,
        SECCOMP_FILTER_FLAG_TSYNC_ESRCH, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
        SECCOMP_MODE_DISABLED, SECCOMP_MODE_FILTER, SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW,
        SeccompData,
    },
};

/// `MAX_INSNS_PER_PATH`: all programs of a thread together, where each counts a little more than its length.
///
/// DEVIATION: Linux counts the instructions of its own machine that it makes of a program, which are more.
const MAX_PATH: usize = (1 << 18) / 8;
/// What each program counts more.
const PENALTY: usize = 4;

/// A filter with those that were there before it.
#[derive(Debug)]
pub(crate) struct Filter {
    program: Program,
    older: Option<Arc<Filter>>,
    /// Who is asked for `SECCOMP_RET_USER_NOTIF`.
    pub(crate) listener: Option<Arc<Listener>>,
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
    pub(crate) wait_killable: bool,
}

impl Filter {
    /// The checked program.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.unused();
        }
        // Not by recursion, which a long chain would take too deep.
        let mut next = self.older.take();
        while let Some(mut filter) = next.and_then(Arc::into_inner) {
            next = filter.older.take();
        }
    }
}

/// A filter and all older ones.
pub(crate) fn chain(newest: Option<&Arc<Filter>>) -> impl Iterator<Item = &Arc<Filter>> {
    std::iter::successors(newest, |f| f.older.as_ref())
}

/// The verdict that counts, the one with the highest precedence, and the newest filter that gave it.
pub(crate) fn run(newest: &Arc<Filter>, data: &SeccompData) -> (u32, Arc<Filter>) {
    let precedence = |verdict: u32| (verdict & SECCOMP_RET_ACTION_FULL).cast_signed();
    let mut result = (SECCOMP_RET_ALLOW, newest);
    for filter in chain(Some(newest)) {
        let verdict = filter.program.run(data);
        if precedence(verdict) < precedence(result.0) {
            result = (verdict, filter);
        }
    }
    (result.0, Arc::clone(result.1))
}

impl CurrentTask {
    /// Adds a filter to the thread, or with `SECCOMP_FILTER_FLAG_TSYNC` to all threads of the process. Gives 0, or
    /// the id of a thread whose filters are not the caller's. `EINVAL`, `ENOMEM`, `EBUSY`, `ESRCH`.
    pub(crate) fn add_filter(
        &mut self,
        program: Program,
        flags: u32,
        listener: Option<Arc<Listener>>,
    ) -> Result<u64> {
        let own = self.task.seccomp.lock().clone();
        if !matches!(own.mode, SECCOMP_MODE_DISABLED | SECCOMP_MODE_FILTER) {
            return Err(Errno::EINVAL);
        }
        let has_listener = || chain(own.filter.as_ref()).any(|f| f.listener.is_some());
        if flags & SECCOMP_FILTER_FLAG_NEW_LISTENER != 0 && has_listener() {
            return Err(Errno::EBUSY);
        }
        let before: usize = chain(own.filter.as_ref())
            .map(|f| f.program.len() + PENALTY)
            .sum();
        if before + program.len() > MAX_PATH {
            return Err(Errno::ENOMEM);
        }
        let others: Vec<Arc<Task>> = if flags & SECCOMP_FILTER_FLAG_TSYNC == 0 {
            Vec::new()
        } else {
            let threads = self.kernel.threads_of(self.task.tgid());
            threads
                .into_iter()
                .filter(|t| !Arc::ptr_eq(t, &self.task))
                .collect()
        };
        for other in &others {
            if !may_sync(other, own.filter.as_ref()) {
                return if flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH != 0 {
                    Err(Errno::ESRCH)
                } else {
                    Ok(other.tid().into())
                };
            }
        }
        let new = super::Seccomp {
            mode: SECCOMP_MODE_FILTER,
            filter: Some(Arc::new(Filter {
                program,
                older: own.filter,
                listener,
                wait_killable: flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV != 0,
            })),
        };
        let no_new_privs = self.task.cred().no_new_privs;
        for task in others.iter().chain([&self.task]) {
            if no_new_privs && !task.cred().no_new_privs {
                let mut cred = (*task.cred()).clone();
                cred.no_new_privs = true;
                task.set_cred(cred);
            }
            *task.seccomp.lock() = new.clone();
            task.set_hooks(hook::SECCOMP);
        }
        Ok(0)
    }
}

/// Whether a thread's filters are among the caller's, so that it may get those.
fn may_sync(task: &Task, own: Option<&Arc<Filter>>) -> bool {
    let state = task.seccomp.lock();
    match (state.mode, &state.filter) {
        (SECCOMP_MODE_DISABLED, _) | (SECCOMP_MODE_FILTER, None) => true,
        (SECCOMP_MODE_FILTER, Some(theirs)) => chain(own).any(|f| Arc::ptr_eq(f, theirs)),
        _ => false,
    }
}
