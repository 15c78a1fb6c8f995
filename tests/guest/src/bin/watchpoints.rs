//! Hardware watchpoints and breakpoints of AArch64: `NT_ARM_HW_WATCH`, `NT_ARM_HW_BREAK` of ptrace(2). What they do stands
//! in the Arm ARM, D2; the transcript is written by hand from it. On other machines the program says so and ends.

#[cfg(not(target_arch = "aarch64"))]
fn main() {
    guest::say!("only AArch64 has these registers");
}

#[cfg(target_arch = "aarch64")]
fn main() {
    arm::main();
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use guest::{fork, ok, say, signal_name};
    use std::arch::asm;

    const NT_ARM_HW_BREAK: usize = 0x402;
    const NT_ARM_HW_WATCH: usize = 0x403;
    const LOAD: u32 = 1;
    const STORE: u32 = 2;

    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Reg {
        addr: u64,
        ctrl: u32,
        pad: u32,
    }

    #[repr(C)]
    struct Regs {
        info: u32,
        pad: u32,
        reg: Reg,
    }

    #[repr(C, align(16))]
    struct Data([u64; 8]);

    static mut DATA: Data = Data([0; 8]);

    fn data(word: usize) -> u64 {
        &raw const DATA as u64 + 8 * word as u64
    }

    fn ptrace(request: i64, pid: i32, addr: usize, data: usize) -> i64 {
        // SAFETY: the callers give addresses that are valid for their requests.
        unsafe { libc::syscall(libc::SYS_ptrace, request, i64::from(pid), addr, data) }
    }

    /// Sets the first register of a set.
    fn set(pid: i32, kind: usize, addr: u64, ctrl: u32) -> String {
        let mut regs = Regs {
            info: 0,
            pad: 0,
            reg: Reg { addr, ctrl, pad: 0 },
        };
        let mut iov = libc::iovec {
            iov_base: (&raw mut regs).cast(),
            iov_len: size_of::<Regs>(),
        };
        ok(ptrace(
            libc::PTRACE_SETREGSET.into(),
            pid,
            kind,
            &raw mut iov as usize,
        ))
    }

    /// The bytes `first..first + len` of a double word, for some kinds of access, at EL0.
    fn watch(first: u32, len: u32, access: u32) -> u32 {
        ((1 << len) - 1) << first << 5 | access << 3 | 2 << 1 | 1
    }

    /// Waits for a stop; what it is, and the address relative to the data. `false` for the end.
    fn stop(pid: i32) -> (String, bool) {
        let mut status = 0;
        // SAFETY: `status` is a place for the status; zero is a valid siginfo.
        unsafe {
            libc::waitpid(pid, &mut status, libc::__WALL);
            if !libc::WIFSTOPPED(status) {
                return (guest::status(status), false);
            }
            let mut info: libc::siginfo_t = std::mem::zeroed();
            ptrace(libc::PTRACE_GETSIGINFO.into(), pid, 0, &raw mut info as usize);
            let at = (info.si_addr() as u64).wrapping_sub(data(0));
            let place = if at < 64 { format!(" at {at}") } else { String::new() };
            let signal = signal_name(libc::WSTOPSIG(status));
            (format!("{signal} code {}{place}", info.si_code), true)
        }
    }

    /// One access of every kind, most of them to the double word at 16.
    #[inline(never)]
    fn accesses() {
        let base = data(0);
        // SAFETY: all addresses lie in `DATA`.
        unsafe {
            asm!(
                "ldr {t}, [{b}, #16]",
                "ldrb {t:w}, [{b}, #19]",
                "str {t}, [{b}, #16]",
                "strb {t:w}, [{b}, #23]",
                "ldp {t}, {u}, [{b}, #8]",
                "stp {t}, {u}, [{b}, #16]",
                ".arch_extension lse",
                "ldadd {t}, {u}, [{p}]",
                "ldr {q:q}, [{b}, #16]",
                "str {q:q}, [{b}, #16]",
                "ldur {t}, [{b}, #12]",
                "ldr {t}, [{b}, #24]",
                "str {t}, [{b}, #24]",
                b = in(reg) base,
                p = in(reg) base + 16,
                t = out(reg) _,
                u = out(reg) _,
                q = out(vreg) _,
            );
        }
    }

    /// Runs the accesses under a watchpoint; each stop is before the access, which is then stepped over.
    fn run(what: &str, ctrl: u32) {
        say!("= {what}");
        let pid = fork(|| {
            ptrace(libc::PTRACE_TRACEME.into(), 0, 0, 0);
            // SAFETY: no memory is touched.
            unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
            accesses();
            0
        });
        stop(pid);
        say!("set: {}", set(pid, NT_ARM_HW_WATCH, data(2), ctrl));
        loop {
            ptrace(libc::PTRACE_CONT.into(), pid, 0, 0);
            let (text, alive) = stop(pid);
            say!("{text}");
            if !alive {
                return;
            }
            set(pid, NT_ARM_HW_WATCH, data(2), 0);
            ptrace(libc::PTRACE_SINGLESTEP.into(), pid, 0, 0);
            stop(pid);
            set(pid, NT_ARM_HW_WATCH, data(2), ctrl);
        }
    }

    #[inline(never)]
    extern "C" fn target() {
        // SAFETY: does nothing.
        unsafe { asm!("nop") };
    }

    fn breakpoint() {
        say!("= breakpoint");
        let pid = fork(|| {
            ptrace(libc::PTRACE_TRACEME.into(), 0, 0, 0);
            // SAFETY: no memory is touched.
            unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
            std::hint::black_box(target as extern "C" fn())();
            3
        });
        stop(pid);
        let at = target as extern "C" fn() as usize as u64;
        say!("set: {}", set(pid, NT_ARM_HW_BREAK, at, 0xf << 5 | 2 << 1 | 1));
        ptrace(libc::PTRACE_CONT.into(), pid, 0, 0);
        say!("{}", stop(pid).0);
        set(pid, NT_ARM_HW_BREAK, at, 0);
        ptrace(libc::PTRACE_CONT.into(), pid, 0, 0);
        say!("{}", stop(pid).0);
    }

    pub(super) fn main() {
        run("loads of the double word", watch(0, 8, LOAD));
        run("stores to the double word", watch(0, 8, STORE));
        run("all accesses of its last byte", watch(7, 1, LOAD | STORE));
        run("nothing", watch(0, 8, LOAD) & !1);
        say!("= errors");
        let pid = fork(|| {
            ptrace(libc::PTRACE_TRACEME.into(), 0, 0, 0);
            // SAFETY: no memory is touched.
            unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
            0
        });
        stop(pid);
        say!("no bytes: {}", set(pid, NT_ARM_HW_WATCH, data(2), watch(0, 0, LOAD)));
        say!("no kind: {}", set(pid, NT_ARM_HW_WATCH, data(2), watch(0, 8, 0)));
        say!("holes: {}", set(pid, NT_ARM_HW_WATCH, data(2), watch(0, 1, LOAD) | 4 << 5));
        ptrace(libc::PTRACE_CONT.into(), pid, 0, 0);
        say!("{}", stop(pid).0);
        breakpoint();
    }
}
