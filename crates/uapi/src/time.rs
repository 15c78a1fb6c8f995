//! Clocks, timers and time structures.

consts! {
    /// Clock ids.
    pub CLOCKS: u32 {
        CLOCK_REALTIME = 0,
        CLOCK_MONOTONIC = 1,
        CLOCK_PROCESS_CPUTIME_ID = 2,
        CLOCK_THREAD_CPUTIME_ID = 3,
        CLOCK_MONOTONIC_RAW = 4,
        CLOCK_REALTIME_COARSE = 5,
        CLOCK_MONOTONIC_COARSE = 6,
        CLOCK_BOOTTIME = 7,
        CLOCK_REALTIME_ALARM = 8,
        CLOCK_BOOTTIME_ALARM = 9,
        CLOCK_TAI = 11,
    }
}

consts! {
    /// Flags of `timer_settime`(2) and `clock_nanosleep`(2).
    pub TIMER_FLAGS: u32 {
        TIMER_ABSTIME = 1,
    }
}

consts! {
    /// Timers of `setitimer`(2).
    pub ITIMER: u32 {
        ITIMER_REAL = 0,
        ITIMER_VIRTUAL = 1,
        ITIMER_PROF = 2,
    }
}

consts! {
    /// Special `tv_nsec` values of `utimensat`(2).
    pub UTIME: i64 {
        UTIME_NOW = 0x3fffffff,
        UTIME_OMIT = 0x3ffffffe,
    }
}

consts! {
    /// Modes of `adjtimex`(2).
    pub ADJ: u32 {
        ADJ_OFFSET = 0x1,
        ADJ_FREQUENCY = 0x2,
        ADJ_MAXERROR = 0x4,
        ADJ_ESTERROR = 0x8,
        ADJ_STATUS = 0x10,
        ADJ_TIMECONST = 0x20,
        ADJ_TAI = 0x80,
        ADJ_SETOFFSET = 0x100,
        ADJ_MICRO = 0x1000,
        ADJ_NANO = 0x2000,
        ADJ_TICK = 0x4000,
        ADJ_OFFSET_SINGLESHOT = 0x8001,
        ADJ_OFFSET_SS_READ = 0xa001,
    }
}

consts! {
    /// Status bits of `adjtimex`(2).
    pub STA: u32 {
        STA_PLL = 0x1,
        STA_PPSFREQ = 0x2,
        STA_PPSTIME = 0x4,
        STA_FLL = 0x8,
        STA_INS = 0x10,
        STA_DEL = 0x20,
        STA_UNSYNC = 0x40,
        STA_FREQHOLD = 0x80,
        STA_PPSSIGNAL = 0x100,
        STA_PPSJITTER = 0x200,
        STA_PPSWANDER = 0x400,
        STA_PPSERROR = 0x800,
        STA_CLOCKERR = 0x1000,
        STA_NANO = 0x2000,
        STA_MODE = 0x4000,
        STA_CLK = 0x8000,
    }
}

consts! {
    /// Results of `adjtimex`(2).
    pub TIME_STATES: u32 {
        TIME_OK = 0,
        TIME_INS = 1,
        TIME_DEL = 2,
        TIME_OOP = 3,
        TIME_WAIT = 4,
        TIME_ERROR = 5,
    }
}

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

abi! {
    /// `struct timespec`: seconds and nanoseconds.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct Timespec = "struct timespec" {
        tv_sec: i64,
        tv_nsec: i64,
    }

    /// `struct timeval`: seconds and microseconds.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct Timeval = "struct timeval" {
        tv_sec: i64,
        tv_usec: i64,
    }

    /// `struct itimerspec` of POSIX timers and timerfd.
    pub struct Itimerspec = "struct itimerspec" {
        it_interval: Timespec,
        it_value: Timespec,
    }

    /// `struct itimerval` of `setitimer`(2).
    pub struct Itimerval = "struct itimerval" {
        it_interval: Timeval,
        it_value: Timeval,
    }

    /// `struct timezone` of `gettimeofday`(2).
    pub struct Timezone = "struct timezone" {
        tz_minuteswest: i32,
        tz_dsttime: i32,
    }

    /// `struct tms` of `times`(2), in clock ticks.
    pub struct Tms = "struct tms" {
        tms_utime: i64,
        tms_stime: i64,
        tms_cutime: i64,
        tms_cstime: i64,
    }

    /// `struct timex` of `adjtimex`(2).
    pub struct Timex = "struct timex" {
        modes: u32,
        _pad0: i32,
        offset: i64,
        freq: i64,
        maxerror: i64,
        esterror: i64,
        status: i32,
        _pad1: i32,
        constant: i64,
        precision: i64,
        tolerance: i64,
        time: Timeval,
        tick: i64,
        ppsfreq: i64,
        jitter: i64,
        shift: i32,
        _pad2: i32,
        stabil: i64,
        jitcnt: i64,
        calcnt: i64,
        errcnt: i64,
        stbcnt: i64,
        tai: i32,
        _pad3: [i32; 11],
    }
}

impl Timespec {
    /// Both parts, unchecked.
    #[must_use]
    pub const fn new(tv_sec: i64, tv_nsec: i64) -> Self {
        Timespec { tv_sec, tv_nsec }
    }

    /// Whether `tv_sec` is not negative and `tv_nsec` is below a second, as sleeping calls demand.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.tv_sec >= 0 && self.tv_nsec >= 0 && self.tv_nsec < NSEC_PER_SEC as i64
    }

    /// From nanoseconds since the epoch of some clock.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Timespec {
            tv_sec: (ns / NSEC_PER_SEC) as i64,
            tv_nsec: (ns % NSEC_PER_SEC) as i64,
        }
    }

    /// Nanoseconds, saturating; 0 for negative times.
    #[must_use]
    pub const fn to_nanos(&self) -> u64 {
        if self.tv_sec < 0 {
            return 0;
        }
        (self.tv_sec as u64)
            .saturating_mul(NSEC_PER_SEC)
            .saturating_add(self.tv_nsec as u64)
    }

    /// As a duration, or `None` if not [valid](Self::is_valid).
    #[must_use]
    pub const fn to_duration(&self) -> Option<core::time::Duration> {
        if !self.is_valid() {
            return None;
        }
        Some(core::time::Duration::new(
            self.tv_sec as u64,
            self.tv_nsec as u32,
        ))
    }
}

impl From<core::time::Duration> for Timespec {
    fn from(d: core::time::Duration) -> Self {
        Timespec {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(d.subsec_nanos()),
        }
    }
}

impl Timeval {
    /// From nanoseconds, cutting below a microsecond.
    #[must_use]
    pub const fn from_nanos(ns: u64) -> Self {
        Timeval {
            tv_sec: (ns / NSEC_PER_SEC) as i64,
            tv_usec: ((ns % NSEC_PER_SEC) / 1000) as i64,
        }
    }

    /// Whether `tv_sec` is not negative and `tv_usec` is below a second.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.tv_sec >= 0 && self.tv_usec >= 0 && self.tv_usec < 1_000_000
    }

    /// Nanoseconds, saturating; 0 for negative times.
    #[must_use]
    pub const fn to_nanos(&self) -> u64 {
        if self.tv_sec < 0 {
            return 0;
        }
        (self.tv_sec as u64)
            .saturating_mul(NSEC_PER_SEC)
            .saturating_add((self.tv_usec as u64).saturating_mul(1000))
    }
}

impl From<core::time::Duration> for Timeval {
    fn from(d: core::time::Duration) -> Self {
        Timeval {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            tv_usec: i64::from(d.subsec_micros()),
        }
    }
}
