//! Making names: mkdir(2), mknod(2), symlink(2), and what they share with open(2).

use crate::{
    access::{self, EXEC, WRITE},
    acl,
    attr::DeviceId,
    context::At,
    cx::{Cx, cap},
    dentry::Dentry,
    inode::{InodeRef, NewInode, NewKind},
    notify,
    path::Path,
    resolver::{self, Last, LookupFlags, Parent},
    track::{self, ChangeKind},
};
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_uapi::inotify::IN_CREATE;

/// mkdirat(2). The umask of `cx` is applied to `mode`.
pub fn mkdir(cx: &Cx, at: &At, path: &[u8], mode: u32) -> Result<Path> {
    let parent = resolver::lookup_parent(cx, at, path, LookupFlags::empty())?;
    create_in(
        cx,
        &parent,
        NewKind::Directory,
        mode & 0o1777,
        true,
        plainly,
    )
}

/// mknodat(2), also the socket made by bind(2). Devices need `CAP_MKNOD`, except a whiteout (0, 0).
pub fn mknod(cx: &Cx, at: &At, path: &[u8], kind: NewKind<'_>, mode: u32) -> Result<Path> {
    let parent = resolver::lookup_parent(cx, at, path, LookupFlags::empty())?;
    create_in(cx, &parent, kind, mode & 0o7777, false, plainly)
}

/// Makes a regular file in a way of the caller's, which gets directory, name and the new inode's attributes: mq_open(2).
pub fn mkobj(
    cx: &Cx,
    at: &At,
    path: &[u8],
    mode: u32,
    make: impl FnOnce(&InodeRef, &[u8], &NewInode<'_>) -> Result<InodeRef>,
) -> Result<Path> {
    let parent = resolver::lookup_parent(cx, at, path, LookupFlags::empty())?;
    create_in(
        cx,
        &parent,
        NewKind::Regular,
        mode & 0o7777,
        false,
        |_, dir, name, new| make(dir, name, new),
    )
}

fn plainly(cx: &Cx, dir: &InodeRef, name: &[u8], new: &NewInode<'_>) -> Result<InodeRef> {
    dir.create(cx, name, new)
}

/// symlinkat(2).
pub fn symlink(cx: &Cx, at: &At, target: &[u8], path: &[u8]) -> Result<Path> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    if target.len() >= tuxlet_uapi::fcntl::PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let parent = resolver::lookup_parent(cx, at, path, LookupFlags::empty())?;
    create_in(cx, &parent, NewKind::Symlink(target), 0o777, false, plainly)
}

/// `EEXIST` if the directory, whose lock is held, has the name; `ENOENT` if the directory has been removed.
pub(crate) fn must_be_free(cx: &Cx, dir: &Arc<Dentry>, name: &[u8]) -> Result<()> {
    match dir.lookup_locked(cx, name) {
        Ok(_) => Err(Errno::EEXIST),
        Err(Errno::ENOENT) if !dir.is_unlinked() => Ok(()),
        Err(e) => Err(e),
    }
}

/// Checks that an entry may be made in a directory.
pub(crate) fn may_create(cx: &Cx, dir: &Arc<Dentry>) -> Result<()> {
    if dir.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    access::permission(cx, dir.inode(), WRITE | EXEC)
}

/// Owner, group and mode of a new inode and the lists that it inherits: the umask or the directory's default list
/// and, in a set-group-id directory, the directory's group.
pub(crate) fn new_inode<'a>(
    cx: &Cx,
    dir: &InodeRef,
    kind: NewKind<'a>,
    mode: u32,
) -> Result<(NewInode<'a>, acl::Inherited)> {
    let is_dir = matches!(kind, NewKind::Directory);
    let (mut mode, inherited) = if matches!(kind, NewKind::Symlink(_)) {
        (0o777, acl::Inherited::default())
    } else {
        acl::inherit(cx, dir, mode, is_dir)?
    };
    let mut gid = cx.cred.fsgid;
    let dir = dir.attr(cx)?;
    if dir.mode & 0o2000 != 0 {
        gid = dir.gid;
        if is_dir {
            mode |= 0o2000;
        } else if mode & 0o2010 == 0o2010
            && !cx.cred.in_group(gid)
            && !cx.cred.has_cap_for(&dir, cap::FSETID)
        {
            mode &= !0o2000;
        }
    }
    let new = NewInode {
        kind,
        mode,
        uid: cx.cred.fsuid,
        gid,
    };
    Ok((new, inherited))
}

fn create_in(
    cx: &Cx,
    parent: &Parent,
    kind: NewKind<'_>,
    mode: u32,
    dir_wanted: bool,
    make: impl FnOnce(&Cx, &InodeRef, &[u8], &NewInode<'_>) -> Result<InodeRef>,
) -> Result<Path> {
    let Last::Name(name) = &parent.last else {
        return Err(Errno::EEXIST);
    };
    let dir = &parent.dir.dentry;
    let lock = dir.lock_dir();
    must_be_free(cx, dir, name)?;
    if parent.trailing && !dir_wanted {
        return Err(Errno::ENOENT);
    }
    parent.dir.mount.want_write()?;
    may_create(cx, dir)?;
    if let NewKind::CharDevice(dev) | NewKind::BlockDevice(dev) = kind {
        let whiteout = matches!(kind, NewKind::CharDevice(_)) && dev == DeviceId::new(0, 0);
        if !whiteout && !cx.cred.has_cap(cap::MKNOD) {
            return Err(Errno::EPERM);
        }
    }
    let (new, inherited) = new_inode(cx, dir.inode(), kind, mode)?;
    let inode = make(cx, dir.inode(), name, &new)?;
    inherited.apply(cx, &inode)?;
    let dentry = dir.adopt(name, inode);
    drop(lock);
    notify::on_entry(dir, name, dir_wanted, IN_CREATE);
    track::entry(cx, &parent.dir, name, dir_wanted, ChangeKind::Created);
    Ok(Path {
        mount: Arc::clone(&parent.dir.mount),
        dentry,
    })
}
