//! What the layers hold, and what survives a new mount.

use std::sync::Arc;
use tuxlet_mem::MemoryBudget;
use tuxlet_overlayfs::{self as overlayfs, OverlayFs, Upper, WORK_DIR};
use tuxlet_tmpfs::{Options, Tmpfs};
use tuxlet_uapi::fcntl::{O_RDONLY, O_RDWR, O_WRONLY};
use tuxlet_vfs::{
    At, Cx, DeviceId, DirEntry, Errno, FileSystem, FileType, InodeRef, LookupFlags, Mount,
    MountFlags, NewInode, NewKind, Path, RenameFlags, SetAttr, SetTime, Time, resolver,
};

fn cx() -> Cx {
    Cx::host(Time {
        sec: 1_700_000_000,
        nsec: 0,
    })
}

fn tmpfs() -> Arc<dyn FileSystem> {
    let options = Options {
        mode: 0o755,
        ..Options::default()
    };
    Tmpfs::new(&cx(), &MemoryBudget::unlimited(), options)
}

fn make(dir: &InodeRef, name: &str, kind: NewKind<'_>) -> InodeRef {
    let new = NewInode {
        kind,
        mode: 0o644,
        uid: 7,
        gid: 8,
    };
    dir.create(&cx(), name.as_bytes(), &new).unwrap()
}

fn write(inode: &InodeRef, data: &[u8]) {
    inode
        .open(&cx(), O_WRONLY)
        .unwrap()
        .write_at(&cx(), 0, &mut &*data)
        .unwrap();
}

fn read(inode: &InodeRef) -> Vec<u8> {
    let mut out = Vec::new();
    inode
        .open(&cx(), O_RDONLY)
        .unwrap()
        .read_at(&cx(), 0, &mut out)
        .unwrap();
    out
}

fn at(root: &InodeRef, path: &str) -> Result<InodeRef, Errno> {
    path.split('/').try_fold(Arc::clone(root), |dir, name| {
        dir.lookup(&cx(), name.as_bytes())
    })
}

fn names(dir: &InodeRef) -> Vec<(String, u64)> {
    let mut out = Vec::new();
    let ops = dir.open(&cx(), 0o40000).unwrap();
    ops.read_dir(&cx(), 0, &mut |e: DirEntry<'_>| {
        out.push((String::from_utf8_lossy(e.name).into_owned(), e.ino));
        true
    })
    .unwrap();
    out.retain(|(name, _)| name != "." && name != "..");
    out.sort();
    out
}

fn ino(inode: &InodeRef) -> u64 {
    inode.attr(&cx()).unwrap().ino
}

fn rename(dir: &InodeRef, from: &str, to: &str) -> Result<(), Errno> {
    dir.rename(
        &cx(),
        from.as_bytes(),
        dir,
        to.as_bytes(),
        RenameFlags::empty(),
    )
}

/// A lower layer with `dir/{one,two,sub/deep}`, `one` and `dir/one` being the same file.
fn lower() -> Arc<dyn FileSystem> {
    let fs = tmpfs();
    let root = fs.root();
    let dir = make(&root, "dir", NewKind::Directory);
    let one = make(&dir, "one", NewKind::Regular);
    write(&one, b"one");
    root.link(&cx(), b"one", &one).unwrap();
    write(&make(&dir, "two", NewKind::Regular), b"two");
    let sub = make(&dir, "sub", NewKind::Directory);
    make(&sub, "deep", NewKind::Symlink(b"../one"));
    fs
}

#[test]
fn inode_numbers_survive_copy_up_and_mount() {
    let (upper, lower) = (tmpfs(), lower());
    let fs = OverlayFs::new(Arc::clone(&upper), vec![Arc::clone(&lower)]).unwrap();
    let root = fs.root();
    let before: Vec<u64> = ["dir", "dir/two", "dir/sub/deep"]
        .map(|p| ino(&at(&root, p).unwrap()))
        .to_vec();
    let two = at(&root, "dir/two").unwrap();
    two.set_xattr(&cx(), b"user.x", b"y", 0).unwrap();
    rename(&at(&root, "dir").unwrap(), "two", "zwei").unwrap();
    assert_eq!(ino(&two), before[1]);
    assert!(names(&at(&root, "dir").unwrap()).contains(&("zwei".into(), before[1])));
    drop((fs, root, two));
    let fs = OverlayFs::new(Arc::clone(&upper), vec![lower]).unwrap();
    let root = fs.root();
    let after: Vec<u64> = ["dir", "dir/zwei", "dir/sub/deep"]
        .map(|p| ino(&at(&root, p).unwrap()))
        .to_vec();
    assert_eq!(before, after);
    assert_eq!(at(&root, "dir/two").unwrap_err(), Errno::ENOENT);
    assert_eq!(read(&at(&root, "dir/zwei").unwrap()), b"two");
}

#[test]
fn a_removed_name_leaves_a_whiteout_and_a_new_directory_is_opaque() {
    let (upper, lower) = (tmpfs(), lower());
    let fs = OverlayFs::new(Arc::clone(&upper), vec![lower]).unwrap();
    let root = fs.root();
    let dir = at(&root, "dir").unwrap();
    dir.unlink(&cx(), b"two").unwrap();
    let whiteout = at(&upper.root(), "dir/two").unwrap();
    assert_eq!(whiteout.kind(), FileType::CharDevice);
    assert_eq!(whiteout.attr(&cx()).unwrap().rdev, DeviceId::new(0, 0));
    let sub = at(&dir, "sub").unwrap();
    assert_eq!(dir.rmdir(&cx(), b"sub").unwrap_err(), Errno::ENOTEMPTY);
    sub.unlink(&cx(), b"deep").unwrap();
    dir.rmdir(&cx(), b"sub").unwrap();
    assert_eq!(at(&dir, "sub").unwrap_err(), Errno::ENOENT);
    make(&dir, "sub", NewKind::Directory);
    assert!(names(&at(&dir, "sub").unwrap()).is_empty());
    let real = at(&upper.root(), "dir/sub").unwrap();
    assert_eq!(
        real.get_xattr(&cx(), b"trusted.overlay.opaque").unwrap(),
        b"y"
    );
    // None of that shows above.
    assert!(
        at(&dir, "sub")
            .unwrap()
            .list_xattr(&cx())
            .unwrap()
            .is_empty()
    );
    assert!(
        !names(&root)
            .iter()
            .any(|(name, _)| name.as_bytes() == WORK_DIR)
    );
}

#[test]
fn hard_links_of_a_lower_layer_stay_links() {
    let (upper, lower) = (tmpfs(), lower());
    let fs = OverlayFs::new(Arc::clone(&upper), vec![Arc::clone(&lower)]).unwrap();
    let root = fs.root();
    write(&at(&root, "one").unwrap(), b"ONE");
    assert_eq!(read(&at(&root, "dir/one").unwrap()), b"ONE");
    drop((fs, root));
    // The other name is still in the lower layer only.
    let fs = OverlayFs::new(Arc::clone(&upper), vec![Arc::clone(&lower)]).unwrap();
    let root = fs.root();
    let other = at(&root, "dir/one").unwrap();
    assert_eq!(read(&other), b"ONE");
    assert_eq!(other.attr(&cx()).unwrap().nlink, 2);
    root.unlink(&cx(), b"one").unwrap();
    assert_eq!(other.attr(&cx()).unwrap().nlink, 1);
    let index = at(&upper.root(), ".tuxlet-overlay/index").unwrap();
    assert_eq!(names(&index).len(), 1);
    at(&root, "dir").unwrap().unlink(&cx(), b"one").unwrap();
    assert!(names(&index).is_empty());
    assert_eq!(read(&at(&lower.root(), "one").unwrap()), b"one");
}

#[test]
fn a_settled_upper_layer_is_a_lower_one() {
    let (first, lower) = (tmpfs(), lower());
    let fs = OverlayFs::new(Arc::clone(&first), vec![Arc::clone(&lower)]).unwrap();
    write(&at(&fs.root(), "one").unwrap(), b"ONE");
    at(&fs.root(), "dir")
        .unwrap()
        .unlink(&cx(), b"two")
        .unwrap();
    drop(fs);
    let fs = OverlayFs::new(Arc::clone(&first), vec![Arc::clone(&lower)]).unwrap();
    fs.settle(&cx()).unwrap();
    fs.settle(&cx()).unwrap();
    drop(fs);
    let index = at(&first.root(), ".tuxlet-overlay/index").unwrap();
    assert_eq!(names(&index), []);
    let second = tmpfs();
    let fs = OverlayFs::new(Arc::clone(&second), vec![first, lower]).unwrap();
    let root = fs.root();
    for name in ["one", "dir/one"] {
        assert_eq!(read(&at(&root, name).unwrap()), b"ONE", "{name}");
    }
    let one = at(&root, "one").unwrap();
    assert_eq!(ino(&one), ino(&at(&root, "dir/one").unwrap()));
    assert_eq!(one.attr(&cx()).unwrap().nlink, 2);
    assert_eq!(at(&root, "dir/two").unwrap_err(), Errno::ENOENT);
    // And once more on top.
    write(&at(&root, "dir/one").unwrap(), b"two");
    assert_eq!(read(&at(&root, "one").unwrap()), b"two");
    assert!(
        names(&root)
            .iter()
            .all(|(name, _)| name.as_bytes() != WORK_DIR)
    );
}

#[test]
fn a_lower_directory_is_renamed_with_all_it_has() {
    let (upper, lower) = (tmpfs(), lower());
    let fs = OverlayFs::new(Arc::clone(&upper), vec![Arc::clone(&lower)]).unwrap();
    let root = fs.root();
    let deep = at(&root, "dir/sub/deep").unwrap();
    rename(&root, "dir", "moved").unwrap();
    assert_eq!(ino(&at(&root, "moved/sub/deep").unwrap()), ino(&deep));
    assert_eq!(at(&root, "dir").unwrap_err(), Errno::ENOENT);
    assert_eq!(read(&at(&root, "moved/two").unwrap()), b"two");
    drop((fs, root, deep));
    let fs = OverlayFs::new(upper, vec![lower]).unwrap();
    let listed: Vec<String> = names(&at(&fs.root(), "moved").unwrap())
        .into_iter()
        .map(|(n, _)| n)
        .collect();
    assert_eq!(listed, ["one", "sub", "two"]);
}

#[test]
fn a_file_open_for_reading_sees_what_is_written_to_the_copy() {
    let (upper, lower) = (tmpfs(), lower());
    let fs = OverlayFs::new(upper, vec![lower]).unwrap();
    let two = at(&fs.root(), "dir/two").unwrap();
    let reader = two.open(&cx(), O_RDONLY).unwrap();
    let mut before = Vec::new();
    reader.read_at(&cx(), 0, &mut before).unwrap();
    two.open(&cx(), O_RDWR)
        .unwrap()
        .write_at(&cx(), 0, &mut &b"TWO"[..])
        .unwrap();
    let mut after = Vec::new();
    reader.read_at(&cx(), 0, &mut after).unwrap();
    assert_eq!(
        (before.as_slice(), after.as_slice()),
        (b"two".as_slice(), b"TWO".as_slice())
    );
}

#[test]
fn a_copy_keeps_owner_mode_times_and_attributes() {
    let (upper, lower) = (tmpfs(), lower());
    let real = at(&lower.root(), "dir/two").unwrap();
    let old = Time { sec: 5, nsec: 6 };
    real.set_xattr(&cx(), b"user.k", b"v", 0).unwrap();
    let set = SetAttr {
        mode: Some(0o4751),
        atime: Some(SetTime::At(old)),
        mtime: Some(SetTime::At(old)),
        ..SetAttr::default()
    };
    real.set_attr(&cx(), &set).unwrap();
    let fs = OverlayFs::new(Arc::clone(&upper), vec![lower]).unwrap();
    at(&fs.root(), "dir/two")
        .unwrap()
        .open(&cx(), O_WRONLY)
        .unwrap();
    let copy = at(&upper.root(), "dir/two").unwrap();
    let attr = copy.attr(&cx()).unwrap();
    assert_eq!((attr.mode, attr.uid, attr.gid), (0o4751, 7, 8));
    assert_eq!((attr.atime, attr.mtime), (old, old));
    assert_eq!(copy.get_xattr(&cx(), b"user.k").unwrap(), b"v");
    let dir = at(&upper.root(), "dir").unwrap().attr(&cx()).unwrap();
    assert_eq!((dir.uid, dir.gid, dir.mode), (7, 8, 0o644));
}

#[test]
fn without_an_upper_layer_nothing_changes() {
    let fs = OverlayFs::with_layers(
        &cx(),
        None,
        vec![lower().root()],
        overlayfs::Options::default(),
    )
    .unwrap();
    let root = fs.root();
    assert_eq!(root.unlink(&cx(), b"one").unwrap_err(), Errno::EROFS);
    let one = at(&root, "one").unwrap();
    assert_eq!(one.open(&cx(), O_WRONLY).unwrap_err(), Errno::EROFS);
    assert_eq!(read(&one), b"one");
}

#[test]
fn leftovers_of_a_crash_are_removed() {
    let (upper, lower) = (tmpfs(), lower());
    let root = make(&upper.root(), "upper", NewKind::Directory);
    let work = make(&upper.root(), "work", NewKind::Directory);
    let tmp = make(&work, "work", NewKind::Directory);
    let half = make(&tmp, "#1", NewKind::Directory);
    make(&half, "x", NewKind::Regular);
    let layer = Upper {
        root: Arc::clone(&root),
        work: Some(work),
    };
    let fs = OverlayFs::with_layers(
        &cx(),
        Some(layer),
        vec![lower.root()],
        overlayfs::Options::default(),
    )
    .unwrap();
    assert!(names(&tmp).is_empty());
    write(&at(&fs.root(), "dir/two").unwrap(), b"new");
    assert_eq!(read(&at(&root, "dir/two").unwrap()), b"new");
}

#[test]
fn an_upper_layer_that_takes_no_whiteouts_is_refused() {
    // The root, three directories and the work directory's own: no room for one more, or just for it.
    for (inodes, expected) in [(5, Err(Errno::ENOSPC)), (6, Ok(()))] {
        let options = Options {
            inodes: Some(inodes),
            ..Options::default()
        };
        let fs: Arc<dyn FileSystem> = Tmpfs::new(&cx(), &MemoryBudget::unlimited(), options);
        for name in ["l", "u", "w"] {
            make(&fs.root(), name, NewKind::Directory);
        }
        let mount = Mount::new(&fs, MountFlags::empty(), b"");
        let at = At::root(Path::new(Arc::clone(&mount), Arc::clone(mount.root())));
        let option = |key: &str, value: &str| (key.into(), Some(value.into()));
        let all = [
            option("lowerdir", "l"),
            option("upperdir", "u"),
            option("workdir", "w"),
        ];
        let made = overlayfs::mount(&cx(), &all, &|name| {
            resolver::lookup(&cx(), &at, name, LookupFlags::FOLLOW)
        });
        assert_eq!(made.map(drop), expected, "{inodes}");
    }
}
