//! Rings: io_uring(7), by its three system calls. Results of a step are shown in the order of their values, since
//! Linux does not promise another.

use guest::{clean, close, errno, fork, handle, ok, pipe, read, say, scratch, show, wait, write};
use std::{
    mem::{size_of, zeroed},
    ptr::{null, null_mut},
    sync::atomic::{AtomicU32, Ordering},
};

const NOP: u8 = 0;
const READV: u8 = 1;
const WRITEV: u8 = 2;
const FSYNC: u8 = 3;
const READ_FIXED: u8 = 4;
const WRITE_FIXED: u8 = 5;
const POLL_ADD: u8 = 6;
const POLL_REMOVE: u8 = 7;
const SENDMSG: u8 = 9;
const RECVMSG: u8 = 10;
const TIMEOUT: u8 = 11;
const TIMEOUT_REMOVE: u8 = 12;
const ACCEPT: u8 = 13;
const CANCEL: u8 = 14;
const LINK_TIMEOUT: u8 = 15;
const CONNECT: u8 = 16;
const FALLOCATE: u8 = 17;
const OPENAT: u8 = 18;
const CLOSE: u8 = 19;
const FILES_UPDATE: u8 = 20;
const STATX: u8 = 21;
const READ: u8 = 22;
const WRITE: u8 = 23;
const SEND: u8 = 26;
const RECV: u8 = 27;
const EPOLL_CTL: u8 = 29;
const SPLICE: u8 = 30;
const PROVIDE_BUFFERS: u8 = 31;
const REMOVE_BUFFERS: u8 = 32;
const TEE: u8 = 33;
const SHUTDOWN: u8 = 34;
const RENAMEAT: u8 = 35;
const UNLINKAT: u8 = 36;
const MKDIRAT: u8 = 37;
const SYMLINKAT: u8 = 38;
const LINKAT: u8 = 39;

const FIXED: u8 = 1;
const DRAIN: u8 = 2;
const LINK: u8 = 4;
const HARDLINK: u8 = 8;
const ASYNC: u8 = 16;
const SELECT: u8 = 32;
const SKIP: u8 = 64;

const HERE: i32 = libc::AT_FDCWD;
const OWN: u64 = u64::MAX;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sqe {
    op: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    op_flags: u32,
    data: u64,
    buf: u16,
    personality: u16,
    index: u32,
    rest: [u64; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Params {
    sq: u32,
    cq: u32,
    flags: u32,
    cpu: u32,
    idle: u32,
    features: u32,
    wq: u32,
    resv: [u32; 3],
    sq_off: [u32; 10],
    cq_off: [u32; 10],
}

fn setup(entries: u32, p: &mut Params) -> i32 {
    // SAFETY: a valid structure.
    unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, p) as i32 }
}

fn enter_raw(fd: i32, submit: u32, min: u32, flags: u32, arg: usize, size: usize) -> i64 {
    // SAFETY: the caller's pointers.
    unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, submit, min, flags, arg, size) }
}

fn register(fd: i32, op: u32, arg: usize, count: u32) -> i64 {
    // SAFETY: the caller's pointers.
    unsafe { libc::syscall(libc::SYS_io_uring_register, fd, op, arg, count) }
}

struct Ring {
    fd: i32,
    p: Params,
    rings: *mut u8,
    sqes: *mut Sqe,
    queued: u32,
}

impl Ring {
    fn new(entries: u32, flags: u32, cq: u32) -> Self {
        let mut p = Params { flags, cq, ..Params::default() };
        let fd = setup(entries, &mut p);
        assert!(fd >= 0, "io_uring_setup: {}", show(-1));
        let len = (p.sq_off[6] + 4 * p.sq).max(p.cq_off[5] + 16 * p.cq) as usize;
        let map = |len, off| {
            // SAFETY: a new mapping.
            let at = unsafe { libc::mmap(null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE, fd, off) };
            assert!(at != libc::MAP_FAILED, "mmap: {}", show(-1));
            at
        };
        let rings = map(len, 0).cast();
        let sqes = map(size_of::<Sqe>() * p.sq as usize, 0x1000_0000).cast();
        Self { fd, p, rings, sqes, queued: 0 }
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: inside the mapping.
        unsafe { &*self.rings.add(offset as usize).cast() }
    }

    fn push(&mut self, sqe: Sqe) {
        let tail = self.word(self.p.sq_off[1]).load(Ordering::Relaxed);
        let slot = tail & (self.p.sq - 1);
        // SAFETY: inside the mapping.
        unsafe { *self.sqes.add(slot as usize) = sqe };
        self.word(self.p.sq_off[6] + 4 * slot).store(slot, Ordering::Relaxed);
        self.word(self.p.sq_off[1]).store(tail.wrapping_add(1), Ordering::Release);
        self.queued += 1;
    }

    fn enter(&mut self, min: u32) -> i64 {
        let n = std::mem::take(&mut self.queued);
        enter_raw(self.fd, n, min, 1, 0, 8)
    }

    fn ready(&self) -> u32 {
        let tail = self.word(self.p.cq_off[1]).load(Ordering::Acquire);
        tail.wrapping_sub(self.word(self.p.cq_off[0]).load(Ordering::Relaxed))
    }

    /// Takes what is there: value, result, flags.
    fn take(&self) -> Vec<(u64, i32, u32)> {
        let mut out = Vec::new();
        while self.ready() > 0 {
            let head = self.word(self.p.cq_off[0]).load(Ordering::Relaxed);
            let at = self.p.cq_off[5] + 16 * (head & (self.p.cq - 1));
            // SAFETY: inside the mapping.
            out.push(unsafe { (*self.rings.add(at as usize).cast::<u64>(), self.word(at + 8).load(Ordering::Relaxed) as i32, self.word(at + 12).load(Ordering::Relaxed)) });
            self.word(self.p.cq_off[0]).store(head.wrapping_add(1), Ordering::Release);
        }
        out
    }

    fn results(&self) -> String {
        let mut all = self.take();
        all.sort();
        let text: Vec<_> = all.iter().map(|(data, res, flags)| {
            // Whether there is more in a socket is a hint that need not be given.
            let flags = &(flags & !4);
            let res = if *res < 0 { guest::error_name(-res) } else { res.to_string() };
            if *flags == 0 { format!("{data}:{res}") } else { format!("{data}:{res}/{flags:x}") }
        }).collect();
        text.join(" ")
    }

    /// Submits what is queued, waits for so many results and shows them.
    fn go(&mut self, min: u32) -> String {
        let n = self.queued;
        let r = self.enter(min);
        let head = if r == i64::from(n) { String::new() } else { format!("[{}] ", show(r)) };
        format!("{head}{}", self.results())
    }

    fn one(&mut self, sqe: Sqe) -> String {
        self.push(Sqe { data: 1, ..sqe });
        self.go(1)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        close(self.fd);
    }
}

fn sqe(op: u8, fd: i32, addr: *const u8, len: usize, off: u64) -> Sqe {
    Sqe { op, fd, addr: addr as u64, len: len as u32, off, ..Sqe::default() }
}

fn nop(data: u64, flags: u8) -> Sqe {
    Sqe { op: NOP, flags, data, ..Sqe::default() }
}

fn time(op: u8, ts: &libc::timespec, data: u64) -> Sqe {
    Sqe { op, fd: -1, addr: ts as *const _ as u64, len: 1, data, ..Sqe::default() }
}

fn ms(n: i64) -> libc::timespec {
    libc::timespec { tv_sec: n / 1000, tv_nsec: n % 1000 * 1_000_000 }
}

extern "C" fn note(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn errors() {
    let mut p = Params::default();
    say!("entries: {} {}", show(setup(0, &mut p)), show(setup(40_000, &mut p)));
    let with = |flags, cq| show(setup(4, &mut Params { flags, cq, ..Params::default() }));
    say!("flags: {} {} {} {}", with(1 << 31, 0), with(4, 0), with(1 << 9, 0), with(1 << 13, 0));
    say!("queue: {} {}", with(8, 0), with(8, 2));
    let mut p = Params { resv: [1, 0, 0], ..Params::default() };
    say!("reserved: {} pointer: {}", show(setup(1, &mut p)), show(setup(1, unsafe { &mut *(8 as *mut Params) })));
    let mut p = Params { flags: 16, ..Params::default() };
    let fd = setup(40_000, &mut p);
    say!("clamped: {} {} {}", ok(fd), p.sq, p.cq);
    // SAFETY: no memory is touched.
    say!("close on exec: {}", show(unsafe { libc::fcntl(fd, libc::F_GETFD) }));
    say!("name: {:?}", std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("a link"));
    let map = |len: usize, off| {
        // SAFETY: a new mapping.
        match unsafe { libc::mmap(null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, fd, off) } {
            libc::MAP_FAILED => show(-1),
            _ => "ok".into(),
        }
    };
    say!("mmap: {} {}", map(4096, 0), map(4096, 0x0800_0000));
    say!("enter: {} {} {}", show(enter_raw(fd, 0, 0, 1 << 20, 0, 0)), show(enter_raw(0, 0, 0, 0, 0, 0)), show(enter_raw(-1, 0, 0, 0, 0, 0)));
    say!("nothing: {}", show(enter_raw(fd, 0, 0, 1, 0, 0)));
    say!("register: {} {}", show(register(fd, 1000, 0, 0)), show(register(0, 0, 0, 0)));
    close(fd);
    let features = 0x3f & p.features;
    say!("features: {features:x} {:x}", p.features & (1 << 8 | 1 << 11 | 1 << 12));
}

fn files(ring: &mut Ring) {
    let mut buf = [0u8; 16];
    let at = buf.as_mut_ptr();
    say!("open: {}", ring.one(Sqe { op_flags: (libc::O_RDWR | libc::O_CREAT) as u32, ..sqe(OPENAT, HERE, c"file".as_ptr().cast(), 0o644, 0) }).replace(&format!("1:{}", next_fd() - 1), "1:fd"));
    let fd = next_fd() - 1;
    say!("write: {}", ring.one(sqe(WRITE, fd, b"hello world".as_ptr(), 11, 0)));
    say!("read: {} {:?}", ring.one(sqe(READ, fd, at, 5, 6)), String::from_utf8_lossy(&buf[..5]));
    say!("own position: {} {} {}", ring.one(sqe(READ, fd, at, 4, OWN)), ring.one(sqe(READ, fd, at, 4, OWN)), String::from_utf8_lossy(&buf[..4]));
    say!("end: {}", ring.one(sqe(READ, fd, at, 16, 11)));
    let iov = [libc::iovec { iov_base: at.cast(), iov_len: 3 }, libc::iovec { iov_base: at.wrapping_add(8).cast(), iov_len: 3 }];
    say!("readv: {} writev: {}", ring.one(sqe(READV, fd, iov.as_ptr().cast(), 2, 0)), ring.one(sqe(WRITEV, fd, iov.as_ptr().cast(), 2, 20)));
    say!("bad: {} {} {} {}", ring.one(sqe(READ, -1, at, 4, 0)), ring.one(sqe(READ, fd, 8 as *const u8, 4, 0)), ring.one(sqe(READV, fd, at, 5000, 0)), ring.one(sqe(200, fd, at, 1, 0)));
    say!("flags: {} {}", ring.one(Sqe { op_flags: 1 << 30, ..sqe(READ, fd, at, 4, 0) }), ring.one(Sqe { flags: 128, ..nop(0, 0) }));
    say!("fsync: {} {} {}", ring.one(sqe(FSYNC, fd, null(), 0, 0)), ring.one(Sqe { op_flags: 1, ..sqe(FSYNC, fd, null(), 0, 0) }), ring.one(Sqe { op_flags: 2, ..sqe(FSYNC, fd, null(), 0, 0) }));
    say!("fallocate: {}", ring.one(sqe(FALLOCATE, fd, 100 as *const u8, 0, 0)));
    // SAFETY: room for the result.
    let mut stx: libc::statx = unsafe { zeroed() };
    let to = &mut stx as *mut libc::statx as u64;
    say!("statx: {} {} {:o}", ring.one(sqe(STATX, HERE, c"file".as_ptr().cast(), 0x7ff, to)), stx.stx_size, stx.stx_mode);
    say!("statx of nothing: {}", ring.one(sqe(STATX, HERE, c"none".as_ptr().cast(), 0x7ff, to)));
    say!("asynchronously: {}", ring.one(Sqe { flags: ASYNC, ..sqe(READ, fd, at, 5, 0) }));
    // SAFETY: a number.
    let only = unsafe { libc::open(c"file".as_ptr(), libc::O_RDONLY) };
    say!("read only: {}", ring.one(sqe(WRITE, only, at, 1, 0)));
    close(only);

    // Names.
    say!("mkdir: {} {}", ring.one(sqe(MKDIRAT, HERE, c"dir".as_ptr().cast(), 0o755, 0)), ring.one(sqe(MKDIRAT, HERE, c"dir".as_ptr().cast(), 0o755, 0)));
    say!("symlink: {}", ring.one(sqe(SYMLINKAT, HERE, c"file".as_ptr().cast(), 0, c"sym".as_ptr() as u64)));
    say!("link: {}", ring.one(sqe(LINKAT, HERE, c"file".as_ptr().cast(), HERE as u32 as usize, c"hard".as_ptr() as u64)));
    say!("rename: {}", ring.one(sqe(RENAMEAT, HERE, c"hard".as_ptr().cast(), HERE as u32 as usize, c"dir/new".as_ptr() as u64)));
    say!("unlink: {} {} {}", ring.one(sqe(UNLINKAT, HERE, c"dir".as_ptr().cast(), 0, 0)), ring.one(sqe(UNLINKAT, HERE, c"dir/new".as_ptr().cast(), 0, 0)), ring.one(Sqe { op_flags: libc::AT_REMOVEDIR as u32, ..sqe(UNLINKAT, HERE, c"dir".as_ptr().cast(), 0, 0) }));
    say!("odd: {} {}", ring.one(Sqe { op_flags: 1, ..sqe(UNLINKAT, HERE, c"sym".as_ptr().cast(), 0, 0) }), ring.one(sqe(MKDIRAT, HERE, 8 as *const u8, 0, 0)));

    // Registered files and buffers.
    let fds = [fd, -1, -1];
    say!("files: {} {}", show(register(ring.fd, 2, fds.as_ptr() as usize, 3)), show(register(ring.fd, 2, fds.as_ptr() as usize, 3)));
    say!("fixed: {} {} {}", ring.one(Sqe { flags: FIXED, ..sqe(READ, 0, at, 5, 0) }), ring.one(Sqe { flags: FIXED, ..sqe(READ, 1, at, 5, 0) }), ring.one(Sqe { flags: FIXED, ..sqe(READ, 3, at, 5, 0) }));
    say!("into a slot: {}", ring.one(Sqe { index: 2, ..sqe(OPENAT, HERE, c"file".as_ptr().cast(), 0, 0) }));
    say!("wherever: {} {}", ring.one(Sqe { index: u32::MAX, ..sqe(OPENAT, HERE, c"file".as_ptr().cast(), 0, 0) }), ring.one(Sqe { index: u32::MAX, ..sqe(OPENAT, HERE, c"file".as_ptr().cast(), 0, 0) }));
    say!("read: {}", ring.one(Sqe { flags: FIXED, ..sqe(READ, 2, at, 5, 0) }));
    say!("close: {} {} {}", ring.one(Sqe { index: 3, ..sqe(CLOSE, 0, null(), 0, 0) }), ring.one(Sqe { index: 3, ..sqe(CLOSE, 0, null(), 0, 0) }), ring.one(Sqe { index: 9, ..sqe(CLOSE, 0, null(), 0, 0) }));
    let new = [-1i32, fd];
    say!("update: {} {}", ring.one(sqe(FILES_UPDATE, -1, new.as_ptr().cast(), 2, 1)), ring.one(sqe(FILES_UPDATE, -1, new.as_ptr().cast(), 2, 2)));
    say!("updated: {} {}", ring.one(Sqe { flags: FIXED, ..sqe(READ, 1, at, 5, 0) }), ring.one(Sqe { flags: FIXED, ..sqe(READ, 2, at, 5, 0) }));
    say!("unregister: {} {}", show(register(ring.fd, 3, 0, 0)), show(register(ring.fd, 3, 0, 0)));
    let iov = [libc::iovec { iov_base: at.cast(), iov_len: 16 }];
    say!("none: {}", ring.one(sqe(READ_FIXED, fd, at, 5, 0)));
    say!("buffers: {} {}", show(register(ring.fd, 0, iov.as_ptr() as usize, 1)), show(register(ring.fd, 0, iov.as_ptr() as usize, 1)));
    say!("fixed: {} {} {}", ring.one(sqe(READ_FIXED, fd, at, 5, 0)), ring.one(sqe(WRITE_FIXED, fd, at, 5, 40)), ring.one(sqe(READ_FIXED, fd, at, 17, 0)));
    say!("unregister: {} {}", show(register(ring.fd, 1, 0, 0)), show(register(ring.fd, 1, 0, 0)));
    say!("close: {} {}", ring.one(sqe(CLOSE, fd, null(), 0, 0)), ring.one(sqe(CLOSE, fd, null(), 0, 0)));
    say!("not itself: {}", ring.one(sqe(CLOSE, ring.fd, null(), 0, 0)));
}

fn next_fd() -> i32 {
    // SAFETY: no memory is touched.
    unsafe {
        let fd = libc::dup(1);
        libc::close(fd);
        fd
    }
}

fn waiting(ring: &mut Ring) {
    let (r, w) = pipe();
    let mut buf = [0u8; 16];
    let at = buf.as_mut_ptr();
    ring.push(Sqe { data: 1, ..sqe(READ, r, at, 16, 0) });
    say!("empty pipe: {:?}", ring.go(0));
    write(w, b"late");
    say!("then: {} {:?}", ring.go(1), String::from_utf8_lossy(&buf[..4]));

    // Memory that the kernel is to have read already.
    let mut iov = [libc::iovec { iov_base: at.cast(), iov_len: 2 }];
    ring.push(Sqe { data: 2, ..sqe(READV, r, iov.as_ptr().cast(), 1, 0) });
    ring.enter(0);
    iov[0] = libc::iovec { iov_base: null_mut(), iov_len: 9 };
    write(w, b"ab");
    say!("stable: {} {}", ring.go(1), iov[0].iov_len);

    // In the middle of something else.
    ring.push(Sqe { data: 3, ..sqe(READ, r, at, 1, 0) });
    ring.enter(0);
    let child = fork(|| {
        write(w, b"x");
        0
    });
    while ring.ready() == 0 {
        std::hint::spin_loop();
    }
    wait(child);
    say!("without a call: {}", ring.results());

    // A nonblocking file is waited for, too.
    // SAFETY: no memory is touched.
    unsafe { libc::fcntl(r, libc::F_SETFL, libc::O_NONBLOCK) };
    ring.push(Sqe { data: 4, ..sqe(READ, r, at, 1, 0) });
    let first = ring.go(0);
    write(w, b"y");
    say!("nonblocking: {first:?} {}", ring.go(1));
    // SAFETY: no memory is touched.
    unsafe { libc::fcntl(r, libc::F_SETFL, 0) };
    say!("no wait: {}", ring.one(Sqe { op_flags: 8, ..sqe(READ, r, at, 1, 0) }));

    // Polls.
    ring.push(Sqe { data: 5, op_flags: 1, ..sqe(POLL_ADD, r, null(), 0, 0) });
    let first = ring.go(0);
    write(w, b"z");
    say!("poll: {first:?} {}", ring.go(1));
    say!("at once: {}", ring.one(Sqe { op_flags: 1, ..sqe(POLL_ADD, r, null(), 0, 0) }));
    read(r, 1);
    ring.push(Sqe { data: 6, op_flags: 1, ..sqe(POLL_ADD, r, null(), 1, 0) });
    ring.enter(0);
    for _ in 0..2 {
        write(w, b"m");
        say!("multishot: {}", ring.go(1));
        read(r, 1);
    }
    ring.push(Sqe { data: 7, ..sqe(POLL_REMOVE, -1, 6 as *const u8, 0, 0) });
    say!("removed: {}", ring.go(2));
    say!("nothing to remove: {}", ring.one(sqe(POLL_REMOVE, -1, 6 as *const u8, 0, 0)));
    ring.push(Sqe { data: 8, op_flags: 1, ..sqe(POLL_ADD, r, null(), 0, 0) });
    ring.enter(0);
    ring.push(Sqe { data: 9, ..sqe(POLL_REMOVE, -1, 8 as *const u8, 4, 88) });
    say!("renamed: {}", ring.go(1));
    write(w, b"n");
    say!("then: {}", ring.go(1));
    read(r, 1);
    say!("not pollable: {}", ring.one(Sqe { op_flags: 1, ..sqe(POLL_ADD, -1, null(), 0, 0) }));

    // Cancelling.
    for data in [10, 10, 11] {
        ring.push(Sqe { data, ..sqe(READ, r, at, 1, 0) });
    }
    ring.enter(0);
    ring.push(Sqe { data: 12, ..sqe(CANCEL, -1, 11 as *const u8, 0, 0) });
    say!("cancel: {}", ring.go(2));
    ring.push(Sqe { data: 13, op_flags: 1, ..sqe(CANCEL, -1, 10 as *const u8, 0, 0) });
    say!("all: {}", ring.go(3));
    say!("none: {} {}", ring.one(sqe(CANCEL, -1, 10 as *const u8, 0, 0)), ring.one(Sqe { op_flags: 1, ..sqe(CANCEL, -1, 10 as *const u8, 0, 0) }));
    ring.push(Sqe { data: 14, ..sqe(READ, r, at, 1, 0) });
    ring.enter(0);
    ring.push(Sqe { data: 15, op_flags: 2, ..sqe(CANCEL, r, null(), 0, 0) });
    say!("by file: {}", ring.go(2));

    // Splicing.
    let (r2, w2) = pipe();
    write(w, b"splice me");
    let splice = |op, len, data| Sqe { op, fd: w2, len, addr: if op == TEE { 0 } else { OWN }, off: if op == TEE { 0 } else { OWN }, index: r as u32, data, ..Sqe::default() };
    ring.push(splice(TEE, 6, 1));
    say!("tee: {} {}", ring.go(1), read(r2, 16));
    ring.push(splice(SPLICE, 9, 1));
    say!("splice: {} {}", ring.go(1), read(r2, 16));
    ring.push(splice(SPLICE, 3, 1));
    let first = ring.go(0);
    write(w, b"abc");
    say!("later: {first:?} {} {}", ring.go(1), read(r2, 16));
    close(w);
    say!("end: {}", ring.one(sqe(READ, r, at, 1, 0)));
    close(r);
    // SAFETY: nothing is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    close(r2);
    say!("broken: {}", ring.one(sqe(WRITE, w2, at, 1, 0)));
    close(w2);
}

fn timeouts(ring: &mut Ring) {
    let short = ms(5);
    let long = ms(100_000);
    ring.push(time(TIMEOUT, &short, 1));
    say!("timeout: {}", ring.go(1));
    ring.push(Sqe { op_flags: 32, ..time(TIMEOUT, &short, 1) });
    say!("as success: {}", ring.go(1));
    ring.push(Sqe { off: 2, ..time(TIMEOUT, &long, 1) });
    ring.push(nop(2, 0));
    ring.push(nop(3, 0));
    say!("counted: {}", ring.go(3));
    let mut now = ms(0);
    // SAFETY: room for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    ring.push(Sqe { op_flags: 1, ..time(TIMEOUT, &now, 1) });
    say!("absolute: {}", ring.go(1));
    // SAFETY: room for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    ring.push(Sqe { op_flags: 1 | 8, ..time(TIMEOUT, &now, 1) });
    say!("real time: {}", ring.go(1));
    ring.push(time(TIMEOUT, &long, 1));
    ring.enter(0);
    ring.push(Sqe { data: 2, ..sqe(TIMEOUT_REMOVE, -1, 1 as *const u8, 0, 0) });
    say!("removed: {}", ring.go(2));
    say!("nothing: {}", ring.one(sqe(TIMEOUT_REMOVE, -1, 9 as *const u8, 0, 0)));
    ring.push(time(TIMEOUT, &long, 1));
    ring.enter(0);
    ring.push(Sqe { data: 2, op_flags: 2, ..sqe(TIMEOUT_REMOVE, -1, 1 as *const u8, 0, &short as *const _ as u64) });
    say!("changed: {}", ring.go(2));
    ring.push(time(TIMEOUT, &long, 1));
    ring.enter(0);
    ring.push(Sqe { data: 2, ..sqe(CANCEL, -1, 1 as *const u8, 0, 0) });
    say!("cancelled: {}", ring.go(2));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: -1 };
    ring.push(time(TIMEOUT, &bad, 1));
    say!("bad: {} {}", ring.go(1), ring.one(Sqe { len: 2, ..time(TIMEOUT, &short, 1) }));

    // Linked to something.
    let (r, w) = pipe();
    let mut buf = [0u8; 4];
    let at = buf.as_mut_ptr();
    ring.push(Sqe { data: 1, flags: LINK, ..sqe(READ, r, at, 4, 0) });
    ring.push(time(LINK_TIMEOUT, &short, 2));
    say!("limit: {}", ring.go(2));
    ring.push(Sqe { data: 1, flags: LINK, ..sqe(READ, r, at, 4, 0) });
    ring.push(time(LINK_TIMEOUT, &long, 2));
    ring.enter(0);
    write(w, b"in");
    say!("in time: {}", ring.go(2));
    ring.push(nop(1, LINK));
    ring.push(time(LINK_TIMEOUT, &long, 2));
    say!("at once: {}", ring.go(2));
    ring.push(time(LINK_TIMEOUT, &long, 2));
    say!("of nothing: {}", ring.go(1));
    ring.push(Sqe { data: 1, flags: LINK, ..sqe(READ, r, at, 4, 0) });
    ring.push(Sqe { flags: LINK, ..time(LINK_TIMEOUT, &short, 2) });
    ring.push(nop(3, 0));
    say!("with more: {}", ring.go(3));
    close(r);
    close(w);

    // The call's own time.
    let arg = [0u64, 8, &short as *const _ as u64];
    say!("no results: {}", show(enter_raw(ring.fd, 0, 1, 1 | 8, arg.as_ptr() as usize, 24)));
    say!("size: {}", show(enter_raw(ring.fd, 0, 1, 1 | 8, arg.as_ptr() as usize, 23)));
    handle(libc::SIGALRM, 0, &[], note);
    // SAFETY: no memory is kept.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &libc::itimerval { it_interval: zeroed(), it_value: libc::timeval { tv_sec: 0, tv_usec: 20_000 } }, null_mut()) };
    say!("signal: {}", show(enter_raw(ring.fd, 0, 1, 1, 0, 8)));
}

fn links(ring: &mut Ring) {
    let bad = Sqe { data: 2, ..sqe(READ, -1, null(), 4, 0) };
    for (what, flag) in [("link", LINK), ("hard link", HARDLINK)] {
        ring.push(nop(1, flag));
        ring.push(Sqe { flags: flag, ..bad });
        ring.push(nop(3, flag));
        ring.push(nop(4, 0));
        say!("{what}: {}", ring.go(4));
    }
    ring.push(nop(1, LINK));
    ring.push(Sqe { op: 200, flags: LINK, data: 2, ..Sqe::default() });
    ring.push(nop(3, 0));
    say!("refused: {}", ring.go(3));
    ring.push(Sqe { op: 200, data: 1, ..Sqe::default() });
    ring.push(nop(2, 0));
    let first = ring.go(1);
    ring.queued = 1;
    say!("stops: {first} then {}", ring.go(1));
    std::fs::write("short", b"abc").expect("a file");
    // SAFETY: a number.
    let fd = unsafe { libc::open(c"short".as_ptr(), libc::O_RDONLY) };
    let mut buf = [0u8; 8];
    ring.push(Sqe { data: 1, flags: LINK, ..sqe(READ, fd, buf.as_mut_ptr(), 8, 0) });
    ring.push(nop(2, 0));
    say!("short: {}", ring.go(2));
    close(fd);
    let (r, w) = pipe();
    ring.push(Sqe { data: 1, flags: LINK, ..sqe(READ, r, buf.as_mut_ptr(), 1, 0) });
    ring.push(nop(2, LINK));
    ring.push(nop(3, 0));
    ring.push(nop(4, 0));
    say!("waits: {}", ring.go(1));
    write(w, b"x");
    say!("goes on: {}", ring.go(3));
    ring.push(Sqe { data: 1, ..sqe(READ, r, buf.as_mut_ptr(), 1, 0) });
    ring.push(nop(2, DRAIN));
    ring.push(nop(3, 0));
    say!("drain: {:?}", ring.go(0));
    write(w, b"x");
    say!("drained: {}", ring.go(3));
    ring.push(nop(1, SKIP));
    ring.push(Sqe { flags: SKIP, ..bad });
    ring.push(nop(3, 0));
    say!("skipped: {}", ring.go(2));
    close(r);
    close(w);
}

fn sockets(ring: &mut Ring) {
    // SAFETY: valid structures.
    unsafe {
        let listener = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        let mut name: libc::sockaddr_in = zeroed();
        name.sin_family = libc::AF_INET as u16;
        name.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let mut len = size_of::<libc::sockaddr_in>() as u32;
        libc::bind(listener, (&raw const name).cast(), len);
        libc::listen(listener, 5);
        libc::getsockname(listener, (&raw mut name).cast(), &mut len);
        let mut ends = Vec::new();
        // Several connections by one request.
        ring.push(Sqe { data: 1, ioprio: 1, ..sqe(ACCEPT, listener, null(), 0, 0) });
        say!("accept: {:?}", ring.go(0));
        for _ in 0..2 {
            let s = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
            ring.push(Sqe { data: 2, ..sqe(CONNECT, s, (&raw const name).cast(), 0, len.into()) });
            let n = ring.enter(2);
            let mut all = ring.take();
            all.sort();
            say!("connected: {n} {} {:x} {}", all[0].1 >= 0, all[0].2, all[1].1);
            ends.push((all[0].1, s));
        }
        ring.push(Sqe { data: 3, ..sqe(CANCEL, -1, 1 as *const u8, 0, 0) });
        say!("no more: {}", ring.go(2));
        let (a, b) = ends[0];
        let mut buf = [0u8; 64];
        let at = buf.as_mut_ptr();
        ring.push(Sqe { data: 1, ..sqe(RECV, a, at, 64, 0) });
        let first = ring.go(0);
        ring.push(Sqe { data: 2, ..sqe(SEND, b, b"ping".as_ptr(), 4, 0) });
        say!("message: {first:?} {} {:?}", ring.go(2), String::from_utf8_lossy(&buf[..4]));
        ring.push(Sqe { data: 1, op_flags: libc::MSG_WAITALL as u32, ..sqe(RECV, a, at, 6, 0) });
        ring.enter(0);
        write(b, b"abc");
        let first = ring.go(0);
        write(b, b"def");
        say!("all: {first:?} {} {:?}", ring.go(1), String::from_utf8_lossy(&buf[..6]));
        say!("not now: {}", ring.one(Sqe { op_flags: libc::MSG_DONTWAIT as u32, ..sqe(RECV, a, at, 6, 0) }));
        say!("no socket: {} {}", ring.one(sqe(RECV, 0, at, 6, 0)), ring.one(sqe(ACCEPT, 0, null(), 0, 0)));

        // Buffers that the kernel chooses from.
        let mut pool = [0u8; 32];
        say!("provide: {} {}", ring.one(Sqe { buf: 7, ..sqe(PROVIDE_BUFFERS, 4, pool.as_mut_ptr(), 8, 100) }), ring.one(Sqe { buf: 7, ..sqe(PROVIDE_BUFFERS, 0, pool.as_mut_ptr(), 8, 100) }));
        for text in ["first", "second"] {
            write(b, text.as_bytes());
            say!("chosen: {}", ring.one(Sqe { buf: 7, flags: SELECT, ..sqe(RECV, a, null(), 8, 0) }));
        }
        say!("there: {:?} {:?}", String::from_utf8_lossy(&pool[..5]), String::from_utf8_lossy(&pool[8..14]));
        say!("no such group: {}", { write(b, b"q"); ring.one(Sqe { buf: 8, flags: SELECT, ..sqe(RECV, a, null(), 8, 0) }) });
        say!("remove: {} {}", ring.one(Sqe { buf: 7, ..sqe(REMOVE_BUFFERS, 5, null(), 0, 0) }), ring.one(Sqe { buf: 9, ..sqe(REMOVE_BUFFERS, 5, null(), 0, 0) }));
        say!("left: {}", ring.one(sqe(RECV, a, at, 8, 0)));

        // Messages with names and descriptors.
        let mut pair = [0; 2];
        libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, pair.as_mut_ptr());
        let mut iov = libc::iovec { iov_base: b"carry".as_ptr() as *mut _, iov_len: 5 };
        let mut control = [0u64; 8];
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &mut iov;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let head = libc::CMSG_FIRSTHDR(&message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(4) as _;
        *libc::CMSG_DATA(head).cast::<i32>() = 1;
        say!("sendmsg: {}", ring.one(sqe(SENDMSG, pair[0], (&raw const message).cast(), 1, 0)));
        let mut iov = libc::iovec { iov_base: at.cast(), iov_len: 64 };
        control.fill(0);
        message.msg_iov = &mut iov;
        message.msg_controllen = 64;
        let got = ring.one(sqe(RECVMSG, pair[1], (&raw const message).cast(), 1, 0));
        let passed = *libc::CMSG_DATA(libc::CMSG_FIRSTHDR(&message)).cast::<i32>();
        say!("recvmsg: {got} {} {:?}", passed > 2, String::from_utf8_lossy(&buf[..5]));
        close(passed);
        ring.push(Sqe { data: 1, ..sqe(RECVMSG, pair[1], (&raw const message).cast(), 1, 0) });
        let first = ring.go(0);
        write(pair[0], b"later");
        say!("waits: {first:?} {}", ring.go(1));

        // More than there is room for.
        let mut two = [0; 2];
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, two.as_mut_ptr());
        let big = vec![b'b'; 4 << 20];
        ring.push(Sqe { data: 1, op_flags: libc::MSG_WAITALL as u32, ..sqe(SEND, two[0], big.as_ptr(), big.len(), 0) });
        say!("full: {:?}", ring.go(0));
        let mut room = vec![0u8; 1 << 16];
        let mut total = 0;
        while ring.ready() == 0 {
            total += libc::recv(two[1], room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT).max(0);
            ring.enter(0);
        }
        while total < big.len() as isize {
            total += libc::recv(two[1], room.as_mut_ptr().cast(), room.len(), 0);
        }
        say!("everything: {} {total}", ring.results());

        say!("shutdown: {} {} {}", ring.one(sqe(SHUTDOWN, a, null(), 1, 0)), ring.one(sqe(SHUTDOWN, a, null(), 9, 0)), ring.one(sqe(RECV, b, at, 8, 0)));
        say!("broken: {}", ring.one(sqe(SEND, a, at, 1, 0)));
        for fd in pair.iter().chain(&two).chain(ends.iter().flat_map(|(a, b)| [a, b])) {
            close(*fd);
        }
        close(listener);
        // A name that nobody listens at.
        let (s, dead) = (libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0), libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0));
        name.sin_port = 0;
        libc::bind(dead, (&raw const name).cast(), len);
        libc::getsockname(dead, (&raw mut name).cast(), &mut len);
        say!("refused: {}", ring.one(sqe(CONNECT, s, (&raw const name).cast(), 0, len.into())));
        close(dead);
        close(s);
    }
}

fn around() {
    // A small ring of results.
    let mut ring = Ring::new(8, 8, 8);
    for data in 0..8 {
        ring.push(nop(data, 0));
    }
    ring.enter(0);
    ring.push(nop(8, 0));
    ring.push(nop(9, 0));
    ring.enter(0);
    let flag = |ring: &Ring| ring.word(ring.p.sq_off[4]).load(Ordering::Relaxed) & 2;
    say!("overflow: {} {} then {}", flag(&ring), ring.results(), { ring.enter(0); ring.results() });
    say!("no more: {}", flag(&ring));

    // An event counter, and epoll.
    let mut ring = Ring::new(8, 0, 0);
    // SAFETY: no memory is touched.
    let (event, set) = unsafe { (libc::eventfd(0, libc::EFD_NONBLOCK), libc::epoll_create1(0)) };
    let counter = || {
        let mut n = 0u64;
        // SAFETY: room for the number.
        match unsafe { libc::read(event, (&raw mut n).cast(), 8) } {
            8 => n.to_string(),
            n => show(n as i64),
        }
    };
    say!("eventfd: {} {}", show(register(ring.fd, 4, &event as *const i32 as usize, 1)), show(register(ring.fd, 4, &event as *const i32 as usize, 1)));
    let mut ev = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 5 };
    ring.push(Sqe { data: 1, ..sqe(EPOLL_CTL, set, (&raw const ev).cast(), libc::EPOLL_CTL_ADD as usize, ring.fd as u64) });
    say!("epoll_ctl: {} counter {}", ring.go(1), counter());
    // SAFETY: room for the result.
    let ready = |ev: &mut libc::epoll_event, wait| unsafe { libc::epoll_wait(set, ev, 1, wait) };
    say!("nothing: {}", ready(&mut ev, 0));
    let (r, w) = pipe();
    let mut buf = [0u8; 4];
    ring.push(Sqe { data: 2, ..sqe(READ, r, buf.as_mut_ptr(), 4, 0) });
    ring.enter(0);
    let child = fork(|| {
        write(w, b"wake");
        0
    });
    let mut n;
    loop {
        n = ready(&mut ev, -1);
        if n != -1 || errno() != libc::EINTR {
            break;
        }
    }
    wait(child);
    say!("woken: {n} {} {} counter {}", { ev.u64 }, ring.results(), counter());
    say!("unregister: {} {}", show(register(ring.fd, 5, 0, 0)), show(register(ring.fd, 5, 0, 0)));

    // What there is.
    let mut probe = [0u8; 16 + 8 * 64];
    say!("probe: {}", show(register(ring.fd, 8, probe.as_mut_ptr() as usize, 64)));
    let known: Vec<_> = (0..=39usize).chain([45]).filter(|op| probe[16 + 8 * op + 2] & 1 == 0).collect();
    say!("missing: {known:?} again: {}", show(register(ring.fd, 8, probe.as_mut_ptr() as usize, 64)));

    // Acting as somebody else.
    let id = register(ring.fd, 9, 0, 0);
    std::fs::write("mine", b"x").expect("a file");
    // SAFETY: numbers and terminated strings.
    unsafe {
        libc::chmod(c"mine".as_ptr(), 0o600);
        libc::syscall(libc::SYS_setresuid, -1, 1000, -1);
    }
    let open = sqe(OPENAT, HERE, c"mine".as_ptr().cast(), 0, 0);
    let own = ring.one(open);
    ring.push(Sqe { personality: id as u16, data: 1, ..open });
    ring.enter(1);
    let fd = ring.take()[0].1;
    say!("personality: {own} {} {}", fd >= 0, ring.one(Sqe { personality: 99, ..open }));
    // SAFETY: numbers.
    unsafe { libc::syscall(libc::SYS_setresuid, -1, 0, -1) };
    close(fd);
    say!("unregister: {} {}", show(register(ring.fd, 10, 0, id as u32)), show(register(ring.fd, 10, 0, id as u32)));

    // A ring in place of a descriptor.
    let mut update = [u64::from(u32::MAX), ring.fd as u64];
    say!("ring: {} {}", show(register(ring.fd, 20, update.as_mut_ptr() as usize, 1)), update[0]);
    ring.push(nop(1, 0));
    ring.queued = 0;
    say!("by index: {} {}", show(enter_raw(0, 1, 1, 1 | 16, 0, 8)), ring.results());
    update[1] = 0;
    say!("unregister: {} {}", show(register(ring.fd, 21, update.as_mut_ptr() as usize, 1)), show(enter_raw(0, 1, 1, 1 | 16, 0, 8)));
    close(r);
    close(w);

    // Off at first, and only for one thread.
    let mut ring = Ring::new(4, 64 | 1 << 12 | 1 << 13, 0);
    ring.push(nop(1, 0));
    say!("disabled: {}", show(ring.enter(1)));
    say!("enable: {} {}", show(register(ring.fd, 12, 0, 0)), show(register(ring.fd, 12, 0, 0)));
    ring.queued = 1;
    say!("enabled: {}", ring.go(1));
    let (r, w) = pipe();
    ring.push(Sqe { data: 2, ..sqe(READ, r, buf.as_mut_ptr(), 4, 0) });
    ring.enter(0);
    write(w, b"work");
    say!("left undone: {} then {}", ring.ready(), ring.go(1));
    let fd = ring.fd;
    let other = std::thread::spawn(move || show(enter_raw(fd, 1, 0, 0, 0, 0)));
    say!("another thread: {}", other.join().expect("a thread"));

    // A thread of the kernel takes submissions, once it is woken.
    let mut ring = Ring::new(4, 2, 0);
    ring.push(nop(1, 0));
    ring.push(Sqe { data: 2, ..sqe(READ, r, buf.as_mut_ptr(), 4, 0) });
    let n = enter_raw(ring.fd, 2, 0, 2, 0, 0);
    write(w, b"sq");
    while ring.ready() < 2 {
        enter_raw(ring.fd, 0, 2, 1 | 2, 0, 8);
    }
    say!("polled: {n} {}", ring.results());

    // The end of a thread is the end of its requests.
    let mut ring = Ring::new(4, 0, 0);
    let (fd, at) = (ring.fd, buf.as_mut_ptr() as u64);
    ring.push(Sqe { data: 3, fd: r, addr: at, ..sqe(READ, r, null(), 4, 0) });
    let done = std::thread::spawn(move || enter_raw(fd, 1, 0, 0, 0, 0)).join().expect("a thread");
    ring.queued = 0;
    write(w, b"late");
    say!("by a thread: {done} {}", ring.go(1));
    // A ring that waits for itself goes with its descriptor.
    ring.push(Sqe { data: 4, op_flags: 1, ..sqe(POLL_ADD, ring.fd, null(), 0, 0) });
    say!("itself: {:?}", ring.go(0));
    close(r);
    close(w);
    close(event);
    close(set);
}

fn main() {
    let dir = scratch("uring");
    errors();
    let mut ring = Ring::new(16, 0, 0);
    ring.push(nop(7, 0));
    ring.push(nop(8, 0));
    say!("nothing: {}", ring.go(2));
    files(&mut ring);
    waiting(&mut ring);
    timeouts(&mut ring);
    links(&mut ring);
    sockets(&mut ring);
    drop(ring);
    around();
    clean(&dir);
}
