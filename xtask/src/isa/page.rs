//! Writes `docs/generated/ISA.md`.

use std::collections::BTreeMap;

use super::{
    Group,
    emit::{HEADER, put},
};

/// The coverage page.
pub(super) fn emit(groups: &[Group]) -> String {
    let mut out = format!(
        "# A64 coverage\n\n{HEADER}\n\n## By feature\n\n| feature | done | rows |\n|---|---|---|\n"
    );
    let mut features: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in groups.iter().flat_map(|g| &g.rows) {
        for feature in &row.features {
            let count = features.entry(feature).or_default();
            count.0 += usize::from(row.done);
            count.1 += 1;
        }
    }
    for (feature, (done, rows)) in features {
        put(&mut out, format_args!("| {feature} | {done} | {rows} |\n"));
    }
    for group in groups {
        put(
            &mut out,
            format_args!(
                "\n## {}\n\n| row | encoding | feature | status |\n|---|---|---|---|\n",
                group.name
            ),
        );
        for row in &group.rows {
            put(
                &mut out,
                format_args!(
                    "| {} | `{}` | {} | {} |\n",
                    row.name,
                    row.pattern,
                    row.features.join(" "),
                    if row.done { "done" } else { "absent" }
                ),
            );
        }
    }
    out
}
