//! Open regular files.

use super::stat::{FsStat, SetTimes, Stat};
use crate::errno::from_host;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{FlockOperation, Gid, Mode, SeekFrom, Uid},
    io::retry_on_intr,
};
#[cfg(not(target_os = "linux"))]
use tuxlet_uapi::errno::Errno;
use tuxlet_uapi::errno::Result;

/// How to open a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenFile {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Create it with these permission bits (less the host's umask) if it is missing.
    pub create: Option<u32>,
    /// With `create`: fail with `EEXIST` if it is there.
    pub exclusive: bool,
    /// Cut it to nothing.
    pub truncate: bool,
}

impl OpenFile {
    /// For reading only.
    pub const READ: Self = Self {
        read: true,
        write: false,
        create: None,
        exclusive: false,
        truncate: false,
    };
    /// For reading and writing.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
        create: None,
        exclusive: false,
        truncate: false,
    };
}

/// What to do with a range of a file: fallocate(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceMode {
    /// Allocate, and grow the file if the range ends behind it.
    Allocate,
    /// Allocate without changing the size.
    AllocateKeepSize,
    /// Free the range; it reads as zeroes. The size stays.
    PunchHole,
    /// Zero the range, growing the file if needed.
    Zero,
    /// Zero the range without changing the size.
    ZeroKeepSize,
    /// Remove the range and move the rest down.
    Collapse,
    /// Insert a hole and move the rest up.
    Insert,
}

impl SpaceMode {
    /// The meaning of fallocate(2)'s mode bits, if there is one.
    #[must_use]
    pub const fn from_fallocate(mode: u32) -> Option<Self> {
        use tuxlet_uapi::fcntl as f;
        const PUNCH: u32 = f::FALLOC_FL_PUNCH_HOLE | f::FALLOC_FL_KEEP_SIZE;
        const ZERO_KEEP: u32 = f::FALLOC_FL_ZERO_RANGE | f::FALLOC_FL_KEEP_SIZE;
        Some(match mode {
            0 => Self::Allocate,
            f::FALLOC_FL_KEEP_SIZE => Self::AllocateKeepSize,
            PUNCH => Self::PunchHole,
            f::FALLOC_FL_ZERO_RANGE => Self::Zero,
            ZERO_KEEP => Self::ZeroKeepSize,
            f::FALLOC_FL_COLLAPSE_RANGE => Self::Collapse,
            f::FALLOC_FL_INSERT_RANGE => Self::Insert,
            _ => return None,
        })
    }

    /// The bytes that read differently afterwards, if the range was `offset..end`.
    #[must_use]
    pub fn changes(self, offset: u64, end: u64) -> Option<std::ops::Range<u64>> {
        match self {
            Self::Allocate | Self::AllocateKeepSize => None,
            Self::PunchHole | Self::Zero | Self::ZeroKeepSize => Some(offset..end),
            Self::Collapse | Self::Insert => Some(offset..u64::MAX),
        }
    }
}

/// An open regular file of the host. All reads and writes are positional.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
}

impl File {
    pub(super) const fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Its attributes.
    pub fn stat(&self) -> Result<Stat> {
        rustix::fs::fstat(&self.fd)
            .map(Stat::from)
            .map_err(from_host)
    }

    /// Reads at `offset`; less than asked only at the end of the file. Returns the count in bytes.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let rest = &mut buf[done..];
            match retry_on_intr(|| rustix::io::pread(&self.fd, &mut *rest, offset + done as u64)) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(_) if done > 0 => break,
                Err(e) => return Err(from_host(e)),
            }
        }
        Ok(done)
    }

    /// Writes at `offset`; less than given only if an error came after a part. Returns the count in bytes.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match retry_on_intr(|| rustix::io::pwrite(&self.fd, &buf[done..], offset + done as u64))
            {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(_) if done > 0 => break,
                Err(e) => return Err(from_host(e)),
            }
        }
        Ok(done)
    }

    /// Sets the size in bytes: ftruncate(2).
    pub fn set_len(&self, size: u64) -> Result<()> {
        retry_on_intr(|| rustix::fs::ftruncate(&self.fd, size)).map_err(from_host)
    }

    /// Makes the data durable, and with `!data_only` the attributes too: fsync(2), fdatasync(2).
    pub fn sync(&self, data_only: bool) -> Result<()> {
        #[cfg(not(target_vendor = "apple"))]
        if data_only {
            return retry_on_intr(|| rustix::fs::fdatasync(&self.fd)).map_err(from_host);
        }
        let _ = data_only;
        retry_on_intr(|| rustix::fs::fsync(&self.fd)).map_err(from_host)
    }

    /// Allocates, frees or moves space; `EOPNOTSUPP` where the host cannot.
    #[cfg(target_os = "linux")]
    pub fn space(&self, mode: SpaceMode, offset: u64, len: u64) -> Result<()> {
        use rustix::fs::FallocateFlags as F;
        let flags = match mode {
            SpaceMode::Allocate => F::empty(),
            SpaceMode::AllocateKeepSize => F::KEEP_SIZE,
            SpaceMode::PunchHole => F::PUNCH_HOLE | F::KEEP_SIZE,
            SpaceMode::Zero => F::ZERO_RANGE,
            SpaceMode::ZeroKeepSize => F::ZERO_RANGE | F::KEEP_SIZE,
            SpaceMode::Collapse => F::COLLAPSE_RANGE,
            SpaceMode::Insert => F::INSERT_RANGE,
        };
        retry_on_intr(|| rustix::fs::fallocate(&self.fd, flags, offset, len)).map_err(from_host)
    }

    /// Allocates, frees or moves space; `EOPNOTSUPP` where the host cannot.
    #[cfg(not(target_os = "linux"))]
    pub fn space(&self, mode: SpaceMode, offset: u64, len: u64) -> Result<()> {
        match mode {
            SpaceMode::Allocate => {
                let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
                if end > self.stat()?.size {
                    self.set_len(end)?;
                }
                Ok(())
            }
            SpaceMode::AllocateKeepSize => Ok(()),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// The next data (`data`) or hole at or behind `offset`: lseek(2) `SEEK_DATA`, `SEEK_HOLE`.
    pub fn seek_extent(&self, offset: u64, data: bool) -> Result<u64> {
        let from = if data {
            SeekFrom::Data(offset)
        } else {
            SeekFrom::Hole(offset)
        };
        rustix::fs::seek(&self.fd, from).map_err(from_host)
    }

    /// Copies up to `len` bytes from here to another file, by the host if it can. Returns the count in bytes.
    pub fn copy_to(&self, offset: u64, to: &Self, to_offset: u64, len: u64) -> Result<u64> {
        let mut done = 0;
        let mut buf = Vec::new();
        while done < len {
            #[cfg(target_os = "linux")]
            if buf.is_empty() {
                let (mut from_at, mut to_at) = (offset + done, to_offset + done);
                let want = usize::try_from(len - done)
                    .unwrap_or(usize::MAX)
                    .min(1 << 30);
                match rustix::fs::copy_file_range(
                    &self.fd,
                    Some(&mut from_at),
                    &to.fd,
                    Some(&mut to_at),
                    want,
                ) {
                    Ok(0) => break,
                    Ok(n) => {
                        done += n as u64;
                        continue;
                    }
                    // Other file systems, overlapping ranges, old hosts: by hand.
                    Err(_) => {}
                }
            }
            buf.resize(1 << 16, 0);
            let want = buf
                .len()
                .min(usize::try_from(len - done).unwrap_or(usize::MAX));
            let n = self.read_at(&mut buf[..want], offset + done)?;
            if n == 0 {
                break;
            }
            let w = to.write_at(&buf[..n], to_offset + done)?;
            done += w as u64;
            if w < n {
                break;
            }
        }
        Ok(done)
    }

    /// Sets the permission bits.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode as _)).map_err(from_host)
    }

    /// Sets owner and group; `None` leaves one alone.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        rustix::fs::fchown(&self.fd, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
            .map_err(from_host)
    }

    /// Sets the times.
    pub fn set_times(&self, times: SetTimes) -> Result<()> {
        rustix::fs::futimens(&self.fd, &times.to_host()).map_err(from_host)
    }

    /// Takes an advisory lock on the open file until it is closed; `EAGAIN` if another holds one against it.
    pub fn try_lock(&self, exclusive: bool) -> Result<()> {
        let how = if exclusive {
            FlockOperation::NonBlockingLockExclusive
        } else {
            FlockOperation::NonBlockingLockShared
        };
        retry_on_intr(|| rustix::fs::flock(&self.fd, how)).map_err(from_host)
    }

    /// Lets go of the lock: flock(2). Closing the file is not enough where another thread is just starting a process, which has copies
    /// of all descriptors until its program begins.
    pub fn unlock(&self) -> Result<()> {
        retry_on_intr(|| rustix::fs::flock(&self.fd, FlockOperation::Unlock)).map_err(from_host)
    }

    /// Flushes the whole host file system that holds the file, where the host can; else everything.
    pub fn sync_fs(&self) -> Result<()> {
        sync_fs(&self.fd)
    }

    /// Sizes of the host file system.
    pub fn fs_stat(&self) -> Result<FsStat> {
        rustix::fs::fstatvfs(&self.fd)
            .map(FsStat::from)
            .map_err(from_host)
    }

    /// The file as the standard library's type.
    #[must_use]
    pub fn into_std(self) -> std::fs::File {
        self.fd.into()
    }
}

pub(super) fn sync_fs(fd: impl AsFd) -> Result<()> {
    #[cfg(target_os = "linux")]
    return rustix::fs::syncfs(fd).map_err(from_host);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = fd;
        rustix::fs::sync();
        Ok(())
    }
}
