//! The Swift package and its example, on hosts with Swift's toolchain.

mod build;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// `swift`, of `TUXLET_SWIFT` or `PATH`.
fn swift() -> Option<PathBuf> {
    let swift = std::env::var_os("TUXLET_SWIFT").map_or("swift".into(), PathBuf::from);
    let found = Command::new(&swift).arg("--version").output();
    if found.is_ok_and(|out| out.status.success()) {
        return Some(swift);
    }
    eprintln!("SKIPPED: no Swift toolchain on PATH or in TUXLET_SWIFT");
    None
}

/// Swift's package manager with `arguments` for a package, linked with the library.
fn package(swift: &Path, package: &str, arguments: &[&str]) -> Command {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lib = scratch.join("swift-lib");
    build::link_alone(&lib);
    let mut command = Command::new(swift);
    command
        .args(arguments)
        .arg("--package-path")
        .arg(build::root().join(package))
        .arg("--scratch-path")
        .arg(scratch.join(package.replace('/', "-")))
        .args(["-Xlinker", &format!("-L{}", lib.display())]);
    command
}

#[test]
fn the_package_passes_its_tests() {
    let Some(swift) = swift() else { return };
    let mut command = package(&swift, "apple/TuxletKit", &["test"]);
    let scratch = env!("CARGO_TARGET_TMPDIR");
    command.env(
        "TUXLET_GUEST_SH",
        tuxlet_test_support::programs(scratch).join("sh"),
    );
    match std::env::var_os("TUXLET_ALPINE") {
        Some(tarball) => {
            let root = Path::new(scratch).join("swift-alpine");
            std::fs::create_dir_all(&root).unwrap();
            build::run(
                Command::new("tar")
                    .arg("-xzf")
                    .arg(tarball)
                    .arg("-C")
                    .arg(&root),
            );
            command.env("TUXLET_ALPINE_ROOT", root);
        }
        None => eprintln!("SKIPPED: TUXLET_ALPINE names no Alpine to run from Swift"),
    }
    let said = build::run(&mut command);
    assert!(said.contains("Test run with"), "{said}");
    eprintln!("{said}");
}

#[test]
fn the_example_runs() {
    let Some(swift) = swift() else { return };
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let root = scratch.join("swift-root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    std::fs::copy(shell, root.join("bin/sh")).unwrap();
    build::run(&mut package(&swift, "examples/swift", &["build"]));
    let mut run = package(&swift, "examples/swift", &["run", "--skip-build"]);
    run.arg("Run")
        .arg(root)
        .arg("echo hello;warn b;pipe /bin/sh -c pwd | shout;exit 4");
    let out = run.output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert_eq!(said, "hello\nb\n/\nstatus 0\n", "{out:?}");
    assert_eq!(out.status.code(), Some(4));
}

/// There is no SwiftUI here: nothing more can be said of the app than that it is Swift.
#[test]
fn the_app_parses() {
    let Some(swift) = swift() else { return };
    let compiler = swift.with_file_name("swiftc");
    let sources = std::fs::read_dir(build::root().join("apple/App/Tuxlet")).unwrap();
    let sources = sources.map(|e| e.unwrap().path());
    let sources: Vec<_> = sources
        .filter(|p| p.extension().is_some_and(|e| e == "swift"))
        .collect();
    assert!(sources.len() > 3);
    build::run(
        Command::new(compiler)
            .args(["-parse", "-swift-version", "6"])
            .args(sources),
    );
}
