//! The context of fast handlers: four registers in handler arguments, the rest in memory, guest memory through the TLB
//! only.

use tuxlet_mem::{TLB_ENTRIES, TlbEntry};

use super::cpu::Cpu;
use super::op::{Op, PINNED, PLACE_SP, SLOT_PINNED, SLOT_SP};
use crate::cx::{Cx, Exception, Monitor, Scalar, Step, Trap};
use crate::flags::{Flags, Kind, place};

const P1: u8 = SLOT_PINNED + 1;
const P2: u8 = SLOT_PINNED + 2;
const P3: u8 = SLOT_PINNED + 3;

/// Registers of a running handler. Register numbers are *slots* (see `op`): the translator has
/// already told XZR from SP. Without `PINS` all slots are in memory and the arguments are stale.
///
/// With `LATE`, a result that goes to memory goes to the slot that the op names first, or to the V register in bits 4 to
/// 0 of its word: what was looked up before is not held in a register meanwhile.
pub(crate) struct Fast<const PINS: bool, const LATE: bool = false> {
    /// The running op.
    pub(crate) op: *const Op,
    pub(crate) cpu: *mut Cpu,
    pub(crate) p0: u64,
    pub(crate) p1: u64,
    pub(crate) p2: u64,
    pub(crate) p3: u64,
}

/// Registers of a handler with the pinned ones in its arguments.
pub(crate) type Pinned = Fast<true>;

/// The slot an operand is in, given its placement: 0 to 3 for a handler argument, 4 for memory,
/// [`PLACE_SP`].
///
/// # Safety
/// The op must have been emitted for this placement.
#[inline(always)]
pub(crate) unsafe fn slot<const PLACE: u8>(r: u8) -> u8 {
    if PLACE < PINNED {
        SLOT_PINNED + PLACE
    } else if PLACE == PLACE_SP {
        SLOT_SP
    } else {
        // SAFETY: the caller's promise.
        unsafe { core::hint::assert_unchecked(r < SLOT_PINNED) };
        r
    }
}

/// As [`Pinned`], with `LATE`.
pub(crate) type Late = Fast<true, true>;

impl<const PINS: bool, const LATE: bool> Fast<PINS, LATE> {
    /// The registers of the running handler, whose arguments these are.
    #[inline(always)]
    pub(crate) fn new(op: *const Op, cpu: *mut Cpu, p0: u64, p1: u64, p2: u64, p3: u64) -> Self {
        Fast {
            op,
            cpu,
            p0,
            p1,
            p2,
            p3,
        }
    }

    /// Value of a slot.
    #[inline(always)]
    pub(crate) fn get(&self, slot: u8) -> u64 {
        match slot {
            SLOT_PINNED if PINS => self.p0,
            P1 if PINS => self.p1,
            P2 if PINS => self.p2,
            P3 if PINS => self.p3,
            // SAFETY: slots in ops are below SLOTS; `cpu` is this thread's.
            r => unsafe { *(&raw const (*self.cpu).regs).cast::<u64>().add(r as usize) },
        }
    }

    /// Sets a slot.
    #[inline(always)]
    pub(crate) fn set(&mut self, slot: u8, v: u64) {
        match slot {
            SLOT_PINNED if PINS => self.p0 = v,
            P1 if PINS => self.p1 = v,
            P2 if PINS => self.p2 = v,
            P3 if PINS => self.p3 = v,
            r => self.set_in_memory(r, v),
        }
    }

    /// Sets a slot in memory.
    #[inline(always)]
    fn set_in_memory(&mut self, r: u8, v: u64) {
        let r = if LATE {
            self.op = self.settle(self.op);
            // SAFETY: `op` is the running op.
            unsafe { slot::<PINNED>((*self.op).r[0]) }
        } else {
            r
        };
        // SAFETY: slots in ops are below SLOTS; `cpu` is this thread's.
        unsafe { *(&raw mut (*self.cpu).regs).cast::<u64>().add(r as usize) = v }
    }

    /// The V register to write where the instruction says `r`.
    #[inline(always)]
    fn destination(&mut self, r: u8) -> usize {
        if LATE {
            self.op = self.settle(self.op);
            // SAFETY: `op` is the running op.
            unsafe { (*self.op).imm as usize & 31 }
        } else {
            usize::from(r & 31)
        }
    }

    /// Stores the handler arguments to the slots that stand for them.
    #[inline(always)]
    pub(crate) fn spill(&self) {
        // SAFETY: `cpu` is this thread's.
        let regs = unsafe { &mut (*self.cpu).regs };
        regs[usize::from(SLOT_PINNED)] = self.p0;
        regs[usize::from(P1)] = self.p1;
        regs[usize::from(P2)] = self.p2;
        regs[usize::from(P3)] = self.p3;
    }

    /// Loads the handler arguments from the slots that stand for them.
    ///
    /// # Safety
    /// `cpu` must be this thread's.
    #[inline(always)]
    pub(crate) unsafe fn reload(cpu: *mut Cpu) -> Self {
        // SAFETY: the caller's promise.
        let regs = unsafe { &(*cpu).regs };
        Fast::new(
            core::ptr::null(),
            cpu,
            regs[usize::from(SLOT_PINNED)],
            regs[usize::from(P1)],
            regs[usize::from(P2)],
            regs[usize::from(P3)],
        )
    }

    /// Stores the pinned registers to their own slots: those of the full context.
    #[inline(always)]
    pub(crate) fn store_home(&self) {
        // SAFETY: `cpu` is this thread's.
        let cpu = unsafe { &mut *self.cpu };
        let [a, b, c, d] = cpu.pins;
        cpu.regs[usize::from(a & 31)] = self.p0;
        cpu.regs[usize::from(b & 31)] = self.p1;
        cpu.regs[usize::from(c & 31)] = self.p2;
        cpu.regs[usize::from(d & 31)] = self.p3;
    }

    /// Loads the pinned registers from their own slots.
    ///
    /// # Safety
    /// `cpu` must be this thread's.
    #[inline(always)]
    pub(crate) unsafe fn load_home(cpu: *mut Cpu) -> Self {
        // SAFETY: the caller's promise.
        let state = unsafe { &*cpu };
        let [a, b, c, d] = state.pins.map(|r| state.regs[usize::from(r & 31)]);
        Fast::new(core::ptr::null(), cpu, a, b, c, d)
    }

    /// The lazy flags.
    #[inline(always)]
    pub(crate) fn flags(&self) -> Flags {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).flags }
    }

    #[inline(always)]
    fn set_flags(&mut self, kind: Kind, a: u64, b: u64) {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).flags = Flags { a, b, kind } };
    }

    /// Host address of `len` guest bytes within a page, if the TLB has it.
    #[inline(always)]
    pub(crate) fn host<const WRITE: bool>(&self, addr: u64, len: u64) -> Step<*mut u8> {
        // SAFETY: `cpu` is this thread's; the index is masked to the table.
        // The volatile read keeps LLVM from sinking it behind the comparison, where the address
        // would have to be computed again.
        let (page, host) = unsafe {
            let tlb = &raw const (*self.cpu).tlb;
            let table = if WRITE {
                &raw const (*tlb).write
            } else {
                &raw const (*tlb).read
            };
            let e = table.cast::<TlbEntry>().add(tlb_index(addr));
            ((*e).page, (&raw const (*e).host).read_volatile())
        };
        let offset = addr.wrapping_sub(page);
        if offset <= 4096 - len {
            Ok(host.wrapping_add(offset) as *mut u8)
        } else {
            Err(Trap)
        }
    }
}

impl<const PINS: bool, const LATE: bool> Fast<PINS, LATE> {
    /// Makes the compiler forget what it knows of the op at `op` and of the state in memory: from here on, operands
    /// are looked up again, and need not have been held in registers that the handler does not have.
    #[inline(always)]
    pub(crate) fn settle(&mut self, op: *const Op) -> *const Op {
        self.cpu = hide(self.cpu.cast_const()).cast_mut();
        hide(op)
    }
}

/// `p`, of which the compiler does not know that it is. No instruction.
#[inline(always)]
pub(crate) fn hide<P: Pointer>(p: P) -> P {
    p.hide()
}

/// Pointers, for [`hide`].
pub(crate) trait Pointer {
    /// See [`hide`].
    fn hide(self) -> Self;
}

macro_rules! pointer {
    ($($kind:ident)*) => {$(
        impl<T> Pointer for *$kind T {
            #[inline(always)]
            fn hide(self) -> Self {
                let mut p = self;
                // SAFETY: there is no code.
                #[allow(clippy::pointers_in_nomem_asm_block, reason = "nothing is accessed")]
                unsafe {
                    core::arch::asm!("/* {0} */", inout(reg) p, options(nomem, nostack, preserves_flags));
                }
                p
            }
        }
    )*};
}
pointer!(const mut);

/// Index of an address in either table of the TLB.
#[inline(always)]
pub(crate) fn tlb_index(addr: u64) -> usize {
    (addr >> 12) as usize & (TLB_ENTRIES - 1)
}

impl<const PINS: bool, const LATE: bool> Cx for Fast<PINS, LATE> {
    const FAST: bool = true;

    #[inline(always)]
    fn x(&self, r: u8) -> u64 {
        self.get(r)
    }
    #[inline(always)]
    fn set_x(&mut self, r: u8, v: u64) {
        self.set(r, v);
    }
    #[inline(always)]
    fn xsp(&self, r: u8) -> u64 {
        self.get(r)
    }
    #[inline(always)]
    fn set_xsp(&mut self, r: u8, v: u64) {
        self.set(r, v);
    }
    #[inline(always)]
    fn v(&self, r: u8) -> u128 {
        // SAFETY: V register numbers are five bits wide; `cpu` is this thread's.
        unsafe {
            *(&raw const (*self.cpu).v)
                .cast::<u128>()
                .add(r as usize & 31)
        }
    }
    #[inline(always)]
    fn set_v(&mut self, r: u8, v: u128) {
        let r = self.destination(r);
        // SAFETY: as for `v`.
        unsafe { *(&raw mut (*self.cpu).v).cast::<u128>().add(r) = v }
    }
    #[inline(always)]
    fn set_d(&mut self, r: u8, v: u64) {
        // One store, so that a load of the whole register need not wait for two.
        #[cfg(target_arch = "x86_64")]
        {
            let r = self.destination(r);
            // SAFETY: as for `v`; a vector of 128 bits is as good as an integer.
            unsafe {
                let to = (&raw mut (*self.cpu).v).cast::<core::arch::x86_64::__m128i>();
                *to.add(r) = core::arch::x86_64::_mm_cvtsi64_si128(v as i64);
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.set_v(r, u128::from(v));
    }
    #[inline(always)]
    fn set_s(&mut self, r: u8, v: u32) {
        self.set_d(r, v.into());
    }
    #[inline(always)]
    fn set_h(&mut self, r: u8, v: u16) {
        self.set_d(r, v.into());
    }
    #[inline(always)]
    fn pc(&self) -> u64 {
        // Fast handlers that need the pc get it as a constant from the translator.
        0
    }
    #[inline(always)]
    fn nzcv(&self) -> u32 {
        self.flags().nzcv()
    }
    #[inline(always)]
    fn set_nzcv(&mut self, nzcv: u32) {
        self.set_flags(Kind::Nzcv, u64::from(nzcv), 0);
    }
    #[inline(always)]
    fn flags_add(&mut self, sf: bool, a: u64, b: u64) {
        self.set_flags(Kind::Add, place(sf, a), place(sf, b));
    }
    #[inline(always)]
    fn flags_sub(&mut self, sf: bool, a: u64, b: u64) {
        self.set_flags(Kind::Sub, place(sf, a), place(sf, b));
    }
    #[inline(always)]
    fn flags_logic(&mut self, sf: bool, r: u64) {
        self.set_flags(Kind::Logic, place(sf, r), 0);
    }
    #[inline(always)]
    fn cond(&self, cond: u8) -> bool {
        self.flags().holds(cond)
    }
    #[inline(always)]
    fn condition(&self) -> u64 {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).mask }
    }
    #[inline(always)]
    fn fpcr(&self) -> u32 {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).fpcr }
    }
    #[inline(always)]
    fn set_fpcr(&mut self, v: u32) {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).fpcr = v };
    }
    #[inline(always)]
    fn fpsr(&self) -> u32 {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).fpsr }
    }
    #[inline(always)]
    fn set_fpsr(&mut self, v: u32) {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).fpsr = v };
    }
    #[inline(always)]
    fn dit(&self) -> bool {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).dit }
    }
    #[inline(always)]
    fn set_dit(&mut self, v: bool) {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).dit = v };
    }
    #[inline(always)]
    fn tpidr(&self) -> u64 {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).tpidr }
    }
    #[inline(always)]
    fn set_tpidr(&mut self, v: u64) {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).tpidr = v };
    }
    #[inline(always)]
    fn load<T: Scalar>(&mut self, addr: u64) -> Step<T> {
        let p = self.host::<false>(addr, T::SIZE)?;
        // SAFETY: the TLB vouches for the whole access, which is within one page.
        Ok(unsafe { T::read(p) })
    }
    #[inline(always)]
    fn store<T: Scalar>(&mut self, addr: u64, v: T) -> Step {
        let p = self.host::<true>(addr, T::SIZE)?;
        // SAFETY: the TLB vouches for the whole access, which is within one page.
        unsafe { v.write(p) };
        Ok(())
    }
    #[inline(always)]
    fn probe_read(&mut self, addr: u64, len: u64) -> Step {
        self.host::<false>(addr, len).map(|_| ())
    }
    #[inline(always)]
    fn probe_write(&mut self, addr: u64, len: u64) -> Step {
        self.host::<true>(addr, len).map(|_| ())
    }
    #[inline(always)]
    fn atomic_ptr(&mut self, addr: u64, len: u64, write: bool) -> Step<*mut u8> {
        if addr & (len - 1) != 0 {
            return Err(Trap);
        }
        if write {
            self.host::<true>(addr, len)
        } else {
            self.host::<false>(addr, len)
        }
    }
    fn copy_bytes(&mut self, _to: u64, _from: u64, _len: u64, _backward: bool) -> Step {
        Err(Trap)
    }
    fn fill_bytes(&mut self, _to: u64, _len: u64, _byte: u8) -> Step {
        Err(Trap)
    }
    #[inline(always)]
    fn monitor(&self) -> Monitor {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).monitor }
    }
    #[inline(always)]
    fn set_monitor(&mut self, m: Monitor) {
        // SAFETY: `cpu` is this thread's.
        unsafe { (*self.cpu).monitor = m };
    }
    #[inline(always)]
    fn invalidate_code(&mut self, _addr: u64, _len: u64) -> Step {
        Err(Trap)
    }
    #[inline(always)]
    fn synchronize_context(&mut self) -> Step {
        Err(Trap)
    }
    #[inline(always)]
    fn load_pair<T: Scalar>(&mut self, addr: u64) -> Step<(T, T)> {
        let p = self.host::<false>(addr, 2 * T::SIZE)?;
        // SAFETY: the TLB vouches for both values, which are within one page.
        unsafe { Ok(T::read_pair(p)) }
    }
    #[inline(always)]
    fn store_pair<T: Scalar>(&mut self, addr: u64, a: T, b: T) -> Step {
        let p = self.host::<true>(addr, 2 * T::SIZE)?;
        // SAFETY: the TLB vouches for both values, which are within one page.
        unsafe { T::write_pair(a, b, p) };
        Ok(())
    }
    #[inline(always)]
    fn load_pair_to<T: Scalar>(
        &mut self,
        addr: u64,
        before: impl FnOnce(&mut Self),
        first: impl FnOnce(&mut Self, T),
        second: impl FnOnce(&mut Self, T),
    ) -> Step {
        // Nothing can trap after the check, so that results need not be held in host registers.
        let p = self.host::<false>(addr, 2 * T::SIZE)?;
        before(self);
        // SAFETY: the TLB vouches for both values, which are within one page.
        let (a, b) = unsafe { T::read_pair(p) };
        first(self, a);
        second(self, b);
        Ok(())
    }
    #[inline(always)]
    fn store_pair_from<T: Scalar>(
        &mut self,
        addr: u64,
        first: impl FnOnce(&Self) -> T,
        second: impl FnOnce(&Self) -> T,
    ) -> Step {
        let p = self.host::<true>(addr, 2 * T::SIZE)?;
        // SAFETY: the TLB vouches for both values, which are within one page.
        unsafe { T::write_pair(first(self), second(self), p) };
        Ok(())
    }
    #[inline(always)]
    fn jump(&mut self, _target: u64) {}
    #[inline(always)]
    fn exception(&mut self, _e: Exception) -> Trap {
        Trap
    }
}
