//! The end of an endpoint, and of the files in its queue.

use super::{
    UnixSocket,
    state::{Message, Phase, Sock, wake_starved},
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{Arc, Weak, atomic::Ordering},
};
use tuxlet_uapi::errno::ECONNRESET;
use tuxlet_vfs::{Events, File};

/// How deep sockets may be nested in the queues of sockets, as in Linux.
pub(crate) const MAX_NESTING: u32 = 4;

/// How deep sockets are nested in the queue of the socket behind `file`; 0 if it is none.
pub fn nesting(file: &File) -> u32 {
    file.ops_as::<UnixSocket>()
        .map_or(0, |s| s.sock.nesting.load(Ordering::Relaxed))
}

thread_local! {
    /// Messages waiting to be dropped by the outermost [`discard`] of this thread.
    static GRAVEYARD: RefCell<Option<Vec<Message>>> = const { RefCell::new(None) };
}

/// Drops messages. Their files may be sockets with messages with files…: what is nested is dropped in a loop,
/// not by recursion, since the guest decides how deep it goes.
pub(super) fn discard(messages: impl IntoIterator<Item = Message>) {
    let messages: Vec<Message> = messages
        .into_iter()
        .filter(|m| !m.files.is_empty())
        .collect();
    if messages.is_empty() {
        return;
    }
    let outermost = GRAVEYARD.with_borrow_mut(|graveyard| {
        let outermost = graveyard.is_none();
        graveyard.get_or_insert_default().extend(messages);
        outermost
    });
    if !outermost {
        return;
    }
    loop {
        let next = GRAVEYARD.with_borrow_mut(|graveyard| {
            let next = graveyard.as_mut().and_then(Vec::pop);
            if next.is_none() {
                *graveyard = None;
            }
            next
        });
        match next {
            Some(message) => drop(message),
            None => return,
        }
    }
}

impl Sock {
    /// Ends the endpoint: its name is free, its peer sees the end. `embryo`: it was never accepted.
    pub(super) fn close(&self, embryo: bool) {
        let mut state = self.state.lock();
        let phase = std::mem::replace(&mut state.phase, Phase::Closed);
        let bound = state.bound.take();
        let owns_name = state.owns_name;
        let peer = state.peer.take().as_ref().and_then(Weak::upgrade);
        let messages = std::mem::take(&mut state.messages);
        let starved = std::mem::take(&mut state.starved);
        state.queued = 0;
        state.shut_read = true;
        state.shut_write = true;
        drop(state);
        if let Some(bound) = bound.filter(|_| owns_name) {
            self.net.names.unbind(&bound);
        }
        if let Some(peer) = peer
            && !self.is_datagram()
        {
            let mut state = peer.state.lock();
            state.shut_read = true;
            state.shut_write = true;
            if !messages.is_empty() || embryo {
                state.error = Some(ECONNRESET);
            }
            drop(state);
            peer.wake(Events::READABLE | Events::WRITABLE | Events::HUP | Events::RDHUP);
        }
        if let Phase::Listening { pending, .. } = phase {
            close_pending(pending);
        }
        wake_starved(starved);
        self.wake(Events::HUP);
        discard(messages);
    }
}

fn close_pending(pending: VecDeque<Arc<Sock>>) {
    for sock in pending {
        sock.close(true);
    }
}
