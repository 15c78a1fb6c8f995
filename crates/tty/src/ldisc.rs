//! The line discipline's state, reading, termios changes and flow control.

use std::{collections::VecDeque, time::Duration};

use tuxlet_uapi::{
    ioctl::{TIOCPKT_FLUSHREAD, TIOCPKT_START, TIOCPKT_STOP},
    signal::Signal,
    termios::*,
};

use crate::echo::Echo;

/// Bytes that the input queue holds, unread lines and the line being edited together.
pub const INPUT_LIMIT: usize = 4096;

/// In the input queue: this byte ends a line. With byte 0 it is an end of file.
pub(crate) const DELIM: u16 = 0x100;

/// What receiving input and flow control produced; the caller delivers and clears it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Bytes for the terminal's display, already processed.
    pub echo: Vec<u8>,
    /// Signals for the foreground process group.
    pub signals: Vec<Signal>,
    /// Output that the terminal has not shown yet is to be discarded (before `echo`).
    pub flush_output: bool,
    /// `TIOCPKT_*` bits for a master in packet mode.
    pub packet: u8,
}

/// Result of [`Ldisc::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// This many bytes were read; 0 only for an empty buffer.
    Data(usize),
    /// End of file was typed on an empty line.
    Eof,
    /// Nothing to read now.
    Empty,
}

/// How a blocking read waits, from `ICANON`, `VMIN` and `VTIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPolicy {
    /// Until a line is complete.
    Line,
    /// Until `min` bytes are there; once the first is, at most `between` for each next one
    /// (zero: no limit).
    Bytes {
        /// `VMIN`, at least 1.
        min: usize,
        /// `VTIME` as the time between bytes, or zero.
        between: Duration,
    },
    /// Until one byte is there or the time is over (zero: do not wait); then return 0 bytes.
    Timeout(Duration),
}

/// Which queue `TCFLSH` discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Input received but not read.
    Input,
    /// Output written but not transmitted.
    Output,
    /// Both.
    Both,
}

impl Queue {
    /// From the argument of `TCFLSH`; `None` is `EINVAL`.
    #[must_use]
    pub const fn from_arg(arg: u64) -> Option<Queue> {
        Some(match arg {
            0 => Queue::Input,
            1 => Queue::Output,
            2 => Queue::Both,
            _ => return None,
        })
    }
}

/// What `TCXONC` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowAction {
    /// Suspend output.
    OutputOff,
    /// Resume output.
    OutputOn,
    /// Send a STOP character to the terminal.
    InputOff,
    /// Send a START character to the terminal.
    InputOn,
}

impl FlowAction {
    /// From the argument of `TCXONC`; `None` is `EINVAL`.
    #[must_use]
    pub const fn from_arg(arg: u64) -> Option<FlowAction> {
        Some(match arg {
            0 => FlowAction::OutputOff,
            1 => FlowAction::OutputOn,
            2 => FlowAction::InputOff,
            3 => FlowAction::InputOn,
            _ => return None,
        })
    }
}

/// The `N_TTY` line discipline of one terminal.
#[derive(Debug)]
pub struct Ldisc {
    pub(crate) termios: Termios,
    winsize: Winsize,
    /// Unread input, each byte with its [`DELIM`] mark.
    pub(crate) input: VecDeque<u16>,
    /// How much of `input` belongs to complete lines (canonical mode).
    pub(crate) canon_len: usize,
    /// The next byte is literal (`VLNEXT` was typed).
    pub(crate) lnext: bool,
    /// Inside a `\.../` of `ECHOPRT`.
    pub(crate) erasing: bool,
    /// Echo that waits for the end of this input, or for output to resume.
    pub(crate) echo: VecDeque<Echo>,
    /// Nothing was queued since echo was last shown, or tried to be.
    pub(crate) echo_tried: bool,
    /// Display column of the cursor.
    pub(crate) column: u32,
    /// Display column where the edited line began.
    pub(crate) canon_column: u32,
    stopped: bool,
    /// Stopped by `TCOOFF`, which only `TCOON` undoes.
    tco_stopped: bool,
}

impl Default for Ldisc {
    fn default() -> Self {
        Ldisc::new()
    }
}

impl Ldisc {
    /// A line discipline in its initial state: [`Termios::cooked`], no window size.
    #[must_use]
    pub fn new() -> Ldisc {
        Ldisc {
            termios: Termios::cooked(),
            winsize: Winsize::default(),
            input: VecDeque::new(),
            canon_len: 0,
            lnext: false,
            erasing: false,
            echo: VecDeque::new(),
            echo_tried: true,
            column: 0,
            canon_column: 0,
            stopped: false,
            tco_stopped: false,
        }
    }

    /// The attributes (`TCGETS`).
    #[must_use]
    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Changes the attributes at once (`TCSETS`); output stopped by a key resumes when
    /// `IXON` is switched off. For `TCSETSF` call [`flush_input`](Self::flush_input) first.
    pub fn set_termios(&mut self, new: Termios, out: &mut Output) {
        let old = core::mem::replace(&mut self.termios, new);
        if (old.c_lflag ^ new.c_lflag) & (ICANON | EXTPROC) != 0 {
            for cell in &mut self.input {
                *cell &= !DELIM;
            }
            self.canon_len = 0;
            if new.c_lflag & ICANON != 0
                && let Some(last) = self.input.back_mut()
            {
                // What was typed in raw mode becomes one line, readable at once.
                *last |= DELIM;
                self.canon_len = self.input.len();
            }
            self.erasing = false;
            self.lnext = false;
        }
        if new.c_iflag & IXON == 0 && old.c_iflag & IXON != 0 && !self.tco_stopped {
            self.start(out);
            self.process_echoes(&mut out.echo);
        }
    }

    /// The window size (`TIOCGWINSZ`).
    #[must_use]
    pub fn winsize(&self) -> Winsize {
        self.winsize
    }

    /// Sets the window size; true if it changed, then the foreground group gets `SIGWINCH`.
    pub fn set_winsize(&mut self, size: Winsize) -> bool {
        core::mem::replace(&mut self.winsize, size) != size
    }

    pub(crate) fn iflag(&self, flag: u32) -> bool {
        self.termios.c_iflag & flag != 0
    }

    pub(crate) fn oflag(&self, flag: u32) -> bool {
        self.termios.c_oflag & flag != 0
    }

    pub(crate) fn lflag(&self, flag: u32) -> bool {
        self.termios.c_lflag & flag != 0
    }

    /// Whether `byte` is control character `index`; 0 means disabled.
    pub(crate) fn is_cc(&self, index: usize, byte: u8) -> bool {
        byte != 0 && self.termios.c_cc[index] == byte
    }

    fn reads_lines(&self) -> bool {
        self.lflag(ICANON) && !self.lflag(EXTPROC)
    }

    /// Whether a read of at least one byte returns at once (without regard to `VMIN`).
    #[must_use]
    pub fn has_input(&self) -> bool {
        if self.reads_lines() {
            self.canon_len > 0
        } else {
            !self.input.is_empty()
        }
    }

    /// Whether `poll`(2) says readable: with `VTIME` 0 only once `VMIN` bytes are there.
    #[must_use]
    pub fn readable(&self) -> bool {
        if self.reads_lines() {
            return self.canon_len > 0;
        }
        let wanted = match (self.termios.c_cc[VTIME], self.termios.c_cc[VMIN]) {
            (0, min) => usize::from(min).max(1),
            _ => 1,
        };
        self.input.len() >= wanted
    }

    /// How a blocking read is to wait.
    #[must_use]
    pub fn read_policy(&self) -> ReadPolicy {
        if self.reads_lines() {
            return ReadPolicy::Line;
        }
        let time = Duration::from_millis(u64::from(self.termios.c_cc[VTIME]) * 100);
        match self.termios.c_cc[VMIN] {
            0 => ReadPolicy::Timeout(time),
            min => ReadPolicy::Bytes {
                min: usize::from(min),
                between: time,
            },
        }
    }

    /// Whether a blocking read of `len` bytes need not wait any longer (`VTIME` aside).
    #[must_use]
    pub fn read_ready(&self, len: usize) -> bool {
        match self.read_policy() {
            ReadPolicy::Line => self.canon_len > 0,
            ReadPolicy::Bytes { min, .. } => self.input.len() >= min.min(len),
            ReadPolicy::Timeout(time) => !self.input.is_empty() || time.is_zero(),
        }
    }

    /// Takes what is there: in canonical mode at most one line, else up to `buf.len()` bytes.
    ///
    /// The rest of a line that does not fit stays for the next read. An end-of-file
    /// character directly behind the bytes taken is consumed with them.
    pub fn read(&mut self, buf: &mut [u8]) -> ReadOutcome {
        if !self.has_input() {
            return ReadOutcome::Empty;
        }
        if !self.reads_lines() {
            let n = buf.len().min(self.input.len());
            for (to, cell) in buf.iter_mut().zip(self.input.drain(..n)) {
                *to = cell as u8;
            }
            return ReadOutcome::Data(n);
        }
        if buf.is_empty() {
            return ReadOutcome::Data(0);
        }
        let mut n = 0;
        while self.canon_len > 0 {
            let cell = self.input[0];
            let eof = cell == DELIM;
            if n == buf.len() && !eof {
                break;
            }
            self.input.pop_front();
            self.canon_len -= 1;
            if eof {
                return if n == 0 {
                    ReadOutcome::Eof
                } else {
                    ReadOutcome::Data(n)
                };
            }
            buf[n] = cell as u8;
            n += 1;
            if cell & DELIM != 0 {
                break;
            }
        }
        ReadOutcome::Data(n)
    }

    /// Bytes that can be read now (`FIONREAD`); in canonical mode those of complete lines.
    #[must_use]
    pub fn input_len(&self) -> usize {
        if self.reads_lines() {
            self.input
                .iter()
                .take(self.canon_len)
                .filter(|&&c| c != DELIM)
                .count()
        } else {
            self.input.len()
        }
    }

    /// Discards unread input (`TCFLSH` with `TCIFLUSH`, `TCSETSF`).
    pub fn flush_input(&mut self, out: &mut Output) {
        self.input.clear();
        self.canon_len = 0;
        self.lnext = false;
        self.erasing = false;
        out.packet |= TIOCPKT_FLUSHREAD;
    }

    /// Whether output is suspended.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn stop(&mut self, out: &mut Output) {
        if !self.stopped {
            self.stopped = true;
            out.packet = out.packet & !TIOCPKT_START | TIOCPKT_STOP;
        }
    }

    pub(crate) fn start(&mut self, out: &mut Output) {
        if self.stopped && !self.tco_stopped {
            self.stopped = false;
            out.packet = out.packet & !TIOCPKT_STOP | TIOCPKT_START;
        }
    }

    /// `TCXONC`.
    pub fn flow(&mut self, action: FlowAction, out: &mut Output) {
        match action {
            FlowAction::OutputOff => {
                if !self.tco_stopped {
                    self.tco_stopped = true;
                    self.stop(out);
                }
            }
            FlowAction::OutputOn => {
                if self.tco_stopped {
                    self.tco_stopped = false;
                    self.start(out);
                }
            }
            FlowAction::InputOff => self.send_flow_char(VSTOP, out),
            FlowAction::InputOn => self.send_flow_char(VSTART, out),
        }
    }

    fn send_flow_char(&self, index: usize, out: &mut Output) {
        let byte = self.termios.c_cc[index];
        if byte != 0 {
            out.echo.push(byte);
        }
    }
}
