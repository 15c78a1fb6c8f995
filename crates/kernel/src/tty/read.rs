//! Blocking reads of a terminal, with `VMIN` and `VTIME`: termios(3).

use super::{State, file::SlaveFile};
use crate::{task::CurrentTask, wait::WaitError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tuxlet_tty::ReadPolicy;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::File;

impl State {
    /// Whether a blocking read of `len` bytes returns now: enough is there, or the time between bytes is over.
    pub(super) fn enough_to_read(&self, len: usize) -> bool {
        let ldisc = self.pty.ldisc();
        if self.pty.hung_up() || ldisc.read_ready(len) {
            return true;
        }
        match ldisc.read_policy() {
            ReadPolicy::Bytes { between, .. } if !between.is_zero() => {
                ldisc.has_input() && self.last_input.elapsed() >= between
            }
            _ => false,
        }
    }

    /// `VMIN` and `VTIME` are both zero.
    pub(super) fn read_never_waits(&self) -> bool {
        self.pty.ldisc().read_policy() == ReadPolicy::Timeout(Duration::ZERO)
    }
}

impl CurrentTask {
    /// Repeats a read of a terminal until it gives something else than `EAGAIN`. A time limit that the terminal's
    /// attributes set ends it with 0 bytes.
    pub(crate) fn block_on_terminal(
        &mut self,
        file: &Arc<File>,
        nonblock: bool,
        mut op: impl FnMut(&mut Self) -> Result<usize>,
    ) -> Result<usize> {
        let slave = file.ops_as::<SlaveFile>().ok_or(Errno::ENOTTY)?;
        let tty = Arc::clone(slave.tty());
        let begun = Instant::now();
        loop {
            let seen = tty.state.lock().changes;
            match op(self) {
                Err(Errno::EAGAIN) if !nonblock => {}
                other => return other,
            }
            let (deadline, gives_up) = {
                let state = tty.state.lock();
                match state.pty.ldisc().read_policy() {
                    ReadPolicy::Timeout(time) => (Some(begun + time), true),
                    ReadPolicy::Bytes { between, .. }
                        if !between.is_zero() && state.pty.ldisc().has_input() =>
                    {
                        (Some(state.last_input + between), false)
                    }
                    _ => (None, false),
                }
            };
            let waited = self.wait_until(deadline, |_, table| {
                if let Some(table) = table {
                    table.add(&tty.slave_queue);
                }
                (tty.state.lock().changes != seen).then_some(())
            });
            match waited {
                Err(WaitError::Interrupted) => return Err(Errno::ERESTARTSYS),
                Err(WaitError::TimedOut) if gives_up => return Ok(0),
                Ok(()) | Err(WaitError::TimedOut) => {}
            }
        }
    }
}
