//! The disassembler: the pieces from which the tables' syntax templates are put together.

use alloc::string::String;
use core::fmt::{self, Write};

use crate::{OpId, decode, imm};

/// The text of `word` at address `pc`, in standard assembler syntax with the common aliases.
/// Branch targets and PC-relative addresses are absolute. What does not decode is `.inst`.
#[must_use]
pub fn disassemble(word: u32, pc: u64) -> String {
    let mut out = Out {
        text: String::new(),
        pc,
    };
    match decode(word) {
        Some(op) => print(op, word, &mut out),
        None if word >> 16 == 0 => out.put(format_args!("udf #{word:#x}")),
        None => out.put(format_args!(".inst {word:#010x}")),
    }
    out.text
}

macro_rules! printers {
    ($(($row:ident, $snake:ident))*) => {
        fn print(op: OpId, word: u32, out: &mut Out) {
            match op {
                $(OpId::$row => crate::$row::from_word(word).print(out),)*
            }
        }
    };
}
crate::for_each_insn!(printers);

const CONDITIONS: [&str; 16] = [
    "eq", "ne", "cs", "cc", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "al", "nv",
];
const SHIFTS: [&str; 4] = ["lsl", "lsr", "asr", "ror"];
const EXTENDS: [&str; 8] = [
    "uxtb", "uxth", "uxtw", "uxtx", "sxtb", "sxth", "sxtw", "sxtx",
];
/// Letters of element sizes 0..=4, for scalars.
const SCALARS: [&str; 5] = ["b", "h", "s", "d", "q"];
/// Arrangements by `size << 1 | q`.
const ARRANGEMENTS: [&str; 10] = ["8b", "16b", "4h", "8h", "2s", "4s", "1d", "2d", "?", "1q"];

/// The text being built.
pub(crate) struct Out {
    text: String,
    pc: u64,
}

impl Out {
    fn put(&mut self, args: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        self.text.write_fmt(args).unwrap_or_default();
    }

    pub(crate) fn str(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// One of two texts.
    pub(crate) fn alt(&mut self, second: bool, texts: [&str; 2]) {
        self.text.push_str(texts[usize::from(second)]);
    }

    /// One of several texts.
    pub(crate) fn pick(&mut self, index: u8, texts: &[&str]) {
        self.text
            .push_str(texts.get(usize::from(index)).copied().unwrap_or("?"));
    }

    /// General register, 31 = zero register.
    pub(crate) fn x(&mut self, sf: bool, reg: u8) {
        let letter = if sf { 'x' } else { 'w' };
        match reg {
            31 => self.put(format_args!("{letter}zr")),
            _ => self.put(format_args!("{letter}{reg}")),
        }
    }

    /// `, xN`, nothing for the zero register.
    pub(crate) fn opt_x(&mut self, reg: u8) {
        if reg != 31 {
            self.str(", ");
            self.x(true, reg);
        }
    }

    /// General register, 31 = stack pointer.
    pub(crate) fn xsp(&mut self, sf: bool, reg: u8) {
        match (sf, reg) {
            (true, 31) => self.str("sp"),
            (false, 31) => self.str("wsp"),
            _ => self.x(sf, reg),
        }
    }

    /// Unsigned immediate.
    pub(crate) fn imm(&mut self, value: impl Into<u64>) {
        self.put(format_args!("#{:#x}", value.into()));
    }

    /// Decimal immediate.
    pub(crate) fn dec(&mut self, value: impl Into<i64>) {
        self.put(format_args!("#{}", value.into()));
    }

    /// Move-wide value.
    pub(crate) fn wide(&mut self, sf: bool, imm16: u16, hw: u8, invert: bool) {
        let mut value = u64::from(imm16) << (16 * u32::from(hw));
        if invert {
            value = !value;
        }
        if !sf {
            value &= 0xffff_ffff;
        }
        self.imm(value);
    }

    /// `, lsl #n` when n is not 0.
    pub(crate) fn lsl(&mut self, amount: u8) {
        if amount != 0 {
            self.put(format_args!(", lsl #{amount}"));
        }
    }

    /// `, <shift> #n` unless it is `lsl #0`.
    pub(crate) fn shift(&mut self, kind: u8, amount: u8) {
        if kind != 0 || amount != 0 {
            self.put(format_args!(
                ", {} #{amount}",
                SHIFTS[usize::from(kind & 3)]
            ));
        }
    }

    /// The last operand of add/sub extended register; `sp`: an operand is the stack pointer.
    pub(crate) fn extended(&mut self, sf: bool, rm: u8, option: u8, imm3: u8, sp: bool) {
        self.x(sf && option & 3 == 3, rm);
        let plain = if sf { 3 } else { 2 };
        if sp && option == plain {
            self.lsl(imm3);
        } else {
            self.put(format_args!(", {}", EXTENDS[usize::from(option & 7)]));
            if imm3 != 0 {
                self.put(format_args!(" #{imm3}"));
            }
        }
    }

    /// Logical immediate.
    pub(crate) fn logical(&mut self, sf: bool, n: bool, imms: u8, immr: u8) {
        self.imm(imm::logical_imm(sf, n, imms, immr).unwrap_or_default());
    }

    /// Condition.
    pub(crate) fn cond(&mut self, cond: u8) {
        self.str(CONDITIONS[usize::from(cond & 15)]);
    }

    /// Condition, inverted.
    pub(crate) fn cond_inv(&mut self, cond: u8) {
        self.cond(cond ^ 1);
    }

    /// PC-relative target.
    pub(crate) fn label(&mut self, offset: impl Into<i64>) {
        let target = self.pc.wrapping_add_signed(offset.into());
        self.put(format_args!("{target:#x}"));
    }

    /// PC-relative target page.
    pub(crate) fn label_page(&mut self, offset: i64) {
        let target = (self.pc & !0xfff).wrapping_add_signed(offset);
        self.put(format_args!("{target:#x}"));
    }

    /// `[base, #offset]`
    pub(crate) fn mem(&mut self, rn: u8, offset: impl Into<i64>) {
        let offset = offset.into();
        self.str("[");
        self.xsp(true, rn);
        if offset != 0 {
            self.put(format_args!(", #{offset}"));
        }
        self.str("]");
    }

    /// `[base, #offset]!`
    pub(crate) fn mem_pre(&mut self, rn: u8, offset: impl Into<i64>) {
        self.str("[");
        self.xsp(true, rn);
        self.put(format_args!(", #{}]!", offset.into()));
    }

    /// `[base], #offset`
    pub(crate) fn mem_post(&mut self, rn: u8, offset: impl Into<i64>) {
        self.str("[");
        self.xsp(true, rn);
        self.put(format_args!("], #{}", offset.into()));
    }

    /// `[base, index, extend #amount]`; `log2` is the scale when `scaled`.
    pub(crate) fn mem_reg(&mut self, rn: u8, rm: u8, option: u8, scaled: bool, log2: u8) {
        self.str("[");
        self.xsp(true, rn);
        self.str(", ");
        self.x(option & 1 != 0, rm);
        match (option, scaled) {
            (3, false) => {}
            (3, true) => self.put(format_args!(", lsl #{log2}")),
            (_, false) => self.put(format_args!(", {}", EXTENDS[usize::from(option & 7)])),
            (_, true) => self.put(format_args!(
                ", {} #{log2}",
                EXTENDS[usize::from(option & 7)]
            )),
        }
        self.str("]");
    }

    /// Prefetch operation.
    pub(crate) fn prfop(&mut self, rt: u8) {
        let (kind, level, policy) = (rt >> 3, rt >> 1 & 3, rt & 1);
        if kind == 3 || level == 3 {
            return self.put(format_args!("#{rt:#04x}"));
        }
        let kind = ["pld", "pli", "pst"][usize::from(kind)];
        let policy = ["keep", "strm"][usize::from(policy)];
        self.put(format_args!("{kind}l{}{policy}", level + 1));
    }

    /// Barrier option.
    pub(crate) fn barrier(&mut self, crm: u8) {
        let names = [
            "", "oshld", "oshst", "osh", "", "nshld", "nshst", "nsh", "", "ishld", "ishst", "ish",
            "", "ld", "st", "sy",
        ];
        match names[usize::from(crm & 15)] {
            "" => self.put(format_args!("#{crm:#04x}")),
            name => self.str(name),
        }
    }

    /// System register.
    pub(crate) fn sysreg(&mut self, o0: bool, op1: u8, crn: u8, crm: u8, op2: u8) {
        let op0 = 2 + u8::from(o0);
        let name = match (op0, op1, crn, crm, op2) {
            (3, 3, 13, 0, 2) => "tpidr_el0",
            (3, 3, 13, 0, 3) => "tpidrro_el0",
            (3, 3, 13, 0, 5) => "tpidr2_el0",
            (3, 3, 4, 2, 0) => "nzcv",
            (3, 3, 4, 2, 1) => "daif",
            (3, 3, 4, 2, 5) => "dit",
            (3, 3, 4, 2, 6) => "ssbs",
            (3, 3, 4, 4, 0) => "fpcr",
            (3, 3, 4, 4, 1) => "fpsr",
            (3, 3, 0, 0, 1) => "ctr_el0",
            (3, 3, 0, 0, 7) => "dczid_el0",
            (3, 3, 2, 4, 0) => "rndr",
            (3, 3, 2, 4, 1) => "rndrrs",
            (3, 3, 14, 0, 0) => "cntfrq_el0",
            (3, 3, 14, 0, 1) => "cntpct_el0",
            (3, 3, 14, 0, 2) => "cntvct_el0",
            (3, 3, 14, 0, 6) => "cntvctss_el0",
            (3, 0, 0, 0, 0) => "midr_el1",
            (3, 0, 0, 0, 5) => "mpidr_el1",
            (3, 0, 0, 0, 6) => "revidr_el1",
            (3, 0, 0, 4, 0) => "id_aa64pfr0_el1",
            (3, 0, 0, 4, 1) => "id_aa64pfr1_el1",
            (3, 0, 0, 5, 0) => "id_aa64dfr0_el1",
            (3, 0, 0, 6, 0) => "id_aa64isar0_el1",
            (3, 0, 0, 6, 1) => "id_aa64isar1_el1",
            (3, 0, 0, 6, 2) => "id_aa64isar2_el1",
            (3, 0, 0, 7, 0) => "id_aa64mmfr0_el1",
            (3, 0, 0, 7, 1) => "id_aa64mmfr1_el1",
            (3, 0, 0, 7, 2) => "id_aa64mmfr2_el1",
            _ => return self.put(format_args!("s{op0}_{op1}_c{crn}_c{crm}_{op2}")),
        };
        self.str(name);
    }

    /// SIMD&FP register as a scalar of element size `size` (0 = 8 bits .. 4 = 128 bits).
    pub(crate) fn scalar(&mut self, size: u8, reg: u8) {
        self.put(format_args!(
            "{}{reg}",
            SCALARS.get(usize::from(size)).unwrap_or(&"?")
        ));
    }

    /// SIMD&FP register of floating-point type `ftype` (0 single, 1 double, 3 half).
    pub(crate) fn fp(&mut self, ftype: u8, reg: u8) {
        self.put(format_args!(
            "{}{reg}",
            ["s", "d", "q", "h"][usize::from(ftype & 3)]
        ));
    }

    /// SIMD&FP register of an FP data-processing row with an `sz` bit: s or d.
    pub(crate) fn sd(&mut self, sz: bool, reg: u8) {
        self.scalar(2 + u8::from(sz), reg);
    }

    /// Vector of elements of `size`, 64 or 128 (`q`) bits.
    pub(crate) fn v(&mut self, size: u8, q: bool, reg: u8) {
        self.put(format_args!("v{reg}.{}", arrangement(size, q)));
    }

    /// Vector element.
    pub(crate) fn elem(&mut self, size: u8, reg: u8, index: u8) {
        let letter = SCALARS.get(usize::from(size)).unwrap_or(&"?");
        self.put(format_args!("v{reg}.{letter}[{index}]"));
    }

    /// Group of vector elements (`4b`, `2h`) with an index.
    pub(crate) fn elem_group(&mut self, name: &str, reg: u8, index: u8) {
        self.put(format_args!("v{reg}.{name}[{index}]"));
    }

    /// Vector with a given arrangement.
    pub(crate) fn va(&mut self, name: &str, reg: u8) {
        self.put(format_args!("v{reg}.{name}"));
    }

    /// `{v1.4s, v2.4s}`
    pub(crate) fn list(&mut self, count: u8, size: u8, q: bool, reg: u8) {
        self.registers(count, reg, arrangement(size, q));
    }

    /// `{v1.s, v2.s}[index]`
    pub(crate) fn list_elem(&mut self, count: u8, size: u8, reg: u8, index: u8) {
        self.registers(count, reg, SCALARS.get(usize::from(size)).unwrap_or(&"?"));
        self.put(format_args!("[{index}]"));
    }

    fn registers(&mut self, count: u8, reg: u8, suffix: &str) {
        let last = (reg + count - 1) % 32;
        if count > 2 && reg < last {
            return self.put(format_args!("{{v{reg}.{suffix}-v{last}.{suffix}}}"));
        }
        for i in 0..count {
            let open = if i == 0 { "{" } else { ", " };
            self.put(format_args!("{open}v{}.{suffix}", (reg + i) % 32));
        }
        self.str("}");
    }

    /// Post-index operand of a structure load or store: register, or the transfer size.
    pub(crate) fn struct_post(&mut self, rn: u8, rm: u8, bytes: u8) {
        self.str("[");
        self.xsp(true, rn);
        self.str("], ");
        if rm == 31 {
            self.dec(bytes);
        } else {
            self.x(true, rm);
        }
    }

    /// The operands of a vector modified-immediate row.
    pub(crate) fn mod_imm(&mut self, q: bool, op: bool, cmode: u8, imm8: u8, rd: u8) {
        if op && cmode == 14 {
            if q {
                self.v(3, true, rd);
            } else {
                self.scalar(3, rd);
            }
            self.str(", ");
            return self.imm(imm::simd_imm(op, cmode, imm8));
        }
        let size = match cmode {
            0..=7 | 12 | 13 => 2,
            8..=11 => 1,
            _ => 0,
        };
        self.v(size, q, rd);
        self.str(", ");
        self.imm(imm8);
        match cmode {
            0..=11 => self.lsl(8 * (cmode >> 1 & if size == 2 { 3 } else { 1 })),
            12 => self.str(", msl #8"),
            13 => self.str(", msl #16"),
            _ => {}
        }
    }

    /// Floating-point immediate.
    pub(crate) fn fp_imm(&mut self, imm8: u8) {
        self.put(format_args!("#{:?}", f64::from_bits(imm::fp_imm64(imm8))));
    }

    /// `2` for the second-part form of a long or narrow operation.
    pub(crate) fn two(&mut self, q: bool) {
        self.str(if q { "2" } else { "" });
    }
    /// A bare number.
    pub(crate) fn num(&mut self, value: u8) {
        self.put(format_args!("{value}"));
    }

    /// A hint by number.
    pub(crate) fn hint(&mut self, crm: u8, op2: u8) {
        let name = match (crm, op2) {
            (0, 6) => "dgh",
            (0, 7) => "xpaclri",
            (1, 0) => "pacia1716",
            (1, 2) => "pacib1716",
            (1, 4) => "autia1716",
            (1, 6) => "autib1716",
            (2, 0) => "esb",
            (2, 1) => "psb csync",
            (2, 2) => "tsb csync",
            (2, 6) => "clearbhb",
            (3, 0) => "paciaz",
            (3, 1) => "paciasp",
            (3, 2) => "pacibz",
            (3, 3) => "pacibsp",
            (3, 4) => "autiaz",
            (3, 5) => "autiasp",
            (3, 6) => "autibz",
            (3, 7) => "autibsp",
            _ => return self.put(format_args!("hint #{:#x}", crm << 3 | op2)),
        };
        self.str(name);
    }

    /// A PSTATE field.
    pub(crate) fn pstate(&mut self, op1: u8, op2: u8) {
        match (op1, op2) {
            (3, 1) => self.str("ssbs"),
            (3, 2) => self.str("dit"),
            _ => self.put(format_args!("s0_{op1}_c4_c0_{op2}")),
        }
    }

    /// The cache operation of a `DcCva` row.
    pub(crate) fn dc_op(&mut self, op: u8) {
        self.str(match op {
            2 => "cvac",
            3 => "cvau",
            _ => "civac",
        });
    }

    /// `[xN]`, for the memory-copy rows.
    pub(crate) fn x_mem(&mut self, reg: u8) {
        self.str("[");
        self.x(true, reg);
        self.str("]");
    }

    /// The option letters of CPY*.
    pub(crate) fn cpy_options(&mut self, options: u8) {
        let names = [
            "", "wt", "rt", "t", "wn", "wtwn", "rtwn", "twn", "rn", "wtrn", "rtrn", "trn", "n",
            "wtn", "rtn", "tn",
        ];
        self.str(names[usize::from(options & 15)]);
    }
}

fn arrangement(size: u8, q: bool) -> &'static str {
    ARRANGEMENTS
        .get(usize::from(size << 1 | u8::from(q)))
        .copied()
        .unwrap_or("?")
}
