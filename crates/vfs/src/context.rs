//! Where a task's path walks begin: root and working directory, and the umask.

use crate::path::Path;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The starting points of one path walk.
#[derive(Clone, Debug)]
pub struct At {
    /// Where absolute paths begin; no walk leaves it.
    pub root: Path,
    /// Where relative paths begin.
    pub dir: Path,
}

impl At {
    /// Both starting points at once, for walks on behalf of the host.
    #[must_use]
    pub fn root(root: Path) -> Self {
        Self {
            dir: root.clone(),
            root,
        }
    }
}

/// Root, working directory and umask, shared by tasks with `CLONE_FS`.
#[derive(Debug)]
pub struct FsContext {
    places: RwLock<At>,
    umask: AtomicU32,
}

impl FsContext {
    /// A context with the given root as working directory.
    #[must_use]
    pub fn new(root: Path, umask: u32) -> Self {
        Self {
            places: RwLock::new(At::root(root)),
            umask: AtomicU32::new(umask & 0o777),
        }
    }

    /// A copy, for a task without `CLONE_FS`.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            places: RwLock::new(self.at_cwd()),
            umask: AtomicU32::new(self.umask.load(Ordering::Relaxed)),
        }
    }

    /// The starting points for `AT_FDCWD`.
    #[must_use]
    pub fn at_cwd(&self) -> At {
        self.places.read().clone()
    }

    /// The starting points for a directory descriptor.
    #[must_use]
    pub fn at(&self, dir: Path) -> At {
        At {
            root: self.root(),
            dir,
        }
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Path {
        self.places.read().root.clone()
    }

    /// The working directory.
    #[must_use]
    pub fn cwd(&self) -> Path {
        self.places.read().dir.clone()
    }

    /// chroot(2), after [`crate::access::may_chroot`].
    pub fn set_root(&self, root: Path) {
        let old = std::mem::replace(&mut self.places.write().root, root);
        drop(old);
    }

    /// chdir(2), after [`crate::access::may_chdir`].
    pub fn set_cwd(&self, cwd: Path) {
        let old = std::mem::replace(&mut self.places.write().dir, cwd);
        drop(old);
    }

    /// Replaces root and working directory wherever `change` gives another path: pivot_root(2), unshare(2).
    pub fn replace(&self, change: impl Fn(&Path) -> Option<Path>) {
        let mut places = self.places.write();
        let root = change(&places.root);
        let dir = change(&places.dir);
        let old = places.clone();
        if let Some(root) = root {
            places.root = root;
        }
        if let Some(dir) = dir {
            places.dir = dir;
        }
        drop(places);
        drop(old);
    }

    /// The umask.
    #[must_use]
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Sets the umask and returns the one before: umask(2).
    pub fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Ordering::Relaxed)
    }
}
