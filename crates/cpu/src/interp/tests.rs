//! Small guest programs, run by the optimised and the reference form of the engine.

use std::sync::Arc;

use tuxlet_a64 as a64;
use tuxlet_mem::{AddressSpace, FaultKind, MapRequest, MemoryBudget, Placement, Prot};

use crate::{CpuState, Engine, Exit, Interpreter, Options, Vcpu, Watch};

const CODE: u64 = 0x10_0000;
const DATA: u64 = 0x20_0000;

/// A guest with some code at [`CODE`] and two pages of data at [`DATA`].
struct Guest {
    mm: Arc<AddressSpace>,
    vcpu: Box<dyn Vcpu>,
    state: CpuState,
}

fn words(code: &[u32]) -> Vec<u8> {
    code.iter().flat_map(|w| w.to_le_bytes()).collect()
}

impl Guest {
    fn new(options: Options, code: &[u32]) -> Guest {
        let mm = AddressSpace::new(&MemoryBudget::unlimited()).expect("address space");
        for (at, prot) in [(CODE, Prot::RWX), (DATA, Prot::RW)] {
            mm.map(MapRequest::anonymous(0x2000, prot).at(Placement::Fixed(at)))
                .expect("map");
        }
        mm.poke(CODE, &words(code)).expect("code fits");
        let vcpu = Interpreter::new(options).vcpu(mm.clone());
        Guest {
            mm,
            vcpu,
            state: CpuState {
                pc: CODE,
                sp: DATA + 0x1000,
                ..CpuState::new()
            },
        }
    }

    fn run(&mut self) -> Exit {
        self.vcpu.run(&mut self.state)
    }
}

/// Runs a test with the optimised and the reference engine.
fn both(code: &[u32], test: impl Fn(Guest)) {
    for optimise in [true, false] {
        test(Guest::new(
            Options {
                optimise,
                ..Options::default()
            },
            code,
        ));
    }
}

fn movz(rd: u8, imm16: u16) -> u32 {
    a64::Movz {
        sf: true,
        hw: 0,
        imm16,
        rd,
    }
    .to_word()
}

fn add(rd: u8, rn: u8, rm: u8) -> u32 {
    a64::AddShifted {
        sf: true,
        shift: 0,
        rm,
        imm6: 0,
        rn,
        rd,
    }
    .to_word()
}

fn subs_imm(rd: u8, rn: u8, imm12: u16) -> u32 {
    a64::SubsImm {
        sf: true,
        sh: false,
        imm12,
        rn,
        rd,
    }
    .to_word()
}

fn b_cond(cond: u8, imm: i32) -> u32 {
    a64::BCond { imm, cond }.to_word()
}

fn ldr(rt: u8, rn: u8, imm12: u16) -> u32 {
    a64::LdrImm {
        size: 3,
        imm12,
        rn,
        rt,
    }
    .to_word()
}

fn str(rt: u8, rn: u8, imm12: u16) -> u32 {
    a64::StrImm {
        size: 3,
        imm12,
        rn,
        rt,
    }
    .to_word()
}

const SVC: u32 = 0xd400_0001;
const RET: u32 = 0xd65f_03c0;

#[test]
fn a_loop_sums() {
    let code = [
        movz(0, 1000),
        movz(1, 0),
        add(1, 1, 0),
        subs_imm(0, 0, 1),
        b_cond(1, -8),
        SVC,
    ];
    both(&code, |mut g| {
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!(g.state.x[1], 500_500);
        assert_eq!(g.state.pc, CODE + 24);
        assert_eq!(g.state.nzcv, 0x6000_0000);
    });
}

/// `cmp` leaves flags of a known kind; a conditional FP comparison between it and its reader must not be forgotten.
#[test]
fn flags_of_a_conditional_fp_comparison_are_seen() {
    let code = [
        subs_imm(31, 0, 3),
        0x1e61_0400, // fccmp d0, d1, #0, eq
        0x9a9f_b7e2, // cset x2, ge
        SVC,
    ];
    both(&code, |mut g| {
        g.state.x[0] = 3;
        g.state.v[0] = u128::from((-1.0f64).to_bits());
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!(g.state.x[2], 0, "-1 is less than 0");
    });
}

#[test]
fn a_system_call_resumes_behind_it() {
    let code = [SVC, movz(5, 7), SVC];
    both(&code, |mut g| {
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!(g.state.x[5], 0);
        g.state.x[0] = 99;
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!((g.state.x[0], g.state.x[5], g.state.pc), (99, 7, CODE + 12));
        // The kernel may also send it elsewhere.
        g.state.pc = CODE;
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!(g.state.pc, CODE + 4);
    });
}

#[test]
fn calls_return() {
    // bl +12; svc; nop; mov x3, #5; ret
    let code = [
        a64::Bl { imm: 12 }.to_word(),
        SVC,
        0xd503_201f,
        movz(3, 5),
        RET,
    ];
    both(&code, |mut g| {
        for _ in 0..3 {
            g.state.pc = CODE;
            assert_eq!(g.run(), Exit::Syscall);
            assert_eq!(
                (g.state.x[3], g.state.x[30], g.state.pc),
                (5, CODE + 4, CODE + 8)
            );
        }
    });
}

#[test]
fn a_fault_is_precise_and_resumes() {
    let code = [movz(2, 3), str(2, 1, 0), movz(2, 4), SVC];
    both(&code, |mut g| {
        g.state.x[1] = 0x30_0000;
        let Exit::Fault(fault) = g.run() else {
            panic!("no fault")
        };
        assert_eq!((fault.addr, fault.kind), (0x30_0000, FaultKind::MapErr));
        assert_eq!((g.state.pc, g.state.x[2]), (CODE + 4, 3));
        g.state.x[1] = DATA;
        assert_eq!(g.run(), Exit::Syscall);
        let mut stored = [0; 8];
        g.mm.copy_in(DATA, &mut stored).expect("mapped");
        assert_eq!((stored, g.state.x[2]), ([3, 0, 0, 0, 0, 0, 0, 0], 4));
    });
}

/// Instructions that one handler runs together are still two: the fault of the second shows the first done.
#[test]
fn faults_in_pairs_are_precise() {
    let code = [
        movz(9, 5),
        add(10, 9, 9),
        ldr(11, 12, 0),
        add(10, 10, 9),
        SVC,
    ];
    both(&code, |mut g| {
        g.state.x[12] = 0x5000_0000;
        assert!(matches!(g.run(), Exit::Fault(f) if f.addr == 0x5000_0000));
        assert_eq!((g.state.pc, g.state.x[10]), (CODE + 8, 10));
        g.mm.poke(DATA, &7u64.to_le_bytes()).expect("data");
        g.state.x[12] = DATA;
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!((g.state.x[10], g.state.x[11]), (15, 7));
    });
}

/// ADRP and LDR to the same register: where the LDR faults, the register holds the ADRP's result.
#[test]
fn a_fault_behind_adrp_shows_its_result() {
    for rd in [1, 9] {
        let adrp = a64::Adrp { imm: 0x10_0000, rd }.to_word();
        let code = [adrp, ldr(rd, rd, 2), SVC];
        both(&code, |mut g| {
            g.mm.poke(DATA + 16, &7u64.to_le_bytes()).expect("data");
            assert_eq!(g.run(), Exit::Syscall);
            assert_eq!(g.state.x[usize::from(rd)], 7);
        });
        let adrp = a64::Adrp {
            imm: 0x4000_0000,
            rd,
        }
        .to_word();
        let code = [adrp, ldr(rd, rd, 2), SVC];
        both(&code, |mut g| {
            assert!(matches!(g.run(), Exit::Fault(f) if f.addr == CODE + 0x4000_0010));
            assert_eq!(g.state.pc, CODE + 4);
            assert_eq!(g.state.x[usize::from(rd)], CODE + 0x4000_0000);
        });
    }
}

#[test]
fn accesses_cross_pages_and_ignore_tags() {
    let code = [str(2, 1, 0), ldr(3, 1, 0), ldr(4, 5, 0), SVC];
    both(&code, |mut g| {
        g.state.x[1] = DATA + 0xffb;
        g.state.x[2] = 0x0123_4567_89ab_cdef;
        g.state.x[5] = 0xa5 << 56 | (DATA + 0xffb);
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!((g.state.x[3], g.state.x[4]), (g.state.x[2], g.state.x[2]));
        // The second page is missing: the fault is there and the first is untouched.
        g.state.pc = CODE;
        g.state.x[1] = DATA + 0x1ffb;
        let Exit::Fault(fault) = g.run() else {
            panic!("no fault")
        };
        assert_eq!(fault.addr, DATA + 0x2000);
        let mut tail = [0; 5];
        g.mm.copy_in(DATA + 0x1ffb, &mut tail).expect("mapped");
        assert_eq!(tail, [0; 5]);
    });
}

#[test]
fn frames_are_pushed_and_popped() {
    // bl f; svc; f: stp x29, x30, [sp, #-32]!; mov x29, sp; mov x0, x29; ldp x29, x30, [sp], #32; ret
    let code = [
        a64::Bl { imm: 8 }.to_word(),
        SVC,
        0xa9be_7bfd,
        0x9100_03fd,
        0xaa1d_03e0,
        0xa8c2_7bfd,
        RET,
    ];
    both(&code, |mut g| {
        g.state.x[29] = 77;
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!((g.state.x[0], g.state.x[29]), (DATA + 0x1000 - 32, 77));
        assert_eq!((g.state.sp, g.state.pc), (DATA + 0x1000, CODE + 8));
        // A push beyond the end of the stack faults without a trace.
        g.state.pc = CODE;
        g.state.sp = DATA + 16;
        let Exit::Fault(fault) = g.run() else {
            panic!("no fault")
        };
        assert_eq!((fault.addr, g.state.pc), (DATA - 16, CODE + 8));
        assert_eq!((g.state.sp, g.state.x[29]), (DATA + 16, 77));
        // A stack that is not aligned.
        g.state.pc = CODE;
        g.state.sp = DATA + 0x1000 + 24;
        assert_eq!(g.run(), Exit::MisalignedStack);
        assert_eq!((g.state.pc, g.state.sp), (CODE + 8, DATA + 0x1000 + 24));
    });
}

#[test]
fn undefined_and_breakpoint_report_the_instruction() {
    both(&[0xd503_201f, 0x0000_0000], |mut g| {
        assert_eq!(g.run(), Exit::Undefined { word: 0 });
        assert_eq!(g.state.pc, CODE + 4);
    });
    both(&[0xd420_0020], |mut g| {
        assert_eq!(g.run(), Exit::Breakpoint(1));
        assert_eq!(g.state.pc, CODE);
    });
    // mrs x0, sctlr_el1
    both(&[0xd538_1000], |mut g| {
        assert_eq!(g.run(), Exit::Undefined { word: 0xd538_1000 });
    });
}

#[test]
fn misaligned_pc_and_atomics_are_reported() {
    both(&[SVC], |mut g| {
        g.state.pc = CODE + 2;
        assert_eq!(g.run(), Exit::Unaligned { addr: CODE + 2 });
    });
    // ldaxr x0, [x1]
    both(&[0xc85f_fc20], |mut g| {
        g.state.x[1] = DATA + 12;
        assert_eq!(g.run(), Exit::Unaligned { addr: DATA + 12 });
    });
}

#[test]
fn exclusives_increment() {
    // 1: ldaxr w0, [x1]; add w0, w0, #1; stlxr w2, w0, [x1]; cbnz w2, 1b; svc
    let code = [0x885f_fc20, 0x1100_0400, 0x8802_fc20, 0x35ff_ffa2, SVC];
    both(&code, |mut g| {
        g.state.x[1] = DATA;
        for n in 1..4 {
            g.state.pc = CODE;
            assert_eq!(g.run(), Exit::Syscall);
            assert_eq!((g.state.x[0], g.state.x[2]), (n, 0));
        }
        // Entering the kernel opens the monitor: a lone STLXR fails.
        g.state.pc = CODE + 8;
        g.mm.poke(CODE + 12, &words(&[SVC])).expect("mapped");
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!(g.state.x[2], 1);
    });
}

#[test]
fn stores_to_code_take_effect() {
    // x0 = result; str w3, [x4] patches the instruction at x4; ic ivau, x4; isb; blr x4; svc
    let code = [
        0xb900_0083, // str w3, [x4]
        0xd50b_7524, // ic ivau, x4
        0xd503_3fdf, // isb
        a64::Blr { rn: 4 }.to_word(),
        SVC,
        0xd503_201f,
        movz(0, 1),
        RET,
    ];
    both(&code, |mut g| {
        for n in [5, 6, 7] {
            g.state.pc = CODE;
            g.state.x[4] = CODE + 24;
            g.state.x[3] = u64::from(movz(0, n));
            assert_eq!(g.run(), Exit::Syscall);
            assert_eq!(g.state.x[0], u64::from(n));
        }
    });
}

#[test]
fn unmapped_code_is_not_run_again() {
    both(&[SVC, a64::B { imm: -4 }.to_word()], |mut g| {
        assert_eq!(g.run(), Exit::Syscall);
        assert_eq!(g.run(), Exit::Syscall);
        g.mm.unmap(CODE, 0x1000).expect("mapped");
        let Exit::Fault(fault) = g.run() else {
            panic!("no fault")
        };
        assert_eq!((fault.addr, g.state.pc), (CODE + 4, CODE + 4));
    });
}

#[test]
fn a_kick_ends_an_endless_loop() {
    for code in [
        vec![a64::B { imm: 0 }.to_word()],
        vec![
            movz(0, 1),
            a64::Cbnz {
                sf: true,
                imm: -4,
                rt: 0,
            }
            .to_word(),
        ],
        vec![a64::Br { rn: 9 }.to_word()],
        vec![
            a64::Bl { imm: 8 }.to_word(),
            a64::B { imm: -4 }.to_word(),
            RET,
        ],
    ] {
        both(&code, |mut g| {
            g.state.x[9] = CODE;
            let kicker = g.vcpu.kicker();
            let thread = std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                kicker.kick();
            });
            assert_eq!(g.run(), Exit::Kicked);
            thread.join().expect("kicker");
            assert!((CODE..CODE + 12).contains(&g.state.pc));
        });
    }
}

/// What is known of the flags' kind when a block is translated holds when guest mode is entered again in its middle.
#[test]
fn flags_survive_kicks_and_system_calls_within_a_block() {
    const LO: u8 = 3;
    const EQ: u8 = 0;
    let ends = [movz(2, 1), SVC, movz(2, 2), SVC];
    let compare = subs_imm(31, 0, 2);
    let kicked = [compare, b_cond(EQ, 8), b_cond(LO, 12)];
    let called = [compare, SVC, b_cond(LO, 12)];
    for (code, calls) in [(kicked, 0), (called, 1)] {
        both(&[&code[..], &ends].concat(), |mut g| {
            g.state.x[0] = 1;
            // Taken note of at the first branch that is taken.
            g.vcpu.kicker().kick();
            for _ in 0..=calls {
                while g.run() == Exit::Kicked {}
            }
            assert_eq!(g.state.x[2], 2);
        });
    }
}

#[test]
fn long_runs_need_no_stack() {
    // Nested loop of a hundred million ops on a small stack.
    let code = [
        movz(0, 5000),
        movz(1, 5000),
        subs_imm(1, 1, 1),
        b_cond(1, -4),
        subs_imm(0, 0, 1),
        b_cond(1, -16),
        SVC,
    ];
    let mut g = Guest::new(Options::default(), &code);
    std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || {
            assert_eq!(g.run(), Exit::Syscall);
            assert_eq!(g.state.x[0], 0);
        })
        .expect("thread")
        .join()
        .expect("no overflow");
}

#[test]
fn step_executes_one_instruction() {
    let mut g = Guest::new(
        Options::default(),
        &[movz(0, 3), a64::B { imm: 8 }.to_word(), 0, SVC],
    );
    assert_eq!(g.vcpu.step(&mut g.state), None);
    assert_eq!((g.state.pc, g.state.x[0]), (CODE + 4, 3));
    assert_eq!(g.vcpu.step(&mut g.state), None);
    assert_eq!(g.state.pc, CODE + 12);
    assert_eq!(g.vcpu.step(&mut g.state), Some(Exit::Syscall));
    assert_eq!(g.state.pc, CODE + 16);
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 32) % n
    }
}

/// A random program without system instructions: straight-line code with forward branches, ends
/// with a system call. Registers are drawn from few, so that pinned ones and 31 are frequent. X28 is not among them; with
/// `repeat`, it counts how often the code is run.
fn random_program(random: &mut Random, rows: &[a64::OpId], repeat: bool) -> Vec<u32> {
    let mut code = Vec::new();
    if repeat {
        code.push(0xd100_079c); // sub x28, x28, #1
    }
    let counts = |word: u32| [0, 5, 10, 16].iter().any(|shift| word >> shift & 31 == 28);
    for at in 0..24 {
        let op = rows[random.below(rows.len() as u64) as usize];
        let mut word = a64::arbitrary(op, &mut || (random.next() >> 32) as u32);
        for shift in [0, 5, 16] {
            const REGISTERS: [u32; 10] = [0, 1, 2, 3, 3, 4, 19, 30, 31, 31];
            let register = REGISTERS[random.below(10) as usize];
            let changed = word & !(31 << shift) | register << shift;
            if random.below(8) != 0 && a64::decode(changed) == Some(op) {
                word = changed;
            }
        }
        // Branches lead forward, within the program.
        let forward = random.below(24 - at) as u32 + 1;
        word = match op {
            a64::OpId::B => 0x1400_0000 | forward,
            a64::OpId::BCond => word & 0xff00_001f | forward << 5,
            a64::OpId::Cbz | a64::OpId::Cbnz => word & 0xff00_001f | forward << 5,
            a64::OpId::Tbz | a64::OpId::Tbnz => word & 0xfff8_001f | forward << 5,
            _ => word,
        };
        if repeat && counts(word) {
            continue;
        }
        code.push(word);
        // Comparisons are often followed by a branch.
        if matches!(word >> 24 & 0x7f, 0x71 | 0x6b | 0x6a | 0x72) && random.below(2) == 0 {
            code.push(b_cond(random.below(14) as u8, 8));
        }
    }
    if repeat {
        let back = (code.len() as u32).wrapping_neg() & 0x7_ffff;
        code.push(0xb500_001c | back << 5); // cbnz x28, the start
    }
    code.extend([SVC; 26]);
    code
}

#[test]
fn optimised_code_does_what_reference_code_does() {
    use a64::OpId;
    let rows: Vec<OpId> = OpId::all()
        .filter(|op| op.is_done())
        .filter(|op| {
            let name = op.name();
            let known = [a64::Feature::Base, a64::Feature::Fp, a64::Feature::Crc32];
            known.contains(&op.feature())
                && ![
                    "Svc", "Brk", "Bl", "Br", "Blr", "Ret", "Mrs", "Msr", "MsrReg", "IcIvau",
                ]
                .contains(&name)
                && !name.starts_with("Wf")
        })
        .collect();
    assert!(rows.len() > 100);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..4000 {
        let repeat = round % 4 == 3;
        let code = random_program(&mut random, &rows, repeat);
        let mut start = CpuState {
            pc: CODE,
            sp: DATA + 0x1000,
            ..CpuState::new()
        };
        for x in &mut start.x {
            *x = match random.below(4) {
                0 => random.next(),
                1 => random.below(70),
                2 => random.next() as i32 as u64,
                _ => DATA + 0x800 + random.below(0x1000),
            };
        }
        for v in &mut start.v {
            *v = u128::from(random.next()) << 64 | u128::from(random.next());
        }
        if repeat {
            start.x[28] = 24;
        }
        let pins = match random.below(2) {
            0 => Options::default().pins,
            _ => [19, 4, 0, 2],
        };
        start.nzcv = (random.next() as u32) & 0xf000_0000;
        let mut results = Vec::new();
        for optimise in [true, false] {
            let mut g = Guest::new(Options { optimise, pins }, &code);
            g.state = start.clone();
            // Go on behind instructions that fail.
            let mut exits = Vec::new();
            loop {
                let exit = g.run();
                exits.push((exit.clone(), g.state.pc, g.state.x));
                if exit == Exit::Syscall {
                    break;
                }
                g.state.pc += 4;
            }
            let mut memory = vec![0; 0x2000];
            g.mm.copy_in(DATA, &mut memory).expect("mapped");
            results.push((exits, g.state, memory));
        }
        let (a, b) = (&results[0], &results[1]);
        let listing = || {
            let lines = code.iter().enumerate().map(|(i, w)| {
                format!(
                    "{:x}: {}\n",
                    CODE + 4 * i as u64,
                    a64::disassemble(*w, CODE + 4 * i as u64)
                )
            });
            lines.collect::<String>()
        };
        assert_eq!(a.0, b.0, "exit, round {round}\n{}", listing());
        assert_eq!(
            a.1,
            b.1,
            "state, round {round}, from {start:x?}\n{}",
            listing()
        );
        assert!(a.2 == b.2, "memory, round {round}\n{}", listing());
    }
}

#[test]
fn watched_accesses_do_not_happen() {
    let pair = a64::StpImm {
        sf: true,
        imm7: 1,
        rt2: 2,
        rn: 9,
        rt: 1,
    };
    let code = [
        ldr(0, 9, 0),
        str(1, 9, 0),
        ldr(0, 9, 2),
        pair.to_word(),
        SVC,
    ];
    both(&code, |mut g| {
        g.state.x[9] = DATA;
        g.state.x[1] = 7;
        let watch = |start, load, store| Watch {
            start: DATA + start,
            end: DATA + start + 4,
            load,
            store,
        };
        // Only stores to the first word, only loads of the third, whose other accesses are let through.
        let watches = [watch(4, false, true), watch(16, true, false)];
        assert_eq!(g.vcpu.step_watched(&mut g.state, &watches), None);
        let hit = |addr| Some(Exit::Watchpoint { addr: DATA + addr });
        assert_eq!(g.vcpu.step_watched(&mut g.state, &watches), hit(4));
        assert_eq!(g.state.pc, CODE + 4);
        assert_eq!(g.vcpu.step(&mut g.state), None);
        assert_eq!(g.vcpu.step_watched(&mut g.state, &watches), hit(16));
        assert_eq!(g.state.pc, CODE + 8);
        assert_eq!(g.vcpu.step(&mut g.state), None);
        // The second half of a pair, on a page that the first half has just used.
        assert_eq!(
            g.vcpu.step_watched(&mut g.state, &[watch(16, false, true)]),
            hit(16)
        );
        assert_eq!(g.vcpu.step_watched(&mut g.state, &watches), None);
        let mut first = [0; 16];
        g.mm.copy_in(DATA, &mut first).expect("readable");
        assert_eq!((first[0], first[8]), (7, 7));
        assert_eq!(g.run(), Exit::Syscall);
    });
}
