//! Sockets: Unix, and Internet by host sockets.

#![forbid(unsafe_code)]
