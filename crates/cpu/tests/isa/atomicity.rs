//! Single-copy atomicity with threads of the host (Arm ARM B2.2.1, with FEAT_LSE2), and atomic
//! read-modify-writes of pairs.

use tuxlet_a64 as a64;
use tuxlet_cpu::Exit;

use crate::guest::{BRK, CODE, DATA, Guest};

const ROUNDS: u64 = 200_000;

fn b_ne(imm: i32) -> u32 {
    a64::BCond { imm, cond: 1 }.to_word()
}

/// `SUBS X3, X3, #1; B.NE start; BRK #0`, where `start` is `len` instructions up.
fn again(len: i32) -> [u32; 3] {
    [0xf100_0463, b_ne(-4 * (len + 1)), BRK]
}

/// Runs one thread per program, all with these X0 to X3.
fn run(programs: &[Vec<u32>], x: [u64; 4]) -> Guest {
    let mut code = Vec::new();
    let mut starts = Vec::new();
    for program in programs {
        starts.push(CODE + 4 * code.len() as u64);
        code.extend(program);
    }
    let guest = Guest::new(true, &code);
    std::thread::scope(|scope| {
        for &start in &starts {
            let mut thread = guest.thread();
            thread.state.pc = start;
            thread.state.x[..4].copy_from_slice(&x);
            scope.spawn(move || thread.finish());
        }
    });
    guest
}

/// What two threads add to a pair with each round arrives, in both halves.
fn pair_counts(body: &[u32], rounds: u64) {
    let mut program = body.to_vec();
    program.extend(again(body.len() as i32));
    let guest = run(&[program.clone(), program], [DATA, 0, 0, rounds]);
    let sum = u128::from_le_bytes(guest.read(DATA, 16).try_into().unwrap());
    let (lo, hi) = (sum as u64, (sum >> 64) as u64);
    assert_eq!((lo, hi), (2 * rounds, 6 * rounds));
}

/// `ADD X6, X4, #1; ADD X7, X5, #3`.
const ADD_PAIR: [u32; 2] = [0x9100_0486, 0x9100_0ca7];

#[test]
fn exclusive_pairs() {
    for acquire_release in [false, true] {
        let load = if acquire_release {
            0xc87f_9404
        } else {
            0xc87f_1404
        }; // ld(a)xp x4, x5, [x0]
        let store = if acquire_release {
            0xc828_9c06
        } else {
            0xc828_1c06
        }; // st(l)xp w8, x6, x7, [x0]
        let [a, b] = ADD_PAIR;
        let cbnz = 0x3500_0000 | ((-16i32 / 4) as u32 & 0x7_ffff) << 5 | 8; // cbnz w8, -16
        pair_counts(&[load, a, b, store, cbnz], ROUNDS / 4);
    }
}

#[test]
fn compare_and_swap_of_pairs() {
    let [a, b] = ADD_PAIR;
    pair_counts(
        &[
            0xa940_1404, // ldp x4, x5, [x0]
            0xaa04_03ea, // mov x10, x4
            0xaa05_03eb, // mov x11, x5
            a,
            b,
            0x4864_fc06, // caspal x4, x5, x6, x7, [x0]
            0xeb0a_009f, // cmp x4, x10
            0xfa4b_00a0, // ccmp x5, x11, #0, eq
            b_ne(-32),
        ],
        ROUNDS / 4,
    );
}

/// A writer alternates between all zeros and all ones; a reader's loads never mix them.
/// `store` and `load` use the address in X0; the store takes X4, X5 or V0, the load puts what it
/// has loaded into X6, and into X7 when it is longer than 8 bytes.
fn never_torn(name: &str, at: u64, store: &[u32], load: &[u32]) {
    never_torn_in(true, ROUNDS, name, at, store, load);
    never_torn_in(false, ROUNDS / 8, name, at, store, load);
}

fn never_torn_in(optimise: bool, rounds: u64, name: &str, at: u64, store: &[u32], load: &[u32]) {
    let mut writer = vec![
        0xaa24_03e4, // mvn x4, x4
        0xaa24_03e5, // mvn x5, x4 ... replaced below
    ];
    writer[1] = 0xaa04_03e5; // mov x5, x4
    writer.extend([
        0x9e67_0080, // fmov d0, x4
        0x4e18_1c80, // mov v0.d[1], x4
    ]);
    writer.extend(store);
    let len = writer.len() as i32;
    writer.extend(again(len));
    let mut reader = load.to_vec();
    // Both words must be 0 or all ones (of the size), and the same: x8 = x6 + (x6 & 1) is 0.
    reader.extend([
        0xeb07_00df, // cmp x6, x7
        b_ne(4 * 7),
        0x9240_00c8, // and x8, x6, #1
        0xab08_00c8, // adds x8, x6, x8
        b_ne(4 * 4),
    ]);
    let len = reader.len() as i32;
    reader.extend(again(len));
    reader.push(0xd420_0020); // brk #1
    let guest = Guest::new(optimise, &{
        let mut code = writer.clone();
        code.extend(&reader);
        code
    });
    std::thread::scope(|scope| {
        for (start, rounds) in [(0, rounds), (writer.len(), rounds)] {
            let mut thread = guest.thread();
            thread.state.pc = CODE + 4 * start as u64;
            thread.state.x[0] = DATA + at;
            thread.state.x[3] = rounds;
            scope.spawn(move || {
                let exit = thread.run();
                let x = &thread.state.x;
                assert_eq!(
                    exit,
                    Exit::Breakpoint(0),
                    "{name} at {at}: {:x} {:x}",
                    x[6],
                    x[7]
                );
            });
        }
    });
}

#[test]
fn accesses_within_16_bytes_are_not_torn() {
    // str x4 / ldr x6, sign-extending 32-bit loads so that all ones stay all ones.
    for at in [0, 1, 3, 4, 7, 8] {
        never_torn("8 bytes", at, &[0xf900_0004], &[0xf940_0006, 0xaa06_03e7]);
    }
    for at in [0, 1, 2, 3, 6, 7, 11, 12] {
        never_torn("4 bytes", at, &[0xb900_0004], &[0xb980_0006, 0xaa06_03e7]);
    }
    for at in [1, 7, 13, 14] {
        never_torn("2 bytes", at, &[0x7900_0004], &[0x7980_0006, 0xaa06_03e7]);
    }
    // STLR and LDAR.
    for at in [0, 1, 4, 8] {
        never_torn("ordered", at, &[0xc89f_fc04], &[0xc8df_fc06, 0xaa06_03e7]);
    }
}

#[test]
fn aligned_quadwords_are_not_torn() {
    let str_q = [0x3d80_0000]; // str q0, [x0]
    // ldr q1, [x0]; fmov x6, d1; mov x7, v1.d[1]
    let ldr_q = [0x3dc0_0001, 0x9e66_0026, 0x4e18_3c27];
    let stp_x = [0xa900_1404]; // stp x4, x5, [x0]
    let ldp_x = [0xa940_1c06]; // ldp x6, x7, [x0]
    never_torn("str q, ldr q", 0x10, &str_q, &ldr_q);
    never_torn("stp x, ldr q", 0x10, &stp_x, &ldr_q);
    never_torn("str q, ldp x", 0x10, &str_q, &ldp_x);
    never_torn("stp x, ldp x", 0x10, &stp_x, &ldp_x);
    // stnp x4, x5, [x0]; ldnp x6, x7, [x0]
    never_torn("stnp x, ldnp x", 0x10, &[0xa800_1404], &[0xa840_1c06]);
    // add x9, x0, #16; stp x4, x5, [x9, #-16]!
    let stp_pre = [0x9100_4009, 0xa9bf_1524];
    // mov x9, x0; ldp x6, x7, [x9], #16
    let ldp_post = [0xaa00_03e9, 0xa8c1_1d26];
    never_torn("stp x pre, ldp x post", 0x10, &stp_pre, &ldp_post);
    // stp with both halves in registers that the engine keeps in the host's: mov x1, x4; stp x1, x1, [x0]
    let stp_pinned = [0xaa04_03e1, 0xa900_0401];
    // ldp x1, x2, [x0]; mov x6, x1; mov x7, x2
    let ldp_pinned = [0xa940_0801, 0xaa01_03e6, 0xaa02_03e7];
    never_torn("stp x, ldp x, pinned", 0x10, &stp_pinned, &ldp_pinned);
}

/// A pair that is not aligned but within 16 aligned bytes is one access.
#[test]
fn pairs_within_16_bytes_are_not_torn() {
    let sign = [0x9340_7cc6, 0x9340_7ce7]; // sxtw x6, w6; sxtw x7, w7
    let ldp_w = [0x2940_1c06, sign[0], sign[1]]; // ldp w6, w7, [x0]
    for at in [0, 1, 4, 6, 7, 8] {
        never_torn("stp w, ldp w", at, &[0x2900_1404], &ldp_w);
        // str x4, [x0]
        never_torn("str x, ldp w", at, &[0xf900_0004], &ldp_w);
        // stp w4, w5, [x0]; ldr x6, [x0]; mov x7, x6
        never_torn(
            "stp w, ldr x",
            at,
            &[0x2900_1404],
            &[0xf940_0006, 0xaa06_03e7],
        );
    }
}

/// One half of a pair that leaves its 16 aligned bytes is one access where that half stays within them. The architecture
/// does not ask for it (Arm ARM B2.2.1 knows whole pairs, and registers at their own alignment); programs see it on
/// x86-64 hosts, and on AArch64 hosts whatever the host's LDP and STP do.
#[cfg(target_arch = "x86_64")]
#[test]
fn halves_of_pairs_within_16_bytes_are_not_torn() {
    for (at, half) in [(4, 6), (6, 6), (7, 6), (9, 7), (12, 7), (14, 7)] {
        let copy = if half == 6 { 0xaa06_03e7 } else { 0xaa07_03e6 };
        // stp x4, x5, [x0]; ldp x6, x7, [x0]
        never_torn("half of a pair", at, &[0xa900_1404], &[0xa940_1c06, copy]);
    }
}

/// What the tests above find is what the identification registers say.
#[test]
fn advertised() {
    let at = tuxlet_cpu::id_register(7, 2).unwrap() >> 32 & 15;
    #[cfg(target_arch = "x86_64")]
    assert_eq!(at == 1, std::arch::is_x86_feature_detected!("avx"));
    #[cfg(target_arch = "aarch64")]
    assert_eq!(at == 1, std::arch::is_aarch64_feature_detected!("lse2"));
    assert!(at <= 1);
}

/// LDADD of 1, 2, 4 and 8 bytes that are not aligned but within 16: nothing is lost.
#[test]
fn unaligned_atomics_within_16_bytes() {
    for size in 0..4u8 {
        let bytes = 1u64 << size;
        for at in [1, 3, 5, 7, 8, 9, 12, 14, 15] {
            let ldadd = a64::Ldadd {
                size,
                acquire: true,
                release: true,
                rs: 1,
                rn: 0,
                rt: 4,
            }
            .to_word();
            if at + bytes > 16 {
                let guest = Guest::new(true, &[ldadd, BRK]);
                let mut thread = guest.thread();
                thread.state.x[0] = DATA + at;
                assert_eq!(thread.run(), Exit::Unaligned { addr: DATA + at });
                continue;
            }
            let mut program = vec![ldadd];
            program.extend(again(1));
            let rounds = 5000;
            let guest = run(&[program.clone(), program], [DATA + at, 3, 0, rounds]);
            let mut want = [0; 16];
            let sum = (6 * rounds).to_le_bytes();
            want[at as usize..(at + bytes) as usize].copy_from_slice(&sum[..bytes as usize]);
            assert_eq!(guest.read(DATA, 16), want, "{bytes} bytes at {at}");
        }
    }
}

/// Exclusives, ordered accesses and atomics fault where they leave their 16 aligned bytes (Arm ARM,
/// AArch64.UnalignedAccessFaults), whatever the exclusive monitor holds.
#[test]
fn alignment_faults() {
    let cases: [(u32, u64, bool); 14] = [
        (0xc85f_7c04, 4, false), // ldxr x4, [x0]
        (0xc85f_7c04, 12, true),
        (0xc805_7c04, 8, false), // stxr w5, x4, [x0]
        (0xc805_7c04, 9, true),
        (0xc87f_1404, 8, true),  // ldxp x4, x5, [x0]
        (0x4864_fc06, 8, true),  // caspal x4, x5, x6, x7, [x0]
        (0x0864_fc06, 4, false), // caspal w4, w5, w6, w7, [x0]: 8 bytes in 16
        (0xc8e4_fc06, 4, false), // casal x4, x6, [x0]
        (0xc8e4_fc06, 12, true),
        (0xc8df_fc06, 5, false), // ldar x6, [x0]
        (0xc8df_fc06, 9, true),
        (0xc89f_fc06, 8, false), // stlr x6, [x0]
        (0x889f_fc06, 13, true), // stlr w6, [x0]
        (0xf8bf_c006, 15, true), // ldapr x6, [x0]
    ];
    for (word, at, faults) in cases {
        for optimise in [true, false] {
            let guest = Guest::new(optimise, &[word, BRK]);
            let mut thread = guest.thread();
            thread.state.x[0] = DATA + at;
            let want = if faults {
                Exit::Unaligned { addr: DATA + at }
            } else {
                Exit::Breakpoint(0)
            };
            assert_eq!(thread.run(), want, "{} at {at}", a64::disassemble(word, 0));
        }
    }
}
