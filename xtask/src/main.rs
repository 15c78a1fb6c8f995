//! The project's task runner: `cargo xtask <task>`.

use clap::{Parser, Subcommand};

mod apple;
mod bench;
mod check_asm;
mod conformance;
mod coverage;
mod crypto;
mod decoders;
mod floats;
mod fuzz_isa;
mod gui;
mod isa;
mod kill;
mod network;
mod shims;
mod tidy;
mod torture;
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
    /// Build the XCFramework of the C interface for iOS and macOS, and check what it imports.
    Apple(apple::Args),
    /// Compare with qemu-aarch64 and native in interleaved runs.
    Bench(bench::Args),
    /// Prove that the release build's hot handlers are tail calls without frames.
    CheckAsm(check_asm::Args),
    /// Run a conformance suite's programs in machines and compare with the published list.
    Conformance(conformance::Args),
    /// Run language runtimes and tools of the distribution and of registries in machines.
    Coverage(coverage::Args),
    /// Compare OpenSSL in a machine with OpenSSL on the host.
    Crypto(crypto::Args),
    /// Compare the A64 decoder with bad64 and Capstone.
    Decoders(decoders::Args),
    /// Compare floating-point instructions with an independent model of IEEE 754.
    Floats(floats::Args),
    /// Compare random pieces of code in the interpreter, optimised and not, and in qemu.
    FuzzIsa(fuzz_isa::Args),
    /// Kill a machine at random points and look for what it was promised.
    Kill(kill::Args),
    /// See and use an X server, a window manager and a terminal in a machine over VNC.
    Gui(gui::Args),
    /// Run real network programs on loopback in machines.
    Network(network::Args),
    /// Check the crate graph, licences, where unsafe code is, and file lengths.
    Tidy,
    /// Run GCC's own run tests in Tuxlet.
    Torture(torture::Args),
    /// Compare random instructions in the interpreter with qemu-aarch64 or native.
    Vectors(vectors::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Isa(args) => isa::run(&args),
        Task::Apple(args) => apple::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::CheckAsm(args) => check_asm::run(&args),
        Task::Conformance(args) => conformance::run(&args),
        Task::Coverage(args) => coverage::run(&args),
        Task::Crypto(args) => crypto::run(&args),
        Task::Decoders(args) => decoders::run(&args),
        Task::Floats(args) => floats::run(&args),
        Task::FuzzIsa(args) => fuzz_isa::run(&args),
        Task::Kill(args) => kill::run(&args),
        Task::Gui(args) => gui::run(&args),
        Task::Network(args) => network::run(&args),
        Task::Tidy => tidy::run(),
        Task::Torture(args) => torture::run(&args),
        Task::Vectors(args) => vectors::run(&args),
    }
}
