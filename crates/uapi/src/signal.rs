//! Signals: [`Signal`], [`SigSet`], `siginfo_t`, `sigaction`, and the arm64 signal frame.

use core::fmt;

use crate::errno::{EINVAL, Result};

/// A signal number, 1 to 64.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(u8);

/// Number of signals (`_NSIG`).
pub const NSIG: usize = 64;
/// First real-time signal of the kernel (`__SIGRTMIN`).
pub const SIGRTMIN: u8 = 32;
/// Last real-time signal.
pub const SIGRTMAX: u8 = 64;

/// What a signal does when its handler is `SIG_DFL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// End the process.
    Terminate,
    /// End the process with a core dump.
    Core,
    /// Nothing.
    Ignore,
    /// Stop the process.
    Stop,
    /// Continue the process if it is stopped.
    Continue,
}

impl Signal {
    /// The signal `n`, or `EINVAL` outside 1 to 64.
    pub const fn new(n: i32) -> Result<Signal> {
        if n < 1 || n > NSIG as i32 {
            return Err(EINVAL);
        }
        Ok(Signal(n as u8))
    }

    /// The number, 1 to 64.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Index into a table of 64 signals: the number less one.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Bit of this signal in a [`SigSet`].
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    /// Whether it is a real-time signal, which queues.
    #[must_use]
    pub const fn is_realtime(self) -> bool {
        self.0 >= SIGRTMIN
    }

    /// Every signal in ascending order.
    pub fn all() -> impl Iterator<Item = Signal> {
        (1..=NSIG as u8).map(Signal)
    }

    /// The name, or `None` for real-time signals.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        SIGNALS.get(self.index()).map(|&(name, _)| name)
    }

    /// The action of `SIG_DFL`, `signal`(7).
    #[must_use]
    pub const fn default_action(self) -> DefaultAction {
        match self {
            SIGCHLD | SIGURG | SIGWINCH => DefaultAction::Ignore,
            SIGCONT => DefaultAction::Continue,
            SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => DefaultAction::Stop,
            SIGQUIT | SIGILL | SIGABRT | SIGFPE | SIGSEGV | SIGBUS | SIGSYS | SIGTRAP | SIGXCPU
            | SIGXFSZ => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "SIGRT_{}", self.0 - SIGRTMIN),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! signals {
    ($($name:ident = $value:literal,)*) => {
        impl Signal {
            $(
                #[doc = concat!("`", stringify!($name), "` (", $value, ").")]
                pub const $name: Signal = Signal($value);
            )*
        }
        $(
            #[doc = concat!("`", stringify!($name), "` (", $value, ").")]
            pub const $name: Signal = Signal::$name;
        )*
        /// Names and numbers of the standard signals, ascending from 1.
        pub const SIGNALS: &[(&str, u8)] = &[$((stringify!($name), $value),)*];
    };
}

signals! {
    SIGHUP = 1,
    SIGINT = 2,
    SIGQUIT = 3,
    SIGILL = 4,
    SIGTRAP = 5,
    SIGABRT = 6,
    SIGBUS = 7,
    SIGFPE = 8,
    SIGKILL = 9,
    SIGUSR1 = 10,
    SIGSEGV = 11,
    SIGUSR2 = 12,
    SIGPIPE = 13,
    SIGALRM = 14,
    SIGTERM = 15,
    SIGSTKFLT = 16,
    SIGCHLD = 17,
    SIGCONT = 18,
    SIGSTOP = 19,
    SIGTSTP = 20,
    SIGTTIN = 21,
    SIGTTOU = 22,
    SIGURG = 23,
    SIGXCPU = 24,
    SIGXFSZ = 25,
    SIGVTALRM = 26,
    SIGPROF = 27,
    SIGWINCH = 28,
    SIGIO = 29,
    SIGPWR = 30,
    SIGSYS = 31,
}

/// A set of signals: `sigset_t` of the kernel, 8 bytes.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signals.
    pub const EMPTY: SigSet = SigSet(0);
    /// All signals.
    pub const ALL: SigSet = SigSet(!0);
    /// `SIGKILL` and `SIGSTOP`, which cannot be blocked, caught or ignored.
    pub const UNBLOCKABLE: SigSet = SigSet(SIGKILL.bit() | SIGSTOP.bit());
    /// The signals that stop a process by default.
    pub const STOP: SigSet = SigSet(SIGSTOP.bit() | SIGTSTP.bit() | SIGTTIN.bit() | SIGTTOU.bit());
    /// Signals of the running instruction; the kernel delivers them before others.
    pub const SYNCHRONOUS: SigSet = SigSet(
        SIGSEGV.bit() | SIGBUS.bit() | SIGILL.bit() | SIGTRAP.bit() | SIGFPE.bit() | SIGSYS.bit(),
    );

    /// Only `sig`.
    #[must_use]
    pub const fn of(sig: Signal) -> SigSet {
        SigSet(sig.bit())
    }

    /// Whether `sig` is a member.
    #[must_use]
    pub const fn contains(self, sig: Signal) -> bool {
        self.0 & sig.bit() != 0
    }

    /// Adds `sig`.
    pub const fn insert(&mut self, sig: Signal) {
        self.0 |= sig.bit();
    }

    /// Removes `sig`.
    pub const fn remove(&mut self, sig: Signal) {
        self.0 &= !sig.bit();
    }

    /// Members of either.
    #[must_use]
    pub const fn union(self, other: SigSet) -> SigSet {
        SigSet(self.0 | other.0)
    }

    /// Members of both.
    #[must_use]
    pub const fn intersection(self, other: SigSet) -> SigSet {
        SigSet(self.0 & other.0)
    }

    /// Members of `self` that are not in `other`.
    #[must_use]
    pub const fn difference(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The member with the lowest number.
    #[must_use]
    pub const fn first(self) -> Option<Signal> {
        if self.0 == 0 {
            None
        } else {
            Some(Signal(self.0.trailing_zeros() as u8 + 1))
        }
    }

    /// Members, ascending.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::all().filter(move |&s| self.contains(s))
    }
}

impl fmt::Debug for SigSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Signal> for SigSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(iter: I) -> Self {
        SigSet(iter.into_iter().fold(0, |set, sig| set | sig.bit()))
    }
}

consts! {
    /// Flags of `sigaction`(2).
    pub SA: u64 {
        SA_NOCLDSTOP = 0x1,
        SA_NOCLDWAIT = 0x2,
        SA_SIGINFO = 0x4,
        SA_UNSUPPORTED = 0x400,
        SA_EXPOSE_TAGBITS = 0x800,
        SA_RESTORER = 0x4000000,
        SA_ONSTACK = 0x8000000,
        SA_RESTART = 0x10000000,
        SA_NODEFER = 0x40000000,
        SA_RESETHAND = 0x80000000,
    }
}

consts! {
    /// Special handlers.
    pub SIG_HANDLERS: u64 {
        SIG_DFL = 0x0,
        SIG_IGN = 0x1,
        SIG_ERR = 0xffffffffffffffff,
    }
}

consts! {
    /// `how` of `sigprocmask`(2).
    pub SIG_HOW: u32 {
        SIG_BLOCK = 0,
        SIG_UNBLOCK = 1,
        SIG_SETMASK = 2,
    }
}

consts! {
    /// Flags of `sigaltstack`(2).
    pub SS: u32 {
        SS_ONSTACK = 0x1,
        SS_DISABLE = 0x2,
        SS_AUTODISARM = 0x80000000,
    }
}

consts! {
    /// Stack sizes of `sigaltstack`(2), arm64.
    pub STACK_SIZES: u64 {
        MINSIGSTKSZ = 5120,
        SIGSTKSZ = 16384,
    }
}

consts! {
    /// `si_code` of signals from the kernel and from senders.
    pub SI: i32 {
        SI_USER = 0,
        SI_KERNEL = 128,
        SI_QUEUE = -1,
        SI_TIMER = -2,
        SI_MESGQ = -3,
        SI_ASYNCIO = -4,
        SI_SIGIO = -5,
        SI_TKILL = -6,
        SI_DETHREAD = -7,
        SI_ASYNCNL = -60,
    }
}

consts! {
    /// `si_code` of `SIGILL`.
    pub ILL: i32 {
        ILL_ILLOPC = 1,
        ILL_ILLOPN = 2,
        ILL_ILLADR = 3,
        ILL_ILLTRP = 4,
        ILL_PRVOPC = 5,
        ILL_PRVREG = 6,
        ILL_COPROC = 7,
        ILL_BADSTK = 8,
    }
}

consts! {
    /// `si_code` of `SIGFPE`.
    pub FPE: i32 {
        FPE_INTDIV = 1,
        FPE_INTOVF = 2,
        FPE_FLTDIV = 3,
        FPE_FLTOVF = 4,
        FPE_FLTUND = 5,
        FPE_FLTRES = 6,
        FPE_FLTINV = 7,
        FPE_FLTSUB = 8,
        FPE_FLTUNK = 14,
    }
}

consts! {
    /// `si_code` of `SIGSEGV`.
    pub SEGV: i32 {
        SEGV_MAPERR = 1,
        SEGV_ACCERR = 2,
        SEGV_BNDERR = 3,
        SEGV_PKUERR = 4,
        SEGV_MTEAERR = 8,
        SEGV_MTESERR = 9,
    }
}

consts! {
    /// `si_code` of `SIGBUS`.
    pub BUS: i32 {
        BUS_ADRALN = 1,
        BUS_ADRERR = 2,
        BUS_OBJERR = 3,
        BUS_MCEERR_AR = 4,
        BUS_MCEERR_AO = 5,
    }
}

consts! {
    /// `si_code` of `SIGTRAP`.
    pub TRAP: i32 {
        TRAP_BRKPT = 1,
        TRAP_TRACE = 2,
        TRAP_BRANCH = 3,
        TRAP_HWBKPT = 4,
        TRAP_UNK = 5,
        TRAP_PERF = 6,
    }
}

consts! {
    /// `si_code` of `SIGCHLD`.
    pub CLD: i32 {
        CLD_EXITED = 1,
        CLD_KILLED = 2,
        CLD_DUMPED = 3,
        CLD_TRAPPED = 4,
        CLD_STOPPED = 5,
        CLD_CONTINUED = 6,
    }
}

consts! {
    /// `si_code` of `SIGIO`.
    pub POLL_CODES: i32 {
        POLL_IN = 1,
        POLL_OUT = 2,
        POLL_MSG = 3,
        POLL_ERR = 4,
        POLL_PRI = 5,
        POLL_HUP = 6,
    }
}

consts! {
    /// `si_code` of `SIGSYS`.
    pub SYS_CODES: i32 {
        SYS_SECCOMP = 1,
        SYS_USER_DISPATCH = 2,
    }
}

consts! {
    /// `sigev_notify` of `struct sigevent`.
    pub SIGEV: i32 {
        SIGEV_SIGNAL = 0,
        SIGEV_NONE = 1,
        SIGEV_THREAD = 2,
        SIGEV_THREAD_ID = 4,
    }
}

consts! {
    /// Record magics of `struct sigcontext` on arm64.
    pub CONTEXT_MAGIC: u32 {
        FPSIMD_MAGIC = 0x46508001,
        ESR_MAGIC = 0x45535201,
        EXTRA_MAGIC = 0x45585401,
        SVE_MAGIC = 0x53564501,
    }
}

abi! {
    /// `struct sigaction` as the kernel has it on arm64: handler, flags, restorer, mask.
    pub struct SigAction = "struct sigaction" {
        sa_handler: u64,
        sa_flags: u64,
        sa_restorer: u64,
        sa_mask: u64,
    }

    /// `stack_t` of `sigaltstack`(2).
    pub struct StackT = "stack_t" {
        ss_sp: u64,
        ss_flags: u32,
        _pad0: u32,
        ss_size: u64,
    }

    /// `siginfo_t`: 128 bytes, a union behind the first 16; see the constructors.
    pub struct SigInfo = "siginfo_t" {
        si_signo: i32,
        si_errno: i32,
        si_code: i32,
        _pad0: i32,
        _fields: [u32; 28],
    }

    /// `struct sigevent` of `timer_create`(2) and `mq_notify`(3), 64 bytes.
    pub struct SigEvent = "struct sigevent" {
        sigev_value: u64,
        sigev_signo: i32,
        sigev_notify: i32,
        /// Thread id of `SIGEV_THREAD_ID`.
        _tid: i32,
        _pad: [i32; 11],
    }

    /// `struct sigcontext` of arm64; its 4096 reserved bytes hold the records below.
    pub struct SigContext = "struct sigcontext" {
        fault_address: u64,
        regs: [u64; 31],
        sp: u64,
        pc: u64,
        pstate: u64,
        /// The reserved area is aligned to 16 bytes.
        _pad0: u64,
        _reserved: [u8; 4096],
    }

    /// `struct ucontext` of arm64: the signal mask has room for 1024 signals.
    pub struct UContext = "struct ucontext" {
        uc_flags: u64,
        uc_link: u64,
        uc_stack: StackT,
        uc_sigmask: u64,
        _unused: [u8; 120],
        /// `uc_mcontext` is aligned to 16 bytes.
        _pad0: [u8; 8],
        uc_mcontext: SigContext,
    }

    /// `struct _aarch64_ctx`: the head of a record; magic 0 and size 0 end the list.
    pub struct Aarch64Ctx = "struct _aarch64_ctx" {
        magic: u32,
        size: u32,
    }

    /// `struct fpsimd_context`: magic [`FPSIMD_MAGIC`], 528 bytes; `v[i] = [low, high]`.
    pub struct FpsimdContext = "struct fpsimd_context" {
        head: Aarch64Ctx,
        fpsr: u32,
        fpcr: u32,
        vregs: [[u64; 2]; 32],
    }

    /// `struct esr_context`: magic [`ESR_MAGIC`], the syndrome of a fault.
    pub struct EsrContext = "struct esr_context" {
        head: Aarch64Ctx,
        esr: u64,
    }

    /// `struct extra_context`: where records continue that do not fit.
    pub struct ExtraContext = "struct extra_context" {
        head: Aarch64Ctx,
        datap: u64,
        size: u32,
        _reserved: [u32; 3],
    }

    /// What the kernel puts on the stack for a handler; `sp` points here, 16-aligned.
    pub struct RtSigframe = "struct rt_sigframe" {
        info: SigInfo,
        uc: UContext,
    }

    /// The frame record (`fp`, `lr`) that the kernel puts above the signal frame.
    pub struct FrameRecord = "struct frame_record" {
        fp: u64,
        lr: u64,
    }
}

impl SigAction {
    /// Whether the handler is `SIG_DFL`.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.sa_handler == SIG_DFL
    }

    /// Whether the handler is `SIG_IGN`.
    #[must_use]
    pub const fn is_ignore(&self) -> bool {
        self.sa_handler == SIG_IGN
    }
}

impl SigInfo {
    fn head(sig: Signal, code: i32) -> SigInfo {
        SigInfo {
            si_signo: sig.number(),
            si_code: code,
            ..SigInfo::default()
        }
    }

    fn set64(&mut self, word: usize, value: u64) {
        self._fields[word] = value as u32;
        self._fields[word + 1] = (value >> 32) as u32;
    }

    fn get64(&self, word: usize) -> u64 {
        u64::from(self._fields[word]) | u64::from(self._fields[word + 1]) << 32
    }

    /// From the kernel itself (`SI_KERNEL`), no sender.
    #[must_use]
    pub fn kernel(sig: Signal) -> SigInfo {
        SigInfo::head(sig, SI_KERNEL)
    }

    /// From `kill`(2) (`SI_USER`) or `tgkill`(2) (`SI_TKILL`).
    #[must_use]
    pub fn kill(sig: Signal, code: i32, pid: i32, uid: u32) -> SigInfo {
        let mut info = SigInfo::head(sig, code);
        info._fields[0] = pid.cast_unsigned();
        info._fields[1] = uid;
        info
    }

    /// From `sigqueue`(3) or `mq_notify`(3): the sender and a value.
    #[must_use]
    pub fn queue(sig: Signal, code: i32, pid: i32, uid: u32, value: u64) -> SigInfo {
        let mut info = SigInfo::kill(sig, code, pid, uid);
        info.set64(2, value);
        info
    }

    /// From a POSIX timer (`SI_TIMER`).
    #[must_use]
    pub fn timer(sig: Signal, timer_id: i32, overrun: i32, value: u64) -> SigInfo {
        let mut info = SigInfo::head(sig, SI_TIMER);
        info._fields[0] = timer_id.cast_unsigned();
        info._fields[1] = overrun.cast_unsigned();
        info.set64(2, value);
        info
    }

    /// A fault of the running instruction at `addr`.
    #[must_use]
    pub fn fault(sig: Signal, code: i32, addr: u64) -> SigInfo {
        let mut info = SigInfo::head(sig, code);
        info.set64(0, addr);
        info
    }

    /// `SIGCHLD`: status of child `pid`; `utime` and `stime` in clock ticks.
    #[must_use]
    pub fn chld(code: i32, pid: i32, uid: u32, status: i32, utime: i64, stime: i64) -> SigInfo {
        let mut info = SigInfo::kill(SIGCHLD, code, pid, uid);
        info._fields[2] = status.cast_unsigned();
        // The clock_t members are 8-aligned behind three ints.
        info.set64(4, utime.cast_unsigned());
        info.set64(6, stime.cast_unsigned());
        info
    }

    /// `SIGIO` and friends: readiness of a descriptor.
    #[must_use]
    pub fn poll(sig: Signal, code: i32, band: i64, fd: i32) -> SigInfo {
        let mut info = SigInfo::head(sig, code);
        info.set64(0, band.cast_unsigned());
        info._fields[2] = fd.cast_unsigned();
        info
    }

    /// `SIGSYS`: a system call that seccomp refused.
    #[must_use]
    pub fn sys(call_addr: u64, syscall: i32, arch: u32, errno: i32) -> SigInfo {
        let mut info = SigInfo::head(SIGSYS, SYS_SECCOMP);
        info.si_errno = errno;
        info.set64(0, call_addr);
        info._fields[2] = syscall.cast_unsigned();
        info._fields[3] = arch;
        info
    }

    /// `si_pid` (kill, queue and chld layouts).
    #[must_use]
    pub fn si_pid(&self) -> i32 {
        self._fields[0].cast_signed()
    }

    /// `si_uid` (kill, queue and chld layouts).
    #[must_use]
    pub fn si_uid(&self) -> u32 {
        self._fields[1]
    }

    /// `si_status` (chld layout).
    #[must_use]
    pub fn si_status(&self) -> i32 {
        self._fields[2].cast_signed()
    }

    /// `si_utime` and `si_stime` in clock ticks (chld layout).
    #[must_use]
    pub fn si_times(&self) -> (i64, i64) {
        (self.get64(4).cast_signed(), self.get64(6).cast_signed())
    }

    /// `si_value` (queue and timer layouts).
    #[must_use]
    pub fn si_value(&self) -> u64 {
        self.get64(2)
    }

    /// `si_tid` and `si_overrun` (timer layout).
    #[must_use]
    pub fn si_timer(&self) -> (i32, i32) {
        (self._fields[0].cast_signed(), self._fields[1].cast_signed())
    }

    /// Sets `si_overrun` (timer layout), which is known only at delivery.
    pub fn set_overrun(&mut self, overrun: i32) {
        self._fields[1] = overrun.cast_unsigned();
    }

    /// `si_addr` (fault layout).
    #[must_use]
    pub fn si_addr(&self) -> u64 {
        self.get64(0)
    }

    /// `si_band` and `si_fd` (poll layout).
    #[must_use]
    pub fn si_band_fd(&self) -> (i64, i32) {
        (self.get64(0).cast_signed(), self._fields[2].cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_the_range_are_refused() {
        assert_eq!(Signal::new(0), Err(EINVAL));
        assert_eq!(Signal::new(65), Err(EINVAL));
        assert_eq!(Signal::new(9), Ok(SIGKILL));
        assert_eq!(Signal::new(9).map(|s| s.to_string()), Ok("SIGKILL".into()));
        assert_eq!(Signal::new(34).map(|s| s.to_string()), Ok("SIGRT_2".into()));
    }

    #[test]
    fn sets_iterate_in_order() {
        let set: SigSet = [SIGUSR1, SIGHUP, SIGSYS].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [SIGHUP, SIGUSR1, SIGSYS]);
        assert_eq!(set.first(), Some(SIGHUP));
        assert_eq!(set.difference(SigSet::of(SIGHUP)).first(), Some(SIGUSR1));
    }

    #[test]
    fn siginfo_members_are_where_they_were_put() {
        let info = SigInfo::chld(CLD_EXITED, 42, 7, 3, 100, 200);
        assert_eq!((info.si_pid(), info.si_uid(), info.si_status()), (42, 7, 3));
        assert_eq!(info.si_times(), (100, 200));
        assert_eq!(SigInfo::fault(SIGSEGV, SEGV_MAPERR, !7).si_addr(), !7);
    }
}
