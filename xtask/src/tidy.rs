//! `cargo xtask tidy`: the crate graph, where `unsafe` may be, file lengths, licences and shims.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Which crates of ours a crate may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("uapi", &[]),
    ("a64", &[]),
    ("sync", &[]),
    ("host", &["uapi", "sync"]),
    ("mem", &["host", "uapi", "sync"]),
    ("cpu", &["a64", "mem", "host", "uapi"]),
    ("vfs", &["mem", "uapi", "sync"]),
    ("tty", &["uapi"]),
    ("fakefs", &["vfs", "mem", "host", "uapi", "sync"]),
    ("hostfs", &["vfs", "mem", "host", "uapi", "sync"]),
    ("tmpfs", &["vfs", "mem", "uapi", "sync"]),
    ("overlayfs", &["vfs", "mem", "uapi", "sync"]),
    ("net", &["vfs", "mem", "host", "uapi", "sync"]),
    (
        "kernel",
        &[
            "a64", "cpu", "mem", "vfs", "tty", "net", "host", "uapi", "sync",
        ],
    ),
    (
        "machine",
        &[
            "kernel",
            "cpu",
            "mem",
            "vfs",
            "fakefs",
            "hostfs",
            "tmpfs",
            "overlayfs",
            "host",
            "uapi",
            "sync",
        ],
    ),
    ("image", &["vfs", "fakefs", "overlayfs", "host", "uapi"]),
    ("ffi", &["machine"]),
    ("rpc", &["machine"]),
    ("vnc", &["machine"]),
    ("cli", &["machine", "image", "rpc", "vnc", "host"]),
    // Tests only.
    ("fuzz", &["machine", "image", "fakefs", "net", "vfs", "vnc"]),
];

/// Crates that may contain `unsafe`.
const UNSAFE: &[&str] = &["sync", "host", "mem", "cpu", "ffi"];

/// Dependencies that only one crate may name.
const ONLY_IN: &[(&str, &str)] = &[("libc", "host"), ("rustix", "host"), ("rusqlite", "fakefs")];

/// Most lines of a source file that is neither generated nor a test.
const MAX_LINES: usize = 1000;

/// Licences that fit an App Store binary.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "0BSD",
    "Zlib",
    "Unicode-3.0",
    "MPL-2.0",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
];

/// Runs all checks.
pub(crate) fn run() -> Result<()> {
    let metadata = metadata()?;
    let mut problems = Vec::new();
    crate_graph(&metadata, &mut problems)?;
    licences(&metadata, &mut problems)?;
    sources(Path::new("crates"), &mut problems)?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    ensure!(problems.is_empty(), "{} problems", problems.len());
    println!("crate graph, licences, unsafe, file lengths and shims are in order");
    Ok(())
}

fn metadata() -> Result<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()?;
    ensure!(
        out.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(serde_json::from_slice(&out.stdout)?)
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"]
        .as_array()
        .context("no packages in cargo's metadata")
}

/// The directory under `crates/` that a package is in.
fn directory(package: &Value) -> Option<String> {
    let manifest = PathBuf::from(package["manifest_path"].as_str()?);
    let dir = manifest.parent()?;
    let inside = package["source"].is_null() && dir.parent()?.file_name()? == "crates";
    inside.then(|| dir.file_name().map(|n| n.to_string_lossy().into_owned()))?
}

fn crate_graph(metadata: &Value, problems: &mut Vec<String>) -> Result<()> {
    let packages = packages(metadata)?;
    let ours: Vec<(String, &str)> = packages
        .iter()
        .filter_map(|p| Some((directory(p)?, p["name"].as_str()?)))
        .collect();
    for package in packages {
        let Some(dir) = directory(package) else {
            continue;
        };
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == dir) else {
            bail!("crates/{dir} is not in the list of xtask/src/tidy.rs");
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // Tests may look anywhere.
            if dependency["kind"] == "dev" {
                continue;
            }
            let name = dependency["name"].as_str().unwrap_or_default();
            if let Some((target, _)) = ours.iter().find(|(_, package)| *package == name)
                && !allowed.contains(&target.as_str())
            {
                problems.push(format!("crates/{dir} must not use {name}"));
            }
            if let Some((_, home)) = ONLY_IN.iter().find(|(crate_name, _)| *crate_name == name)
                && *home != dir
            {
                problems.push(format!(
                    "crates/{dir} must not use {name}: that is for crates/{home}"
                ));
            }
        }
    }
    Ok(())
}

/// Whether an SPDX expression can be satisfied with the licences of the list.
fn acceptable(expression: &str) -> bool {
    let any = expression.replace('/', " OR ").replace(['(', ')'], " ");
    // "A AND (B OR C)" is read as "(A AND B) OR C", which errs on neither side for the names that occur.
    any.split(" OR ").any(|all| {
        all.split(" AND ")
            .all(|name| LICENCES.contains(&name.trim()))
    })
}

fn licences(metadata: &Value, problems: &mut Vec<String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for package in packages(metadata)? {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or("none");
        if !acceptable(licence) && seen.insert(name) {
            problems.push(format!("{name}: licence {licence}"));
        }
    }
    Ok(())
}

fn sources(dir: &Path, problems: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let text = path.to_string_lossy().into_owned();
        if path.is_dir() {
            if !text.ends_with("/target") {
                sources(&path, problems)?;
            }
            continue;
        }
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let crate_dir = text.split('/').nth(1).unwrap_or_default();
        let source = fs::read_to_string(&path)?;
        crate::shims::check(&path, &source, problems);
        let is_test =
            text.contains("/tests") || text.ends_with("tests.rs") || text.contains("/benches/");
        let lines = source.lines().count();
        if lines > MAX_LINES && !is_test && !text.contains("/generated/") {
            problems.push(format!("{text}: {lines} lines"));
        }
        let has_unsafe = source.lines().any(|l| {
            let code = l.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        if has_unsafe && !UNSAFE.contains(&crate_dir) && !is_test {
            problems.push(format!("{text}: unsafe code"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_judged_by_their_alternatives() {
        assert!(acceptable("MIT OR Apache-2.0"));
        assert!(acceptable("MIT/Apache-2.0"));
        assert!(acceptable("GPL-3.0 OR MIT"));
        assert!(acceptable("Apache-2.0 AND ISC"));
        assert!(!acceptable("GPL-3.0"));
        assert!(!acceptable("MIT AND LGPL-2.1"));
    }
}
