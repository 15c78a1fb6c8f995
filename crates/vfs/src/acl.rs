//! POSIX access control lists: acl(5).
//!
//! A file system keeps a list as the value of an extended attribute ([`ACCESS`], [`DEFAULT`]) and knows nothing of its
//! meaning. One that says no more than the permission bits is not kept.

use crate::{
    attr::{Attr, FileType, SetAttr},
    cx::{Cred, Cx, cap},
    inode::{Anchor, InodeRef},
    path::Path,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};

/// The list that access is checked against.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The list that new entries of a directory inherit.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;
const HEADER_LEN: usize = 4;
const ENTRY_LEN: usize = 8;
/// The id of entries without one.
const NO_ID: u32 = u32::MAX;

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    perm: u16,
    id: u32,
}

/// A valid list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acl(Vec<Entry>);

/// Whether an attribute's name is that of a list.
pub(crate) fn is_acl(name: &[u8]) -> bool {
    name == ACCESS || name == DEFAULT
}

impl Acl {
    /// Reads an attribute's value; one without entries is no list. `EOPNOTSUPP` for another version, `EINVAL`.
    fn parse(value: &[u8]) -> Result<Option<Self>> {
        let (header, rest) = value
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(Errno::EINVAL)?;
        if u32::from_le_bytes(*header) != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        let (entries, []) = rest.as_chunks::<ENTRY_LEN>() else {
            return Err(Errno::EINVAL);
        };
        if entries.is_empty() {
            return Ok(None);
        }
        let entries = entries
            .iter()
            .map(|[t0, t1, p0, p1, id @ ..]| Entry {
                tag: u16::from_le_bytes([*t0, *t1]),
                perm: u16::from_le_bytes([*p0, *p1]),
                id: u32::from_le_bytes(*id),
            })
            .collect();
        let acl = Self(entries);
        acl.check()?;
        Ok(Some(acl))
    }

    /// Owner, named users, group, named groups, mask, others, in this order; the mask is needed with names.
    fn check(&self) -> Result<()> {
        let mut last = 0;
        let mut names = false;
        for entry in &self.0 {
            let repeats = matches!(entry.tag, USER | GROUP) && entry.tag == last;
            // Every kind but the named ones and the mask must be there, each once.
            let follows = match entry.tag {
                USER_OBJ => last == 0,
                USER => last == USER_OBJ,
                GROUP_OBJ => last == USER_OBJ || last == USER,
                GROUP => last == GROUP_OBJ,
                MASK => last == GROUP_OBJ || last == GROUP,
                OTHER => last == MASK || (last == GROUP_OBJ && !names),
                _ => false,
            };
            let named = matches!(entry.tag, USER | GROUP);
            if !(repeats || follows) || entry.perm & !7 != 0 || (named && entry.id == NO_ID) {
                return Err(Errno::EINVAL);
            }
            names |= named;
            last = entry.tag;
        }
        if last == OTHER {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn value(&self) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            out.extend_from_slice(&entry.tag.to_le_bytes());
            out.extend_from_slice(&entry.perm.to_le_bytes());
            let named = matches!(entry.tag, USER | GROUP);
            out.extend_from_slice(&if named { entry.id } else { NO_ID }.to_le_bytes());
        }
        out
    }

    fn of_tag(&mut self, tag: u16) -> Option<&mut Entry> {
        self.0.iter_mut().find(|e| e.tag == tag)
    }

    fn mask(&self) -> u16 {
        self.0.iter().find(|e| e.tag == MASK).map_or(7, |e| e.perm)
    }

    /// Whether it says more than permission bits can.
    fn is_extended(&self) -> bool {
        self.0.iter().any(|e| matches!(e.tag, USER | GROUP | MASK))
    }

    /// The permission bits that show for it: the mask stands in the group's place.
    fn mode(&self) -> u32 {
        let mut mode = 0;
        for entry in &self.0 {
            let perm = u32::from(entry.perm);
            match entry.tag {
                USER_OBJ => mode |= perm << 6,
                GROUP_OBJ => mode |= perm << 3,
                MASK => mode = (mode & !0o070) | (perm << 3),
                OTHER => mode |= perm,
                _ => {}
            }
        }
        mode
    }

    /// Whether it allows `want` (4, 2, 1) of an inode of this group to one who is not the owner.
    fn allows(&self, cred: &Cred, group: u32, want: u32) -> bool {
        let mask = self.mask();
        let enough = |perm: u16| want & !u32::from(perm) == 0;
        let mut in_some_group = false;
        for entry in &self.0 {
            match entry.tag {
                USER if entry.id == cred.fsuid => return enough(entry.perm & mask),
                GROUP_OBJ | GROUP => {
                    let id = if entry.tag == GROUP { entry.id } else { group };
                    if cred.in_group(id) {
                        in_some_group = true;
                        if enough(entry.perm) {
                            return enough(entry.perm & mask);
                        }
                    }
                }
                OTHER => return !in_some_group && enough(entry.perm),
                _ => {}
            }
        }
        false
    }

    /// Takes over new permission bits: chmod(2).
    fn set_mode(&mut self, mode: u32) {
        let group = if self.of_tag(MASK).is_some() {
            MASK
        } else {
            GROUP_OBJ
        };
        for (tag, shift) in [(USER_OBJ, 6), (group, 3), (OTHER, 0)] {
            if let Some(entry) = self.of_tag(tag) {
                entry.perm = (mode >> shift & 7) as u16;
            }
        }
    }

    /// What a new inode of this mode gets from its directory's default list, and the mode that it then has.
    fn inherit(mut self, mode: u32) -> (Self, u32) {
        let group = if self.of_tag(MASK).is_some() {
            MASK
        } else {
            GROUP_OBJ
        };
        let mut left = mode & !0o777;
        for (tag, shift) in [(USER_OBJ, 6), (group, 3), (OTHER, 0)] {
            if let Some(entry) = self.of_tag(tag) {
                entry.perm &= (mode >> shift & 7) as u16;
                left |= u32::from(entry.perm) << shift;
            }
        }
        (self, left)
    }
}

/// A list as the file system keeps it; `None` if there is none or the file system cannot have any.
fn load(cx: &Cx, inode: &InodeRef, name: &[u8]) -> Result<Option<Acl>> {
    if inode.kind() == FileType::Symlink {
        return Ok(None);
    }
    match inode.get_xattr(cx, name) {
        Ok(value) => Acl::parse(&value).map_err(|_| Errno::EIO),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What the list of an inode says to a caller who does not own it; `None` if there is no list.
pub(crate) fn allows(cx: &Cx, inode: &InodeRef, attr: &Attr, want: u32) -> Result<Option<bool>> {
    // A list's mask shows as the group's bits: without any it allows nothing beyond the bits.
    if attr.mode & 0o070 == 0 {
        return Ok(None);
    }
    let acl = load(cx, inode, ACCESS)?;
    Ok(acl.map(|acl| acl.allows(&cx.cred, attr.gid, want)))
}

/// Lists that a new inode gets from its directory.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    access: Option<Acl>,
    default: Option<Acl>,
}

/// The mode of a new inode, whose umask has not been applied yet, and its lists.
pub(crate) fn inherit(
    cx: &Cx,
    dir: &InodeRef,
    mode: u32,
    new_dir: bool,
) -> Result<(u32, Inherited)> {
    let Some(default) = load(cx, dir, DEFAULT)? else {
        return Ok((mode & !cx.umask, Inherited::default()));
    };
    let (access, mode) = default.clone().inherit(mode);
    let inherited = Inherited {
        access: Some(access).filter(Acl::is_extended),
        default: new_dir.then_some(default),
    };
    Ok((mode, inherited))
}

impl Inherited {
    /// Gives a freshly made inode its lists.
    pub(crate) fn apply(&self, cx: &Cx, inode: &InodeRef) -> Result<()> {
        for (name, acl) in [(ACCESS, &self.access), (DEFAULT, &self.default)] {
            if let Some(acl) = acl {
                inode.set_xattr(cx, name, &acl.value(), 0)?;
            }
        }
        Ok(())
    }
}

/// Held while a list and the permission bits change together.
#[derive(Debug, Default)]
struct Changing(Mutex<()>);

fn changing(anchor: &Anchor) -> Arc<Changing> {
    anchor.get_or_insert(Changing::default)
}

/// The value that getxattr(2) shows. `ENODATA` without a list.
pub(crate) fn get(cx: &Cx, path: &Path, name: &[u8]) -> Result<Vec<u8>> {
    if path.dentry.kind() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    path.inode().get_xattr(cx, name)
}

/// Sets or (`None`) removes a list: setxattr(2), removexattr(2). The mount may be written.
pub(crate) fn set(cx: &Cx, path: &Path, name: &[u8], value: Option<&[u8]>) -> Result<()> {
    let acl = match value {
        Some(value) if !value.is_empty() => Acl::parse(value)?,
        _ => None,
    };
    let inode = path.inode();
    let kind = path.dentry.kind();
    if kind == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if let Err(Errno::EOPNOTSUPP) = inode.get_xattr(cx, name) {
        return Err(Errno::EOPNOTSUPP);
    }
    if name == DEFAULT && kind != FileType::Directory {
        return if acl.is_some() {
            Err(Errno::EACCES)
        } else {
            Ok(())
        };
    }
    let changing = changing(inode.anchor());
    let _changing = changing.0.lock();
    let attr = inode.attr(cx)?;
    if !cx.cred.owner_or_capable(&attr) {
        return Err(Errno::EPERM);
    }
    let mut kept = acl;
    if name == ACCESS
        && let Some(acl) = &kept
    {
        let mut mode = (attr.mode & !0o777) | acl.mode();
        if !cx.cred.in_group(attr.gid) && !cx.cred.has_cap_for(&attr, cap::FSETID) {
            mode &= !0o2000;
        }
        inode.set_attr(
            cx,
            &SetAttr {
                mode: Some(mode),
                ..SetAttr::default()
            },
        )?;
        kept = kept.filter(Acl::is_extended);
    }
    match kept {
        Some(acl) => inode.set_xattr(cx, name, &acl.value(), 0),
        None => match inode.remove_xattr(cx, name) {
            Err(Errno::ENODATA) => Ok(()),
            other => other,
        },
    }
}

/// Sets permission bits by `set` and lets an access list follow them: chmod(2).
pub(crate) fn chmod(cx: &Cx, inode: &InodeRef, mode: u32, set: &SetAttr) -> Result<()> {
    if load(cx, inode, ACCESS)?.is_none() {
        return inode.set_attr(cx, set);
    }
    let changing = changing(inode.anchor());
    let _changing = changing.0.lock();
    inode.set_attr(cx, set)?;
    if let Some(mut acl) = load(cx, inode, ACCESS)? {
        acl.set_mode(mode);
        inode.set_xattr(cx, ACCESS, &acl.value(), 0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Acl {
        Acl(entries
            .iter()
            .map(|&(tag, perm, id)| Entry { tag, perm, id })
            .collect())
    }

    fn parsed(entries: &[(u16, u16, u32)]) -> Result<Option<Acl>> {
        Acl::parse(&acl(entries).value())
    }

    const SMALL: [(u16, u16, u32); 3] = [
        (USER_OBJ, 6, NO_ID),
        (GROUP_OBJ, 4, NO_ID),
        (OTHER, 4, NO_ID),
    ];

    #[test]
    fn values_are_checked_as_linux_checks_them() {
        assert_eq!(parsed(&SMALL), Ok(Some(acl(&SMALL))));
        assert_eq!(parsed(&[]), Ok(None));
        assert_eq!(Acl::parse(b"\x02\0\0"), Err(Errno::EINVAL));
        assert_eq!(Acl::parse(b"\x01\0\0\0"), Err(Errno::EOPNOTSUPP));
        assert_eq!(Acl::parse(b"\x02\0\0\0\x01\0"), Err(Errno::EINVAL));
        // A name needs a mask, and the order is fixed.
        let named = [SMALL[0], (USER, 7, 5), SMALL[1], SMALL[2]];
        assert_eq!(parsed(&named), Err(Errno::EINVAL));
        let masked = [SMALL[0], (USER, 7, 5), SMALL[1], (MASK, 7, NO_ID), SMALL[2]];
        assert_eq!(parsed(&masked), Ok(Some(acl(&masked))));
        assert_eq!(parsed(&[SMALL[1], SMALL[0], SMALL[2]]), Err(Errno::EINVAL));
        assert_eq!(parsed(&SMALL[..2]), Err(Errno::EINVAL));
        assert_eq!(
            parsed(&[SMALL[0], SMALL[0], SMALL[1], SMALL[2]]),
            Err(Errno::EINVAL)
        );
        assert_eq!(
            parsed(&[SMALL[0], (GROUP_OBJ, 9, NO_ID), SMALL[2]]),
            Err(Errno::EINVAL)
        );
        let no_id = [
            SMALL[0],
            (USER, 7, NO_ID),
            SMALL[1],
            (MASK, 7, NO_ID),
            SMALL[2],
        ];
        assert_eq!(parsed(&no_id), Err(Errno::EINVAL));
    }

    #[test]
    fn the_mask_limits_names_and_groups_but_not_others() {
        let list = acl(&[
            (USER_OBJ, 7, NO_ID),
            (USER, 7, 1000),
            (USER, 0, 1001),
            (GROUP_OBJ, 6, NO_ID),
            (GROUP, 1, 50),
            (MASK, 5, NO_ID),
            (OTHER, 2, NO_ID),
        ]);
        assert_eq!(list.mode(), 0o752);
        let who = |uid, gid| Cred::user(uid, gid);
        assert!(list.allows(&who(1000, 9), 100, 5));
        assert!(!list.allows(&who(1000, 9), 100, 2));
        assert!(!list.allows(&who(1001, 9), 100, 1));
        assert!(list.allows(&who(1002, 100), 100, 4));
        assert!(!list.allows(&who(1002, 100), 100, 2));
        assert!(list.allows(&who(1002, 50), 100, 1));
        // In a group that says no: the others' bits do not count any more.
        assert!(!list.allows(&who(1002, 50), 100, 2));
        assert!(list.allows(&who(1002, 9), 100, 2));
    }

    #[test]
    fn new_files_get_what_both_the_list_and_the_mode_allow() {
        let list = acl(&[
            (USER_OBJ, 7, NO_ID),
            (USER, 7, 1000),
            (GROUP_OBJ, 7, NO_ID),
            (MASK, 6, NO_ID),
            (OTHER, 5, NO_ID),
        ]);
        let (access, mode) = list.inherit(0o644);
        assert_eq!(mode, 0o644);
        assert_eq!(access.mode(), 0o644);
        assert_eq!(access.0[1].perm, 7);
        let (plain, mode) = acl(&SMALL).inherit(0o2777);
        assert_eq!(mode, 0o2644);
        assert!(!plain.is_extended());
    }

    #[test]
    fn chmod_changes_the_mask() {
        let mut list = acl(&[
            (USER_OBJ, 7, NO_ID),
            (USER, 7, 1000),
            (GROUP_OBJ, 7, NO_ID),
            (MASK, 7, NO_ID),
            (OTHER, 7, NO_ID),
        ]);
        list.set_mode(0o4640);
        assert_eq!(list.mode(), 0o640);
        assert_eq!(list.0[2].perm, 7);
    }
}
