//! What the host tells of a file.

use rustix::fs::{Nsecs, Timespec, Timestamps, UTIME_OMIT};

/// A time since the epoch: seconds, and nanoseconds 0..1,000,000,000.
pub type HostTime = (i64, u32);

/// Attributes of a host file. `mode` has the `S_IF*` bits, which are the same on all hosts.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Device of the host file system.
    pub dev: u64,
    /// Inode number on it.
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Link count.
    pub nlink: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Raw host device number of a device file.
    pub rdev: u64,
    /// Size in bytes.
    pub size: u64,
    /// Preferred block size in bytes.
    pub blksize: u32,
    /// Allocated 512-byte units.
    pub blocks: u64,
    /// Last access.
    pub atime: HostTime,
    /// Last data change.
    pub mtime: HostTime,
    /// Last status change.
    pub ctime: HostTime,
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    reason = "the field types differ between hosts"
)]
impl From<rustix::fs::Stat> for Stat {
    fn from(s: rustix::fs::Stat) -> Self {
        Self {
            dev: s.st_dev as u64,
            ino: s.st_ino as u64,
            mode: s.st_mode as u32,
            nlink: s.st_nlink as u64,
            uid: s.st_uid as u32,
            gid: s.st_gid as u32,
            rdev: s.st_rdev as u64,
            size: s.st_size as u64,
            blksize: s.st_blksize as u32,
            blocks: s.st_blocks as u64,
            atime: (s.st_atime as i64, s.st_atime_nsec as u32),
            mtime: (s.st_mtime as i64, s.st_mtime_nsec as u32),
            ctime: (s.st_ctime as i64, s.st_ctime_nsec as u32),
        }
    }
}

impl Stat {
    /// The major and minor number in `rdev`.
    #[must_use]
    #[allow(clippy::unnecessary_cast, reason = "the type differs between hosts")]
    pub fn rdev_parts(&self) -> (u32, u32) {
        let rdev = self.rdev as rustix::fs::Dev;
        (rustix::fs::major(rdev), rustix::fs::minor(rdev))
    }

    /// Whether the type bits say regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// Whether the type bits say directory.
    #[must_use]
    pub const fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

/// Times to set; `None` leaves one alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetTimes {
    /// Last access.
    pub atime: Option<HostTime>,
    /// Last data change.
    pub mtime: Option<HostTime>,
}

impl SetTimes {
    pub(super) fn to_host(self) -> Timestamps {
        let one = |t: Option<HostTime>| match t {
            Some((sec, nsec)) => Timespec {
                tv_sec: sec,
                tv_nsec: Nsecs::from(nsec),
            },
            None => Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
        };
        Timestamps {
            last_access: one(self.atime),
            last_modification: one(self.mtime),
        }
    }
}

/// Sizes of the host file system: statvfs(3).
#[derive(Clone, Copy, Debug, Default)]
pub struct FsStat {
    /// Fundamental block size in bytes.
    pub frsize: u64,
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
    /// Longest name in bytes.
    pub namelen: u64,
}

impl From<rustix::fs::StatVfs> for FsStat {
    fn from(s: rustix::fs::StatVfs) -> Self {
        Self {
            frsize: s.f_frsize,
            blocks: s.f_blocks,
            bfree: s.f_bfree,
            bavail: s.f_bavail,
            files: s.f_files,
            ffree: s.f_ffree,
            namelen: s.f_namemax,
        }
    }
}
