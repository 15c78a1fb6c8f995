//! What can go wrong with a store.

use std::path::{Path, PathBuf};
use tuxlet_host::fs::Dir;
use tuxlet_uapi::errno::Errno;

/// Result of an operation on a store as a whole.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a store. Guests see it as an errno (`Errno::from`).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A host file call failed.
    #[error("{what}: {errno}")]
    Host {
        /// What was tried.
        what: String,
        /// What the host said.
        #[source]
        errno: Errno,
    },
    /// The metadata database failed.
    #[error("metadata database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The directory holds no store.
    #[error("{0} is not a fakefs store")]
    NotAStore(PathBuf),
    /// The store was made by a newer version.
    #[error("store format {0} is not known to this version")]
    Version(i64),
    /// The store is open for writing elsewhere, or shared by readers.
    #[error("the store is in use")]
    Busy,
    /// The store was changed by somebody else while it was suspended.
    #[error("the store was changed by somebody else")]
    Changed,
    /// The store contradicts itself.
    #[error("damaged store: {0}")]
    Damaged(String),
    /// A path that a store cannot take (with `..`, through something that is no directory...).
    #[error("{path}: {errno}")]
    Path {
        /// The path as given.
        path: String,
        /// Why not.
        #[source]
        errno: Errno,
    },
}

impl Error {
    pub(crate) fn host(what: impl Into<String>, errno: Errno) -> Self {
        Self::Host {
            what: what.into(),
            errno,
        }
    }

    /// SQLite calls it an input/output error when it cannot make the database's files larger while it opens them.
    pub(crate) fn on_full_disk(self, path: &Path) -> Self {
        let failed = matches!(&self, Self::Database(e)
            if e.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure));
        let full = || Dir::open(path)?.fs_stat().map(|stat| stat.bavail == 0);
        if failed && full().unwrap_or(false) {
            return Self::host("metadata database", Errno::ENOSPC);
        }
        self
    }

    pub(crate) fn path(path: &[u8], errno: Errno) -> Self {
        Self::Path {
            path: String::from_utf8_lossy(path).into_owned(),
            errno,
        }
    }
}

impl From<Error> for Errno {
    fn from(e: Error) -> Self {
        match e {
            Error::Host { errno, .. } | Error::Path { errno, .. } => errno,
            Error::Database(e) => database_errno(&e),
            Error::NotAStore(_) | Error::Version(_) => Self::EINVAL,
            Error::Busy => Self::EBUSY,
            Error::Changed => Self::ESTALE,
            Error::Damaged(_) => Self::EIO,
        }
    }
}

/// The errno for a failed database call. The caller has reported the error itself.
pub(crate) fn database_errno(e: &rusqlite::Error) -> Errno {
    use rusqlite::ErrorCode as C;
    match e.sqlite_error_code() {
        Some(C::DiskFull) => Errno::ENOSPC,
        Some(C::ReadOnly) => Errno::EROFS,
        Some(C::OutOfMemory) => Errno::ENOMEM,
        Some(C::PermissionDenied) => Errno::EACCES,
        _ => Errno::EIO,
    }
}
