//! The header and the library, from C.

mod build;

use build::{library, run};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn compile(source: &Path, to: &Path) {
    run(Command::new("cc")
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-I",
        ])
        .arg(here().join("include"))
        .arg(source)
        .arg(library())
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(to));
}

#[test]
fn the_header_is_c_and_cxx() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = dir.join("header.c");
    fs::write(
        &source,
        "#include <tuxlet.h>\nint main(void) { return TUX_OK; }\n",
    )
    .unwrap();
    for flags in [
        &["-std=c99"][..],
        &["-std=c11"],
        &["-x", "c++", "-std=c++17"],
    ] {
        run(Command::new("cc")
            .args(flags)
            .args([
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                "-fsyntax-only",
                "-I",
            ])
            .arg(here().join("include"))
            .arg(&source));
    }
}

#[test]
fn the_header_is_objective_c() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = dir.join("header.m");
    fs::write(
        &source,
        "#include <tuxlet.h>\nint main(void) { return TUX_OK; }\n",
    )
    .unwrap();
    if Command::new("clang").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no clang to read the header as Objective-C");
        return;
    }
    for flags in [
        &["objective-c"][..],
        &["objective-c++"],
        &[
            "objective-c",
            "-target",
            "arm64-apple-ios15.0",
            "-ffreestanding",
        ],
    ] {
        run(Command::new("clang")
            .arg("-x")
            .args(flags)
            .args([
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                "-fsyntax-only",
                "-I",
            ])
            .arg(here().join("include"))
            .arg(&source));
    }
}

/// What a type of a function's signature is called in the header.
fn c_type(rust: &str) -> String {
    if let Some(inner) = rust.strip_prefix("*mut ") {
        let inner = c_type(inner);
        return format!("{inner}{}*", if inner.ends_with('*') { "" } else { " " });
    }
    if let Some(inner) = rust.strip_prefix("*const ") {
        return format!("const {} *", c_type(inner));
    }
    let name = rust.split('<').next().unwrap_or_default();
    match name {
        "c_int" => "int".to_owned(),
        "c_char" => "char".to_owned(),
        "c_void" => "void".to_owned(),
        "usize" => "size_t".to_owned(),
        "u8" | "u16" | "u32" | "u64" => format!("uint{}_t", &name[1..]),
        "i64" => "int64_t".to_owned(),
        "Option" => c_type(rust.trim_start_matches("Option<").trim_end_matches('>')),
        "ForkGuard" => "tux_fork_guard".to_owned(),
        "PathHook" => "tux_path_hook".to_owned(),
        "Listener" => "tux_pressure".to_owned(),
        other => format!("tux_{}", other.to_lowercase()),
    }
}

/// Every exported function: its name, and as it has to stand in the header. Those that `functions!` and `frees!` declare end in a body
/// or not, and get their last parameter and their result from there.
fn functions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(here().join("src")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for (at, _) in text.match_indices("fn tux_") {
            let (name, rest) = text[at + 3..].split_once('(').unwrap();
            let (params, rest) = rest.split_once(')').unwrap();
            let mut params: Vec<String> = params
                .replace("'_, '_, '_", "")
                .split(',')
                .filter(|p| !p.trim().is_empty())
                .map(|p| {
                    let (_, kind) = p.split_once(':').unwrap();
                    c_type(kind.trim())
                })
                .collect();
            let result = if text[..at].ends_with("extern \"C\" ") {
                let result = rest.split('{').next().unwrap().trim();
                result
                    .strip_prefix("->")
                    .map_or("void".to_owned(), |r| c_type(r.trim()))
            } else if rest.starts_with(';') {
                "void".to_owned()
            } else {
                params.push("tux_error *".to_owned());
                "int".to_owned()
            };
            let params = if params.is_empty() {
                "void".to_owned()
            } else {
                params.join(", ")
            };
            let declaration = format!("{result} {name}({params})").replace("* ", "*");
            all.push((name.to_owned(), declaration));
        }
    }
    all
}

#[test]
fn the_header_declares_the_functions_as_they_are() {
    let header = fs::read_to_string(here().join("include/tuxlet.h")).unwrap();
    let code: String = header
        .split("/*")
        .map(|part| part.split_once("*/").map_or(part, |(_, code)| code))
        .collect();
    let code: Vec<&str> = code.lines().filter(|l| !l.starts_with('#')).collect();
    let code = code.join("\n");
    let mut declared = BTreeSet::new();
    for statement in code.split(';') {
        let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let Some((_, declaration)) = statement.split_once("_THREAD ") else {
            assert!(
                statement.contains("typedef")
                    || !statement.contains("tux_")
                    || statement.contains("}"),
                "which threads may call it? {statement}"
            );
            continue;
        };
        // Whatever stands before the mark: the end of the preprocessor's lines.
        let declaration = declaration.rsplit("_THREAD ").next().unwrap();
        let (head, params) = declaration.split_once('(').unwrap();
        let params: Vec<&str> = params
            .trim_end_matches(')')
            .split(", ")
            .map(|p| {
                let name = p.rfind([' ', '*']).map_or(0, |at| at + 1);
                if p == "void" { p } else { p[..name].trim_end() }
            })
            .collect();
        declared.insert(format!("{head}({})", params.join(", ")));
    }
    let functions = functions().into_iter().map(|(_, declaration)| declaration);
    assert_eq!(declared, functions.collect());
}

#[test]
fn the_header_names_what_the_library_has() {
    let header = fs::read_to_string(here().join("include/tuxlet.h")).unwrap();
    let words = |text: &str, before: char| -> BTreeSet<String> {
        text.match_indices("tux_")
            .filter_map(|(at, _)| {
                let name: String = text[at..]
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                text[at + name.len()..].starts_with(before).then_some(name)
            })
            .collect()
    };
    let exported: BTreeSet<String> = functions().into_iter().map(|(name, _)| name).collect();
    assert!(exported.len() > 30, "{exported:?}");
    assert_eq!(words(&header, '('), exported);
    let c = fs::read_to_string(here().join("tests/interface.c")).unwrap();
    let untested: Vec<_> = exported.difference(&words(&c, '(')).cloned().collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn every_function_works_from_c() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = scratch.join("interface");
    compile(&here().join("tests/interface.c"), &program);
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    let out = run(Command::new(&program)
        .arg(shell)
        .arg(here().join("include")));
    assert_eq!(out, "ok\n");
}

#[test]
fn the_example_runs() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = scratch.join("example");
    compile(&here().join("../../examples/c/run.c"), &program);
    let root = scratch.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    fs::copy(shell, root.join("bin/sh")).unwrap();
    let mut command = Command::new(&program);
    command
        .arg(&root)
        .args(["/bin/sh", "-c", "echo a; warn b; exit 4"]);
    let out = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "a\nb\n");
    assert_eq!(out.status.code(), Some(4));
}

#[test]
fn the_example_of_a_native_command_runs() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = scratch.join("native");
    compile(&here().join("../../examples/c/native.c"), &program);
    let root = scratch.join("native-root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    fs::copy(shell, root.join("bin/sh")).unwrap();
    let out = run(Command::new(&program)
        .arg(&root)
        .arg("pipe /bin/sh -c pwd | count"));
    assert_eq!(out, "1 lines, 2 bytes, counted in /\nstatus 0\n");
    let out = run(Command::new(&program)
        .arg(&root)
        .arg("write /tmp-a x;spawn count /tmp-a"));
    assert!(out.starts_with("0 lines, 1 bytes"), "{out}");
    assert!(out.ends_with("written /tmp-a\n"), "{out}");
}
