//! Signal-driven input and output: `O_ASYNC`, fcntl(2) `F_SETOWN`.

use crate::{
    kernel::Kernel,
    pipe::PipeEnd,
    signal::{send_to_group, send_to_process_group, send_to_task},
};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Weak};
use tuxlet_sync::Wake;
use tuxlet_uapi::{
    errno::Result,
    fcntl::{F_OWNER_PGRP, F_OWNER_TID, OpenFlags},
    signal::{SigInfo, Signal},
};
use tuxlet_vfs::{Cx, Events, File, FileType, PollTable};

/// `si_code` of input, output, error and hang-up: `POLL_IN` and so on.
const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;
const POLL_ERR: i32 = 4;
const POLL_HUP: i32 = 6;

/// The files with `O_ASYNC`, by the id of the open file description.
#[derive(Debug, Default)]
pub struct AsyncFiles(Mutex<FxHashMap<u64, (Weak<File>, PollTable)>>);

#[derive(Debug)]
struct Notifier {
    kernel: Weak<Kernel>,
    file: Weak<File>,
    /// The descriptor through which the flag was set, for `si_fd`.
    fd: i32,
}

/// Whether a file can announce itself: terminals, pipes and sockets, as in Linux. Others keep the flag without
/// effect.
fn can_notify(file: &File) -> bool {
    file.ops().as_socket().is_some()
        || file.ops_as::<PipeEnd>().is_some()
        || file
            .inode()
            .is_some_and(|i| i.kind() == FileType::CharDevice)
}

/// Sets the status flags of a file: `F_SETFL`, `FIOASYNC`, `FIONBIO`.
pub fn set_flags(
    kernel: &Arc<Kernel>,
    cx: &Cx,
    fd: i32,
    file: &Arc<File>,
    flags: OpenFlags,
) -> Result<()> {
    let before = file.flags().contains(OpenFlags::ASYNC);
    file.set_flags(cx, flags)?;
    let after = file.flags().contains(OpenFlags::ASYNC);
    if before == after || !can_notify(file) {
        return Ok(());
    }
    let table = after.then(|| {
        let notifier = Notifier {
            kernel: Arc::downgrade(kernel),
            file: Arc::downgrade(file),
            fd,
        };
        let mut table = PollTable::new(Arc::new(notifier));
        file.poll(cx, Some(&mut table));
        (Arc::downgrade(file), table)
    });
    let mut files = kernel.async_files.0.lock();
    files.retain(|_, (file, _)| file.strong_count() > 0);
    match table {
        Some(entry) => files.insert(file.id(), entry),
        None => files.remove(&file.id()),
    };
    Ok(())
}

impl Wake for Notifier {
    fn wake(&self, events: u32) {
        let (Some(kernel), Some(file)) = (self.kernel.upgrade(), self.file.upgrade()) else {
            return;
        };
        let owner = file.owner();
        if owner.id == 0 {
            return;
        }
        let events = Events::from_bits_truncate(events);
        let info = match Signal::new(owner.signal) {
            // Without F_SETSIG the signal says nothing but that it came.
            Err(_) => SigInfo::kernel(Signal::SIGIO),
            Ok(signal) => {
                let code = if events.intersects(Events::READABLE) {
                    POLL_IN
                } else if events.intersects(Events::WRITABLE) {
                    POLL_OUT
                } else if events.contains(Events::ERR) {
                    POLL_ERR
                } else {
                    POLL_HUP
                };
                SigInfo::poll(signal, code, i64::from(events.bits()), self.fd)
            }
        };
        let id = owner.id.cast_unsigned();
        // A full queue loses the signal.
        let _ = match owner.kind {
            F_OWNER_PGRP => {
                send_to_process_group(&kernel, id, info);
                Ok(())
            }
            F_OWNER_TID => {
                let task = kernel.tree.lock().task(id).cloned();
                task.map_or(Ok(()), |task| send_to_task(&kernel, &task, info))
            }
            _ => {
                let group = kernel.tree.lock().node(id).map(|n| Arc::clone(&n.group));
                group.map_or(Ok(()), |group| send_to_group(&kernel, &group, info))
            }
        };
    }
}
