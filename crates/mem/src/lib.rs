//! Guest memory: address spaces, VMAs, page objects, the software TLB and access to user memory.
//!
//! A guest has 48-bit addresses and 4 KiB pages whatever the host has. An [`AddressSpace`] is a map of VMAs
//! and a radix page table of [frames](PageRef); a vCPU caches translations in its [`Tlb`]. The kernel reads
//! and writes user memory through `AddressSpace` and through [`UserReader`]/[`UserWriter`], the safe
//! [`IoRead`]/[`IoWrite`]. Files and shared memory are [`MemoryObject`]s ([`FilePages`], [`ShmObject`]).
//!
//! # Invariants that the unsafe code relies on
//! - **M1** A TLB entry is used only in guest mode and never outlives its frame: a frame is released only
//!   after every linked vCPU has left guest mode or dropped its entries (`tlb.rs`).
//! - **M2** A page table node, or a frame that an entry refers to, is taken out of the table only under the
//!   write lock of the address space; entries are added and their flags changed under the read lock.
//! - **M3** Frame contents are touched only by raw, volatile or atomic accesses; there are no references to
//!   memory that a guest can write (`racy.rs`).
//! - **M4** A [`PageRef`] holds one count of its frame; a counted frame stays mapped and is not reused.
//! - **M5** The zero frame is never written: no write entry is ever made for it.
//!
//! # Lock order
//! Address space (`inner`) → object (`MemoryObject::page`, `dirty`, `sync`) → budget. The notifier's callbacks
//! run under `inner` and must not call back. An object that unmaps ranges (truncation) does so without holding
//! a lock that its `page` takes. Copies between user memory and anything else are made without the caller
//! holding locks that a `MemoryObject::page` takes.

mod access;
mod addr;
mod frame;
mod group;
mod io;
mod object;
mod pages;
mod racy;
mod shm;
mod space;
mod table;
mod tlb;
mod user;

pub use access::{Access, Fault, FaultKind, Prot};
pub use addr::{MMAP_MIN_ADDR, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, TASK_SIZE, page_down, page_up};
pub use frame::{MemoryBudget, PageRef, Reclaim};
pub use group::{FrameKind, MemGroup};
pub use io::{IoRead, IoWrite};
pub use object::{Mappers, MemoryObject, MmNotifier, Why};
pub use pages::{Backing, FilePages};
pub use shm::ShmObject;
pub use space::{
    AddressSpace, FutexKey, Layout, Limits, MapRequest, Placement, Shares, Usage, VmaFlags, VmaInfo,
};
pub use tlb::{KICK_FLUSH, KICK_REQUEST, TLB_ENTRIES, Tlb, TlbEntry, VcpuLink};
pub use user::{IoVec, UserReader, UserWriter};
