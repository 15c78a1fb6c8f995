//! Whose files the guest sees.

/// How host owners appear in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Owners {
    /// The user and group that this process runs as appear as 0, others as they are: root in the guest sees
    /// its own files.
    #[default]
    SelfAsRoot,
    /// All as they are.
    AsTheyAre,
}

/// The translation of user and group ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerMap {
    how: Owners,
    uid: u32,
    gid: u32,
}

impl OwnerMap {
    pub(crate) fn new(how: Owners) -> Self {
        let (uid, gid) = tuxlet_host::fs::effective_ids();
        Self { how, uid, gid }
    }

    fn one(self, id: u32, own: u32) -> u32 {
        match self.how {
            Owners::SelfAsRoot if id == own => 0,
            _ => id,
        }
    }

    fn back(self, id: u32, own: u32) -> u32 {
        match self.how {
            Owners::SelfAsRoot if id == 0 => own,
            _ => id,
        }
    }

    /// The guest's view of a host owner and group.
    pub(crate) fn to_guest(self, uid: u32, gid: u32) -> (u32, u32) {
        (self.one(uid, self.uid), self.one(gid, self.gid))
    }

    /// The host's owner for one in the guest.
    pub(crate) fn host_uid(self, uid: u32) -> u32 {
        self.back(uid, self.uid)
    }

    /// The host's group for one in the guest.
    pub(crate) fn host_gid(self, gid: u32) -> u32 {
        self.back(gid, self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedder_is_root() {
        let map = OwnerMap {
            how: Owners::SelfAsRoot,
            uid: 501,
            gid: 20,
        };
        assert_eq!(map.to_guest(501, 20), (0, 0));
        assert_eq!(map.to_guest(0, 5), (0, 5));
        assert_eq!(
            (map.host_uid(0), map.host_gid(0), map.host_uid(7)),
            (501, 20, 7)
        );
        let plain = OwnerMap {
            how: Owners::AsTheyAre,
            ..map
        };
        assert_eq!((plain.to_guest(501, 20), plain.host_uid(0)), ((501, 20), 0));
    }
}
