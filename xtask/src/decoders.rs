//! `cargo xtask decoders`: our A64 decoder against bad64 and Capstone.
//!
//! The comparison is a program outside the workspace (`xtask/decoders`), because bad64 needs
//! libclang to build. This command runs it and compares its classes of disagreement with the
//! list in `docs/conformance/decoders.txt`; `docs/conformance/decoders.md` has the verdicts.

use anyhow::{Context, Result, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Command, Stdio},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Decode all 2^32 words.
    #[arg(long)]
    all: bool,
    /// With `--all`: only this decoder, `bad64` or `capstone`.
    #[arg(long, default_value = "both")]
    decoder: String,
    /// With `--all`: only this sixteenth of the words, 0 to 15.
    #[arg(long)]
    part: Option<u8>,
    /// Random words, most of them instances of our rows; compares mnemonics too.
    #[arg(long, value_name = "WORDS", default_value_t = 4_000_000)]
    sample: u64,
    /// The random seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads.
    #[arg(short, long)]
    jobs: Option<usize>,
    /// Write the classes to the list instead of comparing with it.
    #[arg(long)]
    bless: bool,
}

const LIST: &str = "docs/conformance/decoders.txt";

/// Number of words, example and its text by kind and class.
type Classes = BTreeMap<(String, String), [String; 3]>;

pub(crate) fn run(args: &Args) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.jobs.unwrap_or(cores).to_string();
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--release", "--manifest-path"]);
    command.args(["xtask/decoders/Cargo.toml", "--target-dir"]);
    command.arg("target/decoders");
    if args.all {
        command.args(["--", "all", &threads, &args.decoder]);
        command.args(args.part.map(|part| part.to_string()));
    } else {
        let numbers = [args.sample.to_string(), args.seed.to_string()];
        command.args(["--", "sample"]).args(numbers).arg(threads);
    }
    let output = command.stderr(Stdio::inherit()).output().context("cargo")?;
    ensure!(
        output.status.success(),
        "the comparison did not run; bad64 needs libclang to build"
    );
    let found = parse(&String::from_utf8_lossy(&output.stdout));
    let recorded = fs::read_to_string(LIST).unwrap_or_default();
    let mut known = parse(&recorded);
    let new: BTreeSet<_> = found.keys().filter(|k| !known.contains_key(*k)).collect();
    for (kind, class) in &new {
        let [count, word, text] = &found[&(kind.clone(), class.clone())];
        println!("{kind} {class}: {count} words, for example {word} {text}");
    }
    println!("{} classes, {} of them new", found.len(), new.len());
    if args.bless {
        known.extend(found);
        return Ok(fs::write(LIST, text(&known))?);
    }
    ensure!(new.is_empty(), "classes that {LIST} does not have");
    Ok(())
}

fn parse(text: &str) -> Classes {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines
        .filter_map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [kind, class, rest @ ..] = &columns[..] else {
                return None;
            };
            let rest: [&str; 3] = rest.try_into().ok()?;
            Some((
                (kind.to_string(), class.to_string()),
                rest.map(str::to_owned),
            ))
        })
        .collect()
}

fn text(classes: &Classes) -> String {
    let mut text = String::from(
        "# Where our decoder and others disagree, by `cargo xtask decoders --bless`; decoders.md has the verdicts.\n\
         # kind, class, words, example, our text of it. Name classes: row, our mnemonic, theirs.\n",
    );
    for ((kind, class), [count, word, ours]) in classes {
        text.push_str(&format!("{kind}\t{class}\t{count}\t{word}\t{ours}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_round_trips() {
        let line = "bad64 accepts\tSVE: fmla\t3\t65000000\t.inst 0x65000000\n";
        let classes = parse(&format!("words\t8192\n{line}"));
        assert_eq!(classes.len(), 1);
        assert!(text(&classes).ends_with(line));
        assert_eq!(parse(&text(&classes)), classes);
    }
}
