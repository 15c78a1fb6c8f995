//! Who traces whom: part of the process tree.

use crate::task::{Task, WaitStatus};
use std::{collections::BTreeMap, sync::Arc};

/// A traced thread.
#[derive(Debug)]
pub(crate) struct Tracee {
    /// The thread.
    pub(crate) task: Arc<Task>,
    /// The thread that traces it.
    pub(crate) tracer: Arc<Task>,
    /// The end of a thread that is not its process's leader, for the tracer to wait for. A leader's end is in its
    /// process's node.
    pub(crate) dead: Option<WaitStatus>,
}

/// All traced threads by thread id.
#[derive(Debug, Default)]
pub(crate) struct Tracees(BTreeMap<u32, Tracee>);

impl Tracees {
    /// Whether the id still names a traced thread, dead or not.
    pub(crate) fn contains(&self, tid: u32) -> bool {
        self.0.contains_key(&tid)
    }

    /// Links a thread to its tracer.
    pub(crate) fn insert(&mut self, task: &Arc<Task>, tracer: &Arc<Task>) {
        let tracee = Tracee {
            task: Arc::clone(task),
            tracer: Arc::clone(tracer),
            dead: None,
        };
        self.0.insert(task.tid(), tracee);
    }

    /// Removes a link.
    pub(crate) fn remove(&mut self, tid: u32) -> Option<Tracee> {
        self.0.remove(&tid)
    }

    /// A tracee by its thread id.
    pub(crate) fn get_mut(&mut self, tid: u32) -> Option<&mut Tracee> {
        self.0.get_mut(&tid)
    }

    /// A traced thread.
    pub(crate) fn task(&self, tid: u32) -> Option<&Arc<Task>> {
        self.0.get(&tid).map(|t| &t.task)
    }

    /// The tracer of a thread.
    pub(crate) fn tracer(&self, tid: u32) -> Option<&Arc<Task>> {
        self.0.get(&tid).map(|t| &t.tracer)
    }

    /// Ids of the tracees of a process, or of one of its threads.
    pub(crate) fn of(&self, tgid: u32, thread: Option<&Arc<Task>>) -> Vec<u32> {
        let traced_by = |t: &Tracee| {
            t.tracer.tgid() == tgid && thread.is_none_or(|own| Arc::ptr_eq(&t.tracer, own))
        };
        self.0
            .iter()
            .filter(|(_, t)| traced_by(t))
            .map(|(tid, _)| *tid)
            .collect()
    }

    /// After execve(2) in a thread that was not the leader: it goes on under the leader's id, and what the tracer
    /// of the old leader knew is gone.
    pub(crate) fn rename(&mut self, old_tid: u32, new_tid: u32) {
        self.0.remove(&new_tid);
        if let Some(tracee) = self.0.remove(&old_tid) {
            self.0.insert(new_tid, tracee);
        }
    }
}
