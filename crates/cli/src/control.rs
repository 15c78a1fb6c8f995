//! Talking to the process that runs a machine: what `exec`, `ps` and `cp` ask of it.
//!
//! It listens on a Unix socket in the machine's directory that only its user can reach. Messages are JSON after their length in
//! four bytes, least significant first; descriptors come with the length.

mod client;
mod server;

pub(crate) use client::connect;
pub(crate) use server::Server;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        unix::{fs::DirBuilderExt, net::UnixStream},
    },
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tuxlet::WindowSize;
use tuxlet_host::channel;

use crate::process::Spec;

/// Longest message in bytes: the longest command line of Linux, escaped.
const MAX_MESSAGE: usize = 8 << 20;

/// What the one who connects wants.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// To run a command. With a terminal, one descriptor comes along: a stream of what is typed and shown. Otherwise three,
    /// or two without standard input.
    Exec {
        spec: Spec,
        interactive: bool,
        terminal: Option<Size>,
    },
    /// To send a signal to the machine's command.
    Signal { number: i32 },
    /// To kill all that runs.
    KillAll,
    /// To know what runs.
    Processes,
    /// To copy out of the machine, to a path of the host.
    CopyOut { from: String, to: PathBuf },
    /// To copy into the machine.
    CopyIn { from: PathBuf, to: String },
}

/// What may follow [`Request::Exec`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A signal, by number.
    Signal(i32),
    /// The window's size has changed.
    Resize(Size),
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The command runs.
    Started,
    /// The command cannot be run; the exit status for it.
    Refused { status: u8, reason: String },
    /// The command has ended.
    Exited { status: u8 },
    /// What runs.
    Processes(Vec<ProcessRow>),
    /// It is done.
    Done,
    /// It cannot be done yet.
    Starting,
    /// What was to be copied is, except for these.
    Copied { skipped: Vec<String> },
    /// It did not work.
    Failed { reason: String },
}

/// A process of a machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProcessRow {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
    pub(crate) zombie: bool,
}

/// A window's size: rows, columns, width and height in pixels.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Size(u16, u16, u16, u16);

impl From<WindowSize> for Size {
    fn from(size: WindowSize) -> Self {
        Self(size.rows, size.cols, size.width_px, size.height_px)
    }
}

impl From<Size> for WindowSize {
    fn from(Size(rows, cols, width_px, height_px): Size) -> Self {
        Self {
            rows,
            cols,
            width_px,
            height_px,
        }
    }
}

fn send(
    mut socket: &UnixStream,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len())
        .ok()
        .filter(|_| text.len() <= MAX_MESSAGE)
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_le_bytes();
    let sent = channel::send(socket, &length, fds)?;
    socket.write_all(&length[sent..])?;
    socket.write_all(&text)
}

/// The next message and its descriptors; `None` at the end.
fn receive<T: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let (got, fds) = channel::receive(socket, &mut length)?;
    if got == 0 {
        return Ok(None);
    }
    socket.read_exact(&mut length[got..])?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message is too long",
        ));
    }
    let mut text = Vec::new();
    socket.take(length as u64).read_to_end(&mut text)?;
    if text.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((serde_json::from_slice(&text)?, fds)))
}

/// The directory of a machine's socket.
fn socket_dir(machine: &Path) -> PathBuf {
    machine.join("run")
}

/// Makes the directory of the socket, for its user alone, and takes away what a killed process left there.
fn prepare(machine: &Path) -> io::Result<PathBuf> {
    let dir = socket_dir(machine);
    match fs::remove_dir_all(&dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

/// Calls `f` with a path to the socket that fits into a socket's address, however long that of the directory is.
fn with_address<T>(dir: &Path, f: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    const NAME: &str = "control";
    if cfg!(target_os = "linux") {
        let opened = File::open(dir)?;
        let path = format!("/proc/self/fd/{}/{NAME}", opened.as_raw_fd());
        f(Path::new(&path))
    } else {
        f(&dir.join(NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_or_not_at_all() {
        let (a, b) = UnixStream::pair().unwrap();
        send(&a, &Request::Processes, &[]).unwrap();
        let (got, fds) = receive::<Request>(&b).unwrap().unwrap();
        assert!(matches!(got, Request::Processes) && fds.is_empty());
        send(&a, &"no request", &[]).unwrap();
        assert!(receive::<Request>(&b).is_err());
        (&a).write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(receive::<Request>(&b).is_err());
        (&a).write_all(&[9, 0, 0, 0, b'{']).unwrap();
        drop(a);
        assert!(receive::<Request>(&b).is_err());
        assert!(receive::<Request>(&b).unwrap().is_none());
    }
}
