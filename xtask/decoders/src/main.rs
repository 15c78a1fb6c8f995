//! Compares our A64 decoder with bad64 (made from Arm's machine-readable specification) and with
//! Capstone (made from LLVM's tables): which words decode, and to which mnemonic.
//!
//! `decoders all THREADS bad64|capstone|both [PART]` decodes all 2^32 words, or one of 16 parts of them; `decoders sample COUNT SEED THREADS` decodes COUNT
//! random words, most of them instances of our rows, and compares mnemonics too. The answer is one
//! line per class of disagreement: kind, class, number of words, example.

use std::{
    collections::BTreeMap,
    error::Error,
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use capstone::prelude::*;
use tuxlet_a64::{self as a64, OpId};

/// Words at a time.
const BATCH: usize = 1 << 13;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| args.get(at).map_or(Ok(default), |a| a.parse());
    let (words, seed, threads) = match args.first().map(String::as_str) {
        Some("all") if args.len() > 3 => (1 << 28, None, number(1, 2)?),
        Some("all") => (1 << 32, None, number(1, 2)?),
        Some("sample") => (number(1, 1_000_000)?, Some(number(2, 1)?), number(3, 2)?),
        _ => {
            return Err(
                "usage: decoders all THREADS [DECODER [PART]] | sample COUNT SEED THREADS".into(),
            );
        }
    };
    let chosen = args.get(2).map_or("both", String::as_str);
    let whom = Whom {
        bad64: seed.is_some() || chosen != "capstone",
        capstone: seed.is_some() || chosen != "bad64",
        mnemonics: seed.is_some(),
    };
    let first = if seed.is_none() {
        number(3, 0)? << 28
    } else {
        0
    };
    let batches = words.div_ceil(BATCH as u64);
    let (next, started) = (AtomicU64::new(0), Instant::now());
    let total = Mutex::new(Differences::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Differences::default();
                let capstone = capstone();
                loop {
                    let batch = next.fetch_add(1, Ordering::Relaxed);
                    if batch >= batches {
                        break;
                    }
                    let words = match seed {
                        None => (0..BATCH as u32)
                            .map(|i| (first + batch * BATCH as u64) as u32 + i)
                            .collect(),
                        Some(seed) => sample(seed ^ batch << 24),
                    };
                    compare(&words, whom, &capstone, &mut mine);
                    if batch % (batches / 200).max(1) == 0 {
                        let done = batch * 100 / batches;
                        eprintln!("{done} % in {} s", started.elapsed().as_secs());
                    }
                }
                total.lock().expect("no thread panics").merge(mine);
            });
        }
    });
    let out = &mut std::io::stdout().lock();
    writeln!(out, "words\t{}", batches * BATCH as u64)?;
    for ((kind, class), (count, example)) in total.into_inner()?.0 {
        let text = a64::disassemble(example, 0);
        writeln!(out, "{kind}\t{class}\t{count}\t{example:08x}\t{text}")?;
    }
    Ok(())
}

/// Number of words and an example by kind and class.
#[derive(Default)]
struct Differences(BTreeMap<(&'static str, String), (u64, u32)>);

impl Differences {
    fn add(&mut self, kind: &'static str, class: String, word: u32) {
        self.0.entry((kind, class)).or_insert((0, word)).0 += 1;
    }

    fn merge(&mut self, other: Differences) {
        for (key, (count, example)) in other.0 {
            let entry = self.0.entry(key).or_insert((0, example));
            entry.0 += count;
            entry.1 = entry.1.min(example);
        }
    }
}

fn capstone() -> Capstone {
    let mut capstone = Capstone::new()
        .arm64()
        .mode(arch::arm64::ArchMode::Arm)
        .build()
        .expect("Capstone has its AArch64 part");
    // What does not decode is skipped, word by word, as an instruction with the number 0.
    capstone.set_skipdata(true).expect("Capstone can skip");
    capstone
}

/// Random words: three of four instances of rows, half of them with one bit changed.
fn sample(seed: u64) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    };
    let rows: Vec<OpId> = OpId::all().collect();
    (0..BATCH)
        .map(|_| match next() & 7 {
            0 | 1 => next(),
            kind => {
                let row = rows[next() as usize % rows.len()];
                let word = a64::arbitrary(row, &mut next);
                if kind < 5 {
                    word
                } else {
                    word ^ 1 << (next() & 31)
                }
            }
        })
        .collect()
}

/// The top-level group of the Arm ARM's table C4-1.
fn group(word: u32) -> &'static str {
    match word >> 25 & 15 {
        0 if word >> 31 != 0 => "SME",
        0 => "reserved",
        2 => "SVE",
        1 | 3 => "unallocated",
        8 | 9 => "immediate",
        10 | 11 => "branch and system",
        5 | 13 => "register",
        7 | 15 => "FP and SIMD",
        _ => "load and store",
    }
}

/// What is compared.
#[derive(Clone, Copy)]
struct Whom {
    bad64: bool,
    capstone: bool,
    mnemonics: bool,
}

fn compare(words: &[u32], whom: Whom, capstone: &Capstone, out: &mut Differences) {
    let ours: Vec<Option<OpId>> = words.iter().map(|&word| a64::decode(word)).collect();
    if whom.bad64 {
        for (&word, &ours) in words.iter().zip(&ours) {
            let theirs = bad64::decode(word, 0).ok().map(|i| i.op().mnem());
            judge(word, ours, theirs, &BAD64, whom, out);
        }
    }
    if whom.capstone {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let theirs = capstone.disasm_all(&bytes, 0).expect("Capstone skips");
        assert_eq!(theirs.len(), words.len(), "one answer per word");
        for ((&word, &ours), theirs) in words.iter().zip(&ours).zip(theirs.iter()) {
            let theirs = (theirs.id().0 != 0).then(|| theirs.mnemonic().unwrap_or_default());
            judge(word, ours, theirs, &CAPSTONE, whom, out);
        }
    }
}

/// The names of the three kinds of disagreement with a decoder.
struct Kinds {
    accepts: &'static str,
    rejects: &'static str,
    name: &'static str,
}

const BAD64: Kinds = Kinds {
    accepts: "bad64 accepts",
    rejects: "bad64 rejects",
    name: "bad64 name",
};
const CAPSTONE: Kinds = Kinds {
    accepts: "capstone accepts",
    rejects: "capstone rejects",
    name: "capstone name",
};

fn judge(
    word: u32,
    ours: Option<OpId>,
    theirs: Option<&str>,
    kinds: &Kinds,
    whom: Whom,
    out: &mut Differences,
) {
    match (ours, theirs) {
        (None, Some(name)) => {
            let class = match group(word) {
                // Outside our scope as a whole.
                group @ ("SVE" | "SME") => format!("{group}: all"),
                // Ninety-odd mnemonics of memory copies and sets with invalid registers.
                group if name.starts_with("cpy") => format!("{group}: cpy*"),
                group if name.starts_with("set") => format!("{group}: set*"),
                group => format!("{group}: {name}"),
            };
            out.add(kinds.accepts, class, word);
        }
        (Some(op), None) => {
            let class = format!("{}: {}", group(word), op.name());
            out.add(kinds.rejects, class, word);
        }
        (Some(op), Some(theirs)) if whom.mnemonics => {
            let text = a64::disassemble(word, 0);
            let name = text.split_whitespace().next().unwrap_or_default();
            if !theirs.eq_ignore_ascii_case(name) {
                out.add(kinds.name, format!("{}: {name}, {theirs}", op.name()), word);
            }
        }
        _ => {}
    }
}
