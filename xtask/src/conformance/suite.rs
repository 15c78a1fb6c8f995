//! The suites: which cases a directory of built programs has, and what their output means.

use super::runner::{Outcome, Place, run_case};
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path, time::Duration};

/// The result of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Pass,
    Fail,
    /// Ended by a signal.
    Crash,
    Timeout,
    /// The program says that it could not find out.
    Unresolved,
    /// The program says that it does not apply.
    Skip,
    /// In a list only: passes and fails by chance, on Linux too.
    Flaky,
    /// Could not be run at all.
    Broken,
}

const NAMES: [(Verdict, &str); 8] = [
    (Verdict::Pass, "pass"),
    (Verdict::Fail, "fail"),
    (Verdict::Crash, "crash"),
    (Verdict::Timeout, "timeout"),
    (Verdict::Unresolved, "unresolved"),
    (Verdict::Skip, "skip"),
    (Verdict::Flaky, "flaky"),
    (Verdict::Broken, "broken"),
];

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = NAMES.iter().find(|(v, _)| v == self);
        f.write_str(name.map_or("", |(_, n)| n))
    }
}

impl std::str::FromStr for Verdict {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let verdict = NAMES.iter().find(|(_, n)| *n == s);
        verdict
            .map(|(v, _)| *v)
            .ok_or_else(|| format!("no such verdict: {s}"))
    }
}

/// One run of a program; it may give several verdicts.
pub(super) struct Case {
    pub(super) name: String,
    /// Path below the directory of programs, or a path from the root.
    pub(super) program: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(&'static str, &'static str)>,
    /// Working directory below that of the programs; else a writable empty one.
    pub(super) dir: Option<String>,
    /// User in the machine.
    pub(super) user: Option<&'static str>,
    /// Shell commands that come first in the machine.
    pub(super) setup: &'static str,
}

impl Case {
    fn new(name: &str, program: &str) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            user: None,
            setup: "",
        }
    }

    fn args(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(|a| (*a).into()).collect();
        self
    }
}

/// A suite that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Suite {
    /// The POSIX test suite: one program a case, judged by its exit status.
    Posix,
    /// libuv's `uv_run_tests_a`: one test a case, as an ordinary user.
    Libuv,
    /// Test binaries of Go packages, `PACKAGE.test` with `.` for `/`; sources below `src`.
    Go,
    /// Stressors of stress-ng, judged by its summary; `stressors.txt` names them, the image has the program.
    StressNg,
    /// Programs of the kernel's self-tests, judged by their TAP lines.
    Kselftest,
    /// libevent's `regress`.
    Libevent,
    /// Modules of CPython's own tests, which `modules.txt` names; the image has them and the interpreter. As an ordinary user.
    Cpython,
    /// Programs that exit with 0 if all is well.
    Programs,
}

impl Suite {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Posix => "posix",
            Self::Libuv => "libuv",
            Self::Go => "go",
            Self::StressNg => "stress-ng",
            Self::Kselftest => "kselftest",
            Self::Libevent => "libevent",
            Self::Cpython => "cpython",
            Self::Programs => "programs",
        }
    }

    /// Longest time of a case in seconds.
    pub(super) fn timeout(self) -> u64 {
        match self {
            Self::Posix | Self::StressNg => 60,
            Self::Libuv | Self::Kselftest | Self::Libevent | Self::Programs => 120,
            Self::Go => 1200,
            Self::Cpython => 3600,
        }
    }

    /// Whether cases use fixed ports, which machines share with their host.
    pub(super) fn runs_alone(self) -> bool {
        matches!(self, Self::Libuv | Self::Libevent | Self::Cpython)
    }

    pub(super) fn cases(self, programs: &Path, place: &Place) -> Result<Vec<Case>> {
        match self {
            Self::Posix | Self::Kselftest | Self::Programs => {
                let files = files(programs)?;
                Ok(files.iter().map(|f| Case::new(f, f)).collect())
            }
            Self::Go => {
                let files = files(programs)?;
                let tests = files
                    .iter()
                    .filter_map(|f| Some((f, f.strip_suffix(".test")?)));
                Ok(tests
                    .map(|(file, package)| {
                        let mut case = Case::new(package, file).args(&["-test.v", "-test.short"]);
                        let source = format!("src/{}", package.replace('.', "/"));
                        case.dir = programs.join(&source).is_dir().then_some(source);
                        case.env = vec![("GOROOT", "/suite"), ("GOMAXPROCS", "2")];
                        case
                    })
                    .collect())
            }
            Self::StressNg => {
                let names = fs::read_to_string(programs.join("stressors.txt"))
                    .context("stressors.txt: the names, one a line")?;
                Ok(names
                    .lines()
                    .map(|name| {
                        let mut case = Case::new(name, "/usr/bin/stress-ng");
                        case.args = [
                            "--verify",
                            "--timeout",
                            "10",
                            "--metrics",
                            "--temp-path",
                            "/tmp",
                        ]
                        .map(String::from)
                        .to_vec();
                        case.args.extend([
                            format!("--{name}"),
                            "1".into(),
                            format!("--{name}-ops"),
                            "3".into(),
                        ]);
                        case
                    })
                    .collect())
            }
            Self::Libuv => {
                let names = list(place, programs, "uv_run_tests_a", &["--list"])?;
                Ok(names
                    .lines()
                    // Behind the name the helpers.
                    .filter_map(|l| l.split_whitespace().next())
                    .map(|name| {
                        let mut case = Case::new(name, "uv_run_tests_a").args(&[name]);
                        case.user = Some("nobody");
                        // The tests write beside their fixtures.
                        case.setup =
                            "mkdir -p /tmp/uv/test && cd /tmp/uv && cp -r /suite/fixtures test/ &&";
                        case
                    })
                    .collect())
            }
            Self::Cpython => {
                let names = fs::read_to_string(programs.join("modules.txt"))
                    .context("modules.txt: the modules, one a line")?;
                Ok(names
                    .lines()
                    .map(|name| {
                        // The program is the image's, below the directory that the runner puts in front.
                        let resources = "all,-network,-largefile,-walltime,-cpu";
                        let mut case = Case::new(name, "../usr/bin/python3");
                        case = case.args(&["-m", "test", "-v", "-u", resources, name]);
                        case.user = Some("nobody");
                        case
                    })
                    .collect())
            }
            Self::Libevent => {
                let names = list(place, programs, "regress", &["--list-tests"])?;
                Ok(names
                    .lines()
                    .filter_map(|l| l.split_whitespace().next())
                    .filter(|n| n.contains('/'))
                    .map(|name| Case::new(name, "regress").args(&[name]))
                    .collect())
            }
        }
    }

    /// The verdicts of a run.
    pub(super) fn judge(self, case: &Case, outcome: &Outcome) -> Vec<(String, Verdict)> {
        let text = outcome.text();
        let one = |verdict| vec![(case.name.clone(), verdict)];
        let plain = match outcome.status {
            None => Verdict::Timeout,
            Some(0) => Verdict::Pass,
            Some(n) if n > 128 => Verdict::Crash,
            Some(_) => Verdict::Fail,
        };
        match self {
            Self::Programs => one(plain),
            Self::Posix => one(match outcome.status {
                Some(2) => Verdict::Unresolved,
                Some(4 | 5) => Verdict::Skip,
                _ => plain,
            }),
            Self::Libuv => one(match outcome.status {
                Some(7) => Verdict::Skip,
                _ => plain,
            }),
            Self::Libevent => one(
                if plain == Verdict::Pass && (text.contains("SKIPPED") || text.contains("DISABLED"))
                {
                    Verdict::Skip
                } else {
                    plain
                },
            ),
            Self::StressNg => one(stress_ng(&text, plain)),
            Self::Go => go(&case.name, &text, plain),
            Self::Cpython => cpython(&case.name, &text, plain),
            Self::Kselftest => one(match outcome.status {
                Some(4) => Verdict::Skip,
                _ if plain == Verdict::Pass && text.lines().any(|l| l.starts_with("not ok")) => {
                    Verdict::Fail
                }
                _ => plain,
            }),
        }
    }
}

/// Its exit status is 0 for a stressor that it skipped, so the summary decides.
fn stress_ng(text: &str, plain: Verdict) -> Verdict {
    let count = |what: &str| {
        text.lines()
            .filter(|l| l.starts_with("stress-ng: "))
            .filter_map(|l| l.split_once(what))
            .filter_map(|(_, rest)| {
                rest.trim_start()
                    .split([':', ' '])
                    .next()?
                    .parse::<u32>()
                    .ok()
            })
            .next_back()
            .unwrap_or(0)
    };
    match plain {
        Verdict::Timeout | Verdict::Crash => plain,
        _ if count(" failed: ") > 0 => Verdict::Fail,
        _ if count(" passed: ") > 0 => Verdict::Pass,
        _ if count(" skipped: ") > 0 => Verdict::Skip,
        _ => Verdict::Fail,
    }
}

/// `--- PASS: Name (0.00s)` of top-level tests; the package itself, if it did not end well or has no tests.
fn go(package: &str, text: &str, plain: Verdict) -> Vec<(String, Verdict)> {
    let mut verdicts = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("--- ") else {
            continue;
        };
        let Some((word, rest)) = rest.split_once(": ") else {
            continue;
        };
        let verdict = match word {
            "PASS" => Verdict::Pass,
            "FAIL" => Verdict::Fail,
            "SKIP" => Verdict::Skip,
            _ => continue,
        };
        let name = rest.split(' ').next().unwrap_or(rest);
        verdicts.push((format!("{package}:{name}"), verdict));
    }
    let failed = verdicts.iter().any(|(_, v)| *v == Verdict::Fail);
    if verdicts.is_empty() || (plain != Verdict::Pass && !failed) {
        verdicts.push((package.into(), plain));
    }
    verdicts
}

/// `test_x (test.test_m.Class.test_x) ... ok` of each test; the module itself, if it did not end well without one that failed. The word may
/// be on a later line, behind what the test printed.
fn cpython(module: &str, text: &str, plain: Verdict) -> Vec<(String, Verdict)> {
    let mut verdicts = std::collections::BTreeMap::new();
    let mut name: Option<String> = None;
    for line in text.lines() {
        let full = line.split_once(" (").and_then(|(short, rest)| {
            let full = rest.split_once(')')?.0;
            let full = full.strip_prefix("test.").unwrap_or(full);
            (full.starts_with(module) && full.ends_with(short) && !short.contains(' '))
                .then(|| full.to_owned())
        });
        if let Some(full) = full {
            let failed = line.starts_with("FAIL: ") || line.starts_with("ERROR: ");
            if !failed {
                name = Some(full);
            }
        }
        // A failed module is run once more: the first word counts.
        let word = line.rsplit(" ... ").next().unwrap_or(line);
        let verdict = match word {
            "ok" | "expected failure" => Verdict::Pass,
            "FAIL" | "ERROR" | "unexpected success" => Verdict::Fail,
            w if w.starts_with("skipped ") => Verdict::Skip,
            _ => continue,
        };
        if let Some(name) = name.take() {
            verdicts.entry(name).or_insert(verdict);
        }
    }
    let failed = verdicts.values().any(|v| *v == Verdict::Fail);
    if verdicts.is_empty() || (plain != Verdict::Pass && !failed) {
        verdicts.insert(module.to_owned(), plain);
    }
    verdicts.into_iter().collect()
}

/// The executable files of a directory, sorted.
fn files(dir: &Path) -> Result<Vec<String>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let attributes = entry.metadata()?;
        if attributes.is_file() && attributes.permissions().mode() & 0o111 != 0 {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

/// What a program says when asked for its tests.
fn list(place: &Place, programs: &Path, program: &str, args: &[&str]) -> Result<String> {
    let mut case = Case::new("list", program).args(args);
    // Some refuse to be run by the superuser, even for that.
    case.user = Some("nobody");
    let outcome = run_case(place, programs, &case, Duration::from_secs(60))?;
    ensure!(
        outcome.status.is_some(),
        "{program} does not list its tests: {}",
        outcome.text()
    );
    Ok(outcome.text().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_stressor_is_not_a_pass() {
        let skipped = "stress-ng: info:  [2] skipped: 1: key (1)\nstress-ng: info:  [2] passed: 0\nstress-ng: info:  [2] failed: 0\n";
        assert_eq!(stress_ng(skipped, Verdict::Pass), Verdict::Skip);
        let passed = "stress-ng: info:  [2] skipped: 0\nstress-ng: info:  [2] passed: 1: cpu (1)\nstress-ng: info:  [2] failed: 0\n";
        assert_eq!(stress_ng(passed, Verdict::Pass), Verdict::Pass);
        assert_eq!(stress_ng("nonsense", Verdict::Pass), Verdict::Fail);
    }

    #[test]
    fn cpython_counts_tests_by_their_first_words() {
        let text = "test_a (test.test_m.C.test_a) ... ok\n\
                    test_b (test.test_m.C.test_b)\nWhat it does ... skipped 'no'\n\
                    test_c (test.test_m.sub.D.test_c) ... something\nERROR\n\
                    ERROR: test_c (test.test_m.sub.D.test_c)\n\
                    test_c (test.test_m.sub.D.test_c) ... ok\n";
        let name = |s: &str| s.to_owned();
        assert_eq!(
            cpython("test_m", text, Verdict::Fail),
            [
                (name("test_m.C.test_a"), Verdict::Pass),
                (name("test_m.C.test_b"), Verdict::Skip),
                (name("test_m.sub.D.test_c"), Verdict::Fail)
            ]
        );
        let cut = cpython("test_m", "", Verdict::Timeout);
        assert_eq!(cut, [(name("test_m"), Verdict::Timeout)]);
    }

    #[test]
    fn go_counts_top_level_tests_and_a_bad_end() {
        let text = "=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- FAIL: TestA/sub (0.00s)\n--- SKIP: TestB (0.00s)\nPASS\n";
        assert_eq!(
            go("os", text, Verdict::Pass),
            [
                ("os:TestA".into(), Verdict::Pass),
                ("os:TestB".into(), Verdict::Skip)
            ]
        );
        assert!(go("os", text, Verdict::Timeout).contains(&("os".into(), Verdict::Timeout)));
    }
}
