//! Every target on its corpus and on mutations of it, the same ones in every run. `TUXLET_FUZZ_ITERATIONS` makes it longer,
//! `TUXLET_FUZZ_SEED` different, `TUXLET_FUZZ_TARGET` chooses one; `TUXLET_FUZZ_RECORD` keeps each input in a file before it is
//! used, for when the whole process does not survive it.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use tuxlet_fuzz::{TARGETS, Target};

/// Inputs for the cheapest target; dearer ones get fewer.
const ITERATIONS: u32 = 2000;
/// Longest input in bytes.
const LONGEST: usize = 1 << 16;

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n.max(1)
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = (len - start).min(1 + self.below(64));
        start..start + self.below(most + 1)
    }
}

/// Numbers at which things go wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

fn mutate(random: &mut Random, data: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    for _ in 0..1 + random.below(4) {
        let len = data.len();
        match random.below(9) {
            0 if len > 0 => data[random.below(len)] ^= 1 << random.below(8),
            1 if len > 0 => data[random.below(len)] = random.below(256) as u8,
            2 => {
                data.drain(random.range(len));
            }
            3 => {
                let piece = data[random.range(len)].to_vec();
                let at = random.below(len + 1);
                data.splice(at..at, piece);
            }
            4 => data.truncate(random.below(len + 1)),
            5 => {
                let value = EDGES[random.below(EDGES.len())].to_le_bytes();
                let width = 1 << random.below(4);
                let at = random.below(len + 1);
                let end = (at + width).min(len);
                data.splice(at..end, value[..width].iter().copied());
            }
            6 => {
                let text = EDGES[random.below(EDGES.len())].to_string();
                let range = random.range(len);
                data.splice(range, text.into_bytes());
            }
            7 => {
                let other = &corpus[random.below(corpus.len())];
                let piece = other[random.range(other.len())].to_vec();
                let range = random.range(len);
                data.splice(range, piece);
            }
            _ => {
                let byte = b"\0\n /:.=-#\xff"[random.below(10)];
                let at = random.below(len + 1);
                data.insert(at, byte);
            }
        }
    }
    data.truncate(LONGEST);
}

fn corpus(target: Target) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target.name);
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|e| e.expect("a file").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    files.iter().map(|f| fs::read(f).expect("a file")).collect()
}

fn survive(target: Target) {
    let corpus = corpus(target);
    let seed = u64::from(number("TUXLET_FUZZ_SEED", 1)) << 32;
    let mut random = Random(seed ^ 0x9e37_79b9_7f4a_7c15);
    let input = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.input", target.name));
    let record = std::env::var_os("TUXLET_FUZZ_RECORD").is_some();
    let iterations = number("TUXLET_FUZZ_ITERATIONS", ITERATIONS) / target.cost;
    for n in 0..corpus.len() + iterations as usize {
        let data = corpus.get(n).cloned().unwrap_or_else(|| {
            let mut data = corpus[random.below(corpus.len())].clone();
            mutate(&mut random, &mut data, &corpus);
            data
        });
        if record {
            fs::write(&input, &data).expect("the input's file");
        }
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&data))).is_err() {
            fs::write(&input, &data).expect("the input's file");
            panic!("{} does not survive {}", target.name, input.display());
        }
    }
}

#[test]
fn every_target_survives() {
    let only = std::env::var("TUXLET_FUZZ_TARGET").ok();
    for target in TARGETS {
        if only.as_deref().is_none_or(|name| name == target.name) {
            survive(*target);
        }
    }
}
