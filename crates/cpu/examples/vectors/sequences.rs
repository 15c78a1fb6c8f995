//! Random sequences of instructions.

use std::{io::Write, process::ExitCode};

use tuxlet_a64::{self as a64, OpId};

use crate::compare::Pair;
use crate::generate::{self, Kind, Rng};
use crate::image::{Image, RECORD, SCRATCH, SCRATCH_LEN};
use crate::program::FINAL;
use crate::{Options, STATES, subject};

/// Instructions in a sequence, and sequences in a program.
const LENGTH: usize = 10;
const BATCH: usize = 200;

/// Random sequences, in programs of [`BATCH`].
pub(crate) fn test(options: &Options) -> ExitCode {
    // The reference lacks CSSC.
    let ops: Vec<OpId> = OpId::all()
        .filter(|op| op.is_done() && op.feature() != a64::Feature::Cssc)
        .collect();
    let (integer, other): (Vec<OpId>, Vec<OpId>) = ops.into_iter().partition(|op| {
        let value = op.fixed_bits().1;
        value >> 28 & 1 != 0 && value >> 25 & 7 != 7 || op.name() == "Fcmp"
    });
    let mut failed = 0;
    for batch in 0..options.sequences.div_ceil(BATCH as u64) {
        let mut rng = Rng::new(options.seed.wrapping_add(batch << 32));
        let mut units = Vec::new();
        let mut input = Vec::new();
        for _ in 0..BATCH {
            let ops = if rng.next() >> 62 == 0 {
                &other
            } else {
                &integer
            };
            units.push(generate::sequence(ops, LENGTH, &mut rng));
            for _ in 0..STATES {
                input.extend(generate::state(Kind::Registers, 0, &mut rng));
            }
        }
        let scratch = (0..SCRATCH_LEN / 8)
            .flat_map(|_| rng.next().to_le_bytes())
            .collect();
        let image = Image::new(&units, STATES, input, scratch);
        let len = image.output_len + SCRATCH_LEN;
        let outcome = options.reference.run(&image, len).and_then(|want| {
            let engine = tuxlet_cpu::Options {
                optimise: options.optimise,
                ..tuxlet_cpu::Options::default()
            };
            // Interruptions must not show.
            let run = match batch % 2 {
                0 => subject::run,
                _ => subject::run_interrupted,
            };
            let got = run(&image, engine).map_err(|e| format!("ours: {e}"))?;
            Ok(compare(&units, &image, &want, &got, options.show))
        });
        match outcome {
            Ok(0) => {}
            Ok(differences) => {
                println!("batch {batch}: {differences} differ");
                failed += 1;
            }
            Err(why) => {
                println!("batch {batch}: {why}");
                failed += 1;
            }
        }
    }
    println!("{} sequences, {failed} batches differ", options.sequences);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the first differences and counts them.
fn compare(units: &[Vec<u32>], image: &Image, want: &[u8], got: &[u8], show: usize) -> usize {
    let mut differences = 0;
    let out = &mut std::io::stdout().lock();
    for (i, (want, got)) in want.chunks(RECORD).zip(got.chunks(RECORD)).enumerate() {
        if i as u64 * RECORD as u64 >= image.output_len {
            break;
        }
        if want == got {
            continue;
        }
        differences += 1;
        if differences > show {
            continue;
        }
        let unit = &units[i / STATES as usize];
        let start = &image.input[i * RECORD..(i + 1) * RECORD];
        // These states end without a signal.
        let full = |state: &[u8]| {
            let mut state = state.to_vec();
            state.resize(FINAL, 0);
            state
        };
        let pair = Pair {
            unit,
            start,
            want: &full(want),
            got: &full(got),
        };
        // Failing to print the report is nothing that can be reported.
        let _ = pair.describe(out);
    }
    let at = image.output_len as usize;
    if want[at..] != got[at..] {
        differences += 1;
        let first = (at..want.len()).find(|&k| want[k] != got[k]).unwrap_or(at);
        let _ = writeln!(
            out,
            "memory at {:#x}: reference {:02x}, ours {:02x}",
            SCRATCH + (first - at) as u64,
            want[first],
            got[first]
        );
    }
    differences
}
