//! sock_diag(7) of Internet sockets.

use crate::{
    Network,
    inet_filter::Filter,
    inet_info::{Endpoint, InetEntry, InetInfo},
    message::{Message, To, attribute},
    sock_diag::{cookie, cookie_matches},
};
use tuxlet_uapi::{
    errno::{EINVAL, ENOENT, Result},
    sock_diag::*,
    socket::*,
};
use tuxlet_vfs::{Cx, cx::cap};
use zerocopy::FromBytes;

/// Room for the name of a congestion control algorithm (`TCP_CA_NAME_MAX`).
const CONGESTION_ROOM: usize = 16;
/// `RCV_SHUTDOWN`, `SEND_SHUTDOWN`.
const SHUT_RECV: u8 = 1;
const SHUT_SEND: u8 = 2;
/// Fields of the answer to `SO_MEMINFO`.
const RMEM: usize = 0;
const WMEM: usize = 2;
const FORWARD: usize = 4;
const WMEM_QUEUED: usize = 5;
const FIELDS: usize = 9;

/// A request and what is not in its fixed part.
struct Request<'a> {
    fixed: InetDiagReqV2,
    protocol: u32,
    filter: Option<Filter<'a>>,
}

impl Request<'_> {
    fn parse(body: &[u8]) -> Result<Request<'_>> {
        let (fixed, rest) = InetDiagReqV2::read_from_prefix(body).map_err(|_| EINVAL)?;
        let mut protocol = u32::from(fixed.sdiag_protocol);
        if let Some(wide) = attribute(rest, INET_DIAG_REQ_PROTOCOL) {
            (protocol, _) = u32::read_from_prefix(wide).map_err(|_| EINVAL)?;
        }
        if !matches!(
            protocol,
            IPPROTO_TCP | IPPROTO_UDP | IPPROTO_UDPLITE | IPPROTO_RAW
        ) {
            return Err(ENOENT);
        }
        let filter = match attribute(rest, INET_DIAG_REQ_BYTECODE) {
            Some(code) => Some(Filter::check(code)?),
            None => None,
        };
        Ok(Request {
            fixed,
            protocol,
            filter,
        })
    }

    /// Whether a socket is of the kind that was asked for.
    fn means(&self, info: &InetInfo) -> bool {
        match self.protocol {
            IPPROTO_RAW => info.kind == SOCK_RAW,
            protocol => info.kind != SOCK_RAW && info.protocol == protocol,
        }
    }

    /// Whether a dump shows a socket.
    fn dumps(&self, entry: &InetEntry, info: &InetInfo) -> bool {
        let id = &self.fixed.id;
        let sport = u16::from_be_bytes(id.idiag_sport);
        let dport = u16::from_be_bytes(id.idiag_dport);
        self.means(info)
            && u16::from(self.fixed.sdiag_family) == info.family
            && self.fixed.idiag_states & (1 << info.state) != 0
            && (sport == 0 || sport == info.local.port)
            && (dport == 0 || dport == info.peer.port)
            && self.filter.as_ref().is_none_or(|f| f.accepts(entry, info))
    }

    /// How well a socket is what an exact request asks for; `None` if it is not.
    fn fits(&self, info: &InetInfo) -> Option<u32> {
        let id = &self.fixed.id;
        let local = Endpoint {
            address: id.idiag_src,
            port: u16::from_be_bytes(id.idiag_sport),
        };
        let peer = Endpoint {
            address: id.idiag_dst,
            port: u16::from_be_bytes(id.idiag_dport),
        };
        if !self.means(info) || u16::from(self.fixed.sdiag_family) != info.family {
            return None;
        }
        let anywhere = info.local.address == [0; 16];
        if info.local.port != local.port || !(anywhere || info.local.address == local.address) {
            return None;
        }
        if info.peer == peer {
            return Some(if anywhere { 2 } else { 3 });
        }
        // A socket without a peer takes what comes from anywhere.
        (info.peer == Endpoint::default()).then_some(u32::from(!anywhere))
    }
}

pub(crate) fn answer(net: &Network, cx: &Cx, to: &To, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    let request = Request::parse(body)?;
    if to.dump() {
        let mut messages = Vec::new();
        net.registry.each_inet(|entry, info| {
            if request.dumps(entry, &info) {
                messages.push(message(cx, to, &request, entry, &info));
            }
        });
        return Ok(messages);
    }
    let mut best: Option<(u32, InetInfo, Vec<u8>)> = None;
    net.registry.each_inet(|entry, info| {
        if let Some(fit) = request.fits(&info)
            && best.as_ref().is_none_or(|(b, ..)| fit > *b)
        {
            let bytes = message(cx, to, &request, entry, &info);
            best = Some((fit, info, bytes));
        }
    });
    match best {
        Some((_, info, bytes)) if cookie_matches(request.fixed.id.idiag_cookie, info.ino) => {
            Ok(vec![bytes])
        }
        _ => Err(ENOENT),
    }
}

fn message(cx: &Cx, to: &To, request: &Request<'_>, entry: &InetEntry, info: &InetInfo) -> Vec<u8> {
    let body = InetDiagMsg {
        idiag_family: info.family as u8,
        idiag_state: info.state,
        idiag_timer: 0,
        idiag_retrans: info.retransmits,
        id: InetDiagSockid {
            idiag_sport: info.local.port.to_be_bytes(),
            idiag_dport: info.peer.port.to_be_bytes(),
            idiag_src: info.local.address,
            idiag_dst: info.peer.address,
            idiag_if: entry.int_option(SOL_SOCKET, SO_BINDTOIFINDEX).unwrap_or(0),
            idiag_cookie: cookie(info.ino),
        },
        idiag_expires: 0,
        idiag_rqueue: info.recv_queue,
        idiag_wqueue: info.send_queue,
        idiag_uid: cx.cred.user_ns.shown_uid(info.uid),
        idiag_inode: info.ino as u32,
    };
    let wanted = |kind: u16| request.fixed.idiag_ext & (1 << (kind - 1)) != 0;
    let mut message = Message::new(SOCK_DIAG_BY_FAMILY, to.flags(), to, &body);
    message.attribute(INET_DIAG_SHUTDOWN, &[shutdown(info)]);
    if wanted(INET_DIAG_TOS)
        && let Some(tos) = entry.int_option(IPPROTO_IP, IP_TOS)
    {
        message.attribute(INET_DIAG_TOS, &[tos as u8]);
    }
    if info.family == AF_INET6 {
        if wanted(INET_DIAG_TCLASS)
            && let Some(class) = entry.int_option(IPPROTO_IPV6, IPV6_TCLASS)
        {
            message.attribute(INET_DIAG_TCLASS, &[class as u8]);
        }
        if matches!(info.state, TCP_LISTEN | TCP_CLOSE)
            && let Some(only) = entry.int_option(IPPROTO_IPV6, IPV6_V6ONLY)
        {
            message.attribute(INET_DIAG_SKV6ONLY, &[only as u8]);
        }
    }
    if cx.cred.has_cap(cap::NET_ADMIN)
        && let Some(mark) = entry.int_option(SOL_SOCKET, SO_MARK)
    {
        message.int(INET_DIAG_MARK, mark);
    }
    if (wanted(INET_DIAG_MEMINFO) || wanted(INET_DIAG_SKMEMINFO))
        && let Some(memory) = memory(entry)
    {
        if wanted(INET_DIAG_MEMINFO) {
            let four = [RMEM, WMEM_QUEUED, FORWARD, WMEM].map(|field| memory[field]);
            message.ints(INET_DIAG_MEMINFO, &four);
        }
        if wanted(INET_DIAG_SKMEMINFO) {
            message.ints(INET_DIAG_SKMEMINFO, &memory);
        }
    }
    if info.kind == SOCK_RAW {
        message.attribute(INET_DIAG_PROTOCOL, &[info.protocol as u8]);
    }
    if info.protocol == IPPROTO_TCP {
        if wanted(INET_DIAG_INFO)
            && let Some(tcp_info) = entry.tcp_info()
        {
            message.attribute(INET_DIAG_INFO, &tcp_info);
        }
        if wanted(INET_DIAG_CONG)
            && let Ok(name) = entry
                .socket()
                .option(IPPROTO_TCP, TCP_CONGESTION, CONGESTION_ROOM)
        {
            let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
            message.text(INET_DIAG_CONG, &String::from_utf8_lossy(&name[..end]));
        }
    }
    message.finish()
}

/// The host's `SO_MEMINFO`.
fn memory(entry: &InetEntry) -> Option<[u32; FIELDS]> {
    let value = entry
        .socket()
        .option(SOL_SOCKET, SO_MEMINFO, FIELDS * 4)
        .ok()?;
    let mut fields = [0; FIELDS];
    for (field, four) in fields.iter_mut().zip(value.chunks_exact(4)) {
        *field = u32::from_le_bytes(four.try_into().ok()?);
    }
    Some(fields)
}

/// Which directions a connection's state says are over.
fn shutdown(info: &InetInfo) -> u8 {
    if info.protocol != IPPROTO_TCP || info.kind == SOCK_RAW {
        return 0;
    }
    match info.state {
        TCP_FIN_WAIT1 | TCP_FIN_WAIT2 => SHUT_SEND,
        TCP_CLOSE_WAIT => SHUT_RECV,
        TCP_LAST_ACK | TCP_CLOSING | TCP_TIME_WAIT => SHUT_RECV | SHUT_SEND,
        _ => 0,
    }
}
