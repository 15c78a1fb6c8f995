//! Advanced SIMD structure loads and stores (LD1 to LD4, ST1 to ST4, LD1R to LD4R).
//!
//! Every access of a load comes before the first register write; a store checks its whole range
//! before it writes the first part.

use tuxlet_a64 as a64;
use tuxlet_a64::imm::{ld1_count, single_index, single_size};

use crate::cx::{Cx, Step};
use crate::lanes::{Lane, active, lane, make, splat, with_lane};

/// The registers of a list, from `rt` on and around the end.
fn register(rt: u8, i: usize) -> u8 {
    (rt + i as u8) & 31
}

/// Loads `count` registers' worth of consecutive bytes.
#[inline(always)]
fn load_all<C: Cx>(c: &mut C, addr: u64, q: bool, count: usize) -> Step<[u128; 4]> {
    let mut r = [0; 4];
    for (i, r) in r.iter_mut().enumerate().take(count) {
        *r = if q {
            c.load::<u128>(addr.wrapping_add(16 * i as u64))?
        } else {
            u128::from(c.load::<u64>(addr.wrapping_add(8 * i as u64))?)
        };
    }
    Ok(r)
}

/// Stores `count` registers' worth of consecutive bytes.
#[inline(always)]
fn store_all<C: Cx>(c: &mut C, addr: u64, q: bool, count: usize, r: [u128; 4]) -> Step {
    let bytes = if q { 16 } else { 8 };
    if count > 1 {
        c.probe_write(addr, bytes * count as u64)?;
    }
    for (i, r) in r.into_iter().enumerate().take(count) {
        let addr = addr.wrapping_add(bytes * i as u64);
        if q {
            c.store::<u128>(addr, r)?
        } else {
            c.store::<u64>(addr, r as u64)?
        }
    }
    Ok(())
}

/// Takes structures of `N` elements apart: from memory order to one register per member.
#[inline(always)]
fn deinterleave<T: Lane, const N: usize>(q: bool, memory: [u128; 4]) -> [u128; 4] {
    let parts = memory.map(T::split);
    let per_part = T::COUNT >> u32::from(!q);
    let mut r = [0; 4];
    for (member, r) in r.iter_mut().enumerate().take(N) {
        *r = make(|i| {
            if i >= per_part {
                return T::default();
            }
            let at = i * N + member;
            parts[at / per_part][at % per_part]
        });
    }
    r
}

/// Puts structures of `N` elements together: from one register per member to memory order.
#[inline(always)]
fn interleave<T: Lane, const N: usize>(q: bool, registers: [u128; 4]) -> [u128; 4] {
    let members = registers.map(T::split);
    let per_part = T::COUNT >> u32::from(!q);
    let mut r = [0; 4];
    for (part, r) in r.iter_mut().enumerate().take(N) {
        *r = make(|i| {
            if i >= per_part {
                return T::default();
            }
            let at = part * per_part + i;
            members[at % N][at / N]
        });
    }
    r
}

fn load_structures<C: Cx, const N: usize>(
    c: &mut C,
    q: bool,
    size: u8,
    rn: u8,
    rt: u8,
) -> Step<u64> {
    let memory = load_all(c, c.xsp(rn), q, N)?;
    let r = with_lane!(size, unsigned T => deinterleave::<T, N>(q, memory));
    for (i, r) in r.into_iter().enumerate().take(N) {
        c.set_v(register(rt, i), r);
    }
    Ok(N as u64 * if q { 16 } else { 8 })
}

fn store_structures<C: Cx, const N: usize>(
    c: &mut C,
    q: bool,
    size: u8,
    rn: u8,
    rt: u8,
) -> Step<u64> {
    let mut r = [0; 4];
    for (i, r) in r.iter_mut().enumerate().take(N) {
        *r = c.v(register(rt, i));
    }
    let memory = with_lane!(size, unsigned T => interleave::<T, N>(q, r));
    store_all(c, c.xsp(rn), q, N, memory)?;
    Ok(N as u64 * if q { 16 } else { 8 })
}

fn load_registers<C: Cx>(c: &mut C, q: bool, opcode: u8, rn: u8, rt: u8) -> Step<u64> {
    let count = usize::from(ld1_count(opcode));
    let r = load_all(c, c.xsp(rn), q, count)?;
    for (i, r) in r.into_iter().enumerate().take(count) {
        c.set_v(register(rt, i), r);
    }
    Ok(count as u64 * if q { 16 } else { 8 })
}

fn store_registers<C: Cx>(c: &mut C, q: bool, opcode: u8, rn: u8, rt: u8) -> Step<u64> {
    let count = usize::from(ld1_count(opcode));
    let mut r = [0; 4];
    for (i, r) in r.iter_mut().enumerate().take(count) {
        *r = active(q, c.v(register(rt, i)));
    }
    store_all(c, c.xsp(rn), q, count, r)?;
    Ok(count as u64 * if q { 16 } else { 8 })
}

/// Loads `N` consecutive elements of size `size`.
#[inline(always)]
fn load_elements<C: Cx, const N: usize>(c: &mut C, addr: u64, size: u8) -> Step<[u64; N]> {
    let mut r = [0; N];
    for (i, r) in r.iter_mut().enumerate() {
        let addr = addr.wrapping_add((i as u64) << size);
        *r = match size {
            0 => c.load::<u8>(addr)?.into(),
            1 => c.load::<u16>(addr)?.into(),
            2 => c.load::<u32>(addr)?.into(),
            _ => c.load::<u64>(addr)?,
        };
    }
    Ok(r)
}

fn load_single<C: Cx, const N: usize>(c: &mut C, size: u8, index: u8, rn: u8, rt: u8) -> Step<u64> {
    let r = load_elements::<C, N>(c, c.xsp(rn), size)?;
    let at = u32::from(index) << (3 + size);
    let mask = (u128::from(u64::MAX) >> (64 - (8 << size))) << at;
    for (i, r) in r.into_iter().enumerate() {
        let rt = register(rt, i);
        let old = c.v(rt);
        c.set_v(rt, old & !mask | u128::from(r) << at);
    }
    Ok((N as u64) << size)
}

fn store_single<C: Cx, const N: usize>(
    c: &mut C,
    size: u8,
    index: u8,
    rn: u8,
    rt: u8,
) -> Step<u64> {
    let base = c.xsp(rn);
    if N > 1 {
        c.probe_write(base, (N as u64) << size)?;
    }
    for i in 0..N {
        let addr = base.wrapping_add((i as u64) << size);
        let v = c.v(register(rt, i));
        let index = usize::from(index);
        match size {
            0 => c.store(addr, lane::<u8>(v, index))?,
            1 => c.store(addr, lane::<u16>(v, index))?,
            2 => c.store(addr, lane::<u32>(v, index))?,
            _ => c.store(addr, lane::<u64>(v, index))?,
        }
    }
    Ok((N as u64) << size)
}

fn load_replicated<C: Cx, const N: usize>(
    c: &mut C,
    q: bool,
    size: u8,
    rn: u8,
    rt: u8,
) -> Step<u64> {
    let r = load_elements::<C, N>(c, c.xsp(rn), size)?;
    for (i, r) in r.into_iter().enumerate() {
        let v = with_lane!(size, unsigned T => splat(r as T));
        c.set_v(register(rt, i), active(q, v));
    }
    Ok((N as u64) << size)
}

/// Writes back the base of a post-indexed form: by `bytes`, or by X`rm`.
#[inline(always)]
fn post_index<C: Cx>(c: &mut C, rn: u8, rm: u8, bytes: u64) {
    let by = if rm == 31 { bytes } else { c.x(rm) };
    let base = c.xsp(rn);
    c.set_xsp(rn, base.wrapping_add(by));
}

macro_rules! structures {
    ($($name:ident $post:ident: $row:ident $post_row:ident, |$c:ident, $i:ident| $e:expr;)*) => {$(
        pub(crate) fn $name<C: Cx>($c: &mut C, $i: a64::$row) -> Step {
            $e?;
            Ok(())
        }
        pub(crate) fn $post<C: Cx>($c: &mut C, $i: a64::$post_row) -> Step {
            let bytes = $e?;
            post_index($c, $i.rn, $i.rm, bytes);
            Ok(())
        }
    )*};
}
macro_rules! single {
    ($f:ident, $n:literal, $c:ident, $i:ident) => {
        $f::<C, $n>(
            $c,
            single_size($i.scale, $i.size),
            single_index($i.scale, $i.q, $i.s, $i.size),
            $i.rn,
            $i.rt,
        )
    };
}
structures! {
    ld1_multiple ld1_multiple_post: Ld1Multiple Ld1MultiplePost,
        |c, i| load_registers(c, i.q, i.opcode, i.rn, i.rt);
    ld2_multiple ld2_multiple_post: Ld2Multiple Ld2MultiplePost,
        |c, i| load_structures::<C, 2>(c, i.q, i.size, i.rn, i.rt);
    ld3_multiple ld3_multiple_post: Ld3Multiple Ld3MultiplePost,
        |c, i| load_structures::<C, 3>(c, i.q, i.size, i.rn, i.rt);
    ld4_multiple ld4_multiple_post: Ld4Multiple Ld4MultiplePost,
        |c, i| load_structures::<C, 4>(c, i.q, i.size, i.rn, i.rt);
    st1_multiple st1_multiple_post: St1Multiple St1MultiplePost,
        |c, i| store_registers(c, i.q, i.opcode, i.rn, i.rt);
    st2_multiple st2_multiple_post: St2Multiple St2MultiplePost,
        |c, i| store_structures::<C, 2>(c, i.q, i.size, i.rn, i.rt);
    st3_multiple st3_multiple_post: St3Multiple St3MultiplePost,
        |c, i| store_structures::<C, 3>(c, i.q, i.size, i.rn, i.rt);
    st4_multiple st4_multiple_post: St4Multiple St4MultiplePost,
        |c, i| store_structures::<C, 4>(c, i.q, i.size, i.rn, i.rt);
    ld1_single ld1_single_post: Ld1Single Ld1SinglePost, |c, i| single!(load_single, 1, c, i);
    ld2_single ld2_single_post: Ld2Single Ld2SinglePost, |c, i| single!(load_single, 2, c, i);
    ld3_single ld3_single_post: Ld3Single Ld3SinglePost, |c, i| single!(load_single, 3, c, i);
    ld4_single ld4_single_post: Ld4Single Ld4SinglePost, |c, i| single!(load_single, 4, c, i);
    st1_single st1_single_post: St1Single St1SinglePost, |c, i| single!(store_single, 1, c, i);
    st2_single st2_single_post: St2Single St2SinglePost, |c, i| single!(store_single, 2, c, i);
    st3_single st3_single_post: St3Single St3SinglePost, |c, i| single!(store_single, 3, c, i);
    st4_single st4_single_post: St4Single St4SinglePost, |c, i| single!(store_single, 4, c, i);
    ld1r ld1r_post: Ld1r Ld1rPost, |c, i| load_replicated::<C, 1>(c, i.q, i.size, i.rn, i.rt);
    ld2r ld2r_post: Ld2r Ld2rPost, |c, i| load_replicated::<C, 2>(c, i.q, i.size, i.rn, i.rt);
    ld3r ld3r_post: Ld3r Ld3rPost, |c, i| load_replicated::<C, 3>(c, i.q, i.size, i.rn, i.rt);
    ld4r ld4r_post: Ld4r Ld4rPost, |c, i| load_replicated::<C, 4>(c, i.q, i.size, i.rn, i.rt);
}
