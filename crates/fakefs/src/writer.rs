//! Making a whole store at once, without a running machine: the image importer's side.

use crate::{
    data::{Files, Lock},
    error::{Error, Result},
    schema::{self, InodeRow, ROOT, Xattrs, to_ns},
};
use rustc_hash::FxHashMap;
use std::{
    collections::BTreeMap,
    io::Read,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use tuxlet_uapi::errno::Errno;
use tuxlet_vfs::{DeviceId, FileType, attr::Time};

/// Ownership, permission bits and modification time of something written.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last data change; the other times are set to it too.
    pub mtime: Time,
}

/// What a path leads to in a [`Writer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Inode number.
    pub ino: u64,
    /// Type.
    pub kind: FileType,
}

#[derive(Debug)]
struct Item {
    row: InodeRow,
    /// Entries of a directory.
    entries: Option<BTreeMap<Vec<u8>, u64>>,
    xattrs: Xattrs,
}

impl Item {
    fn kind(&self) -> FileType {
        FileType::from_mode(self.row.mode).unwrap_or(FileType::Regular)
    }
}

/// Writes a new store. Paths are relative to its root (a leading `/` or `./` does not matter), must not hold
/// `..`, and symbolic links in them are followed inside the tree, as a guest's chroot(2) would. Missing parent
/// directories are made (0755, root). Something that is not a directory replaces what had its name; so does a
/// directory, except that one on a directory only changes that one's attributes.
///
/// The tree is kept in memory and becomes the database in [`Writer::finish`]; without it no store comes to be.
#[derive(Debug)]
pub struct Writer {
    files: Files,
    _lock: Option<Lock>,
    items: FxHashMap<u64, Item>,
    next_ino: u64,
    now: Time,
}

/// As many links as path walks of Linux follow.
const MAX_LINKS: u32 = 40;
/// Linux' `NAME_MAX`.
const NAME_MAX: usize = 255;

impl Writer {
    /// Starts a store in a directory that is empty or not there yet.
    pub fn create(path: &Path) -> Result<Self> {
        let files = Files::create(path)?;
        let lock = files.lock(true)?;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = Time {
            sec: since.as_secs() as i64,
            nsec: since.subsec_nanos(),
        };
        let mut w = Self {
            files,
            _lock: lock,
            items: FxHashMap::default(),
            next_ino: ROOT,
            now,
        };
        let root = w.add(
            FileType::Directory,
            &w.parent_meta(),
            DeviceId::default(),
            None,
        );
        debug_assert_eq!(root, ROOT);
        Ok(w)
    }

    fn parent_meta(&self) -> Meta {
        Meta {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: self.now,
        }
    }

    fn add(&mut self, kind: FileType, meta: &Meta, rdev: DeviceId, target: Option<&[u8]>) -> u64 {
        let ino = self.next_ino;
        self.next_ino += 1;
        let is_dir = kind == FileType::Directory;
        let mut row = InodeRow {
            ino,
            mode: kind.mode_bits(),
            nlink: if is_dir { 2 } else { 0 },
            rdev: rdev.encode(),
            size: target.map_or(0, |t| t.len() as u64),
            btime: to_ns(self.now),
            target: target.map(Into::into),
            ..InodeRow::default()
        };
        set_meta(&mut row, meta);
        let entries = is_dir.then(BTreeMap::new);
        self.items.insert(
            ino,
            Item {
                row,
                entries,
                xattrs: Vec::new(),
            },
        );
        ino
    }

    /// What is at a path, following links if `follow`.
    #[must_use]
    pub fn lookup(&self, path: &[u8], follow: bool) -> Option<Found> {
        let (dir, name) = self.resolve(path, follow).ok()?;
        let ino = if name.is_empty() {
            dir
        } else {
            *self.entry(dir, &name)?
        };
        Some(Found {
            ino,
            kind: self.items.get(&ino)?.kind(),
        })
    }

    /// The target of a symbolic link, by inode number.
    #[must_use]
    pub fn link_target(&self, ino: u64) -> Option<&[u8]> {
        self.items.get(&ino)?.row.target.as_deref()
    }

    fn entry(&self, dir: u64, name: &[u8]) -> Option<&u64> {
        self.items.get(&dir)?.entries.as_ref()?.get(name)
    }

    /// Walks to the directory that holds (or would hold) the last component. An empty name means the directory
    /// itself.
    fn resolve(&self, path: &[u8], follow: bool) -> Result<(u64, Vec<u8>), Errno> {
        let mut todo: Vec<Vec<u8>> = components(path)?;
        todo.reverse();
        let (mut at, mut trail, mut links) = (ROOT, Vec::new(), 0);
        while let Some(name) = todo.pop() {
            if name == b".." {
                // Only a link's target may hold these; the root's parent is the root.
                at = trail.pop().unwrap_or(ROOT);
                continue;
            }
            let last = todo.is_empty();
            let Some(&ino) = self.entry(at, &name) else {
                return if last {
                    Ok((at, name))
                } else {
                    Err(Errno::ENOENT)
                };
            };
            let item = self.items.get(&ino).ok_or(Errno::EIO)?;
            if let Some(target) = &item.row.target
                && (!last || follow)
            {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                if target.first() == Some(&b'/') {
                    at = ROOT;
                    trail.clear();
                }
                todo.extend(
                    target
                        .split(|&c| c == b'/')
                        .filter(|c| !c.is_empty() && *c != b".")
                        .rev()
                        .map(<[u8]>::to_vec),
                );
                continue;
            }
            if last {
                return Ok((at, name));
            }
            if item.entries.is_none() {
                return Err(Errno::ENOTDIR);
            }
            trail.push(at);
            at = ino;
        }
        Ok((at, Vec::new()))
    }

    /// The directory and the name for a new entry; makes missing parents.
    fn place(&mut self, path: &[u8]) -> Result<(u64, Vec<u8>)> {
        let parts = components(path).map_err(|e| Error::path(path, e))?;
        for end in 1..parts.len() {
            let parent = parts[..end].join(&b'/');
            let found = self.lookup(&parent, true);
            match found {
                Some(Found {
                    kind: FileType::Directory,
                    ..
                }) => {}
                Some(_) => return Err(Error::path(path, Errno::ENOTDIR)),
                None => {
                    let (dir, name) = self
                        .resolve(&parent, true)
                        .map_err(|e| Error::path(path, e))?;
                    let ino = self.add(
                        FileType::Directory,
                        &self.parent_meta(),
                        DeviceId::default(),
                        None,
                    );
                    self.attach(dir, name, ino);
                }
            }
        }
        self.resolve(path, false).map_err(|e| Error::path(path, e))
    }

    fn attach(&mut self, dir: u64, name: Vec<u8>, ino: u64) {
        let mut is_dir = false;
        if let Some(item) = self.items.get_mut(&ino) {
            is_dir = item.entries.is_some();
            if !is_dir {
                item.row.nlink += 1;
            }
        }
        if let Some(item) = self.items.get_mut(&dir) {
            item.row.nlink += u32::from(is_dir);
            if let Some(entries) = &mut item.entries {
                entries.insert(name, ino);
            }
        }
    }

    /// Takes away what has a name, with everything below it.
    fn detach(&mut self, dir: u64, name: &[u8]) -> Result<()> {
        let Some(ino) = self
            .items
            .get_mut(&dir)
            .and_then(|d| d.entries.as_mut()?.remove(name))
        else {
            return Ok(());
        };
        let mut doomed = vec![(dir, ino)];
        while let Some((dir, ino)) = doomed.pop() {
            let Some(item) = self.items.get_mut(&ino) else {
                continue;
            };
            if let Some(entries) = item.entries.take() {
                doomed.extend(entries.into_values().map(|child| (ino, child)));
                self.items.remove(&ino);
                if let Some(parent) = self.items.get_mut(&dir) {
                    parent.row.nlink -= 1;
                }
                continue;
            }
            item.row.nlink = item.row.nlink.saturating_sub(1);
            if item.row.nlink == 0 {
                let had_data = item.kind() == FileType::Regular && item.row.size > 0;
                self.items.remove(&ino);
                if had_data {
                    self.files
                        .remove_data(ino)
                        .map_err(|e| Error::host("data", e))?;
                }
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        path: &[u8],
        kind: FileType,
        meta: &Meta,
        rdev: DeviceId,
        target: Option<&[u8]>,
    ) -> Result<u64> {
        let (dir, name) = self.place(path)?;
        if name.is_empty() {
            return Err(Error::path(path, Errno::EISDIR));
        }
        self.detach(dir, &name)?;
        let ino = self.add(kind, meta, rdev, target);
        self.attach(dir, name, ino);
        Ok(ino)
    }

    /// Makes a directory, or changes the attributes of the one (or of a link's one) that is there. The root is
    /// the empty path. Returns the inode number.
    pub fn directory(&mut self, path: &[u8], meta: &Meta) -> Result<u64> {
        let found = self
            .lookup(path, true)
            .filter(|f| f.kind == FileType::Directory);
        if let Some(Found { ino, .. }) = found {
            if let Some(item) = self.items.get_mut(&ino) {
                set_meta(&mut item.row, meta);
            }
            return Ok(ino);
        }
        self.put(path, FileType::Directory, meta, DeviceId::default(), None)
    }

    /// Makes a regular file of all that `data` gives. Returns the inode number.
    pub fn file(&mut self, path: &[u8], meta: &Meta, data: &mut dyn Read) -> Result<u64> {
        let ino = self.put(path, FileType::Regular, meta, DeviceId::default(), None)?;
        let mut buf = vec![0; 1 << 17];
        let (mut out, mut size) = (None, 0_u64);
        loop {
            let n = match data.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    return Err(Error::host(
                        format!("reading the data of {}", String::from_utf8_lossy(path)),
                        tuxlet_host::errno::from_io(&e),
                    ));
                }
            };
            let file = match &out {
                Some(file) => file,
                None => out.insert(
                    self.files
                        .create_data(ino)
                        .map_err(|e| Error::path(path, e))?,
                ),
            };
            let mut part = &buf[..n];
            while !part.is_empty() {
                match file.write_at(part, size) {
                    Ok(0) => return Err(Error::path(path, Errno::EIO)),
                    Ok(w) => {
                        size += w as u64;
                        part = &part[w..];
                    }
                    Err(e) => return Err(Error::path(path, e)),
                }
            }
            if let Some(item) = self.items.get_mut(&ino) {
                item.row.size = size;
            }
        }
        Ok(ino)
    }

    /// Makes a symbolic link. Returns the inode number.
    pub fn symlink(&mut self, path: &[u8], target: &[u8], meta: &Meta) -> Result<u64> {
        if target.is_empty() || target.len() >= 4096 || target.contains(&0) {
            return Err(Error::path(path, Errno::ENAMETOOLONG));
        }
        let meta = Meta {
            mode: 0o777,
            ..*meta
        };
        self.put(
            path,
            FileType::Symlink,
            &meta,
            DeviceId::default(),
            Some(target),
        )
    }

    /// Gives what is at `existing` (not followed) another name.
    pub fn hard_link(&mut self, path: &[u8], existing: &[u8]) -> Result<()> {
        let found = self
            .lookup(existing, false)
            .ok_or_else(|| Error::path(existing, Errno::ENOENT))?;
        if found.kind == FileType::Directory {
            return Err(Error::path(existing, Errno::EPERM));
        }
        let (dir, name) = self.place(path)?;
        if name.is_empty() {
            return Err(Error::path(path, Errno::EEXIST));
        }
        if self.entry(dir, &name) != Some(&found.ino) {
            self.detach(dir, &name)?;
            self.attach(dir, name, found.ino);
        }
        Ok(())
    }

    /// Makes a device, FIFO or socket. Returns the inode number.
    pub fn node(
        &mut self,
        path: &[u8],
        kind: FileType,
        rdev: DeviceId,
        meta: &Meta,
    ) -> Result<u64> {
        if matches!(
            kind,
            FileType::Regular | FileType::Directory | FileType::Symlink
        ) {
            return Err(Error::path(path, Errno::EINVAL));
        }
        self.put(path, kind, meta, rdev, None)
    }

    /// Sets an extended attribute of an inode.
    pub fn set_xattr(&mut self, ino: u64, name: &[u8], value: &[u8]) -> Result<()> {
        let item = self
            .items
            .get_mut(&ino)
            .ok_or_else(|| Error::path(name, Errno::ENOENT))?;
        if name.is_empty() || name.len() > 255 || value.len() > 65536 {
            return Err(Error::path(name, Errno::ERANGE));
        }
        item.xattrs.retain(|(n, _)| n != name);
        item.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    /// Removes what is at a path, with everything below it; nothing if nothing is there.
    pub fn remove(&mut self, path: &[u8]) -> Result<()> {
        match self.resolve(path, false) {
            Ok((dir, name)) if !name.is_empty() => self.detach(dir, &name),
            Ok(_) => Err(Error::path(path, Errno::EBUSY)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
            Err(e) => Err(Error::path(path, e)),
        }
    }

    /// Removes everything below a directory, but not it.
    pub fn clear(&mut self, path: &[u8]) -> Result<()> {
        let Some(Found {
            ino,
            kind: FileType::Directory,
        }) = self.lookup(path, true)
        else {
            return Ok(());
        };
        let entries = self.items.get(&ino).and_then(|i| i.entries.as_ref());
        let names: Vec<_> = entries
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.detach(ino, &name)?;
        }
        Ok(())
    }

    /// Number of inodes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is nothing but the root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.len() <= 1
    }

    /// Writes the database and makes everything durable.
    pub fn finish(self) -> Result<()> {
        let mut inos: Vec<_> = self.items.keys().copied().collect();
        inos.sort_unstable();
        schema::create(&self.files.database(), |db| {
            for ino in &inos {
                let item = &self.items[ino];
                schema::put_inode(db, &item.row)?;
                for (name, child) in item.entries.iter().flatten() {
                    let kind = self.items.get(child).map_or(0, |c| c.kind().mode_bits());
                    schema::put_dirent(db, *ino, name, *child, kind)?;
                }
                if !item.xattrs.is_empty() {
                    schema::replace_xattrs(db, *ino, &item.xattrs)?;
                }
            }
            Ok(())
        })?;
        self.files.sync_fs().map_err(|e| Error::host("sync", e))
    }
}

fn set_meta(row: &mut InodeRow, meta: &Meta) {
    row.mode = (row.mode & 0o170_000) | (meta.mode & 0o7777);
    (row.uid, row.gid) = (meta.uid, meta.gid);
    let ns = to_ns(meta.mtime);
    (row.atime, row.mtime, row.ctime) = (ns, ns, ns);
}

fn components(path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    let mut out = Vec::new();
    for part in path.split(|&c| c == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Errno::EINVAL),
            _ if part.contains(&0) => return Err(Errno::EINVAL),
            _ if part.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            _ => out.push(part.to_vec()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::check, reader::Reader};

    const META: Meta = Meta {
        mode: 0o644,
        uid: 1,
        gid: 2,
        mtime: Time { sec: 7, nsec: 8 },
    };

    #[test]
    fn a_tree_comes_back_as_written() {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("store");
        let mut w = Writer::create(&path).unwrap();
        w.directory(
            b"./usr/bin/",
            &Meta {
                mode: 0o755,
                ..META
            },
        )
        .unwrap();
        w.symlink(b"bin", b"usr/bin", &META).unwrap();
        w.file(
            b"bin/sh",
            &Meta {
                mode: 0o4755,
                ..META
            },
            &mut &b"#!x"[..],
        )
        .unwrap();
        w.hard_link(b"usr/bin/ash", b"/bin/sh").unwrap();
        w.node(
            b"dev/null",
            FileType::CharDevice,
            DeviceId::new(1, 3),
            &META,
        )
        .unwrap();
        let ino = w.file(b"etc/x", &META, &mut &b""[..]).unwrap();
        w.set_xattr(ino, b"user.a", b"1").unwrap();
        w.file(b"gone/a/b", &META, &mut &b"data"[..]).unwrap();
        w.remove(b"gone").unwrap();
        w.symlink(b"loop", b"loop", &META).unwrap();
        assert!(w.lookup(b"loop/x", true).is_none());
        assert!(w.file(b"a/../../etc/passwd", &META, &mut &b""[..]).is_err());
        w.symlink(b"up", b"../../../..", &META).unwrap();
        w.file(b"up/inside", &META, &mut &b"in"[..]).unwrap();
        w.finish().unwrap();

        assert_eq!(check(&path).unwrap().problems, Vec::<String>::new());
        let r = Reader::open(&path).unwrap();
        let mut seen = Vec::new();
        r.walk(|e| {
            seen.push((
                String::from_utf8(e.path.clone()).unwrap(),
                e.kind,
                e.nlink,
                e.size,
            ));
            Ok::<_, Error>(())
        })
        .unwrap();
        let names: Vec<_> = seen.iter().map(|s| &*s.0).collect();
        assert_eq!(
            names,
            [
                "",
                "bin",
                "dev",
                "dev/null",
                "etc",
                "etc/x",
                "inside",
                "loop",
                "up",
                "usr",
                "usr/bin",
                "usr/bin/ash",
                "usr/bin/sh"
            ]
        );
        assert!(seen.contains(&("usr/bin/sh".into(), FileType::Regular, 2, 3)));
        let sh = r.find(b"usr/bin/sh").unwrap().unwrap();
        assert_eq!(
            (sh.mode, sh.uid, sh.gid, sh.mtime),
            (0o4755, 1, 2, META.mtime)
        );
        let mut data = Vec::new();
        Read::read_to_end(&mut r.data(sh.ino).unwrap(), &mut data).unwrap();
        assert_eq!(data, b"#!x");
        let x = r.find(b"etc/x").unwrap().unwrap();
        assert_eq!(
            r.xattrs(x.ino).unwrap(),
            [(b"user.a".to_vec(), b"1".to_vec())]
        );
    }

    #[test]
    fn an_unfinished_store_does_not_open() {
        let t = tempfile::tempdir().unwrap();
        let mut w = Writer::create(t.path()).unwrap();
        w.file(b"a", &META, &mut &b"1"[..]).unwrap();
        drop(w);
        assert!(matches!(Reader::open(t.path()), Err(Error::NotAStore(_))));
    }
}
