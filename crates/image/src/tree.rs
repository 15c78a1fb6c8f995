//! Root file systems as streams of entries: where they are written ([`TreeSink`]) and read from ([`TreeSource`]).
//!
//! Paths are byte strings relative to the root, without leading or doubled slashes and without `.` or `..`; the root itself
//! is the empty string. [`TreeBuilder`] turns the names of archives into such paths: it is the only place that follows
//! symbolic links and the only one that must defend against hostile names, so that sinks may stay simple.

mod builder;
pub mod fakefs;
#[cfg(test)]
pub(crate) mod memory;
pub mod merged;

use std::io::Read;

pub(crate) use builder::Below;
pub use builder::TreeBuilder;
pub(crate) use merged::settled;

use crate::Result;

/// A point in time, as `struct timespec` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mtime {
    /// Seconds since 1970.
    pub secs: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// What every entry has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Permission, set-id and sticky bits (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Mtime,
    /// Extended attributes, full names (`user.x`, `security.capability`).
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Meta {
    /// Owned by root, without extended attributes, at time zero.
    pub fn root(mode: u32) -> Meta {
        Meta {
            mode,
            ..Meta::default()
        }
    }
}

/// A file that is neither regular, directory nor symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A Unix socket's name.
    Socket,
}

/// Where a root file system is written. Parents always exist before their children; nothing but [`TreeSink::directory`] is
/// called on a path that exists.
pub trait TreeSink {
    /// Makes a directory, or gives the one that is there new metadata.
    fn directory(&mut self, path: &[u8], meta: &Meta) -> Result<()>;
    /// Makes a regular file of exactly `size` bytes.
    fn file(&mut self, path: &[u8], meta: &Meta, size: u64, content: &mut dyn Read) -> Result<()>;
    /// Makes a symbolic link.
    fn symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()>;
    /// Makes `path` another name of the non-directory `existing`.
    fn hard_link(&mut self, path: &[u8], existing: &[u8]) -> Result<()>;
    /// Makes a device, named pipe or socket.
    fn special(&mut self, path: &[u8], meta: &Meta, what: Special) -> Result<()>;
    /// Removes a non-directory or an empty directory.
    fn remove(&mut self, path: &[u8]) -> Result<()>;
    /// Says that the directory `path` hides what lower layers have in it; only sinks of layers know of such.
    fn opaque(&mut self, path: &[u8]) -> Result<()> {
        Err(crate::Error::unsafe_path(path, "there are no layers here"))
    }
    /// All is written; makes it durable.
    fn finish(&mut self) -> Result<()>;
}

/// Where a root file system is read from.
pub trait TreeSource {
    /// Writes every entry to `sink` in a fixed order: parents first, siblings sorted by name, the second and later names of
    /// an inode as hard links to the first. Does not call [`TreeSink::finish`].
    fn copy_to(&mut self, sink: &mut dyn TreeSink) -> Result<()>;
}
