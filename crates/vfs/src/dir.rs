//! Reading directories: getdents64(2).

use crate::attr::FileType;

/// One directory entry.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Name without slashes.
    pub name: &'a [u8],
    /// Inode number.
    pub ino: u64,
    /// File type.
    pub kind: FileType,
    /// The position to continue from *after* this entry (`d_off`).
    pub next: u64,
}

/// Where a file system puts the entries of a directory.
pub trait DirSink {
    /// Takes an entry; `false` means full, and the entry was not taken.
    fn entry(&mut self, entry: DirEntry<'_>) -> bool;
}

impl<F: FnMut(DirEntry<'_>) -> bool> DirSink for F {
    fn entry(&mut self, entry: DirEntry<'_>) -> bool {
        self(entry)
    }
}
