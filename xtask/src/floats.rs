//! `cargo xtask floats`: floating-point instructions against an independent model, at length.

use std::process::Command;

use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Random cases for each instruction, format and FPCR value, besides all corner cases.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// The random seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["test", "--release", "--package", "tuxlet-cpu"])
        .args(["--test", "floats", "--", "--nocapture"])
        .env("TUXLET_FLOATS", args.count.to_string())
        .env("TUXLET_FLOATS_SEED", args.seed.to_string())
        .status()
        .context("cargo test")?;
    ensure!(status.success(), "the interpreter and the model differ");
    Ok(())
}
