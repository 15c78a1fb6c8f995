//! Renaming: both names come to the upper layer, and a whiteout stays where a lower one would show again.

use crate::{OverlayFs, node::Node};
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, FileType, InodeRef, RenameFlags};

impl OverlayFs {
    pub(crate) fn rename(
        &self,
        cx: &Cx,
        dir: &Arc<Node>,
        name: &[u8],
        new_dir: &Arc<Node>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        if self.is_work_name(new_dir, new_name) {
            return Err(Errno::EPERM);
        }
        let _tree = self.tree.lock();
        let node = self.lookup(cx, dir, name)?;
        let target = match self.lookup(cx, new_dir, new_name) {
            Ok(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EEXIST),
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(e) => return Err(e),
        };
        if flags.contains(RenameFlags::EXCHANGE) {
            let target = target.ok_or(Errno::ENOENT)?;
            return self.exchange(cx, (dir, name, &node), (new_dir, new_name, &target));
        }
        if let Some(target) = &target {
            if Arc::ptr_eq(target, &node) {
                return Ok(());
            }
            match (node.is_dir(), target.is_dir()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !self.listing(cx, target)?.is_empty() => {
                    return Err(Errno::ENOTEMPTY);
                }
                _ => {}
            }
        }
        self.must_move(&node)?;
        let from = self.copy_up_locked(cx, dir, u64::MAX)?;
        let to = self.copy_up_locked(cx, new_dir, u64::MAX)?;
        self.bring_name_up(cx, &node, &from, name)?;
        self.prepare_dir(cx, &node, new_dir, new_name)?;
        if let Some(target) = &target {
            self.count_names(cx, target, -1)?;
        }
        let leave_whiteout = self.has_lower(cx, dir, name)?;
        let occupied = self.upper_kind(cx, &to, new_name)?;
        if node.is_dir() {
            match occupied {
                // Empty as the guest sees it, but whiteouts may be left inside.
                Some(FileType::Directory) => {
                    self.clear_directory(cx, &to.lookup(cx, new_name)?)?;
                }
                // A whiteout: a directory cannot replace a file.
                Some(_) => to.unlink(cx, new_name)?,
                None => {}
            }
        }
        self.upper_rename(cx, &from, name, &to, new_name, leave_whiteout)?;
        if self
            .options
            .attributes
            .origin(cx, &node.expect_upper()?)?
            .is_some()
        {
            self.options.attributes.set_impure(cx, &to)?;
        }
        if let Some(target) = &target {
            target.lost_place(new_dir, new_name);
        }
        node.set_place(Some((Arc::clone(new_dir), new_name.to_vec())));
        dir.changed();
        new_dir.changed();
        Ok(())
    }

    fn exchange(
        &self,
        cx: &Cx,
        (a_dir, a_name, a): (&Arc<Node>, &[u8], &Arc<Node>),
        (b_dir, b_name, b): (&Arc<Node>, &[u8], &Arc<Node>),
    ) -> Result<()> {
        if Arc::ptr_eq(a, b) {
            return Ok(());
        }
        self.must_move(a)?;
        self.must_move(b)?;
        let a_upper = self.copy_up_locked(cx, a_dir, u64::MAX)?;
        let b_upper = self.copy_up_locked(cx, b_dir, u64::MAX)?;
        self.bring_name_up(cx, a, &a_upper, a_name)?;
        self.bring_name_up(cx, b, &b_upper, b_name)?;
        self.prepare_dir(cx, a, b_dir, b_name)?;
        self.prepare_dir(cx, b, a_dir, a_name)?;
        a_upper.rename(cx, a_name, &b_upper, b_name, RenameFlags::EXCHANGE)?;
        for dir in [&a_upper, &b_upper] {
            self.options.attributes.set_impure(cx, dir)?;
        }
        a.set_place(Some((Arc::clone(b_dir), b_name.to_vec())));
        b.set_place(Some((Arc::clone(a_dir), a_name.to_vec())));
        a_dir.changed();
        b_dir.changed();
        Ok(())
    }

    /// Whether a directory with lower parts may move at all.
    fn must_move(&self, node: &Node) -> Result<()> {
        if node.is_dir() && !self.options.move_directories && !node.real().lowers.is_empty() {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// A directory that moves takes all it has along, and hides what lies below its new place.
    fn prepare_dir(
        &self,
        cx: &Cx,
        node: &Arc<Node>,
        new_dir: &Node,
        new_name: &[u8],
    ) -> Result<()> {
        if !node.is_dir() {
            return Ok(());
        }
        self.copy_tree_up(cx, node)?;
        if self.has_lower(cx, new_dir, new_name)? {
            self.options
                .attributes
                .set_opaque(cx, &node.expect_upper()?)?;
        }
        Ok(())
    }

    /// Renames in the upper layer, perhaps leaving a whiteout.
    fn upper_rename(
        &self,
        cx: &Cx,
        from: &InodeRef,
        name: &[u8],
        to: &InodeRef,
        new_name: &[u8],
        leave_whiteout: bool,
    ) -> Result<()> {
        if !leave_whiteout {
            return from.rename(cx, name, to, new_name, RenameFlags::empty());
        }
        match from.rename(cx, name, to, new_name, RenameFlags::WHITEOUT) {
            // A layer that cannot do both at once.
            Err(Errno::EINVAL) => {
                from.rename(cx, name, to, new_name, RenameFlags::empty())?;
                self.white_out(cx, from, name, false)
            }
            other => other,
        }
    }
}
