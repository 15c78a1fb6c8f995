//! `prctl`(2), seccomp and secure bits.

consts! {
    /// Options of `prctl`(2).
    pub PR: u32 {
        PR_SET_PDEATHSIG = 0x1,
        PR_GET_PDEATHSIG = 0x2,
        PR_GET_DUMPABLE = 0x3,
        PR_SET_DUMPABLE = 0x4,
        PR_GET_UNALIGN = 0x5,
        PR_SET_UNALIGN = 0x6,
        PR_GET_KEEPCAPS = 0x7,
        PR_SET_KEEPCAPS = 0x8,
        PR_GET_FPEMU = 0x9,
        PR_SET_FPEMU = 0xa,
        PR_GET_FPEXC = 0xb,
        PR_SET_FPEXC = 0xc,
        PR_GET_TIMING = 0xd,
        PR_SET_TIMING = 0xe,
        PR_SET_NAME = 0xf,
        PR_GET_NAME = 0x10,
        PR_GET_ENDIAN = 0x13,
        PR_SET_ENDIAN = 0x14,
        PR_GET_SECCOMP = 0x15,
        PR_SET_SECCOMP = 0x16,
        PR_CAPBSET_READ = 0x17,
        PR_CAPBSET_DROP = 0x18,
        PR_GET_TSC = 0x19,
        PR_SET_TSC = 0x1a,
        PR_GET_SECUREBITS = 0x1b,
        PR_SET_SECUREBITS = 0x1c,
        PR_SET_TIMERSLACK = 0x1d,
        PR_GET_TIMERSLACK = 0x1e,
        PR_TASK_PERF_EVENTS_DISABLE = 0x1f,
        PR_TASK_PERF_EVENTS_ENABLE = 0x20,
        PR_MCE_KILL = 0x21,
        PR_MCE_KILL_GET = 0x22,
        PR_SET_MM = 0x23,
        PR_SET_CHILD_SUBREAPER = 0x24,
        PR_GET_CHILD_SUBREAPER = 0x25,
        PR_SET_NO_NEW_PRIVS = 0x26,
        PR_GET_NO_NEW_PRIVS = 0x27,
        PR_GET_TID_ADDRESS = 0x28,
        PR_SET_THP_DISABLE = 0x29,
        PR_GET_THP_DISABLE = 0x2a,
        PR_MPX_ENABLE_MANAGEMENT = 0x2b,
        PR_MPX_DISABLE_MANAGEMENT = 0x2c,
        PR_SET_FP_MODE = 0x2d,
        PR_GET_FP_MODE = 0x2e,
        PR_CAP_AMBIENT = 0x2f,
        PR_SVE_SET_VL = 0x32,
        PR_SVE_GET_VL = 0x33,
        PR_GET_SPECULATION_CTRL = 0x34,
        PR_SET_SPECULATION_CTRL = 0x35,
        PR_PAC_RESET_KEYS = 0x36,
        PR_SET_TAGGED_ADDR_CTRL = 0x37,
        PR_GET_TAGGED_ADDR_CTRL = 0x38,
        PR_SET_IO_FLUSHER = 0x39,
        PR_GET_IO_FLUSHER = 0x3a,
        PR_SET_SYSCALL_USER_DISPATCH = 0x3b,
        PR_PAC_SET_ENABLED_KEYS = 0x3c,
        PR_PAC_GET_ENABLED_KEYS = 0x3d,
        PR_SCHED_CORE = 0x3e,
        PR_SME_SET_VL = 0x3f,
        PR_SME_GET_VL = 0x40,
        PR_SET_MDWE = 0x41,
        PR_GET_MDWE = 0x42,
        PR_SET_MEMORY_MERGE = 0x43,
        PR_GET_MEMORY_MERGE = 0x44,
        PR_GET_AUXV = 0x41555856,
        PR_SET_VMA = 0x53564d41,
        PR_SET_PTRACER = 0x59616d61,
    }
}

consts! {
    /// Options of `PR_SET_MM`.
    pub PR_SET_MM_OPTIONS: u32 {
        PR_SET_MM_START_CODE = 1,
        PR_SET_MM_END_CODE = 2,
        PR_SET_MM_START_DATA = 3,
        PR_SET_MM_END_DATA = 4,
        PR_SET_MM_START_STACK = 5,
        PR_SET_MM_START_BRK = 6,
        PR_SET_MM_BRK = 7,
        PR_SET_MM_ARG_START = 8,
        PR_SET_MM_ARG_END = 9,
        PR_SET_MM_ENV_START = 10,
        PR_SET_MM_ENV_END = 11,
        PR_SET_MM_AUXV = 12,
        PR_SET_MM_EXE_FILE = 13,
        PR_SET_MM_MAP = 14,
        PR_SET_MM_MAP_SIZE = 15,
    }
}

consts! {
    /// Options of `PR_CAP_AMBIENT`.
    pub PR_CAP_AMBIENT_OPTIONS: u32 {
        PR_CAP_AMBIENT_IS_SET = 1,
        PR_CAP_AMBIENT_RAISE = 2,
        PR_CAP_AMBIENT_LOWER = 3,
        PR_CAP_AMBIENT_CLEAR_ALL = 4,
    }
}

consts! {
    /// Options of `PR_SET_VMA`.
    pub PR_VMA: u32 {
        PR_SET_VMA_ANON_NAME = 0,
    }
}

consts! {
    /// Bits of `PR_SET_TAGGED_ADDR_CTRL`.
    pub PR_TAGGED: u64 {
        PR_TAGGED_ADDR_ENABLE = 0x1,
    }
}

consts! {
    /// Keys of `PR_PAC_RESET_KEYS`.
    pub PR_PAC: u64 {
        PR_PAC_APIAKEY = 0x1,
        PR_PAC_APIBKEY = 0x2,
        PR_PAC_APDAKEY = 0x4,
        PR_PAC_APDBKEY = 0x8,
        PR_PAC_APGAKEY = 0x10,
    }
}

consts! {
    /// Modes and operations of seccomp.
    pub SECCOMP: u32 {
        SECCOMP_MODE_DISABLED = 0,
        SECCOMP_MODE_STRICT = 1,
        SECCOMP_MODE_FILTER = 2,
        SECCOMP_SET_MODE_STRICT = 0,
        SECCOMP_SET_MODE_FILTER = 1,
        SECCOMP_GET_ACTION_AVAIL = 2,
        SECCOMP_GET_NOTIF_SIZES = 3,
    }
}

consts! {
    /// Flags of `SECCOMP_SET_MODE_FILTER`.
    pub SECCOMP_FILTER_FLAGS: u32 {
        SECCOMP_FILTER_FLAG_TSYNC = 0x1,
        SECCOMP_FILTER_FLAG_LOG = 0x2,
        SECCOMP_FILTER_FLAG_SPEC_ALLOW = 0x4,
        SECCOMP_FILTER_FLAG_NEW_LISTENER = 0x8,
        SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 0x10,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20,
    }
}

consts! {
    /// Flags of notifications' answers and of descriptors that go with them.
    pub SECCOMP_NOTIF: u32 {
        SECCOMP_USER_NOTIF_FLAG_CONTINUE = 0x1,
        SECCOMP_ADDFD_FLAG_SETFD = 0x1,
        SECCOMP_ADDFD_FLAG_SEND = 0x2,
    }
}

consts! {
    /// `ioctl`(2) requests of a seccomp listener.
    pub SECCOMP_IOCTLS: u32 {
        SECCOMP_IOCTL_NOTIF_RECV = 0xc050_2100,
        SECCOMP_IOCTL_NOTIF_SEND = 0xc018_2101,
        SECCOMP_IOCTL_NOTIF_ID_VALID = 0x4008_2102,
        SECCOMP_IOCTL_NOTIF_ADDFD = 0x4018_2103,
        SECCOMP_IOCTL_NOTIF_SET_FLAGS = 0x4008_2104,
    }
}

consts! {
    /// Return values of seccomp filters.
    pub SECCOMP_RET: u32 {
        SECCOMP_RET_KILL_PROCESS = 0x80000000,
        SECCOMP_RET_KILL_THREAD = 0x0,
        SECCOMP_RET_TRAP = 0x30000,
        SECCOMP_RET_ERRNO = 0x50000,
        SECCOMP_RET_USER_NOTIF = 0x7fc00000,
        SECCOMP_RET_TRACE = 0x7ff00000,
        SECCOMP_RET_LOG = 0x7ffc0000,
        SECCOMP_RET_ALLOW = 0x7fff0000,
    }
}

consts! {
    /// Secure bits.
    pub SECUREBITS: u32 {
        SECBIT_NOROOT = 0x1,
        SECBIT_NOROOT_LOCKED = 0x2,
        SECBIT_NO_SETUID_FIXUP = 0x4,
        SECBIT_NO_SETUID_FIXUP_LOCKED = 0x8,
        SECBIT_KEEP_CAPS = 0x10,
        SECBIT_KEEP_CAPS_LOCKED = 0x20,
        SECBIT_NO_CAP_AMBIENT_RAISE = 0x40,
        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 0x80,
    }
}

consts! {
    /// Parts of a seccomp filter's return value.
    pub SECCOMP_RET_MASKS: u32 {
        SECCOMP_RET_ACTION_FULL = 0xffff0000,
        SECCOMP_RET_DATA = 0x0000ffff,
    }
}

abi! {
    /// `struct sock_filter`: an instruction of a classic BPF program.
    pub struct SockFilter = "struct sock_filter" {
        code: u16,
        jt: u8,
        jf: u8,
        k: u32,
    }

    /// `struct sock_fprog`: a classic BPF program.
    pub struct SockFprog = "struct sock_fprog" {
        len: u16,
        _pad0: [u16; 3],
        filter: u64,
    }

    /// `struct seccomp_data`: what a filter sees of a system call.
    pub struct SeccompData = "struct seccomp_data" {
        nr: i32,
        arch: u32,
        instruction_pointer: u64,
        args: [u64; 6],
    }

    /// `struct seccomp_notif`.
    pub struct SeccompNotif = "struct seccomp_notif" {
        id: u64,
        pid: u32,
        flags: u32,
        data: SeccompData,
    }

    /// `struct seccomp_notif_resp`.
    pub struct SeccompNotifResp = "struct seccomp_notif_resp" {
        id: u64,
        val: i64,
        error: i32,
        flags: u32,
    }

    /// `struct seccomp_notif_sizes`.
    pub struct SeccompNotifSizes = "struct seccomp_notif_sizes" {
        seccomp_notif: u16,
        seccomp_notif_resp: u16,
        seccomp_data: u16,
    }

    /// `struct seccomp_notif_addfd`.
    pub struct SeccompNotifAddfd = "struct seccomp_notif_addfd" {
        id: u64,
        flags: u32,
        srcfd: u32,
        newfd: u32,
        newfd_flags: u32,
    }
}
