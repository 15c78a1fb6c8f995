//! The guest program: a static ELF file that loads a state, runs one instruction, stores the
//! state, and so on, and in the end writes all stored states and its scratch memory to
//! standard output. It needs two system calls, write(2) and exit_group(2).

/// Where the code starts.
pub(crate) const CODE: u64 = 0x40_0000;
/// The scratch memory that loads and stores use.
pub(crate) const SCRATCH: u64 = 0x2000_0000;
/// Its size.
pub(crate) const SCRATCH_LEN: u64 = 0x4_0000;
/// Next initial state, next final state, repetitions left: 24 bytes.
pub(crate) const CONTROL: u64 = 0x3000_0000;
/// The initial states, one after the other.
pub(crate) const INPUT: u64 = 0x1000_0000;
/// The final states.
pub(crate) const OUTPUT: u64 = 0x4000_0000;

/// Offsets in a state record.
pub(crate) const X: usize = 0;
pub(crate) const SP: usize = 248;
pub(crate) const NZCV: usize = 256;
pub(crate) const FPCR: usize = 264;
pub(crate) const FPSR: usize = 272;
pub(crate) const V: usize = 288;
/// Size of a state record.
pub(crate) const RECORD: usize = 800;

/// Program header flags: readable, writable, executable.
pub(crate) const R: u32 = 4;
pub(crate) const W: u32 = 2;
pub(crate) const E: u32 = 1;

const WRITE: u32 = 64;
const EXIT_GROUP: u32 = 94;

fn pair(base: u32, scale: u32, t1: u32, t2: u32, n: u32, offset: u32) -> u32 {
    base | ((offset / scale) & 0x7f) << 15 | t2 << 10 | n << 5 | t1
}
fn ldp_q(t1: u32, n: u32, offset: u32) -> u32 {
    pair(0xad40_0000, 16, t1, t1 + 1, n, offset)
}
fn stp_q(t1: u32, n: u32, offset: u32) -> u32 {
    pair(0xad00_0000, 16, t1, t1 + 1, n, offset)
}
fn ldp_x(t1: u32, n: u32, offset: u32) -> u32 {
    pair(0xa940_0000, 8, t1, t1 + 1, n, offset)
}
fn stp_x(t1: u32, n: u32, offset: u32) -> u32 {
    pair(0xa900_0000, 8, t1, t1 + 1, n, offset)
}
fn ldr_x(t: u32, n: u32, offset: u32) -> u32 {
    0xf940_0000 | (offset / 8) << 10 | n << 5 | t
}
fn str_x(t: u32, n: u32, offset: u32) -> u32 {
    0xf900_0000 | (offset / 8) << 10 | n << 5 | t
}
/// Loads a 32-bit constant.
fn constant(code: &mut Vec<u32>, d: u32, value: u64) {
    code.push(0xd280_0000 | (value as u32 & 0xffff) << 5 | d);
    code.push(0xf2a0_0000 | (value as u32 >> 16) << 5 | d);
}
fn add_x(d: u32, n: u32, imm: u32) -> u32 {
    0x9100_0000 | imm << 10 | n << 5 | d
}
const MOV_SP_X0: u32 = 0x9100_001f;
const MOV_X0_SP: u32 = 0x9100_03e0;
const MSR_NZCV_X0: u32 = 0xd51b_4200;
const MRS_X0_NZCV: u32 = 0xd53b_4200;
const MSR_FPCR_X0: u32 = 0xd51b_4400;
const MRS_X0_FPCR: u32 = 0xd53b_4400;
const MSR_FPSR_X0: u32 = 0xd51b_4420;
const MRS_X0_FPSR: u32 = 0xd53b_4420;
const MSR_TPIDR_X30: u32 = 0xd51b_d05e;
const MRS_X0_TPIDR: u32 = 0xd53b_d040;
const CLREX: u32 = 0xd503_3f5f;
const SVC: u32 = 0xd400_0001;

/// Code that runs the instructions in `unit` once for each of `count` states.
fn routine(code: &mut Vec<u32>, unit: &[u32], count: u64) {
    let top = code.len();
    constant(code, 29, CONTROL);
    code.push(ldr_x(29, 29, 0));
    for t in (0..32).step_by(2) {
        code.push(ldp_q(t, 29, V as u32 + 16 * t));
    }
    for (offset, set) in [
        (SP, MOV_SP_X0),
        (NZCV, MSR_NZCV_X0),
        (FPCR, MSR_FPCR_X0),
        (FPSR, MSR_FPSR_X0),
    ] {
        code.push(ldr_x(0, 29, offset as u32));
        code.push(set);
    }
    code.push(CLREX);
    for t in (0..28).step_by(2) {
        code.push(ldp_x(t, 29, 8 * t));
    }
    code.push(ldr_x(28, 29, 8 * 28));
    code.push(ldr_x(30, 29, 8 * 30));
    code.push(ldr_x(29, 29, 8 * 29));
    code.extend_from_slice(unit);
    code.push(MSR_TPIDR_X30);
    constant(code, 30, CONTROL);
    code.push(ldr_x(30, 30, 8));
    for t in (0..32).step_by(2) {
        code.push(stp_q(t, 30, V as u32 + 16 * t));
    }
    for t in (0..30).step_by(2) {
        code.push(stp_x(t, 30, 8 * t));
    }
    for (get, offset) in [
        (MRS_X0_TPIDR, 8 * 30),
        (MOV_X0_SP, SP),
        (MRS_X0_NZCV, NZCV),
        (MRS_X0_FPCR, FPCR),
        (MRS_X0_FPSR, FPSR),
    ] {
        code.push(get);
        code.push(str_x(0, 30, offset as u32));
    }
    constant(code, 1, CONTROL);
    code.push(add_x(30, 30, RECORD as u32));
    code.push(str_x(30, 1, 8));
    code.push(ldr_x(0, 1, 0));
    code.push(add_x(0, 0, RECORD as u32));
    code.push(str_x(0, 1, 0));
    code.push(ldr_x(0, 1, 16));
    code.push(0xf100_0400); // subs x0, x0, #1
    code.push(str_x(0, 1, 16));
    let back = top as i64 - code.len() as i64;
    code.push(0x5400_0001 | (back as u32 & 0x7_ffff) << 5); // b.ne top
    constant(code, 0, count);
    code.push(str_x(0, 1, 16));
}

/// A guest program.
pub(crate) struct Image {
    /// Machine code, loaded at [`CODE`].
    pub(crate) code: Vec<u32>,
    /// Initial states, loaded at [`INPUT`].
    pub(crate) input: Vec<u8>,
    /// Initial contents of [`CONTROL`].
    pub(crate) control: [u8; 24],
    /// Initial contents of [`SCRATCH`].
    pub(crate) scratch: Vec<u8>,
    /// Bytes at [`OUTPUT`].
    pub(crate) output_len: u64,
    /// Whether the code may write to itself.
    pub(crate) writable_code: bool,
}

impl Image {
    /// A program that runs each unit on `count` states of its own; `input` has all of them.
    pub(crate) fn new(units: &[Vec<u32>], count: u64, input: Vec<u8>, scratch: Vec<u8>) -> Image {
        let output_len = units.len() as u64 * count * RECORD as u64;
        assert_eq!(input.len() as u64, output_len);
        let mut code = Vec::new();
        for unit in units {
            routine(&mut code, unit, count);
        }
        for (start, len) in [(OUTPUT, output_len), (SCRATCH, SCRATCH_LEN)] {
            constant(&mut code, 0, 1);
            constant(&mut code, 1, start);
            constant(&mut code, 2, len);
            constant(&mut code, 8, WRITE.into());
            code.push(SVC);
        }
        constant(&mut code, 0, 0);
        constant(&mut code, 8, EXIT_GROUP.into());
        code.push(SVC);
        let mut control = [0; 24];
        control[..8].copy_from_slice(&INPUT.to_le_bytes());
        control[8..16].copy_from_slice(&OUTPUT.to_le_bytes());
        control[16..].copy_from_slice(&count.to_le_bytes());
        Image {
            code,
            input,
            control,
            scratch,
            output_len,
            writable_code: false,
        }
    }

    /// The parts of memory that are not zero or are used: address, contents, size, flags of the
    /// ELF program header.
    pub(crate) fn segments(&self) -> [(u64, Vec<u8>, u64, u32); 5] {
        let of_code = R | E | if self.writable_code { W } else { 0 };
        let code: Vec<u8> = self.code.iter().flat_map(|w| w.to_le_bytes()).collect();
        let len = |b: &[u8]| b.len() as u64;
        [
            (CODE, code.clone(), len(&code), of_code),
            (INPUT, self.input.clone(), len(&self.input), R),
            (SCRATCH, self.scratch.clone(), SCRATCH_LEN, R | W),
            (CONTROL, self.control.to_vec(), 4096, R | W),
            (OUTPUT, Vec::new(), self.output_len, R | W),
        ]
    }

    /// The ELF file.
    pub(crate) fn elf(&self) -> Vec<u8> {
        let segments = self.segments();
        let mut file = Vec::new();
        file.extend_from_slice(b"\x7fELF\x02\x01\x01");
        file.resize(16, 0);
        let half = |file: &mut Vec<u8>, v: u16| file.extend_from_slice(&v.to_le_bytes());
        half(&mut file, 2); // ET_EXEC
        half(&mut file, 183); // EM_AARCH64
        file.extend_from_slice(&1u32.to_le_bytes());
        for v in [CODE, 64, 0] {
            file.extend_from_slice(&v.to_le_bytes());
        }
        file.extend_from_slice(&0u32.to_le_bytes());
        for v in [64, 56, segments.len() as u16, 64, 0, 0] {
            half(&mut file, v);
        }
        let mut offset = 0x1000u64;
        for (addr, data, len, flags) in &segments {
            file.extend_from_slice(&1u32.to_le_bytes()); // PT_LOAD
            file.extend_from_slice(&flags.to_le_bytes());
            for v in [offset, *addr, *addr, data.len() as u64, *len, 0x1000] {
                file.extend_from_slice(&v.to_le_bytes());
            }
            offset += (data.len() as u64).next_multiple_of(0x1000);
        }
        file.resize(0x1000, 0);
        for (_, data, ..) in &segments {
            file.extend_from_slice(data);
            file.resize(file.len().next_multiple_of(0x1000), 0);
        }
        file
    }
}
