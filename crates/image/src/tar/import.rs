//! A tar archive, compressed or not, into a tree.

use std::io::{self, Read};

use super::{Kind, TarReader};
use crate::{Error, Result, compress, tree::TreeBuilder};

/// How much an archive may hold before it is refused.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of entries.
    pub entries: u64,
    /// Sum of the file sizes in bytes.
    pub bytes: u64,
}

impl Default for Limits {
    /// Ten million entries, 256 GiB.
    fn default() -> Limits {
        Limits {
            entries: 10_000_000,
            bytes: 256 << 30,
        }
    }
}

/// Reads the archive `input` into the tree, to the very end, so that its checksums are verified. Names that start with `.wh.` are
/// whiteouts, as in OCI layers. `what` is the archive's name for messages.
///
/// # Errors
/// [`Error::Archive`] for damage, [`Error::UnsafePath`] for names that would leave the tree, and the sink's errors.
pub fn import(
    what: &str,
    input: impl Read,
    limits: Limits,
    tree: &mut TreeBuilder<'_>,
) -> Result<()> {
    let (stream, _) = compress::decompress(what, input)?;
    if import_plain(what, stream, limits, tree)? == 0 {
        return Err(Error::archive(what, "it is empty"));
    }
    Ok(())
}

/// As [`import`], of what has been decompressed already; returns the number of entries.
pub(crate) fn import_plain(
    what: &str,
    stream: impl Read,
    limits: Limits,
    tree: &mut TreeBuilder<'_>,
) -> Result<u64> {
    let mut tar = TarReader::new(stream);
    let mut entries = 0u64;
    let mut bytes = 0u64;
    while let Some(entry) = tar.next_entry().map_err(|e| read_error(what, entries, e))? {
        entries += 1;
        if entries > limits.entries {
            return Err(Error::archive(
                what,
                format!("it has more than {} entries", limits.entries),
            ));
        }
        let path = entry.path.as_slice();
        let trimmed = path.strip_suffix(b"/").unwrap_or(path);
        let (directory, name) = match trimmed.iter().rposition(|&b| b == b'/') {
            Some(at) => (&trimmed[..at], &trimmed[at + 1..]),
            None => (&b""[..], trimmed),
        };
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            match hidden {
                b".wh..opq" => tree.opaque(directory)?,
                // Housekeeping of aufs.
                _ if hidden.starts_with(b".wh.") => {}
                b"" | b"." | b".." => {
                    return Err(Error::unsafe_path(path, "it is a whiteout of nothing"));
                }
                _ => tree.whiteout(&[directory, b"/", hidden].concat())?,
            }
            continue;
        }
        match &entry.kind {
            Kind::File { size } => {
                bytes = bytes.saturating_add(*size);
                if bytes > limits.bytes {
                    return Err(Error::archive(
                        what,
                        format!("it holds more than {} bytes", limits.bytes),
                    ));
                }
                let mut data = Watched {
                    input: tar.data(),
                    error: None,
                };
                let result = tree.file(path, &entry.meta, *size, &mut data);
                // A sink reports what it could not read as its own failure; the archive is to blame.
                if let Some(error) = data.error {
                    return Err(read_error(what, entries, error));
                }
                result?;
            }
            Kind::HardLink { target } => tree.hard_link(path, target)?,
            Kind::Symlink { target } => tree.symlink(path, &entry.meta, target)?,
            Kind::Directory => tree.directory(path, &entry.meta)?,
            Kind::Special(special) => tree.special(path, &entry.meta, *special)?,
        }
    }
    // Padding after the end mark, and the compressed stream's own checks.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|e| read_error(what, entries, e))?;
    Ok(entries)
}

fn read_error(what: &str, entries: u64, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Error::archive(what, format!("it is cut short (after {entries} entries)"))
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            Error::archive(what, format!("{error} (after {entries} entries)"))
        }
        _ => Error::Io {
            what: format!("cannot read {what}"),
            source: error,
        },
    }
}

/// Keeps the error of a reader, which sinks pass on in their own words.
struct Watched<R> {
    input: R,
    error: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.error = Some(io::Error::new(error.kind(), error.to_string()));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compress::tests::{gzip, xz, zstd},
        tar::TarWriter,
        tree::{
            Meta, Mtime, Special, TreeSink, TreeSource,
            memory::{Item, MemoryTree},
        },
    };

    fn load(data: &[u8]) -> Result<MemoryTree> {
        let mut sink = MemoryTree::default();
        let mut tree = TreeBuilder::new(&mut sink)?;
        import("test.tar", data, Limits::default(), &mut tree)?;
        tree.finish()?;
        Ok(sink)
    }

    fn store(tree: &mut MemoryTree) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        tree.copy_to(&mut writer).unwrap();
        writer.finish().unwrap();
        writer.into_inner()
    }

    fn rich() -> MemoryTree {
        let mut sink = MemoryTree::default();
        let mut t = TreeBuilder::new(&mut sink).unwrap();
        let meta = Meta {
            mode: 0o4755,
            uid: 3_000_000_000,
            gid: 7,
            mtime: Mtime {
                secs: -5,
                nanos: 250_000_000,
            },
            xattrs: vec![
                (b"security.capability".to_vec(), b"\x01\n=\n\0\xff".to_vec()),
                (b"user.e".to_vec(), vec![]),
            ],
        };
        t.file(b"usr/bin/tool", &meta, 5, &mut &b"12345"[..])
            .unwrap();
        t.hard_link(b"usr/bin/tool2", b"usr/bin/tool").unwrap();
        let long = vec![b'n'; 200];
        t.file(
            &[b"d/", &long[..], b"/", &long[..]].concat(),
            &Meta::root(0o600),
            0,
            &mut &b""[..],
        )
        .unwrap();
        t.symlink(b"link", &Meta::root(0o777), &long).unwrap();
        t.special(
            b"dev/null",
            &Meta::root(0o666),
            Special::Char { major: 1, minor: 3 },
        )
        .unwrap();
        t.special(
            b"dev/sda",
            &Meta::root(0o660),
            Special::Block { major: 8, minor: 0 },
        )
        .unwrap();
        t.special(b"pipe", &Meta::root(0o600), Special::Fifo)
            .unwrap();
        t.directory(b"var/empty", &Meta::root(0o1777)).unwrap();
        t.finish().unwrap();
        sink
    }

    #[test]
    fn round_trip_is_exact_and_deterministic() {
        let mut tree = rich();
        let data = store(&mut tree);
        assert_eq!(data, store(&mut tree));
        for packed in [data.clone(), gzip(&data), xz(&data), zstd(&data)] {
            let mut again = load(&packed).unwrap();
            assert_eq!(again, tree);
            assert_eq!(store(&mut again), data);
        }
    }

    #[test]
    fn other_readers_read_what_is_written() {
        let data = store(&mut rich());
        let mut archive = tar::Archive::new(data.as_slice());
        let names: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert!(
            names.iter().any(|n| n.ends_with("usr/bin/tool")),
            "{names:?}"
        );
        assert_eq!(names.len(), 15);
    }

    #[test]
    fn archives_of_other_writers_are_read() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o640);
        header.set_mtime(77);
        builder
            .append_data(&mut header, "a/".repeat(90) + "f", &b"abc"[..])
            .unwrap();
        let tree = load(&builder.into_inner().unwrap()).unwrap();
        assert_eq!(tree.text(&("a/".repeat(90) + "f")), "abc");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let data = store(&mut rich());
        for cut in (0..data.len() - 2 * 512).step_by(100) {
            assert!(
                matches!(load(&data[..cut]), Err(Error::Archive { .. })),
                "cut at {cut}"
            );
        }
        let packed = gzip(&data);
        for cut in 0..packed.len() {
            assert!(load(&packed[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn damage_never_panics() {
        let data = store(&mut rich());
        let mut state = 0x2545_f491_4f6c_dd1du64;
        for _ in 0..3000 {
            let mut broken = data.clone();
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = (state >> 8) as usize % broken.len();
                broken[at] = state as u8;
                // Half of the time with a checksum that fits again.
                if state & 1 << 40 != 0 {
                    let start = at / 512 * 512;
                    let header = &mut broken[start..start + 512];
                    header[148..156].fill(b' ');
                    let sum: u64 = header.iter().map(|&b| u64::from(b)).sum();
                    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
            let _ = load(&broken);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let mut writer = TarWriter::new(Vec::new());
        writer
            .symlink(b"up", &Meta::root(0o777), b"../../..")
            .unwrap();
        writer
            .file(b"up/etc/passwd", &Meta::root(0o600), 1, &mut &b"x"[..])
            .unwrap();
        writer.finish().unwrap();
        assert_eq!(load(&writer.into_inner()).unwrap().text("etc/passwd"), "x");
        for name in [&b"../x"[..], b"a/../../x"] {
            let mut writer = TarWriter::new(Vec::new());
            writer
                .file(name, &Meta::root(0o600), 1, &mut &b"x"[..])
                .unwrap();
            writer.finish().unwrap();
            assert!(matches!(
                load(&writer.into_inner()),
                Err(Error::UnsafePath { .. })
            ));
        }
    }

    #[test]
    fn whiteouts_are_not_files() {
        let mut writer = TarWriter::new(Vec::new());
        writer
            .file(b"d/.wh.gone", &Meta::root(0o600), 0, &mut &b""[..])
            .unwrap();
        writer
            .file(b"d/.wh..wh..opq", &Meta::root(0o600), 0, &mut &b""[..])
            .unwrap();
        writer
            .file(b"d/kept", &Meta::root(0o600), 0, &mut &b""[..])
            .unwrap();
        writer.finish().unwrap();
        let layer = writer.into_inner();
        let mut sink = MemoryTree::default();
        let mut tree = TreeBuilder::new(&mut sink).unwrap();
        tree.file(b"d/gone", &Meta::root(0o600), 0, &mut &b""[..])
            .unwrap();
        tree.file(b"d/other", &Meta::root(0o600), 0, &mut &b""[..])
            .unwrap();
        tree.begin_layer();
        import("l", layer.as_slice(), Limits::default(), &mut tree).unwrap();
        let left: Vec<_> = sink
            .items
            .keys()
            .map(|k| String::from_utf8_lossy(k).into_owned())
            .collect();
        assert_eq!(left, ["", "d", "d/kept"]);
    }

    #[test]
    fn limits_hold() {
        let data = store(&mut rich());
        let mut sink = MemoryTree::default();
        let mut tree = TreeBuilder::new(&mut sink).unwrap();
        let few = Limits {
            entries: 3,
            ..Limits::default()
        };
        assert!(import("t", data.as_slice(), few, &mut tree).is_err());
        let mut sink = MemoryTree::default();
        let mut tree = TreeBuilder::new(&mut sink).unwrap();
        let small = Limits {
            bytes: 4,
            ..Limits::default()
        };
        assert!(import("t", data.as_slice(), small, &mut tree).is_err());
    }

    /// GNU tar's pax 1.0 sparse member, built by hand: 5 bytes at 1000 in a file of 2000.
    #[test]
    fn sparse_files_get_their_holes() {
        let record = |k: &str, v: &str| {
            let rest = k.len() + v.len() + 3;
            format!("{} {k}={v}\n", rest + 2)
        };
        let pax = [
            record("GNU.sparse.major", "1"),
            record("GNU.sparse.minor", "0"),
            record("GNU.sparse.name", "real"),
            record("GNU.sparse.realsize", "2000"),
        ]
        .concat();
        let mut body = b"1\n1000\n5\n".to_vec();
        body.resize(512, 0);
        body.extend_from_slice(b"hello");
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, data, name) in [
            (tar::EntryType::XHeader, pax.as_bytes(), "x"),
            (tar::EntryType::Regular, &body[..], "GNUSparseFile.0/real"),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(data.len() as u64);
            header.set_path(name).unwrap();
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        let tree = load(&builder.into_inner().unwrap()).unwrap();
        let Some(Item::File(_, bytes)) = tree.get("real") else {
            panic!("{tree:?}")
        };
        assert_eq!(bytes.len(), 2000);
        assert_eq!(&bytes[1000..1005], b"hello");
        assert!(bytes[..1000].iter().chain(&bytes[1005..]).all(|&b| b == 0));
    }
}
