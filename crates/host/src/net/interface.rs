//! The host's network interfaces.

use libc::{c_int, ifaddrs, sockaddr};
use std::{collections::BTreeMap, ffi::CStr, ptr};
use tuxlet_uapi::socket::{
    AF_INET, AF_INET6, IFF_BROADCAST, IFF_LOOPBACK, IFF_MULTICAST, IFF_POINTOPOINT, IFF_RUNNING,
    IFF_UP,
};

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddr {
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// The address, 4 or 16 bytes.
    pub address: Vec<u8>,
    /// Length of the network's prefix in bits.
    pub prefix_len: u8,
    /// Broadcast address, if any.
    pub broadcast: Option<Vec<u8>>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name, at most 15 bytes.
    pub name: String,
    /// Index, from 1.
    pub index: u32,
    /// `IFF_*` flags as Linux has them.
    pub flags: u32,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Hardware address; empty if unknown.
    pub hardware: Vec<u8>,
    /// Addresses.
    pub addrs: Vec<InterfaceAddr>,
}

/// The host's interfaces in the order of their indices; empty if the host does not tell.
#[must_use]
pub fn interfaces() -> Vec<Interface> {
    let mut list: *mut ifaddrs = ptr::null_mut();
    // SAFETY: getifaddrs stores a list that freeifaddrs releases below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
    let mut next = list;
    // SAFETY: the list's nodes, names and addresses are valid until freeifaddrs.
    while let Some(node) = unsafe { next.as_ref() } {
        next = node.ifa_next;
        // SAFETY: the name is a C string of the list.
        let c_name = unsafe { CStr::from_ptr(node.ifa_name) };
        // SAFETY: a C string.
        let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
        if index == 0 {
            continue;
        }
        let interface = found.entry(index).or_insert_with(|| {
            let name = c_name.to_string_lossy().into_owned();
            Interface {
                index,
                flags: linux_flags(node.ifa_flags),
                mtu: mtu(&name),
                hardware: hardware(&name),
                addrs: Vec::new(),
                name,
            }
        });
        if let Some((family, address)) = inet_address(node.ifa_addr) {
            let prefix_len = inet_mask(node.ifa_netmask, family)
                .map_or(0, |mask| mask.iter().map(|b| b.count_ones() as u8).sum());
            let broadcast = (interface.flags & IFF_BROADCAST != 0)
                .then(|| inet_address(broadcast_of(node)))
                .flatten()
                .map(|(_, address)| address);
            interface.addrs.push(InterfaceAddr {
                family,
                address,
                prefix_len,
                broadcast,
            });
        }
    }
    // SAFETY: the list of getifaddrs, not used any more.
    unsafe { libc::freeifaddrs(list) };
    found.into_values().collect()
}

/// The multicast groups that the host's interfaces are in, as Linux' `/proc/net/igmp` has them, or `igmp6` for [`AF_INET6`]; `None`
/// if the host does not tell.
#[must_use]
pub fn groups(family: u16) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let six = if family == AF_INET6 { "6" } else { "" };
    std::fs::read_to_string(format!("/proc/net/igmp{six}")).ok()
}

fn linux_flags(host: libc::c_uint) -> u32 {
    [
        (libc::IFF_UP, IFF_UP),
        (libc::IFF_BROADCAST, IFF_BROADCAST),
        (libc::IFF_LOOPBACK, IFF_LOOPBACK),
        (libc::IFF_POINTOPOINT, IFF_POINTOPOINT),
        (libc::IFF_RUNNING, IFF_RUNNING),
        (libc::IFF_MULTICAST, IFF_MULTICAST),
    ]
    .iter()
    .filter(|&&(bit, _)| host & bit as libc::c_uint != 0)
    .fold(0, |flags, &(_, linux)| flags | linux)
}

#[cfg(target_os = "linux")]
fn broadcast_of(node: &ifaddrs) -> *const sockaddr {
    node.ifa_ifu
}

#[cfg(not(target_os = "linux"))]
fn broadcast_of(node: &ifaddrs) -> *const sockaddr {
    node.ifa_dstaddr
}

/// Family and bytes of an Internet address; `addr` is null or an address of the list.
fn inet_address(addr: *const sockaddr) -> Option<(u16, Vec<u8>)> {
    // SAFETY: null or valid until freeifaddrs.
    let family = c_int::from(unsafe { addr.as_ref() }?.sa_family);
    let linux = match family {
        libc::AF_INET => AF_INET,
        libc::AF_INET6 => AF_INET6,
        _ => return None,
    };
    Some((linux, inet_mask(addr, linux)?))
}

/// Address bytes of what has the layout of `family`, whatever its own family field says (Darwin leaves it
/// empty in masks).
fn inet_mask(addr: *const sockaddr, family: u16) -> Option<Vec<u8>> {
    if addr.is_null() {
        return None;
    }
    Some(if family == AF_INET {
        // SAFETY: an address of this family in the list.
        unsafe { (*addr.cast::<libc::sockaddr_in>()).sin_addr }
            .s_addr
            .to_ne_bytes()
            .to_vec()
    } else {
        // SAFETY: an address of this family in the list.
        unsafe { (*addr.cast::<libc::sockaddr_in6>()).sin6_addr }
            .s6_addr
            .to_vec()
    })
}

fn mtu(name: &str) -> u32 {
    std::fs::read_to_string(format!("/sys/class/net/{name}/mtu"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(if name.starts_with("lo") { 65536 } else { 1500 })
}

fn hardware(name: &str) -> Vec<u8> {
    std::fs::read_to_string(format!("/sys/class/net/{name}/address"))
        .ok()
        .and_then(|text| {
            text.trim()
                .split(':')
                .map(|byte| u8::from_str_radix(byte, 16).ok())
                .collect()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_there() {
        let all = interfaces();
        let Some(lo) = all.iter().find(|i| i.flags & IFF_LOOPBACK != 0) else {
            eprintln!("SKIPPED: no loopback interface here");
            return;
        };
        assert!(lo.index > 0);
        if let Some(v4) = lo.addrs.iter().find(|a| a.family == AF_INET) {
            assert_eq!((v4.address[0], v4.prefix_len), (127, 8));
        }
    }
}
