//! The VFS' view of a node.

use crate::{
    dir::OpenDir,
    file::OpenFile,
    node::{Content, Node},
};
use std::{any::Any, sync::Arc};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{
    Anchor, Attr, Cx, FileOps, FileSystem, FileType, Inode, InodeId, InodeRef, Link, NewInode,
    RenameFlags, SetAttr, SetTime,
};

impl Inode for Node {
    fn fs(&self) -> Arc<dyn FileSystem> {
        self.store.file_system()
    }
    fn id(&self) -> InodeId {
        InodeId {
            dev: self.store.dev,
            ino: self.ino,
        }
    }
    fn kind(&self) -> FileType {
        self.kind
    }
    fn attr(&self, _: &Cx) -> Result<Attr> {
        self.stat()
    }
    fn accessed(&self, cx: &Cx, always: bool) {
        self.note_access(cx.now, always);
    }
    fn anchor(&self) -> &Anchor {
        &self.anchor
    }
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lookup(&self, _: &Cx, name: &[u8]) -> Result<InodeRef> {
        Ok(self.find(name)?)
    }
    fn create(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
        Ok(self.make(cx, name, new)?)
    }
    fn tmpfile(&self, cx: &Cx, new: &NewInode<'_>) -> Result<InodeRef> {
        Ok(self.make_unnamed(cx, new)?)
    }
    fn link(&self, cx: &Cx, name: &[u8], target: &InodeRef) -> Result<()> {
        self.add_link(cx, name, target)
    }
    fn unlink(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        self.remove(cx, name, false)
    }
    fn rmdir(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        self.remove(cx, name, true)
    }
    fn rename(
        &self,
        cx: &Cx,
        name: &[u8],
        new_dir: &InodeRef,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        self.move_to(cx, name, new_dir, new_name, flags)
    }
    fn readlink(&self, _: &Cx) -> Result<Link> {
        match &self.content {
            Content::Symlink(target) => Ok(Link::Path(target.to_vec())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn set_attr(&self, cx: &Cx, set: &SetAttr) -> Result<()> {
        self.store.will_change()?;
        if let Some(size) = set.size {
            match &self.content {
                Content::Regular(_) => self.truncate(cx, size)?,
                Content::Directory(_) => return Err(Errno::EISDIR),
                _ => return Err(Errno::EINVAL),
            }
        }
        let mut meta = self.meta.lock();
        if let Some(mode) = set.mode {
            meta.mode = mode & 0o7777;
        }
        if let Some(uid) = set.uid {
            meta.uid = uid;
        }
        if let Some(gid) = set.gid {
            meta.gid = gid;
        }
        let time = |t: SetTime| match t {
            SetTime::Now => cx.now,
            SetTime::At(t) => t,
        };
        if let Some(t) = set.atime {
            meta.atime = time(t);
        }
        if let Some(t) = set.mtime {
            meta.mtime = time(t);
        }
        meta.ctime = cx.now;
        self.changed(&mut meta);
        Ok(())
    }

    fn open(&self, _: &Cx, _: u32) -> Result<Arc<dyn FileOps>> {
        match &self.content {
            Content::Regular(_) => Ok(Arc::new(OpenFile {
                node: self.strong(),
            })),
            Content::Directory(_) => Ok(Arc::new(OpenDir {
                node: self.strong(),
            })),
            Content::Symlink(_) => Err(Errno::ELOOP),
            Content::Special => Err(Errno::ENXIO),
        }
    }

    fn get_xattr(&self, _: &Cx, name: &[u8]) -> Result<Vec<u8>> {
        self.xattr(name)
    }
    fn set_xattr(&self, cx: &Cx, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        self.put_xattr(cx, name, value, flags)
    }
    fn list_xattr(&self, _: &Cx) -> Result<Vec<Vec<u8>>> {
        self.xattr_names()
    }
    fn remove_xattr(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        self.delete_xattr(cx, name)
    }
}
