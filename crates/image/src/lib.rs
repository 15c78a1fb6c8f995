//! Provisioning: Debian packages and tarballs to file trees.

#![forbid(unsafe_code)]
