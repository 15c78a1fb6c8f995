//! Reading a store that no machine runs on: export and listings.

use crate::{
    data::{Files, Lock},
    error::{Error, Result},
    recover,
    schema::{self, InodeRow, ROOT, Xattrs, from_ns},
};
use rusqlite::Connection;
use std::{io, path::Path};
use tuxlet_host::fs::File;
use tuxlet_uapi::errno::Errno;
use tuxlet_vfs::{DeviceId, FileType, attr::Time};

/// Something in a store.
#[derive(Clone, Debug)]
pub struct Item {
    /// Path from the root, without a leading slash; empty for the root.
    pub path: Vec<u8>,
    /// Inode number: equal for hard links.
    pub ino: u64,
    /// Type.
    pub kind: FileType,
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Link count.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device.
    pub rdev: DeviceId,
    /// Size in bytes.
    pub size: u64,
    /// Last data change.
    pub mtime: Time,
    /// Target of a symbolic link.
    pub target: Option<Vec<u8>>,
}

impl Item {
    fn new(path: Vec<u8>, row: InodeRow) -> Self {
        Self {
            path,
            ino: row.ino,
            kind: FileType::from_mode(row.mode).unwrap_or(FileType::Regular),
            mode: row.mode & 0o7777,
            nlink: row.nlink,
            uid: row.uid,
            gid: row.gid,
            rdev: DeviceId::decode(row.rdev),
            size: row.size,
            mtime: from_ns(row.mtime),
            target: row.target.map(Into::into),
        }
    }
}

/// A store opened for reading only; any number may read at once, none while a machine writes.
#[derive(Debug)]
pub struct Reader {
    files: Files,
    _lock: Option<Lock>,
    db: Connection,
}

impl Reader {
    /// Opens a store. One that was not closed cleanly is put in order first.
    pub fn open(path: &Path) -> Result<Self> {
        let (files, lock, db) = recover::open_shared(path)?;
        Ok(Self {
            files,
            _lock: lock,
            db,
        })
    }

    fn load(&self, path: Vec<u8>, ino: u64) -> Result<Item> {
        let row = schema::load_inode(&self.db, ino)?.ok_or_else(|| {
            Error::Damaged(format!("{} has no inode", String::from_utf8_lossy(&path)))
        })?;
        Ok(Item::new(path, row))
    }

    /// What is at a path; links are not followed.
    pub fn find(&self, path: &[u8]) -> Result<Option<Item>> {
        let mut ino = ROOT;
        for name in path.split(|&c| c == b'/').filter(|c| !c.is_empty()) {
            match schema::load_dirent(&self.db, ino, name)? {
                Some((child, _)) => ino = child,
                None => return Ok(None),
            }
        }
        self.load(path.to_vec(), ino).map(Some)
    }

    /// The names in a directory, by inode number.
    pub fn names(&self, directory: u64) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        schema::load_dir(&self.db, directory, |name, _, _| names.push(name.to_vec()))?;
        Ok(names)
    }

    /// Visits everything, parents before children, siblings by name.
    pub fn walk<E: From<Error>>(&self, f: impl FnMut(&Item) -> Result<(), E>) -> Result<(), E> {
        self.walk_from(self.load(Vec::new(), ROOT)?, f)
    }

    /// Visits `top`, which [`Reader::find`] has found, and everything below it, parents before children, siblings by name.
    pub fn walk_from<E: From<Error>>(
        &self,
        top: Item,
        mut f: impl FnMut(&Item) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut todo = vec![top];
        while let Some(item) = todo.pop() {
            f(&item)?;
            if item.kind != FileType::Directory {
                continue;
            }
            if item.path.len() > 1 << 20 {
                return Err(Error::Damaged("directories without end".into()).into());
            }
            let mut children = Vec::new();
            schema::load_dir(&self.db, item.ino, |name, ino, _| {
                children.push((name.to_vec(), ino))
            })
            .map_err(Error::from)?;
            for (name, ino) in children.into_iter().rev() {
                let path = if item.path.is_empty() {
                    name
                } else {
                    [&item.path[..], b"/", &name].concat()
                };
                todo.push(self.load(path, ino)?);
            }
        }
        Ok(())
    }

    /// The data of a regular file.
    pub fn data(&self, ino: u64) -> Result<Data> {
        let file = self
            .files
            .open_data(ino, false)
            .map_err(|e| Error::host("data", e))?;
        Ok(Data { file, offset: 0 })
    }

    /// The extended attributes of an inode: name and value.
    pub fn xattrs(&self, ino: u64) -> Result<Xattrs> {
        Ok(schema::load_xattrs(&self.db, ino)?)
    }
}

/// The bytes of a regular file.
#[derive(Debug)]
pub struct Data {
    /// `None`: nothing was ever written.
    file: Option<File>,
    offset: u64,
}

impl io::Read for Data {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let n = file
            .read_at(buf, self.offset)
            .map_err(|e: Errno| io::Error::other(e))?;
        self.offset += n as u64;
        Ok(n)
    }
}
