//! Mount namespaces and the operations on mounts: mount(2), umount2(2), pivot_root(2), mount_namespaces(7).

use crate::{
    cx::{Cx, cap},
    inode::FileSystem,
    mount::{Mount, MountFlags},
    path::{Path, Reach},
    propagation::{self, Propagation, Relation},
    track::Trackers,
    user_ns::{UserNs, next_number},
};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};

/// The number of a machine's first namespace, Linux' usual one.
const FIRST: u64 = 4_026_531_841;

/// Mounts by the id of the mount that they are copies of.
pub type MountMap = FxHashMap<u64, Arc<Mount>>;

/// A tree of mounts.
#[derive(Debug)]
pub struct MountNamespace {
    id: u64,
    /// Whose capabilities count.
    owner: Arc<UserNs>,
    /// The root mount; the lock also serialises every change of the tree.
    root: Mutex<Arc<Mount>>,
}

/// A line of `/proc/PID/mountinfo`: proc_pid_mountinfo(5).
#[derive(Clone, Debug)]
pub struct MountInfo {
    /// Mount id.
    pub id: u64,
    /// Id of the mount that this one is attached to; its own for a root.
    pub parent_id: u64,
    /// The mount itself, for device, type, source and flags.
    pub mount: Arc<Mount>,
    /// The part of the file system that is mounted.
    pub root: Vec<u8>,
    /// Where, as seen from the reader's root.
    pub mountpoint: Vec<u8>,
}

/// What pivot_root(2) did; the kernel moves every task whose root or working directory was `old_root`.
#[derive(Clone, Debug)]
pub struct Pivoted {
    /// The root before.
    pub old_root: Path,
    /// The root now.
    pub new_root: Path,
}

fn admin(cx: &Cx, owner: &UserNs) -> Result<()> {
    if cx.cred.has_cap_in(owner, cap::SYS_ADMIN) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

impl MountNamespace {
    /// A namespace with `fs` at its root.
    #[must_use]
    pub fn new(fs: &Arc<dyn FileSystem>, flags: MountFlags, source: &[u8]) -> Arc<Self> {
        let root = Mount::new(fs, flags, source);
        root.super_block().set_trackers(&Arc::default());
        Self::of(FIRST, UserNs::initial(), root)
    }

    fn of(id: u64, owner: &Arc<UserNs>, root: Arc<Mount>) -> Arc<Self> {
        Arc::new(Self {
            id,
            owner: Arc::clone(owner),
            root: Mutex::new(root),
        })
    }

    /// The user namespace that this one belongs to.
    #[must_use]
    pub fn owner(&self) -> &Arc<UserNs> {
        &self.owner
    }

    /// The namespace's inode number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Who hears of changes to files in this namespace and its copies.
    #[must_use]
    pub fn trackers(&self) -> Arc<Trackers> {
        let root = self.root.lock();
        root.super_block().trackers().cloned().unwrap_or_default()
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Path {
        let mount = Arc::clone(&self.root.lock());
        let dentry = Arc::clone(mount.root());
        Path { mount, dentry }.cross_mounts()
    }

    /// Whether a mount belongs to this namespace.
    fn owns(root: &Arc<Mount>, mount: &Arc<Mount>) -> bool {
        Arc::ptr_eq(&mount.top(), root)
    }

    /// Mounts a file system (or whatever `mount` shows) on `at`, which the resolver has crossed into.
    fn graft(root: &Arc<Mount>, mount: &Arc<Mount>, at: &Path) -> Result<()> {
        if !Self::owns(root, &at.mount) {
            return Err(Errno::EINVAL);
        }
        if at.dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        if at.dentry.is_dir() != mount.root().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Self::attach(mount, at);
        Ok(())
    }

    /// Attaches a tree at a place and its copies wherever that is heard of.
    fn attach(tree: &Arc<Mount>, at: &Path) {
        // Someone may have mounted here since the path was looked up.
        let at = at.clone().cross_mounts();
        if !at.mount.is_shared() {
            tree.attach(&at);
            return;
        }
        for mount in tree.tree() {
            mount.set_propagation(Propagation::Shared);
        }
        let copies = propagation::copies(tree, &at);
        tree.attach(&at);
        for (copy, place) in copies {
            copy.attach(&place.cross_mounts());
        }
    }

    /// What is mounted, by propagation, where `mount` is mounted.
    fn counterparts(mount: &Arc<Mount>) -> Vec<Arc<Mount>> {
        let Some(place) = mount.attached() else {
            return Vec::new();
        };
        let hearing = propagation::receivers(&place.mount);
        hearing
            .iter()
            .filter_map(|m| m.child_at(&place.dentry))
            .collect()
    }

    /// Takes a mount off its place; nobody tells it anything any more.
    fn detach(mount: &Arc<Mount>) {
        mount.detach();
        mount.set_propagation(Propagation::Private);
    }

    /// Mounts `fs` on `at`.
    pub fn mount(
        &self,
        cx: &Cx,
        fs: &Arc<dyn FileSystem>,
        at: &Path,
        flags: MountFlags,
        source: &[u8],
    ) -> Result<Arc<Mount>> {
        admin(cx, &self.owner)?;
        let root = self.root.lock();
        if at.is_mount_root() && Arc::ptr_eq(at.mount.fs(), fs) {
            return Err(Errno::EBUSY);
        }
        let mount = Mount::new(fs, flags, source);
        Self::graft(&root, &mount, at)?;
        Ok(mount)
    }

    /// A copy of the mount under `from` (with all that is mounted below, if `recursive`), attached nowhere;
    /// also what open_tree(2) makes. `all` says that unbindable mounts come along too.
    fn copy_tree(from: &Path, recursive: bool, all: bool, made: &mut MountMap) -> Arc<Mount> {
        let copy = from.mount.clone_at(&from.dentry, Relation::Peer);
        made.insert(from.mount.id(), Arc::clone(&copy));
        if recursive {
            for child in from.mount.children() {
                let Some(place) = child.attached() else {
                    continue;
                };
                if !from.dentry.is_ancestor_of(&place.dentry) || (child.is_unbindable() && !all) {
                    continue;
                }
                let whole = Path {
                    mount: Arc::clone(&child),
                    dentry: Arc::clone(child.root()),
                };
                let below = Self::copy_tree(&whole, true, all, made);
                below.attach(&Path {
                    mount: Arc::clone(&copy),
                    dentry: place.dentry,
                });
            }
        }
        copy
    }

    /// Makes `from` visible at `at`: `MS_BIND`, with `MS_REC` for everything mounted below it too.
    pub fn bind(&self, cx: &Cx, from: &Path, at: &Path, recursive: bool) -> Result<Arc<Mount>> {
        admin(cx, &self.owner)?;
        let root = self.root.lock();
        if !Self::owns(&root, &at.mount) {
            return Err(Errno::EINVAL);
        }
        let copy = Self::copy_for_bind(&root, from, recursive)?;
        Self::graft(&root, &copy, at)?;
        Ok(copy)
    }

    fn copy_for_bind(root: &Arc<Mount>, from: &Path, recursive: bool) -> Result<Arc<Mount>> {
        if !Self::owns(root, &from.mount) || from.mount.is_unbindable() {
            return Err(Errno::EINVAL);
        }
        let uncovers = |child: &Arc<Mount>| {
            let place = child.attached();
            child.is_locked() && place.is_some_and(|p| from.dentry.is_ancestor_of(&p.dentry))
        };
        if !recursive && from.mount.children().iter().any(uncovers) {
            return Err(Errno::EINVAL);
        }
        let mut made = MountMap::default();
        let copy = Self::copy_tree(from, recursive, false, &mut made);
        copy.set_locked(false);
        Ok(copy)
    }

    /// A copy of what is mounted at `from`, attached nowhere yet: open_tree(2) with `OPEN_TREE_CLONE`.
    pub fn clone_tree(&self, cx: &Cx, from: &Path, recursive: bool) -> Result<Path> {
        admin(cx, &self.owner)?;
        let root = self.root.lock();
        let mount = Self::copy_for_bind(&root, from, recursive)?;
        mount.set_anonymous();
        let dentry = Arc::clone(mount.root());
        Ok(Path { mount, dentry })
    }

    /// A mount of `fs`, attached nowhere yet: fsmount(2).
    #[must_use]
    pub fn detached(fs: &Arc<dyn FileSystem>, flags: MountFlags, source: &[u8]) -> Path {
        let mount = Mount::new(fs, flags, source);
        mount.set_anonymous();
        let dentry = Arc::clone(mount.root());
        Path { mount, dentry }
    }

    /// Unmounts what is mounted at `at`. With `lazy` (`MNT_DETACH`) the tree disappears at once and ends with its
    /// last user; otherwise `EBUSY` while it is used.
    pub fn umount(&self, cx: &Cx, at: Path, lazy: bool) -> Result<()> {
        admin(cx, &self.owner)?;
        let root = self.root.lock();
        if !at.is_mount_root() || !Self::owns(&root, &at.mount) {
            return Err(Errno::EINVAL);
        }
        let mount = at.mount;
        if mount.is_locked() {
            return Err(Errno::EINVAL);
        }
        if Arc::ptr_eq(&mount, &root) {
            return Err(if lazy { Errno::EINVAL } else { Errno::EBUSY });
        }
        if lazy {
            for mount in mount.tree().iter().rev() {
                let counterparts = Self::counterparts(mount);
                for other in counterparts.iter().filter(|m| !m.has_children()) {
                    Self::detach(other);
                }
                Self::detach(mount);
            }
            return Ok(());
        }
        // Two references are expected: the parent's and ours. Any other is a user.
        let busy = |mount: &Arc<Mount>| Arc::strong_count(mount) > 2;
        if mount.has_children() || busy(&mount) {
            return Err(Errno::EBUSY);
        }
        let mut counterparts = Self::counterparts(&mount);
        counterparts.retain(|m| !m.has_children());
        if counterparts.iter().any(busy) {
            return Err(Errno::EBUSY);
        }
        for other in &counterparts {
            Self::detach(other);
        }
        Self::detach(&mount);
        drop(root);
        mount.fs().sync()
    }

    /// Changes flags: `MS_REMOUNT`. With `bind` only those of this mount, otherwise also whether the file system
    /// as a whole is read-only.
    pub fn remount(&self, cx: &Cx, at: &Path, flags: MountFlags, bind: bool) -> Result<()> {
        admin(cx, &self.owner)?;
        let root = self.root.lock();
        if !at.is_mount_root() || !Self::owns(&root, &at.mount) {
            return Err(Errno::EINVAL);
        }
        let mut flags = flags;
        if !flags.intersects(
            MountFlags::NOATIME
                | MountFlags::NODIRATIME
                | MountFlags::RELATIME
                | MountFlags::STRICTATIME,
        ) {
            let kept = MountFlags::NOATIME
                | MountFlags::NODIRATIME
                | MountFlags::RELATIME
                | MountFlags::STRICTATIME;
            flags |= at.mount.flags() & kept;
        }
        if flags.contains(MountFlags::RDONLY) && !at.mount.read_only() && at.mount.has_writers() {
            return Err(Errno::EBUSY);
        }
        if !bind {
            at.mount
                .super_block()
                .set_read_only(flags.contains(MountFlags::RDONLY));
        }
        at.mount.set_flags(flags);
        Ok(())
    }

    /// Changes flags of a mount, or of all below it too: mount_setattr(2). Either all change or none.
    pub fn set_attr(
        &self,
        cx: &Cx,
        at: &Path,
        recursive: bool,
        change: impl Fn(MountFlags) -> MountFlags,
        propagation: Option<Propagation>,
    ) -> Result<()> {
        admin(cx, &self.owner)?;
        let root = self.root.lock();
        let known = Self::owns(&root, &at.mount) || at.mount.top().is_anonymous();
        if !at.is_mount_root() || !known {
            return Err(Errno::EINVAL);
        }
        let mounts = if recursive {
            at.mount.tree()
        } else {
            vec![Arc::clone(&at.mount)]
        };
        let becomes_read_only = |m: &Arc<Mount>| {
            change(m.flags()).contains(MountFlags::RDONLY)
                && !m.flags().contains(MountFlags::RDONLY)
        };
        if mounts
            .iter()
            .any(|m| becomes_read_only(m) && m.has_writers())
        {
            return Err(Errno::EBUSY);
        }
        for mount in &mounts {
            mount.set_flags(change(mount.flags()));
            if let Some(to) = propagation {
                mount.set_propagation(to);
            }
        }
        Ok(())
    }

    /// Moves a mount: `MS_MOVE`, move_mount(2). One that is attached nowhere yet is attached.
    pub fn move_mount(&self, cx: &Cx, from: &Path, to: &Path) -> Result<()> {
        admin(cx, &self.owner)?;
        let root = self.root.lock();
        let place = from.mount.attached();
        let known = match &place {
            Some(_) => Self::owns(&root, &from.mount),
            None => from.mount.is_anonymous(),
        };
        if !from.is_mount_root()
            || !known
            || from.mount.is_locked()
            || !Self::owns(&root, &to.mount)
        {
            return Err(Errno::EINVAL);
        }
        if place.is_some_and(|place| place.mount.is_shared()) {
            return Err(Errno::EINVAL);
        }
        if to.dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        if from.dentry.is_dir() != to.dentry.is_dir() {
            return Err(Errno::EINVAL);
        }
        if to.mount.is_shared() && from.mount.tree().iter().any(|m| m.is_unbindable()) {
            return Err(Errno::EINVAL);
        }
        let mut above = Arc::clone(&to.mount);
        loop {
            if Arc::ptr_eq(&above, &from.mount) {
                return Err(Errno::ELOOP);
            }
            match above.attached() {
                Some(up) => above = up.mount,
                None => break,
            }
        }
        from.mount.detach();
        Self::attach(&from.mount, to);
        Ok(())
    }

    /// Changes the propagation type of a mount, or of all below it too: `MS_SHARED` and the like.
    pub fn set_propagation(
        &self,
        cx: &Cx,
        at: &Path,
        to: Propagation,
        recursive: bool,
    ) -> Result<()> {
        let same = |flags| flags;
        self.set_attr(cx, at, recursive, same, Some(to))
    }

    /// Swaps the root mount: pivot_root(2). `current` is the caller's root.
    pub fn pivot_root(
        &self,
        cx: &Cx,
        new_root: &Path,
        put_old: &Path,
        current: &Path,
    ) -> Result<Pivoted> {
        admin(cx, &self.owner)?;
        let mut root = self.root.lock();
        if !Self::owns(&root, &new_root.mount)
            || !Self::owns(&root, &put_old.mount)
            || !Self::owns(&root, &current.mount)
        {
            return Err(Errno::EINVAL);
        }
        let shared_above = |m: &Mount| m.attached().is_some_and(|up| up.mount.is_shared());
        if put_old.mount.is_shared()
            || shared_above(&new_root.mount)
            || shared_above(&current.mount)
        {
            return Err(Errno::EINVAL);
        }
        if new_root.dentry.is_unlinked() || put_old.dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        if !new_root.dentry.is_dir() || !put_old.dentry.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        if Arc::ptr_eq(&new_root.mount, &current.mount)
            || Arc::ptr_eq(&put_old.mount, &current.mount)
        {
            return Err(Errno::EBUSY);
        }
        if !current.is_mount_root()
            || !new_root.is_mount_root()
            || new_root.mount.is_locked()
            || Arc::ptr_eq(&new_root.mount, &root)
        {
            return Err(Errno::EINVAL);
        }
        if !put_old.is_below(new_root) || !new_root.is_below(current) {
            return Err(Errno::EINVAL);
        }
        let place_of_root = current.mount.attached();
        new_root.mount.set_locked(current.mount.is_locked());
        current.mount.set_locked(false);
        new_root.mount.detach();
        current.mount.detach();
        match &place_of_root {
            Some(place) => new_root.mount.attach(place),
            None => *root = Arc::clone(&new_root.mount),
        }
        current.mount.attach(&put_old.clone().cross_mounts());
        Ok(Pivoted {
            old_root: current.clone(),
            new_root: new_root.clone(),
        })
    }

    /// A copy for a task with a namespace of its own (`CLONE_NEWNS`) that belongs to `owner`, and for each old mount's id
    /// its copy, by which the kernel translates the task's root and working directory. In another user namespace it only
    /// hears of mounts, and does not tell: mount_namespaces(7).
    #[must_use]
    pub fn copy(&self, owner: &Arc<UserNs>) -> (Arc<Self>, MountMap) {
        let root = self.root.lock();
        let mut made = MountMap::default();
        let whole = Path {
            mount: Arc::clone(&root),
            dentry: Arc::clone(root.root()),
        };
        let copy = Self::copy_tree(&whole, true, true, &mut made);
        if *owner != self.owner {
            for mount in copy.tree() {
                mount.set_locked(mount.attached().is_some());
                if mount.is_shared() {
                    mount.set_propagation(Propagation::Slave);
                }
            }
        }
        (Self::of(next_number(), owner, copy), made)
    }

    /// All mounts that a task with this root can reach, in the order of their making.
    #[must_use]
    pub fn list(&self, root: &Path) -> Vec<MountInfo> {
        let top = Arc::clone(&self.root.lock());
        let mut all = vec![top];
        let mut next = 0;
        while next < all.len() {
            let children = all[next].children();
            all.extend(children);
            next += 1;
        }
        all.sort_by_key(|m| m.id());
        all.iter().filter_map(|m| Self::info(m, root)).collect()
    }

    fn info(mount: &Arc<Mount>, root: &Path) -> Option<MountInfo> {
        let here = Path {
            mount: Arc::clone(mount),
            dentry: Arc::clone(mount.root()),
        };
        // The caller's own root mount shows as "/", even if the caller's root lies inside it.
        let mountpoint = if Arc::ptr_eq(mount, &root.mount) {
            b"/".to_vec()
        } else {
            match here.print(root) {
                (path, Reach::Inside) => path,
                (_, Reach::Outside) => return None,
            }
        };
        let mut names = Vec::new();
        let mut at = Some(Arc::clone(mount.root()));
        while let Some(dentry) = at {
            let (name, parent) = dentry.place();
            if parent.is_some() {
                names.push(name);
            }
            at = parent;
        }
        let mut within: Vec<u8> = Vec::new();
        for name in names.iter().rev() {
            within.push(b'/');
            within.extend_from_slice(name);
        }
        if within.is_empty() {
            within.push(b'/');
        }
        if mount.root().is_unlinked() {
            within.extend_from_slice(b"//deleted");
        }
        Some(MountInfo {
            id: mount.id(),
            parent_id: mount.attached().map_or(mount.id(), |up| up.mount.id()),
            mount: Arc::clone(mount),
            root: within,
            mountpoint,
        })
    }
}
