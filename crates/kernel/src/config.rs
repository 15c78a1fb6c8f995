//! What the embedder decides about a machine's kernel.

use crate::task::WaitStatus;
use std::fmt::Debug;

/// Settings of a kernel. `Default` gives what a small Linux server looks like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Host name: uname(2).
    pub hostname: String,
    /// Release shown by uname(2): what programs probe to learn which system calls they may expect.
    pub release: String,
    /// Memory limit in bytes; also what `/proc/meminfo` shows as total.
    pub memory: u64,
    /// Most tasks at once.
    pub max_tasks: usize,
    /// Processors to show and to use.
    pub processors: usize,
    /// Host stack of a guest thread in bytes.
    pub stack_size: usize,
    /// What `strace` records to print; `None` is off.
    pub strace: Option<StraceFilter>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hostname: "tuxlet".into(),
            release: "6.12.0-tuxlet".into(),
            memory: 4 << 30,
            max_tasks: 4096,
            processors: tuxlet_host::thread::processors(),
            stack_size: 512 << 10,
            strace: None,
        }
    }
}

/// Which system calls to print.
#[derive(Clone, Debug, Default)]
pub struct StraceFilter {
    /// Names; empty means all.
    pub names: Vec<String>,
}

impl StraceFilter {
    /// Whether a call is to be printed.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|n| n == name)
    }
}

/// What the kernel tells the embedder. Called from task threads; must not block.
pub trait EventSink: Send + Sync + Debug {
    /// A process has ended.
    fn process_exited(&self, tgid: u32, status: WaitStatus) {
        let _ = (tgid, status);
    }
    /// A line of the system call trace.
    fn strace(&self, line: &str) {
        let _ = line;
    }
}

/// An event sink that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoEvents;

impl EventSink for NoEvents {}
