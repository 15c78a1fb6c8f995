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
    (a::HWCAP_DIT, &[F::Dit]),
    (a::HWCAP_ILRCPC, &[F::Lrcpc, F::Lrcpc2]),
    (a::HWCAP_FLAGM, &[F::Flagm]),
    (a::HWCAP_SB, &[F::Sb]),
];

/// Bits of `AT_HWCAP2` and the features that each needs.
const HWCAP2: &[(u64, &[F])] = &[
    (a::HWCAP2_DCPODP, &[F::Dpb, F::Dpb2]),
    (a::HWCAP2_FLAGM2, &[F::Flagm, F::Flagm2]),
    (a::HWCAP2_FRINT, &[F::Frintts]),
    (a::HWCAP2_I8MM, &[F::I8mm]),
    (a::HWCAP2_BF16, &[F::Bf16]),
    (a::HWCAP2_RNG, &[F::Rng]),
    (a::HWCAP2_ECV, &[F::Ecv]),
    (a::HWCAP2_WFXT, &[F::Wfxt]),
    (a::HWCAP2_CSSC, &[F::Cssc]),
    (a::HWCAP2_MOPS, &[F::Mops]),
    (a::HWCAP2_HBC, &[F::Hbc]),
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
    // FEAT_LSE2 has no rows: whether loads and stores keep its promise depends on the host. ID_AA64MMFR2_EL1.AT.
    let lse2 = tuxlet_cpu::id_register(7, 2).is_some_and(|mmfr2| mmfr2 >> 32 & 15 != 0);
    bits(HWCAP) | if lse2 { a::HWCAP_USCAT } else { 0 }
}

/// `AT_HWCAP2`.
#[must_use]
pub fn hwcap2() -> u64 {
    bits(HWCAP2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRm and op2 of the identification registers.
    const PFR0: (u8, u8) = (4, 0);
    const ISAR0: (u8, u8) = (6, 0);
    const ISAR1: (u8, u8) = (6, 1);
    const ISAR2: (u8, u8) = (6, 2);
    const MMFR0: (u8, u8) = (7, 0);
    const MMFR2: (u8, u8) = (7, 2);

    /// Capability, register, lowest bit of its field, least value: as arch/arm64/elf_hwcaps.rst says.
    const HWCAP_FIELDS: &[(u64, (u8, u8), u32, i64)] = &[
        (a::HWCAP_FP, PFR0, 16, 0),
        (a::HWCAP_FPHP, PFR0, 16, 1),
        (a::HWCAP_ASIMD, PFR0, 20, 0),
        (a::HWCAP_ASIMDHP, PFR0, 20, 1),
        (a::HWCAP_DIT, PFR0, 48, 1),
        (a::HWCAP_AES, ISAR0, 4, 1),
        (a::HWCAP_PMULL, ISAR0, 4, 2),
        (a::HWCAP_SHA1, ISAR0, 8, 1),
        (a::HWCAP_SHA2, ISAR0, 12, 1),
        (a::HWCAP_SHA512, ISAR0, 12, 2),
        (a::HWCAP_CRC32, ISAR0, 16, 1),
        (a::HWCAP_ATOMICS, ISAR0, 20, 2),
        (a::HWCAP_ASIMDRDM, ISAR0, 28, 1),
        (a::HWCAP_SHA3, ISAR0, 32, 1),
        (a::HWCAP_SM3, ISAR0, 36, 1),
        (a::HWCAP_SM4, ISAR0, 40, 1),
        (a::HWCAP_ASIMDDP, ISAR0, 44, 1),
        (a::HWCAP_ASIMDFHM, ISAR0, 48, 1),
        (a::HWCAP_FLAGM, ISAR0, 52, 1),
        (a::HWCAP_DCPOP, ISAR1, 0, 1),
        (a::HWCAP_PACA, ISAR1, 4, 1),
        (a::HWCAP_JSCVT, ISAR1, 12, 1),
        (a::HWCAP_FCMA, ISAR1, 16, 1),
        (a::HWCAP_LRCPC, ISAR1, 20, 1),
        (a::HWCAP_ILRCPC, ISAR1, 20, 2),
        (a::HWCAP_PACG, ISAR1, 24, 1),
        (a::HWCAP_SB, ISAR1, 36, 1),
        (a::HWCAP_USCAT, MMFR2, 32, 1),
    ];
    const HWCAP2_FIELDS: &[(u64, (u8, u8), u32, i64)] = &[
        (a::HWCAP2_FLAGM2, ISAR0, 52, 2),
        (a::HWCAP2_RNG, ISAR0, 60, 1),
        (a::HWCAP2_DCPODP, ISAR1, 0, 2),
        (a::HWCAP2_FRINT, ISAR1, 32, 1),
        (a::HWCAP2_BF16, ISAR1, 44, 1),
        (a::HWCAP2_DGH, ISAR1, 48, 1),
        (a::HWCAP2_I8MM, ISAR1, 52, 1),
        (a::HWCAP2_WFXT, ISAR2, 0, 2),
        (a::HWCAP2_MOPS, ISAR2, 16, 1),
        (a::HWCAP2_HBC, ISAR2, 20, 1),
        (a::HWCAP2_CSSC, ISAR2, 52, 1),
        (a::HWCAP2_ECV, MMFR0, 60, 1),
    ];

    fn from_registers(fields: &[(u64, (u8, u8), u32, i64)]) -> u64 {
        let has = |&&(_, (crm, op2), low, least): &&(u64, (u8, u8), u32, i64)| {
            let register = tuxlet_cpu::id_register(crm, op2).unwrap_or(0);
            // FP and AdvSIMD are signed: all ones is none.
            let field = if (crm, op2) == PFR0 && low < 24 {
                (register << (60 - low)) as i64 >> 60
            } else {
                (register >> low & 15) as i64
            };
            field >= least
        };
        fields.iter().filter(has).fold(0, |bits, f| bits | f.0)
    }

    #[test]
    fn capabilities_are_those_of_the_identification_registers() {
        assert_eq!(hwcap(), from_registers(HWCAP_FIELDS) | a::HWCAP_CPUID);
        assert_eq!(hwcap2(), from_registers(HWCAP2_FIELDS));
    }

    #[test]
    fn every_complete_feature_with_a_capability_is_advertised() {
        let named: Vec<F> = HWCAP
            .iter()
            .chain(HWCAP2)
            .flat_map(|(_, features)| features.iter().copied())
            .collect();
        let silent: Vec<F> = F::ALL
            .iter()
            .copied()
            .filter(|f| f.is_complete() && !named.contains(f))
            .collect();
        // Linux has no capabilities for these; BTI is advertised by nobody who does not guard pages.
        assert_eq!(silent, [F::Bti, F::El1, F::Lor, F::Xs]);
    }
}
