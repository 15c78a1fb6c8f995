//! Litmus tests: what other threads may see of a thread's accesses (Arm ARM B2.3). Each test runs
//! over many cells of memory at once on threads of the host, and looks for outcomes that the
//! memory model forbids. Those that it allows need not occur.

use std::sync::Barrier;

use tuxlet_a64 as a64;

use crate::guest::{BRK, CODE, DATA, Guest};

/// Cells per batch and batches: together more than a million rounds.
const CELLS: u64 = 4096;
const BATCHES: u64 = 256;
/// The variables of a cell have cache lines of their own.
const CELL: u64 = 128;
const Y: u64 = 64;
/// Where thread `t` puts its two results for each cell.
fn results(t: u64) -> u64 {
    DATA + CELLS * CELL + t * CELLS * 16
}

/// X0 is the cell, X4 is 1; results go to X5 and X6, which are 0 at first.
const X: u64 = 0;
const ONE: u8 = 4;

fn store(at: u64) -> u32 {
    a64::StrImm {
        size: 3,
        imm12: (at / 8) as u16,
        rn: 0,
        rt: ONE,
    }
    .to_word()
}
fn load(at: u64, rt: u8) -> u32 {
    a64::LdrImm {
        size: 3,
        imm12: (at / 8) as u16,
        rn: 0,
        rt,
    }
    .to_word()
}
/// X1 is the address of Y.
fn base(at: u64) -> u8 {
    u8::from(at == Y)
}
fn store_release(at: u64) -> u32 {
    a64::Stlr {
        size: 3,
        rn: base(at),
        rt: ONE,
    }
    .to_word()
}
fn load_acquire(at: u64, rt: u8) -> u32 {
    a64::Ldar {
        size: 3,
        rn: base(at),
        rt,
    }
    .to_word()
}
fn load_acquire_pc(at: u64, rt: u8) -> u32 {
    a64::Ldapr {
        size: 3,
        rn: base(at),
        rt,
    }
    .to_word()
}
fn swap(at: u64, rt: u8) -> u32 {
    a64::Swp {
        size: 3,
        acquire: true,
        release: true,
        rs: ONE,
        rn: base(at),
        rt,
    }
    .to_word()
}
/// DMB ISH, ISHLD, ISHST.
const DMB: u32 = 0xd503_3bbf;
const DMB_LD: u32 = 0xd503_39bf;
const DMB_ST: u32 = 0xd503_3abf;
/// Makes an address dependency from X5: X7 = X0 + (X5 ^ X5).
const DEPEND: [u32; 2] = [0xca05_00a7, 0x8b07_0007];
/// Loads Y by X7 into X6.
const LOAD_DEPENDENT: u32 = 0xf940_20e6;
/// Stores Y, X by X7.
const STORE_DEPENDENT_Y: u32 = 0xf900_20e4;
const STORE_DEPENDENT_X: u32 = 0xf900_00e4;

/// A thread's program: the body for each cell, and the results stored.
fn program(body: &[u32]) -> Vec<u32> {
    let mut code = vec![
        0xd280_0005, // mov x5, #0
        0xd280_0006, // mov x6, #0
    ];
    code.extend(body);
    code.extend([
        0xa900_1845, // stp x5, x6, [x2]
        0x9102_0000, // add x0, x0, #128
        0x9102_0021, // add x1, x1, #128
        0x9100_4042, // add x2, x2, #16
        0xf100_0463, // subs x3, x3, #1
    ]);
    let back = -(code.len() as i32) * 4;
    code.push(a64::BCond { imm: back, cond: 1 }.to_word());
    code.push(BRK);
    code
}

/// Runs the threads' bodies; no round may have results that `forbidden` accepts.
fn litmus(name: &str, bodies: &[&[u32]], forbidden: impl Fn(&[[u64; 2]]) -> bool) {
    let mut code = Vec::new();
    let mut starts = Vec::new();
    for body in bodies {
        starts.push(CODE + 4 * code.len() as u64);
        code.extend(program(body));
    }
    let guest = Guest::new(true, &code);
    let zeros = vec![0; (CELLS * CELL) as usize];
    let barrier = Barrier::new(bodies.len() + 1);
    std::thread::scope(|scope| {
        for (t, &start) in starts.iter().enumerate() {
            let mut thread = guest.thread();
            let barrier = &barrier;
            scope.spawn(move || {
                for _ in 0..BATCHES {
                    thread.state.pc = start;
                    thread.state.x[..5].copy_from_slice(&[
                        DATA,
                        DATA + Y,
                        results(t as u64),
                        CELLS,
                        1,
                    ]);
                    barrier.wait();
                    thread.finish();
                    barrier.wait();
                }
            });
        }
        let mut found = 0;
        for _ in 0..BATCHES {
            guest.write(DATA, &zeros);
            barrier.wait();
            barrier.wait();
            let all: Vec<Vec<u8>> = (0..bodies.len() as u64)
                .map(|t| guest.read(results(t), CELLS as usize * 16))
                .collect();
            for cell in 0..CELLS as usize {
                let value = |t: usize, r: usize| {
                    let at = cell * 16 + r * 8;
                    u64::from_le_bytes(all[t][at..at + 8].try_into().unwrap())
                };
                let round: Vec<[u64; 2]> = (0..bodies.len())
                    .map(|t| [value(t, 0), value(t, 1)])
                    .collect();
                found += u64::from(forbidden(&round));
            }
        }
        assert_eq!(found, 0, "{name}: forbidden outcomes");
    });
}

#[test]
fn message_passing() {
    let stale = |r: &[[u64; 2]]| r[1] == [1, 0];
    litmus(
        "MP+dmb+dmb",
        &[&[store(Y), DMB, store(X)], &[load(X, 5), DMB, load(Y, 6)]],
        stale,
    );
    litmus(
        "MP+dmb.st+dmb.ld",
        &[
            &[store(Y), DMB_ST, store(X)],
            &[load(X, 5), DMB_LD, load(Y, 6)],
        ],
        stale,
    );
    litmus(
        "MP+stlr+ldar",
        &[
            &[store(Y), store_release(X)],
            &[load_acquire(X, 5), load(Y, 6)],
        ],
        stale,
    );
    litmus(
        "MP+stlr+ldapr",
        &[
            &[store(Y), store_release(X)],
            &[load_acquire_pc(X, 5), load(Y, 6)],
        ],
        stale,
    );
    let [a, b] = DEPEND;
    litmus(
        "MP+dmb+addr",
        &[
            &[store(Y), DMB, store(X)],
            &[load(X, 5), a, b, LOAD_DEPENDENT],
        ],
        stale,
    );
    litmus(
        "MP+swpal+ldar",
        &[&[store(Y), swap(X, 6)], &[load_acquire(X, 5), load(Y, 6)]],
        stale,
    );
}

#[test]
fn store_buffering() {
    let both_old = |r: &[[u64; 2]]| r[0][0] == 0 && r[1][0] == 0;
    litmus(
        "SB+dmb+dmb",
        &[&[store(X), DMB, load(Y, 5)], &[store(Y), DMB, load(X, 5)]],
        both_old,
    );
    litmus(
        "SB+rel-acq",
        &[
            &[store_release(X), load_acquire(Y, 5)],
            &[store_release(Y), load_acquire(X, 5)],
        ],
        both_old,
    );
    litmus(
        "SB+swpal",
        &[
            &[swap(X, 6), load_acquire(Y, 5)],
            &[swap(Y, 6), load_acquire(X, 5)],
        ],
        both_old,
    );
}

#[test]
fn load_buffering() {
    let out_of_thin_air = |r: &[[u64; 2]]| r[0][0] == 1 && r[1][0] == 1;
    litmus(
        "LB+dmb+dmb",
        &[&[load(X, 5), DMB, store(Y)], &[load(Y, 5), DMB, store(X)]],
        out_of_thin_air,
    );
    litmus(
        "LB+acq",
        &[
            &[load_acquire(X, 5), store(Y)],
            &[load_acquire(Y, 5), store(X)],
        ],
        out_of_thin_air,
    );
    litmus(
        "LB+rel",
        &[
            &[load(X, 5), store_release(Y)],
            &[load(Y, 5), store_release(X)],
        ],
        out_of_thin_air,
    );
    let [a, b] = DEPEND;
    litmus(
        "LB+addrs",
        &[
            &[load(X, 5), a, b, STORE_DEPENDENT_Y],
            &[load(Y, 5), a, b, STORE_DEPENDENT_X],
        ],
        out_of_thin_air,
    );
}

#[test]
fn independent_reads_of_independent_writes() {
    let disagree = |r: &[[u64; 2]]| r[2] == [1, 0] && r[3] == [1, 0];
    litmus(
        "IRIW+dmb+dmb",
        &[
            &[store(X)],
            &[store(Y)],
            &[load(X, 5), DMB, load(Y, 6)],
            &[load(Y, 5), DMB, load(X, 6)],
        ],
        disagree,
    );
    litmus(
        "IRIW+acq",
        &[
            &[store_release(X)],
            &[store_release(Y)],
            &[load_acquire(X, 5), load_acquire(Y, 6)],
            &[load_acquire(Y, 5), load_acquire(X, 6)],
        ],
        disagree,
    );
}

#[test]
fn coherence() {
    // Two reads of one variable never go back in time, barriers or not.
    litmus("CoRR", &[&[store(X)], &[load(X, 5), load(X, 6)]], |r| {
        r[1] == [1, 0]
    });
    // A thread sees its own store, or a later one.
    litmus("CoWR", &[&[store(X), load(X, 5)], &[load(X, 5)]], |r| {
        r[0][0] == 0
    });
}
