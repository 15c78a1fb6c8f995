//! Directories of a mounted file system as another one uses them: the layers of an overlay.
//!
//! A file system knows nothing of the names that the VFS caches above it. Who changes directories of one that may be in
//! use goes through these: they keep the cache true. As in Linux, a layer is a private mount of its directory, which stays when the
//! one that it was found through goes.

use crate::{
    attr::{Attr, FileType, SetAttr},
    cx::Cx,
    dentry::Dentry,
    file_ops::FileOps,
    inode::{Anchor, FileSystem, Inode, InodeId, InodeRef, Link, NewInode, RenameFlags},
    mount::Mount,
    path::Path,
    rename::lock_both,
};
use std::{any::Any, sync::Arc};
use tuxlet_uapi::errno::{Errno, Result};

/// A directory of a layer.
#[derive(Debug)]
struct LayerDir {
    mount: Arc<Mount>,
    dentry: Arc<Dentry>,
}

/// The directory at a path as a layer; what is mounted below it does not show. `ENOTDIR` for anything else.
pub fn of(path: &Path) -> Result<InodeRef> {
    if !path.dentry.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    let (sb, root) = (path.mount.super_block(), Arc::clone(&path.dentry));
    let mount = Mount::of(sb, root, path.mount.flags(), b"layer");
    Ok(Arc::new(LayerDir {
        mount,
        dentry: Arc::clone(&path.dentry),
    }))
}

impl LayerDir {
    fn inode(&self) -> &InodeRef {
        self.dentry.inode()
    }

    /// A directory goes on being one of the layer; other files are what they are.
    fn wrap(&self, dentry: &Arc<Dentry>) -> InodeRef {
        if dentry.is_dir() {
            Arc::new(Self {
                mount: Arc::clone(&self.mount),
                dentry: Arc::clone(dentry),
            })
        } else {
            Arc::clone(dentry.inode())
        }
    }

    /// Removes an entry by `remove` and tells the cache.
    fn take_away(&self, cx: &Cx, name: &[u8], remove: impl FnOnce() -> Result<()>) -> Result<()> {
        self.mount.want_write()?;
        let _dir = self.dentry.lock_dir();
        let victim = self.dentry.lookup_locked(cx, name)?;
        if victim.is_mountpoint() {
            return Err(Errno::EBUSY);
        }
        remove()?;
        self.dentry.removed(&victim);
        Ok(())
    }
}

impl Inode for LayerDir {
    fn fs(&self) -> Arc<dyn FileSystem> {
        self.inode().fs()
    }
    fn id(&self) -> InodeId {
        self.inode().id()
    }
    fn kind(&self) -> FileType {
        FileType::Directory
    }
    fn attr(&self, cx: &Cx) -> Result<Attr> {
        self.inode().attr(cx)
    }
    fn anchor(&self) -> &Anchor {
        self.inode().anchor()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lookup(&self, cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        Ok(self.wrap(&self.dentry.lookup(cx, name)?))
    }
    fn create(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
        self.mount.want_write()?;
        let _dir = self.dentry.lock_dir();
        let inode = self.inode().create(cx, name, new)?;
        Ok(self.wrap(&self.dentry.adopt(name, inode)))
    }
    fn tmpfile(&self, cx: &Cx, new: &NewInode<'_>) -> Result<InodeRef> {
        self.mount.want_write()?;
        self.inode().tmpfile(cx, new)
    }
    fn link(&self, cx: &Cx, name: &[u8], target: &InodeRef) -> Result<()> {
        self.mount.want_write()?;
        let _dir = self.dentry.lock_dir();
        self.inode().link(cx, name, target)?;
        self.dentry.adopt(name, Arc::clone(target));
        Ok(())
    }
    fn unlink(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        self.take_away(cx, name, || self.inode().unlink(cx, name))
    }
    fn rmdir(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        self.take_away(cx, name, || self.inode().rmdir(cx, name))
    }
    fn rename(
        &self,
        cx: &Cx,
        name: &[u8],
        new_dir: &InodeRef,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        let to = new_dir.as_any().downcast_ref::<Self>();
        let to = &to.ok_or(Errno::EXDEV)?.dentry;
        let from = &self.dentry;
        self.mount.want_write()?;
        let _tree = from.super_block().rename_lock.lock();
        let _both = lock_both(from, to);
        let source = from.lookup_locked(cx, name)?;
        let target = match to.lookup_locked(cx, new_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(e) => return Err(e),
        };
        if source.is_mountpoint() || target.as_ref().is_some_and(|t| t.is_mountpoint()) {
            return Err(Errno::EBUSY);
        }
        from.inode().rename(cx, name, to.inode(), new_name, flags)?;
        match &target {
            Some(target) if flags.contains(RenameFlags::EXCHANGE) => {
                Dentry::exchanged(from, &source, to, target);
            }
            replaced => {
                if let Some(target) = replaced {
                    to.removed(target);
                }
                from.moved(&source, to, new_name);
                if flags.contains(RenameFlags::WHITEOUT) {
                    from.forget_unknown(name);
                }
            }
        }
        Ok(())
    }
    fn readlink(&self, cx: &Cx) -> Result<Link> {
        self.inode().readlink(cx)
    }
    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        self.mount.want_write()?;
        self.inode().set_attr(cx, set)
    }
    fn accessed(&self, cx: &Cx, always: bool) {
        self.inode().accessed(cx, always);
    }
    fn permission(&self, cx: &Cx, mask: u32) -> Option<Result<()>> {
        self.inode().permission(cx, mask)
    }
    fn open(&self, cx: &Cx, flags: u32) -> Result<Arc<dyn FileOps>> {
        self.inode().open(cx, flags)
    }

    fn get_xattr(&self, cx: &Cx, name: &[u8]) -> Result<Vec<u8>> {
        self.inode().get_xattr(cx, name)
    }
    fn set_xattr(&self, cx: &Cx, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        self.mount.want_write()?;
        self.inode().set_xattr(cx, name, value, flags)
    }
    fn list_xattr(&self, cx: &Cx) -> Result<Vec<Vec<u8>>> {
        self.inode().list_xattr(cx)
    }
    fn remove_xattr(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        self.mount.want_write()?;
        self.inode().remove_xattr(cx, name)
    }
}
