//! `/dev/null`, `zero`, `full`, `random`, `urandom`: null(4), full(4), random(4).

use super::MEM_MAJOR;
use crate::{
    special::{CharDevice, DeviceTable},
    task::CurrentTask,
};
use std::{any::Any, sync::Arc};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{Attr, Cx, DeviceId, FileOps, FileType};

pub(super) const NULL: u32 = 3;
pub(super) const ZERO: u32 = 5;
pub(super) const FULL: u32 = 7;
pub(super) const RANDOM: u32 = 8;
pub(super) const URANDOM: u32 = 9;

/// Random bytes made at a time.
const RANDOM_CHUNK: usize = 4096;

#[derive(Debug)]
struct MemDevices;

pub(super) fn register(devices: &DeviceTable) {
    devices.register(MEM_MAJOR, None, Arc::new(MemDevices));
}

impl CharDevice for MemDevices {
    fn open(
        &self,
        task: &mut CurrentTask,
        minor: u32,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        if !matches!(minor, NULL | ZERO | FULL | RANDOM | URANDOM) {
            return Err(Errno::ENXIO);
        }
        Ok(device(&task.cx(), minor))
    }
}

/// An open `/dev/null`.
pub(super) fn null(cx: &Cx) -> Arc<dyn FileOps> {
    device(cx, NULL)
}

fn device(cx: &Cx, minor: u32) -> Arc<dyn FileOps> {
    let rdev = DeviceId::new(MEM_MAJOR, minor);
    let attr = Attr {
        kind: FileType::CharDevice,
        mode: 0o666,
        rdev,
        ..crate::anon::attr(cx)
    };
    Arc::new(MemFile { minor, attr })
}

#[derive(Debug)]
struct MemFile {
    minor: u32,
    attr: Attr,
}

impl FileOps for MemFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let want = to.remaining();
        match self.minor {
            NULL => Ok(0),
            ZERO | FULL => to.write_zeros(want),
            _ => {
                let mut chunk = [0; RANDOM_CHUNK];
                let mut done = 0;
                while done < want {
                    let part = &mut chunk[..RANDOM_CHUNK.min(want - done)];
                    tuxlet_host::entropy::fill(part).map_err(|_| Errno::EIO)?;
                    match to.write_from(part) {
                        Ok(n) => done += n,
                        Err(_) if done > 0 => break,
                        Err(errno) => return Err(errno),
                    }
                }
                Ok(done)
            }
        }
    }

    fn write_at(&self, _cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        if self.minor == FULL {
            return Err(Errno::ENOSPC);
        }
        let n = from.remaining();
        from.skip(n);
        Ok(n)
    }

    fn append(&self, cx: &Cx, from: &mut dyn IoRead) -> Result<(u64, usize)> {
        self.write_at(cx, 0, from).map(|n| (0, n))
    }

    fn own_seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64>> {
        // There are no positions, and no wrong ones.
        Some(Ok(0))
    }

    fn pollable(&self) -> bool {
        matches!(self.minor, RANDOM | URANDOM)
    }
}
