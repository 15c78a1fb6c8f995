//! fakefs stores whose database is anything.

use std::{fs, path::Path};
use tuxlet_fakefs::{FakeFs, Item, Options, Reader, Writer};
use tuxlet_vfs::{Cred, Cx, FileSystem as _, Time};

fn cx() -> Cx {
    Cx {
        cred: std::sync::Arc::new(Cred::root()),
        umask: 0,
        now: Time { sec: 0, nsec: 0 },
        fsize_limit: u64::MAX,
        tgid: 1,
        tid: 1,
        context: 0,
    }
}

/// A directory with this database and two data files.
fn put(dir: &Path, data: &[u8]) {
    fs::create_dir_all(dir.join("data/02")).expect("a directory");
    fs::write(dir.join("meta.db"), data).expect("a file");
    fs::write(dir.join("data/02/2"), b"data").expect("a file");
    fs::write(dir.join("data/file"), b"data").expect("a file");
}

/// Most entries that are looked at.
const MOST: usize = 1000;

pub(crate) fn store(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("fs");
    put(&path, data);
    if let Ok(reader) = Reader::open(&path) {
        let mut seen = 0;
        let _ = reader.walk(|item: &Item| {
            let _ = reader.xattrs(item.ino);
            seen += 1;
            if seen < MOST {
                Ok(())
            } else {
                Err(tuxlet_fakefs::Error::Damaged("enough".into()))
            }
        });
    }
    let _ = tuxlet_fakefs::check(&path);
    // As a crash leaves it, so that it is put in order.
    fs::write(path.join("unclean"), b"").expect("a file");
    let Ok(fs) = FakeFs::open(&path, &Options::default()) else {
        return;
    };
    let root = fs.root();
    for name in [&b"etc"[..], b"file", b"link", b"nothing"] {
        if let Ok(inode) = root.lookup(&cx(), name) {
            let _ = inode.attr(&cx());
            let _ = inode.list_xattr(&cx());
            let _ = root.unlink(&cx(), name);
        }
    }
    drop(root);
    let _ = fs.shutdown();
}

/// A predecessor's directory.
pub(crate) fn fakefs_v3(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("old");
    put(&path, data);
    let mut writer = Writer::create(&dir.path().join("new")).expect("a store");
    if tuxlet_fakefs::import_v3(&path, &mut writer).is_ok() {
        let _ = writer.finish();
    }
}
