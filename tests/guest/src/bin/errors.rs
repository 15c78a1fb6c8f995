//! What system calls refuse: by their numbers, with arguments that make no sense.

use guest::{close, errno, error_name, say, scratch};
use libc::{c_long, syscall};

const BAD: usize = 4096;

fn name(r: c_long) -> String {
    if r == -1 { error_name(errno()) } else if r == 0 { "0".into() } else { "ok".into() }
}

macro_rules! calls {
    ($( $call:ident ( $($arg:expr),* ) ; )*) => { $(
        // SAFETY: pointers are unmapped or valid; that the calls fail is the point.
        say!(concat!(stringify!($call), stringify!(($($arg),*)), ": {}"), name(unsafe { syscall(libc::$call $(, $arg as usize)*) }));
    )* };
}

fn main() {
    let dir = scratch("errors");
    let nofd = 999;
    let missing = c"missing".as_ptr();
    let empty = c"".as_ptr();
    let dot = c".".as_ptr();
    let cwd = libc::AT_FDCWD as isize;
    let neg = -1isize;
    let mut buffer = [0u64; 64];
    let buf = buffer.as_mut_ptr();
    let (r, w) = guest::pipe();
    let zero = [0u64; 4];
    let odd_time = [0u64, 1_000_000_000, 0, 0];
    let t0 = zero.as_ptr();
    let odd = odd_time.as_ptr();
    // SAFETY: a directory.
    let d = unsafe { libc::open(dot, libc::O_RDONLY) };
    calls! {
        SYS_read(nofd, buf, 1); SYS_read(r, BAD, 0); SYS_read(w, buf, 1); SYS_read(d, buf, 1);
        SYS_write(nofd, buf, 1); SYS_write(r, buf, 1); SYS_write(w, BAD, 1); SYS_write(w, BAD, 0);
        SYS_readv(r, BAD, 1); SYS_readv(r, buf, neg); SYS_writev(w, buf, 0);
        SYS_pread64(nofd, buf, 1, 0); SYS_pread64(r, buf, 1, 0); SYS_pwrite64(w, buf, 1, neg);
        SYS_lseek(nofd, 0, 0); SYS_lseek(r, 0, 0); SYS_lseek(d, 0, 77);
        SYS_openat(cwd, missing, 0, 0); SYS_openat(nofd, missing, 0, 0); SYS_openat(cwd, BAD, 0, 0); SYS_openat(r, missing, 0, 0);
        SYS_openat(cwd, empty, 0, 0); SYS_openat(cwd, dot, 2, 0);
        SYS_close(nofd); SYS_close_range(5, 4, 0); SYS_close_range(5, 6, 77);
        SYS_dup(nofd); SYS_dup3(0, 0, 0); SYS_dup3(nofd, 1, 0); SYS_dup3(0, 1, 5);
        SYS_fcntl(nofd, 1, 0); SYS_fcntl(0, 12345, 0);
        SYS_ioctl(nofd, 0x5401, buf); SYS_ioctl(r, 0x5401, buf); SYS_ioctl(d, 0x1234_5678, buf);
        SYS_ftruncate(nofd, 0); SYS_ftruncate(r, 0); SYS_ftruncate(d, 0); SYS_truncate(missing, 0); SYS_truncate(dot, 0); SYS_truncate(dot, neg);
        SYS_fallocate(nofd, 0, 0, 1); SYS_fallocate(w, 0, 0, 1);
        SYS_fsync(nofd); SYS_fsync(r); SYS_fdatasync(r); SYS_syncfs(nofd);
        SYS_fstat(nofd, buf); SYS_fstat(0, BAD); SYS_newfstatat(cwd, missing, buf, 0); SYS_newfstatat(cwd, empty, buf, 0); SYS_newfstatat(cwd, dot, buf, 0x8000_0000usize);
        SYS_statx(cwd, missing, 0, 0, buf); SYS_statx(cwd, dot, 0, 0x8000_0000usize, buf); SYS_statx(cwd, dot, 0x6000, 0, buf);
        SYS_statfs(missing, buf); SYS_fstatfs(nofd, buf); SYS_statfs(dot, BAD);
        SYS_faccessat(cwd, missing, 0); SYS_faccessat(cwd, dot, 8); SYS_faccessat2(cwd, dot, 0, 0x4000_0000);
        SYS_fchmod(nofd, 0); SYS_fchmodat(cwd, missing, 0); SYS_fchownat(cwd, missing, 0, 0, 0); SYS_fchownat(cwd, dot, 0, 0, 0x4000_0000); SYS_fchown(nofd, 0, 0);
        SYS_utimensat(cwd, missing, 0, 0); SYS_utimensat(cwd, dot, odd, 0); SYS_utimensat(cwd, dot, t0, 0x4000_0000);
        SYS_getdents64(nofd, buf, 512); SYS_getdents64(r, buf, 512); SYS_getdents64(d, buf, 0);
        SYS_getcwd(buf, 0); SYS_getcwd(buf, 1); SYS_getcwd(BAD, 4096);
        SYS_chdir(missing); SYS_chdir(BAD); SYS_fchdir(r); SYS_fchdir(nofd); SYS_chroot(missing);
        SYS_mkdirat(cwd, dot, 0); SYS_mkdirat(cwd, empty, 0); SYS_mknodat(cwd, dot, 0, 0); SYS_mknodat(cwd, missing, 0o040000, 0); SYS_mknodat(cwd, missing, 0o170000, 0);
        SYS_symlinkat(missing, cwd, dot); SYS_symlinkat(empty, cwd, missing); SYS_linkat(cwd, missing, cwd, dot, 0); SYS_linkat(cwd, dot, cwd, missing, 0x1);
        SYS_readlinkat(cwd, dot, buf, 10); SYS_readlinkat(cwd, dot, buf, 0); SYS_unlinkat(cwd, missing, 0); SYS_unlinkat(cwd, dot, 0x200); SYS_unlinkat(cwd, dot, 0x1);
        SYS_renameat2(cwd, missing, cwd, dot, 0); SYS_renameat2(cwd, dot, cwd, missing, 0x100);
        SYS_pipe2(BAD, 0); SYS_pipe2(buf, 0x7);
        SYS_ppoll(buf, 0x7fff_ffff, t0, 0, 8); SYS_ppoll(0, 0, odd, 0, 8); SYS_ppoll(0, 0, t0, buf, 4); SYS_ppoll(BAD, 1, t0, 0, 8);
        SYS_pselect6(neg, 0, 0, 0, 0, 0); SYS_pselect6(1, BAD, 0, 0, t0, 0); SYS_pselect6(0, 0, 0, 0, odd, 0);
        SYS_epoll_create1(7); SYS_epoll_ctl(nofd, 1, r, buf); SYS_epoll_ctl(r, 1, w, buf); SYS_epoll_pwait(nofd, buf, 1, 0, 0, 8); SYS_epoll_pwait(r, buf, 1, 0, 0, 8); SYS_epoll_pwait(r, buf, 0, 0, 0, 8);
        SYS_eventfd2(0, 7); SYS_timerfd_create(55, 0); SYS_timerfd_create(1, 7); SYS_timerfd_settime(r, 0, t0, 0); SYS_timerfd_gettime(nofd, buf); SYS_signalfd4(neg, buf, 4, 0); SYS_signalfd4(neg, buf, 8, 7);
        SYS_socket(77, 1, 0); SYS_socket(1, 0, 0); SYS_socket(2, 1, 99); SYS_socketpair(2, 1, 0, buf); SYS_bind(nofd, buf, 16); SYS_bind(r, buf, 16); SYS_listen(r, 1); SYS_accept(r, 0, 0); SYS_connect(r, buf, 16);
        SYS_getsockname(r, buf, buf); SYS_setsockopt(r, 1, 1, buf, 4); SYS_sendto(r, buf, 1, 0, 0, 0); SYS_recvfrom(nofd, buf, 1, 0, 0, 0); SYS_shutdown(r, 0); SYS_sendmsg(r, buf, 0); SYS_recvmsg(r, buf, 0);
        SYS_mmap(0, 0, 3, 0x22, neg, 0); SYS_mmap(0, 4096, 3, 0, neg, 0); SYS_mmap(0, 4096, 3, 2, nofd, 0); SYS_mmap(0, 4096, 3, 2, r, 0); SYS_mmap(0, 4096, 3, 0x22, neg, 5); SYS_mmap(0, neg, 3, 0x22, neg, 0);
        SYS_munmap(1, 4096); SYS_munmap(BAD, 0); SYS_munmap(BAD, neg); SYS_mprotect(1, 4096, 0); SYS_mprotect(BAD, 4096, 0); SYS_mprotect(BAD, 4096, 0xff00);
        SYS_mremap(BAD, 4096, 4096, 0, 0); SYS_mremap(BAD, 4096, 0, 0, 0); SYS_mremap(BAD, 4096, 4096, 0x100, 0); SYS_mremap(BAD, 4096, 4096, 2, 0);
        SYS_madvise(1, 4096, 0); SYS_madvise(BAD, 4096, 999); SYS_madvise(BAD, 4096, 4); SYS_msync(1, 4096, 4); SYS_msync(BAD, 4096, 4); SYS_msync(BAD, 4096, 5); SYS_mincore(1, 4096, buf); SYS_mincore(BAD, 4096, buf); SYS_mlock(BAD, 4096); SYS_mlockall(77); SYS_mlock2(BAD, 4096, 7);
        SYS_clock_gettime(55, buf); SYS_clock_gettime(1, BAD); SYS_clock_getres(55, buf); SYS_clock_nanosleep(55, 0, t0, 0); SYS_clock_nanosleep(1, 0, odd, 0); SYS_nanosleep(odd, 0); SYS_nanosleep(BAD, 0); SYS_clock_settime(1, t0); SYS_gettimeofday(BAD, 0);
        SYS_setpgid(neg, 0); SYS_setpgid(0, neg); SYS_getpgid(neg); SYS_getsid(0x3fff_ffff); SYS_getgroups(neg, buf); SYS_setgroups(0x7fff_ffff, buf); SYS_setresuid(neg, neg, neg); SYS_setuid(neg); SYS_setgid(neg); SYS_getresuid(BAD, BAD, BAD);
        SYS_uname(BAD); SYS_sethostname(buf, 65); SYS_sethostname(buf, neg); SYS_sysinfo(BAD); SYS_getrandom(BAD, 1, 0); SYS_getrandom(buf, 1, 77); SYS_getcpu(0, 0, 0);
        SYS_clone(0x0001_0000, 0, 0, 0, 0); SYS_clone(0x800, 0, 0, 0, 0); SYS_clone3(buf, 8); SYS_clone3(BAD, 64); SYS_clone3(buf, 0x10000);
        SYS_execve(missing, 0, 0); SYS_execve(dot, 0, 0); SYS_execve(BAD, 0, 0); SYS_execve(empty, 0, 0); SYS_execveat(nofd, empty, 0, 0, 0x1000); SYS_execveat(cwd, dot, 0, 0, 0x4000_0000);
        SYS_wait4(neg, 0, 0, 0); SYS_wait4(neg, 0, 0x1000_0000, 0); SYS_wait4(1, 0, 1, 0); SYS_waitid(0, 0, buf, 0, 0); SYS_waitid(9, 0, buf, 4, 0); SYS_waitid(1, 0, buf, 4, 0);
        SYS_futex(buf, 0, 1, 0, 0, 0); SYS_futex(1, 0, 1, 0, 0, 0); SYS_futex(BAD, 0, 0, 0, 0, 0); SYS_futex(buf, 1, 1, 0, 0, 0); SYS_futex(buf, 0, 0, odd, 0, 0); SYS_futex(buf, 127, 0, 0, 0, 0); SYS_futex(buf, 9, 0, t0, 0, 0); SYS_set_robust_list(buf, 5); SYS_get_robust_list(0, BAD, BAD);
        SYS_kill(0x3fff_ffff, 0); SYS_kill(0, 65); SYS_kill(0, neg); SYS_tkill(neg, 0); SYS_tkill(0x3fff_ffff, 0); SYS_tgkill(0, 1, 0); SYS_tgkill(1, 0x3fff_ffff, 0); SYS_rt_sigqueueinfo(0x3fff_ffff, 10, buf); SYS_rt_sigqueueinfo(0x3fff_ffff, 10, BAD);
        SYS_rt_sigaction(0, 0, 0, 8); SYS_rt_sigaction(65, 0, 0, 8); SYS_rt_sigaction(9, buf, 0, 8); SYS_rt_sigaction(10, 0, 0, 4); SYS_rt_sigaction(10, BAD, 0, 8); SYS_rt_sigprocmask(7, buf, 0, 8); SYS_rt_sigprocmask(7, 0, 0, 8); SYS_rt_sigprocmask(0, 0, 0, 4); SYS_rt_sigprocmask(0, BAD, 0, 8); SYS_rt_sigpending(buf, 9); SYS_rt_sigsuspend(buf, 4); SYS_rt_sigtimedwait(buf, 0, odd, 8); SYS_rt_sigtimedwait(buf, 0, t0, 4); SYS_rt_sigtimedwait(buf, 0, t0, 8); SYS_sigaltstack(BAD, 0);
        SYS_inotify_init1(7); SYS_inotify_add_watch(r, dot, 1); SYS_inotify_add_watch(nofd, dot, 1); SYS_inotify_rm_watch(r, 1); SYS_splice(r, 0, d, 0, 1, 0); SYS_splice(nofd, 0, w, 0, 1, 0); SYS_tee(r, r, 1, 0); SYS_tee(d, w, 1, 0);
        SYS_timer_create(55, 0, buf); SYS_timer_settime(77, 0, t0, 0); SYS_timer_gettime(77, buf); SYS_timer_getoverrun(77); SYS_timer_delete(77); SYS_getitimer(9, buf); SYS_setitimer(9, t0, 0); SYS_setitimer(0, odd, 0);
        SYS_getrlimit(99, buf); SYS_setrlimit(99, buf); SYS_prlimit64(0x3fff_ffff, 0, 0, buf); SYS_prlimit64(0, 99, 0, buf); SYS_getrusage(99, buf); SYS_getrusage(0, BAD); SYS_getpriority(9, 0); SYS_getpriority(0, 0x3fff_ffff); SYS_setpriority(9, 0, 0);
        SYS_sched_getaffinity(0, 1, buf); SYS_sched_getaffinity(0x3fff_ffff, 512, buf); SYS_sched_setscheduler(0, 99, buf); SYS_sched_setscheduler(neg, 0, buf); SYS_sched_getscheduler(neg); SYS_sched_getparam(0, 0); SYS_sched_get_priority_max(99); SYS_sched_rr_get_interval(neg, buf);
        SYS_prctl(9999, 0, 0, 0, 0); SYS_prctl(15, BAD, 0, 0, 0); SYS_prctl(1, 65, 0, 0, 0); SYS_prctl(4, 7, 0, 0, 0); SYS_prctl(38, 1, 1, 0, 0); SYS_prctl(38, 7, 0, 0, 0); SYS_personality(0xffff_ffffusize);
        SYS_setxattr(dot, c"user.x".as_ptr(), buf, 1, 7); SYS_setxattr(dot, empty, buf, 1, 0); SYS_getxattr(missing, c"user.x".as_ptr(), buf, 1); SYS_getxattr(dot, c"user.x".as_ptr(), buf, 1); SYS_listxattr(missing, buf, 1); SYS_removexattr(dot, c"user.x".as_ptr()); SYS_fgetxattr(nofd, c"user.x".as_ptr(), buf, 1); SYS_fsetxattr(d, c"user.x".as_ptr(), buf, 0x10001, 0);
        SYS_flock(nofd, 1); SYS_flock(r, 16); SYS_memfd_create(BAD, 0); SYS_memfd_create(empty, 0x8000); SYS_copy_file_range(nofd, 0, w, 0, 1, 0); SYS_copy_file_range(r, 0, w, 0, 1, 0); SYS_copy_file_range(d, 0, d, 0, 1, 0); SYS_sendfile(w, nofd, 0, 1); SYS_sendfile(w, r, 0, 1);
        SYS_pidfd_open(neg, 0); SYS_pidfd_open(0x3fff_ffff, 0); SYS_pidfd_send_signal(r, 0, 0, 0); SYS_kcmp(0x3fff_ffff, 0x3fff_ffff, 0, 0, 0); SYS_umount2(dot, 0); SYS_mount(0, dot, c"nosuchfs".as_ptr(), 0, 0); SYS_capget(BAD, 0); SYS_membarrier(0x4000_0000, 0, 0);
        SYS_process_vm_readv(0x3fff_ffff, buf, 1, buf, 1, 0); SYS_process_vm_readv(0, buf, 1, buf, 1, 7);
    }
    // SAFETY: a number that no system call has.
    say!("no such call: {}", name(unsafe { syscall(1000) }));
    close(r);
    guest::clean(&dir);
}
