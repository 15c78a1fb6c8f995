//! Extended attributes: xattr(7).

use crate::{
    node::{Meta, Node},
    schema::{self, Xattrs},
};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, acl};

/// Linux' `XATTR_SIZE_MAX`.
const VALUE_MAX: usize = 65536;
/// Linux' `XATTR_NAME_MAX`.
const NAME_MAX: usize = 255;
/// Linux' `XATTR_LIST_MAX`: all names with their terminators.
const LIST_MAX: usize = 65536;
const XATTR_CREATE: u32 = 1;
const XATTR_REPLACE: u32 = 2;

impl Node {
    /// The attributes, loaded if need be.
    fn loaded<'m>(&self, meta: &'m mut Meta) -> Result<&'m mut Xattrs> {
        match &mut meta.xattrs {
            Some(_) => {}
            none => *none = Some(self.store.query(|db| schema::load_xattrs(db, self.ino))?),
        }
        meta.xattrs.as_mut().ok_or(Errno::EIO)
    }

    pub(crate) fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        check_namespace(name)?;
        let mut meta = self.meta.lock();
        let all = self.loaded(&mut meta)?;
        all.iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
            .ok_or(Errno::ENODATA)
    }

    pub(crate) fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        let mut meta = self.meta.lock();
        Ok(self
            .loaded(&mut meta)?
            .iter()
            .map(|(n, _)| n.clone())
            .collect())
    }

    pub(crate) fn put_xattr(&self, cx: &Cx, name: &[u8], value: &[u8], flags: u32) -> Result<()> {
        check_namespace(name)?;
        if name.len() > NAME_MAX {
            return Err(Errno::ERANGE);
        }
        if value.len() > VALUE_MAX {
            return Err(Errno::E2BIG);
        }
        self.store.will_change()?;
        let mut meta = self.meta.lock();
        let all = self.loaded(&mut meta)?;
        match all.iter_mut().find(|(n, _)| n == name) {
            Some(_) if flags & XATTR_CREATE != 0 => return Err(Errno::EEXIST),
            Some((_, old)) => *old = value.to_vec(),
            None if flags & XATTR_REPLACE != 0 => return Err(Errno::ENODATA),
            None => {
                let listed: usize = all.iter().map(|(n, _)| n.len() + 1).sum();
                if listed + name.len() + 1 > LIST_MAX {
                    return Err(Errno::ENOSPC);
                }
                all.push((name.to_vec(), value.to_vec()));
            }
        }
        self.xattrs_changed(&mut meta, cx);
        Ok(())
    }

    pub(crate) fn delete_xattr(&self, cx: &Cx, name: &[u8]) -> Result<()> {
        check_namespace(name)?;
        self.store.will_change()?;
        let mut meta = self.meta.lock();
        let all = self.loaded(&mut meta)?;
        let before = all.len();
        all.retain(|(n, _)| n != name);
        if all.len() == before {
            return Err(Errno::ENODATA);
        }
        self.xattrs_changed(&mut meta, cx);
        Ok(())
    }

    fn xattrs_changed(&self, meta: &mut Meta, cx: &Cx) {
        meta.xattrs_changed = true;
        meta.ctime = cx.now;
        self.changed(meta);
    }
}

/// Of `system.*` there are only the POSIX ACLs, which the VFS checks and applies.
fn check_namespace(name: &[u8]) -> Result<()> {
    let known: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    if name == acl::ACCESS || name == acl::DEFAULT {
        return Ok(());
    }
    if known
        .iter()
        .any(|p| name.starts_with(p) && name.len() > p.len())
    {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}
