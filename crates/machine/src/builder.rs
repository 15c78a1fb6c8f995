//! Describing a machine.

use crate::{Error, Inner, Machine, Result, Root, files};
use std::{path::PathBuf, sync::Arc};
use tuxlet_cpu::{Interpreter, Options};
use tuxlet_fakefs::Durability;
use tuxlet_hostfs::HostFs;
use tuxlet_kernel::{Config, EventSink, Kernel, config::NoEvents, config::StraceFilter};
use tuxlet_mem::MemoryBudget;
use tuxlet_vfs::{Cred, Cx, FileSystem, FileType, MountFlags, MountNamespace, Time};

/// A host directory or file mounted in the guest.
#[derive(Clone, Debug)]
pub struct Bind {
    /// The host's path.
    pub host: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
    /// Whether the guest may not change it.
    pub read_only: bool,
}

/// Describes a machine before it runs.
#[derive(Debug)]
pub struct Builder {
    config: Config,
    root: Option<Root>,
    binds: Vec<Bind>,
    events: Arc<dyn EventSink>,
    engine: Options,
    durability: Durability,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            root: None,
            binds: Vec::new(),
            events: Arc::new(NoEvents),
            engine: Options::default(),
            durability: Durability::default(),
        }
    }
}

impl Builder {
    /// The root file system.
    #[must_use]
    pub fn root(mut self, root: Root) -> Self {
        self.root = Some(root);
        self
    }

    /// Mounts a host directory or file.
    #[must_use]
    pub fn bind(mut self, bind: Bind) -> Self {
        self.binds.push(bind);
        self
    }

    /// The host name.
    #[must_use]
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.config.hostname = name.into();
        self
    }

    /// The memory of all processes together, in bytes.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.config.memory = bytes;
        self
    }

    /// Traces system calls to the event sink; an empty list of names means all.
    #[must_use]
    pub fn strace(mut self, names: Vec<String>) -> Self {
        self.config.strace = Some(StraceFilter { names });
        self
    }

    /// What the machine writes needs not survive a failure of the host's power: fsync(2) is cheap then. For machines
    /// that are removed at their end.
    #[must_use]
    pub fn short_lived(mut self) -> Self {
        self.durability = Durability::Process;
        self
    }

    /// Who hears of exits and trace lines.
    #[must_use]
    pub fn events(mut self, sink: Arc<dyn EventSink>) -> Self {
        self.events = sink;
        self
    }

    /// Engine options, for tests and measurements.
    #[must_use]
    pub fn engine(mut self, options: Options) -> Self {
        self.engine = options;
        self
    }

    /// Starts the machine: no process runs yet.
    pub fn build(self) -> Result<Machine> {
        let budget = MemoryBudget::new((self.config.memory / 4096) as usize);
        let root = self.root.ok_or(Error::NoRoot)?;
        let root = root.mount(&host_cx(), &budget, self.durability)?;
        let mounts = MountNamespace::new(&root.fs, MountFlags::RELATIME, root.source.as_bytes());
        let engine = Arc::new(Interpreter::new(self.engine));
        let kernel = Kernel::new(self.config, budget, engine, mounts, self.events)?;
        kernel.set_file_systems(Arc::new(crate::mountable::Mountable));
        let cx = kernel.host_cx();
        for (target, fs, flags) in crate::system::mounts(&kernel, &cx) {
            mount_at(&kernel, &cx, &fs, target, flags)?;
            if target == "/dev" {
                kernel.populate_dev(&cx)?;
            }
        }
        for bind in &self.binds {
            mount_bind(&kernel, &cx, bind)?;
        }
        Ok(Machine {
            inner: Arc::new(Inner { kernel, root }),
        })
    }
}

/// The context of the host itself, before there is a kernel to ask.
fn host_cx() -> Cx {
    let ns = tuxlet_host::time::realtime();
    let now = Time {
        sec: ns.div_euclid(1_000_000_000),
        nsec: ns.rem_euclid(1_000_000_000) as u32,
    };
    Cx {
        cred: Arc::new(Cred::root()),
        umask: 0,
        now,
        fsize_limit: u64::MAX,
        tgid: 0,
        tid: 0,
    }
}

/// Mounts, after making the directories that are missing.
fn mount_at(
    kernel: &Arc<Kernel>,
    cx: &Cx,
    fs: &Arc<dyn FileSystem>,
    target: &str,
    flags: MountFlags,
) -> Result<()> {
    let failed = |errno| Error::Mount {
        target: target.into(),
        errno,
    };
    let at = files::ensure_dir(kernel, cx, target.as_bytes()).map_err(failed)?;
    kernel
        .mounts
        .mount(cx, fs, &at, flags, fs.name().as_bytes())
        .map_err(failed)?;
    Ok(())
}

/// Mounts a host directory or file, on something of the same kind that is made where it is missing.
fn mount_bind(kernel: &Arc<Kernel>, cx: &Cx, bind: &Bind) -> Result<()> {
    let options = tuxlet_hostfs::Options {
        budget: Arc::clone(&kernel.budget),
        ..Default::default()
    };
    let fs: Arc<dyn FileSystem> =
        HostFs::open(&bind.host, &options).map_err(|errno| Error::HostPath {
            path: bind.host.clone(),
            source: std::io::Error::other(errno),
        })?;
    let failed = |errno| Error::Mount {
        target: bind.guest.clone(),
        errno,
    };
    let path = bind.guest.as_bytes();
    let at = if fs.root().kind() == FileType::Directory {
        files::ensure_dir(kernel, cx, path)
    } else {
        files::ensure_file(kernel, cx, path)
    };
    let flags = if bind.read_only {
        MountFlags::RELATIME | MountFlags::RDONLY
    } else {
        MountFlags::RELATIME
    };
    let source = bind.host.to_string_lossy().into_owned();
    kernel
        .mounts
        .mount(cx, &fs, &at.map_err(failed)?, flags, source.as_bytes())
        .map_err(failed)?;
    Ok(())
}
