//! The descriptor table: open(2), dup(2), fcntl(2), close(2).

use parking_lot::RwLock;
use std::sync::Arc;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, File};

/// No table grows beyond this, whatever `RLIMIT_NOFILE` says: `/proc/sys/fs/nr_open`.
pub const NR_OPEN: u64 = 1 << 20;

#[derive(Clone, Debug)]
struct Slot {
    file: Arc<File>,
    close_on_exec: bool,
}

/// A process's open descriptors.
#[derive(Debug, Default)]
pub struct FdTable {
    slots: RwLock<Vec<Option<Slot>>>,
}

impl FdTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy with the same open file descriptions: fork(2).
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            slots: RwLock::new(self.slots.read().clone()),
        }
    }

    /// One more than the highest descriptor ever in use at once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.read().len()
    }

    /// Whether no descriptor is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file behind a descriptor. `EBADF`.
    pub fn get(&self, fd: i32) -> Result<Arc<File>> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        match self.slots.read().get(index) {
            Some(Some(slot)) => Ok(Arc::clone(&slot.file)),
            _ => Err(Errno::EBADF),
        }
    }

    /// Puts a file at the lowest free descriptor that is at least `min`. `EMFILE` at `limit`.
    pub fn install(
        &self,
        file: Arc<File>,
        close_on_exec: bool,
        min: i32,
        limit: u64,
    ) -> Result<i32> {
        let min = usize::try_from(min).map_err(|_| Errno::EINVAL)?;
        let mut slots = self.slots.write();
        let index = (min..slots.len())
            .find(|i| slots[*i].is_none())
            .unwrap_or(slots.len().max(min));
        if index as u64 >= limit.min(NR_OPEN) {
            return Err(Errno::EMFILE);
        }
        if index >= slots.len() {
            slots.resize(index + 1, None);
        }
        slots[index] = Some(Slot {
            file,
            close_on_exec,
        });
        Ok(index as i32)
    }

    /// Puts a file at a given descriptor and returns what was there: dup3(2). `EBADF` beyond `limit`.
    pub fn replace(
        &self,
        fd: i32,
        file: Arc<File>,
        close_on_exec: bool,
        limit: u64,
    ) -> Result<Option<Arc<File>>> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        if index as u64 >= limit.min(NR_OPEN) {
            return Err(Errno::EBADF);
        }
        let mut slots = self.slots.write();
        if index >= slots.len() {
            slots.resize(index + 1, None);
        }
        Ok(slots[index]
            .replace(Slot {
                file,
                close_on_exec,
            })
            .map(|s| s.file))
    }

    /// Takes a descriptor out of the table; the caller flushes and drops the file.
    pub fn remove(&self, fd: i32) -> Result<Arc<File>> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let mut slots = self.slots.write();
        let slot = slots
            .get_mut(index)
            .and_then(Option::take)
            .ok_or(Errno::EBADF)?;
        while slots.last().is_some_and(Option::is_none) {
            slots.pop();
        }
        Ok(slot.file)
    }

    /// Closes a descriptor: close(2). It is gone even if the file reports an error.
    pub fn close(&self, cx: &Cx, fd: i32) -> Result<()> {
        let file = self.remove(fd)?;
        file.flush(cx)
    }

    /// The close-on-exec flag.
    pub fn close_on_exec(&self, fd: i32) -> Result<bool> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        self.slots
            .read()
            .get(index)
            .and_then(Option::as_ref)
            .map(|s| s.close_on_exec)
            .ok_or(Errno::EBADF)
    }

    /// Sets the close-on-exec flag.
    pub fn set_close_on_exec(&self, fd: i32, on: bool) -> Result<()> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let mut slots = self.slots.write();
        slots
            .get_mut(index)
            .and_then(Option::as_mut)
            .ok_or(Errno::EBADF)?
            .close_on_exec = on;
        Ok(())
    }

    /// Open descriptors, ascending, with their files and close-on-exec flags.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(i32, Arc<File>, bool)> {
        let slots = self.slots.read();
        let open = slots.iter().enumerate();
        open.filter_map(|(i, s)| {
            s.as_ref()
                .map(|s| (i as i32, Arc::clone(&s.file), s.close_on_exec))
        })
        .collect()
    }

    /// Takes out all descriptors that `select` picks (by number and flag), for close_range(2) and execve(2).
    fn take(&self, mut select: impl FnMut(i32, bool) -> bool) -> Vec<Arc<File>> {
        let mut slots = self.slots.write();
        let mut taken = Vec::new();
        for (i, slot) in slots.iter_mut().enumerate() {
            if slot
                .as_ref()
                .is_some_and(|s| select(i as i32, s.close_on_exec))
            {
                taken.extend(slot.take().map(|s| s.file));
            }
        }
        while slots.last().is_some_and(Option::is_none) {
            slots.pop();
        }
        taken
    }

    /// Closes the close-on-exec descriptors.
    pub fn close_for_exec(&self, cx: &Cx) {
        for file in self.take(|_, close_on_exec| close_on_exec) {
            let _ = file.flush(cx);
        }
    }

    /// Closes a range of descriptors: close_range(2).
    pub fn close_range(&self, cx: &Cx, first: u32, last: u32) {
        for file in self.take(|fd, _| (first..=last).contains(&fd.cast_unsigned())) {
            let _ = file.flush(cx);
        }
    }

    /// Marks a range of descriptors close-on-exec: `CLOSE_RANGE_CLOEXEC`.
    pub fn mark_range(&self, first: u32, last: u32) {
        for (i, slot) in self.slots.write().iter_mut().enumerate() {
            if (first..=last).contains(&(i as u32))
                && let Some(slot) = slot
            {
                slot.close_on_exec = true;
            }
        }
    }

    /// Closes everything, when the last task using the table has died.
    pub fn close_all(self, cx: &Cx) {
        for slot in self.slots.into_inner().into_iter().flatten() {
            let _ = slot.file.flush(cx);
        }
    }
}
