//! The Objective-C class TLXShell: run under GNUstep, compiled for iOS.

mod build;

use build::{root, run};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const FLAGS: &[&str] = &["-Wall", "-Wextra", "-Werror", "-fblocks"];

fn sources() -> Vec<PathBuf> {
    let dir = root().join("apple/TuxletKit/Sources/TLXShell");
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    names
        .filter(|p| p.extension().is_some_and(|e| e == "m"))
        .collect()
}

/// Clang with where the headers are.
fn clang() -> Option<Command> {
    let clang = std::env::var_os("TUXLET_CLANG").unwrap_or("clang".into());
    let found = Command::new(&clang).arg("--version").output();
    if !found.is_ok_and(|out| out.status.success()) {
        eprintln!("SKIPPED: no clang on PATH or in TUXLET_CLANG");
        return None;
    }
    let mut command = Command::new(clang);
    for dir in [
        "apple/TuxletKit/Sources/TLXShell/include",
        "crates/ffi/include",
    ] {
        command.arg("-I").arg(root().join(dir));
    }
    Some(command)
}

#[test]
fn commands_run_under_gnustep() {
    let Some(mut clang) = clang() else { return };
    let config = |what| {
        let out = Command::new("gnustep-config").arg(what).output().ok()?;
        let flags = String::from_utf8(out.stdout).ok()?;
        Some(
            flags
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    };
    let (Some(flags), Some(libs)) = (config("--objc-flags"), config("--base-libs")) else {
        eprintln!("SKIPPED: no GNUstep (gnustep-config) to run TLXShell with");
        return;
    };
    // GCC's runtime has its headers among the compiler's, which clang need not know.
    let gcc = run(Command::new("gcc").arg("-print-file-name=include"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tlxshell");
    run(clang
        // Dependency files are for make.
        .args(
            flags
                .iter()
                .filter(|f| !matches!(f.as_str(), "-MMD" | "-MP")),
        )
        .args(FLAGS)
        .args([
            "-fobjc-runtime=gcc",
            "-Wno-unused-command-line-argument",
            "-idirafter",
        ])
        .arg(gcc.trim())
        .arg("-idirafter")
        .arg(root().join("crates/ffi/tests/objc/gnustep"))
        .args(sources())
        .arg(root().join("crates/ffi/tests/objc/shell.m"))
        .arg(build::library())
        // Before GNUstep, which has functions of the same names for blocks of another runtime.
        .arg("-lBlocksRuntime")
        .args(&libs)
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(&program));
    let guest = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objc-root");
    fs::create_dir_all(guest.join("bin")).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    fs::copy(shell, guest.join("bin/sh")).unwrap();
    assert_eq!(run(Command::new(&program).arg(&guest)), "ok\n");
}

#[test]
fn it_compiles_for_ios_with_reference_counting() {
    let Some(mut clang) = clang() else { return };
    run(clang
        .args(FLAGS)
        .args([
            "-target",
            "arm64-apple-ios15.0",
            "-fobjc-arc",
            "-ffreestanding",
            "-fsyntax-only",
            "-isystem",
        ])
        .arg(root().join("crates/ffi/tests/objc/stub"))
        .args(sources()));
}
