//! Internet sockets of the host, and what the host knows of its network.
//!
//! Addresses, option numbers and flags at this module's surface are Linux' (arm64 and x86-64 agree on all of
//! them); `net/linux.rs` and `net/darwin.rs` translate. Every socket is non-blocking and close-on-exec, and none
//! raises `SIGPIPE`.

mod interface;
#[cfg_attr(target_os = "linux", path = "net/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "net/darwin.rs")]
mod sys;

use crate::errno;
use libc::{c_int, c_void, sockaddr, sockaddr_storage, socklen_t};
use std::{
    io,
    mem::{size_of, zeroed},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};
use tuxlet_uapi::{
    errno::{EINVAL, ENOPROTOOPT, Result},
    poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLWRNORM},
};

pub use interface::{Interface, InterfaceAddr, groups, interfaces};
pub use sys::{Route, routes};

/// Room for control messages in one receive, in bytes.
const CONTROL_LEN: usize = 1024;

/// A control message of the host, with Linux' level and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostControl {
    /// `cmsg_level`.
    pub level: i32,
    /// `cmsg_type`.
    pub kind: i32,
    /// The data behind the header.
    pub data: Vec<u8>,
}

/// What [`Socket::recv`] got.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes stored, or the datagram's real length if `MSG_TRUNC` was asked for.
    pub len: usize,
    /// The sender's address in Linux' form; empty if there is none.
    pub name: Vec<u8>,
    /// Control messages.
    pub control: Vec<HostControl>,
    /// `MSG_*` flags of the result.
    pub flags: u32,
}

/// A non-blocking socket of the host.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The result of a system call that returns -1 with `errno`.
fn check(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| errno::from_io(&io::Error::last_os_error()))
}

fn check_int(result: c_int) -> Result<c_int> {
    check(result as isize).map(|_| result)
}

/// The host's form of a Linux address, and its length.
fn to_host(addr: &[u8]) -> Result<(sockaddr_storage, socklen_t)> {
    if addr.len() < 2 || addr.len() > size_of::<sockaddr_storage>() {
        return Err(EINVAL);
    }
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut storage: sockaddr_storage = unsafe { zeroed() };
    // SAFETY: `addr` fits into `storage`, checked above; they do not overlap.
    unsafe { ptr::copy_nonoverlapping(addr.as_ptr(), (&raw mut storage).cast::<u8>(), addr.len()) };
    sys::family_to_host(
        &mut storage,
        u16::from_le_bytes([addr[0], addr[1]]),
        addr.len(),
    )?;
    Ok((storage, addr.len() as socklen_t))
}

/// Linux' form of a host address of `len` bytes.
fn from_host(storage: &sockaddr_storage, len: socklen_t) -> Vec<u8> {
    let len = (len as usize).min(size_of::<sockaddr_storage>());
    if len < 2 {
        return Vec::new();
    }
    let mut addr = vec![0; len];
    // SAFETY: `storage` has at least `len` bytes; the vector is ours.
    unsafe {
        ptr::copy_nonoverlapping(ptr::from_ref(storage).cast::<u8>(), addr.as_mut_ptr(), len)
    };
    addr[..2].copy_from_slice(&sys::family_from_host(storage).to_le_bytes());
    addr
}

impl Socket {
    /// A new socket. `domain`, `kind` and `protocol` are Linux' numbers.
    pub fn new(domain: u16, kind: u32, protocol: u32) -> Result<Socket> {
        let (domain, kind) = sys::socket_args(domain, kind)?;
        // SAFETY: no pointers; the result is checked.
        let fd =
            check_int(unsafe { libc::socket(domain, kind | sys::NEW_FLAGS, protocol as c_int) })?;
        // SAFETY: `fd` is a new descriptor that nobody else owns.
        let socket = Socket(unsafe { OwnedFd::from_raw_fd(fd) });
        sys::prepare(&socket.0)?;
        Ok(socket)
    }

    fn fd(&self) -> c_int {
        self.0.as_raw_fd()
    }

    /// bind(2).
    pub fn bind(&self, addr: &[u8]) -> Result<()> {
        let (storage, len) = to_host(addr)?;
        // SAFETY: `storage` lives through the call and holds `len` bytes.
        check_int(unsafe { libc::bind(self.fd(), (&raw const storage).cast::<sockaddr>(), len) })?;
        Ok(())
    }

    /// listen(2).
    pub fn listen(&self, backlog: i32) -> Result<()> {
        // SAFETY: no pointers.
        check_int(unsafe { libc::listen(self.fd(), backlog) })?;
        Ok(())
    }

    /// accept(2): the connection and its peer's address; `EAGAIN` if there is none.
    pub fn accept(&self) -> Result<(Socket, Vec<u8>)> {
        // SAFETY: all-zero bytes are a valid sockaddr_storage.
        let mut storage: sockaddr_storage = unsafe { zeroed() };
        let mut len = size_of::<sockaddr_storage>() as socklen_t;
        // SAFETY: `storage` has `len` bytes to write to.
        let fd = check_int(unsafe {
            sys::accept(
                self.fd(),
                (&raw mut storage).cast::<sockaddr>(),
                &raw mut len,
            )
        })?;
        // SAFETY: `fd` is a new descriptor that nobody else owns.
        let socket = Socket(unsafe { OwnedFd::from_raw_fd(fd) });
        sys::prepare(&socket.0)?;
        Ok((socket, from_host(&storage, len)))
    }

    /// connect(2): `EINPROGRESS` if it takes time; then the socket becomes writable.
    pub fn connect(&self, addr: &[u8]) -> Result<()> {
        let (storage, len) = to_host(addr)?;
        // SAFETY: `storage` lives through the call and holds `len` bytes.
        check_int(unsafe {
            libc::connect(self.fd(), (&raw const storage).cast::<sockaddr>(), len)
        })?;
        Ok(())
    }

    fn name_by(
        &self,
        call: unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    ) -> Result<Vec<u8>> {
        // SAFETY: all-zero bytes are a valid sockaddr_storage.
        let mut storage: sockaddr_storage = unsafe { zeroed() };
        let mut len = size_of::<sockaddr_storage>() as socklen_t;
        // SAFETY: getsockname and getpeername write at most `len` bytes to `storage`.
        check_int(unsafe {
            call(
                self.fd(),
                (&raw mut storage).cast::<sockaddr>(),
                &raw mut len,
            )
        })?;
        Ok(from_host(&storage, len))
    }

    /// getsockname(2).
    pub fn local_name(&self) -> Result<Vec<u8>> {
        self.name_by(libc::getsockname)
    }

    /// getpeername(2).
    pub fn peer_name(&self) -> Result<Vec<u8>> {
        self.name_by(libc::getpeername)
    }

    /// sendmsg(2) with one buffer.
    pub fn send(
        &self,
        data: &[u8],
        name: Option<&[u8]>,
        control: &[HostControl],
        flags: u32,
    ) -> Result<usize> {
        let mut storage = name.map(to_host).transpose()?;
        let mut control = ControlBuffer::encode(control)?;
        let mut iov = libc::iovec {
            iov_base: data.as_ptr().cast_mut().cast::<c_void>(),
            iov_len: data.len(),
        };
        // SAFETY: all-zero bytes are a valid msghdr.
        let mut msg: libc::msghdr = unsafe { zeroed() };
        if let Some((storage, len)) = &mut storage {
            msg.msg_name = ptr::from_mut(storage).cast();
            msg.msg_namelen = *len;
        }
        msg.msg_iov = &raw mut iov;
        msg.msg_iovlen = 1;
        if control.len > 0 {
            msg.msg_control = control.words.as_mut_ptr().cast();
            msg.msg_controllen = control.len as _;
        }
        // SAFETY: `msg` points to buffers that live through the call; sendmsg only reads them.
        check(unsafe {
            libc::sendmsg(
                self.fd(),
                &raw const msg,
                sys::flags_to_host(flags) | sys::NOSIGNAL,
            )
        })
    }

    /// recvmsg(2) with one buffer.
    pub fn recv(&self, buf: &mut [u8], flags: u32) -> Result<Received> {
        // SAFETY: all-zero bytes are a valid sockaddr_storage.
        let mut storage: sockaddr_storage = unsafe { zeroed() };
        let mut control = ControlBuffer::with_room(CONTROL_LEN);
        let mut iov = libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        // SAFETY: all-zero bytes are a valid msghdr.
        let mut msg: libc::msghdr = unsafe { zeroed() };
        msg.msg_name = (&raw mut storage).cast();
        msg.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
        msg.msg_iov = &raw mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.words.as_mut_ptr().cast();
        msg.msg_controllen = control.len as _;
        // SAFETY: `msg` points to writable buffers of the lengths given, which live through the call.
        let len =
            check(unsafe { libc::recvmsg(self.fd(), &raw mut msg, sys::flags_to_host(flags)) })?;
        control.len = (msg.msg_controllen as usize).min(control.len);
        Ok(Received {
            len,
            name: from_host(&storage, msg.msg_namelen),
            control: control.decode(),
            flags: sys::flags_from_host(msg.msg_flags),
        })
    }

    /// setsockopt(2) with Linux' level, name and value.
    pub fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        let (level, name) = sys::option_to_host(level, name).ok_or(ENOPROTOOPT)?;
        // SAFETY: the value is `value.len()` readable bytes.
        check_int(unsafe {
            libc::setsockopt(
                self.fd(),
                level,
                name,
                value.as_ptr().cast(),
                value.len() as socklen_t,
            )
        })?;
        Ok(())
    }

    /// getsockopt(2) with Linux' level and name: at most `len` bytes.
    pub fn option(&self, level: u32, name: u32, len: usize) -> Result<Vec<u8>> {
        let (level, name) = sys::option_to_host(level, name).ok_or(ENOPROTOOPT)?;
        let mut value = vec![0u8; len.min(4096)];
        let mut len = value.len() as socklen_t;
        // SAFETY: the value is `len` writable bytes.
        check_int(unsafe {
            libc::getsockopt(
                self.fd(),
                level,
                name,
                value.as_mut_ptr().cast(),
                &raw mut len,
            )
        })?;
        value.truncate(len as usize);
        Ok(value)
    }

    /// The pending error (`SO_ERROR`), which this clears.
    pub fn take_error(&self) -> Result<()> {
        let mut value: c_int = 0;
        let mut len = size_of::<c_int>() as socklen_t;
        // SAFETY: the value is `len` writable bytes.
        check_int(unsafe {
            libc::getsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                (&raw mut value).cast(),
                &raw mut len,
            )
        })?;
        if value == 0 {
            Ok(())
        } else {
            Err(errno::from_io(&io::Error::from_raw_os_error(value)))
        }
    }

    /// Whether the host still lets connections in: listen(2) was called, and the socket has not been ended since. iOS ends those of
    /// apps in the background.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        let mut value: c_int = 0;
        let mut len = size_of::<c_int>() as socklen_t;
        // SAFETY: `value` has `len` bytes.
        let got = unsafe {
            libc::getsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_ACCEPTCONN,
                (&raw mut value).cast(),
                &raw mut len,
            )
        };
        got == 0 && value != 0 && self.ready() & (POLLERR | POLLHUP) == 0
    }

    /// Puts a new socket in this one's place, under the same descriptor number; the old one is closed. A [`crate::poll::Watch`] of the
    /// old one must be gone. The numbers are as for [`Socket::new`].
    pub fn renew(&self, domain: u16, kind: u32, protocol: u32) -> Result<()> {
        let new = Self::new(domain, kind, protocol)?;
        sys::replace(&new.0, &self.0)
    }

    /// shutdown(2).
    pub fn shutdown(&self, read: bool, write: bool) -> Result<()> {
        let how = match (read, write) {
            (true, true) => libc::SHUT_RDWR,
            (true, false) => libc::SHUT_RD,
            (false, true) => libc::SHUT_WR,
            (false, false) => return Err(EINVAL),
        };
        // SAFETY: no pointers.
        check_int(unsafe { libc::shutdown(self.fd(), how) })?;
        Ok(())
    }

    /// Present readiness as Linux' `POLL*` bits.
    #[must_use]
    pub fn ready(&self) -> u32 {
        let mut fd = libc::pollfd {
            fd: self.fd(),
            events: libc::POLLIN | libc::POLLPRI | libc::POLLOUT | sys::POLLRDHUP,
            revents: 0,
        };
        // SAFETY: one pollfd; a timeout of zero does not wait.
        if unsafe { libc::poll(&raw mut fd, 1, 0) } < 0 {
            return 0;
        }
        let map = [
            (libc::POLLIN, POLLIN | POLLRDNORM),
            (libc::POLLPRI, POLLPRI),
            (libc::POLLOUT, POLLOUT | POLLWRNORM),
            (libc::POLLERR, POLLERR),
            (libc::POLLHUP, POLLHUP),
            (sys::POLLRDHUP, POLLRDHUP),
        ];
        map.iter()
            .filter(|&&(host, _)| fd.revents & host != 0)
            .fold(0, |all, &(_, bits)| all | bits)
    }

    fn count(&self, request: libc::c_ulong) -> Result<usize> {
        let mut n: c_int = 0;
        // SAFETY: these requests store one int.
        check_int(unsafe { libc::ioctl(self.fd(), request as _, &raw mut n) })?;
        Ok(usize::try_from(n).unwrap_or(0))
    }

    /// Bytes that can be read at once (`FIONREAD`).
    pub fn readable_len(&self) -> Result<usize> {
        self.count(libc::FIONREAD as libc::c_ulong)
    }

    /// Bytes sent but not acknowledged (`SIOCOUTQ`).
    pub fn unsent_len(&self) -> Result<usize> {
        self.count(sys::OUTQ)
    }
}

/// A buffer for control messages, aligned for their headers.
struct ControlBuffer {
    words: Vec<u64>,
    len: usize,
}

impl ControlBuffer {
    fn with_room(len: usize) -> ControlBuffer {
        ControlBuffer {
            words: vec![0; len.div_ceil(8)],
            len,
        }
    }

    fn encode(messages: &[HostControl]) -> Result<ControlBuffer> {
        let mut buffer = ControlBuffer::with_room(0);
        for message in messages {
            let (level, kind) = sys::control_to_host(message.level, message.kind).ok_or(EINVAL)?;
            let data_len = message.data.len() as libc::c_uint;
            // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
            let (space, len) = unsafe {
                (
                    libc::CMSG_SPACE(data_len) as usize,
                    libc::CMSG_LEN(data_len),
                )
            };
            let start = buffer.len;
            buffer.len += space;
            buffer.words.resize(buffer.len.div_ceil(8), 0);
            // SAFETY: `space` bytes from `start` are in the vector, aligned as CMSG_SPACE keeps them; the data
            // follows the header within that space.
            unsafe {
                let header = buffer
                    .words
                    .as_mut_ptr()
                    .cast::<u8>()
                    .add(start)
                    .cast::<libc::cmsghdr>();
                (*header).cmsg_len = len as _;
                (*header).cmsg_level = level;
                (*header).cmsg_type = kind;
                ptr::copy_nonoverlapping(
                    message.data.as_ptr(),
                    libc::CMSG_DATA(header),
                    message.data.len(),
                );
            }
        }
        Ok(buffer)
    }

    fn decode(&self) -> Vec<HostControl> {
        let mut messages = Vec::new();
        // SAFETY: all-zero bytes are a valid msghdr.
        let mut msg: libc::msghdr = unsafe { zeroed() };
        msg.msg_control = self.words.as_ptr().cast_mut().cast();
        msg.msg_controllen = self.len as _;
        // SAFETY: `msg` describes the buffer that the host filled; the macros stay inside it.
        let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const msg) };
        while !header.is_null() {
            // SAFETY: a header that the host wrote, with `cmsg_len` bytes in the buffer.
            let (level, kind, data) = unsafe {
                let len = ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let data = std::slice::from_raw_parts(libc::CMSG_DATA(header), len).to_vec();
                ((*header).cmsg_level, (*header).cmsg_type, data)
            };
            if let Some((level, kind)) = sys::control_from_host(level, kind) {
                messages.push(HostControl { level, kind, data });
            }
            // SAFETY: as for the first header.
            header = unsafe { libc::CMSG_NXTHDR(&raw const msg, header) };
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tuxlet_uapi::{
        errno::{EAGAIN, ECONNREFUSED, EINPROGRESS},
        socket::*,
    };

    fn loopback(port: [u8; 2]) -> Vec<u8> {
        let mut addr = vec![2, 0, port[0], port[1], 127, 0, 0, 1];
        addr.resize(16, 0);
        addr
    }

    fn wait_for(socket: &Socket, bits: u32) -> u32 {
        use rustix::event::{PollFd, PollFlags, poll};
        let wanted = PollFlags::from_bits_truncate(bits as u16);
        let limit = rustix::event::Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        while poll(&mut [PollFd::new(socket, wanted)], Some(&limit)).unwrap() > 0 {
            let ready = socket.ready();
            if ready & bits != 0 {
                return ready;
            }
        }
        panic!("not ready");
    }

    #[test]
    fn tcp_connects_sends_and_ends() {
        let listener = Socket::new(AF_INET, SOCK_STREAM, 0).unwrap();
        listener.bind(&loopback([0, 0])).unwrap();
        listener.listen(5).unwrap();
        assert_eq!(listener.accept().unwrap_err(), EAGAIN);
        let name = listener.local_name().unwrap();
        let client = Socket::new(AF_INET, SOCK_STREAM, 0).unwrap();
        match client.connect(&name) {
            Ok(()) | Err(EINPROGRESS) => {}
            Err(e) => panic!("{e}"),
        }
        wait_for(&client, POLLOUT);
        client.take_error().unwrap();
        assert_eq!(client.peer_name().unwrap(), name);
        wait_for(&listener, POLLIN);
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_name().unwrap());
        let mut buf = [0; 10];
        assert_eq!(server.recv(&mut buf, 0).unwrap_err(), EAGAIN);
        assert_eq!(client.send(b"hello", None, &[], 0), Ok(5));
        wait_for(&server, POLLIN);
        assert_eq!(server.readable_len(), Ok(5));
        assert_eq!(server.recv(&mut buf, MSG_PEEK).unwrap().len, 5);
        assert_eq!(server.recv(&mut buf, 0).unwrap().len, 5);
        client.shutdown(false, true).unwrap();
        wait_for(&server, POLLRDHUP);
        assert_eq!(server.recv(&mut buf, 0).unwrap().len, 0);
        client
            .set_option(IPPROTO_TCP, TCP_NODELAY, &1i32.to_le_bytes())
            .unwrap();
        assert_ne!(client.option(IPPROTO_TCP, TCP_NODELAY, 4).unwrap(), [0; 4]);
    }

    #[test]
    fn datagrams_carry_names_and_are_cut() {
        let a = Socket::new(AF_INET, SOCK_DGRAM, 0).unwrap();
        let b = Socket::new(AF_INET, SOCK_DGRAM, 0).unwrap();
        a.bind(&loopback([0, 0])).unwrap();
        b.bind(&loopback([0, 0])).unwrap();
        a.set_option(IPPROTO_IP, IP_RECVTTL, &1i32.to_le_bytes())
            .unwrap();
        assert_eq!(
            b.send(b"datagram", Some(&a.local_name().unwrap()), &[], 0),
            Ok(8)
        );
        wait_for(&a, POLLIN);
        let mut buf = [0; 4];
        let got = a.recv(&mut buf, MSG_TRUNC).unwrap();
        assert_eq!((got.len, &buf), (8, b"data"));
        assert_ne!(got.flags & MSG_TRUNC, 0);
        assert_eq!(got.name, b.local_name().unwrap());
        assert_eq!(got.control.len(), 1);
    }

    #[test]
    fn refusal_is_reported_once() {
        let listener = Socket::new(AF_INET, SOCK_STREAM, 0).unwrap();
        listener.bind(&loopback([0, 0])).unwrap();
        let name = listener.local_name().unwrap();
        drop(listener);
        let client = Socket::new(AF_INET, SOCK_STREAM, 0).unwrap();
        match client.connect(&name) {
            Err(EINPROGRESS) => {
                wait_for(&client, POLLERR | POLLHUP);
                assert_eq!(client.take_error(), Err(ECONNREFUSED));
                assert_eq!(client.take_error(), Ok(()));
            }
            other => assert_eq!(other, Err(ECONNREFUSED)),
        }
    }
}
