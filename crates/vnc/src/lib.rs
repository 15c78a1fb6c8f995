//! A guest's terminal as a screen: an RFB server (RFC 6143), as VNC viewers use it.
//!
//! - `rfb` reads and writes the protocol's messages, `zrle` compresses pixels; nothing else sees bytes of clients.
//! - `screen` is what a terminal shows, as cells, and draws them with the font of `font`.
//! - `keys` turns keys of X11 into what a terminal sends, `mouse` what the mouse does.
//! - `server` joins them: one thread reads the terminal, two serve each client, which gets what has changed since it asked last.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod font;
mod keys;
mod mouse;
mod rfb;
mod screen;
mod server;
mod zrle;

pub use font::BadSize;
pub use rfb::{Password, read_all as read_client_messages};
pub use server::{Config, Screen};
