//! What a machine is given: programs, its user database, messages of guests to the kernel.

use std::sync::{Arc, OnceLock};
use tuxlet::{Command, Machine, Root};
use tuxlet_net::Network;
use tuxlet_vfs::{
    Cred, Cx, FileOps, Time,
    socket::{Name, SendMsg},
};

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_NETLINK: u32 = 16;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;

fn cx() -> Cx {
    Cx {
        cred: Arc::new(Cred::root()),
        umask: 0,
        now: Time { sec: 0, nsec: 0 },
        fsize_limit: u64::MAX,
        tgid: 1,
        tid: 1,
        context: 0,
    }
}

/// A message to each netlink that answers, and all the answers.
pub(crate) fn netlink(data: &[u8]) {
    const ROUTE: u32 = 0;
    const SOCK_DIAG: u32 = 4;
    const GENERIC: u32 = 16;
    // Something to be asked about: a pair of Unix sockets and a bound datagram socket.
    type Asked = (Arc<Network>, Vec<Arc<dyn FileOps>>);
    static NETWORK: OnceLock<Asked> = OnceLock::new();
    let (network, _) = NETWORK.get_or_init(|| {
        let network = Network::new();
        let (a, b) = network
            .socketpair(&cx(), AF_UNIX, SOCK_STREAM, 0)
            .expect("a pair");
        let udp = network
            .socket(&cx(), AF_INET, SOCK_DGRAM, 0)
            .expect("a socket");
        let bytes = &[2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let name = Name { bytes, inode: None };
        let socket = udp.as_socket().expect("a socket");
        socket.bind(&cx(), name).expect("a port");
        (network, vec![a, b, udp])
    });
    for protocol in [ROUTE, SOCK_DIAG, GENERIC] {
        let file = network
            .socket(&cx(), AF_NETLINK, SOCK_RAW, protocol)
            .expect("a socket");
        let socket = file.as_socket().expect("a socket");
        let mut message = data;
        if socket
            .sendmsg(&cx(), &mut message, &mut SendMsg::default())
            .is_ok()
        {
            let mut buffer = vec![0; 1 << 16];
            while socket.recvmsg(&cx(), &mut &mut buffer[..], 0).is_ok() {}
        }
    }
}

fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let machine = Machine::builder()
            .root(Root::Memory)
            .memory(64 << 20)
            .build()
            .expect("a machine");
        machine
            .write_file("/bin/script", 0o755, b"#!/bin/nothing\n")
            .expect("a file");
        machine
    })
}

fn run(command: Command) {
    if let Ok(process) = machine().exec(command) {
        // It may have ended.
        let _ = process.kill(9);
        let _ = process.wait();
    }
}

/// A program: an ELF file, a script, or anything else that execve(2) may be given.
pub(crate) fn program(data: &[u8]) {
    machine()
        .write_file("/bin/program", 0o755, data)
        .expect("a file");
    run(Command::new("/bin/program"));
}

/// A guest's user database, asked for the user of a command.
pub(crate) fn passwd(data: &[u8]) {
    for path in ["/etc/passwd", "/etc/group"] {
        machine().write_file(path, 0o644, data).expect("a file");
    }
    for user in ["user", "1000", "user:group", "0:0"] {
        run(Command::new("/bin/script").user(user));
    }
}
