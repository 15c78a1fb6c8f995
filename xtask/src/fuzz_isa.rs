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
    /// Compare the engine with itself only.
    #[arg(long)]
    no_qemu: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--release", "--package", "tuxlet-cpu"]);
    command.args(["--example", "fuzz_isa", "--"]);
    command.args(["--minutes", &args.minutes.to_string()]);
    command.args(["--seed", &args.seed.to_string()]);
    if let Some(batch) = args.batch {
        command.args(["--batch", &batch.to_string()]);
    }
    if !args.no_qemu {
        command.args(["--qemu", &args.qemu]);
    }
    let status = command.status().context("cargo run")?;
    ensure!(status.success(), "the engine and a reference differ");
    Ok(())
}
