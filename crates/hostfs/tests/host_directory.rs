//! A host directory as a file system: what it shows, what it does, and that it cannot be left.

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use tuxlet_hostfs::{HostFs, Options};
use tuxlet_mem::Access;
use tuxlet_vfs::{
    Cred, Cx, DeviceId, DirEntry, Errno, FileOps, FileSystem as _, FileType, InodeRef, Link,
    NewInode, NewKind, RenameFlags, Result, SetAttr, SetTime, Time,
};

/// Each call is a system call of its own: it has its own time.
fn cx() -> Cx {
    static NOW: AtomicI64 = AtomicI64::new(1);
    Cx {
        cred: Arc::new(Cred::root()),
        umask: 0,
        now: Time {
            sec: NOW.fetch_add(1, Ordering::Relaxed),
            nsec: 0,
        },
        fsize_limit: u64::MAX,
        tgid: 1,
        tid: 1,
        context: 0,
    }
}

fn open(path: &Path) -> Arc<HostFs> {
    HostFs::open(path, &Options::default()).unwrap()
}

fn new(kind: NewKind<'_>, mode: u32) -> NewInode<'_> {
    NewInode {
        kind,
        mode,
        uid: 0,
        gid: 0,
    }
}

fn walk(fs: &Arc<HostFs>, path: &str) -> Result<InodeRef> {
    let mut at = fs.root();
    for name in path.split('/').filter(|n| !n.is_empty()) {
        at = at.lookup(&cx(), name.as_bytes())?;
    }
    Ok(at)
}

fn ops(inode: &InodeRef, flags: u32) -> Arc<dyn FileOps> {
    inode.open(&cx(), flags).unwrap()
}

fn read(inode: &InodeRef) -> Vec<u8> {
    let mut data = vec![0; 1 << 16];
    let n = ops(inode, 0).read_at(&cx(), 0, &mut &mut data[..]).unwrap();
    data.truncate(n);
    data
}

fn names(dir: &InodeRef) -> Vec<String> {
    let mut out = Vec::new();
    let mut sink = |e: DirEntry<'_>| {
        out.push(String::from_utf8_lossy(e.name).into_owned());
        true
    };
    ops(dir, 0).read_dir(&cx(), 0, &mut sink).unwrap();
    out.sort();
    out
}

#[test]
fn guest_and_host_see_the_same_files() {
    let t = tempfile::tempdir().unwrap();
    std::fs::create_dir(t.path().join("d")).unwrap();
    std::fs::write(t.path().join("d/f"), "host").unwrap();
    let fs = open(t.path());
    let d = walk(&fs, "d").unwrap();
    let f = walk(&fs, "d/f").unwrap();
    assert_eq!(read(&f), b"host");
    let own = f.attr(&cx()).unwrap();
    assert_eq!((own.uid, own.gid), (0, 0), "the embedder is root");
    let g = d
        .create(&cx(), b"g", &new(NewKind::Regular, 0o4777))
        .unwrap();
    assert_eq!(ops(&g, 2).write_at(&cx(), 0, &mut &b"guest"[..]), Ok(5));
    assert_eq!(ops(&g, 1).append(&cx(), &mut &b"!"[..]), Ok((6, 1)));
    assert_eq!(std::fs::read(t.path().join("d/g")).unwrap(), b"guest!");
    let meta = std::fs::metadata(t.path().join("d/g")).unwrap();
    assert_eq!(
        meta.permissions().mode() & 0o7777,
        0o4777,
        "the host's umask does not count"
    );
    assert_eq!(names(&d), [".", "..", "f", "g"]);

    // The host changes things behind our back.
    std::fs::write(t.path().join("d/f"), "changed").unwrap();
    assert_eq!(read(&f), b"changed");
    std::fs::rename(t.path().join("d/f"), t.path().join("d/h")).unwrap();
    assert_eq!(walk(&fs, "d/f").unwrap_err(), Errno::ENOENT);
    let h = walk(&fs, "d/h").unwrap();
    assert!(Arc::ptr_eq(&h, &f), "the same inode by another name");
    std::fs::rename(t.path().join("d"), t.path().join("e")).unwrap();
    assert_eq!(read(&h), b"changed");

    f.set_attr(
        &cx(),
        &SetAttr {
            mode: Some(0o600),
            mtime: Some(SetTime::At(Time { sec: 77, nsec: 8 })),
            ..SetAttr::default()
        },
    )
    .unwrap();
    let meta = std::fs::metadata(t.path().join("e/h")).unwrap();
    assert_eq!(
        (meta.permissions().mode() & 0o7777, meta.mtime()),
        (0o600, 77)
    );
    f.set_attr(
        &cx(),
        &SetAttr {
            size: Some(3),
            ..SetAttr::default()
        },
    )
    .unwrap();
    assert_eq!(std::fs::read(t.path().join("e/h")).unwrap(), b"cha");
}

#[test]
fn names_change_as_in_linux() {
    let t = tempfile::tempdir().unwrap();
    let fs = open(t.path());
    let root = fs.root();
    let d = root
        .create(&cx(), b"d", &new(NewKind::Directory, 0o755))
        .unwrap();
    let f = root
        .create(&cx(), b"f", &new(NewKind::Regular, 0o644))
        .unwrap();
    root.link(&cx(), b"f2", &f).unwrap();
    assert_eq!(f.attr(&cx()).unwrap().nlink, 2);
    root.rename(&cx(), b"f", &d, b"g", RenameFlags::empty())
        .unwrap();
    assert!(Arc::ptr_eq(&walk(&fs, "d/g").unwrap(), &f));
    assert_eq!(
        root.rename(&cx(), b"f2", &d, b"g", RenameFlags::NOREPLACE)
            .unwrap_err(),
        Errno::EEXIST
    );
    assert_eq!(root.rmdir(&cx(), b"d").unwrap_err(), Errno::ENOTEMPTY);
    assert_eq!(root.unlink(&cx(), b"d").unwrap_err(), Errno::EISDIR);
    assert_eq!(root.rmdir(&cx(), b"f2").unwrap_err(), Errno::ENOTDIR);
    assert_eq!(
        root.create(&cx(), b"d", &new(NewKind::Regular, 0))
            .unwrap_err(),
        Errno::EEXIST
    );
    let null = new(NewKind::CharDevice(DeviceId::new(1, 3)), 0o666);
    assert_eq!(
        root.create(&cx(), b"null", &null).unwrap_err(),
        Errno::EPERM
    );
    root.create(&cx(), b"l", &new(NewKind::Symlink(b"../../etc"), 0o777))
        .unwrap();
    let l = walk(&fs, "l").unwrap();
    assert!(matches!(l.readlink(&cx()).unwrap(), Link::Path(p) if p == b"../../etc"));

    let open = ops(&f, 2);
    root.unlink(&cx(), b"f2").unwrap();
    d.unlink(&cx(), b"g").unwrap();
    assert_eq!(
        open.write_at(&cx(), 0, &mut &b"x"[..]),
        Ok(1),
        "open without a name"
    );
    assert_eq!(open.attr(&cx()).unwrap().nlink, 0);
    assert_eq!(f.attr(&cx()).unwrap().size, 1);
    f.set_attr(
        &cx(),
        &SetAttr {
            mode: Some(0o400),
            ..SetAttr::default()
        },
    )
    .unwrap();
    assert_eq!(open.attr(&cx()).unwrap().mode, 0o400);
    drop(open);
    assert_eq!(f.attr(&cx()).unwrap_err(), Errno::ESTALE);
    root.rmdir(&cx(), b"d").unwrap();
}

#[test]
fn links_and_dots_do_not_lead_outside() {
    let t = tempfile::tempdir().unwrap();
    let (inside, outside) = (t.path().join("in"), t.path().join("out"));
    std::fs::create_dir_all(inside.join("dir")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, inside.join("abs")).unwrap();
    symlink("../out", inside.join("rel")).unwrap();
    symlink("../out/secret", inside.join("file")).unwrap();
    let fs = open(&inside);
    let root = fs.root();
    for name in ["abs", "rel", "file"] {
        let link = walk(&fs, name).unwrap();
        assert_eq!(link.kind(), FileType::Symlink);
        assert_eq!(link.lookup(&cx(), b"secret").unwrap_err(), Errno::ENOTDIR);
        assert_eq!(link.open(&cx(), 0).unwrap_err(), Errno::ELOOP);
    }
    for name in [
        &b".."[..],
        b"../out",
        b"dir/../../out/secret",
        b"/etc/passwd",
    ] {
        assert!(root.lookup(&cx(), name).is_err(), "{name:?}");
        assert!(
            root.create(&cx(), name, &new(NewKind::Regular, 0o644))
                .is_err()
        );
        assert!(root.unlink(&cx(), name).is_err());
        assert!(
            root.rename(&cx(), b"dir", &root, name, RenameFlags::empty())
                .is_err()
        );
    }
    assert!(outside.join("secret").exists());
}

#[test]
fn a_directory_that_flips_to_a_link_does_not_lead_outside() {
    let t = tempfile::tempdir().unwrap();
    let (inside, outside) = (t.path().join("in"), t.path().join("out"));
    std::fs::create_dir_all(inside.join("real")).unwrap();
    std::fs::write(inside.join("real/x"), "inside").unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("x"), "outside").unwrap();
    symlink(&outside, inside.join("link")).unwrap();
    let fs = open(&inside);
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            // "d" is by turns the directory and the link.
            while !stop.load(Ordering::Relaxed) {
                std::fs::rename(inside.join("real"), inside.join("d")).unwrap();
                std::fs::rename(inside.join("d"), inside.join("real")).unwrap();
                std::fs::rename(inside.join("link"), inside.join("d")).unwrap();
                std::fs::rename(inside.join("d"), inside.join("link")).unwrap();
            }
        });
        let mut reached = 0;
        for i in 0..4000 {
            if let Ok(x) = walk(&fs, "d/x")
                && let Ok(file) = x.open(&cx(), 0)
            {
                let mut data = [0; 7];
                let n = file.read_at(&cx(), 0, &mut &mut data[..]).unwrap();
                assert_eq!(&data[..n], b"inside");
                reached += 1;
            }
            if let Ok(d) = walk(&fs, "d") {
                let _ = d.create(
                    &cx(),
                    format!("n{i}").as_bytes(),
                    &new(NewKind::Regular, 0o644),
                );
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reached > 0);
    });
    assert_eq!(
        std::fs::read_dir(&outside).unwrap().count(),
        1,
        "nothing was made outside"
    );
}

#[test]
fn special_files_are_shown_and_not_opened() {
    let t = tempfile::tempdir().unwrap();
    let fs = open(t.path());
    let root = fs.root();
    root.create(&cx(), b"fifo", &new(NewKind::Fifo, 0o600))
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(t.path().join("sock")).unwrap();
    assert_eq!(walk(&fs, "fifo").unwrap().kind(), FileType::Fifo);
    assert_eq!(
        walk(&fs, "fifo").unwrap().open(&cx(), 0).unwrap_err(),
        Errno::ENXIO
    );
    assert_eq!(walk(&fs, "sock").unwrap().kind(), FileType::Socket);
    assert_eq!(
        walk(&fs, "sock").unwrap().open(&cx(), 2).unwrap_err(),
        Errno::ENXIO
    );
    let dev = open(Path::new("/dev"));
    let null = walk(&dev, "null").unwrap();
    let attr = null.attr(&cx()).unwrap();
    assert_eq!(
        (attr.kind, attr.rdev),
        (FileType::CharDevice, DeviceId::new(1, 3))
    );
    assert_eq!(null.open(&cx(), 0).unwrap_err(), Errno::ENXIO);
}

#[test]
fn a_single_file_can_be_the_root() {
    let t = tempfile::tempdir().unwrap();
    std::fs::write(t.path().join("f"), "data").unwrap();
    let fs = open(&t.path().join("f"));
    let root = fs.root();
    assert_eq!(root.kind(), FileType::Regular);
    assert_eq!(read(&root), b"data");
    assert_eq!(ops(&root, 2).write_at(&cx(), 4, &mut &b"+"[..]), Ok(1));
    assert_eq!(std::fs::read(t.path().join("f")).unwrap(), b"data+");
}

#[test]
fn mappings_calls_and_the_host_agree() {
    let t = tempfile::tempdir().unwrap();
    std::fs::write(t.path().join("f"), [b'a'; 5000]).unwrap();
    let fs = open(t.path());
    let f = walk(&fs, "f").unwrap();
    let open = ops(&f, 2);
    let object = open.mmap_object(&cx()).unwrap();
    let page = object.page(0, Access::Write).unwrap();
    open.write_at(&cx(), 0, &mut &b"by write"[..]).unwrap();
    let mut seen = [0; 8];
    page.read(0, &mut seen);
    assert_eq!(&seen, b"by write");
    object.dirty(0);
    page.write(0, b"by store");
    assert_eq!(&read(&f)[..8], b"by store");
    open.fsync(&cx(), false).unwrap();
    assert_eq!(
        &std::fs::read(t.path().join("f")).unwrap()[..8],
        b"by store"
    );
    drop(page);
    std::fs::write(t.path().join("f"), "by the host").unwrap();
    assert_eq!(read(&f), b"by the host");
    let again = ops(&f, 0).mmap_object(&cx()).unwrap();
    let mut seen = [0; 11];
    again.page(0, Access::Read).unwrap().read(0, &mut seen);
    assert_eq!(&seen, b"by the host");
}

#[test]
fn deep_trees_and_many_directories() {
    let t = tempfile::tempdir().unwrap();
    let fs = open(t.path());
    let mut at = fs.root();
    for _ in 0..700 {
        at = at
            .create(&cx(), b"d", &new(NewKind::Directory, 0o755))
            .unwrap();
    }
    at.create(&cx(), b"bottom", &new(NewKind::Regular, 0o644))
        .unwrap();
    // Far more directories than are kept open; the first are opened again from the top.
    let path = "d/".repeat(700);
    assert_eq!(names(&walk(&fs, &path).unwrap()), [".", "..", "bottom"]);
    assert_eq!(
        walk(&fs, &format!("{path}bottom"))
            .unwrap()
            .attr(&cx())
            .unwrap()
            .size,
        0
    );
    assert_eq!(names(&at).len(), 3);
    drop(at);
    drop(fs);
    std::process::Command::new("rm")
        .arg("-rf")
        .arg(t.path().join("d"))
        .status()
        .unwrap();
}

#[test]
fn user_attributes_pass_where_the_host_has_them() {
    let t = tempfile::tempdir().unwrap();
    std::fs::write(t.path().join("f"), "").unwrap();
    let fs = open(t.path());
    let f = walk(&fs, "f").unwrap();
    match f.set_xattr(&cx(), b"user.k", b"v", 0) {
        Err(Errno::EOPNOTSUPP) => return,
        other => other.unwrap(),
    }
    assert_eq!(f.get_xattr(&cx(), b"user.k").unwrap(), b"v");
    assert_eq!(f.list_xattr(&cx()).unwrap(), [b"user.k"]);
    assert_eq!(
        f.set_xattr(&cx(), b"user.k", b"w", 1).unwrap_err(),
        Errno::EEXIST
    );
    assert_eq!(
        f.set_xattr(&cx(), b"trusted.k", b"w", 0).unwrap_err(),
        Errno::EOPNOTSUPP
    );
    f.remove_xattr(&cx(), b"user.k").unwrap();
    assert_eq!(f.get_xattr(&cx(), b"user.k").unwrap_err(), Errno::ENODATA);
}
