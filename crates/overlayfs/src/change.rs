//! Making and removing names.

use crate::{
    Attributes, OverlayFs, WHITEOUT, is_whiteout,
    lookup::index_name,
    node::{Node, Real},
    read_real_dir,
};
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, FileType, InodeRef, NewInode, NewKind, RenameFlags};

impl OverlayFs {
    /// Whether the upper directory hides `name` by a whiteout; `EEXIST` if it has a real entry.
    fn hidden_by_whiteout(&self, cx: &Cx, dir: &InodeRef, name: &[u8]) -> Result<bool> {
        match dir.lookup(cx, name) {
            Ok(found) if is_whiteout(cx, &found)? => Ok(true),
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// A name that is about to be made must not show.
    fn must_be_free(&self, cx: &Cx, dir: &Arc<Node>, name: &[u8]) -> Result<()> {
        match self.lookup(cx, dir, name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e),
        }
    }

    pub(crate) fn create(
        &self,
        cx: &Cx,
        dir: &Arc<Node>,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<Arc<Node>> {
        let _tree = self.tree.lock();
        if !dir.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        // A whiteout of the guest's own would not show: Linux refuses it too.
        if self.is_work_name(dir, name) || new.kind == WHITEOUT.kind {
            return Err(Errno::EPERM);
        }
        self.must_be_free(cx, dir, name)?;
        let upper = self.copy_up_locked(cx, dir, u64::MAX)?;
        let inode = if self.hidden_by_whiteout(cx, &upper, name)? {
            self.create_over_whiteout(cx, &upper, name, new)?
        } else {
            upper.create(cx, name, new)?
        };
        let real = Real {
            upper: Some(inode),
            lowers: Vec::new(),
        };
        let node = self.node(cx, real, Some((Arc::clone(dir), name.to_vec())), None)?;
        dir.changed();
        Ok(node)
    }

    /// Makes an object in place of a whiteout, in one step; a directory hides what the whiteout hid.
    fn create_over_whiteout(
        &self,
        cx: &Cx,
        dir: &InodeRef,
        name: &[u8],
        new: &NewInode<'_>,
    ) -> Result<InodeRef> {
        let tmp = &self.work(cx)?.tmp;
        let tmp_name = self.tmp_name();
        let inode = tmp.create(cx, &tmp_name, new)?;
        if !matches!(new.kind, NewKind::Directory) {
            tmp.rename(cx, &tmp_name, dir, name, RenameFlags::empty())?;
            return Ok(inode);
        }
        self.options.attributes.set_opaque(cx, &inode)?;
        tmp.rename(cx, &tmp_name, dir, name, RenameFlags::EXCHANGE)?;
        tmp.unlink(cx, &tmp_name)?;
        Ok(inode)
    }

    pub(crate) fn link(
        &self,
        cx: &Cx,
        dir: &Arc<Node>,
        name: &[u8],
        target: &Arc<Node>,
    ) -> Result<()> {
        if target.is_dir() {
            return Err(Errno::EPERM);
        }
        let _tree = self.tree.lock();
        self.must_be_free(cx, dir, name)?;
        let inode = self.copy_up_locked(cx, target, u64::MAX)?;
        let upper = self.copy_up_locked(cx, dir, u64::MAX)?;
        if self.hidden_by_whiteout(cx, &upper, name)? {
            let tmp = &self.work(cx)?.tmp;
            let tmp_name = self.tmp_name();
            tmp.link(cx, &tmp_name, &inode)?;
            tmp.rename(cx, &tmp_name, &upper, name, RenameFlags::empty())?;
        } else {
            upper.link(cx, name, &inode)?;
        }
        if self.options.attributes.origin(cx, &inode)?.is_some() {
            self.options.attributes.set_impure(cx, &upper)?;
        }
        self.count_names(cx, target, 1)?;
        target.found(target.real(), Some((Arc::clone(dir), name.to_vec())));
        dir.changed();
        Ok(())
    }

    /// The number of names of an indexed file changes; its index entry goes with the last.
    pub(crate) fn count_names(&self, cx: &Cx, node: &Arc<Node>, by: i32) -> Result<()> {
        let names = match node.names(cx)? {
            Some(names) if self.options.index => names,
            _ => return Ok(()),
        };
        let upper = self.copy_up_locked(cx, node, u64::MAX)?;
        let names = names.saturating_add_signed(by);
        self.options.attributes.set_names(cx, &upper, names)?;
        node.set_names(names);
        if names == 0 {
            let Some(index) = &self.work(cx)?.index else {
                return Ok(());
            };
            match index.unlink(cx, &index_name(node.ino)) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Puts a whiteout at `name`, over whatever file the upper directory has there.
    pub(crate) fn white_out(
        &self,
        cx: &Cx,
        dir: &InodeRef,
        name: &[u8],
        replace: bool,
    ) -> Result<()> {
        if !replace {
            dir.create(cx, name, &WHITEOUT)?;
            return Ok(());
        }
        let tmp = &self.work(cx)?.tmp;
        let tmp_name = self.tmp_name();
        tmp.create(cx, &tmp_name, &WHITEOUT)?;
        tmp.rename(cx, &tmp_name, dir, name, RenameFlags::empty())
    }

    pub(crate) fn unlink(&self, cx: &Cx, dir: &Arc<Node>, name: &[u8]) -> Result<()> {
        let _tree = self.tree.lock();
        let node = self.lookup(cx, dir, name)?;
        if node.is_dir() {
            return Err(Errno::EISDIR);
        }
        let upper = self.copy_up_locked(cx, dir, u64::MAX)?;
        // Names of a file with links are counted before one goes: the copy may need that very name.
        self.count_names(cx, &node, -1)?;
        let in_upper = match upper.lookup(cx, name) {
            Ok(_) => true,
            Err(Errno::ENOENT) => false,
            Err(e) => return Err(e),
        };
        if self.has_lower(cx, dir, name)? {
            self.white_out(cx, &upper, name, in_upper)?;
        } else {
            upper.unlink(cx, name)?;
        }
        node.lost_place(dir, name);
        dir.changed();
        Ok(())
    }

    pub(crate) fn rmdir(&self, cx: &Cx, dir: &Arc<Node>, name: &[u8]) -> Result<()> {
        let _tree = self.tree.lock();
        let node = self.lookup(cx, dir, name)?;
        if !node.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        if !self.listing(cx, &node)?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        let upper = self.copy_up_locked(cx, dir, u64::MAX)?;
        let below = self.has_lower(cx, dir, name)?;
        match node.upper() {
            Some(victim) if below => {
                let hides = self.options.attributes != Attributes::Unavailable;
                if !hides && self.has_entries(cx, &victim)? {
                    // Linux hides what the whiteouts in it hide by an opaque directory for a moment.
                    return Err(Errno::EIO);
                }
                let tmp = &self.work(cx)?.tmp;
                let tmp_name = self.tmp_name();
                tmp.create(cx, &tmp_name, &WHITEOUT)?;
                tmp.rename(cx, &tmp_name, &upper, name, RenameFlags::EXCHANGE)?;
                self.clear_directory(cx, &victim)?;
                tmp.rmdir(cx, &tmp_name)?;
            }
            Some(victim) => {
                // What is left in it are whiteouts.
                self.clear_directory(cx, &victim)?;
                upper.rmdir(cx, name)?;
            }
            None => self.white_out(cx, &upper, name, false)?,
        }
        node.lost_place(dir, name);
        dir.changed();
        Ok(())
    }

    /// Whether the upper layer, if there is one, takes whiteouts: without them nothing could be removed.
    pub(crate) fn check_whiteouts(&self, cx: &Cx) -> Result<()> {
        if self.upper.is_none() {
            return Ok(());
        }
        let tmp = &self.work(cx)?.tmp;
        let name = self.tmp_name();
        tmp.create(cx, &name, &WHITEOUT)?;
        tmp.unlink(cx, &name)
    }

    fn has_entries(&self, cx: &Cx, dir: &InodeRef) -> Result<bool> {
        let mut any = false;
        read_real_dir(cx, dir, |_| any = true)?;
        Ok(any)
    }

    /// What kind of upper entry stands at a name, if any.
    pub(crate) fn upper_kind(
        &self,
        cx: &Cx,
        dir: &InodeRef,
        name: &[u8],
    ) -> Result<Option<FileType>> {
        match dir.lookup(cx, name) {
            Ok(found) => Ok(Some(found.kind())),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }
}
