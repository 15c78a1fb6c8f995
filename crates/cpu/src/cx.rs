//! How instruction semantics reach the machine state.
//!
//! Each instruction's meaning is one function over [`Cx`]; the engine instantiates it with contexts
//! that keep registers in different places (handler arguments, memory) and reach guest memory
//! in different ways (inlined TLB check, full address space).

use crate::quadword;

/// The instruction did not complete and changed nothing; the context knows why.
///
/// In a fast context it only means "run the whole instruction again on the slow path".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trap;

/// Result of one instruction, or of one part of it that may trap.
pub(crate) type Step<T = ()> = Result<T, Trap>;

/// Why an instruction cannot complete for a reason other than a memory fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exception {
    /// The encoding is not allocated, or not implemented here.
    Undefined,
    /// `SVC`: a system call.
    Syscall,
    /// `BRK` with its comment field.
    Breakpoint(u16),
    /// An access that must be aligned was not (SIGBUS, BUS_ADRALN).
    Alignment {
        /// Guest address of the access.
        addr: u64,
    },
}

/// An integer that one guest memory access can move, little-endian.
pub(crate) trait Scalar: Copy + Sized + 'static {
    /// Bytes.
    const SIZE: u64;
    /// Zero-extends.
    fn to_u128(self) -> u128;
    /// Truncates.
    fn from_u128(v: u128) -> Self;
    /// Reads from host memory that another guest thread may be writing.
    ///
    /// # Safety
    /// `p` must be valid for reading `SIZE` bytes; any alignment.
    unsafe fn read(p: *const u8) -> Self;
    /// Writes host memory that another guest thread may be reading.
    ///
    /// # Safety
    /// `p` must be valid for writing `SIZE` bytes; any alignment.
    unsafe fn write(self, p: *mut u8);
    /// As [`Scalar::read`] for two adjacent values. Pairs of 4 bytes, and of 8 that are aligned to 16, are one access.
    ///
    /// # Safety
    /// As for `read`, of `2 * SIZE` bytes.
    #[inline(always)]
    unsafe fn read_pair(p: *const u8) -> (Self, Self) {
        // SAFETY: the caller's promise.
        unsafe { (Self::read(p), Self::read(p.add(Self::SIZE as usize))) }
    }
    /// As [`Scalar::write`] for two adjacent values; accesses as in [`Scalar::read_pair`].
    ///
    /// # Safety
    /// As for `write`, of `2 * SIZE` bytes.
    #[inline(always)]
    unsafe fn write_pair(a: Self, b: Self, p: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            a.write(p);
            b.write(p.add(Self::SIZE as usize));
        }
    }
}

macro_rules! scalar {
    ($($t:ty $({$($pair:tt)*})?),*) => {$(
        impl Scalar for $t {
            $($($pair)*)?
            const SIZE: u64 = size_of::<$t>() as u64;
            #[inline(always)]
            fn to_u128(self) -> u128 {
                self as u128
            }
            #[inline(always)]
            fn from_u128(v: u128) -> Self {
                v as $t
            }
            #[inline(always)]
            unsafe fn read(p: *const u8) -> Self {
                // SAFETY: the caller's promise; guest data races are confined to plain bytes that
                // no Rust reference covers.
                unsafe { <$t>::from_le(p.cast::<$t>().read_unaligned()) }
            }
            #[inline(always)]
            unsafe fn write(self, p: *mut u8) {
                // SAFETY: as for `read`.
                unsafe { p.cast::<$t>().write_unaligned(self.to_le()) }
            }
        }
    )*};
}
scalar!(
    u8,
    u16,
    u32 {
        #[inline(always)]
        unsafe fn read_pair(p: *const u8) -> (u32, u32) {
            // SAFETY: the caller's promise.
            let v = unsafe { u64::read(p) };
            (v as u32, (v >> 32) as u32)
        }
        #[inline(always)]
        unsafe fn write_pair(a: u32, b: u32, p: *mut u8) {
            // SAFETY: the caller's promise.
            unsafe { (u64::from(a) | u64::from(b) << 32).write(p) }
        }
    },
    u64 {
        #[inline(always)]
        unsafe fn read_pair(p: *const u8) -> (u64, u64) {
            // SAFETY: the caller's promise.
            unsafe { quadword::read_halves(p) }
        }
        #[inline(always)]
        unsafe fn write_pair(a: u64, b: u64, p: *mut u8) {
            // SAFETY: the caller's promise.
            unsafe { quadword::write_halves(a, b, p) }
        }
    }
);

impl Scalar for u128 {
    const SIZE: u64 = 16;
    #[inline(always)]
    fn to_u128(self) -> u128 {
        self
    }
    #[inline(always)]
    fn from_u128(v: u128) -> Self {
        v
    }
    #[inline(always)]
    unsafe fn read(p: *const u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe { quadword::read(p) }
    }
    #[inline(always)]
    unsafe fn write(self, p: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { quadword::write(self, p) }
    }
}

/// What the exclusive monitor of a thread holds: address, length and value of the last `LDXR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Monitor {
    /// Guest address.
    pub(crate) addr: u64,
    /// Bytes; 0 when the monitor is open.
    pub(crate) size: u64,
    /// What was loaded, zero-extended.
    pub(crate) value: u128,
}

impl Monitor {
    /// No exclusive access is under way.
    pub(crate) const OPEN: Monitor = Monitor {
        addr: !0,
        size: 0,
        value: 0,
    };
}

/// Access to the state of one guest thread.
///
/// Rules for instruction bodies:
/// * memory accesses come before the first register write, so that a trap leaves no trace;
/// * a store made of several accesses starts with [`Cx::probe_write`] over all of them;
/// * register number 31 means zero for `x`/`w` and the stack pointer for `xsp`.
pub(crate) trait Cx {
    /// Rare cases trap, to be done again in a context where they need not be fast.
    const FAST: bool = false;

    /// Reads X`r`; 31 reads zero.
    fn x(&self, r: u8) -> u64;
    /// Writes X`r`; 31 discards.
    fn set_x(&mut self, r: u8, v: u64);
    /// Reads X`r`; 31 is SP.
    fn xsp(&self, r: u8) -> u64;
    /// Writes X`r`; 31 is SP.
    fn set_xsp(&mut self, r: u8, v: u64);
    /// Reads V`r`.
    fn v(&self, r: u8) -> u128;
    /// Writes V`r`.
    fn set_v(&mut self, r: u8, v: u128);
    /// The address of this instruction.
    fn pc(&self) -> u64;

    /// Condition flags, NZCV in bits 31 to 28.
    fn nzcv(&self) -> u32;
    /// Sets the condition flags from bits 31 to 28.
    fn set_nzcv(&mut self, nzcv: u32);
    /// Sets the flags as `a + b` does (operands already truncated for 32 bits).
    fn flags_add(&mut self, sf: bool, a: u64, b: u64);
    /// Sets the flags as `a - b` does (operands already truncated for 32 bits).
    fn flags_sub(&mut self, sf: bool, a: u64, b: u64);
    /// Sets N and Z from a logical result, clears C and V.
    fn flags_logic(&mut self, sf: bool, r: u64);
    /// Whether condition `cond` (0 to 15) holds.
    fn cond(&self, cond: u8) -> bool;
    /// All ones if the condition that the previous op evaluated held, else 0 (engine ops only).
    fn condition(&self) -> u64 {
        0
    }

    /// Floating-point control register.
    fn fpcr(&self) -> u32;
    /// Writes the floating-point control register.
    fn set_fpcr(&mut self, v: u32);
    /// Floating-point status register, less what [`crate::hostfp`] has yet to report.
    fn fpsr(&self) -> u32;
    /// Writes the floating-point status register.
    fn set_fpsr(&mut self, v: u32);
    /// PSTATE.DIT.
    fn dit(&self) -> bool;
    /// Writes PSTATE.DIT.
    fn set_dit(&mut self, v: bool);
    /// TPIDR_EL0.
    fn tpidr(&self) -> u64;
    /// Writes TPIDR_EL0.
    fn set_tpidr(&mut self, v: u64);

    /// Loads from guest memory; any alignment.
    fn load<T: Scalar>(&mut self, addr: u64) -> Step<T>;
    /// Stores to guest memory; any alignment. Nothing is written when it traps.
    fn store<T: Scalar>(&mut self, addr: u64, v: T) -> Step;
    /// Makes sure that `len` bytes (at most one page) can be read.
    fn probe_read(&mut self, addr: u64, len: u64) -> Step;
    /// Makes sure that `len` bytes (at most one page) can be written.
    fn probe_write(&mut self, addr: u64, len: u64) -> Step;
    /// Host address of `len` guest bytes within 16 aligned ones, for an atomic access; traps with
    /// an alignment fault otherwise. Naturally aligned in a fast context. `write` asks for write
    /// permission. The pointer must be used at once, within this instruction.
    fn atomic_ptr(&mut self, addr: u64, len: u64, write: bool) -> Step<*mut u8>;

    /// Copies `len` guest bytes, which cross no page at either end, as memmove does. A fault is at
    /// the last byte if `backward`, else at the first.
    fn copy_bytes(&mut self, to: u64, from: u64, len: u64, backward: bool) -> Step;
    /// Sets `len` guest bytes, which cross no page.
    fn fill_bytes(&mut self, to: u64, len: u64, byte: u8) -> Step;

    /// The exclusive monitor.
    fn monitor(&self) -> Monitor;
    /// Sets the exclusive monitor.
    fn set_monitor(&mut self, m: Monitor);
    /// Drops translations of the code in `len` bytes at `addr`.
    fn invalidate_code(&mut self, addr: u64, len: u64) -> Step;
    /// Makes sure that what other threads invalidated is not executed after this instruction.
    fn synchronize_context(&mut self) -> Step;

    /// Branches: execution continues at `target` after this instruction.
    fn jump(&mut self, target: u64);
    /// Records why this instruction cannot complete.
    fn exception(&mut self, e: Exception) -> Trap;

    /// Loads two adjacent values.
    #[inline(always)]
    fn load_pair<T: Scalar>(&mut self, addr: u64) -> Step<(T, T)> {
        let a = self.load(addr)?;
        let b = self.load(addr.wrapping_add(T::SIZE))?;
        Ok((a, b))
    }
    /// Stores two adjacent values. Nothing is written when it traps.
    #[inline(always)]
    fn store_pair<T: Scalar>(&mut self, addr: u64, a: T, b: T) -> Step {
        self.probe_write(addr, 2 * T::SIZE)?;
        self.store(addr, a)?;
        self.store(addr.wrapping_add(T::SIZE), b)
    }
    /// Loads two adjacent values and hands them over, after `before`, which runs when nothing can
    /// trap any more.
    #[inline(always)]
    fn load_pair_to<T: Scalar>(
        &mut self,
        addr: u64,
        before: impl FnOnce(&mut Self),
        first: impl FnOnce(&mut Self, T),
        second: impl FnOnce(&mut Self, T),
    ) -> Step {
        let (a, b) = self.load_pair(addr)?;
        before(self);
        first(self, a);
        second(self, b);
        Ok(())
    }
    /// Stores two adjacent values as [`Cx::store_pair`] does.
    #[inline(always)]
    fn store_pair_from<T: Scalar>(
        &mut self,
        addr: u64,
        first: impl FnOnce(&Self) -> T,
        second: impl FnOnce(&Self) -> T,
    ) -> Step {
        let (a, b) = (first(self), second(self));
        self.store_pair(addr, a, b)
    }
    /// Reads W`r`; 31 reads zero.
    #[inline(always)]
    fn w(&self, r: u8) -> u32 {
        self.x(r) as u32
    }
    /// Writes W`r`, clearing the upper half of X`r`.
    #[inline(always)]
    fn set_w(&mut self, r: u8, v: u32) {
        self.set_x(r, u64::from(v));
    }
    /// Reads X`r`, or W`r` zero-extended when `sf` is false.
    #[inline(always)]
    fn xw(&self, sf: bool, r: u8) -> u64 {
        if sf { self.x(r) } else { u64::from(self.w(r)) }
    }
    /// Writes X`r`, or W`r` when `sf` is false.
    #[inline(always)]
    fn set_xw(&mut self, sf: bool, r: u8, v: u64) {
        self.set_x(r, if sf { v } else { u64::from(v as u32) });
    }
    /// Low 64 bits of V`r`.
    #[inline(always)]
    fn d(&self, r: u8) -> u64 {
        self.v(r) as u64
    }
    /// Low 32 bits of V`r`.
    #[inline(always)]
    fn s(&self, r: u8) -> u32 {
        self.v(r) as u32
    }
    /// Low 16 bits of V`r`.
    #[inline(always)]
    fn h(&self, r: u8) -> u16 {
        self.v(r) as u16
    }
    /// Writes the low 64 bits of V`r` and clears the rest.
    #[inline(always)]
    fn set_d(&mut self, r: u8, v: u64) {
        self.set_v(r, u128::from(v));
    }
    /// Writes the low 32 bits of V`r` and clears the rest.
    #[inline(always)]
    fn set_s(&mut self, r: u8, v: u32) {
        self.set_v(r, u128::from(v));
    }
    /// Writes the low 16 bits of V`r` and clears the rest.
    #[inline(always)]
    fn set_h(&mut self, r: u8, v: u16) {
        self.set_v(r, u128::from(v));
    }
    /// Sets cumulative exception bits in FPSR.
    #[inline(always)]
    fn raise(&mut self, bits: u32) {
        let old = self.fpsr();
        if old & bits != bits {
            self.set_fpsr(old | bits);
        }
    }
    /// The instruction is undefined.
    #[inline(always)]
    fn undefined(&mut self) -> Trap {
        self.exception(Exception::Undefined)
    }
}
