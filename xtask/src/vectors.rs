//! `cargo xtask vectors`: random instructions in the interpreter and in a reference.

use std::process::Command;

use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The qemu-aarch64 to compare with.
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-aarch64-static")]
    qemu: String,
    /// Compare with the host itself, an AArch64 Linux; PROGRAM runs the vectors' programs where the
    /// kernel cannot.
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true)]
    native: Option<Option<String>>,
    /// Enter the outcome in crates/a64/isa/vectors.tsv, from which `cargo xtask isa` makes the coverage page.
    #[arg(long)]
    record: bool,
    /// Rows at a time (default: one per processor).
    #[arg(long)]
    jobs: Option<u64>,
    /// Instances per row.
    #[arg(long, default_value_t = 10_000)]
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
    match &args.native {
        None => command.args(["--qemu", &args.qemu]),
        Some(None) => command.arg("--native"),
        Some(Some(program)) => command.args(["--native-through", program]),
    };
    if let Some(jobs) = args.jobs {
        command.args(["--jobs", &jobs.to_string()]);
    }
    if args.record {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/a64/isa/vectors.tsv");
        command.args(["--record", file]);
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
