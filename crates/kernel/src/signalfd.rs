//! Signals as a file: signalfd(2).

use crate::{kernel::Kernel, task::CurrentTask};
use parking_lot::RwLock;
use std::{
    any::Any,
    sync::{Arc, Weak},
};
use tuxlet_mem::IoWrite;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    signal::{SI_KERNEL, SI_TIMER, SigInfo, SigSet, Signal},
    signalfd::SignalfdSiginfo,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, PollTable};
use zerocopy::IntoBytes;

/// Reads the signals of whoever reads it.
#[derive(Debug)]
pub struct SignalFd {
    kernel: Weak<Kernel>,
    mask: RwLock<SigSet>,
    attr: Attr,
}

/// A file for a set of signals.
pub fn open(task: &CurrentTask, mask: SigSet, flags: OpenFlags) -> Arc<File> {
    let cx = task.cx();
    let ops = SignalFd {
        kernel: Arc::downgrade(&task.kernel),
        mask: RwLock::new(mask.difference(SigSet::UNBLOCKABLE)),
        attr: crate::anon::attr(&cx),
    };
    File::anonymous(
        &cx,
        Arc::new(ops),
        b"anon_inode:[signalfd]",
        flags | OpenFlags::RDWR,
    )
}

impl SignalFd {
    /// Changes the set.
    pub fn set_mask(&self, mask: SigSet) {
        *self.mask.write() = mask.difference(SigSet::UNBLOCKABLE);
        // Somebody may wait for a signal that is pending already.
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.signal_notify.wake_all(Events::READABLE.bits());
        }
    }

    /// The set, for `/proc/PID/fdinfo`.
    #[must_use]
    pub fn mask(&self) -> SigSet {
        *self.mask.read()
    }

    fn take(&self, cx: &Cx) -> Option<SigInfo> {
        let kernel = self.kernel.upgrade()?;
        let task = kernel.tree.lock().task(cx.tid).cloned()?;
        let mask = self.mask();
        let mut shared = task.group().signals.lock();
        let mut own = task.signals.lock();
        let taken = own.queue.take(mask).or_else(|| shared.queue.take(mask));
        drop(own);
        drop(shared);
        taken.map(|info| task.group().timers.delivered(info))
    }

    fn has_signal(&self, cx: &Cx) -> bool {
        let Some(kernel) = self.kernel.upgrade() else {
            return false;
        };
        let Some(task) = kernel.tree.lock().task(cx.tid).cloned() else {
            return false;
        };
        let shared = task.group().signals.lock();
        let own = task.signals.lock();
        !own.queue
            .pending()
            .union(shared.queue.pending())
            .intersection(self.mask())
            .is_empty()
    }
}

/// A signal as signalfd(2) shows it. Which members mean something depends on the signal and its sender.
fn describe(info: &SigInfo) -> SignalfdSiginfo {
    let mut out = SignalfdSiginfo {
        ssi_signo: info.si_signo.cast_unsigned(),
        ssi_errno: info.si_errno,
        ssi_code: info.si_code,
        ..SignalfdSiginfo::default()
    };
    let sender = |out: &mut SignalfdSiginfo| {
        out.ssi_pid = info.si_pid().cast_unsigned();
        out.ssi_uid = info.si_uid();
    };
    let value = |out: &mut SignalfdSiginfo| {
        out.ssi_ptr = info.si_value();
        out.ssi_int = info.si_value() as i32;
    };
    let signal = Signal::new(info.si_signo).ok();
    match info.si_code {
        SI_TIMER => {
            let (tid, overrun) = info.si_timer();
            out.ssi_tid = tid.cast_unsigned();
            out.ssi_overrun = overrun.cast_unsigned();
            value(&mut out);
        }
        SI_KERNEL => {}
        code if code < 0 => {
            sender(&mut out);
            value(&mut out);
        }
        0 => sender(&mut out),
        _ => match signal {
            Some(Signal::SIGCHLD) => {
                sender(&mut out);
                out.ssi_status = info.si_status();
                let (user, system) = info.si_times();
                out.ssi_utime = user.cast_unsigned();
                out.ssi_stime = system.cast_unsigned();
            }
            Some(Signal::SIGIO) => {
                let (band, fd) = info.si_band_fd();
                out.ssi_band = band as u32;
                out.ssi_fd = fd;
            }
            _ => out.ssi_addr = info.si_addr(),
        },
    }
    out
}

impl FileOps for SignalFd {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn own_seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64>> {
        Some(Ok(0))
    }

    fn pollable(&self) -> bool {
        true
    }

    fn read_at(&self, cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let size = size_of::<SignalfdSiginfo>();
        if to.remaining() < size {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while to.remaining() >= size {
            let Some(info) = self.take(cx) else { break };
            if to.write_from(describe(&info).as_bytes())? < size {
                return Err(Errno::EFAULT);
            }
            done += size;
        }
        if done == 0 {
            Err(Errno::EAGAIN)
        } else {
            Ok(done)
        }
    }

    fn poll(&self, cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table
            && let Some(kernel) = self.kernel.upgrade()
        {
            table.add(&kernel.signal_notify);
        }
        if self.has_signal(cx) {
            Events::READABLE
        } else {
            Events::empty()
        }
    }
}
