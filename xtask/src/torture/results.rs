//! The recorded results: `docs/conformance/torture.txt`.

use anyhow::{Context, Result};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

/// How one build of a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Exit code 0.
    Pass,
    /// Another exit code, but the reference's too: the compiler's or the test's fault.
    Same,
    /// The reference does something else.
    Differs,
    /// Does not build with these options.
    Unbuilt,
    /// The test says that it must not run with these options.
    Skipped,
    /// Not run yet.
    Unknown,
}

impl Outcome {
    pub(super) const ALL: [Outcome; 6] = [
        Outcome::Pass,
        Outcome::Same,
        Outcome::Differs,
        Outcome::Unbuilt,
        Outcome::Skipped,
        Outcome::Unknown,
    ];

    fn letter(self) -> char {
        match self {
            Outcome::Pass => '.',
            Outcome::Same => '=',
            Outcome::Differs => 'F',
            Outcome::Unbuilt => '-',
            Outcome::Skipped => 's',
            Outcome::Unknown => '_',
        }
    }

    fn of(letter: char) -> Option<Outcome> {
        Self::ALL.into_iter().find(|o| o.letter() == letter)
    }
}

/// Name of a test to its outcomes, by variant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Results(BTreeMap<String, Vec<Outcome>>);

impl Results {
    /// Reads the file; an absent one is empty.
    pub(super) fn load(path: &Path, variants: usize) -> Result<Results> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, variants),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e).with_context(|| path.display().to_string()),
        }
    }

    fn parse(text: &str, variants: usize) -> Result<Results> {
        let mut results = BTreeMap::new();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (letters, name) = line.split_once(' ').context("no name in a line")?;
            let outcomes: Option<Vec<_>> = letters.chars().map(Outcome::of).collect();
            let outcomes = outcomes.filter(|o| o.len() == variants);
            results.insert(name.to_owned(), outcomes.context(line.to_owned())?);
        }
        Ok(Results(results))
    }

    /// The file's text.
    pub(super) fn text(&self, header: &str) -> String {
        let mut text = header.to_owned();
        for (name, outcomes) in &self.0 {
            let letters: String = outcomes.iter().map(|o| o.letter()).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{letters} {name}");
        }
        text
    }

    pub(super) fn get(&self, name: &str, variant: usize) -> Outcome {
        self.0.get(name).map_or(Outcome::Unknown, |o| o[variant])
    }

    pub(super) fn set(&mut self, name: &str, variant: usize, variants: usize, outcome: Outcome) {
        self.0
            .entry(name.to_owned())
            .or_insert_with(|| vec![Outcome::Unknown; variants])[variant] = outcome;
    }

    /// How many tests of a variant ended in each way, in the order of [`Outcome::ALL`].
    pub(super) fn counts(&self, variant: usize) -> [usize; 6] {
        Outcome::ALL.map(|o| self.0.values().filter(|r| r[variant] == o).count())
    }
}

/// Whether `now` is worse than what was recorded.
pub(super) fn regression(recorded: Outcome, now: Outcome) -> bool {
    match recorded {
        Outcome::Pass => now != Outcome::Pass,
        Outcome::Differs => false,
        _ => now == Outcome::Differs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let mut results = Results::default();
        results.set("a/b.c", 1, 3, Outcome::Pass);
        results.set("a/c.c", 0, 3, Outcome::Same);
        let text = results.text("# header\n");
        assert_eq!(text, "# header\n_._ a/b.c\n=__ a/c.c\n");
        assert_eq!(Results::parse(&text, 3).expect("valid"), results);
        assert!(Results::parse("..x a\n", 3).is_err());
        assert_eq!(results.counts(1), [1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn what_counts_as_a_regression() {
        assert!(regression(Outcome::Pass, Outcome::Same));
        assert!(regression(Outcome::Unknown, Outcome::Differs));
        assert!(!regression(Outcome::Differs, Outcome::Differs));
        assert!(!regression(Outcome::Unknown, Outcome::Unbuilt));
    }
}
