//! Errors of the public API.

use std::path::PathBuf;
use tuxlet_uapi::Errno;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong on the host's side.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No root file system was given.
    #[error("the machine has no root file system")]
    NoRoot,
    /// A host path cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    HostPath {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// A store cannot be let go of, or taken hold of again.
    #[error("suspending the machine's file system: {reason}")]
    Suspend {
        /// Why.
        reason: tuxlet_fakefs::Error,
    },
    /// The machine is suspended.
    #[error("the machine is suspended")]
    Suspended,
    /// Some thread of the machine did not come to rest in time.
    #[error("a thread of the machine does not come to rest")]
    Restless,
    /// A file system store cannot be opened.
    #[error("{path}: {reason}", path = path.display())]
    Store {
        /// The store's directory.
        path: PathBuf,
        /// Why.
        reason: tuxlet_fakefs::Error,
    },
    /// A mount cannot be made.
    #[error("cannot mount on {target}: {errno}")]
    Mount {
        /// The place in the guest.
        target: String,
        /// Why.
        errno: Errno,
    },
    /// A guest file cannot be used.
    #[error("{path}: {errno}")]
    File {
        /// The guest's path.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// A program cannot be started.
    #[error("{program}: {errno}")]
    Exec {
        /// The program.
        program: String,
        /// As execve(2) says.
        errno: Errno,
    },
    /// A program cannot be started where it should.
    #[error("working directory {path}: {errno}")]
    WorkingDirectory {
        /// The guest's path.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// No such user or group in the guest.
    #[error("no user {0:?} in the machine")]
    NoUser(String),
    /// A system error.
    #[error("{0}")]
    System(Errno),
}

impl Error {
    /// The name of the guest's error number behind it, such as `ENOENT`, if there is one.
    #[must_use]
    pub fn errno_name(&self) -> Option<&'static str> {
        self.guest_errno()?.name()
    }

    /// The guest's error number behind it, as Linux numbers it on arm64, if there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        Some(self.guest_errno()?.raw())
    }

    fn guest_errno(&self) -> Option<Errno> {
        match self {
            Self::Mount { errno, .. }
            | Self::File { errno, .. }
            | Self::Exec { errno, .. }
            | Self::WorkingDirectory { errno, .. }
            | Self::System(errno) => Some(*errno),
            _ => None,
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}
