//! What can be seen of a Unix socket from outside.

use super::state::{Phase, Sock};
use std::sync::Weak;
use tuxlet_uapi::{
    sock_diag::{TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN},
    socket::SO_RCVBUF,
};

/// What sock_diag(7) and `/proc/net/unix` tell of a Unix socket.
#[derive(Clone, Debug)]
pub struct UnixInfo {
    /// Inode number.
    pub ino: u64,
    /// Owner.
    pub uid: u32,
    /// `SOCK_*`.
    pub kind: u32,
    /// `TCP_ESTABLISHED`, `TCP_LISTEN` or `TCP_CLOSE`.
    pub state: u8,
    /// `sun_path`: a path with its NUL, or an abstract name behind its NUL; empty without a name.
    pub name: Vec<u8>,
    /// Inode number of the path, and its device number as the kernel itself writes it.
    pub vfs: Option<(u64, u32)>,
    /// Inode number of the peer.
    pub peer: Option<u64>,
    /// Inode numbers of those whose connections wait to be accepted.
    pub pending: Vec<u64>,
    /// Bytes that wait to be received; of a listening socket the connections that wait.
    pub recv_queue: u32,
    /// Bytes that the peer has not received yet; of a listening socket the most connections that may wait.
    pub send_queue: u32,
    /// `SO_RCVBUF`.
    pub rcvbuf: u32,
    /// `SO_SNDBUF`.
    pub sndbuf: u32,
    /// Bit 0: nothing more is received; bit 1: nothing more is sent.
    pub shutdown: u8,
}

impl Sock {
    pub(crate) fn ino(&self) -> u64 {
        self.node.ino
    }

    /// What is seen of this endpoint; `None` once it is closed.
    pub(crate) fn info(&self) -> Option<UnixInfo> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let state = self.state.lock();
        let (tcp_state, recv_queue, backlog, waiting) = match &state.phase {
            Phase::Closed => return None,
            Phase::Listening { backlog, pending } => {
                let waiting = pending.iter().cloned().collect();
                (TCP_LISTEN, pending.len(), *backlog, waiting)
            }
            Phase::Connected => (TCP_ESTABLISHED, state.queued, 0, Vec::new()),
            Phase::Idle | Phase::Connecting => (TCP_CLOSE, state.queued, 0, Vec::new()),
        };
        let peer = state.peer.as_ref().and_then(Weak::upgrade);
        let bound = state.bound.clone();
        let shutdown = u8::from(state.shut_read) | u8::from(state.shut_write) << 1;
        drop(state);
        let send_queue = match &peer {
            Some(peer) => peer.state.lock().queued,
            None => backlog,
        };
        let rcvbuf = self
            .options
            .get(SO_RCVBUF, 4)
            .and_then(|v| v.try_into().ok());
        Some(UnixInfo {
            ino: self.node.ino,
            uid: self.node.uid,
            kind: self.kind,
            state: tcp_state,
            name: bound
                .as_ref()
                .map_or_else(Vec::new, |b| b.bytes[2..].to_vec()),
            vfs: bound.as_ref().and_then(|b| b.inode_number()),
            peer: peer.map(|p| p.node.ino),
            pending: waiting
                .iter()
                .filter_map(|s: &std::sync::Arc<Sock>| s.peer())
                .map(|p| p.node.ino)
                .collect(),
            recv_queue: count(recv_queue),
            send_queue: count(send_queue),
            rcvbuf: rcvbuf.map_or(0, u32::from_le_bytes),
            sndbuf: count(self.options.sndbuf()),
            shutdown,
        })
    }
}
