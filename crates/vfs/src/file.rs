//! Open file descriptions: what open(2) makes and descriptors refer to.

use crate::{
    attr::{Attr, FileType, SetAttr},
    cx::{Cred, Cx},
    dir::DirSink,
    file_caps,
    file_ops::FileOps,
    inode::InodeRef,
    limit::Limited,
    locks::{FileLocks, LockOwner},
    mount::MountFlags,
    notify,
    path::Path,
    poll::{Events, PollTable},
    setattr,
    text_busy::WriteAccess,
    track::{self, Author, ChangeKind},
};
use parking_lot::Mutex;
use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{
        FALLOC, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, OpenFlags, SEEK_CUR, SEEK_DATA,
        SEEK_END, SEEK_HOLE, SEEK_SET,
    },
    inotify::{IN_ACCESS, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_MODIFY, IN_OPEN},
};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Largest file offset.
const MAX_OFFSET: u64 = i64::MAX as u64;

/// What `/proc/PID/fd/N` leads to.
#[derive(Clone, Debug)]
enum Place {
    Path(Path),
    /// A file without an inode in a file system, such as `pipe:[12]` or `anon_inode:[eventfd]`.
    Anonymous(Box<[u8]>),
}

/// Who gets SIGIO and SIGURG, and which signal instead: fcntl(2) `F_SETOWN`, `F_SETSIG`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileOwner {
    /// `F_OWNER_TID`, `F_OWNER_PID` or `F_OWNER_PGRP`.
    pub kind: i32,
    /// The id; 0 for none.
    pub id: i32,
    /// Real user id of the one who set it.
    pub uid: u32,
    /// Effective user id of the one who set it.
    pub euid: u32,
    /// The signal; 0 for the default.
    pub signal: i32,
}

/// An open file description.
#[derive(Debug)]
pub struct File {
    id: u64,
    ops: Arc<dyn FileOps>,
    place: Place,
    /// Status flags and access mode, without the creation flags.
    flags: AtomicU32,
    /// Position in bytes, for [`FileOps`] that have one.
    pos: Mutex<u64>,
    cred: Arc<Cred>,
    owner: Mutex<FileOwner>,
    /// Whether a lock may have been taken through this description.
    locked: AtomicBool,
    /// Whether the access time has been dealt with since the last write.
    accessed: AtomicBool,
    /// See [`file_caps::drop_from`].
    caps_checked: AtomicU64,
    opener: Author,
    /// Of a regular file that is open for writing.
    write_access: OnceLock<WriteAccess>,
}

/// The operations of an `O_PATH` description: none but fstat(2).
#[derive(Debug)]
pub(crate) struct PathOnly(pub(crate) InodeRef);

impl FileOps for PathOnly {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn attr(&self, cx: &Cx) -> Result<Attr> {
        self.0.attr(cx)
    }
}

impl File {
    fn make(cx: &Cx, ops: Arc<dyn FileOps>, place: Place, flags: OpenFlags) -> Arc<Self> {
        let dealt_with = OpenFlags::CREAT
            | OpenFlags::EXCL
            | OpenFlags::NOCTTY
            | OpenFlags::TRUNC
            | OpenFlags::CLOEXEC;
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            ops,
            place,
            flags: AtomicU32::new((flags - dealt_with).bits()),
            pos: Mutex::new(0),
            cred: Arc::clone(&cx.cred),
            owner: Mutex::default(),
            locked: AtomicBool::new(false),
            accessed: AtomicBool::new(false),
            caps_checked: AtomicU64::new(0),
            opener: Author::of(cx),
            write_access: OnceLock::new(),
        })
    }

    /// A description of a file in a file system.
    #[must_use]
    pub fn new(cx: &Cx, ops: Arc<dyn FileOps>, path: Path, flags: OpenFlags) -> Arc<Self> {
        let file = Self::make(cx, ops, Place::Path(path), flags);
        if let Place::Path(path) = &file.place
            && !file.is_path_only()
        {
            if file.writable() {
                path.mount.add_writer();
            }
            notify::on_dentry(&path.dentry, IN_OPEN);
        }
        file
    }

    /// Keeps the file from being executed while this description lives.
    pub(crate) fn keep_write_access(&self, access: WriteAccess) {
        // A description is opened once.
        let _ = self.write_access.set(access);
    }

    /// A description of something without a path; `name` is what `/proc/PID/fd` shows.
    #[must_use]
    pub fn anonymous(cx: &Cx, ops: Arc<dyn FileOps>, name: &[u8], flags: OpenFlags) -> Arc<Self> {
        Self::make(cx, ops, Place::Anonymous(name.into()), flags)
    }

    /// A number that no other open file description of the process has: the owner of its locks.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The operations.
    #[must_use]
    pub fn ops(&self) -> &Arc<dyn FileOps> {
        &self.ops
    }

    /// The operations as a concrete type, if they are of that type.
    #[must_use]
    pub fn ops_as<T: FileOps>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref()
    }

    /// Where the file is, unless it is anonymous.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Path(path) => Some(path),
            Place::Anonymous(_) => None,
        }
    }

    /// The inode, unless the file is anonymous.
    #[must_use]
    pub fn inode(&self) -> Option<&InodeRef> {
        self.path().map(Path::inode)
    }

    /// What `/proc/PID/fd/N` shows.
    #[must_use]
    pub fn d_path(&self, root: &Path) -> Vec<u8> {
        match &self.place {
            Place::Path(path) => path.d_path(root),
            Place::Anonymous(name) => name.to_vec(),
        }
    }

    /// Type of the file; `None` for an anonymous one.
    fn kind(&self) -> Option<FileType> {
        self.path().map(|p| p.dentry.kind())
    }

    /// The credentials of the opener.
    #[must_use]
    pub fn cred(&self) -> &Arc<Cred> {
        &self.cred
    }

    /// Access mode and status flags, as `F_GETFL` returns them.
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Whether `O_NONBLOCK` is set.
    #[must_use]
    pub fn nonblocking(&self) -> bool {
        self.flags().contains(OpenFlags::NONBLOCK)
    }

    /// Changes the status flags: `F_SETFL`. Only append, async, direct, noatime and nonblock change.
    pub fn set_flags(&self, cx: &Cx, flags: OpenFlags) -> Result<()> {
        let settable = OpenFlags::APPEND
            | OpenFlags::NONBLOCK
            | OpenFlags::ASYNC
            | OpenFlags::DIRECT
            | OpenFlags::NOATIME;
        let old = self.flags();
        let new = (old - settable) | (flags & settable);
        if new.contains(OpenFlags::NOATIME) && !old.contains(OpenFlags::NOATIME) {
            let attr = self.ops.attr(cx)?;
            if !cx.cred.owner_or_capable(&attr) {
                return Err(Errno::EPERM);
            }
        }
        self.ops.set_flags(new.bits())?;
        self.flags.store(new.bits(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether this is only a handle of a path (`O_PATH`).
    #[must_use]
    pub fn is_path_only(&self) -> bool {
        self.flags().contains(OpenFlags::PATH)
    }

    /// Whether the file is open for reading.
    #[must_use]
    pub fn readable(&self) -> bool {
        self.flags().readable() && !self.is_path_only()
    }

    /// Whether the file is open for writing.
    #[must_use]
    pub fn writable(&self) -> bool {
        self.flags().writable() && !self.is_path_only()
    }

    /// Attributes: fstat(2). Those of a device are its node's, whatever the driver has opened.
    pub fn attr(&self, cx: &Cx) -> Result<Attr> {
        match &self.place {
            Place::Path(path)
                if matches!(
                    path.dentry.kind(),
                    FileType::CharDevice | FileType::BlockDevice
                ) =>
            {
                path.attr(cx)
            }
            _ => self.ops.attr(cx),
        }
    }

    /// Who gets SIGIO.
    #[must_use]
    pub fn owner(&self) -> FileOwner {
        *self.owner.lock()
    }

    /// Changes who gets SIGIO.
    pub fn set_owner(&self, owner: FileOwner) {
        *self.owner.lock() = owner;
    }

    /// Readiness: poll(2).
    pub fn poll(&self, cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if self.is_path_only() {
            Events::NVAL
        } else {
            self.ops.poll(cx, table)
        }
    }

    fn may_read(&self) -> Result<()> {
        if !self.readable() {
            return Err(Errno::EBADF);
        }
        if self.kind() == Some(FileType::Directory) {
            Err(Errno::EISDIR)
        } else {
            Ok(())
        }
    }

    fn may_write(&self) -> Result<()> {
        if self.writable() {
            Ok(())
        } else {
            Err(Errno::EBADF)
        }
    }

    /// read(2): at the position, which moves.
    pub fn read(&self, cx: &Cx, to: &mut dyn IoWrite) -> Result<usize> {
        self.may_read()?;
        let n = if self.ops.seekable() {
            let mut pos = self.pos.lock();
            let n = self.ops.read_at(cx, *pos, to)?;
            *pos += n as u64;
            n
        } else {
            self.ops.read_at(cx, 0, to)?
        };
        self.was_read(cx, n);
        Ok(n)
    }

    /// pread(2). `ESPIPE` for streams.
    pub fn pread(&self, cx: &Cx, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        if offset > MAX_OFFSET {
            return Err(Errno::EINVAL);
        }
        if !self.is_path_only() && !self.ops.seekable() {
            return Err(Errno::ESPIPE);
        }
        self.may_read()?;
        let n = self.ops.read_at(cx, offset, to)?;
        self.was_read(cx, n);
        Ok(n)
    }

    fn was_read(&self, cx: &Cx, n: usize) {
        let Place::Path(path) = &self.place else {
            return;
        };
        if n > 0 {
            notify::on_dentry(&path.dentry, IN_ACCESS);
        }
        self.touch(cx, path);
    }

    /// A mapping of the file has been made, which counts as access: mmap(2), "Timestamps changes".
    pub fn was_mapped(&self, cx: &Cx) {
        if let Place::Path(path) = &self.place {
            self.touch(cx, path);
        }
    }

    /// Lets the file system update the access time; once between two writes is enough for relatime.
    fn touch(&self, cx: &Cx, path: &Path) {
        if self.accessed.load(Ordering::Relaxed)
            && path.mount.flags().contains(MountFlags::RELATIME)
        {
            return;
        }
        self.accessed.store(true, Ordering::Relaxed);
        if !self.flags().contains(OpenFlags::NOATIME) {
            path.accessed(cx);
        }
    }

    /// write(2): at the position, or at the end with `O_APPEND`; the position moves behind the data.
    pub fn write(&self, cx: &Cx, from: &mut dyn IoRead) -> Result<usize> {
        self.may_write()?;
        if !self.ops.seekable() {
            let n = self.ops.write_at(cx, 0, from)?;
            self.was_written(cx, n)?;
            return Ok(n);
        }
        if from.remaining() == 0 {
            return Ok(0);
        }
        let mut pos = self.pos.lock();
        let n = if self.flags().contains(OpenFlags::APPEND) {
            let (end, n) = self.append(cx, from)?;
            *pos = end;
            n
        } else {
            let n = self.write_at(cx, *pos, from)?;
            *pos += n as u64;
            n
        };
        drop(pos);
        self.was_written(cx, n)?;
        Ok(n)
    }

    /// pwrite(2). With `O_APPEND`, or `append` (`RWF_APPEND`), the data go to the end as in Linux. `ESPIPE` for streams.
    pub fn pwrite(
        &self,
        cx: &Cx,
        offset: u64,
        from: &mut dyn IoRead,
        append: bool,
    ) -> Result<usize> {
        if offset > MAX_OFFSET {
            return Err(Errno::EINVAL);
        }
        if !self.is_path_only() && !self.ops.seekable() {
            return Err(Errno::ESPIPE);
        }
        self.may_write()?;
        if from.remaining() == 0 {
            return Ok(0);
        }
        let n = if append || self.flags().contains(OpenFlags::APPEND) {
            self.append(cx, from)?.1
        } else {
            self.write_at(cx, offset, from)?
        };
        self.was_written(cx, n)?;
        Ok(n)
    }

    fn write_at(&self, cx: &Cx, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let len = from.remaining() as u64;
        self.strip_privileges(cx)?;
        if self.kind() != Some(FileType::Regular) {
            return self.ops.write_at(cx, offset, from);
        }
        let limit = cx.fsize_limit.min(MAX_OFFSET);
        if offset >= limit {
            return Err(Errno::EFBIG);
        }
        if len > limit - offset {
            return self
                .ops
                .write_at(cx, offset, &mut Limited::new(from, limit - offset));
        }
        self.ops.write_at(cx, offset, from)
    }

    fn append(&self, cx: &Cx, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        self.strip_privileges(cx)?;
        if self.kind() != Some(FileType::Regular) {
            return self.ops.append(cx, from);
        }
        let limit = cx.fsize_limit.min(MAX_OFFSET);
        // Only who has a limit pays for the question; another appender may then exceed it a little.
        let room = if cx.fsize_limit == u64::MAX {
            u64::MAX
        } else {
            limit.saturating_sub(self.ops.attr(cx)?.size)
        };
        if room == 0 {
            return Err(Errno::EFBIG);
        }
        self.ops.append(cx, &mut Limited::new(from, room))
    }

    /// Clears set-user-id and set-group-id before a write by a caller without `CAP_FSETID`, and capabilities before
    /// every write.
    fn strip_privileges(&self, cx: &Cx) -> Result<()> {
        if self.kind() == Some(FileType::Regular)
            && let Some(inode) = self.inode()
        {
            file_caps::drop_from(cx, inode, &self.caps_checked)?;
        }
        if let Place::Path(path) = &self.place
            && let Some(mode) = setattr::mode_after_write(cx, path.inode())?
        {
            path.inode().set_attr(
                cx,
                &SetAttr {
                    mode: Some(mode),
                    ..SetAttr::default()
                },
            )?;
        }
        Ok(())
    }

    fn was_written(&self, cx: &Cx, n: usize) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        self.accessed.store(false, Ordering::Relaxed);
        let flags = self.flags();
        if let Place::Path(path) = &self.place {
            notify::on_dentry(&path.dentry, IN_MODIFY);
            if flags.contains(OpenFlags::DSYNC) && path.dentry.kind() == FileType::Regular {
                self.ops.fsync(cx, !flags.contains(OpenFlags::SYNC))?;
            }
        }
        Ok(())
    }

    /// The position.
    #[must_use]
    pub fn pos(&self) -> u64 {
        *self.pos.lock()
    }

    /// lseek(2).
    pub fn seek(&self, cx: &Cx, offset: i64, whence: u32) -> Result<u64> {
        if self.is_path_only() {
            return Err(Errno::EBADF);
        }
        if whence > SEEK_HOLE {
            return Err(Errno::EINVAL);
        }
        if let Some(answer) = self.ops.own_seek(offset, whence) {
            return answer;
        }
        if !self.ops.seekable() {
            return Err(Errno::ESPIPE);
        }
        if whence >= SEEK_END && self.kind() == Some(FileType::Directory) {
            return Err(Errno::EINVAL);
        }
        let mut pos = self.pos.lock();
        let base = match whence {
            SEEK_SET => 0,
            SEEK_CUR => *pos as i64,
            SEEK_END => i64::try_from(self.ops.attr(cx)?.size).map_err(|_| Errno::EOVERFLOW)?,
            SEEK_DATA | SEEK_HOLE => {
                let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                *pos = self.ops.seek_extent(cx, from, whence)?;
                return Ok(*pos);
            }
            _ => return Err(Errno::EINVAL),
        };
        let to = base.checked_add(offset).ok_or(Errno::EOVERFLOW)?;
        *pos = u64::try_from(to).map_err(|_| Errno::EINVAL)?;
        Ok(*pos)
    }

    /// getdents64(2): hands entries to `sink` from the position on, which moves. `ENOENT` in a removed directory.
    pub fn read_dir(&self, cx: &Cx, sink: &mut dyn DirSink) -> Result<()> {
        if self.is_path_only() {
            return Err(Errno::EBADF);
        }
        let Some(path) = self.path().filter(|p| p.dentry.is_dir()) else {
            return Err(Errno::ENOTDIR);
        };
        if path.dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let mut pos = self.pos.lock();
        *pos = self.ops.read_dir(cx, *pos, sink)?;
        drop(pos);
        self.touch(cx, path);
        Ok(())
    }

    /// fallocate(2).
    pub fn fallocate(&self, cx: &Cx, mode: u32, offset: u64, len: u64) -> Result<()> {
        if self.is_path_only() {
            return Err(Errno::EBADF);
        }
        if offset > MAX_OFFSET || len > MAX_OFFSET || len == 0 {
            return Err(Errno::EINVAL);
        }
        if mode & !FALLOC.iter().fold(0, |all, (_, bit)| all | bit) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if mode & FALLOC_FL_PUNCH_HOLE != 0 && mode & FALLOC_FL_KEEP_SIZE == 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if !self.writable() {
            return Err(Errno::EBADF);
        }
        match self.kind() {
            Some(FileType::Fifo) => return Err(Errno::ESPIPE),
            Some(FileType::Directory) => return Err(Errno::EISDIR),
            Some(FileType::Regular) => {}
            Some(_) => return Err(Errno::ENODEV),
            None => {
                return Err(if self.ops.seekable() {
                    Errno::ENODEV
                } else {
                    Errno::ESPIPE
                });
            }
        }
        if offset + len > MAX_OFFSET {
            return Err(Errno::EFBIG);
        }
        if mode & FALLOC_FL_KEEP_SIZE == 0 && offset + len > cx.fsize_limit {
            return Err(Errno::EFBIG);
        }
        self.strip_privileges(cx)?;
        self.ops.fallocate(cx, mode, offset, len)?;
        self.was_written(cx, 1)
    }

    /// The locks of the inode, to take one through this description. `EBADF` for `O_PATH`.
    pub fn locks(&self) -> Result<Arc<FileLocks>> {
        if self.is_path_only() {
            return Err(Errno::EBADF);
        }
        // Anonymous files share no inode: nobody could meet a lock there, and Linux' anonymous inode has none.
        let inode = self.inode().ok_or(Errno::EINVAL)?;
        self.locked.store(true, Ordering::Release);
        Ok(FileLocks::of(inode.anchor()))
    }

    /// To be called when a process closes a descriptor (each one): releases its POSIX locks of the file, then
    /// [`FileOps::flush`].
    pub fn flush(&self, cx: &Cx) -> Result<()> {
        if self.is_path_only() {
            return Ok(());
        }
        if let Some(locks) = self.inode().and_then(|i| FileLocks::existing(i.anchor())) {
            locks.unset(LockOwner::Process(cx.tgid), 0, u64::MAX);
        }
        self.ops.flush(cx)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let Place::Path(path) = &self.place else {
            return;
        };
        if self.is_path_only() {
            return;
        }
        if self.locked.load(Ordering::Acquire)
            && let Some(locks) = FileLocks::existing(path.inode().anchor())
        {
            locks.funlock(self.id);
            locks.unset(LockOwner::Description(self.id), 0, u64::MAX);
        }
        if self.writable() {
            path.mount.remove_writer();
            notify::on_dentry(&path.dentry, IN_CLOSE_WRITE);
            track::file(self.opener, path, ChangeKind::Written);
        } else {
            notify::on_dentry(&path.dentry, IN_CLOSE_NOWRITE);
        }
    }
}
