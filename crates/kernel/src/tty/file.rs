//! Open terminals: the two ends of a pseudo-terminal as files.

use super::{Tty, ioctl};
use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite};
use tuxlet_tty::{MasterRead, ReadOutcome};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    signal::Signal,
    termios::TOSTOP,
};
use tuxlet_vfs::{Attr, Cx, Events, FileOps, PollTable, cx::cap};

/// Bytes moved in one step.
const CHUNK: usize = 16 << 10;

/// An open description of the master.
#[derive(Debug)]
pub(super) struct MasterFile {
    tty: Arc<Tty>,
    attr: Attr,
}

impl MasterFile {
    pub(super) fn new(tty: Arc<Tty>, attr: Attr) -> Arc<Self> {
        Arc::new(Self { tty, attr })
    }
}

impl Drop for MasterFile {
    fn drop(&mut self) {
        self.tty.release_master();
    }
}

impl Tty {
    /// A read of the master. `EIO` once the slave has been closed and everything was read.
    pub(super) fn master_read(self: &Arc<Self>, buf: &mut [u8]) -> Result<usize> {
        self.change(|s| {
            Ok(match s.pty.master_read(buf)? {
                MasterRead::Data(n) => n,
                MasterRead::Status(_) => 1,
            })
        })
    }

    /// A write to the master.
    pub(super) fn master_write(self: &Arc<Self>, data: &[u8]) -> Result<usize> {
        self.change(|s| {
            let n = s.pty.master_write(data)?;
            s.last_input = std::time::Instant::now();
            Ok(n)
        })
    }
}

impl FileOps for MasterFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn seekable(&self) -> bool {
        false
    }

    fn pollable(&self) -> bool {
        true
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        let mut buf = vec![0; to.remaining().min(CHUNK)];
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.tty.master_read(&mut buf)?;
        to.write_from(&buf[..n])
    }

    fn write_at(&self, _cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        copy_out(from, |data| self.tty.master_write(data))
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.tty.master_queue);
        }
        Events::from_bits_truncate(self.tty.state.lock().pty.master_poll().bits())
    }

    fn ioctl(&self, cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        ioctl::master(&self.tty, cx, request, arg, mm)
    }
}

/// An open description of the slave.
#[derive(Debug)]
pub(crate) struct SlaveFile {
    tty: Arc<Tty>,
    nonblock: AtomicBool,
    readable: bool,
    /// Opened as `/dev/tty` or `/dev/console`: never becomes the controlling terminal by itself; and what
    /// fstat(2) shows then.
    alias: Option<Attr>,
}

impl SlaveFile {
    /// Opens the slave; `alias` are the attributes of another device that leads to it.
    pub(super) fn open(
        tty: Arc<Tty>,
        cx: &Cx,
        flags: OpenFlags,
        alias: Option<Attr>,
    ) -> Result<Arc<Self>> {
        tty.open_slave(cx.cred.has_cap(cap::SYS_ADMIN))?;
        Ok(Arc::new(Self {
            tty,
            nonblock: AtomicBool::new(flags.contains(OpenFlags::NONBLOCK)),
            readable: flags.readable(),
            alias,
        }))
    }

    pub(super) fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    pub(super) fn may_control(&self) -> bool {
        self.alias.is_none()
    }

    pub(super) fn readable(&self) -> bool {
        self.readable
    }
}

impl Drop for SlaveFile {
    fn drop(&mut self) {
        self.tty.release_slave();
    }
}

impl FileOps for SlaveFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn seekable(&self) -> bool {
        false
    }

    fn pollable(&self) -> bool {
        true
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.alias.unwrap_or_else(|| self.tty.inode.attributes()))
    }

    fn read_at(&self, cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        if self.tty.hung_up() {
            return Ok(0);
        }
        self.tty.check_job_control(cx, Signal::SIGTTIN)?;
        let mut buf = vec![0; to.remaining().min(CHUNK)];
        if buf.is_empty() {
            return Ok(0);
        }
        let nonblock = self.nonblock.load(Ordering::Relaxed);
        let n = self.tty.change(|s| {
            if !nonblock && !s.enough_to_read(buf.len()) {
                return Err(Errno::EAGAIN);
            }
            match s.pty.slave_read(&mut buf) {
                ReadOutcome::Data(n) => Ok(n),
                ReadOutcome::Eof => Ok(0),
                ReadOutcome::Empty if s.read_never_waits() => Ok(0),
                ReadOutcome::Empty => Err(Errno::EAGAIN),
            }
        })?;
        to.write_from(&buf[..n])
    }

    fn write_at(&self, cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        let stops = self.tty.state.lock().pty.ldisc().termios().c_lflag & TOSTOP != 0;
        if stops && !self.tty.hung_up() {
            self.tty.check_job_control(cx, Signal::SIGTTOU)?;
        }
        copy_out(from, |data| self.tty.change(|s| s.pty.slave_write(data)))
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.tty.slave_queue);
        }
        Events::from_bits_truncate(self.tty.state.lock().pty.slave_poll().bits())
    }

    fn ioctl(&self, cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        ioctl::slave(self, cx, request, arg, mm)
    }

    fn set_flags(&self, flags: u32) -> Result<()> {
        let nonblock = flags & OpenFlags::NONBLOCK.bits() != 0;
        self.nonblock.store(nonblock, Ordering::Relaxed);
        Ok(())
    }
}

/// Hands data on as long as it is taken; what is not taken stays with the writer.
fn copy_out(from: &mut dyn IoRead, mut take: impl FnMut(&[u8]) -> Result<usize>) -> Result<usize> {
    let mut done = 0;
    while from.remaining() > 0 {
        let mut buf = vec![0; from.remaining().min(CHUNK)];
        let n = match from.peek(&mut buf) {
            Err(_) if done > 0 => break,
            other => other?,
        };
        match take(&buf[..n]) {
            Ok(taken) => {
                from.skip(taken);
                done += taken;
                if taken < n {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}
