//! What the embedder has a say in while guests run.

use crate::native::NativePrograms;
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use tuxlet_uapi::errno::Result;

/// A process that is about to be made by another one.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The process that makes it.
    pub parent: u32,
    /// Name of the thread that does, at most 15 bytes.
    pub comm: Vec<u8>,
    /// User that it runs as.
    pub uid: u32,
    /// What the embedder has said of the process or of an ancestor: [`crate::Spawn::context`].
    pub context: u64,
    /// Live threads of the machine.
    pub tasks: usize,
}

/// Says whether a process may be made, or with which error fork(2) fails.
pub type ForkGuard = Arc<dyn Fn(&Fork) -> Result<()> + Send + Sync>;

/// The embedder's say; each part is set at most once, before the first process starts.
#[derive(Default)]
pub struct Hooks {
    /// Asked before every clone(2) that makes a process; not for threads, nor for what the embedder starts.
    pub fork_guard: OnceLock<ForkGuard>,
    /// What runs natively in place of guest programs.
    pub native: OnceLock<NativePrograms>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("fork_guard", &self.fork_guard.get().is_some())
            .field("native", &self.native.get())
            .finish()
    }
}
