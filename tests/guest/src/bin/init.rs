//! The first process of a machine in the tests: starts a program as its child, adopts and reaps orphans, and ends as
//! the program did. So the program is not process 1, which Linux treats differently.

use guest::{c, error_name, errno};

fn main() {
    let args: Vec<_> = std::env::args().skip(1).map(|a| c(&a)).collect();
    let mut argv: Vec<_> = args.iter().map(|a| a.as_ptr()).collect();
    argv.push(std::ptr::null());
    // SAFETY: a terminated array; one thread.
    unsafe {
        let program = libc::fork();
        if program == 0 {
            libc::execv(argv[0], argv.as_ptr());
            libc::_exit(127);
        }
        loop {
            let mut status = 0;
            let pid = libc::wait(&mut status);
            if pid == program {
                let signal = 128 + libc::WTERMSIG(status);
                libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { signal });
            }
            assert!(pid > 0, "wait: {}", error_name(errno()));
        }
    }
}
