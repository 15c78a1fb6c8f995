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
mod command;
mod copy;
mod error;
mod files;
mod mountable;
mod process;
mod root;
mod signal;
mod system;
mod terminal;
mod user;

pub use builder::{Bind, Builder};
pub use command::{Command, Stdio};
pub use error::{Error, Result};
pub use process::{ExitStatus, Process};
pub use root::Root;
pub use signal::signal_number;
pub use terminal::Terminal;
pub use tuxlet_host::terminal::WindowSize;

use std::sync::Arc;
pub use tuxlet_kernel::EventSink;
use tuxlet_kernel::Kernel;

/// A running Linux. Dropping the last handle kills its processes.
#[derive(Clone, Debug)]
pub struct Machine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kernel: Arc<Kernel>,
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
            zombie: node.zombie.is_some(),
        });
        live.collect()
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

/// A process as seen from outside.
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    /// Process id inside the machine.
    pub pid: u32,
    /// Parent's process id, 0 for those that the host started.
    pub parent: u32,
    /// Name of the program, at most 15 bytes.
    pub name: String,
    /// Dead, but not waited for.
    pub zombie: bool,
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
