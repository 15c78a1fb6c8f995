//! Layers in the making.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use super::{
    Image, Store, remove_tree, sync_dir, sync_fs, temporary_name, try_lock, unique_id, write_json,
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
}

impl NewLayer {
    /// Where the layer's file system store is to be made; does not exist yet.
    pub fn fs_dir(&self) -> PathBuf {
        self.path.join("fs")
    }

    /// Makes the layer durable and gives it to `image`, which thereby exists; an image of the same name is replaced. Returns the
    /// image with its layer filled in.
    pub fn commit(mut self, mut image: Image) -> Result<Image> {
        sync_fs(&self.path)?;
        let names = self.store.lock_names()?;
        let id = unique_id();
        let layers = self.store.home.join("layers");
        let path = layers.join(&id);
        fs::rename(&self.path, &path).map_err(|e| Error::io("make", &path, e))?;
        self.committed = true;
        sync_dir(&layers)?;
        image.layer = id;
        write_json(&self.store.image_file(&image.name), &image)?;
        self.store.clean(&names)?;
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
