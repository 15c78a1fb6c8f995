//! Pipes between the embedder and guest processes: pipe(7) with one end in the embedder's hands. No descriptor of the host's is
//! involved.

use crate::{kernel::Kernel, pipe::Pipe};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_sync::{WaitQueue, WaitResult, Waiter};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{Cx, File, PollTable};

/// The embedder's end of a pipe. Any thread may use it; dropping it closes the end.
#[derive(Debug)]
pub struct HostPipe {
    file: Arc<File>,
    cx: Cx,
    /// Reads and writes do not wait any more.
    finishing: AtomicBool,
    /// Wakes those that wait when that changes.
    finished: WaitQueue,
}

impl Kernel {
    /// A pipe that the guest writes and the embedder reads: the embedder's end, and the guest's.
    #[must_use]
    pub fn pipe_to_host(&self) -> (HostPipe, Arc<File>) {
        let cx = self.host_cx();
        let (read, write) = Pipe::pair(&cx, OpenFlags::empty());
        (HostPipe::new(cx, read), write)
    }

    /// A pipe that the embedder writes and the guest reads: the embedder's end, and the guest's.
    #[must_use]
    pub fn pipe_from_host(&self) -> (HostPipe, Arc<File>) {
        let cx = self.host_cx();
        let (read, write) = Pipe::pair(&cx, OpenFlags::empty());
        (HostPipe::new(cx, write), read)
    }
}

impl HostPipe {
    fn new(cx: Cx, file: Arc<File>) -> Self {
        Self {
            file,
            cx,
            finishing: AtomicBool::new(false),
            finished: WaitQueue::new(),
        }
    }

    /// Reads what is there, waiting for it until the deadline (`None`: without limit). 0 when no process has the other end open
    /// any more, or after [`HostPipe::finish`] when all that was there has been read. `EAGAIN` after the deadline.
    pub fn read(&self, buf: &mut [u8], deadline: Option<Instant>) -> Result<usize> {
        self.wait(deadline, |cx| {
            // Before the attempt: what comes before the end is not to be lost.
            let finishing = self.finishing.load(Ordering::SeqCst);
            let mut room: &mut [u8] = buf;
            match self.file.read(cx, &mut room as &mut dyn IoWrite) {
                Err(Errno::EAGAIN) if finishing => Ok(0),
                other => other,
            }
        })
    }

    /// Writes all of it, waiting until the guest has made room. `EPIPE` if no process has the other end open any more, or where it
    /// would wait after [`HostPipe::finish`].
    pub fn write_all(&self, data: &[u8]) -> Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            let n = self.wait(None, |cx| {
                let finishing = self.finishing.load(Ordering::SeqCst);
                let mut piece = rest;
                match self.file.write(cx, &mut piece as &mut dyn IoRead) {
                    Err(Errno::EAGAIN) if finishing => Err(Errno::EPIPE),
                    other => other,
                }
            })?;
            rest = &rest[n..];
        }
        Ok(())
    }

    /// Ends waiting: what is in the pipe is read, and then 0, whoever still has the other end open; writing that finds no room fails.
    pub fn finish(&self) {
        self.finishing.store(true, Ordering::SeqCst);
        self.finished.wake_all(!0);
    }

    /// Repeats `op` until it gives something else than `EAGAIN`.
    fn wait<T>(
        &self,
        deadline: Option<Instant>,
        mut op: impl FnMut(&Cx) -> Result<T>,
    ) -> Result<T> {
        match op(&self.cx) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
        let waiter = Waiter::new();
        let mut table = PollTable::new(waiter.clone());
        table.add(&self.finished);
        self.file.poll(&self.cx, Some(&mut table));
        loop {
            match op(&self.cx) {
                Err(Errno::EAGAIN) => {}
                other => return other,
            }
            if waiter.wait(deadline) == WaitResult::TimedOut {
                return Err(Errno::EAGAIN);
            }
        }
    }
}
