//! Runs random instances of the instruction table's rows in the interpreter and in QEMU (or on
//! a native AArch64 Linux host) and compares every register, flag and byte of memory.

mod generate;
mod image;
mod subject;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use generate::{Kind, Rng};
use image::{FPCR, FPSR, Image, NZCV, RECORD, SCRATCH, SCRATCH_LEN, SP, V, X};
use tuxlet_a64::{self as a64, OpId};

/// States per instruction word.
const STATES: u64 = 25;

struct Options {
    /// Instances per row.
    count: u64,
    seed: u64,
    rows: Vec<String>,
    reference: Option<PathBuf>,
    /// Specialised handlers, or every instruction alone.
    optimise: bool,
    /// Random sequences instead of rows: how many times [`STATES`].
    sequences: u64,
    /// Stop reporting a row after this many differences.
    show: usize,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        count: 1000,
        seed: 1,
        rows: Vec::new(),
        reference: None,
        optimise: true,
        sequences: 0,
        show: 3,
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
            "--qemu" => options.reference = Some(value()?.into()),
            "--plain" => options.optimise = false,
            "--native" => options.reference = None,
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
        return test_sequences(&options);
    }
    let (mut rows, mut instances, mut failed, mut skipped) = (0, 0, Vec::new(), Vec::new());
    for op in OpId::all() {
        let chosen = match options.rows.as_slice() {
            [] => true,
            names => names.iter().any(|n| {
                n.strip_suffix('*')
                    .map_or(n == op.name(), |start| op.name().starts_with(start))
            }),
        };
        let kind = generate::kind(op);
        if !chosen || !op.is_done() || kind == Kind::Excluded {
            continue;
        }
        match test_row(op, kind, &options) {
            Ok(differences) => {
                rows += 1;
                instances += options.count;
                if differences > 0 {
                    println!("{}: {differences} instances differ", op.name());
                    failed.push(op.name());
                }
            }
            Err(why) => skipped.push(format!("{} ({why})", op.name())),
        }
    }
    println!(
        "{rows} rows, {instances} instances, {} rows differ: {failed:?}",
        failed.len()
    );
    if !skipped.is_empty() {
        println!(
            "{} rows not compared: {}",
            skipped.len(),
            skipped.join(", ")
        );
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The number of instances of `op` that differ.
fn test_row(op: OpId, kind: Kind, options: &Options) -> Result<usize, String> {
    let mut rng = Rng::new(options.seed ^ u64::from(op.fixed_bits().1));
    let units: Vec<u32> = (0..options.count.div_ceil(STATES))
        .map(|_| generate::word(op, kind, &mut rng))
        .collect();
    let mut input = Vec::new();
    for &word in &units {
        for _ in 0..STATES {
            input.extend(generate::state(kind, word, &mut rng));
        }
    }
    let scratch: Vec<u8> = (0..SCRATCH_LEN / 8)
        .flat_map(|_| rng.next().to_le_bytes())
        .collect();
    let code: Vec<Vec<u32>> = units.iter().map(|&w| vec![w]).collect();
    let image = Image::new(&code, STATES, input, scratch);
    let want = reference(&image, options)?;
    let got = subject::run(&image, options.optimise).map_err(|e| format!("ours: {e}"))?;
    Ok(compare(&code, &image, &want, &got, options.show))
}

/// Instructions in a sequence, and sequences in a program.
const LENGTH: usize = 10;
const BATCH: usize = 200;

/// Random sequences, in programs of [`BATCH`].
fn test_sequences(options: &Options) -> ExitCode {
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
        let outcome = reference(&image, options).and_then(|want| {
            let got = subject::run(&image, options.optimise).map_err(|e| format!("ours: {e}"))?;
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

/// Runs the program outside.
fn reference(image: &Image, options: &Options) -> Result<Vec<u8>, String> {
    let path = std::env::temp_dir().join(format!("vectors-{}", std::process::id()));
    let say = |e: std::io::Error| e.to_string();
    fs::write(&path, image.elf()).map_err(say)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(say)?;
    let mut command = match &options.reference {
        Some(qemu) => {
            let mut command = Command::new(qemu);
            command.args(["-cpu", "max,pauth=off"]).arg(&path);
            command
        }
        None => Command::new(&path),
    };
    let output = command.stderr(Stdio::null()).output().map_err(say);
    fs::remove_file(&path).map_err(say)?;
    let output = output?;
    if !output.status.success() {
        return Err(format!("reference: {}", output.status));
    }
    let len = image.output_len + SCRATCH_LEN;
    if output.stdout.len() as u64 != len {
        return Err(format!(
            "reference wrote {} bytes, not {len}",
            output.stdout.len()
        ));
    }
    Ok(output.stdout)
}

fn word64(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().unwrap_or_default())
}

fn word128(record: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(record[at..at + 16].try_into().unwrap_or_default())
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
        // Failing to print the report is nothing that can be reported.
        let _ = describe(out, unit, start, want, got);
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

fn describe(
    out: &mut impl Write,
    unit: &[u32],
    start: &[u8],
    want: &[u8],
    got: &[u8],
) -> std::io::Result<()> {
    for &word in unit {
        writeln!(out, "{word:08x}  {}", a64::disassemble(word, 0))?;
    }
    let word = unit[0];
    writeln!(
        out,
        "    fpcr {:08x} fpsr {:08x} nzcv {:x}",
        word64(start, FPCR),
        word64(start, FPSR),
        word64(start, NZCV) >> 28
    )?;
    for r in [word & 31, word >> 5 & 31, word >> 16 & 31, word >> 10 & 31] {
        let r = r as usize;
        let x = if r < 31 {
            word64(start, X + 8 * r)
        } else {
            word64(start, SP)
        };
        writeln!(
            out,
            "    before v{r:<2} {:032x}  x{r:<2} {x:016x}",
            word128(start, V + 16 * r)
        )?;
    }
    for r in 0..31 {
        let (w, g) = (word64(want, X + 8 * r), word64(got, X + 8 * r));
        if w != g {
            writeln!(out, "    x{r}: reference {w:016x}, ours {g:016x}")?;
        }
    }
    for (name, at) in [("sp", SP), ("nzcv", NZCV), ("fpcr", FPCR), ("fpsr", FPSR)] {
        let (w, g) = (word64(want, at), word64(got, at));
        if w != g {
            writeln!(out, "    {name}: reference {w:08x}, ours {g:08x}")?;
        }
    }
    for r in 0..32 {
        let (w, g) = (word128(want, V + 16 * r), word128(got, V + 16 * r));
        if w != g {
            writeln!(out, "    v{r}: reference {w:032x}")?;
            writeln!(out, "    v{r}: ours      {g:032x}")?;
        }
    }
    Ok(())
}
