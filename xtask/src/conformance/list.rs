//! A published list: one line per case, `VERDICT NAME`, and behind ` # ` the reason of a failure that is expected.

use super::suite::Verdict;
use anyhow::{Context, Result};
use std::{collections::BTreeMap, fmt::Write as _, fs, io::ErrorKind, path::Path};

/// What is published of a suite.
#[derive(Default)]
pub(super) struct Published {
    cases: BTreeMap<String, (Verdict, String)>,
}

/// Cases with a verdict, in the order of their names.
type Changes = Vec<(String, Verdict)>;

impl Published {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).context(file.display().to_string()),
        };
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut cases = BTreeMap::new();
        for line in text
            .lines()
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            let (case, reason) = line.split_once(" # ").unwrap_or((line, ""));
            let (verdict, name) = case
                .split_once(' ')
                .with_context(|| format!("not a verdict and a name: {line}"))?;
            let verdict = verdict.parse().map_err(anyhow::Error::msg)?;
            cases.insert(name.to_owned(), (verdict, reason.to_owned()));
        }
        Ok(Self { cases })
    }

    /// Cases that are worse than listed, and those that are better. A case that is not listed must pass.
    pub(super) fn compare(&self, results: &BTreeMap<String, Verdict>) -> (Changes, Changes) {
        let (mut worse, mut better) = (Vec::new(), Vec::new());
        for (name, verdict) in results {
            let listed = self.cases.get(name).map_or(Verdict::Pass, |c| c.0);
            if listed == Verdict::Flaky {
                continue;
            }
            match (listed, *verdict) {
                (Verdict::Pass, Verdict::Pass) => {}
                (Verdict::Pass, other) => worse.push((name.clone(), other)),
                (other, Verdict::Pass) => better.push((name.clone(), other)),
                _ => {}
            }
        }
        (worse, better)
    }

    /// Takes over results; with `whole`, cases that were not run are forgotten.
    pub(super) fn update(&mut self, results: BTreeMap<String, Verdict>, whole: bool) {
        let old = std::mem::take(&mut self.cases);
        if !whole {
            self.cases.clone_from(&old);
        }
        for (name, verdict) in results {
            let (verdict, reason) = match old.get(&name) {
                Some((Verdict::Flaky, reason)) => (Verdict::Flaky, reason.clone()),
                Some((before, reason)) if *before == verdict => (verdict, reason.clone()),
                _ => (verdict, String::new()),
            };
            self.cases.insert(name, (verdict, reason));
        }
    }

    pub(super) fn write(&self, file: &Path, suite: &str) -> Result<()> {
        let count = |verdict| self.cases.values().filter(|c| c.0 == verdict).count();
        let mut text = format!(
            "# {suite}: {} of {} cases pass. Written by `cargo xtask conformance {suite} --bless`; reasons by hand.\n",
            count(Verdict::Pass),
            self.cases.len()
        );
        for (name, (verdict, reason)) in &self.cases {
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!(" # {reason}")
            };
            writeln!(text, "{verdict} {name}{reason}")?;
        }
        fs::write(file, text).with_context(|| file.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(cases: &[(&str, Verdict)]) -> BTreeMap<String, Verdict> {
        cases.iter().map(|(n, v)| ((*n).into(), *v)).collect()
    }

    #[test]
    fn only_a_listed_pass_that_fails_is_worse() -> Result<()> {
        let list = Published::parse("# text\npass a\nfail b # why\nflaky c\nskip d\n")?;
        let now = results(&[
            ("a", Verdict::Fail),
            ("b", Verdict::Timeout),
            ("c", Verdict::Fail),
            ("d", Verdict::Pass),
            ("new", Verdict::Fail),
        ]);
        let (worse, better) = list.compare(&now);
        assert_eq!(
            worse,
            [("a".into(), Verdict::Fail), ("new".into(), Verdict::Fail)]
        );
        assert_eq!(better, [("d".into(), Verdict::Skip)]);
        Ok(())
    }

    #[test]
    fn reasons_stay_with_their_verdicts() -> Result<()> {
        let mut list = Published::parse("fail a # why\nfail b # gone\npass c\n")?;
        list.update(
            results(&[("a", Verdict::Fail), ("b", Verdict::Pass)]),
            false,
        );
        assert_eq!(list.cases["a"], (Verdict::Fail, "why".into()));
        assert_eq!(list.cases["b"], (Verdict::Pass, String::new()));
        assert_eq!(list.cases["c"].0, Verdict::Pass);
        Ok(())
    }
}
