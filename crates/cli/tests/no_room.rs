//! Hosts that fail: a full file system, one that turns read-only, a damaged page in a store's database. The guest sees an errno, the user
//! a message, and nobody a panic.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A directory with an archive of an image that holds the guest program `fill`.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let archive = dir.path().join("image.tar");
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let program = fs::read(programs.join("fill")).expect("the program");
    let mut tar = tar::Builder::new(fs::File::create(&archive).expect("an archive"));
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, "fill", &program[..])
        .and_then(|()| tar.finish())
        .expect("an archive");
    (dir, archive)
}

/// Runs a script where `$H` is a home on a file system of `size`, `$A` the archive and `$T` the command; `None`, said loudly, where no
/// file system can be mounted.
fn on_small_disk(size: &str, script: &str) -> Option<Output> {
    let (dir, archive) = place();
    let home = dir.path().join("home");
    fs::create_dir(&home).expect("a directory");
    let unshare = |script: &str| {
        Command::new("unshare")
            .args(["-rm", "sh", "-c", script])
            .env("H", &home)
            .env("TUXLET_HOME", &home)
            .env("A", &archive)
            .env("T", env!("CARGO_BIN_EXE_tuxlet"))
            .output()
    };
    let mount = format!("mount -t tmpfs -o size={size} small \"$H\"");
    if !unshare(&mount).is_ok_and(|out| out.status.success()) {
        eprintln!("SKIPPED: no file systems can be mounted in a user namespace here");
        return None;
    }
    let out = unshare(&format!("set -e; {mount}; {script}")).expect("it starts");
    Some(out)
}

fn texts(out: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.stdout), text(&out.stderr))
}

const MADE: &str = "$T import -q $A image; $T run --name m image /fill";

#[test]
fn a_full_disk_is_an_errno_and_a_message() {
    let script = format!(
        "{MADE}; $T exec m /fill /work; $T fsck m
         ! head -c 100m /dev/zero >$H/ballast 2>/dev/null
         for c in 'exec m /fill' 'run --rm image /fill' 'create --name n image'; do
             if $T $c; then echo \"$c: done\"; else echo \"$c: $?\"; fi
         done
         rm $H/ballast; $T exec m /fill /more; $T fsck"
    );
    let Some(out) = on_small_disk("8m", &script) else {
        return;
    };
    let (said, errors) = texts(&out);
    assert!(out.status.success(), "{said}{errors}");
    let guest = "directory: ok\nkept: ok\nwrite: ENOSPC\nbyte: ENOSPC\nfsync: ENOSPC\nnew files: ENOSPC\nread: ok\nremove: ok\nagain: true\n";
    let own = "exec m /fill: 125\nrun --rm image /fill: 125\ncreate --name n image: 125\n";
    assert_eq!(
        said,
        format!("{guest}m: in order\n{own}{guest}m: in order\nimage image: in order\n")
    );
    let refusals: Vec<_> = errors
        .lines()
        .filter(|l| l.starts_with("tuxlet: "))
        .collect();
    assert_eq!(refusals.len(), 3, "{errors}");
    for line in refusals {
        assert!(line.contains("No space left on device"), "{line}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_read_only_disk_is_a_message() {
    let script = format!(
        "{MADE}; mount -o remount,ro $H
         for c in 'exec m /fill' 'run --rm image /fill' 'create --name n image' images fsck; do
             if $T $c; then echo \"$c: done\"; else echo \"$c: $?\"; fi
         done
         mount -o remount,rw $H; $T exec m /fill; $T fsck"
    );
    let Some(out) = on_small_disk("30m", &script) else {
        return;
    };
    let (said, errors) = texts(&out);
    assert!(out.status.success(), "{said}{errors}");
    assert!(
        said.ends_with("m: in order\nimage image: in order\n"),
        "{said}"
    );
    assert_eq!(
        errors.matches("Read-only file system").count(),
        5,
        "{errors}"
    );
    assert!(!errors.contains("panicked"), "{errors}");
}

fn tuxlet(home: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tuxlet"));
    command.env("TUXLET_HOME", home).args(line.split(' '));
    command.output().expect("tuxlet starts")
}

#[test]
fn a_damaged_database_is_an_errno_and_a_message() {
    let (dir, archive) = place();
    let home = dir.path().join("home");
    let import = format!("import -q {} image", archive.display());
    for line in [&*import, "run --name m image /fill"] {
        assert!(tuxlet(&home, line).status.success(), "{line}");
    }
    let database = home.join("machines/m/fs/meta.db");
    let whole = fs::read(&database).expect("the database");
    let page = 4096;
    for n in 0..whole.len() / page {
        fs::write(&database, &whole).expect("the database");
        let file = fs::OpenOptions::new().write(true).open(&database);
        // Nothing that a page of it could be.
        file.and_then(|f| f.write_all_at(&vec![0xe5; page], (n * page) as u64))
            .expect("a damaged page");
        let (_, errors) = texts(&tuxlet(&home, "exec m /fill"));
        assert!(!errors.contains("panicked"), "page {n}: {errors}");
        let out = tuxlet(&home, "fsck m");
        let (_, errors) = texts(&out);
        assert!(
            errors.contains("cannot be read whole"),
            "page {n}: {errors}"
        );
        assert_eq!(out.status.code(), Some(125), "page {n}");
        let (_, errors) = texts(&tuxlet(&home, "fsck --repair m"));
        assert!(!errors.contains("panicked"), "page {n}: {errors}");
    }
    fs::write(&database, &whole).expect("the database");
    assert!(tuxlet(&home, "exec m /fill").status.success());
}
