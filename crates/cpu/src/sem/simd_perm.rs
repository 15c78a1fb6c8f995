//! Advanced SIMD moves, permutations, table lookups and modified immediates.

use tuxlet_a64 as a64;
use tuxlet_a64::imm::{fp_imm16, fp_imm32, fp_imm64, imm5_index, imm5_size, simd_imm};

use super::simd::{element, set_vec};
use crate::cx::{Cx, Step};
use crate::lanes::{Lane, low, make, map1, splat, with_lane};

/// The element that `imm5` names, zero extended.
#[inline(always)]
fn named_element(imm5: u8, v: u128) -> u64 {
    let size = imm5_size(imm5);
    element(size, v >> (u32::from(imm5_index(imm5)) << (3 + size))) as u64
}

/// `value` in every element of size `size`.
#[inline(always)]
fn replicate(size: u8, value: u64) -> u128 {
    with_lane!(size, unsigned T => splat(value as T))
}

#[inline(always)]
pub(crate) fn dup_elem_vec<C: Cx>(c: &mut C, i: a64::DupElemVec) -> Step {
    let value = named_element(i.imm5, c.v(i.rn));
    set_vec(c, i.q, i.rd, replicate(imm5_size(i.imm5), value));
    Ok(())
}

#[inline(always)]
pub(crate) fn dup_elem_scalar<C: Cx>(c: &mut C, i: a64::DupElemScalar) -> Step {
    let value = named_element(i.imm5, c.v(i.rn));
    c.set_d(i.rd, value);
    Ok(())
}

#[inline(always)]
pub(crate) fn dup_gpr<C: Cx>(c: &mut C, i: a64::DupGpr) -> Step {
    let value = c.x(i.rn);
    set_vec(c, i.q, i.rd, replicate(imm5_size(i.imm5), value));
    Ok(())
}

#[inline(always)]
pub(crate) fn smov<C: Cx>(c: &mut C, i: a64::Smov) -> Step {
    let up = 64 - (8u32 << imm5_size(i.imm5));
    let value = (named_element(i.imm5, c.v(i.rn)) << up) as i64 >> up;
    c.set_xw(i.q, i.rd, value as u64);
    Ok(())
}

#[inline(always)]
pub(crate) fn umov<C: Cx>(c: &mut C, i: a64::Umov) -> Step {
    let value = named_element(i.imm5, c.v(i.rn));
    c.set_x(i.rd, value);
    Ok(())
}

/// Replaces one element of V`rd`.
#[inline(always)]
fn insert<C: Cx>(c: &mut C, rd: u8, imm5: u8, value: u64) {
    let size = imm5_size(imm5);
    let at = u32::from(imm5_index(imm5)) << (3 + size);
    let mask = element(size, u128::MAX) << at;
    let old = c.v(rd);
    c.set_v(rd, old & !mask | u128::from(value) << at & mask);
}

#[inline(always)]
pub(crate) fn ins_gpr<C: Cx>(c: &mut C, i: a64::InsGpr) -> Step {
    let value = c.x(i.rn);
    insert(c, i.rd, i.imm5, value);
    Ok(())
}

#[inline(always)]
pub(crate) fn ins_elem<C: Cx>(c: &mut C, i: a64::InsElem) -> Step {
    let size = imm5_size(i.imm5);
    // The bits of imm4 below the source index are ignored.
    let at = u32::from(i.imm4 >> size) << (3 + size);
    let value = element(size, c.v(i.rn) >> at) as u64;
    insert(c, i.rd, i.imm5, value);
    Ok(())
}

// Elements picked from two registers; `n` is the number of elements that take part.
macro_rules! permute {
    ($($name:ident $row:ident: |$a:ident, $b:ident, $n:ident, $k:ident| $e:expr;)*) => {$(
        #[allow(clippy::absurd_extreme_comparisons, reason = "half of one element is none")]
        #[inline(always)]
        pub(crate) fn $name<C: Cx>(c: &mut C, i: a64::$row) -> Step {
            let (a, b) = (c.v(i.rn), c.v(i.rm));
            let r = with_lane!(i.size, unsigned T => {
                let ($a, $b) = (T::split(a), T::split(b));
                // The choice stands outside, so that each side has constant indices.
                if i.q {
                    #[allow(dead_code, reason = "not every permutation counts")]
                    const $n: usize = T::COUNT;
                    make(|$k| $e)
                } else {
                    #[allow(dead_code, reason = "not every permutation counts")]
                    const $n: usize = T::COUNT / 2;
                    make(|$k| if $k < $n { $e } else { 0 })
                }
            });
            c.set_v(i.rd, r);
            Ok(())
        }
    )*};
}
permute! {
    zip1 Zip1: |a, b, N, k| if k % 2 == 0 { a[k / 2] } else { b[k / 2] };
    zip2 Zip2: |a, b, N, k| if k % 2 == 0 { a[(N + k) / 2] } else { b[(N + k) / 2] };
    uzp1 Uzp1: |a, b, N, k| if k < N / 2 { a[2 * k] } else { b[2 * k - N] };
    uzp2 Uzp2: |a, b, N, k| if k < N / 2 { a[2 * k + 1] } else { b[2 * k + 1 - N] };
    trn1 Trn1: |a, b, N, k| if k % 2 == 0 { a[k] } else { b[k - 1] };
    trn2 Trn2: |a, b, N, k| if k % 2 == 0 { a[k + 1] } else { b[k] };
}

#[inline(always)]
pub(crate) fn ext<C: Cx>(c: &mut C, i: a64::Ext) -> Step {
    let (a, b, by) = (c.v(i.rn), c.v(i.rm), u32::from(i.imm4) * 8);
    let r = if !i.q {
        low((low(a) | b << 64) >> by)
    } else if by == 0 {
        a
    } else {
        a >> by | b << (128 - by)
    };
    c.set_v(i.rd, r);
    Ok(())
}

/// The bytes that `indices` names in the `len + 1` registers from `rn` on; an index beyond
/// them gives the byte of `other`.
#[inline(always)]
fn lookup<C: Cx>(c: &C, rn: u8, len: u8, indices: u128, other: u128) -> u128 {
    let indices = indices.to_le_bytes();
    let mut r = other.to_le_bytes();
    let mut table = [0u8; 64];
    for (i, part) in table
        .chunks_exact_mut(16)
        .enumerate()
        .take(usize::from(len) + 1)
    {
        part.copy_from_slice(&c.v((rn + i as u8) & 31).to_le_bytes());
    }
    let bytes = 16 * (usize::from(len) + 1);
    for (r, index) in r.iter_mut().zip(indices) {
        let index = usize::from(index);
        if index < bytes {
            *r = table[index & 63];
        }
    }
    u128::from_le_bytes(r)
}

#[inline(always)]
pub(crate) fn tbl<C: Cx>(c: &mut C, i: a64::Tbl) -> Step {
    let r = lookup(c, i.rn, i.len, c.v(i.rm), 0);
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn tbx<C: Cx>(c: &mut C, i: a64::Tbx) -> Step {
    let r = lookup(c, i.rn, i.len, c.v(i.rm), c.v(i.rd));
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn rev64_vec<C: Cx>(c: &mut C, i: a64::Rev64Vec) -> Step {
    let a = c.v(i.rn);
    let r = match i.size {
        0 => map1(a, u64::swap_bytes),
        1 => {
            let a = u16::split(a);
            make(|k| a[k ^ 3])
        }
        _ => map1(a, |x: u64| x.rotate_left(32)),
    };
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn rev32_vec<C: Cx>(c: &mut C, i: a64::Rev32Vec) -> Step {
    let a = c.v(i.rn);
    let r = match i.size {
        0 => map1(a, u32::swap_bytes),
        _ => map1(a, |x: u32| x.rotate_left(16)),
    };
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn rev16_vec<C: Cx>(c: &mut C, i: a64::Rev16Vec) -> Step {
    let r = map1(c.v(i.rn), u16::swap_bytes);
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

/// A 64-bit immediate in both halves.
#[inline(always)]
fn both(imm: u64) -> u128 {
    u128::from(imm) << 64 | u128::from(imm)
}

#[inline(always)]
pub(crate) fn movi<C: Cx>(c: &mut C, i: a64::Movi) -> Step {
    set_vec(c, i.q, i.rd, both(simd_imm(i.op, i.cmode, i.imm8)));
    Ok(())
}

#[inline(always)]
pub(crate) fn mvni<C: Cx>(c: &mut C, i: a64::Mvni) -> Step {
    set_vec(c, i.q, i.rd, both(!simd_imm(true, i.cmode, i.imm8)));
    Ok(())
}

#[inline(always)]
pub(crate) fn orr_vec_imm<C: Cx>(c: &mut C, i: a64::OrrVecImm) -> Step {
    let r = c.v(i.rd) | both(simd_imm(false, i.cmode, i.imm8));
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn bic_vec_imm<C: Cx>(c: &mut C, i: a64::BicVecImm) -> Step {
    let r = c.v(i.rd) & !both(simd_imm(true, i.cmode, i.imm8));
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn fmov_vec_imm<C: Cx>(c: &mut C, i: a64::FmovVecImm) -> Step {
    let r = if i.sz {
        both(fp_imm64(i.imm8))
    } else {
        splat(fp_imm32(i.imm8))
    };
    set_vec(c, i.q, i.rd, r);
    Ok(())
}

#[inline(always)]
pub(crate) fn fmov_vec_imm_half<C: Cx>(c: &mut C, i: a64::FmovVecImmHalf) -> Step {
    set_vec(c, i.q, i.rd, splat(fp_imm16(i.imm8)));
    Ok(())
}
