//! Terminal attributes: `termios`(3) as the kernel has them, `struct winsize`.

consts! {
    /// Input modes.
    pub IFLAG: u32 {
        IGNBRK = 0o1,
        BRKINT = 0o2,
        IGNPAR = 0o4,
        PARMRK = 0o10,
        INPCK = 0o20,
        ISTRIP = 0o40,
        INLCR = 0o100,
        IGNCR = 0o200,
        ICRNL = 0o400,
        IUCLC = 0o1000,
        IXON = 0o2000,
        IXANY = 0o4000,
        IXOFF = 0o10000,
        IMAXBEL = 0o20000,
        IUTF8 = 0o40000,
    }
}

consts! {
    /// Output modes, first the single bits.
    pub OFLAG: u32 {
        OPOST = 0o1,
        OLCUC = 0o2,
        ONLCR = 0o4,
        OCRNL = 0o10,
        ONOCR = 0o20,
        ONLRET = 0o40,
        OFILL = 0o100,
        OFDEL = 0o200,
        NLDLY = 0o400,
        CRDLY = 0o3000,
        TABDLY = 0o14000,
        BSDLY = 0o20000,
        VTDLY = 0o40000,
        FFDLY = 0o100000,
    }
}

consts! {
    /// Values of the delay fields of the output modes.
    pub OFLAG_DELAYS: u32 {
        NL0 = 0o0,
        NL1 = 0o400,
        CR0 = 0o0,
        CR1 = 0o1000,
        CR2 = 0o2000,
        CR3 = 0o3000,
        TAB0 = 0o0,
        TAB1 = 0o4000,
        TAB2 = 0o10000,
        TAB3 = 0o14000,
        XTABS = 0o14000,
        BS0 = 0o0,
        BS1 = 0o20000,
        VT0 = 0o0,
        VT1 = 0o40000,
        FF0 = 0o0,
        FF1 = 0o100000,
    }
}

consts! {
    /// Control modes.
    pub CFLAG: u32 {
        CBAUD = 0o10017,
        CSIZE = 0o60,
        CSTOPB = 0o100,
        CREAD = 0o200,
        PARENB = 0o400,
        PARODD = 0o1000,
        HUPCL = 0o2000,
        CLOCAL = 0o4000,
        CBAUDEX = 0o10000,
        CIBAUD = 0o2003600000,
        CMSPAR = 0o10000000000,
        CRTSCTS = 0o20000000000,
    }
}

consts! {
    /// Values of fields of the control modes.
    pub CFLAG_VALUES: u32 {
        CS5 = 0o0,
        CS6 = 0o20,
        CS7 = 0o40,
        CS8 = 0o60,
        B0 = 0o0,
        B50 = 0o1,
        B75 = 0o2,
        B110 = 0o3,
        B134 = 0o4,
        B150 = 0o5,
        B200 = 0o6,
        B300 = 0o7,
        B600 = 0o10,
        B1200 = 0o11,
        B1800 = 0o12,
        B2400 = 0o13,
        B4800 = 0o14,
        B9600 = 0o15,
        B19200 = 0o16,
        B38400 = 0o17,
        BOTHER = 0o10000,
        B57600 = 0o10001,
        B115200 = 0o10002,
        B230400 = 0o10003,
        B460800 = 0o10004,
        B500000 = 0o10005,
        B576000 = 0o10006,
        B921600 = 0o10007,
        B1000000 = 0o10010,
        B1152000 = 0o10011,
        B1500000 = 0o10012,
        B2000000 = 0o10013,
        B2500000 = 0o10014,
        B3000000 = 0o10015,
        B3500000 = 0o10016,
        B4000000 = 0o10017,
    }
}

consts! {
    /// Local modes.
    pub LFLAG: u32 {
        ISIG = 0o1,
        ICANON = 0o2,
        XCASE = 0o4,
        ECHO = 0o10,
        ECHOE = 0o20,
        ECHOK = 0o40,
        ECHONL = 0o100,
        NOFLSH = 0o200,
        TOSTOP = 0o400,
        ECHOCTL = 0o1000,
        ECHOPRT = 0o2000,
        ECHOKE = 0o4000,
        FLUSHO = 0o10000,
        PENDIN = 0o40000,
        IEXTEN = 0o100000,
        EXTPROC = 0o200000,
    }
}

consts! {
    /// Indices of control characters in `c_cc`.
    pub CC: usize {
        VINTR = 0,
        VQUIT = 1,
        VERASE = 2,
        VKILL = 3,
        VEOF = 4,
        VTIME = 5,
        VMIN = 6,
        VSWTC = 7,
        VSTART = 8,
        VSTOP = 9,
        VSUSP = 10,
        VEOL = 11,
        VREPRINT = 12,
        VDISCARD = 13,
        VWERASE = 14,
        VLNEXT = 15,
        VEOL2 = 16,
        NCCS = 19,
    }
}

consts! {
    /// Arguments of `TCXONC`.
    pub TCXONC_ARGS: u32 {
        TCOOFF = 0,
        TCOON = 1,
        TCIOFF = 2,
        TCION = 3,
    }
}

consts! {
    /// Arguments of `TCFLSH`.
    pub TCFLSH_ARGS: u32 {
        TCIFLUSH = 0,
        TCOFLUSH = 1,
        TCIOFLUSH = 2,
    }
}

consts! {
    /// Modem lines.
    pub TIOCM: u32 {
        TIOCM_LE = 0x1,
        TIOCM_DTR = 0x2,
        TIOCM_RTS = 0x4,
        TIOCM_CTS = 0x20,
        TIOCM_CAR = 0x40,
        TIOCM_RNG = 0x80,
        TIOCM_DSR = 0x100,
    }
}

abi! {
    /// `struct termios` of the kernel (`TCGETS`), 36 bytes.
    pub struct Termios = "struct termios" {
        c_iflag: u32,
        c_oflag: u32,
        c_cflag: u32,
        c_lflag: u32,
        c_line: u8,
        c_cc: [u8; NCCS],
    }

    /// `struct termios2` (`TCGETS2`), 44 bytes: with arbitrary speeds.
    pub struct Termios2 = "struct termios2" {
        c_iflag: u32,
        c_oflag: u32,
        c_cflag: u32,
        c_lflag: u32,
        c_line: u8,
        c_cc: [u8; NCCS],
        c_ispeed: u32,
        c_ospeed: u32,
    }

    /// `struct termio` (`TCGETA`), the old System V form.
    pub struct Termio = "struct termio" {
        c_iflag: u16,
        c_oflag: u16,
        c_cflag: u16,
        c_lflag: u16,
        c_line: u8,
        c_cc: [u8; 8],
        _pad0: u8,
    }

    /// `struct winsize`.
    pub struct Winsize = "struct winsize" {
        ws_row: u16,
        ws_col: u16,
        ws_xpixel: u16,
        ws_ypixel: u16,
    }
}

impl Termios {
    /// What a new terminal has: cooked, echoing, 38400 baud, 8 bits (`tty_std_termios`).
    #[must_use]
    pub const fn cooked() -> Termios {
        let mut c_cc = [0; NCCS];
        c_cc[VINTR] = 0x03;
        c_cc[VQUIT] = 0x1c;
        c_cc[VERASE] = 0x7f;
        c_cc[VKILL] = 0x15;
        c_cc[VEOF] = 0x04;
        c_cc[VMIN] = 1;
        c_cc[VSTART] = 0x11;
        c_cc[VSTOP] = 0x13;
        c_cc[VSUSP] = 0x1a;
        c_cc[VREPRINT] = 0x12;
        c_cc[VDISCARD] = 0x0f;
        c_cc[VWERASE] = 0x17;
        c_cc[VLNEXT] = 0x16;
        Termios {
            c_iflag: ICRNL | IXON,
            c_oflag: OPOST | ONLCR,
            c_cflag: B38400 | CS8 | CREAD | HUPCL,
            c_lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            c_line: 0,
            c_cc,
        }
    }
}
