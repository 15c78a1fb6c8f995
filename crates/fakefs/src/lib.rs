//! The fakefs file system: Linux ownership, modes, devices, links and extended attributes on any host.
//!
//! A store is a host directory: `meta.db` (SQLite) has the inodes, directory entries and extended attributes,
//! `data/XX/INO` the bytes of each regular inode. The format is described in
//! `docs/adr/0005-fakefs-on-disk-format.md`.
//!
//! [`FakeFs`] is the mounted file system (`tuxlet_vfs::FileSystem`): everything happens in memory first, and a
//! flusher writes whole consistent states behind, at least every second and on fsync(2). [`Writer`] makes a
//! store for an image in one go, [`Reader`] walks one for export, [`check`] looks for contradictions,
//! [`import_v3`] takes over a predecessor's directory.

#![forbid(unsafe_code)]

mod batch;
mod body;
mod check;
mod data;
mod dir;
mod error;
mod file;
mod flusher;
mod import_v3;
mod inode;
mod names;
mod node;
mod reader;
mod recover;
mod repair;
mod salvage;
mod schema;
mod store;
mod suspend;
mod writer;
mod xattr;

pub use check::{Report, check};
pub use error::{Error, Result};
pub use import_v3::{Imported, import_v3};
pub use reader::{Data, Item, Reader};
pub use repair::repair;
pub use store::{Durability, FakeFs, Options};
pub use writer::{Found, Meta, Writer};
