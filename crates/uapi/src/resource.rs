//! Resource limits and usage.

consts! {
    /// Resources of `getrlimit`(2).
    pub RLIMIT: u32 {
        RLIMIT_CPU = 0,
        RLIMIT_FSIZE = 1,
        RLIMIT_DATA = 2,
        RLIMIT_STACK = 3,
        RLIMIT_CORE = 4,
        RLIMIT_RSS = 5,
        RLIMIT_NPROC = 6,
        RLIMIT_NOFILE = 7,
        RLIMIT_MEMLOCK = 8,
        RLIMIT_AS = 9,
        RLIMIT_LOCKS = 10,
        RLIMIT_SIGPENDING = 11,
        RLIMIT_MSGQUEUE = 12,
        RLIMIT_NICE = 13,
        RLIMIT_RTPRIO = 14,
        RLIMIT_RTTIME = 15,
    }
}

consts! {
    /// No limit, and the number of resources.
    pub RLIM_SPECIAL: u64 {
        RLIM64_INFINITY = 0xffffffffffffffff,
        RLIM_INFINITY = 0xffffffffffffffff,
        RLIM_NLIMITS = 0x10,
    }
}

consts! {
    /// `who` of `getrusage`(2).
    pub RUSAGE: i32 {
        RUSAGE_SELF = 0,
        RUSAGE_CHILDREN = -1,
        RUSAGE_BOTH = -2,
        RUSAGE_THREAD = 1,
    }
}

consts! {
    /// `which` of `getpriority`(2).
    pub PRIO: i32 {
        PRIO_PROCESS = 0,
        PRIO_PGRP = 1,
        PRIO_USER = 2,
        PRIO_MIN = -20,
        PRIO_MAX = 20,
    }
}

use crate::time::Timeval;

abi! {
    /// `struct rlimit64`; [`RLIM64_INFINITY`] is no limit.
    pub struct Rlimit64 = "struct rlimit64" {
        rlim_cur: u64,
        rlim_max: u64,
    }

    /// `struct rusage`.
    pub struct Rusage = "struct rusage" {
        ru_utime: Timeval,
        ru_stime: Timeval,
        ru_maxrss: i64,
        ru_ixrss: i64,
        ru_idrss: i64,
        ru_isrss: i64,
        ru_minflt: i64,
        ru_majflt: i64,
        ru_nswap: i64,
        ru_inblock: i64,
        ru_oublock: i64,
        ru_msgsnd: i64,
        ru_msgrcv: i64,
        ru_nsignals: i64,
        ru_nvcsw: i64,
        ru_nivcsw: i64,
    }
}

/// `struct rlimit` is the same as `struct rlimit64` on arm64.
pub type Rlimit = Rlimit64;
