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
mod notify;
mod stat;

pub use dir::{Dir, Entry};
pub use file::{File, OpenFile, SpaceMode};
pub use notify::{Change, Listener, Watched};
pub use stat::{FsStat, HostTime, SetTimes, Stat};

/// The user and group that host file calls act as.
#[must_use]
pub fn effective_ids() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

/// Raises this process's limit of open files to the most it may have, and returns the limit. File systems keep
/// some hundred host files open; the customary limits of 256 and 1024 are small for that.
pub fn raise_open_file_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    // Darwin refuses more than OPEN_MAX here, whatever the hard limit says.
    let most = if cfg!(target_vendor = "apple") {
        10_240
    } else {
        1 << 20
    };
    let wanted = limit.maximum.unwrap_or(most).min(most);
    if before.is_some_and(|b| b < wanted) {
        limit.current = Some(wanted);
        if setrlimit(Resource::Nofile, limit).is_err() {
            return before.unwrap_or(most);
        }
    }
    limit.current.unwrap_or(most)
}
