//! Images in the form of the Open Container Initiative and of Docker: from registries and archives, and back into archives.
//!
//! - `reference` is what images are called, `registry` speaks the distribution protocol, `challenge` and [`credentials`] are
//!   about who asks.
//! - `manifest` and `config` are the documents that images consist of, `unpack` makes layers of the store of them.
//! - `pull`, `archive` and `save` are the whole jobs.

mod archive;
mod challenge;
mod config;
pub mod credentials;
mod manifest;
mod pull;
mod reference;
mod registry;
mod save;
mod unpack;

pub(crate) use archive::holds_images;
pub use archive::import_archive;
pub use pull::{Pulled, pull};
pub use reference::Reference;
pub use registry::check_login;
pub use save::save;
pub use unpack::Limits;

#[cfg(test)]
mod tests;
