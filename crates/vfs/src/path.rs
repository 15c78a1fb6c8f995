//! A place in the tree of mounts, and its printed form.

use crate::{
    attr::Attr,
    cx::Cx,
    dentry::Dentry,
    inode::InodeRef,
    mount::{Mount, MountFlags},
};
use std::sync::Arc;
use tuxlet_uapi::errno::Result;

/// A dentry seen through a mount.
#[derive(Clone, Debug)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The name in the mounted file system.
    pub dentry: Arc<Dentry>,
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}
impl Eq for Path {}

/// How [`Path::print`] relates to the root that it was asked to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Below the root.
    Inside,
    /// Not below the root: getcwd(2) says "(unreachable)".
    Outside,
}

impl Path {
    /// A path of its parts.
    #[must_use]
    pub fn new(mount: Arc<Mount>, dentry: Arc<Dentry>) -> Self {
        Self { mount, dentry }
    }

    /// A path for an inode without a name on an internal mount: memfd_create(2).
    #[must_use]
    pub fn nameless(mount: &Arc<Mount>, inode: InodeRef, label: &[u8]) -> Self {
        let dentry = Dentry::nameless(mount.super_block(), inode, label, None);
        Self {
            mount: Arc::clone(mount),
            dentry,
        }
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &InodeRef {
        self.dentry.inode()
    }

    /// Attributes of the inode.
    pub fn attr(&self, cx: &Cx) -> Result<Attr> {
        self.inode().attr(cx)
    }

    /// Lets the file system update the access time, if the mount has one.
    pub(crate) fn accessed(&self, cx: &Cx) {
        let flags = self.mount.flags();
        let quiet = flags.contains(MountFlags::NOATIME)
            || (flags.contains(MountFlags::NODIRATIME) && self.dentry.is_dir());
        if !quiet && !self.mount.read_only() {
            let always = !flags.contains(MountFlags::RELATIME);
            self.inode().accessed(cx, always);
        }
    }

    /// Whether both are the same name on the same mount.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }

    /// Whether this is the root of its mount.
    #[must_use]
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(self.mount.root(), &self.dentry)
    }

    /// What is mounted on top here, or the path itself.
    #[must_use]
    pub fn cross_mounts(mut self) -> Self {
        while self.dentry.is_mountpoint() {
            let Some(top) = self.mount.child_at(&self.dentry) else {
                break;
            };
            let dentry = Arc::clone(top.root());
            self = Self { mount: top, dentry };
        }
        self
    }

    /// The parent directory, not above `root`, crossing mounts; itself at `root` and at the very top.
    #[must_use]
    pub fn parent(&self, root: &Self) -> Self {
        let mut at = self.clone();
        loop {
            if at.is(root) {
                return at;
            }
            if !at.is_mount_root() {
                break;
            }
            match at.mount.attached() {
                Some(up) => at = up,
                None => return at,
            }
        }
        match at.dentry.parent() {
            Some(parent) => Self {
                mount: at.mount,
                dentry: parent,
            }
            .cross_mounts(),
            None => at,
        }
    }

    /// Whether this is `above` or lies below it, mounts included.
    #[must_use]
    pub fn is_below(&self, above: &Self) -> bool {
        self.print_parts(above).1 == Reach::Inside
    }

    fn print_parts(&self, root: &Self) -> (Vec<Arc<[u8]>>, Reach) {
        let mut parts = Vec::new();
        let mut mount = Arc::clone(&self.mount);
        let mut dentry = Arc::clone(&self.dentry);
        loop {
            if Arc::ptr_eq(&mount, &root.mount) && Arc::ptr_eq(&dentry, &root.dentry) {
                return (parts, Reach::Inside);
            }
            if Arc::ptr_eq(mount.root(), &dentry) {
                match mount.attached() {
                    Some(up) => (mount, dentry) = (up.mount, up.dentry),
                    None => return (parts, Reach::Outside),
                }
                continue;
            }
            let (name, parent) = dentry.place();
            parts.push(name);
            match parent {
                Some(p) => dentry = p,
                None => return (parts, Reach::Outside),
            }
        }
    }

    /// The absolute path as seen from `root`, and whether it lies inside.
    #[must_use]
    pub fn print(&self, root: &Self) -> (Vec<u8>, Reach) {
        let (parts, reach) = self.print_parts(root);
        let mut out = Vec::new();
        for part in parts.iter().rev() {
            out.push(b'/');
            out.extend_from_slice(part);
        }
        if out.is_empty() {
            out.push(b'/');
        }
        (out, reach)
    }

    /// The path from the top of the mounts on.
    #[must_use]
    pub fn absolute(&self) -> Vec<u8> {
        let top = self.mount.top();
        let dentry = Arc::clone(top.root());
        self.print(&Self { mount: top, dentry }).0
    }

    /// What `/proc/PID/fd/N`, `exe` and `maps` show: the path, with " (deleted)" behind a removed name.
    #[must_use]
    pub fn d_path(&self, root: &Self) -> Vec<u8> {
        let (mut out, _) = self.print(root);
        if self.dentry.is_unlinked() {
            out.extend_from_slice(b" (deleted)");
        }
        out
    }

    /// What getcwd(2) returns, without the final NUL: `ENOENT` in a removed directory, "(unreachable)" before
    /// the path of a directory outside the root.
    pub fn getcwd(&self, root: &Self) -> Result<Vec<u8>> {
        if self.dentry.is_unlinked() {
            return Err(tuxlet_uapi::errno::ENOENT);
        }
        let (out, reach) = self.print(root);
        Ok(match reach {
            Reach::Inside => out,
            Reach::Outside => [b"(unreachable)".as_slice(), &out].concat(),
        })
    }
}
