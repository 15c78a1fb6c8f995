//! Terminals of guest programs from the host's side.

use std::io;
use tuxlet_host::terminal::WindowSize;
use tuxlet_kernel::tty::HostTerminal;
use tuxlet_uapi::{Errno, termios::Winsize};

/// The host's end of a program's terminal, as a terminal emulator has it: reading gives what is shown, writing types. Dropping
/// it hangs the terminal up. Any thread may use it, through `&Terminal`, too.
#[derive(Debug)]
pub struct Terminal(HostTerminal);

impl Terminal {
    pub(crate) fn new(host: HostTerminal) -> Self {
        Self(host)
    }

    /// Tells the program the size of the window.
    pub fn resize(&self, size: WindowSize) {
        self.0
            .resize(size.rows, size.cols, size.width_px, size.height_px);
    }

    /// Hangs up: the program gets `SIGHUP`, reading here ends.
    pub fn hang_up(&self) {
        self.0.close();
    }

    /// Lets reading end after what has been shown so far, even if a program in the background still has the terminal open.
    pub fn finish(&self) {
        self.0.finish();
    }
}

impl io::Read for &Terminal {
    /// Waits for output; 0 when no program has the terminal open any more.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf, None).map_err(io::Error::other)
    }
}

impl io::Write for &Terminal {
    /// Waits until the program's side has room; `BrokenPipe` when no program has the terminal open any more.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.0.write(buf) {
            Ok(()) => Ok(buf.len()),
            Err(Errno::EIO) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(errno) => Err(io::Error::other(errno)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The guest's form of a window's size.
pub(crate) fn winsize(size: WindowSize) -> Winsize {
    Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: size.width_px,
        ws_ypixel: size.height_px,
    }
}
