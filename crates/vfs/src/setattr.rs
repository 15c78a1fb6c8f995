//! Changing attributes: chmod(2), chown(2), utimensat(2), truncate(2).

use crate::{
    access::{self, WRITE},
    acl,
    attr::{Attr, FileType, SetAttr, SetTime},
    cx::{Cx, cap},
    file::File,
    file_caps,
    inode::InodeRef,
    notify,
    path::Path,
    text_busy::WriteAccess,
    track::{self, Author, ChangeKind},
};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_uapi::inotify::{IN_ATTRIB, IN_MODIFY};

const ISUID: u32 = 0o4000;
const ISGID: u32 = 0o2000;
const IXGRP: u32 = 0o010;

/// Whether a change of the file strips its set-group-id bit: always of a program, of others if the caller is
/// neither in the group nor privileged.
fn drops_sgid(cx: &Cx, attr: &Attr) -> bool {
    attr.mode & ISGID != 0
        && (attr.mode & IXGRP != 0
            || !(cx.cred.in_group(attr.gid) || cx.cred.has_cap_for(attr, cap::FSETID)))
}

/// The mode without the bits that a change of the file takes away, if that differs.
fn without_privileges(cx: &Cx, attr: &Attr) -> Option<u32> {
    let mut mode = attr.mode & !ISUID;
    if drops_sgid(cx, attr) {
        mode &= !ISGID;
    }
    (mode != attr.mode).then_some(mode)
}

/// The mode to set before a write or truncate by a caller without `CAP_FSETID`.
pub(crate) fn mode_after_write(cx: &Cx, inode: &InodeRef) -> Result<Option<u32>> {
    if cx.cred.has_cap(cap::FSETID) || inode.kind() != FileType::Regular {
        return Ok(None);
    }
    Ok(without_privileges(cx, &inode.attr(cx)?))
}

fn apply(cx: &Cx, path: &Path, set: &SetAttr) -> Result<()> {
    path.inode().set_attr(cx, set)?;
    notify::on_dentry(&path.dentry, IN_ATTRIB);
    Ok(())
}

/// fchmodat(2) on a looked-up path. `EOPNOTSUPP` for symbolic links.
pub fn chmod(cx: &Cx, path: &Path, mode: u32) -> Result<()> {
    path.mount.want_write()?;
    if path.dentry.kind() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    let attr = path.attr(cx)?;
    if !cx.cred.owner_or_capable(&attr) {
        return Err(Errno::EPERM);
    }
    let mut mode = mode & 0o7777;
    if !cx.cred.in_group(attr.gid) && !cx.cred.has_cap_for(&attr, cap::FSETID) {
        mode &= !ISGID;
    }
    let set = SetAttr {
        mode: Some(mode),
        ..SetAttr::default()
    };
    acl::chmod(cx, path.inode(), mode, &set)?;
    notify::on_dentry(&path.dentry, IN_ATTRIB);
    Ok(())
}

/// fchownat(2) on a looked-up path; `None` leaves an id alone.
pub fn chown(cx: &Cx, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    path.mount.want_write()?;
    let attr = path.attr(cx)?;
    if !cx.cred.has_cap_for(&attr, cap::CHOWN) {
        let owner = cx.cred.fsuid == attr.uid;
        if uid.is_some_and(|uid| !owner || uid != attr.uid)
            || gid.is_some_and(|gid| !owner || (gid != attr.gid && !cx.cred.in_group(gid)))
        {
            return Err(Errno::EPERM);
        }
    }
    let mode = if attr.kind == FileType::Directory {
        None
    } else {
        without_privileges(cx, &attr)
    };
    if mode.is_some() && !cx.cred.owner_or_capable(&attr) {
        return Err(Errno::EPERM);
    }
    if uid.is_none() && gid.is_none() && mode.is_none() {
        return Ok(());
    }
    if attr.kind != FileType::Directory {
        file_caps::drop_now(cx, path.inode())?;
    }
    apply(
        cx,
        path,
        &SetAttr {
            mode,
            uid,
            gid,
            ..SetAttr::default()
        },
    )
}

/// utimensat(2) on a looked-up path: access and modification time; `None` is `UTIME_OMIT`.
pub fn utimens(cx: &Cx, path: &Path, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
    if atime.is_none() && mtime.is_none() {
        return Ok(());
    }
    path.mount.want_write()?;
    let touch = atime == Some(SetTime::Now) && mtime == Some(SetTime::Now);
    let attr = path.attr(cx)?;
    if !cx.cred.owner_or_capable(&attr) {
        if !touch {
            return Err(Errno::EPERM);
        }
        access::permission(cx, path.inode(), WRITE)?;
    }
    apply(
        cx,
        path,
        &SetAttr {
            atime,
            mtime,
            ..SetAttr::default()
        },
    )
}

fn check_size(cx: &Cx, inode: &InodeRef, size: u64) -> Result<()> {
    if size > i64::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    if size > cx.fsize_limit && size > inode.attr(cx)?.size {
        return Err(Errno::EFBIG);
    }
    Ok(())
}

/// truncate(2) on a looked-up path. `EFBIG` beyond `RLIMIT_FSIZE`: the kernel then also sends SIGXFSZ.
pub fn truncate(cx: &Cx, path: &Path, size: u64) -> Result<()> {
    match path.dentry.kind() {
        FileType::Regular => {}
        FileType::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    path.mount.want_write()?;
    access::permission(cx, path.inode(), WRITE)?;
    let _access = WriteAccess::of(path.inode())?;
    check_size(cx, path.inode(), size)?;
    do_truncate(cx, path, size, None)
}

/// Cuts a file to nothing after all checks: `O_TRUNC`, which counts as a change even of an empty file.
pub(crate) fn truncate_at_open(cx: &Cx, path: &Path) -> Result<()> {
    do_truncate(cx, path, 0, Some(SetTime::Now))
}

fn do_truncate(cx: &Cx, path: &Path, size: u64, mtime: Option<SetTime>) -> Result<()> {
    file_caps::drop_now(cx, path.inode())?;
    let mode = mode_after_write(cx, path.inode())?;
    let set = SetAttr {
        mode,
        size: Some(size),
        mtime,
        ..SetAttr::default()
    };
    path.inode().set_attr(cx, &set)?;
    notify::on_dentry(&path.dentry, IN_MODIFY);
    track::file(Author::of(cx), path, ChangeKind::Truncated);
    Ok(())
}

/// ftruncate(2): `EINVAL` unless the file is open for writing and regular.
pub fn ftruncate(cx: &Cx, file: &File, size: u64) -> Result<()> {
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    let Some(path) = file.path().filter(|p| p.dentry.kind() == FileType::Regular) else {
        return Err(Errno::EINVAL);
    };
    if !file.writable() {
        return Err(Errno::EINVAL);
    }
    check_size(cx, path.inode(), size)?;
    file_caps::drop_now(cx, path.inode())?;
    if let Some(mode) = mode_after_write(cx, path.inode())? {
        path.inode().set_attr(
            cx,
            &SetAttr {
                mode: Some(mode),
                ..SetAttr::default()
            },
        )?;
    }
    file.ops().truncate(cx, size)?;
    notify::on_dentry(&path.dentry, IN_MODIFY);
    track::file(Author::of(cx), path, ChangeKind::Truncated);
    Ok(())
}
