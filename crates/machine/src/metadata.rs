//! Looking at guest files and changing the tree from the host's side, as the superuser. Works whether processes run or not.

use crate::{Error, Machine, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tuxlet_uapi::{Errno, fcntl::OpenFlags};
use tuxlet_vfs::{
    At, Attr, Cx, DirEntry as RawEntry, FileType as RawType, LookupFlags, Path, RenameFlags, Time,
    create, link,
    open::{How, Opened, open},
    rename, resolver, setattr, unlink,
};

/// Bytes moved in one step.
const CHUNK: usize = 1 << 20;

/// What a guest file is: inode(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A Unix socket.
    Socket,
}

impl From<RawType> for FileType {
    fn from(kind: RawType) -> Self {
        match kind {
            RawType::Regular => Self::Regular,
            RawType::Directory => Self::Directory,
            RawType::Symlink => Self::Symlink,
            RawType::Fifo => Self::Fifo,
            RawType::CharDevice => Self::CharDevice,
            RawType::BlockDevice => Self::BlockDevice,
            RawType::Socket => Self::Socket,
        }
    }
}

/// What stat(2) tells of a guest file.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metadata {
    /// File type.
    pub kind: FileType,
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Number of hard links.
    pub links: u32,
    /// Inode number.
    pub inode: u64,
    /// Last change of the contents.
    pub modified: SystemTime,
}

impl From<Attr> for Metadata {
    fn from(attr: Attr) -> Self {
        Self {
            kind: attr.kind.into(),
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            size: attr.size,
            links: attr.nlink,
            inode: attr.ino,
            modified: host_time(attr.mtime),
        }
    }
}

/// A directory's entry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DirEntry {
    /// The name; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// File type.
    pub kind: FileType,
    /// Inode number.
    pub inode: u64,
}

/// A guest's time for the host; before the epoch it is the epoch.
pub(crate) fn host_time(time: Time) -> SystemTime {
    u64::try_from(time.sec).map_or(UNIX_EPOCH, |sec| {
        UNIX_EPOCH + Duration::new(sec, time.nsec.min(999_999_999))
    })
}

/// The superuser's view of the tree.
struct View {
    cx: Cx,
    at: At,
}

impl View {
    fn of(machine: &Machine) -> Self {
        let kernel = &machine.inner.kernel;
        Self {
            cx: kernel.host_cx(),
            at: At::root(kernel.mounts.root()),
        }
    }

    fn lookup(&self, path: &str, flags: LookupFlags) -> Result<Path> {
        resolver::lookup(&self.cx, &self.at, path.as_bytes(), flags).map_err(failed(path))
    }
}

fn failed(path: &str) -> impl Fn(Errno) -> Error {
    move |errno| Error::File {
        path: path.into(),
        errno,
    }
}

impl Machine {
    /// What a path names, symbolic links followed.
    pub fn metadata(&self, path: &str) -> Result<Metadata> {
        let view = View::of(self);
        let found = view.lookup(path, LookupFlags::FOLLOW)?;
        let attr = found.inode().attr(&view.cx).map_err(failed(path))?;
        Ok(attr.into())
    }

    /// What a path names; a symbolic link at its end is not followed.
    pub fn symlink_metadata(&self, path: &str) -> Result<Metadata> {
        let view = View::of(self);
        let found = view.lookup(path, LookupFlags::empty())?;
        let attr = found.inode().attr(&view.cx).map_err(failed(path))?;
        Ok(attr.into())
    }

    /// Where a symbolic link points.
    pub fn read_link(&self, path: &str) -> Result<String> {
        let view = View::of(self);
        let found = view.lookup(path, LookupFlags::empty())?;
        let target = link::readlink(&view.cx, &found).map_err(failed(path))?;
        Ok(String::from_utf8_lossy(&target).into_owned())
    }

    /// A directory's entries, without `.` and `..`, in the file system's order.
    pub fn read_dir(&self, path: &str) -> Result<Vec<DirEntry>> {
        let view = View::of(self);
        let how = How::new(OpenFlags::DIRECTORY);
        let opened = open(&view.cx, &view.at, path.as_bytes(), &how).map_err(failed(path))?;
        let Opened::File(file) = opened else {
            return Err(failed(path)(Errno::ENOTDIR));
        };
        let mut entries = Vec::new();
        loop {
            let mut any = false;
            let mut take = |entry: RawEntry<'_>| {
                any = true;
                if entry.name != b"." && entry.name != b".." {
                    entries.push(DirEntry {
                        name: String::from_utf8_lossy(entry.name).into_owned(),
                        kind: entry.kind.into(),
                        inode: entry.ino,
                    });
                }
                true
            };
            file.read_dir(&view.cx, &mut take).map_err(failed(path))?;
            if !any {
                return Ok(entries);
            }
        }
    }

    /// At most `len` bytes of a file from `offset` on; fewer only at its end.
    pub fn read_range(&self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        let view = View::of(self);
        let how = How::new(OpenFlags::NONBLOCK);
        let opened = open(&view.cx, &view.at, path.as_bytes(), &how).map_err(failed(path))?;
        let Opened::File(file) = opened else {
            return Err(failed(path)(Errno::ENXIO));
        };
        let mut data = Vec::new();
        let mut chunk = vec![0; len.min(CHUNK)];
        while data.len() < len {
            let want = (len - data.len()).min(CHUNK);
            let mut room = &mut chunk[..want];
            let n = file
                .pread(&view.cx, offset + data.len() as u64, &mut room)
                .map_err(failed(path))?;
            if n == 0 {
                break;
            }
            data.extend_from_slice(&chunk[..n]);
        }
        Ok(data)
    }

    /// Makes a directory; what is missing above it is made too. It is no error if it is there.
    pub fn create_dir(&self, path: &str) -> Result<()> {
        let kernel = &self.inner.kernel;
        crate::files::ensure_dir(kernel, &kernel.host_cx(), path.as_bytes())
            .map(drop)
            .map_err(failed(path))?;
        let kind = self.metadata(path)?.kind;
        if kind == FileType::Directory {
            Ok(())
        } else {
            Err(failed(path)(Errno::ENOTDIR))
        }
    }

    /// Makes a symbolic link at `path`.
    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        let view = View::of(self);
        create::symlink(&view.cx, &view.at, target.as_bytes(), path.as_bytes())
            .map(drop)
            .map_err(failed(path))
    }

    /// Removes a file or an empty directory.
    pub fn remove(&self, path: &str) -> Result<()> {
        let view = View::of(self);
        let found = view.lookup(path, LookupFlags::empty())?;
        let removed = if found.dentry.is_dir() {
            unlink::rmdir(&view.cx, &view.at, path.as_bytes())
        } else {
            unlink::unlink(&view.cx, &view.at, path.as_bytes())
        };
        removed.map_err(failed(path))
    }

    /// Renames a file or directory, replacing a file that is there: rename(2).
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let view = View::of(self);
        let flags = RenameFlags::empty();
        rename::rename(
            &view.cx,
            &view.at,
            from.as_bytes(),
            &view.at,
            to.as_bytes(),
            flags,
        )
        .map_err(failed(from))
    }

    /// Sets permission bits (0o7777), symbolic links followed.
    pub fn set_mode(&self, path: &str, mode: u32) -> Result<()> {
        let view = View::of(self);
        let found = view.lookup(path, LookupFlags::FOLLOW)?;
        setattr::chmod(&view.cx, &found, mode & 0o7777).map_err(failed(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Root;

    fn errno(result: Result<impl std::fmt::Debug>) -> Errno {
        match result {
            Err(Error::File { errno, .. }) => errno,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_tree_is_seen_and_changed() {
        let machine = Machine::builder().root(Root::Memory).build().unwrap();
        machine.write_file("/srv/a", 0o640, b"hello world").unwrap();
        machine.symlink("a", "/srv/link").unwrap();
        machine.create_dir("/srv/x/y").unwrap();
        machine.create_dir("/srv/x/y").unwrap();
        assert_eq!(errno(machine.create_dir("/srv/a")), Errno::ENOTDIR);

        let file = machine.metadata("/srv/link").unwrap();
        assert_eq!(
            (file.kind, file.mode, file.size, file.links),
            (FileType::Regular, 0o640, 11, 1)
        );
        let link = machine.symlink_metadata("/srv/link").unwrap();
        assert_eq!(link.kind, FileType::Symlink);
        assert_eq!(machine.read_link("/srv/link").unwrap(), "a");
        assert_eq!(errno(machine.read_link("/srv/a")), Errno::EINVAL);

        let mut names: Vec<_> = machine
            .read_dir("/srv")
            .unwrap()
            .into_iter()
            .map(|e| (e.name, e.kind))
            .collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("a", FileType::Regular),
            ("link", FileType::Symlink),
            ("x", FileType::Directory),
        ];
        assert_eq!(names, expected.map(|(n, k)| (n.to_owned(), k)));
        assert_eq!(errno(machine.read_dir("/srv/a")), Errno::ENOTDIR);

        assert_eq!(machine.read_range("/srv/a", 6, 100).unwrap(), b"world");
        assert_eq!(machine.read_range("/srv/a", 0, 5).unwrap(), b"hello");
        assert_eq!(machine.read_range("/srv/a", 99, 5).unwrap(), b"");

        assert_eq!(errno(machine.remove("/srv/x")), Errno::ENOTEMPTY);
        machine.remove("/srv/x/y").unwrap();
        machine.remove("/srv/x").unwrap();
        machine.rename("/srv/a", "/srv/b").unwrap();
        assert_eq!(errno(machine.metadata("/srv/link")), Errno::ENOENT);
        machine.remove("/srv/link").unwrap();
        machine.set_mode("/srv/b", 0o4755).unwrap();
        assert_eq!(machine.metadata("/srv/b").unwrap().mode, 0o4755);
    }
}
