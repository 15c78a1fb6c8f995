//! Files without a name in any file system: what fstat(2) shows of them.

use std::sync::atomic::{AtomicU64, Ordering};
use tuxlet_vfs::{Attr, Cx, DeviceId, FileType};

/// Attributes of a new anonymous inode, owned by the caller.
#[must_use]
pub fn attr(cx: &Cx) -> Attr {
    static NEXT_INO: AtomicU64 = AtomicU64::new(1 << 20);
    Attr {
        dev: DeviceId::new(0, 15),
        ino: NEXT_INO.fetch_add(1, Ordering::Relaxed),
        kind: FileType::Regular,
        mode: 0o600,
        nlink: 1,
        uid: cx.cred.fsuid,
        gid: cx.cred.fsgid,
        rdev: DeviceId::default(),
        size: 0,
        blksize: 4096,
        blocks: 0,
        atime: cx.now,
        mtime: cx.now,
        ctime: cx.now,
        btime: None,
    }
}
