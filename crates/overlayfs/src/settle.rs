//! Making an upper layer fit to be a lower one.

use crate::{OverlayFs, read_real_dir};
use rustc_hash::FxHashSet;
use tuxlet_uapi::errno::Result;
use tuxlet_vfs::{Cx, FileType};

impl OverlayFs {
    /// Gives every name of a file with several names that was copied up its entry in the upper layer, and empties the index that
    /// stood in for those. Under another upper layer, the layer shows the same tree then. Costs a walk through the tree where there
    /// are such files, nothing otherwise. A crash meanwhile loses nothing.
    pub fn settle(&self, cx: &Cx) -> Result<()> {
        let _tree = self.tree.lock();
        let Some(index) = self.known_index() else {
            return Ok(());
        };
        let mut indexed = Vec::new();
        read_real_dir(cx, index, |e| indexed.push(e.name.to_vec()))?;
        if indexed.is_empty() {
            return Ok(());
        }
        let wanted: FxHashSet<u64> = indexed
            .iter()
            .filter_map(|name| u64::from_str_radix(std::str::from_utf8(name).ok()?, 16).ok())
            .collect();
        let mut todo = vec![self.make_root(cx)?];
        while let Some(dir) = todo.pop() {
            for entry in self.listing(cx, &dir)?.iter() {
                if entry.kind == FileType::Directory {
                    todo.push(self.lookup(cx, &dir, &entry.name)?);
                } else if wanted.contains(&entry.ino) {
                    let upper = self.copy_up_locked(cx, &dir, u64::MAX)?;
                    let file = self.lookup(cx, &dir, &entry.name)?;
                    self.bring_name_up(cx, &file, &upper, &entry.name)?;
                }
            }
        }
        for name in indexed {
            index.unlink(cx, &name)?;
        }
        Ok(())
    }
}
