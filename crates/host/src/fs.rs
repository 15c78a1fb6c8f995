//! Host files, reached only relative to an open directory.
//!
//! [`Dir`] names are relative paths without `..`, and the last component is never followed if it is a
//! symbolic link. Whoever must stay confined to a tree that others may change under it passes *one* component
//! at a time ([`Dir::open_dir`] on each), which no rename or link race can lead outside. Nothing here blocks
//! on a FIFO or opens a device: [`Dir::open_file`] yields regular files only.
//!
//! Linux and Darwin differ in a few calls (`O_PATH`, `fallocate`, `syncfs`); the differences stay in here.

mod dir;
mod file;
mod stat;

pub use dir::{Dir, Entry};
pub use file::{File, OpenFile, SpaceMode};
pub use stat::{FsStat, HostTime, SetTimes, Stat};

/// The user and group that host file calls act as.
#[must_use]
pub fn effective_ids() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}
