//! `mount`(2), `umount2`(2) and the file-descriptor based mount calls.

consts! {
    /// Flags of `mount`(2).
    pub MS: u64 {
        MS_RDONLY = 0x1,
        MS_NOSUID = 0x2,
        MS_NODEV = 0x4,
        MS_NOEXEC = 0x8,
        MS_SYNCHRONOUS = 0x10,
        MS_REMOUNT = 0x20,
        MS_MANDLOCK = 0x40,
        MS_DIRSYNC = 0x80,
        MS_NOSYMFOLLOW = 0x100,
        MS_NOATIME = 0x400,
        MS_NODIRATIME = 0x800,
        MS_BIND = 0x1000,
        MS_MOVE = 0x2000,
        MS_REC = 0x4000,
        MS_SILENT = 0x8000,
        MS_POSIXACL = 0x10000,
        MS_UNBINDABLE = 0x20000,
        MS_PRIVATE = 0x40000,
        MS_SLAVE = 0x80000,
        MS_SHARED = 0x100000,
        MS_RELATIME = 0x200000,
        MS_STRICTATIME = 0x1000000,
        MS_LAZYTIME = 0x2000000,
    }
}

consts! {
    /// Old magic number in the flags of `mount`(2).
    pub MS_MAGIC: u64 {
        MS_MGC_VAL = 0xc0ed0000,
        MS_MGC_MSK = 0xffff0000,
    }
}

consts! {
    /// Flags of `umount2`(2).
    pub MNT: u32 {
        MNT_FORCE = 0x1,
        MNT_DETACH = 0x2,
        MNT_EXPIRE = 0x4,
        UMOUNT_NOFOLLOW = 0x8,
    }
}

consts! {
    /// Flags of `open_tree`(2).
    pub OPEN_TREE: u32 {
        OPEN_TREE_CLONE = 0x1,
        OPEN_TREE_CLOEXEC = 0x80000,
    }
}

consts! {
    /// Flags of `move_mount`(2).
    pub MOVE_MOUNT: u32 {
        MOVE_MOUNT_F_SYMLINKS = 0x1,
        MOVE_MOUNT_F_AUTOMOUNTS = 0x2,
        MOVE_MOUNT_F_EMPTY_PATH = 0x4,
        MOVE_MOUNT_T_SYMLINKS = 0x10,
        MOVE_MOUNT_T_AUTOMOUNTS = 0x20,
        MOVE_MOUNT_T_EMPTY_PATH = 0x40,
        MOVE_MOUNT_SET_GROUP = 0x100,
        MOVE_MOUNT_BENEATH = 0x200,
    }
}

consts! {
    /// Flags of `fsopen`(2), `fspick`(2) and `fsmount`(2).
    pub FSOPEN: u32 {
        FSOPEN_CLOEXEC = 0x1,
        FSPICK_CLOEXEC = 0x1,
        FSPICK_SYMLINK_NOFOLLOW = 0x2,
        FSPICK_NO_AUTOMOUNT = 0x4,
        FSPICK_EMPTY_PATH = 0x8,
        FSMOUNT_CLOEXEC = 0x1,
    }
}

consts! {
    /// Commands of `fsconfig`(2).
    pub FSCONFIG: u32 {
        FSCONFIG_SET_FLAG = 0,
        FSCONFIG_SET_STRING = 1,
        FSCONFIG_SET_BINARY = 2,
        FSCONFIG_SET_PATH = 3,
        FSCONFIG_SET_PATH_EMPTY = 4,
        FSCONFIG_SET_FD = 5,
        FSCONFIG_CMD_CREATE = 6,
        FSCONFIG_CMD_RECONFIGURE = 7,
    }
}

consts! {
    /// Attributes of `fsmount`(2) and `mount_setattr`(2).
    pub MOUNT_ATTR: u64 {
        MOUNT_ATTR_RDONLY = 0x1,
        MOUNT_ATTR_NOSUID = 0x2,
        MOUNT_ATTR_NODEV = 0x4,
        MOUNT_ATTR_NOEXEC = 0x8,
        MOUNT_ATTR_NOATIME = 0x10,
        MOUNT_ATTR_STRICTATIME = 0x20,
        MOUNT_ATTR_NODIRATIME = 0x80,
        MOUNT_ATTR_IDMAP = 0x100000,
        MOUNT_ATTR_NOSYMFOLLOW = 0x200000,
    }
}

abi! {
    /// `struct mount_attr` of `mount_setattr`(2).
    pub struct MountAttr = "struct mount_attr" {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
}
