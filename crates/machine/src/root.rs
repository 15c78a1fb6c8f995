//! Root file systems.

use crate::{Error, Result};
use std::{path::PathBuf, sync::Arc};
use tuxlet_fakefs::FakeFs;
use tuxlet_mem::MemoryBudget;
use tuxlet_overlayfs::OverlayFs;
use tuxlet_tmpfs::Tmpfs;
use tuxlet_uapi::Errno;
use tuxlet_vfs::{Cx, DeviceId, FileSystem};

/// What a machine sees as `/`.
#[derive(Clone, Debug)]
pub enum Root {
    /// A fakefs store, written directly. One machine at a time.
    Store(PathBuf),
    /// Read-only stores, topmost first, under a store of the machine's own.
    Layers {
        /// Shared read-only stores.
        lower: Vec<PathBuf>,
        /// The machine's own store.
        upper: PathBuf,
    },
    /// An empty file system in memory: filled by [`crate::Machine::write_file`].
    Memory,
}

/// A mounted root.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) source: String,
    /// Written stores, to be closed at the end.
    stores: Vec<Arc<FakeFs>>,
}

fn open_store(path: &PathBuf, read_only: bool) -> Result<Arc<FakeFs>> {
    let options = tuxlet_fakefs::Options {
        read_only,
        dev: DeviceId::anonymous(),
        ..Default::default()
    };
    FakeFs::open(path, &options).map_err(|source| Error::Store {
        path: path.clone(),
        source,
    })
}

impl Root {
    pub(crate) fn mount(&self, cx: &Cx, budget: &Arc<MemoryBudget>) -> Result<Mounted> {
        match self {
            Self::Memory => {
                let options = tuxlet_tmpfs::Options {
                    mode: 0o755,
                    ..tuxlet_tmpfs::Options::unlimited()
                };
                let fs = Tmpfs::new(cx, budget, options);
                Ok(Mounted {
                    fs,
                    source: "tmpfs".into(),
                    stores: Vec::new(),
                })
            }
            Self::Layers { lower, upper } => {
                let upper = open_store(upper, false)?;
                let mut layers: Vec<Arc<dyn FileSystem>> = Vec::new();
                for path in lower {
                    layers.push(open_store(path, true)?);
                }
                let fs = OverlayFs::new(upper.clone(), layers)?;
                Ok(Mounted {
                    fs,
                    source: "overlay".into(),
                    stores: vec![upper],
                })
            }
            Self::Store(path) => {
                let store = open_store(path, false)?;
                Ok(Mounted {
                    fs: store.clone(),
                    source: "root".into(),
                    stores: vec![store],
                })
            }
        }
    }
}

impl Mounted {
    pub(crate) fn sync(&self) -> std::result::Result<(), Errno> {
        self.fs.sync()
    }

    pub(crate) fn close(&self) {
        for store in &self.stores {
            if let Err(errno) = store.shutdown() {
                tracing::error!("the machine's file system could not be closed: {errno}");
            }
        }
    }
}
