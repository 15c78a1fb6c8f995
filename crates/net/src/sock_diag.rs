//! sock_diag(7): what programs such as `ss` ask about the machine's sockets.

use crate::{
    Network, inet_diag,
    message::{self, Message, To},
    unix::UnixInfo,
};
use tuxlet_uapi::{
    errno::{EINVAL, ENOENT, EOPNOTSUPP, ESTALE, Result},
    sock_diag::*,
    socket::{AF_INET, AF_INET6, AF_UNIX},
};
use tuxlet_vfs::{Cx, user_ns::UserNs};
use zerocopy::FromBytes;

/// The datagrams that answer what a program sent; `port` is its netlink port.
pub(crate) fn answer(net: &Network, cx: &Cx, request: &[u8], port: u32) -> Vec<Vec<u8>> {
    message::answer(request, port, |to, body| one(net, cx, to, body))
}

fn one(net: &Network, cx: &Cx, to: &To, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    match to.header.nlmsg_type {
        SOCK_DIAG_BY_FAMILY => {}
        // As kernels without the interface of old and without CONFIG_INET_DIAG_DESTROY.
        TCPDIAG_GETSOCK | DCCPDIAG_GETSOCK | SOCK_DESTROY => return Err(EOPNOTSUPP),
        _ => return Err(EINVAL),
    }
    let &[family, _, ..] = body else {
        return Err(EINVAL);
    };
    match u16::from(family) {
        AF_INET | AF_INET6 => inet_diag::answer(net, cx, to, body),
        AF_UNIX => unix(net, cx, to, body),
        family if u32::from(family) >= crate::AF_MAX => Err(EINVAL),
        _ => Err(ENOENT),
    }
}

/// The two halves of a socket's cookie.
pub(crate) fn cookie(ino: u64) -> [u32; 2] {
    [ino as u32, (ino >> 32) as u32]
}

/// Whether a request means a socket, or does not care which.
pub(crate) fn cookie_matches(asked: [u32; 2], ino: u64) -> bool {
    asked == [INET_DIAG_NOCOOKIE; 2] || asked == cookie(ino)
}

fn unix(net: &Network, cx: &Cx, to: &To, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    let (request, _) = UnixDiagReq::read_from_prefix(body).map_err(|_| EINVAL)?;
    let show = request.udiag_show;
    let ns = &cx.cred.user_ns;
    if to.dump() {
        let all = net.registry.unix();
        return Ok(all
            .iter()
            .filter(|info| request.udiag_states & (1 << info.state) != 0)
            .map(|info| unix_message(to, info, show, ns))
            .collect());
    }
    if request.udiag_ino == 0 {
        return Err(EINVAL);
    }
    let all = net.registry.unix();
    let found = all.iter().find(|i| i.ino as u32 == request.udiag_ino);
    let info = found.ok_or(ENOENT)?;
    if !cookie_matches(request.udiag_cookie, info.ino) {
        return Err(ESTALE);
    }
    Ok(vec![unix_message(to, info, show, ns)])
}

fn unix_message(to: &To, info: &UnixInfo, show: u32, ns: &UserNs) -> Vec<u8> {
    let body = UnixDiagMsg {
        udiag_family: AF_UNIX as u8,
        udiag_type: info.kind as u8,
        udiag_state: info.state,
        pad: 0,
        udiag_ino: info.ino as u32,
        udiag_cookie: cookie(info.ino),
    };
    let mut message = Message::new(SOCK_DIAG_BY_FAMILY, to.flags(), to, &body);
    if show & UDIAG_SHOW_NAME != 0 && !info.name.is_empty() {
        message.attribute(UNIX_DIAG_NAME, &info.name);
    }
    if show & UDIAG_SHOW_VFS != 0
        && let Some((ino, dev)) = info.vfs
    {
        message.ints(UNIX_DIAG_VFS, &[ino as u32, dev]);
    }
    if show & UDIAG_SHOW_PEER != 0
        && let Some(peer) = info.peer
    {
        message.int(UNIX_DIAG_PEER, peer as u32);
    }
    if show & UDIAG_SHOW_ICONS != 0 && info.state == TCP_LISTEN {
        let pending: Vec<u32> = info.pending.iter().map(|&ino| ino as u32).collect();
        message.ints(UNIX_DIAG_ICONS, &pending);
    }
    if show & UDIAG_SHOW_RQLEN != 0 {
        message.ints(UNIX_DIAG_RQLEN, &[info.recv_queue, info.send_queue]);
    }
    if show & UDIAG_SHOW_MEMINFO != 0 {
        let [rmem, wmem] = if info.state == TCP_LISTEN {
            [0, 0]
        } else {
            [info.recv_queue, info.send_queue]
        };
        let memory = [rmem, info.rcvbuf, wmem, info.sndbuf, 0, 0, 0, 0, 0];
        message.ints(UNIX_DIAG_MEMINFO, &memory);
    }
    message.attribute(UNIX_DIAG_SHUTDOWN, &[info.shutdown]);
    if show & UDIAG_SHOW_UID != 0 {
        message.int(UNIX_DIAG_UID, ns.shown_uid(info.uid));
    }
    message.finish()
}
