//! Reading what can still be read of a damaged database.
//!
//! A damaged page makes SQLite refuse every row on it, and what can only be found through it. All others are found by asking for them
//! one by one. What is known of a lost inode (its data, the names that lead to it) is kept under attributes of its kind.

use crate::{
    data::Files,
    error::{Error, Result},
    schema::{self, InodeRow, ROOT},
};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::{collections::BTreeMap, fs, io, path::Path};
use tuxlet_vfs::FileType;

/// Where the damaged database stays.
const DAMAGED: &str = "meta.db.damaged";
/// Where the new one is made.
const NEW: &str = "meta.db.new";
/// So many numbers without an inode behind the last one known end the search.
const GAP: u64 = 10_000;

/// An entry of a directory: inode number and `S_IF*` bits by parent and name.
type Entries = BTreeMap<(u64, Vec<u8>), (u64, u32)>;

/// Puts a new database with what can be read in the damaged one's place, which is kept beside it. Says what it did.
///
/// # Errors
/// [`Error::Damaged`] if not even one inode can be read; then nothing is changed.
pub(crate) fn salvage(files: &Files, db: Connection, damage: String) -> Result<Vec<String>> {
    let mut data = BTreeMap::new();
    files.each_data(|ino, _, size| data.extend(ino.map(|ino| (ino, size))))?;
    let (mut inodes, lost) = read_inodes(&db, data.keys().next_back().copied().unwrap_or(ROOT));
    if inodes.is_empty() {
        return Err(Error::Damaged(damage));
    }
    let read = inodes.len();
    let mut entries = Entries::new();
    // A directory whose own row is lost may still have its entries.
    let last = inodes.keys().next_back().copied().unwrap_or(ROOT);
    for parent in ROOT..=last {
        let known = inodes.get(&parent).map(|row| FileType::from_mode(row.mode));
        if matches!(known, None | Some(Some(FileType::Directory))) {
            read_directory(&db, parent, &mut entries);
        }
    }
    let made = make_up(&mut inodes, &entries, &data);
    let path = files.database();
    let new = path.with_file_name(NEW);
    remove(&new)?;
    schema::create(&new, |to| {
        for row in inodes.values() {
            schema::put_inode(to, row)?;
            // Attributes that cannot be read are gone.
            if let Ok(xattrs) = schema::load_xattrs(&db, row.ino) {
                schema::replace_xattrs(to, row.ino, &xattrs)?;
            }
        }
        for ((parent, name), (ino, kind)) in &entries {
            schema::put_dirent(to, *parent, name, *ino, *kind)?;
        }
        Ok(())
    })?;
    drop(db);
    let host = |what: &Path| {
        let what = what.display().to_string();
        move |e: io::Error| Error::host(what, tuxlet_host::errno::from_io(&e))
    };
    fs::File::open(&new)
        .and_then(|f| f.sync_all())
        .map_err(host(&new))?;
    let kept = path.with_file_name(DAMAGED);
    remove(&kept)?;
    fs::hard_link(&path, &kept).map_err(host(&kept))?;
    // The log is the old database's; it has been read.
    for side in ["meta.db-wal", "meta.db-shm"] {
        remove(&path.with_file_name(side))?;
    }
    fs::rename(&new, &path).map_err(host(&path))?;
    Ok(vec![
        format!("the database was damaged: {}", damage.replace('\n', " ")),
        format!(
            "read {read} inodes and {} entries of it; {lost} numbers could not be looked up, and {made} inodes were made up for",
            entries.len()
        ),
        format!("kept the old database as {DAMAGED}"),
    ])
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::host(
            path.display().to_string(),
            tuxlet_host::errno::from_io(&e),
        )),
        _ => Ok(()),
    }
}

/// All inodes that can be read, and how many numbers cannot be looked up. `known` is the highest that there is for sure.
fn read_inodes(db: &Connection, known: u64) -> (BTreeMap<u64, InodeRow>, u64) {
    let (mut inodes, mut lost) = (BTreeMap::new(), 0);
    let mut end = schema::max_ino(db).unwrap_or(0).max(known);
    let open_ended = schema::max_ino(db).is_err();
    let mut ino = ROOT;
    while ino <= end || (open_ended && ino <= end + GAP) {
        match schema::load_inode(db, ino) {
            Ok(Some(row)) => {
                end = end.max(ino);
                inodes.insert(ino, row);
            }
            Ok(None) => {}
            Err(_) => lost += 1,
        }
        ino += 1;
    }
    (inodes, lost)
}

/// The entries of a directory from both ends, as far as they can be read.
fn read_directory(db: &Connection, parent: u64, entries: &mut Entries) {
    const UP: &str =
        "SELECT name, ino, kind FROM dirents WHERE parent = ?1 AND name > ?2 ORDER BY name LIMIT 1";
    const DOWN: &str = "SELECT name, ino, kind FROM dirents WHERE parent = ?1 AND name < ?2 ORDER BY name DESC LIMIT 1";
    let next = |sql: &str, from: &[u8]| {
        db.prepare_cached(sql)?
            .query_row(params![parent as i64, from], |r| {
                Ok((
                    r.get::<_, Vec<u8>>(0)?,
                    r.get::<_, i64>(1)? as u64,
                    r.get(2)?,
                ))
            })
            .optional()
    };
    // No name is longer than 255 bytes, so none comes after this.
    for (sql, start) in [(UP, Vec::new()), (DOWN, vec![0xff; 256])] {
        let mut at = start;
        loop {
            match next(sql, &at) {
                Ok(Some((name, ino, kind))) => {
                    let known = entries.insert((parent, name.clone()), (ino, kind));
                    if known.is_some() {
                        return;
                    }
                    at = name;
                }
                // All of it has been read.
                Ok(None) => return,
                Err(_) => break,
            }
        }
    }
}

/// Makes inodes for names and data that lead to none; returns how many.
fn make_up(
    inodes: &mut BTreeMap<u64, InodeRow>,
    entries: &Entries,
    data: &BTreeMap<u64, u64>,
) -> usize {
    let before = inodes.len();
    let parents = entries
        .keys()
        .map(|(parent, _)| (*parent, FileType::Directory));
    let named = entries.values().filter_map(|(ino, kind)| {
        let kind = FileType::from_mode(*kind)?;
        // Of other kinds, what they are is lost.
        matches!(kind, FileType::Directory | FileType::Regular).then_some((*ino, kind))
    });
    let stored = data.keys().map(|ino| (*ino, FileType::Regular));
    for (ino, kind) in parents.chain(named).chain(stored) {
        let mode = if kind == FileType::Directory {
            0o700
        } else {
            0o600
        };
        inodes.entry(ino).or_insert_with(|| InodeRow {
            ino,
            mode: kind.mode_bits() | mode,
            nlink: 1,
            size: data.get(&ino).copied().unwrap_or(0),
            ..InodeRow::default()
        });
    }
    inodes.len() - before
}
