//! unlink(2) and rmdir(2).

use crate::{
    access::{self, EXEC, WRITE, check_sticky},
    context::At,
    cx::Cx,
    dentry::Dentry,
    notify,
    resolver::{self, Last, LookupFlags},
    track::{self, ChangeKind},
};
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};

/// Checks that the entry `victim` of `dir` may be removed or replaced by a directory (`as_dir`) or another file.
pub(crate) fn may_delete(
    cx: &Cx,
    dir: &Arc<Dentry>,
    victim: &Arc<Dentry>,
    as_dir: bool,
) -> Result<()> {
    access::permission(cx, dir.inode(), WRITE | EXEC)?;
    check_sticky(cx, dir.inode(), victim.inode())?;
    if as_dir && !victim.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    if !as_dir && victim.is_dir() {
        return Err(Errno::EISDIR);
    }
    if dir.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    Ok(())
}

/// unlinkat(2) without `AT_REMOVEDIR`.
pub fn unlink(cx: &Cx, at: &At, path: &[u8]) -> Result<()> {
    let parent = resolver::lookup_parent(cx, at, path, LookupFlags::empty())?;
    let Last::Name(name) = &parent.last else {
        return Err(Errno::EISDIR);
    };
    parent.dir.mount.want_write()?;
    let dir = &parent.dir.dentry;
    let lock = dir.lock_dir();
    let victim = dir.lookup_locked(cx, name)?;
    if parent.trailing {
        return Err(if victim.is_dir() {
            Errno::EISDIR
        } else {
            Errno::ENOTDIR
        });
    }
    may_delete(cx, dir, &victim, false)?;
    if victim.is_mountpoint() {
        return Err(Errno::EBUSY);
    }
    dir.inode().unlink(cx, name)?;
    dir.removed(&victim);
    drop(lock);
    notify::removed(dir, &victim);
    track::entry(cx, &parent.dir, name, false, ChangeKind::Removed);
    Ok(())
}

/// rmdir(2), unlinkat(2) with `AT_REMOVEDIR`.
pub fn rmdir(cx: &Cx, at: &At, path: &[u8]) -> Result<()> {
    let parent = resolver::lookup_parent(cx, at, path, LookupFlags::empty())?;
    let name = match &parent.last {
        Last::Name(name) => name,
        Last::Dot => return Err(Errno::EINVAL),
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::Root => return Err(Errno::EBUSY),
    };
    parent.dir.mount.want_write()?;
    let dir = &parent.dir.dentry;
    let lock = dir.lock_dir();
    let victim = dir.lookup_locked(cx, name)?;
    may_delete(cx, dir, &victim, true)?;
    // The victim's own lock: nobody may make an entry in it meanwhile.
    let inner = victim.lock_dir();
    if victim.is_mountpoint() {
        return Err(Errno::EBUSY);
    }
    dir.inode().rmdir(cx, name)?;
    dir.removed(&victim);
    drop((inner, lock));
    notify::removed(dir, &victim);
    track::entry(cx, &parent.dir, name, true, ChangeKind::Removed);
    Ok(())
}
