//! `cargo xtask fuzz-isa`: random pieces of code in the optimised engine, in the engine without
//! optimisations and in qemu.

use std::process::Command;

use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to go on.
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// The random seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this program, as the report of a failure names it.
    #[arg(long, value_name = "NUMBER")]
    batch: Option<u64>,
    /// The qemu-aarch64 to compare with.
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-aarch64-static")]
    qemu: String,
    /// Programs at a time, each with a seed of its own (default: one per processor).
    #[arg(short, long)]
    jobs: Option<u64>,
    /// Compare the engine with itself only.
    #[arg(long)]
    no_qemu: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let jobs = match args.batch {
        Some(_) => 1,
        None => args.jobs.unwrap_or(cores).max(1),
    };
    let example = [
        "--release",
        "--package",
        "tuxlet-cpu",
        "--example",
        "fuzz_isa",
    ];
    let built = Command::new(env!("CARGO"))
        .arg("build")
        .args(example)
        .status();
    ensure!(
        built.context("cargo build")?.success(),
        "the fuzzer does not build"
    );
    let run = |seed: u64| {
        let mut command = Command::new(env!("CARGO"));
        command.arg("run").arg("--quiet").args(example).arg("--");
        command.args(["--minutes", &args.minutes.to_string()]);
        command.args(["--seed", &seed.to_string()]);
        if let Some(batch) = args.batch {
            command.args(["--batch", &batch.to_string()]);
        }
        if !args.no_qemu {
            command.args(["--qemu", &args.qemu]);
        }
        command.spawn().context("cargo run")
    };
    let seeds = (0..jobs).map(|job| args.seed + job);
    let children: Vec<_> = seeds
        .map(|seed| run(seed).map(|c| (seed, c)))
        .collect::<Result<_>>()?;
    let mut failed = Vec::new();
    for (seed, mut child) in children {
        if !child.wait()?.success() {
            failed.push(seed);
        }
    }
    ensure!(
        failed.is_empty(),
        "the engine and a reference differ with the seeds {failed:?}"
    );
    Ok(())
}
