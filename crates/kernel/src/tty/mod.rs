//! Terminals as the kernel sees them: pseudo-terminals, sessions, controlling terminals, job control.
//!
//! The terminals themselves are the state machines of `tuxlet_tty`; here they get wait queues, files, numbers in
//! `/dev/pts`, and a foreground process group that their signals go to: tty(4), pts(4), credentials(7).

mod devpts;
mod file;
mod host;
mod ioctl;
mod read;
mod session;

pub use devpts::DEVPTS_MAGIC;
pub(crate) use devpts::{NODES, register};
pub(crate) use file::SlaveFile;
pub use host::HostTerminal;
pub(crate) use session::{acquire_controlling, opened};

use crate::{kernel::Kernel, signal::send_to_process_group};
use devpts::PtsInode;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use session::Controlling;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
    time::Instant,
};
use tuxlet_sync::WaitQueue;
use tuxlet_tty::Pty;
use tuxlet_uapi::{
    errno::{Errno, Result},
    signal::{SigInfo, Signal},
    termios::Termios,
};
use tuxlet_vfs::{Cx, DeviceId, pseudo::PseudoFs};

/// Major number of the slaves of pseudo-terminals.
pub const PTS_MAJOR: u32 = 136;
/// Major number of `/dev/tty`, `/dev/console` and `/dev/ptmx`.
pub const TTYAUX_MAJOR: u32 = 5;
/// Major number of virtual consoles.
pub const TTY_MAJOR: u32 = 4;
/// Most pseudo-terminals at once: `/proc/sys/kernel/pty/max`.
pub const PTY_MAX: u32 = 4096;

/// All terminals of a machine.
#[derive(Debug, Default)]
pub struct Terminals {
    devpts: OnceLock<Arc<PseudoFs>>,
    /// Pseudo-terminals by number; a number is taken as long as either end is open.
    ptys: Mutex<BTreeMap<u32, Weak<Tty>>>,
    /// Controlling terminals by session id.
    sessions: Mutex<FxHashMap<u32, Controlling>>,
    /// What `/dev/console` leads to: the host's first terminal that still is there.
    console: Mutex<Weak<Tty>>,
}

/// What changes of a terminal.
#[derive(Debug)]
struct State {
    pty: Pty,
    /// The slave cannot be opened yet: unlockpt(3).
    locked: bool,
    /// No more opens: `TIOCEXCL`.
    exclusive: bool,
    /// Bits of the settings, and characters that are not 0, that cannot be changed: `TIOCSLCKTRMIOS`.
    unchangeable: Termios,
    /// Speeds that `TCSETS2` set with `BOTHER`.
    speeds: (u32, u32),
    /// Counts changes, for a reader that waits for the next byte.
    changes: u64,
    last_input: Instant,
}

/// A pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Tty {
    kernel: Weak<Kernel>,
    number: u32,
    inode: Arc<PtsInode>,
    state: Mutex<State>,
    slave_queue: WaitQueue,
    master_queue: WaitQueue,
}

impl Tty {
    /// A new pair, its master open. `ENOSPC` when there are too many.
    fn create(kernel: &Arc<Kernel>, cx: &Cx) -> Result<Arc<Self>> {
        let fs = devpts::instance(kernel);
        let mut ptys = kernel.terminals.ptys.lock();
        let number = (0..PTY_MAX)
            .find(|n| !ptys.contains_key(n))
            .ok_or(Errno::ENOSPC)?;
        let tty = Arc::new(Self {
            kernel: Arc::downgrade(kernel),
            number,
            inode: PtsInode::new(&fs, number, cx),
            state: Mutex::new(State {
                pty: Pty::new(),
                locked: true,
                unchangeable: Termios::default(),
                exclusive: false,
                speeds: (38400, 38400),
                changes: 0,
                last_input: Instant::now(),
            }),
            slave_queue: WaitQueue::new(),
            master_queue: WaitQueue::new(),
        });
        ptys.insert(number, Arc::downgrade(&tty));
        Ok(tty)
    }

    /// The device number of the slave.
    fn device(&self) -> DeviceId {
        DeviceId::new(PTS_MAJOR, self.number)
    }

    /// Changes the terminal; if that succeeds, wakes those who wait at both ends and sends the signals that came
    /// of it to the foreground group.
    fn change<T>(self: &Arc<Self>, f: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock();
        let result = f(&mut state);
        let signals = state.pty.take_signals();
        if result.is_ok() {
            state.changes += 1;
        }
        drop(state);
        for signal in signals {
            self.signal_foreground(signal);
        }
        if result.is_ok() {
            self.slave_queue.wake_all(!0);
            self.master_queue.wake_all(!0);
        }
        result
    }

    /// Sends a signal to the foreground process group, if there is one.
    fn signal_foreground(self: &Arc<Self>, signal: Signal) {
        let Some(kernel) = self.kernel.upgrade() else {
            return;
        };
        if let Some(pgid) = kernel.terminals.foreground_of(self) {
            send_to_process_group(&kernel, pgid, SigInfo::kernel(signal));
        }
    }

    fn hung_up(&self) -> bool {
        self.state.lock().pty.hung_up()
    }

    /// The master is gone: the slave hangs up.
    fn release_master(self: &Arc<Self>) {
        let _ = self.change(|s| {
            s.pty.master_released();
            Ok(())
        });
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.terminal_hung_up(self);
        }
    }

    /// Counts an open of the slave. `EIO` if it is locked or hung up, `EBUSY` if it is exclusive.
    fn open_slave(self: &Arc<Self>, privileged: bool) -> Result<()> {
        self.change(|s| {
            if s.locked || s.pty.hung_up() {
                return Err(Errno::EIO);
            }
            if s.exclusive && !privileged {
                return Err(Errno::EBUSY);
            }
            s.pty.slave_opened();
            Ok(())
        })
    }

    fn release_slave(self: &Arc<Self>) {
        let _ = self.change(|s| {
            s.pty.slave_released();
            Ok(())
        });
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.terminals.ptys.lock().remove(&self.number);
        }
    }
}
