//! What a mounted store does, before and after it was closed.

mod support;

use std::path::Path;
use support::*;
use tuxlet_fakefs::{Error, FakeFs, Options, check};
use tuxlet_vfs::{
    DeviceId, DirEntry, Errno, FileSystem as _, FileType, InodeRef, Link, NewKind, RenameFlags,
    SetAttr, SetTime, Time,
};

fn reopened(fs: std::sync::Arc<FakeFs>, path: &Path) -> std::sync::Arc<FakeFs> {
    fs.shutdown().unwrap();
    drop(fs);
    let report = check(path).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    open(path)
}

#[test]
fn everything_survives_closing() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let root = fs.root();
    let etc = mkdir(&root, "etc").unwrap();
    let f = write_file(&etc, "passwd", b"root:x:0:0\n");
    etc.link(&cx(), b"passwd-", &f).unwrap();
    etc.create(&cx(), b"mtab", &new(NewKind::Symlink(b"/proc/mounts")))
        .unwrap();
    let dev = new(NewKind::CharDevice(DeviceId::new(5, 1)));
    root.create(&cx(), b"console", &dev).unwrap();
    root.create(&cx(), b"fifo", &new(NewKind::Fifo)).unwrap();
    f.set_attr(
        &cx(),
        &SetAttr {
            mode: Some(0o4711),
            uid: Some(1000),
            gid: Some(100),
            mtime: Some(SetTime::At(Time { sec: -5, nsec: 6 })),
            ..SetAttr::default()
        },
    )
    .unwrap();
    f.set_xattr(&cx(), b"user.k", b"v", 0).unwrap();
    f.set_xattr(&cx(), b"security.capability", b"\0\x01", 0)
        .unwrap();
    f.remove_xattr(&cx(), b"user.k").unwrap();
    let ino = f.id().ino;
    drop((root, etc, f));

    let fs = reopened(fs, t.path());
    let f = walk(&fs, "etc/passwd-").unwrap();
    let attr = f.attr(&cx()).unwrap();
    assert_eq!((attr.ino, attr.st_mode(), attr.nlink), (ino, 0o104_711, 2));
    assert_eq!((attr.uid, attr.gid, attr.size), (1000, 100, 11));
    assert_eq!(attr.mtime, Time { sec: -5, nsec: 6 });
    assert_eq!(read(&f), b"root:x:0:0\n");
    assert_eq!(f.list_xattr(&cx()).unwrap(), [b"security.capability"]);
    assert_eq!(f.get_xattr(&cx(), b"user.k").unwrap_err(), Errno::ENODATA);
    let link = walk(&fs, "etc/mtab").unwrap();
    assert!(matches!(link.readlink(&cx()).unwrap(), Link::Path(p) if p == b"/proc/mounts"));
    let console = walk(&fs, "console").unwrap().attr(&cx()).unwrap();
    assert_eq!(
        (console.kind, console.rdev),
        (FileType::CharDevice, DeviceId::new(5, 1))
    );
    assert_eq!(walk(&fs, "fifo").unwrap().kind(), FileType::Fifo);
    assert_eq!(fs.root().attr(&cx()).unwrap().nlink, 3);
    let root = fs.root();
    let listed = list(&root);
    assert_eq!(listed[0].0, ".");
    assert_eq!(listed[1], ("..".into(), 1, FileType::Directory));
    let mut sorted = names(&root);
    sorted.sort();
    assert_eq!(sorted, ["console", "etc", "fifo"]);
}

#[test]
fn errors_are_those_of_the_manual_pages() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let root = fs.root();
    let d = mkdir(&root, "d").unwrap();
    let f = touch(&d, "f").unwrap();
    assert_eq!(touch(&d, "f").unwrap_err(), Errno::EEXIST);
    assert_eq!(d.lookup(&cx(), b"g").unwrap_err(), Errno::ENOENT);
    assert_eq!(
        d.lookup(&cx(), &[b'x'; 256]).unwrap_err(),
        Errno::ENAMETOOLONG
    );
    assert_eq!(root.unlink(&cx(), b"d").unwrap_err(), Errno::EISDIR);
    assert_eq!(d.rmdir(&cx(), b"f").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(root.rmdir(&cx(), b"d").unwrap_err(), Errno::ENOTEMPTY);
    assert_eq!(root.link(&cx(), b"e", &d).unwrap_err(), Errno::EPERM);
    assert_eq!(f.lookup(&cx(), b"x").unwrap_err(), Errno::ENOTDIR);
    let e = mkdir(&root, "e").unwrap();
    assert_eq!(
        rename(&root, "e", &root, "d").unwrap_err(),
        Errno::ENOTEMPTY
    );
    assert_eq!(rename(&root, "e", &d, "f").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(rename(&d, "f", &root, "e").unwrap_err(), Errno::EISDIR);
    let once = RenameFlags::NOREPLACE;
    assert_eq!(
        root.rename(&cx(), b"e", &root, b"d", once).unwrap_err(),
        Errno::EEXIST
    );
    let swap = RenameFlags::EXCHANGE;
    assert_eq!(
        root.rename(&cx(), b"e", &root, b"n", swap).unwrap_err(),
        Errno::ENOENT
    );
    root.rmdir(&cx(), b"e").unwrap();
    assert_eq!(touch(&e, "x").unwrap_err(), Errno::ENOENT);
    assert_eq!(
        ops(&e)
            .read_dir(&cx(), 0, &mut |_: DirEntry<'_>| true)
            .unwrap_err(),
        Errno::ENOENT
    );
    assert_eq!(root.attr(&cx()).unwrap().nlink, 3);
    d.unlink(&cx(), b"f").unwrap();
    assert_eq!(root.link(&cx(), b"back", &f).unwrap_err(), Errno::ENOENT);
}

#[test]
fn renames_move_and_replace() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let root = fs.root();
    let (a, b) = (mkdir(&root, "a").unwrap(), mkdir(&root, "b").unwrap());
    let sub = mkdir(&a, "sub").unwrap();
    write_file(&sub, "x", b"deep");
    let old = write_file(&b, "y", b"old");
    write_file(&a, "y", b"new");
    rename(&a, "y", &b, "y").unwrap();
    assert_eq!(old.attr(&cx()).unwrap().nlink, 0);
    assert_eq!(read(&old), b"old", "an open file outlives its name");
    rename(&a, "sub", &b, "moved").unwrap();
    assert_eq!(list(&sub)[1].1, b.id().ino, "the parent follows");
    assert_eq!(
        (a.attr(&cx()).unwrap().nlink, b.attr(&cx()).unwrap().nlink),
        (2, 3)
    );
    write_file(&a, "file", b"f");
    a.rename(&cx(), b"file", &b, b"moved", RenameFlags::EXCHANGE)
        .unwrap();
    assert_eq!(
        (a.attr(&cx()).unwrap().nlink, b.attr(&cx()).unwrap().nlink),
        (3, 2)
    );
    a.rename(&cx(), b"file", &b, b"dir", RenameFlags::WHITEOUT)
        .unwrap();
    let white = a.lookup(&cx(), b"file").unwrap().attr(&cx()).unwrap();
    assert_eq!(
        (white.kind, white.rdev),
        (FileType::CharDevice, DeviceId::default())
    );
    let f = b.lookup(&cx(), b"y").unwrap();
    b.link(&cx(), b"z", &f).unwrap();
    rename(&b, "z", &b, "y").unwrap();
    assert_eq!(
        f.attr(&cx()).unwrap().nlink,
        2,
        "two names of one file stay"
    );
    drop((root, a, b, sub, old, f));
    let fs = reopened(fs, t.path());
    assert_eq!(read(&walk(&fs, "b/dir/x").unwrap()), b"deep");
    assert_eq!(read(&walk(&fs, "b/moved").unwrap()), b"f");
    assert_eq!(read(&walk(&fs, "b/y").unwrap()), b"new");
}

fn data_files(store: &Path) -> usize {
    let dirs = std::fs::read_dir(store.join("data")).unwrap();
    dirs.map(|d| std::fs::read_dir(d.unwrap().path()).unwrap().count())
        .sum()
}

#[test]
fn data_goes_when_the_last_name_and_user_go() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let root = fs.root();
    let f = write_file(&root, "f", b"data");
    touch(&root, "empty").unwrap();
    fs.sync().unwrap();
    assert_eq!(data_files(t.path()), 1, "an empty file has no host file");
    let open = ops(&f);
    drop(f);
    root.unlink(&cx(), b"f").unwrap();
    fs.sync().unwrap();
    assert_eq!(data_files(t.path()), 1, "still open");
    assert_eq!(open.attr(&cx()).unwrap().nlink, 0);
    drop(open);
    fs.sync().unwrap();
    assert_eq!(data_files(t.path()), 0);
    let tmp = root.tmpfile(&cx(), &new(NewKind::Regular)).unwrap();
    write(&tmp, 0, b"linked later").unwrap();
    root.link(&cx(), b"named", &tmp).unwrap();
    let lost = root.tmpfile(&cx(), &new(NewKind::Regular)).unwrap();
    write(&lost, 0, b"never linked").unwrap();
    drop((tmp, lost, root));
    let fs = reopened(fs, t.path());
    assert_eq!(data_files(t.path()), 1);
    assert_eq!(read(&walk(&fs, "named").unwrap()), b"linked later");
}

#[test]
fn sizes_holes_and_appends() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let root = fs.root();
    let f = write_file(&root, "f", b"0123456789");
    let o = ops(&f);
    assert_eq!(o.append(&cx(), &mut &b"ab"[..]).unwrap(), (12, 2));
    o.truncate(&cx(), 4).unwrap();
    o.truncate(&cx(), 6).unwrap();
    assert_eq!(read(&f), b"0123\0\0");
    o.truncate(&cx(), 1 << 30).unwrap();
    let attr = f.attr(&cx()).unwrap();
    assert_eq!(attr.size, 1 << 30);
    assert!(
        attr.blocks < 1000,
        "a hole takes no blocks: {}",
        attr.blocks
    );
    assert_eq!(o.truncate(&cx(), 1 << 63).unwrap_err(), Errno::EFBIG);
    assert_eq!(o.seek_extent(&cx(), 1 << 30, 3).unwrap_err(), Errno::ENXIO);
    o.truncate(&cx(), 0).unwrap();
    assert_eq!(f.attr(&cx()).unwrap().blocks, 0);
    o.fallocate(&cx(), 0, 0, 100).unwrap();
    assert_eq!(f.attr(&cx()).unwrap().size, 100);
    assert_eq!(o.fallocate(&cx(), 2, 0, 1).unwrap_err(), Errno::EOPNOTSUPP);
    let big = vec![7; 300_000];
    assert_eq!(write(&f, 50, &big).unwrap(), big.len());
    assert_eq!(read(&f)[50..], big);
}

#[test]
fn reading_a_directory_while_it_changes() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let root = fs.root();
    for i in 0..100 {
        touch(&root, &format!("f{i:02}")).unwrap();
    }
    let open = ops(&root);
    let (mut pos, mut seen) = (0, 0);
    loop {
        let mut part = Vec::new();
        pos = open
            .read_dir(&cx(), pos, &mut |e: DirEntry<'_>| {
                if part.len() == 7 {
                    return false;
                }
                part.push(e.name.to_vec());
                true
            })
            .unwrap();
        if part.is_empty() {
            break;
        }
        for name in part.iter().filter(|n| n[0] == b'f') {
            root.unlink(&cx(), name).unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 100);
    root.unlink(&cx(), b"f00").unwrap_err();
}

#[test]
fn a_directory_is_found_by_name_and_as_a_whole() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    for i in 0..40 {
        touch(&fs.root(), &format!("f{i:02}")).unwrap();
    }
    let fs = reopened(fs, t.path());
    let root = fs.root();
    root.lookup(&cx(), b"f05").unwrap();
    root.unlink(&cx(), b"f06").unwrap();
    touch(&root, "g").unwrap();
    for i in 0..20 {
        assert_eq!(
            root.lookup(&cx(), format!("no{i}").as_bytes()).unwrap_err(),
            Errno::ENOENT
        );
    }
    assert_eq!(root.lookup(&cx(), b"f06").unwrap_err(), Errno::ENOENT);
    assert_eq!(names(&root).len(), 40);
    touch(&root, "f06").unwrap();
    let fs = reopened(
        {
            drop(root);
            fs
        },
        t.path(),
    );
    assert_eq!(names(&fs.root()).len(), 41);
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for e in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let dest = to.join(e.file_name());
        if e.file_type().unwrap().is_dir() {
            copy_tree(&e.path(), &dest);
        } else {
            std::fs::copy(e.path(), dest).unwrap();
        }
    }
}

#[test]
fn a_copied_store_is_a_store() {
    let t = tempfile::tempdir().unwrap();
    let (a, b) = (t.path().join("a"), t.path().join("b"));
    let fs = fresh(&a);
    write_file(&fs.root(), "f", b"data");
    fs.shutdown().unwrap();
    drop(fs);
    copy_tree(&a, &b);
    let fs = open(&b);
    assert_eq!(read(&walk(&fs, "f").unwrap()), b"data");
    write_file(&fs.root(), "g", b"more");
    let fs = reopened(fs, &b);
    assert_eq!(names(&fs.root()), ["f", "g"]);
}

#[test]
fn readers_share_and_writers_do_not() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    write_file(&fs.root(), "f", b"data");
    let ro = Options {
        read_only: true,
        ..Options::default()
    };
    assert!(matches!(
        FakeFs::open(t.path(), &Options::default()),
        Err(Error::Busy)
    ));
    assert!(matches!(FakeFs::open(t.path(), &ro), Err(Error::Busy)));
    drop(fs);
    let one = FakeFs::open(t.path(), &ro).unwrap();
    let two = FakeFs::open(t.path(), &ro).unwrap();
    assert!(matches!(
        FakeFs::open(t.path(), &Options::default()),
        Err(Error::Busy)
    ));
    for fs in [&one, &two] {
        let f = walk(fs, "f").unwrap();
        assert_eq!(read(&f), b"data");
        assert_eq!(write(&f, 0, b"x").unwrap_err(), Errno::EROFS);
        assert_eq!(touch(&fs.root(), "g").unwrap_err(), Errno::EROFS);
        let set = SetAttr {
            mode: Some(0),
            ..SetAttr::default()
        };
        assert_eq!(f.set_attr(&cx(), &set).unwrap_err(), Errno::EROFS);
    }
    drop(one);
    drop(two);
    open(t.path());
}

#[test]
fn a_damaged_database_is_an_error_and_no_panic() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    for i in 0..2000 {
        touch(&fs.root(), &format!("file-{i}")).unwrap();
    }
    drop(fs);
    let db = t.path().join("meta.db");
    let mut bytes = std::fs::read(&db).unwrap();
    for b in &mut bytes[8192..] {
        *b = b.wrapping_mul(31).wrapping_add(7);
    }
    std::fs::write(&db, bytes).unwrap();
    let Ok(fs) = FakeFs::open(t.path(), &Options::default()) else {
        return;
    };
    let mut errors = 0;
    for i in 0..2000 {
        match fs.root().lookup(&cx(), format!("file-{i}").as_bytes()) {
            Ok(_) => {}
            Err(e) => {
                assert!(matches!(e, Errno::EIO | Errno::ENOENT), "{e:?}");
                errors += 1;
            }
        }
    }
    assert!(errors > 0);
}

#[test]
fn threads_at_once() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let root: InodeRef = fs.root();
    std::thread::scope(|s| {
        for n in 0..4 {
            let root = root.clone();
            s.spawn(move || {
                let dir = mkdir(&root, &format!("d{n}")).unwrap();
                for i in 0..200 {
                    let name = format!("f{i}");
                    let f = write_file(&dir, &name, name.as_bytes());
                    if i % 20 == 0 {
                        ops(&f).fsync(&cx(), i % 40 == 0).unwrap();
                    }
                    rename(&dir, &name, &root, &format!("{n}-{i}")).unwrap();
                    if i % 3 == 0 {
                        root.unlink(&cx(), format!("{n}-{i}").as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    drop(root);
    let fs = reopened(fs, t.path());
    assert_eq!(names(&fs.root()).len(), 4 + 4 * 133);
    assert_eq!(read(&walk(&fs, "2-100").unwrap()), b"f100");
}

#[test]
fn mappings_and_calls_see_the_same_bytes() {
    use tuxlet_mem::Access;
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let f = write_file(&fs.root(), "f", &[b'a'; 5000]);
    let object = ops(&f).mmap_object(&cx()).unwrap();
    let page = object.page(1, Access::Write).unwrap();
    write(&f, 4096, b"via write").unwrap();
    let mut seen = [0; 9];
    page.read(0, &mut seen);
    assert_eq!(&seen, b"via write");
    object.dirty(1);
    page.write(0, b"via store");
    assert_eq!(&read(&f)[4096..4105], b"via store");
    assert!(object.page(2, Access::Read).is_err());
    ops(&f).truncate(&cx(), 4096).unwrap();
    assert!(object.page(1, Access::Read).is_err());
    write(&f, 4096, b"x").unwrap();
    let page = object.page(1, Access::Write).unwrap();
    object.dirty(1);
    page.write(1, b"behind the end");
    drop((page, object, f));
    fs.shutdown().unwrap();
    drop(fs);
    let fs = open(t.path());
    assert_eq!(read(&walk(&fs, "f").unwrap())[4095..], *b"ax");
    let again = walk(&fs, "f").unwrap();
    let object = ops(&again).mmap_object(&cx()).unwrap();
    let page = object.page(0, Access::Write).unwrap();
    object.dirty(0);
    page.write(0, b"lives on without the inode");
    drop((again, page));
    drop(object);
    assert_eq!(&read(&walk(&fs, "f").unwrap())[..5], b"lives");
    fs.root().unlink(&cx(), b"f").unwrap();
    fs.sync().unwrap();
    assert_eq!(data_files(t.path()), 0);
}

#[test]
fn a_long_write_over_the_end_of_a_mapped_file_is_whole() {
    use tuxlet_mem::Access;
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let f = write_file(&fs.root(), "f", &[1; 0xedc3]);
    let object = ops(&f).mmap_object(&cx()).unwrap();
    // In the cache, as after an access by a mapping.
    object.page(0xe, Access::Read).unwrap();
    // Longer than one transfer: the second piece begins behind the end that the file had before.
    let data: Vec<u8> = (0..0x141ee).map(|i| (i % 251) as u8 | 1).collect();
    write(&f, 0xb36, &data).unwrap();
    assert!(read(&f)[0xb36..] == data);
    drop(object);
    assert!(read(&f)[0xb36..] == data);
}

#[test]
fn what_is_written_through_a_mapping_reaches_the_file_by_itself() {
    use tuxlet_mem::Access;
    let t = tempfile::tempdir().unwrap();
    drop(fresh(t.path()));
    let options = Options {
        write_back: std::time::Duration::from_millis(1),
        ..Default::default()
    };
    let fs = FakeFs::open(t.path(), &options).unwrap();
    let f = write_file(&fs.root(), "f", &[b'a'; 5000]);
    fs.sync().unwrap();
    let object = ops(&f).mmap_object(&cx()).unwrap();
    let page = object.page(1, Access::Write).unwrap();
    page.write(0, b"stored");
    object.dirty(1);
    let stored = || {
        let inner = t
            .path()
            .join("data")
            .join(format!("{:02x}", f.id().ino & 0xff));
        let data = std::fs::read(inner.join(f.id().ino.to_string())).unwrap();
        data[4096..].starts_with(b"stored")
    };
    // Nobody syncs; the flusher is the only one who can have done it.
    while !stored() {
        std::thread::yield_now();
    }
}

#[test]
fn a_short_lived_file_never_reaches_the_host() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    let root = fs.root();
    let f = write_file(&root, "f", &[1; 60_000]);
    assert_eq!(data_files(t.path()), 0);
    let copy = read(&f);
    assert_eq!(copy, [1; 60_000]);
    ops(&f).fsync(&cx(), false).unwrap();
    assert_eq!(data_files(t.path()), 1);
    let big = write_file(&root, "big", &[2; 70_000]);
    assert_eq!(data_files(t.path()), 2);
    write(&big, 80_000, b"end").unwrap();
    assert_eq!(read(&big)[69_999..70_001], [2, 0]);
    let grown = write_file(&root, "grown", &[3; 10]);
    ops(&grown).truncate(&cx(), 20).unwrap();
    assert_eq!(read(&grown)[5..15], [3, 3, 3, 3, 3, 0, 0, 0, 0, 0]);
    ops(&grown).truncate(&cx(), 1 << 20).unwrap();
    assert_eq!(read(&grown)[..11], [3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0]);
}

#[test]
fn access_times_alone_cost_nothing_and_are_not_lost() {
    let t = tempfile::tempdir().unwrap();
    let fs = fresh(t.path());
    write_file(&fs.root(), "f", b"x");
    let fs = reopened(fs, t.path());
    let f = walk(&fs, "f").unwrap();
    f.accessed(&cx_at(2_000_000), false);
    assert!(!t.path().join("unclean").exists());
    f.accessed(&cx_at(2_000_001), false);
    assert_eq!(f.attr(&cx()).unwrap().atime.sec, 2_000_000, "relatime");
    drop(f);
    let fs = reopened(fs, t.path());
    let f = walk(&fs, "f").unwrap();
    assert_eq!(f.attr(&cx()).unwrap().atime.sec, 2_000_000);
    // A change that must be durable is not taken for one that can wait.
    f.accessed(&cx_at(3_000_000), false);
    f.set_attr(
        &cx(),
        &SetAttr {
            mode: Some(0o1),
            ..SetAttr::default()
        },
    )
    .unwrap();
    ops(&f).fsync(&cx(), false).unwrap();
    let db = t.path().join("meta.db");
    let copy = t.path().join("copy");
    std::fs::create_dir_all(copy.join("data")).unwrap();
    std::fs::copy(&db, copy.join("meta.db")).unwrap();
    std::fs::copy(db.with_extension("db-wal"), copy.join("meta.db-wal")).unwrap();
    let seen = walk(&open(&copy), "f").unwrap().attr(&cx()).unwrap();
    assert_eq!(seen.mode, 0o1);
}

#[test]
fn nothing_is_written_after_a_shutdown() {
    let t = tempfile::tempdir().unwrap();
    let path = t.path().join("store");
    let fs = fresh(&path);
    let root = fs.root();
    let kept = write_file(&root, "kept", b"before");
    let gone = write_file(&root, "gone", b"before");
    let open = (ops(&kept), ops(&gone));
    root.unlink(&cx(), b"gone").unwrap();
    fs.shutdown().unwrap();
    std::fs::remove_dir_all(&path).unwrap();

    assert_eq!(touch(&root, "new").unwrap_err(), Errno::EROFS);
    assert_eq!(write(&kept, 0, b"after").unwrap_err(), Errno::EROFS);
    assert_eq!(fs.sync(), Ok(()));
    drop((open, kept, gone, root));
    drop(fs);
    assert!(!path.exists());
    // Nothing holds the store's name any more.
    drop(fresh(&path));
}
