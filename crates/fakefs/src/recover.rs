//! Putting a store in order that was not closed cleanly, and opening it.
//!
//! The database alone is always consistent: each commit holds a whole state of the tree. What can differ after
//! a crash are the data files: ones whose inodes were never committed or are gone, and sizes, which grow and
//! shrink before the commit that notes them. The data files decide the sizes.

use crate::{
    data::{Files, Lock},
    error::{Error, Result},
    schema::{self, InodeRow},
};
use rusqlite::Connection;
use rustc_hash::FxHashMap;
use std::path::Path;

/// Opens a store for reading by many; recovers it first if nobody else has it open and it needs that.
pub(crate) fn open_shared(path: &Path) -> Result<(Files, Option<Lock>, Connection)> {
    let files = Files::open(path)?;
    if files.is_unclean() || files.has_log() {
        let lock = files.lock(true)?;
        let db = schema::open(&files.database())?;
        if files.is_unclean() {
            reconcile(&files, &db)?;
        }
        // Closing moves the log into the database, so that it can be opened as immutable.
        db.close().map_err(|(_, e)| e)?;
        drop(lock);
    }
    let lock = files.lock(false)?;
    let db = schema::open_immutable(&files.database())?;
    Ok((files, lock, db))
}

/// Makes data files and database agree, and marks the store clean.
pub(crate) fn reconcile(files: &Files, db: &Connection) -> Result<()> {
    schema::set_synchronous(db, true)?;
    db.execute_batch("BEGIN IMMEDIATE")?;
    let done = reconcile_in_transaction(files, db);
    match done {
        Ok(()) => {
            db.execute_batch("COMMIT")?;
            files.mark_clean().map_err(|e| Error::host("recovery", e))
        }
        Err(e) => {
            // The first error is the one to tell; without a commit the next opening tries again.
            let _ = db.execute_batch("ROLLBACK");
            Err(e)
        }
    }
}

fn reconcile_in_transaction(files: &Files, db: &Connection) -> Result<()> {
    let dropped = schema::delete_unnamed(db)?;
    let mut on_disk: FxHashMap<u64, u64> = FxHashMap::default();
    files.each_data(|ino, path, size| match ino {
        Some(ino) => {
            on_disk.insert(ino, size);
        }
        None => {
            tracing::warn!(path = %String::from_utf8_lossy(path), "foreign file among the data of a store");
        }
    })?;
    let mut sizes = Vec::new();
    schema::each_inode(db, |row: InodeRow| {
        if row.mode & 0o170_000 == 0o100_000 {
            let size = on_disk.remove(&row.ino).unwrap_or(0);
            if size != row.size {
                sizes.push((row.ino, size));
            }
        }
    })?;
    for &(ino, size) in &sizes {
        schema::set_size(db, ino, size)?;
    }
    // What is left belongs to no inode.
    for &ino in on_disk.keys() {
        files
            .remove_data(ino)
            .map_err(|e| Error::host("recovery", e))?;
    }
    tracing::info!(
        rows = dropped,
        sizes = sizes.len(),
        stray = on_disk.len(),
        "recovered a store"
    );
    Ok(())
}
