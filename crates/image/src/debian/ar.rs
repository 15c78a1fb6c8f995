//! The ar(5) container of `.deb` files, as deb(5) uses it: common format, short names.

use std::io::{self, Read};

/// A member's name and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, without the padding and slash some writers add.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Reads an archive from a stream.
pub struct ArReader<R> {
    input: R,
    left: u64,
    padding: u64,
    started: bool,
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<R: Read> ArReader<R> {
    /// Starts to read; nothing is read yet.
    pub fn new(input: R) -> ArReader<R> {
        ArReader {
            input,
            left: 0,
            padding: 0,
            started: false,
        }
    }

    /// The next member, after skipping what is left of the current one; `None` at the end.
    ///
    /// # Errors
    /// `UnexpectedEof` for an archive that is cut short, `InvalidData` for something else than an ar archive.
    pub fn next_member(&mut self) -> io::Result<Option<Member>> {
        if !self.started {
            let mut magic = [0; 8];
            self.input.read_exact(&mut magic)?;
            if &magic != b"!<arch>\n" {
                return Err(bad("it is not an ar archive"));
            }
            self.started = true;
        }
        let left = std::mem::take(&mut self.left);
        if io::copy(&mut self.input.by_ref().take(left), &mut io::sink())? != left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Writers may leave the padding of the last member out.
        let padding = std::mem::take(&mut self.padding);
        io::copy(&mut self.input.by_ref().take(padding), &mut io::sink())?;

        let mut header = Vec::with_capacity(60);
        self.input.by_ref().take(60).read_to_end(&mut header)?;
        if header.is_empty() {
            return Ok(None);
        }
        if header.len() < 60 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if &header[58..60] != b"`\n" {
            return Err(bad("a member's header is damaged"));
        }
        let text = |range: std::ops::Range<usize>| {
            std::str::from_utf8(&header[range])
                .map(str::trim_end)
                .map_err(|_| bad("a member's header is no text"))
        };
        let name = text(0..16)?.trim_end_matches('/').to_owned();
        let size = text(48..58)?;
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("a member's size is no number"));
        }
        let size: u64 = size
            .parse()
            .map_err(|_| bad("a member's size is no number"))?;
        self.left = size;
        self.padding = size % 2;
        Ok(Some(Member { name, size }))
    }
}

/// Reads the current member.
impl<R: Read> Read for ArReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buf.is_empty() {
            return Ok(0);
        }
        let want = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let n = self.input.read(&mut buf[..want])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn write(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = b"!<arch>\n".to_vec();
        for (name, data) in members {
            out.extend_from_slice(
                format!(
                    "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                    0,
                    0,
                    0,
                    "100644",
                    data.len()
                )
                .as_bytes(),
            );
            out.extend_from_slice(data);
            if data.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        out
    }

    fn read(data: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut ar = ArReader::new(data);
        let mut all = Vec::new();
        while let Some(member) = ar.next_member()? {
            let mut content = Vec::new();
            ar.read_to_end(&mut content)?;
            all.push((member.name, content));
        }
        Ok(all)
    }

    #[test]
    fn members_come_back() {
        let data = write(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar.xz/", b"odd"),
            ("data.tar", b""),
        ]);
        let all = read(&data).unwrap();
        assert_eq!(
            all.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(),
            ["debian-binary", "control.tar.xz", "data.tar"]
        );
        assert_eq!(all[1].1, b"odd");
    }

    #[test]
    fn truncation_and_damage_are_errors_not_panics() {
        let data = write(&[("a", b"12345"), ("b", b"1234")]);
        let boundary = 8 + 60 + 6;
        for cut in 0..data.len() {
            let whole = [8, boundary, boundary - 1].contains(&cut);
            assert_eq!(read(&data[..cut]).is_ok(), whole, "cut at {cut}");
        }
        for at in 0..data.len() {
            for value in [0, b'-', b'9', 0xff] {
                let mut broken = data.clone();
                broken[at] = value;
                let _ = read(&broken);
            }
        }
    }
}
