//! One test for each disagreement that vectors, fuzzing and other people's tests have found: what the manual says, where
//! we or a reference said otherwise.

use tuxlet_cpu::Exit;

use crate::guest::{BRK, CODE, DATA, Guest, both};

/// qemu 7.2 sign-extends a half-precision FCVTZS (scalar, fixed point) beyond its 16 bits. Arm ARM C7.2.122: the rest of
/// the register is cleared.
#[test]
fn fcvtzs_of_a_half_precision_number_clears_the_rest() {
    // fcvtzs h0, h1, #1; fcvtzs v2.4h, v1.4h, #1
    both(&[0x5f1f_fc20, 0x0f1f_fc22, BRK], |guest| {
        let mut thread = guest.thread();
        thread.state.v[0] = u128::MAX;
        thread.state.v[1] = 0xbe00; // -1.5
        thread.state.v[2] = u128::MAX;
        thread.finish();
        assert_eq!(thread.state.v[0], 0xfffd);
        assert_eq!(thread.state.v[2], 0xfffd);
    });
}

/// qemu before 10 takes a negative denormal that is flushed for +0. Arm ARM, FPToFixedJS: Z is set for +0 only.
#[test]
fn fjcvtzs_of_a_flushed_negative_denormal_clears_z() {
    for (bits, z) in [
        (0x8000_0000_0000_0001u64, false),
        (1 << 63, false),
        (0, true),
    ] {
        // fjcvtzs w0, d1
        both(&[0x1e7e_0020, BRK], |guest| {
            let mut thread = guest.thread();
            thread.state.fpcr = 1 << 24;
            thread.state.nzcv = if z { 0 } else { 0xf000_0000 };
            thread.state.v[1] = bits.into();
            thread.finish();
            assert_eq!(thread.state.x[0], 0);
            assert_eq!(thread.state.nzcv, u32::from(z) << 30, "{bits:x}");
        });
    }
}

/// Bits of FPCR and FPSR that belong to AArch32 or to features that are not offered (AFP, EBF16, trapped exceptions) are
/// RES0 (Arm ARM C5.2.8, C5.2.9); qemu keeps some.
#[test]
fn control_bits_of_absent_features_read_zero() {
    // msr fpcr, x0; mrs x1, fpcr; msr fpsr, x0; mrs x2, fpsr; msr fpcr, xzr
    let code = [
        0xd51b_4400,
        0xd53b_4401,
        0xd51b_4420,
        0xd53b_4422,
        0xd51b_441f,
        BRK,
    ];
    both(&code, |guest| {
        let mut thread = guest.thread();
        thread.state.x[0] = u64::MAX;
        thread.finish();
        assert_eq!(thread.state.x[1], 0x07c8_0000);
        assert_eq!(thread.state.x[2], 0x0800_009f);
    });
}

/// FEAT_SSBS is not offered: MSR SSBS is UNDEFINED (Arm ARM C6.2.229), where qemu has it.
#[test]
fn speculation_control_is_undefined() {
    let word = 0xd503_413f; // msr ssbs, #1
    both(&[word, BRK], |guest| {
        assert_eq!(guest.thread().run(), Exit::Undefined { word });
    });
}

/// Hints that sign addresses are NOPs, the other pointer authentication instructions UNDEFINED, as on a core without it.
#[test]
fn pointers_are_not_signed() {
    // paciasp; autiasp; pacia1716; xpaclri; bti jc
    let code = [
        0xd503_233f,
        0xd503_23bf,
        0xd503_211f,
        0xd503_20ff,
        0xd503_24df,
        BRK,
    ];
    both(&code, |guest| {
        let mut thread = guest.thread();
        thread.state.x[17] = 0x1234;
        thread.state.x[30] = 0x12_3456_7890;
        let start = thread.state.clone();
        thread.finish();
        assert_eq!(thread.state.x, start.x);
    });
    // retaa; braa x0, x1; ldraa x0, [x1]; pacia x0, x1; pacga x0, x1, x2; xpaci x0
    for word in [
        0xd65f_0bff,
        0xd71f_0801,
        0xf820_0420,
        0xdac1_0020,
        0x9ac2_3020,
        0xdac1_43e0,
    ] {
        both(&[word, BRK], |guest| {
            assert_eq!(guest.thread().run(), Exit::Undefined { word }, "{word:08x}");
        });
    }
}

/// A load of several registers that faults has loaded none of them (Arm ARM B2.2.1.2 leaves it open; qemu has loaded
/// some), and DC CVAU of what is not mapped faults with its very address (qemu's does nothing).
#[test]
fn faults_are_precise_where_the_reference_is_not() {
    // ldp q0, q1, [x0]; ld2 {v0.16b, v1.16b}, [x0]
    for word in [0xad40_0400, 0x4c40_8000] {
        both(&[word, BRK], |guest| {
            let mut thread = guest.thread();
            thread.state.x[0] = DATA - 16;
            thread.state.v[0] = 1;
            thread.state.v[1] = 2;
            let start = thread.state.clone();
            assert!(matches!(thread.run(), Exit::Fault(_)));
            assert_eq!(thread.state, start);
        });
    }
    let guest = Guest::new(true, &[0xd50b_7b20, BRK]); // dc cvau, x0
    let mut thread = guest.thread();
    thread.state.x[0] = DATA - 3;
    let Exit::Fault(fault) = thread.run() else {
        panic!("DC CVAU of nothing");
    };
    assert_eq!((fault.addr, thread.state.pc), (DATA - 3, CODE));
}

/// A store-exclusive that is not aligned faults even though the monitor is open (Arm ARM, AArch64.ExclusiveMonitorsPass);
/// qemu asks the monitor first.
#[test]
fn a_store_exclusive_checks_alignment_before_the_monitor() {
    // stxr w1, x2, [x0]
    both(&[0xc801_7c02, BRK], |guest| {
        let mut thread = guest.thread();
        thread.state.x[0] = DATA + 12;
        let exit = thread.run();
        assert_eq!(exit, Exit::Unaligned { addr: DATA + 12 });
        assert_eq!(thread.state.x[1], 0);
    });
}
