//! Mounts: one view of (a part of) a file system, attached to a place in another.

use crate::{
    attr::StatFs,
    dentry::{Dentry, SuperBlock},
    inode::FileSystem,
    path::Path,
    propagation::{Links, Relation},
};
use bitflags::bitflags;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};
use tuxlet_uapi::errno::{Errno, Result};

bitflags! {
    /// Per-mount flags, with the values of `MS_*` in mount(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Read-only.
        const RDONLY = 1;
        /// Ignore set-user-id and set-group-id bits.
        const NOSUID = 2;
        /// Refuse to open devices.
        const NODEV = 4;
        /// Refuse to execute programs.
        const NOEXEC = 8;
        /// Do not follow symbolic links.
        const NOSYMFOLLOW = 256;
        /// Never update access times.
        const NOATIME = 1024;
        /// Never update access times of directories.
        const NODIRATIME = 2048;
        /// Update access times only when they are old.
        const RELATIME = 1 << 21;
        /// Always update access times.
        const STRICTATIME = 1 << 24;
    }
}

impl MountFlags {
    /// As the per-mount options of `/proc/self/mountinfo`.
    #[must_use]
    pub fn options(self) -> String {
        let mut out = String::from(if self.contains(Self::RDONLY) {
            "ro"
        } else {
            "rw"
        });
        for (flag, text) in [
            (Self::NOSUID, ",nosuid"),
            (Self::NODEV, ",nodev"),
            (Self::NOEXEC, ",noexec"),
            (Self::NOATIME, ",noatime"),
            (Self::NODIRATIME, ",nodiratime"),
            (Self::RELATIME, ",relatime"),
            (Self::NOSYMFOLLOW, ",nosymfollow"),
        ] {
            if self.contains(flag) {
                out.push_str(text);
            }
        }
        out
    }

    /// With the default access time policy filled in: relatime, unless another one is asked for.
    #[must_use]
    pub fn with_default_atime(self) -> Self {
        if self.intersects(Self::NOATIME | Self::STRICTATIME) {
            self
        } else {
            self | Self::RELATIME
        }
    }
}

/// Mount ids are unique among all machines of the process; only equality and order matter to guests.
static NEXT_ID: AtomicU64 = AtomicU64::new(20);

/// A mount.
pub struct Mount {
    id: u64,
    sb: Arc<SuperBlock>,
    root: Arc<Dentry>,
    flags: AtomicU32,
    source: Box<[u8]>,
    /// Files open for writing: a read-only remount is refused meanwhile.
    writers: AtomicU32,
    attached: Mutex<Option<(Weak<Mount>, Arc<Dentry>)>>,
    /// Made by fsmount(2) or open_tree(2) and not attached yet.
    anonymous: AtomicBool,
    /// Came with a copy for a less privileged user namespace, which must not see what is below it.
    locked: AtomicBool,
    /// Who hears of mounts below.
    pub(crate) links: Mutex<Links>,
    /// What is mounted in this mount, by the address of the dentry (which the child keeps alive).
    children: RwLock<FxHashMap<usize, Arc<Mount>>>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("id", &self.id)
            .field("fs", &self.sb.fs().name())
            .finish_non_exhaustive()
    }
}

fn key(dentry: &Arc<Dentry>) -> usize {
    Arc::as_ptr(dentry) as usize
}

impl Mount {
    /// A mount of the whole of `fs`, attached nowhere. Also used for internal mounts (memfd, pipes).
    #[must_use]
    pub fn new(fs: &Arc<dyn FileSystem>, flags: MountFlags, source: &[u8]) -> Arc<Self> {
        let sb = SuperBlock::of(fs);
        let root = sb.root_dentry();
        Self::of(&sb, root, flags, source)
    }

    pub(crate) fn of(
        sb: &Arc<SuperBlock>,
        root: Arc<Dentry>,
        flags: MountFlags,
        source: &[u8],
    ) -> Arc<Self> {
        sb.mounted();
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            sb: Arc::clone(sb),
            root,
            flags: AtomicU32::new(flags.with_default_atime().bits()),
            source: source.into(),
            writers: AtomicU32::new(0),
            attached: Mutex::default(),
            anonymous: AtomicBool::new(false),
            locked: AtomicBool::new(false),
            links: Mutex::default(),
            children: RwLock::default(),
        })
    }

    /// Another mount of the part below `root`, with the same flags: the first half of a bind.
    pub(crate) fn clone_at(&self, root: &Arc<Dentry>, relation: Relation) -> Arc<Self> {
        let copy = Self::of(&self.sb, Arc::clone(root), self.flags(), &self.source);
        copy.relate(self, relation);
        copy.set_locked(self.is_locked());
        copy
    }

    /// A copy of this mount and of all that is mounted below, attached nowhere.
    pub(crate) fn copy_tree(&self, relation: Relation) -> Arc<Self> {
        let copy = self.clone_at(&self.root, relation);
        for child in self.children() {
            if let Some(place) = child.attached() {
                child.copy_tree(relation).attach(&Path {
                    mount: Arc::clone(&copy),
                    dentry: place.dentry,
                });
            }
        }
        copy
    }

    /// This mount and all below it, ancestors first.
    pub(crate) fn tree(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut all = vec![Arc::clone(self)];
        let mut next = 0;
        while next < all.len() {
            let children = all[next].children();
            all.extend(children);
            next += 1;
        }
        all
    }

    /// Whether it was made to be attached later, and has not been.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.anonymous.load(Ordering::Acquire)
    }

    /// Says that it is to be attached later: fsmount(2), open_tree(2).
    pub(crate) fn set_anonymous(&self) {
        self.anonymous.store(true, Ordering::Release);
    }

    /// Whether it cannot be taken off what it covers: mount_namespaces(7), "Restrictions on mount namespaces".
    pub(crate) fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Acquire)
    }

    pub(crate) fn set_locked(&self, locked: bool) {
        self.locked.store(locked, Ordering::Release);
    }

    /// The id in `/proc/self/mountinfo` and statx(2).
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file system's shared part.
    #[must_use]
    pub fn super_block(&self) -> &Arc<SuperBlock> {
        &self.sb
    }

    /// The file system.
    #[must_use]
    pub fn fs(&self) -> &Arc<dyn FileSystem> {
        self.sb.fs()
    }

    /// The topmost dentry visible through this mount.
    #[must_use]
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// What was mounted, as `/proc/mounts` shows it.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    pub(crate) fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Whether nothing may be changed through this mount.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY) || self.sb.read_only()
    }

    /// `EROFS` on a read-only mount.
    pub fn want_write(&self) -> Result<()> {
        if self.read_only() {
            Err(Errno::EROFS)
        } else {
            Ok(())
        }
    }

    pub(crate) fn add_writer(&self) {
        self.writers.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn remove_writer(&self) {
        self.writers.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a file is open for writing through this mount.
    #[must_use]
    pub fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) != 0
    }

    /// Where this is attached; `None` for a root, an internal and a detached mount.
    #[must_use]
    pub fn attached(&self) -> Option<Path> {
        let attached = self.attached.lock();
        let (mount, dentry) = attached.as_ref()?;
        Some(Path {
            mount: mount.upgrade()?,
            dentry: Arc::clone(dentry),
        })
    }

    /// The mount on a dentry of this mount.
    #[must_use]
    pub fn child_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Self>> {
        self.children.read().get(&key(dentry)).cloned()
    }

    /// The mounts on this mount, in the order of their making.
    #[must_use]
    pub fn children(&self) -> Vec<Arc<Self>> {
        let mut all: Vec<_> = self.children.read().values().cloned().collect();
        all.sort_by_key(|m| m.id);
        all
    }

    pub(crate) fn has_children(&self) -> bool {
        !self.children.read().is_empty()
    }

    /// Attaches this mount; the place must be free.
    pub(crate) fn attach(self: &Arc<Self>, at: &Path) {
        at.dentry.add_mount();
        if let Some(trackers) = at.mount.sb.trackers() {
            for mount in self.tree() {
                mount.sb.set_trackers(trackers);
            }
        }
        self.anonymous.store(false, Ordering::Release);
        *self.attached.lock() = Some((Arc::downgrade(&at.mount), Arc::clone(&at.dentry)));
        at.mount
            .children
            .write()
            .insert(key(&at.dentry), Arc::clone(self));
    }

    /// Detaches this mount from its place.
    pub(crate) fn detach(&self) {
        let Some((mount, dentry)) = self.attached.lock().take() else {
            return;
        };
        if let Some(mount) = mount.upgrade() {
            mount.children.write().remove(&key(&dentry));
        }
        dentry.remove_mount();
    }

    /// The topmost mount that this one hangs on, or itself.
    pub(crate) fn top(self: &Arc<Self>) -> Arc<Self> {
        let mut at = Arc::clone(self);
        while let Some(up) = at.attached() {
            at = up.mount;
        }
        at
    }

    /// Sizes and limits of the file system.
    pub fn statfs(&self) -> Result<StatFs> {
        self.fs().statfs()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some((_, dentry)) = self.attached.get_mut().take() {
            dentry.remove_mount();
        }
        self.sb.unmounted();
    }
}
