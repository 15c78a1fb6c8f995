//! Finding a name in the layers.

use crate::{
    OverlayFs, is_whiteout,
    node::{Node, Real},
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

/// What tells objects apart in memory: the real inode that shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// The upper layer's inode number.
    Upper(u64),
    /// A lower layer and its inode number.
    Lower(usize, u64),
    /// The same of a file with several names, each of which gets a copy of its own: with the name and its directory.
    Name(usize, u64, u64, Box<[u8]>),
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
            Some(upper) => self.options.attributes.is_opaque(cx, upper)?,
            None => false,
        };
        for (layer, inode) in self.lowers.iter().enumerate() {
            if hidden {
                break;
            }
            hidden = self.options.attributes.is_opaque(cx, inode)?;
            lowers.push(Lower {
                layer,
                inode: Arc::clone(inode),
            });
        }
        let real = Real { upper, lowers };
        let origin = match &real.upper {
            Some(upper) => self.options.attributes.origin(cx, upper)?,
            None => None,
        };
        self.node(cx, real, None, origin)
    }

    /// Where an entry of the upper layer was copied from, as far as that is to be believed.
    pub(crate) fn origin(
        &self,
        cx: &Cx,
        dir: &Real,
        name: &[u8],
        upper: &InodeRef,
    ) -> Result<Option<(usize, u64)>> {
        let Some(origin) = self.options.attributes.origin(cx, upper)? else {
            return Ok(None);
        };
        if self.options.own_upper {
            return Ok(Some(origin));
        }
        // The layer may have been over others, whose numbers mean nothing here.
        let Some(layer) = dir.lowers.iter().find(|l| l.layer == origin.0) else {
            return Ok(None);
        };
        let found = optional(layer.inode.lookup(cx, name))?;
        let same = found.is_some_and(|i| i.id().ino == origin.1 && i.kind() == upper.kind());
        Ok(same.then_some(origin))
    }

    /// Under what a lower object is known.
    fn lower_key(
        &self,
        cx: &Cx,
        lower: &Lower,
        place: Option<&(Arc<Node>, Vec<u8>)>,
    ) -> Result<Key> {
        let ino = lower.inode.id().ino;
        Ok(match place {
            Some((dir, name))
                if !self.options.index
                    && lower.inode.kind() != FileType::Directory
                    && lower.inode.attr(cx)?.nlink > 1 =>
            {
                Key::Name(lower.layer, ino, dir.ino, name.as_slice().into())
            }
            _ => Key::Lower(lower.layer, ino),
        })
    }

    /// The node of an object, the one in memory if there is one. `place` is where it has been found, `origin` what an upper one was
    /// copied from.
    pub(crate) fn node(
        &self,
        cx: &Cx,
        mut real: Real,
        place: Option<(Arc<Node>, Vec<u8>)>,
        origin: Option<(usize, u64)>,
    ) -> Result<Arc<Node>> {
        let upper_key = |upper: &InodeRef| Key::Upper(upper.id().ino);
        let mut key = match (&real.upper, real.lowers.first()) {
            (Some(upper), _) => upper_key(upper),
            (None, Some(lower)) => self.lower_key(cx, lower, place.as_ref())?,
            (None, None) => return Err(Errno::ENOENT),
        };
        let ino = match (&real.upper, origin, real.lowers.first()) {
            (None, _, Some(lower)) => Self::lower_ino(lower.layer, lower.inode.id().ino),
            (_, Some((layer, ino)), _) => Self::lower_ino(layer, ino),
            _ => real.top()?.id().ino,
        };
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(&key).and_then(Weak::upgrade) {
            drop(nodes);
            node.found(real, place);
            return Ok(node);
        }
        drop(nodes);
        // A name that is still in a lower layer, of a file that was copied up under another name?
        if real.upper.is_none()
            && let Some(lower) = real.lowers.first()
            && lower.inode.kind() != FileType::Directory
            && let Some(index) = self.known_index()
            && lower.inode.attr(cx)?.nlink > 1
            && let Some(upper) = optional(index.lookup(cx, &index_name(ino)))?
        {
            key = upper_key(&upper);
            real.upper = Some(upper);
        }
        nodes = self.nodes.lock();
        if let Some(node) = nodes.get(&key).and_then(Weak::upgrade) {
            drop(nodes);
            node.found(real, place);
            return Ok(node);
        }
        let fs = self.myself.upgrade().ok_or(Errno::ESTALE)?;
        let node = Node::new(fs, ino, key.clone(), real, place)?;
        nodes.insert(key, Arc::downgrade(&node));
        Ok(node)
    }

    /// A node is about to appear in the upper layer as `copy`.
    pub(crate) fn known_as(&self, node: &Arc<Node>, copy: &InodeRef) {
        let mut nodes = self.nodes.lock();
        nodes.insert(Key::Upper(copy.id().ino), Arc::downgrade(node));
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
                || self.options.attributes.is_opaque(cx, &found)?;
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
            hidden = !is_dir || self.options.attributes.is_opaque(cx, &inode)?;
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
        let origin = match &upper {
            Some(upper) => self.origin(cx, &parent, name, upper)?,
            None => None,
        };
        self.node(
            cx,
            Real { upper, lowers },
            Some((Arc::clone(dir), name.to_vec())),
            origin,
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

    /// Forgets a node that has died, unless another one has taken its place.
    pub(crate) fn forget(&self, upper: Option<Key>, first: &Key) {
        let mut nodes = self.nodes.lock();
        for key in upper.iter().chain([first]) {
            if nodes.get(key).is_some_and(|n| n.strong_count() == 0) {
                nodes.remove(key);
            }
        }
    }
}

/// The name of a file in the index directory.
pub(crate) fn index_name(ino: u64) -> Vec<u8> {
    format!("{ino:016x}").into_bytes()
}
