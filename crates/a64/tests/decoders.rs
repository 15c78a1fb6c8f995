//! A slice of the comparison with another decoder, Capstone; the whole one, with a second decoder
//! and all 2^32 words, is `cargo xtask decoders`, and docs/conformance/decoders.md has the verdicts.

use capstone::prelude::*;
use tuxlet_a64::{OpId, arbitrary, decode, disassemble};

/// xorshift64*.
fn rng(mut state: u64) -> impl FnMut() -> u32 {
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

/// The classes that `docs/conformance/decoders.txt` lists of one kind.
fn known(kind: &str) -> Vec<String> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/conformance/decoders.txt"
    );
    let list = std::fs::read_to_string(path).expect("the list of disagreements");
    let classes = list.lines().filter_map(|line| {
        let (of, rest) = line.split_once('\t')?;
        (of == kind).then(|| rest.split('\t').next().unwrap_or_default().to_owned())
    });
    classes.collect()
}

#[test]
fn disagreements_with_capstone_are_listed() {
    let mut capstone = Capstone::new()
        .arm64()
        .mode(arch::arm64::ArchMode::Arm)
        .build()
        .expect("Capstone");
    // What does not decode is skipped word by word, with instruction number 0.
    capstone.set_skipdata(true).expect("skipping");
    let mut next = rng(1);
    let mut words: Vec<u32> = (0..60_000).map(|_| next()).collect();
    for op in OpId::all() {
        for i in 0..60 {
            let word = arbitrary(op, &mut next);
            words.push(if i % 3 == 0 {
                word ^ 1 << (next() & 31)
            } else {
                word
            });
        }
    }
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let theirs = capstone.disasm_all(&bytes, 0).expect("skipping");
    assert_eq!(theirs.len(), words.len());
    let (accepts, rejects) = (known("capstone accepts"), known("capstone rejects"));
    let has = |list: &[String], name: &str| {
        let mut names = list.iter().filter_map(|class| class.split_once(": "));
        names.any(|(_, known)| known == name)
    };
    for (&word, theirs) in words.iter().zip(theirs.iter()) {
        // The list has the mnemonics of memory copies and sets together.
        let name = match theirs.mnemonic().unwrap_or_default() {
            name if name.starts_with("cpy") => "cpy*",
            name if name.starts_with("set") => "set*",
            name => name,
        };
        match (decode(word), theirs.id().0 != 0) {
            // SVE and SME are outside our scope.
            (None, true) if word >> 25 & 15 == 2 || word >> 31 << 4 | word >> 25 & 15 == 16 => {}
            (None, true) => assert!(
                has(&accepts, name),
                "Capstone decodes {word:#010x} as {name}, we do not"
            ),
            (Some(op), false) => assert!(
                has(&rejects, op.name()),
                "Capstone does not decode {word:#010x}, we do: {}",
                disassemble(word, 0)
            ),
            _ => {}
        }
    }
}
