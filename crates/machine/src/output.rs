//! Running a program to its end and keeping what it prints.

use crate::{Command, ExitStatus, Machine, PipeReader, Process, Result, Stdio};
use std::{
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};
use tuxlet_uapi::Signal;

/// Bytes read in one step.
const CHUNK: usize = 64 << 10;

/// What [`Machine::output`] waits for and keeps.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The program and what it started in its process group are killed after this time.
    pub timeout: Option<Duration>,
    /// Bytes kept of each stream; what comes after them is read and dropped.
    pub bytes: usize,
    /// The standard error output goes where the standard output goes, in the order in which it was written.
    pub merged: bool,
}

impl Default for Limits {
    /// No time limit, 16 MiB, two streams.
    fn default() -> Self {
        Self {
            timeout: None,
            bytes: 16 << 20,
            merged: false,
        }
    }
}

/// How a program ended and what it printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Process id that it had.
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error output.
    pub stderr: Vec<u8>,
    /// It was killed because its time was over.
    pub timed_out: bool,
    /// It printed more than was kept.
    pub truncated: bool,
    /// Time from start to end.
    pub duration: Duration,
}

/// The beginning of a stream.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Kept {
    /// Reads a stream to its end.
    fn read(mut pipe: PipeReader, limit: usize) -> Self {
        let mut kept = Self::default();
        let mut chunk = vec![0; CHUNK];
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            let room = limit - kept.bytes.len();
            kept.truncated |= n > room;
            kept.bytes.extend_from_slice(&chunk[..n.min(room)]);
        }
        kept
    }
}

impl Machine {
    /// Runs a program with `input` as its standard input and keeps what it prints until it ends; the command's own streams do not
    /// count. What programs in the background print after that is not waited for. Errors are those of [`Machine::exec`].
    pub fn output(&self, command: Command, input: &[u8], limits: &Limits) -> Result<Output> {
        let start = Instant::now();
        let stdin = if input.is_empty() {
            Stdio::Null
        } else {
            Stdio::Pipe
        };
        let stderr = if limits.merged {
            Stdio::Stdout
        } else {
            Stdio::Pipe
        };
        let command = command.stdin(stdin).stdout(Stdio::Pipe).stderr(stderr);
        let process = self.exec(command)?;
        if let Some(mut pipe) = process.take_stdin() {
            let input = input.to_vec();
            // Not waited for: what the program leaves behind in the machine may have the pipe open and not read it. That the pipe
            // breaks because nobody wants all of the input is no news.
            thread::spawn(move || drop(pipe.write_all(&input)));
        }
        thread::scope(|threads| {
            let streams = [process.take_stdout(), process.take_stderr()].map(|pipe| {
                let pipe = pipe?;
                let end = pipe.clone();
                Some((end, threads.spawn(|| Kept::read(pipe, limits.bytes))))
            });
            let (status, timed_out) = wait(&process, limits.timeout);
            let [out, err] = streams.map(|stream| {
                let Some((end, reader)) = stream else {
                    return Kept::default();
                };
                end.finish();
                // It does nothing that panics.
                reader.join().unwrap_or_default()
            });
            Ok(Output {
                pid: process.pid(),
                status,
                stdout: out.bytes,
                stderr: err.bytes,
                timed_out,
                truncated: out.truncated || err.truncated,
                duration: start.elapsed(),
            })
        })
    }
}

fn wait(process: &Process, timeout: Option<Duration>) -> (ExitStatus, bool) {
    let Some(timeout) = timeout else {
        return (process.wait(), false);
    };
    match process.wait_timeout(timeout) {
        Some(status) => (status, false),
        None => {
            // It may have ended meanwhile.
            let _ = process.kill_group(Signal::SIGKILL.number());
            (process.wait(), true)
        }
    }
}
