//! A root file system of several layers, read as one tree.
//!
//! Layers say what is gone below them in the way of Linux' overlayfs: a character device 0/0 stands for a removed name, and a
//! directory with the attribute `trusted.overlay.opaque` = `y` hides what lower ones have.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tuxlet_fakefs::{FakeFs, Item, Options};
use tuxlet_overlayfs::OverlayFs;
use tuxlet_uapi::errno::Errno;
use tuxlet_vfs::{Cx, FileSystem, FileType, Time};

use super::{Below, Meta, TreeSink, TreeSource, builder::join, fakefs::FakefsSource};
use crate::{Error, Result};

/// Attributes by which overlayfs remembers things; no part of the tree that is seen.
pub(crate) const PRIVATE_XATTRS: &[u8] = b"trusted.overlay.";
/// The attribute of a directory that hides what lower layers have in it.
pub(crate) const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// Most symbolic links followed in one walk, as in Linux.
const SYMLINKS_MAX: u32 = 40;

/// Whether an item stands for a removed name.
pub(crate) fn is_whiteout(item: &Item) -> bool {
    item.kind == FileType::CharDevice && (item.rdev.major, item.rdev.minor) == (0, 0)
}

/// Whether a path is overlayfs' own business.
pub(crate) fn is_work(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').next() == Some(tuxlet_overlayfs::WORK_DIR)
}

/// Stores one over the other.
#[derive(Debug)]
pub struct MergedSource {
    /// Topmost first.
    layers: Vec<FakefsSource>,
    /// The directory that is the root of what is read.
    top: Vec<u8>,
}

impl MergedSource {
    /// Opens the stores, topmost first.
    pub fn open(layers: &[PathBuf]) -> Result<MergedSource> {
        let layers = layers.iter().map(|path| FakefsSource::open(path));
        Ok(MergedSource {
            layers: layers.collect::<Result<_>>()?,
            top: Vec::new(),
        })
    }

    /// Reads only the directory `top`, as the root. Nothing is read where that is none.
    pub(crate) fn below(mut self, top: &[u8]) -> MergedSource {
        self.top = top.to_vec();
        self
    }

    /// What is at a path, and in which layer. Links are not followed.
    fn find(&self, path: &[u8]) -> Result<Option<(usize, Item)>> {
        for (number, layer) in self.layers.iter().enumerate() {
            let mut at = Vec::new();
            let mut hides = false;
            let mut parts = path
                .split(|&b| b == b'/')
                .filter(|p| !p.is_empty())
                .peekable();
            if parts.peek().is_none() {
                return Ok(layer.find(b"")?.map(|item| (number, item)));
            }
            while let Some(part) = parts.next() {
                at = join(&at, part);
                let Some(item) = layer.find(&at)?.filter(|_| !is_work(&at)) else {
                    break;
                };
                if is_whiteout(&item) {
                    return Ok(None);
                }
                if parts.peek().is_none() {
                    return Ok(Some((number, item)));
                }
                if item.kind != FileType::Directory {
                    return Ok(None);
                }
                hides |= layer.is_opaque(&item)?;
            }
            if hides {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Where a path leads when links in all but its last component are followed inside the tree. Components that are not there
    /// are kept as they are.
    pub(crate) fn resolve(&self, path: &[u8]) -> Result<Vec<u8>> {
        let parts = |path: &[u8]| -> Vec<Vec<u8>> {
            path.rsplit(|&b| b == b'/')
                .filter(|p| !p.is_empty() && *p != b".")
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut todo = parts(path);
        let mut at: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                at.truncate(at.iter().rposition(|&b| b == b'/').unwrap_or(0));
                continue;
            }
            let here = join(&at, &part);
            if !todo.is_empty()
                && let Some((_, item)) = self.find(&here)?
                && let Some(target) = item.target
            {
                links += 1;
                if links > SYMLINKS_MAX {
                    return Err(Error::unsafe_path(
                        path,
                        "too many symbolic links on the way",
                    ));
                }
                if target.first() == Some(&b'/') {
                    at.clear();
                }
                todo.extend(parts(&target));
            } else {
                at = here;
            }
        }
        Ok(at)
    }
}

impl Below for MergedSource {
    fn directory(&self, path: &[u8]) -> Result<Option<Meta>> {
        match self.find(path)? {
            Some((number, item)) if item.kind == FileType::Directory => {
                self.layers[number].meta(&item, PRIVATE_XATTRS).map(Some)
            }
            _ => Ok(None),
        }
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
        let mut all: BTreeMap<Vec<u8>, (usize, Item)> = BTreeMap::new();
        if self.find(&self.top)?.is_none() {
            return Ok(());
        }
        for (number, layer) in self.layers.iter().enumerate().rev() {
            if self.hides(number, &self.top)? {
                all.clear();
            }
            layer.visit_from(&self.top, |item| {
                if is_work(&item.path) {
                    return Ok(());
                }
                let key = key(&item.path);
                let whiteout = is_whiteout(item);
                if whiteout || item.kind != FileType::Directory || layer.is_opaque(item)? {
                    let below: Vec<Vec<u8>> = all
                        .range(key.clone()..)
                        .take_while(|(k, _)| k.starts_with(&key))
                        .filter(|(k, _)| {
                            key.is_empty() || k.len() == key.len() || k[key.len()] == 0
                        })
                        .map(|(k, _)| k.clone())
                        .collect();
                    below.iter().for_each(|k| {
                        all.remove(k);
                    });
                }
                if !whiteout {
                    all.insert(key, (number, item.clone()));
                }
                Ok(())
            })?;
        }
        // Inode numbers of different stores have nothing to do with each other.
        let mut first: Vec<HashMap<u64, Vec<u8>>> = vec![HashMap::new(); self.layers.len()];
        for (number, item) in all.values() {
            let mut item = item.clone();
            if !self.top.is_empty() {
                let rest = item.path.strip_prefix(&self.top[..]).unwrap_or_default();
                item.path = rest.strip_prefix(b"/").unwrap_or(rest).to_vec();
            }
            self.layers[*number].copy_item(&item, &mut first[*number], PRIVATE_XATTRS, sink)?;
        }
        Ok(())
    }
}

impl MergedSource {
    /// Whether a layer hides what lower ones have at a path, by a parent of it.
    fn hides(&self, number: usize, path: &[u8]) -> Result<bool> {
        let layer = &self.layers[number];
        let mut at = Vec::new();
        for part in path.split(|&b| b == b'/').filter(|p| !p.is_empty()) {
            at = join(&at, part);
            let Some(item) = layer.find(&at)? else {
                return Ok(false);
            };
            if item.kind != FileType::Directory || layer.is_opaque(&item)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Brings a writable layer over others, topmost first, into a state in which it can be read by itself: see
/// [`OverlayFs::settle`]. Nobody may use it meanwhile.
pub(crate) fn settled(upper: &Path, lower: &[PathBuf]) -> Result<()> {
    let index = [tuxlet_overlayfs::WORK_DIR, b"/index"].concat();
    if !FakefsSource::open(upper)?.has_entries(&index)? {
        return Ok(());
    }
    let failed = |path: &Path, reason: String| Error::Store {
        path: path.to_owned(),
        reason,
    };
    let open = |path: &Path, read_only: bool| {
        let options = Options {
            read_only,
            ..Options::default()
        };
        FakeFs::open(path, &options).map_err(|e| failed(path, e.to_string()))
    };
    let store = open(upper, false)?;
    let mut layers: Vec<Arc<dyn FileSystem>> = Vec::new();
    for path in lower {
        layers.push(open(path, true)?);
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let cx = Cx::host(Time {
        sec: i64::try_from(since.as_secs()).unwrap_or(0),
        nsec: since.subsec_nanos(),
    });
    let errno = |errno: Errno| failed(upper, errno.to_string());
    OverlayFs::new(Arc::<FakeFs>::clone(&store), layers)
        .and_then(|overlay| overlay.settle(&cx))
        .map_err(errno)?;
    store.shutdown().map_err(errno)
}
