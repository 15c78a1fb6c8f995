//! Layers in the making.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::{
    Image, NamesLock, Store, remove_tree, sync_dir, sync_fs, temporary_name, try_lock, unique_id,
    write_json,
};
use crate::{Error, Result};

/// A layer that is being made. It appears in the store when it is committed, and vanishes when it is dropped before.
#[derive(Debug)]
pub struct NewLayer {
    store: Store,
    path: PathBuf,
    _lock: File,
    committed: bool,
}

impl Store {
    /// Begins a layer.
    pub fn new_layer(&self) -> Result<NewLayer> {
        // Under the names lock, so that cleaning sees the directory never without its lock held.
        let _names = self.lock_names()?;
        let path = self.home.join("layers").join(temporary_name());
        fs::create_dir(&path).map_err(|e| Error::io("make", &path, e))?;
        let lock = try_lock(&path)?.ok_or_else(|| Error::Store {
            path: path.clone(),
            reason: "locked".to_owned(),
        })?;
        Ok(NewLayer {
            store: self.clone(),
            path,
            _lock: lock,
            committed: false,
        })
    }

    /// Whether a layer is there now. It stays only as long as an image or a machine uses it.
    pub(crate) fn has_layer(&self, id: &str) -> bool {
        self.layer_path(id).is_ok()
    }

    /// Makes `image` exist, with the layers that it names. Those of `made` get their names now, unless there are layers of these
    /// names already; all others must be there.
    ///
    /// # Errors
    /// [`Error::LayerGone`] where one of the others has been removed meanwhile.
    pub(crate) fn commit_image(&self, made: Vec<(String, NewLayer)>, image: &Image) -> Result<()> {
        if let Some((_, layer)) = made.first() {
            sync_fs(&layer.path)?;
        }
        let names = self.lock_names()?;
        let layers = self.home.join("layers");
        for id in image.layers() {
            if !made.iter().any(|(new, _)| *new == id) && !self.has_layer(&id) {
                return Err(Error::LayerGone(id));
            }
        }
        for (id, layer) in made {
            if !layers.join(&id).exists() {
                layer.publish(&names, &id)?;
            }
        }
        sync_dir(&layers)?;
        write_json(&self.image_file(&image.name), image)?;
        self.clean(&names)
    }
}

impl NewLayer {
    /// Where the layer's file system store is to be made; does not exist yet.
    pub fn fs_dir(&self) -> PathBuf {
        self.path.join("fs")
    }

    /// A directory for work in progress; it vanishes with the layer.
    pub(crate) fn dir(&self) -> &Path {
        &self.path
    }

    /// Gives the layer its name. It is removed by the next cleaning, unless something uses it by then.
    pub(super) fn publish(mut self, _names: &NamesLock, id: &str) -> Result<()> {
        let path = self.store.home.join("layers").join(id);
        fs::rename(&self.path, &path).map_err(|e| Error::io("make", &path, e))?;
        self.committed = true;
        Ok(())
    }

    /// Makes the layer durable and gives it to `image`, which thereby exists; an image of the same name is replaced. Returns the
    /// image with its layer filled in.
    pub fn commit(self, image: Image) -> Result<Image> {
        let store = self.store.clone();
        let id = unique_id();
        let image = image.with_layers(vec![id.clone()]);
        store.commit_image(vec![(id, self)], &image)?;
        Ok(image)
    }
}

impl Drop for NewLayer {
    fn drop(&mut self) {
        if !self.committed
            && let Err(error) = remove_tree(&self.path)
        {
            tracing::warn!("{error}; it will be removed at the next use of the store");
        }
    }
}
