//! `cargo xtask kill`: kill -9 of a machine at random points of a mixed workload; what the guest was promised has to be there when the
//! machine is started again.

use anyhow::{Context, Result, bail, ensure};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tuxlet_test_support::kill::{Points, Report, rounds};

/// What runs in the machine.
const WORKLOAD: &str = "tests/kill/mixed.py";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tuxlet command.
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/tuxlet")]
    tuxlet: PathBuf,
    /// A stopped machine with python3 and git, which is cloned.
    #[arg(long, default_value = "network-base")]
    machine: String,
    /// Kills.
    #[arg(long, default_value_t = 1000)]
    rounds: u64,
    /// Another seed, other points.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The latest point, in milliseconds from when the workload has looked at what it found.
    #[arg(long, default_value_t = 700)]
    longest: u64,
    /// Look at the store itself (`tuxlet fsck`) every so many kills.
    #[arg(long, default_value_t = 10)]
    fsck: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let tuxlet = args
        .tuxlet
        .canonicalize()
        .with_context(|| format!("no {}: build it or name it", args.tuxlet.display()))?;
    let name = format!("kill-{}-{}", args.seed, std::process::id());
    let quiet = |words: &[&str]| -> Result<bool> {
        let mut command = Command::new(&tuxlet);
        command.args(words).stdin(Stdio::null());
        Ok(command.output()?.status.success())
    };
    ensure!(
        quiet(&["clone", &args.machine, &name])?,
        "cannot clone {}",
        args.machine
    );
    ensure!(
        quiet(&["cp", WORKLOAD, &format!("{name}:/mixed.py")])?,
        "cannot copy {WORKLOAD}"
    );
    let start = Instant::now();
    // In pieces, so that a long run says how far it is.
    let mut points = Points {
        first: 0,
        rounds: 0,
        seed: args.seed,
        longest: Duration::from_millis(args.longest),
    };
    let mut report = Report::default();
    while report.kills < args.rounds {
        points.first = report.kills;
        points.rounds = (args.rounds - report.kills).min(args.fsck.max(1));
        let command = |round: u64| {
            let mut command = Command::new(&tuxlet);
            command.args(["exec", &name, "python3", "/mixed.py", &round.to_string()]);
            command
        };
        if let Err(what) = rounds(&points, &mut report, command, |_| Ok(())) {
            bail!("{what}; the machine {name} is left to look at");
        }
        // Opening it deals with what the kill left half done; the rest would be wrong.
        ensure!(
            quiet(&["exec", &name, "true"])? && quiet(&["fsck", &name])?,
            "round {}: tuxlet fsck finds something in the machine {name}",
            points.first + points.rounds - 1
        );
        println!("{} s, {report}", start.elapsed().as_secs());
    }
    println!("nothing was lost");
    ensure!(quiet(&["rm", &name])?, "cannot remove {name}");
    Ok(())
}
