//! A host whose floating-point unit is not used: everything goes to software.

use super::Host;
use crate::softfloat::{self, Env};

pub(super) const USABLE: bool = false;
pub(super) const NAN_IS_EXACT: bool = false;

/// There is no host flag to clear.
pub(crate) fn clear() {}

/// No host flag is ever raised.
pub(crate) fn raised() -> u32 {
    0
}

/// Never: [`super::usable`] is false.
pub(crate) fn has_fma() -> bool {
    false
}

macro_rules! host {
    ($bits:ty, $ones:expr) => {
        impl Host for $bits {
            const ONES: u128 = $ones;
            host!(host_add, host_add_lanes, add);
            host!(host_sub, host_sub_lanes, sub);
            host!(host_mul, host_mul_lanes, mul);
            host!(host_div, host_div_lanes, div);
            fn host_sqrt(a: Self) -> Self {
                softfloat::sqrt(a, &mut Env::default())
            }
            fn host_mul_add(c: Self, a: Self, b: Self) -> Self {
                softfloat::mul_add(c, a, b, &mut Env::default())
            }
            fn host_from_i64(a: i64) -> Self {
                softfloat::fixed_to_fp(a as u64, 64, 0, false, &mut Env::default())
            }
            fn host_to_i64(_: Self) -> Option<i64> {
                None
            }
            fn host_to_i32(_: Self) -> Option<i32> {
                None
            }
            fn host_sqrt_lanes(a: u128) -> u128 {
                lanes(|i| Self::host_sqrt(lane(a, i)))
            }
            fn host_mul_add_lanes(c: u128, a: u128, b: u128) -> u128 {
                lanes(|i| Self::host_mul_add(lane(c, i), lane(a, i), lane(b, i)))
            }
        }
    };
    ($one:ident, $lanes:ident, $soft:ident) => {
        fn $one(a: Self, b: Self) -> Self {
            softfloat::$soft(a, b, &mut Env::default())
        }
        fn $lanes(a: u128, b: u128) -> u128 {
            lanes(|i| Self::$one(lane(a, i), lane(b, i)))
        }
    };
}
host!(u32, 0x3f80_0000_3f80_0000_3f80_0000_3f80_0000);
host!(u64, 0x3ff0_0000_0000_0000_3ff0_0000_0000_0000);

fn lane<F: Host>(v: u128, i: u32) -> F {
    F::from_bits((v >> (i * F::BITS)) as u64)
}

fn lanes<F: Host>(f: impl Fn(u32) -> F) -> u128 {
    (0..128 / F::BITS).fold(0, |v, i| v | u128::from(f(i).bits()) << (i * F::BITS))
}

/// Single to double precision.
pub(crate) fn convert_32_to_64(a: u32) -> u64 {
    softfloat::convert(a, &mut Env::default())
}

/// Double to single precision.
pub(crate) fn convert_64_to_32(a: u64) -> u32 {
    softfloat::convert(a, &mut Env::default())
}
