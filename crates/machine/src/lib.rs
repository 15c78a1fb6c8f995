//! Linux as a library: the public Rust API.
//!
//! A [`Machine`] is an in-process Linux: a root file system, mounts and a memory budget. [`Machine::exec`] starts
//! programs in it; a [`Process`] is waited for, signalled and resized.
//!
//! ```no_run
//! use tuxlet::{Command, Machine, Root};
//!
//! let machine = Machine::builder().root(Root::HostDir("/srv/alpine".into())).build()?;
//! let status = machine.exec(Command::new("/bin/echo").arg("hello"))?.wait();
//! assert_eq!(status.code(), 0);
//! # Ok::<(), tuxlet::Error>(())
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod builder;
mod changes;
mod command;
mod copy;
mod devices;
mod error;
mod files;
mod metadata;
mod mountable;
mod native;
mod output;
mod pipe;
mod pressure;
mod process;
mod root;
mod signal;
mod suspend;
mod system;
mod terminal;
mod user;
mod watch;

pub use builder::{Bind, Builder};
pub use changes::{ChangeLog, FileChange, FileChangeKind};
pub use command::{Command, Stdio};
pub use devices::{Location, Notification};
pub use error::{Error, Result};
pub use metadata::{DirEntry, FileType, Metadata};
pub use native::NativeCall;
#[cfg(not(target_os = "ios"))]
pub use native::{HostProgram, Staged};
pub use output::{Limits, Output};
pub use pipe::{PipeReader, PipeWriter};
pub use process::{ExitStatus, Process};
pub use root::Root;
pub use signal::signal_number;
pub use terminal::Terminal;
pub use tuxlet_host::terminal::WindowSize;
pub use tuxlet_uapi::Errno;
pub use watch::{Change, ChangeKind, Watcher};

/// The code in the book.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../../docs/book/rust.md")]
    mod rust {}
    #[doc = include_str!("../../../docs/book/native.md")]
    mod native {}
    #[doc = include_str!("../../../docs/book/devices.md")]
    mod devices {}
    #[doc = include_str!("../../../docs/book/ios.md")]
    mod ios {}
}

use std::sync::{Arc, atomic::Ordering};
use tuxlet_kernel::Kernel;
pub use tuxlet_kernel::{EventSink, hooks::Fork};
use tuxlet_uapi::{
    Signal,
    signal::{SI_USER, SigInfo},
};

/// A running Linux. Dropping the last handle kills its processes.
#[derive(Clone, Debug)]
pub struct Machine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kernel: Arc<Kernel>,
    defaults: builder::Defaults,
    suspended: parking_lot::Mutex<bool>,
    /// Closed after everything that uses it has ended.
    root: root::Mounted,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.kernel.kill_all();
        self.kernel.wait_all();
    }
}

impl Machine {
    /// Starts to describe a machine.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a program. Errors are those of finding and loading it; later failures are its exit status.
    pub fn exec(&self, command: Command) -> Result<Process> {
        if *self.inner.suspended.lock() {
            return Err(Error::Suspended);
        }
        process::start(&self.inner.kernel, self.clone(), command)
    }

    /// Processes, as `ps` shows them.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let tree = self.inner.kernel.tree.lock();
        let live = tree.groups().map(|(pid, node)| ProcessInfo {
            pid,
            parent: node.parent,
            name: node
                .threads
                .first()
                .map(|t| String::from_utf8_lossy(&t.comm()).into_owned())
                .unwrap_or_default(),
            uid: node.group.owner_uid.load(Ordering::Relaxed),
            zombie: node.zombie.is_some(),
        });
        live.collect()
    }

    /// Sends a signal to any process of the machine: kill(2). `ESRCH` if there is none of that id; 0 sends nothing and tells
    /// just that.
    pub fn kill(&self, pid: u32, signal: i32) -> Result<()> {
        let kernel = &self.inner.kernel;
        let signal = match signal {
            0 => None,
            number => Some(Signal::new(number)?),
        };
        let group = kernel.tree.lock().node(pid).map(|n| Arc::clone(&n.group));
        let group = group.ok_or(Errno::ESRCH)?;
        if let Some(signal) = signal {
            let info = SigInfo::kill(signal, SI_USER, 0, 0);
            tuxlet_kernel::signal::send_to_group(kernel, &group, info)?;
        }
        Ok(())
    }

    /// What the machine uses.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let kernel = &self.inner.kernel;
        let (processes, threads) = {
            let tree = kernel.tree.lock();
            let live = tree.groups().filter(|(_, n)| n.zombie.is_none());
            live.fold((0, 0), |(p, t), (_, n)| (p + 1, t + n.threads.len()))
        };
        Stats {
            processes,
            threads,
            memory: kernel.budget.used_pages() as u64 * 4096,
            memory_limit: kernel.config.memory,
        }
    }

    /// The mounts that processes see, parents first.
    #[must_use]
    pub fn mounts(&self) -> Vec<MountInfo> {
        let mounts = &self.inner.kernel.mounts;
        let all = mounts.list(&mounts.root()).into_iter();
        all.map(|m| MountInfo {
            target: text(&m.mountpoint),
            source: text(m.mount.source()),
            file_system: m.mount.fs().name().to_owned(),
            read_only: m.mount.read_only(),
        })
        .collect()
    }

    /// Kills every process; those that start meanwhile may survive.
    pub fn kill_all(&self) {
        self.inner.kernel.kill_all();
    }

    /// Makes everything that was written durable.
    pub fn sync(&self) -> Result<()> {
        Ok(self.inner.root.sync()?)
    }
}

/// Guest text for people.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A process as seen from outside.
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    /// Process id inside the machine.
    pub pid: u32,
    /// Parent's process id, 0 for those that the host started.
    pub parent: u32,
    /// Name of the program, at most 15 bytes.
    pub name: String,
    /// User that it runs as.
    pub uid: u32,
    /// Dead, but not waited for.
    pub zombie: bool,
}

/// What a machine uses, at one moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Processes, zombies not counted.
    pub processes: usize,
    /// Threads of those processes.
    pub threads: usize,
    /// Memory of all processes and of file systems in memory, in bytes.
    pub memory: u64,
    /// The most that may be, in bytes.
    pub memory_limit: u64,
}

/// A mounted file system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MountInfo {
    /// Where it is.
    pub target: String,
    /// What it was made from.
    pub source: String,
    /// Its kind, as mount(8) names it.
    pub file_system: String,
    /// Whether nobody can change it.
    pub read_only: bool,
}

impl Machine {
    /// Writes a file as the superuser, replacing what is there; missing directories are made (0755).
    pub fn write_file(&self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        files::write(&self.inner.kernel, path, mode, data)
    }

    /// Reads a whole file as the superuser.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>> {
        files::read(&self.inner.kernel, path)
    }
}
