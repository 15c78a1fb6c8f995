//! What integration tests of several crates share: the guest programs, built, and kills at random points.

#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

pub mod kill;

const TARGET: &str = "aarch64-unknown-linux-musl";

/// The root of the sources.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds all guest programs once; the directory with them. `scratch` is the test's `CARGO_TARGET_TMPDIR`, so that `cargo clean`
/// removes them.
///
/// # Panics
/// They do not build.
pub fn programs(scratch: &str) -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(scratch).join("guest");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--target", TARGET])
            .current_dir(root().join("tests/guest"))
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .status()
            .expect("cargo starts");
        assert!(
            status.success(),
            "the guest programs do not build; `rustup target add {TARGET}` may help"
        );
        target.join(TARGET).join("debug")
    })
}
