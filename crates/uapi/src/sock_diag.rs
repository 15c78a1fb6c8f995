//! `NETLINK_SOCK_DIAG`: questions about sockets, sock_diag(7).

consts! {
    /// Message types.
    pub SOCK_DIAG: u16 {
        TCPDIAG_GETSOCK = 18,
        DCCPDIAG_GETSOCK = 19,
        SOCK_DIAG_BY_FAMILY = 20,
        SOCK_DESTROY = 21,
    }
}

consts! {
    /// Attributes of requests about Internet sockets.
    pub INET_DIAG_REQ: u16 {
        INET_DIAG_REQ_BYTECODE = 1,
        INET_DIAG_REQ_PROTOCOL = 3,
    }
}

consts! {
    /// Attributes of Internet sockets. Those up to 8 are asked for by bit `n - 1` of `idiag_ext`.
    pub INET_DIAG: u16 {
        INET_DIAG_MEMINFO = 1,
        INET_DIAG_INFO = 2,
        INET_DIAG_CONG = 4,
        INET_DIAG_TOS = 5,
        INET_DIAG_TCLASS = 6,
        INET_DIAG_SKMEMINFO = 7,
        INET_DIAG_SHUTDOWN = 8,
        INET_DIAG_PROTOCOL = 10,
        INET_DIAG_SKV6ONLY = 11,
        INET_DIAG_MARK = 15,
    }
}

consts! {
    /// Operations of the filters in `INET_DIAG_REQ_BYTECODE`.
    pub INET_DIAG_BC: u8 {
        INET_DIAG_BC_NOP = 0,
        INET_DIAG_BC_JMP = 1,
        INET_DIAG_BC_S_GE = 2,
        INET_DIAG_BC_S_LE = 3,
        INET_DIAG_BC_D_GE = 4,
        INET_DIAG_BC_D_LE = 5,
        INET_DIAG_BC_AUTO = 6,
        INET_DIAG_BC_S_COND = 7,
        INET_DIAG_BC_D_COND = 8,
        INET_DIAG_BC_DEV_COND = 9,
        INET_DIAG_BC_MARK_COND = 10,
        INET_DIAG_BC_S_EQ = 11,
        INET_DIAG_BC_D_EQ = 12,
        INET_DIAG_BC_CGROUP_COND = 13,
    }
}

consts! {
    /// What `udiag_show` asks for.
    pub UDIAG_SHOW: u32 {
        UDIAG_SHOW_NAME = 0x1,
        UDIAG_SHOW_VFS = 0x2,
        UDIAG_SHOW_PEER = 0x4,
        UDIAG_SHOW_ICONS = 0x8,
        UDIAG_SHOW_RQLEN = 0x10,
        UDIAG_SHOW_MEMINFO = 0x20,
        UDIAG_SHOW_UID = 0x40,
    }
}

consts! {
    /// Attributes of Unix sockets.
    pub UNIX_DIAG: u16 {
        UNIX_DIAG_NAME = 0,
        UNIX_DIAG_VFS = 1,
        UNIX_DIAG_PEER = 2,
        UNIX_DIAG_ICONS = 3,
        UNIX_DIAG_RQLEN = 4,
        UNIX_DIAG_MEMINFO = 5,
        UNIX_DIAG_SHUTDOWN = 6,
        UNIX_DIAG_UID = 7,
    }
}

consts! {
    /// The cookie that matches every socket, in both halves.
    pub DIAG_COOKIE: u32 {
        INET_DIAG_NOCOOKIE = u32::MAX,
    }
}

consts! {
    /// States of sockets, which Unix and datagram sockets use too.
    pub TCP_STATES: u8 {
        TCP_ESTABLISHED = 1,
        TCP_SYN_SENT = 2,
        TCP_SYN_RECV = 3,
        TCP_FIN_WAIT1 = 4,
        TCP_FIN_WAIT2 = 5,
        TCP_TIME_WAIT = 6,
        TCP_CLOSE = 7,
        TCP_CLOSE_WAIT = 8,
        TCP_LAST_ACK = 9,
        TCP_LISTEN = 10,
        TCP_CLOSING = 11,
    }
}

abi! {
    /// `struct inet_diag_sockid`: ports and addresses in network order; who a socket is.
    pub struct InetDiagSockid = "struct inet_diag_sockid" {
        idiag_sport: [u8; 2],
        idiag_dport: [u8; 2],
        idiag_src: [u8; 16],
        idiag_dst: [u8; 16],
        idiag_if: u32,
        idiag_cookie: [u32; 2],
    }

    /// `struct inet_diag_req_v2`.
    pub struct InetDiagReqV2 = "struct inet_diag_req_v2" {
        sdiag_family: u8,
        sdiag_protocol: u8,
        idiag_ext: u8,
        pad: u8,
        idiag_states: u32,
        id: InetDiagSockid,
    }

    /// `struct inet_diag_bc_op`: conditional jumps by offsets in bytes; arguments follow.
    pub struct InetDiagBcOp = "struct inet_diag_bc_op" {
        code: u8,
        yes: u8,
        no: u16,
    }

    /// `struct inet_diag_hostcond`: the address follows.
    pub struct InetDiagHostcond = "struct inet_diag_hostcond" {
        family: u8,
        prefix_len: u8,
        _pad0: u16,
        port: i32,
    }

    /// `struct inet_diag_msg`.
    pub struct InetDiagMsg = "struct inet_diag_msg" {
        idiag_family: u8,
        idiag_state: u8,
        idiag_timer: u8,
        idiag_retrans: u8,
        id: InetDiagSockid,
        idiag_expires: u32,
        idiag_rqueue: u32,
        idiag_wqueue: u32,
        idiag_uid: u32,
        idiag_inode: u32,
    }

    /// `struct unix_diag_req`.
    pub struct UnixDiagReq = "struct unix_diag_req" {
        sdiag_family: u8,
        sdiag_protocol: u8,
        pad: u16,
        udiag_states: u32,
        udiag_ino: u32,
        udiag_show: u32,
        udiag_cookie: [u32; 2],
    }

    /// `struct unix_diag_msg`.
    pub struct UnixDiagMsg = "struct unix_diag_msg" {
        udiag_family: u8,
        udiag_type: u8,
        udiag_state: u8,
        pad: u8,
        udiag_ino: u32,
        udiag_cookie: [u32; 2],
    }
}
