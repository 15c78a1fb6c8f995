//! The entries of one directory in memory, loaded by name or as a whole.

use crate::{
    batch::{Name, NameChange},
    schema,
    store::Store,
};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use tuxlet_uapi::errno::Result;
use tuxlet_vfs::FileType;

/// So many questions for single names before the whole directory is loaded.
const BY_NAME: u32 = 12;
/// Positions 0 and 1 of a directory are `.` and `..`.
pub(crate) const FIRST: u64 = 2;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Position in readdir order; never changes while the entry exists.
    seq: u64,
    ino: u64,
    kind: FileType,
}

/// The entries of a directory.
#[derive(Debug)]
pub(crate) struct Names {
    /// `None`: known not to be there (only while not all is loaded).
    entries: FxHashMap<Name, Option<Entry>>,
    /// All entries by position, once everything is loaded.
    order: BTreeMap<u64, Name>,
    complete: bool,
    next_seq: u64,
    asked: u32,
    /// Names that differ from the committed state, and whether that has them.
    changed: FxHashMap<Name, bool>,
    /// Whether the directory waits for the next batch.
    queued: bool,
}

fn kind_of(bits: u32) -> FileType {
    FileType::from_mode(bits).unwrap_or(FileType::Regular)
}

impl Names {
    /// Of a directory in the database.
    pub(crate) fn unloaded() -> Self {
        Self {
            entries: FxHashMap::default(),
            order: BTreeMap::new(),
            complete: false,
            next_seq: FIRST,
            asked: 0,
            changed: FxHashMap::default(),
            queued: false,
        }
    }

    /// Of a new directory.
    pub(crate) fn empty() -> Self {
        Self {
            complete: true,
            ..Self::unloaded()
        }
    }

    /// The entry of a name: inode number and type.
    pub(crate) fn find(
        &mut self,
        store: &Store,
        dir: u64,
        name: &[u8],
    ) -> Result<Option<(u64, FileType)>> {
        if let Some(known) = self.entries.get(name) {
            return Ok(known.map(|e| (e.ino, e.kind)));
        }
        if self.complete {
            return Ok(None);
        }
        self.asked += 1;
        if self.asked > BY_NAME {
            self.load(store, dir)?;
            return Ok(self
                .entries
                .get(name)
                .copied()
                .flatten()
                .map(|e| (e.ino, e.kind)));
        }
        let found = store.query(|db| schema::load_dirent(db, dir, name))?;
        let entry = found.map(|(ino, bits)| self.place(ino, kind_of(bits)));
        self.entries.insert(name.into(), entry);
        Ok(entry.map(|e| (e.ino, e.kind)))
    }

    fn place(&mut self, ino: u64, kind: FileType) -> Entry {
        let seq = self.next_seq;
        self.next_seq += 1;
        Entry { seq, ino, kind }
    }

    /// Loads all that is not in memory yet.
    fn load(&mut self, store: &Store, dir: u64) -> Result<()> {
        if self.complete {
            return Ok(());
        }
        store.query(|db| {
            schema::load_dir(db, dir, |name, ino, bits| {
                if !self.entries.contains_key(name) {
                    let entry = self.place(ino, kind_of(bits));
                    self.entries.insert(name.into(), Some(entry));
                }
            })
        })?;
        self.entries.retain(|_, e| e.is_some());
        self.order = self
            .entries
            .iter()
            .filter_map(|(name, e)| Some((e.as_ref()?.seq, name.clone())))
            .collect();
        self.complete = true;
        Ok(())
    }

    /// Whether the directory has no entries.
    pub(crate) fn is_empty(&mut self, store: &Store, dir: u64) -> Result<bool> {
        if !self.complete && self.entries.values().any(Option::is_some) {
            return Ok(false);
        }
        self.load(store, dir)?;
        Ok(self.entries.is_empty())
    }

    /// The entries from a position on, in order: position, name, inode number, type. `f` stops with `false`.
    pub(crate) fn each_from(
        &mut self,
        store: &Store,
        dir: u64,
        pos: u64,
        mut f: impl FnMut(u64, &[u8], u64, FileType) -> bool,
    ) -> Result<()> {
        self.load(store, dir)?;
        for (&seq, name) in self.order.range(pos..) {
            if let Some(Some(e)) = self.entries.get(name)
                && !f(seq, name, e.ino, e.kind)
            {
                break;
            }
        }
        Ok(())
    }

    /// Sets or (`None`) removes an entry, about which [`Names::find`] has been asked before. Tells whether the
    /// directory is to be queued now.
    #[must_use]
    pub(crate) fn set(&mut self, name: &[u8], to: Option<(u64, FileType)>) -> bool {
        let (name, old) = match self.entries.get_key_value(name) {
            Some((name, old)) => (name.clone(), *old),
            None => (Name::from(name), None),
        };
        if let Some(old) = old {
            self.order.remove(&old.seq);
        }
        match to {
            Some((ino, kind)) => {
                let entry = self.place(ino, kind);
                if self.complete {
                    self.order.insert(entry.seq, name.clone());
                }
                self.entries.insert(name.clone(), Some(entry));
            }
            None if self.complete => {
                self.entries.remove(&name);
            }
            None => {
                self.entries.insert(name.clone(), None);
            }
        }
        self.changed.entry(name).or_insert(old.is_some());
        !std::mem::replace(&mut self.queued, true)
    }

    pub(crate) fn take_changes(&mut self) -> Vec<NameChange> {
        self.queued = false;
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|(name, was_in_db)| {
                let entry = self
                    .entries
                    .get(&name)
                    .copied()
                    .flatten()
                    .map(|e| (e.ino, e.kind));
                NameChange {
                    name,
                    entry,
                    was_in_db,
                }
            })
            .filter(|c| c.entry.is_some() || c.was_in_db)
            .collect()
    }

    /// After a failed commit: tells whether the directory is to be queued now.
    #[must_use]
    pub(crate) fn put_back_changes(&mut self, changes: Vec<NameChange>) -> bool {
        for c in changes {
            self.changed.insert(c.name, c.was_in_db);
        }
        !self.changed.is_empty() && !std::mem::replace(&mut self.queued, true)
    }
}
