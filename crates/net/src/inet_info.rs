//! What can be seen of an Internet socket from outside: its addresses, state and queues, asked of the host.
//!
//! DEVIATION: connections that nobody has accepted yet or that were closed (`TCP_TIME_WAIT`) are only the host's, and not
//! seen.

use crate::{Node, inet::Shared};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tuxlet_host::net::Socket;
use tuxlet_sync::Mutex;
use tuxlet_uapi::{
    errno::Result,
    sock_diag::{TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN},
    socket::*,
};

/// Enough for any kernel's `struct tcp_info`.
const TCP_INFO_ROOM: usize = 512;

/// An address and a port of an Internet socket; zeros where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// In network order; an IPv4 address is the first four bytes.
    pub address: [u8; 16],
    /// The port; of a raw socket the protocol.
    pub port: u16,
}

impl Endpoint {
    /// Reads a `struct sockaddr_in` or `sockaddr_in6`.
    fn of(name: &[u8]) -> Endpoint {
        let mut endpoint = Endpoint::default();
        let v6 = name.get(..2) == Some(&AF_INET6.to_le_bytes());
        let (at, len) = if v6 { (8, 16) } else { (4, 4) };
        if let (Some(port), Some(address)) = (name.get(2..4), name.get(at..at + len)) {
            endpoint.port = u16::from_be_bytes([port[0], port[1]]);
            endpoint.address[..len].copy_from_slice(address);
        }
        endpoint
    }
}

/// What sock_diag(7) and `/proc/net` tell of an Internet socket.
#[derive(Clone, Debug)]
pub struct InetInfo {
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// `SOCK_*`.
    pub kind: u32,
    /// `IPPROTO_*`.
    pub protocol: u32,
    /// Inode number.
    pub ino: u64,
    /// Owner.
    pub uid: u32,
    /// `TCP_*`; sockets of other protocols are established or closed.
    pub state: u8,
    /// Own name.
    pub local: Endpoint,
    /// The peer's name.
    pub peer: Endpoint,
    /// Bytes that wait to be received; of a listening socket the connections that wait to be accepted.
    pub recv_queue: u32,
    /// Bytes that are not acknowledged; of a listening socket the most connections that may wait.
    pub send_queue: u32,
    /// Retransmissions of what has not been acknowledged.
    pub retransmits: u8,
}

/// What it takes to listen again.
#[derive(Debug)]
struct Listening {
    name: Vec<u8>,
    backlog: i32,
}

/// An Internet socket as the machine's list of sockets has it.
#[derive(Debug)]
pub(crate) struct InetEntry {
    pub(crate) node: Node,
    pub(crate) domain: u16,
    pub(crate) kind: u32,
    pub(crate) protocol: u32,
    shared: Arc<Shared>,
    /// listen(2) was called.
    listening: Mutex<Option<Listening>>,
    /// The options that were set, in their order: level, name, value.
    options: Mutex<Vec<(u32, u32, Vec<u8>)>>,
    /// bind(2) was called with a port.
    port_chosen: AtomicBool,
}

impl InetEntry {
    pub(crate) fn new(
        node: Node,
        domain: u16,
        kind: u32,
        protocol: u32,
        shared: &Arc<Shared>,
    ) -> Arc<InetEntry> {
        Arc::new(InetEntry {
            node,
            domain,
            kind,
            protocol,
            shared: Arc::clone(shared),
            listening: Mutex::default(),
            options: Mutex::default(),
            port_chosen: AtomicBool::new(false),
        })
    }

    pub(crate) fn ino(&self) -> u64 {
        self.node.ino
    }

    /// The host's socket.
    pub(crate) fn socket(&self) -> &Socket {
        &self.shared.socket
    }

    /// Remembers a successful listen(2).
    pub(crate) fn set_listening(&self, backlog: i32) {
        let name = self.socket().local_name().unwrap_or_default();
        *self.listening.lock() = Some(Listening { name, backlog });
    }

    /// Remembers a successful setsockopt(2), as far as listening sockets can need it.
    pub(crate) fn set_option(&self, level: u32, name: u32, value: &[u8]) {
        if self.kind == SOCK_STREAM {
            let mut options = self.options.lock();
            options.retain(|(l, n, _)| (*l, *n) != (level, name));
            options.push((level, name, value.to_vec()));
        }
    }

    /// Listens again if the host has ended the listening socket, with a new one at the same address. Connections that had not been
    /// accepted are lost.
    pub(crate) fn renew_listener(self: &Arc<Self>) -> Result<()> {
        let listening = self.listening.lock();
        let Some(Listening { name, backlog }) = &*listening else {
            return Ok(());
        };
        if self.socket().is_listening() {
            return Ok(());
        }
        self.shared.renew(|socket| {
            socket.renew(self.domain, self.kind, self.protocol)?;
            for (level, name, value) in &*self.options.lock() {
                // One that the host does not take once more is less than no listener at all.
                let _ = socket.set_option(*level, *name, value);
            }
            socket.bind(name)?;
            socket.listen(*backlog)
        })
    }

    /// Remembers what a successful bind(2) asked for.
    pub(crate) fn set_bound(&self, name: &[u8]) {
        let chosen = Endpoint::of(name).port != 0;
        self.port_chosen.store(chosen, Ordering::Relaxed);
    }

    pub(crate) fn port_chosen(&self) -> bool {
        self.port_chosen.load(Ordering::Relaxed)
    }

    /// An integer option, if the host has it.
    pub(crate) fn int_option(&self, level: u32, name: u32) -> Option<u32> {
        let value = self.socket().option(level, name, 4).ok()?;
        Some(u32::from_le_bytes(value.try_into().ok()?))
    }

    /// The host's `struct tcp_info`, if it has one of Linux' form.
    pub(crate) fn tcp_info(&self) -> Option<Vec<u8>> {
        if self.protocol != IPPROTO_TCP {
            return None;
        }
        let info = self.socket().option(IPPROTO_TCP, TCP_INFO, TCP_INFO_ROOM);
        info.ok().filter(|i| i.len() >= 32)
    }

    /// What is seen of the socket; `None` if Linux would not list it, because it has no name or is closed.
    pub(crate) fn info(&self) -> Option<InetInfo> {
        let mut local = Endpoint::of(&self.socket().local_name().unwrap_or_default());
        let peer_name = self.socket().peer_name().ok();
        let peer = peer_name.as_deref().map(Endpoint::of).unwrap_or_default();
        let tcp_info = self.tcp_info();
        let state = match &tcp_info {
            Some(info) => info[0],
            None if peer_name.is_some() => TCP_ESTABLISHED,
            None if self.listening.lock().is_some() => TCP_LISTEN,
            None => TCP_CLOSE,
        };
        if self.kind == SOCK_RAW {
            local.port = self.protocol as u16;
        } else if local.port == 0 || (self.protocol == IPPROTO_TCP && state == TCP_CLOSE) {
            return None;
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (recv_queue, send_queue) = match &tcp_info {
            // A listening socket's tcpi_unacked and tcpi_sacked.
            Some(info) if state == TCP_LISTEN => {
                let int = |at: usize| info[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
                (int(24), int(28))
            }
            _ => (
                count(self.socket().readable_len().unwrap_or(0)),
                count(self.socket().unsent_len().unwrap_or(0)),
            ),
        };
        Some(InetInfo {
            family: self.domain,
            kind: self.kind,
            protocol: self.protocol,
            ino: self.node.ino,
            uid: self.node.uid,
            state,
            local,
            peer,
            recv_queue,
            send_queue,
            retransmits: tcp_info.map_or(0, |i| i[2]),
        })
    }
}
