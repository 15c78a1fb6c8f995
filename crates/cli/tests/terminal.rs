//! An interactive session in a pseudo-terminal: types, and looks at the screen.

#![cfg(target_os = "linux")]

mod minirootfs;

use minirootfs::{DEADLINE, home, tuxlet};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    num::NonZeroU16,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A terminal with a command on it.
struct Session {
    master: File,
    /// Kept open, so that the terminal outlives the command.
    slave: OwnedFd,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
    child: Child,
    before: Termios,
}

fn size(rows: u16, cols: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Session {
    /// Starts `tuxlet` on a terminal of 24 by 80; `None` where there is no Alpine.
    fn start(args: &[&str]) -> Option<Self> {
        let home = home()?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pseudo-terminal");
        grantpt(&master).expect("the slave");
        unlockpt(&master).expect("the slave");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, flags, Mode::empty()).expect("the slave");
        tcsetwinsize(&slave, size(24, 80)).expect("its size");
        let before = tcgetattr(&slave).expect("its modes");
        let inner = tuxlet(home);
        // A session of its own with this terminal, as a terminal window has.
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(inner.get_program())
            .args(args)
            .env("TUXLET_HOME", home)
            .env("TERM", "xterm")
            .stdin(slave.try_clone().expect("a descriptor"))
            .stdout(slave.try_clone().expect("a descriptor"))
            .stderr(slave.try_clone().expect("a descriptor"));
        let child = command.spawn().expect("setsid of util-linux starts");
        let master = File::from(master);
        let screen = Arc::new((Mutex::new(vt100::Parser::default()), Condvar::new()));
        let (shown, mut from) = (
            Arc::clone(&screen),
            master.try_clone().expect("a descriptor"),
        );
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut chunk) {
                let mut parser = shown.0.lock().expect("the screen");
                parser.process(&chunk[..n]);
                shown.1.notify_all();
            }
        });
        Some(Self {
            master,
            slave,
            screen,
            child,
            before,
        })
    }

    fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    fn until(&self, what: &str, good: impl Fn(&vt100::Screen) -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut parser = self.screen.0.lock().expect("the screen");
        while !good(parser.screen()) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{what} is not on the screen:\n{}",
                parser.screen().contents()
            );
            parser = self
                .screen
                .1
                .wait_timeout(parser, left)
                .expect("the screen")
                .0;
        }
    }

    /// Waits for a line that is exactly this.
    #[track_caller]
    fn line(&self, text: &str) {
        self.until(text, |s| s.contents().lines().any(|l| l.trim_end() == text));
    }

    /// Waits for the shell's prompt on the last line with anything on it.
    #[track_caller]
    fn prompt(&self) {
        self.until("the prompt", |s| {
            s.contents()
                .trim_end()
                .lines()
                .last()
                .is_some_and(|l| l.trim_end().ends_with('#') && l.len() < 20)
        });
    }

    /// Empties the screen, so that what was there before is not taken for an answer.
    fn clear(&mut self) {
        self.send("clear\r");
        self.until("an empty screen", |s| {
            s.contents().trim().lines().count() <= 1 && s.cursor_position().0 == 0
        });
        self.prompt();
    }

    fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < end, "tuxlet does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the terminal is as it was before.
    fn is_restored(&self) -> bool {
        let now = tcgetattr(&self.slave).expect("its modes");
        now.local_modes == self.before.local_modes
            && now.input_modes == self.before.input_modes
            && now.output_modes == self.before.output_modes
    }

    fn is_raw(&self) -> bool {
        let now = tcgetattr(&self.slave).expect("its modes");
        !now.local_modes.contains(LocalModes::ICANON)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After a failure it still runs; otherwise there is nobody to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

#[test]
fn shell_session() {
    let Some(mut s) = Session::start(&["run", "-it", "--rm", "alpine", "sh"]) else {
        return;
    };
    s.prompt();
    assert!(s.is_raw());
    s.send("echo $((6 * 7))\r");
    s.line("42");
    s.prompt();
    s.send("stty size\r");
    s.line("24 80");
    s.prompt();

    // Ctrl-C. What says that it runs is the job itself: a shell between two commands may note the key too late.
    s.clear();
    s.send("sh -c 'echo go; exec sleep 1000'\r");
    s.line("go");
    s.send("\x03");
    s.prompt();
    s.send("echo status $?\r");
    s.line("status 130");

    // Ctrl-Z, fg.
    s.clear();
    s.send("echo ready; cat\r");
    s.line("ready");
    s.send("first\r");
    s.until("the line twice", |s| {
        s.contents().matches("first").count() == 2
    });
    s.send("\x1a");
    s.until("the stop", |s| s.contents().contains("Stopped"));
    s.prompt();
    s.send("fg\r");
    s.line("cat"); // as ash says
    s.send("second\r");
    s.until("the line twice", |s| {
        s.contents().matches("second").count() == 2
    });
    s.send("\x04");
    s.prompt();

    // The window gets another size.
    s.clear();
    s.screen
        .0
        .lock()
        .expect("the screen")
        .screen_mut()
        .set_size(cells(30), cells(100));
    tcsetwinsize(&s.master, size(30, 100)).expect("a new size");
    s.send("while [ \"$(stty size)\" != '30 100' ]; do :; done; echo is $(stty size)\r");
    s.line("is 30 100");

    // An editor.
    s.clear();
    s.send("vi /root/note\r");
    s.until("an empty file in vi", |s| {
        s.contents().matches("\n~").count() > 20
    });
    s.send("ihello from vi\rsecond line\x1b");
    s.until("the text", |s| s.contents().contains("second line"));
    s.send(":wq\r");
    s.prompt();
    s.clear();
    s.send("cat /root/note\r");
    s.line("hello from vi");
    s.line("second line");

    // A pager.
    s.clear();
    s.send("seq 500 | less\r");
    s.until("the first page", |s| {
        s.contents().starts_with("1\n")
            && s.contents().contains("\n29\n") | s.contents().contains("\n29")
    });
    s.send("G");
    s.line("500");
    s.send("q");
    s.prompt();

    // A program that redraws by itself and reads single keys.
    s.clear();
    s.send("top -d 1\r");
    s.until("the list of processes", |s| {
        let text = s.contents();
        text.starts_with("Mem:")
            && text.contains("PID")
            && text.lines().any(|l| l.trim_end().ends_with("top -d 1"))
    });
    s.send("q");
    s.prompt();

    assert!(s.is_raw());
    s.send("exit 3\r");
    let status = s.end();
    assert_eq!(status.code(), Some(3));
    assert!(s.is_restored(), "the terminal's modes are restored");
}

#[test]
fn crash_restores_the_terminal() {
    let Some(mut s) = Session::start(&["run", "-it", "--rm", "alpine", "sh"]) else {
        return;
    };
    s.prompt();
    assert!(s.is_raw());
    // No signal is passed on: this is the process's own end.
    let pid = Pid::from_child(&s.child);
    kill_process(pid, Signal::SEGV).expect("sent");
    let status = s.end();
    assert_eq!(status.signal(), Some(11), "{status:?}");
    assert!(s.is_restored(), "the terminal's modes are restored");
}
