//! Signals: signal(7).
//!
//! One queue per thread and one per process, one sending path ([`send`]), one delivering path ([`deliver`]).

pub mod action;
pub mod deliver;
pub mod queue;
pub mod send;

pub use action::SigHand;
pub use queue::{GroupSignals, SigQueue, TaskSignals};
pub(crate) use send::begin_broadcast;
pub use send::{send_to_group, send_to_process_group, send_to_task};
