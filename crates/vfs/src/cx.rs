//! The caller's context: credentials(7) and the clock, passed explicitly.

use crate::{
    attr::{Attr, Time},
    user_ns::UserNs,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// A process's credentials as the file layer sees them: credentials(7), capabilities(7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cred {
    /// Real, effective, saved and file system user ids.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Saved set-user-id.
    pub suid: u32,
    /// File system user id, the one files are checked against.
    pub fsuid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Saved set-group-id.
    pub sgid: u32,
    /// File system group id.
    pub fsgid: u32,
    /// Supplementary groups.
    pub groups: SmallVec<[u32; 8]>,
    /// Effective capability set, one bit per `CAP_*`.
    pub cap_effective: u64,
    /// Permitted capability set.
    pub cap_permitted: u64,
    /// Inheritable capability set.
    pub cap_inheritable: u64,
    /// Bounding set.
    pub cap_bounding: u64,
    /// Ambient set.
    pub cap_ambient: u64,
    /// `SECBIT_*` flags.
    pub securebits: u32,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// The namespace that the capabilities are for. All ids here are those of the initial one.
    pub user_ns: Arc<UserNs>,
}

/// All capabilities of Linux 6.12 (0..=40).
pub const CAP_FULL: u64 = (1 << 41) - 1;

/// `CAP_*` bit numbers that the file layer asks for: capabilities(7).
pub mod cap {
    #![allow(missing_docs, reason = "the names are those of capabilities(7)")]
    pub const CHOWN: u32 = 0;
    pub const DAC_OVERRIDE: u32 = 1;
    pub const DAC_READ_SEARCH: u32 = 2;
    pub const FOWNER: u32 = 3;
    pub const FSETID: u32 = 4;
    pub const KILL: u32 = 5;
    pub const SETGID: u32 = 6;
    pub const SETUID: u32 = 7;
    pub const SETPCAP: u32 = 8;
    pub const LINUX_IMMUTABLE: u32 = 9;
    pub const NET_BIND_SERVICE: u32 = 10;
    pub const NET_ADMIN: u32 = 12;
    pub const NET_RAW: u32 = 13;
    pub const IPC_LOCK: u32 = 14;
    pub const IPC_OWNER: u32 = 15;
    pub const SYS_CHROOT: u32 = 18;
    pub const SYS_PTRACE: u32 = 19;
    pub const SYS_ADMIN: u32 = 21;
    pub const SYS_BOOT: u32 = 22;
    pub const SYS_NICE: u32 = 23;
    pub const SYS_RESOURCE: u32 = 24;
    pub const SYS_TIME: u32 = 25;
    pub const SYS_TTY_CONFIG: u32 = 26;
    pub const MKNOD: u32 = 27;
    pub const LEASE: u32 = 28;
    pub const SETFCAP: u32 = 31;
}

impl Cred {
    /// The superuser with every capability.
    #[must_use]
    pub fn root() -> Self {
        Self {
            uid: 0,
            euid: 0,
            suid: 0,
            fsuid: 0,
            gid: 0,
            egid: 0,
            sgid: 0,
            fsgid: 0,
            groups: SmallVec::new(),
            cap_effective: CAP_FULL,
            cap_permitted: CAP_FULL,
            cap_inheritable: 0,
            cap_bounding: CAP_FULL,
            cap_ambient: 0,
            securebits: 0,
            no_new_privs: false,
            user_ns: Arc::clone(UserNs::initial()),
        }
    }

    /// An ordinary user without capabilities.
    #[must_use]
    pub fn user(uid: u32, gid: u32) -> Self {
        let mut c = Self::root();
        (c.uid, c.euid, c.suid, c.fsuid) = (uid, uid, uid, uid);
        (c.gid, c.egid, c.sgid, c.fsgid) = (gid, gid, gid, gid);
        if uid != 0 {
            c.cap_effective = 0;
            c.cap_permitted = 0;
        }
        c
    }

    /// Whether the effective set holds a capability (`cap::*`) for everything: one of the initial user namespace.
    #[must_use]
    pub fn has_cap(&self, cap: u32) -> bool {
        self.has_own_cap(cap) && self.user_ns.is_initial()
    }

    /// Whether the effective set holds a capability for what belongs to the caller's user namespace.
    #[must_use]
    pub const fn has_own_cap(&self, cap: u32) -> bool {
        self.cap_effective >> cap & 1 != 0
    }

    /// Whether the caller has a capability for what belongs to a user namespace: user_namespaces(7), "Capabilities".
    #[must_use]
    pub fn has_cap_in(&self, ns: &UserNs, cap: u32) -> bool {
        let mut at = ns;
        loop {
            if *at == *self.user_ns {
                return self.has_own_cap(cap);
            }
            let Some(parent) = at.parent() else {
                return false;
            };
            if at.level() <= self.user_ns.level() {
                return false;
            }
            if **parent == *self.user_ns && at.owner().0 == self.euid {
                return true;
            }
            at = parent;
        }
    }

    /// Whether the caller has a capability for an inode: one whose owner and group have ids in the caller's namespace.
    #[must_use]
    pub fn has_cap_for(&self, attr: &Attr, cap: u32) -> bool {
        self.has_own_cap(cap) && self.user_ns.maps_uid(attr.uid) && self.user_ns.maps_gid(attr.gid)
    }

    /// Whether `gid` is the file system group or a supplementary group.
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// Whether the caller owns the inode or has `CAP_FOWNER`.
    #[must_use]
    pub fn owner_or_capable(&self, attr: &Attr) -> bool {
        self.fsuid == attr.uid || self.has_cap_for(attr, cap::FOWNER)
    }
}

/// The explicit context of one file operation.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Whose rights count.
    pub cred: Arc<Cred>,
    /// File creation mask; the VFS has applied it before a file system sees a mode.
    pub umask: u32,
    /// The realtime clock at the start of the call.
    pub now: Time,
    /// `RLIMIT_FSIZE` in bytes, `u64::MAX` for none.
    pub fsize_limit: u64,
    /// Process (thread group) id of the caller, for `/proc/self`, file locks and terminals; 0 for the host.
    pub tgid: u32,
    /// Thread id of the caller; 0 for the host.
    pub tid: u32,
    /// What the embedder has said of the caller's process, or of the one that it descends from; 0 for nothing and for the host.
    pub context: u64,
}

impl Cx {
    /// The context of the host itself: the superuser without umask and limits.
    #[must_use]
    pub fn host(now: Time) -> Self {
        Self {
            cred: Arc::new(Cred::root()),
            umask: 0,
            now,
            fsize_limit: u64::MAX,
            tgid: 0,
            tid: 0,
            context: 0,
        }
    }
}
