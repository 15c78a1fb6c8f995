//! The RFB protocol, versions 3.3, 3.7 and 3.8: RFC 6143.

use crate::screen::Rgb;
use des::{
    Des,
    cipher::{BlockEncrypt, KeyInit, generic_array::GenericArray},
};
use std::io::{self, Read, Write};

/// VNC authentication.
const VNC_AUTH: u8 = 2;
const RAW: i32 = 0;
const ZRLE: i32 = 16;
const CURSOR: i32 = -239;
const DESKTOP_SIZE: i32 = -223;
const EXTENDED_DESKTOP_SIZE: i32 = -308;
/// Bytes that a client may put on the clipboard.
const MAX_CUT_TEXT: u32 = 1 << 20;

/// What a viewer has to know: the protocol takes its first eight bytes.
#[derive(Clone)]
pub struct Password([u8; 8]);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// Of somebody's own: 6 to 8 printable ASCII characters; white space around it does not count.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if !(6..=8).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a VNC password has 6 to 8 printable ASCII characters".to_owned());
        }
        let mut bytes = [0; 8];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }

    /// A new random one, and its text.
    ///
    /// # Errors
    /// The host gives no random bytes.
    pub fn random() -> io::Result<(Self, String)> {
        // Without those that look like others: 32 of them, 40 bits.
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let bytes = bytes.map(|b| LETTERS[usize::from(b % 32)]);
        let text = bytes.iter().map(|b| char::from(*b)).collect();
        Ok((Self(bytes), text))
    }

    /// The answer to a challenge: DES, with the bits of each byte of the key the other way round.
    fn answer(&self, challenge: &[u8; 16]) -> [u8; 16] {
        let key = self.0.map(u8::reverse_bits);
        let cipher = Des::new(GenericArray::from_slice(&key));
        let mut answer = *challenge;
        for block in answer.chunks_exact_mut(8) {
            cipher.encrypt_block(GenericArray::from_mut_slice(block));
        }
        answer
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// How a pixel is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelFormat {
    bits: u8,
    depth: u8,
    big_endian: bool,
    max: [u16; 3],
    shift: [u8; 3],
}

impl PixelFormat {
    /// The server's own: 32 bits, red in the third byte.
    pub(crate) const NATURAL: Self = Self {
        bits: 32,
        depth: 24,
        big_endian: false,
        max: [255; 3],
        shift: [16, 8, 0],
    };

    fn encode(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[0] = self.bits;
        out[1] = self.depth;
        out[2] = u8::from(self.big_endian);
        out[3] = 1;
        for (at, max) in self.max.iter().enumerate() {
            out[4 + 2 * at..6 + 2 * at].copy_from_slice(&max.to_be_bytes());
        }
        out[10..13].copy_from_slice(&self.shift);
        out
    }

    fn decode(bytes: &[u8; 16]) -> io::Result<Self> {
        if bytes[3] == 0 {
            return Err(invalid("a colour map instead of true colour"));
        }
        if ![8, 16, 32].contains(&bytes[0]) {
            return Err(invalid("a pixel has 8, 16 or 32 bits"));
        }
        let max = [4, 6, 8].map(|at| u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        let shift = [bytes[10], bytes[11], bytes[12]];
        if shift.iter().any(|s| *s >= bytes[0]) {
            return Err(invalid("a colour lies outside of its pixel"));
        }
        Ok(Self {
            bits: bytes[0],
            depth: bytes[1],
            big_endian: bytes[2] != 0,
            max,
            shift,
        })
    }

    fn value(self, pixel: Rgb) -> u32 {
        let mut value = 0;
        for ((part, max), shift) in pixel.into_iter().zip(self.max).zip(self.shift) {
            let part = (u32::from(part) * u32::from(max) + 127) / 255;
            value |= part << shift;
        }
        value
    }

    /// Appends a pixel.
    pub(crate) fn put(self, pixel: Rgb, out: &mut Vec<u8>) {
        let bytes = self.value(pixel).to_be_bytes();
        self.put_bytes(&bytes[4 - usize::from(self.bits / 8)..], out);
    }

    /// Appends a pixel without the byte that has no colour in it, if there is one: a CPIXEL.
    pub(crate) fn put_compact(self, pixel: Rgb, out: &mut Vec<u8>) {
        let colours = self.max.iter().zip(self.shift);
        let used = colours.fold(0, |used, (max, shift)| used | u64::from(*max) << shift);
        let bytes = self.value(pixel).to_be_bytes();
        match () {
            () if self.bits != 32 || self.depth > 24 => self.put(pixel, out),
            () if used >> 24 == 0 => self.put_bytes(&bytes[1..], out),
            () if used & 0xff == 0 && used >> 32 == 0 => self.put_bytes(&bytes[..3], out),
            () => self.put(pixel, out),
        }
    }

    fn put_bytes(self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.big_endian {
            out.extend_from_slice(bytes);
        } else {
            out.extend(bytes.iter().rev());
        }
    }
}

/// What a client understands, of that which is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encodings {
    /// Compressed pixels (ZRLE).
    pub(crate) zrle: bool,
    /// The form of the mouse's pointer.
    pub(crate) cursor: bool,
    /// That the screen has another size.
    pub(crate) desktop_size: bool,
    /// The same, and asking for it.
    pub(crate) extended_desktop_size: bool,
}

/// A part of the screen in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) x: u16,
    pub(crate) y: u16,
    pub(crate) width: u16,
    pub(crate) height: u16,
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Format(PixelFormat),
    /// Wants the area, or what changes in it.
    Update {
        incremental: bool,
        area: Area,
    },
    Key {
        down: bool,
        key: u32,
    },
    Encodings(Encodings),
    Pointer {
        /// Which of the buttons are held, from the lowest bit: left, middle, right, wheel up, wheel down.
        buttons: u8,
        x: u16,
        y: u16,
    },
    /// What the client has put on its clipboard.
    CutText(String),
    /// Wants a screen of this size.
    Size {
        width: u16,
        height: u16,
    },
}

impl Message {
    /// Reads a message to its end. What is longer than makes sense is an error, before it is read.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let [kind] = array(from)?;
        match kind {
            0 => {
                let body: [u8; 19] = array(from)?;
                let mut format = [0; 16];
                format.copy_from_slice(&body[3..]);
                Ok(Self::Format(PixelFormat::decode(&format)?))
            }
            2 => {
                let [_, high, low] = array(from)?;
                let mut encodings = Encodings::default();
                for _ in 0..u16::from_be_bytes([high, low]) {
                    match i32::from_be_bytes(array(from)?) {
                        ZRLE => encodings.zrle = true,
                        CURSOR => encodings.cursor = true,
                        DESKTOP_SIZE => encodings.desktop_size = true,
                        EXTENDED_DESKTOP_SIZE => encodings.extended_desktop_size = true,
                        _ => {}
                    }
                }
                Ok(Self::Encodings(encodings))
            }
            3 => {
                let b: [u8; 9] = array(from)?;
                let number = |at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
                let area = Area {
                    x: number(1),
                    y: number(3),
                    width: number(5),
                    height: number(7),
                };
                Ok(Self::Update {
                    incremental: b[0] != 0,
                    area,
                })
            }
            4 => {
                let b: [u8; 7] = array(from)?;
                let key = u32::from_be_bytes([b[3], b[4], b[5], b[6]]);
                Ok(Self::Key {
                    down: b[0] != 0,
                    key,
                })
            }
            5 => {
                let [buttons, x, x_low, y, y_low] = array(from)?;
                Ok(Self::Pointer {
                    buttons,
                    x: u16::from_be_bytes([x, x_low]),
                    y: u16::from_be_bytes([y, y_low]),
                })
            }
            6 => {
                let b: [u8; 7] = array(from)?;
                let length = u32::from_be_bytes([b[3], b[4], b[5], b[6]]);
                if length > MAX_CUT_TEXT {
                    return Err(invalid("too much text for the clipboard"));
                }
                let mut text = vec![0; length as usize];
                from.read_exact(&mut text)?;
                // Its characters are those of Latin-1.
                Ok(Self::CutText(text.into_iter().map(char::from).collect()))
            }
            251 => {
                let [_, w, w_low, h, h_low, screens, _] = array(from)?;
                // How it is spread over the client's displays, which makes no difference here.
                for _ in 0..screens {
                    array::<16>(from)?;
                }
                Ok(Self::Size {
                    width: u16::from_be_bytes([w, w_low]),
                    height: u16::from_be_bytes([h, h_low]),
                })
            }
            _ => Err(invalid("a message of no kind that is known")),
        }
    }
}

/// Reads messages of a client until they end or make no sense, and draws pixels in the formats that they ask for: for fuzzing.
pub fn read_all(mut bytes: &[u8]) {
    let mut out = Vec::new();
    while let Ok(message) = Message::read(&mut bytes) {
        if let Message::Format(format) = message {
            format.put([255, 128, 1], &mut out);
            format.put_compact([255, 128, 1], &mut out);
        }
    }
}

/// What a client learns of the screen before anything of it.
pub(crate) struct Hello<'a> {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) name: &'a str,
}

/// The first part of the conversation; `false`: the password was wrong. `refused` is called before a client learns that.
pub(crate) fn authenticate(
    stream: &mut (impl Read + Write),
    password: &Password,
    refused: impl FnOnce(),
) -> io::Result<bool> {
    stream.write_all(b"RFB 003.008\n")?;
    let version: [u8; 12] = array(stream)?;
    let minor = match &version {
        b"RFB 003.003\n" | b"RFB 003.005\n" => 3,
        b"RFB 003.007\n" => 7,
        b"RFB 003.008\n" => 8,
        _ => return Err(invalid("not the RFB protocol")),
    };
    if minor == 3 {
        stream.write_all(&u32::from(VNC_AUTH).to_be_bytes())?;
    } else {
        stream.write_all(&[1, VNC_AUTH])?;
        if array(stream)? != [VNC_AUTH] {
            return Err(invalid("the client wants no password"));
        }
    }
    let mut challenge = [0; 16];
    getrandom::fill(&mut challenge).map_err(io::Error::other)?;
    stream.write_all(&challenge)?;
    let given: [u8; 16] = array(stream)?;
    let differing = password
        .answer(&challenge)
        .iter()
        .zip(given)
        .fold(0, |d, (a, b)| d | (a ^ b));
    if std::hint::black_box(differing) != 0 {
        refused();
        stream.write_all(&1u32.to_be_bytes())?;
        if minor == 8 {
            let reason = b"the password is wrong";
            stream.write_all(&(reason.len() as u32).to_be_bytes())?;
            stream.write_all(reason)?;
        }
        return Ok(false);
    }
    stream.write_all(&0u32.to_be_bytes())?;
    // Whether others may look, too: they may.
    let _: [u8; 1] = array(stream)?;
    Ok(true)
}

/// The second part: what the screen is.
pub(crate) fn welcome(stream: &mut impl Write, hello: &Hello<'_>) -> io::Result<()> {
    let mut init = Vec::new();
    init.extend(hello.width.to_be_bytes());
    init.extend(hello.height.to_be_bytes());
    init.extend(PixelFormat::NATURAL.encode());
    init.extend((hello.name.len() as u32).to_be_bytes());
    init.extend(hello.name.as_bytes());
    stream.write_all(&init)
}

/// Why a client is told the size of the screen, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resized {
    /// It could not know it yet.
    News,
    /// It has asked for it.
    AsWanted,
    /// Another one has asked for it.
    ByOther,
    /// It has asked for one that cannot be.
    Refused,
}

/// A part of an update.
#[derive(Debug)]
pub(crate) enum Part {
    /// An area with its pixels, line by line.
    Pixels(Area, Vec<Rgb>),
    /// The form of the mouse's pointer.
    Cursor,
    /// The size of the screen, for clients that know only that.
    DesktopSize(u16, u16),
    ExtendedDesktopSize(u16, u16, Resized),
}

/// What a client gets: its format, and the state of compression.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    zrle: crate::zrle::Encoder,
}

impl Writer {
    /// An update of the screen.
    pub(crate) fn update(
        &mut self,
        parts: &[Part],
        format: PixelFormat,
        encodings: Encodings,
    ) -> io::Result<Vec<u8>> {
        let mut out = vec![0, 0];
        out.extend((parts.len() as u16).to_be_bytes());
        let head = |out: &mut Vec<u8>, numbers: [u16; 4], encoding: i32| {
            out.extend(numbers.into_iter().flat_map(u16::to_be_bytes));
            out.extend(encoding.to_be_bytes());
        };
        for part in parts {
            match part {
                Part::Pixels(area, pixels) => {
                    let numbers = [area.x, area.y, area.width, area.height];
                    if encodings.zrle {
                        head(&mut out, numbers, ZRLE);
                        let bytes = self.zrle.encode(pixels, area.width.into(), format)?;
                        out.extend((bytes.len() as u32).to_be_bytes());
                        out.extend(bytes);
                    } else {
                        head(&mut out, numbers, RAW);
                        pixels.iter().for_each(|p| format.put(*p, &mut out));
                    }
                }
                Part::Cursor => {
                    let (hot, size) = (pointer::HOT_SPOT, pointer::SIZE);
                    head(&mut out, [hot.0, hot.1, size.0, size.1], CURSOR);
                    pointer::put(format, &mut out);
                }
                Part::DesktopSize(width, height) => {
                    head(&mut out, [0, 0, *width, *height], DESKTOP_SIZE);
                }
                Part::ExtendedDesktopSize(width, height, resized) => {
                    let (reason, status) = match resized {
                        Resized::News => (0, 0),
                        Resized::AsWanted => (1, 0),
                        Resized::ByOther => (2, 0),
                        // "Invalid screen layout".
                        Resized::Refused => (1, 3),
                    };
                    let numbers = [reason, status, *width, *height];
                    head(&mut out, numbers, EXTENDED_DESKTOP_SIZE);
                    // One screen, with the number 0, all over it.
                    out.extend([1, 0, 0, 0]);
                    out.extend([0; 8]);
                    out.extend([*width, *height].into_iter().flat_map(u16::to_be_bytes));
                    out.extend([0; 4]);
                }
            }
        }
        Ok(out)
    }
}

/// A sound.
pub(crate) const BELL: [u8; 1] = [2];

/// Text for the client's clipboard. Characters that Latin-1 has not are question marks.
pub(crate) fn cut_text(text: &str) -> Vec<u8> {
    let latin = text.chars().map(|c| u8::try_from(c).unwrap_or(b'?'));
    let latin: Vec<u8> = latin.collect();
    let mut out = vec![3, 0, 0, 0];
    out.extend((latin.len() as u32).to_be_bytes());
    out.extend(latin);
    out
}

/// The mouse's pointer: a line between letters.
mod pointer {
    use super::PixelFormat;

    const PICTURE: [&[u8; 8]; 16] = [
        b"..##.##.",
        b".#oo#oo#",
        b"..##o##.",
        b"...#o#..",
        b"...#o#..",
        b"...#o#..",
        b"...#o#..",
        b"...#o#..",
        b"...#o#..",
        b"...#o#..",
        b"...#o#..",
        b"...#o#..",
        b"...#o#..",
        b"..##o##.",
        b".#oo#oo#",
        b"..##.##.",
    ];
    /// Width and height.
    pub(super) const SIZE: (u16, u16) = (8, PICTURE.len() as u16);
    pub(super) const HOT_SPOT: (u16, u16) = (4, 8);

    /// Its pixels, and which of them count.
    pub(super) fn put(format: PixelFormat, out: &mut Vec<u8>) {
        for pixel in PICTURE.iter().flat_map(|line| line.iter()) {
            format.put(if *pixel == b'o' { [255; 3] } else { [0; 3] }, out);
        }
        for line in PICTURE {
            let bits = line.iter().fold(0, |b, p| b << 1 | u8::from(*p != b'.'));
            out.push(bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_answer_as_other_implementations_do() {
        // DES with the key 0e329232ea6d0d73 makes zeros of this (FIPS 81's example), bits turned round.
        let key = [0x0e, 0x32, 0x92, 0x32, 0xea, 0x6d, 0x0d, 0x73].map(u8::reverse_bits);
        let mut challenge = [0; 16];
        let half = [0x87; 8];
        challenge[..8].copy_from_slice(&half);
        challenge[8..].copy_from_slice(&half);
        assert_eq!(Password(key).answer(&challenge), [0; 16]);
        assert!(Password::new("short").is_err());
        assert!(Password::new("too long for it").is_err());
        assert!(Password::new(" secret7\n").is_ok());
        let (password, text) = Password::random().unwrap();
        assert_eq!(Password::new(&text).unwrap().0, password.0);
    }

    #[test]
    fn messages_are_read_and_nonsense_is_refused() {
        let mut bytes: &[u8] = &[
            4, 1, 0, 0, 0, 0, 0xff, 0x0d, 5, 0, 0, 1, 0, 2, 2, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 16,
            0xff, 0xff, 0xfe, 0xcc, 6, 0, 0, 0, 0, 0, 0, 2, b'g', 0xfc, 251, 0, 1, 0, 0, 7, 1, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 7, 0, 0, 0, 0, 3, 1, 0, 1, 0, 2, 0, 3, 0, 4,
        ];
        let key = Message::Key {
            down: true,
            key: 0xff0d,
        };
        assert_eq!(Message::read(&mut bytes).unwrap(), key);
        let pointer = Message::Pointer {
            buttons: 0,
            x: 1,
            y: 2,
        };
        assert_eq!(Message::read(&mut bytes).unwrap(), pointer);
        let encodings = Encodings {
            zrle: true,
            extended_desktop_size: true,
            ..Encodings::default()
        };
        let encodings = Message::Encodings(encodings);
        assert_eq!(Message::read(&mut bytes).unwrap(), encodings);
        let text = Message::CutText("g\u{fc}".to_owned());
        assert_eq!(Message::read(&mut bytes).unwrap(), text);
        let size = Message::Size {
            width: 256,
            height: 7,
        };
        assert_eq!(Message::read(&mut bytes).unwrap(), size);
        let area = Area {
            x: 1,
            y: 2,
            width: 3,
            height: 4,
        };
        assert_eq!(
            Message::read(&mut bytes).unwrap(),
            Message::Update {
                incremental: true,
                area
            }
        );
        assert!(Message::read(&mut bytes).is_err());
        for wrong in [
            &[9][..],
            &[6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            &[2, 0, 0, 9, 0],
            &[251, 0, 1, 0, 0, 7, 1, 0, 0],
            // No true colour, 24 bits, a shift out of the pixel.
            &[0, 0, 0, 0, 8, 8, 0, 0, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0],
            &[
                0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0,
            ],
            &[0, 0, 0, 0, 8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 8, 0, 0, 0],
        ] {
            assert!(Message::read(&mut &*wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pixels_are_written_in_the_clients_format() {
        let decode = |bytes: [u8; 16]| PixelFormat::decode(&bytes).unwrap();
        let put = |format: PixelFormat| {
            let mut out = Vec::new();
            format.put([255, 128, 0], &mut out);
            out
        };
        assert_eq!(decode(PixelFormat::NATURAL.encode()), PixelFormat::NATURAL);
        assert_eq!(put(PixelFormat::NATURAL), [0, 128, 255, 0]);
        let r5g6b5 = decode([16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0]);
        assert_eq!(put(r5g6b5), (31u16 << 11 | 32 << 5).to_be_bytes());
        let bgr233 = decode([8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0]);
        assert_eq!(put(bgr233), [7 | 4 << 3]);
        let compact = |format: PixelFormat| {
            let mut out = Vec::new();
            format.put_compact([255, 128, 0], &mut out);
            out
        };
        assert_eq!(compact(PixelFormat::NATURAL), [0, 128, 255]);
        let rgbx = decode([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 24, 16, 8, 0, 0, 0]);
        assert_eq!(compact(rgbx), [0, 128, 255]);
        let deep = decode([32, 32, 0, 1, 0, 255, 0, 255, 0, 255, 24, 16, 8, 0, 0, 0]);
        assert_eq!(compact(deep), [0, 0, 128, 255]);
        assert_eq!(compact(bgr233), [7 | 4 << 3]);
    }
}
