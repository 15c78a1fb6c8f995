//! An AArch64 host computes what the guest asks for, NaNs and flags included.

use core::arch::aarch64::uint64x2_t;
use core::arch::asm;

use super::Host;
use crate::softfloat::{DZC, IOC, IXC, OFC, UFC};

pub(super) const USABLE: bool = true;
pub(super) const NAN_IS_EXACT: bool = true;

const STICKY: u64 = (IOC | DZC | OFC | UFC | IXC) as u64;

#[inline(always)]
fn fpsr() -> u64 {
    let v;
    // SAFETY: reads FPSR.
    unsafe { asm!("mrs {}, fpsr", out(reg) v, options(nomem, nostack, preserves_flags)) };
    v
}

/// Clears the host's cumulative flags.
#[inline]
pub(crate) fn clear() {
    let v = fpsr();
    if v & STICKY != 0 {
        // SAFETY: writes FPSR, whose flags compiled code does not rely on.
        unsafe {
            asm!("msr fpsr, {}", in(reg) v & !STICKY, options(nomem, nostack, preserves_flags));
        }
    }
}

/// The FPSR flags raised since [`clear`].
#[inline]
pub(crate) fn raised() -> u32 {
    (fpsr() & STICKY) as u32
}

/// Whether the host has fused multiply-add.
#[inline(always)]
pub(crate) fn has_fma() -> bool {
    true
}

macro_rules! host {
    ($bits:ty, $float:ty, $ones:expr, $s:literal, $p:literal) => {
        impl Host for $bits {
            const ONES: u128 = $ones;
            host!(@two host_add, $float, "fadd", $s);
            host!(@two host_sub, $float, "fsub", $s);
            host!(@two host_mul, $float, "fmul", $s);
            host!(@two host_div, $float, "fdiv", $s);
            #[inline(always)]
            fn host_sqrt(a: Self) -> Self {
                let r: $float;
                // SAFETY: computes on registers; touches FPSR's cumulative flags only.
                unsafe {
                    asm!(concat!("fsqrt {0:", $s, "}, {1:", $s, "}"), out(vreg) r,
                        in(vreg) <$float>::from_bits(a),
                        options(nomem, nostack, preserves_flags));
                }
                r.to_bits()
            }
            #[inline(always)]
            fn host_mul_add(c: Self, a: Self, b: Self) -> Self {
                let r: $float;
                // SAFETY: computes on registers; touches FPSR's cumulative flags only.
                unsafe {
                    asm!(concat!("fmadd {0:", $s, "}, {1:", $s, "}, {2:", $s, "}, {3:", $s, "}"),
                        out(vreg) r, in(vreg) <$float>::from_bits(a),
                        in(vreg) <$float>::from_bits(b), in(vreg) <$float>::from_bits(c),
                        options(nomem, nostack, preserves_flags));
                }
                r.to_bits()
            }
            #[inline(always)]
            fn host_from_i64(a: i64) -> Self {
                let r: $float;
                // SAFETY: computes on registers; touches FPSR's cumulative flags only.
                unsafe {
                    asm!(concat!("scvtf {0:", $s, "}, {1:x}"), out(vreg) r, in(reg) a,
                        options(nomem, nostack, preserves_flags));
                }
                r.to_bits()
            }
            #[inline(always)]
            fn host_to_i64(a: Self) -> Option<i64> {
                let r: i64;
                // SAFETY: computes on registers; touches FPSR's cumulative flags only.
                unsafe {
                    asm!(concat!("fcvtzs {0:x}, {1:", $s, "}"), out(reg) r,
                        in(vreg) <$float>::from_bits(a),
                        options(nomem, nostack, preserves_flags));
                }
                Some(r)
            }
            #[inline(always)]
            fn host_to_i32(a: Self) -> Option<i32> {
                let r: i32;
                // SAFETY: computes on registers; touches FPSR's cumulative flags only.
                unsafe {
                    asm!(concat!("fcvtzs {0:w}, {1:", $s, "}"), out(reg) r,
                        in(vreg) <$float>::from_bits(a),
                        options(nomem, nostack, preserves_flags));
                }
                Some(r)
            }
            host!(@lanes host_add_lanes, "fadd", $p);
            host!(@lanes host_sub_lanes, "fsub", $p);
            host!(@lanes host_mul_lanes, "fmul", $p);
            host!(@lanes host_div_lanes, "fdiv", $p);
            #[inline(always)]
            fn host_sqrt_lanes(a: u128) -> u128 {
                let r: uint64x2_t;
                // SAFETY: computes on registers; touches FPSR's cumulative flags only.
                unsafe {
                    asm!(concat!("fsqrt {0:v}.", $p, ", {1:v}.", $p), out(vreg) r,
                        in(vreg) vector(a), options(nomem, nostack, preserves_flags));
                }
                bits(r)
            }
            #[inline(always)]
            fn host_mul_add_lanes(c: u128, a: u128, b: u128) -> u128 {
                let mut r = vector(c);
                // SAFETY: computes on registers; touches FPSR's cumulative flags only.
                unsafe {
                    asm!(concat!("fmla {0:v}.", $p, ", {1:v}.", $p, ", {2:v}.", $p),
                        inout(vreg) r, in(vreg) vector(a), in(vreg) vector(b),
                        options(nomem, nostack, preserves_flags));
                }
                bits(r)
            }
        }
    };
    (@two $name:ident, $float:ty, $op:literal, $s:literal) => {
        #[inline(always)]
        fn $name(a: Self, b: Self) -> Self {
            let r: $float;
            // SAFETY: computes on registers; touches FPSR's cumulative flags only.
            unsafe {
                asm!(concat!($op, " {0:", $s, "}, {1:", $s, "}, {2:", $s, "}"), out(vreg) r,
                    in(vreg) <$float>::from_bits(a), in(vreg) <$float>::from_bits(b),
                    options(nomem, nostack, preserves_flags));
            }
            r.to_bits()
        }
    };
    (@lanes $name:ident, $op:literal, $p:literal) => {
        #[inline(always)]
        fn $name(a: u128, b: u128) -> u128 {
            let r: uint64x2_t;
            // SAFETY: computes on registers; touches FPSR's cumulative flags only.
            unsafe {
                asm!(concat!($op, " {0:v}.", $p, ", {1:v}.", $p, ", {2:v}.", $p), out(vreg) r,
                    in(vreg) vector(a), in(vreg) vector(b),
                    options(nomem, nostack, preserves_flags));
            }
            bits(r)
        }
    };
}
host!(
    u32,
    f32,
    0x3f80_0000_3f80_0000_3f80_0000_3f80_0000,
    "s",
    "4s"
);
host!(
    u64,
    f64,
    0x3ff0_0000_0000_0000_3ff0_0000_0000_0000,
    "d",
    "2d"
);

#[inline(always)]
fn vector(a: u128) -> uint64x2_t {
    // SAFETY: any 128 bits are a value of either type.
    unsafe { core::mem::transmute(a) }
}

#[inline(always)]
fn bits(a: uint64x2_t) -> u128 {
    // SAFETY: any 128 bits are a value of either type.
    unsafe { core::mem::transmute(a) }
}

/// Single to double precision.
#[inline(always)]
pub(crate) fn convert_32_to_64(a: u32) -> u64 {
    let r: f64;
    // SAFETY: computes on registers; touches FPSR's cumulative flags only.
    unsafe {
        asm!("fcvt {0:d}, {1:s}", out(vreg) r, in(vreg) f32::from_bits(a),
            options(nomem, nostack, preserves_flags));
    }
    r.to_bits()
}

/// Double to single precision.
#[inline(always)]
pub(crate) fn convert_64_to_32(a: u64) -> u32 {
    let r: f32;
    // SAFETY: computes on registers; touches FPSR's cumulative flags only.
    unsafe {
        asm!("fcvt {0:s}, {1:d}", out(vreg) r, in(vreg) f64::from_bits(a),
            options(nomem, nostack, preserves_flags));
    }
    r.to_bits()
}
