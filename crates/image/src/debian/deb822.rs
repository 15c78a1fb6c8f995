//! Paragraphs of `Field: value` lines (deb822(5)): control files, package indices, release files, apt's `.sources`.

use std::io::{self, BufRead};

/// Longest paragraph, in bytes; the longest in Debian's indices are some ten kilobytes, a release file is a few hundred.
const PARAGRAPH_MAX: usize = 16 << 20;

/// One paragraph, its fields in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paragraph {
    fields: Vec<(String, String)>,
}

impl Paragraph {
    /// The value of a field, whose name matches in any case. Continuation lines are separated by `\n` and keep their indent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) {
        self.fields
            .retain(|(field, _)| !field.eq_ignore_ascii_case(name));
    }

    /// Puts a field after the others.
    pub fn push(&mut self, name: &str, value: &str) {
        self.fields.push((name.to_owned(), value.to_owned()));
    }

    /// Puts a field after the first one.
    pub fn insert_second(&mut self, name: &str, value: &str) {
        self.fields.insert(
            self.fields.len().min(1),
            (name.to_owned(), value.to_owned()),
        );
    }
}

impl std::fmt::Display for Paragraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.fields {
            let space = if value.is_empty() || value.starts_with('\n') {
                ""
            } else {
                " "
            };
            writeln!(f, "{name}:{space}{value}")?;
        }
        Ok(())
    }
}

/// Where and why a text is no deb822.
#[derive(Debug)]
pub struct Malformed {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Reads paragraphs from a stream.
pub struct Reader<R> {
    input: R,
    line: usize,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Starts to read.
    pub fn new(input: R) -> Reader<R> {
        Reader {
            input,
            line: 0,
            buffer: Vec::new(),
        }
    }

    /// The next paragraph; `None` at the end.
    pub fn next_paragraph(&mut self) -> io::Result<Option<Result<Paragraph, Malformed>>> {
        let mut paragraph = Paragraph::default();
        let mut size = 0;
        loop {
            self.buffer.clear();
            let n = io::Read::take(&mut self.input, PARAGRAPH_MAX as u64 + 1)
                .read_until(b'\n', &mut self.buffer)?;
            self.line += 1;
            size += n;
            let malformed = |reason: &str| {
                Ok(Some(Err(Malformed {
                    line: self.line,
                    reason: reason.to_owned(),
                })))
            };
            if size > PARAGRAPH_MAX {
                return malformed("the paragraph is too long");
            }
            let Ok(text) = std::str::from_utf8(&self.buffer) else {
                return malformed("it is not UTF-8 text");
            };
            let text = text.trim_end_matches(['\n', '\r']);
            if text.trim().is_empty() {
                if !paragraph.fields.is_empty() {
                    return Ok(Some(Ok(paragraph)));
                }
                if n == 0 {
                    return Ok(None);
                }
                size = 0;
            } else if text.starts_with('#') {
                // A comment, allowed in between.
            } else if text.starts_with([' ', '\t']) {
                match paragraph.fields.last_mut() {
                    Some((_, value)) => {
                        value.push('\n');
                        value.push_str(text.trim_end());
                    }
                    None => return malformed("a continuation line continues nothing"),
                }
            } else {
                match text.split_once(':') {
                    Some((name, value)) if !name.is_empty() && !name.contains([' ', '\t']) => {
                        paragraph.push(name, value.trim());
                    }
                    _ => return malformed("neither `Field: value` nor a continuation line"),
                }
            }
        }
    }
}

/// All paragraphs of a text.
pub fn parse(text: &str) -> Result<Vec<Paragraph>, Malformed> {
    let mut reader = Reader::new(text.as_bytes());
    let mut all = Vec::new();
    loop {
        match reader.next_paragraph() {
            Ok(Some(paragraph)) => all.push(paragraph?),
            Ok(None) => return Ok(all),
            Err(e) => {
                return Err(Malformed {
                    line: reader.line,
                    reason: e.to_string(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_continuations() {
        let all =
            parse("\n# c\nA: 1\nB:\n x\n .\n y\n# in between\nC: d: e\n\n\n \nA: 2\r\n").unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("a"), Some("1"));
        assert_eq!(all[0].get("B"), Some("\n x\n .\n y"));
        assert_eq!(all[0].get("C"), Some("d: e"));
        assert_eq!(all[1].get("A"), Some("2"));
        assert_eq!(all[0].to_string(), "A: 1\nB:\n x\n .\n y\nC: d: e\n");
    }

    #[test]
    fn malformed_lines_are_numbered() {
        assert_eq!(parse("A: 1\nnonsense\n").unwrap_err().line, 2);
        assert_eq!(parse(" x\n").unwrap_err().line, 1);
        assert!(parse("a b: c").is_err());
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut state = 1u64;
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..60)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    b"A: \n\t#\xff-b"[(state >> 40) as usize % 9]
                })
                .collect();
            let mut reader = Reader::new(bytes.as_slice());
            while let Some(Ok(_)) = reader.next_paragraph().unwrap() {}
        }
    }
}
