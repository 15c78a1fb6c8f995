//! Who may do what: path_resolution(7), access(2), the discretionary part of capabilities(7).

use crate::{
    acl,
    attr::{Attr, FileType},
    context::At,
    cx::{Cred, Cx, cap},
    inode::InodeRef,
    mount::MountFlags,
    path::Path,
    resolver::{self, LookupFlags},
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{F_OK, R_OK, W_OK, X_OK},
};

/// Search (directory) or execute (file).
pub const EXEC: u32 = 1;
/// Write.
pub const WRITE: u32 = 2;
/// Read.
pub const READ: u32 = 4;

/// Whether the caller may use the inode in all the ways of `mask` ([`READ`], [`WRITE`], [`EXEC`]).
pub fn permission(cx: &Cx, inode: &InodeRef, mask: u32) -> Result<()> {
    if let Some(decided) = inode.permission(cx, mask) {
        return decided;
    }
    let dir = inode.kind() == FileType::Directory;
    // Capabilities first: the answer is the same, and it saves the superuser the attributes.
    if dir {
        if cx.cred.has_cap(cap::DAC_OVERRIDE)
            || (mask & WRITE == 0 && cx.cred.has_cap(cap::DAC_READ_SEARCH))
        {
            return Ok(());
        }
    } else if mask & EXEC == 0 && cx.cred.has_cap(cap::DAC_OVERRIDE) {
        return Ok(());
    }
    let attr = inode.attr(cx)?;
    let listed = if cx.cred.fsuid == attr.uid {
        None
    } else {
        acl::allows(cx, inode, &attr, mask)?
    };
    if listed.unwrap_or_else(|| mode_allows(&cx.cred, &attr, mask)) {
        return Ok(());
    }
    let privileged = |cap| cx.cred.has_cap_for(&attr, cap);
    let overridden = if dir {
        privileged(cap::DAC_OVERRIDE) || (mask & WRITE == 0 && privileged(cap::DAC_READ_SEARCH))
    } else {
        (privileged(cap::DAC_OVERRIDE) && (mask & EXEC == 0 || attr.mode & 0o111 != 0))
            || (mask == READ && privileged(cap::DAC_READ_SEARCH))
    };
    if overridden {
        return Ok(());
    }
    Err(Errno::EACCES)
}

fn mode_allows(cred: &Cred, attr: &Attr, mask: u32) -> bool {
    let class = if cred.fsuid == attr.uid {
        attr.mode >> 6
    } else if cred.in_group(attr.gid) {
        attr.mode >> 3
    } else {
        attr.mode
    };
    mask & !(class & 7) == 0
}

/// Whether the sticky bit of `dir` keeps the caller from removing or renaming `victim`: `EPERM`.
pub(crate) fn check_sticky(cx: &Cx, dir: &InodeRef, victim: &InodeRef) -> Result<()> {
    if cx.cred.has_cap(cap::FOWNER) {
        return Ok(());
    }
    let dir = dir.attr(cx)?;
    if dir.mode & 0o1000 == 0 || dir.uid == cx.cred.fsuid {
        return Ok(());
    }
    if cx.cred.owner_or_capable(&victim.attr(cx)?) {
        return Ok(());
    }
    Err(Errno::EPERM)
}

/// access(2) on a looked-up path with the identity of `cx`.
pub fn access_path(cx: &Cx, path: &Path, mode: u32) -> Result<()> {
    if mode == F_OK {
        return Ok(());
    }
    let kind = path.dentry.kind();
    if mode & X_OK != 0
        && kind == FileType::Regular
        && path.mount.flags().contains(MountFlags::NOEXEC)
    {
        return Err(Errno::EACCES);
    }
    permission(cx, path.inode(), mode & 7)?;
    let special = matches!(
        kind,
        FileType::Fifo | FileType::Socket | FileType::CharDevice | FileType::BlockDevice
    );
    if mode & W_OK != 0 && !special {
        path.mount.want_write()?;
    }
    Ok(())
}

/// faccessat2(2): checks `path` with the real ids, or the effective ones if `effective` (`AT_EACCESS`).
pub fn access(
    cx: &Cx,
    at: &At,
    path: &[u8],
    mode: u32,
    flags: LookupFlags,
    effective: bool,
) -> Result<()> {
    if mode & !(R_OK | W_OK | X_OK) != 0 {
        return Err(Errno::EINVAL);
    }
    let cx = if effective {
        cx.clone()
    } else {
        with_real_ids(cx)
    };
    let path = resolver::lookup(&cx, at, path, flags)?;
    access_path(&cx, &path, mode)
}

/// The context of access(2): real ids, and capabilities only for a real superuser.
fn with_real_ids(cx: &Cx) -> Cx {
    let cred = &cx.cred;
    /// `SECBIT_NO_SETUID_FIXUP`.
    const NO_SETUID_FIXUP: u32 = 4;
    let caps = if cred.securebits & NO_SETUID_FIXUP != 0 {
        cred.cap_effective
    } else if cred.uid == 0 {
        cred.cap_permitted
    } else {
        0
    };
    if cred.fsuid == cred.uid && cred.fsgid == cred.gid && caps == cred.cap_effective {
        return cx.clone();
    }
    let mut real = (**cred).clone();
    real.fsuid = cred.uid;
    real.fsgid = cred.gid;
    real.cap_effective = caps;
    Cx {
        cred: Arc::new(real),
        ..cx.clone()
    }
}

/// Whether the caller may make `path` its working directory: chdir(2).
pub fn may_chdir(cx: &Cx, path: &Path) -> Result<()> {
    if !path.dentry.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    permission(cx, path.inode(), EXEC)
}

/// Whether the caller may make `path` its root: chroot(2).
pub fn may_chroot(cx: &Cx, path: &Path) -> Result<()> {
    may_chdir(cx, path)?;
    if cx.cred.has_own_cap(cap::SYS_CHROOT) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Whether the caller may execute the file: execve(2). Its mode, the mount and the type count.
pub fn may_exec(cx: &Cx, path: &Path) -> Result<()> {
    if path.dentry.kind() != FileType::Regular || path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    permission(cx, path.inode(), EXEC)
}
