//! Guest files from the host's side.

use crate::{Error, Result};
use std::sync::Arc;
use tuxlet_kernel::Kernel;
use tuxlet_uapi::{Errno, fcntl::OpenFlags};
use tuxlet_vfs::{
    At, Cx, File, LookupFlags, Path, create, link,
    open::{How, Opened, open},
    resolver,
};

/// Bytes moved in one step.
const CHUNK: usize = 1 << 20;

fn open_file(
    kernel: &Arc<Kernel>,
    cx: &Cx,
    path: &str,
    flags: OpenFlags,
    mode: u32,
) -> Result<Arc<File>> {
    let at = At::root(kernel.mounts.root());
    let how = How {
        flags,
        mode,
        resolve: LookupFlags::empty(),
    };
    match open(cx, &at, path.as_bytes(), &how) {
        Ok(Opened::File(file)) => Ok(file),
        Ok(Opened::Special(_)) => Err(Error::File {
            path: path.into(),
            errno: Errno::ENXIO,
        }),
        Err(errno) => Err(Error::File {
            path: path.into(),
            errno,
        }),
    }
}

/// A directory, made with all that is missing above it.
pub(crate) fn ensure_dir(kernel: &Kernel, cx: &Cx, path: &[u8]) -> tuxlet_vfs::Result<Path> {
    let at = At::root(kernel.mounts.root());
    let found = resolver::lookup(cx, &at, path, LookupFlags::FOLLOW);
    if !matches!(found, Err(Errno::ENOENT)) {
        return found;
    }
    let mut done = Vec::new();
    for part in path.split(|b| *b == b'/').filter(|p| !p.is_empty()) {
        done.push(b'/');
        done.extend_from_slice(part);
        match create::mkdir(cx, &at, &done, 0o755) {
            Ok(_) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    resolver::lookup(cx, &at, path, LookupFlags::FOLLOW)
}

/// A file, made empty with all directories that are missing above it.
pub(crate) fn ensure_file(kernel: &Arc<Kernel>, cx: &Cx, path: &[u8]) -> tuxlet_vfs::Result<Path> {
    let at = At::root(kernel.mounts.root());
    let found = resolver::lookup(cx, &at, path, LookupFlags::FOLLOW);
    if !matches!(found, Err(Errno::ENOENT)) {
        return found;
    }
    // Right below the root there is no directory to make.
    if let Some(slash) = path.iter().rposition(|b| *b == b'/').filter(|s| *s > 0) {
        ensure_dir(kernel, cx, &path[..slash])?;
    }
    let how = How {
        flags: OpenFlags::WRONLY | OpenFlags::CREAT,
        mode: 0o644,
        resolve: LookupFlags::empty(),
    };
    match open(cx, &at, path, &how) {
        // A link to a place that is missing, too.
        Err(Errno::ENOENT) => {
            let target =
                link::readlink(cx, &resolver::lookup(cx, &at, path, LookupFlags::empty())?)?;
            let mut absolute = Vec::new();
            if !target.starts_with(b"/") {
                let slash = path.iter().rposition(|b| *b == b'/');
                absolute.extend_from_slice(&path[..slash.map_or(0, |s| s + 1)]);
            }
            absolute.extend_from_slice(&target);
            let slash = absolute.iter().rposition(|b| *b == b'/');
            ensure_dir(kernel, cx, &absolute[..slash.unwrap_or(0)])?;
            drop(open(cx, &at, path, &how)?);
        }
        other => drop(other?),
    }
    resolver::lookup(cx, &at, path, LookupFlags::FOLLOW)
}

/// An executable file for a native program, empty if it is not there yet.
pub(crate) fn ensure_program(kernel: &Arc<Kernel>, cx: &Cx, path: &str) -> Result<()> {
    let at = At::root(kernel.mounts.root());
    match resolver::lookup(cx, &at, path.as_bytes(), LookupFlags::FOLLOW) {
        Err(Errno::ENOENT) => write(kernel, path, 0o755, b""),
        found => found.map(drop).map_err(|errno| Error::File {
            path: path.into(),
            errno,
        }),
    }
}

pub(crate) fn write(kernel: &Arc<Kernel>, path: &str, mode: u32, data: &[u8]) -> Result<()> {
    let cx = kernel.host_cx();
    let failed = |errno| Error::File {
        path: path.into(),
        errno,
    };
    if let Some((dir, _)) = path.rsplit_once('/')
        && !dir.is_empty()
    {
        ensure_dir(kernel, &cx, dir.as_bytes()).map_err(failed)?;
    }
    let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::TRUNC;
    let file = open_file(kernel, &cx, path, flags, mode)?;
    let mut rest = data;
    while !rest.is_empty() {
        let mut piece = &rest[..rest.len().min(CHUNK)];
        let n = file.write(&cx, &mut piece).map_err(failed)?;
        rest = &rest[n..];
    }
    Ok(())
}

pub(crate) fn read(kernel: &Arc<Kernel>, path: &str) -> Result<Vec<u8>> {
    let cx = kernel.host_cx();
    let file = open_file(kernel, &cx, path, OpenFlags::empty(), 0)?;
    let mut data = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let mut room = &mut chunk[..];
        match file.read(&cx, &mut room) {
            Ok(0) => return Ok(data),
            Ok(n) => data.extend_from_slice(&chunk[..n]),
            Err(errno) => {
                return Err(Error::File {
                    path: path.into(),
                    errno,
                });
            }
        }
    }
}
