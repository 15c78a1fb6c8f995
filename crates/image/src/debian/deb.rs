//! One `.deb` into a tree.

use std::{
    collections::HashMap,
    io::{self, Read},
};

use md5::{Digest as _, Md5};

use super::{
    ar::ArReader,
    deb822::{self, Paragraph},
    packages::is_package_name,
};
use crate::{
    Error, Result, compress,
    tar::{Kind, TarReader},
    tree::{Meta, TreeBuilder},
};

/// Most bytes of a package's control files together.
const CONTROL_MAX: u64 = 64 << 20;

/// What dpkg's database has to know about an unpacked package.
#[derive(Debug)]
pub struct Unpacked {
    /// Its control paragraph.
    pub control: Paragraph,
    /// Its control files but `control` itself, with their metadata: maintainer scripts, checksums, triggers.
    pub files: Vec<(String, Meta, Vec<u8>)>,
    /// Every path it put into the tree, as dpkg lists them.
    pub list: Vec<u8>,
    /// Configuration files and their MD5 checksums, in hexadecimal.
    pub conffiles: Vec<(String, String)>,
}

impl Unpacked {
    /// The package's name.
    pub fn name(&self) -> &str {
        self.control.get("Package").unwrap_or_default()
    }

    /// The name of its files in dpkg's database: with the architecture where several can be installed together.
    pub fn info_name(&self) -> String {
        match (
            self.control.get("Multi-Arch"),
            self.control.get("Architecture"),
        ) {
            (Some("same"), Some(arch)) => format!("{}:{arch}", self.name()),
            _ => self.name().to_owned(),
        }
    }

    /// One of its control files.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files
            .iter()
            .find(|(n, _, _)| n == name)
            .map(|(_, _, data)| data.as_slice())
    }
}

/// Unpacks the package `deb` into the tree. `what` is its name for messages.
pub fn unpack(what: &str, deb: impl Read, tree: &mut TreeBuilder<'_>) -> Result<Unpacked> {
    let broken = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::archive(what, "it is cut short"),
        _ => Error::archive(what, e.to_string()),
    };
    let mut ar = ArReader::new(deb);
    match ar.next_member().map_err(broken)? {
        Some(member) if member.name == "debian-binary" && member.size < 100 => {
            let mut format = String::new();
            ar.read_to_string(&mut format).map_err(broken)?;
            if !format.starts_with("2.") {
                return Err(Error::archive(
                    what,
                    format!("its format is {:?}, not 2.0", format.trim_end()),
                ));
            }
        }
        _ => return Err(Error::archive(what, "it is not a Debian package")),
    }
    let mut unpacked = None;
    while let Some(member) = ar.next_member().map_err(broken)? {
        if member.name.starts_with("control.tar") {
            let (stream, _) = compress::decompress(what, &mut ar)?;
            unpacked = Some(read_control(what, stream)?);
        } else if member.name.starts_with("data.tar") {
            let mut unpacked = unpacked
                .ok_or_else(|| Error::archive(what, "its data stands before its control files"))?;
            let (stream, _) = compress::decompress(what, &mut ar)?;
            read_data(what, stream, &mut unpacked, tree)?;
            return Ok(unpacked);
        } else if !member.name.starts_with('_') {
            return Err(Error::archive(
                what,
                format!("it has an unknown member {:?}", member.name),
            ));
        }
    }
    Err(Error::archive(what, "it has no data"))
}

fn read_control(what: &str, stream: impl Read) -> Result<Unpacked> {
    let broken = |e: io::Error| Error::archive(what, format!("its control files: {e}"));
    let mut tar = TarReader::new(stream);
    let mut control = None;
    let mut files = Vec::new();
    let mut total = 0;
    while let Some(entry) = tar.next_entry().map_err(broken)? {
        let name = String::from_utf8_lossy(&entry.path)
            .trim_start_matches("./")
            .to_owned();
        let Kind::File { size } = entry.kind else {
            continue;
        };
        total += size;
        if total > CONTROL_MAX {
            return Err(Error::archive(what, "its control files are too large"));
        }
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return Err(Error::archive(
                what,
                format!("a control file is called {name:?}"),
            ));
        }
        let mut data = Vec::new();
        tar.data().read_to_end(&mut data).map_err(broken)?;
        if name == "control" {
            let text = String::from_utf8_lossy(&data);
            let mut paragraphs = deb822::parse(&text).map_err(|e| Error::Syntax {
                what: format!("{what}: control"),
                line: e.line,
                reason: e.reason,
            })?;
            control = paragraphs.drain(..).next();
        } else {
            files.push((
                name,
                Meta {
                    xattrs: Vec::new(),
                    ..entry.meta
                },
                data,
            ));
        }
    }
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(broken)?;
    let control = control
        .filter(|c| c.get("Package").is_some_and(is_package_name) && c.get("Version").is_some())
        .ok_or_else(|| Error::archive(what, "it has no proper control file"))?;
    Ok(Unpacked {
        control,
        files,
        list: Vec::new(),
        conffiles: Vec::new(),
    })
}

fn read_data(
    what: &str,
    stream: impl Read,
    unpacked: &mut Unpacked,
    tree: &mut TreeBuilder<'_>,
) -> Result<()> {
    let broken = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::archive(what, "its data is cut short"),
        _ => Error::archive(what, format!("its data: {e}")),
    };
    let declared: Vec<String> = unpacked.file("conffiles").map_or_else(Vec::new, |text| {
        // A flag may stand before the name (`remove-on-upgrade`); such a file is not shipped.
        String::from_utf8_lossy(text)
            .lines()
            .map(str::trim)
            .filter(|l| l.starts_with('/'))
            .map(str::to_owned)
            .collect()
    });
    let mut sums: HashMap<String, String> = HashMap::new();
    let mut tar = TarReader::new(stream);
    while let Some(entry) = tar.next_entry().map_err(broken)? {
        let path = entry.path.as_slice();
        let plain = path.strip_prefix(b".").unwrap_or(path);
        let plain = plain.strip_suffix(b"/").unwrap_or(plain);
        unpacked
            .list
            .extend_from_slice(if plain.is_empty() { b"/." } else { plain });
        unpacked.list.push(b'\n');
        match &entry.kind {
            Kind::File { size } => {
                let name = String::from_utf8_lossy(plain).into_owned();
                let mut data = Tee {
                    input: tar.data(),
                    sum: declared.contains(&name).then(Md5::new),
                    error: None,
                };
                let result = tree.file(path, &entry.meta, *size, &mut data);
                if let Some(error) = data.error {
                    return Err(broken(error));
                }
                result?;
                if let Some(sum) = data.sum {
                    sums.insert(
                        name,
                        sum.finalize().iter().map(|b| format!("{b:02x}")).collect(),
                    );
                }
            }
            Kind::HardLink { target } => tree.hard_link(path, target)?,
            Kind::Symlink { target } => tree.symlink(path, &entry.meta, target)?,
            Kind::Directory => tree.directory(path, &entry.meta)?,
            Kind::Special(special) => tree.special(path, &entry.meta, *special)?,
        }
    }
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(broken)?;
    unpacked.conffiles = declared
        .into_iter()
        .filter_map(|name| sums.remove(&name).map(|sum| (name, sum)))
        .collect();
    Ok(())
}

/// Sums what passes, and keeps the error that the sink would report in its own words.
struct Tee<R> {
    input: R,
    sum: Option<Md5>,
    error: Option<io::Error>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buf) {
            Ok(n) => {
                if let Some(sum) = &mut self.sum {
                    sum.update(&buf[..n]);
                }
                Ok(n)
            }
            Err(error) => {
                self.error = Some(io::Error::new(error.kind(), error.to_string()));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        compress::tests::{gzip, xz, zstd},
        debian::ar,
        tar::TarWriter,
        tree::{TreeSink, memory::MemoryTree},
    };

    /// A package made of control fields, control files and files.
    pub(crate) fn make(
        fields: &str,
        control: &[(&str, &str)],
        files: &[(&str, &str)],
        pack: fn(&[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        let tar = |files: Vec<(&str, &str)>| {
            let mut writer = TarWriter::new(Vec::new());
            writer.directory(b"", &Meta::root(0o755)).unwrap();
            let mut made = std::collections::BTreeSet::new();
            for (path, text) in files {
                for (at, _) in path.match_indices('/') {
                    if made.insert(path[..at].to_owned()) {
                        writer
                            .directory(&path.as_bytes()[..at], &Meta::root(0o755))
                            .unwrap();
                    }
                }
                writer
                    .file(
                        path.as_bytes(),
                        &Meta::root(0o755),
                        text.len() as u64,
                        &mut text.as_bytes(),
                    )
                    .unwrap();
            }
            writer.finish().unwrap();
            pack(&writer.into_inner())
        };
        let control = tar([("control", fields)]
            .into_iter()
            .chain(control.iter().copied())
            .collect());
        let data = tar(files.to_vec());
        ar::tests::write(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar.x", &control),
            ("data.tar.x", &data),
        ])
    }

    fn load(deb: &[u8]) -> Result<(Unpacked, MemoryTree)> {
        let mut sink = MemoryTree::default();
        let mut tree = TreeBuilder::new(&mut sink)?.keep_directory_links();
        tree.directory(b"usr/bin", &Meta::root(0o755))?;
        tree.symlink(b"bin", &Meta::root(0o777), b"usr/bin")?;
        let unpacked = unpack("test.deb", deb, &mut tree)?;
        tree.finish()?;
        Ok((unpacked, sink))
    }

    fn sample(pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        make(
            "Package: x\nVersion: 1\nArchitecture: arm64\nMulti-Arch: same\n",
            &[
                ("conffiles", "/etc/x.conf\nremove-on-upgrade /etc/old\n"),
                ("postinst", "#!/bin/sh\n"),
            ],
            &[("bin/x", "binary"), ("etc/x.conf", "hello")],
            pack,
        )
    }

    #[test]
    fn packages_unpack_in_all_compressions() {
        for pack in [gzip as fn(&[u8]) -> Vec<u8>, xz, zstd, <[u8]>::to_vec] {
            let (unpacked, tree) = load(&sample(pack)).unwrap();
            assert_eq!(tree.text("usr/bin/x"), "binary");
            assert_eq!(unpacked.info_name(), "x:arm64");
            assert_eq!(unpacked.list, b"/.\n/bin\n/bin/x\n/etc\n/etc/x.conf\n");
            assert_eq!(
                unpacked.conffiles,
                [(
                    "/etc/x.conf".to_owned(),
                    "5d41402abc4b2a76b9719d911017c592".to_owned()
                )]
            );
            assert_eq!(unpacked.file("postinst"), Some(&b"#!/bin/sh\n"[..]));
        }
    }

    #[test]
    fn truncation_and_damage_are_errors() {
        let deb = sample(xz);
        for cut in 0..deb.len() - 1 {
            assert!(
                matches!(load(&deb[..cut]), Err(Error::Archive { .. })),
                "cut at {cut}"
            );
        }
        for at in 0..deb.len() {
            let mut broken = deb.clone();
            broken[at] ^= 0x55;
            let _ = load(&broken);
        }
        assert!(load(b"").is_err());
        assert!(load(&make("Package: ../x\nVersion: 1\n", &[], &[], gzip)).is_err());
    }
}
