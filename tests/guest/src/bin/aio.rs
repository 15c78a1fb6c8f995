//! Asynchronous input and output: io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2).

use guest::{c, clean, fork, handle, ok, pipe, read, say, scratch, show, wait, write};

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const NOOP: u16 = 6;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;
const RESFD: u32 = 1;
/// The C library's crate does not have it everywhere.
const SYS_IO_PGETEVENTS: libc::c_long = if cfg!(target_arch = "aarch64") { 292 } else { 333 };

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: i32,
    opcode: u16,
    reqprio: i16,
    fd: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Event {
    data: u64,
    obj: u64,
    res: i64,
    res2: i64,
}

fn setup(count: u64, context: &mut u64) -> String {
    // SAFETY: room for the id.
    show(unsafe { libc::syscall(libc::SYS_io_setup, count, context as *mut u64) })
}

fn submit(context: u64, requests: &[*mut Iocb]) -> String {
    // SAFETY: the requests are valid, or the kernel says that they are not.
    show(unsafe { libc::syscall(libc::SYS_io_submit, context, requests.len(), requests.as_ptr()) })
}

fn one(context: u64, request: Iocb) -> String {
    let mut request = request;
    submit(context, &[&raw mut request])
}

/// Takes results without waiting: for each what was asked and what came of it, in the order of asking.
fn events(context: u64, min: i64, max: i64) -> String {
    events_within(context, min, max, 0)
}

/// Syncing is done by another thread of Linux.
fn events_within(context: u64, min: i64, max: i64, tv_sec: i64) -> String {
    let mut events = [Event::default(); 8];
    let mut none = libc::timespec { tv_sec, tv_nsec: 0 };
    // SAFETY: room for eight.
    let n = unsafe { libc::syscall(libc::SYS_io_getevents, context, min, max, events.as_mut_ptr(), &raw mut none) };
    events[..n.max(0) as usize].sort_by_key(|e| e.data);
    let list: Vec<_> = events.iter().take(n.max(0) as usize).map(|e| format!("{}: {}", e.data, e.res)).collect();
    format!("{} [{}]", show(n), list.join(", "))
}

fn files() {
    say!("= files");
    let mut context = 0;
    say!("{}", setup(4, &mut context));
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(c("file").as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600) } as u32;
    let text = *b"asynchronous";
    let mut back = [0u8; 12];
    let (mut left, mut right) = ([0u8; 4], [0u8; 4]);
    let parts = [
        libc::iovec { iov_base: left.as_mut_ptr().cast(), iov_len: 4 },
        libc::iovec { iov_base: right.as_mut_ptr().cast(), iov_len: 4 },
    ];
    let ask = |data, opcode, buf: u64, nbytes, offset| Iocb { data, opcode, fd, buf, nbytes, offset, ..Iocb::default() };
    let mut all = [
        ask(1, PWRITE, text.as_ptr() as u64, 12, 0),
        ask(2, FSYNC, 0, 0, 0),
        ask(3, PREAD, back.as_mut_ptr() as u64, 12, 0),
        ask(4, PREADV, parts.as_ptr() as u64, 2, 2),
    ];
    let pointers: Vec<*mut Iocb> = all.iter_mut().map(|r| &raw mut *r).collect();
    say!("{}", submit(context, &pointers));
    say!("{}", events_within(context, 4, 8, 60));
    say!("{:?} {:?} {:?}", back == text, std::str::from_utf8(&left), std::str::from_utf8(&right));
    say!("behind the end {} {}", one(context, ask(5, PREAD, back.as_mut_ptr() as u64, 12, 99)), events(context, 1, 1));
    say!("bad memory {} {}", one(context, ask(6, PREAD, 8, 12, 0)), events(context, 1, 1));
    say!("before the start {} {}", one(context, ask(7, PREAD, back.as_mut_ptr() as u64, 1, -1)), events(context, 1, 1));
    say!("gathered {} {}", one(context, ask(8, PWRITEV, parts.as_ptr() as u64, 2, 12)), events(context, 1, 1));
    say!("synced {} {}", one(context, ask(9, FDSYNC, 0, 0, 0)), events_within(context, 1, 1, 60));
    say!("length {}", std::fs::metadata("file").expect("the file").len());
    // SAFETY: the ring is where the id says.
    let header = unsafe { std::slice::from_raw_parts(context as *const u32, 8) };
    say!("ring {:#x} {} {}", header[4], header[5..].iter().map(|n| format!("{n} ")).collect::<String>(), header[2] == header[3]);

    say!("= refused");
    say!("no descriptor {}", one(context, Iocb { fd: 999, ..ask(0, PREAD, 0, 0, 0) }));
    say!("no such operation {}", one(context, ask(0, 99, 0, 0, 0)));
    say!("noop {}", one(context, ask(0, NOOP, 0, 0, 0)));
    say!("sync of a part {}", one(context, ask(0, FSYNC, 0, 1, 0)));
    say!("reserved {}", one(context, Iocb { reserved: 1, ..ask(0, PREAD, 0, 0, 0) }));
    say!("length {}", one(context, ask(0, PREAD, 0, u64::MAX, 0)));
    say!("flags {}", one(context, Iocb { rw_flags: 0x4000_0000, ..ask(0, PREAD, back.as_mut_ptr() as u64, 1, 0) }));
    say!("no counter {}", one(context, Iocb { flags: RESFD, resfd: fd, ..ask(0, PREAD, 0, 0, 0) }));
    say!("no request {}", submit(context, &[8 as *mut Iocb]));
    let mut good = ask(10, PREAD, back.as_mut_ptr() as u64, 3, 0);
    let mut bad = ask(11, 99, 0, 0, 0);
    say!("second is bad {} {}", submit(context, &[&raw mut good, &raw mut bad, &raw mut good]), events(context, 0, 8));
    // SAFETY: a terminated string.
    let only = unsafe { libc::open(c("file").as_ptr(), libc::O_RDONLY) } as u32;
    say!("read-only {}", one(context, Iocb { fd: only, ..ask(0, PWRITE, text.as_ptr() as u64, 1, 0) }));
    say!("nothing {}", submit(context, &[]));
    say!("no context {} {}", submit(context + 64, &[]), events(context + 64, 0, 1));
    // SAFETY: a count below zero, and requests that are finished.
    unsafe {
        say!("negative {}", show(libc::syscall(libc::SYS_io_submit, context, -1i64, 0)));
        let mut event = Event::default();
        say!("cancel {}", show(libc::syscall(libc::SYS_io_cancel, context, &raw mut good, &raw mut event)));
        say!("min above max {}", events(context, 2, 1));
        say!("below {}", events(context, -1, 1));
    }
    say!("setup again {}", setup(4, &mut context));
    let mut other = 0;
    say!("setup of nothing {} too much {}", setup(0, &mut other), setup(u32::MAX.into(), &mut other));
    for _ in 0..2 {
        // SAFETY: no memory is touched.
        say!("destroy {}", show(unsafe { libc::syscall(libc::SYS_io_destroy, context) }));
    }
}

extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn waiting() {
    say!("= waiting");
    let mut context = 0;
    setup(2, &mut context);
    // SAFETY: no memory is touched.
    let counter = unsafe { libc::eventfd(0, 0) };
    let (from, to) = pipe();
    let mut back = [0u8; 4];
    let ask = Iocb {
        data: 1,
        opcode: PREAD,
        fd: from as u32,
        buf: back.as_mut_ptr() as u64,
        nbytes: 4,
        flags: RESFD,
        resfd: counter as u32,
        ..Iocb::default()
    };
    write(to, b"pipe");
    say!("{} {:?}", one(context, ask), std::str::from_utf8(&back));
    say!("counter {}", read(counter, 8));
    say!("{}", events(context, 1, 1));
    say!("none {}", events(context, 1, 1));
    let pid = fork(|| {
        say!("child {}", events(context, 0, 1));
        0
    });
    say!("{}", wait(pid));
    // A signal ends the wait.
    handle(libc::SIGALRM, 0, &[], nothing);
    let timer = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 1000 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 1000 },
    };
    // SAFETY: valid structures; room for an event.
    unsafe {
        libc::syscall(libc::SYS_setitimer, 0, &raw const timer, 0);
        let mut event = Event::default();
        let r = libc::syscall(libc::SYS_io_getevents, context, 1, 1, &raw mut event, 0);
        say!("interrupted {}", show(r));
        let set = guest::set(&[]);
        let sigset = [&raw const set as u64, 8u64];
        let r = libc::syscall(SYS_IO_PGETEVENTS, context, 1, 1, &raw mut event, 0, sigset.as_ptr());
        say!("interrupted {}", show(r));
        let wrong = [&raw const set as u64, 9u64];
        let r = libc::syscall(SYS_IO_PGETEVENTS, context, 1, 1, &raw mut event, 0, wrong.as_ptr());
        say!("size {}", show(r));
        say!("{}", ok(libc::syscall(libc::SYS_io_destroy, context)));
    }
}

fn main() {
    let dir = scratch("aio");
    files();
    waiting();
    clean(&dir);
}
