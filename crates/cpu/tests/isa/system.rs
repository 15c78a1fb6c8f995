//! System registers that a reference answers otherwise, by chance or by choice.

use tuxlet_cpu::{CpuState, Exit};

use crate::guest::{BRK, DATA, both};

/// `MRS X<t>, S3_3_C<n>_C<m>_<op2>`.
fn mrs(n: u32, m: u32, op2: u32, t: u32) -> u32 {
    0xd53b_0000 | n << 12 | m << 8 | op2 << 5 | t
}

fn msr(n: u32, m: u32, op2: u32, t: u32) -> u32 {
    0xd51b_0000 | n << 12 | m << 8 | op2 << 5 | t
}

#[test]
fn random_numbers_say_that_there_is_one() {
    let code = [mrs(2, 4, 0, 0), mrs(2, 4, 1, 1), mrs(2, 4, 0, 2), BRK];
    both(&code, |guest| {
        let mut thread = guest.thread();
        thread.state.nzcv = 0xf000_0000;
        thread.finish();
        let x = &thread.state.x;
        assert_eq!(thread.state.nzcv, 0);
        assert!(x[0] != x[1] && x[1] != x[2] && x[0] != x[2]);
    });
}

#[test]
fn dit_is_kept() {
    let msr_imm = |value: u32| 0xd503_405f | value << 8;
    let code = [
        mrs(4, 2, 5, 0),
        msr_imm(1),
        mrs(4, 2, 5, 1),
        msr_imm(0),
        mrs(4, 2, 5, 2),
        msr(4, 2, 5, 3),
        mrs(4, 2, 5, 4),
        BRK,
    ];
    both(&code, |guest| {
        let mut thread = guest.thread();
        thread.state.x[3] = !0;
        thread.finish();
        let dit = CpuState::DIT;
        assert_eq!(thread.state.x[..5], [0, dit, 0, !0, dit]);
        assert!(thread.state.dit);
        assert_eq!(thread.state.pstate(), dit);
    });
}

#[test]
fn the_counters_agree() {
    // CNTVCT_EL0, CNTVCTSS_EL0, CNTVCT_EL0, CNTFRQ_EL0.
    let code = [
        mrs(14, 0, 2, 0),
        mrs(14, 0, 6, 1),
        mrs(14, 0, 2, 2),
        mrs(14, 0, 0, 3),
        BRK,
    ];
    both(&code, |guest| {
        let mut thread = guest.thread();
        thread.finish();
        let x = &thread.state.x;
        assert!(x[0] <= x[1] && x[1] <= x[2]);
        assert_eq!(x[3], 1_000_000_000);
    });
}

#[test]
fn caches_are_described() {
    // CTR_EL0, DCZID_EL0, TPIDRRO_EL0.
    let code = [mrs(0, 0, 1, 0), mrs(0, 0, 7, 1), mrs(13, 0, 3, 2), BRK];
    both(&code, |guest| {
        let mut thread = guest.thread();
        thread.finish();
        let ctr = thread.state.x[0];
        assert_eq!(ctr >> 29 & 1, 0, "DIC: programs must invalidate");
        assert_eq!(ctr >> 31 & 1, 1, "RES1");
        assert_eq!(thread.state.x[1..3], [4, 0]);
    });
}

/// DC ZVA clears the block that holds its address, and DC CVAC, CVAU, CIVAC, CVAP and CVADP fault where
/// nothing is mapped, at the address they were given, less its tag.
#[test]
fn cache_operations() {
    const ZVA: u32 = 0xd50b_7420;
    both(&[ZVA, BRK], |guest| {
        guest.write(DATA, &[0xff; 0x200]);
        let mut thread = guest.thread();
        thread.state.x[0] = DATA + 0x9f | 0x55 << 56;
        thread.finish();
        let mut want = vec![0xff; 0x200];
        want[0x80..0xc0].fill(0);
        assert_eq!(guest.read(DATA, 0x200), want);
    });
    for word in [
        ZVA,
        0xd50b_7a20,
        0xd50b_7b20,
        0xd50b_7e20,
        0xd50b_7c20,
        0xd50b_7d20,
    ] {
        both(&[word, BRK], |guest| {
            let mut thread = guest.thread();
            thread.state.x[0] = DATA + 0xfff | 0xaa << 56;
            thread.finish();
            let mut thread = guest.thread();
            thread.state.x[0] = DATA - 5 | 0xaa << 56;
            match thread.run() {
                Exit::Fault(fault) => assert_eq!(fault.addr, DATA - 5),
                other => panic!("{word:08x}: {other:?}"),
            }
        });
    }
}
