//! The store's directory: lock, marker, and the host files with the data of regular inodes.

use crate::{
    error::{Error, Result},
    schema,
};
use std::path::{Path, PathBuf};
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
    top: Dir,
    data: Dir,
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
        Ok(Self {
            path: path.to_owned(),
            top,
            data,
        })
    }

    pub(crate) fn open(path: &Path) -> Result<Self> {
        let top = Dir::open(path).map_err(|e| Error::host(path.display().to_string(), e))?;
        if !top.stat(schema::FILE.as_bytes()).is_ok_and(|s| s.is_file()) {
            return Err(Error::NotAStore(path.to_owned()));
        }
        let data = top
            .open_dir(DATA)
            .map_err(|_| Error::NotAStore(path.to_owned()))?;
        Ok(Self {
            path: path.to_owned(),
            top,
            data,
        })
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(schema::FILE)
    }

    /// Locks the store: one writer, or any number of readers. Held until the file is dropped.
    pub(crate) fn lock(&self, exclusive: bool) -> Result<Option<File>> {
        let how = if exclusive { CREATE } else { OpenFile::READ };
        let file = match self.top.open_file(LOCK, how) {
            Ok(file) => file,
            // A store on a read-only medium that was never opened for writing has no lock file, nor needs it.
            Err(Errno::ENOENT) if !exclusive => return Ok(None),
            Err(e) => return Err(Error::host("lock", e)),
        };
        match file.try_lock(exclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::EAGAIN) => Err(Error::Busy),
            Err(e) => Err(Error::host("lock", e)),
        }
    }

    pub(crate) fn is_unclean(&self) -> bool {
        self.top.stat(UNCLEAN).is_ok()
    }

    pub(crate) fn mark_unclean(&self) -> Result<(), Errno> {
        self.top.open_file(UNCLEAN, CREATE).map(drop)
    }

    pub(crate) fn mark_clean(&self) -> Result<(), Errno> {
        match self.top.unlink(UNCLEAN) {
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    /// Whether the database still has a write-ahead log beside it.
    pub(crate) fn has_log(&self) -> bool {
        self.top
            .stat(format!("{}-wal", schema::FILE).as_bytes())
            .is_ok_and(|s| s.size > 0)
    }

    /// Opens an inode's data; `None` if it has none, because nothing was ever written.
    pub(crate) fn open_data(&self, ino: u64, write: bool) -> Result<Option<File>, Errno> {
        let how = if write {
            OpenFile::READ_WRITE
        } else {
            OpenFile::READ
        };
        match self.data.open_file(&name_of(ino), how) {
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
        match self.data.open_file(&name, how) {
            Err(Errno::ENOENT) => {
                match self.data.make_dir(&name[..2], 0o700) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(e) => return Err(e),
                }
                self.data.open_file(&name, how)
            }
            other => other,
        }
    }

    pub(crate) fn remove_data(&self, ino: u64) -> Result<(), Errno> {
        match self.data.unlink(&name_of(ino)) {
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    /// Allocated 512-byte units of an inode's data.
    pub(crate) fn data_blocks(&self, ino: u64) -> Result<u64, Errno> {
        match self.data.stat(&name_of(ino)) {
            Ok(s) => Ok(s.blocks),
            Err(Errno::ENOENT) => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// Visits every data file: its inode number, `None` if the name is not one, its path below `data` and its
    /// size in bytes.
    pub(crate) fn each_data(&self, mut f: impl FnMut(Option<u64>, &[u8], u64)) -> Result<()> {
        let err = |e| Error::host("data", e);
        for sub in self.data.entries().map_err(err)? {
            let Ok(dir) = self.data.open_dir(&sub.name) else {
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
        self.top.sync_fs()
    }

    pub(crate) fn fs_stat(&self) -> Result<FsStat, Errno> {
        self.top.fs_stat()
    }
}
