//! A tree in memory, for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    rc::Rc,
};

use super::{Meta, Special, TreeSink, TreeSource};
use crate::{Error, Result};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Directory(Meta),
    File(Meta, Rc<Vec<u8>>),
    Symlink(Meta, Vec<u8>),
    Special(Meta, Special),
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct MemoryTree {
    pub(crate) items: BTreeMap<Vec<u8>, Item>,
    /// Directories that hide what is below.
    pub(crate) opaque: BTreeSet<Vec<u8>>,
}

impl MemoryTree {
    pub(crate) fn get(&self, path: &str) -> Option<&Item> {
        self.items.get(path.as_bytes())
    }

    pub(crate) fn text(&self, path: &str) -> String {
        match self.get(path) {
            Some(Item::File(_, bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{path} is {other:?}"),
        }
    }

    fn put(&mut self, path: &[u8], item: Item) -> Result<()> {
        assert!(
            !self.items.contains_key(path),
            "{} exists",
            String::from_utf8_lossy(path)
        );
        let parent = path
            .iter()
            .rposition(|&b| b == b'/')
            .map_or(&b""[..], |at| &path[..at]);
        assert!(
            matches!(self.items.get(parent), Some(Item::Directory(_))),
            "parent of {}",
            String::from_utf8_lossy(path)
        );
        self.items.insert(path.to_vec(), item);
        Ok(())
    }
}

impl TreeSink for MemoryTree {
    fn directory(&mut self, path: &[u8], meta: &Meta) -> Result<()> {
        let old = self
            .items
            .insert(path.to_vec(), Item::Directory(meta.clone()));
        assert!(matches!(old, None | Some(Item::Directory(_))));
        Ok(())
    }
    fn file(&mut self, path: &[u8], meta: &Meta, size: u64, content: &mut dyn Read) -> Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|e| Error::Io {
            what: "read".into(),
            source: e,
        })?;
        assert_eq!(bytes.len() as u64, size);
        self.put(path, Item::File(meta.clone(), Rc::new(bytes)))
    }
    fn symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        self.put(path, Item::Symlink(meta.clone(), target.to_vec()))
    }
    fn hard_link(&mut self, path: &[u8], existing: &[u8]) -> Result<()> {
        let item = self.items[existing].clone();
        self.put(path, item)
    }
    fn special(&mut self, path: &[u8], meta: &Meta, what: Special) -> Result<()> {
        self.put(path, Item::Special(meta.clone(), what))
    }
    fn opaque(&mut self, path: &[u8]) -> Result<()> {
        self.opaque.insert(path.to_vec());
        Ok(())
    }
    fn remove(&mut self, path: &[u8]) -> Result<()> {
        assert!(self.items.remove(path).is_some());
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

impl TreeSource for MemoryTree {
    fn copy_to(&mut self, sink: &mut dyn TreeSink) -> Result<()> {
        let mut seen: Vec<(Rc<Vec<u8>>, Vec<u8>)> = Vec::new();
        for (path, item) in &self.items {
            match item {
                Item::Directory(meta) => sink.directory(path, meta)?,
                Item::File(meta, bytes) => match seen.iter().find(|(b, _)| Rc::ptr_eq(b, bytes)) {
                    Some((_, first)) => sink.hard_link(path, first)?,
                    None => {
                        sink.file(path, meta, bytes.len() as u64, &mut bytes.as_slice())?;
                        seen.push((bytes.clone(), path.clone()));
                    }
                },
                Item::Symlink(meta, target) => sink.symlink(path, meta, target)?,
                Item::Special(meta, what) => sink.special(path, meta, *what)?,
            }
        }
        Ok(())
    }
}
