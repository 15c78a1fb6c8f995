//! Where the reference is known to differ, and who is right.

use crate::compare::{Pair, word64};
use crate::image::{CODE, FPCR, FPSR, NZCV, OUTPUT, SCRATCH, SCRATCH_LEN, V, X};
use crate::program::{SIGNAL, SIGNAL_ADDR, SIGNAL_CODE};

/// A difference that is not ours to fix.
pub(crate) struct Known {
    /// Rows; a name may end in `*`.
    pub(crate) rows: &'static [&'static str],
    /// Whether this is such a case.
    pub(crate) is: fn(&Pair<'_>) -> bool,
}

/// SIGILL, SIGBUS, SIGSEGV.
const ILL: u64 = 4;
const BUS: u64 = 7;
const SEGV: u64 = 11;

/// The fields of a signal, and of its code and address.
const NOTE: (usize, usize) = (SIGNAL, 24);
const DETAILS: (usize, usize) = (SIGNAL_CODE, 16);

/// All of them, for qemu 10.0.
const KNOWN: &[Known] = &[
    // Linux says ILL_ILLOPC of undefined instructions (arm64's do_el0_undef), qemu ILL_ILLOPN.
    Known {
        rows: &["*"],
        is: |p| p.signals() == (ILL, ILL) && p.same_but(&[(SIGNAL_CODE, 8)]),
    },
    // qemu reserves the gaps between the segments of a program, so that they are mapped without
    // permissions; Linux maps nothing there.
    Known {
        rows: &["*"],
        is: |p| {
            let addr = word64(p.got, SIGNAL_ADDR);
            p.signals() == (SEGV, SEGV)
                && (CODE..OUTPUT).contains(&addr)
                && (word64(p.want, SIGNAL_CODE), word64(p.got, SIGNAL_CODE)) == (2, 1)
                && p.same_but(&[(SIGNAL_CODE, 8)])
        },
    },
    // qemu takes addresses from the host's faults, which x86-64 does not tell of for addresses that
    // are not canonical there.
    Known {
        rows: &["*"],
        is: |p| {
            p.signals() == (SEGV, SEGV)
                && word64(p.want, SIGNAL_ADDR) == 0
                && word64(p.got, SIGNAL_ADDR) >> 47 != 0
                && p.same_but(&[DETAILS])
        },
    },
    // Registers that a faulting load of several was to load are UNKNOWN (Arm ARM B2.2.1.2,
    // "restarted"); qemu has loaded some, we none (tests/isa/traps.rs).
    Known {
        rows: &["Ld1*", "Ld2*", "Ld3*", "Ld4*", "LdpVec*", "LdnpVec"],
        is: |p| {
            p.signals() == (SEGV, SEGV)
                && p.same_but(&[(V, 512), (SIGNAL_CODE, 8)])
                && p.unchanged_here(V, 512)
        },
    },
    // Behind a main part that faulted and was stepped over, the epilogue has more left than a page, of which an
    // implementation may complain (Arm ARM C6.2 CPYE, "IMPLEMENTATION DEFINED"); ours does the rest.
    Known {
        rows: &["Cpy*"],
        is: |p| p.signals() == (ILL, SEGV) && p.same_but(&[NOTE]),
    },
    // How much a prologue copies is IMPLEMENTATION DEFINED (Arm ARM C6.2 CPYP): qemu's goes to the end of a page and
    // faults where nothing is mapped, ours copies nothing and leaves that to the main part. What follows a prologue
    // that faulted and was stepped over has no meaning.
    Known {
        rows: &["Cpy*"],
        is: |p| {
            let [d, s, n] = [0, 16, 5].map(|low| X + 8 * (p.unit[0] >> low & 31) as usize);
            let end = SCRATCH + SCRATCH_LEN;
            let at_end = |at| word64(p.start, at) << 8 >> 8 == end;
            word64(p.got, SIGNAL) == SEGV
                && word64(p.got, SIGNAL_ADDR) == end
                && (at_end(d) || at_end(s))
                && p.same_but(&[(d, 8), (s, 8), (n, 8), (NZCV, 8), NOTE])
        },
    },
    // FEAT_PAuth is not offered, so that its hints do nothing; a native reference may have it.
    Known {
        rows: &["Hint"],
        is: |p| {
            let hint = p.unit[0] >> 5 & 0x7f;
            let signs = matches!(hint, 7 | 8 | 10 | 12 | 14 | 24..=31);
            signs && p.same_but(&[(X + 8 * 17, 8), (X + 8 * 30, 8)])
        },
    },
    // FEAT_SSBS is not offered (Arm ARM C6.2 MSR (immediate): UNDEFINED without it).
    Known {
        rows: &["MsrImm"],
        is: |p| p.signals() == (0, ILL) && p.same_but(&[NOTE]),
    },
    // The address of a bulk copy's fault comes from the host's memcpy in qemu: somewhere in the page.
    Known {
        rows: &["Cpy*"],
        is: |p| {
            p.signals() == (SEGV, SEGV)
                && word64(p.want, SIGNAL_ADDR) >> 12 == word64(p.got, SIGNAL_ADDR) >> 12
                && p.same_but(&[DETAILS])
        },
    },
    // FPSR's condition flags of AArch32 (Arm ARM C5.2.9: RES0 where there is none).
    Known {
        rows: &["MsrReg"],
        is: |p| {
            let differ = word64(p.want, FPSR) ^ word64(p.got, FPSR);
            differ & !0xf000_0000 == 0 && p.same_but(&[(FPSR, 8)])
        },
    },
    // A denormal flushed to -0 clears Z (Arm ARM, FPToFixedJS); qemu before 10 takes it for +0.
    Known {
        rows: &["Fjcvtzs"],
        is: |p| {
            word64(p.start, FPCR) >> 24 & 1 != 0
                && word64(p.got, NZCV) == 0
                && p.same_but(&[(NZCV, 8)])
        },
    },
    // FPCR's bits of FEAT_AFP and FEAT_EBF16, which are not offered, and of AArch32 (Arm ARM C5.2.8: RES0).
    Known {
        rows: &["MsrReg"],
        is: |p| {
            let differ = word64(p.want, FPCR) ^ word64(p.got, FPCR);
            differ & 0x07c8_0000 == 0
                && word64(p.got, FPCR) & !0x07c8_0000 == 0
                && p.same_but(&[(FPCR, 8)])
        },
    },
    // DC CVAC, CVAU and CIVAC can fault (Arm ARM C6.2 DC, D8.16.8 FAR_ELx); qemu's do nothing.
    Known {
        rows: &["DcCva"],
        is: |p| p.signals() == (0, SEGV) && p.same_but(&[NOTE]),
    },
    // qemu does not ignore tags there, and tells the start of its line instead of the register
    // (Arm ARM D8.16.8: FAR_ELx holds the address of the argument).
    Known {
        rows: &["DcCvap", "DcCvadp"],
        is: |p| {
            let tagged = word64(p.start, X + 8 * (p.unit[0] & 31) as usize) >> 56 != 0;
            let same_line = word64(p.want, SIGNAL_ADDR) >> 6 == word64(p.got, SIGNAL_ADDR) >> 6;
            match p.signals() {
                (SEGV, 0) => tagged && p.same_but(&[NOTE]),
                (SEGV, SEGV) => (tagged || same_line) && p.same_but(&[DETAILS]),
                _ => false,
            }
        },
    },
    // A store-exclusive checks alignment before the monitor (Arm ARM, AArch64.ExclusiveMonitorsPass;
    // tests/isa/atomicity.rs); qemu asks the monitor first.
    Known {
        rows: &["Stxr", "Stlxr", "Stxp", "Stlxp"],
        is: |p| {
            let status = (X + 8 * (p.unit[0] >> 16 & 31) as usize, 8);
            p.signals() == (0, BUS) && p.same_but(&[NOTE, status])
        },
    },
];

/// Whether a difference is known.
pub(crate) fn is_known(row: &str, pair: &Pair<'_>) -> bool {
    KNOWN
        .iter()
        .any(|known| known.rows.iter().any(|name| matches(name, row)) && (known.is)(pair))
}

/// Rows that store by several accesses; the widest stores 64 bytes.
const STORES: &[&str] = &[
    "Stp*", "Stnp*", "StrVec*", "SturVec", "St1*", "St2*", "St3*", "St4*",
];

/// How many bytes before memory's end may differ after [`is_partial_store`].
pub(crate) const PARTIAL: usize = 64;

/// Whether this stored across memory's end. Accesses before the one that faults may have been performed (Arm ARM D1,
/// "Definition of a precise exception"): qemu has stored some, we nothing (tests/isa/traps.rs).
pub(crate) fn is_partial_store(row: &str, pair: &Pair<'_>) -> bool {
    STORES.iter().any(|name| matches(name, row))
        && pair.signals() == (SEGV, SEGV)
        && word64(pair.got, SIGNAL_ADDR) == SCRATCH + SCRATCH_LEN
}

/// Whether a row's name fits a pattern that may end in `*`.
pub(crate) fn matches(pattern: &str, row: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => row.starts_with(start),
        None => pattern == row,
    }
}
