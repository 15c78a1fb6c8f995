//! Names of Unix sockets: paths, abstract names, automatic names.

use super::state::Sock;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};
use tuxlet_sync::Mutex;
use tuxlet_uapi::{
    errno::{EADDRINUSE, ECONNREFUSED, EINVAL, ENOSPC, Result},
    socket::{AF_UNIX, UNIX_PATH_MAX},
};
use tuxlet_vfs::{inode::InodeRef, socket::Name};

/// What an address says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// Only the family.
    Unnamed,
    /// A path, without its NUL.
    Path(&'a [u8]),
    /// The bytes behind the leading NUL.
    Abstract(&'a [u8]),
}

/// Reads a `struct sockaddr_un`; `EINVAL` if it is none.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed<'_>> {
    if bytes.len() < 2 || bytes.len() > 2 + UNIX_PATH_MAX || bytes[..2] != AF_UNIX.to_le_bytes() {
        return Err(EINVAL);
    }
    Ok(match bytes[2..].split_first() {
        None => Parsed::Unnamed,
        Some((0, name)) => Parsed::Abstract(name),
        Some(_) => Parsed::Path(bytes[2..].split(|&b| b == 0).next().unwrap_or_default()),
    })
}

/// The path in a `struct sockaddr_un`, if it holds one: the kernel makes or finds its inode. `EINVAL` if the
/// bytes are no Unix address.
pub fn socket_path(bytes: &[u8]) -> Result<Option<&[u8]>> {
    Ok(match parse(bytes)? {
        Parsed::Path(path) => Some(path),
        Parsed::Unnamed | Parsed::Abstract(_) => None,
    })
}

/// The address of a socket without a name.
pub(super) fn unnamed() -> Vec<u8> {
    AF_UNIX.to_le_bytes().to_vec()
}

/// A name that a socket has.
#[derive(Debug)]
pub(super) struct Bound {
    /// Its `struct sockaddr_un`, as getsockname(2) shows it.
    pub(super) bytes: Vec<u8>,
    /// The inode of a path, which this keeps in memory.
    inode: Option<InodeRef>,
}

impl Bound {
    /// Inode number and device of a path; the device as the kernel itself writes it, a minor number of 20 bits.
    pub(super) fn inode_number(&self) -> Option<(u64, u32)> {
        let id = self.inode.as_ref()?.id();
        Some((id.ino, id.dev.major << 20 | id.dev.minor))
    }
}

/// The socket bound to an inode, kept at the inode.
#[derive(Debug, Default)]
struct AtInode(Mutex<Weak<Sock>>);

/// The abstract names of a machine.
#[derive(Debug, Default)]
pub struct Names(Mutex<HashMap<Vec<u8>, Weak<Sock>>>);

impl Names {
    /// Gives `sock` a name. `EADDRINUSE` if another has it.
    pub(super) fn bind(&self, sock: &Arc<Sock>, name: Name<'_>) -> Result<Bound> {
        match parse(name.bytes)? {
            Parsed::Unnamed => self.autobind(sock),
            Parsed::Abstract(text) => {
                if !self.take(text, sock) {
                    return Err(EADDRINUSE);
                }
                Ok(Bound {
                    bytes: name.bytes.to_vec(),
                    inode: None,
                })
            }
            Parsed::Path(path) => {
                let inode = name.inode.ok_or(EINVAL)?;
                let slot = inode.anchor().get_or_insert(AtInode::default);
                let mut owner = slot.0.lock();
                if owner.upgrade().is_some() {
                    return Err(EADDRINUSE);
                }
                *owner = Arc::downgrade(sock);
                let mut bytes = unnamed();
                bytes.extend_from_slice(path);
                bytes.push(0);
                Ok(Bound {
                    bytes,
                    inode: Some(Arc::clone(inode)),
                })
            }
        }
    }

    fn take(&self, text: &[u8], sock: &Arc<Sock>) -> bool {
        let mut names = self.0.lock();
        if names
            .get(text)
            .is_some_and(|other| other.strong_count() > 0)
        {
            return false;
        }
        names.insert(text.to_vec(), Arc::downgrade(sock));
        true
    }

    /// An abstract name of five hexadecimal digits that nobody has.
    fn autobind(&self, sock: &Arc<Sock>) -> Result<Bound> {
        for number in 0..0x10_0000u32 {
            let text = format!(
                "{:05x}",
                (number.wrapping_add(sock.node.ino as u32)) & 0xf_ffff
            );
            if self.take(text.as_bytes(), sock) {
                let mut bytes = unnamed();
                bytes.push(0);
                bytes.extend_from_slice(text.as_bytes());
                return Ok(Bound { bytes, inode: None });
            }
        }
        Err(ENOSPC)
    }

    /// The socket that has a name. `ECONNREFUSED` if none has.
    pub(super) fn find(&self, name: Name<'_>) -> Result<Arc<Sock>> {
        let found = match parse(name.bytes)? {
            Parsed::Unnamed => return Err(EINVAL),
            Parsed::Abstract(text) => self.0.lock().get(text).and_then(Weak::upgrade),
            Parsed::Path(_) => name
                .inode
                .and_then(|inode| inode.anchor().get::<AtInode>())
                .and_then(|slot| slot.0.lock().upgrade()),
        };
        found.ok_or(ECONNREFUSED)
    }

    /// Gives a name back.
    pub(super) fn unbind(&self, bound: &Bound) {
        match &bound.inode {
            Some(inode) => inode.anchor().remove::<AtInode>(),
            None => {
                if let Ok(Parsed::Abstract(text)) = parse(&bound.bytes) {
                    self.0.lock().remove(text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_linux_does() {
        assert_eq!(parse(b"\x01"), Err(EINVAL));
        assert_eq!(parse(b"\x02\x00/x"), Err(EINVAL));
        assert_eq!(parse(b"\x01\x00"), Ok(Parsed::Unnamed));
        assert_eq!(
            parse(b"\x01\x00/tmp/x\x00junk"),
            Ok(Parsed::Path(b"/tmp/x"))
        );
        assert_eq!(
            parse(b"\x01\x00\x00a\x00b"),
            Ok(Parsed::Abstract(b"a\x00b"))
        );
        assert_eq!(parse(&[1; 111]), Err(EINVAL));
    }
}
