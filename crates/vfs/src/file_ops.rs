//! What an open file can do.

use crate::{
    attr::Attr,
    cx::Cx,
    dir::DirSink,
    poll::{Events, PollTable},
    seals::Seals,
    socket::SocketOps,
};
use std::{any::Any, fmt::Debug, sync::Arc};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite, MemoryObject};
use tuxlet_uapi::errno::{Errno, Result};

/// The operations of an open file. Offsets and positions are in bytes. Nothing here waits for readiness: an
/// operation that would block returns `EAGAIN`, and the kernel waits by [`FileOps::poll`].
pub trait FileOps: Send + Sync + Debug + Any {
    /// As `Any`, for the kernel to find its own file types.
    fn as_any(&self) -> &dyn Any;

    /// The socket behind the file, if it is one.
    fn as_socket(&self) -> Option<&dyn SocketOps> {
        None
    }
    /// Reads at `offset` into `to`: at most `to.remaining()` bytes; 0 at the end. Streams ignore `offset`.
    fn read_at(&self, cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let _ = (cx, offset, to);
        Err(Errno::EINVAL)
    }
    /// Writes at `offset` what `from` holds. Streams ignore `offset`.
    fn write_at(&self, cx: &Cx, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let _ = (cx, offset, from);
        Err(Errno::EINVAL)
    }
    /// Appends atomically (`O_APPEND`); returns the offset behind the data and the count.
    fn append(&self, cx: &Cx, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        let offset = self.attr(cx)?.size;
        let n = self.write_at(cx, offset, from)?;
        Ok((offset + n as u64, n))
    }
    /// Whether the file has positions: false for pipes, sockets and terminals (lseek gives `ESPIPE`).
    fn seekable(&self) -> bool {
        true
    }
    /// An answer of the file's own to lseek(2), `None` for the usual one. Files of the kernel's own that have no bytes,
    /// such as eventfds, ignore the call and say 0.
    fn own_seek(&self, offset: i64, whence: u32) -> Option<Result<u64>> {
        let _ = (offset, whence);
        None
    }
    /// `SEEK_DATA` (3) and `SEEK_HOLE` (4); the default sees one extent of data up to the end.
    fn seek_extent(&self, cx: &Cx, offset: u64, whence: u32) -> Result<u64> {
        let size = self.attr(cx)?.size;
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        Ok(if whence == 3 { offset } else { size })
    }
    /// Reads directory entries from position `pos` on (0, or a `next` of an earlier entry); `.` and `..` are
    /// delivered by the file system. Returns the position to continue from.
    fn read_dir(&self, cx: &Cx, pos: u64, sink: &mut dyn DirSink) -> Result<u64> {
        let _ = (cx, pos, sink);
        Err(Errno::ENOTDIR)
    }
    /// Attributes of the inode behind the file: fstat(2).
    fn attr(&self, cx: &Cx) -> Result<Attr>;
    /// Changes the size.
    fn truncate(&self, cx: &Cx, size: u64) -> Result<()> {
        let _ = (cx, size);
        Err(Errno::EINVAL)
    }
    /// fallocate(2) with its mode bits.
    fn fallocate(&self, cx: &Cx, mode: u32, offset: u64, len: u64) -> Result<()> {
        let _ = (cx, mode, offset, len);
        Err(Errno::EOPNOTSUPP)
    }
    /// Makes data (and, unless `data_only`, attributes) durable: fsync(2).
    fn fsync(&self, cx: &Cx, data_only: bool) -> Result<()> {
        let _ = (cx, data_only);
        Err(Errno::EINVAL)
    }
    /// Current readiness; with a table, also registers for changes (before looking).
    fn poll(&self, cx: &Cx, table: Option<&mut PollTable>) -> Events {
        let _ = (cx, table);
        Events::READABLE | Events::WRITABLE
    }
    /// Whether epoll(7) accepts the file: false for regular files and directories (`EPERM`).
    fn pollable(&self) -> bool {
        false
    }
    /// The object to map: mmap(2). `ENODEV` if it cannot be mapped.
    fn mmap_object(&self, cx: &Cx) -> Result<Arc<dyn MemoryObject>> {
        let _ = cx;
        Err(Errno::ENODEV)
    }
    /// The seals, of files that have any (files in memory): fcntl(2) `F_ADD_SEALS`.
    fn seals(&self) -> Option<&Seals> {
        None
    }
    /// Device and socket controls: ioctl(2). `arg` is the raw third argument, `mm` the caller's memory.
    fn ioctl(&self, cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        let _ = (cx, request, arg, mm);
        Err(Errno::ENOTTY)
    }
    /// Called when a descriptor is closed (each close(2), not only the last); `tgid` is the closing process.
    fn flush(&self, cx: &Cx) -> Result<()> {
        let _ = cx;
        Ok(())
    }
    /// Reacts to changed status flags (`O_NONBLOCK`, `O_APPEND`, `O_DIRECT`): fcntl(2) `F_SETFL`.
    fn set_flags(&self, flags: u32) -> Result<()> {
        let _ = flags;
        Ok(())
    }
}
