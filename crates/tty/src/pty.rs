//! A pseudo-terminal: a line discipline between a master's and a slave's queues.

use std::collections::VecDeque;

use tuxlet_uapi::{
    errno::{EAGAIN, EIO, Result},
    ioctl::{TIOCPKT_DOSTOP, TIOCPKT_FLUSHWRITE, TIOCPKT_IOCTL, TIOCPKT_NOSTOP},
    poll::PollEvents,
    termios::*,
};

use crate::{FlowAction, Ldisc, Output, Queue, ReadOutcome};

/// Bytes each direction buffers beside a line discipline's queue.
const WIRE_LIMIT: usize = 8192;
/// Bytes of output that stand ready for the master and survive a flush.
const MASTER_READY: usize = 4096;

/// What one read of the master gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterRead {
    /// This many bytes of output (in packet mode behind a `TIOCPKT_DATA` byte, counted too).
    Data(usize),
    /// One status byte of packet mode.
    Status(u8),
}

/// Both ends of a pseudo-terminal. Signals and wake-ups are the caller's: after each call
/// that changes something, poll both ends and deliver [`take_signals`](Pty::take_signals).
#[derive(Debug)]
pub struct Pty {
    ldisc: Ldisc,
    /// From the slave to the master.
    output: VecDeque<u8>,
    /// From the master, not yet taken by the line discipline.
    pending: VecDeque<u8>,
    events: Output,
    packet: bool,
    packet_status: u8,
    slave_opens: usize,
    slave_closed: bool,
    master_closed: bool,
}

impl Default for Pty {
    fn default() -> Self {
        Pty::new()
    }
}

impl Pty {
    /// A new pair: the master open, the slave not.
    #[must_use]
    pub fn new() -> Pty {
        let mut ldisc = Ldisc::new();
        let termios = Termios {
            c_cflag: B38400 | CS8 | CREAD,
            ..Termios::cooked()
        };
        ldisc.set_termios(termios, &mut Output::default());
        Pty {
            ldisc,
            output: VecDeque::new(),
            pending: VecDeque::new(),
            events: Output::default(),
            packet: false,
            packet_status: 0,
            slave_opens: 0,
            slave_closed: false,
            master_closed: false,
        }
    }

    /// The line discipline, for queries.
    #[must_use]
    pub fn ldisc(&self) -> &Ldisc {
        &self.ldisc
    }

    /// Signals for the foreground process group since the last call.
    #[must_use]
    pub fn take_signals(&mut self) -> Vec<tuxlet_uapi::Signal> {
        core::mem::take(&mut self.events.signals)
    }

    /// Moves what the line discipline produced to where it belongs.
    fn settle(&mut self) {
        let echo = core::mem::take(&mut self.events.echo);
        if core::mem::take(&mut self.events.flush_output) {
            self.discard_output();
        }
        self.output.extend(echo);
        self.set_packet_status(self.events.packet);
        self.events.packet = 0;
    }

    fn set_packet_status(&mut self, set: u8) {
        if self.packet {
            // START and STOP, DOSTOP and NOSTOP replace each other.
            let opposite = ((set & 0x14) << 1) | ((set & 0x28) >> 1);
            self.packet_status = self.packet_status & !opposite | set;
        }
    }

    fn discard_output(&mut self) {
        self.output.truncate(MASTER_READY);
        self.set_packet_status(TIOCPKT_FLUSHWRITE);
    }

    /// Gives the line discipline what it can take.
    fn feed(&mut self) {
        while !self.pending.is_empty() {
            let (first, _) = self.pending.as_slices();
            let n = self.ldisc.receive(first, &mut self.events);
            let all = n == first.len();
            self.pending.drain(..n);
            self.settle();
            if !all {
                break;
            }
        }
    }

    /// Input from the master; returns how many bytes were taken.
    ///
    /// Errors: `EAGAIN` if the queue is full.
    pub fn master_write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut taken = 0;
        if self.pending.is_empty() {
            taken = self.ldisc.receive(bytes, &mut self.events);
            self.settle();
        }
        let rest = &bytes[taken..];
        let n = rest.len().min(WIRE_LIMIT - self.pending.len());
        self.pending.extend(&rest[..n]);
        taken += n;
        if taken == 0 && !bytes.is_empty() {
            Err(EAGAIN)
        } else {
            Ok(taken)
        }
    }

    /// Output for the master.
    ///
    /// Errors: `EAGAIN` if there is none, `EIO` if there is none and the slave was closed.
    pub fn master_read(&mut self, buf: &mut [u8]) -> Result<MasterRead> {
        let Some(first) = buf.first_mut() else {
            return Ok(MasterRead::Data(0));
        };
        if self.packet && self.packet_status != 0 {
            *first = core::mem::take(&mut self.packet_status);
            return Ok(MasterRead::Status(*first));
        }
        if self.output.is_empty() {
            return Err(if self.slave_closed { EIO } else { EAGAIN });
        }
        let head = usize::from(self.packet);
        if self.packet {
            *first = 0;
        }
        let n = (buf.len() - head).min(self.output.len());
        for (to, from) in buf[head..].iter_mut().zip(self.output.drain(..n)) {
            *to = from;
        }
        Ok(MasterRead::Data(head + n))
    }

    /// Output of a program on the slave; returns how many bytes were taken.
    ///
    /// Errors: `EAGAIN` if output is stopped or the queue full, `EIO` if the master is closed.
    pub fn slave_write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.master_closed {
            return Err(EIO);
        }
        let mut out = Vec::new();
        let n = self.ldisc.write(bytes, self.output_room(), &mut out);
        self.output.extend(out);
        if n == 0 && !bytes.is_empty() {
            Err(EAGAIN)
        } else {
            Ok(n)
        }
    }

    /// Input for a program on the slave: [`Ldisc::read`], and end of file once the master
    /// is closed.
    pub fn slave_read(&mut self, buf: &mut [u8]) -> ReadOutcome {
        if self.master_closed {
            return ReadOutcome::Eof;
        }
        let outcome = self.ldisc.read(buf);
        self.feed();
        outcome
    }

    fn output_room(&self) -> usize {
        (MASTER_READY + WIRE_LIMIT).saturating_sub(self.output.len())
    }

    /// Readiness of the master's end.
    #[must_use]
    pub fn master_poll(&self) -> PollEvents {
        let mut events = PollEvents::empty();
        if !self.output.is_empty() {
            events |= PollEvents::READ;
        }
        if self.packet && self.packet_status != 0 {
            events |= PollEvents::READ | PollEvents::PRI;
        }
        if self.pending.len() < WIRE_LIMIT {
            events |= PollEvents::WRITE;
        }
        if self.slave_closed {
            events |= PollEvents::HUP;
        }
        events
    }

    /// Readiness of the slave's end.
    #[must_use]
    pub fn slave_poll(&self) -> PollEvents {
        if self.master_closed {
            return PollEvents::READ | PollEvents::WRITE | PollEvents::ERR | PollEvents::HUP;
        }
        let mut events = PollEvents::empty();
        if self.ldisc.readable() {
            events |= PollEvents::READ;
        }
        if !self.ldisc.stopped() && self.output_room() > 0 {
            events |= PollEvents::WRITE;
        }
        events
    }

    /// Bytes that the master can read now (`FIONREAD` on the master).
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Changes the attributes (`TCSETS`, and `TCSETSF` with `flush`); a pseudo-terminal
    /// always has 8 bits, no parity and a receiver.
    pub fn set_termios(&mut self, new: Termios, flush: bool) {
        if flush {
            self.flush(Queue::Input);
        }
        let mut new = new;
        new.c_cflag = new.c_cflag & !(CSIZE | PARENB) | CS8 | CREAD;
        let old = *self.ldisc.termios();
        self.ldisc.set_termios(new, &mut self.events);
        self.settle();
        let flow =
            |t: &Termios| t.c_iflag & IXON != 0 && t.c_cc[VSTOP] == 0x13 && t.c_cc[VSTART] == 0x11;
        if flow(&old) != flow(&new) {
            self.set_packet_status(if flow(&new) {
                TIOCPKT_DOSTOP
            } else {
                TIOCPKT_NOSTOP
            });
        }
        if (old.c_lflag ^ new.c_lflag) & EXTPROC != 0 {
            self.set_packet_status(TIOCPKT_IOCTL);
        }
        self.feed();
    }

    /// Sets the window size; true if it changed (`SIGWINCH` for the foreground group).
    pub fn set_winsize(&mut self, size: Winsize) -> bool {
        self.ldisc.set_winsize(size)
    }

    /// `TCFLSH` on the slave.
    pub fn flush(&mut self, queue: Queue) {
        if matches!(queue, Queue::Input | Queue::Both) {
            self.ldisc.flush_input(&mut self.events);
            self.settle();
            self.feed();
        }
        if matches!(queue, Queue::Output | Queue::Both) {
            self.discard_output();
        }
    }

    /// `TCXONC` on the slave.
    pub fn flow(&mut self, action: FlowAction) {
        self.ldisc.flow(action, &mut self.events);
        self.settle();
    }

    /// `TIOCSTI`: `byte` as if typed.
    pub fn simulate_input(&mut self, byte: u8) {
        self.ldisc.receive(&[byte], &mut self.events);
        self.settle();
    }

    /// `TIOCPKT` on the master: packet mode on or off.
    pub fn set_packet(&mut self, on: bool) {
        if on && !self.packet {
            self.packet_status = 0;
        }
        self.packet = on;
    }

    /// Whether packet mode is on (`TIOCGPKT`).
    #[must_use]
    pub fn packet(&self) -> bool {
        self.packet
    }

    /// A program opened the slave.
    pub fn slave_opened(&mut self) {
        self.slave_opens += 1;
        self.slave_closed = false;
    }

    /// An open description of the slave went away.
    pub fn slave_released(&mut self) {
        self.slave_opens = self.slave_opens.saturating_sub(1);
        self.slave_closed = self.slave_opens == 0;
    }

    /// The master went away: the slave is hung up (the session leader gets `SIGHUP`).
    pub fn master_released(&mut self) {
        self.master_closed = true;
        self.output.clear();
        self.pending.clear();
    }

    /// Whether the master went away.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        self.master_closed
    }
}

#[cfg(test)]
mod tests {
    use tuxlet_uapi::{
        ioctl::{TIOCPKT_FLUSHREAD, TIOCPKT_START, TIOCPKT_STOP},
        signal::SIGINT,
    };

    use super::*;

    #[test]
    fn packet_mode_reports_changes_before_data() {
        let mut pty = Pty::new();
        let mut buf = [0; 64];
        pty.set_packet(true);
        pty.slave_opened();
        assert_eq!(pty.slave_write(b"hi"), Ok(2));
        assert_eq!(pty.master_read(&mut buf), Ok(MasterRead::Data(3)));
        assert_eq!(buf[..3], *b"\0hi");
        assert_eq!(pty.master_write(b"\x13"), Ok(1));
        assert!(pty.master_poll().contains(PollEvents::PRI));
        assert_eq!(
            pty.master_read(&mut buf),
            Ok(MasterRead::Status(TIOCPKT_STOP))
        );
        assert_eq!(pty.slave_write(b"x"), Err(EAGAIN));
        assert_eq!(pty.master_write(b"\x11\x03"), Ok(2));
        let status = TIOCPKT_START | TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE;
        assert_eq!(pty.master_read(&mut buf), Ok(MasterRead::Status(status)));
        assert_eq!(pty.take_signals(), [SIGINT]);
        let raw = Termios {
            c_iflag: 0,
            ..*pty.ldisc().termios()
        };
        pty.set_termios(raw, false);
        assert_eq!(
            pty.master_read(&mut buf),
            Ok(MasterRead::Status(TIOCPKT_NOSTOP))
        );
    }

    #[test]
    fn closed_ends_are_seen_by_the_other() {
        let mut pty = Pty::new();
        let mut buf = [0; 64];
        assert_eq!(pty.master_read(&mut buf), Err(EAGAIN));
        pty.slave_opened();
        assert_eq!(pty.slave_write(b"bye"), Ok(3));
        pty.slave_released();
        assert_eq!(pty.master_read(&mut buf), Ok(MasterRead::Data(3)));
        assert_eq!(pty.master_read(&mut buf), Err(EIO));
        assert!(pty.master_poll().contains(PollEvents::HUP));
        pty.slave_opened();
        assert_eq!(pty.master_read(&mut buf), Err(EAGAIN));
        pty.master_released();
        assert_eq!(pty.slave_read(&mut buf), ReadOutcome::Eof);
        assert_eq!(pty.slave_write(b"x"), Err(EIO));
        assert!(pty.slave_poll().contains(PollEvents::HUP));
    }

    #[test]
    fn full_queues_push_back() {
        let mut pty = Pty::new();
        pty.slave_opened();
        let big = vec![b'x'; 100_000];
        let taken = pty.slave_write(&big);
        assert_eq!(taken, Ok(MASTER_READY + WIRE_LIMIT));
        assert_eq!(pty.slave_write(&big), Err(EAGAIN));
        assert!(!pty.slave_poll().contains(PollEvents::OUT));
        let raw = Termios {
            c_iflag: 0,
            c_lflag: 0,
            ..*pty.ldisc().termios()
        };
        pty.set_termios(raw, false);
        assert_eq!(pty.master_write(&big), Ok(4095 + WIRE_LIMIT));
        assert_eq!(pty.master_write(&big), Err(EAGAIN));
        let mut got = 0;
        let mut buf = [0; 1000];
        while let ReadOutcome::Data(n) = pty.slave_read(&mut buf) {
            got += n;
        }
        assert_eq!(got, 4095 + WIRE_LIMIT);
    }

    #[test]
    fn vmin_and_vtime_decide_how_to_wait() {
        let mut pty = Pty::new();
        let mut t = Termios {
            c_lflag: 0,
            ..*pty.ldisc().termios()
        };
        (t.c_cc[VMIN], t.c_cc[VTIME]) = (3, 0);
        pty.set_termios(t, false);
        assert_eq!(pty.master_write(b"ab"), Ok(2));
        assert!(!pty.ldisc().readable() && pty.ldisc().has_input());
        assert!(pty.ldisc().read_ready(2) && !pty.ldisc().read_ready(5));
        t.c_cc[VTIME] = 1;
        pty.set_termios(t, false);
        assert!(pty.ldisc().readable());
    }
}
