//! Runs random instances of the instruction table's rows in the interpreter and in QEMU (or on
//! a native AArch64 Linux host) and compares every register, flag, signal and byte of memory.

mod compare;
mod generate;
mod image;
mod instances;
mod kernel;
mod known;
mod program;
mod record;
mod reference;
mod sequences;
mod subject;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use compare::Pair;
use generate::Rng;
use image::{RECORD, SCRATCH, SCRATCH_LEN};
use instances::Form;
use program::FINAL;
use record::Outcome;
use reference::Reference;
use tuxlet_a64::{Feature, OpId};

/// States per instruction word, unless a row has few words.
const STATES: u64 = 25;

struct Options {
    /// Instances per row.
    count: u64,
    seed: u64,
    rows: Vec<String>,
    reference: Reference,
    /// Specialised handlers, or every instruction alone.
    optimise: bool,
    /// Random sequences instead of rows: how many times [`STATES`].
    sequences: u64,
    /// Stop reporting a row after this many differences.
    show: usize,
    /// Rows at a time.
    jobs: usize,
    /// The list of passed vectors to enter the outcome in.
    record: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        count: 1000,
        seed: 1,
        rows: Vec::new(),
        reference: Reference::Native,
        optimise: true,
        sequences: 0,
        show: 3,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        record: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
        match arg.as_str() {
            "--count" => options.count = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--sequences" => options.sequences = number(value()?)?,
            "--show" => options.show = number(value()?)? as usize,
            "--jobs" => options.jobs = number(value()?)?.max(1) as usize,
            "--record" => options.record = Some(value()?.into()),
            "--qemu" => options.reference = Reference::Qemu(value()?.into()),
            "--native-through" => options.reference = Reference::Through(value()?.into()),
            "--plain" => options.optimise = false,
            "--native" => options.reference = Reference::Native,
            row => options.rows.push(row.to_owned()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    if options.sequences > 0 {
        return sequences::test(&options);
    }
    match test_rows(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// Tests the chosen rows; whether all agree.
fn test_rows(options: &Options) -> Result<bool, String> {
    let chosen: Vec<OpId> = OpId::all()
        .filter(|op| op.is_done())
        .filter(|op| {
            options.rows.is_empty()
                || options
                    .rows
                    .iter()
                    .any(|pattern| known::matches(pattern, op.name()))
        })
        .collect();
    let outcomes = Mutex::new(BTreeMap::new());
    let failed = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some(&op) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (outcome, differences) = test_row(op, options);
                    if differences > 0 {
                        failed
                            .lock()
                            .unwrap_or_else(|e| e.into_inner())
                            .push(op.name());
                    } else {
                        outcomes
                            .lock()
                            .unwrap_or_else(|e| e.into_inner())
                            .insert(op.name(), outcome);
                    }
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(|e| e.into_inner());
    let mut failed = failed.into_inner().unwrap_or_else(|e| e.into_inner());
    failed.sort_unstable();
    let sum = |f: fn(&Outcome) -> u64| outcomes.values().map(f).sum::<u64>();
    println!(
        "{} rows, {} instances ({} with a signal, {} with a known difference), {} rows differ: {failed:?}",
        outcomes.len(),
        sum(|o| o.instances),
        sum(|o| o.signals),
        sum(|o| o.known),
        failed.len(),
    );
    for (row, outcome) in &outcomes {
        if outcome.instances == 0 {
            println!("not compared: {row}: {}", outcome.note);
        }
    }
    if let Some(path) = &options.record {
        record::write(path, &options.reference.name(), &outcomes)?;
    }
    Ok(failed.is_empty())
}

/// Tests a row: the outcome, and how many instances differ.
fn test_row(op: OpId, options: &Options) -> (Outcome, usize) {
    let mut outcome = Outcome {
        instances: 0,
        signals: 0,
        known: 0,
        exhaustive: false,
        note: String::new(),
    };
    let form = instances::form(op);
    if let Form::Excluded(why) = form {
        outcome.note = why.to_owned();
        return (outcome, 0);
    }
    let mut rng = Rng::new(options.seed ^ u64::from(op.fixed_bits().1));
    let (words, exhaustive) = instances::words(op, form, options.count.div_ceil(STATES), &mut rng);
    outcome.exhaustive = exhaustive;
    // Rows with few words get more states each.
    let states = options.count.div_ceil(words.len().max(1) as u64).max(4);
    let units: Vec<Vec<u32>> = words
        .iter()
        .map(|&word| instances::unit(form, word, &mut rng))
        .collect();
    let lse2 = options.reference.has_lse2();
    let mut input = Vec::with_capacity(words.len() * states as usize * RECORD);
    for &word in &words {
        for _ in 0..states {
            input.extend(instances::state(form, word, lse2, &mut rng));
        }
    }
    let scratch: Vec<u8> = (0..SCRATCH_LEN / 8)
        .flat_map(|_| rng.next().to_le_bytes())
        .collect();
    let image = program::program(&units, states, input, scratch);
    let finals = units.len() * states as usize * FINAL;
    let ran = options
        .reference
        .run(&image, finals as u64 + SCRATCH_LEN)
        .and_then(|want| {
            let got = kernel::run(&image, options.optimise).map_err(|e| format!("ours: {e}"))?;
            Ok((want, got))
        });
    let (want, got) = match ran {
        Ok(ran) => ran,
        Err(why) => {
            println!("{}: {why}", op.name());
            return (outcome, 1);
        }
    };
    let pairs: Vec<Pair<'_>> = (0..units.len() * states as usize)
        .map(|i| Pair {
            unit: &units[i / states as usize],
            start: &image.input[i * RECORD..(i + 1) * RECORD],
            want: &want[i * FINAL..(i + 1) * FINAL],
            got: &got[i * FINAL..(i + 1) * FINAL],
        })
        .collect();
    if pairs.iter().all(|pair| {
        let (there, here) = pair.signals();
        there == SIGILL && here != SIGILL
    }) {
        outcome.note = match op.feature() {
            Feature::Cssc => "the reference lacks it; `cargo test -p tuxlet-cpu --test isa cssc`",
            _ => "the reference lacks it",
        }
        .to_owned();
        return (outcome, 0);
    }
    let mut differences = 0;
    let mut report = Vec::new();
    for pair in &pairs {
        outcome.instances += 1;
        outcome.signals += u64::from(pair.signals().1 != 0);
        if !pair.differs() {
            continue;
        }
        if known::is_known(op.name(), pair) {
            outcome.known += 1;
            continue;
        }
        differences += 1;
        if differences <= options.show {
            // Writing to memory does not fail.
            let _ = pair.describe(&mut report);
        }
    }
    let partial = pairs
        .iter()
        .any(|pair| known::is_partial_store(op.name(), pair));
    let end = want.len() - if partial { known::PARTIAL } else { 0 };
    if let Some(at) = (finals..end).find(|&i| want[i] != got[i]) {
        differences += 1;
        report.extend(
            format!(
                "memory at {:#x}: reference {:02x}, ours {:02x}\n",
                SCRATCH + (at - finals) as u64,
                want[at],
                got[at]
            )
            .bytes(),
        );
    }
    if differences > 0 {
        print!("{}", String::from_utf8_lossy(&report));
        println!("{}: {differences} instances differ", op.name());
    }
    (outcome, differences)
}

/// The signal of an undefined instruction.
const SIGILL: u64 = 4;
