//! Hardware capabilities: what the instruction table implements, no more and no less.

use tuxlet_a64::Feature;
use tuxlet_cpu::CpuState;
use tuxlet_uapi::auxv as a;

/// Features and the `AT_HWCAP` bits that say so.
const HWCAP: &[(Feature, u64)] = &[
    (Feature::Fp, a::HWCAP_FP),
    (Feature::Simd, a::HWCAP_ASIMD),
    (Feature::Aes, a::HWCAP_AES),
    (Feature::Pmull, a::HWCAP_PMULL),
    (Feature::Sha1, a::HWCAP_SHA1),
    (Feature::Sha256, a::HWCAP_SHA2),
    (Feature::Crc32, a::HWCAP_CRC32),
    (Feature::Lse, a::HWCAP_ATOMICS),
];

/// `AT_HWCAP`.
#[must_use]
pub fn hwcap() -> u64 {
    HWCAP
        .iter()
        .filter(|(f, _)| f.is_complete())
        .fold(0, |bits, (_, bit)| bits | bit)
}

/// `AT_HWCAP2`.
#[must_use]
pub fn hwcap2() -> u64 {
    0
}

/// Registers that do not start at zero.
pub(crate) fn init_registers(cpu: &mut CpuState) {
    let _ = cpu;
}
