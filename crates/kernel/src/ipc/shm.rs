//! Shared memory segments: shmget(2).

use super::Object;
use parking_lot::Mutex;
use std::sync::Arc;
use tuxlet_mem::{MemoryBudget, MemoryObject, ShmObject};
use tuxlet_uapi::ipc::IpcPerm;

/// Times and processes of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    /// Last shmat(2), seconds.
    pub atime: i64,
    /// Last shmdt(2).
    pub dtime: i64,
    /// Creation or last change.
    pub ctime: i64,
    /// Creator.
    pub cpid: i32,
    /// Last to attach or detach.
    pub lpid: i32,
}

/// A segment.
#[derive(Debug)]
pub struct Segment {
    perm: Mutex<IpcPerm>,
    /// Its memory.
    pub object: Arc<ShmObject>,
    /// Size in bytes as asked for.
    pub size: u64,
    /// Times and processes.
    pub stamps: Mutex<Stamps>,
}

impl Object for Segment {
    fn perm(&self) -> &Mutex<IpcPerm> {
        &self.perm
    }
}

impl Segment {
    /// A new segment of zeros.
    #[must_use]
    pub fn new(
        budget: &Arc<MemoryBudget>,
        id: i32,
        perm: IpcPerm,
        size: u64,
        stamps: Stamps,
    ) -> Self {
        let name = format!("/SYSV{:08x} (deleted)", perm.key);
        // Device 0:1 is where Linux has its internal shared memory; anonymous mappings have numbers from 1 on.
        let inode = u64::from(id.cast_unsigned()) | 1 << 40;
        let object = ShmObject::new(budget, (1, inode), name.as_bytes());
        object.set_size(size);
        Self {
            perm: Mutex::new(perm),
            object,
            size,
            stamps: Mutex::new(stamps),
        }
    }

    /// Device and inode by which its mappings are known.
    #[must_use]
    pub fn object_id(&self) -> (u64, u64) {
        self.object.id()
    }
}
