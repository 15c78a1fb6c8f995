//! What an inode is and what may be changed about it: inode(7), stat(2), chmod(2), utimensat(2).

use std::sync::atomic::{AtomicU32, Ordering};

/// A device number, major and minor: makedev(3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId {
    /// Major number, 12 bits in Linux.
    pub major: u32,
    /// Minor number, 20 bits in Linux.
    pub minor: u32,
}

impl DeviceId {
    /// A device number of its parts.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// A number that no other file system of the process has, for one without a device: major 0.
    #[must_use]
    pub fn anonymous() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(20);
        Self::new(0, NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The 64-bit encoding that `st_dev` and `st_rdev` carry: makedev(3).
    #[must_use]
    pub const fn encode(self) -> u64 {
        let (ma, mi) = (self.major as u64, self.minor as u64);
        (mi & 0xff) | ((ma & 0xfff) << 8) | ((mi & !0xff) << 12) | ((ma & !0xfff) << 32)
    }

    /// The inverse of [`DeviceId::encode`].
    #[must_use]
    pub const fn decode(dev: u64) -> Self {
        Self {
            major: (((dev >> 8) & 0xfff) | ((dev >> 32) & !0xfff)) as u32,
            minor: ((dev & 0xff) | ((dev >> 12) & 0xffff_ff00)) as u32,
        }
    }
}

/// The file types of inode(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A Unix socket.
    Socket,
}

impl FileType {
    /// The `S_IF*` bits.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    /// The type in a mode word, if its `S_IFMT` bits name one.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharDevice,
            0o040_000 => Self::Directory,
            0o060_000 => Self::BlockDevice,
            0o100_000 => Self::Regular,
            0o120_000 => Self::Symlink,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// The `DT_*` value of getdents64(2).
    #[must_use]
    pub const fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// A time since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, 0..1,000,000,000.
    pub nsec: u32,
}

/// Everything stat(2) tells of an inode.
#[derive(Clone, Copy, Debug)]
pub struct Attr {
    /// Device of the file system.
    pub dev: DeviceId,
    /// Inode number.
    pub ino: u64,
    /// File type.
    pub kind: FileType,
    /// Permission bits, 0o7777.
    pub mode: u32,
    /// Link count.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device inode.
    pub rdev: DeviceId,
    /// Size in bytes.
    pub size: u64,
    /// Preferred block size in bytes.
    pub blksize: u32,
    /// Allocated 512-byte units.
    pub blocks: u64,
    /// Last access.
    pub atime: Time,
    /// Last data change.
    pub mtime: Time,
    /// Last status change.
    pub ctime: Time,
    /// Creation, where known.
    pub btime: Option<Time>,
}

impl Attr {
    /// `st_mode`: type and permission bits.
    #[must_use]
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode
    }
}

/// A time to set: utimensat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The current time of the file system's clock ([`crate::Cx::now`]).
    Now,
    /// A given time.
    At(Time),
}

/// The attributes to change; `None` leaves one alone. The VFS has checked permissions.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    /// New permission bits.
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size (truncate(2)); the modification time follows if the size changes.
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<SetTime>,
    /// New modification time.
    pub mtime: Option<SetTime>,
}

/// What statfs(2) tells, in its units.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatFs {
    /// `f_type` magic number.
    pub magic: u64,
    /// Block size in bytes.
    pub bsize: u64,
    /// Total blocks.
    pub blocks: u64,
    /// Free blocks.
    pub bfree: u64,
    /// Blocks free to unprivileged users.
    pub bavail: u64,
    /// Total inodes.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Longest name.
    pub namelen: u64,
    /// File system id.
    pub fsid: u64,
}
