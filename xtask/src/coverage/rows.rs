//! The rows, and the text that they are kept in.
//!
//! A file is a group. Its head says which packages the rows need; `=== NAME` begins a row, and
//! `--- WHAT` a part of one:
//!
//! ```text
//! packages: lua5.4
//! --- setup
//! a shell script, run once after the packages were installed
//! === eval
//! timeout: 60
//! fails: why, for a row that is known not to pass
//! --- file a.lua
//! print(6 * 7)
//! --- run
//! lua5.4 a.lua
//! --- expect
//! 42
//! ```

use anyhow::{Context, Result, bail, ensure};
use std::time::Duration;

/// The files of `rows/`, in the order in which they run.
const FILES: &[(&str, &str)] = &[
    ("base", include_str!("rows/base.txt")),
    ("c", include_str!("rows/c.txt")),
    ("tools", include_str!("rows/tools.txt")),
    ("lua", include_str!("rows/lua.txt")),
    ("python", include_str!("rows/python.txt")),
    ("pypy", include_str!("rows/pypy.txt")),
    ("node", include_str!("rows/node.txt")),
    ("bun", include_str!("rows/bun.txt")),
    ("go", include_str!("rows/go.txt")),
    ("java", include_str!("rows/java.txt")),
    ("rust", include_str!("rows/rust.txt")),
    ("erlang", include_str!("rows/erlang.txt")),
    ("zig", include_str!("rows/zig.txt")),
];

/// Rows that share their packages.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) name: String,
    /// Debian packages.
    pub(super) packages: String,
    /// A shell script for what is no Debian package.
    setup: String,
    pub(super) rows: Vec<Row>,
}

/// One thing that has to have exactly one effect.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) timeout: Duration,
    /// Why it is known not to pass.
    pub(super) fails: Option<String>,
    /// Names and texts of files in the directory in which the script runs.
    pub(super) files: Vec<(String, String)>,
    /// A shell script, run by `sh -eu`.
    pub(super) run: String,
    /// What it writes to its standard output.
    pub(super) expect: String,
}

impl Group {
    /// Name of the machine that has the group's packages.
    pub(super) fn machine(&self) -> String {
        format!("coverage-{}", self.name)
    }

    /// The script that makes an image into the group's machine.
    pub(super) fn install(&self) -> String {
        let mut script = "export DEBIAN_FRONTEND=noninteractive\napt-get -q update\n".to_owned();
        if !self.packages.is_empty() {
            script += "apt-get -q -y --no-install-recommends install ";
            script += &self.packages;
            script.push('\n');
        }
        script + &self.setup
    }
}

pub(super) fn all() -> Result<Vec<Group>> {
    let parsed = FILES
        .iter()
        .map(|(name, text)| parse(name, text).with_context(|| format!("rows/{name}.txt")));
    parsed.collect()
}

fn parse(name: &str, text: &str) -> Result<Group> {
    let mut group = Group {
        name: name.to_owned(),
        ..Group::default()
    };
    let mut row: Option<Row> = None;
    // What the lines belong to; `None` where they are settings.
    let mut part: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let place = || format!("line {}", number + 1);
        if let Some(name) = line.strip_prefix("=== ") {
            finish(&mut group, row.take())?;
            row = Some(Row {
                name: name.to_owned(),
                timeout: Duration::from_secs(120),
                ..Row::default()
            });
            part = None;
        } else if let Some(what) = line.strip_prefix("--- ") {
            if let (Some(row), Some(file)) = (&mut row, what.strip_prefix("file ")) {
                row.files.push((file.to_owned(), String::new()));
            }
            part = Some(what.to_owned());
        } else if let Some(what) = &part {
            let text = match (&mut row, what.as_str()) {
                (None, "setup") => &mut group.setup,
                (Some(row), "run") => &mut row.run,
                (Some(row), "expect") => &mut row.expect,
                (Some(Row { files, .. }), w) if w.starts_with("file ") => {
                    &mut files.last_mut().with_context(place)?.1
                }
                _ => bail!("{}: no part is called {what}", place()),
            };
            text.push_str(line);
            text.push('\n');
        } else if !line.is_empty() && !line.starts_with('#') {
            let (key, value) = line.split_once(": ").with_context(place)?;
            match (&mut row, key) {
                (None, "packages") => value.clone_into(&mut group.packages),
                (Some(row), "timeout") => {
                    row.timeout = Duration::from_secs(value.parse().with_context(place)?);
                }
                (Some(row), "fails") => row.fails = Some(value.to_owned()),
                _ => bail!("{}: no setting is called {key}", place()),
            }
        }
    }
    finish(&mut group, row)?;
    ensure!(!group.rows.is_empty(), "no rows");
    Ok(group)
}

fn finish(group: &mut Group, row: Option<Row>) -> Result<()> {
    let Some(row) = row else { return Ok(()) };
    ensure!(!row.run.is_empty(), "{} runs nothing", row.name);
    ensure!(!row.expect.is_empty(), "{} expects nothing", row.name);
    let twice = group.rows.iter().any(|r| r.name == row.name);
    ensure!(!twice, "{} is there twice", row.name);
    group.rows.push(row);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_parse() {
        let groups = all().unwrap();
        assert_eq!(groups.len(), FILES.len());
    }

    #[test]
    fn a_row_has_settings_files_a_script_and_what_it_writes() {
        let text = "packages: a b\n--- setup\nx\n=== one\ntimeout: 5\n--- file f\n1\n\n--- run\ncat f\n--- expect\n1\n\n";
        let group = parse("g", text).unwrap();
        assert_eq!(group.machine(), "coverage-g");
        assert!(group.install().ends_with("install a b\nx\n"));
        let row = &group.rows[0];
        assert_eq!(row.timeout, Duration::from_secs(5));
        assert_eq!(row.files, [("f".to_owned(), "1\n\n".to_owned())]);
        assert_eq!(
            (row.run.as_str(), row.expect.as_str()),
            ("cat f\n", "1\n\n")
        );
    }

    #[test]
    fn what_cannot_prove_anything_is_refused() {
        for text in [
            "",
            "=== a\n--- run\ntrue\n",
            "=== a\n--- expect\n1\n",
            "=== a\nretries: 3\n--- run\ntrue\n--- expect\n1\n",
            "=== a\n--- else\n1\n",
        ] {
            assert!(parse("g", text).is_err(), "{text:?}");
        }
    }

    /// Environment variables and options with which others make programs run that do not run by
    /// themselves. A row that has to have one says so by `fails`, not by using it.
    #[test]
    fn no_row_changes_how_its_program_runs() {
        for (group, text) in FILES {
            for shim in [
                "GODEBUG",
                "GOMAXPROCS=",
                "JSC_",
                "PYTHONMALLOC",
                "--jitless",
                "LD_PRELOAD",
                "OPENSSL_armcap",
                "NODE_OPTIONS",
                "JAVA_TOOL_OPTIONS",
                "UV_THREADPOOL_SIZE",
                "--no-opt",
                "JOBS=1",
                "MALLOC_ARENA",
                "--predictable",
                "asyncpreemptoff",
                "UseSerialGC",
                "GLIBC_TUNABLES",
                "+S 1",
                "timeout -k",
                "|| true",
            ] {
                assert!(!text.contains(shim), "{group} has {shim}");
            }
        }
    }
}
