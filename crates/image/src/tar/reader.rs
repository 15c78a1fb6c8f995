//! A streaming tar reader with limits.

use std::{
    collections::HashMap,
    io::{self, Read},
};

use super::BLOCK;
use crate::tree::{Meta, Mtime, Special};

/// Most bytes of one extension header (long name or pax records).
const EXTENSION_MAX: u64 = 4 << 20;
/// Most pieces of a sparse file.
const SPARSE_PIECES_MAX: usize = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of so many bytes.
    File {
        /// Size in bytes, holes included.
        size: u64,
    },
    /// A further name of an earlier entry.
    HardLink {
        /// That entry's name.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: Vec<u8>,
    },
    /// A directory.
    Directory,
    /// A device or named pipe.
    Special(Special),
}

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as the archive has it.
    pub path: Vec<u8>,
    /// Owner, mode, time, extended attributes.
    pub meta: Meta,
    /// What it is.
    pub kind: Kind,
}

/// One stored piece of a sparse file.
#[derive(Debug, Clone, Copy)]
struct Piece {
    offset: u64,
    len: u64,
}

/// Reads a tar archive from a stream, one entry at a time.
pub struct TarReader<R> {
    input: R,
    /// Bytes of the current entry's data, and its padding, not read yet.
    stored: u64,
    padding: u64,
    /// The current file: its size, position, and pieces (in order) where it is sparse.
    size: u64,
    pos: u64,
    pieces: Option<std::collections::VecDeque<Piece>>,
    globals: HashMap<Vec<u8>, Vec<u8>>,
    ended: bool,
}

fn bad(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut short")
}

impl<R: Read> TarReader<R> {
    /// Starts to read; nothing is read yet.
    pub fn new(input: R) -> TarReader<R> {
        TarReader {
            input,
            stored: 0,
            padding: 0,
            size: 0,
            pos: 0,
            pieces: None,
            globals: HashMap::new(),
            ended: false,
        }
    }

    /// The stream, for example to read what follows the archive.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// The next entry, after skipping what is left of the current one; `None` after the end-of-archive mark.
    ///
    /// # Errors
    /// `UnexpectedEof` where the archive ends without its mark or within an entry, `InvalidData` where it is no tar archive,
    /// and the errors of the stream.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_rest()?;
        let mut long_path = None;
        let mut long_link = None;
        let mut records: HashMap<Vec<u8>, Vec<u8>> = self.globals.clone();
        let mut old_pieces: Vec<Piece> = Vec::new();
        loop {
            let header = self.block()?;
            if header.iter().all(|&b| b == 0) {
                self.ended = true;
                return Ok(None);
            }
            check_sum(&header)?;
            let size = number(&header[124..136])?;
            let kind = header[156];
            match kind {
                b'L' => long_path = Some(self.long_name(size)?),
                b'K' => long_link = Some(self.long_name(size)?),
                b'x' | b'X' => {
                    let data = self.extension(size)?;
                    parse_records(&data, &mut records, &mut old_pieces)?;
                }
                b'g' => {
                    let data = self.extension(size)?;
                    parse_records(&data, &mut self.globals, &mut Vec::new())?;
                    for (key, value) in &self.globals {
                        records.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                }
                // A volume label.
                b'V' => {
                    self.begin(size)?;
                    self.skip_rest()?;
                }
                _ => {
                    return self
                        .member(&header, size, long_path, long_link, &records, old_pieces)
                        .map(Some);
                }
            }
        }
    }

    /// The data of the current entry.
    pub fn data(&mut self) -> Data<'_, R> {
        Data { tar: self }
    }

    fn member(
        &mut self,
        header: &[u8; BLOCK],
        size: u64,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        records: &HashMap<Vec<u8>, Vec<u8>>,
        old_pieces: Vec<Piece>,
    ) -> io::Result<Entry> {
        let text = |key: &str| records.get(key.as_bytes());
        let decimal = |key: &str| text(key).map(|v| parse_decimal(v)).transpose();
        let stored = decimal("size")?.unwrap_or(size);
        let mut path = long_path
            .or_else(|| text("path").cloned())
            .unwrap_or_else(|| ustar_path(header));
        let link = long_link
            .or_else(|| text("linkpath").cloned())
            .unwrap_or_else(|| until_nul(&header[157..257]).to_vec());
        let mut meta = Meta {
            mode: (number(&header[100..108])? & 0o7777) as u32,
            uid: id(decimal("uid")?.map_or_else(|| number(&header[108..116]), Ok)?)?,
            gid: id(decimal("gid")?.map_or_else(|| number(&header[116..124]), Ok)?)?,
            mtime: match text("mtime") {
                Some(value) => parse_time(value)?,
                None => Mtime {
                    secs: signed_number(&header[136..148])?,
                    nanos: 0,
                },
            },
            xattrs: Vec::new(),
        };
        for (key, value) in records {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                meta.xattrs.push((name.to_vec(), value.clone()));
            }
        }
        meta.xattrs.sort();

        let device = || -> io::Result<(u32, u32)> {
            let part = |field: &[u8]| {
                number(field)
                    .and_then(|n| u32::try_from(n).map_err(|_| bad("a device number is too large")))
            };
            Ok((part(&header[329..337])?, part(&header[337..345])?))
        };
        let kind = match header[156] {
            0 if path.last() == Some(&b'/') => Kind::Directory,
            b'0' | b'7' | 0 | b'S' => Kind::File { size: stored },
            b'1' => Kind::HardLink { target: link },
            b'2' => Kind::Symlink { target: link },
            b'3' => {
                let (major, minor) = device()?;
                Kind::Special(Special::Char { major, minor })
            }
            b'4' => {
                let (major, minor) = device()?;
                Kind::Special(Special::Block { major, minor })
            }
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Special(Special::Fifo),
            b'M' => return Err(bad("it is a part of a multi-volume archive")),
            other => {
                return Err(bad(format!(
                    "entry type {:?} is not supported",
                    char::from(other)
                )));
            }
        };
        let is_file = matches!(kind, Kind::File { .. });
        // POSIX: links, devices and directories have no data, whatever their size field says, save that pax hard links and GNU
        // dump directories may have some, which is skipped.
        self.begin(match header[156] {
            b'0' | b'7' | 0 | b'S' | b'1' | b'D' => stored,
            _ => 0,
        })?;
        self.size = if is_file { stored } else { 0 };
        let mut kind = kind;
        if is_file {
            let sparse = if header[156] == b'S' {
                Some((number(&header[483..495])?, self.gnu_pieces(header)?))
            } else if let Some(major) = decimal("GNU.sparse.major")? {
                if major != 1 {
                    return Err(bad(format!("sparse format {major} is not supported")));
                }
                let real = decimal("GNU.sparse.realsize")?
                    .ok_or_else(|| bad("a sparse file has no size"))?;
                Some((real, self.pax_pieces()?))
            } else if let Some(real) = decimal("GNU.sparse.size")? {
                let pieces = match text("GNU.sparse.map") {
                    Some(map) => parse_map(map)?,
                    None => old_pieces,
                };
                Some((real, pieces))
            } else {
                None
            };
            if let Some((real, pieces)) = sparse {
                check_pieces(&pieces, real, self.stored)?;
                if let Some(name) = text("GNU.sparse.name") {
                    path = name.clone();
                }
                self.size = real;
                self.pieces = Some(pieces.into());
                kind = Kind::File { size: real };
            }
        }
        Ok(Entry { path, meta, kind })
    }

    fn begin(&mut self, stored: u64) -> io::Result<()> {
        if stored > i64::MAX as u64 {
            return Err(bad("a size is too large"));
        }
        self.stored = stored;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
        self.size = 0;
        self.pos = 0;
        self.pieces = None;
        Ok(())
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let rest = self.stored + self.padding;
        let skipped = io::copy(&mut self.input.by_ref().take(rest), &mut io::sink())?;
        self.stored = 0;
        self.padding = 0;
        if skipped == rest {
            Ok(())
        } else {
            Err(cut_short())
        }
    }

    fn block(&mut self) -> io::Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.input
            .read_exact(&mut block)
            .map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => cut_short(),
                _ => e,
            })?;
        Ok(block)
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > EXTENSION_MAX {
            return Err(bad("an extension header is too large"));
        }
        self.begin(size)?;
        let mut data = Vec::new();
        self.input.by_ref().take(size).read_to_end(&mut data)?;
        if data.len() as u64 != size {
            return Err(cut_short());
        }
        self.stored = 0;
        self.skip_rest()?;
        Ok(data)
    }

    fn long_name(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let data = self.extension(size)?;
        Ok(until_nul(&data).to_vec())
    }

    /// The map of an old GNU sparse header and its extension blocks.
    fn gnu_pieces(&mut self, header: &[u8; BLOCK]) -> io::Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut take = |area: &[u8]| -> io::Result<()> {
            for pair in area.chunks_exact(24) {
                if pair[0] == 0 {
                    break;
                }
                pieces.push(Piece {
                    offset: number(&pair[..12])?,
                    len: number(&pair[12..])?,
                });
                if pieces.len() > SPARSE_PIECES_MAX {
                    return Err(bad("a sparse file has too many pieces"));
                }
            }
            Ok(())
        };
        take(&header[386..482])?;
        let mut more = header[482] != 0;
        while more {
            let mut block = [0; BLOCK];
            self.input.read_exact(&mut block).map_err(|_| cut_short())?;
            take(&block[..504])?;
            more = block[504] != 0;
        }
        Ok(pieces)
    }

    /// The map of a pax 1.0 sparse file, which stands before its data in decimal lines, padded to a block.
    fn pax_pieces(&mut self) -> io::Result<Vec<Piece>> {
        let mut text = Vec::new();
        let mut numbers: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        loop {
            if self.stored < BLOCK as u64 {
                return Err(bad("a sparse file's map is cut short"));
            }
            let block = self.block()?;
            self.stored -= BLOCK as u64;
            text.clear();
            text.extend_from_slice(&block);
            for &byte in &text {
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Err(bad("a sparse file's map is not numbers"));
                    }
                    continue;
                }
                numbers.push(parse_decimal(&line)?);
                line.clear();
                let count = numbers[0] as usize;
                if count > SPARSE_PIECES_MAX {
                    return Err(bad("a sparse file has too many pieces"));
                }
                if numbers.len() == 1 + 2 * count {
                    return Ok(numbers[1..]
                        .chunks_exact(2)
                        .map(|p| Piece {
                            offset: p[0],
                            len: p[1],
                        })
                        .collect());
                }
            }
        }
    }

    fn read_data(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.size - self.pos;
        if left == 0 || buf.is_empty() {
            return Ok(0);
        }
        let mut want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        if let Some(pieces) = &mut self.pieces {
            while pieces.front().is_some_and(|p| p.offset + p.len <= self.pos) {
                pieces.pop_front();
            }
            let hole = match pieces.front() {
                Some(piece) if piece.offset > self.pos => piece.offset - self.pos,
                Some(piece) => {
                    want = want.min(
                        usize::try_from(piece.offset + piece.len - self.pos).unwrap_or(usize::MAX),
                    );
                    0
                }
                None => left,
            };
            if hole > 0 {
                let n = want.min(usize::try_from(hole).unwrap_or(usize::MAX));
                buf[..n].fill(0);
                self.pos += n as u64;
                return Ok(n);
            }
        }
        let n = self.input.read(&mut buf[..want])?;
        if n == 0 {
            return Err(cut_short());
        }
        self.pos += n as u64;
        self.stored = self
            .stored
            .checked_sub(n as u64)
            .ok_or_else(|| bad("a sparse file's map does not fit its data"))?;
        Ok(n)
    }
}

/// Reads the bytes of the current entry, holes filled with zeros.
pub struct Data<'a, R> {
    tar: &'a mut TarReader<R>,
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.tar.read_data(buf)
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or(field)
}

fn ustar_path(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    // GNU's magic is "ustar  \0", and its prefix area holds other things.
    if &header[257..263] == b"ustar\0" && header[345] != 0 {
        return [until_nul(&header[345..500]), b"/", name].concat();
    }
    name.to_vec()
}

fn check_sum(header: &[u8; BLOCK]) -> io::Result<()> {
    let unsigned: u64 = header
        .iter()
        .enumerate()
        .map(|(i, &b)| {
            if (148..156).contains(&i) {
                32
            } else {
                u64::from(b)
            }
        })
        .sum();
    match number(&header[148..156]) {
        Ok(sum) if sum == unsigned => Ok(()),
        _ => Err(bad(
            "a header's checksum is wrong (or it is no tar archive)",
        )),
    }
}

/// An octal or base-256 number that may not be negative.
fn number(field: &[u8]) -> io::Result<u64> {
    u64::try_from(signed_number(field)?).map_err(|_| bad("a number is negative"))
}

fn signed_number(field: &[u8]) -> io::Result<i64> {
    let too_large = || bad("a number is too large");
    if field[0] & 0x80 != 0 {
        // Base 256, two's complement, the top bit being the mark.
        let negative = field[0] & 0x40 != 0;
        let mut value: i128 = i128::from(field[0] & 0x7f) - if negative { 0x80 } else { 0 };
        for &byte in &field[1..] {
            value = value << 8 | i128::from(byte);
            if !(i128::from(i64::MIN)..=i128::from(i64::MAX)).contains(&value) {
                return Err(too_large());
            }
        }
        return i64::try_from(value).map_err(|_| too_large());
    }
    let text = until_nul(field).trim_ascii();
    text.iter().try_fold(0i64, |value, &digit| match digit {
        b'0'..=b'7' => value
            .checked_mul(8)
            .and_then(|v| v.checked_add(i64::from(digit - b'0')))
            .ok_or_else(too_large),
        _ => Err(bad("a header field is not a number")),
    })
}

fn parse_decimal(text: &[u8]) -> io::Result<u64> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|t| t.trim().parse().ok())
        .ok_or_else(|| bad("an extension header has a bad number"))
}

fn id(value: u64) -> io::Result<u32> {
    u32::try_from(value).map_err(|_| bad("a user or group number is too large"))
}

/// `[-]SECONDS[.FRACTION]`.
fn parse_time(text: &[u8]) -> io::Result<Mtime> {
    let wrong = || bad("an extension header has a bad time");
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut secs: i64 = whole.parse().map_err(|_| wrong())?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let nanos = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0u32, |n, b| n * 10 + u32::from(b - b'0'));
    if !whole.starts_with('-') || nanos == 0 {
        return Ok(Mtime { secs, nanos });
    }
    secs = secs.checked_sub(1).ok_or_else(wrong)?;
    Ok(Mtime {
        secs,
        nanos: 1_000_000_000 - nanos,
    })
}

/// `LENGTH KEY=VALUE\n`, any number of times; values may hold any byte. Pieces of sparse format 0.0 are collected apart, since
/// their keys repeat.
fn parse_records(
    mut data: &[u8],
    records: &mut HashMap<Vec<u8>, Vec<u8>>,
    pieces: &mut Vec<Piece>,
) -> io::Result<()> {
    let wrong = || bad("an extension header is malformed");
    while !data.is_empty() && data[0] != 0 {
        let space = data.iter().position(|&b| b == b' ').ok_or_else(wrong)?;
        let len = usize::try_from(parse_decimal(&data[..space])?).map_err(|_| wrong())?;
        if len <= space + 1 || len > data.len() || data[len - 1] != b'\n' {
            return Err(wrong());
        }
        let record = &data[space + 1..len - 1];
        let equals = record.iter().position(|&b| b == b'=').ok_or_else(wrong)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"GNU.sparse.offset" => pieces.push(Piece {
                offset: parse_decimal(value)?,
                len: 0,
            }),
            b"GNU.sparse.numbytes" => {
                pieces.last_mut().ok_or_else(wrong)?.len = parse_decimal(value)?
            }
            // An empty value takes a record back.
            _ if value.is_empty() && !key.starts_with(b"SCHILY.xattr.") => {
                records.remove(key);
            }
            _ => {
                records.insert(key.to_vec(), value.to_vec());
            }
        }
        data = &data[len..];
    }
    Ok(())
}

fn parse_map(map: &[u8]) -> io::Result<Vec<Piece>> {
    if map.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = map
        .split(|&b| b == b',')
        .map(parse_decimal)
        .collect::<io::Result<Vec<_>>>()?;
    if numbers.len() % 2 != 0 {
        return Err(bad("a sparse file's map is malformed"));
    }
    Ok(numbers
        .chunks_exact(2)
        .map(|p| Piece {
            offset: p[0],
            len: p[1],
        })
        .collect())
}

/// Pieces must be in order, apart, inside the file, and exactly as long as the stored data.
fn check_pieces(pieces: &[Piece], size: u64, stored: u64) -> io::Result<()> {
    let wrong = || bad("a sparse file's map does not fit its data");
    let mut end = 0u64;
    let mut total = 0u64;
    for piece in pieces {
        if piece.offset < end {
            return Err(wrong());
        }
        end = piece.offset.checked_add(piece.len).ok_or_else(wrong)?;
        total = total.checked_add(piece.len).ok_or_else(wrong)?;
    }
    if end > size || total != stored || size > i64::MAX as u64 {
        return Err(wrong());
    }
    Ok(())
}
