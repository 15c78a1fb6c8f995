//! kill -9 at random points of a program that makes promises, as a loss of power would be.
//!
//! The program prints lines: `has KIND N` for what it finds when it starts (everything of that kind up to number N is there and whole),
//! `bad ...` for what is neither there nor gone, then `ready`, then `did KIND N` for each thing that it has brought to the medium, for
//! ever. What was promised in one round has to be there in the next.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

/// What the rounds came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rounds that ended with a kill.
    pub kills: u64,
    /// Those of them whose program was still looking at what it found.
    pub early: u64,
    /// The last number promised of each kind.
    pub promised: BTreeMap<String, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills, {} of them at the start; promised:",
            self.kills, self.early
        )?;
        for (kind, n) in &self.promised {
            write!(f, " {kind} {n}")?;
        }
        Ok(())
    }
}

/// How the points are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Points {
    /// Number of the first round.
    pub first: u64,
    /// Kills.
    pub rounds: u64,
    /// Another seed, other points.
    pub seed: u64,
    /// The latest point, counted from `ready`.
    pub longest: Duration,
}

/// A number below `limit` that depends on seed and round only.
fn choose(points: &Points, round: u64, limit: u64) -> u64 {
    let mut x = points.seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x = x.wrapping_mul(0x2545_f491_4f6c_dd1d);
    }
    (x >> 16) % limit.max(1)
}

/// One round's lines.
#[derive(Default)]
struct Said {
    has: BTreeMap<String, u64>,
    did: BTreeMap<String, u64>,
    bad: Vec<String>,
    ready: bool,
}

impl Said {
    fn line(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (verb, kind, number) = (words.next(), words.next(), words.next());
        let number = number.and_then(|n| n.parse().ok());
        match (verb, kind, number) {
            (Some("has"), Some(kind), Some(n)) => {
                self.has.insert(kind.to_owned(), n);
            }
            (Some("did"), Some(kind), Some(n)) => {
                self.did.insert(kind.to_owned(), n);
            }
            (Some("ready"), ..) => self.ready = true,
            _ => self.bad.push(line.to_owned()),
        }
    }
}

/// Runs the command of each round, kills it, and compares; `report` is what rounds before came to. `after` looks at what is left once it
/// is dead.
///
/// # Errors
/// What was lost or broken, with the round's number.
pub fn rounds(
    points: &Points,
    report: &mut Report,
    mut command: impl FnMut(u64) -> Command,
    mut after: impl FnMut(u64) -> Result<(), String>,
) -> Result<(), String> {
    for round in points.first..points.first + points.rounds {
        let wrong = |what: String| format!("round {round}: {what}");
        let mut child = command(round)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| wrong(format!("it does not start: {e}")))?;
        let (stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let (tell, told) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let lines = stdout
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                // Whoever listens has gone only after a failure.
                let _ = tell.send(line);
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            if let Some(stderr) = &mut stderr {
                let _ = stderr.read_to_string(&mut text);
            }
            text
        });
        let mut said = Said::default();
        // One in eight before it is ready.
        let early = choose(points, round, 8) == 0 && round > 0;
        let longest = points.longest.as_micros() as u64;
        let delay = Duration::from_micros(choose(points, round + (1 << 40), longest));
        if early {
            std::thread::sleep(delay);
        } else {
            while !said.ready {
                match told.recv() {
                    Ok(line) => said.line(&line),
                    Err(_) => break,
                }
            }
            if said.ready {
                std::thread::sleep(delay);
            }
        }
        let ended = child.try_wait().map_err(|e| wrong(e.to_string()))?;
        // It may end at this very moment, which is looked at below.
        let _ = child.kill();
        child.wait().map_err(|e| wrong(e.to_string()))?;
        // What it had said before it died, but nobody had read.
        told.iter().for_each(|line| said.line(&line));
        let _ = reader.join();
        let errors = errors.join().unwrap_or_default();
        if let Some(status) = ended {
            return Err(wrong(format!(
                "it ended by itself, {status}: {:?} {errors}",
                said.bad
            )));
        }
        if !said.bad.is_empty() {
            return Err(wrong(format!("{:?} {errors}", said.bad)));
        }
        if said.ready {
            for (kind, promised) in &report.promised {
                let has = said.has.get(kind).copied().unwrap_or(0);
                if has < *promised {
                    return Err(wrong(format!(
                        "{kind} {promised} was promised, {has} is there"
                    )));
                }
            }
        } else {
            report.early += 1;
        }
        report.promised.extend(said.did);
        report.kills += 1;
        after(round).map_err(wrong)?;
    }
    Ok(())
}
