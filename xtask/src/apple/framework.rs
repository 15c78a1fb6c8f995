//! The XCFramework's files.

use super::{Slice, licences};
use anyhow::{Context, Result, ensure};
use plist::{Dictionary, Value};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The same module as `apple/TuxletKit/Sources/CTuxlet` is on Linux.
const MODULE: &str = "module CTuxlet {\n    header \"tuxlet.h\"\n    export *\n}\n";

/// Categories of Apple's required reason API, the symbols that are in them, and why the library uses them.
const REASONS: &[(&str, &str, &[&str])] = &[
    (
        // Shows the times of the app's own files, and of those the user has chosen, to guests.
        "NSPrivacyAccessedAPICategoryFileTimestamp",
        "C617.1",
        &[
            "_stat",
            "_fstat",
            "_fstatat",
            "_lstat",
            "_getattrlist",
            "_getattrlistbulk",
            "_fgetattrlist",
        ],
    ),
    (
        // Guests see how much room there is before they write.
        "NSPrivacyAccessedAPICategoryDiskSpace",
        "E174.1",
        &["_statfs", "_fstatfs", "_statvfs", "_fstatvfs"],
    ),
    (
        // Time that has gone by within the app.
        "NSPrivacyAccessedAPICategorySystemBootTime",
        "35F9.1",
        &["_mach_absolute_time"],
    ),
];

fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dictionary(Dictionary::from_iter(entries))
}

/// The entry of a slice in the list of libraries.
fn library(slice: Slice) -> (&'static str, Value) {
    let (identifier, platform, variant) = match slice {
        Slice::Ios => ("ios-arm64", "ios", None),
        Slice::IosSim => ("ios-arm64-simulator", "ios", Some("simulator")),
        Slice::Macos => ("macos-arm64", "macos", None),
    };
    let mut entry = Dictionary::from_iter([
        ("LibraryIdentifier", Value::from(identifier)),
        ("LibraryPath", "libtuxlet_c.a".into()),
        ("BinaryPath", "libtuxlet_c.a".into()),
        ("HeadersPath", "Headers".into()),
        ("SupportedArchitectures", Value::Array(vec!["arm64".into()])),
        ("SupportedPlatform", platform.into()),
    ]);
    if let Some(variant) = variant {
        entry.insert("SupportedPlatformVariant".into(), variant.into());
    }
    (identifier, Value::Dictionary(entry))
}

/// What the framework says about itself.
pub(super) fn info(slices: &[Slice]) -> Value {
    let libraries = slices.iter().map(|slice| library(*slice).1).collect();
    dictionary([
        ("AvailableLibraries", Value::Array(libraries)),
        ("CFBundlePackageType", "XFWK".into()),
        ("XCFrameworkFormatVersion", "1.0".into()),
    ])
}

/// What Apple wants to know about the library: it collects nothing, and uses of the restricted functions what it imports.
pub(super) fn privacy(imports: &BTreeSet<String>) -> Value {
    let uses = |symbols: &[&str]| {
        let mut names = imports.iter().map(|n| n.split('$').next().unwrap_or(n));
        names.any(|name| symbols.contains(&name))
    };
    let accessed =
        REASONS
            .iter()
            .filter(|(_, _, symbols)| uses(symbols))
            .map(|(category, reason, _)| {
                dictionary([
                    ("NSPrivacyAccessedAPIType", Value::from(*category)),
                    (
                        "NSPrivacyAccessedAPITypeReasons",
                        Value::Array(vec![(*reason).into()]),
                    ),
                ])
            });
    dictionary([
        ("NSPrivacyTracking", false.into()),
        ("NSPrivacyTrackingDomains", Value::Array(Vec::new())),
        ("NSPrivacyCollectedDataTypes", Value::Array(Vec::new())),
        (
            "NSPrivacyAccessedAPITypes",
            Value::Array(accessed.collect()),
        ),
    ])
}

/// Puts a framework together. What was there before is removed.
pub(super) fn assemble(
    out: &Path,
    built: &[(Slice, PathBuf)],
    imports: &BTreeSet<String>,
) -> Result<()> {
    ensure!(
        out.extension().is_some_and(|e| e == "xcframework"),
        "{} is no name for an XCFramework",
        out.display()
    );
    if out.exists() {
        ensure!(
            out.join("Info.plist").exists(),
            "{} is there, and is no XCFramework",
            out.display()
        );
        fs::remove_dir_all(out)?;
    }
    for (slice, archive) in built {
        let dir = out.join(library(*slice).0);
        let headers = dir.join("Headers");
        fs::create_dir_all(&headers)?;
        fs::copy("crates/ffi/include/tuxlet.h", headers.join("tuxlet.h")).context("the header")?;
        fs::write(headers.join("module.modulemap"), MODULE)?;
        fs::copy(archive, dir.join("libtuxlet_c.a")).context("the library")?;
    }
    let slices: Vec<Slice> = built.iter().map(|(slice, _)| *slice).collect();
    info(&slices).to_file_xml(out.join("Info.plist"))?;
    privacy(imports).to_file_xml(out.join("PrivacyInfo.xcprivacy"))?;
    let target = slices.first().map_or("aarch64-apple-ios", |s| s.target());
    fs::write(out.join("LICENCES.txt"), licences::text(target)?)?;
    Ok(())
}
