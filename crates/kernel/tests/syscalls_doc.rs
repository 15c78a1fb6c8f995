//! `docs/generated/SYSCALLS.md` says what the table says. `TUXLET_BLESS=1` rewrites it.

use std::{fmt::Write, fs, path::Path};
use tuxlet_kernel::syscall::{Level, rows};

fn page() -> String {
    let count = |level| rows().filter(|r| r.level == level).count();
    let mut text =
        String::from("# System calls\n\nGenerated from `crates/kernel/src/syscall/table.rs`.\n\n");
    let (full, partial, absent) = (
        count(Level::Full),
        count(Level::Partial),
        count(Level::Absent),
    );
    let _ = writeln!(
        text,
        "{full} full, {partial} partial, {absent} absent (`ENOSYS`).\n"
    );
    text.push_str("| number | name | support | what is missing |\n|---|---|---|---|\n");
    for row in rows() {
        let level = match row.level {
            Level::Full => "full",
            Level::Partial => "partial",
            Level::Absent => "absent",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {level} | {} |",
            row.nr, row.name, row.note
        );
    }
    text
}

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated/SYSCALLS.md");
    if std::env::var_os("TUXLET_BLESS").is_some() {
        fs::write(&path, page()).expect("the page can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page(),
        "docs/generated/SYSCALLS.md is stale: run this test with TUXLET_BLESS=1"
    );
}
