//! Copying up: an object of a lower layer gets a copy in the upper one before its first change.
//!
//! Copies are made in the work directory and appear by a rename, so that a crash leaves either none or a whole
//! one.

use crate::{
    OverlayFs,
    lookup::{Lower, index_name},
    node::Node,
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{O_RDONLY, O_WRONLY},
};
use tuxlet_vfs::{
    Attr, Cx, FileType, InodeRef, Link, NewInode, NewKind, RenameFlags, SetAttr, SetTime,
};

/// Bytes per step of copying data.
const CHUNK: usize = 256 * 1024;

/// The times of an inode, to be set again after a change that is not the guest's.
pub(crate) fn times(attr: &Attr) -> SetAttr {
    SetAttr {
        atime: Some(SetTime::At(attr.atime)),
        mtime: Some(SetTime::At(attr.mtime)),
        ..SetAttr::default()
    }
}

impl OverlayFs {
    /// The upper inode of `node`, copied up now if there is none.
    pub(crate) fn copy_up(&self, cx: &Cx, node: &Arc<Node>) -> Result<InodeRef> {
        if let Some(upper) = node.upper() {
            return Ok(upper);
        }
        let _tree = self.tree.lock();
        self.copy_up_locked(cx, node, u64::MAX)
    }

    /// As [`OverlayFs::copy_up`], of no more data than a change of size will leave.
    pub(crate) fn copy_up_for_change(
        &self,
        cx: &Cx,
        node: &Arc<Node>,
        size: Option<u64>,
    ) -> Result<InodeRef> {
        if let Some(upper) = node.upper() {
            return Ok(upper);
        }
        let _tree = self.tree.lock();
        self.copy_up_locked(cx, node, size.unwrap_or(u64::MAX))
    }

    /// Copies up with the tree lock held, directories above first.
    pub(crate) fn copy_up_locked(&self, cx: &Cx, node: &Arc<Node>, keep: u64) -> Result<InodeRef> {
        let mut chain = Vec::new();
        let mut at = Some(Arc::clone(node));
        while let Some(n) = at.take() {
            if n.upper().is_some() {
                break;
            }
            at = n.place().map(|(parent, _)| parent);
            chain.push(n);
        }
        while let Some(n) = chain.pop() {
            self.copy_one(
                cx,
                &n,
                if Arc::ptr_eq(&n, node) {
                    keep
                } else {
                    u64::MAX
                },
            )?;
        }
        node.expect_upper()
    }

    /// Copies one object whose parent is in the upper layer.
    fn copy_one(&self, cx: &Cx, node: &Arc<Node>, keep: u64) -> Result<()> {
        let lower = node.real().lowers.first().cloned().ok_or(Errno::ESTALE)?;
        let attr = lower.inode.attr(cx)?;
        let tmp = Arc::clone(&self.work(cx)?.tmp);
        let name = self.tmp_name();
        let copy = match self.make_copy(cx, &tmp, &name, &lower, &attr, keep) {
            Ok(copy) => copy,
            Err(e) => {
                self.discard(cx, &tmp, &name, attr.kind);
                return Err(e);
            }
        };
        self.known_as(node, &copy);
        let placed = self.place_copy(cx, node, &tmp, &name, &copy, &attr);
        if let Err(e) = placed {
            self.discard(cx, &tmp, &name, attr.kind);
            return Err(e);
        }
        node.set_upper(copy);
        Ok(())
    }

    /// Copies a whole directory up and makes it opaque, so that it can move: what it has of the lower layers
    /// would otherwise stay behind. Costs as much as the tree is large.
    pub(crate) fn copy_tree_up(&self, cx: &Cx, dir: &Arc<Node>) -> Result<()> {
        let mut todo = vec![Arc::clone(dir)];
        while let Some(dir) = todo.pop() {
            let upper = self.copy_up_locked(cx, &dir, u64::MAX)?;
            if dir.real().lowers.is_empty() {
                continue;
            }
            for entry in self.listing(cx, &dir)?.iter() {
                let child = self.lookup(cx, &dir, &entry.name)?;
                self.bring_name_up(cx, &child, &upper, &entry.name)?;
                if child.is_dir() {
                    todo.push(child);
                }
            }
        }
        // Only now, with every object in the upper layer, may the lower parts go, from the top down: a crash
        // between leaves directories that are merged with copies of themselves.
        let mut todo = vec![Arc::clone(dir)];
        while let Some(dir) = todo.pop() {
            if dir.real().lowers.is_empty() {
                continue;
            }
            for entry in self
                .listing(cx, &dir)?
                .iter()
                .filter(|e| e.kind == FileType::Directory)
            {
                todo.push(self.lookup(cx, &dir, &entry.name)?);
            }
            self.options
                .attributes
                .set_opaque(cx, &dir.expect_upper()?)?;
            dir.set_opaque();
        }
        Ok(())
    }

    /// Makes sure that the upper directory has an entry `name` for the node. The node may have been copied up
    /// under another of its names.
    pub(crate) fn bring_name_up(
        &self,
        cx: &Cx,
        node: &Arc<Node>,
        dir: &InodeRef,
        name: &[u8],
    ) -> Result<()> {
        let inode = self.copy_up_locked(cx, node, u64::MAX)?;
        match dir.lookup(cx, name) {
            Ok(_) => Ok(()),
            Err(Errno::ENOENT) => {
                let before = dir.attr(cx)?;
                dir.link(cx, name, &inode)?;
                dir.set_attr(cx, &times(&before))
            }
            Err(e) => Err(e),
        }
    }

    /// Removes what an interrupted copy has left; the next mount removes what this cannot.
    fn discard(&self, cx: &Cx, tmp: &InodeRef, name: &[u8], kind: FileType) {
        let _ = if kind == FileType::Directory {
            tmp.rmdir(cx, name)
        } else {
            tmp.unlink(cx, name)
        };
    }

    fn make_copy(
        &self,
        cx: &Cx,
        tmp: &InodeRef,
        name: &[u8],
        lower: &Lower,
        attr: &Attr,
        keep: u64,
    ) -> Result<InodeRef> {
        let target;
        let kind = match attr.kind {
            FileType::Regular => NewKind::Regular,
            FileType::Directory => NewKind::Directory,
            FileType::Fifo => NewKind::Fifo,
            FileType::Socket => NewKind::Socket,
            FileType::CharDevice => NewKind::CharDevice(attr.rdev),
            FileType::BlockDevice => NewKind::BlockDevice(attr.rdev),
            FileType::Symlink => {
                target = match lower.inode.readlink(cx)? {
                    Link::Path(target) | Link::Jump(_, target) => target,
                };
                NewKind::Symlink(&target)
            }
        };
        let new = NewInode {
            kind,
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
        };
        let copy = tmp.create(cx, name, &new)?;
        if attr.kind == FileType::Regular && attr.size > 0 && keep > 0 {
            copy_data(cx, &lower.inode, &copy, attr.size.min(keep))?;
            // Writing may have cleared set-user-id bits.
            let mode = Some(attr.mode);
            copy.set_attr(
                cx,
                &SetAttr {
                    mode,
                    ..SetAttr::default()
                },
            )?;
        }
        self.copy_xattrs(cx, &lower.inode, &copy)?;
        // Links that are broken must not have one number.
        if self.options.index || attr.nlink == 1 || attr.kind == FileType::Directory {
            let ino = lower.inode.id().ino;
            let attributes = self.options.attributes;
            attributes.set_origin(cx, &copy, lower.layer, ino)?;
        }
        copy.set_attr(cx, &times(attr))?;
        Ok(copy)
    }

    /// Makes a finished copy appear under the object's name. A nameless object keeps only its inode.
    fn place_copy(
        &self,
        cx: &Cx,
        node: &Arc<Node>,
        tmp: &InodeRef,
        tmp_name: &[u8],
        copy: &InodeRef,
        attr: &Attr,
    ) -> Result<()> {
        let Some((parent, name)) = node.place() else {
            return tmp.unlink(cx, tmp_name);
        };
        let dir = parent.expect_upper()?;
        let before = dir.attr(cx)?;
        if attr.nlink > 1
            && attr.kind != FileType::Directory
            && let Some(index) = &self.work(cx)?.index
        {
            self.options.attributes.set_names(cx, copy, attr.nlink)?;
            tmp.rename(
                cx,
                tmp_name,
                index,
                &index_name(node.ino),
                RenameFlags::empty(),
            )?;
            dir.link(cx, &name, copy)?;
        } else {
            tmp.rename(cx, tmp_name, &dir, &name, RenameFlags::NOREPLACE)?;
        }
        self.options.attributes.set_impure(cx, &dir)?;
        dir.set_attr(cx, &times(&before))
    }
}

/// Copies `len` bytes, leaving zeros out.
fn copy_data(cx: &Cx, from: &InodeRef, to: &InodeRef, len: u64) -> Result<()> {
    let source = from.open(cx, O_RDONLY)?;
    let sink = to.open(cx, O_WRONLY)?;
    let mut buf = vec![0; CHUNK];
    let mut at = 0;
    let mut written = 0;
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK);
        let n = source.read_at(cx, at, &mut &mut buf[..want])?;
        if n == 0 {
            break;
        }
        if buf[..n].iter().any(|&b| b != 0) {
            let mut data = &buf[..n];
            let mut pos = at;
            while !data.is_empty() {
                let done = sink.write_at(cx, pos, &mut data)?;
                if done == 0 {
                    return Err(Errno::EIO);
                }
                pos += done as u64;
            }
            written = pos;
        }
        at += n as u64;
    }
    if written < at {
        sink.truncate(cx, at)
    } else {
        Ok(())
    }
}
