//! Descriptors passed to another process through a Unix socket: unix(7), `SCM_RIGHTS`.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};

/// Most descriptors in one message.
pub const MAX_FDS: usize = 4;

/// Sends `data` through a Unix stream socket, and with its first byte copies of descriptors; gives the bytes sent.
///
/// # Errors
/// `InvalidInput` for more than [`MAX_FDS`], and those of sendmsg(2).
pub fn send(socket: impl AsFd, data: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MAX_FDS
        || (!fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)))
    {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(data)],
            &mut control,
            SendFlags::empty(),
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives what [`send`] sent: the number of bytes, 0 at the end, and the descriptors that came with them, which programs that
/// this process starts do not inherit.
///
/// # Errors
/// Those of recvmsg(2).
pub fn receive(socket: impl AsFd, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut *buf)],
            &mut control,
            RecvFlags::empty(),
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    for fd in &fds {
        fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    }
    Ok((received.bytes, fds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    #[test]
    fn descriptors_arrive_with_their_bytes() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        assert_eq!(send(&a, b"hi", &[writer.as_fd()]).unwrap(), 2);
        drop(writer);
        let mut buf = [0; 8];
        let (n, fds) = receive(&b, &mut buf).unwrap();
        assert_eq!((&buf[..n], fds.len()), (&b"hi"[..], 1));
        std::fs::File::from(fds.into_iter().next().unwrap())
            .write_all(b"through")
            .unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        send(&a, b"x", &[]).unwrap();
        assert_eq!(receive(&b, &mut buf).unwrap().1.len(), 0);
        assert!(send(&a, b"x", &[a.as_fd(); MAX_FDS + 1]).is_err());
        drop(a);
        assert_eq!(receive(&b, &mut buf).unwrap().0, 0);
    }
}
