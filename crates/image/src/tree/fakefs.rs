//! Trees in fakefs stores, the form in which layers are kept.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
    path::{Path, PathBuf},
};

use tuxlet_fakefs::{Item, Reader, Writer};
use tuxlet_uapi::errno::Errno;
use tuxlet_vfs::{DeviceId, FileType, attr::Time};

use super::{Meta, Mtime, Special, TreeSink, TreeSource, merged::OPAQUE};
use crate::{Error, Result};

/// Writes a new fakefs store.
#[derive(Debug)]
pub struct FakefsSink {
    path: PathBuf,
    /// `None` once it is finished.
    writer: Option<Writer>,
    bytes: u64,
}

impl FakefsSink {
    /// Begins a store in a directory that does not exist or is empty.
    pub fn create(path: &Path) -> Result<FakefsSink> {
        let writer = Writer::create(path).map_err(|e| store_error(path, e))?;
        Ok(FakefsSink {
            path: path.to_owned(),
            writer: Some(writer),
            bytes: 0,
        })
    }

    /// Copies everything from a predecessor's fakefs directory. Returns what had to be left out, and why.
    pub fn import_v3(&mut self, from: &Path) -> Result<Vec<String>> {
        let Some(writer) = &mut self.writer else {
            return Err(self.finished());
        };
        let imported = tuxlet_fakefs::import_v3(from, writer).map_err(|e| store_error(from, e))?;
        Ok(imported.skipped)
    }

    fn finished(&self) -> Error {
        Error::Store {
            path: self.path.clone(),
            reason: "it is finished".to_owned(),
        }
    }

    /// The sizes of all files written so far, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn put(
        &mut self,
        meta: &Meta,
        f: impl FnOnce(&mut Writer, &tuxlet_fakefs::Meta) -> tuxlet_fakefs::Result<u64>,
    ) -> Result<()> {
        let path = &self.path;
        let Some(writer) = &mut self.writer else {
            return Err(self.finished());
        };
        let plain = tuxlet_fakefs::Meta {
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: Time {
                sec: meta.mtime.secs,
                nsec: meta.mtime.nanos,
            },
        };
        let ino = f(writer, &plain).map_err(|e| store_error(path, e))?;
        for (name, value) in &meta.xattrs {
            writer
                .set_xattr(ino, name, value)
                .map_err(|e| store_error(path, e))?;
        }
        Ok(())
    }
}

impl TreeSink for FakefsSink {
    fn directory(&mut self, path: &[u8], meta: &Meta) -> Result<()> {
        self.put(meta, |writer, meta| writer.directory(path, meta))
    }

    fn file(&mut self, path: &[u8], meta: &Meta, size: u64, content: &mut dyn Read) -> Result<()> {
        self.bytes += size;
        self.put(meta, |writer, meta| writer.file(path, meta, content))
    }

    fn symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        self.put(meta, |writer, meta| writer.symlink(path, target, meta))
    }

    fn hard_link(&mut self, path: &[u8], existing: &[u8]) -> Result<()> {
        self.put(&Meta::default(), |writer, _| {
            writer.hard_link(path, existing).map(|()| 0)
        })
    }

    fn special(&mut self, path: &[u8], meta: &Meta, what: Special) -> Result<()> {
        let (kind, device) = match what {
            Special::Char { major, minor } => (FileType::CharDevice, DeviceId::new(major, minor)),
            Special::Block { major, minor } => (FileType::BlockDevice, DeviceId::new(major, minor)),
            Special::Fifo => (FileType::Fifo, DeviceId::default()),
            Special::Socket => (FileType::Socket, DeviceId::default()),
        };
        self.put(meta, |writer, meta| writer.node(path, kind, device, meta))
    }

    fn opaque(&mut self, path: &[u8]) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Err(self.finished());
        };
        if let Some(found) = writer.lookup(path, false) {
            writer
                .set_xattr(found.ino, OPAQUE, b"y")
                .map_err(|e| store_error(&self.path, e))?;
        }
        Ok(())
    }

    fn remove(&mut self, path: &[u8]) -> Result<()> {
        self.put(&Meta::default(), |writer, _| {
            writer.remove(path).map(|()| 0)
        })
    }

    fn finish(&mut self) -> Result<()> {
        match self.writer.take() {
            Some(writer) => writer.finish().map_err(|e| store_error(&self.path, e)),
            None => Ok(()),
        }
    }
}

/// Reads a fakefs store that no machine has open.
#[derive(Debug)]
pub struct FakefsSource {
    path: PathBuf,
    reader: Reader,
}

impl FakefsSource {
    /// Opens a store.
    pub fn open(path: &Path) -> Result<FakefsSource> {
        let reader = Reader::open(path).map_err(|e| store_error(path, e))?;
        Ok(FakefsSource {
            path: path.to_owned(),
            reader,
        })
    }

    /// The sizes of all files, in bytes.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let mut links = HashSet::new();
        let mut bytes = 0u64;
        self.visit(|item| {
            let first = item.nlink <= 1 || links.insert(item.ino);
            if item.kind == FileType::Regular && first {
                bytes = bytes.saturating_add(item.size);
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    /// What is at a path; links are not followed.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Option<Item>> {
        self.reader
            .find(path)
            .map_err(|e| store_error(&self.path, e))
    }

    /// Whether there is a directory at a path that is not empty.
    pub(super) fn has_entries(&self, path: &[u8]) -> Result<bool> {
        match self.find(path)? {
            Some(item) => Ok(!self
                .reader
                .names(item.ino)
                .map_err(|e| store_error(&self.path, e))?
                .is_empty()),
            None => Ok(false),
        }
    }

    /// Whether an item is a directory that hides what lower layers have in it.
    pub(crate) fn is_opaque(&self, item: &Item) -> Result<bool> {
        Ok(item.kind == FileType::Directory
            && self
                .xattrs(item.ino)?
                .iter()
                .any(|(name, value)| name == OPAQUE && value == b"y"))
    }

    /// Calls `f` with everything, parents before children, siblings by name.
    pub(crate) fn visit(&self, f: impl FnMut(&Item) -> Result<()>) -> Result<()> {
        self.visit_from(b"", f)
    }

    /// Calls `f` with what is at `top`, if anything, and everything below that.
    pub(super) fn visit_from(
        &self,
        top: &[u8],
        mut f: impl FnMut(&Item) -> Result<()>,
    ) -> Result<()> {
        let Some(top) = self.find(top)? else {
            return Ok(());
        };
        self.reader
            .walk_from(top, |item| f(item).map_err(Walk::Ours))
            .map_err(|e| match e {
                Walk::Ours(error) => error,
                Walk::Store(error) => store_error(&self.path, error),
            })
    }

    /// The extended attributes of an inode.
    pub(super) fn xattrs(&self, ino: u64) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.reader
            .xattrs(ino)
            .map_err(|e| store_error(&self.path, e))
    }

    /// The metadata of an item, without extended attributes whose names start with `without`.
    pub(super) fn meta(&self, item: &Item, without: &[u8]) -> Result<Meta> {
        let mut xattrs = self.xattrs(item.ino)?;
        xattrs.retain(|(name, _)| without.is_empty() || !name.starts_with(without));
        xattrs.sort();
        Ok(Meta {
            mode: item.mode,
            uid: item.uid,
            gid: item.gid,
            mtime: Mtime {
                secs: item.mtime.sec,
                nanos: item.mtime.nsec,
            },
            xattrs,
        })
    }

    /// Writes one item to `sink`. `first` has the first path of every inode written so far that has several; extended attributes
    /// whose names start with `without` are left out.
    pub(crate) fn copy_item(
        &self,
        item: &Item,
        first: &mut HashMap<u64, Vec<u8>>,
        without: &[u8],
        sink: &mut dyn TreeSink,
    ) -> Result<()> {
        let store = |e| store_error(&self.path, e);
        if item.nlink > 1 && item.kind != FileType::Directory {
            if let Some(existing) = first.get(&item.ino) {
                return sink.hard_link(&item.path, existing);
            }
            first.insert(item.ino, item.path.clone());
        }
        let meta = self.meta(item, without)?;
        let (major, minor) = (item.rdev.major, item.rdev.minor);
        match item.kind {
            FileType::Directory => sink.directory(&item.path, &meta),
            FileType::Regular => {
                let data = self.reader.data(item.ino).map_err(store)?;
                // A file may end in a hole, which its host file does not have.
                sink.file(
                    &item.path,
                    &meta,
                    item.size,
                    &mut data.chain(io::repeat(0)).take(item.size),
                )
            }
            FileType::Symlink => sink.symlink(
                &item.path,
                &meta,
                item.target.as_deref().unwrap_or_default(),
            ),
            FileType::CharDevice => sink.special(&item.path, &meta, Special::Char { major, minor }),
            FileType::BlockDevice => {
                sink.special(&item.path, &meta, Special::Block { major, minor })
            }
            FileType::Fifo => sink.special(&item.path, &meta, Special::Fifo),
            FileType::Socket => sink.special(&item.path, &meta, Special::Socket),
        }
    }
}

impl TreeSource for FakefsSource {
    fn copy_to(&mut self, sink: &mut dyn TreeSink) -> Result<()> {
        let mut first = HashMap::new();
        self.visit(|item| self.copy_item(item, &mut first, b"", sink))
    }
}

/// The errors of a walk: those of the visitor and those of the store.
enum Walk {
    Ours(Error),
    Store(tuxlet_fakefs::Error),
}

impl From<tuxlet_fakefs::Error> for Walk {
    fn from(error: tuxlet_fakefs::Error) -> Walk {
        Walk::Store(error)
    }
}

fn store_error(path: &Path, error: tuxlet_fakefs::Error) -> Error {
    match error {
        tuxlet_fakefs::Error::Host {
            errno: Errno::ENOSPC,
            ..
        } => Error::io("write", path, io::ErrorKind::StorageFull.into()),
        other => Error::Store {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{TreeBuilder, memory::MemoryTree, merged::MergedSource};

    fn xattr(name: &str, value: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        vec![(name.as_bytes().to_vec(), value.as_bytes().to_vec())]
    }

    fn make(path: &Path, f: impl FnOnce(&mut TreeBuilder<'_>) -> Result<()>) {
        let mut sink = FakefsSink::create(path).unwrap();
        let mut tree = TreeBuilder::new(&mut sink).unwrap();
        f(&mut tree).unwrap();
        tree.finish().unwrap();
    }

    fn put(tree: &mut TreeBuilder<'_>, name: &str, text: &str) -> Result<()> {
        tree.file(
            name.as_bytes(),
            &Meta::root(0o644),
            text.len() as u64,
            &mut text.as_bytes(),
        )
    }

    #[test]
    fn trees_survive_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let fill = |tree: &mut TreeBuilder<'_>| {
            let meta = Meta {
                mode: 0o4711,
                uid: 5,
                gid: 6,
                mtime: Mtime { secs: -7, nanos: 8 },
                xattrs: xattr("user.a", "b\nc"),
            };
            tree.directory(b"d", &meta)?;
            tree.file(b"d/f", &meta, 3, &mut &b"abc"[..])?;
            tree.hard_link(b"a", b"d/f")?;
            tree.symlink(b"d/l", &Meta::root(0o777), b"f")?;
            tree.special(b"null", &meta, Special::Char { major: 1, minor: 3 })?;
            tree.special(
                b"sda",
                &meta,
                Special::Block {
                    major: 8,
                    minor: 300,
                },
            )?;
            tree.special(b"pipe", &meta, Special::Fifo)?;
            tree.special(b"socket", &meta, Special::Socket)?;
            put(tree, "empty", "")
        };
        make(&dir.path().join("s"), fill);
        let mut expected = MemoryTree::default();
        let mut tree = TreeBuilder::new(&mut expected).unwrap();
        fill(&mut tree).unwrap();
        let mut got = MemoryTree::default();
        FakefsSource::open(&dir.path().join("s"))
            .unwrap()
            .copy_to(&mut got)
            .unwrap();
        // Made by the builder, at the time of making.
        for tree in [&mut got, &mut expected] {
            tree.items.remove(&b""[..]);
        }
        assert_eq!(got.items, expected.items);
    }

    #[test]
    fn an_upper_store_covers_a_lower_one() {
        let dir = tempfile::tempdir().unwrap();
        let (lower, upper) = (dir.path().join("l"), dir.path().join("u"));
        make(&lower, |tree| {
            for name in [
                "both",
                "gone",
                "keep/a",
                "keep/b",
                "hidden/x",
                "tree/deep/x",
                "tree-2",
                "file-to-dir",
            ] {
                put(tree, name, "lower")?;
            }
            Ok(())
        });
        make(&upper, |tree| {
            put(tree, "both", "upper")?;
            put(tree, "keep/b", "upper")?;
            put(tree, ".tuxlet-overlay/index/1", "work")?;
            put(tree, "file-to-dir/x", "upper")?;
            tree.special(
                b"gone",
                &Meta::root(0),
                Special::Char { major: 0, minor: 0 },
            )?;
            tree.special(
                b"tree",
                &Meta::root(0),
                Special::Char { major: 0, minor: 0 },
            )?;
            let opaque = Meta {
                xattrs: xattr("trusted.overlay.opaque", "y"),
                ..Meta::root(0o700)
            };
            tree.directory(b"hidden", &opaque)?;
            put(tree, "hidden/new", "upper")
        });
        let mut got = MemoryTree::default();
        MergedSource::open(&[upper, lower])
            .unwrap()
            .copy_to(&mut got)
            .unwrap();
        let names: Vec<_> = got
            .items
            .keys()
            .map(|k| String::from_utf8_lossy(k).into_owned())
            .collect();
        assert_eq!(
            names,
            [
                "",
                "both",
                "file-to-dir",
                "file-to-dir/x",
                "hidden",
                "hidden/new",
                "keep",
                "keep/a",
                "keep/b",
                "tree-2"
            ]
        );
        assert_eq!(
            (got.text("both"), got.text("keep/a"), got.text("keep/b")),
            ("upper".into(), "lower".into(), "upper".into())
        );
        assert!(
            matches!(got.get("hidden"), Some(crate::tree::memory::Item::Directory(meta)) if meta.xattrs.is_empty())
        );
    }
}
