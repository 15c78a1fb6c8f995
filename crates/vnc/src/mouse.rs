//! What a terminal sends for the mouse: xterm's reports.

use crate::keys::Held;
use vt100::{MouseProtocolEncoding as Encoding, MouseProtocolMode as Mode};

/// RFB's buttons from the lowest bit, in xterm's numbers: left, middle, right, wheel up, wheel down.
const BUTTONS: [u8; 5] = [0, 1, 2, 64, 65];
/// The number of no button, when the mouse moves.
const NONE: u8 = 3;

/// Where the mouse is and which buttons are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mouse {
    pub(crate) buttons: u8,
    /// The cell, from 0.
    pub(crate) col: u16,
    pub(crate) row: u16,
}

impl Mouse {
    /// Whether the middle button has gone down since.
    pub(crate) fn pastes(self, now: Self) -> bool {
        now.buttons & !self.buttons & 2 != 0
    }

    /// What is sent when it becomes `now`.
    pub(crate) fn reports(self, now: Self, mode: Mode, encoding: Encoding, held: Held) -> Vec<u8> {
        let mut out = Vec::new();
        if mode == Mode::None {
            return out;
        }
        let modifiers = if mode == Mode::Press {
            0
        } else {
            held.mouse_number()
        };
        let mut report = |number: u8, pressed: bool| {
            let number = number + modifiers;
            let (col, row) = (u32::from(now.col) + 1, u32::from(now.row) + 1);
            if encoding == Encoding::Sgr {
                let last = if pressed { 'M' } else { 'm' };
                out.extend(format!("\x1b[<{number};{col};{row}{last}").into_bytes());
                return;
            }
            // Otherwise a release does not say of what.
            let number = if pressed { number } else { NONE + modifiers };
            let values = [u32::from(number) + 32, col + 32, row + 32];
            // Cells that are too far away for the encoding are not told.
            let most = if encoding == Encoding::Utf8 {
                0x7ff
            } else {
                0xff
            };
            if values.iter().any(|v| *v > most) {
                return;
            }
            out.extend(b"\x1b[M");
            for value in values {
                match char::from_u32(value) {
                    Some(c) if encoding == Encoding::Utf8 => {
                        out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    _ => out.push(value as u8),
                }
            }
        };
        for (bit, number) in BUTTONS.into_iter().enumerate() {
            let (was, is) = (self.buttons >> bit & 1 != 0, now.buttons >> bit & 1 != 0);
            // The wheel's clicks have no end.
            let releases = mode != Mode::Press && number < 64;
            if was != is && (is || releases) {
                report(number, is);
            }
        }
        let moved = (self.col, self.row) != (now.col, now.row);
        let held_button = BUTTONS[..3]
            .iter()
            .enumerate()
            .find(|(bit, _)| now.buttons >> bit & 1 != 0)
            .map(|(_, number)| *number);
        let told = match mode {
            Mode::AnyMotion => true,
            Mode::ButtonMotion => held_button.is_some(),
            _ => false,
        };
        if moved && told && self.buttons == now.buttons {
            report(32 + held_button.unwrap_or(NONE), true);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(buttons: u8, col: u16, row: u16) -> Mouse {
        Mouse { buttons, col, row }
    }

    #[test]
    fn reports_are_xterms() {
        let mut held = Held::default();
        let none = at(0, 0, 0);
        let sgr =
            |a: Mouse, b, mode| String::from_utf8(a.reports(b, mode, Encoding::Sgr, held)).unwrap();
        assert_eq!(sgr(none, at(1, 4, 2), Mode::None), "");
        assert_eq!(sgr(none, at(1, 4, 2), Mode::PressRelease), "\x1b[<0;5;3M");
        assert_eq!(sgr(at(4, 4, 2), at(0, 4, 2), Mode::Press), "");
        assert_eq!(sgr(at(4, 4, 2), none, Mode::PressRelease), "\x1b[<2;1;1m");
        assert_eq!(sgr(none, at(8, 0, 0), Mode::PressRelease), "\x1b[<64;1;1M");
        assert_eq!(sgr(at(8, 0, 0), none, Mode::PressRelease), "");
        assert_eq!(sgr(none, at(0, 1, 0), Mode::ButtonMotion), "");
        assert_eq!(sgr(none, at(0, 1, 0), Mode::AnyMotion), "\x1b[<35;2;1M");
        let dragged = sgr(at(1, 0, 0), at(1, 1, 0), Mode::ButtonMotion);
        assert_eq!(dragged, "\x1b[<32;2;1M");
        let old = |b, encoding| none.reports(b, Mode::PressRelease, encoding, held);
        assert_eq!(old(at(1, 4, 2), Encoding::Default), b"\x1b[M %#");
        assert_eq!(old(at(1, 300, 2), Encoding::Default), b"");
        let far = "\x1b[M \u{14d}#";
        assert_eq!(old(at(1, 300, 2), Encoding::Utf8), far.as_bytes());
        assert_eq!(
            at(2, 0, 0).reports(none, Mode::PressRelease, Encoding::Default, held),
            b"\x1b[M#!!"
        );
        held.key(0xffe3, true, false);
        let with_control = none.reports(at(1, 0, 0), Mode::PressRelease, Encoding::Sgr, held);
        assert_eq!(with_control, b"\x1b[<16;1;1M");
        assert!(none.pastes(at(2, 0, 0)) && !at(2, 0, 0).pastes(at(2, 1, 0)));
    }
}
