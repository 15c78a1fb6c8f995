//! Ping without privileges: a host's ICMP datagram socket that looks like a raw one.
//!
//! The host puts its own identifier into echo requests and shows replies without an IPv4 header. Programs with
//! a raw socket look for the identifier that they sent, behind the header.

use std::sync::atomic::{AtomicU16, Ordering};
use tuxlet_host::net::{HostControl, Received, Socket};
use tuxlet_uapi::{
    errno::Result,
    socket::{AF_INET, IP_TTL, IPPROTO_ICMP, IPPROTO_IP, MSG_TRUNC},
};

/// Length of an IPv4 header without options.
const HEADER: usize = 20;
/// Offset of the identifier in an echo message.
const ID: usize = 4;
/// Largest IPv4 packet.
const PACKET_MAX: usize = 65_535;

#[derive(Debug)]
pub(crate) struct Ping {
    domain: u16,
    /// The identifier that the guest sent last, in network order.
    id: AtomicU16,
}

/// The Internet checksum of `bytes`.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| {
            u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

impl Ping {
    pub(crate) fn new(domain: u16) -> Ping {
        Ping {
            domain,
            id: AtomicU16::new(0),
        }
    }

    /// Remembers the identifier of a request.
    pub(crate) fn sent(&self, data: &[u8]) {
        if let Some(id) = data.get(ID..ID + 2) {
            self.id
                .store(u16::from_be_bytes([id[0], id[1]]), Ordering::Relaxed);
        }
    }

    /// Receives a reply as a raw socket would.
    pub(crate) fn receive(&self, socket: &Socket, buf: &mut [u8], flags: u32) -> Result<Received> {
        let mut packet = vec![0; PACKET_MAX];
        let mut got = socket.recv(&mut packet, flags & !MSG_TRUNC)?;
        packet.truncate(got.len);
        self.disguise(&mut packet, &got.name, &got.control);
        got.control.retain(|c| !is_ttl(c));
        let stored = packet.len().min(buf.len());
        buf[..stored].copy_from_slice(&packet[..stored]);
        got.flags = if packet.len() > buf.len() {
            MSG_TRUNC
        } else {
            0
        };
        got.len = if flags & MSG_TRUNC != 0 {
            packet.len()
        } else {
            stored
        };
        Ok(got)
    }

    /// Puts the guest's identifier back, and the IPv4 header in front.
    fn disguise(&self, packet: &mut Vec<u8>, from: &[u8], control: &[HostControl]) {
        if let Some(id) = packet.get_mut(ID..ID + 2) {
            id.copy_from_slice(&self.id.load(Ordering::Relaxed).to_be_bytes());
        }
        if self.domain != AF_INET {
            // The checksum of ICMPv6 covers addresses and was the host's to check.
            return;
        }
        if packet.len() >= 8 {
            packet[2..4].fill(0);
            let sum = checksum(packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        let ttl = control
            .iter()
            .find(|c| is_ttl(c))
            .and_then(|c| c.data.first())
            .copied();
        let mut header = [0; HEADER];
        header[0] = 0x45;
        let total = u16::try_from(HEADER + packet.len()).unwrap_or(u16::MAX);
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header[8] = ttl.unwrap_or(64);
        header[9] = IPPROTO_ICMP as u8;
        if let Some(address) = from.get(4..8) {
            header[12..16].copy_from_slice(address);
        }
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.splice(0..0, header);
    }
}

fn is_ttl(message: &HostControl) -> bool {
    (message.level, message.kind) == (IPPROTO_IP as i32, IP_TTL as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_look_raw() {
        let ping = Ping::new(AF_INET);
        ping.sent(&[8, 0, 0, 0, 0x12, 0x34, 0, 1]);
        let mut packet = vec![0, 0, 0xff, 0xff, 0xaa, 0xbb, 0, 1, 9];
        let ttl = HostControl {
            level: 0,
            kind: IP_TTL as i32,
            data: vec![55, 0, 0, 0],
        };
        ping.disguise(&mut packet, &[2, 0, 0, 0, 127, 0, 0, 1], &[ttl]);
        assert_eq!(packet.len(), 29);
        assert_eq!((packet[0], packet[3], packet[8]), (0x45, 29, 55));
        assert_eq!(packet[12..16], [127, 0, 0, 1]);
        assert_eq!(packet[24..26], [0x12, 0x34]);
        assert_eq!(checksum(&packet[..20]), 0);
        assert_eq!(checksum(&packet[20..]), 0);
    }
}
