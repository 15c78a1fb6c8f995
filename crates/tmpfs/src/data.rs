//! The pages of a regular file: what read(2), write(2) and mmap(2) share.

use crate::Shared;
use parking_lot::Mutex;
use std::{collections::BTreeMap, ops::Range, sync::Arc};
use tuxlet_mem::{Access, FaultKind, FrameKind, IoRead, IoWrite, Mappers, MemoryObject, PageRef};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{
        F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE, FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE, SEEK_DATA,
    },
};
use tuxlet_vfs::Seals;

const PAGE: u64 = 4096;

/// Sealed against any change of its content.
const SEALED_WRITE: u32 = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

#[derive(Debug)]
struct Frame {
    page: PageRef,
    /// Holds data; otherwise only fallocate(2) has made it, and it still counts as a hole.
    written: bool,
}

#[derive(Debug, Default)]
struct Pages {
    frames: BTreeMap<u64, Frame>,
    /// Bytes.
    size: u64,
}

/// The content of a regular file.
///
/// Locks: `writing` covers a whole write or change of size; `pages` only the map, never a copy to or from user
/// memory, because such a copy may fault on this very file and come back to [`MemoryObject::page`].
#[derive(Debug)]
pub(crate) struct Data {
    shared: Arc<Shared>,
    ino: u64,
    writing: Mutex<()>,
    pages: Mutex<Pages>,
    mappers: Mappers,
    seals: Seals,
}

impl Data {
    pub(crate) fn new(shared: &Arc<Shared>, ino: u64) -> Self {
        Self {
            shared: Arc::clone(shared),
            ino,
            writing: Mutex::new(()),
            pages: Mutex::default(),
            mappers: Mappers::default(),
            seals: Seals::default(),
        }
    }

    pub(crate) fn seals(&self) -> &Seals {
        &self.seals
    }

    /// Size in bytes and number of pages.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let pages = self.pages.lock();
        (pages.size, pages.frames.len() as u64)
    }

    /// The frame of a page, made if it is missing; `written` marks it as data.
    fn frame(&self, pages: &mut Pages, index: u64, written: bool) -> Result<PageRef> {
        if let Some(frame) = pages.frames.get_mut(&index) {
            frame.written |= written;
            return Ok(frame.page.clone());
        }
        self.shared.charge(1)?;
        let page = self
            .shared
            .budget
            .alloc_for(FrameKind::Shmem)
            .inspect_err(|_| self.shared.uncharge(1))?;
        pages.frames.insert(
            index,
            Frame {
                page: page.clone(),
                written,
            },
        );
        Ok(page)
    }

    pub(crate) fn read_at(&self, offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let mut buf = [0; PAGE as usize];
        let mut at = offset;
        let mut done = 0;
        loop {
            let (frame, size) = {
                let pages = self.pages.lock();
                (
                    pages.frames.get(&(at / PAGE)).map(|f| f.page.clone()),
                    pages.size,
                )
            };
            let within = at % PAGE;
            let len = (PAGE - within)
                .min(size.saturating_sub(at))
                .min(to.remaining() as u64) as usize;
            if len == 0 {
                return Ok(done);
            }
            let result = match &frame {
                Some(frame) => {
                    frame.read(within as usize, &mut buf[..len]);
                    to.write_from(&buf[..len])
                }
                None => to.write_zeros(len),
            };
            match result {
                Ok(n) => {
                    done += n;
                    at += n as u64;
                    if n < len {
                        return Ok(done);
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => return Ok(done),
            }
        }
    }

    pub(crate) fn write_at(&self, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let _writing = self.writing.lock();
        self.write(offset, from)
    }

    /// Writes at the end; returns the end behind the data and the count.
    pub(crate) fn append(&self, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        let _writing = self.writing.lock();
        let end = self.pages.lock().size;
        let n = self.write(end, from)?;
        Ok((end + n as u64, n))
    }

    /// Writes; `writing` is held.
    fn write(&self, offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        if self.seals.has(SEALED_WRITE) {
            return Err(Errno::EPERM);
        }
        let mut buf = [0; PAGE as usize];
        let mut at = offset;
        let mut done = 0;
        while from.remaining() > 0 {
            let within = (at % PAGE) as usize;
            let len = (PAGE as usize - within).min(from.remaining());
            let step = from.read_into(&mut buf[..len]).and_then(|n| {
                self.store(at, &buf[..n])?;
                Ok(n)
            });
            match step {
                Ok(n) => {
                    done += n;
                    at += n as u64;
                    if n < len {
                        break;
                    }
                }
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Stores bytes that lie within one page.
    fn store(&self, at: u64, data: &[u8]) -> Result<()> {
        let end = at + data.len() as u64;
        let mut pages = self.pages.lock();
        if end > pages.size && self.seals.has(F_SEAL_GROW) {
            return Err(Errno::EPERM);
        }
        let frame = self.frame(&mut pages, at / PAGE, true)?;
        frame.write((at % PAGE) as usize, data);
        pages.size = pages.size.max(end);
        Ok(())
    }

    /// Changes the size; says whether it differs.
    pub(crate) fn truncate(&self, size: u64) -> Result<bool> {
        let _writing = self.writing.lock();
        let mut pages = self.pages.lock();
        let old = pages.size;
        if (size < old && self.seals.has(F_SEAL_SHRINK))
            || (size > old && self.seals.has(F_SEAL_GROW))
        {
            return Err(Errno::EPERM);
        }
        pages.size = size;
        if size >= old {
            return Ok(size != old);
        }
        let first_gone = size.div_ceil(PAGE);
        let gone = pages.frames.split_off(&first_gone);
        if !size.is_multiple_of(PAGE)
            && let Some(frame) = pages.frames.get(&(size / PAGE))
        {
            let within = (size % PAGE) as usize;
            frame.page.zero(within, PAGE as usize - within);
        }
        drop(pages);
        self.shared.uncharge(gone.len() as u64);
        self.mappers.unmap(self, first_gone..u64::MAX / PAGE, true);
        Ok(true)
    }

    pub(crate) fn fallocate(&self, mode: u32, offset: u64, len: u64) -> Result<()> {
        let end = offset
            .checked_add(len)
            .filter(|&e| e <= i64::MAX as u64)
            .ok_or(Errno::EFBIG)?;
        if mode & !(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let _writing = self.writing.lock();
        if mode & FALLOC_FL_PUNCH_HOLE != 0 {
            if mode & FALLOC_FL_KEEP_SIZE == 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if self.seals.has(SEALED_WRITE) {
                return Err(Errno::EPERM);
            }
            self.punch(offset, end);
            return Ok(());
        }
        let keep_size = mode & FALLOC_FL_KEEP_SIZE != 0;
        let mut pages = self.pages.lock();
        if !keep_size && end > pages.size && self.seals.has(F_SEAL_GROW) {
            return Err(Errno::EPERM);
        }
        let mut made = Vec::new();
        for index in offset / PAGE..end.div_ceil(PAGE) {
            if pages.frames.contains_key(&index) {
                continue;
            }
            if let Err(e) = self.frame(&mut pages, index, false) {
                for index in &made {
                    pages.frames.remove(index);
                }
                self.shared.uncharge(made.len() as u64);
                return Err(if e == Errno::ENOMEM { Errno::ENOSPC } else { e });
            }
            made.push(index);
        }
        if !keep_size {
            pages.size = pages.size.max(end);
        }
        Ok(())
    }

    /// Makes a hole of `from..to`; `writing` is held.
    fn punch(&self, from: u64, to: u64) {
        let whole = from.div_ceil(PAGE)..to / PAGE;
        let mut pages = self.pages.lock();
        let clear = |pages: &Pages, from: u64, to: u64| {
            if from < to
                && let Some(frame) = pages.frames.get(&(from / PAGE))
            {
                frame
                    .page
                    .zero((from % PAGE) as usize, (to - from) as usize);
            }
        };
        if whole.start > whole.end {
            clear(&pages, from, to);
            return;
        }
        clear(&pages, from, whole.start * PAGE);
        clear(&pages, whole.end * PAGE, to);
        if whole.is_empty() {
            return;
        }
        let mut gone = pages.frames.split_off(&whole.start);
        let mut kept = gone.split_off(&whole.end);
        pages.frames.append(&mut kept);
        drop(pages);
        self.shared.uncharge(gone.len() as u64);
        self.mappers.unmap(self, whole, false);
    }

    /// `SEEK_DATA` and `SEEK_HOLE`.
    pub(crate) fn seek_extent(&self, offset: u64, whence: u32) -> Result<u64> {
        let pages = self.pages.lock();
        if offset >= pages.size {
            return Err(Errno::ENXIO);
        }
        let index = offset / PAGE;
        let mut data = pages
            .frames
            .range(index..)
            .filter(|(_, f)| f.written)
            .map(|(i, _)| *i);
        if whence == SEEK_DATA {
            let at = offset.max(data.next().ok_or(Errno::ENXIO)? * PAGE);
            return if at < pages.size {
                Ok(at)
            } else {
                Err(Errno::ENXIO)
            };
        }
        let mut hole = index;
        while data.next() == Some(hole) {
            hole += 1;
        }
        Ok(offset.max(hole * PAGE).min(pages.size))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        self.shared
            .uncharge(self.pages.get_mut().frames.len() as u64);
    }
}

impl MemoryObject for Data {
    fn page(&self, index: u64, _: Access) -> core::result::Result<PageRef, FaultKind> {
        let mut pages = self.pages.lock();
        if index >= pages.size.div_ceil(PAGE) {
            return Err(FaultKind::BusAdrErr);
        }
        // A hole is filled even for reading: a zero page shared now would not show a later write.
        self.frame(&mut pages, index, true).map_err(|e| match e {
            Errno::ENOMEM => FaultKind::Oom,
            _ => FaultKind::BusAdrErr,
        })
    }

    fn remove(&self, range: Range<u64>) -> Result<()> {
        let to = range.end.min(i64::MAX as u64 / PAGE) * PAGE;
        self.fallocate(
            FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            range.start.min(to / PAGE) * PAGE,
            to.saturating_sub(range.start.min(to / PAGE) * PAGE),
        )
    }

    fn is_resident(&self, index: u64) -> bool {
        self.pages.lock().frames.contains_key(&index)
    }

    fn mappers(&self) -> Option<&Mappers> {
        Some(&self.mappers)
    }

    fn is_shmem(&self) -> bool {
        true
    }

    fn id(&self) -> (u64, u64) {
        (self.shared.dev.encode(), self.ino)
    }

    fn path(&self) -> Vec<u8> {
        // The VFS knows the path; a mapping made through a file is labelled by the kernel.
        Vec::new()
    }
}
