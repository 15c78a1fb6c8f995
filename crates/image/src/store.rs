//! The home of Tuxlet on the host's disk.
//!
//! ```text
//! HOME/version               format of this layout, "1"
//! HOME/lock                  held while names are changed
//! HOME/images/NAME.json      what an image is and which layer holds it
//! HOME/layers/ID/fs          a read-only layer: one file system store, never changed once it is here
//! HOME/layers/tmp-ID/        a layer being made; its `lock` is held by the maker
//! HOME/machines/NAME/        machine.json, `fs` (its writable layer), `lock` (held while it runs), `starting` (held while `lock`
//!                            is taken, until it answers), `volumes`
//! HOME/machines/tmp-ID/      a machine being made or removed
//! HOME/ephemeral/            the same for machines that end with the process that made them
//! HOME/cache/blobs/sha256/   downloads by content
//! HOME/cache/partial/        downloads not complete
//! ```
//!
//! Everything appears by one rename, after its content is on disk: what is visible is whole. Whatever a killed process leaves
//! behind is recognised by its free lock and removed at the next use. Layers are named apart from images, so that a newer image
//! of the same name does not pull the ground from under machines that stand on the older one.

mod blob;
mod image;
mod layer;
mod live;
mod machine;
mod name;
mod snapshot;
mod volume;

use std::{
    collections::{BTreeMap, HashSet},
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) use blob::DigestReader;
pub use blob::{BlobCache, Digest};
pub use image::{Image, ImageConfig};
pub use layer::NewLayer;
pub use machine::{Claim, Lifetime, Machine, MachineRecord, Snapshot};
pub use name::ImageName;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

/// The format of the layout; a store of another one is refused.
const VERSION: &str = "1\n";

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    home: PathBuf,
}

/// Keeps the store's names as they are while it lives.
#[derive(Debug)]
pub struct NamesLock {
    _file: File,
}

impl Store {
    /// Opens the user's store, making it where it is missing: `$TUXLET_HOME`, else `$XDG_DATA_HOME/tuxlet`, else
    /// `~/.local/share/tuxlet`.
    pub fn open_default() -> Result<Store> {
        Store::open(&default_home()?)
    }

    /// Opens the store in the directory `home`, making it where it is missing, and clears what killed processes left.
    pub fn open(home: &Path) -> Result<Store> {
        for directory in [
            "images",
            "layers",
            "machines",
            "ephemeral",
            "cache/blobs/sha256",
            "cache/partial",
        ] {
            let path = home.join(directory);
            fs::create_dir_all(&path).map_err(|e| Error::io("make", &path, e))?;
        }
        let home = fs::canonicalize(home).map_err(|e| Error::io("open", home, e))?;
        let store = Store { home };
        let names = store.lock_names()?;
        let version = store.home.join("version");
        match fs::read_to_string(&version) {
            Ok(text) if text == VERSION => {}
            Ok(text) => {
                let reason = format!(
                    "this store has format {}, this tuxlet knows only {}",
                    text.trim(),
                    VERSION.trim()
                );
                return Err(Error::Store {
                    path: version,
                    reason,
                });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                write_whole(&version, VERSION.as_bytes())?
            }
            Err(e) => return Err(Error::io("read", &version, e)),
        }
        store.clean(&names)?;
        Ok(store)
    }

    /// The store's directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The downloads.
    pub fn blobs(&self) -> BlobCache {
        BlobCache::new(self.home.join("cache"))
    }

    /// Holds off every other process that would change names.
    pub fn lock_names(&self) -> Result<NamesLock> {
        let path = self.home.join("lock");
        let file = open_lock(&path)?;
        file.lock().map_err(|e| Error::io("lock", &path, e))?;
        Ok(NamesLock { _file: file })
    }

    fn image_file(&self, name: &ImageName) -> PathBuf {
        self.home
            .join("images")
            .join(format!("{}.json", name.file_name()))
    }

    /// The image of that name.
    pub fn image(&self, name: &ImageName) -> Result<Image> {
        read_json(&self.image_file(name))?.ok_or_else(|| Error::NoImage(name.to_string()))
    }

    /// The directories of an image's file system stores, topmost first, to be opened read-only.
    pub fn layer_dirs(&self, image: &Image) -> Result<Vec<PathBuf>> {
        self.layer_paths(&image.layers())
    }

    /// The directories of these layers' file system stores.
    pub fn layer_paths(&self, ids: &[String]) -> Result<Vec<PathBuf>> {
        ids.iter().map(|id| self.layer_path(id)).collect()
    }

    /// The directory of a layer's file system store.
    pub fn layer_path(&self, id: &str) -> Result<PathBuf> {
        let plain = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let path = self.home.join("layers").join(id);
        if !plain || !path.is_dir() {
            return Err(Error::Store {
                path,
                reason: "this layer is missing".to_owned(),
            });
        }
        Ok(path.join("fs"))
    }

    /// All images, sorted by name.
    pub fn images(&self) -> Result<Vec<Image>> {
        let directory = self.home.join("images");
        let mut images: BTreeMap<ImageName, Image> = BTreeMap::new();
        for path in list(&directory)? {
            if path.extension().is_some_and(|e| e == "json")
                && let Some(image) = read_json::<Image>(&path)?
            {
                images.insert(image.name.clone(), image);
            }
        }
        Ok(images.into_values().collect())
    }

    /// Removes an image; its layer goes with its last user.
    ///
    /// # Errors
    /// [`Error::ImageInUse`] while a machine stands on it.
    pub fn remove_image(&self, name: &ImageName) -> Result<()> {
        let names = self.lock_names()?;
        let image = self.image(name)?;
        if let Some(user) = self
            .machines()?
            .into_iter()
            .find(|m| m.record.base_layers().first() == Some(&image.layer))
        {
            return Err(Error::ImageInUse {
                image: name.to_string(),
                machine: user.record.name,
            });
        }
        let path = self.image_file(name);
        fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        sync_dir(&self.home.join("images"))?;
        self.clean(&names)
    }

    /// Removes what killed processes left behind and layers that nothing uses. Needs the names lock, under which alone layers
    /// come into use.
    fn clean(&self, _names: &NamesLock) -> Result<()> {
        for place in ["layers", "machines", "ephemeral"] {
            for path in list(&self.home.join(place))? {
                let passing = place == "ephemeral" || is_temporary(&path);
                if passing && try_lock(&path)?.is_some() {
                    tracing::debug!("removing left-over {}", path.display());
                    remove_tree(&path)?;
                }
            }
        }
        for path in list(&self.home.join("images"))? {
            if is_temporary(&path) {
                // Written only under the names lock, which is ours.
                fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
        }
        let mut used: HashSet<String> = HashSet::new();
        for image in self.images()? {
            used.extend(image.layers());
        }
        for machine in self.machines()? {
            used.extend(machine.record.all_layers());
        }
        for path in list(&self.home.join("layers"))? {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            if !is_temporary(&path) && !used.contains(name) {
                // Out of sight first: a half-removed layer must not look like one.
                let doomed = self.home.join("layers").join(temporary_name());
                fs::rename(&path, &doomed).map_err(|e| Error::io("remove", &path, e))?;
                remove_tree(&doomed)?;
            }
        }
        Ok(())
    }
}

/// Where the user's store is.
fn default_home() -> Result<PathBuf> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if let Some(home) = set("TUXLET_HOME") {
        return Ok(home);
    }
    if let Some(data) = set("XDG_DATA_HOME").filter(|p| p.is_absolute()) {
        return Ok(data.join("tuxlet"));
    }
    match set("HOME") {
        Some(home) => Ok(home.join(".local/share/tuxlet")),
        None => Err(Error::Store {
            path: PathBuf::from("$HOME"),
            reason: "not set; say where images shall live with TUXLET_HOME".to_owned(),
        }),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// A name no other process or earlier run uses.
fn unique_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64);
    format!(
        "{nanos:016x}-{:x}-{:x}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

fn temporary_name() -> String {
    format!("tmp-{}", unique_id())
}

fn is_temporary(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"tmp-"))
}

fn open_lock(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| Error::io("open", path, e))
}

/// The lock of the directory `path`, unless somebody holds it.
fn try_lock(path: &Path) -> Result<Option<File>> {
    let path = &path.join("lock");
    let file = open_lock(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(e)) => Err(Error::io("lock", path, e)),
    }
}

/// The entries of a directory, sorted.
fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?
            .map(|e| e.map(|e| e.path()))
            .collect()
    };
    let mut paths = read().map_err(|e| Error::io("list", directory, e))?;
    paths.sort();
    Ok(paths)
}

fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Makes a directory's entries durable.
fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|d| d.sync_all())
        .map_err(|e| Error::io("sync", path, e))
}

/// Makes everything that was written to the host file system of `path` durable, in one go.
fn sync_fs(path: &Path) -> Result<()> {
    tuxlet_host::fs::Dir::open(path)
        .and_then(|directory| directory.sync_fs())
        .map_err(|errno| Error::io("sync", path, io::Error::other(errno)))
}

/// `value` as the text of a file.
fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| Error::Store {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    text.push(b'\n');
    Ok(text)
}

/// Puts `content` at `path` in one step: it is there whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = directory.join(temporary_name());
    let write = || -> io::Result<()> {
        let mut file = File::create_new(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        Error::io("write", path, e)
    })?;
    sync_dir(directory)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_whole(path, &to_json(path, value)?)
}

/// `None` where the file does not exist.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Error::Store {
                path: path.to_owned(),
                reason: format!("damaged: {e}"),
            }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::machine::Lifetime::{Kept, Process};

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        (dir, store)
    }

    fn image(store: &Store, name: &str) -> Image {
        let layer = store.new_layer().unwrap();
        fs::create_dir(layer.fs_dir()).unwrap();
        fs::write(layer.fs_dir().join("content"), name).unwrap();
        let image = Image {
            created: 0,
            ..Image::new(name.parse().unwrap(), "test".into())
        };
        layer.commit(image).unwrap()
    }

    fn layers(store: &Store) -> usize {
        list(&store.home.join("layers")).unwrap().len()
    }

    #[test]
    fn images_are_made_listed_replaced_and_removed() {
        let (_dir, store) = store();
        let first = image(&store, "debian");
        image(&store, "alpine:3.20");
        let names: Vec<_> = store
            .images()
            .unwrap()
            .iter()
            .map(|i| i.name.to_string())
            .collect();
        assert_eq!(names, ["alpine:3.20", "debian"]);
        let second = image(&store, "debian");
        assert_ne!(first.layer, second.layer);
        assert_eq!(store.image(&"debian".parse().unwrap()).unwrap(), second);
        assert_eq!(layers(&store), 2, "the replaced image's layer is gone");
        store.remove_image(&"debian".parse().unwrap()).unwrap();
        assert!(matches!(
            store.image(&"debian".parse().unwrap()),
            Err(Error::NoImage(_))
        ));
        assert_eq!(layers(&store), 1);
    }

    #[test]
    fn abandoned_layers_vanish_and_live_ones_stay() {
        let (_dir, store) = store();
        let live = store.new_layer().unwrap();
        let dead = store.home.join("layers").join(temporary_name());
        fs::create_dir_all(dead.join("fs/half")).unwrap();
        let again = Store::open(store.home()).unwrap();
        assert!(live.fs_dir().parent().unwrap().is_dir());
        assert!(!dead.exists());
        drop(live);
        assert_eq!(layers(&again), 0, "a dropped layer cleans up after itself");
    }

    #[test]
    fn machines_hold_their_layer() {
        let (_dir, store) = store();
        let base = image(&store, "debian");
        let (machine, claim) = store
            .create_machine("m1", Some(&base), serde_json::json!({"x": 1}), Kept)
            .unwrap();
        drop(claim);
        assert!(matches!(
            store.create_machine("m1", Some(&base), serde_json::Value::Null, Kept),
            Err(Error::MachineExists(_))
        ));
        assert!(matches!(
            store.remove_image(&base.name),
            Err(Error::ImageInUse { .. })
        ));
        let newer = image(&store, "debian");
        assert!(
            store.layer_path(&base.layer).is_ok(),
            "the machine's layer outlives the image"
        );
        assert!(store.remove_image(&newer.name).is_ok());
        let lock = machine.lock().unwrap();
        assert!(matches!(
            store.remove_machine("m1"),
            Err(Error::MachineBusy(_))
        ));
        drop(lock);
        store.remove_machine("m1").unwrap();
        assert_eq!(layers(&store), 0);
        assert!(matches!(store.machine("m1"), Err(Error::NoMachine(_))));
    }

    #[test]
    fn short_lived_machines_go_with_their_process() {
        let (_dir, store) = store();
        let base = image(&store, "debian");
        let make = |name| {
            let made = store.create_machine(name, Some(&base), serde_json::Value::Null, Process);
            made.unwrap()
        };
        let (ended, ended_claim) = make("ended");
        let (killed, killed_claim) = make("killed");
        let (_living, _living_claim) = make("living");
        assert!(matches!(
            store.create_machine("living", None, serde_json::Value::Null, Kept),
            Err(Error::MachineExists(_))
        ));
        store.end_machine(&ended, ended_claim).unwrap();
        // As the end of its process does.
        drop(killed_claim);
        let again = Store::open(store.home()).unwrap();
        let names: Vec<_> = again.machines().unwrap();
        let names: Vec<_> = names.iter().map(|m| m.record.name.as_str()).collect();
        assert_eq!(names, ["living"]);
        assert!(!ended.dir().exists() && !killed.dir().exists());
        assert!(again.machine("living").unwrap().is_running().unwrap());
        assert_eq!(list(&store.home.join("ephemeral")).unwrap().len(), 1);
    }

    #[test]
    fn who_only_asks_is_in_nobodys_way() {
        let (_dir, store) = store();
        let (machine, claim) = store
            .create_machine("asked", None, serde_json::Value::Null, Kept)
            .unwrap();
        drop(claim);
        let claims = AtomicU32::new(0);
        let relaxed = Ordering::Relaxed;
        const CLAIMS: u32 = 2000;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while claims.load(relaxed) < CLAIMS {
                        machine.is_running().unwrap();
                        machine.wait_until_started().unwrap();
                    }
                });
            }
            while claims.fetch_add(1, relaxed) < CLAIMS {
                if machine.lock().is_err() {
                    claims.store(u32::MAX, relaxed);
                    panic!("a claim was refused that nobody stood against");
                }
            }
        });
    }

    #[test]
    fn other_formats_are_refused() {
        let (_dir, store) = store();
        fs::write(store.home.join("version"), "9\n").unwrap();
        assert!(matches!(
            Store::open(store.home()),
            Err(Error::Store { .. })
        ));
    }
}
