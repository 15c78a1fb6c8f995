//! dpkg's database of a tree whose packages are unpacked but not configured (deb-control(5), deb-triggers(5)).

use std::collections::BTreeMap;

use super::deb::Unpacked;
use crate::{
    Result,
    tree::{Meta, Mtime, TreeBuilder},
};

/// Where the database is.
const ADMIN_DIR: &str = "var/lib/dpkg";

/// Writes the database, so that `dpkg --configure -a` inside the guest takes it from here.
pub(super) fn write_database(
    packages: &[Unpacked],
    now: Mtime,
    tree: &mut TreeBuilder<'_>,
) -> Result<()> {
    let directory = Meta {
        mtime: now,
        ..Meta::root(0o755)
    };
    for name in [
        "",
        "/alternatives",
        "/info",
        "/parts",
        "/triggers",
        "/updates",
    ] {
        tree.directory(format!("{ADMIN_DIR}{name}").as_bytes(), &directory)?;
    }
    let mut put = |name: &str, mode: u32, data: &[u8]| {
        let meta = Meta {
            mtime: now,
            ..Meta::root(mode)
        };
        tree.file(
            format!("{ADMIN_DIR}/{name}").as_bytes(),
            &meta,
            data.len() as u64,
            &mut &data[..],
        )
    };
    let mut status = String::new();
    let mut triggers: BTreeMap<String, String> = BTreeMap::new();
    for package in packages {
        let info = package.info_name();
        for (name, meta, data) in &package.files {
            // dpkg keeps the list of configuration files in its status file, too.
            put(&format!("info/{info}.{name}"), meta.mode & 0o777, data)?;
        }
        put(&format!("info/{info}.list"), 0o644, &package.list)?;
        status.push_str(&status_paragraph(package));
        status.push('\n');
        for (trigger, awaited) in interests(package) {
            let awaited = if awaited { "" } else { "/noawait" };
            if trigger.starts_with('/') {
                triggers
                    .entry("File".to_owned())
                    .or_default()
                    .push_str(&format!("{trigger} {info}{awaited}\n"));
            } else {
                triggers
                    .entry(trigger)
                    .or_default()
                    .push_str(&format!("{info}{awaited}\n"));
            }
        }
    }
    for (name, lines) in &triggers {
        put(&format!("triggers/{name}"), 0o644, lines.as_bytes())?;
    }
    // So that the names of multi-arch packages have their architecture.
    put("info/format", 0o644, b"1\n")?;
    put("available", 0o644, b"")?;
    put("status", 0o644, status.as_bytes())
}

fn status_paragraph(package: &Unpacked) -> String {
    let mut paragraph = package.control.clone();
    paragraph.remove("Status");
    paragraph.remove("Conffiles");
    paragraph.insert_second("Status", "install ok unpacked");
    if !package.conffiles.is_empty() {
        let lines: String = package
            .conffiles
            .iter()
            .map(|(name, sum)| format!("\n {name} {sum}"))
            .collect();
        paragraph.push("Conffiles", &lines);
    }
    paragraph.to_string()
}

/// The triggers that the package is interested in, and whether their activation is awaited.
fn interests(package: &Unpacked) -> Vec<(String, bool)> {
    let text = String::from_utf8_lossy(package.file("triggers").unwrap_or_default()).into_owned();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let awaited = match words.next() {
            Some("interest" | "interest-await") => true,
            Some("interest-noawait") => false,
            _ => continue,
        };
        // The name becomes a file name.
        if let Some(name) = words
            .next()
            .filter(|n| n.starts_with('/') || !n.contains('/') && !n.starts_with('.'))
        {
            found.push((name.to_owned(), awaited));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        debian::deb822,
        tree::{TreeSink, memory::MemoryTree},
    };

    #[test]
    fn the_database_is_dpkgs() {
        let package = Unpacked {
            control: deb822::parse("Package: libx\nVersion: 1\nArchitecture: arm64\nMulti-Arch: same\nDescription: a\n b\n")
                .unwrap()
                .remove(0),
            files: vec![(
                "triggers".into(),
                Meta::root(0o644),
                b"# c\ninterest-noawait /usr/lib\ninterest ldconfig\nactivate x\ninterest ../up\n".to_vec(),
            )],
            list: b"/.\n".to_vec(),
            conffiles: vec![("/etc/x".into(), "00ff".into())],
        };
        let mut sink = MemoryTree::default();
        let mut tree = TreeBuilder::new(&mut sink).unwrap();
        write_database(&[package], Mtime::default(), &mut tree).unwrap();
        sink.finish().unwrap();
        assert_eq!(
            sink.text("var/lib/dpkg/status"),
            "Package: libx\nStatus: install ok unpacked\nVersion: 1\nArchitecture: arm64\nMulti-Arch: same\n\
             Description: a\n b\nConffiles:\n /etc/x 00ff\n\n"
        );
        assert_eq!(
            sink.text("var/lib/dpkg/triggers/File"),
            "/usr/lib libx:arm64/noawait\n"
        );
        assert_eq!(sink.text("var/lib/dpkg/triggers/ldconfig"), "libx:arm64\n");
        assert_eq!(sink.text("var/lib/dpkg/info/libx:arm64.list"), "/.\n");
    }
}
