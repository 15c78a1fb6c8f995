//! Unix sockets, entirely in the process: unix(7).
//!
//! A `Sock` is an endpoint with a queue of what was sent to it; connected endpoints know each other weakly.
//! The open file, [`UnixSocket`], owns its `Sock`; when it goes the endpoint is closed, and others that still
//! have it see that.
//!
//! Locks: an endpoint's state lock is never held while another's is taken, nor while open files are dropped
//! (they may be sockets). Differences from Linux: sockets that are in flight in each other's queues, with no
//! descriptor left, are not collected.

mod address;
mod close;
mod info;
mod recv;
mod send;
mod socket;
mod state;

pub use address::{Names, socket_path};
pub(crate) use close::MAX_NESTING;
pub use close::nesting;
pub use info::UnixInfo;
pub use socket::UnixSocket;
pub(crate) use state::Sock;
