//! Controls of terminals: ioctl_tty(2).

use super::{
    State, Tty,
    file::SlaveFile,
    host::{PeerFlags, open_peer},
};
use crate::kernel::Kernel;
use std::sync::Arc;
use tuxlet_mem::AddressSpace;
use tuxlet_tty::{FlowAction, Queue};
use tuxlet_uapi::{
    errno::{Errno, Result},
    ioctl::*,
    signal::Signal,
    termios::*,
};
use tuxlet_vfs::{Cx, cx::cap};

/// `TIOCGPTPEER` flags and other integers are the argument itself; this is where the rest lies.
fn put<T: zerocopy::IntoBytes + zerocopy::Immutable>(
    mm: &AddressSpace,
    arg: u64,
    value: T,
) -> Result<i64> {
    mm.write(arg, &value).map(|()| 0)
}

/// A process id as the caller sees it.
fn shown(tty: &Tty, cx: &Cx, id: u32) -> Result<i32> {
    Ok(kernel(tty)?.pid_ns_of(cx).shown(id).cast_signed())
}

/// Controls of the slave.
pub(super) fn slave(
    file: &SlaveFile,
    cx: &Cx,
    request: u32,
    arg: u64,
    mm: &AddressSpace,
) -> Result<i64> {
    let tty = file.tty();
    if tty.hung_up() {
        return Err(if request == TIOCSPGRP {
            Errno::ENOTTY
        } else {
            Errno::EIO
        });
    }
    match request {
        FIONREAD => {
            let len = tty.state.lock().pty.ldisc().input_len();
            put(mm, arg, len as i32)
        }
        TCFLSH => {
            let queue = Queue::from_arg(arg).ok_or(Errno::EINVAL)?;
            tty.check_job_control(cx, Signal::SIGTTOU)?;
            tty.change(|s| {
                s.pty.flush(queue);
                Ok(0)
            })
        }
        TCXONC => {
            tty.check_job_control(cx, Signal::SIGTTOU)?;
            let action = FlowAction::from_arg(arg).ok_or(Errno::EINVAL)?;
            tty.change(|s| {
                s.pty.flow(action);
                Ok(0)
            })
        }
        TIOCSCTTY => {
            let kernel = kernel(tty)?;
            tty.set_controlling(&kernel, cx, arg == 1, file.readable())
                .map(|()| 0)
        }
        TIOCNOTTY => tty.give_up(&*kernel(tty)?, cx).map(|()| 0),
        _ => both(tty, cx, request, arg, mm, false),
    }
}

/// Controls of the master; most concern the terminal, that is its slave.
pub(super) fn master(
    tty: &Arc<Tty>,
    cx: &Cx,
    request: u32,
    arg: u64,
    mm: &AddressSpace,
) -> Result<i64> {
    match request {
        FIONREAD => {
            let len = tty.state.lock().pty.output_len();
            put(mm, arg, len as i32)
        }
        TCFLSH => {
            // What is input to the master is output of the slave.
            let queue = match Queue::from_arg(arg).ok_or(Errno::EINVAL)? {
                Queue::Input => Queue::Output,
                Queue::Output => Queue::Input,
                Queue::Both => Queue::Both,
            };
            tty.change(|s| {
                s.pty.flush(queue);
                Ok(0)
            })
        }
        TIOCGPTN => put(mm, arg, tty.number),
        TIOCSPTLCK => {
            let lock = mm.read::<i32>(arg)? != 0;
            tty.state.lock().locked = lock;
            Ok(0)
        }
        TIOCGPTLCK => {
            let locked = tty.state.lock().locked;
            put(mm, arg, i32::from(locked))
        }
        TIOCGPTPEER => {
            let flags = PeerFlags::from_arg(arg)?;
            open_peer(&*kernel(tty)?, tty, cx, flags)
        }
        TIOCPKT => {
            let on = mm.read::<i32>(arg)? != 0;
            tty.change(|s| {
                s.pty.set_packet(on);
                Ok(0)
            })
        }
        TIOCGPKT => {
            let on = tty.state.lock().pty.packet();
            put(mm, arg, i32::from(on))
        }
        TIOCSIG => {
            let number = i32::try_from(arg).map_err(|_| Errno::EINVAL)?;
            let signal = Signal::new(number).map_err(|_| Errno::EINVAL)?;
            if !matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTSTP) {
                return Err(Errno::EINVAL);
            }
            tty.signal_foreground(signal);
            Ok(0)
        }
        TIOCSCTTY => {
            let kernel = kernel(tty)?;
            tty.set_controlling(&kernel, cx, arg == 1, true).map(|()| 0)
        }
        _ => both(tty, cx, request, arg, mm, true),
    }
}

fn kernel(tty: &Tty) -> Result<Arc<Kernel>> {
    tty.kernel.upgrade().ok_or(Errno::EIO)
}

/// Requests that mean the same at both ends.
fn both(
    tty: &Arc<Tty>,
    cx: &Cx,
    request: u32,
    arg: u64,
    mm: &AddressSpace,
    master: bool,
) -> Result<i64> {
    match request {
        TCGETS => {
            let termios = *tty.state.lock().pty.ldisc().termios();
            put(mm, arg, termios)
        }
        TCGETS2 => {
            let shown = termios2(&tty.state.lock());
            put(mm, arg, shown)
        }
        TCGETA => {
            let shown = termio(tty.state.lock().pty.ldisc().termios());
            put(mm, arg, shown)
        }
        TCSETS | TCSETSW | TCSETSF => {
            check(tty, cx, master)?;
            let new: Termios = mm.read(arg)?;
            set(tty, new, None, request == TCSETSF)
        }
        TCSETS2 | TCSETSW2 | TCSETSF2 => {
            check(tty, cx, master)?;
            let new: Termios2 = mm.read(arg)?;
            let termios = Termios {
                c_iflag: new.c_iflag,
                c_oflag: new.c_oflag,
                c_cflag: new.c_cflag,
                c_lflag: new.c_lflag,
                c_line: new.c_line,
                c_cc: new.c_cc,
            };
            let speeds = (new.c_ispeed, new.c_ospeed);
            set(tty, termios, Some(speeds), request == TCSETSF2)
        }
        TCSETA | TCSETAW | TCSETAF => {
            check(tty, cx, master)?;
            let new: Termio = mm.read(arg)?;
            let merged = merge_termio(*tty.state.lock().pty.ldisc().termios(), &new);
            set(tty, merged, None, request == TCSETAF)
        }
        TIOCGLCKTRMIOS => {
            let mask = tty.state.lock().unchangeable;
            put(mm, arg, mask)
        }
        TIOCSLCKTRMIOS => {
            if !cx.cred.has_cap(cap::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            tty.state.lock().unchangeable = mm.read(arg)?;
            Ok(0)
        }
        TIOCGWINSZ => {
            let size = tty.state.lock().pty.ldisc().winsize();
            put(mm, arg, size)
        }
        TIOCSWINSZ => {
            let size: Winsize = mm.read(arg)?;
            tty.resize(size);
            Ok(0)
        }
        TIOCGPGRP => put(
            mm,
            arg,
            shown(tty, cx, tty.foreground(&*kernel(tty)?, cx, master)?)?,
        ),
        TIOCSPGRP => tty
            .set_foreground(&*kernel(tty)?, cx, || {
                let pgid = u32::try_from(mm.read::<i32>(arg)?).map_err(|_| Errno::EINVAL)?;
                let ns = kernel(tty)?.pid_ns_of(cx);
                ns.global(pgid).ok_or(Errno::ESRCH)
            })
            .map(|()| 0),
        TIOCGSID => put(
            mm,
            arg,
            shown(tty, cx, tty.session(&*kernel(tty)?, cx, master)?)?,
        ),
        // The other end has everything at once.
        TCSBRK | TCSBRKP | TIOCSBRK | TIOCCBRK => check(tty, cx, master).map(|()| 0),
        TIOCOUTQ => put(mm, arg, 0_i32),
        TIOCSTI => {
            let kernel = kernel(tty)?;
            if !tty.controls(&kernel, cx) && !cx.cred.has_cap(cap::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            let byte: u8 = mm.read(arg)?;
            tty.change(|s| {
                s.pty.simulate_input(byte);
                Ok(0)
            })
        }
        TIOCEXCL | TIOCNXCL => {
            tty.state.lock().exclusive = request == TIOCEXCL;
            Ok(0)
        }
        TIOCGEXCL => {
            let exclusive = tty.state.lock().exclusive;
            put(mm, arg, i32::from(exclusive))
        }
        TIOCGETD => put(mm, arg, N_TTY),
        TIOCSETD => {
            check(tty, cx, master)?;
            if mm.read::<i32>(arg)? == N_TTY {
                Ok(0)
            } else {
                Err(Errno::EINVAL)
            }
        }
        TIOCGDEV => put(mm, arg, tty.device().encode() as u32),
        TIOCGSOFTCAR => {
            let local = tty.state.lock().pty.ldisc().termios().c_cflag & CLOCAL != 0;
            put(mm, arg, i32::from(local))
        }
        _ => Err(Errno::ENOTTY),
    }
}

/// Background processes must not change the terminal; those with the master may.
fn check(tty: &Arc<Tty>, cx: &Cx, master: bool) -> Result<()> {
    if master {
        Ok(())
    } else {
        tty.check_job_control(cx, Signal::SIGTTOU)
    }
}

fn set(tty: &Arc<Tty>, new: Termios, speeds: Option<(u32, u32)>, flush: bool) -> Result<i64> {
    tty.change(|s| {
        if let Some(speeds) = speeds.filter(|_| new.c_cflag & CBAUD == BOTHER) {
            s.speeds = speeds;
        }
        let old = *s.pty.ldisc().termios();
        s.pty
            .set_termios(keep_locked(new, &old, &s.unchangeable), flush);
        Ok(0)
    })
}

/// New settings, with the old ones where `mask` says so.
fn keep_locked(mut new: Termios, old: &Termios, mask: &Termios) -> Termios {
    let merge = |new: u32, old: u32, mask: u32| new & !mask | old & mask;
    new.c_iflag = merge(new.c_iflag, old.c_iflag, mask.c_iflag);
    new.c_oflag = merge(new.c_oflag, old.c_oflag, mask.c_oflag);
    new.c_cflag = merge(new.c_cflag, old.c_cflag, mask.c_cflag);
    new.c_lflag = merge(new.c_lflag, old.c_lflag, mask.c_lflag);
    if mask.c_line != 0 {
        new.c_line = old.c_line;
    }
    for (i, locked) in mask.c_cc.iter().enumerate() {
        if *locked != 0 {
            new.c_cc[i] = old.c_cc[i];
        }
    }
    new
}

impl Tty {
    /// Sets the window size; the foreground group learns of a change.
    pub(super) fn resize(self: &Arc<Self>, size: Winsize) {
        let changed = self.state.lock().pty.set_winsize(size);
        if changed {
            self.signal_foreground(Signal::SIGWINCH);
        }
    }
}

/// Speeds by their `B*` code: termios(3).
const SPEEDS: &[(u32, u32)] = &[
    (B0, 0),
    (B50, 50),
    (B75, 75),
    (B110, 110),
    (B134, 134),
    (B150, 150),
    (B200, 200),
    (B300, 300),
    (B600, 600),
    (B1200, 1200),
    (B1800, 1800),
    (B2400, 2400),
    (B4800, 4800),
    (B9600, 9600),
    (B19200, 19200),
    (B38400, 38400),
    (B57600, 57600),
    (B115200, 115_200),
    (B230400, 230_400),
    (B460800, 460_800),
    (B500000, 500_000),
    (B576000, 576_000),
    (B921600, 921_600),
    (B1000000, 1_000_000),
    (B1152000, 1_152_000),
    (B1500000, 1_500_000),
    (B2000000, 2_000_000),
    (B2500000, 2_500_000),
    (B3000000, 3_000_000),
    (B3500000, 3_500_000),
    (B4000000, 4_000_000),
];

fn termios2(state: &State) -> Termios2 {
    let t = state.pty.ldisc().termios();
    let code = t.c_cflag & CBAUD;
    let known = SPEEDS.iter().find(|(c, _)| *c == code);
    let (c_ispeed, c_ospeed) = known.map_or(state.speeds, |(_, speed)| (*speed, *speed));
    Termios2 {
        c_iflag: t.c_iflag,
        c_oflag: t.c_oflag,
        c_cflag: t.c_cflag,
        c_lflag: t.c_lflag,
        c_line: t.c_line,
        c_cc: t.c_cc,
        c_ispeed,
        c_ospeed,
    }
}

fn termio(t: &Termios) -> Termio {
    let mut old = Termio {
        c_iflag: t.c_iflag as u16,
        c_oflag: t.c_oflag as u16,
        c_cflag: t.c_cflag as u16,
        c_lflag: t.c_lflag as u16,
        c_line: t.c_line,
        ..Termio::default()
    };
    old.c_cc.copy_from_slice(&t.c_cc[..8]);
    old
}

/// The old form has only the lower halves of the modes.
fn merge_termio(mut t: Termios, old: &Termio) -> Termios {
    let low = |whole: u32, part: u16| whole & 0xffff_0000 | u32::from(part);
    t.c_iflag = low(t.c_iflag, old.c_iflag);
    t.c_oflag = low(t.c_oflag, old.c_oflag);
    t.c_cflag = low(t.c_cflag, old.c_cflag);
    t.c_lflag = low(t.c_lflag, old.c_lflag);
    t.c_line = old.c_line;
    t.c_cc[..8].copy_from_slice(&old.c_cc);
    t
}
