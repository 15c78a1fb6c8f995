//! The sockets of a machine: what sock_diag(7), `/proc/net` and messages between netlink sockets find them by.

use crate::{
    inet_info::{InetEntry, InetInfo},
    netlink::{NetlinkInfo, NetlinkSocket},
    unix::{Sock, UnixInfo},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};
use tuxlet_sync::Mutex;
use tuxlet_uapi::errno::Errno;

/// All sockets by inode number.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// An entry goes before its host socket is closed, and entries are looked at with the lock held: looking never
    /// keeps a port occupied that its owner has given back.
    inet: Mutex<BTreeMap<u64, Arc<InetEntry>>>,
    unix: Mutex<BTreeMap<u64, Weak<Sock>>>,
    netlink: Mutex<NetlinkTable>,
}

#[derive(Debug, Default)]
struct NetlinkTable {
    sockets: BTreeMap<u64, Weak<NetlinkSocket>>,
    /// Inode numbers by protocol and port.
    ports: BTreeMap<(u32, u32), u64>,
}

impl Registry {
    pub(crate) fn add_inet(&self, entry: &Arc<InetEntry>) {
        self.inet.lock().insert(entry.ino(), Arc::clone(entry));
    }

    pub(crate) fn remove_inet(&self, ino: u64) {
        self.inet.lock().remove(&ino);
    }

    /// Looks at all Internet sockets that have a name, in the order of their making.
    pub(crate) fn each_inet(&self, mut look: impl FnMut(&InetEntry, InetInfo)) {
        for entry in self.inet.lock().values() {
            if let Some(info) = entry.info() {
                look(entry, info);
            }
        }
    }

    /// Lets listening sockets that the host has ended listen again: the errors of those that cannot.
    pub(crate) fn renew_listeners(&self) -> Vec<Errno> {
        let inet = self.inet.lock();
        inet.values()
            .filter_map(|entry| entry.renew_listener().err())
            .collect()
    }

    /// How many Internet sockets there are, named or not, of which `which` is true.
    pub(crate) fn count_inet(&self, which: impl Fn(&InetEntry) -> bool) -> usize {
        self.inet.lock().values().filter(|e| which(e)).count()
    }

    pub(crate) fn add_unix(&self, sock: &Arc<Sock>) {
        self.unix.lock().insert(sock.ino(), Arc::downgrade(sock));
    }

    pub(crate) fn remove_unix(&self, ino: u64) {
        self.unix.lock().remove(&ino);
    }

    /// All Unix sockets.
    pub(crate) fn unix(&self) -> Vec<UnixInfo> {
        // The lock is not held while a socket may go with its last reference.
        let socks: Vec<Arc<Sock>> = {
            let unix = self.unix.lock();
            unix.values().filter_map(Weak::upgrade).collect()
        };
        socks.iter().filter_map(|s| s.info()).collect()
    }

    pub(crate) fn add_netlink(&self, socket: &Arc<NetlinkSocket>) {
        let mut table = self.netlink.lock();
        table.sockets.insert(socket.ino(), Arc::downgrade(socket));
    }

    pub(crate) fn remove_netlink(&self, ino: u64) {
        let mut table = self.netlink.lock();
        table.sockets.remove(&ino);
        table.ports.retain(|_, owner| *owner != ino);
    }

    /// Gives a netlink port to a socket; whether it was free.
    pub(crate) fn take_port(&self, protocol: u32, port: u32, ino: u64) -> bool {
        let mut table = self.netlink.lock();
        *table.ports.entry((protocol, port)).or_insert(ino) == ino
    }

    /// The socket that has a netlink port.
    pub(crate) fn by_port(&self, protocol: u32, port: u32) -> Option<Arc<NetlinkSocket>> {
        let table = self.netlink.lock();
        let ino = table.ports.get(&(protocol, port))?;
        table.sockets.get(ino)?.upgrade()
    }

    /// The netlink sockets of a protocol.
    pub(crate) fn netlink_sockets(&self, protocol: u32) -> Vec<Arc<NetlinkSocket>> {
        let mut all = self.all_netlink();
        all.retain(|s| s.netlink_protocol() == protocol);
        all
    }

    fn all_netlink(&self) -> Vec<Arc<NetlinkSocket>> {
        let table = self.netlink.lock();
        table.sockets.values().filter_map(Weak::upgrade).collect()
    }

    /// All netlink sockets.
    pub(crate) fn netlink(&self) -> Vec<NetlinkInfo> {
        self.all_netlink().iter().map(|s| s.info()).collect()
    }
}
