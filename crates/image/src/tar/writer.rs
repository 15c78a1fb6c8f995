//! Writes a tree as a tar archive: ustar, with pax headers only where ustar cannot say it. The same tree gives the same bytes.

use std::io::{self, Read, Write};

use super::BLOCK;
use crate::{
    Error, Result,
    tree::{Meta, Special, TreeSink},
};

/// A sink that writes a tar archive.
pub struct TarWriter<W: Write> {
    output: W,
    /// What names begin with: `./`, as those of other tools' root archives do, or nothing.
    prefix: &'static [u8],
}

/// The largest number in an octal field of eight bytes.
const OCTAL7_MAX: u64 = 0o7_777_777;
/// The largest number in an octal field of twelve bytes.
const OCTAL11_MAX: u64 = 0o77_777_777_777;

struct Header<'a> {
    path: &'a [u8],
    meta: &'a Meta,
    kind: u8,
    size: u64,
    link: &'a [u8],
    device: (u32, u32),
}

impl<W: Write> TarWriter<W> {
    /// Writes to `output`.
    pub fn new(output: W) -> TarWriter<W> {
        TarWriter {
            output,
            prefix: b"./",
        }
    }

    /// Writes to `output`; names do not begin with `./`. For files alone.
    pub(crate) fn bare(output: W) -> TarWriter<W> {
        TarWriter {
            output,
            prefix: b"",
        }
    }

    fn member(&self, path: &[u8]) -> Vec<u8> {
        [self.prefix, path].concat()
    }

    /// The output, after [`TreeSink::finish`].
    pub fn into_inner(self) -> W {
        self.output
    }

    fn entry(&mut self, header: &Header<'_>) -> Result<()> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut record = |key: &[u8], value: &[u8]| records.push((key.to_vec(), value.to_vec()));
        let meta = header.meta;
        if header.path.len() > 100 {
            record(b"path", header.path);
        }
        if header.link.len() > 100 {
            record(b"linkpath", header.link);
        }
        if header.size > OCTAL11_MAX {
            record(b"size", header.size.to_string().as_bytes());
        }
        for (key, value) in [("uid", meta.uid), ("gid", meta.gid)] {
            if u64::from(value) > OCTAL7_MAX {
                record(key.as_bytes(), value.to_string().as_bytes());
            }
        }
        let time = meta.mtime;
        if time.nanos != 0 || time.secs < 0 || time.secs as u64 > OCTAL11_MAX {
            record(b"mtime", time_text(time.secs, time.nanos).as_bytes());
        }
        for (name, value) in &meta.xattrs {
            record(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        if !records.is_empty() {
            let body: Vec<u8> = records
                .iter()
                .flat_map(|(key, value)| pax_record(key, value))
                .collect();
            let plain = Meta::root(0o644);
            let size = body.len() as u64;
            self.header(&Header {
                path: b"pax_header",
                meta: &plain,
                kind: b'x',
                size,
                link: b"",
                device: (0, 0),
            })?;
            self.write(&body)?;
            self.pad(size)?;
        }
        self.header(header)
    }

    fn header(&mut self, header: &Header<'_>) -> Result<()> {
        let mut block = [0u8; BLOCK];
        let meta = header.meta;
        let mut text = |at: usize, width: usize, value: &[u8]| {
            let len = value.len().min(width);
            block[at..at + len].copy_from_slice(&value[..len]);
        };
        let octal = |value: u64, digits: usize| format!("{value:0digits$o}").into_bytes();
        text(0, 100, header.path);
        text(100, 8, &octal(u64::from(meta.mode), 7));
        // What does not fit stands in the pax header, and readers that know none see zero.
        let fit = |value: u64, max: u64| if value > max { 0 } else { value };
        text(108, 8, &octal(fit(meta.uid.into(), OCTAL7_MAX), 7));
        text(116, 8, &octal(fit(meta.gid.into(), OCTAL7_MAX), 7));
        text(124, 12, &octal(fit(header.size, OCTAL11_MAX), 11));
        text(
            136,
            12,
            &octal(
                fit(u64::try_from(meta.mtime.secs).unwrap_or(0), OCTAL11_MAX),
                11,
            ),
        );
        text(148, 8, b"        ");
        text(156, 1, &[header.kind]);
        text(157, 100, header.link);
        text(257, 8, b"ustar\x0000");
        text(329, 8, &octal(header.device.0.into(), 7));
        text(337, 8, &octal(header.device.1.into(), 7));
        let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.write(&block)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(write_error)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let padding = (size.wrapping_neg() % BLOCK as u64) as usize;
        self.write(&[0; BLOCK][..padding])
    }
}

fn write_error(source: io::Error) -> Error {
    Error::Io {
        what: "cannot write the archive".to_owned(),
        source,
    }
}

/// A record counts its own length, digits included.
fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn time_text(secs: i64, nanos: u32) -> String {
    let (sign, secs, nanos) = match (secs < 0, nanos) {
        (true, 0) => ("-", secs.unsigned_abs(), 0),
        (true, _) => ("-", secs.unsigned_abs() - 1, 1_000_000_000 - nanos),
        (false, _) => ("", secs.unsigned_abs(), nanos),
    };
    let text = format!("{sign}{secs}.{nanos:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl<W: Write> TreeSink for TarWriter<W> {
    fn directory(&mut self, path: &[u8], meta: &Meta) -> Result<()> {
        let mut name = self.member(path);
        if !path.is_empty() {
            name.push(b'/');
        }
        self.entry(&Header {
            path: &name,
            meta,
            kind: b'5',
            size: 0,
            link: b"",
            device: (0, 0),
        })
    }

    fn file(&mut self, path: &[u8], meta: &Meta, size: u64, content: &mut dyn Read) -> Result<()> {
        let name = self.member(path);
        self.entry(&Header {
            path: &name,
            meta,
            kind: b'0',
            size,
            link: b"",
            device: (0, 0),
        })?;
        let written = io::copy(&mut content.take(size), &mut self.output).map_err(write_error)?;
        if written != size {
            let what = format!("{} shrank while it was read", String::from_utf8_lossy(path));
            return Err(Error::Io {
                what,
                source: io::ErrorKind::UnexpectedEof.into(),
            });
        }
        self.pad(size)
    }

    fn symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        let name = self.member(path);
        self.entry(&Header {
            path: &name,
            meta,
            kind: b'2',
            size: 0,
            link: target,
            device: (0, 0),
        })
    }

    fn hard_link(&mut self, path: &[u8], existing: &[u8]) -> Result<()> {
        let (name, target) = (self.member(path), self.member(existing));
        let meta = Meta::root(0o644);
        self.entry(&Header {
            path: &name,
            meta: &meta,
            kind: b'1',
            size: 0,
            link: &target,
            device: (0, 0),
        })
    }

    fn special(&mut self, path: &[u8], meta: &Meta, what: Special) -> Result<()> {
        let (kind, device) = match what {
            Special::Char { major, minor } => (b'3', (major, minor)),
            Special::Block { major, minor } => (b'4', (major, minor)),
            Special::Fifo => (b'6', (0, 0)),
            // As GNU tar does: a socket's name means nothing without its process.
            Special::Socket => return Ok(()),
        };
        let name = self.member(path);
        self.entry(&Header {
            path: &name,
            meta,
            kind,
            size: 0,
            link: b"",
            device,
        })
    }

    fn remove(&mut self, path: &[u8]) -> Result<()> {
        let what = format!(
            "cannot take {} back from an archive",
            String::from_utf8_lossy(path)
        );
        Err(Error::Io {
            what,
            source: io::ErrorKind::Unsupported.into(),
        })
    }

    fn finish(&mut self) -> Result<()> {
        self.write(&[0; 2 * BLOCK])?;
        self.output.flush().map_err(write_error)
    }
}
