//! What the tests of a mounted store share: a caller's context and short forms of the operations.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses its own part"
)]

use std::{path::Path, sync::Arc};
use tuxlet_fakefs::{FakeFs, Options};
use tuxlet_vfs::{
    Cred, Cx, DirEntry, FileOps, FileSystem, FileType, InodeRef, NewInode, NewKind, RenameFlags,
    Result, Time,
};

pub(crate) fn cx_at(sec: i64) -> Cx {
    Cx {
        cred: Arc::new(Cred::root()),
        umask: 0o022,
        now: Time { sec, nsec: 0 },
        fsize_limit: u64::MAX,
        tgid: 0,
        tid: 0,
        context: 0,
    }
}

pub(crate) fn cx() -> Cx {
    cx_at(1_000_000)
}

pub(crate) fn new(kind: NewKind<'_>) -> NewInode<'_> {
    NewInode {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
    }
}

/// A new store, opened.
pub(crate) fn fresh(path: &Path) -> Arc<FakeFs> {
    FakeFs::create(path).unwrap();
    open(path)
}

pub(crate) fn open(path: &Path) -> Arc<FakeFs> {
    FakeFs::open(path, &Options::default()).unwrap()
}

pub(crate) fn mkdir(dir: &InodeRef, name: &str) -> Result<InodeRef> {
    dir.create(&cx(), name.as_bytes(), &new(NewKind::Directory))
}

pub(crate) fn touch(dir: &InodeRef, name: &str) -> Result<InodeRef> {
    dir.create(&cx(), name.as_bytes(), &new(NewKind::Regular))
}

pub(crate) fn ops(inode: &InodeRef) -> Arc<dyn FileOps> {
    inode.open(&cx(), 2).unwrap()
}

pub(crate) fn write(inode: &InodeRef, offset: u64, data: &[u8]) -> Result<usize> {
    ops(inode).write_at(&cx(), offset, &mut &*data)
}

pub(crate) fn read(inode: &InodeRef) -> Vec<u8> {
    let size = usize::try_from(inode.attr(&cx()).unwrap().size).unwrap();
    let mut data = vec![0; size + 1];
    let n = ops(inode).read_at(&cx(), 0, &mut &mut data[..]).unwrap();
    data.truncate(n);
    data
}

pub(crate) fn write_file(dir: &InodeRef, name: &str, data: &[u8]) -> InodeRef {
    let inode = touch(dir, name).unwrap();
    assert_eq!(write(&inode, 0, data).unwrap(), data.len());
    inode
}

pub(crate) fn rename(dir: &InodeRef, name: &str, to: &InodeRef, new_name: &str) -> Result<()> {
    dir.rename(
        &cx(),
        name.as_bytes(),
        to,
        new_name.as_bytes(),
        RenameFlags::empty(),
    )
}

/// Names and types of a directory, in order, with `.` and `..`.
pub(crate) fn list(dir: &InodeRef) -> Vec<(String, u64, FileType)> {
    let mut out = Vec::new();
    let mut sink = |e: DirEntry<'_>| {
        out.push((String::from_utf8_lossy(e.name).into_owned(), e.ino, e.kind));
        true
    };
    ops(dir).read_dir(&cx(), 0, &mut sink).unwrap();
    out
}

pub(crate) fn names(dir: &InodeRef) -> Vec<String> {
    list(dir).into_iter().skip(2).map(|e| e.0).collect()
}

/// Walks a path of plain names.
pub(crate) fn walk(fs: &Arc<FakeFs>, path: &str) -> Result<InodeRef> {
    let mut at = fs.root();
    for name in path.split('/').filter(|n| !n.is_empty()) {
        at = at.lookup(&cx(), name.as_bytes())?;
    }
    Ok(at)
}
