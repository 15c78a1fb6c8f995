//! File status: `stat`(2), `statx`(2), `statfs`(2) and the bits of `st_mode`.

use crate::time::Timespec;

consts! {
    /// File type bits of `st_mode`.
    pub FILE_TYPES: u32 {
        S_IFSOCK = 0o140000,
        S_IFLNK = 0o120000,
        S_IFREG = 0o100000,
        S_IFBLK = 0o60000,
        S_IFDIR = 0o40000,
        S_IFCHR = 0o20000,
        S_IFIFO = 0o10000,
    }
}

consts! {
    /// Permission bits of `st_mode`.
    pub MODE_BITS: u32 {
        S_ISUID = 0o4000,
        S_ISGID = 0o2000,
        S_ISVTX = 0o1000,
        S_IRUSR = 0o400,
        S_IWUSR = 0o200,
        S_IXUSR = 0o100,
        S_IRGRP = 0o40,
        S_IWGRP = 0o20,
        S_IXGRP = 0o10,
        S_IROTH = 0o4,
        S_IWOTH = 0o2,
        S_IXOTH = 0o1,
    }
}

consts! {
    /// Masks over `st_mode`.
    pub MODE_MASKS: u32 {
        S_IFMT = 0o170000,
        S_IRWXU = 0o700,
        S_IRWXG = 0o70,
        S_IRWXO = 0o7,
    }
}

consts! {
    /// Field mask of `statx`(2).
    pub STATX_MASK: u32 {
        STATX_TYPE = 0x1,
        STATX_MODE = 0x2,
        STATX_NLINK = 0x4,
        STATX_UID = 0x8,
        STATX_GID = 0x10,
        STATX_ATIME = 0x20,
        STATX_MTIME = 0x40,
        STATX_CTIME = 0x80,
        STATX_INO = 0x100,
        STATX_SIZE = 0x200,
        STATX_BLOCKS = 0x400,
        STATX_BTIME = 0x800,
        STATX_MNT_ID = 0x1000,
        STATX_DIOALIGN = 0x2000,
        STATX_MNT_ID_UNIQUE = 0x4000,
        STATX_SUBVOL = 0x8000,
        STATX_WRITE_ATOMIC = 0x10000,
        STATX__RESERVED = 0x80000000,
    }
}

consts! {
    /// Sets of `statx` fields.
    pub STATX_SETS: u32 {
        STATX_BASIC_STATS = 0x7ff,
        STATX_ALL = 0xfff,
    }
}

consts! {
    /// File attributes of `statx`(2).
    pub STATX_ATTR: u64 {
        STATX_ATTR_COMPRESSED = 0x4,
        STATX_ATTR_IMMUTABLE = 0x10,
        STATX_ATTR_APPEND = 0x20,
        STATX_ATTR_NODUMP = 0x40,
        STATX_ATTR_ENCRYPTED = 0x800,
        STATX_ATTR_AUTOMOUNT = 0x1000,
        STATX_ATTR_MOUNT_ROOT = 0x2000,
        STATX_ATTR_VERITY = 0x100000,
        STATX_ATTR_DAX = 0x200000,
    }
}

consts! {
    /// Mount flags in `f_flags` of `statfs`(2).
    pub ST: u64 {
        ST_RDONLY = 0x1,
        ST_NOSUID = 0x2,
        ST_NODEV = 0x4,
        ST_NOEXEC = 0x8,
        ST_SYNCHRONOUS = 0x10,
        ST_VALID = 0x20,
        ST_MANDLOCK = 0x40,
        ST_NOATIME = 0x400,
        ST_NODIRATIME = 0x800,
        ST_RELATIME = 0x1000,
        ST_NOSYMFOLLOW = 0x2000,
    }
}

consts! {
    /// File system magic numbers of `statfs`(2).
    pub MAGIC: u64 {
        EXT4_SUPER_MAGIC = 0xef53,
        TMPFS_MAGIC = 0x1021994,
        PROC_SUPER_MAGIC = 0x9fa0,
        SYSFS_MAGIC = 0x62656572,
        DEVPTS_SUPER_MAGIC = 0x1cd1,
        OVERLAYFS_SUPER_MAGIC = 0x794c7630,
        RAMFS_MAGIC = 0x858458f6,
        CGROUP2_SUPER_MAGIC = 0x63677270,
        PIPEFS_MAGIC = 0x50495045,
        SOCKFS_MAGIC = 0x534f434b,
        ANON_INODE_FS_MAGIC = 0x9041934,
        NSFS_MAGIC = 0x6e736673,
        V9FS_MAGIC = 0x1021997,
        FUSE_SUPER_MAGIC = 0x65735546,
        HUGETLBFS_MAGIC = 0x958458f6,
        MQUEUE_MAGIC = 0x19800202,
        BINFMTFS_MAGIC = 0x42494e4d,
        DEBUGFS_MAGIC = 0x64626720,
        TRACEFS_MAGIC = 0x74726163,
        SECURITYFS_MAGIC = 0x73636673,
        PID_FS_MAGIC = 0x50494446,
        BTRFS_SUPER_MAGIC = 0x9123683e,
        XFS_SUPER_MAGIC = 0x58465342,
    }
}

/// The file type bits of `mode`, for example [`S_IFDIR`].
#[must_use]
pub const fn file_type(mode: u32) -> u32 {
    mode & S_IFMT
}

/// `d_type` of a directory entry from the file type bits of `mode`.
#[must_use]
pub const fn dirent_type(mode: u32) -> u8 {
    ((mode & S_IFMT) >> 12) as u8
}

/// Builds a device number in the kernel's encoding for user space (`makedev`(3), low 32 bits).
#[must_use]
pub const fn makedev(major: u32, minor: u32) -> u64 {
    ((minor & 0xff) | ((major & 0xfff) << 8)) as u64
        | ((minor as u64 & !0xff) << 12)
        | ((major as u64 & !0xfff) << 32)
}

/// Major part of a device number.
#[must_use]
pub const fn major(dev: u64) -> u32 {
    ((dev >> 8) & 0xfff) as u32 | ((dev >> 32) & !0xfff) as u32
}

/// Minor part of a device number.
#[must_use]
pub const fn minor(dev: u64) -> u32 {
    (dev & 0xff) as u32 | ((dev >> 12) & !0xff) as u32
}

abi! {
    /// `struct stat` of arm64 (asm-generic, 128 bytes).
    pub struct Stat = "struct stat" {
        st_dev: u64,
        st_ino: u64,
        st_mode: u32,
        st_nlink: u32,
        st_uid: u32,
        st_gid: u32,
        st_rdev: u64,
        _pad1: u64,
        st_size: i64,
        st_blksize: i32,
        _pad2: i32,
        st_blocks: i64,
        st_atime: i64,
        st_atime_nsec: u64,
        st_mtime: i64,
        st_mtime_nsec: u64,
        st_ctime: i64,
        st_ctime_nsec: u64,
        _unused4: u32,
        _unused5: u32,
    }

    /// `struct statx_timestamp`.
    pub struct StatxTimestamp = "struct statx_timestamp" {
        tv_sec: i64,
        tv_nsec: u32,
        _reserved: i32,
    }

    /// `struct statx` (256 bytes).
    pub struct Statx = "struct statx" {
        stx_mask: u32,
        stx_blksize: u32,
        stx_attributes: u64,
        stx_nlink: u32,
        stx_uid: u32,
        stx_gid: u32,
        stx_mode: u16,
        _spare0: u16,
        stx_ino: u64,
        stx_size: u64,
        stx_blocks: u64,
        stx_attributes_mask: u64,
        stx_atime: StatxTimestamp,
        stx_btime: StatxTimestamp,
        stx_ctime: StatxTimestamp,
        stx_mtime: StatxTimestamp,
        stx_rdev_major: u32,
        stx_rdev_minor: u32,
        stx_dev_major: u32,
        stx_dev_minor: u32,
        stx_mnt_id: u64,
        stx_dio_mem_align: u32,
        stx_dio_offset_align: u32,
        _spare3: [u64; 12],
    }

    /// `struct statfs` (120 bytes).
    pub struct Statfs = "struct statfs" {
        f_type: u64,
        f_bsize: u64,
        f_blocks: u64,
        f_bfree: u64,
        f_bavail: u64,
        f_files: u64,
        f_ffree: u64,
        f_fsid: [i32; 2],
        f_namelen: u64,
        f_frsize: u64,
        f_flags: u64,
        f_spare: [u64; 4],
    }
}

impl From<Timespec> for StatxTimestamp {
    fn from(t: Timespec) -> Self {
        StatxTimestamp {
            tv_sec: t.tv_sec,
            tv_nsec: t.tv_nsec as u32,
            _reserved: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_round_trip() {
        for (maj, min) in [(0, 0), (1, 3), (136, 7), (259, 300), (0xfffff, 0xfffff)] {
            let dev = makedev(maj, min);
            assert_eq!((major(dev), minor(dev)), (maj, min));
        }
        assert_eq!(makedev(5, 2), 0x502);
        assert_eq!(dirent_type(S_IFDIR | 0o755), 4);
    }
}
