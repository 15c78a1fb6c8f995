//! The `cgroup2` file system: groups as directories.

use super::{Cgroup, Cgroups};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{
    Attr, Cx, DeviceId, FileOps, FileSystem, FileType, Inode, InodeRef, NewInode, NewKind, StatFs,
    attr::SetAttr, node_inode, pseudo::SnapshotDir,
};

impl Inode for Cgroup {
    node_inode!();

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        let children = self.state.lock().children.len();
        Ok(Attr {
            nlink: u32::try_from(children + 2).unwrap_or(u32::MAX),
            ..self.node.attr()
        })
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        self.node.set_attr(cx, set)
    }

    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        if let Some(file) = self.file(name) {
            return Ok(file);
        }
        let child = self.state.lock().children.get(name).cloned();
        child.map(|c| c as InodeRef).ok_or(Errno::ENOENT)
    }

    fn create(&self, _cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
        match new.kind {
            NewKind::Directory => {
                let me = self.myself().ok_or(Errno::ENODEV)?;
                me.make_child(name, new.mode, (new.uid, new.gid))
            }
            NewKind::Regular => Err(Errno::EACCES),
            _ => Err(Errno::EPERM),
        }
    }

    fn rmdir(&self, _cx: &Cx, name: &[u8]) -> Result<()> {
        self.myself().ok_or(Errno::ENODEV)?.remove_child(name)
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        let state = self.state.lock();
        let files = state
            .files
            .iter()
            .map(|(name, f)| (name.as_bytes().to_vec(), f.id().ino, FileType::Regular));
        let children = state
            .children
            .iter()
            .map(|(name, c)| (name.to_vec(), c.node.id().ino, FileType::Directory));
        let entries = files.chain(children).collect();
        Ok(Arc::new(SnapshotDir::new(self.node.attr(), entries)))
    }
}

impl Cgroup {
    fn myself(&self) -> Option<Arc<Self>> {
        self.cpu.cgroup()
    }

    /// The group behind a directory of this file system, for `CLONE_INTO_CGROUP`: `EBADF` for anything else, `ENOENT` if
    /// it was removed.
    pub(crate) fn of_inode(inode: &InodeRef) -> Result<Arc<Self>> {
        let group = inode.as_any().downcast_ref::<Self>().ok_or(Errno::EBADF)?;
        if group.removed.load(Ordering::Acquire) {
            return Err(Errno::ENOENT);
        }
        group.myself().ok_or(Errno::ENODEV)
    }
}

impl Cgroups {
    /// The file system with the whole hierarchy.
    #[must_use]
    pub fn whole(&self) -> Arc<dyn FileSystem> {
        Arc::clone(&self.fs) as Arc<dyn FileSystem>
    }

    /// What mount(2) shows of the hierarchy to somebody for whom `root` is the top.
    ///
    /// `EINVAL` for mount options: delegation by namespaces (`nsdelegate`) and what Linux has beside it are absent.
    pub fn mountable(&self, root: &Arc<Cgroup>, options: &[u8]) -> Result<Arc<dyn FileSystem>> {
        if !options.is_empty() {
            return Err(Errno::EINVAL);
        }
        Ok(if Arc::ptr_eq(root, self.root()) {
            self.whole()
        } else {
            Arc::new(CgroupFs {
                whole: self.whole(),
                root: Arc::clone(root),
            })
        })
    }
}

/// The part of the file system that a cgroup namespace shows: cgroup_namespaces(7).
#[derive(Debug)]
pub struct CgroupFs {
    whole: Arc<dyn FileSystem>,
    root: Arc<Cgroup>,
}

impl FileSystem for CgroupFs {
    fn name(&self) -> &'static str {
        self.whole.name()
    }
    fn root(&self) -> InodeRef {
        Arc::clone(&self.root) as InodeRef
    }
    fn dev(&self) -> DeviceId {
        self.whole.dev()
    }
    fn statfs(&self) -> Result<StatFs> {
        self.whole.statfs()
    }
    fn caches_dentries(&self) -> bool {
        false
    }
    fn keeps_changes(&self) -> bool {
        false
    }
}
