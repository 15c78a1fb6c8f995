//! The project's task runner: `cargo xtask <task>`.

use clap::{Parser, Subcommand};

mod bench;
mod check_asm;
mod conformance;
mod isa;
mod tidy;
mod vectors;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's task runner.")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Generate the A64 tables of crates/a64 from crates/a64/isa/*.isa.
    Isa(isa::Args),
    /// Compare with qemu-aarch64 and native in interleaved runs.
    Bench(bench::Args),
    /// Prove that the release build's hot handlers are tail calls without frames.
    CheckAsm(check_asm::Args),
    /// Run a conformance suite's programs in machines and compare with the published list.
    Conformance(conformance::Args),
    /// Check the crate graph, licences, where unsafe code is, and file lengths.
    Tidy,
    /// Compare random instructions in the interpreter with qemu-aarch64 or native.
    Vectors(vectors::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Isa(args) => isa::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::CheckAsm(args) => check_asm::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Tidy => tidy::run(),
        Task::Vectors(args) => vectors::run(&args),
    }
}
