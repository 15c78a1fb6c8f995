//! Running a program once and reading what it cost.

use anyhow::{Context, Result};
use std::{
    io::Read,
    mem::MaybeUninit,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// User and system time of the process tree in milliseconds.
    pub(super) cpu_ms: f64,
    /// Elapsed time in milliseconds.
    pub(super) wall_ms: f64,
}

impl Sample {
    /// The sample in the middle, by CPU time.
    pub(super) fn median(mut samples: Vec<Self>) -> Option<Self> {
        samples.sort_by(|a, b| a.cpu_ms.total_cmp(&b.cpu_ms));
        samples.get(samples.len() / 2).copied()
    }
}

/// Runs a command to its end: its cost, its standard output and its status.
pub(super) fn run_once(mut command: Command) -> Result<(Sample, Vec<u8>, ExitStatus)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    let mut output = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut output)?;
    }
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let pid = i32::try_from(child.id())?;
    // SAFETY: the child is ours and has not been waited for; both pointers are to locals of the right types.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
    anyhow::ensure!(waited == pid, "wait4: {}", std::io::Error::last_os_error());
    let wall_ms = started.elapsed().as_secs_f64() * 1000.0;
    // SAFETY: wait4 has filled it.
    let usage = unsafe { usage.assume_init() };
    let ms = |t: libc::timeval| t.tv_sec as f64 * 1000.0 + t.tv_usec as f64 / 1000.0;
    let sample = Sample {
        cpu_ms: ms(usage.ru_utime) + ms(usage.ru_stime),
        wall_ms,
    };
    Ok((sample, output, ExitStatus::from_raw(status)))
}
