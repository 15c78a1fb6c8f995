//! `cargo xtask apple`: the C interface as an XCFramework, with what is needed to ship it: module map, privacy manifest, licences; and proof
//! that it imports nothing that an app for iOS must not use.

use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

mod cross;
mod framework;
mod imports;
mod licences;
#[cfg(test)]
mod tests;

/// Symbols that an app for iOS must not use: it cannot make processes, and cannot make code.
const FORBIDDEN: &[&str] = &[
    "_fork",
    "_vfork",
    "_execl",
    "_execle",
    "_execlp",
    "_execv",
    "_execve",
    "_execvp",
    "_execvP",
    "_posix_spawn",
    "_posix_spawnp",
    "_system",
    "_popen",
    "_dlopen",
    "_pthread_jit_write_protect_np",
    "_pthread_jit_write_with_callback_np",
    "_sys_icache_invalidate",
    "_task_for_pid",
    "_ptrace",
];

/// The symbols that the library may import on iOS, one to a line.
const ALLOWED: &str = "apple/imports.txt";

/// One part of an XCFramework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Slice {
    /// iPhones and iPads.
    Ios,
    /// Their simulator on Macs with Apple's processors.
    IosSim,
    /// Macs with Apple's processors.
    Macos,
}

impl Slice {
    const ALL: [Slice; 3] = [Slice::Ios, Slice::IosSim, Slice::Macos];

    /// Rust's name for it.
    fn target(self) -> &'static str {
        match self {
            Slice::Ios => "aarch64-apple-ios",
            Slice::IosSim => "aarch64-apple-ios-sim",
            Slice::Macos => "aarch64-apple-darwin",
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build only these parts; all of them without one.
    #[arg(long = "slice", value_enum)]
    slices: Vec<Slice>,
    /// Where the framework is put.
    #[arg(long, default_value = "apple/TuxletKit/CTuxlet.xcframework")]
    out: PathBuf,
    /// Zig, whose compiler takes the place of Xcode's on other hosts than Macs; without it that of TUXLET_ZIG or on PATH.
    #[arg(long)]
    zig: Option<PathBuf>,
    /// Only check what static libraries import that were built before.
    #[arg(long, value_name = "LIBRARY")]
    check: Vec<PathBuf>,
    /// Allow what the library imports now, except for what no app may.
    #[arg(long)]
    bless: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.check.is_empty() {
        let mut all = BTreeSet::new();
        for library in &args.check {
            all.extend(checked(library, args.bless)?);
        }
        return if args.bless { bless(&all) } else { Ok(()) };
    }
    let slices = if args.slices.is_empty() {
        &Slice::ALL[..]
    } else {
        &args.slices
    };
    let tools = cross::Tools::find(args.zig.as_deref())?;
    let mut built = Vec::new();
    let mut all = BTreeSet::new();
    for slice in slices {
        let library = build(*slice, &tools)?;
        // What apps for Macs may do is not so limited.
        if *slice == Slice::Macos {
            let (functions, _) = imports::of(&library)?;
            println!("{}: {functions} functions", library.display());
        } else {
            all.extend(checked(&library, args.bless)?);
        }
        built.push((*slice, library));
    }
    if args.bless {
        bless(&all)?;
    }
    framework::assemble(&args.out, &built, &all)?;
    println!("{} has {} slices", args.out.display(), built.len());
    Ok(())
}

/// Builds the static library for a slice.
fn build(slice: Slice, tools: &cross::Tools) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["rustc", "--release", "--locked", "--package", "tuxlet-ffi"]);
    command.args(["--crate-type", "staticlib", "--target", slice.target()]);
    tools.set(&mut command, slice)?;
    let status = command.status()?;
    ensure!(
        status.success(),
        "building for {} failed; `rustup target add {0}` may help",
        slice.target()
    );
    let library = target_dir()
        .join(slice.target())
        .join("release/libtuxlet_c.a");
    ensure!(library.exists(), "{} is missing", library.display());
    Ok(library)
}

fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from)
}

/// What a library imports, which must be allowed.
fn checked(library: &Path, anything: bool) -> Result<BTreeSet<String>> {
    let (functions, imports) = imports::of(library)?;
    let allowed = if anything { None } else { Some(allowed()?) };
    judge(&imports, allowed.as_ref()).with_context(|| library.display().to_string())?;
    println!(
        "{}: {functions} functions, {} imports, none forbidden",
        library.display(),
        imports.len()
    );
    Ok(imports.into_keys().collect())
}

fn judge(imports: &imports::Imports, allowed: Option<&BTreeSet<String>>) -> Result<()> {
    let forbidden: Vec<_> = imports
        .iter()
        // Variants for old systems have a suffix after a dollar sign.
        .filter(|(name, _)| FORBIDDEN.contains(&name.split('$').next().unwrap_or(name)))
        .collect();
    if !forbidden.is_empty() {
        bail!("no app for iOS may import {forbidden:?}");
    }
    let Some(allowed) = allowed else {
        return Ok(());
    };
    let new: Vec<_> = imports
        .iter()
        .filter(|(name, _)| !allowed.contains(*name))
        .collect();
    if !new.is_empty() {
        bail!("not in {ALLOWED} (`--bless` puts them there): {new:?}");
    }
    Ok(())
}

fn allowed() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(ALLOWED).context(ALLOWED)?;
    let lines = text
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

fn bless(imports: &BTreeSet<String>) -> Result<()> {
    let mut text = String::from(
        "# What the library for iOS imports (`cargo xtask apple --bless`), of what its functions can reach.\n",
    );
    for name in imports {
        text.push_str(name);
        text.push('\n');
    }
    Ok(fs::write(ALLOWED, text)?)
}
