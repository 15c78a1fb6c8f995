//! Keys of X11, as viewers send them, and what a terminal sends for them.

/// Which modifiers are held.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    shift: bool,
    control: bool,
    alt: bool,
}

impl Held {
    /// What xterm adds to the sequences of function keys, 1 being nothing.
    fn number(self) -> u8 {
        1 + u8::from(self.shift) + 2 * u8::from(self.alt) + 4 * u8::from(self.control)
    }

    /// What xterm adds to the numbers of the mouse's buttons.
    pub(crate) fn mouse_number(self) -> u8 {
        4 * u8::from(self.shift) + 8 * u8::from(self.alt) + 16 * u8::from(self.control)
    }

    /// Whether a key that goes down pastes: Shift and Insert.
    pub(crate) fn pastes(self, key: u32) -> bool {
        self.shift && matches!(key, 0xff63 | 0xff9e)
    }

    /// A key goes down or up: what is sent. Numbers of keys are those of X11's keysymdef.h.
    pub(crate) fn key(&mut self, key: u32, down: bool, application: bool) -> Vec<u8> {
        let modifier = match key {
            0xffe1 | 0xffe2 => Some(&mut self.shift),
            0xffe3 | 0xffe4 => Some(&mut self.control),
            0xffe7..=0xffea => Some(&mut self.alt),
            _ => None,
        };
        if let Some(modifier) = modifier {
            *modifier = down;
            return Vec::new();
        }
        if !down {
            return Vec::new();
        }
        // Those of the cursor: CSI or SS3 and a letter.
        let letter = match key {
            0xff50 | 0xff95 => Some('H'),
            0xff51 | 0xff96 => Some('D'),
            0xff52 | 0xff97 => Some('A'),
            0xff53 | 0xff98 => Some('C'),
            0xff54 | 0xff99 => Some('B'),
            0xff57 | 0xff9c => Some('F'),
            _ => None,
        };
        if let Some(letter) = letter {
            return match (self.number(), application) {
                (1, true) => format!("\x1bO{letter}"),
                (1, false) => format!("\x1b[{letter}"),
                (n, _) => format!("\x1b[1;{n}{letter}"),
            }
            .into_bytes();
        }
        // CSI, a number and a tilde; F1 to F4 are older.
        let number = match key {
            0xff63 | 0xff9e => 2,
            0xffff | 0xff9f => 3,
            0xff55 | 0xff9a => 5,
            0xff56 | 0xff9b => 6,
            0xffc2 => 15,
            0xffc3..=0xffc6 => key - 0xffc3 + 17,
            0xffc7 => 21,
            0xffc8 => 23,
            0xffc9 => 24,
            _ => 0,
        };
        if number != 0 {
            return match self.number() {
                1 => format!("\x1b[{number}~"),
                n => format!("\x1b[{number};{n}~"),
            }
            .into_bytes();
        }
        if let first @ 0xffbe..=0xffc1 = key {
            let letter = char::from(b'P' + (first - 0xffbe) as u8);
            return match self.number() {
                1 => format!("\x1bO{letter}"),
                n => format!("\x1b[1;{n}{letter}"),
            }
            .into_bytes();
        }
        let text = match key {
            0xff08 => "\x7f".to_owned(),
            0xff09 if self.shift => return b"\x1b[Z".to_vec(),
            0xff09 => "\t".to_owned(),
            0xfe20 => return b"\x1b[Z".to_vec(),
            0xff0d | 0xff8d => "\r".to_owned(),
            0xff1b => "\x1b".to_owned(),
            // The keypad.
            0xffaa..=0xffb9 => char::from((key - 0xff80) as u8).to_string(),
            0x20..=0x7e | 0xa0..=0xff => char::from_u32(key).map_or_else(String::new, String::from),
            0x0100_0000..=0x0110_ffff => {
                char::from_u32(key - 0x0100_0000).map_or_else(String::new, String::from)
            }
            _ => return Vec::new(),
        };
        let mut bytes = text.into_bytes();
        if self.control
            && let [byte @ (b' ' | b'@'..=b'~')] = bytes[..]
        {
            bytes[0] = byte & 0x1f;
        }
        if self.alt && !bytes.is_empty() {
            bytes.insert(0, 0x1b);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_xterm_sends() {
        let mut held = Held::default();
        let mut press = |key| held.key(key, true, false);
        assert_eq!(press(0x61), b"a");
        assert_eq!(press(0xe9), "é".as_bytes());
        assert_eq!(press(0x0100_20ac), "€".as_bytes());
        assert_eq!(press(0xff52), b"\x1b[A");
        assert_eq!(press(0xff0d), b"\r");
        assert_eq!(press(0xffbe), b"\x1bOP");
        assert_eq!(press(0xffc2), b"\x1b[15~");
        assert_eq!(press(0xffc3), b"\x1b[17~");
        assert_eq!(press(0xffc6), b"\x1b[20~");
        assert_eq!(press(0xffb7), b"7");
        assert_eq!(press(0x0110_ffff + 1), b"");
        assert_eq!(press(0xffe3), b"");
        assert_eq!(press(0x63), b"\x03");
        assert_eq!(press(0xff51), b"\x1b[1;5D");
        assert_eq!(held.key(0xffe3, false, false), b"");
        assert_eq!(held.key(0xff51, true, true), b"\x1bOD");
        assert_eq!(held.key(0x63, false, false), b"");
    }
}
