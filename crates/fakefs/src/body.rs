//! Where the bytes of a regular file are: in memory while it is small and new, then in a host file.
//!
//! A file that is created, written and removed again within a second never reaches the host: its bytes stay
//! in memory until the commit that makes its inode permanent (or fsync(2)), which writes them out first.

use crate::node::{Content, Node};
use parking_lot::{Mutex, MutexGuard};
use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, Ordering},
};
use tuxlet_host::fs::File;
use tuxlet_mem::FilePages;
use tuxlet_uapi::errno::{Errno, Result};

/// A file stays in memory up to this size in bytes.
const SMALL: u64 = 64 << 10;
/// All files in memory of a store together, in bytes.
const SMALL_TOTAL: u64 = 32 << 20;

/// The bytes of a regular inode.
#[derive(Debug)]
pub(crate) struct Body {
    slot: Mutex<Slot>,
    /// Held by what changes data or size at a guest's request.
    pub(crate) change: Mutex<()>,
    /// Held while the host file and the noted size differ.
    pub(crate) resize: Mutex<()>,
    /// A guest's write is under way: the page cache may grow the file.
    pub(crate) growing: AtomicBool,
    /// After a crash: whether what an earlier process wrote may not be on the medium yet.
    unsure: AtomicBool,
    /// The page cache, once the file has been mapped.
    pub(crate) pages: OnceLock<Mutex<Weak<FilePages>>>,
}

#[derive(Debug, Default)]
enum Slot {
    /// There may be a host file, not open.
    #[default]
    Closed,
    /// Nothing is written: there is no host file.
    Absent,
    /// The whole file; there is no host file.
    Memory(Vec<u8>),
    Open(Arc<File>),
}

impl Body {
    pub(crate) fn new(new: bool) -> Self {
        Self {
            slot: Mutex::new(if new { Slot::Absent } else { Slot::Closed }),
            change: Mutex::new(()),
            resize: Mutex::new(()),
            growing: AtomicBool::new(false),
            unsure: AtomicBool::new(!new),
            pages: OnceLock::new(),
        }
    }
}

impl Node {
    pub(crate) fn body(&self) -> Result<&Body> {
        match &self.content {
            Content::Regular(body) => Ok(body),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The slot, with a host file opened if there is one.
    fn slot<'a>(&self, body: &'a Body) -> Result<MutexGuard<'a, Slot>> {
        let mut slot = body.slot.lock();
        if let Slot::Closed = *slot {
            let (found, size) = match self
                .store
                .files
                .open_data(self.ino, !self.store.read_only)?
            {
                Some(file) => {
                    let size = file.stat()?.size;
                    (Slot::Open(Arc::new(file)), size)
                }
                None => (Slot::Absent, 0),
            };
            self.trust_size(size);
            let opened = matches!(found, Slot::Open(_));
            *slot = found;
            if opened {
                self.opened();
            }
        }
        Ok(slot)
    }

    /// The host file has the last word about the size: after a power failure the two may differ.
    fn trust_size(&self, size: u64) {
        let mut meta = self.meta.lock();
        if meta.size != size {
            let noted = meta.size;
            tracing::warn!(
                ino = self.ino,
                noted,
                size,
                "data of another size than noted"
            );
            meta.size = size;
            if !self.store.read_only {
                self.changed(&mut meta);
            }
        }
    }

    /// Counts the open host file, and closes older ones beyond the limit.
    fn opened(&self) {
        for node in self.store.data_opened(self.weak()) {
            // One that is busy stays open until its turn comes again.
            if let Ok(body) = node.body()
                && let Some(mut slot) = body.slot.try_lock()
                && let Slot::Open(_) = *slot
            {
                *slot = Slot::Closed;
            }
        }
    }

    /// Reads at a position; less than asked only at the end.
    pub(crate) fn read_data(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let slot = self.slot(self.body()?)?;
        match &*slot {
            Slot::Memory(data) => {
                let rest = usize::try_from(offset)
                    .ok()
                    .and_then(|o| data.get(o..))
                    .unwrap_or(&[]);
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                Ok(n)
            }
            Slot::Open(file) => {
                let file = Arc::clone(file);
                drop(slot);
                file.read_at(buf, offset)
            }
            Slot::Absent | Slot::Closed => Ok(0),
        }
    }

    /// Writes at a position; less than given only if the medium ends. The size is the caller's to note.
    pub(crate) fn write_data(&self, offset: u64, data: &[u8]) -> Result<usize> {
        let body = self.body()?;
        let end = offset.checked_add(data.len() as u64).ok_or(Errno::EFBIG)?;
        let mut slot = self.slot(body)?;
        if let Some(memory) = self.in_memory(&mut slot, end) {
            let (start, end) = (offset as usize, end as usize);
            if memory.len() < end {
                memory.resize(end, 0);
            }
            memory[start..end].copy_from_slice(data);
            return Ok(data.len());
        }
        let file = self.host_file(&mut slot)?;
        drop(slot);
        self.store.written.lock().insert(self.ino);
        file.write_at(data, offset)
    }

    /// Sets the size of the data. The noted size is the caller's to change.
    pub(crate) fn resize_data(&self, size: u64) -> Result<()> {
        let body = self.body()?;
        let mut slot = self.slot(body)?;
        if matches!(*slot, Slot::Absent) && size == 0 {
            return Ok(());
        }
        if let Some(memory) = self.in_memory(&mut slot, size) {
            let cut = memory.len().saturating_sub(size as usize);
            memory.resize(size as usize, 0);
            memory.shrink_to_fit();
            self.store.buffered.fetch_sub(cut as u64, Ordering::Relaxed);
            return Ok(());
        }
        let file = self.host_file(&mut slot)?;
        self.store.written.lock().insert(self.ino);
        file.set_len(size)
    }

    /// The file's bytes in memory, if it is there and may be `end` bytes long.
    fn in_memory<'s>(&self, slot: &'s mut Slot, end: u64) -> Option<&'s mut Vec<u8>> {
        if end > SMALL {
            return None;
        }
        let buffered = &self.store.buffered;
        let now = match slot {
            Slot::Memory(data) => data.len() as u64,
            Slot::Absent => 0,
            _ => return None,
        };
        let more = end.saturating_sub(now);
        if buffered.fetch_add(more, Ordering::Relaxed) + more > SMALL_TOTAL {
            buffered.fetch_sub(more, Ordering::Relaxed);
            return None;
        }
        if let Slot::Absent = slot {
            *slot = Slot::Memory(Vec::new());
        }
        match slot {
            Slot::Memory(data) => Some(data),
            _ => None,
        }
    }

    /// The host file, made of what is in memory if there is none.
    fn host_file(&self, slot: &mut Slot) -> Result<Arc<File>> {
        let memory = match slot {
            Slot::Open(file) => return Ok(Arc::clone(file)),
            Slot::Memory(data) => std::mem::take(data),
            Slot::Absent | Slot::Closed => Vec::new(),
        };
        let made = self.store.files.create_data(self.ino).and_then(|file| {
            let mut done = 0;
            while done < memory.len() {
                match file.write_at(&memory[done..], done as u64)? {
                    0 => return Err(Errno::ENOSPC),
                    n => done += n,
                }
            }
            Ok(Arc::new(file))
        });
        match made {
            Ok(file) => {
                self.store
                    .buffered
                    .fetch_sub(memory.len() as u64, Ordering::Relaxed);
                self.store.written.lock().insert(self.ino);
                *slot = Slot::Open(Arc::clone(&file));
                self.opened();
                Ok(file)
            }
            Err(e) => {
                if !memory.is_empty() {
                    *slot = Slot::Memory(memory);
                }
                Err(e)
            }
        }
    }

    /// Writes to the host what is only in memory.
    pub(crate) fn write_out(&self) -> Result<()> {
        let Content::Regular(body) = &self.content else {
            return Ok(());
        };
        let mut slot = body.slot.lock();
        if let Slot::Memory(data) = &*slot {
            if data.is_empty() {
                *slot = Slot::Absent;
            } else {
                self.host_file(&mut slot)?;
            }
        }
        Ok(())
    }

    /// The host file, made if there is none.
    pub(crate) fn require_file(&self) -> Result<Arc<File>> {
        let body = self.body()?;
        self.store.written.lock().insert(self.ino);
        let mut slot = self.slot(body)?;
        self.host_file(&mut slot)
    }

    /// Brings written data to the host, and (if `durable`) to the medium, without the metadata.
    pub(crate) fn sync_data(&self, durable: bool) -> Result<()> {
        let body = self.body()?;
        self.write_out()?;
        let unsure = self.store.recovered && body.unsure.load(Ordering::Relaxed);
        if !durable || !(self.store.written.lock().remove(&self.ino) || unsure) {
            return Ok(());
        }
        let file = match &*self.slot(body)? {
            Slot::Open(file) => Arc::clone(file),
            _ => return Ok(()),
        };
        file.sync(true).inspect_err(|_| {
            self.store.written.lock().insert(self.ino);
        })?;
        body.unsure.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// At the node's end: gives memory back; tells whether there may be a host file.
    pub(crate) fn release_data(&mut self) -> bool {
        let Content::Regular(body) = &mut self.content else {
            return false;
        };
        match body.slot.get_mut() {
            Slot::Memory(data) => {
                self.store
                    .buffered
                    .fetch_sub(data.len() as u64, Ordering::Relaxed);
                false
            }
            Slot::Absent => false,
            Slot::Open(_) | Slot::Closed => true,
        }
    }
}
