//! `cargo xtask isa`: turns `crates/a64/isa/*.isa` into the checked-in Rust of
//! `crates/a64/src/generated` and the coverage page `docs/generated/ISA.md`.
//!
//! This task must not depend on `tuxlet-a64` itself: it has to run when the generated
//! files do not compile (for instance in the middle of a merge).

mod emit;
mod page;
mod parse;
mod tree;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};

use parse::Row;

/// The tables, in the order in which their rows are numbered.
const GROUPS: [&str; 8] = [
    "dpimm", "branch", "system", "ldst", "dpreg", "fp", "simd", "crypto",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only check that the checked-in files are up to date.
    #[arg(long)]
    check: bool,
    /// Compare the decoder with objdump over this many random words (0: sweep bits 31:10).
    #[arg(long, value_name = "WORDS")]
    oracle: Option<u64>,
    /// With --oracle: the random seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One table and its rows.
struct Group {
    name: &'static str,
    rows: Vec<Row>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent")?;
    if let Some(words) = args.oracle {
        return oracle(root, words, args.seed);
    }
    let groups = read_tables(&root.join("crates/a64/isa"))?;
    let vectors = page::read_vectors(&root.join("crates/a64/isa/vectors.tsv"))?;
    let stale = write_files(root, &files(&groups, &vectors)?, args.check)?;
    if args.check {
        ensure!(
            stale.is_empty(),
            "stale generated files (run `cargo xtask isa`): {stale:?}"
        );
    }
    let rows: usize = groups.iter().map(|g| g.rows.len()).sum();
    let done = groups
        .iter()
        .flat_map(|g| &g.rows)
        .filter(|r| r.done())
        .count();
    println!("{rows} rows, {done} done; {} files changed", stale.len());
    Ok(())
}

fn read_tables(dir: &Path) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for name in GROUPS {
        let path = dir.join(format!("{name}.isa"));
        let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let rows = parse::table(&text).with_context(|| format!("{}", path.display()))?;
        groups.push(Group { name, rows });
    }
    let mut names: Vec<&str> = groups
        .iter()
        .flat_map(|g| &g.rows)
        .map(|r| r.name.as_str())
        .collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        ensure!(pair[0] != pair[1], "two rows are named {}", pair[0]);
    }
    Ok(groups)
}

/// All generated files: path below the root and text before formatting.
fn files(groups: &[Group], vectors: &page::Vectors) -> Result<Vec<(PathBuf, String)>> {
    let dir = Path::new("crates/a64/src/generated");
    let mut files = vec![
        (dir.join("mod.rs"), emit::module(groups)),
        (dir.join("ops.rs"), emit::ops(groups)),
        (dir.join("rows.rs"), emit::rows(groups)),
        (dir.join("tree.rs"), tree::emit(groups)?),
        (dir.join("status.rs"), emit::status(groups)),
        (
            PathBuf::from("docs/generated/ISA.md"),
            page::emit(groups, vectors),
        ),
    ];
    for group in groups {
        files.push((dir.join(format!("{}.rs", group.name)), emit::structs(group)));
        files.push((
            dir.join(format!("{}_text.rs", group.name)),
            emit::texts(group)?,
        ));
    }
    Ok(files)
}

/// Formats and writes the files that differ (or only names them), and returns these.
fn write_files(root: &Path, files: &[(PathBuf, String)], check: bool) -> Result<Vec<PathBuf>> {
    let formatted: Vec<Result<String>> = thread::scope(|scope| {
        let jobs: Vec<_> = files
            .iter()
            .map(|(path, text)| {
                scope.spawn(move || {
                    if path.extension().is_some_and(|e| e == "rs") {
                        rustfmt(root, text).with_context(|| format!("{}", path.display()))
                    } else {
                        Ok(text.clone())
                    }
                })
            })
            .collect();
        jobs.into_iter()
            .map(|job| {
                job.join()
                    .unwrap_or_else(|_| bail!("formatting thread panicked"))
            })
            .collect()
    });
    let mut stale = Vec::new();
    for ((path, _), text) in files.iter().zip(formatted) {
        let text = text?;
        let full = root.join(path);
        if fs::read_to_string(&full).is_ok_and(|old| old == text) {
            continue;
        }
        if !check {
            if let Some(dir) = full.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::write(&full, text).with_context(|| format!("{}", full.display()))?;
        }
        stale.push(path.clone());
    }
    Ok(stale)
}

fn rustfmt(root: &Path, text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args([
            "--edition",
            "2024",
            "--emit",
            "stdout",
            "--quiet",
            "--config-path",
        ])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run rustfmt")?;
    let mut stdin = child
        .stdin
        .take()
        .context("rustfmt has no standard input")?;
    let output = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(text.as_bytes()));
        child.wait_with_output()
    })?;
    ensure!(output.status.success(), "rustfmt failed");
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs the objdump comparison, which lives beside the decoder as an example.
fn oracle(root: &Path, words: u64, seed: u64) -> Result<()> {
    let status = Command::new("cargo")
        .args([
            "run",
            "--release",
            "-q",
            "-p",
            "tuxlet-a64",
            "--example",
            "objdump_oracle",
            "--",
        ])
        .args([words.to_string(), seed.to_string()])
        .current_dir(root)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the decoder and objdump disagree");
    Ok(())
}
