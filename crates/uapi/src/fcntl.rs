//! Opening and controlling descriptors: `fcntl.h`, with the arm64 values of `O_*`.

use bitflags::bitflags;

consts! {
    /// Flags of `open`(2), arm64 values.
    pub OPEN_FLAGS: u32 {
        O_RDONLY = 0o0,
        O_WRONLY = 0o1,
        O_RDWR = 0o2,
        O_CREAT = 0o100,
        O_EXCL = 0o200,
        O_NOCTTY = 0o400,
        O_TRUNC = 0o1000,
        O_APPEND = 0o2000,
        O_NONBLOCK = 0o4000,
        O_DSYNC = 0o10000,
        O_ASYNC = 0o20000,
        O_DIRECTORY = 0o40000,
        O_NOFOLLOW = 0o100000,
        O_DIRECT = 0o200000,
        O_LARGEFILE = 0o400000,
        O_NOATIME = 0o1000000,
        O_CLOEXEC = 0o2000000,
        O_SYNC = 0o4010000,
        O_PATH = 0o10000000,
        O_TMPFILE = 0o20040000,
    }
}

consts! {
    /// Masks of the access mode and of the bare `O_TMPFILE` bit.
    pub O_MASKS: u32 {
        O_ACCMODE = 0o3,
        __O_TMPFILE = 0o20000000,
        __O_SYNC = 0o4000000,
    }
}

consts! {
    /// The `AT_*` flags of the `*at` calls.
    pub AT: u32 {
        AT_SYMLINK_NOFOLLOW = 0x100,
        AT_REMOVEDIR = 0x200,
        AT_SYMLINK_FOLLOW = 0x400,
        AT_NO_AUTOMOUNT = 0x800,
        AT_EMPTY_PATH = 0x1000,
        AT_STATX_FORCE_SYNC = 0x2000,
        AT_STATX_DONT_SYNC = 0x4000,
        AT_RECURSIVE = 0x8000,
    }
}

consts! {
    /// Names that share a bit with another `AT_*` flag.
    pub AT_ALIASES: u32 {
        AT_EACCESS = 0x200,
        AT_STATX_SYNC_TYPE = 0x6000,
        AT_STATX_SYNC_AS_STAT = 0x0,
        AT_HANDLE_FID = 0x200,
    }
}

consts! {
    /// Special directory descriptors.
    pub AT_FD: i32 {
        AT_FDCWD = -100,
    }
}

consts! {
    /// Commands of `fcntl`(2).
    pub F: u32 {
        F_DUPFD = 0,
        F_GETFD = 1,
        F_SETFD = 2,
        F_GETFL = 3,
        F_SETFL = 4,
        F_GETLK = 5,
        F_SETLK = 6,
        F_SETLKW = 7,
        F_SETOWN = 8,
        F_GETOWN = 9,
        F_SETSIG = 10,
        F_GETSIG = 11,
        F_SETOWN_EX = 15,
        F_GETOWN_EX = 16,
        F_GETOWNER_UIDS = 17,
        F_OFD_GETLK = 36,
        F_OFD_SETLK = 37,
        F_OFD_SETLKW = 38,
        F_SETLEASE = 1024,
        F_GETLEASE = 1025,
        F_NOTIFY = 1026,
        F_DUPFD_CLOEXEC = 1030,
        F_DUPFD_QUERY = 1027,
        F_CREATED_QUERY = 1028,
        F_CANCELLK = 1029,
        F_SETPIPE_SZ = 1031,
        F_GETPIPE_SZ = 1032,
        F_ADD_SEALS = 1033,
        F_GET_SEALS = 1034,
        F_GET_RW_HINT = 1035,
        F_SET_RW_HINT = 1036,
        F_GET_FILE_RW_HINT = 1037,
        F_SET_FILE_RW_HINT = 1038,
    }
}

consts! {
    /// Descriptor flags of `F_GETFD` and `F_SETFD`.
    pub FD_FLAGS: u32 {
        FD_CLOEXEC = 1,
    }
}

consts! {
    /// Lock types of `struct flock`.
    pub F_LOCK_TYPES: i16 {
        F_RDLCK = 0,
        F_WRLCK = 1,
        F_UNLCK = 2,
    }
}

consts! {
    /// Owner types of `F_SETOWN_EX`.
    pub F_OWNER_TYPES: i32 {
        F_OWNER_TID = 0,
        F_OWNER_PID = 1,
        F_OWNER_PGRP = 2,
    }
}

consts! {
    /// Operations of `flock`(2).
    pub LOCK: u32 {
        LOCK_SH = 1,
        LOCK_EX = 2,
        LOCK_NB = 4,
        LOCK_UN = 8,
    }
}

consts! {
    /// File seals of `F_ADD_SEALS`.
    pub SEALS: u32 {
        F_SEAL_SEAL = 0x1,
        F_SEAL_SHRINK = 0x2,
        F_SEAL_GROW = 0x4,
        F_SEAL_WRITE = 0x8,
        F_SEAL_FUTURE_WRITE = 0x10,
        F_SEAL_EXEC = 0x20,
    }
}

consts! {
    /// Write life time hints.
    pub RWH: u64 {
        RWH_WRITE_LIFE_NOT_SET = 0,
        RWH_WRITE_LIFE_NONE = 1,
        RWH_WRITE_LIFE_SHORT = 2,
        RWH_WRITE_LIFE_MEDIUM = 3,
        RWH_WRITE_LIFE_LONG = 4,
        RWH_WRITE_LIFE_EXTREME = 5,
    }
}

consts! {
    /// Events of `F_NOTIFY`.
    pub DN: u32 {
        DN_ACCESS = 0x1,
        DN_MODIFY = 0x2,
        DN_CREATE = 0x4,
        DN_DELETE = 0x8,
        DN_RENAME = 0x10,
        DN_ATTRIB = 0x20,
        DN_MULTISHOT = 0x80000000,
    }
}

consts! {
    /// `resolve` flags of `openat2`(2).
    pub RESOLVE: u64 {
        RESOLVE_NO_XDEV = 0x1,
        RESOLVE_NO_MAGICLINKS = 0x2,
        RESOLVE_NO_SYMLINKS = 0x4,
        RESOLVE_BENEATH = 0x8,
        RESOLVE_IN_ROOT = 0x10,
        RESOLVE_CACHED = 0x20,
    }
}

consts! {
    /// `whence` of `lseek`(2).
    pub SEEK: u32 {
        SEEK_SET = 0,
        SEEK_CUR = 1,
        SEEK_END = 2,
        SEEK_DATA = 3,
        SEEK_HOLE = 4,
    }
}

consts! {
    /// Modes of `access`(2).
    pub ACCESS: u32 {
        F_OK = 0,
        X_OK = 1,
        W_OK = 2,
        R_OK = 4,
    }
}

consts! {
    /// Modes of `fallocate`(2).
    pub FALLOC: u32 {
        FALLOC_FL_KEEP_SIZE = 0x1,
        FALLOC_FL_PUNCH_HOLE = 0x2,
        FALLOC_FL_NO_HIDE_STALE = 0x4,
        FALLOC_FL_COLLAPSE_RANGE = 0x8,
        FALLOC_FL_ZERO_RANGE = 0x10,
        FALLOC_FL_INSERT_RANGE = 0x20,
        FALLOC_FL_UNSHARE_RANGE = 0x40,
    }
}

consts! {
    /// Advice of `posix_fadvise`(2).
    pub POSIX_FADV: u32 {
        POSIX_FADV_NORMAL = 0,
        POSIX_FADV_RANDOM = 1,
        POSIX_FADV_SEQUENTIAL = 2,
        POSIX_FADV_WILLNEED = 3,
        POSIX_FADV_DONTNEED = 4,
        POSIX_FADV_NOREUSE = 5,
    }
}

consts! {
    /// Flags of `renameat2`(2).
    pub RENAME: u32 {
        RENAME_NOREPLACE = 0x1,
        RENAME_EXCHANGE = 0x2,
        RENAME_WHITEOUT = 0x4,
    }
}

consts! {
    /// Flags of `sync_file_range`(2).
    pub SYNC_FILE_RANGE: u32 {
        SYNC_FILE_RANGE_WAIT_BEFORE = 0x1,
        SYNC_FILE_RANGE_WRITE = 0x2,
        SYNC_FILE_RANGE_WAIT_AFTER = 0x4,
    }
}

consts! {
    /// Flags of `splice`(2), `tee`(2) and `vmsplice`(2).
    pub SPLICE: u32 {
        SPLICE_F_MOVE = 0x1,
        SPLICE_F_NONBLOCK = 0x2,
        SPLICE_F_MORE = 0x4,
        SPLICE_F_GIFT = 0x8,
    }
}

consts! {
    /// Flags of `preadv2`(2) and `pwritev2`(2).
    pub RWF: u32 {
        RWF_HIPRI = 0x1,
        RWF_DSYNC = 0x2,
        RWF_SYNC = 0x4,
        RWF_NOWAIT = 0x8,
        RWF_APPEND = 0x10,
        RWF_NOAPPEND = 0x20,
        RWF_ATOMIC = 0x40,
    }
}

consts! {
    /// Flags of `close_range`(2).
    pub CLOSE_RANGE: u32 {
        CLOSE_RANGE_UNSHARE = 0x2,
        CLOSE_RANGE_CLOEXEC = 0x4,
    }
}

consts! {
    /// Flags of `setxattr`(2).
    pub XATTR: u32 {
        XATTR_CREATE = 0x1,
        XATTR_REPLACE = 0x2,
    }
}

consts! {
    /// Limits of names, paths, vectors and pipes.
    pub LIMITS: usize {
        PATH_MAX = 4096,
        NAME_MAX = 255,
        IOV_MAX = 1024,
        XATTR_NAME_MAX = 255,
        XATTR_SIZE_MAX = 65536,
        XATTR_LIST_MAX = 65536,
        PIPE_BUF = 4096,
        NGROUPS_MAX = 65536,
    }
}

bitflags! {
    /// Flags of `open`(2) as a set; the access mode is [`OpenFlags::access_mode`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct OpenFlags: u32 {
        /// Write only (the access mode is a two-bit field, not a set).
        const WRONLY = O_WRONLY;
        /// Read and write.
        const RDWR = O_RDWR;
        /// Create the file if it is missing.
        const CREAT = O_CREAT;
        /// Fail if it exists.
        const EXCL = O_EXCL;
        /// Do not become the controlling terminal.
        const NOCTTY = O_NOCTTY;
        /// Cut to length 0.
        const TRUNC = O_TRUNC;
        /// Write at the end.
        const APPEND = O_APPEND;
        /// Do not block.
        const NONBLOCK = O_NONBLOCK;
        /// Data is durable when a write returns.
        const DSYNC = O_DSYNC;
        /// Signal-driven I/O.
        const ASYNC = O_ASYNC;
        /// Must be a directory.
        const DIRECTORY = O_DIRECTORY;
        /// Last component must not be a symbolic link.
        const NOFOLLOW = O_NOFOLLOW;
        /// Bypass caches.
        const DIRECT = O_DIRECT;
        /// Meaningless on 64 bits.
        const LARGEFILE = O_LARGEFILE;
        /// Do not update the access time.
        const NOATIME = O_NOATIME;
        /// Close on exec.
        const CLOEXEC = O_CLOEXEC;
        /// Data and metadata are durable when a write returns (`O_DSYNC` plus a bit).
        const SYNC = O_SYNC;
        /// Only a handle of the path.
        const PATH = O_PATH;
        /// An unnamed file (`O_DIRECTORY` plus a bit).
        const TMPFILE = O_TMPFILE;
    }
}

impl OpenFlags {
    /// `O_RDONLY`, `O_WRONLY`, `O_RDWR` or 3 (neither, for `ioctl` only).
    #[must_use]
    pub const fn access_mode(self) -> u32 {
        self.bits() & O_ACCMODE
    }

    /// Whether the access mode lets a program read.
    #[must_use]
    pub const fn readable(self) -> bool {
        matches!(self.access_mode(), O_RDONLY | O_RDWR)
    }

    /// Whether the access mode lets a program write.
    #[must_use]
    pub const fn writable(self) -> bool {
        matches!(self.access_mode(), O_WRONLY | O_RDWR)
    }
}

bitflags! {
    /// The `AT_*` flags of the `*at` calls as a set; each call accepts a subset.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct AtFlags: u32 {
        /// Do not follow a symbolic link at the end.
        const SYMLINK_NOFOLLOW = AT_SYMLINK_NOFOLLOW;
        /// Remove a directory (`unlinkat`); `AT_EACCESS` of `faccessat2` has the same bit.
        const REMOVEDIR = AT_REMOVEDIR;
        /// Follow a symbolic link at the end (`linkat`).
        const SYMLINK_FOLLOW = AT_SYMLINK_FOLLOW;
        /// Do not trigger automounts.
        const NO_AUTOMOUNT = AT_NO_AUTOMOUNT;
        /// An empty path means the descriptor itself.
        const EMPTY_PATH = AT_EMPTY_PATH;
        /// Ask the server.
        const STATX_FORCE_SYNC = AT_STATX_FORCE_SYNC;
        /// Take what is cached.
        const STATX_DONT_SYNC = AT_STATX_DONT_SYNC;
        /// Apply to the whole subtree.
        const RECURSIVE = AT_RECURSIVE;
    }
}

abi! {
    /// `struct flock`: a byte-range lock of `fcntl`(2).
    pub struct Flock = "struct flock" {
        l_type: i16,
        l_whence: i16,
        _pad0: [u8; 4],
        l_start: i64,
        l_len: i64,
        l_pid: i32,
        _pad1: [u8; 4],
    }

    /// `struct f_owner_ex` of `F_SETOWN_EX`.
    pub struct FOwnerEx = "struct f_owner_ex" {
        r#type: i32,
        pid: i32,
    }

    /// `struct open_how` of `openat2`(2).
    pub struct OpenHow = "struct open_how" {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
}
