//! Event counters: eventfd(2).

use parking_lot::Mutex;
use std::{any::Any, sync::Arc};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, PollTable};

/// The counter never reaches this.
const LIMIT: u64 = u64::MAX;

/// An event counter.
#[derive(Debug)]
pub struct EventFd {
    count: Mutex<u64>,
    semaphore: bool,
    changed: WaitQueue,
    attr: Attr,
}

/// A file for a new counter.
#[must_use]
pub fn open(cx: &Cx, count: u32, semaphore: bool, flags: OpenFlags) -> Arc<File> {
    let ops = EventFd {
        count: Mutex::new(count.into()),
        semaphore,
        changed: WaitQueue::new(),
        attr: crate::anon::attr(cx),
    };
    File::anonymous(
        cx,
        Arc::new(ops),
        b"anon_inode:[eventfd]",
        flags | OpenFlags::RDWR,
    )
}

impl EventFd {
    /// Adds to the counter as the kernel does, up to its limit.
    pub(crate) fn add(&self, n: u64) {
        let mut count = self.count.lock();
        *count = count.saturating_add(n);
        drop(count);
        self.changed.wake_all(Events::READABLE.bits());
    }
}

impl FileOps for EventFd {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn own_seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64>> {
        Some(Ok(0))
    }

    fn pollable(&self) -> bool {
        true
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        if to.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let value = {
            let mut count = self.count.lock();
            if *count == 0 {
                return Err(Errno::EAGAIN);
            }
            let value = if self.semaphore { 1 } else { *count };
            *count -= value;
            value
        };
        self.changed.wake_all(Events::WRITABLE.bits());
        to.write_from(&value.to_le_bytes())
    }

    fn write_at(&self, _cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        if from.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        {
            let mut count = self.count.lock();
            // A writer that has to wait comes again with the same data.
            if from.peek(&mut bytes)? < 8 {
                return Err(Errno::EFAULT);
            }
            let value = u64::from_le_bytes(bytes);
            if value == LIMIT {
                return Err(Errno::EINVAL);
            }
            if value > LIMIT - 1 - *count {
                return Err(Errno::EAGAIN);
            }
            *count += value;
        }
        // Whatever else the buffer holds is ignored.
        from.skip(from.remaining());
        self.changed.wake_all(Events::READABLE.bits());
        Ok(8)
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.changed);
        }
        let count = *self.count.lock();
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::READABLE;
        }
        if count < LIMIT - 1 {
            events |= Events::WRITABLE;
        }
        events
    }
}
