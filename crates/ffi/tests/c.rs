//! The header and the library, from C.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The static library that was built with this test.
fn library() -> PathBuf {
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

fn run(command: &mut Command) -> String {
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

fn build(source: &Path, to: &Path) {
    run(Command::new("cc")
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-I",
        ])
        .arg(here().join("include"))
        .arg(source)
        .arg(library())
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(to));
}

#[test]
fn the_header_is_c_and_cxx() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = dir.join("header.c");
    fs::write(
        &source,
        "#include <tuxlet.h>\nint main(void) { return TUX_OK; }\n",
    )
    .unwrap();
    for flags in [
        &["-std=c99"][..],
        &["-std=c11"],
        &["-x", "c++", "-std=c++17"],
    ] {
        run(Command::new("cc")
            .args(flags)
            .args([
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                "-fsyntax-only",
                "-I",
            ])
            .arg(here().join("include"))
            .arg(&source));
    }
}

#[test]
fn the_header_names_what_the_library_has() {
    let header = fs::read_to_string(here().join("include/tuxlet.h")).unwrap();
    let words = |text: &str, before: char| -> BTreeSet<String> {
        text.match_indices("tux_")
            .filter_map(|(at, _)| {
                let name: String = text[at..]
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                text[at + name.len()..].starts_with(before).then_some(name)
            })
            .collect()
    };
    let mut exported = BTreeSet::new();
    for entry in fs::read_dir(here().join("src")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for (at, _) in text.match_indices("extern \"C\" fn ") {
            exported.extend(words(&text[at..at + 80], '(').into_iter().take(1));
        }
    }
    assert!(exported.len() > 30, "{exported:?}");
    assert_eq!(words(&header, '('), exported);
    let c = fs::read_to_string(here().join("tests/interface.c")).unwrap();
    let untested: Vec<_> = exported.difference(&words(&c, '(')).cloned().collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn every_function_works_from_c() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = scratch.join("interface");
    build(&here().join("tests/interface.c"), &program);
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    let out = run(Command::new(&program)
        .arg(shell)
        .arg(here().join("include")));
    assert_eq!(out, "ok\n");
}

#[test]
fn the_example_runs() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = scratch.join("example");
    build(&here().join("../../examples/c/run.c"), &program);
    let root = scratch.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    fs::copy(shell, root.join("bin/sh")).unwrap();
    let mut command = Command::new(&program);
    command
        .arg(&root)
        .args(["/bin/sh", "-c", "echo a; warn b; exit 4"]);
    let out = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "a\nb\n");
    assert_eq!(out.status.code(), Some(4));
}
