//! The side that asks.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::{fd::BorrowedFd, unix::net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tuxlet::WindowSize;

use super::{Event, Reply, Request};
use crate::session::{Line, Remote};

/// How long a machine may take to start listening.
const STARTING: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(30);

/// A connection to the process that runs a machine.
#[derive(Debug)]
pub(crate) struct Connection(UnixStream);

/// Connects to the process that runs the machine in the directory `machine`.
pub(crate) fn connect(machine: &Path) -> anyhow::Result<Connection> {
    let dir = super::socket_dir(machine);
    let since = Instant::now();
    loop {
        match super::with_address(&dir, |path| UnixStream::connect(path)) {
            Ok(socket) => return Ok(Connection(socket)),
            // It may just be starting.
            Err(_) if since.elapsed() < STARTING => std::thread::sleep(PAUSE),
            Err(error) => {
                return Err(error).context(
                    "the machine is in use, but nothing in it answers; it may be starting or ending",
                );
            }
        }
    }
}

impl Connection {
    /// Asks.
    pub(crate) fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
        super::send(&self.0, request, fds).context("the machine has ended")
    }

    /// Waits for an answer.
    pub(crate) fn receive(&self) -> anyhow::Result<Reply> {
        match super::receive(&self.0).context("the machine does not answer")? {
            Some((Reply::Failed { reason }, _)) => bail!("{reason}"),
            Some((reply, _)) => Ok(reply),
            None => bail!("the machine has ended"),
        }
    }

    fn tell(&self, event: &Event) {
        if let Err(error) = super::send(&self.0, event, &[]) {
            tracing::debug!("telling the machine of {event:?}: {error}");
        }
    }
}

impl Remote for Connection {
    fn signal(&self, number: i32) {
        self.tell(&Event::Signal(number));
    }

    fn resize(&self, size: WindowSize) {
        self.tell(&Event::Resize(size.into()));
    }
}

impl Line for UnixStream {
    fn input(&self) -> impl Write {
        self
    }

    fn output(&self) -> impl Read {
        self
    }

    fn hang_up(&self) {
        shut(self, Shutdown::Write);
    }

    /// The other side closes after the last of the output.
    fn finish(&self) {}
}

/// Ends a stream that may have ended already.
pub(super) fn shut(socket: &UnixStream, how: Shutdown) {
    match socket.shutdown(how) {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => {
            tracing::debug!("closing a stream: {error}");
        }
        _ => {}
    }
}
