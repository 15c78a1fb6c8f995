//! What the Advanced SIMD bodies share: how operands are read and results are written.

use crate::cx::Cx;
use crate::lanes::{active, low};
use crate::softfloat::QC;

/// The bits of one element of size `size`.
#[inline(always)]
pub(super) fn element(size: u8, v: u128) -> u128 {
    v & (u128::MAX >> (128 - (8u32 << (size & 3))))
}

/// Writes the narrowed result: to the low half, or to the upper half in the second form.
#[inline(always)]
pub(super) fn set_narrow<C: Cx>(c: &mut C, q: bool, rd: u8, r: u64) {
    let r = u128::from(r);
    let r = if q { low(c.v(rd)) | r << 64 } else { r };
    c.set_v(rd, r);
}

/// Raises the cumulative saturation flag.
#[inline(always)]
pub(super) fn saturated<C: Cx>(c: &mut C, yes: bool) {
    if yes {
        c.raise(QC);
    }
}

/// Keeps what an instruction writes: `vec` 64 or 128 bits, `scalar` one element,
/// `d` 64 bits.
macro_rules! keep {
    (vec, $i:ident, $v:expr) => {
        $crate::lanes::active($i.q, $v)
    };
    (scalar, $i:ident, $v:expr) => {
        $crate::sem::simd::element($i.size, $v)
    };
    (d, $i:ident, $v:expr) => {
        $crate::lanes::low($v)
    };
}
pub(super) use keep;

/// The element size of a row: in a field, or 64 bits.
macro_rules! size {
    (d, $i:ident) => {
        3
    };
    ($kind:ident, $i:ident) => {
        $i.size
    };
}
pub(super) use size;

/// Keeps 64 or 128 bits.
#[inline(always)]
pub(super) fn set_vec<C: Cx>(c: &mut C, q: bool, rd: u8, r: u128) {
    c.set_v(rd, active(q, r));
}

/// All ones for true.
macro_rules! mask {
    ($e:expr) => {
        if $e { !0 } else { 0 }
    };
}
pub(super) use mask;
