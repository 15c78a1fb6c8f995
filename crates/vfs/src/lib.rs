//! Files, inodes, mounts, path walk and the file system traits.
//!
//! The crate knows nothing of tasks: the caller's identity travels as a [`Cx`]. File
//! operations never wait for readiness: they return `EAGAIN` and offer [`FileOps::poll`];
//! the kernel's one wait loop does the blocking.

#![forbid(unsafe_code)]

pub mod attr;
pub mod cx;
pub mod dir;
pub mod file_ops;
pub mod inode;
pub mod poll;

pub use attr::{Attr, DeviceId, FileType, SetAttr, SetTime, StatFs};
pub use cx::{Cred, Cx};
pub use dir::{DirEntry, DirSink};
pub use file_ops::FileOps;
pub use inode::{Anchor, FileSystem, Inode, InodeId, InodeRef, Link, NewInode, NewKind, RenameFlags};
pub use poll::{Events, PollTable};
pub use tuxlet_uapi::errno::{Errno, Result};
