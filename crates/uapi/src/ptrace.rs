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
        PTRACE_GET_SYSCALL_INFO = 0x420e,
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
}
