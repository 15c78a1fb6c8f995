//! Finding a name in the layers.

use crate::{
    OverlayFs, is_whiteout,
    node::{Node, Real},
    xattr,
};
use std::sync::{Arc, Weak};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, FileType, InodeRef};

/// An inode of a lower layer, with the layer's index.
#[derive(Clone, Debug)]
pub(crate) struct Lower {
    pub(crate) layer: usize,
    pub(crate) inode: InodeRef,
}

fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

impl OverlayFs {
    pub(crate) fn make_root(&self, cx: &Cx) -> Result<Arc<Node>> {
        let mut lowers = Vec::new();
        let upper = self.upper.as_ref().map(|u| Arc::clone(&u.root));
        let mut hidden = match &upper {
            Some(upper) => xattr::is_opaque(cx, upper)?,
            None => false,
        };
        for (layer, inode) in self.lowers.iter().enumerate() {
            if hidden {
                break;
            }
            hidden = xattr::is_opaque(cx, inode)?;
            lowers.push(Lower {
                layer,
                inode: Arc::clone(inode),
            });
        }
        let real = Real { upper, lowers };
        self.node(cx, real, None)
    }

    /// The node of an object, the one in memory if there is one. `place` is where it has been found.
    pub(crate) fn node(
        &self,
        cx: &Cx,
        mut real: Real,
        place: Option<(Arc<Node>, Vec<u8>)>,
    ) -> Result<Arc<Node>> {
        let kind = real.top()?.kind();
        let origin = match &real.upper {
            Some(upper) => xattr::origin(cx, upper)?,
            None => None,
        };
        let ino = match (&real.upper, origin, real.lowers.first()) {
            (Some(_), Some((layer, ino)), _) => Self::lower_ino(layer, ino),
            (Some(upper), None, _) => upper.id().ino,
            (None, _, Some(lower)) => Self::lower_ino(lower.layer, lower.inode.id().ino),
            (None, _, None) => return Err(Errno::ENOENT),
        };
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(&ino).and_then(Weak::upgrade) {
            drop(nodes);
            node.found(real, place);
            return Ok(node);
        }
        drop(nodes);
        // A name that is still in a lower layer, of a file that was copied up under another name?
        if real.upper.is_none()
            && kind != FileType::Directory
            && let Some(lower) = real.lowers.first()
            && let Some(work) = self.known_work()
            && lower.inode.attr(cx)?.nlink > 1
        {
            real.upper = optional(work.index.lookup(cx, &index_name(ino)))?;
        }
        nodes = self.nodes.lock();
        if let Some(node) = nodes.get(&ino).and_then(Weak::upgrade) {
            drop(nodes);
            node.found(real, place);
            return Ok(node);
        }
        let fs = self.myself.upgrade().ok_or(Errno::ESTALE)?;
        let node = Node::new(fs, ino, kind, real, place);
        nodes.insert(ino, Arc::downgrade(&node));
        Ok(node)
    }

    /// The entry `name` of a merged directory; `ENOENT` if no layer shows one.
    pub(crate) fn lookup(&self, cx: &Cx, dir: &Arc<Node>, name: &[u8]) -> Result<Arc<Node>> {
        if self.is_work_name(dir, name) {
            return Err(Errno::ENOENT);
        }
        let parent = dir.real();
        let mut upper = None;
        let mut hidden = false;
        if let Some(dir) = &parent.upper
            && let Some(found) = optional(dir.lookup(cx, name))?
        {
            if is_whiteout(cx, &found)? {
                return Err(Errno::ENOENT);
            }
            // Without lower parts of the parent nothing can be hidden.
            hidden = parent.lowers.is_empty()
                || found.kind() != FileType::Directory
                || xattr::is_opaque(cx, &found)?;
            upper = Some(found);
        }
        let mut lowers: Vec<Lower> = Vec::new();
        for dir in &parent.lowers {
            if hidden {
                break;
            }
            let Some(inode) = optional(dir.inode.lookup(cx, name))? else {
                continue;
            };
            if is_whiteout(cx, &inode)? {
                break;
            }
            let first = upper.is_none() && lowers.is_empty();
            let is_dir = inode.kind() == FileType::Directory;
            hidden = !is_dir || xattr::is_opaque(cx, &inode)?;
            if is_dir || first {
                lowers.push(Lower {
                    layer: dir.layer,
                    inode,
                });
            }
        }
        if upper.is_none() && lowers.is_empty() {
            return Err(Errno::ENOENT);
        }
        self.node(
            cx,
            Real { upper, lowers },
            Some((Arc::clone(dir), name.to_vec())),
        )
    }

    /// Whether a lower layer would show `name` if the upper one did not hide it.
    pub(crate) fn has_lower(&self, cx: &Cx, dir: &Node, name: &[u8]) -> Result<bool> {
        for dir in &dir.real().lowers {
            if let Some(inode) = optional(dir.inode.lookup(cx, name))? {
                return Ok(!is_whiteout(cx, &inode)?);
            }
        }
        Ok(false)
    }

    /// Forgets a node that has died, unless another one has taken its number.
    pub(crate) fn forget(&self, ino: u64) {
        let mut nodes = self.nodes.lock();
        if nodes.get(&ino).is_some_and(|n| n.strong_count() == 0) {
            nodes.remove(&ino);
        }
    }
}

/// The name of a file in the index directory.
pub(crate) fn index_name(ino: u64) -> Vec<u8> {
    format!("{ino:016x}").into_bytes()
}
