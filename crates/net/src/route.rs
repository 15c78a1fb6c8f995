//! Route netlink: answers about links, addresses and routes, from what the host tells.
//!
//! The guest can look but not change anything of the host's: `RTM_NEW*` and `RTM_DEL*` give `EPERM`. The loopback interface of
//! a private network can be brought up and down.

use crate::{
    Network,
    interface::hardware_type,
    message::{self, Message, To, attribute, text},
};
use tuxlet_host::net::Interface;
use tuxlet_uapi::{
    errno::{EINVAL, ENODEV, EOPNOTSUPP, EPERM, Result},
    netlink::*,
    socket::{AF_INET, AF_INET6, AF_UNSPEC, IFF_LOOPBACK, IFF_LOWER_UP, IFF_RUNNING},
};
use tuxlet_vfs::Cx;
use zerocopy::{FromBytes, IntoBytes};

/// `IF_OPER_UP`, `IF_OPER_DOWN`.
const OPER: [u8; 2] = [2, 6];
/// `RTNH_F_ONLINK` and others are not known; routes have no flags.
const FOREVER: u32 = u32::MAX;

/// The datagrams that answer what a program sent; `port` is its netlink port.
pub(crate) fn answer(net: &Network, cx: &Cx, request: &[u8], port: u32) -> Vec<Vec<u8>> {
    message::answer(request, port, |to, body| one(net, cx, to, body))
}

fn one(net: &Network, cx: &Cx, to: &To, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    // A dump may come with a short body of which only the family counts.
    let family = body.first().copied().map_or(AF_UNSPEC, u16::from);
    Ok(match to.header.nlmsg_type {
        RTM_GETLINK => links(net, to, body)?,
        RTM_GETADDR if to.dump() => addresses(net, to, family),
        RTM_GETROUTE if to.dump() => all_routes(net, to, family),
        RTM_GETNEIGH | RTM_GETRULE | RTM_GETQDISC | RTM_GETSTATS if to.dump() => Vec::new(),
        RTM_NEWLINK | RTM_SETLINK if net.loopback.is_some() => set_link(net, cx, body)?,
        RTM_NEWADDR if net.loopback.is_some() => add_address(net, cx, body)?,
        // Types come in fours: new, delete, get, set.
        kind if (kind - NLMSG_MIN_TYPE) % 4 != 2 => return Err(EPERM),
        _ => return Err(EOPNOTSUPP),
    })
}

/// Brings the interface of a private network up or down.
fn set_link(net: &Network, cx: &Cx, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    let lo = net.loopback.as_ref().ok_or(EPERM)?;
    lo.must_be_admin(cx)?;
    let (info, rest) = Ifinfomsg::read_from_prefix(body).map_err(|_| EINVAL)?;
    let name = attribute(rest, IFLA_IFNAME).map(text);
    if info.ifi_index > 1 || name.is_some_and(|n| n != b"lo") {
        return Err(if info.ifi_index > 1 {
            ENODEV
        } else {
            EOPNOTSUPP
        });
    }
    if info.ifi_index != 1 && name.is_none() {
        return Err(EINVAL);
    }
    let old = lo.interface().flags;
    let flags = match info.ifi_change {
        0 => info.ifi_flags,
        change => info.ifi_flags & change | old & !change,
    };
    if info.ifi_flags != 0 || info.ifi_change != 0 {
        lo.set_flags(flags);
    }
    Ok(Vec::new())
}

/// Adds an address to the interface of a private network.
fn add_address(net: &Network, cx: &Cx, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    let lo = net.loopback.as_ref().ok_or(EPERM)?;
    lo.must_be_admin(cx)?;
    let (info, rest) = Ifaddrmsg::read_from_prefix(body).map_err(|_| EINVAL)?;
    if info.ifa_index != 1 {
        return Err(ENODEV);
    }
    let address = attribute(rest, IFA_LOCAL).or_else(|| attribute(rest, IFA_ADDRESS));
    lo.add_address(address.ok_or(EINVAL)?, info.ifa_prefixlen)?;
    Ok(Vec::new())
}

fn links(net: &Network, to: &To, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    let all = net.interfaces();
    if to.dump() {
        return Ok(all.iter().map(|i| link(to, i)).collect());
    }
    let (info, rest) = Ifinfomsg::read_from_prefix(body).map_err(|_| EINVAL)?;
    let name = attribute(rest, IFLA_IFNAME).map(text);
    let found = all.iter().find(|i| {
        if info.ifi_index > 0 {
            i.index == info.ifi_index.cast_unsigned()
        } else {
            name == Some(i.name.as_bytes())
        }
    });
    if info.ifi_index <= 0 && name.is_none() {
        return Err(EINVAL);
    }
    Ok(vec![link(to, found.ok_or(ENODEV)?)])
}

fn link(to: &To, interface: &Interface) -> Vec<u8> {
    let up = interface.flags & IFF_RUNNING != 0;
    let info = Ifinfomsg {
        ifi_family: AF_UNSPEC as u8,
        ifi_type: hardware_type(interface),
        ifi_index: interface.index.cast_signed(),
        ifi_flags: interface.flags | if up { IFF_LOWER_UP } else { 0 },
        ..Ifinfomsg::default()
    };
    let loopback = interface.flags & IFF_LOOPBACK != 0;
    let mut message = Message::new(RTM_NEWLINK, to.flags(), to, &info);
    message.text(IFLA_IFNAME, &interface.name);
    message.int(IFLA_TXQLEN, 1000);
    // An interface of loopback kind has no operational state.
    message.attribute(
        IFLA_OPERSTATE,
        &[if loopback { 0 } else { OPER[usize::from(!up)] }],
    );
    message.attribute(IFLA_LINKMODE, &[0]);
    message.int(IFLA_MTU, interface.mtu);
    message.int(IFLA_GROUP, 0);
    message.int(IFLA_PROMISCUITY, 0);
    message.int(IFLA_NUM_TX_QUEUES, 1);
    message.int(IFLA_NUM_RX_QUEUES, 1);
    message.attribute(IFLA_CARRIER, &[u8::from(up)]);
    message.text(IFLA_QDISC, if loopback { "noqueue" } else { "fq_codel" });
    if !interface.hardware.is_empty() {
        message.attribute(IFLA_ADDRESS, &interface.hardware);
        let broadcast = if loopback { 0 } else { 0xff };
        message.attribute(IFLA_BROADCAST, &vec![broadcast; interface.hardware.len()]);
    }
    message.finish()
}

fn addresses(net: &Network, to: &To, family: u16) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for interface in &net.interfaces() {
        for address in &interface.addrs {
            if family != AF_UNSPEC && family != address.family {
                continue;
            }
            let local = interface.flags & IFF_LOOPBACK != 0;
            let link_local =
                address.family == AF_INET6 && address.address.starts_with(&[0xfe, 0x80]);
            let body = Ifaddrmsg {
                ifa_family: address.family as u8,
                ifa_prefixlen: address.prefix_len,
                ifa_flags: IFA_F_PERMANENT as u8,
                ifa_scope: if local {
                    RT_SCOPE_HOST
                } else if link_local {
                    RT_SCOPE_LINK
                } else {
                    RT_SCOPE_UNIVERSE
                },
                ifa_index: interface.index,
            };
            let mut message = Message::new(RTM_NEWADDR, NLM_F_MULTI, to, &body);
            message.attribute(IFA_ADDRESS, &address.address);
            if address.family == AF_INET {
                message.attribute(IFA_LOCAL, &address.address);
                if let Some(broadcast) = &address.broadcast {
                    message.attribute(IFA_BROADCAST, broadcast);
                }
                message.text(IFA_LABEL, &interface.name);
            }
            message.int(IFA_FLAGS, IFA_F_PERMANENT);
            let lifetimes = IfaCacheinfo {
                ifa_prefered: FOREVER,
                ifa_valid: FOREVER,
                ..IfaCacheinfo::default()
            };
            message.attribute(IFA_CACHEINFO, lifetimes.as_bytes());
            messages.push(message.finish());
        }
    }
    messages
}

fn all_routes(net: &Network, to: &To, family: u16) -> Vec<Vec<u8>> {
    let links = net.interfaces();
    let mut messages = Vec::new();
    for route in net.routes() {
        let of = if route.destination.len() == 4 {
            AF_INET
        } else {
            AF_INET6
        };
        let Some(link) = links.iter().find(|l| l.name == route.interface) else {
            continue;
        };
        if family != AF_UNSPEC && family != of {
            continue;
        }
        let body = Rtmsg {
            rtm_family: of as u8,
            rtm_dst_len: route.prefix_len,
            rtm_table: RT_TABLE_MAIN,
            rtm_protocol: if route.gateway.is_some() {
                RTPROT_BOOT
            } else {
                RTPROT_KERNEL
            },
            rtm_scope: if route.gateway.is_some() || of == AF_INET6 {
                RT_SCOPE_UNIVERSE
            } else {
                RT_SCOPE_LINK
            },
            rtm_type: RTN_UNICAST,
            ..Rtmsg::default()
        };
        let mut message = Message::new(RTM_NEWROUTE, NLM_F_MULTI, to, &body);
        message.int(RTA_TABLE, u32::from(RT_TABLE_MAIN));
        if route.prefix_len > 0 {
            message.attribute(RTA_DST, &route.destination);
        }
        if let Some(gateway) = &route.gateway {
            message.attribute(RTA_GATEWAY, gateway);
        } else if let Some(own) = link.addrs.iter().find(|a| a.family == of && of == AF_INET) {
            message.attribute(RTA_PREFSRC, &own.address);
        }
        message.int(RTA_OIF, link.index);
        if route.metric > 0 {
            message.int(RTA_PRIORITY, route.metric);
        }
        messages.push(message.finish());
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tuxlet_vfs::{Cred, UserNs};

    fn cx() -> Cx {
        Cx {
            cred: Arc::new(Cred::root()),
            umask: 0,
            now: tuxlet_vfs::attr::Time::default(),
            fsize_limit: u64::MAX,
            tgid: 1,
            tid: 1,
            context: 0,
        }
    }

    fn ask(request: &[u8], port: u32) -> Vec<Vec<u8>> {
        answer(&Network::new(), &cx(), request, port)
    }

    #[test]
    fn the_loopback_interface_of_a_private_network_can_be_brought_up() {
        let net = Network::private(UserNs::initial());
        let code = |got: &[Vec<u8>]| i32::from_le_bytes(got[0][16..20].try_into().unwrap());
        let flags = || net.interfaces()[0].flags;
        assert_eq!(flags(), IFF_LOOPBACK);
        let info = Ifinfomsg {
            ifi_index: 1,
            ifi_flags: tuxlet_uapi::socket::IFF_UP,
            ifi_change: tuxlet_uapi::socket::IFF_UP,
            ..Ifinfomsg::default()
        };
        let up = request(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &info);
        assert_eq!(code(&answer(&net, &cx(), &up, 5)), 0);
        assert_ne!(flags() & IFF_RUNNING, 0);
        assert_eq!(net.interfaces()[0].addrs.len(), 2);
        let other = Ifinfomsg {
            ifi_index: 2,
            ..info
        };
        let other = request(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &other);
        assert_eq!(code(&answer(&net, &cx(), &other, 5)), -ENODEV.raw());
    }
    use zerocopy::Immutable;

    fn request<T: IntoBytes + Immutable>(kind: u16, flags: u16, body: &T) -> Vec<u8> {
        let header = Nlmsghdr {
            nlmsg_seq: 77,
            ..Nlmsghdr::default()
        };
        Message::new(kind, flags, &To { header, port: 0 }, body).finish()
    }

    fn headers(datagrams: &[Vec<u8>]) -> Vec<Nlmsghdr> {
        let mut all = Vec::new();
        for mut bytes in datagrams.iter().map(Vec::as_slice) {
            while let Ok((header, _)) = Nlmsghdr::read_from_prefix(bytes) {
                all.push(header);
                bytes = &bytes[(header.nlmsg_len as usize).next_multiple_of(4)..];
            }
            assert!(bytes.is_empty());
        }
        all
    }

    #[test]
    fn dumps_end_with_done() {
        for kind in [RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH] {
            let got = ask(&request(kind, NLM_F_REQUEST | NLM_F_DUMP, &0u32), 5);
            let all = headers(&got);
            let (last, rest) = all.split_last().unwrap();
            assert_eq!(last.nlmsg_type, NLMSG_DONE);
            for header in rest {
                assert_eq!(header.nlmsg_type, kind - 2);
                assert_eq!((header.nlmsg_seq, header.nlmsg_pid), (77, 5));
                assert_eq!(header.nlmsg_flags, NLM_F_MULTI);
                assert_eq!(header.nlmsg_len % 4, 0);
            }
        }
    }

    #[test]
    fn changes_and_unknown_links_are_refused() {
        let code = |got: &[Vec<u8>]| i32::from_le_bytes(got[0][16..20].try_into().unwrap());
        let set = ask(
            &request(
                RTM_NEWLINK,
                NLM_F_REQUEST | NLM_F_ACK,
                &Ifinfomsg::default(),
            ),
            5,
        );
        assert_eq!(code(&set), -EPERM.raw());
        let info = Ifinfomsg {
            ifi_index: 9999,
            ..Ifinfomsg::default()
        };
        let get = ask(&request(RTM_GETLINK, NLM_F_REQUEST, &info), 5);
        assert_eq!(code(&get), -ENODEV.raw());
        assert!(ask(&[1, 2, 3], 5).is_empty());
        assert!(ask(&[0xff; 64], 5).is_empty());
    }
}
