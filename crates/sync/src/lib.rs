//! Locks, wait queues and id allocators.
//!
//! [`Mutex`], [`RwLock`] and [`Condvar`] are parking_lot's behind our names. [`WaitQueue`] is the one
//! primitive that everything blocks on; [`Waiter`] is the parker of one task; [`Wake`] is the upward signal
//! "something became ready". [`IdAllocator`] hands out small numbers (pids, pty indexes, timer ids).

#![forbid(unsafe_code)]

mod id;
mod wait;

pub use id::IdAllocator;
pub use parking_lot::{
    Condvar, MappedMutexGuard, MappedRwLockReadGuard, MappedRwLockWriteGuard, Mutex, MutexGuard,
    RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
pub use wait::{ANY, Registration, WaitQueue, WaitResult, Waiter, Wake};
