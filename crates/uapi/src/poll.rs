//! `poll`(2) and `select`(2).

consts! {
    /// Event bits of `poll`(2); `EPOLL*` have the same values.
    pub POLL: u32 {
        POLLIN = 0x1,
        POLLPRI = 0x2,
        POLLOUT = 0x4,
        POLLERR = 0x8,
        POLLHUP = 0x10,
        POLLNVAL = 0x20,
        POLLRDNORM = 0x40,
        POLLRDBAND = 0x80,
        POLLWRNORM = 0x100,
        POLLWRBAND = 0x200,
        POLLMSG = 0x400,
        POLLREMOVE = 0x1000,
        POLLRDHUP = 0x2000,
    }
}

abi! {
    /// `struct pollfd`.
    pub struct Pollfd = "struct pollfd" {
        fd: i32,
        events: i16,
        revents: i16,
    }
}

bitflags::bitflags! {
    /// Readiness of a file: the `POLL*` bits, which `EPOLL*` share.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PollEvents: u32 {
        /// Something to read, or end of file.
        const IN = POLLIN;
        /// Urgent data.
        const PRI = POLLPRI;
        /// Room to write.
        const OUT = POLLOUT;
        /// Error; always reported.
        const ERR = POLLERR;
        /// Hung up; always reported.
        const HUP = POLLHUP;
        /// Not an open descriptor; always reported.
        const NVAL = POLLNVAL;
        /// Same as `IN`.
        const RDNORM = POLLRDNORM;
        /// Priority data.
        const RDBAND = POLLRDBAND;
        /// Same as `OUT`.
        const WRNORM = POLLWRNORM;
        /// Room for priority data.
        const WRBAND = POLLWRBAND;
        /// A message (unused by Linux).
        const MSG = POLLMSG;
        /// Peer closed its sending side.
        const RDHUP = POLLRDHUP;
    }
}

impl PollEvents {
    /// What is reported even if nobody asked for it.
    pub const ALWAYS: PollEvents = PollEvents::ERR
        .union(PollEvents::HUP)
        .union(PollEvents::NVAL);
    /// What `select`(2) calls readable.
    pub const SELECT_READ: PollEvents = PollEvents::IN
        .union(PollEvents::RDNORM)
        .union(PollEvents::RDBAND)
        .union(PollEvents::HUP)
        .union(PollEvents::ERR);
    /// What `select`(2) calls writable.
    pub const SELECT_WRITE: PollEvents = PollEvents::OUT
        .union(PollEvents::WRNORM)
        .union(PollEvents::WRBAND)
        .union(PollEvents::ERR);
    /// What `select`(2) calls exceptional.
    pub const SELECT_EXCEPT: PollEvents = PollEvents::PRI;
    /// Readable, both spellings.
    pub const READ: PollEvents = PollEvents::IN.union(PollEvents::RDNORM);
    /// Writable, both spellings.
    pub const WRITE: PollEvents = PollEvents::OUT.union(PollEvents::WRNORM);
}
