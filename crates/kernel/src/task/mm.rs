//! A process's memory and what execve(2) noted about it.

use parking_lot::Mutex;
use std::sync::Arc;
use tuxlet_mem::AddressSpace;
use tuxlet_uapi::errno::Result;
use tuxlet_vfs::{Path, text_busy::DenyWrite};

/// Where execve(2) put things: proc_pid_stat(5), prctl(2) `PR_SET_MM`.
#[derive(Clone, Debug, Default)]
pub struct MmLayout {
    /// Program text.
    pub code: (u64, u64),
    /// Initialised and uninitialised data.
    pub data: (u64, u64),
    /// Initial stack pointer.
    pub start_stack: u64,
    /// Argument strings.
    pub args: (u64, u64),
    /// Environment strings.
    pub env: (u64, u64),
    /// The auxiliary vector, as `/proc/PID/auxv` shows it.
    pub auxv: Vec<u8>,
    /// The signal return trampoline.
    pub sigreturn: u64,
    /// Base of the vDSO.
    pub vdso: u64,
}

/// The memory of one or more processes (`CLONE_VM`).
#[derive(Debug)]
pub struct Mm {
    /// The address space.
    pub space: Arc<AddressSpace>,
    /// Notes of execve(2).
    pub layout: Mutex<MmLayout>,
    /// The program, for `/proc/PID/exe`.
    pub exe: Mutex<Option<Path>>,
    /// Keeps the program from being written while it runs.
    pub deny_write: Mutex<Option<Arc<DenyWrite>>>,
    /// Commands of membarrier(2) that were registered for.
    pub membarrier: std::sync::atomic::AtomicU32,
    /// Contexts of asynchronous input and output.
    pub aio: crate::aio::AioContexts,
    /// Largest resident set seen, in pages.
    pub hiwater_pages: std::sync::atomic::AtomicU64,
}

impl Mm {
    /// A new memory around an address space.
    #[must_use]
    pub fn new(space: Arc<AddressSpace>, layout: MmLayout, exe: Option<Path>) -> Arc<Self> {
        Arc::new(Self {
            space,
            layout: Mutex::new(layout),
            exe: Mutex::new(exe),
            deny_write: Mutex::default(),
            membarrier: std::sync::atomic::AtomicU32::new(0),
            aio: crate::aio::AioContexts::default(),
            hiwater_pages: std::sync::atomic::AtomicU64::new(0),
        })
    }

    /// A copy-on-write copy: fork(2).
    pub fn fork(&self) -> Result<Arc<Self>> {
        let copy = Self::new(
            self.space.fork()?,
            self.layout.lock().clone(),
            self.exe.lock().clone(),
        );
        copy.deny_write.lock().clone_from(&self.deny_write.lock());
        Ok(copy)
    }
}
