//! Output processing: `OPOST` and the column of the cursor.

use tuxlet_uapi::termios::*;

use crate::Ldisc;

/// `iscntrl` of the kernel: bytes from 128 on are not control characters.
pub(crate) const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// `tolower` of the kernel, whose character table is Latin-1.
pub(crate) const fn to_lower(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 0x20,
        _ => byte,
    }
}

/// `toupper` of the kernel, whose character table is Latin-1.
const fn to_upper(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | 0xdf..=0xf6 | 0xf8..=0xff => byte - 0x20,
        _ => byte,
    }
}

impl Ldisc {
    /// Processes a program's output into `out`, which may grow by up to `room` bytes.
    ///
    /// Returns how many bytes of `bytes` were taken: fewer than all if the room is used up
    /// or output is stopped. The caller waits and tries again with the rest.
    pub fn write(&mut self, bytes: &[u8], room: usize, out: &mut Vec<u8>) -> usize {
        if self.stopped() {
            return 0;
        }
        self.process_echoes(out);
        if !self.oflag(OPOST) {
            let n = bytes.len().min(room);
            out.extend_from_slice(&bytes[..n]);
            return n;
        }
        let end = out.len() + room;
        for (i, &byte) in bytes.iter().enumerate() {
            let room = end.saturating_sub(out.len());
            if !self.output_byte(byte, room, out) {
                return i;
            }
        }
        bytes.len()
    }

    /// One byte through `OPOST`; false (and nothing done) if it does not fit into `room`.
    pub(crate) fn output_byte(&mut self, byte: u8, room: usize, out: &mut Vec<u8>) -> bool {
        if room == 0 {
            return false;
        }
        let mut byte = byte;
        match byte {
            b'\n' => {
                if self.oflag(ONLRET) {
                    self.column = 0;
                }
                if self.oflag(ONLCR) {
                    if room < 2 {
                        return false;
                    }
                    self.column = 0;
                    self.canon_column = 0;
                    out.extend_from_slice(b"\r\n");
                    return true;
                }
                self.canon_column = self.column;
            }
            b'\r' => {
                if self.oflag(ONOCR) && self.column == 0 {
                    return true;
                }
                if self.oflag(OCRNL) {
                    byte = b'\n';
                    if self.oflag(ONLRET) {
                        self.column = 0;
                        self.canon_column = 0;
                    }
                } else {
                    self.column = 0;
                    self.canon_column = 0;
                }
            }
            b'\t' => {
                let spaces = 8 - (self.column & 7);
                if self.termios.c_oflag & TABDLY == XTABS {
                    if room < spaces as usize {
                        return false;
                    }
                    self.column = self.column.wrapping_add(spaces);
                    out.resize(out.len() + spaces as usize, b' ');
                    return true;
                }
                self.column = self.column.wrapping_add(spaces);
            }
            0x08 => self.column = self.column.saturating_sub(1),
            _ if is_control(byte) => {}
            _ => {
                if self.oflag(OLCUC) {
                    byte = to_upper(byte);
                }
                if !self.is_continuation(byte) {
                    self.column = self.column.wrapping_add(1);
                }
            }
        }
        out.push(byte);
        true
    }

    /// Whether `byte` continues a UTF-8 sequence, on a terminal that speaks UTF-8.
    pub(crate) fn is_continuation(&self, byte: u8) -> bool {
        self.iflag(IUTF8) && byte & 0xc0 == 0x80
    }
}
