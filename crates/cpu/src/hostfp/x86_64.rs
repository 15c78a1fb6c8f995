//! SSE2 and FMA3. MXCSR keeps the default masks and rounding; only its sticky flags change.

use core::arch::asm;
use core::arch::x86_64::__m128i;
use core::sync::atomic::{AtomicBool, Ordering};

use super::Host;
use crate::softfloat::{DZC, IOC, IXC, OFC, UFC};

pub(super) const USABLE: bool = true;
/// SSE selects and signs NaNs in its own way.
pub(super) const NAN_IS_EXACT: bool = false;

/// MXCSR's sticky flags: IE, DE, ZE, OE, UE, PE.
const STICKY: u32 = 0x3f;

#[inline(always)]
fn mxcsr() -> u32 {
    let mut v = 0u32;
    // SAFETY: stores MXCSR to a local.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut v, options(nostack, preserves_flags)) };
    v
}

/// Clears the host's sticky flags. To be called before the first operation.
#[inline]
pub(crate) fn clear() {
    HAS_FMA.store(
        std::arch::is_x86_feature_detected!("fma"),
        Ordering::Relaxed,
    );
    let v = mxcsr();
    if v & STICKY != 0 {
        let v = v & !STICKY;
        // SAFETY: loads MXCSR with its own value less the sticky flags, which compiled code
        // does not rely on.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const v, options(nostack, preserves_flags)) };
    }
}

/// The FPSR flags raised since [`clear`].
#[inline]
pub(crate) fn raised() -> u32 {
    let v = mxcsr();
    let mut flags = 0;
    for (host, guest) in [(0, IOC), (2, DZC), (3, OFC), (4, UFC), (5, IXC)] {
        if v >> host & 1 != 0 {
            flags |= guest;
        }
    }
    flags
}

/// Detected by [`clear`]: the standard library's own test may make a call.
static HAS_FMA: AtomicBool = AtomicBool::new(false);

/// Whether the host has fused multiply-add.
#[inline(always)]
pub(crate) fn has_fma() -> bool {
    HAS_FMA.load(Ordering::Relaxed)
}

macro_rules! host {
    ($bits:ty, $float:ty, $ones:expr, $s:literal, $p:literal) => {
        impl Host for $bits {
            const ONES: u128 = $ones;
            host!(@two host_add, $float, "add", $s);
            host!(@two host_sub, $float, "sub", $s);
            host!(@two host_mul, $float, "mul", $s);
            host!(@two host_div, $float, "div", $s);
            #[inline(always)]
            fn host_sqrt(a: Self) -> Self {
                let mut r = <$float>::from_bits(a);
                // SAFETY: computes on registers; touches MXCSR's sticky flags only.
                unsafe {
                    asm!(concat!("sqrt", $s, " {0}, {0}"), inout(xmm_reg) r,
                        options(nomem, nostack, preserves_flags));
                }
                r.to_bits()
            }
            #[inline(always)]
            fn host_mul_add(c: Self, a: Self, b: Self) -> Self {
                let mut r = <$float>::from_bits(c);
                // SAFETY: as above; the caller has seen `has_fma`.
                unsafe {
                    asm!(concat!("vfmadd231", $s, " {0}, {1}, {2}"), inout(xmm_reg) r,
                        in(xmm_reg) <$float>::from_bits(a), in(xmm_reg) <$float>::from_bits(b),
                        options(nomem, nostack, preserves_flags));
                }
                r.to_bits()
            }
            #[inline(always)]
            fn host_from_i64(a: i64) -> Self {
                let mut r: $float = 0.0;
                // SAFETY: computes on registers; touches MXCSR's sticky flags only.
                unsafe {
                    asm!(concat!("cvtsi2", $s, " {0}, {1}"), inout(xmm_reg) r, in(reg) a,
                        options(nomem, nostack, preserves_flags));
                }
                r.to_bits()
            }
            #[inline(always)]
            fn host_to_i64(a: Self) -> Option<i64> {
                let r: i64;
                // SAFETY: computes on registers; touches MXCSR's sticky flags only.
                unsafe {
                    asm!(concat!("cvtt", $s, "2si {0}, {1}"), out(reg) r,
                        in(xmm_reg) <$float>::from_bits(a),
                        options(nomem, nostack, preserves_flags));
                }
                if r == i64::MIN { None } else { Some(r) }
            }
            #[inline(always)]
            fn host_to_i32(a: Self) -> Option<i32> {
                let r: i32;
                // SAFETY: computes on registers; touches MXCSR's sticky flags only.
                unsafe {
                    asm!(concat!("cvtt", $s, "2si {0:e}, {1}"), out(reg) r,
                        in(xmm_reg) <$float>::from_bits(a),
                        options(nomem, nostack, preserves_flags));
                }
                if r == i32::MIN { None } else { Some(r) }
            }
            host!(@lanes host_add_lanes, "add", $p);
            host!(@lanes host_sub_lanes, "sub", $p);
            host!(@lanes host_mul_lanes, "mul", $p);
            host!(@lanes host_div_lanes, "div", $p);
            #[inline(always)]
            fn host_sqrt_lanes(a: u128) -> u128 {
                let mut r = vector(a);
                // SAFETY: computes on registers; touches MXCSR's sticky flags only.
                unsafe {
                    asm!(concat!("sqrt", $p, " {0}, {0}"), inout(xmm_reg) r,
                        options(nomem, nostack, preserves_flags));
                }
                bits(r)
            }
            #[inline(always)]
            fn host_mul_add_lanes(c: u128, a: u128, b: u128) -> u128 {
                let mut r = vector(c);
                // SAFETY: as above; the caller has seen `has_fma`.
                unsafe {
                    asm!(concat!("vfmadd231", $p, " {0}, {1}, {2}"), inout(xmm_reg) r,
                        in(xmm_reg) vector(a), in(xmm_reg) vector(b),
                        options(nomem, nostack, preserves_flags));
                }
                bits(r)
            }
        }
    };
    (@two $name:ident, $float:ty, $op:literal, $s:literal) => {
        #[inline(always)]
        fn $name(a: Self, b: Self) -> Self {
            let mut r = <$float>::from_bits(a);
            // SAFETY: computes on registers; touches MXCSR's sticky flags only.
            unsafe {
                asm!(concat!($op, $s, " {0}, {1}"), inout(xmm_reg) r,
                    in(xmm_reg) <$float>::from_bits(b),
                    options(nomem, nostack, preserves_flags));
            }
            r.to_bits()
        }
    };
    (@lanes $name:ident, $op:literal, $p:literal) => {
        #[inline(always)]
        fn $name(a: u128, b: u128) -> u128 {
            let mut r = vector(a);
            // SAFETY: computes on registers; touches MXCSR's sticky flags only.
            unsafe {
                asm!(concat!($op, $p, " {0}, {1}"), inout(xmm_reg) r, in(xmm_reg) vector(b),
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
    "ss",
    "ps"
);
host!(
    u64,
    f64,
    0x3ff0_0000_0000_0000_3ff0_0000_0000_0000,
    "sd",
    "pd"
);

#[inline(always)]
fn vector(a: u128) -> __m128i {
    // SAFETY: any 128 bits are a value of either type.
    unsafe { core::mem::transmute(a) }
}

#[inline(always)]
fn bits(a: __m128i) -> u128 {
    // SAFETY: any 128 bits are a value of either type.
    unsafe { core::mem::transmute(a) }
}

/// Single to double precision; a NaN result is to be recomputed.
#[inline(always)]
pub(crate) fn convert_32_to_64(a: u32) -> u64 {
    let mut r = 0f64;
    // SAFETY: computes on registers; touches MXCSR's sticky flags only.
    unsafe {
        asm!("cvtss2sd {0}, {1}", inout(xmm_reg) r, in(xmm_reg) f32::from_bits(a),
            options(nomem, nostack, preserves_flags));
    }
    r.to_bits()
}

/// Double to single precision; [`Host::differs`] applies to the result.
#[inline(always)]
pub(crate) fn convert_64_to_32(a: u64) -> u32 {
    let mut r = 0f32;
    // SAFETY: computes on registers; touches MXCSR's sticky flags only.
    unsafe {
        asm!("cvtsd2ss {0}, {1}", inout(xmm_reg) r, in(xmm_reg) f64::from_bits(a),
            options(nomem, nostack, preserves_flags));
    }
    r.to_bits()
}
