//! Putting a store that contradicts itself in order, as fsck(8) does.

use crate::{
    data::Files,
    error::{Error, Result},
    salvage::salvage,
    schema::{self, InodeRow, ROOT},
};
use rusqlite::Connection;
use rustc_hash::{FxHashMap, FxHashSet};
use std::{
    collections::BTreeMap,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use tuxlet_vfs::FileType;

/// Where files go whose directory is not known any more.
const LOST_AND_FOUND: &str = "lost+found";

/// Puts a store in order that nobody has open, and says what it did, one sentence each. All or nothing is changed. What has no place
/// any more goes into `/lost+found`, under its inode number. Files among the data that are none of the store's stay. Of a damaged database,
/// what can be read is put into a new one; the old one stays beside it.
///
/// # Errors
/// [`Error::Damaged`] if nothing can be read of the database: then nothing is changed. [`Error::Busy`] if the store is open.
pub fn repair(path: &Path) -> Result<Vec<String>> {
    let files = Files::open(path)?;
    let _lock = files.lock(true)?;
    let mut db = schema::open(&files.database())?;
    let mut done = Vec::new();
    // The check itself may stumble over the damage.
    let integrity = db.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0));
    let integrity: String = integrity.unwrap_or_else(|e| e.to_string());
    if integrity != "ok" {
        done = salvage(&files, db, integrity)?;
        db = schema::open(&files.database())?;
    }
    schema::set_synchronous(&db, true)?;
    let change = db.transaction()?;
    let mut tree = Tree::load(&change, &files)?;
    tree.drop_impossible_inodes()?;
    tree.drop_impossible_entries()?;
    tree.find_places()?;
    tree.count()?;
    done.append(&mut tree.done);
    let stray = tree.on_disk;
    change.commit()?;
    // Only now: without the rows nothing leads to them.
    for ino in stray.into_keys() {
        files.remove_data(ino).map_err(|e| Error::host("data", e))?;
    }
    Ok(done)
}

/// The store as it is being put in order.
struct Tree<'a> {
    db: &'a Connection,
    inodes: BTreeMap<u64, InodeRow>,
    /// Inode number and `S_IF*` bits by parent and name.
    entries: BTreeMap<(u64, Vec<u8>), (u64, u32)>,
    /// Sizes of data files of no inode met yet.
    on_disk: FxHashMap<u64, u64>,
    done: Vec<String>,
}

impl<'a> Tree<'a> {
    fn load(db: &'a Connection, files: &Files) -> Result<Self> {
        let mut tree = Self {
            db,
            inodes: BTreeMap::new(),
            entries: BTreeMap::new(),
            on_disk: FxHashMap::default(),
            done: Vec::new(),
        };
        schema::each_inode(db, |row| {
            tree.inodes.insert(row.ino, row);
        })?;
        schema::each_dirent(db, |parent, name, ino, kind| {
            tree.entries.insert((parent, name), (ino, kind));
        })?;
        files.each_data(|ino, _, size| tree.on_disk.extend(ino.map(|ino| (ino, size))))?;
        Ok(tree)
    }

    fn kind(&self, ino: u64) -> Option<FileType> {
        FileType::from_mode(self.inodes.get(&ino)?.mode)
    }

    fn is_dir(&self, ino: u64) -> bool {
        self.kind(ino) == Some(FileType::Directory)
    }

    fn put(&mut self, row: InodeRow) -> Result<()> {
        schema::put_inode(self.db, &row)?;
        self.inodes.insert(row.ino, row);
        Ok(())
    }

    fn drop_inode(&mut self, ino: u64) -> Result<()> {
        schema::delete_inode(self.db, ino)?;
        self.inodes.remove(&ino);
        Ok(())
    }

    fn drop_entry(&mut self, key: &(u64, Vec<u8>)) -> Result<()> {
        schema::delete_dirent(self.db, key.0, &key.1)?;
        self.entries.remove(key);
        Ok(())
    }

    fn enter(&mut self, parent: u64, name: Vec<u8>, ino: u64) -> Result<()> {
        let kind = self.kind(ino).map_or(0, FileType::mode_bits);
        schema::put_dirent(self.db, parent, &name, ino, kind)?;
        self.entries.insert((parent, name), (ino, kind));
        Ok(())
    }

    fn drop_impossible_inodes(&mut self) -> Result<()> {
        if !self.is_dir(ROOT) {
            self.put(new_directory(ROOT, 0o755))?;
            self.done.push("made a root directory".into());
        }
        let all: Vec<u64> = self.inodes.keys().copied().collect();
        for ino in all {
            let kind = self.kind(ino);
            let Some(row) = self.inodes.get(&ino) else {
                continue;
            };
            let link = kind == Some(FileType::Symlink);
            if kind.is_none() || link && row.target.is_none() {
                self.drop_inode(ino)?;
                let what = if link { "link target" } else { "type" };
                self.done
                    .push(format!("removed inode {ino}, which had no {what}"));
            } else if !link && row.target.is_some() {
                let row = InodeRow {
                    target: None,
                    ..row.clone()
                };
                self.put(row)?;
                self.done
                    .push(format!("removed the link target of inode {ino}"));
            }
        }
        Ok(())
    }

    fn drop_impossible_entries(&mut self) -> Result<()> {
        let mut named_dirs = FxHashSet::default();
        let all: Vec<_> = self.entries.iter().map(|(k, &v)| (k.clone(), v)).collect();
        for (key, (ino, kind)) in all {
            let (parent, name) = &key;
            let shown = String::from_utf8_lossy(name).into_owned();
            let dir = self.is_dir(ino);
            let possible = !name.is_empty()
                && !name.contains(&b'/')
                && !matches!(&name[..], b"." | b"..")
                && name.len() <= 255;
            if !possible
                || !self.is_dir(*parent)
                || ino == ROOT
                || !self.inodes.contains_key(&ino)
                || dir && !named_dirs.insert(ino)
            {
                self.drop_entry(&key)?;
                self.done
                    .push(format!("removed the entry {shown:?} of directory {parent}"));
            } else if self.kind(ino).map(FileType::mode_bits) != Some(kind) {
                let parent = *parent;
                self.enter(parent, key.1, ino)?;
                self.done.push(format!(
                    "corrected the type in the entry {shown:?} of directory {parent}"
                ));
            }
        }
        Ok(())
    }

    /// Gives everything that cannot be reached from the root a place.
    fn find_places(&mut self) -> Result<()> {
        let mut children: FxHashMap<u64, Vec<u64>> = FxHashMap::default();
        let mut place: FxHashMap<u64, (u64, Vec<u8>)> = FxHashMap::default();
        for (key, (ino, _)) in &self.entries {
            children.entry(key.0).or_default().push(*ino);
            place.insert(*ino, key.clone());
        }
        let mut reached = FxHashSet::default();
        let mut reach = |from: u64| {
            let mut next = vec![from];
            while let Some(ino) = next.pop() {
                if reached.insert(ino) {
                    next.extend(children.get(&ino).into_iter().flatten());
                }
            }
            reached.clone()
        };
        let mut known = reach(ROOT);
        let all: Vec<u64> = self.inodes.keys().copied().collect();
        // First what has no name; what is then still out of reach are directories in a ring.
        for ring in [false, true] {
            for &ino in &all {
                if known.contains(&ino) || place.contains_key(&ino) && !(ring && self.is_dir(ino)) {
                    continue;
                }
                let Some(row) = self.inodes.get(&ino) else {
                    continue;
                };
                if row.nlink == 0 {
                    // Removed while it was open, by a machine that was killed.
                    self.drop_inode(ino)?;
                    self.done
                        .push(format!("removed inode {ino}, which had no name"));
                    continue;
                }
                if let Some(key) = place.get(&ino) {
                    self.drop_entry(key)?;
                }
                self.find(ino)?;
                known = reach(ino);
            }
        }
        Ok(())
    }

    /// Puts an inode into the directory for what was lost.
    fn find(&mut self, ino: u64) -> Result<()> {
        let lost = self.lost_and_found()?;
        let name = self.free_name(lost, format!("#{ino}"));
        self.enter(lost, name.clone().into_bytes(), ino)?;
        self.done
            .push(format!("put inode {ino} into /{LOST_AND_FOUND} as {name}"));
        Ok(())
    }

    fn lost_and_found(&mut self) -> Result<u64> {
        let key = (ROOT, LOST_AND_FOUND.as_bytes().to_vec());
        if let Some(&(ino, _)) = self.entries.get(&key)
            && self.is_dir(ino)
        {
            return Ok(ino);
        }
        // A file may have the name.
        let name = self.free_name(ROOT, LOST_AND_FOUND.to_owned());
        let ino = self.inodes.keys().next_back().map_or(ROOT, |last| *last) + 1;
        self.put(new_directory(ino, 0o700))?;
        self.enter(ROOT, name.into_bytes(), ino)?;
        Ok(ino)
    }

    fn free_name(&self, parent: u64, name: String) -> String {
        let free = |name: &String| {
            !self
                .entries
                .contains_key(&(parent, name.clone().into_bytes()))
        };
        let numbered = (1..).map(|n: u32| format!("{name}.{n}"));
        std::iter::once(name.clone())
            .chain(numbered)
            .find(free)
            .unwrap_or(name)
    }

    /// Corrects what inodes say of their names and data.
    fn count(&mut self) -> Result<()> {
        let mut names: FxHashMap<u64, u32> = FxHashMap::default();
        let mut subdirs: FxHashMap<u64, u32> = FxHashMap::default();
        for (&(parent, _), &(ino, _)) in &self.entries {
            *names.entry(ino).or_default() += 1;
            if self.is_dir(ino) {
                *subdirs.entry(parent).or_default() += 1;
            }
        }
        let rows: Vec<InodeRow> = self.inodes.values().cloned().collect();
        for mut row in rows {
            let ino = row.ino;
            let kind = self.kind(ino);
            let links = if kind == Some(FileType::Directory) {
                2 + subdirs.get(&ino).copied().unwrap_or(0)
            } else {
                names.get(&ino).copied().unwrap_or(0)
            };
            let mut wrong = Vec::new();
            if row.nlink != links {
                wrong.push("number of links");
                row.nlink = links;
            }
            if kind == Some(FileType::Regular) {
                let size = self.on_disk.remove(&ino).unwrap_or(0);
                if row.size != size {
                    wrong.push("size");
                    row.size = size;
                }
            }
            if !wrong.is_empty() {
                self.done.push(format!(
                    "corrected the {} of inode {ino}",
                    wrong.join(" and ")
                ));
                self.put(row)?;
            }
        }
        for ino in self.on_disk.keys() {
            self.done.push(format!(
                "removed the data of inode {ino}, which is not there"
            ));
        }
        Ok(())
    }
}

fn new_directory(ino: u64, mode: u32) -> InodeRow {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    InodeRow {
        ino,
        mode: FileType::Directory.mode_bits() | mode,
        nlink: 2,
        atime: now,
        mtime: now,
        ctime: now,
        btime: now,
        ..InodeRow::default()
    }
}
