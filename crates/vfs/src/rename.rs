//! renameat2(2).

use crate::{
    access::{self, WRITE},
    context::At,
    create::may_create,
    cx::Cx,
    dentry::Dentry,
    inode::RenameFlags,
    notify,
    resolver::{self, Last, LookupFlags},
    track::{self, ChangeKind},
    unlink::may_delete,
};
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};

/// Locks one or two directories, ancestors first. The rename lock is held.
pub(crate) fn lock_both<'d>(a: &'d Arc<Dentry>, b: &'d Arc<Dentry>) -> impl Drop + 'd {
    struct Both<'d>(
        #[expect(dead_code, reason = "held until dropped")] parking_lot::MutexGuard<'d, ()>,
        #[expect(dead_code, reason = "held until dropped")] Option<parking_lot::MutexGuard<'d, ()>>,
    );
    impl Drop for Both<'_> {
        fn drop(&mut self) {}
    }
    if Arc::ptr_eq(a, b) {
        return Both(a.lock_dir(), None);
    }
    let a_first = a.is_ancestor_of(b) || (!b.is_ancestor_of(a) && Arc::as_ptr(a) < Arc::as_ptr(b));
    let (first, second) = if a_first { (a, b) } else { (b, a) };
    Both(first.lock_dir(), Some(second.lock_dir()))
}

/// Renames `old` to `new`.
pub fn rename(
    cx: &Cx,
    old_at: &At,
    old: &[u8],
    new_at: &At,
    new: &[u8],
    flags: RenameFlags,
) -> Result<()> {
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    if exchange && flags.intersects(RenameFlags::NOREPLACE | RenameFlags::WHITEOUT) {
        return Err(Errno::EINVAL);
    }
    let from = resolver::lookup_parent(cx, old_at, old, LookupFlags::empty())?;
    let to = resolver::lookup_parent(cx, new_at, new, LookupFlags::empty())?;
    if !Arc::ptr_eq(&from.dir.mount, &to.dir.mount) {
        return Err(Errno::EXDEV);
    }
    let Last::Name(old_name) = &from.last else {
        return Err(Errno::EBUSY);
    };
    let Last::Name(new_name) = &to.last else {
        let noreplace = flags.contains(RenameFlags::NOREPLACE);
        return Err(if noreplace {
            Errno::EEXIST
        } else {
            Errno::EBUSY
        });
    };
    from.dir.mount.want_write()?;
    let (from_dir, to_dir) = (&from.dir.dentry, &to.dir.dentry);
    let tree = from_dir.super_block().rename_lock.lock();
    let both = lock_both(from_dir, to_dir);

    let source = from_dir.lookup_locked(cx, old_name)?;
    let target = match to_dir.lookup_locked(cx, new_name) {
        Ok(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EEXIST),
        Ok(d) => Some(d),
        Err(Errno::ENOENT) if exchange => return Err(Errno::ENOENT),
        Err(Errno::ENOENT) => None,
        Err(e) => return Err(e),
    };
    if exchange && to.trailing && !target.as_ref().is_some_and(|t| t.is_dir()) {
        return Err(Errno::ENOTDIR);
    }
    if !source.is_dir() && (from.trailing || (!exchange && to.trailing)) {
        return Err(Errno::ENOTDIR);
    }
    if source.is_dir() && source.is_ancestor_of(to_dir) {
        return Err(Errno::EINVAL);
    }
    if let Some(target) = &target
        && target.is_dir()
        && target.is_ancestor_of(from_dir)
    {
        return Err(if exchange {
            Errno::EINVAL
        } else {
            Errno::ENOTEMPTY
        });
    }
    if let Some(target) = &target
        && source.inode().id() == target.inode().id()
    {
        return Ok(());
    }

    may_delete(cx, from_dir, &source, source.is_dir())?;
    match &target {
        None => may_create(cx, to_dir)?,
        Some(t) if exchange => may_delete(cx, to_dir, t, t.is_dir())?,
        Some(t) => may_delete(cx, to_dir, t, source.is_dir())?,
    }
    if !Arc::ptr_eq(from_dir, to_dir) {
        // A directory that changes its parent changes itself: its `..`.
        if source.is_dir() {
            access::permission(cx, source.inode(), WRITE)?;
        }
        if let Some(t) = &target
            && exchange
            && t.is_dir()
        {
            access::permission(cx, t.inode(), WRITE)?;
        }
    }
    if source.is_mountpoint() || target.as_ref().is_some_and(|t| t.is_mountpoint()) {
        return Err(Errno::EBUSY);
    }
    // Nobody may make an entry in a directory that is being replaced.
    let victim_lock = target
        .as_ref()
        .filter(|t| t.is_dir() && !exchange)
        .map(|t| t.lock_dir());
    from_dir
        .inode()
        .rename(cx, old_name, to_dir.inode(), new_name, flags)?;
    match &target {
        Some(t) if exchange => Dentry::exchanged(from_dir, &source, to_dir, t),
        replaced => {
            if let Some(t) = replaced {
                to_dir.removed(t);
            }
            from_dir.moved(&source, to_dir, new_name);
            if flags.contains(RenameFlags::WHITEOUT) {
                from_dir.forget_unknown(old_name);
            }
        }
    }
    drop(victim_lock);
    drop((both, tree));
    let (old, new) = ((from_dir, &**old_name), (to_dir, &**new_name));
    let replaced = target.as_ref().filter(|_| !exchange);
    notify::moved(old, new, &source, replaced);
    if let Some(target) = target.as_ref().filter(|_| exchange) {
        notify::moved(new, old, target, None);
    }
    let kind = if exchange {
        ChangeKind::Exchanged
    } else {
        ChangeKind::Renamed
    };
    let (old, new) = ((&from.dir, &**old_name), (&to.dir, &**new_name));
    track::moved(cx, old, new, &source, kind);
    Ok(())
}
