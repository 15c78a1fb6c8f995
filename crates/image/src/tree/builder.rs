//! Archive names to tree paths: resolves symbolic links inside the tree, refuses what points outside, replaces what is there.

use std::{borrow::Cow, collections::BTreeMap, io::Read};

use super::{Meta, Special, TreeSink, merged::PRIVATE_XATTRS};
use crate::{Error, Result};

/// Longest path an entry may have, in bytes (`PATH_MAX`).
const PATH_MAX: usize = 4096;
/// Longest component, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;
/// Most symbolic links followed in one walk, as in Linux.
const SYMLINKS_MAX: u32 = 40;

#[derive(Debug)]
enum Kind {
    Directory(BTreeMap<Vec<u8>, usize>),
    Symlink(Vec<u8>),
    Other,
    /// A name that lower layers may have and this one has not: only in a tree that is a layer.
    Whiteout,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// The layer that wrote it last; whiteouts remove only what older layers wrote.
    layer: u32,
}

/// Writes archive entries to a sink, wherever their names lead *inside* the tree.
///
/// Keeps the shape of the tree (names, directories, link targets) in memory; about a hundred bytes per entry.
pub struct TreeBuilder<'a> {
    sink: &'a mut dyn TreeSink,
    nodes: Vec<Node>,
    layer: u32,
    /// Keep a symbolic link to a directory where the archive has a directory (as dpkg does).
    keep_directory_links: bool,
    /// What the layers below have, where the tree is one layer of several.
    below: Option<&'a dyn Below>,
}

/// The layers below one that is being made.
pub(crate) trait Below {
    /// The metadata of the directory at a path; `None` where there is none.
    fn directory(&self, path: &[u8]) -> Result<Option<Meta>>;
}

/// Where a name leads: its canonical path, the directory's node and the last component.
struct Place {
    parent: usize,
    path: Vec<u8>,
    name: Vec<u8>,
}

const ROOT: usize = 0;

impl<'a> TreeBuilder<'a> {
    /// Starts an empty tree with a root directory of mode 0755.
    pub fn new(sink: &'a mut dyn TreeSink) -> Result<TreeBuilder<'a>> {
        sink.directory(b"", &Meta::root(0o755))?;
        let root = Node {
            kind: Kind::Directory(BTreeMap::new()),
            layer: 0,
        };
        Ok(TreeBuilder {
            sink,
            nodes: vec![root],
            layer: 0,
            keep_directory_links: false,
            below: None,
        })
    }

    /// Says that the tree is a layer to be put over others: whiteouts are kept in it, and directories that an archive does not
    /// mention are as they are below.
    pub(crate) fn over(mut self, below: &'a dyn Below) -> Result<TreeBuilder<'a>> {
        if let Some(meta) = below.directory(b"")? {
            self.sink.directory(b"", &meta)?;
        }
        self.below = Some(below);
        Ok(self)
    }

    /// Says that directories in archives leave symbolic links to directories alone, as dpkg does.
    pub fn keep_directory_links(mut self) -> TreeBuilder<'a> {
        self.keep_directory_links = true;
        self
    }

    /// A further layer begins: whiteouts from here on remove what is there now.
    pub fn begin_layer(&mut self) {
        self.layer += 1;
    }

    /// Completes the tree.
    pub fn finish(self) -> Result<()> {
        self.sink.finish()
    }

    /// Whether the name leads to something, symbolic links followed inside the tree.
    pub fn exists(&self, name: &[u8]) -> bool {
        self.lookup(name).is_some()
    }

    /// Whether the name leads to a directory.
    pub fn is_directory(&self, name: &[u8]) -> bool {
        self.lookup(name)
            .is_some_and(|node| matches!(self.nodes[node].kind, Kind::Directory(_)))
    }

    /// Makes a directory; one that is there gets the new metadata.
    pub fn directory(&mut self, name: &[u8], meta: &Meta) -> Result<()> {
        let meta = self.own(meta);
        let meta = &*meta;
        let Some(place) = self.place(name)? else {
            return self.sink.directory(b"", meta);
        };
        let mut opaque = false;
        if let Some(node) = self.child(place.parent, &place.name) {
            let keep = match &self.nodes[node].kind {
                Kind::Directory(_) => true,
                Kind::Symlink(_) if self.keep_directory_links && self.is_directory(&place.path) => {
                    return Ok(());
                }
                _ => false,
            };
            if keep {
                self.nodes[node].layer = self.layer;
                return self.sink.directory(&place.path, meta);
            }
            // Anything but a directory hides one that is below it, and so must what comes in its place.
            opaque = self.below.is_some();
            self.remove_node(&place)?;
        }
        self.sink.directory(&place.path, meta)?;
        if opaque {
            self.sink.opaque(&place.path)?;
        }
        self.insert(&place, Kind::Directory(BTreeMap::new()));
        Ok(())
    }

    /// Metadata without what only overlayfs may say of a layer.
    fn own<'m>(&self, meta: &'m Meta) -> Cow<'m, Meta> {
        let private = |name: &[u8]| name.starts_with(PRIVATE_XATTRS);
        if self.below.is_none() || !meta.xattrs.iter().any(|(name, _)| private(name)) {
            return Cow::Borrowed(meta);
        }
        let mut meta = meta.clone();
        meta.xattrs.retain(|(name, _)| !private(name));
        Cow::Owned(meta)
    }

    /// Makes a regular file of `size` bytes, in place of what is there.
    pub fn file(
        &mut self,
        name: &[u8],
        meta: &Meta,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<()> {
        let meta = self.own(meta);
        let meta = &*meta;
        let place = self.fresh(name)?;
        self.sink.file(&place.path, meta, size, content)?;
        self.insert(&place, Kind::Other);
        Ok(())
    }

    /// Makes a symbolic link, in place of what is there.
    pub fn symlink(&mut self, name: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        if target.is_empty() || target.len() >= PATH_MAX || target.contains(&0) {
            return Err(Error::unsafe_path(
                name,
                "its link target is empty or too long",
            ));
        }
        if let Some(place) = self.place(name)?
            && let Some(node) = self.child(place.parent, &place.name)
            && matches!(&self.nodes[node].kind, Kind::Symlink(old) if old == target)
        {
            self.nodes[node].layer = self.layer;
            return Ok(());
        }
        let place = self.fresh(name)?;
        self.sink.symlink(&place.path, meta, target)?;
        self.insert(&place, Kind::Symlink(target.to_vec()));
        Ok(())
    }

    /// Makes `name` another name of `existing`, a path from the root of the tree.
    pub fn hard_link(&mut self, name: &[u8], existing: &[u8]) -> Result<()> {
        let missing = || {
            Error::unsafe_path(
                name,
                "it is a hard link to something that is not in the archive",
            )
        };
        let to = self.place(existing)?.ok_or_else(missing)?;
        let node = self.child(to.parent, &to.name).ok_or_else(missing)?;
        let kind = match &self.nodes[node].kind {
            Kind::Directory(_) => {
                return Err(Error::unsafe_path(name, "it is a hard link to a directory"));
            }
            Kind::Symlink(target) => Kind::Symlink(target.clone()),
            Kind::Other => Kind::Other,
            Kind::Whiteout => return Err(missing()),
        };
        let at = self
            .place(name)?
            .ok_or_else(|| Error::unsafe_path(name, "it names the root"))?;
        if at.path == to.path {
            return Ok(());
        }
        let place = self.fresh(name)?;
        self.sink.hard_link(&place.path, &to.path)?;
        self.insert(&place, kind);
        Ok(())
    }

    /// Makes a device, named pipe or socket, in place of what is there.
    pub fn special(&mut self, name: &[u8], meta: &Meta, what: Special) -> Result<()> {
        let place = self.fresh(name)?;
        self.sink.special(&place.path, meta, what)?;
        self.insert(&place, Kind::Other);
        Ok(())
    }

    /// Removes what older layers put at `name`; nothing there is no error.
    pub fn whiteout(&mut self, name: &[u8]) -> Result<()> {
        let Some(place) = self.place(name)? else {
            return Ok(());
        };
        let node = self.child(place.parent, &place.name);
        if self.below.is_some() {
            return match node.map(|node| &self.nodes[node].kind) {
                None => {
                    let device = Special::Char { major: 0, minor: 0 };
                    self.sink.special(&place.path, &Meta::root(0), device)?;
                    self.insert(&place, Kind::Whiteout);
                    Ok(())
                }
                // What this layer itself puts there stays.
                Some(Kind::Directory(_)) => self.sink.opaque(&place.path),
                Some(_) => Ok(()),
            };
        }
        if let Some(node) = node
            && self.nodes[node].layer < self.layer
        {
            self.remove_node(&place)?;
        }
        Ok(())
    }

    /// Removes what older layers put into the directory `name`.
    pub fn opaque(&mut self, name: &[u8]) -> Result<()> {
        if self.below.is_some() {
            let Some(place) = self.place(name)? else {
                return self.sink.opaque(b"");
            };
            if self.child(place.parent, &place.name).is_none() {
                self.implicit(place.parent, &place.path, &place.name)?;
            }
            if self.is_directory(&place.path) {
                self.sink.opaque(&place.path)?;
            }
            return Ok(());
        }
        let Some(node) = self.lookup(name) else {
            return Ok(());
        };
        let Kind::Directory(children) = &self.nodes[node].kind else {
            return Ok(());
        };
        for child in children.keys().cloned().collect::<Vec<_>>() {
            self.whiteout(&join(name, &child))?;
        }
        Ok(())
    }

    /// Makes a directory that the archive has not mentioned; returns its node.
    fn implicit(&mut self, parent: usize, path: &[u8], name: &[u8]) -> Result<usize> {
        let known = match self.below {
            Some(below) => below.directory(path)?,
            None => None,
        };
        self.sink
            .directory(path, &known.unwrap_or_else(|| Meta::root(0o755)))?;
        let place = Place {
            parent,
            path: path.to_vec(),
            name: name.to_vec(),
        };
        self.insert(&place, Kind::Directory(BTreeMap::new()));
        Ok(self.nodes.len() - 1)
    }

    fn child(&self, parent: usize, name: &[u8]) -> Option<usize> {
        match &self.nodes[parent].kind {
            Kind::Directory(children) => children.get(name).copied(),
            _ => None,
        }
    }

    fn insert(&mut self, place: &Place, kind: Kind) {
        let node = self.nodes.len();
        self.nodes.push(Node {
            kind,
            layer: self.layer,
        });
        if let Kind::Directory(children) = &mut self.nodes[place.parent].kind {
            children.insert(place.name.clone(), node);
        }
    }

    /// The place for a new non-directory, emptied of what was there.
    fn fresh(&mut self, name: &[u8]) -> Result<Place> {
        let place = self
            .place(name)?
            .ok_or_else(|| Error::unsafe_path(name, "it names the root"))?;
        if self.child(place.parent, &place.name).is_some() {
            self.remove_node(&place)?;
        }
        Ok(place)
    }

    fn remove_node(&mut self, place: &Place) -> Result<()> {
        let Some(node) = self.child(place.parent, &place.name) else {
            return Ok(());
        };
        // Children first; an explicit stack, since archives decide the depth.
        let mut stack = vec![(node, place.path.clone(), false)];
        while let Some((node, path, entered)) = stack.pop() {
            if !entered && let Kind::Directory(children) = &self.nodes[node].kind {
                let below: Vec<_> = children
                    .iter()
                    .map(|(name, &child)| (child, join(&path, name), false))
                    .collect();
                stack.push((node, path, true));
                stack.extend(below);
                continue;
            }
            self.sink.remove(&path)?;
        }
        if let Kind::Directory(children) = &mut self.nodes[place.parent].kind {
            children.remove(&place.name);
        }
        Ok(())
    }

    /// The node that `name` leads to, last link followed; `None` where it leads nowhere.
    fn lookup(&self, name: &[u8]) -> Option<usize> {
        let mut links = 0;
        let mut todo: Vec<Vec<u8>> = components_reversed(name);
        let mut stack = vec![ROOT];
        while let Some(part) = todo.pop() {
            if part == b".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let here = *stack.last()?;
            let node = self.child(here, &part)?;
            if let Kind::Symlink(target) = &self.nodes[node].kind {
                links += 1;
                if links > SYMLINKS_MAX {
                    return None;
                }
                if target.first() == Some(&b'/') {
                    stack.truncate(1);
                }
                todo.extend(components_reversed(target));
            } else {
                stack.push(node);
            }
        }
        stack.last().copied()
    }

    /// Resolves all but the last component, making missing parents; `None` for the root.
    fn place(&mut self, name: &[u8]) -> Result<Option<Place>> {
        if name.len() > PATH_MAX {
            return Err(Error::unsafe_path(
                &name[..64],
                "it is longer than 4096 bytes",
            ));
        }
        if name.contains(&0) {
            return Err(Error::unsafe_path(name, "it contains a NUL byte"));
        }
        let mut todo = components_reversed(name);
        if todo.iter().any(|part| part == b"..") {
            return Err(Error::unsafe_path(name, "it contains `..`"));
        }
        if todo.iter().any(|part| part.len() > NAME_MAX) {
            return Err(Error::unsafe_path(
                name,
                "a component is longer than 255 bytes",
            ));
        }
        if todo.is_empty() {
            return Ok(None);
        }
        let last = todo.remove(0);
        let mut links = 0;
        let mut stack: Vec<(usize, Vec<u8>)> = vec![(ROOT, Vec::new())];
        while let Some(part) = todo.pop() {
            if part == b".." {
                // Comes from a link's target only; above the root is the root.
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let (parent, path) = match stack.last() {
                Some((node, path)) => (*node, path.clone()),
                None => (ROOT, Vec::new()),
            };
            let here = join(&path, &part);
            if here.len() > PATH_MAX || part.len() > NAME_MAX {
                return Err(Error::unsafe_path(
                    name,
                    "it leads to a path that is too long",
                ));
            }
            match self
                .child(parent, &part)
                .map(|node| (node, &self.nodes[node].kind))
            {
                None => {
                    let node = self.implicit(parent, &here, &part)?;
                    stack.push((node, here));
                }
                Some((_, Kind::Whiteout)) => {
                    // It is gone below, and this layer has a new one.
                    let place = Place {
                        parent,
                        path: here.clone(),
                        name: part,
                    };
                    self.remove_node(&place)?;
                    self.sink.directory(&here, &Meta::root(0o755))?;
                    self.sink.opaque(&here)?;
                    self.insert(&place, Kind::Directory(BTreeMap::new()));
                    stack.push((self.nodes.len() - 1, here));
                }
                Some((node, Kind::Directory(_))) => stack.push((node, here)),
                Some((_, Kind::Symlink(target))) => {
                    links += 1;
                    if links > SYMLINKS_MAX {
                        return Err(Error::unsafe_path(
                            name,
                            "too many symbolic links on the way",
                        ));
                    }
                    if target.first() == Some(&b'/') {
                        stack.truncate(1);
                    }
                    todo.extend(components_reversed(target));
                }
                Some((_, Kind::Other)) => {
                    return Err(Error::unsafe_path(
                        name,
                        "a parent of it is not a directory",
                    ));
                }
            }
        }
        let (parent, path) = stack.pop().unwrap_or((ROOT, Vec::new()));
        let path = join(&path, &last);
        Ok(Some(Place {
            parent,
            path,
            name: last,
        }))
    }
}

/// The components of a name, last first, without empty ones and `.`.
fn components_reversed(name: &[u8]) -> Vec<Vec<u8>> {
    name.rsplit(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// `parent/name`, or just `name` in the root.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(parent.len() + 1 + name.len());
    path.extend_from_slice(parent);
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::memory::{Item, MemoryTree};

    fn build(f: impl FnOnce(&mut TreeBuilder<'_>) -> Result<()>) -> Result<MemoryTree> {
        let mut sink = MemoryTree::default();
        let mut builder = TreeBuilder::new(&mut sink)?;
        f(&mut builder)?;
        builder.finish()?;
        Ok(sink)
    }

    fn put(b: &mut TreeBuilder<'_>, name: &str, text: &str) -> Result<()> {
        b.file(
            name.as_bytes(),
            &Meta::root(0o644),
            text.len() as u64,
            &mut text.as_bytes(),
        )
    }

    #[test]
    fn parents_are_made() {
        let tree = build(|b| put(b, "./a/b//c", "x")).unwrap();
        assert!(matches!(tree.get("a/b"), Some(Item::Directory(_))));
        assert_eq!(tree.text("a/b/c"), "x");
    }

    #[test]
    fn dotdot_is_refused_and_absolute_names_stay_inside() {
        assert!(matches!(
            build(|b| put(b, "a/../../etc/x", "")),
            Err(Error::UnsafePath { .. })
        ));
        assert_eq!(build(|b| put(b, "/etc/x", "y")).unwrap().text("etc/x"), "y");
    }

    #[test]
    fn links_are_followed_inside_only() {
        let tree = build(|b| {
            b.symlink(b"out", &Meta::root(0o777), b"../../../../host")?;
            b.symlink(b"bin", &Meta::root(0o777), b"/usr/bin")?;
            put(b, "out/f", "1")?;
            put(b, "bin/sh", "2")
        })
        .unwrap();
        assert_eq!(tree.text("host/f"), "1");
        assert_eq!(tree.text("usr/bin/sh"), "2");
    }

    #[test]
    fn link_loops_end() {
        let error = build(|b| {
            b.symlink(b"a", &Meta::root(0o777), b"b")?;
            b.symlink(b"b", &Meta::root(0o777), b"a")?;
            put(b, "a/f", "")
        });
        assert!(matches!(error, Err(Error::UnsafePath { .. })));
    }

    #[test]
    fn files_replace_and_are_no_parents() {
        let tree = build(|b| {
            put(b, "d/x", "1")?;
            put(b, "d/y/z", "1")?;
            put(b, "d", "file")
        })
        .unwrap();
        assert_eq!(tree.text("d"), "file");
        assert!(tree.get("d/x").is_none());
        assert!(build(|b| put(b, "f", "").and_then(|()| put(b, "f/g", ""))).is_err());
    }

    #[test]
    fn directories_keep_links_only_when_asked() {
        let make = |b: &mut TreeBuilder<'_>| {
            b.directory(b"usr/lib", &Meta::root(0o755))?;
            b.symlink(b"lib", &Meta::root(0o777), b"usr/lib")?;
            b.directory(b"lib", &Meta::root(0o700))?;
            put(b, "lib/x", "")
        };
        let tree = build(make).unwrap();
        assert!(tree.get("lib/x").is_some());
        let mut sink = MemoryTree::default();
        let mut b = TreeBuilder::new(&mut sink).unwrap().keep_directory_links();
        make(&mut b).unwrap();
        assert!(sink.get("usr/lib/x").is_some());
    }

    #[test]
    fn whiteouts_remove_older_layers_only() {
        let tree = build(|b| {
            put(b, "d/old", "1")?;
            put(b, "e/old", "1")?;
            b.begin_layer();
            put(b, "d/new", "2")?;
            b.opaque(b"d")?;
            b.whiteout(b"e")
        })
        .unwrap();
        assert!(tree.get("d/old").is_none());
        assert_eq!(tree.text("d/new"), "2");
        assert!(tree.get("e").is_none());
    }

    /// A lower layer with directories of mode 0711 at `d` and `e`.
    struct Lower;

    impl Below for Lower {
        fn directory(&self, path: &[u8]) -> Result<Option<Meta>> {
            Ok([&b"d"[..], b"e"].contains(&path).then(|| Meta::root(0o711)))
        }
    }

    #[test]
    fn layers_keep_their_whiteouts() {
        let mut sink = MemoryTree::default();
        let mut b = TreeBuilder::new(&mut sink).unwrap().over(&Lower).unwrap();
        let overlay = Meta {
            xattrs: vec![(b"trusted.overlay.opaque".to_vec(), b"y".to_vec())],
            ..Meta::root(0o700)
        };
        b.whiteout(b"d/gone").unwrap();
        put(&mut b, "e/new", "1").unwrap();
        b.opaque(b"e").unwrap();
        b.opaque(b"f/g").unwrap();
        // In whichever order they come, what the layer has stays.
        b.whiteout(b"both").unwrap();
        put(&mut b, "both", "2").unwrap();
        b.whiteout(b"both").unwrap();
        b.whiteout(b"tree").unwrap();
        put(&mut b, "tree/x", "3").unwrap();
        b.directory(b"own", &overlay).unwrap();
        assert!(b.hard_link(b"h", b"d/gone").is_err());
        let whiteout = Item::Special(Meta::root(0), Special::Char { major: 0, minor: 0 });
        assert_eq!(sink.get("d/gone"), Some(&whiteout));
        for (path, mode) in [("d", 0o711), ("e", 0o711), ("tree", 0o755), ("own", 0o700)] {
            assert_eq!(
                sink.get(path),
                Some(&Item::Directory(Meta::root(mode))),
                "{path}"
            );
        }
        assert_eq!(
            (sink.text("both"), sink.text("tree/x")),
            ("2".into(), "3".into())
        );
        let opaque: Vec<_> = sink
            .opaque
            .iter()
            .map(|p| String::from_utf8_lossy(p))
            .collect();
        assert_eq!(opaque, ["e", "f/g", "tree"]);
    }

    #[test]
    fn hard_links_need_a_target() {
        assert!(build(|b| b.hard_link(b"a", b"b")).is_err());
        assert!(
            build(|b| b
                .directory(b"d", &Meta::root(0o755))
                .and_then(|()| b.hard_link(b"a", b"d")))
            .is_err()
        );
        let tree = build(|b| {
            put(b, "f", "t")?;
            b.hard_link(b"g", b"/f")?;
            b.hard_link(b"f", b"f")
        })
        .unwrap();
        assert_eq!(tree.text("g"), "t");
        assert_eq!(tree.text("f"), "t");
    }
}
