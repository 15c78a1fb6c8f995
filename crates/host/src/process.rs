//! Programs of the host that work for a guest. Only where the host's programs may start others: not on iOS.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
};

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub struct HostProcess {
    child: Child,
    ended: Option<ExitStatus>,
}

impl HostProcess {
    /// Starts a program with a pipe for each standard stream: its input, output and error output.
    pub fn start(command: &mut Command) -> io::Result<(Self, [OwnedFd; 3])> {
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Self { child, ended: None };
        match streams {
            (Some(input), Some(output), Some(error)) => {
                Ok((process, [input.into(), output.into(), error.into()]))
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Lets it hold still, or go on. What has ended does neither.
    pub fn pause(&self, pause: bool) -> io::Result<()> {
        let signal = if pause { Signal::STOP } else { Signal::CONT };
        match Pid::from_raw(self.child.id().cast_signed()) {
            // Not waited for yet, so the number is still its own.
            Some(pid) if self.ended.is_none() => Ok(kill_process(pid, signal)?),
            _ => Ok(()),
        }
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // It may have ended meanwhile; then this does nothing.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
