//! Locks with levels, wait queues and id allocators.
