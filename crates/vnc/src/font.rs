//! The font: DejaVu Sans Mono, drawn once for each character.

use fontdue::{Font as Outlines, FontSettings};
use std::{collections::HashMap, fmt};

const FONT: &[u8] = include_bytes!("../assets/DejaVuSansMono.ttf");

/// Most characters that are kept drawn: a program can print all there are.
const KEPT: usize = 4096;

/// A size that nobody can read.
#[derive(Clone, Copy, Debug)]
pub struct BadSize;

impl fmt::Display for BadSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a font has 6 to 72 pixels")
    }
}

impl std::error::Error for BadSize {}

/// A drawn character: how much of each pixel it covers, and where it lies in its cell.
#[derive(Debug)]
pub(crate) struct Glyph {
    pub(crate) left: i32,
    pub(crate) top: i32,
    pub(crate) width: usize,
    pub(crate) cover: Vec<u8>,
}

/// The font in one size.
pub(crate) struct Font {
    outlines: Outlines,
    size: f32,
    pub(crate) cell_width: usize,
    pub(crate) cell_height: usize,
    /// Pixels from the top of a cell to where letters stand.
    baseline: i32,
    drawn: HashMap<char, Glyph>,
}

impl fmt::Debug for Font {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Font")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Font {
    pub(crate) fn new(size: u16) -> Result<Self, BadSize> {
        if !(6..=72).contains(&size) {
            return Err(BadSize);
        }
        let size = f32::from(size);
        let settings = FontSettings {
            scale: size,
            ..FontSettings::default()
        };
        let outlines = Outlines::from_bytes(FONT, settings).map_err(|_| BadSize)?;
        let line = outlines.horizontal_line_metrics(size).ok_or(BadSize)?;
        let advance = outlines.metrics('M', size).advance_width;
        Ok(Self {
            cell_width: advance.round().max(1.0) as usize,
            cell_height: (line.ascent - line.descent).ceil().max(1.0) as usize,
            baseline: line.ascent.ceil() as i32,
            outlines,
            size,
            drawn: HashMap::new(),
        })
    }

    pub(crate) fn glyph(&mut self, c: char) -> &Glyph {
        if self.drawn.len() >= KEPT {
            self.drawn.clear();
        }
        let (outlines, size, baseline) = (&self.outlines, self.size, self.baseline);
        self.drawn.entry(c).or_insert_with(|| {
            let (metrics, cover) = outlines.rasterize(c, size);
            Glyph {
                left: metrics.xmin,
                top: baseline - metrics.ymin - metrics.height as i32,
                width: metrics.width,
                cover,
            }
        })
    }
}
