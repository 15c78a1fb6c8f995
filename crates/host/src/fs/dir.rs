//! Open directories, and what can be done to names below them.

use super::{
    file::{File, OpenFile, sync_fs},
    stat::{FsStat, SetTimes, Stat},
};
use crate::errno::from_host;
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Timestamps, Uid, XattrFlags},
    io::{Errno as HostErrno, retry_on_intr},
};
use std::path::Path;
use tuxlet_uapi::errno::{Errno, Result};

/// A directory of the host, as the base of relative names.
///
/// Names are relative paths without `..`; `.` is the directory itself. A last component that is a symbolic
/// link is never followed. Intermediate ones would be: pass several components only below directories that
/// nobody else can change.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// An entry of a host directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// Host inode number.
    pub ino: u64,
    /// The `S_IF*` bits; 0 if the host did not say.
    pub type_bits: u32,
}

/// Opened only to be a base: needs no read permission where the host knows such a thing.
const BASE: OFlags = {
    #[cfg(target_os = "linux")]
    let flags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let flags = OFlags::RDONLY;
    flags.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC)
};

#[cfg(not(target_vendor = "apple"))]
fn utimensat(dir: &OwnedFd, name: &[u8], times: &Timestamps) -> Result<()> {
    rustix::fs::utimensat(dir, name, times, AtFlags::SYMLINK_NOFOLLOW).map_err(from_host)
}

/// Without rustix, which makes a process for it on systems that are too old to have the call. All that we run on have it, and apps for iOS
/// must not be able to make processes.
#[cfg(target_vendor = "apple")]
fn utimensat(dir: &OwnedFd, name: &[u8], times: &Timestamps) -> Result<()> {
    let name = std::ffi::CString::new(name).map_err(|_| Errno::EINVAL)?;
    let times = [times.last_access, times.last_modification].map(|time| libc::timespec {
        tv_sec: time.tv_sec,
        tv_nsec: time.tv_nsec,
    });
    let fd = std::os::fd::AsRawFd::as_raw_fd(dir);
    // SAFETY: the descriptor is open, the name ends with a zero byte, and there are two times.
    let done =
        unsafe { libc::utimensat(fd, name.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) };
    if done == 0 {
        return Ok(());
    }
    let error = HostErrno::from_io_error(&std::io::Error::last_os_error());
    Err(error.map_or(Errno::EIO, from_host))
}

fn checked(name: &[u8]) -> Result<&[u8]> {
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    if name[0] == b'/' || name.split(|&c| c == b'/').any(|part| part == b"..") {
        return Err(Errno::EINVAL);
    }
    Ok(name)
}

#[allow(clippy::unnecessary_cast, reason = "the type differs between hosts")]
fn type_bits(kind: FileType) -> u32 {
    kind.as_raw_mode() as u32 & 0o170_000
}

fn mode_bits(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & 0o7777) as _)
}

impl Dir {
    /// Opens the directory at a host path, following symbolic links: the trusted start of everything else.
    pub fn open(path: &Path) -> Result<Self> {
        retry_on_intr(|| rustix::fs::open(path, BASE, Mode::empty()))
            .map(|fd| Self { fd })
            .map_err(from_host)
    }

    /// Opens a directory below; `ENOTDIR` if the name is something else, `ELOOP` or `ENOTDIR` if it is a
    /// symbolic link.
    pub fn open_dir(&self, name: &[u8]) -> Result<Self> {
        let name = checked(name)?;
        retry_on_intr(|| rustix::fs::openat(&self.fd, name, BASE | OFlags::NOFOLLOW, Mode::empty()))
            .map(|fd| Self { fd })
            .map_err(from_host)
    }

    /// Opens a file of any type only to name it in other calls, and says which one that is.
    #[cfg(target_os = "linux")]
    pub(super) fn open_path(&self, name: &[u8]) -> Result<(OwnedFd, Stat)> {
        let name = checked(name)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::empty()))
            .map_err(from_host)?;
        let stat = rustix::fs::fstat(&fd).map(Stat::from).map_err(from_host)?;
        Ok((fd, stat))
    }

    /// Opens a regular file. Anything else gives `EISDIR`, `ELOOP` or `ENXIO`; it never blocks. To open a
    /// device may act on it: look with [`Dir::stat`] first where there can be one.
    pub fn open_file(&self, name: &[u8], how: OpenFile) -> Result<File> {
        self.open_file_stat(name, how).map(|(file, _)| file)
    }

    /// As [`Dir::open_file`], with the attributes that the file had then.
    pub fn open_file_stat(&self, name: &[u8], how: OpenFile) -> Result<(File, Stat)> {
        let name = checked(name)?;
        let mut flags = match (how.read, how.write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        flags |= OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if how.create.is_some() {
            flags |= OFlags::CREATE;
        }
        if how.exclusive {
            flags |= OFlags::EXCL;
        }
        let mode = mode_bits(how.create.unwrap_or(0));
        let fd =
            retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, mode)).map_err(from_host)?;
        let file = File::from_fd(fd);
        let mut stat = file.stat()?;
        if stat.is_dir() {
            return Err(Errno::EISDIR);
        }
        if !stat.is_file() {
            return Err(Errno::ENXIO);
        }
        // Only now is it known to be a file that may be cut.
        if how.truncate && stat.size > 0 {
            file.set_len(0)?;
            stat = file.stat()?;
        }
        Ok((file, stat))
    }

    /// The attributes of a name, or of the directory itself for `.`.
    pub fn stat(&self, name: &[u8]) -> Result<Stat> {
        if name == b"." {
            return rustix::fs::fstat(&self.fd)
                .map(Stat::from)
                .map_err(from_host);
        }
        rustix::fs::statat(&self.fd, checked(name)?, AtFlags::SYMLINK_NOFOLLOW)
            .map(Stat::from)
            .map_err(from_host)
    }

    /// All entries but `.` and `..`, in the host's order.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, ".", flags, Mode::empty()))
            .map_err(from_host)?;
        let mut out = Vec::new();
        for entry in rustix::fs::Dir::new(fd).map_err(from_host)? {
            let entry = entry.map_err(from_host)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let type_bits = match entry.file_type() {
                FileType::Unknown => 0,
                known => type_bits(known),
            };
            out.push(Entry {
                name: name.to_vec(),
                ino: entry.ino(),
                type_bits,
            });
        }
        Ok(out)
    }

    /// A symbolic link's target.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        rustix::fs::readlinkat(&self.fd, checked(name)?, Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(from_host)
    }

    /// Creates a directory with these permission bits (less the host's umask).
    pub fn make_dir(&self, name: &[u8], mode: u32) -> Result<()> {
        rustix::fs::mkdirat(&self.fd, checked(name)?, mode_bits(mode)).map_err(from_host)
    }

    /// Creates a symbolic link.
    pub fn make_symlink(&self, target: &[u8], name: &[u8]) -> Result<()> {
        rustix::fs::symlinkat(target, &self.fd, checked(name)?).map_err(from_host)
    }

    /// Creates a FIFO; `EOPNOTSUPP` where the host has no call for it relative to a directory.
    pub fn make_fifo(&self, name: &[u8], mode: u32) -> Result<()> {
        self.make_node(name, FileType::Fifo, mode)
    }

    /// Creates the name of a Unix socket; `EOPNOTSUPP` where the host has no call for it.
    pub fn make_socket(&self, name: &[u8], mode: u32) -> Result<()> {
        self.make_node(name, FileType::Socket, mode)
    }

    fn make_node(&self, name: &[u8], kind: FileType, mode: u32) -> Result<()> {
        let name = checked(name)?;
        #[cfg(target_vendor = "apple")]
        {
            let _ = (name, kind, mode);
            Err(Errno::EOPNOTSUPP)
        }
        #[cfg(not(target_vendor = "apple"))]
        rustix::fs::mknodat(&self.fd, name, kind, mode_bits(mode), 0).map_err(from_host)
    }

    /// Adds the name `new_name` in `new_dir` for a file here, without following it.
    pub fn link(&self, name: &[u8], new_dir: &Self, new_name: &[u8]) -> Result<()> {
        let (name, new_name) = (checked(name)?, checked(new_name)?);
        rustix::fs::linkat(&self.fd, name, &new_dir.fd, new_name, AtFlags::empty())
            .map_err(from_host)
    }

    /// Removes a name that is not a directory.
    pub fn unlink(&self, name: &[u8]) -> Result<()> {
        rustix::fs::unlinkat(&self.fd, checked(name)?, AtFlags::empty()).map_err(|e| {
            // POSIX (and Darwin) say EPERM for a directory, Linux EISDIR.
            if cfg!(not(target_os = "linux"))
                && e == HostErrno::PERM
                && self.stat(name).is_ok_and(|s| s.is_dir())
            {
                return Errno::EISDIR;
            }
            from_host(e)
        })
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &[u8]) -> Result<()> {
        rustix::fs::unlinkat(&self.fd, checked(name)?, AtFlags::REMOVEDIR).map_err(from_host)
    }

    /// Renames; with `no_replace` fails with `EEXIST` if the new name exists, with `exchange` swaps the two.
    pub fn rename(
        &self,
        name: &[u8],
        new_dir: &Self,
        new_name: &[u8],
        no_replace: bool,
        exchange: bool,
    ) -> Result<()> {
        use rustix::fs::RenameFlags as F;
        let (name, new_name) = (checked(name)?, checked(new_name)?);
        if !no_replace && !exchange {
            return rustix::fs::renameat(&self.fd, name, &new_dir.fd, new_name).map_err(from_host);
        }
        let mut flags = F::empty();
        flags.set(F::NOREPLACE, no_replace);
        flags.set(F::EXCHANGE, exchange);
        rustix::fs::renameat_with(&self.fd, name, &new_dir.fd, new_name, flags).map_err(from_host)
    }

    /// Sets the permission bits of a name that is not a symbolic link (`EOPNOTSUPP`).
    pub fn set_mode(&self, name: &[u8], mode: u32) -> Result<()> {
        self.on_object(
            name,
            |path| rustix::fs::chmodat(rustix::fs::CWD, path, mode_bits(mode), AtFlags::empty()),
            |fd| rustix::fs::fchmod(fd, mode_bits(mode)),
        )
    }

    /// Sets owner and group of a name; `None` leaves one alone.
    pub fn set_owner(&self, name: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        let name = checked(name)?;
        rustix::fs::chownat(&self.fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(from_host)
    }

    /// Sets the times of a name.
    pub fn set_times(&self, name: &[u8], times: SetTimes) -> Result<()> {
        let times = times.to_host();
        utimensat(&self.fd, checked(name)?, &times)
    }

    /// The value of an extended attribute.
    pub fn get_xattr(&self, name: &[u8], attr: &[u8]) -> Result<Vec<u8>> {
        // The value may grow between asking for its size and reading it.
        let mut buf = vec![0; 256];
        loop {
            let got = self.on_object_cell(name, |target| match target {
                Target::Path(p) => rustix::fs::getxattr(p, attr, &mut buf[..]),
                Target::Fd(fd) => rustix::fs::fgetxattr(fd, attr, &mut buf[..]),
            });
            match got {
                Ok(n) => {
                    buf.truncate(n);
                    return Ok(buf);
                }
                Err(Errno::ERANGE) if buf.len() < 65536 => buf.resize(65536, 0),
                Err(e) => return Err(e),
            }
        }
    }

    /// The names of the extended attributes.
    pub fn list_xattr(&self, name: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut buf = vec![0; 1024];
        loop {
            let got = self.on_object_cell(name, |target| match target {
                Target::Path(p) => rustix::fs::listxattr(p, &mut buf[..]),
                Target::Fd(fd) => rustix::fs::flistxattr(fd, &mut buf[..]),
            });
            match got {
                Ok(n) => {
                    buf.truncate(n);
                    return Ok(buf
                        .split(|&c| c == 0)
                        .filter(|n| !n.is_empty())
                        .map(<[u8]>::to_vec)
                        .collect());
                }
                Err(Errno::ERANGE) if buf.len() < 65536 => buf.resize(65536, 0),
                Err(e) => return Err(e),
            }
        }
    }

    /// Sets an extended attribute; `flags` are `XATTR_CREATE` (1) and `XATTR_REPLACE` (2).
    pub fn set_xattr(&self, name: &[u8], attr: &[u8], value: &[u8], flags: u32) -> Result<()> {
        let mut host = XattrFlags::empty();
        host.set(XattrFlags::CREATE, flags & 1 != 0);
        host.set(XattrFlags::REPLACE, flags & 2 != 0);
        self.on_object(
            name,
            |path| rustix::fs::setxattr(path, attr, value, host),
            |fd| rustix::fs::fsetxattr(fd, attr, value, host),
        )
    }

    /// Removes an extended attribute.
    pub fn remove_xattr(&self, name: &[u8], attr: &[u8]) -> Result<()> {
        self.on_object(
            name,
            |path| rustix::fs::removexattr(path, attr),
            |fd| rustix::fs::fremovexattr(fd, attr),
        )
    }

    /// Makes the directory's entries durable.
    pub fn sync(&self) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, ".", flags, Mode::empty()))
            .map_err(from_host)?;
        retry_on_intr(|| rustix::fs::fsync(&fd)).map_err(from_host)
    }

    /// Flushes the whole host file system that holds the directory, where the host can; else everything.
    pub fn sync_fs(&self) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, ".", flags, Mode::empty()))
            .map_err(from_host)?;
        sync_fs(&fd)
    }

    /// Sizes of the host file system.
    pub fn fs_stat(&self) -> Result<FsStat> {
        rustix::fs::fstatvfs(&self.fd)
            .map(FsStat::from)
            .map_err(from_host)
    }

    /// Acts on the object of a name that is no symbolic link, for calls without a "do not follow" form.
    fn on_object<T>(
        &self,
        name: &[u8],
        by_path: impl Fn(&str) -> rustix::io::Result<T>,
        by_fd: impl Fn(&OwnedFd) -> rustix::io::Result<T>,
    ) -> Result<T> {
        self.on_object_cell(name, |target| match target {
            Target::Path(p) => by_path(p),
            Target::Fd(fd) => by_fd(fd),
        })
    }

    fn on_object_cell<T>(
        &self,
        name: &[u8],
        mut act: impl FnMut(Target<'_>) -> rustix::io::Result<T>,
    ) -> Result<T> {
        let name = checked(name)?;
        // A handle pins the object, so that no link can be slipped in between look and act; its name in
        // /proc acts on it without needing permission to read it.
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd as _;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::empty()))
                .map_err(from_host)?;
            let stat = rustix::fs::fstat(&fd).map(Stat::from).map_err(from_host)?;
            if stat.mode & 0o170_000 == 0o120_000 {
                return Err(Errno::EOPNOTSUPP);
            }
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            match act(Target::Path(&path)) {
                Err(HostErrno::NOENT | HostErrno::NOTDIR) => {} // no /proc here
                other => return other.map_err(from_host),
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::empty()))
            .map_err(|e| {
                if e == HostErrno::LOOP {
                    Errno::EOPNOTSUPP
                } else {
                    from_host(e)
                }
            })?;
        act(Target::Fd(&fd)).map_err(from_host)
    }
}

enum Target<'a> {
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "other hosts have no /proc")
    )]
    Path(&'a str),
    Fd(&'a OwnedFd),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temp() -> (tempfile::TempDir, Dir) {
        let t = tempfile::tempdir().unwrap();
        let d = Dir::open(t.path()).unwrap();
        (t, d)
    }

    const NEW: OpenFile = OpenFile {
        read: true,
        write: true,
        create: Some(0o644),
        exclusive: true,
        truncate: false,
    };

    #[test]
    fn names_cannot_lead_outside() {
        let (t, d) = temp();
        std::fs::create_dir(t.path().join("in")).unwrap();
        std::os::unix::fs::symlink("/etc", t.path().join("out")).unwrap();
        let inner = d.open_dir(b"in").unwrap();
        assert_eq!(inner.open_file(b"../x", NEW).unwrap_err(), Errno::EINVAL);
        assert_eq!(inner.stat(b"..").unwrap_err(), Errno::EINVAL);
        assert_eq!(d.stat(b"/etc").unwrap_err(), Errno::EINVAL);
        assert!(matches!(
            d.open_dir(b"out").unwrap_err(),
            Errno::ENOTDIR | Errno::ELOOP
        ));
        assert_eq!(
            d.open_file(b"out", OpenFile::READ).unwrap_err(),
            Errno::ELOOP
        );
        assert_eq!(d.set_mode(b"out", 0o777).unwrap_err(), Errno::EOPNOTSUPP);
        assert_eq!(d.read_link(b"out").unwrap(), b"/etc");
    }

    #[test]
    fn fifos_neither_block_nor_open() {
        let (_t, d) = temp();
        d.make_fifo(b"f", 0o600).unwrap();
        assert_eq!(d.open_file(b"f", OpenFile::READ).unwrap_err(), Errno::ENXIO);
        let write = OpenFile {
            write: true,
            ..OpenFile::default()
        };
        assert_eq!(d.open_file(b"f", write).unwrap_err(), Errno::ENXIO);
        assert_eq!(
            d.open_file(b".", OpenFile::READ).unwrap_err(),
            Errno::EISDIR
        );
    }

    #[test]
    fn data_and_attributes() {
        let (_t, d) = temp();
        let f = d.open_file(b"f", NEW).unwrap();
        assert_eq!(d.open_file(b"f", NEW).unwrap_err(), Errno::EEXIST);
        assert_eq!(f.write_at(b"hello", 3).unwrap(), 5);
        let mut buf = [1; 16];
        assert_eq!(f.read_at(&mut buf, 0).unwrap(), 8);
        assert_eq!(&buf[..8], b"\0\0\0hello");
        d.set_mode(b"f", 0).unwrap();
        assert_eq!(d.stat(b"f").unwrap().mode, 0o100_000);
        d.set_times(
            b"f",
            SetTimes {
                atime: None,
                mtime: Some((5, 6)),
            },
        )
        .unwrap();
        assert_eq!(d.stat(b"f").unwrap().mtime, (5, 6));
        let g = d.open_file(b"g", NEW).unwrap();
        assert_eq!(f.copy_to(3, &g, 0, 100).unwrap(), 5);
        assert_eq!(g.stat().unwrap().size, 5);
        d.rename(b"g", &d, b"h", true, false).unwrap();
        assert_eq!(
            d.rename(b"h", &d, b"f", true, false).unwrap_err(),
            Errno::EEXIST
        );
        assert_eq!(d.entries().unwrap().len(), 2);
        assert!(
            d.entries()
                .unwrap()
                .iter()
                .all(|e| e.type_bits == 0o100_000)
        );
        f.try_lock(true).unwrap();
        let again = d.open_file(b"f", OpenFile::READ);
        if let Ok(again) = again {
            assert_eq!(again.try_lock(false).unwrap_err(), Errno::EAGAIN);
        }
    }
}
