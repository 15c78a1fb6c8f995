//! Sockets: families, options, messages and addresses.

consts! {
    /// Address families.
    pub AF: u16 {
        AF_UNSPEC = 0,
        AF_UNIX = 1,
        AF_INET = 2,
        AF_INET6 = 10,
        AF_NETLINK = 16,
        AF_PACKET = 17,
        AF_BLUETOOTH = 31,
        AF_ALG = 38,
        AF_VSOCK = 40,
        AF_XDP = 44,
    }
}

consts! {
    /// Socket types.
    pub SOCK: u32 {
        SOCK_STREAM = 1,
        SOCK_DGRAM = 2,
        SOCK_RAW = 3,
        SOCK_RDM = 4,
        SOCK_SEQPACKET = 5,
        SOCK_DCCP = 6,
        SOCK_PACKET = 10,
    }
}

consts! {
    /// Flags ORed to the socket type, also of `accept4`(2).
    pub SOCK_FLAGS: u32 {
        SOCK_CLOEXEC = 0o2000000,
        SOCK_NONBLOCK = 0o4000,
    }
}

consts! {
    /// Mask of the type.
    pub SOCK_MASKS: u32 {
        SOCK_TYPE_MASK = 0xf,
    }
}

consts! {
    /// Protocols.
    pub IPPROTO: u32 {
        IPPROTO_IP = 0,
        IPPROTO_ICMP = 1,
        IPPROTO_IGMP = 2,
        IPPROTO_TCP = 6,
        IPPROTO_UDP = 17,
        IPPROTO_IPV6 = 41,
        IPPROTO_ICMPV6 = 58,
        IPPROTO_SCTP = 132,
        IPPROTO_UDPLITE = 136,
        IPPROTO_RAW = 255,
        IPPROTO_MPTCP = 262,
    }
}

consts! {
    /// Option levels beside the protocols.
    pub SOL: u32 {
        SOL_SOCKET = 1,
        SOL_RAW = 255,
        SOL_PACKET = 263,
        SOL_NETLINK = 270,
    }
}

consts! {
    /// Options of `SOL_SOCKET`.
    pub SO: u32 {
        SO_DEBUG = 1,
        SO_REUSEADDR = 2,
        SO_TYPE = 3,
        SO_ERROR = 4,
        SO_DONTROUTE = 5,
        SO_BROADCAST = 6,
        SO_SNDBUF = 7,
        SO_RCVBUF = 8,
        SO_KEEPALIVE = 9,
        SO_OOBINLINE = 10,
        SO_NO_CHECK = 11,
        SO_PRIORITY = 12,
        SO_LINGER = 13,
        SO_BSDCOMPAT = 14,
        SO_REUSEPORT = 15,
        SO_PASSCRED = 16,
        SO_PEERCRED = 17,
        SO_RCVLOWAT = 18,
        SO_SNDLOWAT = 19,
        SO_RCVTIMEO_OLD = 20,
        SO_SNDTIMEO_OLD = 21,
        SO_BINDTODEVICE = 25,
        SO_ATTACH_FILTER = 26,
        SO_DETACH_FILTER = 27,
        SO_PEERNAME = 28,
        SO_TIMESTAMP_OLD = 29,
        SO_ACCEPTCONN = 30,
        SO_PEERSEC = 31,
        SO_SNDBUFFORCE = 32,
        SO_RCVBUFFORCE = 33,
        SO_PASSSEC = 34,
        SO_TIMESTAMPNS_OLD = 35,
        SO_MARK = 36,
        SO_TIMESTAMPING_OLD = 37,
        SO_PROTOCOL = 38,
        SO_DOMAIN = 39,
        SO_RXQ_OVFL = 40,
        SO_WIFI_STATUS = 41,
        SO_PEEK_OFF = 42,
        SO_NOFCS = 43,
        SO_LOCK_FILTER = 44,
        SO_SELECT_ERR_QUEUE = 45,
        SO_BUSY_POLL = 46,
        SO_MAX_PACING_RATE = 47,
        SO_BPF_EXTENSIONS = 48,
        SO_INCOMING_CPU = 49,
        SO_ATTACH_BPF = 50,
        SO_ATTACH_REUSEPORT_CBPF = 51,
        SO_ATTACH_REUSEPORT_EBPF = 52,
        SO_CNX_ADVICE = 53,
        SO_MEMINFO = 55,
        SO_INCOMING_NAPI_ID = 56,
        SO_COOKIE = 57,
        SO_PEERGROUPS = 59,
        SO_ZEROCOPY = 60,
        SO_TXTIME = 61,
        SO_BINDTOIFINDEX = 62,
        SO_TIMESTAMP_NEW = 63,
        SO_TIMESTAMPNS_NEW = 64,
        SO_TIMESTAMPING_NEW = 65,
        SO_RCVTIMEO_NEW = 66,
        SO_SNDTIMEO_NEW = 67,
        SO_DETACH_REUSEPORT_BPF = 68,
        SO_PREFER_BUSY_POLL = 69,
        SO_BUSY_POLL_BUDGET = 70,
        SO_NETNS_COOKIE = 71,
        SO_BUF_LOCK = 72,
        SO_RESERVE_MEM = 73,
        SO_TXREHASH = 74,
        SO_RCVMARK = 75,
        SO_PASSPIDFD = 76,
        SO_PEERPIDFD = 77,
    }
}

consts! {
    /// Control messages of `SOL_SOCKET`.
    pub SCM: u32 {
        SCM_RIGHTS = 1,
        SCM_CREDENTIALS = 2,
        SCM_SECURITY = 3,
        SCM_PIDFD = 4,
    }
}

consts! {
    /// Flags of `sendmsg`(2) and `recvmsg`(2).
    pub MSG: u32 {
        MSG_OOB = 0x1,
        MSG_PEEK = 0x2,
        MSG_DONTROUTE = 0x4,
        MSG_CTRUNC = 0x8,
        MSG_PROXY = 0x10,
        MSG_TRUNC = 0x20,
        MSG_DONTWAIT = 0x40,
        MSG_EOR = 0x80,
        MSG_WAITALL = 0x100,
        MSG_FIN = 0x200,
        MSG_SYN = 0x400,
        MSG_CONFIRM = 0x800,
        MSG_RST = 0x1000,
        MSG_ERRQUEUE = 0x2000,
        MSG_NOSIGNAL = 0x4000,
        MSG_MORE = 0x8000,
        MSG_WAITFORONE = 0x10000,
        MSG_BATCH = 0x40000,
        MSG_ZEROCOPY = 0x4000000,
        MSG_FASTOPEN = 0x20000000,
        MSG_CMSG_CLOEXEC = 0x40000000,
    }
}

consts! {
    /// `how` of `shutdown`(2).
    pub SHUT: u32 {
        SHUT_RD = 0,
        SHUT_WR = 1,
        SHUT_RDWR = 2,
    }
}

consts! {
    /// Options of TCP.
    pub TCP: u32 {
        TCP_NODELAY = 1,
        TCP_MAXSEG = 2,
        TCP_CORK = 3,
        TCP_KEEPIDLE = 4,
        TCP_KEEPINTVL = 5,
        TCP_KEEPCNT = 6,
        TCP_SYNCNT = 7,
        TCP_LINGER2 = 8,
        TCP_DEFER_ACCEPT = 9,
        TCP_WINDOW_CLAMP = 10,
        TCP_INFO = 11,
        TCP_QUICKACK = 12,
        TCP_CONGESTION = 13,
        TCP_MD5SIG = 14,
        TCP_THIN_LINEAR_TIMEOUTS = 16,
        TCP_THIN_DUPACK = 17,
        TCP_USER_TIMEOUT = 18,
        TCP_REPAIR = 19,
        TCP_REPAIR_QUEUE = 20,
        TCP_QUEUE_SEQ = 21,
        TCP_REPAIR_OPTIONS = 22,
        TCP_FASTOPEN = 23,
        TCP_TIMESTAMP = 24,
        TCP_NOTSENT_LOWAT = 25,
        TCP_CC_INFO = 26,
        TCP_SAVE_SYN = 27,
        TCP_SAVED_SYN = 28,
        TCP_REPAIR_WINDOW = 29,
        TCP_FASTOPEN_CONNECT = 30,
        TCP_ULP = 31,
        TCP_MD5SIG_EXT = 32,
        TCP_FASTOPEN_KEY = 33,
        TCP_FASTOPEN_NO_COOKIE = 34,
        TCP_ZEROCOPY_RECEIVE = 35,
        TCP_INQ = 36,
        TCP_TX_DELAY = 37,
    }
}

consts! {
    /// Options of UDP.
    pub UDP: u32 {
        UDP_CORK = 1,
        UDP_ENCAP = 100,
        UDP_NO_CHECK6_TX = 101,
        UDP_NO_CHECK6_RX = 102,
        UDP_SEGMENT = 103,
        UDP_GRO = 104,
    }
}

/// How many bytes of a datagram of UDP-Lite the checksum covers: udplite(7).
pub const UDPLITE_SEND_CSCOV: u32 = 10;
/// The least coverage that a datagram of UDP-Lite must have to be received.
pub const UDPLITE_RECV_CSCOV: u32 = 11;

consts! {
    /// Options of IPv4.
    pub IP: u32 {
        IP_TOS = 1,
        IP_TTL = 2,
        IP_HDRINCL = 3,
        IP_OPTIONS = 4,
        IP_ROUTER_ALERT = 5,
        IP_RECVOPTS = 6,
        IP_RETOPTS = 7,
        IP_PKTINFO = 8,
        IP_PKTOPTIONS = 9,
        IP_MTU_DISCOVER = 10,
        IP_RECVERR = 11,
        IP_RECVTTL = 12,
        IP_RECVTOS = 13,
        IP_MTU = 14,
        IP_FREEBIND = 15,
        IP_IPSEC_POLICY = 16,
        IP_XFRM_POLICY = 17,
        IP_PASSSEC = 18,
        IP_TRANSPARENT = 19,
        IP_ORIGDSTADDR = 20,
        IP_MINTTL = 21,
        IP_NODEFRAG = 22,
        IP_CHECKSUM = 23,
        IP_BIND_ADDRESS_NO_PORT = 24,
        IP_RECVFRAGSIZE = 25,
        IP_RECVERR_RFC4884 = 26,
        IP_MULTICAST_IF = 32,
        IP_MULTICAST_TTL = 33,
        IP_MULTICAST_LOOP = 34,
        IP_ADD_MEMBERSHIP = 35,
        IP_DROP_MEMBERSHIP = 36,
        IP_UNBLOCK_SOURCE = 37,
        IP_BLOCK_SOURCE = 38,
        IP_ADD_SOURCE_MEMBERSHIP = 39,
        IP_DROP_SOURCE_MEMBERSHIP = 40,
        IP_MSFILTER = 41,
        MCAST_JOIN_GROUP = 42,
        MCAST_BLOCK_SOURCE = 43,
        MCAST_UNBLOCK_SOURCE = 44,
        MCAST_LEAVE_GROUP = 45,
        MCAST_JOIN_SOURCE_GROUP = 46,
        MCAST_LEAVE_SOURCE_GROUP = 47,
        MCAST_MSFILTER = 48,
        IP_MULTICAST_ALL = 49,
        IP_UNICAST_IF = 50,
        IP_LOCAL_PORT_RANGE = 51,
    }
}

consts! {
    /// Options of IPv6.
    pub IPV6: u32 {
        IPV6_ADDRFORM = 1,
        IPV6_2292PKTINFO = 2,
        IPV6_2292HOPOPTS = 3,
        IPV6_2292DSTOPTS = 4,
        IPV6_2292RTHDR = 5,
        IPV6_2292PKTOPTIONS = 6,
        IPV6_CHECKSUM = 7,
        IPV6_2292HOPLIMIT = 8,
        IPV6_NEXTHOP = 9,
        IPV6_AUTHHDR = 10,
        IPV6_UNICAST_HOPS = 16,
        IPV6_MULTICAST_IF = 17,
        IPV6_MULTICAST_HOPS = 18,
        IPV6_MULTICAST_LOOP = 19,
        IPV6_JOIN_GROUP = 20,
        IPV6_LEAVE_GROUP = 21,
        IPV6_ROUTER_ALERT = 22,
        IPV6_MTU_DISCOVER = 23,
        IPV6_MTU = 24,
        IPV6_RECVERR = 25,
        IPV6_V6ONLY = 26,
        IPV6_JOIN_ANYCAST = 27,
        IPV6_LEAVE_ANYCAST = 28,
        IPV6_MULTICAST_ALL = 29,
        IPV6_ROUTER_ALERT_ISOLATE = 30,
        IPV6_RECVERR_RFC4884 = 31,
        IPV6_IPSEC_POLICY = 34,
        IPV6_XFRM_POLICY = 35,
        IPV6_HDRINCL = 36,
        IPV6_RECVPKTINFO = 49,
        IPV6_PKTINFO = 50,
        IPV6_RECVHOPLIMIT = 51,
        IPV6_HOPLIMIT = 52,
        IPV6_RECVHOPOPTS = 53,
        IPV6_HOPOPTS = 54,
        IPV6_RTHDRDSTOPTS = 55,
        IPV6_RECVRTHDR = 56,
        IPV6_RTHDR = 57,
        IPV6_RECVDSTOPTS = 58,
        IPV6_DSTOPTS = 59,
        IPV6_RECVPATHMTU = 60,
        IPV6_PATHMTU = 61,
        IPV6_DONTFRAG = 62,
        IPV6_RECVTCLASS = 66,
        IPV6_TCLASS = 67,
        IPV6_AUTOFLOWLABEL = 70,
        IPV6_ADDR_PREFERENCES = 72,
        IPV6_MINHOPCOUNT = 73,
        IPV6_ORIGDSTADDR = 74,
        IPV6_TRANSPARENT = 75,
        IPV6_UNICAST_IF = 76,
        IPV6_RECVFRAGSIZE = 77,
        IPV6_FREEBIND = 78,
    }
}

consts! {
    /// Option of `SOL_RAW` and of ICMP sockets.
    pub ICMP_OPTIONS: u32 {
        ICMP_FILTER = 1,
    }
}

consts! {
    /// Flags of network devices.
    pub IFF: u32 {
        IFF_UP = 0x1,
        IFF_BROADCAST = 0x2,
        IFF_DEBUG = 0x4,
        IFF_LOOPBACK = 0x8,
        IFF_POINTOPOINT = 0x10,
        IFF_NOTRAILERS = 0x20,
        IFF_RUNNING = 0x40,
        IFF_NOARP = 0x80,
        IFF_PROMISC = 0x100,
        IFF_ALLMULTI = 0x200,
        IFF_MASTER = 0x400,
        IFF_SLAVE = 0x800,
        IFF_MULTICAST = 0x1000,
        IFF_PORTSEL = 0x2000,
        IFF_AUTOMEDIA = 0x4000,
        IFF_DYNAMIC = 0x8000,
        IFF_LOWER_UP = 0x10000,
    }
}

consts! {
    /// Limits.
    pub SOCKET_LIMITS: usize {
        SOMAXCONN = 4096,
        SCM_MAX_FD = 253,
        UNIX_PATH_MAX = 108,
        IFNAMSIZ = 16,
    }
}

abi! {
    /// `struct iovec`.
    pub struct Iovec = "struct iovec" {
        iov_base: u64,
        iov_len: u64,
    }

    /// `struct msghdr`.
    pub struct Msghdr = "struct msghdr" {
        msg_name: u64,
        msg_namelen: u32,
        _pad0: u32,
        msg_iov: u64,
        msg_iovlen: u64,
        msg_control: u64,
        msg_controllen: u64,
        msg_flags: u32,
        _pad1: u32,
    }

    /// `struct mmsghdr` of `sendmmsg`(2).
    pub struct Mmsghdr = "struct mmsghdr" {
        msg_hdr: Msghdr,
        msg_len: u32,
        _pad0: u32,
    }

    /// `struct cmsghdr`: data follows at 16, each message padded to 8 bytes.
    pub struct Cmsghdr = "struct cmsghdr" {
        cmsg_len: u64,
        cmsg_level: i32,
        cmsg_type: i32,
    }

    /// `struct sockaddr_in`; port and address in network byte order.
    pub struct SockaddrIn = "struct sockaddr_in" {
        sin_family: u16,
        sin_port: [u8; 2],
        sin_addr: [u8; 4],
        _zero: [u8; 8],
    }

    /// `struct sockaddr_in6`; all but the scope in network byte order.
    pub struct SockaddrIn6 = "struct sockaddr_in6" {
        sin6_family: u16,
        sin6_port: [u8; 2],
        sin6_flowinfo: [u8; 4],
        sin6_addr: [u8; 16],
        sin6_scope_id: u32,
    }

    /// `struct sockaddr_un`.
    pub struct SockaddrUn = "struct sockaddr_un" {
        sun_family: u16,
        sun_path: [u8; UNIX_PATH_MAX],
    }

    /// `struct ucred` of `SCM_CREDENTIALS`.
    pub struct Ucred = "struct ucred" {
        pid: i32,
        uid: u32,
        gid: u32,
    }

    /// `struct linger` of `SO_LINGER`.
    pub struct Linger = "struct linger" {
        l_onoff: i32,
        l_linger: i32,
    }

    /// `struct ip_mreq` of `IP_ADD_MEMBERSHIP`.
    pub struct IpMreq = "struct ip_mreq" {
        imr_multiaddr: [u8; 4],
        imr_interface: [u8; 4],
    }

    /// `struct ip_mreqn`.
    pub struct IpMreqn = "struct ip_mreqn" {
        imr_multiaddr: [u8; 4],
        imr_address: [u8; 4],
        imr_ifindex: i32,
    }

    /// `struct ipv6_mreq` of `IPV6_JOIN_GROUP`.
    pub struct Ipv6Mreq = "struct ipv6_mreq" {
        ipv6mr_multiaddr: [u8; 16],
        ipv6mr_interface: i32,
    }

    /// `struct in_pktinfo` of `IP_PKTINFO`.
    pub struct InPktinfo = "struct in_pktinfo" {
        ipi_ifindex: i32,
        ipi_spec_dst: [u8; 4],
        ipi_addr: [u8; 4],
    }

    /// `struct in6_pktinfo` of `IPV6_PKTINFO`.
    pub struct In6Pktinfo = "struct in6_pktinfo" {
        ipi6_addr: [u8; 16],
        ipi6_ifindex: u32,
    }

    /// `struct ifreq` of the `SIOCGIF*` requests: a name and a union of 24 bytes.
    pub struct Ifreq = "struct ifreq" {
        ifr_name: [u8; IFNAMSIZ],
        _ifru: [u8; 24],
    }

    /// `struct ifconf` of `SIOCGIFCONF`: buffer size and address.
    pub struct Ifconf = "struct ifconf" {
        ifc_len: i32,
        _pad0: i32,
        _ifcu: u64,
    }
}

/// Offset of the next control message after one of `len` bytes (`CMSG_ALIGN`).
#[must_use]
pub const fn cmsg_align(len: usize) -> usize {
    len.next_multiple_of(8)
}
