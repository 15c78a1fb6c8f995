//! Random pieces of code with branches, loops, calls, memory accesses and self-modification, run
//! by the optimised engine, by the engine without any optimisation and by a reference, which must
//! agree in every register, flag and byte of memory.

mod blocks;
#[path = "../vectors/generate.rs"]
#[expect(dead_code, reason = "the vectors use all of it")]
mod generate;
#[path = "../vectors/image.rs"]
mod image;
#[path = "../vectors/subject.rs"]
mod subject;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use blocks::{Rows, Unit};
use generate::{Kind, Rng};
use image::{FPCR, FPSR, Image, NZCV, RECORD, SCRATCH, SCRATCH_LEN, SP, V, X};
use tuxlet_a64 as a64;

/// Initial states of each unit, and units in a program.
const STATES: usize = 8;
const UNITS: usize = 150;

/// After this time a reference is taken for hanging.
const LIMIT: Duration = Duration::from_secs(120);

struct Options {
    minutes: u64,
    seed: u64,
    /// Only this batch.
    batch: Option<u64>,
    qemu: Option<PathBuf>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        minutes: 1,
        seed: 1,
        batch: None,
        qemu: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|e| format!("{value}: {e}"));
        match arg.as_str() {
            "--minutes" => options.minutes = number()?,
            "--seed" => options.seed = number()?,
            "--batch" => options.batch = Some(number()?),
            "--qemu" => options.qemu = Some(value.into()),
            _ => return Err(format!("{arg} is no option")),
        }
    }
    Ok(options)
}

/// A program: units, the initial states of each, and the scratch memory.
#[derive(Clone)]
struct Case {
    units: Vec<Unit>,
    /// [`RECORD`] bytes for each of `states` states of each unit.
    input: Vec<u8>,
    states: usize,
    scratch: Vec<u8>,
}

impl Case {
    fn random(rows: &Rows, rng: &mut Rng) -> Case {
        let units: Vec<Unit> = (0..UNITS).map(|_| blocks::unit(rows, rng)).collect();
        let input = (0..UNITS * STATES)
            .flat_map(|_| generate::state(Kind::Registers, 0, rng))
            .collect();
        let scratch = (0..SCRATCH_LEN / 8).flat_map(|_| rng.next().to_le_bytes());
        Case {
            units,
            input,
            states: STATES,
            scratch: scratch.collect(),
        }
    }

    /// One unit of the case with some of its states.
    fn part(&self, unit: usize, states: core::ops::Range<usize>) -> Case {
        let at = |state: usize| (unit * self.states + state) * RECORD;
        Case {
            units: vec![self.units[unit].clone()],
            input: self.input[at(states.start)..at(states.end)].to_vec(),
            states: states.len(),
            scratch: self.scratch.clone(),
        }
    }

    /// Those of its units whose outcome does not depend on interruptions, as that of a store exclusive does.
    fn uninterrupted(&self) -> Option<Case> {
        let exclusive = |word: &u32| word & 0x3f80_0000 == 0x0800_0000;
        let (mut units, mut input) = (Vec::new(), Vec::new());
        let states = self.input.chunks(self.states * RECORD);
        for (unit, states) in self.units.iter().zip(states) {
            if !unit.words.iter().any(exclusive) {
                units.push(unit.clone());
                input.extend_from_slice(states);
            }
        }
        (!units.is_empty()).then_some(Case {
            units,
            input,
            states: self.states,
            scratch: self.scratch.clone(),
        })
    }

    /// The registers that the optimised engine keeps at hand: the usual ones in every other case.
    fn pins(&self) -> [u8; 4] {
        match self.scratch[0] % 58 {
            0..29 => [0, 1, 2, 3],
            r => [0, 5, 11, 17].map(|distance| (r + distance) % 29),
        }
    }

    fn image(&self) -> Image {
        let code: Vec<Vec<u32>> = self.units.iter().map(|u| u.words.clone()).collect();
        let mut image = Image::new(
            &code,
            self.states as u64,
            self.input.clone(),
            self.scratch.clone(),
        );
        image.writable_code = true;
        image
    }
}

/// Who is compared with the optimised engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Against {
    /// The same engine, instruction by instruction.
    Plain,
    /// Itself, interrupted all the time.
    Interrupted,
    /// QEMU.
    Reference,
}

/// What a comparison found: the final states and memory of both.
struct Difference {
    want: Result<Vec<u8>, String>,
    got: Result<Vec<u8>, String>,
}

fn compare(case: &Case, against: Against, options: &Options) -> Option<Difference> {
    let case = match against {
        Against::Interrupted => &case.uninterrupted()?,
        _ => case,
    };
    let image = case.image();
    let optimised = tuxlet_cpu::Options {
        pins: case.pins(),
        ..tuxlet_cpu::Options::default()
    };
    let plain = tuxlet_cpu::Options {
        optimise: false,
        ..optimised
    };
    let got = subject::run(&image, optimised);
    let want = match (against, &options.qemu) {
        (Against::Plain, _) => subject::run(&image, plain),
        (Against::Interrupted, _) => subject::run_interrupted(&image, optimised),
        (Against::Reference, Some(qemu)) => reference(&image, qemu),
        (Against::Reference, None) => return None,
    };
    (want.is_err() || got.is_err() || want != got).then_some(Difference { want, got })
}

/// Runs the program in QEMU.
fn reference(image: &Image, qemu: &Path) -> Result<Vec<u8>, String> {
    let path = std::env::temp_dir().join(format!("fuzz-isa-{}", std::process::id()));
    let dump = path.with_extension("out");
    let say = |e: std::io::Error| e.to_string();
    fs::write(&path, image.elf()).map_err(say)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(say)?;
    let mut child = Command::new(qemu)
        .args(["-cpu", "max,pauth=off"])
        .arg(&path)
        .stdout(fs::File::create(&dump).map_err(say)?)
        .stderr(Stdio::null())
        .spawn()
        .map_err(say)?;
    let until = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(say)? {
            break status;
        }
        if Instant::now() > until {
            child.kill().map_err(say)?;
            child.wait().map_err(say)?;
            return Err("the reference hangs".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = fs::read(&dump).map_err(say);
    fs::remove_file(&path).map_err(say)?;
    fs::remove_file(&dump).map_err(say)?;
    if status.success() {
        output
    } else {
        Err(format!("reference: {status}"))
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let rows = Rows::new();
    let until = Instant::now() + Duration::from_secs(60 * options.minutes);
    let (mut batch, mut failed) = (options.batch.unwrap_or(0), 0);
    loop {
        let mut rng = Rng::new(options.seed.wrapping_add(batch << 32));
        let case = Case::random(&rows, &mut rng);
        for against in [Against::Plain, Against::Interrupted, Against::Reference] {
            if let Some(difference) = compare(&case, against, &options) {
                failed += 1;
                println!(
                    "--seed {} --batch {batch}: the optimised engine and {against:?} differ",
                    options.seed
                );
                report(&case, &difference, against, &options);
            }
        }
        batch += 1;
        // A few failures say enough; each takes long to shrink.
        if options.batch.is_some() || Instant::now() > until || failed >= 5 {
            break;
        }
    }
    let batches = if options.batch.is_some() { 1 } else { batch };
    println!(
        "{} pieces of code with {STATES} states each, {failed} programs of {UNITS} differ",
        batches * UNITS as u64
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Finds the unit that differs, shrinks and prints it.
fn report(case: &Case, difference: &Difference, against: Against, options: &Options) {
    let fails = |part: &Case| compare(part, against, options).is_some();
    let records = |d: &Difference| match (&d.want, &d.got) {
        (Ok(want), Ok(got)) => {
            let mut pairs = want.chunks(RECORD).zip(got.chunks(RECORD));
            pairs.position(|(w, g)| w != g)
        }
        _ => None,
    };
    let first = records(difference).map(|i| i / case.states);
    let likely = first.filter(|&u| u < case.units.len());
    let unit = likely.into_iter().chain(0..case.units.len());
    let Some(mut small) = unit
        .map(|u| case.part(u, 0..case.states))
        .find(|part| fails(part))
    else {
        println!("no unit differs alone");
        print_difference(case, difference);
        return;
    };
    if let Some(part) = (0..small.states)
        .map(|s| small.part(0, s..s + 1))
        .find(|part| fails(part))
    {
        small = part;
    }
    loop {
        let mut changed = false;
        for at in 0..small.units[0].words.len() {
            let mut less = small.clone();
            if less.units[0].drop_word(at) && fails(&less) {
                small = less;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let mut trimmed = small.clone();
    trimmed.units[0].trim();
    if fails(&trimmed) {
        small = trimmed;
    }
    if let Some(difference) = compare(&small, against, options) {
        print_difference(&small, &difference);
    }
}

fn word64(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().unwrap_or_default())
}

fn word128(record: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(record[at..at + 16].try_into().unwrap_or_default())
}

fn print_difference(case: &Case, difference: &Difference) {
    if let [unit] = &case.units[..] {
        for (i, &word) in unit.words.iter().enumerate() {
            println!("    {word:08x}  {}", a64::disassemble(word, 4 * i as u64));
        }
    }
    let (want, got) = match (&difference.want, &difference.got) {
        (Ok(want), Ok(got)) => (want, got),
        (want, got) => {
            println!("  theirs: {:?}", want.as_ref().map(Vec::len));
            println!("  ours: {:?}", got.as_ref().map(Vec::len));
            return;
        }
    };
    let end = case.input.len();
    let pairs = want[..end].chunks(RECORD).zip(got[..end].chunks(RECORD));
    for (start, (want, got)) in case.input.chunks(RECORD).zip(pairs) {
        if want == got {
            continue;
        }
        let fpcr = word64(start, FPCR);
        println!(
            "  fpcr {fpcr:08x}, flags before {:x}",
            word64(start, NZCV) >> 28
        );
        let names = (0..31).map(|r| (format!("x{r}"), X + 8 * r));
        let special = [("sp", SP), ("nzcv", NZCV), ("fpcr", FPCR), ("fpsr", FPSR)];
        let special = special.map(|(name, at)| (name.to_owned(), at));
        for (name, at) in names.chain(special) {
            let (b, w, g) = (word64(start, at), word64(want, at), word64(got, at));
            if w != g {
                println!("  {name}: before {b:016x}, theirs {w:016x}, ours {g:016x}");
            }
        }
        for r in 0..32 {
            let at = V + 16 * r;
            let (b, w, g) = (word128(start, at), word128(want, at), word128(got, at));
            if w != g {
                println!("  v{r}: before {b:032x}, theirs {w:032x}, ours {g:032x}");
            }
        }
        break;
    }
    if let Some(at) = (end..want.len()).find(|&i| want[i] != got[i]) {
        println!(
            "  memory at {:#x}: theirs {:02x}, ours {:02x}",
            SCRATCH + (at - end) as u64,
            want[at],
            got[at]
        );
    }
}
