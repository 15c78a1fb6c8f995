//! `cargo xtask coverage`: the distribution's and the registries' own programs in machines.
//!
//! A group's packages are installed once, by the guest's own package manager, into a machine that
//! is kept. Each row then runs in a fresh clone of it, with the default options and the environment
//! that every guest gets, and passes only if it ends with status 0 and writes exactly the expected
//! bytes to its standard output. The rows are data: `rows/GROUP.txt`, read by [`rows`].

mod machine;
mod report;
mod rows;

use anyhow::{Result, ensure};
use machine::{INSTALL_DIR, ROW_DIR, Tuxlet};
use report::{Entry, Verdict};
use rows::{Group, Row};
use std::{path::PathBuf, time::Duration};

/// What the installation of a group's packages is called in the report.
const INSTALL: &str = "install";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only rows whose `GROUP/ROW` begins with one of these.
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// The tuxlet command.
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/tuxlet")]
    tuxlet: PathBuf,
    /// A Debian image.
    #[arg(long, default_value = "debian")]
    image: String,
    /// Install the packages again, also where a machine of an earlier run has them.
    #[arg(long)]
    prepare: bool,
    /// Let the guests trust the certificates that this host trusts.
    #[arg(long)]
    host_ca: bool,
    /// Keep the earlier report's results of rows that do not run now.
    #[arg(long)]
    resume: bool,
    /// Multiply all time limits, on a machine that is busy with other things.
    #[arg(long, default_value_t = 1)]
    patience: u32,
    /// Run each row this often; all times must pass.
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Where report.md and report.json go.
    #[arg(long, value_name = "DIR", default_value = "target/coverage")]
    report: PathBuf,
    /// Write the table in docs/conformance/coverage.md; rows without a result are named as such.
    #[arg(long)]
    bless: bool,
    /// Print the names of the rows and end.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut groups = rows::all()?;
    for row in groups.iter_mut().flat_map(|g| &mut g.rows) {
        row.timeout *= args.patience;
    }
    let chosen = |name: &str| args.rows.is_empty() || args.rows.iter().any(|r| name.starts_with(r));
    if args.list {
        for (group, row) in groups
            .iter()
            .flat_map(|g| g.rows.iter().map(move |r| (g, r)))
        {
            let name = format!("{}/{}", group.name, row.name);
            if chosen(&name) {
                println!("{name}");
            }
        }
        return Ok(());
    }
    let tuxlet = Tuxlet::new(&args.tuxlet, &args.image, args.host_ca)?;
    let earlier = if args.resume {
        report::read(&args.report)?
    } else {
        Vec::new()
    };
    let mut entries: Vec<Entry> = Vec::new();
    let mut all = Vec::new();
    // Also what was found before someone lost patience is a result.
    let mut keep = |entry: Entry| {
        println!("{}", entry.line());
        entries.push(entry);
        all = report::merge(&names(&groups), earlier.clone(), &entries);
        report::write(&args.report, &all)
    };
    for group in &groups {
        let rows: Vec<&Row> = group
            .rows
            .iter()
            .filter(|r| chosen(&format!("{}/{}", group.name, r.name)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        if args.prepare || !tuxlet.has(&group.machine())? {
            let entry = prepare(&tuxlet, group)?;
            let good = entry.verdict == Verdict::Pass;
            keep(entry)?;
            if !good {
                // Nothing can be said about its rows but that they do not pass.
                for row in rows {
                    keep(Entry::unprepared(&group.name, row))?;
                }
                continue;
            }
        }
        for row in rows {
            for _ in 0..args.times {
                keep(run_row(&tuxlet, group, row)?)?;
            }
        }
    }
    ensure!(!entries.is_empty(), "no row has such a name; see --list");
    if args.bless {
        report::bless(&names(&groups), &all)?;
    }
    println!("{}", report::summary(&all));
    println!("{}", args.report.join("report.md").display());
    let bad = entries.iter().filter(|e| e.is_news()).count();
    ensure!(bad == 0, "{bad} rows are not as the list says");
    Ok(())
}

/// All names, those of the installations too, in the order of the report.
fn names(groups: &[Group]) -> Vec<String> {
    let rows = groups.iter().flat_map(|g| {
        let rows = g.rows.iter().map(|r| r.name.as_str());
        let all = std::iter::once(INSTALL).chain(rows);
        all.map(|row| format!("{}/{row}", g.name))
    });
    rows.collect()
}

/// Makes the group's machine; what it says is a row of its own.
fn prepare(tuxlet: &Tuxlet, group: &Group) -> Result<Entry> {
    let name = group.machine();
    tuxlet.remove(&name)?;
    tuxlet.create(&name)?;
    let row = Row {
        name: INSTALL.into(),
        timeout: Duration::from_secs(3600),
        run: group.install(),
        ..Row::default()
    };
    tuxlet.put(&name, &row, INSTALL_DIR)?;
    let outcome = tuxlet.run(&name, INSTALL_DIR, row.timeout)?;
    let entry = Entry::installed(&group.name, &row, &outcome);
    if entry.verdict != Verdict::Pass {
        tuxlet.remove(&name)?;
    }
    Ok(entry)
}

fn run_row(tuxlet: &Tuxlet, group: &Group, row: &Row) -> Result<Entry> {
    let name = format!("{}-{}-{}", group.machine(), row.name, std::process::id());
    tuxlet.clone_machine(&group.machine(), &name)?;
    let outcome = tuxlet
        .put(&name, row, ROW_DIR)
        .and_then(|()| tuxlet.run(&name, ROW_DIR, row.timeout));
    tuxlet.remove(&name)?;
    Ok(Entry::judge(&group.name, row, &outcome?))
}
