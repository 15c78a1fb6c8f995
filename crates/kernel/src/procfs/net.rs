//! `/proc/net`: interfaces and routes of the host, and the machine's sockets.

use super::{DynDir, Entries, Listing, Snapshot, Target, pid::TAG_NET};
use std::{fmt::Write, net::Ipv6Addr, sync::Arc};
use tuxlet_net::{Endpoint, InetInfo, Network};
use tuxlet_uapi::{
    errno::{Errno, Result},
    sock_diag::{TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_LISTEN},
    socket::{
        AF_INET, AF_INET6, IFF_LOOPBACK, IFF_UP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP,
        IPPROTO_UDP, SOCK_RAW, SOCK_STREAM,
    },
};
use tuxlet_vfs::{Cx, FileType, InodeRef, pseudo::GeneratedFile};

/// Makes a file's content.
type Make = fn(&Snapshot, &Cx) -> Result<String>;

const FILES: &[(&str, Make)] = &[
    ("arp", |_, _| Ok(ARP.into())),
    ("dev", dev),
    ("icmp", |s, cx| inet(s, cx, AF_INET, Table::Icmp)),
    ("icmp6", |s, cx| inet(s, cx, AF_INET6, Table::Icmp)),
    ("if_inet6", if_inet6),
    ("igmp", igmp),
    ("igmp6", igmp6),
    ("netlink", netlink),
    ("netstat", |_, _| Ok(String::new())),
    ("packet", |_, _| Ok(PACKET.into())),
    ("protocols", |_, _| Ok(PROTOCOLS.into())),
    ("raw", |s, cx| inet(s, cx, AF_INET, Table::Raw)),
    ("raw6", |s, cx| inet(s, cx, AF_INET6, Table::Raw)),
    ("route", route),
    ("snmp", snmp),
    ("sockstat", sockstat),
    ("sockstat6", sockstat6),
    ("tcp", |s, cx| inet(s, cx, AF_INET, Table::Tcp)),
    ("tcp6", |s, cx| inet(s, cx, AF_INET6, Table::Tcp)),
    ("udp", |s, cx| inet(s, cx, AF_INET, Table::Udp)),
    ("udp6", |s, cx| inet(s, cx, AF_INET6, Table::Udp)),
    ("unix", unix),
];

const ARP: &str =
    "IP address       HW type     Flags       HW address            Mask     Device\n";
const PACKET: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";
const PROTOCOLS: &str = "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de \
     sh ss gs se re sp bi br ha uh gp em\n";
const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
     timeout inode";
const TCP6: &str = "  sl  local_address                         remote_address                        st \
     tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
     timeout inode ref pointer drops             \n";
const UDP6: &str = "  sl  local_address                         remote_address                        st \
     tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
const NETLINK: &str =
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";

#[derive(Debug)]
struct NetDir(Target);

/// `/proc/PID/net`.
pub(super) fn directory(
    target: &Target,
    ino: u64,
    mode: u32,
    _owner: (u32, u32),
) -> Result<InodeRef> {
    let fs = target.shared.fs()?;
    let node = fs.node_with_ino(ino, FileType::Directory, mode);
    Ok(DynDir::inode(node, NetDir(target.clone())))
}

impl Listing for NetDir {
    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let mut files = FILES.iter().enumerate();
        let found = files.find(|(_, (n, _))| n.as_bytes() == name);
        let (index, (_, make)) = found.ok_or(Errno::ENOENT)?;
        let ino = self.0.ino(TAG_NET, index as u64);
        let fs = self.0.shared.fs()?;
        let node = fs.node_with_ino(ino, FileType::Regular, 0o444);
        let target = self.0.clone();
        Ok(GeneratedFile::read_only(node, move |cx| {
            make(&target.snapshot()?, cx).map(String::into_bytes)
        }))
    }

    fn list(&self, _cx: &Cx) -> Result<Entries> {
        let files = FILES.iter().enumerate();
        Ok(files
            .map(|(i, (name, _))| {
                let ino = self.0.ino(TAG_NET, i as u64);
                (name.as_bytes().to_vec(), ino, FileType::Regular)
            })
            .collect())
    }
}

/// The network that a process sees.
fn network(s: &Snapshot) -> Result<Arc<Network>> {
    let ns = s.resources().ok_or(Errno::ESRCH)?.ns;
    Ok(Arc::clone(&ns.net.network))
}

/// DEVIATION: the host's counters are not known; all are 0.
fn dev(s: &Snapshot, _: &Cx) -> Result<String> {
    let mut text = String::from(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs \
         drop fifo colls carrier compressed\n",
    );
    for interface in network(s)?.interfaces() {
        let zeros = "       0       0    0    0    0     0          0         0        0       0    \
                     0    0    0     0       0          0";
        text += &format!("{:>6}: {zeros}\n", interface.name);
    }
    Ok(text)
}

fn if_inet6(s: &Snapshot, _: &Cx) -> Result<String> {
    let mut text = String::new();
    for interface in network(s)?.interfaces() {
        for addr in interface.addrs.iter().filter(|a| a.family == AF_INET6) {
            let Ok(bytes) = <[u8; 16]>::try_from(addr.address.as_slice()) else {
                continue;
            };
            let ip = Ipv6Addr::from(bytes);
            let scope = if ip.is_loopback() {
                0x10
            } else if ip.is_unicast_link_local() {
                0x20
            } else {
                0
            };
            let _ = writeln!(
                text,
                "{} {:02x} {:02x} {scope:02x} 80 {:>8}",
                hex(&bytes),
                interface.index,
                addr.prefix_len,
                interface.name
            );
        }
    }
    Ok(text)
}

/// DEVIATION: where the host does not tell, those groups alone in which every interface is by itself: all systems.
fn igmp(s: &Snapshot, _: &Cx) -> Result<String> {
    let network = network(s)?;
    if let Some(text) = network.groups(AF_INET) {
        return Ok(text);
    }
    let mut text = String::from("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n");
    for interface in network.interfaces() {
        let mut families = interface.addrs.iter().map(|a| a.family);
        if interface.flags & IFF_UP != 0 && families.any(|f| f == AF_INET) {
            let group = word(&[224, 0, 0, 1]);
            let (index, name) = (interface.index, interface.name);
            let _ = writeln!(text, "{index}\t{name:<10}: {:>5} {:>7}", 1, "V3");
            let _ = writeln!(text, "\t\t\t\t{group:08X} {:>5} 0:{:08X}\t\t0", 1, 0);
        }
    }
    Ok(text)
}

/// DEVIATION: where the host does not tell, those groups alone in which every interface is by itself: all nodes of the link and of
/// the interface, and those where its addresses are asked for (RFC 4291, 2.8).
fn igmp6(s: &Snapshot, _: &Cx) -> Result<String> {
    /// What Linux keeps of a group: 4 if the interface listens to it, 8 if it tells nobody.
    const LISTENS: u32 = 4;
    const SILENT: u32 = 8;
    let network = network(s)?;
    if let Some(text) = network.groups(AF_INET6) {
        return Ok(text);
    }
    let mut text = String::new();
    for interface in network.interfaces() {
        let addrs = interface.addrs.iter().filter(|a| a.family == AF_INET6);
        let solicited = addrs.clone().filter_map(|a| {
            let last: [u8; 3] = a.address.get(13..)?.try_into().ok()?;
            let (high, low) = (
                0xff00 | u16::from(last[0]),
                u16::from_be_bytes([last[1], last[2]]),
            );
            Some(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low))
        });
        let mut groups: Vec<(Ipv6Addr, u32)> = Vec::new();
        if interface.flags & IFF_LOOPBACK == 0 {
            groups.extend(solicited.map(|group| (group, LISTENS)));
            groups.dedup();
        }
        if addrs.count() != 0 {
            let all = |scope| Ipv6Addr::new(scope, 0, 0, 0, 0, 0, 0, 1);
            groups.push((all(0xff02), LISTENS | SILENT));
            groups.push((all(0xff01), SILENT));
        }
        for (group, flags) in groups {
            let group = hex(&group.octets());
            let (index, name) = (interface.index, &interface.name);
            let _ = writeln!(text, "{index:<4} {name:<15} {group} {:>5} {flags:08X} 0", 1);
        }
    }
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Four bytes in network order as these files print them on a little-endian machine.
fn word(bytes: &[u8]) -> u32 {
    let mut four = [0; 4];
    four.iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    u32::from_le_bytes(four)
}

fn route(s: &Snapshot, _: &Cx) -> Result<String> {
    const UP: u32 = 1;
    const GATEWAY: u32 = 2;
    let mut text = format!(
        "{:<127}\n",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
    );
    for route in network(s)?.routes() {
        if route.destination.len() != 4 {
            continue;
        }
        let mask = u32::MAX
            .checked_shl(32 - u32::from(route.prefix_len.min(32)))
            .unwrap_or(0);
        let gateway = route.gateway.as_deref().unwrap_or(&[0; 4]);
        let flags = UP | if route.gateway.is_some() { GATEWAY } else { 0 };
        let line = format!(
            "{}\t{:08X}\t{:08X}\t{flags:04X}\t0\t0\t{}\t{:08X}\t0\t0\t0",
            route.interface,
            word(&route.destination),
            word(gateway),
            route.metric,
            word(&mask.to_be_bytes()),
        );
        text += &format!("{line:<127}\n");
    }
    Ok(text)
}

/// Address and port as these files print them.
fn endpoint(family: u16, endpoint: &Endpoint) -> String {
    let len = if family == AF_INET { 4 } else { 16 };
    let words: String = endpoint.address[..len]
        .chunks(4)
        .map(|four| format!("{:08X}", word(four)))
        .collect();
    format!("{words}:{:04X}", endpoint.port)
}

/// One of the tables of Internet sockets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Tcp,
    Udp,
    Raw,
    /// Datagram sockets of `IPPROTO_ICMP` and `IPPROTO_ICMPV6`, which send pings.
    Icmp,
}

impl Table {
    /// The table that shows a socket.
    fn of(info: &InetInfo) -> Option<Table> {
        match info.protocol {
            _ if info.kind == SOCK_RAW => Some(Table::Raw),
            IPPROTO_TCP => Some(Table::Tcp),
            IPPROTO_UDP => Some(Table::Udp),
            IPPROTO_ICMP | IPPROTO_ICMPV6 => Some(Table::Icmp),
            _ => None,
        }
    }
}

/// The sockets in a table.
fn members(s: &Snapshot, family: u16, table: Table) -> Result<Vec<InetInfo>> {
    let mut all = network(s)?.inet_sockets();
    all.retain(|i| i.family == family && Table::of(i) == Some(table));
    Ok(all)
}

fn inet(s: &Snapshot, cx: &Cx, family: u16, table: Table) -> Result<String> {
    let tcp = table == Table::Tcp;
    let mut text = match (tcp, family == AF_INET) {
        // The width of a line of an IPv4 table.
        (true, true) => format!("{TCP:<149}\n"),
        (true, false) => format!("{TCP6}\n"),
        (false, true) => UDP.to_owned(),
        (false, false) => UDP6.to_owned(),
    };
    for (row, info) in members(s, family, table)?.iter().enumerate() {
        let local = endpoint(family, &info.local);
        let peer = endpoint(family, &info.peer);
        // Of a listening socket only the connections that wait are shown.
        let send_queue = if info.state == TCP_LISTEN {
            0
        } else {
            info.send_queue
        };
        let line = format!(
            "{row:>4}: {local} {peer} {:02X} {send_queue:08X}:{:08X} 00:00000000 {:08X} {:>5}        0 {}",
            info.state,
            info.recv_queue,
            info.retransmits,
            cx.cred.user_ns.shown_uid(info.uid),
            info.ino,
        );
        text += &if tcp {
            format!("{:<149}\n", line + " 1 0000000000000000 20 4 0 10 -1")
        } else {
            format!("{line} 2 0000000000000000 0\n")
        };
    }
    Ok(text)
}

fn unix(s: &Snapshot, _: &Cx) -> Result<String> {
    let mut text = String::from(UNIX);
    for info in network(s)?.unix_sockets() {
        let flags = if info.state == TCP_LISTEN { 0x10000 } else { 0 };
        // SS_UNCONNECTED and SS_CONNECTED.
        let state = if info.state == TCP_ESTABLISHED { 3 } else { 1 };
        let _ = write!(
            text,
            "0000000000000000: 00000002 00000000 {flags:08X} {:04X} {state:02X} {:>5}",
            info.kind, info.ino
        );
        if !info.name.is_empty() {
            let shown = match info.name.split_first() {
                Some((0, rest)) => format!("@{}", String::from_utf8_lossy(rest)),
                _ => {
                    let end = info.name.iter().position(|b| *b == 0);
                    let path = &info.name[..end.unwrap_or(info.name.len())];
                    String::from_utf8_lossy(path).into_owned()
                }
            };
            let _ = write!(text, " {}", shown.replace('\0', "@"));
        }
        text.push('\n');
    }
    Ok(text)
}

fn netlink(s: &Snapshot, _: &Cx) -> Result<String> {
    let mut text = String::from(NETLINK);
    for info in network(s)?.netlink_sockets() {
        let _ = writeln!(
            text,
            "0000000000000000 {:<3} {:<10} {:08x} {:<8} {:<8} {:<5} {:<8} {:<8} {:<8}",
            info.protocol, info.port, info.groups, info.recv_queue, 0, 0, 2, 0, info.ino
        );
    }
    Ok(text)
}

fn sockstat(s: &Snapshot, _: &Cx) -> Result<String> {
    let net = network(s)?;
    let count = |table| members(s, AF_INET, table).map_or(0, |all| all.len());
    Ok(format!(
        "sockets: used {}\nTCP: inuse {} orphan 0 tw 0 alloc {} mem 0\nUDP: inuse {} mem 0\n\
         UDPLITE: inuse 0\nRAW: inuse {}\nFRAG: inuse 0 memory 0\n",
        net.count(),
        count(Table::Tcp),
        net.count_inet(AF_INET, SOCK_STREAM, IPPROTO_TCP)
            + net.count_inet(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
        count(Table::Udp),
        count(Table::Raw),
    ))
}

fn sockstat6(s: &Snapshot, _: &Cx) -> Result<String> {
    let count = |table| members(s, AF_INET6, table).map_or(0, |all| all.len());
    Ok(format!(
        "TCP6: inuse {}\nUDP6: inuse {}\nUDPLITE6: inuse 0\nRAW6: inuse {}\n\
         FRAG6: inuse 0 memory 0\n",
        count(Table::Tcp),
        count(Table::Udp),
        count(Table::Raw),
    ))
}

/// DEVIATION: the host's counters are not known; all are 0 but the number of connections.
fn snmp(s: &Snapshot, _: &Cx) -> Result<String> {
    let connected = network(s)?.inet_sockets();
    let connected = connected
        .iter()
        .filter(|i| Table::of(i) == Some(Table::Tcp))
        .filter(|i| matches!(i.state, TCP_ESTABLISHED | TCP_CLOSE_WAIT))
        .count();
    Ok(format!(
        "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab \
         InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n\
         Tcp: 1 200 120000 -1 0 0 0 0 {connected} 0 0 0 0 0 0\n"
    ))
}
