//! What the tests of other languages build with.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The root of the sources.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The static library that was built with this test.
pub(crate) fn library() -> PathBuf {
    let own = std::env::current_exe().expect("a path");
    let deps = own.parent().expect("a directory");
    let dirs = [deps, deps.parent().expect("a directory")];
    let found = dirs.into_iter().flat_map(|dir| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            name.starts_with("libtuxlet_c") && name.ends_with(".a")
        })
    });
    let newest = found.max_by_key(|e| e.metadata().and_then(|m| m.modified()).ok());
    newest.expect("cargo has built the library").path()
}

/// Runs a command that has to succeed; what it prints.
pub(crate) fn run(command: &mut Command) -> String {
    let out = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        out.status.success(),
        "{command:?}: {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Makes a directory with the static library alone, so that linkers do not take the shared one beside it.
pub(crate) fn link_alone(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let link = dir.join("libtuxlet_c.a");
    match fs::remove_file(&link) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{e}"),
        _ => std::os::unix::fs::symlink(library(), link).unwrap(),
    }
}
