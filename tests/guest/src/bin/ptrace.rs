//! ptrace(2): stops, signals, events, system call stops, attaching, memory; and who sees which death.

use guest::{c, errno, error_name, fork, handle, ok, pipe, say, show, signal_name, write};
use libc::{
    PTRACE_ATTACH, PTRACE_CONT, PTRACE_DETACH, PTRACE_EVENT_CLONE, PTRACE_EVENT_EXEC, PTRACE_EVENT_EXIT,
    PTRACE_EVENT_FORK, PTRACE_EVENT_STOP, PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE, PTRACE_GETEVENTMSG,
    PTRACE_GETSIGINFO, PTRACE_INTERRUPT, PTRACE_LISTEN, PTRACE_O_EXITKILL, PTRACE_O_TRACECLONE, PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEEXIT, PTRACE_O_TRACEFORK, PTRACE_O_TRACESYSGOOD, PTRACE_O_TRACEVFORK, PTRACE_O_TRACEVFORKDONE,
    PTRACE_PEEKDATA, PTRACE_POKEDATA, PTRACE_SEIZE, PTRACE_SETOPTIONS, PTRACE_SETSIGINFO, PTRACE_SINGLESTEP,
    PTRACE_SYSCALL, PTRACE_TRACEME,
};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

const PTRACE_PEEKSIGINFO: u32 = 0x4209;
const PTRACE_GETSIGMASK: u32 = 0x420a;
const PTRACE_SETSIGMASK: u32 = 0x420b;
const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;

/// ptrace(2) as the kernel has it, without what the C library makes of it.
fn ptrace(request: impl Into<i64>, pid: i32, addr: usize, data: usize) -> i64 {
    // SAFETY: the callers give addresses that are valid for their requests.
    unsafe { libc::syscall(libc::SYS_ptrace, request.into(), i64::from(pid), addr, data) as i64 }
}

fn req(request: impl Into<i64>, pid: i32, addr: usize, data: usize) -> String {
    ok(ptrace(request, pid, addr, data))
}

fn event_name(event: i32) -> String {
    match event {
        PTRACE_EVENT_FORK => "fork".into(),
        PTRACE_EVENT_VFORK => "vfork".into(),
        PTRACE_EVENT_CLONE => "clone".into(),
        PTRACE_EVENT_EXEC => "exec".into(),
        PTRACE_EVENT_VFORK_DONE => "vfork done".into(),
        PTRACE_EVENT_EXIT => "exit".into(),
        PTRACE_EVENT_STOP => "stop".into(),
        n => format!("event {n}"),
    }
}

fn words(status: i32) -> String {
    if libc::WIFSTOPPED(status) {
        let signal = libc::WSTOPSIG(status);
        let event = status >> 16;
        let signal = if signal & 0x80 != 0 {
            format!("{}|0x80", signal_name(signal & 0x7f))
        } else {
            signal_name(signal)
        };
        if event == 0 {
            format!("stopped by {signal}")
        } else {
            format!("stopped by {signal}, event {}", event_name(event))
        }
    } else {
        guest::status(status)
    }
}

/// waitpid(2) with `__WALL`: the status in words.
fn wait(pid: i32) -> String {
    let mut status = 0;
    // SAFETY: `status` is a place for the status.
    match unsafe { libc::waitpid(pid, &mut status, libc::__WALL) } {
        -1 => error_name(errno()),
        _ => words(status),
    }
}

/// The same without waiting.
fn poll(pid: i32, flags: i32) -> String {
    let mut status = 0;
    // SAFETY: `status` is a place for the status.
    match unsafe { libc::waitpid(pid, &mut status, flags | libc::WNOHANG) } {
        -1 => error_name(errno()),
        0 => "nothing".into(),
        _ => words(status),
    }
}

fn message(pid: i32) -> u64 {
    let mut message = 0u64;
    ptrace(PTRACE_GETEVENTMSG, pid, 0, &raw mut message as usize);
    message
}

fn siginfo(pid: i32) -> libc::siginfo_t {
    // SAFETY: zero is valid; the kernel fills it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    if ptrace(PTRACE_GETSIGINFO, pid, 0, &raw mut info as usize) != 0 {
        info.si_signo = -errno();
    }
    info
}

fn traceme() {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
}

fn raise(signal: i32) {
    // SAFETY: no memory is touched.
    unsafe { libc::kill(libc::getpid(), signal) };
}

static SEEN: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    SEEN.store(signal, Ordering::SeqCst);
}

fn signals() {
    say!("= signals");
    let pid = fork(|| {
        traceme();
        handle(libc::SIGUSR1, 0, &[], note);
        guest::disposition(libc::SIGWINCH, libc::SIG_IGN);
        raise(libc::SIGSTOP);
        raise(libc::SIGUSR1); // suppressed
        let first = SEEN.load(Ordering::SeqCst);
        raise(libc::SIGUSR2); // becomes USR1
        let second = SEEN.load(Ordering::SeqCst);
        raise(libc::SIGWINCH); // ignored, but shown
        raise(libc::SIGTERM); // delivered
        if first == 0 && second == libc::SIGUSR1 { 7 } else { 8 }
    });
    say!("start {}", wait(pid));
    say!("again {}", poll(pid, libc::__WALL));
    let info = siginfo(pid);
    say!("info {} code {}", signal_name(info.si_signo), info.si_code);
    say!("cont {}", req(PTRACE_CONT, pid, 0, 0));
    say!("next {}", wait(pid));
    say!("cont {}", req(PTRACE_CONT, pid, 0, 0));
    say!("next {}", wait(pid));
    say!("bad signal {}", req(PTRACE_CONT, pid, 0, 65));
    say!("cont {}", req(PTRACE_CONT, pid, 0, libc::SIGUSR1 as usize));
    say!("next {}", wait(pid));
    say!("cont {}", req(PTRACE_CONT, pid, 0, libc::SIGWINCH as usize));
    say!("next {}", wait(pid));
    say!("running {}", { ptrace(PTRACE_CONT, pid, 0, libc::SIGTERM as usize); wait(pid) });
    say!("gone {}", req(PTRACE_CONT, pid, 0, 0));
}

fn changed_info() {
    say!("= signal information");
    extern "C" fn value(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel gives a valid siginfo of a queued signal.
        SEEN.store(unsafe { (*info).si_value().sival_ptr } as i32, Ordering::SeqCst);
    }
    let pid = fork(|| {
        traceme();
        handle(libc::SIGUSR1, 0, &[], value);
        raise(libc::SIGUSR1);
        SEEN.load(Ordering::SeqCst)
    });
    say!("{}", wait(pid));
    let mut info = siginfo(pid);
    info.si_code = -1; // SI_QUEUE
    let bytes = &raw mut info as *mut u8;
    // SAFETY: si_value lies 24 bytes into the structure.
    unsafe { bytes.add(24).cast::<u64>().write_unaligned(42) };
    say!("set {}", req(PTRACE_SETSIGINFO, pid, 0, &raw mut info as usize));
    ptrace(PTRACE_CONT, pid, 0, libc::SIGUSR1 as usize);
    say!("{}", wait(pid));
}

fn syscalls() {
    say!("= system calls");
    let pid = fork(|| {
        traceme();
        raise(libc::SIGSTOP);
        // SAFETY: these touch no memory.
        unsafe {
            libc::syscall(libc::SYS_getpgid, -1i64);
            let r = libc::syscall(libc::SYS_getsid, 0i64);
            libc::_exit(if r > 0 { 3 } else { 4 })
        }
    });
    say!("{}", wait(pid));
    say!("options {}", req(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD as usize));
    say!("bad options {}", req(PTRACE_SETOPTIONS, pid, 0, 1 << 30));
    let mut started = false;
    for _ in 0..40 {
        ptrace(PTRACE_SYSCALL, pid, 0, 0);
        let status = wait(pid);
        if !status.contains("0x80") {
            say!("{status}");
            break;
        }
        let mut info = [0u64; 11];
        let n = ptrace(PTRACE_GET_SYSCALL_INFO, pid, 88, info.as_mut_ptr() as usize);
        let op = info[0] & 0xff;
        started |= op == 1 && info[3] == libc::SYS_getpgid as u64;
        if !started {
            continue;
        }
        match op {
            1 if info[3] == libc::SYS_getpgid as u64 => {
                say!("entry getpgid({}) {n} bytes, message {}", info[4] as i32, message(pid));
            }
            1 if info[3] == libc::SYS_getsid as u64 => say!("entry getsid {n} bytes"),
            1 => say!("entry other {n} bytes"),
            2 => say!(
                "exit {} error {} {n} bytes, message {}",
                if info[4] & 0xff == 1 { (info[3] as i64).to_string() } else { "result".into() },
                info[4] & 0xff,
                message(pid)
            ),
            _ => say!("op {op}"),
        }
        let si = siginfo(pid);
        say!("code {:#x} pid {}", si.si_code, {
            // SAFETY: a stop's information has the pid.
            unsafe { si.si_pid() == pid }
        });
    }
    say!("gone {}", wait(pid));
}

fn events() {
    say!("= events");
    let pid = fork(|| {
        traceme();
        raise(libc::SIGSTOP);
        let child = fork(|| 5);
        say!("child {}", guest::wait(child));
        // SAFETY: the child only exits.
        #[allow(deprecated, reason = "what vfork(2) does is the question")]
        let child = unsafe {
            let r = libc::vfork();
            if r == 0 {
                libc::_exit(6);
            }
            r
        };
        say!("child {}", guest::wait(child));
        let args = [c("/proc/self/exe"), c("nothing")];
        let argv = [args[0].as_ptr(), args[1].as_ptr(), std::ptr::null()];
        // SAFETY: argument vectors that end with null.
        unsafe { libc::execv(argv[0], argv.as_ptr()) };
        9
    });
    say!("{}", wait(pid));
    let options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXEC
        | PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE;
    say!("options {}", req(PTRACE_SETOPTIONS, pid, 0, options as usize));
    loop {
        ptrace(PTRACE_CONT, pid, 0, 0);
        let status = wait(pid);
        say!("parent {status}");
        if !status.starts_with("stopped") {
            break;
        }
        if status.contains("fork") && !status.contains("done") {
            let child = message(pid) as i32;
            say!("  child {}", wait(child));
            ptrace(PTRACE_CONT, child, 0, 0);
            say!("  child {}", wait(child));
            say!("  code {:#x}", message(child));
            ptrace(PTRACE_CONT, child, 0, 0);
            say!("  child {}", wait(child));
        } else if status.ends_with("exec") {
            say!("  same id {}", message(pid) == pid as u64);
        } else if status.ends_with("exit") {
            say!("  code {:#x}", message(pid));
        } else if status.contains("CHLD") {
            say!("  left out");
        }
    }
}

fn exec_trap() {
    say!("= exec without its event");
    let pid = fork(|| {
        traceme();
        let args = [c("/proc/self/exe"), c("nothing")];
        let argv = [args[0].as_ptr(), args[1].as_ptr(), std::ptr::null()];
        // SAFETY: argument vectors that end with null.
        unsafe { libc::execv(argv[0], argv.as_ptr()) };
        9
    });
    say!("{}", wait(pid));
    ptrace(PTRACE_CONT, pid, 0, 0);
    say!("{}", wait(pid));
}

fn threads() {
    say!("= threads");
    let (reader, writer) = pipe();
    let pid = fork(|| {
        traceme();
        raise(libc::SIGSTOP);
        let thread = std::thread::spawn(|| {
            // SAFETY: no memory is touched.
            unsafe { libc::syscall(libc::SYS_gettid) != i64::from(libc::getpid()) }
        });
        let joined = thread.join().expect("the thread");
        // The thread is not quite dead yet.
        guest::read(reader, 1);
        i32::from(!joined) + 2
    });
    say!("{}", wait(pid));
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE as usize);
    ptrace(PTRACE_CONT, pid, 0, 0);
    say!("leader {}", wait(pid));
    let thread = message(pid) as i32;
    say!("thread {}", wait(thread));
    say!("other id {}", thread != pid);
    ptrace(PTRACE_CONT, thread, 0, 0);
    ptrace(PTRACE_CONT, pid, 0, 0);
    say!("thread {}", wait(thread));
    write(writer, b"x");
    say!("leader {}", wait(pid));
}

/// A child that waits until the pipe is closed.
fn sleeper() -> (i32, i32) {
    let (reader, writer) = pipe();
    let (ready, tell) = pipe();
    let pid = fork(|| {
        guest::close(writer);
        write(tell, b"x");
        let mut byte = [0u8];
        loop {
            // SAFETY: room for one byte.
            match unsafe { libc::read(reader, byte.as_mut_ptr().cast(), 1) } {
                0 => return 1,
                1 => return 2,
                _ => return 3,
            }
        }
    });
    guest::close(reader);
    guest::close(tell);
    guest::read(ready, 1);
    guest::close(ready);
    (pid, writer)
}

fn attach() {
    say!("= attach");
    let (pid, writer) = sleeper();
    say!("attach {}", req(PTRACE_ATTACH, pid, 0, 0));
    say!("twice {}", req(PTRACE_ATTACH, pid, 0, 0));
    say!("{}", wait(pid));
    say!("not seized {}", req(PTRACE_INTERRUPT, pid, 0, 0));
    say!("not seized {}", req(PTRACE_LISTEN, pid, 0, 0));
    say!("group stop");
    ptrace(PTRACE_CONT, pid, 0, libc::SIGSTOP as usize);
    say!("{}", wait(pid));
    say!("info {}", error_name(-siginfo(pid).si_signo));
    say!("detach {}", req(PTRACE_DETACH, pid, 0, 0));
    say!("as parent {}", poll(pid, libc::WUNTRACED));
    // SAFETY: a signal to our child.
    unsafe { libc::kill(pid, libc::SIGCONT) };
    write(writer, b"x");
    say!("{}", wait(pid));
    guest::close(writer);
}

fn seize() {
    say!("= seize");
    let (pid, writer) = sleeper();
    say!("bad address {}", req(PTRACE_SEIZE, pid, 1, 0));
    say!("bad options {}", req(PTRACE_SEIZE, pid, 0, 1 << 30));
    say!("seize {}", req(PTRACE_SEIZE, pid, 0, 0));
    say!("running {}", poll(pid, libc::__WALL));
    say!("cont {}", req(PTRACE_CONT, pid, 0, 0));
    say!("interrupt {}", req(PTRACE_INTERRUPT, pid, 0, 0));
    say!("{}", wait(pid));
    say!("code {:#x}", siginfo(pid).si_code);
    ptrace(PTRACE_CONT, pid, 0, 0);
    // SAFETY: a signal to our child.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
    say!("{}", wait(pid));
    ptrace(PTRACE_CONT, pid, 0, libc::SIGSTOP as usize);
    say!("{}", wait(pid));
    say!("listen {}", req(PTRACE_LISTEN, pid, 0, 0));
    say!("listening {}", req(PTRACE_CONT, pid, 0, 0));
    // SAFETY: a signal to our child.
    unsafe { libc::kill(pid, libc::SIGCONT) };
    say!("{}", wait(pid));
    ptrace(PTRACE_CONT, pid, 0, 0);
    say!("{}", wait(pid));
    say!("listen in a signal stop {}", req(PTRACE_LISTEN, pid, 0, 0));
    say!("detach {}", req(PTRACE_DETACH, pid, 0, 0));
    write(writer, b"x");
    say!("{}", wait(pid));
    guest::close(writer);
}

static WORD: AtomicU64 = AtomicU64::new(0x1122_3344_5566_7788);

fn memory() {
    say!("= memory");
    let pid = fork(|| {
        traceme();
        raise(libc::SIGSTOP);
        (WORD.load(Ordering::SeqCst) & 0x7f) as i32
    });
    say!("{}", wait(pid));
    let at = &raw const WORD as usize;
    let mut word = 0u64;
    say!("peek {} {word:#x}", req(PTRACE_PEEKDATA, pid, at, &raw mut word as usize));
    let result = req(PTRACE_PEEKDATA, pid, at, &raw mut word as usize);
    say!("peek {result} {word:#x}");
    say!("bad peek {}", req(PTRACE_PEEKDATA, pid, 8, &raw mut word as usize));
    say!("bad result {}", req(PTRACE_PEEKDATA, pid, at, 8));
    say!("bad poke {}", req(PTRACE_POKEDATA, pid, 8, 0));
    say!("poke {}", req(PTRACE_POKEDATA, pid, at, 0x21));
    say!("own {:#x}", WORD.load(Ordering::SeqCst));
    let local = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 8 };
    let remote = libc::iovec { iov_base: at as *mut _, iov_len: 8 };
    // SAFETY: both vectors are valid.
    let n = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    say!("readv {n} {word:#x}");
    // Text is not writable, but may be poked: what is there is put there again.
    let text = memory as fn() as usize & !7;
    ptrace(PTRACE_PEEKDATA, pid, text, &raw mut word as usize);
    say!("poke text {}", req(PTRACE_POKEDATA, pid, text, word as usize));
    // SAFETY: only this thread looks at the status file.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the status");
    let tracer = status.lines().find_map(|l| l.strip_prefix("TracerPid:\t"));
    say!("tracer {}", tracer == Some(&std::process::id().to_string()));
    say!("{}", status.lines().find(|l| l.starts_with("State")).unwrap_or("no state"));
    ptrace(PTRACE_CONT, pid, 0, 0);
    say!("{}", wait(pid));
}

fn masks() {
    say!("= masks and queues");
    let pid = fork(|| {
        traceme();
        guest::block(&[libc::SIGUSR1, libc::SIGUSR2]);
        raise(libc::SIGUSR1);
        // SAFETY: signals to the thread itself.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::getpid(), libc::SIGUSR2) };
        handle(libc::SIGUSR1, 0, &[], note);
        raise(libc::SIGSTOP);
        SEEN.load(Ordering::SeqCst)
    });
    say!("{}", wait(pid));
    let mut mask = 0u64;
    say!("bad size {}", req(PTRACE_GETSIGMASK, pid, 4, &raw mut mask as usize));
    let result = req(PTRACE_GETSIGMASK, pid, 8, &raw mut mask as usize);
    say!("mask {result} {mask:#x}");
    #[repr(C)]
    struct Args {
        off: u64,
        flags: u32,
        nr: i32,
    }
    // SAFETY: zero is valid.
    let mut infos: [libc::siginfo_t; 4] = unsafe { std::mem::zeroed() };
    for (off, flags, nr) in [(0, 0, 4), (0, 1, 4), (1, 1, 4), (0, 2, 4), (0, 0, -1)] {
        let args = Args { off, flags, nr };
        let n = ptrace(PTRACE_PEEKSIGINFO, pid, &raw const args as usize, infos.as_mut_ptr() as usize);
        say!("peek {off} {flags} {nr}: {}", show(n));
        if n > 0 {
            say!("  {} code {}", signal_name(infos[0].si_signo), infos[0].si_code);
        }
    }
    mask = 1 << (libc::SIGUSR2 - 1);
    say!("set {}", req(PTRACE_SETSIGMASK, pid, 8, &raw mut mask as usize));
    ptrace(PTRACE_CONT, pid, 0, 0);
    say!("{}", wait(pid));
    ptrace(PTRACE_CONT, pid, 0, libc::SIGUSR1 as usize);
    say!("{}", wait(pid));
}

fn steps() {
    say!("= steps");
    let pid = fork(|| {
        traceme();
        raise(libc::SIGSTOP);
        4
    });
    say!("{}", wait(pid));
    for _ in 0..5 {
        ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
        let status = wait(pid);
        say!("{status} code {}", siginfo(pid).si_code > 0);
    }
    ptrace(PTRACE_CONT, pid, 0, 0);
    say!("{}", wait(pid));
}

fn deaths() {
    say!("= deaths");
    // A tracer that is not the parent: the parent sees the death after it.
    let (pid, writer) = sleeper();
    let (reader, told) = pipe();
    let (go, proceed) = pipe();
    let tracer = fork(|| {
        let seized = req(PTRACE_SEIZE, pid, 0, 0);
        say!("seize {seized}");
        write(told, b"x");
        guest::read(go, 1);
        say!("tracer {}", wait(pid));
        say!("tracer {}", wait(pid));
        0
    });
    guest::read(reader, 1);
    write(writer, b"x");
    say!("parent {}", poll(pid, 0));
    write(proceed, b"x");
    say!("tracer {}", guest::wait(tracer));
    say!("parent {}", wait(pid));
    guest::close(writer);

    // The tracer dies: its tracees go on, or die with it.
    for options in [0, PTRACE_O_EXITKILL] {
        let (pid, writer) = sleeper();
        let tracer = fork(|| {
            say!("seize {}", req(PTRACE_SEIZE, pid, 0, options as usize));
            say!("interrupt {}", req(PTRACE_INTERRUPT, pid, 0, 0));
            say!("{}", wait(pid));
            0
        });
        say!("tracer {}", guest::wait(tracer));
        write(writer, b"x");
        say!("{}", wait(pid));
        guest::close(writer);
    }

    // A stopped tracee can be killed.
    let pid = fork(|| {
        traceme();
        raise(libc::SIGSTOP);
        1
    });
    say!("{}", wait(pid));
    // SAFETY: a signal to our child.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    say!("{}", wait(pid));
}

fn errors() {
    say!("= errors");
    // SAFETY: no memory is touched.
    let own = unsafe { libc::getpid() };
    say!("self {}", req(PTRACE_ATTACH, own, 0, 0));
    say!("nobody {}", req(PTRACE_ATTACH, 0x3f_fff0, 0, 0));
    say!("nobody {}", req(PTRACE_CONT, 0x3f_fff0, 0, 0));
    let (pid, writer) = sleeper();
    say!("not a tracee {}", req(PTRACE_CONT, pid, 0, 0));
    say!("unknown {}", req(0x7777, pid, 0, 0));
    ptrace(PTRACE_SEIZE, pid, 0, 0);
    say!("not stopped {}", req(PTRACE_PEEKDATA, pid, 0, 0));
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    say!("{}", wait(pid));
    say!("unknown {}", req(0x7777, pid, 0, 0));
    write(writer, b"x");
    ptrace(PTRACE_DETACH, pid, 0, 0);
    say!("{}", wait(pid));
    guest::close(writer);
    say!("traceme twice {}", {
        let pid = fork(|| {
            traceme();
            i32::from(ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 && errno() == libc::EPERM)
        });
        wait(pid)
    });
}

fn main() {
    if std::env::args().len() > 1 {
        return;
    }
    signals();
    changed_info();
    syscalls();
    events();
    exec_trap();
    threads();
    attach();
    seize();
    memory();
    masks();
    steps();
    deaths();
    errors();
}
