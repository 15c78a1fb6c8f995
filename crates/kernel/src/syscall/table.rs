//! The system call table: one row per call with its support level. Dispatch, the trace and
//! `docs/generated/SYSCALLS.md` derive from it.

use super::{
    adjtime, aio, arg::Syscall, dir, eventfd, eventpoll, fcntl, fsmount, futex, ids, inotify,
    io_uring, ioctl, ipc, limits, memory, misc, mount, mqueue, namespaces, open, pidfd, pipe, poll,
    prctl, process, ptrace, rw, sched, seccomp, signal, socket, sockmsg, splice, stat, statmount,
    system, time, timer, wait, xattr,
};
use crate::task::CurrentTask;
use tuxlet_uapi::{
    errno::Result,
    nr::{self, SYSCALLS},
};

/// How well a system call is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As the man page says.
    Full,
    /// Something is missing: the note says what.
    Partial,
    /// `ENOSYS`.
    Absent,
}

type Handler = fn(&mut CurrentTask, &[u64; 6]) -> Result<u64>;
type Show = fn(&CurrentTask, &[u64; 6]) -> String;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Number on arm64.
    pub nr: u32,
    /// Name.
    pub name: &'static str,
    /// Support.
    pub level: Level,
    /// What is missing or why it is absent.
    pub note: &'static str,
    pub(super) handler: Option<Handler>,
    pub(super) show: Option<Show>,
}

/// One above the highest number.
const LEN: usize = 470;

static TABLE: [Option<Row>; LEN] = build();

const fn build() -> [Option<Row>; LEN] {
    let mut table: [Option<Row>; LEN] = [None; LEN];
    // Every call that Linux has gets a row, so that absence is listed and not just a hole.
    let mut i = 0;
    while i < SYSCALLS.len() {
        let (name, nr) = SYSCALLS[i];
        if (nr as usize) < LEN {
            table[nr as usize] = Some(Row {
                nr,
                name,
                level: Level::Absent,
                note: "",
                handler: None,
                show: None,
            });
        }
        i += 1;
    }
    let mut i = 0;
    while i < IMPLEMENTED.len() {
        let (nr, level, note, handler, show) = IMPLEMENTED[i];
        if let Some(row) = &mut table[nr as usize] {
            row.level = level;
            row.note = note;
            row.handler = Some(handler);
            row.show = Some(show);
        }
        i += 1;
    }
    table
}

/// The row of a number.
pub(super) fn row(nr: u32) -> Option<&'static Row> {
    TABLE.get(nr as usize)?.as_ref()
}

/// All rows in the order of their numbers.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().flatten()
}

macro_rules! syscalls {
    ($( $nr:ident => $handler:path, $level:ident $($note:literal)?; )*) => {
        const IMPLEMENTED: &[(u32, Level, &str, Handler, Show)] = &[
            $( (
                nr::$nr,
                Level::$level,
                concat!("" $(, $note)?),
                |task, args| Syscall::call(&$handler, task, args),
                |task, args| Syscall::show(&$handler, task, args),
            ), )*
        ];
    };
}

syscalls! {
    READ => rw::sys_read, Full;
    WRITE => rw::sys_write, Full;
    READV => rw::sys_readv, Full;
    WRITEV => rw::sys_writev, Full;
    PREAD64 => rw::sys_pread64, Full;
    PWRITE64 => rw::sys_pwrite64, Full;
    PREADV => rw::sys_preadv, Full;
    PWRITEV => rw::sys_pwritev, Full;
    PREADV2 => rw::sys_preadv2, Full;
    PWRITEV2 => rw::sys_pwritev2, Partial "RWF_SYNC and RWF_DSYNC write without waiting for the medium";
    LSEEK => rw::sys_lseek, Full;
    SENDFILE => rw::sys_sendfile, Full;
    COPY_FILE_RANGE => rw::sys_copy_file_range, Full;
    OPENAT => open::sys_openat, Full;
    OPENAT2 => open::sys_openat2, Full;
    CLOSE => open::sys_close, Full;
    CLOSE_RANGE => open::sys_close_range, Full;
    DUP => open::sys_dup, Full;
    DUP3 => open::sys_dup3, Full;
    TRUNCATE => open::sys_truncate, Full;
    FTRUNCATE => open::sys_ftruncate, Full;
    FALLOCATE => open::sys_fallocate, Full;
    FSYNC => open::sys_fsync, Full;
    FDATASYNC => open::sys_fdatasync, Full;
    SYNC => open::sys_sync, Full;
    SYNCFS => open::sys_syncfs, Full;
    SYNC_FILE_RANGE => open::sys_sync_file_range, Full;
    FADVISE64 => open::sys_fadvise64, Full;
    READAHEAD => open::sys_readahead, Full;
    FSTAT => stat::sys_fstat, Full;
    NEWFSTATAT => stat::sys_newfstatat, Full;
    STATX => stat::sys_statx, Full;
    STATFS => stat::sys_statfs, Full;
    FSTATFS => stat::sys_fstatfs, Full;
    FACCESSAT => stat::sys_faccessat, Full;
    FACCESSAT2 => stat::sys_faccessat2, Full;
    FCHMOD => stat::sys_fchmod, Full;
    FCHMODAT => stat::sys_fchmodat, Full;
    FCHMODAT2 => stat::sys_fchmodat2, Full;
    FCHOWN => stat::sys_fchown, Full;
    FCHOWNAT => stat::sys_fchownat, Full;
    UTIMENSAT => stat::sys_utimensat, Full;
    GETDENTS64 => dir::sys_getdents64, Full;
    GETCWD => dir::sys_getcwd, Full;
    CHDIR => dir::sys_chdir, Full;
    FCHDIR => dir::sys_fchdir, Full;
    CHROOT => dir::sys_chroot, Full;
    UMASK => dir::sys_umask, Full;
    MKDIRAT => dir::sys_mkdirat, Full;
    MKNODAT => dir::sys_mknodat, Full;
    SYMLINKAT => dir::sys_symlinkat, Full;
    LINKAT => dir::sys_linkat, Full;
    READLINKAT => dir::sys_readlinkat, Full;
    UNLINKAT => dir::sys_unlinkat, Full;
    RENAMEAT => dir::sys_renameat, Full;
    RENAMEAT2 => dir::sys_renameat2, Full;
    PIPE2 => pipe::sys_pipe2, Full;
    PPOLL => poll::sys_ppoll, Full;
    PSELECT6 => poll::sys_pselect6, Full;
    SOCKET => socket::sys_socket, Partial "AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (route, sock_diag, generic, uevent, usersock)";
    SOCKETPAIR => socket::sys_socketpair, Full;
    BIND => socket::sys_bind, Full;
    LISTEN => socket::sys_listen, Full;
    ACCEPT => socket::sys_accept, Full;
    ACCEPT4 => socket::sys_accept4, Full;
    CONNECT => socket::sys_connect, Full;
    GETSOCKNAME => socket::sys_getsockname, Full;
    GETPEERNAME => socket::sys_getpeername, Full;
    SHUTDOWN => socket::sys_shutdown, Full;
    SETSOCKOPT => socket::sys_setsockopt, Partial "no socket filters, no zero copy";
    GETSOCKOPT => socket::sys_getsockopt, Partial "no socket filters, no zero copy";
    SENDTO => sockmsg::sys_sendto, Full;
    RECVFROM => sockmsg::sys_recvfrom, Full;
    SENDMSG => sockmsg::sys_sendmsg, Full;
    RECVMSG => sockmsg::sys_recvmsg, Full;
    SENDMMSG => sockmsg::sys_sendmmsg, Full;
    RECVMMSG => sockmsg::sys_recvmmsg, Full;
    MMAP => memory::sys_mmap, Partial "no huge pages";
    MUNMAP => memory::sys_munmap, Full;
    MPROTECT => memory::sys_mprotect, Full;
    MREMAP => memory::sys_mremap, Full;
    BRK => memory::sys_brk, Full;
    MADVISE => memory::sys_madvise, Full;
    MSYNC => memory::sys_msync, Full;
    MINCORE => memory::sys_mincore, Full;
    MLOCK => memory::sys_mlock, Full;
    MLOCK2 => memory::sys_mlock2, Full;
    MUNLOCK => memory::sys_munlock, Full;
    MLOCKALL => memory::sys_mlockall, Full;
    MUNLOCKALL => memory::sys_munlockall, Full;
    CLOCK_GETTIME => time::sys_clock_gettime, Full;
    CLOCK_GETRES => time::sys_clock_getres, Full;
    CLOCK_SETTIME => time::sys_clock_settime, Full;
    GETTIMEOFDAY => time::sys_gettimeofday, Full;
    NANOSLEEP => time::sys_nanosleep, Full;
    CLOCK_NANOSLEEP => time::sys_clock_nanosleep, Full;
    TIMES => time::sys_times, Full;
    GETPID => ids::sys_getpid, Full;
    GETTID => ids::sys_gettid, Full;
    GETPPID => ids::sys_getppid, Full;
    SET_TID_ADDRESS => ids::sys_set_tid_address, Full;
    GETPGID => ids::sys_getpgid, Full;
    SETPGID => ids::sys_setpgid, Full;
    GETSID => ids::sys_getsid, Full;
    SETSID => ids::sys_setsid, Full;
    GETUID => ids::sys_getuid, Full;
    GETEUID => ids::sys_geteuid, Full;
    GETGID => ids::sys_getgid, Full;
    GETEGID => ids::sys_getegid, Full;
    GETRESUID => ids::sys_getresuid, Full;
    GETRESGID => ids::sys_getresgid, Full;
    SETUID => ids::sys_setuid, Full;
    SETGID => ids::sys_setgid, Full;
    SETREUID => ids::sys_setreuid, Full;
    SETREGID => ids::sys_setregid, Full;
    SETRESUID => ids::sys_setresuid, Full;
    SETRESGID => ids::sys_setresgid, Full;
    SETFSUID => ids::sys_setfsuid, Full;
    SETFSGID => ids::sys_setfsgid, Full;
    GETGROUPS => ids::sys_getgroups, Full;
    SETGROUPS => ids::sys_setgroups, Full;
    UNAME => misc::sys_uname, Full;
    SETHOSTNAME => misc::sys_sethostname, Full;
    SETDOMAINNAME => misc::sys_setdomainname, Full;
    SYSINFO => misc::sys_sysinfo, Full;
    GETRANDOM => misc::sys_getrandom, Full;
    GETCPU => misc::sys_getcpu, Full;
    EXIT => process::sys_exit, Full;
    EXIT_GROUP => process::sys_exit_group, Full;
    CLONE => process::sys_clone, Partial "new network namespaces have only a loopback interface";
    CLONE3 => process::sys_clone3, Partial "new network namespaces have only a loopback interface";
    EXECVE => process::sys_execve, Full;
    EXECVEAT => process::sys_execveat, Full;
    WAIT4 => wait::sys_wait4, Full;
    WAITID => wait::sys_waitid, Full;
    FUTEX => futex::sys_futex, Full;
    FUTEX_WAITV => futex::sys_futex_waitv, Full;
    FUTEX_WAKE => futex::sys_futex_wake, Full;
    FUTEX_WAIT => futex::sys_futex_wait, Full;
    FUTEX_REQUEUE => futex::sys_futex_requeue, Partial "both words private or both shared";
    SET_ROBUST_LIST => futex::sys_set_robust_list, Full;
    RESTART_SYSCALL => futex::sys_restart_syscall, Full;
    KILL => signal::sys_kill, Full;
    TKILL => signal::sys_tkill, Full;
    TGKILL => signal::sys_tgkill, Full;
    RT_SIGQUEUEINFO => signal::sys_rt_sigqueueinfo, Full;
    RT_TGSIGQUEUEINFO => signal::sys_rt_tgsigqueueinfo, Full;
    RT_SIGACTION => signal::sys_rt_sigaction, Full;
    RT_SIGPROCMASK => signal::sys_rt_sigprocmask, Full;
    RT_SIGPENDING => signal::sys_rt_sigpending, Full;
    RT_SIGSUSPEND => signal::sys_rt_sigsuspend, Full;
    RT_SIGTIMEDWAIT => signal::sys_rt_sigtimedwait, Full;
    RT_SIGRETURN => signal::sys_rt_sigreturn, Full;
    SIGALTSTACK => signal::sys_sigaltstack, Full;
    FCNTL => fcntl::sys_fcntl, Partial "no leases, no F_NOTIFY";
    FLOCK => fcntl::sys_flock, Full;
    IOCTL => ioctl::sys_ioctl, Full;
    EVENTFD2 => eventfd::sys_eventfd2, Full;
    TIMERFD_CREATE => eventfd::sys_timerfd_create, Full;
    TIMERFD_SETTIME => eventfd::sys_timerfd_settime, Full;
    TIMERFD_GETTIME => eventfd::sys_timerfd_gettime, Full;
    SIGNALFD4 => eventfd::sys_signalfd4, Full;
    MEMFD_CREATE => eventfd::sys_memfd_create, Partial "no huge pages";
    EPOLL_CREATE1 => eventpoll::sys_epoll_create1, Full;
    EPOLL_CTL => eventpoll::sys_epoll_ctl, Full;
    EPOLL_PWAIT => eventpoll::sys_epoll_pwait, Full;
    EPOLL_PWAIT2 => eventpoll::sys_epoll_pwait2, Full;
    INOTIFY_INIT1 => inotify::sys_inotify_init1, Full;
    INOTIFY_ADD_WATCH => inotify::sys_inotify_add_watch, Partial "no IN_UNMOUNT; IN_DELETE_SELF comes with the last name, not with the last close; of changes by others in host directories only on Linux hosts";
    INOTIFY_RM_WATCH => inotify::sys_inotify_rm_watch, Full;
    SPLICE => splice::sys_splice, Full;
    TEE => splice::sys_tee, Full;
    VMSPLICE => splice::sys_vmsplice, Full;
    TIMER_CREATE => timer::sys_timer_create, Full;
    TIMER_SETTIME => timer::sys_timer_settime, Full;
    TIMER_GETTIME => timer::sys_timer_gettime, Full;
    TIMER_GETOVERRUN => timer::sys_timer_getoverrun, Full;
    TIMER_DELETE => timer::sys_timer_delete, Full;
    GETITIMER => timer::sys_getitimer, Full;
    SETITIMER => timer::sys_setitimer, Full;
    GETRLIMIT => limits::sys_getrlimit, Full;
    SETRLIMIT => limits::sys_setrlimit, Full;
    PRLIMIT64 => limits::sys_prlimit64, Full;
    GETRUSAGE => limits::sys_getrusage, Partial "only times and the peak of the resident set";
    GETPRIORITY => limits::sys_getpriority, Full;
    SETPRIORITY => limits::sys_setpriority, Partial "kept and shown; the host schedules";
    IOPRIO_GET => limits::sys_ioprio_get, Full;
    IOPRIO_SET => limits::sys_ioprio_set, Partial "kept and shown; the host schedules";
    SCHED_YIELD => sched::sys_sched_yield, Full;
    SCHED_SETSCHEDULER => sched::sys_sched_setscheduler, Partial "kept and shown; the host schedules";
    SCHED_GETSCHEDULER => sched::sys_sched_getscheduler, Full;
    SCHED_SETPARAM => sched::sys_sched_setparam, Partial "kept and shown; the host schedules";
    SCHED_GETPARAM => sched::sys_sched_getparam, Full;
    SCHED_GET_PRIORITY_MAX => sched::sys_sched_get_priority_max, Full;
    SCHED_GET_PRIORITY_MIN => sched::sys_sched_get_priority_min, Full;
    SCHED_RR_GET_INTERVAL => sched::sys_sched_rr_get_interval, Full;
    SCHED_SETATTR => sched::sys_sched_setattr, Partial "kept and shown; no deadline policy";
    SCHED_GETATTR => sched::sys_sched_getattr, Full;
    SCHED_SETAFFINITY => sched::sys_sched_setaffinity, Full;
    SCHED_GETAFFINITY => sched::sys_sched_getaffinity, Full;
    PERSONALITY => sched::sys_personality, Partial "the flags have no effect";
    PTRACE => ptrace::sys_ptrace, Partial "no PTRACE_SECCOMP_GET_METADATA, no SVE, pointer authentication or tagging register sets";
    PRCTL => prctl::sys_prctl, Partial "no pointer authentication keys, few fields of PR_SET_MM";
    SECCOMP => seccomp::sys_seccomp, Full;
    CAPGET => prctl::sys_capget, Full;
    CAPSET => prctl::sys_capset, Full;
    PIDFD_OPEN => pidfd::sys_pidfd_open, Full;
    PIDFD_SEND_SIGNAL => pidfd::sys_pidfd_send_signal, Full;
    PIDFD_GETFD => pidfd::sys_pidfd_getfd, Full;
    KCMP => pidfd::sys_kcmp, Partial "no KCMP_EPOLL_TFD";
    PROCESS_VM_READV => pidfd::sys_process_vm_readv, Full;
    PROCESS_VM_WRITEV => pidfd::sys_process_vm_writev, Full;
    GET_ROBUST_LIST => pidfd::sys_get_robust_list, Full;
    MEMBARRIER => pidfd::sys_membarrier, Partial "no rseq commands";
    IO_SETUP => aio::sys_io_setup, Full;
    IO_DESTROY => aio::sys_io_destroy, Full;
    IO_SUBMIT => aio::sys_io_submit, Partial "no IOCB_CMD_POLL";
    IO_CANCEL => aio::sys_io_cancel, Full;
    IO_GETEVENTS => aio::sys_io_getevents, Full;
    IO_PGETEVENTS => aio::sys_io_pgetevents, Full;
    UNSHARE => namespaces::sys_unshare, Partial "new network namespaces have only a loopback interface; Unix credentials, access control lists and IPC status show ids of the initial namespaces";
    SETNS => namespaces::sys_setns, Full;
    SETXATTR => xattr::sys_setxattr, Full;
    LSETXATTR => xattr::sys_lsetxattr, Full;
    FSETXATTR => xattr::sys_fsetxattr, Full;
    GETXATTR => xattr::sys_getxattr, Full;
    LGETXATTR => xattr::sys_lgetxattr, Full;
    FGETXATTR => xattr::sys_fgetxattr, Full;
    LISTXATTR => xattr::sys_listxattr, Full;
    LLISTXATTR => xattr::sys_llistxattr, Full;
    FLISTXATTR => xattr::sys_flistxattr, Full;
    REMOVEXATTR => xattr::sys_removexattr, Full;
    LREMOVEXATTR => xattr::sys_lremovexattr, Full;
    FREMOVEXATTR => xattr::sys_fremovexattr, Full;
    MOUNT => mount::sys_mount, Partial "overlays without redirected directories, metacopy and data-only layers; no block devices; MS_SYNCHRONOUS and the like have no effect";
    UMOUNT2 => mount::sys_umount2, Partial "no expiry";
    OPEN_TREE => fsmount::sys_open_tree, Full;
    MOVE_MOUNT => fsmount::sys_move_mount, Partial "no MOVE_MOUNT_SET_GROUP, no MOVE_MOUNT_BENEATH";
    FSOPEN => fsmount::sys_fsopen, Full;
    FSCONFIG => fsmount::sys_fsconfig, Partial "unknown parameters are refused by FSCONFIG_CMD_CREATE";
    FSMOUNT => fsmount::sys_fsmount, Full;
    FSPICK => fsmount::sys_fspick, Partial "only ro and rw can be changed";
    MOUNT_SETATTR => fsmount::sys_mount_setattr, Partial "no idmapped mounts";
    STATMOUNT => statmount::sys_statmount, Full;
    LISTMOUNT => statmount::sys_listmount, Full;
    PIVOT_ROOT => mount::sys_pivot_root, Full;
    SYSLOG => system::sys_syslog, Full;
    REBOOT => system::sys_reboot, Partial "every kind ends the machine; no kexec";
    ACCT => system::sys_acct, Partial "no accounting: ENOSYS";
    NAME_TO_HANDLE_AT => system::sys_name_to_handle_at, Partial "only AT_HANDLE_FID: no handles to open";
    OPEN_BY_HANDLE_AT => system::sys_open_by_handle_at, Partial "no handles to open: EOPNOTSUPP";
    SHMGET => ipc::sys_shmget, Partial "no huge pages";
    SHMAT => ipc::sys_shmat, Full;
    SHMDT => ipc::sys_shmdt, Full;
    SHMCTL => ipc::sys_shmctl, Full;
    SEMGET => ipc::sys_semget, Full;
    SEMOP => ipc::sys_semop, Full;
    SEMTIMEDOP => ipc::sys_semtimedop, Full;
    SEMCTL => ipc::sys_semctl, Full;
    MSGGET => ipc::sys_msgget, Full;
    MSGSND => ipc::sys_msgsnd, Full;
    MSGRCV => ipc::sys_msgrcv, Full;
    MSGCTL => ipc::sys_msgctl, Full;
    SETTIMEOFDAY => adjtime::sys_settimeofday, Partial "the time zone is ignored";
    ADJTIMEX => adjtime::sys_adjtimex, Partial "the clock can only be stepped";
    CLOCK_ADJTIME => adjtime::sys_clock_adjtime, Partial "the clock can only be stepped";
    IO_URING_SETUP => io_uring::sys_io_uring_setup, Partial "no IORING_SETUP_IOPOLL and NO_MMAP; SQPOLL sleeps until it is woken";
    IO_URING_ENTER => io_uring::sys_io_uring_enter, Partial "no extended attributes, MSG_RING, URING_CMD, zero copy, WAITID, FUTEX operations";
    IO_URING_REGISTER => io_uring::sys_io_uring_register, Partial "no tags, restrictions, worker settings, synchronous cancellation";
    MQ_OPEN => mqueue::sys_mq_open, Full;
    MQ_UNLINK => mqueue::sys_mq_unlink, Full;
    MQ_TIMEDSEND => mqueue::sys_mq_timedsend, Full;
    MQ_TIMEDRECEIVE => mqueue::sys_mq_timedreceive, Full;
    MQ_NOTIFY => mqueue::sys_mq_notify, Full;
    MQ_GETSETATTR => mqueue::sys_mq_getsetattr, Full;
}
