//! The guest program for vectors: loads a state, runs the instructions under test, stores the
//! state, and so on. Signals that the instructions raise are noted beside the state, and the
//! program goes on behind the instruction. In the end it writes all notes and its scratch memory
//! to standard output.
//!
//! States are loaded and stored by one routine each, so that a unit of code is short: a reference
//! that translates has little to translate.

use crate::image::{
    CODE, CONTROL, FPCR, FPSR, INPUT, Image, NZCV, OUTPUT, RECORD, SCRATCH, SCRATCH_LEN, SP, V, X,
};

/// Size of a final state: the registers, then signal number, code and address.
pub(crate) const FINAL: usize = RECORD + 32;
/// Offsets of the signal in a final state.
pub(crate) const SIGNAL: usize = RECORD;
pub(crate) const SIGNAL_CODE: usize = RECORD + 8;
pub(crate) const SIGNAL_ADDR: usize = RECORD + 16;

/// Fields behind [`CONTROL`]: next initial state, next final state, repetitions left, the
/// signal's three words, the start of the running unit; and where arguments of system calls are.
const NEXT_INPUT: u32 = 0;
const NEXT_OUTPUT: u32 = 8;
const LEFT: u32 = 16;
/// Where a signal is noted.
pub(crate) const NOTE: u32 = 24;
const UNIT: u32 = 48;
const ARGUMENTS: u32 = 256;

/// Bytes of the stack on which signals are handled.
const STACK: u64 = 0x4_0000;

/// System calls.
pub(crate) const WRITE: u64 = 64;
const EXIT_GROUP: u64 = 94;
const SIGALTSTACK: u64 = 132;
const RT_SIGACTION: u64 = 134;
const RT_SIGRETURN: u64 = 139;

/// SIGILL, SIGTRAP, SIGBUS, SIGSEGV.
const SIGNALS: [u64; 4] = [4, 5, 7, 11];
/// SA_SIGINFO, SA_ONSTACK, SA_RESTORER.
const SA_FLAGS: u64 = 0x0c00_0004;

/// Offsets in `siginfo_t` and `ucontext_t`.
const SI_CODE: u32 = 8;
const SI_ADDR: u32 = 16;
const UC_PC: u32 = 440;

/// Instructions of a unit beside those under test.
const AROUND: usize = 5;

/// Machine code under construction.
#[derive(Default)]
struct Code(Vec<u32>);

impl Code {
    fn push(&mut self, word: u32) {
        self.0.push(word);
    }

    fn here(&self) -> u64 {
        CODE + 4 * self.0.len() as u64
    }

    /// A branch with 26 bits of displacement to `target`.
    fn branch(&mut self, link: bool, target: u64) {
        let words = (target.wrapping_sub(self.here()) as i64 >> 2) as u32;
        self.push(0x1400_0000 | u32::from(link) << 31 | words & 0x03ff_ffff);
    }

    fn constant(&mut self, d: u32, value: u64) {
        self.push(0xd280_0000 | (value as u32 & 0xffff) << 5 | d);
        self.push(0xf2a0_0000 | (value as u32 >> 16) << 5 | d);
    }

    fn ldr(&mut self, t: u32, n: u32, offset: u32) {
        self.push(0xf940_0000 | (offset / 8) << 10 | n << 5 | t);
    }

    fn str(&mut self, t: u32, n: u32, offset: u32) {
        self.push(0xf900_0000 | (offset / 8) << 10 | n << 5 | t);
    }

    fn pair(&mut self, base: u32, scale: u32, t: u32, n: u32, offset: u32) {
        self.push(base | ((offset / scale) & 0x7f) << 15 | (t + 1) << 10 | n << 5 | t);
    }

    fn add(&mut self, d: u32, n: u32, imm: u32) {
        self.push(0x9100_0000 | imm << 10 | n << 5 | d);
    }

    fn system_call(&mut self, number: u64, args: &[u64]) {
        for (r, &arg) in args.iter().enumerate() {
            self.constant(r as u32, arg);
        }
        self.constant(8, number);
        self.push(0xd400_0001);
    }

    /// Registers that go through X0, with what moves them to and from it.
    const SPECIAL: [(usize, u32, u32); 4] = [
        (SP, 0x9100_001f, 0x9100_03e0),
        (NZCV, 0xd51b_4200, 0xd53b_4200),
        (FPCR, 0xd51b_4400, 0xd53b_4400),
        (FPSR, 0xd51b_4420, 0xd53b_4420),
    ];

    /// Loads all registers but X29, the initial state's address, and X30.
    fn load_routine(&mut self) {
        self.constant(29, CONTROL);
        self.push(0xd100_13dc); // sub x28, x30, #4
        self.str(28, 29, UNIT);
        self.ldr(29, 29, NEXT_INPUT);
        for t in (0..32).step_by(2) {
            self.pair(0xad40_0000, 16, t, 29, V as u32 + 16 * t);
        }
        for (offset, set, _) in Self::SPECIAL {
            self.ldr(0, 29, offset as u32);
            self.push(set);
        }
        self.push(0xd503_3f5f); // clrex
        for t in (0..28).step_by(2) {
            self.pair(0xa940_0000, 8, t, 29, X as u32 + 8 * t);
        }
        self.ldr(28, 29, X as u32 + 8 * 28);
        self.push(0xd65f_03c0); // ret
    }

    /// Stores all registers, X30 being in TPIDR_EL0, and goes to the unit again or to the next.
    fn store_routine(&mut self, count: u64, unit_bytes: u32) {
        self.constant(30, CONTROL);
        self.ldr(30, 30, NEXT_OUTPUT);
        for t in (0..32).step_by(2) {
            self.pair(0xad00_0000, 16, t, 30, V as u32 + 16 * t);
        }
        for t in (0..30).step_by(2) {
            self.pair(0xa900_0000, 8, t, 30, X as u32 + 8 * t);
        }
        self.push(0xd53b_d040); // mrs x0, tpidr_el0
        self.str(0, 30, X as u32 + 8 * 30);
        for (offset, _, get) in Self::SPECIAL {
            self.push(get);
            self.str(0, 30, offset as u32);
        }
        self.constant(1, CONTROL);
        for i in (0..24).step_by(8) {
            self.ldr(2, 1, NOTE + i);
            self.str(2, 30, SIGNAL as u32 + i);
            self.str(31, 1, NOTE + i);
        }
        self.add(30, 30, FINAL as u32);
        self.str(30, 1, NEXT_OUTPUT);
        self.ldr(0, 1, NEXT_INPUT);
        self.add(0, 0, RECORD as u32);
        self.str(0, 1, NEXT_INPUT);
        self.ldr(4, 1, UNIT);
        self.ldr(0, 1, LEFT);
        self.push(0xf100_0400); // subs x0, x0, #1
        self.push(0x5400_0041); // b.ne over the next
        self.add(4, 4, unit_bytes);
        self.push(0x5400_0061); // b.ne over the next two
        self.constant(0, count);
        self.str(0, 1, LEFT);
        self.push(0xd61f_0080); // br x4
    }

    /// The signal handler: notes the signal and steps over the instruction.
    fn handler(&mut self) {
        self.constant(3, CONTROL);
        self.str(0, 3, NOTE);
        self.push(0xb980_0000 | (SI_CODE / 4) << 10 | 1 << 5 | 4); // ldrsw x4, [x1, ..]
        self.str(4, 3, NOTE + 8);
        self.ldr(4, 1, SI_ADDR);
        self.str(4, 3, NOTE + 16);
        self.ldr(4, 2, UC_PC);
        self.add(4, 4, 4);
        self.str(4, 2, UC_PC);
        self.push(0xd65f_03c0); // ret
    }
}

/// A program that runs each unit on `count` states of its own; `input` has all of them.
pub(crate) fn program(units: &[Vec<u32>], count: u64, input: Vec<u8>, scratch: Vec<u8>) -> Image {
    let finals = units.len() as u64 * count * FINAL as u64;
    let stack = (OUTPUT + finals).next_multiple_of(0x1000);
    let longest = units.iter().map(Vec::len).max().unwrap_or(0);
    let unit_len = longest + AROUND;

    let mut routines = Code::default();
    routines.push(0); // the entry's branch to the start, below
    let load = routines.here();
    routines.load_routine();
    let store = routines.here();
    routines.store_routine(count, 4 * unit_len as u32);
    let handler = routines.here();
    routines.handler();
    let restorer = routines.here();
    routines.constant(8, RT_SIGRETURN);
    routines.push(0xd400_0001);

    let mut code = routines;
    let start = code.here();
    let entry = (start - CODE) as u32 / 4;
    code.0[0] = 0x1400_0000 | entry;
    let arguments = CONTROL + u64::from(ARGUMENTS);
    // One array serves stack_t and then struct sigaction.
    let structure = |code: &mut Code, words: [u64; 4]| {
        code.constant(1, arguments);
        for (i, word) in words.into_iter().enumerate() {
            code.constant(0, word);
            code.str(0, 1, 8 * i as u32);
        }
    };
    structure(&mut code, [stack, 0, STACK, 0]);
    code.system_call(SIGALTSTACK, &[arguments, 0]);
    structure(&mut code, [handler, SA_FLAGS, restorer, 0]);
    for signal in SIGNALS {
        code.system_call(RT_SIGACTION, &[signal, arguments, 0, 8]);
    }
    code.constant(1, CONTROL);
    for (offset, value) in [(NEXT_INPUT, INPUT), (NEXT_OUTPUT, OUTPUT), (LEFT, count)] {
        code.constant(0, value);
        code.str(0, 1, offset);
    }
    for unit in units {
        let end = code.0.len() + unit_len;
        code.branch(true, load);
        code.ldr(30, 29, X as u32 + 8 * 30);
        code.ldr(29, 29, X as u32 + 8 * 29);
        code.0.extend(unit);
        code.push(0xd51b_d05e); // msr tpidr_el0, x30
        code.branch(false, store);
        code.0.resize(end, 0xd503_201f);
    }
    code.system_call(WRITE, &[1, OUTPUT, finals]);
    code.system_call(WRITE, &[1, SCRATCH, SCRATCH_LEN]);
    code.system_call(EXIT_GROUP, &[0]);
    Image {
        code: code.0,
        input,
        control: [0; 24],
        scratch,
        output_len: stack + STACK - OUTPUT,
        writable_code: false,
    }
}
