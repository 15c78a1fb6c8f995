//! Darwin: families, options and flags differ in number; what has no counterpart is refused.

use libc::{c_int, sockaddr, sockaddr_storage, socklen_t};
use std::os::fd::{AsRawFd, OwnedFd};
use tuxlet_uapi::{
    errno::{EAFNOSUPPORT, EINVAL, Result},
    socket::*,
};

/// Darwin's socket(2) takes no flags; see [`prepare`].
pub(super) const NEW_FLAGS: c_int = 0;
/// Sockets have `SO_NOSIGPIPE` instead.
pub(super) const NOSIGNAL: c_int = 0;
/// Darwin tells a closed peer by end of file only.
pub(super) const POLLRDHUP: libc::c_short = 0;
/// The ioctl(2) request for unsent bytes.
pub(super) const OUTQ: libc::c_ulong = libc::TIOCOUTQ as libc::c_ulong;

pub(super) fn family_to_host(s: &mut sockaddr_storage, family: u16, len: usize) -> Result<()> {
    s.ss_len = u8::try_from(len).map_err(|_| EINVAL)?;
    s.ss_family = match family {
        AF_UNSPEC => libc::AF_UNSPEC,
        AF_INET => libc::AF_INET,
        AF_INET6 => libc::AF_INET6,
        _ => return Err(EAFNOSUPPORT),
    } as libc::sa_family_t;
    Ok(())
}

pub(super) fn family_from_host(storage: &sockaddr_storage) -> u16 {
    match c_int::from(storage.ss_family) {
        libc::AF_INET => AF_INET,
        libc::AF_INET6 => AF_INET6,
        _ => AF_UNSPEC,
    }
}

pub(super) fn socket_args(domain: u16, kind: u32) -> Result<(c_int, c_int)> {
    let domain = match domain {
        AF_INET => libc::AF_INET,
        AF_INET6 => libc::AF_INET6,
        _ => return Err(EAFNOSUPPORT),
    };
    let kind = match kind {
        SOCK_STREAM => libc::SOCK_STREAM,
        SOCK_DGRAM => libc::SOCK_DGRAM,
        SOCK_RAW => libc::SOCK_RAW,
        _ => return Err(EINVAL),
    };
    Ok((domain, kind))
}

/// Makes the second descriptor name what the first one does.
pub(super) fn replace(new: &OwnedFd, old: &OwnedFd) -> Result<()> {
    // SAFETY: no pointers. What `old` names changes at once, and it stays open.
    super::check_int(unsafe { libc::dup2(new.as_raw_fd(), old.as_raw_fd()) })?;
    rustix::io::fcntl_setfd(old, rustix::io::FdFlags::CLOEXEC).map_err(crate::errno::from_host)
}

pub(super) fn prepare(fd: &OwnedFd) -> Result<()> {
    let failed = |_| crate::errno::from_io(&std::io::Error::last_os_error());
    rustix::io::ioctl_fionbio(fd, true).map_err(crate::errno::from_host)?;
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).map_err(crate::errno::from_host)?;
    let on: c_int = 1;
    // SAFETY: the value is one int.
    let set = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NOSIGPIPE,
            (&raw const on).cast(),
            size_of::<c_int>() as socklen_t,
        )
    };
    usize::try_from(set).map(|_| ()).map_err(failed)
}

/// accept(2).
///
/// # Safety
/// `addr` must have `*len` writable bytes.
pub(super) unsafe fn accept(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { libc::accept(fd, addr, len) }
}

/// Linux' flag and Darwin's.
const FLAGS: &[(u32, c_int)] = &[
    (MSG_OOB, libc::MSG_OOB),
    (MSG_PEEK, libc::MSG_PEEK),
    (MSG_DONTROUTE, libc::MSG_DONTROUTE),
    (MSG_CTRUNC, libc::MSG_CTRUNC),
    (MSG_TRUNC, libc::MSG_TRUNC),
    (MSG_EOR, libc::MSG_EOR),
    (MSG_WAITALL, libc::MSG_WAITALL),
];

pub(super) fn flags_to_host(flags: u32) -> c_int {
    FLAGS
        .iter()
        .filter(|&&(linux, _)| flags & linux != 0)
        .fold(0, |all, &(_, host)| all | host)
}

pub(super) fn flags_from_host(flags: c_int) -> u32 {
    FLAGS
        .iter()
        .filter(|&&(_, host)| flags & host != 0)
        .fold(0, |all, &(linux, _)| all | linux)
}

pub(super) fn option_to_host(level: u32, name: u32) -> Option<(c_int, c_int)> {
    Some(match (level, name) {
        (SOL_SOCKET, SO_REUSEADDR) => (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        (SOL_SOCKET, SO_REUSEPORT) => (libc::SOL_SOCKET, libc::SO_REUSEPORT),
        (SOL_SOCKET, SO_TYPE) => (libc::SOL_SOCKET, libc::SO_TYPE),
        (SOL_SOCKET, SO_DONTROUTE) => (libc::SOL_SOCKET, libc::SO_DONTROUTE),
        (SOL_SOCKET, SO_BROADCAST) => (libc::SOL_SOCKET, libc::SO_BROADCAST),
        (SOL_SOCKET, SO_SNDBUF) => (libc::SOL_SOCKET, libc::SO_SNDBUF),
        (SOL_SOCKET, SO_RCVBUF) => (libc::SOL_SOCKET, libc::SO_RCVBUF),
        (SOL_SOCKET, SO_KEEPALIVE) => (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        (SOL_SOCKET, SO_OOBINLINE) => (libc::SOL_SOCKET, libc::SO_OOBINLINE),
        (SOL_SOCKET, SO_LINGER) => (libc::SOL_SOCKET, libc::SO_LINGER),
        (IPPROTO_TCP, TCP_NODELAY) => (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        (IPPROTO_TCP, TCP_MAXSEG) => (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
        (IPPROTO_TCP, TCP_KEEPIDLE) => (libc::IPPROTO_TCP, libc::TCP_KEEPALIVE),
        (IPPROTO_TCP, TCP_KEEPINTVL) => (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
        (IPPROTO_TCP, TCP_KEEPCNT) => (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
        (IPPROTO_IP, IP_TOS) => (libc::IPPROTO_IP, libc::IP_TOS),
        (IPPROTO_IP, IP_TTL) => (libc::IPPROTO_IP, libc::IP_TTL),
        (IPPROTO_IP, IP_HDRINCL) => (libc::IPPROTO_IP, libc::IP_HDRINCL),
        (IPPROTO_IP, IP_RECVTTL) => (libc::IPPROTO_IP, libc::IP_RECVTTL),
        (IPPROTO_IP, IP_MULTICAST_TTL) => (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL),
        (IPPROTO_IP, IP_MULTICAST_LOOP) => (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP),
        (IPPROTO_IP, IP_ADD_MEMBERSHIP) => (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP),
        (IPPROTO_IP, IP_DROP_MEMBERSHIP) => (libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP),
        (IPPROTO_IPV6, IPV6_V6ONLY) => (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
        (IPPROTO_IPV6, IPV6_UNICAST_HOPS) => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
        (IPPROTO_IPV6, IPV6_MULTICAST_HOPS) => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS),
        (IPPROTO_IPV6, IPV6_MULTICAST_LOOP) => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP),
        _ => return None,
    })
}

/// No control messages are translated yet.
pub(super) fn control_to_host(_: i32, _: i32) -> Option<(c_int, c_int)> {
    None
}

pub(super) fn control_from_host(level: c_int, kind: c_int) -> Option<(i32, i32)> {
    (level == libc::IPPROTO_IP && kind == libc::IP_RECVTTL)
        .then_some((IPPROTO_IP as i32, IP_TTL as i32))
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

/// The host's routes: none, an app may not read them.
#[must_use]
pub fn routes() -> Vec<Route> {
    Vec::new()
}
