//! `/proc`: proc(5).
//!
//! Every directory of processes computes a single entry when asked for it; nothing is kept. Contents come from the
//! live state at the moment a read begins.

mod dir;
mod fd;
mod memory;
mod mounts;
mod net;
mod pid;
pub(crate) mod status;
pub(crate) mod sysctl;
mod system;
mod sysvipc;

pub(crate) use dir::{DynDir, Entries, Listing};
pub(crate) use pid::process_of;

use crate::{
    kernel::Kernel,
    ns::pid::PidNs,
    ptrace::{AccessMode, may_access},
    task::{Task, ThreadGroup, WaitStatus, tree},
};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::Signal,
    stat::PROC_SUPER_MAGIC,
};
use tuxlet_vfs::{Cx, FileSystem, FileType, InodeRef, Link, Path, pseudo::PseudoFs};

/// What all inodes of one procfs know.
#[derive(Debug)]
pub(crate) struct Shared {
    kernel: Weak<Kernel>,
    fs: Weak<PseudoFs>,
    /// Whose processes it shows.
    pid_ns: Arc<PidNs>,
    boot_id: String,
    load: Mutex<system::Load>,
}

impl Shared {
    /// The kernel. `ENOENT` once the machine is gone.
    fn kernel(&self) -> Result<Arc<Kernel>> {
        self.kernel.upgrade().ok_or(Errno::ENOENT)
    }

    fn fs(&self) -> Result<Arc<PseudoFs>> {
        self.fs.upgrade().ok_or(Errno::ENOENT)
    }
}

/// A new procfs that shows the processes of a namespace.
#[must_use]
pub fn new(kernel: &Arc<Kernel>, pid_ns: &Arc<PidNs>) -> Arc<dyn FileSystem> {
    let now = kernel.clock.realtime_vfs();
    PseudoFs::new("proc", PROC_SUPER_MAGIC, now, false, |fs| {
        let shared = Arc::new(Shared {
            kernel: Arc::downgrade(kernel),
            fs: Arc::downgrade(fs),
            pid_ns: Arc::clone(pid_ns),
            boot_id: sysctl::uuid(),
            load: Mutex::default(),
        });
        let mut entries = system::entries(fs, &shared);
        entries.push(("sys", sysctl::root(fs, &shared)));
        entries.push((
            "self",
            fs.symlink({
                let pid_ns = Arc::clone(pid_ns);
                move |cx| match pid_ns.shown(cx.tgid) {
                    0 => Err(Errno::ENOENT),
                    id => Ok(Link::Path(id.to_string().into_bytes())),
                }
            }),
        ));
        entries.push((
            "thread-self",
            fs.symlink({
                let pid_ns = Arc::clone(pid_ns);
                move |cx| match (pid_ns.shown(cx.tgid), pid_ns.shown(cx.tid)) {
                    (_, 0) => Err(Errno::ENOENT),
                    (id, tid) => Ok(Link::Path(format!("{id}/task/{tid}").into_bytes())),
                }
            }),
        ));
        let node = fs.node(FileType::Directory, 0o555);
        DynDir::inode(node, Root { shared, entries })
    })
}

/// The top directory: what is always there, then the processes.
#[derive(Debug)]
struct Root {
    shared: Arc<Shared>,
    entries: Vec<(&'static str, InodeRef)>,
}

impl Listing for Root {
    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        if let Some((_, inode)) = self.entries.iter().find(|(n, _)| n.as_bytes() == name) {
            return Ok(Arc::clone(inode));
        }
        let id = number(name)
            .and_then(|id| self.shared.pid_ns.global(id))
            .ok_or(Errno::ENOENT)?;
        Target::process(&self.shared, id).directory()
    }

    fn list(&self, _cx: &Cx) -> Result<Entries> {
        let fixed = self
            .entries
            .iter()
            .map(|(n, i)| (n.as_bytes().to_vec(), i.id().ino, i.kind()));
        let mut all: Entries = fixed.collect();
        let ids: Vec<u32> = {
            let kernel = self.shared.kernel()?;
            let tree = kernel.tree.lock();
            tree.groups().map(|(id, _)| id).collect()
        };
        for id in ids {
            let ino = Target::process(&self.shared, id).ino(pid::TAG_ENTRY, 0);
            let shown = self.shared.pid_ns.shown(id);
            if shown != 0 {
                all.push((shown.to_string().into_bytes(), ino, FileType::Directory));
            }
        }
        Ok(all)
    }
}

/// A decimal number without leading zeros: names of processes and descriptors.
fn number(name: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(name).ok()?;
    let value: u32 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

/// A process, or one of its threads (`/proc/PID/task/TID`).
#[derive(Clone, Debug)]
struct Target {
    shared: Arc<Shared>,
    id: u32,
    thread: bool,
}

/// A process or thread as it is now.
#[derive(Debug)]
struct Snapshot {
    kernel: Arc<Kernel>,
    pid_ns: Arc<PidNs>,
    task: Arc<Task>,
    group: Arc<ThreadGroup>,
    parent: u32,
    pgid: u32,
    sid: u32,
    threads: Vec<Arc<Task>>,
    children: Vec<u32>,
    /// Only the thread is meant, not its process.
    thread: bool,
    zombie: Option<WaitStatus>,
    exit_signal: Option<Signal>,
    /// User and system time in nanoseconds, of the thread or of all threads.
    times: (u64, u64),
}

impl Target {
    fn process(shared: &Arc<Shared>, id: u32) -> Self {
        Self {
            shared: Arc::clone(shared),
            id,
            thread: false,
        }
    }

    /// An inode number that no other entry of the file system has.
    fn ino(&self, tag: u64, n: u64) -> u64 {
        (u64::from(self.id) + 1) << 24 | u64::from(self.thread) << 23 | tag << 20 | n & 0xf_ffff
    }

    /// The state. `ESRCH` if the process is gone.
    fn snapshot(&self) -> Result<Snapshot> {
        let kernel = self.shared.kernel()?;
        let tree = kernel.tree.lock();
        let task = Arc::clone(tree.task(self.id).ok_or(Errno::ESRCH)?);
        let node = tree.node(task.tgid()).ok_or(Errno::ESRCH)?;
        let times = if self.thread {
            (task.cpu_ns(), 0)
        } else {
            crate::task::usage::node_times(node)
        };
        let snapshot = Snapshot {
            kernel: Arc::clone(&kernel),
            pid_ns: Arc::clone(&self.shared.pid_ns),
            group: Arc::clone(&node.group),
            thread: self.thread,
            parent: node.parent,
            pgid: node.pgid,
            sid: node.sid,
            threads: node.threads.clone(),
            children: node.children.clone(),
            zombie: node.zombie,
            exit_signal: node.exit_signal,
            task,
            times,
        };
        drop(tree);
        Ok(snapshot)
    }
}

impl Snapshot {
    /// A process id as the file system shows it.
    fn shown(&self, id: u32) -> u32 {
        self.pid_ns.shown(id)
    }

    /// Memory, descriptors and directories; `None` of a dead process.
    fn resources(&self) -> Option<crate::task::Resources> {
        self.task
            .resources()
            .or_else(|| self.threads.iter().find_map(|t| t.resources()))
    }

    /// Whether the caller may look into the process: ptrace(2), access mode checking.
    fn may_inspect(&self, cx: &Cx) -> Result<()> {
        may_access(&cx.cred, cx.tgid, AccessMode::FsCreds, &self.task).map_err(|_| Errno::EACCES)
    }

    /// Owner of the process's files: its user, unless it is not dumpable.
    fn owner(&self) -> (u32, u32) {
        if self
            .group
            .dumpable
            .load(std::sync::atomic::Ordering::Relaxed)
        {
            let cred = self.task.cred();
            (cred.euid, cred.egid)
        } else {
            (0, 0)
        }
    }
}

/// The root directory of the caller, which paths are shown from.
fn reader_root(kernel: &Kernel, cx: &Cx) -> Path {
    let task = kernel.tree.lock().task(cx.tid).cloned();
    task.and_then(|t| t.resources())
        .map_or_else(|| kernel.mounts.root(), |r| r.fs.root())
}

/// Largest process id plus one.
const PID_MAX: u32 = tree::PID_MAX + 1;
