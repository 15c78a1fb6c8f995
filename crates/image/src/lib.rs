//! Provisioning: Debian packages and tarballs to root file systems, and the store they live in.
//!
//! - [`store`] is the home of images, machines and downloads on the host's disk.
//! - [`tree`] is what a root file system is written to and read from.
//! - [`tar`] and [`debian`] make trees, [`oci`] makes images of layers, [`patch`] changes machines.
//!
//! This crate never runs guest code itself: where packages have to be configured inside the guest, the caller does it (see
//! `debian::pull`).

#![forbid(unsafe_code)]

pub mod alpine;
mod compress;
pub mod config;
pub mod debian;
mod error;
mod http;
pub mod oci;
pub mod patch;
mod progress;
mod provision;
pub mod store;
pub mod tar;
pub mod tree;

pub use compress::{Compression, decompress};
pub use error::{Error, Result};
pub use progress::{Progress, Quiet, Stage};
pub use provision::{
    export_image, export_machine, import_fakefs_v3, import_file, import_tar, pull_debian,
};
/// Checking and mending of file system stores: see `Machine::fs_dir` and `Store::layer_dirs`.
pub use tuxlet_fakefs::{check, repair};
