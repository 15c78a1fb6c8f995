//! The programs of GCC's test suite and what their DejaGnu directives ask for.

use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A program to build and run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// Its suite and file, the name in the lists: `execute/20000112-1.c`.
    pub(super) name: String,
    pub(super) sources: Vec<PathBuf>,
    /// The test's own options, which come after those of the variant.
    pub(super) options: Vec<String>,
    /// Levels at which the test says it must not run.
    skip: Vec<String>,
}

impl Test {
    /// Whether the test may run at this optimisation level.
    pub(super) fn runs_at(&self, level: &str) -> bool {
        !self.skip.iter().any(|s| s == level)
    }
}

/// All run tests below GCC's `gcc/testsuite`, sorted by name.
pub(super) fn find(testsuite: &Path) -> Result<Vec<Test>> {
    let execute = testsuite.join("gcc.c-torture/execute");
    let target = testsuite.join("gcc.target/aarch64");
    ensure!(
        execute.is_dir() && target.is_dir(),
        "{} has no gcc.c-torture/execute and gcc.target/aarch64: give the gcc/testsuite of GCC's source",
        testsuite.display()
    );
    let mut tests = Vec::new();
    // Directory, name of the suite, whether files without `dg-do` are run, options of its driver.
    for (dir, suite, default_run, options) in [
        (execute.clone(), "execute", true, &["-w"][..]),
        (execute.join("ieee"), "ieee", true, &["-w", "-fno-inline"]),
        (target.join("advsimd-intrinsics"), "advsimd", true, &["-w"]),
        (target.clone(), "aarch64", false, &["-w"]),
        (target.join("simd"), "simd", false, &["-w"]),
        (target.join("acle"), "acle", false, &["-w"]),
        (target.join("fp16"), "fp16", false, &["-w"]),
        (target.join("torture"), "torture", false, &["-w"]),
    ] {
        for file in c_files(&dir)? {
            let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            if let Some(mut test) = read(suite, &file, &text, default_run, options) {
                test.options.extend(script_options(&file));
                tests.push(test);
            }
        }
    }
    let builtins = execute.join("builtins");
    for file in c_files(&builtins)? {
        let stem = stem(&file);
        let library = builtins.join(format!("{stem}-lib.c"));
        if library.exists() {
            let mut options = words(
                "-w -fno-tree-dse -fno-tree-loop-distribute-patterns -fno-tracer -fno-ipa-ra \
                 -fno-inline-functions -Wl,--allow-multiple-definition",
            );
            options.extend(script_options(&file));
            tests.push(Test {
                name: format!("builtins/{stem}.c"),
                sources: vec![file, library, builtins.join("lib/main.c")],
                options,
                skip: Vec::new(),
            });
        }
    }
    let pcs = target.join("aapcs64");
    for file in c_files(&pcs)? {
        let stem = stem(&file);
        let with_caller = ["test_", "va_arg-", "func-ret-"];
        let with_caller = with_caller.iter().any(|p| stem.starts_with(p));
        if with_caller || stem.starts_with("rec_") {
            let option = if with_caller {
                "-fno-ipa-ra"
            } else {
                "-fno-inline"
            };
            let mut sources = vec![file];
            if with_caller {
                sources.push(pcs.join("abitest.S"));
            }
            tests.push(Test {
                name: format!("aapcs64/{stem}.c"),
                sources,
                options: words(&format!("-w {option}")),
                skip: Vec::new(),
            });
        }
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tests)
}

/// The compiler's options that the script beside a test, `NAME.x`, adds. None does so for some targets only.
fn script_options(file: &Path) -> Vec<String> {
    let script = fs::read_to_string(file.with_extension("x")).unwrap_or_default();
    let lines = script.lines().filter(|l| l.contains("additional_flags"));
    lines
        .flat_map(|l| words(&l.replace('"', " ")))
        .filter(|word| word.starts_with("-f"))
        .collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn stem(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn c_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "c") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The test in `file`, unless it is only to be compiled or not for this target.
fn read(suite: &str, file: &Path, text: &str, default_run: bool, driver: &[&str]) -> Option<Test> {
    let mut options: Vec<String> = driver.iter().map(|&s| s.to_owned()).collect();
    let mut sources = vec![file.to_owned()];
    let (mut skip, mut kinds, mut run) = (Vec::new(), 0, false);
    for directive in directives(text) {
        let (name, rest) = directive
            .split_once(char::is_whitespace)
            .unwrap_or((directive, ""));
        let quoted = quoted(rest);
        match name {
            "dg-do" => {
                kinds += 1;
                run |= rest.trim_start().starts_with("run") && applies(rest);
            }
            "dg-options" | "dg-additional-options" if applies(rest) => {
                let own = quoted.first().map_or(Vec::new(), |&o| words(o));
                options.extend(own.into_iter().filter(|o| !o.contains("-save-temps")));
            }
            "dg-add-options" => {
                let extension = march(rest.trim());
                options.extend(extension.map(|e| format!("-march={e}")));
            }
            "dg-additional-sources" => {
                for extra in quoted.first().map_or(Vec::new(), |&o| words(o)) {
                    sources.push(file.with_file_name(extra));
                }
            }
            // "comment" { targets } { "options it is skipped with" }
            "dg-skip-if" if rest.contains("{ *-*-* }") => {
                skip.extend(quoted.iter().skip(1).map(|&s| s.to_owned()));
            }
            "dg-require-effective-target" => {
                const ABSENT: [&str; 6] = [
                    "aarch64_big_endian",
                    "ilp32",
                    "arm32",
                    "arm_hard_vfp_ok",
                    "aarch64_sve_hw",
                    "aarch64_sve2_hw",
                ];
                if ABSENT.contains(&rest.trim()) {
                    return None;
                }
            }
            _ => {}
        }
    }
    let wanted = if kinds > 0 { run } else { default_run };
    // Another endianness needs another C library.
    let foreign = options.iter().any(|o| o == "-mbig-endian");
    (wanted && !foreign).then(|| Test {
        name: format!(
            "{suite}/{}",
            file.file_name().unwrap_or_default().to_string_lossy()
        ),
        sources,
        options,
        skip,
    })
}

/// The architecture that a feature of `dg-add-options` needs.
fn march(feature: &str) -> Option<&'static str> {
    Some(match feature {
        "arm_v8_1a_neon" => "armv8.1-a",
        "arm_v8_2a_fp16_scalar" | "arm_v8_2a_fp16_neon" => "armv8.2-a+fp16",
        "arm_v8_2a_dotprod_neon" => "armv8.2-a+dotprod",
        "arm_v8_2a_bf16_neon" => "armv8.2-a+bf16",
        "arm_v8_2a_i8mm" => "armv8.2-a+i8mm",
        "arm_v8_3a_complex_neon" => "armv8.3-a",
        "arm_v8_3a_fp16_complex_neon" => "armv8.3-a+fp16",
        _ => return None,
    })
}

/// The insides of all `{ dg-... }`.
fn directives(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("{ dg-").filter_map(|(at, _)| {
        let body = &text[at + 2..];
        let mut depth = 1;
        let end = body.find(|c| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            depth == 0
        })?;
        Some(body[..end].trim())
    })
}

fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// Whether a directive's target selector, if it has one, selects AArch64 Linux.
fn applies(directive: &str) -> bool {
    let Some((_, selector)) = directive.split_once("target") else {
        return true;
    };
    let mut words = selector.split(|c: char| c.is_whitespace() || "{}()".contains(c));
    let negated = selector.contains('!');
    let named = words.any(|w| w.starts_with("aarch64") || ["*-*-*", "lp64"].contains(&w));
    named != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, default_run: bool) -> Option<Test> {
        read("s", Path::new("/x/a.c"), text, default_run, &["-w"])
    }

    #[test]
    fn directives_of_gcc_tests() {
        let test = one(
            "/* { dg-do run { target { aarch64*-*-* } } } */\n/* { dg-options \"-O2 -save-temps\" } */\n\
             /* { dg-additional-options \"-mx\" { target arm*-*-* } } */ /* { dg-add-options arm_v8_1a_neon } */",
            false,
        )
        .expect("a run test");
        assert_eq!(test.name, "s/a.c");
        assert_eq!(test.options, ["-w", "-O2", "-march=armv8.1-a"]);
        assert!(one("/* { dg-do compile } */", true).is_none());
        assert!(one("int main;", true).is_some());
        assert!(one("int main;", false).is_none());
        let arm_only = "/* { dg-do compile { target arm*-*-* } } */ /* { dg-do run { target aarch64*-*-* } } */";
        assert!(one(arm_only, false).is_some());
    }

    #[test]
    fn levels_that_a_test_skips() {
        let text = "/* { dg-skip-if \"why\" { *-*-* } { \"-O0\" } { \"\" } } */";
        let test = one(text, true).expect("a run test");
        assert!(!test.runs_at("-O0") && test.runs_at("-O1"));
    }
}
