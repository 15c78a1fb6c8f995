//! Host directories (or single files) as a guest file system.
//!
//! Confined: every host call names one component relative to an open directory and never follows a link, so
//! neither links nor renames by others lead outside. The VFS walks links, in the guest's tree. What is not a
//! regular file or directory is shown but never opened on the host; FIFOs, sockets and devices are the kernel's.
//!
//! Attributes, data and names are the host's at every moment: others may change them meanwhile. An inode is
//! known by the host's device and inode number.

#![forbid(unsafe_code)]

mod dir;
mod file;
mod fs;
mod inode;
mod node;
mod owner;
mod watch;

pub use fs::{HostFs, Options};
pub use owner::Owners;
