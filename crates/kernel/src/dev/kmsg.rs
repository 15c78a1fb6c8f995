//! `/dev/kmsg`: each read gives a record of the kernel's log, each write adds one.

use super::MEM_MAJOR;
use crate::{
    kernel::Kernel,
    log::{Found, LINE_MAX},
    special::{CharDevice, DeviceTable},
    task::CurrentTask,
};
use parking_lot::Mutex;
use std::{
    any::Any,
    sync::{Arc, Weak},
};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{OpenFlags, SEEK_DATA, SEEK_END, SEEK_SET},
};
use tuxlet_vfs::{Attr, Cx, Events, FileOps, PollTable};

/// Minor number.
pub(super) const MINOR: u32 = 11;
/// Facility of messages that user space does not give one.
const LOG_USER: u32 = 1 << 3;
/// Level of messages without one: `LOG_WARNING`, the default of the console.
const DEFAULT_LEVEL: u32 = 4;

pub(super) fn register(devices: &DeviceTable) {
    devices.register(MEM_MAJOR, Some(MINOR), Arc::new(Driver));
}

#[derive(Debug)]
struct Driver;

impl CharDevice for Driver {
    fn open(
        &self,
        task: &mut CurrentTask,
        _minor: u32,
        _flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>> {
        let (first, ..) = task.kernel.log.bounds();
        Ok(Arc::new(Reader {
            kernel: Arc::downgrade(&task.kernel),
            next: Mutex::new(first),
            attr: crate::anon::attr(&task.cx()),
        }))
    }
}

/// An open `/dev/kmsg`.
#[derive(Debug)]
struct Reader {
    kernel: Weak<Kernel>,
    /// Number of the record that the next read gives.
    next: Mutex<u64>,
    attr: Attr,
}

impl Reader {
    fn kernel(&self) -> Result<Arc<Kernel>> {
        self.kernel.upgrade().ok_or(Errno::EIO)
    }
}

/// A message and its priority: `<N>text`. The kernel's facility is not for user space.
fn parse(line: &[u8]) -> (u32, &[u8]) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let given = line.strip_prefix(b"<").and_then(|rest| {
        let end = rest.iter().position(|b| *b == b'>')?;
        let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((number, &rest[end + 1..]))
    });
    let (priority, text): (u32, _) = given.unwrap_or((DEFAULT_LEVEL, line));
    if priority >> 3 == 0 {
        (LOG_USER | priority, text)
    } else {
        (priority, text)
    }
}

impl FileOps for Reader {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn own_seek(&self, offset: i64, whence: u32) -> Option<Result<u64>> {
        if offset != 0 {
            return Some(Err(Errno::ESPIPE));
        }
        let (first, cleared, next) = match self.kernel() {
            Ok(kernel) => kernel.log.bounds(),
            Err(errno) => return Some(Err(errno)),
        };
        let to = match whence {
            SEEK_SET => first,
            SEEK_DATA => cleared,
            SEEK_END => next,
            _ => return Some(Err(Errno::EINVAL)),
        };
        *self.next.lock() = to;
        Some(Ok(0))
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let kernel = self.kernel()?;
        let mut next = self.next.lock();
        match kernel.log.get(*next) {
            Found::Nothing => Err(Errno::EAGAIN),
            Found::Lost(first) => {
                *next = first;
                Err(Errno::EPIPE)
            }
            Found::Record(record) => {
                let line = record.extended(*next);
                if line.len() > to.remaining() {
                    return Err(Errno::EINVAL);
                }
                *next += 1;
                to.write_from(&line)
            }
        }
    }

    fn write_at(&self, _cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let len = from.remaining();
        if len > LINE_MAX {
            return Err(Errno::EINVAL);
        }
        let mut line = vec![0; len];
        if from.read_into(&mut line)? < len {
            return Err(Errno::EFAULT);
        }
        let kernel = self.kernel()?;
        let (priority, text) = parse(&line);
        let now = kernel.clock.boottime_ns();
        kernel.log.push(priority, now, text);
        Ok(len)
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        let Ok(kernel) = self.kernel() else {
            return Events::HUP;
        };
        if let Some(table) = table {
            table.add(kernel.log.changed());
        }
        match kernel.log.get(*self.next.lock()) {
            Found::Record(_) => Events::READABLE | Events::WRITABLE,
            Found::Lost(_) => Events::READABLE | Events::WRITABLE | Events::ERR,
            Found::Nothing => Events::WRITABLE,
        }
    }

    fn pollable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_user_space_are_not_the_kernels() {
        assert_eq!(parse(b"<6>hello\n"), (14, &b"hello"[..]));
        assert_eq!(parse(b"<30>daemon"), (30, &b"daemon"[..]));
        assert_eq!(parse(b"plain"), (12, &b"plain"[..]));
        assert_eq!(parse(b"<x>odd"), (12, &b"<x>odd"[..]));
    }
}
