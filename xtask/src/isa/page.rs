//! Writes `docs/generated/ISA.md`.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::{
    Group,
    emit::{HEADER, put},
    parse::Status,
};

const OUT_OF_SCOPE: &str = "out of scope: not advertised";

/// What `cargo xtask vectors --record` found out about a row.
pub(super) struct Passed {
    reference: String,
    instances: u64,
    signals: u64,
    known: u64,
    exhaustive: bool,
    note: String,
}

/// By row.
pub(super) type Vectors = BTreeMap<String, Passed>;

/// Reads the list of passed vectors; none if there is no such file.
pub(super) fn read_vectors(path: &Path) -> Result<Vectors> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut vectors = Vectors::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        ensure!(columns.len() == 7, "{}: {line}", path.display());
        let number = |i: usize| {
            let text: &str = columns[i];
            text.parse::<u64>().with_context(|| line.to_owned())
        };
        let passed = Passed {
            reference: columns[1].to_owned(),
            instances: number(2)?,
            signals: number(3)?,
            known: number(4)?,
            exhaustive: columns[5] == "true",
            note: columns[6].to_owned(),
        };
        vectors.insert(columns[0].to_owned(), passed);
    }
    Ok(vectors)
}

/// The cell that says how a row was tested.
fn tested(passed: Option<&Passed>) -> String {
    match passed {
        None => String::new(),
        Some(p) if p.instances == 0 => p.note.clone(),
        Some(p) => {
            let mut text = p.instances.to_string();
            if p.exhaustive {
                text += ", every encoding";
            }
            if p.signals != 0 {
                put(&mut text, format_args!(", {} with a signal", p.signals));
            }
            if p.known != 0 {
                put(&mut text, format_args!(", {} known differences", p.known));
            }
            text
        }
    }
}

/// The coverage page.
pub(super) fn emit(groups: &[Group], vectors: &Vectors) -> String {
    let mut out = format!(
        "# A64 coverage\n\n{HEADER}\n\n## By feature\n\n| feature | done | rows |\n|---|---|---|\n"
    );
    let mut features: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let rows = || groups.iter().flat_map(|g| &g.rows);
    for row in rows() {
        for feature in &row.features {
            let count = features.entry(feature).or_default();
            count[0] += usize::from(row.done());
            count[1] += 1;
            count[2] += usize::from(row.status == Status::Unadvertised);
        }
    }
    for (feature, [done, all, unadvertised]) in features {
        let done = match unadvertised {
            0 => done.to_string(),
            _ => OUT_OF_SCOPE.to_owned(),
        };
        put(&mut out, format_args!("| {feature} | {done} | {all} |\n"));
    }
    let count = |status| rows().filter(|r| r.status == status).count();
    put(
        &mut out,
        format_args!(
            "\nOf the {} rows in scope {} are implemented and {} are not. {} rows are out of scope: their feature \
             is deliberately not advertised, and they are UNDEFINED, as on a core without it.\n",
            count(Status::Done) + count(Status::Absent),
            count(Status::Done),
            count(Status::Absent),
            count(Status::Unadvertised),
        ),
    );
    let instances: u64 = vectors.values().map(|p| p.instances).sum();
    let mut references: Vec<&str> = vectors.values().map(|p| p.reference.as_str()).collect();
    references.sort_unstable();
    references.dedup();
    put(
        &mut out,
        format_args!(
            "\n## Vectors\n\n{instances} instances of {} rows agree with {} in all registers, flags, \
             signals and memory (`cargo xtask vectors --record`). An instance is an instruction word \
             and a state. \"Every encoding\": all words of the row were among them. Known differences: \
             `crates/cpu/examples/vectors/known.rs`.\n",
            vectors.values().filter(|p| p.instances != 0).count(),
            references.join(", "),
        ),
    );
    for group in groups {
        put(
            &mut out,
            format_args!(
                "\n## {}\n\n| row | encoding | feature | status | vectors |\n|---|---|---|---|---|\n",
                group.name
            ),
        );
        for row in &group.rows {
            put(
                &mut out,
                format_args!(
                    "| {} | `{}` | {} | {} | {} |\n",
                    row.name,
                    row.pattern,
                    row.features.join(" "),
                    match row.status {
                        Status::Done => "done",
                        Status::Absent => "absent",
                        Status::Unadvertised => OUT_OF_SCOPE,
                    },
                    tested(vectors.get(&row.name)),
                ),
            );
        }
    }
    out
}
