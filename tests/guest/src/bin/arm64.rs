//! What is particular to AArch64: signal frames, faults with their codes, code that changes, rounding, atomics.

#[cfg(not(target_arch = "aarch64"))]
fn main() {}

#[cfg(target_arch = "aarch64")]
fn main() {
    arm64::main();
}

#[cfg(target_arch = "aarch64")]
mod arm64 {
    use guest::{fork, handle, say, wait};
    use libc::{c_void, siginfo_t, ucontext_t};
    use std::{
        arch::{aarch64::*, asm, global_asm},
        ptr::null_mut,
        sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst},
    };

    static CODE: AtomicI32 = AtomicI32::new(0);
    static SIGNAL: AtomicI32 = AtomicI32::new(0);
    static OFFSET: AtomicU64 = AtomicU64::new(0);
    static FRAME: AtomicU64 = AtomicU64::new(0);

    /// Destroys all registers that a function may destroy.
    extern "C" fn destroy(_: i32, _: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: everything changed is declared; the context is the kernel's.
        unsafe {
            asm!(
                "mov x0, #-1", "mov x1, #-1", "mov x2, #-1", "mov x3, #-1", "mov x4, #-1", "mov x5, #-1", "mov x6, #-1",
                "mov x7, #-1", "mov x8, #-1", "mov x9, #-1", "mov x10, #-1", "mov x11, #-1", "mov x12, #-1",
                "movi v0.16b, #255", "movi v1.16b, #255", "movi v7.16b, #255", "movi v15.16b, #255", "movi v16.16b, #255",
                "movi v31.16b, #255", "mov x13, #0x400000", "msr fpcr, x13", "msr fpsr, xzr", "cmp xzr, xzr",
                out("x0") _, out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _,
                out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
                out("v0") _, out("v1") _, out("v7") _, out("v15") _, out("v16") _, out("v31") _,
            );
            let _ = context;
        }
    }

    /// Notes the fault and goes on behind the instruction.
    extern "C" fn skip(n: i32, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel's frame.
        unsafe {
            let c = context.cast::<ucontext_t>();
            SIGNAL.store(n, SeqCst);
            CODE.store((*info).si_code, SeqCst);
            OFFSET.store(((*info).si_addr() as u64).wrapping_sub((*c).uc_mcontext.pc), SeqCst);
            (*c).uc_mcontext.pc += 4;
            (*c).uc_mcontext.regs[9] = 99;
        }
    }

    /// Looks at the records of the frame.
    extern "C" fn inspect(_: i32, _: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the records follow the registers, each with its magic and size, and end with a zero.
        unsafe {
            let c = context.cast::<ucontext_t>();
            let machine = &raw const (*c).uc_mcontext;
            // fault address, 31 registers, sp, pc, pstate; then, on a 16-byte border, the records.
            let mut at = (machine as usize + 35 * 8).next_multiple_of(16) as *const u32;
            let mut found = 0;
            while *at != 0 && found < 100 {
                if *at == 0x4650_8001 {
                    found += 1;
                    // size, fpsr, fpcr, then the registers.
                    let v8 = at.add(4 + 8 * 4).cast::<u128>().read();
                    FRAME.store(u64::from(*at.add(1)) << 32 | v8 as u64, SeqCst);
                    at.add(4 + 8 * 4).cast_mut().cast::<u128>().write(v8 + 1);
                }
                at = at.byte_add(*at.add(1) as usize);
            }
            OFFSET.store((*machine).pstate >> 28, SeqCst);
            (*c).uc_mcontext.pstate ^= 1 << 30;
            (*c).uc_mcontext.regs[5] += 1000;
        }
    }

    fn seen() -> String {
        let n = SIGNAL.swap(0, SeqCst);
        format!("SIG{} code {} at pc{:+}", guest::signal_name(n), CODE.load(SeqCst), OFFSET.load(SeqCst) as i64)
    }

    global_asm!(
        // Fills all registers, sends the process in x0 the signal in x1, and counts what is changed afterwards.
        ".globl keep_all", "keep_all:",
        "stp x29, x30, [sp, #-160]!", "stp x19, x20, [sp, #16]", "stp x21, x22, [sp, #32]", "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]", "stp x27, x28, [sp, #80]", "stp d8, d9, [sp, #96]", "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]", "stp d14, d15, [sp, #144]",
        "mov x8, #129", // kill
        ".irp n, 2,3,4,5,6,7,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30", "mov x\\n, #\\n", ".endr",
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "movi v\\n\\().16b, #(\\n + 1)", ".endr",
        "mov x30, #0xc00000", "msr fpcr, x30", "mov x30, #0x10", "msr fpsr, x30", "mov x30, #30",
        "cmn x2, #-3", // 2 - 3: negative
        "svc #0",
        "cset x0, mi", "sub x0, x0, #1",
        ".irp n, 2,3,4,5,6,7,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
        "cmp x\\n, #\\n", "cinc x0, x0, ne", ".endr",
        "cmp x8, #129", "cinc x0, x0, ne",
        ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "umov w1, v\\n\\().b[15]", "cmp w1, #(\\n + 1)", "cinc x0, x0, ne", "umov w1, v\\n\\().b[0]", "cmp w1, #(\\n + 1)",
        "cinc x0, x0, ne", ".endr",
        "mrs x1, fpcr", "mov x2, #0xc00000", "cmp x1, x2", "cinc x0, x0, ne",
        "mrs x1, fpsr", "mov x2, #0x9f", "and x1, x1, x2", "cmp x1, #0x10", "cinc x0, x0, ne",
        "msr fpcr, xzr", "msr fpsr, xzr",
        "ldp x19, x20, [sp, #16]", "ldp x21, x22, [sp, #32]", "ldp x23, x24, [sp, #48]", "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]", "ldp d8, d9, [sp, #96]", "ldp d10, d11, [sp, #112]", "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]", "ldp x29, x30, [sp], #160", "ret",
    );

    unsafe extern "C" {
        fn keep_all(pid: i32, signal: i32) -> u64;
    }

    /// Makes code in memory visible to the instruction stream.
    unsafe fn sync_code(at: *const u32) {
        // SAFETY: cache maintenance changes no registers.
        unsafe { asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) at) };
    }

    fn code_page(prot: i32) -> *mut u32 {
        // SAFETY: a fresh mapping.
        unsafe { libc::mmap(null_mut(), 4096, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0).cast() }
    }

    /// `mov w0, #n; ret`
    unsafe fn put_code(at: *mut u32, n: u32) {
        // SAFETY: the caller's page is writable.
        unsafe {
            at.write_volatile(0x5280_0000 | n << 5);
            at.add(1).write_volatile(0xd65f_03c0);
        }
    }

    fn rounded(mode: u64, a: f64, b: f64) -> (u64, u64, i64) {
        let (sum, quotient, int): (f64, f64, i64);
        // SAFETY: FPCR is reset before compiled code goes on.
        unsafe {
            asm!("msr fpcr, {m}", "fadd {s:d}, {a:d}, {b:d}", "fdiv {q:d}, {a:d}, {b:d}", "frinti {i:d}, {a:d}", "fcvtzs {n}, {i:d}", "msr fpcr, xzr",
                m = in(reg) mode << 22, a = in(vreg) a, b = in(vreg) b, s = out(vreg) sum, q = out(vreg) quotient, i = out(vreg) _, n = out(reg) int);
        }
        (sum.to_bits(), quotient.to_bits(), int)
    }

    fn flags(f: impl Fn()) -> String {
        let status: u64;
        // SAFETY: only the status register is changed.
        unsafe {
            asm!("msr fpsr, xzr");
            f();
            asm!("mrs {}, fpsr", out(reg) status);
        }
        format!("{:02x}", status & 0x9f)
    }

    pub(super) fn main() {
        // SAFETY: the assembly declares what it changes; mappings are this program's own.
        unsafe {
            // Signals keep every register.
            handle(libc::SIGUSR1, 0, &[], destroy);
            say!("registers changed by a signal: {}", keep_all(libc::getpid(), libc::SIGUSR1));
            let mut changed = 0;
            for _ in 0..300 {
                changed += keep_all(libc::getpid(), libc::SIGUSR1);
            }
            say!("and by 300: {changed}");

            // A handler changes the context.
            for n in [libc::SIGILL, libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE] {
                handle(n, 0, &[], skip);
            }
            let mut x9 = 1u64;
            asm!("udf #0", inout("x9") x9);
            say!("udf: {} x9 {x9}", seen());
            asm!("brk #0x1234", inout("x9") x9);
            say!("brk: {}", seen());
            asm!(".inst 0x00c0ffee", inout("x9") x9);
            say!("unallocated: {}", seen());
            asm!("mrs {0}, sctlr_el1", out(reg) _, inout("x9") x9);
            say!("privileged: {}", seen());
            asm!("hlt #5", inout("x9") x9);
            say!("hlt: {}", seen());
            let none = libc::mmap(null_mut(), 8192, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) as u64;
            asm!("ldr {0}, [{1}]", out(reg) _, in(reg) none, inout("x9") x9);
            say!("load: {}", { seen(); CODE.load(SeqCst) });
            // A pair whose second half faults changes neither register, nor the base.
            libc::mprotect(none as *mut c_void, 4096, 3);
            let (mut a, mut b, mut base) = (11u64, 22u64, none + 4088);
            asm!("ldp {0}, {1}, [{2}], #16", inout(reg) a, inout(reg) b, inout(reg) base, inout("x9") x9);
            say!("pair: {} {a} {b} base moved {}", { seen(); CODE.load(SeqCst) }, base - none - 4088);
            asm!("str {0}, [{1}, #8]!", in(reg) a, inout(reg) base, inout("x9") x9);
            say!("pre-index store: {} base moved {}", { seen(); CODE.load(SeqCst) }, base - none - 4088);
            asm!("stp {0:q}, {0:q}, [{1}, #-16]!", in(vreg) 0u64, inout(reg) base, inout("x9") x9);
            say!("vector pair: {} base moved {}", { seen(); CODE.load(SeqCst) }, base as i64 - none as i64 - 4088);
            let end = (none + 4093) as *mut u64;
            asm!("ldxr {0}, [{1}]", out(reg) _, in(reg) end, inout("x9") x9);
            say!("misaligned exclusive: SIG{} code {}", guest::signal_name(SIGNAL.swap(0, SeqCst)), CODE.load(SeqCst));
            let jump = fork(|| {
                guest::disposition(libc::SIGSEGV, libc::SIG_DFL);
                asm!("br {}", in(reg) none, options(noreturn));
            });
            say!("jump to data: {}", wait(jump));
            let jump = fork(|| {
                guest::disposition(libc::SIGBUS, libc::SIG_DFL);
                asm!("br {}", in(reg) keep_all as *const () as usize + 2, options(noreturn));
            });
            say!("jump to an odd address: {}", wait(jump));

            // The frame's records.
            handle(libc::SIGUSR2, 0, &[], inspect);
            let (mut x5, v8, z): (u64, u64, u64);
            x5 = 5;
            asm!(
                "movi v8.2d, #0", "mov v8.b[0], {t:w}", "cmp xzr, xzr", "svc #0", "cset {z}, eq", "fmov {v}, d8",
                t = in(reg) 0x42, z = out(reg) z, v = out(reg) v8, inout("x5") x5, in("x8") 129, inout("x0") i64::from(libc::getpid()) => _,
                in("x1") libc::SIGUSR2, out("v8") _,
            );
            let frame = FRAME.load(SeqCst);
            say!("frame: size {} v8 {:x} flags {:x}", frame >> 32, frame as u32, OFFSET.load(SeqCst));
            say!("changed by the handler: x5 {x5} v8 {v8:x} z {z}");

            // Code that changes.
            let page = code_page(7);
            let mut wrong = 0;
            for n in 0..1000 {
                put_code(page, n);
                sync_code(page);
                let f: extern "C" fn() -> u32 = std::mem::transmute(page);
                wrong += u32::from(f() != n);
            }
            say!("1000 versions of a function: {wrong} wrong");
            // Two mappings of the same page, one writable, one executable.
            let file = libc::memfd_create(c"code".as_ptr(), 0);
            libc::ftruncate(file, 4096);
            let write = libc::mmap(null_mut(), 4096, 3, libc::MAP_SHARED, file, 0).cast::<u32>();
            let run = libc::mmap(null_mut(), 4096, 5, libc::MAP_SHARED, file, 0).cast::<u32>();
            let mut wrong = 0;
            for n in 0..300 {
                put_code(write, n);
                sync_code(write);
                sync_code(run);
                let f: extern "C" fn() -> u32 = std::mem::transmute(run);
                wrong += u32::from(f() != n);
            }
            say!("300 through another mapping: {wrong} wrong");
            let mut wrong = 0;
            let page = code_page(3);
            for n in 0..100 {
                put_code(page, n);
                libc::mprotect(page.cast(), 4096, 5);
                sync_code(page);
                let f: extern "C" fn() -> u32 = std::mem::transmute(page);
                wrong += u32::from(f() != n);
                libc::mprotect(page.cast(), 4096, 3);
            }
            say!("100 by mprotect: {wrong} wrong");
            let mut wrong = 0;
            for n in 0..100 {
                let page = libc::mmap(page.cast(), 4096, 7, libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0).cast::<u32>();
                put_code(page, n);
                sync_code(page);
                let f: extern "C" fn() -> u32 = std::mem::transmute(page);
                wrong += u32::from(f() != n);
            }
            say!("100 new mappings: {wrong} wrong");

            // Rounding and status.
            for mode in 0..4 {
                let (s, q, i) = rounded(mode, 2.5, 0.3);
                let (s2, q2, i2) = rounded(mode, -2.5, 7e-310);
                say!("rounding {mode}: {s:016x} {q:016x} {i} {s2:016x} {q2:016x} {i2}");
            }
            let op = |a: f64, b: f64, which: u8| {
                let _r: f64;
                match which {
                    0 => asm!("fdiv {0:d}, {1:d}, {2:d}", out(vreg) _r, in(vreg) a, in(vreg) b),
                    1 => asm!("fmul {0:d}, {1:d}, {2:d}", out(vreg) _r, in(vreg) a, in(vreg) b),
                    _ => asm!("fcvtzs {0}, {1:d}", out(reg) _, in(vreg) a),
                }
            };
            say!("status: 1/0 {} 0/0 {} 1/3 {} max*max {} tiny*tiny {} nan->int {} 1.5->int {}", flags(|| op(1.0, 0.0, 0)), flags(|| op(0.0, 0.0, 0)),
                flags(|| op(1.0, 3.0, 0)), flags(|| op(f64::MAX, f64::MAX, 1)), flags(|| op(1e-300, 1e-300, 1)), flags(|| op(f64::NAN, 0.0, 2)), flags(|| op(1.5, 0.0, 2)));
            let flushed: f64;
            asm!("msr fpcr, {m}", "fmul {r:d}, {a:d}, {b:d}", "msr fpcr, xzr", m = in(reg) 1u64 << 24, r = out(vreg) flushed, a = in(vreg) 1e-200f64, b = in(vreg) 1e-110f64);
            say!("flush to zero: {flushed}");

            // Intrinsics.
            let a = vld1q_u8([1u8, 2, 3, 4, 5, 6, 7, 8, 250, 251, 252, 253, 254, 255, 0, 128].as_ptr());
            let b = vdupq_n_u8(10);
            let mut out = [0u8; 16];
            let mut show = |name: &str, v: uint8x16_t| {
                vst1q_u8(out.as_mut_ptr(), v);
                say!("{name}: {out:?}");
            };
            show("uqadd", vqaddq_u8(a, b));
            show("uqsub", vqsubq_u8(b, a));
            show("tbl", vqtbl1q_u8(a, vld1q_u8([15u8, 0, 16, 3, 255, 8, 9, 1, 1, 2, 3, 4, 5, 6, 7, 14].as_ptr())));
            show("zip1", vzip1q_u8(a, b));
            show("uzp2", vuzp2q_u8(a, b));
            show("ext", vextq_u8::<5>(a, b));
            show("rev64", vrev64q_u8(a));
            show("cnt", vcntq_u8(a));
            show("cmhi", vcgtq_u8(a, b));
            show("sli", vsliq_n_u8::<3>(b, a));
            show("pmul", vreinterpretq_u8_p8(vmulq_p8(vreinterpretq_p8_u8(a), vreinterpretq_p8_u8(b))));
            say!("across: {} {} {}", vaddlvq_u8(a), vmaxvq_u8(a), vminvq_s8(vreinterpretq_s8_u8(a)));
            let m: [i16; 8] = std::mem::transmute(vqrdmulhq_s16(vreinterpretq_s16_u8(a), vdupq_n_s16(12345)));
            say!("sqrdmulh: {m:?}");

            // Atomics.
            let word = AtomicU64::new(5);
            say!("atomics: {} {} {} {:?} {}", word.fetch_add(3, SeqCst), word.swap(100, SeqCst), word.fetch_xor(0xff, SeqCst), word.compare_exchange(1, 2, SeqCst, SeqCst), word.fetch_max(1 << 40, SeqCst));
            #[repr(align(16))]
            struct Pair([u64; 2]);
            let mut aligned = Pair([1, 2]);
            let pair = &mut aligned.0;
            let (lo, hi): (u64, u64);
            let failed: u32;
            asm!("ldxp {l}, {h}, [{p}]", "add {l}, {l}, #10", "stxp {f:w}, {l}, {h}, [{p}]", l = out(reg) lo, h = out(reg) hi, f = out(reg) failed, p = in(reg) pair.as_mut_ptr());
            say!("exclusive pair: {lo} {hi} failed {failed} {pair:?}");
            let failed: u32;
            asm!("clrex", "stxr {f:w}, xzr, [{p}]", f = out(reg) failed, p = in(reg) pair.as_mut_ptr());
            say!("store without load: {failed} {pair:?}");
            let size: u64;
            asm!("mrs {}, dczid_el0", out(reg) size);
            if size & 16 == 0 {
                let len = 4usize << (size & 15);
                let mut area = vec![7u8; 2 * len + 1];
                let at = area.as_mut_ptr().add(len);
                asm!("dc zva, {}", in(reg) at);
                say!("zero a block: {}", area.iter().filter(|b| **b == 0).count() == len);
            }
            let (t1, t2): (u64, u64);
            asm!("mrs {}, cntvct_el0", out(reg) t1);
            asm!("isb", "mrs {}, cntvct_el0", out(reg) t2);
            say!("counter: {}", t2 >= t1);
        }
    }
}
