//! POSIX message queues: order, limits, who is notified; and lseek(2) on files without positions.

use guest::{c, errno, fork, handle, ok, say, show, signal_name, wait};
use std::{
    mem::zeroed,
    ptr::{null, null_mut},
    sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst},
};

static GOT: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicUsize = AtomicUsize::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(n: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel's information.
    unsafe {
        VALUE.store((*info).si_value().sival_ptr as usize, SeqCst);
        CODE.store((*info).si_code, SeqCst);
    }
    GOT.store(n, SeqCst);
}

/// `struct sigevent` of the kernel.
#[repr(C)]
struct Event {
    value: usize,
    signo: i32,
    notify: i32,
    rest: [usize; 6],
}

const SIGNAL: i32 = 0;
const NONE: i32 = 1;
const THREAD: i32 = 2;

fn notify(queue: i32, event: Option<(usize, i32, i32)>) -> i64 {
    let event = event.map(|(value, signo, notify)| Event { value, signo, notify, rest: [0; 6] });
    let at: *const Event = event.as_ref().map_or(null(), |e| e);
    // SAFETY: a valid structure or none.
    unsafe { libc::syscall(libc::SYS_mq_notify, queue, at) }
}

fn open(name: &str, flags: i32, attr: Option<(i64, i64)>) -> i32 {
    let name = c(name);
    let attr = attr.map(|(messages, size)| [0, messages, size, 0, 0, 0, 0, 0]);
    let at: *const i64 = attr.as_ref().map_or(null(), |a| a.as_ptr());
    // SAFETY: valid pointers.
    unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, 0o600, at) as i32 }
}

fn send(queue: i32, text: &str, priority: u32, timeout: *const libc::timespec) -> i64 {
    // SAFETY: valid pointers.
    unsafe { libc::syscall(libc::SYS_mq_timedsend, queue, text.as_ptr(), text.len(), priority, timeout) }
}

fn receive(queue: i32, room: usize, timeout: *const libc::timespec) -> String {
    let mut text = vec![0u8; room];
    let mut priority = 0u32;
    // SAFETY: valid pointers.
    match unsafe { libc::syscall(libc::SYS_mq_timedreceive, queue, text.as_mut_ptr(), room, &mut priority, timeout) } {
        -1 => show(-1),
        n => format!("{} ({priority})", String::from_utf8_lossy(&text[..n as usize])),
    }
}

fn main() {
    // SAFETY: valid pointers everywhere.
    unsafe {
        let name = format!("guest-queue-{}", libc::getpid());
        say!("absent: {}", show(open(&name, libc::O_RDWR, None)));
        say!("no room: {} too long: {}", show(open(&name, libc::O_RDWR | libc::O_CREAT, Some((0, 8)))), show(open(&"x".repeat(300), libc::O_RDWR | libc::O_CREAT, None)));
        let q = open(&name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, Some((3, 8)));
        say!("made: {} again: {}", q >= 0, show(open(&name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, None)));
        let mut attr = [0i64; 8];
        say!("attributes: {} {:?}", show(libc::syscall(libc::SYS_mq_getsetattr, q, null::<u8>(), attr.as_mut_ptr())), &attr[..4]);
        say!("odd flags: {}", show(libc::syscall(libc::SYS_mq_getsetattr, q, [1i64; 8].as_ptr(), null::<u8>())));
        say!("send: {} {} {}", show(send(q, "low", 1, null())), show(send(q, "high", 9, null())), show(send(q, "high 2", 9, null())));
        say!("priority: {} length: {}", show(send(q, "x", 32768, null())), show(send(q, "123456789", 0, null())));
        let past = libc::timespec { tv_sec: 1, tv_nsec: 0 };
        let bad = libc::timespec { tv_sec: 1, tv_nsec: -1 };
        say!("full: {} bad time: {}", show(send(q, "x", 0, &past)), show(send(q, "x", 0, &bad)));
        say!("small room: {}", receive(q, 7, null()));
        for _ in 0..3 {
            say!("received: {}", receive(q, 8, null()));
        }
        say!("empty: {}", receive(q, 8, &past));
        say!("a message, so that a bad time does not matter: {}", show(send(q, "now", 2, null())));
        say!("not a queue: {}", show(send(1, "x", 0, null())));
        say!("received: {}", receive(q, 8, null()));

        // Who is told.
        handle(libc::SIGUSR1, 0, &[], note);
        say!("notify: {}", show(notify(q, Some((77, libc::SIGUSR1, SIGNAL)))));
        say!("twice: {}", show(notify(q, Some((1, libc::SIGUSR1, SIGNAL)))));
        say!("bad: {} {} {}", show(notify(q, Some((1, 65, SIGNAL)))), show(notify(q, Some((1, 1, 9)))), show(notify(1, None)));
        let other = fork(|| {
            say!("another process: {}", show(notify(q, Some((0, 0, NONE)))));
            say!("its own end of nothing: {}", show(notify(q, None)));
            0
        });
        wait(other);
        send(q, "a", 0, null());
        while GOT.load(SeqCst) == 0 {
            libc::sched_yield();
        }
        say!("told: {} {} {}", signal_name(GOT.load(SeqCst)), VALUE.load(SeqCst), CODE.load(SeqCst) == -3);
        GOT.store(0, SeqCst);
        send(q, "b", 0, null());
        say!("only once, and not again: {}", GOT.load(SeqCst));
        receive(q, 8, null());
        receive(q, 8, null());
        say!("signal 0: {} taken: {}", show(notify(q, Some((0, 0, SIGNAL)))), show(notify(q, Some((0, 0, NONE)))));
        say!("ended: {} free: {}", show(notify(q, None)), show(notify(q, Some((0, 0, NONE)))));
        let second = open(&name, libc::O_RDWR, None);
        libc::close(second);
        say!("closing any descriptor ends it: {}", show(notify(q, Some((0, 0, NONE)))));
        notify(q, None);

        // The C library's way to run a function: a cookie through a netlink socket.
        let mut cookie = [0u8; 32];
        cookie[..4].copy_from_slice(b"cook");
        let netlink = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, 0);
        let at = cookie.as_ptr() as usize;
        let unix = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        let end = guest::pipe().0;
        say!("wrong sockets: {} {} {}", show(notify(q, Some((at, -1, THREAD)))), show(notify(q, Some((at, end, THREAD)))), show(notify(q, Some((at, unix, THREAD)))));
        say!("bad cookie: {}", show(notify(q, Some((8, netlink, THREAD)))));
        for what in ["message", "end"] {
            say!("thread: {}", show(notify(q, Some((at, netlink, THREAD)))));
            if what == "end" {
                notify(q, None);
            } else {
                send(q, "c", 0, null());
            }
            let mut got = [0u8; 64];
            let n = libc::recv(netlink, got.as_mut_ptr().cast(), 64, 0);
            say!("{what}: {n} {} {}", String::from_utf8_lossy(&got[..4]), got[31]);
        }
        let unlink = c(&name);
        say!("unlink: {} {}", show(libc::syscall(libc::SYS_mq_unlink, unlink.as_ptr())), show(libc::syscall(libc::SYS_mq_unlink, unlink.as_ptr())));
        say!("still open: {}", receive(q, 8, null()));

        // Files without positions: some refuse lseek, some ignore it.
        let timer = libc::timerfd_create(libc::CLOCK_MONOTONIC, 0);
        let event = libc::eventfd(0, 0);
        let mut mask: libc::sigset_t = zeroed();
        libc::sigemptyset(&mut mask);
        let signals = libc::signalfd(-1, &mask, 0);
        let epoll = libc::epoll_create1(0);
        let watch = libc::inotify_init();
        for (what, fd) in [("timerfd", timer), ("eventfd", event), ("signalfd", signals), ("epoll", epoll), ("inotify", watch), ("pipe", end), ("socket", unix)] {
            say!("lseek {what}: {} {}", show(libc::lseek(fd, 5, libc::SEEK_SET)), show(libc::lseek(fd, -5, libc::SEEK_END)));
        }
        say!("lseek odd: {} pread: {}", show(libc::lseek(event, 0, 99)), ok(libc::pread(end, null_mut(), 0, 0)));
        let _ = errno();
    }
}
