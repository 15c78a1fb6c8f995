//! Terminals and job control on a pseudo-terminal.

use guest::{c, close, disposition, errno, error_name, fork, ok, read, say, show, wait_with, write};
use std::mem::zeroed;

/// Reads all that comes until `end` is in it.
fn until(fd: i32, end: &str) -> String {
    let mut all = Vec::new();
    let mut b = [0u8; 256];
    loop {
        // SAFETY: a buffer of that size.
        let n = unsafe { libc::read(fd, b.as_mut_ptr().cast(), b.len()) };
        if n <= 0 {
            all.extend_from_slice(format!("<{}>", show(n)).as_bytes());
            break;
        }
        all.extend_from_slice(&b[..n as usize]);
        if String::from_utf8_lossy(&all).contains(end) {
            break;
        }
    }
    format!("{:?}", String::from_utf8_lossy(&all))
}

fn attributes(fd: i32, f: impl FnOnce(&mut libc::termios)) {
    // SAFETY: a valid structure.
    unsafe {
        let mut t: libc::termios = zeroed();
        libc::tcgetattr(fd, &mut t);
        f(&mut t);
        libc::tcsetattr(fd, libc::TCSANOW, &t);
    }
}

/// Makes the terminal the controlling one of a new session.
fn session(slave: i32) {
    // SAFETY: no pointers.
    unsafe {
        libc::setsid();
        libc::ioctl(slave, libc::TIOCSCTTY as _, 0);
    }
}

fn main() {
    // SAFETY: one thread; valid pointers.
    unsafe {
        let m = libc::open(c("/dev/ptmx").as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        say!("ptmx: {}", ok(m));
        let mut n = 0u32;
        say!("locked: {}", {
            libc::ioctl(m, libc::TIOCGPTN as _, &mut n);
            ok(libc::open(c(&format!("/dev/pts/{n}")).as_ptr(), libc::O_RDWR | libc::O_NOCTTY))
        });
        let unlock = 0i32;
        libc::ioctl(m, libc::TIOCSPTLCK as _, &unlock);
        let s = libc::open(c(&format!("/dev/pts/{n}")).as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        say!("slave: {} isatty {} {}", ok(s), libc::isatty(s), libc::isatty(m));
        let mut t: libc::termios = zeroed();
        libc::tcgetattr(s, &mut t);
        say!("modes: {:o} {:o} {:o} {:o}", t.c_iflag, t.c_oflag, t.c_cflag & libc::CSIZE, t.c_lflag);
        say!("characters: {:?}", &t.c_cc[..17]);

        // Line discipline.
        write(m, b"line\r");
        say!("echo: {} read: {}", until(m, "\n"), read(s, 100));
        write(s, b"out\n");
        say!("output: {}", until(m, "\n"));
        write(m, b"abc\x7fd\n");
        say!("erase: {} {}", until(m, "\n"), read(s, 100));
        write(m, b"one two\x17three\n");
        say!("word erase: {} {}", until(m, "\n"), read(s, 100));
        write(m, b"all gone\x15left\n");
        say!("kill: {} {}", until(m, "\n"), read(s, 100));
        write(m, b"lit\x16\x03eral\n");
        say!("literal: {} {}", until(m, "\n"), read(s, 100));
        write(m, b"part\x04");
        say!("end of file: {}", read(s, 100));
        write(m, b"\x04");
        say!("end of file: {}", read(s, 100));
        write(m, b"two\nlines\n");
        say!("one line at a time: {} {}", read(s, 100), read(s, 100));
        say!("short reads: {}", {
            write(m, b"abcdef\n");
            format!("{} {}", read(s, 3), read(s, 100))
        });
        until(m, "f\r\n");
        let mut count = 0;
        libc::ioctl(s, libc::FIONREAD as _, &mut count);
        say!("FIONREAD: {count}");
        attributes(s, |t| t.c_lflag &= !(libc::ECHO));
        write(m, b"secret\n");
        say!("no echo: {}", read(s, 100));
        attributes(s, |t| {
            libc::cfmakeraw(t);
            t.c_cc[libc::VMIN] = 3;
        });
        write(m, b"a\r\x03");
        say!("raw: {}", read(s, 100));
        attributes(s, |t| {
            t.c_cc[libc::VMIN] = 0;
            t.c_cc[libc::VTIME] = 1;
        });
        say!("timeout: {}", read(s, 100));
        write(s, b"raw\n");
        say!("raw output: {}", until(m, "\n"));
        libc::tcsetattr(s, libc::TCSANOW, &t);

        // Window size.
        let size = libc::winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        libc::ioctl(m, libc::TIOCSWINSZ as _, &size);
        let mut got: libc::winsize = zeroed();
        libc::ioctl(s, libc::TIOCGWINSZ as _, &mut got);
        say!("window: {} {}", got.ws_row, got.ws_col);
        let (r, w) = guest::pipe();
        say!("not a terminal: {}", { let mut x: libc::termios = zeroed(); show(libc::tcgetattr(r, &mut x)) });
        say!("not ours: {}", show(libc::tcgetpgrp(s)));

        // A session with jobs on the terminal.
        let shell = fork(|| {
            session(s);
            close(m);
            say!("foreground: {} session: {}", libc::tcgetpgrp(s) == libc::getpid(), libc::tcgetsid(s) == libc::getpid());
            say!("/dev/tty: {}", ok(libc::open(c("/dev/tty").as_ptr(), libc::O_RDWR)));
            disposition(libc::SIGTTOU, libc::SIG_IGN);
            let start = |foreground: bool, f: &dyn Fn() -> i32| {
                let pid = fork(|| {
                    libc::setpgid(0, 0);
                    if foreground {
                        libc::tcsetpgrp(s, libc::getpid());
                    }
                    disposition(libc::SIGTTOU, libc::SIG_DFL);
                    f()
                });
                libc::setpgid(pid, pid);
                if foreground {
                    libc::tcsetpgrp(s, pid);
                }
                pid
            };
            let forever = || loop {
                libc::pause();
            };
            // Keys.
            for key in ["interrupt", "quit", "suspend"] {
                let job = start(true, &forever);
                write(w, key.as_bytes());
                say!("{key}: {}", wait_with(job, libc::WUNTRACED));
                libc::kill(-job, libc::SIGKILL);
                if key == "suspend" {
                    wait_with(job, 0);
                }
                libc::tcsetpgrp(s, libc::getpgrp());
            }
            // Background.
            let job = start(false, &|| {
                read(s, 10);
                0
            });
            say!("background read: {}", wait_with(job, libc::WUNTRACED));
            libc::kill(-job, libc::SIGKILL);
            wait_with(job, 0);
            let job = start(false, &|| {
                disposition(libc::SIGTTIN, libc::SIG_IGN);
                i32::from(read(s, 10) == "EIO")
            });
            say!("ignoring TTIN: {}", wait_with(job, libc::WUNTRACED));
            let job = start(false, &|| write(s, b"background\n") as i32);
            say!("background write: {}", wait_with(job, libc::WUNTRACED));
            attributes(s, |t| t.c_lflag |= libc::TOSTOP);
            let job = start(false, &|| write(s, b"x") as i32);
            say!("with TOSTOP: {}", wait_with(job, libc::WUNTRACED));
            libc::kill(-job, libc::SIGKILL);
            wait_with(job, 0);
            let job = start(false, &|| {
                attributes(s, |_| {});
                0
            });
            say!("background tcsetattr: {}", wait_with(job, libc::WUNTRACED));
            libc::tcsetpgrp(s, job);
            libc::kill(-job, libc::SIGCONT);
            say!("in the foreground: {}", wait_with(job, 0));
            libc::tcsetpgrp(s, libc::getpgrp());
            say!("tcsetpgrp of nobody: {} of another session: {}", show(libc::tcsetpgrp(s, 0x3fff_fff0)), show(libc::tcsetpgrp(s, libc::getpgid(libc::getppid()))));
            // The leader leaves: its foreground group is hung up.
            let job = start(true, &forever);
            write(w, b"leave");
            job & 0
        });
        // Said at the end: the session's processes speak meanwhile.
        let mut echoed = Vec::new();
        for (expect, key) in [("interrupt", "\x03"), ("quit", "\x1c"), ("suspend", "\x1a")] {
            let mut got = String::new();
            while got != format!("{expect:?}") {
                got = read(r, 100);
            }
            write(m, key.as_bytes());
            echoed.push(until(m, "^").len() > 2);
        }
        say!("leave: {}", read(r, 100));
        say!("shell: {}", wait_with(shell, 0));
        say!("keys echoed: {echoed:?}");
        close(s);
        let mut p = libc::pollfd { fd: m, events: libc::POLLIN, revents: 0 };
        let mut end = String::new();
        while p.revents & libc::POLLHUP == 0 || p.revents & libc::POLLIN != 0 {
            libc::poll(&mut p, 1, -1);
            if p.revents & libc::POLLIN != 0 {
                read(m, 100);
            } else {
                end = read(m, 10);
            }
        }
        say!("all closed: {end} {}", errno() == libc::EIO && error_name(libc::EIO) == "EIO");
    }
}
