//! Taking over a file system directory of a predecessor: format 3 of iSH's fakefs.
//!
//! `data/` holds a host tree that looks like the guest's, `meta.db` has `paths(path, inode)` and
//! `stats(inode, stat)`; the stat is four little-endian 32-bit words: mode, uid, gid, device number. The root
//! is the empty path, others begin with a slash. Symbolic links (their targets), devices and sockets are
//! regular files in `data`; hard links are several paths with one inode.

use crate::{
    error::{Error, Result},
    writer::{Meta, Writer},
};
use rusqlite::{Connection, OpenFlags};
use rustc_hash::FxHashMap;
use std::path::Path;
use tuxlet_host::{
    errno::from_io,
    fs::{Dir, File, OpenFile},
};
use tuxlet_uapi::errno::Errno;
use tuxlet_vfs::{DeviceId, FileType, attr::Time};

/// The `user_version` of the format that can be imported.
const VERSION: i64 = 3;

/// What an import did.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Number of paths taken over.
    pub paths: u64,
    /// Paths that could not be taken over, and why.
    pub skipped: Vec<String>,
}

/// Writes everything in the directory `dir` of format 3 to `to`.
pub fn import_v3(dir: &Path, to: &mut Writer) -> Result<Imported> {
    let db_path = dir.join("meta.db");
    if !db_path.is_file() {
        return Err(Error::NotAStore(dir.to_owned()));
    }
    let db = Connection::open_with_flags(
        &db_path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if version != VERSION {
        return Err(Error::Version(version));
    }
    let data_path = dir.join("data");
    let data =
        Dir::open(&data_path).map_err(|e| Error::host(data_path.display().to_string(), e))?;

    let mut done = Imported::default();
    let mut first: FxHashMap<i64, Vec<u8>> = FxHashMap::default();
    let mut query = db.prepare(
        "SELECT p.path, p.inode, s.stat FROM paths p JOIN stats s ON s.inode = p.inode ORDER BY p.path",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        // The column is declared as blob, but old writers bound text.
        let path = row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?;
        let inode: i64 = row.get(1)?;
        let stat = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let result = match first.get(&inode) {
            Some(existing) => to.hard_link(path, existing).map(|()| false),
            None => take(&data, path, stat, to),
        };
        match result {
            Ok(linkable) => {
                done.paths += 1;
                if linkable {
                    first.insert(inode, path.to_vec());
                }
            }
            Err(e @ Error::Path { .. }) => done.skipped.push(e.to_string()),
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Takes over one path; tells whether it can have hard links.
fn take(data: &Dir, path: &[u8], stat: &[u8], to: &mut Writer) -> Result<bool> {
    let bad = |errno| Error::path(path, errno);
    let mut words = stat
        .chunks_exact(4)
        .map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    let (Some(mode), Some(uid), Some(gid), Some(rdev), 16) = (
        words.next(),
        words.next(),
        words.next(),
        words.next(),
        stat.len(),
    ) else {
        return Err(bad(Errno::EINVAL));
    };
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    let mut kind = FileType::from_mode(mode);
    if relative.is_empty() {
        // Old tools wrote the root's row without its type.
        kind = Some(FileType::Directory);
    }
    let kind = kind.ok_or_else(|| bad(Errno::EINVAL))?;
    let (dir, name) = beneath(data, relative).map_err(bad)?;
    let host = dir.as_ref().unwrap_or(data);
    let name = if name.is_empty() { b"." } else { name };
    let (sec, nsec) = host.stat(name).map_err(bad)?.mtime;
    let meta = Meta {
        mode: mode & 0o7777,
        uid,
        gid,
        mtime: Time { sec, nsec },
    };
    match kind {
        FileType::Directory => {
            to.directory(relative, &meta)?;
            return Ok(false);
        }
        FileType::Regular => {
            let file = host.open_file(name, OpenFile::READ).map_err(bad)?;
            to.file(relative, &meta, &mut file.into_std())?;
        }
        FileType::Symlink => {
            let target = match host.open_file(name, OpenFile::READ) {
                Ok(file) => read_all(file).map_err(bad)?,
                // Some writers made real links.
                Err(Errno::ELOOP) => host.read_link(name).map_err(bad)?,
                Err(e) => return Err(bad(e)),
            };
            to.symlink(relative, &target, &meta)?;
        }
        FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
            to.node(relative, kind, old_device(rdev), &meta)?;
        }
    }
    Ok(true)
}

/// The device number in a stat word: the low 32 bits of Linux' encoding.
fn old_device(rdev: u32) -> DeviceId {
    DeviceId::decode(u64::from(rdev))
}

/// The host directory (`None`: the top) and name of a path, one component at a time.
fn beneath<'a>(top: &Dir, path: &'a [u8]) -> Result<(Option<Dir>, &'a [u8]), Errno> {
    let mut at = None;
    let mut rest = path;
    while let Some(slash) = rest.iter().position(|&c| c == b'/') {
        at = Some(at.as_ref().unwrap_or(top).open_dir(&rest[..slash])?);
        rest = &rest[slash + 1..];
    }
    Ok((at, rest))
}

fn read_all(file: File) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    let limit = 4096;
    std::io::Read::read_to_end(&mut std::io::Read::take(file.into_std(), limit), &mut out)
        .map_err(|e| from_io(&e))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    fn blob(mode: u32, uid: u32, gid: u32, rdev: u32) -> Vec<u8> {
        [mode, uid, gid, rdev]
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect()
    }

    /// A directory as `fakefsify` would leave it.
    fn build(dir: &Path) {
        let data = dir.join("data");
        std::fs::create_dir_all(data.join("etc")).unwrap();
        std::fs::create_dir_all(data.join("dev")).unwrap();
        std::fs::write(data.join("etc/passwd"), "root:x:0:0").unwrap();
        std::fs::hard_link(data.join("etc/passwd"), data.join("etc/passwd2")).unwrap();
        std::fs::write(data.join("etc/mtab"), "/proc/mounts").unwrap();
        std::fs::write(data.join("dev/tty"), "").unwrap();
        let db = Connection::open(dir.join("meta.db")).unwrap();
        db.execute_batch(
            "PRAGMA user_version = 3; PRAGMA journal_mode = WAL;
             CREATE TABLE meta (id integer unique default 0, db_inode integer);
             CREATE TABLE stats (inode integer primary key, stat blob);
             CREATE TABLE paths (path blob primary key, inode integer references stats(inode));
             CREATE INDEX inode_to_path ON paths (inode, path);",
        )
        .unwrap();
        let rows: [(&str, i64, Vec<u8>); 8] = [
            ("", 1, blob(0o755, 0, 0, 0)),
            ("/etc", 2, blob(0o040_755, 0, 0, 0)),
            ("/etc/passwd", 3, blob(0o100_640, 0, 42, 0)),
            ("/etc/passwd2", 3, Vec::new()),
            ("/etc/mtab", 4, blob(0o120_777, 0, 0, 0)),
            ("/dev", 5, blob(0o040_755, 0, 0, 0)),
            ("/dev/tty", 6, blob(0o020_666, 0, 5, 0x0500)),
            ("/etc/missing", 7, blob(0o100_644, 0, 0, 0)),
        ];
        for (path, inode, stat) in rows {
            if !stat.is_empty() {
                db.execute("INSERT INTO stats VALUES(?1, ?2)", (inode, stat))
                    .unwrap();
            }
            db.execute("INSERT INTO paths VALUES(?1, ?2)", (path.as_bytes(), inode))
                .unwrap();
        }
    }

    #[test]
    fn a_predecessors_directory_is_taken_over() {
        let t = tempfile::tempdir().unwrap();
        let (old, new) = (t.path().join("old"), t.path().join("new"));
        build(&old);
        let mut w = Writer::create(&new).unwrap();
        let done = import_v3(&old, &mut w).unwrap();
        assert_eq!(
            (done.paths, done.skipped.len()),
            (7, 1),
            "{:?}",
            done.skipped
        );
        w.finish().unwrap();
        let r = Reader::open(&new).unwrap();
        let get = |p: &str| r.find(p.as_bytes()).unwrap().unwrap();
        assert_eq!((get("").mode, get("").kind), (0o755, FileType::Directory));
        let passwd = get("etc/passwd");
        assert_eq!(
            (passwd.mode, passwd.gid, passwd.nlink, passwd.size),
            (0o640, 42, 2, 10)
        );
        assert_eq!(get("etc/passwd2").ino, passwd.ino);
        assert_eq!(
            get("etc/mtab").target.as_deref(),
            Some(&b"/proc/mounts"[..])
        );
        let tty = get("dev/tty");
        assert_eq!(
            (tty.kind, tty.rdev),
            (FileType::CharDevice, DeviceId::new(5, 0))
        );
        assert!(r.find(b"etc/missing").unwrap().is_none());
    }
}
