//! Compares the decoder with binutils: `objdump_oracle WORDS [SEED]`; WORDS = 0 sweeps all
//! values of bits 31:10 instead.
//!
//! Half of the words are random, half are instances of random rows with a few bits flipped,
//! so that the edges of every row are visited. SVE and SME (and the reserved space with
//! them) are left out. Fails when an unclassified disagreement remains.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
};

use tuxlet_a64::{OpId, arbitrary, decode, disassemble};

const OBJDUMP: &str = "aarch64-linux-gnu-objdump";
/// Words per run of objdump.
const BATCH: u64 = 1 << 20;

/// Instructions that objdump knows and the tables leave out on purpose.
const OUT_OF_SCOPE: &[(&str, &[&str])] = &[
    (
        "privileged",
        &[
            "hvc", "smc", "eret", "eretaa", "eretab", "drps", "dcps1", "dcps2", "dcps3", "hlt",
        ],
    ),
    (
        "MTE",
        &[
            "addg", "subg", "subp", "subps", "cmpp", "irg", "gmi", "stg", "stzg", "st2g", "stz2g",
            "ldg", "ldgm", "stgm", "stzgm", "stgp", "setgp", "setgpt", "setgpn", "setgptn",
            "setgm", "setgmt", "setgmn", "setgmtn", "setge", "setget", "setgen", "setgetn",
        ],
    ),
    ("LS64", &["ld64b", "st64b", "st64bv", "st64bv0"]),
    ("TME", &["tstart", "tcommit", "tcancel", "ttest"]),
];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let words: u64 = args.next().map_or(Ok(1_000_000), |a| a.parse())?;
    let seed: u64 = args.next().map_or(Ok(1), |a| a.parse())?;
    if Command::new(OBJDUMP)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        println!("skipped: {OBJDUMP} is not installed");
        return Ok(ExitCode::SUCCESS);
    }
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut rng = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as u32
    };
    let mut report = Report::default();
    if words == 0 {
        // Everything above the Rn and Rd fields, in slices.
        for slice in 0..16_u32 {
            let batch: Vec<u32> = (0..1 << 18)
                .map(|low| ((slice << 18 | low) << 10) | (rng() & 0x3ff))
                .filter(|&w| in_scope(w))
                .collect();
            if !batch.is_empty() {
                compare(&batch, &mut report)?;
            }
        }
    }
    let mut left = words;
    while left > 0 {
        let count = left.min(BATCH);
        left -= count;
        let batch: Vec<u32> = (0..count).map(|_| word(&mut rng)).collect();
        compare(&batch, &mut report)?;
    }
    report.print();
    Ok(
        if report.disagreements.is_empty() && report.texts.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        },
    )
}

fn word(rng: &mut impl FnMut() -> u32) -> u32 {
    let ops = OpId::COUNT as u32;
    loop {
        let kind = rng() % 8;
        let word = if kind < 3 {
            rng()
        } else {
            let op = OpId::all().nth((rng() % ops) as usize);
            let mut word = op.map_or(0, |op| arbitrary(op, rng));
            for _ in 0..kind - 3 {
                word ^= 1 << (rng() % 32);
            }
            word
        };
        if in_scope(word) {
            return word;
        }
    }
}

/// Not in the top-level groups 0000 (reserved, SME) and 0010 (SVE).
fn in_scope(word: u32) -> bool {
    word >> 25 & 0b1101 != 0
}

#[derive(Default)]
struct Report {
    agreed_valid: u64,
    agreed_invalid: u64,
    /// Reason -> count.
    classified: BTreeMap<&'static str, u64>,
    /// Row -> count and example of different operands.
    texts: BTreeMap<&'static str, (u64, String)>,
    /// (ours, theirs) -> count and example.
    disagreements: BTreeMap<(String, String), (u64, String)>,
}

impl Report {
    fn print(&self) {
        println!(
            "{} words decode alike, {} are undefined for both",
            self.agreed_valid, self.agreed_invalid
        );
        for (reason, count) in &self.classified {
            println!("classified: {count:8} {reason}");
        }
        for (name, (count, example)) in &self.texts {
            println!("operands: {count:8} {name:16} {example}");
        }
        for ((ours, theirs), (count, example)) in &self.disagreements {
            println!("DISAGREE: {count:8} ours {ours:24} theirs {theirs:16} {example}");
        }
    }
}

fn compare(batch: &[u32], report: &mut Report) -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("tuxlet-oracle-{}", std::process::id()));
    fs::write(
        &path,
        batch
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect::<Vec<u8>>(),
    )?;
    let mut child = Command::new(OBJDUMP)
        .args(["-D", "-z", "-b", "binary", "-m", "aarch64"])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    let mut seen = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let columns: Vec<&str> = line.split('\t').collect();
        let [address, _, theirs, ..] = columns[..] else {
            continue;
        };
        let Ok(address) = u64::from_str_radix(address.trim().trim_end_matches(':'), 16) else {
            continue;
        };
        let Some(&word) = batch.get((address / 4) as usize) else {
            continue;
        };
        one(word, address, theirs.trim(), &line, report);
        seen += 1;
    }
    child.wait()?;
    fs::remove_file(&path)?;
    if seen != batch.len() {
        return Err(format!("objdump printed {seen} of {} words", batch.len()).into());
    }
    Ok(())
}

fn one(word: u32, pc: u64, theirs: &str, line: &str, report: &mut Report) {
    let undefined = theirs == ".inst" || theirs == "udf" || theirs == "undefined";
    let op = decode(word);
    match (op, undefined) {
        (None, true) => report.agreed_invalid += 1,
        (Some(op), false) => {
            let ours = disassemble(word, pc);
            let mnemonic = ours.split(' ').next().unwrap_or_default();
            if mnemonic == theirs {
                report.agreed_valid += 1;
                let same = |a: &str| a.split_whitespace().collect::<String>().to_lowercase();
                let text = line.splitn(3, '\t').nth(2).unwrap_or_default();
                let text = text.split("//").next().unwrap_or_default();
                if same(text) != same(&ours) && !prints_otherwise(op) {
                    let entry = report
                        .texts
                        .entry(op.name())
                        .or_insert_with(|| (0, format!("{ours} <> {line}")));
                    entry.0 += 1;
                }
            } else if let Some(reason) = classify(Some(op), word, theirs) {
                *report.classified.entry(reason).or_default() += 1;
            } else {
                disagree(report, op.name(), theirs, format!("{ours} <> {line}"));
            }
        }
        (op, _) => {
            if let Some(reason) = classify(op, word, theirs) {
                *report.classified.entry(reason).or_default() += 1;
            } else {
                let name = op.map_or("none", OpId::name);
                disagree(
                    report,
                    name,
                    theirs,
                    format!("{} <> {line}", disassemble(word, pc)),
                );
            }
        }
    }
}

fn disagree(report: &mut Report, ours: &str, theirs: &str, example: String) {
    let entry = report
        .disagreements
        .entry((ours.to_owned(), theirs.to_owned()))
        .or_insert_with(|| (0, example));
    entry.0 += 1;
}

/// Rows whose operands objdump writes in another way: names of system registers, decimals.
fn prints_otherwise(op: OpId) -> bool {
    matches!(
        op,
        OpId::Mrs
            | OpId::MsrReg
            | OpId::MsrImm
            | OpId::LdrAuth
            | OpId::FmovImm
            | OpId::FmovVecImm
            | OpId::FmovVecImmHalf
    )
}

/// Why a disagreement is expected.
fn classify(op: Option<OpId>, word: u32, theirs: &str) -> Option<&'static str> {
    let Some(op) = op else {
        let fmlal_sz = word & 0x9f60_dc00 == 0x0e60_cc00;
        return match theirs {
            // objdump prints what it does not know in the space of op0 = 0 as a register.
            "msr" | "mrs" if word >> 19 & 3 == 0 => Some("PSTATE fields not for EL0, unallocated"),
            "smstart" | "smstop" => Some("SME"),
            "fmlal" | "fmlsl" | "fmlal2" | "fmlsl2" if fmlal_sz => {
                Some("objdump ignores that sz = 1 is unallocated")
            }
            _ => OUT_OF_SCOPE
                .iter()
                .find(|(_, names)| names.contains(&theirs))
                .map(|(why, _)| *why),
        };
    };
    match op {
        OpId::Sb | OpId::Cfinv | OpId::Xaflag | OpId::Axflag if word >> 8 & 15 != 0 => {
            Some("should-be-zero bits, which we ignore")
        }
        OpId::Ldar | OpId::Stlr | OpId::Ldlar | OpId::Stllr => {
            Some("should-be-one bits, which we ignore")
        }
        OpId::LdpswImm | OpId::LdpswPost | OpId::LdpswPre if theirs == ".inst" => {
            Some("LDPSW that is CONSTRAINED UNPREDICTABLE, allowed like other LDPs")
        }
        OpId::Sys | OpId::Sysl => Some("names of system operations"),
        OpId::Hint => Some("names of hints"),
        _ => None,
    }
}
