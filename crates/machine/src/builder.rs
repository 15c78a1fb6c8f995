//! Describing a machine.

use crate::{
    Error, Inner, Location, Machine, NativeCall, Notification, Result, Root, devices::HostDevice,
    files, native, pressure,
};
use std::{path::PathBuf, sync::Arc};
use tuxlet_cpu::{Interpreter, Options};
use tuxlet_hostfs::HostFs;
use tuxlet_kernel::{
    Config, EventSink, Kernel,
    config::{NoEvents, StraceFilter},
    hooks::{Fork, ForkGuard},
    native::{NativeProgram, NativePrograms},
};
use tuxlet_mem::MemoryBudget;
use tuxlet_tmpfs::Tmpfs;
use tuxlet_uapi::Errno;
use tuxlet_vfs::{
    At, Cred, Cx, FileSystem, FileType, Link, LookupFlags, MountFlags, MountNamespace, Time,
    pseudo::PseudoFs, resolver,
};

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

/// A file that the guest sees in place of what its root file system has there. What it writes to it is forgotten.
#[derive(Clone, Debug)]
struct Generated {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

/// Describes a machine before it runs.
pub struct Builder {
    config: Config,
    root: Option<Root>,
    binds: Vec<Bind>,
    /// Stores of volumes, and where the guest sees them.
    volumes: Vec<(PathBuf, String)>,
    generated: Vec<Generated>,
    events: Arc<dyn EventSink>,
    engine: Options,
    short_lived: bool,
    make_cwd: bool,
    defaults: Defaults,
    fork_guard: Option<ForkGuard>,
    pressure: Option<(u8, pressure::Listener)>,
    path_hooks: Vec<(String, PathHook)>,
    native: NativePrograms,
    /// Paths of native programs, which are made where they are missing.
    native_paths: Vec<String>,
    devices: Vec<HostDevice>,
}

/// See [`Builder::path_hook`].
type PathHook = Arc<dyn Fn(u64) -> Option<String> + Send + Sync>;

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("root", &self.root)
            .field("binds", &self.binds)
            .field("volumes", &self.volumes)
            .finish_non_exhaustive()
    }
}

/// What a command gets that does not say another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<String>,
    pub(crate) user: Option<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            root: None,
            binds: Vec::new(),
            volumes: Vec::new(),
            generated: Vec::new(),
            events: Arc::new(NoEvents),
            engine: Options::default(),
            short_lived: false,
            make_cwd: false,
            defaults: Defaults::default(),
            fork_guard: None,
            pressure: None,
            path_hooks: Vec::new(),
            native: NativePrograms::default(),
            native_paths: Vec::new(),
            devices: Vec::new(),
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

    /// Mounts a fakefs store, which is made where it is missing: a directory whose content is apart from the root file system. One
    /// machine at a time.
    #[must_use]
    pub fn volume(mut self, store: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.volumes.push((store.into(), guest.into()));
        self
    }

    /// Puts a file over what the root file system has at a path, without changing that. Where the root has no such directory,
    /// there is no such file.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.generated.push(Generated {
            path: path.into(),
            mode,
            content: content.into(),
        });
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

    /// Sets a variable in the environment of every command, unless the command sets it itself.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.defaults.env.push((name.into(), value.into()));
        self
    }

    /// The directory in which commands start that do not say another.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<String>) -> Self {
        self.defaults.cwd = Some(dir.into());
        self
    }

    /// The same, and the directory is made if it is missing, as containers do with what an image says.
    #[must_use]
    pub fn made_cwd(mut self, dir: impl Into<String>) -> Self {
        self.make_cwd = true;
        self.cwd(dir)
    }

    /// Who runs commands that do not say another user, as for [`crate::Command::user`].
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.defaults.user = Some(user.into());
        self
    }

    /// Traces system calls to the event sink; an empty list of names means all.
    #[must_use]
    pub fn strace(mut self, names: Vec<String>) -> Self {
        self.config.strace = Some(StraceFilter { names });
        self
    }

    /// The machine is removed at its end. What it writes needs not survive a failure of the host's power: fsync(2) is cheap then.
    /// A writable layer that does not exist yet ([`Root::Layers`]) is not kept at all.
    #[must_use]
    pub fn short_lived(mut self) -> Self {
        self.short_lived = true;
        self
    }

    /// Who hears of exits and trace lines.
    #[must_use]
    pub fn events(mut self, sink: Arc<dyn EventSink>) -> Self {
        self.events = sink;
        self
    }

    /// Asks `guard` before a process makes another one; an errno that it gives is what fork(2) fails with. Threads, and commands that
    /// the embedder starts, are not asked for. The guard is called by the thread that forks: it must return soon.
    #[must_use]
    pub fn fork_guard(
        mut self,
        guard: impl Fn(&Fork) -> std::result::Result<(), Errno> + Send + Sync + 'static,
    ) -> Self {
        self.fork_guard = Some(Arc::new(guard));
        self
    }

    /// Tells `listener` the bytes in use, and the machine's limit, when more than `percent` of the limit come to be in use; again after
    /// that has fallen by a tenth. It is called on a thread of its own and may use the machine.
    #[must_use]
    pub fn on_memory_pressure(
        mut self,
        percent: u8,
        listener: impl Fn(u64, u64) + Send + 'static,
    ) -> Self {
        self.pressure = Some((percent, Box::new(listener)));
        self
    }

    /// Makes `path` lead each process where `hook` says for its [`crate::Command::context`]: to another absolute path of the guest, or
    /// nowhere (`ENOENT`). To processes it looks like a symbolic link that says different things to different readers. The path is made
    /// where it is missing, as an empty file.
    #[must_use]
    pub fn path_hook(
        mut self,
        path: impl Into<String>,
        hook: impl Fn(u64) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.path_hooks.push((path.into(), Arc::new(hook)));
        self
    }

    /// Runs `function` where guests execute the program `name`: an absolute path, which is made where it is missing and stands for what
    /// links to it as well; or, without a slash, every program that is executed under that name. Its result is the exit code.
    ///
    /// To the guest it is a process like any other: it can be waited for, killed, stopped and put into pipelines. It notices signals at
    /// each call that it makes of [`NativeCall`]. Scripts that name it as their interpreter run it, too; a static link or a copy of the
    /// program under another name does not.
    #[must_use]
    pub fn native(
        self,
        name: impl Into<String>,
        function: impl Fn(&mut NativeCall<'_, '_>) -> u8 + Send + Sync + 'static,
    ) -> Self {
        self.add_native(name.into(), native::program(function))
    }

    /// Runs a program of the host where guests execute the program `name`, which is as for [`Builder::native`]. Signals that end or stop
    /// the guest's process end or stop the host's; others do not reach it.
    #[cfg(not(target_os = "ios"))]
    #[must_use]
    pub fn native_host(self, name: impl Into<String>, program: crate::HostProgram) -> Self {
        self.add_native(name.into(), program.program())
    }

    fn add_native(mut self, name: String, program: NativeProgram) -> Self {
        self.native.add(name.as_bytes(), program);
        if name.contains('/') {
            self.native_paths.push(name);
        }
        self
    }

    /// Gives guests the host's clipboard, as `/dev/clipboard`: reading it to its end calls `read`, and each write calls `write` with all that
    /// was written since the file was opened. Without this there is no such device, as with the others of the host's; their handlers run on
    /// the thread of the guest and must return soon, and an errno that they give is what the guest's call fails with. Each may be given once.
    #[must_use]
    pub fn clipboard(
        mut self,
        read: impl Fn() -> std::result::Result<String, Errno> + Send + Sync + 'static,
        write: impl Fn(&str) -> std::result::Result<(), Errno> + Send + Sync + 'static,
    ) -> Self {
        self.devices.push(HostDevice::clipboard(read, write));
        self
    }

    /// Calls `open` with each address that guests write to `/dev/open-url`, for example to show it in a browser. An address is not checked,
    /// but that it has no white space or control characters: which schemes may be opened is for the handler to say.
    #[must_use]
    pub fn on_open_url(
        mut self,
        open: impl Fn(&str) -> std::result::Result<(), Errno> + Send + Sync + 'static,
    ) -> Self {
        self.devices.push(HostDevice::open_url(open));
        self
    }

    /// Calls `notify` with each text that guests write to `/dev/notify`.
    #[must_use]
    pub fn on_notification(
        mut self,
        notify: impl Fn(&Notification) -> std::result::Result<(), Errno> + Send + Sync + 'static,
    ) -> Self {
        self.devices.push(HostDevice::notify(notify));
        self
    }

    /// Calls `locate` when guests read `/dev/location`, which gives them a line of JSON.
    #[must_use]
    pub fn location(
        mut self,
        locate: impl Fn() -> std::result::Result<Location, Errno> + Send + Sync + 'static,
    ) -> Self {
        self.devices.push(HostDevice::location(locate));
        self
    }

    /// Engine options, for tests and measurements.
    #[must_use]
    pub fn engine(mut self, options: Options) -> Self {
        self.engine = options;
        self
    }

    /// Starts the machine: no process runs yet.
    pub fn build(mut self) -> Result<Machine> {
        let budget = MemoryBudget::new((self.config.memory / 4096) as usize);
        if let Some((percent, listener)) = self.pressure {
            pressure::watch(&budget, percent, listener);
        }
        let root = self.root.ok_or(Error::NoRoot)?;
        let mut root = root.mount(&host_cx(), &budget, self.short_lived)?;
        let budget_of_volumes = Arc::clone(&budget);
        let mounts = MountNamespace::new(&root.fs, MountFlags::RELATIME, root.source.as_bytes());
        let engine = Arc::new(Interpreter::new(self.engine));
        let kernel = Kernel::new(self.config, budget, engine, mounts, self.events)?;
        if let Some(guard) = self.fork_guard {
            kernel.hooks.fork_guard.get_or_init(|| guard);
        }
        kernel.hooks.native.get_or_init(|| self.native);
        kernel.set_file_systems(Arc::new(crate::mountable::Mountable));
        let cx = kernel.host_cx();
        if !self.generated.is_empty() {
            unless_read_only(mount_generated(&kernel, &cx, &self.generated))?;
        }
        for (target, fs, flags) in crate::system::mounts(&kernel, &cx) {
            let mounted = unless_read_only(mount_at(&kernel, &cx, &fs, target, flags))?;
            if mounted && target == "/dev" {
                kernel.populate_dev(&cx)?;
                for device in std::mem::take(&mut self.devices) {
                    device.add(&kernel, &cx)?;
                }
            }
        }
        for (path, target) in &self.volumes {
            let fs = root.open_volume(path, self.short_lived, &budget_of_volumes)?;
            mount_at(&kernel, &cx, &fs, target, MountFlags::RELATIME)?;
        }
        for bind in &self.binds {
            mount_bind(&kernel, &cx, bind)?;
        }
        for path in &self.native_paths {
            files::ensure_program(&kernel, &cx, path)?;
        }
        for (path, hook) in self.path_hooks {
            mount_path_hook(&kernel, &cx, &path, hook)?;
        }
        if let Some(dir) = self.defaults.cwd.as_ref().filter(|_| self.make_cwd) {
            let failed = |errno| Error::WorkingDirectory {
                path: dir.clone(),
                errno,
            };
            files::ensure_dir(&kernel, &cx, dir.as_bytes()).map_err(failed)?;
        }
        Ok(Machine {
            inner: Arc::new(Inner {
                defaults: self.defaults,
                suspended: parking_lot::Mutex::new(false),
                kernel,
                root,
            }),
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
        context: 0,
    }
}

/// Whether it was done. A root that may not be changed and lacks a place for a mount is used without.
fn unless_read_only(mounted: Result<()>) -> Result<bool> {
    match mounted {
        Err(Error::Mount {
            target,
            errno: errno @ (Errno::EACCES | Errno::EPERM | Errno::EROFS),
        }) => {
            tracing::warn!("there is no {target} in the machine, and none can be made: {errno}");
            Ok(false)
        }
        other => other.map(|()| true),
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
            reason: std::io::Error::other(errno),
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

/// Mounts a link that leads each process somewhere else.
fn mount_path_hook(kernel: &Arc<Kernel>, cx: &Cx, path: &str, hook: PathHook) -> Result<()> {
    /// `f_type` of statfs(2): "TuxH".
    const MAGIC: u64 = 0x5475_7848;
    let fs: Arc<dyn FileSystem> = PseudoFs::new("hook", MAGIC, cx.now, true, |fs| {
        fs.symlink(move |cx| {
            let target = hook(cx.context).ok_or(Errno::ENOENT)?;
            Ok(Link::Path(target.into_bytes()))
        })
    });
    let mounted = files::ensure_file(kernel, cx, path.as_bytes()).and_then(|at| {
        let mounts = &kernel.mounts;
        mounts.mount(cx, &fs, &at, MountFlags::RELATIME, b"hook")
    });
    mounted.map(drop).map_err(|errno| Error::Mount {
        target: path.into(),
        errno,
    })
}

/// Mounts generated files. They are in a file system of their own, which is reachable only while they are mounted from there.
fn mount_generated(kernel: &Arc<Kernel>, cx: &Cx, files: &[Generated]) -> Result<()> {
    const WORKSHOP: &str = "/dev";
    let fs: Arc<dyn FileSystem> = Tmpfs::new(cx, &kernel.budget, tuxlet_tmpfs::Options::default());
    mount_at(kernel, cx, &fs, WORKSHOP, MountFlags::RELATIME)?;
    for (number, file) in files.iter().enumerate() {
        let source = format!("{WORKSHOP}/{number}");
        files::write(kernel, &source, file.mode, &file.content)?;
        let at = At::root(kernel.mounts.root());
        let parent = file.path.rsplit_once('/').map_or("/", |(dir, _)| dir);
        let follow = LookupFlags::FOLLOW;
        if resolver::lookup(cx, &at, parent.as_bytes(), follow | LookupFlags::DIRECTORY).is_err() {
            continue;
        }
        let mounted = files::ensure_file(kernel, cx, file.path.as_bytes()).and_then(|target| {
            let from = resolver::lookup(cx, &at, source.as_bytes(), follow)?;
            kernel.mounts.bind(cx, &from, &target, false)
        });
        if let Err(errno) = mounted {
            return Err(Error::Mount {
                target: file.path.clone(),
                errno,
            });
        }
    }
    let at = At::root(kernel.mounts.root());
    let workshop = resolver::lookup(cx, &at, WORKSHOP.as_bytes(), LookupFlags::FOLLOW)?;
    Ok(kernel.mounts.umount(cx, workshop, true)?)
}
