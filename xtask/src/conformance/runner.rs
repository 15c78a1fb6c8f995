//! One case: a process of ours with a time limit, whose output is kept.

use super::suite::Case;
use anyhow::{Context, Result};
use std::{
    io::Read as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Where the programs' directory is in a machine.
const GUEST_DIR: &str = "/suite";
/// Output that is kept of a case.
const OUTPUT_LIMIT: u64 = 16 << 20;

/// Where cases run.
pub(super) enum Place {
    /// On this host, by a command in front of the program's path, or alone if it is empty.
    Host(String),
    /// In a machine each.
    Machine {
        /// The command.
        tuxlet: PathBuf,
        /// The image.
        image: String,
    },
}

/// How a case ended.
pub(super) struct Outcome {
    /// Exit status; 128 and the signal's number for one that a signal ended; `None` for one that took too long.
    pub(super) status: Option<i32>,
    /// Standard output and standard error, as they came.
    pub(super) output: Vec<u8>,
}

impl Outcome {
    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.output)
    }
}

static SERIAL: AtomicU32 = AtomicU32::new(0);

pub(super) fn run_case(
    place: &Place,
    programs: &Path,
    case: &Case,
    timeout: Duration,
) -> Result<Outcome> {
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    match place {
        Place::Host(prefix) => {
            let scratch =
                std::env::temp_dir().join(format!("conformance-{}-{serial}", std::process::id()));
            std::fs::create_dir_all(&scratch)?;
            let mut words = prefix.split_whitespace();
            let program = programs.join(&case.program);
            let mut command = match words.next() {
                Some(first) => {
                    let mut command = Command::new(first);
                    command.args(words).arg(program);
                    command
                }
                None => Command::new(program),
            };
            let dir = case.dir.as_ref().map(|d| programs.join(d));
            command
                .args(&case.args)
                .envs(case.env.iter().copied())
                .current_dir(dir.as_deref().unwrap_or(&scratch));
            let outcome = limited(command, timeout);
            let _ = std::fs::remove_dir_all(&scratch);
            outcome
        }
        Place::Machine { tuxlet, image } => {
            let name = format!("conformance-{}-{serial}", std::process::id());
            let mut command = Command::new(tuxlet);
            let dir = case
                .dir
                .as_ref()
                .map_or_else(|| "/tmp".to_owned(), |d| format!("{GUEST_DIR}/{d}"));
            command.args(["run", "--rm", "--name", &name, "--workdir", &dir]);
            command.arg("--volume");
            command.arg(format!("{}:{GUEST_DIR}:ro", programs.display()));
            if let Some(user) = case.user {
                command.args(["--user", user]);
            }
            for (name, value) in &case.env {
                command.args(["--env", &format!("{name}={value}")]);
            }
            // The program is neither process 1 nor in its process group: kill(2) treats both differently.
            let script = format!("{} setsid \"$@\"; exit $?", case.setup);
            command.args([image, "--", "/bin/sh", "-c", &script, "sh"]);
            command.arg(Path::new(GUEST_DIR).join(&case.program));
            command.args(&case.args);
            let outcome = limited(command, timeout)?;
            if outcome.status.is_none() {
                // It was killed and could not tidy up.
                let mut remove = Command::new(tuxlet);
                remove.args(["rm", &name]).stderr(Stdio::null());
                let _ = remove.stdout(Stdio::null()).status();
            }
            Ok(outcome)
        }
    }
}

/// Runs a command in a process group of its own, which is killed at the end of the time.
fn limited(mut command: Command, timeout: Duration) -> Result<Outcome> {
    let (mut reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    // The command holds the pipe's writing end; without it the reader would never see the end.
    drop(command);
    let text = std::thread::spawn(move || {
        let mut output = Vec::new();
        let _ = reader.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut output);
        // Whoever still writes must not block.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
        output
    });
    let group = i32::try_from(child.id())?;
    let end = Instant::now() + timeout;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() >= end {
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // Also for one that ended: whoever it left behind holds the pipe.
    // SAFETY: kill(2) has no memory effects; the group is that of a child of ours.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    if status.is_none() {
        child.wait()?;
    }
    let output = text.join().unwrap_or_default();
    let code = status.map(|s| s.code().unwrap_or_else(|| 128 + s.signal().unwrap_or(0)));
    Ok(Outcome {
        status: code,
        output,
    })
}
