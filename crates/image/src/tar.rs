//! Tar archives: reading into a tree and writing from one.
//!
//! The formats are those of tar(5): ustar, GNU (long names, old sparse files, base-256 numbers) and pax (long names, sub-second
//! times, `SCHILY.xattr.*`, GNU sparse 0.0, 0.1 and 1.0).

mod import;
mod reader;
mod writer;

pub(crate) use import::import_plain;
pub use import::{Limits, import};
pub use reader::{Data, Entry, Kind, TarReader};
pub use writer::TarWriter;

/// Size of a tar block in bytes.
const BLOCK: usize = 512;
