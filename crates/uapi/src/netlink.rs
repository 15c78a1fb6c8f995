//! Netlink: message framing and route attributes.

consts! {
    /// Netlink protocols.
    pub NETLINK: u32 {
        NETLINK_ROUTE = 0,
        NETLINK_USERSOCK = 2,
        NETLINK_SOCK_DIAG = 4,
        NETLINK_XFRM = 6,
        NETLINK_SELINUX = 7,
        NETLINK_AUDIT = 9,
        NETLINK_NETFILTER = 12,
        NETLINK_KOBJECT_UEVENT = 15,
        NETLINK_GENERIC = 16,
    }
}

consts! {
    /// Flags of netlink messages.
    pub NLM_F: u16 {
        NLM_F_REQUEST = 0x1,
        NLM_F_MULTI = 0x2,
        NLM_F_ACK = 0x4,
        NLM_F_ECHO = 0x8,
        NLM_F_DUMP_INTR = 0x10,
        NLM_F_DUMP_FILTERED = 0x20,
        NLM_F_ROOT = 0x100,
        NLM_F_MATCH = 0x200,
        NLM_F_ATOMIC = 0x400,
    }
}

consts! {
    /// Sets of netlink message flags.
    pub NLM_F_SETS: u16 {
        NLM_F_DUMP = 0x300,
    }
}

consts! {
    /// Control message types.
    pub NLMSG: u16 {
        NLMSG_NOOP = 1,
        NLMSG_ERROR = 2,
        NLMSG_DONE = 3,
        NLMSG_OVERRUN = 4,
        NLMSG_MIN_TYPE = 16,
    }
}

consts! {
    /// Options of `SOL_NETLINK`.
    pub NETLINK_OPTIONS: u32 {
        NETLINK_ADD_MEMBERSHIP = 1,
        NETLINK_DROP_MEMBERSHIP = 2,
        NETLINK_PKTINFO = 3,
        NETLINK_BROADCAST_ERROR = 4,
        NETLINK_NO_ENOBUFS = 5,
        NETLINK_LISTEN_ALL_NSID = 8,
        NETLINK_LIST_MEMBERSHIPS = 9,
        NETLINK_CAP_ACK = 10,
        NETLINK_EXT_ACK = 11,
        NETLINK_GET_STRICT_CHK = 12,
    }
}

consts! {
    /// Message types of route netlink.
    pub RTM: u16 {
        RTM_NEWLINK = 16,
        RTM_DELLINK = 17,
        RTM_GETLINK = 18,
        RTM_SETLINK = 19,
        RTM_NEWADDR = 20,
        RTM_DELADDR = 21,
        RTM_GETADDR = 22,
        RTM_NEWROUTE = 24,
        RTM_DELROUTE = 25,
        RTM_GETROUTE = 26,
        RTM_NEWNEIGH = 28,
        RTM_DELNEIGH = 29,
        RTM_GETNEIGH = 30,
        RTM_NEWRULE = 32,
        RTM_GETRULE = 34,
        RTM_GETQDISC = 38,
        RTM_GETSTATS = 94,
    }
}

consts! {
    /// Attributes of links.
    pub IFLA: u16 {
        IFLA_ADDRESS = 1,
        IFLA_BROADCAST = 2,
        IFLA_IFNAME = 3,
        IFLA_MTU = 4,
        IFLA_LINK = 5,
        IFLA_QDISC = 6,
        IFLA_STATS = 7,
        IFLA_MASTER = 10,
        IFLA_TXQLEN = 13,
        IFLA_MAP = 14,
        IFLA_OPERSTATE = 16,
        IFLA_LINKMODE = 17,
        IFLA_LINKINFO = 18,
        IFLA_STATS64 = 23,
        IFLA_AF_SPEC = 26,
        IFLA_GROUP = 27,
        IFLA_EXT_MASK = 29,
        IFLA_PROMISCUITY = 30,
        IFLA_NUM_TX_QUEUES = 31,
        IFLA_NUM_RX_QUEUES = 32,
        IFLA_CARRIER = 33,
    }
}

consts! {
    /// Attributes of addresses.
    pub IFA: u16 {
        IFA_ADDRESS = 1,
        IFA_LOCAL = 2,
        IFA_LABEL = 3,
        IFA_BROADCAST = 4,
        IFA_ANYCAST = 5,
        IFA_CACHEINFO = 6,
        IFA_MULTICAST = 7,
        IFA_FLAGS = 8,
    }
}

consts! {
    /// Flags of addresses.
    pub IFA_F: u32 {
        IFA_F_SECONDARY = 0x1,
        IFA_F_NODAD = 0x2,
        IFA_F_DEPRECATED = 0x20,
        IFA_F_TENTATIVE = 0x40,
        IFA_F_PERMANENT = 0x80,
    }
}

consts! {
    /// Attributes of routes.
    pub RTA: u16 {
        RTA_DST = 1,
        RTA_SRC = 2,
        RTA_IIF = 3,
        RTA_OIF = 4,
        RTA_GATEWAY = 5,
        RTA_PRIORITY = 6,
        RTA_PREFSRC = 7,
        RTA_METRICS = 8,
        RTA_MULTIPATH = 9,
        RTA_CACHEINFO = 12,
        RTA_TABLE = 15,
    }
}

consts! {
    /// Tables, protocols, scopes and types of routes.
    pub ROUTE: u8 {
        RT_TABLE_UNSPEC = 0,
        RT_TABLE_DEFAULT = 253,
        RT_TABLE_MAIN = 254,
        RT_TABLE_LOCAL = 255,
        RTPROT_UNSPEC = 0,
        RTPROT_KERNEL = 2,
        RTPROT_BOOT = 3,
        RTPROT_STATIC = 4,
        RT_SCOPE_UNIVERSE = 0,
        RT_SCOPE_SITE = 200,
        RT_SCOPE_LINK = 253,
        RT_SCOPE_HOST = 254,
        RT_SCOPE_NOWHERE = 255,
        RTN_UNSPEC = 0,
        RTN_UNICAST = 1,
        RTN_LOCAL = 2,
        RTN_BROADCAST = 3,
    }
}

consts! {
    /// Hardware types.
    pub ARPHRD: u16 {
        ARPHRD_ETHER = 1,
        ARPHRD_LOOPBACK = 772,
        ARPHRD_NONE = 65534,
    }
}

abi! {
    /// `struct sockaddr_nl`.
    pub struct SockaddrNl = "struct sockaddr_nl" {
        nl_family: u16,
        _pad0: u16,
        nl_pid: u32,
        nl_groups: u32,
    }

    /// `struct nlmsghdr`.
    pub struct Nlmsghdr = "struct nlmsghdr" {
        nlmsg_len: u32,
        nlmsg_type: u16,
        nlmsg_flags: u16,
        nlmsg_seq: u32,
        nlmsg_pid: u32,
    }

    /// `struct nlmsgerr`: an error or, with 0, an acknowledgement.
    pub struct Nlmsgerr = "struct nlmsgerr" {
        error: i32,
        msg: Nlmsghdr,
    }

    /// `struct rtattr`: data follows, padded to 4 bytes.
    pub struct Rtattr = "struct rtattr" {
        rta_len: u16,
        rta_type: u16,
    }

    /// `struct ifinfomsg` of links.
    pub struct Ifinfomsg = "struct ifinfomsg" {
        ifi_family: u8,
        _pad0: u8,
        ifi_type: u16,
        ifi_index: i32,
        ifi_flags: u32,
        ifi_change: u32,
    }

    /// `struct ifaddrmsg` of addresses.
    pub struct Ifaddrmsg = "struct ifaddrmsg" {
        ifa_family: u8,
        ifa_prefixlen: u8,
        ifa_flags: u8,
        ifa_scope: u8,
        ifa_index: u32,
    }

    /// `struct rtmsg` of routes.
    pub struct Rtmsg = "struct rtmsg" {
        rtm_family: u8,
        rtm_dst_len: u8,
        rtm_src_len: u8,
        rtm_tos: u8,
        rtm_table: u8,
        rtm_protocol: u8,
        rtm_scope: u8,
        rtm_type: u8,
        rtm_flags: u32,
    }

    /// `struct ifa_cacheinfo`: lifetimes in seconds, times in hundredths.
    pub struct IfaCacheinfo = "struct ifa_cacheinfo" {
        ifa_prefered: u32,
        ifa_valid: u32,
        cstamp: u32,
        tstamp: u32,
    }
}
