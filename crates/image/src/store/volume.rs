//! The volumes of machines: file systems of their own for directories whose content is apart from the root.

use std::{fs, path::PathBuf};

use super::{Machine, Store, remove_tree, sync_dir, temporary_name};
use crate::{
    Error, Result,
    tree::{TreeSink, TreeSource, fakefs::FakefsSink, merged::MergedSource},
};

impl Store {
    /// The file system store of a machine's volume at `path`, made of what the machine's image has there where it is missing. The
    /// caller holds the machine's lock.
    pub fn ensure_volume(&self, machine: &Machine, number: usize, path: &str) -> Result<PathBuf> {
        let volume = machine.volume_dir(number);
        if volume.exists() {
            return Ok(volume);
        }
        let volumes = machine.dir().join("volumes");
        fs::create_dir_all(&volumes).map_err(|e| Error::io("make", &volumes, e))?;
        for left in super::list(&volumes)? {
            if super::is_temporary(&left) {
                remove_tree(&left)?;
            }
        }
        let temporary = volumes.join(temporary_name());
        let mut sink = FakefsSink::create(&temporary)?;
        let layers = self.layer_paths(&machine.record.base_layers())?;
        if !layers.is_empty() {
            let source = MergedSource::open(&layers)?;
            let place = source.resolve(path.as_bytes())?;
            source.below(&place).copy_to(&mut sink)?;
        }
        sink.finish()?;
        drop(sink);
        fs::rename(&temporary, &volume).map_err(|e| Error::io("make", &volume, e))?;
        sync_dir(&volumes)?;
        Ok(volume)
    }
}
