//! What the guest programs share: transcript lines, names of errors, processes, scratch directories.
//!
//! A transcript is the same on every Linux: no process ids, addresses or times are printed.

use std::{ffi::CString, io::Write};

/// Writes one transcript line at once.
#[macro_export]
macro_rules! say {
    ($($t:tt)*) => { $crate::line(format!($($t)*)) };
}

pub fn line(mut text: String) {
    text.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).expect("the transcript can be written");
    out.flush().expect("the transcript can be written");
}

/// `errno` of the last call.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

macro_rules! names {
    ($($n:ident)*) => {
        /// Name of an error number.
        pub fn error_name(e: i32) -> String {
            $( if e == libc::$n { return stringify!($n).into(); } )*
            format!("E{e}")
        }
    };
}

names! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
    EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG ENODATA ETIME EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS
    ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN
    ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT
    ECANCELED EBADFD EOWNERDEAD ENOTRECOVERABLE
}

/// A call's result: the number, or the error's name.
pub fn show(r: impl TryInto<i64>) -> String {
    match r.try_into() {
        Ok(-1) => error_name(errno()),
        Ok(n) => n.to_string(),
        Err(_) => "out of range".into(),
    }
}

/// "ok", or the error's name: for calls whose result is an identity.
pub fn ok(r: impl TryInto<i64>) -> String {
    match r.try_into() {
        Ok(-1) => error_name(errno()),
        _ => "ok".into(),
    }
}

/// A path for the C library.
pub fn c(text: &str) -> CString {
    CString::new(text).expect("no zero byte")
}

/// Runs `f` in a child process, which exits with its result.
pub fn fork(f: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the programs fork from their only thread, or do only async-signal-safe things in the child.
    match unsafe { libc::fork() } {
        0 => {
            let code = f();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        pid => pid,
    }
}

/// A wait status in words.
pub fn status(s: i32) -> String {
    if libc::WIFEXITED(s) {
        format!("exited {}", libc::WEXITSTATUS(s))
    } else if libc::WIFSIGNALED(s) {
        format!("killed by {}", signal_name(libc::WTERMSIG(s)))
    } else if libc::WIFSTOPPED(s) {
        format!("stopped by {}", signal_name(libc::WSTOPSIG(s)))
    } else if libc::WIFCONTINUED(s) {
        "continued".into()
    } else {
        format!("status {s:#x}")
    }
}

/// Waits for a child.
pub fn wait(pid: libc::pid_t) -> String {
    wait_with(pid, 0)
}

/// Waits for a child with `waitpid` flags.
pub fn wait_with(pid: libc::pid_t, flags: i32) -> String {
    let mut s = 0;
    loop {
        // SAFETY: `s` is a place for the status.
        match unsafe { libc::waitpid(pid, &mut s, flags) } {
            -1 if errno() == libc::EINTR => {}
            -1 => return error_name(errno()),
            0 => return "nothing".into(),
            _ => return status(s),
        }
    }
}

/// Name of a signal that is the same for every C library.
pub fn signal_name(n: i32) -> String {
    const NAMES: [&str; 32] = [
        "0", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    match NAMES.get(n as usize) {
        Some(name) => (*name).into(),
        None => format!("RT{n}"),
    }
}

/// Installs a handler with three arguments.
pub fn handle(
    signal: i32,
    flags: i32,
    mask: &[i32],
    f: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void),
) -> i32 {
    // SAFETY: zero is a valid sigaction; the handlers do only what is allowed in them.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = f as usize;
        action.sa_flags = flags | libc::SA_SIGINFO;
        libc::sigemptyset(&mut action.sa_mask);
        for s in mask {
            libc::sigaddset(&mut action.sa_mask, *s);
        }
        libc::sigaction(signal, &action, std::ptr::null_mut())
    }
}

/// Sets a signal to `SIG_DFL` or `SIG_IGN`.
pub fn disposition(signal: i32, handler: libc::sighandler_t) {
    // SAFETY: no function is installed.
    unsafe { libc::signal(signal, handler) };
}

/// A set of signals.
pub fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: `sigemptyset` makes the set valid.
    unsafe {
        let mut s = std::mem::zeroed();
        libc::sigemptyset(&mut s);
        for n in signals {
            libc::sigaddset(&mut s, *n);
        }
        s
    }
}

/// Blocks signals.
pub fn block(signals: &[i32]) {
    // SAFETY: the set is valid.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set(signals), std::ptr::null_mut()) };
}

/// Unblocks signals.
pub fn unblock(signals: &[i32]) {
    // SAFETY: the set is valid.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &set(signals), std::ptr::null_mut()) };
}

/// A pipe: the reading and the writing end.
pub fn pipe() -> (i32, i32) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(fds.as_mut_ptr()) }, 0);
    (fds[0], fds[1])
}

/// write(2)
pub fn write(fd: i32, data: &[u8]) -> isize {
    // SAFETY: the slice is readable.
    unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) }
}

/// read(2), as text or error name.
pub fn read(fd: i32, max: usize) -> String {
    let mut buf = vec![0u8; max];
    // SAFETY: the buffer has that size.
    match unsafe { libc::read(fd, buf.as_mut_ptr().cast(), max) } {
        -1 => error_name(errno()),
        n => format!("{:?}", String::from_utf8_lossy(&buf[..n as usize])),
    }
}

/// close(2)
pub fn close(fd: i32) -> i32 {
    // SAFETY: the programs own all their descriptors.
    unsafe { libc::close(fd) }
}

/// Makes an empty directory on a tmpfs and goes there.
pub fn scratch(name: &str) -> String {
    let dir = format!("/dev/shm/tuxlet-{name}-{}", std::process::id());
    std::fs::create_dir(&dir).expect("a directory in /dev/shm");
    std::env::set_current_dir(&dir).expect("the new directory");
    dir
}

/// Removes the scratch directory.
pub fn clean(dir: &str) {
    std::env::set_current_dir("/").expect("the root");
    std::fs::remove_dir_all(dir).expect("removing the scratch directory");
}
