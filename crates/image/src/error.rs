//! What can go wrong while images are made, in words a person can act on.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an image could not be made, found or removed.
#[derive(Debug, Error)]
pub enum Error {
    /// The host refused a file operation.
    #[error("{what}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The host's error.
        source: io::Error,
    },
    /// An archive (tar, ar, compressed stream) is broken or cut short.
    #[error("{what} is not a usable archive: {reason}")]
    Archive {
        /// The archive's name.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive tries to write outside the tree, or names an impossible path.
    #[error("refused path {path:?} in an archive: {reason}")]
    UnsafePath {
        /// The path as the archive gives it.
        path: String,
        /// Why it is refused.
        reason: String,
    },
    /// A download failed for good.
    #[error("cannot fetch {url}: {reason}")]
    Fetch {
        /// The address.
        url: String,
        /// The transport's words or the HTTP status.
        reason: String,
    },
    /// A downloaded or cached object is not what the signed index says.
    #[error(
        "{what} does not match its checksum (expected sha256 {expected}, got {got}); it was discarded. \
         The server may be in the middle of an update or damaged: try again later, or another mirror with --mirror"
    )]
    Hash {
        /// What was fetched.
        what: String,
        /// The checksum the index promises, in hexadecimal.
        expected: String,
        /// The checksum of what came, in hexadecimal.
        got: String,
    },
    /// A release file's signature is missing or not by a known Debian key.
    #[error(
        "{what}: {reason}; nothing from this mirror is trusted. Try another mirror with --mirror"
    )]
    Signature {
        /// The file's address.
        what: String,
        /// What is wrong with the signature.
        reason: String,
    },
    /// A signed release file is not the one asked for, or is too old or too new.
    #[error("{what}: {reason}")]
    Release {
        /// The file's address.
        what: String,
        /// What does not fit.
        reason: String,
    },
    /// A text index (deb822, sources list) cannot be understood.
    #[error("{what}, line {line}: {reason}")]
    Syntax {
        /// The file.
        what: String,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// No mirror is known.
    #[error(
        "no Debian mirror is known. Give one with `--mirror URL`, or write it to {}:\n\n    [debian]\n    mirror = \"URL\"\n\n\
         (URL is the directory that holds `dists/` and `pool/`; https://www.debian.org/mirror/list lists the public ones.)",
        config.display()
    )]
    NoMirror {
        /// Where the configuration file would be.
        config: PathBuf,
    },
    /// No mirror of Alpine is known.
    #[error(
        "no Alpine mirror is known. Give one with `--mirror URL`, or write it to {}:\n\n    [alpine]\n    mirror = \"URL\"\n\n\
         (URL is the directory that holds `v3.NN/` and `edge/`.)",
        config.display()
    )]
    NoAlpineMirror {
        /// Where the configuration file would be.
        config: PathBuf,
    },
    /// The package set cannot be closed.
    #[error("{package} needs {dependency}, which this suite does not have")]
    Dependency {
        /// The depending package.
        package: String,
        /// The unsatisfied relation.
        dependency: String,
    },
    /// A configuration step inside the guest failed.
    #[error("configuring the image failed in `{step}`: {reason}")]
    Configure {
        /// The command that failed.
        step: String,
        /// How it failed.
        reason: String,
    },
    /// A name has characters or a form that names may not have.
    #[error("{name:?} is not a valid {what} name: {rule}")]
    BadName {
        /// `image` or `machine`.
        what: &'static str,
        /// The name given.
        name: String,
        /// What names look like.
        rule: &'static str,
    },
    /// The named image does not exist.
    #[error(
        "no image named {0:?}; `tuxlet images` lists them, `tuxlet pull` and `tuxlet import` make them"
    )]
    NoImage(String),
    /// A registry wants to know who asks, or does not let them.
    #[error("{registry}: {reason}; `tuxlet login {registry}` logs in")]
    Login {
        /// The registry.
        registry: String,
        /// Its words.
        reason: String,
    },
    /// An image in OCI's or Docker's form cannot be used.
    #[error("{what}: {reason}")]
    Image {
        /// Its name, or that of a part of it.
        what: String,
        /// Why.
        reason: String,
    },
    /// A layer that was there has been removed with its last image.
    #[error("layer {0} was removed meanwhile; try again")]
    LayerGone(String),
    /// The named machine does not exist.
    #[error("no machine named {0:?}")]
    NoMachine(String),
    /// A machine of that name exists already.
    #[error("a machine named {0:?} exists already")]
    MachineExists(String),
    /// The image cannot be removed while a machine stands on it.
    #[error(
        "image {image:?} is used by machine {machine:?}; remove that first (`tuxlet rm {machine}`)"
    )]
    ImageInUse {
        /// The image.
        image: String,
        /// One machine that uses it.
        machine: String,
    },
    /// The machine is running.
    #[error("machine {0:?} is running")]
    MachineBusy(String),
    /// The machine has no snapshot of that name.
    #[error(
        "machine {machine:?} has no snapshot {snapshot:?}; `tuxlet inspect {machine}` lists them"
    )]
    NoSnapshot {
        /// The machine.
        machine: String,
        /// The name given.
        snapshot: String,
    },
    /// A file of the store cannot be understood.
    #[error("{}: {reason}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// An image, or a part of it, that cannot be used.
    pub fn image(what: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Image {
            what: what.into(),
            reason: reason.into(),
        }
    }

    /// An I/O error with what was being done to `path`.
    pub fn io(doing: &str, path: &Path, source: io::Error) -> Error {
        Error::Io {
            what: format!("cannot {doing} {}", path.display()),
            source,
        }
    }

    /// A broken archive.
    pub fn archive(what: &str, reason: impl Into<String>) -> Error {
        Error::Archive {
            what: what.to_owned(),
            reason: reason.into(),
        }
    }

    /// A refused path; foreign bytes are shown lossily.
    pub fn unsafe_path(path: &[u8], reason: impl Into<String>) -> Error {
        Error::UnsafePath {
            path: String::from_utf8_lossy(path).into_owned(),
            reason: reason.into(),
        }
    }
}
