//! Copying files and directories between the host and a machine.

use crate::{Error, Machine, Result, metadata::host_time};
use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path as HostPath,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tuxlet_kernel::Kernel;
use tuxlet_uapi::{Errno, fcntl::OpenFlags};
use tuxlet_vfs::{
    At, Cx, DirEntry, File, FileType, LookupFlags, Path, SetTime, Time, create, link,
    open::{How, Opened, open, open_path},
    resolver, setattr, unlink,
};

/// Bytes moved in one step.
const CHUNK: usize = 1 << 20;
/// Deepest directory that is copied: the host's stack is finite, what a guest makes is not.
const MAX_DEPTH: usize = 256;

impl Machine {
    /// Copies a file or a directory with all that is in it from the machine to the host; into `to` where that is a directory.
    /// Symbolic links are copied as such, times and permissions kept; set-user-ID and set-group-ID bits are not. Gives the
    /// guest's paths of what cannot be copied: devices, sockets and pipes.
    pub fn copy_out(&self, from: &str, to: &HostPath) -> Result<Vec<String>> {
        let kernel = &self.inner.kernel;
        let copy = Copy::new(kernel);
        let source = copy
            .lookup(from.as_bytes(), last_is_followed(from))
            .map_err(|e| guest_error(from.as_bytes(), e))?;
        let to = if to.is_dir() {
            match base_name(from.as_bytes()) {
                Some(name) => to.join(OsStr::from_bytes(name)),
                None => to.to_owned(),
            }
        } else {
            to.to_owned()
        };
        let mut skipped = Vec::new();
        copy.out(&source, from.as_bytes(), &to, 0, &mut skipped)?;
        Ok(skipped)
    }

    /// Copies a file or a directory with all that is in it from the host to the machine, where root owns it; into `to` where that is
    /// a directory. Otherwise as [`Machine::copy_out`]; gives the host's paths of what cannot be copied.
    pub fn copy_in(&self, from: &HostPath, to: &str) -> Result<Vec<String>> {
        let kernel = &self.inner.kernel;
        let copy = Copy::new(kernel);
        let mut target = to.as_bytes().to_vec();
        let is_directory = copy
            .lookup(&target, true)
            .is_ok_and(|path| path.dentry.is_dir());
        if is_directory {
            if let Some(name) = from.file_name() {
                target.push(b'/');
                target.extend_from_slice(name.as_bytes());
            }
        } else if to.ends_with('/') {
            return Err(guest_error(&target, Errno::ENOTDIR));
        }
        let mut skipped = Vec::new();
        copy.take_in(from, &target, 0, &mut skipped)?;
        Ok(skipped)
    }
}

fn guest_error(path: &[u8], errno: Errno) -> Error {
    Error::File {
        path: String::from_utf8_lossy(path).into_owned(),
        errno,
    }
}

fn host_error(path: &HostPath, reason: io::Error) -> Error {
    Error::HostPath {
        path: path.to_owned(),
        reason,
    }
}

/// A path that ends with a slash means what a link leads to.
fn last_is_followed(path: &str) -> bool {
    path.ends_with('/')
}

fn base_name(path: &[u8]) -> Option<&[u8]> {
    let name = path.split(|b| *b == b'/').rfind(|part| !part.is_empty())?;
    (name != b"." && name != b"..").then_some(name)
}

fn guest_time(time: io::Result<SystemTime>) -> Option<SetTime> {
    let since = time.ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(SetTime::At(Time {
        sec: i64::try_from(since.as_secs()).ok()?,
        nsec: since.subsec_nanos(),
    }))
}

struct Copy {
    cx: Cx,
    at: At,
}

impl Copy {
    fn new(kernel: &Kernel) -> Self {
        Self {
            cx: kernel.host_cx(),
            at: At::root(kernel.mounts.root()),
        }
    }

    fn lookup(&self, path: &[u8], follow: bool) -> std::result::Result<Path, Errno> {
        let mut flags = LookupFlags::empty();
        flags.set(LookupFlags::FOLLOW, follow);
        resolver::lookup(&self.cx, &self.at, path, flags)
    }

    fn open(&self, path: &Path, flags: OpenFlags) -> std::result::Result<Arc<File>, Errno> {
        match open_path(&self.cx, path.clone(), flags)? {
            Opened::File(file) => Ok(file),
            Opened::Special(_) => Err(Errno::ENXIO),
        }
    }

    fn out(
        &self,
        from: &Path,
        name: &[u8],
        to: &HostPath,
        depth: usize,
        skipped: &mut Vec<String>,
    ) -> Result<()> {
        let guest = |errno| guest_error(name, errno);
        let host = |error| host_error(to, error);
        let attr = from.attr(&self.cx).map_err(guest)?;
        match attr.kind {
            FileType::Directory => {
                if depth == MAX_DEPTH {
                    return Err(guest(Errno::ELOOP));
                }
                match fs::create_dir(to) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(host(e)),
                    // Not through a link that somebody has put there.
                    Err(_) if !fs::symlink_metadata(to).map_err(host)?.is_dir() => {
                        return Err(host(io::ErrorKind::NotADirectory.into()));
                    }
                    _ => {}
                }
                for entry in self.list(from).map_err(guest)? {
                    let mut child = name.to_vec();
                    child.push(b'/');
                    child.extend_from_slice(&entry);
                    let path = match self.lookup(&child, false) {
                        // It may have gone meanwhile.
                        Err(Errno::ENOENT) => continue,
                        other => other.map_err(|e| guest_error(&child, e))?,
                    };
                    self.out(
                        &path,
                        &child,
                        &to.join(OsStr::from_bytes(&entry)),
                        depth + 1,
                        skipped,
                    )?;
                }
                let made = fs::File::open(to).map_err(host)?;
                made.set_modified(host_time(attr.mtime))
                    .and_then(|()| {
                        made.set_permissions(fs::Permissions::from_mode(attr.mode & 0o777))
                    })
                    .map_err(host)
            }
            FileType::Regular => {
                let file = self.open(from, OpenFlags::empty()).map_err(guest)?;
                make_way(to)?;
                let mut output = fs::File::options()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(to)
                    .map_err(host)?;
                let mut chunk = vec![0; CHUNK];
                loop {
                    let mut room = &mut chunk[..];
                    let n = file.read(&self.cx, &mut room).map_err(guest)?;
                    if n == 0 {
                        break;
                    }
                    output.write_all(&chunk[..n]).map_err(host)?;
                }
                output
                    .set_permissions(fs::Permissions::from_mode(attr.mode & 0o777))
                    .and_then(|()| output.set_modified(host_time(attr.mtime)))
                    .map_err(host)
            }
            FileType::Symlink => {
                let target = link::readlink(&self.cx, from).map_err(guest)?;
                make_way(to)?;
                std::os::unix::fs::symlink(OsStr::from_bytes(&target), to).map_err(host)
            }
            _ => {
                skipped.push(String::from_utf8_lossy(name).into_owned());
                Ok(())
            }
        }
    }

    /// The names in a directory.
    fn list(&self, directory: &Path) -> std::result::Result<Vec<Vec<u8>>, Errno> {
        let file = self.open(directory, OpenFlags::DIRECTORY)?;
        let mut names = Vec::new();
        loop {
            let before = names.len();
            let mut any = false;
            file.read_dir(&self.cx, &mut |entry: DirEntry<'_>| {
                any = true;
                // File systems give neither, but a name becomes part of a host path here.
                let plain = !entry.name.contains(&b'/') && !entry.name.is_empty();
                if plain && entry.name != b"." && entry.name != b".." {
                    names.push(entry.name.to_vec());
                }
                true
            })?;
            if !any && names.len() == before {
                return Ok(names);
            }
        }
    }

    fn take_in(
        &self,
        from: &HostPath,
        to: &[u8],
        depth: usize,
        skipped: &mut Vec<String>,
    ) -> Result<()> {
        let guest = |errno| guest_error(to, errno);
        let host = |error| host_error(from, error);
        let meta = fs::symlink_metadata(from).map_err(host)?;
        let kind = meta.file_type();
        let mode = meta.permissions().mode() & 0o777;
        if kind.is_dir() {
            if depth == MAX_DEPTH {
                return Err(guest(Errno::ELOOP));
            }
            match create::mkdir(&self.cx, &self.at, to, 0o700) {
                Err(Errno::EEXIST) if self.lookup(to, true).is_ok_and(|p| p.dentry.is_dir()) => {}
                other => drop(other.map_err(guest)?),
            }
            for entry in fs::read_dir(from).map_err(host)? {
                let name = entry.map_err(host)?.file_name();
                let mut child = to.to_vec();
                child.push(b'/');
                child.extend_from_slice(name.as_bytes());
                self.take_in(&from.join(&name), &child, depth + 1, skipped)?;
            }
            let made = self.lookup(to, true).map_err(guest)?;
            setattr::chmod(&self.cx, &made, mode).map_err(guest)
        } else if kind.is_file() {
            let mut input = fs::File::open(from).map_err(host)?;
            self.clear(to).map_err(guest)?;
            let how = How {
                flags: OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::EXCL,
                mode,
                resolve: LookupFlags::empty(),
            };
            let Opened::File(file) = open(&self.cx, &self.at, to, &how).map_err(guest)? else {
                return Err(guest(Errno::ENXIO));
            };
            let mut chunk = vec![0; CHUNK];
            loop {
                let n = input.read(&mut chunk).map_err(host)?;
                if n == 0 {
                    break;
                }
                let mut rest = &chunk[..n];
                while !rest.is_empty() {
                    let mut piece = rest;
                    let written = file.write(&self.cx, &mut piece).map_err(guest)?;
                    rest = &rest[written..];
                }
            }
            let made = self.lookup(to, false).map_err(guest)?;
            setattr::utimens(&self.cx, &made, None, guest_time(meta.modified())).map_err(guest)
        } else if kind.is_symlink() {
            let target = fs::read_link(from).map_err(host)?;
            self.clear(to).map_err(guest)?;
            create::symlink(&self.cx, &self.at, target.as_os_str().as_bytes(), to)
                .map(drop)
                .map_err(guest)
        } else {
            skipped.push(from.to_string_lossy().into_owned());
            Ok(())
        }
    }

    /// Takes away what is in the way of a new file; a directory stays and is an error later.
    fn clear(&self, path: &[u8]) -> std::result::Result<(), Errno> {
        match unlink::unlink(&self.cx, &self.at, path) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            // A mount, such as a shared file: left, so that making the file fails.
            Err(errno) => Err(errno),
        }
    }
}

/// Takes away what is in the way of a new file on the host, so that nothing is written through a link.
fn make_way(path: &HostPath) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(host_error(path, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Root;
    use std::path::PathBuf;

    fn error<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn trees_come_back_as_they_went() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("tree");
        fs::create_dir_all(source.join("sub/empty")).unwrap();
        fs::write(source.join("sub/file"), vec![7; 3 << 20]).unwrap();
        fs::set_permissions(source.join("sub/file"), fs::Permissions::from_mode(0o751)).unwrap();
        std::os::unix::fs::symlink("/nowhere", source.join("link")).unwrap();
        let machine = Machine::builder().root(Root::Memory).build().unwrap();
        machine.write_file("/srv/x", 0o600, b"x").unwrap();
        assert_eq!(machine.copy_in(&source, "/srv").unwrap(), [""; 0]);
        assert_eq!(machine.copy_in(&source, "/srv").unwrap(), [""; 0], "twice");

        let back: PathBuf = dir.path().join("back");
        assert_eq!(machine.copy_out("/srv/tree", &back).unwrap(), [""; 0]);
        let file = back.join("sub/file");
        assert_eq!(fs::read(&file).unwrap(), vec![7; 3 << 20]);
        let meta = fs::metadata(&file).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, 0o751);
        let original = fs::metadata(source.join("sub/file")).unwrap();
        assert_eq!(meta.modified().unwrap(), original.modified().unwrap());
        assert!(back.join("sub/empty").is_dir());
        assert_eq!(
            fs::read_link(back.join("link")).unwrap(),
            PathBuf::from("/nowhere")
        );
        // Into a directory.
        machine.copy_out("/srv/x", dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"x");
        assert_eq!(
            machine.copy_out("/dev/null", dir.path()).unwrap(),
            ["/dev/null"]
        );
    }

    #[test]
    fn nothing_is_written_through_links_of_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, dir.path().join("file")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("directory")).unwrap();
        let machine = Machine::builder().root(Root::Memory).build().unwrap();
        machine.write_file("/file", 0o644, b"new").unwrap();
        machine
            .write_file("/t/directory/precious", 0o644, b"new")
            .unwrap();
        machine.copy_out("/file", dir.path()).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        let message = error(machine.copy_out("/t/.", dir.path()));
        assert!(message.contains("directory"), "{message}");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert!(error(machine.copy_out("/none", dir.path())).contains("/none"));
        assert!(error(machine.copy_in(&precious, "/none/")).contains("/none/"));
    }
}
