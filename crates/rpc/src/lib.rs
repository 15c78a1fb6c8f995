//! JSON-RPC 2.0 over a [`tuxlet::Machine`]: run commands, move files, watch changes, from any language.
//!
//! - `methods` is the one table of methods; dispatch and the OpenRPC document come from it.
//! - A [`Session`] is one client: it takes messages as text and sends replies and notifications through its outbox. It
//!   knows nothing of transports.
//! - [`lines`] carries messages as lines over a pair of streams or a Unix socket, [`http`] over HTTP POST and WebSocket with
//!   a bearer token, [`web`] terminals for browsers beside that, [`mcp`] offers the same machine to agents as Model Context Protocol tools.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod auth;
mod encoding;
pub mod http;
pub mod keeper;
pub mod lines;
pub mod mcp;
mod message;
mod methods;
mod openrpc;
mod process;
mod session;
mod types;
pub mod web;

pub use auth::Token;
pub use keeper::{Keeper, Served};
pub use openrpc::document as openrpc_document;
pub use session::{Limits, Outbox, Session};
