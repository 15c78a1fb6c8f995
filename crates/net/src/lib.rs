//! Sockets: Unix sockets in the process, Internet sockets by host sockets, and netlink.
//!
//! [`Network`] belongs to a machine; it makes sockets, which are [`FileOps`] with
//! [`FileOps::as_socket`]. Unix sockets never touch the host: [`unix`] moves bytes and open files between
//! queues. Internet sockets are non-blocking host sockets whose readiness comes through the host's reactor.
//! Netlink answers the questions that resolvers and `ip` ask from the host's interfaces and routes, and those that
//! `ss` asks from the machine's own list of sockets.
//! [`cmsg`] turns the guest's control messages into open files and back.

#![forbid(unsafe_code)]

pub mod cmsg;
mod generic;
mod icmp;
mod inet;
mod inet_diag;
mod inet_filter;
mod inet_info;
mod interface;
mod message;
pub mod netlink;
mod option;
mod private;
mod registry;
mod route;
mod sock_diag;
pub mod unix;

pub use inet_info::{Endpoint, InetInfo};

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tuxlet_host::net::{Interface, Route, groups, interfaces, routes};
use tuxlet_uapi::{
    errno::{
        EAFNOSUPPORT, EINVAL, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT, Errno, Result,
    },
    socket::{
        AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP,
        IPPROTO_UDP, IPPROTO_UDPLITE, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
    },
};
use tuxlet_vfs::{Attr, Cx, DeviceId, FileOps, FileType, UserNs, cx::cap};

/// The first socket's inode number. net-tools takes `socket:[N]` with an `N` of one digit for no socket.
const FIRST_INO: u64 = 4096;

/// Highest address family number of Linux 6.12 plus one (`AF_MAX`).
pub(crate) const AF_MAX: u32 = 46;

/// The network of one machine: its sockets, and the names of its Unix sockets.
pub struct Network {
    pub(crate) registry: registry::Registry,
    pub(crate) names: unix::Names,
    next_ino: AtomicU64,
    dev: DeviceId,
    /// What there is instead of the host's network.
    loopback: Option<Arc<private::Loopback>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

/// The device number that sockets show in `st_dev`.
fn sockfs_dev() -> DeviceId {
    static DEV: OnceLock<DeviceId> = OnceLock::new();
    *DEV.get_or_init(DeviceId::anonymous)
}

impl Network {
    /// A network without sockets.
    #[must_use]
    pub fn new() -> Arc<Network> {
        Self::with(None)
    }

    /// A network with nothing but a loopback interface, which is down: that of a new network namespace, which belongs to
    /// a user namespace.
    #[must_use]
    pub fn private(owner: &Arc<UserNs>) -> Arc<Network> {
        Self::with(Some(Arc::new(private::Loopback::new(owner))))
    }

    fn with(loopback: Option<Arc<private::Loopback>>) -> Arc<Network> {
        Arc::new(Network {
            loopback,
            registry: registry::Registry::default(),
            names: unix::Names::default(),
            next_ino: AtomicU64::new(FIRST_INO),
            dev: sockfs_dev(),
        })
    }

    /// Lets listening sockets that the host has ended listen again, as iOS ends those of an app in the background. No guest may use its
    /// sockets meanwhile. Says of each that could not: the errno.
    pub fn renew_listeners(&self) -> Vec<Errno> {
        self.registry.renew_listeners()
    }

    /// socket(2), in the order of Linux' checks. `kind` has no `SOCK_*` flags.
    ///
    /// Errors: `EINVAL` for an impossible family or type, `EAFNOSUPPORT`, `ESOCKTNOSUPPORT`,
    /// `EPROTONOSUPPORT`, `EPERM` for a raw socket without `CAP_NET_RAW`, and the host's.
    pub fn socket(
        self: &Arc<Self>,
        cx: &Cx,
        domain: u32,
        kind: u32,
        protocol: u32,
    ) -> Result<Arc<dyn FileOps>> {
        if domain >= AF_MAX {
            return Err(EAFNOSUPPORT);
        }
        if kind > 10 {
            return Err(EINVAL);
        }
        if kind == 0 && matches!(domain as u16, AF_UNIX | AF_INET | AF_INET6) {
            return Err(ESOCKTNOSUPPORT);
        }
        match domain as u16 {
            AF_UNIX => Ok(Arc::new(unix::UnixSocket::new(self, cx, kind, protocol)?)),
            AF_INET | AF_INET6 => {
                let domain = domain as u16;
                let protocol = inet_protocol(cx, domain, kind, protocol)?;
                if let Some(lo) = &self.loopback {
                    let socket =
                        private::LoopbackSocket::new(self, lo, cx, domain, kind, protocol)?;
                    return Ok(Arc::new(socket));
                }
                Ok(Arc::new(inet::InetSocket::new(
                    self, cx, domain, kind, protocol,
                )?))
            }
            AF_NETLINK => {
                if kind != SOCK_RAW && kind != SOCK_DGRAM {
                    return Err(ESOCKTNOSUPPORT);
                }
                if !netlink::PROTOCOLS.contains(&protocol) {
                    return Err(EPROTONOSUPPORT);
                }
                Ok(netlink::NetlinkSocket::new(self, cx, kind, protocol))
            }
            _ => Err(EAFNOSUPPORT),
        }
    }

    /// socketpair(2): two connected sockets, which only Unix sockets can be. `EOPNOTSUPP` for others.
    pub fn socketpair(
        self: &Arc<Self>,
        cx: &Cx,
        domain: u32,
        kind: u32,
        protocol: u32,
    ) -> Result<(Arc<dyn FileOps>, Arc<dyn FileOps>)> {
        if domain != u32::from(AF_UNIX) {
            self.socket(cx, domain, kind, protocol)?;
            return Err(EOPNOTSUPP);
        }
        let (a, b) = unix::UnixSocket::pair(self, cx, kind, protocol)?;
        Ok((Arc::new(a), Arc::new(b)))
    }

    /// The Internet sockets that have a name, in the order of their making.
    #[must_use]
    pub fn inet_sockets(&self) -> Vec<InetInfo> {
        let mut all = Vec::new();
        self.registry.each_inet(|_, info| all.push(info));
        all
    }

    /// How many Internet sockets of a family, type and protocol there are, whether they have a name or not.
    #[must_use]
    pub fn count_inet(&self, family: u16, kind: u32, protocol: u32) -> usize {
        self.registry
            .count_inet(|e| e.domain == family && e.kind == kind && e.protocol == protocol)
    }

    /// How many sockets there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.registry.count_inet(|_| true)
            + self.registry.unix().len()
            + self.registry.netlink().len()
    }

    /// The Unix sockets, in the order of their making.
    #[must_use]
    pub fn unix_sockets(&self) -> Vec<unix::UnixInfo> {
        self.registry.unix()
    }

    /// The netlink sockets, in the order of their making.
    #[must_use]
    pub fn netlink_sockets(&self) -> Vec<netlink::NetlinkInfo> {
        self.registry.netlink()
    }

    /// The network interfaces, in the order of their indices.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Interface> {
        self.loopback
            .as_ref()
            .map_or_else(interfaces, |lo| vec![lo.interface()])
    }

    /// The multicast groups that the interfaces are in, as text of `/proc/net/igmp` or, for `AF_INET6`, `igmp6`; `None` if that is
    /// not known.
    #[must_use]
    pub fn groups(&self, family: u16) -> Option<String> {
        match self.loopback {
            Some(_) => None,
            None => groups(family),
        }
    }

    /// The routes of the main table.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        self.loopback.as_ref().map_or_else(routes, |_| Vec::new())
    }

    /// The inode of a new socket.
    pub(crate) fn node(&self, cx: &Cx) -> Node {
        Node {
            dev: self.dev,
            ino: self.next_ino.fetch_add(1, Ordering::Relaxed),
            uid: cx.cred.fsuid,
            gid: cx.cred.fsgid,
        }
    }
}

/// Checks type and protocol of an Internet socket and fills in protocol 0.
fn inet_protocol(cx: &Cx, domain: u16, kind: u32, protocol: u32) -> Result<u32> {
    if protocol >= 263 {
        return Err(EINVAL);
    }
    let icmp = if domain == AF_INET {
        IPPROTO_ICMP
    } else {
        IPPROTO_ICMPV6
    };
    match (kind, protocol) {
        (SOCK_STREAM, 0 | IPPROTO_TCP) => Ok(IPPROTO_TCP),
        (SOCK_DGRAM, 0 | IPPROTO_UDP) => Ok(IPPROTO_UDP),
        // Hosts that do not have it say so.
        (SOCK_DGRAM, IPPROTO_UDPLITE) => Ok(IPPROTO_UDPLITE),
        (SOCK_DGRAM, p) if p == icmp => Ok(icmp),
        (SOCK_RAW, 0) => Err(EPROTONOSUPPORT),
        (SOCK_RAW, _) if !cx.cred.has_cap(cap::NET_RAW) => Err(EPERM),
        (SOCK_RAW, p) => Ok(p),
        (SOCK_STREAM | SOCK_DGRAM, _) => Err(EPROTONOSUPPORT),
        (SOCK_SEQPACKET, _) | (_, _) => Err(ESOCKTNOSUPPORT),
    }
}

/// What stat(2) tells of a socket that has no name in a file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    dev: DeviceId,
    pub(crate) ino: u64,
    pub(crate) uid: u32,
    gid: u32,
}

impl Node {
    pub(crate) fn attr(&self, cx: &Cx) -> Attr {
        Attr {
            dev: self.dev,
            ino: self.ino,
            kind: FileType::Socket,
            mode: 0o777,
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: DeviceId::default(),
            size: 0,
            blksize: 4096,
            blocks: 0,
            atime: cx.now,
            mtime: cx.now,
            ctime: cx.now,
            btime: None,
        }
    }
}
