//! The metadata database: tables, statements, versions. All SQL on the live tables is in here.
//!
//! `docs/adr/0005-fakefs-on-disk-format.md` describes the format.

use crate::error::{Error, Result};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row as SqlRow, params};
use std::path::Path;
use tuxlet_vfs::attr::Time;

/// `PRAGMA application_id` of a store's database: "Tuxl".
const APPLICATION_ID: i64 = 0x5475_786c;
/// `PRAGMA user_version`: the format that this version writes.
const VERSION: i64 = 1;

/// File name of the database in the store.
pub(crate) const FILE: &str = "meta.db";

/// The root directory's inode number.
pub(crate) const ROOT: u64 = 1;

const TABLES: &str = "
CREATE TABLE inodes(
    ino INTEGER PRIMARY KEY,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    nlink INTEGER NOT NULL,
    rdev INTEGER NOT NULL,
    size INTEGER NOT NULL,
    sparse INTEGER NOT NULL,
    atime INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    ctime INTEGER NOT NULL,
    btime INTEGER NOT NULL,
    target BLOB
) STRICT;
CREATE TABLE dirents(
    parent INTEGER NOT NULL,
    name BLOB NOT NULL,
    ino INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    PRIMARY KEY(parent, name)
) WITHOUT ROWID, STRICT;
CREATE TABLE xattrs(
    ino INTEGER NOT NULL,
    name BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY(ino, name)
) WITHOUT ROWID, STRICT;
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES('commits', 0);
";

/// An inode as the database has it. Times are nanoseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InodeRow {
    pub(crate) ino: u64,
    /// With the `S_IF*` bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    /// As [`tuxlet_vfs::DeviceId::encode`] has it.
    pub(crate) rdev: u64,
    pub(crate) size: u64,
    /// Whether the data may occupy another amount than its size suggests.
    pub(crate) sparse: bool,
    pub(crate) atime: i64,
    pub(crate) mtime: i64,
    pub(crate) ctime: i64,
    pub(crate) btime: i64,
    /// Target of a symbolic link.
    pub(crate) target: Option<Box<[u8]>>,
}

/// Extended attributes: name and value.
pub(crate) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Nanoseconds since the epoch; what does not fit (before 1677, after 2262) is clamped.
pub(crate) fn to_ns(t: Time) -> i64 {
    t.sec
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(t.nsec))
}

pub(crate) fn from_ns(ns: i64) -> Time {
    Time {
        sec: ns.div_euclid(1_000_000_000),
        nsec: ns.rem_euclid(1_000_000_000) as u32,
    }
}

/// Makes a new database with what `fill` puts into it, all or nothing. Nothing is synced.
pub(crate) fn create(
    path: &Path,
    fill: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<()> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA page_size = 4096;")?;
    let _: String = db.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0))?;
    configure(&db)?;
    db.execute_batch(&format!(
        "BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; {TABLES}"
    ))?;
    fill(&db)?;
    db.execute_batch("COMMIT")?;
    // The last connection's end moves the log into the database.
    db.close().map_err(|(_, e)| Error::from(e))
}

/// Opens an existing database for reading and writing.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    configure(&db)?;
    check_version(&db)?;
    Ok(db)
}

/// Opens a database that nobody writes, without locks or side files: it may be shared by many.
pub(crate) fn open_immutable(path: &Path) -> Result<Connection> {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let absolute = std::path::absolute(path)
        .map_err(|e| Error::host("path", tuxlet_host::errno::from_io(&e)))?;
    let mut uri = String::from("file:");
    for &b in absolute.as_os_str().as_bytes() {
        if b.is_ascii_alphanumeric() || b"/._-".contains(&b) {
            uri.push(char::from(b));
        } else {
            let _ = write!(uri, "%{b:02x}");
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(uri, flags)?;
    configure(&db)?;
    check_version(&db)?;
    Ok(db)
}

fn configure(db: &Connection) -> Result<()> {
    db.set_prepared_statement_cache_capacity(32);
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    db.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096;")?;
    Ok(())
}

fn check_version(db: &Connection) -> Result<()> {
    let id: i64 = db.query_row("PRAGMA application_id", [], |r| r.get(0))?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if id != APPLICATION_ID {
        return Err(Error::Damaged("the database is not a store's".into()));
    }
    if version != VERSION {
        return Err(Error::Version(version));
    }
    Ok(())
}

/// Whether commits reach the medium before they return, or only the host's kernel.
pub(crate) fn set_synchronous(db: &Connection, durable: bool) -> rusqlite::Result<()> {
    db.execute_batch(if durable {
        "PRAGMA synchronous = FULL"
    } else {
        "PRAGMA synchronous = NORMAL"
    })
}

const INODE_COLUMNS: &str =
    "ino, mode, uid, gid, nlink, rdev, size, sparse, atime, mtime, ctime, btime, target";

fn inode_row(r: &SqlRow<'_>) -> rusqlite::Result<InodeRow> {
    Ok(InodeRow {
        ino: r.get::<_, i64>(0)? as u64,
        mode: r.get(1)?,
        uid: r.get(2)?,
        gid: r.get(3)?,
        nlink: r.get(4)?,
        rdev: r.get::<_, i64>(5)? as u64,
        size: r.get::<_, i64>(6)? as u64,
        sparse: r.get(7)?,
        atime: r.get(8)?,
        mtime: r.get(9)?,
        ctime: r.get(10)?,
        btime: r.get(11)?,
        target: r.get::<_, Option<Vec<u8>>>(12)?.map(Vec::into_boxed_slice),
    })
}

pub(crate) fn load_inode(db: &Connection, ino: u64) -> rusqlite::Result<Option<InodeRow>> {
    db.prepare_cached(&format!(
        "SELECT {INODE_COLUMNS} FROM inodes WHERE ino = ?1"
    ))?
    .query_row([ino as i64], inode_row)
    .optional()
}

/// Every inode, by number.
pub(crate) fn each_inode(db: &Connection, mut f: impl FnMut(InodeRow)) -> rusqlite::Result<()> {
    let mut q = db.prepare(&format!("SELECT {INODE_COLUMNS} FROM inodes ORDER BY ino"))?;
    let mut rows = q.query([])?;
    while let Some(r) = rows.next()? {
        f(inode_row(r)?);
    }
    Ok(())
}

/// Every directory entry by parent and name: parent, name, inode number, `S_IF*` bits.
pub(crate) fn each_dirent(
    db: &Connection,
    mut f: impl FnMut(u64, Vec<u8>, u64, u32),
) -> rusqlite::Result<()> {
    let mut q = db.prepare("SELECT parent, name, ino, kind FROM dirents ORDER BY parent, name")?;
    let mut rows = q.query([])?;
    while let Some(r) = rows.next()? {
        f(
            r.get::<_, i64>(0)? as u64,
            r.get(1)?,
            r.get::<_, i64>(2)? as u64,
            r.get(3)?,
        );
    }
    Ok(())
}

/// The highest inode number.
pub(crate) fn max_ino(db: &Connection) -> rusqlite::Result<u64> {
    db.query_row("SELECT max(ino) FROM inodes", [], |r| {
        r.get::<_, Option<i64>>(0)
    })
    .map(|n| n.unwrap_or(0) as u64)
}

/// One entry of a directory: inode number and `S_IF*` bits.
pub(crate) fn load_dirent(
    db: &Connection,
    parent: u64,
    name: &[u8],
) -> rusqlite::Result<Option<(u64, u32)>> {
    db.prepare_cached("SELECT ino, kind FROM dirents WHERE parent = ?1 AND name = ?2")?
        .query_row(params![parent as i64, name], |r| {
            Ok((r.get::<_, i64>(0)? as u64, r.get(1)?))
        })
        .optional()
}

/// All entries of a directory, by name.
pub(crate) fn load_dir(
    db: &Connection,
    parent: u64,
    mut f: impl FnMut(&[u8], u64, u32),
) -> rusqlite::Result<()> {
    let mut q =
        db.prepare_cached("SELECT name, ino, kind FROM dirents WHERE parent = ?1 ORDER BY name")?;
    let mut rows = q.query([parent as i64])?;
    while let Some(r) = rows.next()? {
        let name = r.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        f(name, r.get::<_, i64>(1)? as u64, r.get(2)?);
    }
    Ok(())
}

pub(crate) fn load_xattrs(db: &Connection, ino: u64) -> rusqlite::Result<Xattrs> {
    db.prepare_cached("SELECT name, value FROM xattrs WHERE ino = ?1 ORDER BY name")?
        .query_map([ino as i64], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect()
}

pub(crate) fn put_inode(db: &Connection, row: &InodeRow) -> rusqlite::Result<()> {
    db.prepare_cached(&format!(
        "INSERT OR REPLACE INTO inodes({INODE_COLUMNS}) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)"
    ))?
    .execute(params![
        row.ino as i64,
        row.mode,
        row.uid,
        row.gid,
        row.nlink,
        row.rdev as i64,
        row.size as i64,
        row.sparse,
        row.atime,
        row.mtime,
        row.ctime,
        row.btime,
        row.target.as_deref(),
    ])?;
    Ok(())
}

pub(crate) fn delete_inode(db: &Connection, ino: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM inodes WHERE ino = ?1")?
        .execute([ino as i64])?;
    db.prepare_cached("DELETE FROM xattrs WHERE ino = ?1")?
        .execute([ino as i64])?;
    Ok(())
}

pub(crate) fn set_size(db: &Connection, ino: u64, size: u64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE inodes SET size = ?2 WHERE ino = ?1")?
        .execute([ino as i64, size as i64])?;
    Ok(())
}

pub(crate) fn put_dirent(
    db: &Connection,
    parent: u64,
    name: &[u8],
    ino: u64,
    kind: u32,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO dirents(parent, name, ino, kind) VALUES(?1,?2,?3,?4)",
    )?
    .execute(params![parent as i64, name, ino as i64, kind])?;
    Ok(())
}

pub(crate) fn delete_dirent(db: &Connection, parent: u64, name: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM dirents WHERE parent = ?1 AND name = ?2")?
        .execute(params![parent as i64, name])?;
    Ok(())
}

pub(crate) fn replace_xattrs(db: &Connection, ino: u64, xattrs: &Xattrs) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM xattrs WHERE ino = ?1")?
        .execute([ino as i64])?;
    for (name, value) in xattrs {
        db.prepare_cached("INSERT INTO xattrs(ino, name, value) VALUES(?1,?2,?3)")?
            .execute(params![ino as i64, name, value])?;
    }
    Ok(())
}

/// Removes inodes that no directory names, and what belongs to no inode; returns how many rows.
pub(crate) fn delete_unnamed(db: &Connection) -> rusqlite::Result<usize> {
    let mut n = db.execute(
        "DELETE FROM inodes WHERE ino <> ?1 AND ino NOT IN (SELECT ino FROM dirents)",
        [ROOT as i64],
    )?;
    n += db.execute(
        "DELETE FROM dirents WHERE ino NOT IN (SELECT ino FROM inodes)",
        [],
    )?;
    n += db.execute(
        "DELETE FROM xattrs WHERE ino NOT IN (SELECT ino FROM inodes)",
        [],
    )?;
    Ok(n)
}

/// Counts a commit: a write of its own when there is nothing else to make durable.
/// How many commits there have been.
pub(crate) fn commits(db: &Connection) -> rusqlite::Result<u64> {
    db.query_row("SELECT value FROM meta WHERE key = 'commits'", [], |r| {
        r.get::<_, i64>(0).map(i64::cast_unsigned)
    })
}

pub(crate) fn count_commit(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE meta SET value = value + 1 WHERE key = 'commits'")?
        .execute([])?;
    Ok(())
}
