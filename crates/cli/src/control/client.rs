//! The side that asks.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::{fd::BorrowedFd, unix::net::UnixStream},
};

use anyhow::{Context, bail};
use tuxlet::WindowSize;
use tuxlet_image::store::Machine;

use super::{Event, Reply, Request};
use crate::session::{Line, Remote};

/// A connection to the process that runs a machine.
#[derive(Debug)]
pub(crate) struct Connection(UnixStream);

/// Connects to the process that has claimed a machine, when that answers.
pub(crate) fn connect(machine: &Machine) -> anyhow::Result<Connection> {
    machine.wait_until_started()?;
    let dir = super::socket_dir(machine.dir());
    let connected = super::with_address(&dir, |path| UnixStream::connect(path));
    connected
        .map(Connection)
        .context("the machine is in use, but nothing in it answers; it may be ending")
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
