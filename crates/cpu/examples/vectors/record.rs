//! The checked-in list of how many vectors each row has passed.

use std::{collections::BTreeMap, fs, path::Path};

/// What a run found out about a row.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Instances that were compared.
    pub(crate) instances: u64,
    /// Of these, those that raised a signal in both.
    pub(crate) signals: u64,
    /// Those that differ as the list of known differences says.
    pub(crate) known: u64,
    /// Every word of the row was among them.
    pub(crate) exhaustive: bool,
    /// Why nothing was compared.
    pub(crate) note: String,
}

/// The file's first lines.
const HEAD: &str = "\
# Vectors per row: written by `cargo xtask vectors --record`; do not edit.
# row\treference\tinstances\tsignals\tknown differences\texhaustive\tnote
";

/// Enters the outcomes into the file; rows that were not run stay.
pub(crate) fn write(
    path: &Path,
    reference: &str,
    outcomes: &BTreeMap<&'static str, Outcome>,
) -> Result<(), String> {
    let old = fs::read_to_string(path).unwrap_or_default();
    let mut lines: BTreeMap<String, String> = old
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some((line.split('\t').next()?.to_owned(), line.to_owned())))
        .collect();
    for (row, o) in outcomes {
        let line = format!(
            "{row}\t{reference}\t{}\t{}\t{}\t{}\t{}",
            o.instances, o.signals, o.known, o.exhaustive, o.note
        );
        lines.insert((*row).to_owned(), line);
    }
    let mut text = HEAD.to_owned();
    for line in lines.values() {
        text.push_str(line);
        text.push('\n');
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
