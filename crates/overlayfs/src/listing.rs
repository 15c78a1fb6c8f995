//! The merged entries of a directory.

use crate::{OverlayFs, is_whiteout, node::Node, read_real_dir};
use rustc_hash::FxHashSet;
use std::sync::Arc;
use tuxlet_uapi::errno::Result;
use tuxlet_vfs::{Cx, FileType, InodeRef};

/// An entry of a merged directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Box<[u8]>,
    pub(crate) ino: u64,
    pub(crate) kind: FileType,
}

impl OverlayFs {
    /// The entries of `dir`, upper ones first; kept until the directory changes.
    pub(crate) fn listing(&self, cx: &Cx, dir: &Node) -> Result<Arc<Vec<Entry>>> {
        let version = dir.version();
        if let Some(known) = dir.cached_listing(version) {
            return Ok(known);
        }
        let real = dir.real();
        let mut seen: FxHashSet<Box<[u8]>> = FxHashSet::default();
        let mut entries = Vec::new();
        if let Some(upper) = &real.upper {
            let impure = self.options.attributes.is_impure(cx, upper)?;
            for e in self.real_entries(cx, upper)? {
                if self.is_work_name(dir, &e.name) {
                    continue;
                }
                seen.insert(e.name.clone());
                if e.kind == FileType::CharDevice || impure {
                    let inode = upper.lookup(cx, &e.name)?;
                    if is_whiteout(cx, &inode)? {
                        continue;
                    }
                    let ino = match self.origin(cx, &real, &e.name, &inode)? {
                        Some((layer, ino)) => Self::lower_ino(layer, ino),
                        None => e.ino,
                    };
                    entries.push(Entry { ino, ..e });
                } else {
                    entries.push(e);
                }
            }
        }
        for lower in &real.lowers {
            for e in self.real_entries(cx, &lower.inode)? {
                if self.is_work_name(dir, &e.name) || !seen.insert(e.name.clone()) {
                    continue;
                }
                if e.kind == FileType::CharDevice
                    && is_whiteout(cx, &lower.inode.lookup(cx, &e.name)?)?
                {
                    continue;
                }
                entries.push(Entry {
                    ino: Self::lower_ino(lower.layer, e.ino),
                    ..e
                });
            }
        }
        let entries = Arc::new(entries);
        dir.cache_listing(version, &entries);
        Ok(entries)
    }

    fn real_entries(&self, cx: &Cx, dir: &InodeRef) -> Result<Vec<Entry>> {
        let mut out = Vec::new();
        read_real_dir(cx, dir, |e| {
            out.push(Entry {
                name: e.name.into(),
                ino: e.ino,
                kind: e.kind,
            });
        })?;
        Ok(out)
    }
}
