//! An image from a registry into the store.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Seek,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    config::{self, CONFIG_MAX, Parsed},
    credentials::Credentials,
    manifest::{Descriptor, Manifest, choose},
    reference::Reference,
    registry::Registry,
    unpack::{Limits, Stack, layer_ids},
};
use crate::{
    Error, Result,
    http::{Expected, Fetcher},
    progress::{Progress, Stage},
    store::{Digest, Image, ImageName, Store},
};

/// Downloads at a time.
const CONNECTIONS: usize = 4;
/// How deep indexes may be nested.
const INDEX_DEPTH: usize = 3;
/// How often a pull starts again because somebody removes the layers that it counts on.
const ATTEMPTS: usize = 3;

/// What came of a pull.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// Whether it is another one than before.
    pub fresh: bool,
}

/// A layer of an image that is being pulled.
struct Layer {
    /// Its name in the store.
    id: String,
    /// Of its uncompressed archive.
    diff: Digest,
    /// Of its archive.
    blob: Expected,
}

/// Makes the image `name` of what a registry has under `reference` for linux/arm64. Layers that the store has are not fetched again;
/// an interrupted pull goes on where it was. The image appears when all of it is there.
pub fn pull(
    store: &Store,
    name: &ImageName,
    reference: &Reference,
    credentials: Option<Credentials>,
    progress: &dyn Progress,
) -> Result<Pulled> {
    let limits = Limits::default();
    pull_with(store, name, reference, credentials, None, limits, progress)
}

/// As [`pull`]; `fetcher` is how the registry is reached.
pub(super) fn pull_with(
    store: &Store,
    name: &ImageName,
    reference: &Reference,
    credentials: Option<Credentials>,
    fetcher: Option<Fetcher>,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Pulled> {
    progress.begin(Stage::Index, 0);
    let registry = Registry::connect(reference, credentials, fetcher)?;
    let what = reference.to_string();
    let (digest, config, layers) = resolve(&registry, reference, &what, progress)?;
    progress.end(Stage::Index);
    let digest = format!("sha256:{digest}");
    match store.image(name) {
        Ok(image) if image.digest.as_ref() == Some(&digest) && store.layer_dirs(&image).is_ok() => {
            return Ok(Pulled {
                image,
                fresh: false,
            });
        }
        Ok(_) | Err(Error::NoImage(_)) => {}
        Err(error) => return Err(error),
    }
    let mut attempt = 1;
    let image = loop {
        let image = Image {
            digest: Some(digest.clone()),
            config: config.clone(),
            ..Image::new(name.clone(), what.clone())
        };
        match install(store, &registry, &what, &layers, limits, image, progress) {
            Err(Error::LayerGone(id)) if attempt < ATTEMPTS => {
                tracing::debug!("layer {id} was removed meanwhile; starting again");
                attempt += 1;
            }
            other => break other?,
        }
    };
    // The layers are in the store now, and their archives of no more use.
    let cache = store.blobs();
    for layer in &layers {
        cache.remove(&layer.blob.digest)?;
    }
    Ok(Pulled { image, fresh: true })
}

/// Finds the manifest and configuration for us: the checksum of what the name stands for, the configuration, the layers.
fn resolve(
    registry: &Registry,
    reference: &Reference,
    what: &str,
    progress: &dyn Progress,
) -> Result<(Digest, crate::store::ImageConfig, Vec<Layer>)> {
    let mut version = reference.version();
    let mut expected = reference.digest();
    let mut first = None;
    for _ in 0..=INDEX_DEPTH {
        progress.item(Stage::Index, "manifest");
        let document = registry
            .manifest(&version)?
            .ok_or_else(|| Error::image(what, "the registry has no such image"))?;
        progress.advance(Stage::Index, document.bytes.len() as u64);
        let got = Digest::of(&document.bytes);
        check(&format!("the manifest of {what}"), expected, got)?;
        first = first.or(Some(got));
        match Manifest::parse(what, &document.bytes, document.media_type.as_deref())? {
            Manifest::Index(manifests) => {
                let digest = choose(what, &manifests)?.digest(what)?;
                expected = Some(digest);
                version = format!("sha256:{digest}");
            }
            Manifest::Image { config, layers } => {
                let Parsed { config, diff_ids } =
                    fetch_config(registry, what, &config, layers.len(), progress)?;
                let ids = layer_ids(&diff_ids);
                let layers = layers.iter().zip(diff_ids).zip(ids);
                let layers = layers.map(|((descriptor, diff), id)| {
                    Ok(Layer {
                        id,
                        diff,
                        blob: Expected {
                            digest: descriptor.digest(what)?,
                            size: descriptor.size,
                        },
                    })
                });
                let digest = first.unwrap_or(got);
                return Ok((digest, config, layers.collect::<Result<_>>()?));
            }
        }
    }
    Err(Error::image(what, "its indexes are nested too deep"))
}

fn check(what: &str, expected: Option<Digest>, got: Digest) -> Result<()> {
    match expected {
        Some(expected) if expected != got => Err(Error::Hash {
            what: what.to_owned(),
            expected: expected.to_string(),
            got: got.to_string(),
        }),
        _ => Ok(()),
    }
}

fn fetch_config(
    registry: &Registry,
    what: &str,
    descriptor: &Descriptor,
    layers: usize,
    progress: &dyn Progress,
) -> Result<Parsed> {
    progress.item(Stage::Index, "configuration");
    let digest = descriptor.digest(what)?;
    let url = registry.blob_url(&digest);
    let document = registry
        .fetcher()
        .document(&url, CONFIG_MAX)?
        .ok_or_else(|| Error::image(what, "the registry has lost its configuration"))?;
    progress.advance(Stage::Index, document.bytes.len() as u64);
    check(
        &format!("the configuration of {what}"),
        Some(digest),
        Digest::of(&document.bytes),
    )?;
    config::parse(what, &document.bytes, layers)
}

/// Fetches the layers that are missing, makes them, and then the image.
fn install(
    store: &Store,
    registry: &Registry,
    what: &str,
    layers: &[Layer],
    limits: Limits,
    image: Image,
    progress: &dyn Progress,
) -> Result<Image> {
    let missing: Vec<&Layer> = layers.iter().filter(|l| !store.has_layer(&l.id)).collect();
    let blobs = download(store, registry, &missing, progress)?;
    let mut stack = Stack::new(store, limits);
    progress.begin(Stage::Unpack, layers.len() as u64);
    for layer in layers {
        let short: String = layer.blob.digest.to_string().chars().take(12).collect();
        progress.item(Stage::Unpack, &short);
        if !stack.take(&layer.id) {
            // It was there when the missing ones were counted, where it has not been fetched.
            let mut blob = blobs
                .get(&layer.blob.digest)
                .ok_or_else(|| Error::LayerGone(layer.id.clone()))?;
            let part = format!("layer {short} of {what}");
            blob.rewind().map_err(|source| Error::Io {
                what: format!("cannot read {part}"),
                source,
            })?;
            stack.apply(&layer.id, &part, &layer.diff, blob)?;
        }
        progress.advance(Stage::Unpack, 1);
    }
    let image = stack.commit(image)?;
    progress.end(Stage::Unpack);
    Ok(image)
}

/// Fetches layers, several at a time, by way of the cache. They are held open: what others do to the cache does not matter then.
fn download(
    store: &Store,
    registry: &Registry,
    layers: &[&Layer],
    progress: &dyn Progress,
) -> Result<HashMap<Digest, File>> {
    // The same layer may be there several times.
    let wanted: BTreeMap<Digest, Expected> =
        layers.iter().map(|l| (l.blob.digest, l.blob)).collect();
    let wanted: Vec<Expected> = wanted.into_values().collect();
    let cache = store.blobs();
    progress.begin(Stage::Layers, wanted.iter().map(|e| e.size).sum());
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let done: Mutex<HashMap<Digest, File>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS.min(wanted.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed)
                    && let Some(expected) = wanted.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let name: String = expected.digest.to_string().chars().take(12).collect();
                    let count = AtomicU64::new(0);
                    progress.part(Stage::Layers, &name, 0, expected.size);
                    let advance = |n| {
                        let count = count.fetch_add(n, Ordering::Relaxed) + n;
                        progress.advance(Stage::Layers, n);
                        progress.part(Stage::Layers, &name, count, expected.size);
                    };
                    let urls = [registry.blob_url(&expected.digest)];
                    match registry.fetcher().blob(&cache, &urls, *expected, &advance) {
                        Ok(file) => {
                            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                            done.insert(expected.digest, file);
                        }
                        Err(error) => {
                            stop.store(true, Ordering::Relaxed);
                            failure
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    progress.end(Stage::Layers);
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}
