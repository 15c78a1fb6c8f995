//! The complete context: all registers in memory, guest memory through the TLB or else the address
//! space, precise exceptions.

use tuxlet_mem::{Access, PAGE_MASK, PAGE_SIZE};

use super::cache;
use super::cpu::{Cpu, NO_ADDR};
use super::op::{SLOT_SP, SLOT_ZERO};
use crate::cx::{Cx, Exception, Monitor, Scalar, Step, Trap};
use crate::flags::{Flags, Kind, place};
use crate::{Exit, Watch};

/// Removes the tag of an address: loads and stores ignore the top byte. Addresses of the kernel's
/// half, told by bit 55, keep it; no program has memory there.
#[inline]
pub(crate) fn untag(addr: u64) -> u64 {
    addr & ((addr << 8) as i64 >> 8) as u64
}

impl Cpu {
    /// Keeps an access from happening that a watchpoint is for.
    #[inline]
    fn watch(&mut self, addr: u64, len: u64, load: bool, store: bool) -> Step {
        if self.watches.is_empty() {
            return Ok(());
        }
        let wanted = |w: &&Watch| {
            (w.load && load || w.store && store) && addr < w.end && w.start < addr.wrapping_add(len)
        };
        match self.watches.iter().find(wanted) {
            Some(watch) => {
                let addr = addr.max(watch.start);
                self.exit = Some(Exit::Watchpoint { addr });
                Err(Trap)
            }
            None => Ok(()),
        }
    }

    /// Keeps what has just been accessed out of the TLB, so that the next access is looked at, too.
    #[inline]
    pub(crate) fn forget_watched(&mut self, addr: u64, len: u64) {
        if !self.watches.is_empty() {
            self.tlb.flush_page(addr);
            self.tlb.flush_page(addr.wrapping_add(len).wrapping_sub(1));
        }
    }

    /// Host address of `len` guest bytes that do not cross a page.
    fn translate(&mut self, addr: u64, len: u64, access: Access) -> Step<*mut u8> {
        loop {
            if let Some(p) = self.tlb.lookup(addr, len, access == Access::Write) {
                return Ok(p);
            }
            self.fill(addr, access)?;
        }
    }

    /// Asks the address space to put a page into the TLB.
    fn fill(&mut self, addr: u64, access: Access) -> Step {
        self.mm.fault(&mut self.tlb, addr, access).map_err(|fault| {
            self.exit = Some(Exit::Fault(fault));
            Trap
        })
    }

    /// Host addresses of the two parts of an access that crosses into another page, and the length
    /// of the first part.
    #[inline(never)]
    fn translate_split(
        &mut self,
        addr: u64,
        len: u64,
        access: Access,
    ) -> Step<(*mut u8, *mut u8, usize)> {
        let first = PAGE_SIZE - (addr & PAGE_MASK);
        let second = addr.wrapping_add(first);
        loop {
            let a = self.translate(addr, first, access)?;
            let b = self.translate(second, len - first, access)?;
            // Filling the second entry may have cost the first.
            if self.tlb.lookup(addr, first, access == Access::Write) == Some(a) {
                return Ok((a, b, first as usize));
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn load_slow<T: Scalar>(&mut self, addr: u64) -> Step<T> {
        let addr = untag(addr);
        self.watch(addr, T::SIZE, true, false)?;
        if addr & PAGE_MASK <= PAGE_SIZE - T::SIZE {
            let p = self.translate(addr, T::SIZE, Access::Read)?;
            self.forget_watched(addr, T::SIZE);
            // SAFETY: the TLB vouches for the bytes while in guest mode.
            return Ok(unsafe { T::read(p) });
        }
        let (a, b, first) = self.translate_split(addr, T::SIZE, Access::Read)?;
        self.forget_watched(addr, T::SIZE);
        let mut v = 0u128;
        for i in 0..T::SIZE as usize {
            // SAFETY: `first` bytes at `a` and the rest at `b` are readable.
            let byte = unsafe {
                if i < first {
                    a.add(i).read()
                } else {
                    b.add(i - first).read()
                }
            };
            v |= u128::from(byte) << (8 * i);
        }
        Ok(T::from_u128(v))
    }

    #[cold]
    #[inline(never)]
    fn store_slow<T: Scalar>(&mut self, addr: u64, v: T) -> Step {
        let addr = untag(addr);
        self.watch(addr, T::SIZE, false, true)?;
        if addr & PAGE_MASK <= PAGE_SIZE - T::SIZE {
            let p = self.translate(addr, T::SIZE, Access::Write)?;
            self.forget_watched(addr, T::SIZE);
            // SAFETY: the TLB vouches for the bytes while in guest mode.
            unsafe { v.write(p) };
            return Ok(());
        }
        let (a, b, first) = self.translate_split(addr, T::SIZE, Access::Write)?;
        self.forget_watched(addr, T::SIZE);
        let v = v.to_u128();
        for i in 0..T::SIZE as usize {
            let byte = (v >> (8 * i)) as u8;
            // SAFETY: `first` bytes at `a` and the rest at `b` are writable.
            unsafe {
                if i < first {
                    a.add(i).write(byte)
                } else {
                    b.add(i - first).write(byte)
                }
            }
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn load_pair_slow<T: Scalar>(&mut self, addr: u64) -> Step<(T, T)> {
        let addr = untag(addr);
        self.watch(addr, 2 * T::SIZE, true, false)?;
        if addr & PAGE_MASK <= PAGE_SIZE - 2 * T::SIZE {
            let p = self.translate(addr, 2 * T::SIZE, Access::Read)?;
            self.forget_watched(addr, 2 * T::SIZE);
            // SAFETY: the TLB vouches for the bytes while in guest mode.
            return Ok(unsafe { T::read_pair(p) });
        }
        Ok((self.load(addr)?, self.load(addr.wrapping_add(T::SIZE))?))
    }

    #[cold]
    #[inline(never)]
    fn store_pair_slow<T: Scalar>(&mut self, addr: u64, a: T, b: T) -> Step {
        let addr = untag(addr);
        self.watch(addr, 2 * T::SIZE, false, true)?;
        if addr & PAGE_MASK <= PAGE_SIZE - 2 * T::SIZE {
            let p = self.translate(addr, 2 * T::SIZE, Access::Write)?;
            self.forget_watched(addr, 2 * T::SIZE);
            // SAFETY: the TLB vouches for the bytes while in guest mode.
            unsafe { T::write_pair(a, b, p) };
            return Ok(());
        }
        self.probe_write(addr, 2 * T::SIZE)?;
        self.store(addr, a)?;
        self.store(addr.wrapping_add(T::SIZE), b)
    }

    #[cold]
    #[inline(never)]
    fn probe_slow(&mut self, addr: u64, len: u64, access: Access) -> Step {
        let addr = untag(addr);
        let write = access == Access::Write;
        self.watch(addr, len, !write, write)?;
        if addr & PAGE_MASK <= PAGE_SIZE - len {
            self.translate(addr, len, access)?;
        } else {
            self.translate_split(addr, len, access)?;
        }
        self.forget_watched(addr, len);
        Ok(())
    }
}

impl Cx for Cpu {
    #[inline(always)]
    fn x(&self, r: u8) -> u64 {
        self.regs[usize::from(r & 31)]
    }
    #[inline(always)]
    fn set_x(&mut self, r: u8, v: u64) {
        if r != SLOT_ZERO {
            self.regs[usize::from(r & 31)] = v;
        }
    }
    #[inline(always)]
    fn xsp(&self, r: u8) -> u64 {
        self.regs[usize::from(if r == 31 { SLOT_SP } else { r & 31 })]
    }
    #[inline(always)]
    fn set_xsp(&mut self, r: u8, v: u64) {
        self.regs[usize::from(if r == 31 { SLOT_SP } else { r & 31 })] = v;
    }
    #[inline(always)]
    fn v(&self, r: u8) -> u128 {
        self.v[usize::from(r & 31)]
    }
    #[inline(always)]
    fn set_v(&mut self, r: u8, v: u128) {
        self.v[usize::from(r & 31)] = v;
    }
    #[inline]
    fn pc(&self) -> u64 {
        if self.ip.is_null() {
            self.pc
        } else {
            // SAFETY: `ip` is an op of the code cache, which is alive.
            unsafe { cache::pc_of(self.ip) }
        }
    }
    #[inline(always)]
    fn nzcv(&self) -> u32 {
        self.flags.nzcv()
    }
    #[inline(always)]
    fn set_nzcv(&mut self, nzcv: u32) {
        self.flags = Flags::from_nzcv(nzcv);
    }
    #[inline(always)]
    fn flags_add(&mut self, sf: bool, a: u64, b: u64) {
        self.flags = Flags {
            a: place(sf, a),
            b: place(sf, b),
            kind: Kind::Add,
        };
    }
    #[inline(always)]
    fn flags_sub(&mut self, sf: bool, a: u64, b: u64) {
        self.flags = Flags {
            a: place(sf, a),
            b: place(sf, b),
            kind: Kind::Sub,
        };
    }
    #[inline(always)]
    fn flags_logic(&mut self, sf: bool, r: u64) {
        self.flags = Flags {
            a: place(sf, r),
            b: 0,
            kind: Kind::Logic,
        };
    }
    #[inline(always)]
    fn cond(&self, cond: u8) -> bool {
        self.flags.holds(cond)
    }
    #[inline(always)]
    fn fpcr(&self) -> u32 {
        self.fpcr
    }
    #[inline(always)]
    fn set_fpcr(&mut self, v: u32) {
        self.fpcr = v;
    }
    #[inline(always)]
    fn fpsr(&self) -> u32 {
        self.fpsr
    }
    #[inline(always)]
    fn set_fpsr(&mut self, v: u32) {
        self.fpsr = v;
    }
    #[inline(always)]
    fn dit(&self) -> bool {
        self.dit
    }
    #[inline(always)]
    fn set_dit(&mut self, v: bool) {
        self.dit = v;
    }
    #[inline(always)]
    fn tpidr(&self) -> u64 {
        self.tpidr
    }
    #[inline(always)]
    fn set_tpidr(&mut self, v: u64) {
        self.tpidr = v;
    }
    #[inline(always)]
    fn load<T: Scalar>(&mut self, addr: u64) -> Step<T> {
        match self.tlb.lookup(addr, T::SIZE, false) {
            // SAFETY: the TLB vouches for the bytes while in guest mode.
            Some(p) => Ok(unsafe { T::read(p) }),
            None => self.load_slow(addr),
        }
    }
    #[inline(always)]
    fn store<T: Scalar>(&mut self, addr: u64, v: T) -> Step {
        match self.tlb.lookup(addr, T::SIZE, true) {
            Some(p) => {
                // SAFETY: the TLB vouches for the bytes while in guest mode.
                unsafe { v.write(p) };
                Ok(())
            }
            None => self.store_slow(addr, v),
        }
    }
    #[inline(always)]
    fn load_pair<T: Scalar>(&mut self, addr: u64) -> Step<(T, T)> {
        match self.tlb.lookup(addr, 2 * T::SIZE, false) {
            // SAFETY: the TLB vouches for the bytes while in guest mode.
            Some(p) => Ok(unsafe { T::read_pair(p) }),
            None => self.load_pair_slow(addr),
        }
    }
    #[inline(always)]
    fn store_pair<T: Scalar>(&mut self, addr: u64, a: T, b: T) -> Step {
        match self.tlb.lookup(addr, 2 * T::SIZE, true) {
            Some(p) => {
                // SAFETY: the TLB vouches for the bytes while in guest mode.
                unsafe { T::write_pair(a, b, p) };
                Ok(())
            }
            None => self.store_pair_slow(addr, a, b),
        }
    }
    #[inline(always)]
    fn probe_read(&mut self, addr: u64, len: u64) -> Step {
        match self.tlb.lookup(addr, len, false) {
            Some(_) => Ok(()),
            None => self.probe_slow(addr, len, Access::Read),
        }
    }
    #[inline(always)]
    fn probe_write(&mut self, addr: u64, len: u64) -> Step {
        match self.tlb.lookup(addr, len, true) {
            Some(_) => Ok(()),
            None => self.probe_slow(addr, len, Access::Write),
        }
    }
    #[inline]
    fn atomic_ptr(&mut self, addr: u64, len: u64, write: bool) -> Step<*mut u8> {
        if (addr & 15) + len > 16 {
            return Err(self.exception(Exception::Alignment { addr }));
        }
        let addr = untag(addr);
        // What writes here reads as well.
        self.watch(addr, len, true, write)?;
        let access = if write { Access::Write } else { Access::Read };
        let p = self.translate(addr, len, access)?;
        self.forget_watched(addr, len);
        Ok(p)
    }
    fn copy_bytes(&mut self, to: u64, from: u64, len: u64, backward: bool) -> Step {
        let (to, from) = (untag(to), untag(from));
        self.watch(from, len, true, false)?;
        self.watch(to, len, false, true)?;
        let at = if backward { len - 1 } else { 0 };
        let first = if backward { 1 } else { len };
        loop {
            let src = self.translate(from + at, first, Access::Read)?;
            let dst = self.translate(to + at, first, Access::Write)?;
            // Filling the second entry may have cost the first.
            if self.tlb.lookup(from + at, first, false) == Some(src) {
                let (src, dst) = (src.wrapping_sub(at as usize), dst.wrapping_sub(at as usize));
                // SAFETY: the TLB vouches for both pages while in guest mode, and neither range
                // leaves its page.
                unsafe { core::ptr::copy(src, dst, len as usize) };
                self.forget_watched(from, len);
                self.forget_watched(to, len);
                return Ok(());
            }
        }
    }
    fn fill_bytes(&mut self, to: u64, len: u64, byte: u8) -> Step {
        let to = untag(to);
        self.watch(to, len, false, true)?;
        let p = self.translate(to, len, Access::Write)?;
        // SAFETY: the TLB vouches for the bytes while in guest mode.
        unsafe { p.write_bytes(byte, len as usize) };
        self.forget_watched(to, len);
        Ok(())
    }
    #[inline]
    fn monitor(&self) -> Monitor {
        self.monitor
    }
    #[inline]
    fn set_monitor(&mut self, m: Monitor) {
        self.monitor = m;
    }
    fn invalidate_code(&mut self, addr: u64, len: u64) -> Step {
        let addr = untag(addr);
        self.code.invalidate_range(addr, addr.saturating_add(len));
        Ok(())
    }
    fn synchronize_context(&mut self) -> Step {
        // Go through the lookup of translations, which takes note of invalidations.
        if self.code.generation() != self.generation {
            let next = self.pc().wrapping_add(4);
            self.jump(next);
        }
        Ok(())
    }
    #[inline(always)]
    fn jump(&mut self, target: u64) {
        debug_assert_ne!(target, NO_ADDR);
        self.jump_to = target;
    }
    #[cold]
    fn exception(&mut self, e: Exception) -> Trap {
        self.exit = Some(match e {
            // Who asked for the instruction knows its word.
            Exception::Undefined => Exit::Undefined { word: 0 },
            Exception::Syscall => Exit::Syscall,
            Exception::Breakpoint(comment) => Exit::Breakpoint(comment),
            Exception::Alignment { addr } => Exit::Unaligned { addr },
        });
        Trap
    }
}
