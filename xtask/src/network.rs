//! `cargo xtask network`: real programs on loopback, each script of `tests/network` in a fresh clone of a prepared machine.
//!
//! `prepare.sh` is run once, in the machine that the clones are made of; `check.sh` goes in front of every other script,
//! which prints `pass WHAT` or `fail WHAT: ...` for everything it looks at.

use anyhow::{Context, Result, bail, ensure};
use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The machine that clones are made of.
const BASE: &str = "network-base";
/// What a script that ran to its end prints last.
const END: &str = "end of the script";
const SCRIPTS: &str = "tests/network";
const RESULTS: &str = "docs/conformance/network.md";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tuxlet command.
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/tuxlet")]
    tuxlet: PathBuf,
    /// The image that the machine is made of, a Debian.
    #[arg(long, default_value = "debian")]
    image: String,
    /// Longest time of a script, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    timeout: u64,
    /// Write the table of docs/conformance/network.md anew.
    #[arg(long)]
    bless: bool,
    /// Only these scripts.
    scripts: Vec<String>,
}

/// What a script found.
struct Outcome {
    name: String,
    /// Its first line.
    about: String,
    passed: usize,
    failed: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let tuxlet = args
        .tuxlet
        .canonicalize()
        .with_context(|| format!("no {}: build it or name it", args.tuxlet.display()))?;
    let limit = Duration::from_secs(args.timeout);
    prepare(&tuxlet, &args.image)?;
    let head = read("check")?;
    let mut outcomes = Vec::new();
    for name in names()? {
        if !args.scripts.is_empty() && !args.scripts.contains(&name) {
            continue;
        }
        let script = read(&name)?;
        let about = script.lines().next().unwrap_or_default();
        let about = about.trim_start_matches("# ").to_owned();
        let text = format!("{head}\n{script}\necho '{END}'\n");
        let output = in_clone(&tuxlet, &format!("network-{name}"), &text, limit)?;
        let outcome = judge(name, about, &output);
        println!(
            "{}: {} passed, {} failed",
            outcome.name,
            outcome.passed,
            outcome.failed.len()
        );
        for line in &outcome.failed {
            println!("    {line}");
        }
        outcomes.push(outcome);
    }
    ensure!(!outcomes.is_empty(), "no such scripts");
    if args.bless {
        ensure!(args.scripts.is_empty(), "--bless needs all scripts");
        bless(&outcomes)?;
    }
    let failed: usize = outcomes.iter().map(|o| o.failed.len()).sum();
    ensure!(failed == 0, "{failed} checks failed");
    Ok(())
}

fn read(name: &str) -> Result<String> {
    let path = Path::new(SCRIPTS).join(format!("{name}.sh"));
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The scripts, but for those that are part of others.
fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(SCRIPTS).context(SCRIPTS)? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|n| n.to_str())
            && !matches!(name, "check" | "prepare")
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn quiet(tuxlet: &Path, arguments: &[&str]) -> Result<bool> {
    let mut command = Command::new(tuxlet);
    command.args(arguments).stdout(Stdio::null());
    Ok(command.stderr(Stdio::null()).status()?.success())
}

/// Makes the machine that clones are made of, unless it is there.
fn prepare(tuxlet: &Path, image: &str) -> Result<()> {
    if quiet(tuxlet, &["inspect", BASE])? {
        return Ok(());
    }
    println!("preparing the machine {BASE}");
    let mut child = Command::new(tuxlet)
        .args(["run", "-i", "--name", BASE, image, "--", "bash", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let script = read("prepare")?;
    child
        .stdin
        .take()
        .context("no standard input")?
        .write_all(script.as_bytes())?;
    if !child.wait()?.success() {
        quiet(tuxlet, &["rm", BASE])?;
        bail!("{BASE} could not be prepared");
    }
    Ok(())
}

/// Runs a script in a clone, which is removed afterwards, and gives what it printed.
fn in_clone(tuxlet: &Path, name: &str, script: &str, limit: Duration) -> Result<String> {
    quiet(tuxlet, &["rm", name])?;
    ensure!(
        quiet(tuxlet, &["clone", BASE, name])?,
        "cannot clone {BASE}"
    );
    let dir = std::env::temp_dir();
    let (input, output) = (
        dir.join(format!("{name}.in")),
        dir.join(format!("{name}.out")),
    );
    fs::write(&input, script)?;
    let mut child = Command::new(tuxlet)
        .args(["exec", "-i", name, "bash", "-s"])
        .stdin(fs::File::open(&input)?)
        .stdout(fs::File::create(&output)?)
        .stderr(Stdio::null())
        .spawn()?;
    let end = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    quiet(tuxlet, &["rm", name])?;
    let text = fs::read(&output)?;
    fs::remove_file(&input)?;
    fs::remove_file(&output)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn judge(name: String, about: String, output: &str) -> Outcome {
    let mut failed: Vec<String> = output
        .lines()
        .filter_map(|l| l.strip_prefix("fail "))
        .map(str::to_owned)
        .collect();
    if !output.lines().any(|l| l == END) {
        failed.push("the script did not end in its time".to_owned());
    }
    Outcome {
        name,
        about,
        passed: output.lines().filter(|l| l.starts_with("pass ")).count(),
        failed,
    }
}

/// Writes the table behind the text that was written by hand.
fn bless(outcomes: &[Outcome]) -> Result<()> {
    const HEADER: &str = "| script | checks passed | checks failed | what |\n|---|---|---|---|\n";
    let old = fs::read_to_string(RESULTS).context(RESULTS)?;
    let start = old.find(HEADER).context("the page has no table")?;
    let rows = &old[start + HEADER.len()..];
    let end = rows.find("\n\n").map_or(rows.len(), |n| n + 1);
    let mut text = old[..start].to_owned() + HEADER;
    for o in outcomes {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            o.name,
            o.passed,
            o.failed.len(),
            o.about
        );
    }
    text += &rows[end..];
    fs::write(RESULTS, text)?;
    Ok(())
}
