//! What a socket can do beside reading, writing and polling: socket(7).
//!
//! Nothing here waits: an operation that would block returns `EAGAIN` (`EINPROGRESS` for connecting), and the
//! kernel waits by [`FileOps::poll`]. Addresses and option values are the bytes of the guest's structures.
//! `SIGPIPE` is the kernel's: it follows from `EPIPE` on a stream socket without `MSG_NOSIGNAL`.

use crate::{cx::Cx, file::File, file_ops::FileOps, inode::InodeRef};
use std::{fmt::Debug, sync::Arc, time::Duration};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_uapi::{errno::Result, socket::Ucred};

/// An address that a guest gave.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// The bytes of its `struct sockaddr`.
    pub bytes: &'a [u8],
    /// For a Unix socket's path: the socket inode that the kernel made (bind) or found there (connect, send).
    pub inode: Option<&'a InodeRef>,
}

/// A control message that is neither `SCM_RIGHTS` nor `SCM_CREDENTIALS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlMessage {
    /// `cmsg_level`.
    pub level: i32,
    /// `cmsg_type`.
    pub kind: i32,
    /// The data behind the header.
    pub data: Vec<u8>,
}

/// Ancillary data, with descriptors as the open files they mean: cmsg(3), unix(7).
#[derive(Debug, Default)]
pub struct Control {
    /// `SCM_RIGHTS`.
    pub files: Vec<Arc<File>>,
    /// `SCM_CREDENTIALS`.
    pub cred: Option<Ucred>,
    /// All other messages.
    pub other: Vec<ControlMessage>,
}

/// What sendmsg(2) says beside the data.
#[derive(Debug, Default)]
pub struct SendMsg<'a> {
    /// The destination, if given.
    pub name: Option<Name<'a>>,
    /// Ancillary data. An operation that sends something takes it, so that the caller does not send it twice.
    pub control: Control,
    /// `MSG_*` flags; `MSG_DONTWAIT` is the caller's business.
    pub flags: u32,
}

/// What recvmsg(2) returns beside the data.
#[derive(Debug, Default)]
pub struct RecvMsg {
    /// Bytes received; the real length of a truncated datagram if `MSG_TRUNC` was asked for.
    pub len: usize,
    /// The sender's address, empty if there is none.
    pub name: Vec<u8>,
    /// Ancillary data.
    pub control: Control,
    /// `MSG_TRUNC`, `MSG_CTRUNC`, `MSG_EOR`, `MSG_ERRQUEUE`, `MSG_OOB`.
    pub flags: u32,
}

/// Which directions shutdown(2) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Receiving.
    pub read: bool,
    /// Sending.
    pub write: bool,
}

/// The operations of a socket. Its file's [`FileOps::read_at`] and [`FileOps::write_at`] are
/// [`SocketOps::recvmsg`] and [`SocketOps::sendmsg`] without names and control data.
///
/// On a stream, sending may take less than all; a blocking caller goes on with the rest (without the control
/// data), and returns what it has sent if an error comes then.
pub trait SocketOps: Send + Sync + Debug {
    /// `AF_*`.
    fn domain(&self) -> u16;
    /// `SOCK_STREAM` and so on, without flags.
    fn kind(&self) -> u32;
    /// The protocol, `IPPROTO_*`.
    fn protocol(&self) -> u32;

    /// bind(2). For a Unix path the kernel has made the inode, and removes it if this fails.
    fn bind(&self, cx: &Cx, name: Name<'_>) -> Result<()>;
    /// listen(2).
    fn listen(&self, cx: &Cx, backlog: i32) -> Result<()>;
    /// accept(2): the new socket and its peer's address.
    fn accept(&self, cx: &Cx) -> Result<(Arc<dyn FileOps>, Vec<u8>)>;
    /// connect(2). `EAGAIN`: a Unix listener's backlog is full. `EINPROGRESS`: a blocking caller waits until the
    /// socket is writable and then asks [`SocketOps::connect_result`].
    fn connect(&self, cx: &Cx, name: Name<'_>) -> Result<()>;
    /// How a connect(2) that was in progress ended; `EAGAIN` while it is.
    fn connect_result(&self) -> Result<()>;
    /// getsockname(2).
    fn sockname(&self) -> Result<Vec<u8>>;
    /// getpeername(2).
    fn peername(&self) -> Result<Vec<u8>>;
    /// sendmsg(2): how many bytes were sent.
    fn sendmsg(&self, cx: &Cx, from: &mut dyn IoRead, msg: &mut SendMsg<'_>) -> Result<usize>;
    /// recvmsg(2) with `MSG_PEEK`, `MSG_TRUNC`, `MSG_OOB` and `MSG_ERRQUEUE`; `MSG_WAITALL` is the caller's.
    fn recvmsg(&self, cx: &Cx, to: &mut dyn IoWrite, flags: u32) -> Result<RecvMsg>;
    /// setsockopt(2).
    fn setsockopt(&self, cx: &Cx, level: u32, name: u32, value: &[u8]) -> Result<()>;
    /// getsockopt(2): at most `len` bytes of the value.
    fn getsockopt(&self, cx: &Cx, level: u32, name: u32, len: usize) -> Result<Vec<u8>>;
    /// shutdown(2).
    fn shutdown(&self, how: Shutdown) -> Result<()>;
    /// `SO_RCVTIMEO`: how long a blocking receive or accept waits.
    fn recv_timeout(&self) -> Option<Duration>;
    /// `SO_SNDTIMEO`: how long a blocking send or connect waits.
    fn send_timeout(&self) -> Option<Duration>;
}
