//! Letting go of a store for a while: an app in the background must not hold locks, and may be ended at any time.
//!
//! While a store is suspended its directory is whole, closed and unlocked, as after the end of the process; operations that need it fail
//! with `EAGAIN`. The mark of an unclean store stays, so that whoever opens it meanwhile puts it in order. Having done so it takes the
//! mark away, which tells us that what we have in memory is out of date; so does another number of commits.

use crate::{
    FakeFs,
    batch::Writer,
    error::{Error, Result},
    schema,
    store::Store,
};
use rusqlite::Connection;
use std::sync::atomic::Ordering;
use tuxlet_uapi::errno::Errno;

/// What the store on disk looked like when it was let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    commits: u64,
    unclean: bool,
}

fn close(db: Option<Connection>) -> Result<()> {
    // The last connection moves the log into the database.
    db.map_or(Ok(()), |db| db.close().map_err(|(_, e)| e.into()))
}

impl FakeFs {
    /// Writes everything back, closes the database and releases the lock. Nobody may use the file system meanwhile; whoever does gets
    /// `EAGAIN`. Does nothing if the store is suspended already.
    pub fn suspend(&self) -> Result<()> {
        let store = &self.store;
        let mut left = store.left.lock();
        if left.is_some() || store.is_shut() {
            return Ok(());
        }
        if !store.read_only {
            store.write_back_pages()?;
            store.commit_all(store.durable())?;
            store.sync_written()?;
            store.flusher.halt();
            store.flusher.remove_now(&store.files, || ());
        }
        if !store.files.is_made() {
            return Ok(());
        }
        let commits = store.query(schema::commits)?;
        store.suspended.store(true, Ordering::SeqCst);
        *left = Some(Left {
            commits,
            unclean: store.files.is_unclean(),
        });
        let mut writer = store.writer.lock();
        let closed = close(writer.take_db()).and_then(|()| close(store.reader.lock().take()));
        drop(writer);
        store.lock.lock().take();
        store.files.release();
        closed
    }

    /// Takes hold of the store again. [`Error::Busy`] while somebody else has it open, [`Error::Changed`] if somebody else has changed it:
    /// then this file system cannot be used any more.
    pub fn resume(&self) -> Result<()> {
        let store = &self.store;
        let mut left = store.left.lock();
        let Some(was) = *left else {
            return Ok(());
        };
        let lock = store.files.lock(!store.read_only)?;
        let db = if store.read_only {
            schema::open_immutable(&store.files.database())?
        } else {
            schema::open(&store.files.database())?
        };
        let is = Left {
            commits: schema::commits(&db)?,
            unclean: store.files.is_unclean(),
        };
        if is != was {
            return Err(Error::Changed);
        }
        *store.reader.lock() = Some(db);
        *store.lock.lock() = lock;
        *left = None;
        store.suspended.store(false, Ordering::SeqCst);
        Ok(())
    }
}

impl Store {
    /// Whether the store has been let go of.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::SeqCst)
    }

    /// `EAGAIN` while the store is suspended.
    pub(crate) fn must_be_awake(&self) -> std::result::Result<(), Errno> {
        if self.is_suspended() {
            Err(Errno::EAGAIN)
        } else {
            Ok(())
        }
    }
}

impl Writer {
    /// Takes the connection; the next commit opens another.
    fn take_db(&mut self) -> Option<Connection> {
        self.durable = None;
        self.db.take()
    }
}
