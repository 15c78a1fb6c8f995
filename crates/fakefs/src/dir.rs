//! Changing directories: create, link, unlink, rename; and reading them.

use crate::{
    names::FIRST,
    node::{Content, Directory, Node},
    store::Store,
};
use std::{
    any::Any,
    sync::{Arc, atomic::Ordering},
};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{
    Attr, Cx, DeviceId, DirEntry, DirSink, FileOps, FileType, InodeRef, NewInode, NewKind,
    RenameFlags,
};

/// Linux' `NAME_MAX`.
const NAME_MAX: usize = 255;
/// As many links as ext4 allows to a file.
const LINK_MAX: u32 = 65_000;

/// A directory whose names are being worked on.
#[derive(Clone, Copy)]
struct Dir<'a> {
    node: &'a Node,
    dir: &'a Directory,
}

impl<'a> Dir<'a> {
    fn of(node: &'a Node) -> Result<Self> {
        Ok(Self {
            node,
            dir: node.directory()?,
        })
    }

    /// A directory that takes new entries: one that has not been removed.
    fn living(node: &'a Node) -> Result<Self> {
        let dir = Self::of(node)?;
        if node.is_unlinked() {
            Err(Errno::ENOENT)
        } else {
            Ok(dir)
        }
    }

    fn store(self) -> &'a Arc<Store> {
        &self.node.store
    }

    fn find(self, name: &[u8]) -> Result<Option<Arc<Node>>> {
        // The names stay locked meanwhile, so that the entry's inode cannot go.
        let mut names = self.dir.names.lock();
        match names.find(self.store(), self.node.ino, name)? {
            Some((ino, _)) => self.store().get(ino, self.node.ino).map(Some),
            None => Ok(None),
        }
    }

    fn is_empty(self) -> Result<bool> {
        self.dir.names.lock().is_empty(self.store(), self.node.ino)
    }

    fn set(self, name: &[u8], to: Option<&Node>) {
        let queue = self.dir.names.lock().set(name, to.map(|n| (n.ino, n.kind)));
        if queue {
            self.store().enqueue_dir(self.node.strong());
        }
    }

    /// Notes that entries changed, and by how much the number of subdirectories did.
    fn touch(self, cx: &Cx, subdirs: i32) {
        let mut meta = self.node.meta.lock();
        meta.nlink = meta.nlink.saturating_add_signed(subdirs);
        self.node.touch(&mut meta, cx.now);
    }
}

fn is_dir(node: &Node) -> bool {
    node.kind == FileType::Directory
}

/// Takes one name (or, of a directory, the last two) from an inode.
fn drop_link(node: &Node, cx: &Cx) {
    let mut meta = node.meta.lock();
    meta.nlink = if is_dir(node) {
        0
    } else {
        meta.nlink.saturating_sub(1)
    };
    meta.ctime = cx.now;
    node.changed(&mut meta);
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        Err(Errno::ENAMETOOLONG)
    } else {
        Ok(())
    }
}

impl Node {
    pub(crate) fn find(&self, name: &[u8]) -> Result<Arc<Self>> {
        let dir = Dir::of(self)?;
        check_name(name)?;
        dir.find(name)?.ok_or(Errno::ENOENT)
    }

    pub(crate) fn make(&self, cx: &Cx, name: &[u8], new: &NewInode<'_>) -> Result<Arc<Self>> {
        check_name(name)?;
        self.store.will_change()?;
        let _namespace = self.store.namespace.lock();
        let dir = Dir::living(self)?;
        if dir.find(name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let node = Self::create(&self.store, cx, self.ino, new)?;
        {
            let mut meta = node.meta.lock();
            meta.nlink = if is_dir(&node) { 2 } else { 1 };
            node.changed(&mut meta);
        }
        dir.set(name, Some(&node));
        dir.touch(cx, i32::from(is_dir(&node)));
        Ok(node)
    }

    pub(crate) fn make_unnamed(&self, cx: &Cx, new: &NewInode<'_>) -> Result<Arc<Self>> {
        self.directory()?;
        if !matches!(new.kind, NewKind::Regular) {
            return Err(Errno::EINVAL);
        }
        self.store.will_change()?;
        let node = Self::create(&self.store, cx, self.ino, new)?;
        node.meta.lock().unnamed = true;
        Ok(node)
    }

    /// The node behind an inode of this store.
    fn own<'a>(&self, inode: &'a InodeRef) -> Result<&'a Self> {
        let node = (**inode)
            .as_any()
            .downcast_ref::<Self>()
            .ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&node.store, &self.store) {
            Ok(node)
        } else {
            Err(Errno::EXDEV)
        }
    }

    pub(crate) fn add_link(&self, cx: &Cx, name: &[u8], target: &InodeRef) -> Result<()> {
        check_name(name)?;
        let target = self.own(target)?;
        if is_dir(target) {
            return Err(Errno::EPERM);
        }
        self.store.will_change()?;
        let _namespace = self.store.namespace.lock();
        let dir = Dir::living(self)?;
        if dir.find(name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        {
            let mut meta = target.meta.lock();
            if meta.nlink == 0 && !meta.unnamed {
                return Err(Errno::ENOENT);
            }
            if meta.nlink >= LINK_MAX {
                return Err(Errno::EMLINK);
            }
            meta.nlink += 1;
            meta.unnamed = false;
            meta.ctime = cx.now;
            target.changed(&mut meta);
        }
        dir.set(name, Some(target));
        dir.touch(cx, 0);
        Ok(())
    }

    pub(crate) fn remove(&self, cx: &Cx, name: &[u8], directory: bool) -> Result<()> {
        let node = self.remove_entry(cx, name, directory)?;
        node.release_if_gone();
        Ok(())
    }

    /// Lets go of what keeps an inode without names. Not to be called under the namespace lock.
    fn release_if_gone(&self) {
        if self.is_unlinked() {
            self.release_pages();
        }
    }

    fn remove_entry(&self, cx: &Cx, name: &[u8], directory: bool) -> Result<Arc<Self>> {
        check_name(name)?;
        self.store.will_change()?;
        let _namespace = self.store.namespace.lock();
        let dir = Dir::of(self)?;
        let node = dir.find(name)?.ok_or(Errno::ENOENT)?;
        match (directory, is_dir(&node)) {
            (false, true) => return Err(Errno::EISDIR),
            (true, false) => return Err(Errno::ENOTDIR),
            (true, true) if !Dir::of(&node)?.is_empty()? => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        dir.set(name, None);
        dir.touch(cx, -i32::from(directory));
        drop_link(&node, cx);
        Ok(node)
    }

    pub(crate) fn move_to(
        &self,
        cx: &Cx,
        name: &[u8],
        new_dir: &InodeRef,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        if let Some(replaced) = self.move_entry(cx, name, new_dir, new_name, flags)? {
            replaced.release_if_gone();
        }
        Ok(())
    }

    /// Renames; returns what had the new name before.
    fn move_entry(
        &self,
        cx: &Cx,
        name: &[u8],
        new_dir: &InodeRef,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<Option<Arc<Self>>> {
        check_name(name)?;
        check_name(new_name)?;
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if exchange && flags.intersects(RenameFlags::NOREPLACE | RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        let new_dir = self.own(new_dir)?;
        self.store.will_change()?;
        let _namespace = self.store.namespace.lock();
        let (from, to) = (Dir::of(self)?, Dir::living(new_dir)?);
        let node = from.find(name)?.ok_or(Errno::ENOENT)?;
        let old = to.find(new_name)?;
        if exchange {
            let old = old.ok_or(Errno::ENOENT)?;
            swap(cx, (from, name, &node), (to, new_name, &old));
            return Ok(None);
        }
        if let Some(old) = &old {
            if flags.contains(RenameFlags::NOREPLACE) {
                return Err(Errno::EEXIST);
            }
            if Arc::ptr_eq(old, &node) {
                // Two names of one inode: rename(2) leaves both.
                return Ok(None);
            }
            match (is_dir(&node), is_dir(old)) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !Dir::of(old)?.is_empty()? => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
        }
        let whiteout = if flags.contains(RenameFlags::WHITEOUT) {
            let (uid, gid) = (cx.cred.fsuid, cx.cred.fsgid);
            let kind = NewKind::CharDevice(DeviceId::new(0, 0));
            let new = NewInode {
                kind,
                mode: 0,
                uid,
                gid,
            };
            let whiteout = Self::create(&self.store, cx, self.ino, &new)?;
            let mut meta = whiteout.meta.lock();
            meta.nlink = 1;
            whiteout.changed(&mut meta);
            drop(meta);
            Some(whiteout)
        } else {
            None
        };
        // First the new name: whoever looks meanwhile finds the old target or the new one, never nothing.
        to.set(new_name, Some(&node));
        from.set(name, whiteout.as_deref());
        let replaced_dir = i32::from(old.as_deref().is_some_and(is_dir));
        from.touch(cx, -i32::from(is_dir(&node)));
        to.touch(cx, i32::from(is_dir(&node)) - replaced_dir);
        node.set_parent(to.node.ino);
        if let Some(old) = &old {
            drop_link(old, cx);
        }
        let mut meta = node.meta.lock();
        meta.ctime = cx.now;
        node.changed(&mut meta);
        drop(meta);
        Ok(old)
    }
}

/// Exchanges two entries: renameat2(2) `RENAME_EXCHANGE`.
fn swap(
    cx: &Cx,
    (a_dir, a_name, a): (Dir<'_>, &[u8], &Node),
    (b_dir, b_name, b): (Dir<'_>, &[u8], &Node),
) {
    a_dir.set(a_name, Some(b));
    b_dir.set(b_name, Some(a));
    let shift = i32::from(is_dir(b)) - i32::from(is_dir(a));
    a_dir.touch(cx, shift);
    b_dir.touch(cx, -shift);
    a.set_parent(b_dir.node.ino);
    b.set_parent(a_dir.node.ino);
    for node in [a, b] {
        let mut meta = node.meta.lock();
        meta.ctime = cx.now;
        node.changed(&mut meta);
    }
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct OpenDir {
    pub(crate) node: Arc<Node>,
}

impl FileOps for OpenDir {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read_at(&self, _: &Cx, _: u64, _: &mut dyn tuxlet_mem::IoWrite) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn read_dir(&self, _: &Cx, pos: u64, sink: &mut dyn DirSink) -> Result<u64> {
        let Content::Directory(dir) = &self.node.content else {
            return Err(Errno::ENOTDIR);
        };
        if self.node.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let mut at = pos;
        let dots = [
            (&b"."[..], self.node.ino),
            (b"..", dir.parent.load(Ordering::Relaxed)),
        ];
        for (i, (name, ino)) in dots.into_iter().enumerate().skip(at.min(2) as usize) {
            let next = i as u64 + 1;
            if !sink.entry(DirEntry {
                name,
                ino,
                kind: FileType::Directory,
                next,
            }) {
                return Ok(at);
            }
            at = next;
        }
        dir.names.lock().each_from(
            &self.node.store,
            self.node.ino,
            at.max(FIRST),
            |seq, name, ino, kind| {
                let taken = sink.entry(DirEntry {
                    name,
                    ino,
                    kind,
                    next: seq + 1,
                });
                if taken {
                    at = seq + 1;
                }
                taken
            },
        )?;
        Ok(at)
    }

    fn attr(&self, _: &Cx) -> Result<Attr> {
        self.node.stat()
    }

    fn fsync(&self, _: &Cx, _: bool) -> Result<()> {
        self.node.store.commit(self.node.store.durable())
    }
}
