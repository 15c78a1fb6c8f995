//! A sandbox for tasks of an agent: each has a directory of its own at `/workspace`, and limits.
//!
//!     cargo run -p tuxlet --example agent_sandbox -- ROOTFS 'echo hello > /workspace/result'

use std::{process::ExitCode, time::Duration};
use tuxlet::{Command, Errno, FileChangeKind, Limits, Machine, Root};

/// Threads that all tasks together may have.
const MOST_THREADS: usize = 64;

/// A machine for tasks.
pub(crate) struct Sandbox(Machine);

/// What came of a task.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit_code: u8,
    pub(crate) output: String,
    pub(crate) timed_out: bool,
    /// Files that it has written, by their paths in the machine.
    pub(crate) written: Vec<String>,
}

impl Sandbox {
    pub(crate) fn new(root: Root) -> tuxlet::Result<Self> {
        let machine = Machine::builder()
            .root(root)
            .memory(512 << 20)
            // A fork bomb hits its head here.
            .fork_guard(|fork| {
                if fork.tasks < MOST_THREADS {
                    Ok(())
                } else {
                    Err(Errno::EAGAIN)
                }
            })
            // The same path leads each task to its own directory.
            .path_hook("/workspace", |task| {
                (task != 0).then(|| format!("/var/tasks/{task}"))
            })
            .build()?;
        Ok(Self(machine))
    }

    /// Runs a shell line as task number `task`, which is not 0.
    pub(crate) fn run(&self, task: u64, line: &str) -> tuxlet::Result<Outcome> {
        let directory = format!("/var/tasks/{task}");
        if self.0.metadata(&directory).is_err() {
            self.0.create_dir(&directory)?;
        }
        let changes = self.0.track_changes(10_000);
        let command = Command::new("/bin/sh").arg("-c").arg(line);
        let command = command.context(task).cwd(&directory);
        let limits = Limits {
            timeout: Some(Duration::from_secs(60)),
            bytes: 64 << 10,
            merged: true,
        };
        let output = self.0.output(command, b"", &limits)?;
        let mut written = Vec::new();
        while let Some(change) = changes.try_next() {
            // Other tasks may run at the same time.
            if change.context == task && change.kind == FileChangeKind::Written {
                written.push(change.path);
            }
        }
        Ok(Outcome {
            exit_code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            timed_out: output.timed_out,
            written,
        })
    }

    /// A file that a task has left.
    pub(crate) fn result(&self, task: u64, name: &str) -> tuxlet::Result<Vec<u8>> {
        self.0.read_file(&format!("/var/tasks/{task}/{name}"))
    }
}

#[allow(dead_code, reason = "the test has its own")]
fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(root), Some(line)) = (args.next(), args.next()) else {
        return Err("usage: agent_sandbox ROOTFS LINE".into());
    };
    let sandbox = Sandbox::new(Root::HostDir(root.into()))?;
    let outcome = sandbox.run(1, &line.to_string_lossy())?;
    print!("{}", outcome.output);
    if let Ok(result) = sandbox.result(1, "result") {
        print!("{}", String::from_utf8_lossy(&result));
    }
    if outcome.timed_out {
        eprintln!("it took too long");
    }
    for path in &outcome.written {
        eprintln!("written: {path}");
    }
    Ok(ExitCode::from(outcome.exit_code))
}
