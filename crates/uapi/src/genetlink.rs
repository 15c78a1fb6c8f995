//! `NETLINK_GENERIC`: families of messages that are found by name, through the family `nlctrl`.

consts! {
    /// Message types.
    pub GENL_ID: u16 {
        GENL_ID_CTRL = 16,
    }
}

consts! {
    /// What an operation of a family can.
    pub GENL_FLAGS: u32 {
        GENL_CMD_CAP_DO = 2,
        GENL_CMD_CAP_DUMP = 4,
        GENL_CMD_CAP_HASPOL = 8,
    }
}

consts! {
    /// Commands of `nlctrl`.
    pub CTRL_CMD: u8 {
        CTRL_CMD_NEWFAMILY = 1,
        CTRL_CMD_GETFAMILY = 3,
        CTRL_CMD_GETPOLICY = 10,
    }
}

consts! {
    /// Attributes of `nlctrl`, of the operations and of the groups in them.
    pub CTRL_ATTR: u16 {
        CTRL_ATTR_FAMILY_ID = 1,
        CTRL_ATTR_FAMILY_NAME = 2,
        CTRL_ATTR_VERSION = 3,
        CTRL_ATTR_HDRSIZE = 4,
        CTRL_ATTR_MAXATTR = 5,
        CTRL_ATTR_OPS = 6,
        CTRL_ATTR_MCAST_GROUPS = 7,
        CTRL_ATTR_MAX = 10,
        CTRL_ATTR_OP_ID = 1,
        CTRL_ATTR_OP_FLAGS = 2,
        CTRL_ATTR_MCAST_GRP_NAME = 1,
        CTRL_ATTR_MCAST_GRP_ID = 2,
    }
}

abi! {
    /// `struct genlmsghdr`.
    pub struct Genlmsghdr = "struct genlmsghdr" {
        cmd: u8,
        version: u8,
        reserved: u16,
    }
}
