//! What can be checked where there is no Mac.

use super::*;
use plist::Value;

/// Compiles a static library for iOS, without C; none where Rust's library for it is not installed.
fn archive(name: &str, source: &str) -> Option<PathBuf> {
    let dir = std::env::temp_dir().join(format!("tuxlet-xtask-apple-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let (file, library) = (
        dir.join(format!("{name}.rs")),
        dir.join(format!("lib{name}.a")),
    );
    fs::write(&file, source).unwrap();
    let out = Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "staticlib", "-O"])
        .args(["--target", Slice::Ios.target(), "-o"])
        .args([&library, &file])
        .output()
        .unwrap();
    if out.status.success() {
        return Some(library);
    }
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("may not be installed"), "{said}");
    eprintln!(
        "SKIPPED: Rust's library for {} is not installed",
        Slice::Ios.target()
    );
    None
}

fn names(imports: &imports::Imports) -> BTreeSet<String> {
    imports.keys().cloned().collect()
}

#[test]
fn imports_are_those_of_what_can_be_reached() {
    let clean = "
        #[unsafe(no_mangle)]
        pub extern \"C\" fn tux_probe() -> usize {
            std::thread::spawn(|| std::fs::read(\"/x\").map_or(0, |d| d.len())).join().unwrap_or(1)
        }";
    let Some(library) = archive("clean", clean) else {
        return;
    };
    let (functions, imports) = imports::of(&library).unwrap();
    assert_eq!(functions, 1);
    for name in [
        "_pthread_create",
        "_read",
        "_open",
        "__Unwind_RaiseException",
    ] {
        assert!(imports.contains_key(name), "{name}: {imports:?}");
    }
    judge(&imports, None).unwrap();
    judge(&imports, Some(&names(&imports))).unwrap();
    let error = judge(&imports, Some(&BTreeSet::new())).unwrap_err();
    assert!(error.to_string().contains("_pthread_create"), "{error}");
}

#[test]
fn processes_and_generated_code_are_found() {
    let spawning = "
        #[unsafe(no_mangle)]
        pub extern \"C\" fn tux_probe() -> bool {
            std::process::Command::new(\"/bin/ls\").status().is_ok()
        }";
    let Some(library) = archive("spawning", spawning) else {
        return;
    };
    let (_, imports) = imports::of(&library).unwrap();
    let error = judge(&imports, Some(&names(&imports)))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("_fork") && error.contains("_execvp"),
        "{error}"
    );

    let generating = "
        unsafe extern \"C\" { fn pthread_jit_write_protect_np(enabled: i32); }
        static HIDDEN: extern \"C\" fn(i32) = inner;
        extern \"C\" fn inner(x: i32) { unsafe { pthread_jit_write_protect_np(x) } }
        #[unsafe(no_mangle)]
        pub extern \"C\" fn tux_probe(x: i32) { std::hint::black_box(&HIDDEN)(x) }";
    let Some(library) = archive("generating", generating) else {
        return;
    };
    let error = judge(&imports::of(&library).unwrap().1, None).unwrap_err();
    assert!(
        error.to_string().contains("_pthread_jit_write_protect_np"),
        "{error}"
    );
}

#[test]
fn frameworks_are_put_together() {
    let dir = std::env::temp_dir().join(format!("tuxlet-xtask-framework-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let library = dir.join("any.a");
    fs::write(&library, b"!<arch>\n").unwrap();
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap();
    let built = Slice::ALL.map(|slice| (slice, library.clone()));
    let out = dir.join("CTuxlet.xcframework");
    let imports = BTreeSet::from(["_fstat".to_owned(), "_mach_absolute_time".to_owned()]);
    framework::assemble(&out, &built, &imports).unwrap();
    framework::assemble(&out, &built, &imports).unwrap();

    let info = Value::from_file(out.join("Info.plist")).unwrap();
    let info = info.as_dictionary().unwrap();
    assert_eq!(info["CFBundlePackageType"].as_string(), Some("XFWK"));
    let libraries = info["AvailableLibraries"].as_array().unwrap();
    assert_eq!(libraries.len(), 3);
    for entry in libraries {
        let entry = entry.as_dictionary().unwrap();
        let part = out.join(entry["LibraryIdentifier"].as_string().unwrap());
        for key in ["LibraryPath", "HeadersPath"] {
            assert!(part.join(entry[key].as_string().unwrap()).exists());
        }
        assert!(
            part.join("Headers/module.modulemap").exists()
                && part.join("Headers/tuxlet.h").exists()
        );
    }
    let privacy = Value::from_file(out.join("PrivacyInfo.xcprivacy")).unwrap();
    let accessed = privacy.as_dictionary().unwrap()["NSPrivacyAccessedAPITypes"]
        .as_array()
        .unwrap();
    assert_eq!(accessed.len(), 2);

    let licences = fs::read_to_string(out.join("LICENCES.txt")).unwrap();
    for name in ["tuxlet-kernel", "rusqlite", "parking_lot", "libc"] {
        assert!(licences.contains(&format!("==== {name} ")), "{name}");
    }
    // Not linked in.
    assert!(!licences.contains("==== cc ") && !licences.contains("==== tuxlet-test-support "));
    fs::write(dir.join("x"), "").unwrap();
    assert!(framework::assemble(&dir.join("x"), &built, &imports).is_err());
    fs::remove_dir_all(dir).unwrap();
}

/// Identifiers of a project's objects: 24 hexadecimal digits.
fn identifiers<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) if text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            found.push(text);
        }
        Value::Array(values) => values.iter().for_each(|v| identifiers(v, found)),
        Value::Dictionary(entries) => entries.values().for_each(|v| identifiers(v, found)),
        _ => {}
    }
}

#[test]
fn the_app_s_project_holds_together() {
    let app = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../apple/App"));
    let project = Value::from_file(app.join("Tuxlet.xcodeproj/project.pbxproj")).unwrap();
    let project = project.as_dictionary().unwrap();
    let objects = project["objects"].as_dictionary().unwrap();
    let mut kinds: Vec<&str> = Vec::new();
    let mut used = vec![project["rootObject"].as_string().unwrap()];
    for object in objects.values() {
        let object = object.as_dictionary().unwrap();
        kinds.push(object["isa"].as_string().unwrap());
        object.values().for_each(|v| identifiers(v, &mut used));
    }
    for id in &used {
        assert!(objects.contains_key(id), "{id} is nothing");
    }
    for id in objects.keys() {
        assert!(used.contains(&id.as_str()), "{id} is not used");
    }
    for kind in [
        "PBXProject",
        "PBXNativeTarget",
        "XCLocalSwiftPackageReference",
    ] {
        assert_eq!(kinds.iter().filter(|k| **k == kind).count(), 1, "{kind}");
    }
    // What it names is there.
    for object in objects.values().filter_map(Value::as_dictionary) {
        match object["isa"].as_string() {
            Some("XCLocalSwiftPackageReference") => {
                let package = app.join(object["relativePath"].as_string().unwrap());
                assert!(package.join("Package.swift").exists());
            }
            Some("PBXFileSystemSynchronizedRootGroup") => {
                assert!(app.join(object["path"].as_string().unwrap()).is_dir());
            }
            Some("XCBuildConfiguration") => {
                let settings = object["buildSettings"].as_dictionary().unwrap();
                for key in ["INFOPLIST_FILE", "CODE_SIGN_ENTITLEMENTS"] {
                    let file = settings.get(key).and_then(Value::as_string);
                    assert!(file.is_none_or(|file| app.join(file).exists()), "{key}");
                }
            }
            _ => {}
        }
    }
}

#[test]
fn the_app_s_property_lists_are_read() {
    let app = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../apple/App/Tuxlet"));
    let read = |name: &str| {
        let list = Value::from_file(app.join(name)).unwrap();
        list.into_dictionary().unwrap()
    };
    assert!(read("Info.plist").contains_key("UIFileSharingEnabled"));
    // Nothing that App Store apps cannot have, such as making code executable.
    for key in read("Tuxlet.entitlements").keys() {
        assert!(key.starts_with("com.apple.developer.kernel."), "{key}");
    }
    // The app says what the library does, and that it keeps its settings.
    let imports = fs::read_to_string(app.join("../../imports.txt")).unwrap();
    let all = framework::privacy(&imports.lines().map(str::to_owned).collect());
    let types = |list: &plist::Dictionary| -> Vec<String> {
        let accessed = list["NSPrivacyAccessedAPITypes"].as_array().unwrap();
        let kinds = accessed.iter().map(|a| {
            let kind = &a.as_dictionary().unwrap()["NSPrivacyAccessedAPIType"];
            kind.as_string().unwrap().to_owned()
        });
        kinds.collect()
    };
    let mut expected = types(all.as_dictionary().unwrap());
    expected.insert(0, "NSPrivacyAccessedAPICategoryUserDefaults".to_owned());
    assert_eq!(types(&read("PrivacyInfo.xcprivacy")), expected);
}
