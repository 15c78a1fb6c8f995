//! Changes on their way to the database.
//!
//! What waits is not a log but a set: the inodes and the names that differ from what was committed. A batch
//! takes their present state under the namespace lock, so each commit is a whole consistent state of the tree,
//! and what was created and removed in between never reaches the database.

use crate::{
    Durability,
    error::database_errno,
    node::Node,
    schema::{self, InodeRow, Xattrs},
    store::Store,
};
use parking_lot::MutexGuard;
use rusqlite::Connection;
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::FileType;

/// A name in a directory.
pub(crate) type Name = Arc<[u8]>;

/// So many changed inodes hurry the flusher.
const MANY: usize = 4096;

/// Nodes whose state differs from the committed one; being here keeps them in memory.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    inodes: Vec<Arc<Node>>,
    dirs: Vec<Arc<Node>>,
    /// Counts the entries ever made that a commit must bring.
    seq: u64,
    /// Whether the flusher knows that there is something.
    awake: bool,
}

/// The writing side of the database.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// Opened at the first commit.
    pub(crate) db: Option<Connection>,
    pub(crate) durable: Option<bool>,
    /// Everything entered up to this count has been committed...
    committed: u64,
    /// ...and up to this one made durable.
    synced: u64,
}

/// The new state of an inode.
#[derive(Debug)]
pub(crate) struct InodeChange {
    pub(crate) node: Arc<Node>,
    /// `None`: it is gone.
    pub(crate) row: Option<InodeRow>,
    pub(crate) xattrs: Option<Xattrs>,
    /// Whether the database had it before.
    pub(crate) was_in_db: bool,
}

/// The new state of a name.
#[derive(Debug)]
pub(crate) struct NameChange {
    pub(crate) name: Name,
    /// `None`: it is gone.
    pub(crate) entry: Option<(u64, FileType)>,
    /// Whether the database had it before.
    pub(crate) was_in_db: bool,
}

#[derive(Debug, Default)]
struct Batch {
    inodes: Vec<InodeChange>,
    dirs: Vec<(Arc<Node>, Vec<NameChange>)>,
    seq: u64,
}

impl Pending {
    /// Whether anything waits.
    pub(crate) fn any(&self) -> bool {
        !self.inodes.is_empty() || !self.dirs.is_empty()
    }
}

impl Store {
    /// Puts an inode on the list, and returns the count with it. `soon` wakes the flusher and is what fsync(2)
    /// waits for; without it the inode goes with the next commit that somebody needs.
    pub(crate) fn enqueue_inode(&self, node: Arc<Node>, soon: bool) -> u64 {
        if self.is_shut() {
            return self.pending_seq();
        }
        let mut p = self.pending.lock();
        p.inodes.push(node);
        let many = p.inodes.len() == MANY;
        self.note_pending(p, soon, many)
    }

    /// Makes an inode that is on the list already one that is needed soon.
    pub(crate) fn hasten_inode(&self) -> u64 {
        self.note_pending(self.pending.lock(), true, false)
    }

    pub(crate) fn enqueue_dir(&self, node: Arc<Node>) {
        if self.is_shut() {
            return;
        }
        let mut p = self.pending.lock();
        p.dirs.push(node);
        self.note_pending(p, true, false);
    }

    fn note_pending(&self, mut p: MutexGuard<'_, Pending>, soon: bool, many: bool) -> u64 {
        p.seq += u64::from(soon);
        let seq = p.seq;
        let wake = soon && !p.awake;
        p.awake |= soon;
        drop(p);
        if wake || many {
            self.flusher.wake(&self.this, many);
        }
        seq
    }

    /// The count that a commit must reach to cover everything so far.
    pub(crate) fn pending_seq(&self) -> u64 {
        self.pending.lock().seq
    }

    /// Whether everything up to a count is committed, and (if `durable`) on the medium.
    pub(crate) fn is_committed(&self, seq: u64, durable: bool) -> bool {
        let writer = self.writer.lock();
        seq <= if durable {
            writer.synced
        } else {
            writer.committed
        }
    }

    /// Writes what waits, if any of it is needed, and with `durable` lets it reach the medium. Nothing is needed of a store
    /// that is not kept.
    pub(crate) fn commit(&self, durable: bool) -> Result<()> {
        if self.durability == Durability::Nothing {
            return Ok(());
        }
        self.commit_with(durable, false)
    }

    /// As [`Store::commit`], but writes also what is not needed (access times), though not to the medium for
    /// its sake.
    pub(crate) fn commit_all(&self, durable: bool) -> Result<()> {
        self.commit_with(durable, true)
    }

    fn commit_with(&self, durable: bool, all: bool) -> Result<()> {
        // Nothing has changed in a suspended store.
        if self.read_only || self.is_shut() || self.is_suspended() {
            return Ok(());
        }
        let target = self.pending_seq();
        let mut writer = self.writer.lock();
        // Another thread's commit may have covered it meanwhile.
        let covered = writer.committed >= target && (!durable || writer.synced >= target);
        if covered && !(all && self.pending.lock().any()) {
            return Ok(());
        }
        let durable = durable && !covered;
        let batch = self.take_batch();
        let written = write_out_data(&batch).and_then(|()| {
            self.write_batch(&mut writer, &batch, durable).map_err(|e| {
                tracing::error!(error = %e, "committing to a store");
                if let Some(db) = &writer.db
                    && !db.is_autocommit()
                {
                    // Some errors have rolled back already.
                    let _ = db.execute_batch("ROLLBACK");
                }
                database_errno(&e)
            })
        });
        match written {
            Ok(()) => {
                writer.committed = batch.seq;
                if durable {
                    writer.synced = batch.seq;
                }
                // Nodes may end with the batch; that removes files, for which nobody should wait.
                drop(writer);
                Ok(())
            }
            Err(errno) => {
                Self::put_back(batch);
                Err(errno)
            }
        }
    }

    /// Gives up what waits, after a shutdown.
    pub(crate) fn forget_pending(&self) {
        let mut p = self.pending.lock();
        let waiting = (std::mem::take(&mut p.inodes), std::mem::take(&mut p.dirs));
        // Their ends take other locks.
        drop(p);
        drop(waiting);
    }

    fn take_batch(&self) -> Batch {
        let _namespace = self.namespace.lock();
        let (inodes, dirs, seq) = {
            let mut p = self.pending.lock();
            p.awake = false;
            (
                std::mem::take(&mut p.inodes),
                std::mem::take(&mut p.dirs),
                p.seq,
            )
        };
        Batch {
            inodes: inodes.into_iter().map(Node::take_change).collect(),
            dirs: dirs
                .into_iter()
                .map(|d| {
                    let changes = d.take_name_changes();
                    (d, changes)
                })
                .collect(),
            seq,
        }
    }

    fn put_back(batch: Batch) {
        for change in batch.inodes {
            Node::put_back_change(change);
        }
        for (dir, changes) in batch.dirs {
            dir.put_back_name_changes(changes);
        }
    }

    fn write_batch(
        &self,
        writer: &mut Writer,
        batch: &Batch,
        durable: bool,
    ) -> rusqlite::Result<()> {
        let db = match &writer.db {
            Some(db) => db,
            None => {
                let opened = self.files.made_database().map_err(crate::Error::from);
                let opened = opened.and_then(|path| schema::open(&path));
                let db = opened.map_err(|e| match e {
                    crate::Error::Database(e) => e,
                    other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
                })?;
                writer.db.insert(db)
            }
        };
        if writer.durable != Some(durable) {
            schema::set_synchronous(db, durable)?;
            writer.durable = Some(durable);
        }
        let mut changed = false;
        let mut begin = || -> rusqlite::Result<()> {
            if !std::mem::replace(&mut changed, true) {
                db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            }
            Ok(())
        };
        for c in &batch.inodes {
            match &c.row {
                Some(row) => {
                    begin()?;
                    schema::put_inode(db, row)?;
                    if let Some(xattrs) = &c.xattrs {
                        schema::replace_xattrs(db, row.ino, xattrs)?;
                    }
                }
                None if c.was_in_db => {
                    begin()?;
                    schema::delete_inode(db, c.node.ino)?;
                }
                None => {}
            }
        }
        for (dir, names) in &batch.dirs {
            for n in names {
                match n.entry {
                    Some((ino, kind)) => {
                        begin()?;
                        schema::put_dirent(db, dir.ino, &n.name, ino, kind.mode_bits())?;
                    }
                    None if n.was_in_db => {
                        begin()?;
                        schema::delete_dirent(db, dir.ino, &n.name)?;
                    }
                    None => {}
                }
            }
        }
        if durable && writer.synced < writer.committed {
            // Earlier commits are in the log but may not be on the medium; any durable commit brings them.
            begin()?;
        }
        if changed {
            schema::count_commit(db)?;
            db.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

/// An inode that the database has must have its bytes on the host.
fn write_out_data(batch: &Batch) -> Result<()> {
    for change in batch.inodes.iter().filter(|c| c.row.is_some()) {
        change.node.write_out().inspect_err(|errno| {
            tracing::error!(ino = change.node.ino, %errno, "writing the data of a file");
        })?;
    }
    Ok(())
}

impl From<Errno> for crate::Error {
    fn from(errno: Errno) -> Self {
        Self::Host {
            what: "store".into(),
            errno,
        }
    }
}
