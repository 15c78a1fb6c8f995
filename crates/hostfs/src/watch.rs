//! What the host tells of changes.

use crate::node::{Key, Node};
use std::sync::{Arc, Weak, atomic::Ordering};
use tuxlet_host::fs::{Change, Listener, Watched};
use tuxlet_uapi::{errno::Errno, inotify::IN_Q_OVERFLOW};
use tuxlet_vfs::{FileType, notify};

/// The host's inotify, which tells of what anybody does, as the only source of what can change a file: the guest's own changes come
/// back by it. Opening and reading are the guest's alone.
#[derive(Debug)]
struct Outside {
    node: Weak<Node>,
    watched: Watched,
}

impl notify::Outside for Outside {
    fn collect(&self) {
        self.watched.collect();
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            node.watched.store(false, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct Ear(Weak<Node>);

impl Listener for Ear {
    fn changed(&self, change: &Change<'_>) {
        let Some(node) = self.0.upgrade() else {
            return;
        };
        node.changed();
        let event = notify::Event {
            mask: change.mask,
            cookie: change.cookie,
            name: change.name,
            unlinked: false,
        };
        notify::from_outside(&node.anchor, &event);
    }
}

impl Node {
    /// Has the host tell of changes. `None` where it cannot, or where nobody else makes any.
    pub(crate) fn watch(&self) -> Option<Arc<dyn notify::Outside>> {
        if self.shared.options.exclusive
            || !matches!(self.kind, FileType::Regular | FileType::Directory)
        {
            return None;
        }
        let node = Arc::downgrade(&self.strong());
        let ear = Arc::new(Ear(node.clone()));
        let wanted = notify::OUTSIDE | IN_Q_OVERFLOW;
        let watched = self
            .last_name()
            .and_then(|(dir, name)| dir.watch(&name, wanted, ear))
            .and_then(|(watched, stat)| {
                if Key::of(&stat) == self.key {
                    Ok(watched)
                } else {
                    Err(Errno::ESTALE)
                }
            });
        match watched {
            Ok(watched) => {
                self.watched.store(true, Ordering::Relaxed);
                self.close_dir();
                Some(Arc::new(Outside { node, watched }))
            }
            // What others do then stays unknown, as on hosts without inotify.
            Err(_) => None,
        }
    }
}
