//! What a terminal shows: cells, which of them have changed, and their picture.

use crate::font::{BadSize, Font};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::num::NonZeroU16;
use vt100::{Callbacks, Color, Parser};

/// Red, green, blue.
pub(crate) type Rgb = [u8; 3];

const FOREGROUND: Rgb = [0xd8, 0xd8, 0xd8];
pub(crate) const BACKGROUND: Rgb = [0x1b, 0x1d, 0x1e];
/// The first sixteen colours, as xterm has them by default.
const COLOURS: [Rgb; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0x3b, 0x6f, 0xe0],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 132, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

/// A character cell as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// A space for the right half of a wide character.
    text: char,
    ink: Rgb,
    paper: Rgb,
    bold: bool,
    underline: bool,
    /// It covers the cell to its right, too.
    wide: bool,
    /// It is the right half of the one to its left.
    right_half: bool,
}

/// What a program has printed that is not on the screen.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// What the terminal answers.
    pub(crate) replies: Vec<u8>,
    /// It wants to be heard.
    pub(crate) bell: bool,
    /// It has filled the clipboard (OSC 52).
    pub(crate) copied: Option<String>,
}

impl Callbacks for Said {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.bell = true;
    }

    fn copy_to_clipboard(&mut self, _: &mut vt100::Screen, _: &[u8], data: &[u8]) {
        if let Ok(text) = STANDARD.decode(data) {
            self.copied = Some(String::from_utf8_lossy(&text).into_owned());
        }
    }

    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _: Option<u8>,
        params: &[&[u16]],
        action: char,
    ) {
        let number = params.first().and_then(|p| p.first()).copied().unwrap_or(0);
        let answer = match (first, action, number) {
            // Primary device attributes: a VT220 with colours.
            (None, 'c', 0) => "\x1b[?62;22c".to_owned(),
            // Device status, and where the cursor is.
            (None, 'n', 5) => "\x1b[0n".to_owned(),
            (None, 'n', 6) => {
                let (row, col) = screen.cursor_position();
                format!("\x1b[{};{}R", row + 1, col + 1)
            }
            _ => return,
        };
        self.replies.extend_from_slice(answer.as_bytes());
    }
}

/// A row's changed cells: from, and one after the last.
pub(crate) type Span = Option<(u16, u16)>;

/// A terminal's screen.
pub(crate) struct Screen {
    parser: Parser<Said>,
    font: Font,
    rows: u16,
    cols: u16,
    cells: Vec<Cell>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("rows", &self.rows)
            .field("cols", &self.cols)
            .finish_non_exhaustive()
    }
}

fn at_least_one(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

/// Colours of xterm's palette: sixteen, a cube, greys.
fn palette(index: u8) -> Rgb {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match index {
        0..16 => COLOURS[usize::from(index)],
        16..232 => {
            let n = usize::from(index - 16);
            [STEPS[n / 36], STEPS[n / 6 % 6], STEPS[n % 6]]
        }
        _ => [8 + (index - 232) * 10; 3],
    }
}

fn rgb(color: Color, default: Rgb) -> Rgb {
    match color {
        Color::Default => default,
        Color::Idx(index) => palette(index),
        Color::Rgb(r, g, b) => [r, g, b],
    }
}

impl Cell {
    fn new(cell: Option<&vt100::Cell>, cursor: bool) -> Self {
        let mut drawn = Self {
            text: ' ',
            ink: FOREGROUND,
            paper: BACKGROUND,
            bold: false,
            underline: false,
            wide: false,
            right_half: false,
        };
        if let Some(cell) = cell {
            drawn.text = cell.contents().chars().next().unwrap_or(' ');
            // Bold text in one of the first eight colours is bright.
            let ink = match cell.fgcolor() {
                Color::Idx(n @ 0..8) if cell.bold() => Color::Idx(n + 8),
                other => other,
            };
            drawn.ink = rgb(ink, FOREGROUND);
            drawn.paper = rgb(cell.bgcolor(), BACKGROUND);
            if cell.inverse() {
                std::mem::swap(&mut drawn.ink, &mut drawn.paper);
            }
            if cell.dim() {
                let mix = |a: u8, b: u8| ((u16::from(a) + u16::from(b)) / 2) as u8;
                let (ink, paper) = (drawn.ink, drawn.paper);
                drawn.ink = [
                    mix(ink[0], paper[0]),
                    mix(ink[1], paper[1]),
                    mix(ink[2], paper[2]),
                ];
            }
            drawn.bold = cell.bold();
            drawn.underline = cell.underline();
            drawn.wide = cell.is_wide();
            drawn.right_half = cell.is_wide_continuation();
        }
        if cursor {
            std::mem::swap(&mut drawn.ink, &mut drawn.paper);
        }
        drawn
    }
}

impl Screen {
    pub(crate) fn new(rows: u16, cols: u16, font_size: u16) -> Result<Self, BadSize> {
        let empty = Cell::new(None, false);
        let mut screen = Self {
            parser: Parser::new_with_callbacks(
                at_least_one(rows),
                at_least_one(cols),
                0,
                Said::default(),
            ),
            font: Font::new(font_size)?,
            rows,
            cols,
            cells: vec![empty; usize::from(rows) * usize::from(cols)],
        };
        // The cursor.
        screen.print(b"");
        Ok(screen)
    }

    pub(crate) fn rows(&self) -> u16 {
        self.rows
    }

    pub(crate) fn cols(&self) -> u16 {
        self.cols
    }

    /// Width and height of a cell in pixels.
    pub(crate) fn cell(&self) -> (usize, usize) {
        (self.font.cell_width, self.font.cell_height)
    }

    /// Whether arrow keys send what applications want (DECCKM).
    pub(crate) fn application_cursor(&self) -> bool {
        self.parser.screen().application_cursor()
    }

    /// What text on the clipboard is to the program when it is pasted.
    pub(crate) fn pasted(&self, text: &str) -> Vec<u8> {
        // Nothing that a terminal would not send for keys of text: no escape can end the brackets.
        let text = text.replace("\r\n", "\n");
        let keys = text.chars().filter_map(|c| match c {
            '\n' => Some('\r'),
            '\t' | '\r' => Some(c),
            c => (!c.is_control()).then_some(c),
        });
        let keys: String = keys.collect();
        if self.parser.screen().bracketed_paste() {
            format!("\x1b[200~{keys}\x1b[201~").into_bytes()
        } else {
            keys.into_bytes()
        }
    }

    /// Which of the mouse's events the program wants to know, and how.
    pub(crate) fn mouse(&self) -> (vt100::MouseProtocolMode, vt100::MouseProtocolEncoding) {
        let screen = self.parser.screen();
        (
            screen.mouse_protocol_mode(),
            screen.mouse_protocol_encoding(),
        )
    }

    /// Has another size from now on; all of it has changed then.
    pub(crate) fn resize(&mut self, rows: u16, cols: u16) {
        self.parser
            .screen_mut()
            .set_size(at_least_one(rows), at_least_one(cols));
        (self.rows, self.cols) = (rows, cols);
        let empty = Cell::new(None, false);
        self.cells.clear();
        self.cells
            .resize(usize::from(rows) * usize::from(cols), empty);
        self.print(b"");
    }

    /// Takes what a program has printed: what else it says, and what has changed in each row.
    pub(crate) fn print(&mut self, bytes: &[u8]) -> (Said, Vec<Span>) {
        self.parser.process(bytes);
        let said = std::mem::take(self.parser.callbacks_mut());
        let screen = self.parser.screen();
        let cursor = (!screen.hide_cursor()).then(|| screen.cursor_position());
        let mut spans: Vec<Span> = vec![None; usize::from(self.rows)];
        let width = usize::from(self.cols);
        for (row, (old, span)) in self.cells.chunks_mut(width).zip(&mut spans).enumerate() {
            for (col, old) in old.iter_mut().enumerate() {
                let (row, col) = (row as u16, col as u16);
                let new = Cell::new(screen.cell(row, col), cursor == Some((row, col)));
                if *old != new {
                    *old = new;
                    let (first, _) = span.unwrap_or((col, col));
                    *span = Some((first, col + 1));
                }
            }
        }
        (said, spans)
    }

    /// The span, made so wide that it cuts no wide character.
    pub(crate) fn whole(&self, row: u16, (first, end): (u16, u16)) -> (u16, u16) {
        let start = usize::from(row) * usize::from(self.cols);
        let cell = |col: u16| &self.cells[start + usize::from(col)];
        let first = if first > 0 && cell(first).right_half {
            first - 1
        } else {
            first
        };
        let end = if end < self.cols && cell(end).right_half {
            end + 1
        } else {
            end
        };
        (first, end)
    }

    /// The picture of the cells `first..end` of a row, line by line.
    pub(crate) fn draw(&mut self, row: u16, (first, end): (u16, u16)) -> Vec<Rgb> {
        let (cell_width, cell_height) = self.cell();
        let width = usize::from(end - first) * cell_width;
        let mut picture = vec![BACKGROUND; width * cell_height];
        let start = usize::from(row) * usize::from(self.cols);
        for col in first..end {
            let cell = self.cells[start + usize::from(col)];
            let left = usize::from(col - first) * cell_width;
            if cell.right_half {
                continue;
            }
            let span = if cell.wide {
                2 * cell_width
            } else {
                cell_width
            }
            .min(width - left);
            for line in picture.chunks_mut(width) {
                line[left..left + span].fill(cell.paper);
            }
            let glyph = self.font.glyph(cell.text);
            for (y, cover) in glyph.cover.chunks(glyph.width.max(1)).enumerate() {
                let line = glyph.top + y as i32;
                let Ok(line) = usize::try_from(line) else {
                    continue;
                };
                if line >= cell_height {
                    break;
                }
                for (x, cover) in cover.iter().enumerate() {
                    // Bold is drawn twice, a pixel apart.
                    for shift in 0..=i32::from(cell.bold) {
                        let at = glyph.left + x as i32 + shift;
                        if let Some(at) = usize::try_from(at).ok().filter(|at| *at < span) {
                            let pixel = &mut picture[line * width + left + at];
                            *pixel = blend(*pixel, cell.ink, *cover);
                        }
                    }
                }
            }
            if cell.underline {
                let line = cell_height - 2.min(cell_height);
                picture[line * width + left..][..span].fill(cell.ink);
            }
        }
        picture
    }
}

fn blend(under: Rgb, over: Rgb, cover: u8) -> Rgb {
    let cover = u16::from(cover);
    let mix = |a: u8, b: u8| ((u16::from(a) * (255 - cover) + u16::from(b) * cover) / 255) as u8;
    [
        mix(under[0], over[0]),
        mix(under[1], over[1]),
        mix(under[2], over[2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_told() {
        let mut screen = Screen::new(4, 10, 12).unwrap();
        let (_, spans) = screen.print(b"ab");
        assert_eq!(spans, [Some((0, 3)), None, None, None]);
        let (_, spans) = screen.print(b"");
        assert_eq!(spans, [None; 4]);
        // The cursor leaves one row for another.
        let (_, spans) = screen.print(b"\x1b[3;5H");
        assert_eq!(spans, [Some((2, 3)), None, Some((4, 5)), None]);
        let (said, _) = screen.print(b"\x1b[6n\x1b[c\x07");
        assert_eq!(said.replies, b"\x1b[3;5R\x1b[?62;22c");
        assert!(said.bell && said.copied.is_none());
        let (said, _) = screen.print(b"\x1b]52;c;Z3LDvG4=\x07\x1b]52;c;?\x07\x1b]52;c;=!\x07");
        assert_eq!(said.copied.as_deref(), Some("gr\u{fc}n"));
        assert!(!said.bell && said.replies.is_empty());
    }

    #[test]
    fn pasting_types_text_and_nothing_else() {
        let mut screen = Screen::new(4, 10, 12).unwrap();
        assert_eq!(screen.pasted("a\r\nb\tc\x1b[201~\x03"), b"a\rb\tc[201~");
        screen.print(b"\x1b[?2004h");
        assert_eq!(screen.pasted("a\x1b[201~"), b"\x1b[200~a[201~\x1b[201~");
    }

    #[test]
    fn another_size_keeps_what_fits() {
        let mut screen = Screen::new(4, 10, 12).unwrap();
        screen.print(b"abcdefghi\r\nx");
        screen.resize(2, 20);
        let (_, spans) = screen.print(b"");
        assert_eq!(spans, [None; 2]);
        let text = |s: &Screen, n: usize| s.cells[..n].iter().map(|c| c.text).collect::<String>();
        assert_eq!(text(&screen, 10), "abcdefghi ");
        screen.resize(3, 4);
        assert_eq!(text(&screen, 4), "abcd");
    }

    #[test]
    fn nothing_printed_at_any_size_is_too_much() {
        // A program can print anything, and a viewer choose any size.
        let parts: [&[u8]; 16] = [
            "\u{4f60}\u{597d}".as_bytes(),
            b"\x1b[H",
            b"\x1b[9999;9999H",
            b"\x1b[5;4r",
            b"\x1b[2;3r",
            b"\x1b[9L\x1b[9M",
            b"\x1b[9@\x1b[9P\x1b[9X",
            b"\x1b[?1049h",
            b"\x1b[?1049l",
            b"\n\x1bM\x1b[9S\x1b[9T",
            b"abc\x08\x08\t",
            b"\x1b7\x1b8\x1b[s\x1b[u",
            b"\x1b[?6h",
            b"\x1b[K\x1b[1K\x1b[2J\x1b[1J",
            "e\u{301}\u{200d}\u{1f600}".as_bytes(),
            b"\x1b[65535A\x1b[65535B\x1b[65535C\x1b[65535D",
        ];
        let mut screen = Screen::new(4, 10, 6).unwrap();
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let number = (seed >> 33) as usize;
            if number.is_multiple_of(50) {
                screen.resize((number / 50 % 6 + 1) as u16, (number / 300 % 9 + 2) as u16);
            } else {
                screen.print(parts[number / 50 % parts.len()]);
            }
        }
    }

    #[test]
    fn wide_characters_are_drawn_whole() {
        let mut screen = Screen::new(1, 6, 12).unwrap();
        screen.print("a\u{4f60}b\x1b[?25l".as_bytes());
        assert_eq!(screen.whole(0, (2, 3)), (1, 3));
        assert_eq!(screen.whole(0, (1, 2)), (1, 3));
        assert_eq!(screen.whole(0, (0, 1)), (0, 1));
        let (width, height) = screen.cell();
        assert_eq!(screen.draw(0, (0, 6)).len(), 6 * width * height);
        // Every colour is somewhere.
        screen.print(b"\x1b[H\x1b[38;2;1;2;3;48;2;4;5;6;4m \x1b[m");
        let drawn = screen.draw(0, (0, 1));
        assert!(drawn.contains(&[1, 2, 3]) && drawn.contains(&[4, 5, 6]));
    }
}
