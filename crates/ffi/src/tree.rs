//! The tree of a machine's files.

use crate::{
    error::{Code, Failure, borrow, borrow_mut, give, store, text},
    files::give_bytes,
    machine::Machine,
};
use std::{
    ffi::{CString, c_char, c_int},
    time::UNIX_EPOCH,
};
use tuxlet::FileType;

/// `struct tux_metadata`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Metadata {
    kind: i32,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    inode: u64,
    links: u32,
    modified_nsec: u32,
    modified_sec: u64,
}

/// `enum tux_file_kind`.
fn kind(of: FileType) -> i32 {
    match of {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::Symlink => 3,
        FileType::Fifo => 4,
        FileType::CharDevice => 5,
        FileType::BlockDevice => 6,
        FileType::Socket => 7,
        _ => 0,
    }
}

impl From<tuxlet::Metadata> for Metadata {
    fn from(of: tuxlet::Metadata) -> Self {
        // Times before the epoch are given as the epoch.
        let modified = of.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            kind: kind(of.kind),
            mode: of.mode,
            uid: of.uid,
            gid: of.gid,
            size: of.size,
            inode: of.inode,
            links: of.links,
            modified_nsec: modified.subsec_nanos(),
            modified_sec: modified.as_secs(),
        }
    }
}

/// `struct tux_entry`.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    kind: i32,
    inode: u64,
    name: *const c_char,
}

/// `tux_directory`: entries that are still to be given, and the name of the one that was given last.
#[derive(Debug)]
pub struct Directory {
    entries: std::vec::IntoIter<tuxlet::DirEntry>,
    name: CString,
}

functions! {
    /// What a path names.
    fn tux_file_metadata(
        machine: *mut Machine,
        path: *const c_char,
        follow: c_int,
        metadata: *mut Metadata,
    ) {
        let (machine, path) = (&borrow(machine)?.0, text(path)?);
        let found = if follow == 0 {
            machine.symlink_metadata(path)?
        } else {
            machine.metadata(path)?
        };
        store(metadata, found.into())
    }

    /// Reads a directory.
    fn tux_open_directory(
        machine: *mut Machine,
        path: *const c_char,
        directory: *mut *mut Directory,
    ) {
        store(directory, std::ptr::null_mut())?;
        let entries = borrow(machine)?.0.read_dir(text(path)?)?.into_iter();
        let name = CString::default();
        store(directory, give(Directory { entries, name }))
    }

    /// The next entry.
    fn tux_directory_next(directory: *mut Directory, entry: *mut Entry) {
        let directory = borrow_mut(directory)?;
        let next = directory.entries.next();
        let next = next.ok_or_else(|| Failure::new(Code::Closed, "there are no more entries"))?;
        // A name of a file has no zero in it.
        directory.name = CString::new(next.name).unwrap_or_default();
        let next = Entry {
            kind: kind(next.kind),
            inode: next.inode,
            name: directory.name.as_ptr(),
        };
        store(entry, next)
    }
}

frees! {
    /// Frees a directory.
    fn tux_directory_free(directory: *mut Directory);
}

functions! {
    /// Makes a directory.
    fn tux_create_directory(machine: *mut Machine, path: *const c_char) {
        Ok(borrow(machine)?.0.create_dir(text(path)?)?)
    }

    /// Removes a file or an empty directory.
    fn tux_remove(machine: *mut Machine, path: *const c_char) {
        Ok(borrow(machine)?.0.remove(text(path)?)?)
    }

    /// Renames a file or directory.
    fn tux_rename(machine: *mut Machine, from: *const c_char, to: *const c_char) {
        Ok(borrow(machine)?.0.rename(text(from)?, text(to)?)?)
    }

    /// Makes a symbolic link.
    fn tux_symlink(machine: *mut Machine, target: *const c_char, path: *const c_char) {
        Ok(borrow(machine)?.0.symlink(text(target)?, text(path)?)?)
    }

    /// Where a symbolic link points.
    fn tux_read_link(
        machine: *mut Machine,
        path: *const c_char,
        data: *mut *mut u8,
        len: *mut usize,
    ) {
        give_bytes(data, len, || {
            Ok(borrow(machine)?.0.read_link(text(path)?)?.into_bytes())
        })
    }

    /// Sets permission bits.
    fn tux_set_mode(machine: *mut Machine, path: *const c_char, mode: u32) {
        Ok(borrow(machine)?.0.set_mode(text(path)?, mode)?)
    }
}
