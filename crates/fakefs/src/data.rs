//! The store's directory: lock, marker, and the host files with the data of regular inodes.

use crate::{
    error::{Error, Result},
    schema::{self, InodeRow},
};
use parking_lot::Mutex;
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};
use tuxlet_host::fs::{Dir, File, FsStat, OpenFile};
use tuxlet_uapi::errno::Errno;

const DATA: &[u8] = b"data";
const LOCK: &[u8] = b"lock";
/// Present from the first change until a clean end: the next opening reconciles if it finds it.
const UNCLEAN: &[u8] = b"unclean";

/// A store's directory.
#[derive(Debug)]
pub(crate) struct Files {
    path: PathBuf,
    /// Empty until a new store is needed on disk.
    dirs: OnceLock<Dirs>,
    /// What a new store gets at its making; held while it is made.
    new: Mutex<Option<NewStore>>,
}

#[derive(Debug)]
struct Dirs {
    top: Dir,
    data: Dir,
    /// Of a store that was made late.
    lock: Mutex<Option<Lock>>,
}

/// How a store is made that does not exist yet.
#[derive(Debug)]
struct NewStore {
    root: InodeRow,
    /// Whether it must survive the host's power failure.
    durable: bool,
}

/// The name of an inode's data below `data`: spread over 256 directories by the low byte.
fn name_of(ino: u64) -> Vec<u8> {
    format!("{:02x}/{ino}", ino & 0xff).into_bytes()
}

const CREATE: OpenFile = OpenFile {
    read: true,
    write: true,
    create: Some(0o600),
    exclusive: false,
    truncate: false,
};

impl Files {
    fn of(path: &Path, top: Dir, data: Dir) -> Self {
        Self {
            path: path.to_owned(),
            dirs: OnceLock::from(Dirs {
                top,
                data,
                lock: Mutex::default(),
            }),
            new: Mutex::new(None),
        }
    }

    /// A store that does not exist yet, and is made when something has to be kept in it.
    pub(crate) fn later(path: &Path, root: InodeRow, durable: bool) -> Self {
        Self {
            path: path.to_owned(),
            dirs: OnceLock::new(),
            new: Mutex::new(Some(NewStore { root, durable })),
        }
    }

    /// The store's directories, made if need be.
    fn dirs(&self) -> Result<&Dirs, Errno> {
        if let Some(dirs) = self.dirs.get() {
            return Ok(dirs);
        }
        let mut new = self.new.lock();
        if let Some(new) = &*new {
            let dirs = self.make(new).map_err(|error| {
                tracing::error!(%error, path = %self.path.display(), "making a store");
                Errno::from(error)
            })?;
            // Nobody else sets it: we hold `new`.
            let _ = self.dirs.set(dirs);
        }
        *new = None;
        self.dirs.get().ok_or(Errno::EIO)
    }

    /// Makes the store, in one step: it is there whole or not at all. It counts as unclean, since it is made for a change.
    fn make(&self, new: &NewStore) -> Result<Dirs> {
        let host = |e: std::io::Error| {
            Error::host(
                self.path.display().to_string(),
                tuxlet_host::errno::from_io(&e),
            )
        };
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        // Left by a process that was killed; whoever opens a store sees to it that there is one at a time.
        match std::fs::remove_dir_all(&temporary) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(host(e)),
            _ => {}
        }
        let files = Self::create(&temporary)?;
        let lock = files.lock(true)?;
        schema::create(&files.database(), |db| schema::put_inode(db, &new.root))?;
        files.mark_unclean()?;
        let Some(dirs) = files.dirs.into_inner() else {
            return Err(Error::host("new store", Errno::EIO));
        };
        if new.durable {
            dirs.top
                .open_file(schema::FILE.as_bytes(), OpenFile::READ)?
                .sync(false)?;
            dirs.top.sync()?;
        }
        std::fs::rename(&temporary, &self.path).map_err(host)?;
        if new.durable
            && let Some(parent) = self.path.parent()
        {
            Dir::open(parent)?.sync()?;
        }
        Ok(Dirs {
            lock: Mutex::new(lock),
            ..dirs
        })
    }

    /// The path of the database of a store that is made if need be.
    pub(crate) fn made_database(&self) -> Result<PathBuf, Errno> {
        self.dirs()?;
        Ok(self.database())
    }

    /// Makes the directory of a new, empty store; it may exist if it is empty.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let io = |e: std::io::Error| {
            Error::host(path.display().to_string(), tuxlet_host::errno::from_io(&e))
        };
        std::fs::create_dir_all(path).map_err(io)?;
        let top = Dir::open(path).map_err(|e| Error::host(path.display().to_string(), e))?;
        if !top
            .entries()
            .map_err(|e| Error::host("new store", e))?
            .is_empty()
        {
            return Err(Error::host(path.display().to_string(), Errno::ENOTEMPTY));
        }
        top.make_dir(DATA, 0o700)
            .map_err(|e| Error::host("data", e))?;
        let data = top.open_dir(DATA).map_err(|e| Error::host("data", e))?;
        Ok(Self::of(path, top, data))
    }

    pub(crate) fn open(path: &Path) -> Result<Self> {
        let top = Dir::open(path).map_err(|e| Error::host(path.display().to_string(), e))?;
        if !top.stat(schema::FILE.as_bytes()).is_ok_and(|s| s.is_file()) {
            return Err(Error::NotAStore(path.to_owned()));
        }
        let data = top
            .open_dir(DATA)
            .map_err(|_| Error::NotAStore(path.to_owned()))?;
        Ok(Self::of(path, top, data))
    }

    /// Whether the store exists.
    pub(crate) fn is_made(&self) -> bool {
        self.made().is_some()
    }

    /// Releases the lock of a store that was made late.
    pub(crate) fn release(&self) {
        if let Some(dirs) = self.made() {
            dirs.lock.lock().take();
        }
    }

    fn made(&self) -> Option<&Dirs> {
        self.dirs.get()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(schema::FILE)
    }

    /// Locks the store: one writer, or any number of readers. Held until it is dropped.
    pub(crate) fn lock(&self, exclusive: bool) -> Result<Option<Lock>> {
        let how = if exclusive { CREATE } else { OpenFile::READ };
        let file = match self.dirs()?.top.open_file(LOCK, how) {
            Ok(file) => file,
            // A store on a read-only medium that was never opened for writing has no lock file, nor needs it.
            Err(Errno::ENOENT) if !exclusive => return Ok(None),
            Err(e) => return Err(Error::host("lock", e)),
        };
        match file.try_lock(exclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(Errno::EAGAIN) => Err(Error::Busy),
            Err(e) => Err(Error::host("lock", e)),
        }
    }

    pub(crate) fn is_unclean(&self) -> bool {
        self.made().is_some_and(|d| d.top.stat(UNCLEAN).is_ok())
    }

    pub(crate) fn mark_unclean(&self) -> Result<(), Errno> {
        match self.made() {
            Some(dirs) => dirs.top.open_file(UNCLEAN, CREATE).map(drop),
            // It is marked when it is made.
            None => Ok(()),
        }
    }

    pub(crate) fn mark_clean(&self) -> Result<(), Errno> {
        match self.made().map(|d| d.top.unlink(UNCLEAN)) {
            None | Some(Err(Errno::ENOENT)) => Ok(()),
            Some(other) => other,
        }
    }

    /// Whether the database still has a write-ahead log beside it.
    pub(crate) fn has_log(&self) -> bool {
        let name = format!("{}-wal", schema::FILE);
        self.made()
            .and_then(|d| d.top.stat(name.as_bytes()).ok())
            .is_some_and(|s| s.size > 0)
    }

    /// Opens an inode's data; `None` if it has none, because nothing was ever written.
    pub(crate) fn open_data(&self, ino: u64, write: bool) -> Result<Option<File>, Errno> {
        let how = if write {
            OpenFile::READ_WRITE
        } else {
            OpenFile::READ
        };
        let Some(dirs) = self.made() else {
            return Ok(None);
        };
        match dirs.data.open_file(&name_of(ino), how) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes an inode's data file, empty even if a stray one was there.
    pub(crate) fn create_data(&self, ino: u64) -> Result<File, Errno> {
        let (name, how) = (
            name_of(ino),
            OpenFile {
                truncate: true,
                ..CREATE
            },
        );
        let data = &self.dirs()?.data;
        match data.open_file(&name, how) {
            Err(Errno::ENOENT) => {
                match data.make_dir(&name[..2], 0o700) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(e) => return Err(e),
                }
                data.open_file(&name, how)
            }
            other => other,
        }
    }

    pub(crate) fn remove_data(&self, ino: u64) -> Result<(), Errno> {
        match self.made().map(|d| d.data.unlink(&name_of(ino))) {
            None | Some(Err(Errno::ENOENT)) => Ok(()),
            Some(other) => other,
        }
    }

    /// Allocated 512-byte units of an inode's data.
    pub(crate) fn data_blocks(&self, ino: u64) -> Result<u64, Errno> {
        match self.made().map(|d| d.data.stat(&name_of(ino))) {
            Some(Ok(s)) => Ok(s.blocks),
            None | Some(Err(Errno::ENOENT)) => Ok(0),
            Some(Err(e)) => Err(e),
        }
    }

    /// Visits every data file: its inode number, `None` if the name is not one, its path below `data` and its
    /// size in bytes.
    pub(crate) fn each_data(&self, mut f: impl FnMut(Option<u64>, &[u8], u64)) -> Result<()> {
        let err = |e| Error::host("data", e);
        let data = &self.dirs()?.data;
        for sub in data.entries().map_err(err)? {
            let Ok(dir) = data.open_dir(&sub.name) else {
                f(None, &sub.name, 0);
                continue;
            };
            for entry in dir.entries().map_err(err)? {
                let path = [&sub.name[..], b"/", &entry.name].concat();
                let ino = std::str::from_utf8(&entry.name)
                    .ok()
                    .and_then(|s| s.parse().ok())
                    .filter(|&ino| name_of(ino) == path);
                let size = dir.stat(&entry.name).map_or(0, |s| s.size);
                f(ino, &path, size);
            }
        }
        Ok(())
    }

    /// Flushes the host file system of the store.
    pub(crate) fn sync_fs(&self) -> Result<(), Errno> {
        self.dirs()?.top.sync_fs()
    }

    pub(crate) fn fs_stat(&self) -> Result<FsStat, Errno> {
        self.dirs()?.top.fs_stat()
    }
}

/// The lock of a store, while it is held.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // If that fails, closing the file lets go of it.
        let _ = self.0.unlock();
    }
}
