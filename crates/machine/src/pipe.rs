//! Standard streams in the embedder's hands.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tuxlet_kernel::host_pipe::HostPipe;
use tuxlet_uapi::Errno;

/// Reads what a process writes. Clones read from the same pipe.
#[derive(Clone, Debug)]
pub struct PipeReader(Arc<HostPipe>);

impl PipeReader {
    pub(crate) fn new(pipe: HostPipe) -> Self {
        Self(Arc::new(pipe))
    }

    /// Reads what is there, waiting for it at most so long; `None` after that, `Some(0)` at the end.
    pub fn read_timeout(&self, buf: &mut [u8], timeout: Duration) -> io::Result<Option<usize>> {
        match self.0.read(buf, Instant::now().checked_add(timeout)) {
            Ok(n) => Ok(Some(n)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(io::Error::other(errno)),
        }
    }

    /// Lets reading end after what has been written so far, even if some process still has the pipe open: for use once the process
    /// that it was made for has ended.
    pub fn finish(&self) {
        self.0.finish();
    }
}

impl io::Read for PipeReader {
    /// Waits until something is there; 0 when nothing in the machine has the pipe open any more.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf, None).map_err(io::Error::other)
    }
}

/// Writes what a process reads, through `&PipeWriter` by several threads too. Dropping it ends the input.
#[derive(Debug)]
pub struct PipeWriter(HostPipe);

impl PipeWriter {
    pub(crate) fn new(pipe: HostPipe) -> Self {
        Self(pipe)
    }
}

impl PipeWriter {
    /// Gives up: writing fails with `BrokenPipe` from now on, also what another thread is waiting in.
    pub fn finish(&self) {
        self.0.finish();
    }
}

impl io::Write for &PipeWriter {
    /// Waits until there is room for all; `BrokenPipe` when nothing in the machine has the pipe open any more, or after
    /// [`PipeWriter::finish`].
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.0.write_all(buf) {
            Ok(()) => Ok(buf.len()),
            Err(Errno::EPIPE) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(errno) => Err(io::Error::other(errno)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Write for PipeWriter {
    /// As for `&PipeWriter`.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
