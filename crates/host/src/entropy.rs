//! Random bytes.

use tuxlet_uapi::errno::{Errno, Result};

/// Fills `buf` with bytes fit for keys; `EIO` if the host has none to give.
pub fn fill(buf: &mut [u8]) -> Result<()> {
    getrandom::fill(buf).map_err(|_| Errno::EIO)
}

/// A random number, for layout randomisation.
pub fn u64() -> Result<u64> {
    getrandom::u64().map_err(|_| Errno::EIO)
}
