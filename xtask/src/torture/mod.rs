//! `cargo xtask torture`: the run tests of GCC's own test suite in Tuxlet.
//!
//! The C torture suite, the AArch64 run tests, the Advanced SIMD intrinsics and the procedure
//! call standard, each built at four optimisation levels with and without Armv8.6. A test that
//! does not exit with 0 also runs in the reference, which decides.

mod results;
mod suite;

use anyhow::{Context, Result, ensure};
use results::{Outcome, Results, regression};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use suite::Test;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// GCC's source tree, or its `gcc/testsuite` directory.
    #[arg(long, value_name = "DIR")]
    source: PathBuf,
    /// The compiler; it should be of the source's version.
    #[arg(long, value_name = "PROGRAM", default_value = "aarch64-linux-gnu-gcc")]
    cc: String,
    /// The reference for programs that do not exit with 0.
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-aarch64-static")]
    qemu: String,
    /// Only these columns of the list, for example `-O2` or `-O3+v8.6`.
    #[arg(long, allow_hyphen_values = true)]
    variant: Vec<String>,
    /// Write the results to the list instead of comparing with it.
    #[arg(long)]
    bless: bool,
    /// Only tests that the list has no result for.
    #[arg(long)]
    resume: bool,
    /// The `batch` example of the tuxlet package; built if it is not given.
    #[arg(long, value_name = "PROGRAM")]
    runner: Option<PathBuf>,
    /// Programs at a time.
    #[arg(short, long)]
    jobs: Option<usize>,
    /// Only tests whose name contains this.
    #[arg(default_value = "")]
    filter: String,
}

/// Name, level and architecture of each column.
const VARIANTS: [(&str, &str, Option<&str>); 8] = [
    ("-O0", "-O0", None),
    ("-O1", "-O1", None),
    ("-O2", "-O2", None),
    ("-O3", "-O3", None),
    ("-O0+v8.6", "-O0", Some(V8_6)),
    ("-O1+v8.6", "-O1", Some(V8_6)),
    ("-O2+v8.6", "-O2", Some(V8_6)),
    ("-O3+v8.6", "-O3", Some(V8_6)),
];
const V8_6: &str = "-march=armv8.6-a+crypto+fp16+rng";

/// Where the results are recorded.
const LIST: &str = "docs/conformance/torture.txt";

/// After how many tests results are written.
const PART: usize = 200;

/// After how many seconds a program is taken for hanging.
const LIMIT: u64 = 120;

pub(crate) fn run(args: &Args) -> Result<()> {
    let inside = args.source.join("gcc/testsuite");
    let testsuite = if inside.is_dir() {
        inside
    } else {
        args.source.clone()
    };
    let mut tests = suite::find(&testsuite)?;
    tests.retain(|t| t.name.contains(&args.filter));
    let chosen: Vec<usize> = (0..VARIANTS.len())
        .filter(|&v| args.variant.is_empty() || args.variant.iter().any(|n| n == VARIANTS[v].0))
        .collect();
    ensure!(
        !tests.is_empty() && !chosen.is_empty(),
        "no test is left: see --variant and the filter"
    );
    let version = Command::new(&args.cc).arg("--version").output();
    let version = version.with_context(|| args.cc.clone())?.stdout;
    let version = String::from_utf8_lossy(&version);
    let version = version.lines().next().unwrap_or_default();
    let runner = match &args.runner {
        Some(runner) => runner.clone(),
        None => build_runner()?,
    };

    let mut recorded = Results::load(Path::new(LIST), VARIANTS.len())?;
    let mut regressions = Vec::new();
    for &variant in &chosen {
        let left =
            |test: &&Test| !args.resume || recorded.get(&test.name, variant) == Outcome::Unknown;
        let left: Vec<&Test> = tests.iter().filter(left).collect();
        for part in left.chunks(PART) {
            let outcomes = run_variant(args, part, variant, &runner)?;
            for (test, (outcome, note)) in part.iter().zip(outcomes) {
                let before = recorded.get(&test.name, variant);
                if regression(before, outcome) {
                    regressions.push(format!(
                        "{} {}: {outcome:?}, was {before:?}; {note}",
                        VARIANTS[variant].0, test.name
                    ));
                }
                recorded.set(&test.name, variant, VARIANTS.len(), outcome);
            }
            // All takes long: what is known is not lost when the rest is interrupted.
            if args.bless {
                fs::write(LIST, recorded.text(&header(version, &recorded)))?;
            }
            eprintln!("{}", summary(&recorded, variant));
        }
    }
    for line in &regressions {
        println!("{line}");
    }
    for &variant in &chosen {
        println!("{}", summary(&recorded, variant));
    }
    ensure!(
        args.bless || regressions.is_empty(),
        "{} results are worse than {LIST}",
        regressions.len()
    );
    Ok(())
}

fn summary(results: &Results, variant: usize) -> String {
    let [pass, same, differs, unbuilt, skipped, unknown] = results.counts(variant);
    format!(
        "{:8}: {pass} pass, {same} fail in the reference too, {differs} differ, \
         {unbuilt} do not build, {skipped} skipped, {unknown} not run",
        VARIANTS[variant].0
    )
}

fn header(version: &str, results: &Results) -> String {
    let mut text = format!(
        "# Results of GCC's run tests in Tuxlet, by `cargo xtask torture --bless`; isa.md explains.\n\
         # Compiler: {version}\n\
         # `.` exits with 0, `=` fails in the reference too, `F` differs, `-` does not build, `s` skipped, `_` not run\n"
    );
    for variant in 0..VARIANTS.len() {
        text.push_str(&format!(
            "# column {}, {}\n",
            variant + 1,
            summary(results, variant)
        ));
    }
    text
}

/// The program that runs programs.
fn build_runner() -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "tuxlet"])
        .args(["--example", "batch", "--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo build")?;
    ensure!(output.status.success(), "the runner does not build");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    messages
        .lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .filter(|m| m["target"]["name"] == "batch")
        .find_map(|m| m["executable"].as_str().map(PathBuf::from))
        .context("cargo did not say where the runner is")
}

/// Outcome and explanation of every test, in order.
fn run_variant(
    args: &Args,
    tests: &[&Test],
    variant: usize,
    runner: &Path,
) -> Result<Vec<(Outcome, String)>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![(Outcome::Unknown, String::new()); tests.len()]);
    let root = Path::new("target/torture").join(std::process::id().to_string());
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..args.jobs.unwrap_or(cores))
            .map(|worker| {
                let dir = root.join(worker.to_string());
                let (next, outcomes) = (&next, &outcomes);
                scope.spawn(move || -> Result<()> {
                    fs::create_dir_all(&dir)?;
                    let mut worker = Worker::new(args, runner, fs::canonicalize(&dir)?)?;
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(test) = tests.get(index) else {
                            return Ok(());
                        };
                        let outcome = worker.test(test, variant)?;
                        if let Ok(mut outcomes) = outcomes.lock() {
                            outcomes[index] = outcome;
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok(())
    })?;
    fs::remove_dir_all(&root)?;
    outcomes
        .into_inner()
        .map_err(|_| anyhow::anyhow!("a worker panicked"))
}

/// Builds and runs one test at a time in a directory of its own.
struct Worker<'a> {
    args: &'a Args,
    dir: PathBuf,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        // The runner has no more to do; if it is gone already there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Worker<'a> {
    fn new(args: &'a Args, runner: &Path, dir: PathBuf) -> Result<Self> {
        let mut child = Command::new(runner)
            .arg(LIMIT.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the runner")?;
        let to = child.stdin.take().context("the runner's input")?;
        let from = BufReader::new(child.stdout.take().context("the runner's output")?);
        Ok(Worker {
            args,
            dir,
            child,
            to,
            from,
        })
    }

    fn test(&mut self, test: &Test, variant: usize) -> Result<(Outcome, String)> {
        let (_, level, march) = VARIANTS[variant];
        if !test.runs_at(level) {
            return Ok((Outcome::Skipped, String::new()));
        }
        let program = self.dir.join("a.out");
        if let Err(e) = fs::remove_file(&program) {
            ensure!(e.kind() == std::io::ErrorKind::NotFound, "a.out: {e}");
        }
        let built = Command::new(&self.args.cc)
            .args([level, "-static", "-o", "a.out"])
            .args(march)
            .args(&test.options)
            .args(&test.sources)
            .arg("-lm")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| self.args.cc.clone())?;
        if !built.success() || !program.exists() {
            return Ok((Outcome::Unbuilt, String::new()));
        }
        writeln!(self.to, "{}", program.display())?;
        let mut answer = String::new();
        ensure!(
            self.from.read_line(&mut answer)? > 0,
            "the runner ended while it ran {}",
            test.name
        );
        let answer = answer.trim();
        if answer == "0" {
            return Ok((Outcome::Pass, String::new()));
        }
        let reference = self.reference(&program)?;
        let outcome = if reference == answer {
            Outcome::Same
        } else {
            Outcome::Differs
        };
        Ok((outcome, format!("ours {answer}, reference {reference}")))
    }

    /// The same answer from the reference.
    fn reference(&self, program: &Path) -> Result<String> {
        use std::os::unix::process::ExitStatusExt;
        let mut child = Command::new(&self.args.qemu)
            .args(["-cpu", "max,pauth=off,sve=off"])
            .arg(program)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| self.args.qemu.clone())?;
        let until = Instant::now() + Duration::from_secs(LIMIT);
        loop {
            if let Some(status) = child.try_wait()? {
                let signal = status.signal().map(|s| 128 + s);
                let code = status.code().or(signal).unwrap_or(-1);
                return Ok(code.to_string());
            }
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                return Ok("timeout".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
