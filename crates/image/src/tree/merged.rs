//! A machine's root file system: its writable layer over its image's layer, read as one tree.
//!
//! The writable layer says what is gone in the way of Linux' overlayfs: a character device 0/0 stands for a removed name, and a
//! directory with the attribute `trusted.overlay.opaque` = `y` hides what the lower one has.

use std::{collections::BTreeMap, path::Path};

use tuxlet_fakefs::Item;
use tuxlet_vfs::FileType;

use super::{TreeSink, TreeSource, fakefs::FakefsSource};
use crate::Result;

/// Attributes by which overlayfs remembers things; no part of the tree that is seen.
const PRIVATE_XATTRS: &[u8] = b"trusted.overlay.";
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// Two stores, one over the other.
#[derive(Debug)]
pub struct MergedSource {
    upper: FakefsSource,
    lower: FakefsSource,
}

impl MergedSource {
    /// Opens the two stores.
    pub fn open(upper: &Path, lower: &Path) -> Result<MergedSource> {
        Ok(MergedSource {
            upper: FakefsSource::open(upper)?,
            lower: FakefsSource::open(lower)?,
        })
    }
}

/// Sorts as a walk does: what is in a directory directly after it, siblings by name.
fn key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|&byte| if byte == b'/' { 0 } else { byte })
        .collect()
}

impl TreeSource for MergedSource {
    fn copy_to(&mut self, sink: &mut dyn TreeSink) -> Result<()> {
        let mut all: BTreeMap<Vec<u8>, (bool, Item)> = BTreeMap::new();
        self.lower.visit(|item| {
            all.insert(key(&item.path), (false, item.clone()));
            Ok(())
        })?;
        self.upper.visit(|item| {
            if item.path.split(|&byte| byte == b'/').next() == Some(tuxlet_overlayfs::WORK_DIR) {
                return Ok(());
            }
            let key = key(&item.path);
            let whiteout =
                item.kind == FileType::CharDevice && (item.rdev.major, item.rdev.minor) == (0, 0);
            let opaque = || -> Result<bool> {
                Ok(self
                    .upper
                    .xattrs(item.ino)?
                    .iter()
                    .any(|(name, value)| name == OPAQUE && value == b"y"))
            };
            if whiteout || item.kind != FileType::Directory || opaque()? {
                let below: Vec<Vec<u8>> = all
                    .range(key.clone()..)
                    .take_while(|(k, _)| k.starts_with(&key))
                    .filter(|(k, _)| key.is_empty() || k.len() == key.len() || k[key.len()] == 0)
                    .map(|(k, _)| k.clone())
                    .collect();
                below.iter().for_each(|k| {
                    all.remove(k);
                });
            }
            if !whiteout {
                all.insert(key, (true, item.clone()));
            }
            Ok(())
        })?;
        // Inode numbers of the two stores have nothing to do with each other.
        let (mut upper_first, mut lower_first) = (Default::default(), Default::default());
        for (in_upper, item) in all.values() {
            let (source, first) = if *in_upper {
                (&self.upper, &mut upper_first)
            } else {
                (&self.lower, &mut lower_first)
            };
            source.copy_item(item, first, PRIVATE_XATTRS, sink)?;
        }
        Ok(())
    }
}
