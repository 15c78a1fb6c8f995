//! `cargo xtask bench`: Tuxlet against qemu-aarch64 and native, in interleaved runs, as a Markdown table.
//!
//! Figures are user and system time of the whole process tree, start-up included: the median of the runs. Ratios are
//! what counts; absolute times depend on the machine and on what else it does.

mod measure;

use anyhow::{Context, Result, ensure};
use measure::{Sample, run_once};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Benchmarks of the guest binary and whether they are computation (for the geometric mean).
const PROGRAMS: &[(&str, bool)] = &[
    ("start", false),
    ("fib", true),
    ("sieve", true),
    ("sha256", true),
    ("matmul", true),
    ("sort", true),
    ("dispatch", true),
    ("bytes", true),
    ("nbody", true),
    ("getppid", false),
    ("readwrite", false),
    ("pipe", false),
    ("files", false),
    ("threads", false),
    ("fork", false),
    ("forkexec", false),
];

/// Command lines of a distribution, where an image of it is installed.
const COMMANDS: &[(&str, &[&str])] = &[
    ("`true`", &["/usr/bin/true"]),
    ("`sh -c :`", &["/bin/sh", "-c", ":"]),
    (
        "shell loop 100k",
        &[
            "/bin/sh",
            "-c",
            "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done",
        ],
    ),
    ("`python3 -c pass`", &["/usr/bin/python3", "-c", "pass"]),
];

const GUEST: &str = "aarch64-unknown-linux-musl";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Counted runs of each program and runner.
    #[arg(short = 'n', long, default_value_t = 5)]
    runs: usize,
    /// Only programs whose name contains this.
    #[arg(default_value = "")]
    filter: String,
    /// A directory with a Debian root file system, for start-up times of its programs.
    #[arg(long)]
    rootfs: Option<PathBuf>,
    /// Where the table goes beside the terminal.
    #[arg(short, long, default_value = "target/bench.md")]
    output: PathBuf,
}

/// Makes the command that runs a program with its arguments.
type MakeCommand = Box<dyn Fn(&[&str]) -> Command>;

/// One way to run a program.
struct Runner {
    name: &'static str,
    command: MakeCommand,
}

/// Builds, measures, prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let guest_dir = target.join("bench-guest");
    cargo(&["build", "--release", "--bin", "tuxlet"], None)?;
    let manifest = "benches/guest/Cargo.toml";
    let linker = format!("target.{GUEST}.linker=\"rust-lld\"");
    let base = ["build", "--release", "--manifest-path", manifest];
    cargo(
        &[&base[..], &["--target", GUEST, "--config", &linker]].concat(),
        Some(&guest_dir),
    )?;
    cargo(&base, Some(&guest_dir))?;

    let root = guest_dir.join("root");
    fs::create_dir_all(root.join("tmp"))?;
    let guest_binary = guest_dir.join(GUEST).join("release/bench-guest");
    fs::copy(&guest_binary, root.join("bench"))?;
    let tuxlet = fs::canonicalize(target.join("release/tuxlet"))?;
    let host_binary = fs::canonicalize(guest_dir.join("release/bench-guest"))?;
    let guest_binary = fs::canonicalize(guest_binary)?;

    let mut runners = vec![in_tuxlet(
        tuxlet.clone(),
        root.clone(),
        vec!["/bench".into()],
    )];
    let qemu = find_qemu();
    match &qemu {
        Some(qemu) => runners.push(in_qemu(
            qemu.clone(),
            None,
            vec![guest_binary.display().to_string()],
        )),
        None => println!("no qemu-aarch64 on PATH: its column is missing"),
    }
    let native = host_binary.clone();
    runners.push(Runner {
        name: "native",
        command: Box::new(move |rest| {
            let mut command = Command::new(&native);
            command.args(rest);
            command
        }),
    });

    let mut table = Table::default();
    let own_files = "files in an image";
    if own_files.contains(&args.filter) {
        // A machine's own file system instead of a directory of the host: the others can only use the host's.
        runners[0].command = in_image(&tuxlet, &guest_dir)?;
        let medians = measure_all(&runners, &["files"], args.runs)?;
        table.row(own_files, false, &medians, qemu.is_some());
        runners[0] = in_tuxlet(tuxlet.clone(), root.clone(), vec!["/bench".into()]);
    }
    for (name, compute) in PROGRAMS.iter().filter(|(n, _)| n.contains(&args.filter)) {
        let medians = measure_all(&runners, &[name], args.runs)?;
        table.row(name, *compute, &medians, qemu.is_some());
    }
    if let Some(rootfs) = &args.rootfs {
        let rootfs = fs::canonicalize(rootfs).with_context(|| format!("{}", rootfs.display()))?;
        let mut runners = vec![in_tuxlet(tuxlet, rootfs.clone(), Vec::new())];
        if let Some(qemu) = &qemu {
            runners.push(in_qemu(qemu.clone(), Some(rootfs.clone()), Vec::new()));
        }
        for (name, words) in COMMANDS.iter().filter(|(n, _)| n.contains(&args.filter)) {
            if !rootfs.join(words[0].trim_start_matches('/')).exists() {
                println!("{name}: not in {}", rootfs.display());
                continue;
            }
            let mut medians = measure_all(&runners, words, args.runs)?;
            medians.resize(if qemu.is_some() { 3 } else { 2 }, None);
            table.row(name, false, &medians, qemu.is_some());
        }
    }
    let text = table.finish(qemu.is_some());
    println!("{text}");
    if let Some(dir) = args.output.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&args.output, text)?;
    println!("written to {}", args.output.display());
    Ok(())
}

fn cargo(args: &[&str], target: Option<&Path>) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    if let Some(dir) = target {
        command.arg("--target-dir").arg(dir);
    }
    ensure!(
        command.status()?.success(),
        "cargo {} failed",
        args.join(" ")
    );
    Ok(())
}

fn find_qemu() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidates = ["qemu-aarch64", "qemu-aarch64-static"];
    std::env::split_paths(&path)
        .flat_map(|d| candidates.map(|c| d.join(c)))
        .find(|p| p.is_file())
}

fn in_tuxlet(binary: PathBuf, root: PathBuf, prefix: Vec<String>) -> Runner {
    Runner {
        name: "tuxlet",
        command: Box::new(move |rest| {
            let mut command = Command::new(&binary);
            command
                .args(["run", "--rootfs"])
                .arg(&root)
                .arg("--")
                .args(&prefix)
                .args(rest);
            command
        }),
    }
}

/// Makes an image of the benchmarks' root in a home of its own and runs them in machines of that.
fn in_image(tuxlet: &Path, guest_dir: &Path) -> Result<MakeCommand> {
    let (archive, home) = (guest_dir.join("root.tar"), guest_dir.join("home"));
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(&archive).arg("-C").arg(guest_dir);
    tar.args(["--exclude=root/tmp/*", "root"]);
    ensure!(tar.status()?.success(), "tar failed");
    let mut import = Command::new(tuxlet);
    import.env("TUXLET_HOME", &home).arg("import");
    import.arg(&archive).arg("bench");
    ensure!(import.status()?.success(), "import failed");
    let tuxlet = tuxlet.to_owned();
    Ok(Box::new(move |rest| {
        let mut command = Command::new(&tuxlet);
        command.env("TUXLET_HOME", &home);
        command
            .args(["run", "--rm", "bench", "--", "/root/bench"])
            .args(rest);
        command
    }))
}

fn in_qemu(qemu: PathBuf, root: Option<PathBuf>, prefix: Vec<String>) -> Runner {
    Runner {
        name: "qemu",
        command: Box::new(move |rest| {
            let mut command = Command::new(&qemu);
            // Without pointer authentication, which qemu computes at great cost and Tuxlet does not advertise.
            command.env("QEMU_CPU", "max,pauth=off");
            // What binfmt_misc does on hosts that are set up for it: a program that the guest starts runs in qemu too.
            command.env("BENCH_LAUNCHER", &qemu);
            match &root {
                Some(root) => {
                    let program = root.join(rest[0].trim_start_matches('/'));
                    command.arg("-L").arg(root).arg(program).args(&rest[1..]);
                }
                None => {
                    command.args(&prefix).args(rest);
                }
            }
            command
        }),
    }
}

/// Medians of each runner, run in turn so that a change of the machine's speed meets all of them. `None` for one
/// that cannot run the program.
fn measure_all(runners: &[Runner], words: &[&str], runs: usize) -> Result<Vec<Option<Sample>>> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); runners.len()];
    let mut failed = vec![false; runners.len()];
    let mut reference: Option<Vec<u8>> = None;
    for round in 0..=runs {
        for (i, runner) in runners.iter().enumerate() {
            if failed[i] {
                continue;
            }
            let (sample, output, status) = run_once((runner.command)(words))?;
            if !status.success() {
                println!("{}: {} fails: {status}", words.join(" "), runner.name);
                failed[i] = true;
                continue;
            }
            match &reference {
                Some(expected) => ensure!(
                    *expected == output,
                    "{}: {} prints something else",
                    words.join(" "),
                    runner.name
                ),
                None => reference = Some(output),
            }
            // The first round warms caches.
            if round > 0 {
                samples[i].push(sample);
            }
        }
    }
    Ok(samples
        .into_iter()
        .zip(failed)
        .map(|(s, failed)| if failed { None } else { Sample::median(s) })
        .collect())
}

/// The rows and the logarithms for the geometric mean.
#[derive(Default)]
struct Table {
    rows: String,
    logs: Vec<f64>,
}

impl Table {
    fn row(&mut self, name: &str, compute: bool, medians: &[Option<Sample>], has_qemu: bool) {
        let show = |s: Option<Sample>| s.map_or_else(|| "–".into(), |s| format!("{:.1}", s.cpu_ms));
        let tuxlet = medians[0];
        let qemu = if has_qemu { medians[1] } else { None };
        let native = medians.last().copied().flatten();
        let ratio = |of: Option<Sample>| match (tuxlet, of) {
            (Some(a), Some(b)) if b.cpu_ms > 0.05 => Some(a.cpu_ms / b.cpu_ms),
            _ => None,
        };
        let to_qemu = ratio(qemu);
        if compute && let Some(r) = to_qemu {
            self.logs.push(r.ln());
        }
        let show_ratio = |r: Option<f64>| r.map_or_else(|| "–".into(), |r| format!("{r:.2}"));
        let _ = writeln!(
            self.rows,
            "| {name} | {} | {} | {} | {} | {} | {} |",
            show(tuxlet),
            show(qemu),
            show(native),
            show_ratio(to_qemu),
            show_ratio(ratio(native)),
            tuxlet.map_or_else(|| "–".into(), |s| format!("{:.1}", s.wall_ms)),
        );
    }

    fn finish(self, has_qemu: bool) -> String {
        let mut text = String::from(
            "CPU time in ms (user and system, whole process tree, start-up included), medians of interleaved runs.\n\n\
             | benchmark | tuxlet | qemu | native | tuxlet/qemu | tuxlet/native | tuxlet wall |\n\
             |---|---|---|---|---|---|---|\n",
        );
        text.push_str(&self.rows);
        if has_qemu && !self.logs.is_empty() {
            let mean = (self.logs.iter().sum::<f64>() / self.logs.len() as f64).exp();
            let _ = writeln!(
                text,
                "\nGeometric mean of tuxlet/qemu over {} kernels: {mean:.2}",
                self.logs.len()
            );
        }
        text
    }
}
