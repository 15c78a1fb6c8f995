//! Input processing: what a byte from the terminal does.

use tuxlet_uapi::{
    signal::{SIGINT, SIGQUIT, SIGTSTP, Signal},
    termios::*,
};

use crate::{
    Ldisc, Output,
    ldisc::{DELIM, INPUT_LIMIT},
    output::{is_control, to_lower},
};

/// What an erase key removes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Char,
    Word,
    Line,
}

/// `isalnum` of the kernel, whose character table is Latin-1.
const fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7)
}

impl Ldisc {
    /// Takes bytes that came from the terminal (a key press, a paste, a master's write).
    ///
    /// Returns how many were taken. It stops early when the queue is full of data that a
    /// read could free; a line that is too long instead loses its last byte to each new one.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Output) -> usize {
        let mut taken = 0;
        for &byte in bytes {
            if !self.make_room() {
                break;
            }
            taken += 1;
            self.receive_byte(byte, out);
        }
        // Echo that was tried before, while output was stopped, waits for the next write.
        if (self.lflag(ECHO) || self.lflag(ECHONL)) && !self.echo_tried {
            self.process_echoes(&mut out.echo);
        }
        taken
    }

    /// Whether [`receive`](Self::receive) would take a byte now.
    #[must_use]
    pub fn accepts_input(&self) -> bool {
        self.room() > 0 || (self.lflag(ICANON) && self.canon_len == 0)
    }

    fn room(&self) -> isize {
        let free = INPUT_LIMIT.saturating_sub(self.input.len());
        // PARMRK may store three bytes for one; one byte stays for the line's end.
        let free = if self.iflag(PARMRK) {
            free.div_ceil(3)
        } else {
            free
        };
        free as isize - 1
    }

    fn make_room(&mut self) -> bool {
        let room = self.room();
        if room > 0 {
            return true;
        }
        if !self.accepts_input() {
            return false;
        }
        if room < 0 {
            self.input.pop_back();
        }
        true
    }

    fn receive_byte(&mut self, byte: u8, out: &mut Output) {
        let mut byte = byte;
        if self.iflag(ISTRIP) {
            byte &= 0x7f;
        }
        if self.iflag(IUCLC) && self.lflag(IEXTEN) {
            byte = to_lower(byte);
        }
        if self.lflag(EXTPROC) {
            self.put(byte, 0);
            return;
        }
        if core::mem::take(&mut self.lnext) {
            self.receive_plain(byte, false, out);
            return;
        }
        if self.stopped()
            && self.iflag(IXON)
            && self.iflag(IXANY)
            && !self.is_flow_or_signal_char(byte)
        {
            self.start(out);
            self.process_echoes(&mut out.echo);
        }
        if self.iflag(IXON) {
            if self.is_cc(VSTART, byte) {
                self.start(out);
                self.process_echoes(&mut out.echo);
                return;
            }
            if self.is_cc(VSTOP, byte) {
                self.stop(out);
                return;
            }
        }
        if let Some(signal) = self.signal_of(byte) {
            self.receive_signal(byte, signal, out);
            return;
        }
        let mut newline = false;
        if byte == b'\r' {
            if self.iflag(IGNCR) {
                return;
            }
            if self.iflag(ICRNL) {
                byte = b'\n';
                newline = true;
            }
        } else if byte == b'\n' && self.iflag(INLCR) {
            byte = b'\r';
        }
        if self.lflag(ICANON) && self.edit(byte, out) {
            return;
        }
        self.receive_plain(byte, newline, out);
    }

    fn is_flow_or_signal_char(&self, byte: u8) -> bool {
        self.is_cc(VSTART, byte) || self.is_cc(VSTOP, byte) || self.signal_of(byte).is_some()
    }

    fn signal_of(&self, byte: u8) -> Option<Signal> {
        if !self.lflag(ISIG) {
            return None;
        }
        [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)]
            .into_iter()
            .find(|&(index, _)| self.is_cc(index, byte))
            .map(|(_, signal)| signal)
    }

    fn receive_signal(&mut self, byte: u8, signal: Signal, out: &mut Output) {
        out.signals.push(signal);
        if !self.lflag(NOFLSH) {
            // Echo that was not shown yet goes too.
            self.echo.clear();
            out.echo.clear();
            out.flush_output = true;
            self.flush_input(out);
        }
        if self.iflag(IXON) {
            self.start(out);
        }
        if self.lflag(ECHO) {
            self.echo_byte(byte);
            self.commit_echoes(&mut out.echo);
        } else {
            self.process_echoes(&mut out.echo);
        }
    }

    /// Line editing; false if `byte` is an ordinary byte of the line.
    fn edit(&mut self, byte: u8, out: &mut Output) -> bool {
        let iexten = self.lflag(IEXTEN);
        if self.is_cc(VERASE, byte) {
            self.erase(Erase::Char);
        } else if self.is_cc(VKILL, byte) {
            self.erase(Erase::Line);
        } else if iexten && self.is_cc(VWERASE, byte) {
            self.erase(Erase::Word);
        } else if iexten && self.is_cc(VLNEXT, byte) {
            self.lnext = true;
            if self.lflag(ECHO) {
                self.finish_erasing();
                if self.lflag(ECHOCTL) {
                    self.echo_raw(b'^');
                    self.echo_raw(0x08);
                }
            }
        } else if iexten && self.lflag(ECHO) && self.is_cc(VREPRINT, byte) {
            self.finish_erasing();
            self.echo_byte(byte);
            self.echo_raw(b'\n');
            for i in self.canon_len..self.input.len() {
                self.echo_byte(self.input[i] as u8);
            }
        } else if byte == b'\n' {
            if self.lflag(ECHO) || self.lflag(ECHONL) {
                self.echo_raw(b'\n');
            }
            self.end_line(byte);
        } else if self.is_cc(VEOF, byte) {
            self.end_line(0);
        } else if self.is_cc(VEOL, byte) || (iexten && self.is_cc(VEOL2, byte)) {
            if self.lflag(ECHO) {
                if self.canon_len == self.input.len() {
                    self.echo_set_canon_column();
                }
                self.echo_byte(byte);
            }
            if byte == 0xff && self.iflag(PARMRK) {
                self.put(byte, 0);
            }
            self.end_line(byte);
        } else {
            return false;
        }
        self.commit_echoes(&mut out.echo);
        true
    }

    /// Queues a byte without special meaning and echoes it; `newline` if it was translated
    /// to one (a plain `\n` in raw mode shows as `^J`).
    fn receive_plain(&mut self, byte: u8, newline: bool, out: &mut Output) {
        if self.lflag(ECHO) {
            self.finish_erasing();
            if newline {
                self.echo_raw(byte);
            } else {
                if self.canon_len == self.input.len() {
                    self.echo_set_canon_column();
                }
                self.echo_byte(byte);
            }
            self.commit_echoes(&mut out.echo);
        }
        if byte == 0xff && self.iflag(PARMRK) {
            // A real 0xff is doubled to tell it from a parity mark.
            self.put(byte, 0);
        }
        self.put(byte, 0);
    }

    fn end_line(&mut self, byte: u8) {
        self.put(byte, DELIM);
        self.canon_len = self.input.len();
    }

    fn put(&mut self, byte: u8, mark: u16) {
        if self.input.len() < INPUT_LIMIT {
            self.input.push_back(u16::from(byte) | mark);
        }
    }

    fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.erasing) {
            self.echo_raw(b'/');
        }
    }

    fn erase(&mut self, kind: Erase) {
        if self.input.len() == self.canon_len {
            return;
        }
        let echo = self.lflag(ECHO);
        if kind == Erase::Line {
            if !echo {
                self.input.truncate(self.canon_len);
                return;
            }
            if !self.lflag(ECHOK) || !self.lflag(ECHOKE) || !self.lflag(ECHOE) {
                self.input.truncate(self.canon_len);
                self.finish_erasing();
                self.echo_byte(self.termios.c_cc[VKILL]);
                // Whoever cannot erase the line on the display at least starts a new one.
                if self.lflag(ECHOK) {
                    self.echo_raw(b'\n');
                }
                return;
            }
        }
        let mut seen_word = false;
        while self.input.len() > self.canon_len {
            let mut head = self.input.len() - 1;
            while self.is_continuation(self.input[head] as u8) && head > self.canon_len {
                head -= 1;
            }
            let byte = self.input[head] as u8;
            if self.is_continuation(byte) {
                // The rest of a character whose start is not in this line: leave it.
                break;
            }
            if kind == Erase::Word {
                if is_alphanumeric(byte) || byte == b'_' {
                    seen_word = true;
                } else if seen_word {
                    break;
                }
            }
            let erased: Vec<u8> = self.input.drain(head..).map(|cell| cell as u8).collect();
            if echo {
                self.echo_erased(kind, byte, &erased);
            }
            if kind == Erase::Char {
                break;
            }
        }
        if self.input.len() == self.canon_len && echo {
            self.finish_erasing();
        }
    }

    /// Shows that one character, starting with `byte`, left the line.
    fn echo_erased(&mut self, kind: Erase, byte: u8, erased: &[u8]) {
        if self.lflag(ECHOPRT) {
            if !self.erasing {
                self.echo_raw(b'\\');
                self.erasing = true;
            }
            self.echo_byte(byte);
            for &rest in &erased[1..] {
                self.echo_raw(rest);
                self.echo_move_back_column();
            }
        } else if kind == Erase::Char && !self.lflag(ECHOE) {
            self.echo_byte(self.termios.c_cc[VERASE]);
        } else if byte == b'\t' {
            let (chars, after_tab) = self.columns_before_tab();
            self.echo_erase_tab(chars, after_tab);
        } else {
            if is_control(byte) && self.lflag(ECHOCTL) {
                self.echo_erase_column();
            }
            if !is_control(byte) || self.lflag(ECHOCTL) {
                self.echo_erase_column();
            }
        }
    }

    /// Columns from the previous tab (then true) or the line's start to the end of the line.
    fn columns_before_tab(&self) -> (u32, bool) {
        let mut columns = 0;
        for i in (self.canon_len..self.input.len()).rev() {
            let byte = self.input[i] as u8;
            if byte == b'\t' {
                return (columns, true);
            }
            if is_control(byte) {
                if self.lflag(ECHOCTL) {
                    columns += 2;
                }
            } else if !self.is_continuation(byte) {
                columns += 1;
            }
        }
        (columns, false)
    }
}
