//! Time namespaces: unshare(2), setns(2) and clone3(2) with `CLONE_NEWTIME`, offsets, and what they are applied to. Needs to
//! be the superuser.

use guest::{c, close, errno, error_name, fork, pipe, read, say, show, wait, write};
use libc::{CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, O_RDONLY, O_WRONLY, TIMER_ABSTIME, timespec};
use std::{fs, ptr};

const CLONE_NEWTIME: i32 = 0x80;
const HOUR: i64 = 3600;

fn put(path: &str, text: &str) -> String {
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c(path).as_ptr(), O_WRONLY) };
    if fd < 0 {
        return format!("open {}", error_name(errno()));
    }
    let r = write(fd, text.as_bytes());
    let r = if r == text.len() as isize { "ok".into() } else { show(r) };
    close(fd);
    r
}

fn offsets() -> String {
    let text = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_else(|e| e.to_string());
    format!("{text:?}")
}

fn unshare(flags: i32) -> String {
    // SAFETY: the programs have one thread.
    show(unsafe { libc::unshare(flags) })
}

fn now(clock: i32) -> timespec {
    let mut t = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    unsafe { libc::clock_gettime(clock, &mut t) };
    t
}

/// As [`now`], but not by the vDSO.
fn asked(clock: i32) -> timespec {
    let mut t = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &mut t) };
    t
}

fn uptime() -> i64 {
    let text = fs::read_to_string("/proc/uptime").expect("the file");
    text.split('.').next().expect("seconds").parse().expect("a number")
}

fn boot() -> i64 {
    let text = fs::read_to_string("/proc/stat").expect("the file");
    let line = text.lines().find_map(|l| l.strip_prefix("btime "));
    line.expect("the line").parse().expect("a number")
}

fn start() -> i64 {
    let text = fs::read_to_string("/proc/self/stat").expect("the file");
    let rest = text.rsplit(") ").next().expect("the fields");
    rest.split(' ').nth(19).expect("the field").parse::<i64>().expect("a number") / 100
}

/// In whole hours, as nothing here takes one.
fn hours(seconds: i64) -> i64 {
    (seconds + HOUR / 2).div_euclid(HOUR)
}

/// The clocks in hours less those of `before`.
struct Clocks([i64; 7]);

impl Clocks {
    fn read() -> Self {
        // SAFETY: zero is a valid value.
        let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
        // SAFETY: a place for the answer.
        unsafe { libc::sysinfo(&mut info) };
        Self([
            now(CLOCK_REALTIME).tv_sec,
            now(CLOCK_MONOTONIC).tv_sec,
            now(CLOCK_BOOTTIME).tv_sec,
            asked(libc::CLOCK_MONOTONIC_RAW).tv_sec,
            uptime(),
            info.uptime as i64,
            -boot(),
        ])
    }

    fn since(&self, before: &Self) -> String {
        let all = self.0.iter().zip(before.0).map(|(now, then)| hours(now - then).to_string());
        all.collect::<Vec<_>>().join(" ")
    }
}

/// Sleeps and timers that end at a time of the shifted clock do not wait for hours.
fn deadlines() {
    let soon = |clock| {
        let mut t = now(clock);
        t.tv_nsec += 20_000_000;
        if t.tv_nsec >= 1_000_000_000 {
            (t.tv_sec, t.tv_nsec) = (t.tv_sec + 1, t.tv_nsec - 1_000_000_000);
        }
        t
    };
    let none = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: all structures are valid, and descriptors are ours.
    unsafe {
        for clock in [CLOCK_MONOTONIC, CLOCK_BOOTTIME] {
            let at = soon(clock);
            say!("sleep {}", libc::clock_nanosleep(clock, TIMER_ABSTIME, &at, ptr::null_mut()));
            let after = now(clock);
            say!("late {}", (after.tv_sec, after.tv_nsec) >= (at.tv_sec, at.tv_nsec));
            let fd = libc::timerfd_create(clock, 0);
            let setting = libc::itimerspec { it_interval: none, it_value: soon(clock) };
            libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &setting, ptr::null_mut());
            let mut left: libc::itimerspec = std::mem::zeroed();
            libc::timerfd_gettime(fd, &mut left);
            say!("left {}", left.it_value.tv_sec);
            say!("timer {}", read(fd, 8));
            let past = timespec { tv_sec: 1, tv_nsec: 0 };
            let setting = libc::itimerspec { it_interval: none, it_value: past };
            libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &setting, ptr::null_mut());
            say!("past {}", read(fd, 8));
            close(fd);
        }
        guest::block(&[libc::SIGUSR1]);
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGUSR1;
        let mut timer: libc::timer_t = ptr::null_mut();
        libc::timer_create(CLOCK_MONOTONIC, &mut event, &mut timer);
        let setting = libc::itimerspec { it_interval: none, it_value: soon(CLOCK_MONOTONIC) };
        libc::timer_settime(timer, TIMER_ABSTIME, &setting, ptr::null_mut());
        let mut signal = 0;
        libc::sigwait(&guest::set(&[libc::SIGUSR1]), &mut signal);
        say!("signal {}", guest::signal_name(signal));
        let word = 0u32;
        let wait_bitset = 9 | 128;
        let r = libc::syscall(libc::SYS_futex, &word, wait_bitset, 0, &soon(CLOCK_MONOTONIC), 0, u32::MAX);
        say!("futex {}", show(r));
    }
}

fn main() {
    let before = Clocks::read();
    let first = fs::read_link("/proc/self/ns/time").expect("the link");
    say!("{}", first == fs::read_link("/proc/self/ns/time_for_children").expect("the link"));
    say!("{} {}", offsets(), put("/proc/self/timens_offsets", "monotonic 1 0"));

    say!("= unshare");
    // SAFETY: a terminated string.
    let old = unsafe { libc::open(c("/proc/self/ns/time").as_ptr(), O_RDONLY) };
    let pid = fork(|| {
        say!("{}", unshare(CLONE_NEWTIME));
        say!("own {}", first == fs::read_link("/proc/self/ns/time").expect("the link"));
        say!("children's {}", first == fs::read_link("/proc/self/ns/time_for_children").expect("the link"));
        for bad in ["x", "monotonic", "monotonic 1", "realtime 1 0", "1 1 1000000000", "1 1 -1", "1 1 0 0"] {
            say!("wrong {bad} {}", put("/proc/self/timens_offsets", bad));
        }
        say!("below zero {}", put("/proc/self/timens_offsets", "monotonic -999999999 0"));
        say!("set {}", put("/proc/self/timens_offsets", "monotonic 36000 0\nboottime 72000 500"));
        say!("{}", offsets());
        say!("not yet {}", Clocks::read().since(&before));
        let started = start();
        let pid = fork(|| {
            say!("now {}", Clocks::read().since(&before));
            say!("started {}", hours(start() - started));
            say!("late {}", put("/proc/self/timens_offsets", "monotonic 1 0"));
            deadlines();
            say!("nested {}", unshare(CLONE_NEWTIME));
            say!("{}", offsets());
            // SAFETY: no memory is touched.
            say!("back {}", show(unsafe { libc::setns(old, CLONE_NEWTIME) }));
            say!("{}", Clocks::read().since(&before));
            0
        });
        say!("{}", wait(pid));
        // SAFETY: a terminated string; no memory is touched.
        unsafe {
            let own = libc::open(c("/proc/self/ns/time_for_children").as_ptr(), O_RDONLY);
            say!("enter {}", show(libc::setns(own, CLONE_NEWTIME)));
            say!("{}", Clocks::read().since(&before));
            let held = pipe();
            let thread = std::thread::spawn(move || read(held.0, 1));
            say!("threads {}", show(libc::setns(old, CLONE_NEWTIME)));
            close(held.1);
            say!("{}", thread.join().expect("the thread"));
        }
        0
    });
    say!("{}", wait(pid));

    say!("= user");
    let pid = fork(|| {
        // SAFETY: no memory is touched.
        unsafe { libc::syscall(libc::SYS_setresuid, 1000, 1000, 1000) };
        say!("{}", unshare(CLONE_NEWTIME));
        say!("{}", unshare(CLONE_NEWTIME | libc::CLONE_NEWUSER));
        // SAFETY: no memory is touched.
        say!("back {}", show(unsafe { libc::setns(old, CLONE_NEWTIME) }));
        0
    });
    say!("{}", wait(pid));
    say!("{}", Clocks::read().since(&before));
}
