//! Processes: fork, exec, wait, groups, sessions.

use guest::{block, c, close, disposition, error_name, errno, fork, ok, pipe, read, say, scratch, show, status, wait, write};
use std::{os::unix::fs::PermissionsExt, ptr::null_mut, thread, time::Duration};

fn exec(args: &[&str], env: &[&str]) -> i32 {
    let a: Vec<_> = args.iter().map(|s| c(s)).collect();
    let e: Vec<_> = env.iter().map(|s| c(s)).collect();
    let mut ap: Vec<_> = a.iter().map(|s| s.as_ptr()).collect();
    let mut ep: Vec<_> = e.iter().map(|s| s.as_ptr()).collect();
    ap.push(std::ptr::null());
    ep.push(std::ptr::null());
    // SAFETY: terminated arrays of strings.
    unsafe { libc::execve(ap[0], ap.as_ptr(), ep.as_ptr()) };
    errno()
}

/// What a new program finds.
fn report() {
    for (i, a) in std::env::args().enumerate().skip(2) {
        say!("  arg {i}: {a}");
    }
    for (k, v) in std::env::vars() {
        say!("  env {k}={v}");
    }
    // SAFETY: plain questions.
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGUSR1, std::ptr::null(), &mut old);
        say!("  USR1 default: {}", old.sa_sigaction == libc::SIG_DFL);
        libc::sigaction(libc::SIGUSR2, std::ptr::null(), &mut old);
        say!("  USR2 ignored: {}", old.sa_sigaction == libc::SIG_IGN);
        let mut mask = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
        say!("  TERM blocked: {}", libc::sigismember(&mask, libc::SIGTERM));
        for fd in [10, 11] {
            say!("  fd {fd}: {}", ok(libc::fcntl(fd, libc::F_GETFD)));
        }
    }
}

extern "C" fn nothing(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn waitid(kind: libc::idtype_t, id: u32, flags: i32) -> String {
    // SAFETY: room for the answer.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(kind, id, &mut info, flags) == -1 {
            return error_name(errno());
        }
        if info.si_pid() == 0 {
            return "nothing".into();
        }
        format!("signo {} code {} status {}", info.si_signo, info.si_code, info.si_status())
    }
}

fn main() {
    let me = std::env::current_exe().ok().and_then(|p| p.to_str().map(String::from));
    let me = me.unwrap_or_else(|| std::env::args().next().expect("a name"));
    let me = std::fs::canonicalize(&me).ok().and_then(|p| p.to_str().map(String::from)).unwrap_or(me);
    if let Some(what) = std::env::args().nth(1) {
        if what.starts_with("report") {
            say!("  first: {what}");
            report();
            std::process::exit(5);
        }
        std::process::exit(6);
    }
    let dir = scratch("process");
    // SAFETY: one thread; calls get valid pointers.
    unsafe {
        for code in [0, 1, 127, 255, 256 + 3] {
            say!("exit {code}: {}", wait(fork(|| code)));
        }
        say!("wait without children: {}", wait(-1));

        // WNOHANG, zombies.
        let (r, w) = pipe();
        let pid = fork(|| {
            close(w);
            read(r, 1);
            9
        });
        say!("nohang: {}", guest::wait_with(pid, libc::WNOHANG));
        close(r);
        close(w);
        say!("waitid nowait: {}", waitid(libc::P_PID, pid as u32, libc::WEXITED | libc::WNOWAIT));
        say!("zombie can be signalled: {}", show(libc::kill(pid, libc::SIGKILL)));
        say!("waitid: {}", waitid(libc::P_PID, pid as u32, libc::WEXITED));
        say!("gone: {}", show(libc::kill(pid, 0)));
        say!("waitid again: {}", waitid(libc::P_PID, pid as u32, libc::WEXITED));
        say!("waitid no flags: {}", waitid(libc::P_ALL, 0, 0));

        // Stop and continue.
        let (go, went) = pipe();
        let pid = fork(|| {
            libc::raise(libc::SIGSTOP);
            read(go, 1);
            3
        });
        say!("stopped: {}", waitid(libc::P_PID, pid as u32, libc::WSTOPPED));
        say!("told once: {}", waitid(libc::P_PID, pid as u32, libc::WSTOPPED | libc::WNOHANG));
        libc::kill(pid, libc::SIGCONT);
        say!("continued: {}", waitid(libc::P_PID, pid as u32, libc::WCONTINUED));
        write(went, b"x");
        say!("exited: {}", waitid(libc::P_PID, pid as u32, libc::WEXITED));
        let pid = fork(|| {
            libc::raise(libc::SIGSTOP);
            3
        });
        waitid(libc::P_PID, pid as u32, libc::WSTOPPED);
        libc::kill(pid, libc::SIGKILL);
        say!("stopped and killed: {}", waitid(libc::P_PID, pid as u32, libc::WEXITED));

        // Process groups.
        let group: Vec<_> = (0..3)
            .map(|_| {
                fork(|| {
                    loop {
                        libc::pause();
                    }
                })
            })
            .collect();
        for pid in &group {
            say!("setpgid: {}", show(libc::setpgid(*pid, group[0])));
        }
        say!("same group: {}", group.iter().all(|p| libc::getpgid(*p) == group[0]));
        say!("kill group: {}", show(libc::kill(-group[0], libc::SIGTERM)));
        for _ in &group {
            say!("group: {}", waitid(libc::P_PGID, group[0] as u32, libc::WEXITED));
        }
        say!("empty group: {}", waitid(libc::P_PGID, group[0] as u32, libc::WEXITED));
        say!("kill empty group: {}", show(libc::kill(-group[0], 0)));
        say!("setpgid of nobody: {}", show(libc::setpgid(0x3fff_fff0, 0)));
        say!("setpgid negative: {}", show(libc::setpgid(0, -1)));

        // Sessions.
        let pid = fork(|| {
            let sid = libc::setsid();
            let is_leader = sid == libc::getpid() && libc::getsid(0) == sid && libc::getpgrp() == sid;
            say!("setsid: {is_leader}; again: {}", ok(libc::setsid()));
            say!("setpgid of a leader: {}", show(libc::setpgid(0, 0)));
            let child = fork(|| i32::from(libc::getsid(0) == sid && libc::setsid() > 0));
            say!("child: {}", wait(child));
            0
        });
        say!("session: {}", wait(pid));

        // Orphans get a new parent.
        let (r, w) = pipe();
        let (r2, w2) = pipe();
        let pid = fork(|| {
            fork(|| {
                close(w2);
                read(r2, 1); // until the middle one is gone and waited for
                write(w, if libc::getppid() != libc::getpid() { b"orphan ok" } else { b"?" });
                0
            });
            0
        });
        say!("middle: {}", wait(pid));
        close(r2);
        close(w2);
        close(w);
        say!("orphan: {}", read(r, 20));

        // exec.
        libc::dup2(1, 10);
        libc::dup2(1, 11);
        libc::fcntl(11, libc::F_SETFD, libc::FD_CLOEXEC);
        let pid = fork(|| {
            guest::handle(libc::SIGUSR1, 0, &[], nothing);
            disposition(libc::SIGUSR2, libc::SIG_IGN);
            block(&[libc::SIGTERM]);
            exec(&[&me, "report", "", "two words"], &["A=1", "EMPTY="])
        });
        say!("exec: {}", wait(pid));
        let e = |args: &[&str]| {
            let pid = fork(|| exec(args, &[]));
            let mut s = 0;
            libc::waitpid(pid, &mut s, 0);
            if libc::WEXITSTATUS(s) == 6 || libc::WEXITSTATUS(s) == 5 { status(s) } else { error_name(libc::WEXITSTATUS(s)) }
        };
        say!("exec missing: {}", e(&["missing"]));
        say!("exec directory: {}", e(&["."]));
        std::fs::write("plain", "echo no\n").expect("file");
        say!("exec unset x: {}", e(&["plain"]));
        std::fs::set_permissions("plain", PermissionsExt::from_mode(0o755)).expect("mode");
        say!("exec text: {}", e(&["plain"]));
        std::fs::write("empty", "").expect("file");
        std::fs::set_permissions("empty", PermissionsExt::from_mode(0o755)).expect("mode");
        say!("exec empty: {}", e(&["empty"]));
        let script = |name: &str, text: &str| {
            std::fs::write(name, text).expect("file");
            std::fs::set_permissions(name, PermissionsExt::from_mode(0o755)).expect("mode");
        };
        script("s1", &format!("#!{me} report\n"));
        say!("script: {}", e(&["./s1", "x", "y"]));
        script("s2", &format!("#! \t{me}   report with spaces  \n"));
        say!("one argument only: {}", e(&["./s2", "x"]));
        script("s3", "#!./s1 chained\n");
        say!("chain: {}", e(&["./s3", "z"]));
        script("s4", &format!("#!{me}"));
        say!("no newline: {}", e(&["./s4", "exit"]));
        script("s5", "#!/nowhere/at/all\n");
        say!("missing interpreter: {}", e(&["./s5"]));
        script("s6", "#!\n");
        say!("no interpreter: {}", e(&["./s6"]));
        script("l", "#!./l\n");
        say!("loop: {}", e(&["./l"]));
        script("long", &format!("#!/{}\n", "x".repeat(300)));
        say!("long line: {}", e(&["./long"]));
        let deep = |n: usize| {
            script("d0", &format!("#!{me} exit\n"));
            for i in 1..=n {
                script(&format!("d{i}"), &format!("#!./d{}\n", i - 1));
            }
            e(&[&format!("./d{n}")])
        };
        // The first interpreter line passes "exit" as second argument of all.
        say!("depth 3: {}", deep(3));
        say!("depth 4: {}", deep(4));
        say!("depth 5: {}", deep(5));

        // Limits of arguments.
        let huge = "a".repeat(131072);
        let most = "a".repeat(131071);
        say!("argument of 128 KiB: {}", e(&[&me, "exit", &huge]));
        say!("argument below: {}", e(&[&me, "exit", &most]));
        let many: Vec<&str> = [me.as_str(), "exit"].into_iter().chain((0..16).map(|_| most.as_str())).collect();
        let pid = fork(|| {
            let limit = libc::rlimit { rlim_cur: 4 << 20, rlim_max: libc::RLIM_INFINITY };
            libc::setrlimit(libc::RLIMIT_STACK, &limit);
            exec(&many, &[])
        });
        let mut s = 0;
        libc::waitpid(pid, &mut s, 0);
        say!("2 MiB under a stack limit of 4 MiB: {}", error_name(libc::WEXITSTATUS(s)));
        let pid = fork(|| {
            let limit = libc::rlimit { rlim_cur: 16 << 20, rlim_max: libc::RLIM_INFINITY };
            libc::setrlimit(libc::RLIMIT_STACK, &limit);
            exec(&many, &[])
        });
        say!("2 MiB under a stack limit of 16 MiB: {}", wait(pid));
        let path = c(&me);
        let none: [*const libc::c_char; 1] = [std::ptr::null()];
        let bad = [path.as_ptr(), 8 as *const libc::c_char, std::ptr::null()];
        libc::execve(path.as_ptr(), bad.as_ptr(), none.as_ptr());
        say!("bad argument pointer: {}", error_name(errno()));

        // vfork shares memory until exec.
        let mut shared = 1;
        let p = &raw mut shared;
        let argv = [path.as_ptr(), c"exit".as_ptr(), std::ptr::null()];
        #[allow(deprecated)]
        let pid = libc::vfork();
        if pid == 0 {
            p.write_volatile(2);
            libc::execve(path.as_ptr(), argv.as_ptr(), none.as_ptr());
            libc::_exit(1);
        }
        say!("vfork: {} child {}", p.read_volatile(), wait(pid));

        // exec by a thread that is not the first ends the others.
        let image = me.clone();
        let pid = fork(|| {
            for _ in 0..3 {
                thread::spawn(|| thread::sleep(Duration::from_secs(100)));
            }
            let _ = thread::spawn(move || exec(&[&image, "exit"], &[])).join();
            1
        });
        say!("exec of another thread: {}", wait(pid));

        // Memory of a fork is private.
        let mut value = vec![1u8; 1 << 20];
        let pid = fork(|| {
            let old = value.iter().all(|b| *b == 1);
            value.fill(2);
            i32::from(old) * 10 + i32::from(value.iter().all(|b| *b == 2))
        });
        say!("copy on write: {} parent still {}", wait(pid), value.iter().all(|b| *b == 1));

        // Descriptors share offsets.
        let file = libc::open(c"offsets".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
        let pid = fork(|| write(file, b"child ") as i32);
        let written = wait(pid);
        write(file, b"parent");
        libc::lseek(file, 0, libc::SEEK_SET);
        say!("shared offset: {written} {}", read(file, 100));

        let mut sum = 0u64;
        for i in 0..500 {
            let pid = fork(|| i & 127);
            let mut s = 0;
            libc::waitpid(pid, &mut s, 0);
            sum += u64::from(libc::WEXITSTATUS(s) as u32);
        }
        say!("500 forks: {sum}");
        let pids: Vec<_> = (0..50).map(|i| fork(|| i)).collect();
        let mut sum = 0;
        for _ in &pids {
            let mut s = 0;
            libc::waitpid(-1, &mut s, 0);
            sum += libc::WEXITSTATUS(s);
        }
        say!("50 at once: {sum}; then {}", show(libc::wait(null_mut())));

        // Resources.
        let mut usage: libc::rusage = std::mem::zeroed();
        say!("rusage of children: {}", show(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage)));
        let limit = libc::rlimit { rlim_cur: 20, rlim_max: 20 };
        let pid = fork(|| {
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            let mut last = 0;
            while last >= 0 {
                last = libc::dup(0);
            }
            say!("descriptor limit: {}; dup2 beyond: {}", error_name(errno()), show(libc::dup2(0, 20)));
            0
        });
        wait(pid);
        say!("personality: {}", show(libc::personality(0xffff_ffff)));
        say!("umask: {:o} {:o}", libc::umask(0o27), libc::umask(0o22));
    }
    guest::clean(&dir);
}
