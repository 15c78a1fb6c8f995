//! Identification registers and the counter, as Linux lets EL0 read them.

use std::sync::OnceLock;
use std::time::Instant;

use tuxlet_a64::Feature;

use crate::quadword;

/// Bytes that `DC ZVA` clears.
pub(crate) const ZVA_BYTES: u64 = 64;
/// Bytes of a cache line.
pub(crate) const LINE_BYTES: u64 = 64;
/// DCZID_EL0: log2 of the block in words.
pub(crate) const DCZID_EL0: u64 = 4;
/// CTR_EL0: 64-byte lines, PIPT, IDC = 1 (no cleaning needed), DIC = 0: programs must use `IC IVAU`
/// after writing code.
pub(crate) const CTR_EL0: u64 = 0x9444_c004;
/// Frequency of the virtual counter: nanoseconds.
pub(crate) const COUNTER_HZ: u64 = 1_000_000_000;

/// MIDR_EL1: no assigned implementer, architecture by ID registers, part number "T".
const MIDR_EL1: u64 = 0x000f_0540;
/// MPIDR_EL1 as Linux shows it: the RES1 bit only.
const MPIDR_EL1: u64 = 1 << 31;

/// CNTVCT_EL0: nanoseconds since the first use in this process.
pub fn counter() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// An ID register of op0 = 3, op1 = 0, CRn = 0; `None` where Linux delivers SIGILL.
#[must_use]
pub fn read(crm: u8, op2: u8) -> Option<u64> {
    match (crm, op2) {
        (0, 0) => Some(MIDR_EL1),
        (0, 5) => Some(MPIDR_EL1),
        (0, 6) => Some(0),
        (2..=7, _) => {
            static REGISTERS: OnceLock<Registers> = OnceLock::new();
            let r = REGISTERS.get_or_init(Registers::compute);
            Some(match (crm, op2) {
                (4, 0) => r.pfr0,
                (6, 0) => r.isar0,
                (6, 1) => r.isar1,
                (6, 2) => r.isar2,
                (7, 0) => r.mmfr0,
                (7, 2) => r.mmfr2,
                _ => 0,
            })
        }
        _ => None,
    }
}

/// The registers that are not all zero.
struct Registers {
    pfr0: u64,
    mmfr0: u64,
    mmfr2: u64,
    isar0: u64,
    isar1: u64,
    isar2: u64,
}

/// `value` at bit `shift` if all of `features` are implemented.
fn field(shift: u32, value: u64, features: &[Feature]) -> u64 {
    if features.iter().all(|f| f.is_complete()) {
        value << shift
    } else {
        0
    }
}

impl Registers {
    fn compute() -> Self {
        // Fields with levels: the levels' bits add up by OR (1, then 1|2 = 3 never occurs: level 2
        // fields are given as the XOR of both levels).
        let fp = if Feature::Fp.is_complete() && Feature::Simd.is_complete() {
            field(16, 0x11, &[Feature::Fp16])
        } else {
            0xff << 16
        };
        Registers {
            // EL0 and EL1 are AArch64 only.
            pfr0: 0x11 | fp | field(48, 1, &[Feature::Dit]),
            isar0: (field(4, 1, &[Feature::Aes]) ^ field(4, 3, &[Feature::Aes, Feature::Pmull]))
                | field(8, 1, &[Feature::Sha1])
                | (field(12, 1, &[Feature::Sha256])
                    ^ field(12, 3, &[Feature::Sha256, Feature::Sha512]))
                | field(16, 1, &[Feature::Crc32])
                | field(20, 2, &[Feature::Lse])
                | field(28, 1, &[Feature::Rdm])
                | field(32, 1, &[Feature::Sha3])
                | field(36, 1, &[Feature::Sm3])
                | field(40, 1, &[Feature::Sm4])
                | field(44, 1, &[Feature::Dotprod])
                | field(48, 1, &[Feature::Fhm])
                | field(60, 1, &[Feature::Rng])
                | (field(52, 1, &[Feature::Flagm])
                    ^ field(52, 3, &[Feature::Flagm, Feature::Flagm2])),
            isar1: (field(0, 1, &[Feature::Dpb]) ^ field(0, 3, &[Feature::Dpb, Feature::Dpb2]))
                | field(12, 1, &[Feature::Jscvt])
                | field(16, 1, &[Feature::Fcma])
                | field(32, 1, &[Feature::Frintts])
                | field(44, 1, &[Feature::Bf16])
                | field(52, 1, &[Feature::I8mm])
                | (field(20, 1, &[Feature::Lrcpc])
                    ^ field(20, 3, &[Feature::Lrcpc, Feature::Lrcpc2]))
                | field(36, 1, &[Feature::Sb])
                | field(56, 1, &[Feature::Xs]),
            isar2: field(0, 2, &[Feature::Wfxt])
                | field(16, 1, &[Feature::Mops])
                | field(20, 1, &[Feature::Hbc])
                | field(52, 1, &[Feature::Cssc]),
            mmfr0: field(60, 1, &[Feature::Ecv]),
            // FEAT_LSE2 is a promise of loads and stores, which have rows anyway: it depends on the host.
            mmfr2: u64::from(quadword::single_copy_atomic()) << 32,
        }
    }
}
