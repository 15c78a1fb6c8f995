//! Stores that are made when something has to be kept in them.

mod support;

use support::*;
use tuxlet_fakefs::{Durability, FakeFs, Options, check};
use tuxlet_vfs::FileSystem as _;

fn options(durability: Durability) -> Options {
    Options {
        durability,
        ..Options::default()
    }
}

/// More than is kept in memory.
const LARGE: usize = 200_000;

#[test]
fn nothing_is_made_for_nothing() {
    let t = tempfile::tempdir().unwrap();
    let path = t.path().join("fs");
    let fs = FakeFs::new(&path, &options(Durability::Host)).unwrap();
    assert!(fs.root().lookup(&cx(), b"nothing").is_err());
    fs.sync().unwrap();
    fs.shutdown().unwrap();
    drop(fs);
    assert_eq!(std::fs::read_dir(t.path()).unwrap().count(), 0);
}

#[test]
fn what_is_written_is_there_at_the_next_opening() {
    for durability in [Durability::Host, Durability::Process] {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("fs");
        // Half made by a process that was killed.
        std::fs::create_dir_all(t.path().join("fs.new/data")).unwrap();
        let fs = FakeFs::new(&path, &options(durability)).unwrap();
        let etc = mkdir(&fs.root(), "etc").unwrap();
        write_file(&etc, "small", b"small");
        let large = write_file(&etc, "large", &[7; LARGE]);
        ops(&large).fsync(&cx(), false).unwrap();
        assert!(path.is_dir(), "fsync(2) needs the store");
        drop((etc, large));
        fs.shutdown().unwrap();
        drop(fs);
        assert_eq!(std::fs::read_dir(t.path()).unwrap().count(), 1);
        assert_eq!(check(&path).unwrap().problems, Vec::<String>::new());
        let fs = open(&path);
        assert_eq!(read(&walk(&fs, "etc/small").unwrap()), b"small");
        assert_eq!(read(&walk(&fs, "etc/large").unwrap()), [7; LARGE]);
        let root = fs.root().attr(&cx()).unwrap();
        assert_eq!((root.st_mode(), root.nlink), (0o040_755, 3));
    }
}

#[test]
fn what_need_not_be_kept_is_not() {
    let t = tempfile::tempdir().unwrap();
    let path = t.path().join("fs");
    let fs = FakeFs::new(&path, &options(Durability::Nothing)).unwrap();
    let small = write_file(&fs.root(), "small", b"small");
    ops(&small).fsync(&cx(), false).unwrap();
    fs.sync().unwrap();
    fs.shutdown().unwrap();
    drop((small, fs));
    assert_eq!(std::fs::read_dir(t.path()).unwrap().count(), 0);

    // Too large for memory: made for the data, left to whoever removes it.
    let fs = FakeFs::new(&path, &options(Durability::Nothing)).unwrap();
    let large = write_file(&fs.root(), "large", &[7; LARGE]);
    assert!(path.is_dir());
    assert_eq!(read(&large), [7; LARGE]);
    fs.shutdown().unwrap();
}
