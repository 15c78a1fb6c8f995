//! The network of a network namespace other than the first: network_namespaces(7). It has a loopback interface and nothing
//! else, and never touches the host: a TCP connection is a pair of stream endpoints, a UDP datagram a message between
//! datagram endpoints, both of [`crate::unix`], which find each other by names made of address and port.
//!
//! DEVIATION: a connected UDP socket hears everybody, most options of TCP and IP are unknown or only kept, and `/proc/net`
//! and sock_diag(7) show the endpoints instead of the Internet sockets.

use crate::{
    Network,
    option::{int_of, int_value},
    unix::UnixSocket,
};
use std::{
    any::Any,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::Duration,
};
use tuxlet_host::net::{Interface, InterfaceAddr};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite};
use tuxlet_sync::Mutex;
use tuxlet_uapi::{
    errno::{
        EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, ECONNREFUSED, EDESTADDRREQ,
        EINVAL, EISCONN, EMSGSIZE, ENETUNREACH, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP, EPERM,
        EPROTONOSUPPORT, ESOCKTNOSUPPORT, Errno, Result,
    },
    socket::*,
};
use tuxlet_vfs::{
    Attr, Cx, Events, FileOps, PollTable, SocketOps, UserNs,
    cx::cap,
    socket::{Name, RecvMsg, SendMsg, Shutdown},
};

/// Ports that are given out by themselves: `ip_local_port_range`.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;
/// The largest payload of a UDP datagram over IPv4.
const DATAGRAM_MAX: usize = 65_507;
/// `ip_unprivileged_port_start`.
const UNPRIVILEGED: u16 = 1024;

/// Options that a lossless network without headers has no use for, with their defaults.
const KEPT: &[(u32, u32, i32)] = &[
    (IPPROTO_TCP, TCP_NODELAY, 0),
    (IPPROTO_TCP, TCP_CORK, 0),
    (IPPROTO_TCP, TCP_KEEPIDLE, 7200),
    (IPPROTO_TCP, TCP_KEEPINTVL, 75),
    (IPPROTO_TCP, TCP_KEEPCNT, 9),
    (IPPROTO_TCP, TCP_QUICKACK, 1),
    (IPPROTO_TCP, TCP_USER_TIMEOUT, 0),
    (IPPROTO_IP, IP_TOS, 0),
    (IPPROTO_IP, IP_TTL, 64),
    (IPPROTO_IP, IP_RECVERR, 0),
    (IPPROTO_IPV6, IPV6_V6ONLY, 0),
    (IPPROTO_IPV6, IPV6_RECVERR, 0),
    (IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64),
];

/// The interface `lo` and the ports in use.
#[derive(Debug)]
pub(crate) struct Loopback {
    /// Whose capabilities count.
    owner: Arc<UserNs>,
    up: AtomicBool,
    /// 127.0.0.1 was added before the interface was brought up.
    addressed: AtomicBool,
    /// The addresses that are bound, by protocol and port.
    ports: Mutex<HashMap<(u32, u16), Vec<IpAddr>>>,
    next: AtomicU16,
}

impl Loopback {
    pub(crate) fn new(owner: &Arc<UserNs>) -> Self {
        Self {
            owner: Arc::clone(owner),
            up: AtomicBool::new(false),
            addressed: AtomicBool::new(false),
            ports: Mutex::default(),
            next: AtomicU16::new(0),
        }
    }

    fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// `EPERM` for whoever may not configure the interface.
    pub(crate) fn must_be_admin(&self, cx: &Cx) -> Result<()> {
        if cx.cred.has_cap_in(&self.owner, cap::NET_ADMIN) {
            Ok(())
        } else {
            Err(EPERM)
        }
    }

    /// Sets the interface's flags, of which only `IFF_UP` can change.
    pub(crate) fn set_flags(&self, flags: u32) {
        let up = flags & IFF_UP != 0;
        self.up.store(up, Ordering::Relaxed);
        // Going up adds the address; going down leaves it.
        self.addressed.fetch_or(up, Ordering::Relaxed);
    }

    /// Adds an address to the interface: only the usual one. `EEXIST` if it is there.
    pub(crate) fn add_address(&self, address: &[u8], prefix: u8) -> Result<()> {
        if address != [127, 0, 0, 1] || prefix != 8 {
            return Err(EOPNOTSUPP);
        }
        if self.addressed.swap(true, Ordering::Relaxed) {
            return Err(Errno::EEXIST);
        }
        Ok(())
    }

    pub(crate) fn interface(&self) -> Interface {
        let up = self.is_up();
        let mut addrs = Vec::new();
        if self.addressed.load(Ordering::Relaxed) {
            addrs.push(InterfaceAddr {
                family: AF_INET,
                address: vec![127, 0, 0, 1],
                prefix_len: 8,
                broadcast: None,
            });
        }
        if up {
            addrs.push(InterfaceAddr {
                family: AF_INET6,
                address: Ipv6Addr::LOCALHOST.octets().to_vec(),
                prefix_len: 128,
                broadcast: None,
            });
        }
        Interface {
            name: "lo".into(),
            index: 1,
            flags: IFF_LOOPBACK | if up { IFF_UP | IFF_RUNNING } else { 0 },
            mtu: 65_536,
            hardware: vec![0; 6],
            addrs,
        }
    }

    /// Takes a port for an address; 0 asks for a free one. `EADDRINUSE`.
    fn take(&self, protocol: u32, at: SocketAddr) -> Result<SocketAddr> {
        let mut ports = self.ports.lock();
        let mut free = |port: u16| {
            let taken = ports.entry((protocol, port)).or_default();
            let clash =
                |ip: &IpAddr| *ip == at.ip() || ip.is_unspecified() || at.ip().is_unspecified();
            if taken.iter().any(clash) {
                return false;
            }
            taken.push(at.ip());
            true
        };
        if at.port() != 0 {
            return if free(at.port()) {
                Ok(at)
            } else {
                Err(EADDRINUSE)
            };
        }
        let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        for _ in 0..count {
            let port = EPHEMERAL.start() + self.next.fetch_add(1, Ordering::Relaxed) % count;
            if free(port) {
                return Ok(SocketAddr::new(at.ip(), port));
            }
        }
        Err(EADDRINUSE)
    }

    fn give_back(&self, protocol: u32, at: SocketAddr) {
        let mut ports = self.ports.lock();
        if let Some(taken) = ports.get_mut(&(protocol, at.port())) {
            if let Some(index) = taken.iter().position(|ip| *ip == at.ip()) {
                taken.swap_remove(index);
            }
            if taken.is_empty() {
                ports.remove(&(protocol, at.port()));
            }
        }
    }

    /// The bound address that hears what is sent to `to`.
    fn listener(&self, protocol: u32, to: SocketAddr) -> Option<SocketAddr> {
        let ports = self.ports.lock();
        let taken = ports.get(&(protocol, to.port()))?;
        let candidates = [
            to.ip(),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ];
        let hears = |ip: &&IpAddr| taken.contains(ip) && (ip.is_ipv6() || to.is_ipv4());
        let ip = candidates.iter().find(hears)?;
        Some(SocketAddr::new(*ip, to.port()))
    }
}

/// The address in a `struct sockaddr_in` or `sockaddr_in6`; addresses of IPv4 in IPv6 are those of IPv4.
fn parse(domain: u16, bytes: &[u8]) -> Result<SocketAddr> {
    let family = bytes.get(..2).ok_or(EINVAL)?;
    if family != domain.to_le_bytes() {
        return Err(EAFNOSUPPORT);
    }
    let port = |b: &[u8]| u16::from_be_bytes([b[2], b[3]]);
    if domain == AF_INET {
        let b: [u8; 8] = bytes
            .get(..8)
            .ok_or(EINVAL)?
            .try_into()
            .map_err(|_| EINVAL)?;
        let ip = Ipv4Addr::new(b[4], b[5], b[6], b[7]);
        return Ok(SocketAddr::new(ip.into(), port(&b)));
    }
    let b: [u8; 24] = bytes
        .get(..24)
        .ok_or(EINVAL)?
        .try_into()
        .map_err(|_| EINVAL)?;
    let mut ip = [0; 16];
    ip.copy_from_slice(&b[8..24]);
    Ok(SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port(&b)))
}

/// As [`parse`] reads it.
fn show(domain: u16, at: SocketAddr) -> Vec<u8> {
    let mut bytes = domain.to_le_bytes().to_vec();
    bytes.extend(at.port().to_be_bytes());
    match at.ip() {
        ip if domain == AF_INET => {
            let ip = match ip {
                IpAddr::V4(ip) => ip,
                // Nobody of another family reaches a socket of this one.
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            };
            bytes.extend(ip.octets());
            bytes.extend([0; 8]);
        }
        ip => {
            let ip = match ip {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED,
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            bytes.extend([0; 4]);
            bytes.extend(ip.octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}

/// The name among the endpoints for a bound address.
fn endpoint(protocol: u32, at: SocketAddr) -> Vec<u8> {
    let mut name = AF_UNIX.to_le_bytes().to_vec();
    // No guest's abstract name is this long a number of zeroes in front.
    name.extend([0; 4]);
    name.extend(protocol.to_le_bytes());
    let ip = match at.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    name.extend(show(AF_INET6, SocketAddr::new(ip.into(), at.port())));
    name
}

/// What [`endpoint`] was made of.
fn of_endpoint(name: &[u8]) -> Option<SocketAddr> {
    parse(AF_INET6, name.get(10..)?).ok()
}

/// The loopback address of a family in place of none.
fn specific(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, at.port())
}

fn unnamed(bytes: &[u8]) -> Name<'_> {
    Name { bytes, inode: None }
}

#[derive(Debug, Default)]
struct State {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    /// The port is the socket's own, not its listener's.
    owns_port: bool,
    listening: bool,
    error: Option<Errno>,
    /// Options of the protocols, kept and shown.
    options: HashMap<(u32, u32), i32>,
}

/// A TCP or UDP socket on a loopback interface of its namespace.
#[derive(Debug)]
pub(crate) struct LoopbackSocket {
    net: Arc<Network>,
    lo: Arc<Loopback>,
    inner: Arc<dyn FileOps>,
    domain: u16,
    kind: u32,
    protocol: u32,
    state: Mutex<State>,
}

impl LoopbackSocket {
    /// `EACCES`, `EPROTONOSUPPORT` and `ESOCKTNOSUPPORT` for what is neither TCP nor UDP.
    pub(crate) fn new(
        net: &Arc<Network>,
        lo: &Arc<Loopback>,
        cx: &Cx,
        domain: u16,
        kind: u32,
        protocol: u32,
    ) -> Result<Self> {
        match (kind, protocol) {
            (SOCK_STREAM, IPPROTO_TCP) | (SOCK_DGRAM, IPPROTO_UDP) => {}
            (SOCK_DGRAM, IPPROTO_UDPLITE) => return Err(EPROTONOSUPPORT),
            // As with an empty ping_group_range, which is the usual one.
            (SOCK_DGRAM, _) => return Err(EACCES),
            _ => return Err(ESOCKTNOSUPPORT),
        }
        Ok(Self {
            net: Arc::clone(net),
            lo: Arc::clone(lo),
            inner: Arc::new(UnixSocket::new(net, cx, kind, 0)?),
            domain,
            kind,
            protocol,
            state: Mutex::default(),
        })
    }

    fn inner(&self) -> Result<&dyn SocketOps> {
        self.inner.as_socket().ok_or(EINVAL)
    }

    fn any(&self) -> SocketAddr {
        let ip = if self.domain == AF_INET {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        SocketAddr::new(ip, 0)
    }

    fn bind_to(&self, cx: &Cx, at: SocketAddr) -> Result<()> {
        let mut state = self.state.lock();
        if state.local.is_some() {
            return Err(EINVAL);
        }
        let at = self.lo.take(self.protocol, at)?;
        let name = endpoint(self.protocol, at);
        if let Err(e) = self.inner()?.bind(cx, unnamed(&name)) {
            self.lo.give_back(self.protocol, at);
            return Err(e);
        }
        (state.local, state.owns_port) = (Some(at), true);
        Ok(())
    }

    /// Gives the socket a port, if it has none, to be called from the family of `peer`.
    fn autobind(&self, cx: &Cx, peer: Option<SocketAddr>) -> Result<()> {
        if self.state.lock().local.is_some() {
            return Ok(());
        }
        let any = match peer {
            Some(SocketAddr::V4(_)) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            _ => self.any(),
        };
        self.bind_to(cx, any)
    }

    /// The endpoint that hears what goes to `to`. `ENETUNREACH` outside of the loopback network, `ECONNREFUSED` if nobody
    /// listens.
    fn route(&self, to: SocketAddr) -> Result<Vec<u8>> {
        let to = specific(to);
        if !self.lo.is_up() || !to.ip().is_loopback() {
            return Err(ENETUNREACH);
        }
        let at = self.lo.listener(self.protocol, to).ok_or(ECONNREFUSED)?;
        Ok(endpoint(self.protocol, at))
    }

    /// The default of an option of a protocol that is kept, though there is nothing to do about it. `ENOPROTOOPT` for others.
    fn protocol_option(&self, level: u32, name: u32) -> Result<i32> {
        let found = KEPT.iter().find(|(l, n, _)| (*l, *n) == (level, name));
        let fits = level != IPPROTO_TCP || self.is_stream();
        let (.., default) = found.filter(|_| fits).ok_or(ENOPROTOOPT)?;
        Ok(*default)
    }

    fn is_stream(&self) -> bool {
        self.kind == SOCK_STREAM
    }
}

impl Drop for LoopbackSocket {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if let Some(at) = state.local.filter(|_| state.owns_port) {
            self.lo.give_back(self.protocol, at);
        }
    }
}

impl SocketOps for LoopbackSocket {
    fn domain(&self) -> u16 {
        self.domain
    }

    fn kind(&self) -> u32 {
        self.kind
    }

    fn protocol(&self) -> u32 {
        self.protocol
    }

    fn bind(&self, cx: &Cx, name: Name<'_>) -> Result<()> {
        let at = parse(self.domain, name.bytes)?;
        if !at.ip().is_unspecified() && !at.ip().is_loopback() {
            return Err(EADDRNOTAVAIL);
        }
        let low = (1..UNPRIVILEGED).contains(&at.port());
        if low && !cx.cred.has_cap_in(&self.lo.owner, cap::NET_BIND_SERVICE) {
            return Err(EACCES);
        }
        self.bind_to(cx, at)
    }

    fn listen(&self, cx: &Cx, backlog: i32) -> Result<()> {
        if !self.is_stream() {
            return Err(EOPNOTSUPP);
        }
        if self.state.lock().remote.is_some() {
            return Err(EINVAL);
        }
        self.autobind(cx, None)?;
        self.inner()?.listen(cx, backlog)?;
        self.state.lock().listening = true;
        Ok(())
    }

    fn accept(&self, cx: &Cx) -> Result<(Arc<dyn FileOps>, Vec<u8>)> {
        if !self.is_stream() {
            return Err(EOPNOTSUPP);
        }
        let (inner, peer) = self.inner()?.accept(cx)?;
        let remote = of_endpoint(&peer).map(specific);
        let local = self.state.lock().local;
        let local = local.map(|at| match (at.ip().is_unspecified(), remote) {
            // Who called the wildcard called the address of its own family.
            (true, Some(remote)) => SocketAddr::new(remote.ip(), at.port()),
            _ => at,
        });
        let made = Self {
            net: Arc::clone(&self.net),
            lo: Arc::clone(&self.lo),
            inner,
            domain: self.domain,
            kind: self.kind,
            protocol: self.protocol,
            state: Mutex::new(State {
                local,
                remote,
                ..State::default()
            }),
        };
        let name = remote.map_or_else(Vec::new, |at| show(self.domain, at));
        Ok((Arc::new(made), name))
    }

    fn connect(&self, cx: &Cx, name: Name<'_>) -> Result<()> {
        if !self.is_stream() && name.bytes.get(..2) == Some(&AF_UNSPEC.to_le_bytes()) {
            self.state.lock().remote = None;
            return Ok(());
        }
        let to = specific(parse(self.domain, name.bytes)?);
        if self.is_stream() {
            let state = self.state.lock();
            if state.listening || state.remote.is_some() {
                return Err(EISCONN);
            }
        }
        let route = self.route(to);
        if self.is_stream() {
            let route = route?;
            self.autobind(cx, Some(to))?;
            self.inner()?.connect(cx, unnamed(&route))?;
        } else {
            // Nobody needs to be there yet.
            if route == Err(ENETUNREACH) {
                return Err(ENETUNREACH);
            }
            self.autobind(cx, Some(to))?;
        }
        self.state.lock().remote = Some(to);
        Ok(())
    }

    fn connect_result(&self) -> Result<()> {
        Ok(())
    }

    fn sockname(&self) -> Result<Vec<u8>> {
        let state = self.state.lock();
        let mut at = state.local.unwrap_or_else(|| self.any());
        if state.remote.is_some() {
            at = specific(at);
        }
        Ok(show(self.domain, at))
    }

    fn peername(&self) -> Result<Vec<u8>> {
        let remote = self.state.lock().remote.ok_or(ENOTCONN)?;
        Ok(show(self.domain, remote))
    }

    fn sendmsg(&self, cx: &Cx, from: &mut dyn IoRead, msg: &mut SendMsg<'_>) -> Result<usize> {
        if self.is_stream() {
            let mut plain = SendMsg {
                flags: msg.flags,
                ..SendMsg::default()
            };
            return self.inner()?.sendmsg(cx, from, &mut plain);
        }
        if let Some(error) = self.state.lock().error.take() {
            return Err(error);
        }
        let connected = self.state.lock().remote;
        let to = match &msg.name {
            Some(name) => parse(self.domain, name.bytes)?,
            None => connected.ok_or(EDESTADDRREQ)?,
        };
        let len = from.remaining();
        if len > DATAGRAM_MAX {
            return Err(EMSGSIZE);
        }
        let route = match self.route(to) {
            // Only a connected socket hears of it, and only the next time.
            Err(ECONNREFUSED) => {
                if connected.is_some() {
                    self.state.lock().error = Some(ECONNREFUSED);
                }
                return Ok(len);
            }
            other => other?,
        };
        self.autobind(cx, Some(to))?;
        let mut addressed = SendMsg {
            name: Some(unnamed(&route)),
            flags: msg.flags,
            ..SendMsg::default()
        };
        match self.inner()?.sendmsg(cx, from, &mut addressed) {
            // What does not fit is lost.
            Err(EAGAIN | ECONNREFUSED) => Ok(len),
            other => other,
        }
    }

    fn recvmsg(&self, cx: &Cx, to: &mut dyn IoWrite, flags: u32) -> Result<RecvMsg> {
        if !self.is_stream()
            && let Some(error) = self.state.lock().error.take()
        {
            return Err(error);
        }
        let mut got = self.inner()?.recvmsg(cx, to, flags)?;
        got.name = if self.is_stream() {
            Vec::new()
        } else {
            let sender = of_endpoint(&got.name).map(specific);
            sender.map_or_else(Vec::new, |at| show(self.domain, at))
        };
        Ok(got)
    }

    fn setsockopt(&self, cx: &Cx, level: u32, name: u32, value: &[u8]) -> Result<()> {
        match level {
            SOL_SOCKET => self.inner()?.setsockopt(cx, level, name, value),
            _ => {
                self.protocol_option(level, name)?;
                let value = int_of(value)?;
                let options = &mut self.state.lock().options;
                options.insert((level, name), value);
                Ok(())
            }
        }
    }

    fn getsockopt(&self, cx: &Cx, level: u32, name: u32, len: usize) -> Result<Vec<u8>> {
        match (level, name) {
            (SOL_SOCKET, SO_DOMAIN) => Ok(int_value(self.domain.into(), len)),
            (SOL_SOCKET, SO_PROTOCOL) => Ok(int_value(self.protocol.cast_signed(), len)),
            (SOL_SOCKET, SO_ERROR) => {
                if let Some(error) = self.state.lock().error.take() {
                    return Ok(int_value(error.raw(), len));
                }
                self.inner()?.getsockopt(cx, level, name, len)
            }
            (SOL_SOCKET, _) => self.inner()?.getsockopt(cx, level, name, len),
            _ => {
                let default = self.protocol_option(level, name)?;
                let state = self.state.lock();
                let value = state.options.get(&(level, name)).copied();
                Ok(int_value(value.unwrap_or(default), len))
            }
        }
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        let state = self.state.lock();
        if state.remote.is_none() && !state.listening {
            return Err(ENOTCONN);
        }
        drop(state);
        self.inner()?.shutdown(how)
    }

    fn recv_timeout(&self) -> Option<Duration> {
        self.inner.as_socket()?.recv_timeout()
    }

    fn send_timeout(&self) -> Option<Duration> {
        self.inner.as_socket()?.send_timeout()
    }
}

impl FileOps for LoopbackSocket {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_socket(&self) -> Option<&dyn SocketOps> {
        Some(self)
    }

    fn read_at(&self, cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        self.recvmsg(cx, to, 0).map(|got| got.len)
    }

    fn write_at(&self, cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        self.sendmsg(cx, from, &mut SendMsg::default())
    }

    fn seekable(&self) -> bool {
        false
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        self.inner.attr(cx)
    }

    fn poll(&self, cx: &Cx, table: Option<&mut PollTable>) -> Events {
        let mut events = self.inner.poll(cx, table);
        if self.state.lock().error.is_some() {
            events |= Events::ERR;
        }
        events
    }

    fn pollable(&self) -> bool {
        true
    }

    fn ioctl(&self, cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        self.inner.ioctl(cx, request, arg, mm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_remember_their_addresses() {
        for text in ["0.0.0.0:1", "127.0.0.1:80", "[::]:2", "[::1]:65535"] {
            let at: SocketAddr = text.parse().unwrap();
            assert_eq!(of_endpoint(&endpoint(IPPROTO_TCP, at)), Some(at), "{text}");
        }
    }

    #[test]
    fn ports_are_taken_once_for_an_address() {
        let lo = Loopback::new(UserNs::initial());
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(lo.take(IPPROTO_TCP, at("127.0.0.1:80")).is_ok());
        assert_eq!(lo.take(IPPROTO_TCP, at("0.0.0.0:80")), Err(EADDRINUSE));
        assert!(lo.take(IPPROTO_TCP, at("127.0.0.2:80")).is_ok());
        assert!(lo.take(IPPROTO_UDP, at("0.0.0.0:80")).is_ok());
        let heard = lo.listener(IPPROTO_UDP, at("127.0.0.3:80"));
        assert_eq!(heard, Some(at("0.0.0.0:80")));
        assert_eq!(lo.listener(IPPROTO_TCP, at("127.0.0.3:80")), None);
        lo.give_back(IPPROTO_TCP, at("127.0.0.1:80"));
        assert_eq!(lo.listener(IPPROTO_TCP, at("127.0.0.1:80")), None);
    }
}
