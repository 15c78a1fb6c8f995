//! Classic BPF as seccomp(2) has it: the checks of a new program and the interpreter.

use tuxlet_uapi::{
    errno::{Errno, Result},
    prctl::{SeccompData, SockFilter},
};

/// `BPF_MAXINSNS`.
pub(crate) const MAX_INSTRUCTIONS: usize = 4096;
/// `BPF_MEMWORDS`.
const MEMORY_WORDS: usize = 16;

/// Instruction codes by their names in filter(4) style: class, size or operation, mode or source.
mod code {
    pub(super) const LD_IMM: u16 = 0x00;
    pub(super) const LD_ABS_W: u16 = 0x20;
    pub(super) const LD_MEM: u16 = 0x60;
    pub(super) const LD_LEN: u16 = 0x80;
    pub(super) const LDX_IMM: u16 = 0x01;
    pub(super) const LDX_MEM: u16 = 0x61;
    pub(super) const LDX_LEN: u16 = 0x81;
    pub(super) const ST: u16 = 0x02;
    pub(super) const STX: u16 = 0x03;
    pub(super) const ALU: u16 = 0x04;
    pub(super) const JMP: u16 = 0x05;
    pub(super) const JA: u16 = 0x05;
    pub(super) const RET_K: u16 = 0x06;
    pub(super) const RET_A: u16 = 0x16;
    pub(super) const TAX: u16 = 0x07;
    pub(super) const TXA: u16 = 0x87;
    /// The operand is X instead of `k`.
    pub(super) const X: u16 = 0x08;

    pub(super) const ADD: u16 = 0x00;
    pub(super) const SUB: u16 = 0x10;
    pub(super) const MUL: u16 = 0x20;
    pub(super) const DIV: u16 = 0x30;
    pub(super) const OR: u16 = 0x40;
    pub(super) const AND: u16 = 0x50;
    pub(super) const LSH: u16 = 0x60;
    pub(super) const RSH: u16 = 0x70;
    pub(super) const NEG: u16 = 0x80;
    pub(super) const XOR: u16 = 0xa0;

    pub(super) const JEQ: u16 = 0x10;
    pub(super) const JGT: u16 = 0x20;
    pub(super) const JGE: u16 = 0x30;
    pub(super) const JSET: u16 = 0x40;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    K(u32),
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alu {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    Lsh,
    Rsh,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Eq,
    Gt,
    Ge,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Load(u32),
    LoadX(u32),
    /// The word of `struct seccomp_data` with this index.
    Data(usize),
    Memory(usize),
    MemoryX(usize),
    Store(usize),
    StoreX(usize),
    Alu(Alu, Operand),
    Neg,
    /// Goes on after that many instructions.
    Jump(usize),
    Branch(Test, Operand, usize, usize),
    Return(u32),
    ReturnA,
    Tax,
    Txa,
}

/// A checked program. Jumps go forward within it, its last instruction returns, and it reads no memory word that it
/// has not written.
#[derive(Debug)]
pub(crate) struct Program {
    ops: Vec<Op>,
    /// As it was given, for `PTRACE_SECCOMP_GET_FILTER`.
    source: Vec<SockFilter>,
}

impl Program {
    /// Checks a program. `EINVAL`.
    pub(crate) fn new(source: Vec<SockFilter>) -> Result<Self> {
        let len = source.len();
        if len == 0 || len > MAX_INSTRUCTIONS {
            return Err(Errno::EINVAL);
        }
        let decoded: Option<Vec<Op>> = source
            .iter()
            .enumerate()
            .map(|(at, insn)| decode(insn, len - at - 1))
            .collect();
        let ops = decoded.ok_or(Errno::EINVAL)?;
        let returns = matches!(ops.last(), Some(Op::Return(_) | Op::ReturnA));
        if returns && memory_is_written_first(&ops) {
            Ok(Self { ops, source })
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// The instructions as they were given.
    pub(crate) fn source(&self) -> &[SockFilter] {
        &self.source
    }

    /// Number of instructions.
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }

    /// The program's verdict on a system call: `SECCOMP_RET_*`.
    pub(crate) fn run(&self, data: &SeccompData) -> u32 {
        let words = words(data);
        let (mut a, mut x) = (0u32, 0u32);
        let mut memory = [0u32; MEMORY_WORDS];
        let mut at = 0;
        // Every step goes forward, and the last instruction returns.
        while let Some(op) = self.ops.get(at) {
            at += 1;
            let value = |o: Operand, x: u32| match o {
                Operand::K(k) => k,
                Operand::X => x,
            };
            match *op {
                Op::Load(k) => a = k,
                Op::LoadX(k) => x = k,
                Op::Data(i) => a = words[i],
                Op::Memory(i) => a = memory[i],
                Op::MemoryX(i) => x = memory[i],
                Op::Store(i) => memory[i] = a,
                Op::StoreX(i) => memory[i] = x,
                Op::Neg => a = a.wrapping_neg(),
                Op::Tax => x = a,
                Op::Txa => a = x,
                Op::Jump(n) => at += n,
                Op::Return(k) => return k,
                Op::ReturnA => return a,
                Op::Alu(alu, operand) => {
                    let b = value(operand, x);
                    a = match alu {
                        Alu::Add => a.wrapping_add(b),
                        Alu::Sub => a.wrapping_sub(b),
                        Alu::Mul => a.wrapping_mul(b),
                        // A division by zero ends the program with 0.
                        Alu::Div => match a.checked_div(b) {
                            Some(quotient) => quotient,
                            None => return 0,
                        },
                        Alu::Or => a | b,
                        Alu::And => a & b,
                        Alu::Xor => a ^ b,
                        Alu::Lsh => a.wrapping_shl(b),
                        Alu::Rsh => a.wrapping_shr(b),
                    };
                }
                Op::Branch(test, operand, yes, no) => {
                    let b = value(operand, x);
                    let holds = match test {
                        Test::Eq => a == b,
                        Test::Gt => a > b,
                        Test::Ge => a >= b,
                        Test::Set => a & b != 0,
                    };
                    at += if holds { yes } else { no };
                }
            }
        }
        0
    }
}

/// `struct seccomp_data` as words.
fn words(data: &SeccompData) -> [u32; 16] {
    let mut words = [0; 16];
    let halves = |v: u64| [v as u32, (v >> 32) as u32];
    words[0] = data.nr.cast_unsigned();
    words[1] = data.arch;
    words[2..4].copy_from_slice(&halves(data.instruction_pointer));
    for (pair, arg) in words[4..].chunks_exact_mut(2).zip(data.args) {
        pair.copy_from_slice(&halves(arg));
    }
    words
}

/// An instruction with `after` more behind it; `None` for one that a filter must not have.
fn decode(insn: &SockFilter, after: usize) -> Option<Op> {
    let k = insn.k;
    let cell = || usize::try_from(k).ok().filter(|i| *i < MEMORY_WORDS);
    let size = u32::try_from(size_of::<SeccompData>()).ok()?;
    Some(match insn.code {
        code::LD_IMM => Op::Load(k),
        code::LDX_IMM => Op::LoadX(k),
        code::LD_LEN => Op::Load(size),
        code::LDX_LEN => Op::LoadX(size),
        code::LD_ABS_W if k < size && k.is_multiple_of(4) => Op::Data(usize::try_from(k / 4).ok()?),
        code::LD_MEM => Op::Memory(cell()?),
        code::LDX_MEM => Op::MemoryX(cell()?),
        code::ST => Op::Store(cell()?),
        code::STX => Op::StoreX(cell()?),
        code::RET_K => Op::Return(k),
        code::RET_A => Op::ReturnA,
        code::TAX => Op::Tax,
        code::TXA => Op::Txa,
        code::JA => Op::Jump(usize::try_from(k).ok().filter(|n| *n < after)?),
        other if other & 7 == code::ALU => alu(other, k)?,
        other if other & 7 == code::JMP => branch(insn, after)?,
        _ => return None,
    })
}

fn operand(code: u16, k: u32) -> Operand {
    if code & code::X == 0 {
        Operand::K(k)
    } else {
        Operand::X
    }
}

fn alu(code: u16, k: u32) -> Option<Op> {
    let operand = operand(code, k);
    let alu = match code & !(code::X | 7) {
        code::ADD => Alu::Add,
        code::SUB => Alu::Sub,
        code::MUL => Alu::Mul,
        code::DIV if operand != Operand::K(0) => Alu::Div,
        code::OR => Alu::Or,
        code::AND => Alu::And,
        code::XOR => Alu::Xor,
        code::LSH | code::RSH if operand != Operand::X && k >= u32::BITS => return None,
        code::LSH => Alu::Lsh,
        code::RSH => Alu::Rsh,
        code::NEG if code & code::X == 0 => return Some(Op::Neg),
        _ => return None,
    };
    Some(Op::Alu(alu, operand))
}

fn branch(insn: &SockFilter, after: usize) -> Option<Op> {
    let test = match insn.code & !(code::X | 7) {
        code::JEQ => Test::Eq,
        code::JGT => Test::Gt,
        code::JGE => Test::Ge,
        code::JSET => Test::Set,
        _ => return None,
    };
    let (yes, no) = (usize::from(insn.jt), usize::from(insn.jf));
    (yes < after && no < after).then_some(Op::Branch(test, operand(insn.code, insn.k), yes, no))
}

/// Whether no path reads a memory word that it has not written.
fn memory_is_written_first(ops: &[Op]) -> bool {
    // Words that are written on every path to an instruction, one bit each.
    let mut at_entry = vec![u16::MAX; ops.len()];
    let mut written = 0u16;
    for (at, op) in ops.iter().enumerate() {
        written &= at_entry[at];
        match *op {
            Op::Store(i) | Op::StoreX(i) => written |= 1 << i,
            Op::Memory(i) | Op::MemoryX(i) if written & 1 << i == 0 => return false,
            Op::Jump(n) => {
                at_entry[at + 1 + n] &= written;
                written = u16::MAX;
            }
            Op::Branch(_, _, yes, no) => {
                at_entry[at + 1 + yes] &= written;
                at_entry[at + 1 + no] &= written;
                written = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter { code, jt, jf, k }
    }

    fn data() -> SeccompData {
        SeccompData {
            nr: 63,
            arch: 0xc000_00b7,
            instruction_pointer: 0x1_0000_2000,
            args: [1, 2 << 32 | 3, 0, 0, 0, 6 << 32],
        }
    }

    fn run(program: &[SockFilter]) -> Result<u32> {
        Program::new(program.to_vec()).map(|p| p.run(&data()))
    }

    #[test]
    fn words_of_the_data_are_little_endian() {
        for (offset, want) in [
            (0, 63),
            (4, 0xc000_00b7),
            (12, 1),
            (24, 3),
            (28, 2),
            (60, 6),
        ] {
            let program = [
                insn(code::LD_ABS_W, 0, 0, offset),
                insn(code::RET_A, 0, 0, 0),
            ];
            assert_eq!(run(&program), Ok(want));
        }
        for offset in [1, 2, 64, u32::MAX - 3] {
            let program = [
                insn(code::LD_ABS_W, 0, 0, offset),
                insn(code::RET_A, 0, 0, 0),
            ];
            assert_eq!(run(&program), Err(Errno::EINVAL));
        }
    }

    #[test]
    fn programs_that_could_run_off_are_refused() {
        let ret = insn(code::RET_K, 0, 0, 7);
        assert_eq!(run(&[]), Err(Errno::EINVAL));
        assert_eq!(run(&[ret]), Ok(7));
        assert_eq!(run(&vec![ret; MAX_INSTRUCTIONS]), Ok(7));
        assert_eq!(run(&vec![ret; MAX_INSTRUCTIONS + 1]), Err(Errno::EINVAL));
        assert_eq!(run(&[ret, insn(code::LD_IMM, 0, 0, 1)]), Err(Errno::EINVAL));
        assert_eq!(run(&[insn(code::JA, 0, 0, 0), ret]), Ok(7));
        assert_eq!(run(&[insn(code::JA, 0, 0, 1), ret]), Err(Errno::EINVAL));
        let branch = |jt, jf| insn(code::JMP | code::JEQ, jt, jf, 0);
        assert_eq!(run(&[branch(0, 1), ret, ret]), Ok(7));
        assert_eq!(run(&[branch(0, 2), ret, ret]), Err(Errno::EINVAL));
        assert_eq!(run(&[branch(2, 0), ret, ret]), Err(Errno::EINVAL));
    }

    #[test]
    fn memory_must_be_written_on_every_path() {
        let ret = insn(code::RET_A, 0, 0, 0);
        let load = insn(code::LD_MEM, 0, 0, 3);
        let store = insn(code::ST, 0, 0, 3);
        assert_eq!(run(&[load, ret]), Err(Errno::EINVAL));
        assert_eq!(run(&[store, load, ret]), Ok(0));
        let skip = insn(code::JMP | code::JEQ, 1, 0, 0);
        assert_eq!(run(&[skip, store, load, ret]), Err(Errno::EINVAL));
        assert_eq!(run(&[insn(code::ST, 0, 0, 16), ret]), Err(Errno::EINVAL));
    }

    #[test]
    fn arithmetic_is_that_of_32_bits() {
        let calc = |op: u16, a: u32, b: u32| {
            let with_k = run(&[
                insn(code::LD_IMM, 0, 0, a),
                insn(code::ALU | op, 0, 0, b),
                insn(code::RET_A, 0, 0, 0),
            ]);
            let with_x = run(&[
                insn(code::LD_IMM, 0, 0, a),
                insn(code::LDX_IMM, 0, 0, b),
                insn(code::ALU | op | code::X, 0, 0, 0),
                insn(code::RET_A, 0, 0, 0),
            ]);
            (with_k, with_x)
        };
        let both = |v: u32| (Ok(v), Ok(v));
        assert_eq!(calc(code::ADD, u32::MAX, 2), both(1));
        assert_eq!(calc(code::SUB, 1, 2), both(u32::MAX));
        assert_eq!(calc(code::MUL, 0x1_0001, 0x1_0000), both(0x1_0000));
        assert_eq!(calc(code::DIV, 100, 7), both(14));
        assert_eq!(calc(code::LSH, 1, 31), both(1 << 31));
        assert_eq!(calc(code::RSH, 1 << 31, 31), both(1));
        // What a constant may not do ends or masks at run time.
        assert_eq!(calc(code::DIV, 100, 0), (Err(Errno::EINVAL), Ok(0)));
        assert_eq!(calc(code::LSH, 3, 33), (Err(Errno::EINVAL), Ok(6)));
        // BPF_MOD is not for seccomp.
        assert_eq!(calc(0x90, 7, 5), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    }

    /// Random programs: whatever passes the checks ends without a panic, and by a return.
    #[test]
    fn random_programs_are_refused_or_end() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let codes: Vec<u16> = (0..=0xff)
            .filter(|c| decode(&insn(*c, 0, 0, 4), 9).is_some())
            .collect();
        let mut accepted = 0;
        for round in 0..20_000u32 {
            let len = 1 + next() as usize % 12;
            let mut program: Vec<SockFilter> = (0..len)
                .map(|_| {
                    let r = next();
                    let code = if round % 4 == 0 {
                        r as u16
                    } else {
                        codes[r as usize % codes.len()]
                    };
                    let k = match r >> 16 & 3 {
                        0 => (r >> 20) as u32,
                        1 => (r >> 20) as u32 & 63,
                        _ => (r >> 20) as u32 & 7,
                    };
                    insn(code, (r >> 56) as u8 & 7, (r >> 60) as u8 & 7, k)
                })
                .collect();
            if round % 8 != 0 {
                program.push(insn(code::RET_A, 0, 0, 0));
            }
            if let Ok(program) = Program::new(program) {
                accepted += 1;
                program.run(&data());
            }
        }
        assert!(accepted > 1000, "only {accepted} programs were accepted");
    }
}
