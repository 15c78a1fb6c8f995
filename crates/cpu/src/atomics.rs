//! Host atomics on guest memory of 1 to 16 bytes, sequentially consistent.

use core::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    Ordering::SeqCst,
};

/// The read-modify-write operations of the instruction set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rmw {
    Add,
    Clear,
    Xor,
    Or,
    SignedMax,
    SignedMin,
    UnsignedMax,
    UnsignedMin,
    Swap,
}

/// All ones in the low `len` bytes.
#[inline(always)]
pub(crate) fn mask(len: u64) -> u128 {
    if len >= 16 {
        u128::MAX
    } else {
        (1 << (8 * len)) - 1
    }
}

/// Loads `len` bytes.
///
/// # Safety
/// `p` must be valid for reading `len` bytes and aligned to `len`, a power of two up to 16.
#[inline(always)]
pub(crate) unsafe fn load(p: *mut u8, len: u64) -> u128 {
    // SAFETY: the caller's promise.
    unsafe {
        match len {
            1 => AtomicU8::from_ptr(p).load(SeqCst).into(),
            2 => AtomicU16::from_ptr(p.cast()).load(SeqCst).into(),
            4 => AtomicU32::from_ptr(p.cast()).load(SeqCst).into(),
            8 => AtomicU64::from_ptr(p.cast()).load(SeqCst).into(),
            _ => wide::load(p.cast()),
        }
    }
}

/// Stores the low `len` bytes of `v`, `len` up to 8.
///
/// # Safety
/// `p` must be valid for writing `len` bytes and aligned to `len`, a power of two up to 8.
#[inline(always)]
pub(crate) unsafe fn store(p: *mut u8, len: u64, v: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        match len {
            1 => AtomicU8::from_ptr(p).store(v as u8, SeqCst),
            2 => AtomicU16::from_ptr(p.cast()).store(v as u16, SeqCst),
            4 => AtomicU32::from_ptr(p.cast()).store(v as u32, SeqCst),
            _ => AtomicU64::from_ptr(p.cast()).store(v, SeqCst),
        }
    }
}

/// Stores `new` if memory holds `expected`; returns what it held.
///
/// # Safety
/// `p` must be valid for writing `len` bytes and aligned to `len`, a power of two up to 16.
#[inline(always)]
pub(crate) unsafe fn compare_exchange(p: *mut u8, len: u64, expected: u128, new: u128) -> u128 {
    macro_rules! cas {
        ($atomic:ident) => {{
            let r = $atomic::from_ptr(p.cast()).compare_exchange(
                expected as _,
                new as _,
                SeqCst,
                SeqCst,
            );
            u128::from(r.unwrap_or_else(|old| old))
        }};
    }
    // SAFETY: the caller's promise.
    unsafe {
        match len {
            1 => cas!(AtomicU8),
            2 => cas!(AtomicU16),
            4 => cas!(AtomicU32),
            8 => cas!(AtomicU64),
            _ => wide::compare_exchange(p.cast(), expected, new),
        }
    }
}

/// Applies `op` with operand `v`; returns the old value.
///
/// # Safety
/// `p` must be valid for writing `len` bytes and aligned to `len`, a power of two up to 8.
#[inline(always)]
pub(crate) unsafe fn rmw(p: *mut u8, len: u64, op: Rmw, v: u64) -> u64 {
    macro_rules! rmw {
        ($unsigned:ident, $signed:ident) => {{
            let (u, s) = ($unsigned::from_ptr(p.cast()), $signed::from_ptr(p.cast()));
            match op {
                Rmw::Add => u.fetch_add(v as _, SeqCst).into(),
                Rmw::Clear => u.fetch_and(!v as _, SeqCst).into(),
                Rmw::Xor => u.fetch_xor(v as _, SeqCst).into(),
                Rmw::Or => u.fetch_or(v as _, SeqCst).into(),
                Rmw::SignedMax => s.fetch_max(v as _, SeqCst) as u64 & mask(len) as u64,
                Rmw::SignedMin => s.fetch_min(v as _, SeqCst) as u64 & mask(len) as u64,
                Rmw::UnsignedMax => u.fetch_max(v as _, SeqCst).into(),
                Rmw::UnsignedMin => u.fetch_min(v as _, SeqCst).into(),
                Rmw::Swap => u.swap(v as _, SeqCst).into(),
            }
        }};
    }
    // SAFETY: the caller's promise.
    unsafe {
        match len {
            1 => rmw!(AtomicU8, AtomicI8),
            2 => rmw!(AtomicU16, AtomicI16),
            4 => rmw!(AtomicU32, AtomicI32),
            _ => rmw!(AtomicU64, AtomicI64),
        }
    }
}

/// Accesses that are not naturally aligned, but lie within 16 aligned bytes (FEAT_LSE2): all work on
/// those 16 bytes.
pub(crate) mod within {
    use super::{Rmw, mask, wide};

    /// The 16 aligned bytes that hold `p`, and the bit at which `p`'s begin.
    fn around(p: *mut u8) -> (*mut u128, u32) {
        let offset = p as usize & 15;
        (p.wrapping_sub(offset).cast(), 8 * offset as u32)
    }

    /// Replaces the `len` bytes at `p` by what `f` makes of them until nobody interferes; returns
    /// what they held.
    unsafe fn update(p: *mut u8, len: u64, f: impl Fn(u128) -> Option<u128>) -> u128 {
        let (p, shift) = around(p);
        // SAFETY: the 16 bytes are in the page of those that the caller vouches for.
        let mut all = unsafe { wide::load(p) };
        loop {
            let old = all >> shift & mask(len);
            let Some(new) = f(old) else {
                return old;
            };
            let next = all & !(mask(len) << shift) | (new & mask(len)) << shift;
            // SAFETY: as above, writable.
            let seen = unsafe { wide::compare_exchange(p, all, next) };
            if seen == all {
                return old;
            }
            all = seen;
        }
    }

    /// Loads `len` bytes.
    ///
    /// # Safety
    /// `p` must be valid for reading `len` bytes, up to 8, within 16 aligned bytes of one page.
    #[cold]
    pub(crate) unsafe fn load(p: *mut u8, len: u64) -> u128 {
        let (p, shift) = around(p);
        // SAFETY: the 16 bytes are in the page of those that the caller vouches for.
        unsafe { wide::load(p) >> shift & mask(len) }
    }

    /// Stores the low `len` bytes of `v`.
    ///
    /// # Safety
    /// As for [`load`], for writing.
    #[cold]
    pub(crate) unsafe fn store(p: *mut u8, len: u64, v: u64) {
        // SAFETY: the caller's promise.
        unsafe { update(p, len, |_| Some(v.into())) };
    }

    /// Stores `new` if memory holds `expected`; returns what it held.
    ///
    /// # Safety
    /// As for [`load`], for writing.
    #[cold]
    pub(crate) unsafe fn compare_exchange(p: *mut u8, len: u64, expected: u128, new: u128) -> u128 {
        // SAFETY: the caller's promise.
        unsafe { update(p, len, |old| (old == expected).then_some(new)) }
    }

    /// Applies `op` with operand `v`; returns the old value.
    ///
    /// # Safety
    /// As for [`load`], for writing.
    #[cold]
    pub(crate) unsafe fn rmw(p: *mut u8, len: u64, op: Rmw, v: u64) -> u64 {
        let spare = 64 - 8 * len as u32;
        let signed = |v: u64| (v << spare) as i64;
        let v = v & mask(len) as u64;
        let apply = |old: u128| {
            let old = old as u64;
            let greater = signed(old) > signed(v);
            let new = match op {
                Rmw::Add => old.wrapping_add(v),
                Rmw::Clear => old & !v,
                Rmw::Xor => old ^ v,
                Rmw::Or => old | v,
                Rmw::SignedMax => {
                    if greater {
                        old
                    } else {
                        v
                    }
                }
                Rmw::SignedMin => {
                    if greater {
                        v
                    } else {
                        old
                    }
                }
                Rmw::UnsignedMax => old.max(v),
                Rmw::UnsignedMin => old.min(v),
                Rmw::Swap => v,
            };
            Some(new.into())
        };
        // SAFETY: the caller's promise.
        unsafe { update(p, len, apply) as u64 }
    }
}

/// 16-byte loads and compare-and-swap.
mod wide {
    use parking_lot::Mutex;

    /// Serialises 16-byte operations on hosts that have no instruction for them.
    static LOCK: Mutex<()> = Mutex::new(());

    /// # Safety
    /// As for the parent's function, 16 bytes.
    #[inline]
    pub(super) unsafe fn load(p: *mut u128) -> u128 {
        #[cfg(target_arch = "x86_64")]
        {
            let v: core::arch::x86_64::__m128i;
            // SAFETY: reads the 16 aligned bytes. Processors with AVX promise that this is atomic
            // (Intel SDM 9.1.1, AMD APM 7.3.2); older ones are not known to tear it either.
            unsafe {
                core::arch::asm!(
                    "movdqa {v}, [{p}]",
                    v = lateout(xmm_reg) v,
                    p = in(reg) p,
                    options(nostack, preserves_flags, readonly),
                );
                core::mem::transmute::<core::arch::x86_64::__m128i, u128>(v)
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            let (lo, hi): (u64, u64);
            // SAFETY: reads the 16 aligned bytes; atomic with FEAT_LSE2, which every host of Apple
            // and Armv8.4 has.
            unsafe {
                core::arch::asm!(
                    "ldp {lo}, {hi}, [{p}]",
                    "dmb ishld",
                    p = in(reg) p,
                    lo = out(reg) lo,
                    hi = out(reg) hi,
                    options(nostack, preserves_flags, readonly),
                );
            }
            u128::from(hi) << 64 | u128::from(lo)
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            let _guard = LOCK.lock();
            // SAFETY: the caller's promise; other 16-byte operations are locked out.
            unsafe { p.read_volatile() }
        }
    }

    /// # Safety
    /// As for the parent's function, 16 bytes.
    pub(super) unsafe fn compare_exchange(p: *mut u128, expected: u128, new: u128) -> u128 {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("cmpxchg16b") {
            // SAFETY: the feature is there; the caller's promise.
            return unsafe { cmpxchg16b(p, expected, new) };
        }
        #[cfg(target_arch = "aarch64")]
        {
            // SAFETY: the caller's promise.
            return unsafe { exclusive_pair(p, expected, new) };
        }
        #[allow(unreachable_code)]
        {
            let _guard = LOCK.lock();
            // SAFETY: the caller's promise; other 16-byte operations are locked out.
            unsafe {
                let old = p.read_volatile();
                if old == expected {
                    p.write_volatile(new);
                }
                old
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn cmpxchg16b(p: *mut u128, expected: u128, new: u128) -> u128 {
        let (mut lo, mut hi) = (expected as u64, (expected >> 64) as u64);
        // SAFETY: touches only the 16 aligned bytes at `p`; the caller has checked the feature.
        // The compiler may not give rbx away, so it is swapped in and back; it may well choose it for an operand,
        // which is why all are named.
        unsafe {
            core::arch::asm!(
                "xchg rsi, rbx",
                "lock cmpxchg16b [rdi]",
                "mov rbx, rsi",
                inout("rsi") new as u64 => _,
                in("rdi") p,
                inout("rax") lo,
                inout("rdx") hi,
                in("rcx") (new >> 64) as u64,
                options(nostack),
            );
        }
        u128::from(hi) << 64 | u128::from(lo)
    }

    #[cfg(target_arch = "aarch64")]
    unsafe fn exclusive_pair(p: *mut u128, expected: u128, new: u128) -> u128 {
        let (mut lo, mut hi): (u64, u64);
        // SAFETY: touches only the 16 bytes at `p`. A failed comparison stores the old value back,
        // which makes the pair of loads single-copy atomic.
        unsafe {
            core::arch::asm!(
                "2:",
                "ldaxp {lo}, {hi}, [{p}]",
                "cmp {lo}, {elo}",
                "ccmp {hi}, {ehi}, #0, eq",
                "csel {tlo}, {nlo}, {lo}, eq",
                "csel {thi}, {nhi}, {hi}, eq",
                "stlxp {st:w}, {tlo}, {thi}, [{p}]",
                "cbnz {st:w}, 2b",
                p = in(reg) p,
                lo = out(reg) lo,
                hi = out(reg) hi,
                elo = in(reg) expected as u64,
                ehi = in(reg) (expected >> 64) as u64,
                nlo = in(reg) new as u64,
                nhi = in(reg) (new >> 64) as u64,
                tlo = out(reg) _,
                thi = out(reg) _,
                st = out(reg) _,
                options(nostack),
            );
        }
        u128::from(hi) << 64 | u128::from(lo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rmw_of_every_size() {
        for len in [1u64, 2, 4, 8] {
            let top = 1u64 << (8 * len - 1);
            let mut cell = [top | 5, !0];
            let p = cell.as_mut_ptr().cast::<u8>();
            // SAFETY: 16 aligned bytes.
            unsafe {
                assert_eq!(rmw(p, len, Rmw::Add, top), top | 5);
                assert_eq!(rmw(p, len, Rmw::SignedMin, mask(len) as u64), 5);
                assert_eq!(rmw(p, len, Rmw::SignedMax, 7), mask(len) as u64);
                assert_eq!(rmw(p, len, Rmw::UnsignedMax, top), 7);
                assert_eq!(rmw(p, len, Rmw::UnsignedMin, 9), top);
                assert_eq!(rmw(p, len, Rmw::Clear, 1), 9);
                assert_eq!(rmw(p, len, Rmw::Or, 3), 8);
                assert_eq!(rmw(p, len, Rmw::Xor, 1), 11);
                assert_eq!(rmw(p, len, Rmw::Swap, 77), 10);
                assert_eq!(load(p, len), 77);
            }
            assert_eq!(cell[1], !0);
        }
    }

    #[test]
    fn unaligned_operations_are_those_of_aligned_ones() {
        let ops = [
            Rmw::Add,
            Rmw::Clear,
            Rmw::Xor,
            Rmw::Or,
            Rmw::SignedMax,
            Rmw::SignedMin,
            Rmw::UnsignedMax,
            Rmw::UnsignedMin,
            Rmw::Swap,
        ];
        for len in [1u64, 2, 4, 8] {
            for at in 0..=16 - len as usize {
                let mut x = 0x9e37_79b9_7f4a_7c15u64;
                for op in ops.iter().cycle().take(90) {
                    x = x.rotate_left(7).wrapping_mul(0x2545_f491_4f6c_dd1d);
                    let (old, v) = (x, x.rotate_left(29));
                    let mut aligned = [old, 0];
                    let mut cell = [0xa5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5u128; 1];
                    let p = cell.as_mut_ptr().cast::<u8>().wrapping_add(at);
                    // SAFETY: within 16 aligned bytes.
                    unsafe {
                        within::store(p, len, old);
                        let want = rmw(aligned.as_mut_ptr().cast(), len, *op, v);
                        assert_eq!(within::rmw(p, len, *op, v), want, "{op:?} {len} {at}");
                        assert_eq!(within::load(p, len), u128::from(aligned[0]) & mask(len));
                    }
                    let rest = !(mask(len) << (8 * at));
                    assert_eq!(
                        cell[0] & rest,
                        0xa5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5 & rest
                    );
                }
            }
        }
    }

    #[test]
    fn compare_and_swap_of_every_size() {
        for len in [1u64, 2, 4, 8, 16] {
            let mut cell = 0x1234u128 & mask(len);
            let p = (&raw mut cell).cast::<u8>();
            let was = cell;
            // SAFETY: 16 aligned bytes.
            unsafe {
                assert_eq!(compare_exchange(p, len, was ^ 1, 9), was);
                assert_eq!(load(p, len), was);
                assert_eq!(compare_exchange(p, len, was, mask(len)), was);
                assert_eq!(load(p, len), mask(len));
            }
        }
    }
}
