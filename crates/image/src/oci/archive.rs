//! Archives that hold images: OCI layouts in a tar archive, and what `docker save` writes.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use serde::Deserialize;

use super::{
    config::{self, CONFIG_MAX, Parsed},
    manifest::{Descriptor, Manifest, Platform, choose},
    unpack::{Limits, Stack, layer_ids},
};
use crate::{
    Error, Result, compress,
    progress::{Progress, Stage},
    store::{Digest, Image, ImageName, NewLayer, Store},
    tar::{Kind, TarReader},
};

/// Largest document in an archive.
const DOCUMENT_MAX: u64 = 4 << 20;
/// Most files in an archive.
const FILES_MAX: usize = 20_000;
/// How deep indexes may be nested, and how many links may follow each other.
const DEPTH_MAX: usize = 4;
/// What an OCI layout and `docker save` have at their top, beside names of 64 digits.
const MARKS: [&str; 3] = ["oci-layout", "index.json", "manifest.json"];

/// Whether the beginning of a tar archive, compressed or not, is that of an archive of images; `None` where it does not tell.
pub(crate) fn holds_images(what: &str, head: impl Read) -> Result<Option<bool>> {
    let (plain, _) = compress::decompress(what, head)?;
    let mut tar = TarReader::new(plain);
    loop {
        // Damage is for the one who reads it all.
        let Ok(entry) = tar.next_entry() else {
            return Ok(None);
        };
        let Some(entry) = entry else {
            return Ok(Some(false));
        };
        let name = plain_name(&entry.path);
        let top = name.split('/').next().unwrap_or_default();
        if MARKS.contains(&&*name) && matches!(entry.kind, Kind::File { .. }) {
            return Ok(Some(true));
        }
        // Directories of layers have 64 digits; documents and layers at the top are called as their makers like.
        let hex = top.len() == 64 && top.bytes().all(|b| b.is_ascii_hexdigit());
        let part = !name.contains('/')
            && ([".json", ".tar", ".tar.gz"]
                .iter()
                .any(|e| name.ends_with(e))
                || name.starts_with("sha256:"));
        let known = top.is_empty() || top == "blobs" || top == "repositories" || hex || part;
        if !known {
            return Ok(Some(false));
        }
    }
}

/// A name in an archive without what does not matter. Names lead nowhere here but to other names.
fn plain_name(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[derive(Debug, Clone)]
enum Member {
    /// Its number in the scratch directory, and its size.
    File(usize, u64),
    /// Another name.
    Link(String),
}

/// The files of an archive, on the host's disk under numbers.
struct Files {
    what: String,
    scratch: NewLayer,
    members: HashMap<String, Member>,
}

impl Files {
    fn extract(what: &str, scratch: NewLayer, archive: impl Read, limits: Limits) -> Result<Files> {
        let (plain, _) = compress::decompress(what, archive)?;
        let mut tar = TarReader::new(plain);
        let mut members = HashMap::new();
        let mut left = limits.archive;
        let broken = |e: io::Error| Error::archive(what, e.to_string());
        while let Some(entry) = tar.next_entry().map_err(broken)? {
            if members.len() >= FILES_MAX {
                return Err(Error::archive(
                    what,
                    format!("it has more than {FILES_MAX} files"),
                ));
            }
            let name = plain_name(&entry.path);
            let member = match entry.kind {
                Kind::File { size } => {
                    left = left
                        .checked_sub(size)
                        .ok_or_else(|| Error::archive(what, "it is too large"))?;
                    let number = members.len();
                    let path = scratch.dir().join(number.to_string());
                    let mut write = || -> io::Result<()> {
                        let mut file = File::create_new(&path)?;
                        io::copy(&mut tar.data(), &mut file)?;
                        Ok(())
                    };
                    write().map_err(|e| match e.kind() {
                        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => broken(e),
                        _ => Error::io("write", &path, e),
                    })?;
                    Member::File(number, size)
                }
                Kind::HardLink { target } => Member::Link(plain_name(&target)),
                // Old versions of `docker save` have links to the layers of other images.
                Kind::Symlink { target } if target.first() == Some(&b'/') => continue,
                Kind::Symlink { target } => {
                    let directory = name.rsplit_once('/').map_or("", |(d, _)| d);
                    let joined = format!("{directory}/{}", String::from_utf8_lossy(&target));
                    Member::Link(plain_name(joined.as_bytes()))
                }
                Kind::Directory | Kind::Special(_) => continue,
            };
            members.insert(name, member);
        }
        Ok(Files {
            what: what.to_owned(),
            scratch,
            members,
        })
    }

    /// The file of that name: where it is, and its size.
    fn find(&self, name: &str) -> Option<(PathBuf, u64)> {
        let mut name = plain_name(name.as_bytes());
        for _ in 0..DEPTH_MAX {
            match self.members.get(&name)? {
                Member::File(number, size) => {
                    return Some((self.scratch.dir().join(number.to_string()), *size));
                }
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    fn open(&self, name: &str) -> Result<(File, u64)> {
        let missing = || Error::archive(&self.what, format!("it has no {name}"));
        let (path, size) = self.find(name).ok_or_else(missing)?;
        let file = File::open(&path).map_err(|e| Error::io("open", &path, e))?;
        Ok((file, size))
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let (mut file, size) = self.open(name)?;
        if size > limit {
            return Err(Error::archive(
                &self.what,
                format!("its {name} is too large"),
            ));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|e| Error::archive(&self.what, e.to_string()))?;
        Ok(bytes)
    }

    /// A document of an OCI layout, checked.
    fn blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let digest = descriptor.digest(&self.what)?;
        let bytes = self.read(&blob_name(&digest), limit)?;
        self.check(&digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    fn check(&self, expected: &Digest, got: Digest) -> Result<()> {
        if *expected == got {
            return Ok(());
        }
        Err(Error::Hash {
            what: format!("a part of {}", self.what),
            expected: expected.to_string(),
            got: got.to_string(),
        })
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{digest}")
}

/// An image in an archive.
struct Found {
    /// The names that the archive gives it.
    names: Vec<String>,
    digest: Option<Digest>,
    config: Vec<u8>,
    /// Its layers' names in the archive, lowest first; with their checksums where the archive has them.
    layers: Vec<(String, Option<Digest>)>,
}

/// Makes images of what an archive holds: all of them under their own names, or its only one under `name`. `what` is the archive's
/// name for people.
pub fn import_archive(
    store: &Store,
    name: Option<&ImageName>,
    what: &str,
    archive: impl Read,
    progress: &dyn Progress,
) -> Result<Vec<Image>> {
    let limits = Limits::default();
    let files = Files::extract(what, store.new_layer()?, archive, limits)?;
    progress.end(Stage::Import);
    let found = if files.find("index.json").is_some() && files.find("oci-layout").is_some() {
        oci_images(&files)?
    } else {
        docker_images(&files)?
    };
    if name.is_some() && found.len() != 1 {
        let reason = format!(
            "it holds {} images; leave the name out to import all",
            found.len()
        );
        return Err(Error::image(what, reason));
    }
    progress.begin(
        Stage::Unpack,
        found.iter().map(|f| f.layers.len() as u64).sum(),
    );
    let mut images = Vec::new();
    for found in &found {
        let mut names: Vec<ImageName> = Vec::new();
        match name {
            Some(name) => names.push(name.clone()),
            None => {
                for text in &found.names {
                    names.push(text.parse()?);
                }
            }
        }
        if names.is_empty() {
            return Err(Error::image(
                what,
                "the image in it has no name; give it one",
            ));
        }
        for name in names {
            images.push(install(store, &name, &files, found, limits, progress)?);
        }
    }
    progress.end(Stage::Unpack);
    Ok(images)
}

fn install(
    store: &Store,
    name: &ImageName,
    files: &Files,
    found: &Found,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Image> {
    let what = &files.what;
    let Parsed { config, diff_ids } = config::parse(what, &found.config, found.layers.len())?;
    let ids = layer_ids(&diff_ids);
    let mut stack = Stack::new(store, limits);
    for ((id, diff), (file, digest)) in ids.iter().zip(&diff_ids).zip(&found.layers) {
        progress.item(Stage::Unpack, name.repository());
        if !stack.take(id) {
            let (mut archive, _) = files.open(file)?;
            if let Some(expected) = digest {
                let read = |e| Error::archive(what, format!("{e}"));
                let (got, _) = Digest::of_stream(&archive).map_err(read)?;
                files.check(expected, got)?;
                io::Seek::rewind(&mut archive).map_err(read)?;
            }
            stack.apply(id, &format!("layer {file} of {what}"), diff, archive)?;
        }
        progress.advance(Stage::Unpack, 1);
    }
    let image = Image {
        digest: found.digest.map(|d| format!("sha256:{d}")),
        config,
        ..Image::new(name.clone(), what.clone())
    };
    stack.commit(image)
}

/// The images of an OCI layout: one for each name in its index.
fn oci_images(files: &Files) -> Result<Vec<Found>> {
    let what = &files.what;
    let index = files.read("index.json", DOCUMENT_MAX)?;
    let Manifest::Index(all) = Manifest::parse(what, &index, None)? else {
        return Err(Error::archive(what, "its index is none"));
    };
    let mut by_name: BTreeMap<Option<String>, Vec<Descriptor>> = BTreeMap::new();
    for descriptor in all {
        by_name
            .entry(name_of(&descriptor))
            .or_default()
            .push(descriptor);
    }
    let mut images: Vec<Found> = Vec::new();
    for (name, descriptors) in by_name {
        let mut descriptor = match &descriptors[..] {
            // What it is for stands in its configuration, too.
            [only] if only.platform.as_ref().is_none_or(Platform::is_ours) => only.clone(),
            several => choose(what, several)?.clone(),
        };
        let digest = descriptor.digest(what)?;
        for depth in 0.. {
            if depth > DEPTH_MAX {
                return Err(Error::archive(what, "its indexes are nested too deep"));
            }
            let bytes = files.blob(&descriptor, DOCUMENT_MAX)?;
            match Manifest::parse(what, &bytes, Some(&descriptor.media_type))? {
                Manifest::Index(manifests) => descriptor = choose(what, &manifests)?.clone(),
                Manifest::Image { config, layers } => {
                    let layers = layers.iter().map(|layer| {
                        let digest = layer.digest(what)?;
                        Ok((blob_name(&digest), Some(digest)))
                    });
                    let layers = layers.collect::<Result<Vec<_>>>()?;
                    let config = files.blob(&config, CONFIG_MAX)?;
                    match images.iter_mut().find(|i| i.digest == Some(digest)) {
                        Some(same) => same.names.extend(name),
                        None => images.push(Found {
                            names: name.into_iter().collect(),
                            digest: Some(digest),
                            config,
                            layers,
                        }),
                    }
                    break;
                }
            }
        }
    }
    Ok(images)
}

/// The name of an image in an index: containerd's annotation is complete, OCI's may be a tag only.
fn name_of(descriptor: &Descriptor) -> Option<String> {
    let full = descriptor.annotation("io.containerd.image.name");
    let reference = descriptor
        .annotation("org.opencontainers.image.ref.name")
        .filter(|name| name.contains(['/', ':']));
    full.or(reference).map(str::to_owned)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The images of `docker save`.
fn docker_images(files: &Files) -> Result<Vec<Found>> {
    let what = &files.what;
    let manifest = files.read("manifest.json", DOCUMENT_MAX)?;
    let images: Vec<DockerImage> = serde_json::from_slice(&manifest)
        .map_err(|e| Error::archive(what, format!("its manifest.json is broken: {e}")))?;
    if images.is_empty() {
        return Err(Error::archive(what, "it holds no image"));
    }
    let found = images.into_iter().map(|image| {
        Ok(Found {
            names: image.repo_tags.unwrap_or_default(),
            digest: None,
            config: files.read(&image.config, CONFIG_MAX)?,
            layers: image
                .layers
                .into_iter()
                .map(|layer| (layer, None))
                .collect(),
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        for name in names {
            let mut header = ::tar::Header::new_ustar();
            let directory = name.ends_with('/');
            header.set_entry_type(if directory {
                ::tar::EntryType::Directory
            } else {
                ::tar::EntryType::Regular
            });
            header.set_size(0);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, io::empty()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn archives_are_told_apart_by_what_is_in_them() {
        let hex = "a".repeat(64);
        let layer = format!("{hex}/layer.tar");
        let config = format!("{hex}.json");
        for (names, holds) in [
            (
                vec!["blobs/", "blobs/sha256/x", "index.json", "oci-layout"],
                Some(true),
            ),
            (vec![&*layer, &*config, "manifest.json"], Some(true)),
            (vec!["./", "./oci-layout"], Some(true)),
            (vec!["./", "./bin/", "./manifest.json"], Some(false)),
            (
                vec!["c.json", "sha256:1", "l.tar", "manifest.json"],
                Some(true),
            ),
            (vec!["backup.tar", "bin/sh", "manifest.json"], Some(false)),
            (vec!["etc/oci-layout"], Some(false)),
            (vec!["blobs/"], Some(false)),
            (vec!["oci-layout/"], Some(false)),
        ] {
            let bytes = archive(&names);
            assert_eq!(holds_images("x", &bytes[..]).unwrap(), holds, "{names:?}");
        }
        let cut = &archive(&["blobs/sha256/x"])[..600];
        assert_eq!(holds_images("x", cut).unwrap(), None);
    }

    #[test]
    fn names_lead_nowhere_else() {
        for (name, plain) in [
            ("./a//b/", "a/b"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../../b", "b"),
            ("/", ""),
        ] {
            assert_eq!(plain_name(name.as_bytes()), plain);
        }
    }
}
