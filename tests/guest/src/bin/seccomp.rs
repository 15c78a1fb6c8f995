//! seccomp(2): strict mode, filters and their actions, threads, inheritance, tracing, notifications.

use guest::{error_name, errno, fork, handle, pipe, say, show, wait, write};
use std::sync::atomic::{AtomicI32, Ordering};

const SET_STRICT: u32 = 0;
const SET_FILTER: u32 = 1;
const ACTION_AVAIL: u32 = 2;
const NOTIF_SIZES: u32 = 3;

const TSYNC: u32 = 1;
const NEW_LISTENER: u32 = 8;
const TSYNC_ESRCH: u32 = 16;
const WAIT_KILLABLE: u32 = 32;

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x3_0000;
const ERRNO: u32 = 0x5_0000;
const NOTIF: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

#[repr(C)]
#[derive(Clone, Copy)]
struct Insn(u16, u8, u8, u32);

#[repr(C)]
struct Program {
    len: u16,
    filter: *const Insn,
}

fn seccomp(op: u32, flags: u32, args: usize) -> i64 {
    // SAFETY: the callers give addresses that are valid for their operations.
    unsafe { libc::syscall(libc::SYS_seccomp, op, flags, args) as i64 }
}

fn install(flags: u32, code: &[Insn]) -> i64 {
    let program = Program { len: code.len() as u16, filter: code.as_ptr() };
    seccomp(SET_FILTER, flags, &raw const program as usize)
}

/// `action` for one system call, the others are allowed.
fn only(number: i64, action: u32) -> [Insn; 4] {
    [
        Insn(0x20, 0, 0, 0), // number
        Insn(0x15, 0, 1, number as u32),
        Insn(0x06, 0, 0, action),
        Insn(0x06, 0, 0, ALLOW),
    ]
}

fn no_new_privs() {
    // SAFETY: no memory is touched.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
}

fn getsid() -> i64 {
    // SAFETY: no memory is touched.
    unsafe { libc::syscall(libc::SYS_getsid, 0i64) as i64 }
}

fn field(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status");
    let line = status.lines().find_map(|l| l.strip_prefix(name).and_then(|l| l.strip_prefix(":\t")));
    line.unwrap_or("none").into()
}

static SEEN: AtomicI32 = AtomicI32::new(0);

extern "C" fn trapped(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid siginfo; the number lies 24 bytes into it.
    let (code, errno, number) = unsafe {
        let number = info.cast::<u8>().add(24).cast::<i32>().read();
        ((*info).si_code, (*info).si_errno, number)
    };
    let right = signal == libc::SIGSYS && code == 1 && i64::from(number) == libc::SYS_getsid;
    SEEN.store(if right { errno } else { -1 }, Ordering::SeqCst);
}

fn arguments() {
    say!("= arguments");
    say!("unknown {}", show(seccomp(77, 0, 0)));
    say!("strict with flags {}", show(seccomp(SET_STRICT, 1, 0)));
    say!("strict with arguments {}", show(seccomp(SET_STRICT, 0, 8)));
    say!("unknown flags {}", show(seccomp(SET_FILTER, 1 << 20, 0)));
    say!("two results {}", show(seccomp(SET_FILTER, TSYNC | NEW_LISTENER, 0)));
    say!("killable alone {}", show(seccomp(SET_FILTER, WAIT_KILLABLE, 0)));
    say!("no program {}", show(seccomp(SET_FILTER, 0, 8)));
    for action in [KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, NOTIF, TRACE, LOG, ALLOW, 0x1_0000] {
        say!("available {action:#x} {}", show(seccomp(ACTION_AVAIL, 0, &raw const action as usize)));
    }
    let sizes = [0u16; 3];
    let result = show(seccomp(NOTIF_SIZES, 0, &raw const sizes as usize));
    // SAFETY: the kernel has written them.
    let sizes = unsafe { (&raw const sizes).read_volatile() };
    say!("sizes {result} {sizes:?}");
    say!("mode {} {}", field("Seccomp"), field("Seccomp_filters"));
}

fn programs() {
    say!("= programs");
    let pid = fork(|| {
        no_new_privs();
        let ret = Insn(0x06, 0, 0, ALLOW);
        let cases: [(&str, Vec<Insn>); 15] = [
            ("empty", vec![]),
            ("no return", vec![Insn(0x00, 0, 0, 1)]),
            ("bad code", vec![Insn(0xffff, 0, 0, 1), ret]),
            ("bad offset", vec![Insn(0x20, 0, 0, 2), ret]),
            ("beyond", vec![Insn(0x20, 0, 0, 64), ret]),
            ("half word", vec![Insn(0x28, 0, 0, 0), ret]),
            ("jump beyond", vec![Insn(0x05, 0, 0, 1), ret]),
            ("branch beyond", vec![Insn(0x15, 0, 1, 0), ret]),
            ("division by 0", vec![Insn(0x34, 0, 0, 0), ret]),
            ("shift by 32", vec![Insn(0x64, 0, 0, 32), ret]),
            ("modulo", vec![Insn(0x94, 0, 0, 3), ret]),
            ("unwritten memory", vec![Insn(0x60, 0, 0, 0), ret]),
            ("memory beyond", vec![Insn(0x02, 0, 0, 16), ret]),
            ("right", vec![Insn(0x80, 0, 0, 0), Insn(0x02, 0, 0, 15), Insn(0x61, 0, 0, 15), Insn(0x87, 0, 0, 0), ret]),
            ("longest", vec![ret; 4096]),
        ];
        for (name, code) in cases {
            say!("{name} {}", show(install(0, &code)));
        }
        say!("mode {} filters {}", field("Seccomp"), field("Seccomp_filters"));
        // How many fit depends on what the kernel makes of them.
        while install(0, &vec![ret; 4096]) == 0 {}
        say!("too many {}", error_name(errno()));
        0
    });
    say!("{}", wait(pid));
}

fn actions() {
    say!("= actions");
    let child = |action: u32| {
        let pid = fork(|| {
            no_new_privs();
            handle(libc::SIGSYS, 0, &[], trapped);
            install(0, &only(libc::SYS_getsid, action));
            let r = getsid();
            let e = if r < 0 { error_name(errno()) } else if r > 0 { "a result".into() } else { "0".into() };
            say!("{e}, signal {}", SEEN.load(Ordering::SeqCst));
            0
        });
        say!("{action:#x}: {}", wait(pid));
    };
    child(ALLOW);
    child(LOG);
    child(ERRNO | 13);
    child(ERRNO);
    child(ERRNO | 0xffff);
    child(TRACE | 5);
    child(NOTIF);
    child(KILL_PROCESS);
    child(KILL_THREAD);
    child(0x1234_0000);
    // The result of a trapped call is its first argument on arm64: not shown.
    let pid = fork(|| {
        no_new_privs();
        handle(libc::SIGSYS, 0, &[], trapped);
        install(0, &only(libc::SYS_getsid, TRAP | 77));
        getsid();
        say!("trapped {}", SEEN.load(Ordering::SeqCst));
        guest::block(&[libc::SIGSYS]);
        getsid();
        0
    });
    say!("{}", wait(pid));
    // The strongest of several filters counts.
    let pid = fork(|| {
        no_new_privs();
        install(0, &only(libc::SYS_getsid, ERRNO | 1));
        install(0, &only(libc::SYS_getsid, ERRNO | 2));
        say!("newest {}", show(getsid()));
        install(0, &only(libc::SYS_getsid, ALLOW));
        say!("strongest {}", show(getsid()));
        say!("filters {}", field("Seccomp_filters"));
        let inner = fork(|| {
            say!("inherited {}", show(getsid()));
            0
        });
        wait(inner);
        install(0, &only(libc::SYS_getsid, KILL_PROCESS));
        getsid();
        0
    });
    say!("{}", wait(pid));
}

fn arguments_are_seen() {
    say!("= arguments of calls");
    let pid = fork(|| {
        no_new_privs();
        // EDOM for getsid(x) with x & 0xff above 7; sums in memory words on the way.
        install(0, &[
            Insn(0x20, 0, 0, 0),
            Insn(0x15, 0, 7, libc::SYS_getsid as u32),
            Insn(0x20, 0, 0, 16),  // low word of the first argument
            Insn(0x54, 0, 0, 255), // and
            Insn(0x02, 0, 0, 2),   // M[2]
            Insn(0x01, 0, 0, 7),   // X = 7
            Insn(0x60, 0, 0, 2),
            Insn(0x2d, 0, 1, 0), // > X
            Insn(0x06, 0, 0, ERRNO | libc::EDOM as u32),
            Insn(0x06, 0, 0, ALLOW),
        ]);
        for arg in [0x107i64, 0x108, -1] {
            // SAFETY: no memory is touched.
            let r = unsafe { libc::syscall(libc::SYS_getsid, arg) };
            let e = if r < 0 { error_name(errno()) } else { "a result".into() };
            say!("{arg:#x} {e}");
        }
        0
    });
    say!("{}", wait(pid));
}

fn strict() {
    say!("= strict");
    let pid = fork(|| {
        seccomp(SET_STRICT, 0, 0);
        // No allocation from here on: it may need memory.
        write(1, b"still writing\n");
        // SAFETY: exit(2), not exit_group(2), is allowed.
        unsafe { libc::syscall(libc::SYS_exit, 5) };
        0
    });
    say!("{}", wait(pid));
    let pid = fork(|| {
        // SAFETY: no memory is touched.
        if unsafe { libc::prctl(libc::PR_SET_SECCOMP, 1, 0, 0, 0) } == 0 {
            write(1, b"in strict mode\n");
        }
        getsid();
        0
    });
    say!("{}", wait(pid));
    let pid = fork(|| {
        no_new_privs();
        install(0, &[Insn(0x06, 0, 0, ALLOW)]);
        say!("after a filter {}", show(seccomp(SET_STRICT, 0, 0)));
        // SAFETY: no memory is touched.
        say!("mode {}", unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) });
        0
    });
    say!("{}", wait(pid));
}

fn threads() {
    say!("= threads");
    let pid = fork(|| {
        no_new_privs();
        let (reader, writer) = pipe();
        let thread = std::thread::spawn(move || {
            guest::read(reader, 1);
            (show(getsid()), field("NoNewPrivs"))
        });
        say!("sync {}", show(install(TSYNC, &only(libc::SYS_getsid, ERRNO | 3))));
        write(writer, b"x");
        let (result, privs) = thread.join().expect("the thread");
        say!("thread {result} {privs}");
        0
    });
    say!("{}", wait(pid));
    let pid = fork(|| {
        no_new_privs();
        let (reader, writer) = pipe();
        let (own, ready) = pipe();
        let thread = std::thread::spawn(move || {
            install(0, &only(libc::SYS_getsid, ERRNO | 4));
            write(ready, b"x");
            guest::read(reader, 1);
            // SAFETY: ends only the thread.
            unsafe { libc::syscall(libc::SYS_gettid) }
        });
        guest::read(own, 1);
        let diverged = install(TSYNC, &only(libc::SYS_getsid, ERRNO | 3));
        say!("with ESRCH {}", show(install(TSYNC | TSYNC_ESRCH, &only(libc::SYS_getsid, ERRNO | 3))));
        write(writer, b"x");
        let tid = thread.join().expect("the thread");
        say!("the other thread {}", diverged == tid as i64);
        0
    });
    say!("{}", wait(pid));
}

const RECV: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const ID_VALID: u64 = 0x4008_2102;
const ADDFD: u64 = 0x4018_2103;

#[repr(C)]
#[derive(Default)]
struct Notif {
    id: u64,
    pid: u32,
    flags: u32,
    nr: i32,
    arch: u32,
    ip: u64,
    args: [u64; 6],
}

#[repr(C)]
#[derive(Default)]
struct Answer {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct AddFd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

fn ioctl<T>(fd: i32, request: u64, arg: &mut T) -> String {
    // SAFETY: the argument is of the request's size.
    show(unsafe { libc::ioctl(fd, request as _, std::ptr::from_mut(arg)) })
}

fn notifications() {
    say!("= notifications");
    no_new_privs();
    // The listener stays with the parent: the filter is installed by a thread of its own.
    let (reader, writer) = pipe();
    let listener = std::thread::spawn(move || {
        let fd = install(NEW_LISTENER, &only(libc::SYS_getsid, NOTIF)) as i32;
        let second = install(NEW_LISTENER, &only(libc::SYS_getsid, NOTIF));
        say!("listener {} second {}", fd > 2, show(second));
        let pid = fork(|| {
            guest::close(fd);
            // SAFETY: no memory is touched.
            let first = show(unsafe { libc::syscall(libc::SYS_getsid, 11i64) });
            let second = show(getsid());
            let third = getsid() > 0;
            let fourth = guest::read(getsid() as i32, 9);
            guest::read(reader, 1);
            let nobody = show(getsid());
            say!("first {first}, second {second}, third {third}, fourth {fourth}, nobody {nobody}");
            0
        });
        (fd, pid)
    });
    let (fd, pid) = listener.join().expect("the thread");
    let mut notif = Notif::default();
    let mut poll = libc::pollfd { fd, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd.
    say!("poll {}", unsafe { libc::poll(&mut poll, 1, -1) });
    say!("ready {:#x}", poll.revents);
    say!("received {}", ioctl(fd, RECV, &mut notif));
    say!("right {}", notif.pid == pid as u32 && i64::from(notif.nr) == libc::SYS_getsid && notif.args[0] == 11);
    say!("not zero {}", ioctl(fd, RECV, &mut notif));
    // SAFETY: one pollfd.
    unsafe { libc::poll(&mut poll, 1, -1) };
    say!("ready {:#x}", poll.revents);
    let mut id = notif.id;
    say!("valid {}", ioctl(fd, ID_VALID, &mut id));
    id += 1000;
    say!("invalid {}", ioctl(fd, ID_VALID, &mut id));
    let mut answer = Answer { id: notif.id, val: 0, error: 0, flags: 2 };
    say!("bad flags {}", ioctl(fd, SEND, &mut answer));
    answer = Answer { id: notif.id, val: 1, error: 0, flags: 1 };
    say!("both {}", ioctl(fd, SEND, &mut answer));
    answer = Answer { id, val: 1, error: 0, flags: 0 };
    say!("unknown {}", ioctl(fd, SEND, &mut answer));
    answer = Answer { id: notif.id, val: 4711, error: 0, flags: 0 };
    say!("value {}", ioctl(fd, SEND, &mut answer));
    let mut next = || {
        notif = Notif::default();
        say!("received {}", ioctl(fd, RECV, &mut notif));
        notif.id
    };
    answer = Answer { id: next(), val: 0, error: -libc::EXDEV, flags: 0 };
    say!("error {}", ioctl(fd, SEND, &mut answer));
    answer = Answer { id: next(), val: 0, error: 0, flags: 1 };
    say!("continue {}", ioctl(fd, SEND, &mut answer));
    let (source, text) = pipe();
    write(text, b"hello");
    let mut add = AddFd { id: next(), srcfd: source as u32, newfd: 5, ..AddFd::default() };
    say!("bad add {}", ioctl(fd, ADDFD, &mut add));
    (add.newfd, add.flags) = (0, 2);
    say!("add {}", ioctl(fd, ADDFD, &mut add).parse::<i32>().is_ok());
    guest::close(fd);
    write(writer, b"x");
    say!("{}", wait(pid));
}

fn traced() {
    say!("= traced");
    let pid = fork(|| {
        no_new_privs();
        // SAFETY: no memory is touched; the signal is for the process itself.
        unsafe {
            libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0);
            libc::kill(libc::getpid(), libc::SIGSTOP);
        }
        install(0, &only(libc::SYS_getsid, TRACE | 21));
        i32::from(getsid() > 0) + 1
    });
    let stop = |pid: i32| {
        let mut status = 0;
        // SAFETY: `status` is a place for the status.
        unsafe { libc::waitpid(pid, &mut status, libc::__WALL) };
        status
    };
    let ptrace = |request: i64, addr: usize, data: usize| {
        // SAFETY: the addresses fit the requests.
        unsafe { libc::syscall(libc::SYS_ptrace, request, i64::from(pid), addr, data) as i64 }
    };
    say!("{:#x}", stop(pid));
    ptrace(0x4200, 0, libc::PTRACE_O_TRACESECCOMP as usize);
    ptrace(libc::PTRACE_CONT.into(), 0, 0);
    say!("{:#x}", stop(pid));
    let mut message = 0u64;
    ptrace(0x4201, 0, &raw mut message as usize);
    let mut info = [0u64; 11];
    let n = ptrace(0x420e, 88, info.as_mut_ptr() as usize);
    say!("message {message}, {n} bytes, op {}, right {}", info[0] & 0xff, info[3] == libc::SYS_getsid as u64);
    say!("data {}", info[10] as u32);
    ptrace(libc::PTRACE_CONT.into(), 0, 0);
    say!("{}", guest::status(stop(pid)));
}

fn main() {
    arguments();
    programs();
    actions();
    arguments_are_seen();
    strict();
    threads();
    traced();
    notifications();
}
