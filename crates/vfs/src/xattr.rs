//! Extended attributes: xattr(7) and its name spaces.

use crate::{
    access::{self, READ, WRITE},
    acl,
    attr::FileType,
    cx::{Cx, cap},
    file_caps::{self, FileCaps},
    notify,
    path::Path,
};
use tuxlet_uapi::inotify::IN_ATTRIB;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{XATTR_CREATE, XATTR_LIST_MAX, XATTR_NAME_MAX, XATTR_REPLACE, XATTR_SIZE_MAX},
};

fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX {
        Err(Errno::ERANGE)
    } else {
        Ok(())
    }
}

/// Whether the name space lets the caller read (`READ`) or change (`WRITE`) the attribute.
fn may(cx: &Cx, path: &Path, name: &[u8], mask: u32) -> Result<()> {
    let refused = if mask == WRITE {
        Errno::EPERM
    } else {
        Errno::ENODATA
    };
    if mask == WRITE {
        path.mount.want_write()?;
    }
    if name.starts_with(b"security.") {
        if mask == WRITE {
            let needed = if name == b"security.capability" {
                cap::SETFCAP
            } else {
                cap::SYS_ADMIN
            };
            if !cx.cred.has_cap(needed) {
                return Err(Errno::EPERM);
            }
        }
        return Ok(());
    }
    if name.starts_with(b"system.") {
        return Err(Errno::EOPNOTSUPP);
    }
    if name.starts_with(b"trusted.") {
        return if cx.cred.has_cap(cap::SYS_ADMIN) {
            Ok(())
        } else {
            Err(refused)
        };
    }
    if !name.starts_with(b"user.") {
        access::permission(cx, path.inode(), mask)?;
        return Err(Errno::EOPNOTSUPP);
    }
    match path.dentry.kind() {
        FileType::Regular => {}
        FileType::Directory => {
            if mask == WRITE {
                let attr = path.attr(cx)?;
                if attr.mode & 0o1000 != 0 && !cx.cred.owner_or_capable(&attr) {
                    return Err(Errno::EPERM);
                }
            }
        }
        _ => return Err(refused),
    }
    access::permission(cx, path.inode(), mask)
}

/// getxattr(2): the value.
pub fn get(cx: &Cx, path: &Path, name: &[u8]) -> Result<Vec<u8>> {
    check_name(name)?;
    if acl::is_acl(name) {
        return acl::get(cx, path, name);
    }
    may(cx, path, name, READ)?;
    path.inode().get_xattr(cx, name)
}

/// setxattr(2).
pub fn set(cx: &Cx, path: &Path, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
    if flags & !(XATTR_CREATE | XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    check_name(name)?;
    if value.len() > XATTR_SIZE_MAX {
        return Err(Errno::E2BIG);
    }
    if acl::is_acl(name) {
        path.mount.want_write()?;
        acl::set(cx, path, name, Some(value))?;
    } else {
        may(cx, path, name, WRITE)?;
        if name == file_caps::NAME {
            FileCaps::parse(value)?;
            file_caps::will_be_set();
        }
        path.inode().set_xattr(cx, name, value, flags)?;
    }
    notify::on_dentry(&path.dentry, IN_ATTRIB);
    Ok(())
}

/// listxattr(2): the names, each with its NUL. `trusted.` names are only for the privileged.
pub fn list(cx: &Cx, path: &Path) -> Result<Vec<u8>> {
    let privileged = cx.cred.has_cap(cap::SYS_ADMIN);
    let mut out = Vec::new();
    for name in path.inode().list_xattr(cx)? {
        if privileged || !name.starts_with(b"trusted.") {
            out.extend_from_slice(&name);
            out.push(0);
        }
    }
    if out.len() > XATTR_LIST_MAX {
        Err(Errno::E2BIG)
    } else {
        Ok(out)
    }
}

/// removexattr(2).
pub fn remove(cx: &Cx, path: &Path, name: &[u8]) -> Result<()> {
    check_name(name)?;
    if acl::is_acl(name) {
        path.mount.want_write()?;
        acl::set(cx, path, name, None)?;
    } else {
        may(cx, path, name, WRITE)?;
        path.inode().remove_xattr(cx, name)?;
    }
    notify::on_dentry(&path.dentry, IN_ATTRIB);
    Ok(())
}
