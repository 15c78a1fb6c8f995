//! Files, inodes, mounts, path walk and the file system traits.
//!
//! The crate knows nothing of tasks: the caller's identity travels as a [`Cx`]. File
//! operations never wait for readiness: they return `EAGAIN` and offer [`FileOps::poll`];
//! the kernel's one wait loop does the blocking.

#![forbid(unsafe_code)]

pub mod access;
pub mod acl;
pub mod attr;
pub mod bulk;
pub mod context;
pub mod create;
pub mod cx;
pub mod dentry;
pub mod dir;
pub mod file;
pub mod file_caps;
pub mod file_ops;
pub mod inode;
pub mod layer;
mod limit;
pub mod link;
pub mod locks;
pub mod mount;
pub mod namespace;
pub mod notify;
pub mod open;
pub mod path;
pub mod poll;
pub mod propagation;
pub mod pseudo;
pub mod rename;
pub mod resolver;
pub mod seals;
pub mod setattr;
pub mod socket;
pub mod text_busy;
pub mod track;
pub mod unlink;
pub mod user_ns;
pub mod xattr;

pub use attr::{Attr, DeviceId, FileType, SetAttr, SetTime, StatFs, Time};
pub use context::{At, FsContext};
pub use cx::{Cred, Cx};
pub use dentry::{Dentry, SuperBlock};
pub use dir::{DirEntry, DirSink};
pub use file::File;
pub use file_ops::FileOps;
pub use inode::{
    Anchor, FileSystem, Inode, InodeId, InodeRef, Link, NewInode, NewKind, RenameFlags,
};
pub use mount::{Mount, MountFlags};
pub use namespace::MountNamespace;
pub use path::Path;
pub use poll::{Events, PollTable};
pub use resolver::LookupFlags;
pub use seals::Seals;
pub use socket::SocketOps;
pub use tuxlet_uapi::errno::{Errno, Result};
pub use user_ns::UserNs;
