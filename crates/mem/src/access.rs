//! Kinds of access, protections and faults.

use bitflags::bitflags;
use std::fmt;
use tuxlet_uapi::errno::Errno;

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Load.
    Read,
    /// Store or atomic operation.
    Write,
    /// Instruction fetch.
    Exec,
}

bitflags! {
    /// Protection of a mapping, with the values of `PROT_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct Prot: u32 {
        /// Pages may be read.
        const READ = 1;
        /// Pages may be written (and read: there is no write-only page on arm64).
        const WRITE = 2;
        /// Pages may be executed; they are not readable by that (as with FEAT_PAN3).
        const EXEC = 4;
    }
}

impl Prot {
    /// No access.
    pub const NONE: Self = Self::empty();
    /// Read and write.
    pub const RW: Self = Self::READ.union(Self::WRITE);
    /// Read and execute.
    pub const RX: Self = Self::READ.union(Self::EXEC);
    /// Everything.
    pub const RWX: Self = Self::RW.union(Self::EXEC);

    /// What a page table entry grants for a mapping with this protection: writing implies reading.
    #[must_use]
    pub(crate) const fn granted(self) -> Self {
        if self.contains(Self::WRITE) {
            self.union(Self::READ)
        } else {
            self
        }
    }

    /// As [`granted`](Self::granted), while writing is to be noticed.
    #[must_use]
    pub(crate) const fn granted_read_only(self) -> Self {
        self.granted().difference(Self::WRITE)
    }

    /// Whether a page with this protection allows `access`.
    #[inline]
    #[must_use]
    pub const fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => self.intersects(Self::RW),
            Access::Write => self.contains(Self::WRITE),
            Access::Exec => self.contains(Self::EXEC),
        }
    }
}

/// Why an access failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Nothing is mapped there: SIGSEGV, `SEGV_MAPERR`.
    MapErr,
    /// The mapping does not allow it: SIGSEGV, `SEGV_ACCERR`.
    AccErr,
    /// The page lies behind the end of the mapped file, or could not be read: SIGBUS, `BUS_ADRERR`.
    BusAdrErr,
    /// The memory budget is spent.
    Oom,
}

/// A failed access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The first address that failed.
    pub addr: u64,
    /// What was wanted.
    pub access: Access,
    /// Why it failed.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:#x}: {:?}", self.access, self.addr, self.kind)
    }
}

impl From<Fault> for Errno {
    /// What a system call reports for a bad pointer.
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Oom => Errno::ENOMEM,
            _ => Errno::EFAULT,
        }
    }
}
