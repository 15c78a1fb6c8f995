//! Floating point on the host's own unit, for the default FPCR mode.
//!
//! The host accumulates the exception flags in its status register, exactly as FPSR would:
//! [`clear`] at entry to guest code and at a write to FPSR, [`raised`] at exit and at a read of
//! FPSR. Each operation is one `asm!` statement, because the compiler may otherwise compute,
//! duplicate or drop floating-point operations at will, flags included.
//!
//! Where the host's answer can differ from Arm's ([`Host::differs`]) the caller computes it
//! again in [`crate::softfloat`]; the flags that the host raised by then are always among
//! those of the exact answer.

use crate::softfloat::{FPCR_DN, FPCR_FZ, FPCR_RMODE, Format};

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
use aarch64 as arch;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
mod portable;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
use portable as arch;
#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
use x86_64 as arch;

pub(crate) use arch::{clear, convert_32_to_64, convert_64_to_32, has_fma, raised};

/// Whether the host computes as `fpcr` asks: rounding to nearest, denormals kept.
#[inline(always)]
pub(crate) fn usable(fpcr: u32) -> bool {
    // Where NaN results are not recomputed the NaN rule matters as well.
    let dn = if arch::NAN_IS_EXACT { FPCR_DN } else { 0 };
    arch::USABLE && fpcr & (FPCR_FZ | FPCR_RMODE | dn) == 0
}

/// A format that the host computes in. Operands and results are bits; the vector forms work on
/// every lane of 128 bits.
pub(crate) trait Host: Format {
    /// The bits of 1.0 in every lane.
    const ONES: u128;

    /// The result needs computing in software.
    #[inline(always)]
    fn differs(self) -> bool {
        if arch::NAN_IS_EXACT {
            return false;
        }
        let magnitude = self.bits() & !Self::SIGN;
        // The smallest normal number may have been tiny before it was rounded.
        magnitude > Self::INF || magnitude == 1 << Self::FRAC
    }

    fn host_add(a: Self, b: Self) -> Self;
    fn host_sub(a: Self, b: Self) -> Self;
    fn host_mul(a: Self, b: Self) -> Self;
    fn host_div(a: Self, b: Self) -> Self;
    fn host_sqrt(a: Self) -> Self;
    /// `c + a * b`; only when [`has_fma`].
    fn host_mul_add(c: Self, a: Self, b: Self) -> Self;
    fn host_from_i64(a: i64) -> Self;
    /// Towards zero; `None` when the answer may be out of range.
    fn host_to_i64(a: Self) -> Option<i64>;
    /// Towards zero; `None` when the answer may be out of range.
    fn host_to_i32(a: Self) -> Option<i32>;

    fn host_add_lanes(a: u128, b: u128) -> u128;
    fn host_sub_lanes(a: u128, b: u128) -> u128;
    fn host_mul_lanes(a: u128, b: u128) -> u128;
    fn host_div_lanes(a: u128, b: u128) -> u128;
    fn host_sqrt_lanes(a: u128) -> u128;
    /// `c + a * b`; only when [`has_fma`].
    fn host_mul_add_lanes(c: u128, a: u128, b: u128) -> u128;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::softfloat::{self, Env};

    type Hard<F> = fn(F, F) -> F;
    type Soft<F> = fn(F, F, &mut Env) -> F;

    fn run<F: Host>(bits: &[u64]) {
        if !usable(0) {
            return;
        }
        clear();
        for &a in bits {
            for &b in bits {
                let (a, b) = (F::from_bits(a), F::from_bits(b));
                let ops: [(Hard<F>, Soft<F>); 4] = [
                    (F::host_add, softfloat::add),
                    (F::host_sub, softfloat::sub),
                    (F::host_mul, softfloat::mul),
                    (F::host_div, softfloat::div),
                ];
                for (i, (host, soft)) in ops.into_iter().enumerate() {
                    clear();
                    let got = host(a, b);
                    let flags = raised();
                    let mut env = Env::new(0);
                    let want = soft(a, b, &mut env);
                    if got.differs() {
                        assert_eq!(flags & !env.flags, 0, "op {i} {a:x?} {b:x?}");
                    } else {
                        assert_eq!((got, flags), (want, env.flags), "op {i} {a:x?} {b:x?}");
                    }
                }
                for &c in bits.iter().filter(|_| has_fma()) {
                    let c = F::from_bits(c);
                    clear();
                    let got = F::host_mul_add(c, a, b);
                    let flags = raised();
                    let mut env = Env::new(0);
                    let want = softfloat::mul_add(c, a, b, &mut env);
                    if got.differs() {
                        assert_eq!(flags & !env.flags, 0, "fma {c:x?} {a:x?} {b:x?}");
                    } else {
                        assert_eq!((got, flags), (want, env.flags), "fma {c:x?} {a:x?} {b:x?}");
                    }
                }
            }
        }
        clear();
        assert_eq!(raised(), 0);
    }

    #[test]
    fn the_host_agrees_with_the_model_flags_included() {
        run::<u32>(&[
            0,
            1,
            0x8000_0001,
            0x0040_0000,
            0x007f_ffff,
            0x0080_0000,
            0x8080_0001,
            0x3f80_0000,
            0x3f80_0001,
            0xbf7f_ffff,
            0x3f00_0000,
            0x4049_0fdb,
            0xc049_0fdb,
            0x7f7f_ffff,
            0xff7f_ffff,
            0x7f80_0000,
            0xff80_0000,
            0x7fc0_1234,
            0x7f80_0001,
            0x8000_0000,
            0x4b80_0000,
            0x2080_0000,
            0x1f80_0001,
            0x00ff_ffff,
            0x3f7f_fffe,
        ]);
        run::<u64>(&[
            0,
            1,
            1 << 63,
            0x000f_ffff_ffff_ffff,
            0x0010_0000_0000_0000,
            0x0010_0000_0000_0001,
            0x3ff0_0000_0000_0000,
            0x3fef_ffff_ffff_ffff,
            0xbff0_0000_0000_0001,
            0x3fe0_0000_0000_0000,
            0x7fef_ffff_ffff_ffff,
            0xffef_ffff_ffff_ffff,
            0x7ff0_0000_0000_0000,
            0xfff0_0000_0000_0000,
            0x7ff8_0000_0000_0123,
            0x7ff0_0000_0000_0001,
            0x4340_0000_0000_0000,
            0x1ff0_0000_0000_0001,
        ]);
    }

    #[test]
    fn conversions_agree_with_the_model() {
        if !usable(0) {
            return;
        }
        for a in [
            0u64,
            1 << 63,
            0x3fe8_0000_0000_0000,
            0x41df_ffff_ffe0_0000,
            0xc1e0_0000_0000_0000,
            0xc1e0_0000_0010_0000,
            0xc1e0_0000_0030_0000,
            0x43e0_0000_0000_0000,
            0x7ff8_0000_0000_0000,
            0x3810_0000_0000_0000,
            0x380f_ffff_ffff_ffff,
            0x47ef_ffff_f000_0000,
        ] {
            let rz = softfloat::Rounding::Zero;
            clear();
            let got = u64::host_to_i32(a);
            let flags = raised();
            let mut env = Env::new(0);
            let want = softfloat::fp_to_fixed(a, 32, 0, false, rz, &mut env) as i32;
            if let Some(got) = got {
                assert_eq!((got, flags), (want, env.flags), "{a:x}");
            } else {
                assert_eq!(flags & !env.flags, 0, "{a:x}");
            }
            clear();
            let got = convert_64_to_32(a);
            let flags = raised();
            let mut env = Env::new(0);
            let want: u32 = softfloat::convert(a, &mut env);
            if got.differs() {
                assert_eq!(flags & !env.flags, 0, "{a:x}");
            } else {
                assert_eq!((got, flags), (want, env.flags), "{a:x}");
            }
        }
    }
}
