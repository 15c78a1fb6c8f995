//! `cargo xtask conformance`: a suite's programs, each in a machine of its own, against the published list.
//!
//! `docs/conformance/README.md` says where each suite comes from and how it is built; nothing of a suite is kept here.

mod list;
mod runner;
mod suite;

use anyhow::{Context, Result, bail, ensure};
use list::Published;
use runner::{Place, run_case};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};
use suite::{Suite, Verdict};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The suite: its rule finds the cases and reads their verdicts.
    #[arg(value_enum)]
    suite: Suite,
    /// Directory of the built programs.
    #[arg(long, value_name = "DIR")]
    programs: PathBuf,
    /// The tuxlet command.
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/tuxlet")]
    tuxlet: PathBuf,
    /// The image whose machines the programs run in.
    #[arg(long, default_value = "debian")]
    image: String,
    /// Run on this host instead of in machines: alone, or by a command such as `qemu-aarch64-static`.
    #[arg(long, value_name = "COMMAND", num_args = 0..=1, default_missing_value = "")]
    host: Option<String>,
    /// Cases at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Longest time of a case, in seconds.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Keep the output of each case that does not pass in this directory.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Compare with this list instead of docs/conformance/SUITE.txt.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Write the list anew; reasons of verdicts that stay are kept.
    #[arg(long)]
    bless: bool,
    /// Only cases whose names begin so.
    cases: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let programs = args
        .programs
        .canonicalize()
        .with_context(|| format!("no directory {}", args.programs.display()))?;
    let place = match &args.host {
        Some(command) => Place::Host(command.clone()),
        None => Place::Machine {
            tuxlet: args
                .tuxlet
                .canonicalize()
                .with_context(|| format!("no {}: build it or name it", args.tuxlet.display()))?,
            image: args.image.clone(),
        },
    };
    if let Some(logs) = &args.logs {
        fs::create_dir_all(logs)?;
    }
    let cases: Vec<_> = args
        .suite
        .cases(&programs, &place)?
        .into_iter()
        .filter(|c| {
            args.cases.is_empty() || args.cases.iter().any(|p| c.name.starts_with(p.as_str()))
        })
        .collect();
    ensure!(!cases.is_empty(), "no cases in {}", programs.display());
    let timeout = Duration::from_secs(args.timeout.unwrap_or_else(|| args.suite.timeout()));

    let queue = Mutex::new(cases.iter());
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        let jobs = if args.suite.runs_alone() {
            1
        } else {
            args.jobs
        };
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().ok().and_then(|mut q| q.next()) else {
                        return;
                    };
                    let verdicts = match run_case(&place, &programs, case, timeout) {
                        Ok(outcome) => {
                            let verdicts = args.suite.judge(case, &outcome);
                            if verdicts.iter().any(|(_, v)| *v != Verdict::Pass) {
                                keep_log(args.logs.as_deref(), &case.name, &outcome.output);
                            }
                            verdicts
                        }
                        Err(error) => {
                            eprintln!("{}: {error:#}", case.name);
                            vec![(case.name.clone(), Verdict::Broken)]
                        }
                    };
                    for (name, verdict) in &verdicts {
                        if *verdict != Verdict::Pass {
                            println!("{verdict} {name}");
                        }
                    }
                    if let Ok(mut results) = results.lock() {
                        results.extend(verdicts);
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_default();
    summarise(&results);
    if results.values().any(|v| *v == Verdict::Broken) {
        bail!("some cases could not be run");
    }

    let file = args
        .list
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("docs/conformance/{}.txt", args.suite.name())));
    if args.host.is_some() && args.list.is_none() {
        return Ok(());
    }
    let mut published = Published::read(&file)?;
    if args.bless {
        published.update(results, args.cases.is_empty());
        return published.write(&file, args.suite.name());
    }
    let (worse, better) = published.compare(&results);
    for (name, verdict) in &better {
        println!("{name} now passes; listed as {verdict}");
    }
    for (name, verdict) in &worse {
        println!("NEW FAILURE {name}: {verdict}");
    }
    ensure!(worse.is_empty(), "{} new failures", worse.len());
    Ok(())
}

fn summarise(results: &BTreeMap<String, Verdict>) {
    let mut counts = BTreeMap::<Verdict, usize>::new();
    for verdict in results.values() {
        *counts.entry(*verdict).or_default() += 1;
    }
    let text: Vec<_> = counts.iter().map(|(v, n)| format!("{n} {v}")).collect();
    println!("{} cases: {}", results.len(), text.join(", "));
}

fn keep_log(logs: Option<&Path>, name: &str, output: &[u8]) {
    let Some(logs) = logs else { return };
    let file = logs.join(format!("{}.log", name.replace('/', ".")));
    if let Err(error) = fs::write(&file, output) {
        eprintln!("{}: {error}", file.display());
    }
}
