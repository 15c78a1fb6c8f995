//! An endpoint and what is queued for it.

use super::address::{Bound, unnamed};
use crate::{Network, Node, option::Options};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};
use tuxlet_sync::{Mutex, WaitQueue};
use tuxlet_uapi::{
    errno::Errno,
    socket::{SOCK_DGRAM, SOCK_STREAM, Ucred},
};
use tuxlet_vfs::{Cx, Events, File};

/// `net.unix.max_dgram_qlen`: a queue with more datagrams is full.
pub(super) const MAX_DATAGRAMS: usize = 10;

/// One message, or a piece of a stream.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) data: Vec<u8>,
    /// Bytes of `data` that were read already.
    pub(super) start: usize,
    pub(super) files: Vec<Arc<File>>,
    pub(super) cred: Ucred,
    /// The sender's name.
    pub(super) from: Option<Arc<Bound>>,
}

/// Who is at the other end: `SO_PEERCRED`, `SO_PEERGROUPS`.
#[derive(Clone, Debug)]
pub(super) struct PeerCred {
    pub(super) ucred: Ucred,
    pub(super) groups: Vec<u32>,
}

impl PeerCred {
    /// The caller.
    pub(super) fn of(cx: &Cx) -> PeerCred {
        PeerCred {
            ucred: Ucred {
                pid: cx.tgid.cast_signed(),
                uid: cx.cred.euid,
                gid: cx.cred.egid,
            },
            groups: cx.cred.groups.to_vec(),
        }
    }
}

/// What a connection-oriented endpoint does.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing yet.
    Idle,
    /// In the middle of connect(2).
    Connecting,
    /// Waits for connections.
    Listening {
        backlog: usize,
        pending: VecDeque<Arc<Sock>>,
    },
    /// Has, or had, a peer.
    Connected,
    /// Its file is gone.
    Closed,
}

/// The changing part of an endpoint.
#[derive(Debug)]
pub(super) struct State {
    pub(super) bound: Option<Arc<Bound>>,
    /// Whether the name was given to this endpoint; accepted ones only show their listener's.
    pub(super) owns_name: bool,
    pub(super) phase: Phase,
    pub(super) peer: Option<Weak<Sock>>,
    /// The peer's name when it was connected.
    pub(super) peer_name: Vec<u8>,
    pub(super) peer_cred: Option<PeerCred>,
    pub(super) messages: VecDeque<Message>,
    /// Bytes in `messages`.
    pub(super) queued: usize,
    pub(super) shut_read: bool,
    pub(super) shut_write: bool,
    pub(super) error: Option<Errno>,
    /// Endpoints that found this one's queue or backlog full.
    pub(super) starved: Vec<Weak<Sock>>,
}

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Sock {
    pub(super) net: Arc<Network>,
    pub(super) kind: u32,
    pub(super) node: Node,
    pub(super) options: Options,
    pub(super) queue: WaitQueue,
    pub(super) state: Mutex<State>,
    /// How deep sockets are nested in this one's queue.
    pub(super) nesting: AtomicU32,
}

impl Drop for Sock {
    fn drop(&mut self) {
        self.net.registry.remove_unix(self.node.ino);
    }
}

impl Sock {
    pub(super) fn new(net: &Arc<Network>, cx: &Cx, kind: u32) -> Arc<Sock> {
        let sock = Arc::new(Sock {
            net: Arc::clone(net),
            kind,
            node: net.node(cx),
            options: Options::default(),
            queue: WaitQueue::new(),
            state: Mutex::new(State {
                bound: None,
                owns_name: false,
                phase: Phase::Idle,
                peer: None,
                peer_name: unnamed(),
                peer_cred: None,
                messages: VecDeque::new(),
                queued: 0,
                shut_read: false,
                shut_write: false,
                error: None,
                starved: Vec::new(),
            }),
            nesting: AtomicU32::new(0),
        });
        net.registry.add_unix(&sock);
        sock
    }

    pub(super) fn is_stream(&self) -> bool {
        self.kind == SOCK_STREAM
    }

    pub(super) fn is_datagram(&self) -> bool {
        self.kind == SOCK_DGRAM
    }

    /// The other end, if it is there and open.
    pub(super) fn peer(&self) -> Option<Arc<Sock>> {
        self.state.lock().peer.as_ref().and_then(Weak::upgrade)
    }

    pub(super) fn wake(&self, events: Events) {
        self.queue.wake_all(events.bits());
    }

    pub(super) fn raise_nesting(&self, level: u32) {
        self.nesting.fetch_max(level, Ordering::Relaxed);
    }

    /// Makes `self` and `other` each other's peers; the names and credentials are what each then sees of the
    /// other.
    pub(super) fn connect_to(&self, other: &Arc<Sock>, name: Vec<u8>, cred: Option<PeerCred>) {
        let mut state = self.state.lock();
        state.phase = Phase::Connected;
        state.peer = Some(Arc::downgrade(other));
        state.peer_name = name;
        state.peer_cred = cred;
    }
}

impl State {
    pub(super) fn name(&self) -> Vec<u8> {
        self.bound
            .as_ref()
            .map_or_else(unnamed, |b| b.bytes.clone())
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    pub(super) fn datagrams_full(&self) -> bool {
        self.messages.len() > MAX_DATAGRAMS
    }

    /// Remembers one to wake when there is room.
    pub(super) fn add_starved(&mut self, sock: &Arc<Sock>) {
        self.starved.retain(|s| s.strong_count() > 0);
        let sock = Arc::downgrade(sock);
        if !self.starved.iter().any(|s| s.ptr_eq(&sock)) {
            self.starved.push(sock);
        }
    }
}

/// Wakes those whom [`State::add_starved`] remembered.
pub(super) fn wake_starved(starved: Vec<Weak<Sock>>) {
    for sock in starved.iter().filter_map(Weak::upgrade) {
        sock.wake(Events::WRITABLE);
    }
}
