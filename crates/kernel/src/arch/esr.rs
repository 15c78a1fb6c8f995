//! Exception syndromes as ESR_EL1 shows them, Arm ARM D17.2.37; signal frames carry them.

use tuxlet_mem::{Access, Fault, FaultKind};

const EC_INSN_ABORT_LOWER: u64 = 0x20;
const EC_DATA_ABORT_LOWER: u64 = 0x24;
/// 32-bit instruction.
const IL: u64 = 1 << 25;
/// Write, not read.
const WNR: u64 = 1 << 6;

/// Translation fault, level 3.
const TRANSLATION_L3: u64 = 0x07;
/// Permission fault, level 3.
const PERMISSION_L3: u64 = 0x0f;
/// The syndrome of an alignment fault of a load or store.
pub const ALIGNMENT_FAULT: u64 = EC_DATA_ABORT_LOWER << 26 | IL | 0x21;

/// The syndrome of a misaligned pc, an exception class of its own.
pub const PC_ALIGNMENT_FAULT: u64 = 0x22 << 26 | IL;
/// The syndrome of a load or store with a misaligned SP as its base.
pub const SP_ALIGNMENT_FAULT: u64 = 0x26 << 26 | IL;

/// The syndrome of a memory fault.
#[must_use]
pub fn of_fault(fault: &Fault) -> u64 {
    let class = if fault.access == Access::Exec {
        EC_INSN_ABORT_LOWER
    } else {
        EC_DATA_ABORT_LOWER
    };
    let status = match fault.kind {
        FaultKind::AccErr => PERMISSION_L3,
        FaultKind::MapErr | FaultKind::BusAdrErr | FaultKind::Oom => TRANSLATION_L3,
    };
    let write = if fault.access == Access::Write {
        WNR
    } else {
        0
    };
    class << 26 | IL | write | status
}
