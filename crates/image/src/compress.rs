//! Compressed streams, recognised by their first bytes.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{
    FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use crate::{Error, Result};

/// Largest decoder memory an archive may ask for; `xz -9` needs 65 MiB, `zstd --ultra -22` 128 MiB.
const WINDOW_MAX: u64 = 256 << 20;

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not compressed, as far as can be seen.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// Recognises the compression of a stream; formats that are known but not supported are an error.
fn detect(what: &str, head: &[u8]) -> Result<Compression> {
    Ok(match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [b'B', b'Z', b'h', ..] => return Err(unsupported(what, "bzip2")),
        [b'L', b'Z', b'I', b'P', ..] => return Err(unsupported(what, "lzip")),
        [0x5d, 0, 0, ..] => return Err(unsupported(what, "lzma")),
        [b'P', b'K', 3, 4, ..] => return Err(unsupported(what, "zip")),
        _ => Compression::None,
    })
}

fn unsupported(what: &str, format: &str) -> Error {
    Error::archive(
        what,
        format!("it is {format}-compressed; gzip, xz and zstd are supported"),
    )
}

/// Decompresses a stream of any supported format; one that has no known magic is passed through.
///
/// Broken or truncated input turns up as an error of the returned reader.
pub fn decompress<'a, R: Read + 'a>(
    what: &str,
    input: R,
) -> Result<(Box<dyn Read + 'a>, Compression)> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    // One fill may be short on a pipe; six bytes are needed.
    let mut head = Vec::with_capacity(6);
    let io = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::archive(what, "it is cut short"),
        _ => Error::Io {
            what: format!("cannot read {what}"),
            source: e,
        },
    };
    input.by_ref().take(6).read_to_end(&mut head).map_err(io)?;
    let format = detect(what, &head)?;
    let all = BufReader::with_capacity(1 << 16, io::Cursor::new(head).chain(input));
    let reader: Box<dyn Read + 'a> = match format {
        Compression::None => Box::new(all),
        Compression::Gzip => Box::new(MultiGzDecoder::new(all)),
        Compression::Xz => Box::new(XzReader::new_mem_limit(
            all,
            true,
            (WINDOW_MAX >> 10) as u32,
        )),
        Compression::Zstd => Box::new(ZstdReader::new(all)),
    };
    Ok((reader, format))
}

/// All frames of a Zstandard stream, checksums verified.
struct ZstdReader<R> {
    input: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    fn new(input: R) -> ZstdReader<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        ZstdReader {
            input,
            decoder,
            in_frame: false,
        }
    }

    /// Starts the next frame; false at the end of the input.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    self.in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(
                        &mut self.input.by_ref().take(length.into()),
                        &mut io::sink(),
                    )?;
                    if skipped != u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.in_frame && !self.next_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.input, UptoBlocks(1))
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            }
            let n = self.decoder.read(buf)?;
            if n > 0 {
                return Ok(n);
            }
            if let Some(expected) = self.decoder.get_checksum_from_data()
                && self.decoder.get_calculated_checksum() != Some(expected)
            {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "checksum mismatch in a zstd frame",
                ));
            }
            self.in_frame = false;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
        let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        w.write_all(data).unwrap();
        w.finish().unwrap()
    }

    pub(crate) fn xz(data: &[u8]) -> Vec<u8> {
        let mut w =
            lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        w.write_all(data).unwrap();
        w.finish().unwrap()
    }

    pub(crate) fn zstd(data: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn read(data: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let (mut r, _) = decompress("test", data).map_err(|e| io::Error::other(e.to_string()))?;
        r.read_to_end(&mut out)?;
        Ok(out)
    }

    fn sample() -> Vec<u8> {
        (0..200_000u32)
            .flat_map(|i| ((i * 7919) >> 5).to_le_bytes())
            .collect()
    }

    #[test]
    fn all_formats_round_trip_and_concatenate() {
        let data = sample();
        for pack in [gzip as fn(&[u8]) -> Vec<u8>, xz, zstd] {
            assert!(read(&pack(&data)).unwrap() == data);
            let twice = [pack(&data), pack(b"tail")].concat();
            assert!(read(&twice).unwrap() == [&data[..], b"tail"].concat());
        }
        assert_eq!(read(b"plain").unwrap(), b"plain");
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn truncation_is_an_error_everywhere() {
        let data = sample();
        for pack in [gzip as fn(&[u8]) -> Vec<u8>, xz, zstd] {
            let packed = pack(&data);
            for cut in [packed.len() - 1, packed.len() - 5, packed.len() / 2, 12] {
                assert!(
                    read(&packed[..cut]).is_err(),
                    "cut at {cut} of {}",
                    packed.len()
                );
            }
        }
    }

    #[test]
    fn damage_is_an_error() {
        let data = sample();
        for pack in [gzip as fn(&[u8]) -> Vec<u8>, xz] {
            let mut packed = pack(&data);
            let middle = packed.len() / 2;
            packed[middle] ^= 0x10;
            assert!(read(&packed).is_err());
        }
    }

    #[test]
    fn unsupported_formats_are_named() {
        let error = read(b"BZh91AY").unwrap_err().to_string();
        assert!(error.contains("bzip2"), "{error}");
    }
}
