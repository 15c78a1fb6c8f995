//! Files, inodes, mounts, path walk and the file system traits.

#![forbid(unsafe_code)]
