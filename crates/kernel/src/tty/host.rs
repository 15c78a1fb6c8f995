//! Terminals of the embedder: it has the master, a guest process the slave.

use super::{Tty, file::SlaveFile};
use crate::kernel::Kernel;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tuxlet_sync::{WaitQueue, WaitResult, Waiter};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    termios::Winsize,
};
use tuxlet_vfs::{
    At, Cx, File,
    open::{How, Opened},
};

/// The host's end of a terminal. Any thread may use it; dropping it hangs the terminal up.
#[derive(Debug)]
pub struct HostTerminal {
    tty: Arc<Tty>,
    /// Reads do not wait any more.
    finishing: AtomicBool,
}

impl Drop for HostTerminal {
    fn drop(&mut self) {
        self.tty.release_master();
    }
}

impl HostTerminal {
    /// Reads what the guest shows, waiting for it at most `timeout` (`None`: without limit). 0 when nobody has the
    /// terminal open any more. `EAGAIN` after the timeout.
    pub fn read(&self, buf: &mut [u8], timeout: Option<Duration>) -> Result<usize> {
        let deadline = timeout.map(|t| Instant::now() + t);
        let read = self.wait(deadline, || {
            if self.tty.hung_up() {
                return Ok(0);
            }
            match self.tty.master_read(buf) {
                Err(Errno::EAGAIN) if self.finishing.load(Ordering::SeqCst) => Ok(0),
                other => other,
            }
        });
        match read {
            Err(Errno::EIO) => Ok(0),
            other => other,
        }
    }

    /// Types `data`; waits until the guest has taken it. `EIO` if it never will: hung up, or nobody has the
    /// terminal open.
    pub fn write(&self, data: &[u8]) -> Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            let n = self.wait(None, || {
                let gone = {
                    let state = self.tty.state.lock();
                    state.pty.hung_up()
                        || state
                            .pty
                            .master_poll()
                            .contains(tuxlet_uapi::poll::PollEvents::HUP)
                };
                if gone {
                    return Err(Errno::EIO);
                }
                self.tty.master_write(rest)
            })?;
            rest = &rest[n..];
        }
        Ok(())
    }

    /// Tells the guest the window's size, in characters and in pixels.
    pub fn resize(&self, rows: u16, cols: u16, xpixel: u16, ypixel: u16) {
        self.tty.resize(Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: xpixel,
            ws_ypixel: ypixel,
        });
    }

    /// Hangs the terminal up: the session's leader gets `SIGHUP`, and pending reads and writes here end.
    pub fn close(&self) {
        self.tty.release_master();
    }

    /// Ends the output: reads give what the guest has shown so far, and then 0, whoever still has the terminal open.
    pub fn finish(&self) {
        self.finishing.store(true, Ordering::SeqCst);
        self.tty.master_queue.wake_all(!0);
    }

    /// The number in `/dev/pts`.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.tty.number
    }

    fn wait<T>(&self, deadline: Option<Instant>, mut op: impl FnMut() -> Result<T>) -> Result<T> {
        wait_on(&self.tty.master_queue, deadline, &mut op)
    }
}

/// Repeats `op` until it gives something else than `EAGAIN`, sleeping on a queue in between.
fn wait_on<T>(
    queue: &WaitQueue,
    deadline: Option<Instant>,
    op: &mut dyn FnMut() -> Result<T>,
) -> Result<T> {
    let waiter = Waiter::new();
    let registration = queue.register(waiter.clone());
    let result = loop {
        match op() {
            Err(Errno::EAGAIN) => {}
            other => break other,
        }
        if waiter.wait(deadline) == WaitResult::TimedOut {
            break Err(Errno::EAGAIN);
        }
    };
    drop(registration);
    result
}

impl Kernel {
    /// A new terminal of the given size: the host's end, and the slave, open for reading and writing, for a
    /// process's standard streams.
    pub fn open_pty(self: &Arc<Self>, size: Winsize) -> Result<(HostTerminal, Arc<File>)> {
        let cx = self.host_cx();
        let tty = Tty::create(self, &cx)?;
        tty.state.lock().locked = false;
        tty.resize(size);
        {
            let mut console = self.terminals.console.lock();
            if console.upgrade().is_none_or(|t| t.hung_up()) {
                *console = Arc::downgrade(&tty);
            }
        }
        let host = HostTerminal {
            tty: Arc::clone(&tty),
            finishing: AtomicBool::new(false),
        };
        let slave = self.open_slave(&tty, &cx, OpenFlags::RDWR)?;
        Ok((host, slave))
    }

    /// Opens a slave under its name, or without one if `/dev/pts` is not mounted.
    fn open_slave(&self, tty: &Arc<Tty>, cx: &Cx, flags: OpenFlags) -> Result<Arc<File>> {
        let ops = SlaveFile::open(Arc::clone(tty), cx, flags, None)?;
        let name = format!("/dev/pts/{}", tty.number).into_bytes();
        let at = At::root(self.mounts.root());
        let host = self.host_cx();
        match tuxlet_vfs::open::open(&host, &at, &name, &How::new(flags)) {
            Ok(Opened::Special(special)) if special.rdev() == tty.device() => {
                Ok(special.finish(cx, ops))
            }
            _ => Ok(File::anonymous(cx, ops, &name, flags)),
        }
    }
}

/// Flags of `TIOCGPTPEER`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerFlags(OpenFlags);

impl PeerFlags {
    /// From the argument: the flags of open(2).
    pub(super) fn from_arg(arg: u64) -> Result<Self> {
        let bits = u32::try_from(arg).map_err(|_| Errno::EINVAL)?;
        Ok(Self(OpenFlags::from_bits_retain(bits)))
    }
}

/// `TIOCGPTPEER`: opens the slave and gives a descriptor.
pub(super) fn open_peer(kernel: &Kernel, tty: &Arc<Tty>, cx: &Cx, flags: PeerFlags) -> Result<i64> {
    let flags = flags.0;
    let task = kernel.tree.lock().task(cx.tid).cloned();
    let task = task.ok_or(Errno::EIO)?;
    let fds = task.resources().ok_or(Errno::EIO)?.fds;
    let limit = task.group().rlimit(tuxlet_uapi::resource::RLIMIT_NOFILE);
    let file = kernel.open_slave(tty, cx, flags - OpenFlags::CLOEXEC)?;
    fds.install(file, flags.contains(OpenFlags::CLOEXEC), 0, limit)
        .map(i64::from)
}
