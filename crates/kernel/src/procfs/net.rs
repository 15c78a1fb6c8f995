//! `/proc/net`: interfaces and routes of the host, and the sockets that the machine's processes have open.

use super::{DynDir, Entries, Listing, Snapshot, Target, pid::TAG_NET};
use rustc_hash::FxHashSet;
use std::{fmt::Write, net::Ipv6Addr, sync::Arc};
use tuxlet_host::net::interfaces;
use tuxlet_uapi::{
    errno::{Errno, Result},
    socket::{AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, IPPROTO_UDP, SO_ACCEPTCONN, SOL_SOCKET},
};
use tuxlet_vfs::{Cx, File, FileType, InodeRef, SocketOps, pseudo::GeneratedFile};

/// Makes a file's content.
type Make = fn(&Snapshot, &Cx) -> Result<String>;

const FILES: &[(&str, Make)] = &[
    ("arp", |_, _| Ok(ARP.into())),
    ("dev", dev),
    ("if_inet6", if_inet6),
    ("netstat", |_, _| Ok(String::new())),
    ("packet", |_, _| Ok(PACKET.into())),
    ("protocols", |_, _| Ok(PROTOCOLS.into())),
    ("raw", |_, _| Ok(UDP.into())),
    ("route", route),
    ("snmp", |_, _| Ok(String::new())),
    ("sockstat", sockstat),
    ("tcp", |s, cx| Ok(inet(s, cx, AF_INET, IPPROTO_TCP))),
    ("tcp6", |s, cx| Ok(inet(s, cx, AF_INET6, IPPROTO_TCP))),
    ("udp", |s, cx| Ok(inet(s, cx, AF_INET, IPPROTO_UDP))),
    ("udp6", |s, cx| Ok(inet(s, cx, AF_INET6, IPPROTO_UDP))),
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
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";

/// States of sockets.
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

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

/// DEVIATION: the host's counters are not known; all are 0.
fn dev(_: &Snapshot, _: &Cx) -> Result<String> {
    let mut text = String::from(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs \
         drop fifo colls carrier compressed\n",
    );
    for interface in interfaces() {
        let zeros = "       0       0    0    0    0     0          0         0        0       0    \
                     0    0    0     0       0          0";
        text += &format!("{:>6}: {zeros}\n", interface.name);
    }
    Ok(text)
}

fn if_inet6(_: &Snapshot, _: &Cx) -> Result<String> {
    let mut text = String::new();
    for interface in interfaces() {
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

fn route(_: &Snapshot, _: &Cx) -> Result<String> {
    const UP: u32 = 1;
    const GATEWAY: u32 = 2;
    let mut text = format!(
        "{:<127}\n",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
    );
    for route in tuxlet_host::net::routes() {
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

/// A socket that some process has open.
struct Open {
    file: Arc<File>,
    uid: u32,
    ino: u64,
}

impl Open {
    fn socket(&self) -> Option<&dyn SocketOps> {
        self.file.ops().as_socket()
    }
}

/// The sockets of all processes, each once.
fn sockets(s: &Snapshot, cx: &Cx) -> Vec<Open> {
    let tasks: Vec<_> = {
        let tree = s.kernel.tree.lock();
        tree.groups()
            .filter_map(|(_, n)| n.threads.first().cloned())
            .collect()
    };
    let mut seen = FxHashSet::default();
    let mut open = Vec::new();
    for resources in tasks.iter().filter_map(|t| t.resources()) {
        for (_, file, _) in resources.fds.snapshot() {
            if file.ops().as_socket().is_none() {
                continue;
            }
            let Ok(attr) = file.attr(cx) else { continue };
            if seen.insert(attr.ino) {
                open.push(Open {
                    file,
                    uid: attr.uid,
                    ino: attr.ino,
                });
            }
        }
    }
    open.sort_by_key(|o| o.ino);
    open
}

fn listens(socket: &dyn SocketOps, cx: &Cx) -> bool {
    let value = socket.getsockopt(cx, SOL_SOCKET, SO_ACCEPTCONN, 4);
    value.is_ok_and(|v| v.first().is_some_and(|b| *b != 0))
}

/// Address and port of a `struct sockaddr_in` or `sockaddr_in6` as these files print them; zeros without one.
fn endpoint(domain: u16, name: Option<Vec<u8>>) -> String {
    let name = name.unwrap_or_default();
    let port = match name.get(2..4) {
        Some(p) => u16::from_be_bytes([p[0], p[1]]),
        None => 0,
    };
    let (at, len) = if domain == AF_INET { (4, 4) } else { (8, 16) };
    let zeros = [0; 16];
    let bytes = name.get(at..at + len).unwrap_or(&zeros[..len]);
    let words: String = bytes
        .chunks(4)
        .map(|four| format!("{:08X}", word(four)))
        .collect();
    format!("{words}:{port:04X}")
}

fn inet(s: &Snapshot, cx: &Cx, domain: u16, protocol: u32) -> String {
    let tcp = protocol == IPPROTO_TCP;
    let mut text = match (tcp, domain == AF_INET) {
        // The width of a line of an IPv4 table.
        (true, true) => format!("{TCP:<149}\n"),
        (true, false) => format!("{TCP6}\n"),
        (false, true) => UDP.to_owned(),
        (false, false) => UDP6.to_owned(),
    };
    let mut row = 0;
    for open in sockets(s, cx) {
        let Some(socket) = open.socket() else {
            continue;
        };
        if socket.domain() != domain || socket.protocol() != protocol {
            continue;
        }
        let local = socket.sockname().ok();
        let bound = local
            .as_ref()
            .and_then(|n| n.get(2..4))
            .is_some_and(|port| port != [0, 0]);
        // As Linux, which keeps only bound sockets in these tables.
        if !bound {
            continue;
        }
        let peer = socket.peername().ok();
        let state = if peer.is_some() {
            ESTABLISHED
        } else if tcp && listens(socket, cx) {
            LISTEN
        } else {
            CLOSE
        };
        let (local, peer) = (endpoint(domain, local), endpoint(domain, peer));
        let (uid, ino) = (open.uid, open.ino);
        let line = format!(
            "{row:>4}: {local} {peer} {state:02X} 00000000:00000000 00:00000000 00000000 {uid:>5}        \
             0 {ino}"
        );
        text += &if tcp {
            format!("{line:<149}\n")
        } else {
            format!("{line} 2 0000000000000000 0\n")
        };
        row += 1;
    }
    text
}

fn unix(s: &Snapshot, cx: &Cx) -> Result<String> {
    let mut text = String::from(UNIX);
    for open in sockets(s, cx) {
        let Some(socket) = open.socket() else {
            continue;
        };
        if socket.domain() != AF_UNIX {
            continue;
        }
        let listening = listens(socket, cx);
        let connected = socket.peername().is_ok();
        let flags = if listening { 0x10000 } else { 0 };
        // SS_UNCONNECTED and SS_CONNECTED.
        let state = if connected { 3 } else { 1 };
        let _ = write!(
            text,
            "0000000000000000: 00000002 00000000 {flags:08X} {:04X} {state:02X} {:>5}",
            socket.kind(),
            open.ino
        );
        let name = socket.sockname().unwrap_or_default();
        let path = name.get(2..).unwrap_or_default();
        if !path.is_empty() {
            let shown = match path.split_first() {
                Some((0, rest)) => format!("@{}", String::from_utf8_lossy(rest)),
                _ => {
                    let end = path.iter().position(|b| *b == 0).unwrap_or(path.len());
                    String::from_utf8_lossy(&path[..end]).into_owned()
                }
            };
            let _ = write!(text, " {}", shown.replace('\0', "@"));
        }
        text.push('\n');
    }
    Ok(text)
}

fn sockstat(s: &Snapshot, cx: &Cx) -> Result<String> {
    let open = sockets(s, cx);
    let count = |domain: u16, protocol: u32| {
        let all = open.iter().filter_map(Open::socket);
        all.filter(|s| s.domain() == domain && s.protocol() == protocol)
            .count()
    };
    Ok(format!(
        "sockets: used {}\nTCP: inuse {} orphan 0 tw 0 alloc {} mem 0\nUDP: inuse {} mem 0\n\
         UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
        open.len(),
        count(AF_INET, IPPROTO_TCP),
        count(AF_INET, IPPROTO_TCP) + count(AF_INET6, IPPROTO_TCP),
        count(AF_INET, IPPROTO_UDP),
    ))
}
