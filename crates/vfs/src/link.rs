//! link(2) and readlink(2).

use crate::{
    access::{self, READ, WRITE},
    attr::FileType,
    context::At,
    create::{may_create, must_be_free},
    cx::Cx,
    inode::Link,
    notify,
    path::Path,
    resolver::{self, Last, LookupFlags},
    track::{self, ChangeKind},
};
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_uapi::inotify::{IN_ATTRIB, IN_CREATE};

/// linkat(2): gives `target`, which has been looked up (or opened), the name `path`.
pub fn link(cx: &Cx, target: &Path, at: &At, path: &[u8]) -> Result<()> {
    let parent = resolver::lookup_parent(cx, at, path, LookupFlags::empty())?;
    let Last::Name(name) = &parent.last else {
        return Err(Errno::EEXIST);
    };
    let dir = &parent.dir.dentry;
    let lock = dir.lock_dir();
    must_be_free(cx, dir, name)?;
    if parent.trailing {
        return Err(Errno::ENOENT);
    }
    parent.dir.mount.want_write()?;
    if !Arc::ptr_eq(&target.mount, &parent.dir.mount) {
        return Err(Errno::EXDEV);
    }
    may_link(cx, target)?;
    may_create(cx, dir)?;
    if target.dentry.is_dir() {
        return Err(Errno::EPERM);
    }
    dir.inode().link(cx, name, target.inode())?;
    dir.adopt(name, Arc::clone(target.inode()));
    drop(lock);
    notify::on_inode(target.inode(), IN_ATTRIB);
    notify::on_entry(dir, name, false, IN_CREATE);
    track::entry(cx, &parent.dir, name, false, ChangeKind::Created);
    Ok(())
}

/// `protected_hardlinks`, which distributions switch on: only safe files of others may be linked.
fn may_link(cx: &Cx, target: &Path) -> Result<()> {
    let attr = target.attr(cx)?;
    if cx.cred.owner_or_capable(&attr) {
        return Ok(());
    }
    let privileged = attr.mode & 0o4000 != 0 || attr.mode & 0o2010 == 0o2010;
    if attr.kind != FileType::Regular
        || privileged
        || access::permission(cx, target.inode(), READ | WRITE).is_err()
    {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// The target of a looked-up symbolic link: readlink(2). `EINVAL` for other types.
pub fn readlink(cx: &Cx, path: &Path) -> Result<Vec<u8>> {
    if path.dentry.kind() != FileType::Symlink {
        return Err(Errno::EINVAL);
    }
    path.accessed(cx);
    let target = match path.inode().readlink(cx)? {
        Link::Path(target) | Link::Jump(_, target) => target,
    };
    Ok(target)
}
