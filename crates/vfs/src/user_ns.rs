//! User namespaces: user_namespaces(7). Everywhere in the kernel ids are those of the initial namespace; a namespace
//! translates between them and what its members see.

use parking_lot::RwLock;
use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// What an id without a mapping is shown as: `/proc/sys/kernel/overflowuid`.
pub const OVERFLOW_ID: u32 = 65_534;
/// So many namespaces may be nested in the initial one.
pub const MAX_LEVEL: u32 = 32;

/// Inode numbers of namespaces made at run time; the initial ones have Linux' fixed numbers below.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(4_026_532_200);

/// The inode number of a new namespace of any kind.
#[must_use]
pub fn next_number() -> u64 {
    NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Consecutive ids of a namespace and the ids of the initial namespace that they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdExtent {
    /// First id in the namespace.
    pub first: u32,
    /// First id in the initial namespace.
    pub global: u32,
    /// How many.
    pub count: u32,
}

/// The map of user ids or of group ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(Vec<IdExtent>);

impl IdMap {
    /// A map of these extents, which do not overlap.
    #[must_use]
    pub fn new(extents: Vec<IdExtent>) -> Self {
        Self(extents)
    }

    /// The extents; none while nothing has been written.
    #[must_use]
    pub fn extents(&self) -> &[IdExtent] {
        &self.0
    }

    /// The initial namespace's id for one of this namespace.
    #[must_use]
    pub fn to_global(&self, id: u32) -> Option<u32> {
        let inside = |e: &&IdExtent| id >= e.first && id - e.first < e.count;
        self.0
            .iter()
            .find(inside)
            .map(|e| e.global + (id - e.first))
    }

    /// This namespace's id for one of the initial namespace.
    #[must_use]
    pub fn of_global(&self, id: u32) -> Option<u32> {
        let inside = |e: &&IdExtent| id >= e.global && id - e.global < e.count;
        self.0
            .iter()
            .find(inside)
            .map(|e| e.first + (id - e.global))
    }
}

/// Both maps.
#[derive(Clone, Debug, Default)]
pub struct IdMaps {
    /// Users.
    pub uid: IdMap,
    /// Groups.
    pub gid: IdMap,
}

/// A user namespace.
#[derive(Debug)]
pub struct UserNs {
    number: u64,
    parent: Option<Arc<Self>>,
    level: u32,
    /// The effective ids of its maker, as ids of the initial namespace.
    owner: (u32, u32),
    maps: RwLock<IdMaps>,
    setgroups_denied: AtomicBool,
}

impl PartialEq for UserNs {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for UserNs {}

impl UserNs {
    /// The initial namespace, the same for all machines: nothing in it changes.
    #[must_use]
    pub fn initial() -> &'static Arc<Self> {
        static INITIAL: LazyLock<Arc<UserNs>> = LazyLock::new(|| {
            let all = IdMap::new(vec![IdExtent {
                first: 0,
                global: 0,
                count: u32::MAX,
            }]);
            Arc::new(UserNs {
                number: 4_026_531_837,
                parent: None,
                level: 0,
                owner: (0, 0),
                maps: RwLock::new(IdMaps {
                    uid: all.clone(),
                    gid: all,
                }),
                setgroups_denied: AtomicBool::new(false),
            })
        });
        &INITIAL
    }

    /// A namespace in another one. `None` if they are nested too deeply.
    #[must_use]
    pub fn child(parent: &Arc<Self>, owner: (u32, u32)) -> Option<Arc<Self>> {
        if parent.level >= MAX_LEVEL {
            return None;
        }
        Some(Arc::new(Self {
            number: next_number(),
            parent: Some(Arc::clone(parent)),
            level: parent.level + 1,
            owner,
            maps: RwLock::default(),
            setgroups_denied: AtomicBool::new(parent.setgroups_denied()),
        }))
    }

    /// The inode number of `/proc/PID/ns/user`.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The namespace that this one is in.
    #[must_use]
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Whether this is the initial namespace.
    #[must_use]
    pub fn is_initial(&self) -> bool {
        self.parent.is_none()
    }

    /// How deeply nested, 0 for the initial one.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level
    }

    /// User and group id of the maker, as ids of the initial namespace.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// Whether this namespace is `other` or lies in it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let mut at = self;
        while at.level > other.level {
            match &at.parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        at == other
    }

    /// Looks at the maps.
    pub fn with_maps<R>(&self, look: impl FnOnce(&IdMaps) -> R) -> R {
        look(&self.maps.read())
    }

    /// Changes the maps: writing to `/proc/PID/uid_map` and `gid_map`.
    pub fn change_maps<R>(&self, change: impl FnOnce(&mut IdMaps) -> R) -> R {
        change(&mut self.maps.write())
    }

    /// The initial namespace's user id for an id of this one.
    #[must_use]
    pub fn global_uid(&self, id: u32) -> Option<u32> {
        if self.is_initial() {
            (id != u32::MAX).then_some(id)
        } else {
            self.maps.read().uid.to_global(id)
        }
    }

    /// The initial namespace's group id for an id of this one.
    #[must_use]
    pub fn global_gid(&self, id: u32) -> Option<u32> {
        if self.is_initial() {
            (id != u32::MAX).then_some(id)
        } else {
            self.maps.read().gid.to_global(id)
        }
    }

    /// Whether a user id of the initial namespace has one here.
    #[must_use]
    pub fn maps_uid(&self, id: u32) -> bool {
        self.is_initial() || self.maps.read().uid.of_global(id).is_some()
    }

    /// Whether a group id of the initial namespace has one here.
    #[must_use]
    pub fn maps_gid(&self, id: u32) -> bool {
        self.is_initial() || self.maps.read().gid.of_global(id).is_some()
    }

    /// How a user id of the initial namespace is shown here.
    #[must_use]
    pub fn shown_uid(&self, id: u32) -> u32 {
        if self.is_initial() {
            return id;
        }
        self.maps.read().uid.of_global(id).unwrap_or(OVERFLOW_ID)
    }

    /// How a group id of the initial namespace is shown here.
    #[must_use]
    pub fn shown_gid(&self, id: u32) -> u32 {
        if self.is_initial() {
            return id;
        }
        self.maps.read().gid.of_global(id).unwrap_or(OVERFLOW_ID)
    }

    /// Whether setgroups(2) is forbidden for good: `/proc/PID/setgroups`.
    #[must_use]
    pub fn setgroups_denied(&self) -> bool {
        self.setgroups_denied.load(Ordering::Acquire)
    }

    /// Forbids setgroups(2).
    pub fn deny_setgroups(&self) {
        self.setgroups_denied.store(true, Ordering::Release);
    }
}
