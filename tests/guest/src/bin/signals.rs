//! Signals: handlers, masks, queues, alternate stack, restarts, default actions.

use guest::{block, close, disposition, fork, handle, ok, pipe, read, say, set, show, signal_name, unblock, wait, write};
use libc::{c_void, siginfo_t};
use std::{
    ptr::null_mut,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst},
};

static LOG: [AtomicI32; 64] = [const { AtomicI32::new(0) }; 64];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static FD: AtomicI32 = AtomicI32::new(-1);
static FLAG: AtomicUsize = AtomicUsize::new(0);

fn log(n: i32) {
    LOG[COUNT.fetch_add(1, SeqCst) % 64].store(n, SeqCst);
}

fn logged() -> String {
    let n = COUNT.swap(0, SeqCst).min(64);
    LOG[..n].iter().map(|l| l.load(SeqCst).to_string()).collect::<Vec<_>>().join(" ")
}

extern "C" fn number(n: i32, _: *mut siginfo_t, _: *mut c_void) {
    log(n);
}

/// Signal, code, value.
extern "C" fn queued(n: i32, info: *mut siginfo_t, _: *mut c_void) {
    log(n);
    // SAFETY: the kernel gives a valid structure.
    unsafe {
        log((*info).si_code);
        log((*info).si_value().sival_ptr as usize as i32);
    }
}

extern "C" fn from_self(n: i32, info: *mut siginfo_t, _: *mut c_void) {
    log(n);
    // SAFETY: as above.
    unsafe {
        log((*info).si_code);
        log(i32::from((*info).si_pid() == libc::getpid()));
        log((*info).si_uid() as i32);
    }
}

extern "C" fn nest(n: i32, _: *mut siginfo_t, _: *mut c_void) {
    log(n);
    if n == libc::SIGUSR1 {
        // SAFETY: raise is allowed in handlers.
        unsafe { libc::raise(libc::SIGUSR2) };
    }
    log(-n);
}

extern "C" fn again(n: i32, _: *mut siginfo_t, _: *mut c_void) {
    let depth = FLAG.fetch_add(1, SeqCst);
    log(depth as i32);
    if depth < 4 {
        // SAFETY: as above.
        unsafe { libc::raise(n) };
    }
    log(-(depth as i32));
}

extern "C" fn on_stack(_: i32, _: *mut siginfo_t, _: *mut c_void) {
    let here = &raw const FLAG as usize;
    let local = 0u8;
    // SAFETY: asks for the current alternate stack.
    unsafe {
        let mut old: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(std::ptr::null(), &mut old);
        let at = &raw const local as usize;
        let base = old.ss_sp as usize;
        log(i32::from(at >= base && at < base + old.ss_size && here != 0));
        log(old.ss_flags);
        // By its number: musl's function refuses these flags itself.
        let r = libc::syscall(libc::SYS_sigaltstack, &old, 0);
        log(if r == 0 { 0 } else { guest::errno() });
    }
}

/// Writes a byte on the third call.
extern "C" fn third(_: i32, _: *mut siginfo_t, _: *mut c_void) {
    if COUNT.fetch_add(1, SeqCst) == 2 {
        write(FD.load(SeqCst), b"x");
    }
}

extern "C" fn child(_: i32, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: as above.
    unsafe {
        log((*info).si_code);
        log((*info).si_status());
    }
}

fn every(ms: i64) {
    let t = libc::timeval { tv_sec: 0, tv_usec: ms * 1000 };
    let timer = libc::itimerval { it_interval: t, it_value: t };
    // SAFETY: valid structures.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, null_mut()) };
}

fn pending() -> String {
    // SAFETY: the set is filled by the call.
    unsafe {
        let mut s = std::mem::zeroed();
        libc::sigpending(&mut s);
        (1..=64).filter(|n| libc::sigismember(&s, *n) == 1).map(signal_name).collect::<Vec<_>>().join(" ")
    }
}

fn queue(signal: i32, value: usize) -> i32 {
    // SAFETY: no pointers in it that anybody follows.
    unsafe { libc::sigqueue(libc::getpid(), signal, libc::sigval { sival_ptr: value as *mut c_void }) }
}

fn main() {
    // SAFETY: this program is one thread; calls get valid pointers.
    unsafe {
        let (u1, u2) = (libc::SIGUSR1, libc::SIGUSR2);
        let rt = 40;

        handle(u1, 0, &[], from_self);
        libc::kill(libc::getpid(), u1);
        say!("kill self: {}", logged());
        libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::syscall(libc::SYS_gettid), u1);
        say!("tgkill self: {}", logged());

        handle(u1, 0, &[], number);
        block(&[u1]);
        libc::raise(u1);
        libc::raise(u1);
        libc::raise(u1);
        say!("blocked: {:?} pending: {}", logged(), pending());
        unblock(&[u1]);
        say!("unblocked: {:?} pending: {:?}", logged(), pending());

        handle(u1, 0, &[], nest);
        handle(u2, 0, &[], nest);
        libc::raise(u1);
        say!("nested: {}", logged());
        handle(u1, 0, &[u2], nest);
        libc::raise(u1);
        say!("nested under mask: {}", logged());
        handle(u1, libc::SA_NODEFER, &[], again);
        libc::raise(u1);
        say!("nodefer: {}", logged());
        FLAG.store(0, SeqCst);
        handle(u1, 0, &[], again);
        libc::raise(u1);
        say!("deferred: {}", logged());
        handle(u1, libc::SA_RESETHAND, &[], number);
        libc::raise(u1);
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(u1, std::ptr::null(), &mut old);
        say!("resethand: {} default afterwards: {}", logged(), old.sa_sigaction == libc::SIG_DFL);

        // Queued signals.
        for s in [rt, rt + 1, u2] {
            handle(s, 0, &[rt, rt + 1, u1, u2], queued);
        }
        block(&[rt, rt + 1, u2]);
        for v in 1..=3 {
            queue(rt + 1, v);
            queue(rt, v * 10);
            queue(u2, v * 100);
        }
        say!("queued: {}", pending());
        unblock(&[rt, rt + 1, u2]);
        say!("queue order: {}", logged());
        block(&[rt, rt + 1, u2]);
        for v in 1..=2 {
            queue(rt + 1, v);
            queue(rt, v * 10);
        }
        let wanted = set(&[rt, rt + 1]);
        for _ in 0..5 {
            let mut info: siginfo_t = std::mem::zeroed();
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let r = libc::sigtimedwait(&wanted, &mut info, &now);
            if r < 0 {
                say!("sigtimedwait: {}", show(r));
            } else {
                say!("sigtimedwait: {r} code {} value {}", info.si_code, info.si_value().sival_ptr as usize);
            }
        }
        let pid = fork(|| {
            libc::sigqueue(libc::getppid(), rt, libc::sigval { sival_ptr: 77 as *mut c_void });
            0
        });
        let mut info: siginfo_t = std::mem::zeroed();
        let r = libc::sigwaitinfo(&wanted, &mut info);
        say!("sigwaitinfo: {r} from child: {} value {}", info.si_pid() == pid, info.si_value().sival_ptr as usize);
        say!("child {}", wait(pid));
        unblock(&[rt, rt + 1, u2]);

        // Alternate stack.
        let mut room = vec![0u8; 64 << 10];
        let mut stack: libc::stack_t = std::mem::zeroed();
        stack.ss_sp = room.as_mut_ptr().cast();
        stack.ss_size = 1000;
        say!("small altstack: {}", ok(libc::sigaltstack(&stack, null_mut())));
        stack.ss_size = room.len();
        stack.ss_flags = 99;
        say!("odd altstack: {}", ok(libc::sigaltstack(&stack, null_mut())));
        stack.ss_flags = 0;
        say!("altstack: {}", ok(libc::sigaltstack(&stack, null_mut())));
        handle(u1, libc::SA_ONSTACK, &[], on_stack);
        libc::raise(u1);
        say!("on altstack: {}", logged());
        handle(u1, 0, &[], on_stack);
        libc::raise(u1);
        say!("not on altstack: {}", logged());
        stack.ss_flags = libc::SS_DISABLE;
        libc::sigaltstack(&stack, null_mut());
        handle(u1, libc::SA_ONSTACK, &[], on_stack);
        libc::raise(u1);
        say!("disabled: {}", logged());

        // Restarts.
        let (r, w) = pipe();
        FD.store(w, SeqCst);
        handle(libc::SIGALRM, libc::SA_RESTART, &[], third);
        every(10);
        say!("read restarted: {} after {}", read(r, 10), COUNT.load(SeqCst) >= 3);
        COUNT.store(100, SeqCst);
        let mut poll = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
        say!("poll never restarts: {}", show(libc::poll(&mut poll, 1, -1)));
        handle(libc::SIGALRM, 0, &[], third);
        say!("read interrupted: {}", read(r, 10));
        let mut s = 0;
        let sleeper = fork(|| {
            loop {
                libc::pause();
            }
        });
        say!("wait interrupted: {}", show(libc::waitpid(sleeper, &mut s, 0)));
        libc::kill(sleeper, libc::SIGKILL);
        every(0);
        say!("sleeper {}", wait(sleeper));
        every(10);
        let long = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
        let mut left: libc::timespec = std::mem::zeroed();
        let slept = libc::nanosleep(&long, &mut left);
        say!("nanosleep: {} most is left: {}", show(slept), left.tv_sec > 900 && left.tv_sec < 1000);
        every(0);
        disposition(libc::SIGALRM, libc::SIG_DFL);

        // sigsuspend.
        handle(u1, 0, &[], number);
        handle(u2, 0, &[], number);
        block(&[u1, u2]);
        libc::raise(u1);
        libc::raise(u2);
        let mask = set(&[u2]);
        COUNT.store(0, SeqCst);
        let r1 = libc::sigsuspend(&mask);
        say!("sigsuspend: {} ran {} pending {}", show(r1), logged(), pending());
        let mut now = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &mut now);
        say!("mask restored: {} {}", libc::sigismember(&now, u1), libc::sigismember(&now, u2));
        unblock(&[u1, u2]);
        say!("then: {}", logged());

        // Errors.
        say!("kill nobody: {}", ok(libc::kill(0x3fff_fff0, 0)));
        say!("kill 65: {}", ok(libc::kill(libc::getpid(), 65)));
        say!("kill -1: {}", ok(libc::kill(libc::getpid(), -1)));
        say!("kill 0: {}", ok(libc::kill(libc::getpid(), 0)));
        say!("catch KILL: {}", ok(handle(libc::SIGKILL, 0, &[], number)));
        say!("catch STOP: {}", ok(handle(libc::SIGSTOP, 0, &[], number)));
        say!("block KILL: {}", {
            block(&[libc::SIGKILL, libc::SIGSTOP]);
            let mut now = std::mem::zeroed();
            libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &mut now);
            libc::sigismember(&now, libc::SIGKILL)
        });

        // Default actions.
        for n in 1..=31 {
            if [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&n) {
                continue;
            }
            let pid = fork(|| {
                let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_CORE, &no_core);
                disposition(n, libc::SIG_DFL);
                libc::raise(n);
                0
            });
            say!("default {}: {}", signal_name(n), wait(pid));
        }
        for n in [32 + 5, 64] {
            let pid = fork(|| {
                libc::raise(n);
                0
            });
            say!("default {}: {}", signal_name(n), wait(pid));
        }
        for n in [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            // A group of its own whose leader's parent is in the same session: not orphaned.
            let (go, went) = pipe();
            let pid = fork(|| {
                libc::setpgid(0, 0);
                libc::raise(n);
                read(go, 1);
                7
            });
            say!("{}: {}", signal_name(n), guest::wait_with(pid, libc::WUNTRACED));
            libc::kill(pid, libc::SIGCONT);
            say!("{}: {}", signal_name(n), guest::wait_with(pid, libc::WCONTINUED));
            write(went, b"x");
            close(go);
            close(went);
            say!("{}: {}", signal_name(n), wait(pid));
        }

        // SIGCHLD.
        handle(libc::SIGCHLD, libc::SA_RESTART, &[], child);
        say!("{}", wait(fork(|| 42)));
        say!("SIGCHLD: code, status: {}", logged());
        let victim = fork(|| {
            loop {
                libc::pause();
            }
        });
        libc::kill(victim, libc::SIGTERM);
        say!("{}", wait(victim));
        say!("SIGCHLD: code, status: {}", logged());
        handle(libc::SIGCHLD, libc::SA_RESTART | libc::SA_NOCLDWAIT, &[], child);
        say!("NOCLDWAIT: {}", wait(fork(|| 1)));
        say!("SIGCHLD: code, status: {}", logged());
        disposition(libc::SIGCHLD, libc::SIG_IGN);
        say!("ignored SIGCHLD: {}", wait(fork(|| 1)));
        disposition(libc::SIGCHLD, libc::SIG_DFL);

        // SIGPIPE.
        close(r);
        disposition(libc::SIGPIPE, libc::SIG_IGN);
        say!("write to nobody: {}", show(write(w, b"x")));
        handle(libc::SIGPIPE, 0, &[], number);
        write(w, b"x");
        say!("handler: {}", logged());

        // Faults.
        handle(libc::SIGSEGV, 0, &[], number);
        let pid = fork(|| {
            block(&[libc::SIGSEGV]);
            std::ptr::read_volatile(8 as *const u8);
            0
        });
        say!("fault while blocked: {}", wait(pid));
        let pid = fork(|| {
            disposition(libc::SIGSEGV, libc::SIG_IGN);
            std::ptr::read_volatile(8 as *const u8);
            0
        });
        say!("fault while ignored: {}", wait(pid));

        // The queue's limit.
        let pid = fork(|| {
            let few = libc::rlimit { rlim_cur: 4, rlim_max: 4 };
            libc::setrlimit(libc::RLIMIT_SIGPENDING, &few);
            block(&[rt, u2]);
            let results: Vec<String> = (0..6).map(|v| show(queue(rt, v))).collect();
            say!("queue limit: last {}", results[5]);
            say!("kill beside it: {}", show(libc::kill(libc::getpid(), u2)));
            0
        });
        say!("{}", wait(pid));

        // A handler that leaves by longjmp is C's business; a storm is ours.
        handle(u1, 0, &[], number);
        for _ in 0..5000 {
            libc::raise(u1);
        }
        say!("storm: {}", COUNT.swap(0, SeqCst));
    }
}
