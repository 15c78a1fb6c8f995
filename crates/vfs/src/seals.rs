//! File seals: fcntl(2) `F_ADD_SEALS`, memfd_create(2).

use std::sync::atomic::{AtomicU32, Ordering};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{F_SEAL_SEAL, SEALS},
};

/// The seals of a file in memory.
#[derive(Debug)]
pub struct Seals(AtomicU32);

impl Default for Seals {
    /// No seal may be added: what every file has that memfd_create(2) did not make with `MFD_ALLOW_SEALING`.
    fn default() -> Self {
        Self(AtomicU32::new(F_SEAL_SEAL))
    }
}

impl Seals {
    /// The seals: `F_GET_SEALS`.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether one of `seals` is set.
    #[must_use]
    pub fn has(&self, seals: u32) -> bool {
        self.get() & seals != 0
    }

    /// Sets the first seals of a new file: memfd_create(2).
    pub fn init(&self, seals: u32) {
        self.0.store(seals, Ordering::Release);
    }

    /// Adds seals; `EPERM` once sealing is sealed, `EINVAL` for unknown ones.
    ///
    /// DEVIATION: `F_SEAL_WRITE` is not refused while a writable shared mapping exists; that mapping keeps
    /// working.
    pub fn add(&self, seals: u32) -> Result<()> {
        if SEALS.iter().fold(seals, |left, (_, bit)| left & !bit) != 0 {
            return Err(Errno::EINVAL);
        }
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                (old & F_SEAL_SEAL == 0).then_some(old | seals)
            })
            .map(|_| ())
            .map_err(|_| Errno::EPERM)
    }
}
