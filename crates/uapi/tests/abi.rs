//! The constants and layouts of this crate against those of the C headers.
//!
//! `uapi.golden` holds what `uapi.c` printed; where an arm64 cross compiler and
//! qemu-aarch64-static are installed the program is built and run again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use tuxlet_uapi::*;

/// Our facts: `"c fcntl O_CREAT"` -> 64, `"s stat struct stat"` -> 128, and so on.
fn ours() -> BTreeMap<String, i128> {
    let mut facts = BTreeMap::new();
    macro_rules! module {
        ($module:ident: [$($table:ident)*] [$($ty:ident)*]) => {
            let module = stringify!($module);
            $(for &(name, value) in $module::$table {
                facts.insert(format!("c {module} {name}"), i128::from(value as i64));
            })*
            $({
                let layout = $module::$ty::LAYOUT;
                let c = layout.c_name;
                facts.insert(format!("s {module} {c}"), layout.size as i128);
                for &(field, offset) in layout.fields {
                    let field = field.strip_prefix("r#").unwrap_or(field);
                    facts.insert(format!("f {module} {c}.{field}"), offset as i128);
                }
            })*
        };
    }
    module!(aio: [IOCB_CMD IOCB_FLAG] [Iocb IoEvent]);
    module!(auxv: [AT HWCAP HWCAP2] []);
    module!(capability: [CAP CAP_LAST CAP_VERSIONS] [CapHeader CapData]);
    module!(dirent: [DT] []);
    module!(elf: [ET EM PT PF EI EIDENT DT SHT STB NT NOTE_GNU GNU_PROPERTY] [Elf64Ehdr Elf64Phdr Elf64Shdr Elf64Sym Elf64Dyn Elf64Nhdr]);
    module!(epoll: [EPOLL_OPS EPOLL EPOLL_FLAGS] [EpollEvent]);
    module!(eventfd: [EFD] []);
    module!(fcntl: [OPEN_FLAGS O_MASKS AT AT_ALIASES AT_FD F FD_FLAGS F_LOCK_TYPES F_OWNER_TYPES LOCK SEALS RWH DN RESOLVE SEEK ACCESS FALLOC POSIX_FADV RENAME SYNC_FILE_RANGE SPLICE RWF CLOSE_RANGE XATTR LIMITS] [Flock FOwnerEx OpenHow]);
    module!(futex: [FUTEX_OPS FUTEX_FLAGS FUTEX_WORD FUTEX_OP FUTEX_OP_CMP FUTEX2 FUTEX_LIMITS] [RobustList RobustListHead FutexWaitv]);
    module!(genetlink: [GENL_ID GENL_FLAGS CTRL_CMD CTRL_ATTR] [Genlmsghdr]);
    module!(inotify: [IN_EVENTS IN_SETS IN_FLAGS] [InotifyEvent]);
    module!(ioctl: [TTY_IOCTLS SOCK_IOCTLS SOCK_IOCTL_ALIASES FS_IOCTLS CONSOLE_IOCTLS RANDOM_IOCTLS NS_IOCTLS TIOCPKT_BITS LDISC] []);
    module!(io_uring: [IOSQE IORING_SETUP IORING_OP IORING_TIMEOUT_FLAGS IORING_POLL IORING_ASYNC_CANCEL IORING_SOCKET IORING_CQE IORING_OFF IORING_RING_FLAGS IORING_ENTER IORING_FEAT IORING_REGISTER IORING_MISC] [IoUringSqe IoSqringOffsets IoCqringOffsets IoUringParams IoUringFilesUpdate IoUringRsrcRegister IoUringRsrcUpdate2 IoUringRsrcUpdate IoUringProbeOp IoUringBuf IoUringBufReg IoUringGeteventsArg IoUringCqe]);
    module!(ipc: [IPC IPC_CMDS IPC_KEYS SHM SEM SEM_LIMITS MSG_IPC MSG_LIMITS] [IpcPerm ShmidDs SemidDs MsqidDs Sembuf]);
    module!(mman: [PROT MAP_TYPES MAP MAP_MASKS MREMAP MADV MS MCL MLOCK MFD MPOL MPOL_FLAGS MEMBARRIER] []);
    module!(mount: [MS MS_MAGIC MNT OPEN_TREE MOVE_MOUNT FSOPEN FSCONFIG MOUNT_ATTR] [MountAttr]);
    module!(netlink: [NETLINK NLM_F NLM_F_SETS NLMSG NETLINK_OPTIONS RTM IFLA IFA IFA_F RTA ROUTE ARPHRD] [SockaddrNl Nlmsghdr Nlmsgerr Rtattr Ifinfomsg Ifaddrmsg Rtmsg IfaCacheinfo]);
    module!(poll: [POLL] [Pollfd]);
    module!(prctl: [PR PR_SET_MM_OPTIONS PR_CAP_AMBIENT_OPTIONS PR_VMA PR_TAGGED PR_PAC SECCOMP SECCOMP_FILTER_FLAGS SECCOMP_NOTIF SECCOMP_IOCTLS SECCOMP_RET SECCOMP_RET_MASKS SECUREBITS] [SockFilter SockFprog SeccompData SeccompNotif SeccompNotifResp SeccompNotifSizes SeccompNotifAddfd]);
    module!(ptrace: [PTRACE PTRACE_EVENT PTRACE_O PTRACE_SYSCALL_INFO PTRACE_EVENTMSG PTRACE_PEEKSIGINFO_FLAGS] [UserPtRegs UserFpsimdState PtraceSyscallInfo PtracePeeksiginfoArgs UserHwdebugState]);
    module!(random: [GRND] []);
    module!(reboot: [REBOOT] []);
    module!(resource: [RLIMIT RLIM_SPECIAL RUSAGE PRIO] [Rlimit64 Rusage]);
    module!(rseq: [RSEQ_FLAGS RSEQ_CS_FLAGS RSEQ_CPU_IDS] [Rseq RseqCs]);
    module!(sched: [CLONE CLONE3 CLONE_MASKS SCHED SCHED_POLICY_FLAGS SCHED_FLAGS CLONE_ARGS_SIZES KCMP PERSONALITY] [CloneArgs SchedParam SchedAttr]);
    module!(signal: [SA SIG_HANDLERS SIG_HOW SS STACK_SIZES SI ILL FPE SEGV BUS TRAP CLD POLL_CODES SYS_CODES SIGEV CONTEXT_MAGIC] [SigAction StackT SigInfo SigEvent SigContext UContext Aarch64Ctx FpsimdContext EsrContext ExtraContext RtSigframe FrameRecord]);
    module!(signalfd: [SFD] [SignalfdSiginfo]);
    module!(sock_diag: [SOCK_DIAG INET_DIAG_REQ INET_DIAG INET_DIAG_BC UDIAG_SHOW UNIX_DIAG DIAG_COOKIE TCP_STATES] [InetDiagSockid InetDiagReqV2 InetDiagBcOp InetDiagHostcond InetDiagMsg UnixDiagReq UnixDiagMsg]);
    module!(socket: [AF SOCK SOCK_FLAGS SOCK_MASKS IPPROTO SOL SO SCM MSG SHUT TCP UDP IP IPV6 ICMP_OPTIONS IFF SOCKET_LIMITS] [Iovec Msghdr Mmsghdr Cmsghdr SockaddrIn SockaddrIn6 SockaddrUn Ucred Linger IpMreq IpMreqn Ipv6Mreq InPktinfo In6Pktinfo Ifreq Ifconf]);
    module!(stat: [FILE_TYPES MODE_BITS MODE_MASKS STATX_MASK STATX_SETS STATX_ATTR ST MAGIC] [Stat StatxTimestamp Statx Statfs]);
    module!(sysinfo: [] [Sysinfo]);
    module!(termios: [IFLAG OFLAG OFLAG_DELAYS CFLAG CFLAG_VALUES LFLAG CC TCXONC_ARGS TCFLSH_ARGS TIOCM] [Termios Termios2 Termio Winsize]);
    module!(time: [CLOCKS TIMER_FLAGS ITIMER UTIME ADJ STA TIME_STATES] [Timespec Timeval Itimerspec Itimerval Timezone Timex]);
    module!(timerfd: [TFD TFD_TIMER TFD_IOCTLS] []);
    module!(utsname: [] [Utsname]);
    module!(wait: [WAIT WAIT_ALIASES P] []);
    for &(name, value, _) in errno::ERRNO {
        facts.insert(format!("c errno {name}"), i128::from(value));
    }
    for &(name, value) in nr::SYSCALLS {
        facts.insert(format!("c nr __NR_{name}"), i128::from(value));
    }
    for &(name, value) in signal::SIGNALS {
        facts.insert(format!("c signal {name}"), i128::from(value));
    }
    facts
}

/// Every line of `theirs` that differs from ours.
fn differences(theirs: &str) -> String {
    let ours = ours();
    let mut out = String::new();
    for line in theirs.lines() {
        let (fact, value) = line.rsplit_once(' ').expect("a line has a value");
        let value: i64 = value.parse().expect("values are numbers");
        match ours.get(fact) {
            // C promotes: compare as the 32 or 64 bits that a program would see.
            Some(&our)
                if our == i128::from(value) || our as u32 == value as u32 && our >> 32 == 0 => {}
            Some(our) => writeln!(out, "{fact}: C has {value}, we have {our}").unwrap(),
            None => writeln!(out, "{fact}: missing, C has {value}").unwrap(),
        }
    }
    out
}

#[test]
fn constants_and_layouts_match_the_golden_file() {
    let golden = include_str!("uapi.golden");
    assert!(golden.lines().count() > 2000);
    assert_eq!(differences(golden), "");
}

#[test]
fn the_c_headers_still_say_what_the_golden_file_says() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/uapi.c");
    let mut output = String::new();
    for define in ["-DKERNEL", "-DLIBC"] {
        let exe = dir.join(format!("uapi{define}"));
        let mut cc = Command::new("aarch64-linux-gnu-gcc");
        cc.args(["-w", "-static", define, "-o"])
            .arg(&exe)
            .arg(&source)
            .stderr(Stdio::null());
        if !cc.status().is_ok_and(|s| s.success()) {
            eprintln!("SKIPPED: no arm64 cross compiler (or headers too old for uapi.c)");
            return;
        }
        match Command::new("qemu-aarch64-static").arg(&exe).output() {
            Ok(o) if o.status.success() => output += &String::from_utf8(o.stdout).unwrap(),
            _ => {
                eprintln!("SKIPPED: qemu-aarch64-static does not run");
                return;
            }
        }
    }
    assert_eq!(differences(&output), "");
}
