//! Opening FIFOs and devices: what a file system does not open by itself.

use crate::{pipe::Pipe, task::CurrentTask, wait::WaitError};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use std::{fmt::Debug, sync::Arc};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{DeviceId, File, FileOps, FileType, open::Special};

/// A driver of a character device.
pub trait CharDevice: Send + Sync + Debug {
    /// Opens the device.
    fn open(
        &self,
        task: &mut CurrentTask,
        minor: u32,
        flags: OpenFlags,
    ) -> Result<Arc<dyn FileOps>>;
}

/// Major and, unless a driver takes them all, minor number.
type DriverKey = (u32, Option<u32>);

/// Character devices by number; a driver without a minor number takes all of a major number.
#[derive(Debug, Default)]
pub struct DeviceTable {
    drivers: RwLock<FxHashMap<DriverKey, Arc<dyn CharDevice>>>,
}

impl DeviceTable {
    /// Registers a driver.
    pub fn register(&self, major: u32, minor: Option<u32>, driver: Arc<dyn CharDevice>) {
        self.drivers.write().insert((major, minor), driver);
    }

    fn find(&self, id: DeviceId) -> Option<Arc<dyn CharDevice>> {
        let drivers = self.drivers.read();
        drivers
            .get(&(id.major, Some(id.minor)))
            .or_else(|| drivers.get(&(id.major, None)))
            .cloned()
    }
}

/// Opens a FIFO or device; waits for a FIFO's partner.
pub(crate) fn open(task: &mut CurrentTask, special: Special) -> Result<Arc<File>> {
    let cx = task.cx();
    match special.path().inode().kind() {
        FileType::Fifo => {
            let (end, missing) = Pipe::open_fifo(special.path().inode(), special.flags())?;
            if let Some(partner) = missing {
                let waiting = Arc::clone(&end);
                let waited = task.wait_until(None, |_, table| {
                    waiting.partner_arrived(partner, table).then_some(())
                });
                if waited == Err(WaitError::Interrupted) {
                    return Err(Errno::ERESTARTSYS);
                }
            }
            Ok(special.finish(&cx, end))
        }
        FileType::CharDevice => {
            let rdev = special.rdev();
            let driver = task.kernel.devices.find(rdev).ok_or(Errno::ENXIO)?;
            let flags = special.flags();
            let ops = driver.open(task, rdev.minor, flags)?;
            let file = special.finish(&cx, ops);
            crate::tty::opened(task, &file, flags);
            Ok(file)
        }
        // No block devices, and sockets are connected to, not opened.
        _ => Err(Errno::ENXIO),
    }
}
