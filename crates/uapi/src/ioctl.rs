//! `ioctl`(2) request numbers.

consts! {
    /// Requests of terminals, `ioctl_tty`(2).
    pub TTY_IOCTLS: u32 {
        TCGETS = 0x5401,
        TCSETS = 0x5402,
        TCSETSW = 0x5403,
        TCSETSF = 0x5404,
        TCGETA = 0x5405,
        TCSETA = 0x5406,
        TCSETAW = 0x5407,
        TCSETAF = 0x5408,
        TCSBRK = 0x5409,
        TCXONC = 0x540a,
        TCFLSH = 0x540b,
        TIOCEXCL = 0x540c,
        TIOCNXCL = 0x540d,
        TIOCSCTTY = 0x540e,
        TIOCGPGRP = 0x540f,
        TIOCSPGRP = 0x5410,
        TIOCOUTQ = 0x5411,
        TIOCSTI = 0x5412,
        TIOCGWINSZ = 0x5413,
        TIOCSWINSZ = 0x5414,
        TIOCMGET = 0x5415,
        TIOCMBIS = 0x5416,
        TIOCMBIC = 0x5417,
        TIOCMSET = 0x5418,
        TIOCGSOFTCAR = 0x5419,
        TIOCSSOFTCAR = 0x541a,
        FIONREAD = 0x541b,
        TIOCLINUX = 0x541c,
        TIOCCONS = 0x541d,
        TIOCGSERIAL = 0x541e,
        TIOCSSERIAL = 0x541f,
        TIOCPKT = 0x5420,
        FIONBIO = 0x5421,
        TIOCNOTTY = 0x5422,
        TIOCSETD = 0x5423,
        TIOCGETD = 0x5424,
        TCSBRKP = 0x5425,
        TIOCSBRK = 0x5427,
        TIOCCBRK = 0x5428,
        TIOCGSID = 0x5429,
        TCGETS2 = 0x802c542a,
        TCSETS2 = 0x402c542b,
        TCSETSW2 = 0x402c542c,
        TCSETSF2 = 0x402c542d,
        TIOCGRS485 = 0x542e,
        TIOCSRS485 = 0x542f,
        TIOCGPTN = 0x80045430,
        TIOCSPTLCK = 0x40045431,
        TIOCGDEV = 0x80045432,
        TIOCSIG = 0x40045436,
        TIOCVHANGUP = 0x5437,
        TIOCGPKT = 0x80045438,
        TIOCGPTLCK = 0x80045439,
        TIOCGEXCL = 0x80045440,
        TIOCGPTPEER = 0x5441,
        FIONCLEX = 0x5450,
        FIOCLEX = 0x5451,
        FIOASYNC = 0x5452,
        TIOCGLCKTRMIOS = 0x5456,
        TIOCSLCKTRMIOS = 0x5457,
        TIOCMIWAIT = 0x545c,
        TIOCGICOUNT = 0x545d,
        FIOQSIZE = 0x5460,
    }
}

consts! {
    /// Requests of sockets and network devices, `netdevice`(7).
    pub SOCK_IOCTLS: u32 {
        FIOSETOWN = 0x8901,
        SIOCSPGRP = 0x8902,
        FIOGETOWN = 0x8903,
        SIOCGPGRP = 0x8904,
        SIOCATMARK = 0x8905,
        SIOCGSTAMP_OLD = 0x8906,
        SIOCGSTAMPNS_OLD = 0x8907,
        SIOCADDRT = 0x890b,
        SIOCDELRT = 0x890c,
        SIOCRTMSG = 0x890d,
        SIOCGIFNAME = 0x8910,
        SIOCSIFLINK = 0x8911,
        SIOCGIFCONF = 0x8912,
        SIOCGIFFLAGS = 0x8913,
        SIOCSIFFLAGS = 0x8914,
        SIOCGIFADDR = 0x8915,
        SIOCSIFADDR = 0x8916,
        SIOCGIFDSTADDR = 0x8917,
        SIOCSIFDSTADDR = 0x8918,
        SIOCGIFBRDADDR = 0x8919,
        SIOCSIFBRDADDR = 0x891a,
        SIOCGIFNETMASK = 0x891b,
        SIOCSIFNETMASK = 0x891c,
        SIOCGIFMETRIC = 0x891d,
        SIOCSIFMETRIC = 0x891e,
        SIOCGIFMTU = 0x8921,
        SIOCSIFMTU = 0x8922,
        SIOCSIFNAME = 0x8923,
        SIOCSIFHWADDR = 0x8924,
        SIOCGIFHWADDR = 0x8927,
        SIOCGIFINDEX = 0x8933,
        SIOCGIFCOUNT = 0x8938,
        SIOCGIFTXQLEN = 0x8942,
        SIOCSIFTXQLEN = 0x8943,
        SIOCETHTOOL = 0x8946,
        SIOCGIFMAP = 0x8970,
        SIOCDARP = 0x8953,
        SIOCGARP = 0x8954,
        SIOCSARP = 0x8955,
        SIOCOUTQNSD = 0x894b,
    }
}

consts! {
    /// Socket names of terminal requests.
    pub SOCK_IOCTL_ALIASES: u32 {
        SIOCINQ = 0x541b,
        SIOCOUTQ = 0x5411,
    }
}

consts! {
    /// Requests of files and file systems.
    pub FS_IOCTLS: u32 {
        FIBMAP = 0x1,
        FIGETBSZ = 0x2,
        FIFREEZE = 0xc0045877,
        FITHAW = 0xc0045878,
        FITRIM = 0xc0185879,
        FICLONE = 0x40049409,
        FICLONERANGE = 0x4020940d,
        FIDEDUPERANGE = 0xc0189436,
        FS_IOC_GETFLAGS = 0x80086601,
        FS_IOC_SETFLAGS = 0x40086602,
        FS_IOC_GETVERSION = 0x80087601,
        FS_IOC_SETVERSION = 0x40087602,
        FS_IOC_FIEMAP = 0xc020660b,
        FS_IOC_FSGETXATTR = 0x801c581f,
        FS_IOC_FSSETXATTR = 0x401c5820,
        FS_IOC_GETFSLABEL = 0x81009431,
        BLKROSET = 0x125d,
        BLKROGET = 0x125e,
        BLKRRPART = 0x125f,
        BLKGETSIZE = 0x1260,
        BLKFLSBUF = 0x1261,
        BLKSSZGET = 0x1268,
        BLKBSZGET = 0x80081270,
        BLKGETSIZE64 = 0x80081272,
        BLKDISCARD = 0x1277,
    }
}

consts! {
    /// Requests of the Linux console.
    pub CONSOLE_IOCTLS: u32 {
        KDGKBTYPE = 0x4b33,
        KDGETMODE = 0x4b3b,
        KDSETMODE = 0x4b3a,
        KDGKBMODE = 0x4b44,
        KDSKBMODE = 0x4b45,
        KDGETLED = 0x4b31,
        VT_OPENQRY = 0x5600,
        VT_GETMODE = 0x5601,
        VT_SETMODE = 0x5602,
        VT_GETSTATE = 0x5603,
        VT_ACTIVATE = 0x5606,
        VT_WAITACTIVE = 0x5607,
        GIO_FONT = 0x4b60,
        GIO_UNIMAP = 0x4b66,
    }
}

consts! {
    /// Requests of `/dev/random`.
    pub RANDOM_IOCTLS: u32 {
        RNDGETENTCNT = 0x80045200,
        RNDADDTOENTCNT = 0x40045201,
        RNDADDENTROPY = 0x40085203,
        RNDZAPENTCNT = 0x5204,
        RNDCLEARPOOL = 0x5206,
        RNDRESEEDCRNG = 0x5207,
    }
}

consts! {
    /// Requests of namespace files.
    pub NS_IOCTLS: u32 {
        NS_GET_USERNS = 0xb701,
        NS_GET_PARENT = 0xb702,
        NS_GET_NSTYPE = 0xb703,
        NS_GET_OWNER_UID = 0xb704,
    }
}

consts! {
    /// Status bits of packet mode.
    pub TIOCPKT_BITS: u8 {
        TIOCPKT_DATA = 0x0,
        TIOCPKT_FLUSHREAD = 0x1,
        TIOCPKT_FLUSHWRITE = 0x2,
        TIOCPKT_STOP = 0x4,
        TIOCPKT_START = 0x8,
        TIOCPKT_NOSTOP = 0x10,
        TIOCPKT_DOSTOP = 0x20,
        TIOCPKT_IOCTL = 0x40,
    }
}

consts! {
    /// Line disciplines.
    pub LDISC: i32 {
        N_TTY = 0,
    }
}

/// Builds a request number: direction (0 none, 1 write, 2 read, 3 both), type, number, size.
#[must_use]
pub const fn ioc(dir: u32, ty: u8, nr: u8, size: u32) -> u32 {
    dir << 30 | size << 16 | (ty as u32) << 8 | nr as u32
}
