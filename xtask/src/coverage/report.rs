//! Verdicts, and the report in Markdown and JSON.

use super::{machine::Outcome, rows::Row};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Where the published table is.
const PAGE: &str = "docs/conformance/coverage.md";
/// The line of the page below which the table is.
const MARK: &str = "<!-- Below: written by `cargo xtask coverage --bless`. -->";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Exactly the expected effect.
    Pass,
    /// Anything else.
    Fail,
    /// Not ended in its time.
    Timeout,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Timeout => "timeout",
        }
    }
}

/// The report.
#[derive(Serialize, Deserialize)]
struct Report {
    /// When it was written, in seconds since 1970.
    time: u64,
    total: usize,
    passed: usize,
    rows: Vec<Entry>,
}

/// A line of the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    group: String,
    row: String,
    pub(super) verdict: Verdict,
    /// Elapsed time in seconds.
    #[serde(rename = "wall_seconds")]
    wall: f64,
    /// User and system time in seconds.
    #[serde(rename = "cpu_seconds")]
    cpu: f64,
    /// Most memory of the process in MiB.
    #[serde(rename = "memory_mib")]
    memory: u64,
    detail: String,
    /// Why it was expected not to pass.
    #[serde(rename = "known_failure")]
    known: Option<String>,
}

impl Entry {
    /// A row with what its script did.
    pub(super) fn judge(group: &str, row: &Row, outcome: &Outcome) -> Self {
        let (verdict, detail) = verdict(row, outcome);
        Self::new(group, row, outcome, verdict, detail)
    }

    /// A group's installation: the exit status counts, package managers say what they like.
    pub(super) fn installed(group: &str, row: &Row, outcome: &Outcome) -> Self {
        let (verdict, detail) = match outcome.status {
            Some(status) if status.success() => (Verdict::Pass, "packages installed".to_owned()),
            Some(status) => (
                Verdict::Fail,
                format!("{status}: {}", last_words(&outcome.errors)),
            ),
            None => (Verdict::Timeout, last_words(&outcome.output)),
        };
        Self::new(group, row, outcome, verdict, detail)
    }

    /// A row of a group whose packages could not be installed.
    pub(super) fn unprepared(group: &str, row: &Row) -> Self {
        Self {
            group: group.to_owned(),
            row: row.name.clone(),
            verdict: Verdict::Fail,
            wall: 0.0,
            cpu: 0.0,
            memory: 0,
            detail: "not run: its packages could not be installed".into(),
            known: row.fails.clone(),
        }
    }

    fn new(group: &str, row: &Row, outcome: &Outcome, verdict: Verdict, detail: String) -> Self {
        Self {
            group: group.to_owned(),
            row: row.name.clone(),
            verdict,
            wall: outcome.wall.as_secs_f64(),
            cpu: outcome.cpu.as_secs_f64(),
            memory: outcome.memory / 1024,
            detail,
            known: row.fails.clone(),
        }
    }

    /// Whether the row does not do what its file says of it.
    pub(super) fn is_news(&self) -> bool {
        (self.verdict == Verdict::Pass) == self.known.is_some()
    }

    fn name(&self) -> String {
        format!("{}/{}", self.group, self.row)
    }

    /// Whether it is of the row with this name.
    pub(super) fn is(&self, name: &str) -> bool {
        name.split_once('/') == Some((&self.group, &self.row))
    }

    /// What is shown while it runs.
    pub(super) fn line(&self) -> String {
        let (name, word, wall) = (self.name(), self.verdict.word(), self.wall);
        let mut line = format!("{word:7} {name:32} {wall:7.1} s {:6} MiB", self.memory);
        if self.verdict != Verdict::Pass {
            let _ = write!(line, "  {}", self.detail);
        }
        line
    }
}

fn verdict(row: &Row, outcome: &Outcome) -> (Verdict, String) {
    let got = String::from_utf8_lossy(&outcome.output);
    let Some(status) = outcome.status else {
        let seconds = row.timeout.as_secs();
        let detail = format!(
            "not ended after {seconds} s; {}",
            difference(&row.expect, &got)
        );
        return (Verdict::Timeout, detail);
    };
    if status.success() && got == row.expect {
        let bytes = got.len();
        let files = row.files.len();
        let detail = format!("status 0, {bytes} bytes as expected, {files} input files");
        return (Verdict::Pass, detail);
    }
    let mut detail = format!("{status}; {}", difference(&row.expect, &got));
    if !outcome.errors.is_empty() {
        let _ = write!(detail, "; stderr: {}", last_words(&outcome.errors));
    }
    (Verdict::Fail, detail)
}

/// Where the output is other than expected.
fn difference(expect: &str, got: &str) -> String {
    let mut theirs = expect.lines();
    for (number, line) in got.lines().enumerate() {
        let number = number + 1;
        match theirs.next() {
            Some(wanted) if wanted == line => {}
            Some(wanted) => return format!("line {number} is {line:?}, not {wanted:?}"),
            None => return format!("line {number} is one too many: {line:?}"),
        }
    }
    match theirs.next() {
        Some(wanted) => format!("ends before {wanted:?}"),
        None => "output as expected".to_owned(),
    }
}

fn last_words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(6)..].join(" | ");
    tail.chars().take(600).collect()
}

/// One line for all.
pub(super) fn summary(entries: &[Entry]) -> String {
    let passed = passed(entries);
    let wall: f64 = entries.iter().map(|e| e.wall).sum();
    let known = entries.iter().filter(|e| e.known.is_some()).count();
    format!(
        "{passed} of {} rows pass, {known} are known not to; {:.0} min",
        entries.len(),
        wall / 60.0
    )
}

/// Writes report.md and report.json.
pub(super) fn write(dir: &Path, entries: &[Entry]) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(
        dir.join("report.md"),
        format!("# Runtimes\n\n{}", markdown(entries)),
    )?;
    let report = Report {
        time: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        total: entries.len(),
        passed: passed(entries),
        rows: entries.to_vec(),
    };
    let text = serde_json::to_string_pretty(&report)?;
    fs::write(dir.join("report.json"), text + "\n")?;
    Ok(())
}

/// The entries of an earlier report; none where there is none.
pub(super) fn read(dir: &Path) -> Result<Vec<Entry>> {
    let path = dir.join("report.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let report: Report = serde_json::from_str(&fs::read_to_string(path)?)?;
    Ok(report.rows)
}

/// Earlier entries of these names and new ones, which replace them, in the order of the names.
pub(super) fn merge(names: &[String], earlier: Vec<Entry>, new: &[Entry]) -> Vec<Entry> {
    let mut all = new.to_vec();
    all.extend(
        earlier
            .into_iter()
            .filter(|e| names.contains(&e.name()) && !new.iter().any(|n| n.is(&e.name()))),
    );
    all.sort_by_key(|e| names.iter().position(|n| e.is(n)));
    all
}

fn passed(entries: &[Entry]) -> usize {
    entries
        .iter()
        .filter(|e| e.verdict == Verdict::Pass)
        .count()
}

/// Replaces the table in the page, and says which of these rows have no result.
pub(super) fn bless(names: &[String], entries: &[Entry]) -> Result<()> {
    let page = fs::read_to_string(PAGE).with_context(|| PAGE.to_owned())?;
    let end = page.find(MARK).context("the page has lost its mark")? + MARK.len();
    let mut text = format!("{}\n\n{}", &page[..end], markdown(entries));
    let missing: Vec<&str> = names
        .iter()
        .filter(|n| !entries.iter().any(|e| e.is(n)))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        let _ = writeln!(text, "\nWithout a result: {}.", missing.join(", "));
    }
    fs::write(PAGE, text)?;
    Ok(())
}

fn markdown(entries: &[Entry]) -> String {
    let mut text = format!("{}\n\n", summary(entries));
    text += "| row | verdict | time s | CPU s | memory MiB | detail |\n|---|---|--:|--:|--:|---|\n";
    for e in entries {
        let known = e.known.as_deref().map(|k| format!("known: {k}; "));
        let detail = format!("{}{}", known.unwrap_or_default(), e.detail);
        let _ = writeln!(
            text,
            "| {}/{} | {} | {:.1} | {:.1} | {} | {} |",
            e.group,
            e.row,
            e.verdict.word(),
            e.wall,
            e.cpu,
            e.memory,
            detail.replace('|', "\\|")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration};

    fn judged(status: Option<i32>, output: &str, known: Option<&str>) -> Entry {
        let row = Row {
            expect: "a\nb\n".into(),
            fails: known.map(str::to_owned),
            ..Row::default()
        };
        let outcome = Outcome {
            status: status.map(ExitStatus::from_raw),
            output: output.into(),
            errors: Vec::new(),
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            memory: 0,
        };
        Entry::judge("g", &row, &outcome)
    }

    #[test]
    fn only_the_exact_effect_passes() {
        assert_eq!(judged(Some(0), "a\nb\n", None).verdict, Verdict::Pass);
        for (status, output) in [
            (Some(1 << 8), "a\nb\n"),
            (Some(11), "a\nb\n"),
            (Some(0), "a\n"),
            (Some(0), "a\nb"),
            (Some(0), "a\nb\nc\n"),
            (Some(0), ""),
        ] {
            let entry = judged(status, output, None);
            assert_eq!(entry.verdict, Verdict::Fail, "{status:?} {output:?}");
            assert!(entry.is_news());
        }
        assert_eq!(judged(None, "a\nb\n", None).verdict, Verdict::Timeout);
    }

    #[test]
    fn a_new_result_replaces_an_earlier_one() {
        let mut other = judged(Some(0), "", None);
        other.row = "b".into();
        let (mut old, mut new) = (judged(Some(0), "", None), judged(Some(0), "a\nb\n", None));
        old.row = "a".into();
        new.row = "a".into();
        let names = ["g/a".to_owned(), "g/b".to_owned()];
        let all = merge(&names, vec![other, old], &[new]);
        let shown: Vec<_> = all.iter().map(|e| (e.name(), e.verdict)).collect();
        assert_eq!(
            shown,
            [
                ("g/a".to_owned(), Verdict::Pass),
                ("g/b".to_owned(), Verdict::Fail)
            ]
        );
    }

    #[test]
    fn a_known_failure_that_passes_is_news() {
        assert!(judged(Some(0), "a\nb\n", Some("why")).is_news());
        assert!(!judged(Some(0), "", Some("why")).is_news());
    }
}
