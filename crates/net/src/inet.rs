//! Internet sockets: a non-blocking host socket with a wait queue that the host's reactor serves.
//!
//! Readiness is always asked of the host at the time of the question. The reactor only tells when to ask again:
//! [`Shared::arm`] asks it for one report of what is not ready, while anybody is on the wait queue.

use crate::{
    Network, icmp,
    inet_info::InetEntry,
    interface,
    option::{Options, cut, int_value},
};
use std::{
    any::Any,
    sync::{Arc, Weak},
    time::Duration,
};
use tuxlet_host::{
    net::{HostControl, Socket},
    poll::{Reactor, Watch},
};
use tuxlet_mem::{AddressSpace, IoRead, IoWrite};
use tuxlet_sync::{Mutex, WaitQueue, Wake};
use tuxlet_uapi::{
    errno::{EACCES, EAGAIN, EINPROGRESS, EINVAL, ENOPROTOOPT, ENOTTY, EOPNOTSUPP, EPERM, Result},
    ioctl::{FIONREAD, SIOCATMARK, TIOCOUTQ},
    socket::*,
};
use tuxlet_vfs::{
    Attr, Cx, Events, FileOps, PollTable, SocketOps,
    socket::{Control, ControlMessage, Name, RecvMsg, SendMsg, Shutdown},
};

/// Most bytes that one operation on a stream moves through our buffer.
const STREAM_CHUNK: usize = 256 << 10;
/// Room for the largest datagram.
const DATAGRAM_MAX: usize = 128 << 10;

/// Options that the host may see: those whose values hold no addresses of guest memory, no descriptors and no
/// promise about buffers.
const SOCKET_OPTIONS: &[u32] = &[
    SO_DEBUG,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_ERROR,
    SO_DONTROUTE,
    SO_BROADCAST,
    SO_SNDBUF,
    SO_RCVBUF,
    SO_SNDBUFFORCE,
    SO_RCVBUFFORCE,
    SO_KEEPALIVE,
    SO_OOBINLINE,
    SO_NO_CHECK,
    SO_PRIORITY,
    SO_LINGER,
    SO_RCVLOWAT,
    SO_SNDLOWAT,
    SO_BINDTODEVICE,
    SO_BINDTOIFINDEX,
    SO_TIMESTAMP_OLD,
    SO_TIMESTAMPNS_OLD,
    SO_TIMESTAMPING_OLD,
    SO_TIMESTAMP_NEW,
    SO_TIMESTAMPNS_NEW,
    SO_TIMESTAMPING_NEW,
    SO_ACCEPTCONN,
    SO_MARK,
    SO_RXQ_OVFL,
    SO_PEEK_OFF,
    SO_SELECT_ERR_QUEUE,
    SO_BUSY_POLL,
    SO_MAX_PACING_RATE,
    SO_INCOMING_CPU,
    SO_MEMINFO,
    SO_TXREHASH,
];
const TCP_OPTIONS: &[u32] = &[
    TCP_NODELAY,
    TCP_MAXSEG,
    TCP_CORK,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_KEEPCNT,
    TCP_SYNCNT,
    TCP_LINGER2,
    TCP_DEFER_ACCEPT,
    TCP_WINDOW_CLAMP,
    TCP_INFO,
    TCP_QUICKACK,
    TCP_CONGESTION,
    TCP_THIN_LINEAR_TIMEOUTS,
    TCP_USER_TIMEOUT,
    TCP_FASTOPEN,
    TCP_TIMESTAMP,
    TCP_NOTSENT_LOWAT,
    TCP_CC_INFO,
    TCP_SAVE_SYN,
    TCP_SAVED_SYN,
    TCP_FASTOPEN_CONNECT,
    TCP_FASTOPEN_NO_COOKIE,
    TCP_INQ,
    TCP_TX_DELAY,
];
const UDP_OPTIONS: &[u32] = &[
    UDP_CORK,
    UDP_NO_CHECK6_TX,
    UDP_NO_CHECK6_RX,
    UDP_SEGMENT,
    UDP_GRO,
];

/// Whether the host may see an option.
fn passes(level: u32, name: u32) -> bool {
    match level {
        SOL_SOCKET => SOCKET_OPTIONS.contains(&name),
        IPPROTO_TCP => TCP_OPTIONS.contains(&name),
        IPPROTO_UDP => UDP_OPTIONS.contains(&name),
        IPPROTO_UDPLITE => matches!(name, UDPLITE_SEND_CSCOV | UDPLITE_RECV_CSCOV),
        // From 64 on come the packet filter's, which hold addresses; the policies may too.
        IPPROTO_IP => {
            name < 64 && !matches!(name, IP_IPSEC_POLICY | IP_XFRM_POLICY | IP_PKTOPTIONS)
        }
        IPPROTO_IPV6 => {
            (name < 64
                || matches!(name, IPV6_RECVTCLASS | IPV6_TCLASS)
                || (IPV6_AUTOFLOWLABEL..=IPV6_FREEBIND).contains(&name))
                && !matches!(
                    name,
                    IPV6_IPSEC_POLICY | IPV6_XFRM_POLICY | IPV6_2292PKTOPTIONS | IPV6_ADDRFORM
                )
        }
        SOL_RAW | IPPROTO_ICMPV6 => name == ICMP_FILTER,
        _ => false,
    }
}

/// What the reactor was asked to report.
#[derive(Debug, Default)]
struct Armed {
    watch: Option<Watch>,
    read: bool,
    write: bool,
}

/// A host socket and who waits for it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) socket: Arc<Socket>,
    queue: WaitQueue,
    armed: Mutex<Armed>,
}

/// The reactor's handle of a socket; weak, since the reactor is in turn held by the socket.
#[derive(Debug)]
struct Waker(Weak<Shared>);

impl Wake for Waker {
    fn wake(&self, events: u32) {
        let Some(shared) = self.0.upgrade() else {
            return;
        };
        let happened = Events::from_bits_truncate(events);
        let mut armed = shared.armed.lock();
        let always = Events::ERR | Events::HUP;
        armed.read &= !happened.intersects(Events::READABLE | always);
        armed.write &= !happened.intersects(Events::WRITABLE | always);
        // The report disarmed both directions.
        if (armed.read || armed.write)
            && let Some(watch) = &armed.watch
        {
            // Failing, the socket is closed on the host: the waiters look and see.
            let _ = watch.arm(armed.read, armed.write);
        }
        drop(armed);
        shared.queue.wake_all(events);
    }
}

impl Shared {
    fn new(socket: Socket) -> Arc<Shared> {
        Arc::new(Shared {
            socket: Arc::new(socket),
            queue: WaitQueue::new(),
            armed: Mutex::default(),
        })
    }

    /// Has the reactor report when these directions become ready.
    fn arm(self: &Arc<Self>, read: bool, write: bool) -> std::io::Result<()> {
        let mut armed = self.armed.lock();
        if (!read || armed.read) && (!write || armed.write) {
            return Ok(());
        }
        armed.read |= read;
        armed.write |= write;
        match &armed.watch {
            Some(watch) => watch.arm(armed.read, armed.write),
            None => {
                let waker = Arc::new(Waker(Arc::downgrade(self)));
                let socket = Arc::clone(&self.socket);
                let (read, write) = (armed.read, armed.write);
                armed.watch = Some(Reactor::global()?.watch(socket, read, write, waker)?);
                Ok(())
            }
        }
    }

    /// What is ready now; if anybody waits, what is not will be reported.
    fn ready(self: &Arc<Self>) -> Events {
        let mut events = Events::from_bits_truncate(self.socket.ready());
        // A hung-up or failed socket is always reported, so arming it would never end.
        if !self.queue.is_empty() && !events.intersects(Events::ERR | Events::HUP) {
            let read = !events.intersects(Events::IN);
            let write = !events.intersects(Events::OUT);
            if (read || write) && self.arm(read, write).is_err() {
                // Nobody would wake the caller: let it find out by trying.
                events |= Events::ERR;
            }
        }
        events
    }

    /// Lets `renew` put another host socket in the place of this one; whoever waits, waits for that then. Nothing else may use the socket
    /// meanwhile.
    pub(crate) fn renew(self: &Arc<Self>, renew: impl FnOnce(&Socket) -> Result<()>) -> Result<()> {
        let mut armed = self.armed.lock();
        // The reactor watches the old one.
        *armed = Armed::default();
        let renewed = renew(&self.socket);
        drop(armed);
        self.rearm();
        if renewed.is_err() {
            self.queue.wake_all((Events::ERR | Events::HUP).bits());
        }
        renewed
    }

    /// After an operation that may have used up readiness: whoever waits is told about the next.
    fn rearm(self: &Arc<Self>) {
        if !self.queue.is_empty() {
            self.ready();
        }
    }
}

/// An `AF_INET` or `AF_INET6` socket.
#[derive(Debug)]
pub(crate) struct InetSocket {
    domain: u16,
    kind: u32,
    protocol: u32,
    /// Only the timeouts are kept here; the host has the rest.
    options: Options,
    shared: Arc<Shared>,
    /// Makes an unprivileged host's ping socket look like a raw socket.
    ping: Option<icmp::Ping>,
    net: Arc<Network>,
    entry: Arc<InetEntry>,
}

impl Drop for InetSocket {
    fn drop(&mut self) {
        self.net.registry.remove_inet(self.entry.ino());
    }
}

impl InetSocket {
    pub(crate) fn new(
        net: &Arc<Network>,
        cx: &Cx,
        domain: u16,
        kind: u32,
        protocol: u32,
    ) -> Result<InetSocket> {
        let is_icmp = matches!(
            (domain, protocol),
            (AF_INET, IPPROTO_ICMP) | (AF_INET6, IPPROTO_ICMPV6)
        );
        let (socket, ping) = match Socket::new(domain, kind, protocol) {
            Err(EPERM | EACCES) if kind == SOCK_RAW && is_icmp => {
                let socket = Socket::new(domain, SOCK_DGRAM, protocol).map_err(|_| EPERM)?;
                (socket, Some(icmp::Ping::new(domain)))
            }
            other => (other?, None),
        };
        if ping.is_some() && domain == AF_INET {
            // The time to live of replies, for the header that a raw socket shows.
            socket.set_option(IPPROTO_IP, IP_RECVTTL, &1i32.to_le_bytes())?;
        }
        Ok(InetSocket::of(
            net,
            cx,
            (domain, kind, protocol),
            socket,
            ping,
        ))
    }

    /// A socket of the machine with an inode of its own, from the host's.
    fn of(
        net: &Arc<Network>,
        cx: &Cx,
        (domain, kind, protocol): (u16, u32, u32),
        socket: Socket,
        ping: Option<icmp::Ping>,
    ) -> InetSocket {
        let shared = Shared::new(socket);
        let entry = InetEntry::new(net.node(cx), domain, kind, protocol, &shared);
        net.registry.add_inet(&entry);
        InetSocket {
            domain,
            kind,
            protocol,
            options: Options::default(),
            shared,
            ping,
            net: Arc::clone(net),
            entry,
        }
    }

    fn host(&self) -> &Socket {
        &self.shared.socket
    }

    fn is_stream(&self) -> bool {
        self.kind == SOCK_STREAM
    }
}

impl SocketOps for InetSocket {
    fn domain(&self) -> u16 {
        self.domain
    }

    fn kind(&self) -> u32 {
        self.kind
    }

    fn protocol(&self) -> u32 {
        self.protocol
    }

    fn bind(&self, _cx: &Cx, name: Name<'_>) -> Result<()> {
        self.host().bind(name.bytes)?;
        self.entry.set_bound(name.bytes);
        Ok(())
    }

    fn listen(&self, _cx: &Cx, backlog: i32) -> Result<()> {
        self.host().listen(backlog)?;
        self.entry.set_listening(backlog);
        self.shared.rearm();
        Ok(())
    }

    fn accept(&self, cx: &Cx) -> Result<(Arc<dyn FileOps>, Vec<u8>)> {
        if !self.is_stream() {
            return Err(EOPNOTSUPP);
        }
        let accepted = self.host().accept();
        self.shared.rearm();
        let (socket, peer) = accepted?;
        Ok((
            Arc::new(InetSocket::of(
                &self.net,
                cx,
                (self.domain, self.kind, self.protocol),
                socket,
                None,
            )),
            peer,
        ))
    }

    fn connect(&self, _cx: &Cx, name: Name<'_>) -> Result<()> {
        let result = self.host().connect(name.bytes);
        self.shared.rearm();
        match result {
            // Only a Unix socket's backlog is meant by EAGAIN; here it would be a lack of ports.
            Err(EAGAIN) if self.is_stream() => Err(tuxlet_uapi::errno::EADDRNOTAVAIL),
            other => other,
        }
    }

    fn connect_result(&self) -> Result<()> {
        let events = Events::from_bits_truncate(self.host().ready());
        if !events.intersects(Events::OUT | Events::ERR | Events::HUP) {
            return Err(EAGAIN);
        }
        let result = self.host().take_error();
        if result.is_err() && self.is_stream() {
            // A connect(2) that waits leaves the socket unconnected; the host's, which did not wait, has yet to be told.
            let _ = self.host().connect(&[0; 16]);
            self.shared.rearm();
        }
        result
    }

    fn sockname(&self) -> Result<Vec<u8>> {
        self.host().local_name()
    }

    fn peername(&self) -> Result<Vec<u8>> {
        self.host().peer_name()
    }

    fn sendmsg(&self, _cx: &Cx, from: &mut dyn IoRead, msg: &mut SendMsg<'_>) -> Result<usize> {
        let len = from.remaining();
        let max = if self.is_stream() {
            STREAM_CHUNK
        } else {
            DATAGRAM_MAX
        };
        let mut data = vec![0; len.min(max)];
        if !data.is_empty() {
            let n = from.peek(&mut data)?;
            if n < data.len() && !self.is_stream() {
                return Err(tuxlet_uapi::errno::EFAULT);
            }
            data.truncate(n);
        }
        if let Some(ping) = &self.ping {
            ping.sent(&data);
        }
        let control: Vec<HostControl> = msg
            .control
            .other
            .iter()
            .map(|m| HostControl {
                level: m.level,
                kind: m.kind,
                data: m.data.clone(),
            })
            .collect();
        let flags =
            msg.flags & (MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_MORE | MSG_CONFIRM | MSG_FASTOPEN);
        let name = msg.name.map(|n| n.bytes);
        let sent = self.host().send(&data, name, &control, flags);
        if !matches!(sent, Ok(n) if n == data.len()) || !self.shared.queue.is_empty() {
            self.shared.rearm();
        }
        let n = match sent {
            // A fast open that has only begun: what a blocking caller waits for is writability.
            Err(EINPROGRESS) if flags & MSG_FASTOPEN != 0 => return Err(EINPROGRESS),
            other => other?,
        };
        from.skip(n);
        msg.control = Control::default();
        Ok(n)
    }

    fn recvmsg(&self, _cx: &Cx, to: &mut dyn IoWrite, flags: u32) -> Result<RecvMsg> {
        let max = if self.is_stream() {
            STREAM_CHUNK
        } else {
            DATAGRAM_MAX
        };
        let mut buf = vec![0; to.remaining().min(max)];
        let asked = flags & (MSG_OOB | MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE);
        let received = if let Some(ping) = &self.ping {
            ping.receive(self.host(), &mut buf, asked)
        } else {
            self.host().recv(&mut buf, asked)
        };
        self.shared.rearm();
        let received = received?;
        let stored = received.len.min(buf.len());
        // With MSG_TRUNC, TCP drops data without storing them.
        if stored > 0
            && !(self.is_stream() && flags & MSG_TRUNC != 0)
            && to.write_from(&buf[..stored])? < stored
        {
            return Err(tuxlet_uapi::errno::EFAULT);
        }
        let other = received
            .control
            .into_iter()
            .map(|c| ControlMessage {
                level: c.level,
                kind: c.kind,
                data: c.data,
            })
            .collect();
        Ok(RecvMsg {
            len: received.len,
            name: received.name,
            control: Control {
                other,
                ..Control::default()
            },
            flags: received.flags & (MSG_TRUNC | MSG_CTRUNC | MSG_EOR | MSG_ERRQUEUE | MSG_OOB),
        })
    }

    fn setsockopt(&self, _cx: &Cx, level: u32, name: u32, value: &[u8]) -> Result<()> {
        if level == SOL_SOCKET
            && let Some(done) = self.options.set_timeout(name, value)
        {
            return done;
        }
        if self.ping.is_some() && (level, name) == (SOL_RAW, ICMP_FILTER) {
            // A ping socket gets nothing but its own replies.
            return Ok(());
        }
        if !passes(level, name) {
            return Err(ENOPROTOOPT);
        }
        self.host().set_option(level, name, value)?;
        self.entry.set_option(level, name, value);
        Ok(())
    }

    fn getsockopt(&self, _cx: &Cx, level: u32, name: u32, len: usize) -> Result<Vec<u8>> {
        if level == SOL_SOCKET {
            if let Some(value) = self.options.timeout(name, len) {
                return Ok(value);
            }
            match name {
                SO_TYPE => return Ok(int_value(self.kind.cast_signed(), len)),
                SO_DOMAIN => return Ok(int_value(i32::from(self.domain), len)),
                SO_PROTOCOL => return Ok(int_value(self.protocol.cast_signed(), len)),
                SO_COOKIE => return Ok(cut(&self.entry.ino().to_le_bytes(), len)),
                _ => {}
            }
        }
        if !passes(level, name) {
            return Err(ENOPROTOOPT);
        }
        self.host().option(level, name, len)
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        if !how.read && !how.write {
            return Err(EINVAL);
        }
        let result = self.host().shutdown(how.read, how.write);
        self.shared
            .queue
            .wake_all((Events::READABLE | Events::WRITABLE | Events::HUP).bits());
        result
    }

    fn recv_timeout(&self) -> Option<Duration> {
        self.options.recv_timeout()
    }

    fn send_timeout(&self) -> Option<Duration> {
        self.options.send_timeout()
    }
}

impl FileOps for InetSocket {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_socket(&self) -> Option<&dyn SocketOps> {
        Some(self)
    }

    fn read_at(&self, cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Result<usize> {
        Ok(self.recvmsg(cx, to, 0)?.len)
    }

    fn write_at(&self, cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Result<usize> {
        self.sendmsg(cx, from, &mut SendMsg::default())
    }

    fn seekable(&self) -> bool {
        false
    }

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Ok(self.entry.node.attr(cx))
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.shared.queue);
        }
        self.shared.ready()
    }

    fn pollable(&self) -> bool {
        true
    }

    fn ioctl(&self, cx: &Cx, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
        let value = match request {
            FIONREAD => self.host().readable_len()?,
            TIOCOUTQ => self.host().unsent_len()?,
            SIOCATMARK => 0,
            _ => return interface::ioctl(&self.net, cx, request, arg, mm).unwrap_or(Err(ENOTTY)),
        };
        mm.write(arg, &i32::try_from(value).unwrap_or(i32::MAX))?;
        Ok(0)
    }
}
