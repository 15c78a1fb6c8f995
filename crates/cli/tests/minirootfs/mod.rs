//! An Alpine image for tests: imported once per test binary through the real command.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// Generous: tests run unoptimised and on loaded machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// The tar archive: `TUXLET_ALPINE`, or beside the workspace.
fn archive() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("TUXLET_ALPINE") {
        return Some(path.into());
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    std::fs::read_dir(data)
        .ok()?
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|p| {
            p.file_name().and_then(|n| n.to_str()).is_some_and(|n| {
                n.starts_with("alpine-minirootfs-") && n.ends_with("-aarch64.tar.gz")
            })
        })
}

/// A `TUXLET_HOME` with the image `alpine`; `None`, said loudly, where there is no archive.
pub(crate) fn home() -> Option<&'static Path> {
    static HOME: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let home = HOME.get_or_init(|| {
        let archive = archive()?;
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut import = tuxlet(home.path());
        import.args(["import", "-q"]).arg(&archive).arg("alpine");
        let out = output(&mut import, b"");
        assert!(
            out.status.success(),
            "import: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Some(home)
    });
    if home.is_none() {
        eprintln!(
            "SKIPPED: no Alpine. Set TUXLET_ALPINE to the path of an alpine-minirootfs-*-aarch64.tar.gz."
        );
    }
    home.as_ref().map(tempfile::TempDir::path)
}

/// The command, with that home.
pub(crate) fn tuxlet(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tuxlet"));
    command.env("TUXLET_HOME", home);
    command
}

/// Runs a command with that standard input to its end.
pub(crate) fn output(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tuxlet starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A command may end without having read all.
    thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let reader = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut all = Vec::new();
            // What was read before an error counts.
            let _ = from.read_to_end(&mut all);
            all
        })
    };
    let stdout = reader(Box::new(child.stdout.take().expect("a pipe")));
    let stderr = reader(Box::new(child.stderr.take().expect("a pipe")));
    let end = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if Instant::now() > end {
            child.kill().expect("a child");
            panic!(
                "no end: {command:?}\n{}",
                String::from_utf8_lossy(&stdout.join().expect("the reader"))
            );
        }
        thread::sleep(Duration::from_millis(10));
    };
    Output {
        status,
        stdout: stdout.join().expect("the reader"),
        stderr: stderr.join().expect("the reader"),
    }
}
