//! The ZRLE encoding: tiles of 64 by 64 pixels with few colours, in a zlib stream that goes on from update to update.

use crate::{rfb::PixelFormat, screen::Rgb};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::io;

const TILE: usize = 64;
/// Colours of a tile that is packed into less than a byte for each pixel.
const PACKED: usize = 16;
/// Most colours of a palette.
const PALETTE: usize = 127;

/// The stream of one client.
#[derive(Debug)]
pub(crate) struct Encoder(Compress);

impl Default for Encoder {
    fn default() -> Self {
        Self(Compress::new(Compression::fast(), true))
    }
}

impl Encoder {
    /// The bytes for an area of `width` pixels, line by line.
    pub(crate) fn encode(
        &mut self,
        pixels: &[Rgb],
        width: usize,
        format: PixelFormat,
    ) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut tile = Vec::with_capacity(TILE * TILE);
        for lines in pixels.chunks(width * TILE) {
            for left in (0..width).step_by(TILE) {
                let right = width.min(left + TILE);
                tile.clear();
                for line in lines.chunks(width) {
                    tile.extend_from_slice(&line[left..right]);
                }
                put_tile(&tile, right - left, format, &mut plain);
            }
        }
        self.compress(&plain)
    }

    fn compress(&mut self, mut plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(plain.len() / 4 + 64);
        loop {
            let before = (self.0.total_in(), out.len());
            let status = self
                .0
                .compress_vec(plain, &mut out, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            plain = &plain[(self.0.total_in() - before.0) as usize..];
            let full = out.len() == out.capacity();
            if plain.is_empty() && !full {
                return Ok(out);
            }
            if !full && status != Status::Ok {
                return Err(io::Error::other("the compressor does not go on"));
            }
            out.reserve(out.capacity());
        }
    }
}

/// The colours of a tile, unless there are too many, and the number of the colour of each pixel.
fn palette(tile: &[Rgb]) -> Option<(Vec<Rgb>, Vec<u8>)> {
    let (mut colours, mut numbers) = (Vec::<Rgb>::new(), Vec::with_capacity(tile.len()));
    for pixel in tile {
        let number = colours.iter().position(|c| c == pixel);
        let number = number.unwrap_or(colours.len());
        if number == colours.len() {
            if number == PALETTE {
                return None;
            }
            colours.push(*pixel);
        }
        numbers.push(number as u8);
    }
    Some((colours, numbers))
}

fn put_tile(tile: &[Rgb], width: usize, format: PixelFormat, out: &mut Vec<u8>) {
    let Some((colours, numbers)) = palette(tile) else {
        out.push(0);
        tile.iter().for_each(|p| format.put_compact(*p, out));
        return;
    };
    // Runs of pixels, by the numbers of the palette, from here on.
    let run_lengths = if colours.len() > PACKED { 128 } else { 0 };
    out.push(run_lengths | colours.len() as u8);
    colours.iter().for_each(|c| format.put_compact(*c, out));
    if run_lengths != 0 {
        for run in numbers.chunk_by(|a, b| a == b) {
            if run.len() == 1 {
                out.push(run[0]);
                continue;
            }
            out.push(run[0] | 128);
            let more = run.len() - 1;
            out.extend(std::iter::repeat_n(255, more / 255));
            out.push((more % 255) as u8);
        }
        return;
    }
    let bits = match colours.len() {
        1 => return,
        2 => 1,
        3..=4 => 2,
        _ => 4,
    };
    for line in numbers.chunks(width) {
        // A line begins a byte, and the first pixel is in the highest bits.
        for pixels in line.chunks(8 / bits) {
            let packed = pixels.iter().fold(0, |b, p| b << bits | p);
            out.push(packed << (bits * (8 / bits - pixels.len())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(pixels: &[Rgb], width: usize) -> Vec<u8> {
        let mut out = Vec::new();
        put_tile(pixels, width, PixelFormat::NATURAL, &mut out);
        out
    }

    #[test]
    fn tiles_take_the_form_that_fits_their_colours() {
        let (a, b, c) = ([1, 2, 3], [4, 5, 6], [7, 8, 9]);
        assert_eq!(tile(&[a; 12], 4), [1, 3, 2, 1]);
        let two = [a, b, b, a, b, a];
        assert_eq!(
            tile(&two, 3),
            [2, 3, 2, 1, 6, 5, 4, 0b0110_0000, 0b0100_0000]
        );
        let three = [a, b, c, c, a];
        assert_eq!(
            tile(&three, 5),
            [3, 3, 2, 1, 6, 5, 4, 9, 8, 7, 0b0001_1010, 0]
        );
        // More than sixteen: runs. 300 of the first are 1 + 255 + 44.
        let many: Vec<Rgb> = (0..20).map(|n| [n, 0, 0]).collect();
        let mut pixels = vec![many[0]; 300];
        pixels.extend(&many[1..]);
        let bytes = tile(&pixels, 319);
        assert_eq!(bytes[0], 128 | 20);
        assert_eq!(bytes[61..66], [128, 255, 44, 1, 2]);
        assert_eq!(bytes.len(), 61 + 3 + 19);
        // Too many for a palette: as they are.
        let all: Vec<Rgb> = (0..200).map(|n| [n, 0, 0]).collect();
        let bytes = tile(&all, 200);
        assert_eq!((bytes[0], bytes.len()), (0, 601));
    }

    #[test]
    fn the_stream_goes_on_and_each_part_is_whole() {
        let (mut encoder, mut decoder) = (Encoder::default(), flate2::Decompress::new(true));
        // Tiles without a palette, so that it is known how long they are.
        let width = 3 * TILE;
        let noise: Vec<Rgb> = (0..192 * 130u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
            .map(|[a, b, c, _]| [a, b, c])
            .collect();
        for pixels in [&noise[..], &[[9; 3]; 384], &noise[..192 * 64]] {
            let bytes = encoder.encode(pixels, width, PixelFormat::NATURAL).unwrap();
            let mut plain = Vec::with_capacity(1 << 20);
            let flush = flate2::FlushDecompress::Sync;
            decoder.decompress_vec(&bytes, &mut plain, flush).unwrap();
            let tiles = 3 * pixels.len().div_ceil(width * TILE);
            let expected = if pixels[0] == [9; 3] {
                4 * tiles
            } else {
                3 * pixels.len() + tiles
            };
            assert_eq!(plain.len(), expected);
        }
    }
}
