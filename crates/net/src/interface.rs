//! The `SIOCGIF*` requests: what netdevice(7) tells of the host's interfaces.

use crate::Network;
use tuxlet_host::net::{Interface, InterfaceAddr};
use tuxlet_mem::AddressSpace;
use tuxlet_uapi::{
    errno::{EADDRNOTAVAIL, EFAULT, ENODEV, EPERM, Result},
    ioctl::*,
    netlink::{ARPHRD_ETHER, ARPHRD_LOOPBACK, ARPHRD_NONE},
    socket::{AF_INET, IFF_LOOPBACK, IFNAMSIZ, Ifconf, Ifreq},
};
use tuxlet_vfs::Cx;

/// Hardware type for `SIOCGIFHWADDR` and netlink.
pub(crate) fn hardware_type(interface: &Interface) -> u16 {
    if interface.flags & IFF_LOOPBACK != 0 {
        ARPHRD_LOOPBACK
    } else if interface.hardware.len() == 6 {
        ARPHRD_ETHER
    } else {
        ARPHRD_NONE
    }
}

/// Answers a request about interfaces; `None` if it is none.
pub(crate) fn ioctl(
    net: &Network,
    cx: &Cx,
    request: u32,
    arg: u64,
    mm: &AddressSpace,
) -> Option<Result<i64>> {
    match request {
        SIOCGIFCONF => Some(list(net, arg, mm)),
        SIOCGIFNAME | SIOCGIFFLAGS | SIOCGIFADDR | SIOCGIFDSTADDR | SIOCGIFBRDADDR
        | SIOCGIFNETMASK | SIOCGIFMETRIC | SIOCGIFMTU | SIOCGIFHWADDR | SIOCGIFINDEX
        | SIOCGIFTXQLEN => Some(one(net, request, arg, mm)),
        SIOCSIFFLAGS => Some(set_flags(net, cx, arg, mm)),
        SIOCSIFADDR | SIOCSIFNETMASK | SIOCSIFMTU | SIOCSIFHWADDR | SIOCADDRT | SIOCDELRT => {
            Some(Err(EPERM))
        }
        _ => None,
    }
}

fn name_field(name: &str) -> [u8; IFNAMSIZ] {
    let mut field = [0; IFNAMSIZ];
    let n = name.len().min(IFNAMSIZ - 1);
    field[..n].copy_from_slice(&name.as_bytes()[..n]);
    field
}

/// A `struct sockaddr_in` with no port, in the union of a request.
fn v4_field(address: &[u8]) -> [u8; 24] {
    let mut field = [0; 24];
    field[..2].copy_from_slice(&AF_INET.to_le_bytes());
    field[4..8].copy_from_slice(&address[..4]);
    field
}

fn int_field(value: u32) -> [u8; 24] {
    let mut field = [0; 24];
    field[..4].copy_from_slice(&value.to_le_bytes());
    field
}

fn v4_of(interface: &Interface) -> Option<&InterfaceAddr> {
    interface.addrs.iter().find(|a| a.family == AF_INET)
}

/// Brings the interface of a private network up or down; the host's is not for guests to change.
fn set_flags(net: &Network, cx: &Cx, arg: u64, mm: &AddressSpace) -> Result<i64> {
    let req: Ifreq = mm.read(arg)?;
    let lo = net.loopback.as_ref().ok_or(EPERM)?;
    lo.must_be_admin(cx)?;
    if req.ifr_name.split(|&b| b == 0).next() != Some(b"lo") {
        return Err(ENODEV);
    }
    lo.set_flags(u32::from(u16::from_le_bytes([req._ifru[0], req._ifru[1]])));
    Ok(0)
}

fn list(net: &Network, arg: u64, mm: &AddressSpace) -> Result<i64> {
    let mut conf: Ifconf = mm.read(arg)?;
    let all: Vec<Ifreq> = net
        .interfaces()
        .iter()
        .filter_map(|i| {
            let address = v4_of(i)?;
            Some(Ifreq {
                ifr_name: name_field(&i.name),
                _ifru: v4_field(&address.address),
            })
        })
        .collect();
    let size = size_of::<Ifreq>();
    let count = if conf._ifcu == 0 {
        // Only the size is asked for.
        all.len()
    } else {
        let fits = usize::try_from(conf.ifc_len).unwrap_or(0) / size;
        let count = all.len().min(fits);
        mm.write_slice(conf._ifcu, &all[..count])?;
        count
    };
    conf.ifc_len = i32::try_from(count * size).map_err(|_| EFAULT)?;
    mm.write(arg, &conf)?;
    Ok(0)
}

fn one(net: &Network, request: u32, arg: u64, mm: &AddressSpace) -> Result<i64> {
    let mut req: Ifreq = mm.read(arg)?;
    let all = net.interfaces();
    let name = req.ifr_name.split(|&b| b == 0).next().unwrap_or_default();
    let index = u32::from_le_bytes([req._ifru[0], req._ifru[1], req._ifru[2], req._ifru[3]]);
    let found = all
        .iter()
        .find(|i| {
            if request == SIOCGIFNAME {
                i.index == index
            } else {
                i.name.as_bytes() == name
            }
        })
        .ok_or(ENODEV)?;
    let v4 = || v4_of(found).ok_or(EADDRNOTAVAIL);
    req._ifru = match request {
        SIOCGIFNAME => {
            req.ifr_name = name_field(&found.name);
            req._ifru
        }
        SIOCGIFFLAGS => int_field(found.flags & 0xffff),
        SIOCGIFADDR | SIOCGIFDSTADDR => v4_field(&v4()?.address),
        SIOCGIFBRDADDR => v4_field(v4()?.broadcast.as_deref().unwrap_or(&[0; 4])),
        SIOCGIFNETMASK => {
            let prefix = u32::from(v4()?.prefix_len);
            v4_field(&u32::MAX.checked_shl(32 - prefix).unwrap_or(0).to_be_bytes())
        }
        SIOCGIFMTU => int_field(found.mtu),
        SIOCGIFINDEX => int_field(found.index),
        SIOCGIFHWADDR => {
            let mut field = [0; 24];
            field[..2].copy_from_slice(&hardware_type(found).to_le_bytes());
            let n = found.hardware.len().min(14);
            field[2..2 + n].copy_from_slice(&found.hardware[..n]);
            field
        }
        SIOCGIFTXQLEN => int_field(1000),
        _ => int_field(0),
    };
    mm.write(arg, &req)?;
    Ok(0)
}
