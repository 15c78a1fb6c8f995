//! Programs that run are not written: `ETXTBSY` of open(2), truncate(2) and execve(2).

use crate::{attr::FileType, inode::InodeRef};
use std::sync::{
    Arc,
    atomic::{AtomicI32, Ordering},
};
use tuxlet_uapi::errno::{Errno, Result};

/// In an inode's anchor: open for writing so many times, or (negative) executed so many times.
#[derive(Debug, Default)]
struct Gate(AtomicI32);

impl Gate {
    fn enter(inode: &InodeRef, by: i32) -> Result<Option<Arc<Self>>> {
        if inode.kind() != FileType::Regular {
            return Ok(None);
        }
        let gate = inode.anchor().get_or_insert(Self::default);
        gate.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                (n.signum() != -by).then_some(n + by)
            })
            .map_err(|_| Errno::ETXTBSY)?;
        Ok(Some(gate))
    }
}

/// While it lives, the file may not be executed.
#[derive(Debug)]
pub(crate) struct WriteAccess(Option<Arc<Gate>>);

impl WriteAccess {
    /// `ETXTBSY` while the file is executed.
    pub(crate) fn of(inode: &InodeRef) -> Result<Self> {
        Gate::enter(inode, 1).map(Self)
    }
}

impl Drop for WriteAccess {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// While it lives, the file may not be opened for writing.
#[derive(Debug)]
pub struct DenyWrite(Option<Arc<Gate>>);

impl DenyWrite {
    /// `ETXTBSY` while the file is open for writing.
    pub fn of(inode: &InodeRef) -> Result<Arc<Self>> {
        Gate::enter(inode, -1).map(|gate| Arc::new(Self(gate)))
    }
}

impl Drop for DenyWrite {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}
