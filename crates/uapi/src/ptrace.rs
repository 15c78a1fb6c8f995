//! `ptrace`(2).

consts! {
    /// Requests of `ptrace`(2).
    pub PTRACE: u32 {
        PTRACE_TRACEME = 0x0,
        PTRACE_PEEKTEXT = 0x1,
        PTRACE_PEEKDATA = 0x2,
        PTRACE_PEEKUSR = 0x3,
        PTRACE_POKETEXT = 0x4,
        PTRACE_POKEDATA = 0x5,
        PTRACE_POKEUSR = 0x6,
        PTRACE_CONT = 0x7,
        PTRACE_KILL = 0x8,
        PTRACE_SINGLESTEP = 0x9,
        PTRACE_ATTACH = 0x10,
        PTRACE_DETACH = 0x11,
        PTRACE_SYSCALL = 0x18,
        PTRACE_SYSEMU = 0x1f,
        PTRACE_SYSEMU_SINGLESTEP = 0x20,
        PTRACE_SETOPTIONS = 0x4200,
        PTRACE_GETEVENTMSG = 0x4201,
        PTRACE_GETSIGINFO = 0x4202,
        PTRACE_SETSIGINFO = 0x4203,
        PTRACE_GETREGSET = 0x4204,
        PTRACE_SETREGSET = 0x4205,
        PTRACE_SEIZE = 0x4206,
        PTRACE_INTERRUPT = 0x4207,
        PTRACE_LISTEN = 0x4208,
        PTRACE_PEEKSIGINFO = 0x4209,
        PTRACE_GETSIGMASK = 0x420a,
        PTRACE_SETSIGMASK = 0x420b,
        PTRACE_SECCOMP_GET_FILTER = 0x420c,
        PTRACE_SECCOMP_GET_METADATA = 0x420d,
        PTRACE_GET_SYSCALL_INFO = 0x420e,
    }
}

consts! {
    /// `op` of `PTRACE_GET_SYSCALL_INFO`.
    pub PTRACE_SYSCALL_INFO: u8 {
        PTRACE_SYSCALL_INFO_NONE = 0,
        PTRACE_SYSCALL_INFO_ENTRY = 1,
        PTRACE_SYSCALL_INFO_EXIT = 2,
        PTRACE_SYSCALL_INFO_SECCOMP = 3,
    }
}

consts! {
    /// What `PTRACE_GETEVENTMSG` gives in a system call stop.
    pub PTRACE_EVENTMSG: u64 {
        PTRACE_EVENTMSG_SYSCALL_ENTRY = 1,
        PTRACE_EVENTMSG_SYSCALL_EXIT = 2,
    }
}

consts! {
    /// Flags of `PTRACE_PEEKSIGINFO`.
    pub PTRACE_PEEKSIGINFO_FLAGS: u32 {
        PTRACE_PEEKSIGINFO_SHARED = 0x1,
    }
}

consts! {
    /// Events of `ptrace`(2).
    pub PTRACE_EVENT: u32 {
        PTRACE_EVENT_FORK = 1,
        PTRACE_EVENT_VFORK = 2,
        PTRACE_EVENT_CLONE = 3,
        PTRACE_EVENT_EXEC = 4,
        PTRACE_EVENT_VFORK_DONE = 5,
        PTRACE_EVENT_EXIT = 6,
        PTRACE_EVENT_SECCOMP = 7,
        PTRACE_EVENT_STOP = 128,
    }
}

consts! {
    /// Options of `PTRACE_SETOPTIONS`.
    pub PTRACE_O: u32 {
        PTRACE_O_TRACESYSGOOD = 0x1,
        PTRACE_O_TRACEFORK = 0x2,
        PTRACE_O_TRACEVFORK = 0x4,
        PTRACE_O_TRACECLONE = 0x8,
        PTRACE_O_TRACEEXEC = 0x10,
        PTRACE_O_TRACEVFORKDONE = 0x20,
        PTRACE_O_TRACEEXIT = 0x40,
        PTRACE_O_TRACESECCOMP = 0x80,
        PTRACE_O_EXITKILL = 0x100000,
        PTRACE_O_SUSPEND_SECCOMP = 0x200000,
    }
}

abi! {
    /// `struct user_pt_regs` of arm64 (`NT_PRSTATUS`).
    pub struct UserPtRegs = "struct user_pt_regs" {
        regs: [u64; 31],
        sp: u64,
        pc: u64,
        pstate: u64,
    }

    /// `struct user_fpsimd_state` of arm64 (`NT_PRFPREG`).
    pub struct UserFpsimdState = "struct user_fpsimd_state" {
        vregs: [[u64; 2]; 32],
        fpsr: u32,
        fpcr: u32,
        _reserved: [u32; 2],
    }

    /// `struct ptrace_syscall_info`; `data` is a union.
    pub struct PtraceSyscallInfo = "struct ptrace_syscall_info" {
        op: u8,
        _pad0: [u8; 3],
        arch: u32,
        instruction_pointer: u64,
        stack_pointer: u64,
        /// Number and arguments; or result and whether it is an error.
        _data: [u64; 8],
    }

    /// `struct ptrace_peeksiginfo_args`.
    pub struct PtracePeeksiginfoArgs = "struct ptrace_peeksiginfo_args" {
        off: u64,
        flags: u32,
        nr: i32,
    }

    /// One register pair of [`UserHwdebugState`].
    pub struct HwdebugReg = "struct user_hwdebug_reg" {
        addr: u64,
        ctrl: u32,
        _pad0: u32,
    }

    /// `struct user_hwdebug_state` of arm64 (`NT_ARM_HW_BREAK`, `NT_ARM_HW_WATCH`).
    pub struct UserHwdebugState = "struct user_hwdebug_state" {
        dbg_info: u32,
        _pad0: u32,
        dbg_regs: [HwdebugReg; 16],
    }
}
