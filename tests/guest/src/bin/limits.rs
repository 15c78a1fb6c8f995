//! What a program is told at its start, and limits on it.

use guest::{fork, say, show, wait};
use std::mem::zeroed;

fn aux(kind: u64) -> u64 {
    // SAFETY: a question.
    unsafe { libc::getauxval(kind as libc::c_ulong) as u64 }
}

fn main() {
    // SAFETY: valid pointers.
    unsafe {
        say!("page size: {} ticks: {} secure: {}", aux(libc::AT_PAGESZ as u64), aux(libc::AT_CLKTCK as u64), aux(libc::AT_SECURE as u64));
        say!("ids: {}", aux(libc::AT_UID as u64) == u64::from(libc::getuid()) && aux(libc::AT_EGID as u64) == u64::from(libc::getegid()));
        say!("random bytes: {}", std::slice::from_raw_parts(aux(libc::AT_RANDOM as u64) as *const u8, 16).iter().any(|b| *b != 0));
        let file = std::ffi::CStr::from_ptr(aux(libc::AT_EXECFN as u64) as *const _).to_string_lossy().into_owned();
        say!("name: {}", std::env::args().next().is_some_and(|a| a == file));
        let phent = aux(libc::AT_PHENT as u64);
        say!("program headers: {phent} {}", aux(libc::AT_PHNUM as u64) > 2);
        say!("entry: {}", aux(libc::AT_ENTRY as u64) != 0);
        for (name, resource) in [("nofile", libc::RLIMIT_NOFILE), ("core", libc::RLIMIT_CORE)] {
            let mut l: libc::rlimit = zeroed();
            libc::getrlimit(resource, &mut l);
            l.rlim_cur = l.rlim_cur.min(100);
            say!("{name}: soft not above hard {} lower {}", l.rlim_cur <= l.rlim_max, show(libc::setrlimit(resource, &l)));
            let bad = libc::rlimit { rlim_cur: 10, rlim_max: 5 };
            say!("{name}: soft above hard: {}", show(libc::setrlimit(resource, &bad)));
        }
        let pid = fork(|| {
            libc::setgid(1000);
            libc::setuid(1000);
            let low = libc::rlimit { rlim_cur: 10, rlim_max: 50 };
            let more = libc::rlimit { rlim_cur: 10, rlim_max: 60 };
            say!("as a user: {} raise {}", show(libc::setrlimit(libc::RLIMIT_NOFILE, &low)), show(libc::setrlimit(libc::RLIMIT_NOFILE, &more)));
            let none = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
            libc::setrlimit(libc::RLIMIT_NPROC, &none);
            // Others of the same user may run on this host: all that matters is that a limit of one is reached.
            let first = libc::fork();
            if first == 0 {
                libc::_exit(0);
            }
            say!("process limit: {}", show(if first > 0 { 0 } else { first }));
            0
        });
        say!("user {}", wait(pid));
        let pid = fork(|| {
            let l = libc::rlimit { rlim_cur: 1, rlim_max: 2 };
            libc::setrlimit(libc::RLIMIT_CPU, &l);
            let core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &core);
            let mut x = 1u64;
            loop {
                x = std::hint::black_box(x.wrapping_mul(5));
            }
        });
        say!("cpu limit: {}", wait(pid));
        let mut u: libc::utsname = zeroed();
        libc::uname(&mut u);
        say!("system: {}", std::ffi::CStr::from_ptr(u.sysname.as_ptr()).to_string_lossy());
        let mut s: libc::sysinfo = zeroed();
        libc::sysinfo(&mut s);
        say!("sysinfo: {} {}", s.totalram > 0, s.mem_unit);
        say!("prctl name: {}", {
            libc::prctl(libc::PR_SET_NAME, c"a name longer than fifteen".as_ptr());
            let mut b = [0u8; 16];
            libc::prctl(libc::PR_GET_NAME, b.as_mut_ptr());
            String::from_utf8_lossy(&b).trim_end_matches('\0').to_owned()
        });
    }
}
