//! Control groups, version 2: cgroups(7), and the kernel's admin-guide/cgroup-v2.
//!
//! Each machine has one hierarchy. A [`Cgroup`] is the directory of the `cgroup2` file system and what is counted and
//! limited; a task is in exactly one ([`Membership`]). Counters go all the way up; limits are only looked at where the
//! controller is on.
//!
//! Locks: the kernel's broadcast lock, then the hierarchy's ([`Hierarchy::lock`]), then the process tree's, then those of
//! single groups and tasks.

mod attach;
mod control;
mod cpu;
mod files;
mod freeze;
mod fs;
mod member;
mod memory;
mod pids;

pub use fs::CgroupFs;
pub(crate) use member::Membership;
pub(crate) use pids::PidCharge;

use crate::kernel::Kernel;
use control::{Controllers, Domain};
use cpu::Cpu;
use files::CgroupFile;
use memory::Memory;
use parking_lot::{Mutex, MutexGuard};
use pids::Pids;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
};
use tuxlet_uapi::{
    errno::{Errno, Result},
    stat::CGROUP2_SUPER_MAGIC,
};
use tuxlet_vfs::{
    FileType, InodeRef,
    attr::Time,
    pseudo::{Node, PseudoFs},
};

/// What all groups of a machine share.
pub(crate) struct Hierarchy {
    /// Held while the shape of the tree, a membership or what is switched on changes.
    lock: Mutex<()>,
    kernel: OnceLock<Weak<Kernel>>,
    fs: Weak<PseudoFs>,
}

impl fmt::Debug for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hierarchy").finish_non_exhaustive()
    }
}

/// What of a group changes under the hierarchy's lock.
#[derive(Debug, Default)]
struct State {
    children: BTreeMap<Box<[u8]>, Arc<Cgroup>>,
    files: BTreeMap<&'static str, Arc<CgroupFile>>,
    /// What is on in the children: `cgroup.subtree_control`.
    subtree_control: Controllers,
    domain: Domain,
    max_descendants: Option<u32>,
    max_depth: Option<u32>,
}

/// A control group.
#[derive(Debug)]
pub struct Cgroup {
    node: Node,
    name: Box<[u8]>,
    parent: Option<Arc<Cgroup>>,
    hierarchy: Arc<Hierarchy>,
    state: Mutex<State>,
    /// Was removed; tasks that died in it may still show it.
    removed: AtomicBool,
    /// Live tasks in the group itself.
    own_tasks: AtomicU32,
    /// Live tasks in the group and below.
    tasks: AtomicU32,
    /// Groups below.
    descendants: AtomicUsize,
    /// `cgroup.freeze`.
    freeze: AtomicBool,
    /// All tasks rest because of it: `frozen` of `cgroup.events`.
    frozen: AtomicBool,
    pids: Pids,
    memory: Memory,
    cpu: Arc<Cpu>,
}

/// The control groups of a machine.
#[derive(Debug)]
pub struct Cgroups {
    fs: Arc<PseudoFs>,
    root: Arc<Cgroup>,
}

impl Cgroups {
    /// A hierarchy with nothing but its root.
    #[must_use]
    pub fn new(now: Time) -> Self {
        let mut root = None;
        let fs = PseudoFs::new("cgroup2", CGROUP2_SUPER_MAGIC, now, false, |fs| {
            let hierarchy = Arc::new(Hierarchy {
                lock: Mutex::new(()),
                kernel: OnceLock::new(),
                fs: Arc::downgrade(fs),
            });
            let made = Cgroup::new(fs, &hierarchy, b"", None, (0o755, 0, 0));
            made.make_files(fs, (0, 0));
            root = Some(Arc::clone(&made));
            made
        });
        let root = root.unwrap_or_else(|| unreachable!("PseudoFs::new makes the root at once"));
        Self { fs, root }
    }

    /// Introduces the kernel whose processes are grouped.
    pub(crate) fn set_kernel(&self, kernel: &Arc<Kernel>) {
        let _ = self.root.hierarchy.kernel.set(Arc::downgrade(kernel));
    }

    /// How many groups there are.
    pub(crate) fn count(&self) -> usize {
        self.root.descendants.load(Ordering::Relaxed) + 1
    }

    /// The root of the hierarchy.
    #[must_use]
    pub fn root(&self) -> &Arc<Cgroup> {
        &self.root
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // Groups and those in them keep each other alive.
        for group in self.root.subtree() {
            let children = std::mem::take(&mut group.state.lock().children);
            drop(children);
        }
    }
}

impl Cgroup {
    fn new(
        fs: &PseudoFs,
        hierarchy: &Arc<Hierarchy>,
        name: &[u8],
        parent: Option<&Arc<Self>>,
        (mode, uid, gid): (u32, u32, u32),
    ) -> Arc<Self> {
        Arc::new_cyclic(|myself| Self {
            node: fs.node(FileType::Directory, mode).owned(uid, gid),
            name: name.into(),
            parent: parent.cloned(),
            hierarchy: Arc::clone(hierarchy),
            state: Mutex::default(),
            removed: AtomicBool::new(false),
            own_tasks: AtomicU32::new(0),
            tasks: AtomicU32::new(0),
            descendants: AtomicUsize::new(0),
            freeze: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            pids: Pids::default(),
            memory: Memory::new(parent.map(|p| &p.memory)),
            cpu: Cpu::new(Weak::clone(myself)),
        })
    }

    fn kernel(&self) -> Result<Arc<Kernel>> {
        let kernel = self.hierarchy.kernel.get().and_then(Weak::upgrade);
        kernel.ok_or(Errno::ENODEV)
    }

    fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// The group and those above it.
    fn up(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |g| g.parent.as_ref())
    }

    /// Whether it is `other` or below it.
    #[must_use]
    pub fn is_within(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        self.up().any(|g| Arc::ptr_eq(g, other))
    }

    fn level(self: &Arc<Self>) -> usize {
        self.up().count()
    }

    /// The closest group that is above both or one of them.
    fn common(self: &Arc<Self>, other: &Arc<Self>) -> Arc<Self> {
        let found = self.up().find(|g| other.is_within(g));
        Arc::clone(found.unwrap_or(self))
    }

    /// Takes the hierarchy's lock. `ENODEV` if the group was removed before.
    fn lock_live(&self) -> Result<MutexGuard<'_, ()>> {
        let guard = self.hierarchy.lock.lock();
        if self.removed.load(Ordering::Acquire) {
            return Err(Errno::ENODEV);
        }
        Ok(guard)
    }

    fn children(&self) -> Vec<Arc<Self>> {
        self.state.lock().children.values().cloned().collect()
    }

    /// The group and all below it, ancestors first.
    fn subtree(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut all = vec![Arc::clone(self)];
        let mut next = 0;
        while next < all.len() {
            let children = all[next].children();
            all.extend(children);
            next += 1;
        }
        all
    }

    /// The path from `root`, as `/proc/PID/cgroup` shows it: with `/..` for each level that lies outside.
    #[must_use]
    pub fn path_from(self: &Arc<Self>, root: &Arc<Self>) -> Vec<u8> {
        let common = self.common(root);
        let mut path = Vec::new();
        for _ in common.level()..root.level() {
            path.extend_from_slice(b"/..");
        }
        let below: Vec<_> = self.up().take_while(|g| !Arc::ptr_eq(g, &common)).collect();
        for group in below.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(&group.name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        if self.removed.load(Ordering::Acquire) {
            path.extend_from_slice(b" (deleted)");
        }
        path
    }

    /// Makes a group in this one: mkdir(2).
    fn make_child(self: &Arc<Self>, name: &[u8], mode: u32, owner: (u32, u32)) -> Result<InodeRef> {
        if name.contains(&b'\n') {
            return Err(Errno::EINVAL);
        }
        let fs = self.hierarchy.fs.upgrade().ok_or(Errno::ENODEV)?;
        let _lock = self.lock_live()?;
        if self.state.lock().children.contains_key(name) || self.file(name).is_some() {
            return Err(Errno::EEXIST);
        }
        for (depth, group) in (1..).zip(self.up()) {
            let state = group.state.lock();
            let descendants = group.descendants.load(Ordering::Relaxed);
            let full = |max: Option<u32>, n: usize| max.is_some_and(|max| n > max as usize);
            if full(state.max_descendants, descendants + 1) || full(state.max_depth, depth) {
                return Err(Errno::EAGAIN);
            }
        }
        let mode = (mode & 0o1777, owner.0, owner.1);
        let child = Self::new(&fs, &self.hierarchy, name, Some(self), mode);
        // Below a threaded group there are no domains, and in a frozen one everybody rests.
        child.frozen.store(self.freezes(), Ordering::SeqCst);
        child.make_files(&fs, owner);
        self.state
            .lock()
            .children
            .insert(name.into(), Arc::clone(&child));
        for group in self.up() {
            group.descendants.fetch_add(1, Ordering::Relaxed);
        }
        Ok(child)
    }

    /// Removes a group without tasks and without groups in it: rmdir(2).
    fn remove_child(self: &Arc<Self>, name: &[u8]) -> Result<()> {
        let _lock = self.hierarchy.lock.lock();
        let child = self.state.lock().children.get(name).cloned();
        let Some(child) = child else {
            let file = self.file(name).is_some();
            return Err(if file { Errno::ENOTDIR } else { Errno::ENOENT });
        };
        let used = child.tasks.load(Ordering::SeqCst) != 0;
        if used || !child.state.lock().children.is_empty() {
            return Err(Errno::EBUSY);
        }
        child.removed.store(true, Ordering::Release);
        child.cpu.set_limit(None);
        self.state.lock().children.remove(name);
        for group in self.up() {
            group.descendants.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn file(&self, name: &[u8]) -> Option<Arc<CgroupFile>> {
        let name = std::str::from_utf8(name).ok()?;
        self.state.lock().files.get(name).cloned()
    }

    /// Tells those who watch a file of the group that it reads otherwise than before.
    fn changed(self: &Arc<Self>, file: &str) {
        let found = self.state.lock().files.get(file).cloned();
        if let Some(found) = found {
            found.changed();
            let directory: InodeRef = Arc::clone(self) as InodeRef;
            let inode: InodeRef = found;
            tuxlet_vfs::notify::modified(&inode, &directory, file.as_bytes());
        }
    }
}
