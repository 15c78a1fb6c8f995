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
    /// Layers that are only read.
    layers: Vec<Arc<FakeFs>>,
}

fn open_store(
    path: &Path,
    read_only: bool,
    short_lived: bool,
    budget: &Arc<MemoryBudget>,
) -> Result<Arc<FakeFs>> {
    let mut options = tuxlet_fakefs::Options {
        read_only,
        budget: Arc::clone(budget),
        ..Default::default()
    };
    if short_lived {
        options.durability = Durability::Process;
    }
    FakeFs::open(path, &options).map_err(|reason| Error::Store {
        path: path.to_owned(),
        reason,
    })
}

/// A writable layer or a volume; one that does not exist yet is made when something is to be kept in it.
fn open_upper(path: &Path, short_lived: bool, budget: &Arc<MemoryBudget>) -> Result<Arc<FakeFs>> {
    if path.exists() {
        return open_store(path, false, short_lived, budget);
    }
    let mut options = tuxlet_fakefs::Options {
        budget: Arc::clone(budget),
        ..Default::default()
    };
    if short_lived {
        options.durability = Durability::Nothing;
    }
    FakeFs::new(path, &options).map_err(|reason| Error::Store {
        path: path.to_owned(),
        reason,
    })
}

impl Root {
    pub(crate) fn mount(
        &self,
        cx: &Cx,
        budget: &Arc<MemoryBudget>,
        short_lived: bool,
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
                    layers: Vec::new(),
                })
            }
            Self::Layers { upper, lower } => {
                let upper = open_upper(upper, short_lived, budget)?;
                let mut layers = Vec::new();
                for path in lower {
                    layers.push(open_store(path, true, false, budget)?);
                }
                let below = layers.iter().map(|l| Arc::clone(l) as Arc<dyn FileSystem>);
                let fs = OverlayFs::new(upper.clone(), below.collect())?;
                Ok(Mounted {
                    fs,
                    source: "overlay".into(),
                    stores: vec![upper],
                    layers,
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
                    layers: Vec::new(),
                })
            }
            Self::Store(path) => {
                let store = open_store(path, false, short_lived, budget)?;
                Ok(Mounted {
                    fs: store.clone(),
                    source: "root".into(),
                    stores: vec![store],
                    layers: Vec::new(),
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
        short_lived: bool,
        budget: &Arc<MemoryBudget>,
    ) -> Result<Arc<dyn FileSystem>> {
        let store = open_upper(path, short_lived, budget)?;
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

    /// Lets go of all stores; of none if one cannot be let go of.
    pub(crate) fn suspend(&self) -> Result<()> {
        self.all().try_for_each(FakeFs::suspend).map_err(|reason| {
            // What has been let go of a moment ago is still there.
            let _ = self.resume();
            Error::Suspend { reason }
        })
    }

    /// Takes hold of all stores again. It may be tried again after an error.
    pub(crate) fn resume(&self) -> Result<()> {
        let resumed = self.all().try_for_each(FakeFs::resume);
        resumed.map_err(|reason| Error::Suspend { reason })
    }

    fn all(&self) -> impl Iterator<Item = &FakeFs> {
        self.stores.iter().chain(&self.layers).map(|fs| &**fs)
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
