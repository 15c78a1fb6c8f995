//! Waiting for events: pipes, poll, select, epoll, eventfd, timerfd, signalfd.

use guest::{block, close, disposition, error_name, errno, fork, ok, pipe, read, say, set, show, unblock, wait, write};
use std::{mem::zeroed, ptr::null_mut};

fn poll(fds: &[(i32, i16)], timeout: i32) -> String {
    let mut p: Vec<_> = fds.iter().map(|(fd, e)| libc::pollfd { fd: *fd, events: *e, revents: 0 }).collect();
    // SAFETY: an array of that length.
    let r = unsafe { libc::poll(p.as_mut_ptr(), p.len() as _, timeout) };
    let bits: Vec<String> = p.iter().map(|p| format!("{:x}", p.revents)).collect();
    format!("{} [{}]", show(r), bits.join(" "))
}

fn ctl(ep: i32, op: i32, fd: i32, events: i32, data: u64) -> String {
    let mut e = libc::epoll_event { events: events as u32, u64: data };
    // SAFETY: a valid event.
    show(unsafe { libc::epoll_ctl(ep, op, fd, &mut e) })
}

fn epoll(ep: i32, max: i32, timeout: i32) -> String {
    let mut e = vec![libc::epoll_event { events: 0, u64: 0 }; max.max(1) as usize];
    // SAFETY: an array of that length.
    let r = unsafe { libc::epoll_wait(ep, e.as_mut_ptr(), max, timeout) };
    let mut all: Vec<String> = e[..r.max(0) as usize]
        .iter()
        .map(|e| {
            let (events, data) = (e.events, e.u64);
            format!("{data}:{events:x}")
        })
        .collect();
    all.sort();
    format!("{} [{}]", show(r), all.join(" "))
}

fn fill(fd: i32) -> usize {
    let mut n = 0;
    loop {
        match write(fd, &[0; 4096]) {
            -1 => return n,
            k => n += k as usize,
        }
    }
}

fn u64_of(fd: i32) -> String {
    let mut v = 0u64;
    // SAFETY: eight bytes.
    match unsafe { libc::read(fd, (&raw mut v).cast(), 8) } {
        8 => v.to_string(),
        r => show(r),
    }
}

fn put(fd: i32, v: u64) -> String {
    show(write(fd, &v.to_ne_bytes()))
}

fn main() {
    let (i, o) = (libc::POLLIN, libc::POLLOUT);
    disposition(libc::SIGPIPE, libc::SIG_IGN);
    // SAFETY: one thread; valid pointers.
    unsafe {
        // Pipes.
        let (r, w) = pipe();
        say!("empty: {}", poll(&[(r, i), (w, o), (-1, i), (999, i)], 0));
        write(w, b"abc");
        say!("full: {}", poll(&[(r, i), (w, o)], 0));
        say!("read part: {} {}", read(r, 2), read(r, 10));
        libc::fcntl(r, libc::F_SETFL, libc::O_NONBLOCK);
        libc::fcntl(w, libc::F_SETFL, libc::O_NONBLOCK);
        say!("empty nonblocking: {}", read(r, 1));
        say!("pipe size: {} {}", libc::fcntl(w, libc::F_GETPIPE_SZ), fill(w));
        say!("no room: {}", poll(&[(r, i), (w, o)], 0));
        let mut n = 0;
        libc::ioctl(r, libc::FIONREAD as _, &mut n);
        say!("FIONREAD: {n}");
        say!("set size: {}", show(libc::fcntl(w, libc::F_SETPIPE_SZ, 5000)));
        let mut sink = vec![0u8; 65536];
        libc::read(r, sink.as_mut_ptr().cast(), 4095);
        say!("almost a page: {}", poll(&[(w, o)], 0));
        libc::read(r, sink.as_mut_ptr().cast(), 65536);
        say!("set size: {}", show(libc::fcntl(w, libc::F_SETPIPE_SZ, 5000)));
        say!("fill: {}", fill(w));
        close(r);
        say!("reader gone: {} write {}", poll(&[(w, o)], 0), show(write(w, b"x")));
        close(w);
        let (r, w) = pipe();
        write(w, b"rest");
        close(w);
        say!("writer gone: {}", poll(&[(r, i)], 0));
        say!("rest: {} end: {}", read(r, 10), read(r, 10));
        say!("at end: {}", poll(&[(r, i)], -1));
        close(r);
        // A big write blocks until it is read.
        let (r, w) = pipe();
        let pid = fork(|| {
            close(r);
            (write(w, &vec![7; 300_000]) == 300_000) as i32
        });
        close(w);
        let mut all = 0;
        loop {
            match libc::read(r, sink.as_mut_ptr().cast(), sink.len()) {
                n if n > 0 => all += n,
                _ => break,
            }
        }
        say!("big write: {all} {}", wait(pid));
        close(r);
        say!("pipe2 odd flags: {}", ok(libc::pipe2([0; 2].as_mut_ptr(), 0x10)));

        // select.
        let (r, w) = pipe();
        let (r2, w2) = pipe();
        write(w2, b"x");
        let mut reads: libc::fd_set = zeroed();
        let mut writes: libc::fd_set = zeroed();
        for fd in [r, r2] {
            libc::FD_SET(fd, &mut reads);
        }
        libc::FD_SET(w, &mut writes);
        let n = libc::select(w2 + 1, &mut reads, &mut writes, null_mut(), null_mut());
        let bits = [libc::FD_ISSET(r, &reads), libc::FD_ISSET(r2, &reads), libc::FD_ISSET(w, &writes)];
        say!("select: {} {bits:?}", show(n));
        libc::FD_SET(r, &mut reads);
        libc::FD_CLR(r2, &mut reads);
        let mut short = libc::timeval { tv_sec: 0, tv_usec: 2000 };
        say!("select timeout: {}", show(libc::select(w2 + 1, &mut reads, null_mut(), null_mut(), &mut short)));
        say!("set cleared: {}", libc::FD_ISSET(r, &reads));
        libc::FD_SET(50, &mut reads);
        let mut zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
        say!("select bad fd: {}", show(libc::select(51, &mut reads, null_mut(), null_mut(), &mut zero)));
        say!("select -1: {}", show(libc::select(-1, null_mut(), null_mut(), null_mut(), &mut zero)));

        // epoll, level-triggered.
        let ep = libc::epoll_create1(0);
        say!("add: {}", ctl(ep, libc::EPOLL_CTL_ADD, r, libc::EPOLLIN, 1));
        say!("add again: {}", ctl(ep, libc::EPOLL_CTL_ADD, r, libc::EPOLLIN, 1));
        say!("add w: {}", ctl(ep, libc::EPOLL_CTL_ADD, w, libc::EPOLLOUT, 2));
        say!("mod missing: {}", ctl(ep, libc::EPOLL_CTL_MOD, r2, libc::EPOLLIN, 3));
        say!("del missing: {}", ctl(ep, libc::EPOLL_CTL_DEL, r2, 0, 0));
        say!("add itself: {}", ctl(ep, libc::EPOLL_CTL_ADD, ep, libc::EPOLLIN, 0));
        say!("add bad: {}", ctl(ep, libc::EPOLL_CTL_ADD, 999, libc::EPOLLIN, 0));
        let file = libc::open(c"/dev/shm".as_ptr(), libc::O_RDONLY);
        say!("add directory: {}", ctl(ep, libc::EPOLL_CTL_ADD, file, libc::EPOLLIN, 0));
        say!("unknown op: {}", ctl(ep, 9, r2, libc::EPOLLIN, 0));
        say!("not an epoll: {}", ctl(r, libc::EPOLL_CTL_ADD, w, libc::EPOLLIN, 0));
        say!("wait: {}", epoll(ep, 8, 0));
        write(w, b"12");
        say!("wait: {}", epoll(ep, 8, -1));
        say!("level: {}", epoll(ep, 8, 0));
        say!("max 0: {}", epoll(ep, 0, 0));
        let first = epoll(ep, 1, 0);
        let second = epoll(ep, 1, 0);
        say!("one at a time takes turns: {}", first != second);
        // Edge-triggered.
        ctl(ep, libc::EPOLL_CTL_DEL, w, 0, 0);
        ctl(ep, libc::EPOLL_CTL_MOD, r, libc::EPOLLIN | libc::EPOLLET, 1);
        say!("edge: {} then {}", epoll(ep, 8, 0), epoll(ep, 8, 0));
        write(w, b"3");
        say!("new edge: {} then {}", epoll(ep, 8, 0), epoll(ep, 8, 0));
        say!("left: {}", read(r, 10));
        ctl(ep, libc::EPOLL_CTL_MOD, r, libc::EPOLLIN | libc::EPOLLONESHOT, 4);
        write(w, b"4");
        say!("oneshot: {} then {}", epoll(ep, 8, 0), epoll(ep, 8, 0));
        ctl(ep, libc::EPOLL_CTL_MOD, r, libc::EPOLLIN | libc::EPOLLONESHOT, 5);
        say!("armed again: {}", epoll(ep, 8, 0));
        ctl(ep, libc::EPOLL_CTL_MOD, r, libc::EPOLLIN | libc::EPOLLRDHUP, 6);
        let outer = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        say!("nested: {} {}", ctl(outer, libc::EPOLL_CTL_ADD, ep, libc::EPOLLIN, 9), epoll(outer, 8, 0));
        say!("cycle: {}", ctl(ep, libc::EPOLL_CTL_ADD, outer, libc::EPOLLIN, 9));
        say!("epoll is pollable: {}", poll(&[(ep, i)], 0));
        read(r, 10);
        say!("drained: {} {}", epoll(outer, 8, 0), poll(&[(ep, i)], 0));
        let copy = libc::dup(r);
        ctl(ep, libc::EPOLL_CTL_ADD, copy, libc::EPOLLIN, 7);
        write(w, b"5");
        say!("duplicates: {}", epoll(ep, 8, 0));
        close(copy);
        say!("still registered: {}", epoll(ep, 8, 0));
        close(w);
        say!("hang up: {}", epoll(ep, 8, 0));
        close(r);
        say!("closed: {}", epoll(ep, 8, 0));
        // Woken from another process.
        let (r, w) = pipe();
        ctl(ep, libc::EPOLL_CTL_ADD, r, libc::EPOLLIN, 11);
        let pid = fork(|| {
            close(r);
            libc::usleep(10_000);
            write(w, b"wake");
            0
        });
        say!("woken: {} {}", epoll(ep, 8, -1), wait(pid));
        say!("timeout: {}", {
            read(r, 10);
            epoll(ep, 8, 5)
        });

        // eventfd.
        let e = libc::eventfd(3, libc::EFD_NONBLOCK);
        say!("eventfd: {} {}", poll(&[(e, i | o)], 0), u64_of(e));
        say!("empty: {} {}", u64_of(e), poll(&[(e, i | o)], 0));
        say!("put: {} {} {}", put(e, 5), put(e, 6), u64_of(e));
        say!("all ones: {}", put(e, u64::MAX));
        say!("most: {} {}", put(e, u64::MAX - 1), poll(&[(e, i | o)], 0));
        say!("over: {}", put(e, 1));
        say!("short: {}", show(write(e, b"1234")));
        say!("short read: {}", read(e, 4));
        close(e);
        let e = libc::eventfd(2, libc::EFD_SEMAPHORE | libc::EFD_NONBLOCK);
        say!("semaphore: {} {} {}", u64_of(e), u64_of(e), u64_of(e));
        say!("odd flags: {}", ok(libc::eventfd(0, 0x40)));
        close(e);

        // timerfd.
        let t = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK);
        say!("not armed: {}", u64_of(t));
        let ms = |n: i64| libc::timespec { tv_sec: n / 1000, tv_nsec: n % 1000 * 1_000_000 };
        let once = libc::itimerspec { it_interval: ms(0), it_value: ms(5) };
        say!("arm: {}", show(libc::timerfd_settime(t, 0, &once, null_mut())));
        say!("fires: {} {} {}", poll(&[(t, i)], -1), u64_of(t), u64_of(t));
        let often = libc::itimerspec { it_interval: ms(2), it_value: ms(2) };
        libc::timerfd_settime(t, 0, &often, null_mut());
        libc::usleep(20_000);
        let mut v = 0u64;
        libc::read(t, (&raw mut v).cast(), 8);
        say!("several: {}", v >= 5);
        let mut left: libc::itimerspec = zeroed();
        libc::timerfd_gettime(t, &mut left);
        say!("interval: {} left: {}", left.it_interval.tv_nsec, left.it_value.tv_nsec <= 2_000_000);
        let off: libc::itimerspec = zeroed();
        libc::timerfd_settime(t, 0, &off, null_mut());
        say!("disarmed: {}", u64_of(t));
        let mut now: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now);
        let past = libc::itimerspec { it_interval: ms(0), it_value: now };
        libc::timerfd_settime(t, libc::TFD_TIMER_ABSTIME, &past, null_mut());
        say!("absolute past: {} {}", poll(&[(t, i)], -1), u64_of(t));
        let bad = libc::itimerspec { it_interval: ms(0), it_value: libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 } };
        say!("bad: {}", show(libc::timerfd_settime(t, 0, &bad, null_mut())));
        say!("bad clock: {}", ok(libc::timerfd_create(99, 0)));
        say!("not a timer: {}", show(libc::timerfd_settime(0, 0, &once, null_mut())));
        close(t);

        // signalfd.
        block(&[libc::SIGUSR1, libc::SIGUSR2, 45]);
        let s = libc::signalfd(-1, &set(&[libc::SIGUSR1, 45]), libc::SFD_NONBLOCK);
        let next = || {
            let mut info: libc::signalfd_siginfo = zeroed();
            match libc::read(s, (&raw mut info).cast(), size_of::<libc::signalfd_siginfo>()) {
                -1 => error_name(errno()),
                n => format!("{n} bytes: signal {} code {} int {}", info.ssi_signo, info.ssi_code, info.ssi_int),
            }
        };
        say!("none: {} {}", next(), poll(&[(s, i)], 0));
        libc::kill(libc::getpid(), libc::SIGUSR1);
        libc::kill(libc::getpid(), libc::SIGUSR2);
        libc::sigqueue(libc::getpid(), 45, libc::sigval { sival_ptr: 8 as *mut _ });
        libc::sigqueue(libc::getpid(), 45, libc::sigval { sival_ptr: 9 as *mut _ });
        say!("{}", poll(&[(s, i)], 0));
        for _ in 0..4 {
            say!("{}", next());
        }
        libc::signalfd(s, &set(&[libc::SIGUSR2]), 0);
        say!("other mask: {}", next());
        say!("short: {}", read(s, 10));
        say!("not a signalfd: {}", ok(libc::signalfd(0, &set(&[]), 0)));
        unblock(&[libc::SIGUSR1, libc::SIGUSR2, 45]);

        // ppoll with a mask: the signal is let in only while it sleeps.
        block(&[libc::SIGUSR1]);
        guest::handle(libc::SIGUSR1, 0, &[], nothing);
        libc::raise(libc::SIGUSR1);
        let empty = set(&[]);
        say!("ppoll: {}", show(libc::ppoll(null_mut(), 0, std::ptr::null(), &empty)));
        libc::raise(libc::SIGUSR1);
        let mut e = [libc::epoll_event { events: 0, u64: 0 }; 1];
        say!("epoll_pwait: {}", show(libc::epoll_pwait(ep, e.as_mut_ptr(), 1, -1, &empty)));
        libc::raise(libc::SIGUSR1);
        let none = null_mut();
        say!("pselect: {}", show(libc::pselect(0, none, none, none, std::ptr::null(), &empty)));
    }
}

extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
