//! Root file systems.

use crate::{Error, Result};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tuxlet_fakefs::{Durability, FakeFs};
use tuxlet_hostfs::HostFs;
use tuxlet_mem::MemoryBudget;
use tuxlet_overlayfs::OverlayFs;
use tuxlet_tmpfs::Tmpfs;
use tuxlet_uapi::Errno;
use tuxlet_vfs::{Cx, FileSystem};

/// What a machine sees as `/`.
#[derive(Clone, Debug)]
pub enum Root {
    /// A fakefs store, written directly. One machine at a time.
    Store(PathBuf),
    /// A writable fakefs store, made where it is missing, over read-only ones, topmost first. Any number of machines may share the
    /// read-only ones.
    Layers {
        /// The directory of the writable store.
        upper: PathBuf,
        /// The directories of the read-only stores.
        lower: Vec<PathBuf>,
    },
    /// A directory of the host, written directly. What the host's user may not do, the guest's root may not either.
    HostDir(PathBuf),
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

fn open_store(
    path: &Path,
    read_only: bool,
    durability: Durability,
    budget: &Arc<MemoryBudget>,
) -> Result<Arc<FakeFs>> {
    let options = tuxlet_fakefs::Options {
        read_only,
        durability,
        budget: Arc::clone(budget),
        ..Default::default()
    };
    FakeFs::open(path, &options).map_err(|reason| Error::Store {
        path: path.to_owned(),
        reason,
    })
}

/// Makes an empty store where there is none, in one step.
fn ensure_store(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let failed = |reason| Error::HostPath {
        path: path.to_owned(),
        reason,
    };
    // Left by a process that was killed; the caller sees to it that there is one at a time.
    if temporary.exists() {
        std::fs::remove_dir_all(&temporary).map_err(failed)?;
    }
    tuxlet_fakefs::Writer::create(&temporary)
        .and_then(tuxlet_fakefs::Writer::finish)
        .map_err(|reason| Error::Store {
            path: path.to_owned(),
            reason,
        })?;
    std::fs::rename(&temporary, path).map_err(failed)
}

impl Root {
    pub(crate) fn mount(
        &self,
        cx: &Cx,
        budget: &Arc<MemoryBudget>,
        durability: Durability,
    ) -> Result<Mounted> {
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
            Self::Layers { upper, lower } => {
                ensure_store(upper)?;
                let upper = open_store(upper, false, durability, budget)?;
                let mut layers: Vec<Arc<dyn FileSystem>> = Vec::new();
                for path in lower {
                    layers.push(open_store(path, true, durability, budget)?);
                }
                let fs = OverlayFs::new(upper.clone(), layers)?;
                Ok(Mounted {
                    fs,
                    source: "overlay".into(),
                    stores: vec![upper],
                })
            }
            Self::HostDir(path) => {
                let options = tuxlet_hostfs::Options {
                    budget: Arc::clone(budget),
                    ..Default::default()
                };
                let fs = HostFs::open(path, &options).map_err(|errno| Error::HostPath {
                    path: path.clone(),
                    reason: std::io::Error::other(errno),
                })?;
                Ok(Mounted {
                    fs,
                    source: path.to_string_lossy().into_owned(),
                    stores: Vec::new(),
                })
            }
            Self::Store(path) => {
                let store = open_store(path, false, durability, budget)?;
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
    /// Opens the store of a volume, made where it is missing; it is closed with the root.
    pub(crate) fn open_volume(
        &mut self,
        path: &Path,
        durability: Durability,
        budget: &Arc<MemoryBudget>,
    ) -> Result<Arc<dyn FileSystem>> {
        ensure_store(path)?;
        let store = open_store(path, false, durability, budget)?;
        self.stores.push(Arc::clone(&store));
        Ok(store)
    }

    /// Makes the root and the volumes durable.
    pub(crate) fn sync(&self) -> std::result::Result<(), Errno> {
        for store in &self.stores {
            store.sync()?;
        }
        self.fs.sync()
    }

    fn close(&self) {
        for store in &self.stores {
            if let Err(errno) = store.shutdown() {
                tracing::error!("the machine's file system could not be closed: {errno}");
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.close();
    }
}
