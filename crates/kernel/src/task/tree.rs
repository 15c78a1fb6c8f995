//! The process tree: who is whose parent, process groups, sessions, zombies: credentials(7), wait(2).
//!
//! Plain data under one lock (`Kernel::tree`), held only for short bookkeeping; nothing in here blocks, touches
//! guest memory or sends wake-ups. Callers collect what is to be woken and do that after unlocking.

use super::{Task, ThreadGroup};
use crate::{ns::pid::PidNs, ptrace::Tracees};
use std::{collections::BTreeMap, sync::Arc};
use tuxlet_uapi::{errno::Errno, errno::Result, resource::Rusage, signal::Signal};

/// Largest process id: `/proc/sys/kernel/pid_max` less one.
pub const PID_MAX: u32 = 4_194_303;
/// Ids below this are not handed out a second time after a wrap.
const RESERVED_PIDS: u32 = 300;

/// What a wait(2) reports of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStatus {
    /// Exited with a code.
    Exited(u8),
    /// Killed by a signal; `true` when Linux would have dumped core.
    Signaled(Signal, bool),
    /// Stopped by a signal.
    Stopped(Signal),
    /// Stopped for its tracer: a signal, with `PTRACE_O_TRACESYSGOOD`'s bit or an event above it.
    Traced(i32),
    /// Continued by `SIGCONT`.
    Continued,
}

impl WaitStatus {
    /// The status word of wait4(2).
    #[must_use]
    pub fn raw(self) -> i32 {
        match self {
            Self::Exited(code) => i32::from(code) << 8,
            Self::Signaled(sig, core) => sig.number() | if core { 0x80 } else { 0 },
            Self::Stopped(sig) => sig.number() << 8 | 0x7f,
            Self::Traced(code) => code << 8 | 0x7f,
            Self::Continued => 0xffff,
        }
    }

    /// The exit status a shell would show: the code, or 128 + signal.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(sig, _) | Self::Stopped(sig) => 128 + sig.number() as u8,
            Self::Traced(code) => 128 + (code & 0x7f) as u8,
            Self::Continued => 0,
        }
    }
}

/// A thread group's place in the tree.
#[derive(Debug)]
pub struct Node {
    /// The group.
    pub group: Arc<ThreadGroup>,
    /// Parent's thread group id; 0 for the first process and those started by the host.
    pub parent: u32,
    /// Children, zombies included, oldest first.
    pub children: Vec<u32>,
    /// Process group.
    pub pgid: u32,
    /// Session.
    pub sid: u32,
    /// Live threads; the leader stays listed until the group is dead.
    pub threads: Vec<Arc<Task>>,
    /// The final status once every thread is gone.
    pub zombie: Option<WaitStatus>,
    /// A wait(2) has taken the zombie and is about to reap it.
    pub claimed: bool,
    /// The host started it and will not wait for it: reaped at death.
    pub disowned: bool,
    /// A stop or continue not yet reported to the parent.
    pub report: Option<WaitStatus>,
    /// Whether the process is stopped by job control.
    pub stopped: bool,
    /// Signal sent to the parent at exit; `None` for clone(2) without one.
    pub exit_signal: Option<Signal>,
    /// Has called execve(2): setpgid(2) by the parent then fails.
    pub execed: bool,
    /// Resource usage at death, own and of waited-for children.
    pub usage: Rusage,
    /// Adopts orphaned descendants: `PR_SET_CHILD_SUBREAPER`.
    pub subreaper: bool,
}

/// The tree.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<u32, Node>,
    tasks: BTreeMap<u32, Arc<Task>>,
    last_pid: u32,
    /// Who traces whom.
    pub(crate) tracees: Tracees,
    /// Ids allocated but not yet inserted, so that two forks never get the same.
    pending: Vec<u32>,
}

impl Tree {
    /// An id that names no task, process group or session. `EAGAIN` when all are taken.
    pub fn alloc_pid(&mut self) -> Result<u32> {
        for _ in 0..PID_MAX {
            self.last_pid = if self.last_pid >= PID_MAX {
                RESERVED_PIDS
            } else {
                self.last_pid + 1
            };
            let id = self.last_pid;
            if !self.id_in_use(id) {
                self.pending.push(id);
                return Ok(id);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// A given id, if it is free: clone3(2) `set_tid`.
    pub fn claim_pid(&mut self, id: u32) -> Result<u32> {
        if id == 0 || id > PID_MAX {
            return Err(Errno::EINVAL);
        }
        if self.id_in_use(id) {
            return Err(Errno::EEXIST);
        }
        self.pending.push(id);
        Ok(id)
    }

    /// Number of live tasks whose real user is `uid`, for `RLIMIT_NPROC`.
    #[must_use]
    pub fn tasks_of_user(&self, uid: u32) -> usize {
        self.tasks.values().filter(|t| t.cred().uid == uid).count()
    }

    /// The id that was handed out last.
    #[must_use]
    pub fn last_pid(&self) -> u32 {
        self.last_pid
    }

    /// Gives back an id that was allocated but never inserted.
    pub fn release_pid(&mut self, id: u32) {
        self.pending.retain(|p| *p != id);
    }

    fn id_in_use(&self, id: u32) -> bool {
        self.tasks.contains_key(&id)
            || self.nodes.contains_key(&id)
            || self.pending.contains(&id)
            || self.tracees.contains(id)
            || self.nodes.values().any(|n| n.pgid == id || n.sid == id)
    }

    /// Adds a thread group with its first thread.
    pub fn insert_group(&mut self, node: Node, leader: Arc<Task>) {
        let tgid = node.group.tgid();
        self.release_pid(tgid);
        if let Some(parent) = self.nodes.get_mut(&node.parent) {
            parent.children.push(tgid);
        }
        self.tasks.insert(tgid, Arc::clone(&leader));
        self.nodes.insert(
            tgid,
            Node {
                threads: vec![leader],
                ..node
            },
        );
    }

    /// Adds a thread to its group.
    pub fn insert_thread(&mut self, task: Arc<Task>) {
        self.release_pid(task.tid());
        if let Some(node) = self.nodes.get_mut(&task.group().tgid()) {
            node.threads.push(Arc::clone(&task));
        }
        self.tasks.insert(task.tid(), task);
    }

    /// Takes a dead thread off its group; returns how many live threads remain.
    pub fn remove_thread(&mut self, task: &Arc<Task>) -> usize {
        let tgid = task.group().tgid();
        let tid = task.tid();
        let left = self.nodes.get_mut(&tgid).map_or(0, |node| {
            node.threads.retain(|t| !Arc::ptr_eq(t, task));
            node.threads.len()
        });
        // A dead leader keeps its id until the whole group has been waited for.
        if tid != tgid {
            task.uncount();
            self.tasks.remove(&tid);
            self.forget_id(&task.group().pid_ns, tid);
        }
        left
    }

    /// After execve(2) in another thread: `task` takes over the leader's id.
    pub fn become_leader(&mut self, task: &Arc<Task>, old_tid: u32) {
        self.tasks.remove(&old_tid);
        self.forget_id(&task.group().pid_ns, old_tid);
        if let Some(old) = self.tasks.insert(task.tid(), Arc::clone(task)) {
            old.uncount();
        }
        self.tracees.rename(old_tid, task.tid());
    }

    /// A node by thread group id.
    #[must_use]
    pub fn node(&self, tgid: u32) -> Option<&Node> {
        self.nodes.get(&tgid)
    }

    /// A node to change.
    pub fn node_mut(&mut self, tgid: u32) -> Option<&mut Node> {
        self.nodes.get_mut(&tgid)
    }

    /// A task by thread id.
    #[must_use]
    pub fn task(&self, tid: u32) -> Option<&Arc<Task>> {
        self.tasks.get(&tid)
    }

    /// All thread groups in id order.
    pub fn groups(&self) -> impl Iterator<Item = (u32, &Node)> {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    /// Number of tasks, zombies included.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Live members of a process group.
    pub fn process_group(&self, pgid: u32) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(move |n| n.pgid == pgid)
    }

    /// Gives the children of a dead process to a subreaper or to process 1; returns the new parent and those
    /// children that are zombies already, for it to be told.
    pub fn reparent_children(&mut self, dead: u32) -> (u32, Vec<u32>) {
        let children = self
            .nodes
            .get_mut(&dead)
            .map(|n| std::mem::take(&mut n.children))
            .unwrap_or_default();
        let reaper = self.reaper_of(dead);
        let mut zombies = Vec::new();
        for child in children {
            if let Some(node) = self.nodes.get_mut(&child) {
                node.parent = reaper;
                if node.zombie.is_some() {
                    zombies.push(child);
                }
            }
            if let Some(parent) = self.nodes.get_mut(&reaper) {
                parent.children.push(child);
            }
        }
        (reaper, zombies)
    }

    fn reaper_of(&self, dead: u32) -> u32 {
        let ns = self.nodes.get(&dead).map(|n| &n.group.pid_ns);
        let nested = ns.filter(|ns| ns.level() > 0);
        if let Some(init) = nested.and_then(|ns| ns.init())
            && init != dead
        {
            return self.reaper_within(dead, init);
        }
        let mut at = self.nodes.get(&dead).map_or(0, |n| n.parent);
        let mut hops = 0;
        while let Some(node) = self.nodes.get(&at) {
            if node.zombie.is_none() && (node.subreaper || node.parent == 0) {
                return at;
            }
            at = node.parent;
            hops += 1;
            if hops > self.nodes.len() {
                break;
            }
        }
        if self.nodes.get(&1).is_some_and(|n| n.zombie.is_none()) {
            1
        } else {
            0
        }
    }

    /// The reaper in a process id namespace with this first process: that, or a subreaper on the way to it.
    fn reaper_within(&self, dead: u32, init: u32) -> u32 {
        let ns = self.nodes.get(&init).map(|n| &n.group.pid_ns);
        let mut at = self.nodes.get(&dead).map_or(0, |n| n.parent);
        while let Some(node) = self.nodes.get(&at) {
            let inside = ns.is_some_and(|ns| Arc::ptr_eq(ns, &node.group.pid_ns));
            if !inside || at == init {
                break;
            }
            if node.zombie.is_none() && node.subreaper {
                return at;
            }
            at = node.parent;
        }
        init
    }

    /// Removes a zombie for good.
    pub fn reap(&mut self, tgid: u32) -> Option<Node> {
        let node = self.nodes.remove(&tgid)?;
        if let Some(leader) = self.tasks.remove(&tgid) {
            leader.uncount();
        }
        self.tracees.remove(tgid);
        if let Some(parent) = self.nodes.get_mut(&node.parent) {
            parent.children.retain(|c| *c != tgid);
        }
        for id in [tgid, node.pgid, node.sid] {
            self.forget_id(&node.group.pid_ns, id);
        }
        Some(node)
    }

    /// An id may mean nothing any more: then its namespaces forget it.
    pub(crate) fn forget_id(&self, ns: &Arc<PidNs>, id: u32) {
        if ns.level() > 0 && !self.id_in_use(id) {
            ns.leave(id);
        }
    }

    /// Whether a process group is orphaned: no member has a parent in another group of the same session.
    #[must_use]
    pub fn is_orphaned(&self, pgid: u32, except: Option<u32>) -> bool {
        !self.nodes.iter().any(|(id, n)| {
            n.pgid == pgid
                && Some(*id) != except
                && n.zombie.is_none()
                && self
                    .nodes
                    .get(&n.parent)
                    .is_some_and(|p| p.pgid != pgid && p.sid == n.sid && p.zombie.is_none())
        })
    }

    /// Whether a process group has a stopped member.
    #[must_use]
    pub fn has_stopped(&self, pgid: u32) -> bool {
        self.nodes
            .values()
            .any(|n| n.pgid == pgid && n.zombie.is_none() && n.stopped)
    }
}
