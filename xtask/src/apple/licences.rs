//! The licences of everything that is linked in.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

/// Packages that the C interface is linked with, for a target: name and version, licence expression, licence texts.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) licence: String,
    pub(super) texts: Vec<String>,
}

/// What cargo's metadata says, without packages that only build or test others.
pub(super) fn packages(target: &str) -> Result<Vec<Package>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let out = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", target])
        .output()?;
    ensure!(out.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&out.stdout)?;
    let by_id: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()
        .context("packages")?
        .iter()
        .filter_map(|p| Some((p["id"].as_str()?, p)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .context("nodes")?
        .iter()
        .filter_map(|n| Some((n["id"].as_str()?, n)))
        .collect();
    let root = by_id.iter().find(|(_, p)| p["name"] == "tuxlet-ffi");
    let (root, _) = root.context("no tuxlet-ffi")?;
    let mut seen = BTreeSet::new();
    let mut todo = vec![*root];
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes[id]["deps"].as_array().into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            let linked = kinds.is_some_and(|kinds| kinds.iter().any(|k| k["kind"].is_null()));
            todo.extend(dependency["pkg"].as_str().filter(|_| linked));
        }
    }
    let mut all: Vec<Package> = seen.iter().map(|id| package(by_id[id])).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn package(of: &Value) -> Package {
    let text = |key: &str| of[key].as_str().unwrap_or_default().to_owned();
    let mut texts = Vec::new();
    let dir = Path::new(of["manifest_path"].as_str().unwrap_or_default()).parent();
    let entries = dir.and_then(|dir| fs::read_dir(dir).ok());
    let mut files: Vec<_> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    files.sort();
    for file in files {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_uppercase();
        let says = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];
        if says.iter().any(|s| name.starts_with(s))
            && let Ok(text) = fs::read_to_string(&file)
        {
            texts.push(text);
        }
    }
    Package {
        name: format!("{} {}", text("name"), text("version")),
        licence: text("license"),
        texts,
    }
}

/// All in one text. Rust's standard library is no package of cargo's.
pub(super) fn text(target: &str) -> Result<String> {
    let mut all = String::from(
        "Tuxlet is linked with these. SQLite, in libsqlite3-sys, is in the public domain. Rust's standard library is under MIT OR Apache-2.0,\n\
         copyright The Rust Project Developers.\n",
    );
    for package in packages(target)? {
        all.push_str(&format!("\n==== {}: {}\n", package.name, package.licence));
        for text in package.texts {
            all.push('\n');
            all.push_str(text.trim_end());
            all.push('\n');
        }
    }
    Ok(all)
}
