//! The fakefs file system: Linux metadata in SQLite, file data in host files.

#![forbid(unsafe_code)]
