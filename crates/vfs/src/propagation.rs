//! Who hears of mounts made and removed below a mount: mount_namespaces(7), "Shared subtrees".
//!
//! All of it is called under the namespace's lock.

use crate::{dentry::Dentry, mount::Mount, path::Path};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

/// Ids of peer groups are unique among all machines of the process; only equality matters to guests.
static NEXT_GROUP: AtomicU32 = AtomicU32::new(1);

/// The propagation types of mount(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Tells and hears nothing: `MS_PRIVATE`.
    Private,
    /// Tells its peers and hears from them: `MS_SHARED`.
    Shared,
    /// Hears from those who were its peers: `MS_SLAVE`.
    Slave,
    /// Private, and cannot be bound elsewhere: `MS_UNBINDABLE`.
    Unbindable,
}

/// How a copy of a mount relates to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Hears what the original hears.
    Peer,
    /// Hears from the original's peers.
    Slave,
    /// The same, with peers of its own.
    SharedSlave,
}

/// Mounts that tell each other.
pub(crate) struct PeerGroup {
    id: u32,
    peers: Mutex<Vec<Weak<Mount>>>,
    slaves: Mutex<Vec<Weak<Mount>>>,
}

impl fmt::Debug for PeerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerGroup")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A mount's place among others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    shared: Option<Arc<PeerGroup>>,
    master: Option<Arc<PeerGroup>>,
    unbindable: bool,
}

fn living(list: &Mutex<Vec<Weak<Mount>>>) -> Vec<Arc<Mount>> {
    let mut list = list.lock();
    list.retain(|m| m.strong_count() > 0);
    list.iter().filter_map(Weak::upgrade).collect()
}

fn remove(list: &Mutex<Vec<Weak<Mount>>>, mount: &Arc<Mount>) {
    list.lock()
        .retain(|m| !std::ptr::eq(m.as_ptr(), Arc::as_ptr(mount)));
}

impl PeerGroup {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            id: NEXT_GROUP.fetch_add(1, Ordering::Relaxed),
            peers: Mutex::default(),
            slaves: Mutex::default(),
        })
    }
}

impl Mount {
    fn shared_group(&self) -> Option<Arc<PeerGroup>> {
        self.links.lock().shared.clone()
    }

    /// Whether mounts made below are told to peers.
    pub(crate) fn is_shared(&self) -> bool {
        self.links.lock().shared.is_some()
    }

    /// Whether it may not be bound elsewhere.
    pub(crate) fn is_unbindable(&self) -> bool {
        self.links.lock().unbindable
    }

    /// The optional fields of `/proc/PID/mountinfo`, each after a blank.
    #[must_use]
    pub fn propagation_fields(&self) -> String {
        let links = self.links.lock();
        let mut out = String::new();
        for (name, group) in [("shared", &links.shared), ("master", &links.master)] {
            if let Some(group) = group {
                out.push_str(&format!(" {name}:{}", group.id));
            }
        }
        if links.unbindable {
            out.push_str(" unbindable");
        }
        out
    }

    /// The ids of the own and of the master's peer group, 0 for none, and the type as an `MS_*` bit: statmount(2).
    #[must_use]
    pub fn propagation(&self) -> (u32, u32, Propagation) {
        let links = self.links.lock();
        let id = |group: &Option<Arc<PeerGroup>>| group.as_ref().map_or(0, |g| g.id);
        let kind = if links.unbindable {
            Propagation::Unbindable
        } else if links.shared.is_some() {
            Propagation::Shared
        } else if links.master.is_some() {
            Propagation::Slave
        } else {
            Propagation::Private
        };
        (id(&links.shared), id(&links.master), kind)
    }

    fn join(self: &Arc<Self>, group: Arc<PeerGroup>) {
        group.peers.lock().push(Arc::downgrade(self));
        self.links.lock().shared = Some(group);
    }

    fn follow(self: &Arc<Self>, master: Option<Arc<PeerGroup>>) {
        if let Some(group) = &master {
            group.slaves.lock().push(Arc::downgrade(self));
        }
        let old = std::mem::replace(&mut self.links.lock().master, master);
        if let Some(group) = old {
            remove(&group.slaves, self);
            // Following the same group again must not undo what was just done.
            if self
                .links
                .lock()
                .master
                .as_ref()
                .is_some_and(|m| Arc::ptr_eq(m, &group))
            {
                group.slaves.lock().push(Arc::downgrade(self));
            }
        }
    }

    /// Leaves the peers; the slaves of a group that this empties follow its own master. The group, if others remain.
    fn leave(self: &Arc<Self>) -> Option<Arc<PeerGroup>> {
        let (group, master) = {
            let mut links = self.links.lock();
            (links.shared.take()?, links.master.clone())
        };
        remove(&group.peers, self);
        if !living(&group.peers).is_empty() {
            return Some(group);
        }
        for slave in living(&group.slaves) {
            slave.follow(master.clone());
        }
        None
    }

    /// Changes the type.
    pub(crate) fn set_propagation(self: &Arc<Self>, to: Propagation) {
        match to {
            Propagation::Shared => {
                if !self.is_shared() {
                    self.join(PeerGroup::new());
                }
            }
            Propagation::Slave => {
                if let Some(peers) = self.leave() {
                    self.follow(Some(peers));
                }
            }
            Propagation::Private | Propagation::Unbindable => {
                self.leave();
                self.follow(None);
            }
        }
        self.links.lock().unbindable = to == Propagation::Unbindable;
    }

    /// Makes this fresh copy of `original` what it is to be to it.
    pub(crate) fn relate(self: &Arc<Self>, original: &Self, relation: Relation) {
        let links = original.links.lock().clone();
        match relation {
            Relation::Peer => {
                if let Some(group) = links.shared {
                    self.join(group);
                }
                self.follow(links.master);
            }
            Relation::Slave | Relation::SharedSlave => {
                self.follow(links.shared);
                if relation == Relation::SharedSlave {
                    self.join(PeerGroup::new());
                }
            }
        }
    }
}

/// The mounts that hear of what happens below `origin`, without itself.
pub(crate) fn receivers(origin: &Arc<Mount>) -> Vec<Arc<Mount>> {
    let mut out = Vec::new();
    let mut groups: Vec<_> = origin.shared_group().into_iter().collect();
    let mut next = 0;
    while let Some(group) = groups.get(next).cloned() {
        next += 1;
        out.extend(
            living(&group.peers)
                .into_iter()
                .filter(|p| !Arc::ptr_eq(p, origin)),
        );
        for slave in living(&group.slaves) {
            match slave.shared_group() {
                None => out.push(slave),
                Some(own) if groups.iter().any(|g| Arc::ptr_eq(g, &own)) => {}
                Some(own) => groups.push(own),
            }
        }
    }
    out
}

/// The copies of `tree`, which is about to be mounted at `at` on a shared mount, for all who hear of it, and where
/// they belong. All mounts of the tree are shared.
pub(crate) fn copies(tree: &Arc<Mount>, at: &Path) -> Vec<(Arc<Mount>, Path)> {
    let mut out = Vec::new();
    let Some(group) = at.mount.shared_group() else {
        return out;
    };
    let place = |mount: &Arc<Mount>| {
        let there: &Arc<Dentry> = &at.dentry;
        mount.root().is_ancestor_of(there).then(|| Path {
            mount: Arc::clone(mount),
            dentry: Arc::clone(there),
        })
    };
    let mut groups = vec![(Arc::clone(tree), group, Arc::clone(&at.mount))];
    let mut next = 0;
    while let Some((source, group, told)) = groups.get(next).cloned() {
        next += 1;
        for peer in living(&group.peers) {
            if !Arc::ptr_eq(&peer, &told)
                && let Some(place) = place(&peer)
            {
                out.push((source.copy_tree(Relation::Peer), place));
            }
        }
        for slave in living(&group.slaves) {
            let own = slave.shared_group();
            let relation = match &own {
                None => Relation::Slave,
                Some(own) if groups.iter().any(|(_, g, _)| Arc::ptr_eq(g, own)) => continue,
                Some(_) => Relation::SharedSlave,
            };
            let copy = source.copy_tree(relation);
            if let Some(place) = place(&slave) {
                out.push((Arc::clone(&copy), place));
            }
            if let Some(own) = own {
                groups.push((copy, own, slave));
            }
        }
    }
    out
}
