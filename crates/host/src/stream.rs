//! Descriptors of the embedder's that a guest reads and writes: pipes, terminals, files.
//!
//! They are shared with other processes, so their flags are left alone; a descriptor is asked for readiness
//! before each transfer instead, and transfers are small enough not to block then.

use crate::errno::from_host;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::{Errno as HostErrno, read, write},
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tuxlet_uapi::errno::{Errno, Result};

/// A pipe that is writable takes at least so much at once: pipe(7) `PIPE_BUF`.
const CHUNK: usize = 4096;

/// A descriptor to read from or write to as a stream.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    kind: FileType,
}

impl Stream {
    /// Takes a descriptor over.
    pub fn new(fd: OwnedFd) -> Result<Self> {
        let mode = fstat(&fd).map_err(from_host)?.st_mode;
        Ok(Self {
            kind: FileType::from_raw_mode(mode),
            fd,
        })
    }

    /// Whether it is a regular file: those are always ready.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    /// Whether it is a character device, such as a terminal or `/dev/null`.
    #[must_use]
    pub fn is_device(&self) -> bool {
        self.kind == FileType::CharacterDevice
    }

    /// Whether it can be read and written now without blocking, and whether the other end has gone.
    #[must_use]
    pub fn ready(&self) -> Readiness {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN | PollFlags::OUT)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        loop {
            match poll(&mut fds, Some(&now)) {
                Err(HostErrno::INTR) => {}
                // What cannot be polled is always ready.
                Err(_) => {
                    return Readiness {
                        readable: true,
                        writable: true,
                        hung_up: false,
                        error: false,
                    };
                }
                Ok(_) => break,
            }
        }
        let got = fds[0].revents();
        Readiness {
            readable: got.intersects(PollFlags::IN | PollFlags::HUP),
            writable: got.contains(PollFlags::OUT),
            hung_up: got.contains(PollFlags::HUP),
            error: got.contains(PollFlags::ERR),
        }
    }

    /// Reads what is there; 0 at the end. `EAGAIN` if nothing is.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize> {
        if !self.is_regular() && !self.ready().readable {
            return Err(Errno::EAGAIN);
        }
        retry(|| read(&self.fd, &mut *buf))
    }

    /// Writes at most a chunk. `EAGAIN` if there is no room.
    pub fn write(&self, data: &[u8]) -> Result<usize> {
        if !self.is_regular() {
            let ready = self.ready();
            if !ready.writable && !ready.error && !ready.hung_up {
                return Err(Errno::EAGAIN);
            }
        }
        let data = if self.is_regular() {
            data
        } else {
            &data[..data.len().min(CHUNK)]
        };
        retry(|| write(&self.fd, data))
    }
}

/// What [`Stream::ready`] tells.
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "these are the bits of poll(2)"
)]
pub struct Readiness {
    /// A read returns at once.
    pub readable: bool,
    /// A small write returns at once.
    pub writable: bool,
    /// The other end is closed.
    pub hung_up: bool,
    /// A write would fail.
    pub error: bool,
}

fn retry<T>(mut op: impl FnMut() -> rustix::io::Result<T>) -> Result<T> {
    loop {
        match op() {
            Err(HostErrno::INTR) => {}
            other => return other.map_err(from_host),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
