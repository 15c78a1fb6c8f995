//! Readiness: poll(2).

use bitflags::bitflags;
use std::sync::Arc;
use tuxlet_sync::{Registration, WaitQueue, Wake};

bitflags! {
    /// The `POLL*` bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Events: u32 {
        /// Data to read.
        const IN = 0x1;
        /// Urgent data.
        const PRI = 0x2;
        /// Writing will not block.
        const OUT = 0x4;
        /// Error.
        const ERR = 0x8;
        /// Hang-up.
        const HUP = 0x10;
        /// Invalid descriptor.
        const NVAL = 0x20;
        /// Normal data to read.
        const RDNORM = 0x40;
        /// Priority data to read.
        const RDBAND = 0x80;
        /// Writing normal data will not block.
        const WRNORM = 0x100;
        /// Writing priority data will not block.
        const WRBAND = 0x200;
        /// Peer closed its writing half.
        const RDHUP = 0x2000;
    }
}

impl Events {
    /// Readable.
    pub const READABLE: Self = Self::IN.union(Self::RDNORM);
    /// Writable.
    pub const WRITABLE: Self = Self::OUT.union(Self::WRNORM);
}

/// Collects the wait queues that a poll visits, and keeps the waiter on them until dropped.
#[derive(Debug)]
pub struct PollTable {
    wake: Arc<dyn Wake>,
    registrations: Vec<Registration>,
}

impl PollTable {
    /// A table whose queues will wake `wake`.
    #[must_use]
    pub fn new(wake: Arc<dyn Wake>) -> Self {
        Self {
            wake,
            registrations: Vec::new(),
        }
    }

    /// Puts the waiter on a queue.
    pub fn add(&mut self, queue: &WaitQueue) {
        self.registrations
            .push(queue.register(Arc::clone(&self.wake)));
    }

    /// Takes the waiter off all queues.
    pub fn clear(&mut self) {
        self.registrations.clear();
    }
}
