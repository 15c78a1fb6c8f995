//! Layers of images into layers of the store, which images share: each is named by itself and all that is below it.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use crate::{
    Error, Result, compress,
    store::{Digest, DigestReader, Image, NewLayer, Store},
    tar,
    tree::{TreeBuilder, fakefs::FakefsSink, fakefs::FakefsSource, merged::MergedSource},
};

/// How much a layer may hold before it is refused.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries, and the sum of the sizes of its files.
    pub tree: tar::Limits,
    /// Bytes of its archive after decompression.
    pub archive: u64,
}

impl Default for Limits {
    /// Five million entries, 64 GiB of files, 80 GiB of archive.
    fn default() -> Limits {
        Limits {
            tree: tar::Limits {
                entries: 5_000_000,
                bytes: 64 << 30,
            },
            archive: 80 << 30,
        }
    }
}

/// The names of the layers of an image in the store, lowest first: OCI's chain ids.
pub(super) fn layer_ids(diff_ids: &[Digest]) -> Vec<String> {
    let mut chain: Option<Digest> = None;
    let mut ids = Vec::with_capacity(diff_ids.len());
    for diff in diff_ids {
        let next = match chain {
            None => *diff,
            Some(below) => Digest::of(format!("sha256:{below} sha256:{diff}").as_bytes()),
        };
        ids.push(format!("sha256-{next}"));
        chain = Some(next);
    }
    ids
}

/// The layers of an image, on their way into the store.
#[derive(Debug)]
pub(super) struct Stack {
    store: Store,
    limits: Limits,
    /// What has been made for this image; it becomes visible with it.
    made: Vec<(String, NewLayer)>,
    /// All layers so far, lowest first: name and file system store.
    layers: Vec<(String, PathBuf)>,
}

impl Stack {
    pub(super) fn new(store: &Store, limits: Limits) -> Stack {
        Stack {
            store: store.clone(),
            limits,
            made: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// Puts a layer of the store on top, if it is there.
    pub(super) fn take(&mut self, id: &str) -> bool {
        match self.store.layer_path(id) {
            Ok(path) => {
                self.layers.push((id.to_owned(), path));
                true
            }
            Err(_) => false,
        }
    }

    /// Makes the layer `id` on top of a tar archive, compressed or not, whose uncompressed form has the checksum `diff`.
    pub(super) fn apply(
        &mut self,
        id: &str,
        what: &str,
        diff: &Digest,
        archive: impl Read,
    ) -> Result<()> {
        let layer = self.store.new_layer()?;
        let fs = layer.fs_dir();
        let mut sink = FakefsSink::create(&fs)?;
        let paths: Vec<PathBuf> = self
            .layers
            .iter()
            .rev()
            .map(|(_, path)| path.clone())
            .collect();
        let below = MergedSource::open(&paths)?;
        let mut tree = TreeBuilder::new(&mut sink)?.over(&below)?;
        let (plain, _) = compress::decompress(what, archive)?;
        let mut plain = DigestReader::new(Bounded {
            input: plain,
            left: self.limits.archive,
        });
        tar::import_plain(what, &mut plain, self.limits.tree, &mut tree)?;
        let got = plain.digest();
        if got != *diff {
            return Err(Error::Hash {
                what: format!("the content of {what}"),
                expected: diff.to_string(),
                got: got.to_string(),
            });
        }
        tree.finish()?;
        self.made.push((id.to_owned(), layer));
        self.layers.push((id.to_owned(), fs));
        Ok(())
    }

    /// Makes the image, with what was made for it.
    pub(super) fn commit(self, image: Image) -> Result<Image> {
        let mut size = 0;
        for (_, path) in &self.layers {
            size += FakefsSource::open(path)?.bytes()?;
        }
        let ids = self.layers.into_iter().rev().map(|(id, _)| id).collect();
        let image = Image { size, ..image }.with_layers(ids);
        self.store.commit_image(self.made, &image)?;
        Ok(image)
    }
}

/// Fails after so many bytes: a few bytes can decompress to any number.
struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => {
                self.left = left;
                Ok(n)
            }
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is too large when decompressed",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_by_their_chain() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let ids = layer_ids(&[a, b, b]);
        assert_eq!(ids[0], format!("sha256-{a}"));
        let second = Digest::of(format!("sha256:{a} sha256:{b}").as_bytes());
        assert_eq!(ids[1], format!("sha256-{second}"));
        assert_ne!(ids[1], ids[2]);
    }
}
