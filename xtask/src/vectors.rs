//! `cargo xtask vectors`: random instructions in the interpreter and in a reference.

use std::process::Command;

use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The qemu-aarch64 to compare with.
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-aarch64-static")]
    qemu: String,
    /// Run the reference natively, on an AArch64 Linux host.
    #[arg(long)]
    native: bool,
    /// Instances per row.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Random sequences of instructions instead of rows.
    #[arg(long, value_name = "NUMBER")]
    sequences: Option<u64>,
    /// Run every instruction alone, without specialised handlers.
    #[arg(long)]
    plain: bool,
    /// The random seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these rows; a name may end in `*`.
    rows: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "run",
        "--release",
        "--package",
        "tuxlet-cpu",
        "--example",
        "vectors",
        "--",
    ]);
    command.args([
        "--count",
        &args.count.to_string(),
        "--seed",
        &args.seed.to_string(),
    ]);
    if !args.native {
        command.args(["--qemu", &args.qemu]);
    }
    if let Some(sequences) = args.sequences {
        command.args(["--sequences", &sequences.to_string()]);
    }
    if args.plain {
        command.arg("--plain");
    }
    let status = command.args(&args.rows).status().context("cargo run")?;
    ensure!(status.success(), "the interpreter and the reference differ");
    Ok(())
}
