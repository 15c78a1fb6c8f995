//! Hardware capabilities: what the instruction table implements, no more and no less.

use tuxlet_a64::Feature as F;
use tuxlet_uapi::auxv as a;

/// Bits of `AT_HWCAP` and the features that each needs.
const HWCAP: &[(u64, &[F])] = &[
    (a::HWCAP_FP, &[F::Fp]),
    (a::HWCAP_ASIMD, &[F::Simd]),
    (a::HWCAP_AES, &[F::Aes]),
    (a::HWCAP_PMULL, &[F::Pmull]),
    (a::HWCAP_SHA1, &[F::Sha1]),
    (a::HWCAP_SHA2, &[F::Sha256]),
    (a::HWCAP_CRC32, &[F::Crc32]),
    (a::HWCAP_ATOMICS, &[F::Lse]),
    (a::HWCAP_FPHP, &[F::Fp, F::Fp16]),
    (a::HWCAP_ASIMDHP, &[F::Simd, F::Fp16]),
    // MRS of the ID registers works at EL0.
    (a::HWCAP_CPUID, &[F::Base]),
    (a::HWCAP_ASIMDRDM, &[F::Rdm]),
    (a::HWCAP_JSCVT, &[F::Jscvt]),
    (a::HWCAP_FCMA, &[F::Fcma]),
    (a::HWCAP_LRCPC, &[F::Lrcpc]),
    (a::HWCAP_DCPOP, &[F::Dpb]),
    (a::HWCAP_SHA3, &[F::Sha3]),
    (a::HWCAP_SM3, &[F::Sm3]),
    (a::HWCAP_SM4, &[F::Sm4]),
    (a::HWCAP_ASIMDDP, &[F::Dotprod]),
    (a::HWCAP_SHA512, &[F::Sha512]),
    (a::HWCAP_ASIMDFHM, &[F::Fhm]),
    (a::HWCAP_ILRCPC, &[F::Lrcpc, F::Lrcpc2]),
    (a::HWCAP_FLAGM, &[F::Flagm]),
    (a::HWCAP_SB, &[F::Sb]),
];

/// Bits of `AT_HWCAP2` and the features that each needs.
const HWCAP2: &[(u64, &[F])] = &[
    (a::HWCAP2_FLAGM2, &[F::Flagm, F::Flagm2]),
    (a::HWCAP2_FRINT, &[F::Frintts]),
    (a::HWCAP2_I8MM, &[F::I8mm]),
    (a::HWCAP2_BF16, &[F::Bf16]),
    (a::HWCAP2_RNG, &[F::Rng]),
    (a::HWCAP2_WFXT, &[F::Wfxt]),
];

fn bits(table: &[(u64, &[F])]) -> u64 {
    let complete = |(_, features): &&(u64, &[F])| features.iter().all(|f| f.is_complete());
    table
        .iter()
        .filter(complete)
        .fold(0, |bits, (bit, _)| bits | bit)
}

/// `AT_HWCAP`.
#[must_use]
pub fn hwcap() -> u64 {
    bits(HWCAP)
}

/// `AT_HWCAP2`.
#[must_use]
pub fn hwcap2() -> u64 {
    bits(HWCAP2)
}
