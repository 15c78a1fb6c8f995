//! A process's memory and what execve(2) noted about it.

use parking_lot::Mutex;
use std::sync::Arc;
use tuxlet_mem::AddressSpace;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::Path;
use zerocopy::{FromBytes, Immutable, IntoBytes};

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
            hiwater_pages: std::sync::atomic::AtomicU64::new(0),
        })
    }

    /// A copy-on-write copy: fork(2).
    pub fn fork(&self) -> Result<Arc<Self>> {
        Ok(Self::new(self.space.fork()?, self.layout.lock().clone(), self.exe.lock().clone()))
    }
}

/// Access to user memory: all or nothing, `EFAULT` for a bad address.
impl Mm {
    /// Reads bytes.
    pub fn read_bytes(&self, addr: u64, buf: &mut [u8]) -> Result<()> {
        read_bytes(&self.space, addr, buf)
    }

    /// Writes bytes.
    pub fn write_bytes(&self, addr: u64, data: &[u8]) -> Result<()> {
        write_bytes(&self.space, addr, data)
    }

    /// Reads a structure.
    pub fn read<T: FromBytes + IntoBytes>(&self, addr: u64) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read_bytes(addr, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes a structure.
    pub fn write<T: IntoBytes + Immutable>(&self, addr: u64, value: &T) -> Result<()> {
        self.write_bytes(addr, value.as_bytes())
    }

    /// Reads a C string without its zero; `None` if there is no zero within `max` bytes.
    pub fn read_cstr(&self, addr: u64, max: usize) -> Result<Option<Vec<u8>>> {
        Ok(self.space.copy_in_cstr(addr, max)?)
    }
}

/// Reads bytes of an address space that no task may have yet.
pub(crate) fn read_bytes(space: &AddressSpace, addr: u64, buf: &mut [u8]) -> Result<()> {
    if space.copy_in(addr, buf)? == buf.len() { Ok(()) } else { Err(Errno::EFAULT) }
}

/// Writes bytes of an address space that no task may have yet.
pub(crate) fn write_bytes(space: &AddressSpace, addr: u64, data: &[u8]) -> Result<()> {
    if space.copy_out(addr, data)? == data.len() { Ok(()) } else { Err(Errno::EFAULT) }
}
