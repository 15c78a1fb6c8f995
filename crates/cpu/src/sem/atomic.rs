//! Exclusives, ordered accesses and atomic memory operations (Arm ARM C4.1.96).
//!
//! The exclusive monitor holds the address and the value that was loaded; a store-exclusive is a
//! compare-and-swap against that value. All read-modify-writes are sequentially consistent,
//! whatever ordering they ask for: no host gains from less.

use tuxlet_a64 as a64;

use crate::atomics::{self, Rmw, within};
use crate::cx::{Cx, Exception, Monitor, Step};

/// Whether `p` is naturally aligned; with FEAT_LSE2 it need only be within 16 aligned bytes.
#[inline(always)]
fn aligned<C: Cx>(p: *mut u8, len: u64) -> bool {
    C::FAST || p as u64 & (len - 1) == 0
}

/// Opens nothing, loads `1 << size` bytes and marks them for a store-exclusive.
#[inline(always)]
fn load_exclusive<C: Cx>(c: &mut C, addr: u64, len: u64) -> Step<u128> {
    let p = c.atomic_ptr(addr, len, false)?;
    // SAFETY: `atomic_ptr` vouches for the bytes.
    let value = unsafe {
        if aligned::<C>(p, len) {
            atomics::load(p, len)
        } else {
            within::load(p, len)
        }
    };
    c.set_monitor(Monitor {
        addr,
        size: len,
        value,
    });
    Ok(value)
}

/// Stores if the monitor still covers the bytes; the result is the status register's value.
#[inline(always)]
fn store_exclusive<C: Cx>(c: &mut C, addr: u64, len: u64, v: u128) -> Step<u32> {
    // Alignment is checked before the monitor (Arm ARM, AArch64.ExclusiveMonitorsPass).
    if (addr & 15) + len > 16 {
        return Err(c.exception(Exception::Alignment { addr }));
    }
    let m = c.monitor();
    if m.addr != addr || m.size != len {
        c.set_monitor(Monitor::OPEN);
        return Ok(1);
    }
    let p = c.atomic_ptr(addr, len, true)?;
    c.set_monitor(Monitor::OPEN);
    let old = compare_exchange(c, p, len, m.value, v);
    Ok(u32::from(old != m.value))
}

macro_rules! exclusive {
    ($($(#[$doc:meta])* $name:ident $row:ident $what:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            exclusive!($what c i)
        }
    )*};
    (load $c:ident $i:ident) => {{
        let v = load_exclusive($c, $c.xsp($i.rn), 1 << $i.size)?;
        $c.set_x($i.rt, v as u64);
        Ok(())
    }};
    (store $c:ident $i:ident) => {{
        let len = 1 << $i.size;
        let v = u128::from($c.x($i.rt)) & atomics::mask(len);
        let status = store_exclusive($c, $c.xsp($i.rn), len, v)?;
        $c.set_w($i.rs, status);
        Ok(())
    }};
    (load_pair $c:ident $i:ident) => {{
        let v = load_exclusive($c, $c.xsp($i.rn), if $i.sf { 16 } else { 8 })?;
        if $i.sf {
            $c.set_x($i.rt, v as u64);
            $c.set_x($i.rt2, (v >> 64) as u64);
        } else {
            $c.set_w($i.rt, v as u32);
            $c.set_w($i.rt2, (v >> 32) as u32);
        }
        Ok(())
    }};
    (store_pair $c:ident $i:ident) => {{
        let v = join($i.sf, $c.x($i.rt), $c.x($i.rt2));
        let status = store_exclusive($c, $c.xsp($i.rn), if $i.sf { 16 } else { 8 }, v)?;
        $c.set_w($i.rs, status);
        Ok(())
    }};
}
exclusive! {
    /// STXRB, STXRH, STXR.
    stxr Stxr store;
    /// STLXRB, STLXRH, STLXR.
    stlxr Stlxr store;
    /// STXP.
    stxp Stxp store_pair;
    /// STLXP.
    stlxp Stlxp store_pair;
    /// LDXRB, LDXRH, LDXR.
    ldxr Ldxr load;
    /// LDAXRB, LDAXRH, LDAXR.
    ldaxr Ldaxr load;
    /// LDXP.
    ldxp Ldxp load_pair;
    /// LDAXP.
    ldaxp Ldaxp load_pair;
}

/// Two registers as one memory value.
#[inline(always)]
fn join(sf: bool, lo: u64, hi: u64) -> u128 {
    if sf {
        u128::from(hi) << 64 | u128::from(lo)
    } else {
        u128::from(hi << 32 | lo & 0xffff_ffff)
    }
}

/// Stores `new` if memory at `p`, which comes from [`Cx::atomic_ptr`], holds `expected`; returns
/// what it held.
#[inline(always)]
fn compare_exchange<C: Cx>(_: &C, p: *mut u8, len: u64, expected: u128, new: u128) -> u128 {
    // SAFETY: `atomic_ptr` vouches for the writable bytes.
    unsafe {
        if aligned::<C>(p, len) {
            atomics::compare_exchange(p, len, expected, new)
        } else {
            within::compare_exchange(p, len, expected, new)
        }
    }
}

#[inline(always)]
fn store_release<C: Cx>(c: &mut C, addr: u64, size: u8, v: u64) -> Step {
    let p = c.atomic_ptr(addr, 1 << size, true)?;
    // SAFETY: `atomic_ptr` vouches for the writable bytes.
    unsafe {
        if aligned::<C>(p, 1 << size) {
            atomics::store(p, 1 << size, v);
        } else {
            within::store(p, 1 << size, v);
        }
    }
    Ok(())
}

#[inline(always)]
fn load_acquire<C: Cx>(c: &mut C, addr: u64, size: u8) -> Step<u64> {
    let p = c.atomic_ptr(addr, 1 << size, false)?;
    // SAFETY: `atomic_ptr` vouches for the readable bytes.
    Ok(unsafe {
        if aligned::<C>(p, 1 << size) {
            atomics::load(p, 1 << size)
        } else {
            within::load(p, 1 << size)
        }
    } as u64)
}

macro_rules! ordered {
    ($($(#[$doc:meta])* $name:ident $row:ident $what:ident |$i:ident| $offset:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, $i: a64::$row) -> Step {
            let addr = c.xsp($i.rn).wrapping_add(i64::from($offset) as u64);
            ordered!($what c $i addr)
        }
    )*};
    (load $c:ident $i:ident $addr:ident) => {{
        let v = load_acquire($c, $addr, $i.size)?;
        $c.set_x($i.rt, v);
        Ok(())
    }};
    (store $c:ident $i:ident $addr:ident) => {{
        let v = $c.x($i.rt);
        store_release($c, $addr, $i.size, v)
    }};
}
ordered! {
    /// STLLRB, STLLRH, STLLR.
    stllr Stllr store |i| 0i16;
    /// STLRB, STLRH, STLR.
    stlr Stlr store |i| 0i16;
    /// LDLARB, LDLARH, LDLAR.
    ldlar Ldlar load |i| 0i16;
    /// LDARB, LDARH, LDAR.
    ldar Ldar load |i| 0i16;
    /// LDAPRB, LDAPRH, LDAPR.
    ldapr Ldapr load |i| 0i16;
    /// STLURB, STLURH, STLUR.
    stlur Stlur store |i| i.imm9;
    /// LDAPURB, LDAPURH, LDAPUR.
    ldapur Ldapur load |i| i.imm9;
}

/// Loads with acquire and sign-extends.
#[inline(always)]
fn load_acquire_signed<C: Cx>(c: &mut C, addr: u64, size: u8, to32: bool) -> Step<u64> {
    let v = load_acquire(c, addr, size)?;
    let v = match size {
        0 => v as i8 as u64,
        1 => v as i16 as u64,
        _ => v as i32 as u64,
    };
    Ok(if to32 { v & 0xffff_ffff } else { v })
}

/// LDAPURSB, LDAPURSH, LDAPURSW.
#[inline(always)]
pub(crate) fn ldapurs<C: Cx>(c: &mut C, i: a64::Ldapurs) -> Step {
    let addr = c.xsp(i.rn).wrapping_add(i64::from(i.imm9) as u64);
    let v = load_acquire_signed(c, addr, i.size, i.to32)?;
    c.set_x(i.rt, v);
    Ok(())
}

/// CASB, CASH, CAS and their orderings.
#[inline(always)]
pub(crate) fn cas<C: Cx>(c: &mut C, i: a64::Cas) -> Step {
    let len = 1 << i.size;
    let p = c.atomic_ptr(c.xsp(i.rn), len, true)?;
    let expected = u128::from(c.x(i.rs)) & atomics::mask(len);
    let new = u128::from(c.x(i.rt)) & atomics::mask(len);
    let old = compare_exchange(c, p, len, expected, new);
    c.set_x(i.rs, old as u64);
    Ok(())
}

/// CASP and its orderings.
#[inline(always)]
pub(crate) fn casp<C: Cx>(c: &mut C, i: a64::Casp) -> Step {
    let len = if i.sf { 16 } else { 8 };
    let p = c.atomic_ptr(c.xsp(i.rn), len, true)?;
    let expected = join(i.sf, c.x(i.rs), c.x(i.rs | 1));
    let new = join(i.sf, c.x(i.rt), c.x(i.rt | 1));
    let old = compare_exchange(c, p, len, expected, new);
    if i.sf {
        c.set_x(i.rs, old as u64);
        c.set_x(i.rs | 1, (old >> 64) as u64);
    } else {
        c.set_w(i.rs, old as u32);
        c.set_w(i.rs | 1, (old >> 32) as u32);
    }
    Ok(())
}

macro_rules! rmw {
    ($($(#[$doc:meta])* $name:ident $row:ident $op:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let p = c.atomic_ptr(c.xsp(i.rn), 1 << i.size, true)?;
            let v = c.x(i.rs);
            // SAFETY: `atomic_ptr` vouches for the writable bytes.
            let old = unsafe {
                if aligned::<C>(p, 1 << i.size) {
                    atomics::rmw(p, 1 << i.size, Rmw::$op, v)
                } else {
                    within::rmw(p, 1 << i.size, Rmw::$op, v)
                }
            };
            c.set_x(i.rt, old);
            Ok(())
        }
    )*};
}
rmw! {
    /// LDADD, STADD.
    ldadd Ldadd Add;
    /// LDCLR, STCLR.
    ldclr Ldclr Clear;
    /// LDEOR, STEOR.
    ldeor Ldeor Xor;
    /// LDSET, STSET.
    ldset Ldset Or;
    /// LDSMAX, STSMAX.
    ldsmax Ldsmax SignedMax;
    /// LDSMIN, STSMIN.
    ldsmin Ldsmin SignedMin;
    /// LDUMAX, STUMAX.
    ldumax Ldumax UnsignedMax;
    /// LDUMIN, STUMIN.
    ldumin Ldumin UnsignedMin;
    /// SWP.
    swp Swp Swap;
}
