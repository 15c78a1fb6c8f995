//! Echo: operations that are queued while input is processed and shown at its end, or when
//! stopped output resumes.

use tuxlet_uapi::termios::*;

use crate::{Ldisc, output::is_control};

/// Queued echo operations before they are shown while input still goes on.
const COMMIT_WATERMARK: usize = 256;
/// Most operations kept while output is stopped; the oldest are lost.
const ECHO_LIMIT: usize = 4096;

/// One echo operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Echo {
    /// A byte through output processing.
    Byte(u8),
    /// A control character as `^X`.
    Control(u8),
    /// The cursor is one column further left than counted.
    MoveBackColumn,
    /// The edited line starts at the current column.
    SetCanonColumn,
    /// Backspaces over a tab; `chars` columns stand between it and the previous tab
    /// (`after_tab`) or the start of the line.
    EraseTab { chars: u32, after_tab: bool },
}

impl Ldisc {
    fn push_echo(&mut self, op: Echo) {
        if self.echo.len() == ECHO_LIMIT {
            self.echo.pop_front();
        }
        self.echo.push_back(op);
        self.echo_tried = false;
    }

    /// Echoes a byte as it is (but for `OPOST`).
    pub(crate) fn echo_raw(&mut self, byte: u8) {
        self.push_echo(Echo::Byte(byte));
    }

    /// Echoes a byte, control characters as `^X` if `ECHOCTL`.
    pub(crate) fn echo_byte(&mut self, byte: u8) {
        if self.lflag(ECHOCTL) && is_control(byte) && byte != b'\t' {
            self.push_echo(Echo::Control(byte));
        } else {
            self.push_echo(Echo::Byte(byte));
        }
    }

    pub(crate) fn echo_move_back_column(&mut self) {
        self.push_echo(Echo::MoveBackColumn);
    }

    pub(crate) fn echo_set_canon_column(&mut self) {
        self.push_echo(Echo::SetCanonColumn);
    }

    pub(crate) fn echo_erase_tab(&mut self, chars: u32, after_tab: bool) {
        self.push_echo(Echo::EraseTab {
            chars: chars & 7,
            after_tab,
        });
    }

    /// `\b \b`.
    pub(crate) fn echo_erase_column(&mut self) {
        for byte in *b"\x08 \x08" {
            self.echo_raw(byte);
        }
    }

    /// Shows queued echo if much of it has come together.
    pub(crate) fn commit_echoes(&mut self, out: &mut Vec<u8>) {
        if self.echo.len() >= COMMIT_WATERMARK {
            self.process_echoes(out);
        }
    }

    /// Shows queued echo unless output is stopped.
    pub(crate) fn process_echoes(&mut self, out: &mut Vec<u8>) {
        self.echo_tried = true;
        if self.stopped() {
            return;
        }
        while let Some(op) = self.echo.pop_front() {
            match op {
                Echo::Byte(0xff) => {
                    // Linux marks its echo operations with this byte; the byte itself is
                    // escaped and so passes by output processing.
                    out.push(0xff);
                    self.column = self.column.wrapping_add(1);
                }
                Echo::Byte(byte) if self.oflag(OPOST) => {
                    // Echo is bounded by the input, so it needs no room of its own.
                    self.output_byte(byte, usize::MAX, out);
                }
                Echo::Byte(byte) => out.push(byte),
                Echo::Control(byte) => {
                    out.extend_from_slice(&[b'^', byte ^ 0o100]);
                    self.column = self.column.wrapping_add(2);
                }
                Echo::MoveBackColumn => self.column = self.column.saturating_sub(1),
                Echo::SetCanonColumn => self.canon_column = self.column,
                Echo::EraseTab { chars, after_tab } => {
                    let at = if after_tab {
                        chars
                    } else {
                        chars.wrapping_add(self.canon_column)
                    };
                    for _ in 0..8 - (at & 7) {
                        out.push(0x08);
                        self.column = self.column.saturating_sub(1);
                    }
                }
            }
        }
    }
}
