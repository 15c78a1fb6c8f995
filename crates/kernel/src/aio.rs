//! Contexts of asynchronous input and output: io_setup(2). The finished requests are in a ring in the process's memory,
//! from which programs may take them without a system call.

use crate::task::{CurrentTask, Mm};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tuxlet_mem::{AddressSpace, MapRequest, PAGE_SIZE, Prot};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    aio::IoEvent,
    errno::{Errno, Result},
};

/// `fs.aio-max-nr`: so many requests all contexts of a machine may hold.
pub const MAX_REQUESTS: u64 = 65_536;
/// What tells programs that they may read the ring.
const MAGIC: u32 = 0xa10a_10a1;
/// Bytes of the ring's head: `struct aio_ring`, which the kernel shares with programs but does not export.
const HEADER: u64 = 32;
/// Where in it the count of slots is, and the two ends.
const AT_SLOTS: u64 = 4;
const AT_HEAD: u64 = 8;
const AT_TAIL: u64 = 12;
const EVENT: u64 = size_of::<IoEvent>() as u64;

/// How many requests the contexts of a machine may hold together.
#[derive(Debug, Default)]
pub struct AioTotal(AtomicU64);

impl AioTotal {
    /// The present number: `fs.aio-nr`.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reserve(&self, requests: u64) -> Result<()> {
        let fits = |n: u64| n.checked_add(requests).filter(|n| *n <= MAX_REQUESTS);
        let reserved = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        reserved.map(drop).map_err(|_| Errno::EAGAIN)
    }
}

/// A context.
#[derive(Debug)]
pub struct AioContext {
    /// Where the ring is: the context's id.
    address: u64,
    /// Slots of the ring; one stays empty.
    slots: u32,
    /// As `fs.aio-nr` counts it.
    requests: u64,
    total: Arc<AioTotal>,
    /// The next slot to fill. The other end is only in the ring.
    tail: Mutex<u32>,
    /// Woken by each finished request.
    pub(crate) finished: WaitQueue,
}

impl Drop for AioContext {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.requests, Ordering::Relaxed);
    }
}

/// The contexts of a process's memory, by id.
pub type AioContexts = Mutex<BTreeMap<u64, Arc<AioContext>>>;

impl CurrentTask {
    /// A new context for at least so many requests. `EAGAIN` if the machine has too many, `ENOMEM`.
    pub(crate) fn aio_setup(&self, requests: u32) -> Result<Arc<AioContext>> {
        let total = Arc::clone(&self.kernel.aio_total);
        total.reserve(requests.into())?;
        // Room for events that are not looked at in time, as much as Linux makes.
        let wanted = (u64::from(requests) + 2) * EVENT + HEADER;
        let len = wanted.next_multiple_of(PAGE_SIZE);
        let mut context = AioContext {
            address: 0,
            slots: ((len - HEADER) / EVENT) as u32,
            requests: requests.into(),
            total,
            tail: Mutex::new(0),
            finished: WaitQueue::new(),
        };
        let space = &self.mm.space;
        context.address = space.map(MapRequest {
            name: Some(b"/[aio] (deleted)".as_slice().into()),
            ..MapRequest::anonymous(len, Prot::RW)
        })?;
        let header = [0, context.slots, 0, 0, MAGIC, 1, 0, HEADER as u32];
        space.write(context.address, &header)?;
        let context = Arc::new(context);
        let mut all = self.mm.aio.lock();
        all.insert(context.address, Arc::clone(&context));
        Ok(context)
    }
}

impl Mm {
    /// The context of an id. `EINVAL`.
    pub(crate) fn aio_context(&self, id: u64) -> Result<Arc<AioContext>> {
        self.aio.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// Ends a context. `EINVAL` if there is none.
    pub(crate) fn aio_destroy(&self, id: u64) -> Result<()> {
        let context = self.aio.lock().remove(&id).ok_or(Errno::EINVAL)?;
        let len = HEADER + u64::from(context.slots) * EVENT;
        context.finished.wake_all(!0);
        // The program may have unmapped it before.
        let _ = self.space.unmap(id, len.next_multiple_of(PAGE_SIZE));
        Ok(())
    }
}

impl AioContext {
    /// The id.
    pub(crate) fn id(&self) -> u64 {
        self.address
    }

    /// The most requests that fit.
    pub(crate) fn capacity(&self) -> u32 {
        self.slots - 1
    }

    /// The next slot to read. A program that writes nonsense there reads nonsense.
    fn head(&self, space: &AddressSpace) -> Result<u32> {
        Ok(space.read::<u32>(self.address + AT_HEAD)? % self.slots)
    }

    fn slot(&self, index: u32) -> u64 {
        self.address + HEADER + u64::from(index) * EVENT
    }

    /// Whether another request would find no room for its result.
    pub(crate) fn is_full(&self, space: &AddressSpace) -> Result<bool> {
        let tail = *self.tail.lock();
        Ok((tail + 1) % self.slots == self.head(space)?)
    }

    /// Notes the result of a request.
    pub(crate) fn finish(&self, space: &AddressSpace, event: &IoEvent) -> Result<()> {
        let mut tail = self.tail.lock();
        space.write(self.slot(*tail), event)?;
        *tail = (*tail + 1) % self.slots;
        space.write(self.address + AT_TAIL, &*tail)?;
        drop(tail);
        self.finished.wake_all(!0);
        Ok(())
    }

    /// Takes up to `max` results out.
    pub(crate) fn take(&self, space: &AddressSpace, max: usize) -> Result<Vec<IoEvent>> {
        let tail = self.tail.lock();
        let mut head = self.head(space)?;
        let mut events = Vec::new();
        while head != *tail && events.len() < max {
            events.push(space.read(self.slot(head))?);
            head = (head + 1) % self.slots;
        }
        space.write(self.address + AT_HEAD, &head)?;
        drop(tail);
        Ok(events)
    }
}

const _: () = assert!(AT_SLOTS + 4 == AT_HEAD);
