//! Stores that contradict themselves are put in order, and keep what is in them.

mod support;

use rusqlite::Connection;
use support::*;
use tuxlet_fakefs::{Error, FakeFs, check, repair};
use tuxlet_vfs::{FileSystem as _, FileType};

/// A store with some files, closed.
fn store() -> (tempfile::TempDir, std::path::PathBuf) {
    let t = tempfile::tempdir().unwrap();
    let path = t.path().join("fs");
    FakeFs::create(&path).unwrap();
    let fs = open(&path);
    let a = mkdir(&fs.root(), "a").unwrap();
    let b = mkdir(&a, "b").unwrap();
    write_file(&b, "deep", b"deep");
    write_file(&a, "file", b"content");
    write_file(&fs.root(), "top", b"top");
    drop((a, b));
    fs.shutdown().unwrap();
    drop(fs);
    (t, path)
}

fn damage(path: &std::path::Path, statements: &str) {
    let db = Connection::open(path.join("meta.db")).unwrap();
    db.execute_batch(statements).unwrap();
}

fn ino(path: &std::path::Path, name: &str) -> i64 {
    let db = Connection::open(path.join("meta.db")).unwrap();
    db.query_row(
        "SELECT ino FROM dirents WHERE name = CAST(?1 AS BLOB)",
        [name],
        |r| r.get(0),
    )
    .unwrap()
}

#[test]
fn a_good_store_is_left_alone() {
    let (_t, path) = store();
    assert_eq!(repair(&path).unwrap(), Vec::<String>::new());
}

#[test]
fn contradictions_are_resolved() {
    let (_t, path) = store();
    let (a, b, file, top) = (
        ino(&path, "a"),
        ino(&path, "b"),
        ino(&path, "file"),
        ino(&path, "top"),
    );
    for (statements, kept) in [
        // Wrong numbers.
        (
            format!("UPDATE inodes SET nlink = 9 WHERE ino IN ({a}, {file})"),
            "a/file",
        ),
        (
            format!("UPDATE inodes SET size = 99 WHERE ino = {file}"),
            "a/file",
        ),
        (
            format!("UPDATE dirents SET kind = 16384 WHERE ino = {top}"),
            "top",
        ),
        (
            format!("UPDATE inodes SET target = x'61' WHERE ino = {top}"),
            "top",
        ),
        // Entries that lead nowhere, to where they must not, or are none.
        (
            "INSERT INTO dirents VALUES(1, x'78', 12345, 32768)".into(),
            "top",
        ),
        (
            format!("INSERT INTO dirents VALUES(777, x'78', {top}, 32768)"),
            "top",
        ),
        (
            format!("INSERT INTO dirents VALUES(1, x'612f62', {top}, 32768)"),
            "top",
        ),
        (
            format!("INSERT INTO dirents VALUES({b}, x'7a', {a}, 16384)"),
            "a/file",
        ),
        (
            format!("INSERT INTO dirents VALUES({a}, x'7a', 1, 16384)"),
            "a/file",
        ),
        // Inodes of no kind, and one that was open when its machine was killed.
        (
            "INSERT INTO inodes SELECT 900, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, NULL".into(),
            "top",
        ),
        (
            "INSERT INTO inodes SELECT 901, 41471, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, NULL".into(),
            "top",
        ),
        (
            "INSERT INTO inodes SELECT 902, 33188, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL".into(),
            "top",
        ),
    ] {
        damage(&path, &statements);
        assert_ne!(
            check(&path).unwrap().problems,
            Vec::<String>::new(),
            "{statements}"
        );
        assert_ne!(repair(&path).unwrap(), Vec::<String>::new(), "{statements}");
        assert_eq!(
            check(&path).unwrap().problems,
            Vec::<String>::new(),
            "{statements}"
        );
        assert_eq!(repair(&path).unwrap(), Vec::<String>::new(), "{statements}");
        assert!(walk(&open(&path), kept).is_ok(), "{statements}");
    }
    // Names that are lost.
    damage(
        &path,
        &format!("DELETE FROM dirents WHERE ino IN ({a}, {file})"),
    );
    repair(&path).unwrap();
    assert_eq!(check(&path).unwrap().problems, Vec::<String>::new());
    {
        let fs = open(&path);
        let found = |name: String| read(&walk(&fs, &format!("lost+found/{name}")).unwrap());
        assert_eq!(found(format!("#{file}")), b"content");
        assert_eq!(found(format!("#{a}/b/deep")), b"deep");
    }
    // Directories that lie in each other, out of reach.
    damage(
        &path,
        &format!("UPDATE dirents SET parent = {b}, name = x'61' WHERE ino = {a}"),
    );
    repair(&path).unwrap();
    assert_eq!(check(&path).unwrap().problems, Vec::<String>::new());
    let deepest = format!("lost+found/#{a}/b/deep");
    assert_eq!(read(&walk(&open(&path), &deepest).unwrap()), b"deep");
    // The root.
    damage(&path, "DELETE FROM inodes WHERE ino = 1");
    repair(&path).unwrap();
    assert_eq!(check(&path).unwrap().problems, Vec::<String>::new());
    assert_eq!(read(&walk(&open(&path), "top").unwrap()), b"top");
}

#[test]
fn a_damaged_database_is_not_touched() {
    let (_t, path) = store();
    let file = path.join("meta.db");
    let mut bytes = std::fs::read(&file).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..64].fill(0xff);
    }
    std::fs::write(&file, &bytes).unwrap();
    assert!(matches!(
        repair(&path),
        Err(Error::Damaged(_) | Error::Database(_))
    ));
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_damaged_page_costs_no_more_than_what_was_on_it() {
    let t = tempfile::tempdir().unwrap();
    let path = t.path().join("fs");
    FakeFs::create(&path).unwrap();
    let fs = open(&path);
    let mut written = Vec::new();
    for d in 0..12 {
        let dir = mkdir(&fs.root(), &format!("dir{d}")).unwrap();
        for n in 0..30 {
            let name = format!("file {n} with a name that takes some room");
            let content = format!("{d} {n}");
            write_file(&dir, &name, content.as_bytes());
            written.push(content.into_bytes());
        }
    }
    written.sort();
    fs.shutdown().unwrap();
    drop(fs);
    let database = path.join("meta.db");
    let whole = std::fs::read(&database).unwrap();
    let (mut salvaged, mut refused) = (0, 0);
    // The first page says where all the others are.
    for page in 0..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096..][..4096].fill(0xe5);
        std::fs::write(&database, &damaged).unwrap();
        let said = match repair(&path) {
            Ok(said) => said,
            Err(_) => {
                assert_eq!(std::fs::read(&database).unwrap(), damaged, "page {page}");
                refused += 1;
                continue;
            }
        };
        if said.is_empty() {
            // A free page.
            continue;
        }
        salvaged += 1;
        assert!(check(&path).unwrap().problems.is_empty(), "page {page}");
        let kept = std::fs::read(path.join("meta.db.damaged")).unwrap();
        assert_eq!(kept, damaged, "page {page}");
        let fs = open(&path);
        // Under whatever name, all that was written is there.
        let mut found = Vec::new();
        let mut todo = vec![fs.root()];
        while let Some(dir) = todo.pop() {
            for (name, _, kind) in list(&dir) {
                if name == "." || name == ".." {
                    continue;
                }
                let inode = dir.lookup(&cx(), name.as_bytes()).unwrap();
                match kind {
                    FileType::Directory => todo.push(inode),
                    _ => found.push(read(&inode)),
                }
            }
        }
        found.sort();
        assert_eq!(found, written, "page {page}: {said:?}");
        fs.shutdown().unwrap();
    }
    assert!(salvaged > 10 && refused < 5, "{salvaged} {refused}");
}
