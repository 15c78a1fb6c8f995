//! Tasks and scheduling: `clone`(2) flags, policies, `kcmp`(2), personalities.

consts! {
    /// Flags of `clone`(2), `clone3`(2) and `unshare`(2).
    pub CLONE: u64 {
        CLONE_VM = 0x100,
        CLONE_FS = 0x200,
        CLONE_FILES = 0x400,
        CLONE_SIGHAND = 0x800,
        CLONE_PIDFD = 0x1000,
        CLONE_PTRACE = 0x2000,
        CLONE_VFORK = 0x4000,
        CLONE_PARENT = 0x8000,
        CLONE_THREAD = 0x10000,
        CLONE_NEWNS = 0x20000,
        CLONE_SYSVSEM = 0x40000,
        CLONE_SETTLS = 0x80000,
        CLONE_PARENT_SETTID = 0x100000,
        CLONE_CHILD_CLEARTID = 0x200000,
        CLONE_DETACHED = 0x400000,
        CLONE_UNTRACED = 0x800000,
        CLONE_CHILD_SETTID = 0x1000000,
        CLONE_NEWCGROUP = 0x2000000,
        CLONE_NEWUTS = 0x4000000,
        CLONE_NEWIPC = 0x8000000,
        CLONE_NEWUSER = 0x10000000,
        CLONE_NEWPID = 0x20000000,
        CLONE_NEWNET = 0x40000000,
        CLONE_IO = 0x80000000,
    }
}

consts! {
    /// Flags of `clone3`(2) only; `CLONE_NEWTIME` is also for `unshare`(2).
    pub CLONE3: u64 {
        CLONE_NEWTIME = 0x80,
        CLONE_CLEAR_SIGHAND = 0x100000000,
        CLONE_INTO_CGROUP = 0x200000000,
    }
}

consts! {
    /// Low byte of `clone`(2)'s flags: the exit signal.
    pub CLONE_MASKS: u64 {
        CSIGNAL = 0xff,
    }
}

consts! {
    /// Scheduling policies.
    pub SCHED: u32 {
        SCHED_NORMAL = 0,
        SCHED_FIFO = 1,
        SCHED_RR = 2,
        SCHED_BATCH = 3,
        SCHED_IDLE = 5,
        SCHED_DEADLINE = 6,
        SCHED_EXT = 7,
    }
}

consts! {
    /// Flag ORed to a policy.
    pub SCHED_POLICY_FLAGS: u32 {
        SCHED_RESET_ON_FORK = 0x40000000,
    }
}

consts! {
    /// Flags of `struct sched_attr`.
    pub SCHED_FLAGS: u64 {
        SCHED_FLAG_RESET_ON_FORK = 0x1,
        SCHED_FLAG_RECLAIM = 0x2,
        SCHED_FLAG_DL_OVERRUN = 0x4,
        SCHED_FLAG_KEEP_POLICY = 0x8,
        SCHED_FLAG_KEEP_PARAMS = 0x10,
        SCHED_FLAG_UTIL_CLAMP_MIN = 0x20,
        SCHED_FLAG_UTIL_CLAMP_MAX = 0x40,
    }
}

consts! {
    /// Sizes of the versions of `struct clone_args`.
    pub CLONE_ARGS_SIZES: u64 {
        CLONE_ARGS_SIZE_VER0 = 64,
        CLONE_ARGS_SIZE_VER1 = 80,
        CLONE_ARGS_SIZE_VER2 = 88,
    }
}

consts! {
    /// Types of `kcmp`(2).
    pub KCMP: u32 {
        KCMP_FILE = 0,
        KCMP_VM = 1,
        KCMP_FILES = 2,
        KCMP_FS = 3,
        KCMP_SIGHAND = 4,
        KCMP_IO = 5,
        KCMP_SYSVSEM = 6,
        KCMP_EPOLL_TFD = 7,
    }
}

consts! {
    /// Personality bits.
    pub PERSONALITY: u32 {
        PER_LINUX = 0x0,
        PER_LINUX32 = 0x8,
        ADDR_NO_RANDOMIZE = 0x40000,
        MMAP_PAGE_ZERO = 0x100000,
        ADDR_COMPAT_LAYOUT = 0x200000,
        READ_IMPLIES_EXEC = 0x400000,
        ADDR_LIMIT_32BIT = 0x800000,
        SHORT_INODE = 0x1000000,
        WHOLE_SECONDS = 0x2000000,
        STICKY_TIMEOUTS = 0x4000000,
        ADDR_LIMIT_3GB = 0x8000000,
        UNAME26 = 0x20000,
        FDPIC_FUNCPTRS = 0x80000,
    }
}

abi! {
    /// `struct clone_args` of `clone3`(2), version 2.
    pub struct CloneArgs = "struct clone_args" {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }

    /// `struct sched_param`.
    pub struct SchedParam = "struct sched_param" {
        sched_priority: i32,
    }

    /// `struct sched_attr` of `sched_setattr`(2), 56 bytes.
    pub struct SchedAttr = "struct sched_attr" {
        size: u32,
        sched_policy: u32,
        sched_flags: u64,
        sched_nice: i32,
        sched_priority: u32,
        sched_runtime: u64,
        sched_deadline: u64,
        sched_period: u64,
        sched_util_min: u32,
        sched_util_max: u32,
    }
}
