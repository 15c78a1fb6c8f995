//! Looking for contradictions in a store, as fsck(8) does.

use crate::{
    data::Files,
    error::{Error, Result},
    schema::{self, InodeRow, ROOT},
};
use rustc_hash::FxHashMap;
use std::path::Path;
use tuxlet_vfs::FileType;

/// What [`check`] found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Number of inodes.
    pub inodes: u64,
    /// Number of directory entries.
    pub entries: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// Contradictions, one sentence each; empty for a good store.
    pub problems: Vec<String>,
}

/// Checks a store that no machine writes. Nothing is changed. A store after a crash shows differences that the
/// next opening puts in order; they are reported as problems here.
pub fn check(path: &Path) -> Result<Report> {
    let files = Files::open(path)?;
    let _lock = files.lock(false)?;
    let db = if files.has_log() {
        schema::open(&files.database())?
    } else {
        schema::open_immutable(&files.database())?
    };
    let mut report = Report::default();
    let mut say = |text: String| report.problems.push(text);

    let integrity: String = db.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?;
    if integrity != "ok" {
        return Err(Error::Damaged(integrity));
    }
    let mut inodes: FxHashMap<u64, InodeRow> = FxHashMap::default();
    schema::each_inode(&db, |row| {
        inodes.insert(row.ino, row);
    })?;
    let mut names: FxHashMap<u64, u32> = FxHashMap::default();
    let mut subdirs: FxHashMap<u64, u32> = FxHashMap::default();
    let mut parent_of: FxHashMap<u64, u64> = FxHashMap::default();
    let mut entries = 0;
    schema::each_dirent(&db, |parent, name, ino, kind| {
        entries += 1;
        let shown = String::from_utf8_lossy(&name).into_owned();
        match inodes.get(&parent).map(|p| FileType::from_mode(p.mode)) {
            Some(Some(FileType::Directory)) => {}
            _ => say(format!(
                "entry {shown:?} is in {parent}, which is no directory"
            )),
        }
        if name.is_empty()
            || name.contains(&b'/')
            || name == b"."
            || name == b".."
            || name.len() > 255
        {
            say(format!(
                "entry {shown:?} in {parent} has an impossible name"
            ));
        }
        let Some(row) = inodes.get(&ino) else {
            say(format!(
                "entry {shown:?} in {parent} names inode {ino}, which does not exist"
            ));
            return;
        };
        if row.mode & 0o170_000 != kind {
            say(format!(
                "entry {shown:?} in {parent} has another type than inode {ino}"
            ));
        }
        *names.entry(ino).or_default() += 1;
        if kind == FileType::Directory.mode_bits() {
            *subdirs.entry(parent).or_default() += 1;
            if parent_of.insert(ino, parent).is_some() {
                say(format!("directory {ino} has two names"));
            }
        }
    })?;
    let mut on_disk: FxHashMap<u64, u64> = FxHashMap::default();
    files.each_data(|ino, path, size| match ino {
        Some(ino) => {
            on_disk.insert(ino, size);
        }
        None => say(format!(
            "foreign file data/{}",
            String::from_utf8_lossy(path)
        )),
    })?;
    let mut bytes = 0;
    for row in inodes.values() {
        let ino = row.ino;
        let named = names.get(&ino).copied().unwrap_or(0);
        let Some(kind) = FileType::from_mode(row.mode) else {
            say(format!("inode {ino} has no type"));
            continue;
        };
        if named == 0 && ino != ROOT {
            say(format!("inode {ino} has no name"));
        }
        let want = match kind {
            FileType::Directory => 2 + subdirs.get(&ino).copied().unwrap_or(0),
            _ => named,
        };
        if row.nlink != want {
            say(format!(
                "inode {ino} counts {} links and has {want}",
                row.nlink
            ));
        }
        if (kind == FileType::Symlink) != row.target.is_some() {
            say(format!(
                "inode {ino} has a link target without being a link, or none"
            ));
        }
        if kind == FileType::Regular {
            let size = on_disk.remove(&ino).unwrap_or(0);
            bytes += size;
            if size != row.size {
                say(format!(
                    "inode {ino} has size {} and {size} bytes of data",
                    row.size
                ));
            }
        } else if kind == FileType::Directory && ino != ROOT {
            let (mut at, mut steps) = (ino, 0);
            while at != ROOT {
                steps += 1;
                match parent_of.get(&at) {
                    Some(&parent) if steps < 100_000 => at = parent,
                    _ => {
                        say(format!("directory {ino} is not reachable from the root"));
                        break;
                    }
                }
            }
        }
    }
    match inodes.get(&ROOT) {
        Some(root) if root.mode & 0o170_000 == 0o040_000 => {}
        _ => say("there is no root directory".into()),
    }
    for ino in on_disk.keys() {
        say(format!("data without an inode: {ino}"));
    }
    (report.inodes, report.entries, report.bytes) = (inodes.len() as u64, entries, bytes);
    Ok(report)
}
