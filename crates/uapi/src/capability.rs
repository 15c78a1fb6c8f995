//! `capabilities`(7).

consts! {
    /// Capabilities.
    pub CAP: u32 {
        CAP_CHOWN = 0,
        CAP_DAC_OVERRIDE = 1,
        CAP_DAC_READ_SEARCH = 2,
        CAP_FOWNER = 3,
        CAP_FSETID = 4,
        CAP_KILL = 5,
        CAP_SETGID = 6,
        CAP_SETUID = 7,
        CAP_SETPCAP = 8,
        CAP_LINUX_IMMUTABLE = 9,
        CAP_NET_BIND_SERVICE = 10,
        CAP_NET_BROADCAST = 11,
        CAP_NET_ADMIN = 12,
        CAP_NET_RAW = 13,
        CAP_IPC_LOCK = 14,
        CAP_IPC_OWNER = 15,
        CAP_SYS_MODULE = 16,
        CAP_SYS_RAWIO = 17,
        CAP_SYS_CHROOT = 18,
        CAP_SYS_PTRACE = 19,
        CAP_SYS_PACCT = 20,
        CAP_SYS_ADMIN = 21,
        CAP_SYS_BOOT = 22,
        CAP_SYS_NICE = 23,
        CAP_SYS_RESOURCE = 24,
        CAP_SYS_TIME = 25,
        CAP_SYS_TTY_CONFIG = 26,
        CAP_MKNOD = 27,
        CAP_LEASE = 28,
        CAP_AUDIT_WRITE = 29,
        CAP_AUDIT_CONTROL = 30,
        CAP_SETFCAP = 31,
        CAP_MAC_OVERRIDE = 32,
        CAP_MAC_ADMIN = 33,
        CAP_SYSLOG = 34,
        CAP_WAKE_ALARM = 35,
        CAP_BLOCK_SUSPEND = 36,
        CAP_AUDIT_READ = 37,
        CAP_PERFMON = 38,
        CAP_BPF = 39,
        CAP_CHECKPOINT_RESTORE = 40,
    }
}

consts! {
    /// The highest capability.
    pub CAP_LAST: u32 {
        CAP_LAST_CAP = 40,
    }
}

consts! {
    /// Versions of `capget`(2).
    pub CAP_VERSIONS: u32 {
        _LINUX_CAPABILITY_VERSION_1 = 0x19980330,
        _LINUX_CAPABILITY_VERSION_2 = 0x20071026,
        _LINUX_CAPABILITY_VERSION_3 = 0x20080522,
    }
}

abi! {
    /// `struct __user_cap_header_struct`.
    pub struct CapHeader = "struct __user_cap_header_struct" {
        version: u32,
        pid: i32,
    }

    /// `struct __user_cap_data_struct`; versions 2 and 3 have two of them.
    pub struct CapData = "struct __user_cap_data_struct" {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
}

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapSet(pub u64);

impl CapSet {
    /// None.
    pub const EMPTY: CapSet = CapSet(0);
    /// Every capability up to [`CAP_LAST_CAP`].
    pub const ALL: CapSet = CapSet((1 << (CAP_LAST_CAP + 1)) - 1);

    /// Whether capability `cap` is a member.
    #[must_use]
    pub const fn has(self, cap: u32) -> bool {
        cap < 64 && self.0 >> cap & 1 != 0
    }
}
