//! Linux: all numbers are the guest's own.

use libc::{c_int, sockaddr, sockaddr_storage, socklen_t};
use std::os::fd::{AsRawFd, OwnedFd};
use tuxlet_uapi::errno::Result;

/// Flags for socket(2).
pub(super) const NEW_FLAGS: c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
/// Flag for sendmsg(2) that keeps `SIGPIPE` away.
pub(super) const NOSIGNAL: c_int = libc::MSG_NOSIGNAL;
/// The host's `POLLRDHUP`.
pub(super) const POLLRDHUP: libc::c_short = libc::POLLRDHUP;
/// The ioctl(2) request for unsent bytes.
pub(super) const OUTQ: libc::c_ulong = libc::TIOCOUTQ as libc::c_ulong;

#[expect(clippy::unnecessary_wraps, reason = "same shape on every host")]
pub(super) fn family_to_host(_: &mut sockaddr_storage, _: u16, _: usize) -> Result<()> {
    Ok(())
}

pub(super) fn family_from_host(storage: &sockaddr_storage) -> u16 {
    storage.ss_family
}

#[expect(clippy::unnecessary_wraps, reason = "same shape on every host")]
pub(super) fn socket_args(domain: u16, kind: u32) -> Result<(c_int, c_int)> {
    Ok((c_int::from(domain), kind as c_int))
}

#[expect(clippy::unnecessary_wraps, reason = "same shape on every host")]
pub(super) fn prepare(_: &OwnedFd) -> Result<()> {
    Ok(())
}

/// Makes the second descriptor name what the first one does.
pub(super) fn replace(new: &OwnedFd, old: &OwnedFd) -> Result<()> {
    // SAFETY: no pointers. What `old` names changes at once, and it stays open.
    super::check_int(unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) })?;
    Ok(())
}

/// accept(2).
///
/// # Safety
/// `addr` must have `*len` writable bytes.
pub(super) unsafe fn accept(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { libc::accept4(fd, addr, len, NEW_FLAGS) }
}

pub(super) fn flags_to_host(flags: u32) -> c_int {
    flags as c_int
}

pub(super) fn flags_from_host(flags: c_int) -> u32 {
    flags as u32
}

pub(super) fn option_to_host(level: u32, name: u32) -> Option<(c_int, c_int)> {
    Some((level as c_int, name as c_int))
}

pub(super) fn control_to_host(level: i32, kind: i32) -> Option<(c_int, c_int)> {
    Some((level, kind))
}

pub(super) fn control_from_host(level: c_int, kind: c_int) -> Option<(i32, i32)> {
    Some((level, kind))
}

/// A route of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination, 4 or 16 bytes in network order.
    pub destination: Vec<u8>,
    /// Length of its prefix in bits.
    pub prefix_len: u8,
    /// Gateway, if any.
    pub gateway: Option<Vec<u8>>,
    /// Name of the interface.
    pub interface: String,
    /// Metric.
    pub metric: u32,
}

/// The host's routes, as far as it tells.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    if let Ok(table) = std::fs::read_to_string("/proc/net/route") {
        routes.extend(table.lines().skip(1).filter_map(parse_v4));
    }
    if let Ok(table) = std::fs::read_to_string("/proc/net/ipv6_route") {
        routes.extend(table.lines().filter_map(parse_v6));
    }
    routes
}

/// `RTF_UP`.
const UP: u32 = 1;
/// `RTF_GATEWAY`.
const GATEWAY: u32 = 2;
/// `RTF_REJECT`.
const REJECT: u32 = 0x200;
/// `RTF_LOCAL`.
const LOCAL: u32 = 0x8000_0000;

fn parse_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    // Words are printed as the memory has them: little-endian hosts show network order reversed.
    let word = |i: usize| u32::from_str_radix(fields.get(i)?, 16).ok();
    let flags = word(3)?;
    if flags & UP == 0 || flags & REJECT != 0 {
        return None;
    }
    Some(Route {
        destination: word(1)?.to_ne_bytes().to_vec(),
        prefix_len: word(7)?.count_ones() as u8,
        gateway: (flags & GATEWAY != 0).then_some(word(2)?.to_ne_bytes().to_vec()),
        interface: (*fields.first()?).to_owned(),
        metric: fields.get(6)?.parse().ok()?,
    })
}

fn parse_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let bytes = |i: usize| -> Option<Vec<u8>> {
        let text = fields.get(i).filter(|t| t.len() == 32 && t.is_ascii())?;
        (0..16)
            .map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok())
            .collect()
    };
    let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
    if flags & UP == 0 || flags & (REJECT | LOCAL) != 0 {
        return None;
    }
    let destination = bytes(0)?;
    if destination[0] == 0xff {
        return None;
    }
    Some(Route {
        destination,
        prefix_len: u8::from_str_radix(fields.get(1)?, 16).ok()?,
        gateway: (flags & GATEWAY != 0).then_some(bytes(4)?),
        interface: (*fields.get(9)?).to_owned(),
        metric: u32::from_str_radix(fields.get(5)?, 16).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_tables_are_understood() {
        let line = "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        let route = parse_v4(line).unwrap();
        assert_eq!((route.prefix_len, route.metric), (0, 100));
        if cfg!(target_endian = "little") {
            assert_eq!(route.gateway, Some(vec![192, 168, 0, 1]));
        }
        let line = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 \
                    00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0";
        let route = parse_v6(line).unwrap();
        assert_eq!(
            (route.prefix_len, route.metric, route.gateway),
            (64, 256, None)
        );
        assert_eq!(parse_v4("garbage"), None);
        assert_eq!(parse_v6("zz"), None);
    }
}
