//! Our pseudo-terminal against the host's: the same scripts, the same transcripts.

#![cfg(target_os = "linux")]

use std::{fmt::Write as _, os::fd::OwnedFd, time::Duration};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno as HostErrno,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{
        self as host, ControlModes, InputModes, LocalModes, OptionalActions, OutputModes,
        SpecialCodeIndex,
    },
};
use tuxlet_tty::{FlowAction, MasterRead, Pty, Queue, ReadOutcome};
use tuxlet_uapi::termios::*;

/// One step of a script.
#[derive(Clone, Debug)]
enum Step {
    /// The master writes (the user types).
    Type(Vec<u8>),
    /// A program writes to the slave.
    Print(Vec<u8>),
    /// A program reads up to so many bytes from the slave.
    Read(usize),
    /// The master reads all there is.
    Show,
    /// `TCSETS` with (iflag, oflag, lflag) and changed control characters.
    Set(u32, u32, u32, Vec<(usize, u8)>),
    /// `TCFLSH`.
    Flush(u64),
    /// `TCXONC`.
    Flow(u64),
    /// `FIONREAD` on the slave.
    Count,
}

/// What both terminals can do.
trait Terminal {
    fn type_bytes(&mut self, bytes: &[u8]) -> String;
    fn print(&mut self, bytes: &[u8]) -> String;
    fn read(&mut self, len: usize) -> String;
    fn show(&mut self) -> Vec<u8>;
    fn set(&mut self, modes: (u32, u32, u32), cc: &[(usize, u8)]);
    fn flush(&mut self, arg: u64);
    fn flow(&mut self, arg: u64);
    fn count(&mut self) -> usize;
}

struct Ours(Pty);

impl Terminal for Ours {
    fn type_bytes(&mut self, bytes: &[u8]) -> String {
        format!("{:?}", self.0.master_write(bytes).ok())
    }
    fn print(&mut self, bytes: &[u8]) -> String {
        format!("{:?}", self.0.slave_write(bytes).ok())
    }
    fn read(&mut self, len: usize) -> String {
        let mut buf = vec![0; len];
        match self.0.slave_read(&mut buf) {
            ReadOutcome::Data(n) => format!("{:?}", buf[..n].escape_ascii().to_string()),
            ReadOutcome::Eof => "\"\"".into(),
            // With VMIN = VTIME = 0 a read returns 0 bytes at once.
            ReadOutcome::Empty
                if self.0.ldisc().read_policy()
                    == tuxlet_tty::ReadPolicy::Timeout(Duration::ZERO) =>
            {
                "\"\"".into()
            }
            ReadOutcome::Empty => "EAGAIN".into(),
        }
    }
    fn show(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        let mut buf = [0; 65536];
        while let Ok(MasterRead::Data(n)) = self.0.master_read(&mut buf) {
            shown.extend_from_slice(&buf[..n]);
        }
        shown
    }
    fn set(&mut self, (iflag, oflag, lflag): (u32, u32, u32), cc: &[(usize, u8)]) {
        let mut t = *self.0.ldisc().termios();
        (t.c_iflag, t.c_oflag, t.c_lflag) = (iflag, oflag, lflag);
        for &(index, byte) in cc {
            t.c_cc[index] = byte;
        }
        self.0.set_termios(t, false);
    }
    fn flush(&mut self, arg: u64) {
        self.0.flush(Queue::from_arg(arg).unwrap());
    }
    fn flow(&mut self, arg: u64) {
        self.0.flow(FlowAction::from_arg(arg).unwrap());
    }
    fn count(&mut self) -> usize {
        self.0.ldisc().input_len()
    }
}

struct Host {
    master: OwnedFd,
    slave: OwnedFd,
    settle: Duration,
}

impl Host {
    fn open(settle: Duration) -> Result<Host, HostErrno> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
        let slave = rustix::fs::open(name, flags, Mode::empty())?;
        rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        Ok(Host {
            master,
            slave,
            settle,
        })
    }

    /// The kernel moves bytes between the ends in a work queue.
    fn settle(&self) {
        std::thread::sleep(self.settle);
    }
}

impl Terminal for Host {
    fn type_bytes(&mut self, bytes: &[u8]) -> String {
        let n = rustix::io::write(&self.master, bytes).ok();
        self.settle();
        format!("{n:?}")
    }
    fn print(&mut self, bytes: &[u8]) -> String {
        let n = rustix::io::write(&self.slave, bytes).ok();
        self.settle();
        format!("{n:?}")
    }
    fn read(&mut self, len: usize) -> String {
        let mut buf = vec![0; len];
        match rustix::io::read(&self.slave, &mut buf) {
            Ok(n) => {
                // Reading may let more input in.
                self.settle();
                format!("{:?}", buf[..n].escape_ascii().to_string())
            }
            Err(HostErrno::AGAIN) => "EAGAIN".into(),
            Err(e) => format!("{e:?}"),
        }
    }
    fn show(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        let mut buf = [0; 65536];
        self.settle();
        while let Ok(n) = rustix::io::read(&self.master, &mut buf) {
            shown.extend_from_slice(&buf[..n]);
        }
        shown
    }
    fn set(&mut self, (iflag, oflag, lflag): (u32, u32, u32), cc: &[(usize, u8)]) {
        let mut t = host::tcgetattr(&self.slave).unwrap();
        t.input_modes = InputModes::from_bits_retain(iflag);
        t.output_modes = OutputModes::from_bits_retain(oflag);
        t.local_modes = LocalModes::from_bits_retain(lflag);
        t.control_modes = ControlModes::from_bits_retain(B38400 | CS8 | CREAD);
        for &(index, byte) in cc {
            t.special_codes[host_index(index)] = byte;
        }
        host::tcsetattr(&self.slave, OptionalActions::Now, &t).unwrap();
        self.settle();
    }
    fn flush(&mut self, arg: u64) {
        let queue = [
            host::QueueSelector::IFlush,
            host::QueueSelector::OFlush,
            host::QueueSelector::IOFlush,
        ][arg as usize];
        host::tcflush(&self.slave, queue).unwrap();
        self.settle();
    }
    fn flow(&mut self, arg: u64) {
        let action = [
            host::Action::OOff,
            host::Action::OOn,
            host::Action::IOff,
            host::Action::IOn,
        ][arg as usize];
        host::tcflow(&self.slave, action).unwrap();
        self.settle();
    }
    fn count(&mut self) -> usize {
        rustix::io::ioctl_fionread(&self.slave).unwrap() as usize
    }
}

fn host_index(index: usize) -> SpecialCodeIndex {
    match index {
        VINTR => SpecialCodeIndex::VINTR,
        VQUIT => SpecialCodeIndex::VQUIT,
        VERASE => SpecialCodeIndex::VERASE,
        VKILL => SpecialCodeIndex::VKILL,
        VEOF => SpecialCodeIndex::VEOF,
        VTIME => SpecialCodeIndex::VTIME,
        VMIN => SpecialCodeIndex::VMIN,
        VSTART => SpecialCodeIndex::VSTART,
        VSTOP => SpecialCodeIndex::VSTOP,
        VSUSP => SpecialCodeIndex::VSUSP,
        VEOL => SpecialCodeIndex::VEOL,
        VREPRINT => SpecialCodeIndex::VREPRINT,
        VWERASE => SpecialCodeIndex::VWERASE,
        VLNEXT => SpecialCodeIndex::VLNEXT,
        VEOL2 => SpecialCodeIndex::VEOL2,
        _ => panic!("no such control character"),
    }
}

fn run(terminal: &mut dyn Terminal, script: &[Step]) -> String {
    let mut log = String::new();
    for step in script {
        match step {
            Step::Type(bytes) => {
                let taken = terminal.type_bytes(bytes);
                writeln!(log, "type {} bytes {} -> {taken}", bytes.len(), head(bytes))
            }
            Step::Print(bytes) => {
                let taken = terminal.print(bytes);
                writeln!(log, "print {} -> {taken}", head(bytes))
            }
            Step::Read(n) => writeln!(log, "read {n} -> {}", terminal.read(*n)),
            Step::Show => writeln!(log, "show {}", terminal.show().escape_ascii()),
            Step::Set(i, o, l, cc) => {
                terminal.set((*i, *o, *l), cc);
                writeln!(log, "set {i:o} {o:o} {l:o} {cc:?}")
            }
            Step::Flush(arg) => {
                terminal.flush(*arg);
                writeln!(log, "flush {arg}")
            }
            Step::Flow(arg) => {
                terminal.flow(*arg);
                writeln!(log, "flow {arg}")
            }
            Step::Count => writeln!(log, "count {}", terminal.count()),
        }
        .unwrap();
    }
    log
}

fn head(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(60)].escape_ascii().to_string()
}

fn compare(name: &str, script: &[Step]) {
    let mut pty = Pty::new();
    pty.slave_opened();
    let ours = run(&mut Ours(pty), script);
    let mut theirs = String::new();
    // A busy host needs more time to move bytes between the ends.
    for settle_ms in [1, 10, 60] {
        let mut host = match Host::open(Duration::from_millis(settle_ms)) {
            Ok(host) => host,
            Err(e) => {
                eprintln!("SKIPPED: no host pseudo-terminal: {e}");
                return;
            }
        };
        theirs = run(&mut host, script);
        if ours == theirs {
            return;
        }
    }
    for (o, t) in ours.lines().zip(theirs.lines()) {
        if o == t {
            eprintln!("       {o}");
        } else {
            eprintln!("  ours {o}\n  host {t}");
        }
    }
    panic!("{name}: differs from the host's terminal");
}

fn typed(bytes: &[u8]) -> Step {
    Step::Type(bytes.to_vec())
}

fn printed(bytes: &[u8]) -> Step {
    Step::Print(bytes.to_vec())
}

const I: u32 = ICRNL | IXON;
const O: u32 = OPOST | ONLCR;
const L: u32 = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;

#[test]
fn line_editing() {
    use Step::{Count, Read, Show};
    compare(
        "erase",
        &[
            typed(b"ab\x7fc\x01\x7f\x7f\x7f\x7fx\n"),
            Show,
            Read(100),
            Read(100),
        ],
    );
    compare(
        "word erase",
        &[typed(b"one two_3  \x17+-\x17\x17four\n"), Show, Read(100)],
    );
    compare("kill", &[typed(b"one\ttwo\x15three\n"), Show, Read(100)]);
    compare(
        "tabs",
        &[
            printed(b"prompt> "),
            typed(b"a\tb\t\tc\x7f\x7f\x7f\x7f\x7f\n"),
            Show,
        ],
    );
    compare("reprint", &[typed(b"a\x01b\x12c\n"), Show, Read(100)]);
    compare(
        "literal next",
        &[typed(b"a\x16\x03\x16\n\x16\x16\x7f\r"), Show, Read(100)],
    );
    compare(
        "eof",
        &[
            typed(b"abc\x04"),
            Count,
            Read(3),
            Read(3),
            typed(b"\x04"),
            Read(3),
            Read(3),
        ],
    );
    compare(
        "partial",
        &[
            typed(b"hello\nworld\n"),
            Count,
            Read(2),
            Count,
            Read(9),
            Read(9),
            Read(9),
        ],
    );
    compare(
        "two eofs",
        &[
            typed(b"ab\x04\x04cd\n"),
            Read(1),
            Read(10),
            Read(10),
            Read(10),
        ],
    );
    compare(
        "utf-8",
        &[
            Step::Set(I | IUTF8, O, L, vec![]),
            typed("äö€\x7f\x7fx\n".as_bytes()),
            Show,
            Read(100),
        ],
    );
    compare(
        "echoprt",
        &[
            Step::Set(I, O, L | ECHOPRT, vec![]),
            typed(b"abc\x7f\x7fd\x15x\n"),
            Show,
            Read(100),
        ],
    );
    compare(
        "eol",
        &[
            Step::Set(I, O, L, vec![(VEOL, b';'), (VEOL2, b'!')]),
            typed(b"a;b!c\n"),
            Show,
            Read(100),
            Read(100),
            Read(100),
        ],
    );
}

#[test]
fn signals_and_flow_control() {
    use Step::{Flow, Read, Show};
    compare("interrupt", &[typed(b"abc\x03def\n"), Show, Read(100)]);
    compare(
        "no flush",
        &[
            Step::Set(I, O, L | NOFLSH, vec![]),
            typed(b"abc\x03def\x1a\x1c\n"),
            Show,
            Read(100),
        ],
    );
    compare(
        "stop and start",
        &[
            typed(b"\x13"),
            printed(b"lost?"),
            typed(b"abc"),
            Show,
            typed(b"\x11"),
            Show,
            printed(b"shown"),
            Show,
        ],
    );
    compare(
        "ixany",
        &[
            Step::Set(I | IXANY, O, L, vec![]),
            typed(b"\x13"),
            typed(b"q"),
            Show,
            printed(b"x"),
            Show,
        ],
    );
    compare(
        "tcxonc",
        &[
            Flow(0),
            printed(b"a"),
            typed(b"\x11"),
            printed(b"b"),
            Flow(1),
            printed(b"c"),
            Show,
        ],
    );
    compare("send start and stop", &[Flow(2), Flow(3), Show]);
    compare(
        "ixon off resumes",
        &[
            typed(b"\x13abc"),
            Show,
            Step::Set(ICRNL, O, L, vec![]),
            Show,
            printed(b"x"),
            Show,
        ],
    );
}

#[test]
fn modes_change_with_input_waiting() {
    use Step::{Count, Flush, Read, Show};
    compare(
        "to raw",
        &[
            typed(b"line\nrest\x04"),
            Step::Set(0, 0, 0, vec![(VMIN, 1)]),
            Count,
            Read(3),
            Read(100),
            Read(10),
        ],
    );
    compare(
        "to canonical",
        &[
            Step::Set(0, 0, 0, vec![(VMIN, 1)]),
            typed(b"typed ahead"),
            Step::Set(I, O, L, vec![(VEOF, 4)]),
            Count,
            Read(5),
            Read(100),
            typed(b"next\n"),
            Read(100),
        ],
    );
    compare(
        "flush",
        &[
            typed(b"abc\ndef"),
            Flush(0),
            Count,
            typed(b"x\n"),
            Read(10),
            Show,
        ],
    );
    compare(
        "empty raw read",
        &[
            Step::Set(0, 0, 0, vec![(VMIN, 0), (VTIME, 0)]),
            Read(1),
            typed(b"a"),
            Read(1),
        ],
    );
    compare(
        "echo newline only",
        &[
            Step::Set(I, O, (L & !ECHO) | ECHONL, vec![]),
            typed(b"abc\n"),
            Show,
        ],
    );
    compare(
        "raw echo",
        &[
            Step::Set(I, O, ECHO | ECHOCTL, vec![]),
            typed(b"a\n\r\x01\t"),
            Show,
            Read(9),
        ],
    );
    compare(
        "inlcr",
        &[
            Step::Set(INLCR, O, L, vec![]),
            typed(b"a\nb\r"),
            Show,
            Read(9),
        ],
    );
    compare(
        "igncr",
        &[
            Step::Set(IGNCR | ICRNL, O, L, vec![]),
            typed(b"a\rb\n"),
            Show,
            Read(9),
        ],
    );
    compare(
        "parmrk",
        &[
            Step::Set(PARMRK, O, L, vec![]),
            typed(b"a\xffb\n"),
            Show,
            Read(9),
        ],
    );
    compare(
        "istrip iuclc",
        &[
            Step::Set(ISTRIP | IUCLC, O, L, vec![]),
            typed(b"A\xc1B\n"),
            Show,
            Read(9),
        ],
    );
}

#[test]
fn output_processing() {
    let text = b"a\nb\r\nc\td\r\r\n\n\x08e\tf\xc3\xa4\tg\r";
    for oflag in [
        0,
        OPOST,
        OPOST | ONLCR,
        OPOST | OCRNL,
        OPOST | ONOCR,
        OPOST | ONLRET,
        OPOST | XTABS,
        OPOST | OLCUC | XTABS | ONLCR,
        OPOST | ONLCR | ONOCR | ONLRET | OCRNL | XTABS,
    ] {
        for iflag in [0, IUTF8] {
            compare(
                "output",
                &[
                    Step::Set(iflag, oflag, L, vec![]),
                    printed(text),
                    printed(b"x\ty\r"),
                    Step::Show,
                ],
            );
        }
    }
}

#[test]
fn long_lines_keep_their_end() {
    use Step::{Count, Read, Type};
    for len in [4094, 4095, 4096, 4097, 5000] {
        compare(
            "long line",
            &[
                Type(vec![b'x'; len]),
                typed(b"yz"),
                typed(b"\n"),
                Count,
                Read(8192),
                Read(1),
            ],
        );
    }
    let lines: Vec<u8> = b"0123456789abcdef\n".repeat(200);
    compare(
        "many lines",
        &[
            Step::Set(I, O, L & !ECHO, vec![]),
            Type(lines.clone()),
            Count,
            Read(100),
            Type(lines.clone()),
            Read(100),
            Count,
        ],
    );
    compare(
        "raw overflow",
        &[
            Step::Set(0, 0, 0, vec![(VMIN, 1)]),
            Type(vec![b'r'; 6000]),
            Count,
            Read(1000),
            Count,
            Read(8192),
            Count,
        ],
    );
}

/// A small generator, so that a failure is found again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }

    fn some(&mut self, flags: &[u32]) -> u32 {
        flags
            .iter()
            .filter(|_| self.below(3) == 0)
            .fold(0, |set, f| set | f)
    }
}

#[test]
fn random_scripts() {
    const ALPHABET: &[u8] =
        b"abA_1 \t\t\n\n\r\x7f\x7f\x7f\x15\x17\x17\x16\x12\x04\x03\x1a\x13\x11\x11\x01;\xc3\xa4\xff\x00\x08";
    let rounds = std::env::var("TTY_ROUNDS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(60);
    for seed in 1..=rounds {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (seed << 20));
        let mut script = Vec::new();
        for _ in 0..10 {
            let mut bytes = Vec::new();
            for _ in 0..random.below(12) + 1 {
                bytes.push(ALPHABET[random.below(ALPHABET.len())]);
            }
            script.push(match random.below(12) {
                0..=3 => Step::Type(bytes),
                4 | 5 => Step::Print(bytes),
                6 => Step::Read(random.below(10) + 1),
                7 => Step::Show,
                8 => Step::Count,
                9 => Step::Flow(random.below(2) as u64),
                _ => {
                    let i = random.some(&[
                        ICRNL, INLCR, IGNCR, ISTRIP, IXON, IXON, IXANY, IUTF8, PARMRK, IUCLC,
                    ]);
                    let o = OPOST | random.some(&[ONLCR, OCRNL, ONOCR, ONLRET, XTABS, OLCUC]);
                    let l = random.some(&[
                        ICANON, ICANON, ECHO, ECHO, ECHOE, ECHOE, ECHOK, ECHOKE, ECHOCTL, ECHONL,
                        ECHOPRT, ISIG, NOFLSH, IEXTEN, IEXTEN,
                    ]);
                    Step::Set(i, o, l, vec![(VEOL, b';'), (VMIN, 1)])
                }
            });
        }
        script.push(Step::Show);
        compare(&format!("random script {seed}"), &script);
    }
}
